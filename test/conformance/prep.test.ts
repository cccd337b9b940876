/** What prep functions refuse, and that what they accept ends up whole in the entry and at the address it names. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readSync } from "node:fs";
import { IORING_FILE_INDEX_ALLOC } from "../../src/abi/constants.gen.ts";
import { prepCancel64, prepCancelOp } from "../../src/ring/prep/cancel.ts";
import { prepUringCmd, prepUringCmd128 } from "../../src/ring/prep/cmd.ts";
import { prepFallocate, prepRename, prepStatx } from "../../src/ring/prep/fs.ts";
import { attrPi, sendSetAddr, writeStream } from "../../src/ring/prep/modify.ts";
import { prepMsgRing } from "../../src/ring/prep/msg.ts";
import { prepMultishotAccept } from "../../src/ring/prep/net.ts";
import { prepNopFlags } from "../../src/ring/prep/nop.ts";
import { prepFilesUpdate, prepOpenat, prepOpenatDirect } from "../../src/ring/prep/open.ts";
import { prepPollMultishot } from "../../src/ring/prep/poll.ts";
import { prepRecvMultishot, prepRecvZc } from "../../src/ring/prep/recv.ts";
import { prepRead, prepReadPi, prepReadv, prepWrite, prepWriteStream } from "../../src/ring/prep/rw.ts";
import { prepSendto, prepSendVectorized, prepSendZcVectorized } from "../../src/ring/prep/send.ts";
import { prepTimeoutImmediate, prepTimeoutMultishot, prepTimeoutUpdateImmediate } from "../../src/ring/prep/timeout.ts";
import { prepGetxattr } from "../../src/ring/prep/xattr.ts";
import { addressOf } from "../../src/memory.ts";
import { Slot } from "../../src/ring/prep/slot.ts";
import { Ring } from "../../src/ring/ring.ts";
import { badCalls, exceptions, goodArguments, kindOf } from "./arguments.ts";
import { dirtySlot, entryBytes, prepFunctions, untouched } from "./functions.ts";

/** How a call was refused: null where it was not. */
function refusal(call: () => void): { name: string; code: unknown } | null {
  try {
    call();
  } catch (error) {
    return { name: (error as Error).constructor.name, code: (error as { code?: unknown }).code };
  }
  return null;
}

function slotFor(name: string): Slot {
  const slot = dirtySlot(16);
  // Only the *128 operations look; the others are to be tried on the usual entry.
  slot.wide = name.endsWith("128");
  return slot;
}

describe("each prep function refuses what cannot be before it writes", () => {
  for (const [name, prep] of prepFunctions) {
    test(`${name}() refuses each bad argument and leaves the entry as it was`, () => {
      const fine = slotFor(name);
      const good = goodArguments(prep);
      expect(refusal(() => prep.call(fine, ...good))).toBeNull();
      expect(untouched(fine)).toBe(false);
      for (const { args, what } of badCalls(prep)) {
        const slot = slotFor(name);
        const refused = refusal(() => prep.call(slot, ...args));
        expect({ what, refused: refused !== null, clean: untouched(slot) }).toEqual({
          what,
          refused: true,
          clean: true,
        });
        expect({ what, name: refused?.name }).toEqual({
          what,
          name: expect.stringMatching(/^(Type|Range)Error$/) as unknown as string,
        });
        expect({ what, code: refused?.code }).toEqual({ what, code: expect.stringMatching(/^ERR_URING_/) });
      }
    });
  }

  test("and takes every argument that this test describes", () => {
    const described = new Set([...Object.keys(kindOf), ...Object.keys(exceptions)]);
    for (const { signature } of prepFunctions.values()) {
      for (const { name, type } of signature.parameters) {
        described.delete(`${signature.name}.${name}`);
        described.delete(`${name}: ${type}`);
      }
    }
    expect([...described]).toEqual([]);
  });
});

