// What the benchmarks share: contestants as processes, interleaved rounds, medians, tables.

import { readFileSync } from "node:fs";
import { cpus, release } from "node:os";

/** How a benchmark was asked to run. */
export interface Options {
  /** A moment only, to see that everything still works; the figures mean nothing. */
  readonly smoke: boolean;
}

/** One column of a report: the rows' key, the heading, and the digits after the point of its numbers. */
export interface Column {
  readonly key: string;
  readonly head: string;
  readonly digits?: number;
}

/** A figure that the project has promised. */
export interface Goal {
  readonly what: string;
  readonly got: number;
  readonly limit: number;
  readonly atMost: boolean;
}

/** What a benchmark found. */
export interface Report {
  readonly name: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
  readonly goals: readonly Goal[];
  readonly notes: readonly string[];
}

/** A benchmark, as `bench/run.ts` lists it. */
export interface Bench {
  readonly name: string;
  readonly about: string;
  readonly run: (options: Options) => Promise<Report>;
}

/** One timed slice of work: how much was done, in what time, with how much processor time. */
export interface Sample {
  readonly ops: number;
  readonly wallNs: number;
  readonly cpuNs: number;
}

/** The middle value; of an even number, the mean of the two middle ones. Throws a `RangeError` when there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError("Cannot take the median of nothing");
  return (upper + lower) / 2;
}

/** Wall-clock nanoseconds per operation, the median over the slices. */
export function wallPerOp(samples: readonly Sample[]): number {
  return median(samples.map((s) => s.wallNs / s.ops));
}

/** Processor nanoseconds per operation, all threads, the median over the slices. */
export function cpuPerOp(samples: readonly Sample[]): number {
  return median(samples.map((s) => s.cpuNs / s.ops));
}

/** How `a` compares to `b` in wall-clock time per operation: the median of the ratios of slices that ran side by side. */
export function ratio(a: readonly Sample[], b: readonly Sample[]): number {
  return median(
    a.map((s, i) => {
      const other = b[i];
      if (other === undefined) throw new RangeError("Cannot compare: the contestants ran different numbers of slices");
      return s.wallNs / s.ops / (other.wallNs / other.ops);
    }),
  );
}

/** `command` bound to one processor, where taskset(1) and that processor exist. */
export function pinned(cpu: number, command: readonly string[]): string[] {
  return canPin() ? ["taskset", "-c", String(cpu), ...command] : [...command];
}

/** Whether server and load can have a processor each. */
export function canPin(): boolean {
  return Bun.which("taskset") !== null && cpus().length > 1;
}

const running = new Set<Bun.Subprocess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

/** Starts a process that ends with this one at the latest. Its stderr is ours. */
export function start(command: readonly string[]): Bun.Subprocess<"pipe", "pipe", "inherit"> {
  const child = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}

/** Ends a process and waits until it is gone. */
export async function stop(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), 2000);
  await child.exited;
  clearTimeout(patience);
}

/** Runs a program to its end and returns its standard output. Throws when it fails or takes longer than `timeoutMs`. */
export async function output(command: readonly string[], timeoutMs: number): Promise<string> {
  const child = start(command);
  const patience = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const text = await new Response(child.stdout).text();
  const status = await child.exited;
  clearTimeout(patience);
  if (status !== 0) throw new Error(`Cannot go on: ${command.join(" ")} ended with status ${status}`);
  return text;
}

/** A process that answers lines with lines: see bench/js/serve.ts and bench/c/serve.h. */
export class Contestant implements AsyncDisposable {
  /** The name in the table. */
  readonly label: string;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #output: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #buffered = "";

  constructor(label: string, command: readonly string[]) {
    this.label = label;
    this.#child = start(command);
    this.#output = this.#child.stdout[Symbol.asyncIterator]();
  }

