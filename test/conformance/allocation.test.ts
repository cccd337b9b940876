/** The prep functions that programs call a million times a second leave nothing for the garbage collector. */
import { expect, test } from "bun:test";
import { report } from "../support/child.ts";
import type { Allocation } from "../support/heap.ts";

test("the hot prep functions leave nothing for the garbage collector", () => {
  const measured = Object.entries(report<Record<string, Allocation>>("allocation.ts"));
  expect(measured.length).toBeGreaterThan(15);
  const allocating = measured.filter(([, { bytes }]) => !(bytes < 1));
  expect(allocating).toEqual([]);
  // The same with one small object more each time shows: an allocation would have been seen.
  const blind = measured.filter(([, { control }]) => !(control > 8));
  expect(blind).toEqual([]);
}, 60_000);
