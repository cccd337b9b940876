/**
 * One submission queue entry while it is being written: sixteen 32-bit words of queue memory. The prep functions of
 * this room know nothing of rings; they write words.
 *
 * | word | bytes | holds |
 * |---|---|---|
 * | 0 | 0-3 | opcode, flags (byte 1), ioprio (bytes 2 and 3) |
 * | 1 | 4-7 | fd |
 * | 2, 3 | 8-15 | off, addr2, cmd_op |
 * | 4, 5 | 16-23 | addr, splice_off_in, level and optname |
 * | 6 | 24-27 | len |
 * | 7 | 28-31 | the operation's own flags |
 * | 8, 9 | 32-39 | user_data |
 * | 10 | 40-43 | buf_index or buf_group (low half), personality (high half) |
 * | 11 | 44-47 | file_index, splice_fd_in, optlen, addr_len, zcrx_ifq_idx |
 * | 12, 13 | 48-55 | addr3, attr_ptr, optval |
 * | 14, 15 | 56-63 | __pad2, attr_type_mask |
 */
import { addressOf, Mapping, type Path } from "../../memory.ts";
import { rangeError, stateError } from "../../errors.ts";

/** A position in a file, in bytes: whole, from 0; -1 stands for the file's own position. Past 2^53 as a bigint. */
export type FileOffset = number | bigint;

/** A 64-bit value that comes back with a completion or finds a request: whole, 0 to 2^53 - 1, or a bigint. */
export type UserData = number | bigint;

/** The word of fd. */
export const SQE_FD = 1;
/** The first word of off, addr2, or cmd_op. */
export const SQE_OFF = 2;
/** The first word of addr, splice_off_in, or level and optname. */
export const SQE_ADDR = 4;
/** The word of len. */
export const SQE_LEN = 6;
/** The word of the operation's own flags. */
export const SQE_OP_FLAGS = 7;
/** The first word of user_data. */
export const SQE_USER_DATA = 8;
/** The word of buf_index or buf_group (low half) and personality (high half). */
export const SQE_BUF_INDEX = 10;
/** The word of file_index, splice_fd_in, optlen, addr_len or zcrx_ifq_idx. */
export const SQE_FILE_INDEX = 11;
/** The first word of addr3, attr_ptr or optval. */
export const SQE_ADDR3 = 12;
/** The first word of __pad2 or attr_type_mask. */
export const SQE_PAD2 = 14;
/** Where flags (IOSQE_*) begin in the opcode's word. */
export const SQE_FLAGS_SHIFT = 8;
/** Where ioprio begins in the opcode's word. */
export const SQE_IOPRIO_SHIFT = 16;

/** One path of a slot's strings, with its NUL: the kernel's PATH_MAX. */
const PATH_BYTES = 4096;
/** Linking and renaming take two paths, getxattr and setxattr a path, a name and a value that is not a string. */
const PATHS_PER_SLOT = 2;

/** Where the next prep function writes. */
export class Slot {
  /** The submission queue's entries as words. */
  words: Int32Array;
  /** The first word of the entry being written. */
  at = 0;
  /** How many words an entry has: 16, or 32 on a ring of 128-byte entries. */
  readonly stride: number;
  /** Whether the entry being written has 128 bytes: always or never, except on a ring of both sizes. */
  wide: boolean;
  #slots: number;
  #strings: Mapping | undefined;
  #text: Buffer | undefined;

  /** @param words the queue's memory. @param stride the words of one entry. */
  constructor(words: Int32Array, stride: number) {
    this.words = words;
    this.stride = stride;
    this.wide = stride === 32;
    this.#slots = words.length / stride;
  }

