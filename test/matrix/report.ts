/** What the guests' reports say, and whether what was skipped was rightly skipped. */
import { compareKernels, constantsOf } from "../../gen/facts.ts";
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

/** Names of constants, in a title. */
const NAMES = /\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g;

/** A question to a kernel's headers: whether it has a constant; undefined if there is no such constant at all. */
type Has = (name: string) => boolean | undefined;

/**
 * Judges a skip by its title, which names what is missing: `(needs NAME, Linux 6.1; something of the machine)`; what has
 * no name of its own: `(needs something in NAME, Linux 6.11)`; or what must be missing: `(needs a kernel without NAME)`.
 * One reason that holds is enough.
 *
 * @param kernel the release that it was skipped on.
 */
export function judge(title: string, kernel: string, has: Has): Skip {
  const inside = [...title.matchAll(/\((?:needs|skipped:) (.+?)\)(?= > |$)/g)].map(([, text = ""]) => text);
  const skips = inside.flatMap((text) => text.split("; ")).map((reason) => judgeReason(reason, kernel, has));
  const names = skips.flatMap((skip) => (skip.kind === "kernel" ? skip.names : []));
  if (names.length > 0) return { kind: "kernel", names: [...new Set(names)] };
  return skips.find(({ kind }) => kind === "machine") ?? skips[0] ?? { kind: "wrong", reason: "no reason is given" };
}

/** One reason: what names a constant or a first kernel is about the kernel, and anything else about the machine. */
function judgeReason(reason: string, kernel: string, has: Has): Skip {
  const named = [...new Set(reason.match(NAMES) ?? [])];
  const known = named.filter((name) => has(name) !== undefined);
  const wanted = !/\bwithout\b/.test(reason);
  const lacking = known.filter((name) => has(name) !== wanted);
  if (lacking.length > 0) return { kind: "kernel", names: wanted ? lacking : lacking.map((name) => `without ${name}`) };
  const words = reason.replace(NAMES, "").replaceAll(/\bLinux \d+\.\d+|\b(a|and|for|from|kernel|or|without)\b/g, "");
  if (known.length === 0 && !/\w/.test(words)) return { kind: "wrong", reason: `there is no ${reason}` };
  const [, later, first] = /\b(later than )?Linux (\d+\.\d+)/.exec(reason) ?? [];
  // Later than a kernel is all that is known of some things: that kernel lacks them as well.
  if (first !== undefined && compareKernels(kernel, first) < (later === undefined ? 0 : 1))
    return { kind: "kernel", names: [reason] };
  if (known.length === 0 && first === undefined) return { kind: "machine", reason };
  const what = /\w/.test(words) ? reason : known.join(", ");
  return { kind: "wrong", reason: `${kernel} ${wanted ? "has" : "lacks"} ${what}` };
}

/** What {@link judge} asks: by the headers of the kernel, and of the newest. */
export function knownTo(kernel: Facts, newest: Facts): Has {
  const all = constantsOf(newest);
  const own = constantsOf(kernel);
  return (name) => (all.has(name) ? own.has(name) : undefined);
}
