/** The position of a descriptor that the program did not open, and that others go on using. */
import { constants, readFileSync } from "node:fs";
import type { Statx } from "bun-uring";

/** Stands for the descriptor's own position. */
const OWN_POSITION = -1;

/**
 * Where the next read or write of a descriptor goes: at the descriptor's own position, which is thereby moved for
 * everybody who shares it. A pipe has no other; standard input and output should be left where reading and writing
 * ended.
 *
 * Kernel: there is a trap (seen on 6.18). A transfer that succeeds in part and then fails, on a disk that is full or at
 * the limit of a file's size, is reported as a short one, but leaves the position where it was: the rest would
 * overwrite what was written. So the position of files and disks is counted here, and after a short transfer it is
 * named.
 */
export class Cursor {
  /** Where the position ought to be; undefined where there is none to go wrong. */
  #position: number | undefined;
  #named = false;

  constructor(fd: number, statx: Statx) {
    const kind = statx.mode & constants.S_IFMT;
    if (kind === constants.S_IFREG || kind === constants.S_IFBLK) this.#position = positionOf(fd);
  }

  /** The offset for the next read or write. */
  get offset(): number {
    return this.#named && this.#position !== undefined ? this.#position : OWN_POSITION;
  }

  /** So many bytes were transferred of those that were wanted. */
  advance(bytes: number, wanted: number): void {
    if (this.#position === undefined) return;
    this.#position += bytes;
    this.#named ||= bytes < wanted;
  }
}

/** There is no lseek(2) on the ring nor in node:fs, but a position can be read. */
function positionOf(fd: number): number | undefined {
  try {
    const line = /^pos:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
    return Number(line?.[1]);
  } catch {
    return undefined;
  }
}
