/**
 * The structs that operations take by address, as objects with an address: each owns its memory, keeps it in one place,
 * and keeps alive what it points at. Keep the object itself until the kernel is done with the struct. Layouts are those
 * of 64-bit Linux, which x86-64 and arm64 share.
 */
import { SIZEOF_IOVEC, SIZEOF_TIMESPEC, SIZEOF_MSGHDR, SIZEOF_OPEN_HOW } from "../abi/linux.ts";
import { describe, rangeError, typeError } from "../errors.ts";
import { addressOf, lengthOf, type Located, type Memory } from "../memory.ts";
import { checkCount, checkU64, countOf } from "./prep/check.ts";

const NS_PER_SECOND = 1e9;
const IOVEC_WORDS: number = SIZEOF_IOVEC / 4;

/**
 * A span or point of time: struct __kernel_timespec. The kernel reads it while it takes the entry, so one object serves
 * one request after another.
 *
 * ```ts
 * const ts = Timespec.ofMs(250);
 * ring.prepTimeout(ts);
 * ```
 */
export class Timespec implements Located {
  readonly byteLength: number = SIZEOF_TIMESPEC;
  readonly address: number;
  readonly #words: Int32Array = new Int32Array(SIZEOF_TIMESPEC / 4);

  /**
   * @param seconds whole seconds.
   * @param nanoseconds 0 to 999,999,999.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  constructor(seconds: number = 0, nanoseconds: number = 0) {
    this.set(seconds, nanoseconds);
    this.address = addressOf(this.#words);
  }

  /** A time in milliseconds, which need not be whole. @throws as {@link setMs}. */
  static ofMs(milliseconds: number): Timespec {
    return new Timespec().setMs(milliseconds);
  }

  /** Changes it to whole seconds and 0 to 999,999,999 nanoseconds. @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`. */
  set(seconds: number, nanoseconds: number = 0): this {
    if (!Number.isSafeInteger(seconds) || seconds < 0) throw badTime("seconds", seconds);
    if (!Number.isInteger(nanoseconds) || nanoseconds < 0 || nanoseconds >= NS_PER_SECOND) {
      throw badTime("nanoseconds", nanoseconds);
    }
    this.#words[0] = seconds;
    this.#words[1] = seconds * 2 ** -32;
    this.#words[2] = nanoseconds;
    this.#words[3] = 0;
    return this;
  }

  /**
   * Changes it to milliseconds from 0 to 2^53 - 1; parts of one count down to the nanosecond.
   *
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  setMs(milliseconds: number): this {
    if (typeof milliseconds !== "number" || !(milliseconds >= 0 && milliseconds <= Number.MAX_SAFE_INTEGER)) {
      throw badTime("milliseconds", milliseconds);
    }
    const seconds = Math.floor(milliseconds / 1000);
    const nanoseconds = Math.round((milliseconds - seconds * 1000) * 1e6);
    return nanoseconds === NS_PER_SECOND ? this.set(seconds + 1) : this.set(seconds, nanoseconds);
  }

  /** Its whole seconds. */
  get seconds(): number {
    return u64At(this.#words, 0);
  }

  /** Its nanoseconds past the second. */
  get nanoseconds(): number {
    return this.#words[2] as number;
  }

  /** All of it, in milliseconds. */
  get ms(): number {
    return this.seconds * 1000 + this.nanoseconds / 1e6;
  }
}

function badTime(unit: string, value: unknown): TypeError | RangeError {
  const message = `Cannot use ${describe(value)} as ${unit}`;
  return typeof value === "number"
    ? rangeError("ERR_URING_ARG_VALUE", message)
    : typeError("ERR_URING_ARG_TYPE", message);
}

/**
 * An array of struct iovec: where several pieces of memory are. It keeps what {@link set} puts into it. The kernel reads
 * the array while it takes the entry; the pieces are in use until the completion.
 *
 * ```ts
 * const iovecs = new Iovecs([header, body]);
 * ring.prepWritev(fd, iovecs, 0);
 * ```
 */
export class Iovecs implements Located {
  readonly byteLength: number;
  readonly address: number;
  /** How many pieces it has. */
  readonly length: number;
  readonly #words: Int32Array;
  #pieces: (Memory | undefined)[];
  /** Whether somebody relies on #pieces as it is. */
  #held = false;

