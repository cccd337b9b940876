/** From names to addresses, and from addresses to what sockets say of them. */
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { SockAddr, type SocketAddress } from "../ring/sockaddr.ts";

/** An address as a socket tells it. */
export interface Place {
  readonly family: "IPv4" | "IPv6";
  readonly address: string;
  readonly port: number;
}

/** An address of the internet in Bun's words; undefined for one of another kind. */
export function placeOf(address: SocketAddress | undefined): Place | undefined {
  if (address?.family === "ipv4") return { family: "IPv4", address: address.address, port: address.port };
  if (address?.family === "ipv6") return { family: "IPv6", address: address.address, port: address.port };
  return undefined;
}

/** The addresses that a name stands for, in the order in which they are to be tried. @throws as Bun does. */
export async function resolve(hostname: string, port: number): Promise<readonly SockAddr[]> {
  try {
    const found = await lookup(hostname, { all: true, verbatim: true });
    return found.map(({ address, family }) => sockAddr(address, family, port));
  } catch (error) {
    throw failureOf(hostname, error as Partial<NodeJS.ErrnoException>);
  }
}

/** The address that a name is; undefined where it is to be looked up. */
export function parse(hostname: string, port: number): SockAddr | undefined {
  const inside = /^\[(.+:.*)\]$/.exec(hostname)?.[1] ?? hostname;
  const [address, zone] = partsOf(inside);
  const version = isIP(address);
  return version === 0 || (version === 4 && zone !== undefined) ? undefined : sockAddr(inside, version, port);
}

/** An address, and the zone that it names. */
function partsOf(text: string): [address: string, zone: string | undefined] {
  const at = text.indexOf("%");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function sockAddr(text: string, version: number, port: number): SockAddr {
  if (version === 4) return SockAddr.ipv4(text, port);
  const [address, zone] = partsOf(text);
  return SockAddr.ipv6(address, port, zone === undefined ? 0 : interfaceOf(zone));
}

/** The number of a network interface, which a zone is or is the name of; 0 where there is none. */
function interfaceOf(zone: string): number {
  if (/^\d{1,9}$/.test(zone)) return Number(zone);
  try {
    return zone.includes("/") ? 0 : Number(readFileSync(`/sys/class/net/${zone}/ifindex`, "utf8"));
  } catch {
    return 0;
  }
}

/** What Bun says of a name that it cannot look up: that there is none, or that there is nobody to ask. */
function failureOf(hostname: string, { code, errno, syscall }: Partial<NodeJS.ErrnoException>): Error {
  return Object.assign(new Error(`${syscall} ${code} ${hostname}`), { code, syscall, hostname, errno });
}

/** A path as Bun takes it: a URL of a file or of a unix socket too. */
export function pathOf(unix: string): string {
  for (const scheme of ["file://", "unix://"]) if (unix.startsWith(scheme)) return unix.slice(scheme.length);
  return unix;
}

/** The address of a path; undefined for one that is too long. A NUL at the beginning is a name outside of files. */
export function unixAddress(path: string): SockAddr | undefined {
  try {
    return path.startsWith("\0") ? SockAddr.abstract(path.slice(1)) : SockAddr.unix(path);
  } catch {
    return undefined;
  }
}
