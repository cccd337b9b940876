/** The generator's files inside the project: what is read from them and where they are. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestSource } from "./coverage.ts";
import type { LibrarySource } from "./reference.ts";
import type { Notes } from "./constants.ts";
import type { Messages } from "./errno.ts";
import { compareKernels } from "./facts.ts";
import type { Facts } from "./facts.ts";
import type { Measurements } from "./matrix.ts";
import type { OperationNotes } from "./operations.ts";
import type { PrepSource } from "./signatures.ts";
import type { SinceTable } from "./since.ts";

/** The project's root folder. */
export const ROOT: string = join(import.meta.dir, "..");

/** Where the prep functions live, below the root. */
export const PREP_FOLDER = "src/ring/prep";

/** The path of a kernel's facts, below the root. */
export function factsPath(kernel: string): string {
  return `gen/facts/${kernel}.json`;
}

/** Everything that generated files are made from. */
export interface Inputs {
  /** Oldest first; the last is the one that constants and layouts come from. */
  readonly kernels: readonly Facts[];
  readonly since: SinceTable;
  readonly notes: Notes;
  readonly operations: OperationNotes;
  readonly messages: Messages;
  /** What kernels answered that were booted. */
  readonly measured: Measurements;
  readonly preps: readonly PrepSource[];
  /** The library's files, for what is public and how it is described. */
  readonly library: readonly LibrarySource[];
  /** The tests that need a kernel. */
  readonly tests: readonly TestSource[];
  /** README.md's text, or null before there is one. */
  readonly readme: string | null;
}

async function json<T>(path: string): Promise<T> {
  try {
    return (await Bun.file(join(ROOT, path)).json()) as T;
  } catch (error) {
    throw new Error(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The committed facts, oldest kernel first. */
export async function readKernels(): Promise<Facts[]> {
  const files = await readdir(join(ROOT, "gen/facts")).catch(() => []);
  const kernels = files.filter((f) => f.endsWith(".json")).map((f) => f.slice(0, -".json".length));
  return Promise.all(kernels.toSorted(compareKernels).map((kernel) => json<Facts>(factsPath(kernel))));
}

/** The prep functions' source files, in the order of their names. */
export async function readPreps(folder: string = join(ROOT, PREP_FOLDER)): Promise<PrepSource[]> {
  const files = (await readdir(folder).catch(() => [])).filter((f) => f.endsWith(".ts")).toSorted();
  return Promise.all(files.map(async (file) => ({ file, text: await Bun.file(join(folder, file)).text() })));
}

/** The files of a pattern, by path. The builders are read as they will be: their prep functions are the source. */
async function readAll(pattern: string): Promise<{ path: string; text: string }[]> {
  const paths = [...new Bun.Glob(pattern).scanSync(ROOT)].toSorted();
  return Promise.all(paths.map(async (path) => ({ path, text: await Bun.file(join(ROOT, path)).text() })));
}

/** Reads all inputs. */
export async function readInputs(): Promise<Inputs> {
  const readme = Bun.file(join(ROOT, "README.md"));
  return {
    kernels: await readKernels(),
    since: await json("gen/since.json"),
    notes: await json("gen/notes.json"),
    operations: await json("gen/operations.json"),
    messages: await json("gen/messages.json"),
    measured: await json("test/matrix/measured.json"),
    preps: await readPreps(),
    library: await readAll("src/**/*.ts"),
    tests: await readAll("test/{kernel,register,ring}/**/*.test.ts"),
    readme: (await readme.exists()) ? await readme.text() : null,
  };
}
