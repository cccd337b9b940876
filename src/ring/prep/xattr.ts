/** Extended attributes, of paths and of open files. */
import {
  IORING_OP_FGETXATTR,
  IORING_OP_FSETXATTR,
  IORING_OP_GETXATTR,
  IORING_OP_SETXATTR,
} from "../../abi/constants.gen.ts";
import { addressOf, lengthOf, type Memory, type Path } from "../../memory.ts";
import { checkFd, checkU32 } from "./check.ts";
import { type Slot, SQE_ADDR3 } from "./slot.ts";

/**
 * getxattr(2): stores the attribute `name` of the file `path` in `value`, which must live until the completion. Bytes
 * given as name or path must live until the entry is submitted. `res` is the attribute's length; with a `len` of 0 it
 * is only told, not stored.
 *
 * @kernel 5.19
 * @man io_uring_prep_getxattr(3)
 */
export function prepGetxattr(sqe: Slot, name: Path, value: Memory, path: Path, len?: number): void {
  const valueAddress = addressOf(value);
  const length = lengthOf(value, len);
  const nameAddress = sqe.path(name, 0);
  const pathAddress = sqe.path(path, 1);
  sqe.write(IORING_OP_GETXATTR, 0, valueAddress, nameAddress, length, 0);
  sqe.write64(SQE_ADDR3, pathAddress);
}

/**
 * setxattr(2): gives the file `path` the attribute `name` with the bytes `value`. `flags` takes XATTR_CREATE and
 * XATTR_REPLACE. `value`, and bytes given as name or path, must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.19
 * @man io_uring_prep_setxattr(3)
 */
export function prepSetxattr(sqe: Slot, name: Path, value: Memory, path: Path, flags: number = 0, len?: number): void {
  checkU32("attribute flags", flags);
  const valueAddress = addressOf(value);
  const length = lengthOf(value, len);
  const nameAddress = sqe.path(name, 0);
  const pathAddress = sqe.path(path, 1);
  sqe.write(IORING_OP_SETXATTR, 0, valueAddress, nameAddress, length, flags);
  sqe.write64(SQE_ADDR3, pathAddress);
}

/**
 * fgetxattr(2): {@link prepGetxattr} of the open file `fd`. `value` must live until the completion, bytes given as the
 * name until the entry is submitted. `res` is the attribute's length.
 *
 * @kernel 5.19
 * @man io_uring_prep_fgetxattr(3)
 */
export function prepFgetxattr(sqe: Slot, fd: number, name: Path, value: Memory, len?: number): void {
  checkFd(fd);
  const valueAddress = addressOf(value);
  const length = lengthOf(value, len);
  sqe.write(IORING_OP_FGETXATTR, fd, valueAddress, sqe.path(name, 0), length, 0);
}

/**
 * fsetxattr(2): {@link prepSetxattr} of the open file `fd`. `value`, and bytes given as the name, must live until the
 * entry is submitted. `res` is 0.
 *
 * @kernel 5.19
 * @man io_uring_prep_fsetxattr(3)
 */
export function prepFsetxattr(sqe: Slot, fd: number, name: Path, value: Memory, flags: number = 0, len?: number): void {
  checkFd(fd);
  checkU32("attribute flags", flags);
  const valueAddress = addressOf(value);
  const length = lengthOf(value, len);
  sqe.write(IORING_OP_FSETXATTR, fd, valueAddress, sqe.path(name, 0), length, flags);
}
