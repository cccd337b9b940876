/** Receiving: once or for as long as data comes, with or without addresses and control messages, without a copy. */
import {
  IORING_OP_RECV,
  IORING_OP_RECV_ZC,
  IORING_OP_RECVMSG,
  IORING_RECV_MULTISHOT,
} from "../../abi/constants.gen.ts";
import { SIZEOF_MSGHDR } from "../../abi/linux.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkCount, checkFd, checkU32 } from "./check.ts";
import { type Slot, SQE_FILE_INDEX, SQE_IOPRIO_SHIFT } from "./slot.ts";

/**
 * recv(2): receives into `buf`, which must live until the completion. With `bufferSelect` pass 0 for `buf`, and in
 * `len` the most to receive or 0 for what the chosen buffer holds. `res` is the number of bytes received, 0 where the
 * peer has ended the connection.
 *
 * @kernel 5.6
 * @man io_uring_prep_recv(3)
 */
export function prepRecv(sqe: Slot, sockfd: number, buf: Memory, flags: number = 0, len?: number): void {
  checkFd(sockfd);
  checkU32("receive flags", flags);
  const address = addressOf(buf);
  sqe.write(IORING_OP_RECV, sockfd, 0, address, lengthOf(buf, len), flags);
}

/**
 * Receives whenever data comes, each time into a buffer of the provided group that `bufferSelect` names after it, until
 * the end of the connection, an error or a lack of buffers. Leave `buf` out. Every completion has `res` bytes in the
 * buffer that its flags name; one without IORING_CQE_F_MORE is the last.
 *
 * @kernel 6.0
 * @man io_uring_prep_recv_multishot(3)
 */
export function prepRecvMultishot(sqe: Slot, sockfd: number, buf: Memory = 0, flags: number = 0, len?: number): void {
  checkFd(sockfd);
  checkU32("receive flags", flags);
  const address = addressOf(buf);
  const ioprio = IORING_RECV_MULTISHOT << SQE_IOPRIO_SHIFT;
  sqe.write(IORING_OP_RECV | ioprio, sockfd, 0, address, lengthOf(buf, len), flags);
}

/**
 * recvmsg(2): receives into the buffers that `msg`, a struct msghdr, names, with the sender's address and control
 * messages where it has room for them. `msg` and all that it names must live until the completion, which also updates
 * it. `res` is the number of bytes received.
 *
 * @kernel 5.3
 * @man io_uring_prep_recvmsg(3)
 */
export function prepRecvmsg(sqe: Slot, fd: number, msg: Memory, flags: number = 0): void {
  writeRecvmsg(sqe, fd, msg, flags, 0);
}

/**
 * Receives messages for as long as they come, each into a buffer of the provided group that `bufferSelect` names after
 * it. Of `msg` only the lengths of the name and of the control messages count: each buffer begins with a struct
 * io_uring_recvmsg_out, then that much room for each, then the data. `msg` must live until the entry is submitted.
 * `res` is how much of the buffer was used, and a completion without IORING_CQE_F_MORE is the last.
 *
 * @kernel 6.0
 * @man io_uring_prep_recvmsg_multishot(3)
 */
export function prepRecvmsgMultishot(sqe: Slot, fd: number, msg: Memory, flags: number = 0): void {
  writeRecvmsg(sqe, fd, msg, flags, IORING_RECV_MULTISHOT);
}

function writeRecvmsg(sqe: Slot, fd: number, msg: Memory, flags: number, ioprio: number): void {
  checkFd(fd);
  checkU32("receive flags", flags);
  const address = addressOfStruct("msghdr", msg, SIZEOF_MSGHDR);
  sqe.write(IORING_OP_RECVMSG | (ioprio << SQE_IOPRIO_SHIFT), fd, 0, address, 1, flags);
}

/**
 * Receives without copying, for as long as data comes, into the area of the zero-copy receive queue `zcrxIfqIdx`, which
 * must stay registered. `len` ends it after that many bytes, 0 never. The ring needs 32-byte completions: each has in
 * `res` a number of bytes and in its second half where they are; one without IORING_CQE_F_MORE is the last.
 *
 * @kernel 6.15
 * @man io_uring_enter(2)
 */
export function prepRecvZc(sqe: Slot, sockfd: number, zcrxIfqIdx: number, len: number = 0): void {
  checkFd(sockfd);
  checkU32("receive queue's index", zcrxIfqIdx);
  checkCount("length", len);
  sqe.write(IORING_OP_RECV_ZC | (IORING_RECV_MULTISHOT << SQE_IOPRIO_SHIFT), sockfd, 0, 0, len, 0);
  sqe.set(SQE_FILE_INDEX, zcrxIfqIdx);
}
