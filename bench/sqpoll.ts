// System calls per operation: on an SQPOLL ring under load there should be next to none. The library counts its own
// calls of io_uring_enter; strace(1), where there is one, counts every call of every kind, and has the last word.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { scratch } from "./cc.ts";
import { type Bench, bun, type Goal, main, type Options, output, type Report } from "./harness.ts";

interface Outcome {
  readonly ops: number;
  readonly enters: number;
  readonly wallNs: number;
  readonly cpuNs: number;
}

async function run(kind: string, ops: number, tracer: readonly string[]): Promise<Outcome> {
  return JSON.parse(await output([...tracer, ...bun("sqpoll", kind, String(ops))], 60_000)) as Outcome;
}

/** All system calls of a process and its threads per operation, as `strace -c` adds them up; starting and ending too. */
async function traced(kind: string, ops: number): Promise<number> {
  const file = join(scratch(), "strace");
  const outcome = await run(kind, ops, ["strace", "-f", "-c", "-U", "calls,name", "-o", file]);
  const total = readFileSync(file, "utf8").match(/^\s*(\d+)\s+total$/m)?.[1];
  if (total === undefined) throw new Error("Cannot read what strace counted");
  return Number(total) / outcome.ops;
}

/** Whether strace(1) is here and may trace. */
function canTrace(): boolean {
  return Bun.which("strace") !== null && Bun.spawnSync(["strace", "-o", "/dev/null", "true"]).success;
}

/** The benchmark for the registry. */
export const sqpoll: Bench = {
  name: "sqpoll",
  about: "system calls per operation on an SQPOLL ring under load, counted",
  async run(options: Options): Promise<Report> {
    const hasStrace = canTrace();
    const ops = options.smoke ? 20_000 : 1_000_000;
    const goals: Goal[] = [];
    const rows: Report["rows"][number][] = [];
    for (const [kind, label] of [
      ["sqpoll", "SQPOLL"],
      ["enter", "without (control)"],
    ] as const) {
      const { enters, ops: done, wallNs, cpuNs } = await run(kind, ops, []);
      const calls = hasStrace ? await traced(kind, ops) : null;
      rows.push({ label, ops: done, enters: enters / done, calls, wallNs: wallNs / done, cpuNs: cpuNs / done });
      if (kind === "sqpoll")
        goals.push({ what: "system calls per operation", got: calls ?? enters / done, limit: 0.01, atMost: true });
      else if (enters / done < 1 / 64) throw new Error("Cannot trust the count: the control shows no system calls");
    }
    return {
      name: "sqpoll",
      title: "NOPs in batches of 32 without waiting",
      columns: [
        { key: "label", head: "ring" },
        { key: "ops", head: "operations" },
        { key: "enters", head: "enters / op (library)", digits: 5 },
        { key: "calls", head: "all calls / op (strace)", digits: 5 },
        { key: "wallNs", head: "ns / op", digits: 1 },
        { key: "cpuNs", head: "CPU ns / op, kernel thread included", digits: 1 },
      ],
      rows,
      goals,
      notes: hasStrace ? [] : ["no strace(1) that works here: only the library's own count"],
    };
  },
};

if (import.meta.main) await main([sqpoll]);
