/** What a ring can be asked for, what is refused before the kernel hears of it, and what "modern" makes do with. */
import { afterEach, describe, expect, test } from "bun:test";
import * as constants from "../../src/abi/constants.gen.ts";
import { EINVAL } from "../../src/abi/errno.gen.ts";
import { Ring } from "../../src/index.ts";
import { addressOf } from "../../src/memory.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { syscalls } from "../../syscall/shim.ts";
import { descriptorCount, mappingCount, peek } from "../syscall/proc.ts";
import { has, needs } from "../support/kernel.ts";

/** The system calls, which every ring takes from the same object. */
const system = syscalls() as { setup(entries: number, params: number): number };
const realSetup = system.setup;

afterEach(() => {
  system.setup = realSetup;
});

/** Stands before the real call: sees the flags of each attempt, and may answer in the kernel's place. */
function onSetup(answer: (flags: number) => number | undefined): number[] {
  const attempts: number[] = [];
  system.setup = (entries, params) => {
    const flags = Buffer.from(peek(params + 8, 4), "latin1").readUInt32LE();
    attempts.push(flags);
    return answer(flags) ?? realSetup(entries, params);
  };
  return attempts;
}

function make(entries: unknown, options?: unknown): Ring {
  return new Ring(entries as number, options as RingOptions);
}

/** The error of a refusal that the kernel was not asked about. */
function refusal(entries: unknown, options?: unknown): Error & { code?: string } {
  const attempts = onSetup(() => undefined);
  try {
    make(entries, options).close();
  } catch (error) {
    expect(attempts).toEqual([]);
    return error as Error;
  }
  throw new Error("the ring was made");
}

describe("Ring() refuses contradictions with a sentence, before the kernel is asked", () => {
  const { IORING_SETUP_SQE_MIXED, IORING_SETUP_SQ_REWIND, IORING_SETUP_CQE32, IORING_SETUP_COOP_TASKRUN } = constants;
  const cases: [string, RingOptions, RegExp][] = [
    ["sqpoll, coopTaskrun", { sqpoll: true, coopTaskrun: true }, /coopTaskrun .*sqpoll/],
    ["sqpoll, deferTaskrun", { sqpoll: true, singleIssuer: true, deferTaskrun: true }, /deferTaskrun excludes sqpoll/],
    ["sqpoll, taskrunFlag", { sqpoll: true, taskrunFlag: true }, /taskrunFlag excludes sqpoll/],
    ["sqThreadCpu alone", { sqThreadCpu: 0 }, /sqThreadCpu needs sqpoll/],
    ["sqThreadIdleMs alone", { sqThreadIdleMs: 10 }, /sqThreadIdleMs needs sqpoll/],
    ["deferTaskrun alone", { deferTaskrun: true }, /deferTaskrun needs singleIssuer/],
    ["taskrunFlag alone", { taskrunFlag: true }, /taskrunFlag needs coopTaskrun or deferTaskrun/],
    ["hybridIopoll alone", { hybridIopoll: true }, /hybridIopoll needs iopoll/],
    ["registeredFdOnly alone", { registeredFdOnly: true }, /registeredFdOnly needs noMmap/],
    ["registeredFdOnly, noMmap false", { registeredFdOnly: true, noMmap: false }, /registeredFdOnly needs noMmap/],
    ["cqe32, cqeMixed", { cqe32: true, cqeMixed: true }, /cqe32 and cqeMixed exclude each other/],
    ["cqeMixed, raw CQE32", { cqeMixed: true, flags: IORING_SETUP_CQE32 }, /exclude each other/],
    ["sqpoll, raw COOP_TASKRUN", { sqpoll: true, flags: IORING_SETUP_COOP_TASKRUN }, /coopTaskrun/],
    ["sqe128, SQE_MIXED", { sqe128: true, flags: IORING_SETUP_SQE_MIXED }, /sqe128 and sqeMixed exclude/],
    ["SQ_REWIND, sqpoll", { sqpoll: true, noSqarray: true, flags: IORING_SETUP_SQ_REWIND }, /sqRewind excludes sqpoll/],
    ["SQ_REWIND without noSqarray", { flags: IORING_SETUP_SQ_REWIND }, /sqRewind needs noSqarray/],
    ["modern, sqpoll, coopTaskrun", { modern: true, sqpoll: true, coopTaskrun: true }, /coopTaskrun/],
    ["more cqEntries than there can be", { cqEntries: 65537 }, /65537 entries: it must be from 1 to 65536/],
    ["cqEntries 0", { cqEntries: 0 }, /completion queue of 0 entries/],
    ["cqEntries fewer than entries", { cqEntries: 8 }, /8 entries for 16 submissions/],
    ["the same with clamp", { cqEntries: 8, clamp: true }, /8 entries for 16 submissions/],
    ["the same with modern", { cqEntries: 8, modern: true }, /8 entries for 16 submissions/],
  ];
  test.each(cases)("%s", (_name, options, sentence) => {
    const error = refusal(16, options);
    expect(error.code).toBe("ERR_URING_OPTIONS");
    expect(error.message).toMatch(sentence);
    expect(error.message).toStartWith("Cannot make a ");
  });

  test("each pair is really refused by the kernel as well", () => {
    const { IORING_SETUP_SQPOLL, IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_TASKRUN_FLAG } = constants;
    const pairs = [
      IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN,
      IORING_SETUP_SQPOLL | IORING_SETUP_DEFER_TASKRUN | constants.IORING_SETUP_SINGLE_ISSUER,
      IORING_SETUP_DEFER_TASKRUN,
      IORING_SETUP_TASKRUN_FLAG,
      constants.IORING_SETUP_REGISTERED_FD_ONLY,
      constants.IORING_SETUP_HYBRID_IOPOLL,
      IORING_SETUP_CQE32 | constants.IORING_SETUP_CQE_MIXED,
    ];
    const params = new Int32Array(30);
    using ring = new Ring(1);
    expect(ring.closed).toBe(false);
    for (const flags of pairs) {
      params.fill(0);
      params[2] = flags;
      expect([flags, rawSetup(params)]).toEqual([flags, -EINVAL]);
    }
    params.fill(0);
    const fd = rawSetup(params);
    expect(fd).toBeGreaterThan(0);
    syscalls().close(fd);
  });
});

