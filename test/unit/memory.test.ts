/** Addresses, lengths and mappings. What an address points at is read back through /proc/self/mem. */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { EINVAL, ENOMEM } from "../../src/abi/errno.gen.ts";
import { addressOf, forkedError, forkGuard, lengthOf, Mapping, type Memory } from "../../src/memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import { flagsAt, mappingCount, peek, poke, residentPages } from "../syscall/proc.ts";

const bits = (value: unknown): number => value as number;
const not = (value: unknown): Memory => value as Memory;

/** Every kind of view, by what makes one of part of a buffer. */
const viewTypes: readonly (new (buffer: ArrayBuffer, at: number, length: number) => NodeJS.ArrayBufferView)[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Float16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];

describe("addressOf()", () => {
  test.each(viewTypes.map((type) => [type.name, type] as const))("finds the first byte of a %s", (_, View) => {
    const buffer = new ArrayBuffer(64);
    new Uint8Array(buffer).set(Buffer.from("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+"));
    const view = new View(buffer, 8, 2);
    const address = addressOf(view);
    expect(peek(address, view.byteLength)).toBe("89abcdefghijklmnopqrstuvwx".slice(0, view.byteLength));
    expect(address).toBe(addressOf(buffer) + 8);
  });

  test("finds a Buffer, an ArrayBuffer and a SharedArrayBuffer", () => {
    const pooled = Buffer.from("pooled");
    expect(peek(addressOf(pooled), 6)).toBe("pooled");
    const buffer = new ArrayBuffer(5);
    new Uint8Array(buffer).set(Buffer.from("plain"));
    expect(peek(addressOf(buffer), 5)).toBe("plain");
    const shared = new SharedArrayBuffer(6);
    new Uint8Array(shared).set(Buffer.from("shared"));
    expect(peek(addressOf(shared), 6)).toBe("shared");
    expect(addressOf(new Uint8Array(shared, 2))).toBe(addressOf(shared) + 2);
  });

  test("finds WebAssembly's memory", () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const view = new Uint8Array(memory.buffer);
    view.set(Buffer.from("wasm"), 100);
    expect(peek(addressOf(view.subarray(100)), 4)).toBe("wasm");
  });

  test("returns what has an address, and numbers, as they are", () => {
    using mapping = disposable(Mapping.anonymous(4096));
    expect(addressOf(mapping.it)).toBe(mapping.it.address);
    expect(addressOf(mapping.it.bytes)).toBe(mapping.it.address);
    expect(addressOf(mapping.it.words)).toBe(mapping.it.address);
    expect(addressOf({ address: 4096, byteLength: 1 })).toBe(4096);
    expect(addressOf(0)).toBe(0);
    expect(addressOf(0x7fff_ffff_f000)).toBe(0x7fff_ffff_f000);
    expect(addressOf(Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("returns NULL for memory without bytes", () => {
    expect(addressOf(new Uint8Array(0))).toBe(0);
    expect(addressOf(new Uint8Array(new ArrayBuffer(8), 8))).toBe(0);
    expect(addressOf(new ArrayBuffer(0))).toBe(0);
    expect(addressOf(new SharedArrayBuffer(0))).toBe(0);
    expect(addressOf(new DataView(new ArrayBuffer(0)))).toBe(0);
  });

  // Bun: test/syscall/bun.test.ts shows that they move without it.
  test.each([1, 8, 64, 100, 512, 1000])("settles a typed array of %d bytes for good", (length) => {
    const touches: ((view: Uint8Array) => unknown)[] = [
      (view) => view.buffer,
      (view) => view.subarray(1),
      (view) => structuredClone(view),
      (view) => new DataView(view.buffer),
      (view) => Buffer.from(view.buffer).subarray(0, 1),
      () => Bun.gc(true),
    ];
    for (const touch of touches) {
      const view = new Uint8Array(length).fill(0x61);
      const address = addressOf(view);
      touch(view);
      expect(addressOf(view)).toBe(address);
      poke(address, "k");
      expect(view[0]).toBe(0x6b);
    }
  });

  test("keeps its answer while the collector works around it", () => {
    const views = Array.from({ length: 2000 }, (_, i) => new Uint8Array(1 + (i % 900)).fill(i));
    const addresses = views.map((view) => addressOf(view));
    for (let round = 0; round < 3; round++) {
      Bun.gc(true);
      Array.from({ length: 10_000 }, (_, i) => new Uint8Array(i % 900));
    }
    expect(views.map((view) => addressOf(view))).toEqual(addresses);
    for (const [i, view] of views.entries()) {
      expect(peek(addresses[i] as number, 1).charCodeAt(0)).toBe(i & 255);
      expect(view[0]).toBe(i & 255);
    }
  });

  test("refuses detached memory", () => {
    const buffer = new ArrayBuffer(8);
    const view = new Uint8Array(buffer);
    buffer.transfer();
    const refusal = expect.objectContaining({ name: "TypeError", code: "ERR_URING_BUFFER" });
    expect(() => addressOf(buffer)).toThrow(refusal);
    expect(() => addressOf(view)).toThrow(refusal);
    expect(() => addressOf(view)).toThrow("Cannot use a detached buffer: its memory was transferred elsewhere");
    const sent = new Uint8Array(8);
    structuredClone(sent, { transfer: [sent.buffer] });
    expect(() => addressOf(sent)).toThrow(refusal);
  });

  test("refuses memory that can change its size", () => {
    const refusal = expect.objectContaining({ name: "TypeError", code: "ERR_URING_BUFFER" });
    const resizable = new ArrayBuffer(8, { maxByteLength: 16 });
    const growable = new SharedArrayBuffer(8, { maxByteLength: 16 });
    for (const memory of [resizable, growable, new Uint8Array(resizable), new DataView(growable)]) {
      expect(() => addressOf(memory)).toThrow(refusal);
      expect(() => addressOf(memory)).toThrow("Cannot use a resizable buffer");
    }
  });

  test.each([
    ["a string", "text", 'Cannot take the address of "text": it is not memory'],
    ["an array", [1, 2], "Cannot take the address of an instance of Array: it is not memory"],
    ["an object", { byteLength: 8 }, "Cannot take the address of an instance of Object: it is not memory"],
    ["null", null, "Cannot take the address of null: it is not memory"],
    ["undefined", undefined, "Cannot take the address of undefined: it is not memory"],
    ["true", true, "Cannot take the address of true: it is not memory"],
    ["a bigint", 4096n, "Cannot take the address of 4096n: it is not memory"],
    ["a symbol", Symbol("place"), "Cannot take the address of Symbol(place): it is not memory"],
    ["a function", () => 0, "Cannot take the address of a function: it is not memory"],
  ])("refuses %s", (_, value, message) => {
    expect(() => addressOf(not(value))).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_URING_ARG_TYPE", message }),
    );
  });

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])("refuses %p as an address", (value) => {
    expect(() => addressOf(value)).toThrow(
      expect.objectContaining({ name: "RangeError", code: "ERR_URING_ARG_VALUE" }),
    );
  });
});

