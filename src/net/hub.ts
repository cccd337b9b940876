/** What all listeners and connections of a thread share: its ring, buffers to receive into, memory to send from. */
import { io } from "../async/io.ts";
import type { Ending, Reactor } from "../async/reactor.ts";
import { errnoName } from "../errors.ts";
import { Clock } from "./clock.ts";
import { Looks } from "./looks.ts";
import { Members } from "./members.ts";
import { Outbox } from "./outbox.ts";
import { Receives } from "./receives.ts";

/** Something to be stopped with the ring. */
export interface Stoppable {
  /** Stops it, with its connections. */
  stop(closeActiveConnections: boolean): void;
}

/** See above. */
export class Hub implements Ending {
  /** The thread's ring. */
  readonly reactor: Reactor;
  /** What is received with. */
  readonly receives: Receives;
  /** What is sent through. */
  readonly outbox: Outbox;
  /** Who may have missed an end. */
  readonly looks: Looks = new Looks();
  /** Whose time will be up. */
  readonly clock: Clock = new Clock();
  /** Those that were connected from here. */
  readonly clients: Members = new Members();
  /** Those that listen. */
  readonly listeners: Set<Stoppable> = new Set();

  /** Makes it on a ring. */
  constructor(reactor: Reactor) {
    this.reactor = reactor;
    this.receives = new Receives(reactor);
    this.outbox = new Outbox(reactor);
    reactor.endings.add(this);
  }

  /** Counts that a receive is made again that ended with `res`. What waits for readiness is always made again. */
  countAgain(res: number): void {
    if (this.receives.way === "readiness") return;
    const { rearms } = this.reactor;
    const why = res < 0 ? errnoName(res) : "ended";
    rearms.set(why, (rearms.get(why) ?? 0) + 1);
  }

  /** Closes a descriptor with the next submission. */
  discard(fd: number): void {
    this.reactor.discardDescriptor(fd);
  }

  /** Implements {@link Ending}: the ring is being closed by its user. */
  end(): void {
    hubs.delete(this.reactor);
    for (const listener of [...this.listeners]) listener.stop(true);
    for (const connection of this.clients.all()) connection.terminate();
    // The ring is closed when the kernel has let go of all memory, and not earlier.
    queueMicrotask(() => {
      void this.reactor.close().then(() => {
        this.receives.close();
        this.outbox.close();
      });
    });
  }
}

const hubs = new WeakMap<Reactor, Hub>();

/** The thread's. */
export function hub(): Hub {
  const reactor = io.reactor();
  const known = hubs.get(reactor);
  if (known !== undefined) return known;
  const made = new Hub(reactor);
  hubs.set(reactor, made);
  return made;
}
