/** What users have of a connection: the shape of Bun's sockets. */
import { placeOf, type Place } from "./addresses.ts";
import { outOfRange, partOf } from "./bytes.ts";
import type { Connection } from "./connection.ts";
import { areHandlers, refusalOf } from "./handlers.ts";
import { PlainSocket } from "./plain.ts";
import { CLOSES_AFTER_DRAIN, IS_OPEN, IS_SHUT } from "./states.ts";
import { addressOfSocket, setKeepAlive, setNoDelay, setTypeOfService, typeOfService } from "./system.ts";

const MOST_SECONDS = 2 ** 31 - 1;
const MOST_MS = 2 ** 31 - 1;

/** A connection, as handlers and whoever connects are given it. See Bun's types for what each member does. */
export class Socket<Data> extends PlainSocket {
  #data: Data;
  readonly #connection: Connection;
  // What cannot be asked any more when it is closed.
  #remote: Place | undefined;
  #own: Place | undefined;

  /** @internal Connections make them. */
  constructor(connection: Connection, data: Data) {
    super();
    this.#connection = connection;
    this.#data = data;
  }

  /** The user's own. */
  get data(): Data {
    return this.#data;
  }

  set data(value: Data) {
    this.#data = value;
  }

  /** Sends; how many bytes were taken, the rest being for after drain; -1 where nothing can be sent any more. */
  write(data: unknown, byteOffset?: unknown, byteLength?: unknown, encoding: unknown = undefined): number {
    const connection = this.#connection;
    if ((connection.state & (IS_OPEN | IS_SHUT)) !== IS_OPEN) {
      if ((connection.state & IS_OPEN) === 0) return -1;
      // Bun looks at what it is given for as long as it could still receive.
      partOf(data, byteOffset, byteLength, encoding, "write");
      return data === undefined ? 0 : -1;
    }
    let taken: number;
    if (byteOffset !== undefined || byteLength !== undefined || encoding !== undefined) {
      taken = this.#writePart(data, byteOffset, byteLength, encoding);
    } else if (typeof data === "string") taken = connection.hub.outbox.writeText(connection, data);
    else if (data instanceof Uint8Array) taken = connection.hub.outbox.write(connection, data, 0, data.length);
    else taken = this.#writePart(data, byteOffset, byteLength, undefined);
    connection.bytesWritten += taken;
    return taken;
  }

