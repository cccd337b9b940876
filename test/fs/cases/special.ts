/** What is no plain file: devices, pipes, sockets, /proc; and what is too long, too far or not allowed. */
import { closeSync, constants, openSync } from "node:fs";
import { descriptors } from "../../support/descriptors.ts";
import { patience } from "../../support/patience.ts";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { numbers } from "./values.ts";

const NAME_MAX = 255;
/** What is aborted ends sooner than this. */
const SOON_MS = 150 * patience;

/** Makes a named pipe. */
function fifo(dir: string): string {
  const path = `${dir}/fifo`;
  const { exitCode } = Bun.spawnSync(["mkfifo", path]);
  if (exitCode !== 0) throw new Error("mkfifo failed");
  return path;
}

/**
 * What has become of a readFile() soon after it was aborted, when the path was open so many times; then `release` lets
 * go of it, wherever it waits.
 */
async function abandoned(fs: Fs, path: string, openings: number, release: () => void): Promise<unknown> {
  const controller = new AbortController();
  const reading = settle(() => fs.readFile(path, { signal: controller.signal }));
  // On a busy machine a thread of Bun's takes its time to begin.
  while (descriptors((name) => name === path) < openings) await Bun.sleep(1);
  await Bun.sleep(20);
  controller.abort();
  const soon = await Promise.race([reading, Bun.sleep(SOON_MS).then(() => "still waiting")]);
  release();
  await reading;
  return soon;
}

const files = [
  "/proc/version",
  "/proc/sys/kernel/ostype",
  "/proc/self/environ",
  "/proc/filesystems",
  "/sys/kernel/mm/transparent_hugepage/enabled",
  "/dev/null",
  "/proc/self/cmdline",
];

const ofFiles: Cases = Object.fromEntries(
  files.map((path) => [
    `what ${path} holds`,
    async (fs: Fs) => [
      await settle(() => fs.readFile(path)),
      await settle(() => fs.readFile(path, "utf8")),
      await settle(() =>
        opened(fs, path, "r", async (it) => [
          await it.read(Buffer.alloc(5), 0, 5),
          await it.readFile("utf8"),
          (await it.read(Buffer.alloc(5), 0, 5)).bytesRead,
        ]),
      ),
      await settle(async () => (await fs.stat(path)).size),
    ],
  ]),
);

/** Calls that a path is too much for, by their names. */
const calls: Readonly<Record<string, (fs: Fs, path: string) => unknown>> = {
  open: (fs, path) => opened(fs, path, "w", () => "opened"),
  readFile: (fs, path) => fs.readFile(path),
  writeFile: (fs, path) => fs.writeFile(path, "x"),
  appendFile: (fs, path) => fs.appendFile(path, "x"),
  stat: (fs, path) => fs.stat(path),
  lstat: (fs, path) => fs.lstat(path),
  access: (fs, path) => fs.access(path),
  mkdir: (fs, path) => fs.mkdir(path),
  "mkdir -p": (fs, path) => fs.mkdir(path, { recursive: true }),
  rmdir: (fs, path) => fs.rmdir(path),
  rm: (fs, path) => fs.rm(path),
  "rm -f": (fs, path) => fs.rm(path, { force: true }),
  unlink: (fs, path) => fs.unlink(path),
  readdir: (fs, path) => fs.readdir(path),
  readlink: (fs, path) => fs.readlink(path),
  realpath: (fs, path) => fs.realpath(path),
  truncate: (fs, path) => fs.truncate(path),
  chmod: (fs, path) => fs.chmod(path, 0o600),
  chown: (fs, path) => fs.chown(path, 0, 0),
  utimes: (fs, path) => fs.utimes(path, 1, 1),
  lutimes: (fs, path) => fs.lutimes(path, 1, 1),
  "rename from": (fs, path) => fs.rename(path, "other"),
  "rename to": (fs, path) => fs.rename("missing", path),
  "link to": (fs, path) => fs.link("missing", path),
  symlink: (fs, path) => fs.symlink("target", path),
  copyFile: (fs, path) => fs.copyFile(path, "other"),
  statfs: (fs, path) => fs.statfs(path),
  exists: (fs, path) => fs.exists(path),
};

