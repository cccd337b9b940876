// Vectors: registered buffers in pieces, zero-copy messages, advice about ranges.
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import {
  AF_INET,
  EFAULT,
  ENOTSOCK,
  IORING_CQE_F_NOTIF,
  Iovecs,
  MADV_DONTNEED,
  Mapping,
  Msghdr,
  POSIX_FADV_DONTNEED,
  POSIX_FADV_WILLNEED,
  Ring,
  SockAddr,
  SOCK_STREAM,
} from "../../src/index.ts";
import { complete, next } from "../support/complete.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs, needsThat } from "../support/kernel.ts";

const directory = scratchDirectory();

needs(["IORING_OP_READV_FIXED", "IORING_OP_WRITEV_FIXED"])(
  "prepReadvFixed() and prepWritevFixed() move pieces of a registered buffer",
  () => {
    using ring = new Ring(8);
    const memory = Mapping.anonymous(8192);
    ring.registerBuffers([memory]);
    const data = pattern(300, 5);
    memory.bytes.set(data.subarray(0, 100), 1000);
    memory.bytes.set(data.subarray(100, 300), 5000);
    const path = join(directory, "pieces");
    writeFileSync(path, "");
    const fd = openSync(path, "r+");
    const out = new Iovecs([memory.bytes.subarray(1000, 1100), memory.bytes.subarray(5000, 5200)]);
    ring.prepWritevFixed(fd, out, 0, 0, 0);
    expect(complete(ring)).toBe(300);
    expect(readFileSync(path).equals(data)).toBe(true);
    const into = new Iovecs([memory.bytes.subarray(2000, 2250), memory.bytes.subarray(7000, 7050)]);
    ring.prepReadvFixed(fd, into, 0, 0, 0);
    expect(complete(ring)).toBe(300);
    expect(Buffer.from(memory.bytes.subarray(2000, 2250)).equals(data.subarray(0, 250))).toBe(true);
    expect(Buffer.from(memory.bytes.subarray(7000, 7050)).equals(data.subarray(250))).toBe(true);
    // Memory outside the registered buffer is refused.
    ring.prepReadvFixed(fd, kept(new Iovecs([new Uint8Array(16)])), 0, 0, 0);
    expect(complete(ring)).toBe(-EFAULT);
    closeSync(fd);
    ring.close();
    memory.close();
  },
);

/** A server that keeps what it is sent, and a socket of the ring's connected to it. */
async function receiver(ring: Ring): Promise<{ fd: number; received: (length: number) => Promise<Buffer> }> {
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
    resolve(socket);
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address() as { port: number };
  ring.prepSocket(AF_INET, SOCK_STREAM, 0);
  const fd = complete(ring);
  ring.prepConnect(fd, kept(SockAddr.ipv4("127.0.0.1", port)));
  expect(complete(ring)).toBe(0);
  await promise;
  server.close();
  return {
    fd,
    async received(length: number): Promise<Buffer> {
      for (let i = 0; i < 200 && Buffer.concat(chunks).length < length; i++) await Bun.sleep(5);
      return Buffer.concat(chunks);
    },
  };
}

/** Takes a zero-copy send's result, then its notification. */
function zeroCopy(ring: Ring): number {
  const first = next(ring);
  expect(first.more).toBe(true);
  const second = next(ring);
  expect(second.flags & IORING_CQE_F_NOTIF).toBe(IORING_CQE_F_NOTIF);
  expect(second.userData).toBe(first.userData);
  return first.res;
}

needs("IORING_OP_SENDMSG_ZC")("prepSendmsgZc() sends without copying, and notifies", async () => {
  using ring = new Ring(8);
  const { fd, received } = await receiver(ring);
  const [left, right] = [pattern(3000, 6), pattern(5000, 7)];
  const msg = new Msghdr({ iovecs: new Iovecs([left, right]) });
  ring.prepSendmsgZc(fd, msg).userData(12);
  expect(zeroCopy(ring)).toBe(8000);
  expect((await received(8000)).equals(Buffer.concat([left, right]))).toBe(true);
  closeSync(fd);
});

// Kernel: fixed buffers in messages and vectors in plain sends came after the operations they belong to.
function takesFixedMessages(): boolean {
  using ring = new Ring(8);
  const memory = Mapping.anonymous(4096);
  ring.registerBuffers([memory]);
  ring.prepSendmsgZcFixed(-1, kept(new Msghdr({ iovecs: new Iovecs([memory.bytes.subarray(0, 8)]) })), 0, 0);
  const { res } = next(ring);
  ring.close();
  memory.close();
  // EBADF for the descriptor comes after the flags were looked at.
  return res === -9;
}

