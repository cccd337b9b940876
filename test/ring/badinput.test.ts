/** What no ring can be asked: after it was closed, by a forked child, by an opcode that is not there; and that it survives being asked. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, readdirSync, writeSync } from "node:fs";
import { BufferPool, BufferRing, type Cqe, EINVAL, IORING_OP_LAST, Ring, type Sqe } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { report } from "../support/child.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import type { Forked } from "../support/fork.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { outcomesOf, publicMembers } from "../support/members.ts";

// Programs are started, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const scratch = scratchDirectory();
const content = pattern(8192);
const fd = openFile(scratch, "content", content);

afterAll(() => closeSync(fd));

/** Members that tell of the object and touch nothing of the kernel's. */
const harmless = [
  "setup",
  "fd",
  "closed",
  "disabled",
  "errno",
  "enters",
  "overflows",
  "newCqe",
  "hasFeature",
  "registeredBuffers",
  "registeredFiles",
  "ringFdRegistered",
  // The kernel is asked once, and answers for every ring.
  "probe",
  "supports",
];

/** Sorts what came of each member into what was refused with `code`, and the rest. */
function others(outcomes: Record<string, string>, code: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(outcomes).filter(([name, outcome]) => {
      if (outcome === code) return false;
      // A registration may look at its arguments, or at what is registered, before it looks at the ring.
      if (/^(?:register(?!ed)|unregister|clone|resize|closeRingFd|submitAndWaitReg)/.test(name))
        return !outcome.startsWith("ERR_URING_");
      return !(harmless.includes(name) && outcome.startsWith("returned"));
    }),
  );
}

describe("a closed ring", () => {
  test("is found out by everything that can be done with one", () => {
    expect(publicMembers().length).toBeGreaterThan(100);
    const ring = new Ring(8);
    ring.prepNop();
    ring.submitAndWait(1);
    ring.close();
    expect(others(outcomesOf(ring), "ERR_URING_CLOSED")).toEqual({
      // Nothing is there: that is an answer, not a mistake.
      sqReady: "returned 0",
      sqSpaceLeft: "returned 0",
      cqReady: "returned 0",
      cqHasOverflow: "returned false",
      cqDropped: "returned 0",
      nextCqe: "returned null",
      seenCqe: "returned undefined",
      // What was learnt while it was open is still known, and a second end is none.
      close: "returned undefined",
      "Symbol.dispose": "returned undefined",
    });
    expect([ring.closed, ring.fd]).toEqual([true, -1]);
  });

  overLayouts((layout) => {
    test("is found out, with requests queued, completed and in flight before", () => {
      const own = pipe(scratch);
      const ring = ringOf(layout, 8);
      ring.prepRead(own.read, kept(Buffer.alloc(8)), 0);
      ring.prepNop();
      ring.submitAndWait(1);
      const cqe = ring.peekCqe() as Cqe;
      const sqe = ring.prepNop();
      ring.close();
      expect(() => ring.prepNop()).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
      expect(() => ring.submit()).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
      expect(() => ring.peekCqe()).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
      expect([ring.cqReady(), ring.sqReady(), ring.nextCqe()]).toEqual([0, 0, null]);
      // Views that were kept show nothing, and what is written to them goes nowhere.
      expect(cqe.res).toBeUndefined();
      expect(sqe.userData(5).link()).toBe(sqe);
      closeSync(own.read);
      closeSync(own.write);
    });
  });

  test("is found out by compiled code as well", () => {
    const ring = new Ring(8);
    const view = ring.newCqe();
    let sqe: Sqe | undefined;
    const round = (): number => {
      sqe = ring.prepNop().userData(3);
      ring.submitAndWait(1);
      const res = ring.peekCqe()?.userData ?? -1;
      ring.peekBatch([view]);
      ring.seenCqe();
      return res + (view.res ?? 0);
    };
    for (let i = 0; i < 20_000; i++) round();
    ring.close();
    for (let i = 0; i < 1000; i++) {
      expect(round).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
      sqe?.userData(i);
      view.userDataLow;
      ring.nextCqe();
      ring.seenCqe();
      ring.cqReady();
    }
  });

  test("is closed once: the descriptor's number may be another's by then", () => {
    const ring = new Ring(4);
    const number = ring.fd;
    ring.close();
    const others: Ring[] = [];
    while (others.at(-1)?.fd !== number && others.length < 100) others.push(new Ring(1));
    expect(others.at(-1)?.fd).toBe(number);
    ring.close();
    ring[Symbol.dispose]();
    const reused = others.at(-1) as Ring;
    reused.prepNop();
    expect(complete(reused)).toBe(0);
    for (const other of others) other.close();
  });

  test("closes what was made on it, whose use is found out", () => {
    const ring = new Ring(4);
    const pool = new BufferPool(ring, { count: 2, size: 4096 });
    const taken = pool.take();
    ring.close();
    expect(taken?.bytes.length).toBe(0);
    expect(() => pool.take()).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
    using other = new Ring(4);
    expect(() => other.prepRead(fd, taken as NonNullable<typeof taken>, 0)).toThrow(
      expect.objectContaining({ code: "ERR_URING_CLOSED" }),
    );
    expect(other.sqReady()).toBe(0);
  });
});

