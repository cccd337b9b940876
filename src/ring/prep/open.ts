/** Opening and closing: descriptors of the process, direct descriptors of the ring, and the way from one to the other. */
import {
  IORING_FILE_INDEX_ALLOC,
  IORING_OP_CLOSE,
  IORING_OP_FILES_UPDATE,
  IORING_OP_FIXED_FD_INSTALL,
  IORING_OP_OPENAT,
  IORING_OP_OPENAT2,
  IOSQE_FIXED_FILE,
} from "../../abi/constants.gen.ts";
import { AT_FDCWD, SIZEOF_OPEN_HOW } from "../../abi/linux.ts";
import { addressOf, type Memory, type Path } from "../../memory.ts";
import { addressOfStruct, checkCount, checkFd, checkU32, countOf, fileIndexWord } from "./check.ts";
import { type Slot, SQE_FILE_INDEX, SQE_FLAGS_SHIFT } from "./slot.ts";

/**
 * openat(2): opens `path`, relative to the directory `dfd` or AT_FDCWD, with `flags` O_* and, for a file that it makes,
 * `mode`. Bytes given as the path must live until the entry is submitted. `res` is the new descriptor: a request that
 * is canceled may still yield one, which is then yours to close.
 *
 * Kernel: a FIFO is opened without waiting for its other end, because the first attempt does not block; with `async()`
 * it waits as openat(2) does.
 *
 * @kernel 5.6
 * @man io_uring_prep_openat(3)
 */
export function prepOpenat(sqe: Slot, dfd: number, path: Path, flags: number, mode: number = 0): void {
  writeOpen(sqe, dfd, path, flags, mode, 0);
}

/**
 * {@link prepOpenat} of a direct descriptor: at `fileIndex` in the table of registered files, whose former file is
 * closed, or with IORING_FILE_INDEX_ALLOC where there is room. The process sees no descriptor. Bytes given as the path
 * must live until the entry is submitted. `res` is 0, or the index that was chosen.
 *
 * @kernel 5.15
 * @man io_uring_prep_openat_direct(3)
 */
export function prepOpenatDirect(
  sqe: Slot,
  dfd: number,
  path: Path,
  flags: number,
  mode: number,
  fileIndex: number,
): void {
  writeOpen(sqe, dfd, path, flags, mode, fileIndexWord(fileIndex));
}

/**
 * {@link prepOpenat} relative to the current directory. Bytes given as the path must live until the entry is submitted.
 * `res` is the new descriptor.
 *
 * @kernel 5.6
 * @man io_uring_prep_open(3)
 */
export function prepOpen(sqe: Slot, path: Path, flags: number, mode: number = 0): void {
  writeOpen(sqe, AT_FDCWD, path, flags, mode, 0);
}

/**
 * {@link prepOpenatDirect} relative to the current directory. Bytes given as the path must live until the entry is
 * submitted. `res` is 0, or with IORING_FILE_INDEX_ALLOC the index that was chosen.
 *
 * @kernel 5.15
 * @man io_uring_prep_open_direct(3)
 */
export function prepOpenDirect(sqe: Slot, path: Path, flags: number, mode: number, fileIndex: number): void {
  writeOpen(sqe, AT_FDCWD, path, flags, mode, fileIndexWord(fileIndex));
}

function writeOpen(sqe: Slot, dfd: number, path: Path, flags: number, mode: number, fileIndex: number): void {
  checkFd(dfd);
  checkU32("open flags", flags);
  checkU32("mode", mode);
  sqe.write(IORING_OP_OPENAT, dfd, 0, sqe.path(path, 0), mode, flags);
  sqe.set(SQE_FILE_INDEX, fileIndex);
}

/**
 * openat2(2): opens as `how`, a struct open_how, says, with control over how the path is resolved. `how` and bytes
 * given as the path must live until the entry is submitted. `res` is the new descriptor.
 *
 * @kernel 5.6
 * @man io_uring_prep_openat2(3)
 */
export function prepOpenat2(sqe: Slot, dfd: number, path: Path, how: Memory): void {
  writeOpen2(sqe, dfd, path, how, 0);
}

/**
 * {@link prepOpenat2} of a direct descriptor, at `fileIndex` in the table of registered files or with
 * IORING_FILE_INDEX_ALLOC where there is room. `how` and bytes given as the path must live until the entry is
 * submitted. `res` is 0, or the index that was chosen.
 *
 * @kernel 5.15
 * @man io_uring_prep_openat2_direct(3)
 */
export function prepOpenat2Direct(sqe: Slot, dfd: number, path: Path, how: Memory, fileIndex: number): void {
  writeOpen2(sqe, dfd, path, how, fileIndexWord(fileIndex));
}

function writeOpen2(sqe: Slot, dfd: number, path: Path, how: Memory, fileIndex: number): void {
  checkFd(dfd);
  const howAddress = addressOfStruct("open_how", how, SIZEOF_OPEN_HOW);
  sqe.write(IORING_OP_OPENAT2, dfd, howAddress, sqe.path(path, 0), SIZEOF_OPEN_HOW, 0);
  sqe.set(SQE_FILE_INDEX, fileIndex);
}

/**
 * Closes the descriptor `fd`. Requests on it that are in flight go on; cancel them first. `res` is 0.
 *
 * @kernel 5.6
 * @man io_uring_prep_close(3)
 */
export function prepClose(sqe: Slot, fd: number): void {
  checkFd(fd);
  sqe.write(IORING_OP_CLOSE, fd, 0, 0, 0, 0);
}

/**
 * Closes the direct descriptor at `fileIndex` in the table of registered files. `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_close_direct(3)
 */
export function prepCloseDirect(sqe: Slot, fileIndex: number): void {
  const index = fileIndexWord(fileIndex);
  sqe.write(IORING_OP_CLOSE, 0, 0, 0, 0, 0);
  sqe.set(SQE_FILE_INDEX, index);
}

/**
 * Gives the direct descriptor at index `fd` a number in the process as well, close-on-exec unless `flags` has
 * IORING_FIXED_FD_NO_CLOEXEC. Sets `fixedFile` itself. `res` is the new descriptor.
 *
 * @kernel 6.8
 * @man io_uring_prep_fixed_fd_install(3)
 */
export function prepFixedFdInstall(sqe: Slot, fd: number, flags: number = 0): void {
  checkFd(fd);
  checkU32("install flags", flags);
  sqe.write(IORING_OP_FIXED_FD_INSTALL | (IOSQE_FIXED_FILE << SQE_FLAGS_SHIFT), fd, 0, 0, 0, flags);
}

/**
 * Puts the descriptors in `fds`, 32-bit numbers, into the table of registered files from index `offset` on; -1 empties
 * a place. With IORING_FILE_INDEX_ALLOC as `offset` the kernel finds places and stores their indices in `fds`, which
 * must live until the completion. `res` is the number of places updated.
 *
 * @kernel 5.6
 * @man io_uring_prep_files_update(3)
 */
export function prepFilesUpdate(sqe: Slot, fds: Memory, offset: number, nrFds?: number): void {
  const alloc = offset === IORING_FILE_INDEX_ALLOC;
  if (!alloc) checkCount("file index", offset);
  const address = addressOf(fds);
  // C widens the all-ones index with its sign.
  sqe.write(IORING_OP_FILES_UPDATE, -1, alloc ? -1 : offset, address, countOf("descriptors", fds, 4, nrFds), 0);
}
