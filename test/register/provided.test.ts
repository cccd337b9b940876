/** Buffer rings as the kernel registers them: how far it has come, and when it is done with a buffer. */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, writeSync } from "node:fs";
import {
  addressOf,
  BufferRing,
  EEXIST,
  EINVAL,
  ENOBUFS,
  ENOENT,
  IOU_PBUF_RING_INC,
  IOU_PBUF_RING_MMAP,
  Mapping,
  Ring,
} from "../../src/index.ts";
import { complete, next } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needsThat } from "../support/kernel.ts";
import { hasRegistration, needsRegister } from "./support.ts";

const scratch = scratchDirectory();
const rings = needsRegister(["IORING_REGISTER_PBUF_RING", "IORING_UNREGISTER_PBUF_RING"]);
const told = needsRegister("IORING_REGISTER_PBUF_STATUS");

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;

/** Whether a buffer ring of this kind can be registered. */
function takes(flags: number, minLeft: number): boolean {
  if (!hasRegistration("IORING_REGISTER_PBUF_RING")) return false;
  using ring = new Ring(1);
  using memory = disposable(Mapping.anonymous(4096));
  try {
    ring.registerBufRing({ group: 1, entries: 4, memory: memory.it, flags, minLeft });
    return true;
  } catch {
    return false;
  }
}

function disposable(it: Mapping): { it: Mapping } & Disposable {
  return { it, [Symbol.dispose]: () => it.close() };
}

describe("registerBufRing()", () => {
  rings("registers memory of one's own, which the kernel takes buffers from until it is unregistered", () => {
    using ring = new Ring(8);
    using queue = disposable(Mapping.anonymous(4096));
    const own = pipe(scratch);
    const buffer = Buffer.alloc(16);
    ring.registerBufRing({ group: 3, entries: 2, memory: queue.it });
    const put = (place: number, id: number): void => {
      const view = new DataView(queue.it.bytes.buffer, place * 16);
      view.setBigUint64(0, BigInt(addressOf(buffer)), true);
      view.setUint32(8, buffer.length, true);
      view.setUint16(12, id, true);
    };
    put(0, 9);
    // Ordering: nobody looks before the request below is submitted.
    Atomics.store(new Uint16Array(queue.it.bytes.buffer), 7, 1);
    writeSync(own.write, "provided");
    ring.prepRead(own.read, 0, 0, 16).bufferSelect(3);
    const { res, flags } = next(ring);
    expect([res, flags >>> 16, buffer.toString("latin1", 0, 8)]).toEqual([8, 9, "provided"]);
    ring.unregisterBufRing(3);
    writeSync(own.write, "more");
    ring.prepRead(own.read, 0, 0, 16).bufferSelect(3);
    expect(complete(ring)).toBe(-ENOBUFS);
    expect(() => ring.unregisterBufRing(3)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("group 3 is not registered") }),
    );
    closeSync(own.read);
    closeSync(own.write);
  });

  rings("says which group is taken, and which is not there", () => {
    using ring = new Ring(8);
    using queue = disposable(Mapping.anonymous(4096));
    ring.registerBufRing({ group: 1, entries: 4, memory: queue.it });
    expect(() => ring.registerBufRing({ group: 1, entries: 4, memory: queue.it })).toThrow(
      expect.objectContaining({ errno: -EEXIST, message: expect.stringContaining("group 1") }),
    );
    expect(() => ring.unregisterBufRing(2)).toThrow(expect.objectContaining({ name: "UringError" }));
  });

  test("refuses sizes, memory and flags that cannot be", () => {
    using ring = new Ring(8);
    using queue = disposable(Mapping.anonymous(4096));
    const memory = queue.it;
    for (const entries of [0, 3, 65536, -1, 1.5]) {
      expect(() => ring.registerBufRing({ group: 1, entries, memory })).toThrow(expect.objectContaining(value));
    }
    expect(() => ring.registerBufRing({ group: 65536, entries: 4, memory })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBufRing({ group: 1, entries: 512, memory })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBufRing({ group: 1, entries: 4 })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBufRing({ group: 1, entries: 4, memory: memory.address + 16 })).toThrow(
      expect.objectContaining(value),
    );
    const flags = IOU_PBUF_RING_MMAP;
    expect(() => ring.registerBufRing({ group: 1, entries: 4, memory, flags })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBufRing({ group: 1, entries: 4, memory, minLeft: -1 })).toThrow(
      expect.objectContaining(value),
    );
    expect(() => ring.unregisterBufRing(-1)).toThrow(expect.objectContaining(value));
    expect(() => ring.bufRingHead(-1)).toThrow(expect.objectContaining(value));
  });

  needsRegister(["IORING_REGISTER_PBUF_RING", "IORING_SETUP_REGISTERED_FD_ONLY"])(
    "refuses memory of the kernel's to a ring that has no descriptor to map it by",
    () => {
      using ring = new Ring(8, { noMmap: true, registeredFdOnly: true });
      const options = { group: 1, entries: 4, size: 64 };
      expect(() => new BufferRing(ring, { ...options, kernelMapped: true })).toThrow(expect.objectContaining(state));
      new BufferRing(ring, options).close();
    },
  );

  needsThat(takes(IOU_PBUF_RING_INC, 1), "min_left of IORING_REGISTER_PBUF_RING, Linux 7.1 or a patched one before")(
    "has a buffer done with when less than minLeft of it is left",
    () => {
      using ring = new Ring(8);
      const own = pipe(scratch);
      using buffers = new BufferRing(ring, { group: 1, entries: 2, size: 64, incremental: true, minLeft: 32 });
      const more: boolean[] = [];
      for (let i = 0; i < 3; i++) {
        writeSync(own.write, "x".repeat(20));
        ring.prepRead(own.read, 0, 0, 20).bufferSelect(1);
        ring.submitAndWait(1);
        const cqe = ring.peekCqe();
        if (cqe === null) throw new Error("no completion");
        buffers.take(cqe);
        more.push(cqe.bufferMore);
        ring.seenCqe();
      }
      // 44 bytes are left, then 24: too few. The third is in the next buffer.
      expect(more).toEqual([true, false, true]);
      closeSync(own.read);
      closeSync(own.write);
    },
  );

  needsThat(
    hasRegistration("IORING_REGISTER_PBUF_RING") && !takes(IOU_PBUF_RING_INC, 1),
    "IORING_REGISTER_PBUF_RING without min_left, Linux 5.19 to 7.0",
  )("explains what an older kernel refuses", () => {
    using ring = new Ring(8);
    expect(() => new BufferRing(ring, { group: 1, entries: 2, size: 64, incremental: true, minLeft: 32 })).toThrow(
      expect.objectContaining({ errno: -EINVAL, message: expect.stringContaining("7.1") }),
    );
  });
});