describe("lengthOf()", () => {
  test("covers all of the memory, or what is asked for", () => {
    expect(lengthOf(new Float64Array(3), undefined)).toBe(24);
    expect(lengthOf(new DataView(new ArrayBuffer(9), 2), undefined)).toBe(7);
    expect(lengthOf(new SharedArrayBuffer(11), undefined)).toBe(11);
    expect(lengthOf({ address: 4096, byteLength: 12 }, undefined)).toBe(12);
    expect(lengthOf(new Uint8Array(8), 8)).toBe(8);
    expect(lengthOf(new Uint8Array(8), 0)).toBe(0);
    expect(lengthOf(4096, 2 ** 31 - 1)).toBe(2 ** 31 - 1);
    expect(lengthOf(0, undefined)).toBe(0);
  });

  test("refuses more than there is", () => {
    expect(() => lengthOf(new Uint8Array(8), 9)).toThrow(
      expect.objectContaining({
        name: "RangeError",
        code: "ERR_URING_ARG_VALUE",
        message: "Cannot use a length of 9: the memory has 8 bytes",
      }),
    );
  });

  test("refuses more than one request can move", () => {
    const refusal = expect.objectContaining({ name: "RangeError", code: "ERR_URING_ARG_VALUE" });
    expect(() => lengthOf(4096, 2 ** 31)).toThrow(refusal);
    expect(() => lengthOf({ address: 4096, byteLength: 2 ** 31 }, undefined)).toThrow(refusal);
    expect(() => lengthOf(4096, Number.POSITIVE_INFINITY)).toThrow(refusal);
  });

  test("refuses a bare address without a length", () => {
    expect(() => lengthOf(4096, undefined)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_URING_ARG_TYPE" }),
    );
  });

  test.each([-1, 0.5, Number.NaN])("refuses %p as a length", (length) => {
    expect(() => lengthOf(new Uint8Array(8), length)).toThrow(
      expect.objectContaining({ name: "RangeError", code: "ERR_URING_ARG_VALUE" }),
    );
  });

  test.each(["3", 3n, true, null, {}, Symbol("three")])("refuses %p as a length", (length) => {
    expect(() => lengthOf(new Uint8Array(8), bits(length))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
    );
  });

  test.each(["text", null, undefined, {}])("refuses %p as memory", (memory) => {
    expect(() => lengthOf(not(memory), undefined)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_URING_ARG_TYPE" }),
    );
  });
});

