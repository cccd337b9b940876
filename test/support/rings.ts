/**
 * A program that makes and closes rings by the thousand, and prints as one line of JSON what they left behind.
 * Arguments: how many, a ring's options, and "full" for rings with everything registered that a ring can have.
 */
import { closeSync, openSync, readFileSync } from "node:fs";
import {
  BufferPool,
  BufferRing,
  getProbe,
  IORING_REGISTER_PBUF_RING,
  Ring,
  type RingOptions,
} from "../../src/index.ts";
import { syscalls } from "../../syscall/shim.ts";
import { descriptorCount, mappingCount } from "../syscall/proc.ts";

/** What a process had before and after. */
export interface Left {
  descriptors: [number, number];
  mappings: [number, number];
  /** Resident memory, in KiB. */
  resident: [number, number];
}

const [count = "1", options = "{}", kind = ""] = process.argv.slice(2);
const providesBuffers = getProbe().supportsRegister(IORING_REGISTER_PBUF_RING);
const ringOptions = JSON.parse(options) as RingOptions;
const file = openSync("/dev/null", "r");
const eventfd = syscalls().eventfd(0, 0);

function residentKib(): number {
  Bun.gc(true);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
}

function one(): void {
  using ring = new Ring(8, ringOptions);
  if (kind === "full") {
    new BufferPool(ring, { count: 4, size: 1024 });
    if (providesBuffers) new BufferRing(ring, { group: 1, entries: 4, size: 1024 });
    ring.registerFiles([file, -1]);
    ring.registerEventfd(eventfd);
    // The path is copied to memory that belongs to the entry.
    ring.prepOpen("/nowhere", 0);
  }
  ring.prepNop();
  ring.submitAndWait(1);
  ring.peekCqe();
}

const warmUp = Math.ceil(Number(count) / 10);
for (let i = 0; i < warmUp; i++) one();
const before = [descriptorCount(), mappingCount(), residentKib()] as const;
for (let i = 0; i < Number(count); i++) one();
const after = [descriptorCount(), mappingCount(), residentKib()] as const;
closeSync(file);
closeSync(eventfd);
const left: Left = {
  descriptors: [before[0], after[0]],
  mappings: [before[1], after[1]],
  resident: [before[2], after[2]],
};
console.log(JSON.stringify(left));
