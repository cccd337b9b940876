/**
 * Finds a kernel's io_uring headers: under a path, in the system, or inside Debian's linux-libc-dev.
 */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ArchiveUnreachable, cacheFolder, fetchFile, versionsOf } from "./apt.ts";
import { WANTED } from "./facts.ts";
import type { HeaderSet, Origin } from "./facts.ts";

const PACKAGE = "linux-libc-dev";

/** The suites whose linux-libc-dev between them hold every kernel that this project describes. */
export const SUITES: readonly string[] = [
  "trixie-backports",
  "trixie-security",
  "bookworm-security",
  "bullseye-security",
];

/** `6.12` of `6.12.117-1`. */
export function releaseOf(version: string): string {
  const match = /^(\d+\.\d+)/.exec(version);
  if (!match) throw new Error(`${version} does not begin with a kernel release`);
  return match[1] ?? "";
}

async function readSources(include: string): Promise<HeaderSet["sources"]> {
  const found = WANTED.filter((file) => existsSync(join(include, file)));
  if (!found.includes("linux/io_uring.h")) throw new Error(`there is no linux/io_uring.h in ${include}`);
  return Promise.all(found.map(async (file) => ({ file, text: await Bun.file(join(include, file)).text() })));
}

/**
 * Headers under `path`: an include folder, or the path of a linux/io_uring.h inside one.
 * @throws Error when there are none.
 */
export async function fromPath(path: string): Promise<HeaderSet> {
  const file = basename(path) === "io_uring.h";
  const include = file ? dirname(dirname(path)) : path;
  const sources = await readSources(include);
  const version = await versionHeader(include);
  const origin: Origin = { kernel: releaseOf(version), name: `the headers of Linux ${version}`, archive: null };
  return { origin, sources };
}

/** The system's own headers. */
export function fromSystem(): Promise<HeaderSet> {
  return fromPath("/usr/include");
}

/** The release that linux/version.h states. */
async function versionHeader(include: string): Promise<string> {
  const path = join(include, "linux/version.h");
  if (!existsSync(path)) throw new Error(`there is no linux/version.h in ${include}, so its kernel is unknown`);
  const code = /LINUX_VERSION_CODE\s+(\d+)/.exec(await Bun.file(path).text())?.[1];
  if (code === undefined) throw new Error(`${path} states no LINUX_VERSION_CODE`);
  const n = Number(code);
  return `${n >> 16}.${(n >> 8) & 0xff}.${n & 0xff}`;
}

/**
 * The newest linux-libc-dev of a suite, or the newest there whose version begins with `version`.
 * Without `suite` all of {@link SUITES} are looked through.
 * @throws ArchiveUnreachable when the archive cannot be reached, Error when it has no such version.
 */
export async function fromArchive(wish: {
  suite?: string | undefined;
  version?: string | undefined;
}): Promise<HeaderSet> {
  const suites = wish.suite === undefined ? SUITES : [wish.suite];
  const wanted = (v: string): boolean => wish.version === undefined || matches(v, wish.version);
  const unreachable: string[] = [];
  for (const suite of suites) {
    const listed = await versionsOf(PACKAGE, suite).catch((error: unknown) => {
      if (!(error instanceof ArchiveUnreachable)) throw error;
      unreachable.push(error.message);
      return [];
    });
    const found = listed.find((p) => wanted(p.version));
    if (found) return fromPackage(originOf(found.version, suite, found.file, found.sha256));
  }
  const pooled = wish.version === undefined ? null : await fromPool(wish.version, suites);
  if (pooled) return pooled;
  if (unreachable.length > 0) throw new ArchiveUnreachable(unreachable.join("\n"));
  throw new Error(`no ${PACKAGE} ${wish.version ?? ""} in ${suites.join(", ")}`);
}

/** Whether a package version is `wish`, or begins with it at a dot or dash: 7.2 matches 7.2.12-1, not 7.21. */
function matches(version: string, wish: string): boolean {
  return version === wish || version.startsWith(`${wish}.`) || version.startsWith(`${wish}-`);
}

function originOf(version: string, suite: string, file: string, sha256: string): Origin {
  return { kernel: releaseOf(version), name: `${PACKAGE} ${version}`, archive: { suite, file, sha256 } };
}

/**
 * A whole version that has left its suite's index but may still be in the pool: then nothing signed vouches for its
 * hash.
 */
async function fromPool(version: string, suites: readonly string[]): Promise<HeaderSet | null> {
  if (!version.includes("-")) return null;
  for (const suite of suites) {
    const folder = suite.endsWith("-security") ? "pool/updates/main" : "pool/main";
    const file = `${folder}/l/linux/${PACKAGE}_${version}_all.deb`;
    const found = await fetchFile(suite, file, null).catch(() => null);
    if (!found) continue;
    const set = await fromPackage(originOf(version, suite, file, found.sha256));
    return { ...set, note: `${file} is in no index any more: no signature vouches for it` };
  }
  return null;
}

/**
 * The headers inside the package that `origin` names, downloaded and unpacked into the cache if they are not there.
 * @throws ArchiveUnreachable when the package cannot be had.
 */
export async function fromPackage(origin: Origin): Promise<HeaderSet> {
  if (!origin.archive) throw new Error(`${origin.name} is not from an archive`);
  const include = join(cacheFolder(), "include", origin.archive.sha256);
  if (!existsSync(include)) {
    const { path } = await fetchFile(origin.archive.suite, origin.archive.file, origin.archive.sha256);
    await unpack(path, include);
  }
  return { origin, sources: await readSources(include) };
}

/** Unpacks a package's /usr/include, whole or not at all. */
async function unpack(deb: string, include: string): Promise<void> {
  const part = `${include}.part-${process.pid}-${Bun.randomUUIDv7()}`;
  await mkdir(part, { recursive: true });
  try {
    const files = ["linux", "asm-generic"].map((folder) => `./usr/include/${folder}`);
    const archive = Bun.spawn(["dpkg-deb", "--fsys-tarfile", deb], { stdout: "pipe", stderr: "inherit" });
    const strip = ["tar", "-x", "--strip-components=3", "-C", part, ...files];
    const tar = Bun.spawn(strip, { stdin: archive.stdout, stderr: "inherit" });
    const codes = await Promise.all([archive.exited, tar.exited]);
    if (codes.some((code) => code !== 0)) throw new Error(`${deb} cannot be unpacked`);
    await rename(part, include).catch((error: unknown) => {
      // Another process may have been first; its copy is as good.
      if (!existsSync(include)) throw error;
    });
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}
