/**
 * Sending. What connections write in a tick is copied into memory that they share, and leaves with everything else of
 * the tick in one system call. Such a send does not wait: what a socket does not take at once moves to memory of the
 * connection's own, which is "behind" then, and writes nothing more until the kernel has taken that.
 *
 * Long writes are sent on the spot, straight out of the writer's memory: they cost a call, and save a copy.
 */
import { IORING_OP_SEND, IORING_OP_SENDMSG_ZC, IOSQE_CQE_SKIP_SUCCESS } from "../abi/constants.gen.ts";
import { EAGAIN, ECANCELED } from "../abi/errno.gen.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL } from "../abi/linux.ts";
import type { Gatherer, Reactor } from "../async/reactor.ts";
import { type Operation, Request } from "../async/request.ts";
import { addressOf, Mapping } from "../memory.ts";
import type { Cqe } from "../ring/cqe.ts";
import { type Slot, SQE_FLAGS_SHIFT } from "../ring/prep/slot.ts";
import type { Connection } from "./connection.ts";
import { IS_BEHIND, IS_DIRTY, IS_QUICK, WANTS_DRAIN } from "./states.ts";
import { sendNow } from "./system.ts";

const SEND: Operation = { name: "IORING_OP_SEND", prep: () => undefined, yields: "count", wide: false };

/** With MSG_WAITALL a short send counts as failed, so that one that tells failures only does tell. */
const WHOLLY = MSG_NOSIGNAL | MSG_WAITALL;
/** Writes that are longer are not copied. */
const LONG_BYTES = 32_768;
/** The most that a connection gathers. */
const MOST_BYTES = 65_536;
/** The least room that is taken for a connection. */
const LEAST_BYTES = 64;
/** What is mapped at a time; how often at the most, and how many are kept for later. */
const CHUNK_BYTES = 262_144;
const MOST_CHUNKS = 64;
const SPARE_CHUNKS = 4;
/** The most bytes that a character of a string takes. */
const BYTES_A_UNIT = 3;

/** Somebody who has something to do that is not to be done on the spot. */
export interface CalledBack {
  /** Now it is to be done. */
  calledBack(): void;
}

/** Memory that connections share. It is used again when nothing of it is on its way. */
export class Chunk {
  /** The memory. */
  readonly memory: Mapping = Mapping.anonymous(CHUNK_BYTES);
  /** The same as bytes. */
  readonly bytes: Buffer = Buffer.from(this.memory.bytes.buffer, 0, CHUNK_BYTES);
  /** How many of them were given out. */
  used = 0;
  /** How many pieces of it are in use. */
  pieces = 0;
}

/** What all connections of a thread send through. */
export class Outbox implements Gatherer {
  readonly #reactor: Reactor;
  /** Connections that have gathered something. */
  #dirty: Connection[] = [];
  /** Quick sends that were queued and have not told of themselves. */
  #quick: QuickSend[] = [];
  /** Quick sends to be used again. */
  readonly #idle: QuickSend[] = [];
  /** Connections to be told something before the next submission. */
  #calls: CalledBack[] = [];
  #chunk: Chunk = new Chunk();
  readonly #spare: Chunk[] = [];
  #chunks = 1;
  /**
   * Whether a short send may count as failed. Kernel: before 6.1 one that does says EAGAIN, and not how much went, which
   * would be sent again. That cannot be asked for; whether there is an operation that came with 6.1 can.
   */
  readonly #tellsShort: boolean;
  /** Whether the process is ending, and there will be no other submission. */
  #leaving = false;

