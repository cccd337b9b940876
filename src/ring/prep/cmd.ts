/** Commands to a file's driver: sockets, block devices, and whatever takes commands of its own. */
import {
  BLOCK_URING_CMD_DISCARD,
  BLOCK_URING_CMD_ZONE_RESET_ALL,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  IORING_URING_CMD_FIXED,
  IORING_URING_CMD_MULTISHOT,
  IOSQE_BUFFER_SELECT,
  SOCKET_URING_OP_GETSOCKNAME,
  SOCKET_URING_OP_TX_TIMESTAMP,
} from "../../abi/constants.gen.ts";
import { SIZEOF_SOCKLEN } from "../../abi/linux.ts";
import { describe, rangeError, typeError } from "../../errors.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkFd, checkU16, checkU32, checkU64 } from "./check.ts";
import { type Slot, SQE_ADDR, SQE_ADDR3, SQE_BUF_INDEX, SQE_FILE_INDEX, SQE_FLAGS_SHIFT } from "./slot.ts";

/** Words that the second half of a 128-byte entry adds. */
const HALF_WORDS = 16;

/**
 * Sends the command `cmdOp` of the file's driver, with up to 16 bytes of `command` (80 on a ring of 128-byte entries)
 * copied into the entry and the rest zero. The meaning of the bytes, of memory that they name and of `res` is the
 * driver's affair.
 *
 * @param memory goes into the entry's `addr`, and `len` or else its length in bytes into the entry's `len`: for drivers
 * that look there, FUSE's among them, whose `len` counts iovecs. To others it means nothing, and is a place for what
 * their bytes name, which must live until the completion.
 * @kernel 5.19
 * @man io_uring_prep_uring_cmd(3)
 */
export function prepUringCmd(
  sqe: Slot,
  cmdOp: number,
  fd: number,
  command: Uint8Array | null = null,
  memory: Memory | null = null,
  len?: number,
): void {
  writeWithMemory(sqe, IORING_OP_URING_CMD, fd, cmdOp, command, memory, len);
}

/**
 * {@link prepUringCmd} with up to 80 bytes of `command`, in an entry of 128 bytes, on a ring of such entries or of both
 * sizes. The meaning of `res` is the driver's affair.
 *
 * @throws Error `ERR_URING_STATE` where the entry has 64 bytes.
 * @kernel 6.19
 * @man io_uring_prep_uring_cmd128(3)
 */
export function prepUringCmd128(
  sqe: Slot,
  cmdOp: number,
  fd: number,
  command: Uint8Array | null = null,
  memory: Memory | null = null,
  len?: number,
): void {
  sqe.needWide();
  writeWithMemory(sqe, IORING_OP_URING_CMD128, fd, cmdOp, command, memory, len);
}

/**
 * {@link prepUringCmd} on the registered buffer `bufIndex`, which must stay registered until the completion. The
 * meaning of `res` is the driver's affair.
 *
 * @kernel 6.1
 * @man io_uring_enter(2)
 */
export function prepUringCmdFixed(
  sqe: Slot,
  cmdOp: number,
  fd: number,
  bufIndex: number,
  command: Uint8Array | null = null,
): void {
  checkU16("registered buffer's index", bufIndex);
  checkCommand(sqe, fd, cmdOp, command);
  writeCommand(sqe, IORING_OP_URING_CMD, fd, cmdOp, IORING_URING_CMD_FIXED);
  copyCommand(sqe, command);
  sqe.set(SQE_BUF_INDEX, bufIndex);
}

/**
 * {@link prepUringCmd} that completes again and again, each time with a buffer of the provided group `bufGroup`. Sets
 * `bufferSelect` itself. A completion without IORING_CQE_F_MORE is the last; the meaning of `res` is the driver's
 * affair.
 *
 * @kernel 6.18
 * @man io_uring_enter(2)
 */
export function prepUringCmdMultishot(
  sqe: Slot,
  cmdOp: number,
  fd: number,
  bufGroup: number,
  command: Uint8Array | null = null,
): void {
  checkU16("buffer group", bufGroup);
  checkCommand(sqe, fd, cmdOp, command);
  const opcode = IORING_OP_URING_CMD | (IOSQE_BUFFER_SELECT << SQE_FLAGS_SHIFT);
  writeCommand(sqe, opcode, fd, cmdOp, IORING_URING_CMD_MULTISHOT);
  copyCommand(sqe, command);
  sqe.set(SQE_BUF_INDEX, bufGroup);
}

/**
 * A socket command, SOCKET_URING_OP_* as `cmdOp`: bytes waiting in either direction (SIOCINQ, SIOCOUTQ: `res` is their
 * number), or an option read (GETSOCKOPT, of SOL_SOCKET only: `res` is its length) or set (SETSOCKOPT: `res` is 0).
 * `optval` must live until the completion.
 *
 * @kernel 6.5
 * @man io_uring_prep_cmd_sock(3)
 */
export function prepCmdSock(
  sqe: Slot,
  cmdOp: number,
  fd: number,
  level: number = 0,
  optname: number = 0,
  optval: Memory | null = null,
  optlen?: number,
): void {
  checkU32("command", cmdOp);
  checkFd(fd);
  checkU32("option level", level);
  checkU32("option name", optname);
  const address = optval === null ? 0 : addressOf(optval);
  const length = lengthOf(optval ?? 0, optlen);
  writeCommand(sqe, IORING_OP_URING_CMD, fd, cmdOp, 0);
  sqe.set(SQE_ADDR, level);
  sqe.set(SQE_ADDR + 1, optname);
  sqe.set(SQE_FILE_INDEX, length);
  sqe.write64(SQE_ADDR3, address);
}

