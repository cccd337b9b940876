/**
 * The generator's command: headers to facts (gen/facts), facts to code and documents.
 * `bun run gen --help` tells how it is used.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { diffFacts } from "./diff.ts";
import { compareKernels, factsOf } from "./facts.ts";
import type { Facts, HeaderSet } from "./facts.ts";
import { fromArchive, fromPath, fromSystem } from "./headers.ts";
import { factsText, makeOutputs } from "./outputs.ts";
import { factsPath, readInputs, readKernels, ROOT } from "./project.ts";
import { compare, verifyFacts } from "./verify.ts";
import type { Verdict } from "./verify.ts";

const USAGE = `Usage: bun run gen [options]
Makes the generated files from the facts about kernels in gen/facts, offline.

  --check           write nothing; exit with 1 and name what differs from what would be made. Where Debian's archive
                    can be reached, the facts are also held against the real headers.
  --offline         leave the archive out of --check
  --header PATH     first read the facts of the headers in PATH: an include folder, or a linux/io_uring.h inside one
  --system          the same with the system's headers
  --suite SUITE     the same with linux-libc-dev of a Debian suite, e.g. trixie-backports
  --version VERSION the same with a version of it, e.g. 7.3 or 7.1.13-1~bpo13+1, in SUITE or any suite that is known
  --diff OLD NEW    print what kernel NEW brings over OLD: kernels of gen/facts (7.2) or paths as for --header
  --help            this text

With --check, a header option compares the committed facts of that kernel with those headers instead of writing them.
`;

interface Options {
  readonly check: boolean;
  readonly offline: boolean;
  readonly header: string | undefined;
  readonly system: boolean;
  readonly suite: string | undefined;
  readonly version: string | undefined;
}

/** The headers that the options name, or null when they name none. */
async function chosenHeaders(options: Options): Promise<HeaderSet | null> {
  if (options.header !== undefined) return fromPath(options.header);
  if (options.system) return fromSystem();
  if (options.suite === undefined && options.version === undefined) return null;
  return fromArchive({ suite: options.suite, version: options.version });
}

/** The facts of those headers. */
async function chosenFacts(options: Options): Promise<Facts | null> {
  const set = await chosenHeaders(options);
  if (set?.note !== undefined) console.log(set.note);
  return set && factsOf(set);
}

/** What `--diff` was given: a kernel whose facts are committed, or a path. */
async function factsNamed(word: string): Promise<Facts> {
  const kernels = await readKernels();
  const known = kernels.find((k) => k.kernel === word);
  if (known) return known;
  if (existsSync(word)) return factsOf(await fromPath(word));
  throw new Error(`${word} is neither a path nor one of ${kernels.map((k) => k.kernel).join(", ")}`);
}

async function diff(words: readonly string[]): Promise<void> {
  const [older, newer] = words;
  if (older === undefined || newer === undefined || words.length > 2) throw new Error("--diff takes two kernels");
  const lines = diffFacts(await factsNamed(older), await factsNamed(newer));
  console.log(lines.length === 0 ? `${newer} brings nothing over ${older}` : lines.join("\n"));
}

async function write(options: Options): Promise<void> {
  const facts = await chosenFacts(options);
  if (facts) {
    await Bun.write(join(ROOT, factsPath(facts.kernel)), await factsText(facts));
    console.log(`${factsPath(facts.kernel)}: ${facts.name}`);
  }
  for (const { path, text } of await makeOutputs(await readInputs())) {
    const file = Bun.file(join(ROOT, path));
    if ((await file.exists()) && (await file.text()) === text) continue;
    await Bun.write(file, text);
    console.log(`${path}: written`);
  }
}

/** Compares; returns how many things differ. */
async function check(options: Options): Promise<number> {
  const inputs = await readInputs();
  let faults = 0;
  const differs = (path: string, why: string): void => {
    faults++;
    console.error(`${path}: ${why}`);
  };
  for (const { path, text } of await makeOutputs(inputs)) {
    const file = Bun.file(join(ROOT, path));
    if (!(await file.exists())) differs(path, "does not exist: run `bun run gen`");
    else if ((await file.text()) !== text) differs(path, "differs from what is generated: run `bun run gen`");
  }
  await Promise.all(
    inputs.kernels.map(async (facts) => {
      const path = factsPath(facts.kernel);
      const text = await Bun.file(join(ROOT, path)).text();
      if (text !== (await factsText(facts))) differs(path, "is not formatted as the generator writes it");
    }),
  );
  const verdict = await verdictOf(inputs.kernels, options);
  for (const { kernel, lines } of verdict.differs) {
    differs(factsPath(kernel), ["differs from the headers:", ...lines].join("\n  "));
  }
  report(verdict, options);
  return faults;
}

async function verdictOf(kernels: readonly Facts[], options: Options): Promise<Verdict> {
  const verdict: Verdict = { agreed: [], differs: [], unavailable: new Map() };
  const derived = await chosenFacts(options);
  if (derived) {
    const committed = kernels.find((k) => k.kernel === derived.kernel);
    if (!committed) throw new Error(`gen/facts has no kernel ${derived.kernel}: add it without --check`);
    compare(committed, derived, verdict);
    return verdict;
  }
  return options.offline ? verdict : verifyFacts(kernels);
}

function report(verdict: Verdict, options: Options): void {
  const agreed = verdict.agreed.toSorted(compareKernels);
  if (agreed.length > 0) console.log(`gen/facts agrees with the headers of ${agreed.join(", ")}`);
  if (options.offline) console.log("gen/facts was not held against headers (--offline)");
  const reasons = Map.groupBy(verdict.unavailable, ([, reason]) => reason);
  for (const [reason, kernels] of reasons) {
    const list = kernels.map(([kernel]) => kernel).toSorted(compareKernels);
    console.log(`gen/facts was not held against the headers of ${list.join(", ")}: ${reason}`);
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      check: { type: "boolean", default: false },
      offline: { type: "boolean", default: false },
      header: { type: "string" },
      system: { type: "boolean", default: false },
      suite: { type: "string" },
      version: { type: "string" },
      diff: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) console.log(USAGE);
  else if (values.diff) await diff(positionals);
  else if (positionals.length > 0) throw new Error(`unexpected ${positionals[0]}: see --help`);
  else {
    const { check: checks, offline, header, system, suite, version } = values;
    const options = { check: checks, offline, header, system, suite, version };
    if (!checks) await write(options);
    else if ((await check(options)) > 0) return 1;
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
