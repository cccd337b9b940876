/** What a multishot recvmsg puts into a provided buffer: a header, the sender's address, control messages, the data. */
import {
  IO_URING_RECVMSG_OUT_OFF_CONTROLLEN,
  IO_URING_RECVMSG_OUT_OFF_FLAGS,
  IO_URING_RECVMSG_OUT_OFF_NAMELEN,
  IO_URING_RECVMSG_OUT_OFF_PAYLOADLEN,
  IO_URING_RECVMSG_OUT_SIZE,
} from "../abi/layout.gen.ts";
import { MSG_CTRUNC, MSG_TRUNC } from "../abi/linux.ts";
import { checkCount } from "./prep/check.ts";
import { int32At } from "./cmsg.ts";

/** How much room a request's {@link Msghdr} gave to addresses and control messages, as they were at submission. */
export interface RecvmsgRoom {
  /** Bytes for the sender's address. */
  nameBytes: number;
  /** Bytes for control messages. */
  controlBytes: number;
}

/**
 * A view of one message of a multishot recvmsg. One is enough for all of a request's completions: {@link read} puts it
 * on the next and allocates nothing.
 *
 * ```ts
 * const message = new RecvmsgOut({ nameBytes: 28, controlBytes: 64 });
 * ...
 * const start = buffers.take(cqe);
 * if (message.read(buffers.bytes, start, cqe.res)) {
 *   use(buffers.bytes.subarray(message.payloadStart, message.payloadStart + message.payloadLength));
 * }
 * buffers.recycle(cqe.bufferId);
 * ```
 *
 * Kernel: an empty datagram is passed on and ends the shot (seen on 6.18): the completion has no F_MORE.
 *
 * @kernel 6.0
 * @man io_uring_recvmsg_out(3)
 */
export class RecvmsgOut {
  /** Where the sender's address begins. */
  nameStart = 0;
  /** Bytes of the sender's address that are there. */
  nameLength = 0;
  /** Where the control messages begin: for {@link forEachControl}. */
  controlStart = 0;
  /** Bytes of control messages that are there. */
  controlLength = 0;
  /** Where the data begins. */
  payloadStart = 0;
  /** Bytes of data that are there. */
  payloadLength = 0;
  /** Bytes that the message had: more than are there where {@link payloadTruncated}. */
  messageLength = 0;
  /** MSG_* flags as recvmsg left them. */
  flags = 0;
  /** Whether the sender's address had more bytes than there was room for. */
  nameTruncated = false;
  readonly #nameBytes: number;
  readonly #controlBytes: number;

  /** @throws RangeError `ERR_URING_ARG_VALUE`. */
  constructor(room: RecvmsgRoom) {
    checkCount("room for addresses", room.nameBytes);
    checkCount("room for control messages", room.controlBytes);
    this.#nameBytes = room.nameBytes;
    this.#controlBytes = room.controlBytes;
  }

  /**
   * Reads the message of `length` bytes (`cqe.res`) that begins at `start`.
   *
   * @returns false where there is no whole header with the room that the request gave: nothing of it can be used.
   */
  read(bytes: Uint8Array, start: number, length: number): boolean {
    const fixed = IO_URING_RECVMSG_OUT_SIZE + this.#nameBytes + this.#controlBytes;
    if (!(start >= 0) || length < fixed || start + length > bytes.length) return false;
    const nameLength = int32At(bytes, start + IO_URING_RECVMSG_OUT_OFF_NAMELEN) >>> 0;
    const controlLength = int32At(bytes, start + IO_URING_RECVMSG_OUT_OFF_CONTROLLEN) >>> 0;
    this.messageLength = int32At(bytes, start + IO_URING_RECVMSG_OUT_OFF_PAYLOADLEN) >>> 0;
    this.flags = int32At(bytes, start + IO_URING_RECVMSG_OUT_OFF_FLAGS) >>> 0;
    this.nameStart = start + IO_URING_RECVMSG_OUT_SIZE;
    this.nameLength = Math.min(nameLength, this.#nameBytes);
    this.nameTruncated = nameLength > this.#nameBytes;
    // The room is taken whether it is used or not: the next part begins after all of it.
    this.controlStart = this.nameStart + this.#nameBytes;
    this.controlLength = Math.min(controlLength, this.#controlBytes);
    this.payloadStart = this.controlStart + this.#controlBytes;
    this.payloadLength = Math.min(length - fixed, this.messageLength);
    return true;
  }

  /** Whether control messages were lost for want of room. */
  get controlTruncated(): boolean {
    return (this.flags & MSG_CTRUNC) !== 0;
  }

  /** Whether data was lost because the buffer was too short. */
  get payloadTruncated(): boolean {
    return (this.flags & MSG_TRUNC) !== 0;
  }
}
