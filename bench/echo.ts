// TCP echo on loopback: the server on one processor, the load on another. One process for each server, one slice of
// load for each in turn.

import { join } from "node:path";

import { compile, noCompiler } from "./cc.ts";
import { type Bench, bun, canPin, type Goal, main, median, type Options, type Report } from "./harness.ts";
import { launch, type Server, type Shape, type Slice, slice } from "./servers.ts";
import { stop } from "./harness.ts";

const shapes: readonly Shape[] = [
  { label: "64 x 64 B", mode: "stream", conns: 64, size: 64 },
  { label: "64 x 16 KiB", mode: "stream", conns: 64, size: 16384 },
  { label: "512 x 64 B", mode: "stream", conns: 512, size: 64 },
  { label: "connections", mode: "churn", conns: 64, size: 64 },
];

/** The servers' programs by name; each takes a port as its last argument. Ours is the example, as a user runs it. */
function programs(): Record<string, readonly string[]> {
  const example = join(import.meta.dir, "../examples/echoserver/index.ts");
  const commands: Record<string, readonly string[]> = {
    ours: [process.execPath, example, "--host", "127.0.0.1", "--workers", "1", "--port"],
    "Bun.listen": bun("echobun"),
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
  const ours = slices.get("ours") ?? [];
  const bunListen = slices.get("Bun.listen") ?? [];
  const twin = slices.get("C io_uring");
  const goal = (what: string, got: number, limit: number, atMost: boolean): void =>
    void goals.push({ what: `${shape.label}: ${what}`, got, limit, atMost });
  if (shape.label === "64 x 64 B") {
    goal("throughput, ours / Bun.listen", compare(ours, bunListen, "perSecond"), 1.2, false);
    goal("server CPU, ours / Bun.listen", compare(ours, bunListen, "cpuUs"), 0.85, true);
  }
  if (shape.mode === "stream" && twin !== undefined)
    goal("throughput, ours / C io_uring", compare(ours, twin, "perSecond"), 1, false);
  if (shape.mode === "churn") goal("throughput, ours / Bun.listen", compare(ours, bunListen, "perSecond"), 1, false);
}

/** The benchmark for the registry. */
export const echo: Bench = {
  name: "echo",
  about: "TCP echo on loopback, against Bun.listen, node:net, C epoll and C io_uring",
  async run(options: Options): Promise<Report> {
    const compiled = compile("load");
    const load = compiled === null ? bun("load") : [compiled];
    const rows: Report["rows"][number][] = [];
    const goals: Goal[] = [];
    const servers: Server[] = [];
    let repeats = 0;
    try {
      for (const [label, command] of Object.entries(programs())) servers.push(await launch(label, command, load));
      for (const shape of shapes) {
        const measured = await measure(load, servers, shape, options);
        const ours = measured.slices.get("ours") ?? [];
        repeats += measured.repeats;
        judge(shape, measured.slices, goals);
        for (const [label, slices] of measured.slices) {
          rows.push({
            shape: shape.label,
            server: label,
            perSecond: median(slices.map((s) => s.perSecond)) / 1000,
            p50Us: median(slices.map((s) => s.p50Us)),
            p99Us: median(slices.map((s) => s.p99Us)),
            cpuUs: median(slices.map((s) => s.cpuUs)),
            throughputRatio: compare(ours, slices, "perSecond"),
            cpuRatio: compare(ours, slices, "cpuUs"),
          });
        }
      }
    } finally {
      await Promise.all(servers.map((server) => stop(server.child)));
    }
    const notes = [`${repeats} slices taken again because other processes used the processors meanwhile`];
    if (compiled === null) notes.push(noCompiler, "the load generator runs in Bun and is the bottleneck itself");
    if (!canPin()) notes.push("server and load share the processors: no taskset(1), or only one processor");
    return {
      name: "echo",
      title: "TCP echo on loopback (messages; in the last group connections, each with one message)",
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
