/** Holds the committed facts against the real headers, as far as they can be had. */
import { ArchiveUnreachable } from "./apt.ts";
import { diffFacts } from "./diff.ts";
import { factsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { fromPackage } from "./headers.ts";

/** The outcome: kernels that agree, what differs (one entry per kernel), and why the rest could not be compared. */
export interface Verdict {
  readonly agreed: string[];
  readonly differs: { readonly kernel: string; readonly lines: string[] }[];
  /** Kernel and reason. */
  readonly unavailable: Map<string, string>;
}

/** Derives each kernel's facts anew from the package they were read from and compares. */
export async function verifyFacts(kernels: readonly Facts[]): Promise<Verdict> {
  const verdict: Verdict = { agreed: [], differs: [], unavailable: new Map() };
  await Promise.all(
    kernels.map(async (facts) => {
      if (!facts.archive) return void verdict.unavailable.set(facts.kernel, "its headers are from no archive");
      try {
        const { kernel, name, archive } = facts;
        compare(facts, factsOf(await fromPackage({ kernel, name, archive })), verdict);
      } catch (error) {
        if (!(error instanceof ArchiveUnreachable)) throw error;
        verdict.unavailable.set(facts.kernel, error.message);
      }
    }),
  );
  return verdict;
}

/** Compares one kernel's committed facts with facts just derived, and notes the outcome. */
export function compare(committed: Facts, derived: Facts, verdict: Verdict): void {
  const lines = diffFacts(committed, derived);
  const sameOrigin = JSON.stringify(committed.archive) === JSON.stringify(derived.archive);
  if (sameOrigin && lines.length === 0 && JSON.stringify(committed) !== JSON.stringify(derived)) {
    lines.push("the same content in another form: the facts were not written by this generator");
  }
  if (lines.length === 0) verdict.agreed.push(committed.kernel);
  else verdict.differs.push({ kernel: committed.kernel, lines });
}
