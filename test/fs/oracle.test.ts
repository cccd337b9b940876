/**
 * `bun-uring/fs` does what Bun's `node:fs/promises` does: every case is run against both, each in a directory of its
 * own that starts out the same, and everything that can be seen afterwards is equal.
 */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import * as oracle from "node:fs/promises";
import * as subject from "../../src/fs/index.ts";
import { patience } from "../support/patience.ts";
import { families } from "./cases/all.ts";
import { divergences } from "./divergences.ts";
import { observe } from "./harness.ts";

// A case that hangs is told of by the harness, after four seconds for each of the two.
setDefaultTimeout(15_000 * patience);

beforeAll(() => void process.umask(0o022));

for (const [family, cases] of Object.entries(families)) {
  describe(family, () => {
    test.each(Object.entries(cases))("%s", async (title, run) => {
      const [ours, theirs] = [await observe(subject, run), await observe(oracle, run)];
      expect(theirs.ending.how).not.toBe("hung");
      const known = subject.backend() === "uring" ? divergences[title] : undefined;
      if (known === undefined) return expect(ours).toEqual(theirs);
      expect([known.ours(ours.ending.value), known.theirs(theirs.ending.value)]).toEqual([true, true]);
      expect({ ...ours, ending: undefined }).toEqual({ ...theirs, ending: undefined });
    });
  });
}

test("every known divergence has its case", () => {
  const titles = Object.values(families).flatMap((cases) => Object.keys(cases));
  expect(new Set(titles).size).toBe(titles.length);
  expect(titles).toEqual(expect.arrayContaining(Object.keys(divergences)));
});
