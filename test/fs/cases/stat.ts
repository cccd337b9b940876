/** What files are: `stat` and its relatives, and changing permissions, owners and times. */
import { constants } from "node:fs";
import { pathToFileURL } from "node:url";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { LONG_AGO } from "../tree.ts";
import { notOptions, notPaths, notSignals, numbers } from "./values.ts";

const { F_OK, R_OK, W_OK, X_OK } = constants;
const targets = ["hello.txt", "empty.txt", "large.bin", "sub", "vacant", "link", "dirlink", "dangling", "sub/b.txt"];
const notThere = ["missing", "missing/x", "hello.txt/x", "hello.txt/", "link/", "", "dangling/x", "vacant/.."];

const byTarget: Cases = Object.fromEntries(
  ["stat", "lstat"].flatMap((name) =>
    targets.map((target) => [
      `${name}() of ${target}`,
      (fs: Fs, dir: string) =>
        each([undefined, {}, { bigint: false }, { bigint: true }, { bigint: 1 }, null], (options) =>
          fs[name as "stat"](`${dir}/${target}`, options),
        ),
    ]),
  ),
);

const bad: Cases = Object.fromEntries(
  (["stat", "lstat", "statfs", "access", "realpath", "readlink"] as const).flatMap((name) => [
    [`${name}() of what is no path`, (fs: Fs) => each(notPaths, (path) => fs[name](path))],
    [`${name}() of what is not there`, (fs: Fs, dir: string) => each(notThere, (path) => fs[name](`${dir}/${path}`))],
    [
      `${name}() with options of the wrong kind`,
      (fs: Fs, dir: string) => each(notOptions, (options) => fs[name](`${dir}/link`, options)),
    ],
    [`${name}() without arguments`, (fs: Fs) => settle(() => fs[name]())],
    [
      `${name}() of a Buffer and a URL`,
      (fs: Fs, dir: string) =>
        each(
          [Buffer.from(`${dir}/link`), pathToFileURL(`${dir}/link`), pathToFileURL(`${dir}/no file`)],
          async (path) => {
            const value = await fs[name](path);
            return name === "statfs" ? typeof value.bsize : value;
          },
        ),
    ],
  ]),
);

