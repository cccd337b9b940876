// A Worker that listens at a port and a path until it is terminated, and echoes. It is told whose listen() to use and the
// path, and tells the port.
import { parentPort, workerData } from "node:worker_threads";
import * as module from "../../../src/net/index.ts";
import type { Net } from "../kinds.ts";

const { whose, path } = workerData as { readonly whose: string; readonly path: string };
const net: Net = whose === "ours" ? module : Bun;
const socket: Bun.SocketHandler<unknown> = { data: (it, bytes) => void it.write(bytes) };
const { port } = net.listen({ hostname: "127.0.0.1", port: 0, socket }) as { readonly port: number };
net.listen({ unix: path, socket });
parentPort?.postMessage(port);
