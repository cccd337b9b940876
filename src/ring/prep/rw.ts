/** Reading and writing files, pipes, sockets and devices: plain, vectored, from registered buffers, multishot. */
import {
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READ_MULTISHOT,
  IORING_OP_READV,
  IORING_OP_READV_FIXED,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_OP_WRITEV,
  IORING_OP_WRITEV_FIXED,
  IOSQE_BUFFER_SELECT,
} from "../../abi/constants.gen.ts";
import { SIZEOF_IOVEC } from "../../abi/linux.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { checkCount, checkFd, checkOffset, checkU16, checkU32, checkU8, countOf } from "./check.ts";
import { attrPi, attrPiAddress, writeStream } from "./modify.ts";
import { type FileOffset, type Slot, SQE_BUF_INDEX, SQE_FLAGS_SHIFT } from "./slot.ts";

/**
 * Reads from a file at `offset`, -1 for its own position (always for pipes and sockets), into `buf`, which must live
 * until the completion. With `bufferSelect` pass 0 for `buf`, and in `nbytes` the most to read or 0 for what the
 * chosen buffer holds. `res` is the number of bytes read, 0 at the end of the file; fewer than asked is no error.
 *
 * Kernel: give regular files an offset. With -1 a read or write that comes to a part and then fails tells the part in
 * `res` but may leave the file's position where it was (seen on 6.18), and what follows goes to the wrong place.
 *
 * @kernel 5.6
 * @man io_uring_prep_read(3)
 */
export function prepRead(sqe: Slot, fd: number, buf: Memory, offset: FileOffset, nbytes?: number): void {
  checkFd(fd);
  checkOffset(offset);
  const address = addressOf(buf);
  sqe.write(IORING_OP_READ, fd, offset, address, lengthOf(buf, nbytes), 0);
}

/**
 * Writes `buf`, which must live and stay unchanged until the completion, to a file at `offset`, -1 for its own
 * position. `res` is the number of bytes written, which can be fewer than asked.
 *
 * Kernel: give regular files an offset: with -1, a write that ends short at a full disk or a size limit may leave the
 * file's position where it was (seen on 6.18), and the rest would overwrite what was written.
 *
 * @kernel 5.6
 * @man io_uring_prep_write(3)
 */
export function prepWrite(sqe: Slot, fd: number, buf: Memory, offset: FileOffset, nbytes?: number): void {
  checkFd(fd);
  checkOffset(offset);
  const address = addressOf(buf);
  sqe.write(IORING_OP_WRITE, fd, offset, address, lengthOf(buf, nbytes), 0);
}

/**
 * Reads into memory that lies within the registered buffer `bufIndex`, whose pages the kernel has at hand already.
 * The memory must stay registered until the completion. `res` is the number of bytes read.
 *
 * @kernel 5.1
 * @man io_uring_prep_read_fixed(3)
 */
