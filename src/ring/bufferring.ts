/** Provided buffers: memory that the kernel picks from when data is there, instead of one buffer waiting per request. */
import {
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUF_MORE,
  IORING_CQE_F_BUFFER,
  IORING_OFF_PBUF_RING,
  IORING_OFF_PBUF_SHIFT,
  IOU_PBUF_RING_INC,
  IOU_PBUF_RING_MMAP,
} from "../abi/constants.gen.ts";
import {
  IO_URING_BUF_OFF_BID,
  IO_URING_BUF_RING_OFF_TAIL,
  IO_URING_BUF_SIZE,
  IO_URING_BUF_WORD_ADDR,
  IO_URING_BUF_WORD_LEN,
} from "../abi/layout.gen.ts";
import { describe, rangeError, stateError } from "../errors.ts";
import { Mapping } from "../memory.ts";
import type { Cqe } from "./cqe.ts";
import { checkCount, checkU16 } from "./prep/check.ts";
import type { Ring } from "./ring.ts";
import { checkCallback } from "./sqe.ts";

const MAX_ENTRIES = 32768;
const ENTRY_WORDS = IO_URING_BUF_SIZE / 4;
const ENTRY_HALVES = IO_URING_BUF_SIZE / 2;

/** What a buffer ring is made of. */
export interface BufferRingOptions {
  /** The buffer group that entries select from, 0 to 65535: {@link Sqe.bufferSelect}. */
  group: number;
  /** How many buffers: a power of two, 32768 at the most. */
  entries: number;
  /** The bytes of each. */
  size: number;
  /** Has the kernel fill a buffer little by little, over several completions. @kernel 6.12 */
  incremental?: boolean;
  /**
   * With `incremental`: how many bytes must be left of a buffer for the kernel to go on with it; 1 unless given.
   * @kernel 7.1
   */
  minLeft?: number;
  /** Has the kernel bring the memory of the ring itself (not of the buffers). @kernel 6.4 */
  kernelMapped?: boolean;
  /**
   * Starts with every buffer in the caller's hands instead of the kernel's: for sending, where {@link
   * BufferRing.provide} hands over a buffer once it is filled.
   */
  empty?: boolean;
  /** Takes huge pages from the system's pool for the buffers. */
  hugePages?: boolean;
}

/**
 * A ring of provided buffers with their memory, which the library maps: no garbage collector can take it away.
 *
 * Every completion with a buffer is taken once ({@link take}, or {@link forEach} for bundles), and every buffer taken
 * is given back once ({@link recycle}) when its data has been used. A buffer that is filled little by little goes back
 * to the kernel when all its pieces are given back and the kernel is done with it.
 *
 * ```ts
 * using buffers = new BufferRing(ring, { group: 1, entries: 256, size: 4096 });
 * ring.prepRecvMultishot(fd).bufferSelect(1);
 * ...
 * const start = buffers.take(cqe);
 * if (start >= 0) {
 *   use(buffers.bytes.subarray(start, start + cqe.res));
 *   buffers.recycle(cqe.bufferId);
 * }
 * ```
 */
export class BufferRing {
  /** The buffer group. */
  readonly group: number;
  /** How many buffers there are. */
  readonly entries: number;
  /** The bytes of each. */
  readonly size: number;
  /** All buffers' memory, buffer `id` at `id * size`; empty once closed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #ring: Ring;
  readonly #storage: Mapping;
  readonly #queue: Mapping;
  /** The queue's memory as 16-bit numbers: buffer ids, and the tail. */
  readonly #halves: Uint16Array;
  readonly #incremental: boolean;
  #tail = 0;
  #held: number;
  #closed = false;
  /** By buffer id: how many of its pieces the caller holds. */
  readonly #pieces: Int32Array;
  /** By buffer id: how many of its bytes were filled so far. */
  readonly #filled: Int32Array;
  /** By buffer id: how many bytes the kernel was given. */
  readonly #lengths: Int32Array;
  /** By buffer id: where in the queue it was put last. */
  readonly #places: Int32Array;
  /** By buffer id: 1 while the kernel may still fill it. */
  readonly #withKernel: Uint8Array;

