/**
 * What a guest boots from: an initial file system in memory, in two parts. The first holds programs (busybox, Bun, the C
 * library) and is made once; the second holds the project, the kernel's modules and what is to be run. The disks are one
 * that the results come back on, one with a file system, one that is empty.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { cacheFolder } from "../../gen/apt.ts";
import { file, folder, tree, write } from "./cpio.ts";
import type { Kernel } from "./kernels.ts";

const project = resolve(import.meta.dir, "../..");

/** What a guest does not need of the project. */
const leftOut = ["node_modules", "dist", "coverage", ".git", ".ci"];

/** Modules that tests use where the kernel has them: block devices that live in memory or in a program. */
const wantedModules = ["loop", "null_blk", "ublk_drv"];

/** A disk of a guest. */
export interface Disk {
  /** Known in the guest by this as its serial number. */
  readonly name: string;
  readonly sizeMiB: number;
  /** Properties of its namespace. */
  readonly properties: string;
}

/** The disk for results, one with a file system, one to do anything with, and two with what few disks have. */
export const disks: readonly Disk[] = [
  { name: "out", sizeMiB: 64, properties: "" },
  { name: "scratch", sizeMiB: 640, properties: "" },
  { name: "blank", sizeMiB: 64, properties: "" },
  { name: "protected", sizeMiB: 64, properties: ",ms=8,pi=1" },
  { name: "zoned", sizeMiB: 64, properties: ",zoned=true,zoned.zone_size=4M" },
];

/** One thing to be run in a guest. */
export interface Step {
  /** Names its results: letters, digits and dashes. */
  readonly name: string;
  readonly command: readonly string[];
  readonly limitS: number;
}

/** What a guest is to do. */
export interface Plan {
  readonly steps: readonly Step[];
  /** Seconds after which it stops wherever it is and hands in what there is. */
  readonly limitS: number;
  /** A prompt in place of the steps. */
  readonly shell: boolean;
}

/** Quoted for sh. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function init(plan: Plan): string {
  const runs = plan.steps.map(({ name, command, limitS }) =>
    ["run", name, String(limitS), ...command].map(quote).join(" "),
  );
  return `${readFileSync(join(import.meta.dir, "init.sh"), "utf8")}
${plan.shell ? "prompt" : `watch ${plan.limitS} &\n${runs.join("\n")}`}
finish
`;
}

/**
 * Makes the image of a guest and its disks in `directory`.
 *
 * @returns the paths of both parts of the image, in order.
 */
export async function makeImage(kernel: Kernel, plan: Plan, directory: string): Promise<string[]> {
  const base = await makeBase();
  const own = join(directory, "own.cpio");
  const modules = [...modulesOf(kernel)].flatMap((path, i) => [
    ...file(`modules/${String(i).padStart(2, "0")}-${moduleName(path)}.ko`, contentOf(path)),
  ]);
  const parts = [file("init", init(plan)), folder("modules"), modules, tree("project", project, leftOut)];
  await write(own, ...parts);
  for (const { name, sizeMiB } of disks) {
    if (name === "scratch") await run("cp", "--sparse=always", await makeScratch(sizeMiB), join(directory, name));
    else await run("truncate", "-s", `${sizeMiB}M`, join(directory, name));
  }
  return [base, own];
}

/** Programs of this machine that tests use, and that busybox has not or has in a smaller form. Its sh runs its own first. */
const programs = [
  ...["cat", "chown", "chroot", "cmp", "cp", "fincore", "fsck.ext4", "getconf", "losetup", "mkfs.ext4", "nc", "script"],
  ...["setpriv", "sh", "stat", "stty", "touch", "unshare"],
];

/** Where this machine keeps its programs, those for administrators among them. */
export const PATH: string = `${process.env["PATH"]}:/sbin:/usr/sbin`;

/** test/support/launch.c, compiled: guests have no compiler. Nothing where this machine has none. */
function launcher(): Iterable<Uint8Array> {
  const compiler = Bun.which("cc") ?? Bun.which("gcc") ?? Bun.which("clang");
  const path = join(cacheFolder(), "images", "launch");
  const source = join(project, "test/support/launch.c");
  if (compiler === null || Bun.spawnSync([compiler, "-O1", "-static", "-o", path, source]).exitCode !== 0) return [];
  return file("bin/uring-test-launch", readFileSync(path));
}

/** The part of programs, in the cache under what it is made of. */
async function makeBase(): Promise<string> {
  const busybox = Bun.which("busybox");
  if (busybox === null) throw new Error("there is no busybox on this machine (Debian: busybox-static)");
  const own = programs.map((name) => Bun.which(name, { PATH })).filter((path) => path !== null);
  const all = [process.execPath, ...own].flatMap(librariesOf);
  const libraries = [...new Map(all.map((library) => [library.inside, library])).values()];
  if (librariesOf(busybox).length > 0) throw new Error(`${busybox} is linked to libraries (Debian: busybox-static)`);
  const inputs = [process.execPath, busybox, ...own, ...libraries.map(({ path }) => path)];
  const state = inputs.map((path) => [path, statSync(path).size, statSync(path).mtimeMs].join(" ")).join("\n");
  const recipe = readFileSync(import.meta.path);
  const hash = new Bun.CryptoHasher("sha256").update(state).update(recipe).digest("hex").slice(0, 12);
  const path = join(cacheFolder(), "images", `base-${Bun.version}-${hash}.cpio`);
  if (existsSync(path)) return path;
  await mkdir(join(cacheFolder(), "images"), { recursive: true });
  const folders = ["bin", "dev", "lib", "lib64", "mnt", "out", "proc", "run", "sys", "tmp"].map(folder);
  const main = [file("bin/busybox", readFileSync(busybox)), file("bin/bun", readFileSync(process.execPath))];
  const loaded = libraries.map((library) => file(library.inside, readFileSync(library.path)));
  const loader = libraries.find(({ inside }) => inside.includes("ld-"))?.inside ?? "";
  const others = [
    ...own.map((path) => file(`bin/${basename(path)}`, readFileSync(path))),
    launcher(),
    file("bin/ldd", `#!/bin/sh\nexec /${loader} --list "$1"\n`),
  ];
  const users = [folder("etc"), file("etc/passwd", "root:x:0:0:root:/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")];
  const names = [file("etc/group", "root:x:0:\nnogroup:x:65534:\n"), file("etc/hosts", "127.0.0.1 localhost\n")];
  for (const name of new Bun.Glob("base-*").scanSync(join(cacheFolder(), "images"))) {
    const old = join(cacheFolder(), "images", name);
    // One of today may be in use.
    if (Date.now() - statSync(old).mtimeMs > 24 * 3600 * 1000) await rm(old);
  }
  const part = `${path}.part-${process.pid}`;
  await write(part, ...folders, ...main, ...loaded, ...others, ...users, ...names);
  await rename(part, path);
  return path;
}

