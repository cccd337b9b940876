/**
 * Debian's archive, reached the way this machine's own apt reaches it: its mirror, its proxy, its keys. Nothing is
 * installed, no list of the system is touched, and no host name is known here. Downloads are kept in the user's cache
 * folder under their SHA-256.
 */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { sha256 } from "./facts.ts";

/** A package as an archive's index lists it. */
export interface Listed {
  readonly version: string;
  /** Path below the archive's root. */
  readonly file: string;
  readonly sha256: string;
}

/** The archive cannot be had: no apt, no Debian mirror configured, no network. Not the fault of what was asked. */
export class ArchiveUnreachable extends Error {}

/** Seconds after which a connection that does nothing is given up. */
const STALL_S = "8";
/** Seconds that are waited for somebody else's fetching. */
const LOCK_S = 60;
const HELPER = "/usr/lib/apt/apt-helper";
/** Where Debian keeps its archive's keys; without the file apt tries all keys that it trusts. */
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";
const QUICK = ["http", "https"].map((method) => `-oAcquire::${method}::Timeout=${STALL_S}`);
const OPTIONS = [...QUICK, "-oAcquire::Retries=0", "-oAPT::Sandbox::User=root", "-oAcquire::Languages=none"];

/** The folder for downloads. */
export function cacheFolder(): string {
  const base = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return join(base, "bun-uring");
}

async function run(command: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe", env: { ...process.env, LC_ALL: "C" } });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, out, err };
  } catch (error) {
    throw new ArchiveUnreachable(`this machine has no ${command[0]}`, { cause: error });
  }
}

interface Target {
  readonly root: string;
  readonly release: string;
  readonly origin: string;
}

let known: Promise<Target[]> | undefined;

/** The package indexes of this machine's apt sources. */
function targets(): Promise<Target[]> {
  known ??= (async () => {
    const format = "$(REPO_URI)\t$(RELEASE)\t$(ORIGIN)";
    const { out } = await run(["apt-get", "indextargets", "--format", format, "Created-By: Packages"]);
    return out.split("\n").flatMap((line) => {
      const [root = "", release = "", origin = ""] = line.split("\t");
      return root === "" ? [] : [{ root, release, origin }];
    });
  })();
  return known;
}

/** Root address (with a slash at its end) of the archive that holds `suite`, from this machine's apt. */
async function archiveOf(suite: string): Promise<string> {
  const security = suite.endsWith("-security");
  // A mirror that was never updated from has no Origin yet; Debian's are then known by their path.
  const debian = (await targets()).filter((t) => t.origin === "Debian" || /\/debian(-security)?\/$/.test(t.root));
  const found = debian.find((t) => t.release.endsWith("-security") === security);
  if (!found) {
    throw new ArchiveUnreachable(`this machine's apt sources name no Debian ${security ? "security " : ""}archive`);
  }
  return found.root;
}

/** A suite's signed index, fetched into the cache. */
export interface Index {
  /** The names in it that begin with `prefix`. */
  names(prefix: string): Promise<string[]>;
  /** The versions of a package, newest first. */
  versions(name: string): Promise<Listed[]>;
}

/**
 * Fetches a suite's index.
 * @throws ArchiveUnreachable when it cannot be had.
 */
export async function indexOf(suite: string): Promise<Index> {
  const root = await archiveOf(suite);
  const folder = join(cacheFolder(), "apt", suite);
  await mkdir(join(folder, "lists", "partial"), { recursive: true });
  await mkdir(join(folder, "archives", "partial"), { recursive: true });
  const list = join(folder, "sources.list");
  await Bun.write(list, `deb ${existsSync(KEYS) ? `[signed-by=${KEYS}] ` : ""}${root} ${suite} main\n`);
  const own = [
    ...OPTIONS,
    `-oDir::Etc::sourcelist=${list}`,
    "-oDir::Etc::sourceparts=/dev/null",
    `-oDir::State::lists=${join(folder, "lists")}`,
    "-oDir::State::status=/dev/null",
    `-oDir::Cache=${folder}`,
  ];
  const update = await fetchIndex(own);
  if (update.code !== 0) throw new ArchiveUnreachable(`the index of ${suite} cannot be had: ${reasonIn(update.err)}`);
  const query = async (...words: string[]): Promise<string> => (await run(["apt-cache", ...own, ...words])).out;
  return {
    names: async (prefix) => (await query("pkgnames", prefix)).split("\n").filter((name) => name !== ""),
    versions: async (name) => listedIn(await query("show", name), name),
  };
}

/** Has apt fetch an index. Another of these programs may be at it: apt does not wait for that, so this does. */
async function fetchIndex(own: readonly string[]): ReturnType<typeof run> {
  for (const until = performance.now() + LOCK_S * 1000; ;) {
    const update = await run(["apt-get", ...own, "--error-on=any", "update"]);
    if (!/\block\b/.test(update.err) || performance.now() > until) return update;
    await Bun.sleep(500);
  }
}

function listedIn(stanzas: string, name: string): Listed[] {
  return stanzas.split(/\n\n+/).flatMap((stanza) => {
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, "m").exec(stanza)?.[1] ?? "";
    if (field("Package") !== name) return [];
    return [{ version: field("Version"), file: field("Filename"), sha256: field("SHA256") }];
  });
}

/**
 * The versions of a package in a suite, newest first, from its signed index.
 * @throws ArchiveUnreachable when the index cannot be had.
 */
export async function versionsOf(name: string, suite: string): Promise<Listed[]> {
  return (await indexOf(suite)).versions(name);
}

/**
 * Fetches a file of the archive, unless it is in the cache already. `hash` null takes what comes (a file that has left
 * its index but is still in the pool); the answer then holds the hash found.
 * @throws ArchiveUnreachable when it cannot be had, Error when its hash is wrong.
 */
export async function fetchFile(
  suite: string,
  file: string,
  hash: string | null,
): Promise<{ path: string; sha256: string }> {
  const folder = join(cacheFolder(), "deb");
  await mkdir(folder, { recursive: true });
  const path = hash === null ? null : join(folder, `${hash}.deb`);
  if (path !== null && hash !== null && existsSync(path)) return { path, sha256: hash };
  const root = await archiveOf(suite);
  const part = join(folder, `.part-${process.pid}-${Bun.randomUUIDv7()}`);
  try {
    const { code, err } = await run([HELPER, ...OPTIONS, "download-file", root + file, part]);
    if (code !== 0) throw new ArchiveUnreachable(`the package cannot be had: ${reasonIn(err)}`);
    const found = sha256(await Bun.file(part).bytes());
    if (hash !== null && found !== hash) throw new Error(`${file}: SHA-256 is ${found}, should be ${hash}`);
    const final = join(folder, `${found}.deb`);
    await rename(part, final);
    return { path: final, sha256: found };
  } finally {
    await rm(part, { force: true });
  }
}

/** The reason in apt's complaint, without the address, so that the same reason reads the same for every file. */
function reasonIn(text: string): string {
  const errors = text.split("\n").filter((line) => line.startsWith("E: ") && !line.includes("Download Failed"));
  const line = errors.at(-1) ?? text.trim().split("\n").at(-1) ?? "";
  return line
    .replace(/^E: (Failed to fetch \S+\s+)?/, "")
    .replace(/\S+:\/\/\S+/g, "the archive")
    .replace(/\s*\[IP: [^\]]*\]/, "")
    .replace(/\s+/g, " ")
    .trim();
}
