/**
 * The queues' counters count without end, in 32 bits. No test can wait until they come round, so here the queues stand
 * on memory of the test's own, a few entries before the places where the sign changes and where zero comes again, and
 * the test does what the kernel would.
 */
import { describe, expect, test } from "bun:test";
import { IORING_CQE_F_32, IORING_CQE_F_SKIP, IOSQE_IO_LINK } from "../../src/abi/constants.gen.ts";
import { Ring } from "../../src/index.ts";
import { CompletionQueue, type CqeSizes } from "../../src/ring/cq.ts";
import { prepNop } from "../../src/ring/prep/nop.ts";
import { SubmissionQueue } from "../../src/ring/sq.ts";

/** Words of the test's memory. */
const HEAD = 0;
const TAIL = 1;
const FLAGS = 2;
const OTHER = 3;
const CQES = 16;

/** Counters just before the largest signed number, and just before zero. */
const starts: [string, number][] = [
  ["2^31", 0x7fffffff - 2],
  ["2^32", -3],
];

describe.each(starts)("a submission queue at %s", (_name, start) => {
  const queue = (entries: number): { sq: SubmissionQueue; ring: Int32Array } => {
    const ring = new Int32Array(16).fill(start, HEAD, TAIL + 1);
    const layout = { head: HEAD, tail: TAIL, flags: FLAGS, dropped: OTHER };
    const kind = { mixed: false, rewind: false };
    const sq = new SubmissionQueue(entries, 64, new Int32Array(entries * 16), ring, layout, kind);
    sq.tail = sq.published = start;
    sq.refreshFromThread();
    return { sq, ring };
  };

  test("counts its entries and knows when it is full", () => {
    const { sq, ring } = queue(8);
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 8; i++) {
        expect(sq.tail === sq.limit).toBe(false);
        prepNop(sq.claim());
        sq.commit().userData(round * 8 + i);
        expect(sq.ready).toBe(i + 1);
      }
      expect(sq.tail === sq.limit).toBe(true);
      expect(sq.publish()).toBe(8);
      expect(ring[TAIL]).toBe((start + (round + 1) * 8) | 0);
      // The kernel takes three, then the rest.
      ring[HEAD] = ((ring[HEAD] as number) + 3) | 0;
      expect([sq.settle(3), sq.ready]).toEqual([3, 5]);
      ring[HEAD] = ring[TAIL] as number;
      sq.refreshFromThread();
      expect(sq.ready).toBe(0);
    }
  });

  test("takes an entry back and sees chains", () => {
    const { sq } = queue(4);
    for (let i = 0; i < 10; i++) {
      const before = sq.tail;
      prepNop(sq.claim());
      sq.commit().link();
      expect(sq.chained).toBe(true);
      sq.retract();
      expect([sq.tail, sq.chained]).toEqual([before, false]);
      prepNop(sq.claim());
      expect(((sq.commit().words[sq.sqe.at] as number) >>> 8) & IOSQE_IO_LINK).toBe(0);
      sq.publish();
      sq.retract();
      expect(sq.tail).toBe((before + 1) | 0);
    }
  });
});

describe.each(starts)("a completion queue at %s", (_name, start) => {
  const ENTRIES = 4;
  const queue = (sizes: CqeSizes): { cq: CompletionQueue; ring: Int32Array } => {
    const ring = new Int32Array(CQES + ENTRIES * 8).fill(start, HEAD, TAIL + 1);
    const layout = { head: HEAD, tail: TAIL, overflow: OTHER, flags: FLAGS, cqes: CQES };
    const cq = new CompletionQueue(ENTRIES, sizes, ring, layout);
    cq.head = cq.tail = start;
    cq.publish();
    return { cq, ring };
  };
  /** Posts an entry as the kernel would; `slots` of the queue are its room. */
  const post = (ring: Int32Array, words: number, userData: number, flags: number, slots: number): void => {
    const tail = ring[TAIL] as number;
    const at = CQES + (tail & (ENTRIES - 1)) * words;
    ring.set([userData, 0, userData * 10, flags], at);
    if (words === 8 || slots === 2) ring.set([userData + 1, userData + 2, userData + 3, userData + 4], at + 4);
    ring[TAIL] = (tail + slots) | 0;
  };

  test.each([
    ["16", 4],
    ["32", 8],
  ] as [CqeSizes, number][])("of %s bytes an entry gives each once and gives the places back", (sizes, words) => {
    const { cq, ring } = queue(sizes);
    let next = 1;
    for (let round = 0; round < 6; round++) {
      const count = 1 + (round % ENTRIES);
      for (let i = 0; i < count; i++) post(ring, words, next + i, 0, 1);
      expect([cq.load(), cq.ready]).toEqual([true, count]);
      for (let cqe = cq.peek(); cqe !== null; cqe = cq.next()) {
        expect([cqe.userData, cqe.res]).toEqual([next, next * 10]);
        if (sizes === "32") expect([0, 1, 2, 3].map((i) => cqe.extra(i))).toEqual([1, 2, 3, 4].map((i) => next + i));
        next++;
      }
      expect(ring[HEAD]).toBe(ring[TAIL] as number);
      expect([cq.load(), cq.ready]).toEqual([false, 0]);
    }
    expect(next).toBe(1 + 1 + 2 + 3 + 4 + 1 + 2);
  });

  test("of mixed sizes steps over fillers and over both halves", () => {
    const { cq, ring } = queue("mixed");
    const seen: number[] = [];
    const drain = (): void => {
      cq.load();
      for (let cqe = cq.peek(); cqe !== null; cqe = cq.next()) {
        seen.push(cqe.userData, cqe.is32 ? cqe.extra(0) : 0);
      }
      expect(ring[HEAD]).toBe(ring[TAIL] as number);
    };
    for (let round = 0; round < 4; round++) {
      post(ring, 4, 100 + round, 0, 1);
      // An entry of two slots must not wrap: the kernel fills the last slot first.
      if (((ring[TAIL] as number) & (ENTRIES - 1)) === ENTRIES - 1) post(ring, 4, 999, IORING_CQE_F_SKIP, 1);
      post(ring, 4, 200 + round, IORING_CQE_F_32, 2);
      drain();
    }
    expect(seen).toEqual([100, 0, 200, 201, 101, 0, 201, 202, 102, 0, 202, 203, 103, 0, 203, 204]);
    // A filler alone is nothing, and its place is given back.
    post(ring, 4, 999, IORING_CQE_F_SKIP, 1);
    expect([cq.load(), cq.peek()]).toEqual([true, null]);
    cq.publish();
    expect(ring[HEAD]).toBe(ring[TAIL] as number);
  });
});

test("the smallest ring goes round hundreds of thousands of times", () => {
  using ring = new Ring(1, { cqEntries: 1 });
  expect(ring.setup).toMatchObject({ sqEntries: 1, cqEntries: 1 });
  let wrong = 0;
  for (let i = 0; i < 200_000; i++) {
    ring.prepNop().userData(i);
    ring.submitAndWait(1);
    if (ring.peekCqe()?.userData !== i) wrong++;
    ring.seenCqe();
  }
  expect([wrong, ring.cqReady(), ring.sqReady(), ring.overflows]).toEqual([0, 0, 0, 0]);
});