describe("on a ring", () => {
  const ring = new Ring(4, { rDisabled: true });
  afterAll(() => ring.close());

  test("a refused prep queues nothing", () => {
    for (const [name, prep] of prepFunctions) {
      const [first] = badCalls(prep);
      if (first === undefined) continue;
      const method = (ring as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
      expect({ name, refused: refusal(() => method?.apply(ring, first.args)) !== null }).toEqual({
        name,
        refused: true,
      });
      expect({ name, ready: ring.sqReady() }).toEqual({ name, ready: 0 });
    }
  });
});

// The process's memory, read by way of the kernel: what it will find at an address.
const memory = openSync("/proc/self/mem", "r");
afterAll(() => closeSync(memory));

function bytesAt(address: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(memory, bytes, 0, length, address);
  return bytes;
}

function word(slot: Slot, index: number): number {
  return (slot.words[slot.at + index] as number) >>> 0;
}

function u64(slot: Slot, index: number): bigint {
  return (BigInt(word(slot, index + 1)) << 32n) | BigInt(word(slot, index));
}

const OFF = 2;
const ADDR = 4;
const LEN = 6;
const OP_FLAGS = 7;
const BUF_INDEX = 10;
const FILE_INDEX = 11;
const ADDR3 = 12;
const PAD2 = 14;

describe("memory", () => {
  const text = "what the kernel finds";
  const shared = new SharedArrayBuffer(text.length);
  Buffer.from(shared).write(text);
  const whole = Uint8Array.from(Buffer.from(text)).buffer;
  const around = Buffer.from(`..${text}..`);

  test.each([
    ["a small typed array", new Uint8Array(Buffer.from(text))],
    ["a view in the middle of a buffer", around.subarray(2, 2 + text.length)],
    ["a DataView", new DataView(whole)],
    ["an ArrayBuffer", whole],
    ["a SharedArrayBuffer", shared],
  ])("prepWrite() puts the address of %s in the entry, and its length", (_, view) => {
    const slot = dirtySlot(16);
    prepWrite(slot, 3, view, 0);
    expect(word(slot, LEN)).toBe(text.length);
    expect(bytesAt(Number(u64(slot, ADDR)), text.length).toString()).toBe(text);
  });

  test("prepWrite() takes something located, and a part of any of them", () => {
    const bytes = Buffer.from(text);
    const plain = dirtySlot(16);
    prepWrite(plain, 3, bytes, 0, 4);
    expect(word(plain, LEN)).toBe(4);
    const address = Number(u64(plain, ADDR));
    const slot = dirtySlot(16);
    prepWrite(slot, 3, { address: address + 5, byteLength: 3 }, 0);
    expect(bytesAt(Number(u64(slot, ADDR)), word(slot, LEN)).toString()).toBe("the");
  });

  test("prepRead() of an empty view or of no address at all is 0 bytes at 0", () => {
    for (const nothing of [new Uint8Array(0), 0]) {
      const slot = dirtySlot(16);
      prepRead(slot, 3, nothing, 0);
      expect([u64(slot, ADDR), word(slot, LEN)]).toEqual([0n, 0]);
    }
  });

  test("prepSendto() refuses an address that its sixteen bits of length cannot tell", () => {
    const slot = dirtySlot(16);
    expect(refusal(() => prepSendto(slot, 3, 0, 0, new Uint8Array(65536)))?.code).toBe("ERR_URING_ARG_VALUE");
    expect(untouched(slot)).toBe(true);
    prepSendto(slot, 3, 0, 0, new Uint8Array(65535));
    expect(word(slot, FILE_INDEX)).toBe(65535);
  });

  test("prepReadv() counts the iovecs of a view", () => {
    const slot = dirtySlot(16);
    prepReadv(slot, 3, new Uint8Array(3 * 16 + 5), 0);
    expect(word(slot, LEN)).toBe(3);
    prepReadv(slot, 3, new Uint8Array(3 * 16), 0, 2);
    expect(word(slot, LEN)).toBe(2);
  });

  test("prepFilesUpdate() counts the descriptors of a view", () => {
    const slot = dirtySlot(16);
    prepFilesUpdate(slot, new Int32Array([3, 4, -1]), 5);
    expect([word(slot, LEN), u64(slot, OFF)]).toEqual([3, 5n]);
    prepFilesUpdate(slot, new Int32Array([3]), IORING_FILE_INDEX_ALLOC);
    expect(u64(slot, OFF)).toBe(2n ** 64n - 1n);
  });
});

describe("paths", () => {
  test("prepOpenat() stores a string with its NUL in memory of the slot", () => {
    const slot = dirtySlot(16);
    prepOpenat(slot, -100, "/an/überlong/päth", 0);
    expect(bytesAt(Number(u64(slot, ADDR)), 20).toString()).toBe("/an/überlong/päth\0");
    slot.release();
  });

  test("prepOpenat() ends a shorter path where it ends, after a longer one in the same slot", () => {
    const slot = dirtySlot(16);
    prepOpenat(slot, -100, "/a/long/path/of/an/earlier/use", 0);
    const first = u64(slot, ADDR);
    prepOpenat(slot, -100, "/b", 0);
    expect(u64(slot, ADDR)).toBe(first);
    expect(bytesAt(Number(first), 3).toString()).toBe("/b\0");
    slot.release();
  });

  test("prepRename() keeps two paths apart, and slots keep theirs apart", () => {
    const slot = dirtySlot(16);
    const seen: [number, string][] = [];
    for (const at of [0, 16, 32, 48]) {
      slot.at = at;
      prepRename(slot, `/old/${at}`, "n".repeat(4095));
      seen.push([Number(u64(slot, ADDR)), `/old/${at}\0`], [Number(u64(slot, OFF)), `${"n".repeat(4095)}\0`]);
    }
    for (const [address, path] of seen) expect(bytesAt(address, path.length).toString()).toBe(path);
    slot.release();
  });

  test("prepGetxattr() keeps name and path apart", () => {
    const slot = dirtySlot(32);
    prepGetxattr(slot, "user.name", 0, "/the/path");
    expect(bytesAt(Number(u64(slot, ADDR)), 10).toString()).toBe("user.name\0");
    expect(bytesAt(Number(u64(slot, ADDR3)), 10).toString()).toBe("/the/path\0");
    slot.release();
  });

  test("prepStatx() takes an empty path", () => {
    const slot = dirtySlot(16);
    prepStatx(slot, 3, "", 0x1000, 0x7ff, new Uint8Array(256));
    expect(bytesAt(Number(u64(slot, ADDR)), 1)[0]).toBe(0);
    slot.release();
  });

  test("prepOpenat() takes bytes of the caller's where they are", () => {
    const slot = dirtySlot(16);
    const bytes = Buffer.from("/some/bytes\0");
    for (const path of [bytes, new Uint16Array([0x2f, 0]), new DataView(Uint8Array.of(0x2f, 0).buffer)]) {
      prepOpenat(slot, -100, path, 0);
      const expected = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
      expect(bytesAt(Number(u64(slot, ADDR)), path.byteLength).equals(expected)).toBe(true);
    }
  });
});

describe("numbers", () => {
  test.each([
    [0, 0n],
    [1, 1n],
    [2 ** 31, 2n ** 31n],
    [2 ** 32 - 1, 2n ** 32n - 1n],
    [2 ** 32, 2n ** 32n],
    [2 ** 32 + 7, 2n ** 32n + 7n],
    [2 ** 53 - 1, 2n ** 53n - 1n],
    [2n ** 53n + 1n, 2n ** 53n + 1n],
    [2n ** 63n, 2n ** 63n],
    [2n ** 64n - 1n, 2n ** 64n - 1n],
    [0x1122334455667788n, 0x1122334455667788n],
  ])("%p is the same 64 bits in every field of 64 bits", (value, bits) => {
    const slot = dirtySlot(16);
    prepCancel64(slot, value);
    expect(u64(slot, ADDR)).toBe(bits);
    prepFallocate(slot, 3, 0, value, value);
    expect([u64(slot, OFF), u64(slot, ADDR)]).toEqual([bits, bits]);
    prepMsgRing(slot, 3, 0, value);
    expect(u64(slot, OFF)).toBe(bits);
    prepRead(slot, 3, 0, value);
    expect(u64(slot, OFF)).toBe(bits);
  });

  test.each([-1, -1n])("an offset of %p is the file's own position: 64 bits of ones", (offset) => {
    const slot = dirtySlot(16);
    prepRead(slot, 3, 0, offset);
    expect(u64(slot, OFF)).toBe(2n ** 64n - 1n);
  });

  test("an address past 2^32 keeps all its bits", () => {
    const slot = dirtySlot(16);
    prepRead(slot, 3, 0x7fff_1234_5678, 0, 2 ** 31 - 1);
    expect([u64(slot, ADDR), word(slot, LEN)]).toEqual([0x7fff_1234_5678n, 2 ** 31 - 1]);
  });

  test("flags with the top bit are the same from either sign", () => {
    const slot = dirtySlot(16);
    prepPollMultishot(slot, 3, 0x80000001);
    expect(word(slot, OP_FLAGS)).toBe(0x80000001);
    prepPollMultishot(slot, 3, 0x80000001 | 0);
    expect(word(slot, OP_FLAGS)).toBe(0x80000001);
  });
});

/** The 64 bytes of what liburing has no helper for, in the words that differ from zero. */
describe("what liburing has no helper for", () => {
  function words(call: (slot: Slot) => void): Record<number, number> {
    const slot = dirtySlot(16);
    call(slot);
    const all = Array.from({ length: 16 }, (_, index): [number, number] => [index, word(slot, index)]);
    return Object.fromEntries(all.filter(([, value]) => value !== 0));
  }

  test.each([
    ["prepRecvZc", (s: Slot) => prepRecvZc(s, 5, 3, 9), { 0: 0x0002_003a, 1: 5, [LEN]: 9, [FILE_INDEX]: 3 }],
    [
      "prepTimeoutMultishot",
      (s: Slot) => prepTimeoutMultishot(s, 0x1000, 4, 8),
      { 0: 11, 1: 0xffffffff, [OFF]: 4, [ADDR]: 0x1000, [LEN]: 1, [OP_FLAGS]: 0x48 },
    ],
    [
      "prepTimeoutImmediate",
      (s: Slot) => prepTimeoutImmediate(s, 5_000_000_000),
      { 0: 11, 1: 0xffffffff, [ADDR]: 0x2a05f200, [ADDR + 1]: 1, [LEN]: 1, [OP_FLAGS]: 0x80 },
    ],
    [
      "prepTimeoutUpdateImmediate",
      (s: Slot) => prepTimeoutUpdateImmediate(s, 5_000_000_000, 7),
      { 0: 12, 1: 0xffffffff, [OFF]: 0x2a05f200, [OFF + 1]: 1, [ADDR]: 7, [OP_FLAGS]: 0x82 },
    ],
    [
      "prepSendVectorized",
      (s: Slot) => prepSendVectorized(s, 5, 0x1000, 2, 3),
      { 0: 0x0020_001a, 1: 5, [ADDR]: 0x1000, [LEN]: 3, [OP_FLAGS]: 2 },
    ],
    [
      "prepSendZcVectorized",
      (s: Slot) => prepSendZcVectorized(s, 5, 0x1000, 2, 8, 3),
      { 0: 0x0028_002f, 1: 5, [ADDR]: 0x1000, [LEN]: 3, [OP_FLAGS]: 2 },
    ],
    [
      "prepReadPi",
      (s: Slot) => prepReadPi(s, 5, 0x1000, 8, 0x2000, 16),
      { 0: 22, 1: 5, [OFF]: 8, [ADDR]: 0x1000, [LEN]: 16, [ADDR3]: 0x2000, [PAD2]: 1 },
    ],
    [
      "prepWriteStream",
      (s: Slot) => prepWriteStream(s, 5, 0x1000, 8, 200, 16),
      { 0: 23, 1: 5, [OFF]: 8, [ADDR]: 0x1000, [LEN]: 16, [FILE_INDEX]: 200 },
    ],
    [
      "prepNopFlags",
      (s: Slot) => prepNopFlags(s, 0x3f, -5, 6, 7, 8, 9),
      { 1: 6, [OFF]: 8, [ADDR]: 9, [LEN]: 0xfffffffb, [OP_FLAGS]: 0x3f, [BUF_INDEX]: 7 },
    ],
    ["prepCancelOp", (s: Slot) => prepCancelOp(s, 22, 1), { 0: 14, 1: 0xffffffff, [LEN]: 22, [OP_FLAGS]: 0x21 }],
  ])("%s() writes the entry that the kernel's header describes", (_, call, expected) => {
    expect(words(call)).toEqual(expected as Record<number, number>);
  });

  test("prepRecvMultishot() and prepMultishotAccept() need no memory", () => {
    expect(words((slot) => prepRecvMultishot(slot, 5))).toEqual({ 0: 0x0002_001b, 1: 5 });
    expect(words((slot) => prepMultishotAccept(slot, 5))).toEqual({ 0: 0x0001_000d, 1: 5 });
  });

  test("modifiers of the entry change their fields only", () => {
    const slot = dirtySlot(16);
    prepWrite(slot, 3, 0x1000, 0, 16);
    const before = entryBytes(slot).slice();
    sendSetAddr(slot, 0x3000, 28);
    expect([u64(slot, OFF), word(slot, FILE_INDEX)]).toEqual([0x3000n, 28]);
    prepWrite(slot, 3, 0x1000, 0, 16);
    attrPi(slot, 0x4000);
    expect([u64(slot, ADDR3), u64(slot, PAD2)]).toEqual([0x4000n, 1n]);
    prepWrite(slot, 3, 0x1000, 0, 16);
    writeStream(slot, 7);
    expect(word(slot, FILE_INDEX)).toBe(7);
    prepWrite(slot, 3, 0x1000, 0, 16);
    expect(entryBytes(slot)).toEqual(before);
  });
});

describe("commands", () => {
  const bytes = Uint8Array.from({ length: 80 }, (_, index) => index + 1);

  test("prepUringCmd() copies 16 bytes into an entry of 64, and clears what a shorter command leaves", () => {
    const slot = dirtySlot(16);
    prepUringCmd(slot, 9, 3, bytes.subarray(0, 16));
    expect(entryBytes(slot).subarray(48)).toEqual(bytes.subarray(0, 16));
    prepUringCmd(slot, 9, 3, bytes.subarray(0, 5));
    expect([...entryBytes(slot).subarray(48)]).toEqual([1, 2, 3, 4, 5, ...Array.from({ length: 11 }, () => 0)]);
    expect(refusal(() => prepUringCmd(slot, 9, 3, bytes.subarray(0, 17)))?.code).toBe("ERR_URING_ARG_VALUE");
  });

  test("prepUringCmd() copies 80 bytes into an entry of 128, and clears what a shorter command leaves", () => {
    const slot = dirtySlot(32);
    prepUringCmd(slot, 9, 3, bytes);
    expect(entryBytes(slot).subarray(48)).toEqual(bytes);
    prepUringCmd(slot, 9, 3, bytes.subarray(0, 18));
    const rest = Array.from({ length: 62 }, () => 0);
    expect([...entryBytes(slot).subarray(48)]).toEqual([...bytes.subarray(0, 18), ...rest]);
  });

  test("prepUringCmd() names memory with its length, or what else its driver counts, and refuses more than there is", () => {
    const memory = new Uint8Array(96);
    const slot = dirtySlot(16);
    prepUringCmd(slot, 9, 3, null, memory);
    expect([u64(slot, ADDR), word(slot, LEN)]).toEqual([BigInt(addressOf(memory)), 96]);
    prepUringCmd(slot, 9, 3, null, memory, 2);
    expect([u64(slot, ADDR), word(slot, LEN)]).toEqual([BigInt(addressOf(memory)), 2]);
    prepUringCmd(slot, 9, 3);
    expect([u64(slot, ADDR), word(slot, LEN)]).toEqual([0n, 0]);
    const fresh = dirtySlot(16);
    expect(refusal(() => prepUringCmd(fresh, 9, 3, null, memory, 97))?.code).toBe("ERR_URING_ARG_VALUE");
    expect(refusal(() => prepUringCmd(fresh, 9, 3, null, 4096))?.code).toBe("ERR_URING_ARG_TYPE");
    expect(untouched(fresh)).toBe(true);
    const wide = dirtySlot(32);
    prepUringCmd128(wide, 9, 3, bytes, memory, 2);
    expect([u64(wide, ADDR), word(wide, LEN)]).toEqual([BigInt(addressOf(memory)), 2]);
    expect(entryBytes(wide).subarray(48)).toEqual(bytes);
  });

  test("prepUringCmd128() refuses an entry of 64 bytes and fills two of them where the ring gives two", () => {
    const slot = dirtySlot(16);
    expect(refusal(() => prepUringCmd128(slot, 9, 3, bytes))?.code).toBe("ERR_URING_STATE");
    expect(untouched(slot)).toBe(true);
    slot.wide = true;
    prepUringCmd128(slot, 9, 3, bytes);
    expect(entryBytes(slot, 128).subarray(48)).toEqual(bytes);
  });
});

test("prepOpenatDirect() stores an index plus one, and IORING_FILE_INDEX_ALLOC as it is", () => {
  const slot = dirtySlot(16);
  for (const [index, stored] of [
    [0, 1],
    [41, 42],
    [2 ** 31 - 1, 2 ** 31],
    [IORING_FILE_INDEX_ALLOC, 0xffffffff],
  ] as const) {
    prepOpenatDirect(slot, -100, "/x", 0, 0, index);
    expect(word(slot, FILE_INDEX)).toBe(stored);
  }
  slot.release();
});
