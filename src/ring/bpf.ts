/** Filters of requests: a small assembler for classic BPF, and what the kernel is given. */
import { EACCES, EINVAL, EMSGSIZE } from "../abi/errno.gen.ts";
import {
  IO_URING_BPF_CMD_FILTER,
  IO_URING_BPF_FILTER_DENY_REST,
  IO_URING_BPF_FILTER_SZ_STRICT,
  IORING_OP_CONNECT,
  IORING_OP_OPENAT,
  IORING_OP_OPENAT2,
  IORING_OP_SOCKET,
  IORING_REGISTER_BPF_FILTER,
} from "../abi/constants.gen.ts";
import {
  IO_URING_BPF_CTX_OFF_CONNECT_FAMILY,
  IO_URING_BPF_CTX_OFF_CONNECT_PORT,
  IO_URING_BPF_CTX_OFF_CONNECT_V4_ADDR,
  IO_URING_BPF_CTX_OFF_CONNECT_V6_ADDR,
  IO_URING_BPF_CTX_OFF_OPCODE,
  IO_URING_BPF_CTX_OFF_OPEN_FLAGS,
  IO_URING_BPF_CTX_OFF_OPEN_MODE,
  IO_URING_BPF_CTX_OFF_OPEN_RESOLVE,
  IO_URING_BPF_CTX_OFF_PDU_SIZE,
  IO_URING_BPF_CTX_OFF_SOCKET,
  IO_URING_BPF_CTX_OFF_SOCKET_FAMILY,
  IO_URING_BPF_CTX_OFF_SOCKET_PROTOCOL,
  IO_URING_BPF_CTX_OFF_SOCKET_TYPE,
  IO_URING_BPF_CTX_OFF_SQE_FLAGS,
  IO_URING_BPF_CTX_OFF_USER_DATA,
  IO_URING_BPF_CTX_SIZE,
  IO_URING_BPF_FILTER_OFF_PDU_SIZE,
  IO_URING_BPF_FILTER_WORD_FILTER_LEN,
  IO_URING_BPF_FILTER_WORD_FILTER_PTR,
  IO_URING_BPF_FILTER_WORD_FLAGS,
  IO_URING_BPF_FILTER_WORD_OPCODE,
  IO_URING_BPF_OFF_CMD_TYPE,
  IO_URING_BPF_OFF_FILTER,
  IO_URING_BPF_SIZE,
  IO_URING_BPF_WORD_FILTER,
} from "../abi/layout.gen.ts";
import { describe, rangeError, typeError, UringError } from "../errors.ts";
import { checkCount, checkU32, checkU8 } from "./prep/check.ts";
import { registerBlind } from "./register/blind.ts";
import { setU64 } from "./structs.ts";
import { transientAddress } from "./transient.ts";

/** struct sock_filter: a code of 16 bits, two jumps of 8, an operand of 32. */
const INSTRUCTION_BYTES = 8;
const MAX_INSTRUCTIONS = 4096;
const MEMORY_CELLS = 16;
/** A conditional jump leaps over 255 instructions at the most. */
const MAX_LEAP = 255;

// Instruction codes: a class, then what it is about.
const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const ALU = 0x04;
const JMP = 0x05;
const RET = 0x06;
const MISC = 0x07;
const IMM = 0x00;
const ABS = 0x20;
const MEM = 0x60;
const FROM_X = 0x08;
const FROM_A = 0x10;
const TAX = 0x00;
const TXA = 0x80;

const arithmetic: Readonly<Record<BpfOperation, number>> = {
  add: 0x00,
  subtract: 0x10,
  multiply: 0x20,
  divide: 0x30,
  or: 0x40,
  and: 0x50,
  shiftLeft: 0x60,
  shiftRight: 0x70,
  negate: 0x80,
  xor: 0xa0,
};
const JA = 0x00;
const comparisons: Readonly<Record<BpfComparison, number>> = {
  equal: 0x10,
  greater: 0x20,
  greaterOrEqual: 0x30,
  set: 0x40,
};

/**
 * What a filter can look at, by name: 32 bits each, or fewer where the kernel has fewer. `socket*` is there for
 * IORING_OP_SOCKET, `open*` for OPENAT and OPENAT2, `connect*` (7.2) for CONNECT, in network byte order as they stand in
 * the address; whatever is not there reads as 0.
 */
