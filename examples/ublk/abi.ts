/**
 * What this program and the ublk driver say to each other, with the names of <linux/ublk_cmd.h>. Every number is
 * little-endian here, as io_uring's Bun runs on nothing else.
 */

/** `_IOC()` of a command of the driver's, whose type is 'u'. */
function encoded(direction: number, number: number, bytes: number): number {
  return ((direction << 30) | (bytes << 16) | (0x75 << 8) | number) >>> 0;
}

const READS = 2;
const READS_AND_WRITES = 3;
const SIZEOF_CTRL_CMD = 32;
const SIZEOF_IO_CMD = 16;

// ---- Commands to /dev/ublk-control

export const UBLK_U_CMD_GET_DEV_INFO: number = encoded(READS, 0x02, SIZEOF_CTRL_CMD);
export const UBLK_U_CMD_ADD_DEV: number = encoded(READS_AND_WRITES, 0x04, SIZEOF_CTRL_CMD);
export const UBLK_U_CMD_DEL_DEV: number = encoded(READS_AND_WRITES, 0x05, SIZEOF_CTRL_CMD);
export const UBLK_U_CMD_START_DEV: number = encoded(READS_AND_WRITES, 0x06, SIZEOF_CTRL_CMD);
export const UBLK_U_CMD_STOP_DEV: number = encoded(READS_AND_WRITES, 0x07, SIZEOF_CTRL_CMD);
export const UBLK_U_CMD_SET_PARAMS: number = encoded(READS_AND_WRITES, 0x08, SIZEOF_CTRL_CMD);

// ---- Commands to /dev/ublkcN

export const UBLK_U_IO_FETCH_REQ: number = encoded(READS_AND_WRITES, 0x20, SIZEOF_IO_CMD);
export const UBLK_U_IO_COMMIT_AND_FETCH_REQ: number = encoded(READS_AND_WRITES, 0x21, SIZEOF_IO_CMD);

// ---- What a fetch completes with

/** There is a request. */
export const UBLK_IO_RES_OK = 0;
/** There will be no more: the device is gone. -ENODEV. */
export const UBLK_IO_RES_ABORT = -19;

// ---- Requests

export const UBLK_IO_OP_READ = 0;
export const UBLK_IO_OP_WRITE = 1;
export const UBLK_IO_OP_FLUSH = 2;
export const UBLK_IO_OP_DISCARD = 3;
export const UBLK_IO_OP_WRITE_ZEROES = 5;
/** Zeros are to be written: a hole will not do. */
export const UBLK_IO_F_NOUNMAP: number = 1 << 15;

// ---- Limits and places

export const UBLK_MAX_QUEUE_DEPTH = 4096;
/** sizeof(struct ublksrv_io_desc). */
export const SIZEOF_IO_DESC = 24;
/** From one queue's descriptors to the next one's, where /dev/ublkcN is mapped: room for the deepest queue. */
export const DESCRIPTORS_STRIDE: number = UBLK_MAX_QUEUE_DEPTH * SIZEOF_IO_DESC;
/** The driver's sector, in which it counts whatever the block's size is. */
export const SECTOR = 512;

// ---- States of a device

export const UBLK_S_DEV_DEAD = 0;
export const UBLK_S_DEV_LIVE = 1;
export const UBLK_S_DEV_QUIESCED = 2;
export const UBLK_S_DEV_FAIL_IO = 3;

/** Stands for the first free number of a device. */
export const ANY_DEVICE = -1;

/** What a command to /dev/ublk-control carries besides its device. */
export interface CtrlArguments {
  /** Memory that it reads or writes. */
  readonly address?: number;
  readonly length?: number;
  /** A number of its own. */
  readonly data?: number;
}

/** struct ublksrv_ctrl_cmd. */
export function ctrlCmd(device: number, { address = 0, length = 0, data = 0 }: CtrlArguments = {}): Uint8Array {
  const view = new DataView(new ArrayBuffer(SIZEOF_CTRL_CMD));
  view.setInt32(0, device, true);
  // Commands that are about no single queue say so.
  view.setUint16(4, 0xffff, true);
  view.setUint16(6, length, true);
  view.setBigUint64(8, BigInt(address), true);
  view.setBigUint64(16, BigInt(data), true);
  return new Uint8Array(view.buffer);
}

