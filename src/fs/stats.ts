/** stat and its relatives. */
import { type BigIntStats, Stats, statSync } from "node:fs";
import { IORING_OP_STATX } from "../abi/constants.gen.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  SIZEOF_STATX,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from "../abi/linux.ts";
import { STATX_WORDS } from "../abi/statx.ts";
import type { Reactor } from "../async/reactor.ts";
import { Mapping } from "../memory.ts";
import { prepStatx } from "../ring/prep/fs.ts";
import type { Slot } from "../ring/prep/slot.ts";
import { pathOf, recordOf } from "./arguments.ts";
import { reactorFor } from "./door.ts";
import { type Subject, systemError } from "./errors.ts";
import { Job } from "./job.ts";
import { STATX } from "./operations.ts";
import { own } from "./own.ts";

/** Rooms of one {@link Mapping}: a power of two. */
const ROOMS_PER_PART = 256;
const PART_SHIFT = 8;
const WORDS = SIZEOF_STATX / 4;
const NOBODY = -1;

/** Rooms of 256 bytes for what statx tells. There are as many as were ever in flight at a time; none is given back. */
const parts: Mapping[] = [];
const free: number[] = [];

function takeRoom(): number {
  const room = free.pop();
  if (room !== undefined) return room;
  const first = parts.length * ROOMS_PER_PART;
  parts.push(Mapping.anonymous(ROOMS_PER_PART * SIZEOF_STATX));
  for (let next = first + ROOMS_PER_PART - 1; next > first; next--) free.push(next);
  return first;
}

/** A request for what there is to know of a file. */
abstract class Look<T> extends Job<T> {
  #room = NOBODY;

  /** @param fd a descriptor with an empty path, or AT_FDCWD. */
  constructor(fd: number, path: string, flags: number) {
    super(STATX, fd, path, flags);
  }

