/** What both modules say at the limits of a machine: no room, no writing, no descriptors. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bun, run } from "../support/child.ts";
import { scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { mountNamespace } from "../support/launch.ts";
import { patience } from "../support/patience.ts";

setDefaultTimeout(30_000 * patience);

const scratch = scratchDirectory();
const modules = { ours: resolve(import.meta.dir, "../../src/fs/index.ts"), theirs: "node:fs/promises" };
const mounted = needsThat(mountNamespace !== undefined, "a mount namespace");

/** Runs calls of a module one after the other under `launcher`, and gives what each said. */
function said(module: string, launcher: readonly string[], calls: readonly string[]): unknown {
  const program = `
    const fs = await import(${JSON.stringify(module)});
    const dir = ${JSON.stringify(scratch)};
    const endings = [];
    for (const call of [${calls.map((call) => `async () => ${call}`).join(",")}]) {
      try {
        endings.push(await call() ?? null);
      } catch (error) {
        endings.push({ ...error, message: error.message, fd: undefined });
      }
    }
    console.log(JSON.stringify(endings));`;
  const { stdout, stderr } = run([...launcher, ...bun, "-e", program]);
  if (!stdout.startsWith("[")) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** Runs a shell's commands first, with the directory in `$0`. */
function after(commands: string, ...launcher: readonly string[]): string[] {
  return [...launcher, "sh", "-c", `${commands} && exec "$@"`, scratch];
}

/** Expects both to say the same, and one of the errors to be this one. */
function expectTheSame(launcher: readonly string[], calls: readonly string[], code: string): void {
  const theirs = said(modules.theirs, launcher, calls);
  expect(said(modules.ours, launcher, calls)).toEqual(theirs);
  expect(theirs).toContainEqual(expect.objectContaining({ code }));
}

mounted("a file system for reading only takes nothing", () => {
  const directory = join(scratch, "readonly");
  mkdirSync(join(directory, "sub"), { recursive: true });
  writeFileSync(join(directory, "file"), "read only");
  const mount = 'mount --bind "$0/readonly" "$0/readonly" && mount -o remount,bind,ro "$0/readonly"';
  const calls = [
    'fs.readFile(dir + "/readonly/file", "utf8")',
    'fs.writeFile(dir + "/readonly/file", "x")',
    'fs.writeFile(dir + "/readonly/new", "x")',
    'fs.appendFile(dir + "/readonly/file", "x")',
    'fs.open(dir + "/readonly/file", "r+")',
    'fs.unlink(dir + "/readonly/file")',
    'fs.mkdir(dir + "/readonly/new")',
    'fs.mkdir(dir + "/readonly/new/er", { recursive: true })',
    'fs.rmdir(dir + "/readonly/sub")',
    'fs.rm(dir + "/readonly/sub", { recursive: true })',
    'fs.rename(dir + "/readonly/file", dir + "/readonly/new")',
    'fs.link(dir + "/readonly/file", dir + "/readonly/new")',
    'fs.symlink("file", dir + "/readonly/new")',
    'fs.truncate(dir + "/readonly/file", 1)',
    'fs.chmod(dir + "/readonly/file", 0o600)',
    'fs.utimes(dir + "/readonly/file", 1, 1)',
    'fs.access(dir + "/readonly/file", fs.constants.W_OK)',
    'fs.copyFile(dir + "/readonly/file", dir + "/readonly/copy")',
  ];
  expectTheSame(after(mount, ...(mountNamespace ?? [])), calls, "EROFS");
});

mounted("a file system that is full takes as much as there is room for", () => {
  mkdirSync(join(scratch, "small"));
  const calls = [
    'fs.writeFile(dir + "/small/one", Buffer.alloc(40_000, "1"))',
    'fs.writeFile(dir + "/small/two", Buffer.alloc(40_000, "2"))',
    'fs.stat(dir + "/small/two").then(({ size }) => size)',
    'fs.appendFile(dir + "/small/two", "x".repeat(10_000))',
    'fs.open(dir + "/small/one", "r+").then(async (it) => (await it.write(Buffer.alloc(60_000))).bytesWritten)',
    'fs.open(dir + "/small/one", "r+").then(async (it) => (await it.write(Buffer.alloc(9), 0, 9, 70_000)).bytesWritten)',
    'fs.open(dir + "/small/one", "a").then((it) => it.writeFile("x".repeat(9999)))',
    'fs.unlink(dir + "/small/two")',
    'fs.writeFile(dir + "/small/three", "fits")',
    'fs.readFile(dir + "/small/three", "utf8")',
    'fs.stat(dir + "/small/one").then(({ size }) => size)',
  ];
  expectTheSame(after('mount -t tmpfs -o size=64k none "$0/small"', ...(mountNamespace ?? [])), calls, "ENOSPC");
});

test("a process with all its descriptors in use opens no more", () => {
  const calls = [
    'fs.writeFile(dir + "/file", "content")',
    // The runtime gives back some that it has no more use for, a little later.
    `(async () => {
      globalThis.handles = [];
      const fill = async () => { for (;;) handles.push(await fs.open("/dev/null")); };
      await fill().catch(() => null);
      await Bun.sleep(200);
      await fill();
    })()`,
    'fs.readFile(dir + "/file", "utf8")',
    'fs.writeFile(dir + "/file", "x")',
    'fs.open(dir + "/file")',
    'fs.stat(dir + "/file").then(({ size }) => size)',
    'fs.readdir("/proc/self/task")',
    "Promise.all(handles.slice(0, 20).map((handle) => handle.close())).then(() => null)",
    'fs.readFile(dir + "/file", "utf8")',
  ];
  expectTheSame(after("ulimit -n 60"), calls, "EMFILE");
});