/** Being told of files. */
export const stat: Cases = {
  ...byTarget,
  ...bad,
  "stat() of a descriptor and a handle": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => [
      await settle(() => it.stat()),
      await settle(() => it.stat({ bigint: true })),
      await settle(() => it.stat(null)),
      await settle(() => fs.stat(it)),
      await settle(() => fs.stat(it.fd)),
    ]),
  "stat() of a handle with options of the wrong kind": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", (it) => each(notOptions, (options) => it.stat(options))),
  "stat() of a handle whose file is gone": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => {
      await fs.unlink(`${dir}/hello.txt`);
      const { nlink, size } = await it.stat();
      return [nlink, size];
    }),
  "stat() with throwIfNoEntry": (fs, dir) =>
    each([true, false, 0, null, undefined], async (throwIfNoEntry) => [
      await settle(() => fs.stat(`${dir}/missing`, { throwIfNoEntry })),
      await settle(() => fs.lstat(`${dir}/missing`, { throwIfNoEntry })),
      await settle(() => fs.stat(`${dir}/hello.txt/x`, { throwIfNoEntry })),
    ]),
  "stat() with a signal": async (fs, dir) => [
    await settle(() => fs.stat(`${dir}/hello.txt`, { signal: AbortSignal.abort() })),
    ...(await each(notSignals, (signal) => fs.stat(`${dir}/hello.txt`, { signal }))),
  ],
  "stat() gives dates": async (fs, dir) => {
    const stats = await fs.stat(`${dir}/hello.txt`);
    const big = await fs.stat(`${dir}/hello.txt`, { bigint: true });
    return [
      stats.mtime.getTime() === LONG_AGO.getTime(),
      stats.mtimeMs,
      stats.atime,
      big.mtime.getTime() === LONG_AGO.getTime(),
      big.mtimeMs,
      big.mtimeNs,
      Object.keys(stats),
      Object.keys(big),
      typeof stats.blocks,
      typeof big.blocks,
    ];
  },
  "stat() gives what prints as JSON": async (fs, dir) => {
    const told = JSON.parse(JSON.stringify(await fs.stat(`${dir}/hello.txt`)));
    return [Object.keys(told), told.size, told.mtimeMs];
  },
  "stat() of fractions of a second": async (fs, dir) => {
    await fs.utimes(`${dir}/hello.txt`, 1_000_000_000.123456, 1_000_000_000.987654);
    const { atimeMs, mtimeMs, mtime } = await fs.stat(`${dir}/hello.txt`);
    const { atimeNs, mtimeNs } = await fs.stat(`${dir}/hello.txt`, { bigint: true });
    return [atimeMs, mtimeMs, mtime, atimeNs, mtimeNs];
  },
  "stat() of times before 1970": async (fs, dir) => {
    // Bun takes a negative number for now, but not a negative date.
    const endings = [];
    for (const time of [-1.5, new Date(-1500), new Date(-86_400_250), "-5"]) {
      endings.push(await settle(() => fs.utimes(`${dir}/hello.txt`, time, time)));
      endings.push(await fs.stat(`${dir}/hello.txt`));
      endings.push(await fs.stat(`${dir}/hello.txt`, { bigint: true }));
    }
    return endings;
  },
  "stat() of devices": (fs) => each(["/dev/null", "/dev/zero", "/proc", "/"], (path) => fs.stat(path)),
  "stat() of many at once": async (fs, dir) => {
    const stats = await Promise.all(Array.from({ length: 300 }, (_, i) => fs.stat(`${dir}/${targets[i % 7]}`)));
    return stats.map((it: { size: number; isFile: () => boolean }) => it.isFile() && it.size);
  },
  "stat() sees links to a file": async (fs, dir) => {
    await fs.link(`${dir}/hello.txt`, `${dir}/second`);
    const [one, two] = [await fs.stat(`${dir}/hello.txt`), await fs.stat(`${dir}/second`)];
    return [one.ino === two.ino, one.nlink, two];
  },
  "statfs() tells of the file system": async (fs, dir) => {
    const here = await fs.statfs(dir);
    const big = await fs.statfs(dir, { bigint: true });
    const { type, bsize, blocks } = here;
    const told = Object.keys(here).map((name) => [name, typeof here[name], typeof big[name]]);
    return [here.constructor.name, big.constructor.name, type, bsize, blocks, told, big.type, await fs.statfs("/proc")];
  },
  "exists() never rejects": (fs, dir) =>
    each([...targets, ...notThere].map((name): unknown => `${dir}/${name}`).concat(notPaths), (path) =>
      fs.exists(path),
    ),
};

/** Whether something may be done. */
export const access: Cases = {
  "access() of files": (fs, dir) =>
    each(targets, (target) =>
      each([undefined, F_OK, R_OK, W_OK, X_OK, R_OK | W_OK], (mode) => fs.access(`${dir}/${target}`, mode)),
    ),
  "access() in a mode that is none": (fs, dir) =>
    each([8, 7, ...numbers], (mode) => fs.access(`${dir}/hello.txt`, mode)),
  "access() of a program": (fs) => each([F_OK, R_OK, X_OK], (mode) => fs.access("/bin/sh", mode)),
};

