// Reading and writing files, as node:fs sees them before and afterwards.
import { expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  EAGAIN,
  EBADF,
  EFAULT,
  EINVAL,
  EISDIR,
  EOPNOTSUPP,
  Iovecs,
  Mapping,
  RWF_APPEND,
  RWF_DSYNC,
  RWF_NOWAIT,
  Ring,
} from "../../src/index.ts";
import { complete, several } from "../support/complete.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";

const scratch = scratchDirectory();
const at = (name: string): string => join(scratch, name);
const content = pattern(100_000);

test("prepRead() reads from the offset, what there is and no more", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "read", content);
  const buffer = Buffer.alloc(5000, 0xee);
  ring.prepRead(fd, buffer, 70_000, 3000);
  expect(complete(ring)).toBe(3000);
  expect(buffer.subarray(0, 3000).equals(content.subarray(70_000, 73_000))).toBe(true);
  expect(buffer.subarray(3000).equals(Buffer.alloc(2000, 0xee))).toBe(true);
  // Short at the end of the file, nothing past it.
  ring.prepRead(fd, buffer, 97_000);
  expect(complete(ring)).toBe(3000);
  expect(buffer.subarray(0, 3000).equals(content.subarray(97_000))).toBe(true);
  ring.prepRead(fd, buffer, 100_000);
  expect(complete(ring)).toBe(0);
  ring.prepRead(fd, buffer, 2 ** 40);
  expect(complete(ring)).toBe(0);
  ring.prepRead(fd, buffer, 0, 0);
  expect(complete(ring)).toBe(0);
  closeSync(fd);
});

test("prepRead() of -1 reads on from the file's own position", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "position", content);
  const buffer = Buffer.alloc(1000);
  for (let i = 0; i < 3; i++) {
    ring.prepRead(fd, buffer, -1);
    expect(complete(ring)).toBe(1000);
    expect(buffer.equals(content.subarray(i * 1000, (i + 1) * 1000))).toBe(true);
  }
  // An offset leaves the position alone.
  ring.prepRead(fd, buffer, 50_000);
  expect(complete(ring)).toBe(1000);
  readSync(fd, buffer, 0, 1000, null);
  expect(buffer.equals(content.subarray(3000, 4000))).toBe(true);
  closeSync(fd);
});

test("prepWrite() writes at the offset, past the end with a hole", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "write", "0123456789");
  ring.prepWrite(fd, kept(Buffer.from("abcdef")), 3, 4);
  expect(complete(ring)).toBe(4);
  expect(readFileSync(at("write"), "utf8")).toBe("012abcd789");
  ring.prepWrite(fd, kept(Buffer.from("end")), 15);
  expect(complete(ring)).toBe(3);
  expect(readFileSync(at("write"), "latin1")).toBe("012abcd789\0\0\0\0\0end");
  closeSync(fd);
});

test("offsets past 2^32 and 2^53 arrive whole", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "far");
  const far = 5 * 2 ** 32 + 12_345;
  ring.prepWrite(fd, kept(Buffer.from("far away")), far);
  expect(complete(ring)).toBe(8);
  const back = Buffer.alloc(8);
  expect(readSync(fd, back, 0, 8, far)).toBe(8);
  expect(back.toString()).toBe("far away");
  ring.prepRead(fd, back.fill(0), BigInt(far) + 4n, 4);
  expect(complete(ring)).toBe(4);
  expect(back.toString("latin1", 0, 4)).toBe("away");
  // Past what a file can be: the kernel reads a negative number there.
  ring.prepRead(fd, back, 1n << 63n);
  expect(complete(ring)).toBe(-EINVAL);
  closeSync(fd);
});

test("every kind of memory is read into and written from", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "kinds", content);
  const whole = new ArrayBuffer(4096);
  const shared = new SharedArrayBuffer(4096);
  const mapping = Mapping.anonymous(4096);
  const views = [
    whole,
    shared,
    mapping,
    new Float64Array(whole, 1024, 64),
    new DataView(whole, 100, 1000),
    Buffer.from(shared).subarray(10, 20),
    new Uint16Array(new ArrayBuffer(100), 2, 3),
  ];
  for (const memory of views) {
    ring.prepRead(fd, memory, 777);
    expect(complete(ring)).toBe(memory.byteLength);
    const bytes =
      memory instanceof Mapping
        ? memory.bytes
        : ArrayBuffer.isView(memory)
          ? new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength)
          : new Uint8Array(memory);
    expect(Buffer.from(bytes).equals(content.subarray(777, 777 + memory.byteLength))).toBe(true);
    ring.prepWrite(fd, memory, 200_000);
    expect(complete(ring)).toBe(memory.byteLength);
    const back = Buffer.alloc(memory.byteLength);
    readSync(fd, back, 0, back.length, 200_000);
    expect(back.equals(Buffer.from(bytes))).toBe(true);
  }
  ring.prepRead(fd, mapping.address + 100, 0, 50);
  expect(complete(ring)).toBe(50);
  expect(Buffer.from(mapping.bytes.subarray(100, 150)).equals(content.subarray(0, 50))).toBe(true);
  mapping.close();
  closeSync(fd);
});

