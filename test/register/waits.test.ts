/** Whose clock waits go by, regions of memory that the kernel was shown, and waits whose arguments lie there. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  CLOCK_BOOTTIME,
  CLOCK_MONOTONIC,
  EINTR,
  ETIME,
  type RegionOptions,
  type RegisteredWaits,
  Ring,
  Timespec,
} from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { bun, program, report, run } from "../support/child.ts";
import { kept } from "../support/keep.ts";
import { needsThat } from "../support/kernel.ts";
import { hasRegistration, needsRegister, reap, deferred } from "./support.ts";

const clocks = needsRegister("IORING_REGISTER_CLOCK");
const regions = needsRegister("IORING_REGISTER_MEM_REGION");

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;

/** How long an action lasts, in milliseconds. */
function timed(action: () => void): number {
  const started = performance.now();
  action();
  return performance.now() - started;
}

/** What the clocks are in a time namespace of which CLOCK_BOOTTIME is ahead: nothing where there can be none. */
function inNamespace(): { monotonic: boolean; boottime: boolean } | undefined {
  if (!hasRegistration("IORING_REGISTER_CLOCK")) return undefined;
  const launcher = ["unshare", "--time", "--boottime", "100000", "--fork"];
  if (Bun.which("unshare") === null || run([...launcher, ...bun, "-e", "0"]).exitCode !== 0) return undefined;
  return report("../register/clock.ts", [], launcher);
}

