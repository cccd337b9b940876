/**
 * Queues with entries of two sizes, and queues that start again with every submission: what only the newest kernels
 * have, run by one of them. Rings are small, so that everything happens at the wrap.
 */
import { describe, expect, test } from "bun:test";
import { IORING_OP_NOP, IORING_OP_NOP128, IORING_OP_URING_CMD128 } from "../../src/abi/constants.gen.ts";
import { Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import type { Sqe } from "../../src/ring/sqe.ts";
import { Timespec } from "../../src/ring/structs.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";

const ECANCELED = -125;
const mixed = needs(["IORING_SETUP_SQE_MIXED", "IORING_OP_NOP128"]);
const rewind = needs("IORING_SETUP_SQ_REWIND");
const scratch = scratchDirectory();

/** User data and result of all that is there, in the order in which it came. */
function reap(ring: Ring): [userData: number, res: number][] {
  const seen: [number, number][] = [];
  ring.forEachCqe((cqe) => seen.push([cqe.userData, cqe.res]));
  return seen;
}

/** The operation and the size of the entry queued last. */
function queued({ words, at, wide }: Sqe): [operation: number, bytes: number] {
  return [(words[at] as number) & 0xff, wide ? 128 : 64];
}

/** Numbers that look like chance and are the same every time. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** Does something at every place that a queue can stand at, several times; the different results, in order. */
function everyStart(ring: Ring, act: () => number): number[] {
  const seen = new Set<number>();
  for (let round = 0; round < 64; round++) {
    // One after the other, so that nothing but narrow entries is in the queue.
    for (let i = 0; i < round % ring.setup.sqEntries; i++) {
      ring.prepNop().userData(1000);
      ring.submitAndWait(1);
      expect(reap(ring)).toEqual([[1000, 0]]);
    }
    // A thread of the kernel's posts completions before it says that it has taken the entries.
    for (const until = performance.now() + 10_000; ring.sqReady() > 0 && performance.now() < until;) Bun.sleepSync(1);
    seen.add(act());
  }
  return [...seen].sort((a, b) => a - b);
}

const shapes: [string, RingOptions][] = [
  ["sqeMixed", {}],
  ["noSqarray", { noSqarray: true }],
  ["submitAll", { submitAll: true }],
  ["cqe32", { cqe32: true }],
  ["cqeMixed", { cqeMixed: true }],
  ["deferTaskrun", { singleIssuer: true, deferTaskrun: true }],
  ["sqpoll", { sqpoll: true, sqThreadIdleMs: 20 }],
  ["noMmap", { noMmap: true }],
];

describe.each(shapes)("entries of both sizes on a ring that is %s", (_name, options) => {
  const open = (entries: number): Ring => new Ring(entries, { ...options, sqeMixed: true, cqEntries: 64 });

  mixed("come back once each and in order, however they fall at the wrap", () => {
    for (const entries of [4, 8, 16]) {
      using ring = open(entries);
      const roll = dice(entries);
      let next = 0;
      for (let round = 0; round < 200; round++) {
        const first = next;
        // All slots but one, which may be a filler's.
        for (let slots = entries - 1; slots > 0;) {
          const wide = slots >= 2 && roll(2) === 0;
          (wide ? ring.prepNop128() : ring.prepNop()).userData(next++);
          slots -= wide ? 2 : 1;
        }
        ring.submitAndWait(next - first);
        expect(reap(ring)).toEqual(Array.from({ length: next - first }, (_, i) => [first + i, 0]));
        // An SQPOLL thread may not have moved its head yet.
        if (options.sqpoll !== true) expect(ring.sqReady()).toBe(0);
        expect([ring.cqReady(), ring.cqDropped]).toEqual([0, 0]);
      }
      expect(next).toBeGreaterThan(200);
    }
  });

  mixed("more than fits is submitted on the way", () => {
    using ring = open(4);
    for (let i = 0; i < 30; i++) (i % 3 === 1 ? ring.prepNop() : ring.prepNop128()).userData(i);
    ring.submitAndWait(30);
    expect(reap(ring)).toEqual(Array.from({ length: 30 }, (_, i) => [i, 0]));
  });

  mixed("a chain holds across the filler", () => {
    using ring = open(8);
    const slots = everyStart(ring, () => {
      // Room for three entries of two slots, and a filler.
      ring.reserve(7);
      ring.prepNop128().userData(1).link();
      ring.prepNop128().userData(2).link();
      ring.prepNop128().userData(3);
      const queued = ring.sqReady();
      ring.submitAndWait(3);
      expect(reap(ring)).toEqual([1, 2, 3].map((userData) => [userData, 0]));
      return queued;
    });
    expect(slots).toEqual([6, 7]);
  });

  mixed("a chain that breaks is cancelled across the filler", () => {
    using ring = open(8);
    const slots = everyStart(ring, () => {
      ring.reserve(6);
      // A read from no file fails, and what follows in its chain is not done.
      ring
        .prepRead(-1, kept(Buffer.alloc(1)), 0)
        .userData(1)
        .link();
      ring.prepNop128().userData(2).link();
      ring.prepNop128().userData(3);
      const queued = ring.sqReady();
      ring.submitAndWait(3);
      expect(reap(ring)).toEqual([
        [1, -9],
        [2, ECANCELED],
        [3, ECANCELED],
      ]);
      return queued;
    });
    expect(slots).toEqual([5, 6]);
  });

  mixed("a command of 80 bytes goes as one of them", () => {
    using ring = open(4);
    const fd = openFile(scratch, "plain", "no device");
    for (let round = 0; round < 9; round++) {
      ring.prepNop().userData(round);
      ring.prepUringCmd128(7, fd, kept(pattern(80))).userData(100 + round);
      ring.submitAndWait(2);
      // A plain file takes no commands.
      expect(Object.fromEntries(reap(ring))).toEqual({ [round]: 0, [100 + round]: -95 });
    }
  });
});

mixed("the filler stands in the last slot, is a NOP, and completes in silence", () => {
  using ring = new Ring(4, { sqeMixed: true });
  const seen: number[] = [];
  for (let round = 0; round < 16; round++) {
    // Three slots a round: the wide entry comes to the last slot again and again.
    expect(queued(ring.prepNop().userData(round))).toEqual([IORING_OP_NOP, 64]);
    const before = ring.sqReady();
    expect(queued(ring.prepNop128().userData(100 + round))).toEqual([IORING_OP_NOP128, 128]);
    seen.push(ring.sqReady() - before);
    ring.submitAndWait(2);
    expect(reap(ring).map(([userData]) => userData)).toEqual([round, 100 + round]);
  }
  // Two slots, or three where one is the filler's: both have been.
  expect([...new Set(seen)].sort()).toEqual([2, 3]);
  expect(ring.supports(IORING_OP_URING_CMD128)).toBe(true);
});

const rewinding: [string, RingOptions][] = [
  ["sqRewind", {}],
  ["submitAll", { submitAll: true }],
  ["deferTaskrun", { singleIssuer: true, deferTaskrun: true }],
  ["sqe128", { sqe128: true }],
  ["sqeMixed", { sqeMixed: true }],
  ["cqeMixed", { cqeMixed: true }],
  ["noMmap", { noMmap: true }],
];

describe.each(rewinding)("a queue that starts again each time, on a ring that is %s", (_name, options) => {
  const open = (entries: number, more: RingOptions = {}): Ring =>
    new Ring(entries, { ...options, ...more, sqRewind: true, noSqarray: true });

  rewind("gives everything back once and in order, for every number of entries", () => {
    using ring = open(8);
    let next = 0;
    for (let round = 0; round < 100; round++) {
      const count = 1 + (round % 8);
      for (let i = 0; i < count; i++) ring.prepNop().userData(next + i);
      expect(ring.sqReady()).toBe(count);
      expect(ring.submitAndWait(count)).toBe(count);
      expect(ring.sqReady()).toBe(0);
      expect(reap(ring)).toEqual(Array.from({ length: count }, (_, i) => [next + i, 0]));
      next += count;
    }
  });

  rewind("submits more than fits on the way", () => {
    using ring = open(4, { cqEntries: 64 });
    for (let i = 0; i < 50; i++) ring.prepNop().userData(i);
    ring.submitAndWait(50);
    expect(reap(ring)).toEqual(Array.from({ length: 50 }, (_, i) => [i, 0]));
  });

  rewind("takes a submission up again that an entry ended", () => {
    using ring = open(8);
    for (let round = 0; round < 8; round++) {
      for (let i = 0; i < 8; i++) {
        // An operation that there is not is refused outright, and ends the submission unless SUBMIT_ALL is set.
        if (i === round || i === 5) ring.prepRw(250, -1, 0, 0, 0).userData(i);
        else ring.prepNop().userData(i);
      }
      expect(ring.submitAndWait(8)).toBe(8);
      const results = reap(ring).toSorted(([a], [b]) => a - b);
      expect(results).toEqual(Array.from({ length: 8 }, (_, i) => [i, i === round || i === 5 ? -22 : 0]));
      expect(ring.sqReady()).toBe(0);
    }
  });

  rewind("keeps chains together, and reads what they wrote", () => {
    using ring = open(4);
    const fd = openFile(scratch, `rewind-${Math.random()}`);
    for (let round = 0; round < 20; round++) {
      const content = pattern(64, round + 1);
      const read = Buffer.alloc(64);
      for (let i = 0; i < round % 3; i++) ring.prepNop().userData(50 + i);
      ring.reserve(2);
      ring.prepWrite(fd, content, 0).userData(1).link();
      ring.prepRead(fd, read, 0).userData(2);
      ring.submitAndWait(2 + (round % 3));
      expect(reap(ring).filter(([userData]) => userData < 50)).toEqual([
        [1, 64],
        [2, 64],
      ]);
      expect(read.equals(content)).toBe(true);
    }
  });

  rewind("leaves requests in flight alone while their entries are written over", () => {
    using ring = open(4, { cqEntries: 64 });
    const time = Timespec.ofMs(60);
    for (let i = 0; i < 4; i++) ring.prepTimeout(time).userData(500 + i);
    ring.submit();
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 4; i++) ring.prepNop().userData(round);
      ring.submit();
    }
    const seen = new Map<number, number>();
    const note = (): number => ring.forEachCqe(({ userData, res }) => void seen.set(userData, res));
    for (note(); [...seen].filter(([userData]) => userData >= 500).length < 4; note()) ring.submitAndWait(1);
    expect(seen.get(9)).toBe(0);
    // ETIME: each of the four ran its time.
    for (let i = 0; i < 4; i++) expect(seen.get(500 + i)).toBe(-62);
  });
});

test("a rewinding queue wants a ring without the array of indices", () => {
  expect(() => new Ring(4, { sqRewind: true })).toThrow(/needs noSqarray/);
});
