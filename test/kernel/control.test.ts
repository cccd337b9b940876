// Control messages and multishot recvmsg over real sockets: descriptors passed, times, interfaces, truncation told.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AF_INET,
  AF_UNIX,
  BufferRing,
  controlDescriptors,
  ControlMessages,
  controlPacketInfo,
  controlSpace,
  controlTimestamp,
  type Cqe,
  forEachControl,
  Iovecs,
  IP_PKTINFO,
  IPPROTO_IP,
  MSG_CTRUNC,
  Msghdr,
  RecvmsgOut,
  Ring,
  SCM_RIGHTS,
  SO_TIMESTAMPNS,
  SockAddr,
  SOCK_DGRAM,
  SOCKET_URING_OP_SETSOCKOPT,
  SOL_SOCKET,
} from "../../src/index.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "uring-control-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Submits what was prepared last and returns its result. */
function result(ring: Ring): number {
  ring.submitAndWait(1);
  const { res } = ring.peekCqe() as Cqe;
  ring.seenCqe();
  return res;
}

function socket(ring: Ring, family: number): number {
  ring.prepSocket(family, SOCK_DGRAM, 0);
  const fd = result(ring);
  expect(fd).toBeGreaterThan(2);
  return fd;
}

function bind(ring: Ring, fd: number, address: SockAddr): void {
  ring.prepBind(fd, address);
  expect(result(ring)).toBe(0);
}

const needed = ["IORING_OP_SOCKET", "IORING_OP_BIND"];

needs(needed)("a descriptor passed over a unix socket is the same file at the other end", () => {
  using ring = new Ring(8);
  const [left, right] = [socket(ring, AF_UNIX), socket(ring, AF_UNIX)];
  const there = SockAddr.unix(join(folder, "right"));
  bind(ring, right, there);
  const path = join(folder, "passed");
  writeFileSync(path, "what was passed");
  const file = openSync(path, "r");

  const data = new Uint8Array([7]);
  const control = new ControlMessages(controlSpace(4)).addDescriptors([file]);
  ring.prepSendmsg(left, kept(new Msghdr({ name: there, iovecs: new Iovecs([data]), control })));
  expect(result(ring)).toBe(1);
  closeSync(file);

  const came = new ControlMessages(controlSpace(4));
  const into = new Uint8Array(1);
  const msg = new Msghdr({ iovecs: new Iovecs([into]), control: came });
  ring.prepRecvmsg(right, msg);
  expect(result(ring)).toBe(1);
  expect(into[0]).toBe(7);
  const fds: number[] = [];
  const whole = came.forEach(msg.controlLength, (level, type, start, length) => {
    expect([level, type]).toEqual([SOL_SOCKET, SCM_RIGHTS]);
    fds.push(...controlDescriptors(came.bytes, start, length));
  });
  expect(whole).toBe(true);
  expect(fds).toHaveLength(1);
  expect(readFileSync(fds[0] as number, "utf8")).toBe("what was passed");
  for (const fd of [...fds, left, right]) closeSync(fd);
});

needs(needed)("a descriptor without room for it is lost, and msg.flags say so", () => {
  using ring = new Ring(8);
  const [left, right] = [socket(ring, AF_UNIX), socket(ring, AF_UNIX)];
  const there = SockAddr.unix(join(folder, "narrow"));
  bind(ring, right, there);
  const control = new ControlMessages(controlSpace(4)).addDescriptors([left]);
  const data = new Uint8Array(1);
  ring.prepSendmsg(left, kept(new Msghdr({ name: there, iovecs: new Iovecs([data]), control })));
  expect(result(ring)).toBe(1);
  const msg = new Msghdr({ iovecs: new Iovecs([data]) });
  ring.prepRecvmsg(right, msg);
  expect(result(ring)).toBe(1);
  expect(msg.flags & MSG_CTRUNC).toBe(MSG_CTRUNC);
  for (const fd of [left, right]) closeSync(fd);
});

/** A ring with two bound UDP sockets and their addresses as text. */
function udp(ring: Ring): { from: number; to: number; port: number; fromPort: number } {
  const [from, to] = [socket(ring, AF_INET), socket(ring, AF_INET)];
  const one = new Int32Array([1]);
  ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, to, SOL_SOCKET, SO_TIMESTAMPNS, one);
  expect(result(ring)).toBe(0);
  ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, to, IPPROTO_IP, IP_PKTINFO, one);
  expect(result(ring)).toBe(0);
  const port = 20000 + (process.pid % 20000);
  for (const [fd, at] of [
    [from, port + 1],
    [to, port],
  ] as const) {
    bind(ring, fd, SockAddr.ipv4("127.0.0.1", at));
  }
  return { from, to, port, fromPort: port + 1 };
}

