/** `open` and what a handle is, apart from reading and writing. */
import { constants } from "node:fs";
import { pathToFileURL } from "node:url";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { notPaths, numbers } from "./values.ts";

const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, O_SYNC } = constants;

const words = ["r", "r+", "rs", "sr", "rs+", "sr+", "w", "w+", "wx", "xw", "wx+", "xw+", "a", "a+"];
const flags: readonly unknown[] = [
  ...words,
  ...["ax", "xa", "ax+", "xa+", "as", "sa", "as+", "sa+"],
  O_RDONLY,
  O_WRONLY,
  O_RDWR,
  O_RDWR | O_APPEND,
  O_RDWR | O_CREAT,
  O_WRONLY | O_CREAT | O_EXCL,
  O_WRONLY | O_TRUNC,
  O_RDWR | O_TRUNC | O_CREAT,
  O_RDONLY | O_DIRECTORY,
  O_RDONLY | O_NOFOLLOW,
  O_WRONLY | O_SYNC,
  3,
];
const notFlags = ["", "z", "R", "rw", "r ", "r++", "wa", "1", "0", "O_RDONLY", "r\0", ...numbers, undefined];

/** What can be done with a handle: whether it reads, writes, and where. */
function tried(fs: Fs, path: string, flag: unknown): Promise<unknown> {
  return settle(() =>
    opened(fs, path, flag, async (handle) => [
      await settle(() => handle.write("XY")),
      await settle(async () => (await handle.read(Buffer.alloc(3), 0, 3)).bytesRead),
      await settle(async () => (await handle.read(Buffer.alloc(3), 0, 3, 0)).buffer),
    ]),
  );
}

const byFlag: Cases = Object.fromEntries(
  flags.map((flag) => [
    `open() with the flag ${JSON.stringify(flag)}`,
    async (fs: Fs, dir: string) => [
      await tried(fs, `${dir}/hello.txt`, flag),
      await tried(fs, `${dir}/missing`, flag),
      await tried(fs, `${dir}/sub`, flag),
      await tried(fs, `${dir}/link`, flag),
      await tried(fs, `${dir}/dangling`, flag),
    ],
  ]),
);

/** Methods of a handle with arguments that an open one takes. */
const methods: readonly [name: string, ...args: unknown[]][] = [
  ["read", Buffer.alloc(4), 0, 4, 0],
  ["readv", [Buffer.alloc(4)], 0],
  ["write", "x"],
  ["write", Buffer.from("x"), 0, 1, 0],
  ["writev", [Buffer.from("x")], 0],
  ["readFile"],
  ["readFile", "utf8"],
  ["writeFile", "x"],
  ["appendFile", "x"],
  ["stat"],
  ["stat", { bigint: true }],
  ["truncate", 1],
  ["sync"],
  ["datasync"],
  ["chmod", 0o600],
  ["chown", 0, 0],
  ["utimes", 1, 2],
  ["close"],
];

/** A method of a handle, by its name. */
function call(handle: any, [name, ...args]: readonly [string, ...unknown[]]): unknown {
  return handle[name](...args);
}

const ofClosed: Cases = Object.fromEntries(
  methods.map((method) => [
    `${method[0]}(${method.length - 1} arguments) of a closed handle`,
    async (fs: Fs, dir: string) => {
      const handle = await fs.open(`${dir}/hello.txt`, "r+");
      await handle.close();
      return [handle.fd, await settle(() => call(handle, method)), await settle(() => call(handle, method))];
    },
  ]),
);

const ofClosing: Cases = Object.fromEntries(
  methods.map((method) => [
    `${method[0]}(${method.length - 1} arguments) of a handle that is being closed`,
    async (fs: Fs, dir: string) => {
      const handle = await fs.open(`${dir}/hello.txt`, "r+");
      const closing = handle.close();
      const ending = settle(() => call(handle, method));
      return [await settle(() => closing), await ending, handle.fd];
    },
  ]),
);

/** Opening. */
export const open: Cases = {
  ...byFlag,
  "open() with a bad flag": (fs, dir) => each(notFlags, (flag) => tried(fs, `${dir}/hello.txt`, flag)),
  "open() of what is no path": (fs) => each(notPaths, (path) => fs.open(path, "r")),
  "open() without arguments": (fs) => settle(() => fs.open()),
  "open() without a flag reads": (fs, dir) => tried(fs, `${dir}/hello.txt`, undefined),
  "open() of a path as a Buffer, Uint8Array and URL": (fs, dir) => {
    const path = `${dir}/hello.txt`;
    const paths = [Buffer.from(path), new Uint8Array(Buffer.from(path)), pathToFileURL(path)];
    return each(paths, (each_) => opened(fs, each_, "r", (handle) => handle.readFile("utf8")));
  },
  "open() of an empty path": (fs) => each(["", Buffer.alloc(0)], (path) => fs.open(path, "r")),
  "open() of a relative path": async (fs, dir) => {
    const before = process.cwd();
    process.chdir(dir);
    try {
      return await opened(fs, "./sub/../hello.txt", "r", (handle) => handle.readFile("utf8"));
    } finally {
      process.chdir(before);
    }
  },
  "open() with modes": async (fs, dir) => {
    const modes = [0o600, 0o777, 0o000, 0o1777, 0o7777, "644", "0640", "0o600", undefined, null];
    const endings = [];
    for (const [i, mode] of modes.entries()) {
      endings.push(await settle(async () => (await fs.open(`${dir}/mode${i}`, "w", mode)).close()));
    }
    return endings;
  },
  "open() with a bad mode": (fs, dir) =>
    each(["", "rw", "888", "0x10", "-1", " 644", ...numbers], async (mode) =>
      (await fs.open(`${dir}/moded`, "w", mode)).close(),
    ),
  "open() heeds the umask": async (fs, dir) => {
    const before = process.umask(0o077);
    try {
      await (await fs.open(`${dir}/masked`, "w", 0o666)).close();
    } finally {
      process.umask(before);
    }
  },
  "open() of what is not there": (fs, dir) =>
    each(["missing", "missing/file", "hello.txt/file", "hello.txt/", "sub/", "vacant/x"], (name) =>
      opened(fs, `${dir}/${name}`, "r", () => "open"),
    ),
  "open() with no directory to create in": (fs, dir) => settle(() => fs.open(`${dir}/missing/new`, "w")),
  "open() of a directory for writing": (fs, dir) => each(["w", "r+", "a", "wx"], (flag) => fs.open(`${dir}/sub`, flag)),
  "a handle of a directory": (fs, dir) =>
    opened(fs, `${dir}/sub`, "r", async (handle) => [
      (await handle.stat()).isDirectory(),
      await settle(() => handle.read(Buffer.alloc(4), 0, 4, 0)),
      await settle(() => handle.readFile()),
      await settle(() => handle.sync()),
      await settle(() => handle.truncate(0)),
      await settle(() => handle.write("x")),
    ]),
};

