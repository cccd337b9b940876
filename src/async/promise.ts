/** Requests that settle a promise. */
import { ECANCELED, ETIME } from "../abi/errno.gen.ts";
import { IORING_NOTIF_USAGE_ZC_COPIED, IORING_SEND_ZC_REPORT_USAGE } from "../abi/constants.gen.ts";
import { UringError } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import type { RequestOptions } from "./options.ts";
import type { Reactor } from "./reactor.ts";
import { isCanceled, type Operation, Request } from "./request.ts";

/** What became of a sending without copying. The memory that was sent is yours again. */
export interface ZeroCopySent {
  /** How many bytes were sent. */
  readonly bytes: number;
  /**
   * Whether the kernel had to copy them after all; null where nobody asked, with IORING_SEND_ZC_REPORT_USAGE, or nothing
   * was sent.
   */
  readonly copied: boolean | null;
}

type Settle = (value: never) => void;

/** Two functions of the promise that was made last: a promise's executor runs before its constructor returns. */
let resolveLast: Settle;
let rejectLast: (reason: unknown) => void;

const executor = (resolve: Settle, reject: (reason: unknown) => void): void => {
  resolveLast = resolve;
  rejectLast = reject;
};

/** A request whose promise is settled by its one completion. */
export class Simple extends Request {
  /** Settled when the request is over. */
  readonly promise: Promise<number>;
  readonly #resolve: (value: number) => void;
  readonly #reject: (reason: unknown) => void;

  /** Makes the promise too. */
  constructor(operation: Operation, a: unknown, b: unknown, c: unknown, d: unknown, e: unknown, f: unknown) {
    super(operation, a, b, c, d, e, f);
    this.promise = new Promise<number>(executor as ConstructorParameters<typeof Promise<number>>[0]);
    this.#resolve = resolveLast as (value: number) => void;
    this.#reject = rejectLast;
  }

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    // A raw operation can turn out to have more than one: its memory is the kernel's until the last.
    if (cqe.more) return;
    const { res } = cqe;
    reactor.release(this);
    if (res >= 0) this.#resolve(res);
    else this.#reject(new UringError(res, this.operation.name));
  }

  /** Implements {@link Request}. */
  fail(error: unknown): void {
    this.#reject(error);
  }
}

/**
 * A request whose promise takes more care: it has a signal or a time limit, or its result is something that would be
 * lost with it.
 */
export class Careful<T> extends Request {
  /** Settled when the request is over. */
  readonly promise: Promise<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #options: RequestOptions | undefined;
  readonly #reactor: Reactor;
  #dropped = false;
  /** Why it was canceled; undefined while it was not. */
  #reason: { readonly value: unknown } | undefined;
  /** The result of the link timeout; undefined until it has come, or where there is none. */
  #limit: number | undefined;
  /** The result, once it is known. */
  #res: number | undefined;
  #copied: boolean | null = null;

  /** Makes the promise too. @throws what {@link checkRequestOptions} would have refused. */
  constructor(
    reactor: Reactor,
    options: RequestOptions | undefined,
    operation: Operation,
    a: unknown,
    b: unknown,
    c: unknown,
    d: unknown,
    e: unknown,
    f: unknown,
  ) {
    super(operation, a, b, c, d, e, f);
    this.promise = new Promise<T>(executor as ConstructorParameters<typeof Promise<T>>[0]);
    this.#resolve = resolveLast as (value: T) => void;
    this.#reject = rejectLast;
    this.#reactor = reactor;
    this.#options = options;
    options?.signal?.addEventListener("abort", this.#abort);
  }

  override get options(): RequestOptions | undefined {
    return this.#options;
  }

  override get slots(): number {
    return super.slots + (this.#options?.timeoutMs === undefined ? 0 : 1);
  }

  override get dropped(): boolean {
    return this.#dropped;
  }

  readonly #abort = (): void => {
    this.#reason = { value: this.#options?.signal?.reason };
    if (this.slot >= 0) this.#reactor.cancel(this);
    else if (this.#res === undefined) {
      this.#dropped = true;
      this.fail(this.#reason.value);
    }
  };

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    if (cqe.notification) {
      // Kernel: 6.2 says how the memory was used, where the request has asked.
      if (this.#reports) this.#copied = (cqe.res & IORING_NOTIF_USAGE_ZC_COPIED) !== 0;
    } else this.#res = cqe.res;
    if (cqe.more) return;
    this.#finish(reactor);
  }

  override timedOut(reactor: Reactor, res: number): void {
    this.#limit = res;
    // The request itself may have been waiting for this, to know why it was canceled.
    if (this.#res !== undefined && this.#waits) this.#finish(reactor);
  }

  /** Whether the request is over but for its time limit's answer. */
  #waits = false;

  #finish(reactor: Reactor): void {
    const res = this.#res as number;
    const timed = this.#options?.timeoutMs !== undefined;
    if (timed && this.#limit === undefined && isCanceled(res) && this.#reason === undefined) {
      this.#waits = true;
      return;
    }
    reactor.release(this);
    this.#options?.signal?.removeEventListener("abort", this.#abort);
    const unwanted = res >= 0 && (this.#reason !== undefined || reactor.closing);
    if (unwanted && this.discard(reactor, res)) {
      this.#reject(this.#reason === undefined ? new UringError(ECANCELED, this.operation.name) : this.#reason.value);
    } else if (res >= 0 || (res === -ETIME && this.operation.yields === "elapsed")) this.#resolve(this.#value(res));
    else if (this.#reason !== undefined && isCanceled(res)) this.#reject(this.#reason.value);
    else if (this.#limit === -ETIME && isCanceled(res)) this.#reject(new UringError(ETIME, this.operation.name));
    else this.#reject(new UringError(res, this.operation.name));
  }

  #value(res: number): T {
    return (this.operation.yields === "sent" ? { bytes: res, copied: this.#copied } : res) as T;
  }

  /** Whether a sending was to tell of its memory. The one with a message takes such flags in its options only. */
  get #reports(): boolean {
    const flags = this.operation.name === "IORING_OP_SEND_ZC" ? ((this.d as number | undefined) ?? 0) : 0;
    return ((flags | (this.#options?.ioprio ?? 0)) & IORING_SEND_ZC_REPORT_USAGE) !== 0;
  }

  /** Implements {@link Request}. */
  fail(error: unknown): void {
    this.#res = -ECANCELED;
    this.#options?.signal?.removeEventListener("abort", this.#abort);
    this.#reject(error);
  }
}
