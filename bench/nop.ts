// NOP round trips, ours against C: what the library itself costs, with the least work that a kernel can do.

import { compile, noCompiler } from "./cc.ts";
import { type Bench, bun, Contestant, cpuPerOp, type Goal, interleave, main, type Options, ratio } from "./harness.ts";
import { type Report, wallPerOp } from "./harness.ts";

const batches = [1, 8, 64, 256];
const limits: Readonly<Record<number, number>> = { 1: 1.2, 64: 1.15 };

type Row = {
  readonly setup: string;
  readonly batch: number;
  readonly oursNs: number;
  readonly cNs: number | null;
  readonly ratio: number | null;
  readonly oursCpuNs: number;
  readonly cCpuNs: number | null;
};

/** One process for each contestant and batch size, because what a JIT makes of one loop depends on the loops before. */
async function compare(setup: string, batch: number, program: string | null, options: Options): Promise<Row> {
  await using ours = new Contestant("ours", bun("nop", setup));
  const flags = await ours.ask();
  await using twin = program === null ? null : new Contestant("C", [program, flags]);
  const contestants = twin === null ? [ours] : [ours, twin];
  const entries = contestants.map((contestant) => ({ contestant, which: String(batch) }));
  const [mine = [], its] = await interleave(entries, options);
  return {
    setup,
    batch,
    oursNs: wallPerOp(mine),
    cNs: its === undefined ? null : wallPerOp(its),
    ratio: its === undefined ? null : ratio(mine, its),
    oursCpuNs: cpuPerOp(mine),
    cCpuNs: its === undefined ? null : cpuPerOp(its),
  };
}

/** The benchmark for the registry. */
export const nop: Bench = {
  name: "nop",
  about: "NOP round trips at batch 1, 8, 64, 256, against C on the same setup flags",
  async run(options: Options): Promise<Report> {
    const program = compile("nop");
    const goals: Goal[] = [];
    const rows: Row[] = [];
    for (const setup of ["modern", "plain"]) {
      for (const batch of batches) {
        const row = await compare(setup, batch, program, options);
        const limit = setup === "modern" ? limits[batch] : undefined;
        if (limit !== undefined && row.ratio !== null)
          goals.push({ what: `ours / C at batch ${batch}`, got: row.ratio, limit, atMost: true });
        rows.push(row);
      }
    }
    return {
      name: "nop",
      title: "NOP round trips, ns per operation (median of interleaved slices)",
      columns: [
        { key: "setup", head: "setup" },
        { key: "batch", head: "batch" },
        { key: "oursNs", head: "ours", digits: 1 },
        { key: "cNs", head: "C -O2", digits: 1 },
        { key: "ratio", head: "ours / C", digits: 3 },
        { key: "oursCpuNs", head: "ours, CPU", digits: 1 },
        { key: "cCpuNs", head: "C, CPU", digits: 1 },
      ],
      rows,
      goals,
      notes: program === null ? [noCompiler] : [],
    };
  },
};

if (import.meta.main) await main([nop]);
