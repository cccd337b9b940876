// Random reads of 4 KiB from page cache: what a reader of files gains or loses against what Bun has, and against C.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { compile, noCompiler, scratch } from "./cc.ts";
import { type Bench, bun, Contestant, cpuPerOp, type Entry, interleave, main, type Options, ratio } from "./harness.ts";
import { type Report, wallPerOp } from "./harness.ts";

const blockBytes = 4096;
const blocks = 8192;

/** A file whose every block begins with its own number, as a little-endian 32-bit word; its path. */
export function makeFile(): string {
  const path = join(scratch(), "blocks");
  const words = new Uint32Array((blocks * blockBytes) / 4);
  for (let block = 0; block < blocks; block++)
    words.fill(block, (block * blockBytes) / 4, ((block + 1) * blockBytes) / 4);
  writeFileSync(path, words);
  return path;
}

/** The benchmark for the registry. */
export const read: Bench = {
  name: "read",
  about: "4 KiB random reads from page cache, against node:fs, Bun.file and C",
  async run(options: Options): Promise<Report> {
    const program = compile("read");
    const path = makeFile();
    await using stack = new AsyncDisposableStack();
    const ours = stack.use(new Contestant("ours, ring", bun("read", path)));
    const flags = await ours.ask();
    const entries: Entry[] = ["32", "1"].map((which) => ({ contestant: ours, which }));
    if (program !== null) {
      const twin = stack.use(new Contestant("C io_uring", [program, flags, path]));
      entries.push(...["32", "1"].map((which) => ({ contestant: twin, which })));
    }
    const peers = {
      readSync: "fs.readSync",
      read: "fs.read",
      fileHandle: "FileHandle.read",
      bunFile: "Bun.file().slice()",
    };
    for (const [peer, label] of Object.entries(peers)) {
      const contestant = stack.use(new Contestant(label, bun("readpeers", path, peer)));
      entries.push(...(peer === "readSync" ? ["1"] : ["32", "1"]).map((which) => ({ contestant, which })));
    }
    const samples = await interleave(entries, options);
    const [mine = []] = samples;
    return {
      name: "read",
      title: "4 KiB random reads from page cache, ns per read",
      columns: [
        { key: "contestant", head: "contestant" },
        { key: "inFlight", head: "in flight" },
        { key: "wallNs", head: "wall" },
        { key: "cpuNs", head: "CPU" },
        { key: "ratio", head: "ours at 32 / this", digits: 2 },
      ],
      rows: entries.map(({ contestant, which }, i) => ({
        contestant: contestant.label,
        inFlight: Number(which),
        wallNs: wallPerOp(samples[i] ?? []),
        cpuNs: cpuPerOp(samples[i] ?? []),
        ratio: ratio(mine, samples[i] ?? []),
      })),
      goals: [],
      notes: program === null ? [noCompiler] : [],
    };
  },
};

if (import.meta.main) await main([read]);
