/** Registered buffers: their table, its updates, and tables shared between rings. */
import { EINVAL, ENOMEM } from "../../abi/errno.gen.ts";
import {
  IORING_REGISTER_BUFFERS,
  IORING_REGISTER_BUFFERS2,
  IORING_REGISTER_BUFFERS_UPDATE,
  IORING_REGISTER_CLONE_BUFFERS,
  IORING_REGISTER_DST_REPLACE,
  IORING_REGISTER_SRC_REGISTERED,
  IORING_RSRC_REGISTER_SPARSE,
  IORING_UNREGISTER_BUFFERS,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_CLONE_BUFFERS_SIZE,
  IO_URING_CLONE_BUFFERS_WORD_DST_OFF,
  IO_URING_CLONE_BUFFERS_WORD_FLAGS,
  IO_URING_CLONE_BUFFERS_WORD_NR,
  IO_URING_CLONE_BUFFERS_WORD_SRC_FD,
  IO_URING_CLONE_BUFFERS_WORD_SRC_OFF,
  IO_URING_RSRC_REGISTER_SIZE,
  IO_URING_RSRC_REGISTER_WORD_DATA,
  IO_URING_RSRC_REGISTER_WORD_FLAGS,
  IO_URING_RSRC_REGISTER_WORD_NR,
  IO_URING_RSRC_REGISTER_WORD_TAGS,
  IO_URING_RSRC_UPDATE2_SIZE,
  IO_URING_RSRC_UPDATE2_WORD_DATA,
  IO_URING_RSRC_UPDATE2_WORD_NR,
  IO_URING_RSRC_UPDATE2_WORD_TAGS,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
} from "../../abi/layout.gen.ts";
import { describe, rangeError, stateError, typeError, UringError } from "../../errors.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { adviceOnLockedMemory } from "../advice.ts";
import { checkCount, checkFd } from "../prep/check.ts";
import type { UserData } from "../prep/slot.ts";
import { setU64 } from "../structs.ts";
import { Registering } from "./call.ts";
import { checkPlaces, checkTable, checkUpdate, tagsOf } from "./tables.ts";
import { transientAddress } from "../transient.ts";

/** The kernel's table has no more places. */
const MAX_BUFFERS = 2 ** 14;

const IOVEC_WORDS = 4;

/** @internal */
export abstract class BufferRegistrations extends Registering {
  /** What the registered table refers to; kept, because the kernel goes on using the pages. */
  #buffers: (Memory | null)[] | undefined;

  /**
   * Pins buffers, so that READ_FIXED, WRITE_FIXED and the like need not map their pages each time; an entry names one
   * by its index here. The ring keeps the buffers until they are unregistered, replaced or the ring is closed.
   *
   * @throws Error `ERR_URING_STATE` where buffers are registered already; UringError ENOMEM past the limit on locked
   * memory, EFAULT for memory that cannot be pinned.
   * @kernel 5.1
   * @man io_uring_register_buffers(3)
   */
  registerBuffers(buffers: readonly Memory[]): void {
    this.#refuseSecondTable();
    checkTable("buffers", buffers, MAX_BUFFERS);
    const iovecs = iovecsOf(buffers);
    const result = this.tryRegister(IORING_REGISTER_BUFFERS, transientAddress(iovecs), buffers.length);
    checkBuffers(result, "IORING_REGISTER_BUFFERS", iovecs);
    this.#buffers = [...buffers];
  }

  /**
   * The same with a tag for each buffer. When the kernel is done with a buffer for good (unregistered or replaced, and
   * no request uses it any more) it posts a completion with the tag as its user data; 0 asks for none. null leaves a
   * place empty, with a tag of 0.
   *
   * Kernel: up to 6.12 tags are posted for what is replaced, and not for a whole table that is unregistered.
   *
   * @throws as {@link registerBuffers}; RangeError for tags that are not as many as the buffers.
   * @kernel 5.13
   * @man io_uring_register_buffers_tags(3)
   */
  registerBuffersTags(buffers: readonly (Memory | null)[], tags: readonly UserData[]): void {
    this.#refuseSecondTable();
    checkTable("buffers", buffers, MAX_BUFFERS);
    const iovecs = iovecsOf(buffers);
    const tagWords = tagsOf(tags, buffers.length);
    const words = new Int32Array(IO_URING_RSRC_REGISTER_SIZE / 4);
    words[IO_URING_RSRC_REGISTER_WORD_NR] = buffers.length;
    setU64(words, IO_URING_RSRC_REGISTER_WORD_DATA, transientAddress(iovecs));
    setU64(words, IO_URING_RSRC_REGISTER_WORD_TAGS, transientAddress(tagWords));
    const result = this.tryRegister(IORING_REGISTER_BUFFERS2, transientAddress(words), IO_URING_RSRC_REGISTER_SIZE);
    checkBuffers(result, "IORING_REGISTER_BUFFERS2", iovecs);
    this.#buffers = [...buffers];
  }