/** The end of a child that hung. */
const SIGALRM = 14;

describe("a forked child", () => {
  for (const [options, flag] of [
    ["{}", "IORING_SETUP_CLAMP"],
    ['{"sqpoll":true}', "IORING_SETUP_SQPOLL"],
    ['{"modern":true}', "IORING_SETUP_CLAMP"],
    ['{"noMmap":true}', "IORING_SETUP_NO_MMAP"],
    ['{"cqeMixed":true}', "IORING_SETUP_CQE_MIXED"],
  ] as const) {
    needs(flag)(`is refused everything, and the parent's ring works on: ${options}`, () => {
      let forked = report<Forked>("fork.ts", [options]);
      // A child of a process with other threads may find a lock of theirs taken for good, wherever it is: no ring's fault.
      for (let again = 0; again < 3 && forked.status === SIGALRM; again++)
        forked = report<Forked>("fork.ts", [options]);
      const { status, outcomes, completions, read } = forked;
      // 11 would be a segmentation fault.
      expect(status).toBe(0);
      expect(Object.keys(outcomes)).toEqual(expect.arrayContaining(publicMembers()));
      expect(others(outcomes, "ERR_URING_FORKED")).toEqual({});
      expect(completions.toSorted()).toEqual([1, 2, 3, 4]);
      expect(read).toBe("parent");
    });
  }

  test("that executes another program takes nothing with it", async () => {
    using ring = new Ring(4);
    const own = pipe(scratch);
    const buffer = Buffer.alloc(8);
    ring.prepRead(own.read, buffer, 0).userData(1);
    ring.submit();
    const child = Bun.spawn(["sh", "-c", "readlink /proc/self/fd/*"], { stdout: "pipe" });
    const descriptors = await child.stdout.text();
    expect(readdirSync("/proc/self/fd").length).toBeGreaterThan(3);
    expect(descriptors).not.toContain("io_uring");
    writeSync(own.write, "alive");
    expect(complete(ring)).toBe(5);
    expect(buffer.toString("latin1", 0, 5)).toBe("alive");
    closeSync(own.read);
    closeSync(own.write);
  });
});

describe("an operation that the kernel lacks", () => {
  test("is known beforehand, answers EINVAL, and the others go on", () => {
    using ring = new Ring(8);
    const lacking = Array.from({ length: 256 }, (_, op) => op).filter((op) => !ring.supports(op));
    expect(lacking).toContain(IORING_OP_LAST);
    for (const op of [lacking[0] as number, 255]) {
      ring.prepNop().userData(1);
      ring.prepRw(op, -1, 0, 0, 0).userData(2);
      ring.prepNop().userData(3);
      ring.submitAndWait(3);
      const results: Record<number, number> = {};
      ring.forEachCqe((cqe) => {
        results[cqe.userData] = cqe.res;
        if (cqe.res < 0) expect(cqe.error(`operation ${op}`).message).toBe(`EINVAL: invalid argument, operation ${op}`);
      });
      // Kernel: up to 6.1 a refusal comes before the results of what was queued before it.
      expect(results).toEqual({ 1: 0, 2: -EINVAL, 3: 0 });
    }
  });
});

