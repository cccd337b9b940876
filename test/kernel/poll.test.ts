// Polling: once, again and again, changed and removed, on pipes and sockets.
import { expect, test } from "bun:test";
import { closeSync, readSync, writeSync } from "node:fs";
import {
  EALREADY,
  ECANCELED,
  ENOENT,
  IORING_CQE_F_MORE,
  IORING_POLL_UPDATE_EVENTS,
  IORING_POLL_UPDATE_USER_DATA,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  Ring,
} from "../../src/index.ts";
import { awaited, next, several } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { needs, needsThat } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { connection, sockets } from "../support/net.ts";

const scratch = scratchDirectory();

/** Whether polls can be asked for again and again: Linux 5.13. */
const multishot = needs("IORING_POLL_ADD_MULTI", () => {
  const { read, write } = pipe(scratch);
  using ring = new Ring(2);
  writeSync(write, "x");
  ring.prepPollMultishot(read, POLLIN);
  const { res } = next(ring);
  closeSync(read);
  closeSync(write);
  return res === POLLIN;
});

overLayouts(
  (layout) => {
    test("prepPollAdd() completes once, when the event is there", () => {
      using ring = ringOf(layout, 8);
      const { read, write } = pipe(scratch);
      ring.prepPollAdd(write, POLLOUT).userData(1);
      expect(next(ring)).toMatchObject({ userData: 1, res: POLLOUT, more: false });
      ring.prepPollAdd(read, POLLIN).userData(2);
      ring.submit();
      expect(ring.waitCqes(1, 5)).toBeNull();
      writeSync(write, "now");
      expect(next(ring)).toMatchObject({ userData: 2, res: POLLIN, more: false });
      writeSync(write, "again");
      expect(ring.waitCqes(1, 5)).toBeNull();
      closeSync(write);
      ring.prepPollAdd(read, POLLIN).userData(3);
      expect(next(ring).res & (POLLIN | POLLHUP)).toBe(POLLIN | POLLHUP);
      closeSync(read);
    });
  },
  ["plain", "sqpoll", "modern", "coopTaskrun"],
);

test("prepPollAdd() tells errors that nobody asked for", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  closeSync(read);
  ring.prepPollAdd(write, 0);
  expect(next(ring).res & POLLERR).toBe(POLLERR);
  closeSync(write);
});

multishot("prepPollMultishot() completes at every edge, until it is removed", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  ring.prepPollMultishot(read, POLLIN).userData(5);
  ring.submit();
  for (let i = 0; i < 4; i++) {
    writeSync(write, "edge");
    const { userData, res, flags } = next(ring);
    expect([userData, res, flags & IORING_CQE_F_MORE]).toEqual([5, POLLIN, IORING_CQE_F_MORE]);
    expect(ring.waitCqes(1, 2)).toBeNull();
    readSync(read, Buffer.alloc(4));
  }
  ring.prepPollRemove(5).userData(6);
  const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
  expect(ends.map(({ userData, res, more }) => [userData, res, more])).toEqual([
    [5, -ECANCELED, false],
    [6, 0, false],
  ]);
  closeSync(read);
  closeSync(write);
});

test("prepPollRemove() ends a poll, and finds none where there is none", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  ring.prepPollAdd(read, POLLIN).userData(2 ** 52 + 1);
  ring.submit();
  ring.prepPollRemove(2 ** 52).userData(1);
  expect(next(ring)).toMatchObject({ userData: 1, res: -ENOENT });
  ring.prepPollRemove(2 ** 52 + 1).userData(2);
  const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
  expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
    [2, 0],
    [2 ** 52 + 1, -ECANCELED],
  ]);
  closeSync(read);
  closeSync(write);
});

/** Kernel: in 6.16 and 6.17 a poll whose events are changed never completes, or is canceled. */
function outlivesUpdates(): boolean {
  using ring = new Ring(4);
  const { read, write } = pipe(scratch);
  ring.prepPollAdd(write, POLLIN).userData(7);
  ring.submit();
  ring.prepPollUpdate(7, 0, POLLOUT, IORING_POLL_UPDATE_EVENTS).userData(1);
  const seen: number[] = [];
  if (awaited(ring, 2, 1000) !== null) ring.forEachCqe(({ res }) => seen.push(res));
  closeSync(read);
  closeSync(write);
  return seen.includes(POLLOUT);
}
const updated =
  multishot === test
    ? needsThat(outlivesUpdates(), "polls that go on after IORING_POLL_UPDATE_EVENTS, Linux 6.18")
    : multishot;

updated("prepPollUpdate() changes the events and the user data of a waiting poll", () => {
  using ring = new Ring(8);
  const { read, write } = pipe(scratch);
  ring.prepPollAdd(write, POLLIN).userData(7);
  ring.submit();
  expect(ring.waitCqes(1, 2)).toBeNull();
  ring.prepPollUpdate(7, 8, 0, IORING_POLL_UPDATE_USER_DATA).userData(1);
  expect(next(ring)).toMatchObject({ userData: 1, res: 0 });
  ring.prepPollUpdate(7, 0, POLLOUT, IORING_POLL_UPDATE_EVENTS).userData(2);
  expect(next(ring)).toMatchObject({ userData: 2, res: -ENOENT });
  ring.prepPollUpdate(8, 0, POLLOUT, IORING_POLL_UPDATE_EVENTS).userData(3);
  const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
  expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
    [3, 0],
    [8, POLLOUT],
  ]);
  expect([-ENOENT, -EALREADY]).toContain(
    ((): number => {
      ring.prepPollRemove(8);
      return next(ring).res;
    })(),
  );
  closeSync(read);
  closeSync(write);
});

needs(sockets)("a socket's half that is shut is told", () => {
  using ring = new Ring(8);
  const { client, server } = connection(ring);
  ring.prepPollAdd(server, POLLIN | POLLRDHUP).userData(1);
  ring.submit();
  ring.prepShutdown(client, 1).userData(2);
  const events = several(ring, 2).find(({ userData }) => userData === 1);
  expect((events?.res ?? 0) & (POLLIN | POLLRDHUP)).toBe(POLLIN | POLLRDHUP);
  closeSync(client);
  closeSync(server);
});

test("hundreds of polls are told apart by their user data", () => {
  using ring = new Ring(256, { cqEntries: 1024 });
  const { read, write } = pipe(scratch);
  for (let i = 0; i < 200; i++) ring.prepPollAdd(read, POLLIN).userData(1000 + i);
  ring.submit();
  for (let i = 0; i < 200; i += 2) ring.prepPollRemove(1000 + i).userData(i);
  ring.submitAndWait(200);
  writeSync(write, "x");
  const results = new Map<number, number>();
  while (results.size < 300) {
    const { userData, res } = next(ring);
    results.set(userData, res);
  }
  for (let i = 0; i < 200; i++) {
    expect([i, results.get(1000 + i)]).toEqual([i, i % 2 === 0 ? -ECANCELED : POLLIN]);
    if (i % 2 === 0) expect(results.get(i)).toBe(0);
  }
  closeSync(read);
  closeSync(write);
});
