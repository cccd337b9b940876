/**
 * A connection: what its socket's users see is in socket.ts, what it does is here. It is its own request to receive,
 * which is in flight for as long as it is open, so that one at rest costs little more than two objects.
 */
import { EAGAIN, ECANCELED, EINTR, ENOBUFS, EPIPE } from "../abi/errno.gen.ts";
import { SHUT_RD, SHUT_WR } from "../abi/linux.ts";
import { EndWatch, type Receiver } from "../async/ends.ts";
import type { Reactor } from "../async/reactor.ts";
import { type Operation, Request } from "../async/request.ts";
import { UringError } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import type { Slot } from "../ring/prep/slot.ts";
import { type Handlers, settlePromises, tell, tellOf } from "./handlers.ts";
import type { Hub } from "./hub.ts";
import { Members } from "./members.ts";
import type { Chunk, OwedSend, QuickSend } from "./outbox.ts";
import { disown, own } from "./owned.ts";
import type { Received } from "./receives.ts";
import { Socket } from "./socket.ts";
import {
  CLOSES_AFTER_DRAIN,
  CLOSES_LATER,
  ENDS_LATER,
  HAS_ENDED,
  IS_BEHIND,
  IS_FINITE,
  IS_HALF_OPEN,
  IS_HELD,
  IS_NAMED,
  IS_OPEN,
  IS_PAUSED,
  IS_QUICK,
  IS_RECEIVING,
  IS_SHUT,
  IS_UNREFED,
  IS_WATCHED,
  SHUTS_LATER,
  WANTS_DRAIN,
} from "./states.ts";
import { breakOnClose, closeNow, shutDown, takeError } from "./system.ts";
import { FailureWatch, RoomWatch } from "./watch.ts";

const RECEIVE: Operation = { name: "IORING_OP_RECV", prep: () => undefined, yields: "count", wide: false };

/** What a handler of close is told of a failure. */
export function failureOf(res: number): Error {
  const { message, code, syscall, errno } = new UringError(res, "read");
  return Object.assign(new Error(message), { code, syscall, errno });
}

/** See above. */
export class Connection extends Request implements Receiver {
  /** What all connections of its thread share. */
  readonly hub: Hub;
  /** Its descriptor; -1 when it is closed. */
  fd: number;
  /** Bits of states.ts. */
  state: number = IS_OPEN;
  /** Who is told. */
  handlers: Handlers;
  /** Those that it is listed with, and the neighbours there. */
  readonly members: Members;
  /** The one before it. */
  previous: Connection | undefined;
  /** The one after it. */
  next: Connection | undefined;
  /** What its users have. */
  readonly socket: Socket<unknown>;
  /** How many bytes were taken to be sent. */
  bytesWritten = 0;
  /** When its time is up, as performance.now() has it; 0: never. */
  deadline = 0;
  // What it has gathered to send: the outbox's to write.
  /** Where that is. */
  chunk: Chunk | undefined;
  /** Where it begins. */
  start = 0;
  /** How much it is. */
  length = 0;
  /** How much it may become there. */
  room = 0;
  /** What is being sent of it. */
  quick: QuickSend | undefined;
  /** What the socket did not take at once. */
  owed: OwedSend | undefined;
  #room: RoomWatch | undefined;
  #failure: FailureWatch | undefined;
  #end: EndWatch | undefined;
  /** What came while it was paused. */
  #kept: Received[] | undefined;
  /** Why sending or connecting has failed, as -errno: the receive will end, and whoever is told is told this. */
  #broken = 0;

  /** @param fd is closed with it. */
  constructor(hub: Hub, fd: number, handlers: Handlers, members: Members, data: unknown, halfOpen: boolean) {
    super(RECEIVE, undefined, undefined, undefined, undefined, undefined, undefined);
    this.hub = hub;
    this.fd = fd;
    own(fd);
    this.handlers = handlers;
    this.members = members;
    if (halfOpen) this.state |= IS_HALF_OPEN;
    this.socket = new Socket(this, data);
    members.add(this);
  }

  /** One that never was: for who is told that there is none. */
  static closed(hub: Hub, handlers: Handlers, data: unknown): Connection {
    const made = new Connection(hub, -1, handlers, new Members(), data, false);
    made.state = 0;
    return made;
  }

  override get keeps(): boolean {
    return (this.state & IS_UNREFED) === 0;
  }

