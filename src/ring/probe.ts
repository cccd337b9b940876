/** What the running kernel can do, asked of it and never of its version. */
import {
  IO_URING_OP_SUPPORTED,
  IORING_REGISTER_BPF_FILTER,
  IORING_REGISTER_LAST,
  IORING_REGISTER_NAPI,
  IORING_REGISTER_ZCRX_CTRL,
  IORING_REGISTER_ZCRX_IFQ,
  IORING_UNREGISTER_NAPI,
} from "../abi/constants.gen.ts";
import { describe, rangeError } from "../errors.ts";
import { type QueryOpcodes, registerQuery } from "./query.ts";
import { askRing, tryEnterFlags, tryRegisterOpcode, trySetupFlags, trySqeFlags } from "./trial.ts";

/** struct io_uring_probe: 16 bytes, then 8 for each operation. */
const HEADER_BYTES = 16;
const OPERATION_BYTES = 8;
const FLAGS_OFFSET = 2;
/** The kernel takes no more. */
const MAX_OPERATIONS = 256;

/** The registrations that a kernel which counts them may be built without. */
const optional: readonly number[] = [
  IORING_REGISTER_NAPI,
  IORING_UNREGISTER_NAPI,
  IORING_REGISTER_ZCRX_IFQ,
  IORING_REGISTER_ZCRX_CTRL,
  IORING_REGISTER_BPF_FILTER,
];

/**
 * How an answer was found: the kernel was asked with IORING_REGISTER_QUERY (6.18) or with IORING_REGISTER_PROBE (5.6),
 * said it when the ring was made, or was given a flag or an opcode to see whether it takes it.
 */
export type ProbeSource = "query" | "probe" | "setup" | "trial";

/** How each kind of answer was found. */
export interface ProbeSources {
  /** Of {@link Probe.supports}. */
  readonly ops: ProbeSource;
  /** Of {@link Probe.supportsRegister}. */
  readonly registerOps: ProbeSource;
  /** Of {@link Probe.features}. */
  readonly features: ProbeSource;
  /** Of {@link Probe.setupFlags}, {@link Probe.enterFlags} and {@link Probe.sqeFlags}. */
  readonly flags: ProbeSource;
}

/** What the running kernel can do. Whatever takes more than a question is found out when it is first asked for. */
export class Probe {
  /** The highest IORING_OP_* that the kernel knows. */
  readonly lastOp: number;
  /** IORING_FEAT_* bits. */
  readonly features: number;
  /** How the answers were found. */
  readonly sources: ProbeSources;
  readonly #operations: Uint8Array;
  readonly #query: QueryOpcodes | null;
  readonly #registerOps = new Map<number, boolean>();
  #setupFlags: number | undefined;
  #enterFlags: number | undefined;
  #sqeFlags: number | undefined;

  private constructor(query: QueryOpcodes | null) {
    // The operations are probed even where there are newer ways: a kernel may be built without some of them.
    const { operations, features } = askRing(HEADER_BYTES + MAX_OPERATIONS * OPERATION_BYTES, MAX_OPERATIONS);
    this.#query = query;
    this.#operations = operations;
    this.lastOp = operations[0] as number;
    this.features = query?.features ?? features;
    const rest = query === null ? "trial" : "query";
    this.sources = { ops: "probe", registerOps: rest, features: query === null ? "setup" : "query", flags: rest };
  }

  /** @internal Asks, through a ring of its own, which no restriction binds. */
  static ask(): Probe {
    return new Probe(registerQuery().opcodes);
  }

  /** @internal The same, as if the kernel had no IORING_REGISTER_QUERY. */
  static askWithoutQuery(): Probe {
    return new Probe(null);
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
    if (op > this.lastOp) return false;
    const flags = this.#operations[HEADER_BYTES + op * OPERATION_BYTES + FLAGS_OFFSET] as number;
    return (flags & IO_URING_OP_SUPPORTED) !== 0;
  }

  /**
   * Whether the kernel has the registration IORING_REGISTER_* or IORING_UNREGISTER_*.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for what can be no opcode.
   */
  supportsRegister(opcode: number): boolean {
    if (!Number.isInteger(opcode) || opcode < 0 || opcode >= MAX_OPERATIONS) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot ask for registration ${describe(opcode)}: it is from 0 to 255`);
    }
    const count = this.#query?.registerOpcodes ?? IORING_REGISTER_LAST;
    if (opcode >= count) return false;
    if (this.#query !== null && !optional.includes(opcode)) return true;
    let known = this.#registerOps.get(opcode);
    if (known === undefined) this.#registerOps.set(opcode, (known = tryRegisterOpcode(opcode)));
    return known;
  }

  /** Whether the kernel has all the bits of IORING_FEAT_*. */
  hasFeature(bits: number): boolean {
    return (this.features & bits) === bits;
  }

  /** The IORING_SETUP_* bits that the kernel takes. */
  get setupFlags(): number {
    return (this.#setupFlags ??= this.#query?.setupFlags ?? trySetupFlags());
  }

  /** The IORING_ENTER_* bits that the kernel takes. */
  get enterFlags(): number {
    return (this.#enterFlags ??= this.#query?.enterFlags ?? tryEnterFlags());
  }

  /** The IOSQE_* bits that the kernel takes. */
  get sqeFlags(): number {
    return (this.#sqeFlags ??= this.#query?.sqeFlags ?? trySqeFlags());
  }
}

/** There is one kernel. */
let asked: Probe | undefined;

/**
 * What the running kernel can do, asked once a thread. No ring is needed.
 *
 * @throws UringError where no ring can be made at all, with the likely cause and its cure.
 * @kernel 5.6
 * @man io_uring_get_probe(3)
 */
export function getProbe(): Probe {
  return (asked ??= Probe.ask());
}
