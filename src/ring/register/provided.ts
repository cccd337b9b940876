/** Rings of provided buffers, as the kernel registers them. {@link BufferRing} is the comfortable way to have one. */
import { EEXIST, EINVAL, ENOENT } from "../../abi/errno.gen.ts";
import {
  IORING_REGISTER_PBUF_RING,
  IORING_REGISTER_PBUF_STATUS,
  IORING_UNREGISTER_PBUF_RING,
  IOU_PBUF_RING_MMAP,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_BUF_REG_OFF_BGID,
  IO_URING_BUF_REG_OFF_FLAGS,
  IO_URING_BUF_REG_SIZE,
  IO_URING_BUF_REG_WORD_MIN_LEFT,
  IO_URING_BUF_REG_WORD_RING_ADDR,
  IO_URING_BUF_REG_WORD_RING_ENTRIES,
  IO_URING_BUF_SIZE,
  IO_URING_BUF_STATUS_SIZE,
  IO_URING_BUF_STATUS_WORD_BUF_GROUP,
  IO_URING_BUF_STATUS_WORD_HEAD,
} from "../../abi/layout.gen.ts";
import { describe, rangeError, stateError } from "../../errors.ts";
import type { Memory } from "../../memory.ts";
import { addressOfStruct, checkCount, checkU16 } from "../prep/check.ts";
import { setU64 } from "../structs.ts";
import { FileRegistrations } from "./files.ts";
import { transientAddress } from "../transient.ts";

const MAX_ENTRIES = 32768;
const PAGE_BYTES = 4096;

/** What {@link Ring.registerBufRing} registers: struct io_uring_buf_reg. */
export interface BufRingRegistration {
  /** The buffer group, 0 to 65535. */
  group: number;
  /** How many entries the ring has: a power of two, 32768 at the most. */
  entries: number;
  /** Where the ring is: 16 bytes an entry, on a page's beginning. None where the kernel brings the memory. */
  memory?: Memory;
  /** IOU_PBUF_RING_*: MMAP (6.4) has the kernel bring the memory, INC (6.12) fills buffers piece by piece. */
  flags?: number;
  /** With INC: a buffer is done with when fewer bytes than this are left of it; 0 for the kernel's own 1. @kernel 7.1 */
  minLeft?: number;
}

/** @internal */
export abstract class ProvidedRegistrations extends FileRegistrations {
  /**
   * Registers a ring of provided buffers. Its memory is the caller's, to be kept until {@link unregisterBufRing} or the
   * ring is closed, and to be filled as the kernel wants it: {@link BufferRing} does both.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for sizes that cannot be; UringError EEXIST for a group that is in use,
   * EINVAL where the kernel has no such rings, ENOMEM.
   * @kernel 5.19
   * @man io_uring_register_buf_ring(3)
   */
  registerBufRing(registration: BufRingRegistration): void {
    const { group, entries, flags = 0, minLeft = 0 } = registration;
    checkU16("buffer group", group);
    checkEntries(entries);
    checkU16("buffer ring flags", flags);
    checkCount("minLeft", minLeft);
    if ((flags & IOU_PBUF_RING_MMAP) !== 0 && this.indexOnly) {
      throw stateError("ERR_URING_STATE", "Cannot map the kernel's buffer ring: the ring has no descriptor");
    }
    const words = new Int32Array(IO_URING_BUF_REG_SIZE / 4);
    const halves = new Uint16Array(words.buffer);
    setU64(words, IO_URING_BUF_REG_WORD_RING_ADDR, queueAddress(registration));
    words[IO_URING_BUF_REG_WORD_RING_ENTRIES] = entries;
    halves[IO_URING_BUF_REG_OFF_BGID / 2] = group;
    halves[IO_URING_BUF_REG_OFF_FLAGS / 2] = flags;
    words[IO_URING_BUF_REG_WORD_MIN_LEFT] = minLeft;
    this.call("IORING_REGISTER_PBUF_RING", IORING_REGISTER_PBUF_RING, transientAddress(words), 1, {
      [EEXIST]: `buffer group ${group} is registered already`,
      [EINVAL]:
        "this kernel has no buffer rings (5.19), no kernel-mapped ones (6.4), no incremental ones (6.12) or no minLeft " +
        "(7.1)",
    });
  }

  /**
   * Takes a ring of provided buffers back. Requests that wait for a buffer of the group end with -ENOBUFS.
   *
   * @throws UringError ENOENT for a group that has none, EINVAL where older kernels say that so.
   * @kernel 5.19
   * @man io_uring_unregister_buf_ring(3)
   */
  unregisterBufRing(group: number): void {
    checkU16("buffer group", group);
    const words = new Int32Array(IO_URING_BUF_REG_SIZE / 4);
    new Uint16Array(words.buffer)[IO_URING_BUF_REG_OFF_BGID / 2] = group;
    this.call("IORING_UNREGISTER_PBUF_RING", IORING_UNREGISTER_PBUF_RING, transientAddress(words), 1, {
      [ENOENT]: `buffer group ${group} is not registered`,
      // Kernel: 6.1 says this of a group that was registered before.
      [EINVAL]: `buffer group ${group} is not registered, or this kernel has no buffer rings (5.19)`,
    });
  }

  /**
   * How many entries of a buffer ring the kernel has taken so far, modulo 65536: those from here to the tail are free.
   *
   * @throws UringError ENOENT for a group that is not registered, EINVAL where it is no ring or before 6.8.
   * @kernel 6.8
   * @man io_uring_buf_ring_head(3)
   */
  bufRingHead(group: number): number {
    checkU16("buffer group", group);
    const words = new Int32Array(IO_URING_BUF_STATUS_SIZE / 4);
    words[IO_URING_BUF_STATUS_WORD_BUF_GROUP] = group;
    this.call("IORING_REGISTER_PBUF_STATUS", IORING_REGISTER_PBUF_STATUS, transientAddress(words), 1, {
      [ENOENT]: `buffer group ${group} is not registered`,
      [EINVAL]: `buffer group ${group} is no ring, or this kernel does not tell (6.8)`,
    });
    return (words[IO_URING_BUF_STATUS_WORD_HEAD] as number) & 0xffff;
  }
}

function checkEntries(entries: number): void {
  checkCount("a number of buffers", entries);
  if (entries >= 1 && entries <= MAX_ENTRIES && (entries & (entries - 1)) === 0) return;
  throw rangeError(
    "ERR_URING_ARG_VALUE",
    `Cannot make a buffer ring of ${entries} entries: it must be a power of two from 1 to ${MAX_ENTRIES}`,
  );
}

function queueAddress({ memory, entries, flags = 0 }: BufRingRegistration): number {
  const kernels = (flags & IOU_PBUF_RING_MMAP) !== 0;
  if (kernels !== (memory === undefined)) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot register a buffer ring: ${kernels ? "with IOU_PBUF_RING_MMAP the kernel brings" : "pass"} its memory`,
    );
  }
  if (memory === undefined) return 0;
  const address = addressOfStruct("a buffer ring", memory, entries * IO_URING_BUF_SIZE);
  if (address !== 0 && address % PAGE_BYTES === 0) return address;
  throw rangeError(
    "ERR_URING_ARG_VALUE",
    `Cannot register a buffer ring at address ${describe(address)}: it must begin where a page does`,
  );
}
