/**
 * Connections: what is received on each is sent back on it.
 *
 * - Receiving: one multishot request a connection. The kernel puts what comes into shared buffers.
 * - Sending: straight out of those, without blocking, and without a completion where everything went ("quick"). Such a
 *   send is over when the system call that submitted it returns: the buffer goes back then, with nothing more to wait
 *   for. Everything received is sent before anything more is received.
 * - A connection that does not take its answer is *behind*: its receive is cancelled, what it is owed moves to memory
 *   of its own, and it receives again when it has taken that. The shared buffers are for those that keep up: a slow
 *   reader stalls nobody, and holds at most what came in one go.
 * - Without shared buffers, connections have memory of their own from the start, and receive and send in turn.
 */
import {
  type BufferRing,
  type Cqe,
  EAGAIN,
  ECANCELED,
  EINTR,
  EINVAL,
  ENOBUFS,
  IORING_FEAT_CQE_SKIP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_WAITALL,
  POLLRDHUP,
  type Ring,
  type Sqe,
} from "bun-uring";
import { OwnMemory } from "./own.ts";
import { Pieces } from "./pieces.ts";
import { type Equipment, GROUP, MAX_CONNECTIONS } from "./setup.ts";
import {
  HAS_ENDED,
  IS_BEHIND,
  IS_BUSY,
  IS_ENDING,
  IS_OPEN,
  IS_QUICK,
  IS_READY,
  IS_RECEIVING,
  IS_SENDING,
  IS_STARVING,
  ON_CANCEL,
  ON_END,
  ON_OTHER,
  ON_QUICK_SEND,
  ON_RECEIVE,
  ON_SEND,
} from "./states.ts";
import { BEHIND, BYTES, CONNECTIONS, type Counters, MESSAGES, OPEN, REARMS } from "./stats.ts";

/** With MSG_WAITALL a short send counts as failed, so that a quick one reports itself. */
const SEND_FLAGS = MSG_NOSIGNAL | MSG_WAITALL;
/** What is received at a time into memory of a connection's own. */
const OWN_BYTES = 65536;
/** What a connection that starves may find to receive: no more of them are fed than there is room for. */
const ROOM_BYTES = 16384;

/** All connections of one ring, by number. A number is free again when its connection is closed, and not earlier. */
export class Connections {
  /** Whether a connection's number is its place in the table of registered files; if not, it is a descriptor. */
  readonly #direct: boolean;
  readonly #watchesEnds: boolean;
  /** Something is to be done right after the next submission, which must not wait. */
  urgent = false;
  /** More than that: answers will be left, to be sent before anything is received. */
  unfinished = false;
  readonly #ring: Ring;
  readonly #counters: Counters;
  /** Whether requests can complete without a completion. */
  readonly #quiet: boolean;
  readonly #states: Uint16Array;
  #buffers: BufferRing | undefined;
  readonly #pieces: Pieces | undefined;
  readonly #own: OwnMemory;
  // Lists of connections, each in each at most once.
  readonly #ready: Int32Array;
  #readyCount = 0;
  readonly #quick: Int32Array;
  #quickCount = 0;
  readonly #starving: Int32Array;
  #starvingCount = 0;

  constructor(equipment: Equipment, counters: Counters) {
    const { ring, buffers } = equipment;
    this.#ring = ring;
    this.#counters = counters;
    this.#direct = equipment.direct;
    this.#watchesEnds = equipment.watchesEnds;
    this.#quiet = ring.hasFeature(IORING_FEAT_CQE_SKIP);
    this.#buffers = buffers;
    this.#pieces = buffers && new Pieces(buffers, MAX_CONNECTIONS);
    this.#own = new OwnMemory(MAX_CONNECTIONS);
    this.#states = new Uint16Array(MAX_CONNECTIONS);
    this.#ready = new Int32Array(MAX_CONNECTIONS);
    this.#quick = new Int32Array(MAX_CONNECTIONS);
    this.#starving = new Int32Array(MAX_CONNECTIONS);
  }

