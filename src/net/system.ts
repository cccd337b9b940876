/**
 * The calls about sockets that are made at once. Kernels whose rings can bind and listen (6.11) or tell addresses (6.19)
 * are few, what people ask of a socket is answered on the spot, and none of it is on the way of data, but for long
 * writes.
 */
import {
  IPPROTO_IP,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  POLLRDHUP,
  SIZEOF_SOCKADDR_STORAGE,
  SIZEOF_TIMESPEC,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "../abi/linux.ts";
import { Mapping } from "../memory.ts";
import { SockAddr, type SocketAddress } from "../ring/sockaddr.ts";
import { syscalls } from "../../syscall/shim.ts";

/** The calls' numbers. */
const [FCNTL, SOCKET, SENDTO, RECVFROM, SHUTDOWN, BIND, LISTEN, GETSOCKNAME, GETPEERNAME, SETSOCKOPT, GETSOCKOPT] =
  process.arch === "arm64"
    ? ([25, 198, 206, 207, 210, 200, 201, 204, 205, 208, 209] as const)
    : ([72, 41, 44, 45, 48, 49, 50, 51, 52, 54, 55] as const);

/** ppoll(2), which both kinds of processor have. */
const PPOLL = process.arch === "arm64" ? 73 : 271;
/** Bytes of a struct pollfd: descriptor, events asked for and events seen. */
const POLLFD_BYTES = 8;
/** How many descriptors are asked about by one call. */
const POLL_MOST = 1024;

/** fcntl(2): the lowest free descriptor, closed by exec. */
const F_DUPFD_CLOEXEC = 1030;
/** The same: the flags. */
const F_SETFL = 4;
const IP_TOS = 1;
const IPV6_TCLASS = 67;
const IPPROTO_IPV6 = 41;

/** What Bun sets beside SO_KEEPALIVE. */
const KEEPALIVE_PROBES = 10;
const KEEPALIVE_INTERVAL_SECONDS = 1;

/** What {@link pollEnds} asks with. */
let pollRoom: Mapping | undefined;
/** Room for one address or option at a time: nothing here waits. */
let scratch: Mapping | undefined;
/** The length of it, behind it. */
const LENGTH_AT = SIZEOF_SOCKADDR_STORAGE;

function room(): Mapping {
  return (scratch ??= Mapping.anonymous(4096));
}

function call(number: number, a: number, b: number, c: number, d: number, e: number): number {
  return syscalls().call(number, a, b, c, d, e);
}

/** A stream socket: its descriptor, or -errno. */
export function makeSocket(family: number): number {
  return call(SOCKET, family, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0);
}

/** Another descriptor of the same socket, which blocks from now on: its descriptor, or -errno. */
export function takeOver(fd: number): number {
  const own = call(FCNTL, fd, F_DUPFD_CLOEXEC, 0, 0, 0);
  // Kernel: where it does not, accepting through a ring does not wait either, on kernels of 5.10's age.
  if (own >= 0) call(FCNTL, own, F_SETFL, 0, 0, 0);
  return own;
}

/** close(2). */
export function closeNow(fd: number): void {
  syscalls().close(fd);
}

/** bind(2). */
export function bind(fd: number, address: SockAddr): number {
  return call(BIND, fd, address.address, address.length, 0, 0);
}

/** listen(2). */
export function startListening(fd: number, backlog: number): number {
  return call(LISTEN, fd, backlog, 0, 0, 0);
}

/** shutdown(2). */
export function shutDown(fd: number, how: number): number {
  return call(SHUTDOWN, fd, how, 0, 0, 0);
}

/** send(2) of what can be sent without waiting: how much that was, or -errno. */
export function sendNow(fd: number, address: number, length: number): number {
  return call(SENDTO, fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL, 0);
}

/** recv(2) of what is there: how much that was, 0 at the end, or -errno. */
export function receiveNow(fd: number, address: number, length: number): number {
  return call(RECVFROM, fd, address, length, MSG_DONTWAIT, 0);
}

function setOption(fd: number, level: number, name: number, value: number): number {
  const memory = room();
  memory.words[0] = value;
  return call(SETSOCKOPT, fd, level, name, memory.address, 4);
}

/** An option's number, or -errno. */
function option(fd: number, level: number, name: number): number {
  const memory = room();
  memory.words[0] = 0;
  memory.words[LENGTH_AT / 4] = 4;
  const result = call(GETSOCKOPT, fd, level, name, memory.address, memory.address + LENGTH_AT);
  return result < 0 ? result : (memory.words[0] as number);
}

/** TCP_NODELAY, for sockets that have it. */
export function setNoDelay(fd: number, on: boolean): void {
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

/** SO_KEEPALIVE and what belongs to it; whether it could be set. */
export function setKeepAlive(fd: number, on: boolean, delaySeconds: number): boolean {
  if (setOption(fd, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0) < 0) return false;
  if (!on || delaySeconds === 0) return true;
  return (
    setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, delaySeconds) === 0 &&
    setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS) === 0 &&
    setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES) === 0
  );
}

