// Small files: files.ts ours|node|bun DIRECTORY. The case says what is done, and how many at a time.
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { type Case, serve } from "./serve.ts";

/** What the contestants do. */
interface Contestant {
  readFile(path: string): Promise<Uint8Array>;
  /** The size of a file. */
  stat(path: string): Promise<number>;
  /** Writes a file and has it on the disk, or undefined where there is no way to do that. */
  readonly writeFile: ((path: string, data: Uint8Array) => Promise<unknown>) | undefined;
}

const [, , which = "", directory = ""] = process.argv;

async function contestant(): Promise<Contestant> {
  if (which === "bun") {
    return {
      readFile: (path) => Bun.file(path).bytes(),
      stat: async (path) => (await Bun.file(path).stat()).size,
      writeFile: undefined,
    };
  }
  const fs = which === "ours" ? await ours() : await import("node:fs/promises");
  return {
    readFile: (path) => fs.readFile(path),
    stat: async (path) => (await fs.stat(path)).size,
    writeFile: (path, data) => fs.writeFile(path, data, { flush: true }),
  };
}

async function ours(): Promise<typeof import("bun-uring/fs")> {
  const fs = await import("bun-uring/fs");
  if (fs.backend() !== "uring") throw new Error("Cannot compare: there is no io_uring here");
  return fs;
}

const source = join(directory, "source");
const target = join(directory, which);
mkdirSync(target, { recursive: true });
const paths = readdirSync(source)
  .sort()
  .map((name) => join(source, name));
const targets = Array.from({ length: 1000 }, (_, i) => join(target, String(i)));
const content = readFileSync(paths[0] ?? "");
const { readFile, stat, writeFile } = await contestant();

let cursor = 0;

function next(list: readonly string[]): string {
  return list[cursor++ % list.length] as string;
}

async function write(): Promise<void> {
  const path = next(targets);
  await writeFile?.(path, content);
}

async function lane(count: number, act: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i++) await act();
}

/** `act` again and again, so many at a time; `right` is one whose result is looked at. */
function work(inFlight: number, each: number, act: () => Promise<unknown>, right: () => Promise<boolean>): Case {
  return {
    async chunk(): Promise<number> {
      await Promise.all(Array.from({ length: inFlight }, () => lane(each, act)));
      return inFlight * each;
    },
    async check(): Promise<void> {
      for (let i = 0; i < 64; i++) if (!(await right())) throw new Error("a result is wrong");
    },
  };
}

async function readsRight(): Promise<boolean> {
  const path = next(paths);
  return Buffer.compare(await readFile(path), readFileSync(path)) === 0;
}

async function statsRight(): Promise<boolean> {
  const path = next(paths);
  return (await stat(path)) === statSync(path).size;
}

async function writesRight(): Promise<boolean> {
  const path = next(targets);
  await writeFile?.(path, content);
  return Buffer.compare(readFileSync(path), content) === 0;
}

await serve({
  "readFile-32": work(32, 10, () => readFile(next(paths)), readsRight),
  "readFile-1": work(1, 100, () => readFile(next(paths)), readsRight),
  "stat-32": work(32, 20, () => stat(next(paths)), statsRight),
  "stat-1": work(1, 200, () => stat(next(paths)), statsRight),
  "writeFile-16": work(16, 1, write, writesRight),
});