  override write(sqe: Slot): void {
    if (this.#room === NOBODY) this.#room = takeRoom();
    const part = parts[this.#room >> PART_SHIFT] as Mapping;
    const address = part.address + (this.#room & (ROOMS_PER_PART - 1)) * SIZEOF_STATX;
    prepStatx(sqe, this.a as number, this.b as string, this.c as number, STATX_BASIC_STATS | STATX_BTIME, address);
  }

  protected override next(_reactor: Reactor, res: number): void {
    const { words } = parts[this.#room >> PART_SHIFT] as Mapping;
    this.seen(res, words, (this.#room & (ROOMS_PER_PART - 1)) * WORDS);
    this.#leave();
  }

  /** The answer has come: `res`, and from `at` on the words of struct statx, which last until this returns. */
  protected abstract seen(res: number, words: Int32Array, at: number): void;

  override fail(error: unknown): void {
    this.#leave();
    super.fail(error);
  }

  #leave(): void {
    if (this.#room !== NOBODY) free.push(this.#room);
    this.#room = NOBODY;
  }
}

const {
  BLKSIZE,
  NLINK,
  UID,
  GID,
  MODE,
  INO,
  SIZE,
  BLOCKS,
  ATIME,
  BTIME,
  CTIME,
  MTIME,
  RDEV_MAJOR,
  RDEV_MINOR,
  DEV_MAJOR,
  DEV_MINOR,
} = STATX_WORDS;

function u32(words: Int32Array, at: number): number {
  return (words[at] as number) >>> 0;
}

function u64(words: Int32Array, at: number): number {
  return u32(words, at) + u32(words, at + 1) * 2 ** 32;
}

/** A time, a signed number of seconds and 32 bits of nanoseconds, in milliseconds. */
function ms(words: Int32Array, at: number): number {
  return ((words[at + 1] as number) * 2 ** 32 + u32(words, at)) * 1000 + u32(words, at + 2) / 1e6;
}

/** A device's number as one, as C does it. */
function device(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 2 ** 8 + (minor >>> 8) * 2 ** 20 + (major >>> 12) * 2 ** 44;
}

/** A file's kind and permissions. */
function modeIn(words: Int32Array, at: number): number {
  return u32(words, at + MODE) & 0xffff;
}

type Fields = Record<string, number | bigint>;
type Maker<T> = new (words: Int32Array, at: number) => T;

/** Bun's own class is several times slower to construct than an object of the same shape with its prototype. */
function NumberStats(this: Fields, words: Int32Array, at: number): void {
  this["dev"] = device(u32(words, at + DEV_MAJOR), u32(words, at + DEV_MINOR));
  this["ino"] = u64(words, at + INO);
  this["mode"] = modeIn(words, at);
  this["nlink"] = u32(words, at + NLINK);
  this["uid"] = u32(words, at + UID);
  this["gid"] = u32(words, at + GID);
  this["rdev"] = device(u32(words, at + RDEV_MAJOR), u32(words, at + RDEV_MINOR));
  this["size"] = u64(words, at + SIZE);
  this["blksize"] = u32(words, at + BLKSIZE);
  this["blocks"] = u64(words, at + BLOCKS);
  this["atimeMs"] = ms(words, at + ATIME);
  this["mtimeMs"] = ms(words, at + MTIME);
  this["ctimeMs"] = ms(words, at + CTIME);
  this["birthtimeMs"] = ms(words, at + BTIME);
}
NumberStats.prototype = Stats.prototype;

function big(words: Int32Array, at: number): bigint {
  return (BigInt(u32(words, at + 1)) << 32n) | BigInt(u32(words, at));
}

function ns(words: Int32Array, at: number): bigint {
  return BigInt.asIntN(64, big(words, at)) * 1_000_000_000n + BigInt(u32(words, at + 2));
}

function LargeStats(this: Fields, words: Int32Array, at: number): void {
  const atime = ns(words, at + ATIME);
  const mtime = ns(words, at + MTIME);
  const ctime = ns(words, at + CTIME);
  const birthtime = ns(words, at + BTIME);
  this["dev"] = BigInt(device(u32(words, at + DEV_MAJOR), u32(words, at + DEV_MINOR)));
  this["ino"] = big(words, at + INO);
  this["mode"] = BigInt(modeIn(words, at));
  this["nlink"] = BigInt(u32(words, at + NLINK));
  this["uid"] = BigInt(u32(words, at + UID));
  this["gid"] = BigInt(u32(words, at + GID));
  this["rdev"] = BigInt(device(u32(words, at + RDEV_MAJOR), u32(words, at + RDEV_MINOR)));
  this["size"] = big(words, at + SIZE);
  this["blksize"] = BigInt(u32(words, at + BLKSIZE));
  this["blocks"] = big(words, at + BLOCKS);
  this["atimeMs"] = atime / 1_000_000n;
  this["mtimeMs"] = mtime / 1_000_000n;
  this["ctimeMs"] = ctime / 1_000_000n;
  this["birthtimeMs"] = birthtime / 1_000_000n;
  this["atimeNs"] = atime;
  this["mtimeNs"] = mtime;
  this["ctimeNs"] = ctime;
  this["birthtimeNs"] = birthtime;
}

const makeNumberStats = NumberStats as unknown as Maker<Stats>;
let makeLargeStats: Maker<BigIntStats> | undefined;

/** The class is no export of node:fs: its prototype is that of whatever is one. */
function largeStats(): Maker<BigIntStats> {
  LargeStats.prototype = Object.getPrototypeOf(statSync("/", { bigint: true }));
  return LargeStats as unknown as Maker<BigIntStats>;
}

/** A {@link Look} for a Stats or BigIntStats. */
class StatLook extends Look<Stats | BigIntStats> {
  readonly #bigint: boolean;
  readonly #syscall: string;
  readonly #subject: Subject;
  readonly #after: (() => void) | undefined;

  /** @param syscall what Node.js calls it. @param after is called when it is over, before the promise is settled. */
  constructor(
    fd: number,
    path: string,
    flags: number,
    bigint: boolean,
    syscall: string,
    subject: Subject,
    after?: () => void,
  ) {
    super(fd, path, flags);
    this.#bigint = bigint;
    this.#syscall = syscall;
    this.#subject = subject;
    this.#after = after;
  }

  protected override seen(res: number, words: Int32Array, at: number): void {
    this.#after?.();
    if (res < 0) this.reject(systemError(res, this.#syscall, this.#subject));
    else if (this.#bigint) this.resolve(new (makeLargeStats ??= largeStats())(words, at));
    else this.resolve(new makeNumberStats(words, at));
  }

  override fail(error: unknown): void {
    this.#after?.();
    super.fail(error);
  }
}

/** Whether options ask for bigints; undefined where they are not plain. */
export function bigintOf(options: unknown): boolean | undefined {
  if (options === undefined) return false;
  const record = recordOf(options);
  if (record === undefined || record["throwIfNoEntry"] !== undefined) return undefined;
  const { bigint = false } = record as { bigint?: unknown };
  return typeof bigint === "boolean" ? bigint : undefined;
}

/** stat(path[, options]). */
export function stat(path: unknown, options?: unknown): Promise<Stats | BigIntStats> {
  const plain = pathOf(path);
  const bigint = bigintOf(options);
  const reactor = plain === undefined || bigint === undefined ? undefined : reactorFor(IORING_OP_STATX);
  if (reactor === undefined) return own.stat(path, options);
  return new StatLook(AT_FDCWD, plain as string, 0, bigint as boolean, "stat", { path: plain }).begin(reactor);
}

/** lstat(path[, options]). */
export function lstat(path: unknown, options?: unknown): Promise<Stats | BigIntStats> {
  const plain = pathOf(path);
  const bigint = bigintOf(options);
  const reactor = plain === undefined || bigint === undefined ? undefined : reactorFor(IORING_OP_STATX);
  if (reactor === undefined) return own.lstat(path, options);
  const look = new StatLook(AT_FDCWD, plain as string, AT_SYMLINK_NOFOLLOW, bigint as boolean, "lstat", {
    path: plain,
  });
  return look.begin(reactor);
}

/** fstat(fd). @param after is called when it is over, before the promise is settled. */
export function fstat(reactor: Reactor, fd: number, bigint: boolean, after: () => void): Promise<Stats | BigIntStats> {
  return new StatLook(fd, "", AT_EMPTY_PATH, bigint, "fstat", {}, after).begin(reactor);
}

/** A {@link Look} at a descriptor for two numbers, which are -1 where it cannot be looked at. */
export class Glance extends Look<void> {
  readonly #seen: (mode: number, sizeBytes: number) => void;

  /** @param seen is called with the file's kind and permissions and its size. */
  constructor(fd: number, seen: (mode: number, sizeBytes: number) => void) {
    super(fd, "", AT_EMPTY_PATH);
    this.#seen = seen;
  }

  protected override seen(res: number, words: Int32Array, at: number): void {
    if (res < 0) this.#seen(-1, -1);
    else this.#seen(modeIn(words, at), u64(words, at + SIZE));
  }

  override fail(error: unknown): void {
    super.fail(error);
    // Nobody waits for the promise: who asked is told in this way.
    this.promise.catch(() => undefined);
    this.#seen(-1, -1);
  }
}
