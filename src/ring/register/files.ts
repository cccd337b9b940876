/** Registered files: their table and its updates. */
import { EMFILE } from "../../abi/errno.gen.ts";
import {
  IORING_REGISTER_FILE_ALLOC_RANGE,
  IORING_REGISTER_FILES,
  IORING_REGISTER_FILES2,
  IORING_REGISTER_FILES_SKIP,
  IORING_REGISTER_FILES_UPDATE,
  IORING_REGISTER_FILES_UPDATE2,
  IORING_UNREGISTER_FILES,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_FILE_INDEX_RANGE_SIZE,
  IO_URING_FILE_INDEX_RANGE_WORD_LEN,
  IO_URING_FILE_INDEX_RANGE_WORD_OFF,
  IO_URING_RSRC_REGISTER_SIZE,
  IO_URING_RSRC_REGISTER_WORD_DATA,
  IO_URING_RSRC_REGISTER_WORD_NR,
  IO_URING_RSRC_REGISTER_WORD_TAGS,
  IO_URING_RSRC_UPDATE2_SIZE,
  IO_URING_RSRC_UPDATE2_WORD_DATA,
  IO_URING_RSRC_UPDATE2_WORD_NR,
  IO_URING_RSRC_UPDATE2_WORD_TAGS,
  IO_URING_RSRC_UPDATE_SIZE,
  IO_URING_RSRC_UPDATE_WORD_DATA,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
} from "../../abi/layout.gen.ts";
import { rangeError, stateError, UringError } from "../../errors.ts";
import { checkCount, checkFd } from "../prep/check.ts";
import type { UserData } from "../prep/slot.ts";
import { setU64 } from "../structs.ts";
import { BufferRegistrations } from "./buffers.ts";
import { checkPlaces, checkTable, checkUpdate, tagsOf } from "./tables.ts";
import { transientAddress } from "../transient.ts";

/** The kernel's table has no more places. */
const MAX_FILES = 2 ** 20;