  /**
   * @param pieces the pieces of memory, or how many there will be: they are empty until {@link set}.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`, `ERR_URING_BUFFER`.
   */
  constructor(pieces: readonly Memory[] | number) {
    if (typeof pieces !== "number" && !Array.isArray(pieces)) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot make iovecs of ${describe(pieces)}: it is no array`);
    }
    const count = typeof pieces === "number" ? pieces : pieces.length;
    checkCount("number of iovecs", count);
    this.length = count;
    this.byteLength = count * SIZEOF_IOVEC;
    this.#words = new Int32Array(count * IOVEC_WORDS);
    this.#pieces = Array.from<Memory | undefined>({ length: count });
    this.address = addressOf(this.#words);
    if (typeof pieces !== "number") pieces.forEach((piece, index) => this.set(index, piece));
  }

  /**
   * Makes `memory`, or the first `length` bytes of it, the piece at `index`.
   *
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`, `ERR_URING_BUFFER`; the piece that was
   * there stays.
   */
  set(index: number, memory: Memory, length?: number): this {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot set iovec ${describe(index)}: there are ${this.length}`);
    }
    const address = addressOf(memory);
    const bytes = lengthOf(memory, length);
    const at = index * IOVEC_WORDS;
    setU64(this.#words, at, address);
    setU64(this.#words, at + 2, bytes);
    if (this.#held) {
      this.#pieces = [...this.#pieces];
      this.#held = false;
    }
    this.#pieces[index] = memory;
    return this;
  }

  /** @internal What keeps the pieces of now alive, whatever {@link set} puts in their places later. */
  hold(): unknown {
    this.#held = true;
    return this.#pieces;
  }

  /** How many bytes the piece at `index` has. */
  lengthAt(index: number): number {
    return u64At(this.#words, index * IOVEC_WORDS + 2);
  }

  /** How many bytes all pieces have together. */
  get totalBytes(): number {
    let total = 0;
    for (let index = 0; index < this.length; index++) total += this.lengthAt(index);
    return total;
  }
}

/** What a {@link Msghdr} names. */
export interface MsghdrParts {
  /** Where to send, or room for where it came from: a struct sockaddr. */
  name?: Memory | null;
  /** The data, an array of struct iovec: usually an {@link Iovecs}. */
  iovecs?: Memory | null;
  /** Control messages to send, or room for those that come. */
  control?: Memory | null;
}

/** Words of struct msghdr: name, namelen, iov, iovlen, control, controllen, flags. */
const MSG_NAME = 0;
const MSG_NAMELEN = 2;
const MSG_IOV = 4;
const MSG_IOVLEN = 6;
const MSG_CONTROL = 8;
const MSG_CONTROLLEN = 10;
const MSG_FLAGS = 12;

/**
 * What sendmsg and recvmsg transfer: struct msghdr. It keeps what it names. recvmsg changes its lengths and flags, which
 * can then be read here; {@link reset} makes it fit for the next one.
 *
 * ```ts
 * const msg = new Msghdr({ name: peer, iovecs: new Iovecs([data]) });
 * ring.prepSendmsg(fd, msg);
 * ```
 */
export class Msghdr implements Located {
  readonly byteLength: number = SIZEOF_MSGHDR;
  readonly address: number;
  readonly #words: Int32Array = new Int32Array(SIZEOF_MSGHDR / 4);
  /** What the struct points at, so that it lives as long as the struct does. */
  #parts: MsghdrParts & { pieces?: unknown } = {};
  /** Whether somebody relies on #parts as they are. */
  #held = false;
  #nameRoom = 0;
  #controlRoom = 0;

  /** @throws TypeError or RangeError as the setters do. */
  constructor(parts: MsghdrParts = {}) {
    this.address = addressOf(this.#words);
    this.setName(parts.name ?? null);
    this.setIovecs(parts.iovecs ?? null);
    this.setControl(parts.control ?? null);
  }

  /** Sets or clears the address. @throws TypeError or RangeError for what is no memory or too short for `length`. */
  setName(name: Memory | null, length?: number): this {
    const address = name === null ? 0 : addressOf(name);
    const bytes = lengthOf(name ?? 0, length);
    setU64(this.#words, MSG_NAME, address);
    this.#words[MSG_NAMELEN] = this.#nameRoom = bytes;
    this.#own().name = name;
    return this;
  }

  /** Sets or clears the data. @throws TypeError or RangeError for what is no memory or too short for `count`. */
  setIovecs(iovecs: Memory | null, count?: number): this {
    const address = iovecs === null ? 0 : addressOf(iovecs);
    const number = countOf("iovecs", iovecs ?? 0, SIZEOF_IOVEC, count);
    setU64(this.#words, MSG_IOV, address);
    setU64(this.#words, MSG_IOVLEN, number);
    this.#own().iovecs = iovecs;
    return this;
  }

  /** Sets or clears the control messages. @throws TypeError or RangeError for what is no memory or too short. */
  setControl(control: Memory | null, length?: number): this {
    const address = control === null ? 0 : addressOf(control);
    const bytes = lengthOf(control ?? 0, length);
    setU64(this.#words, MSG_CONTROL, address);
    setU64(this.#words, MSG_CONTROLLEN, bytes);
    this.#controlRoom = bytes;
    this.#own().control = control;
    return this;
  }

  /** @internal What keeps alive what it names now, whatever is set later. */
  hold(): unknown {
    const { iovecs } = this.#parts;
    const pieces = iovecs instanceof Iovecs ? iovecs.hold() : undefined;
    if (this.#parts.pieces !== pieces) this.#own().pieces = pieces;
    this.#held = true;
    return this.#parts;
  }

  /** The parts, to be changed. */
  #own(): MsghdrParts & { pieces?: unknown } {
    if (this.#held) {
      this.#parts = { ...this.#parts };
      this.#held = false;
    }
    return this.#parts;
  }

  /** Puts back the lengths that recvmsg changed, and clears the flags that it left. */
  reset(): this {
    this.#words[MSG_NAMELEN] = this.#nameRoom;
    setU64(this.#words, MSG_CONTROLLEN, this.#controlRoom);
    this.#words[MSG_FLAGS] = 0;
    return this;
  }

  /** Bytes of the address; after recvmsg of the sender's, which is cut where this is more than there was room for. */
  get nameLength(): number {
    return (this.#words[MSG_NAMELEN] as number) >>> 0;
  }

  /** Bytes of control messages; after recvmsg of those that came. */
  get controlLength(): number {
    return u64At(this.#words, MSG_CONTROLLEN);
  }

  /** After recvmsg: MSG_TRUNC, MSG_CTRUNC and the like. */
  get flags(): number {
    return this.#words[MSG_FLAGS] as number;
  }
}

/**
 * How openat2 opens: struct open_how. The kernel reads it while it takes the entry, so one object serves one request
 * after another.
 *
 * ```ts
 * ring.prepOpenat2(AT_FDCWD, "file", new OpenHow(O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
 * ```
 */
export class OpenHow implements Located {
  readonly byteLength: number = SIZEOF_OPEN_HOW;
  readonly address: number;
  readonly #words: Int32Array = new Int32Array(SIZEOF_OPEN_HOW / 4);

  /**
   * @param flags O_*, of which openat2 refuses those it does not know.
   * @param mode the mode of a file that is made; must be 0 where none can be.
   * @param resolve RESOLVE_*: what the path may lead through.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  constructor(flags: number | bigint = 0, mode: number | bigint = 0, resolve: number | bigint = 0) {
    this.set(flags, mode, resolve);
    this.address = addressOf(this.#words);
  }

  /** Changes all three. @throws as the constructor. */
  set(flags: number | bigint, mode: number | bigint = 0, resolve: number | bigint = 0): this {
    checkU64("open flags", flags);
    checkU64("mode", mode);
    checkU64("resolve flags", resolve);
    setU64(this.#words, 0, flags);
    setU64(this.#words, 2, mode);
    setU64(this.#words, 4, resolve);
    return this;
  }
}

/** @internal Stores an unsigned value of 64 bits, low word first. */
export function setU64(words: Int32Array, at: number, value: number | bigint): void {
  if (typeof value === "number") {
    words[at] = value;
    words[at + 1] = value * 2 ** -32;
    return;
  }
  words[at] = Number(BigInt.asIntN(32, value));
  words[at + 1] = Number(BigInt.asIntN(32, value >> 32n));
}

/** @internal Reads an unsigned value of 64 bits; past 2^53 it is rounded. */
export function u64At(words: Int32Array, at: number): number {
  return ((words[at] as number) >>> 0) + ((words[at + 1] as number) >>> 0) * 2 ** 32;
}
