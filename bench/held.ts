// Ten thousand connections held open and served: what each costs in memory, and how many messages a second they get.

import { readFileSync } from "node:fs";

import { compile, noCompiler } from "./cc.ts";
import { type Bench, bun, main, median, type Options, type Report, stop } from "./harness.ts";
import { launchPlain, type Shape, slice } from "./servers.ts";

const contestants: Readonly<Record<string, readonly string[]>> = {
  listen: bun("echolisten", "uring"),
  "Bun.listen": bun("echolisten", "bun"),
  "node:net": bun("echonode"),
};

/** A line of /proc/PID/status, in bytes. */
function memory(pid: number, line: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${line}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
}

/** One server, from its start to its end. */
async function hold(
  label: string,
  command: readonly string[],
  load: readonly string[],
  shape: Shape,
): Promise<{ readonly perSecond: number; readonly bytes: number; readonly cpuUs: number }> {
  const server = await launchPlain(label, command);
  try {
    // What the first messages cost whatever there is of connections is not a connection's.
    await slice(load, server, { ...shape, conns: 16 }, [100, 200]);
    const before = memory(server.child.pid, "VmRSS");
    const { perSecond, cpuUs } = await slice(load, server, shape, [500, 1500]);
    return { perSecond, cpuUs, bytes: (memory(server.child.pid, "VmHWM") - before) / shape.conns };
  } finally {
    await stop(server.child);
  }
}

/** The benchmark for the registry. */
export const held: Bench = {
  name: "held",
  about: "10,000 connections held open and served: memory for each, bun-uring/net against Bun.listen and node:net",
  async run(options: Options): Promise<Report> {
    const compiled = compile("load");
    const load = compiled === null ? bun("load") : [compiled];
    const conns = options.smoke ? 200 : 10_000;
    const shape: Shape = { label: "held", mode: "stream", conns, size: 64, unix: false };
    const taken: Record<string, Awaited<ReturnType<typeof hold>>[]> = {};
    for (let round = 0; round < (options.smoke ? 1 : 3); round++) {
      for (const [label, command] of Object.entries(contestants)) {
        (taken[label] ??= []).push(await hold(label, command, load, shape));
      }
    }
    return {
      name: "held",
      title: `${conns} connections, one message of 64 bytes in flight on each`,
      columns: [
        { key: "server", head: "server" },
        { key: "bytes", head: "bytes a connection" },
        { key: "perSecond", head: "thousand/s", digits: 1 },
        { key: "cpuUs", head: "server CPU us", digits: 2 },
      ],
      rows: Object.entries(taken).map(([server, runs]) => ({
        server,
        bytes: median(runs.map((run) => run.bytes)),
        perSecond: median(runs.map((run) => run.perSecond)) / 1000,
        cpuUs: median(runs.map((run) => run.cpuUs)),
      })),
      goals: [],
      notes: [
        "memory of the process at its peak, the kernel's own for the sockets not counted",
        ...(compiled === null ? [noCompiler] : []),
      ],
    };
  },
};

if (import.meta.main) await main([held]);
