/** io_uring_register(2), one method per registration. */
import { EINVAL, EMFILE, ENOMEM } from "../abi/errno.gen.ts";
import {
  IORING_REGISTER_BUFFERS,
  IORING_REGISTER_BUFFERS2,
  IORING_REGISTER_BUFFERS_UPDATE,
  IORING_REGISTER_ENABLE_RINGS,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_EVENTFD_ASYNC,
  IORING_REGISTER_FILES,
  IORING_REGISTER_FILES_UPDATE,
  IORING_REGISTER_RING_FDS,
  IORING_RSRC_REGISTER_SPARSE,
  IORING_UNREGISTER_BUFFERS,
  IORING_UNREGISTER_EVENTFD,
  IORING_UNREGISTER_FILES,
  IORING_UNREGISTER_RING_FDS,
} from "../abi/constants.gen.ts";
import {
  IO_URING_RSRC_REGISTER_SIZE,
  IO_URING_RSRC_REGISTER_WORD_DATA,
  IO_URING_RSRC_REGISTER_WORD_FLAGS,
  IO_URING_RSRC_REGISTER_WORD_NR,
  IO_URING_RSRC_UPDATE2_SIZE,
  IO_URING_RSRC_UPDATE2_WORD_DATA,
  IO_URING_RSRC_UPDATE2_WORD_NR,
  IO_URING_RSRC_UPDATE_SIZE,
  IO_URING_RSRC_UPDATE_WORD_DATA,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
} from "../abi/layout.gen.ts";
import { describe, rangeError, stateError, typeError, UringError } from "../errors.ts";
import { addressOf, lengthOf, type Memory } from "../memory.ts";
import { Builders } from "./builders.gen.ts";
import { checkCount, checkFd } from "./prep/check.ts";
import { adviceOnLockedMemory } from "./advice.ts";

/** Limits of the kernel's tables. */
const MAX_BUFFERS = 2 ** 14;
const MAX_FILES = 2 ** 20;

const IOVEC_WORDS = 4;

/** @internal The registrations of a ring, on top of its builders. {@link Ring} is what is made. */
export abstract class Registrations extends Builders {
  /** What a registered buffer table refers to; kept, because the kernel goes on using the pages. */
  #buffers: (Memory | null)[] | undefined;
  #files: number | undefined;
  #eventfd = false;
  #ringIndex = -1;

  /**
   * io_uring_register(2) itself, for what has no method here: its result.
   *
   * @param opcode IORING_REGISTER_* or IORING_UNREGISTER_*.
   * @param argument memory laid out as the opcode wants it, or 0; the caller's to keep as long as the opcode asks.
   * @throws UringError with what the kernel says.
   * @kernel 5.1
   * @man io_uring_register(2)
   */
  register(opcode: number, argument: Memory, count: number): number {
    const result = this.tryRegister(opcode, addressOf(argument), count);
    if (result < 0) throw new UringError(result, `io_uring_register, opcode ${opcode}`);
    return result;
  }

