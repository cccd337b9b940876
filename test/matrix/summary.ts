/** What came of a kernel, and the table of all of them. */
import type { Result } from "./boot.ts";
import type { Step } from "./image.ts";
import type { Kernel } from "./kernels.ts";
import { judge, readJunit } from "./report.ts";
import type { Case } from "./report.ts";

/** What came of a kernel. */
export interface Verdict {
  readonly kernel: string;
  /** What `uname -r` said, and the version of the package. */
  readonly release: string;
  readonly version: string;
  readonly passed: number;
  readonly failed: readonly Case[];
  /** How many tests were skipped for want of each name or list of names that the kernel lacks. */
  readonly lacking: ReadonlyMap<string, number>;
  /** How many tests were skipped for each reason that is not the kernel's. */
  readonly machine: ReadonlyMap<string, number>;
  /** What went wrong outside of tests: a step that crashed or hung, a guest that died, a kernel that cannot be had. */
  readonly troubles: readonly string[];
  readonly seconds: number;
}

const WRONGLY = "wrongly skipped: ";

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

/** Judges what a guest handed in. */
export function verdictOf(
  kernel: Kernel,
  steps: readonly Step[],
  result: Result,
  has: (name: string) => boolean | undefined,
): Verdict {
  const failed: Case[] = [];
  const troubles: string[] = [];
  const lacking = new Map<string, number>();
  const machine = new Map<string, number>();
  let passed = 0;
  for (const { name } of steps) {
    const status = result.statuses.get(name);
    const report = result.files.get(`${name}.xml`);
    if (status === undefined) troubles.push(`${name} was not finished`);
    else if (status === 137) troubles.push(`${name} took too long or was killed`);
    const tally = readJunit(report ?? "");
    if (status !== undefined && ![0, 137].includes(status) && tally.failed.length === 0) {
      troubles.push(`${name} ended with ${status}`);
    }
    passed += tally.passed;
    failed.push(...tally.failed);
    for (const skipped of tally.skipped) {
      const skip = judge(skipped.title, kernel.kernel, has);
      if (skip.kind === "kernel") count(lacking, skip.names.join(", "));
      else if (skip.kind === "machine") count(machine, skip.reason);
      else failed.push({ title: skipped.title, message: `${WRONGLY}${skip.reason}` });
    }
  }
  if (!result.ended) troubles.push("the guest did not come to its end");
  const { seconds } = result;
  const release = result.files.get("release")?.trim() ?? "";
  return {
    kernel: kernel.kernel,
    release,
    version: kernel.version,
    passed,
    failed,
    lacking,
    machine,
    troubles,
    seconds,
  };
}

/** Whether there is nothing to complain of. */
export function isGood(verdict: Verdict): boolean {
  return verdict.failed.length === 0 && verdict.troubles.length === 0;
}

/** All counts together. */
export function sum(map: ReadonlyMap<string, number>): number {
  return [...map.values()].reduce((all, n) => all + n, 0);
}

/** What of a verdict a reader has to see beside the table: failures, troubles. */
export function complaints(verdict: Verdict): string[] {
  // Many tests may be skipped for one wrong reason.
  const groups = new Map<string, string[]>();
  for (const { title, message } of verdict.failed) {
    const key = message.startsWith(WRONGLY) ? message : `${title}\0${message}`;
    groups.set(key, [...(groups.get(key) ?? []), title]);
  }
  const failed = [...groups].map(([key, titles]) => {
    const message = key.slice(key.indexOf("\0") + 1);
    const more = titles.length > 1 ? ` and ${titles.length - 1} more` : "";
    return `${titles[0]}${more}\n    ${message.trim().replaceAll(/\n+/g, "\n    ")}`;
  });
  return [...verdict.troubles, ...failed];
}

/** A verdict's cells in the table: kernel, what was booted, passed, failed, both kinds of skips, troubles, seconds. */
export function cellsOf(verdict: Verdict): string[] {
  const { kernel, release, passed, failed, lacking, machine, troubles, seconds } = verdict;
  const numbers = [passed, failed.length, sum(lacking), sum(machine), troubles.length, Math.round(seconds)];
  return [kernel, release === "" ? "missing" : release, ...numbers.map(String)];
}

/** The table, as Markdown. */
export function tableOf(verdicts: readonly Verdict[]): string {
  return [
    "| kernel | booted | passed | failed | skipped: kernel lacks it | skipped: machine lacks it | troubles | seconds |",
    "| --- | --- | --: | --: | --: | --: | --: | --: |",
    ...verdicts.map((verdict) => `| ${cellsOf(verdict).join(" | ")} |`),
  ].join("\n");
}
