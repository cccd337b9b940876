/** Names of files: links, renaming, and what a path really is; and copying. */
import { constants, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { encodings, notOptions, notPaths, numbers } from "./values.ts";

const { COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE } = constants;

/** Pairs of names that something goes from and to. */
const pairs: readonly (readonly [from: string, to: string])[] = [
  ["hello.txt", "new"],
  ["hello.txt", "lines.txt"],
  ["missing", "new2"],
  ["lines.txt", "missing/new"],
  ["lines.txt", "sub"],
  ["sub", "lines.txt"],
  ["vacant", "sub"],
  ["sub", "vacant"],
  ["lines.txt/x", "new3"],
  ["link", "new4"],
  ["dangling", "new5"],
  ["utf8.txt", "dirlink/new6"],
  ["bytes.bin", "bytes.bin"],
  ["bytes.bin", "dangling"],
  ["", "new7"],
  ["bytes.bin", ""],
  ["large.bin", "copy of large"],
];

const ofPairs: Cases = Object.fromEntries(
  (["rename", "link", "copyFile"] as const).flatMap((name) => [
    ...pairs.map(([from, to]) => [
      `${name}() from "${from}" to "${to}"`,
      (fs: Fs, dir: string) => settle(() => fs[name](`${dir}/${from}`, `${dir}/${to}`)),
    ]),
    [
      `${name}() of what are no paths`,
      async (fs: Fs, dir: string) => [
        ...(await each(notPaths, (path) => fs[name](path, `${dir}/new`))),
        ...(await each(notPaths, (path) => fs[name](`${dir}/hello.txt`, path))),
        await settle(() => fs[name]()),
        await settle(() => fs[name](`${dir}/hello.txt`)),
      ],
    ],
    [
      `${name}() of Buffers and URLs`,
      async (fs: Fs, dir: string) => [
        await settle(() => fs[name](Buffer.from(`${dir}/hello.txt`), pathToFileURL(`${dir}/a new`))),
        await settle(() => fs[name](pathToFileURL(`${dir}/lines.txt`), Buffer.from(`${dir}/another`))),
        await settle(() => fs[name](pathToFileURL(`${dir}/missing`), Buffer.from(`${dir}/missing too`))),
      ],
    ],
  ]),
);

/** Links and names. */
export const links: Cases = {
  ...ofPairs,
  "rename() across file systems": (fs, dir) =>
    each(["rename", "link"] as const, (name) => fs[name]("/proc/self/status", `${dir}/status`)),
  "rename() into itself": (fs, dir) => settle(() => fs.rename(`${dir}/sub`, `${dir}/sub/deeper/sub`)),
  "rename() of an open file": async (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => {
      await fs.rename(`${dir}/hello.txt`, `${dir}/renamed`);
      return it.readFile("utf8");
    }),
  "symlink() makes links": (fs, dir) =>
    each(
      [
        ["hello.txt", "s1"],
        ["nowhere at all", "s2"],
        ["sub", "s3"],
        ["", "s4"],
        ["hello.txt", "missing/s5"],
        ["hello.txt", "hello.txt"],
        ["hello.txt", "link"],
        ["../x/y", "sub/s6"],
        ["grüße 🙂", "s7"],
        ["x", "hello.txt/s8"],
      ] as const,
      ([target, path]) => fs.symlink(target, `${dir}/${path}`),
    ),
  "symlink() with a type": (fs, dir) =>
    each(["file", "dir", "junction", null, undefined, "nonsense", "", 1, {}, true], (type) =>
      fs.symlink("hello.txt", `${dir}/s ${String(type)}`, type),
    ),
  "symlink() of what are no paths": async (fs, dir) => [
    ...(await each(notPaths, (path) => fs.symlink(path, `${dir}/new`))),
    ...(await each(notPaths, (path) => fs.symlink("target", path))),
    await settle(() => fs.symlink()),
  ],
  "symlink() of Buffers and URLs": async (fs, dir) => [
    await settle(() => fs.symlink(Buffer.from("hello.txt"), Buffer.from(`${dir}/s1`))),
    await settle(() => fs.symlink(pathToFileURL(`${dir}/hello.txt`), pathToFileURL(`${dir}/s2`))),
    readlinkSync(`${dir}/s2`),
  ],
  "readlink() tells of links": (fs, dir) =>
    each(["link", "dirlink", "dangling", "hello.txt", "sub", "missing", "missing/x", "dirlink/"], (name) =>
      fs.readlink(`${dir}/${name}`),
    ),
  "readlink() in an encoding": async (fs, dir) => [
    ...(await each(encodings, (encoding) => fs.readlink(`${dir}/link`, encoding))),
    ...(await each(encodings, (encoding) => fs.readlink(`${dir}/link`, { encoding }))),
  ],
  "readlink() of long targets": async (fs, dir) =>
    each([255, 256, 1000, 1023, 1024, 4095, 4096], async (length) => {
      await fs.symlink("t".repeat(length), `${dir}/long${length}`);
      const target = await fs.readlink(`${dir}/long${length}`);
      await fs.unlink(`${dir}/long${length}`);
      return target.length;
    }),
  "readlink() of a target beyond ASCII": async (fs, dir) => {
    await fs.symlink("grüße 漢字", `${dir}/beyond`);
    await fs.symlink(Buffer.from([0x61, 0xff, 0x62]), `${dir}/bytes`);
    return [
      await fs.readlink(`${dir}/beyond`),
      await fs.readlink(`${dir}/beyond`, "buffer"),
      await fs.readlink(`${dir}/bytes`),
      await fs.readlink(`${dir}/bytes`, "buffer"),
    ];
  },
  "realpath() resolves": async (fs, dir) =>
    each(["link", "dirlink/deeper/../b.txt", "sub/..", "dangling", "missing", ".", "hello.txt/x"], (name) =>
      fs.realpath(`${dir}/${name}`),
    ),
  "realpath() in an encoding": async (fs, dir) =>
    each(encodings, async (encoding) => {
      const path = await fs.realpath(`${dir}/link`, encoding);
      const option = await fs.realpath(`${dir}/link`, { encoding });
      return [typeof path, path.length, typeof option, option.length];
    }),
  "realpath() of a relative path": async (fs, dir) => {
    const before = process.cwd();
    process.chdir(dir);
    try {
      return await each([".", "link", "sub/../dirlink", ""], (path) => fs.realpath(path));
    } finally {
      process.chdir(before);
    }
  },
  "a link to itself leads nowhere": async (fs, dir) => {
    await fs.symlink("loop", `${dir}/loop`);
    return [
      await settle(() => fs.readFile(`${dir}/loop`)),
      await settle(() => fs.open(`${dir}/loop`, "r")),
      await settle(() => fs.stat(`${dir}/loop`)),
      await settle(() => fs.lstat(`${dir}/loop`)),
      await settle(() => fs.realpath(`${dir}/loop`)),
      await settle(() => fs.writeFile(`${dir}/loop`, "x")),
      await settle(() => fs.access(`${dir}/loop`)),
      await settle(() => fs.readdir(`${dir}/loop`)),
      await settle(() => fs.mkdir(`${dir}/loop/x`, { recursive: true })),
      await settle(() => fs.chmod(`${dir}/loop`, 0o600)),
      await settle(() => fs.truncate(`${dir}/loop`, 1)),
      await settle(() => fs.copyFile(`${dir}/loop`, `${dir}/copy`)),
      await settle(() => fs.unlink(`${dir}/loop`)),
    ];
  },
};

/** Copying a file. */
export const copyFile: Cases = {
  "copyFile() in modes": async (fs, dir) => {
    const modes = [0, COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_EXCL | COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE];
    const endings = [];
    for (const mode of modes) {
      endings.push(await settle(() => fs.copyFile(`${dir}/hello.txt`, `${dir}/new${mode}`, mode)));
      endings.push(await settle(() => fs.copyFile(`${dir}/hello.txt`, `${dir}/utf8.txt`, mode)));
    }
    return endings;
  },
  "copyFile() in a mode that is none": (fs, dir) =>
    each([8, 16, ...numbers], (mode) => fs.copyFile(`${dir}/hello.txt`, `${dir}/copy`, mode)),
  "copyFile() keeps a mode": async (fs, dir) => {
    await fs.chmod(`${dir}/hello.txt`, 0o751);
    await fs.copyFile(`${dir}/hello.txt`, `${dir}/new`);
    await fs.copyFile(`${dir}/sub/b.txt`, `${dir}/readonly`);
    await fs.copyFile(`${dir}/hello.txt`, `${dir}/utf8.txt`);
  },
  "copyFile() heeds the umask": async (fs, dir) => {
    const before = process.umask(0o077);
    try {
      await fs.copyFile(`${dir}/hello.txt`, `${dir}/masked`);
    } finally {
      process.umask(before);
    }
  },
  "copyFile() of special files": async (fs, dir) => [
    await settle(() => fs.copyFile("/dev/null", `${dir}/null`)),
    await settle(() => fs.copyFile("/proc/sys/kernel/ostype", `${dir}/ostype`)),
    await settle(() => fs.copyFile(`${dir}/hello.txt`, "/dev/null")),
    await settle(() => fs.copyFile(`${dir}/hello.txt`, "/dev/full")),
  ],
  "copyFile() over a longer file": (fs, dir) => fs.copyFile(`${dir}/hello.txt`, `${dir}/large.bin`),
  "copyFile() of a file with holes": async (fs, dir) => {
    await opened(fs, `${dir}/sparse`, "w", (it) => it.write("end", 3_000_000));
    return fs.copyFile(`${dir}/sparse`, `${dir}/copy`);
  },
};

/** Copying more than a file. */
export const cp: Cases = {
  "cp() of a file": async (fs, dir) => [
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/new`)),
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/lines.txt`)),
    await settle(() => fs.cp(`${dir}/missing`, `${dir}/new2`)),
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/made/on/the/way`)),
  ],
  "cp() of a directory": async (fs, dir) => [
    await settle(() => fs.cp(`${dir}/sub`, `${dir}/copy`)),
    await settle(() => fs.cp(`${dir}/sub`, `${dir}/copy`, { recursive: true })),
    await settle(() => fs.cp(`${dir}/sub`, `${dir}/vacant`, { recursive: true })),
    await settle(() => fs.cp(`${dir}/sub`, `${dir}/sub/inside`, { recursive: true })),
    await settle(() => fs.cp(`${dir}/sub`, `${dir}/hello.txt`, { recursive: true })),
  ],
  "cp() with errorOnExist and force": async (fs, dir) => [
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/lines.txt`, { errorOnExist: true, force: false })),
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/lines.txt`, { force: false })),
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/utf8.txt`, { errorOnExist: true })),
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/bytes.bin`, { mode: COPYFILE_EXCL })),
  ],
  "cp() with a filter": (fs, dir) =>
    settle(() =>
      fs.cp(`${dir}/sub`, `${dir}/copy`, { recursive: true, filter: (from: string) => basename(from) !== "b.txt" }),
    ),
  "cp() of links": async (fs, dir) => [
    await settle(() => fs.cp(`${dir}/link`, `${dir}/link2`)),
    await settle(() => fs.cp(`${dir}/link`, `${dir}/link3`, { dereference: true })),
    await settle(() => fs.cp(`${dir}/dangling`, `${dir}/dangling2`)),
    await settle(() => fs.cp(`${dir}/dirlink`, `${dir}/dirlink2`, { recursive: true })),
    await settle(() => fs.cp(`${dir}/link`, `${dir}/link4`, { verbatimSymlinks: true })),
  ],
  "cp() that keeps times": async (fs, dir) => [
    await settle(() => fs.cp(`${dir}/hello.txt`, `${dir}/kept`, { preserveTimestamps: true })),
    (await fs.stat(`${dir}/kept`)).mtimeMs,
  ],
  "cp() with options of the wrong kind": (fs, dir) =>
    each(notOptions, (options) => fs.cp(`${dir}/hello.txt`, `${dir}/new`, options)),
  "cp() of what are no paths": async (fs, dir) => [
    ...(await each(notPaths, (path) => fs.cp(path, `${dir}/new`))),
    ...(await each(notPaths, (path) => fs.cp(`${dir}/hello.txt`, path))),
  ],
};
