// The callback form: one handler, no promise, no allocation.
import { expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { EBADF, ECANCELED, Timespec } from "../../src/index.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { program, ringForFile } from "./support.ts";

const directory = scratchDirectory();
const ring = ringForFile();

/** The results of a ticket, one after another. */
function results(): { handler: (res: number) => void; next: () => Promise<number> } {
  const waiters: ((res: number) => void)[] = [];
  return {
    handler: (res) => waiters.shift()?.(res),
    next: () => new Promise((resolve) => waiters.push(resolve)),
  };
}

test("ticket() calls its handler with the result, of one request after another", async () => {
  const fd = openFile(directory, "file", pattern(1000));
  const { handler, next } = results();
  const ticket = ring.ticket(handler);
  const bytes = new Uint8Array(600);
  for (const [offset, length] of [
    [0, 600],
    [600, 400],
    [2000, 0],
  ] as const) {
    const result = next();
    ticket.read(fd, bytes, offset);
    expect(ticket.busy).toBe(true);
    expect(await result).toBe(length);
    expect(ticket.busy).toBe(false);
  }
  const closed = next();
  ticket.close(fd);
  expect(await closed).toBe(0);
  const refused = next();
  ticket.read(999_999, bytes, 0);
  expect(await refused).toBe(-EBADF);
});

test("a handler may make the next request, which leaves in the same turn", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = 5000;
  const ticket = ring.ticket((res, self) => {
    expect(res).toBe(0);
    if (--left > 0) self.nop();
    else resolve();
  });
  ticket.nop();
  await promise;
  expect(ring.stats().inFlight).toBe(0);
});

test("a ticket has one request at a time, and throws what cannot be", async () => {
  const { handler, next } = results();
  const ticket = ring.ticket(handler);
  const first = next();
  ticket.timeout(Timespec.ofMs(5));
  expect(() => ticket.nop()).toThrow(expect.objectContaining({ code: "ERR_URING_STATE" }));
  expect(await first).toBe(-62);
  expect(() => ticket.read(0, "x" as unknown as Uint8Array, 0)).toThrow(TypeError);
  expect(ticket.busy).toBe(false);
  expect(() => ticket.nop({ signal: new AbortController().signal })).toThrow(TypeError);
  expect(() => ring.ticket(undefined as never)).toThrow(TypeError);
});

test("cancel() ends what is under way or waits", async () => {
  await using small = new AsyncRing({ maxInFlight: 1 });
  const ends = pipe(directory);
  const [one, two] = [results(), results()];
  const [first, second] = [small.ticket(one.handler), small.ticket(two.handler)];
  const over = [one.next(), two.next()];
  first.read(ends.read, new Uint8Array(1), -1);
  second.read(ends.read, new Uint8Array(1), -1);
  await Bun.sleep(1);
  second.cancel();
  expect(await over[1]).toBe(-ECANCELED);
  first.cancel();
  expect(await over[0]).toBe(-ECANCELED);
  first.cancel();
  const limited = one.next();
  first.read(ends.read, new Uint8Array(1), -1, { timeoutMs: 3 });
  expect(await limited).toBe(-ECANCELED);
  closeSync(ends.read);
  closeSync(ends.write);
});

test("closing the ring calls the handlers of what was under way", async () => {
  const own = new AsyncRing();
  const ends = pipe(directory);
  const { handler, next } = results();
  const ticket = own.ticket(handler);
  const over = next();
  ticket.read(ends.read, new Uint8Array(1), -1);
  await own.close();
  expect(await over).toBe(-ECANCELED);
  expect(() => ticket.nop()).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
  closeSync(ends.read);
  closeSync(ends.write);
});

test("what a handler throws is the process's to catch, and nobody else's loss", () => {
  expect(program<unknown>("throws")).toEqual({ caught: ["first"], others: 9 });
});

test("a ticket's request allocates nothing", () => {
  const { bytes, control } = program<{ bytes: number; control: number }>("allocates");
  // One object more per request is seen as 32 bytes: the least that could be allocated.
  expect(control - bytes).toBeGreaterThan(24);
  expect(bytes).toBeLessThan(4);
}, 30_000);