export type BpfField =
  | "userDataLow"
  | "userDataHigh"
  | "opcode"
  | "sqeFlags"
  | "pduSize"
  | "socketFamily"
  | "socketType"
  | "socketProtocol"
  | "openFlagsLow"
  | "openFlagsHigh"
  | "openModeLow"
  | "openModeHigh"
  | "openResolveLow"
  | "openResolveHigh"
  | "connectFamily"
  | "connectPort"
  | "connectV4"
  | "connectV6Word0"
  | "connectV6Word1"
  | "connectV6Word2"
  | "connectV6Word3";

/** What {@link BpfProgram.calculate} can do. */
export type BpfOperation =
  "add" | "subtract" | "multiply" | "divide" | "or" | "and" | "xor" | "shiftLeft" | "shiftRight" | "negate";

/** What {@link BpfProgram.jumpIf} can compare by. */
export type BpfComparison = "equal" | "greater" | "greaterOrEqual" | "set";

/** Where each field stands, and the bits of the word that it takes: shifted down, then masked. */
const fields: Readonly<Record<BpfField, readonly [offset: number, mask?: number]>> = {
  userDataLow: [IO_URING_BPF_CTX_OFF_USER_DATA],
  userDataHigh: [IO_URING_BPF_CTX_OFF_USER_DATA + 4],
  opcode: [IO_URING_BPF_CTX_OFF_OPCODE, 0xff],
  sqeFlags: [IO_URING_BPF_CTX_OFF_SQE_FLAGS, 0xff],
  pduSize: [IO_URING_BPF_CTX_OFF_PDU_SIZE, 0xff],
  socketFamily: [IO_URING_BPF_CTX_OFF_SOCKET_FAMILY],
  socketType: [IO_URING_BPF_CTX_OFF_SOCKET_TYPE],
  socketProtocol: [IO_URING_BPF_CTX_OFF_SOCKET_PROTOCOL],
  openFlagsLow: [IO_URING_BPF_CTX_OFF_OPEN_FLAGS],
  openFlagsHigh: [IO_URING_BPF_CTX_OFF_OPEN_FLAGS + 4],
  openModeLow: [IO_URING_BPF_CTX_OFF_OPEN_MODE],
  openModeHigh: [IO_URING_BPF_CTX_OFF_OPEN_MODE + 4],
  openResolveLow: [IO_URING_BPF_CTX_OFF_OPEN_RESOLVE],
  openResolveHigh: [IO_URING_BPF_CTX_OFF_OPEN_RESOLVE + 4],
  connectFamily: [IO_URING_BPF_CTX_OFF_CONNECT_FAMILY],
  connectPort: [IO_URING_BPF_CTX_OFF_CONNECT_PORT, 0xffff],
  connectV4: [IO_URING_BPF_CTX_OFF_CONNECT_V4_ADDR],
  connectV6Word0: [IO_URING_BPF_CTX_OFF_CONNECT_V6_ADDR],
  connectV6Word1: [IO_URING_BPF_CTX_OFF_CONNECT_V6_ADDR + 4],
  connectV6Word2: [IO_URING_BPF_CTX_OFF_CONNECT_V6_ADDR + 8],
  connectV6Word3: [IO_URING_BPF_CTX_OFF_CONNECT_V6_ADDR + 12],
};

/** An operand: a number of 32 bits, or the register X. */
export type BpfOperand = number | "x";

interface Instruction {
  readonly code: number;
  readonly operand: number;
  /** The labels to jump to; the next instruction where there is none. */
  readonly then?: string | undefined;
  readonly otherwise?: string | undefined;
}

/**
 * A program for {@link Ring.registerBpfFilter}, built instruction by instruction. The machine has a register A, on which
 * everything works, a register X and sixteen cells of memory, 32 bits each. Jumps go forward only, to labels. The
 * program ends with an answer: {@link allow}, {@link deny} or {@link returnA}.
 *
 * ```ts
 * const onlyInet = new BpfProgram().load("socketFamily").jumpIf("equal", AF_INET, "inet").deny().label("inet").allow();
 * ring.registerBpfFilter({ opcode: IORING_OP_SOCKET, program: onlyInet });
 * ```
 */
export class BpfProgram {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();
  /** The last byte of the context that the program looks at, plus one. */
  #reach = 0;

  /** How many instructions there are so far. */
  get length(): number {
    return this.#instructions.length;
  }

