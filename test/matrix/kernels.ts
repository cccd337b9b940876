/**
 * The kernels that the matrix boots: found by suite and package in Debian's archive, checked against its signed hashes,
 * unpacked into the user's cache. Nothing is installed.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheFolder, fetchFile, indexOf } from "../../gen/apt.ts";
import type { Index, Listed } from "../../gen/apt.ts";
import table from "./kernels.json";

/** A kernel of the table. */
export interface Wanted {
  /** As it is called on the command line: a release, or a release candidate's. */
  readonly kernel: string;
  readonly suite: string;
  /** The package with the image; a star stands for whatever the archive has now. */
  readonly package: string;
}

/** A kernel that is there to be booted. */
export interface Kernel {
  readonly kernel: string;
  /** What `uname -r` says in it. */
  readonly release: string;
  /** The version of its packages. */
  readonly version: string;
  /** Path of the image. */
  readonly image: string;
  /** Path of the folder with its modules. */
  readonly modules: string;
}

/** The archive was asked, and has not got the kernel any more. */
export class KernelGone extends Error {}

/** All kernels of the table, oldest first. */
export const kernels: readonly Wanted[] = table.kernels;

/** Files that have left their index but may still be in the pool: their hashes, taken while they were listed. */
const pool: Readonly<Record<string, string>> = table.pool;

/**
 * A kernel from the cache, or from the archive where the cache has none or `fresh` asks for the newest.
 *
 * @throws Error that says why it cannot be had: ArchiveUnreachable, KernelGone, or what is wrong with its packages.
 */
export async function getKernel(wanted: Wanted, fresh: boolean): Promise<Kernel> {
  const folder = join(cacheFolder(), "kernels");
  const note = Bun.file(join(folder, `${wanted.kernel}.json`));
  if (!fresh && (await note.exists())) return kernelIn(folder, wanted, (await note.json()) as Unpacked);
  const packages = await findPackages(wanted);
  const version = packages[0]?.version ?? "";
  const name = `${wanted.kernel}-${packages.map(({ sha256 }) => sha256.slice(0, 12)).join("-")}`;
  if (!existsSync(join(folder, name))) {
    const files = [];
    for (const { file, sha256 } of packages) files.push((await fetchFile(wanted.suite, file, sha256)).path);
    await unpack(files, join(folder, name));
  }
  const unpacked: Unpacked = { name, version };
  const kernel = await kernelIn(folder, wanted, unpacked);
  await Bun.write(note, JSON.stringify(unpacked));
  return kernel;
}

/** What the cache notes of a kernel. */
interface Unpacked {
  readonly name: string;
  readonly version: string;
}

async function kernelIn(folder: string, wanted: Wanted, { name, version }: Unpacked): Promise<Kernel> {
  const root = join(folder, name);
  const above = ["usr/lib/modules", "lib/modules"].map((path) => join(root, path)).find((path) => existsSync(path));
  const release = above === undefined ? undefined : (await readdir(above))[0];
  if (above === undefined || release === undefined) throw new Error(`${wanted.package} has no modules`);
  const modules = join(above, release);
  // Debian moved the image in 7.2, and calls it unsigned until it is signed.
  const places = [
    join(root, "boot", `vmlinuz-${release}`),
    join(modules, "vmlinuz"),
    join(modules, "vmlinuz.unsigned"),
  ];
  const image = places.find((path) => existsSync(path));
  if (image === undefined) throw new Error(`${wanted.package} has no kernel image`);
  return { kernel: wanted.kernel, release, version, image, modules };
}

/** The newest package of a kernel, and from 6.19 on the one with its modules. */
async function findPackages(wanted: Wanted): Promise<Listed[]> {
  const index = await indexOf(wanted.suite);
  const name = await newestName(wanted.package, index);
  const [image] = name === undefined ? [] : await index.versions(name);
  if (name === undefined || image === undefined) throw new KernelGone(`${wanted.suite} has no ${wanted.package}`);
  if (name.startsWith("linux-image-")) return [image];
  return [image, await findModules(name.replace(/^linux-binary(-unsigned)?-/, "linux-modules-"), image.version, index)];
}

/** The newest of the names that match: 6.12.100 comes after 6.12.95. */
async function newestName(glob: string, index: Index): Promise<string | undefined> {
  const [prefix = "", suffix] = glob.split("*");
  const names = await index.names(prefix);
  const fits = (name: string): boolean =>
    suffix === undefined ? name === prefix : name.startsWith(prefix) && name.endsWith(suffix);
  return names
    .filter(fits)
    .sort(new Intl.Collator("en", { numeric: true }).compare)
    .at(-1);
}

/** The modules of the image's version: listed, or known from the time when they were. */
async function findModules(name: string, version: string, index: Index): Promise<Listed> {
  const listed = (await index.versions(name)).find((found) => found.version === version);
  if (listed) return listed;
  const file = Object.keys(pool).find((path) => basename(path) === `${name}_${version}_amd64.deb`);
  if (file === undefined) throw new KernelGone(`${name} ${version} is in no index, and no hash of it is known`);
  return { version, file, sha256: pool[file] ?? "" };
}

/** Unpacks packages into one folder, whole or not at all. */
async function unpack(files: readonly string[], folder: string): Promise<void> {
  const part = `${folder}.part-${process.pid}`;
  await mkdir(part, { recursive: true });
  try {
    for (const file of files) {
      const child = Bun.spawn(["dpkg-deb", "-x", file, part], { stdout: "ignore", stderr: "pipe" });
      const [complaint, code] = await Promise.all([child.stderr.text(), child.exited]);
      if (code !== 0) throw new Error(`${file} cannot be unpacked: ${complaint.trim()}`);
    }
    await rm(join(part, "usr/share"), { recursive: true, force: true });
    await rename(part, folder);
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}
