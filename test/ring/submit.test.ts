/** How entries are queued, taken back, submitted, and waited for; what a full queue, a chain and a bad entry do to it. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import { IORING_OP_NOP, IORING_OP_READ, IORING_SETUP_SQPOLL, IOSQE_IO_LINK } from "../../src/abi/constants.gen.ts";
import { EINVAL } from "../../src/abi/errno.gen.ts";
import { Ring } from "../../src/index.ts";
import { addressOf } from "../../src/memory.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { patience } from "../support/patience.ts";

const scratch = scratchDirectory();
const content = pattern(8192);
const fd = openFile(scratch, "content", content);
const idle = pipe(scratch);

afterAll(() => {
  for (const open of [fd, idle.read, idle.write]) closeSync(open);
});

/** User data and result of everything that is there, in order. */
function reap(ring: Ring): [number, number][] {
  const seen: [number, number][] = [];
  for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) seen.push([cqe.userData, cqe.res]);
  return seen;
}

const nops = (ring: Ring, from: number, count: number): void => {
  for (let i = 0; i < count; i++) ring.prepNop().userData(from + i);
};

const upTo = (count: number): [number, number][] => Array.from({ length: count }, (_, i) => [i, 0]);

describe("getSqe()", () => {
  overLayouts(
    (layout) => {
      test("gives an entry of zeros, whatever the slot held", () => {
        using ring = ringOf(layout, 2);
        for (let round = 0; round < 3; round++) {
          const sqe = ring.getSqe();
          const entry = sqe.words.subarray(sqe.at, sqe.at + sqe.stride);
          expect(entry.length).toBe(layout.options.sqe128 === true ? 32 : 16);
          expect([...entry]).toEqual(new Array(entry.length).fill(0));
          for (let word = 0; word < sqe.stride; word++) sqe.word(word, word === 0 ? 0 : 0x7ead0000 + word);
          // What a NOP must not have: a descriptor, flags, a personality.
          sqe.word(1, -1).word(7, 0).word(10, 0).userData(round);
          ring.submitAndWait(1);
          expect(reap(ring)).toEqual([[round, 0]]);
        }
      });
    },
    ["plain", "sqe128", "modern"],
  );

  test("makes any operation out of words", () => {
    using ring = new Ring(4);
    const buffer = Buffer.alloc(100);
    const address = addressOf(buffer);
    ring
      .getSqe()
      .word(0, IORING_OP_READ)
      .word(1, fd)
      .word(2, 1000)
      .word(4, address | 0)
      .word(5, Math.floor(address / 2 ** 32))
      .word(6, 100)
      .userData(11);
    ring.submitAndWait(1);
    expect(reap(ring)).toEqual([[11, 100]]);
    expect(buffer.equals(content.subarray(1000, 1100))).toBe(true);
  });

  test("returns the view that every prep returns", () => {
    using ring = new Ring(4);
    const first = ring.getSqe();
    expect(ring.prepNop()).toBe(first);
    expect(
      ring
        .prepRead(fd, kept(Buffer.alloc(1)), 0)
        .userData(1)
        .link()
        .hardlink()
        .async(),
    ).toBe(first);
  });
});

