/** What a ring, or a whole task, is restricted to: struct io_uring_restriction. */
import { EACCES, EINVAL, EPERM } from "../abi/errno.gen.ts";
import {
  IORING_REGISTER_ENABLE_RINGS,
  IORING_REGISTER_RESTRICTIONS,
  IORING_RESTRICTION_REGISTER_OP,
  IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
  IORING_RESTRICTION_SQE_FLAGS_REQUIRED,
  IORING_RESTRICTION_SQE_OP,
} from "../abi/constants.gen.ts";
import {
  IO_URING_RESTRICTION_SIZE,
  IO_URING_TASK_RESTRICTION_OFF_NR_RES,
  IO_URING_TASK_RESTRICTION_SIZE,
} from "../abi/layout.gen.ts";
import { describe, typeError, UringError } from "../errors.ts";
import { checkU8 } from "./prep/check.ts";
import { getProbe, type Probe } from "./probe.ts";
import { registerBlind } from "./register/blind.ts";
import { transientAddress } from "./transient.ts";

/** Every bit of an entry's flags. */
const ALL_FLAGS = 0xff;

/**
 * What stays allowed. Whatever is not listed is refused, on every kernel alike: kernels before 7.0 refuse registrations
 * where only operations are listed, later ones allow them, and the library spells out what it means.
 */
export interface Restrictions {
  /** The operations, IORING_OP_*; "all" for every one that the kernel has; none unless given. */
  sqeOps?: readonly number[] | "all";
  /**
   * The registrations, IORING_REGISTER_* and IORING_UNREGISTER_*; "all" for every one that the kernel has; none unless
   * given. Enabling the ring is always among them.
   */
  registerOps?: readonly number[] | "all";
  /** The flags that an entry may have, IOSQE_*, beside those that it must have; "all"; none unless given. */
  sqeFlagsAllowed?: number | "all";
  /** The flags that an entry must have; none unless given. */
  sqeFlagsRequired?: number;
}

/** @internal The restrictions as the kernel takes them, and how many they are. */
export function restrictionWords(restrictions: Restrictions, probe: Probe): { words: Int32Array; count: number } {
  if (typeof restrictions !== "object" || restrictions === null) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(restrictions)} as restrictions: pass an object`);
  }
  const { sqeFlagsAllowed = 0, sqeFlagsRequired = 0 } = restrictions;
  const allowed = sqeFlagsAllowed === "all" ? ALL_FLAGS : sqeFlagsAllowed;
  checkU8("entry flags", allowed);
  checkU8("entry flags", sqeFlagsRequired);
  // Kernel: 7.0 restricts operations only where one of these three is there, and registrations only where one of those
  // is; enabling an enabled ring does nothing, so it can always stand for them.
  const rows: [kind: number, value: number][] = [
    [IORING_RESTRICTION_SQE_FLAGS_ALLOWED, allowed],
    [IORING_RESTRICTION_SQE_FLAGS_REQUIRED, sqeFlagsRequired],
    [IORING_RESTRICTION_REGISTER_OP, IORING_REGISTER_ENABLE_RINGS],
  ];
  const operations = listed("operations", restrictions.sqeOps, () => numbers((op) => probe.supports(op)));
  const registrations = listed("registrations", restrictions.registerOps, () =>
    numbers((opcode) => probe.supportsRegister(opcode)),
  );
  for (const op of operations) rows.push([IORING_RESTRICTION_SQE_OP, op]);
  for (const opcode of registrations) rows.push([IORING_RESTRICTION_REGISTER_OP, opcode]);
  const words = new Int32Array((rows.length * IO_URING_RESTRICTION_SIZE) / 4);
  // A kind of 16 bits, then an opcode or flags of 8.
  rows.forEach(([kind, value], index) => (words[(index * IO_URING_RESTRICTION_SIZE) / 4] = kind | (value << 16)));
  return { words, count: rows.length };
}

function listed(what: string, list: readonly number[] | "all" | undefined, all: () => number[]): readonly number[] {
  if (list === undefined) return [];
  if (list === "all") return all();
  if (!Array.isArray(list)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(list)} as ${what}: pass an array or "all"`);
  }
  for (const opcode of list as readonly number[]) checkU8("opcode", opcode);
  return [...new Set<number>(list)];
}

/** Those of the opcodes of 8 bits that pass a test. */
function numbers(test: (opcode: number) => boolean): number[] {
  return Array.from({ length: 256 }, (_, opcode) => opcode).filter(test);
}

/**
 * Restricts every ring that the calling thread makes from here on, and those of the processes that it starts, to what is
 * listed; rings that exist are not affected. For good, and once a thread.
 *
 * @throws TypeError or RangeError for what can be no restriction; UringError EPERM where the thread is restricted
 * already, EACCES without CAP_SYS_ADMIN or no_new_privs, EINVAL before 7.0.
 * @kernel 7.0
 * @man io_uring_register(2)
 */
export function registerRestrictionsTask(restrictions: Restrictions): void {
  const { words, count } = restrictionWords(restrictions, getProbe());
  const argument = new Int32Array(IO_URING_TASK_RESTRICTION_SIZE / 4 + words.length);
  new Uint16Array(argument.buffer)[IO_URING_TASK_RESTRICTION_OFF_NR_RES / 2] = count;
  argument.set(words, IO_URING_TASK_RESTRICTION_SIZE / 4);
  const result = registerBlind(IORING_REGISTER_RESTRICTIONS, transientAddress(argument), 1);
  if (result < 0) throw new UringError(result, "IORING_REGISTER_RESTRICTIONS", causes[-result]);
}

const causes: Readonly<Record<number, string>> = {
  [EINVAL]: "this kernel cannot restrict a task (7.0), or does not know an operation or registration that is listed",
  [EPERM]: "the thread is restricted already",
  [EACCES]: "it takes CAP_SYS_ADMIN or no_new_privs (prctl(2))",
};
