/** What reading and writing a whole file have in common: a place, a descriptor, and an end that gives both back. */
import { IORING_OP_OPENAT } from "../abi/constants.gen.ts";
import { ECANCELED, EEXIST, ENOENT, ENXIO } from "../abi/errno.gen.ts";
import type { Reactor } from "../async/reactor.ts";
import { reactorFor } from "./door.ts";
import { systemError } from "./errors.ts";
import { closeNow, Job, WAITS } from "./job.ts";
import { CLOSE, OPEN } from "./operations.ts";
import { type Guest, leave, type Place, wait } from "./places.ts";

const NONE = -1;

/** Where a {@link WholeFile} is. */
type Stage = "opening" | "open" | "closing";

/** A job that opens a file, does something with it and closes it. */
export abstract class WholeFile<T> extends Job<T> implements Guest {
  /** The file, while it is open. */
  protected fd: number = NONE;
  /** The memory that comes with the place, while it has one. */
  protected room: Place | undefined;
  readonly #path: string;
  /** Flags to try one after the other. */
  readonly #attempts: readonly number[];
  readonly #mode: number;
  #attempt = 0;
  #stage: Stage = "opening";
  #failure: Error | undefined;

  /**
   * @param attempts O_*; the next where one finds no file, or one where there should be none, or a FIFO that nobody reads.
   * @param mode of a file that is made.
   */
  constructor(path: string, attempts: readonly number[], mode: number) {
    super(OPEN, undefined);
    this.#path = path;
    this.#attempts = attempts;
    this.#mode = mode;
  }

  /** The flags that the file is opened with. */
  protected get flags(): number {
    return this.#attempts[this.#attempt] as number;
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
    else if (this.fd === NONE) this.#open(reactor);
    else this.back(reactor);
  }

  #open(reactor: Reactor): void {
    // Kernel: the first attempt of the ring does not block, so it does not wait for a FIFO's other end (5.6 to 7.3).
    this.how = this.#attempt === 0 ? undefined : WAITS;
    this.ask(reactor, OPEN, this.#path, this.flags, this.#mode);
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
    } else if ((res === -ENOENT || res === -EEXIST || res === -ENXIO) && this.#attempt + 1 < this.#attempts.length) {
      this.#attempt++;
      this.#open(reactor);
    } else {
      this.#failure = systemError(res, "open", { path: this.#path });
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
    if (this.#failure !== undefined) return this.fail(this.#failure);
    const value = this.value();
    this.stepOut();
    this.resolve(value as T);
  }

  override fail(error: unknown): void {
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
