/**
 * Looks for ends that receives have missed.
 *
 * Kernel: a multishot receive may be done with the last data and not look for the end that came with it (`end-missed`
 * among the quirks). That end is there when the data is told of. So those that had data are looked at together, a while
 * later, by one system call: a request for each, which would be told at once, costs a connection twice its memory.
 */
import { pollEnds } from "./system.ts";

/** How long after the first data, and how often while there is more. */
const LOOK_AFTER_MS = 100;

/** Who is looked at. */
export interface LookedAt {
  /** Its descriptor; -1 when it is closed. */
  readonly fd: number;
  /** @param ended whether its peer sends nothing more. */
  watchOver(ended: boolean): void;
}

function tell(one: LookedAt, ended: boolean): void {
  one.watchOver(ended);
}

/** See above: those of a thread. */
export class Looks {
  #all: LookedAt[] = [];
  /** Takes their place while they are looked at. */
  #next: LookedAt[] = [];

  /** Has one looked at, which had data. */
  add(one: LookedAt): void {
    if (this.#all.push(one) === 1) setTimeout(this.#look, LOOK_AFTER_MS).unref();
  }

  readonly #look = (): void => {
    const all = this.#all;
    this.#all = this.#next;
    this.#next = all;
    for (let from = 0; from < all.length;) from += pollEnds(all, from, tell);
    all.length = 0;
  };
}