  /** How many bytes of an operation's own data the program looks at. */
  get pduSize(): number {
    return Math.max(0, this.#reach - IO_URING_BPF_CTX_OFF_SOCKET);
  }

  /**
   * A = a field, or the word at a multiple of 4 within struct io_uring_bpf_ctx.
   *
   * @throws TypeError or RangeError for what is no field.
   */
  load(field: BpfField | number): this {
    if (typeof field === "number") return this.#loadWord(field);
    const [offset, mask] = (fields[field] as readonly [number, number?] | undefined) ?? [];
    if (offset === undefined) throw typeError("ERR_URING_ARG_TYPE", `Cannot load ${describe(field)}: it is no field`);
    this.#loadWord(offset & ~3);
    // A field within a word, which both processors supported read with the lowest byte first.
    if ((offset & 3) !== 0) this.calculate("shiftRight", (offset & 3) * 8);
    return mask === undefined ? this : this.calculate("and", mask);
  }

  #loadWord(offset: number): this {
    checkCount("an offset", offset);
    if ((offset & 3) !== 0 || offset >= IO_URING_BPF_CTX_SIZE) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot load from offset ${offset}: it must be a multiple of 4 below ${IO_URING_BPF_CTX_SIZE}`,
      );
    }
    this.#reach = Math.max(this.#reach, offset + 4);
    return this.#add(LD | ABS, offset);
  }

  /** A = a number. @throws RangeError for one of more than 32 bits. */
  loadImmediate(value: number): this {
    return this.#add(LD | IMM, value);
  }

  /** X = a number. @throws RangeError for one of more than 32 bits. */
  loadXImmediate(value: number): this {
    return this.#add(LDX | IMM, value);
  }

  /** A = a cell of memory, which must have been stored to. @throws RangeError for a cell past the sixteenth. */
  loadMemory(cell: number): this {
    return this.#add(LD | MEM, checkCell(cell));
  }

  /** X = a cell of memory, which must have been stored to. @throws RangeError for a cell past the sixteenth. */
  loadXMemory(cell: number): this {
    return this.#add(LDX | MEM, checkCell(cell));
  }

  /** A cell of memory = A. @throws RangeError for a cell past the sixteenth. */
  storeMemory(cell: number): this {
    return this.#add(ST, checkCell(cell));
  }

  /** A cell of memory = X. @throws RangeError for a cell past the sixteenth. */
  storeXMemory(cell: number): this {
    return this.#add(STX, checkCell(cell));
  }

  /** X = A. */
  copyToX(): this {
    return this.#add(MISC | TAX, 0);
  }

  /** A = X. */
  copyFromX(): this {
    return this.#add(MISC | TXA, 0);
  }

  /**
   * A = A, the operation, the operand; in 32 bits without sign. "negate" takes no operand. Division by an X of 0 ends
   * the program with a refusal.
   *
   * @throws TypeError for an operation that there is not; RangeError for division by 0 and shifts of 32 and more.
   */
  calculate(operation: BpfOperation, operand: BpfOperand = 0): this {
    const code = arithmetic[operation] as number | undefined;
    if (code === undefined) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot calculate with ${describe(operation)}: there is no such operation`);
    }
    if (operation === "divide" && operand === 0) throw rangeError("ERR_URING_ARG_VALUE", "Cannot divide by 0");
    if (operation.startsWith("shift") && operand !== "x" && !(operand >= 0 && operand < 32)) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot shift by ${describe(operand)} bits: a register has 32`);
    }
    return this.#withOperand(ALU | code, operand);
  }

  /** Goes on at a label. */
  jump(label: string): this {
    return this.#add(JMP | JA, 0, label);
  }

  /**
   * Compares A with the operand: goes on at `then` where it holds, at `otherwise` where it does not; either left out is
   * the next instruction. "set": whether they have a bit in common.
   *
   * @throws TypeError for a comparison that there is not.
   */
  jumpIf(comparison: BpfComparison, operand: BpfOperand, then?: string, otherwise?: string): this {
    const code = comparisons[comparison] as number | undefined;
    if (code === undefined) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot compare by ${describe(comparison)}: there is no such comparison`);
    }
    return this.#withOperand(JMP | code, operand, then, otherwise);
  }

  /** Names the next instruction. @throws RangeError for a name that is taken. */
  label(name: string): this {
    if (this.#labels.has(name)) throw rangeError("ERR_URING_ARG_VALUE", `Cannot use label ${describe(name)} twice`);
    this.#labels.set(name, this.length);
    return this;
  }

  /** Ends: the request may go on. */
  allow(): this {
    return this.#add(RET, 1);
  }

  /** Ends: the request is refused. */
  deny(): this {
    return this.#add(RET, 0);
  }

  /** Ends: the request may go on unless A is 0. */
  returnA(): this {
    return this.#add(RET | FROM_A, 0);
  }

  /**
   * The program as the kernel takes it, struct sock_filter after struct sock_filter.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for a program that the kernel would refuse: empty, too long, without an
   * answer at its end, with a jump back, too far or to nowhere, or a cell that is loaded before it is stored to.
   */
  assemble(): Uint8Array<ArrayBuffer> {
    const count = this.length;
    const last = this.#instructions.at(-1);
    if (last === undefined || count > MAX_INSTRUCTIONS) throw refused(`it has ${count} instructions, 1 to 4096 fit`);
    if ((last.code & 7) !== RET) throw refused("its last instruction is no answer");
    const bytes = new Uint8Array(count * INSTRUCTION_BYTES);
    const view = new DataView(bytes.buffer);
    this.#instructions.forEach((instruction, index) => {
      const { code, operand } = instruction;
      const at = index * INSTRUCTION_BYTES;
      const then = this.#leap(index, instruction.then);
      const otherwise = this.#leap(index, instruction.otherwise);
      const always = code === (JMP | JA);
      if (!always && Math.max(then, otherwise) > MAX_LEAP) {
        throw refused(`instruction ${index} jumps over more than ${MAX_LEAP} others; jump() can go as far as it likes`);
      }
      view.setUint16(at, code, true);
      if (!always) view.setUint8(at + 2, then);
      if (!always) view.setUint8(at + 3, otherwise);
      view.setUint32(at + 4, always ? then : operand, true);
    });
    this.#checkMemory();
    return bytes;
  }

  /** How many instructions lie between one and a label. */
  #leap(index: number, label: string | undefined): number {
    if (label === undefined) return 0;
    const target = this.#labels.get(label);
    if (target === undefined) throw refused(`there is no label ${describe(label)}`);
    if (target <= index) throw refused(`label ${describe(label)} lies behind instruction ${index}, which jumps to it`);
    if (target >= this.length) throw refused(`no instruction follows label ${describe(label)}`);
    return target - index - 1;
  }

  /** Refuses cells that are loaded on a way that never stored to them. */
  #checkMemory(): void {
    // By instruction: the cells that every way there has stored to, a bit each.
    const stored = new Array<number>(this.length).fill(0xffff);
    stored[0] = 0;
    this.#instructions.forEach(({ code, operand, then, otherwise }, index) => {
      let cells = stored[index] as number;
      if (code === ST || code === STX) cells |= 1 << operand;
      if ((code === (LD | MEM) || code === (LDX | MEM)) && (cells & (1 << operand)) === 0) {
        throw refused(`instruction ${index} loads cell ${operand}, which was not stored to`);
      }
      if ((code & 7) === RET) return;
      const targets = [index + 1 + this.#leap(index, then)];
      if ((code & 7) === JMP && code !== (JMP | JA)) targets.push(index + 1 + this.#leap(index, otherwise));
      for (const target of targets) stored[target] = (stored[target] as number) & cells;
    });
  }

  #withOperand(code: number, operand: BpfOperand, then?: string, otherwise?: string): this {
    return operand === "x" ? this.#add(code | FROM_X, 0, then, otherwise) : this.#add(code, operand, then, otherwise);
  }

  #add(code: number, operand: number, then?: string, otherwise?: string): this {
    checkU32("an operand", operand);
    this.#instructions.push({ code, operand, then, otherwise });
    return this;
  }
}

