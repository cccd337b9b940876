/** Runs classic BPF as the kernel does, on struct io_uring_bpf_ctx. */

const INSTRUCTION_BYTES = 8;

interface Decoded {
  code: number;
  then: number;
  otherwise: number;
  operand: number;
}

/** struct sock_filter by struct sock_filter. */
function decode(program: Uint8Array): Decoded[] {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  return Array.from({ length: program.byteLength / INSTRUCTION_BYTES }, (_, i) => ({
    code: view.getUint16(i * INSTRUCTION_BYTES, true),
    then: view.getUint8(i * INSTRUCTION_BYTES + 2),
    otherwise: view.getUint8(i * INSTRUCTION_BYTES + 3),
    operand: view.getUint32(i * INSTRUCTION_BYTES + 4, true),
  }));
}

function calculate(code: number, a: number, value: number): number {
  switch (code & 0xf0) {
    case 0x00:
      return a + value;
    case 0x10:
      return a - value;
    case 0x20:
      return Math.imul(a, value);
    case 0x30:
      return Math.floor(a / value);
    case 0x40:
      return a | value;
    case 0x50:
      return a & value;
    case 0x60:
      return a << value;
    case 0x70:
      return a >>> value;
    case 0x80:
      return -a;
    case 0xa0:
      return a ^ value;
    default:
      throw new Error(`unknown operation ${code}`);
  }
}

function compare(code: number, a: number, value: number): boolean {
  switch (code & 0xf0) {
    case 0x10:
      return a === value;
    case 0x20:
      return a > value;
    case 0x30:
      return a >= value;
    case 0x40:
      return (a & value) !== 0;
    default:
      throw new Error(`unknown comparison ${code}`);
  }
}

/** What a program answers: the value it returns. */
export function simulate(program: Uint8Array, context: Uint8Array): number {
  const instructions = decode(program);
  const view = new DataView(context.buffer, context.byteOffset, context.byteLength);
  const memory = new Uint32Array(16);
  let [a, x] = [0, 0];
  for (let at = 0; at < instructions.length; at++) {
    const { code, then, otherwise, operand } = instructions[at] as Decoded;
    const value = (code & 0x08) === 0 ? operand : x;
    switch (code & 0x07) {
      case 0x00: // LD
        a = loaded(code, operand, view, memory);
        break;
      case 0x01: // LDX
        x = loaded(code, operand, view, memory);
        break;
      case 0x02: // ST
        memory[operand] = a;
        break;
      case 0x03: // STX
        memory[operand] = x;
        break;
      case 0x04: // ALU
        if ((code & 0xf0) === 0x30 && value === 0) return 0;
        a = calculate(code, a, value) >>> 0;
        break;
      case 0x05: // JMP
        if ((code & 0xf0) === 0) at += operand;
        else at += compare(code, a, value) ? then : otherwise;
        break;
      case 0x06: // RET
        return (code & 0x18) === 0x10 ? a : operand;
      default: // MISC
        if ((code & 0x80) === 0) x = a;
        else a = x;
    }
  }
  throw new Error("the program ran past its end");
}

function loaded(code: number, operand: number, view: DataView, memory: Uint32Array): number {
  switch (code & 0xe0) {
    case 0x00: // IMM
      return operand;
    case 0x20: // ABS
      return view.getUint32(operand, true);
    case 0x60: // MEM
      return memory[operand] as number;
    default:
      throw new Error(`unknown mode ${code}`);
  }
}
