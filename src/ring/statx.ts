/** What statx tells of a file. */
import { SIZEOF_STATX } from "../abi/linux.ts";
import { STATX_WORDS } from "../abi/statx.ts";
import { addressOf, type Located } from "../memory.ts";
import { u64At } from "./structs.ts";

const S_IFMT = 0xf000;
const S_IFDIR = 0x4000;
const S_IFREG = 0x8000;
const S_IFLNK = 0xa000;

const {
  MASK,
  BLKSIZE,
  ATTRIBUTES,
  NLINK,
  UID,
  GID,
  MODE,
  INO,
  SIZE,
  BLOCKS,
  ATTRIBUTES_MASK,
  ATIME,
  BTIME,
  CTIME,
  MTIME,
  RDEV_MAJOR,
  RDEV_MINOR,
  DEV_MAJOR,
  DEV_MINOR,
  MNT_ID,
  DIO_MEM_ALIGN,
  DIO_OFFSET_ALIGN,
  SUBVOL,
  ATOMIC_WRITE_UNIT_MIN,
  ATOMIC_WRITE_UNIT_MAX,
  ATOMIC_WRITE_SEGMENTS_MAX,
  DIO_READ_OFFSET_ALIGN,
} = STATX_WORDS;

/**
 * Room for what statx tells: struct statx, 256 bytes that must live until the completion. A field means something only
 * where {@link mask} has its STATX_* bit after the completion, which filesystems set for what they have, asked or not.
 * Numbers of 64 bits are exact up to 2^53; times are since 1970.
 *
 * ```ts
 * const statx = new Statx();
 * ring.prepStatx(AT_FDCWD, "file", 0, STATX_SIZE | STATX_MTIME, statx);
 * ```
 */
export class Statx implements Located {
  readonly byteLength: number = SIZEOF_STATX;
  readonly address: number;
  readonly #words: Int32Array = new Int32Array(SIZEOF_STATX / 4);