  /**
   * @throws RangeError `ERR_URING_ARG_VALUE` for sizes that cannot be; UringError EEXIST for a group that is in use,
   * EINVAL where the kernel has no such rings, ENOMEM.
   * @kernel 5.19
   * @man io_uring_setup_buf_ring(3)
   */
  constructor(ring: Ring, options: BufferRingOptions) {
    const { group, entries, size } = options;
    checkOptions(options);
    this.group = group;
    this.entries = entries;
    this.size = size;
    this.#ring = ring;
    this.#incremental = options.incremental === true;
    this.#held = entries;
    this.#pieces = new Int32Array(entries).fill(1);
    this.#filled = new Int32Array(entries);
    this.#lengths = new Int32Array(entries);
    this.#places = new Int32Array(entries);
    this.#withKernel = new Uint8Array(entries);
    const hugePages = options.hugePages === true;
    const page = hugePages ? 2 * 1024 * 1024 : 4096;
    this.#storage = Mapping.anonymous(Math.ceil((entries * size) / page) * page, { hugePages });
    this.bytes = this.#storage.bytes;
    try {
      this.#queue = register(ring, options);
    } catch (error) {
      this.#storage.close();
      throw error;
    }
    this.#halves = new Uint16Array(this.#queue.bytes.buffer);
    ring.adopt(this);
    if (options.empty !== true) for (let id = 0; id < entries; id++) this.recycle(id);
  }

  /** How many buffers the kernel has, as far as the completions taken so far tell. */
  get available(): number {
    return this.entries - this.#held;
  }

  /** The address of buffer `id`. */
  addressOf(id: number): number {
    return this.#storage.address + id * this.size;
  }

  /**
   * Takes over the buffer that a completion brought; its data is `cqe.res` bytes of {@link bytes} from the result on.
   * Once a completion, even where `res` is 0.
   *
   * @returns where the data begins; -1 where the completion has no buffer.
   * @throws Error `ERR_URING_STATE` for a buffer that the kernel was not given; RangeError for one not of this ring.
   */
  take(cqe: Cqe): number {
    const flags = cqe.flags;
    if ((flags & IORING_CQE_F_BUFFER) === 0) return -1;
    const id = flags >>> IORING_CQE_BUFFER_SHIFT;
    this.#checkWithKernel(id);
    return this.#takePiece(id, Math.max(cqe.res, 0), (flags & IORING_CQE_F_BUF_MORE) !== 0);
  }

