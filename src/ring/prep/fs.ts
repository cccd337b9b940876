/** Files and names: flushing, space, advice, status; unlinking, renaming, making directories and links. */
import {
  IORING_OP_FADVISE,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_LINKAT,
  IORING_OP_MADVISE,
  IORING_OP_MKDIRAT,
  IORING_OP_RENAMEAT,
  IORING_OP_STATX,
  IORING_OP_SYMLINKAT,
  IORING_OP_SYNC_FILE_RANGE,
  IORING_OP_UNLINKAT,
} from "../../abi/constants.gen.ts";
import { AT_FDCWD, SIZEOF_STATX } from "../../abi/linux.ts";
import { addressOf, lengthOf, type Memory, type Path } from "../../memory.ts";
import { addressOfStruct, checkFd, checkLength32, checkU32, checkU64, length64Of } from "./check.ts";
import { type Slot, SQE_ADDR } from "./slot.ts";

/**
 * fsync(2): writes the file's changes to the device, or with IORING_FSYNC_DATASYNC only what reading the data back
 * takes. It covers what completed before; link it to cover the writes before it. `res` is 0.
 *
 * @kernel 5.1
 * @man io_uring_prep_fsync(3)
 */
export function prepFsync(sqe: Slot, fd: number, flags: number = 0): void {
  checkFd(fd);
  checkU32("fsync flags", flags);
  sqe.write(IORING_OP_FSYNC, fd, 0, 0, 0, flags);
}

/**
 * {@link prepFsync} of `len` bytes from `offset` on, 0 for all that follows. Filesystems may flush more. `res` is 0.
 *
 * @kernel 5.1
 * @man io_uring_enter(2)
 */
export function prepFsyncRange(sqe: Slot, fd: number, offset: number | bigint, len: number, flags: number = 0): void {
  checkFd(fd);
  checkU64("file offset", offset);
  checkLength32("length", len);
  checkU32("fsync flags", flags);
  sqe.write(IORING_OP_FSYNC, fd, offset, 0, len, flags);
}

/**
 * sync_file_range(2): starts or awaits the writing of `len` bytes from `offset` on, 0 for all that follows, as `flags`
 * SYNC_FILE_RANGE_* say. It neither writes metadata nor flushes the device's cache. `res` is 0.
 *
 * @kernel 5.2
 * @man io_uring_prep_sync_file_range(3)
 */
export function prepSyncFileRange(
  sqe: Slot,
  fd: number,
  len: number,
  offset: number | bigint,
  flags: number = 0,
): void {
  checkFd(fd);
  checkLength32("length", len);
  checkU64("file offset", offset);
  checkU32("sync flags", flags);
  sqe.write(IORING_OP_SYNC_FILE_RANGE, fd, offset, 0, len, flags);
}

/**
 * fallocate(2): allocates, with FALLOC_FL_* in `mode` punches, zeroes, inserts or removes, `len` bytes from `offset`
 * on. `res` is 0.
 *
 * @kernel 5.6
 * @man io_uring_prep_fallocate(3)
 */
export function prepFallocate(
  sqe: Slot,
  fd: number,
  mode: number,
  offset: number | bigint,
  len: number | bigint,
): void {
  checkFd(fd);
  checkU32("mode", mode);
  checkU64("file offset", offset);
  checkU64("length", len);
  sqe.write(IORING_OP_FALLOCATE, fd, offset, 0, mode, 0);
  sqe.write64(SQE_ADDR, len);
}

/**
 * ftruncate(2): makes the file `len` bytes long. `res` is 0.
 *
 * @kernel 6.9
 * @man io_uring_prep_ftruncate(3)
 */
export function prepFtruncate(sqe: Slot, fd: number, len: number | bigint): void {
  checkFd(fd);
  checkU64("length", len);
  sqe.write(IORING_OP_FTRUNCATE, fd, len, 0, 0, 0);
}

/**
 * posix_fadvise(2): says how `len` bytes of a file from `offset` on will be used, 0 for all that follow; `advice` is
 * POSIX_FADV_*. `res` is 0.
 *
 * @kernel 5.6
 * @man io_uring_prep_fadvise(3)
 */
