/**
 * Ends of peers, looked for by more than a receive.
 *
 * Kernel: a multishot receive may be done with the last data and not look for the end that came with it: that of a Unix
 * socket, or a reset. What is polled for beside it is told in any case. See `end-missed` among the quirks.
 */
import { IORING_OP_POLL_ADD } from "../abi/constants.gen.ts";
import { POLLRDHUP } from "../abi/linux.ts";
import type { Cqe } from "../ring/cqe.ts";
import type { Slot } from "../ring/prep/slot.ts";
import type { RequestOptions } from "./options.ts";
import type { Reactor } from "./reactor.ts";
import { type Operation, Request } from "./request.ts";

/** How long a receive is left alone after its first data: most short connections are over by then. */
const WATCH_AFTER_MS = 20;

/** Who receives, and may miss the end. */
export interface Receiver {
  /** Whether it keeps the process alive. */
  readonly keeps: boolean;
  /** Begins to look for the end with an {@link EndWatch}, if that is still wanted. */
  watchEnd(): void;
  /**
   * The watch is over.
   *
   * @param seen whether the peer sends nothing more: a receive that is still under way may have missed it. Otherwise
   * somebody has cancelled the watch.
   */
  watchOver(seen: boolean): void;
}

/** This thread's that are to be watched in a moment. */
let unwatched: Receiver[] = [];

/** Has a receiver's end looked for in a moment, together with that of others. */
export function watchEndLater(receiver: Receiver): void {
  if (unwatched.push(receiver) === 1) setTimeout(watchEnds, WATCH_AFTER_MS).unref();
}

function watchEnds(): void {
  const receivers = unwatched;
  unwatched = [];
  for (const receiver of receivers) receiver.watchEnd();
}

const POLL: Operation = { name: "IORING_OP_POLL_ADD", prep: () => undefined, yields: "count", wide: false };

/** Waits once for the peer to send nothing more. */
export class EndWatch extends Request {
  readonly #reactor: Reactor;
  readonly #fd: number;
  readonly #receiver: Receiver;
  readonly #options: RequestOptions | undefined;
  #over = false;

  /** Begins to wait. */
  constructor(reactor: Reactor, fd: number, receiver: Receiver, options?: RequestOptions) {
    super(POLL, undefined, undefined, undefined, undefined, undefined, undefined);
    this.#reactor = reactor;
    this.#fd = fd;
    this.#receiver = receiver;
    this.#options = options;
    reactor.enqueue(this);
  }

  override get options(): RequestOptions | undefined {
    return this.#options;
  }

  override get keeps(): boolean {
    return this.#receiver.keeps;
  }

  override write(sqe: Slot): void {
    sqe.write(IORING_OP_POLL_ADD, this.#fd, 0, 0, 0, POLLRDHUP);
  }

  /** Nobody wants to know any more. */
  cancel(): void {
    this.#over = true;
    if (this.slot >= 0) this.#reactor.cancel(this);
    else this.#reactor.giveUp(this);
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    const { res } = cqe;
    reactor.release(this);
    if (!this.#over) this.#receiver.watchOver(res > 0);
  }

  /** Implements {@link Request}. */
  fail(): void {
    if (!this.#over) this.#receiver.watchOver(false);
  }
}
