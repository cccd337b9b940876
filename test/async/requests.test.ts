// One-shot operations as promises: results, errors, options, order, what is kept alive.
import { describe, expect, test } from "bun:test";
import { closeSync, constants, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { io } from "../../src/async/io.ts";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { AT_FDCWD } from "../../src/abi/linux.ts";
import {
  ETIME,
  IORING_NOP_INJECT_RESULT,
  IORING_SETUP_DEFER_TASKRUN,
  Iovecs,
  Statx,
  Timespec,
  UringError,
} from "../../src/index.ts";
import { openFile, pattern, pipe, scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";
import { program, rejection, ringForFile } from "./support.ts";

const directory = scratchDirectory();
const ring = ringForFile();

describe("operations", () => {
  test("read() and write() move bytes between a file and memory", async () => {
    const fd = openFile(directory, "both");
    const data = pattern(10_000);
    expect(await ring.write(fd, data, 0)).toBe(10_000);
    const back = new Uint8Array(20_000);
    expect(await ring.read(fd, back, 100)).toBe(9900);
    expect(Buffer.compare(back.subarray(0, 9900), data.subarray(100))).toBe(0);
    expect(await ring.read(fd, back, 0, 5)).toBe(5);
    expect(await ring.close(fd)).toBe(0);
  });

  test("readv() takes Iovecs, and openat(), statx() and unlinkat() take paths as strings", async () => {
    closeSync(openFile(directory, "ünïcode", "0123456789"));
    const path = join(directory, "ünïcode");
    const fd = await ring.openat(AT_FDCWD, path, constants.O_RDONLY);
    const [first, second] = [new Uint8Array(4), new Uint8Array(6)];
    expect(await ring.readv(fd, new Iovecs([first, second]), 0)).toBe(10);
    expect(Buffer.from(second).toString()).toBe("456789");
    const statx = new Statx();
    expect(await ring.statx(AT_FDCWD, path, 0, 0x7ff, statx)).toBe(0);
    expect(statx.size).toBe(10);
    await ring.close(fd);
    expect(await ring.unlinkat(AT_FDCWD, path)).toBe(0);
    expect((await rejection(ring.openat(AT_FDCWD, path, constants.O_RDONLY))).code).toBe("ENOENT");
  });

  test("many paths in one tick keep apart", async () => {
    const names = Array.from({ length: 300 }, (_, i) => join(directory, `many-${i}`));
    for (const [i, name] of names.entries()) await Bun.write(name, `content ${i}`);
    const fds = await Promise.all(names.map((name) => ring.openat(AT_FDCWD, name, constants.O_RDONLY)));
    const texts = await Promise.all(
      fds.map(async (fd) => {
        const bytes = new Uint8Array(32);
        return Buffer.from(bytes.subarray(0, await ring.read(fd, bytes, 0))).toString();
      }),
    );
    expect(texts).toEqual(names.map((_, i) => `content ${i}`));
    await Promise.all(fds.map((fd) => ring.close(fd)));
  });

  test("timeout() resolves when its time has passed, with -ETIME", async () => {
    const start = performance.now();
    expect(await ring.timeout(Timespec.ofMs(20))).toBe(-ETIME);
    expect(performance.now() - start).toBeGreaterThan(19);
  });

  test("the shared ring works like one of one's own", async () => {
    const fd = openFile(directory, "shared", "shared");
    const bytes = new Uint8Array(16);
    expect(await io.read(fd, bytes, 0)).toBe(6);
    expect(Buffer.from(bytes.subarray(0, 6)).toString()).toBe("shared");
    await io.close(fd);
  });

  test("close() without a descriptor does not close the ring by mistake", async () => {
    const missing = undefined as unknown as number;
    expect((await rejection(ring.close(missing))).code).toBe("ERR_URING_ARG_TYPE");
    expect(await ring.nop()).toBe(0);
  });

  needs("IORING_FEAT_NATIVE_WORKERS")("splice() moves bytes from a file into a pipe", async () => {
    const fd = openFile(directory, "spliced", "through");
    const ends = pipe(directory);
    expect(await ring.splice(fd, 0, ends.write, -1, 100)).toBe(7);
    const bytes = new Uint8Array(16);
    expect(await ring.read(ends.read, bytes, -1)).toBe(7);
    for (const each of [fd, ends.read, ends.write]) closeSync(each);
  });
});

describe("errors", () => {
  test("what the kernel refuses rejects with a UringError that names the operation", async () => {
    const error = await rejection(ring.read(999_999, new Uint8Array(1), 0));
    expect(error).toBeInstanceOf(UringError);
    expect({ code: error.code, syscall: error.syscall }).toEqual({ code: "EBADF", syscall: "IORING_OP_READ" });
  });

  test("arguments that cannot be reject and leave nothing behind", async () => {
    const before = ring.stats();
    expect((await rejection(ring.read(0, "text" as unknown as Uint8Array, 0))).code).toBe("ERR_URING_ARG_TYPE");
    expect((await rejection(ring.read(0.5, new Uint8Array(1), 0))).code).toBe("ERR_URING_ARG_VALUE");
    const detached = new Uint8Array(8);
    detached.buffer.transfer();
    expect((await rejection(ring.write(0, detached, 0))).code).toBe("ERR_URING_BUFFER");
    expect(ring.stats().submitted).toBe(before.submitted);
    expect(ring.stats().inFlight).toBe(0);
  });

  test.each([
    [{ timeout: 5 }, "ERR_URING_OPTIONS"],
    [{ timeoutMs: -1 }, "ERR_URING_OPTIONS"],
    [{ timeoutMs: Number.NaN }, "ERR_URING_OPTIONS"],
    [{ signal: {} }, "ERR_URING_OPTIONS"],
    [{ drain: 1 }, "ERR_URING_OPTIONS"],
    [{ personality: 70_000 }, "ERR_URING_ARG_VALUE"],
    [{ ioprio: "high" }, "ERR_URING_ARG_TYPE"],
  ])("options %j are refused", async (options, code) => {
    expect((await rejection(ring.nop(options as object))).code).toBe(code);
    expect(ring.stats().inFlight).toBe(0);
  });

  test.each([
    [{ maxInFlight: 0 }],
    [{ maxPerTurn: 1.5 }],
    [{ spinUsec: -1 }],
    [{ iopoll: true }],
    [{ rDisabled: true }],
    [{ singleIssuer: true, deferTaskrun: true }],
    [{ flags: IORING_SETUP_DEFER_TASKRUN, singleIssuer: true }],
    [{ modern: "yes" }],
    [{ nonsense: true }],
    [null],
  ])("new AsyncRing(%j) is refused", (options) => {
    expect(() => new AsyncRing(options as object)).toThrow(expect.objectContaining({ code: "ERR_URING_OPTIONS" }));
  });
});

describe("options", () => {
  test("stand in the place of any argument that may be left out", async () => {
    const fd = openFile(directory, "options", "0123456789");
    const bytes = new Uint8Array(8);
    expect(await ring.read(fd, bytes, 0, { timeoutMs: 1000 })).toBe(8);
    expect(await ring.read(fd, bytes, 0, 4, { timeoutMs: 1000 })).toBe(4);
    expect(await ring.read(fd, bytes, 0, undefined, { async: true })).toBe(8);
    ring.ring.registerFiles([fd]);
    expect(await ring.read(0, bytes, 2, { fixedFile: true })).toBe(8);
    ring.ring.unregisterFiles();
    closeSync(fd);
  });

  test("drain holds a request back until the earlier ones are done", async () => {
    const order: string[] = [];
    const slow = ring.timeout(Timespec.ofMs(15)).then(() => order.push("slow"));
    const drained = ring.nop({ drain: true }).then(() => order.push("drained"));
    await Promise.all([slow, drained]);
    expect(order).toEqual(["slow", "drained"]);
  });

  test("a time limit that is not reached changes nothing", async () => {
    const results = await Promise.all(Array.from({ length: 3000 }, () => ring.nop({ timeoutMs: 10_000 })));
    expect(results).toEqual(new Array<number>(3000).fill(0));
  });
});

describe("many at once", () => {
  test("the requests of a tick leave in one system call", async () => {
    await using own = new AsyncRing();
    const before = own.stats().systemCalls;
    const all = Array.from({ length: 500 }, () => own.nop());
    // The first is settled in the turn in which they leave; where all is slow, the last may be in another.
    await all[0];
    const { systemCalls, submitted } = own.stats();
    expect({ calls: systemCalls - before, submitted }).toEqual({ calls: 1, submitted: 500 });
    await Promise.all(all);
    expect(own.stats().submitted).toBe(500);
  });

  needs("IORING_NOP_INJECT_RESULT")("more than fit wait in order", async () => {
    await using small = new AsyncRing({ entries: 4, maxInFlight: 8 });
    const order: number[] = [];
    const all = Array.from({ length: 1000 }, (_, i) =>
      small.nopFlags(IORING_NOP_INJECT_RESULT, i).then((res) => order.push(res)),
    );
    expect(small.stats().queued).toBe(996);
    await Promise.all(all);
    expect(order).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  test("a million requests in a loop all complete and leave nothing behind", () => {
    // Not in this process: under the test runner the engine collects garbage far more often.
    const found = program<Record<string, number>>("million");
    const { count = 0 } = found;
    expect(count).toBeGreaterThanOrEqual(200_000);
    expect(found).toMatchObject({ submitted: count, completed: count, inFlight: 0, queued: 0 });
    // Far less than one of them: what is left after a collection is not what a million of anything takes.
    expect(found["bytesLeft"]).toBeLessThan(8e6);
  }, 30_000);

  test("a request that never fits is refused", async () => {
    await using tiny = new AsyncRing({ entries: 1 });
    expect((await rejection(tiny.nop({ timeoutMs: 1000 }))).code).toBe("ERR_URING_ARG_VALUE");
    expect(await tiny.nop()).toBe(0);
  });

  test("a full ring of requests that wait for somebody is no hindrance to cancelling", async () => {
    await using small = new AsyncRing({ entries: 2, maxInFlight: 4 });
    expect(small.reactor().isCrowded).toBe(false);
    const ends = pipe(directory);
    const waiting = Array.from({ length: 8 }, () => rejection(small.read(ends.read, new Uint8Array(1), -1)));
    await Bun.sleep(1);
    expect(small.stats()).toMatchObject({ inFlight: 4, queued: 4 });
    expect(small.reactor().isCrowded).toBe(true);
    expect(small.cancelAll()).toBe(8);
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual(new Array<string>(8).fill("ECANCELED"));
    closeSync(ends.read);
    closeSync(ends.write);
  });
});

describe("retention", () => {
  test("buffers that the caller has dropped are filled all the same, and nobody else's are touched", async () => {
    const ends = pipe(directory);
    const data = pattern(64 * 256, 7);
    // The only reference to each buffer is the request's.
    const reads = Array.from({ length: 256 }, () => ring.read(ends.read, new Uint8Array(64), -1));
    await Bun.sleep(1);
    Bun.gc(true);
    const others = Array.from({ length: 2000 }, () => new Uint8Array(64).fill(0xee));
    for (let i = 0; i < 256; i++) writeSync(ends.write, data, i * 64, 64);
    expect(await Promise.all(reads)).toEqual(new Array<number>(256).fill(64));
    expect(others.every((other) => other.every((byte) => byte === 0xee))).toBe(true);
    closeSync(ends.read);
    closeSync(ends.write);
  });

  test("paths in memory that was dropped name the right files", async () => {
    const names = Array.from({ length: 64 }, (_, i) => `kept-${i}`);
    const opens = names.map((name) =>
      ring.openat(AT_FDCWD, Buffer.from(`${join(directory, name)}\0`), constants.O_CREAT | constants.O_RDWR, 0o600, {
        async: true,
      }),
    );
    Bun.gc(true);
    const fds = await Promise.all(opens);
    for (const [i, fd] of fds.entries()) {
      writeSync(fd, String(i));
      closeSync(fd);
    }
    expect(names.map((name) => readFileSync(join(directory, name), "utf8"))).toEqual(names.map((_, i) => String(i)));
  });
});