  /**
   * Tells that it is there, and begins to receive.
   *
   * @param onPath whether it is one of a path.
   * @param failure as -errno, of one that was reset meanwhile.
   */
  begin(onPath: boolean, failure: number = 0): void {
    this.#broken = failure;
    const { open } = this.handlers;
    if (open !== undefined && tell(this.handlers, open, this.socket)) this.close();
    settlePromises();
    this.#receive();
    if (onPath && this.hub.receives.goesOn) this.watchEnd();
  }

  // ---- Receiving

  /** Has the kernel receive, where that is wanted and not so already. */
  #receive(): void {
    if ((this.state & (IS_OPEN | IS_RECEIVING | IS_PAUSED | HAS_ENDED | ENDS_LATER)) !== IS_OPEN) return;
    if (this.#kept !== undefined) return;
    this.state |= IS_RECEIVING;
    this.hub.reactor.enqueue(this);
  }

  override write(sqe: Slot): void {
    this.hub.receives.write(sqe, this.fd, (this.state & IS_FINITE) !== 0);
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    const { more } = cqe;
    const { receives } = this.hub;
    let res = cqe.res;
    const wanted = (this.state & IS_OPEN) !== 0;
    const received = wanted ? receives.take(cqe, this.fd, this.handlers.binaryType) : receives.drop(cqe);
    if (!more) {
      reactor.release(this);
      this.state &= ~IS_RECEIVING;
    }
    if (!wanted) return;
    if (typeof received === "object") {
      if (more && (this.state & IS_WATCHED) === 0) {
        this.state |= IS_WATCHED;
        this.hub.looks.add(this);
      }
      this.#deliver(received);
    } else if (received !== undefined) res = received;
    if (!more) this.#over(typeof received === "object" ? 1 : res);
  }

  /** Implements {@link Request}. */
  fail(): void {
    this.state &= ~IS_RECEIVING;
    if ((this.state & IS_OPEN) !== 0 && this.hub.reactor.closing) this.close(failureOf(-ECANCELED));
  }

  #deliver(received: Received): void {
    if ((this.state & IS_PAUSED) !== 0 || this.#kept !== undefined) {
      (this.#kept ??= []).push(received);
      return;
    }
    const { data } = this.handlers;
    if (data === undefined) return;
    tellOf(this.handlers, data, this.socket, received);
    settlePromises();
  }

  /** A receive is over: goes on, or ends. */
  #over(res: number): void {
    if ((this.state & IS_OPEN) === 0) return;
    if (res === 0) this.#ended();
    else if (res > 0 || res === -ENOBUFS || res === -ECANCELED || res === -EINTR || res === -EAGAIN) this.#goOn(res);
    else if (this.hub.receives.fallsBack(res)) this.#receive();
    else {
      // Kernel: the failure is told once, to the send or the receive; a send that comes second is told of a broken pipe.
      this.close(failureOf(this.#broken === 0 || this.#broken === -EPIPE ? res : this.#broken));
      settlePromises();
    }
  }

  #goOn(res: number): void {
    if ((this.state & IS_PAUSED) !== 0) return this.#watchFailure();
    if ((this.state & IS_RECEIVING) === 0) this.hub.countAgain(res);
    this.#receive();
  }

  #ended(): void {
    if ((this.state & IS_PAUSED) !== 0 || this.#kept !== undefined) {
      this.state |= ENDS_LATER;
      this.#hold();
      return;
    }
    this.state |= HAS_ENDED;
    const { end } = this.handlers;
    const shut = (this.state & IS_SHUT) !== 0;
    if (this.#broken !== 0) this.close(failureOf(this.#broken));
    else if (shut || end === undefined) this.close();
    else {
      tell(this.handlers, end, this.socket);
      settlePromises();
      if ((this.state & IS_OPEN) === 0) return;
      if ((this.state & IS_HALF_OPEN) === 0) this.close();
      else {
        this.awaitRoom();
        this.#watchFailure();
      }
    }
    settlePromises();
  }

  /** Nothing is received for now; what comes is left to the kernel. */
  pause(): void {
    if ((this.state & (IS_OPEN | IS_PAUSED)) !== IS_OPEN) return;
    this.state |= IS_PAUSED;
    if ((this.state & IS_RECEIVING) !== 0) this.#cancelReceive();
    else this.#watchFailure();
    this.awaitRoom();
  }