test("prepReadv() and prepWritev() scatter and gather", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "vectors", content);
  const pieces = [Buffer.alloc(10), Buffer.alloc(0), Buffer.alloc(1000), Buffer.alloc(500)];
  ring.prepReadv(fd, kept(new Iovecs(pieces)), 4000);
  expect(complete(ring)).toBe(1510);
  expect(Buffer.concat(pieces).equals(content.subarray(4000, 5510))).toBe(true);
  const [a, b] = [Buffer.from("gathered "), Buffer.from("pieces")];
  ring.prepWritev(fd, kept(new Iovecs([a, b, Buffer.from("never")])), 100, 2);
  expect(complete(ring)).toBe(15);
  expect(
    readFileSync(at("vectors"))
      .subarray(95, 120)
      .equals(Buffer.concat([content.subarray(95, 100), a, b, content.subarray(115, 120)])),
  ).toBe(true);
  closeSync(fd);
});

test("prepReadv2() and prepWritev2() heed their flags", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "flags", "head");
  ring.prepWritev2(fd, kept(new Iovecs([Buffer.from("+tail")])), 0, RWF_APPEND | RWF_DSYNC);
  expect(complete(ring)).toBe(5);
  expect(readFileSync(at("flags"), "utf8")).toBe("head+tail");
  const buffer = Buffer.alloc(4);
  ring.prepReadv2(fd, kept(new Iovecs([buffer])), 0, RWF_NOWAIT);
  const now = complete(ring);
  // What cannot be read at once is not; and some file systems never know.
  expect([4, -EAGAIN, -EOPNOTSUPP]).toContain(now);
  if (now === 4) expect(buffer.toString()).toBe("head");
  // A flag that no kernel knows.
  ring.prepReadv2(fd, kept(new Iovecs([buffer])), 0, 1 << 30);
  expect(complete(ring)).toBeLessThan(0);
  closeSync(fd);
});

test("prepReadFixed() and prepWriteFixed() move a part of a registered buffer", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "fixed", content);
  const memory = Mapping.anonymous(16_384);
  ring.registerBuffers([Buffer.alloc(100), memory]);
  ring.prepReadFixed(fd, memory.address + 5000, 10_000, 1, 3000);
  expect(complete(ring)).toBe(3000);
  expect(Buffer.from(memory.bytes.subarray(5000, 8000)).equals(content.subarray(10_000, 13_000))).toBe(true);
  expect(memory.bytes.subarray(0, 5000).every((byte) => byte === 0)).toBe(true);
  memory.bytes.set(Buffer.from("written through the table"), 9000);
  ring.prepWriteFixed(fd, memory.bytes.subarray(9000, 9025), 50, 1);
  expect(complete(ring)).toBe(25);
  expect(readFileSync(at("fixed")).toString("latin1", 50, 75)).toBe("written through the table");
  // Beyond the registered buffer, and of a place that the table has not.
  ring.prepReadFixed(fd, memory.address + 16_000, 0, 1, 1000);
  expect(complete(ring)).toBe(-EFAULT);
  ring.prepReadFixed(fd, memory, 0, 2);
  expect(complete(ring)).toBe(-EFAULT);
  ring.unregisterBuffers();
  memory.close();
  closeSync(fd);
});

test("a read of a pipe waits, then brings what was written, then the end", () => {
  using ring = new Ring(8);
  const own = pipe(scratch);
  const buffer = Buffer.alloc(100);
  ring.prepRead(own.read, buffer, 0).userData(1);
  ring.submit();
  expect(ring.waitCqes(1, 5)).toBeNull();
  writeSync(own.write, "through the pipe");
  expect(complete(ring)).toBe(16);
  expect(buffer.toString("latin1", 0, 16)).toBe("through the pipe");
  ring.prepWrite(own.write, kept(Buffer.from("and back")), 0);
  expect(complete(ring)).toBe(8);
  const back = Buffer.alloc(8);
  readSync(own.read, back);
  expect(back.toString()).toBe("and back");
  closeSync(own.write);
  ring.prepRead(own.read, buffer, 0);
  expect(complete(ring)).toBe(0);
  closeSync(own.read);
});

test("many reads at once each bring their own", () => {
  using ring = new Ring(64, { cqEntries: 512 });
  const fd = openFile(scratch, "many", content);
  const buffers = Array.from({ length: 200 }, () => Buffer.alloc(256));
  for (const [i, buffer] of buffers.entries()) {
    const sqe = ring.prepRead(fd, buffer, i * 400).userData(i);
    if (i % 3 === 0) sqe.async();
  }
  const seen = several(ring, 200);
  expect(seen.map(({ res }) => res)).toEqual(new Array(200).fill(256));
  expect(seen.map(({ userData }) => userData).toSorted((a, b) => a - b)).toEqual(buffers.map((_, i) => i));
  expect(buffers.every((buffer, i) => buffer.equals(content.subarray(i * 400, i * 400 + 256)))).toBe(true);
  closeSync(fd);
});

test("what a file refuses comes back as its errno", () => {
  using ring = new Ring(8);
  writeFileSync(at("readonly"), "x");
  const fd = openSync(at("readonly"), constants.O_RDONLY);
  const directory = openSync(scratch, constants.O_RDONLY);
  const buffer = Buffer.alloc(8);
  ring.prepWrite(fd, buffer, 0);
  expect(complete(ring)).toBe(-EBADF);
  ring.prepRead(-1, buffer, 0);
  expect(complete(ring)).toBe(-EBADF);
  ring.prepRead(directory, buffer, 0);
  expect([-EISDIR, -EINVAL]).toContain(complete(ring));
  closeSync(directory);
  closeSync(fd);
});