  /**
   * Makes a table of `count` empty places for buffers, to be filled by {@link registerBuffersUpdate}.
   *
   * @throws as {@link registerBuffers}.
   * @kernel 5.19
   * @man io_uring_register_buffers_sparse(3)
   */
  registerBuffersSparse(count: number): void {
    this.#refuseSecondTable();
    checkPlaces("buffers", count, MAX_BUFFERS);
    const words = new Int32Array(IO_URING_RSRC_REGISTER_SIZE / 4);
    words[IO_URING_RSRC_REGISTER_WORD_NR] = count;
    words[IO_URING_RSRC_REGISTER_WORD_FLAGS] = IORING_RSRC_REGISTER_SPARSE;
    let result = this.tryRegister(IORING_REGISTER_BUFFERS2, transientAddress(words), IO_URING_RSRC_REGISTER_SIZE);
    const iovecs = new Int32Array(count * IOVEC_WORDS);
    if (result === -EINVAL) {
      // Kernel: before 5.19 there is no flag for it, but 5.13 and later take iovecs of nothing.
      words[IO_URING_RSRC_REGISTER_WORD_FLAGS] = 0;
      setU64(words, IO_URING_RSRC_REGISTER_WORD_DATA, transientAddress(iovecs));
      result = this.tryRegister(IORING_REGISTER_BUFFERS2, transientAddress(words), IO_URING_RSRC_REGISTER_SIZE);
    }
    checkBuffers(result, "IORING_REGISTER_BUFFERS2", iovecs);
    this.#buffers = new Array<Memory | null>(count).fill(null);
  }

  /**
   * Replaces registered buffers from index `offset` on; null empties a place. Requests in flight keep the old ones.
   *
   * @returns how many were replaced: fewer than asked only where one of them failed.
   * @throws Error `ERR_URING_STATE` where no table is registered; RangeError past its end.
   * @kernel 5.13
   * @man io_uring_register_buffers_update_tag(3)
   */
  registerBuffersUpdate(offset: number, buffers: readonly (Memory | null)[]): number {
    return this.#update(offset, buffers, undefined);
  }

  /**
   * The same with a tag for each, as {@link registerBuffersTags} has them. The tags of those that are replaced are
   * posted once no request uses them any more.
   *
   * @returns as {@link registerBuffersUpdate}.
   * @throws as {@link registerBuffersUpdate}; RangeError for tags that are not as many as the buffers.
   * @kernel 5.13
   * @man io_uring_register_buffers_update_tag(3)
   */
  registerBuffersUpdateTag(offset: number, buffers: readonly (Memory | null)[], tags: readonly UserData[]): number {
    return this.#update(offset, buffers, tags);
  }

  #update(offset: number, buffers: readonly (Memory | null)[], tags: readonly UserData[] | undefined): number {
    const table = this.#buffers;
    if (table === undefined) throw stateError("ERR_URING_STATE", "Cannot update buffers: none are registered");
    checkUpdate("buffers", offset, buffers, table.length);
    const iovecs = iovecsOf(buffers);
    const tagWords = tags === undefined ? undefined : tagsOf(tags, buffers.length);
    const words = new Int32Array(IO_URING_RSRC_UPDATE2_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = offset;
    setU64(words, IO_URING_RSRC_UPDATE2_WORD_DATA, transientAddress(iovecs));
    if (tagWords !== undefined) setU64(words, IO_URING_RSRC_UPDATE2_WORD_TAGS, transientAddress(tagWords));
    words[IO_URING_RSRC_UPDATE2_WORD_NR] = buffers.length;
    const result = this.tryRegister(
      IORING_REGISTER_BUFFERS_UPDATE,
      transientAddress(words),
      IO_URING_RSRC_UPDATE2_SIZE,
    );
    checkBuffers(result, "IORING_REGISTER_BUFFERS_UPDATE", iovecs);
    for (let i = 0; i < result; i++) table[offset + i] = buffers[i] as Memory | null;
    return result;
  }

  /**
   * Shares all registered buffers of another ring, at the same indices: they are pinned once, whichever ring lets go of
   * them last. This ring keeps what the other was given. Tags stay with the ring that they were given to: they tell when
   * that one is done, not the other.
   *
   * @param flags IORING_REGISTER_DST_REPLACE (6.13) where this ring has a table already.
   * @throws Error `ERR_URING_STATE` where this ring has a table and is not to replace it, or where the other has none;
   * TypeError for what is no ring; UringError.
   * @kernel 6.12
   * @man io_uring_clone_buffers(3)
   */
  cloneBuffers(source: BufferRegistrations, flags: number = 0): void {
    this.#clone(source, 0, 0, 0, flags);
  }

  /**
   * Shares `count` registered buffers of another ring, from `sourceOffset` there to `offset` here. The table here is
   * made or grows as it needs, up to 16384 places.
   *
   * @param source the ring, or its descriptor where it belongs to another thread; its buffers are then the caller's to
   * keep alive.
   * @param flags IORING_REGISTER_DST_REPLACE where this ring has a table already: places in the range are replaced.
   * Kernel: 6.16 and 6.17 lose the places behind the range as well.
   * @throws as {@link cloneBuffers}; RangeError past the end of the other's table.
   * @kernel 6.13
   * @man io_uring_clone_buffers_offset(3)
   */
  cloneBuffersOffset(
    source: BufferRegistrations | number,
    offset: number,
    sourceOffset: number,
    count: number,
    flags: number = 0,
  ): void {
    checkCount("an index", offset);
    checkCount("an index", sourceOffset);
    checkPlaces("buffers", count, MAX_BUFFERS - offset);
    this.#clone(source, offset, sourceOffset, count, flags);
  }