const tooLong: Cases = Object.fromEntries(
  Object.entries(calls).flatMap(([name, call]) => [
    [
      `${name} of a name or path that is too long`,
      async (fs: Fs, dir: string) => [
        await settle(() => call(fs, `${dir}/${"n".repeat(NAME_MAX + 1)}`)),
        await settle(() => call(fs, `${dir}${"/p".repeat(3000)}`)),
        await settle(() => call(fs, `${dir}/${"ü".repeat(NAME_MAX - 1)}`)),
      ],
    ],
    [
      `${name} of a name in another script`,
      async (fs: Fs, dir: string) => [
        await settle(() => call(fs, `${dir}/grüße 漢字 🙂`)),
        await settle(() => call(fs, `${dir}/vacant/e\u0301\u00e9`)),
        await settle(() => call(fs, `${dir}/half \ud83d of it`)),
      ],
    ],
  ]),
);

/** Names that are too long, or written in other letters. */
export const names: Cases = {
  ...tooLong,
  "a name as long as names may be": async (fs, dir) => {
    const path = `${dir}/${"n".repeat(NAME_MAX)}`;
    await fs.writeFile(path, "x");
    await fs.rename(path, `${dir}/${"m".repeat(NAME_MAX)}`);
    return [await fs.readdir(dir).then((all: string[]) => Math.max(...all.map((it) => it.length)))];
  },
  "a path almost as long as paths may be": async (fs, dir) => {
    const path = `${dir}${`/${"d".repeat(200)}`.repeat(15)}`;
    return [
      await settle(() => fs.mkdir(path, { recursive: true })),
      await settle(() => fs.writeFile(`${path}/f`, "deep")),
    ];
  },
};

