/** The directory that every case starts in, and what is in it afterwards. */
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pattern } from "../support/files.ts";
import { digest } from "./normal.ts";

/** One file, directory or link of a tree. */
export interface Entry {
  readonly name: string;
  readonly what: string;
  readonly content: string;
}

/** The time that every file of the start was changed at: long ago, so that a change shows. */
export const LONG_AGO: Date = new Date("2001-02-03T04:05:06.789Z");

const contents: Readonly<Record<string, string | Uint8Array>> = {
  "hello.txt": "hello world\n",
  "empty.txt": "",
  "lines.txt": "alpha\nbeta\r\ngamma\n\ndelta",
  "utf8.txt": "grüße 漢字 🙂\n",
  "bytes.bin": pattern(1000),
  "large.bin": pattern(150_000, 7),
  "sub/a.txt": "a",
  "sub/b.txt": "bb",
  "sub/deeper/c.txt": "ccc",
};
const links = { link: "hello.txt", dirlink: "sub", dangling: "nowhere" };
const directories = ["sub", "sub/deeper", "vacant"];

/** Fills a directory with what the cases expect. */
export function prepare(dir: string): void {
  for (const name of directories) mkdirSync(join(dir, name), 0o755);
  for (const [name, content] of Object.entries(contents)) {
    writeFileSync(join(dir, name), content, { mode: 0o644 });
    utimesSync(join(dir, name), LONG_AGO, LONG_AGO);
  }
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(dir, name));
  chmodSync(join(dir, "sub/b.txt"), 0o444);
}

/** What is in a directory: names, types, modes, sizes, owners, times that were set, contents. */
export function snapshot(dir: string): Entry[] {
  return entriesBelow(dir, "");
}

/** What is below a directory, with names that are bytes of latin1. */
function entriesBelow(dir: string, prefix: string): Entry[] {
  const path = Buffer.from(join(dir, prefix), "latin1");
  makeReadable(path, 0o700);
  return readdirSync(path, "buffer")
    .map((name) => join(prefix, name.toString("latin1")))
    .toSorted()
    .flatMap((name) => {
      const isDirectory = lstatSync(Buffer.from(join(dir, name), "latin1")).isDirectory();
      // Its mode is looked at before it is made readable.
      const entry = entryOf(dir, name);
      return isDirectory ? [entry, ...entriesBelow(dir, name)] : [entry];
    });
}

function entryOf(dir: string, name: string): Entry {
  const path = Buffer.from(join(dir, name), "latin1");
  const stat = lstatSync(path);
  const { mode, uid, gid, nlink } = stat;
  const owner = `${uid}:${gid}`;
  // A link's permissions mean nothing, and a directory's size and links are the file system's own affair.
  if (stat.isSymbolicLink()) return { name, what: `link ${owner}`, content: readlinkSync(path).replace(dir, "<dir>") };
  const what = `${mode.toString(8)} ${owner} ${stat.mtimeMs < Date.now() - 3_600_000 ? stat.mtimeMs : "recent"}`;
  if (stat.isDirectory()) return { name, what, content: "" };
  return { name, what: `${what} ${nlink} links, ${stat.size} bytes`, content: stat.isFile() ? ofFile(path, stat) : "" };
}

/** Allows its owner to look into a file or directory, which a case may have forbidden. Root may anyway. */
function makeReadable(path: Buffer, mode: number): void {
  if (process.getuid?.() !== 0) chmodSync(path, mode);
}

/** A file's content, or its hash; of a file that is mostly a hole, the hash of its two ends. */
function ofFile(path: Buffer, { size }: Stats): string {
  const END = 2 ** 20;
  makeReadable(path, 0o600);
  const bytes = Buffer.alloc(Math.min(size, 2 * END));
  const fd = openSync(path, "r");
  readSync(fd, bytes, 0, Math.min(size, END), 0);
  if (size > END) readSync(fd, bytes, END, Math.min(size - END, END), Math.max(size - END, END));
  closeSync(fd);
  return size > 80 ? digest(bytes) : bytes.toString("latin1");
}
