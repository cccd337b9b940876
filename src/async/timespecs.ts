/** The time limits of requests on their way into the kernel. */
import { SIZEOF_TIMESPEC } from "../abi/linux.ts";
import { Mapping } from "../memory.ts";

/**
 * One struct timespec for each entry of the submission queue. The kernel reads it while it takes the entry, and there
 * are never more entries on their way than the queue has.
 */
export class Timespecs {
  readonly #memory: Mapping;
  readonly #count: number;
  #next = 0;

  /** @param count how many entries the queue has. */
  constructor(count: number) {
    this.#count = count;
    this.#memory = Mapping.anonymous(count * SIZEOF_TIMESPEC);
  }

  /** The address of a timespec of so many milliseconds, good until the queue has gone round once. */
  next(milliseconds: number): number {
    const index = this.#next;
    this.#next = (index + 1) % this.#count;
    const { words } = this.#memory;
    const at = (index * SIZEOF_TIMESPEC) / 4;
    const seconds = Math.floor(milliseconds / 1000);
    words[at] = seconds;
    words[at + 1] = seconds * 2 ** -32;
    words[at + 2] = Math.min(Math.round((milliseconds - seconds * 1000) * 1e6), 999_999_999);
    words[at + 3] = 0;
    return this.#memory.address + index * SIZEOF_TIMESPEC;
  }

  /** Gives the memory back. */
  close(): void {
    this.#memory.close();
  }
}
