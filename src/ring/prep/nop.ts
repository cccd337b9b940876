/** Nothing at all, and anything at all. */
import { IORING_OP_NOP, IORING_OP_NOP128 } from "../../abi/constants.gen.ts";
import { addressOf, type Memory } from "../../memory.ts";
import { checkFd, checkLength32, checkOffset, checkU16, checkU32, checkU64, checkU8 } from "./check.ts";
import { type FileOffset, type Slot, SQE_ADDR, SQE_BUF_INDEX } from "./slot.ts";

/**
 * Does nothing and completes. `res` is 0.
 *
 * @kernel 5.1
 * @man io_uring_prep_nop(3)
 */
export function prepNop(sqe: Slot): void {
  sqe.write(IORING_OP_NOP, -1, 0, 0, 0, 0);
}

/**
 * Does nothing in an entry of 128 bytes, on a ring of such entries or of both sizes. `res` is 0.
 *
 * @throws Error `ERR_URING_STATE` where the entry has 64 bytes.
 * @kernel 6.19
 * @man io_uring_prep_nop128(3)
 */
export function prepNop128(sqe: Slot): void {
  sqe.needWide();
  sqe.write(IORING_OP_NOP128, -1, 0, 0, 0, 0);
}

/**
 * Does what IORING_NOP_* in `flags` say: INJECT_RESULT completes with `result` in `res`; FILE looks `fd` up, with
 * FIXED_FILE among the registered ones; FIXED_BUFFER looks the registered buffer `bufIndex` up; TW completes by way of
 * task work; CQE32 returns `extra1` and `extra2` in the second half of a 32-byte completion.
 *
 * @kernel 6.10
 * @man io_uring_enter(2)
 */
export function prepNopFlags(
  sqe: Slot,
  flags: number,
  result: number = 0,
  fd: number = -1,
  bufIndex: number = 0,
  extra1: number | bigint = 0,
  extra2: number | bigint = 0,
): void {
  checkU32("NOP flags", flags);
  checkU32("result", result);
  checkFd(fd);
  checkU16("registered buffer's index", bufIndex);
  checkU64("extra value", extra1);
  checkU64("extra value", extra2);
  sqe.write(IORING_OP_NOP, fd, extra1, 0, result, flags);
  sqe.write64(SQE_ADDR, extra2);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

/**
 * Any operation by its number: for one that this library has no function for. Every other field is 0. What the memory
 * at `addr` must survive, and what `res` means, is the operation's affair.
 *
 * @kernel 5.1
 * @man io_uring_prep_rw(3)
 */
export function prepRw(sqe: Slot, op: number, fd: number, addr: Memory, len: number, offset: FileOffset): void {
  checkU8("opcode", op);
  checkFd(fd);
  checkLength32("length", len);
  checkOffset(offset);
  sqe.write(op, fd, offset, addressOf(addr), len, 0);
}
