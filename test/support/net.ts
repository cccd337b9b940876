/** Sockets of a test, made through the ring itself. They need IORING_OP_BIND and IORING_OP_LISTEN, Linux 6.11. */
import { readFileSync, readlinkSync } from "node:fs";
import { AF_INET, type Ring, SOCK_STREAM, SockAddr } from "../../src/index.ts";
import { complete } from "./complete.ts";
import { kept } from "./keep.ts";

/** What {@link listener} and {@link connection} need of the kernel: for `needs()`. */
export const sockets: readonly string[] = ["IORING_OP_BIND", "IORING_OP_LISTEN"];

function checked(what: string, result: number): number {
  if (result < 0) throw new Error(`${what} failed: ${result}`);
  return result;
}

/** The port that a socket of IPv4 is bound to, as the kernel tells everybody. */
export function portOf(fd: number): number {
  const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
  for (const table of ["tcp", "udp"]) {
    for (const line of readFileSync(`/proc/self/net/${table}`, "utf8").split("\n")) {
      const fields = line.trim().split(/\s+/);
      if (fields[9] === inode) return Number.parseInt(fields[1]?.split(":")[1] ?? "", 16);
    }
  }
  throw new Error(`socket ${fd} is bound to no port`);
}

/** A listening socket on loopback. The caller closes it. */
export function listener(ring: Ring, backlog: number = 128): { fd: number; port: number } {
  ring.prepSocket(AF_INET, SOCK_STREAM, 0);
  const fd = checked("socket", complete(ring));
  ring.prepBind(fd, kept(SockAddr.ipv4("127.0.0.1", 0)));
  checked("bind", complete(ring));
  ring.prepListen(fd, backlog);
  checked("listen", complete(ring));
  return { fd, port: portOf(fd) };
}

/** A socket that is connected to a port on loopback. The caller closes it. */
export function connected(ring: Ring, port: number): number {
  ring.prepSocket(AF_INET, SOCK_STREAM, 0);
  const fd = checked("socket", complete(ring));
  ring.prepConnect(fd, kept(SockAddr.ipv4("127.0.0.1", port)));
  checked("connect", complete(ring));
  return fd;
}

/** Both ends of a connection over loopback. The caller closes them. */
export function connection(ring: Ring): { client: number; server: number } {
  const { fd, port } = listener(ring);
  const client = connected(ring, port);
  ring.prepAccept(fd);
  const server = checked("accept", complete(ring));
  ring.prepClose(fd);
  checked("close", complete(ring));
  return { client, server };
}
