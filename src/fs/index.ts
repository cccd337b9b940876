/**
 * `node:fs/promises` on io_uring: the same functions with the same arguments, results and errors.
 *
 * ```ts
 * import { readFile } from "bun-uring/fs";
 * const text = await readFile("package.json", "utf8");
 * ```
 *
 * | on the thread's ring | opcode | kernel |
 * |---|---|---|
 * | `readFile` of a path, `open` | OPENAT, READ, CLOSE (STATX where it is long) | 5.6 |
 * | `writeFile` and `appendFile` of strings and views to a path | OPENAT, WRITE, FSYNC, CLOSE | 5.6 |
 * | `stat`, `lstat`, `FileHandle.stat` | STATX | 5.6 |
 * | `unlink`, `rmdir`, `rename` | UNLINKAT, RENAMEAT | 5.11 |
 * | `mkdir` of one directory, `symlink`, `link` | MKDIRAT, SYMLINKAT, LINKAT | 5.15 |
 * | `FileHandle.read`; with a position `write`, `readv`, `writev` | READ, WRITE, READV, WRITEV | 5.6 |
 * | `FileHandle.sync`, `datasync`, `close` | FSYNC, CLOSE | 5.6 |
 * | `FileHandle.truncate` | FTRUNCATE | 6.9 |
 *
 * Everything else is Bun's own, and so is each of these where the running kernel has no such operation, where
 * {@link backend} says `"bun"`, and for arguments that are not plain: a path that is no UTF-8, a resizable buffer,
 * whatever is refused.
 *
 * Memory: what a call is given is kept until it is over, whatever the caller drops. A buffer must not be transferred
 * meanwhile.
 */
import * as promises from "node:fs/promises";
import * as handles from "./filehandle.ts";
import * as names from "./names.ts";
import { type Unlisted, unlisted } from "./own.ts";
import * as reads from "./readfile.ts";
import * as looks from "./stats.ts";
import * as writes from "./writefile.ts";

export { backend, type Backend } from "../async/backend.ts";

