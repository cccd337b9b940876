/** What users have of a connection: the shape of Bun's sockets. */
import { placeOf, type Place } from "./addresses.ts";
import { partOf } from "./bytes.ts";
import type { Connection } from "./connection.ts";
import { areHandlers } from "./handlers.ts";
import { PlainSocket } from "./plain.ts";
import { CLOSES_AFTER_DRAIN, IS_OPEN, IS_SHUT } from "./states.ts";
import { addressOfSocket, setKeepAlive, setNoDelay, setTypeOfService, typeOfService } from "./system.ts";

const MOST_SECONDS = 2 ** 31 - 1;

/** A connection, as handlers and whoever connects are given it. See Bun's types for what each member does. */
export class Socket<Data> extends PlainSocket {
  /** The user's own. */
  data: Data;
  readonly #connection: Connection;
  /** What cannot be asked any more when it is closed. */
  #remote: Place | undefined;

  /** @internal Connections make them. */
  constructor(connection: Connection, data: Data) {
    super();
    this.#connection = connection;
    this.data = data;
  }

  /** Sends; how many bytes were taken, the rest being for after drain; -1 where nothing can be sent any more. */
  write(data: unknown, byteOffset?: unknown, byteLength?: unknown): number {
    const connection = this.#connection;
    if ((connection.state & (IS_OPEN | IS_SHUT)) !== IS_OPEN) return -1;
    let taken: number;
    if (byteOffset !== undefined || byteLength !== undefined) taken = this.#writePart(data, byteOffset, byteLength);
    else if (typeof data === "string") taken = connection.hub.outbox.writeText(connection, data);
    else if (data instanceof Uint8Array) taken = connection.hub.outbox.write(connection, data, 0, data.length);
    else taken = this.#writePart(data, byteOffset, byteLength);
    connection.bytesWritten += taken;
    return taken;
  }

  #writePart(data: unknown, byteOffset: unknown, byteLength: unknown): number {
    const { bytes, offset, length } = partOf(data, byteOffset, byteLength, "write");
    return this.#connection.hub.outbox.write(this.#connection, bytes, offset, length);
  }

  /** Sends a last piece and closes; what does not fit at once is not sent. */
  end(data?: unknown, byteOffset?: unknown, byteLength?: unknown): number {
    const connection = this.#connection;
    if ((connection.state & (IS_OPEN | IS_SHUT)) !== IS_OPEN) return -1;
    const { bytes, offset, length } = partOf(data, byteOffset, byteLength, "end");
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
    if (!areHandlers(handlers)) throw wantsHandlers();
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
    return (this.#connection.state & IS_OPEN) === 0 ? undefined : placeOf(addressOfSocket(this.#connection.fd, false));
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

  /** Has small writes leave at once, as they do from the start; whether it is open. */
  setNoDelay(noDelay: boolean = true): boolean {
    if ((this.#connection.state & IS_OPEN) === 0) return false;
    setNoDelay(this.#connection.fd, noDelay);
    return true;
  }

  /** Has the kernel look after a silent peer, after so many milliseconds; whether that could be set. */
  setKeepAlive(enable: boolean = false, initialDelay: number = 0): boolean {
    checkNumber("initialDelay", initialDelay, Number.MAX_SAFE_INTEGER);
    if ((this.#connection.state & IS_OPEN) === 0) return false;
    return setKeepAlive(this.#connection.fd, enable, Math.trunc(initialDelay / 1000));
  }

  /** The type of service of its packets. */
  getTypeOfService(): number {
    const family = this.#local()?.family;
    return family === undefined ? 0 : Math.max(typeOfService(this.#connection.fd, family), 0);
  }

  /** Sets it; 0, or the failure's number. */
  setTypeOfService(tos: number = 0): number {
    checkNumber("tos", tos, 255);
    const family = this.#local()?.family;
    return family === undefined ? 0 : setTypeOfService(this.#connection.fd, family, tos);
  }

  /** What it is called. */
  get [Symbol.toStringTag](): string {
    return "TCPSocket";
  }

  /** The same as end(). */
  [Symbol.dispose](): void {
    this.end();
  }
}

/** What Bun says to handlers with neither data nor drain. */
export function wantsHandlers(): TypeError {
  const message = 'Expected at least "data" or "drain" callback';
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}

function checkNumber(name: string, value: unknown, most: number): void {
  if (typeof value !== "number") {
    const message = `The "${name}" property must be of type number. Received ${typeof value}`;
    throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
  }
  if (value >= 0 && value <= most) return;
  const message = `The value of "${name}" is out of range. It must be >= 0 and <= ${most}. Received ${value}`;
  throw Object.assign(new RangeError(message), { code: "ERR_OUT_OF_RANGE" });
}
