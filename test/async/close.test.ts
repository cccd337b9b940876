// The end of a ring, and several at once.
import { expect, test } from "bun:test";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { AT_FDCWD } from "../../src/abi/linux.ts";
import { Timespec } from "../../src/index.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { descriptors, rejection, strays } from "./support.ts";

const directory = scratchDirectory();

test("close() cancels and settles everything, and takes nothing new", async () => {
  const ends = pipe(directory);
  const before = descriptors();
  const ring = new AsyncRing({ entries: 8, maxInFlight: 20 });
  const reads = Array.from({ length: 50 }, () => rejection(ring.read(ends.read, new Uint8Array(8), -1)));
  const slow = rejection(ring.timeout(Timespec.ofMs(60_000)));
  await Bun.sleep(1);
  const closing = ring.close();
  expect((await rejection(ring.nop())).code).toBe("ERR_URING_CLOSED");
  const codes = (await Promise.all([...reads, slow])).map(({ code }) => code);
  expect(codes).toEqual(new Array<string>(51).fill("ECANCELED"));
  await closing;
  expect(ring.close()).toBe(closing);
  expect((await rejection(ring.nop())).code).toBe("ERR_URING_CLOSED");
  closeSync(ends.read);
  closeSync(ends.write);
  expect(strays(before)).toEqual([]);
});

test("`await using` closes a ring with work under way, and what worker threads do is waited for", async () => {
  const path = join(directory, "file");
  closeSync(openSync(path, "w"));
  const before = descriptors();
  for (let round = 0; round < 20; round++) {
    const settled: Promise<unknown>[] = [];
    {
      await using ring = new AsyncRing({ entries: 64 });
      for (let i = 0; i < 64; i++) {
        // Whoever gets a descriptor closes it; whoever does not has none to close.
        const opening = ring.openat(AT_FDCWD, path, constants.O_RDONLY, { async: true });
        settled.push(opening.then(closeSync, () => undefined));
      }
      if (round % 2 === 0) await Bun.sleep(0);
    }
    await Promise.all(settled);
  }
  expect(strays(before)).toEqual([]);
});

test("a ring that was never used closes", async () => {
  const before = descriptors();
  for (let i = 0; i < 10; i++) await new AsyncRing({ entries: 4 }).close();
  expect(strays(before)).toEqual([]);
});

test("several rings share the loop", async () => {
  const rings = Array.from({ length: 5 }, () => new AsyncRing({ entries: 16 }));
  const results = await Promise.all(
    rings.flatMap((ring) => [ring.nop(), ring.timeout(Timespec.ofMs(10)), ring.nop({ async: true })]),
  );
  expect(results).toEqual(rings.flatMap(() => [0, -62, 0]));
  await Promise.all(rings.map((ring) => ring.close()));
});

test("stats() tells of a closed ring too", async () => {
  const ring = new AsyncRing();
  await ring.nop();
  await ring.close();
  expect(ring.stats()).toMatchObject({ submitted: 1, completed: 1, inFlight: 0, queued: 0 });
});
