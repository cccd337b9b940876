/**
 * A program that waits until a moment of CLOCK_BOOTTIME with each clock registered, and prints as JSON which of the two
 * ended in time: 50 ms, where a timeout of a second ends the other.
 */
import { readFileSync } from "node:fs";
import { CLOCK_BOOTTIME, CLOCK_MONOTONIC, Ring, Timespec } from "../../src/index.ts";
import { kept } from "../support/keep.ts";

const result: Record<string, boolean> = {};
for (const [name, clock] of Object.entries({ monotonic: CLOCK_MONOTONIC, boottime: CLOCK_BOOTTIME })) {
  using ring = new Ring(4);
  ring.registerClock(clock);
  ring.prepTimeout(kept(Timespec.ofMs(1000)));
  // /proc/uptime counts by CLOCK_BOOTTIME, in hundredths of a second, as the namespace has it.
  const now = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
  const started = performance.now();
  ring.submitAndWaitTimeout(1, now + 50, { absolute: true });
  const lasted = performance.now() - started;
  result[name] = lasted > 30 && lasted < 800;
}
console.log(JSON.stringify(result));
