// Chains: one after another, whole or not at all, and who broke it.
import { expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { ChainError } from "../../src/async/chain.ts";
import { EBADF, ECANCELED, Iovecs, Timespec } from "../../src/index.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { descriptors, rejection, ringForFile, strays } from "./support.ts";
import { has } from "../support/kernel.ts";

const directory = scratchDirectory();
const ring = ringForFile();
const data = pattern(4096);
const from = openFile(directory, "from", data);
const to = openFile(directory, "to");

/** What a chain that fails rejects with. */
async function failure(
  promise: Promise<unknown>,
): Promise<{ results: readonly number[]; broken: number; code: string }> {
  const error = await rejection(promise);
  expect(error).toBeInstanceOf(ChainError);
  const { results, broken, code } = error as ChainError;
  return { results, broken, code };
}

test("chain() does one thing after another", async () => {
  const buffer = new Uint8Array(4096);
  const results = await ring.chain((c) => {
    c.read(from, buffer, 0);
    c.write(to, buffer, 0);
    c.fsync(to);
  });
  expect(results).toEqual([4096, 4096, 0]);
  expect(Buffer.compare(readFileSync(join(directory, "to")), data)).toBe(0);
});

test("chain() tells the link that failed from those that were canceled", async () => {
  const build = (hard: boolean): Promise<unknown> =>
    ring.chain(
      (c) => {
        c.nop();
        c.read(999_999, new Uint8Array(8), 0);
        c.nop();
        c.nop();
      },
      { hard },
    );
  // Kernel: before 5.18 a descriptor that there is not cancels what is before it, too.
  const first = has("IORING_FEAT_LINKED_FILE") ? 0 : -ECANCELED;
  expect(await failure(build(false))).toEqual({
    results: [first, -EBADF, -ECANCELED, -ECANCELED],
    broken: 1,
    code: "EBADF",
  });
});

test("chain() goes on behind a failing link if it is hard", async () => {
  const fails = ring.chain(
    (c) => {
      c.nop();
      c.shutdown(from, 0);
      c.nop();
    },
    { hard: true },
  );
  expect(await failure(fails)).toMatchObject({ broken: 1, code: "ENOTSOCK" });
});

test("chain() finds the link that moved fewer bytes than it should", async () => {
  const short = ring.chain((c) => {
    c.nop();
    c.read(from, new Uint8Array(5000), 0);
    c.nop();
  });
  expect(await failure(short)).toEqual({ results: [0, 4096, -ECANCELED], broken: 1, code: "ECANCELED" });
  const vectored = ring.chain((c) => {
    c.readv(from, new Iovecs([new Uint8Array(4096), new Uint8Array(1)]), 0);
    c.nop();
  });
  expect(await failure(vectored)).toEqual({ results: [4096, -ECANCELED], broken: 0, code: "ECANCELED" });
});

test("chain() that was canceled from outside blames nobody who did his part", async () => {
  const ends = pipe(directory);
  const chain = ring.chain((c) => {
    c.read(from, new Uint8Array(4096), 0);
    c.read(ends.read, new Uint8Array(1), -1);
    c.nop();
  });
  await Bun.sleep(2);
  ring.cancelAll();
  expect(await failure(chain)).toEqual({ results: [4096, -ECANCELED, -ECANCELED], broken: 1, code: "ECANCELED" });
  closeSync(ends.read);
  closeSync(ends.write);
});

test("chain() limits the time of one link", async () => {
  const ends = pipe(directory);
  const chain = ring.chain((c) => {
    c.nop({ timeoutMs: 1000 });
    c.read(ends.read, new Uint8Array(1), -1, { timeoutMs: 5 });
    c.nop();
  });
  expect(await failure(chain)).toEqual({ results: [0, -ECANCELED, -ECANCELED], broken: 1, code: "ECANCELED" });
  expect(await ring.chain((c) => c.nop({ timeoutMs: 1000 }))).toEqual([0]);
  closeSync(ends.read);
  closeSync(ends.write);
});

test("chain() with a signal rejects with its reason, and closes what was opened", async () => {
  const path = join(directory, "opened");
  closeSync(openSync(path, "w"));
  const ends = pipe(directory);
  const controller = new AbortController();
  const before = descriptors();
  const chain = ring.chain(
    (c) => {
      c.open(path, constants.O_RDONLY);
      c.read(ends.read, new Uint8Array(1), -1);
    },
    { signal: controller.signal },
  );
  await Bun.sleep(5);
  controller.abort("no more");
  expect((await rejection(chain)) as unknown).toBe("no more");
  await ring.nop({ drain: true });
  expect(strays(before)).toEqual([]);
  for (const fd of [ends.read, ends.write]) closeSync(fd);
  const late = ring.chain((c) => c.nop(), { signal: AbortSignal.abort("before") });
  expect((await rejection(late)) as unknown).toBe("before");
});

test("chain() fits one submission or is refused, and nothing of it is queued", async () => {
  await using small = new AsyncRing({ entries: 4 });
  const nops = (count: number, timeoutMs?: number): Promise<number[]> =>
    small.chain((c) => {
      for (let i = 0; i < count; i++) c.nop({ timeoutMs });
    });
  expect(await nops(4)).toEqual([0, 0, 0, 0]);
  expect((await rejection(nops(5))).code).toBe("ERR_URING_ARG_VALUE");
  expect((await rejection(nops(0))).code).toBe("ERR_URING_ARG_VALUE");
  expect((await rejection(nops(3, 100))).code).toBe("ERR_URING_ARG_VALUE");
  const { submitted } = small.stats();
  const bad = small.chain((c) => {
    c.nop();
    c.read(0, "no memory" as unknown as Uint8Array, 0);
  });
  expect((await rejection(bad)).code).toBe("ERR_URING_ARG_TYPE");
  expect(small.stats()).toMatchObject({ submitted, inFlight: 0, queued: 0 });
});

test("chains wait for room as wholes, in order with the rest", async () => {
  await using small = new AsyncRing({ entries: 4 });
  const order: string[] = [];
  const all: Promise<unknown>[] = [];
  for (let i = 0; i < 30; i++) {
    all.push(small.nop().then(() => order.push(`nop ${i}`)));
    const chain = small.chain((c) => {
      c.nop();
      c.nop();
      c.nop();
    });
    all.push(chain.then(() => order.push(`chain ${i}`)));
  }
  await Promise.all(all);
  expect(order.filter((each) => each.startsWith("chain"))).toEqual(Array.from({ length: 30 }, (_, i) => `chain ${i}`));
  expect(order.indexOf("nop 29")).toBeGreaterThan(order.indexOf("chain 20"));
});

test("chain() has no more links once it is made, and one that waits is given up by its signal", async () => {
  let kept: Parameters<Parameters<typeof ring.chain>[0]>[0] | undefined;
  await ring
    .chain((c) => {
      kept = c;
      c.timeout(Timespec.ofMs(1), 0, 0);
    })
    .catch(() => undefined);
  expect(() => kept?.nop()).toThrow(expect.objectContaining({ code: "ERR_URING_STATE" }));
  await using small = new AsyncRing({ entries: 2, maxInFlight: 1 });
  const ends = pipe(directory);
  const first = rejection(small.read(ends.read, new Uint8Array(1), -1));
  const controller = new AbortController();
  const waiting = small.chain((c) => c.nop(), { signal: controller.signal });
  controller.abort("given up");
  expect((await rejection(waiting)) as unknown).toBe("given up");
  small.cancelAll();
  expect((await first).code).toBe("ECANCELED");
  closeSync(ends.read);
  closeSync(ends.write);
});
