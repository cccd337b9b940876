/**
 * A program that forks, raw, with a ring in full use, and has the child try everything that a ring can do. It prints as
 * one line of JSON what each method came to in the child, and what became of the parent's ring meanwhile.
 *
 * No door of the library's own forks, so this file has one: libc's fork(2).
 */
import { dlopen } from "bun:ffi";
import { closeSync, openSync, readFileSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { syscalls } from "../../syscall/shim.ts";
import { outcomesOf } from "./members.ts";

/** What fork.ts found. */
export interface Forked {
  /** The child's status, as waitpid(2) gives it: 0 is a good end, 11 a segmentation fault. */
  status: number;
  /** What each member of a ring came to in the child: an error's code, or "returned" and a value. */
  outcomes: Record<string, string>;
  /** User data of what the parent's ring had completed and had still queued, as it came after the child had ended. */
  completions: number[];
  /** What was written to the pipe whose read was in flight. */
  read: string;
}

const libc = dlopen("libc.so.6", {
  fork: { args: [], returns: "i32" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  alarm: { args: ["u32"], returns: "u32" },
  _exit: { args: ["i32"], returns: "void" },
});

/**
 * Lets a forked child have the compilers' memory. Bun: the engine keeps it from forks, so that a forked child cannot run
 * a line of JavaScript, least of all one that uses a ring. Only with this can it be shown what a ring would say.
 */
function letChildRun(): void {
  const MADV_DOFORK = 11;
  let range: number[] = [];
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const bounds = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (bounds !== null) range = [Number(`0x${bounds[1]}`), Number(`0x${bounds[2]}`)];
    if (!/^VmFlags: .*\bex\b.*\bdc\b/.test(line)) continue;
    const [from = 0, to = 0] = range;
    syscalls().madvise(from, to - from, MADV_DOFORK);
  }
}

const base = join(tmpdir(), `uring-fork-${process.pid}`);
Bun.spawnSync(["mkfifo", base]);
const fifo = openSync(base, "r+");
unlinkSync(base);
const answer = `${base}-answer`;

const ring = new Ring(8, JSON.parse(process.argv[2] ?? "{}") as RingOptions);
const buffer = Buffer.alloc(16);
ring.prepRead(fifo, buffer, 0).userData(1);
ring.prepNop().userData(2);
ring.prepNop().userData(3);
ring.submitAndWait(2);
// Loaded and not seen: the state in which a look needs nothing but memory.
ring.peekCqe();
ring.prepNop().userData(4);

letChildRun();
const child = libc.symbols.fork();
if (child === 0) {
  // Whatever hangs in a process that has lost its other threads is ended.
  libc.symbols.alarm(4);
  writeFileSync(answer, JSON.stringify(outcomesOf(ring)));
  libc.symbols._exit(0);
}
const status = new Int32Array(1);
libc.symbols.waitpid(child, status, 0);
const forked: Forked = { status: status[0] as number, outcomes: {}, completions: [], read: "" };
try {
  forked.outcomes = JSON.parse(readFileSync(answer, "utf8")) as Record<string, string>;
  unlinkSync(answer);
} catch {
  // The child ended before it could tell; its status says how.
}
writeSync(fifo, "parent");
ring.submitAndWait(4);
ring.forEachCqe((cqe) => forked.completions.push(cqe.userData));
forked.read = buffer.toString("latin1", 0, 6);
ring.close();
closeSync(fifo);
console.log(JSON.stringify(forked));
