/** Waiting for others: for a word of shared memory to change, for a child process to end. */
import {
  IORING_OP_FUTEX_WAIT,
  IORING_OP_FUTEX_WAITV,
  IORING_OP_FUTEX_WAKE,
  IORING_OP_WAITID,
} from "../../abi/constants.gen.ts";
import { SIZEOF_FUTEX, SIZEOF_FUTEX_WAITV, SIZEOF_SIGINFO } from "../../abi/linux.ts";
import { addressOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkCount, checkU32, checkU64, countOf } from "./check.ts";
import { type Slot, SQE_ADDR3, SQE_FILE_INDEX } from "./slot.ts";

/**
 * Wakes up to `val` waiters on `futex`, a 32-bit word, whose masks share a bit with `mask`. `futexFlags` takes
 * FUTEX2_SIZE_U32 and FUTEX2_PRIVATE; `flags` must be 0. The word must live until the completion. `res` is the number
 * of waiters woken.
 *
 * @kernel 6.7
 * @man io_uring_prep_futex_wake(3)
 */
export function prepFutexWake(
  sqe: Slot,
  futex: Memory,
  val: number | bigint,
  mask: number | bigint,
  futexFlags: number,
  flags: number = 0,
): void {
  writeFutex(sqe, IORING_OP_FUTEX_WAKE, futex, val, mask, futexFlags, flags);
}

/**
 * Completes when someone wakes `futex`, a 32-bit word, with a mask that shares a bit with `mask`; at once with -EAGAIN
 * where the word is not `val`. `futexFlags` takes FUTEX2_SIZE_U32 and FUTEX2_PRIVATE; `flags` must be 0. The word must
 * live until the completion. `res` is 0.
 *
 * @kernel 6.7
 * @man io_uring_prep_futex_wait(3)
 */
export function prepFutexWait(
  sqe: Slot,
  futex: Memory,
  val: number | bigint,
  mask: number | bigint,
  futexFlags: number,
  flags: number = 0,
): void {
  writeFutex(sqe, IORING_OP_FUTEX_WAIT, futex, val, mask, futexFlags, flags);
}

function writeFutex(
  sqe: Slot,
  opcode: number,
  futex: Memory,
  val: number | bigint,
  mask: number | bigint,
  futexFlags: number,
  flags: number,
): void {
  checkU64("futex value", val);
  checkU64("futex mask", mask);
  checkU32("futex flags", futexFlags);
  checkU32("flags", flags);
  const address = addressOfStruct("futex", futex, SIZEOF_FUTEX);
  sqe.write(opcode, futexFlags, val, address, 0, flags);
  sqe.write64(SQE_ADDR3, mask);
}

/**
 * Completes when one of several futexes is woken. `futexv` is an array of struct futex_waitv, which must live until the
 * entry is submitted, and the words that it names until the completion. `flags` must be 0. `res` is the index of the
 * futex that was woken, -EAGAIN where a word did not have its value.
 *
 * @kernel 6.7
 * @man io_uring_prep_futex_waitv(3)
 */
export function prepFutexWaitv(sqe: Slot, futexv: Memory, flags: number = 0, nrFutex?: number): void {
  checkU32("flags", flags);
  const address = addressOf(futexv);
  sqe.write(IORING_OP_FUTEX_WAITV, 0, 0, address, countOf("futexes", futexv, SIZEOF_FUTEX_WAITV, nrFutex), flags);
}

/**
 * waitid(2): completes when a child that `idtype` (P_PID, P_PGID, P_PIDFD, P_ALL) and `id` name has done what `options`
 * (WEXITED, WSTOPPED, WCONTINUED) say. `info` receives a siginfo_t, 128 bytes that must live until the completion.
 * `flags` must be 0. `res` is 0, -ECHILD where there is no such child.
 *
 * @kernel 6.7
 * @man io_uring_prep_waitid(3)
 */
export function prepWaitid(
  sqe: Slot,
  idtype: number,
  id: number,
  info: Memory | null,
  options: number,
  flags: number = 0,
): void {
  checkCount("kind of id", idtype);
  checkCount("id", id);
  const address = info === null ? 0 : addressOfStruct("siginfo", info, SIZEOF_SIGINFO);
  checkU32("wait options", options);
  checkU32("flags", flags);
  sqe.write(IORING_OP_WAITID, id, address, 0, idtype, flags);
  sqe.set(SQE_FILE_INDEX, options);
}
