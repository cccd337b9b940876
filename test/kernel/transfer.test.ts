// Sending and receiving: bytes, messages, datagrams, to the last byte, multishot, without a copy.
import { describe, expect } from "bun:test";
import { closeSync, readSync, writeSync } from "node:fs";
import {
  AF_INET,
  BufferRing,
  ECANCELED,
  ENOBUFS,
  EPIPE,
  IORING_CQE_F_MORE,
  IORING_CQE_F_NOTIF,
  IORING_RECVSEND_POLL_FIRST,
  IORING_SEND_ZC_REPORT_USAGE,
  Iovecs,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_WAITALL,
  Mapping,
  Msghdr,
  Ring,
  SHUT_WR,
  SOCK_DGRAM,
  SockAddr,
} from "../../src/index.ts";
import { awaited, complete, next, several } from "../support/complete.ts";
import { pattern } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { connection, portOf, sockets } from "../support/net.ts";

const made = needs(sockets);

overLayouts(
  (layout) => {
    made("prepSend() and prepRecv() carry bytes both ways", () => {
      using ring = ringOf(layout, 8);
      const { client, server } = connection(ring);
      const buffer = Buffer.alloc(64);
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        ring.prepRecv(to, buffer).userData(1);
        ring.submit();
        expect(ring.waitCqes(1, 2)).toBeNull();
        ring.prepSend(from, kept(Buffer.from("a message that is cut")), MSG_NOSIGNAL, 9).userData(2);
        const results = Object.fromEntries(several(ring, 2).map(({ userData, res }) => [userData, res]));
        expect(results).toEqual({ 1: 9, 2: 9 });
        expect(buffer.toString("latin1", 0, 10)).toBe("a message\0");
        buffer.fill(0);
      }
      closeSync(client);
      closeSync(server);
    });
  },
  ["plain", "sqpoll", "modern", "deferTaskrun", "coopTaskrun"],
);

describe("prepRecv()", () => {
  made("heeds its flags", () => {
    using ring = new Ring(8);
    const { client, server } = connection(ring);
    writeSync(client, "peeked");
    const buffer = Buffer.alloc(12);
    for (const flags of [MSG_PEEK, MSG_PEEK, 0]) {
      ring.prepRecv(server, buffer, flags);
      expect([complete(ring), buffer.toString("latin1", 0, 6)]).toEqual([6, "peeked"]);
    }
    // The whole buffer or nothing.
    writeSync(client, "half a ");
    ring.prepRecv(server, buffer, MSG_WAITALL).userData(1);
    ring.submit();
    expect(ring.waitCqes(1, 5)).toBeNull();
    writeSync(client, "whole");
    expect([complete(ring), buffer.toString()]).toEqual([12, "half a whole"]);
    closeSync(client);
    closeSync(server);
  });

  made("polls first where it is told to", () => {
    using ring = new Ring(8);
    const { client, server } = connection(ring);
    const buffer = Buffer.alloc(8);
    ring.prepRecv(server, buffer).ioprio(IORING_RECVSEND_POLL_FIRST);
    ring.submit();
    writeSync(client, "polled");
    expect(complete(ring)).toBe(6);
    closeSync(client);
    closeSync(server);
  });

  made("of a closed connection is 0, and sending to one fails without a signal", () => {
    using ring = new Ring(8);
    const { client, server } = connection(ring);
    closeSync(client);
    ring.prepRecv(server, kept(Buffer.alloc(8)));
    expect(complete(ring)).toBe(0);
    // The first one is answered by a reset, the next one finds it.
    ring.prepSend(server, kept(Buffer.from("x")), MSG_NOSIGNAL);
    complete(ring);
    for (let i = 0; i < 100; i++) {
      ring.prepSend(server, kept(Buffer.from("x")), MSG_NOSIGNAL);
      if (complete(ring) < 0) break;
    }
    ring.prepSend(server, kept(Buffer.from("x")), MSG_NOSIGNAL);
    expect(complete(ring)).toBe(-EPIPE);
    closeSync(server);
  });
});

made("prepSend() of more than fits waits for room with MSG_WAITALL", () => {
  using ring = new Ring(8);
  const { client, server } = connection(ring);
  const big = pattern(8_000_000);
  ring.prepSend(client, big, MSG_WAITALL | MSG_NOSIGNAL).userData(1);
  ring.submit();
  expect(ring.waitCqes(1, 10)).toBeNull();
  const received = Buffer.alloc(big.length);
  let length = 0;
  while (length < big.length) length += readSync(server, received, length, received.length - length, null);
  expect(received.equals(big)).toBe(true);
  expect(next(ring)).toMatchObject({ userData: 1, res: big.length });
  closeSync(client);
  closeSync(server);
});

