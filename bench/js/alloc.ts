// What the low road allocates: alloc.ts CASE COUNT [PORT]. Prints bytes of JavaScript heap per operation, the median of
// so many measurements after twice as many to warm up.
//
// The heap's capacity after a collection grows with what is allocated and never shrinks in between, so two looks at it
// with operations in between show every object. What a look costs itself goes when a short run is taken from a long one.
import { heapStats } from "bun:jsc";

import { BufferRing, type Cqe, Ring, SockAddr, Tickets } from "bun-uring";
import { AF_INET, IORING_CQE_F_MORE, SOCK_CLOEXEC, SOCK_STREAM } from "bun-uring";

interface Subject {
  /** The longest run, in operations. */
  readonly most: number;
  /** What is measured: `n` operations. */
  readonly run: (n: number) => void;
  /** What must follow, unmeasured. */
  readonly after?: (n: number) => void;
}

const ring = new Ring(32768, { modern: true, cqEntries: 65536 });
const many = 32768;
const batch = 64;
const bytes = new Uint8Array(4096);
const kept: object[] = new Array<object>(many).fill(bytes);
let sum = 0;

function reap(): void {
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
    if (cqe.res < 0) throw cqe.error("IORING_OP_NOP");
    sum += cqe.userData;
  }
}

function addUp(cqe: Cqe): void {
  sum += cqe.userData;
}

function queue(n: number): void {
  for (let i = 0; i < n; i++) ring.prepNop().userData(i);
}

function inBatches(body: () => void): Subject {
  return {
    most: many,
    run(n: number): void {
      for (let i = 0; i < n / batch; i++) body();
    },
  };
}

/** Sends one message to an echo server and receives it by a multishot request that goes on and on. */
function receiving(port: number): Subject {
  const buffers = new BufferRing(ring, { group: 1, entries: 16, size: 4096 });
  const message = new Uint8Array(64).fill(120);
  function wait(): number {
    ring.submitAndWait(1);
    const res = ring.peekCqe()?.res ?? -1;
    ring.nextCqe();
    if (res < 0) throw new Error(`Cannot connect to the echo server: ${res}`);
    return res;
  }
  ring.prepSocket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const fd = wait();
  const server = SockAddr.ipv4("127.0.0.1", port);
  ring.prepConnect(fd, server);
  wait();
  ring.prepRecvMultishot(fd).bufferSelect(1).userData(1);
  function echoOnce(): void {
    ring.prepSend(fd, message).skipSuccess();
    for (let got = 0; got < message.length;) {
      ring.submitAndWait(1);
      for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
        const start = buffers.take(cqe);
        if (start < 0 || (cqe.flags & IORING_CQE_F_MORE) === 0 || buffers.bytes[start] !== 120) throw cqe.error("recv");
        got += cqe.res;
        buffers.recycle(cqe.bufferId);
      }
    }
  }
  return {
    most: 8192,
    run(n: number): void {
      for (let i = 0; i < n; i++) echoOnce();
    },
  };
}

function ticketing(): Subject {
  const tickets = new Tickets<Uint8Array>(batch);
  function settle(cqe: Cqe): void {
    if (tickets.give(cqe.userData) !== bytes) throw new Error("a ticket came back without its context");
  }
  return inBatches(() => {
    for (let i = 0; i < batch; i++) ring.prepNop().userData(tickets.take(bytes));
    ring.submitAndWait(batch);
    ring.forEachCqe(settle);
  });
}

function bigints(): void {
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) sum += cqe.userDataBigInt === 0n ? 1 : 0;
}

const subjects: Record<string, (port: number) => Subject> = {
  object: () => ({
    most: many,
    run(n: number): void {
      for (let i = 0; i < n; i++) kept[i] = { i };
    },
  }),
  bigint: () =>
    inBatches(() => {
      queue(batch);
      ring.submitAndWait(batch);
      bigints();
    }),
  prep: () => ({
    most: many,
    run: queue,
    after(n: number): void {
      ring.submitAndWait(n);
      reap();
    },
  }),
  prepRead: () => ({
    most: many,
    run(n: number): void {
      for (let i = 0; i < n; i++) ring.prepRead(-1, bytes, i * 4096, 512).userData(2 ** 40 + i);
    },
    after(n: number): void {
      ring.submitAndWait(n);
      while (ring.peekCqe() !== null) ring.cqAdvance(ring.cqReady());
    },
  }),
  submit: () => inBatches(() => (queue(batch), ring.submit(), reap())),
  reap: () => inBatches(() => (queue(batch), ring.submitAndWait(batch), reap())),
  forEach: () => inBatches(() => (queue(batch), ring.submitAndWait(batch), void ring.forEachCqe(addUp))),
  recv: receiving,
  tickets: ticketing,
};

const [, , name = "", count = "1", port = "0"] = process.argv;
const subject = subjects[name]?.(Number(port));
if (subject === undefined) throw new RangeError(`Cannot run "${name}": there is no such case`);

function growth(work: Subject, n: number): number {
  Bun.gc(true);
  const before = heapStats().heapCapacity;
  work.run(n);
  const grown = heapStats().heapCapacity - before;
  work.after?.(n);
  return grown;
}

function bytesPerOp(work: Subject): number {
  const short = growth(work, work.most / 2);
  return (growth(work, work.most) - short) / (work.most / 2);
}

for (let i = 0; i < 2 * Number(count); i++) bytesPerOp(subject);
const results = Array.from({ length: Number(count) }, () => bytesPerOp(subject)).sort((a, b) => a - b);
if (!Number.isSafeInteger(sum)) throw new Error("the user data that came back is not what was sent");
console.log(results[results.length >> 1]);
ring.close();
