// Ends Workers whose rings are busy, again and again: the process must live on, and its descriptors go back.
import { readdirSync } from "node:fs";
import { io } from "../../../src/async/io.ts";
import { Timespec } from "../../../src/ring/structs.ts";

const count = (): number => readdirSync("/proc/self/fd").length;

if (Bun.isMainThread) {
  let before = 0;
  for (let round = 0; round < 6; round++) {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const worker = new Worker(import.meta.url);
    worker.onmessage = resolve;
    await promise;
    worker.terminate();
    const { promise: closed, resolve: close } = Promise.withResolvers<unknown>();
    worker.addEventListener("close", close);
    await closed;
    await Bun.sleep(20);
    if (round === 1) before = count();
  }
  console.log(JSON.stringify({ growth: count() - before, nop: await io.nop() }));
} else {
  const loop = async (): Promise<void> => {
    for (;;) await io.timeout(Timespec.ofMs(1));
  };
  for (let i = 0; i < 50; i++) void loop();
  void io.timeout(Timespec.ofMs(60_000));
  await io.timeout(Timespec.ofMs(5));
  postMessage("busy");
}
