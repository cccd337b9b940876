/** What every prep function asks of its arguments before it writes a word. */
import { describe, rangeError, typeError } from "../../errors.ts";
import type { FileOffset, UserData } from "./slot.ts";

const AT_FDCWD = -100;

/**
 * A descriptor, or the index of a registered file: whole, from 0. -1 (none) and AT_FDCWD pass, the kernel judges them.
 *
 * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
 */
export function checkFd(fd: number): void {
  if ((fd | 0) === fd && (fd >= -1 || fd === AT_FDCWD)) return;
  throw bad("file descriptor", fd, "a whole number from 0 to 2147483647");
}

/** A file position: whole, -1 to 2^53 - 1, or a bigint of 64 bits. */
export function checkOffset(offset: FileOffset): void {
  if (typeof offset === "number" ? Number.isSafeInteger(offset) && offset >= -1 : isU64(offset) || offset === -1n)
    return;
  throw bad("file offset", offset, "a whole number from 0 to 2^53 - 1, a bigint up to 2^64 - 1, or -1");
}

/** A 64-bit value: whole, 0 to 2^53 - 1, or a bigint of 64 bits. */
export function checkU64(what: string, value: UserData): void {
  if (typeof value === "number" ? Number.isSafeInteger(value) && value >= 0 : isU64(value)) return;
  throw bad(what, value, "a whole number from 0 to 2^53 - 1, or a bigint up to 2^64 - 1");
}

/** An unsigned value of 32 bits, given as 0 to 2^32 - 1 or, as flags with the top bit often come, as a negative one. */
export function checkU32(what: string, value: number): void {
  if ((value | 0) === value || value >>> 0 === value) return;
  throw bad(what, value, "a whole number of 32 bits");
}

/** A count or size: whole, 0 to 2^31 - 1. */
export function checkCount(what: string, value: number): void {
  if ((value | 0) === value && value >= 0) return;
  throw bad(what, value, "a whole number from 0 to 2147483647");
}

/** An unsigned value of 16 bits. */
export function checkU16(what: string, value: number): void {
  if ((value & 0xffff) === value) return;
  throw bad(what, value, "a whole number from 0 to 65535");
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