describe("memory that cannot be", () => {
  const detached = new Uint8Array(64);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const cases: [string, () => unknown, string][] = [
    ["no memory at all", () => "text", "ERR_URING_ARG_TYPE"],
    ["a list", () => [1, 2], "ERR_URING_ARG_TYPE"],
    ["a detached buffer", () => detached, "ERR_URING_BUFFER"],
    ["a resizable buffer", () => new ArrayBuffer(8, { maxByteLength: 64 }), "ERR_URING_BUFFER"],
    ["an address below 0", () => -4096, "ERR_URING_ARG_VALUE"],
    ["an address past 2^53", () => 2 ** 53, "ERR_URING_ARG_VALUE"],
  ];
  test.each(cases)("%s is refused while others are queued, and none is lost", (_name, memory, code) => {
    using ring = new Ring(4);
    const buffer = Buffer.alloc(64);
    ring.prepRead(fd, buffer, 0).userData(1).link();
    expect(() => ring.prepRead(fd, memory() as Buffer, 0, 8)).toThrow(expect.objectContaining({ code }));
    expect(() => ring.prepWrite(fd, memory() as Buffer, 0, 8)).toThrow(expect.objectContaining({ code }));
    expect(ring.sqReady()).toBe(1);
    ring.prepNop().userData(2);
    ring.submitAndWait(2);
    const seen: number[][] = [];
    ring.forEachCqe((cqe) => seen.push([cqe.userData, cqe.res]));
    expect(seen).toEqual([
      [1, 64],
      [2, 0],
    ]);
    expect(buffer.equals(content.subarray(0, 64))).toBe(true);
  });

  test("an address where nothing is answers EFAULT and harms nobody", () => {
    using ring = new Ring(4);
    ring.prepRead(fd, 4096, 0, 100);
    expect(complete(ring)).toBe(-14);
    ring.prepRead(fd, 2 ** 52, 0, 100);
    expect(complete(ring)).toBe(-14);
  });

  test("a length past the memory, past 2^31 - 1, below 0, or no number is refused", () => {
    using ring = new Ring(4);
    const buffer = Buffer.alloc(64);
    for (const length of [65, 2 ** 31, 2 ** 32, -1, 1.5, Number.NaN, "8" as unknown as number]) {
      expect(() => ring.prepRead(fd, buffer, 0, length)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
      );
    }
    expect(() => ring.prepRead(fd, 4096, 0, 2 ** 31)).toThrow("2147483647 bytes at most");
    expect(() => ring.prepRead(fd, 4096, 0)).toThrow("pass its length");
    expect(ring.sqReady()).toBe(0);
  });

  test("a small typed array stays where the request was told it is", () => {
    using ring = new Ring(4);
    const small = new Uint8Array(100);
    ring.prepRead(fd, small, 0);
    // Touching the buffer is what would have moved the bytes elsewhere.
    const { buffer } = small;
    const half = small.subarray(50);
    expect(complete(ring)).toBe(100);
    expect(Buffer.from(small).equals(content.subarray(0, 100))).toBe(true);
    expect(Buffer.from(buffer).equals(content.subarray(0, 100))).toBe(true);
    expect(half[0]).toBe(content[50] as number);
  });
});

describe("what is made on a ring", () => {
  test("is refused where the ring is closed, and leaves nothing behind", () => {
    const ring = new Ring(4);
    ring.close();
    const closed = expect.objectContaining({ code: "ERR_URING_CLOSED" });
    expect(() => new BufferPool(ring, { count: 2, size: 64 })).toThrow(closed);
    expect(() => new BufferRing(ring, { group: 1, entries: 2, size: 64 })).toThrow(closed);
  });
});
