/** What becomes of the connections of a Worker that is terminated. */
import { expect } from "bun:test";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { syscalls } from "../../syscall/shim.ts";
import { descriptors, isRing, isSocket } from "../support/descriptors.ts";
import { scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { patience } from "../support/patience.ts";

const path = join(scratchDirectory(), "socket");
const CONNECTIONS = 5;
const LIMIT_MS = 5000 * patience;
// A compiled shim does it: nothing else is left of a Worker that could.
const compiled = needsThat(syscalls().backend === "tinycc", "TinyCC");

const open = (): number => descriptors((name) => isSocket(name) || isRing(name));

/** A connection that was echoed a byte. */
async function connected(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write("x");
  await once(socket, "data");
  return socket;
}

/** How the peers of a Worker's listener fare when it is terminated, and what the process has left of it. */
async function terminated(whose: "ours" | "theirs"): Promise<unknown> {
  const before = open();
  const worker = new Worker(new URL("./programs/listens.ts", import.meta.url), { workerData: { whose, path } });
  const [port] = (await once(worker, "message")) as [number];
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => connected(port)));
  const closed = Promise.all(sockets.map((socket) => once(socket.resume(), "close")));
  const there = existsSync(path);
  await worker.terminate();
  const seen = await Promise.race([closed.then(() => "closed"), Bun.sleep(LIMIT_MS).then(() => "nothing")]);
  const another = connect(port, "127.0.0.1");
  const [refusal] = (await Promise.race([once(another, "error"), once(another, "connect")]).catch((e: unknown) => [
    e,
  ])) as [{ code?: string } | undefined];
  another.destroy();
  for (const socket of sockets) socket.destroy();
  await Bun.sleep(20);
  return { seen, path: [there, existsSync(path)], refusal: refusal?.code, left: open() - before };
}

compiled(
  "a Worker that is terminated closes its connections and its listeners, path and all, as with Bun",
  async () => {
    // The first Worker and the first sockets bring what the process keeps.
    await terminated("theirs");
    const expected = await terminated("theirs");
    expect(expected).toEqual({ seen: "closed", path: [true, false], refusal: "ECONNREFUSED", left: 0 });
    for (let round = 0; round < 3; round++) expect(await terminated("ours")).toEqual(expected);
  },
  4 * LIMIT_MS,
);
