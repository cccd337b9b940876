/** Registrations about waiting: whose clock counts, and arguments of waits that lie where the kernel can see them. */
import { EBUSY, EINVAL } from "../../abi/errno.gen.ts";
import {
  IORING_MEM_REGION_REG_WAIT_ARG,
  IORING_MEM_REGION_TYPE_USER,
  IORING_REGISTER_CLOCK,
  IORING_REGISTER_MEM_REGION,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_CLOCK_REGISTER_SIZE,
  IO_URING_CLOCK_REGISTER_WORD_CLOCKID,
  IO_URING_MEM_REGION_REG_SIZE,
  IO_URING_MEM_REGION_REG_WORD_FLAGS,
  IO_URING_MEM_REGION_REG_WORD_REGION_UPTR,
  IO_URING_REGION_DESC_SIZE,
  IO_URING_REGION_DESC_WORD_FLAGS,
  IO_URING_REGION_DESC_WORD_MMAP_OFFSET,
  IO_URING_REGION_DESC_WORD_SIZE,
  IO_URING_REGION_DESC_WORD_USER_ADDR,
  IO_URING_REG_WAIT_SIZE,
} from "../../abi/layout.gen.ts";
import { CLOCK_BOOTTIME, CLOCK_MONOTONIC } from "../../abi/linux.ts";
import { describe, rangeError, stateError } from "../../errors.ts";
import { Mapping } from "../../memory.ts";
import type { Cqe } from "../cqe.ts";
import { checkCount } from "../prep/check.ts";
import { RegisteredWaits } from "../regwait.ts";
import { setU64, u64At } from "../structs.ts";
import { QueueRegistrations } from "./queues.ts";
import { transientAddress } from "../transient.ts";

const PAGE_BYTES = 4096;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;
/** Waits are found by a signed number of 32 bits, and more than a few serve nobody. */
const MAX_WAITS = 2 ** 20;

/** How {@link Ring.registerRegion} makes the region. */
export interface RegionOptions {
  /** The region holds arguments of waits; {@link Ring.registerWaitReg} is the comfortable way. */
  waitArguments?: boolean;
  /** The kernel brings the memory, and the library maps it; otherwise the other way round. */
  kernelMapped?: boolean;
  /** Takes huge pages from the system's pool. */
  hugePages?: boolean;
}

/** @internal */
export abstract class WaitRegistrations extends QueueRegistrations {
  #region: Mapping | undefined;
  #waits: RegisteredWaits | undefined;

  /** Submits, and waits with the argument that lies `offset` bytes into the region; the first completion. */
  protected abstract submitAndWaitAt(n: number, offset: number, timeoutMs: number): Cqe | null;

