/** Messages between rings of one process, whichever threads they are on: numbers and descriptors, by the kernel. */
import { describe, rangeError, typeError } from "../errors.ts";
import { checkCount, checkFd } from "../ring/prep/check.ts";
import { prepMsgRing, prepMsgRingFdAlloc } from "../ring/prep/msg.ts";
import { type Slot, SQE_OFF } from "../ring/prep/slot.ts";
import { Fifo } from "./fifo.ts";
import { Simple } from "./promise.ts";
import type { Ending, Reactor } from "./reactor.ts";
import type { Operation } from "./request.ts";

/**
 * What one ring sends to another: a whole number from 0 to 2^53 - 1; a descriptor of the process, which its receiver is
 * to close; or a place in the sender's table of registered files, which arrives as one in the receiver's, with the file
 * in both. Numbers and descriptors keep their order; a place can overtake them.
 */
export type RingMessage = number | { readonly fd: number } | { readonly index: number };

/**
 * The user data of a message: bit 63, by which it is told from a request's; two bits that say what it is; and 53 bits of
 * a number. The high half of these, with where the kind stands in it.
 */
const MESSAGE = -0x8000_0000;
const KIND_SHIFT = 21;
const HIGH_MASK = 2 ** KIND_SHIFT - 1;
const NUMBER = 0;
const DESCRIPTOR = 1;
const INDEX = 2;

function writeData(sqe: Slot, kind: number, value: number): void {
  sqe.set(SQE_OFF, value % 2 ** 32);
  sqe.set(SQE_OFF + 1, MESSAGE | (kind << KIND_SHIFT) | Math.floor(value / 2 ** 32));
}

const SEND: Operation = {
  name: "IORING_OP_MSG_RING",
  prep: (sqe: Slot, ringFd: number, kind: number, value: number) => {
    prepMsgRing(sqe, ringFd, 0, 0);
    writeData(sqe, kind, value);
  },
  yields: "count",
  wide: false,
};

const SEND_INDEX: Operation = {
  name: "IORING_OP_MSG_RING",
  prep: (sqe: Slot, ringFd: number, index: number) => {
    prepMsgRingFdAlloc(sqe, ringFd, index, 0);
    writeData(sqe, INDEX, 0);
  },
  yields: "count",
  wide: false,
};

/** The way to another ring. See {@link AsyncRing.port}. */
export class RingPort {
  readonly #reactor: Reactor;
  readonly #ringFd: number;

  /** @internal */
  constructor(reactor: Reactor, ringFd: number) {
    checkFd(ringFd);
    this.#reactor = reactor;
    this.#ringFd = ringFd;
  }

  /**
   * Sends a message. It has arrived in the other ring's queue when the promise resolves; nobody needs to have read it.
   *
   * @returns for a place among the registered files the place that it has in the other table, otherwise 0. Rejects with
   * UringError: EBADFD where the number is no ring's, EOVERFLOW where its queue is full, ENFILE where its table is; and
   * TypeError or RangeError for what is no message.
   * @kernel 5.18
   * @man io_uring_prep_msg_ring(3)
   */
  async send(message: RingMessage): Promise<number> {
    const request = this.#requestFor(message);
    this.#reactor.enqueue(request);
    return request.promise;
  }

  #requestFor(message: RingMessage): Simple {
    const to = this.#ringFd;
    const none = undefined;
    if (typeof message === "number") {
      if (!Number.isSafeInteger(message) || message < 0) {
        throw rangeError("ERR_URING_ARG_VALUE", `Cannot send ${message}: it must be a whole number from 0 to 2^53 - 1`);
      }
      return new Simple(SEND, to, NUMBER, message, none, none, none);
    }
    if (typeof message === "object" && message !== null && "fd" in message) {
      checkCount("descriptor", message.fd);
      return new Simple(SEND, to, DESCRIPTOR, message.fd, none, none, none);
    }
    if (typeof message === "object" && message !== null && "index" in message) {
      return new Simple(SEND_INDEX, to, message.index, none, none, none, none);
    }
    throw typeError("ERR_URING_ARG_TYPE", `Cannot send ${describe(message)}: it is no number, fd or index`);
  }
}

interface Waiter {
  readonly resolve: (result: IteratorResult<RingMessage, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The messages that a ring is sent, in the order in which they arrive. Those that come before they are read wait, as
 * they do in a MessagePort. While somebody reads, the process is kept alive.
 */
export class Messages implements AsyncIterableIterator<RingMessage, undefined, undefined>, Ending {
  readonly #reactor: Reactor;
  readonly #queue = new Fifo<RingMessage>();
  readonly #waiters = new Fifo<Waiter>();
  #failure: { readonly reason: unknown } | undefined;
  #over = false;

  /** @internal */
  constructor(reactor: Reactor) {
    this.#reactor = reactor;
    reactor.endings.add(this);
  }

  /** @internal A completion has brought one. */
  arrived(low: number, high: number, res: number): void {
    const value = (high & HIGH_MASK) * 2 ** 32 + (low >>> 0);
    const kind = (high >>> KIND_SHIFT) & 3;
    const message = kind === NUMBER ? value : kind === DESCRIPTOR ? { fd: value } : { index: res };
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#queue.push(message);
      return;
    }
    this.#reactor.unhold();
    waiter.resolve({ done: false, value: message });
  }

  /** Implements the iterator. */
  next(): Promise<IteratorResult<RingMessage, undefined>> {
    const value = this.#queue.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#over) return this.#last();
    this.#reactor.hold();
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  #last(): Promise<IteratorResult<RingMessage, undefined>> {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(failure.reason);
  }

  /** Implements the iterator: called where a loop is left. Messages that come later wait for the next loop. */
  return(): Promise<IteratorResult<RingMessage, undefined>> {
    for (const waiter of this.#waiters.drain()) {
      this.#reactor.unhold();
      waiter.resolve({ done: true, value: undefined });
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  /** It is its own iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Implements {@link Ending}: descriptors that nobody has read are closed. */
  end(error: unknown): void {
    this.#over = true;
    this.#failure = { reason: error };
    for (const message of this.#queue.drain()) {
      if (typeof message === "object" && "fd" in message) this.#reactor.discardDescriptor(message.fd);
    }
    for (const waiter of this.#waiters.drain()) {
      this.#reactor.unhold();
      this.#last().then(waiter.resolve, waiter.reject);
    }
  }
}
