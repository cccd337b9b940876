/** Registered files: their table and its updates. */
import { EMFILE } from "../../abi/errno.gen.ts";
import {
  IORING_REGISTER_FILES,
  IORING_REGISTER_FILES_SKIP,
  IORING_REGISTER_FILES_UPDATE,
  IORING_UNREGISTER_FILES,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_RSRC_UPDATE_SIZE,
  IO_URING_RSRC_UPDATE_WORD_DATA,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
} from "../../abi/layout.gen.ts";
import { stateError, UringError } from "../../errors.ts";
import { addressOf } from "../../memory.ts";
import { checkFd } from "../prep/check.ts";
import { setU64 } from "../structs.ts";
import { BufferRegistrations } from "./buffers.ts";
import { checkPlaces, checkTable, checkUpdate } from "./tables.ts";

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
    setU64(words, IO_URING_RSRC_UPDATE_WORD_DATA, addressOf(table));
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
