/** Registered buffers: their table, its updates, and tables shared between rings. */
import { EINVAL, ENOMEM } from "../../abi/errno.gen.ts";
import {
  IORING_REGISTER_BUFFERS,
  IORING_REGISTER_BUFFERS2,
  IORING_REGISTER_BUFFERS_UPDATE,
  IORING_RSRC_REGISTER_SPARSE,
  IORING_UNREGISTER_BUFFERS,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_RSRC_REGISTER_SIZE,
  IO_URING_RSRC_REGISTER_WORD_DATA,
  IO_URING_RSRC_REGISTER_WORD_FLAGS,
  IO_URING_RSRC_REGISTER_WORD_NR,
  IO_URING_RSRC_UPDATE2_SIZE,
  IO_URING_RSRC_UPDATE2_WORD_DATA,
  IO_URING_RSRC_UPDATE2_WORD_NR,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
} from "../../abi/layout.gen.ts";
import { stateError, UringError } from "../../errors.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { adviceOnLockedMemory } from "../advice.ts";
import { setU64 } from "../structs.ts";
import { Registering } from "./call.ts";
import { checkPlaces, checkTable, checkUpdate } from "./tables.ts";

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
    const result = this.tryRegister(IORING_REGISTER_BUFFERS, addressOf(iovecs), buffers.length);
    checkBuffers(result, "IORING_REGISTER_BUFFERS", iovecs);
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
    let result = this.tryRegister(IORING_REGISTER_BUFFERS2, addressOf(words), IO_URING_RSRC_REGISTER_SIZE);
    const iovecs = new Int32Array(count * IOVEC_WORDS);
    if (result === -EINVAL) {
      // Kernel: before 5.19 there is no flag for it, but 5.13 and later take iovecs of nothing.
      words[IO_URING_RSRC_REGISTER_WORD_FLAGS] = 0;
      setU64(words, IO_URING_RSRC_REGISTER_WORD_DATA, addressOf(iovecs));
      result = this.tryRegister(IORING_REGISTER_BUFFERS2, addressOf(words), IO_URING_RSRC_REGISTER_SIZE);
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
    const table = this.#buffers;
    if (table === undefined) throw stateError("ERR_URING_STATE", "Cannot update buffers: none are registered");
    checkUpdate("buffers", offset, buffers, table.length);
    const iovecs = iovecsOf(buffers);
    const words = new Int32Array(IO_URING_RSRC_UPDATE2_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = offset;
    setU64(words, IO_URING_RSRC_UPDATE2_WORD_DATA, addressOf(iovecs));
    words[IO_URING_RSRC_UPDATE2_WORD_NR] = buffers.length;
    const result = this.tryRegister(IORING_REGISTER_BUFFERS_UPDATE, addressOf(words), IO_URING_RSRC_UPDATE2_SIZE);
    checkBuffers(result, "IORING_REGISTER_BUFFERS_UPDATE", iovecs);
    for (let i = 0; i < result; i++) table[offset + i] = buffers[i] as Memory | null;
    return result;
  }

  /**
   * Takes the buffers' table away. Requests in flight keep what they use.
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
