/** Who is in flight: a slot for every request that the kernel has, named so that a name is good for one use. */
import { rangeError } from "../errors.ts";
import type { Request } from "./request.ts";

/** A slot's number takes the low bits of the low half of the user data; the rest of that half says what else it is. */
export const SLOT_MASK: number = 2 ** 22 - 1;
/** In the low half of the user data: the completion is that of the request's link timeout. */
export const TIMEOUT_BIT: number = 2 ** 30;

/** The same: the completion is that of the request's cancelling. */
export const CANCEL_BIT: number = 2 ** 29;

const MAX_SLOTS = SLOT_MASK + 1;
const NONE = -1;
const MAX_GENERATION = 2 ** 31 - 1;

/**
 * The requests in flight. The table is what keeps their memory alive: it holds a request, and the request what it was
 * given, from submission to the last completion. The high half of the user data is the slot's generation, 1 to 2^31 - 1,
 * so a completion that comes late for a slot that was given to another finds nobody.
 */
export class Table {
  #requests: (Request | undefined)[] = [];
  #generations = new Int32Array(0);
  /** The next free slot after a free one. */
  #next = new Int32Array(0);
  #free = NONE;
  #size = 0;

  /** How many requests are in it. */
  get size(): number {
    return this.#size;
  }

  /**
   * Puts a request in, and its slot and generation into the request.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` where 2^22 are in it.
   */
  add(request: Request): void {
    if (this.#free === NONE) this.#grow();
    const slot = this.#free;
    this.#free = this.#next[slot] as number;
    const last = this.#generations[slot] as number;
    const generation = last === MAX_GENERATION ? 1 : last + 1;
    this.#generations[slot] = generation;
    this.#requests[slot] = request;
    request.slot = slot;
    request.generation = generation;
    this.#size++;
  }

  /** The request that a completion's user data names, undefined for one that is gone. */
  find(low: number, generation: number): Request | undefined {
    const slot = low & SLOT_MASK;
    return this.#generations[slot] === generation ? this.#requests[slot] : undefined;
  }

  /** Takes a request out: its last completion has come. */
  remove(request: Request): void {
    const { slot } = request;
    this.#requests[slot] = undefined;
    this.#next[slot] = this.#free;
    this.#free = slot;
    request.slot = NONE;
    this.#size--;
  }

  /** The requests that are in it now. */
  all(): Request[] {
    return this.#requests.filter((request) => request !== undefined);
  }

  #grow(): void {
    const before = this.#next.length;
    if (before === MAX_SLOTS) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot make a request: ${MAX_SLOTS} are in flight`);
    }
    const after = Math.max(256, before * 2);
    const generations = new Int32Array(after);
    generations.set(this.#generations);
    const next = new Int32Array(after);
    next.set(this.#next);
    for (let slot = before; slot < after; slot++) {
      next[slot] = slot + 1;
      this.#requests.push(undefined);
    }
    next[after - 1] = NONE;
    this.#generations = generations;
    this.#next = next;
    this.#free = before;
  }
}
