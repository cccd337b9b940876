/** The shape of `bun-uring/fs`: it exports what `node:fs/promises` does, and types say that one can stand for the other. */
import { describe, expect, test } from "bun:test";
import * as oracle from "node:fs/promises";
import * as subject from "../../src/fs/index.ts";
import { expectedBackend } from "../support/backend.ts";

/** What the module has beside what it is shaped after. */
const ADDITIONS = ["backend"];

type Ours = typeof import("bun-uring/fs");
type Theirs = typeof import("node:fs/promises");

describe("bun-uring/fs", () => {
  test("exports what node:fs/promises does, and backend()", () => {
    expect(Object.keys(subject).toSorted()).toEqual([...Object.keys(oracle), ...ADDITIONS].toSorted());
  });

  test("has a default export with the same", () => {
    const ours: Record<string, unknown> = { ...subject.default };
    const theirs = (oracle as unknown as { default: object }).default;
    expect(Object.keys(ours).toSorted()).toEqual(Object.keys(theirs).toSorted());
    for (const [name, member] of Object.entries(ours)) {
      expect(member).toBe((subject as unknown as Record<string, unknown>)[name]);
    }
  });

  test("has functions where functions are, and the very constants", () => {
    const ours: Record<string, unknown> = { ...subject };
    const theirs: Record<string, unknown> = { ...oracle };
    const kinds = Object.entries(theirs).map(([name, member]) => [name, typeof member]);
    expect(kinds).toEqual(Object.keys(oracle).map((name) => [name, typeof ours[name]]));
    expect(subject.constants).toEqual(oracle.constants);
  });

  test("has functions with their names", () => {
    const named = (module: object): string[] =>
      Object.entries(module as Record<string, unknown>)
        .filter(([name, member]) => typeof member === "function" && !ADDITIONS.includes(name))
        .map(([name, member]) => `${name} is called ${(member as { name: string }).name}`);
    const own = named(subject).filter((line) => !/^(\w+) is called \1$/.test(line));
    const theirs = new Set(named(oracle));
    expect(own.filter((line) => !theirs.has(line))).toEqual([]);
  });

  test("backend() says what the functions run on", () => {
    expect(subject.backend()).toBe(expectedBackend);
  });

  test("is taken for node:fs/promises by the compiler", () => {
    // What is checked here is checked by `bun check`: that these assignments are allowed.
    const whole: Omit<Theirs, "default"> = subject;
    const substitute: Ours = subject;
    const open: Theirs["open"] = subject.open;
    const readFile: Theirs["readFile"] = subject.readFile;
    const writeFile: Theirs["writeFile"] = subject.writeFile;
    const stat: Theirs["stat"] = subject.stat;
    const readdir: Theirs["readdir"] = subject.readdir;
    const mkdir: Theirs["mkdir"] = subject.mkdir;
    const said: "uring" | "bun" = subject.backend();
    const members: readonly unknown[] = [open, readFile, writeFile, stat, readdir, mkdir, substitute.backend];
    expect(members.every((member) => typeof member === "function")).toBe(true);
    expect([typeof whole.rm, typeof said]).toEqual(["function", "string"]);
  });

  test("gives what the compiler says it gives", async () => {
    const text: string = await subject.readFile(import.meta.path, "utf8");
    const bytes: Buffer = await subject.readFile(import.meta.path);
    const size: number = (await subject.stat(import.meta.path)).size;
    const bigSize: bigint = (await subject.stat(import.meta.path, { bigint: true })).size;
    await using handle: oracle.FileHandle = await subject.open(import.meta.path, "r");
    const { bytesRead }: { bytesRead: number } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const names: string[] = await subject.readdir(import.meta.dir);
    expect([Buffer.byteLength(text), bytes.length, Number(bigSize), bytesRead]).toEqual([size, size, size, 4]);
    expect(names).toContain("shape.test.ts");
  });
});

describe("a FileHandle of bun-uring/fs", () => {
  const members = (it: object): string[] => {
    const names = new Set<string>();
    for (let its = it; its !== Object.prototype; its = Object.getPrototypeOf(its) as object) {
      for (const name of Reflect.ownKeys(its)) names.add(String(name));
    }
    return [...names].toSorted();
  };

  test("has every member of node:fs/promises'", async () => {
    await using ours = await subject.open("/dev/null", "r");
    await using theirs = await oracle.open("/dev/null", "r");
    expect(members(ours)).toEqual(expect.arrayContaining(members(theirs)));
  });

  test("is called what node:fs/promises' is", async () => {
    await using ours = await subject.open("/dev/null", "r");
    await using theirs = await oracle.open("/dev/null", "r");
    expect([ours.constructor.name, Object.prototype.toString.call(ours)]).toEqual([
      theirs.constructor.name,
      Object.prototype.toString.call(theirs),
    ]);
  });
});

describe("of the same file", () => {
  const paths = [import.meta.path, import.meta.dir, "/", "/proc", "/dev/null", "/dev/full", process.execPath];

  test.each(paths)("%s stat() and lstat() tell the same to the last field", async (path) => {
    for (const options of [{}, { bigint: true }]) {
      const [ours, theirs] = await Promise.all([subject.stat(path, options), oracle.stat(path, options)]);
      expect({ ...ours }).toEqual({ ...theirs });
      const [our, their] = await Promise.all([subject.lstat(path, options), oracle.lstat(path, options)]);
      expect({ ...our }).toEqual({ ...their });
    }
  });
});