  #clone(
    source: BufferRegistrations | number,
    offset: number,
    sourceOffset: number,
    count: number,
    flags: number,
  ): void {
    if (flags !== 0 && flags !== IORING_REGISTER_DST_REPLACE) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot clone with flags ${describe(flags)}: only DST_REPLACE is one`);
    }
    if (this.#buffers !== undefined && flags === 0) {
      throw stateError(
        "ERR_URING_STATE",
        "Cannot clone buffers: this ring has a table; unregisterBuffers() first, or pass IORING_REGISTER_DST_REPLACE",
      );
    }
    const kept = this.#keptBy(source, sourceOffset, count);
    const byIndex = typeof source !== "number" && source.indexOnly;
    const words = new Int32Array(IO_URING_CLONE_BUFFERS_SIZE / 4);
    words[IO_URING_CLONE_BUFFERS_WORD_SRC_FD] = typeof source === "number" ? source : source.fd;
    words[IO_URING_CLONE_BUFFERS_WORD_FLAGS] = flags | (byIndex ? IORING_REGISTER_SRC_REGISTERED : 0);
    words[IO_URING_CLONE_BUFFERS_WORD_SRC_OFF] = sourceOffset;
    words[IO_URING_CLONE_BUFFERS_WORD_DST_OFF] = offset;
    words[IO_URING_CLONE_BUFFERS_WORD_NR] = count;
    this.call("IORING_REGISTER_CLONE_BUFFERS", IORING_REGISTER_CLONE_BUFFERS, transientAddress(words), 1, {
      [EINVAL]: "this kernel cannot (6.12; ranges and replacing 6.13), or the rings belong to different users",
    });
    const table = (this.#buffers ??= []);
    while (table.length < offset + kept.length) table.push(null);
    for (let i = 0; i < kept.length; i++) table[offset + i] = kept[i] as Memory | null;
  }

  /** What a range of another ring's table refers to; nothing that could be kept where only its descriptor is known. */
  #keptBy(source: BufferRegistrations | number, offset: number, count: number): readonly (Memory | null)[] {
    if (typeof source === "number") {
      checkFd(source);
      return new Array<null>(count).fill(null);
    }
    if (!(source instanceof BufferRegistrations)) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot clone the buffers of ${describe(source)}: it is no ring`);
    }
    const table = source.#buffers;
    if (table === undefined) throw stateError("ERR_URING_STATE", "Cannot clone buffers: the other ring has none");
    if (offset + count > table.length) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot clone ${count} buffers from index ${offset}: the other ring's table has ${table.length} places`,
      );
    }
    return count === 0 ? table : table.slice(offset, offset + count);
  }

  /**
   * Takes the buffers' table away. Requests in flight keep what they use.
   *
   * Kernel: before 6.13 this waits until none is in flight that uses one of them; cancel those first that may not end.
   *
   * @throws Error `ERR_URING_STATE` where none is registered.
   * @kernel 5.1
   * @man io_uring_unregister_buffers(3)
   */
  unregisterBuffers(): void {
    if (this.#buffers === undefined)
      throw stateError("ERR_URING_STATE", "Cannot unregister buffers: none are registered");
    this.call("IORING_UNREGISTER_BUFFERS", IORING_UNREGISTER_BUFFERS, 0, 0);
    this.#buffers = undefined;
  }

  /** How many places the registered buffers' table has; 0 where there is none. */
  get registeredBuffers(): number {
    return this.#buffers?.length ?? 0;
  }

  protected override forgetRegistrations(): void {
    this.#buffers = undefined;
  }

  #refuseSecondTable(): void {
    if (this.#buffers === undefined) return;
    throw stateError(
      "ERR_URING_STATE",
      "Cannot register buffers: a table is registered; update it, or unregisterBuffers() first",
    );
  }
}

function checkBuffers(result: number, name: string, iovecs: Int32Array): void {
  if (result >= 0) return;
  let advice: string | undefined;
  if (result === -ENOMEM) {
    let bytes = 0;
    for (let i = 2; i < iovecs.length; i += IOVEC_WORDS) bytes += (iovecs[i] as number) >>> 0;
    advice = adviceOnLockedMemory("the buffers", bytes);
  }
  throw new UringError(result, name, advice);
}

/** struct iovec for each; nothing for null. */
function iovecsOf(buffers: readonly (Memory | null)[]): Int32Array {
  const words = new Int32Array(buffers.length * IOVEC_WORDS);
  buffers.forEach((buffer, index) => {
    if (buffer === null) return;
    setU64(words, index * IOVEC_WORDS, addressOf(buffer));
    setU64(words, index * IOVEC_WORDS + 2, lengthOf(buffer, undefined));
  });
  return words;
}