/** @internal */
export abstract class FileRegistrations extends BufferRegistrations {
  #files: number | undefined;

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
    this.#refuseSecondTable();
    checkTable("files", fds, MAX_FILES);
    const table = descriptorsOf(fds);
    const result = this.tryRegister(IORING_REGISTER_FILES, transientAddress(table), table.length);
    checkFiles(result, "IORING_REGISTER_FILES", table.length);
    this.#files = table.length;
  }

  /**
   * The same with a tag for each file. When the kernel is done with a file for good (unregistered or replaced, and no
   * request uses it any more) it posts a completion with the tag as its user data; 0 asks for none. The tag of an empty
   * place (-1) must be 0.
   *
   * Kernel: up to 6.12 tags are posted for what is replaced, and not for a whole table that is unregistered.
   *
   * @throws as {@link registerFiles}; RangeError for tags that are not as many as the files.
   * @kernel 5.13
   * @man io_uring_register_files_tags(3)
   */
  registerFilesTags(fds: readonly number[] | Int32Array, tags: readonly UserData[]): void {
    this.#refuseSecondTable();
    checkTable("files", fds, MAX_FILES);
    const table = descriptorsOf(fds);
    const tagWords = tagsOf(tags, table.length);
    const words = new Int32Array(IO_URING_RSRC_REGISTER_SIZE / 4);
    words[IO_URING_RSRC_REGISTER_WORD_NR] = table.length;
    setU64(words, IO_URING_RSRC_REGISTER_WORD_DATA, transientAddress(table));
    setU64(words, IO_URING_RSRC_REGISTER_WORD_TAGS, transientAddress(tagWords));
    const result = this.tryRegister(IORING_REGISTER_FILES2, transientAddress(words), IO_URING_RSRC_REGISTER_SIZE);
    checkFiles(result, "IORING_REGISTER_FILES2", table.length);
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
    checkPlaces("files", count, MAX_FILES);
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
    setU64(words, IO_URING_RSRC_UPDATE_WORD_DATA, transientAddress(table));
    const result = this.tryRegister(IORING_REGISTER_FILES_UPDATE, transientAddress(words), table.length);
    return checkFiles(result, "IORING_REGISTER_FILES_UPDATE", table.length);
  }

  /**
   * The same with a tag for each, as {@link registerFilesTags} has them. The tags of those that are replaced are posted
   * once no request uses them any more.
   *
   * @returns as {@link registerFilesUpdate}.
   * @throws as {@link registerFilesUpdate}; RangeError for tags that are not as many as the files.
   * @kernel 5.13
   * @man io_uring_register_files_update_tag(3)
   */
  registerFilesUpdateTag(offset: number, fds: readonly number[] | Int32Array, tags: readonly UserData[]): number {
    if (this.#files === undefined) throw stateError("ERR_URING_STATE", "Cannot update files: none are registered");
    checkUpdate("files", offset, fds, this.#files);
    const table = descriptorsOf(fds);
    const tagWords = tagsOf(tags, table.length);
    const words = new Int32Array(IO_URING_RSRC_UPDATE2_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = offset;
    setU64(words, IO_URING_RSRC_UPDATE2_WORD_DATA, transientAddress(table));
    setU64(words, IO_URING_RSRC_UPDATE2_WORD_TAGS, transientAddress(tagWords));
    words[IO_URING_RSRC_UPDATE2_WORD_NR] = table.length;
    const result = this.tryRegister(IORING_REGISTER_FILES_UPDATE2, transientAddress(words), IO_URING_RSRC_UPDATE2_SIZE);
    return checkFiles(result, "IORING_REGISTER_FILES_UPDATE2", table.length);
  }

  /**
   * Has the kernel pick new direct descriptors (IORING_FILE_INDEX_ALLOC) from `length` places of the table from
   * `offset` on, so that the others can be named by whoever owns them. A length of 0 leaves it nothing to pick.
   *
   * @throws Error `ERR_URING_STATE` where no table is registered; RangeError past its end.
   * @kernel 6.0
   * @man io_uring_register_file_alloc_range(3)
   */
  registerFileAllocRange(offset: number, length: number): void {
    if (this.#files === undefined) {
      throw stateError("ERR_URING_STATE", "Cannot set the range of new files: no table is registered");
    }
    checkCount("an index", offset);
    checkCount("a number of places", length);
    if (offset + length > this.#files) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot pick files from ${length} places from index ${offset}: the table has ${this.#files} places`,
      );
    }
    const words = new Int32Array(IO_URING_FILE_INDEX_RANGE_SIZE / 4);
    words[IO_URING_FILE_INDEX_RANGE_WORD_OFF] = offset;
    words[IO_URING_FILE_INDEX_RANGE_WORD_LEN] = length;
    this.call("IORING_REGISTER_FILE_ALLOC_RANGE", IORING_REGISTER_FILE_ALLOC_RANGE, transientAddress(words), 0);
  }

  /**
   * Takes the files' table away. Requests in flight keep what they use.
   *
   * Kernel: before 6.13 this waits until none is in flight that uses one of them; cancel those first that may not end.
   *
   * @throws Error `ERR_URING_STATE` where none is registered.
   * @kernel 5.1
   * @man io_uring_unregister_files(3)
   */
  unregisterFiles(): void {
    if (this.#files === undefined) throw stateError("ERR_URING_STATE", "Cannot unregister files: none are registered");
    this.call("IORING_UNREGISTER_FILES", IORING_UNREGISTER_FILES, 0, 0);
    this.#files = undefined;
  }

  /** How many places the registered files' table has; 0 where there is none. */
  get registeredFiles(): number {
    return this.#files ?? 0;
  }

  protected override forgetRegistrations(): void {
    super.forgetRegistrations();
    this.#files = undefined;
  }

  #refuseSecondTable(): void {
    if (this.#files === undefined) return;
    throw stateError(
      "ERR_URING_STATE",
      "Cannot register files: a table is registered; update it, or unregisterFiles() first",
    );
  }
}

function checkFiles(result: number, name: string, count: number): number {
  if (result >= 0) return result;
  let advice: string | undefined;
  if (result === -EMFILE) advice = `${count} files are more than the process may have open; raise \`ulimit -n\``;
  throw new UringError(result, name, advice);
}

function descriptorsOf(fds: readonly number[] | Int32Array): Int32Array {
  for (const fd of fds) {
    if (fd !== IORING_REGISTER_FILES_SKIP) checkFd(fd);
  }
  return Int32Array.from(fds);
}
