/** Chains: requests that begin one after another, in the kernel, with one system call. */
import { IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from "../abi/constants.gen.ts";
import { ECANCELED, ETIME } from "../abi/errno.gen.ts";
import { rangeError, stateError, typeError, UringError } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import { prepClose } from "../ring/prep/open.ts";
import { Slot, SQE_LEN } from "../ring/prep/slot.ts";
import { Iovecs } from "../ring/structs.ts";
import { Operations } from "./operations.gen.ts";
import { checkRequestOptions, type RequestOptions } from "./options.ts";
import type { Reactor } from "./reactor.ts";
import { isCanceled, type Operation, Request, type Unit } from "./request.ts";

/** How a chain is made. */
export interface ChainOptions {
  /** Goes on whatever becomes of a link. Otherwise a link that fails, or reads or writes less than asked, ends it. @kernel 5.5 */
  hard?: boolean;
  /** Cancels the links that are not done when it aborts. */
  signal?: AbortSignal;
}

/**
 * What a chain rejects with when not all of its links did what they should. Its code, errno and syscall are those of the
 * link that broke it, or of the first to fail in a hard chain.
 */
export class ChainError extends UringError {
  override readonly name: string = "ChainError";
  /** Every link's result, in order: 0 or more, or `-errno`; -ECANCELED for those after the one that broke. */
  readonly results: readonly number[];
  /** Which link broke the chain. Where its result is no error it transferred less than it was asked to. */
  readonly broken: number;

  /** @internal */
  constructor(results: readonly number[], broken: number, operation: string) {
    const res = results[broken] as number;
    const what = res < 0 ? "failed" : `ended with ${res}, less than it was asked for`;
    super(res < 0 ? res : ECANCELED, operation, `link ${broken + 1} of ${results.length} ${what}`);
    this.results = results;
    this.broken = broken;
  }
}

const CLOSE: Operation = { name: "IORING_OP_CLOSE", prep: prepClose, yields: "count", wide: false };

/**
 * The links of a chain, in order: the methods of {@link AsyncRing}, without promises. Options other than `signal`, which
 * is the whole chain's, go for one link.
 */
export class ChainBuilder extends Operations<void, void> {
  /** @internal */
  readonly links: Link[] = [];
  /** @internal Whether no more links can be added. */
  sealed = false;

  protected override request(
    operation: Operation,
    options: RequestOptions | undefined,
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
  ): void {
    if (this.sealed) throw stateError("ERR_URING_STATE", "Cannot add a link: the chain is made already");
    if (operation.wide) throw typeError("ERR_URING_OPTIONS", "Cannot chain operations of 128 bytes");
    if (options !== undefined) {
      checkRequestOptions(options);
      if (options.signal !== undefined || options.drain === true) {
        throw typeError("ERR_URING_OPTIONS", "Cannot use signal or drain for one link: the chain has a signal");
      }
    }
    this.links.push(new Link(options, operation, a, b, c, d, e, f));
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
  ): void {
    this.request(operation, options, a, b, c, d, e, f);
  }

  /** Closes a descriptor. @kernel 5.6 @man io_uring_prep_close(3) */
  close(fd: number, options?: RequestOptions): void {
    this.request(CLOSE, options, fd);
  }
}

/** A scratch entry: links are tried here before the first of them is queued, because a chain cannot be taken back. */
const scratch = new Slot(new Int32Array(16), 16);

/** Operations that can move fewer bytes than they were asked to. */
const TRANSFERS = /_(READ|WRITE|RECV|SEND|SPLICE|TEE)/;

class Link extends Request {
  readonly #options: RequestOptions | undefined;
  /** The chain that it belongs to. */
  chain: Chain | undefined;
  /** Its result, once it is over. */
  res: number | undefined;
  /** The first result of a sending without copying. */
  #first: number | undefined;
  /** How many bytes it was to move, if that is what it does. */
  #asked = 0;

  constructor(
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
    this.#options = options;
  }

  override get options(): RequestOptions | undefined {
    return this.#options;
  }

  override get slots(): number {
    return super.slots + (this.#options?.timeoutMs === undefined ? 0 : 1);
  }

  complete(reactor: Reactor, cqe: Cqe): void {
    if (!cqe.notification) this.#first = cqe.res;
    if (cqe.more) return;
    this.res = this.#first as number;
    reactor.release(this);
    this.chain?.linkOver(reactor);
  }

  fail(error: unknown): void {
    this.chain?.fail(error);
  }

  /** Writes it where nobody reads it. @throws what writing it in earnest would throw. */
  rehearse(): void {
    this.write(scratch);
    this.#asked = this.b instanceof Iovecs ? this.b.totalBytes : (scratch.words[SQE_LEN] as number);
  }

  /** Whether it moved bytes, but fewer than it was asked for. */
  get short(): boolean {
    const { res } = this;
    return res !== undefined && res >= 0 && res < this.#asked && TRANSFERS.test(this.operation.name);
  }

  /** Whether it did what it should. */
  get good(): boolean {
    const { res } = this;
    return res !== undefined && (res >= 0 || (res === -ETIME && this.operation.yields === "elapsed"));
  }
}

/** @internal A chain on its way. */
export class Chain implements Unit {
  readonly #links: readonly Link[];
  readonly #flag: number;
  readonly #signal: AbortSignal | undefined;
  readonly #reactor: Reactor;
  readonly #result = Promise.withResolvers<number[]>();
  #left: number;
  #over = false;
  #aborted = false;

  /**
   * Takes the links over.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for none, or for more than one submission holds; what the prep functions throw.
   */
  constructor(reactor: Reactor, links: readonly Link[], options: ChainOptions) {
    this.#reactor = reactor;
    this.#links = links;
    this.#left = links.length;
    this.#flag = options.hard === true ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;
    this.#signal = options.signal;
    const { sqEntries } = reactor.engine.setup;
    if (links.length === 0) throw rangeError("ERR_URING_ARG_VALUE", "Cannot make a chain without links");
    if (this.slots > sqEntries) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot make a chain of ${this.slots} entries: one submission of this ring has ${sqEntries}`,
      );
    }
    for (const link of links) {
      link.rehearse();
      link.chain = this;
    }
    this.#signal?.addEventListener("abort", this.#abort);
  }

  /** Settled when all links are over. */
  get promise(): Promise<number[]> {
    return this.#result.promise;
  }

  /** Implements {@link Unit}. */
  get slots(): number {
    return this.#links.reduce((sum, link) => sum + link.slots, 0);
  }

  /** Implements {@link Unit}. */
  get dropped(): boolean {
    return this.#over;
  }

  /** Implements {@link Unit}. */
  place(reactor: Reactor): void {
    try {
      // Memory can have gone since: nothing is queued unless everything can be.
      for (const link of this.#links) link.rehearse();
    } catch (error) {
      return this.fail(error);
    }
    const last = this.#links.length - 1;
    this.#links.forEach((link, i) => reactor.submit(link, i < last ? this.#flag : 0));
  }

  /** Implements {@link Unit}. */
  fail(error: unknown): void {
    this.#end();
    this.#result.reject(error);
  }

  readonly #abort = (): void => {
    this.#aborted = true;
    const inFlight = this.#links.filter((link) => link.slot >= 0);
    if (inFlight.length === 0 && this.#left === this.#links.length) this.fail(this.#signal?.reason);
    for (const link of inFlight) this.#reactor.cancel(link);
  };

  /** A link is over. */
  linkOver(reactor: Reactor): void {
    if (--this.#left > 0) return;
    this.#end();
    const results = this.#links.map((link) => link.res as number);
    if (this.#links.every((link) => link.good)) this.#result.resolve(results);
    else if (this.#aborted && results.some(isCanceled)) {
      for (const link of this.#links) if ((link.res as number) >= 0) link.discard(reactor, link.res as number);
      this.#result.reject(this.#signal?.reason);
    } else {
      const broken = this.#broken(results);
      this.#result.reject(new ChainError(results, broken, (this.#links[broken] as Link).operation.name));
    }
  }

  /** The first link that failed by itself; where all are canceled that are not good, the one before them fell short. */
  #broken(results: readonly number[]): number {
    // Kernel: before 5.18 a descriptor that there is not fails when the chain is submitted, and cancels what is before it.
    const failed = this.#links.findIndex((link, i) => !link.good && results[i] !== -ECANCELED);
    if (failed >= 0) return failed;
    const canceled = results.indexOf(-ECANCELED);
    return this.#links[canceled - 1]?.short === true ? canceled - 1 : Math.max(canceled, 0);
  }

  #end(): void {
    this.#over = true;
    this.#signal?.removeEventListener("abort", this.#abort);
  }
}
