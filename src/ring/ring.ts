/**
 * The low road: one ring, synchronous, allocating nothing per operation. What is queued, submitted, waited for and
 * reaped happens here; what an entry says is written by the prep functions, what is registered in register/.
 */
import {
  IORING_FEAT_REG_REG_RING,
  IORING_REGISTER_USE_REGISTERED_RING,
  IORING_SETUP_REGISTERED_FD_ONLY,
  IORING_SQ_CQ_OVERFLOW,
} from "../abi/constants.gen.ts";
import { syscalls } from "../../syscall/shim.ts";
import { rangeError } from "../errors.ts";
import { forkedError, forkGuard, Mapping } from "../memory.ts";
import type { CompletionQueue } from "./cq.ts";
import type { Cqe } from "./cqe.ts";
import { Departure } from "./departure.ts";
import { AFTERMATH_MS, drain } from "./drain.ts";
import { Gate } from "./enter.ts";
import { type RingOptions, setupFlagNames } from "./params.ts";
import { checkCount } from "./prep/check.ts";
import { getProbe, type Probe } from "./probe.ts";
import { NetworkRegistrations } from "./register/network.ts";
import { resizeQueues } from "./resize.ts";
import { type RingParts, type RingSetup, setUpRing } from "./setup.ts";
import type { SubmissionQueue } from "./sq.ts";
import { checkCallback, type Sqe } from "./sqe.ts";
import type { WaitOptions } from "./wait.ts";

/** The ring's scratch page: struct io_uring_params at first, the argument of its waits later. */
const SCRATCH_BYTES = 4096;

/** What is closed along with a ring: pools, buffer rings. */
export interface RingResource {
  /** Gives the resource back; called again it does nothing. */
  close(): void;
}

/**
 * An io_uring. It belongs to the thread that made it, and is closed by `close()` or `using`.
 *
 * ```ts
 * using ring = new Ring(256, { modern: true });
 * ring.prepRead(fd, buffer, 0).userData(7);
 * ring.submitAndWait(1);
 * for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
 *   if (cqe.res < 0) throw cqe.error("IORING_OP_READ");
 * }
 * ```
 *
 * Memory that a request uses (buffers, vectors, addresses) is the caller's to keep alive and in place until the
 * request's last completion. Paths, socket addresses and timespecs that are only read need to last until the
 * submission (IORING_FEAT_SUBMIT_STABLE), and until the kernel thread has taken the entry on an SQPOLL ring.
 */
export class Ring extends NetworkRegistrations {
  readonly #gate: Gate;
  // The gate's queues, at hand for what runs once an entry.
  readonly #sq: SubmissionQueue;
  readonly #cq: CompletionQueue;
  readonly #guard: Int32Array = forkGuard();
  #mappings: readonly Mapping[];
  readonly #departure: Departure | undefined;
  readonly #scratch: Mapping;
  #setup: RingSetup;
  #indexOnly: boolean;
  /** What registrations name the ring by, where they can; -1: its descriptor. */
  #registeredIndex: number;
  readonly #resources = new Set<RingResource>();

