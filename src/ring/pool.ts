/** Buffers in memory of the library's own, registered with a ring: the simplest memory to be safe with. */
import { IORING_FEAT_RSRC_TAGS } from "../abi/constants.gen.ts";
import { describe, rangeError, stateError, typeError } from "../errors.ts";
import { type Located, Mapping } from "../memory.ts";
import { checkCount } from "./prep/check.ts";
import type { Ring } from "./ring.ts";

/** The kernel takes no larger registered buffer. */
const MAX_POOL_BYTES = 2 ** 30;

/** What a pool is made of. */
export interface BufferPoolOptions {
  /** How many buffers. */
  count: number;
  /** The bytes of each. */
  size: number;
  /**
   * The place in the ring's table of registered buffers that the pool takes. Without it the pool makes a table of one
   * place; with it `registerBuffersSparse()` made the table before.
   */
  bufIndex?: number;
  /** Takes huge pages from the system's pool. */
  hugePages?: boolean;
}

/** One buffer of a pool, {@link Located}, so that prep methods take it as it is. */
export class PoolBuffer implements Located {
  /** Where it begins; 0 once the pool is closed. */
  address: number;
  /** How many bytes it has; 0 once the pool is closed. */
  byteLength: number;
  /** The memory; empty once the pool is closed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Which of the pool's buffers this is, from 0. */
  readonly id: number;
  /** The index of the registered buffer it lies in, for prepReadFixed and prepWriteFixed. */
  readonly bufIndex: number;
  /** @internal Whether it was taken and not given back. */
  taken = false;

  /** @internal */
  constructor(memory: Mapping, id: number, size: number, bufIndex: number) {
    this.id = id;
    this.address = memory.address + id * size;
    this.byteLength = size;
    this.bytes = memory.bytes.subarray(id * size, (id + 1) * size);
    this.bufIndex = bufIndex;
  }
}

/**
 * Buffers of one size in one mapping, registered with the ring as one buffer. The memory belongs to no garbage
 * collector: it stays until the pool or its ring is closed, whatever becomes of the JavaScript objects.
 *
 * ```ts
 * const pool = new BufferPool(ring, { count: 64, size: 65536 });
 * const buffer = pool.take();
 * if (buffer !== null) ring.prepReadFixed(fd, buffer, 0, buffer.bufIndex).userData(buffer.id);
 * ...
 * pool.give(buffer);
 * ```
 */
export class BufferPool {
  /** How many buffers there are. */
  readonly count: number;
  /** The bytes of each. */
  readonly size: number;
  /** The pool's place in the ring's table of registered buffers. */
  readonly bufIndex: number;
  readonly #ring: Ring;
  readonly #memory: Mapping;
  readonly #buffers: readonly PoolBuffer[];
  /** The free ones, the last one first. */
  readonly #free: PoolBuffer[];
  readonly #ownsTable: boolean;
  #closed = false;

  /**
   * @throws RangeError `ERR_URING_ARG_VALUE` for sizes that cannot be (1 GiB in all is the most); Error
   * `ERR_URING_STATE` where the ring has a table and no `bufIndex` is given; UringError ENOMEM past the limit on locked
   * memory.
   * @kernel 5.1, with `bufIndex` 5.13
   */
  constructor(ring: Ring, options: BufferPoolOptions) {
    const { count, size } = options;
    checkCount("a number of buffers", count);
    checkCount("a buffer's size", size);
    if (count === 0 || size === 0 || count * size > MAX_POOL_BYTES) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot make a pool of ${count} buffers of ${size} bytes: it must be 1 byte to 1 GiB in all`,
      );
    }
    this.#ownsTable = options.bufIndex === undefined;
    if (!this.#ownsTable && !ring.hasFeature(IORING_FEAT_RSRC_TAGS)) {
      throw stateError(
        "ERR_URING_UNSUPPORTED",
        "Cannot give a pool a place: the kernel cannot update registered buffers",
      );
    }
    this.count = count;
    this.size = size;
    this.bufIndex = options.bufIndex ?? 0;
    this.#ring = ring;
    this.#memory = Mapping.anonymous(mappedBytes(count * size, options.hugePages === true), {
      hugePages: options.hugePages === true,
    });
    try {
      if (this.#ownsTable) ring.registerBuffers([this.#memory]);
      else ring.registerBuffersUpdate(this.bufIndex, [this.#memory]);
      ring.adopt(this);
    } catch (error) {
      this.#memory.close();
      throw error;
    }
    this.#buffers = Array.from({ length: count }, (_, id) => new PoolBuffer(this.#memory, id, size, this.bufIndex));
    this.#free = [...this.#buffers].reverse();
  }

  /** How many buffers can be taken. */
  get available(): number {
    return this.#free.length;
  }

  /**
   * A buffer that nobody else has, with whatever it holds from before; null when all are taken.
   *
   * @throws Error `ERR_URING_CLOSED`.
   */
  take(): PoolBuffer | null {
    if (this.#closed) throw stateError("ERR_URING_CLOSED", "Cannot take a buffer: the pool is closed");
    const buffer = this.#free.pop();
    if (buffer === undefined) return null;
    buffer.taken = true;
    return buffer;
  }

  /**
   * Takes a buffer back. No request may be using it any more.
   *
   * @throws Error `ERR_URING_STATE` for one that is not taken, `ERR_URING_CLOSED`; TypeError `ERR_URING_ARG_TYPE` for
   * what is no buffer of this pool.
   */
  give(buffer: PoolBuffer): void {
    if (this.#closed) throw stateError("ERR_URING_CLOSED", "Cannot give a buffer back: the pool is closed");
    if (!(buffer instanceof PoolBuffer) || this.#buffers[buffer.id] !== buffer) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot give back ${describe(buffer)}: it is no buffer of this pool`);
    }
    if (!buffer.taken) {
      throw stateError(
        "ERR_URING_STATE",
        `Cannot give buffer ${buffer.id} back: it is not taken, or was given back before`,
      );
    }
    buffer.taken = false;
    this.#free.push(buffer);
  }

  /**
   * The pool's buffer by its id, taken or not: for those who carry the id through the user data.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for an id past the pool.
   */
  buffer(id: number): PoolBuffer {
    const buffer = this.#buffers[id];
    if (buffer === undefined) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot find buffer ${describe(id)}: the pool has ${this.count}`);
    }
    return buffer;
  }

  /**
   * Unregisters the memory, empties every view of it and gives it back. No request may be using it any more.
   *
   * @throws UringError EACCES on a ring that is restricted from it: it stays open then, until its ring is closed.
   */
  close(): void {
    if (this.#closed) return;
    if (!this.#ring.closed && this.#ring.registeredBuffers > 0) {
      if (this.#ownsTable) this.#ring.unregisterBuffers();
      else this.#ring.registerBuffersUpdate(this.bufIndex, [null]);
    }
    this.#closed = true;
    this.#ring.disown(this);
    this.#free.length = 0;
    for (const buffer of this.#buffers) buffer.address = buffer.byteLength = 0;
    this.#memory.close();
  }

  /** The same as {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Huge pages come whole. */
function mappedBytes(bytes: number, hugePages: boolean): number {
  const page = hugePages ? 2 * 1024 * 1024 : 4096;
  return Math.ceil(bytes / page) * page;
}
