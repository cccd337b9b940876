/**
 * A program under a filter that answers EBUSY or EAGAIN in the kernel's place: to five entries at once EBUSY, to six
 * EAGAIN, to a call without flags by a ring that was filled EBUSY. Prints as one line of JSON what the ring made of it.
 */
import { Ring } from "../../src/index.ts";

/** What became of entries that the kernel did not take at first. */
export interface Pressed {
  /** For each submission: what it returned, the ring's errno, what was left queued. */
  submissions: number[][];
  /** User data and result of everything that came back in the end. */
  completions: number[][];
  /** Code and message of what a prep threw on a full queue. */
  refusals: { code: string; message: string }[];
}

function reap(ring: Ring): number[][] {
  const seen: number[][] = [];
  for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) seen.push([cqe.userData, cqe.res]);
  return seen;
}

/** Rises by an entry after each refusal, until the number is one that the filter lets pass. */
function growing(): Pressed {
  const submissions: number[][] = [];
  using ring = new Ring(8);
  for (let queued = 0; queued < 5; queued++) ring.prepNop().userData(queued);
  for (let queued = 5; queued <= 7; queued++) {
    submissions.push([ring.submit(), ring.errno, ring.sqReady()]);
    ring.prepNop().userData(queued);
  }
  submissions.push([ring.submit(), ring.errno, ring.sqReady()]);
  return { submissions, completions: reap(ring), refusals: [] };
}

/** Plain submissions are refused while the queue is full; one that asks for completions as well passes. */
function full(): Pressed {
  const refusals: Pressed["refusals"] = [];
  const submissions: number[][] = [];
  using ring = new Ring(4);
  for (let queued = 0; queued < 4; queued++) ring.prepNop().userData(queued);
  for (const act of [() => ring.prepNop(), () => ring.getSqe(), () => ring.reserve(1)]) {
    try {
      act();
    } catch (error) {
      refusals.push(error as Pressed["refusals"][number]);
    }
  }
  submissions.push([ring.sqReady(), ring.errno, ring.sqSpaceLeft()]);
  submissions.push([ring.submitAndGetEvents(), ring.errno, ring.sqReady()]);
  return {
    submissions,
    completions: reap(ring),
    refusals: refusals.map(({ code, message }) => ({ code, message })),
  };
}

console.log(JSON.stringify(process.argv[2] === "full" ? full() : growing()));
