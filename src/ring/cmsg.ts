/** Control messages: what travels beside the data of sendmsg and recvmsg, struct cmsghdr after struct cmsghdr. */
import {
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_PKTINFO,
  SCM_RIGHTS,
  SO_TIMESTAMP,
  SO_TIMESTAMPING,
  SO_TIMESTAMPNS,
  SOL_SOCKET,
} from "../abi/linux.ts";
import { describe, rangeError, typeError } from "../errors.ts";
import { addressOf, type Located } from "../memory.ts";
import { checkCount, checkFd } from "./prep/check.ts";
import { checkCallback } from "./sqe.ts";

/** struct cmsghdr: length with the header (64 bits), level, type; everything is aligned to 8 bytes. */
const HEADER_BYTES = 16;
const ALIGNMENT = 8;
const LEVEL_OFFSET = 8;
const TYPE_OFFSET = 12;

/** How many bytes a control message takes that carries `dataBytes`: CMSG_SPACE. */
export function controlSpace(dataBytes: number): number {
  checkCount("a number of bytes", dataBytes);
  return HEADER_BYTES + align(dataBytes);
}

/**
 * Control messages to be sent, or room for those to come: pass it as a {@link Msghdr}'s `control`. It must live until
 * the completion.
 *
 * ```ts
 * const control = new ControlMessages(controlSpace(4)).addDescriptors([fd]);
 * ring.prepSendmsg(socket, new Msghdr({ iovecs, control }));
 * ```
 */
export class ControlMessages implements Located {
  /** Where the messages begin. */
  readonly address: number;
  /** All the room there is, added to or not. */
  readonly capacity: number;
  /** The room as bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #used = 0;

  /**
   * @param capacity bytes of room: the sum of {@link controlSpace} of what is to come.
   * @throws RangeError `ERR_URING_ARG_VALUE`.
   */
  constructor(capacity: number) {
    checkCount("a number of bytes", capacity);
    if (capacity < HEADER_BYTES) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot keep control messages in ${capacity} bytes: one takes 16 at least`,
      );
    }
    this.capacity = capacity;
    this.bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.bytes.buffer);
    this.address = addressOf(this.bytes);
  }

  /** Bytes of the messages added; all the room where none was: for receiving. */
  get byteLength(): number {
    return this.#used === 0 ? this.capacity : this.#used;
  }

  /**
   * Adds a message.
   *
   * @param level SOL_SOCKET, IPPROTO_IP and the like.
   * @param type SCM_RIGHTS, IP_PKTINFO and the like: what the level knows.
   * @throws RangeError `ERR_URING_ARG_VALUE` where the room does not suffice; TypeError `ERR_URING_ARG_TYPE`.
   */
  add(level: number, type: number, data: Uint8Array): this {
    if (!(data instanceof Uint8Array)) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot send ${describe(data)} in a control message: pass a Uint8Array`);
    }
    const end = this.#used + HEADER_BYTES + data.length;
    if (end > this.capacity) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot add a control message of ${data.length} bytes: ${this.capacity - this.#used} are left, its header included`,
      );
    }
    this.#view.setBigUint64(this.#used, BigInt(HEADER_BYTES + data.length), true);
    this.#view.setInt32(this.#used + LEVEL_OFFSET, level, true);
    this.#view.setInt32(this.#used + TYPE_OFFSET, type, true);
    this.bytes.set(data, this.#used + HEADER_BYTES);
    this.#used = Math.min(align(end), this.capacity);
    return this;
  }

  /** Passes descriptors to the other end of a unix socket, 253 at the most. @throws as {@link add}. */
  addDescriptors(fds: readonly number[]): this {
    for (const fd of fds) checkFd(fd);
    return this.add(SOL_SOCKET, SCM_RIGHTS, new Uint8Array(Int32Array.from(fds).buffer));
  }

  /** Says from which IPv4 address, or through which interface, a datagram leaves. @throws as {@link add}. */
  addPacketInfo(interfaceIndex: number, source: readonly [number, number, number, number] = [0, 0, 0, 0]): this {
    checkCount("an interface's index", interfaceIndex);
    const data = new Uint8Array(12);
    new DataView(data.buffer).setUint32(0, interfaceIndex, true);
    data.set(source, 4);
    return this.add(IPPROTO_IP, IP_PKTINFO, data);
  }

  /** Forgets the messages: the room is empty again. */
  clear(): this {
    this.bytes.fill(0);
    this.#used = 0;
    return this;
  }

  /**
   * Calls `callback` for each of the messages that came, of which there are `length` bytes (`msg.controlLength`).
   *
   * @returns as {@link forEachControl}.
   */
  forEach(length: number, callback: ControlCallback): boolean {
    return forEachControl(this.bytes, 0, Math.min(length, this.capacity), callback);
  }
}