needs(["IORING_OP_READV_FIXED"], takesFixedMessages)(
  "prepSendmsgZcFixed() sends pieces of a registered buffer",
  async () => {
    using ring = new Ring(8);
    const memory = Mapping.anonymous(16384);
    ring.registerBuffers([memory]);
    const { fd, received } = await receiver(ring);
    const data = pattern(9000, 8);
    memory.bytes.set(data.subarray(0, 4000), 100);
    memory.bytes.set(data.subarray(4000), 8000);
    const iovecs = new Iovecs([memory.bytes.subarray(100, 4100), memory.bytes.subarray(8000, 13000)]);
    ring.prepSendmsgZcFixed(fd, kept(new Msghdr({ iovecs })), 0, 0).userData(3);
    expect(zeroCopy(ring)).toBe(9000);
    expect((await received(9000)).equals(data)).toBe(true);
    closeSync(fd);
    ring.close();
    memory.close();
  },
);

function takesVectors(): boolean {
  using ring = new Ring(8);
  const path = join(directory, "no-socket");
  writeFileSync(path, "");
  const fd = openSync(path, "r+");
  ring.prepSendVectorized(fd, kept(new Iovecs([new Uint8Array(8)])));
  const res = complete(ring);
  closeSync(fd);
  // EINVAL for the flag comes before the word that this is no socket.
  return res === -ENOTSOCK;
}

needs(["IORING_SEND_VECTORIZED"], takesVectors)("prepSendVectorized() sends several buffers at once", async () => {
  using ring = new Ring(8);
  const { fd, received } = await receiver(ring);
  const parts = [pattern(10, 1), pattern(2000, 2), pattern(333, 3)];
  ring.prepSendVectorized(fd, kept(new Iovecs(parts)));
  expect(complete(ring)).toBe(2343);
  expect((await received(2343)).equals(Buffer.concat(parts))).toBe(true);
  closeSync(fd);
});

/** How many of a file's pages are in the page cache, by fincore(1) where there is one. */
function cachedBytes(path: string): number | undefined {
  const fincore = Bun.which("fincore");
  if (fincore === null) return undefined;
  const { stdout } = Bun.spawnSync([fincore, "-b", "-n", "-o", "RES", path]);
  return Number(stdout.toString().trim());
}

/** What the lengths of 64 bits that advice can have since 6.11 are answered with. */
function takesLongAdvice(): boolean {
  using ring = new Ring(8);
  const memory = Mapping.anonymous(4096);
  ring.prepMadvise64(memory, MADV_DONTNEED);
  const res = complete(ring);
  ring.close();
  memory.close();
  return res === 0;
}

const longAdvice = takesLongAdvice();
const longAdvises = needsThat(longAdvice, "lengths of 64 bits in IORING_OP_FADVISE and IORING_OP_MADVISE, Linux 6.11");

test("prepFadvise() drops a file's pages from the cache, and fetches them", async () => {
  using ring = new Ring(8);
  const path = join(directory, "advised");
  writeFileSync(path, pattern(1 << 20, 9));
  const fd = openSync(path, "r+");
  ring.prepFsync(fd);
  expect(complete(ring)).toBe(0);
  ring.prepFadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  expect(complete(ring)).toBe(0);
  const dropped = cachedBytes(path);
  if (longAdvice) ring.prepFadvise64(fd, 0, 1 << 20, POSIX_FADV_WILLNEED);
  else ring.prepFadvise(fd, 0, 1 << 20, POSIX_FADV_WILLNEED);
  expect(complete(ring)).toBe(0);
  // On a file system in memory nothing can be dropped.
  if (dropped !== undefined && dropped < 1 << 20) {
    // How much of a range is read ahead is the device's affair.
    for (let i = 0; i < 100 && (cachedBytes(path) ?? 0) <= dropped; i++) await Bun.sleep(5);
    expect(cachedBytes(path)).toBeGreaterThan(dropped);
  }
  expect(readFileSync(path).equals(pattern(1 << 20, 9))).toBe(true);
  closeSync(fd);
});

/** Whether advice makes the second page of three zero, and no other. */
function zeroes(advise: (ring: Ring, at: Uint8Array) => unknown): void {
  using ring = new Ring(8);
  const memory = Mapping.anonymous(3 * 4096);
  memory.bytes.fill(7);
  advise(ring, memory.bytes.subarray(4096, 8192));
  expect(complete(ring)).toBe(0);
  const zeros = [0, 1, 2].map((each) => memory.bytes.subarray(each * 4096, (each + 1) * 4096).every((b) => b === 0));
  expect(zeros).toEqual([false, true, false]);
  ring.close();
  memory.close();
}

test("prepMadvise() zeroes private memory with MADV_DONTNEED", () => {
  zeroes((ring, at) => ring.prepMadvise(at, MADV_DONTNEED));
});

longAdvises("prepMadvise64() does so with a length of 64 bits", () => {
  zeroes((ring, at) => ring.prepMadvise64(at, MADV_DONTNEED));
});