function checkCell(cell: number): number {
  checkCount("a cell", cell);
  if (cell < MEMORY_CELLS) return cell;
  throw rangeError("ERR_URING_ARG_VALUE", `Cannot use cell ${cell}: there are ${MEMORY_CELLS}`);
}

function refused(why: string): RangeError {
  return rangeError("ERR_URING_ARG_VALUE", `Cannot assemble the program: ${why}`);
}

/** What {@link Ring.registerBpfFilter} registers. */
export interface BpfFilter {
  /** The operation that it judges, an IORING_OP_*. */
  opcode: number;
  /** The program. */
  program: BpfProgram;
  /** Refuses every operation that no filter judges. */
  denyRest?: boolean;
  /** Fails where the kernel has other data for the operation than `pduSize`, in place of less than that. */
  strictSize?: boolean;
  /**
   * How many bytes of the operation's own data the program counts on; unless given as many as it looks at, with
   * `strictSize` as many as the newest kernel known has.
   */
  pduSize?: number;
}

/** The bytes of own data that the newest kernel known has for those operations that have some. */
const pduSizes: Readonly<Record<number, number>> = {
  [IORING_OP_SOCKET]: 12,
  [IORING_OP_OPENAT]: 24,
  [IORING_OP_OPENAT2]: 24,
  [IORING_OP_CONNECT]: 24,
};

