/** What is asked of the ring and what is not, as the ring's own counts tell; and what becomes of it when the ring closes. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { getEventListeners } from "node:events";
import { constants, existsSync, mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { io } from "../../src/async/io.ts";
import * as fs from "../../src/fs/index.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { has, needs } from "../support/kernel.ts";
import { patience } from "../support/patience.ts";

setDefaultTimeout(10_000 * patience);

const directory = scratchDirectory();
const at = (name: string): string => join(directory, name);
const text = "what is asked of the ring";
for (const name of ["file", "old", "left"]) writeFileSync(at(name), text);
mkdirSync(at("empty"));

/** How many entries the ring took while something was done. */
async function entriesOf(act: () => Promise<unknown>): Promise<number> {
  const before = io.stats().submitted;
  await act();
  return io.stats().submitted - before;
}

/** The files below the directory that this process has open. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(directory) ? [target.slice(directory.length + 1)] : [];
    } catch {
      return [];
    }
  });
}

/** The functions, the operations each needs, what is done, and how many entries that takes at least. */
const asked: readonly [name: string, operations: readonly string[], act: () => Promise<unknown>, entries: number][] = [
  ["readFile", ["OPENAT", "READ"], () => fs.readFile(at("file")), 4],
  ["writeFile", ["OPENAT", "WRITE"], () => fs.writeFile(at("written"), text), 3],
  ["writeFile with flush", ["OPENAT", "FSYNC"], () => fs.writeFile(at("written"), text, { flush: true }), 4],
  ["appendFile", ["OPENAT", "WRITE"], () => fs.appendFile(at("written"), text), 3],
  ["stat", ["STATX"], () => fs.stat(at("file")), 1],
  ["lstat", ["STATX"], () => fs.lstat(at("file")), 1],
  ["mkdir", ["MKDIRAT"], () => fs.mkdir(at("directory")), 1],
  ["rmdir", ["UNLINKAT"], () => fs.rmdir(at("empty")), 1],
  ["symlink", ["SYMLINKAT"], () => fs.symlink("file", at("symlink")), 1],
  ["link", ["LINKAT"], () => fs.link(at("file"), at("link")), 1],
  ["rename", ["RENAMEAT"], () => fs.rename(at("old"), at("renamed")), 1],
  ["unlink", ["UNLINKAT"], () => fs.unlink(at("left")), 1],
];

describe("the ring is asked", () => {
  for (const [name, operations, act, entries] of asked) {
    needs(operations.map((operation) => `IORING_OP_${operation}`))(`by ${name}()`, async () => {
      expect(await entriesOf(act)).toBeGreaterThanOrEqual(entries);
    });
  }

  needs(["IORING_OP_OPENAT", "IORING_OP_STATX"])("by a FileHandle", async () => {
    // The first handle of all is Bun's to make.
    await (await fs.open(at("file"))).close();
    const handle = await fs.open(at("handled"), "w+");
    const bytes = Buffer.from(text);
    const room = Buffer.alloc(bytes.length);
    const done: Record<string, number> = {};
    const count = async (name: string, act: () => Promise<unknown>): Promise<void> => {
      done[name] = await entriesOf(act);
    };
    await count("write", () => handle.write(bytes, 0, bytes.length, 0));
    await count("writev", () => handle.writev([bytes, bytes], 0));
    await count("read", () => handle.read(room, 0, room.length, 0));
    await count("read here", () => handle.read(room));
    await count("readv", () => handle.readv([room], 0));
    await count("stat", () => handle.stat());
    await count("sync", () => handle.sync());
    await count("datasync", () => handle.datasync());
    if (has("IORING_OP_FTRUNCATE")) await count("truncate", () => handle.truncate(3));
    await count("close", () => handle.close());
    expect(Object.entries(done).filter(([, entries]) => entries < 1)).toEqual([]);
    expect(room.toString()).toBe(text);
    expect(openFiles()).toEqual([]);
  });
});

