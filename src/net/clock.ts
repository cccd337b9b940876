/** Time limits of connections. They are of whole seconds, and many, so that one timer looks after all of them. */
import type { Connection } from "./connection.ts";
import { settlePromises, tell } from "./handlers.ts";

/** How often it is looked whose time is up. */
const LOOK_MS = 1000;

/** Whose time will be up. */
export class Clock {
  readonly #waiting = new Set<Connection>();
  #timer: Timer | undefined;

  /** Has a connection told after so many seconds, or never for 0. */
  set(connection: Connection, seconds: number): void {
    this.forget(connection);
    if (seconds <= 0) return;
    connection.deadline = performance.now() + seconds * 1000;
    this.#waiting.add(connection);
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** A connection is no longer to be told. */
  forget(connection: Connection): void {
    if (connection.deadline === 0) return;
    connection.deadline = 0;
    this.#waiting.delete(connection);
    if (this.#waiting.size === 0) this.#stop();
  }

  #look(): void {
    const now = performance.now();
    for (const connection of this.#waiting) {
      if (connection.deadline > now) continue;
      this.forget(connection);
      const { timeout } = connection.handlers;
      if (timeout === undefined) continue;
      tell(connection.handlers, timeout, connection.socket);
      settlePromises();
    }
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
