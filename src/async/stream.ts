/** Multishot requests as async iterators: one request, many completions, a bounded queue between them and the reader. */
import { ECANCELED, ENOBUFS } from "../abi/errno.gen.ts";
import { describe, rangeError, typeError, UringError } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import { Fifo } from "./fifo.ts";
import { checkSignal, type RequestOptions } from "./options.ts";
import type { Ending, Reactor } from "./reactor.ts";
import { type Operation, Request } from "./request.ts";

/** How a shot is made. */
export interface ShotOptions {
  /** Ends the iteration when it aborts: the step that waits rejects with the reason, once the kernel has let go. */
  signal?: AbortSignal;
  /** The descriptor is the index of a registered file. */
  fixedFile?: boolean;
  /**
   * How many results may wait to be read, 256 unless given. With as many the shot is ended, and begun again when half of
   * them have been read: meanwhile the kernel keeps what comes, as it does for anybody who does not read. What it has
   * at that moment still comes.
   */
  maxQueued?: number;
}

const shotOptions = ["signal", "fixedFile", "maxQueued", "flags", "copy", "count", "nameBytes", "controlBytes"];

/** Refuses options that cannot be. @throws TypeError or RangeError `ERR_URING_OPTIONS`. */
export function checkShotOptions(options: ShotOptions): void {
  if (typeof options !== "object" || options === null) {
    throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(options)} as options`);
  }
  for (const name of Object.keys(options)) {
    if (shotOptions.includes(name)) continue;
    throw typeError("ERR_URING_OPTIONS", `Cannot begin a shot: there is no option ${JSON.stringify(name)}`);
  }
  checkSignal(options.signal);
  const { maxQueued = 1 } = options;
  if (Number.isInteger(maxQueued) && maxQueued > 0) return;
  throw rangeError("ERR_URING_OPTIONS", `Cannot use ${describe(maxQueued)} as option maxQueued: it must be 1 or more`);
}

/** What is to be done when a shot has ended by itself. */
export type Verdict = "again" | "wait" | "end" | "fail";

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };
const MAX_QUEUED = 256;

/**
 * The results of a multishot request, to be read with `for await`. See {@link Multishot}, which it is.
 */
export interface MultishotIterator<T> extends AsyncIterableIterator<T, undefined, undefined>, AsyncDisposable {
  /** The next result; done when nothing more comes. Rejects once where the request failed or was aborted. */
  next(): Promise<IteratorResult<T, undefined>>;
  /** Ends the iteration: resolves when the kernel has let go of the request. A loop that is left does it. */
  return(): Promise<IteratorResult<T, undefined>>;
  /** It is its own iterator. */
  [Symbol.asyncIterator](): this;
}

/**
 * The results of a multishot request, to be read with `for await`. The request is made at the first step and made again
 * when the kernel ends it, as long as that is right. Leaving the loop, throwing in it and aborting it cancel the request
 * and wait for its last completion; what had come and was not read is given back or closed.
 *
 * An iterator that is begun and neither read to its end nor left goes on until its ring is closed.
 */
export abstract class Multishot<T, Item = T> implements MultishotIterator<T>, Ending {
  /** The ring's loop. */
  protected readonly reactor: Reactor;
  readonly #shot: Shot;
  readonly #signal: AbortSignal | undefined;
  readonly #maxQueued: number;
  readonly #queue = new Fifo<Item>();
  readonly #waiters = new Fifo<Waiter<T>>();
  /** Whether the request waits for room or is in flight. */
  #shooting = false;
  /** Why it was canceled, to be made again later; nothing where it was not. */
  #pausing = "";
  #begun = false;
  /** Whether nothing more is wanted: results that still come are discarded. */
  #ending = false;
  /** Whether nothing more comes. */
  #ended = false;
  /** What is told at the end, once. */
  #failure: { readonly reason: unknown } | undefined;
  readonly #leaving: (() => void)[] = [];

  /** Makes the iterator, and no request yet. */
  constructor(reactor: Reactor, operation: Operation, options: ShotOptions, args: readonly unknown[]) {
    checkShotOptions(options);
    this.reactor = reactor;
    this.#signal = options.signal;
    this.#maxQueued = options.maxQueued ?? MAX_QUEUED;
    const entry = options.fixedFile === undefined ? undefined : { fixedFile: options.fixedFile };
    this.#shot = new Shot(this as unknown as Multishot<unknown>, entry, operation, args);
  }

  /** The result of a completion that is to be queued; undefined where it has none. */
  protected abstract take(cqe: Cqe): Item | undefined;

  /** What a result that nobody will read holds is given back. */
  protected abstract discard(item: Item): void;

  /** What to do after the last completion of a shot, which had `res`. ENOBUFS and cancellation are not asked about. */
  protected abstract judge(res: number): Verdict;

  /** The step before is over: what it was lent comes back. */
  protected settleStep(): void {}

  /** The result as the reader gets it. */
  protected abstract handOver(item: Item): T;

  /** Melts a new result into the last one that waits, where that says all; otherwise false. */
  protected merge(_queue: Fifo<Item>, _item: Item): boolean {
    return false;
  }

  /** The shot is over, or will be: what goes beside it is not needed any more. */
  protected letGo(): void {}

  /** Whether a shot is under way that goes on. */
  protected get goesOn(): boolean {
    return this.#shooting && this.#pausing === "" && !this.#ending;
  }

  /** There was no buffer: calls {@link again} when that may have changed. */
  protected starve(): void {
    this.again("ENOBUFS");
  }

  /** Implements the iterator. */
  next(): Promise<IteratorResult<T, undefined>> {
    this.settleStep();
    const item = this.#queue.shift();
    if (item !== undefined) {
      if (!this.#shooting && this.#queue.size <= this.#maxQueued / 2) this.#resume();
      if (this.#ended && this.#queue.size === 0) this.reactor.endings.delete(this);
      return Promise.resolve({ done: false, value: this.handOver(item) });
    }
    this.#begin();
    if (this.#ended) return this.#last();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      if (!this.#shooting) this.#resume();
    });
  }

  /** Implements the iterator: called where a loop is left. Resolves when the kernel has let go. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.settleStep();
    await this.#leave();
    this.#failure = undefined;
    return DONE;
  }

  /** The same as leaving the loop. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** It is its own iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  #last(): Promise<IteratorResult<T, undefined>> {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure === undefined ? Promise.resolve(DONE) : Promise.reject(failure.reason);
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    if (this.#signal?.aborted === true) return this.#finish({ reason: this.#signal.reason });
    if (this.reactor.closing) return this.#finish({ reason: this.reactor.closedError() });
    this.reactor.endings.add(this);
    this.#signal?.addEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => {
    this.#failure = { reason: this.#signal?.reason };
    void this.#leave();
  };

  /** Implements {@link Ending}. */
  end(error: unknown): void {
    this.#failure ??= { reason: error };
    void this.#leave();
  }

  /** Ends it: discards what waits, and cancels what is in flight; resolves when that is over. */
  #leave(): Promise<void> {
    for (const item of this.#queue.drain()) this.discard(item);
    this.reactor.endings.delete(this);
    if (this.#ended) return Promise.resolve();
    this.#ending = true;
    if (!this.#shooting) {
      this.#finish(this.#failure);
      return Promise.resolve();
    }
    this.letGo();
    if (this.#shot.slot >= 0) this.reactor.cancel(this.#shot);
    else this.reactor.giveUp(this.#shot);
    return this.#ended ? Promise.resolve() : new Promise((resolve) => this.#leaving.push(resolve));
  }

  /** Nothing more comes. */
  #finish(failure: { readonly reason: unknown } | undefined): void {
    this.#ended = true;
    this.#failure = failure;
    // What is still to be read lies in memory that goes with the ring.
    if (this.#queue.size === 0) this.reactor.endings.delete(this);
    this.#signal?.removeEventListener("abort", this.#abort);
    for (const waiter of this.#waiters.drain()) this.#last().then(waiter.resolve, waiter.reject);
    for (const left of this.#leaving) left();
  }

  #resume(): void {
    if (this.#ended || this.#ending || this.#starving) return;
    if (this.#shots > 0) this.#count(this.#why);
    this.#shots++;
    this.#shooting = true;
    this.#pausing = "";
    this.reactor.enqueue(this.#shot);
  }

  #starving = false;
  #shots = 0;
  /** Why the last shot ended. */
  #why = "";

  #count(why: string): void {
    const { rearms } = this.reactor;
    rearms.set(why, (rearms.get(why) ?? 0) + 1);
  }

  /** Begins the shot again that has ended for want of buffers. */
  protected again(why: string): void {
    this.#starving = false;
    this.#why = why;
    if (!this.#shooting) this.#resume();
  }

  /** @internal A completion of the shot. */
  completed(cqe: Cqe): void {
    const { res } = cqe;
    try {
      const item = this.take(cqe);
      if (item !== undefined) this.#deliver(item);
    } catch (error) {
      // Somebody else has meddled with the buffers; the other requests are not to suffer from it.
      this.end(error);
    }
    if (cqe.more) return;
    this.reactor.release(this.#shot);
    this.over(res);
  }

  #deliver(item: Item): void {
    if (this.#ending) return this.discard(item);
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) return waiter.resolve({ done: false, value: this.handOver(item) });
    if (this.merge(this.#queue, item)) return;
    this.#queue.push(item);
    if (this.#queue.size >= this.#maxQueued) this.pause("backpressure");
  }

  /** Has the shot end that is under way, to be made again when somebody reads. Nothing is lost by it. */
  protected pause(why: string): void {
    if (!this.goesOn || this.#shot.slot < 0) return;
    this.#pausing = why;
    this.reactor.cancel(this.#shot);
  }

  /** @internal The shot is over, for whatever reason. */
  over(res: number): void {
    this.#shooting = false;
    this.letGo();
    const paused = this.#pausing;
    this.#pausing = "";
    if (this.#ending) return this.#finish(this.#failure);
    if (res === -ENOBUFS) {
      this.#starving = true;
      return this.starve();
    }
    if (res === -ECANCELED && paused !== "") this.#why = paused;
    else if (res === -ECANCELED) return this.#finish({ reason: new UringError(res, this.#shot.operation.name) });
    else if (!this.#goesOn(res)) return;
    // The next step begins it again where nobody waits for one now and enough wait to be read.
    if (this.#waiters.size > 0 || (paused === "" && !this.#waits)) this.#resume();
  }

  /** Whether the next shot waits until somebody reads. */
  #waits = false;

  #goesOn(res: number): boolean {
    const verdict = this.judge(res);
    this.#waits = verdict === "wait" || this.#queue.size >= this.#maxQueued;
    this.#why = res < 0 ? new UringError(res, "").code : "ended";
    if (verdict === "again" || verdict === "wait") return true;
    this.#finish(verdict === "end" ? undefined : { reason: new UringError(res, this.#shot.operation.name) });
    return false;
  }

  /** @internal The shot could not be made. */
  refused(error: unknown): void {
    this.#shooting = false;
    this.#finish(this.#failure ?? (this.#ending ? undefined : { reason: error }));
  }
}

class Shot extends Request {
  readonly #stream: Multishot<unknown>;
  readonly #options: RequestOptions | undefined;

  constructor(
    stream: Multishot<unknown>,
    options: RequestOptions | undefined,
    operation: Operation,
    args: readonly unknown[],
  ) {
    super(operation, args[0], args[1], args[2], args[3], args[4], args[5]);
    this.#stream = stream;
    this.#options = options;
  }

  override get options(): RequestOptions | undefined {
    return this.#options;
  }

  complete(_reactor: Reactor, cqe: Cqe): void {
    this.#stream.completed(cqe);
  }

  fail(error: unknown): void {
    this.#stream.refused(error);
  }
}
