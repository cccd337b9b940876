/**
 * A program that waits on a ring in the way its argument names until a signal arrives, and prints as one line of JSON
 * what became of the wait. It says on its first line that it is about to wait.
 */
import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Ring } from "../../src/index.ts";
import { kept } from "./keep.ts";
import type { Waited } from "./signals.ts";

const [wait = "", signal = "SIGUSR1"] = process.argv.slice(2) as [string?, NodeJS.Signals?];

const path = join(tmpdir(), `uring-waiter-${process.pid}`);
Bun.spawnSync(["mkfifo", path]);
const fifo = openSync(path, "r+");
unlinkSync(path);

let handled = false;
if (!wait.endsWith("without a handler")) {
  process.on(signal, () => {
    handled = true;
  });
}

const ring = new Ring(8);
ring.prepRead(fifo, kept(Buffer.alloc(16)), 0).userData(77);
const later = wait.endsWith("after a submission");
if (!later) ring.submit();

const waits: Record<string, () => unknown> = {
  submitAndWait: () => ring.submitAndWait(1),
  submitAndWaitTimeout: () => ring.submitAndWaitTimeout(1, 60_000),
  waitCqe: () => ring.waitCqe(),
  waitCqes: () => ring.waitCqes(2),
  sigmask: () => ring.waitCqes(1, 300, { sigmask: 1n << BigInt(constants.signals[signal] - 1) }),
};

writeSync(1, "waiting\n");
const before = performance.now();
waits[wait.split(" ")[0] as string]?.();
const waited: Waited = {
  errno: ring.errno,
  late: performance.now() - before >= 300 && wait === "sigmask",
  handledDuring: handled,
  handledAfter: false,
  later: [],
};
await Bun.sleep(1);
waited.handledAfter = handled;
writeSync(fifo, "later");
const cqe = ring.submitAndWaitTimeout(1, 5000);
if (cqe !== null) waited.later = [cqe.userData, cqe.res];
ring.close();
closeSync(fifo);
console.log(JSON.stringify(waited));
