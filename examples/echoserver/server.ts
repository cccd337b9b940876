/**
 * The server's loop: accepts connections, and hands what the ring completes to them.
 *
 * A message costs one completion, one entry and its share of a system call: one io_uring_enter submits the answers to
 * all that came since the last one, and waits for more.
 */
import {
  type Cqe,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  IORING_FEAT_MIN_TIMEOUT,
  type Ring,
  SOCK_CLOEXEC,
  Timespec,
  type WaitOptions,
} from "bun-uring";
import { Connections } from "./connections.ts";
import { LISTENER } from "./listener.ts";
import { type Equipment, MAX_CONNECTIONS } from "./setup.ts";
import { ON_ACCEPT, ON_CANCEL, ON_END, ON_OTHER, ON_PAUSE_END, ON_QUICK_SEND, ON_RECEIVE, ON_SEND } from "./states.ts";
import { type Counters, ENTERS, OPEN, OVERFLOWS, REARMS, STOP } from "./stats.ts";

/** How long accepting rests when descriptors or memory run out. */
const PAUSE = Timespec.ofMs(100);
/** How often to look at the counters where no other ring can end the wait. */
const LOOK_MS = 100;
/** How long connections that are behind may go on taking their answers when the server stops. */
const PATIENCE_MS = 1000;

/** How many completions to wait for at the most, and how long for more than one. */
const MOST_WANTED = 4;
const PATIENTLY: WaitOptions = { minWaitUsec: 50 };

/** The server. It belongs to the thread that runs it. */
export class Server {
  readonly #ring: Ring;
  readonly #counters: Counters;
  readonly #connections: Connections;
  readonly #direct: boolean;
  #multishot: boolean;
  /** How long a wait may be where nothing can end it. */
  #lookMs: number;
  /** How many completions the next wait is for. */
  #wanted = 1;
  readonly #mostWanted: number;
  /** When to stop at the latest; Infinity until it is asked to. */
  #deadline = Infinity;

  /** @param counters where it counts, and is told to stop. */
  constructor(equipment: Equipment, counters: Counters) {
    this.#ring = equipment.ring;
    this.#counters = counters;
    this.#direct = equipment.direct;
    this.#multishot = equipment.multishot;
    this.#connections = new Connections(equipment, counters);
    this.#lookMs = equipment.canBeWoken ? Infinity : LOOK_MS;
    // Kernel: 6.12 was the first that can wait for several at first, and then for one.
    this.#mostWanted = this.#ring.hasFeature(IORING_FEAT_MIN_TIMEOUT) ? MOST_WANTED : 1;
  }

  /** Serves until the counters say to stop, then until everybody has their answer, a second at the most. */
  run(): void {
    this.#accept();
    while (this.#deadline === Infinity || (this.#counters[OPEN] !== 0 && performance.now() < this.#deadline)) {
      this.#turn();
    }
    // The last connections' closing may still be queued.
    this.#ring.submit();
    this.#count();
    this.#ring.close();
    this.#connections.release();
  }

  /** One system call, and what comes of it. */
  #turn(): void {
    const connections = this.#connections;
    connections.queueAnswers();
    const all = this.#submit();
    this.#reap();
    // Where the kernel took only a part (it was short of memory) quick sends may be among the rest.
    if (all) connections.settle();
    this.#count();
    if (this.#counters[STOP] === 1 && this.#deadline === Infinity) this.#stop();
  }

