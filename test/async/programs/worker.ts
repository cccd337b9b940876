// Rings on the main thread and in Workers at the same time. Prints what each has done.
import { AsyncRing } from "../../../src/async/asyncring.ts";
import { io } from "../../../src/async/io.ts";
import { Timespec } from "../../../src/ring/structs.ts";

async function work(): Promise<number> {
  await using own = new AsyncRing({ entries: 32 });
  let sum = 0;
  for (let round = 0; round < 20; round++) {
    sum += await io.nop();
    sum += await io.timeout(Timespec.ofMs(1));
    sum += (await Promise.all([own.timeout(Timespec.ofMs(1)), io.nop({ async: true })]))[0];
  }
  return sum;
}

if (Bun.isMainThread) {
  const answers = Array.from({ length: 3 }, () => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const worker = new Worker(import.meta.url);
    worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
    worker.onerror = reject;
    return promise;
  });
  console.log(JSON.stringify(await Promise.all([work(), ...answers])));
} else {
  postMessage(await work());
}