/** `access` of Node.js, Bun's own. */
export const access: typeof promises.access = promises.access;
/** `appendFile` of Node.js. Strings and views to a path go through the ring. @kernel 5.6 */
export const appendFile: typeof promises.appendFile = writes.appendFile as unknown as typeof promises.appendFile;
/** `chmod` of Node.js, Bun's own. */
export const chmod: typeof promises.chmod = promises.chmod;
/** `chown` of Node.js, Bun's own. */
export const chown: typeof promises.chown = promises.chown;
/** Bun's own `close`, which Node.js has in another module. */
export const close: Unlisted["close"] = unlisted.close;
/** `constants` of Node.js. */
export const constants: typeof promises.constants = promises.constants;
/** `copyFile` of Node.js, Bun's own. */
export const copyFile: typeof promises.copyFile = promises.copyFile;
/** `cp` of Node.js, Bun's own. */
export const cp: typeof promises.cp = promises.cp;
/** Bun's own `exists`, which Node.js has in another module. */
export const exists: typeof promises.exists = promises.exists;
/** Bun's own `fchmod`, which Node.js has in another module. */
export const fchmod: Unlisted["fchmod"] = unlisted.fchmod;
/** Bun's own `fchown`, which Node.js has in another module. */
export const fchown: Unlisted["fchown"] = unlisted.fchown;
/** Bun's own `fdatasync`, which Node.js has in another module. */
export const fdatasync: Unlisted["fdatasync"] = unlisted.fdatasync;
/** Bun's own `fstat`, which Node.js has in another module. */
export const fstat: Unlisted["fstat"] = unlisted.fstat;
/** Bun's own `fsync`, which Node.js has in another module. */
export const fsync: Unlisted["fsync"] = unlisted.fsync;
/** Bun's own `ftruncate`, which Node.js has in another module. */
export const ftruncate: Unlisted["ftruncate"] = unlisted.ftruncate;
/** Bun's own `futimes`, which Node.js has in another module. */
export const futimes: Unlisted["futimes"] = unlisted.futimes;
/** `glob` of Node.js, Bun's own. */
export const glob: typeof promises.glob = promises.glob;
/** `lchmod` of Node.js, Bun's own. */
export const lchmod: typeof promises.lchmod = promises.lchmod;
/** `lchown` of Node.js, Bun's own. */
export const lchown: typeof promises.lchown = promises.lchown;
/** `link` of Node.js, through the ring. @kernel 5.15 */
export const link: typeof promises.link = names.link as unknown as typeof promises.link;
/** `lstat` of Node.js, through the ring. @kernel 5.6 */
export const lstat: typeof promises.lstat = looks.lstat as unknown as typeof promises.lstat;
/** `lutimes` of Node.js, Bun's own. */
export const lutimes: typeof promises.lutimes = promises.lutimes;
/** `mkdir` of Node.js. One directory is made through the ring, a recursive one by Bun. @kernel 5.15 */
export const mkdir: typeof promises.mkdir = names.mkdir as unknown as typeof promises.mkdir;
/** `mkdtemp` of Node.js, Bun's own. */
export const mkdtemp: typeof promises.mkdtemp = promises.mkdtemp;
/** `mkdtempDisposable` of Node.js, Bun's own. */
export const mkdtempDisposable: typeof promises.mkdtempDisposable = promises.mkdtempDisposable;
/** `open` of Node.js, through the ring. The FileHandle is one of Bun's whose reads, writes and other requests go there too. @kernel 5.6 */
export const open: typeof promises.open = handles.open as unknown as typeof promises.open;
/** `opendir` of Node.js, Bun's own. */
export const opendir: typeof promises.opendir = promises.opendir;
/** Bun's own `read`, which Node.js has in another module. */
export const read: Unlisted["read"] = unlisted.read;
/** `readFile` of Node.js. What a path names is read through the ring, a descriptor or FileHandle by Bun. @kernel 5.6 */
export const readFile: typeof promises.readFile = reads.readFile as unknown as typeof promises.readFile;
/** `readdir` of Node.js, Bun's own. */
export const readdir: typeof promises.readdir = promises.readdir;
/** `readlink` of Node.js, Bun's own. */
export const readlink: typeof promises.readlink = promises.readlink;
/** Bun's own `readv`, which Node.js has in another module. */
export const readv: Unlisted["readv"] = unlisted.readv;
/** `realpath` of Node.js, Bun's own. */
export const realpath: typeof promises.realpath = promises.realpath;
/** `rename` of Node.js, through the ring. @kernel 5.11 */
export const rename: typeof promises.rename = names.rename as unknown as typeof promises.rename;
/** `rm` of Node.js, Bun's own. */
export const rm: typeof promises.rm = promises.rm;
/** `rmdir` of Node.js, through the ring. @kernel 5.11 */
export const rmdir: typeof promises.rmdir = names.rmdir as unknown as typeof promises.rmdir;
/** `stat` of Node.js, through the ring. @kernel 5.6 */
export const stat: typeof promises.stat = looks.stat as unknown as typeof promises.stat;
/** `statfs` of Node.js, Bun's own. */
export const statfs: typeof promises.statfs = promises.statfs;
/** `symlink` of Node.js, through the ring. @kernel 5.15 */
export const symlink: typeof promises.symlink = names.symlink as unknown as typeof promises.symlink;
/** `truncate` of Node.js, Bun's own. */
export const truncate: typeof promises.truncate = promises.truncate;
/** `unlink` of Node.js, through the ring. @kernel 5.11 */
export const unlink: typeof promises.unlink = names.unlink as unknown as typeof promises.unlink;
/** `utimes` of Node.js, Bun's own. */
export const utimes: typeof promises.utimes = promises.utimes;
/** `watch` of Node.js, Bun's own. */
export const watch: typeof promises.watch = promises.watch;
/** Bun's own `write`, which Node.js has in another module. */
export const write: Unlisted["write"] = unlisted.write;
/** `writeFile` of Node.js. Strings and views to a path go through the ring, what is iterated over through Bun. @kernel 5.6 */
export const writeFile: typeof promises.writeFile = writes.writeFile as unknown as typeof promises.writeFile;
/** Bun's own `writev`, which Node.js has in another module. */
export const writev: Unlisted["writev"] = unlisted.writev;

const fs: Omit<typeof promises, "default"> & Unlisted = {
  access,
  appendFile,
  chmod,
  chown,
  close,
  constants,
  copyFile,
  cp,
  exists,
  fchmod,
  fchown,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  futimes,
  glob,
  lchmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  mkdtempDisposable,
  open,
  opendir,
  read,
  readFile,
  readdir,
  readlink,
  readv,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  truncate,
  unlink,
  utimes,
  watch,
  write,
  writeFile,
  writev,
};

/** All of them as one object, as node:fs/promises has it: `import fs from "bun-uring/fs"`. */
export { fs as default };
