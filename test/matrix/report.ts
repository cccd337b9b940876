/** What the guests' reports say, and whether what was skipped was rightly skipped. */
import { constantsOf } from "../../gen/facts.ts";
import type { Facts } from "../../gen/facts.ts";

/** A test that was not run or did not pass. */
export interface Case {
  /** File and title, with the groups that it is in. */
  readonly title: string;
  /** What went wrong; empty for a skip. */
  readonly message: string;
}

/** A report in numbers. */
export interface Tally {
  passed: number;
  readonly failed: Case[];
  readonly skipped: Case[];
}

function decode(text: string): string {
  const names: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (all, decimal: string, hex: string, name: string) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return hex === undefined ? (names[name] ?? all) : String.fromCodePoint(parseInt(hex, 16));
  });
}

/** Reads JUnit XML as Bun writes it. */
export function readJunit(xml: string): Tally {
  const tally: Tally = { passed: 0, failed: [], skipped: [] };
  const groups: string[] = [];
  let title: string | undefined;
  let outcome: "passed" | "failed" | "skipped" = "passed";
  let message = "";
  const end = (): void => {
    if (title === undefined) return;
    if (outcome === "passed") tally.passed++;
    else tally[outcome].push({ title, message });
    title = undefined;
  };
  for (const [, close, tag, rest = "", alone] of xml.matchAll(/<(\/?)([a-z]+)((?:\s+[\w-]+="[^"]*")*)\s*(\/?)>/g)) {
    const attribute = (name: string): string => decode(new RegExp(`\\s${name}="([^"]*)"`).exec(rest)?.[1] ?? "");
    if (tag === "testsuite") {
      if (close === "/") groups.pop();
      else if (alone !== "/") groups.push(attribute("name"));
    } else if (tag === "testcase") {
      if (close === "/") {
        end();
        continue;
      }
      title = [...groups, attribute("name")].join(" > ");
      outcome = "passed";
      message = "";
      if (alone === "/") end();
    } else if (tag === "skipped") outcome = "skipped";
    else if ((tag === "failure" || tag === "error") && close !== "/") {
      outcome = "failed";
      message = attribute("message");
    }
  }
  return tally;
}

/** Why a test was skipped, as far as a kernel goes. */
export type Skip =
  /** For want of what this kernel indeed lacks. */
  | { readonly kind: "kernel"; readonly names: readonly string[] }
  /** For want of something of the machine. */
  | { readonly kind: "machine"; readonly reason: string }
  /** For want of what this kernel has, or for no reason that is given. */
  | { readonly kind: "wrong"; readonly reason: string };

/**
 * Judges a skip by its title, which names what is missing.
 *
 * @param has whether the kernel that it was skipped on has a constant; undefined if there is no such constant at all.
 */
export function judge(title: string, has: (name: string) => boolean | undefined): Skip {
  const reasons = [...title.matchAll(/\(needs (.+?)\)(?= > |$)/g)].map(([, reason]) => reason ?? "");
  const named = [...new Set(title.match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g) ?? [])].filter(
    (n) => has(n) !== undefined,
  );
  const lacking = named.filter((name) => has(name) === false);
  if (lacking.length > 0) return { kind: "kernel", names: lacking };
  const reason = reasons.join("; ");
  // A reason may name what the kernel has beside what the machine lacks: then something else than names is in it.
  const more = reason.split("; ").filter((part) => !/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/.test(part) && part !== "");
  if (more.length > 0) return { kind: "machine", reason: more.join("; ") };
  if (named.length > 0) return { kind: "wrong", reason: `this kernel has ${named.join(", ")}` };
  return { kind: "wrong", reason: reason === "" ? "no reason is given" : `no known name in "${reason}"` };
}

/** What {@link judge} asks: by the headers of the kernel, and of the newest. */
export function knownTo(kernel: Facts, newest: Facts): (name: string) => boolean | undefined {
  const all = constantsOf(newest);
  const own = constantsOf(kernel);
  return (name) => (all.has(name) ? own.has(name) : undefined);
}
