/** How a ring comes to rest before it is taken apart. */
import { EINVAL } from "../abi/errno.gen.ts";
import { IORING_ASYNC_CANCEL_ALL, IORING_ASYNC_CANCEL_ANY, IORING_REGISTER_SYNC_CANCEL } from "../abi/constants.gen.ts";
import {
  IO_URING_SYNC_CANCEL_REG_SIZE,
  IO_URING_SYNC_CANCEL_REG_WORD_FD,
  IO_URING_SYNC_CANCEL_REG_WORD_FLAGS,
  IO_URING_SYNC_CANCEL_REG_WORD_TIMEOUT,
} from "../abi/layout.gen.ts";
import type { Cqe } from "./cqe.ts";
import type { Sqe } from "./sqe.ts";
import { addressOf } from "../memory.ts";

/** The longest that closing waits for what it cancelled. */
const PATIENCE_MS = 1000;
/** How long it waits before it cancels again. */
const AGAIN_MS = 10;

/** What is needed of a ring; {@link Ring} has it. */
export interface Drainable {
  prepNop(): Sqe;
  prepCancel64(userData: number, flags: number): Sqe;
  submitAndWaitTimeout(n: number, timeoutMs: number): Cqe | null;
  nextCqe(): Cqe | null;
}

/**
 * Cancels everything, then waits for a NOP that may start only when all before it has completed. Completions are
 * thrown away. Bounded in time: what neither ends nor can be cancelled is left to the kernel.
 */
export function drain(ring: Drainable, register: (opcode: number, address: number, count: number) => number): void {
  const until = performance.now() + PATIENCE_MS;
  const cancelled = cancelAll(register);
  try {
    // Kernel: 6.0 can cancel from outside the queue; 5.19 needs an entry, and before that it fails with EINVAL.
    if (cancelled === -EINVAL) ring.prepCancel64(0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    // All bits set: no ticket and no number that the library lets through looks like it.
    ring.prepNop().drain().userDataHalves(-1, -1);
    for (;;) {
      const left = until - performance.now();
      if (left <= 0) return;
      let cqe = ring.submitAndWaitTimeout(1, Math.min(left, AGAIN_MS));
      // Kernel: what an SQPOLL thread takes, or a worker turns into a poll, at the moment of the cancellation escapes it.
      if (cqe === null) cancelAll(register);
      for (; cqe !== null; cqe = ring.nextCqe()) {
        if (cqe.userDataLow === -1 && cqe.userDataHigh === -1) return;
      }
    }
  } catch {
    // A disabled ring, or one whose thread is gone, takes no entry; closing it is all that is left to do.
  }
}

function cancelAll(register: (opcode: number, address: number, count: number) => number): number {
  const words = new Int32Array(IO_URING_SYNC_CANCEL_REG_SIZE / 4);
  words[IO_URING_SYNC_CANCEL_REG_WORD_FD] = -1;
  words[IO_URING_SYNC_CANCEL_REG_WORD_FLAGS] = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
  // struct __kernel_timespec: seconds, then nanoseconds, 64 bits each.
  words[IO_URING_SYNC_CANCEL_REG_WORD_TIMEOUT + 2] = (PATIENCE_MS / 2) * 1e6;
  return register(IORING_REGISTER_SYNC_CANCEL, addressOf(words), 1);
}