  /** Goes on where {@link pause} has stopped. */
  resume(): void {
    if ((this.state & (IS_OPEN | IS_PAUSED)) !== (IS_OPEN | IS_PAUSED)) return;
    this.state &= ~IS_PAUSED;
    this.#failure?.cancel();
    this.#failure = undefined;
    this.#letGo();
    this.awaitRoom();
    this.hub.outbox.callBack(this);
  }

  /** Hands over what came while it was paused, and what was to be told. */
  calledBack(): void {
    while (this.#kept !== undefined && (this.state & (IS_OPEN | IS_PAUSED)) === IS_OPEN) {
      const kept = this.#kept;
      const { data } = this.handlers;
      const first = kept.shift();
      if (kept.length === 0) this.#kept = undefined;
      if (first === undefined || data === undefined) continue;
      tellOf(this.handlers, data, this.socket, first);
      settlePromises();
    }
    if ((this.state & (IS_OPEN | IS_PAUSED)) !== IS_OPEN) return;
    if ((this.state & ENDS_LATER) === 0) return this.#receive();
    this.state &= ~ENDS_LATER;
    this.#letGo();
    this.#ended();
  }

  /** Implements {@link Receiver}. */
  watchEnd(): void {
    // Connections come first. Those that are not watched are looked at after their data.
    if ((this.state & IS_OPEN) === 0 || this.hub.reactor.isCrowded) return;
    this.state |= IS_WATCHED;
    this.#end = new EndWatch(this.hub.reactor, this.fd, this);
  }

  /** Implements {@link Receiver}: what is left is received piece by piece. */
  watchOver(seen: boolean): void {
    this.#end = undefined;
    if ((this.state & (IS_OPEN | HAS_ENDED)) !== IS_OPEN) return;
    if (!seen) {
      this.state &= ~IS_WATCHED;
      return;
    }
    this.state |= IS_FINITE;
    if ((this.state & (IS_OPEN | IS_RECEIVING)) === (IS_OPEN | IS_RECEIVING)) this.#cancelReceive();
  }

