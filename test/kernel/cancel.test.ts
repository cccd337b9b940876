// Cancelling: by user data, by descriptor, by operation, one or all; and what a cancelled request leaves alone.
import { expect, test } from "bun:test";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import {
  ECANCELED,
  ENOENT,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_ASYNC_CANCEL_FD_FIXED,
  IORING_OP_POLL_ADD,
  IORING_OP_TIMEOUT,
  POLLIN,
  Ring,
  Timespec,
} from "../../src/index.ts";
import { next, several } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs, needsThat } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();

/** Results by user data of the next completions. */
function results(ring: Ring, count: number): Record<number, number> {
  return Object.fromEntries(several(ring, count).map(({ userData, res }) => [userData, res]));
}

/** What the kernel answers to a cancellation that finds nothing: ENOENT or 0 where it knows the flags. */
function knows(prepare: (ring: Ring) => unknown): boolean {
  using ring = new Ring(2);
  prepare(ring);
  return [0, -ENOENT].includes(next(ring).res);
}

const all = needs("IORING_ASYNC_CANCEL_ALL", () => knows((ring) => ring.prepCancel(1, IORING_ASYNC_CANCEL_ALL)));
const byFd = needs("IORING_ASYNC_CANCEL_FD", () => knows((ring) => ring.prepCancelFd(0)));

/** Kernel: Debian's 6.1 takes the flag of 6.6 and finds nothing by it. */
function findsByOp(): boolean {
  using ring = new Ring(2);
  const hour = new Timespec(3600);
  ring.prepTimeout(hour).userData(1);
  ring.submit();
  ring.prepCancelOp(IORING_OP_TIMEOUT).userData(2);
  for (let left = 2; left > 0; left--) {
    const { userData, res } = next(ring);
    if (userData === 2) return res === 0;
  }
  return hour.seconds === 0;
}
const byOp = needsThat(findsByOp(), "requests found by IORING_ASYNC_CANCEL_OP, Linux 6.6");

overLayouts(
  (layout) => {
    test("prepCancel64() ends the request with its user data, and no other", () => {
      using ring = ringOf(layout, 8);
      const { read, write } = pipe(scratch);
      const [first, second] = [Buffer.alloc(8, 0xee), Buffer.alloc(8, 0xee)];
      ring.prepRead(read, first, 0).userData(2 ** 40 + 1);
      ring.prepRead(read, second, 0).userData(2 ** 40 + 2);
      ring.submit();
      ring.prepCancel64(2 ** 40).userData(1);
      expect(next(ring)).toMatchObject({ userData: 1, res: -ENOENT });
      ring.prepCancel64(2 ** 40 + 1).userData(2);
      expect(results(ring, 2)).toEqual({ 2: 0, [2 ** 40 + 1]: -ECANCELED });
      writeSync(write, "survivor");
      expect(results(ring, 1)).toEqual({ [2 ** 40 + 2]: 8 });
      // Its memory is its owner's again: nothing was written to it.
      expect([first.equals(Buffer.alloc(8, 0xee)), second.toString()]).toEqual([true, "survivor"]);
      ring.prepCancel(1n << 60n).userData(3);
      expect(results(ring, 1)).toEqual({ 3: -ENOENT });
      closeSync(read);
      closeSync(write);
    });
  },
  ["plain", "sqpoll", "modern", "sqe128"],
);

test("a request on a worker thread is cancelled as well", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  ring
    .prepRead(read, kept(Buffer.alloc(8)), 0)
    .userData(1)
    .async();
  ring.submit();
  expect(ring.waitCqes(1, 10)).toBeNull();
  ring.prepCancel(1).userData(2);
  const ends = results(ring, 2);
  // EALREADY: it was running and has been interrupted. Either way it ends, and quickly.
  expect([0, -114]).toContain(ends[2] as number);
  expect([-ECANCELED, -4]).toContain(ends[1] as number);
  closeSync(read);
  closeSync(write);
});

all("IORING_ASYNC_CANCEL_ALL ends every request with the user data and counts them", () => {
  using ring = new Ring(16);
  const { read, write } = pipe(scratch);
  for (let i = 0; i < 5; i++) ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(i < 3 ? 7 : 8);
  ring.submit();
  ring.prepCancel(7, IORING_ASYNC_CANCEL_ALL).userData(1);
  const ends = several(ring, 4).map(({ userData, res }) => [userData, res]);
  expect(ends.toSorted()).toEqual([
    [1, 3],
    [7, -ECANCELED],
    [7, -ECANCELED],
    [7, -ECANCELED],
  ]);
  ring.prepCancel(0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL).userData(2);
  expect(
    several(ring, 3)
      .map(({ userData, res }) => [userData, res])
      .toSorted(),
  ).toEqual([
    [2, 2],
    [8, -ECANCELED],
    [8, -ECANCELED],
  ]);
  ring.prepCancel(0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL).userData(3);
  expect(results(ring, 1)).toEqual({ 3: 0 });
  closeSync(read);
  closeSync(write);
});

/**
 * Kernel: from 5.19 to 6.8 a cancellation of all or any passes over a timeout whose memory carries its number, which an
 * older ring may have left there; numbers count from 1 on each ring. This uses up those that tests leave.
 */
function passNumbers(ring: Ring): void {
  for (let number = 0; number < 500; number++) {
    ring.prepCancel(99);
    expect(next(ring).res).toBe(-ENOENT);
  }
}

