/**
 * A program that measures what the prep functions leave for the garbage collector, and prints it as one line of JSON:
 * by name, bytes per operation and those of the control. A process of its own, because a heap that many tests have grown
 * has room for everything and shows nothing.
 */
import { prepCancel64 } from "../../src/ring/prep/cancel.ts";
import { prepAccept } from "../../src/ring/prep/net.ts";
import { prepNop } from "../../src/ring/prep/nop.ts";
import { prepClose } from "../../src/ring/prep/open.ts";
import { prepPollAdd } from "../../src/ring/prep/poll.ts";
import { prepRecv, prepRecvMultishot } from "../../src/ring/prep/recv.ts";
import { prepRead, prepReadFixed, prepWrite, prepWriteFixed } from "../../src/ring/prep/rw.ts";
import { prepSend } from "../../src/ring/prep/send.ts";
import { Slot } from "../../src/ring/prep/slot.ts";
import { prepTimeout } from "../../src/ring/prep/timeout.ts";
import { Timespec } from "../../src/ring/structs.ts";
import { addressOf } from "../../src/memory.ts";
import { bytesPerOperation } from "./heap.ts";

const slot = new Slot(new Int32Array(16 * 64), 16);
const view = new Uint8Array(4096);
const address = addressOf(view);
const ts = Timespec.ofMs(1);
let round = 0;

/** Numbers that no compiler knows beforehand: small ones, and ones past 32 bits. */
function next(): number {
  round = (round + 1) & 63;
  slot.at = round << 4;
  return round;
}

const calls: readonly [string, () => void][] = [
  ["prepNop()", () => (next(), prepNop(slot))],
  ["prepRead() of an address", () => prepRead(slot, next(), address + round, round * 2 ** 27, 4096)],
  ["prepRead() of a view", () => prepRead(slot, next(), view, round * 2 ** 27)],
  ["prepWrite() of an address", () => prepWrite(slot, next(), address + round, round * 2 ** 27, 4096)],
  ["prepWrite() of a view", () => prepWrite(slot, next(), view, round * 2 ** 27, round)],
  ["prepReadFixed() of an address", () => prepReadFixed(slot, next(), address, round * 2 ** 27, round, 4096)],
  ["prepReadFixed() of a view", () => prepReadFixed(slot, next(), view, round * 2 ** 27, round)],
  ["prepWriteFixed() of an address", () => prepWriteFixed(slot, next(), address, round * 2 ** 27, round, 4096)],
  ["prepSend() of an address", () => prepSend(slot, next(), address, 0, 4096)],
  ["prepSend() of a view", () => prepSend(slot, next(), view, 0, round)],
  ["prepRecv() of an address", () => prepRecv(slot, next(), address, 0, 4096)],
  ["prepRecv() of a view", () => prepRecv(slot, next(), view)],
  ["prepRecvMultishot()", () => prepRecvMultishot(slot, next())],
  ["prepPollAdd()", () => prepPollAdd(slot, next(), 1)],
  ["prepTimeout() of a Timespec", () => prepTimeout(slot, ts, next())],
  ["prepCancel64()", () => prepCancel64(slot, next() * 2 ** 40)],
  ["prepClose()", () => prepClose(slot, next())],
  ["prepAccept()", () => prepAccept(slot, next())],
];

console.log(JSON.stringify(Object.fromEntries(calls.map(([name, call]) => [name, bytesPerOperation(call, 30_000)]))));
