/**
 * A program that measures how many bytes of the engine's heap one of the ways round a ring takes, and prints them as one
 * line of JSON. Argument: the way; without one, their names. One a process: what earlier ones left would hide something.
 */
import { constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BufferRing, Mapping, Ring, Tickets } from "../../src/index.ts";
import type { Cqe } from "../../src/index.ts";
import { pattern, pipe } from "./files.ts";
import { type Allocation, bytesPerOperation } from "./heap.ts";
import { connection } from "./net.ts";

const TIMES = 8000;
const BATCH = 4;

const ring = new Ring(64, { modern: true });
const fd = openSync(import.meta.path, "r");
const memory = Mapping.anonymous(65536);
const view = new Uint8Array(4096);
let sum = 0;

function reap(): void {
  for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
    sum += cqe.userData + cqe.res + (cqe.flags & 1) + (cqe.more ? 1 : 0);
  }
}

const each = (cqe: Cqe): void => {
  sum += cqe.userData + cqe.res;
};

/** Each is one operation or a batch of them; the figures are per call. */
const cases: Record<string, () => () => void> = {
  "NOPs, peekCqe and nextCqe": () => () => {
    for (let i = 0; i < BATCH; i++) ring.prepNop().userData(i);
    ring.submitAndWait(BATCH);
    reap();
  },
  "NOPs, forEachCqe": () => () => {
    for (let i = 0; i < BATCH; i++) ring.prepNop().userData(2 ** 40 + i);
    ring.submitAndWait(BATCH);
    ring.forEachCqe(each);
  },
  "NOPs, peekBatch and cqAdvance": () => {
    const views = Array.from({ length: BATCH }, () => ring.newCqe());
    return () => {
      for (let i = 0; i < BATCH; i++) ring.prepNop().userDataHalves(i, -1);
      ring.submitAndWait(BATCH);
      const count = ring.peekBatch(views);
      for (let i = 0; i < count; i++) each(views[i] as Cqe);
      ring.cqAdvance(count);
    };
  },
  "NOPs linked, submit, waitCqe and seenCqe": () => () => {
    ring.reserve(BATCH);
    for (let i = 0; i < BATCH; i++) {
      const sqe = ring.prepNop().userData(i);
      if (i < BATCH - 1) sqe.link();
    }
    ring.submit();
    for (let i = 0; i < BATCH; i++) {
      each(ring.waitCqe() as Cqe);
      ring.seenCqe();
    }
  },
  "a wait with a time limit": () => () => {
    ring.prepNop().userData(1);
    each(ring.submitAndWaitTimeout(1, 1000.5) as Cqe);
    ring.seenCqe();
  },
  "a look at nothing": () => () => {
    if (ring.peekCqe() !== null || ring.nextCqe() !== null || ring.cqReady() !== 0) throw new Error("something");
    ring.submit();
    ring.getEvents();
    sum += ring.sqReady() + ring.sqSpaceLeft() + ring.enters + ring.errno + (ring.cqHasOverflow() ? 1 : 0);
  },
  "reads to an address": () => () => {
    for (let i = 0; i < BATCH; i++) ring.prepRead(fd, memory.address + i * 512, i * 100, 512).userData(i);
    ring.submitAndWait(BATCH);
    reap();
  },
  "reads to a view": () => () => {
    for (let i = 0; i < BATCH; i++) ring.prepRead(fd, view, i * 100).userData(i);
    ring.submitAndWait(BATCH);
    reap();
  },
  "reads to a registered buffer of a registered file": () => {
    ring.registerBuffers([memory]);
    ring.registerFiles([fd]);
    return () => {
      for (let i = 0; i < BATCH; i++) ring.prepReadFixed(0, memory, 0, 0, 512).fixedFile().userData(i);
      ring.submitAndWait(BATCH);
      reap();
    };
  },
  "writes and reads of a pipe": () => {
    const directory = mkdtempSync(join(tmpdir(), "uring-alloc-"));
    // Kernel: 6.1 tries a pipe that blocks 128 times before it leaves it to a worker.
    const { read, write } = pipe(directory, constants.O_NONBLOCK);
    rmSync(directory, { recursive: true });
    const bytes = pattern(64);
    return () => {
      ring.prepWrite(write, bytes, 0).userData(1).link();
      ring.prepRead(read, view, 0, 64).userData(2);
      ring.submitAndWait(2);
      reap();
    };
  },
  "tickets round a ring": () => {
    const tickets = new Tickets<Uint8Array>(64);
    return () => {
      for (let i = 0; i < BATCH; i++) ring.prepNop().userData(tickets.take(view));
      ring.submitAndWait(BATCH);
      for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
        if (tickets.give(cqe.userData) !== view) throw new Error("another context came back");
      }
    };
  },
  "more than fits": () => {
    const crowded = new Ring(4, { cqEntries: 4 });
    return () => {
      for (let i = 0; i < 12; i++) crowded.prepNop().userData(i);
      crowded.submit();
      let count = 0;
      while (count < 12) count += crowded.forEachCqe(each);
    };
  },
  "multishot receive with recycled buffers": () => {
    const { client, server } = connection(ring);
    const buffers = new BufferRing(ring, { group: 1, entries: 8, size: 256 });
    const message = pattern(100);
    ring.prepRecvMultishot(server).bufferSelect(1).userData(5);
    ring.submit();
    return () => {
      ring.prepSend(client, message).userData(6);
      ring.submitAndWait(2);
      for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
        if (cqe.userData !== 5) continue;
        const start = buffers.take(cqe);
        if (cqe.res !== 100 || !cqe.more || buffers.bytes[start] !== message[0]) throw new Error("not what was sent");
        buffers.recycle(cqe.bufferId);
      }
    };
  },
};

const prepare = cases[process.argv[2] ?? ""];
const measured: Allocation | string[] =
  prepare === undefined ? Object.keys(cases) : bytesPerOperation(prepare(), TIMES);
if (!Number.isFinite(sum)) throw new Error("nothing was added up");
console.log(JSON.stringify(measured));