  #call(name: string, opcode: number, address: number, count: number): void {
    const result = this.tryRegister(opcode, address, count);
    if (result < 0) throw new UringError(result, name);
  }

  /** The same with `-errno` as a value. */
  protected abstract tryRegister(opcode: number, address: number, count: number): number;

  /** From here on io_uring_enter names the ring by its registered index; -1: by its descriptor again. */
  protected abstract useRegisteredIndex(index: number): void;

  /** The ring's descriptor. */
  abstract get fd(): number;

  /** Whether that is no descriptor but a registered index (IORING_SETUP_REGISTERED_FD_ONLY). */
  protected abstract readonly indexOnly: boolean;

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
    this.#refuseSecondBuffers();
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
    this.#refuseSecondBuffers();
    checkCount("a number of buffers", count);
    if (count === 0 || count > MAX_BUFFERS) throw tableSize("buffers", count, MAX_BUFFERS);
    const words = new Int32Array(IO_URING_RSRC_REGISTER_SIZE / 4);
    words[IO_URING_RSRC_REGISTER_WORD_NR] = count;
    words[IO_URING_RSRC_REGISTER_WORD_FLAGS] = IORING_RSRC_REGISTER_SPARSE;
    let result = this.tryRegister(IORING_REGISTER_BUFFERS2, addressOf(words), IO_URING_RSRC_REGISTER_SIZE);
    const iovecs = new Int32Array(count * IOVEC_WORDS);
    if (result === -EINVAL) {
      // Kernel: before 5.19 there is no flag for it, but 5.13 and later take iovecs of nothing.
      words[IO_URING_RSRC_REGISTER_WORD_FLAGS] = 0;
      set64(words, IO_URING_RSRC_REGISTER_WORD_DATA, addressOf(iovecs));
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
    set64(words, IO_URING_RSRC_UPDATE2_WORD_DATA, addressOf(iovecs));
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
    this.#call("IORING_UNREGISTER_BUFFERS", IORING_UNREGISTER_BUFFERS, 0, 0);
    this.#buffers = undefined;
  }

  /** How many places the registered buffers' table has; 0 where there is none. */
  get registeredBuffers(): number {
    return this.#buffers?.length ?? 0;
  }

  /**
   * Registers descriptors, so that an entry with {@link Sqe.fixedFile} can name one by its index without the look-up.
   * -1 leaves a place empty. The ring holds the files open by itself; the descriptors may be closed.
   *
   * @throws Error `ERR_URING_STATE` where files are registered already; UringError EBADF, or EMFILE where there are
   * more than the process may have open.
   * @kernel 5.1
   * @man io_uring_register_files(3)
   */
  registerFiles(fds: readonly number[] | Int32Array): void {
    this.#refuseSecondFiles();
    checkTable("files", fds, MAX_FILES);
    const table = descriptorsOf(fds);
    const result = this.tryRegister(IORING_REGISTER_FILES, addressOf(table), table.length);
    checkFiles(result, "IORING_REGISTER_FILES", table.length);
    this.#files = table.length;
  }

  /**
   * Makes a table of `count` empty places for files, to be filled by {@link registerFilesUpdate} or by operations that
   * open, accept or make a socket directly into it.
   *
   * @throws as {@link registerFiles}.
   * @kernel 5.5
   * @man io_uring_register_files_sparse(3)
   */
  registerFilesSparse(count: number): void {
    checkCount("a number of files", count);
    if (count === 0 || count > MAX_FILES) throw tableSize("files", count, MAX_FILES);
    this.registerFiles(new Int32Array(count).fill(-1));
  }

  /**
   * Replaces registered files from index `offset` on: -1 empties a place, IORING_REGISTER_FILES_SKIP (-2) leaves it.
   *
   * @returns how many were replaced.
   * @throws Error `ERR_URING_STATE` where no table is registered; RangeError past its end; UringError EBADF.
   * @kernel 5.5
   * @man io_uring_register_files_update(3)
   */
  registerFilesUpdate(offset: number, fds: readonly number[] | Int32Array): number {
    if (this.#files === undefined) throw stateError("ERR_URING_STATE", "Cannot update files: none are registered");
    checkUpdate("files", offset, fds, this.#files);
    const table = descriptorsOf(fds);
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = offset;
    set64(words, IO_URING_RSRC_UPDATE_WORD_DATA, addressOf(table));
    const result = this.tryRegister(IORING_REGISTER_FILES_UPDATE, addressOf(words), table.length);
    return checkFiles(result, "IORING_REGISTER_FILES_UPDATE", table.length);
  }

  /**
   * Takes the files' table away. Requests in flight keep what they use.
   *
   * @throws Error `ERR_URING_STATE` where none is registered.
   * @kernel 5.1
   * @man io_uring_unregister_files(3)
   */
  unregisterFiles(): void {
    if (this.#files === undefined) throw stateError("ERR_URING_STATE", "Cannot unregister files: none are registered");
    this.#call("IORING_UNREGISTER_FILES", IORING_UNREGISTER_FILES, 0, 0);
    this.#files = undefined;
  }

  /** How many places the registered files' table has; 0 where there is none. */
  get registeredFiles(): number {
    return this.#files ?? 0;
  }

  /**
   * Signals `eventfd` at every completion. The descriptor stays the caller's to close, after unregistering it.
   *
   * @throws Error `ERR_URING_STATE` where one is registered already; UringError EBADF, EINVAL for what is no eventfd.
   * @kernel 5.2
   * @man io_uring_register_eventfd(3)
   */
  registerEventfd(eventfd: number): void {
    this.#registerEventfd("IORING_REGISTER_EVENTFD", IORING_REGISTER_EVENTFD, eventfd);
  }

  /**
   * The same, but only for completions that did not happen within the submission itself.
   *
   * @throws as {@link registerEventfd}.
   * @kernel 5.6
   * @man io_uring_register_eventfd_async(3)
   */
  registerEventfdAsync(eventfd: number): void {
    this.#registerEventfd("IORING_REGISTER_EVENTFD_ASYNC", IORING_REGISTER_EVENTFD_ASYNC, eventfd);
  }

  #registerEventfd(name: string, opcode: number, eventfd: number): void {
    checkFd(eventfd);
    if (this.#eventfd) {
      throw stateError("ERR_URING_STATE", "Cannot register an eventfd: one is registered; unregisterEventfd() first");
    }
    this.#call(name, opcode, addressOf(Int32Array.of(eventfd)), 1);
    this.#eventfd = true;
  }

  /**
   * Stops signalling the eventfd.
   *
   * @throws Error `ERR_URING_STATE` where none is registered.
   * @kernel 5.2
   * @man io_uring_unregister_eventfd(3)
   */
  unregisterEventfd(): void {
    if (!this.#eventfd) throw stateError("ERR_URING_STATE", "Cannot unregister the eventfd: none is registered");
    this.#call("IORING_UNREGISTER_EVENTFD", IORING_UNREGISTER_EVENTFD, 0, 0);
    this.#eventfd = false;
  }

  /**
   * Registers the ring's own descriptor with this thread, which saves its look-up at each io_uring_enter: 16 a thread.
   *
   * @returns its index.
   * @throws Error `ERR_URING_STATE` where it is registered already; UringError EBUSY where all 16 are taken, EINVAL
   * before 5.18.
   * @kernel 5.18
   * @man io_uring_register_ring_fd(3)
   */
  registerRingFd(): number {
    if (this.#ringIndex >= 0 || this.indexOnly)
      throw stateError("ERR_URING_STATE", "Cannot register the ring's descriptor: it is already");
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = -1;
    set64(words, IO_URING_RSRC_UPDATE_WORD_DATA, this.fd);
    this.#call("IORING_REGISTER_RING_FDS", IORING_REGISTER_RING_FDS, addressOf(words), 1);
    this.#ringIndex = words[IO_URING_RSRC_UPDATE_WORD_OFFSET] as number;
    this.useRegisteredIndex(this.#ringIndex);
    return this.#ringIndex;
  }

  /**
   * Goes back to naming the ring by its descriptor.
   *
   * @throws Error `ERR_URING_STATE` where it is not registered.
   * @kernel 5.18
   * @man io_uring_unregister_ring_fd(3)
   */
  unregisterRingFd(): void {
    if (this.#ringIndex < 0) {
      throw stateError("ERR_URING_STATE", "Cannot unregister the ring's descriptor: it is not registered");
    }
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = this.#ringIndex;
    this.useRegisteredIndex(-1);
    this.#ringIndex = -1;
    this.#call("IORING_UNREGISTER_RING_FDS", IORING_UNREGISTER_RING_FDS, addressOf(words), 1);
  }

  /** Whether the ring's descriptor is registered with this thread. */
  get ringFdRegistered(): boolean {
    return this.#ringIndex >= 0;
  }

  /**
   * Starts a ring that was made with `rDisabled`. It belongs to the thread that calls this.
   *
   * @throws UringError EBADFD where it is not disabled.
   * @kernel 5.10
   * @man io_uring_enable_rings(3)
   */
  enableRings(): void {
    this.#call("IORING_REGISTER_ENABLE_RINGS", IORING_REGISTER_ENABLE_RINGS, 0, 0);
  }

  /** Lets go of what registrations keep. The ring is closing; the kernel drops its side by itself. */
  protected forgetRegistrations(): void {
    this.#buffers = undefined;
    this.#files = undefined;
    this.#eventfd = false;
    if (this.#ringIndex >= 0) this.unregisterRingFd();
  }

  #refuseSecondBuffers(): void {
    if (this.#buffers === undefined) return;
    throw stateError(
      "ERR_URING_STATE",
      "Cannot register buffers: a table is registered; update it, or unregisterBuffers() first",
    );
  }

  #refuseSecondFiles(): void {
    if (this.#files === undefined) return;
    throw stateError(
      "ERR_URING_STATE",
      "Cannot register files: a table is registered; update it, or unregisterFiles() first",
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

function checkFiles(result: number, name: string, count: number): number {
  if (result >= 0) return result;
  let advice: string | undefined;
  if (result === -EMFILE) advice = `${count} files are more than the process may have open; raise \`ulimit -n\``;
  throw new UringError(result, name, advice);
}

function checkTable(what: string, items: readonly unknown[] | Int32Array, most: number): void {
  if (!Array.isArray(items) && !(items instanceof Int32Array)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot register ${describe(items)} as ${what}: pass an array`);
  }
  if (items.length === 0 || items.length > most) throw tableSize(what, items.length, most);
}

function checkUpdate(what: string, offset: number, items: readonly unknown[] | Int32Array, places: number): void {
  checkCount("an index", offset);
  checkTable(what, items, places);
  if (offset + items.length > places) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot update ${items.length} ${what} from index ${offset}: the table has ${places} places`,
    );
  }
}

function tableSize(what: string, count: number, most: number): RangeError {
  return rangeError("ERR_URING_ARG_VALUE", `Cannot register ${count} ${what}: it must be from 1 to ${most}`);
}

function descriptorsOf(fds: readonly number[] | Int32Array): Int32Array {
  for (const fd of fds) {
    if (fd !== -2) checkFd(fd);
  }
  return Int32Array.from(fds);
}

/** struct iovec for each; nothing for null. */
function iovecsOf(buffers: readonly (Memory | null)[]): Int32Array {
  const words = new Int32Array(buffers.length * IOVEC_WORDS);
  buffers.forEach((buffer, index) => {
    if (buffer === null) return;
    set64(words, index * IOVEC_WORDS, addressOf(buffer));
    set64(words, index * IOVEC_WORDS + 2, lengthOf(buffer, undefined));
  });
  return words;
}

function set64(words: Int32Array, word: number, value: number): void {
  words[word] = value;
  words[word + 1] = value * 2 ** -32;
}
