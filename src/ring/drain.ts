/** How a ring comes to rest before it is taken apart. */
import { IORING_ASYNC_CANCEL_ALL, IORING_ASYNC_CANCEL_ANY, IORING_REGISTER_SYNC_CANCEL } from "../abi/constants.gen.ts";
import {
  IO_URING_SYNC_CANCEL_REG_SIZE,
  IO_URING_SYNC_CANCEL_REG_WORD_FD,
  IO_URING_SYNC_CANCEL_REG_WORD_FLAGS,
} from "../abi/layout.gen.ts";
import type { Cqe } from "./cqe.ts";
import type { Sqe } from "./sqe.ts";
import { addressOf } from "../memory.ts";

/** The longest that closing waits for what it cancelled. */
const PATIENCE_MS = 1000;
/** How long it waits before it cancels again. */
const AGAIN_MS = 5;

/** How long the kernel is given to stop what it cancels itself once a ring is gone: it tells nobody when it has. */
export const AFTERMATH_MS = 100;

/** User data of our own requests: no ticket and no number that the library lets through has this high half. */
const MARK_HIGH = -1;
const CANCEL_MARK = 1;
const DRAIN_MARK = 2;

const EVERYTHING = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;

/** What is needed of a ring; {@link Ring} has it. */
export interface Drainable {
  prepNop(): Sqe;
  prepCancel64(userData: number, flags: number): Sqe;
  submitAndWaitTimeout(n: number, timeoutMs: number): Cqe | null;
  nextCqe(): Cqe | null;
}

/** io_uring_register(2) on that ring. */
export type Register = (opcode: number, address: number, count: number) => number;

/**
 * Cancels everything, then waits for a NOP that may start only when all before it has completed. Completions are
 * thrown away. Bounded in time: what neither ends nor can be cancelled is left to the kernel.
 *
 * It cancels in two ways, because neither finds everything. A registration (6.0) overtakes entries that wait for others
 * to be drained; an entry (5.19) finds what the thread of an SQPOLL ring has given to its workers. And it cancels again
 * until nothing is found: what runs is only told to stop, and what a worker turns into a poll at that moment escapes.
 *
 * @returns whether all has ended.
 */
export function drain(ring: Drainable, register: Register): boolean {
  const until = performance.now() + PATIENCE_MS;
  try {
    let found: number | undefined;
    do {
      // Kernel: before 5.19 there is no way to cancel everything; the answer is EINVAL.
      ring.prepCancel64(0, EVERYTHING).userDataHalves(CANCEL_MARK, MARK_HIGH);
      found = resultOf(ring, register, CANCEL_MARK, until);
    } while (found !== undefined && found > 0);
    ring.prepNop().drain().userDataHalves(DRAIN_MARK, MARK_HIGH);
    return resultOf(ring, register, DRAIN_MARK, until) !== undefined;
  } catch {
    // A disabled ring, or one whose thread is gone, takes no entry; closing it is all that is left to do.
    return false;
  }
}

/** The result of our request with this mark, cancelling all the while; undefined where it does not come in time. */
function resultOf(ring: Drainable, register: Register, mark: number, until: number): number | undefined {
  for (let left = until - performance.now(); left > 0; left = until - performance.now()) {
    cancelAll(register);
    let result: number | undefined;
    for (let cqe = ring.submitAndWaitTimeout(1, Math.min(left, AGAIN_MS)); cqe !== null; cqe = ring.nextCqe()) {
      if (cqe.userDataLow === mark && cqe.userDataHigh === MARK_HIGH) result = cqe.res;
    }
    if (result !== undefined) return result;
  }
  return undefined;
}

function cancelAll(register: Register): void {
  const words = new Int32Array(IO_URING_SYNC_CANCEL_REG_SIZE / 4);
  words[IO_URING_SYNC_CANCEL_REG_WORD_FD] = -1;
  words[IO_URING_SYNC_CANCEL_REG_WORD_FLAGS] = EVERYTHING;
  // Its time limit stays zero: what does not stop at once is waited for elsewhere.
  register(IORING_REGISTER_SYNC_CANCEL, addressOf(words), 1);
}
