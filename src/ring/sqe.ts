/** The one view of the submission entry being built, with what every operation can be told. */
import {
  IOSQE_ASYNC,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_FIXED_FILE,
  IOSQE_IO_DRAIN,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from "../abi/constants.gen.ts";
import { describe, rangeError, typeError } from "../errors.ts";
import type { Memory } from "../memory.ts";
import { checkU16, checkU32, checkU64 } from "./prep/check.ts";
import { attrPi, sendSetAddr, writeStream } from "./prep/modify.ts";
import { Slot, SQE_BUF_INDEX, SQE_FD, SQE_USER_DATA, type UserData } from "./prep/slot.ts";

/**
 * A submission queue entry that was queued last and not yet submitted. A ring has one such view and moves it: every
 * prep and {@link Ring.getSqe} returns the same object, so do not keep it. Every modifier returns the view; one that
 * refuses its argument takes the entry back out of the queue before it throws.
 */
export class Sqe extends Slot {
  /** Takes the entry back out of the queue; set by the queue. */
  readonly #retract: () => void;

  /** @internal */
  constructor(words: Int32Array, stride: number, retract: () => void) {
    super(words, stride);
    this.#retract = retract;
  }

  /**
   * The number that comes back in the completion: whole, 0 to 2^53 - 1, or a bigint of 64 bits. 0 unless set.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for a number that would not come back as it went.
   */
  userData(value: UserData): this {
    const at = this.at + SQE_USER_DATA;
    // The engine keeps small numbers as integers: for those no floating point is needed.
    if (typeof value === "number" && (value | 0) === value && value >= 0) {
      this.words[at] = value;
      this.words[at + 1] = 0;
      return this;
    }
    if (Number.isSafeInteger(value) && value >= 0) {
      this.words[at] = value as number;
      this.words[at + 1] = (value as number) * 2 ** -32;
      return this;
    }
    return this.#checked(() => {
      checkU64("user data", value);
      this.write64(SQE_USER_DATA, value);
    });
  }

  /** The same as two 32-bit halves, of either sign: the fastest way where a ticket is already in halves. */
  userDataHalves(low: number, high: number): this {
    const at = this.at + SQE_USER_DATA;
    this.words[at] = low;
    this.words[at + 1] = high;
    return this;
  }

  /** Starts the next entry only when this one has completed, and cancels it if this one fails. @kernel 5.3 */
  link(): this {
    return this.flags(IOSQE_IO_LINK);
  }

  /** Like {@link link}, but the chain goes on whatever the result. @kernel 5.5 */
  hardlink(): this {
    return this.flags(IOSQE_IO_HARDLINK);
  }

  /** Starts this entry only when all earlier ones have completed, and later ones after it. @kernel 5.2 */
  drain(): this {
    return this.flags(IOSQE_IO_DRAIN);
  }

  /** Goes to a worker thread at once instead of trying without blocking first. @kernel 5.6 */
  async(): this {
    return this.flags(IOSQE_ASYNC);
  }

  /** The entry's fd is the index of a registered file. @kernel 5.1 */
  fixedFile(): this {
    return this.flags(IOSQE_FIXED_FILE);
  }

  /**
   * Takes a buffer of a provided group when the data is there. Overwrites a registered buffer's index, whose place
   * it takes in the entry. @kernel 5.7
   */
  bufferSelect(group: number): this {
    if ((group & 0xffff) !== group) return this.#checked(() => checkU16("buffer group", group));
    const at = this.at + SQE_BUF_INDEX;
    this.words[at] = ((this.words[at] as number) & ~0xffff) | group;
    return this.flags(IOSQE_BUFFER_SELECT);
  }

  /** Posts a completion only if the entry fails. @kernel 5.17 */
  skipSuccess(): this {
    return this.flags(IOSQE_CQE_SKIP_SUCCESS);
  }

  /** Issues the entry with the credentials registered as `id`. @kernel 5.6 */
  personality(id: number): this {
    if ((id & 0xffff) !== id) return this.#checked(() => checkU16("personality", id));
    const at = this.at + SQE_BUF_INDEX;
    this.words[at] = ((this.words[at] as number) & 0xffff) | (id << 16);
    return this;
  }

  /** Adds raw bits of IOSQE_*: for what has no modifier of its own. */
  flags(bits: number): this {
    if ((bits & 0xff) !== bits) {
      return this.#checked(() => {
        throw rangeError("ERR_URING_ARG_VALUE", `Cannot use ${describe(bits)} as entry flags: they are eight bits`);
      });
    }
    this.words[this.at] = (this.words[this.at] as number) | (bits << 8);
    return this;
  }

  /** Adds bits to the 16-bit ioprio field: a request's priority, or flags of IORING_RECVSEND_* and the like. */
  override ioprio(bits: number): this {
    if ((bits & 0xffff) !== bits) return this.#checked(() => checkU16("ioprio", bits));
    super.ioprio(bits);
    return this;
  }

  /**
   * Gives a send its destination, for sockets that are not connected. `destAddr`, a {@link SockAddr} or other struct
   * sockaddr, must live until the entry is submitted.
   *
   * @throws TypeError or RangeError for what is no memory.
   * @kernel 6.0
   * @man io_uring_prep_send_set_addr(3)
   */
  sendSetAddr(destAddr: Memory, addrLen?: number): this {
    return this.#checked(() => sendSetAddr(this, destAddr, addrLen));
  }

  /**
   * Adds protection information to a read or write of a block device. `attr`, a struct io_uring_attr_pi, must live until
   * the entry is submitted, and the buffer that it names until the completion.
   *
   * @throws TypeError or RangeError for what is no memory or too short.
   * @kernel 6.14
   */
  attrPi(attr: Memory): this {
    return this.#checked(() => attrPi(this, attr));
  }

  /**
   * Gives a write a placement hint: data of one `stream`, 1 to 255, has a similar lifetime; 0 is no hint.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE`.
   * @kernel 6.16
   */
  writeStream(stream: number): this {
    return this.#checked(() => writeStream(this, stream));
  }

  /**
   * Overwrites one 32-bit word of the entry (0 to 15, or to 31 on a ring of 128-byte entries): for an operation that
   * this library does not know yet.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for a word past the entry.
   */
  word(index: number, value: number): this {
    if (!(index >= 0 && index < (this.wide ? 32 : 16) && Math.floor(index) === index)) {
      return this.#checked(() => {
        throw rangeError(
          "ERR_URING_ARG_VALUE",
          `Cannot write word ${describe(index)}: an entry has ${this.wide ? 32 : 16}`,
        );
      });
    }
    if ((value | 0) !== value && value >>> 0 !== value) return this.#checked(() => checkU32("a word", value));
    this.words[this.at + index] = value;
    return this;
  }

  /** The descriptor, or the registered file's index, that the entry names now. */
  get fd(): number {
    return this.words[this.at + SQE_FD] as number;
  }

  /** Runs what may refuse; a refusal takes the entry out of the queue, so that half an entry is never submitted. */
  #checked(act: () => void): this {
    try {
      act();
    } catch (error) {
      this.#retract();
      throw error;
    }
    return this;
  }
}

/** @internal Refuses what is no function, as callbacks come from outside. */
export function checkCallback(callback: unknown): void {
  if (typeof callback === "function") return;
  throw typeError("ERR_URING_ARG_TYPE", `Cannot call ${describe(callback)}: it is no function`);
}