/** Called for a control message: its level, its type, and where its data begins and how much it is. */
export type ControlCallback = (level: number, type: number, start: number, length: number) => void;

/**
 * Calls `callback` for each control message in `length` bytes from `start` on: those of a {@link ControlMessages}, or of
 * a multishot receive ({@link RecvmsgOut.controlStart}). Allocates nothing.
 *
 * @returns false where the last one was cut short; it is not passed on.
 * @throws RangeError `ERR_URING_ARG_VALUE` for a range past `bytes`; and what the callback throws.
 */
export function forEachControl(bytes: Uint8Array, start: number, length: number, callback: ControlCallback): boolean {
  checkCallback(callback);
  if (!(start >= 0 && length >= 0 && start + length <= bytes.length)) {
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot read control messages from ${start} on: they end past the memory`);
  }
  const end = start + length;
  let at = start;
  while (at + HEADER_BYTES <= end) {
    const messageBytes = int32At(bytes, at) >>> 0;
    if (messageBytes < HEADER_BYTES || int32At(bytes, at + 4) !== 0 || at + messageBytes > end) return false;
    const level = int32At(bytes, at + LEVEL_OFFSET);
    const type = int32At(bytes, at + TYPE_OFFSET);
    callback(level, type, at + HEADER_BYTES, messageBytes - HEADER_BYTES);
    at += align(messageBytes);
  }
  return at >= end;
}

/** The descriptors that an SCM_RIGHTS message brought. They are open: whoever gets them must close them. */
export function controlDescriptors(bytes: Uint8Array, start: number, length: number): number[] {
  const fds: number[] = [];
  for (let at = start; at + 4 <= start + length; at += 4) fds.push(int32At(bytes, at));
  return fds;
}

/**
 * The time in a timestamp message, in nanoseconds: SO_TIMESTAMP, SO_TIMESTAMPNS, or of SO_TIMESTAMPING the first of its
 * three that is set (software, then hardware).
 *
 * @returns undefined where `type` is none of these or no time is set.
 */
export function controlTimestamp(bytes: Uint8Array, type: number, start: number, length: number): bigint | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, length);
  const timeAt = (at: number, unit: bigint): bigint =>
    view.getBigInt64(at, true) * 1_000_000_000n + view.getBigInt64(at + 8, true) * unit;
  if (type === SO_TIMESTAMP && length >= 16) return timeAt(0, 1000n);
  if (type === SO_TIMESTAMPNS && length >= 16) return timeAt(0, 1n);
  if (type !== SO_TIMESTAMPING) return undefined;
  for (let at = 0; at + 16 <= length; at += 16) {
    const time = timeAt(at, 1n);
    if (time !== 0n) return time;
  }
  return undefined;
}

/** Which interface and which local address a datagram came in by. */
export interface PacketInfo {
  /** The interface's index. */
  readonly interfaceIndex: number;
  /** The address it was sent to: 4 bytes, or 16 of IPv6. */
  readonly destination: Uint8Array;
}

/** What an IP_PKTINFO or IPV6_PKTINFO message says; undefined for another one. */
export function controlPacketInfo(
  bytes: Uint8Array,
  level: number,
  type: number,
  start: number,
  length: number,
): PacketInfo | undefined {
  if (level === IPPROTO_IP && type === IP_PKTINFO && length >= 12) {
    // struct in_pktinfo: interface, local address, destination address.
    return { interfaceIndex: int32At(bytes, start), destination: bytes.slice(start + 8, start + 12) };
  }
  if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO && length >= 20) {
    // struct in6_pktinfo: address, interface.
    return { interfaceIndex: int32At(bytes, start + 16), destination: bytes.slice(start, start + 16) };
  }
  return undefined;
}

/** @internal A 32-bit number at any offset, aligned or not. */
export function int32At(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
