/** Filters: what the assembler makes, run by a simulator, and by the kernel where it has filters. */
import { describe, expect, test } from "bun:test";
import {
  addressOf,
  AF_INET,
  AF_INET6,
  BpfProgram,
  type BpfComparison,
  type BpfOperation,
  EACCES,
  EINVAL,
  EMSGSIZE,
  IORING_OP_NOP,
  registerBpfFilterTask,
  Ring,
} from "../../src/index.ts";
import { bpfArgument, callWithFilter } from "../../src/ring/bpf.ts";
import { report } from "../support/child.ts";
import { needsThat } from "../support/kernel.ts";
import { hasRegistration, needsRegister } from "./support.ts";
import { simulate } from "./simulator.ts";

const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;

/** struct io_uring_bpf_ctx with every byte different, in which each field can be told from its neighbours. */
const context = Uint8Array.from({ length: 40 }, (_, i) => 0x80 + i);

/** What a program answers in a context. */
function run(program: BpfProgram, where: Uint8Array = context): number {
  return simulate(program.assemble(), where);
}

/** A context with a socket's family and type. */
function socket(family: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  view.setUint32(16, family, true);
  view.setUint32(20, kind, true);
  return bytes;
}

describe("BpfProgram", () => {
  test("loads every field from where the kernel puts it", () => {
    const fields = {
      userDataLow: 0x83828180,
      userDataHigh: 0x87868584,
      opcode: 0x88,
      sqeFlags: 0x89,
      pduSize: 0x8a,
      socketFamily: 0x93929190,
      socketType: 0x97969594,
      socketProtocol: 0x9b9a9998,
      openFlagsLow: 0x93929190,
      openFlagsHigh: 0x97969594,
      openModeLow: 0x9b9a9998,
      openModeHigh: 0x9f9e9d9c,
      openResolveLow: 0xa3a2a1a0,
      openResolveHigh: 0xa7a6a5a4,
      connectFamily: 0x93929190,
      connectPort: 0x9594,
      connectV4: 0x9b9a9998,
      connectV6Word0: 0x9b9a9998,
      connectV6Word1: 0x9f9e9d9c,
      connectV6Word2: 0xa3a2a1a0,
      connectV6Word3: 0xa7a6a5a4,
    } as const;
    for (const [field, expected] of Object.entries(fields)) {
      const program = new BpfProgram().load(field as keyof typeof fields).returnA();
      expect([field, run(program)]).toEqual([field, expected]);
    }
    for (let offset = 0; offset < 40; offset += 4) {
      expect(run(new BpfProgram().load(offset).returnA())).toBe(new DataView(context.buffer).getUint32(offset, true));
    }
  });

  test("says how much of an operation's own data it looks at", () => {
    expect(new BpfProgram().load("opcode").load("userDataHigh").returnA().pduSize).toBe(0);
    expect(new BpfProgram().load("socketFamily").returnA().pduSize).toBe(4);
    expect(new BpfProgram().load("socketProtocol").load("socketType").returnA().pduSize).toBe(12);
    expect(new BpfProgram().load("openResolveHigh").returnA().pduSize).toBe(24);
    expect(new BpfProgram().load("connectPort").returnA().pduSize).toBe(8);
  });

  test("calculates in 32 bits, with numbers and with X", () => {
    const cases: [BpfOperation, number, number, number][] = [
      ["add", 0xffffffff, 2, 1],
      ["subtract", 1, 2, 0xffffffff],
      ["multiply", 0x10001, 0x10001, 0x20001],
      ["divide", 0xffffffff, 2, 0x7fffffff],
      ["or", 0xf0, 0x0f, 0xff],
      ["and", 0xff, 0x3c, 0x3c],
      ["xor", 0xff, 0x0f, 0xf0],
      ["shiftLeft", 0x80000001, 1, 2],
      ["shiftRight", 0x80000000, 31, 1],
      ["negate", 1, 0, 0xffffffff],
    ];
    for (const [operation, a, operand, expected] of cases) {
      const byNumber = new BpfProgram().loadImmediate(a).calculate(operation, operand).returnA();
      expect([operation, run(byNumber)]).toEqual([operation, expected]);
      const byX = new BpfProgram().loadImmediate(a).loadXImmediate(operand).calculate(operation, "x").returnA();
      expect([operation, run(byX)]).toEqual([operation, expected]);
    }
    expect(run(new BpfProgram().loadImmediate(9).loadXImmediate(0).calculate("divide", "x").allow())).toBe(0);
  });

  test("moves values between A, X and the cells", () => {
    const program = new BpfProgram()
      .loadImmediate(5)
      .storeMemory(15)
      .copyToX()
      .loadImmediate(7)
      .calculate("add", "x")
      .storeMemory(0)
      .loadXMemory(0)
      .storeXMemory(3)
      .loadMemory(15)
      .calculate("multiply", "x")
      .copyToX()
      .loadImmediate(0)
      .copyFromX()
      .calculate("add", 1)
      .storeMemory(3)
      .loadMemory(3)
      .returnA();
    expect(run(program)).toBe(5 * 12 + 1);
  });

  test("jumps to labels by every comparison, and past them", () => {
    const cases: [BpfComparison, number, number, boolean][] = [
      ["equal", 5, 5, true],
      ["equal", 5, 6, false],
      ["greater", 6, 5, true],
      ["greater", 5, 5, false],
      ["greaterOrEqual", 5, 5, true],
      ["greaterOrEqual", 4, 5, false],
      ["greater", 0xffffffff, 1, true],
      ["set", 0b1100, 0b0100, true],
      ["set", 0b1100, 0b0011, false],
    ];
    for (const [comparison, a, operand, holds] of cases) {
      for (const how of [operand, "x"] as const) {
        const begin = (): BpfProgram => new BpfProgram().loadXImmediate(operand).loadImmediate(a);
        const both = begin().jumpIf(comparison, how, "yes", "no").label("no").deny().label("yes").allow();
        const then = begin().jumpIf(comparison, how, "yes").deny().label("yes").allow();
        const otherwise = begin().jumpIf(comparison, how, undefined, "no").allow().label("no").deny();
        expect([run(both), run(then), run(otherwise)]).toEqual(Array(3).fill(holds ? 1 : 0));
      }
    }
  });

  test("jumps as far as a program is long, and 255 instructions on a condition", () => {
    const far = (count: number, conditional: boolean): BpfProgram => {
      const program = new BpfProgram().loadImmediate(1);
      if (conditional) program.jumpIf("equal", 1, "end");
      else program.jump("end");
      for (let i = 0; i < count; i++) program.calculate("add", 1);
      return program.label("end").returnA();
    };
    expect(run(far(255, true))).toBe(1);
    expect(run(far(4000, false))).toBe(1);
    expect(() => far(256, true).assemble()).toThrow(expect.objectContaining(value));
  });

  test("is what a filter for sockets needs", () => {
    const program = new BpfProgram()
      .load("socketFamily")
      .jumpIf("equal", AF_INET, "inet")
      .jumpIf("equal", AF_INET6, "inet", "no")
      .label("inet")
      .load("socketType")
      .calculate("and", 0xf)
      .jumpIf("equal", 1, "yes")
      .label("no")
      .deny()
      .label("yes")
      .allow();
    expect(program.pduSize).toBe(8);
    expect(
      [
        [AF_INET, 1],
        [AF_INET6, 1 | 0o2000000],
        [AF_INET, 2],
        [1, 1],
      ].map(([family, kind]) => run(program, socket(family as number, kind as number))),
    ).toEqual([1, 1, 0, 0]);
  });

  test("assembles the kernel's encoding", () => {
    const bytes = new BpfProgram()
      .load("socketFamily")
      .jumpIf("equal", 2, "yes")
      .deny()
      .label("yes")
      .allow()
      .assemble();
    // LD W ABS 16; JEQ 2 over one; RET 0; RET 1.
    expect([...new Uint32Array(bytes.buffer)]).toEqual([
      0x0000_0020, 16, 0x0001_0015, 2, 0x0000_0006, 0, 0x0000_0006, 1,
    ]);
  });

  test("refuses programs that the kernel would refuse", () => {
    const refused: [BpfProgram, string][] = [
      [new BpfProgram(), "0 instructions"],
      [new BpfProgram().load("opcode"), "no answer"],
      [new BpfProgram().allow().load("opcode"), "no answer"],
      [new BpfProgram().jump("nowhere").allow(), '"nowhere"'],
      [new BpfProgram().label("back").load("opcode").jumpIf("equal", 1, "back").allow(), "behind"],
      [new BpfProgram().jump("end").allow().label("end"), "no instruction follows"],
      [new BpfProgram().loadMemory(3).returnA(), "cell 3"],
      [
        new BpfProgram().load("opcode").jumpIf("equal", 1, "skip").storeMemory(1).label("skip").loadMemory(1).returnA(),
        "cell 1",
      ],
    ];
    for (const [program, message] of refused) {
      expect(() => program.assemble()).toThrow(
        expect.objectContaining({ ...value, message: expect.stringContaining(message) }),
      );
    }
    const long = new BpfProgram();
    for (let i = 0; i < 4096; i++) long.loadImmediate(i);
    expect(() => long.allow().assemble()).toThrow(expect.objectContaining(value));
    // Stored to on both ways it can be loaded.
    const both = new BpfProgram().load("opcode").jumpIf("equal", 1, "one").storeMemory(1).jump("end");
    expect(both.label("one").storeMemory(1).label("end").loadMemory(1).returnA().assemble().length).toBe(8 * 8);
  });

  test("refuses operands, cells, fields and labels that cannot be", () => {
    const program = new BpfProgram().label("taken");
    for (const act of [
      () => program.load(2),
      () => program.load(40),
      () => program.load(-4),
      () => program.loadImmediate(2 ** 32),
      () => program.loadImmediate(0.5),
      () => program.loadMemory(16),
      () => program.storeMemory(-1),
      () => program.calculate("divide", 0),
      () => program.calculate("shiftLeft", 32),
      () => program.jumpIf("equal", 2 ** 33),
      () => program.label("taken"),
    ]) {
      expect(act).toThrow(expect.objectContaining(value));
    }
    for (const act of [
      () => program.load("port" as "opcode"),
      () => program.calculate("modulo" as "add", 1),
      () => program.jumpIf("less" as "equal", 1),
      () => program.loadImmediate("1" as unknown as number),
    ]) {
      expect(act).toThrow(expect.objectContaining(type));
    }
    expect(program.length).toBe(0);
  });
});

