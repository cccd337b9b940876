/** The thread of one queue. */
import { parentPort, workerData } from "node:worker_threads";
import { errnoMessage, errnoName } from "bun-uring";
import { Queue, type QueueTask } from "./queue.ts";

/** What a thread says: that it has fetched, or why it has ended too early. */
export type Answer = { readonly fetched: true } | { readonly failure: string };

function say(answer: Answer): void {
  parentPort?.postMessage(answer);
}

try {
  const queue = new Queue(workerData as QueueTask);
  try {
    queue.fetch();
    say({ fetched: true });
    const result = queue.run();
    if (result < 0) say({ failure: `the driver refuses a command: ${errnoName(result)}, ${errnoMessage(result)}` });
  } finally {
    queue.close();
  }
} catch (error) {
  say({ failure: error instanceof Error ? error.message : String(error) });
}