describe("modifiers", () => {
  const bad: [string, (ring: Ring) => unknown][] = [
    ["bufferSelect(65536)", (ring) => ring.prepNop().bufferSelect(65536)],
    ["bufferSelect(-1)", (ring) => ring.prepNop().bufferSelect(-1)],
    ["bufferSelect(1.5)", (ring) => ring.prepNop().bufferSelect(1.5)],
    ["personality(65536)", (ring) => ring.prepNop().personality(65536)],
    ["flags(256)", (ring) => ring.prepNop().flags(256)],
    ["flags(-1)", (ring) => ring.prepNop().flags(-1)],
    ["flags(NaN)", (ring) => ring.prepNop().flags(Number.NaN)],
    ["ioprio(65536)", (ring) => ring.prepNop().ioprio(65536)],
    ["word(16)", (ring) => ring.prepNop().word(16, 0)],
    ["word(-1)", (ring) => ring.prepNop().word(-1, 0)],
    ["word(0.5)", (ring) => ring.prepNop().word(0.5, 0)],
    ["word() of 2^32", (ring) => ring.prepNop().word(3, 2 ** 32)],
    ["word() of a fraction", (ring) => ring.prepNop().word(3, 0.5)],
    ["userData(2^53)", (ring) => ring.prepNop().userData(2 ** 53)],
  ];
  test.each(bad)("%s refused takes the entry back out of the queue", (_name, act) => {
    using ring = new Ring(2);
    ring.prepNop().userData(7);
    expect(() => act(ring)).toThrow(expect.objectContaining({ name: "RangeError", code: "ERR_URING_ARG_VALUE" }));
    expect(ring.sqReady()).toBe(1);
    ring.prepNop().userData(8);
    expect(ring.submitAndWait(2)).toBe(2);
    expect(reap(ring)).toEqual([
      [7, 0],
      [8, 0],
    ]);
  });

  test("refused after the entry was submitted take nothing back", () => {
    using ring = new Ring(4);
    const sqe = ring.prepNop().userData(1);
    ring.submit();
    expect(() => sqe.userData(-1)).toThrow(RangeError);
    expect(ring.sqReady()).toBe(0);
    ring.prepNop().userData(2);
    ring.submitAndWait(2);
    expect(reap(ring)).toEqual([
      [1, 0],
      [2, 0],
    ]);
  });

  test("write where the kernel looks for them", () => {
    using ring = new Ring(4);
    const sqe = ring.prepNop().ioprio(0x1234).bufferSelect(0xfffe).personality(0xfffd).link().async();
    const words = [...sqe.words.subarray(sqe.at, sqe.at + 16)];
    expect((words[0] as number) >>> 0).toBe(0x12340000 + ((IOSQE_IO_LINK | 16 | 32) << 8) + IORING_OP_NOP);
    expect((words[10] as number) >>> 0).toBe(0xfffdfffe);
    expect(ring.prepRead(5, kept(Buffer.alloc(1)), 0).fd).toBe(5);
  });
});

describe("submit()", () => {
  test("returns how many were taken and makes one call, or none for nothing", () => {
    using ring = new Ring(8);
    expect([ring.submit(), ring.enters]).toEqual([0, 0]);
    nops(ring, 0, 5);
    expect([ring.sqReady(), ring.sqSpaceLeft()]).toEqual([5, 3]);
    expect([ring.submit(), ring.enters]).toEqual([5, 1]);
    expect([ring.sqReady(), ring.sqSpaceLeft()]).toEqual([0, 8]);
    expect([ring.submit(), ring.enters]).toEqual([0, 1]);
    expect(reap(ring)).toEqual(upTo(5));
  });

  test("leaves a request that does not complete alone", () => {
    using ring = new Ring(4);
    ring.prepRead(idle.read, kept(Buffer.alloc(1)), 0);
    expect(ring.submit()).toBe(1);
    expect(ring.peekCqe()).toBeNull();
  });
});

describe("submitAndWait()", () => {
  test("makes one call for both, and none where enough is there", () => {
    using ring = new Ring(8);
    nops(ring, 0, 3);
    expect([ring.submitAndWait(3), ring.enters]).toEqual([3, 1]);
    expect([ring.submitAndWait(3), ring.enters]).toEqual([0, 1]);
    expect(reap(ring)).toEqual(upTo(3));
  });

  test("counts what was there before and not seen", () => {
    using ring = new Ring(8);
    nops(ring, 0, 2);
    ring.submitAndWait(2);
    ring.peekCqe();
    ring.seenCqe();
    nops(ring, 2, 2);
    expect(ring.submitAndWait(3)).toBe(2);
    expect(reap(ring).map(([userData]) => userData)).toEqual([1, 2, 3]);
  });

  test("waits until data comes", () => {
    using ring = new Ring(4);
    const own = pipe(scratch);
    const buffer = Buffer.alloc(8);
    ring.prepRead(own.read, buffer, 0).userData(4);
    ring.submit();
    const writer = Bun.spawn(["sh", "-c", "sleep 0.02; printf late"], { stdout: own.write, stderr: "inherit" });
    expect(ring.peekCqe()).toBeNull();
    // Again where the engine interrupts the wait with a signal of its own.
    for (let attempt = 0; attempt < 5 && ring.cqReady() === 0; attempt++) ring.submitAndWait(1);
    expect(reap(ring)).toEqual([[4, 4]]);
    expect(buffer.toString("latin1", 0, 4)).toBe("late");
    closeSync(own.read);
    closeSync(own.write);
    return writer.exited;
  });

  test("of 0 submits and does not wait", () => {
    using ring = new Ring(4);
    ring.prepRead(idle.read, kept(Buffer.alloc(1)), 0);
    expect(ring.submitAndWait(0)).toBe(1);
  });

  test.each([-1, 1.5, Number.NaN, 2 ** 31, "1" as unknown as number])("refuses %p", (n) => {
    using ring = new Ring(4);
    ring.prepNop().userData(1);
    expect(() => ring.submitAndWait(n)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
    );
    expect(ring.sqReady()).toBe(1);
    expect(ring.submitAndWait(1)).toBe(1);
  });
});

