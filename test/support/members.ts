/** Everything public that a ring has, found by looking at it, and what comes of using each. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ring } from "../../src/index.ts";

const sources = join(import.meta.dir, "../../src/ring");

/** What is not for users: what the sources call protected, or internal. */
const internal = new Set(["constructor"]);
for (const path of new Bun.Glob("**/*.ts").scanSync({ cwd: sources })) {
  const text = readFileSync(join(sources, path), "utf8");
  for (const [, name = ""] of text.matchAll(/^ {2}protected (?:(?:abstract|override|readonly|get|set) )*(\w+)/gm)) {
    internal.add(name);
  }
  for (const [, name = ""] of text.matchAll(/^ {2}\/\*\* @internal [^\n]*\n {2}(?:(?:get|set) )?(\w+)/gm))
    internal.add(name);
}

/** Arguments for those members that look at them before they look at the ring. */
const argumentsOf: Record<string, unknown[]> = {
  reserve: [1],
  submitAndWait: [1],
  submitAndWaitTimeout: [1, 0],
  waitCqes: [1, 0],
  cqAdvance: [1],
  peekBatch: [[]],
  forEachCqe: [() => undefined],
  register: [0, 0, 0],
  supports: [0],
  hasFeature: [1],
  registerBuffers: [[new Uint8Array(16)]],
  registerFiles: [[-1]],
};

/** Arguments enough for whatever wants some: small numbers, which every check of a number lets pass. */
const anyArguments = [1, 1, 1, 1, 1, 1];

/** The names of a ring's public members, own and inherited, in the order of the prototypes; close() comes last. */
export function publicMembers(): string[] {
  const names = new Set<string>();
  for (let at: object = Ring.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
    for (const name of Object.getOwnPropertyNames(at)) if (!internal.has(name)) names.add(name);
  }
  names.delete("close");
  return [...names, "Symbol.dispose", "close"];
}

function descriptorOf(name: string): PropertyDescriptor {
  for (let at: object = Ring.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
    const descriptor = Object.getOwnPropertyDescriptor(at, name === "Symbol.dispose" ? Symbol.dispose : name);
    if (descriptor !== undefined) return descriptor;
  }
  throw new Error(`a ring has no ${name}`);
}

/** An error's code, or its name and message where it has none; or what was returned. */
function outcomeOf(act: () => unknown): string {
  try {
    const value = act();
    return `returned ${typeof value === "object" && value !== null ? value.constructor.name : String(value)}`;
  } catch (error) {
    const { code, name, message } = error as { code?: string; name: string; message: string };
    return code ?? `${name}: ${message}`;
  }
}

/** What comes of each public member of `ring`: of methods when called, of properties when read and when written. */
export function outcomesOf(ring: Ring): Record<string, string> {
  const outcomes: Record<string, string> = {};
  for (const name of publicMembers()) {
    const { value, get, set } = descriptorOf(name);
    if (typeof value === "function") {
      const args = argumentsOf[name] ?? anyArguments;
      outcomes[name] = outcomeOf(() => (value as (...args: unknown[]) => unknown).apply(ring, args));
    }
    if (get !== undefined) outcomes[name] = outcomeOf(() => get.call(ring) as unknown);
    if (set !== undefined) outcomes[`${name} =`] = outcomeOf(() => set.call(ring, true));
  }
  return outcomes;
}