  /** Takes a connection on. Its number must be free. */
  open(id: number): void {
    this.#states[id] = IS_OPEN;
    this.#counters[CONNECTIONS]!++;
    this.#counters[OPEN]!++;
    this.#receive(id);
    if (this.#watchesEnds) this.#tag(this.#ring.prepPollAdd(id, POLLRDHUP), id, ON_END);
  }

  // ---- Before and after each submission

  /** Queues the answers that there are. */
  queueAnswers(): void {
    this.unfinished = false;
    for (let i = 0; i < this.#readyCount; i++) this.#sendQuickly(this.#ready[i] as number);
    this.#readyCount = 0;
    // Those that starve are woken by buffers, and those come back when quick sends are settled.
    if (this.#starvingCount > 0 && this.#quickCount > 0) this.urgent = true;
  }

  /** Settles the quick sends, all of which were submitted: those that have not reported a failure are done. */
  settle(): void {
    for (let i = 0; i < this.#quickCount; i++) {
      const id = this.#quick[i] as number;
      if (!this.#is(id, IS_QUICK)) continue;
      this.#clear(id, IS_QUICK);
      this.#pieces?.pop(id);
      this.#goOn(id);
    }
    this.#quickCount = 0;
    this.#feed();
  }

  /** Lets those that starve receive again, the first ones first, as many as there is room for. */
  #feed(): void {
    const buffers = this.#buffers;
    if (this.#starvingCount === 0 || buffers === undefined) return;
    const room = buffers.available * Math.ceil(buffers.size / ROOM_BYTES);
    const count = Math.min(this.#starvingCount, room);
    for (let i = 0; i < count; i++) {
      const id = this.#starving[i] as number;
      this.#clear(id, IS_STARVING);
      if (this.#is(id, HAS_ENDED)) this.#goOn(id);
      else if (!this.#is(id, IS_BEHIND)) this.#rearm(id);
    }
    this.#starving.copyWithin(0, count, this.#starvingCount);
    this.#starvingCount -= count;
  }

  // ---- Receiving

  #receive(id: number): void {
    this.#set(id, IS_RECEIVING);
    this.#tag(this.#prepReceive(id), id, ON_RECEIVE);
  }

  #prepReceive(id: number): Sqe {
    const ring = this.#ring;
    if (this.#buffers === undefined) return ring.prepRecv(id, this.#own.of(id, OWN_BYTES), 0, OWN_BYTES);
    const sqe = this.#is(id, IS_ENDING) ? ring.prepRecv(id, 0, 0, 0) : ring.prepRecvMultishot(id);
    return sqe.bufferSelect(GROUP);
  }

  #rearm(id: number): void {
    this.#counters[REARMS]!++;
    this.#receive(id);
  }

  /** Data has come, or a receive has ended, or both. */
  onReceive(id: number, cqe: Cqe): void {
    const { res, more } = cqe;
    if (res > 0) this.#take(id, cqe);
    else if (cqe.hasBuffer) this.#giveBack(cqe);
    if (more) return;
    this.#clear(id, IS_RECEIVING);
    if (this.#buffers === undefined && res > 0) return;
    if (res === 0) this.#set(id, HAS_ENDED);
    // Kernel: buffer rings came with 5.19, multishot receives with 6.0.
    if (res === -EINVAL && this.#counters[MESSAGES] === 0) this.#buffers = undefined;
    else if (res < 0 && res !== -ENOBUFS && res !== -ECANCELED && res !== -EINTR) return this.#drop(id);
    if (this.#is(id, IS_BEHIND)) this.#moveOut(id);
    else if (this.#is(id, HAS_ENDED)) this.#goOn(id);
    else if (res === -ENOBUFS) this.#starve(id);
    else this.#rearm(id);
  }

  /** The client sends nothing more: a receive that is under way may have missed it, and is made again. */
  onEnd(id: number): void {
    if (!this.#is(id, IS_OPEN)) return;
    this.#set(id, IS_ENDING);
    if (this.#is(id, IS_RECEIVING)) this.#cancelReceive(id);
  }

  #take(id: number, cqe: Cqe): void {
    this.#counters[MESSAGES]!++;
    this.#counters[BYTES]! += cqe.res;
    if (this.#buffers === undefined) {
      this.#own.fill(id, cqe.res);
      this.#send(id);
      return;
    }
    this.#pieces?.append(id, cqe);
    this.#goOn(id);
  }

  #giveBack(cqe: Cqe): void {
    this.#buffers?.take(cqe);
    this.#buffers?.recycle(cqe.bufferId);
  }

  #starve(id: number): void {
    this.#set(id, IS_STARVING);
    this.#starving[this.#starvingCount++] = id;
  }

  #cancelReceive(id: number): void {
    this.#quietly(this.#ring.prepCancel64(ON_RECEIVE * 2 ** 32 + id)).userDataHalves(id, ON_CANCEL);
  }

  /** A receive could not be cancelled: it had ended, or was running. */
  onCancel(id: number, res: number): void {
    const unwanted = this.#is(id, IS_BEHIND) || this.#is(id, HAS_ENDED) || this.#is(id, IS_ENDING);
    if (res < 0 && unwanted && this.#is(id, IS_RECEIVING)) this.#cancelReceive(id);
  }

  // ---- Sending from the shared buffers

  #sendQuickly(id: number): void {
    this.#clear(id, IS_READY);
    const pieces = this.#pieces as Pieces;
    if (pieces.isEmpty(id)) {
      this.#goOn(id);
      return;
    }
    const flags = SEND_FLAGS | MSG_DONTWAIT;
    const sqe = this.#ring.prepSend(id, pieces.address(id), flags, pieces.length(id)).skipSuccess();
    this.#tag(sqe, id, ON_QUICK_SEND);
    this.#set(id, IS_QUICK);
    this.#quick[this.#quickCount++] = id;
    // Nothing will tell when this send is over. Whatever is to be done then must not wait for something else.
    if (!pieces.isLast(id)) this.unfinished = true;
    if (this.#is(id, HAS_ENDED)) this.urgent = true;
  }

  /** A quick send did not go through: the socket is full, or took a part, or is broken. */
  onQuickSend(id: number, res: number): void {
    if (!this.#is(id, IS_QUICK)) return;
    this.#clear(id, IS_QUICK);
    if (res < 0 && res !== -EAGAIN) {
      this.#drop(id);
      return;
    }
    this.#pieces?.shorten(id, Math.max(res, 0));
    this.#set(id, IS_BEHIND);
    this.#counters[BEHIND]!++;
    if (this.#is(id, IS_RECEIVING)) this.#cancelReceive(id);
    else this.#moveOut(id);
  }

  // ---- Sending from a connection's own memory

  /** Nothing more comes: what the connection is owed moves out of the shared buffers. */
  #moveOut(id: number): void {
    this.#own.put(id, (this.#pieces as Pieces).moveOut(id));
    this.#send(id);
  }

  #send(id: number): void {
    this.#set(id, IS_SENDING);
    this.#tag(this.#ring.prepSend(id, this.#own.address(id), SEND_FLAGS, this.#own.left(id)), id, ON_SEND);
  }

  /** The socket took something, when there was room for it. */
  onSend(id: number, res: number): void {
    this.#clear(id, IS_SENDING);
    if (res > 0) this.#own.advance(id, res);
    if (res <= 0) {
      this.#drop(id);
    } else if (this.#own.left(id) > 0) {
      this.#send(id);
    } else {
      if (this.#is(id, IS_BEHIND)) this.#own.release(id);
      this.#clear(id, IS_BEHIND);
      if (this.#is(id, HAS_ENDED)) this.#goOn(id);
      else this.#receive(id);
    }
  }

  // ---- What follows, and the end

  /** Sees to it that what there is gets sent, or closes the connection if there is nothing more to do. */
  #goOn(id: number): void {
    const state = this.#states[id] as number;
    if (this.#pieces?.isEmpty(id) === false) {
      if ((state & (IS_READY | IS_QUICK | IS_BEHIND)) !== 0) return;
      this.#set(id, IS_READY);
      this.#ready[this.#readyCount++] = id;
    } else if ((state & (HAS_ENDED | IS_BUSY)) === HAS_ENDED) {
      this.#close(id);
    }
  }

  /** Nobody takes the answers any more. */
  #drop(id: number): void {
    this.#set(id, HAS_ENDED);
    this.#clear(id, IS_QUICK | IS_BEHIND);
    this.#pieces?.clear(id);
    if (this.#is(id, IS_RECEIVING)) this.#cancelReceive(id);
    this.#goOn(id);
  }

  #close(id: number): void {
    this.#states[id] = 0;
    if (this.#buffers !== undefined) this.#own.release(id);
    this.#counters[OPEN]!--;
    const sqe = this.#direct ? this.#ring.prepCloseDirect(id) : this.#ring.prepClose(id);
    this.#quietly(sqe).userDataHalves(id, ON_OTHER);
  }

  /** Receives nothing more on any connection: each is closed when it has its answer. */
  endAll(): void {
    for (let id = 0; id < this.#states.length; id++) {
      if (!this.#is(id, IS_OPEN)) continue;
      this.#set(id, HAS_ENDED);
      if (this.#is(id, IS_RECEIVING)) this.#cancelReceive(id);
      else this.#goOn(id);
    }
  }

  /** Gives all memory back. The ring is closed. */
  release(): void {
    this.#own.close();
  }

  // ---- Small change

  #is(id: number, bit: number): boolean {
    return ((this.#states[id] as number) & bit) !== 0;
  }

  #set(id: number, bit: number): void {
    this.#states[id] = (this.#states[id] as number) | bit;
  }

  #clear(id: number, bits: number): void {
    this.#states[id] = (this.#states[id] as number) & ~bits;
  }

  /** Says what a request on a connection is about, and that its number is a place in the table if it is one. */
  #tag(sqe: Sqe, id: number, on: number): void {
    sqe.userDataHalves(id, on);
    if (this.#direct) sqe.fixedFile();
  }

  /** Has a request report its failure only, where the kernel can. */
  #quietly(sqe: Sqe): Sqe {
    return this.#quiet ? sqe.skipSuccess() : sqe;
  }
}