/** struct ublksrv_io_cmd: which request of which queue, and the memory for the next one's data. */
export function ioCmd(queue: number, tag: number, address: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(SIZEOF_IO_CMD));
  view.setUint16(0, queue, true);
  view.setUint16(2, tag, true);
  view.setBigUint64(8, BigInt(address), true);
  return new Uint8Array(view.buffer);
}

/** The word of struct ublksrv_io_cmd that has a request's result. */
export const IO_CMD_WORD_RESULT = 1;

/** sizeof(struct ublksrv_ctrl_dev_info). */
export const SIZEOF_DEV_INFO = 64;

/** The fields of struct ublksrv_ctrl_dev_info that this program uses. */
export interface DevInfo {
  readonly queues: number;
  readonly depth: number;
  readonly state: number;
  /** The most bytes of one request. */
  readonly maxIoBytes: number;
  readonly id: number;
  /** The process that serves it; -1 if none does. */
  readonly pid: number;
}

/** Writes the wishes for a new device. */
export function writeDevInfo(into: Uint8Array, wishes: Pick<DevInfo, "id" | "queues" | "depth" | "maxIoBytes">): void {
  const view = viewOf(into);
  into.fill(0, 0, SIZEOF_DEV_INFO);
  view.setUint16(0, wishes.queues, true);
  view.setUint16(2, wishes.depth, true);
  view.setUint32(8, wishes.maxIoBytes, true);
  view.setInt32(12, wishes.id, true);
}

/** Reads what the driver says of a device. */
export function readDevInfo(from: Uint8Array): DevInfo {
  const view = viewOf(from);
  return {
    queues: view.getUint16(0, true),
    depth: view.getUint16(2, true),
    state: view.getUint16(4, true),
    maxIoBytes: view.getUint32(8, true),
    id: view.getInt32(12, true),
    pid: view.getInt32(16, true),
  };
}

const UBLK_PARAM_TYPE_BASIC = 1 << 0;
const UBLK_PARAM_TYPE_DISCARD = 1 << 1;
const UBLK_ATTR_READ_ONLY = 1 << 0;
const UBLK_ATTR_VOLATILE_CACHE = 1 << 2;

/** struct ublk_params as far as its part about discarding. */
export const SIZEOF_PARAMS = 60;

/** What kind of disk a device is. */
export interface DiskParams {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  /** The most bytes of one request that carries data. */
  readonly maxIoBytes: number;
  readonly readOnly: boolean;
  /** Whether what was written may be lost in a power failure unless it is flushed. */
  readonly volatileCache: boolean;
}

/** What can be punched out of a file or given back of memory: whole pages. */
const DISCARD_GRANULARITY = 4096;
const PAGE_SHIFT = 12;
/** The most sectors that one request discards or zeroes: a gigabyte. */
const MAX_DISCARD_SECTORS = 2 ** 30 / SECTOR;

/** Writes struct ublk_params. */
export function writeParams(into: Uint8Array, disk: DiskParams): void {
  const view = viewOf(into);
  into.fill(0, 0, SIZEOF_PARAMS);
  view.setUint32(0, SIZEOF_PARAMS, true);
  view.setUint32(4, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD, true);
  const readOnly = disk.readOnly ? UBLK_ATTR_READ_ONLY : 0;
  view.setUint32(8, readOnly | (disk.volatileCache ? UBLK_ATTR_VOLATILE_CACHE : 0), true);
  // Powers of two: the logical block, the physical one, the best and the least size of a request.
  view.setUint8(12, Math.log2(disk.blockBytes));
  for (const at of [13, 14, 15]) view.setUint8(at, PAGE_SHIFT);
  view.setUint32(16, disk.maxIoBytes / SECTOR, true);
  view.setBigUint64(24, BigInt(disk.sizeBytes / SECTOR), true);
  view.setUint32(44, DISCARD_GRANULARITY, true);
  view.setUint32(48, disk.readOnly ? 0 : MAX_DISCARD_SECTORS, true);
  view.setUint32(52, disk.readOnly ? 0 : MAX_DISCARD_SECTORS, true);
  // The driver takes no other number of stretches in one request.
  view.setUint16(56, 1, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