describe("Mapping", () => {
  test("anonymous() maps zeroed memory that its views and the kernel see alike", () => {
    using mapping = disposable(Mapping.anonymous(10_000));
    const { address, bytes, words, byteLength } = mapping.it;
    expect([byteLength, bytes.length, words.length, address % 4096]).toEqual([10_000, 10_000, 2500, 0]);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    words[1] = 0x64636261;
    expect(peek(address + 4, 4)).toBe("abcd");
    poke(address + 9_999, "z");
    expect(bytes[9_999]).toBe(0x7a);
  });

  test("anonymous() is left out of a forked child", () => {
    using mapping = disposable(Mapping.anonymous(4096));
    expect(flagsAt(mapping.it.address)).toContain("dc");
  });

  test("anonymous() has every page present with populate, and none without", () => {
    using eager = disposable(Mapping.anonymous(64 * 4096, { populate: true }));
    expect(residentPages(eager.it.address, 64)).toBe(64);
    using lazy = disposable(Mapping.anonymous(64 * 4096));
    expect(residentPages(lazy.it.address, 64)).toBe(0);
  });

  test("anonymous() says what the kernel refused", () => {
    const refusal = expect.objectContaining({ name: "UringError", code: "ENOMEM", errno: -ENOMEM, syscall: "mmap" });
    expect(() => Mapping.anonymous(2 ** 52)).toThrow(refusal);
    expect(() => Mapping.anonymous(0)).toThrow(expect.objectContaining({ code: "EINVAL", errno: -EINVAL }));
  });

  test("anonymous() says ENOMEM where there are too few huge pages, at once and not by a signal later", () => {
    const info = readFileSync("/proc/meminfo", "utf8");
    const free = Number(/^HugePages_Free:\s+(\d+)$/m.exec(info)?.[1] ?? 0);
    const size = Number(/^Hugepagesize:\s+(\d+) kB$/m.exec(info)?.[1] ?? 2048) * 1024;
    let outcome: unknown = "a mapping without memory behind it";
    try {
      // Not handed to expect(), which would look inside to print it: there may be nothing to look at.
      Mapping.anonymous((free + 64) * size, { hugePages: true }).close();
    } catch (error) {
      outcome = error;
    }
    expect(outcome).toMatchObject({ code: "ENOMEM", syscall: "mmap" });
  });

  test("ofDescriptor() shares a descriptor's memory from an offset on", () => {
    const { memfd, close } = syscalls();
    const fd = memfd(addressOf(Buffer.from("shared\0")), 1);
    writeSync(fd, Buffer.alloc(8192, "."), 0, 8192, 0);
    const mapping = Mapping.ofDescriptor(fd, 4096, 4096);
    expect(flagsAt(mapping.address)).toEqual(expect.arrayContaining(["sh", "dc"]));
    mapping.bytes.set(Buffer.from("through"));
    const back = Buffer.alloc(8);
    readSync(fd, back, 0, 8, 4096);
    expect(back.toString()).toBe("through.");
    close(fd);
    expect(mapping.bytes[7]).toBe(".".charCodeAt(0));
    mapping.close();
    expect(() => Mapping.ofDescriptor(fd, 0, 4096)).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  test("readOnly() maps what may not be written", () => {
    const fd = openSync(import.meta.path, "r");
    expect(() => Mapping.ofDescriptor(fd, 0, 4096)).toThrow(expect.objectContaining({ code: "EACCES" }));
    const mapping = Mapping.readOnly(fd, 0, 4096);
    closeSync(fd);
    expect(flagsAt(mapping.address)).toEqual(expect.arrayContaining(["rd", "dc"]));
    expect(flagsAt(mapping.address)).not.toContain("wr");
    expect(Buffer.from(mapping.bytes).equals(readFileSync(import.meta.path).subarray(0, 4096))).toBe(true);
    mapping.close();
    expect(mapping.bytes).toHaveLength(0);
  });

  test("close() empties every view, compiled code's too, and unmaps", () => {
    const mapping = Mapping.anonymous(4096);
    const { address, bytes, words } = mapping;
    const more = [
      bytes.subarray(16),
      new DataView(bytes.buffer),
      new BigUint64Array(bytes.buffer),
      Buffer.from(bytes.buffer),
    ];
    const look = (index: number): number | undefined => bytes[index];
    const put = (index: number, value: number): void => void (words[index] = value);
    for (let i = 0; i < 100_000; i++) {
      put(i & 255, 0x01010101);
      if (look(i & 255) !== 1) throw new Error("a write is not seen");
    }
    expect(flagsAt(address)).toBeDefined();
    mapping.close();
    expect(flagsAt(address)).toBeUndefined();
    expect(look(0)).toBeUndefined();
    expect(() => put(0, 7)).not.toThrow();
    expect(words[0]).toBeUndefined();
    expect([bytes.length, words.length, bytes.buffer.detached]).toEqual([0, 0, true]);
    for (const view of more.filter((it) => !(it instanceof DataView))) expect(view.byteLength).toBe(0);
  });

  test("close() leaves nothing that a request could use", () => {
    const mapping = Mapping.anonymous(4096);
    mapping.close();
    // Neither the address, which is someone else's soon, nor the length.
    let usable: unknown;
    try {
      usable = addressOf(mapping) + lengthOf(mapping, undefined);
    } catch (error) {
      usable = (error as { code?: string }).code;
    }
    expect([0, "ERR_URING_CLOSED"]).toContain(usable as number);
    expect(() => addressOf(mapping.bytes)).toThrow(expect.objectContaining({ code: "ERR_URING_BUFFER" }));
  });

  test("close() twice is one close", () => {
    const mapping = Mapping.anonymous(4096);
    const { address } = mapping;
    mapping.close();
    // The address may be someone else's by now: a second munmap would take it from them.
    const { mmap, munmap } = syscalls();
    const other = mmap(address, 4096, 3, 0x32, -1, 0);
    expect(other).toBe(address);
    mapping.close();
    expect(flagsAt(other)).toBeDefined();
    expect(munmap(other, 4096)).toBe(0);
  });

  test("10,000 mappings made and closed leave nothing behind", () => {
    const round = (n: number): void => {
      for (let i = 0; i < n; i++) {
        const mapping = Mapping.anonymous(4096);
        mapping.bytes[0] = 1;
        mapping.close();
      }
    };
    round(1000);
    Bun.gc(true);
    const [mappings, resident] = [mappingCount(), process.memoryUsage.rss()];
    round(10_000);
    Bun.gc(true);
    expect(mappingCount() - mappings).toBeLessThan(50);
    // 10,000 pages would be 40 MiB.
    expect(process.memoryUsage.rss() - resident).toBeLessThan(16 * 2 ** 20);
  });
});

describe("forkGuard()", () => {
  test("is 1 in this process, wiped in a forked child, and one page for all", () => {
    const guard = forkGuard();
    expect(guard[0]).toBe(1);
    expect(forkGuard()).toBe(guard);
    expect(flagsAt(addressOf(guard))).toContain("wf");
  });

  test("forkedError() says what a child can do", () => {
    expect(forkedError()).toMatchObject({ code: "ERR_URING_FORKED" });
    expect(forkedError().message).toContain("make a new ring");
  });
});

/** Closes a mapping at the end of the scope. */
function disposable(it: Mapping): Disposable & { it: Mapping } {
  return { it, [Symbol.dispose]: () => it.close() };
}
