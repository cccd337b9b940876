/** Waiting: how long, for how many, and what ends it early. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, readFileSync } from "node:fs";
import { IORING_ENTER_GETEVENTS, IORING_ENTER_NO_IOWAIT } from "../../src/abi/constants.gen.ts";
import { EINTR, ETIME } from "../../src/abi/errno.gen.ts";
import { Ring } from "../../src/index.ts";
import { Mapping } from "../../src/memory.ts";
import type { Cqe } from "../../src/ring/cqe.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { Timespec } from "../../src/ring/structs.ts";
import { WaitArgument } from "../../src/ring/wait.ts";
import { syscalls } from "../../syscall/shim.ts";
import { program, run } from "../support/child.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { has, needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { signalled, type Waited } from "../support/signals.ts";
import type { Waits } from "../support/stack.ts";

// Programs are started, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const scratch = scratchDirectory();
const idle = pipe(scratch);

afterAll(() => {
  closeSync(idle.read);
  closeSync(idle.write);
});

/**
 * Milliseconds that a wait took, and what it returned. One that was interrupted is made again: the engine has a signal
 * of its own, with which it stops this thread when it collects garbage elsewhere.
 */
function timed<T>(ring: Ring, wait: () => T): [number, T] {
  for (let attempt = 0; ; attempt++) {
    const before = performance.now();
    const result = wait();
    const elapsed = performance.now() - before;
    if (ring.errno !== EINTR || attempt === 5) return [elapsed, result];
  }
}

/** Far more than any of these waits may take, on however busy a machine. */
const LATE_MS = 2000;

/** The two ways to wait for a time: with a submission and without. */
const ways: [string, (ring: Ring, n: number, timeoutMs: number) => Cqe | null][] = [
  ["submitAndWaitTimeout()", (ring, n, timeoutMs) => ring.submitAndWaitTimeout(n, timeoutMs)],
  ["waitCqes()", (ring, n, timeoutMs) => ring.waitCqes(n, timeoutMs)],
];

describe.each(ways)("%s", (_name, wait) => {
  test.each([0, 0.5, 1, 7.25, 30])("waits %p ms, no less", (timeoutMs) => {
    using ring = new Ring(4);
    const [elapsed, cqe] = timed(ring, () => wait(ring, 1, timeoutMs));
    expect(cqe).toBeNull();
    expect(ring.errno).toBe(ETIME);
    expect(elapsed).toBeGreaterThanOrEqual(timeoutMs);
    expect(elapsed).toBeLessThan(LATE_MS);
  });

  test("returns early with what it waited for", () => {
    using ring = new Ring(4);
    ring.prepTimeout(kept(Timespec.ofMs(10))).userData(3);
    ring.submit();
    const [elapsed, cqe] = timed(ring, () => wait(ring, 1, 60_000));
    expect([cqe?.userData, cqe?.res, ring.errno]).toEqual([3, -ETIME, 0]);
    expect(elapsed).toBeLessThan(LATE_MS);
  });

  test.each([Infinity, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, 2 ** 63, 1e18])(
    "of %p waits for as long as it takes",
    (ms) => {
      using ring = new Ring(4);
      ring.prepTimeout(kept(Timespec.ofMs(20))).userData(3);
      ring.submit();
      const [elapsed, cqe] = timed(ring, () => wait(ring, 1, ms));
      expect(cqe?.userData).toBe(3);
      expect(elapsed).toBeGreaterThanOrEqual(15);
    },
  );

  test("returns the first completion when the time is up before the last", () => {
    using ring = new Ring(4);
    ring.prepNop().userData(1);
    ring.submit();
    const [elapsed, cqe] = timed(ring, () => wait(ring, 2, 10));
    expect(elapsed).toBeGreaterThanOrEqual(10);
    expect([cqe?.userData, ring.cqReady()]).toEqual([1, 1]);
  });

  test("forgets an earlier failure", () => {
    using ring = new Ring(4);
    wait(ring, 1, 0);
    expect(ring.errno).toBe(ETIME);
    ring.prepNop();
    ring.submit();
    expect(ring.errno).toBe(0);
    wait(ring, 2, 0);
    expect(ring.errno).toBe(0);
  });

  test("refuses times and numbers that are none", () => {
    using ring = new Ring(4);
    ring.prepNop();
    for (const timeoutMs of [
      -1,
      Number.NaN,
      "5" as unknown as number,
      null as unknown as number,
      5n as unknown as number,
    ]) {
      expect(() => wait(ring, 1, timeoutMs)).toThrow(expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }));
    }
    for (const n of [-1, 0.5, Number.NaN, 2 ** 31]) {
      expect(() => wait(ring, n, 5)).toThrow(expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }));
    }
    expect(ring.sqReady()).toBe(1);
  });
});

