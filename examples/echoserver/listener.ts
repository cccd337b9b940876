/**
 * A listening socket as entry 0 of the ring's table of registered files: no descriptor of the process leads to it, and
 * it is gone when the ring is closed.
 *
 * From Linux 6.11 on the ring does all of it. Before, only the C library's way leads to a listening socket, and in this
 * process Bun is who can go it: Bun.listen makes one, the ring takes hold of it, and Bun lets go.
 */
import { linkSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  errnoMessage,
  errnoName,
  IORING_OP_BIND,
  IORING_OP_LISTEN,
  IPPROTO_TCP,
  type Ring,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_STREAM,
  SockAddr,
  SOCKET_URING_OP_SETSOCKOPT,
  SOL_SOCKET,
  TCP_NODELAY,
  UringError,
} from "bun-uring";

/** Where the listening socket is in the table of registered files. */
export const LISTENER = 0;

/** Connections that may wait to be accepted; the kernel takes no more than net.core.somaxconn. */
const BACKLOG = 4096;

/** Where to listen for TCP. */
interface TcpEndpoint {
  readonly family: 4 | 6;
  /** A numeric address. */
  readonly address: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Whether other workers listen on the same port, so that the kernel spreads connections over all of them. */
  readonly shared: boolean;
}

/** Where to listen. */
export type Endpoint = TcpEndpoint | { readonly family: "unix"; readonly path: string };

/** The value that turns a socket option on. The kernel reads it when the request runs, so it stays for good. */
const ON = Int32Array.of(1);

/** Address and port, or the path, as people write them. */
export function nameOf(endpoint: Endpoint): string {
  if (endpoint.family === "unix") return endpoint.path;
  const { address, family, port } = endpoint;
  return family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Whether the kernel can bind and listen through a ring. */
export function ringListens(ring: Ring): boolean {
  return ring.supports(IORING_OP_BIND) && ring.supports(IORING_OP_LISTEN);
}

/**
 * Makes a listening socket in place {@link LISTENER} of the ring's table of registered files.
 *
 * @param throughRing whether the ring does it, or Bun.
 * @returns the port; 0 for a path.
 * @throws Error where the address is in use, is not this machine's, and so on.
 */
export function listen(ring: Ring, endpoint: Endpoint, throughRing: boolean): number {
  try {
    return throughRing ? listenThroughRing(ring, endpoint) : listenThroughBun(ring, endpoint);
  } catch (error) {
    const { errno } = error as { readonly errno?: unknown };
    if (typeof errno !== "number") throw error;
    throw new Error(`Cannot listen on ${nameOf(endpoint)}: ${errnoName(errno)}: ${errnoMessage(errno)}`);
  }
}

function listenThroughRing(ring: Ring, endpoint: Endpoint): number {
  // One chain, one system call: each starts when the one before it has succeeded, and a chain is submitted whole.
  ring.reserve(6);
  const before = ring.sqReady();
  const [domain, at] = addressOf(endpoint);
  ring.prepSocketDirect(domain, SOCK_STREAM, 0, LISTENER).link();
  if (endpoint.family !== "unix") queueOptions(ring, endpoint.shared);
  ring.prepBind(LISTENER, at).fixedFile().link();
  ring.prepListen(LISTENER, BACKLOG).fixedFile();
  for (let left = ring.sqReady() - before; left > 0; left--) {
    // The first that fails says why; those after it are cancelled.
    const result = nextResult(ring);
    if (result < 0) throw new UringError(result, "listen");
  }
  if (endpoint.family === "unix") return 0;
  return endpoint.port === 0 ? portOf(ring) : endpoint.port;
}

/** The kind of socket, and what to bind it to. */
function addressOf(endpoint: Endpoint): [domain: number, at: SockAddr] {
  switch (endpoint.family) {
    case 4:
      return [AF_INET, SockAddr.ipv4(endpoint.address, endpoint.port)];
    case 6:
      return [AF_INET6, SockAddr.ipv6(endpoint.address, endpoint.port)];
    case "unix":
      return [AF_UNIX, SockAddr.unix(endpoint.path)];
  }
}

function queueOptions(ring: Ring, shared: boolean): void {
  const option = (level: number, name: number): void => {
    ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, LISTENER, level, name, ON).fixedFile().link();
  };
  option(SOL_SOCKET, SO_REUSEADDR);
  if (shared) option(SOL_SOCKET, SO_REUSEPORT);
  // Accepted connections inherit it: an answer should not wait for the acknowledgement of the one before.
  option(IPPROTO_TCP, TCP_NODELAY);
}

function listenThroughBun(ring: Ring, endpoint: Endpoint): number {
  const socket = { data(): void {} };
  if (endpoint.family === "unix") {
    const { path } = endpoint;
    takeOver(ring, Bun.listen({ unix: path, socket }), () => {
      // Bun removes the path when it lets go, so the socket gets a second one before, to be moved to the first.
      const second = `${path}.${process.pid}`;
      linkSync(path, second);
      return () => renameSync(second, path);
    });
    return 0;
  }
  const { address: hostname, port, shared: reusePort } = endpoint;
  // Bun: 1.4.5 has `reusePort`, but its types do not; test/examples/echoserver.test.ts shows that it works.
  const options = { hostname, port, reusePort, socket };
  const listener = Bun.listen(options);
  const chosen = listener.port;
  takeOver(ring, listener);
  return chosen;
}

/**
 * Has the ring keep Bun's listening socket open, and Bun let go of it. Bun's event loop has not run since it listens and
 * does not run before this is over, so Bun never accepts a connection.
 *
 * @param before done while Bun still has it; what it returns is done afterwards.
 */
function takeOver(ring: Ring, listener: Bun.SocketListener, before?: () => () => void): void {
  // Bun: 1.4.5 has `fd`, but its types do not.
  ring.registerFilesUpdate(LISTENER, [(listener as Bun.SocketListener & { readonly fd: number }).fd]);
  const after = before?.();
  listener.stop(true);
  after?.();
}

/** The port that the kernel chose. */
function portOf(ring: Ring): number {
  const at = SockAddr.empty();
  ring.prepCmdGetsockname(LISTENER, at, at.lengthCell).fixedFile();
  if (nextResult(ring) >= 0) return (at.value as { readonly port: number }).port;
  // Kernel: before 6.19 the ring cannot ask. But a descriptor tells the socket's inode, and the kernel's lists of
  // sockets have its port.
  ring.prepFixedFdInstall(LISTENER);
  const fd = nextResult(ring);
  if (fd < 0) throw new UringError(fd, "IORING_OP_FIXED_FD_INSTALL");
  const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[0];
  ring.prepClose(fd);
  nextResult(ring);
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    for (const line of readFileSync(table, "utf8").split("\n")) {
      const fields = line.trim().split(/\s+/);
      // Number, local address and port, remote ones, state, queues, timer, retransmissions, user, time-out, inode.
      if (fields[9] === inode) return Number.parseInt(fields[1]?.split(":")[1] ?? "", 16);
    }
  }
  throw new Error("Cannot tell which port the kernel chose: /proc/self/net does not list the socket");
}

/** Submits what is queued and waits for a completion: its result. */
function nextResult(ring: Ring): number {
  if (ring.sqReady() > 0) ring.submit();
  let cqe = ring.waitCqe();
  // A signal may have ended the wait.
  while (cqe === null) cqe = ring.waitCqe();
  const { res } = cqe;
  ring.seenCqe();
  return res;
}