  /** Sends a line, if there is one, and waits for the answer. Throws when there is none within 30 seconds. */
  async ask(line?: string): Promise<string> {
    if (line !== undefined) {
      this.#child.stdin.write(`${line}\n`);
      await this.#child.stdin.flush();
    }
    const patience = setTimeout(() => this.#child.kill("SIGKILL"), 30_000);
    while (!this.#buffered.includes("\n")) {
      const part = await this.#output.next();
      if (part.done) throw new Error(`Cannot go on: ${this.label} ended where it should have answered "${line ?? ""}"`);
      this.#buffered += this.#decoder.decode(part.value, { stream: true });
    }
    clearTimeout(patience);
    const end = this.#buffered.indexOf("\n");
    const answer = this.#buffered.slice(0, end);
    this.#buffered = this.#buffered.slice(end + 1);
    return answer;
  }

  /** Has the contestant show that its answers are right. */
  async check(which: string): Promise<void> {
    const answer = await this.ask(`check ${which}`);
    if (answer !== "ok") throw new Error(`Cannot time ${this.label}: its answers are wrong: ${answer}`);
  }

  /** Has it work for about `sliceMs` milliseconds. */
  async time(which: string, sliceMs: number): Promise<Sample> {
    const [ops, wallNs, cpuNs] = (await this.ask(`run ${which} ${sliceMs}`)).split(" ").map(Number);
    if (!ops || !wallNs || cpuNs === undefined)
      throw new Error(`Cannot time ${this.label}: it did not say what it did`);
    return { ops, wallNs, cpuNs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#child);
  }
}

/** What takes part in a comparison: a process, and which of its cases. */
export interface Entry {
  readonly contestant: Contestant;
  readonly which: string;
}

/** Rounds and slice lengths: many short slices side by side, so that a disturbance meets everybody. */
function pace(options: Options): { readonly rounds: number; readonly sliceMs: number } {
  return options.smoke ? { rounds: 1, sliceMs: 10 } : { rounds: 21, sliceMs: 50 };
}

/**
 * Checks every entry, warms it up, then times them one slice each, round after round, in alternating order. Returns
 * one list of samples for each entry.
 */
export async function interleave(entries: readonly Entry[], options: Options): Promise<Sample[][]> {
  const { rounds, sliceMs } = pace(options);
  const samples: Sample[][] = entries.map(() => []);
  for (const { contestant, which } of entries) {
    await contestant.check(which);
    await contestant.time(which, options.smoke ? 1 : 300);
  }
  const order = [...entries.keys()];
  for (let round = 0; round < rounds; round++) {
    for (const i of order) {
      const entry = entries[i];
      if (entry !== undefined) samples[i]?.push(await entry.contestant.time(entry.which, sliceMs));
    }
    order.reverse();
  }
  return samples;
}

/** The command that runs one of the contestants written in TypeScript. */
export function bun(script: string, ...args: string[]): string[] {
  return [process.execPath, `${import.meta.dir}/js/${script}.ts`, ...args];
}

/** What the figures depend on, in one line. */
export function machine(): string {
  const congestion = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  const model = cpus()[0]?.model ?? "unknown processor";
  const day = new Date().toISOString().slice(0, 10);
  return `${cpus().length} x ${model}, Linux ${release()}, Bun ${Bun.version}, TCP ${congestion}, ${day}`;
}

/** Whether a promise is kept. */
export function isMet(goal: Goal): boolean {
  return goal.atMost ? goal.got <= goal.limit : goal.got >= goal.limit;
}

function cell(value: string | number | null | undefined, digits: number): string {
  if (value === null || value === undefined) return "-";
  return typeof value === "string" ? value : value.toFixed(digits);
}

/** A report as a Markdown table with its promises and notes. */
export function format(report: Report): string {
  const body = report.rows.map((row) => report.columns.map((c) => cell(row[c.key], c.digits ?? 0)));
  const widths = report.columns.map((c, i) => Math.max(c.head.length, ...body.map((row) => row[i]?.length ?? 0)));
  const isText = report.columns.map((c) => report.rows.some((row) => typeof row[c.key] === "string"));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((s, i) => (isText[i] ? s.padEnd(widths[i] ?? 0) : s.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = `|${widths.map((w, i) => (isText[i] ? "-".repeat(w + 2) : `${"-".repeat(w + 1)}:`)).join("|")}|`;
  const goals = report.goals.map((g) => {
    const bound = `${g.atMost ? "at most" : "at least"} ${g.limit}`;
    return `- ${isMet(g) ? "met" : "MISSED"}: ${g.what} ${g.got.toPrecision(3)}, goal ${bound}`;
  });
  const table = [line(report.columns.map((c) => c.head)), rule, ...body.map(line)];
  const after = [...goals, ...report.notes.map((note) => `- ${note}`)];
  return [`## ${report.name}: ${report.title}`, "", ...table, ...(after.length ? ["", ...after] : []), ""].join("\n");
}

const usage = `usage: bun bench/run.ts [NAME...] [--smoke] [--json]
       bun bench/NAME.ts [--smoke] [--json]
  --smoke  a moment of everything, correctness included; the figures mean nothing
  --json   the reports as JSON on standard output`;

/** The command line of one benchmark or of all of them. */
export async function main(benches: readonly Bench[]): Promise<void> {
  const args = process.argv.slice(2);
  const names = args.filter((a) => !a.startsWith("-"));
  const unknown = [
    ...args.filter((a) => a.startsWith("-") && a !== "--smoke" && a !== "--json"),
    ...names.filter((n) => !benches.some((b) => b.name === n)),
  ];
  if (unknown.length > 0) {
    const list = benches.map((b) => `  ${b.name.padEnd(8)} ${b.about}`).join("\n");
    console.log(`${usage}\n${list}`);
    process.exit(args.includes("--help") ? 0 : 2);
  }
  const json = args.includes("--json");
  const reports: Report[] = [];
  if (!json) console.log(`${machine()}\n`);
  for (const bench of benches) {
    if (names.length > 0 && !names.includes(bench.name)) continue;
    const smoke = args.includes("--smoke");
    const report = await bench.run({ smoke });
    reports.push(report);
    if (!json) console.log(format(smoke ? { ...report, goals: [] } : report));
  }
  if (json) console.log(JSON.stringify({ machine: machine(), reports }, null, 2));
  process.exit(0);
}
