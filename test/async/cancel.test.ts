// Signals, time limits, cancelling by descriptor and altogether; and what comes too late.
import { describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { AT_FDCWD } from "../../src/abi/linux.ts";
import { IORING_ASYNC_CANCEL_ALL, IORING_FILE_INDEX_ALLOC } from "../../src/index.ts";
import { pattern, pipe, scratchDirectory } from "../support/files.ts";
import { has, needs } from "../support/kernel.ts";
import { connection, descriptors, listener, makeClient, rejection, ringForFile, strays } from "./support.ts";

const directory = scratchDirectory();
const ring = ringForFile();
const sockets = needs("IORING_OP_SOCKET");
// Kernel: flags of a cancellation came in 5.19, as did the operation.
const byDescriptor = needs("IORING_ASYNC_CANCEL_FD", () => has("IORING_OP_SOCKET"));

describe("signal", () => {
  test("an aborted request rejects with the signal's reason", async () => {
    const ends = pipe(directory);
    const controller = new AbortController();
    const reading = rejection(ring.read(ends.read, new Uint8Array(4), -1, { signal: controller.signal }));
    await Bun.sleep(2);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await reading).toBe(reason);
    // The kernel has let go: what is written now stays in the pipe.
    writeSync(ends.write, "left");
    const left = Buffer.alloc(4);
    expect(readSync(ends.read, left)).toBe(4);
    expect(left.toString()).toBe("left");
    closeSync(ends.read);
    closeSync(ends.write);
  });

  test("an aborted request rejects no earlier than its completion comes", async () => {
    const ends = pipe(directory);
    const controller = new AbortController();
    let settled = false;
    const reading = rejection(ring.read(ends.read, new Uint8Array(4), -1, { signal: controller.signal }));
    void reading.then(() => (settled = true));
    await Bun.sleep(2);
    controller.abort();
    // Nothing has been submitted since: the promise cannot know yet, however many microtasks go by... until the flush.
    expect(ring.stats().inFlight).toBe(1);
    expect(settled).toBe(false);
    await reading;
    expect(ring.stats().inFlight).toBe(0);
    closeSync(ends.read);
    closeSync(ends.write);
  });

  test("a signal that aborted before makes no request at all", async () => {
    const before = ring.stats().submitted;
    const reason = new Error("before");
    expect(await rejection(ring.nop({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(ring.stats().submitted).toBe(before);
  });

  test("a request that waits for room is given up at once", async () => {
    await using small = new AsyncRing({ entries: 1, maxInFlight: 1 });
    const ends = pipe(directory);
    const first = rejection(small.read(ends.read, new Uint8Array(1), -1));
    const controller = new AbortController();
    const second = rejection(small.nop({ signal: controller.signal }));
    controller.abort("why");
    expect((await second) as unknown).toBe("why");
    expect(small.stats().inFlight).toBe(1);
    small.cancelAll();
    expect((await first).code).toBe("ECANCELED");
    expect(small.stats().submitted).toBe(2);
    closeSync(ends.read);
    closeSync(ends.write);
  });

  test("a request that was done before it could be canceled resolves", async () => {
    const controller = new AbortController();
    const fd = openSync(import.meta.path, "r");
    const reading = ring.read(fd, new Uint8Array(16), 0, { signal: controller.signal });
    // Submitted together with its cancellation, after which it cannot be found any more.
    controller.abort();
    expect(await reading).toBe(16);
    closeSync(fd);
  });

  test("signals keep no listeners of requests that are over", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = ((...args: Parameters<typeof add>) => (listeners++, add(...args))) as typeof add;
    signal.removeEventListener = ((...args: Parameters<typeof remove>) => (
      listeners--,
      remove(...args)
    )) as typeof remove;
    await Promise.all([ring.nop({ signal }), ring.nop({ signal }), rejection(ring.close(999_999, { signal }))]);
    expect(listeners).toBe(0);
  });
});

describe("timeoutMs", () => {
  test("rejects with ETIME when the time is up", async () => {
    const ends = pipe(directory);
    const start = performance.now();
    const error = await rejection(ring.read(ends.read, new Uint8Array(4), -1, { timeoutMs: 12.5 }));
    expect({ code: error.code, syscall: error.syscall }).toEqual({ code: "ETIME", syscall: "IORING_OP_READ" });
    expect(performance.now() - start).toBeGreaterThanOrEqual(12);
    closeSync(ends.read);
    closeSync(ends.write);
  });

  byDescriptor("is told apart from being canceled", async () => {
    const ends = pipe(directory);
    const reading = rejection(ring.read(ends.read, new Uint8Array(4), -1, { timeoutMs: 10_000 }));
    await Bun.sleep(1);
    expect(await ring.cancelFd(ends.read)).toBe(0);
    expect((await reading).code).toBe("ECANCELED");
    const controller = new AbortController();
    const options = { timeoutMs: 10_000, signal: controller.signal };
    const second = rejection(ring.read(ends.read, new Uint8Array(4), -1, options));
    await Bun.sleep(1);
    controller.abort("signal");
    expect((await second) as unknown).toBe("signal");
    closeSync(ends.read);
    closeSync(ends.write);
  });

  test("holds for each of a great many", async () => {
    await using small = new AsyncRing({ entries: 8 });
    const ends = pipe(directory);
    const reads = Array.from({ length: 500 }, (_, i) =>
      rejection(small.read(ends.read, new Uint8Array(4), -1, { timeoutMs: 5 + (i % 20) })),
    );
    expect(new Set((await Promise.all(reads)).map(({ code }) => code))).toEqual(new Set(["ETIME"]));
    expect(small.stats().inFlight).toBe(0);
    closeSync(ends.read);
    closeSync(ends.write);
  });
});

describe("cancelFd() and cancelAll()", () => {
  byDescriptor("end all requests on a descriptor, or all there are", async () => {
    const [one, two] = [pipe(directory), pipe(directory)];
    const reads = (fd: number): Promise<string | undefined>[] =>
      Array.from({ length: 3 }, async () => (await rejection(ring.read(fd, new Uint8Array(1), -1))).code);
    const [first, second] = [reads(one.read), reads(two.read)];
    await Bun.sleep(1);
    expect(await ring.cancelFd(one.read, IORING_ASYNC_CANCEL_ALL)).toBe(3);
    expect(await Promise.all(first)).toEqual(["ECANCELED", "ECANCELED", "ECANCELED"]);
    expect(ring.stats().inFlight).toBe(3);
    expect(ring.cancelAll()).toBe(3);
    expect(await Promise.all(second)).toEqual(["ECANCELED", "ECANCELED", "ECANCELED"]);
    for (const each of [one, two]) {
      closeSync(each.read);
      closeSync(each.write);
    }
  });
});

describe("descriptors of canceled requests", () => {
  test("an open that was aborted too late has its descriptor closed", async () => {
    const path = join(directory, "opened");
    closeSync(openSync(path, "w"));
    const before = descriptors();
    const reasons = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const controller = new AbortController();
        const opening = ring.openat(AT_FDCWD, path, constants.O_RDONLY, {
          signal: controller.signal,
          async: i % 2 > 0,
        });
        controller.abort("late");
        return (await rejection(opening)) as unknown;
      }),
    );
    expect(new Set(reasons)).toEqual(new Set(["late"]));
    await ring.nop({ drain: true });
    expect(strays(before)).toEqual([]);
    unlinkSync(path);
  });

  sockets("a socket that was aborted too late is closed, in the table of registered files too", async () => {
    const before = descriptors();
    ring.ring.registerFilesSparse(4);
    for (let i = 0; i < 8; i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const three = [
        ring.socket(2, 1, 0, { signal }),
        ring.socketDirect(2, 1, 0, IORING_FILE_INDEX_ALLOC, { signal }),
        ring.socketDirect(2, 1, 0, 3, { signal }),
      ].map(rejection);
      controller.abort("late");
      expect((await Promise.all(three)) as unknown[]).toEqual(["late", "late", "late"]);
      await ring.nop({ drain: true });
    }
    expect(strays(before)).toEqual([]);
    // All four places are free again.
    const indices = await Promise.all([0, 0, 0, 0].map(() => ring.socketDirectAlloc(2, 1, 0)));
    expect(indices.toSorted()).toEqual([0, 1, 2, 3]);
    ring.ring.unregisterFiles();
  });

  test("an accept that is aborted while a connection comes leaves no descriptor", async () => {
    const { fd, address } = listener();
    for (let i = 0; i < 50; i++) {
      const before = descriptors();
      const controller = new AbortController();
      const accepting = ring.accept(fd, { signal: controller.signal }).then(
        (client) => ring.close(client),
        () => 0,
      );
      await ring.nop();
      const client = makeClient();
      const connecting = ring.connect(client, address);
      controller.abort("too late or not");
      await Promise.all([accepting, connecting]);
      await ring.close(client);
      await ring.nop({ drain: true });
      expect(strays(before)).toEqual([]);
    }
    await ring.close(fd);
  });
});

test("late completions reach nobody: aborted reads never take what later ones are to have", async () => {
  const { client, server } = await connection(ring);
  const data = pattern(200 * 16, 5);
  for (let i = 0; i < 200; i++) {
    const controller = new AbortController();
    const aborted = rejection(ring.recv(server, new Uint8Array(16), { signal: controller.signal }));
    await ring.nop();
    controller.abort("gone");
    expect((await aborted) as unknown).toBe("gone");
    const bytes = new Uint8Array(16);
    const [got] = await Promise.all([ring.recv(server, bytes), ring.send(client, data.subarray(i * 16, i * 16 + 16))]);
    expect(got).toBe(16);
    expect(Buffer.compare(bytes, data.subarray(i * 16, i * 16 + 16))).toBe(0);
  }
  await Promise.all([ring.close(client), ring.close(server)]);
});
