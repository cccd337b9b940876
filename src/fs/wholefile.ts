/** What reading and writing a whole file have in common: a place, a descriptor, and an end that gives both back. */
import { IORING_OP_OPENAT } from "../abi/constants.gen.ts";
import { ECANCELED, EEXIST, ENOENT, ENXIO } from "../abi/errno.gen.ts";
import type { Reactor } from "../async/reactor.ts";
import type { Operation } from "../async/request.ts";
import { reactorFor } from "./door.ts";
import { systemError } from "./errors.ts";
import { closeNow, Job, WAITS } from "./job.ts";
import { CLOSE, OPEN } from "./operations.ts";
import { type Guest, leave, type Place, wait } from "./places.ts";

const NONE = -1;

/** Where a {@link WholeFile} is. */
type Stage = "opening" | "open" | "closing";

/** What a {@link WholeFile} is given. */
export interface Task<T> {
  /** The file. */
  readonly path: string;
  /**
   * O_* to open it with; the next where one finds no file, or one where there should be none, or a FIFO that nobody reads.
   */
  readonly attempts: readonly number[];
  /** The mode of a file that is made. */
  readonly mode: number;
  /** Aborts it. */
  readonly signal: AbortSignal | undefined;
  /** Bun's own function, with the same arguments. */
  readonly instead: () => Promise<T>;
}

/** A job that opens a file, does something with it and closes it. */
export abstract class WholeFile<T> extends Job<T> implements Guest {
  /** The file, while it is open. */
  protected fd: number = NONE;
  /** The memory that comes with the place, while it has one. */
  protected room: Place | undefined;
  readonly #task: Task<T>;
  #attempt = 0;
  #stage: Stage = "opening";
  #failure: Error | undefined;
  #aborted = false;
  /** Where its requests went last. */
  #reactor: Reactor | undefined;

  /** Holds its task. */
  constructor(task: Task<T>) {
    super(OPEN, undefined);
    this.#task = task;
    task.signal?.addEventListener("abort", this.#abort);
  }

  protected override get aborted(): boolean {
    return this.#aborted;
  }

  readonly #abort = (): void => {
    this.#aborted = true;
    if (this.slot >= 0) this.#reactor?.cancel(this);
  };

  /** The flags that the file is opened with. */
  protected get flags(): number {
    return this.#task.attempts[this.#attempt] as number;
  }

  /** Begins when there is a place. */
  start(): Promise<T> {
    try {
      wait(this);
    } catch (error) {
      this.fail(error);
    }
    return this.promise;
  }

  /** Implements {@link Guest}. */
  enter(place: Place): void {
    this.room = place;
    const reactor = reactorFor(IORING_OP_OPENAT);
    if (reactor === undefined) this.fail(new Error("Cannot open a file: the ring was closed"));
    else if (this.fd !== NONE) this.back(reactor);
    else if (this.#aborted) this.#settle();
    else this.#open(reactor);
  }

  /** Makes the next request; the only one that what was aborted makes is the one that closes. */
  protected override ask(
    reactor: Reactor,
    operation: Operation,
    a: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
  ): void {
    this.#reactor = reactor;
    if (this.#aborted && this.#stage === "open") this.close(reactor);
    else super.ask(reactor, operation, a, b, c, d);
  }

  #open(reactor: Reactor): void {
    // Kernel: the first attempt of the ring does not block, so it does not wait for a FIFO's other end (5.6 to 7.3).
    this.how = this.#attempt === 0 ? undefined : WAITS;
    this.ask(reactor, OPEN, this.#task.path, this.flags, this.#task.mode);
  }

  /** Gives the place to others for as long as nothing happens. */
  protected stepOut(): void {
    const place = this.room;
    this.room = undefined;
    if (place !== undefined) leave(place);
  }

  /** Wants a place again; {@link back} is called when there is one. */
  protected stepIn(): void {
    wait(this);
  }

  /** There is a place again. */
  protected back(_reactor: Reactor): void {}

  protected override next(reactor: Reactor, res: number): void {
    if (this.#stage === "open") this.opened(reactor, res);
    else if (this.#stage === "closing") {
      if (res === -ECANCELED) closeNow(this.fd);
      this.fd = NONE;
      this.#settle();
    } else if (res >= 0) {
      this.fd = res;
      this.#stage = "open";
      this.how = undefined;
      this.first(reactor);
    } else if (
      (res === -ENOENT || res === -EEXIST || res === -ENXIO) &&
      this.#attempt + 1 < this.#task.attempts.length
    ) {
      this.#attempt++;
      this.#open(reactor);
    } else {
      this.#failure = systemError(res, "open", { path: this.#task.path });
      this.#settle();
    }
  }

  /** The file is open: makes the first request. */
  protected abstract first(reactor: Reactor): void;

  /** A request has its result: makes the next, or closes. */
  protected abstract opened(reactor: Reactor, res: number): void;

  /** What the promise is settled with. The file is closed, the place still there. */
  protected abstract value(): T | Promise<T>;

  /** Closes, and settles with {@link value} or the failure. */
  protected close(reactor: Reactor, failure?: Error): void {
    this.#failure = failure;
    this.#stage = "closing";
    this.how = undefined;
    this.ask(reactor, CLOSE, this.fd);
  }

  #settle(): void {
    const { signal } = this.#task;
    signal?.removeEventListener("abort", this.#abort);
    if (this.#aborted) {
      // What Bun says to a signal that was aborted before is what it says to one that aborts meanwhile.
      this.stepOut();
      return this.resolve(this.instead() as T);
    }
    if (this.#failure !== undefined) return this.fail(this.#failure);
    const value = this.value();
    this.stepOut();
    this.resolve(value as T);
  }

  /** Has Bun's own function do it. */
  protected instead(): Promise<T> {
    return this.#task.instead();
  }

  override fail(error: unknown): void {
    this.#task.signal?.removeEventListener("abort", this.#abort);
    if (this.fd !== NONE) {
      // The ring takes no requests any more.
      const { fd } = this;
      this.fd = NONE;
      closeNow(fd);
    }
    this.stepOut();
    super.fail(error);
  }
}
