/** What every prep function asks of its arguments before it writes a word. */
import { IORING_FILE_INDEX_ALLOC } from "../../abi/constants.gen.ts";
import { AT_FDCWD } from "../../abi/linux.ts";
import { describe, rangeError, typeError } from "../../errors.ts";
import { addressOf, type Memory } from "../../memory.ts";
import type { FileOffset, UserData } from "./slot.ts";

/**
 * A descriptor, or the index of a registered file: whole, from 0. -1 (none) and AT_FDCWD pass, the kernel judges them.
 *
 * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
 */
export function checkFd(fd: number): void {
  if (typeof fd === "number" && (fd | 0) === fd && (fd >= -1 || fd === AT_FDCWD)) return;
  throw bad("file descriptor", fd, "a whole number from 0 to 2147483647");
}

/** A file position: whole, -1 to 2^53 - 1, or a bigint of 64 bits. */
export function checkOffset(offset: FileOffset): void {
  if (typeof offset === "number") {
    if (offset >= -1 && offset <= Number.MAX_SAFE_INTEGER && Math.floor(offset) === offset) return;
  } else if (offset === -1n || isU64(offset)) return;
  throw bad("file offset", offset, "a whole number from 0 to 2^53 - 1, a bigint up to 2^64 - 1, or -1");
}

/** A 64-bit value: whole, 0 to 2^53 - 1, or a bigint of 64 bits. */
export function checkU64(what: string, value: UserData): void {
  if (typeof value === "number") {
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value) return;
  } else if (isU64(value)) return;
  throw bad(what, value, "a whole number from 0 to 2^53 - 1, or a bigint up to 2^64 - 1");
}

/** An unsigned value of 32 bits, given as 0 to 2^32 - 1 or, as flags with the top bit often come, as a negative one. */
export function checkU32(what: string, value: number): void {
  if (typeof value === "number" && ((value | 0) === value || value >>> 0 === value)) return;
  throw bad(what, value, "a whole number of 32 bits");
}

/** A length of 32 bits: whole, 0 to 2^32 - 1. */
export function checkLength32(what: string, value: number): void {
  if (typeof value === "number" && value >>> 0 === value) return;
  throw bad(what, value, "a whole number from 0 to 4294967295");
}

/** A count or size: whole, 0 to 2^31 - 1. */
export function checkCount(what: string, value: number): void {
  if (typeof value === "number" && (value | 0) === value && value >= 0) return;
  throw bad(what, value, "a whole number from 0 to 2147483647");
}

/** An unsigned value of 16 bits. */
export function checkU16(what: string, value: number): void {
  if (typeof value === "number" && (value & 0xffff) === value) return;
  throw bad(what, value, "a whole number from 0 to 65535");
}

/** An unsigned value of 8 bits. */
export function checkU8(what: string, value: number): void {
  if (typeof value === "number" && (value & 0xff) === value) return;
  throw bad(what, value, "a whole number from 0 to 255");
}

/**
 * Where a new direct descriptor goes, as its word of the entry: one more than the index in the table of registered
 * files, because 0 says that there is none; IORING_FILE_INDEX_ALLOC stays as it is and lets the kernel choose.
 */
export function fileIndexWord(fileIndex: number): number {
  if (fileIndex === IORING_FILE_INDEX_ALLOC) return IORING_FILE_INDEX_ALLOC;
  if (typeof fileIndex === "number" && (fileIndex | 0) === fileIndex && fileIndex >= 0) return fileIndex + 1;
  throw bad("file index", fileIndex, "a whole number from 0 to 2147483647, or IORING_FILE_INDEX_ALLOC");
}

/** The address of a struct of `sizeBytes`, which a view must be long enough for. */
export function addressOfStruct(what: string, memory: Memory, sizeBytes: number): number {
  const address = addressOf(memory);
  if (typeof memory !== "number" && memory.byteLength < sizeBytes) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot use ${memory.byteLength} bytes as ${what}: it takes ${sizeBytes} bytes`,
    );
  }
  return address;
}

/** How many items of `itemBytes` a request covers: as many as `memory` has whole ones, or `count` where one is given. */
export function countOf(what: string, memory: Memory, itemBytes: number, count: number | undefined): number {
  if (count === undefined) {
    if (typeof memory !== "number") return Math.floor(memory.byteLength / itemBytes);
    if (memory === 0) return 0;
    throw typeError("ERR_URING_ARG_TYPE", `Cannot tell how many ${what} there are at an address: pass their number`);
  }
  checkCount(`number of ${what}`, count);
  if (typeof memory !== "number" && count * itemBytes > memory.byteLength) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot use ${count} ${what}: the memory has ${memory.byteLength} bytes, ${itemBytes} make one`,
    );
  }
  return count;
}

/** `lengthOf` for the requests that take a length of 64 bits. */
export function length64Of(memory: Memory, length: number | bigint | undefined): number | bigint {
  if (length === undefined) {
    if (typeof memory !== "number") return memory.byteLength;
    if (memory === 0) return 0;
    throw typeError("ERR_URING_ARG_TYPE", "Cannot tell how long the memory at an address is: pass its length");
  }
  checkU64("length", length);
  if (typeof memory !== "number" && length > memory.byteLength) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot use a length of ${length}: the memory has ${memory.byteLength} bytes`,
    );
  }
  return length;
}

function isU64(value: unknown): boolean {
  return typeof value === "bigint" && value >= 0n && value < 1n << 64n;
}

function bad(what: string, value: unknown, wanted: string): TypeError | RangeError {
  const message = `Cannot use ${describe(value)} as ${what}: it must be ${wanted}`;
  return typeof value === "number" || typeof value === "bigint"
    ? rangeError("ERR_URING_ARG_VALUE", message)
    : typeError("ERR_URING_ARG_TYPE", message);
}
