/** Listening: one request accepts all connections. */
import { IORING_ACCEPT_MULTISHOT, IORING_OP_ACCEPT } from "../abi/constants.gen.ts";
import { ECANCELED, ECONNABORTED, EINTR, EINVAL } from "../abi/errno.gen.ts";
import { AF_UNIX, SHUT_RDWR, SOCK_CLOEXEC } from "../abi/linux.ts";
import type { Reactor } from "../async/reactor.ts";
import type { Mapping } from "../memory.ts";
import { type Operation, Request } from "../async/request.ts";
import { errnoName } from "../errors.ts";
import type { Cqe } from "../ring/cqe.ts";
import { type Slot, SQE_IOPRIO_SHIFT } from "../ring/prep/slot.ts";
import { unlinkSync } from "node:fs";
import { pathOf, placeOf, unixAddress } from "./addresses.ts";
import { Connection } from "./connection.ts";
import { areHandlers, Handlers, refusalOf } from "./handlers.ts";
import type { Hub, Stoppable } from "./hub.ts";
import { Members } from "./members.ts";
import { disown, disownPath, own, ownPath } from "./owned.ts";
import {
  addressOfSocket,
  bind,
  closeNow,
  takeOver,
  makeSocket,
  setNoDelay,
  shutDown,
  startListening,
} from "./system.ts";

const ACCEPT: Operation = { name: "IORING_OP_ACCEPT", prep: () => undefined, yields: "descriptor", wide: false };

/** Connections that may wait to be accepted, as Bun has it. */
const BACKLOG = 512;
/** How long accepting rests where there are no descriptors or no memory. */
const REST_MS = 100;

/** What a listening socket is made of. */
export interface Base {
  readonly fd: number;
  readonly hostname: string | undefined;
  readonly port: number | undefined;
  readonly unix: string | undefined;
}

/**
 * A listening socket for the internet. Bun makes it, from whatever it makes sense of (names, addresses, flags), and lets
 * go of it before its event loop runs again: so it never accepts a connection.
 *
 * @throws what Bun throws.
 */
export function baseByBun(options: Bun.TCPSocketListenOptions<unknown>): Base {
  const listener = Bun.listen(options) as Bun.TCPSocketListener<unknown> & { readonly fd: number };
  const fd = takeOver(listener.fd);
  const { hostname, port } = listener;
  listener.stop(true);
  if (fd < 0) throw failure(fd, hostname, port);
  // Connections inherit it. Bun turns it on for each of its own.
  setNoDelay(fd, true);
  return { fd, hostname, port, unix: undefined };
}

/** A listening socket for a path. @throws Error as Bun does. */
export function baseOnPath(unix: string): Base {
  const path = pathOf(unix);
  const address = unixAddress(path);
  if (address === undefined) throw failure(-EINVAL, unix, undefined);
  const fd = makeSocket(AF_UNIX);
  if (fd < 0) throw failure(fd, unix, undefined);
  const bound = bind(fd, address);
  const res = bound < 0 ? bound : startListening(fd, BACKLOG);
  if (res >= 0) return { fd, hostname: undefined, port: undefined, unix: path };
  closeNow(fd);
  throw failure(res, unix, undefined);
}

function failure(res: number, address: string, port: number | undefined): Error {
  const about = { syscall: "listen", errno: -res, address, ...(port === undefined ? {} : { port }) };
  return Object.assign(new Error(`Failed to listen at ${address}`), { ...about, code: errnoName(res) });
}

/** A listener: the shape of Bun's. */
export class Listener<Data> implements Stoppable {
  #data: Data;
  readonly #hub: Hub;
  readonly #handlers: Handlers;
  readonly #base: Base;
  readonly #members: Members;
  readonly #accepting: Accepting;
  readonly #halfOpen: boolean;
  #fd: number;
  /** The path, where it is removed with the thread. */
  #owned: Mapping | undefined;

  /** @internal Starts accepting. */
  constructor(shared: Hub, base: Base, handlers: Bun.SocketHandler<Data>, data: Data, halfOpen: boolean) {
    this.#data = data;
    this.#base = base;
    this.#fd = base.fd;
    own(base.fd);
    if (base.unix !== undefined && !isAbstract(base.unix)) this.#owned = ownPath(base.unix);
    this.#hub = shared;
    this.#handlers = new Handlers(handlers as Bun.SocketHandler<unknown>);
    this.#members = new Members(this);
    this.#halfOpen = halfOpen;
    this.#accepting = new Accepting(this.#hub, this.#fd, this.#welcome);
    this.#hub.listeners.add(this);
    this.#accepting.begin();
  }

