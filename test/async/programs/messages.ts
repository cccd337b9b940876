// The main thread and a Worker send each other messages by their rings. Prints what came back.
import { closeSync, openSync, readSync } from "node:fs";
import { io } from "../../../src/async/io.ts";

if (Bun.isMainThread) {
  const worker = new Worker(import.meta.url);
  const { promise, resolve } = Promise.withResolvers<number>();
  worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
  const port = io.port(await promise);
  worker.postMessage(io.ring.fd);
  io.ring.registerFilesSparse(4);
  const own = openSync(import.meta.path, "r");
  await io.filesUpdate(Int32Array.of(own), 1);
  const numbers = [0, 1, 2 ** 31, 2 ** 32 + 7, Number.MAX_SAFE_INTEGER];
  for (const number of numbers) await port.send(number);
  await port.send({ fd: openSync(import.meta.path, "r") });
  const place = await port.send({ index: 1 });
  // A flood that nobody waits for in between.
  await Promise.all(Array.from({ length: 5000 }, (_, i) => port.send(i)));
  const back: unknown[] = [];
  for await (const message of io.messages()) {
    back.push(message);
    if (back.length === numbers.length + 3) break;
  }
  console.log(JSON.stringify({ back: back.toSorted((a, b) => Number(a) - Number(b)), place: place >= 0 }));
  process.exit(0);
} else {
  const { promise, resolve } = Promise.withResolvers<number>();
  addEventListener("message", (event) => resolve((event as MessageEvent<number>).data));
  io.ring.registerFilesSparse(8);
  postMessage(io.ring.fd);
  const port = io.port(await promise);
  const bytes = new Uint8Array(20);
  const text = (): string => Buffer.from(bytes).toString();
  let sum = 0;
  let count = 0;
  for await (const message of io.messages()) {
    if (typeof message === "object" && "fd" in message) {
      await port.send(readSync(message.fd, bytes, 0, 20, 0) + text().length);
      closeSync(message.fd);
    } else if (typeof message === "object") {
      await port.send((await io.read(message.index, bytes, 0, { fixedFile: true })) + text().length);
    } else if (count++ < 5) await port.send(message);
    else sum += message;
    if (count === 5005) break;
  }
  await port.send(sum);
}
