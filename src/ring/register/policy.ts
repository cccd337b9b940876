/** Registrations about what requests may do, as whom, and where: restrictions, filters, credentials, workers. */
import { EBADFD, EBUSY, EINVAL } from "../../abi/errno.gen.ts";
import {
  IO_WQ_BOUND,
  IO_WQ_UNBOUND,
  IORING_REGISTER_BPF_FILTER,
  IORING_REGISTER_IOWQ_AFF,
  IORING_REGISTER_IOWQ_MAX_WORKERS,
  IORING_REGISTER_PERSONALITY,
  IORING_REGISTER_RESTRICTIONS,
  IORING_UNREGISTER_IOWQ_AFF,
  IORING_UNREGISTER_PERSONALITY,
} from "../../abi/constants.gen.ts";
import { describe, rangeError, stateError, typeError } from "../../errors.ts";
import { type BpfFilter, callWithFilter } from "../bpf.ts";
import { checkCount, checkU16 } from "../prep/check.ts";
import { getProbe } from "../probe.ts";
import { type Restrictions, restrictionWords } from "../restrict.ts";
import { WaitRegistrations } from "./waits.ts";
import { transientAddress } from "../transient.ts";

/** How many worker threads there may be. */
export interface WorkerLimits {
  /** For work that ends by itself: files, disks. */
  bounded: number;
  /** For work that may wait for ever: sockets, pipes. */
  unbounded: number;
}

/** The kernel has no more processors. */
const MAX_CPUS = 8192;

/** @internal */
export abstract class PolicyRegistrations extends WaitRegistrations {
  #restricted = false;

  /**
   * Keeps the credentials that the calling thread has now under a number, for {@link Sqe.personality}: requests that
   * carry it are done with them, whatever becomes of the thread's own.
   *
   * @returns the number, from 1.
   * @throws UringError ENOMEM, or EBUSY where there are 65535 already.
   * @kernel 5.6
   * @man io_uring_register_personality(3)
   */
  registerPersonality(): number {
    return this.call("IORING_REGISTER_PERSONALITY", IORING_REGISTER_PERSONALITY, 0, 0);
  }

  /**
   * Forgets credentials. Requests that carry the number are refused with -EINVAL from here on; those in flight go on.
   *
   * @throws UringError EINVAL for a number that is not registered.
   * @kernel 5.6
   * @man io_uring_unregister_personality(3)
   */
  unregisterPersonality(id: number): void {
    checkU16("personality", id);
    this.call("IORING_UNREGISTER_PERSONALITY", IORING_UNREGISTER_PERSONALITY, 0, id, {
      [EINVAL]: `personality ${id} is not registered`,
    });
  }

