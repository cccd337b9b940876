/** The high road's face: promises, iterators, cancellation, inside Bun's own event loop. */
import { prepClose } from "../ring/prep/open.ts";
import type { Ring } from "../ring/ring.ts";
import { Chain, ChainBuilder, type ChainOptions } from "./chain.ts";
import { type Messages, RingPort } from "./messages.ts";
import { Multishots } from "./multishots.ts";
import {
  type AsyncRingOptions,
  checkRequestOptions,
  checkSignal,
  type RequestOptions,
  type Settings,
  settingsOf,
} from "./options.ts";
import { Careful, Simple, type ZeroCopySent } from "./promise.ts";
import { Reactor } from "./reactor.ts";
import type { Operation } from "./request.ts";
import { Ticket, type TicketHandler } from "./ticket.ts";

const CLOSE: Operation = { name: "IORING_OP_CLOSE", prep: prepClose, yields: "count", wide: false };

/** Marks the options of a ring that is made by its first request. */
const LAZY = Symbol("lazy");

/** What a ring has done and has to do, as numbers. */
export interface AsyncRingStats {
  /** Entries that the kernel has taken, link timeouts and cancellations included. */
  readonly submitted: number;
  /** Completions of requests. */
  readonly completed: number;
  /** io_uring_enter calls. */
  readonly systemCalls: number;
  /** How many times the event loop was woken for this ring. */
  readonly wakes: number;
  /** How many times the kernel held completions that the queue had no room for. None is lost. */
  readonly overflows: number;
  /** How many shots were begun again, by the reason why they had ended. */
  readonly rearms: Readonly<Record<string, number>>;
  /** Requests that the kernel has. */
  readonly inFlight: number;
  /** Requests that wait for room. */
  readonly queued: number;
}

/**
 * A ring within Bun's event loop. Every operation is a promise; the requests of one tick leave in one system call; the
 * ring keeps what a request uses until its last completion, whatever the caller drops or aborts. It belongs to the
 * thread that made it, and keeps the process alive while requests are in flight.
 *
 * ```ts
 * await using ring = new AsyncRing();
 * const fd = await ring.openat(AT_FDCWD, "file", O_RDONLY);
 * const count = await ring.read(fd, buffer, 0, { timeoutMs: 500 });
 * await ring.close(fd);
 * ```
 *
 * A request rejects with a {@link UringError} where the kernel refuses it, with a TypeError or RangeError where the
 * arguments cannot be, with the signal's reason where it was aborted. Bare addresses are the one thing that is not kept
 * alive; and a buffer must not be transferred while a request uses it.
 *
 * Making one allows this thread's rings 64 workers for bounded work where it had fewer (Linux 5.15):
 * `registerIowqMaxWorkers` sets another limit afterwards.
 */
export class AsyncRing extends Multishots {
  readonly #settings: Settings;
  readonly #reopens: boolean;
  #reactor: Reactor | undefined;

