/** Writes what a whole run found where readers look: docs/kernel-results.md, and the measurements for the generator. */
import { join, resolve } from "node:path";
import type { Measured } from "../../gen/matrix.ts";
import type { Machine } from "./boot.ts";
import { complaints, isGood, tableOf } from "./summary.ts";
import type { Verdict } from "./summary.ts";

const project = resolve(import.meta.dir, "../..");
const RESULTS = join(project, "docs/kernel-results.md");
const MEASURED = join(import.meta.dir, "measured.json");

const START = "<!-- results -->";
const END = "<!-- /results -->";

/** The first line that a program prints of its version. */
function versionOf(...command: string[]): string {
  const { stdout } = Bun.spawnSync(command, { cwd: project, stderr: "ignore" });
  return String(stdout).split("\n")[0] ?? "";
}

/** A list of what was skipped and why, one line a reason, with the kernels that it happened on. */
function reasons(verdicts: readonly Verdict[], of: (verdict: Verdict) => ReadonlyMap<string, number>): string[] {
  const all = new Map<string, string[]>();
  for (const verdict of verdicts) {
    for (const [reason, count] of of(verdict)) {
      all.set(reason, [...(all.get(reason) ?? []), `${verdict.kernel} (${count})`]);
    }
  }
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([reason, where]) => `- ${reason}: ${where.join(", ")}`);
}

/** The part of docs/kernel-results.md between its markers. */
function resultsOf(verdicts: readonly Verdict[], machine: Machine): string {
  const bad = verdicts.filter((verdict) => !isGood(verdict));
  return [
    START,
    "",
    `${new Date().toISOString().slice(0, 10)}, Bun ${Bun.version}, ${versionOf("qemu-system-x86_64", "--version")},`,
    `${machine.accelerator === "kvm" ? "KVM" : "software emulation"}, guests of ${machine.memoryMiB} MiB, commit`,
    `${versionOf("git", "rev-parse", "--short", "HEAD")}.`,
    "",
    tableOf(verdicts),
    "",
    "## What failed",
    "",
    ...(bad.length === 0 ? ["Nothing."] : bad.flatMap(failuresOf)),
    "",
    "## What was skipped for want of a feature",
    "",
    "Each kernel with the number of its tests. The names are held against the headers of that kernel: a test that is",
    "skipped for want of what the kernel has counts as failed.",
    "",
    ...reasons(verdicts, (verdict) => verdict.lacking),
    "",
    "## What was skipped for want of something else in the guest",
    "",
    ...reasons(verdicts, (verdict) => verdict.machine),
    "",
    END,
  ].join("\n");
}

function failuresOf(verdict: Verdict): string[] {
  const items = complaints(verdict).map((text) => `- ${text.split("\n")[0]}`);
  return [`### ${verdict.kernel}`, "", ...items, ""];
}

/**
 * Writes the results of a run.
 *
 * @param answers what the kernels answered, by kernel.
 */
export async function record(
  verdicts: readonly Verdict[],
  answers: ReadonlyMap<string, Measured>,
  machine: Machine,
): Promise<void> {
  const before = await Bun.file(RESULTS).text();
  const start = before.indexOf(START);
  const end = before.indexOf(END);
  if (start < 0 || end < start) throw new Error(`${RESULTS} has no ${START} … ${END}`);
  await Bun.write(RESULTS, before.slice(0, start) + resultsOf(verdicts, machine) + before.slice(end + END.length));
  const known = (await Bun.file(MEASURED).json()) as Record<string, Measured>;
  await Bun.write(MEASURED, JSON.stringify({ ...known, ...Object.fromEntries(answers) }, null, 2));
  const formatted = Bun.spawnSync([process.execPath, "fmt", RESULTS, MEASURED], { cwd: project });
  if (formatted.exitCode !== 0) throw new Error(`${RESULTS} cannot be formatted: ${formatted.stderr}`);
}
