/** Registered buffers: what the kernel reads and writes through them, their updates, and who keeps them alive. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EFAULT, Mapping, type Memory, Ring } from "../../src/index.ts";
import { addressOf } from "../../src/memory.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();
const content = pattern(16384);
const fd = openFile(scratch, "content", content);

afterAll(() => closeSync(fd));

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const update = needs("IORING_FEAT_RSRC_TAGS");

describe("registerBuffers()", () => {
  overLayouts(
    (layout) => {
      test("lets requests name a buffer by its index", () => {
        using ring = ringOf(layout, 4);
        const buffers = [Buffer.alloc(4096), Buffer.alloc(8192)] as const;
        expect(ring.registeredBuffers).toBe(0);
        ring.registerBuffers(buffers);
        expect(ring.registeredBuffers).toBe(2);
        ring.prepReadFixed(fd, buffers[1].subarray(100, 5100), 3000, 1);
        expect(complete(ring)).toBe(5000);
        expect(buffers[1].subarray(100, 5100).equals(content.subarray(3000, 8000))).toBe(true);
        expect(buffers[0].equals(Buffer.alloc(4096))).toBe(true);
        // The second one's memory is not within the first one.
        ring.prepReadFixed(fd, buffers[1], 0, 0);
        expect(complete(ring)).toBe(-EFAULT);
        ring.prepReadFixed(fd, buffers[0], 0, 2);
        expect(complete(ring)).toBe(-EFAULT);
        ring.unregisterBuffers();
        expect(ring.registeredBuffers).toBe(0);
        ring.prepReadFixed(fd, buffers[0], 0, 0);
        expect(complete(ring)).toBe(-EFAULT);
      });
    },
    ["plain", "sqpoll", "modern", "noMmap", "registeredFdOnly", "sqe128"],
  );

  test("takes every kind of memory", () => {
    using ring = new Ring(4);
    const mapping = Mapping.anonymous(4096);
    const kinds: Memory[] = [new Uint16Array(100), new ArrayBuffer(64), new DataView(new ArrayBuffer(64)), mapping];
    ring.registerBuffers(kinds);
    kinds.forEach((memory, index) => {
      ring.prepReadFixed(fd, memory, 0, index);
      expect(complete(ring)).toBe((memory as Mapping).byteLength);
    });
    expect(Buffer.from(kinds[1] as ArrayBuffer).equals(content.subarray(0, 64))).toBe(true);
    expect(mapping.bytes[4095]).toBe(content[4095] as number);
    ring.unregisterBuffers();
    mapping.close();
  });

  test("is refused twice, and unregisterBuffers() without a table", () => {
    using ring = new Ring(4);
    expect(() => ring.unregisterBuffers()).toThrow(expect.objectContaining(state));
    const buffer = Buffer.alloc(4096);
    ring.registerBuffers([buffer]);
    expect(() => ring.registerBuffers([Buffer.alloc(4096)])).toThrow(expect.objectContaining(state));
    expect(() => ring.registerBuffersSparse(4)).toThrow(expect.objectContaining(state));
    ring.prepReadFixed(fd, buffer, 0, 0);
    expect(complete(ring)).toBe(4096);
    ring.unregisterBuffers();
    expect(() => ring.unregisterBuffers()).toThrow(expect.objectContaining(state));
    ring.registerBuffers([Buffer.alloc(64)]);
    expect(ring.registeredBuffers).toBe(1);
  });

  const detached = new ArrayBuffer(64);
  structuredClone(detached, { transfer: [detached] });
  const bad: [string, unknown, string][] = [
    ["no list", Buffer.alloc(16), "ERR_URING_ARG_TYPE"],
    ["undefined", undefined, "ERR_URING_ARG_TYPE"],
    ["an empty list", [], "ERR_URING_ARG_VALUE"],
    ["more than there are places for", new Array(16385).fill(Buffer.alloc(1)), "ERR_URING_ARG_VALUE"],
    ["a string in the list", ["text"], "ERR_URING_ARG_TYPE"],
    ["undefined in the list", [undefined], "ERR_URING_ARG_TYPE"],
    ["an address, which has no length", [4096], "ERR_URING_ARG_TYPE"],
    ["a detached buffer", [detached], "ERR_URING_BUFFER"],
    ["a resizable buffer", [new ArrayBuffer(8, { maxByteLength: 16 })], "ERR_URING_BUFFER"],
  ];
  test.each(bad)("refuses %s, and has no table afterwards", (_name, buffers, code) => {
    using ring = new Ring(4);
    expect(() => ring.registerBuffers(buffers as Memory[])).toThrow(expect.objectContaining({ code }));
    expect(ring.registeredBuffers).toBe(0);
    ring.registerBuffers([Buffer.alloc(16)]);
  });

  test("of memory that is not there says EFAULT", () => {
    using ring = new Ring(4);
    const gone = Mapping.anonymous(4096);
    const { address } = gone;
    gone.close();
    expect(() => ring.registerBuffers([{ address, byteLength: 4096 }])).toThrow(
      expect.objectContaining({ code: "EFAULT", syscall: "IORING_REGISTER_BUFFERS" }),
    );
    expect(ring.registeredBuffers).toBe(0);
  });
});

describe("registerBuffersSparse()", () => {
  update("makes empty places, which updates fill and empty", () => {
    using ring = new Ring(4);
    ring.registerBuffersSparse(8);
    expect(ring.registeredBuffers).toBe(8);
    const buffer = Buffer.alloc(4096);
    ring.prepReadFixed(fd, buffer, 0, 5);
    expect(complete(ring)).toBe(-EFAULT);
    expect(ring.registerBuffersUpdate(5, [buffer, Buffer.alloc(64)])).toBe(2);
    ring.prepReadFixed(fd, buffer, 0, 5);
    expect(complete(ring)).toBe(4096);
    expect(buffer.equals(content.subarray(0, 4096))).toBe(true);
    expect(ring.registerBuffersUpdate(5, [null])).toBe(1);
    ring.prepReadFixed(fd, buffer, 0, 5);
    expect(complete(ring)).toBe(-EFAULT);
  });

  update("refuses sizes that cannot be", () => {
    using ring = new Ring(4);
    for (const count of [0, -1, 1.5, 16385, Number.NaN, "8" as unknown as number]) {
      expect(() => ring.registerBuffersSparse(count)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
      );
    }
    expect(ring.registeredBuffers).toBe(0);
  });
});

describe("registerBuffersUpdate()", () => {
  update("refuses what is out of the table or no table, and changes nothing", () => {
    using ring = new Ring(4);
    const buffer = Buffer.alloc(64);
    expect(() => ring.registerBuffersUpdate(0, [buffer])).toThrow(expect.objectContaining(state));
    ring.registerBuffers([buffer, Buffer.alloc(64)]);
    for (const [offset, count] of [
      [2, 1],
      [1, 2],
      [0, 3],
      [-1, 1],
      [0.5, 1],
      [0, 0],
    ] as const) {
      const buffers = new Array<Memory>(count).fill(Buffer.alloc(8));
      expect(() => ring.registerBuffersUpdate(offset, buffers)).toThrow(
        expect.objectContaining({ name: "RangeError", code: "ERR_URING_ARG_VALUE" }),
      );
    }
    ring.prepReadFixed(fd, buffer, 0, 0);
    expect(complete(ring)).toBe(64);
  });

  update("stops at a buffer that cannot be and says how many were replaced", () => {
    using ring = new Ring(4);
    ring.registerBuffersSparse(3);
    const gone = Mapping.anonymous(4096);
    const { address } = gone;
    gone.close();
    const good = Buffer.alloc(64);
    expect(ring.registerBuffersUpdate(0, [good, { address, byteLength: 4096 }, good])).toBe(1);
    ring.prepReadFixed(fd, good, 0, 0);
    expect(complete(ring)).toBe(64);
    ring.prepReadFixed(fd, good, 0, 2);
    expect(complete(ring)).toBe(-EFAULT);
  });
});

describe("a registered buffer that nobody refers to", () => {
  /** Registers buffers of its own making, and tells where they are and whether they are alive. */
  const register = (ring: Ring): { address: number; alive: WeakRef<Uint8Array> } => {
    const bytes = new Uint8Array(65536).fill(0xab);
    ring.registerBuffers([bytes]);
    return { address: addressOf(bytes), alive: new WeakRef(bytes) };
  };
  const collect = async (): Promise<void> => {
    for (let round = 0; round < 4; round++) {
      // References on the stack and in registers go with another frame and another tick.
      await Bun.sleep(1);
      Bun.gc(true);
    }
  };

  test("stays in place until it is unregistered", async () => {
    using ring = new Ring(4);
    const { address, alive } = register(ring);
    await collect();
    // What would take a freed buffer's place.
    const others = Array.from({ length: 64 }, () => new Uint8Array(65536).fill(0xcd));
    expect(alive.deref()?.length).toBe(65536);
    const own = openFile(scratch, "kept");
    ring.prepWriteFixed(own, address, 0, 0, 65536);
    expect(complete(ring)).toBe(65536);
    expect(readFileSync(join(scratch, "kept")).equals(Buffer.alloc(65536, 0xab))).toBe(true);
    expect(others.every((other) => other[0] === 0xcd)).toBe(true);
    closeSync(own);
    ring.unregisterBuffers();
    await collect();
    expect(alive.deref()).toBeUndefined();
  });

  update("is let go when its place is updated, and when the ring is closed", async () => {
    const ring = new Ring(4);
    const first = register(ring);
    ring.registerBuffersUpdate(0, [null]);
    await collect();
    expect(first.alive.deref()).toBeUndefined();
    const second = ((): WeakRef<Uint8Array> => {
      const bytes = new Uint8Array(65536);
      ring.registerBuffersUpdate(0, [bytes]);
      return new WeakRef(bytes);
    })();
    await collect();
    expect(second.deref()).toBeDefined();
    ring.close();
    await collect();
    expect(second.deref()).toBeUndefined();
  });
});