  /**
   * Makes the ring.
   *
   * @param options see {@link AsyncRingOptions}.
   * @throws TypeError or RangeError `ERR_URING_OPTIONS` for what cannot be; otherwise as the constructor of {@link Ring}.
   */
  constructor(options: AsyncRingOptions = {}) {
    super();
    this.#settings = settingsOf(options);
    // Only the shared ring of a thread is made by its first request, and again by the first after its closing.
    this.#reopens = (options as { [LAZY]?: boolean })[LAZY] === true;
    if (!this.#reopens) this.#reactor = new Reactor(this.#settings);
  }

  /** @internal A ring that is made by its first request. */
  static lazy(options: AsyncRingOptions = {}): AsyncRing {
    return new AsyncRing({ ...options, [LAZY]: true } as AsyncRingOptions);
  }

  /** @internal The ring's loop, which is made now where there is none. */
  override reactor(): Reactor {
    return (this.#reactor ??= new Reactor(this.#settings));
  }

  protected override request(
    operation: Operation,
    options: RequestOptions | undefined,
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
  ): Promise<number> {
    try {
      const reactor = this.#reactor ?? this.reactor();
      if (options !== undefined || operation.yields !== "count") {
        return this.#careful<number>(reactor, operation, options, a, b, c, d, e, f);
      }
      const request = new Simple(operation, a, b, c, d, e, f);
      reactor.enqueue(request);
      return request.promise;
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  protected override requestSent(
    operation: Operation,
    options: RequestOptions | undefined,
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
  ): Promise<ZeroCopySent> {
    try {
      return this.#careful<ZeroCopySent>(this.#reactor ?? this.reactor(), operation, options, a, b, c, d, e, f);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  #careful<T>(
    reactor: Reactor,
    operation: Operation,
    options: RequestOptions | undefined,
    a: unknown,
    b: unknown,
    c: unknown,
    d: unknown,
    e: unknown,
    f: unknown,
  ): Promise<T> {
    if (options !== undefined) {
      checkRequestOptions(options);
      if (options.signal?.aborted === true) return Promise.reject(options.signal.reason);
    }
    const request = new Careful<T>(reactor, options, operation, a, b, c, d, e, f);
    reactor.enqueue(request);
    return request.promise;
  }

  /**
   * Closes the ring: takes no new requests, cancels those in flight, waits for the last completion of each, settles every
   * promise and iterator with ECANCELED, and gives everything back. Called again it returns the same promise.
   */
  close(): Promise<void>;
  /**
   * Closes the descriptor `fd`. Requests on it that are in flight go on; cancel them first with {@link cancelFd}.
   * Resolves to 0.
   *
   * @kernel 5.6
   * @man io_uring_prep_close(3)
   */
  close(fd: number, options?: RequestOptions): Promise<number>;
  close(fd?: number, options?: RequestOptions): Promise<number> | Promise<void> {
    // A descriptor that is undefined by mistake is a mistake, and does not close the ring.
    if (arguments.length > 0) return this.request(CLOSE, options, fd);
    const reactor = this.#reactor;
    if (reactor === undefined) return Promise.resolve();
    if (this.#reopens) this.#reactor = undefined;
    return reactor.close();
  }

  /** The same as {@link close} of the ring. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Requests that begin one after another, each when the one before it is done, in the kernel and with one system call.
   * A link that fails, or moves fewer bytes than it was asked to, ends the chain unless it is a hard one.
   *
   * ```ts
   * const [got, put] = await io.chain((c) => {
   *   c.read(from, buffer, 0);
   *   c.write(to, buffer, 0);
   * });
   * ```
   *
   * @param build adds the links, before it returns.
   * @returns the links' results in order; rejects with a {@link ChainError} that has them too unless all are good, with
   * the signal's reason where that ended it, with RangeError `ERR_URING_ARG_VALUE` for more than one submission holds.
   * @kernel 5.3
   */
  chain(build: (chain: ChainBuilder) => void, options: ChainOptions = {}): Promise<number[]> {
    try {
      checkSignal(options.signal);
      const builder = new ChainBuilder();
      build(builder);
      builder.sealed = true;
      if (options.signal?.aborted === true) return Promise.reject(options.signal.reason);
      const reactor = this.reactor();
      const chain = new Chain(reactor, builder.links, options);
      reactor.enqueue(chain);
      return chain.promise;
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /**
   * A request with a handler that can be made again and again, without a promise and without allocating anything.
   *
   * @throws TypeError `ERR_URING_ARG_TYPE` for what is no function; as the constructor, where the ring is made now.
   */
  ticket(handler: TicketHandler): Ticket {
    return new Ticket(this.reactor(), handler);
  }

  /**
   * The way to another ring of this process, on whatever thread, by its descriptor: `ring.fd` of the other's
   * {@link ring}. Its {@link messages} receive what is sent.
   *
   * ```ts
   * await io.port(fd).send(42);
   * ```
   *
   * @throws TypeError or RangeError for what is no descriptor.
   * @kernel 5.18
   */
  port(ringFd: number): RingPort {
    return new RingPort(this.reactor(), ringFd);
  }

  /**
   * The messages that other rings send to this one with {@link port}: one iterator, however often it is asked for.
   *
   * ```ts
   * for await (const message of io.messages()) if (typeof message === "number") serve(message);
   * ```
   */
  messages(): Messages {
    return this.reactor().messages;
  }

  /**
   * Asks the kernel to let go of everything that is in flight, and gives up what waits. Each rejects with ECANCELED when
   * its completion has come, unless it was done before; iterators end so.
   *
   * @returns how many requests that were.
   */
  cancelAll(): number {
    return this.#reactor?.cancelAll() ?? 0;
  }

  /** Has requests in flight keep the process alive, as they do unless {@link unref} was called. */
  ref(): this {
    this.reactor().setRef(true);
    return this;
  }

  /**
   * Has requests in flight no longer keep the process alive. Completions are then looked for every millisecond while
   * the process has other things to do, because Bun's watcher of an eventfd cannot do without keeping it alive.
   */
  unref(): this {
    this.reactor().setRef(false);
    return this;
  }

  /** What the ring has done so far. */
  stats(): AsyncRingStats {
    const reactor = this.#reactor;
    return {
      submitted: reactor?.submitted ?? 0,
      completed: reactor?.completed ?? 0,
      systemCalls: reactor?.engine.enters ?? 0,
      wakes: reactor?.wakes ?? 0,
      overflows: reactor?.engine.overflows ?? 0,
      rearms: Object.fromEntries(reactor?.rearms ?? []),
      inFlight: reactor?.inFlight ?? 0,
      queued: reactor?.queued ?? 0,
    };
  }

  /**
   * The ring itself, for registrations and for what the kernel has: buffers, files, `supports()`. Leave its queues and
   * its eventfd alone.
   */
  get ring(): Ring {
    return this.reactor().engine;
  }
}
