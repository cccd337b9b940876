/** Who waits for provided buffers to be given back. */
import type { BufferRing } from "../ring/bufferring.ts";

/** Nobody says when buffers are given back other than by iterators: how soon to look, at first and at last. */
const FIRST_LOOK_MS = 1;
const LAST_LOOK_MS = 16;

const larders = new WeakMap<BufferRing, Larder>();

/** A buffer ring with those whose shots have found it empty. */
export class Larder {
  readonly #buffers: BufferRing;
  readonly #waiting = new Set<() => void>();
  #timer: Timer | undefined;
  #lookMs = FIRST_LOOK_MS;

  private constructor(buffers: BufferRing) {
    this.#buffers = buffers;
  }

  /** The one of a buffer ring. */
  static of(buffers: BufferRing): Larder {
    const known = larders.get(buffers);
    if (known !== undefined) return known;
    const made = new Larder(buffers);
    larders.set(buffers, made);
    return made;
  }

  /** Gives a buffer back, unless the buffer ring is closed: then it is gone already. */
  giveBack(id: number): void {
    if (this.#buffers.bytes.length === 0) return;
    this.#buffers.recycle(id);
    this.#serve();
  }

  /** Calls `again` when there are buffers. @param refed whether the wait keeps the process alive. */
  wait(again: () => void, refed: boolean): void {
    if (this.#buffers.available > 0) return again();
    this.#waiting.add(again);
    this.#look(refed);
  }

  #serve(): void {
    for (const again of this.#waiting) {
      if (this.#buffers.available === 0) return;
      this.#waiting.delete(again);
      this.#lookMs = FIRST_LOOK_MS;
      again();
    }
  }

  #look(refed: boolean): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#lookMs = Math.min(this.#lookMs * 2, LAST_LOOK_MS);
      this.#serve();
      if (this.#waiting.size > 0) this.#look(refed);
    }, this.#lookMs);
    if (!refed) this.#timer.unref();
  }
}