needs(needed)("multishot recvmsg tells sender, time, interface and data of each datagram", () => {
  using ring = new Ring(16);
  const { from, to, port, fromPort } = udp(ring);
  using buffers = new BufferRing(ring, { group: 1, entries: 8, size: 512 });
  const room = { nameBytes: 16, controlBytes: controlSpace(16) + controlSpace(12) };
  const name = new Uint8Array(room.nameBytes);
  const control = new ControlMessages(room.controlBytes);
  const msg = new Msghdr({ name, control });
  ring.prepRecvmsgMultishot(to, msg).bufferSelect(1).userData(5);
  // Kernel: an empty datagram ends the shot (seen on 6.18), so it comes last.
  const texts = ["one", "the second is longer", "x".repeat(400), "y".repeat(480), ""];
  for (const text of texts) {
    const bytes = Buffer.from(text);
    ring.prepSendto(from, bytes, 0, kept(SockAddr.ipv4("127.0.0.1", port))).skipSuccess();
    ring.submit();
  }
  const message = new RecvmsgOut(room);
  const before = BigInt(Date.now()) * 1_000_000n;
  for (const text of texts) {
    const cqe = ring.waitCqes(1, 2000) as Cqe;
    expect(cqe.userData).toBe(5);
    if (text !== "") expect(cqe.more).toBe(true);
    const start = buffers.take(cqe);
    expect(message.read(buffers.bytes, start, cqe.res)).toBe(true);
    const sender = SockAddr.parse(
      buffers.bytes.slice(message.nameStart, message.nameStart + message.nameLength),
      message.nameLength,
    );
    expect(sender).toMatchObject({ family: "ipv4", address: "127.0.0.1", port: fromPort });
    let time: bigint | undefined;
    let destination: string | undefined;
    let interfaceIndex = 0;
    forEachControl(buffers.bytes, message.controlStart, message.controlLength, (level, type, at, length) => {
      if (level === SOL_SOCKET) time = controlTimestamp(buffers.bytes, type, at, length);
      const info = controlPacketInfo(buffers.bytes, level, type, at, length);
      if (info !== undefined) {
        destination = [...info.destination].join(".");
        interfaceIndex = info.interfaceIndex;
      }
    });
    expect(destination).toBe("127.0.0.1");
    expect(interfaceIndex).toBeGreaterThan(0);
    const age = before - (time as bigint);
    expect(age > -5_000_000_000n && age < 5_000_000_000n).toBe(true);
    // 512 bytes of buffer, less the header, the address and the control messages.
    const fits = 512 - 16 - room.nameBytes - room.controlBytes;
    const data = buffers.bytes.subarray(message.payloadStart, message.payloadStart + message.payloadLength);
    expect(Buffer.from(data).toString()).toBe(text.slice(0, fits));
    expect(message.payloadTruncated).toBe(text.length > fits);
    expect([message.nameTruncated, message.controlTruncated]).toEqual([false, false]);
    buffers.recycle(cqe.bufferId);
    ring.seenCqe();
  }
  for (const fd of [from, to]) closeSync(fd);
});

test("ControlMessages refuses what does not fit, and is empty again after clear()", () => {
  const control = new ControlMessages(controlSpace(4));
  expect(control.byteLength).toBe(24);
  control.add(1, 2, new Uint8Array([1, 2, 3]));
  expect(() => control.addDescriptors([0])).toThrow(expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }));
  expect(() => control.add(1, 2, "text" as never)).toThrow(expect.objectContaining({ code: "ERR_URING_ARG_TYPE" }));
  const seen: number[][] = [];
  expect(control.forEach(control.byteLength, (...all) => void seen.push(all))).toBe(true);
  expect(seen).toEqual([[1, 2, 16, 3]]);
  control.clear();
  expect(control.byteLength).toBe(24);
  expect(control.bytes.every((byte) => byte === 0)).toBe(true);
  expect(() => new ControlMessages(8)).toThrow(expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }));
});

test("forEachControl() says so when the last message was cut", () => {
  const control = new ControlMessages(64).add(1, 2, new Uint8Array(4)).add(3, 4, new Uint8Array(8));
  const levels: number[] = [];
  const collect = (level: number): void => void levels.push(level);
  expect(forEachControl(control.bytes, 0, 48, collect)).toBe(true);
  expect(levels.splice(0)).toEqual([1, 3]);
  for (const length of [44, 40, 25, 17]) {
    expect(forEachControl(control.bytes, 0, length, collect)).toBe(false);
    expect(levels.splice(0)).toEqual(length >= 24 ? [1] : []);
  }
  expect(() => forEachControl(control.bytes, 1, 64, collect)).toThrow(RangeError);
});

test("RecvmsgOut.read() refuses what is too short for the room that was given", () => {
  const out = new RecvmsgOut({ nameBytes: 16, controlBytes: 8 });
  const bytes = new Uint8Array(64);
  expect(out.read(bytes, 0, 39)).toBe(false);
  expect(out.read(bytes, 32, 40)).toBe(false);
  expect(out.read(bytes, -1, 40)).toBe(false);
  // A name of 28 bytes where there was room for 16; a message of 100 bytes of which 4 came.
  new Uint32Array(bytes.buffer).set([28, 4, 100, 0x20]);
  expect(out.read(bytes, 0, 44)).toBe(true);
  expect([out.nameStart, out.nameLength, out.nameTruncated]).toEqual([16, 16, true]);
  expect([out.controlStart, out.controlLength]).toEqual([32, 4]);
  expect([out.payloadStart, out.payloadLength, out.messageLength, out.payloadTruncated]).toEqual([40, 4, 100, true]);
});

needs(needed)("sendSetAddr() sends to where it says, and refuses what is no address without queueing anything", () => {
  using ring = new Ring(8);
  const { from, to, port } = udp(ring);
  const data = Buffer.from("addressed");
  ring.prepSend(from, data, 0).sendSetAddr(kept(SockAddr.ipv4("127.0.0.1", port)));
  expect(result(ring)).toBe(9);
  const text = new Uint8Array(32);
  ring.prepRecv(to, text, 0);
  expect(result(ring)).toBe(9);
  expect(Buffer.from(text.subarray(0, 9)).toString()).toBe("addressed");
  expect(() => ring.prepSend(from, data, 0).sendSetAddr("127.0.0.1" as never)).toThrow(TypeError);
  expect(ring.sqReady()).toBe(0);
  for (const fd of [from, to]) closeSync(fd);
});
