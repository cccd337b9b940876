/**
 * The ring within Bun's event loop. Requests of one tick leave in one io_uring_enter; what has completed when it returns
 * is settled at once; the rest rings the {@link bell}. Work per turn is bounded, so that timers and other I/O get theirs.
 */
import { IORING_FEAT_CQE_SKIP } from "../abi/constants.gen.ts";
import { EAGAIN, EALREADY, EBUSY, ECANCELED, ENOENT } from "../abi/errno.gen.ts";
import { rangeError, stateError, UringError } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import { SQE_ADDR } from "../ring/prep/slot.ts";
import type { Sqe } from "../ring/sqe.ts";
import { bell, type Sleeper } from "./bell.ts";
import { Engine } from "./engine.ts";
import { Fifo } from "./fifo.ts";
import { Messages } from "./messages.ts";
import type { RequestOptions, Settings } from "./options.ts";
import type { Request, Unit } from "./request.ts";
import { CANCEL_BIT, Table, TIMEOUT_BIT } from "./table.ts";
import { Timespecs } from "./timespecs.ts";

/** How long to wait before the kernel is asked again that was short of memory. */
const RETRY_MS = 1;
/** And before it is asked to cancel again what it could not get hold of. */
const CANCEL_AGAIN_MS = 4;
/** How long a turn lasts at the most, and how many completions go by between two looks at the clock. */
const TURN_MS = 1;
const LOOK_EVERY = 32;
/** How many requests at least may wait in workers: for a slow disk, or a pipe's other end. */
const WORKERS = 64;

/** What may end with the reactor. */
export interface Ending {
  /** The ring is closing: `error` is for whoever waits. */
  end(error: unknown): void;
}

/** Who gathers over a tick what is to leave with everything else. */
export interface Gatherer {
  /** The ring is about to submit: what was gathered is to be requested now. */
  gather(): void;
  /** The kernel has taken all that was requested, and of what is silent all that failed was told. */
  settle(): void;
}

/** See above. */
export class Reactor implements Sleeper {
  /** The ring. */
  readonly engine: Engine;
  /** Whether the loop is to be woken for completions. */
  armed = false;
  /** Whether {@link close} was called. */
  closing = false;
  /** How many completions were reaped. */
  completed = 0;
  /** How many entries were submitted. */
  submitted = 0;
  /** How many times the loop was woken for this ring. */
  wakes = 0;
  /** How many shots were begun again, by the reason why they had ended. */
  readonly rearms: Map<string, number> = new Map();
  /** What is told when the ring closes: streams. */
  readonly endings: Set<Ending> = new Set();
  /** Who is asked before each submission. */
  readonly gatherers: Gatherer[] = [];
  /** Whether a request may leave its success untold: not where another that drains the ring could hold it up. */
  tellsFailuresOnly: boolean;
  readonly #settings: Settings;
  readonly #table = new Table();
  readonly #waiting = new Fifo<Unit>();
  /** Requests to be canceled, with the generation that is meant. */
  readonly #cancels = new Fifo<{ readonly request: Request; readonly generation: number }>();
  readonly #times: Timespecs;
  /** Free entries of the submission queue. */
  #room: number;
  /** Waiters that are in no table: somebody listens for messages. */
  #holds = 0;
  /** How many in the table do not keep the process alive. */
  #loose = 0;
  /** Whether requests in flight may keep the process alive. */
  #refed = true;
  /** What the bell was told of that. */
  #told = true;
  /** Views of completions that are looked at before their turn. */
  readonly #views: Cqe[] = [];
  /** Whether a flush is on its way at the end of this tick. */
  #scheduled = false;
  /** Whether the rest waits until the loop has had its turn. */
  #yielding = false;
  #turning = false;
  /** Whether something was asked for since the last submission. */
  #fresh = false;
  /** Whether a timer will ask the kernel again that was short of memory. */
  #retrying = false;
  #eventfdOn = false;
  /** How many completions may be dealt with before the loop gets its turn. */
  #budget = 0;
  /** How low the budget is when it is time to look at the clock, and what it said at this turn's first look; 0 before. */
  #look = 0;
  #looked = 0;
  #messages: Messages | undefined;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  /** Makes the ring. @throws as the constructor of {@link Ring}. */
  constructor(settings: Settings) {
    this.#settings = settings;
    this.engine = new Engine(settings.entries, settings.ring);
    try {
      this.engine.registerEventfd(bell.attach(this));
      this.engine.allowWorkers(WORKERS);
    } catch (error) {
      this.engine.close();
      bell.detach(this);
      throw error;
    }
    this.engine.cqEventfdEnabled = false;
    this.#room = this.engine.setup.sqEntries;
    this.#times = new Timespecs(this.#room);
    this.#budget = settings.maxPerTurn;
    // Kernel: 5.17.
    this.tellsFailuresOnly = this.engine.hasFeature(IORING_FEAT_CQE_SKIP);
  }

