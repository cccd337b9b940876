/** What the kernel says that it can do, by three ways that must agree. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import * as constants from "../../src/abi/constants.gen.ts";
import {
  IO_URING_QUERY_HDR_SIZE,
  IO_URING_QUERY_HDR_WORD_NEXT_ENTRY,
  IO_URING_QUERY_HDR_WORD_QUERY_DATA,
  IO_URING_QUERY_HDR_WORD_QUERY_OP,
  IO_URING_QUERY_HDR_WORD_RESULT,
  IO_URING_QUERY_HDR_WORD_SIZE,
  IO_URING_QUERY_OPCODE_SIZE,
} from "../../src/abi/layout.gen.ts";
import {
  addressOf,
  EOPNOTSUPP,
  ERANGE,
  getProbe,
  IORING_REGISTER_QUERY,
  registerQuery,
  Ring,
} from "../../src/index.ts";
import { Probe } from "../../src/ring/probe.ts";
import { setU64 } from "../../src/ring/structs.ts";
import { syscalls } from "../../syscall/shim.ts";
import { needsThat } from "../support/kernel.ts";
import { hasRegistration, needsRegister } from "./support.ts";

const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const querying = needsRegister("IORING_REGISTER_QUERY");

/** The constants whose names begin so, each one bit. */
function flags(prefix: string): [string, number][] {
  const all = Object.entries(constants as unknown as Record<string, number>);
  return all.filter(([name]) => name.startsWith(prefix) && !name.endsWith("_BIT"));
}

describe("getProbe()", () => {
  test("is what every ring's probe() is, asked once", () => {
    using ring = new Ring(4);
    using other = new Ring(4);
    expect(ring.probe()).toBe(getProbe());
    expect(other.probe()).toBe(getProbe());
  });

  test("knows what every supported kernel has", () => {
    const probe = getProbe();
    expect(probe.supports(constants.IORING_OP_NOP)).toBe(true);
    expect(probe.lastOp).toBeGreaterThanOrEqual(constants.IORING_OP_UNLINKAT - 4);
    expect(probe.supports(255)).toBe(false);
    // 5.10 has all of these.
    for (let opcode = 0; opcode <= constants.IORING_REGISTER_ENABLE_RINGS; opcode++) {
      expect([opcode, probe.supportsRegister(opcode)]).toEqual([opcode, true]);
    }
    expect(probe.supportsRegister(255)).toBe(false);
    expect(probe.hasFeature(constants.IORING_FEAT_NODROP | constants.IORING_FEAT_SINGLE_MMAP)).toBe(true);
    expect(probe.setupFlags & constants.IORING_SETUP_CQSIZE).not.toBe(0);
    expect(probe.enterFlags & constants.IORING_ENTER_GETEVENTS).not.toBe(0);
    expect(probe.sqeFlags & constants.IOSQE_ASYNC).not.toBe(0);
  });

  test("knows no more than is known", () => {
    const probe = getProbe();
    for (const [mask, names] of [
      [probe.setupFlags, flags("IORING_SETUP_")],
      [probe.enterFlags, flags("IORING_ENTER_")],
      [probe.sqeFlags, flags("IOSQE_")],
      [probe.features, flags("IORING_FEAT_")],
    ] as const) {
      const known = names.reduce((all, [, bit]) => all | bit, 0) >>> 0;
      expect((mask & ~known) >>> 0).toBe(0);
    }
  });

  test("says what a ring is told", () => {
    using ring = new Ring(4);
    expect(getProbe().features).toBe(ring.setup.features);
    for (const [name, bit] of flags("IORING_FEAT_")) {
      expect([name, getProbe().hasFeature(bit)]).toEqual([name, ring.hasFeature(bit)]);
    }
  });

  test("says how its answers were found", () => {
    const { sources } = getProbe();
    const byQuery = registerQuery().opcodes !== null;
    expect(sources).toEqual({
      ops: "probe",
      registerOps: byQuery ? "query" : "trial",
      features: byQuery ? "query" : "setup",
      flags: byQuery ? "query" : "trial",
    });
  });

  test("refuses what can be no opcode", () => {
    for (const opcode of [-1, 256, 1.5, Number.NaN, "1" as unknown as number]) {
      expect(() => getProbe().supports(opcode)).toThrow(expect.objectContaining(value));
      expect(() => getProbe().supportsRegister(opcode)).toThrow(expect.objectContaining(value));
    }
  });
});

describe("trying", () => {
  querying("finds what the kernel says when it is asked: flags, features, operations", () => {
    const tried = Probe.askWithoutQuery();
    const { opcodes } = registerQuery();
    if (opcodes === null) throw new Error("the kernel has the query, and does not answer it");
    expect(tried.sources.flags).toBe("trial");
    expect(tried.setupFlags.toString(2)).toBe(opcodes.setupFlags.toString(2));
    expect(tried.enterFlags.toString(2)).toBe(opcodes.enterFlags.toString(2));
    expect(tried.sqeFlags.toString(2)).toBe(opcodes.sqeFlags.toString(2));
    expect(tried.features.toString(2)).toBe(opcodes.features.toString(2));
    expect(tried.lastOp).toBe(opcodes.requestOpcodes - 1);
    const [byTrial, byQuery] = [tried, getProbe()].map((probe) =>
      Array.from({ length: 256 }, (_, opcode) => probe.supportsRegister(opcode)),
    );
    expect(byTrial).toEqual(byQuery as boolean[]);
  });

  test("leaves nothing behind", () => {
    const descriptors = (): string[] => readdirSync("/proc/self/fd");
    const look = (): void => {
      const tried = Probe.askWithoutQuery();
      void [tried.setupFlags, tried.enterFlags, tried.sqeFlags];
      for (let opcode = 0; opcode < constants.IORING_REGISTER_LAST; opcode++) tried.supportsRegister(opcode);
    };
    look();
    const before = descriptors();
    look();
    expect(descriptors().length).toBe(before.length);
    // Nothing is left registered with the thread either.
    if (!hasRegistration("IORING_REGISTER_RING_FDS")) return;
    using ring = new Ring(4);
    expect(ring.registerRingFd()).toBe(0);
  });
});