/** Where struct io_uring_bpf has the size of the operation's own data, in bytes. */
const PDU_SIZE_AT = IO_URING_BPF_OFF_FILTER + IO_URING_BPF_FILTER_OFF_PDU_SIZE;

/** @internal struct io_uring_bpf, and the program that it points at. */
export function bpfArgument(filter: BpfFilter): { argument: Int32Array; code: Uint8Array } {
  const { opcode, program, denyRest = false, strictSize = false } = filter;
  checkU8("opcode", opcode);
  if (!(program instanceof BpfProgram)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot filter with ${describe(program)}: it is no BpfProgram`);
  }
  const pduSize = filter.pduSize ?? (strictSize ? (pduSizes[opcode] ?? 0) : program.pduSize);
  checkU8("pduSize", pduSize);
  const code = program.assemble();
  const argument = new Int32Array(IO_URING_BPF_SIZE / 4);
  const bytes = new Uint8Array(argument.buffer);
  const at = IO_URING_BPF_WORD_FILTER;
  bytes[IO_URING_BPF_OFF_CMD_TYPE] = IO_URING_BPF_CMD_FILTER;
  argument[at + IO_URING_BPF_FILTER_WORD_OPCODE] = opcode;
  argument[at + IO_URING_BPF_FILTER_WORD_FLAGS] =
    (denyRest ? IO_URING_BPF_FILTER_DENY_REST : 0) | (strictSize ? IO_URING_BPF_FILTER_SZ_STRICT : 0);
  argument[at + IO_URING_BPF_FILTER_WORD_FILTER_LEN] = program.length;
  setU64(argument, at + IO_URING_BPF_FILTER_WORD_FILTER_PTR, transientAddress(code));
  bytes[PDU_SIZE_AT] = pduSize;
  return { argument, code };
}

/** @internal Registers a filter by a call that takes its address. The kernel copies the program before it returns. */
export function callWithFilter(filter: BpfFilter, call: (address: number) => number): void {
  const { argument, code } = bpfArgument(filter);
  const bytes = new Uint8Array(argument.buffer);
  const pduSize = bytes[PDU_SIZE_AT] as number;
  const result = call(transientAddress(argument));
  if (result >= 0) return;
  const causes: Readonly<Record<number, string>> = {
    [EINVAL]:
      `the program of ${code.length / INSTRUCTION_BYTES} instructions is refused, the operation is not known, or this ` +
      "kernel has no filters (7.0, built with CONFIG_IO_URING_BPF)",
    // Kernel: it writes what it has into the argument.
    [EMSGSIZE]: `the kernel has ${bytes[PDU_SIZE_AT]} bytes of data for the operation, the filter counts on ${pduSize}`,
    [EACCES]: "it takes CAP_SYS_ADMIN or no_new_privs (prctl(2)), or the ring is restricted",
  };
  throw new UringError(result, "IORING_REGISTER_BPF_FILTER", causes[-result]);
}

/**
 * Has a BPF program judge every request with one operation on the rings that the calling thread makes from here on, and
 * on those of the processes that it starts; rings that exist are not affected. For good.
 *
 * @throws as {@link Ring.registerBpfFilter}; UringError EACCES without CAP_SYS_ADMIN or no_new_privs.
 * @kernel 7.0
 * @man io_uring_register_bpf_filter_task(3)
 */
export function registerBpfFilterTask(filter: BpfFilter): void {
  callWithFilter(filter, (address) => registerBlind(IORING_REGISTER_BPF_FILTER, address, 1));
}
