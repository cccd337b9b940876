/**
 * The system calls of the copy, all but reading and writing: through the ring where it has them, through node:fs where
 * it has not. Each comes back as a number, 0 or more, or `-errno`.
 *
 * The ring has no operation for: reading a directory or a link, changing mode, owner or times, making FIFOs and
 * devices. Some came late; a kernel without them is noticed by asking, and node:fs does their work.
 */
import {
  chmodSync,
  chownSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from "node:fs";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  EILSEQ,
  EIO,
  EPERM,
  IORING_OP_FTRUNCATE,
  IORING_OP_MKDIRAT,
  IORING_OP_SYMLINKAT,
  IORING_OP_UNLINKAT,
  type Sqe,
  Statx,
  STATX_BASIC_STATS,
} from "bun-uring";
import type { Loop } from "./loop.ts";
import { FilePath } from "./path.ts";

/** The same on x86-64 and arm64; node:fs does not name it. */
const O_CLOEXEC = 0x80000;
const PERMISSIONS = 0o7777;
/** The bits that would lend the owner's or the group's rights: not for a copy that belongs to somebody else. */
const SET_ID = 0o6000;

/** Operations on files by their paths and descriptors. */
export class Files {
  readonly #loop: Loop;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /** What a path leads to, or names itself unless `follow`; or `-errno`. */
  async stat(path: FilePath, follow: boolean): Promise<Statx | number> {
    const statx = new Statx();
    const flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
    const { ring } = this.#loop;
    const sqe = ring.prepStatx(AT_FDCWD, path.terminated, flags, STATX_BASIC_STATS, statx);
    const result = await this.#loop.result(sqe, [path, statx]);
    return result < 0 ? result : statx;
  }

  /** The new descriptor. `waits`: as open(2) waits, for the other end of a FIFO. */
  open(path: FilePath, flags: number, mode: number, waits: boolean): Promise<number> {
    const sqe = this.#loop.ring.prepOpenat(AT_FDCWD, path.terminated, flags | O_CLOEXEC, mode);
    // Kernel: without this a FIFO is open at once, whether there is anybody at its other end or not.
    if (waits) sqe.async();
    return this.#loop.result(sqe, path);
  }

  close(fd: number): Promise<number> {
    return this.#loop.result(this.#loop.ring.prepClose(fd), undefined, false);
  }

  /** Kernel: from 6.9 through the ring. */
  truncate(fd: number, length: number): Promise<number> {
    return this.#either(
      IORING_OP_FTRUNCATE,
      () => this.#loop.ring.prepFtruncate(fd, length),
      () => ftruncateSync(fd, length),
    );
  }

  /** Kernel: from 5.15 through the ring. */
  mkdir(path: FilePath, mode: number): Promise<number> {
    return this.#either(
      IORING_OP_MKDIRAT,
      () => this.#loop.ring.prepMkdirat(AT_FDCWD, path.terminated, mode),
      () => mkdirSync(path.bytes, { mode }),
      path,
    );
  }

  /** Kernel: from 5.15 through the ring. */
  symlink(target: FilePath, path: FilePath): Promise<number> {
    return this.#either(
      IORING_OP_SYMLINKAT,
      () => this.#loop.ring.prepSymlinkat(target.terminated, AT_FDCWD, path.terminated),
      () => symlinkSync(target.bytes, path.bytes),
      [target, path],
    );
  }

  /** Kernel: from 5.11 through the ring. */
  unlink(path: FilePath): Promise<number> {
    return this.#either(
      IORING_OP_UNLINKAT,
      () => this.#loop.ring.prepUnlinkat(AT_FDCWD, path.terminated),
      () => unlinkSync(path.bytes),
      path,
    );
  }

  #either(operation: number, prepare: () => Sqe, instead: () => void, keep?: unknown): Promise<number> {
    return this.#loop.ring.supports(operation) ? this.#loop.result(prepare(), keep) : Promise.resolve(attempt(instead));
  }

  /** The names in a directory. */
  list(path: FilePath): Buffer[] | number {
    let names: Buffer[] = [];
    const result = attempt(() => {
      names = readdirSync(path.bytes, { encoding: "buffer" });
    });
    return result < 0 ? result : names;
  }

  /** What a symbolic link says. */
  readLink(path: FilePath): FilePath | number {
    let text: Buffer = Buffer.alloc(0);
    const result = attempt(() => {
      text = readlinkSync(path.bytes, { encoding: "buffer" });
    });
    return result < 0 ? result : new FilePath(text);
  }

  /** Makes a FIFO or a device. There is no call for it here but the system's own mknod(1). */
  makeSpecial(path: FilePath, from: Statx): number {
    const kinds: Record<number, string> = {
      [constants.S_IFIFO]: "p",
      [constants.S_IFCHR]: "c",
      [constants.S_IFBLK]: "b",
    };
    const kind = kinds[from.mode & constants.S_IFMT];
    if (kind === undefined) return -EPERM;
    const numbers = kind === "p" ? [] : [String(from.rdevMajor), String(from.rdevMinor)];
    // A command's arguments are text: a name that is no UTF-8 cannot be passed on.
    const name = path.bytes.toString();
    if (!path.bytes.equals(Buffer.from(name))) return -EILSEQ;
    const command = ["mknod", "--", name, kind, ...numbers];
    try {
      return Bun.spawnSync(command, { stderr: "ignore" }).exitCode === 0 ? 0 : -EPERM;
    } catch {
      return -EPERM;
    }
  }

  /** Gives an open file the owner, mode and times of another. */
  preserve(fd: number, from: Statx): number {
    return attempt(() => {
      const owned = attempt(() => fchownSync(fd, from.uid, from.gid)) === 0;
      fchmodSync(fd, from.mode & (owned ? PERMISSIONS : PERMISSIONS & ~SET_ID));
      futimesSync(fd, timeOf(from.atimeNs), timeOf(from.mtimeNs));
    });
  }

  /** The same by its path, for what is not opened. */
  preservePath(path: FilePath, from: Statx): number {
    return attempt(() => {
      if (from.isSymbolicLink()) {
        attempt(() => lchownSync(path.bytes, from.uid, from.gid));
        lutimesSync(path.bytes, timeOf(from.atimeNs), timeOf(from.mtimeNs));
        return;
      }
      const owned = attempt(() => chownSync(path.bytes, from.uid, from.gid)) === 0;
      chmodSync(path.bytes, from.mode & (owned ? PERMISSIONS : PERMISSIONS & ~SET_ID));
      utimesSync(path.bytes, timeOf(from.atimeNs), timeOf(from.mtimeNs));
    });
  }

  chmod(path: FilePath, mode: number): number {
    return attempt(() => chmodSync(path.bytes, mode));
  }
}

/**
 * A time as node:fs takes it: seconds with a fraction, which are exact to a quarter of a microsecond in our century.
 * Before 1970 only a Date will do, to the millisecond.
 */
function timeOf(ns: bigint): number | Date {
  return ns >= 0n ? Number(ns) / 1e9 : new Date(Number(ns) / 1e6);
}

/** What node:fs throws, as the number that the ring would have given. */
function attempt(act: () => void): number {
  try {
    act();
    return 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -EIO;
  }
}

/** Whether two paths led to one and the same file. */
export function isSameFile(a: Statx, b: Statx): boolean {
  return a.inoBigint === b.inoBigint && a.devMajor === b.devMajor && a.devMinor === b.devMinor;
}

/** Whether it can be read and written at any place: files and disks can. */
export function hasPlaces(statx: Statx): boolean {
  return statx.isFile() || (statx.mode & constants.S_IFMT) === constants.S_IFBLK;
}
