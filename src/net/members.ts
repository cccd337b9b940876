/** A list of connections that those in it leave by themselves. */
import type { Connection } from "./connection.ts";

/** Connections that belong together: a listener's, or all that were connected from here. */
export class Members {
  /** The listener that they are of; undefined for those that were connected from here. */
  readonly owner: object | undefined;
  #first: Connection | undefined;

  /** An empty list. */
  constructor(owner?: object) {
    this.owner = owner;
  }

  /** Puts one in. */
  add(connection: Connection): void {
    const next = this.#first;
    connection.next = next;
    if (next !== undefined) next.previous = connection;
    this.#first = connection;
  }

  /** Takes one out. */
  remove(connection: Connection): void {
    const { previous, next } = connection;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    connection.previous = connection.next = undefined;
  }

  /** Those that are in it now. */
  all(): Connection[] {
    const found: Connection[] = [];
    for (let at = this.#first; at !== undefined; at = at.next) found.push(at);
    return found;
  }
}
