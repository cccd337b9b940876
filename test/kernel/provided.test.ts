// Provided buffers of both kinds: handed over by an operation, and in rings; multishot, incremental, bundles.
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  AF_UNIX,
  BufferRing,
  ENOBUFS,
  ENOENT,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_FEAT_RECVSEND_BUNDLE,
  IORING_RECVSEND_BUNDLE,
  Mapping,
  MSG_WAITALL,
  Ring,
  SockAddr,
  SOCK_STREAM,
} from "../../src/index.ts";
import { complete, next } from "../support/complete.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { has, needs } from "../support/kernel.ts";

const directory = scratchDirectory();

describe("prepProvideBuffers() and prepRemoveBuffers()", () => {
  test("hand buffers to a group one after another, and take them back", () => {
    using ring = new Ring(8);
    const memory = Mapping.anonymous(4096);
    ring.prepProvideBuffers(memory, 256, 3, 7, 10);
    expect(complete(ring)).toBeGreaterThanOrEqual(0);
    const path = join(directory, "provided");
    writeFileSync(path, "into a buffer that was provided");
    const fd = openSync(path, "r");
    ring.prepRead(fd, 0, 0, 256).bufferSelect(7);
    const { res, flags } = next(ring);
    expect(res).toBe(31);
    expect(flags & IORING_CQE_F_BUFFER).toBe(IORING_CQE_F_BUFFER);
    const id = flags >>> IORING_CQE_BUFFER_SHIFT;
    expect([10, 11, 12]).toContain(id);
    const at = (id - 10) * 256;
    expect(Buffer.from(memory.bytes.subarray(at, at + 31)).toString()).toBe("into a buffer that was provided");
    ring.prepRemoveBuffers(8, 7);
    expect(complete(ring)).toBe(2);
    ring.prepRead(fd, 0, 0, 256).bufferSelect(7);
    expect(complete(ring)).toBe(-ENOBUFS);
    ring.prepRemoveBuffers(1, 99);
    expect(complete(ring)).toBe(-ENOENT);
    closeSync(fd);
    ring.close();
    memory.close();
  });
});

/** Two connected stream sockets, made by the ring. */
function connected(ring: Ring, name: string): [number, number] {
  const made = (): number => {
    ring.prepSocket(AF_UNIX, SOCK_STREAM, 0);
    return complete(ring);
  };
  const [listener, client] = [made(), made()];
  const address = SockAddr.unix(join(directory, name));
  ring.prepBind(listener, address);
  expect(complete(ring)).toBe(0);
  ring.prepListen(listener, 1);
  expect(complete(ring)).toBe(0);
  ring.prepConnect(client, address);
  expect(complete(ring)).toBe(0);
  ring.prepAccept(listener);
  const server = complete(ring);
  closeSync(listener);
  return [client, server];
}

needs(["IORING_OP_READ_MULTISHOT", "IORING_OP_PIPE"])(
  "prepReadMultishot() reads a pipe as data comes, until its end",
  () => {
    using ring = new Ring(8);
    using buffers = new BufferRing(ring, { group: 1, entries: 4, size: 64 });
    // Kernel: a FIFO of the file system does not wake a multishot read when its last writer goes (seen on 6.18).
    const ends = new Int32Array(2);
    ring.prepPipe(ends);
    expect(complete(ring)).toBe(0);
    const [read, write] = [ends[0] as number, ends[1] as number];
    ring.prepReadMultishot(read, 0, -1, 1).userData(1);
    const texts = ["first", "second and longer", "x".repeat(64), "fourth", "fifth"];
    for (const text of texts) {
      writeSync(write, text);
      const cqe = ring.submitAndWaitTimeout(1, 2000);
      expect(cqe).toMatchObject({ userData: 1, res: text.length, more: true });
      if (cqe === null) continue;
      const start = buffers.take(cqe);
      expect(Buffer.from(buffers.bytes.subarray(start, start + cqe.res)).toString()).toBe(text);
      buffers.recycle(cqe.bufferId);
      ring.seenCqe();
    }
    closeSync(write);
    const end = ring.waitCqes(1, 2000);
    expect(end).toMatchObject({ res: 0, more: false });
    closeSync(read);
  },
);

const sockets = needs(["IORING_OP_SOCKET", "IORING_OP_BIND", "IORING_OP_LISTEN"]);

sockets("a multishot receive ends with -ENOBUFS when the group is empty, and goes on when it is armed again", () => {
  using ring = new Ring(16);
  using buffers = new BufferRing(ring, { group: 2, entries: 2, size: 16 });
  const [client, server] = connected(ring, "empty");
  ring.prepRecvMultishot(server).bufferSelect(2).userData(1);
  ring.submit();
  const data = pattern(48);
  writeSync(client, data);
  const ids: number[] = [];
  const got: number[] = [];
  let ended = 0;
  while (ended === 0) {
    const cqe = ring.waitCqes(1, 2000);
    if (cqe === null) throw new Error("nothing came");
    const start = buffers.take(cqe);
    if (start >= 0) {
      got.push(...buffers.bytes.subarray(start, start + cqe.res));
      ids.push(cqe.bufferId);
    }
    if (!cqe.more) ended = cqe.res;
    ring.seenCqe();
  }
  expect(ended).toBe(-ENOBUFS);
  expect(buffers.available).toBe(0);
  expect(ids.toSorted()).toEqual([0, 1]);
  expect(Buffer.from(got)).toEqual(data.subarray(0, 32));
  for (const id of ids) buffers.recycle(id);
  expect(buffers.available).toBe(2);
  ring.prepRecvMultishot(server).bufferSelect(2).userData(2);
  const cqe = ring.submitAndWaitTimeout(1, 2000);
  expect(cqe).toMatchObject({ userData: 2, res: 16, more: true });
  const start = cqe === null ? -1 : buffers.take(cqe);
  expect(Buffer.from(buffers.bytes.subarray(start, start + 16))).toEqual(data.subarray(32));
  for (const fd of [client, server]) closeSync(fd);
});