export function prepFadvise(sqe: Slot, fd: number, offset: number | bigint, len: number, advice: number): void {
  checkFd(fd);
  checkU64("file offset", offset);
  checkLength32("length", len);
  checkU32("advice", advice);
  sqe.write(IORING_OP_FADVISE, fd, offset, 0, len, advice);
}

/**
 * {@link prepFadvise} with a length of 64 bits. An older kernel does not see the length and takes it as 0. `res` is 0.
 *
 * @kernel 6.11
 * @man io_uring_prep_fadvise64(3)
 */
export function prepFadvise64(
  sqe: Slot,
  fd: number,
  offset: number | bigint,
  len: number | bigint,
  advice: number,
): void {
  checkFd(fd);
  checkU64("file offset", offset);
  checkU64("length", len);
  checkU32("advice", advice);
  sqe.write(IORING_OP_FADVISE, fd, offset, 0, 0, advice);
  sqe.write64(SQE_ADDR, len);
}

/**
 * madvise(2): says how the memory at `addr` will be used; `advice` is MADV_*. It must stay mapped until the completion,
 * and begin at a page. `res` is 0.
 *
 * @kernel 5.6
 * @man io_uring_prep_madvise(3)
 */
export function prepMadvise(sqe: Slot, addr: Memory, advice: number, len?: number): void {
  checkU32("advice", advice);
  const address = addressOf(addr);
  sqe.write(IORING_OP_MADVISE, -1, 0, address, lengthOf(addr, len), advice);
}

/**
 * {@link prepMadvise} with a length of 64 bits. An older kernel does not see the length and takes it as 0. The memory
 * must stay mapped until the completion. `res` is 0.
 *
 * @kernel 6.11
 * @man io_uring_prep_madvise64(3)
 */
export function prepMadvise64(sqe: Slot, addr: Memory, advice: number, len?: number | bigint): void {
  checkU32("advice", advice);
  const address = addressOf(addr);
  sqe.write(IORING_OP_MADVISE, -1, length64Of(addr, len), address, 0, advice);
}

/**
 * statx(2): stores what the filesystem knows of `path`, relative to the directory `dfd`, in `statxbuf`, 256 bytes that
 * must live until the completion. `flags` takes AT_*, `mask` the STATX_* fields that are wanted. With AT_EMPTY_PATH and
 * an empty path it tells of `dfd` itself. Bytes given as the path must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.6
 * @man io_uring_prep_statx(3)
 */
export function prepStatx(sqe: Slot, dfd: number, path: Path, flags: number, mask: number, statxbuf: Memory): void {
  checkFd(dfd);
  checkU32("statx flags", flags);
  checkU32("statx mask", mask);
  const address = addressOfStruct("statx", statxbuf, SIZEOF_STATX);
  sqe.write(IORING_OP_STATX, dfd, address, sqe.path(path, 0), mask, flags);
}

/**
 * unlinkat(2): removes the name `path`, relative to the directory `dfd`; a directory with AT_REMOVEDIR in `flags`. Bytes
 * given as the path must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.11
 * @man io_uring_prep_unlinkat(3)
 */
export function prepUnlinkat(sqe: Slot, dfd: number, path: Path, flags: number = 0): void {
  checkFd(dfd);
  checkU32("unlink flags", flags);
  sqe.write(IORING_OP_UNLINKAT, dfd, 0, sqe.path(path, 0), 0, flags);
}

/**
 * {@link prepUnlinkat} relative to the current directory. Bytes given as the path must live until the entry is
 * submitted. `res` is 0.
 *
 * @kernel 5.11
 * @man io_uring_prep_unlink(3)
 */
export function prepUnlink(sqe: Slot, path: Path, flags: number = 0): void {
  prepUnlinkat(sqe, AT_FDCWD, path, flags);
}

