/** Sending: from one buffer, from many, from a provided group, and without a copy. */
import {
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SENDMSG,
  IORING_OP_SENDMSG_ZC,
  IORING_RECVSEND_BUNDLE,
  IORING_RECVSEND_FIXED_BUF,
  IORING_SEND_VECTORIZED,
} from "../../abi/constants.gen.ts";
import { SIZEOF_IOVEC, SIZEOF_MSGHDR } from "../../abi/linux.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkCount, checkFd, checkU16, checkU32, countOf } from "./check.ts";
import { type Slot, SQE_BUF_INDEX, SQE_FILE_INDEX, SQE_IOPRIO_SHIFT, SQE_OFF } from "./slot.ts";

/**
 * send(2): sends `buf`, which must live and stay unchanged until the completion, over a connected socket. With
 * `bufferSelect` pass 0 for `buf` (Linux 6.10). `res` is the number of bytes sent, which can be fewer than asked unless
 * MSG_WAITALL is in `flags`.
 *
 * @kernel 5.6
 * @man io_uring_prep_send(3)
 */
export function prepSend(sqe: Slot, sockfd: number, buf: Memory, flags: number = 0, len?: number): void {
  checkFd(sockfd);
  checkU32("send flags", flags);
  const address = addressOf(buf);
  sqe.write(IORING_OP_SEND, sockfd, 0, address, lengthOf(buf, len), flags);
}

/**
 * Sends as many buffers of a provided group as there are, or `len` bytes of them where `len` is not 0, in one go. Call
 * `bufferSelect` with the group after it. `res` is the number of bytes sent; they came from consecutive buffers, the
 * first of which the completion's flags name.
 *
 * @kernel 6.10
 * @man io_uring_prep_send_bundle(3)
 */
export function prepSendBundle(sqe: Slot, sockfd: number, len: number, flags: number = 0): void {
  checkFd(sockfd);
  checkCount("length", len);
  checkU32("send flags", flags);
  sqe.write(IORING_OP_SEND | (IORING_RECVSEND_BUNDLE << SQE_IOPRIO_SHIFT), sockfd, 0, 0, len, flags);
}

/**
 * {@link prepSend} to `addr`, a struct sockaddr that must live until the entry is submitted. `res` is the number of
 * bytes sent.
 *
 * @kernel 6.1
 * @man io_uring_prep_sendto(3)
 */
export function prepSendto(
  sqe: Slot,
  sockfd: number,
  buf: Memory,
  flags: number,
  addr: Memory,
  addrlen?: number,
  len?: number,
): void {
  const address = addressOf(addr);
  const addressLength = lengthOf(addr, addrlen);
  checkU16("address length", addressLength);
  checkU32("send flags", flags);
  prepSend(sqe, sockfd, buf, flags, len);
  sqe.write64(SQE_OFF, address);
  sqe.set(SQE_FILE_INDEX, addressLength);
}

/**
 * Sends several buffers, one after another. `iovecs`, an array of struct iovec, must live until the entry is submitted,
 * and the buffers that it names, unchanged, until the completion. `res` is the number of bytes sent.
 *
 * @kernel 6.17
 * @man io_uring_enter(2)
 */
export function prepSendVectorized(
  sqe: Slot,
  sockfd: number,
  iovecs: Memory,
  flags: number = 0,
  nrVecs?: number,
): void {
  checkFd(sockfd);
  checkU32("send flags", flags);
  const address = addressOf(iovecs);
  const count = countOf("iovecs", iovecs, SIZEOF_IOVEC, nrVecs);
  sqe.write(IORING_OP_SEND | (IORING_SEND_VECTORIZED << SQE_IOPRIO_SHIFT), sockfd, 0, address, count, flags);
}

/**
 * Sends without copying where the socket can. There are two completions: the first has the number of bytes sent in
 * `res` and, with IORING_CQE_F_MORE, announces the second, which has IORING_CQE_F_NOTIF and says that the kernel is
 * done with `buf`. Until then `buf` must live and stay unchanged. `zcFlags` takes IORING_RECVSEND_POLL_FIRST and
 * IORING_SEND_ZC_REPORT_USAGE.
 *
 * @kernel 6.0
 * @man io_uring_prep_send_zc(3)
 */
