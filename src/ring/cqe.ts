/** One completion, read where the kernel wrote it. */
import {
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_32,
  IORING_CQE_F_BUF_MORE,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_CQE_F_NOTIF,
  IORING_CQE_F_SOCK_NONEMPTY,
} from "../abi/constants.gen.ts";
import { UringError } from "../errors.ts";

/**
 * A view of a completion queue entry. A ring has one and moves it: what it shows is valid until the next call that
 * looks at completions. Copy the numbers you need.
 */
export class Cqe {
  /** @internal The queue's entries as words. */
  words: Int32Array;
  /** @internal The entry's first word. */
  at = 0;

  /** @internal */
  constructor(words: Int32Array) {
    this.words = words;
  }

  /** The result: 0 or more as the operation defines it, or `-errno`. */
  get res(): number {
    return this.words[this.at + 2] as number;
  }

  /** IORING_CQE_F_* bits; the upper half is a buffer's id where F_BUFFER is set. Unsigned. */
  get flags(): number {
    return (this.words[this.at + 3] as number) >>> 0;
  }

  /** What the request was given as user data. Exact up to 2^53 - 1; beyond that take the halves or the bigint. */
  get userData(): number {
    const low = (this.words[this.at] as number) >>> 0;
    const high = this.words[this.at + 1] as number;
    return high === 0 ? low : (high >>> 0) * 2 ** 32 + low;
  }

  /** The low 32 bits of the user data, signed. */
  get userDataLow(): number {
    return this.words[this.at] as number;
  }

  /** The high 32 bits of the user data, signed. */
  get userDataHigh(): number {
    return this.words[this.at + 1] as number;
  }

  /** The user data as all of its 64 bits. Allocates. */
  get userDataBigInt(): bigint {
    const high = BigInt((this.words[this.at + 1] as number) >>> 0);
    return (high << 32n) | BigInt((this.words[this.at] as number) >>> 0);
  }

  /** Whether more completions of the same request will follow: multishot, or the notification of a zero-copy send. */
  get more(): boolean {
    return ((this.words[this.at + 3] as number) & IORING_CQE_F_MORE) !== 0;
  }

  /** Whether this is a zero-copy send's notification: the data's memory is the caller's again. */
  get notification(): boolean {
    return ((this.words[this.at + 3] as number) & IORING_CQE_F_NOTIF) !== 0;
  }

  /** Whether a provided buffer was taken; {@link bufferId} says which. */
  get hasBuffer(): boolean {
    return ((this.words[this.at + 3] as number) & IORING_CQE_F_BUFFER) !== 0;
  }

  /** The id of the provided buffer that was taken, 0 to 65535; -1 where there is none. */
  get bufferId(): number {
    const flags = this.words[this.at + 3] as number;
    return (flags & IORING_CQE_F_BUFFER) === 0 ? -1 : flags >>> IORING_CQE_BUFFER_SHIFT;
  }

  /** Whether the provided buffer was taken in part and the kernel goes on filling it. @kernel 6.12 */
  get bufferMore(): boolean {
    return ((this.words[this.at + 3] as number) & IORING_CQE_F_BUF_MORE) !== 0;
  }

  /** Whether the socket had more to read, or more to accept, when this was posted. @kernel 5.19 */
  get socketNonempty(): boolean {
    return ((this.words[this.at + 3] as number) & IORING_CQE_F_SOCK_NONEMPTY) !== 0;
  }

  /** Whether the entry has 32 bytes on a ring of mixed sizes. @kernel 6.18 */
  get is32(): boolean {
    return ((this.words[this.at + 3] as number) & IORING_CQE_F_32) !== 0;
  }

  /**
   * Word `index` (0 to 3) of the second 16 bytes of a 32-byte entry, signed. Meaningless on a 16-byte entry: there it
   * is another entry's.
   */
  extra(index: number): number {
    return this.words[this.at + 4 + (index & 3)] as number;
  }

  /** The failure as an error, for those who throw: `operation` is what its message names, "IORING_OP_READ". */
  error(operation: string): UringError {
    return new UringError(this.res, operation);
  }
}
