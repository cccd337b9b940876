/** Completions: looked at, taken one by one, in batches and by callback; what each of them says. */
import { describe, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import {
  IORING_CQE_F_32,
  IORING_NOP_CQE32,
  IORING_NOP_INJECT_RESULT,
  IORING_OP_NOP,
} from "../../src/abi/constants.gen.ts";
import { Ring } from "../../src/index.ts";
import type { Cqe } from "../../src/ring/cqe.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();

/** A ring with `count` completions, numbered from `from`, that nobody has looked at. */
function ringWith(count: number, options: RingOptions = {}, from: number = 0): Ring {
  const ring = new Ring(16, options);
  for (let i = 0; i < count; i++) ring.prepNop().userData(from + i);
  expect(ring.submit()).toBe(count);
  return ring;
}

const upTo = (count: number, from: number = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

/** The user data of all that is there, taken with peekCqe() and nextCqe(). */
function reap(ring: Ring): number[] {
  const seen: number[] = [];
  for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) seen.push(cqe.userData);
  return seen;
}

describe("peekCqe()", () => {
  test("gives the first one, again and again, until it is seen", () => {
    using ring = ringWith(3);
    const cqe = ring.peekCqe();
    expect([cqe?.userData, ring.peekCqe()?.userData, ring.cqReady()]).toEqual([0, 0, 3]);
    expect(ring.peekCqe()).toBe(cqe);
    ring.seenCqe();
    expect([ring.peekCqe()?.userData, ring.cqReady()]).toEqual([1, 2]);
  });

  test("of an empty queue is null and no system call", () => {
    using ring = new Ring(4);
    expect([ring.peekCqe(), ring.enters, ring.cqReady()]).toEqual([null, 0, 0]);
  });

  needs("IORING_SETUP_DEFER_TASKRUN")("enters where completions come only inside the call", () => {
    using told = new Ring(4, { singleIssuer: true, deferTaskrun: true, taskrunFlag: true });
    using untold = new Ring(4, { singleIssuer: true, deferTaskrun: true });
    using polled = new Ring(4, { iopoll: true });
    expect([told.peekCqe(), told.enters]).toEqual([null, 0]);
    expect([untold.peekCqe(), untold.enters]).toEqual([null, 1]);
    expect([polled.peekCqe(), polled.enters]).toEqual([null, 1]);
  });

  overLayouts(
    (layout) => {
      test("finds what has completed since, without a submission or a wait", () => {
        using ring = ringOf(layout, 8);
        const { read, write } = pipe(scratch);
        for (let i = 0; i < 5; i++) {
          ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(i);
          ring.submit();
          expect(ring.peekCqe()).toBeNull();
          writeSync(write, "now");
          const until = performance.now() + 2000;
          let cqe = ring.peekCqe();
          while (cqe === null && performance.now() < until) cqe = ring.peekCqe();
          expect([cqe?.userData, cqe?.res]).toEqual([i, 3]);
          ring.seenCqe();
        }
        closeSync(read);
        closeSync(write);
      });
    },
    ["plain", "sqpoll", "deferTaskrun", "deferTaskrun with taskrunFlag", "coopTaskrun with taskrunFlag", "modern"],
  );
});

describe("nextCqe()", () => {
  test("goes through those that were there and no further", () => {
    using ring = ringWith(2);
    const seen: number[] = [];
    for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
      seen.push(cqe.userData);
      // Endless, if the loop ran after what comes meanwhile.
      ring.prepNop().userData(100 + seen.length);
      ring.submit();
      if (seen.length > 10) break;
    }
    expect(seen).toEqual([0, 1]);
    expect(reap(ring)).toEqual([101, 102]);
  });

  test("on nothing is null", () => {
    using ring = new Ring(4);
    expect([ring.nextCqe(), ring.nextCqe()]).toEqual([null, null]);
  });
});

describe("seenCqe()", () => {
  test("marks what was looked at, once", () => {
    using ring = ringWith(3);
    ring.seenCqe();
    expect(ring.cqReady()).toBe(3);
    ring.peekCqe();
    ring.seenCqe();
    ring.seenCqe();
    expect([ring.cqReady(), ring.peekCqe()?.userData]).toEqual([2, 1]);
  });

  test("gives the place back: the queue goes round", () => {
    using ring = new Ring(2, { cqEntries: 2 });
    for (let i = 0; i < 20; i++) {
      ring.prepNop().userData(i);
      ring.submit();
      expect(ring.peekCqe()?.userData).toBe(i);
      ring.seenCqe();
      expect(ring.cqHasOverflow()).toBe(false);
    }
  });
});

