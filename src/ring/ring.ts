/**
 * The low road: one ring, synchronous, allocating nothing per operation. What is queued, submitted, waited for and
 * reaped happens here; what an entry says is written by the prep functions, what is registered in register.ts.
 */
import { EAGAIN, EBUSY, EINTR, ETIME } from "../abi/errno.gen.ts";
import {
  IORING_ENTER_EXT_ARG,
  IORING_ENTER_GETEVENTS,
  IORING_ENTER_NO_IOWAIT,
  IORING_ENTER_REGISTERED_RING,
  IORING_ENTER_SQ_WAIT,
  IORING_ENTER_SQ_WAKEUP,
  IORING_FEAT_MIN_TIMEOUT,
  IORING_FEAT_NO_IOWAIT,
  IORING_REGISTER_USE_REGISTERED_RING,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_REGISTERED_FD_ONLY,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_NEED_WAKEUP,
  IORING_SQ_TASKRUN,
  IORING_UNREGISTER_RING_FDS,
} from "../abi/constants.gen.ts";
import { IO_URING_GETEVENTS_ARG_SIZE, IO_URING_RSRC_UPDATE_SIZE } from "../abi/layout.gen.ts";
import { syscalls, type Syscalls } from "../../syscall/shim.ts";
import { rangeError, stateError, UringError } from "../errors.ts";
import { addressOf, forkedError, forkGuard, Mapping } from "../memory.ts";
import { adviceOnEnter } from "./advice.ts";
import type { CompletionQueue } from "./cq.ts";
import type { Cqe } from "./cqe.ts";
import { drain } from "./drain.ts";
import { checkCount } from "./prep/check.ts";
import { Probe } from "./probe.ts";
import type { RingOptions } from "./params.ts";
import { Registrations } from "./register.ts";
import { type RingSetup, setUpRing } from "./setup.ts";
import type { SubmissionQueue } from "./sq.ts";
import { checkCallback, type Sqe } from "./sqe.ts";
import { WaitArgument, type WaitOptions } from "./wait.ts";

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
export class Ring extends Registrations {
  /** What the kernel gave: sizes, flags, features. */
  readonly setup: RingSetup;
  /**
   * Why the latest submit or wait stopped short, as a positive errno; 0 if it did not. EINTR: a signal arrived, whose
   * handler runs once JavaScript returns to its loop. ETIME: the time was up. EAGAIN: the kernel is short of memory.
   * EBUSY: completions have piled up and must be reaped first. After the last two everything not taken is still queued.
   */
  errno = 0;
  /** How many io_uring_enter calls this ring has made. */
  enters = 0;
  /** How many times the kernel was found holding completions that the queue had no room for, and asked to post them. */
  overflows = 0;
  #fd: number;
  #enterFd: number;
  #enterFlags = 0;
  readonly #waitFlags: number;
  readonly #sq: SubmissionQueue;
  readonly #cq: CompletionQueue;
  readonly #mappings: readonly Mapping[];
  readonly #scratch: Mapping;
  readonly #wait: WaitArgument;
  readonly #system: Syscalls;
  readonly #guard: Int32Array;
  readonly #sqpoll: boolean;
  readonly #iopoll: boolean;
  readonly #indexOnly: boolean;
  /** Completions come only inside io_uring_enter, and no flag tells that some wait. */
  readonly #entersToReap: boolean;
  readonly #resources = new Set<RingResource>();
  #probe: Probe | undefined;

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
    this.#system = syscalls();
    this.#guard = forkGuard();
    this.#scratch = Mapping.anonymous(SCRATCH_BYTES);
    try {
      const parts = setUpRing(entries, options, this.#scratch);
      this.setup = parts.setup;
      this.#fd = this.#enterFd = parts.fd;
      this.#sq = parts.sq;
      this.#cq = parts.cq;
      this.#mappings = parts.mappings;
    } catch (error) {
      this.#scratch.close();
      throw error;
    }
    const { flags, features } = this.setup;
    this.#sqpoll = (flags & IORING_SETUP_SQPOLL) !== 0;
    this.#iopoll = (flags & IORING_SETUP_IOPOLL) !== 0;
    const told = (flags & IORING_SETUP_TASKRUN_FLAG) !== 0;
    this.#entersToReap = this.#iopoll || ((flags & IORING_SETUP_DEFER_TASKRUN) !== 0 && !told);
    // Kernel: 6.15 can leave a waiting thread out of the count of those that wait for I/O.
    const quiet = options.iowait !== true && (features & IORING_FEAT_NO_IOWAIT) !== 0;
    this.#waitFlags = IORING_ENTER_GETEVENTS | (quiet ? IORING_ENTER_NO_IOWAIT : 0);
    this.#indexOnly = (flags & IORING_SETUP_REGISTERED_FD_ONLY) !== 0;
    if (this.#indexOnly) this.#enterFlags = IORING_ENTER_REGISTERED_RING;
    this.#wait = new WaitArgument(this.#scratch);
  }

  /** The ring's descriptor, or its registered index on a ring made with `registeredFdOnly`; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#fd < 0;
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
    if (this.#sq.full || this.#guard[0] !== 1) this.#makeRoom(1);
    return this.#sq.claim();
  }

  protected override commit(): Sqe {
    return this.#sq.commit();
  }

  /**
   * Makes room for `n` entries, submitting what is queued if it must: before a chain, which has to be submitted whole.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for more entries than the queue has; Error `ERR_URING_CHAIN_SPLIT` in the
   * middle of a chain; UringError EBUSY or EAGAIN where the kernel takes nothing until completions are reaped.
   */
  reserve(n: number): void {
    this.#checkOpen();
    checkCount("a number of entries", n);
    if (n > this.#sq.entries) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot reserve ${n} entries: the queue has ${this.#sq.entries}`);
    }
    if (this.sqSpaceLeft() < n) this.#makeRoom(n);
  }

  /** The slow path of every claim: closed, forked, or full. */
  #makeRoom(n: number): void {
    this.#checkOpen();
    const sq = this.#sq;
    if (sq.chained) {
      throw stateError(
        "ERR_URING_CHAIN_SPLIT",
        "Cannot go on with the chain: the queue is full, and a chain ends where a submission ends; reserve(n) first",
      );
    }
    this.submit();
    while (sq.entries - sq.ready < n) {
      if (!this.#sqpoll) throw this.#enterError(-this.errno || -EBUSY);
      this.sqringWait();
    }
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
    return this.#submit(0, 0);
  }

  /**
   * Gives the kernel everything that is queued and waits until `n` completions are there to be reaped.
   *
   * Returns early when a signal arrives, so that its handler can run; {@link cqReady} tells how many there are.
   *
   * @returns how many entries the kernel took. Fewer than queued: see {@link errno}; the rest stays queued.
   * @throws as {@link submit}.
   * @kernel 5.1
   * @man io_uring_submit_and_wait(3)
   */
  submitAndWait(n: number): number {
    checkCount("a number of completions", n);
    return this.#submit(n, n === 0 ? 0 : this.#waitFlags);
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
    return this.#submit(0, IORING_ENTER_GETEVENTS);
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
    this.#checkOpen();
    this.#wait.fill(timeoutMs, options, this.hasFeature(IORING_FEAT_MIN_TIMEOUT));
    this.#submit(n, this.#waitFlags | IORING_ENTER_EXT_ARG);
    return this.#cq.peek();
  }

  /** Submits, and waits for `n` where `flags` has GETEVENTS. Everything about io_uring_enter's answers is here. */
  #submit(n: number, flags: number): number {
    this.#checkOpen();
    this.#cq.publish();
    this.errno = 0;
    if (this.#sqpoll) return this.#submitToThread(n, flags);
    const sq = this.#sq;
    const before = sq.head;
    for (;;) {
      const queued = sq.publish();
      if (queued === 0 && (flags === 0 || (n > 0 && this.#isReady(n)))) break;
      const taken = this.#enter(queued, n, flags);
      sq.refresh();
      if (taken < 0 && !this.#canGoOn(taken)) break;
      // Kernel: without SUBMIT_ALL a failing entry ends the submission, and nothing is waited for: go on with the rest.
      if (taken > 0 && taken < queued) continue;
      this.#cq.load();
      // Kernel: a polled ring may return without a completion (seen on 6.18): only there a wait is taken up again.
      if (taken < 0 || !this.#iopoll || this.#cq.ready >= n) break;
    }
    return (sq.head - before) | 0;
  }

  /** The same on an SQPOLL ring: the thread reads the queue, and is woken only where it sleeps. */
  #submitToThread(n: number, flags: number): number {
    const sq = this.#sq;
    const queued = (sq.tail - sq.published) | 0;
    sq.publishToThread();
    sq.refreshFromThread();
    const wakeup = sq.ready > 0 && (sq.flags & IORING_SQ_NEED_WAKEUP) !== 0 ? IORING_ENTER_SQ_WAKEUP : 0;
    const wait = n > 0 && !this.#isReady(n) ? flags : 0;
    if ((wakeup | wait) !== 0) {
      const taken = this.#enter(queued, wait === 0 ? 0 : n, wakeup | wait);
      if (taken < 0) this.#canGoOn(taken);
      this.#cq.load();
    }
    return queued;
  }

  #isReady(n: number): boolean {
    if (this.#cq.ready >= n) return true;
    this.#cq.load();
    return this.#cq.ready >= n;
  }

  /** Records why an enter stopped short. False where the caller must act first; an error for everything else. */
  #canGoOn(failure: number): false {
    const errno = -failure;
    if (errno !== EINTR && errno !== ETIME && errno !== EAGAIN && errno !== EBUSY) throw this.#enterError(failure);
    this.errno = errno;
    this.#cq.load();
    return false;
  }

  /** io_uring_enter(2). With EXT_ARG the argument is the scratch page's. */
  #enter(toSubmit: number, minComplete: number, flags: number): number {
    this.enters++;
    const extended = (flags & IORING_ENTER_EXT_ARG) !== 0;
    return this.#system.enter(
      this.#enterFd,
      toSubmit,
      minComplete,
      flags | this.#enterFlags,
      extended ? this.#wait.address : 0,
      extended ? IO_URING_GETEVENTS_ARG_SIZE : 0,
    );
  }

  /** Entries queued and not yet taken by the kernel. @man io_uring_sq_ready(3) */
  sqReady(): number {
    if (this.#sqpoll && !this.closed) this.#sq.refreshFromThread();
    return this.#sq.ready;
  }

  /** Free entries of the submission queue. @man io_uring_sq_space_left(3) */
  sqSpaceLeft(): number {
    return this.#sq.entries - this.sqReady();
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
    this.#checkOpen();
    if (this.#sqpoll && this.sqSpaceLeft() === 0) {
      const result = this.#enter(0, 0, IORING_ENTER_SQ_WAIT);
      if (result < 0) this.#canGoOn(result);
    }
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
    return this.#cq.peek() ?? this.#look();
  }

  /** What the kernel has posted since the last look, or holds back. */
  #look(): Cqe | null {
    this.#checkOpen();
    const cq = this.#cq;
    if (cq.load()) {
      // A gap filler may be all there is, on a ring of mixed sizes.
      const cqe = cq.peek();
      if (cqe !== null) return cqe;
    }
    cq.publish();
    const held = this.#sq.flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN);
    if (held === 0 && !this.#entersToReap) return null;
    this.getEvents();
    return cq.peek();
  }

  /**
   * Marks the current completion as seen, and moves on to the next of those that were there when {@link peekCqe} or a
   * wait looked last; null after the last of them. A loop over it is bounded, however fast completions come.
   *
   * @returns as {@link peekCqe}.
   */
  nextCqe(): Cqe | null {
    const cq = this.#cq;
    cq.seen();
    const cqe = cq.peek();
    if (cqe === null) cq.publish();
    return cqe;
  }

  /** Marks the completion that was looked at last as seen, so that its place can be used again. @man io_uring_cqe_seen(3) */
  seenCqe(): void {
    this.#cq.seen();
    this.#cq.publish();
  }

  /**
   * Marks `n` completions as seen, from the first unseen on. @man io_uring_cq_advance(3)
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for more than are ready.
   */
  cqAdvance(n: number): void {
    checkCount("a number of completions", n);
    for (let i = 0; i < n; i++) {
      if (this.#cq.peek() === null) {
        throw rangeError("ERR_URING_ARG_VALUE", `Cannot advance over ${n} completions: ${i} are ready`);
      }
      this.#cq.seen();
    }
    this.#cq.publish();
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
    this.#checkOpen();
    this.errno = 0;
    this.#cq.publish();
    const extended = timeoutMs !== Infinity || options !== undefined;
    if (extended) this.#wait.fill(timeoutMs, options, this.hasFeature(IORING_FEAT_MIN_TIMEOUT));
    const flags = extended ? this.#waitFlags | IORING_ENTER_EXT_ARG : this.#waitFlags;
    while (!this.#isReady(n)) {
      const result = this.#enter(0, n, flags);
      if (result < 0) {
        this.#canGoOn(result);
        break;
      }
      this.#cq.load();
      // Kernel: only a polled ring returns 0 with too few completions and nothing to say about it.
      if (!this.#iopoll) break;
    }
    return this.#cq.peek();
  }

  /**
   * Has the kernel post what it holds back, without waiting or submitting.
   *
   * @throws as {@link waitCqe}.
   * @man io_uring_get_events(3)
   */
  getEvents(): void {
    this.#checkOpen();
    if ((this.#sq.flags & IORING_SQ_CQ_OVERFLOW) !== 0) this.overflows++;
    this.#cq.publish();
    const result = this.#enter(0, 0, IORING_ENTER_GETEVENTS);
    if (result < 0) this.#canGoOn(result);
    this.#cq.load();
  }

  /** Completions posted and not seen; on a ring of mixed sizes the slots they take. @man io_uring_cq_ready(3) */
  cqReady(): number {
    if (!this.closed) this.#cq.load();
    return this.#cq.ready;
  }

  /** Whether the kernel holds completions that the queue had no room for. None is lost. @man io_uring_cq_has_overflow(3) */
  cqHasOverflow(): boolean {
    return !this.closed && (this.#sq.flags & IORING_SQ_CQ_OVERFLOW) !== 0;
  }

  /** Completions that the kernel had to drop: 0 wherever it has IORING_FEAT_NODROP. */
  get cqDropped(): number {
    return this.closed ? 0 : this.#cq.dropped;
  }

  /** Whether completions signal the registered eventfd; settable. @kernel 5.8 @man io_uring_cq_eventfd_toggle(3) */
  get cqEventfdEnabled(): boolean {
    this.#checkOpen();
    return this.#cq.eventfdEnabled;
  }

  set cqEventfdEnabled(enabled: boolean) {
    this.#checkOpen();
    this.#cq.eventfdEnabled = enabled;
  }

  // ---- What there is

  /**
   * What the running kernel can do, asked once.
   *
   * @kernel 5.6
   * @man io_uring_register_probe(3)
   */
  probe(): Probe {
    return (this.#probe ??= Probe.ask(this));
  }

  /** Whether the running kernel has the operation IORING_OP_*. */
  supports(op: number): boolean {
    return this.probe().supports(op);
  }

  /** Whether the running kernel has all the bits of IORING_FEAT_*. */
  hasFeature(bits: number): boolean {
    return (this.setup.features & bits) === bits;
  }

  protected override tryRegister(opcode: number, address: number, count: number): number {
    this.#checkOpen();
    // Kernel: a ring without a descriptor is named by its index here as well, from 6.3.
    const how = this.#indexOnly ? IORING_REGISTER_USE_REGISTERED_RING : 0;
    return this.#system.register(this.#fd, opcode + how, address, count);
  }

  protected override useRegisteredIndex(index: number): void {
    this.#enterFd = index < 0 ? this.#fd : index;
    this.#enterFlags = index < 0 ? 0 : IORING_ENTER_REGISTERED_RING;
  }

  /** @internal Has `resource` closed with the ring. */
  adopt(resource: RingResource): void {
    this.#checkOpen();
    this.#resources.add(resource);
  }

  /** @internal The resource is closed already. */
  disown(resource: RingResource): void {
    this.#resources.delete(resource);
  }

  // ---- The end

  /**
   * Cancels what is in flight, waits for it (a second at the most), drops what was never submitted, closes the pools
   * and buffer rings made on this ring, and gives everything back. A second call does nothing.
   *
   * Kernel: before 5.19 there is no way to cancel everything; there, cancel your own requests first. A request that
   * neither ends nor can be cancelled within the second goes on in the kernel and may still write to its buffer.
   *
   * @throws Error `ERR_URING_FORKED`.
   * @man io_uring_queue_exit(3)
   */
  close(): void {
    if (this.closed) return;
    if (this.#guard[0] !== 1) throw forkedError();
    this.#sq.discard();
    if (this.#sq.everSubmitted) drain(this, (opcode, address, count) => this.tryRegister(opcode, address, count));
    for (const resource of [...this.#resources]) resource.close();
    this.#resources.clear();
    this.forgetRegistrations();
    const fd = this.#fd;
    if (this.#indexOnly) this.#giveIndexBack();
    this.#fd = this.#enterFd = -1;
    this.#sq.close();
    this.#cq.close();
    for (const mapping of this.#mappings) mapping.close();
    if (!this.#indexOnly) this.#system.close(fd);
    this.#scratch.close();
  }

  /** Closes a ring that has no descriptor, only a place among the thread's registered rings. */
  #giveIndexBack(): void {
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[0] = this.#fd;
    this.tryRegister(IORING_UNREGISTER_RING_FDS, addressOf(words), 1);
  }

  /** The same as {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (this.#guard[0] !== 1) throw forkedError();
    if (this.#fd < 0) throw stateError("ERR_URING_CLOSED", "Cannot use the ring: it is closed");
  }

  #enterError(failure: number): UringError {
    return new UringError(failure, "io_uring_enter", adviceOnEnter(-failure));
  }
}