  #writePart(data: unknown, byteOffset: unknown, byteLength: unknown, encoding: unknown): number {
    const { bytes, offset, length } = partOf(data, byteOffset, byteLength, encoding, "write");
    return this.#connection.hub.outbox.write(this.#connection, bytes, offset, length);
  }

  /** Sends a last piece and closes; what does not fit at once is not sent. */
  end(data?: unknown, byteOffset?: unknown, byteLength?: unknown, encoding: unknown = undefined): number {
    const connection = this.#connection;
    if ((connection.state & IS_OPEN) === 0) return -1;
    const { bytes, offset, length } = partOf(data, byteOffset, byteLength, encoding, "end");
    if ((connection.state & IS_SHUT) !== 0 && data !== undefined) return -1;
    const taken = connection.hub.outbox.write(connection, bytes, offset, length);
    connection.bytesWritten += taken;
    if (taken === length) connection.close();
    else connection.state |= CLOSES_AFTER_DRAIN;
    return taken;
  }

  /** Closes. What was taken is sent before. */
  close(): void {
    this.#connection.close();
  }

  /** Breaks the connection off. */
  terminate(): void {
    this.#connection.terminate();
  }

  /** Tells the peer that nothing more comes, or with `true` takes nothing more. */
  shutdown(halfClose?: boolean): void {
    if (halfClose === true) this.#connection.shutReading();
    else this.#connection.shut();
  }

  /** Sends at once what was written. */
  flush(): void {
    if ((this.#connection.state & IS_OPEN) !== 0) this.#connection.hub.outbox.flush(this.#connection);
  }

  /** Has the timeout handler called after so many seconds, never for 0. */
  timeout(seconds: number): void {
    if (arguments.length === 0) throw new Error("Expected 1 argument, got 0");
    const whole = Math.trunc(Number(seconds)) || 0;
    if (whole < 0) throw new Error("Timeout must be a positive integer");
    const connection = this.#connection;
    if ((connection.state & IS_OPEN) !== 0) connection.hub.clock.set(connection, Math.min(whole, MOST_SECONDS));
  }

  /** Keeps the process alive while it is open, as it does from the start. */
  ref(): void {
    if ((this.#connection.state & IS_OPEN) !== 0) this.#connection.keep(true);
  }

  /** No longer keeps the process alive. */
  unref(): void {
    if ((this.#connection.state & IS_OPEN) !== 0) this.#connection.keep(false);
  }

  /** Leaves what comes to the kernel. */
  pause(): void {
    this.#connection.pause();
  }

  /** Takes what comes again. */
  resume(): void {
    this.#connection.resume();
  }

  /** Replaces the handlers: those of all of a listener's sockets at once. */
  reload(options: { socket: Bun.SocketHandler<Data> }): void {
    if (typeof options !== "object" || options === null) throw new Error("Expected options object");
    const handlers: unknown = options.socket;
    if (!handlers) throw new Error('Expected "socket" option');
    if (!areHandlers(handlers)) throw refusalOf(handlers);
    this.#connection.handlers.replace(handlers);
  }

  /** 1 while it is open, -1 when it is closed. */
  get readyState(): 1 | -1 {
    return (this.#connection.state & IS_OPEN) !== 0 ? 1 : -1;
  }

  /** The listener that has accepted it, while it is open. */
  get listener(): unknown {
    return (this.#connection.state & IS_OPEN) !== 0 ? this.#connection.members.owner : undefined;
  }

  /** How many bytes were taken to be sent. */
  get bytesWritten(): number {
    return this.#connection.bytesWritten;
  }

  /** The descriptor, -1 when it is closed. */
  get fd(): number {
    return (this.#connection.state & IS_OPEN) !== 0 ? this.#connection.fd : -1;
  }

  #local(): Place | undefined {
    if ((this.#connection.state & IS_OPEN) === 0) return this.#own;
    return (this.#own ??= placeOf(addressOfSocket(this.#connection.fd, false)));
  }

  #peer(): Place | undefined {
    if ((this.#connection.state & IS_OPEN) === 0) return this.#remote;
    return (this.#remote ??= placeOf(addressOfSocket(this.#connection.fd, true)));
  }

  /** The peer's address; of a path there is none. */
  get remoteAddress(): string | undefined {
    return this.#peer()?.address;
  }

  /** The peer's port, while it is open. */
  get remotePort(): number | undefined {
    return (this.#connection.state & IS_OPEN) === 0 ? undefined : this.#peer()?.port;
  }

  /** IPv4 or IPv6. */
  get remoteFamily(): "IPv4" | "IPv6" | undefined {
    return this.#peer()?.family;
  }

  /** This end's address. */
  get localAddress(): string | undefined {
    return this.#local()?.address;
  }

  /** This end's port. */
  get localPort(): number | undefined {
    return this.#local()?.port;
  }

  /** IPv4 or IPv6. */
  get localFamily(): "IPv4" | "IPv6" | undefined {
    return this.#local()?.family;
  }

  /** Has small writes leave at once, as they do from the start; whether it is open. Only nothing at all means true. */
  setNoDelay(noDelay?: boolean): boolean {
    if ((this.#connection.state & IS_OPEN) === 0) return false;
    setNoDelay(this.#connection.fd, arguments.length === 0 || Boolean(noDelay));
    return true;
  }

  /** Has the kernel look after a silent peer, after so many milliseconds; whether that could be set. */
  setKeepAlive(enable?: boolean, initialDelay?: number): boolean {
    const delayMs = delayOf(initialDelay);
    if ((this.#connection.state & IS_OPEN) === 0) return false;
    return setKeepAlive(this.#connection.fd, Boolean(enable), Math.trunc(delayMs / 1000));
  }

  /** The type of service of its packets. */
  getTypeOfService(): number {
    const family = this.#local()?.family;
    return family === undefined ? 0 : Math.max(typeOfService(this.#connection.fd, family), 0);
  }

  /** Sets it; 0, or the failure's number. */
  setTypeOfService(tos?: number): number {
    const value = tos ?? 0;
    checkType("tos", value);
    if (!(value >= 0 && value <= 255)) throw outOfRange("tos", 255, value);
    const family = this.#local()?.family;
    return family === undefined ? 0 : setTypeOfService(this.#connection.fd, family, value);
  }

  /** What it is called. */
  get [Symbol.toStringTag](): string {
    return "TCPSocket";
  }

  /** The same as end(). */
  [Symbol.dispose](): number {
    return this.end();
  }
}

/** The delay of a first keepalive probe as Bun takes it: whole milliseconds that fit 31 bits. */
function delayOf(value: unknown): number {
  if (value === undefined) return 0;
  checkType("initialDelay", value);
  if (Number.isNaN(value)) return 0;
  if (!Number.isInteger(value)) {
    const message = 'The "initialDelay" property must be of type integer. Received number';
    throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
  }
  if (value < 0 || value > MOST_MS) throw outOfRange("initialDelay", Number.MAX_SAFE_INTEGER, value);
  return value;
}

function checkType(name: string, value: unknown): asserts value is number {
  if (typeof value === "number") return;
  const message = `The "${name}" property must be of type number. Received ${typeof value}`;
  throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}