describe("cqAdvance()", () => {
  test("marks as many as are named", () => {
    using ring = ringWith(5);
    expect(ring.cqReady()).toBe(5);
    ring.cqAdvance(0);
    ring.cqAdvance(3);
    expect([ring.cqReady(), ring.peekCqe()?.userData]).toEqual([2, 3]);
    ring.cqAdvance(2);
    expect([ring.cqReady(), ring.peekCqe()]).toEqual([0, null]);
  });

  test("refuses more than are ready, and marks none", () => {
    using ring = ringWith(3);
    expect(ring.cqReady()).toBe(3);
    expect(() => ring.cqAdvance(4)).toThrow(
      expect.objectContaining({
        name: "RangeError",
        code: "ERR_URING_ARG_VALUE",
        message: expect.stringContaining("3 are ready"),
      }),
    );
    expect(reap(ring)).toEqual([0, 1, 2]);
  });

  test.each([-1, 1.5, Number.NaN, "1" as unknown as number])("refuses %p", (n) => {
    using ring = ringWith(2);
    expect(() => ring.cqAdvance(n)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
    );
    expect(reap(ring)).toEqual([0, 1]);
  });
});

describe("peekBatch()", () => {
  const views = (ring: Ring, count: number): Cqe[] => upTo(count).map(() => ring.newCqe());

  test("fills as many views as there are completions, and marks none as seen", () => {
    using ring = ringWith(3);
    const batch = views(ring, 5);
    expect(ring.peekBatch(batch)).toBe(3);
    expect(batch.slice(0, 3).map((cqe) => cqe.userData)).toEqual([0, 1, 2]);
    expect(ring.peekBatch(batch)).toBe(3);
    expect(ring.cqReady()).toBe(3);
    ring.cqAdvance(3);
    expect([ring.peekBatch(batch), ring.cqReady()]).toEqual([0, 0]);
  });

  test("fills no more than it was given", () => {
    using ring = ringWith(5);
    const batch = views(ring, 2);
    const seen: number[] = [];
    for (let count = ring.peekBatch(batch); count > 0; count = ring.peekBatch(batch)) {
      for (let i = 0; i < count; i++) seen.push((batch[i] as Cqe).userData);
      ring.cqAdvance(count);
    }
    expect(seen).toEqual(upTo(5));
    expect(ring.peekBatch([])).toBe(0);
  });

  test("sees what has come since the last look", () => {
    using ring = ringWith(2);
    expect(ring.peekCqe()?.userData).toBe(0);
    ring.prepNop().userData(2);
    ring.submit();
    expect(ring.peekBatch(views(ring, 8))).toBe(3);
  });

  test("leaves the views in place while other completions come", () => {
    using ring = ringWith(2, { cqEntries: 64 });
    const batch = views(ring, 2);
    ring.peekBatch(batch);
    for (let i = 0; i < 40; i++) ring.prepNop().userData(1000 + i);
    ring.submit();
    expect(batch.map((cqe) => cqe.userData)).toEqual([0, 1]);
  });
});