describe("registerBpfFilter()", () => {
  const program = new BpfProgram().load("socketType").returnA();

  test("hands the kernel the filter as it wants it", () => {
    const { argument, code } = bpfArgument({ opcode: 45, program, denyRest: true, pduSize: 9 });
    expect(code).toEqual(program.assemble());
    const view = new DataView(argument.buffer);
    // cmd_type, cmd_flags, resv; then opcode, flags, filter_len, pdu_size; the rest of which is reserved.
    expect([view.getUint16(0, true), view.getUint16(2, true), view.getUint32(4, true)]).toEqual([1, 0, 0]);
    expect([view.getUint32(8, true), view.getUint32(12, true), view.getUint32(16, true)]).toEqual([45, 1, 2]);
    expect([view.getUint32(20, true), Number(view.getBigUint64(24, true))]).toEqual([9, addressOf(code)]);
    expect([...new Uint8Array(argument.buffer, 32)].every((byte) => byte === 0)).toBe(true);
    expect(argument.byteLength).toBe(72);
    expect(() => callWithFilter({ opcode: 45, program }, () => -EMSGSIZE)).toThrow(
      expect.objectContaining({ errno: -EMSGSIZE, message: expect.stringContaining("counts on 8") }),
    );
    expect(() => callWithFilter({ opcode: 45, program, strictSize: true }, () => -EMSGSIZE)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("counts on 12") }),
    );
    expect(() => callWithFilter({ opcode: 45, program }, () => -EACCES)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("no_new_privs") }),
    );
  });

  test("refuses what is no filter", () => {
    using ring = new Ring(4);
    expect(() => ring.registerBpfFilter({ opcode: 256, program })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBpfFilter({ opcode: 0, program, pduSize: -1 })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerBpfFilter({ opcode: 0, program: {} as BpfProgram })).toThrow(
      expect.objectContaining(type),
    );
    expect(() => registerBpfFilterTask({ opcode: 0, program: new BpfProgram() })).toThrow(
      expect.objectContaining(value),
    );
  });

  const filtering = needsRegister("IORING_REGISTER_BPF_FILTER");

  filtering("has the kernel judge sockets and opens on one ring, and no other", () => {
    expect(report<unknown>("../register/apart.ts", ["ring filter"])).toEqual({
      ring: [true, false, false, true, false],
      other: [true, true, true, true, true],
      wrongSize: -EMSGSIZE,
      tooMuch: -EMSGSIZE,
    });
  });

  filtering("asks every filter of an operation, and refuses the rest where one says so", () => {
    expect(report<unknown>("../register/apart.ts", ["stacked filters"])).toEqual({
      nops: [0, -EACCES, -EACCES, 0],
      read: -EACCES,
    });
  });

  filtering("has a task's filter judge the rings that are made afterwards", () => {
    expect(report<unknown>("../register/apart.ts", ["task filter"])).toEqual([0, -EACCES]);
  });

  needsThat(
    !hasRegistration("IORING_REGISTER_BPF_FILTER"),
    "a kernel without IORING_REGISTER_BPF_FILTER, before Linux 7.0",
  )("says that the kernel has no filters", () => {
    using ring = new Ring(4);
    expect(() => ring.registerBpfFilter({ opcode: IORING_OP_NOP, program })).toThrow(
      expect.objectContaining({ errno: -EINVAL, message: expect.stringContaining("7.0") }),
    );
    expect(() => registerBpfFilterTask({ opcode: IORING_OP_NOP, program })).toThrow(
      expect.objectContaining({ name: "UringError" }),
    );
  });
});
