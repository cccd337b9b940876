/**
 * What only NVMe disks have: reads and writes that are polled for, commands past the block layer, zones. The disks are
 * written over: who runs the tests names them.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { BLOCK_URING_CMD_ZONE_RESET_ALL, ENOTTY, Mapping, Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { complete } from "../support/complete.ts";
import { pattern } from "../support/files.ts";
import { type Declare, needs, needsThat } from "../support/kernel.ts";

const disk = process.env["URING_TEST_NVME_DEVICE"] ?? "";
const zoned = process.env["URING_TEST_ZONED_DEVICE"] ?? "";
const BLOCK = 512;

/** On a disk that the environment names, what the kernel has; without one, a skip that says so. */
function onDisk(device: string, variable: string, declare: () => Declare): Declare {
  return existsSync(device) ? declare() : needsThat(false, `an NVMe disk to be written over, named by ${variable}`);
}

const direct = constants.O_RDWR | constants.O_DIRECT;
const memory = Mapping.anonymous(64 * 1024);
afterAll(() => memory.close());

const polledRings: [string, RingOptions, () => Declare][] = [
  ["iopoll", { iopoll: true }, () => test],
  ["iopoll with sqpoll", { iopoll: true, sqpoll: true }, () => test],
  ["hybridIopoll", { iopoll: true, hybridIopoll: true }, () => needs("IORING_SETUP_HYBRID_IOPOLL")],
  [
    "iopoll with deferTaskrun",
    { iopoll: true, singleIssuer: true, deferTaskrun: true },
    () => needs("IORING_SETUP_DEFER_TASKRUN"),
  ],
];

for (const [name, options, declare] of polledRings) {
  onDisk(
    disk,
    "URING_TEST_NVME_DEVICE",
    declare,
  )(`on a ring that is ${name} what was written is read`, () => {
    const fd = openSync(disk, direct);
    using ring = new Ring(16, options);
    const data = pattern(8 * 4096, name.length);
    memory.bytes.fill(0);
    memory.bytes.set(data);
    for (let i = 0; i < 8; i++) ring.prepWrite(fd, memory.address + i * 4096, i * 65536, 4096).userData(i);
    expect(reapPolled(ring, 8)).toEqual(new Array(8).fill(4096));
    for (let i = 0; i < 8; i++) ring.prepRead(fd, memory.address + 32768 + i * 4096, i * 65536, 4096).userData(i);
    expect(reapPolled(ring, 8)).toEqual(new Array(8).fill(4096));
    expect(Buffer.from(memory.bytes.subarray(32768)).equals(data)).toBe(true);
    closeSync(fd);
  });
}

/** The results of `count` requests: a polled ring finds some, and then no others until those are reaped. */
function reapPolled(ring: Ring, count: number): number[] {
  const results: number[] = [];
  ring.submit();
  while (results.length < count && ring.waitCqes(1, 10_000) !== null) ring.forEachCqe(({ res }) => results.push(res));
  return results;
}

/** _IOWR('N', nr, struct nvme_uring_cmd). */
const command = (nr: number): number => (0xc0000000 | (72 << 16) | (0x4e << 8) | nr) >>> 0;
const NVME_URING_CMD_IO = command(0x80);
const NVME_URING_CMD_ADMIN = command(0x82);
const READ = 2;
const WRITE = 1;
const IDENTIFY = 6;

/** struct nvme_uring_cmd: what a command of the device is made of. */
function nvme(opcode: number, address: number, length: number, words: readonly number[], nsid = 1): Uint8Array {
  const bytes = new Uint8Array(72);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, opcode);
  view.setUint32(4, nsid, true);
  view.setBigUint64(24, BigInt(address), true);
  view.setUint32(36, length, true);
  words.forEach((word, i) => view.setUint32(40 + 4 * i, word, true));
  return bytes;
}

const controller = disk.replace(/n\d+$/, "");
const passthrough = disk.replace("/dev/nvme", "/dev/ng");

/** A read or write of whole blocks from block `at`. */
const transfer = (opcode: number, address: number, at: number, count: number): Uint8Array =>
  nvme(opcode, address, count * BLOCK, [at, 0, count - 1]);

const wide: RingOptions = { sqe128: true, cqe32: true };
const commandRings: [string, RingOptions, () => Declare][] = [
  ["sqe128 with cqe32", wide, () => needs("IORING_OP_URING_CMD")],
  ["sqe128 with cqe32 and deferTaskrun", { ...wide, modern: true }, () => needs("IORING_OP_URING_CMD")],
  ["sqe128 with cqe32 and sqpoll", { ...wide, sqpoll: true }, () => needs("IORING_OP_URING_CMD")],
  ["sqe128 with cqe32 and iopoll", { ...wide, iopoll: true }, () => needs("IORING_OP_URING_CMD")],
  ["sqeMixed with cqeMixed", { sqeMixed: true, cqeMixed: true }, () => needs("IORING_OP_URING_CMD128")],
];

