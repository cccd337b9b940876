/** The submission queue: entries that we fill, a tail that we move, a head that the kernel moves. */
import { IORING_OP_NOP, IOSQE_CQE_SKIP_SUCCESS, IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from "../abi/constants.gen.ts";
import { FILLER_WORD } from "./cq.ts";
import { SQE_USER_DATA } from "./prep/slot.ts";
import { Sqe } from "./sqe.ts";

/** @internal Where the kernel keeps the queue's words, as indices into the ring's mapping. */
export interface SqLayout {
  head: number;
  tail: number;
  flags: number;
  dropped: number;
}

/** The bits of an entry's first word that tie it to its successor. */
const LINKS = (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) << 8;

/** @internal How a queue differs from the plain one. */
export interface SqKind {
  /** Entries of 64 and of 128 bytes side by side (IORING_SETUP_SQE_MIXED). */
  mixed: boolean;
  /** Each submission starts at the first entry again (IORING_SETUP_SQ_REWIND): there is no tail and no head. */
  rewind: boolean;
}

/** @internal */
export class SubmissionQueue {
  /** The one view of the entry being built. */
  readonly sqe: Sqe;
  /** How many entries there are. */
  entries: number;
  /** The next entry to be filled, counted without end, as a signed 32-bit number. */
  tail = 0;
  /** The kernel's head as last seen. */
  head = 0;
  /** Where the tail may not go: a whole queue past the head. Closed queues are full. */
  limit: number;
  /** The tail that the kernel has been shown. */
  published = 0;
  /** Whether the kernel was ever shown an entry. */
  everSubmitted = false;
  /** The tail just after the last entry that took two slots; no number where there is none. */
  #wideTail = Number.NaN;
  /** Whether the entry being written comes after a filler in the last slot, because it would wrap otherwise. */
  #afterFiller = false;
  readonly #mixed: boolean;
  readonly #rewind: boolean;
  #mask: number;
  readonly #shift: number;
  #ring: Int32Array;
  #layout: SqLayout;

  /** @param words the entries' memory. @param ring the queues' memory. @param layout where in it what stands. */
  constructor(
    entries: number,
    entryBytes: number,
    words: Int32Array,
    ring: Int32Array,
    layout: SqLayout,
    kind: SqKind,
  ) {
    this.#mixed = kind.mixed;
    this.#rewind = kind.rewind;
    this.entries = this.limit = entries;
    this.#mask = entries - 1;
    this.#shift = entryBytes === 128 ? 5 : 4;
    this.#ring = ring;
    this.#layout = layout;
    this.sqe = new Sqe(words, entryBytes / 4, () => this.retract());
  }

  /** Points the view at the next free entry, which {@link commit} then queues. */
  claim(): Sqe {
    const sqe = this.sqe;
    sqe.at = (this.tail & this.#mask) << this.#shift;
    if (this.#mixed) sqe.wide = false;
    return sqe;
  }

  /** Queues the entry that was claimed. The kernel sees it at the next {@link publish}. */
  commit(): Sqe {
    this.tail = (this.tail + 1) | 0;
    return this.sqe;
  }

  /** How many free slots an entry of 128 bytes needs: two that do not wrap, on a ring of both sizes. */
  get wideSlots(): number {
    if (!this.#mixed) return 1;
    return (this.tail & this.#mask) === this.#mask ? 3 : 2;
  }

  /** Points the view at the next free entry of 128 bytes, if the ring can have one, for {@link commitWide}. */
  claimWide(): Sqe {
    if (!this.#mixed) return this.claim();
    this.#afterFiller = (this.tail & this.#mask) === this.#mask;
    const sqe = this.sqe;
    sqe.at = this.#afterFiller ? 0 : (this.tail & this.#mask) << this.#shift;
    sqe.wide = true;
    return sqe;
  }

  /** Queues the entry that was claimed with {@link claimWide}, after a filler where it would have wrapped. */
  commitWide(): Sqe {
    if (!this.#mixed) return this.commit();
    if (this.#afterFiller) this.#fill();
    this.tail = this.#wideTail = (this.tail + 2) | 0;
    return this.sqe;
  }

  /** A NOP that nobody hears of takes the last slot: in silence, or told by its user data. Within a chain it is a link like any other. */
  #fill(): void {
    const { words } = this.sqe;
    const links = this.chained ? (words[this.#last()] as number) & LINKS : 0;
    const at = this.#mask << this.#shift;
    words.fill(0, at, at + this.sqe.stride);
    words[at] = IORING_OP_NOP | (IOSQE_CQE_SKIP_SUCCESS << 8) | links;
    words[at + SQE_USER_DATA] = words[at + SQE_USER_DATA + 1] = FILLER_WORD;
    this.tail = (this.tail + 1) | 0;
  }

  /** The first word of the entry queued last. */
  #last(): number {
    const slots = this.tail === this.#wideTail ? 2 : 1;
    return (((this.tail - slots) | 0) & this.#mask) << this.#shift;
  }

  /** Takes the entry under the view back, if it is the last one queued and the kernel has not been shown it. */
  retract(): void {
    if (this.tail === this.published || this.#last() !== this.sqe.at) return;
    const wide = this.tail === this.#wideTail;
    this.tail = (this.tail - (wide ? 2 : 1)) | 0;
    if (wide) this.#wideTail = Number.NaN;
  }

  /** Shows the kernel every queued entry; how many it has not taken yet. */
  publish(): number {
    if (this.published !== this.tail) {
      this.published = this.tail;
      this.everSubmitted = true;
      if (this.#rewind) return this.tail;
      // Ordering: a plain store is enough. The kernel reads this tail inside io_uring_enter, on this thread, after it.
      this.#ring[this.#layout.tail] = this.tail;
    }
    return (this.tail - this.head) | 0;
  }

  /** The same for a kernel thread that polls the queue (SQPOLL) and reads the tail whenever it likes. */
  publishToThread(): void {
    this.published = this.tail;
    this.everSubmitted = true;
    // Ordering: a release store, because the entries must be visible before the tail that covers them. It is a full
    // barrier as well, which the look at IORING_SQ_NEED_WAKEUP after it needs: with less, that load could be done
    // before the store is visible, while the thread, about to sleep, sets the flag and sees the old tail. Both would
    // then wait for the other.
    Atomics.store(this.#ring, this.#layout.tail, this.tail);
  }

  /** Sees how far the kernel has come after it said to have taken `taken` entries; how far that is. */
  settle(taken: number): number {
    if (this.#rewind) return this.#moveToFront(Math.max(taken, 0));
    const before = this.head;
    // Ordering: a plain load is enough without SQPOLL: the kernel moves the head inside io_uring_enter only.
    this.#moveHead(this.#ring[this.#layout.head] as number);
    return (this.head - before) | 0;
  }

  /** What was not taken starts the next submission, which begins at the first entry. */
  #moveToFront(taken: number): number {
    const { words, stride } = this.sqe;
    if (taken < this.tail) words.copyWithin(0, taken * stride, this.tail * stride);
    this.tail -= taken;
    this.#wideTail -= taken;
    this.published = 0;
    return taken;
  }

  /** The same where a kernel thread moves the head. */
  refreshFromThread(): void {
    // Ordering: an acquire load: an entry may be written again only after the kernel's last read of it.
    this.#moveHead(Atomics.load(this.#ring, this.#layout.head));
  }

  #moveHead(head: number): void {
    this.head = head;
    this.limit = (head + this.entries) | 0;
  }

  /** IORING_SQ_* as the kernel has them now. */
  get flags(): number {
    // Ordering: the kernel sets these from other threads; a plain load could be hoisted out of a caller's loop.
    return Atomics.load(this.#ring, this.#layout.flags);
  }

  /** How many entries the kernel skipped for an index out of range. */
  get dropped(): number {
    return (this.#ring[this.#layout.dropped] as number) >>> 0;
  }

  /** Entries queued and not yet taken by the kernel. */
  get ready(): number {
    return (this.tail - this.head) | 0;
  }

  /** Forgets every entry that the kernel has not been shown. */
  discard(): void {
    this.tail = this.published;
  }

  /** Whether the last queued entry waits for a successor in its chain. */
  get chained(): boolean {
    return this.tail !== this.published && ((this.sqe.words[this.#last()] as number) & LINKS) !== 0;
  }

  /** Goes on in other memory, of another size, with the same counters. Nothing may be queued. */
  move(entries: number, words: Int32Array, ring: Int32Array, layout: SqLayout): void {
    this.entries = entries;
    this.#mask = entries - 1;
    this.#ring = ring;
    this.#layout = layout;
    this.#moveHead(this.head);
    this.sqe.move(words);
  }

  /** From here on every claim takes the slow path. */
  close(): void {
    this.sqe.release();
    this.tail = this.head = this.published = this.limit = 0;
  }
}