describe("submitAndGetEvents()", () => {
  needs("IORING_SETUP_DEFER_TASKRUN")("makes deferred work's completions visible", () => {
    using ring = new Ring(4, { singleIssuer: true, deferTaskrun: true, taskrunFlag: true });
    const own = pipe(scratch);
    ring.prepRead(own.read, kept(Buffer.alloc(4)), 0).userData(1);
    expect(ring.submit()).toBe(1);
    writeSync(own.write, "data");
    expect(ring.cqReady()).toBe(0);
    ring.prepNop().userData(2);
    expect(ring.submitAndGetEvents()).toBe(1);
    // Kernel: 6.1 tries again and again to read a pipe that blocks, and has a worker do it in the end.
    const until = performance.now() + 2000 * patience;
    while (ring.cqReady() === 1 && performance.now() < until) ring.submitAndGetEvents();
    expect(ring.cqReady()).toBe(2);
    expect(reap(ring).toSorted()).toEqual([
      [1, 4],
      [2, 0],
    ]);
    closeSync(own.read);
    closeSync(own.write);
  });
});

describe("a full queue", () => {
  test("is submitted by the prep that finds it full", () => {
    using ring = new Ring(4);
    nops(ring, 0, 4);
    expect([ring.sqReady(), ring.sqSpaceLeft(), ring.enters]).toEqual([4, 0, 0]);
    ring.prepNop().userData(4);
    expect([ring.sqReady(), ring.sqSpaceLeft(), ring.enters]).toEqual([1, 3, 1]);
    expect(ring.submitAndWait(5)).toBe(1);
    expect(reap(ring)).toEqual(upTo(5));
  });

  overLayouts(
    (layout) => {
      test("in the middle of a chain is an error, and nothing is lost by it", () => {
        using ring = ringOf(layout, 4);
        for (const modify of ["link", "hardlink"] as const) {
          for (let i = 0; i < 4; i++) ring.prepNop().userData(i)[modify]();
          for (const act of [() => ring.prepNop(), () => ring.getSqe(), () => ring.reserve(1)]) {
            expect(act).toThrow(expect.objectContaining({ code: "ERR_URING_CHAIN_SPLIT" }));
            expect(act).toThrow(/reserve\(n\) first/);
          }
          expect(ring.sqReady()).toBe(4);
          expect(ring.submitAndWait(4)).toBe(4);
          expect(reap(ring)).toEqual(upTo(4));
        }
      });

      test("has room again for a chain after reserve()", () => {
        using ring = ringOf(layout, 4, { cqEntries: 64 });
        let queued = 0;
        for (let round = 0; round < 30; round++) {
          ring.prepNop().userData(queued++);
          ring.reserve(3);
          for (let i = 0; i < 3; i++) {
            const sqe = ring.prepNop().userData(queued++);
            if (i < 2) sqe.link();
          }
          if (round % 4 === 3) {
            ring.submitAndWait(16);
            expect(reap(ring).map(([, res]) => res)).toEqual(new Array(16).fill(0));
          }
        }
      });
    },
    ["plain", "sqpoll", "modern", "sqe128"],
  );

  test("that a thread has emptied meanwhile does not split a chain", async () => {
    using ring = new Ring(4, { sqpoll: true });
    for (let round = 0; round < 20; round++) {
      nops(ring, 0, 3);
      ring.submit();
      while (ring.cqReady() < 3) await Bun.sleep(0);
      ring.cqAdvance(3);
      // The kernel moves its head after the completions. Asking for room here would be the look that is tested for.
      await Bun.sleep(2);
      for (let i = 0; i < 4; i++) {
        const sqe = ring.prepNop().userData(i);
        if (i < 3) sqe.link();
      }
      ring.submitAndWait(4);
      expect(reap(ring)).toEqual(upTo(4));
    }
  });
});

describe("reserve()", () => {
  test("submits only where there is too little room", () => {
    using ring = new Ring(8);
    nops(ring, 0, 5);
    ring.reserve(3);
    expect([ring.enters, ring.sqReady()]).toEqual([0, 5]);
    ring.reserve(4);
    expect([ring.enters, ring.sqReady()]).toEqual([1, 0]);
    ring.reserve(8);
    ring.reserve(0);
    expect(ring.enters).toBe(1);
    ring.submitAndWait(5);
    expect(reap(ring)).toEqual(upTo(5));
  });

  test.each([9, -1, 1.5, Number.NaN, "2" as unknown as number])("refuses %p", (n) => {
    using ring = new Ring(8);
    nops(ring, 0, 2);
    expect(() => ring.reserve(n)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }));
    expect([ring.enters, ring.sqReady()]).toEqual([0, 2]);
  });
});