/**
 * getsockname(2), or with `peer` 1 getpeername(2): stores the socket's own or its peer's address in `sockaddr` and its
 * length in `sockaddrLen`, a 32-bit number that says beforehand how much room there is. Both must live until the
 * completion. `res` is 0.
 *
 * @kernel 6.19
 * @man io_uring_prep_cmd_getsockname(3)
 */
export function prepCmdGetsockname(
  sqe: Slot,
  fd: number,
  sockaddr: Memory,
  sockaddrLen: Memory,
  peer: number = 0,
): void {
  checkFd(fd);
  checkU32("peer", peer);
  const address = addressOf(sockaddr);
  const lengthAddress = addressOfStruct("address length", sockaddrLen, SIZEOF_SOCKLEN);
  writeCommand(sqe, IORING_OP_URING_CMD, fd, SOCKET_URING_OP_GETSOCKNAME, 0);
  sqe.write64(SQE_ADDR, address);
  sqe.set(SQE_FILE_INDEX, peer);
  sqe.write64(SQE_ADDR3, lengthAddress);
}

/**
 * Delivers the transmit timestamps of a socket that SO_TIMESTAMPING has turned on, until cancellation or an error, on a
 * ring with 32-byte completions. In each, `res` is the packet's key, IORING_CQE_F_TSTAMP_HW tells hardware from
 * software, the bits above IORING_TIMESTAMP_TYPE_SHIFT the kind, and the second half has a struct io_timespec.
 *
 * @kernel 6.17
 * @man io_uring_enter(2)
 */
export function prepCmdTxTimestamp(sqe: Slot, fd: number): void {
  checkFd(fd);
  writeCommand(sqe, IORING_OP_URING_CMD, fd, SOCKET_URING_OP_TX_TIMESTAMP, 0);
}

/**
 * Discards `nbytes` of a block device from `offset` on, as the ioctl BLKDISCARD does. `res` is 0.
 *
 * @kernel 6.12
 * @man io_uring_prep_cmd_discard(3)
 */
export function prepCmdDiscard(sqe: Slot, fd: number, offset: number | bigint, nbytes: number | bigint): void {
  checkFd(fd);
  checkU64("device offset", offset);
  checkU64("length", nbytes);
  writeCommand(sqe, IORING_OP_URING_CMD, fd, BLOCK_URING_CMD_DISCARD, 0);
  sqe.write64(SQE_ADDR, offset);
  sqe.write64(SQE_ADDR3, nbytes);
}

/**
 * Resets the write pointers of all zones of a zoned block device: what was written to it is gone. `res` is 0.
 *
 * @kernel 7.3
 * @man io_uring_prep_cmd_zone_reset_all(3)
 */
export function prepCmdZoneResetAll(sqe: Slot, fd: number): void {
  checkFd(fd);
  writeCommand(sqe, IORING_OP_URING_CMD, fd, BLOCK_URING_CMD_ZONE_RESET_ALL, 0);
}

function checkCommand(sqe: Slot, fd: number, cmdOp: number, command: Uint8Array | null): void {
  checkFd(fd);
  checkU32("command", cmdOp);
  if (command === null) return;
  if (!(command instanceof Uint8Array)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(command)} as command bytes: it is no Uint8Array`);
  }
  const room = sqe.wide ? 80 : 16;
  if (command.length > room) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot send a command of ${command.length} bytes: an entry of ${sqe.wide ? 128 : 64} bytes has room for ${room}`,
    );
  }
}

/** Everything but the command's own bytes, which end up zero. */
function writeCommand(
  sqe: Slot,
  opcode: number,
  fd: number,
  cmdOp: number,
  flags: number,
  address: number = 0,
  length: number = 0,
): void {
  sqe.write(opcode, fd, cmdOp >>> 0, address, length, flags);
  // A driver on a ring of 128-byte entries sees all 80 bytes.
  if (sqe.wide) sqe.words.fill(0, sqe.at + HALF_WORDS, sqe.at + 2 * HALF_WORDS);
}

/** A whole command of the file's driver, which may look for memory in the entry. */
function writeWithMemory(
  sqe: Slot,
  opcode: number,
  fd: number,
  cmdOp: number,
  command: Uint8Array | null,
  memory: Memory | null,
  len: number | undefined,
): void {
  const address = memory === null ? 0 : addressOf(memory);
  const length = lengthOf(memory ?? 0, len);
  checkCommand(sqe, fd, cmdOp, command);
  writeCommand(sqe, opcode, fd, cmdOp, 0, address, length);
  copyCommand(sqe, command);
}

function copyCommand(sqe: Slot, command: Uint8Array | null): void {
  if (command === null) return;
  for (let i = 0; i < command.length; i += 4) {
    // Bytes past the command's end read as undefined, which the operators take as 0.
    const word =
      (command[i] as number) |
      ((command[i + 1] as number) << 8) |
      ((command[i + 2] as number) << 16) |
      ((command[i + 3] as number) << 24);
    sqe.set(SQE_ADDR3 + (i >> 2), word);
  }
}