/** Permissions and owners. */
export const permissions: Cases = {
  "chmod() changes a mode": async (fs, dir) => [
    await settle(() => fs.chmod(`${dir}/hello.txt`, 0o600)),
    await settle(() => fs.chmod(`${dir}/sub`, 0o1711)),
    await settle(() => fs.chmod(`${dir}/empty.txt`, "4755")),
    await settle(() => fs.chmod(`${dir}/dirlink/a.txt`, 0)),
    await settle(() => fs.chmod(`${dir}/bytes.bin`, 0o7777)),
  ],
  "chmod() through a link": (fs, dir) => fs.chmod(`${dir}/link`, 0o640),
  "chmod() to what is no mode": (fs, dir) =>
    each([undefined, "rw", "999", ...numbers], (mode) => fs.chmod(`${dir}/hello.txt`, mode)),
  "chmod() of what is no path": (fs) => each(notPaths, (path) => fs.chmod(path, 0o600)),
  "chmod() of what is not there": (fs, dir) => each(notThere, (path) => fs.chmod(`${dir}/${path}`, 0o755)),
  "lchmod() is as it is": (fs, dir) =>
    each(["hello.txt", "link", "missing"], (name) => fs.lchmod(`${dir}/${name}`, 0o600)),
  "chown() and lchown() change the owner": async (fs, dir) => [
    await settle(() => fs.chown(`${dir}/hello.txt`, 1, 2)),
    await settle(() => fs.chown(`${dir}/link`, 3, 4)),
    await settle(() => fs.lchown(`${dir}/link`, 5, 6)),
    await settle(() => fs.lchown(`${dir}/dangling`, 7, 8)),
    await settle(() => fs.chown(`${dir}/sub`, 9, -1)),
    await settle(() => fs.chown(`${dir}/dangling`, 1, 1)),
  ],
  "chown() to what is nobody": async (fs, dir) => [
    ...(await each([undefined, ...numbers], (id) => fs.chown(`${dir}/hello.txt`, id, 1))),
    ...(await each([undefined, ...numbers], (id) => fs.chown(`${dir}/hello.txt`, 1, id))),
    ...(await each([undefined, ...numbers], (id) => fs.lchown(`${dir}/link`, id, 1))),
  ],
  "chown() of what is no path": (fs) => each(notPaths, (path) => fs.chown(path, 1, 1)),
  "lchown() of what is no path": (fs) => each(notPaths, (path) => fs.lchown(path, 1, 1)),
  "chown() of what is not there": async (fs, dir) => [
    await each(notThere.slice(0, -1), (path) => fs.chown(`${dir}/${path}`, 1, 1)),
    await each(notThere.slice(0, -1), (path) => fs.lchown(`${dir}/${path}`, 1, 1)),
  ],
};

const times = [
  new Date(1_000_000),
  "1234567890",
  1_234_567_890.5,
  0,
  1,
  new Date("2100-01-01"),
  4_102_444_800,
  "12.25",
];

/** Times of files. */
export const utimes: Cases = {
  "utimes() sets times": async (fs, dir) => {
    const endings = [];
    for (const time of times) {
      endings.push(await settle(() => fs.utimes(`${dir}/hello.txt`, time, 77)));
      endings.push(await fs.stat(`${dir}/hello.txt`));
      endings.push(await settle(() => fs.utimes(`${dir}/hello.txt`, 77, time)));
      endings.push(await fs.stat(`${dir}/hello.txt`));
    }
    return endings;
  },
  "utimes() of what is no time": async (fs, dir) => {
    const bad_ = [undefined, "yesterday", new Date(Number.NaN), "NaN", ...numbers];
    const endings = [];
    for (const time of bad_) {
      endings.push(await settle(() => fs.utimes(`${dir}/hello.txt`, time, 5)));
      endings.push(await settle(() => fs.utimes(`${dir}/hello.txt`, 5, time)));
      endings.push(await settle(() => fs.lutimes(`${dir}/link`, time, 5)));
      endings.push(await fs.stat(`${dir}/hello.txt`));
    }
    return endings;
  },
  "utimes() of what is no path": (fs) => each(notPaths, (path) => fs.utimes(path, 1, 1)),
  "utimes() of what is not there": (fs, dir) =>
    each(notThere.slice(0, -1), (path) => fs.utimes(`${dir}/${path}`, 1, 1)),
  "lutimes() sets the times of a link": async (fs, dir) => [
    await settle(() => fs.lutimes(`${dir}/link`, 100, 200.5)),
    await fs.lstat(`${dir}/link`),
    await fs.stat(`${dir}/link`),
    await settle(() => fs.lutimes(`${dir}/dangling`, new Date(5000), 6)),
    await fs.lstat(`${dir}/dangling`),
  ],
  "utimes() follows a link": async (fs, dir) => [
    await settle(() => fs.utimes(`${dir}/link`, 100, 200.5)),
    await fs.stat(`${dir}/link`),
    await settle(() => fs.utimes(`${dir}/dangling`, 1, 2)),
  ],
  "utimes() of a directory": async (fs, dir) => [
    await settle(() => fs.utimes(`${dir}/sub`, 100, 200)),
    (await fs.stat(`${dir}/sub`)).mtimeMs,
  ],
  "lutimes() of what is no path": (fs) => each(notPaths, (path) => fs.lutimes(path, 1, 1)),
  "lutimes() of what is not there": (fs, dir) =>
    each(notThere.slice(0, -1), (path) => fs.lutimes(`${dir}/${path}`, 1, 1)),
};
