/** What the tests of registrations have in common. */
import { test } from "bun:test";
import * as constants from "../../src/abi/constants.gen.ts";
import { getProbe, type Ring } from "../../src/index.ts";
import { type Declare, needs } from "../support/kernel.ts";

/** Whether the kernel has a registration or a setup flag, by its name. */
export function hasRegistration(name: string): boolean {
  const value = (constants as Record<string, unknown>)[name];
  if (typeof value !== "number") throw new Error(`there is no constant ${name}`);
  const probe = getProbe();
  return name.startsWith("IORING_SETUP_") ? (probe.setupFlags & value) !== 0 : probe.supportsRegister(value);
}

/**
 * Declares a test that needs registrations and setup flags by name, and `others`, which {@link needs} can ask for.
 *
 * @param also what else the kernel must have, to be told by the last of the names: the question to it.
 */
export function needsRegister(
  names: string | readonly string[],
  others: readonly string[] = [],
  also?: () => boolean,
): Declare {
  const wanted = typeof names === "string" ? [names] : names;
  const missing = wanted.filter((name) => !hasRegistration(name));
  if (missing.length > 0) return needs(missing, () => false);
  if (also !== undefined && !also()) return needs(wanted.slice(-1), () => false);
  return others.length === 0 ? test : needs(others);
}

/** A completion's numbers, in the order in which tests write them. */
export type Seen = [userData: number, res: number];

/** Everything that is there to be seen, after the kernel was asked to post what it holds back. */
export function reap(ring: Ring): Seen[] {
  const seen: Seen[] = [];
  ring.getEvents();
  ring.forEachCqe((cqe) => seen.push([cqe.userData, cqe.res]));
  return seen;
}

/** The same, once at least `count` are there or two seconds are over. */
export function reapAtLeast(ring: Ring, count: number): Seen[] {
  ring.submitAndWaitTimeout(count, 2000);
  return reap(ring);
}

/** What a ring that can be resized, and receive without copying, is made with. */
export const deferred: { readonly singleIssuer: true; readonly deferTaskrun: true } = {
  singleIssuer: true,
  deferTaskrun: true,
};
