// Timeouts: alone, counting completions, changed, removed, repeated, on a link.
import { describe, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import {
  ECANCELED,
  EINVAL,
  ENOENT,
  ETIME,
  IORING_CQE_F_MORE,
  IORING_LINK_TIMEOUT_UPDATE,
  IORING_TIMEOUT_ABS,
  IORING_TIMEOUT_BOOTTIME,
  IORING_TIMEOUT_ETIME_SUCCESS,
  IORING_TIMEOUT_REALTIME,
  Ring,
  Timespec,
} from "../../src/index.ts";
import { next, several } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();
const LATE_MS = 2000;

/** Milliseconds until the next completion, and the completion. */
function timed(ring: Ring): ReturnType<typeof next> & { elapsed: number } {
  const before = performance.now();
  const completion = next(ring, 5000);
  return { ...completion, elapsed: performance.now() - before };
}

/** What the kernel answers to one request on a ring of its own. */
function answer(prepare: (ring: Ring) => unknown): number {
  using ring = new Ring(2);
  prepare(ring);
  return next(ring).res;
}

const now = new Timespec();
const clocks = needs("IORING_TIMEOUT_REALTIME", () => {
  return answer((ring) => ring.prepTimeout(now, 0, IORING_TIMEOUT_REALTIME)) === -ETIME;
});
const linkUpdates = needs("IORING_LINK_TIMEOUT_UPDATE", () => {
  return answer((ring) => ring.prepTimeoutUpdate(now, 1, IORING_LINK_TIMEOUT_UPDATE)) === -ENOENT;
});
const successes = needs("IORING_TIMEOUT_ETIME_SUCCESS", () => {
  return answer((ring) => ring.prepTimeout(now, 0, IORING_TIMEOUT_ETIME_SUCCESS)) === -ETIME;
});

overLayouts(
  (layout) => {
    test("prepTimeout() completes with ETIME when its time is up, no sooner", () => {
      using ring = ringOf(layout, 8);
      ring.prepTimeout(kept(Timespec.ofMs(12.5))).userData(1);
      const { userData, res, elapsed } = timed(ring);
      expect([userData, res]).toEqual([1, -ETIME]);
      expect(elapsed).toBeGreaterThanOrEqual(12.5);
      expect(elapsed).toBeLessThan(LATE_MS);
    });
  },
  ["plain", "sqpoll", "modern", "cqe32"],
);

describe("prepTimeout()", () => {
  test("completes with 0 after as many completions as it counts", () => {
    using ring = new Ring(8);
    ring.prepTimeout(kept(new Timespec(60)), 2).userData(1);
    ring.prepNop().userData(2);
    ring.submit();
    expect(next(ring).userData).toBe(2);
    expect(ring.peekCqe()).toBeNull();
    ring.prepNop().userData(3);
    const ends = several(ring, 2).map(({ userData, res }) => [userData, res]);
    expect(ends.toSorted((a, b) => Number(a[0]) - Number(b[0]))).toEqual([
      [1, 0],
      [3, 0],
    ]);
  });

  test("in order of their times, not of their submission", () => {
    using ring = new Ring(8);
    for (const ms of [30, 10, 20]) ring.prepTimeout(kept(Timespec.ofMs(ms))).userData(ms);
    expect(several(ring, 3).map(({ userData }) => userData)).toEqual([10, 20, 30]);
  });

  test("needs its timespec until the submission only", () => {
    using ring = new Ring(8);
    const ts = Timespec.ofMs(10);
    ring.prepTimeout(ts).userData(1);
    ring.submit();
    ts.set(3600);
    expect(timed(ring).elapsed).toBeLessThan(LATE_MS);
  });

  clocks("takes a moment of a clock", () => {
    using ring = new Ring(8);
    const at = Date.now() + 20;
    ring.prepTimeout(kept(Timespec.ofMs(at)), 0, IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME).userData(1);
    const { res, elapsed } = timed(ring);
    expect(res).toBe(-ETIME);
    expect(Date.now()).toBeGreaterThanOrEqual(at);
    expect(elapsed).toBeLessThan(LATE_MS);
    // A moment that is past.
    ring.prepTimeout(kept(new Timespec(1)), 0, IORING_TIMEOUT_ABS);
    expect(timed(ring)).toMatchObject({ res: -ETIME });
    ring.prepTimeout(kept(new Timespec(1)), 0, IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME);
    expect(timed(ring).res).toBe(-EINVAL);
  });
});

describe("prepTimeoutRemove()", () => {
  test("ends a timeout, and finds none where there is none", () => {
    using ring = new Ring(8);
    ring.prepTimeout(kept(new Timespec(60))).userData(11);
    ring.submit();
    ring.prepTimeoutRemove(12).userData(1);
    expect(next(ring)).toMatchObject({ userData: 1, res: -ENOENT });
    ring.prepTimeoutRemove(11).userData(2);
    const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
    expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
      [2, 0],
      [11, -ECANCELED],
    ]);
  });
});

