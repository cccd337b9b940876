/** Commands as the nvme driver takes them, with the names of <linux/nvme_ioctl.h> and of the NVMe specification. */

/** sizeof(struct nvme_uring_cmd). */
const SIZEOF_URING_CMD = 72;

/** `_IOWR('N', number, struct nvme_uring_cmd)`. */
function encoded(number: number): number {
  return ((3 << 30) | (SIZEOF_URING_CMD << 16) | (0x4e << 8) | number) >>> 0;
}

/** A command for a namespace, to /dev/ngXnY. */
export const NVME_URING_CMD_IO: number = encoded(0x80);
/** A command for the controller, to /dev/nvmeX. */
export const NVME_URING_CMD_ADMIN: number = encoded(0x82);

// Opcodes for namespaces.
export const NVME_CMD_FLUSH = 0x00;
export const NVME_CMD_WRITE = 0x01;
export const NVME_CMD_READ = 0x02;

/** The controller's opcode to tell of itself. */
export const NVME_ADMIN_IDENTIFY = 0x06;
/** What it is to tell of: a namespace, or the controller. */
export const NVME_ID_CNS_NS = 0x00;
export const NVME_ID_CNS_CTRL = 0x01;
/** How long either answer is. */
export const NVME_IDENTIFY_DATA_SIZE = 4096;

// In the word with the number of blocks: the controller is to add protection information and take it away again, and to
// check the data's sum and the block that the data says it belongs to.
const NVME_RW_PRINFO_PRACT = 1 << 29;
const NVME_RW_PRINFO_PRCHK_GUARD = 1 << 28;
const NVME_RW_PRINFO_PRCHK_REF = 1 << 26;
/** The type of protection whose data says nothing of its block. */
const NVME_NS_DPS_PI_TYPE3 = 3;

/** The most blocks of one command: their number has 16 bits and is one less. */
export const MAX_BLOCKS = 65536;

/** What a command is made of, as far as this program needs it. */
export interface Command {
  readonly opcode: number;
  readonly nsid?: number;
  /** Memory that the device reads or writes. */
  readonly address?: number;
  readonly length?: number;
  /** The command's words 10 to 12, and 14. */
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw14?: number;
}

/** struct nvme_uring_cmd. */
export function uringCmd(command: Command): Uint8Array {
  const { opcode, nsid = 0, address = 0, length = 0, cdw10 = 0, cdw11 = 0, cdw12 = 0, cdw14 = 0 } = command;
  const view = new DataView(new ArrayBuffer(SIZEOF_URING_CMD));
  view.setUint8(0, opcode);
  view.setUint32(4, nsid, true);
  view.setBigUint64(24, BigInt(address), true);
  view.setUint32(36, length, true);
  view.setUint32(40, cdw10, true);
  view.setUint32(44, cdw11, true);
  view.setUint32(48, cdw12, true);
  view.setUint32(56, cdw14, true);
  return new Uint8Array(view.buffer);
}

/** A read or a write of whole blocks. */
export interface Transfer {
  readonly opcode: number;
  readonly nsid: number;
  readonly lba: number;
  readonly blocks: number;
  readonly address: number;
  readonly length: number;
  /** The type of protection information that the controller is to take care of; 0 for none. */
  readonly protection: number;
}

/** The command for a read or a write. */
export function transferCmd(transfer: Transfer): Uint8Array {
  const { opcode, nsid, lba, blocks, address, length, protection } = transfer;
  const low = lba % 2 ** 32;
  const cdw12 = ((blocks - 1) | protectionBits(protection)) >>> 0;
  // The block that the data says it belongs to, where it says so, is the one that it is in.
  const own = protection === 0 || protection === NVME_NS_DPS_PI_TYPE3 ? {} : { cdw14: low };
  return uringCmd({ opcode, nsid, address, length, cdw10: low, cdw11: Math.floor(lba / 2 ** 32), cdw12, ...own });
}

function protectionBits(type: number): number {
  if (type === 0) return 0;
  const own = type === NVME_NS_DPS_PI_TYPE3 ? 0 : NVME_RW_PRINFO_PRCHK_REF;
  return NVME_RW_PRINFO_PRACT | NVME_RW_PRINFO_PRCHK_GUARD | own;
}