describe("submitAndWaitTimeout()", () => {
  overLayouts(
    (layout) => {
      test("that submitted something says so as well when the time is up", () => {
        using ring = ringOf(layout, 4);
        ring.prepRead(idle.read, kept(Buffer.alloc(1)), 0).userData(9);
        const [elapsed, cqe] = timed(ring, () => ring.submitAndWaitTimeout(1, 12));
        expect(elapsed).toBeGreaterThanOrEqual(12);
        expect([cqe, ring.errno]).toEqual([null, ETIME]);
        // A polling thread takes the entry when the processor is its.
        for (let i = 0; layout.name === "sqpoll" && ring.sqReady() > 0 && i < 1000; i++) Bun.sleepSync(2);
        expect(ring.sqReady()).toBe(0);
      });
    },
    ["plain", "sqpoll", "deferTaskrun", "modern", "noMmap"],
  );

  test("waits past a second", () => {
    using ring = new Ring(4);
    const [elapsed] = timed(ring, () => ring.submitAndWaitTimeout(1, 1020));
    expect(elapsed).toBeGreaterThanOrEqual(1020);
    expect(elapsed).toBeLessThan(1020 + LATE_MS);
  });

  test("submits everything", () => {
    using ring = new Ring(4);
    for (let i = 0; i < 3; i++) ring.prepNop().userData(i);
    expect(ring.submitAndWaitTimeout(3, 1000)?.userData).toBe(0);
    expect([ring.sqReady(), ring.cqReady(), ring.enters]).toEqual([0, 3, 1]);
  });

  test("of no time looks at what is there", () => {
    using ring = new Ring(4);
    ring.prepNop().userData(5);
    expect(ring.submitAndWaitTimeout(1, 0)?.userData).toBe(5);
  });
});

describe("on a ring that is iopoll", () => {
  test.each(ways)("%s ends when its time is up", (_name, wait) => {
    using ring = new Ring(4, { iopoll: true });
    const [elapsed, cqe] = timed(ring, () => wait(ring, 1, 15));
    expect(cqe).toBeNull();
    expect(ring.errno).toBe(ETIME);
    expect(elapsed).toBeGreaterThanOrEqual(15);
    expect(elapsed).toBeLessThan(LATE_MS);
  });
});

describe("minWaitUsec", () => {
  needs("IORING_FEAT_MIN_TIMEOUT")("makes one completion enough once it has passed", () => {
    using ring = new Ring(4);
    ring.prepNop().userData(1);
    const [elapsed, cqe] = timed(ring, () => ring.submitAndWaitTimeout(2, 10_000, { minWaitUsec: 15_000 }));
    expect(cqe?.userData).toBe(1);
    expect(elapsed).toBeGreaterThanOrEqual(15);
    expect(elapsed).toBeLessThan(LATE_MS);
    expect(ring.cqReady()).toBe(1);
  });

  needs("IORING_FEAT_MIN_TIMEOUT")("is cut short by as many as were asked for", () => {
    using ring = new Ring(4);
    ring.prepNop();
    ring.prepNop();
    const [elapsed] = timed(ring, () => ring.submitAndWaitTimeout(2, 60_000, { minWaitUsec: 30_000_000 }));
    expect([elapsed < LATE_MS, ring.cqReady()]).toEqual([true, 2]);
  });

  test("is refused where the kernel has no such thing", () => {
    const memory = Mapping.anonymous(4096);
    const argument = new WaitArgument(memory);
    expect(() => argument.fill(1, { minWaitUsec: 1 }, false)).toThrow(
      expect.objectContaining({ code: "ERR_URING_UNSUPPORTED", message: expect.stringContaining("MIN_TIMEOUT") }),
    );
    memory.close();
  });

  test("refuses what is no whole number", () => {
    using ring = new Ring(4);
    for (const minWaitUsec of [-1, 0.5, 2 ** 31, "1" as unknown as number]) {
      expect(() => ring.submitAndWaitTimeout(1, 1, { minWaitUsec })).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
      );
    }
  });
});

describe("absolute", () => {
  // Kernel: it came with the same release, and cannot be asked for by itself.
  needs("IORING_ENTER_ABS_TIMER", () => has("IORING_FEAT_MIN_TIMEOUT"))("waits until a moment of the clock", () => {
    using ring = new Ring(4);
    /** The kernel's clock in milliseconds, as coarse as it is shown: ten of them. */
    const now = (): number => Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000;
    const [past, cqe] = timed(ring, () => ring.submitAndWaitTimeout(1, 1, { absolute: true }));
    expect([cqe, ring.errno, past < LATE_MS]).toEqual([null, ETIME, true]);
    const until = now() + 60;
    ring.waitCqes(1, until, { absolute: true });
    expect(ring.errno).toBe(ETIME);
    expect(now()).toBeGreaterThanOrEqual(until - 10);
  });
});

