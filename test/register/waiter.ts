/** A thread with a ring that tells its descriptor, waits for a completion, and tells what it was. */
import { Ring } from "../../src/index.ts";

declare const self: Worker;

const ring = new Ring(8, { singleIssuer: true, deferTaskrun: true });
self.postMessage(ring.fd);
// The message leaves before the thread waits and does nothing else.
setTimeout(() => {
  const cqe = ring.waitCqes(1, 10_000);
  self.postMessage([cqe?.userData, cqe?.res]);
  ring.close();
});