  /** Makes room, with every field 0 until a completion fills it. */
  constructor() {
    this.address = addressOf(this.#words);
  }

  /** Which of the fields below are filled in: STATX_*. */
  get mask(): number {
    return this.#u32(MASK);
  }

  /** The block size that suits reads and writes best. Always filled in. */
  get blksize(): number {
    return this.#u32(BLKSIZE);
  }

  /** STATX_ATTR_*, of which {@link attributesMask} says which the filesystem knows. Always filled in. */
  get attributes(): number {
    return u64At(this.#words, ATTRIBUTES);
  }

  /** The attributes that the filesystem knows. Always filled in. */
  get attributesMask(): number {
    return u64At(this.#words, ATTRIBUTES_MASK);
  }

  /** How many names the file has. `STATX_NLINK` */
  get nlink(): number {
    return this.#u32(NLINK);
  }

  /** Its owner. `STATX_UID` */
  get uid(): number {
    return this.#u32(UID);
  }

  /** Its group. `STATX_GID` */
  get gid(): number {
    return this.#u32(GID);
  }

  /** Its kind and permissions. `STATX_TYPE`, `STATX_MODE` */
  get mode(): number {
    return this.#u32(MODE) & 0xffff;
  }

  /** Its number in the filesystem, rounded past 2^53. `STATX_INO` */
  get ino(): number {
    return u64At(this.#words, INO);
  }

  /** Its number in the filesystem, exact. `STATX_INO` */
  get inoBigint(): bigint {
    return this.#bigint(INO);
  }

  /** Its length in bytes. `STATX_SIZE` */
  get size(): number {
    return u64At(this.#words, SIZE);
  }

  /** How many blocks of 512 bytes it takes. `STATX_BLOCKS` */
  get blocks(): number {
    return u64At(this.#words, BLOCKS);
  }

  /** When it was last read, in milliseconds. `STATX_ATIME` */
  get atimeMs(): number {
    return this.#ms(ATIME);
  }

  /** When it was last read, in nanoseconds. `STATX_ATIME` */
  get atimeNs(): bigint {
    return this.#ns(ATIME);
  }

  /** When it was made, in milliseconds. `STATX_BTIME` */
  get btimeMs(): number {
    return this.#ms(BTIME);
  }

  /** When it was made, in nanoseconds. `STATX_BTIME` */
  get btimeNs(): bigint {
    return this.#ns(BTIME);
  }

  /** When its status last changed, in milliseconds. `STATX_CTIME` */
  get ctimeMs(): number {
    return this.#ms(CTIME);
  }

  /** When its status last changed, in nanoseconds. `STATX_CTIME` */
  get ctimeNs(): bigint {
    return this.#ns(CTIME);
  }

  /** When its content last changed, in milliseconds. `STATX_MTIME` */
  get mtimeMs(): number {
    return this.#ms(MTIME);
  }

  /** When its content last changed, in nanoseconds. `STATX_MTIME` */
  get mtimeNs(): bigint {
    return this.#ns(MTIME);
  }

  /** Which device a device file stands for, its major number. Always filled in. */
  get rdevMajor(): number {
    return this.#u32(RDEV_MAJOR);
  }

  /** Which device a device file stands for, its minor number. Always filled in. */
  get rdevMinor(): number {
    return this.#u32(RDEV_MINOR);
  }

  /** The device that the filesystem is on, its major number. Always filled in. */
  get devMajor(): number {
    return this.#u32(DEV_MAJOR);
  }

  /** The device that the filesystem is on, its minor number. Always filled in. */
  get devMinor(): number {
    return this.#u32(DEV_MINOR);
  }

  /** The mount that it was found on. `STATX_MNT_ID`, and `STATX_MNT_ID_UNIQUE` for a number that is never used again. */
  get mntId(): number {
    return u64At(this.#words, MNT_ID);
  }

  /** How memory must be aligned for direct reads and writes, 0 where there are none. `STATX_DIOALIGN` */
  get dioMemAlign(): number {
    return this.#u32(DIO_MEM_ALIGN);
  }

  /** How offsets and lengths must be aligned for direct reads and writes. `STATX_DIOALIGN` */
  get dioOffsetAlign(): number {
    return this.#u32(DIO_OFFSET_ALIGN);
  }

  /** How offsets must be aligned for direct reads, 0 for {@link dioOffsetAlign}. `STATX_DIO_READ_ALIGN` */
  get dioReadOffsetAlign(): number {
    return this.#u32(DIO_READ_OFFSET_ALIGN);
  }

  /** The subvolume that it is in. `STATX_SUBVOL` */
  get subvol(): number {
    return u64At(this.#words, SUBVOL);
  }

  /** The least that RWF_ATOMIC writes, in bytes. `STATX_WRITE_ATOMIC` */
  get atomicWriteUnitMin(): number {
    return this.#u32(ATOMIC_WRITE_UNIT_MIN);
  }

  /** The most that RWF_ATOMIC writes, in bytes. `STATX_WRITE_ATOMIC` */
  get atomicWriteUnitMax(): number {
    return this.#u32(ATOMIC_WRITE_UNIT_MAX);
  }

  /** The most iovecs that an RWF_ATOMIC write takes. `STATX_WRITE_ATOMIC` */
  get atomicWriteSegmentsMax(): number {
    return this.#u32(ATOMIC_WRITE_SEGMENTS_MAX);
  }

  /** Whether it is a regular file. `STATX_TYPE` */
  isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  /** Whether it is a directory. `STATX_TYPE` */
  isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  /** Whether it is a symbolic link, told by AT_SYMLINK_NOFOLLOW. `STATX_TYPE` */
  isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }

  #u32(at: number): number {
    return (this.#words[at] as number) >>> 0;
  }

  #bigint(at: number): bigint {
    return (BigInt(this.#u32(at + 1)) << 32n) | BigInt(this.#u32(at));
  }

  /** A time is a signed 64-bit number of seconds, then 32 bits of nanoseconds. */
  #ns(at: number): bigint {
    return BigInt.asIntN(64, this.#bigint(at)) * 1_000_000_000n + BigInt(this.#u32(at + 2));
  }

  #ms(at: number): number {
    const seconds = (this.#words[at + 1] as number) * 2 ** 32 + this.#u32(at);
    return seconds * 1000 + this.#u32(at + 2) / 1e6;
  }
}
