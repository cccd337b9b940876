/** Memory that belongs to one connection alone: what it is owed, or what it receives into where buffers are not shared. */
import { Mapping } from "bun-uring";

/** The memories of all connections. */
export class OwnMemory {
  readonly #memories: (Mapping | undefined)[] = [];
  // By connection: how many bytes of the memory are its answer, and how many of those were sent.
  readonly #filled: Int32Array;
  readonly #sent: Int32Array;

  /** @param connections how many there can be: they are numbered from 0. */
  constructor(connections: number) {
    this.#filled = new Int32Array(connections);
    this.#sent = new Int32Array(connections);
  }

  /** The connection's memory, made at first use. */
  of(connection: number, bytes: number): Mapping {
    return (this.#memories[connection] ??= Mapping.anonymous(bytes));
  }

  /** Gives a connection memory that is full. It has none so far. */
  put(connection: number, memory: Mapping): void {
    this.#memories[connection] = memory;
    this.fill(connection, memory.byteLength);
  }

  /** The first `bytes` of the memory are the answer now. */
  fill(connection: number, bytes: number): void {
    this.#filled[connection] = bytes;
    this.#sent[connection] = 0;
  }

  /** The address of what is left to send. */
  address(connection: number): number {
    return (this.#memories[connection]?.address ?? 0) + (this.#sent[connection] as number);
  }

  /** How many bytes are left to send. */
  left(connection: number): number {
    return (this.#filled[connection] as number) - (this.#sent[connection] as number);
  }

  /** `bytes` more were sent. */
  advance(connection: number, bytes: number): void {
    this.#sent[connection] = (this.#sent[connection] as number) + bytes;
  }

  /** Gives the connection's memory back, if it has any. Nothing may be sending from it. */
  release(connection: number): void {
    this.#memories[connection]?.close();
    this.#memories[connection] = undefined;
  }

  /** Gives everything back. */
  close(): void {
    for (const memory of this.#memories) memory?.close();
    this.#memories.length = 0;
  }
}
