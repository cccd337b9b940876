// Messages between rings, of one thread and of several.
import { expect } from "bun:test";
import { openSync } from "node:fs";
import { join } from "node:path";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { openFile, scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";
import { descriptors, program, rejection, strays } from "./support.ts";

const directory = scratchDirectory();
const message = needs("IORING_OP_MSG_RING");

message("send() reaches the other ring's messages(), in order", async () => {
  await using one = new AsyncRing();
  await using two = new AsyncRing();
  const port = one.port(two.ring.fd);
  await port.send(1);
  const reading = two.messages();
  const sent = (async () => {
    await Bun.sleep(2);
    for (let i = 2; i <= 100; i++) await port.send(i);
  })();
  const read: unknown[] = [];
  for await (const each of reading) {
    read.push(each);
    if (read.length === 100) break;
  }
  await sent;
  expect(read).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
});

message("send() refuses what is no message, and says what the kernel refuses", async () => {
  await using ring = new AsyncRing();
  const port = ring.port(ring.ring.fd);
  for (const bad of [-1, 0.5, 2 ** 53, "text", null, {}]) {
    expect((await rejection(port.send(bad as number))).code).toMatch(/^ERR_URING_ARG_/);
  }
  const fd = openFile(directory, "file");
  expect((await rejection(ring.port(fd).send(1))).code).toBe("EBADFD");
  await ring.close(fd);
  expect(ring.stats().inFlight).toBe(0);
});

message("closing a ring ends its messages(), and closes descriptors that nobody has read", async () => {
  const before = descriptors();
  const ring = new AsyncRing();
  const other = new AsyncRing();
  const messages = ring.messages();
  await other.port(ring.ring.fd).send({ fd: openSync(join(directory, "file"), "r") });
  await ring.nop();
  const next = other.messages().next();
  await ring.close();
  await other.close();
  expect((await rejection(next)).code).toBe("ECANCELED");
  expect((await rejection(messages.next())).code).toBe("ECANCELED");
  expect((await messages.next()).done).toBe(true);
  expect(strays(before)).toEqual([]);
});

message("send() carries numbers and descriptors to a Worker's ring and back", () => {
  const found = program<{ back: unknown[]; place: boolean }>("messages");
  const numbers = [0, 1, 2 ** 31, 2 ** 32 + 7, Number.MAX_SAFE_INTEGER];
  // Both descriptors gave 20 bytes to read, and 20 were read; the order is that of the numbers' size.
  const back = [...numbers, 40, 40, (4999 * 5000) / 2].toSorted((a, b) => a - b);
  expect(found).toEqual({ back, place: true });
});