describe("registerQuery()", () => {
  querying("counts what there is", () => {
    const { opcodes, zcrx, scq, zcrxEvent } = registerQuery();
    expect(opcodes?.requestOpcodes).toBe(getProbe().lastOp + 1);
    expect(opcodes?.registerOpcodes).toBeGreaterThan(constants.IORING_REGISTER_QUERY);
    expect(opcodes?.queryOpcodes).toBeGreaterThan(0);
    // Each further query is answered where the kernel counts it.
    const count = opcodes?.queryOpcodes ?? 0;
    expect([zcrx !== null, scq !== null, zcrxEvent !== null]).toEqual([
      count > constants.IO_URING_QUERY_ZCRX,
      count > constants.IO_URING_QUERY_SCQ,
      count > constants.IO_URING_QUERY_ZCRX_EVENT,
    ]);
  });

  needsRegister(
    ["IORING_REGISTER_QUERY", "IORING_REGISTER_ZCRX_CTRL"],
    [],
    () => registerQuery().scq !== null,
  )("tells the sizes of the rings' header and of zero-copy receive", () => {
    const { scq, zcrx } = registerQuery();
    expect(scq?.headerBytes).toBeGreaterThanOrEqual(64);
    expect(Math.log2(scq?.headerAlignment ?? 0) % 1).toBe(0);
    expect(zcrx?.headerBytes).toBeGreaterThanOrEqual(8);
    expect(zcrx?.controlOpcodes).toBeGreaterThanOrEqual(2);
    // A ring's completions begin where the header ends.
    using ring = new Ring(4);
    expect(ring.setup.cqEntries).toBe(8);
  });

  needsThat(
    !getProbe().supportsRegister(IORING_REGISTER_QUERY),
    "a kernel without IORING_REGISTER_QUERY, before Linux 6.18",
  )("answers nothing, and does not throw", () => {
    expect(registerQuery()).toEqual({ opcodes: null, zcrx: null, scq: null, zcrxEvent: null });
  });

  /** A chain of queries: of this kind, each with 48 bytes to answer in, each but the last pointing at the next. */
  const chain = (kinds: readonly number[]): { headers: Int32Array; data: Int32Array } => {
    const headers = new Int32Array((kinds.length * IO_URING_QUERY_HDR_SIZE) / 4);
    const data = new Int32Array((kinds.length * IO_URING_QUERY_OPCODE_SIZE) / 4);
    kinds.forEach((kind, i) => {
      const at = (i * IO_URING_QUERY_HDR_SIZE) / 4;
      const next = i + 1 < kinds.length ? addressOf(headers) + (i + 1) * IO_URING_QUERY_HDR_SIZE : 0;
      setU64(headers, at + IO_URING_QUERY_HDR_WORD_NEXT_ENTRY, next);
      setU64(headers, at + IO_URING_QUERY_HDR_WORD_QUERY_DATA, addressOf(data) + i * IO_URING_QUERY_OPCODE_SIZE);
      headers[at + IO_URING_QUERY_HDR_WORD_QUERY_OP] = kind;
      headers[at + IO_URING_QUERY_HDR_WORD_SIZE] = IO_URING_QUERY_OPCODE_SIZE;
    });
    return { headers, data };
  };
  const resultOf = (headers: Int32Array, i: number): number =>
    headers[(i * IO_URING_QUERY_HDR_SIZE) / 4 + IO_URING_QUERY_HDR_WORD_RESULT] as number;

  querying("is the kernel's way to answer several at once, with a ring or without", () => {
    for (const fd of [-1, undefined]) {
      using ring = new Ring(4);
      const { headers, data } = chain([constants.IO_URING_QUERY_OPCODES, 9999, constants.IO_URING_QUERY_OPCODES]);
      expect(syscalls().register(fd ?? ring.fd, IORING_REGISTER_QUERY, addressOf(headers), 0)).toBe(0);
      expect([0, 1, 2].map((i) => resultOf(headers, i))).toEqual([0, -EOPNOTSUPP, 0]);
      const [first, second, third] = [0, 12, 24].map((at) => data[at]);
      expect([first, second, third]).toEqual([getProbe().lastOp + 1, 0, getProbe().lastOp + 1]);
    }
  });

  querying("does not go round for ever", () => {
    const { headers } = chain([9999, 9999]);
    setU64(headers, IO_URING_QUERY_HDR_SIZE / 4 + IO_URING_QUERY_HDR_WORD_NEXT_ENTRY, addressOf(headers));
    // Kernel: it writes each result, and takes only queries without one: so the second round fails in itself, not the call.
    expect(syscalls().register(-1, IORING_REGISTER_QUERY, addressOf(headers), 0)).toBe(-ERANGE);
  });
});
