/**
 * What the running kernel has, asked of it and never of its version. A test that needs more than every supported kernel
 * has is made with {@link needs}: where the kernel lacks it the test is skipped, and its title says what is missing and
 * which kernel was the first to have it.
 */
import { test } from "bun:test";
import * as constants from "../../src/abi/constants.gen.ts";
import since from "../../gen/since.json";
import { getProbe, Ring, UringError } from "../../src/index.ts";

type Body = () => void | Promise<unknown>;

/** How a test is declared. */
export type Declare = (title: string, body: Body, timeoutMs?: number) => void;

/** Whatever io_uring constant there is, by its name. */
function valueOf(name: string): number {
  const value = (constants as Record<string, unknown>)[name];
  if (typeof value !== "number") throw new Error(`there is no constant ${name}`);
  return value;
}

/** The first kernel that has a constant, as the project's own table says. */
export function firstKernel(name: string): string {
  for (const [kernel, names] of Object.entries(since)) {
    if (name in names) return kernel;
  }
  throw new Error(`no kernel is known for ${name}`);
}

let asked: { ops: (op: number) => boolean; features: number } | undefined;

/** What a ring says of itself; asked for when somebody wants to know, because tests run where there is no ring as well. */
function ask(): { ops: (op: number) => boolean; features: number } {
  if (asked === undefined) {
    using ring = new Ring(1);
    const probe = ring.probe();
    asked = { ops: (op) => probe.supports(op), features: ring.setup.features };
  }
  return asked;
}

/** Whether a NOP takes a flag: EINVAL where it does not know it, once it looks at flags at all. */
function nopTakes(flag: number): boolean {
  // One of the flags asks for a completion of 32 bytes.
  using ring = new Ring(1, has("IORING_SETUP_CQE32") ? { cqe32: true } : {});
  const answer = (flags: number): number => {
    ring.prepNopFlags(flags, 77);
    ring.submitAndWait(1);
    const { res = 0 } = ring.peekCqe() ?? {};
    ring.seenCqe();
    return res;
  };
  // Kernel: before 6.10 a NOP's flags mean nothing, and none is refused.
  return answer(constants.IORING_NOP_INJECT_RESULT) === 77 && answer(flag & ~constants.IORING_NOP_FILE) !== -22;
}

/** Whether the kernel has the operation, feature, setup flag, registration or NOP flag of this name. */
export function has(name: string): boolean {
  const value = valueOf(name);
  if (name.startsWith("IORING_OP_")) return ask().ops(value);
  if (name.startsWith("IORING_FEAT_")) return (ask().features & value) !== 0;
  if (name.startsWith("IORING_NOP_")) return nopTakes(value);
  if (name.startsWith("IORING_SETUP_")) return (getProbe().setupFlags & value) !== 0;
  if (/^IORING_(UN)?REGISTER_/.test(name)) return getProbe().supportsRegister(value);
  throw new Error(`${name} cannot be asked for: give needs() a question of its own`);
}

/** Missing names with their kernels, as a skipped test's title has them. */
function lack(names: readonly string[]): string {
  return names.map((name) => `${name}, Linux ${firstKernel(name)}`).join("; ");
}

/**
 * Declares a test that needs operations, features or flags by name.
 *
 * @param also for names that cannot be asked for one by one: the question to the kernel.
 */
export function needs(names: string | readonly string[], also?: () => boolean): Declare {
  const wanted = typeof names === "string" ? [names] : names;
  const missing = also === undefined ? wanted.filter((name) => !has(name)) : answersYes(also) ? [] : wanted;
  if (missing.length === 0) return test;
  return (title, body) => test.skip(`${title} (needs ${lack(missing)})`, body);
}

/** What a question comes to: one that cannot even be put, for want of a flag or a registration, is answered with no. */
function answersYes(question: () => boolean): boolean {
  try {
    return question();
  } catch (error) {
    if (error instanceof UringError) return false;
    throw error;
  }
}

/** Declares a test that needs something of the machine that is no matter of the kernel's version. */
export function needsThat(there: boolean, reason: string): Declare {
  if (there) return test;
  return (title, body) => test.skip(`${title} (needs ${reason})`, body);
}