  /** Has the reactor ask before it submits. */
  constructor(reactor: Reactor) {
    this.#reactor = reactor;
    this.#tellsShort = reactor.engine.supports(IORING_OP_SENDMSG_ZC);
    reactor.gatherers.push(this);
    process.on("exit", this.#leave);
  }

  /** What was written is sent, also where the process ends in the same tick. */
  readonly #leave = (): void => {
    this.#leaving = true;
    for (const connection of this.#dirty) this.flush(connection);
  };

  // ---- Writing

  /** Takes bytes for a connection; how many. What is not taken is to be written again after drain. */
  write(connection: Connection, bytes: Uint8Array, offset: number, length: number): number {
    if (length === 0) return 0;
    if ((connection.state & (IS_BEHIND | WANTS_DRAIN)) !== 0) return this.#refuse(connection);
    if (length > LONG_BYTES || !this.#makeRoom(connection, length)) {
      return this.#writeLong(connection, bytes, offset, length);
    }
    const at = connection.start + connection.length;
    Buffer.prototype.copy.call(bytes, (connection.chunk as Chunk).bytes, at, offset, offset + length);
    connection.length += length;
    this.#mark(connection);
    return length;
  }

  /** The same for a string, as UTF-8; how many bytes. */
  writeText(connection: Connection, text: string): number {
    if (text === "") return 0;
    if ((connection.state & (IS_BEHIND | WANTS_DRAIN)) !== 0) return this.#refuse(connection);
    const most = text.length * BYTES_A_UNIT;
    if (most > LONG_BYTES || !this.#makeRoom(connection, most)) {
      const bytes = Buffer.from(text);
      return this.write(connection, bytes, 0, bytes.length);
    }
    const { bytes } = connection.chunk as Chunk;
    const written = bytes.write(text, connection.start + connection.length, most, "utf8");
    connection.length += written;
    this.#trim(connection);
    this.#mark(connection);
    return written;
  }

  #refuse(connection: Connection): 0 {
    connection.state |= WANTS_DRAIN;
    return 0;
  }

  #mark(connection: Connection): void {
    if (this.#leaving) this.flush(connection);
    if ((connection.state & IS_DIRTY) !== 0) return;
    connection.state |= IS_DIRTY;
    if (this.#dirty.push(connection) === 1) this.#reactor.due();
  }

  #writeLong(connection: Connection, bytes: Uint8Array, offset: number, length: number): number {
    if ((connection.state & IS_QUICK) !== 0) return this.#writePart(connection, bytes, offset, length);
    if (!this.flush(connection)) return this.#refuse(connection);
    const sent = sendNow(connection.fd, addressOf(steady(bytes)) + offset, length);
    if (sent < 0 && sent !== -EAGAIN) {
      connection.broken(sent);
      return 0;
    }
    const taken = Math.max(sent, 0);
    if (taken < length) {
      connection.state |= WANTS_DRAIN;
      connection.awaitRoom();
    }
    return taken;
  }

  /** What came before is on its way, with nobody knowing how far: as much as can be gathered. */
  #writePart(connection: Connection, bytes: Uint8Array, offset: number, length: number): number {
    const part = Math.min(length, MOST_BYTES - connection.length);
    if (part < length) connection.state |= WANTS_DRAIN;
    if (part <= 0 || !this.#makeRoom(connection, part)) return this.#refuse(connection);
    const { bytes: to } = connection.chunk as Chunk;
    Buffer.prototype.copy.call(bytes, to, connection.start + connection.length, offset, offset + part);
    connection.length += part;
    this.#mark(connection);
    return part;
  }

  /** Sends on the spot what a connection has gathered; whether all of it went. */
  flush(connection: Connection): boolean {
    if ((connection.state & (IS_QUICK | IS_BEHIND)) !== 0) return false;
    const { chunk, start, length } = connection;
    if (length === 0) return true;
    const address = (chunk as Chunk).memory.address + start;
    const sent = sendNow(connection.fd, address, length);
    if (sent < 0 && sent !== -EAGAIN) {
      this.forget(connection);
      connection.broken(sent);
      return false;
    }
    if (sent === length) {
      this.forget(connection);
      return true;
    }
    this.#moveOut(connection, chunk as Chunk, start, length, Math.max(sent, 0));
    return false;
  }

  /** Gives up what a connection has gathered. */
  forget(connection: Connection): void {
    if (connection.chunk !== undefined) this.#release(connection.chunk);
    connection.chunk = undefined;
    connection.length = connection.room = 0;
  }

  // ---- Memory

  /** Sees to it that a connection has room for so much more behind what it has gathered; whether there is any. */
  #makeRoom(connection: Connection, more: number): boolean {
    const { length, room, chunk } = connection;
    const needed = length + more;
    if (needed <= room) return true;
    if (needed > MOST_BYTES) return false;
    const end = connection.start + room;
    if (chunk !== undefined && chunk === this.#chunk && end === chunk.used && end - room + needed <= CHUNK_BYTES) {
      chunk.used += needed - room;
      connection.room = needed;
      return true;
    }
    // What grows in turns with others' is moved, each time to twice the room.
    const wanted = Math.max(LEAST_BYTES, length === 0 ? needed : Math.min(2 * needed, MOST_BYTES));
    if (this.#chunk.used + wanted > CHUNK_BYTES && !this.#nextChunk()) return false;
    const to = this.#chunk;
    const at = to.used;
    to.used += wanted;
    to.pieces++;
    if (chunk !== undefined) {
      chunk.bytes.copy(to.bytes, at, connection.start, connection.start + length);
      this.#release(chunk);
    }
    connection.chunk = to;
    connection.start = at;
    connection.room = wanted;
    return true;
  }

