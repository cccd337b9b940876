/** Contexts for requests: a slab whose slots are named by numbers that are good for one use. */
import { describe, rangeError } from "../errors.ts";

/** A ticket's low 22 bits are its slot, the 31 above them the slot's generation: 53 in all, a whole number in JS. */
const SLOT_BITS = 22;
const SLOT_MASK = 2 ** SLOT_BITS - 1;
const MAX_SLOTS = 2 ** SLOT_BITS;
const GENERATION_MASK = 2 ** 31 - 1;
/** Of a slot's next-free word: in use. */
const IN_USE = -2;
const NONE = -1;

/**
 * A slab of contexts. `take(context)` gives a ticket to be used as user data; when the completion comes back, `peek`
 * or `give` with it finds the context again. A ticket that was given back is stale for good (for 2^31 further uses of
 * its slot): a late completion reaches nobody. Nothing is allocated per ticket.
 *
 * ```ts
 * const tickets = new Tickets<Connection>(1024);
 * ring.prepRecv(fd, buffer, 0).userData(tickets.take(connection));
 * const connection = tickets.give(cqe.userData); // undefined if it is stale
 * ```
 */
export class Tickets<T> {
  #contexts: (T | undefined)[];
  /** A slot's current generation. */
  #generations: Int32Array;
  /** The next free slot after a free one, NONE at the end; IN_USE for a taken one. */
  #next: Int32Array;
  #firstFree: number;
  #lastFree: number;
  #size = 0;

  /**
   * @param capacity how many tickets can be out at first; the slab doubles when they do not suffice, to 2^22.
   * @throws RangeError `ERR_URING_ARG_VALUE`.
   */
  constructor(capacity: number = 256) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_SLOTS) {
      throw rangeError(
        "ERR_URING_ARG_VALUE",
        `Cannot make a slab of ${describe(capacity)} tickets: it must be a whole number from 1 to ${MAX_SLOTS}`,
      );
    }
    this.#contexts = new Array<T | undefined>(capacity).fill(undefined);
    this.#generations = new Int32Array(capacity);
    this.#next = new Int32Array(capacity);
    this.#firstFree = 0;
    this.#lastFree = capacity - 1;
    chain(this.#next, 0);
  }

  /** How many tickets are out. */
  get size(): number {
    return this.#size;
  }

  /** How many can be out before the slab grows. */
  get capacity(): number {
    return this.#generations.length;
  }

  /**
   * Keeps `context` and names it. The context stays referenced until the ticket is given back.
   *
   * @returns the ticket: a whole number from 1 to 2^53 - 1.
   * @throws RangeError `ERR_URING_ARG_VALUE` when 2^22 tickets are out.
   */
  take(context: T): number {
    if (this.#firstFree === NONE) this.#grow();
    const slot = this.#firstFree;
    this.#firstFree = this.#next[slot] as number;
    this.#next[slot] = IN_USE;
    const generation = nextGeneration(this.#generations[slot] as number);
    this.#generations[slot] = generation;
    this.#contexts[slot] = context;
    this.#size++;
    return generation * 2 ** SLOT_BITS + slot;
  }

  /** The context of a ticket that is out; undefined for one that is stale or was never given. */
  peek(ticket: number): T | undefined {
    const slot = this.#slotOf(ticket);
    return slot === NONE ? undefined : this.#contexts[slot];
  }

  /** Replaces the context of a ticket that is out; false for one that is not. */
  replace(ticket: number, context: T): boolean {
    const slot = this.#slotOf(ticket);
    if (slot === NONE) return false;
    this.#contexts[slot] = context;
    return true;
  }

  /** Whether the ticket is out. */
  has(ticket: number): boolean {
    return this.#slotOf(ticket) !== NONE;
  }

  /** Takes a ticket back: its context, which is no longer kept; undefined for one that is stale or was never given. */
  give(ticket: number): T | undefined {
    const slot = this.#slotOf(ticket);
    if (slot === NONE) return undefined;
    const context = this.#contexts[slot];
    this.#contexts[slot] = undefined;
    // The slot goes to the end of the queue, so that its generation lasts as long as it can.
    this.#next[slot] = NONE;
    if (this.#firstFree === NONE) this.#firstFree = slot;
    else this.#next[this.#lastFree] = slot;
    this.#lastFree = slot;
    this.#size--;
    return context;
  }

  /** Calls `callback` with every ticket that is out and its context. */
  forEach(callback: (context: T, ticket: number) => void): void {
    for (let slot = 0; slot < this.#next.length; slot++) {
      if (this.#next[slot] !== IN_USE) continue;
      callback(this.#contexts[slot] as T, (this.#generations[slot] as number) * 2 ** SLOT_BITS + slot);
    }
  }

  #slotOf(ticket: number): number {
    if (!Number.isSafeInteger(ticket) || ticket < 0) return NONE;
    const slot = ticket & SLOT_MASK;
    if (slot >= this.#next.length || this.#next[slot] !== IN_USE) return NONE;
    const generation = (ticket - slot) / 2 ** SLOT_BITS;
    return this.#generations[slot] === generation ? slot : NONE;
  }

  #grow(): void {
    const before = this.capacity;
    if (before === MAX_SLOTS) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot take a ticket: all ${MAX_SLOTS} are out`);
    }
    const after = Math.min(before * 2, MAX_SLOTS);
    const generations = new Int32Array(after);
    generations.set(this.#generations);
    const next = new Int32Array(after);
    next.set(this.#next);
    chain(next, before);
    for (let slot = before; slot < after; slot++) this.#contexts.push(undefined);
    this.#generations = generations;
    this.#next = next;
    this.#firstFree = before;
    this.#lastFree = after - 1;
  }
}

/** Generations go from 1 round to 1, so that no ticket is 0, the user data of an entry that was given none. */
function nextGeneration(generation: number): number {
  return generation === GENERATION_MASK ? 1 : generation + 1;
}

/** Links the slots from `first` on into a list of free ones. */
function chain(next: Int32Array, first: number): void {
  for (let slot = first; slot < next.length; slot++) next[slot] = slot + 1;
  next[next.length - 1] = NONE;
}