export function prepReadFixed(
  sqe: Slot,
  fd: number,
  buf: Memory,
  offset: FileOffset,
  bufIndex: number,
  nbytes?: number,
): void {
  checkFd(fd);
  checkOffset(offset);
  checkU16("registered buffer's index", bufIndex);
  const address = addressOf(buf);
  sqe.write(IORING_OP_READ_FIXED, fd, offset, address, lengthOf(buf, nbytes), 0);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

/**
 * Writes memory that lies within the registered buffer `bufIndex`. It must stay registered and unchanged until the
 * completion. `res` is the number of bytes written.
 *
 * @kernel 5.1
 * @man io_uring_prep_write_fixed(3)
 */
export function prepWriteFixed(
  sqe: Slot,
  fd: number,
  buf: Memory,
  offset: FileOffset,
  bufIndex: number,
  nbytes?: number,
): void {
  checkFd(fd);
  checkOffset(offset);
  checkU16("registered buffer's index", bufIndex);
  const address = addressOf(buf);
  sqe.write(IORING_OP_WRITE_FIXED, fd, offset, address, lengthOf(buf, nbytes), 0);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

/**
 * Reads into several buffers, one after another. `iovecs` is an array of struct iovec, which must live until the entry
 * is submitted, and the buffers that it names until the completion. `res` is the number of bytes read.
 *
 * @kernel 5.1
 * @man io_uring_prep_readv(3)
 */
export function prepReadv(sqe: Slot, fd: number, iovecs: Memory, offset: FileOffset, nrVecs?: number): void {
  prepReadv2(sqe, fd, iovecs, offset, 0, nrVecs);
}

/**
 * {@link prepReadv} with flags of preadv2(2): RWF_NOWAIT, RWF_HIPRI and others. `iovecs` must live until the entry is
 * submitted, its buffers until the completion. `res` is the number of bytes read.
 *
 * @kernel 5.1
 * @man io_uring_prep_readv2(3)
 */
export function prepReadv2(
  sqe: Slot,
  fd: number,
  iovecs: Memory,
  offset: FileOffset,
  flags: number = 0,
  nrVecs?: number,
): void {
  writeVectored(sqe, IORING_OP_READV, fd, iovecs, offset, flags, nrVecs);
}

/**
 * Reads into several buffers that all lie within the registered buffer `bufIndex`, with flags of preadv2(2). `iovecs`
 * must live until the entry is submitted, the registration until the completion. `res` is the number of bytes read.
 *
 * @kernel 6.15
 * @man io_uring_prep_readv_fixed(3)
 */
export function prepReadvFixed(
  sqe: Slot,
  fd: number,
  iovecs: Memory,
  offset: FileOffset,
  flags: number,
  bufIndex: number,
  nrVecs?: number,
): void {
  checkU16("registered buffer's index", bufIndex);
  writeVectored(sqe, IORING_OP_READV_FIXED, fd, iovecs, offset, flags, nrVecs);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

/**
 * Writes several buffers, one after another. `iovecs` is an array of struct iovec, which must live until the entry is
 * submitted, and the buffers that it names, unchanged, until the completion. `res` is the number of bytes written.
 *
 * @kernel 5.1
 * @man io_uring_prep_writev(3)
 */
export function prepWritev(sqe: Slot, fd: number, iovecs: Memory, offset: FileOffset, nrVecs?: number): void {
  prepWritev2(sqe, fd, iovecs, offset, 0, nrVecs);
}

/**
 * {@link prepWritev} with flags of pwritev2(2): RWF_APPEND, RWF_DSYNC and others. `iovecs` must live until the entry is
 * submitted, its buffers until the completion. `res` is the number of bytes written.
 *
 * @kernel 5.1
 * @man io_uring_prep_writev2(3)
 */
export function prepWritev2(
  sqe: Slot,
  fd: number,
  iovecs: Memory,
  offset: FileOffset,
  flags: number = 0,
  nrVecs?: number,
): void {
  writeVectored(sqe, IORING_OP_WRITEV, fd, iovecs, offset, flags, nrVecs);
}

/**
 * Writes several buffers that all lie within the registered buffer `bufIndex`, with flags of pwritev2(2). `iovecs` must
 * live until the entry is submitted, the registration until the completion. `res` is the number of bytes written.
 *
 * @kernel 6.15
 * @man io_uring_prep_writev_fixed(3)
 */
export function prepWritevFixed(
  sqe: Slot,
  fd: number,
  iovecs: Memory,
  offset: FileOffset,
  flags: number,
  bufIndex: number,
  nrVecs?: number,
): void {
  checkU16("registered buffer's index", bufIndex);
  writeVectored(sqe, IORING_OP_WRITEV_FIXED, fd, iovecs, offset, flags, nrVecs);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

function writeVectored(
  sqe: Slot,
  opcode: number,
  fd: number,
  iovecs: Memory,
  offset: FileOffset,
  flags: number,
  nrVecs: number | undefined,
): void {
  checkFd(fd);
  checkOffset(offset);
  checkU32("read and write flags", flags);
  const address = addressOf(iovecs);
  sqe.write(opcode, fd, offset, address, countOf("iovecs", iovecs, SIZEOF_IOVEC, nrVecs), flags);
}

/**
 * Reads whenever there is something to read, each time into a buffer of the provided group `bufGroup`, until the end
 * of the file, an error or a lack of buffers. For what can be polled: pipes, sockets, terminals, not regular files.
 * `nbytes` caps one read, 0 for what a buffer holds. Every completion has `res` bytes in the buffer that its flags
 * name; the last one lacks IORING_CQE_F_MORE. Sets `bufferSelect` itself.
 *
 * @kernel 6.7
 * @man io_uring_prep_read_multishot(3)
 */
export function prepReadMultishot(sqe: Slot, fd: number, nbytes: number, offset: FileOffset, bufGroup: number): void {
  checkFd(fd);
  checkCount("length", nbytes);
  checkOffset(offset);
  checkU16("buffer group", bufGroup);
  sqe.write(IORING_OP_READ_MULTISHOT | (IOSQE_BUFFER_SELECT << SQE_FLAGS_SHIFT), fd, offset, 0, nbytes, 0);
  sqe.set(SQE_BUF_INDEX, bufGroup);
}

/**
 * {@link prepRead} from a block device together with its protection information, which goes where `attr`, a struct
 * io_uring_attr_pi, says. `attr` must live until the entry is submitted, both buffers until the completion. `res` is
 * the number of data bytes read.
 *
 * @kernel 6.14
 * @man io_uring_enter(2)
 */
export function prepReadPi(
  sqe: Slot,
  fd: number,
  buf: Memory,
  offset: FileOffset,
  attr: Memory,
  nbytes?: number,
): void {
  const address = attrPiAddress(attr);
  prepRead(sqe, fd, buf, offset, nbytes);
  attrPi(sqe, address);
}

/**
 * {@link prepWrite} to a block device together with its protection information, which comes from where `attr`, a
 * struct io_uring_attr_pi, says. `attr` must live until the entry is submitted, both buffers until the completion.
 * `res` is the number of data bytes written.
 *
 * @kernel 6.14
 * @man io_uring_enter(2)
 */
export function prepWritePi(
  sqe: Slot,
  fd: number,
  buf: Memory,
  offset: FileOffset,
  attr: Memory,
  nbytes?: number,
): void {
  const address = attrPiAddress(attr);
  prepWrite(sqe, fd, buf, offset, nbytes);
  attrPi(sqe, address);
}

/**
 * {@link prepWrite} with a hint: data of one `stream`, 1 to 255, has a similar lifetime, so a device that supports
 * placement keeps it together; 0 is no hint. `buf` must live and stay unchanged until the completion. `res` is the
 * number of bytes written.
 *
 * @kernel 6.16
 * @man io_uring_enter(2)
 */
export function prepWriteStream(
  sqe: Slot,
  fd: number,
  buf: Memory,
  offset: FileOffset,
  stream: number,
  nbytes?: number,
): void {
  checkU8("write stream", stream);
  prepWrite(sqe, fd, buf, offset, nbytes);
  writeStream(sqe, stream);
}
