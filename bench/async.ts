// Reads of 4 KiB from page cache as promises: what somebody wins who awaits the ring in place of a FileHandle.

import { type Bench, bun, Contestant, cpuPerOp, type Entry, interleave, main, type Options, ratio } from "./harness.ts";
import { type Report, wallPerOp } from "./harness.ts";
import { makeFile } from "./read.ts";

/** What the high road has promised over FileHandle.read. */
const promised = 2.5;

/** The benchmark for the registry. */
export const asyncReads: Bench = {
  name: "async",
  about: "4 KiB random reads awaited, against FileHandle.read",
  async run(options: Options): Promise<Report> {
    const path = makeFile();
    await using stack = new AsyncDisposableStack();
    const ours = stack.use(new Contestant("ours", bun("async", path)));
    const handle = stack.use(new Contestant("FileHandle.read", bun("readpeers", path, "fileHandle")));
    const callback = stack.use(new Contestant("fs.read", bun("readpeers", path, "read")));
    const entries: Entry[] = [
      ...["promise-32", "promise-1", "ticket-32", "ticket-1"].map((which) => ({ contestant: ours, which })),
      ...[handle, callback].flatMap((contestant) => ["32", "1"].map((which) => ({ contestant, which }))),
    ];
    const samples = await interleave(entries, options);
    const [many = [], one = [], , , handleMany = [], handleOne = []] = samples;
    return {
      name: "async",
      title: "4 KiB random reads from page cache, awaited, ns per read",
      columns: [
        { key: "contestant", head: "contestant" },
        { key: "inFlight", head: "in flight" },
        { key: "wallNs", head: "wall" },
        { key: "cpuNs", head: "CPU" },
        { key: "ratio", head: "this / ours, awaited", digits: 2 },
      ],
      rows: entries.map(({ contestant, which }, i) => {
        const [how, count] = which.includes("-") ? which.split("-") : ["", which];
        return {
          contestant: how === "" ? contestant.label : `${contestant.label}, by ${how}`,
          inFlight: Number(count),
          wallNs: wallPerOp(samples[i] ?? []),
          cpuNs: cpuPerOp(samples[i] ?? []),
          ratio: ratio(samples[i] ?? [], count === "1" ? one : many),
        };
      }),
      goals: [
        { what: "FileHandle.read / ours, 32 in flight", got: ratio(handleMany, many), limit: promised, atMost: false },
        { what: "FileHandle.read / ours, one at a time", got: ratio(handleOne, one), limit: promised, atMost: false },
      ],
      notes: [],
    };
  },
};

if (import.meta.main) await main([asyncReads]);
