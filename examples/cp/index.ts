/**
 * cp(1) on io_uring: `bun run examples/cp SOURCE... TARGET`.
 *
 * | file | what it does |
 * |---|---|
 * | index.ts | the command line |
 * | copier.ts | what is copied onto what, and what is refused |
 * | count.ts, progress.ts | the bar on a terminal |
 * | content.ts | the bytes: 64 blocks in flight, registered buffers, holes |
 * | files.ts | every other system call, through the ring where it has it |
 * | loop.ts | completions become promises |
 */
import { ENOTDIR, Ring } from "bun-uring";
import { complain, isRefusal, quote, strerror } from "../support/messages.ts";
import { type CommandLine, parseArguments, UsageError } from "../support/options.ts";
import { count } from "./count.ts";
import { Content } from "./content.ts";
import { Copier, type Entry } from "./copier.ts";
import { Files } from "./files.ts";
import { Loop } from "./loop.ts";
import { FilePath } from "./path.ts";
import { Progress } from "./progress.ts";

const USAGE = `Usage: bun run examples/cp [OPTION]... SOURCE DEST
  or:  bun run examples/cp [OPTION]... SOURCE... DIRECTORY
Copy SOURCE to DEST, or multiple SOURCE(s) to DIRECTORY, through io_uring.

  -p           preserve mode, ownership and timestamps
  -R, -r, --recursive
               copy directories, and symbolic links as links
      --help   display this help and exit

On a terminal the progress of a longer copy is shown.
`;

const SPELLINGS = {
  "--help": "help",
  "-p": "preserve",
  "-r": "recursive",
  "-R": "recursive",
  "--recursive": "recursive",
} as const;
type Option = (typeof SPELLINGS)[keyof typeof SPELLINGS];

/** Room for every block and every file in hand to have a request in the queue. */
const ENTRIES = 256;

/** What to copy where, as the command line says; nothing where it cannot be, which is told. */
async function entriesOf(files: Files, operands: readonly string[]): Promise<Entry[]> {
  const sources = operands.slice(0, -1).map((text) => FilePath.of(text));
  const target = FilePath.of(operands.at(-1) ?? "");
  const there = await files.stat(target, true);
  const into = typeof there !== "number" && there.isDirectory();
  if (sources.length > 1 && !into) {
    const why = typeof there === "number" ? there : -ENOTDIR;
    complain("cp", `target ${quote(target.bytes)}: ${strerror(why)}`);
    return [];
  }
  return sources.map((source) => {
    // "directory/.." has no name of its own: its content goes straight into the target.
    const inside = source.name.equals(Buffer.from("..")) ? target : target.join(source.name);
    return { source, target: into ? inside : target, fresh: false, operand: undefined };
  });
}

/** Whether two sources may have the same name where they are copied to, or one may be spread among the others. */
function collide(sources: readonly string[]): boolean {
  const names = sources.map((source) => FilePath.of(source).name.toString());
  return sources.length > 1 && (new Set(names).size < names.length || names.includes(".") || names.includes(".."));
}

/** Copies what the command line names; the exit status, or the signal that ended it. */
async function copy({ options, operands }: CommandLine<Option>): Promise<number | NodeJS.Signals> {
  using ring = new Ring(ENTRIES, { modern: true });
  const loop = new Loop(ring);
  const progress = new Progress();
  const files = new Files(loop);
  const copier = new Copier(loop, files, new Content(loop, progress), progress, {
    recursive: options.has("recursive"),
    preserve: options.has("preserve"),
    colliding: collide(operands.slice(0, -1)),
  });
  let signal: NodeJS.Signals | undefined;
  const stop = (which: NodeJS.Signals): void => {
    signal = which;
    loop.stop();
  };
  // The second signal of a kind finds no handler and ends the program as usual.
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const work = async (): Promise<void> => {
    const entries = await entriesOf(files, operands);
    if (entries.length === 0) copier.fine = false;
    const sources = entries.map(({ source }) => source);
    if (progress.shown) void count(files, sources, options.has("recursive"), progress);
    await copier.copy(entries);
  };
  await loop.run(work(), () => progress.draw());
  process.off("SIGINT", stop).off("SIGTERM", stop);
  if (signal === undefined) {
    progress.finish();
    return copier.fine ? 0 : 1;
  }
  progress.clear();
  complain("cp", `stopped by ${signal}: not everything is copied`);
  return signal;
}

function explain(error: UsageError): number {
  complain("cp", `${error.message}\nTry 'cp --help' for more information.`);
  return 1;
}

async function main(): Promise<number | NodeJS.Signals> {
  try {
    const line = parseArguments(process.argv.slice(2), SPELLINGS);
    if (line.options.has("help")) {
      process.stdout.write(USAGE);
      return 0;
    }
    const [first, second] = line.operands;
    if (first === undefined) throw new UsageError("missing file operand");
    if (second === undefined) throw new UsageError(`missing destination file operand after ${quote(first)}`);
    return await copy(line);
  } catch (error) {
    if (error instanceof UsageError) return explain(error);
    if (!isRefusal(error)) throw error;
    complain("cp", error.message);
    return 1;
  }
}

const outcome = await main();
// Whoever started it learns that a signal ended it, as of any program.
if (typeof outcome === "string") process.kill(process.pid, outcome);
else process.exitCode = outcome;