describe("iowait", () => {
  const system = syscalls() as { enter: ReturnType<typeof syscalls>["enter"] };

  /** The flags of the calls that a ring makes for a submission, for waits, and for a look. */
  const flagsOf = (options: RingOptions): number[] => {
    const { enter } = system;
    const flags: number[] = [];
    system.enter = (fd, toSubmit, minComplete, bits, arg, size) => {
      flags.push(bits & (IORING_ENTER_GETEVENTS | IORING_ENTER_NO_IOWAIT));
      return enter(fd, toSubmit, minComplete, bits, arg, size);
    };
    try {
      using ring = new Ring(4, options);
      ring.prepNop();
      ring.submit();
      ring.prepNop();
      ring.submitAndWait(2);
      ring.waitCqes(3, 0);
      ring.getEvents();
      return flags.slice(0, 4);
    } finally {
      system.enter = enter;
    }
  };
  const looks = IORING_ENTER_GETEVENTS;
  const quiet = IORING_ENTER_GETEVENTS | IORING_ENTER_NO_IOWAIT;

  needs("IORING_FEAT_NO_IOWAIT")("is not counted unless it is asked for, where the kernel can tell", () => {
    expect(flagsOf({})).toEqual([0, quiet, quiet, looks]);
    expect(flagsOf({ iowait: false })).toEqual([0, quiet, quiet, looks]);
    expect(flagsOf({ iowait: true })).toEqual([0, looks, looks, looks]);
  });
});

describe("waitCqe()", () => {
  test("returns what is there, without a call", () => {
    using ring = new Ring(4);
    ring.prepNop().userData(6);
    ring.submitAndWait(1);
    const before = ring.enters;
    expect(ring.waitCqe()?.userData).toBe(6);
    expect(ring.enters).toBe(before);
  });

  test("waits for the next one and submits nothing", () => {
    using ring = new Ring(4);
    ring.prepTimeout(kept(Timespec.ofMs(10))).userData(1);
    ring.submit();
    ring.prepNop().userData(2);
    expect(ring.waitCqe()?.userData).toBe(1);
    expect([ring.sqReady(), ring.cqReady()]).toEqual([1, 1]);
  });
});

describe("waitCqes()", () => {
  test("waits for as many as are asked for and submits nothing", () => {
    using ring = new Ring(8);
    ring.prepNop().userData(1);
    ring.prepTimeout(kept(Timespec.ofMs(15))).userData(2);
    ring.submit();
    ring.prepNop().userData(3);
    const [elapsed, cqe] = timed(ring, () => ring.waitCqes(2));
    expect(elapsed).toBeGreaterThanOrEqual(10);
    expect([cqe?.userData, ring.cqReady(), ring.sqReady()]).toEqual([1, 2, 1]);
  });

  test("of none looks and does not wait", () => {
    using ring = new Ring(4);
    expect([ring.waitCqes(0), ring.enters]).toEqual([null, 0]);
  });
});

/** What comes of a signal during each kind of wait: a process of its own, whose parent sends it once it waits. */
describe("a signal during a wait", () => {
  const waits = [
    "submitAndWait",
    "submitAndWait after a submission",
    "submitAndWaitTimeout",
    "submitAndWaitTimeout after a submission",
    "waitCqe",
    "waitCqes",
  ];
  test.each(
    waits.flatMap((wait) => [[wait, "SIGUSR1"] as const, ...(wait === "waitCqe" ? [[wait, "SIGINT"] as const] : [])]),
  )("ends %s, %s: the handler runs and nothing is lost", async (wait, signal) => {
    const outcome = await signalled(wait, signal);
    expect(outcome.exitCode).toBe(0);
    expect(outcome.waited).toEqual({
      errno: EINTR,
      handledDuring: false,
      handledAfter: true,
      // The request that was in flight completes as if nothing had happened.
      later: [77, 5],
      late: false,
    } satisfies Waited);
  });

  test("without a handler ends the process as usual", async () => {
    expect(await signalled("waitCqe without a handler", "SIGINT")).toMatchObject({ signal: "SIGINT" });
  });

  test("in the mask waits until the wait is over", async () => {
    const outcome = await signalled("sigmask", "SIGUSR1");
    expect(outcome.waited).toMatchObject({ errno: ETIME, handledDuring: false, handledAfter: true, late: true });
  });

  test("a mask that is no 64-bit number is refused", () => {
    using ring = new Ring(4);
    for (const sigmask of [-1n, 1n << 64n]) {
      expect(() => ring.submitAndWaitTimeout(1, 1, { sigmask })).toThrow(
        expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }),
      );
    }
  });
});

describe("a wait's argument", () => {
  // Bun: an argument of 32 bits that goes by way of the stack brings along what stood beside it there.
  test.each([
    ["as this test runs", []],
    ["by libc", ["--no-ffi-cc"]],
  ])("arrives whole, %s, whatever is on the stack and however warm the call is", (_name, flags) => {
    const { stdout, stderr } = run([process.execPath, ...flags, program("stack.ts")]);
    const { backend, outcomes } = JSON.parse(stdout || JSON.stringify(stderr)) as Waits;
    expect([backend, outcomes]).toEqual([flags.length > 0 ? "libc" : backend, { [ETIME]: 20_000 }]);
  });
});
