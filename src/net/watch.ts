/** What is waited for on a connection's socket besides data. */
import { IORING_OP_POLL_ADD, IORING_POLL_ADD_MULTI } from "../abi/constants.gen.ts";
import { POLLERR, POLLHUP, POLLOUT } from "../abi/linux.ts";
import type { Reactor } from "../async/reactor.ts";
import { type Operation, Request } from "../async/request.ts";
import type { Cqe } from "../ring/cqe.ts";
import type { Slot } from "../ring/prep/slot.ts";
import type { Connection } from "./connection.ts";

const POLL: Operation = { name: "IORING_OP_POLL_ADD", prep: () => undefined, yields: "count", wide: false };

abstract class Watch extends Request {
  protected connection: Connection | undefined;
  readonly #of: Connection;

  constructor(connection: Connection) {
    super(POLL, undefined, undefined, undefined, undefined, undefined, undefined);
    this.#of = this.connection = connection;
  }

  override get keeps(): boolean {
    return this.#of.keeps;
  }

  /** Nobody wants to know any more. */
  cancel(): void {
    const { reactor } = this.#of.hub;
    this.connection = undefined;
    if (this.slot >= 0) reactor.cancel(this);
    else reactor.giveUp(this);
  }

  fail(): void {
    this.connection = undefined;
  }
}

/** Waits once for room to send. */
export class RoomWatch extends Watch {
  override write(sqe: Slot): void {
    sqe.write(IORING_OP_POLL_ADD, this.connection?.fd ?? -1, 0, 0, 0, POLLOUT);
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, _cqe: Cqe): void {
    reactor.release(this);
    this.connection?.roomy();
  }
}

/** Waits for failures, which need not be asked for. */
export class FailureWatch extends Watch {
  override write(sqe: Slot): void {
    // Many times, because a connection whose peer has ended has something to tell at once and for ever.
    sqe.write(IORING_OP_POLL_ADD, this.connection?.fd ?? -1, 0, 0, IORING_POLL_ADD_MULTI, 0);
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    const { res, more } = cqe;
    if (!more) reactor.release(this);
    const seen = res > 0 && (res & (POLLERR | POLLHUP)) !== 0;
    if (seen || !more) this.connection?.failed(!more);
  }
}