/** Devices, pipes, sockets and the kernel's own files. */
export const special: Cases = {
  ...ofFiles,
  "/dev/zero has no end": (fs) =>
    opened(fs, "/dev/zero", "r", async (it) => [
      await it.read(Buffer.alloc(10, "."), 0, 10, 0),
      (await it.read(Buffer.alloc(4096), 0, 4096)).bytesRead,
    ]),
  "/dev/null takes everything": (fs) =>
    opened(fs, "/dev/null", "r+", async (it) => [
      await it.write("x".repeat(1000)),
      await it.read(Buffer.alloc(10), 0, 10),
      await settle(() => it.truncate(5)),
      await settle(() => it.writeFile("x")),
      await settle(() => fs.appendFile("/dev/null", "x")),
      await it.stat(),
    ]),
  "/dev/full takes nothing": async (fs) => [
    await settle(() => fs.writeFile("/dev/full", "x")),
    await settle(() => fs.appendFile("/dev/full", "x")),
    await settle(() => fs.writeFile("/dev/full", "")),
    await opened(fs, "/dev/full", "r+", async (it) => [
      await settle(() => it.write("x")),
      await settle(() => it.write(Buffer.from("x"), 0, 1, 0)),
      await settle(() => it.writev([Buffer.from("x")])),
      await settle(() => it.writeFile("x")),
      await settle(() => it.read(Buffer.alloc(3), 0, 3)),
    ]),
  ],
  "a pipe is opened when both ends are": async (fs, dir) => {
    const path = fifo(dir);
    const opening = [fs.open(path, "r"), fs.open(path, "w")];
    const [reader, writer] = await Promise.all(opening);
    await writer.write("through the pipe");
    const { buffer, bytesRead } = await reader.read(Buffer.alloc(100), 0, 100);
    await writer.close();
    const end = await reader.read(Buffer.alloc(100), 0, 100);
    await reader.close();
    return [buffer.toString("utf8", 0, bytesRead), end.bytesRead];
  },
  "a pipe keeps its reader waiting": async (fs, dir) => {
    const path = fifo(dir);
    return opened(fs, path, "r+", async (it) => {
      const reading = it.read(Buffer.alloc(5), 0, 5);
      await Bun.sleep(5);
      await it.write("later");
      return reading;
    });
  },
  "a pipe has no positions": async (fs, dir) => {
    const path = fifo(dir);
    return opened(fs, path, "r+", async (it) => [
      await settle(() => it.write(Buffer.from("abc"), 0, 3, 7)),
      await settle(() => it.write("abc")),
      await settle(() => it.read(Buffer.alloc(3), 0, 3, 7)),
      await settle(() => it.readv([Buffer.alloc(3)], 7)),
      await settle(() => it.writev([Buffer.alloc(3)], 7)),
      await settle(() => it.truncate(0)),
      await settle(() => it.sync()),
      await settle(() => it.datasync()),
      await it.stat(),
    ]);
  },
  "readFile() of a pipe reads to its end": async (fs, dir) => {
    const path = fifo(dir);
    const reading = fs.readFile(path, "utf8");
    const writer = await fs.open(path, "w");
    await writer.write("first ");
    await Bun.sleep(2);
    await writer.write("second");
    await writer.close();
    return reading;
  },
  "writeFile() and appendFile() to a pipe": async (fs, dir) => {
    const path = fifo(dir);
    return opened(fs, path, "r+", async (it) => {
      await fs.writeFile(path, "written ");
      await fs.appendFile(path, "appended");
      return it.read(Buffer.alloc(16), 0, 16);
    });
  },
  "readFile() of a pipe that nobody writes to, aborted": async (fs, dir) => {
    const path = fifo(dir);
    const both = openSync(path, "r+");
    return abandoned(fs, path, 2, () => closeSync(both));
  },
  "readFile() of a pipe that nobody opens, aborted": async (fs, dir) => {
    const path = fifo(dir);
    // Nobody may be waiting any more: then this end would wait for them if it were not both.
    return abandoned(fs, path, 0, () => closeSync(openSync(path, "r+")));
  },
  "streams of a pipe": async (fs, dir) => {
    const path = fifo(dir);
    const [reader, writer] = await Promise.all([fs.open(path, "r"), fs.open(path, "w")]);
    const sink = writer.createWriteStream();
    const text: string[] = [];
    sink.write("one ");
    sink.end("two");
    for await (const chunk of reader.createReadStream({ encoding: "utf8" })) text.push(chunk);
    return [text.join(""), reader.fd, writer.fd];
  },
  "a socket cannot be opened": async (fs, dir) => {
    const server = Bun.listen({ unix: `${dir}/socket`, socket: { data: () => undefined } });
    try {
      return [
        await settle(() => fs.open(`${dir}/socket`, "r")),
        await settle(() => fs.readFile(`${dir}/socket`)),
        await settle(() => fs.writeFile(`${dir}/socket`, "x")),
        await settle(() => fs.stat(`${dir}/socket`)),
        await settle(() => fs.readdir(`${dir}/socket`)),
        await settle(() => fs.copyFile(`${dir}/socket`, `${dir}/copy`)),
        await settle(() => fs.access(`${dir}/socket`)),
      ];
    } finally {
      server.stop(true);
    }
  },
  "what is read only stays so": async (fs) => [
    await settle(() => fs.writeFile("/proc/version", "x")),
    await settle(() => fs.unlink("/proc/version")),
    await settle(() => fs.mkdir("/proc/new")),
    await settle(() => fs.rename("/proc/version", "/proc/new")),
    await settle(() => fs.symlink("x", "/proc/new")),
    await settle(() => fs.truncate("/proc/version", 1)),
    await settle(() => fs.utimes("/proc/version", 1, 1)),
    await settle(() => fs.rmdir("/proc/self/fd")),
    await settle(() => fs.open("/proc/new", "w")),
  ],
  "what its permissions forbid": async (fs, dir) => {
    await fs.chmod(`${dir}/hello.txt`, 0o000);
    await fs.chmod(`${dir}/sub`, 0o600);
    await fs.chmod(`${dir}/vacant`, 0o500);
    const endings = [
      ...(await each(["r", "r+", "w", "a"], (flag) => opened(fs, `${dir}/hello.txt`, flag, () => "opened"))),
      await settle(() => fs.readFile(`${dir}/hello.txt`)),
      await settle(() => fs.writeFile(`${dir}/hello.txt`, "x")),
      await settle(() => fs.writeFile(`${dir}/sub/b.txt`, "x")),
      await settle(() => fs.access(`${dir}/hello.txt`, constants.R_OK)),
      await settle(() => fs.stat(`${dir}/sub/a.txt`)),
      await settle(() => fs.readdir(`${dir}/sub`)),
      await settle(() => fs.mkdir(`${dir}/sub/x/y`, { recursive: true })),
      await settle(() => fs.mkdir(`${dir}/vacant/x`)),
      await settle(() => fs.writeFile(`${dir}/vacant/x`, "x")),
      await settle(() => fs.rename(`${dir}/lines.txt`, `${dir}/vacant/lines.txt`)),
      await settle(() => fs.link(`${dir}/empty.txt`, `${dir}/vacant/empty.txt`)),
      await settle(() => fs.symlink("x", `${dir}/vacant/link`)),
      await settle(() => fs.copyFile(`${dir}/hello.txt`, `${dir}/copy`)),
      await settle(() => fs.chown(`${dir}/empty.txt`, 12, 12)),
      await settle(() => fs.truncate(`${dir}/hello.txt`, 2)),
      await settle(() => fs.rm(`${dir}/sub`, { recursive: true })),
      await settle(() => fs.unlink("/bin/sh/x")),
    ];
    if (await fs.exists(`${dir}/sub`)) await fs.chmod(`${dir}/sub`, 0o755);
    await fs.chmod(`${dir}/vacant`, 0o755);
    await fs.chmod(`${dir}/hello.txt`, 0o644);
    return endings;
  },
  "what only root may": async (fs) => {
    if (process.getuid?.() === 0) return "this is root";
    return each(["chmod", "utimes", "chown", "truncate", "unlink"] as const, (name) => fs[name]("/etc/passwd", 0, 0));
  },
  "watch() ends with its signal": async (fs, dir) => {
    const controller = new AbortController();
    const watching = settle(async () => {
      for await (const _ of fs.watch(`${dir}/vacant`, { signal: controller.signal })) break;
    });
    controller.abort();
    return watching;
  },
};