describe("forEachCqe()", () => {
  test("gives each once, marks each, and counts", () => {
    using ring = ringWith(4);
    const seen: number[] = [];
    expect(ring.forEachCqe((cqe) => seen.push(cqe.userData))).toBe(4);
    expect([seen, ring.cqReady(), ring.forEachCqe(() => seen.push(-1))]).toEqual([upTo(4), 0, 0]);
  });

  test("leaves what comes meanwhile for the next time", () => {
    using ring = ringWith(2, { cqEntries: 256 });
    const seen: number[] = [];
    const again = (cqe: Cqe): void => {
      seen.push(cqe.userData);
      ring.prepNop().userData(seen.length + 100);
      ring.submit();
    };
    expect(ring.forEachCqe(again)).toBe(2);
    expect(seen).toEqual([0, 1]);
    expect(ring.forEachCqe(again)).toBe(2);
    expect(seen).toEqual([0, 1, 101, 102]);
  });

  test("within itself goes on where the outer one is: each completion is given once", () => {
    using ring = ringWith(5);
    const seen: string[] = [];
    const outer = ring.forEachCqe((cqe) => {
      seen.push(`outer ${cqe.userData}`);
      if (seen.length === 2) ring.forEachCqe((inner) => seen.push(`inner ${inner.userData}`));
    });
    expect(seen).toEqual(["outer 0", "outer 1", "inner 2", "inner 3", "inner 4"]);
    expect([outer, ring.cqReady()]).toEqual([2, 0]);
  });

  test("lets its callback wait for a completion of its own", () => {
    using ring = ringWith(3);
    const seen: number[] = [];
    ring.forEachCqe((cqe) => {
      seen.push(cqe.userData);
      if (cqe.userData !== 0) return;
      ring.prepNop().userData(50);
      ring.submitAndWait(3);
      // The two that are left and the new one.
      expect(ring.cqReady()).toBe(3);
    });
    expect(seen).toEqual([0, 1, 2]);
    expect(reap(ring)).toEqual([50]);
  });

  test("whose callback submits gives the kernel the place of the one it was given, and loses none", () => {
    using ring = new Ring(4, { cqEntries: 4 });
    for (let i = 0; i < 4; i++) ring.prepNop().userData(i);
    ring.submit();
    const seen: number[] = [];
    ring.forEachCqe(({ userData }) => {
      seen.push(userData);
      ring.prepNop().userData(90 + userData);
      ring.submit();
      // Four fit, and one was given back for each that came.
      expect(ring.cqHasOverflow()).toBe(false);
    });
    expect([seen, reap(ring)]).toEqual([upTo(4), upTo(4, 90)]);
  });

  test("whose callback throws counts that one as seen and keeps the rest", () => {
    using ring = ringWith(4);
    const seen: number[] = [];
    const act = (): number =>
      ring.forEachCqe((cqe) => {
        seen.push(cqe.userData);
        if (cqe.userData === 1) throw new Error("enough");
      });
    expect(act).toThrow("enough");
    expect([seen, ring.cqReady()]).toEqual([[0, 1], 2]);
    expect(act()).toBe(2);
    expect(seen).toEqual(upTo(4));
  });

  test("whose callback closes the ring ends", () => {
    const ring = ringWith(4);
    let calls = 0;
    ring.forEachCqe(() => {
      calls++;
      ring.close();
    });
    expect([calls, ring.closed]).toEqual([1, true]);
  });

  test.each([undefined, null, 5, {}])("refuses %p for a callback and loses nothing", (callback) => {
    using ring = ringWith(2);
    expect(() => ring.forEachCqe(callback as unknown as () => void)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_URING_ARG_TYPE" }),
    );
    expect(reap(ring)).toEqual([0, 1]);
  });
});

describe("more completions than fit", () => {
  overLayouts(
    (layout) => {
      /** Forty completions on a queue of four or, where others are smaller than that, of as few as there can be. */
      const crowded = (): Ring => {
        const ring = ringOf(layout, 4, { cqEntries: 4 });
        for (let i = 0; i < 40; i++) ring.prepNop().userData(i);
        ring.submit();
        const until = performance.now() + 5000;
        while ((ring.sqReady() > 0 || !ring.cqHasOverflow()) && performance.now() < until);
        return ring;
      };

      test("all come, once each, in order, and are counted", () => {
        using ring = crowded();
        expect([ring.cqHasOverflow(), ring.cqReady(), ring.overflows]).toEqual([true, 4, 0]);
        const seen: number[] = [];
        const until = performance.now() + 5000;
        while (seen.length < 40 && performance.now() < until) seen.push(...reap(ring));
        expect(seen).toEqual(upTo(40));
        expect([ring.cqHasOverflow(), ring.cqReady(), ring.cqDropped]).toEqual([false, 0, 0]);
        // Thirty-six had no room at first, and four fit at a time.
        expect(ring.overflows).toBeGreaterThanOrEqual(9);
      });

      test("all come by callback", () => {
        using ring = crowded();
        const seen: number[] = [];
        const until = performance.now() + 5000;
        while (seen.length < 40 && performance.now() < until) ring.forEachCqe((cqe) => seen.push(cqe.userData));
        expect(seen).toEqual(upTo(40));
      });

      test("all come in batches", () => {
        using ring = crowded();
        const views = upTo(3).map(() => ring.newCqe());
        const seen: number[] = [];
        const until = performance.now() + 5000;
        while (seen.length < 40 && performance.now() < until) {
          const count = ring.peekBatch(views);
          for (let i = 0; i < count; i++) seen.push((views[i] as Cqe).userData);
          ring.cqAdvance(count);
        }
        expect(seen).toEqual(upTo(40));
      });

      test("all come to one who waits for each", () => {
        using ring = crowded();
        const seen: number[] = [];
        while (seen.length < 40) {
          const cqe = ring.waitCqe();
          if (cqe === null) break;
          seen.push(cqe.userData);
          ring.seenCqe();
        }
        expect(seen).toEqual(upTo(40));
      });

      test("submitAndGetEvents() brings those that have room by then", () => {
        using ring = crowded();
        ring.cqAdvance(4);
        ring.submitAndGetEvents();
        expect(ring.cqReady()).toBe(4);
        expect(ring.peekCqe()?.userData).toBe(4);
      });

      test("a wait for more than the queue holds returns with a full queue", () => {
        using ring = crowded();
        ring.submitAndWait(10);
        expect(ring.cqReady()).toBe(4);
      });
    },
    ["plain", "deferTaskrun", "deferTaskrun with taskrunFlag", "sqpoll", "modern", "cqe32", "cqeMixed", "noMmap"],
  );
});

