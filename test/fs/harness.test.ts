/**
 * The measure itself: whatever is wrong with an implementation shows. That equal ones come out equal is what the suite
 * shows where both are Bun's own, in test/fallback.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { openSync, readFileSync, type Stats } from "node:fs";
import * as oracle from "node:fs/promises";
import { patience } from "../support/patience.ts";
import { families } from "./cases/all.ts";
import { observe, opened, type Run, settle } from "./harness.ts";

setDefaultTimeout(15_000 * patience);

/** When something is said to hang that does nothing else. */
const SOON_MS = 300 * patience;

/** An implementation that is right but for what is given. */
function wrong(parts: object): object {
  return { ...oracle, ...parts };
}

/** An error of the right kind, with one thing changed. */
async function changed(call: Promise<unknown>, change: (error: NodeJS.ErrnoException) => void): Promise<unknown> {
  return call.catch((error: NodeJS.ErrnoException) => {
    change(error);
    throw error;
  });
}

const readMissing: Run = (fs, dir) => settle(() => fs.readFile(`${dir}/missing`));

/** Something wrong, and the case that has to show it. */
const mistakes: Readonly<Record<string, readonly [implementation: object, run: Run]>> = {
  "a value": [wrong({ readFile: async () => "hello world!\n" }), (fs, dir) => fs.readFile(`${dir}/hello.txt`, "utf8")],
  "a type of bytes": [
    wrong({ readFile: async (path: string) => new Uint8Array(readFileSync(path)) }),
    (fs, dir) => fs.readFile(`${dir}/hello.txt`),
  ],
  "a field of Stats": [
    wrong({ stat: async (path: string) => Object.assign((await oracle.stat(path)) as Stats, { size: 13 }) }),
    (fs, dir) => fs.stat(`${dir}/hello.txt`),
  ],
  "a time": [wrong({ stat: async () => oracle.stat("/proc/version") }), (fs, dir) => fs.stat(`${dir}/hello.txt`)],
  "an error's code": [
    wrong({ readFile: (path: string) => changed(oracle.readFile(path), (error) => void (error.code = "EIO")) }),
    readMissing,
  ],
  "an error's errno": [
    wrong({ readFile: (path: string) => changed(oracle.readFile(path), (error) => void (error.errno = 2)) }),
    readMissing,
  ],
  "an error's syscall": [
    wrong({ readFile: (path: string) => changed(oracle.readFile(path), (error) => void (error.syscall = "read")) }),
    readMissing,
  ],
  "an error's path": [
    wrong({ readFile: (path: string) => changed(oracle.readFile(path), (error) => void (error.path = "missing")) }),
    readMissing,
  ],
  "an error's message": [
    wrong({ readFile: (path: string) => changed(oracle.readFile(path), (error) => void (error.message += "!")) }),
    readMissing,
  ],
  "an error's class": [
    wrong({
      readFile: async (path: string) =>
        oracle.readFile(path).catch((error: Error) => {
          throw Object.assign(new RangeError(error.message), error);
        }),
    }),
    readMissing,
  ],
  "throwing at once": [
    wrong({
      readFile: () => {
        throw new Error("at once");
      },
    }),
    async (fs) => (await settle(async () => fs.readFile(undefined))).how,
  ],
  "giving no promise": [
    wrong({ access: () => undefined }),
    async (fs, dir) => void (await fs.access(`${dir}/hello.txt`)),
  ],
  "never settling": [
    wrong({ access: async () => new Promise(() => undefined) }),
    (fs, dir) => fs.access(`${dir}/hello.txt`),
  ],
  "content of a file": [
    wrong({ writeFile: (path: string) => oracle.writeFile(path, "y") }),
    (fs, dir) => fs.writeFile(`${dir}/new`, "x"),
  ],
  "a file that is missing": [wrong({ writeFile: async () => undefined }), (fs, dir) => fs.writeFile(`${dir}/new`, "x")],
  "a mode": [wrong({ mkdir: (path: string) => oracle.mkdir(path, 0o700) }), (fs, dir) => fs.mkdir(`${dir}/new`)],
  "a link's target": [
    wrong({ symlink: (_: string, path: string) => oracle.symlink("elsewhere", path) }),
    (fs, dir) => fs.symlink("there", `${dir}/new`),
  ],
  "a file's time": [
    wrong({ utimes: (path: string) => oracle.utimes(path, 5, 6) }),
    (fs, dir) => fs.utimes(`${dir}/hello.txt`, 5, 5),
  ],
  "a descriptor that stays open": [
    wrong({ readFile: async (path: string) => readFileSync(openSync(path, "r")) }),
    (fs, dir) => fs.readFile(`${dir}/hello.txt`),
  ],
  "a handle": [
    wrong({
      open: async (path: string) => {
        const handle = await oracle.open(path);
        return Object.assign(handle, { read: async () => ({ bytesRead: 1, buffer: Buffer.from("x") }) });
      },
    }),
    (fs, dir) => opened(fs, `${dir}/hello.txt`, "r", (it) => it.read(Buffer.alloc(1), 0, 1)),
  ],
};

describe("observe() shows what is wrong with", () => {
  test.each(Object.entries(mistakes))("%s", async (_, [implementation, run]) => {
    const right = await observe(oracle, run, SOON_MS);
    expect(await observe(wrong({}), run, SOON_MS)).toEqual(right);
    expect(await observe(implementation, run, SOON_MS)).not.toEqual(right);
  });
});

test("there are hundreds of cases", () => {
  const titles = Object.values(families).flatMap((cases) => Object.keys(cases));
  expect(titles.length).toBeGreaterThan(600);
});