describe("the ring is not asked", () => {
  test.each<[string, () => Promise<unknown>]>([
    ["for what is no plain path", () => fs.stat(Buffer.from([...Buffer.from(`${directory}/`), 0xff])).catch(String)],
    ["for what is refused", () => fs.open(at("file"), "no flag").catch(String)],
    [
      "with a signal that was aborted before",
      () => fs.readFile(at("file"), { signal: AbortSignal.abort() }).catch(String),
    ],
    ["for what it cannot do", () => fs.readdir(directory)],
    [
      "for a resizable buffer",
      () => fs.writeFile(at("written"), new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 }))),
    ],
  ])("%s", async (_, act) => {
    expect(await entriesOf(act)).toBe(0);
  });
});

describe("readFile()", () => {
  test("has no more files open than it has places for", async () => {
    const content = pattern(3000);
    for (let i = 0; i < 300; i++) writeFileSync(at(`many-${i}`), content);
    let most = 0;
    const reads = Array.from({ length: 300 }, async (_, i) => {
      const read = await fs.readFile(at(`many-${i}`));
      most = Math.max(most, openFiles().length);
      return read;
    });
    expect((await Promise.all(reads)).every((read) => read.equals(content))).toBe(true);
    expect(most).toBeLessThanOrEqual(64);
    expect(openFiles()).toEqual([]);
  });

  test.each([0, 1, 65_535, 65_536, 65_537, 300_000, 1_000_001])("reads %d bytes", async (length) => {
    const content = pattern(length);
    writeFileSync(at("long"), content);
    const read = await fs.readFile(at("long"));
    expect(read.equals(content)).toBe(true);
    expect([read.buffer.byteLength, read.byteOffset]).toEqual([length, 0]);
    expect(await fs.readFile(at("long"), "latin1")).toBe(content.toString("latin1"));
  });

  test("reads what has no length to look for", async () => {
    expect(statSync("/proc/self/maps").size).toBe(0);
    expect(await fs.readFile("/proc/self/cmdline", "latin1")).toBe(await Bun.file("/proc/self/cmdline").text());
    expect((await fs.readFile("/proc/kallsyms")).length).toBeGreaterThan(65_536);
  });

  test("waits for somebody to write to a FIFO, and for its end", async () => {
    expect(Bun.spawnSync(["mkfifo", at("fifo")]).exitCode).toBe(0);
    const content = pattern(200_000);
    const reading = fs.readFile(at("fifo"));
    await Bun.sleep(20);
    expect(Bun.peek.status(reading)).toBe("pending");
    await fs.writeFile(at("fifo"), content);
    expect((await reading).equals(content)).toBe(true);
    expect(openFiles()).toEqual([]);
  });

  test("and writeFile() do so in the other order, too", async () => {
    const writing = fs.writeFile(at("fifo"), text);
    await Bun.sleep(20);
    expect(Bun.peek.status(writing)).toBe("pending");
    expect(await fs.readFile(at("fifo"), "utf8")).toBe(text);
    await writing;
  });
});

describe("writeFile()", () => {
  test("leaves nothing of what was there, and makes what was not", async () => {
    for (const [before, after] of [
      ["long before", "short"],
      ["short", "longer than before"],
      ["some", ""],
      ["", "some"],
    ]) {
      writeFileSync(at("over"), before as string);
      await fs.writeFile(at("over"), after as string);
      expect(await fs.readFile(at("over"), "utf8")).toBe(after as string);
    }
    await fs.writeFile(at("new"), text, { mode: 0o640 });
    expect((statSync(at("new")).mode & 0o777).toString(8)).toBe((0o640 & ~process.umask()).toString(8));
    await fs.symlink(at("target"), at("dangling"));
    await fs.writeFile(at("dangling"), text);
    expect(await fs.readFile(at("target"), "utf8")).toBe(text);
  });

  test("writes much, from a buffer that nobody else keeps", async () => {
    const writes = Array.from({ length: 8 }, (_, i) => fs.writeFile(at(`kept-${i}`), pattern(400_000 + i, i + 1)));
    Bun.gc(true);
    for (let i = 0; i < 50; i++) Buffer.alloc(400_000).fill(0xee);
    Bun.gc(true);
    await Promise.all(writes);
    for (let i = 0; i < 8; i++) {
      expect((await fs.readFile(at(`kept-${i}`))).equals(pattern(400_000 + i, i + 1))).toBe(true);
    }
  });
});