describe("an entry that the kernel refuses outright", () => {
  /** NOPs with one entry of no known opcode among them. */
  const queue = (ring: Ring): void => {
    for (let i = 0; i < 6; i++) {
      const sqe = i === 2 ? ring.getSqe().word(0, 250) : ring.prepNop();
      sqe.userData(i);
    }
  };
  // Kernel: up to 6.1 a refusal comes before the results of what was queued before it.
  const reapSorted = (ring: Ring): [number, number][] => reap(ring).toSorted(([a], [b]) => a - b);
  const wanted = upTo(6).map(([userData]) => [userData, userData === 2 ? -EINVAL : 0] as [number, number]);

  test("ends a submission without submitAll, which is taken up again", () => {
    using ring = new Ring(8);
    queue(ring);
    expect(ring.submitAndWait(6)).toBe(6);
    expect(ring.enters).toBe(2);
    expect(ring.errno).toBe(0);
    expect(reapSorted(ring)).toEqual(wanted);
  });

  test("is taken up again by a plain submit() as well", () => {
    using ring = new Ring(8);
    queue(ring);
    expect([ring.submit(), ring.enters, ring.sqReady()]).toEqual([6, 2, 0]);
    expect(reapSorted(ring)).toEqual(wanted);
  });

  needs("IORING_SETUP_SUBMIT_ALL")("ends nothing with submitAll", () => {
    using ring = new Ring(8, { submitAll: true });
    queue(ring);
    expect([ring.submitAndWait(6), ring.enters]).toEqual([6, 1]);
    expect(reapSorted(ring)).toEqual(wanted);
  });

  test("that is the last one is waited for", () => {
    using ring = new Ring(8);
    nops(ring, 0, 2);
    ring.getSqe().word(0, 250).userData(2);
    expect(ring.submitAndWait(3)).toBe(3);
    expect(reapSorted(ring)).toEqual(wanted.slice(0, 3));
  });
});

describe("sqpoll", () => {
  test("makes no system call while the thread is awake", () => {
    using ring = new Ring(64, { sqpoll: true, sqThreadIdleMs: 5000, cqEntries: 4096 });
    // The first one may find the thread not yet running.
    nops(ring, 0, 1);
    ring.submitAndWait(1);
    ring.cqAdvance(1);
    const before = ring.enters;
    for (let batch = 0; batch < 50; batch++) {
      nops(ring, batch * 10, 10);
      ring.submit();
      const until = performance.now() + 2000;
      while (ring.cqReady() < 10 && performance.now() < until);
      expect(reap(ring)).toEqual(Array.from({ length: 10 }, (_, i) => [batch * 10 + i, 0]));
    }
    expect(ring.enters - before).toBe(0);
  });

  test("wakes the thread that has gone to sleep", async () => {
    using ring = new Ring(8, { sqpoll: true, sqThreadIdleMs: 1 });
    expect(ring.setup.flags & IORING_SETUP_SQPOLL).not.toBe(0);
    const before = ring.enters;
    for (let round = 0; round < 5; round++) {
      await Bun.sleep(15);
      ring.prepNop().userData(round);
      expect(ring.submit()).toBe(1);
      const until = performance.now() + 2000;
      while (ring.cqReady() === 0 && performance.now() < until) await Bun.sleep(1);
      expect(reap(ring)).toEqual([[round, 0]]);
    }
    // One call at the most for each; how many it took depends on how soon the thread slept.
    expect(ring.enters - before).toBeGreaterThanOrEqual(1);
    expect(ring.enters - before).toBeLessThanOrEqual(5);
  });

  test("goes on past a full queue, each entry once", () => {
    using ring = new Ring(2, { sqpoll: true, cqEntries: 4096 });
    nops(ring, 0, 1000);
    ring.submitAndWait(1000);
    expect(reap(ring)).toEqual(upTo(1000));
  });
});

describe("sqringWait()", () => {
  test("returns at once where nobody else empties the queue", () => {
    using ring = new Ring(4);
    nops(ring, 0, 4);
    expect([ring.sqringWait(), ring.enters]).toEqual([0, 0]);
    ring.submitAndWait(4);
  });

  test("waits for room that the thread makes", () => {
    using ring = new Ring(4, { sqpoll: true });
    nops(ring, 0, 4);
    ring.submit();
    expect(ring.sqringWait()).toBeGreaterThan(0);
    ring.submitAndWait(4);
    expect(reap(ring)).toEqual(upTo(4));
  });
});