  /** Gives the kernel what is queued, and waits if there is nothing else to do; whether it took everything. */
  #submit(): boolean {
    const ring = this.#ring;
    const { urgent, unfinished } = this.#connections;
    this.#connections.urgent = false;
    if (unfinished) ring.submit();
    else if (urgent) ring.submitAndGetEvents();
    else this.#wait();
    return ring.sqReady() === 0;
  }

  /**
   * Waits for one completion, or for a few where they come in quick succession: then another is a matter of
   * microseconds, and to be woken for each costs more, the peer above all, on whose time this thread is woken.
   */
  #wait(): void {
    const ring = this.#ring;
    const wanted = this.#wanted;
    if (this.#lookMs !== Infinity) ring.submitAndWaitTimeout(1, this.#lookMs);
    else if (wanted === 1) ring.submitAndWait(1);
    else ring.submitAndWaitTimeout(wanted, LOOK_MS, PATIENTLY);
    const got = ring.cqReady();
    if (got > wanted) this.#wanted = Math.min(wanted + 1, this.#mostWanted);
    else if (got < wanted) this.#wanted = Math.max(got, 1);
  }

  /** Hands over all completions that are there. */
  #reap(): void {
    const ring = this.#ring;
    do {
      // Only what is there already: a look at an empty queue would have the kernel receive more.
      if (ring.cqReady() === 0) continue;
      for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) this.#dispatch(cqe);
      // What did not fit into the queue may be a failed send, and those must be known before sends are settled.
    } while (ring.cqHasOverflow() && this.#flush());
  }

  #flush(): boolean {
    this.#ring.getEvents();
    return true;
  }

  #dispatch(cqe: Cqe): void {
    const id = cqe.userDataLow;
    switch (cqe.userDataHigh) {
      case ON_RECEIVE:
        return this.#connections.onReceive(id, cqe);
      case ON_QUICK_SEND:
        return this.#connections.onQuickSend(id, cqe.res);
      case ON_SEND:
        return this.#connections.onSend(id, cqe.res);
      case ON_CANCEL:
        return this.#connections.onCancel(id, cqe.res);
      case ON_END:
        return this.#connections.onEnd(id);
      case ON_ACCEPT:
        return this.#onAccept(cqe.res, cqe.more);
      case ON_PAUSE_END:
        return this.#accept();
    }
  }

  // ---- Accepting

  #accept(): void {
    if (this.#deadline !== Infinity) return;
    const sqe = !this.#multishot
      ? this.#ring.prepAccept(LISTENER, null, null, SOCK_CLOEXEC)
      : this.#direct
        ? this.#ring.prepMultishotAcceptDirect(LISTENER)
        : this.#ring.prepMultishotAccept(LISTENER, null, null, SOCK_CLOEXEC);
    sqe.fixedFile().userDataHalves(0, ON_ACCEPT);
  }

  /** A connection, or a failure; the request goes on if there is `more`. */
  #onAccept(res: number, more: boolean): void {
    if (res >= 0) this.#welcome(res);
    if (more || this.#deadline !== Infinity) return;
    if (res === -EINVAL && this.#multishot && !this.#direct) {
      this.#multishot = false;
      this.#accept();
    } else if (res === -EMFILE || res === -ENFILE || res === -ENOBUFS || res === -ENOMEM) {
      this.#ring.prepTimeout(PAUSE, 0, 0).userDataHalves(0, ON_PAUSE_END);
    } else {
      if (this.#multishot) this.#counters[REARMS]!++;
      this.#accept();
    }
  }

  #welcome(id: number): void {
    if (id < MAX_CONNECTIONS && this.#deadline === Infinity) {
      this.#connections.open(id);
      return;
    }
    // One that came while the server stops, or a descriptor past all tables.
    const sqe = this.#direct ? this.#ring.prepCloseDirect(id) : this.#ring.prepClose(id);
    sqe.userDataHalves(0, ON_OTHER);
  }

  // ---- Stopping

  #stop(): void {
    this.#deadline = performance.now() + PATIENCE_MS;
    this.#lookMs = LOOK_MS;
    this.#ring.prepCancel64(ON_ACCEPT * 2 ** 32).userDataHalves(0, ON_OTHER);
    this.#connections.endAll();
  }

  #count(): void {
    this.#counters[ENTERS] = this.#ring.enters;
    this.#counters[OVERFLOWS] = this.#ring.overflows;
  }
}