  #cancelReceive(): void {
    const { reactor } = this.hub;
    if (this.slot >= 0) reactor.cancel(this);
    else reactor.giveUp(this);
  }

  // ---- Sending

  /** All that was gathered is sent. */
  sent(): void {
    if (this.length > 0 || (this.state & (IS_QUICK | IS_BEHIND)) !== 0) return;
    if ((this.state & SHUTS_LATER) !== 0) this.#shutNow();
    if ((this.state & CLOSES_LATER) !== 0) this.#letKernelClose();
    else if ((this.state & WANTS_DRAIN) !== 0 && this.#room === undefined) this.drained();
  }

  /** There is room again. */
  drained(): void {
    if ((this.state & IS_OPEN) === 0) return;
    this.state &= ~WANTS_DRAIN;
    const { drain } = this.handlers;
    if ((this.state & CLOSES_AFTER_DRAIN) !== 0) this.close();
    else if (drain !== undefined) tell(this.handlers, drain, this.socket);
    else return;
    settlePromises();
  }

  /** Sending has failed. */
  broken(res: number): void {
    this.hub.outbox.forget(this);
    this.#broken = res;
    if ((this.state & CLOSES_LATER) !== 0) return this.#letKernelClose();
    // The receive ends by itself, after it has brought what came before.
    if ((this.state & IS_OPEN) === 0 || (this.state & IS_RECEIVING) !== 0) return;
    this.close(failureOf(res));
  }

  /** Calls {@link drained} when there is room. Bun also does so where it has changed what it waits for. */
  awaitRoom(): void {
    if (this.#room !== undefined || (this.state & IS_OPEN) === 0) return;
    this.#room = new RoomWatch(this);
    this.hub.reactor.enqueue(this.#room);
  }

  /** @internal The watch for room is over. */
  roomy(): void {
    this.#room = undefined;
    if ((this.state & IS_BEHIND) === 0) this.drained();
  }

  /** @internal The watch for failures has seen something, or is over. */
  failed(over: boolean): void {
    if (over) this.#failure = undefined;
    if ((this.state & IS_OPEN) === 0) return;
    const failure = takeError(this.fd);
    const silent = (this.state & (HAS_ENDED | IS_SHUT)) === (HAS_ENDED | IS_SHUT);
    if (failure !== 0) this.close(failureOf(failure));
    else if (silent) this.close();
    // Kernel: before 5.13 none watches for long. Something else has to keep the process alive.
    else if (over) this.#hold();
    settlePromises();
  }

  /** Watches for the failure of a connection that does not receive, which also keeps the process alive. */
  #watchFailure(): void {
    if (this.#failure !== undefined || (this.state & IS_OPEN) === 0) return;
    this.#failure = new FailureWatch(this);
    this.hub.reactor.enqueue(this.#failure);
  }

  // ---- Ending

  /** Tells the peer that nothing more comes. */
  shut(): void {
    if ((this.state & (IS_OPEN | IS_SHUT)) !== IS_OPEN) return;
    this.state |= IS_SHUT;
    if (this.hub.outbox.flush(this)) this.#shutNow();
    else if (this.#broken === 0) this.state |= SHUTS_LATER;
  }

  #shutNow(): void {
    this.state &= ~SHUTS_LATER;
    if (this.fd >= 0) shutDown(this.fd, SHUT_WR);
  }

  /** Takes no more from the peer. */
  shutReading(): void {
    if ((this.state & IS_OPEN) !== 0) shutDown(this.fd, SHUT_RD);
  }

  /** Closes it when all is sent. For its users it is closed at once. */
  close(error?: Error): void {
    if (!this.#leave()) return;
    if (this.length > 0 || (this.state & (IS_QUICK | IS_BEHIND)) !== 0) this.state |= CLOSES_LATER;
    else this.#letKernelClose();
    this.#tellClosed(error);
  }

  /** Breaks it off. */
  terminate(): void {
    // What was written was written before.
    if ((this.state & IS_OPEN) !== 0) this.hub.outbox.flush(this);
    if (!this.#leave()) return;
    breakOnClose(this.fd);
    this.hub.outbox.forget(this);
    this.owed?.abandon();
    this.owed = undefined;
    if (this.quick?.slot === -1) this.hub.reactor.giveUp(this.quick);
    this.#letKernelClose();
    this.#tellClosed(undefined);
  }

  /** Is no longer open; whether it was. */
  #leave(): boolean {
    if ((this.state & IS_OPEN) === 0) return false;
    this.state &= ~IS_OPEN;
    this.members.remove(this);
    this.hub.clock.forget(this);
    this.#letGo();
    this.#kept = undefined;
    if ((this.state & IS_RECEIVING) !== 0) this.#cancelReceive();
    const watched = this.#room !== undefined || this.#failure !== undefined || this.#end !== undefined;
    if (watched || (this.state & (IS_RECEIVING | IS_QUICK | IS_BEHIND)) !== 0) this.state |= IS_NAMED;
    this.#room?.cancel();
    this.#failure?.cancel();
    this.#end?.cancel();
    this.#room = this.#failure = this.#end = undefined;
    return true;
  }

  #tellClosed(error: Error | undefined): void {
    const { close } = this.handlers;
    if (close !== undefined) tellOf(this.handlers, close, this.socket, error);
  }

  #letKernelClose(): void {
    this.state &= ~CLOSES_LATER;
    if (this.fd < 0) return;
    // An entry that is queued and names the descriptor must not find another's under its number. And the kernel closes
    // what an entry closes when it returns from the call, which would be after the others' sends.
    disown(this.fd);
    if ((this.state & IS_NAMED) !== 0) this.hub.discard(this.fd);
    else closeNow(this.fd);
    this.fd = -1;
  }

  // ---- Keeping the process alive

  /** Keeps the process alive while it is open, or no longer does. */
  keep(on: boolean): void {
    const { reactor } = this.hub;
    const held = (this.state & IS_HELD) !== 0;
    if (held) this.#letGo();
    this.state = on ? this.state & ~IS_UNREFED : this.state | IS_UNREFED;
    if (held) this.#hold();
    reactor.keep(this);
    if (this.#room !== undefined) reactor.keep(this.#room);
    if (this.#failure !== undefined) reactor.keep(this.#failure);
    if (this.#end !== undefined) reactor.keep(this.#end);
  }

  #hold(): void {
    if ((this.state & (IS_HELD | IS_UNREFED)) !== 0) return;
    this.state |= IS_HELD;
    this.hub.reactor.hold();
  }

  #letGo(): void {
    if ((this.state & IS_HELD) === 0) return;
    this.state &= ~IS_HELD;
    this.hub.reactor.unhold();
  }
}