  /**
   * Chooses the clock of the ring's waits: CLOCK_MONOTONIC, which rings start with, or CLOCK_BOOTTIME. Only waits for a
   * moment can tell them apart ({@link WaitOptions.absolute}), and durations during which the machine is suspended.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for another clock; UringError EINVAL before 6.12.
   * @kernel 6.12
   * @man io_uring_register_clock(3)
   */
  registerClock(clockId: number): void {
    if (clockId !== CLOCK_MONOTONIC && clockId !== CLOCK_BOOTTIME) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot use clock ${describe(clockId)} for waits: it must be CLOCK_MONOTONIC or CLOCK_BOOTTIME`,
      );
    }
    const words = new Int32Array(IO_URING_CLOCK_REGISTER_SIZE / 4);
    words[IO_URING_CLOCK_REGISTER_WORD_CLOCKID] = clockId;
    this.call("IORING_REGISTER_CLOCK", IORING_REGISTER_CLOCK, transientAddress(words), 0, {
      [EINVAL]: "this kernel does not let a ring choose its clock (6.12)",
    });
  }

  /**
   * Registers memory that the kernel reads arguments from without copying: one region a ring, for as long as it lives.
   * The ring owns it and closes it with itself; `lengthBytes` is rounded up to whole pages.
   *
   * @returns the memory.
   * @throws Error `ERR_URING_STATE` where a region is registered already, or where it is for waits and the ring is not
   * disabled; UringError EINVAL before 6.13, ENOMEM.
   * @kernel 6.13
   * @man io_uring_register_region(3)
   */
  registerRegion(lengthBytes: number, options: RegionOptions = {}): Mapping {
    this.checkOpen();
    checkCount("a region's size", lengthBytes);
    if (lengthBytes === 0) throw rangeError("ERR_URING_ARG_VALUE", "Cannot register a region of no bytes");
    if (this.#region !== undefined) {
      throw stateError("ERR_URING_STATE", "Cannot register a region: the ring has one, and it stays");
    }
    const forWaits = options.waitArguments === true;
    if (forWaits && !this.disabled) {
      throw stateError(
        "ERR_URING_STATE",
        "Cannot register a region for waits: make the ring with rDisabled, register, then enableRings()",
      );
    }
    if (options.kernelMapped === true && this.indexOnly) {
      throw stateError("ERR_URING_STATE", "Cannot map the kernel's region: the ring has no descriptor");
    }
    this.#region = this.#registerRegion(lengthBytes, forWaits ? IORING_MEM_REGION_REG_WAIT_ARG : 0, options);
    this.adopt(this.#region);
    return this.#region;
  }

  #registerRegion(lengthBytes: number, flags: number, options: RegionOptions): Mapping {
    const unit = options.hugePages === true ? HUGE_PAGE_BYTES : PAGE_BYTES;
    const size = Math.ceil(lengthBytes / unit) * unit;
    const own =
      options.kernelMapped === true
        ? undefined
        : Mapping.anonymous(size, { hugePages: options.hugePages === true, populate: true });
    const region = new Int32Array(IO_URING_REGION_DESC_SIZE / 4);
    setU64(region, IO_URING_REGION_DESC_WORD_SIZE, size);
    if (own !== undefined) {
      setU64(region, IO_URING_REGION_DESC_WORD_USER_ADDR, own.address);
      region[IO_URING_REGION_DESC_WORD_FLAGS] = IORING_MEM_REGION_TYPE_USER;
    }
    const words = new Int32Array(IO_URING_MEM_REGION_REG_SIZE / 4);
    setU64(words, IO_URING_MEM_REGION_REG_WORD_REGION_UPTR, transientAddress(region));
    words[IO_URING_MEM_REGION_REG_WORD_FLAGS] = flags;
    try {
      this.call("IORING_REGISTER_MEM_REGION", IORING_REGISTER_MEM_REGION, transientAddress(words), 1, {
        [EINVAL]: "this kernel has no regions (6.13)",
        [EBUSY]: "the ring has a region already",
      });
    } catch (error) {
      own?.close();
      throw error;
    }
    return own ?? Mapping.ofDescriptor(this.fd, u64At(region, IO_URING_REGION_DESC_WORD_MMAP_OFFSET), size);
  }

  /**
   * Registers a region with room for the arguments of `count` waits, so that {@link submitAndWaitReg} copies none. To
   * be called while the ring is disabled.
   *
   * @returns where their times and signal masks are set.
   * @throws as {@link registerRegion}.
   * @kernel 6.13
   * @man io_uring_register_wait_reg(3)
   */
  registerWaitReg(count: number): RegisteredWaits {
    checkCount("a number of waits", count);
    if (count === 0 || count > MAX_WAITS) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot register ${count} waits: it must be from 1 to ${MAX_WAITS}`);
    }
    const memory = this.registerRegion(RegisteredWaits.bytesFor(count), { waitArguments: true });
    return (this.#waits = new RegisteredWaits(memory, count));
  }

  /**
   * Gives the kernel everything that is queued and waits for `n` completions as the registered wait `index` says.
   *
   * @returns the first completion, or null if there is none; {@link errno} is ETIME when the time was up, EINTR when a
   * signal arrived.
   * @throws as {@link submit}; Error `ERR_URING_STATE` where no waits are registered; RangeError for an index past
   * them.
   * @kernel 6.13
   * @man io_uring_submit_and_wait_reg(3)
   */
  submitAndWaitReg(n: number, index: number): Cqe | null {
    this.checkOpen();
    checkCount("a number of completions", n);
    if (this.#waits === undefined) {
      throw stateError("ERR_URING_STATE", "Cannot wait as registered: no waits are; registerWaitReg() first");
    }
    return this.submitAndWaitAt(n, index * IO_URING_REG_WAIT_SIZE, this.#waits.timeoutOf(index));
  }

  protected override forgetRegistrations(): void {
    super.forgetRegistrations();
    this.#region = undefined;
    this.#waits = undefined;
  }
}
