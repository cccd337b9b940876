/** What the running kernel can do, asked of it and never of its version. */
import { IO_URING_OP_SUPPORTED, IORING_REGISTER_PROBE } from "../abi/constants.gen.ts";
import { describe, rangeError } from "../errors.ts";
import type { Memory } from "../memory.ts";

/** struct io_uring_probe: 16 bytes, then 8 for each operation. */
const HEADER_BYTES = 16;
const OPERATION_BYTES = 8;
const FLAGS_OFFSET = 2;
/** The kernel takes no more. */
const MAX_OPERATIONS = 256;

/** The kernel's answer to IORING_REGISTER_PROBE. */
export class Probe {
  /** The highest IORING_OP_* that the kernel knows. */
  readonly lastOp: number;
  readonly #flags: Uint8Array;

  private constructor(answer: Uint8Array) {
    this.lastOp = answer[0] as number;
    this.#flags = answer;
  }

  /** @internal Asks through `ring`. */
  static ask(ring: { register(opcode: number, argument: Memory, count: number): number }): Probe {
    const answer = new Uint8Array(HEADER_BYTES + MAX_OPERATIONS * OPERATION_BYTES);
    ring.register(IORING_REGISTER_PROBE, answer, MAX_OPERATIONS);
    return new Probe(answer);
  }

  /**
   * Whether the kernel has the operation IORING_OP_*.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for what can be no opcode.
   */
  supports(op: number): boolean {
    if (!Number.isInteger(op) || op < 0 || op >= MAX_OPERATIONS) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot ask for operation ${describe(op)}: it must be from 0 to 255`);
    }
    const flags = this.#flags[HEADER_BYTES + op * OPERATION_BYTES + FLAGS_OFFSET] as number;
    return op <= this.lastOp && (flags & IO_URING_OP_SUPPORTED) !== 0;
  }
}
