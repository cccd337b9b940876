/** A request to the disk, as the driver describes it. */
import { SECTOR, SIZEOF_IO_DESC } from "./abi.ts";

/** Words of struct ublksrv_io_desc. */
const WORDS = SIZEOF_IO_DESC / 4;
const OP_FLAGS = 0;
const NR_SECTORS = 1;
const START_SECTOR = 2;

/** One of a queue's requests. A queue has as many as it is deep and uses them again and again. */
export class Request {
  /** Which of the queue's requests it is. */
  readonly tag: number;
  /** Where its data is, or is to go: the kernel's number for it, and its place in the queue's memory. */
  readonly address: number;
  readonly place: number;
  /** UBLK_IO_OP_*. */
  op = 0;
  /** UBLK_IO_F_*. */
  flags = 0;
  /** Where on the disk, and how much of it, in bytes. */
  offset = 0;
  length = 0;
  /** How many bytes of its data have been moved. */
  done = 0;

  constructor(tag: number, address: number, place: number) {
    this.tag = tag;
    this.address = address;
    this.place = place;
  }

  /** Takes over what the driver wrote. */
  read(descriptors: Int32Array): void {
    const at = this.tag * WORDS;
    const word = (index: number): number => (descriptors[at + index] as number) >>> 0;
    this.op = word(OP_FLAGS) & 0xff;
    this.flags = word(OP_FLAGS) & ~0xff;
    this.length = word(NR_SECTORS) * SECTOR;
    this.offset = (word(START_SECTOR) + word(START_SECTOR + 1) * 2 ** 32) * SECTOR;
    this.done = 0;
  }
}