export function prepSendZc(
  sqe: Slot,
  sockfd: number,
  buf: Memory,
  flags: number = 0,
  zcFlags: number = 0,
  len?: number,
): void {
  checkFd(sockfd);
  checkU32("send flags", flags);
  checkU16("zero-copy flags", zcFlags);
  const address = addressOf(buf);
  sqe.write(IORING_OP_SEND_ZC | (zcFlags << SQE_IOPRIO_SHIFT), sockfd, 0, address, lengthOf(buf, len), flags);
}

/**
 * {@link prepSendZc} from within the registered buffer `bufIndex`, which must stay registered, and `buf` unchanged,
 * until the completion with IORING_CQE_F_NOTIF. `res` of the first completion is the number of bytes sent.
 *
 * @kernel 6.0
 * @man io_uring_prep_send_zc_fixed(3)
 */
export function prepSendZcFixed(
  sqe: Slot,
  sockfd: number,
  buf: Memory,
  flags: number,
  zcFlags: number,
  bufIndex: number,
  len?: number,
): void {
  checkU16("registered buffer's index", bufIndex);
  checkU16("zero-copy flags", zcFlags);
  checkU32("send flags", flags);
  prepSendZc(sqe, sockfd, buf, flags, zcFlags | IORING_RECVSEND_FIXED_BUF, len);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

/**
 * {@link prepSendVectorized} without copying. The buffers must live and stay unchanged until the completion with
 * IORING_CQE_F_NOTIF, `iovecs` until the entry is submitted. `res` of the first completion is the number of bytes sent.
 *
 * @kernel 6.17
 * @man io_uring_enter(2)
 */
export function prepSendZcVectorized(
  sqe: Slot,
  sockfd: number,
  iovecs: Memory,
  flags: number = 0,
  zcFlags: number = 0,
  nrVecs?: number,
): void {
  checkFd(sockfd);
  checkU32("send flags", flags);
  checkU16("zero-copy flags", zcFlags);
  const address = addressOf(iovecs);
  const count = countOf("iovecs", iovecs, SIZEOF_IOVEC, nrVecs);
  const ioprio = (zcFlags | IORING_SEND_VECTORIZED) << SQE_IOPRIO_SHIFT;
  sqe.write(IORING_OP_SEND_ZC | ioprio, sockfd, 0, address, count, flags);
}

/**
 * sendmsg(2): sends what `msg`, a struct msghdr, describes: buffers, a destination, control messages. `msg` and all
 * that it names must live until the completion. `res` is the number of bytes sent.
 *
 * @kernel 5.3
 * @man io_uring_prep_sendmsg(3)
 */
export function prepSendmsg(sqe: Slot, fd: number, msg: Memory, flags: number = 0): void {
  writeSendmsg(sqe, IORING_OP_SENDMSG, fd, msg, flags, 0);
}

/**
 * {@link prepSendmsg} without copying. `msg` must live until the first completion, whose `res` is the number of bytes
 * sent, and the buffers that it names, unchanged, until the second, with IORING_CQE_F_NOTIF.
 *
 * @kernel 6.1
 * @man io_uring_prep_sendmsg_zc(3)
 */
export function prepSendmsgZc(sqe: Slot, fd: number, msg: Memory, flags: number = 0): void {
  writeSendmsg(sqe, IORING_OP_SENDMSG_ZC, fd, msg, flags, 0);
}

/**
 * {@link prepSendmsgZc} from buffers that all lie within the registered buffer `bufIndex`, which must stay registered
 * until the completion with IORING_CQE_F_NOTIF. `res` of the first completion is the number of bytes sent.
 *
 * @kernel 6.15
 * @man io_uring_prep_sendmsg_zc_fixed(3)
 */
export function prepSendmsgZcFixed(sqe: Slot, fd: number, msg: Memory, flags: number, bufIndex: number): void {
  checkU16("registered buffer's index", bufIndex);
  writeSendmsg(sqe, IORING_OP_SENDMSG_ZC, fd, msg, flags, IORING_RECVSEND_FIXED_BUF);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

function writeSendmsg(sqe: Slot, opcode: number, fd: number, msg: Memory, flags: number, ioprio: number): void {
  checkFd(fd);
  checkU32("send flags", flags);
  const address = addressOfStruct("msghdr", msg, SIZEOF_MSGHDR);
  sqe.write(opcode | (ioprio << SQE_IOPRIO_SHIFT), fd, 0, address, 1, flags);
}
