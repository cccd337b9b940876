// NOPs in batches of 32 on an SQPOLL ring: sqpoll.ts sqpoll|enter OPS. Reports what it did as JSON. "enter" is the same
// on a ring without the kernel's thread: the count's positive control.
import { Ring } from "bun-uring";

const [, , kind, count = "0"] = process.argv;
const batch = 32;
const wanted = Number(count);
const ring = new Ring(256, kind === "sqpoll" ? { sqpoll: true, sqThreadIdleMs: 2000 } : {});
let inFlight = 0;
let ops = 0;
let sum = 0;
const start = Bun.nanoseconds();
const cpu = process.cpuUsage();

while (ops < wanted) {
  while (inFlight <= 128 - batch) {
    for (let i = 0; i < batch; i++) ring.prepNop().userData(i);
    ring.submit();
    inFlight += batch;
  }
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
    if (cqe.res < 0) throw cqe.error("IORING_OP_NOP");
    sum += cqe.userData;
    inFlight--;
    ops++;
  }
}

const wallNs = Bun.nanoseconds() - start;
const used = process.cpuUsage(cpu);
const enters = ring.enters;
ring.submitAndWait(inFlight);
for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
  sum += cqe.userData;
  inFlight--;
  ops++;
}
const want = (ops / batch) * ((batch * (batch - 1)) / 2);
if (inFlight !== 0 || sum !== want) throw new Error(`NOPs added up to ${sum} in place of ${want}, ${inFlight} missing`);
console.log(JSON.stringify({ ops, enters, wallNs, cpuNs: (used.user + used.system) * 1000 }));
ring.close();
