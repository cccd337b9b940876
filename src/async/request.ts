/** What is asked of the kernel once: an operation, its arguments, and who is told. */
import { IORING_FILE_INDEX_ALLOC } from "../abi/constants.gen.ts";
import { ECANCELED, EINTR } from "../abi/errno.gen.ts";
import type { Cqe } from "../ring/cqe.ts";
import type { Slot } from "../ring/prep/slot.ts";
import { Iovecs, Msghdr } from "../ring/structs.ts";
import type { RequestOptions } from "./options.ts";
import type { Reactor } from "./reactor.ts";

/** A prep function of whatever arguments. */
export type Prep = (sqe: Slot, ...args: never[]) => void;

/**
 * What a good result is. count: a number and nothing else. descriptor: a new descriptor. index: a place in the table of
 * registered files that the kernel has chosen; with a digit, chosen by the argument of that position. sent: the first
 * of two results, of a sending without copying. elapsed: ETIME is what was wanted.
 */
export type Yield = "count" | "descriptor" | "index" | `index${number}` | "sent" | "elapsed";

/** An operation as the generated delegates name it. */
export interface Operation {
  /** What errors call it. */
  readonly name: string;
  /** What writes its entry. */
  readonly prep: Prep;
  /** What its result is. */
  readonly yields: Yield;
  /** Whether its entry has 128 bytes. */
  readonly wide: boolean;
}

/** Something that takes its place in the submission queue when there is room, or waits in order until then. */
export interface Unit {
  /** How many entries it needs, all at once. */
  readonly slots: number;
  /** Whether it has been given up while it waited. */
  readonly dropped: boolean;
  /** Writes its entries: there is room. */
  place(reactor: Reactor): void;
  /** It will never be placed: `error` says why. */
  fail(error: unknown): void;
}

type Write = (sqe: Slot, a: unknown, b: unknown, c: unknown, d: unknown, e: unknown, f: unknown) => void;

/** Entries of 128 bytes take two, and a filler where they would wrap. */
const WIDE_SLOTS = 3;

/**
 * A request with what it was given. While the kernel has it the table holds it, and so everything here: buffers, paths,
 * iovecs, addresses, message headers. A bare address is the one thing that cannot be held.
 */
export abstract class Request implements Unit {
  /** What is done. */
  operation: Operation;
  /** Its place in the table; -1 where it is in none. */
  slot = -1;
  /** The generation of that place while it is there. */
  generation = 0;
  /** Whether it is in the table without keeping the process alive: the reactor's to write. */
  loose = false;
  /** The arguments. */
  a: unknown;
  /** The second of them. */
  b: unknown;
  /** The third of them. */
  c: unknown;
  /** The fourth of them. */
  d: unknown;
  /** The fifth of them. */
  e: unknown;
  /** The sixth of them. */
  f: unknown;
  /**
   * What the second of them names, or the fourth, a command's: its owner may make it name something else while the
   * kernel has the request.
   */
  held: unknown;

  /** Holds an operation and its arguments. */
  constructor(operation: Operation, a: unknown, b: unknown, c: unknown, d: unknown, e: unknown, f: unknown) {
    this.operation = operation;
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    this.e = e;
    this.f = f;
  }

  /** How it is made beyond its arguments. */
  get options(): RequestOptions | undefined {
    return undefined;
  }

  /** Whether it keeps the process alive while it is in flight. See {@link Reactor.keep}. */
  get keeps(): boolean {
    return true;
  }

  /**
   * Whether it completes within the submission, and perhaps only where it fails (IOSQE_CQE_SKIP_SUCCESS). Such a one is
   * completed before all others of a turn; one without a completion is released by its {@link Gatherer}.
   */
  get silent(): boolean {
    return false;
  }

  /** Implements {@link Unit}. */
  get slots(): number {
    return this.operation.wide ? WIDE_SLOTS : 1;
  }

  /** Implements {@link Unit}. */
  get dropped(): boolean {
    return false;
  }

  /** Implements {@link Unit}. */
  place(reactor: Reactor): void {
    reactor.submit(this);
  }

  /**
   * Writes the entry.
   *
   * @throws as the prep function does.
   */
  write(sqe: Slot): void {
    (this.operation.prep as Write)(sqe, this.a, this.b, this.c, this.d, this.e, this.f);
    const { b, d } = this;
    if (b instanceof Iovecs || b instanceof Msghdr) this.held = b.hold();
    else if (d instanceof Iovecs) this.held = d.hold();
  }

  /** A completion has come. The one that is the last gives the request back with {@link Reactor.release}. */
  abstract complete(reactor: Reactor, cqe: Cqe): void;

  /** The completion of the link timeout that came with it. */
  timedOut(_reactor: Reactor, _res: number): void {}

  /** Implements {@link Unit}. */
  abstract fail(error: unknown): void;

  /** Closes the descriptor that a canceled request has yielded all the same; false where it yields none. */
  discard(reactor: Reactor, res: number): boolean {
    const { yields } = this.operation;
    if (yields === "descriptor") reactor.discardDescriptor(res);
    else if (yields === "index") reactor.discardIndex(res);
    else if (yields.startsWith("index")) {
      const at = [this.a, this.b, this.c, this.d, this.e, this.f][Number(yields.slice(5))] as number;
      reactor.discardIndex(at === IORING_FILE_INDEX_ALLOC ? res : at);
    } else return false;
    return true;
  }
}

/** Whether a result says that the request was stopped: a worker thread that is interrupted says EINTR. */
export function isCanceled(res: number): boolean {
  return res === -ECANCELED || res === -EINTR;
}
