// A flood of completions beside the other inhabitants of the event loop.
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { patience } from "../support/patience.ts";

/** Keeps `lanes` of requests going until it is told to stop; how many there were. */
async function flood(make: () => Promise<number>, lanes: number, stop: { now: boolean }): Promise<number> {
  let count = 0;
  const lane = async (): Promise<void> => {
    while (!stop.now) {
      await make();
      count++;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return count;
}

/** How long a flood lasts. */
const floodMs = 300 * patience;

/** What the loop gets done beside a flood: turns of a 5 ms timer, answers of a server. */
async function beside(make: (ring: AsyncRing) => Promise<number>, lanes: number): Promise<Record<string, number>> {
  await using ring = new AsyncRing();
  using server = Bun.serve({ port: 0, fetch: () => new Response("here") });
  const stop = { now: false };
  let turns = 0;
  const timer = setInterval(() => turns++, 5);
  const flooding = flood(() => make(ring), lanes, stop);
  let answers = 0;
  const end = performance.now() + floodMs;
  // A timer of the loop ends it: one that starved would never.
  setTimeout(() => (stop.now = true), floodMs);
  while (performance.now() < end) {
    if ((await (await fetch(server.url)).text()) === "here") answers++;
  }
  const requests = await flooding;
  clearInterval(timer);
  return { requests, turns, answers };
}

const fd = openSync(import.meta.path, "r");
const buffers = Array.from({ length: 256 }, () => new Uint8Array(64));
let next = 0;

test.each([
  ["one at a time, done within the system call", (ring: AsyncRing) => ring.nop(), 1],
  ["256 at a time, done within the system call", (ring: AsyncRing) => ring.nop(), 256],
  ["reads, 256 at a time", (ring: AsyncRing) => ring.read(fd, buffers[next++ & 255] as Uint8Array, 0), 256],
  ["done by worker threads", (ring: AsyncRing) => ring.nop({ async: true }), 64],
] as const)(
  "timers and a server get their turns beside a flood of requests: %s",
  async (_, make, lanes) => {
    const { requests, turns, answers } = await beside(make, lanes);
    expect(requests).toBeGreaterThan(100);
    expect(turns).toBeGreaterThanOrEqual(3);
    expect(answers).toBeGreaterThanOrEqual(3);
  },
  10_000 * patience,
);

test("one that waits for nothing else does not keep the loop waiting: timers are on time", async () => {
  await using ring = new AsyncRing({ maxPerTurn: 64 });
  const stop = { now: false };
  const flooding = flood(() => ring.nop(), 8, stop);
  const late: number[] = [];
  for (let i = 0; i < 20; i++) {
    const due = performance.now() + 5;
    await Bun.sleep(5);
    late.push(performance.now() - due);
  }
  stop.now = true;
  await flooding;
  closeSync(fd);
  expect(late.toSorted((a, b) => a - b)[10]).toBeLessThan(15 * patience);
});

test("requests that take their time to be dealt with leave the loop its turns all the same", async () => {
  const slow = 128;
  await using ring = new AsyncRing();
  let done = 0;
  const seen: number[] = [];
  const count = (): void => {
    seen.push(done);
    if (done < slow) setImmediate(count);
  };
  setImmediate(count);
  const tickets = Array.from({ length: slow }, () =>
    ring.ticket(() => {
      const end = performance.now() + 1;
      while (performance.now() < end);
      done++;
    }),
  );
  for (const ticket of tickets) ticket.nop();
  while (done < slow) await Bun.sleep(1);
  // What is dealt with between two turns: never all of them.
  const between = seen.map((each, i) => each - (seen[i - 1] ?? 0));
  expect(Math.max(...between)).toBeLessThanOrEqual(64);
});