/** What a handle is. */
export const handle: Cases = {
  ...ofClosed,
  ...ofClosing,
  "a handle has a descriptor": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", (it) => [typeof it.fd, it.fd > 2, it.constructor.name, String(it)]),
  "a handle's descriptor cannot be set": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => {
      const { fd } = it;
      const ending = await settle(() => {
        it.fd = 1;
      });
      return [ending.how, it.fd === fd];
    }),
  "a handle is an emitter that tells of its close": async (fs, dir) => {
    const it = await fs.open(`${dir}/hello.txt`, "r");
    const events: string[] = [];
    it.on("close", () => events.push("on"));
    it.once("close", () => events.push("once"));
    await it.close();
    await it.close();
    return [events, it.listenerCount("close")];
  },
  "close() may be called twice at once": async (fs, dir) => {
    const it = await fs.open(`${dir}/hello.txt`, "r");
    const [first, second] = [it.close(), it.close()];
    return [await settle(() => first), await settle(() => second), it.fd, await settle(() => it.close())];
  },
  "close() waits for what is under way": async (fs, dir) => {
    const it = await fs.open(`${dir}/large.bin`, "r+");
    const reading = it.read(Buffer.alloc(100_000), 0, 100_000, 0);
    const writing = it.write(Buffer.alloc(50_000, 65), 0, 50_000, 100_000);
    const stat = it.stat();
    await it.close();
    return [(await reading).bytesRead, (await writing).bytesWritten, (await stat).isFile()];
  },
  "await using closes a handle": async (fs, dir) => {
    let kept: { fd: number };
    {
      await using it = await fs.open(`${dir}/hello.txt`, "r");
      kept = it;
      await it.read(Buffer.alloc(1));
    }
    return kept.fd;
  },
  "a handle's methods are named": async (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", (it) =>
      [...methods.map(([name]) => name), "readLines", "createReadStream", "createWriteStream", "readableWebStream"].map(
        (name) => [name, typeof it[name]],
      ),
    ),
  "handles of the same file have places of their own": async (fs, dir) => {
    await using one = await fs.open(`${dir}/lines.txt`, "r");
    await using two = await fs.open(`${dir}/lines.txt`, "r");
    await one.read(Buffer.alloc(6), 0, 6);
    const rest = (await one.read(Buffer.alloc(4), 0, 4)).buffer;
    return [rest, (await two.read(Buffer.alloc(5), 0, 5)).buffer];
  },
  "many handles at once": async (fs, dir) => {
    const handles = await Promise.all(Array.from({ length: 100 }, (_, i) => fs.open(`${dir}/many${i % 50}`, "a+")));
    await Promise.all(handles.map((it, i) => it.appendFile(`${i % 10}`)));
    await Promise.all(handles.map((it) => it.close()));
    return new Set(handles.map((it) => it.fd)).size;
  },
  "chmod(), chown() and utimes() of a handle": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      await settle(() => it.chmod(0o640)),
      await settle(() => it.chmod("600")),
      await settle(() => it.chown(1, 2)),
      await settle(() => it.utimes(100, 200)),
      await settle(() => it.utimes(new Date(1000), "300")),
      await it.stat(),
    ]),
  "chmod() of a handle with a bad mode": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", (it) => each([undefined, "rw", ...numbers], (mode) => it.chmod(mode))),
  "chown() of a handle with bad ids": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      ...(await each([undefined, ...numbers], (id) => it.chown(id, 0))),
      ...(await each([undefined, ...numbers], (id) => it.chown(0, id))),
    ]),
  "utimes() of a handle with bad times": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      ...(await each([undefined, "x", new Date(Number.NaN), ...numbers], (time) => it.utimes(time, 5))),
      ...(await each([undefined, "x", new Date(Number.NaN), ...numbers], (time) => it.utimes(5, time))),
    ]),
  "sync() and datasync() give nothing": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      await settle(() => it.sync()),
      await settle(() => it.datasync()),
    ]),
  "sync() and datasync() of what has no disk": (fs) =>
    opened(fs, "/dev/null", "r+", async (it) => [await settle(() => it.sync()), await settle(() => it.datasync())]),
};