const GIB = 2 ** 30;

/** Files larger than 32 bits count, which are holes for the most part. */
export const big: Cases = {
  "writing and reading far out": async (fs, dir) =>
    opened(fs, `${dir}/far`, "w+", async (it) => {
      const places = [2 ** 31 - 3, 2 ** 31, 2 ** 32 - 3, 2 ** 32 + 1, 5 * GIB, 2n ** 33n];
      const endings = [];
      for (const place of places) {
        endings.push(await settle(() => it.write(Buffer.from("marked"), 0, 6, Number(place))));
        endings.push(await settle(() => it.read(Buffer.alloc(8), 0, 8, place)));
        endings.push(await settle(() => it.readv([Buffer.alloc(2), Buffer.alloc(6)], Number(place))));
      }
      return [endings, (await it.stat()).size, (await it.stat({ bigint: true })).size];
    }),
  "truncate() to far out": async (fs, dir) => [
    await settle(() => fs.truncate(`${dir}/hello.txt`, 5 * GIB)),
    (await fs.stat(`${dir}/hello.txt`)).size,
    await opened(fs, `${dir}/lines.txt`, "r+", async (it) => [
      await settle(() => it.truncate(3 * GIB + 1)),
      (await it.stat()).size,
    ]),
  ],
  "appending far out": async (fs, dir) => {
    await fs.truncate(`${dir}/hello.txt`, 3 * GIB);
    await fs.appendFile(`${dir}/hello.txt`, "the end");
    return (await fs.stat(`${dir}/hello.txt`)).size;
  },
  "createReadStream() far out": async (fs, dir) => {
    await opened(fs, `${dir}/far`, "w", (it) => it.write("the end", 3 * GIB));
    const it = await fs.open(`${dir}/far`, "r");
    const text = [];
    for await (const chunk of it.createReadStream({ start: 3 * GIB + 4, encoding: "utf8" })) text.push(chunk);
    return text.join("");
  },
  "createWriteStream() far out": async (fs, dir) => {
    const it = await fs.open(`${dir}/far`, "w");
    const { promise, resolve } = Promise.withResolvers<void>();
    it.createWriteStream({ start: 2 ** 32 + 5 })
      .on("close", resolve)
      .end("far");
    await promise;
    return (await fs.stat(`${dir}/far`)).size;
  },
  "readFile() of more than memory is given for": async (fs, dir) => {
    await fs.truncate(`${dir}/hello.txt`, 5 * GIB);
    return settle(() => fs.readFile(`${dir}/hello.txt`));
  },
  "places past the end of all files": async (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", (it) =>
      each(
        numbers.filter((place) => typeof place === "bigint" || (typeof place === "number" && place > 2 ** 40)),
        (place) => it.read(Buffer.alloc(4), 0, 4, place),
      ),
    ),
};
