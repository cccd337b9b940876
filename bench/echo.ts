// Echo servers: the server on one processor, the load on another, over TCP on loopback and over Unix sockets, which cost
// the kernel less, so that more of what is measured is the servers' own. One process for each server, one slice of load
// for each in turn.

import { join } from "node:path";

import { compile, noCompiler } from "./cc.ts";
import { type Bench, bun, canPin, type Goal, main, median, type Options, type Report } from "./harness.ts";
import { launch, type Server, type Shape, type Slice, slice } from "./servers.ts";
import { stop } from "./harness.ts";

const shapes: readonly Shape[] = [
  { label: "64 x 64 B", mode: "stream", conns: 64, size: 64, unix: false },
  { label: "64 x 16 KiB", mode: "stream", conns: 64, size: 16384, unix: false },
  { label: "512 x 64 B", mode: "stream", conns: 512, size: 64, unix: false },
  { label: "connections", mode: "churn", conns: 64, size: 64, unix: false },
  { label: "Unix, 64 x 64 B", mode: "stream", conns: 64, size: 64, unix: true },
  { label: "Unix, 512 x 64 B", mode: "stream", conns: 512, size: 64, unix: true },
];

/**
 * The servers' programs by name; each takes a port, or the path of a Unix socket, as its last argument. "ours" is the
 * example, as a user runs it; "listen" is that of bun-uring/net, with the same handlers as Bun.listen.
 */
function programs(unix: boolean): Record<string, readonly string[]> {
  const example = [process.execPath, join(import.meta.dir, "../examples/echoserver/index.ts")];
  const commands: Record<string, readonly string[]> = {
    ours: unix ? [...example, "--unix"] : [...example, "--host", "127.0.0.1", "--workers", "1", "--port"],
    listen: bun("echolisten", "uring"),
    "Bun.listen": bun("echolisten", "bun"),
    "node:net": bun("echonode"),
  };
  const epoll = compile("echoepoll");
  const ring = compile("echoring");
  if (epoll !== null) commands["C epoll"] = [epoll];
  if (ring !== null) commands["C io_uring"] = [ring];
  return commands;
}

const tolerated = 0.08;

/** All slices of one shape, by server, interleaved; slices in which others used the processors are taken again. */
async function measure(
  load: readonly string[],
  servers: readonly Server[],
  shape: Shape,
  options: Options,
): Promise<{ slices: Map<string, Slice[]>; repeats: number }> {
  const slices = new Map<string, Slice[]>(servers.map((server) => [server.label, []]));
  const times = options.smoke ? [10, 50] : [150, 500];
  const order = [...servers];
  let repeats = 0;
  for (let round = 0; round < (options.smoke ? 1 : 7); round++) {
    for (const server of order) {
      let taken = await slice(load, server, shape, times);
      for (let again = 0; taken.others > tolerated && again < 3 && !options.smoke; again++, repeats++) {
        await Bun.sleep(200);
        taken = await slice(load, server, shape, times);
      }
      slices.get(server.label)?.push(taken);
    }
    order.reverse();
  }
  return { slices, repeats };
}

function compare(mine: readonly Slice[], theirs: readonly Slice[], key: "perSecond" | "cpuUs"): number {
  return median(mine.map((s, i) => s[key] / (theirs[i]?.[key] ?? NaN)));
}

function judge(shape: Shape, slices: ReadonlyMap<string, Slice[]>, goals: Goal[]): void {
  const of = (label: string): Slice[] => slices.get(label) ?? [];
  const goal = (who: string, what: "perSecond" | "cpuUs", whom: string, limit: number): void => {
    if (of(who).length === 0 || of(whom).length === 0) return;
    const name = what === "cpuUs" ? "server CPU" : "throughput";
    goals.push({
      what: `${shape.label}: ${name}, ${who} / ${whom}`,
      got: compare(of(who), of(whom), what),
      limit,
      atMost: what === "cpuUs",
    });
  };
  const small = shape.mode === "stream" && shape.size === 64;
  if (small && shape.conns === 64) {
    goal("ours", "perSecond", "Bun.listen", 1.2);
    goal("ours", "cpuUs", "Bun.listen", 0.85);
  }
  if (shape.mode === "stream") goal("ours", "perSecond", "C io_uring", 1);
  else goal("ours", "perSecond", "Bun.listen", 1);
  if (small) goal("listen", "perSecond", "Bun.listen", 1);
}

/** One shape, measured and judged. */
async function contest(
  load: readonly string[],
  servers: readonly Server[],
  shape: Shape,
  options: Options,
): Promise<Pick<Report, "rows" | "goals"> & { readonly repeats: number }> {
  const { slices, repeats } = await measure(load, servers, shape, options);
  const ours = slices.get("ours") ?? [];
  const goals: Goal[] = [];
  judge(shape, slices, goals);
  const rows = [...slices].map(([label, taken]) => ({
    shape: shape.label,
    server: label,
    perSecond: median(taken.map((s) => s.perSecond)) / 1000,
    p50Us: median(taken.map((s) => s.p50Us)),
    p99Us: median(taken.map((s) => s.p99Us)),
    cpuUs: median(taken.map((s) => s.cpuUs)),
    throughputRatio: compare(ours, taken, "perSecond"),
    cpuRatio: compare(ours, taken, "cpuUs"),
  }));
  return { rows, goals, repeats };
}

/** The benchmark for the registry. */
export const echo: Bench = {
  name: "echo",
  about: "echo over TCP on loopback and Unix sockets, against Bun.listen, node:net, C epoll and C io_uring",
  async run(options: Options): Promise<Report> {
    const compiled = compile("load");
    const load = compiled === null ? bun("load") : [compiled];
    const rows: Report["rows"][number][] = [];
    const goals: Goal[] = [];
    let repeats = 0;
    for (const unix of [false, true]) {
      const servers: Server[] = [];
      try {
        for (const [label, command] of Object.entries(programs(unix))) {
          servers.push(await launch(label, command, load, unix));
        }
        for (const shape of shapes) {
          if (shape.unix !== unix) continue;
          const result = await contest(load, servers, shape, options);
          rows.push(...result.rows);
          goals.push(...result.goals);
          repeats += result.repeats;
        }
      } finally {
        await Promise.all(servers.map((server) => stop(server.child)));
      }
    }
    const notes = [`${repeats} slices taken again because other processes used the processors meanwhile`];
    if (compiled === null) notes.push(noCompiler, "the load generator runs in Bun and is the bottleneck itself");
    if (!canPin()) notes.push("server and load share the processors: no taskset(1), or only one processor");
    return {
      name: "echo",
      title: "echo over TCP on loopback and Unix sockets (messages; under connections, those with one message each)",
      columns: [
        { key: "shape", head: "shape" },
        { key: "server", head: "server" },
        { key: "perSecond", head: "thousand/s", digits: 1 },
        { key: "p50Us", head: "p50 us" },
        { key: "p99Us", head: "p99 us" },
        { key: "cpuUs", head: "server CPU us", digits: 2 },
        { key: "throughputRatio", head: "ours / this, throughput", digits: 2 },
        { key: "cpuRatio", head: "ours / this, CPU", digits: 2 },
      ],
      rows,
      goals,
      notes,
    };
  },
};

if (import.meta.main) await main([echo]);