/** The system call that a process is in: its number, then its arguments. */
function syscallOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/syscall`, "utf8");
  } catch {
    return "";
  }
}

describe("registerClock()", () => {
  clocks("is taken, and waits for a duration last as long by either clock", () => {
    using ring = new Ring(4);
    for (const clock of [CLOCK_BOOTTIME, CLOCK_MONOTONIC]) {
      ring.registerClock(clock);
      const lasted = timed(() => expect(ring.submitAndWaitTimeout(1, 30)).toBeNull());
      expect(ring.errno).toBe(ETIME);
      expect(lasted).toBeGreaterThanOrEqual(29);
      expect(lasted).toBeLessThan(5000);
    }
  });

  clocks("lets a wait end at a moment of CLOCK_BOOTTIME", () => {
    using ring = new Ring(4);
    ring.registerClock(CLOCK_BOOTTIME);
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
    const lasted = timed(() => ring.waitCqes(1, uptime + 60, { absolute: true }));
    expect(ring.errno).toBe(ETIME);
    // The moment is read in hundredths of a second.
    expect(lasted).toBeLessThan(5000);
    expect(Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000).toBeGreaterThanOrEqual(uptime + 50);
    expect(timed(() => ring.waitCqes(1, uptime, { absolute: true }))).toBeLessThan(5000);
  });

  const namespace = inNamespace();
  needsThat(
    namespace?.boottime === true,
    "unshare(1) with time namespaces, and a kernel whose waits know of them, later than Linux 7.0",
  )("decides by which clock a moment is meant", () => {
    expect(namespace).toEqual({ monotonic: false, boottime: true });
  });

  test("refuses clocks that waits cannot go by", () => {
    using ring = new Ring(4);
    for (const clock of [0, 2, 11, -1, 1.5, "1" as unknown as number]) {
      expect(() => ring.registerClock(clock)).toThrow(expect.objectContaining(value));
    }
  });
});

describe("registerRegion()", () => {
  for (const options of [{}, { kernelMapped: true }] as RegionOptions[]) {
    regions(`gives memory of whole pages that can be written: ${JSON.stringify(options)}`, () => {
      using ring = new Ring(4);
      const region = ring.registerRegion(5000, options);
      expect(region.byteLength).toBe(8192);
      region.bytes.fill(7);
      expect(region.bytes.every((byte) => byte === 7)).toBe(true);
      expect(() => ring.registerRegion(4096)).toThrow(expect.objectContaining(state));
      ring.close();
      expect(region.bytes.length).toBe(0);
    });
  }

  regions("refuses sizes that cannot be, a ring at work, and memory of the kernel's without a descriptor", () => {
    using ring = new Ring(4);
    for (const size of [0, -1, 1.5, Number.NaN]) {
      expect(() => ring.registerRegion(size)).toThrow(expect.objectContaining(value));
    }
    expect(() => ring.registerRegion(4096, { waitArguments: true })).toThrow(expect.objectContaining(state));
    expect(() => ring.registerWaitReg(1)).toThrow(expect.objectContaining(state));
    using other = new Ring(4, { rDisabled: true });
    other.enableRings();
    expect(() => other.registerWaitReg(1)).toThrow(expect.objectContaining(state));
    using nameless = new Ring(4, { noMmap: true, registeredFdOnly: true });
    expect(() => nameless.registerRegion(4096, { kernelMapped: true })).toThrow(expect.objectContaining(state));
    nameless.registerRegion(4096);
  });
});

/** A ring with registered waits, at work. */
function waiting(count: number, options: RingOptions = {}): { ring: Ring; waits: RegisteredWaits } {
  const ring = new Ring(8, { ...options, rDisabled: true });
  const waits = ring.registerWaitReg(count);
  ring.enableRings();
  return { ring, waits };
}

describe("submitAndWaitReg()", () => {
  for (const options of [{}, deferred, { ...deferred, taskrunFlag: true }] as RingOptions[]) {
    regions(`waits as long as was registered: ${JSON.stringify(options)}`, () => {
      const { ring, waits } = waiting(100, options);
      using _ = ring;
      expect(waits.count).toBe(100);
      waits.set(0, 20).set(99, 60);
      for (const [index, timeoutMs] of [
        [0, 20],
        [99, 60],
        [0, 20],
      ] as const) {
        const lasted = timed(() => expect(ring.submitAndWaitReg(1, index)).toBeNull());
        expect(ring.errno).toBe(ETIME);
        expect(lasted).toBeGreaterThanOrEqual(timeoutMs - 1);
        expect(lasted).toBeLessThan(timeoutMs + 5000);
      }
      // Set again, it counts at once: nothing is registered anew.
      waits.set(0, 60_000).set(0, 0);
      expect(timed(() => ring.submitAndWaitReg(1, 0))).toBeLessThan(5000);
    });
  }

  regions("submits, and ends with what was waited for", () => {
    const { ring, waits } = waiting(1);
    using _ = ring;
    waits.set(0, 2000);
    for (let i = 0; i < 3; i++) ring.prepNop().userData(i);
    const cqe = ring.submitAndWaitReg(3, 0);
    expect([cqe?.userData, ring.cqReady(), ring.errno]).toEqual([0, 3, 0]);
    expect(reap(ring)).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
    ]);
    // Fewer than were asked for, by the time it was over.
    ring.prepNop().userData(5);
    waits.set(0, 30);
    expect(ring.submitAndWaitReg(2, 0)?.userData).toBe(5);
  });

  regions("waits without a limit until one is set", () => {
    const { ring } = waiting(2);
    using _ = ring;
    ring.prepTimeout(kept(Timespec.ofMs(40))).userData(1);
    expect(timed(() => expect(ring.submitAndWaitReg(1, 1)?.userData).toBe(1))).toBeGreaterThanOrEqual(39);
  });

  regions("is content with one completion once the least time is over", () => {
    const { ring, waits } = waiting(1, deferred);
    using _ = ring;
    waits.set(0, 5000, { minWaitUsec: 30_000 });
    ring.prepNop().userData(6);
    const lasted = timed(() => expect(ring.submitAndWaitReg(4, 0)?.userData).toBe(6));
    expect(lasted).toBeGreaterThanOrEqual(29);
    expect(lasted).toBeLessThan(4000);
  });

  for (const [mask, errno] of [
    ["mask", ETIME],
    ["none", EINTR],
  ] as const) {
    regions(`with SIGUSR1 in its mask or not: ${mask}`, async () => {
      const command = [...bun, program("../register/regwait.ts"), mask];
      const child = Bun.spawn(command, { stdout: "pipe", timeout: 20_000 });
      // io_uring_enter(2) is 426 on every processor.
      while (child.exitCode === null && !syscallOf(child.pid).startsWith("426 ")) await Bun.sleep(1);
      await Bun.sleep(5);
      child.kill("SIGUSR1");
      expect(Number(await child.stdout.text())).toBe(errno);
      await child.exited;
    });
  }

  regions("knows that its waits are gone with the ring", () => {
    const { ring, waits } = waiting(2);
    ring.close();
    expect(() => waits.set(0, 1)).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
    expect(() => ring.submitAndWaitReg(1, 0)).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
  });

  regions("refuses waits that are not there, and times that cannot be", () => {
    const { ring, waits } = waiting(2);
    using _ = ring;
    for (const index of [-1, 2, 0.5, Number.NaN]) {
      expect(() => ring.submitAndWaitReg(1, index)).toThrow(expect.objectContaining(value));
      expect(() => waits.set(index, 1)).toThrow(expect.objectContaining(value));
    }
    for (const timeoutMs of [-1, Number.NaN, "1" as unknown as number]) {
      expect(() => waits.set(0, timeoutMs)).toThrow(expect.objectContaining(value));
    }
    expect(() => waits.set(0, 1, { minWaitUsec: -1 })).toThrow(expect.objectContaining(value));
    expect(() => waits.set(0, 1, { sigmask: -1n })).toThrow(expect.objectContaining(value));
    expect(() => ring.submitAndWaitReg(-1, 0)).toThrow(expect.objectContaining(value));
    using other = new Ring(4);
    expect(() => other.submitAndWaitReg(1, 0)).toThrow(expect.objectContaining(state));
    for (const count of [0, -1, 2 ** 20 + 1]) {
      expect(() => other.registerWaitReg(count)).toThrow(expect.objectContaining(value));
    }
  });
});