describe("a completion", () => {
  const back = (set: (ring: Ring) => void): Cqe & { ring: Ring } => {
    const ring = new Ring(2);
    set(ring);
    ring.submitAndWait(1);
    return Object.assign(ring.peekCqe() as Cqe, { ring });
  };

  test.each([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 2 ** 32, 2 ** 32 + 1, 2 ** 45 + 12345, Number.MAX_SAFE_INTEGER])(
    "brings the number %d back",
    (value) => {
      const cqe = back((ring) => ring.prepNop().userData(value));
      expect([cqe.userData, cqe.userDataBigInt]).toEqual([value, BigInt(value)]);
      expect([cqe.userDataLow, cqe.userDataHigh]).toEqual([value | 0, Math.floor(value / 2 ** 32) | 0]);
      cqe.ring.close();
    },
  );

  test.each([0n, 5n, 1n << 53n, (1n << 63n) + 7n, (1n << 64n) - 1n])("brings the bigint %d back", (value) => {
    const cqe = back((ring) => ring.prepNop().userData(value));
    expect(cqe.userDataBigInt).toBe(value);
    expect(cqe.userData).toBe(Number(value));
    cqe.ring.close();
  });

  test.each([
    [1, 2],
    [-1, -1],
    [-2147483648, 2147483647],
    [0, -5],
  ])("brings the halves %d and %d back", (low, high) => {
    const cqe = back((ring) => ring.prepNop().userDataHalves(low, high));
    expect([cqe.userDataLow, cqe.userDataHigh]).toEqual([low, high]);
    expect(cqe.userDataBigInt).toBe((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
    cqe.ring.close();
  });

  test("has 0 where nothing was given, whatever the slot had before", () => {
    using ring = new Ring(1);
    ring.prepNop().userDataHalves(-1, -1);
    ring.submitAndWait(1);
    ring.cqAdvance(1);
    ring.prepNop();
    ring.submitAndWait(1);
    expect(ring.peekCqe()?.userDataBigInt).toBe(0n);
  });

  test.each([2 ** 53, -1, 0.5, Number.NaN, Infinity, -1n, 1n << 64n, "7", undefined, null, {}])(
    "cannot be given %p: it is refused and nothing is queued",
    (value) => {
      using ring = new Ring(2);
      expect(() => ring.prepNop().userData(value as number)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_(VALUE|TYPE)$/) }),
      );
      expect([ring.sqReady(), ring.submit()]).toEqual([0, 0]);
    },
  );

  needs("IORING_NOP_INJECT_RESULT")("has its result, an error too", () => {
    const cqe = back((ring) => ring.prepNopFlags(IORING_NOP_INJECT_RESULT, -125).userData(1));
    expect([cqe.res, cqe.flags]).toEqual([-125, 0]);
    const error = cqe.error("IORING_OP_NOP");
    expect([error.code, error.errno, error.syscall, error.message]).toEqual([
      "ECANCELED",
      -125,
      "IORING_OP_NOP",
      "ECANCELED: operation canceled, IORING_OP_NOP",
    ]);
    cqe.ring.close();
  });

  test("without flags has none of what they tell", () => {
    const cqe = back((ring) => ring.prepNop());
    const { more, notification, hasBuffer, bufferId, bufferMore, socketNonempty, is32 } = cqe;
    expect({ more, notification, hasBuffer, bufferId, bufferMore, socketNonempty, is32 }).toEqual({
      more: false,
      notification: false,
      hasBuffer: false,
      bufferId: -1,
      bufferMore: false,
      socketNonempty: false,
      is32: false,
    });
    cqe.ring.close();
  });
});