/** What a program is linked to, and where its loader looks for it. */
function librariesOf(program: string): { path: string; inside: string }[] {
  const { stdout } = Bun.spawnSync(["ldd", program], { stderr: "ignore" });
  return String(stdout)
    .split("\n")
    .flatMap((line) => {
      const path = /(\/\S+) \(0x/.exec(line)?.[1];
      if (path === undefined) return [];
      // The loader's own path is written into the program.
      const inside = line.includes("=>") ? `lib/${basename(path)}` : path.slice(1);
      return [{ path, inside }];
    });
}

/**
 * Programs of this machine that come with so many libraries that a guest's memory is no place for them. They are on the
 * disk with a file system, each with a script that finds its libraries.
 */
const largePrograms = ["curl", "fio"];

/** Puts programs and their libraries into a folder. */
async function collect(programs: readonly string[], libraries: readonly string[], folder: string): Promise<void> {
  await mkdir(join(folder, "programs", "lib"), { recursive: true });
  for (const path of [...programs, ...libraries]) await run("cp", "-L", path, join(folder, "programs", "lib"));
  for (const name of programs.map((path) => basename(path))) {
    const script = `#!/bin/sh\nLD_LIBRARY_PATH=/scratch/programs/lib exec /scratch/programs/lib/${name} "$@"\n`;
    await writeFile(join(folder, "programs", name), script, { mode: 0o755 });
  }
}

/** An ext4 file system with nothing in it but the large programs, in the cache. */
async function makeScratch(sizeMiB: number): Promise<string> {
  const mkfs = Bun.which("mkfs.ext4", { PATH });
  if (mkfs === null) throw new Error("there is no mkfs.ext4 on this machine (Debian: e2fsprogs)");
  const own = largePrograms.map((name) => Bun.which(name, { PATH })).filter((path) => path !== null);
  const libraries = own.flatMap(librariesOf).map(({ path }) => path);
  const images = join(cacheFolder(), "images");
  // As it makes large ones, not as it makes small ones.
  const how = ["-q", "-F", "-T", "default", "-b", "4096", "-I", "256"];
  const inputs = [import.meta.path, ...own, ...libraries];
  const state = [...how, ...inputs.map((path) => `${path} ${statSync(path).mtimeMs}`)].join("\n");
  const hash = new Bun.CryptoHasher("sha256").update(state).digest("hex").slice(0, 12);
  const path = join(images, `ext4-${sizeMiB}-${hash}`);
  if (existsSync(path)) return path;
  for (const old of new Bun.Glob(`ext4-${sizeMiB}-*`).scanSync(images)) {
    if (!old.includes(".part-")) await rm(join(images, old));
  }
  const part = `${path}.part-${process.pid}`;
  try {
    await collect(own, libraries, `${part}-content`);
    await run("truncate", "-s", `${sizeMiB}M`, part);
    await run(mkfs, ...how, "-d", `${part}-content`, part);
    await rename(part, path);
    return path;
  } finally {
    await rm(`${part}-content`, { recursive: true, force: true });
  }
}

async function run(...command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "pipe" });
  const [complaint, code] = await Promise.all([child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${complaint.trim()}`);
}

/** `null_blk` of `.../null_blk.ko.xz`: files spell some dashes that modules' names do not. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");
}

/** The paths of the wanted modules that a kernel has, each after those that it depends on. */
function modulesOf(kernel: Kernel): Set<string> {
  const paths = readdirSync(kernel.modules, { recursive: true, encoding: "utf8" });
  const byName = new Map(paths.filter((path) => /\.ko(\.\w+)?$/.test(path)).map((path) => [moduleName(path), path]));
  const found = new Set<string>();
  const add = (name: string): void => {
    const path = byName.get(name);
    if (path === undefined) return;
    const full = join(kernel.modules, path);
    // A module says in its ".modinfo" section what it depends on.
    const depends = /\0depends=([^\0]*)\0/.exec(contentOf(full).toString("latin1"))?.[1] ?? "";
    for (const other of depends.split(",")) if (other !== "") add(other);
    found.add(full);
  };
  wantedModules.forEach(add);
  return found;
}

/** A module, unpacked: Debian compresses them from 6.12 on. */
function contentOf(path: string): Buffer {
  if (!path.endsWith(".xz")) return readFileSync(path);
  const { exitCode, stdout, stderr } = Bun.spawnSync(["xz", "-dc", path]);
  if (exitCode !== 0) throw new Error(`${path} cannot be unpacked: ${stderr}`);
  return stdout;
}
