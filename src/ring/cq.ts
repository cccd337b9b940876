/** The completion queue: a tail that the kernel moves, a head that we move. */
import { IORING_CQ_EVENTFD_DISABLED, IORING_CQE_F_32, IORING_CQE_F_SKIP } from "../abi/constants.gen.ts";
import { Cqe } from "./cqe.ts";

/** @internal Where the kernel keeps the queue's words, as indices into the ring's mapping. */
export interface CqLayout {
  head: number;
  tail: number;
  overflow: number;
  flags: number;
  /** The first entry. */
  cqes: number;
}

/** What an entry of the queue can be: always 16 bytes, always 32, or either (IORING_SETUP_CQE_MIXED). */
export type CqeSizes = "16" | "32" | "mixed";

/**
 * Both words of the user data of a filler in the submission queue (IORING_SETUP_SQE_MIXED). Kernel: such a NOP succeeds
 * in silence, but where the chain that it stands in breaks, the kernel (7.3) posts its cancellation all the same.
 */
export const FILLER_WORD = -1;

/**
 * x86 keeps stores in order after earlier loads, so a plain store is a release there. arm64 does not promise it.
 */
const storesAreReleases = process.arch === "x64";

/** @internal */
export class CompletionQueue {
  /** The one view of the entry being read. */
  readonly cqe: Cqe;
  /** How many slots there are. */
  entries: number;
  /** The first entry not yet seen, counted without end, as a signed 32-bit number. */
  head = 0;
  /** The kernel's tail as last seen. */
  tail = 0;
  /** How many of the queue's slots the entry under the view takes; 0 when nothing is under it. */
  #held = 0;
  #published = 0;
  #mask: number;
  readonly #shift: number;
  #first: number;
  readonly #mixed: boolean;
  /** Whether there can be entries that carry nothing. */
  readonly #gaps: boolean;
  readonly #fillers: boolean;
  #ring: Int32Array;
  #layout: CqLayout;

  /**
   * @param entries how many slots. @param sizes what they hold. @param ring the queues' memory. @param layout where.
   * @param fillers whether the submission queue has fillers.
   */
  constructor(entries: number, sizes: CqeSizes, ring: Int32Array, layout: CqLayout, fillers: boolean = false) {
    this.entries = entries;
    this.#mask = entries - 1;
    this.#shift = sizes === "32" ? 3 : 2;
    this.#first = layout.cqes;
    this.#mixed = sizes === "mixed";
    this.#fillers = fillers;
    this.#gaps = this.#mixed || fillers;
    this.#ring = ring;
    this.#layout = layout;
    this.cqe = new Cqe(ring);
  }

  /** A view of the caller's own. */
  newCqe(): Cqe {
    return new Cqe(this.#ring);
  }

  /** Sees what the kernel has posted; whether there is anything. */
  load(): boolean {
    // Ordering: an acquire load: the entries below this tail are read after it. Once a batch.
    this.tail = Atomics.load(this.#ring, this.#layout.tail);
    return this.head !== this.tail;
  }

  /** The first unseen entry among those loaded, under the view; null when there is none. */
  peek(): Cqe | null {
    if (this.head === this.tail) return null;
    if (this.#gaps) return this.#peekPastGaps();
    this.#held = 1;
    this.cqe.at = this.#first + ((this.head & this.#mask) << this.#shift);
    return this.cqe;
  }

  /** Marks the entry under the view as seen and goes to the next of those loaded; null, and all given back, at the end. */
  next(): Cqe | null {
    this.seen();
    const cqe = this.peek();
    if (cqe === null) this.publish();
    return cqe;
  }

  /** Steps over what carries nothing, and measures the entry: on a ring of mixed sizes 32 bytes take two slots. */
  #peekPastGaps(): Cqe | null {
    const ring = this.#ring;
    while (this.head !== this.tail) {
      const at = this.#first + ((this.head & this.#mask) << this.#shift);
      const flags = this.#mixed ? (ring[at + 3] as number) : 0;
      const filler = this.#fillers && ring[at] === FILLER_WORD && ring[at + 1] === FILLER_WORD;
      if (!filler && (flags & IORING_CQE_F_SKIP) === 0) {
        this.cqe.at = at;
        this.#held = (flags & IORING_CQE_F_32) === 0 ? 1 : 2;
        return this.cqe;
      }
      this.head = (this.head + 1) | 0;
    }
    return null;
  }

  /** Marks the entry under the view as seen, if there is one. The kernel learns it at the next {@link publish}. */
  seen(): void {
    this.head = (this.head + this.#held) | 0;
    this.#held = 0;
  }

  /** Puts `view` on the next loaded entry and steps past it; false when there is none. */
  take(view: Cqe): boolean {
    const cqe = this.peek();
    if (cqe === null) return false;
    view.words = cqe.words;
    view.at = cqe.at;
    this.seen();
    return true;
  }

  /** Gives the seen slots back to the kernel. */
  publish(): void {
    if (this.#published === this.head) return;
    this.#published = this.head;
    // Ordering: a release store: every read of an entry comes before the store that lets the kernel reuse it.
    if (storesAreReleases) this.#ring[this.#layout.head] = this.head;
    else Atomics.store(this.#ring, this.#layout.head, this.head);
  }

  /** Completions loaded and not seen, in slots: on a ring of mixed sizes of either queue an upper bound of their number. */
  get ready(): number {
    return (this.tail - this.head) | 0;
  }

  /** Completions that the kernel had to throw away, ever: 0 on every kernel that can keep them (IORING_FEAT_NODROP). */
  get dropped(): number {
    return (this.#ring[this.#layout.overflow] as number) >>> 0;
  }

  /** Whether completions signal the registered eventfd. */
  get eventfdEnabled(): boolean {
    // Ordering: the kernel reads this word from other threads; kept out of the reach of reordering.
    return (Atomics.load(this.#ring, this.#layout.flags) & IORING_CQ_EVENTFD_DISABLED) === 0;
  }

  set eventfdEnabled(enabled: boolean) {
    // Ordering: a full barrier, so that a look at the tail after enabling cannot come before the kernel sees the flag.
    if (enabled) Atomics.and(this.#ring, this.#layout.flags, ~IORING_CQ_EVENTFD_DISABLED);
    // Ordering: as above.
    else Atomics.or(this.#ring, this.#layout.flags, IORING_CQ_EVENTFD_DISABLED);
  }

  /** Goes on in other memory, of another size, with the same counters; the view stays on its entry. */
  move(entries: number, ring: Int32Array, layout: CqLayout): void {
    this.entries = entries;
    this.#mask = entries - 1;
    this.#first = layout.cqes;
    this.#ring = this.cqe.words = ring;
    this.#layout = layout;
    this.cqe.at = this.#first + ((this.head & this.#mask) << this.#shift);
  }

  /** Nothing is ready from here on. */
  close(): void {
    this.head = this.tail = this.#published = 0;
    this.#held = 0;
  }
}