function rawSetup(params: Int32Array): number {
  return realSetup(4, addressOf(params));
}

describe("Ring() refuses options that are none", () => {
  test.each([
    ["an unknown name", { sqPoll: true }, TypeError, /no option "sqPoll"/],
    ["a number for a flag", { sqpoll: 1 }, TypeError, /1 as option sqpoll: it is true or false/],
    ["a string for a flag", { modern: "yes" }, TypeError, /"yes" as option modern/],
    ["null for a flag", { clamp: null }, TypeError, /null as option clamp/],
    ["another noMmap", { noMmap: "big" }, TypeError, /option noMmap/],
    ["a fractional cqEntries", { cqEntries: 16.5 }, RangeError, /16.5 as option cqEntries/],
    ["a negative cqEntries", { cqEntries: -1 }, RangeError, /-1 as option cqEntries/],
    ["a string as cqEntries", { cqEntries: "64" }, RangeError, /"64" as option cqEntries/],
    ["NaN milliseconds", { sqpoll: true, sqThreadIdleMs: Number.NaN }, RangeError, /NaN as option sqThreadIdleMs/],
    ["a fractional processor", { sqpoll: true, sqThreadCpu: 0.5 }, RangeError, /0.5 as option sqThreadCpu/],
    ["flags past 32 bits", { flags: 2 ** 32 }, RangeError, /4294967296 as option flags/],
    ["flags as a bigint", { flags: 1n }, RangeError, /1n as option flags/],
    ["attachWq without a ring", { attachWq: {} }, TypeError, /attachWq must be an open ring/],
    ["a negative attachWq", { attachWq: -1 }, TypeError, /attachWq must be an open ring/],
    ["a number in place of options", 7, TypeError, /7 as a ring's options/],
    ["null in place of options", null, TypeError, /null as a ring's options/],
  ] as [string, unknown, ErrorConstructor, RegExp][])("%s", (_name, options, kind, sentence) => {
    const error = refusal(8, options);
    expect(error).toBeInstanceOf(kind);
    expect(error.code).toBe("ERR_URING_OPTIONS");
    expect(error.message).toMatch(sentence);
  });

  test("a closed ring to attach to", () => {
    const closed = new Ring(1);
    closed.close();
    const error = refusal(8, { attachWq: closed });
    expect([error.code, error.message]).toEqual([
      "ERR_URING_OPTIONS",
      expect.stringContaining("attachWq must be an open ring"),
    ]);
  });

  needs("IORING_SETUP_NO_MMAP", () => hasRegisteredFdOnly())("a ring without a descriptor to attach to", () => {
    using nameless = new Ring(1, { noMmap: true, registeredFdOnly: true });
    const error = refusal(8, { attachWq: nameless });
    expect(error.code).toBe("ERR_URING_OPTIONS");
  });

  test("undefined is as good as absent", () => {
    using ring = make(8, { sqpoll: undefined, cqEntries: undefined, attachWq: undefined, noMmap: undefined });
    expect(ring.setup).toMatchObject({ flags: 0, sqEntries: 8, cqEntries: 16 });
  });
});

function hasRegisteredFdOnly(): boolean {
  try {
    new Ring(1, { noMmap: true, registeredFdOnly: true }).close();
    return true;
  } catch {
    return false;
  }
}

describe("Ring() takes a number of entries", () => {
  const bad = [0, -1, 1.5, Number.NaN, Infinity, 2 ** 32, "8", undefined, null, 8n, {}, true];
  test.each(bad.map((value) => [value]))("and refuses %p", (entries) => {
    const error = refusal(entries);
    expect(error).toBeInstanceOf(RangeError);
    expect(error.code).toBe("ERR_URING_ARG_VALUE");
    expect(error.message).toMatch(/^Cannot make a ring of .* entries: it must be a whole number from 1 to 32768$/);
  });

  test.each([
    [1, 1],
    [3, 4],
    [4, 4],
    [5, 8],
    [1000, 1024],
    [32768, 32768],
  ])("%d, which makes %d", (entries, made) => {
    using ring = new Ring(entries);
    expect(ring.setup).toMatchObject({ sqEntries: made, cqEntries: made * 2 });
    expect(ring.sqSpaceLeft()).toBe(made);
  });

  test("65536 with clamp and with modern, which makes the most there are", () => {
    for (const options of [{ clamp: true }, { modern: true }]) {
      using ring = new Ring(65536, options);
      expect(ring.setup).toMatchObject({ sqEntries: 32768, cqEntries: 65536 });
    }
  });

  test("but 65536 without clamp only with the advice", () => {
    const error = refusal(65536);
    expect([error.code, error.message]).toEqual([
      "ERR_URING_ARG_VALUE",
      "Cannot make a ring of 65536 entries: 32768 are the most; with clamp you get as many",
    ]);
    expect(refusal(32769).code).toBe("ERR_URING_ARG_VALUE");
  });

  test("cqEntries is rounded up and clamped", () => {
    using rounded = new Ring(8, { cqEntries: 100 });
    expect(rounded.setup.cqEntries).toBe(128);
    using equal = new Ring(8, { cqEntries: 8 });
    expect(equal.setup.cqEntries).toBe(8);
    using clamped = new Ring(8, { cqEntries: 100_000, clamp: true });
    expect(clamped.setup.cqEntries).toBe(65536);
    using both = new Ring(100_000, { cqEntries: 65536, clamp: true });
    expect(both.setup).toMatchObject({ sqEntries: 32768, cqEntries: 65536 });
  });
});

describe("modern", () => {
  const F = constants;
  const flagOf = (name: string): number => (F as unknown as Record<string, number>)[`IORING_SETUP_${name}`] as number;
  const modernFlags = ["SUBMIT_ALL", "NO_SQARRAY", "DEFER_TASKRUN", "SINGLE_ISSUER", "COOP_TASKRUN", "TASKRUN_FLAG"];
  const taskrun = F.IORING_SETUP_SINGLE_ISSUER | F.IORING_SETUP_DEFER_TASKRUN | F.IORING_SETUP_TASKRUN_FLAG;
  const full = F.IORING_SETUP_SUBMIT_ALL | F.IORING_SETUP_NO_SQARRAY | F.IORING_SETUP_CLAMP | taskrun;
  /** The real ring, made by a kernel that answers EINVAL to some flags as an older one would. */
  const without = (unknown: number, options: RingOptions = {}): { ring: Ring; attempts: number[] } => {
    const attempts = onSetup((flags) => ((flags & unknown) === 0 ? undefined : -EINVAL));
    return { ring: new Ring(8, { modern: true, ...options }), attempts };
  };

  needs(["IORING_SETUP_NO_SQARRAY", "IORING_SETUP_DEFER_TASKRUN"])("gets everything in one attempt here", () => {
    const { ring, attempts } = without(0);
    expect(attempts).toEqual([full]);
    expect(ring.setup.flags).toBe(full);
    expect(ring.setup.dropped).toEqual([]);
    ring.close();
  });

  const coop =
    F.IORING_SETUP_SUBMIT_ALL | F.IORING_SETUP_CLAMP | F.IORING_SETUP_COOP_TASKRUN | F.IORING_SETUP_TASKRUN_FLAG;
  const kernels: [string, number, number][] = [
    ["6.5", F.IORING_SETUP_NO_SQARRAY, full & ~F.IORING_SETUP_NO_SQARRAY],
    ["6.0", F.IORING_SETUP_NO_SQARRAY | F.IORING_SETUP_DEFER_TASKRUN, coop | F.IORING_SETUP_SINGLE_ISSUER],
    ["5.19", F.IORING_SETUP_NO_SQARRAY | F.IORING_SETUP_DEFER_TASKRUN | F.IORING_SETUP_SINGLE_ISSUER, coop],
    [
      "5.18",
      F.IORING_SETUP_NO_SQARRAY | taskrun | F.IORING_SETUP_COOP_TASKRUN,
      F.IORING_SETUP_SUBMIT_ALL | F.IORING_SETUP_CLAMP,
    ],
    [
      "5.15",
      F.IORING_SETUP_NO_SQARRAY | taskrun | F.IORING_SETUP_COOP_TASKRUN | F.IORING_SETUP_SUBMIT_ALL,
      F.IORING_SETUP_CLAMP,
    ],
    [
      "5.5",
      F.IORING_SETUP_NO_SQARRAY |
        taskrun |
        F.IORING_SETUP_COOP_TASKRUN |
        F.IORING_SETUP_SUBMIT_ALL |
        F.IORING_SETUP_CLAMP,
      0,
    ],
  ];
  test.each(kernels)(
    "makes do with what a kernel like %s knows, and says what it dropped",
    (_kernel, unknown, made) => {
      // What this kernel lacks itself cannot be shown on it.
      const lacked = modernFlags.filter((name) => !has(`IORING_SETUP_${name}`));
      const here = lacked.reduce((flags, name) => flags & ~flagOf(name), made);
      const { ring, attempts } = without(unknown);
      expect(ring.setup.flags).toBe(here);
      expect(attempts.at(-1)).toBe(here);
      expect(attempts.length).toBeGreaterThan(1);
      const dropped = ring.setup.dropped;
      for (const name of ["SUBMIT_ALL", "NO_SQARRAY", "CLAMP", "DEFER_TASKRUN", "SINGLE_ISSUER"]) {
        expect([name, dropped.includes(`IORING_SETUP_${name}`)]).toEqual([name, (here & flagOf(name)) === 0]);
      }
      expect(ring.setup.flagNames.filter((name) => dropped.includes(name))).toEqual([]);
      ring.prepNop().userData(3);
      ring.submitAndWait(1);
      expect(ring.peekCqe()?.userData).toBe(3);
      ring.close();
    },
  );

  test.each([["this one", 0, full] as const, ...kernels])(
    '"coop" makes do with what a kernel like %s knows, and never defers',
    (_kernel, unknown, made) => {
      const defers = (made & F.IORING_SETUP_DEFER_TASKRUN) !== 0;
      const wanted = defers ? (made & ~F.IORING_SETUP_DEFER_TASKRUN) | F.IORING_SETUP_COOP_TASKRUN : made;
      const lacked = modernFlags.filter((name) => !has(`IORING_SETUP_${name}`));
      const { ring, attempts } = without(unknown, { modern: "coop" });
      expect(ring.setup.flags).toBe(lacked.reduce((flags, name) => flags & ~flagOf(name), wanted));
      expect(attempts.filter((flags) => (flags & F.IORING_SETUP_DEFER_TASKRUN) !== 0)).toEqual([]);
      expect(ring.setup.dropped).not.toContain("IORING_SETUP_DEFER_TASKRUN");
      expect(ring.setup.dropped.includes("IORING_SETUP_NO_SQARRAY")).toBe(
        (ring.setup.flags & F.IORING_SETUP_NO_SQARRAY) === 0,
      );
      ring.prepNop().userData(3);
      ring.submitAndWait(1);
      expect(ring.peekCqe()?.userData).toBe(3);
      ring.close();
    },
  );

  test("never drops what was asked for by name", () => {
    const attempts = onSetup((flags) => ((flags & F.IORING_SETUP_CQE32) === 0 ? undefined : -EINVAL));
    expect(() => new Ring(8, { modern: true, cqe32: true })).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "io_uring_setup" }),
    );
    expect(attempts.length).toBeGreaterThan(1);
    expect(attempts.every((flags) => (flags & F.IORING_SETUP_CQE32) !== 0)).toBe(true);
  });

  test("does not try again after another refusal than EINVAL", () => {
    const attempts = onSetup(() => -1);
    expect(() => new Ring(8, { modern: true })).toThrow(expect.objectContaining({ code: "EPERM" }));
    expect(attempts.length).toBe(1);
  });

  test("leaves out with sqpoll what excludes it", () => {
    const { ring } = without(0, { sqpoll: true });
    expect(ring.setup.flags & (taskrun | F.IORING_SETUP_COOP_TASKRUN)).toBe(0);
    expect(ring.setup.flags & F.IORING_SETUP_SQPOLL).toBe(F.IORING_SETUP_SQPOLL);
    expect(ring.setup.dropped).not.toContain("IORING_SETUP_DEFER_TASKRUN");
    ring.close();
  });

  test("false asks for nothing", () => {
    using ring = new Ring(8, { modern: false });
    expect(ring.setup.flags).toBe(0);
  });
});

