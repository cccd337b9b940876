// What thousands of rings leave behind: nothing.
import { describe, expect, test } from "bun:test";
import type { RingOptions } from "../../src/index.ts";
import { report } from "../support/child.ts";
import { has } from "../support/kernel.ts";
import { patience } from "../support/patience.ts";
import type { Left } from "../support/rings.ts";

/** One page for each of 10,000 rings would be 40,000. */
const SLACK_KIB = 12_000;
/** The engine's own mappings come and go. */
const SLACK_MAPPINGS = 40;

function leave(count: number, options: RingOptions, kind: string = ""): Left {
  return report<Left>("rings.ts", [String(count), JSON.stringify(options), kind]);
}

function expectNothingLeft({ descriptors, mappings, resident }: Left): void {
  expect(descriptors[1]).toBe(descriptors[0]);
  expect(mappings[1] - mappings[0]).toBeLessThan(SLACK_MAPPINGS);
  expect(resident[1] - resident[0]).toBeLessThan(SLACK_KIB);
}

describe("made, used and closed, nothing is left of", () => {
  test(
    "10,000 rings",
    () => {
      expectNothingLeft(leave(10_000, {}));
    },
    60_000 * patience,
  );

  test(
    "10,000 modern rings",
    () => {
      expectNothingLeft(leave(10_000, { modern: true }));
    },
    60_000 * patience,
  );

  // Kernel: 5.10 waits for a grace period with each table that is unregistered.
  test(
    "3,000 rings with buffers, files and an eventfd registered",
    () => {
      expectNothingLeft(leave(3000, {}, "full"));
    },
    60_000 * patience,
  );

  // Stopping a thread takes its time.
  test(
    "100 rings with threads of their own",
    () => {
      expectNothingLeft(leave(100, { sqpoll: true }));
    },
    60_000 * patience,
  );

  test.skipIf(!has("IORING_SETUP_NO_MMAP"))(
    "3,000 rings in memory of the library's, with an index and no descriptor (needs IORING_SETUP_NO_MMAP, Linux 6.5)",
    () => {
      expectNothingLeft(leave(3000, { noMmap: true, registeredFdOnly: true }));
    },
    60_000 * patience,
  );
});

test("what is looked at would show a leak", () => {
  // The same program, its rings never closed: the check above has to see it.
  const outcome = report<Left>("leak.ts", ["300"]);
  expect(outcome.descriptors[1] - outcome.descriptors[0]).toBe(300);
  expect(outcome.mappings[1] - outcome.mappings[0]).toBeGreaterThan(SLACK_MAPPINGS);
});
