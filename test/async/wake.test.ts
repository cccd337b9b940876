// Waking: none lost, none too many, on every kind of ring, with overflowing queues and with spinning.
import { describe, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import { AsyncRing } from "../../src/async/asyncring.ts";
import type { AsyncRingOptions } from "../../src/async/options.ts";
import { ETIME, Timespec } from "../../src/index.ts";
import { syscalls } from "../../syscall/shim.ts";
import { pattern, pipe, scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";
import { rejection } from "./support.ts";

const directory = scratchDirectory();

const kinds: readonly (readonly [string, AsyncRingOptions, readonly string[]])[] = [
  ["as it comes", {}, []],
  ["without anything modern", { modern: false }, []],
  ["coopTaskrun", { modern: false, coopTaskrun: true, taskrunFlag: true }, ["IORING_SETUP_TASKRUN_FLAG"]],
  ["sqpoll", { sqpoll: true, sqThreadIdleMs: 5 }, []],
  ["sqe128 and cqe32", { sqe128: true, cqe32: true }, ["IORING_SETUP_SQE128"]],
  ["cqeMixed", { cqeMixed: true }, ["IORING_SETUP_CQE_MIXED"]],
  ["noMmap", { noMmap: true }, ["IORING_SETUP_NO_MMAP"]],
  ["spinning", { spinUsec: 50 }, []],
  ["tiny", { entries: 1, maxInFlight: 3, maxPerTurn: 1 }, []],
];

describe.each(kinds)("a ring that is %s", (_, options, flags) => {
  needs(flags)(
    "is woken for everything, by whatever way it completes",
    async () => {
      await using ring = new AsyncRing({ entries: 16, ...options });
      const ends = pipe(directory);
      const data = pattern(200 * 8);
      const lanes = [
        // By the arrival of data, one byte's worth of trouble after another.
        async () => {
          for (let i = 0; i < 200; i++) {
            const bytes = new Uint8Array(8);
            const reading = ring.read(ends.read, bytes, -1);
            if (i % 3 === 0) await Bun.sleep(0);
            writeSync(ends.write, data, i * 8, 8);
            expect(await reading).toBe(8);
            expect(Buffer.compare(bytes, data.subarray(i * 8, i * 8 + 8))).toBe(0);
          }
        },
        // By a clock, by worker threads, within the call.
        async () => {
          for (let i = 0; i < 20; i++) expect(await ring.timeout(Timespec.ofMs(1))).toBe(-ETIME);
        },
        async () => {
          for (let i = 0; i < 100; i++) expect(await ring.nop({ async: true })).toBe(0);
        },
        async () => {
          for (let i = 0; i < 500; i++) expect(await ring.nop()).toBe(0);
        },
        // By cancelling.
        async () => {
          for (let i = 0; i < 20; i++) {
            const limited = ring.timeout(Timespec.ofMs(60_000), { signal: AbortSignal.timeout(1) });
            expect((await rejection(limited)).name).toBe("TimeoutError");
          }
        },
      ];
      await Promise.all(lanes.map((lane) => lane()));
      expect(ring.stats()).toMatchObject({ inFlight: 0, queued: 0 });
      closeSync(ends.read);
      closeSync(ends.write);
    },
    20_000,
  );
});

test("the signal of another eventfd wakes as often as it comes", async () => {
  await using ring = new AsyncRing();
  const counter = syscalls().eventfd(0, 0);
  // Nothing else may be under way: it would wake the ring as well.
  for (let i = 0; i < 20; i++) {
    const value = new BigUint64Array(1);
    const reading = ring.read(counter, value, -1);
    await Bun.sleep(1);
    writeSync(counter, new Uint8Array(new BigUint64Array([7n]).buffer));
    expect([await reading, value[0]]).toEqual([8, 7n]);
  }
  closeSync(counter);
}, 20_000);

test("no wake is lost in twenty thousand, and no more come than there were turns", async () => {
  await using ring = new AsyncRing();
  const count = 20_000;
  // Worker threads complete at moments of their own: between the last look and sleep as well.
  const lane = async (): Promise<void> => {
    for (let i = 0; i < count / 4; i++) await ring.nop({ async: true });
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  const { completed, wakes } = ring.stats();
  expect(completed).toBe(count);
  expect(wakes).toBeLessThanOrEqual(count);
}, 30_000);

test("many completions at one moment take few wakes", async () => {
  await using ring = new AsyncRing();
  const all = Array.from({ length: 1000 }, () => ring.timeout(Timespec.ofMs(20)));
  await Promise.all(all);
  expect(ring.stats().wakes).toBeLessThan(100);
});

test("completions that the queue has no room for are not lost", async () => {
  await using ring = new AsyncRing({ entries: 8, cqEntries: 8, maxInFlight: 500 });
  const ends = pipe(directory);
  const waiting = Array.from({ length: 500 }, () => ring.read(ends.read, new Uint8Array(1), -1));
  await Bun.sleep(5);
  expect(ring.stats().inFlight).toBe(500);
  writeSync(ends.write, new Uint8Array(500));
  expect(await Promise.all(waiting)).toEqual(new Array<number>(500).fill(1));
  closeSync(ends.read);
  closeSync(ends.write);
});
