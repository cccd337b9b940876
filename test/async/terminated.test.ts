// Workers that are terminated while the kernel has their memory: it is not to be written to when it is others'.
import { expect } from "bun:test";
import { syscalls } from "../../syscall/shim.ts";
import { scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { overLayouts } from "../support/layouts.ts";
import { patience } from "../support/patience.ts";
import type { Left } from "./programs/left.ts";
import { program } from "./support.ts";

const directory = scratchDirectory();
// A compiled shim does it: nothing else is left of a Worker that could.
const compiled = needsThat(syscalls().backend === "tinycc", "TinyCC");

function left(rounds: number, what: string, entries: number = 128): Left {
  return program<Left>("left", [directory, String(rounds), what, String(entries)]);
}

/** A ring that does not come to rest is given up after a second and a tenth. */
const GIVEN_UP_MS = 1100;

/** Nobody's memory was overwritten, nothing is left, and no ring was given up. */
function isClean({ overwritten, quickestMs, descriptors }: Left): void {
  expect({ overwritten, descriptors }).toEqual({ overwritten: 0, descriptors: 0 });
  expect(quickestMs).toBeLessThan(GIVEN_UP_MS * patience);
}

compiled("a Worker's requests end before its memory is others'", () => isClean(left(10, "io")), 60_000 * patience);

for (const entries of [1, 2]) {
  for (const options of [{}, { sqpoll: true, sqThreadIdleMs: 20 }]) {
    const what = JSON.stringify(options);
    compiled(`a Worker's requests end on a ring of ${entries} that is ${what}`, () => isClean(left(2, what, entries)));
  }
}

overLayouts(
  (layout) => {
    compiled("a Worker's requests end before its memory is others'", () => {
      isClean(left(2, JSON.stringify(layout.options)));
    });
  },
  // One of each kind of queue, thread and name.
  [
    "plain",
    "sqpoll",
    "sqe128 with cqe32",
    "deferTaskrun",
    "noMmap",
    "registeredFdOnly",
    "cqeMixed with deferTaskrun",
    "rDisabled",
    "modern",
  ],
);
