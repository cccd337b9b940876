/** Making, reading and removing directories. */
import { type Dirent, existsSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { type Cases, each, type Fs, settle } from "../harness.ts";
import { encodings, notOptions, notPaths, numbers } from "./values.ts";

/** The order of a directory is the file system's. */
function sorted<T>(values: readonly T[]): T[] {
  const key = (value: unknown): string => {
    const { name, parentPath } = value as { name?: unknown; parentPath?: unknown };
    return `${parentPath ?? ""}/${name ?? value}`;
  };
  return values.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** What readdir gives, in an order. */
async function listed(fs: Fs, path: unknown, options?: unknown): Promise<unknown> {
  return sorted(await fs.readdir(path, options));
}

/** Making directories. */
export const mkdir: Cases = {
  "mkdir() makes a directory": async (fs, dir) => [
    await settle(() => fs.mkdir(`${dir}/new`)),
    await settle(() => fs.mkdir(`${dir}/new/er`)),
    await settle(() => fs.mkdir(`${dir}/slash/`)),
    await settle(() => fs.mkdir(`${dir}/sub/../dots`)),
  ],
  "mkdir() where it cannot": (fs, dir) =>
    each(
      ["sub", "hello.txt", "missing/new", "hello.txt/new", "link", "dangling", "", ".", "..", "sub/", "sub/."],
      (name) => fs.mkdir(`${dir}/${name}`),
    ),
  "mkdir() recursively tells the first that it made": (fs, dir) =>
    each(
      [
        "a/b/c",
        "a/b/c",
        "a/b/d/e",
        "sub/x",
        "sub",
        "vacant/y/",
        "./p/./q",
        "p/../r/s",
        "dirlink/t",
        "z//double//slash",
      ],
      (name) => fs.mkdir(`${dir}/${name}`, { recursive: true }),
    ),
  "mkdir() recursively where it cannot": (fs, dir) =>
    each(["hello.txt", "hello.txt/x", "hello.txt/x/y", "link/x", "dangling", "dangling/x", ""], (name) =>
      fs.mkdir(`${dir}/${name}`, { recursive: true }),
    ),
  "mkdir() recursively of the root and relative paths": async (fs, dir) => {
    const before = process.cwd();
    process.chdir(dir);
    try {
      return await each(["/", ".", "..", "rel/a", "./rel/b", "sub/../rel2"], (path) =>
        fs.mkdir(path, { recursive: true }),
      );
    } finally {
      process.chdir(before);
    }
  },
  "mkdir() with modes": async (fs, dir) => {
    const modes = [0o700, 0o1777, 0o7777, 0, "750", "0o700", undefined, null];
    const endings = [];
    for (const [i, mode] of modes.entries()) {
      endings.push(await settle(() => fs.mkdir(`${dir}/m${i}`, mode)));
      endings.push(await settle(() => fs.mkdir(`${dir}/n${i}`, { mode })));
      if (mode !== 0) endings.push(await settle(() => fs.mkdir(`${dir}/r${i}/s`, { mode, recursive: true })));
    }
    return endings;
  },
  "mkdir() with what is no mode": async (fs, dir) => [
    ...(await each(["rw", "999", ...numbers], (mode) => fs.mkdir(`${dir}/sub`, mode))),
    ...(await each(["rw", "999", ...numbers], (mode) => fs.mkdir(`${dir}/sub`, { mode }))),
  ],
  "mkdir() with recursive of the wrong kind": (fs, dir) =>
    each([undefined, null, 0, 1, "yes", {}], (recursive) => fs.mkdir(`${dir}/sub`, { recursive })),
  "mkdir() with options of the wrong kind": (fs, dir) => each(notOptions, (options) => fs.mkdir(`${dir}/sub`, options)),
  "mkdir() of what is no path": async (fs) => [
    ...(await each(notPaths, (path) => fs.mkdir(path))),
    ...(await each(notPaths, (path) => fs.mkdir(path, { recursive: true }))),
  ],
  "mkdir() of an empty path": (fs) => each([undefined, { recursive: true }], (options) => fs.mkdir("", options)),
  "mkdir() of a Buffer and a URL": (fs, dir) =>
    each([Buffer.from(`${dir}/b`), pathToFileURL(`${dir}/u`), pathToFileURL(`${dir}/r/s`)], (path) =>
      fs.mkdir(path, { recursive: true }),
    ),
  "mkdir() heeds the umask": async (fs, dir) => {
    const before = process.umask(0o077);
    try {
      await fs.mkdir(`${dir}/masked`);
      await fs.mkdir(`${dir}/masked2/masked3`, { recursive: true });
    } finally {
      process.umask(before);
    }
  },
  "mkdir() of the same many times at once": async (fs, dir) => {
    const made = await Promise.all(
      Array.from({ length: 20 }, () => fs.mkdir(`${dir}/deep/deeper/deepest`, { recursive: true })),
    );
    return made.length;
  },
};

/** Temporary directories have a name that nobody knows. */
async function made(path: Promise<string>): Promise<unknown> {
  const name = basename(await path);
  return [name.length, name.slice(0, -6), /^[A-Za-z0-9]{6}$/.test(name.slice(-6))];
}

/** Temporary directories: their names are random, so that they are taken away or renamed. */
export const mkdtemp: Cases = {
  "mkdtemp() makes a directory": async (fs, dir) => {
    const path = await fs.mkdtemp(`${dir}/tmp-`);
    await fs.rename(path, `${dir}/renamed`);
    return path.slice(0, -6);
  },
  "mkdtemp() in an encoding": async (fs, dir) => {
    const results = [];
    for (const encoding of encodings) {
      const ending = await settle(() => fs.mkdtemp(`${dir}/e-`, encoding));
      results.push(ending.how, ending.how === "resolved" ? typeof ending.value : ending.value);
      const option = await settle(() => fs.mkdtemp(`${dir}/o-`, { encoding }));
      results.push(option.how, option.how === "resolved" ? typeof option.value : option.value);
    }
    for (const name of await fs.readdir(dir)) {
      if (/^[eo]-/.test(name)) await fs.rmdir(`${dir}/${name}`);
    }
    return results;
  },
  "mkdtemp() of prefixes": async (fs, dir) => {
    const results = await each([`${dir}/ü-`, `${dir}/x`, `${dir}/sub/`, `${dir}/a XXXXXX`], (prefix) =>
      made(fs.mkdtemp(prefix)),
    );
    for (const name of await fs.readdir(dir)) {
      if (/^(ü-|x|a X)/.test(name)) await fs.rmdir(`${dir}/${name}`);
    }
    for (const name of await fs.readdir(`${dir}/sub`)) {
      if (name.length === 6) await fs.rmdir(`${dir}/sub/${name}`).catch(() => undefined);
    }
    return results;
  },
  "mkdtemp() where it cannot": async (fs, dir) => {
    // The error names the directory that it tried for.
    const endings = await each(["missing/x", "hello.txt/x", "dangling/x"], (name) => fs.mkdtemp(`${dir}/${name}`));
    return endings.map(({ how, value }) => {
      const { code, syscall, path, message } = value as NodeJS.ErrnoException;
      return [how, code, syscall, path?.slice(0, -6), message.replace(/[A-Za-z0-9]{6}'$/, "'")];
    });
  },
  "mkdtemp() of what is no prefix": (fs) =>
    each(
      notPaths.filter((path) => typeof path !== "string"),
      (path) => fs.mkdtemp(path),
    ),
  "mkdtemp() of a prefix with a null byte": (fs, dir) => settle(() => fs.mkdtemp(`${dir}/a\0b`)),
  "mkdtempDisposable() goes with its scope": async (fs, dir) => {
    const ending = await settle(async () => {
      const temporary = await fs.mkdtempDisposable(`${dir}/d-`);
      await fs.writeFile(`${temporary.path}/inside`, "x");
      const keys = Object.keys(temporary).toSorted();
      await temporary.remove();
      return [keys, existsSync(temporary.path)];
    });
    return ending;
  },
};

/** Reading directories. */
export const readdir: Cases = {
  "readdir() gives names": (fs, dir) =>
    each(["", "sub", "vacant", "dirlink", "sub/"], (name) => listed(fs, `${dir}/${name}`)),
  "readdir() with types": (fs, dir) =>
    each(["", "sub", "vacant", "dirlink", "sub/"], (name) => listed(fs, `${dir}/${name}`, { withFileTypes: true })),
  "readdir() recursively": (fs, dir) =>
    each(["", "sub", "vacant", "dirlink"], (name) => listed(fs, `${dir}/${name}`, { recursive: true })),
  "readdir() recursively with types": (fs, dir) =>
    each(["", "sub", "dirlink"], (name) => listed(fs, `${dir}/${name}`, { recursive: true, withFileTypes: true })),
  "readdir() in an encoding": async (fs, dir) => [
    ...(await each(encodings, (encoding) => listed(fs, `${dir}/sub`, encoding))),
    ...(await each(encodings, (encoding) => listed(fs, `${dir}/sub`, { encoding }))),
  ],
  "readdir() in an encoding with types": (fs, dir) =>
    each(encodings, async (encoding) => {
      const entries: Dirent[] = sorted(await fs.readdir(`${dir}/sub`, { encoding, withFileTypes: true }));
      return entries.map((entry) => [entry.name, entry.parentPath.length, entry.isDirectory()]);
    }),
  "readdir() in an encoding recursively": (fs, dir) =>
    each(["utf8", "buffer", "hex", "latin1", "nonsense"], (encoding) =>
      listed(fs, `${dir}/sub`, { encoding, recursive: true }),
    ),
  "readdir() of what is no directory": (fs, dir) =>
    each(["hello.txt", "missing", "dangling", "link", "hello.txt/", "missing/x"], async (name) => [
      await settle(() => fs.readdir(`${dir}/${name}`)),
      await settle(() => fs.readdir(`${dir}/${name}`, { withFileTypes: true })),
      await settle(() => fs.readdir(`${dir}/${name}`, { recursive: true })),
    ]),
  "readdir() of what is no path": (fs) => each(notPaths, (path) => fs.readdir(path)),
  "readdir() of an empty path": (fs) => settle(() => fs.readdir("")),
  "readdir() with options of the wrong kind": (fs, dir) =>
    each(notOptions, (options) => listed(fs, `${dir}/sub`, options)),
  "readdir() with flags of the wrong kind": async (fs, dir) => [
    ...(await each([0, 1, "x", null, {}], (recursive) => listed(fs, `${dir}/sub`, { recursive }))),
    ...(await each([0, 1, "x", null, {}], (withFileTypes) => listed(fs, `${dir}/sub`, { withFileTypes }))),
  ],
  "readdir() of a Buffer and a URL": (fs, dir) =>
    each([Buffer.from(`${dir}/sub`), pathToFileURL(`${dir}/sub`)], async (path) => [
      await listed(fs, path),
      await listed(fs, path, { withFileTypes: true }),
      await listed(fs, path, { recursive: true }),
    ]),
  "readdir() of many names": async (fs, dir) => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => fs.writeFile(`${dir}/vacant/file number ${i}`, "")));
    const found = await fs.readdir(`${dir}/vacant`);
    await fs.rm(`${dir}/vacant`, { recursive: true });
    return sorted(found);
  },
  "readdir() of strange names": async (fs, dir) => {
    const names = ["grüße", "漢字", "🙂", " ", "new\nline", "-rf", "*", "\\", "'\"", "e\u0301", "\u00e9", "..."];
    for (const name of names) await fs.writeFile(`${dir}/vacant/${name}`, name);
    return [await listed(fs, `${dir}/vacant`), await listed(fs, `${dir}/vacant`, { withFileTypes: true })];
  },
  "readdir() of names that are no UTF-8": async (fs, dir) => {
    await fs.writeFile(Buffer.concat([Buffer.from(`${dir}/vacant/`), Buffer.from([0xff, 0xfe, 0x41])]), "bytes");
    return [
      await listed(fs, `${dir}/vacant`),
      await listed(fs, `${dir}/vacant`, "buffer"),
      await listed(fs, `${dir}/vacant`, "latin1"),
    ];
  },
  "opendir() goes through a directory": async (fs, dir) => {
    const names = [];
    const directory = await fs.opendir(`${dir}/sub`);
    for await (const entry of directory) names.push(entry);
    return [sorted(names), directory.constructor.name, directory.path];
  },
  "opendir() reads one after the other": async (fs, dir) => {
    const directory = await fs.opendir(`${dir}/sub`, { bufferSize: 1 });
    const entries = [await directory.read(), await directory.read(), await directory.read(), await directory.read()];
    const ending = await settle(() => directory.close());
    return [sorted(entries.slice(0, 3)), entries[3], ending, await settle(() => directory.read())];
  },
  "opendir() of what is no directory": (fs, dir) =>
    each(["hello.txt", "missing", "dangling"], (name) => fs.opendir(`${dir}/${name}`)),
  "opendir() of what is no path": (fs) => each(notPaths, (path) => fs.opendir(path)),
  "opendir() with options of the wrong kind": async (fs, dir) => [
    // Bun takes a function for the callback of another module, and never answers.
    await each(
      notOptions.filter((options) => typeof options !== "function"),
      async (options) => (await fs.opendir(`${dir}/sub`, options)).close(),
    ),
    await each(numbers, async (bufferSize) => (await fs.opendir(`${dir}/sub`, { bufferSize })).close()),
  ],
  "glob() finds files": async (fs, dir) => {
    const found = [];
    for await (const name of fs.glob("**/*.txt", { cwd: dir })) found.push(name);
    return sorted(found);
  },
};

/** Removing. */
export const remove: Cases = {
  "rmdir() of directories": (fs, dir) =>
    each(
      ["vacant", "vacant", "sub", "hello.txt", "link", "dirlink", "dangling", "missing", "missing/x", "hello.txt/x"],
      (name) => fs.rmdir(`${dir}/${name}`),
    ),
  "rmdir() with options": async (fs, dir) => [
    ...(await each([{}, { recursive: false }, null, undefined], (options) => fs.rmdir(`${dir}/sub`, options))),
    ...(await each(notOptions, (options) => fs.rmdir(`${dir}/sub`, options))),
  ],
  "rmdir() recursively": (fs, dir) =>
    each(["vacant", "sub", "missing", "hello.txt"], (name) => fs.rmdir(`${dir}/${name}`, { recursive: true })),
  "rmdir() of what is no path": (fs) => each(notPaths, (path) => fs.rmdir(path)),
  "rm() of files": (fs, dir) =>
    each(
      ["hello.txt", "hello.txt", "link", "dangling", "dirlink", "sub", "vacant", "missing", "sub/a.txt", "sub/"],
      (name) => fs.rm(`${dir}/${name}`),
    ),
  "rm() by force": (fs, dir) =>
    each(["hello.txt", "hello.txt", "missing", "missing/x", "lines.txt/x", "sub", "vacant", "dangling"], (name) =>
      fs.rm(`${dir}/${name}`, { force: true }),
    ),
  "rm() recursively": (fs, dir) =>
    each(["sub", "missing", "hello.txt", "dirlink", "vacant", "lines.txt/x", "link"], (name) =>
      fs.rm(`${dir}/${name}`, { recursive: true }),
    ),
  "rm() recursively by force": (fs, dir) =>
    each(["sub", "sub", "missing", "missing/x", "lines.txt/x", "dangling", "hello.txt"], (name) =>
      fs.rm(`${dir}/${name}`, { recursive: true, force: true }),
    ),
  "rm() recursively leaves what links lead to": async (fs, dir) => {
    await fs.symlink("../sub", `${dir}/vacant/up`);
    await fs.symlink("..", `${dir}/vacant/round`);
    return fs.rm(`${dir}/vacant`, { recursive: true });
  },
  "rm() recursively of much": async (fs, dir) => {
    for (let i = 0; i < 10; i++) {
      await fs.mkdir(`${dir}/much/${i}/a/b/c`, { recursive: true });
      await Promise.all(Array.from({ length: 10 }, (_, k) => fs.writeFile(`${dir}/much/${i}/a/${k}`, "x")));
    }
    return fs.rm(`${dir}/much`, { recursive: true });
  },
  "rm() with options of the wrong kind": async (fs, dir) => [
    ...(await each(notOptions, (options) => fs.rm(`${dir}/missing`, options))),
    ...(await each([0, 1, "x", null, {}], (force) => fs.rm(`${dir}/missing`, { force }))),
    ...(await each([0, 1, "x", null, {}], (recursive) => fs.rm(`${dir}/sub`, { recursive }))),
    ...(await each(numbers, (maxRetries) => fs.rm(`${dir}/missing`, { maxRetries }))),
    ...(await each(numbers, (retryDelay) => fs.rm(`${dir}/missing`, { retryDelay }))),
  ],
  "rm() of what is no path": async (fs) => [
    ...(await each(notPaths, (path) => fs.rm(path))),
    ...(await each(notPaths, (path) => fs.rm(path, { recursive: true, force: true }))),
  ],
  "rm() of an empty path": (fs) =>
    each([undefined, { force: true }, { recursive: true }], (options) => fs.rm("", options)),
  "rm() of a Buffer and a URL": (fs, dir) =>
    each([Buffer.from(`${dir}/hello.txt`), pathToFileURL(`${dir}/sub`)], (path) => fs.rm(path, { recursive: true })),
  "unlink() of files": (fs, dir) =>
    each(
      ["hello.txt", "hello.txt", "link", "dangling", "dirlink", "sub", "vacant", "missing/x", "lines.txt/x", ""],
      (name) => fs.unlink(`${dir}/${name}`),
    ),
  "unlink() of what is no path": (fs) => each(notPaths, (path) => fs.unlink(path)),
  "unlink() of an open file": async (fs, dir) => {
    const handle = await fs.open(`${dir}/hello.txt`, "r+");
    await fs.unlink(`${dir}/hello.txt`);
    await handle.write("still");
    const text = (await handle.read(Buffer.alloc(12), 0, 12, 0)).buffer;
    await handle.close();
    return text;
  },
};