  /**
   * @param entries how many submissions fit the queue: rounded up to a power of two, 32768 at the most.
   * @param options the ring's flags; see {@link RingOptions}.
   * @throws TypeError or RangeError (`ERR_URING_OPTIONS`, `ERR_URING_ARG_VALUE`) for what cannot be; UringError for
   * what the kernel refuses, with the likely cause and its cure; Error `ERR_URING_PLATFORM` where there is no io_uring.
   * @kernel 5.1
   * @man io_uring_queue_init(3)
   */
  constructor(entries: number, options: RingOptions = {}) {
    super();
    this.#scratch = Mapping.anonymous(SCRATCH_BYTES);
    let parts: RingParts;
    try {
      parts = setUpRing(entries, options, this.#scratch);
      this.#setup = parts.setup;
      this.#mappings = parts.map.mappings;
      this.#sq = parts.sq;
      this.#cq = parts.cq;
      this.#gate = new Gate(parts, options.iowait === true, this.#scratch);
    } catch (error) {
      this.#scratch.close();
      throw error;
    }
    this.#indexOnly = (this.#setup.flags & IORING_SETUP_REGISTERED_FD_ONLY) !== 0;
    this.#registeredIndex = this.#indexOnly ? this.fd : -1;
    this.#departure = Departure.of(this.fd, this.#setup, parts.map, this.#indexOnly);
  }

  /** What the kernel gave: sizes, flags, features. */
  get setup(): RingSetup {
    return this.#setup;
  }

  protected override get indexOnly(): boolean {
    return this.#indexOnly;
  }

  /**
   * The ring's descriptor, or its registered index on a ring that has none (made with `registeredFdOnly`, or after
   * {@link closeRingFd}); -1 once closed.
   */
  get fd(): number {
    return this.#gate.fd;
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#gate.fd < 0;
  }

  /**
   * Why the latest submit or wait stopped short, as a positive errno; 0 if it did not. EINTR: a signal arrived, whose
   * handler runs once JavaScript returns to its loop. ETIME: the time was up. EAGAIN: the kernel is short of memory.
   * EBUSY: completions have piled up and must be reaped first. After the last two everything not taken is still queued.
   */
  get errno(): number {
    return this.#gate.errno;
  }

  /** How many io_uring_enter calls this ring has made. */
  get enters(): number {
    return this.#gate.enters;
  }

  /** How many times the kernel was found holding completions that the queue had no room for, and asked to post them. */
  get overflows(): number {
    return this.#gate.overflows;
  }

  // ---- Submission

  /**
   * The next free entry, all zeros (a NOP), queued: for operations this library does not know, with `write()` and
   * `word()`. The prep methods are the usual way.
   *
   * @throws as the prep methods do: `ERR_URING_CLOSED`, `ERR_URING_FORKED`, `ERR_URING_CHAIN_SPLIT`.
   * @man io_uring_get_sqe(3)
   */
  getSqe(): Sqe {
    const sqe = this.claim();
    sqe.words.fill(0, sqe.at, sqe.at + sqe.stride);
    return this.commit();
  }

  protected override claim(): Sqe {
    const sq = this.#sq;
    if (sq.tail === sq.limit || this.#guard[0] !== 1) this.#gate.makeRoom(1);
    return sq.claim();
  }

  protected override commit(): Sqe {
    return this.#sq.commit();
  }

  protected override claimWide(): Sqe {
    const sq = this.#sq;
    if (((sq.limit - sq.tail) | 0) < sq.wideSlots || this.#guard[0] !== 1) this.#gate.makeRoom(sq.wideSlots);
    return sq.claimWide();
  }

  protected override commitWide(): Sqe {
    return this.#sq.commitWide();
  }

  /**
   * Makes room for `n` entries, submitting what is queued if it must: before a chain, which has to be submitted whole.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for more entries than the queue has; Error `ERR_URING_CHAIN_SPLIT` in the
   * middle of a chain; UringError EBUSY or EAGAIN where the kernel takes nothing until completions are reaped.
   */
  reserve(n: number): void {
    this.#gate.checkOpen();
    checkCount("a number of entries", n);
    if (n > this.setup.sqEntries) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot reserve ${n} entries: the queue has ${this.setup.sqEntries}`);
    }
    if (this.sqSpaceLeft() < n) this.#gate.makeRoom(n);
  }

  /**
   * Gives the kernel everything that is queued.
   *
   * @returns how many entries it took. Fewer than queued: see {@link errno}; the rest stays queued.
   * @throws Error `ERR_URING_CLOSED`, `ERR_URING_FORKED`; UringError for what is no matter of trying again.
   * @kernel 5.1
   * @man io_uring_submit(3)
   */
  submit(): number {
    return this.#gate.submit(0, 0);
  }

  /**
   * Gives the kernel everything that is queued and waits until `n` completions are there to be reaped.
   *
   * Returns early when a signal arrives, so that its handler can run; {@link cqReady} tells how many there are. So does a
   * polled ring (`iopoll`) with the first completions that it finds: while they wait to be reaped, the kernel polls for
   * no others.
   *
   * @returns how many entries the kernel took. Fewer than queued: see {@link errno}; the rest stays queued.
   * @throws as {@link submit}.
   * @kernel 5.1
   * @man io_uring_submit_and_wait(3)
   */
  submitAndWait(n: number): number {
    checkCount("a number of completions", n);
    return this.#gate.submitAndWait(n);
  }

  /**
   * Gives the kernel everything that is queued and has it post what is ready, without waiting: with deferTaskrun, the
   * way to make progress.
   *
   * @returns as {@link submit}.
   * @throws as {@link submit}.
   * @man io_uring_submit_and_get_events(3)
   */
  submitAndGetEvents(): number {
    return this.#gate.submitAndGetEvents();
  }

  /**
   * Gives the kernel everything that is queued and waits for `n` completions, `timeoutMs` at the longest.
   *
   * @param timeoutMs in milliseconds, fractions allowed; Infinity waits for as long as it takes.
   * @returns the first completion, or null if there is none; {@link errno} is ETIME when the time was up, EINTR when a
   * signal arrived.
   * @throws as {@link submit}; TypeError `ERR_URING_UNSUPPORTED` for `minWaitUsec` before 6.12.
   * @kernel 5.11
   * @man io_uring_submit_and_wait_timeout(3)
   */
  submitAndWaitTimeout(n: number, timeoutMs: number, options?: WaitOptions): Cqe | null {
    checkCount("a number of completions", n);
    this.#gate.submitAndWaitTimeout(n, timeoutMs, options);
    return this.#cq.peek();
  }

  /** Entries queued and not yet taken by the kernel. @man io_uring_sq_ready(3) */
  sqReady(): number {
    this.#refuseChild();
    return this.#gate.sqReady();
  }

  /** Free entries of the submission queue. @man io_uring_sq_space_left(3) */
  sqSpaceLeft(): number {
    this.#refuseChild();
    return this.closed ? 0 : this.#sq.entries - this.sqReady();
  }

  /**
   * Waits until the SQPOLL thread has taken at least one entry of a full queue; returns at once on other rings.
   *
   * @returns how many entries are free now.
   * @throws as {@link submit}.
   * @kernel 5.10
   * @man io_uring_sqring_wait(3)
   */
  sqringWait(): number {
    this.#gate.sqringWait();
    return this.sqSpaceLeft();
  }

  // ---- Completion

  /**
   * The first completion not yet seen, or null. Where the kernel holds some back (overflow, deferred work, polling) it
   * is asked for them; otherwise this is no system call.
   *
   * @returns the ring's one view, valid until the next call that looks at completions.
   * @throws Error `ERR_URING_CLOSED`, `ERR_URING_FORKED`.
   * @man io_uring_peek_cqe(3)
   */
  peekCqe(): Cqe | null {
    this.#refuseChild();
    return this.#cq.peek() ?? this.#gate.look();
  }

  /**
   * Marks the current completion as seen, and moves on to the next of those that were there when {@link peekCqe} or a
   * wait looked last; null after the last of them. A loop over it is bounded, however fast completions come.
   *
   * @returns as {@link peekCqe}.
   * @throws Error `ERR_URING_FORKED`.
   */
  nextCqe(): Cqe | null {
    this.#refuseChild();
    return this.#cq.next();
  }

  /** Marks the completion that was looked at last as seen, so that its place can be used again. @man io_uring_cqe_seen(3) */
  seenCqe(): void {
    this.#refuseChild();
    this.#cq.seen();
    this.#cq.publish();
  }

  /**
   * Marks `n` completions as seen, from the first unseen on. @man io_uring_cq_advance(3)
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for more than are ready; none is marked then. Error `ERR_URING_CLOSED`.
   */
  cqAdvance(n: number): void {
    checkCount("a number of completions", n);
    this.#refuseChild();
    const cq = this.#cq;
    if (cq.ready < n) {
      this.#gate.checkOpen();
      cq.load();
    }
    const { head } = cq;
    for (let i = 0; i < n; i++) {
      if (cq.peek() === null) {
        cq.head = head;
        throw rangeError("ERR_URING_ARG_VALUE", `Cannot advance over ${n} completions: ${i} are ready`);
      }
      cq.seen();
    }
    cq.publish();
  }

  /**
   * Puts each of `views` on a completion, as far as there are any, without marking them as seen: {@link cqAdvance}
   * by the result does.
   *
   * @param views the caller's own, from {@link newCqe}.
   * @returns how many were filled, from the front.
   * @throws Error `ERR_URING_CLOSED`, `ERR_URING_FORKED`.
   * @man io_uring_peek_batch_cqe(3)
   */
  peekBatch(views: readonly Cqe[]): number {
    if (this.peekCqe() === null) return 0;
    const cq = this.#cq;
    if (cq.ready < views.length) cq.load();
    const head = cq.head;
    let count = 0;
    while (count < views.length && cq.take(views[count] as Cqe)) count++;
    cq.head = head;
    return count;
  }

  /** A view for {@link peekBatch}, on no completion yet. */
  newCqe(): Cqe {
    return this.#cq.newCqe();
  }

  /**
   * Calls `callback` with every completion that is there, marking each as seen. Those that arrive meanwhile wait for
   * the next time. If the callback throws, the one it was given counts as seen and the rest stays.
   *
   * The view shows its completion until the callback submits or looks at completions itself: by then its place may be
   * another's. Copy what is needed later.
   *
   * @returns how many there were.
   * @throws Error `ERR_URING_CLOSED`, `ERR_URING_FORKED`, and what the callback throws.
   */
  forEachCqe(callback: (cqe: Cqe) => void): number {
    checkCallback(callback);
    let count = 0;
    if (this.peekCqe() === null) return 0;
    const cq = this.#cq;
    const end = cq.tail;
    try {
      for (let cqe = cq.peek(); cqe !== null && ((end - cq.head) | 0) > 0; cqe = cq.peek()) {
        cq.seen();
        count++;
        callback(cqe);
      }
    } finally {
      cq.publish();
    }
    return count;
  }

  /**
   * Waits for a completion. It does not submit: entries still queued stay so.
   *
   * @returns the first completion; null when a signal arrived first ({@link errno} is EINTR).
   * @throws Error `ERR_URING_CLOSED`, `ERR_URING_FORKED`; UringError for what io_uring_enter(2) refuses.
   * @kernel 5.1
   * @man io_uring_wait_cqe(3)
   */
  waitCqe(): Cqe | null {
    return this.peekCqe() ?? this.waitCqes(1);
  }

  /**
   * Waits for `n` completions, `timeoutMs` at the longest. It does not submit: entries still queued stay so.
   *
   * @param timeoutMs in milliseconds; for as long as it takes unless given.
   * @returns the first completion; null when there is none: {@link errno} is ETIME or EINTR.
   * @throws as {@link waitCqe}; as {@link submitAndWaitTimeout} for the options.
   * @kernel 5.1
   * @man io_uring_wait_cqes(3)
   */
  waitCqes(n: number, timeoutMs: number = Infinity, options?: WaitOptions): Cqe | null {
    checkCount("a number of completions", n);
    this.#gate.wait(n, timeoutMs, options);
    return this.#cq.peek();
  }

  /**
   * Has the kernel post what it holds back, without waiting or submitting.
   *
   * @throws as {@link waitCqe}.
   * @man io_uring_get_events(3)
   */
  getEvents(): void {
    this.#gate.getEvents();
  }

  /** Completions posted and not seen; on a ring of mixed sizes the slots they take. @man io_uring_cq_ready(3) */
  cqReady(): number {
    this.#refuseChild();
    if (!this.closed) this.#cq.load();
    return this.#cq.ready;
  }

  /** Whether the kernel holds completions that the queue had no room for. None is lost. @man io_uring_cq_has_overflow(3) */
  cqHasOverflow(): boolean {
    this.#refuseChild();
    return !this.closed && (this.#sq.flags & IORING_SQ_CQ_OVERFLOW) !== 0;
  }

  /** Completions that the kernel had to drop: 0 wherever it has IORING_FEAT_NODROP. */
  get cqDropped(): number {
    this.#refuseChild();
    return this.closed ? 0 : this.#cq.dropped;
  }

  /** Whether completions signal the registered eventfd; settable. @kernel 5.8 @man io_uring_cq_eventfd_toggle(3) */
  get cqEventfdEnabled(): boolean {
    this.#gate.checkOpen();
    return this.#cq.eventfdEnabled;
  }

  set cqEventfdEnabled(enabled: boolean) {
    this.#gate.checkOpen();
    this.#cq.eventfdEnabled = enabled;
  }

  // ---- What there is

  /**
   * What the running kernel can do, asked once a thread.
   *
   * @throws as {@link getProbe}.
   * @kernel 5.6
   * @man io_uring_get_probe(3)
   */
  probe(): Probe {
    return getProbe();
  }

  /** Whether the running kernel has the operation IORING_OP_*. */
  supports(op: number): boolean {
    return this.probe().supports(op);
  }

  /** Whether the running kernel has all the bits of IORING_FEAT_*. */
  hasFeature(bits: number): boolean {
    return (this.setup.features & bits) === bits;
  }

  protected override checkOpen(): void {
    this.#gate.checkOpen();
  }

  protected override tryRegister(opcode: number, address: number, count: number): number {
    this.#gate.checkOpen();
    // Kernel: a ring with a registered index is named by it here as well, from 6.3.
    if (this.#registeredIndex < 0) return syscalls().register(this.fd, opcode, address, count);
    return syscalls().register(this.#registeredIndex, opcode + IORING_REGISTER_USE_REGISTERED_RING, address, count);
  }

  protected override useRegisteredIndex(index: number): void {
    this.#gate.nameByIndex(index);
    if (this.hasFeature(IORING_FEAT_REG_REG_RING)) this.#registeredIndex = index;
  }

  protected override dropDescriptor(): void {
    const { fd } = this.#gate;
    this.#gate.dropDescriptor();
    this.#departure?.nameByIndex(this.fd);
    this.#indexOnly = true;
    const flags = this.#setup.flags | IORING_SETUP_REGISTERED_FD_ONLY;
    this.#setup = { ...this.#setup, flags, flagNames: setupFlagNames(flags) };
    syscalls().close(fd);
  }

  protected override resize(sqEntries: number, cqEntries: number, clamp: boolean): void {
    const ring = { fd: this.fd, indexOnly: this.indexOnly, setup: this.setup, sq: this.#sq, cq: this.#cq };
    const resized = resizeQueues(ring, sqEntries, cqEntries, clamp, this.#scratch, (opcode, address, count) =>
      this.tryRegister(opcode, address, count),
    );
    if (resized === undefined) return;
    this.#departure?.follow(resized.setup, resized.map);
    for (const mapping of this.#mappings) mapping.close();
    this.#mappings = resized.map.mappings;
    this.#setup = resized.setup;
  }

  protected override submitAndWaitAt(n: number, offset: number, timeoutMs: number): Cqe | null {
    this.#gate.submitAndWaitAt(n, offset, timeoutMs);
    return this.#cq.peek();
  }

  /** @internal Has `resource` closed with the ring. */
  adopt(resource: RingResource): void {
    this.#gate.checkOpen();
    this.#resources.add(resource);
  }

  /** @internal The resource is closed already. */
  disown(resource: RingResource): void {
    this.#resources.delete(resource);
  }

  // ---- The end

  /**
   * Cancels what is in flight, waits for it (a second at the most), drops what was never submitted, closes the pools
   * and buffer rings made on this ring, and gives everything back. A second call does nothing. Completions not yet
   * reaped are thrown away: a descriptor in one of them, of an accept or an open, stays open.
   *
   * Kernel: before 5.19 only the ring's end cancels everything; there, cancel your own requests first, or closing takes
   * the whole second. A request that neither ends nor can be cancelled by then is given a tenth of a second after the
   * ring's end; should it still go on in the kernel, it may write to its buffer.
   *
   * @throws Error `ERR_URING_FORKED`.
   * @man io_uring_queue_exit(3)
   */
  close(): void {
    if (this.closed) return;
    this.#gate.checkOpen();
    const { sq, fd } = this.#gate;
    sq.discard();
    const ended =
      !sq.everSubmitted || drain(this, (opcode, address, count) => this.tryRegister(opcode, address, count));
    this.forgetRegistrations();
    this.#departure?.cancel();
    if (this.indexOnly) this.giveIndexBack(fd);
    this.#gate.close();
    for (const mapping of this.#mappings) mapping.close();
    if (!this.indexOnly) syscalls().close(fd);
    // Now the kernel cancels what it was not told to cancel; the memory below is not to go before that.
    if (!ended) Bun.sleepSync(AFTERMATH_MS);
    // What was made on the ring has nothing to unregister any more, which a restricted ring might refuse.
    for (const resource of [...this.#resources]) resource.close();
    this.#resources.clear();
    this.#scratch.close();
  }

  /** In a forked child the queues' memory is not there: touching it would end the process. */
  #refuseChild(): void {
    if (this.#guard[0] !== 1) throw forkedError();
  }

  /** The same as {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
