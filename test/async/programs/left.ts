// Terminates Workers while the kernel is to write to their memory: left.ts DIRECTORY ROUNDS WHAT [ENTRIES], where WHAT is
// "io" or a ring's options as JSON. Prints how many buffers of this thread the kernel has written to instead, how long the quickest
// Worker took to end, and how many descriptors they have left.
import { closeSync, constants, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { io } from "../../../src/async/io.ts";
import { IORING_SETUP_R_DISABLED } from "../../../src/abi/constants.gen.ts";
import type { RingOptions } from "../../../src/ring/params.ts";
import { Ring } from "../../../src/ring/ring.ts";

/** What the program prints. */
export interface Left {
  readonly overwritten: number;
  readonly quickestMs: number;
  readonly descriptors: number;
}

/** What a Worker is told. */
interface Task {
  readonly fd: number;
  readonly what: string;
  readonly entries: number;
}

const BUFFERS = 64;
const BUFFER_BYTES = 65_536;
/** This thread's, for which the engine takes what a Worker's had. */
const MINE = 300;
const OWN = 0x55;
const FOREIGN = new Uint8Array(100).fill(0xaa);
/** How long the kernel is tempted after a Worker was told to end. */
const TEMPT_MS = 50;

const descriptors = (): number => readdirSync("/proc/self/fd").length;

/** Gives the kernel something to write, and takes memory, until the time is up and the Worker is gone. */
async function tempt(fd: number, ended: Promise<unknown>): Promise<number> {
  const mine: Uint8Array[] = [];
  let gone = false;
  void ended.then(() => (gone = true));
  for (const until = performance.now() + TEMPT_MS; !gone || performance.now() < until;) {
    for (let i = 0; i < 5 && mine.length < MINE; i++) mine.push(new Uint8Array(BUFFER_BYTES).fill(OWN));
    try {
      writeSync(fd, FOREIGN);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
    }
    await Bun.sleep(0);
  }
  return mine.filter((bytes) => bytes.some((byte) => byte !== OWN)).length;
}

/** Has a Worker ask for what will never come, and terminates it. */
async function round(path: string, task: Omit<Task, "fd">): Promise<{ overwritten: number; tookMs: number }> {
  // It is there until the Worker is gone: threads share it.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const worker = new Worker(new URL(import.meta.url), { workerData: { ...task, fd } });
  await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  const began = performance.now();
  let tookMs = 0;
  const ended = new Promise((resolve) => worker.once("exit", resolve)).then(() => {
    tookMs = performance.now() - began;
  });
  void worker.terminate();
  const overwritten = await tempt(fd, ended);
  closeSync(fd);
  return { overwritten, tookMs };
}

async function main(directory: string, rounds: number, task: Omit<Task, "fd">): Promise<Left> {
  const path = join(directory, `left-${process.pid}`);
  Bun.spawnSync(["mkfifo", path]);
  // The first one brings what the process keeps.
  await round(path, task);
  const before = descriptors();
  let [overwritten, quickestMs] = [0, Infinity];
  for (let i = 0; i < rounds; i++) {
    const { overwritten: more, tookMs } = await round(path, task);
    overwritten += more;
    quickestMs = Math.min(quickestMs, tookMs);
  }
  rmSync(path);
  return { overwritten, quickestMs, descriptors: descriptors() - before };
}

/** Asks for all reads; what they need. */
async function askAll({ fd, what, entries }: Task): Promise<unknown> {
  const buffers = Array.from({ length: BUFFERS }, () => new Uint8Array(BUFFER_BYTES));
  if (what === "io") {
    for (const buffer of buffers) void io.read(fd, buffer, 0).catch(() => undefined);
    await io.nop();
    return buffers;
  }
  const ring = new Ring(entries, JSON.parse(what) as RingOptions);
  if ((ring.setup.flags & IORING_SETUP_R_DISABLED) !== 0) ring.enableRings();
  for (const buffer of buffers) ring.prepRead(fd, buffer, 0);
  ring.submit();
  return { ring, buffers };
}

if (isMainThread) {
  const [directory = "", rounds = "", what = "", entries = BUFFERS * 2] = process.argv.slice(2);
  console.log(JSON.stringify(await main(directory, Number(rounds), { what, entries: Number(entries) })));
} else {
  const all = await askAll(workerData as Task);
  setInterval(() => all, 1000);
  parentPort?.postMessage("asked");
}