/**
 * renameat2(2): gives `oldPath` the name `newPath`, each relative to its own directory. `flags` takes RENAME_NOREPLACE,
 * RENAME_EXCHANGE, RENAME_WHITEOUT. Bytes given as paths must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.11
 * @man io_uring_prep_renameat(3)
 */
export function prepRenameat(
  sqe: Slot,
  oldDfd: number,
  oldPath: Path,
  newDfd: number,
  newPath: Path,
  flags: number = 0,
): void {
  writeTwoPaths(sqe, IORING_OP_RENAMEAT, oldDfd, oldPath, newDfd, newPath, flags);
}

/**
 * {@link prepRenameat} relative to the current directory. Bytes given as paths must live until the entry is submitted.
 * `res` is 0.
 *
 * @kernel 5.11
 * @man io_uring_prep_rename(3)
 */
export function prepRename(sqe: Slot, oldPath: Path, newPath: Path): void {
  writeTwoPaths(sqe, IORING_OP_RENAMEAT, AT_FDCWD, oldPath, AT_FDCWD, newPath, 0);
}

/**
 * mkdirat(2): makes the directory `path`, relative to `dfd`, with `mode` less the umask. Bytes given as the path must
 * live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_mkdirat(3)
 */
export function prepMkdirat(sqe: Slot, dfd: number, path: Path, mode: number): void {
  checkFd(dfd);
  checkU32("mode", mode);
  sqe.write(IORING_OP_MKDIRAT, dfd, 0, sqe.path(path, 0), mode, 0);
}

/**
 * {@link prepMkdirat} relative to the current directory. Bytes given as the path must live until the entry is
 * submitted. `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_mkdir(3)
 */
export function prepMkdir(sqe: Slot, path: Path, mode: number): void {
  prepMkdirat(sqe, AT_FDCWD, path, mode);
}

/**
 * symlinkat(2): makes `linkPath`, relative to the directory `newDirFd`, a symbolic link with the text `target`. Bytes
 * given as paths must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_symlinkat(3)
 */
export function prepSymlinkat(sqe: Slot, target: Path, newDirFd: number, linkPath: Path): void {
  checkFd(newDirFd);
  const targetAddress = sqe.path(target, 0);
  sqe.write(IORING_OP_SYMLINKAT, newDirFd, sqe.path(linkPath, 1), targetAddress, 0, 0);
}

/**
 * {@link prepSymlinkat} relative to the current directory. Bytes given as paths must live until the entry is submitted.
 * `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_symlink(3)
 */
export function prepSymlink(sqe: Slot, target: Path, linkPath: Path): void {
  prepSymlinkat(sqe, target, AT_FDCWD, linkPath);
}

/**
 * linkat(2): gives the file `oldPath` the further name `newPath`, each relative to its own directory. `flags` takes
 * AT_SYMLINK_FOLLOW and AT_EMPTY_PATH. Bytes given as paths must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_linkat(3)
 */
export function prepLinkat(
  sqe: Slot,
  oldDfd: number,
  oldPath: Path,
  newDfd: number,
  newPath: Path,
  flags: number = 0,
): void {
  writeTwoPaths(sqe, IORING_OP_LINKAT, oldDfd, oldPath, newDfd, newPath, flags);
}

/**
 * {@link prepLinkat} relative to the current directory. Bytes given as paths must live until the entry is submitted.
 * `res` is 0.
 *
 * @kernel 5.15
 * @man io_uring_prep_link(3)
 */
export function prepLink(sqe: Slot, oldPath: Path, newPath: Path, flags: number = 0): void {
  writeTwoPaths(sqe, IORING_OP_LINKAT, AT_FDCWD, oldPath, AT_FDCWD, newPath, flags);
}

function writeTwoPaths(
  sqe: Slot,
  opcode: number,
  oldDfd: number,
  oldPath: Path,
  newDfd: number,
  newPath: Path,
  flags: number,
): void {
  checkFd(oldDfd);
  checkFd(newDfd);
  checkU32("flags", flags);
  const oldAddress = sqe.path(oldPath, 0);
  sqe.write(opcode, oldDfd, sqe.path(newPath, 1), oldAddress, newDfd, flags);
}