describe("prepSendmsg() and prepRecvmsg()", () => {
  made("gather and scatter over a connection", () => {
    using ring = new Ring(8);
    const { client, server } = connection(ring);
    const out = new Msghdr({ iovecs: new Iovecs([Buffer.from("one "), Buffer.from("two "), Buffer.from("three")]) });
    const pieces = [Buffer.alloc(3), Buffer.alloc(100)];
    const into = new Msghdr({ iovecs: new Iovecs(pieces) });
    ring.prepRecvmsg(server, into).userData(1);
    ring.prepSendmsg(client, out, MSG_NOSIGNAL).userData(2);
    expect(Object.fromEntries(several(ring, 2).map(({ userData, res }) => [userData, res]))).toEqual({ 1: 13, 2: 13 });
    expect(Buffer.concat(pieces).toString("latin1", 0, 13)).toBe("one two three");
    closeSync(client);
    closeSync(server);
  });

  made("carry datagrams with their addresses; prepSendto() does too", () => {
    using ring = new Ring(8);
    const bound = (): { fd: number; port: number } => {
      ring.prepSocket(AF_INET, SOCK_DGRAM, 0);
      const fd = complete(ring);
      ring.prepBind(fd, kept(SockAddr.ipv4("127.0.0.1", 0)));
      expect(complete(ring)).toBe(0);
      return { fd, port: portOf(fd) };
    };
    const [a, b] = [bound(), bound()];
    const buffer = Buffer.alloc(64);
    const from = SockAddr.empty();
    const into = new Msghdr({ name: from, iovecs: new Iovecs([buffer]) });
    const target = SockAddr.ipv4("127.0.0.1", b.port);
    ring.prepSendmsg(a.fd, kept(new Msghdr({ name: target, iovecs: new Iovecs([Buffer.from("datagram")]) })));
    expect(complete(ring)).toBe(8);
    ring.prepRecvmsg(b.fd, into);
    expect(complete(ring)).toBe(8);
    expect([buffer.toString("latin1", 0, 8), into.nameLength]).toEqual(["datagram", 16]);
    ring.prepSendto(a.fd, kept(Buffer.from("sent to")), 0, target);
    expect(complete(ring)).toBe(7);
    ring.prepRecv(b.fd, buffer);
    expect([complete(ring), buffer.toString("latin1", 0, 7)]).toEqual([7, "sent to"]);
    closeSync(a.fd);
    closeSync(b.fd);
  });
});

