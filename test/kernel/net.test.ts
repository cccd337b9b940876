// Sockets: made, bound, listened on, accepted from, connected, shut down; with node:net at the other end where it can be.
import { afterEach, describe, expect } from "bun:test";
import { closeSync, fstatSync, readSync, rmSync, writeSync } from "node:fs";
import { createServer, connect as connectNode, type Server, type Socket } from "node:net";
import { join } from "node:path";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EADDRINUSE,
  ECANCELED,
  ECONNREFUSED,
  EINVAL,
  ENFILE,
  ENOTCONN,
  ENOTSOCK,
  IORING_CQE_F_MORE,
  IORING_FILE_INDEX_ALLOC,
  Ring,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SockAddr,
} from "../../src/index.ts";
import { complete, next, several } from "../support/complete.ts";
import { scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";
import { connected, connection, listener, sockets } from "../support/net.ts";

const scratch = scratchDirectory();
const made = needs(sockets);

const open: (Server | Socket)[] = [];
afterEach(() => {
  for (const one of open.splice(0)) "destroy" in one ? one.destroy() : one.close();
});

/** A node:net server that sends back what it gets, in capitals. */
async function shouter(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.push(socket);
    socket.on("data", (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
    socket.on("end", () => socket.end("BYE"));
  });
  open.push(server);
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return (server.address() as { port: number }).port;
}

/** Waits for a completion while the event loop, and so node:net, goes on. */
async function turn(ring: Ring): Promise<{ res: number; userData: number }> {
  ring.submit();
  for (let i = 0; i < 2000; i++) {
    const cqe = ring.peekCqe();
    if (cqe !== null) {
      const { res, userData } = cqe;
      ring.seenCqe();
      return { res, userData };
    }
    await Bun.sleep(1);
  }
  throw new Error("no completion came");
}

const isSocket = (fd: number): boolean => (fstatSync(fd).mode & 0xf000) === 0xc000;

describe("prepSocket()", () => {
  needs("IORING_OP_SOCKET")("makes sockets of every family", () => {
    using ring = new Ring(8);
    for (const [family, type] of [
      [AF_INET, SOCK_STREAM],
      [AF_INET, SOCK_DGRAM],
      [AF_UNIX, SOCK_STREAM],
      [AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK],
    ] as const) {
      ring.prepSocket(family, type, 0);
      const fd = complete(ring);
      expect(isSocket(fd)).toBe(true);
      closeSync(fd);
    }
    ring.prepSocket(0x7fff, SOCK_STREAM, 0);
    expect(complete(ring)).toBe(-97);
    ring.prepSocket(AF_INET, SOCK_STREAM, 0, 1);
    expect(complete(ring)).toBe(-EINVAL);
  });

  needs("IORING_OP_SOCKET")("makes direct ones, at an index or where there is room", () => {
    using ring = new Ring(8);
    ring.registerFilesSparse(2);
    ring.prepSocketDirect(AF_INET, SOCK_STREAM, 0, 1);
    expect(complete(ring)).toBe(0);
    ring.prepSocketDirectAlloc(AF_INET, SOCK_STREAM, 0);
    expect(complete(ring)).toBe(0);
    ring.prepSocketDirectAlloc(AF_INET, SOCK_STREAM, 0);
    expect(complete(ring)).toBe(-ENFILE);
    ring.prepSocketDirect(AF_INET, SOCK_STREAM, 0, 2);
    expect(complete(ring)).toBe(-EINVAL);
    // Both are sockets that nobody has connected.
    for (const index of [0, 1]) {
      ring.prepShutdown(index, SHUT_RDWR).fixedFile();
      expect(complete(ring)).toBe(-ENOTCONN);
    }
  });
});

describe("prepBind() and prepListen()", () => {
  made("take an address, of which no other socket can have the same", () => {
    using ring = new Ring(8);
    const { fd, port } = listener(ring);
    expect(port).toBeGreaterThan(0);
    ring.prepSocket(AF_INET, SOCK_STREAM, 0);
    const other = complete(ring);
    ring.prepBind(other, kept(SockAddr.ipv4("127.0.0.1", port)));
    expect(complete(ring)).toBe(-EADDRINUSE);
    closeSync(other);
    closeSync(fd);
  });

  made("refuse what is no socket", () => {
    using ring = new Ring(8);
    ring.prepBind(0, kept(SockAddr.ipv4("127.0.0.1", 0)));
    expect(complete(ring)).toBe(-ENOTSOCK);
    ring.prepListen(0, 1);
    expect(complete(ring)).toBe(-ENOTSOCK);
  });

  made("serve a unix socket's path, which node:net finds", async () => {
    using ring = new Ring(8);
    const path = join(scratch, "socket");
    ring.prepSocket(AF_UNIX, SOCK_STREAM, 0);
    const fd = complete(ring);
    ring.prepBind(fd, kept(SockAddr.unix(path))).link();
    ring.prepListen(fd, 4);
    expect(several(ring, 2).map(({ res }) => res)).toEqual([0, 0]);
    ring.prepAccept(fd);
    ring.submit();
    const client = connectNode(path);
    open.push(client);
    const { res: server } = await turn(ring);
    expect(isSocket(server)).toBe(true);
    writeSync(server, "through the path");
    const data = await new Promise<Buffer>((resolve) => client.once("data", (chunk: Buffer) => resolve(chunk)));
    expect(data.toString()).toBe("through the path");
    rmSync(path);
    closeSync(server);
    closeSync(fd);
  });
});

describe("prepAccept()", () => {
  made("takes a connection of node:net's, with its address", async () => {
    using ring = new Ring(8);
    const { fd, port } = listener(ring);
    const peer = SockAddr.empty();
    ring.prepAccept(fd, peer, peer.lengthCell).userData(1);
    ring.submit();
    expect(ring.peekCqe()).toBeNull();
    const client = connectNode(port, "127.0.0.1");
    open.push(client);
    const { res: server } = await turn(ring);
    await new Promise<void>((resolve) => (client.connecting ? client.once("connect", () => resolve()) : resolve()));
    expect(peer.value).toEqual({ family: "ipv4", address: "127.0.0.1", port: client.localPort as number });
    client.write("hello");
    const buffer = Buffer.alloc(16);
    ring.prepRecv(server, buffer);
    const { res } = await turn(ring);
    expect(buffer.toString("latin1", 0, res)).toBe("hello");
    closeSync(server);
    closeSync(fd);
  });

  made("into the table of registered files, at an index or where there is room", () => {
    using ring = new Ring(8);
    const { fd, port } = listener(ring);
    ring.registerFilesSparse(3);
    const clients = [connected(ring, port), connected(ring, port)];
    ring.prepAcceptDirect(fd, null, null, 0, 2);
    expect(complete(ring)).toBe(0);
    ring.prepAcceptDirect(fd, null, null, 0, IORING_FILE_INDEX_ALLOC);
    expect(complete(ring)).toBe(0);
    const buffer = Buffer.alloc(8);
    for (const [client, index] of [
      [clients[0], 2],
      [clients[1], 0],
    ] as const) {
      writeSync(client as number, `to ${index}`);
      ring.prepRecv(index, buffer).fixedFile();
      expect([complete(ring), buffer.toString("latin1", 0, 4)]).toEqual([4, `to ${index}`]);
    }
    for (const client of clients) closeSync(client);
    closeSync(fd);
  });

  made("that is cancelled takes none", () => {
    using ring = new Ring(8);
    const { fd, port } = listener(ring);
    ring.prepAccept(fd).userData(1);
    ring.submit();
    ring.prepCancel(1).userData(2);
    expect(
      several(ring, 2)
        .map(({ userData, res }) => [userData, res])
        .toSorted(),
    ).toEqual([
      [1, -ECANCELED],
      [2, 0],
    ]);
    const client = connected(ring, port);
    ring.prepAccept(fd).userData(3);
    const server = complete(ring);
    expect(isSocket(server)).toBe(true);
    for (const one of [client, server, fd]) closeSync(one);
  });
});

describe("prepMultishotAccept()", () => {
  made("takes every connection that comes, until it is cancelled", () => {
    using ring = new Ring(16);
    const { fd, port } = listener(ring);
    ring.prepMultishotAccept(fd).userData(1);
    ring.submit();
    const clients: number[] = [];
    const servers: number[] = [];
    for (let i = 0; i < 5; i++) {
      ring.prepSocket(AF_INET, SOCK_STREAM, 0).userData(2);
      clients.push(next(ring).res);
      ring.prepConnect(clients[i] as number, kept(SockAddr.ipv4("127.0.0.1", port))).userData(3);
      for (const { userData, res, flags } of several(ring, 2)) {
        if (userData === 3) expect(res).toBe(0);
        else {
          expect([userData, flags & IORING_CQE_F_MORE]).toEqual([1, IORING_CQE_F_MORE]);
          servers.push(res);
        }
      }
    }
    expect(new Set(servers).size).toBe(5);
    // Each of the five is the other end of one client.
    clients.forEach((client, i) => writeSync(client, `${i}`));
    const heard = servers.map((server) => {
      const buffer = Buffer.alloc(2);
      return buffer.toString("latin1", 0, readSync(server, buffer));
    });
    expect(heard.toSorted()).toEqual(["0", "1", "2", "3", "4"]);
    ring.prepCancel(1).userData(4);
    const ends = several(ring, 2).toSorted((a, b) => a.userData - b.userData);
    expect(ends.map(({ userData, res, more }) => [userData, res, more])).toEqual([
      [1, -ECANCELED, false],
      [4, 0, false],
    ]);
    for (const one of [...clients, ...servers, fd]) closeSync(one);
  });

  made("into direct descriptors ends when there is no room", () => {
    using ring = new Ring(16);
    const { fd, port } = listener(ring);
    ring.registerFilesSparse(2);
    const clients = [connected(ring, port), connected(ring, port), connected(ring, port)];
    ring.prepMultishotAcceptDirect(fd).userData(1);
    const shots = several(ring, 3).map(({ res, more }) => [res, more]);
    expect(shots).toEqual([
      [0, true],
      [1, true],
      [-ENFILE, false],
    ]);
    for (const one of [...clients, fd]) closeSync(one);
  });
});

describe("prepConnect()", () => {
  needs("IORING_OP_SOCKET")("reaches a server of node:net's, both ways, to the end", async () => {
    using ring = new Ring(8);
    const port = await shouter();
    ring.prepSocket(AF_INET, SOCK_STREAM, 0);
    const fd = complete(ring);
    ring.prepConnect(fd, kept(SockAddr.ipv4("127.0.0.1", port)));
    expect((await turn(ring)).res).toBe(0);
    const buffer = Buffer.alloc(64);
    for (const [said, heard] of [
      ["hello", "HELLO"],
      ["once more", "ONCE MORE"],
    ] as const) {
      ring.prepSend(fd, kept(Buffer.from(said)));
      expect((await turn(ring)).res).toBe(said.length);
      ring.prepRecv(fd, buffer);
      const { res } = await turn(ring);
      expect(buffer.toString("latin1", 0, res)).toBe(heard);
    }
    ring.prepShutdown(fd, SHUT_WR);
    expect((await turn(ring)).res).toBe(0);
    ring.prepRecv(fd, buffer);
    expect(buffer.toString("latin1", 0, (await turn(ring)).res)).toBe("BYE");
    ring.prepRecv(fd, buffer);
    expect((await turn(ring)).res).toBe(0);
    closeSync(fd);
  });

  needs("IORING_OP_SOCKET")("of a port where nobody listens is refused", () => {
    using ring = new Ring(8);
    ring.prepSocket(AF_INET, SOCK_STREAM, 0);
    const fd = complete(ring);
    ring.prepConnect(fd, kept(SockAddr.ipv4("127.0.0.1", 1)));
    expect(complete(ring)).toBe(-ECONNREFUSED);
    closeSync(fd);
  });

  made("works over IPv6 as well, where there is IPv6", () => {
    using ring = new Ring(8);
    ring.prepSocket(AF_INET6, SOCK_STREAM, 0);
    const fd = complete(ring);
    // A machine may have no IPv6 at all.
    if (fd < 0) return expect(fd).toBe(-97);
    ring.prepBind(fd, kept(SockAddr.ipv6("::1", 0)));
    const bound = complete(ring);
    closeSync(fd);
    expect([0, -99]).toContain(bound);
  });

  made("address and struct are the caller's again once it is submitted", () => {
    using ring = new Ring(8);
    const { fd, port } = listener(ring);
    ring.prepSocket(AF_INET, SOCK_STREAM, 0);
    const client = complete(ring);
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(port, 2);
    address.set([127, 0, 0, 1], 4);
    ring.prepConnect(client, address, 16).userData(1).async();
    ring.submit();
    address.fill(0xff);
    expect(next(ring)).toMatchObject({ userData: 1, res: 0 });
    for (const one of [client, fd]) closeSync(one);
  });
});

made("prepShutdown() ends one direction, and is refused where there is none", () => {
  using ring = new Ring(8);
  const { client, server } = connection(ring);
  ring.prepShutdown(client, SHUT_WR);
  expect(complete(ring)).toBe(0);
  const buffer = Buffer.alloc(8);
  ring.prepRecv(server, buffer);
  expect(complete(ring)).toBe(0);
  // The other direction is still open.
  ring.prepSend(server, kept(Buffer.from("still")));
  expect(complete(ring)).toBe(5);
  ring.prepRecv(client, buffer);
  expect([complete(ring), buffer.toString("latin1", 0, 5)]).toEqual([5, "still"]);
  ring.prepShutdown(client, 77);
  expect(complete(ring)).toBe(-EINVAL);
  for (const one of [client, server]) closeSync(one);
});