/** Whether the kernel fills buffers little by little. */
function fillsIncrementally(): boolean {
  using ring = new Ring(1);
  try {
    new BufferRing(ring, { group: 0, entries: 1, size: 64, incremental: true }).close();
    return true;
  } catch {
    return false;
  }
}

needs(["IOU_PBUF_RING_INC"], () => fillsIncrementally() && has("IORING_OP_LISTEN"))(
  "an incremental buffer is filled piece by piece and goes back when all pieces are given back",
  () => {
    using ring = new Ring(16);
    using buffers = new BufferRing(ring, { group: 3, entries: 2, size: 4096, incremental: true });
    const [client, server] = connected(ring, "incremental");
    const data = pattern(40_000, 3);
    const got: number[] = [];
    const held: number[] = [];
    ring.prepRecvMultishot(server).bufferSelect(3);
    ring.submit();
    let sent = 0;
    let pieces = 0;
    while (got.length < data.length) {
      if (sent - got.length < 4096 && sent < data.length) {
        sent += writeSync(client, data, sent, Math.min(1 + ((sent * 7) % 1500), data.length - sent));
      }
      const cqe = ring.waitCqes(1, 2000);
      if (cqe === null) throw new Error("nothing came");
      const start = buffers.take(cqe);
      if (start >= 0) {
        pieces++;
        got.push(...buffers.bytes.subarray(start, start + cqe.res));
        held.push(cqe.bufferId);
      }
      // The pieces are given back late and in another order than they came.
      if (held.length > 3) for (const id of held.splice(0).toReversed()) buffers.recycle(id);
      if (!cqe.more) {
        expect(cqe.res).toBe(-ENOBUFS);
        for (const id of held.splice(0)) buffers.recycle(id);
        ring.prepRecvMultishot(server).bufferSelect(3);
        ring.submit();
      }
      ring.seenCqe();
    }
    expect(Buffer.from(got).equals(data)).toBe(true);
    // More pieces than whole buffers: they were filled little by little.
    expect(pieces).toBeGreaterThan(data.length / 4096);
    for (const id of held.splice(0)) buffers.recycle(id);
    for (const fd of [client, server]) closeSync(fd);
  },
);

needs("IORING_FEAT_RECVSEND_BUNDLE")("a bundle is received over several buffers, in their order", () => {
  using ring = new Ring(16);
  expect(ring.hasFeature(IORING_FEAT_RECVSEND_BUNDLE)).toBe(true);
  using buffers = new BufferRing(ring, { group: 4, entries: 8, size: 100 });
  const [client, server] = connected(ring, "bundle");
  const data = pattern(1000, 4);
  let sent = 0;
  const got: number[] = [];
  const order: number[] = [];
  while (got.length < data.length) {
    sent += writeSync(client, data, sent, Math.min(650, data.length - sent));
    ring.prepRecv(server, 0, 0, 0).bufferSelect(4).ioprio(IORING_RECVSEND_BUNDLE);
    const cqe = ring.submitAndWaitTimeout(1, 2000);
    if (cqe === null) throw new Error("nothing came");
    const { res } = cqe;
    let sum = 0;
    const count = buffers.forEach(cqe, (start, length, id) => {
      got.push(...buffers.bytes.subarray(start, start + length));
      sum += length;
      order.push(id);
    });
    expect(sum).toBe(res);
    expect(count).toBe(Math.ceil(res / 100));
    ring.seenCqe();
    for (const id of order.slice(-count)) buffers.recycle(id);
  }
  expect(Buffer.from(got).equals(data)).toBe(true);
  expect(order.length).toBeGreaterThan(9);
  for (const fd of [client, server]) closeSync(fd);
});

needs("IORING_FEAT_RECVSEND_BUNDLE")("a bundle is sent out of several buffers that were provided filled", () => {
  using ring = new Ring(16);
  using buffers = new BufferRing(ring, { group: 5, entries: 8, size: 64, empty: true });
  expect(buffers.available).toBe(0);
  const [client, server] = connected(ring, "sent");
  const parts = ["one ", "two ", "three ", "four"];
  for (const [id, part] of parts.entries()) {
    buffers.bytes.set(Buffer.from(part), id * 64);
    buffers.provide(id, part.length);
  }
  ring.prepSendBundle(client, 0, MSG_WAITALL).bufferSelect(5);
  const cqe = ring.submitAndWaitTimeout(1, 2000);
  if (cqe === null) throw new Error("nothing came");
  expect(cqe.res).toBe(18);
  const ids: number[] = [];
  expect(buffers.forEach(cqe, (_start, _length, id) => void ids.push(id))).toBe(4);
  expect(ids).toEqual([0, 1, 2, 3]);
  ring.seenCqe();
  const text = new Uint8Array(32);
  ring.prepRecv(server, text, 0);
  expect(complete(ring)).toBe(18);
  expect(Buffer.from(text.subarray(0, 18)).toString()).toBe("one two three four");
  for (const fd of [client, server]) closeSync(fd);
});
