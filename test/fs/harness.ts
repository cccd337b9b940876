/**
 * One case, run against an implementation of `node:fs/promises` in a fresh directory, and everything that can be seen
 * of it afterwards: what it came to, what threw at once, which descriptors stayed open, and what is in the directory.
 * Two implementations are the same where two such observations are equal.
 */
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { patience } from "../support/patience.ts";
import { normaliser } from "./normal.ts";
import { prepare, type Entry, snapshot } from "./tree.ts";

/** `node:fs/promises` without its types, so that cases can pass nonsense. */
export type Fs = Readonly<Record<Name, (...args: any[]) => any>> & { readonly constants: Record<string, number> };
type Name = Exclude<keyof typeof import("node:fs/promises"), "constants" | "default"> | Unlisted;
/** What Bun's module has and its types leave out. */
type Unlisted =
  | "close"
  | "exists"
  | "fchmod"
  | "fchown"
  | "fdatasync"
  | "fstat"
  | "fsync"
  | "ftruncate"
  | "futimes"
  | "read"
  | "readv"
  | "write"
  | "writev"
  | "mkdtempDisposable";

/** What a case does: it may return anything, which is compared after normalising. */
export type Run = (fs: Fs, dir: string) => unknown;

/** A table of cases: title and what it does. */
export type Cases = Readonly<Record<string, Run>>;

/** How a call ended. */
export interface Ending {
  readonly how: "returned" | "resolved" | "rejected" | "threw" | "hung";
  readonly value?: unknown;
}

/** What there is to see of a case that was run. */
export interface Observation {
  readonly ending: Ending;
  /** The calls of the module that threw or gave something other than a promise, in their order. */
  readonly notPromises: readonly string[];
  readonly leftOpen: readonly string[];
  readonly tree: readonly Entry[];
}

/** Thousands of files are made: in memory where that can be, unless somebody says where. */
const BASE = process.env["TMPDIR"] ?? (existsSync("/dev/shm") ? "/dev/shm" : tmpdir());
/** How long a case may take: it is said to hang after that. */
const HUNG_MS = 4000 * patience;
/** How long a descriptor may take to be closed in the background. */
const CLOSING_MS = 200 * patience;

/**
 * Runs a case in a directory of its own.
 *
 * @param hungMs when to give it up.
 */
export async function observe(implementation: object, run: Run, hungMs: number = HUNG_MS): Promise<Observation> {
  const dir = mkdtempSync(join(BASE, "uring-test-fs-"));
  try {
    prepare(dir);
    const notPromises: string[] = [];
    const fs = watched(implementation, notPromises);
    const ending = await Promise.race([settle(async () => run(fs, dir)), hung(hungMs)]);
    const normal = normaliser(dir);
    const leftOpen = await stillOpen(dir);
    return { ending: normal(ending) as Ending, notPromises, leftOpen, tree: snapshot(dir) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** How a call ends: cases use it where an error is only part of what they do. */
export async function settle(call: () => unknown): Promise<Ending> {
  let value: unknown;
  try {
    value = call();
  } catch (error) {
    return { how: "threw", value: error };
  }
  if (!(value instanceof Promise)) return { how: "returned", value };
  try {
    return { how: "resolved", value: await value };
  } catch (error) {
    return { how: "rejected", value: error };
  }
}

/** How a call ends for each of several values, one after the other. */
export async function each<T>(values: Iterable<T>, call: (value: T) => unknown): Promise<Ending[]> {
  const endings: Ending[] = [];
  for (const value of values) endings.push(await settle(() => call(value)));
  return endings;
}

/** Opens a file, does something with its handle, and closes it. */
export async function opened(fs: Fs, path: unknown, flags: unknown, use: (handle: any) => unknown): Promise<unknown> {
  const handle = await fs.open(path, flags);
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

async function hung(afterMs: number): Promise<Ending> {
  const { promise, resolve } = Promise.withResolvers<Ending>();
  setTimeout(() => resolve({ how: "hung" }), afterMs).unref();
  return promise;
}

/** The module with its functions noting whatever is no promise. */
function watched(implementation: object, notPromises: string[]): Fs {
  const entries = Object.entries(implementation).map(([name, member]: [string, unknown]) => {
    if (typeof member !== "function") return [name, member];
    const noting = (...args: unknown[]): unknown => {
      try {
        const value: unknown = Reflect.apply(member, undefined, args);
        if (!(value instanceof Promise)) notPromises.push(`${name} returned`);
        return value;
      } catch (error) {
        notPromises.push(`${name} threw`);
        throw error;
      }
    };
    return [name, noting];
  });
  return Object.fromEntries(entries) as Fs;
}

/** The files below a directory that the process has open, once what is closed in the background is closed. */
async function stillOpen(dir: string): Promise<string[]> {
  const end = performance.now() + CLOSING_MS;
  for (;;) {
    const open = readdirSync("/proc/self/fd")
      .map(targetOf)
      .filter((target) => target.startsWith(dir))
      .map((target) => target.slice(dir.length));
    if (open.length === 0 || performance.now() > end) return open;
    await Bun.sleep(1);
  }
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