describe("a signal", () => {
  /** How a promise is rejected, and how long that takes, when a signal aborts in a moment. */
  async function aborted(act: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
    const controller = new AbortController();
    const promise = act(controller.signal).catch(({ name, code }: { name: string; code: string }) => [name, code]);
    await Bun.sleep(10);
    expect(Bun.peek.status(promise)).toBe("pending");
    controller.abort();
    return promise;
  }

  test("ends what waits for a FIFO's other end", async () => {
    expect(await aborted((signal) => fs.readFile(at("fifo"), { signal }))).toEqual(["AbortError", "ABORT_ERR"]);
    expect(await aborted((signal) => fs.writeFile(at("fifo"), text, { signal }))).toEqual(["AbortError", "ABORT_ERR"]);
    expect(openFiles()).toEqual([]);
  });

  test("ends what waits for more of a FIFO, or for room in it", async () => {
    const handle = await fs.open(at("fifo"), "r+");
    await handle.write("something");
    expect(await aborted((signal) => fs.readFile(at("fifo"), { signal }))).toEqual(["AbortError", "ABORT_ERR"]);
    const much = Buffer.alloc(1_000_000);
    expect(await aborted((signal) => fs.writeFile(at("fifo"), much, { signal }))).toEqual(["AbortError", "ABORT_ERR"]);
    await handle.close();
    expect(openFiles()).toEqual([]);
  });

  test("ends what has a place and what waits for one", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const reads = Array.from({ length: 300 }, () =>
      fs.readFile(at("file"), { signal }).catch(({ code }) => code as string),
    );
    controller.abort();
    expect(new Set(await Promise.all(reads))).toEqual(new Set(["ABORT_ERR"]));
    expect(openFiles()).toEqual([]);
  });

  test("is let go of when it is over", async () => {
    const { signal } = new AbortController();
    await fs.readFile(at("file"), { signal, encoding: "utf8" });
    await fs.writeFile(at("written"), text, { signal });
    await fs.readFile(at("missing"), { signal }).catch(() => undefined);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("closing the ring", () => {
  test("settles what is under way and closes its files", async () => {
    await (await fs.open(at("file"))).close();
    const handle = await fs.open(at("file"));
    const pending = [
      fs.readFile(at("fifo")),
      fs.open(at("fifo")),
      ...Array.from({ length: 200 }, () => fs.readFile(at("file"))),
      ...Array.from({ length: 20 }, (_, i) => fs.writeFile(at(`closing-${i}`), text)),
      fs.stat(at("file")),
      handle.close(),
    ];
    const settled = Promise.allSettled(pending);
    await Bun.sleep(5);
    await io.close();
    await settled;
    expect(openFiles()).toEqual([]);
    // The next request makes another ring.
    expect(await fs.readFile(at("file"), "utf8")).toBe(text);
    expect((await fs.stat(at("file"))).size).toBe(text.length);
  });

  test("leaves what waits for a place to the next ring", async () => {
    mkdirSync(at("waiting"), { recursive: true });
    const writes = Array.from({ length: 400 }, (_, i) => fs.writeFile(at(`waiting/${i}`), text));
    // Those that the ring had are rejected before it is closed.
    const settled = Promise.allSettled(writes);
    await io.close();
    const outcomes = await settled;
    const written = outcomes.filter(({ status }, i) => status === "fulfilled" && existsSync(at(`waiting/${i}`)));
    expect(written.length).toBeGreaterThan(300);
    expect(openFiles()).toEqual([]);
  });
});

test("open() passes O_* on, close-on-exec", async () => {
  const handle = await fs.open(at("flagged"), constants.O_RDWR | constants.O_CREAT | constants.O_APPEND);
  const info = await fs.readFile(`/proc/self/fdinfo/${handle.fd}`, "utf8");
  const flags = Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? "", 8);
  const O_CLOEXEC = 0o2000000;
  expect(flags & (constants.O_RDWR | constants.O_APPEND | O_CLOEXEC)).toBe(
    constants.O_RDWR | constants.O_APPEND | O_CLOEXEC,
  );
  await handle.close();
});
