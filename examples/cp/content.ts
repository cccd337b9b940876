/**
 * What is in a file, copied: many blocks of it at once, each read into a registered buffer and written from there.
 *
 * A read and its write are no link chain: a chain breaks at a short read, and knows nothing of holes. The descriptors
 * are not registered: looking one up takes some nanoseconds, copying a block some ten thousand.
 */
import type { BufferPool, PoolBuffer, Ring } from "bun-uring";
import { poolWithinLimits } from "../support/buffers.ts";
import { strerror } from "../support/messages.ts";
import { type Loop, Turnstile } from "./loop.ts";
import type { Progress } from "./progress.ts";

/** As many blocks are being read or written at any time, of one file or of many. */
const IN_FLIGHT = 64;
const BLOCK_BYTES = 128 * 1024;
/** Holes are found where filesystems can have them: in whole pages. */
const PAGE_BYTES = 4096;
const ZEROS: Buffer = Buffer.alloc(PAGE_BYTES);
/**
 * Stands for a descriptor's own position, as pipes have no other. Kernel: for files it is a trap (seen on 6.18): it
 * stays where it was after a write that succeeded in part, on a full disk say, and the next one would overwrite that
 * part.
 */
const OWN_POSITION = -1;

/** Where a copy comes from and where it goes. */
export interface Ends {
  /** The descriptor to read. */
  readonly source: number;
  /** The descriptor to write. */
  readonly target: number;
  /** How long the source is said to be. It is read to its end, wherever that is found. */
  readonly size: number;
  /** Whether the source can be read at any place, as files and disks can, and not pipes. */
  readonly readAnywhere: boolean;
  /** Whether the target can be written at any place. */
  readonly writeAnywhere: boolean;
  /** Whether pages of zeros are left out, because the source has holes and the target is new. */
  readonly sparse: boolean;
}

/** The copy of a file broke off. */
export class CopyError extends Error {
  /** What failed, or that it was told to stop. */
  readonly doing: "reading" | "writing" | "interrupted";

  constructor(doing: "reading" | "writing" | "interrupted", result: number) {
    super(strerror(result));
    this.doing = doing;
  }
}

/** How far the copy of one file has come. */
interface Job extends Ends {
  /** Where the next block begins. */
  next: number;
  /** Where the copy ends, as far as is known: behind the last byte that was read. */
  length: number;
  /** Something failed: the other blocks need not go on. */
  failed: boolean;
}

/** Copies files' contents, sharing its buffers among all that are copied at a time. */
export class Content {
  readonly #loop: Loop;
  readonly #ring: Ring;
  readonly #pool: BufferPool;
  readonly #progress: Progress;
  readonly #turns: Turnstile;

  constructor(loop: Loop, progress: Progress) {
    this.#loop = loop;
    this.#ring = loop.ring;
    this.#progress = progress;
    this.#pool = poolWithinLimits(loop.ring, IN_FLIGHT, BLOCK_BYTES);
    this.#turns = new Turnstile(this.#pool.count);
  }

  /**
   * Copies from the source's beginning to its end.
   *
   * @returns how long the copy is. Where the source was sparse the file has yet to be given that length.
   * @throws CopyError once nothing of this copy is in flight any more.
   */
  async copy(ends: Ends): Promise<number> {
    const job: Job = { ...ends, next: 0, length: 0, failed: false };
    if (job.readAnywhere && job.writeAnywhere) {
      const lanes = Math.min(this.#pool.count, Math.ceil(job.size / this.#pool.size));
      const outcomes = await Promise.allSettled(Array.from({ length: lanes }, () => this.#lane(job)));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    }
    // Pipes and disks do not tell their size, files of /proc say they are empty, others grow while they are copied: the
    // end is where nothing is read.
    while ((await this.#block(job, job.length, this.#pool.size)) > 0);
    return job.length;
  }

  /** Copies one block after the other, while other lanes do the same with other blocks of the file. */
  async #lane(job: Job): Promise<void> {
    while (job.next < job.size && !job.failed) {
      const offset = job.next;
      job.next += this.#pool.size;
      await this.#block(job, offset, Math.min(this.#pool.size, job.size - offset));
    }
  }

  /** Copies up to `length` bytes; how many there were. */
  async #block(job: Job, offset: number, length: number): Promise<number> {
    await this.#turns.enter();
    const buffer = this.#pool.take() as PoolBuffer;
    try {
      const filled = await this.#fill(job, buffer, offset, length);
      if (job.sparse) {
        for (const [start, end] of dataIn(buffer.bytes, filled)) await this.#drain(job, buffer, offset, start, end);
      } else {
        await this.#drain(job, buffer, offset, 0, filled);
      }
      job.length = Math.max(job.length, offset + filled);
      this.#progress.copied(filled);
      return filled;
    } catch (error) {
      job.failed = true;
      throw error;
    } finally {
      this.#pool.give(buffer);
      this.#turns.leave();
    }
  }

  /** Reads until the buffer has `length` bytes or the file ends: a short read is not the end. */
  async #fill(job: Job, buffer: PoolBuffer, offset: number, length: number): Promise<number> {
    let filled = 0;
    while (filled < length) {
      const at = job.readAnywhere ? offset + filled : OWN_POSITION;
      const sqe = this.#ring.prepReadFixed(job.source, buffer.address + filled, at, buffer.bufIndex, length - filled);
      const result = await this.#loop.result(sqe);
      this.#check("reading", result);
      filled += result;
      // What a pipe has is passed on; of a file the rest is asked for.
      if (result === 0 || !job.readAnywhere) break;
    }
    return filled;
  }

  /** Writes the buffer's bytes from `start` to `end`: what a short write leaves is written next. */
  async #drain(job: Job, buffer: PoolBuffer, offset: number, start: number, end: number): Promise<void> {
    let written = start;
    while (written < end) {
      const at = job.writeAnywhere ? offset + written : OWN_POSITION;
      const sqe = this.#ring.prepWriteFixed(job.target, buffer.address + written, at, buffer.bufIndex, end - written);
      const result = await this.#loop.result(sqe);
      this.#check("writing", result);
      written += result;
    }
  }

  #check(doing: "reading" | "writing", result: number): void {
    if (this.#loop.stopped) throw new CopyError("interrupted", 0);
    if (result < 0) throw new CopyError(doing, result);
  }
}

/**
 * The stretches of pages that hold anything but zeros.
 *
 * cp(1) asks the filesystem for its holes with lseek(2), SEEK_DATA and SEEK_HOLE; io_uring has no operation for that,
 * nor has node:fs a function. So a file that takes less room than it is long is looked through. A hole is read as zeros
 * before it is recognised, so a file of holes takes the time of reading it; in exchange, zeros that were written become
 * holes too.
 */
function* dataIn(bytes: Uint8Array, length: number): Generator<readonly [number, number]> {
  let start = -1;
  for (let at = 0; at < length; at += PAGE_BYTES) {
    const end = Math.min(at + PAGE_BYTES, length);
    const empty = ZEROS.compare(bytes, at, end, 0, end - at) === 0;
    if (!empty && start < 0) start = at;
    if (empty && start >= 0) {
      yield [start, at];
      start = -1;
    }
  }
  if (start >= 0) yield [start, length];
}