describe("commands past the block layer", () => {
  for (const [name, options, declare] of commandRings) {
    const mixed = options.sqeMixed === true;
    const give = (ring: Ring, kind: number, fd: number, bytes: Uint8Array): void =>
      void (mixed ? ring.prepUringCmd128(kind, fd, bytes) : ring.prepUringCmd(kind, fd, bytes));

    onDisk(
      disk,
      "URING_TEST_NVME_DEVICE",
      declare,
    )(`write and read on a ring that is ${name}`, () => {
      const fd = openSync(passthrough, "r+");
      using ring = new Ring(4, options);
      const data = pattern(8 * BLOCK, name.length);
      memory.bytes.fill(0);
      memory.bytes.set(data);
      give(ring, NVME_URING_CMD_IO, fd, transfer(WRITE, memory.address, 100, 8));
      expect(reapPolled(ring, 1)).toEqual([0]);
      give(ring, NVME_URING_CMD_IO, fd, transfer(READ, memory.address + 32768, 100, 8));
      expect(reapPolled(ring, 1)).toEqual([0]);
      expect(Buffer.from(memory.bytes.subarray(32768, 32768 + 8 * BLOCK)).equals(data)).toBe(true);
      // Past the end of the disk: the device's own status comes back, not an errno.
      give(ring, NVME_URING_CMD_IO, fd, transfer(READ, memory.address, 0xfffffff0, 8));
      expect(reapPolled(ring, 1)[0]).toBeGreaterThan(0);
      closeSync(fd);
    });
  }

  const here = onDisk(disk, "URING_TEST_NVME_DEVICE", () => needs("IORING_OP_URING_CMD"));

  here("identify the controller and its namespace", () => {
    const fd = openSync(controller, "r+");
    using ring = new Ring(4, wide);
    ring.prepUringCmd(NVME_URING_CMD_ADMIN, fd, nvme(IDENTIFY, memory.address, 4096, [1], 0));
    expect(complete(ring)).toBe(0);
    const text = (from: number, to: number): string =>
      Buffer.from(memory.bytes.subarray(from, to)).toString("latin1").trim();
    expect(text(4, 24)).not.toBe("");
    expect(text(24, 64)).toMatch(/^[\x20-\x7e]+$/);
    ring.prepUringCmd(NVME_URING_CMD_ADMIN, fd, nvme(IDENTIFY, memory.address, 4096, [0], 1));
    expect(complete(ring)).toBe(0);
    const blocks = new DataView(memory.bytes.buffer, memory.bytes.byteOffset).getBigUint64(0, true);
    expect(Number(blocks)).toBeGreaterThan(0);
    closeSync(fd);
  });

  here("for the controller are no commands for a namespace", () => {
    const fd = openSync(passthrough, "r+");
    using ring = new Ring(4, wide);
    ring.prepUringCmd(NVME_URING_CMD_ADMIN, fd, nvme(IDENTIFY, memory.address, 4096, [1], 0));
    expect(complete(ring)).toBe(-ENOTTY);
    closeSync(fd);
  });

  here("work on registered memory", () => {
    const fd = openSync(passthrough, "r+");
    using ring = new Ring(4, wide);
    ring.registerBuffers([memory]);
    const data = pattern(BLOCK, 77);
    memory.bytes.set(data, 4096);
    ring.prepUringCmdFixed(NVME_URING_CMD_IO, fd, 0, transfer(WRITE, memory.address + 4096, 7, 1));
    expect(complete(ring)).toBe(0);
    ring.prepUringCmdFixed(NVME_URING_CMD_IO, fd, 0, transfer(READ, memory.address + 8192, 7, 1));
    expect(complete(ring)).toBe(0);
    expect(Buffer.from(memory.bytes.subarray(8192, 8192 + BLOCK)).equals(data)).toBe(true);
    closeSync(fd);
  });

  here("need entries of 128 bytes and completions of 32", () => {
    const fd = openSync(passthrough, "r+");
    using ring = new Ring(4);
    ring.prepUringCmd(NVME_URING_CMD_IO, fd, transfer(READ, memory.address, 0, 1).subarray(0, 16));
    expect(complete(ring)).toBeLessThan(0);
    closeSync(fd);
  });
});

/** Whether the disk's zones can be reset by a command to the block device. */
function resetsZones(): boolean {
  const fd = openSync(zoned, direct);
  using ring = new Ring(4);
  ring.prepCmdZoneResetAll(fd);
  const res = complete(ring);
  closeSync(fd);
  return res === 0;
}

const resets = onDisk(zoned, "URING_TEST_ZONED_DEVICE", () => needs("BLOCK_URING_CMD_ZONE_RESET_ALL", resetsZones));

resets("prepCmdZoneResetAll() lets a zone be written from its start again", () => {
  expect(BLOCK_URING_CMD_ZONE_RESET_ALL).toBeGreaterThan(0);
  const fd = openSync(zoned, direct);
  using ring = new Ring(4);
  const write = (): number => {
    ring.prepWrite(fd, memory.address, 0, 4096);
    return complete(ring);
  };
  expect(write()).toBe(4096);
  // The zone's next place is past what was written.
  expect(write()).toBeLessThan(0);
  ring.prepCmdZoneResetAll(fd);
  expect(complete(ring)).toBe(0);
  expect(write()).toBe(4096);
  closeSync(fd);
});