all("IORING_ASYNC_CANCEL_ANY ends requests of every kind, and counts them", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  passNumbers(ring);
  ring.prepPollAdd(read, POLLIN).userData(1);
  ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(2);
  ring.prepTimeout(kept(new Timespec(60))).userData(3);
  ring.submit();
  ring.prepCancel(99, IORING_ASYNC_CANCEL_ANY).userData(4);
  expect(results(ring, 4)).toEqual({ 1: -ECANCELED, 2: -ECANCELED, 3: -ECANCELED, 4: 3 });
  closeSync(read);
  closeSync(write);
});

all("cancelling again ends the timeouts that a cancellation passed over", () => {
  const hour = kept(new Timespec(3600));
  const everything = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
  for (let round = 0; round < 10; round++) {
    using ring = new Ring(64);
    for (let i = 0; i < 64; i++) ring.prepTimeout(hour).userData(1);
    ring.submit();
    // Each number can hide a timeout once.
    let found = 0;
    for (let number = 1; number <= 10; number++) {
      ring.prepCancel(0, everything).userData(2);
      const ends = [next(ring)];
      const answer = (): number | undefined => ends.find(({ userData }) => userData === 2)?.res;
      while (ends.length < 1 + (answer() ?? 64)) ends.push(next(ring));
      expect(ends.filter(({ userData, res }) => userData === 1 && res === -ECANCELED)).toHaveLength(answer() as number);
      found += answer() as number;
    }
    expect(found).toBe(64);
  }
});

byFd("prepCancelFd() ends what waits on a descriptor, also by its registered index", () => {
  using ring = new Ring(16);
  const [a, b] = [pipe(scratch), pipe(scratch)];
  ring.registerFiles([-1, b.read]);
  ring.prepRead(a.read, kept(Buffer.alloc(8)), 0).userData(1);
  ring.prepPollAdd(a.read, POLLIN).userData(2);
  ring
    .prepRead(1, kept(Buffer.alloc(8)), 0)
    .fixedFile()
    .userData(3);
  ring.submit();
  ring.prepCancelFd(a.read, IORING_ASYNC_CANCEL_ALL).userData(4);
  expect(results(ring, 3)).toEqual({ 1: -ECANCELED, 2: -ECANCELED, 4: 2 });
  ring.prepCancelFd(a.read).userData(5);
  expect(results(ring, 1)).toEqual({ 5: -ENOENT });
  ring.prepCancelFd(1, IORING_ASYNC_CANCEL_FD_FIXED).userData(6);
  expect(results(ring, 2)).toEqual({ 3: -ECANCELED, 6: 0 });
  for (const { read, write } of [a, b]) {
    closeSync(read);
    closeSync(write);
  }
});

byOp("prepCancelOp() ends requests of one operation", () => {
  using ring = new Ring(16);
  const { read, write } = pipe(scratch);
  ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(1);
  ring.prepPollAdd(read, POLLIN).userData(2);
  ring.prepPollAdd(read, POLLIN).userData(3);
  ring.prepTimeout(kept(new Timespec(60))).userData(4);
  ring.submit();
  ring.prepCancelOp(IORING_OP_POLL_ADD, IORING_ASYNC_CANCEL_ALL).userData(5);
  expect(results(ring, 3)).toEqual({ 2: -ECANCELED, 3: -ECANCELED, 5: 2 });
  ring.prepCancelOp(IORING_OP_TIMEOUT).userData(6);
  expect(results(ring, 2)).toEqual({ 4: -ECANCELED, 6: 0 });
  ring.prepCancelOp(IORING_OP_POLL_ADD).userData(7);
  expect(results(ring, 1)).toEqual({ 7: -ENOENT });
  closeSync(read);
  closeSync(write);
});

test("a cancelled request takes its chain with it", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  ring
    .prepRead(read, kept(Buffer.alloc(8)), 0)
    .userData(1)
    .link();
  ring.prepNop().userData(2).link();
  ring.prepNop().userData(3);
  ring.submit();
  ring.prepCancel(1).userData(4);
  expect(results(ring, 4)).toEqual({ 1: -ECANCELED, 2: -ECANCELED, 3: -ECANCELED, 4: 0 });
  closeSync(read);
  closeSync(write);
});

test("what is cancelled leaves the data for whoever asks next", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  for (let round = 0; round < 50; round++) {
    ring.prepRead(read, kept(Buffer.alloc(8)), 0).userData(1);
    ring.submit();
    // The write and the cancellation race; each byte comes to exactly one of the two readers.
    ring
      .prepWrite(write, kept(Buffer.from("x")), 0)
      .userData(2)
      .async();
    ring.prepCancel(1).userData(3);
    const ends = results(ring, 3);
    expect(ends[2]).toBe(1);
    if (ends[1] === 1) continue;
    expect(ends[1]).toBe(-ECANCELED);
    expect(readSync(read, Buffer.alloc(8))).toBe(1);
  }
  closeSync(read);
  closeSync(write);
});

test("a regular file's read is done before it can be cancelled, or cancelled before it is begun", () => {
  using ring = new Ring(8);
  const fd = openSync(import.meta.path, "r");
  const buffer = Buffer.alloc(20);
  ring.prepRead(fd, buffer, 0).userData(1);
  ring.prepCancel(1).userData(2);
  const { 1: read, 2: cancel } = results(ring, 2);
  // A file system in memory may leave the read to a worker thread, which the cancellation is ahead of.
  if (read === -ECANCELED) expect(cancel).toBe(0);
  else expect([read, cancel, buffer.toString()]).toEqual([20, -ENOENT, "// Cancelling: by us"]);
  closeSync(fd);
});
