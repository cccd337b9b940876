/** A kernel that takes nothing for the moment: EBUSY and EAGAIN, answered by a filter because no machine is so poor. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { EAGAIN, EBUSY } from "../../src/abi/errno.gen.ts";
import { closeSync } from "node:fs";
import { Ring } from "../../src/index.ts";
import { report } from "../support/child.ts";
import { scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { filterLauncher, noFilter } from "../support/launch.ts";
import type { Pressed } from "../support/pressure.ts";

// Programs are started, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const filtered = needsThat(noFilter === undefined, noFilter ?? "");
const launch = noFilter === undefined ? filterLauncher(scratchDirectory()) : () => [];
const nops = (count: number): number[][] => Array.from({ length: count }, (_, i) => [i, 0]);

describe("submit() that the kernel refuses for the moment", () => {
  filtered("takes nothing, says why, and keeps every entry for the next time", () => {
    // io_uring_enter's second argument is the number of entries.
    const { submissions, completions } = report<Pressed>(
      "pressure.ts",
      ["growing"],
      launch(`426/1=5:${EBUSY}`, `426/1=6:${EAGAIN}`),
    );
    expect(submissions).toEqual([
      [0, EBUSY, 5],
      [0, EAGAIN, 6],
      [7, 0, 0],
      [1, 0, 0],
    ]);
    expect(completions).toEqual(nops(8));
  });

  filtered("makes a prep on a full queue throw what to do, and loses nothing", () => {
    // The fourth argument is the flags: none are a plain submission.
    const { submissions, completions, refusals } = report<Pressed>("pressure.ts", ["full"], launch(`426/3=0:${EBUSY}`));
    expect(refusals.map(({ code }) => code)).toEqual(["EBUSY", "EBUSY", "EBUSY"]);
    for (const { message } of refusals) expect(message).toContain("reap them and submit again");
    expect(submissions).toEqual([
      [4, EBUSY, 0],
      [4, 0, 0],
    ]);
    expect(completions).toEqual(nops(4));
  });

  test("needs no filter to be harmless: without one everything passes", () => {
    const { submissions, completions } = report<Pressed>("pressure.ts", ["growing"]);
    expect(submissions[0]).toEqual([5, 0, 0]);
    expect(completions).toEqual(nops(8));
  });
});

test("submit() to a descriptor that is gone throws and keeps the entries", () => {
  // What a caller does who closes the ring's descriptor behind its back.
  const ring = new Ring(4);
  ring.prepNop().userData(1);
  closeSync(ring.fd);
  expect(() => ring.submit()).toThrow(expect.objectContaining({ code: "EBADF", syscall: "io_uring_enter" }));
  expect(ring.sqReady()).toBe(1);
  ring.close();
  expect(ring.closed).toBe(true);
});
