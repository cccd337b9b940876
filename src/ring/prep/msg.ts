/** Messages from one ring to another: completions and direct descriptors. */
import {
  IORING_FILE_INDEX_ALLOC,
  IORING_MSG_DATA,
  IORING_MSG_RING_FLAGS_PASS,
  IORING_MSG_SEND_FD,
  IORING_OP_MSG_RING,
} from "../../abi/constants.gen.ts";
import { checkCount, checkFd, checkU32, checkU64, fileIndexWord } from "./check.ts";
import { type Slot, SQE_ADDR3, SQE_FILE_INDEX, type UserData } from "./slot.ts";

/**
 * Posts a completion to the ring with the descriptor `fd`, which any thread may own: `data` as its user data, `len` as
 * its result. `res` is 0, -EOVERFLOW where the other completion queue is full.
 *
 * @kernel 5.18
 * @man io_uring_prep_msg_ring(3)
 */
export function prepMsgRing(sqe: Slot, fd: number, len: number, data: UserData, flags: number = 0): void {
  checkFd(fd);
  checkU32("result", len);
  checkU64("user data", data);
  checkU32("message flags", flags);
  sqe.write(IORING_OP_MSG_RING, fd, data, IORING_MSG_DATA, len, flags);
}

/**
 * {@link prepMsgRing} that also says what the posted completion's flags are. `res` is 0, -EOVERFLOW where the other
 * completion queue is full.
 *
 * @kernel 6.3
 * @man io_uring_prep_msg_ring_cqe_flags(3)
 */
export function prepMsgRingCqeFlags(
  sqe: Slot,
  fd: number,
  len: number,
  data: UserData,
  flags: number,
  cqeFlags: number,
): void {
  checkU32("message flags", flags);
  checkU32("completion flags", cqeFlags);
  prepMsgRing(sqe, fd, len, data, flags | IORING_MSG_RING_FLAGS_PASS);
  sqe.set(SQE_FILE_INDEX, cqeFlags);
}

/**
 * Puts this ring's direct descriptor `sourceFd` into the other ring's table of registered files too, at `targetFd`, and
 * posts a completion with `data` there unless `flags` has IORING_MSG_RING_CQE_SKIP. With IORING_FILE_INDEX_ALLOC as
 * `targetFd` it goes where there is room. `res` is 0, or the index that was chosen.
 *
 * @kernel 6.0
 * @man io_uring_prep_msg_ring_fd(3)
 */
export function prepMsgRingFd(
  sqe: Slot,
  fd: number,
  sourceFd: number,
  targetFd: number,
  data: UserData,
  flags: number = 0,
): void {
  checkFd(fd);
  checkCount("source descriptor's index", sourceFd);
  const index = fileIndexWord(targetFd);
  checkU64("user data", data);
  checkU32("message flags", flags);
  sqe.write(IORING_OP_MSG_RING, fd, data, IORING_MSG_SEND_FD, 0, flags);
  sqe.write64(SQE_ADDR3, sourceFd);
  sqe.set(SQE_FILE_INDEX, index);
}

/**
 * {@link prepMsgRingFd} to where there is room in the other ring's table. `res` is the index that was chosen, -ENFILE
 * where the table is full.
 *
 * @kernel 6.0
 * @man io_uring_prep_msg_ring_fd_alloc(3)
 */
export function prepMsgRingFdAlloc(sqe: Slot, fd: number, sourceFd: number, data: UserData, flags: number = 0): void {
  prepMsgRingFd(sqe, fd, sourceFd, IORING_FILE_INDEX_ALLOC, data, flags);
}