describe("rDisabled", () => {
  test("takes no entry before enableRings(), and loses none", () => {
    using ring = new Ring(8, { rDisabled: true });
    ring.prepNop().userData(1);
    ring.prepNop().userData(2);
    expect(() => ring.submit()).toThrow(expect.objectContaining({ code: "EBADFD", syscall: "io_uring_enter" }));
    expect(() => ring.submitAndWait(1)).toThrow("enableRings() starts it");
    expect(ring.sqReady()).toBe(2);
    ring.enableRings();
    expect(ring.submitAndWait(2)).toBe(2);
    const seen: number[] = [];
    ring.forEachCqe((cqe) => seen.push(cqe.userData));
    expect(seen).toEqual([1, 2]);
    expect(() => ring.enableRings()).toThrow(expect.objectContaining({ code: "EBADFD" }));
  });

  test("can be closed without having been enabled, entries queued", () => {
    const ring = new Ring(8, { rDisabled: true });
    ring.prepNop();
    expect(() => ring.submit()).toThrow();
    ring.close();
    expect([ring.closed, ring.fd]).toEqual([true, -1]);
  });
});

test("a kernel that refuses leaves no descriptor and no mapping behind", () => {
  const count = (): number[] => [descriptorCount(), mappingCount()];
  const attempt = (): void => {
    expect(() => new Ring(8, { flags: 2 ** 31, noMmap: true })).toThrow(
      expect.objectContaining({
        code: "EINVAL",
        message: expect.stringContaining("8 entries with IORING_SETUP_NO_MMAP"),
      }),
    );
  };
  attempt();
  const before = count();
  for (let i = 0; i < 200; i++) attempt();
  expect(count()[0]).toBe(before[0] as number);
  expect((count()[1] as number) - (before[1] as number)).toBeLessThan(50);
});
