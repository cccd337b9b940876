/** io_uring_enter(2): when it is called, and what is made of its answers. */
import { EAGAIN, EBUSY, EINTR, ETIME } from "../abi/errno.gen.ts";
import {
  IORING_ENTER_EXT_ARG,
  IORING_ENTER_EXT_ARG_REG,
  IORING_ENTER_GETEVENTS,
  IORING_ENTER_NO_IOWAIT,
  IORING_ENTER_REGISTERED_RING,
  IORING_ENTER_SQ_WAIT,
  IORING_ENTER_SQ_WAKEUP,
  IORING_FEAT_MIN_TIMEOUT,
  IORING_FEAT_NO_IOWAIT,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_REGISTERED_FD_ONLY,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_NEED_WAKEUP,
  IORING_SQ_TASKRUN,
} from "../abi/constants.gen.ts";
import { IO_URING_GETEVENTS_ARG_SIZE, IO_URING_REG_WAIT_SIZE } from "../abi/layout.gen.ts";
import { stateError, UringError } from "../errors.ts";
import { forkedError, forkGuard, type Mapping } from "../memory.ts";
import { syscalls, type Syscalls } from "../../syscall/shim.ts";
import { adviceOnEnter } from "./advice.ts";
import type { CompletionQueue } from "./cq.ts";
import type { Cqe } from "./cqe.ts";
import type { RingParts } from "./setup.ts";
import type { SubmissionQueue } from "./sq.ts";
import { WaitArgument, type WaitOptions } from "./wait.ts";

/** @internal The two queues of a ring and the system call between them. */
export class Gate {
  /** What goes in. */
  readonly sq: SubmissionQueue;
  /** What comes out. */
  readonly cq: CompletionQueue;
  /** Why the latest submit or wait stopped short, as a positive errno; 0 if it did not. */
  errno = 0;
  /** How many calls were made. */
  enters = 0;
  /** How many times the kernel held completions that the queue had no room for. */
  overflows = 0;
  /** The ring's descriptor or registered index; -1 once closed. */
  fd: number;
  #enterFd: number;
  #enterFlags: number;
  readonly #waitFlags: number;
  readonly #features: number;
  readonly #system: Syscalls = syscalls();
  readonly #guard: Int32Array = forkGuard();
  readonly #argument: WaitArgument;
  readonly #sqpoll: boolean;
  readonly #iopoll: boolean;
  /** Completions come only inside io_uring_enter, and no flag tells that some wait. */
  readonly #entersToReap: boolean;
  /** When the wait under way is over, as performance.now() has it: for where the kernel does not tell. */
  #deadline = Infinity;
  /** Where in the registered region the argument of the wait under way lies, in bytes. */
  #offset = 0;

  /** @param scratch memory for the arguments of waits. */
  constructor(parts: RingParts, iowait: boolean, scratch: Mapping) {
    const { flags, features } = parts.setup;
    this.sq = parts.sq;
    this.cq = parts.cq;
    this.fd = this.#enterFd = parts.fd;
    this.#enterFlags = (flags & IORING_SETUP_REGISTERED_FD_ONLY) === 0 ? 0 : IORING_ENTER_REGISTERED_RING;
    this.#features = features;
    this.#sqpoll = (flags & IORING_SETUP_SQPOLL) !== 0;
    this.#iopoll = (flags & IORING_SETUP_IOPOLL) !== 0;
    const told = (flags & IORING_SETUP_TASKRUN_FLAG) !== 0;
    this.#entersToReap = this.#iopoll || ((flags & IORING_SETUP_DEFER_TASKRUN) !== 0 && !told);
    // Kernel: 6.15 can leave a waiting thread out of the count of those that wait for I/O.
    const quiet = !iowait && (features & IORING_FEAT_NO_IOWAIT) !== 0;
    this.#waitFlags = IORING_ENTER_GETEVENTS | (quiet ? IORING_ENTER_NO_IOWAIT : 0);
    this.#argument = new WaitArgument(scratch);
  }

