/**
 * What wakes Bun's event loop: one eventfd a thread, which the kernel signals for any ring of it, and which the loop
 * watches while somebody waits.
 */
import { UringError } from "../errors.ts";
import { syscalls } from "../../syscall/shim.ts";

/** Who is woken. */
export interface Sleeper {
  /** Whether it waits to be woken. */
  readonly armed: boolean;
  /** Whether its waiting keeps the process alive. */
  readonly refed: boolean;
  /** Completions may have come. */
  wake(): void;
}

/** Flags of eventfd2(2), with the values of O_CLOEXEC and O_NONBLOCK. */
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** How long the loop goes on watching when nobody waits any more: to begin again costs more than a wake does. */
const IDLE_MS = 5;
/** When to try again to watch, where there was no descriptor left. */
const AGAIN_MS = 1000;
/** How often those are asked that wait without keeping the process alive. */
const LOOK_MS = 1;

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** The eventfd of a thread and its watcher. */
export class Bell {
  #fd = -1;
  #reader: Reader | undefined;
  #idle = false;
  /** Counts what was going on, so that the idle timer can tell that nothing was. */
  #activity = 0;
  #looking: Timer | undefined;
  /** Whether there is no watcher: somebody has closed its descriptor, or there was none to be had. */
  #deaf = false;
  readonly #sleepers = new Set<Sleeper>();

  /**
   * Takes somebody on.
   *
   * @returns the eventfd to be signalled.
   * @throws UringError EMFILE and the like.
   */
  attach(sleeper: Sleeper): number {
    if (this.#fd < 0) {
      const fd = syscalls().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (fd < 0) throw new UringError(fd, "eventfd");
      this.#fd = fd;
      syscalls().farewells?.add("close", fd);
      this.#deaf = false;
    }
    this.#sleepers.add(sleeper);
    return this.#fd;
  }

  /** Lets somebody go; with the last one the eventfd goes too. */
  detach(sleeper: Sleeper): void {
    this.#sleepers.delete(sleeper);
    this.settle();
    if (this.#sleepers.size > 0) return;
    this.#stopWatching();
    syscalls().farewells?.remove("close", this.#fd);
    syscalls().close(this.#fd);
    this.#fd = -1;
  }

  /** Somebody waits now, or no longer, or no longer in the same way. */
  settle(): void {
    let waiting = false;
    let looking = false;
    for (const sleeper of this.#sleepers) {
      if (!sleeper.armed) continue;
      if (sleeper.refed) waiting = true;
      else looking = true;
    }
    this.#activity++;
    if (waiting && !this.#deaf) {
      if (this.#reader === undefined) this.#watch();
    } else if (this.#reader !== undefined && !this.#idle) this.#watchIdle();
    if (waiting ? this.#deaf : looking) this.#look(waiting);
    else this.#stopLooking();
  }

  #look(refed: boolean): void {
    this.#looking ??= setInterval(() => this.#wakeAll(), LOOK_MS);
    if (refed) this.#looking.ref();
    else this.#looking.unref();
  }

  #watch(): void {
    // Bun: its file stream is the one thing of Bun's that watches an eventfd, and it cannot be unref'd.
    // test/async/process.test.ts says when it can.
    const reader = this.#open();
    if (reader === undefined) return;
    this.#reader = reader;
    const pull = (): void => {
      reader.read().then(ring, lost);
    };
    const lost = (): void => {
      if (this.#reader !== reader) return;
      this.#reader = undefined;
      this.#deaf = true;
      this.#wakeAll();
      this.settle();
    };
    const ring = ({ done }: { readonly done: boolean }): void => {
      if (done) return lost();
      if (this.#reader !== reader) return;
      // What was read says nothing: one signal may stand for many completions, and for completions already seen.
      this.#wakeAll();
      if (this.#reader === reader) pull();
    };
    pull();
  }

  /** The watcher's stream; undefined, and looked by the clock for a while, where there is no descriptor for it. */
  #open(): Reader | undefined {
    try {
      return Bun.file(this.#fd).stream().getReader() as Reader;
    } catch {
      this.#deaf = true;
      setTimeout(() => {
        this.#deaf = false;
        this.settle();
      }, AGAIN_MS).unref();
      return undefined;
    }
  }

  #wakeAll(): void {
    this.#activity++;
    for (const sleeper of this.#sleepers) if (sleeper.armed) sleeper.wake();
  }

  /** Stops watching when nobody has waited for a while. */
  #watchIdle(): void {
    this.#idle = true;
    const seen = this.#activity;
    setTimeout(() => {
      this.#idle = false;
      for (const sleeper of this.#sleepers) if (sleeper.armed && sleeper.refed) return;
      if (this.#activity === seen) this.#stopWatching();
      else if (this.#reader !== undefined) this.#watchIdle();
    }, IDLE_MS).unref();
  }

  #stopWatching(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    void reader?.cancel();
    this.#stopLooking();
  }

  #stopLooking(): void {
    if (this.#looking === undefined) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }
}

/** This thread's bell. */
export const bell: Bell = new Bell();
