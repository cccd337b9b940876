// Does one thing with the ring and lets the process end by itself: exits.ts WHAT. Prints when its last request was done.
import { AsyncRing } from "../../../src/async/asyncring.ts";
import { io } from "../../../src/async/io.ts";
import { Timespec } from "../../../src/ring/structs.ts";

const start = performance.now();
const done = (): void => console.log(JSON.stringify({ done: performance.now() - start }));

const programs: Record<string, () => unknown> = {
  /** Imports it and nothing else. */
  nothing: done,
  /** What completes within the system call. */
  nop: () => io.nop().then(done),
  /** What takes a while: the process must live so long. */
  timeout: () => io.timeout(Timespec.ofMs(50)).then(done),
  /** A ring that nobody closes. */
  unclosed: () => new AsyncRing().timeout(Timespec.ofMs(50)).then(done),
  /** What takes for ever, without keeping the process alive. */
  unref: () => {
    void io.unref().timeout(Timespec.ofMs(60_000));
    done();
  },
  /** Completes all the same while something else keeps the process alive. */
  "unref with company": () => {
    void io.unref().timeout(Timespec.ofMs(30)).then(done);
    setTimeout(() => undefined, 100);
  },
  /** Keeps it alive again. */
  "unref and ref": () => {
    const slow = io.unref().timeout(Timespec.ofMs(50));
    io.ref();
    void slow.then(done);
  },
  /** Ends at once, whatever is in flight. */
  exit: () => {
    void io.timeout(Timespec.ofMs(60_000));
    void io.nop().then(() => {
      done();
      process.exit(0);
    });
  },
  /** Closes with something in flight. */
  close: () => {
    io.timeout(Timespec.ofMs(60_000)).catch(done);
    setTimeout(() => void io.close(), 10);
  },
  /** Goes to rest and begins again, many times. */
  "again and again": async () => {
    for (let i = 0; i < 5; i++) {
      await io.timeout(Timespec.ofMs(3));
      await Bun.sleep(12);
    }
    done();
  },
};

await (programs[process.argv[2] ?? ""] as () => unknown)();
