/** Canceling requests by user data, by descriptor, by operation. */
import { IORING_ASYNC_CANCEL_FD, IORING_ASYNC_CANCEL_OP, IORING_OP_ASYNC_CANCEL } from "../../abi/constants.gen.ts";
import { checkFd, checkU32, checkU64, checkU8 } from "./check.ts";
import { type Slot, SQE_ADDR, type UserData } from "./slot.ts";

/**
 * Cancels the request that was submitted with `userData`; with IORING_ASYNC_CANCEL_ALL in `flags` all such requests,
 * with IORING_ASYNC_CANCEL_ANY any. What is canceled completes with -ECANCELED, and its memory stays the kernel's until
 * then. `res` is 0 (with ALL or ANY the number found), -ENOENT where there is none, -EALREADY where it is running and
 * could not be stopped. A multishot timeout is not found either between going off and being set again, and goes on: ask
 * once more.
 *
 * @kernel 5.5
 * @man io_uring_prep_cancel64(3)
 */
export function prepCancel64(sqe: Slot, userData: UserData, flags: number = 0): void {
  checkU64("user data", userData);
  checkU32("cancel flags", flags);
  sqe.write(IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, flags);
  sqe.write64(SQE_ADDR, userData);
}

/**
 * The same as {@link prepCancel64}: C has a second form for user data that is a pointer. `res` is 0, -ENOENT or
 * -EALREADY.
 *
 * @kernel 5.5
 * @man io_uring_prep_cancel(3)
 */
export function prepCancel(sqe: Slot, userData: UserData, flags: number = 0): void {
  prepCancel64(sqe, userData, flags);
}

/**
 * Cancels a request on the descriptor `fd`, or with IORING_ASYNC_CANCEL_ALL in `flags` all of them;
 * IORING_ASYNC_CANCEL_FD_FIXED says that `fd` is the index of a registered file. `res` is 0 or with ALL the number
 * found, -ENOENT where there is none, -EALREADY where one could not be stopped.
 *
 * @kernel 5.19
 * @man io_uring_prep_cancel_fd(3)
 */
export function prepCancelFd(sqe: Slot, fd: number, flags: number = 0): void {
  checkFd(fd);
  checkU32("cancel flags", flags);
  sqe.write(IORING_OP_ASYNC_CANCEL, fd, 0, 0, 0, flags | IORING_ASYNC_CANCEL_FD);
}

/**
 * Cancels a request with the operation `opcode`, an IORING_OP_*, or with IORING_ASYNC_CANCEL_ALL in `flags` all of
 * them. `res` is 0 or with ALL the number found, -ENOENT where there is none, -EALREADY where one could not be stopped.
 *
 * Kernel: Debian's 6.1 takes the request and finds nothing.
 *
 * @kernel 6.6
 * @man io_uring_enter(2)
 */
export function prepCancelOp(sqe: Slot, opcode: number, flags: number = 0): void {
  checkU8("opcode", opcode);
  checkU32("cancel flags", flags);
  sqe.write(IORING_OP_ASYNC_CANCEL, -1, 0, 0, opcode, flags | IORING_ASYNC_CANCEL_OP);
}
