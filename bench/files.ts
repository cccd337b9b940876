// Small files, with bun-uring/fs in place of node:fs/promises and Bun.file.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { scratch } from "./cc.ts";
import { type Bench, bun, Contestant, cpuPerOp, type Entry, interleave, main, type Options, ratio } from "./harness.ts";
import { type Report, wallPerOp } from "./harness.ts";

const cases = ["readFile-32", "readFile-1", "stat-32", "stat-1", "writeFile-16"];

/** How many files there are to read. */
const count = 10_000;

/** Makes the files: 256 bytes to 8 KiB each. The directory goes with the benchmark's others. */
function makeFiles(options: Options): string {
  const directory = join(scratch(), "files");
  mkdirSync(join(directory, "source"), { recursive: true });
  const bytes = Buffer.alloc(8192, "small files ");
  for (let i = 0; i < (options.smoke ? 100 : count); i++) {
    writeFileSync(join(directory, "source", String(i)), bytes.subarray(0, 256 + ((i * 977) % 7937)));
  }
  return directory;
}

/** The benchmark for the registry. */
export const files: Bench = {
  name: "files",
  about: "small files: bun-uring/fs against node:fs/promises and Bun.file",
  async run(options: Options): Promise<Report> {
    const directory = makeFiles(options);
    await using stack = new AsyncDisposableStack();
    const contestants = [
      stack.use(new Contestant("bun-uring/fs", bun("files", "ours", directory))),
      stack.use(new Contestant("node:fs/promises", bun("files", "node", directory))),
      stack.use(new Contestant("Bun.file", bun("files", "bun", directory))),
    ];
    const rows: Report["rows"][number][] = [];
    for (const which of cases) {
      const [what = "", inFlight = ""] = which.split("-");
      const entries: Entry[] = contestants
        .filter(({ label }) => what !== "writeFile" || label !== "Bun.file")
        .map((contestant) => ({ contestant, which }));
      const samples = await interleave(entries, options);
      for (const [i, { contestant }] of entries.entries()) {
        rows.push({
          what: what === "writeFile" ? "writeFile, flush" : what,
          inFlight: Number(inFlight),
          contestant: contestant.label,
          wallUs: wallPerOp(samples[i] ?? []) / 1000,
          cpuUs: cpuPerOp(samples[i] ?? []) / 1000,
          ratio: ratio(samples[i] ?? [], samples[0] ?? []),
        });
      }
    }
    return {
      name: "files",
      title: `${count} files of 256 bytes to 8 KiB in page cache, us per file`,
      columns: [
        { key: "what", head: "what" },
        { key: "inFlight", head: "at a time" },
        { key: "contestant", head: "contestant" },
        { key: "wallUs", head: "wall", digits: 2 },
        { key: "cpuUs", head: "CPU, all threads", digits: 2 },
        { key: "ratio", head: "this / ours", digits: 2 },
      ],
      rows,
      goals: [],
      notes: ["Bun.file has no way to have what it writes on the disk"],
    };
  },
};

if (import.meta.main) await main([files]);