describe("a completion of 32 bytes", () => {
  const big = (1n << 40n) + 3n;
  const words = (cqe: Cqe): number[] => upTo(4).map((index) => cqe.extra(index));

  needs("IORING_NOP_CQE32")("brings its second half, on a ring that has no others", () => {
    using ring = new Ring(4, { cqe32: true });
    for (let i = 0; i < 20; i++) {
      ring.prepNopFlags(IORING_NOP_CQE32, 0, -1, 0, 0x11 + i, big).userData(i);
      ring.submitAndWait(1);
      const cqe = ring.peekCqe() as Cqe;
      expect([cqe.userData, cqe.res, ...words(cqe)]).toEqual([i, 0, 0x11 + i, 0, 3, 2 ** 8]);
      ring.seenCqe();
    }
  });

  needs(["IORING_SETUP_CQE_MIXED", "IORING_NOP_CQE32"])(
    "stands beside those of 16 on a mixed ring, also at its end",
    () => {
      using ring = new Ring(4, { cqeMixed: true, cqEntries: 4 });
      let fillers = 0;
      for (let round = 0; round < 12; round++) {
        const before = round * 10;
        ring.prepNop().userData(before);
        ring.prepNopFlags(IORING_NOP_CQE32, 0, -1, 0, before, 7).userData(before + 1);
        ring.submitAndWait(3);
        // Three slots and one more wherever a large one would have wrapped.
        fillers += ring.cqReady() - 3;
        const seen: unknown[] = [];
        for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
          seen.push([cqe.userData, cqe.is32, (cqe.flags & IORING_CQE_F_32) !== 0, cqe.is32 ? words(cqe) : []]);
        }
        expect(seen).toEqual([
          [before, false, false, []],
          [before + 1, true, true, [before, 0, 7, 0]],
        ]);
        expect(ring.cqReady()).toBe(0);
      }
      expect(fillers).toBeGreaterThan(0);
    },
  );

  needs(["IORING_SETUP_CQE_MIXED", "IORING_NOP_CQE32"])("is one for peekBatch() and cqAdvance()", () => {
    using ring = new Ring(8, { cqeMixed: true, cqEntries: 16 });
    const views = upTo(8).map(() => ring.newCqe());
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 4; i++) {
        if (i % 2 === 0) ring.prepNopFlags(IORING_NOP_CQE32, 0, -1, 0, i, i).userData(i);
        else ring.prepNop().userData(i);
      }
      ring.submit();
      expect(ring.peekBatch(views)).toBe(4);
      expect(views.slice(0, 4).map((cqe) => [cqe.userData, cqe.is32])).toEqual([
        [0, true],
        [1, false],
        [2, true],
        [3, false],
      ]);
      ring.cqAdvance(3);
      expect(ring.peekCqe()?.userData).toBe(3);
      ring.cqAdvance(1);
      expect(ring.peekCqe()).toBeNull();
    }
  });

  needs(["IORING_SETUP_CQE_MIXED", "IORING_NOP_CQE32"])("is not lost where there is no room for it", () => {
    using ring = new Ring(8, { cqeMixed: true, cqEntries: 8 });
    for (let i = 0; i < 40; i++) {
      if (i % 3 === 0) ring.prepNopFlags(IORING_NOP_CQE32, 0, -1, 0, i, i * 2).userData(i);
      else ring.prepNop().userData(i);
    }
    ring.submit();
    const seen: number[] = [];
    let wrong = 0;
    const until = performance.now() + 5000;
    while (seen.length < 40 && performance.now() < until) {
      ring.forEachCqe((cqe) => {
        seen.push(cqe.userData);
        if (cqe.is32 && (cqe.extra(0) !== cqe.userData || cqe.extra(2) !== cqe.userData * 2)) wrong++;
        if (cqe.is32 !== (cqe.userData % 3 === 0)) wrong++;
      });
    }
    expect([seen, wrong]).toEqual([upTo(40), 0]);
  });
});

test("cqReady() does not enter, cqDropped is 0, the probe knows NOP", () => {
  using ring = ringWith(3);
  const before = ring.enters;
  expect([ring.cqReady(), ring.cqReady(), ring.enters - before, ring.cqDropped]).toEqual([3, 3, 0, 0]);
  expect(ring.supports(IORING_OP_NOP)).toBe(true);
});