  /**
   * Writes all sixteen words: the six that nearly every operation has, zero for the rest, user_data included, so that
   * nothing of the slot's earlier use is left.
   */
  write(opcode: number, fd: number, offset: FileOffset, address: number, length: number, flags: number): void {
    const words = this.words;
    const at = this.at;
    words[at] = opcode;
    words[at + SQE_FD] = fd;
    if (typeof offset === "number") {
      words[at + SQE_OFF] = offset;
      words[at + SQE_OFF + 1] = offset < 0 ? -1 : offset * 2 ** -32;
    } else {
      this.write64(SQE_OFF, offset);
    }
    words[at + SQE_ADDR] = address;
    words[at + SQE_ADDR + 1] = address * 2 ** -32;
    words[at + SQE_LEN] = length;
    words[at + SQE_OP_FLAGS] = flags;
    words[at + SQE_USER_DATA] = 0;
    words[at + SQE_USER_DATA + 1] = 0;
    words[at + SQE_BUF_INDEX] = 0;
    words[at + SQE_FILE_INDEX] = 0;
    words[at + SQE_ADDR3] = 0;
    words[at + SQE_ADDR3 + 1] = 0;
    words[at + SQE_PAD2] = 0;
    words[at + SQE_PAD2 + 1] = 0;
  }

  /** Writes one more word than {@link write} has arguments for. */
  set(word: number, value: number): void {
    this.words[this.at + word] = value;
  }

  /** Writes a 64-bit value over two words. -1 sets every bit, as it does in C. */
  write64(word: number, value: number | bigint): void {
    const at = this.at + word;
    if (typeof value === "number") {
      this.words[at] = value;
      this.words[at + 1] = value < 0 ? -1 : value * 2 ** -32;
    } else {
      this.words[at] = Number(BigInt.asIntN(32, value));
      this.words[at + 1] = Number(BigInt.asIntN(32, value >> 32n));
    }
  }

  /** Sets bits of the 16-bit ioprio field, where many operations keep flags of their own. */
  ioprio(bits: number): void {
    this.words[this.at] = (this.words[this.at] as number) | (bits << 16);
  }

  /**
   * Refuses an entry of 64 bytes to an operation that takes 128.
   *
   * @throws Error `ERR_URING_STATE`.
   */
  needWide(): void {
    if (this.wide) return;
    throw stateError(
      "ERR_URING_STATE",
      "Cannot prepare an operation of 128 bytes: this entry has 64; make the ring with sqe128 or sqeMixed",
    );
  }

  /**
   * The address of a path: the caller's bytes, or a copy of the string in memory that belongs to this slot. The kernel
   * copies paths while it takes the entry, so the copy lasts for as long as it is needed.
   *
   * @param which 0 for an operation's first path, 1 for its second.
   * @throws RangeError `ERR_URING_ARG_VALUE` for a string with a NUL in it or of more than 4095 bytes, or bytes without
   * a NUL.
   */
  path(path: Path, which: 0 | 1 = 0): number {
    if (typeof path !== "string") return addressOfTerminated(path);
    if (path.includes("\0")) throw rangeError("ERR_URING_ARG_VALUE", "Cannot use a path with a NUL in it");
    const length = Buffer.byteLength(path);
    if (length >= PATH_BYTES) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot use a path of ${length} bytes: the kernel takes 4095 at most`);
    }
    const strings = (this.#strings ??= Mapping.anonymous(this.#slots * PATHS_PER_SLOT * PATH_BYTES));
    const text = (this.#text ??= Buffer.from(strings.bytes.buffer));
    const start = ((this.at / this.stride) * PATHS_PER_SLOT + which) * PATH_BYTES;
    text.write(path, start, length, "utf8");
    text[start + length] = 0;
    return strings.address + start;
  }

  /** @internal Goes on in other memory. The kernel has read every path: nothing may be queued. */
  move(words: Int32Array): void {
    this.release();
    this.words = words;
    this.at = 0;
    this.#slots = words.length / this.stride;
  }

  /** @internal Gives back what the slot owns. The entries' own memory is the ring's. */
  release(): void {
    this.#strings?.close();
    this.#strings = undefined;
    this.#text = undefined;
  }
}

/** The kernel reads up to a NUL: in bytes without one it would read on, into whatever lies behind them. */
function addressOfTerminated(path: Exclude<Path, string>): number {
  const address = addressOf(path);
  const bytes =
    path instanceof Uint8Array
      ? path
      : ArrayBuffer.isView(path)
        ? new Uint8Array(path.buffer, path.byteOffset, path.byteLength)
        : path instanceof ArrayBuffer || path instanceof SharedArrayBuffer
          ? new Uint8Array(path)
          : undefined;
  if (bytes !== undefined && !bytes.includes(0)) {
    throw rangeError("ERR_URING_ARG_VALUE", "Cannot use bytes as a path without a NUL at their end");
  }
  return address;
}
