/**
 * What was received and is still to be sent: for every connection a queue of pieces of the buffer ring's memory.
 *
 * Everything is numbers in typed arrays, linked by index, so that a message costs no allocation.
 */
import { type BufferRing, type Cqe, Mapping } from "bun-uring";

const NONE = -1;

/** The queues of all connections. */
export class Pieces {
  readonly #buffers: BufferRing;
  // By connection: its first and last piece.
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  // By piece: where in the buffer ring's memory it begins, how long it is, which buffer it is part of, what follows it.
  #starts: Int32Array;
  #lengths: Int32Array;
  #ids: Int32Array;
  #next: Int32Array;
  /** The first piece that is not in use; the others follow through #next. */
  #free = NONE;

  /** @param connections how many there can be: they are numbered from 0. */
  constructor(buffers: BufferRing, connections: number) {
    this.#buffers = buffers;
    this.#first = new Int32Array(connections).fill(NONE);
    this.#last = new Int32Array(connections);
    this.#starts = this.#lengths = this.#ids = this.#next = new Int32Array(0);
    this.#grow(1024);
  }

  /** Takes the data of a completion over as the connection's last piece. */
  append(connection: number, cqe: Cqe): void {
    if (this.#free === NONE) this.#grow(this.#next.length * 2);
    const piece = this.#free;
    this.#free = this.#next[piece] as number;
    this.#starts[piece] = this.#buffers.take(cqe);
    this.#lengths[piece] = cqe.res;
    this.#ids[piece] = cqe.bufferId;
    this.#next[piece] = NONE;
    if (this.#first[connection] === NONE) this.#first[connection] = piece;
    else this.#next[this.#last[connection] as number] = piece;
    this.#last[connection] = piece;
  }

  /** Whether the connection has none. */
  isEmpty(connection: number): boolean {
    return this.#first[connection] === NONE;
  }

  /** Whether the connection's first piece is its only one. */
  isLast(connection: number): boolean {
    return this.#first[connection] === this.#last[connection];
  }

  /** The address of the first piece. */
  address(connection: number): number {
    return this.#buffers.addressOf(0) + (this.#starts[this.#first[connection] as number] as number);
  }

  /** The bytes of the first piece. */
  length(connection: number): number {
    return this.#lengths[this.#first[connection] as number] as number;
  }

  /** Forgets `bytes` of the first piece, which has more: they were sent. */
  shorten(connection: number, bytes: number): void {
    const piece = this.#first[connection] as number;
    this.#starts[piece] = (this.#starts[piece] as number) + bytes;
    this.#lengths[piece] = (this.#lengths[piece] as number) - bytes;
  }

  /** Forgets the first piece: it was sent. */
  pop(connection: number): void {
    const piece = this.#first[connection] as number;
    this.#first[connection] = this.#next[piece] as number;
    this.#next[piece] = this.#free;
    this.#free = piece;
    this.#buffers.recycle(this.#ids[piece] as number);
  }

  /** Forgets all of them. */
  clear(connection: number): void {
    while (!this.isEmpty(connection)) this.pop(connection);
  }

  /** Copies all of them, of which there is at least one, into memory of their own, and forgets them. */
  moveOut(connection: number): Mapping {
    let bytes = 0;
    for (let piece = this.#first[connection] as number; piece !== NONE; piece = this.#next[piece] as number) {
      bytes += this.#lengths[piece] as number;
    }
    const memory = Mapping.anonymous(bytes);
    let end = 0;
    while (!this.isEmpty(connection)) {
      const start = this.#starts[this.#first[connection] as number] as number;
      const length = this.length(connection);
      memory.bytes.set(this.#buffers.bytes.subarray(start, start + length), end);
      end += length;
      this.pop(connection);
    }
    return memory;
  }

  /** Makes room for `count` pieces, when all are in use. */
  #grow(count: number): void {
    const before = this.#next.length;
    const larger = (array: Int32Array): Int32Array => {
      const copy = new Int32Array(count);
      copy.set(array);
      return copy;
    };
    this.#starts = larger(this.#starts);
    this.#lengths = larger(this.#lengths);
    this.#ids = larger(this.#ids);
    this.#next = larger(this.#next);
    for (let piece = before; piece < count; piece++) this.#next[piece] = piece + 1 < count ? piece + 1 : NONE;
    this.#free = before;
  }
}