  /** Throws where no call may be made. */
  checkOpen(): void {
    if (this.#guard[0] !== 1) throw forkedError();
    if (this.fd < 0) throw stateError("ERR_URING_CLOSED", "Cannot use the ring: it is closed");
  }

  /** The slow path of every claim: closed, forked, or full. */
  makeRoom(n: number): void {
    this.checkOpen();
    const { sq } = this;
    // An SQPOLL thread moves its head by itself: the queue may have room that nobody has looked for yet.
    if (sq.entries - this.sqReady() >= n) return;
    if (sq.chained) {
      throw stateError(
        "ERR_URING_CHAIN_SPLIT",
        "Cannot go on with the chain: the queue is full, and a chain ends where a submission ends; reserve(n) first",
      );
    }
    this.submit(0, 0);
    while (sq.entries - this.sqReady() < n) {
      if (!this.#sqpoll) throw this.#error(-this.errno || -EBUSY);
      this.sqringWait();
    }
  }

  /** Submits what is queued and posts what is ready, without waiting. */
  submitAndGetEvents(): number {
    return this.submit(0, IORING_ENTER_GETEVENTS);
  }

  /** Submits what is queued and waits for `n` completions. */
  submitAndWait(n: number): number {
    this.#deadline = Infinity;
    return this.submit(n, n === 0 ? 0 : this.#waitFlags);
  }

  /** The same with a time limit or a signal mask. */
  submitAndWaitTimeout(n: number, timeoutMs: number, options: WaitOptions | undefined): void {
    this.checkOpen();
    this.submit(n, this.#waitFlags | this.#fillArgument(timeoutMs, options));
  }

  /** The same with an argument that lies `offset` bytes into the ring's registered region, and lasts so long. */
  submitAndWaitAt(n: number, offset: number, timeoutMs: number): void {
    this.#offset = offset;
    this.#deadline = performance.now() + timeoutMs;
    this.submit(n, this.#waitFlags | IORING_ENTER_EXT_ARG | IORING_ENTER_EXT_ARG_REG);
  }

  /** Submits what is queued, and waits for `n` where `flags` has GETEVENTS; how many entries the kernel took. */
  submit(n: number, flags: number): number {
    this.checkOpen();
    const { sq, cq } = this;
    cq.publish();
    this.errno = 0;
    if (this.#sqpoll) return this.#submitToThread(n, flags);
    let total = 0;
    for (;;) {
      const queued = sq.publish();
      if (queued === 0 && (flags === 0 || (n > 0 && this.#isReady(n)))) break;
      const taken = this.#enter(queued, n, flags);
      total += sq.settle(taken);
      // Kernel: without SUBMIT_ALL a failing entry ends the submission, and nothing is waited for: go on with the rest.
      if (taken > 0 && taken < queued) continue;
      if (taken < 0) this.#stopShort(taken);
      else if (flags !== 0) cq.load();
      if (taken < 0 || cq.ready >= n || !this.#goesOnPolling()) break;
    }
    return total;
  }

  /** The same on an SQPOLL ring: the thread reads the queue, and is woken only where it sleeps. */
  #submitToThread(n: number, flags: number): number {
    const { sq, cq } = this;
    const queued = (sq.tail - sq.published) | 0;
    sq.publishToThread();
    sq.refreshFromThread();
    const wakeup = sq.ready > 0 && (sq.flags & IORING_SQ_NEED_WAKEUP) !== 0 ? IORING_ENTER_SQ_WAKEUP : 0;
    const wait = n === 0 || !this.#isReady(n) ? flags : 0;
    if ((wakeup | wait) !== 0) {
      const taken = this.#enter(queued, wait === 0 ? 0 : n, wakeup | wait);
      if (taken < 0) this.#stopShort(taken);
      else if (!cq.load() && n > 0 && wait !== 0) this.#stopEmpty();
    }
    return queued;
  }

  /** Waits for `n` completions; nothing is submitted. */
  wait(n: number, timeoutMs: number, options: WaitOptions | undefined): void {
    this.checkOpen();
    this.errno = 0;
    this.cq.publish();
    this.#deadline = Infinity;
    const limited = timeoutMs !== Infinity || options !== undefined;
    const flags = limited ? this.#waitFlags | this.#fillArgument(timeoutMs, options) : this.#waitFlags;
    while (!this.#isReady(n)) {
      const result = this.#enter(0, n, flags);
      if (result < 0) this.#stopShort(result);
      else this.cq.load();
      if (result < 0 || !this.#goesOnPolling()) break;
    }
  }

  /** Has the kernel post what it holds back. */
  getEvents(): void {
    this.checkOpen();
    if ((this.sq.flags & IORING_SQ_CQ_OVERFLOW) !== 0) this.overflows++;
    this.cq.publish();
    const result = this.#enter(0, 0, IORING_ENTER_GETEVENTS);
    if (result < 0) this.#stopShort(result);
    else this.cq.load();
  }

  /** The first completion of those posted since the last look, or held back by the kernel. */
  look(): Cqe | null {
    this.checkOpen();
    const { cq } = this;
    if (cq.load()) {
      // A gap filler may be all there is, on a ring of mixed sizes.
      const cqe = cq.peek();
      if (cqe !== null) return cqe;
    }
    cq.publish();
    const held = this.sq.flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN);
    if (held === 0 && !this.#entersToReap) return null;
    this.getEvents();
    return cq.peek();
  }

  /** Entries queued and not yet taken. */
  sqReady(): number {
    if (this.#sqpoll && this.fd >= 0) this.sq.refreshFromThread();
    return this.sq.ready;
  }

  /** Waits until the SQPOLL thread has taken an entry of a full queue. */
  sqringWait(): void {
    this.checkOpen();
    this.errno = 0;
    // Kernel: it returns once the thread has taken an entry, which can be before the thread has moved its head.
    while (this.#sqpoll && this.errno === 0 && this.sqReady() >= this.sq.entries) {
      const result = this.#enter(0, 0, IORING_ENTER_SQ_WAIT);
      if (result < 0) this.#stopShort(result);
    }
  }

  /** From here on the ring is named by its registered index; -1: by its descriptor again. */
  nameByIndex(index: number): void {
    this.#enterFd = index < 0 ? this.fd : index;
    this.#enterFlags = index < 0 ? 0 : IORING_ENTER_REGISTERED_RING;
  }

  /** The registered index takes the descriptor's place, for good. */
  dropDescriptor(): void {
    this.fd = this.#enterFd;
  }

  /** No call is made from here on. */
  close(): void {
    this.fd = this.#enterFd = -1;
    this.sq.close();
    this.cq.close();
  }

  #fillArgument(timeoutMs: number, options: WaitOptions | undefined): number {
    const flags = this.#argument.fill(timeoutMs, options, (this.#features & IORING_FEAT_MIN_TIMEOUT) !== 0);
    // A moment of another clock cannot be compared with ours: what ends such a wait is taken for its time being up.
    this.#deadline = options?.absolute === true ? 0 : performance.now() + timeoutMs;
    return flags;
  }

  /** After a wait that ended with too few completions: whether it is to be taken up again. */
  #goesOnPolling(): boolean {
    if (this.cq.ready > 0) return false;
    // Kernel: a polled ring may return without a completion (seen on 6.18), and knows no time limit. But while one waits
    // to be reaped it polls for nothing (5.10 to 7.3): one is all that can be waited for.
    if (this.#iopoll && performance.now() < this.#deadline) return true;
    this.#stopEmpty();
    return false;
  }

  /** Kernel: a call that took entries returns their number, and not why the wait that followed ended empty. */
  #stopEmpty(): void {
    this.errno = performance.now() < this.#deadline ? EINTR : ETIME;
  }

  #isReady(n: number): boolean {
    if (this.cq.ready >= n) return true;
    this.cq.load();
    return this.cq.ready >= n;
  }

  #enter(toSubmit: number, minComplete: number, flags: number): number {
    this.enters++;
    const all = flags | this.#enterFlags;
    const { address } = this.#argument;
    if ((flags & IORING_ENTER_EXT_ARG) === 0)
      return this.#system.enter(this.#enterFd, toSubmit, minComplete, all, 0, 0);
    if ((flags & IORING_ENTER_EXT_ARG_REG) === 0)
      return this.#system.enter(this.#enterFd, toSubmit, minComplete, all, address, IO_URING_GETEVENTS_ARG_SIZE);
    return this.#system.enter(this.#enterFd, toSubmit, minComplete, all, this.#offset, IO_URING_REG_WAIT_SIZE);
  }

  /** Records why a call stopped short where that is to be expected, and throws where it is not. */
  #stopShort(failure: number): void {
    const errno = -failure;
    if (errno !== EINTR && errno !== ETIME && errno !== EAGAIN && errno !== EBUSY) throw this.#error(failure);
    this.errno = errno;
    this.cq.load();
  }

  #error(failure: number): UringError {
    return new UringError(failure, "io_uring_enter", adviceOnEnter(-failure));
  }
}