/** The type of service that packets carry, or -errno. */
export function typeOfService(fd: number, family: string): number {
  return family === "IPv6" ? option(fd, IPPROTO_IPV6, IPV6_TCLASS) : option(fd, IPPROTO_IP, IP_TOS);
}

/** Has packets carry a type of service; 0 or -errno. */
export function setTypeOfService(fd: number, family: string, value: number): number {
  return family === "IPv6" ? setOption(fd, IPPROTO_IPV6, IPV6_TCLASS, value) : setOption(fd, IPPROTO_IP, IP_TOS, value);
}

/** Has closing break the connection off at once. */
export function breakOnClose(fd: number): void {
  const memory = room();
  memory.words[0] = 1;
  memory.words[1] = 0;
  call(SETSOCKOPT, fd, SOL_SOCKET, SO_LINGER, memory.address, 8);
}

/** The socket's pending error as -errno, which is none from then on; 0 where there is none. */
export function takeError(fd: number): number {
  return -Math.abs(option(fd, SOL_SOCKET, SO_ERROR));
}

/**
 * Asks which sockets' peers send nothing more, or are gone: those of `sockets` from `from` on, as many as go into one
 * call. Of one that is closed (-1) nothing is said.
 *
 * @param tell is called for each of them, in order.
 * @returns how many those were.
 */
export function pollEnds<T extends { readonly fd: number }>(
  sockets: readonly T[],
  from: number,
  tell: (socket: T, ended: boolean) => void,
): number {
  const { words, address } = (pollRoom ??= Mapping.anonymous(POLL_MOST * POLLFD_BYTES + SIZEOF_TIMESPEC));
  const count = Math.min(sockets.length - from, POLL_MOST);
  for (let i = 0; i < count; i++) {
    words[i * 2] = (sockets[from + i] as T).fd;
    words[i * 2 + 1] = POLLRDHUP;
  }
  // The time limit behind them is zero.
  call(PPOLL, address, count, address + POLL_MOST * POLLFD_BYTES, 0, 0);
  for (let i = 0; i < count; i++) tell(sockets[from + i] as T, (words[i * 2 + 1] as number) >>> 16 !== 0);
  return count;
}

/** Where a socket, or with `peer` the other end, is; undefined where that cannot be told. */
export function addressOfSocket(fd: number, peer: boolean): SocketAddress | undefined {
  const memory = room();
  memory.words[LENGTH_AT / 4] = SIZEOF_SOCKADDR_STORAGE;
  const number = peer ? GETPEERNAME : GETSOCKNAME;
  if (call(number, fd, memory.address, memory.address + LENGTH_AT, 0, 0) < 0) return undefined;
  return SockAddr.parse(memory.bytes, memory.words[LENGTH_AT / 4]);
}
