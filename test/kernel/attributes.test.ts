// What reads and writes can carry beside their data: protection information, placement hints.
import { expect } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EFAULT,
  EINVAL,
  IO_INTEGRITY_CHK_APPTAG,
  IO_INTEGRITY_CHK_GUARD,
  IORING_FEAT_RW_ATTR,
  IORING_RW_ATTR_FLAG_PI,
  Mapping,
  Ring,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { needs, needsThat } from "../support/kernel.ts";

const directory = scratchDirectory();

/** struct io_uring_attr_pi: flags, application tag, length, address, seed, a reserved word. */
function protection(flags: number, applicationTag: number, information: Uint8Array, address: number): Uint8Array {
  const attr = new Uint8Array(32);
  const view = new DataView(attr.buffer);
  view.setUint16(0, flags, true);
  view.setUint16(2, applicationTag, true);
  view.setUint32(4, information.length, true);
  view.setBigUint64(8, BigInt(address), true);
  return attr;
}

needs("IORING_FEAT_RW_ATTR")("a read or write takes its attribute from where the entry says", () => {
  using ring = new Ring(8);
  expect(ring.hasFeature(IORING_FEAT_RW_ATTR)).toBe(true);
  const path = join(directory, "plain");
  writeFileSync(path, pattern(4096));
  const fd = openSync(path, "r+");
  const buffer = new Uint8Array(512);
  // Nothing is mapped at 1: the kernel has looked there.
  ring.prepReadPi(fd, buffer, 0, 1);
  expect(complete(ring)).toBe(-EFAULT);
  ring.prepWritePi(fd, buffer, 0, 1);
  expect(complete(ring)).toBe(-EFAULT);
  // A file without protection information refuses it, and nothing is written.
  const memory = Mapping.anonymous(4096);
  const attr = protection(IO_INTEGRITY_CHK_GUARD, 0, memory.bytes.subarray(0, 8), memory.address);
  ring.prepWrite(fd, buffer, 0).attrPi(attr);
  expect(complete(ring)).toBe(-EINVAL);
  expect(readFileSync(path).equals(pattern(4096))).toBe(true);
  expect(() => ring.prepRead(fd, buffer, 0).attrPi(new Uint8Array(8))).toThrow(RangeError);
  expect(ring.sqReady()).toBe(0);
  expect(IORING_RW_ATTR_FLAG_PI).toBe(1);
  closeSync(fd);
  ring.close();
  memory.close();
});

/** The CRC of T10 protection information. */
function guardOf(block: Uint8Array): number {
  let crc = 0;
  for (const byte of block) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? ((crc << 1) ^ 0x8bb7) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** A block device formatted with protection information, whose content may be destroyed; named by who runs the test. */
const protectedDevice = process.env["URING_TEST_PI_DEVICE"];

const protectedWrites =
  protectedDevice === undefined
    ? needsThat(false, "a scratch block device with protection information named by URING_TEST_PI_DEVICE")
    : needs("IORING_FEAT_RW_ATTR");

protectedWrites("protection information is written with the data and read back", () => {
  using ring = new Ring(8);
  // O_DIRECT: protection information goes past the page cache.
  const fd = openSync(protectedDevice as string, 0o40002);
  const memory = Mapping.anonymous(4 * 4096);
  const block = memory.bytes.subarray(0, 512);
  block.set(pattern(512, 3));
  const information = memory.bytes.subarray(4096, 4096 + 8);
  const view = new DataView(information.buffer, information.byteOffset, 8);
  // Guard and application tag, then the reference tag: the block's number. All big-endian.
  view.setUint16(0, guardOf(block));
  view.setUint16(2, 0xabcd);
  view.setUint32(4, 0);
  const flags = IO_INTEGRITY_CHK_GUARD | IO_INTEGRITY_CHK_APPTAG;
  const attr = protection(flags, 0xabcd, information, memory.address + 4096);
  ring.prepWritePi(fd, block, 0, attr);
  expect(complete(ring)).toBe(512);
  const written = Buffer.from(information);
  block.fill(0);
  information.fill(0);
  ring.prepReadPi(fd, block, 0, attr);
  expect(complete(ring)).toBe(512);
  expect(Buffer.from(block).equals(pattern(512, 3))).toBe(true);
  expect(Buffer.from(information)).toEqual(written);
  // A wrong tag is noticed before anything is written. (A wrong guard is not by every device: QEMU's takes it.)
  view.setUint16(2, 0x1111);
  ring.prepWritePi(fd, block, 0, attr);
  expect(complete(ring)).toBeLessThan(0);
  closeSync(fd);
  ring.close();
  memory.close();
});

needs("IORING_OP_PIPE")("a write with a placement hint writes its data, whether or not the file heeds it", () => {
  using ring = new Ring(8);
  const path = join(directory, "hinted");
  writeFileSync(path, "");
  const fd = openSync(path, "r+");
  const data = pattern(5000, 7);
  ring.prepWriteStream(fd, data, 0, 3);
  const res = complete(ring);
  // A file system that knows streams refuses one past those that its device has.
  if (res === -EINVAL) {
    ring.prepWrite(fd, data, 0).writeStream(0);
    expect(complete(ring)).toBe(5000);
  } else expect(res).toBe(5000);
  expect(readFileSync(path).equals(data)).toBe(true);
  expect(() => ring.prepWrite(fd, data, 0).writeStream(256)).toThrow(RangeError);
  expect(ring.sqReady()).toBe(0);
  closeSync(fd);
});
