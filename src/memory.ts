/**
 * The only door to addresses. Who keeps memory alive: whoever made it. A view that a caller passes stays the caller's
 * to keep until the request's last completion; memory that the library maps ({@link Mapping}) belongs to no garbage
 * collector and goes when its owner closes it, never earlier.
 */
import { ptr, toArrayBuffer } from "bun:ffi";
import { syscalls } from "../syscall/shim.ts";
import { describe, rangeError, stateError, typeError, UringError } from "./errors.ts";

/** Something that has a fixed place in memory: a pool's buffer, a {@link Mapping}, one of the struct builders. */
export interface Located {
  /** Where it begins, as the kernel sees it; 0 once it was given back. */
  readonly address: number;
  /** How many bytes it spans. */
  readonly byteLength: number;
}

/**
 * Memory that a request reads or writes: a view, a whole buffer, something {@link Located}, or a bare address as a
 * number. The memory must stay where it is, and alive, until the request's last completion: an address or a view that
 * is only in scope keeps nothing alive. Resizable buffers are refused, because they can shrink while the kernel writes.
 */
export type Memory = NodeJS.ArrayBufferView | ArrayBuffer | SharedArrayBuffer | Located | number;

/** A path or name for the kernel: a string, or NUL-terminated bytes of the caller's. */
export type Path = string | Memory;

/**
 * The address of `memory`, which it keeps for as long as it lives and is neither detached nor resized.
 *
 * Keep the number instead of asking again in hot loops; keep the memory referenced as well, the number does not.
 *
 * @throws TypeError `ERR_URING_ARG_TYPE` for what is no memory; `ERR_URING_BUFFER` for a detached or resizable buffer;
 * Error `ERR_URING_CLOSED` for memory of a closed owner.
 */
export function addressOf(memory: Memory): number {
  if (typeof memory === "number") {
    if (memory >= 0 && memory <= Number.MAX_SAFE_INTEGER && Math.floor(memory) === memory) return memory;
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot use ${memory} as an address: it is no whole number from 0 up`);
  }
  if (ArrayBuffer.isView(memory)) return addressOfView(memory);
  return addressOfOther(memory);
}

function addressOfView(view: NodeJS.ArrayBufferView): number {
  // Bun: a small typed array moves when its buffer is first touched; touching it here, before ptr(), settles it for
  // good. test/syscall/bun.test.ts says when this can go.
  refuseUnstable(view.buffer);
  if (view.byteLength === 0) return 0;
  // Lifetime: the caller keeps the view until the request's last completion.
  return ptr(view);
}

function addressOfOther(memory: Exclude<Memory, number | NodeJS.ArrayBufferView>): number {
  if (memory instanceof ArrayBuffer || memory instanceof SharedArrayBuffer) {
    refuseUnstable(memory);
    if (memory.byteLength === 0) return 0;
    // Lifetime: the caller keeps the buffer until the request's last completion.
    return ptr(new Uint8Array(memory));
  }
  const address = (memory as Located | null | undefined)?.address;
  if (typeof address === "number" && typeof memory.byteLength === "number") {
    if (address !== 0) return address;
    throw stateError("ERR_URING_CLOSED", "Cannot use this memory: it was given back when its owner was closed");
  }
  throw typeError("ERR_URING_ARG_TYPE", `Cannot take the address of ${describe(memory)}: it is not memory`);
}

function refuseUnstable(buffer: ArrayBufferLike): void {
  const { resizable, detached } = buffer as ArrayBuffer;
  if (resizable || (buffer as SharedArrayBuffer).growable) {
    throw typeError(
      "ERR_URING_BUFFER",
      "Cannot use a resizable buffer: it could shrink while the kernel writes; copy it to a fixed one",
    );
  }
  if (detached) {
    throw typeError("ERR_URING_BUFFER", "Cannot use a detached buffer: its memory was transferred elsewhere");
  }
}

/**
 * How many bytes of `memory` a request covers: all of it, or `length` where one is given.
 *
 * @throws RangeError `ERR_URING_ARG_VALUE` for a length that is not whole, is past `memory` or past 2^31 - 1;
 * TypeError `ERR_URING_ARG_TYPE` for a bare address without a length.
 */
export function lengthOf(memory: Memory, length: number | undefined): number {
  const available = typeof memory === "number" ? MAX_LENGTH : byteLengthOf(memory);
  if (length === undefined) {
    if (typeof memory === "number" && memory !== 0) {
      throw typeError("ERR_URING_ARG_TYPE", "Cannot tell how long the memory at an address is: pass its length");
    }
    if (typeof memory === "number") return 0;
    if (available > MAX_LENGTH) throw tooLong(available);
    return available;
  }
  if (typeof length !== "number" || length < 0 || Math.floor(length) !== length) {
    const message = `Cannot use ${describe(length)} as a length: it is no whole number from 0`;
    throw typeof length === "number"
      ? rangeError("ERR_URING_ARG_VALUE", message)
      : typeError("ERR_URING_ARG_TYPE", message);
  }
  if (length > MAX_LENGTH) throw tooLong(length);
  if (length > available) {
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot use a length of ${length}: the memory has ${available} bytes`);
  }
  return length;
}