  /** Implements {@link Sleeper}: whether waiting keeps the process alive. */
  get refed(): boolean {
    return this.#refed && (this.#table.size > this.#loose || this.#holds > 0);
  }

  /** How many requests the kernel has. */
  get inFlight(): number {
    return this.#table.size;
  }

  /** Whether more than half of those that may be are in flight: what is not needed had better not join them. */
  get isCrowded(): boolean {
    return this.#table.size * 2 > this.#settings.maxInFlight;
  }

  /** How many requests wait for room. */
  get queued(): number {
    return this.#waiting.size;
  }

  /** Where completions go that are no request's, with the upper bit of the user data set: what other rings send. */
  get messages(): Messages {
    return (this.#messages ??= new Messages(this));
  }

  /** What a request is told that comes too late. */
  closedError(): Error {
    return stateError("ERR_URING_CLOSED", "Cannot make a request: the ring is closed");
  }

  // ---- Going in

  /** Takes a unit: into the submission queue where there is room, otherwise behind those that wait. */
  enqueue(unit: Unit): void {
    if (this.closing) unit.fail(this.closedError());
    else if (this.#waiting.size === 0 && this.#fits(unit)) unit.place(this);
    else if (unit.slots > this.engine.setup.sqEntries) {
      const { sqEntries } = this.engine.setup;
      unit.fail(
        rangeError("ERR_URING_ARG_VALUE", `Cannot make this request: it needs ${unit.slots} entries of ${sqEntries}`),
      );
    } else {
      this.#waiting.push(unit);
      this.#schedule();
    }
  }

  /**
   * Takes a request that completes within the submission: it waits for nobody, not even where as many as may be are in
   * flight, for it may be what they wait for.
   */
  enqueueSilent(request: Request): void {
    if (this.closing) return request.fail(this.closedError());
    if (this.#room === 0) this.#flushRoom();
    if (this.#room > 0) this.submit(request);
    else this.#waiting.push(request);
  }

  #fits(unit: Unit): boolean {
    return this.#room >= unit.slots && this.#table.size < this.#settings.maxInFlight;
  }

  /** Writes a request's entry, for which there is room. @param links IOSQE_IO_LINK and the like, for chains. */
  submit(request: Request, links: number = 0): void {
    const { engine } = this;
    const { wide } = request.operation;
    let sqe: Sqe;
    try {
      request.write(engine.begin(wide));
      this.#table.add(request);
      sqe = engine.end(wide);
    } catch (error) {
      request.fail(error);
      return;
    }
    if (wide) this.#room = engine.sqSpaceLeft();
    else this.#room--;
    sqe.userDataHalves(request.slot, request.generation);
    if (!request.keeps) this.#setLoose(request, true);
    if (links !== 0) sqe.flags(links);
    if (request.options !== undefined) this.#modify(sqe, request, request.options, links);
    this.#schedule();
  }

  #modify(sqe: Sqe, request: Request, options: RequestOptions, links: number): void {
    if (options.fixedFile === true) sqe.fixedFile();
    if (options.async === true) sqe.async();
    if (options.drain === true) {
      sqe.drain();
      this.tellsFailuresOnly = false;
    }
    if (options.personality !== undefined) sqe.personality(options.personality);
    if (options.ioprio !== undefined) sqe.ioprio(options.ioprio);
    if (options.timeoutMs === undefined) return;
    if (links === 0) sqe.link();
    const limit = this.engine.prepLinkTimeout(this.#times.next(options.timeoutMs));
    limit.userDataHalves(request.slot | TIMEOUT_BIT, request.generation);
    if (links !== 0) limit.flags(links);
    this.#room--;
  }

  /** A request's last completion has come: its memory is the caller's again, and its name means nobody. */
  release(request: Request): void {
    this.#table.remove(request);
    if (request.loose) this.#setLoose(request, false);
    if (this.#table.size === 0 && this.closing) this.#drained?.();
  }

  /** Asks the kernel to let go of a request. Its completion will still come. */
  cancel(request: Request): void {
    this.#cancels.push({ request, generation: request.generation });
    this.#schedule();
  }

  /** Gives up a unit that waits for room. */
  giveUp(unit: Unit): void {
    if (this.#waiting.remove(unit)) unit.fail(new UringError(ECANCELED, "cancel"));
  }

  /** Asks for all that is in flight or waits; how much that is. */
  cancelAll(): number {
    const waiting = this.#waiting.drain();
    for (const unit of waiting) if (!unit.dropped) unit.fail(new UringError(ECANCELED, "cancelAll"));
    const all = this.#table.all();
    for (const request of all) this.cancel(request);
    return all.length + waiting.length;
  }

  /** Closes a descriptor that came for somebody who no longer wants it. */
  discardDescriptor(fd: number): void {
    if (this.#room === 0) this.#flushRoom();
    this.engine.prepClose(fd);
    this.#room--;
    this.#schedule();
  }

  /** The same for a place in the table of registered files. */
  discardIndex(index: number): void {
    if (this.#room === 0) this.#flushRoom();
    this.engine.prepCloseDirect(index);
    this.#room--;
    this.#schedule();
  }

  #flushRoom(): void {
    this.submitted += this.engine.submit();
    this.#room = this.engine.sqSpaceLeft();
  }

  // ---- Staying alive

  /** Somebody waits for what no request stands for. */
  hold(): void {
    this.#holds++;
    this.#schedule();
  }

  /** And no longer does. */
  unhold(): void {
    this.#holds--;
    this.#schedule();
  }

  /** Whether what is in flight keeps the process alive. */
  setRef(refed: boolean): void {
    this.#refed = refed;
    bell.settle();
  }

  /** A request's {@link Request.keeps} may have changed. */
  keep(request: Request): void {
    if (request.slot < 0 || request.loose !== request.keeps) return;
    this.#setLoose(request, !request.keeps);
    if (!this.#turning) this.#schedule();
  }

  #setLoose(request: Request, loose: boolean): void {
    request.loose = loose;
    this.#loose += loose ? 1 : -1;
  }

  /** Something was gathered: a turn is due. */
  due(): void {
    this.#schedule();
  }

  // ---- The turns

  /** Has what was queued leave at the end of the tick. */
  #schedule(): void {
    this.#fresh = true;
    if (this.#scheduled || this.#yielding || this.#turning) return;
    this.#scheduled = true;
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    // Promises that are settled and make new requests would go round without end: the loop gets its turn in between.
    if (this.#budget <= 0) this.#yield();
    else this.#turn();
  };

  /** Goes on when timers and other I/O have had their turn. */
  #yield(): void {
    if (this.#yielding) return;
    this.#yielding = true;
    setImmediate(this.#resume);
  }

  readonly #resume = (): void => {
    this.#yielding = false;
    this.#budget = this.#settings.maxPerTurn;
    this.#turn();
  };

  /** Implements {@link Sleeper}. */
  wake(): void {
    this.wakes++;
    this.#budget = this.#settings.maxPerTurn;
    if (!this.#yielding) this.#turn();
  }

  /** Whether the loop is to get its turn; asked when the budget has come down to where the clock is looked at. */
  #isSpent(): boolean {
    const now = performance.now();
    if (this.#looked === 0) this.#looked = now;
    this.#look = Math.max(this.#budget - LOOK_EVERY, 0);
    if (now - this.#looked >= TURN_MS) this.#budget = 0;
    return this.#budget <= 0;
  }

  /** Submits and reaps until nothing is left to do but wait. */
  #turn(): void {
    const { engine } = this;
    if (engine.closed || this.#turning) return;
    this.#turning = true;
    this.#look = Math.max(this.#budget - LOOK_EVERY, 0);
    this.#looked = 0;
    try {
      for (;;) {
        this.#quiet();
        this.#fresh = false;
        for (const gatherer of this.gatherers) gatherer.gather();
        this.#place();
        this.submitted += engine.submitAndGetEvents();
        const stuck = engine.errno === EAGAIN || engine.errno === EBUSY;
        if (this.gatherers.length > 0) this.#settle();
        const reaped = this.#reap();
        this.#room = engine.sqSpaceLeft();
        if (this.#budget <= 0) return this.#yield();
        if (stuck && reaped === 0) this.#retry();
        else if (stuck || this.#goesOn()) continue;
        if (this.#rests() || this.#listen()) return;
      }
    } finally {
      this.#turning = false;
    }
  }

  /** Whether something can leave now. */
  #goesOn(): boolean {
    if (this.#fresh || (this.#cancels.size > 0 && this.#room > 0)) return true;
    const first = this.#waiting.peek();
    return first !== undefined && (first.dropped || this.#fits(first));
  }

  /** Asks again in a moment. */
  #retry(): void {
    if (this.#retrying) return;
    this.#retrying = true;
    setTimeout(() => {
      this.#retrying = false;
      this.#turn();
    }, RETRY_MS);
  }

  /**
   * Has the kernel take and do what was asked for so far, cancelling above all, without telling anybody what came of it:
   * for what is to be over when a function returns.
   */
  push(): void {
    if (this.engine.closed) return;
    this.#placeCancels();
    this.submitted += this.engine.submitAndGetEvents();
    this.#room = this.engine.sqSpaceLeft();
    this.#schedule();
  }

  /** Fills the submission queue: what cancels first, or what waits could wait for it for ever. */
  #place(): void {
    this.#placeCancels();
    for (let unit = this.#waiting.peek(); unit !== undefined; unit = this.#waiting.peek()) {
      if (!unit.dropped && !this.#fits(unit)) return;
      this.#waiting.shift();
      if (!unit.dropped) unit.place(this);
    }
  }

  #placeCancels(): void {
    while (this.#room > 0 && this.#cancels.size > 0) {
      const { request, generation } = this.#cancels.shift() as { request: Request; generation: number };
      if (request.slot < 0 || request.generation !== generation) continue;
      const sqe = this.engine.prepCancel64(0);
      sqe.word(SQE_ADDR, request.slot).word(SQE_ADDR + 1, generation);
      sqe.userDataHalves(request.slot | CANCEL_BIT, generation);
      this.#room--;
    }
  }

  /** Completes what is silent before everything else: nobody is to act on a success that is none. */
  #settle(): void {
    const { engine } = this;
    // Where the kernel took a part only, or had no room for a completion, a failure may be yet to come.
    if (engine.sqReady() > 0 || engine.cqHasOverflow()) return;
    const views = this.#views;
    const ready = engine.cqReady();
    while (views.length < ready) views.push(engine.newCqe());
    const count = ready === 0 ? 0 : engine.peekBatch(views);
    for (let i = 0; i < count; i++) {
      const cqe = views[i] as Cqe;
      if (cqe.userDataHigh <= 0 || (cqe.userDataLow & (CANCEL_BIT | TIMEOUT_BIT)) !== 0) continue;
      const request = this.#table.find(cqe.userDataLow, cqe.userDataHigh);
      if (request === undefined || !request.silent) continue;
      this.completed++;
      request.complete(this, cqe);
    }
    for (const gatherer of this.gatherers) gatherer.settle();
  }

  /** Deals with what has completed, as far as the budget goes; how much that was. */
  #reap(): number {
    const { engine } = this;
    let count = 0;
    for (let cqe = engine.peekCqe(); cqe !== null; cqe = engine.nextCqe()) {
      this.#dispatch(cqe);
      count++;
      if (--this.#budget > this.#look || !this.#isSpent()) continue;
      engine.seenCqe();
      break;
    }
    return count;
  }

  #dispatch(cqe: Cqe): void {
    const low = cqe.userDataLow;
    const high = cqe.userDataHigh;
    if (high > 0) {
      const request = this.#table.find(low, high);
      if (request === undefined) return;
      if ((low & CANCEL_BIT) !== 0) return this.#canceled(request, cqe.res);
      this.completed++;
      if ((low & TIMEOUT_BIT) === 0) request.complete(this, cqe);
      else request.timedOut(this, cqe.res);
    } else if (high < 0) this.messages.arrived(low, high, cqe.res);
  }

  /** The kernel has answered to a cancelling while the request is still there. */
  #canceled(request: Request, res: number): void {
    // Kernel: what is just firing, or between two of its waits, is not found or cannot be stopped; a shot would go on.
    if (res !== -ENOENT && res !== -EALREADY) return;
    const { generation } = request;
    setTimeout(() => {
      if (request.slot >= 0 && request.generation === generation) this.cancel(request);
    }, CANCEL_AGAIN_MS);
  }

  /** Completions that come while nobody sleeps need not ring. */
  #quiet(): void {
    if (!this.#eventfdOn) return;
    this.#eventfdOn = false;
    this.engine.cqEventfdEnabled = false;
  }

  /** Whether nothing is in flight; then nobody needs to be woken. */
  #rests(): boolean {
    if (this.#table.size > 0 || this.#holds > 0) return false;
    if (this.armed) {
      this.armed = false;
      bell.settle();
    }
    return true;
  }

  /** Has the bell rung for what comes; false if something came meanwhile, which no bell would ring for. */
  #listen(): boolean {
    if (this.#spin()) return false;
    if (!this.armed || this.#told !== this.refed) {
      this.armed = true;
      this.#told = this.refed;
      bell.settle();
    }
    this.engine.cqEventfdEnabled = true;
    this.#eventfdOn = true;
    // What was posted before the kernel saw the flag has rung nothing: look again, at deferred work too.
    return this.engine.peekCqe() === null;
  }

  /** Looks for completions for as long as was allowed; whether there are any. */
  #spin(): boolean {
    const { spinMs } = this.#settings;
    if (spinMs === 0) return false;
    const until = performance.now() + spinMs;
    do if (this.engine.peekCqe() !== null) return true;
    while (performance.now() < until);
    return false;
  }

  // ---- The end

  /** Cancels and awaits everything, settles everybody, and gives the ring back. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.closing = true;
    // Messages that have come can bring descriptors.
    this.#turn();
    for (const ending of [...this.endings]) ending.end(new UringError(ECANCELED, "close"));
    this.cancelAll();
    if (this.#table.size > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    // Promises can go on within a turn, which is not to lose its ring.
    while (this.#turning) await new Promise((resolve) => setImmediate(resolve));
    // Descriptors that were discarded are closed by the kernel, for which closing the ring waits.
    this.engine.submit();
    this.engine.close();
    this.armed = false;
    bell.detach(this);
    this.#times.close();
  }
}
