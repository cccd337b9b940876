/** What a device answers to a command that it does not carry out. */

/** The low bits of a status: its code and, above it, the code's type. */
const CODE = 0x7ff;
/** It would be of no use to try again. */
const NVME_STATUS_DNR = 0x4000;

/** Statuses by type and code, with the names of the kernel's <linux/nvme.h> (NVME_SC_*) and in words. */
const statuses: Readonly<Record<number, readonly [string, string]>> = {
  0x001: ["INVALID_OPCODE", "the device does not know the command"],
  0x002: ["INVALID_FIELD", "the command asks for something that the device cannot do"],
  0x003: ["CMDID_CONFLICT", "the command's number is in use"],
  0x004: ["DATA_XFER_ERROR", "the data could not be transferred"],
  0x005: ["POWER_LOSS", "power is about to be lost"],
  0x006: ["INTERNAL", "the device failed within"],
  0x007: ["ABORT_REQ", "the command was aborted"],
  0x008: ["ABORT_QUEUE", "the command's queue was deleted"],
  0x00b: ["INVALID_NS", "there is no such namespace, or its format is another"],
  0x00c: ["CMD_SEQ_ERROR", "the commands came in the wrong order"],
  0x013: ["INVALID_PRP", "the address of the data cannot be used"],
  0x015: ["OP_DENIED", "the command is not allowed"],
  0x01c: ["SANITIZE_FAILED", "erasing the device has failed; only that can be tried again"],
  0x01d: ["SANITIZE_IN_PROGRESS", "the device is being erased"],
  0x020: ["NS_WRITE_PROTECTED", "the namespace is write-protected"],
  0x021: ["CMD_INTERRUPTED", "the command was interrupted; it can be tried again"],
  0x080: ["LBA_RANGE", "a block is past the end of the namespace"],
  0x081: ["CAP_EXCEEDED", "the namespace's capacity is used up"],
  0x082: ["NS_NOT_READY", "the namespace is not ready"],
  0x083: ["RESERVATION_CONFLICT", "another host has reserved the namespace"],
  0x084: ["FORMAT_IN_PROGRESS", "the namespace is being formatted"],
  0x109: ["INVALID_LOG_PAGE", "there is no such log"],
  0x10a: ["INVALID_FORMAT", "there is no such format"],
  0x180: ["BAD_ATTRIBUTES", "the command's attributes contradict each other"],
  0x181: ["INVALID_PI", "the protection information's settings cannot be"],
  0x182: ["READ_ONLY", "what is to be written can only be read"],
  0x1b8: ["ZONE_BOUNDARY_ERROR", "a zone's boundary is crossed"],
  0x1b9: ["ZONE_FULL", "the zone is full"],
  0x1ba: ["ZONE_READ_ONLY", "the zone can only be read"],
  0x1bb: ["ZONE_OFFLINE", "the zone is offline"],
  0x1bc: ["ZONE_INVALID_WRITE", "a zone can only be written where its last write ended"],
  0x280: ["WRITE_FAULT", "the medium failed at writing"],
  0x281: ["READ_ERROR", "the medium failed at reading"],
  0x282: ["GUARD_CHECK", "the data's checksum is wrong"],
  0x283: ["APPTAG_CHECK", "the data's application tag is wrong"],
  0x284: ["REFTAG_CHECK", "the data's reference tag is wrong: it belongs to another block"],
  0x285: ["COMPARE_FAILED", "the data differs"],
  0x286: ["ACCESS_DENIED", "access is denied"],
  0x287: ["UNWRITTEN_BLOCK", "the block was never written, or was discarded"],
};

const types = ["a generic status", "a status of the command", "a status of the medium", "a status of the path"];

/** The words for a status, as it comes in a completion's result: "LBA_RANGE (0x80), ...". */
export function statusMessage(status: number): string {
  const code = status & CODE;
  const [name, words] = statuses[code] ?? ["unknown", `${types[code >> 8] ?? "a status of the vendor's"}`];
  const hopeless = (status & NVME_STATUS_DNR) !== 0 ? "; the device says that trying again is of no use" : "";
  return `${name} (type ${code >> 8}, code 0x${(code & 0xff).toString(16)}): ${words}${hopeless}`;
}

/** A device that does not do what it was told to. */
export class DeviceError extends Error {
  /** The status, as it came. */
  readonly status: number;

  constructor(doing: string, status: number) {
    super(`cannot ${doing}: the device answers ${statusMessage(status)}`);
    this.status = status;
  }
}
