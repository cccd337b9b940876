/** What a function of this room asks of the ring: one request, or several one after another under one promise. */
import { closeSync } from "node:fs";
import { ECANCELED, EINTR } from "../abi/errno.gen.ts";
import type { RequestOptions } from "../async/options.ts";
import type { Reactor } from "../async/reactor.ts";
import { type Operation, Request } from "../async/request.ts";
import type { Cqe } from "../ring/cqe.ts";
import { type Subject, systemError } from "./errors.ts";
import { CLOSE } from "./operations.ts";

/** For what may have to wait: it goes to a worker thread of the kernel's at once. */
export const WAITS: RequestOptions = { async: true };

/** Moving so many bytes takes longer than handing it to a worker thread, and would hold up this one. */
export const HEAVY_BYTES: number = 256 * 1024;

type Resolve = (value: never) => void;
type Reject = (reason: unknown) => void;

/** Two functions of the promise that was made last: a promise's executor runs before its constructor returns. */
let resolveLast: Resolve;
let rejectLast: Reject;

const executor = (resolve: Resolve, reject: Reject): void => {
  resolveLast = resolve;
  rejectLast = reject;
};

/** A request that is made again with other arguments until its promise is settled. */
export abstract class Job<T> extends Request {
  /** Settled at the end. */
  readonly promise: Promise<T>;
  /** How the request that is made now is made. */
  how: RequestOptions | undefined = undefined;
  readonly #resolve: (value: T) => void;
  readonly #reject: Reject;

  /** Holds the first request. */
  constructor(operation: Operation, a: unknown, b?: unknown, c?: unknown, d?: unknown) {
    super(operation, a, b, c, d, undefined, undefined);
    this.promise = new Promise<T>(executor as ConstructorParameters<typeof Promise<T>>[0]);
    this.#resolve = resolveLast as (value: T) => void;
    this.#reject = rejectLast;
  }

  override get options(): RequestOptions | undefined {
    return this.how;
  }

  /** Whether it is no longer wanted. */
  protected get aborted(): boolean {
    return false;
  }

  /** Makes the first request. */
  begin(reactor: Reactor): Promise<T> {
    reactor.enqueue(this);
    return this.promise;
  }

  /** Makes the next request. */
  protected ask(reactor: Reactor, operation: Operation, a: unknown, b?: unknown, c?: unknown, d?: unknown): void {
    this.operation = operation;
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    reactor.enqueue(this);
  }

  /** A request has its result, `res`: settles, or asks on. What it throws rejects the promise. */
  protected abstract next(reactor: Reactor, res: number): void;

  /** Implements {@link Request}. */
  complete(reactor: Reactor, cqe: Cqe): void {
    if (cqe.more) return;
    const { res } = cqe;
    reactor.release(this);
    try {
      // A worker thread that was interrupted has done nothing.
      if (res === -EINTR && !this.aborted) reactor.enqueue(this);
      else this.next(reactor, res);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Settles with a value. */
  protected resolve(value: T): void {
    this.#resolve(value);
  }

  /** Settles with an error. */
  protected reject(error: unknown): void {
    this.#reject(error);
  }

  /** Implements {@link Request}. */
  fail(error: unknown): void {
    this.reject(error);
  }
}

/** A request that yields nothing. */
export class Deed extends Job<void> {
  readonly #syscall: string;
  readonly #subject: Subject;
  readonly #after: (() => void) | undefined;

  /**
   * @param syscall what Node.js calls it, for errors. @param subject what it is about, for errors.
   * @param after is called when it is over, before the promise is settled.
   */
  constructor(
    operation: Operation,
    args: readonly [a: unknown, b?: unknown, c?: unknown, d?: unknown],
    syscall: string,
    subject: Subject,
    after?: () => void,
  ) {
    super(operation, ...args);
    this.#syscall = syscall;
    this.#subject = subject;
    this.#after = after;
  }

  protected override next(_reactor: Reactor, res: number): void {
    this.end(res < 0 ? systemError(res, this.#syscall, this.#subject) : undefined);
  }

  override fail(error: unknown): void {
    this.end(error);
  }

  /** Settles. @param error what went wrong; undefined where nothing did. */
  protected end(error: unknown): void {
    this.#after?.();
    if (error === undefined) this.resolve();
    else this.reject(error);
  }
}

/** Closes a descriptor, by whatever way there is in the end. */
export class Closing extends Deed {
  #fd: number;

  /** @param after is called when it is over, before the promise is settled. */
  constructor(fd: number, after: () => void) {
    super(CLOSE, [fd], "close", { fd }, after);
    this.#fd = fd;
  }

  protected override next(reactor: Reactor, res: number): void {
    if (res === -ECANCELED) this.fail(undefined);
    else super.next(reactor, res);
  }

  override fail(_error: unknown): void {
    this.end(closeNow(this.#fd));
  }
}

/** Closes without the ring, which takes no requests any more. @returns the error, if there is one. */
export function closeNow(fd: number): unknown {
  try {
    closeSync(fd);
  } catch (error) {
    return error;
  }
  return undefined;
}
