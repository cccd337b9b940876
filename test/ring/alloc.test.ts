/** Nothing is left for the garbage collector on any way round a ring. What prep functions take is measured elsewhere. */
import { describe, expect, test } from "bun:test";
import { report } from "../support/child.ts";
import type { Allocation } from "../support/heap.ts";
import { needs } from "../support/kernel.ts";
import { sockets } from "../support/net.ts";

const names = report<string[]>("ringalloc.ts");
const multishot = needs([...sockets, "IORING_OP_SEND_ZC"]);

test("there is something to be measured", () => {
  expect(names.length).toBeGreaterThan(10);
});

describe("no byte is allocated for", () => {
  for (const name of names) {
    const declare = name.startsWith("multishot") ? multishot : test;
    declare(
      name,
      () => {
        const { bytes, control } = report<Allocation>("ringalloc.ts", [name]);
        // The engine grows in blocks, one of which in a round is two bytes a time; the smallest object has sixteen.
        expect(bytes).toBeLessThan(8);
        // The same with one small object more each time: an allocation would have been seen.
        expect(control).toBeGreaterThan(16);
      },
      60_000,
    );
  }
});
