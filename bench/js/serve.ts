// The contestant's side of the line protocol of bench/harness.ts; bench/c/serve.h is the same in C:
//   "check CASE"   -> "ok"                       the answers are right
//   "run CASE MS"  -> "OPS WALL_NS CPU_NS"       about MS milliseconds of it, timed here

/** One thing that a contestant can do. */
export interface Case {
  /** Shows that the answers are right, or throws. */
  check(): void | Promise<void>;
  /** About a millisecond of work; returns how many operations that was. */
  chunk(): number | Promise<number>;
}

async function run(work: Case, sliceMs: number): Promise<string> {
  const cpu = process.cpuUsage();
  const start = Bun.nanoseconds();
  let ops = 0;
  let wallNs = 0;
  do {
    const some = work.chunk();
    ops += typeof some === "number" ? some : await some;
    wallNs = Bun.nanoseconds() - start;
  } while (wallNs < sliceMs * 1e6);
  const used = process.cpuUsage(cpu);
  return `${ops} ${wallNs} ${(used.user + used.system) * 1000}`;
}

/** Answers the harness until it closes our standard input. */
export async function serve(cases: Readonly<Record<string, Case>>): Promise<void> {
  for await (const line of console) {
    if (line === "") return; // the end of the input
    const [verb, which = "", ms] = line.split(" ");
    const work = cases[which];
    if (work === undefined) throw new RangeError(`Cannot run "${line}": there is no such case`);
    if (verb === "check") {
      await work.check();
      console.log("ok");
    } else {
      console.log(await run(work, Number(ms)));
    }
  }
}
