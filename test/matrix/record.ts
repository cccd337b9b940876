/**
 * Writes what was found where readers look. Each kernel keeps its last recorded run, with the day and the commit of that
 * run: docs/kernel-results.md and the README's table are made of all of them, whenever each was.
 */
import { join, resolve } from "node:path";
import type { Measured } from "../../gen/matrix.ts";
import type { Machine } from "./boot.ts";
import { kernels } from "./kernels.ts";
import { cellsOf, complaints, sum } from "./summary.ts";
import type { Verdict } from "./summary.ts";

const project = resolve(import.meta.dir, "../..");
const RESULTS = join(project, "docs/kernel-results.md");
const README = join(project, "README.md");
const ROWS = join(import.meta.dir, "results.json");
const MEASURED = join(import.meta.dir, "measured.json");

/** What the results are of: whatever else differs does not change them. */
const SOURCES = ["src", "syscall", "test", "examples", ":!test/matrix/*.json"];

/** Memory of a guest where nothing else is said. */
export const MEMORY_MIB = 1024;

/** A kernel's last recorded run. */
export interface Row {
  /** The kernel, and what its guest had that the others have not. */
  readonly name: string;
  /** The day, UTC. */
  readonly day: string;
  /** What was tested. */
  readonly commit: string;
  /** What it ran on. */
  readonly tools: string;
  /** As in the table of a run. */
  readonly cells: readonly string[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly complaints: readonly string[];
  readonly lacking: Readonly<Record<string, number>>;
  readonly machine: Readonly<Record<string, number>>;
}

/** The first line that a program prints. */
function firstLine(...command: string[]): string {
  const { stdout } = Bun.spawnSync(command, { cwd: project, stderr: "ignore" });
  return String(stdout).split("\n")[0] ?? "";
}

function commitNow(): string {
  const changed = firstLine("git", "status", "--porcelain", "--", ...SOURCES) !== "";
  return `${firstLine("git", "rev-parse", "--short", "HEAD")}${changed ? " with changes" : ""}`;
}

/** A run's rows: of all tests, or of those that `tests` chooses. */
export function rowsOf(
  verdicts: readonly Verdict[],
  machine: Machine,
  commit: string,
  day: string,
  tests: readonly string[] = [],
): Row[] {
  const emulator = firstLine("qemu-system-x86_64", "--version").replace(/^.*version (\S+).*$/, "QEMU $1");
  const how = machine.accelerator === "kvm" ? "KVM" : "software emulation";
  const memory = machine.memoryMiB === MEMORY_MIB ? [] : [`${machine.memoryMiB} MiB`];
  const part = tests.length === 0 ? [] : [`only ${tests.join(" ")}`];
  return verdicts.map((verdict) => ({
    name: [verdict.kernel, ...memory, ...part].join(", "),
    day,
    commit,
    tools: `Bun ${Bun.version}, ${emulator} (${how})`,
    cells: cellsOf(verdict),
    passed: verdict.passed,
    failed: verdict.failed.length + verdict.troubles.length,
    skipped: sum(verdict.lacking) + sum(verdict.machine),
    complaints: complaints(verdict).map((text) => text.split("\n").slice(0, 2).join(": ").replaceAll(/\s+/g, " ")),
    lacking: Object.fromEntries(verdict.lacking),
    machine: Object.fromEntries(verdict.machine),
  }));
}

/**
 * Those of before with those of now in their places, a run of all tests in that of earlier ones of some; kernels in the
 * table's order, each before its other forms.
 */
export function merged(before: readonly Row[], now: readonly Row[]): Row[] {
  const whole = new Set(now.map(({ name }) => name));
  const kept = before.filter(({ name }) => !whole.has(guestOf(name)));
  const all = new Map([...kept, ...now].map((row) => [row.name, row]));
  const place = ({ name }: Row): number => kernels.findIndex(({ kernel }) => kernel === name.split(", ")[0]);
  const known = [...all.values()].filter((row) => place(row) >= 0);
  return known.sort((a, b) => place(a) - place(b) || (a.name < b.name ? -1 : 1));
}

/** A row's name without what says that it is one of some tests only. */
function guestOf(name: string): string {
  return name.split(", only ")[0] ?? "";
}

/** A row's kernel and guest, and whether all tests were run: the two halves of its name. */
function halves({ name }: Row): [guest: string, tests: string] {
  const guest = guestOf(name);
  return [guest, guest === name ? "all" : "some"];
}

/** What a row is called where there is no table. */
function labelOf(row: Row): string {
  const [guest, tests] = halves(row);
  return tests === "all" ? guest : `${guest}, ${tests}`;
}

/** What the tables do not say: which tests some are, and which kernels no whole run was recorded of. */
function remarks(rows: readonly Row[]): string[] {
  const some = [...new Set(rows.flatMap(({ name }) => name.split(", only ").slice(1)))];
  const never = kernels.map(({ kernel }) => kernel).filter((kernel) => !rows.some(({ name }) => name === kernel));
  return [
    ...(some.length === 0 ? [] : [`_Some_ are those in ${some.map((tests) => `\`${tests}\``).join(", or in ")}.`]),
    ...(never.length === 0 ? [] : [`No run of all tests is recorded of ${never.join(", ")}.`]),
  ];
}

/** A list of what was skipped and why, one line a reason, with where it happened. */
function reasons(rows: readonly Row[], of: (row: Row) => Readonly<Record<string, number>>): string[] {
  const all = new Map<string, string[]>();
  for (const row of rows) {
    for (const [reason, count] of Object.entries(of(row))) {
      all.set(reason, [...(all.get(reason) ?? []), `${labelOf(row)} (${count})`]);
    }
  }
  const lines = [...all]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reason, where]) => `- ${reason}: ${where.join("; ")}`);
  return lines.length > 0 ? lines : ["Nothing."];
}

const named = (text: string): string => text.replaceAll(/[<>|*]/g, "\\$&");

/** The part of docs/kernel-results.md between its markers, unformatted. */
export function resultsText(rows: readonly Row[]): string {
  const bad = rows.filter(({ complaints }) => complaints.length > 0);
  return [
    "| kernel | tests | booted | passed | failed | skipped: kernel lacks it | skipped: guest lacks it | troubles | seconds | when | what |",
    "| --- | --- | --- | --: | --: | --: | --: | --: | --: | --- | --- |",
    ...rows.map((row) => `| ${[...halves(row), ...row.cells.slice(1), row.day, row.commit].join(" | ")} |`),
    "",
    ...remarks(rows),
    `With ${[...new Set(rows.map(({ tools }) => tools))].join("; ") || "nothing yet"}.`,
    `Guests have ${MEMORY_MIB} MiB where no other figure stands. _What_ is the commit that was tested.`,
    "",
    "## What failed",
    "",
    ...(bad.length === 0 ? ["Nothing.", ""] : []),
    ...bad.flatMap((row) => [`### ${labelOf(row)}`, "", ...row.complaints.map((text) => `- ${named(text)}`), ""]),
    "## What was skipped for want of a feature",
    "",
    "Each kernel with the number of its tests. The names are held against the headers of that kernel: a test that is",
    "skipped for want of what the kernel has counts as failed.",
    "",
    ...reasons(rows, ({ lacking }) => lacking),
    "",
    "## What was skipped for want of something else in the guest",
    "",
    ...reasons(rows, ({ machine }) => machine),
  ].join("\n");
}

/** The README's table, unformatted. */
export function readmeText(rows: readonly Row[]): string {
  return [
    "| kernel | tests | booted | passed | failed | skipped | when |",
    "| --- | --- | --- | --: | --: | --: | --- |",
    ...rows.map(
      (row) => `| ${[...halves(row), row.cells[1], row.passed, row.failed, row.skipped, row.day].join(" | ")} |`,
    ),
    "",
    ...remarks(rows),
  ].join("\n");
}

/**
 * Puts a text between a page's markers.
 *
 * @throws Error where the page has not both, in order.
 */
export function between(page: string, marker: string, text: string): string {
  const [start, end] = [`<!-- ${marker} -->`, `<!-- /${marker} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`there is no ${start} with ${end} after it`);
  return `${page.slice(0, from)}${start}\n\n${text}\n\n${page.slice(to)}`;
}

/**
 * Writes the results of a run.
 *
 * @param answers what the kernels answered, by kernel.
 * @param tests pieces of paths that chose the tests; none for all of them.
 */
export async function record(
  verdicts: readonly Verdict[],
  answers: ReadonlyMap<string, Measured>,
  machine: Machine,
  tests: readonly string[],
): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  const rows = merged((await Bun.file(ROWS).json()) as Row[], rowsOf(verdicts, machine, commitNow(), day, tests));
  await Bun.write(ROWS, JSON.stringify(rows, null, 2));
  await Bun.write(RESULTS, between(await Bun.file(RESULTS).text(), "results", resultsText(rows)));
  await Bun.write(README, between(await Bun.file(README).text(), "results", readmeText(rows)));
  const known = (await Bun.file(MEASURED).json()) as Record<string, Measured>;
  await Bun.write(MEASURED, JSON.stringify({ ...known, ...Object.fromEntries(answers) }, null, 2));
  const formatted = Bun.spawnSync([process.execPath, "fmt", RESULTS, README, ROWS, MEASURED], { cwd: project });
  if (formatted.exitCode !== 0) throw new Error(`the results cannot be formatted: ${formatted.stderr}`);
}