  /**
   * Restricts the ring for good to what is listed: everything else is refused, operations by a completion with -EACCES,
   * registrations by an error. Once a ring, made with `rDisabled`, before {@link enableRings}.
   *
   * @throws Error `ERR_URING_STATE` where the ring is not disabled or is restricted already; TypeError or RangeError
   * for what can be no restriction; UringError EINVAL for an operation that the kernel does not know.
   * @kernel 5.10
   * @man io_uring_register_restrictions(3)
   */
  registerRestrictions(restrictions: Restrictions): void {
    this.checkOpen();
    if (!this.disabled) {
      throw stateError(
        "ERR_URING_STATE",
        "Cannot restrict the ring: make it with rDisabled, restrict it, then enableRings()",
      );
    }
    if (this.#restricted) throw stateError("ERR_URING_STATE", "Cannot restrict the ring: it is restricted already");
    const { words, count } = restrictionWords(restrictions, getProbe());
    this.call("IORING_REGISTER_RESTRICTIONS", IORING_REGISTER_RESTRICTIONS, transientAddress(words), count, {
      [EINVAL]: "an operation or a registration is listed that this kernel does not know",
      [EBADFD]: "the ring is not disabled",
      [EBUSY]: "the ring is restricted already",
    });
    this.#restricted = true;
  }

  /**
   * Has a BPF program allow or refuse each request with one operation, before it is issued; several programs must all
   * allow it. What is refused completes with -EACCES. For good.
   *
   * The kernel copies the program: nothing has to be kept.
   *
   * @throws TypeError or RangeError for what can be no filter; UringError EINVAL for a program that the kernel does not
   * take and before 7.0, EMSGSIZE where the kernel has less or, with `strictSize`, other data for the operation,
   * EACCES where the process may not.
   * @kernel 7.0
   * @man io_uring_register_bpf_filter(3)
   */
  registerBpfFilter(filter: BpfFilter): void {
    callWithFilter(filter, (address) => this.tryRegister(IORING_REGISTER_BPF_FILTER, address, 1));
  }

  /**
   * Has the ring's worker threads run on these processors only, as far as they are started from here on. On a ring
   * without SQPOLL the workers are the thread's, and all of its rings have them in common.
   *
   * @param cpus the processors' numbers, from 0.
   * @throws TypeError or RangeError for what is no processor; UringError EINVAL where the thread may use none of them.
   * @kernel 5.14
   * @man io_uring_register_iowq_aff(3)
   */
  registerIowqAff(cpus: readonly number[]): void {
    const mask = cpuMask(cpus);
    this.call("IORING_REGISTER_IOWQ_AFF", IORING_REGISTER_IOWQ_AFF, transientAddress(mask), mask.byteLength, {
      [EINVAL]: "this kernel cannot (5.14), or the process may use none of these processors",
    });
  }

  /**
   * Lets the workers that are started from here on run wherever the thread may again.
   *
   * @throws UringError EINVAL before 5.14.
   * @kernel 5.14
   * @man io_uring_unregister_iowq_aff(3)
   */
  unregisterIowqAff(): void {
    this.call("IORING_UNREGISTER_IOWQ_AFF", IORING_UNREGISTER_IOWQ_AFF, 0, 0);
  }

  /**
   * Limits how many worker threads there may be, for each processor node; 0, or nothing given, leaves a limit as it is.
   *
   * @returns the limits before the call.
   * @throws TypeError or RangeError for what is no number of threads; UringError EINVAL before 5.15.
   * @kernel 5.15
   * @man io_uring_register_iowq_max_workers(3)
   */
  registerIowqMaxWorkers(limits: Partial<WorkerLimits> = {}): WorkerLimits {
    const { bounded = 0, unbounded = 0 } = limits;
    checkCount("a number of workers", bounded);
    checkCount("a number of workers", unbounded);
    const words = new Int32Array(2);
    words[IO_WQ_BOUND] = bounded;
    words[IO_WQ_UNBOUND] = unbounded;
    this.call("IORING_REGISTER_IOWQ_MAX_WORKERS", IORING_REGISTER_IOWQ_MAX_WORKERS, transientAddress(words), 2);
    return { bounded: words[IO_WQ_BOUND] as number, unbounded: words[IO_WQ_UNBOUND] as number };
  }
}

/** A bit for each processor, in whole words of 64. */
function cpuMask(cpus: readonly number[]): Uint8Array {
  if (!Array.isArray(cpus)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(cpus)} as processors: pass an array`);
  }
  if (cpus.length === 0) throw rangeError("ERR_URING_ARG_VALUE", "Cannot run workers on no processor");
  for (const cpu of cpus as readonly number[]) {
    checkCount("a processor", cpu);
    if (cpu >= MAX_CPUS) throw rangeError("ERR_URING_ARG_VALUE", `Cannot use ${cpu} as a processor: 8191 is the last`);
  }
  const mask = new Uint8Array((Math.floor(Math.max(...cpus) / 64) + 1) * 8);
  for (const cpu of cpus as readonly number[]) mask[cpu >> 3] = (mask[cpu >> 3] as number) | (1 << (cpu & 7));
  return mask;
}