  readonly #welcome = (fd: number): void => {
    const made = new Connection(this.#hub, fd, this.#handlers, this.#members, this.#data, this.#halfOpen);
    made.begin(this.#base.unix !== undefined);
  };

  /** What sockets start with as their data. */
  get data(): Data {
    return this.#data;
  }

  set data(value: Data) {
    this.#data = value;
  }

  /** Takes no more connections, and with `true` closes those that there are. */
  stop(closeActiveConnections: boolean = false): void {
    if (this.#fd >= 0) {
      this.#hub.listeners.delete(this);
      this.#accepting.end();
      this.#fd = -1;
      const { unix } = this.#base;
      if (this.#owned !== undefined) disownPath(this.#owned);
      this.#owned = undefined;
      if (unix !== undefined) removePath(unix);
    }
    if (closeActiveConnections === true) for (const connection of this.#members.all()) connection.close();
  }

  /** Keeps the process alive while it listens, as it does from the start. */
  ref(): void {
    this.#accepting.keep(true);
  }

  /** No longer keeps the process alive. */
  unref(): void {
    this.#accepting.keep(false);
  }

  /** Replaces the handlers of all its sockets, those that are open included. */
  reload(options: { socket: Bun.SocketHandler<Data> }): void {
    const handlers: unknown = typeof options === "object" && options !== null ? options.socket : undefined;
    if (typeof options !== "object" || options === null) {
      throw Object.assign(new TypeError("Expected options object"), { code: "ERR_INVALID_ARG_TYPE" });
    }
    if (!handlers) throw new Error('Expected "socket" object');
    if (!areHandlers(handlers)) throw refusalOf(handlers);
    this.#handlers.replace(handlers);
  }

  /** The port; of a path there is none. */
  get port(): number | undefined {
    return this.#base.port;
  }

  /** The name or address as it was given. */
  get hostname(): string | undefined {
    return this.#base.hostname;
  }

  /** The path. */
  get unix(): string | undefined {
    return this.#base.unix;
  }

  /** The descriptor, -1 when it is stopped. */
  get fd(): number {
    return this.#fd;
  }

  /** Writes where it listens into an object. */
  getsockname(out: Record<string, unknown>): void {
    if (typeof out !== "object" || out === null) throw new TypeError("Expected object");
    const place = this.#fd < 0 ? undefined : placeOf(addressOfSocket(this.#fd, false));
    if (place !== undefined) Object.assign(out, place);
  }

  /** What it is called. */
  get [Symbol.toStringTag](): string {
    return "Listener";
  }

  /** The same as stop(true). */
  [Symbol.dispose](): void {
    this.stop(true);
  }
}

/** Whether it is no path but a name outside the file system, which goes with its socket. */
function isAbstract(path: string): boolean {
  return path.startsWith("\0");
}

function removePath(path: string): void {
  if (isAbstract(path)) return;
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it.
  }
}

/** The request that accepts. */
class Accepting extends Request {
  readonly #hub: Hub;
  readonly #fd: number;
  readonly #welcome: (fd: number) => void;
  #multishot = true;
  #ended = false;
  #keeps = true;
  /** Whether it rests, and begins again by itself. */
  #rest: Timer | undefined;

  constructor(hub: Hub, fd: number, welcome: (fd: number) => void) {
    super(ACCEPT, undefined, undefined, undefined, undefined, undefined, undefined);
    this.#hub = hub;
    this.#fd = fd;
    this.#welcome = welcome;
  }

  override get keeps(): boolean {
    return this.#keeps;
  }

  begin(): void {
    this.#rest = undefined;
    if (!this.#ended) this.#hub.reactor.enqueue(this);
  }

  override write(sqe: Slot): void {
    const word = this.#multishot ? IORING_OP_ACCEPT | (IORING_ACCEPT_MULTISHOT << SQE_IOPRIO_SHIFT) : IORING_OP_ACCEPT;
    sqe.write(word, this.#fd, 0, 0, 0, SOCK_CLOEXEC);
  }

  keep(on: boolean): void {
    this.#keeps = on;
    this.#hub.reactor.keep(this);
  }

  /** Lets go of the socket: nobody can connect to it from here on. */
  end(): void {
    const { reactor } = this.#hub;
    this.#ended = true;
    clearTimeout(this.#rest);
    // The request holds on to the socket until the kernel has let go of it.
    shutDown(this.#fd, SHUT_RDWR);
    if (this.slot >= 0) reactor.cancel(this);
    else reactor.giveUp(this);
    disown(this.#fd);
    this.#hub.discard(this.#fd);
    // Whoever stops a listener may listen at the same place right after.
    reactor.push();
  }

  complete(reactor: Reactor, cqe: Cqe): void {
    const { res, more } = cqe;
    if (!more) reactor.release(this);
    if (res >= 0 && this.#ended) this.#hub.discard(res);
    else if (res >= 0) this.#welcome(res);
    if (!more && !this.#ended) this.#goOn(res);
  }

  #goOn(res: number): void {
    // Kernel: 5.19 was the first to accept many connections by one request.
    if (res === -EINVAL && this.#multishot) this.#multishot = false;
    else if (res === -EINVAL) return;
    else if (res < 0 && res !== -ECONNABORTED && res !== -EINTR && res !== -ECANCELED) return this.#restAWhile();
    this.begin();
  }

  #restAWhile(): void {
    this.#rest = setTimeout(() => this.begin(), REST_MS);
    if (!this.#keeps) this.#rest.unref();
  }

  fail(): void {}
}