describe("prepRecvMultishot()", () => {
  overLayouts(
    (layout) => {
      made("brings everything that comes, each in a buffer of its own, to the end", () => {
        using ring = ringOf(layout, 16);
        using buffers = new BufferRing(ring, { group: 3, entries: 4, size: 256 });
        const { client, server } = connection(ring);
        ring.prepRecvMultishot(server).bufferSelect(3).userData(1);
        ring.submit();
        let received = "";
        for (let i = 0; i < 20; i++) {
          writeSync(client, `message ${i};`);
          expect(awaited(ring)).not.toBeNull();
          ring.forEachCqe((cqe) => {
            expect([cqe.userData, cqe.more, cqe.hasBuffer]).toEqual([1, true, true]);
            const start = buffers.take(cqe);
            received += Buffer.from(buffers.bytes.subarray(start, start + cqe.res)).toString();
            buffers.recycle(cqe.bufferId);
          });
        }
        expect(received).toBe(Array.from({ length: 20 }, (_, i) => `message ${i};`).join(""));
        ring.prepShutdown(client, SHUT_WR).userData(2);
        const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
        expect(ends.map(({ userData, res, more }) => [userData, res, more])).toEqual([
          [1, 0, false],
          [2, 0, false],
        ]);
        closeSync(client);
        closeSync(server);
      });
    },
    ["plain", "modern", "deferTaskrun", "sqpoll"],
  );

  made("ends for want of buffers, and goes on when it is asked again", () => {
    using ring = new Ring(16);
    using buffers = new BufferRing(ring, { group: 1, entries: 2, size: 4 });
    const { client, server } = connection(ring);
    writeSync(client, "12345678abcd");
    ring.prepRecvMultishot(server).bufferSelect(1).userData(1);
    const texts: string[] = [];
    const results: [number, boolean][] = [];
    ring.submit();
    while (results.at(-1)?.[1] !== false) {
      const cqe = awaited(ring);
      if (cqe === null) break;
      results.push([cqe.res, cqe.more]);
      const start = buffers.take(cqe);
      if (start >= 0) texts.push(Buffer.from(buffers.bytes.subarray(start, start + cqe.res)).toString());
      ring.seenCqe();
    }
    expect(results.at(-1)).toEqual([-ENOBUFS, false]);
    expect(texts).toEqual(["1234", "5678"]);
    buffers.recycle(0);
    ring.prepRecvMultishot(server).bufferSelect(1).userData(2);
    ring.submit();
    const cqe = awaited(ring);
    expect([cqe?.userData, cqe?.res, cqe?.bufferId]).toEqual([2, 4, 0]);
    closeSync(client);
    closeSync(server);
  });

  made("ends when it is cancelled, its buffers unharmed", () => {
    using ring = new Ring(16);
    using buffers = new BufferRing(ring, { group: 1, entries: 2, size: 64 });
    const { client, server } = connection(ring);
    ring.prepRecvMultishot(server).bufferSelect(1).userData(1);
    ring.submit();
    ring.prepCancel(1).userData(2);
    const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
    expect(ends.map(({ userData, res }) => [userData, res])).toEqual([
      [1, -ECANCELED],
      [2, 0],
    ]);
    writeSync(client, "nobody takes this");
    expect(buffers.bytes.every((byte) => byte === 0)).toBe(true);
    closeSync(client);
    closeSync(server);
  });
});

describe("prepSendZc()", () => {
  const zeroCopy = needs([...sockets, "IORING_OP_SEND_ZC"]);

  zeroCopy("sends, then says when the memory is free again", () => {
    using ring = new Ring(8);
    const { client, server } = connection(ring);
    const data = pattern(50_000);
    ring.prepSendZc(client, data, MSG_NOSIGNAL, IORING_SEND_ZC_REPORT_USAGE).userData(1);
    const sent = next(ring);
    expect([sent.userData, sent.res, sent.flags & (IORING_CQE_F_MORE | IORING_CQE_F_NOTIF)]).toEqual([
      1,
      data.length,
      IORING_CQE_F_MORE,
    ]);
    const received = Buffer.alloc(data.length);
    for (let length = 0; length < data.length;)
      length += readSync(server, received, length, data.length - length, null);
    expect(received.equals(data)).toBe(true);
    const notified = next(ring);
    expect([notified.userData, notified.flags & (IORING_CQE_F_MORE | IORING_CQE_F_NOTIF)]).toEqual([
      1,
      IORING_CQE_F_NOTIF,
    ]);
    closeSync(client);
    closeSync(server);
  });

  zeroCopy("sends from a registered buffer", () => {
    using ring = new Ring(8);
    const { client, server } = connection(ring);
    const memory = Mapping.anonymous(8192);
    memory.bytes.set(pattern(8192));
    ring.registerBuffers([memory]);
    ring.prepSendZcFixed(client, memory.bytes.subarray(1000, 3000), MSG_NOSIGNAL, 0, 0);
    expect(next(ring)).toMatchObject({ res: 2000, more: true });
    const received = Buffer.alloc(2000);
    for (let length = 0; length < 2000;) length += readSync(server, received, length, 2000 - length, null);
    expect(received.equals(Buffer.from(memory.bytes.subarray(1000, 3000)))).toBe(true);
    expect(next(ring).flags & IORING_CQE_F_NOTIF).toBe(IORING_CQE_F_NOTIF);
    ring.unregisterBuffers();
    memory.close();
    closeSync(client);
    closeSync(server);
  });

  zeroCopy("that fails notifies as well, or has nothing to notify of", () => {
    using ring = new Ring(8);
    ring.prepSendZc(0, kept(Buffer.from("no socket")), MSG_NOSIGNAL).userData(1);
    const first = next(ring);
    expect(first.res).toBeLessThan(0);
    if (first.more) expect(next(ring).flags & IORING_CQE_F_NOTIF).toBe(IORING_CQE_F_NOTIF);
    expect(ring.waitCqes(1, 5)).toBeNull();
  });
});