  /**
   * The same for a completion that may span several buffers (IORING_RECVSEND_BUNDLE): `callback` is called for each
   * with where its data begins in {@link bytes}, how much it is, and the id to be given to {@link recycle}.
   *
   * @returns how many buffers there were.
   * @throws as {@link take}; and what the callback throws, after which the rest is taken over all the same.
   * @kernel 6.10
   */
  forEach(cqe: Cqe, callback: (start: number, length: number, id: number) => void): number {
    checkCallback(callback);
    const flags = cqe.flags;
    if ((flags & IORING_CQE_F_BUFFER) === 0) return 0;
    const more = (flags & IORING_CQE_F_BUF_MORE) !== 0;
    let id = flags >>> IORING_CQE_BUFFER_SHIFT;
    let left = Math.max(cqe.res, 0);
    let count = 0;
    let failure: unknown;
    do {
      this.#checkWithKernel(id);
      const room = (this.#lengths[id] as number) - (this.#filled[id] as number);
      const length = Math.min(left, room);
      left -= length;
      const next = this.#after(id);
      const start = this.#takePiece(id, length, more && left === 0);
      count++;
      try {
        if (failure === undefined) callback(start, length, id);
      } catch (error) {
        failure = error ?? new Error("thrown by the callback");
      }
      id = next;
    } while (left > 0);
    if (failure !== undefined) throw failure;
    return count;
  }

  /** Buffers of a bundle follow each other as they were put into the queue. */
  #after(id: number): number {
    const place = ((this.#places[id] as number) + 1) & (this.entries - 1);
    return this.#halves[place * ENTRY_HALVES + IO_URING_BUF_OFF_BID / 2] as number;
  }

  #takePiece(id: number, length: number, more: boolean): number {
    const filled = this.#filled[id] as number;
    if (this.#pieces[id] === 0) this.#held++;
    this.#pieces[id] = (this.#pieces[id] as number) + 1;
    this.#filled[id] = filled + length;
    // Kernel: 6.12 to at least 6.18 leave F_BUF_MORE out where nothing was put into the buffer (end of file), although
    // they go on with it.
    if (!(more || (this.#incremental && length === 0))) this.#withKernel[id] = 0;
    return id * this.size + filled;
  }

  /**
   * Gives a piece of a buffer back: its data has been used. The buffer goes to the kernel again once all its pieces are
   * back and the kernel is done with it.
   *
   * @throws Error `ERR_URING_STATE` for a buffer that was given back before, `ERR_URING_CLOSED`; RangeError
   * `ERR_URING_ARG_VALUE` for an id past the ring.
   */
  recycle(id: number): void {
    this.#giveBack(id);
    if (this.#pieces[id] !== 0 || this.#withKernel[id] !== 0) return;
    this.#put(id, this.size);
  }

  /**
   * Hands the kernel a buffer of which `length` bytes are filled, to be sent.
   *
   * @throws as {@link recycle}; RangeError for a length past the buffer.
   */
  provide(id: number, length: number): void {
    if (!Number.isInteger(length) || length < 1 || length > this.size) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot provide ${describe(length)} bytes: a buffer has ${this.size}`);
    }
    this.#giveBack(id);
    if (this.#pieces[id] !== 0 || this.#withKernel[id] !== 0) {
      throw stateError("ERR_URING_STATE", `Cannot provide buffer ${id}: the kernel still has it`);
    }
    this.#put(id, length);
  }

  #giveBack(id: number): void {
    const pieces = this.#pieces[id];
    if (this.#closed) throw stateError("ERR_URING_CLOSED", "Cannot give a buffer back: the buffer ring is closed");
    if (pieces === undefined) throw noSuchBuffer(id, this.entries);
    if (pieces === 0)
      throw stateError("ERR_URING_STATE", `Cannot give buffer ${id} back: it is with the kernel already`);
    this.#pieces[id] = pieces - 1;
    if (pieces === 1) this.#held--;
  }

  /** Puts a buffer at the queue's tail. */
  #put(id: number, length: number): void {
    const place = this.#tail & (this.entries - 1);
    const words = this.#queue.words;
    const at = place * ENTRY_WORDS;
    const address = this.#storage.address + id * this.size;
    words[at + IO_URING_BUF_WORD_ADDR] = address;
    words[at + IO_URING_BUF_WORD_ADDR + 1] = address * 2 ** -32;
    words[at + IO_URING_BUF_WORD_LEN] = length;
    // The two bytes after the id are not written: in the first entry they are the tail.
    this.#halves[place * ENTRY_HALVES + IO_URING_BUF_OFF_BID / 2] = id;
    this.#places[id] = place;
    this.#lengths[id] = length;
    this.#filled[id] = 0;
    this.#withKernel[id] = 1;
    this.#tail = (this.#tail + 1) & 0xffff;
    // Ordering: a release store: worker threads of the kernel may read the entry as soon as they see the tail.
    Atomics.store(this.#halves, IO_URING_BUF_RING_OFF_TAIL / 2, this.#tail);
  }

  #checkWithKernel(id: number): void {
    if (id >= this.entries) throw noSuchBuffer(id, this.entries);
    if (this.#withKernel[id] !== 0) return;
    throw stateError(
      "ERR_URING_STATE",
      `Cannot take buffer ${id}: the kernel was not given it, or it was taken before`,
    );
  }

  /**
   * Unregisters the ring and gives the memory back; every view of it is empty afterwards. Multishot requests on the
   * group should have ended: those that have not end with -ENOBUFS.
   *
   * @throws UringError EACCES on a ring that is restricted from it: it stays open then, until its ring is closed.
   */
  close(): void {
    if (this.#closed) return;
    if (!this.#ring.closed) this.#ring.unregisterBufRing(this.group);
    this.#closed = true;
    this.#ring.disown(this);
    this.#queue.close();
    this.#storage.close();
  }

  /** The same as {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function checkOptions({ group, entries, size }: BufferRingOptions): void {
  checkU16("buffer group", group);
  checkCount("a number of buffers", entries);
  checkCount("a buffer's size", size);
  if (entries < 1 || entries > MAX_ENTRIES || (entries & (entries - 1)) !== 0) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot make a buffer ring of ${entries} entries: it must be a power of two from 1 to ${MAX_ENTRIES}`,
    );
  }
  if (size === 0) throw rangeError("ERR_URING_ARG_VALUE", "Cannot make a buffer ring of empty buffers");
}

function noSuchBuffer(id: number, entries: number): RangeError {
  return rangeError("ERR_URING_ARG_VALUE", `Cannot find buffer ${describe(id)}: the buffer ring has ${entries}`);
}

/** Registers the group: its queue's memory. */
function register(ring: Ring, options: BufferRingOptions): Mapping {
  const { group, entries, minLeft = 0 } = options;
  const bytes = entries * IO_URING_BUF_SIZE;
  const flags =
    (options.kernelMapped === true ? IOU_PBUF_RING_MMAP : 0) | (options.incremental === true ? IOU_PBUF_RING_INC : 0);
  if (options.kernelMapped === true) {
    ring.registerBufRing({ group, entries, flags, minLeft });
    return Mapping.ofDescriptor(ring.fd, IORING_OFF_PBUF_RING + group * 2 ** IORING_OFF_PBUF_SHIFT, bytes);
  }
  const own = Mapping.anonymous(Math.max(bytes, 4096));
  try {
    ring.registerBufRing({ group, entries, memory: own, flags, minLeft });
    return own;
  } catch (error) {
    own.close();
    throw error;
  }
}