/** The most bytes that one request can name: the kernel's count is a signed 32-bit number in the end. */
const MAX_LENGTH = 2 ** 31 - 1;

function tooLong(length: number): RangeError {
  return rangeError(
    "ERR_URING_ARG_VALUE",
    `Cannot use a length of ${length}: one request moves 2147483647 bytes at most`,
  );
}

function byteLengthOf(memory: Exclude<Memory, number>): number {
  const length: unknown = (memory as Located | null | undefined)?.byteLength;
  if (typeof length === "number") return length;
  throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(memory)} as memory`);
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MAP_HUGETLB = 0x40000;
const MADV_DONTFORK = 10;
const MADV_WIPEONFORK = 18;

/** How anonymous memory is to be mapped. */
export interface MappingOptions {
  /** Take huge pages from the system's pool (`vm.nr_hugepages`); `lengthBytes` is then a multiple of their size. */
  hugePages?: boolean;
  /** Have every page present at once, not at first touch. */
  populate?: boolean;
}

/**
 * Memory mapped by the library: outside the garbage collector, immovable, never handed to a forked child. Its views
 * are empty after {@link close}, not dangling.
 */
export class Mapping implements Located {
  #address: number;
  #byteLength: number;
  /** The memory as bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The memory as 32-bit words, as many as fit. */
  readonly words: Int32Array<ArrayBuffer>;
  readonly #buffer: ArrayBuffer;

  private constructor(address: number, lengthBytes: number) {
    this.#address = address;
    this.#byteLength = lengthBytes;
    // Lifetime: the mapping outlives every view of it, because close() empties the views before it unmaps.
    this.#buffer = toArrayBuffer(address as Parameters<typeof toArrayBuffer>[0], 0, lengthBytes) as ArrayBuffer;
    this.bytes = new Uint8Array(this.#buffer);
    this.words = new Int32Array(this.#buffer, 0, lengthBytes >>> 2);
  }

  /** Where it begins; 0 once closed. */
  get address(): number {
    return this.#address;
  }

  /** How many bytes it has; 0 once closed. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * Zeroed memory of the process's own.
   *
   * @throws UringError ENOMEM where there is not enough memory or, with `hugePages`, not enough huge pages.
   */
  static anonymous(lengthBytes: number, options: MappingOptions = {}): Mapping {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // Huge pages that are not reserved would be missed at first touch, by a signal that kills the process.
    flags |= options.hugePages === true ? MAP_HUGETLB : MAP_NORESERVE;
    if (options.populate === true) flags |= MAP_POPULATE;
    return Mapping.#map(lengthBytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  }

  /** A window on a descriptor's memory: a ring's queues, a kernel-made buffer ring. `offset` is in bytes. */
  static ofDescriptor(fd: number, offset: number, lengthBytes: number): Mapping {
    return Mapping.#map(lengthBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  }

  /**
   * A window that can only be read, as some drivers allow no other. Writing to its views kills the process with SIGSEGV,
   * and so does Atomics.load(), which writes.
   */
  static readOnly(fd: number, offset: number, lengthBytes: number): Mapping {
    return Mapping.#map(lengthBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, offset);
  }

  static #map(lengthBytes: number, protection: number, flags: number, fd: number, offset: number): Mapping {
    const { mmap, madvise } = syscalls();
    const address = mmap(0, lengthBytes, protection, flags, fd, offset);
    if (address < 0) throw new UringError(address, "mmap", `${lengthBytes} bytes`);
    // A forked child that wrote to a shared queue, or whose copy-on-write moved pinned pages away, would corrupt the
    // parent. It gets no copy at all.
    madvise(address, lengthBytes, MADV_DONTFORK);
    return new Mapping(address, lengthBytes);
  }

  /** Empties every view and gives the memory back. No request may be using it any more. */
  close(): void {
    if (this.#buffer.detached) return;
    // Lifetime: transfer(0) leaves every view with length 0, compiled code included; only then may the pages go.
    this.#buffer.transfer(0);
    syscalls().munmap(this.#address, this.#byteLength);
    this.#address = this.#byteLength = 0;
  }
}

/** A page that a forked child sees as zeros: the cheapest way to tell that this is not the process that made the ring. */
let guard: Int32Array | undefined;

/** @internal A word that is 1 in the process that asked first and 0 in any child forked from it. */
export function forkGuard(): Int32Array {
  if (guard === undefined) {
    const { mmap, madvise } = syscalls();
    const address = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0) throw new UringError(address, "mmap", "4096 bytes");
    madvise(address, 4096, MADV_WIPEONFORK);
    // Lifetime: never unmapped; one page for the life of the thread.
    guard = new Int32Array(toArrayBuffer(address as Parameters<typeof toArrayBuffer>[0], 0, 4096) as ArrayBuffer, 0, 1);
    guard[0] = 1;
  }
  return guard;
}

/** @internal What a ring says of a call in a forked child. */
export function forkedError(): Error {
  return stateError(
    "ERR_URING_FORKED",
    "Cannot use a ring in a forked child: its queues belong to the parent; make a new ring",
  );
}