  /** Gives back room at the end that was not needed. */
  #trim(connection: Connection): void {
    const chunk = connection.chunk as Chunk;
    if (connection.start + connection.room !== chunk.used) return;
    connection.room = connection.length;
    chunk.used = connection.start + connection.length;
  }

  #nextChunk(): boolean {
    const next = this.#spare.pop();
    if (next === undefined && this.#chunks === MOST_CHUNKS) return false;
    if (next === undefined) this.#chunks++;
    this.#chunk = next ?? new Chunk();
    return true;
  }

  #release(chunk: Chunk): void {
    if (--chunk.pieces > 0) return;
    chunk.used = 0;
    if (chunk !== this.#chunk) this.#lay(chunk);
  }

  /** Keeps a chunk that is not in use, or gives it back. */
  #lay(chunk: Chunk): void {
    chunk.used = 0;
    if (this.#spare.length < SPARE_CHUNKS) {
      this.#spare.push(chunk);
      return;
    }
    chunk.memory.close();
    this.#chunks--;
  }

  // ---- Around a submission

  /** Has somebody called back before the next submission. */
  callBack(caller: CalledBack): void {
    if (this.#calls.push(caller) === 1) this.#reactor.due();
  }

  /** Implements {@link Gatherer}. */
  gather(): void {
    if (this.#calls.length > 0) {
      const calls = this.#calls;
      this.#calls = [];
      for (const caller of calls) caller.calledBack();
    }
    if (this.#dirty.length === 0) return;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const connection of dirty) {
      connection.state &= ~IS_DIRTY;
      if (connection.length > 0) this.#sendQuickly(connection);
      else connection.sent();
    }
  }

  #sendQuickly(connection: Connection): void {
    // The one before has not told yet how far it came, and is followed by this one when it has.
    if ((connection.state & (IS_QUICK | IS_BEHIND)) !== 0) return;
    const send = this.#idle.pop() ?? new QuickSend(this);
    send.connection = connection;
    send.fd = connection.fd;
    send.chunk = connection.chunk;
    send.start = connection.start;
    send.length = connection.length;
    connection.chunk = undefined;
    connection.length = connection.room = 0;
    connection.state |= IS_QUICK;
    connection.quick = send;
    this.#reactor.enqueueSilent(send);
  }

  /** @internal A quick send was queued, not one that waits for room; whether it is to tell of failures only. */
  queued(send: QuickSend): boolean {
    this.#quick.push(send);
    return this.#tellsShort && this.#reactor.tellsFailuresOnly;
  }

  /** Implements {@link Gatherer}: what has not told of a failure has succeeded. */
  settle(): void {
    if (this.#quick.length === 0) return;
    const quick = this.#quick;
    this.#quick = [];
    for (const send of quick) {
      if (send.slot < 0) continue;
      if (send.tells) {
        this.#quick.push(send);
        continue;
      }
      this.#reactor.release(send);
      this.sent(send, send.length);
    }
  }

  /** @internal What became of a quick send. */
  sent(send: QuickSend, res: number): void {
    const connection = send.connection as Connection;
    const chunk = send.chunk as Chunk;
    const { start, length } = send;
    send.connection = send.chunk = undefined;
    this.#idle.push(send);
    connection.state &= ~IS_QUICK;
    connection.quick = undefined;
    if (res === length) {
      this.#release(chunk);
      if (connection.length > 0) this.#mark(connection);
      else connection.sent();
    } else if (connection.fd < 0) {
      // Nobody waits for the rest: it was broken off meanwhile.
      this.#release(chunk);
    } else if (res >= 0 || res === -EAGAIN) {
      this.#moveOut(connection, chunk, start, length, Math.max(res, 0));
    } else {
      this.#release(chunk);
      connection.broken(res);
    }
  }

  /** Sends what is left of a piece, and what was gathered meanwhile, from memory of its own, with waiting. */
  #moveOut(connection: Connection, chunk: Chunk, start: number, length: number, sent: number): void {
    const more = connection.chunk === chunk && connection.start === start ? 0 : connection.length;
    const left = length - sent;
    const memory = Mapping.anonymous(left + more);
    memory.bytes.set(chunk.bytes.subarray(start + sent, start + length));
    if (more > 0) {
      const { bytes } = connection.chunk as Chunk;
      memory.bytes.set(bytes.subarray(connection.start, connection.start + more), left);
      this.#release(chunk);
    } else if (connection.chunk !== chunk) this.#release(chunk);
    this.forget(connection);
    connection.state |= IS_BEHIND;
    connection.owed = new OwedSend(this.#reactor, connection, memory);
    this.#reactor.enqueue(connection.owed);
  }

  /** Gives all memory back. Nothing may be on its way. */
  close(): void {
    process.off("exit", this.#leave);
    const { gatherers } = this.#reactor;
    const at = gatherers.indexOf(this);
    if (at >= 0) gatherers.splice(at, 1);
    for (const chunk of [this.#chunk, ...this.#spare]) chunk.memory.close();
    this.#spare.length = 0;
  }
}

/** Bytes whose address can be taken: those that may shrink are copied, although nobody can shrink them meanwhile. */
function steady(bytes: Uint8Array): Uint8Array {
  const { buffer } = bytes;
  const moves = buffer instanceof ArrayBuffer ? buffer.resizable : buffer.growable;
  return moves ? Uint8Array.from(bytes) : bytes;
}

/** A send that takes what the socket takes at once. */
export class QuickSend extends Request {
  /** Whose it is; undefined while it is idle. */
  connection: Connection | undefined;
  /** That one's descriptor. */
  fd = -1;
  /** Where what is sent lies. */
  chunk: Chunk | undefined;
  /** Where it begins there. */
  start = 0;
  /** How much it is. */
  length = 0;
  /** Whether it tells of success too. */
  tells = false;
  readonly #outbox: Outbox;

  /** Makes one to be used again and again. */
  constructor(outbox: Outbox) {
    super(SEND, undefined, undefined, undefined, undefined, undefined, undefined);
    this.#outbox = outbox;
  }

  override get silent(): boolean {
    return true;
  }

  override write(sqe: Slot): void {
    this.tells = !this.#outbox.queued(this);
    const word = this.tells ? IORING_OP_SEND : IORING_OP_SEND | (IOSQE_CQE_SKIP_SUCCESS << SQE_FLAGS_SHIFT);
    const flags = this.tells ? MSG_NOSIGNAL : WHOLLY;
    const address = (this.chunk as Chunk).memory.address + this.start;
    sqe.write(word, this.fd, 0, address, this.length, flags | MSG_DONTWAIT);
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    reactor.release(this);
    this.#outbox.sent(this, cqe.res);
  }

  /** Implements {@link Request}. */
  fail(): void {
    this.#outbox.sent(this, -ECANCELED);
  }
}

/** A send that waits until the socket has taken everything. */
export class OwedSend extends Request {
  readonly #reactor: Reactor;
  #connection: Connection | undefined;
  readonly #memory: Mapping;
  #sent = 0;

  /** @param memory what is to be sent, from now on its own. */
  constructor(reactor: Reactor, connection: Connection, memory: Mapping) {
    super(SEND, undefined, undefined, undefined, undefined, undefined, undefined);
    this.#reactor = reactor;
    this.#connection = connection;
    this.#memory = memory;
  }

  override write(sqe: Slot): void {
    const { fd } = this.#connection as Connection;
    const left = this.#memory.byteLength - this.#sent;
    sqe.write(IORING_OP_SEND, fd, 0, this.#memory.address + this.#sent, left, MSG_NOSIGNAL);
  }

  /** Nobody wants it any more. */
  abandon(): void {
    this.#connection = undefined;
    if (this.slot >= 0) this.#reactor.cancel(this);
    else this.#reactor.giveUp(this);
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    const { res } = cqe;
    reactor.release(this);
    if (res > 0) this.#sent += res;
    if (res > 0 && this.#sent < this.#memory.byteLength && this.#connection !== undefined) reactor.enqueue(this);
    else this.#over(res);
  }

  /** Implements {@link Request}. */
  fail(): void {
    this.#over(-ECANCELED);
  }

  #over(res: number): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#memory.close();
    if (connection === undefined) return;
    connection.owed = undefined;
    connection.state &= ~IS_BEHIND;
    if (res > 0) connection.sent();
    else connection.broken(res);
  }
}
