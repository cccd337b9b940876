/** Connecting. */
import { ECANCELED, ECONNREFUSED, ECONNRESET, EINVAL } from "../abi/errno.gen.ts";
import { AF_INET6, AF_INET, AF_UNIX } from "../abi/linux.ts";
import type { Reactor } from "../async/reactor.ts";
import { type Operation, Request } from "../async/request.ts";
import { errnoName } from "../errors.ts";
import { prepConnect } from "../ring/prep/net.ts";
import type { Cqe } from "../ring/cqe.ts";
import type { SockAddr } from "../ring/sockaddr.ts";
import { parse, pathOf, resolve, unixAddress } from "./addresses.ts";
import { Connection } from "./connection.ts";
import { type Handlers, settlePromises } from "./handlers.ts";
import { hub, type Hub } from "./hub.ts";
import type { CalledBack } from "./outbox.ts";
import { Socket } from "./socket.ts";
import { closeNow, makeSocket, setNoDelay } from "./system.ts";

const CONNECT: Operation = { name: "IORING_OP_CONNECT", prep: prepConnect, yields: "count", wide: false };

/** Where to connect to. */
export type Target = { readonly unix: string } | { readonly hostname: string; readonly port: number };

/** Connects. The handlers' open is called before whoever awaits the promise goes on. */
export class Connecting implements CalledBack {
  /** Resolves to the socket. */
  readonly promise: Promise<Socket<unknown>>;
  readonly #hub: Hub = hub();
  readonly #handlers: Handlers;
  readonly #data: unknown;
  readonly #halfOpen: boolean;
  readonly #resolve: (socket: Socket<unknown>) => void;
  readonly #reject: (error: unknown) => void;
  /** What is still to be tried. */
  #addresses: readonly SockAddr[] = [];
  #family = AF_UNIX;
  #fd = -1;
  #res = 0;

  /** Starts. */
  constructor(target: Target, handlers: Handlers, data: unknown, halfOpen: boolean) {
    this.#handlers = handlers;
    this.#data = data;
    this.#halfOpen = halfOpen;
    const { promise, resolve: settle, reject } = Promise.withResolvers<Socket<unknown>>();
    this.promise = promise;
    this.#resolve = settle;
    this.#reject = reject;
    if ("unix" in target) this.#connectToPath(target.unix);
    else this.#connectToHost(target.hostname, target.port);
  }

  #connectToHost(hostname: string, port: number): void {
    const address = parse(hostname, port);
    if (address === undefined) void this.#connectToName(hostname, port);
    else this.#connectTo(address);
  }

  #connectTo(address: SockAddr): void {
    this.#addresses = [address];
    this.#tryNext(-EINVAL);
  }

  #connectToPath(unix: string): void {
    const address = unixAddress(pathOf(unix));
    if (address === undefined) {
      // Handlers are never called before this call has returned.
      queueMicrotask(() => this.#fail(failureOf(-EINVAL)));
      return;
    }
    this.#connectTo(address);
  }

  async #connectToName(hostname: string, port: number): Promise<void> {
    this.#hub.reactor.hold();
    try {
      this.#addresses = await resolve(hostname, port);
    } catch (error) {
      return this.#fail(error);
    } finally {
      this.#hub.reactor.unhold();
    }
    this.#tryNext(-ECONNREFUSED);
  }

  /** Tries the next address. @param last what became of the one before. */
  #tryNext(last: number): void {
    const [address, ...others] = this.#addresses;
    if (address === undefined) return this.#fail(failureOf(last));
    this.#addresses = others;
    this.#family = familyOf(address);
    const fd = makeSocket(this.#family);
    if (fd < 0) return this.#tryNext(fd);
    if (this.#family !== AF_UNIX) setNoDelay(fd, true);
    this.#hub.reactor.enqueue(new Attempt(fd, address, this.#answered));
  }

  readonly #answered = (fd: number, res: number): void => {
    // One that was accepted and reset before the kernel told of it was a connection.
    if (res < 0 && res !== -ECONNRESET) {
      this.#hub.discard(fd);
      this.#tryNext(res);
      settlePromises();
      return;
    }
    this.#fd = fd;
    this.#res = res;
    // A listener of this thread has its say first, as it has with Bun.
    this.#hub.outbox.callBack(this);
  };

  /** There is a connection. */
  calledBack(): void {
    const { clients, reactor } = this.#hub;
    if (reactor.closing) {
      closeNow(this.#fd);
      return this.#fail(failureOf(-ECANCELED));
    }
    const made = new Connection(this.#hub, this.#fd, this.#handlers, clients, this.#data, this.#halfOpen);
    this.#resolve(made.socket);
    made.begin(this.#family === AF_UNIX, this.#res);
  }

  #fail(error: unknown): void {
    const { connectError } = this.#handlers;
    if (connectError !== undefined) {
      // Whoever is told here need not look at the promise.
      this.promise.catch(() => undefined);
      const { socket } = Connection.closed(this.#hub, this.#handlers, this.#data);
      try {
        connectError.call(socket, socket, error);
      } catch (another) {
        return this.#reject(another);
      }
    }
    this.#reject(error);
  }
}

function familyOf(address: SockAddr): number {
  const { family } = address.value;
  return family === "ipv4" ? AF_INET : family === "ipv6" ? AF_INET6 : AF_UNIX;
}

function failureOf(res: number): Error {
  return Object.assign(new Error("Failed to connect"), { code: errnoName(res), syscall: "connect", errno: res });
}

class Attempt extends Request {
  readonly #fd: number;
  readonly #answered: (fd: number, res: number) => void;

  constructor(fd: number, address: SockAddr, answered: (fd: number, res: number) => void) {
    super(CONNECT, fd, address, undefined, undefined, undefined, undefined);
    this.#fd = fd;
    this.#answered = answered;
  }

  complete(reactor: Reactor, cqe: Cqe): void {
    const { res } = cqe;
    reactor.release(this);
    this.#answered(this.#fd, res);
  }

  fail(error: unknown): void {
    const { errno = -EINVAL } = error as { errno?: number };
    queueMicrotask(() => this.#answered(this.#fd, errno));
  }
}
