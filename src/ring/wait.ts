/** What a wait is told beyond a number of completions: struct io_uring_getevents_arg. */
import { IORING_ENTER_ABS_TIMER, IORING_ENTER_EXT_ARG } from "../abi/constants.gen.ts";
import {
  IO_URING_GETEVENTS_ARG_SIZE,
  IO_URING_GETEVENTS_ARG_WORD_MIN_WAIT_USEC,
  IO_URING_GETEVENTS_ARG_WORD_SIGMASK,
  IO_URING_GETEVENTS_ARG_WORD_SIGMASK_SZ,
  IO_URING_GETEVENTS_ARG_WORD_TS,
} from "../abi/layout.gen.ts";
import { describe, rangeError } from "../errors.ts";
import type { Mapping } from "../memory.ts";
import { checkCount, checkU64 } from "./prep/check.ts";

/** How {@link Ring.submitAndWaitTimeout} and {@link Ring.waitCqes} wait. */
export interface WaitOptions {
  /**
   * Once this many microseconds have passed, one completion is enough; before, as many as were asked for. @kernel 6.12
   */
  minWaitUsec?: number;
  /**
   * The time is a moment of the ring's clock (CLOCK_MONOTONIC, unless another is registered), in milliseconds from its
   * beginning, instead of a duration. A kernel without it answers EINVAL. @kernel 6.12
   */
  absolute?: boolean;
  /** The signals blocked during the wait, as sigset_t has them: bit n - 1 for signal n. */
  sigmask?: bigint;
}

/** The timespec and the sigset follow the argument in the same memory. */
const TIMESPEC_WORD = 8;
const SIGSET_WORD = 16;
const SIGSET_BYTES = 8;

/** @internal The argument of a wait, in memory that the ring owns: filled anew for each wait, allocating nothing. */
export class WaitArgument {
  readonly #memory: Mapping;

  /** @param memory at least a page, the ring's own. */
  constructor(memory: Mapping) {
    this.#memory = memory;
  }

  /** Where the argument stands. */
  get address(): number {
    return this.#memory.address;
  }

  /**
   * Fills the argument; `timeoutMs` of Infinity, or of more than the kernel can count, means none. The IORING_ENTER_*
   * bits that go with it.
   */
  fill(timeoutMs: number, options: WaitOptions | undefined, hasMinTimeout: boolean): number {
    if (typeof timeoutMs !== "number" || !(timeoutMs >= 0)) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot wait for ${describe(timeoutMs)} ms: it must be 0 to Infinity`);
    }
    const { words } = this.#memory;
    words.fill(0, 0, IO_URING_GETEVENTS_ARG_SIZE / 4);
    if (timeoutMs <= Number.MAX_SAFE_INTEGER) {
      const seconds = Math.floor(timeoutMs / 1000);
      words[TIMESPEC_WORD] = seconds;
      words[TIMESPEC_WORD + 1] = seconds * 2 ** -32;
      words[TIMESPEC_WORD + 2] = Math.floor((timeoutMs - seconds * 1000) * 1e6);
      words[TIMESPEC_WORD + 3] = 0;
      this.#point(IO_URING_GETEVENTS_ARG_WORD_TS, TIMESPEC_WORD);
    }
    if (options?.minWaitUsec !== undefined) {
      checkCount("minWaitUsec", options.minWaitUsec);
      if (!hasMinTimeout) {
        throw rangeError("ERR_URING_UNSUPPORTED", "Cannot use minWaitUsec: this kernel lacks IORING_FEAT_MIN_TIMEOUT");
      }
      words[IO_URING_GETEVENTS_ARG_WORD_MIN_WAIT_USEC] = options.minWaitUsec;
    }
    if (options?.sigmask !== undefined) {
      checkU64("sigmask", options.sigmask);
      words[SIGSET_WORD] = Number(BigInt.asIntN(32, options.sigmask));
      words[SIGSET_WORD + 1] = Number(BigInt.asIntN(32, options.sigmask >> 32n));
      words[IO_URING_GETEVENTS_ARG_WORD_SIGMASK_SZ] = SIGSET_BYTES;
      this.#point(IO_URING_GETEVENTS_ARG_WORD_SIGMASK, SIGSET_WORD);
    }
    return options?.absolute === true ? IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER : IORING_ENTER_EXT_ARG;
  }

  #point(word: number, target: number): void {
    const address = this.#memory.address + target * 4;
    this.#memory.words[word] = address;
    this.#memory.words[word + 1] = address * 2 ** -32;
  }
}
