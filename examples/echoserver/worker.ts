/** A worker: one thread, one ring, one listening socket. */
import { parentPort, workerData } from "node:worker_threads";
import type { Endpoint } from "./listener.ts";
import { Server } from "./server.ts";
import { equip, type Sizes } from "./setup.ts";
import type { Counters } from "./stats.ts";

/** What a worker is given. */
export interface Task {
  readonly endpoint: Endpoint;
  readonly plain: boolean;
  readonly counters: Counters;
  /** Other sizes than the usual ones. */
  readonly sizes?: Sizes;
}

/** What it answers, once. */
export type Answer =
  | { readonly port: number; readonly how: string; /** -1: cannot be woken. */ readonly ringFd: number }
  | { readonly failure: string };

function work({ endpoint, plain, counters, sizes }: Task): void {
  let answer: Answer;
  let server: Server | undefined;
  try {
    const equipment = equip(endpoint, plain, sizes);
    server = new Server(equipment, counters);
    answer = { port: equipment.port, how: equipment.how, ringFd: equipment.canBeWoken ? equipment.ring.fd : -1 };
  } catch (error) {
    answer = { failure: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
  // From here on the thread sleeps in the ring, and JavaScript's own event loop stands still.
  server?.run();
}

work(workerData as Task);
