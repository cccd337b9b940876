/** Arguments of waits in memory that the kernel was shown once: struct io_uring_reg_wait, one after another. */
import { IORING_REG_WAIT_TS } from "../abi/constants.gen.ts";
import {
  IO_URING_REG_WAIT_SIZE,
  IO_URING_REG_WAIT_WORD_FLAGS,
  IO_URING_REG_WAIT_WORD_MIN_WAIT_USEC,
  IO_URING_REG_WAIT_WORD_SIGMASK,
  IO_URING_REG_WAIT_WORD_SIGMASK_SZ,
  IO_URING_REG_WAIT_WORD_TS,
} from "../abi/layout.gen.ts";
import { describe, rangeError, stateError } from "../errors.ts";
import type { Mapping } from "../memory.ts";
import { checkCount, checkU64 } from "./prep/check.ts";
import { setU64 } from "./structs.ts";

const WAIT_WORDS = IO_URING_REG_WAIT_SIZE / 4;
const SIGSET_BYTES = 8;

/** What a registered wait can be told besides its time. */
export interface RegisteredWaitOptions {
  /** Once this many microseconds have passed, one completion is enough; before, as many as were asked for. */
  minWaitUsec?: number;
  /** The signals blocked during the wait, as sigset_t has them: bit n - 1 for signal n. */
  sigmask?: bigint;
}

/**
 * The waits of a ring that {@link Ring.submitAndWaitReg} names by index. Each waits without a limit until it is set.
 *
 * ```ts
 * using ring = new Ring(64, { rDisabled: true });
 * const waits = ring.registerWaitReg(2);
 * ring.enableRings();
 * waits.set(0, 5).set(1, 250);
 * ring.submitAndWaitReg(8, 0); // eight completions or 5 ms
 * ```
 */
export class RegisteredWaits {
  /** How many there are. */
  readonly count: number;
  readonly #memory: Mapping;
  /** By index: how long it lasts, in milliseconds. */
  readonly #timeouts: Float64Array;

  /** @internal */
  constructor(memory: Mapping, count: number) {
    this.#memory = memory;
    this.count = count;
    this.#timeouts = new Float64Array(count).fill(Infinity);
  }

  /** @internal The memory that `count` waits take: their structs, then their signal masks. */
  static bytesFor(count: number): number {
    return count * (IO_URING_REG_WAIT_SIZE + SIGSET_BYTES);
  }

  /**
   * Sets a wait; it lasts until it is set again. Not while the wait is under way.
   *
   * @param timeoutMs the longest it lasts, in milliseconds, fractions allowed; Infinity for as long as it takes.
   * @throws RangeError or TypeError for what cannot be; Error `ERR_URING_CLOSED` once the ring is closed.
   */
  set(index: number, timeoutMs: number, options: RegisteredWaitOptions = {}): this {
    this.#check(index);
    if (typeof timeoutMs !== "number" || !(timeoutMs >= 0)) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot wait for ${describe(timeoutMs)} ms: it must be 0 to Infinity`);
    }
    if (this.#memory.bytes.length === 0) throw stateError("ERR_URING_CLOSED", "Cannot set a wait: the ring is closed");
    const { minWaitUsec = 0, sigmask } = options;
    checkCount("minWaitUsec", minWaitUsec);
    if (sigmask !== undefined) checkU64("sigmask", sigmask);
    const { words } = this.#memory;
    const at = index * WAIT_WORDS;
    words.fill(0, at, at + WAIT_WORDS);
    if (timeoutMs <= Number.MAX_SAFE_INTEGER) {
      const seconds = Math.floor(timeoutMs / 1000);
      setU64(words, at + IO_URING_REG_WAIT_WORD_TS, seconds);
      words[at + IO_URING_REG_WAIT_WORD_TS + 2] = Math.floor((timeoutMs - seconds * 1000) * 1e6);
      words[at + IO_URING_REG_WAIT_WORD_FLAGS] = IORING_REG_WAIT_TS;
    }
    words[at + IO_URING_REG_WAIT_WORD_MIN_WAIT_USEC] = minWaitUsec;
    if (sigmask !== undefined) {
      const offset = this.count * IO_URING_REG_WAIT_SIZE + index * SIGSET_BYTES;
      setU64(words, offset / 4, sigmask);
      setU64(words, at + IO_URING_REG_WAIT_WORD_SIGMASK, this.#memory.address + offset);
      words[at + IO_URING_REG_WAIT_WORD_SIGMASK_SZ] = SIGSET_BYTES;
    }
    this.#timeouts[index] = timeoutMs;
    return this;
  }

  /** @internal How long a wait lasts, in milliseconds. */
  timeoutOf(index: number): number {
    this.#check(index);
    return this.#timeouts[index] as number;
  }

  #check(index: number): void {
    if (Number.isInteger(index) && index >= 0 && index < this.count) return;
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot find wait ${describe(index)}: there are ${this.count}`);
  }
}
