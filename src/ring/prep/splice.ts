/** Moving data between descriptors without a buffer of ours, and making the pipes that this takes. */
import { IORING_OP_PIPE, IORING_OP_SPLICE, IORING_OP_TEE } from "../../abi/constants.gen.ts";
import type { Memory } from "../../memory.ts";
import { addressOfStruct, checkFd, checkLength32, checkOffset, checkU32, fileIndexWord } from "./check.ts";
import { type FileOffset, type Slot, SQE_ADDR, SQE_FILE_INDEX } from "./slot.ts";

/** Bytes of the two descriptors of a pipe. */
const PIPE_BYTES = 8;

/**
 * Moves up to `nbytes` from one descriptor to another, at least one of which is a pipe. Offsets are -1 for a pipe and
 * for a file's own position. SPLICE_F_FD_IN_FIXED in `flags` says that `fdIn` is the index of a registered file,
 * `fixedFile` says it of `fdOut`. `res` is the number of bytes moved, 0 at the end of the input.
 *
 * @kernel 5.7
 * @man io_uring_prep_splice(3)
 */
export function prepSplice(
  sqe: Slot,
  fdIn: number,
  offIn: FileOffset,
  fdOut: number,
  offOut: FileOffset,
  nbytes: number,
  flags: number = 0,
): void {
  checkFd(fdIn);
  checkOffset(offIn);
  checkFd(fdOut);
  checkOffset(offOut);
  checkLength32("length", nbytes);
  checkU32("splice flags", flags);
  sqe.write(IORING_OP_SPLICE, fdOut, offOut, 0, nbytes, flags);
  sqe.write64(SQE_ADDR, offIn);
  sqe.set(SQE_FILE_INDEX, fdIn);
}

/**
 * Copies up to `nbytes` from one pipe to another and leaves them in the first. `flags` as for {@link prepSplice}. `res`
 * is the number of bytes copied.
 *
 * @kernel 5.8
 * @man io_uring_prep_tee(3)
 */
export function prepTee(sqe: Slot, fdIn: number, fdOut: number, nbytes: number, flags: number = 0): void {
  checkFd(fdIn);
  checkFd(fdOut);
  checkLength32("length", nbytes);
  checkU32("splice flags", flags);
  sqe.write(IORING_OP_TEE, fdOut, 0, 0, nbytes, flags);
  sqe.set(SQE_FILE_INDEX, fdIn);
}

/**
 * pipe2(2): makes a pipe and stores its two descriptors, first the reading end, in `fds`, eight bytes that must live
 * until the completion. `flags` takes O_CLOEXEC, O_NONBLOCK and others. `res` is 0.
 *
 * @kernel 6.16
 * @man io_uring_prep_pipe(3)
 */
export function prepPipe(sqe: Slot, fds: Memory, flags: number = 0): void {
  checkU32("pipe flags", flags);
  const address = addressOfStruct("pipe descriptors", fds, PIPE_BYTES);
  sqe.write(IORING_OP_PIPE, 0, 0, address, 0, flags);
}

/**
 * Makes a pipe of two direct descriptors, at `fileIndex` and the index after it in the table of registered files, or
 * with IORING_FILE_INDEX_ALLOC where there is room. Their indices are stored in `fds`, eight bytes that must live until
 * the completion. `res` is 0.
 *
 * @kernel 6.16
 * @man io_uring_prep_pipe_direct(3)
 */
export function prepPipeDirect(sqe: Slot, fds: Memory, flags: number, fileIndex: number): void {
  checkU32("pipe flags", flags);
  const index = fileIndexWord(fileIndex);
  const address = addressOfStruct("pipe descriptors", fds, PIPE_BYTES);
  sqe.write(IORING_OP_PIPE, 0, 0, address, 0, flags);
  sqe.set(SQE_FILE_INDEX, index);
}
