/** A small event loop on one ring: requests become promises of their results. */
import { type Ring, type Sqe, Tickets } from "bun-uring";

/** The longest wait for a completion, so that the progress is drawn and signals are noticed while nothing completes. */
const TURN_MS = 100;

/** A request in flight: whom to tell its result, and what the kernel uses of ours until then. */
interface Waiting {
  readonly resolve: (result: number) => void;
  readonly keep: unknown;
  readonly stops: boolean;
}

/** Turns a ring's completions into settled promises, and waits for them where nothing else is left to do. */
export class Loop {
  readonly ring: Ring;
  /** Whether {@link stop} was called: nothing new is to be begun. */
  stopped = false;
  readonly #waiting = new Tickets<Waiting>(512);

  constructor(ring: Ring) {
    this.ring = ring;
  }

  /**
   * The result of a request, which is the entry that was prepared last: 0 or more, or `-errno`.
   *
   * @param keep the memory that the request uses. A variable that is in scope keeps nothing alive, this does.
   * @param stops whether it is canceled when the loop is stopped; what tidies up is not.
   */
  result(sqe: Sqe, keep?: unknown, stops: boolean = true): Promise<number> {
    return new Promise((resolve) => {
      sqe.userData(this.#waiting.take({ resolve, keep, stops }));
    });
  }

  /** Runs until `work` is settled, calling `everyTurn` in between. */
  async run(work: Promise<void>, everyTurn: () => void): Promise<void> {
    let running = true;
    const end = (): void => {
      running = false;
    };
    work.then(end, end);
    while (running) {
      // Past this, everybody whom the latest results woke has run and queued what comes next, and handlers of signals
      // have had their turn. All of that is then submitted at once.
      await new Promise<void>((resolve) => void setImmediate(resolve));
      everyTurn();
      if (this.#waiting.size === 0) continue;
      if (this.stopped) this.#cancel();
      this.ring.submitAndWaitTimeout(1, TURN_MS);
      this.ring.forEachCqe(({ userData, res }) => this.#waiting.give(userData)?.resolve(res));
    }
    await work;
  }

  /** Has every request, later ones too, end as soon as it can: those that only wait fail with ECANCELED or EINTR. */
  stop(): void {
    this.stopped = true;
  }

  /** Kernel: a request that a worker is just taking up can be missed, and is tried again in the next turn. */
  #cancel(): void {
    const tickets: number[] = [];
    this.#waiting.forEach(({ stops }, ticket) => void (stops && tickets.push(ticket)));
    // One by one, by the user data. Kernel: 5.19 could cancel everything at once.
    for (const ticket of tickets) void this.result(this.ring.prepCancel64(ticket), undefined, false);
  }
}

/** So many may be inside at once; the others wait, and are let in in order. */
export class Turnstile {
  readonly #places: number;
  #inside = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #watching: (() => void)[] = [];

  constructor(places: number) {
    this.#places = places;
  }

  /** How many are inside. */
  get inside(): number {
    return this.#inside;
  }

  /** Goes in, when there is a place. */
  async enter(): Promise<void> {
    if (this.#inside === this.#places) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    else this.#inside++;
  }

  /** Goes out, and gives the place to the next one. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#inside--;
    else next();
    for (const watcher of this.#watching.splice(0)) watcher();
  }

  /** When somebody leaves next. */
  left(): Promise<void> {
    return new Promise((resolve) => void this.#watching.push(resolve));
  }
}