describe("bufRingHead()", () => {
  told("counts the buffers that the kernel took, and comes round after 65536", () => {
    using ring = new Ring(256);
    using buffers = new BufferRing(ring, { group: 5, entries: 256, size: 1 });
    const zeros = openSync("/dev/zero", "r");
    expect(ring.bufRingHead(5)).toBe(0);
    const take = (count: number): void => {
      for (let i = 0; i < count; i++) ring.prepRead(zeros, 0, 0, 1).bufferSelect(5);
      ring.submitAndWait(count);
      ring.forEachCqe((cqe) => {
        buffers.take(cqe);
        buffers.recycle(cqe.bufferId);
      });
    };
    for (const [count, head] of [
      [1, 1],
      [1, 2],
      [254, 256],
    ] as const) {
      take(count);
      expect(ring.bufRingHead(5)).toBe(head);
    }
    for (let taken = 256; taken < 65536; taken += 256) take(256);
    expect(ring.bufRingHead(5)).toBe(0);
    closeSync(zeros);
  });

  told("says which group has none", () => {
    using ring = new Ring(8);
    expect(() => ring.bufRingHead(5)).toThrow(expect.objectContaining({ errno: -ENOENT }));
    ring.prepProvideBuffers(kept(Buffer.alloc(64)), 64, 1, 5, 0);
    ring.submitAndWait(1);
    expect(() => ring.bufRingHead(5)).toThrow(
      expect.objectContaining({ errno: -EINVAL, message: expect.stringContaining("no ring") }),
    );
  });
});