describe("prepTimeoutUpdate()", () => {
  test("brings a timeout forward and puts it off", () => {
    using ring = new Ring(8);
    ring.prepTimeout(kept(new Timespec(60))).userData(11);
    ring.submit();
    ring.prepTimeoutUpdate(kept(Timespec.ofMs(10)), 11).userData(1);
    expect(next(ring)).toMatchObject({ userData: 1, res: 0 });
    const sooner = timed(ring);
    expect([sooner.userData, sooner.res, sooner.elapsed < LATE_MS]).toEqual([11, -ETIME, true]);

    ring.prepTimeout(kept(Timespec.ofMs(5))).userData(12);
    ring.submit();
    ring.prepTimeoutUpdate(kept(Timespec.ofMs(40)), 12).userData(2);
    const [update] = several(ring, 1);
    // On a machine that was held up the timeout may have gone off before.
    if (update?.userData === 2 && update.res === 0) {
      const later = timed(ring);
      expect([later.userData, later.res]).toEqual([12, -ETIME]);
      expect(later.elapsed).toBeGreaterThanOrEqual(35);
    }
    ring.prepTimeoutUpdate(kept(new Timespec(1)), 999).userData(3);
    expect(several(ring, ring.cqReady() + 1).find(({ userData }) => userData === 3)?.res).toBe(-ENOENT);
  });
});

needs("IORING_TIMEOUT_MULTISHOT", () => answer((ring) => ring.prepTimeoutMultishot(now, 1)) === -ETIME)(
  "prepTimeoutMultishot() goes off again and again, as often as it was told",
  () => {
    using ring = new Ring(8);
    ring.prepTimeoutMultishot(kept(Timespec.ofMs(4)), 3).userData(1);
    const before = performance.now();
    const shots = several(ring, 3);
    expect(performance.now() - before).toBeGreaterThanOrEqual(12);
    expect(shots.map(({ res, flags }) => [res, flags & IORING_CQE_F_MORE])).toEqual([
      [-ETIME, IORING_CQE_F_MORE],
      [-ETIME, IORING_CQE_F_MORE],
      [-ETIME, 0],
    ]);
    ring.prepTimeoutMultishot(kept(Timespec.ofMs(2))).userData(2);
    several(ring, 3);
    ring.prepTimeoutRemove(2).userData(3);
    let [removed, last]: (number | undefined)[] = [];
    while (removed !== 0 || last === undefined) {
      const end = next(ring);
      if (end.userData === 2 && !end.more) last = end.res;
      if (end.userData !== 3) continue;
      removed = end.res;
      // Kernel: between going off and being set again it is not found.
      if (removed === -ENOENT) ring.prepTimeoutRemove(2).userData(3);
      else expect(removed).toBe(0);
    }
    expect(last).toBe(-ECANCELED);
  },
);

describe("prepLinkTimeout()", () => {
  test("cancels the request before it when the time is up", () => {
    using ring = new Ring(8);
    const { read, write } = pipe(scratch);
    const buffer = Buffer.alloc(8, 0xee);
    ring.prepRead(read, buffer, 0).userData(1).link();
    ring.prepLinkTimeout(kept(Timespec.ofMs(15))).userData(2);
    const before = performance.now();
    const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
    expect(performance.now() - before).toBeGreaterThanOrEqual(15);
    expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
      [1, -ECANCELED],
      [2, -ETIME],
    ]);
    // The read is gone: what comes later is for the next one.
    writeSync(write, "later");
    ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(3);
    expect(next(ring)).toMatchObject({ userData: 3, res: 5 });
    expect(buffer.equals(Buffer.alloc(8, 0xee))).toBe(true);
    closeSync(read);
    closeSync(write);
  });

  test("does nothing to a request that is in time", () => {
    using ring = new Ring(8);
    const { read, write } = pipe(scratch);
    writeSync(write, "early");
    ring
      .prepRead(read, kept(Buffer.alloc(8)), 0)
      .userData(1)
      .link();
    ring.prepLinkTimeout(kept(new Timespec(60))).userData(2);
    const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
    expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
      [1, 5],
      [2, -ECANCELED],
    ]);
    closeSync(read);
    closeSync(write);
  });

  test("without a request before it is refused", () => {
    using ring = new Ring(8);
    ring.prepLinkTimeout(kept(new Timespec(1))).userData(1);
    expect(next(ring)).toMatchObject({ userData: 1, res: -EINVAL });
  });

  linkUpdates("can be changed while it waits", () => {
    using ring = new Ring(8);
    const { read, write } = pipe(scratch);
    ring
      .prepRead(read, kept(Buffer.alloc(8)), 0)
      .userData(1)
      .link();
    ring.prepLinkTimeout(kept(new Timespec(60))).userData(2);
    ring.submit();
    ring.prepTimeoutUpdate(kept(Timespec.ofMs(10)), 2, IORING_LINK_TIMEOUT_UPDATE).userData(3);
    const ends = several(ring, 3).toSorted((a, b) => a.userData - b.userData);
    expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
      [1, -ECANCELED],
      [2, -ETIME],
      [3, 0],
    ]);
    closeSync(read);
    closeSync(write);
  });
});

successes("IORING_TIMEOUT_ETIME_SUCCESS lets a chain go on after a pause", () => {
  using ring = new Ring(8);
  ring
    .prepTimeout(kept(Timespec.ofMs(10)), 0, IORING_TIMEOUT_ETIME_SUCCESS)
    .userData(1)
    .link();
  ring.prepNop().userData(2);
  expect(several(ring, 2).map(({ userData, res }) => [userData, res])).toEqual([
    [1, -ETIME],
    [2, 0],
  ]);
  ring
    .prepTimeout(kept(Timespec.ofMs(1)))
    .userData(1)
    .link();
  ring.prepNop().userData(2);
  expect(several(ring, 2).map(({ userData, res }) => [userData, res])).toEqual([
    [1, -ETIME],
    [2, -ECANCELED],
  ]);
});
