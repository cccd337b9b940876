// Messages between rings: numbers, flags, descriptors.
import { expect } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EBADF,
  EBADFD,
  ENFILE,
  type Cqe,
  IORING_FILE_INDEX_ALLOC,
  IORING_MSG_RING_CQE_SKIP,
  IORING_MSG_RING_FLAGS_PASS,
  Ring,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";

const directory = scratchDirectory();
const message = needs("IORING_OP_MSG_RING");

/** What arrived at a ring: the numbers of its next completion. */
function arrived(ring: Ring): { res: number; userData: number; flags: number } {
  const cqe = ring.waitCqes(1, 2000) as Cqe;
  const { res, userData, flags } = cqe;
  ring.seenCqe();
  return { res, userData, flags };
}

message("prepMsgRing() puts a number and a length into the other ring's queue", () => {
  using from = new Ring(8);
  using to = new Ring(8);
  from.prepMsgRing(to.fd, 1234, 2 ** 53 - 1);
  expect(complete(from)).toBe(0);
  expect(arrived(to)).toMatchObject({ res: 1234, userData: 2 ** 53 - 1, flags: 0 });
  // The sender's own completion can be left out, and so can the receiver's.
  from.prepMsgRing(to.fd, 5, 6).skipSuccess();
  from.submit();
  expect(arrived(to)).toMatchObject({ res: 5, userData: 6 });
  expect(from.peekCqe()).toBeNull();
  const other = openSync("/dev/null", "r");
  from.prepMsgRing(other, 1, 1);
  expect(complete(from)).toBe(-EBADFD);
  closeSync(other);
  from.prepMsgRing(1_000_000, 1, 1);
  expect(complete(from)).toBe(-EBADF);
});

// Kernel: PASS came with 6.3, as did nothing else that could be asked for.
needs("IORING_MSG_RING_FLAGS_PASS", () => {
  using from = new Ring(8);
  using to = new Ring(8);
  from.prepMsgRingCqeFlags(to.fd, 1, 2, 0, 0x40);
  from.submitAndWait(1);
  return from.peekCqe()?.res === 0;
})("prepMsgRingCqeFlags() sets the flags of the completion that arrives", () => {
  using from = new Ring(8);
  using to = new Ring(8);
  from.prepMsgRingCqeFlags(to.fd, 1, 2, 0, 0xabcd0040);
  expect(complete(from)).toBe(0);
  expect(arrived(to)).toMatchObject({ res: 1, userData: 2, flags: 0xabcd0040 });
  expect(IORING_MSG_RING_FLAGS_PASS).toBe(2);
});

needs("IORING_MSG_SEND_FD", () => {
  using from = new Ring(8);
  using to = new Ring(8);
  const fd = openSync("/dev/null", "r");
  from.registerFiles([fd]);
  closeSync(fd);
  to.registerFilesSparse(1);
  from.prepMsgRingFd(to.fd, 0, 0, 0);
  from.submitAndWait(1);
  return from.peekCqe()?.res === 0;
})("prepMsgRingFd() and prepMsgRingFdAlloc() hand registered files over", () => {
  using from = new Ring(8);
  using to = new Ring(8);
  const path = join(directory, "handed");
  writeFileSync(path, "what was handed over");
  const fd = openSync(path, "r");
  from.registerFiles([-1, fd]);
  closeSync(fd);
  to.registerFilesSparse(3);

  from.prepMsgRingFd(to.fd, 1, 2, 77);
  expect(complete(from)).toBe(0);
  expect(arrived(to)).toMatchObject({ userData: 77 });
  const text = new Uint8Array(64);
  to.prepRead(2, text, 0).fixedFile();
  expect(complete(to)).toBe(20);
  expect(Buffer.from(text.subarray(0, 20)).toString()).toBe("what was handed over");

  from.prepMsgRingFdAlloc(to.fd, 1, 78);
  const place = complete(from);
  expect([0, 1]).toContain(place);
  // The index comes with the message.
  expect(arrived(to)).toMatchObject({ userData: 78, res: place });
  to.prepRead(place, text, 5, 3).fixedFile();
  expect(complete(to)).toBe(3);
  expect(Buffer.from(text.subarray(0, 3)).toString()).toBe("was");

  from.prepMsgRingFd(to.fd, 1, 1 - place, 79, IORING_MSG_RING_CQE_SKIP);
  expect(complete(from)).toBe(0);
  expect(to.peekCqe()).toBeNull();
  from.prepMsgRingFdAlloc(to.fd, 1, 80);
  expect(complete(from)).toBe(-ENFILE);
  from.prepMsgRingFd(to.fd, 0, 0, 81);
  expect(complete(from)).toBe(-EBADF);
  expect(IORING_FILE_INDEX_ALLOC).toBe(0xffffffff);
});
