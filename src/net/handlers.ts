/** What is called when something happens to a socket. */
import { drainMicrotasks } from "bun:jsc";
import { AsyncResource } from "node:async_hooks";
import type { Socket } from "./socket.ts";

type Handler = (this: unknown, socket: unknown, ...args: unknown[]) => unknown;

/** How received data is handed over. */
export type BinaryType = "buffer" | "uint8array" | "arraybuffer";

const names = ["open", "data", "drain", "close", "error", "end", "timeout", "connectError", "handshake"] as const;
const binaryTypes: readonly unknown[] = ["buffer", "uint8array", "arraybuffer"];

/** The handlers of a listener's sockets, or of one that was connected. What replaces them replaces them for all. */
export class Handlers {
  /** A connection is there. */
  open: Handler | undefined;
  /** Data has come. */
  data: Handler | undefined;
  /** There is room again. */
  drain: Handler | undefined;
  /** It is closed. */
  close: Handler | undefined;
  /** A handler has thrown. */
  error: Handler | undefined;
  /** The peer sends nothing more. */
  end: Handler | undefined;
  /** The time is up. */
  timeout: Handler | undefined;
  /** There is no connection. */
  connectError: Handler | undefined;
  /** How data is handed over. */
  binaryType: BinaryType = "buffer";

  /** Where handlers are called as where they were given: AsyncLocalStorage has there what it had then. */
  scope: AsyncResource = new AsyncResource("SOCKET");

  /** Takes those of an object that {@link areHandlers} has approved of. */
  constructor(from: Bun.SocketHandler<unknown>) {
    this.replace(from);
  }

  /** Takes other ones. */
  replace(from: Bun.SocketHandler<unknown>): void {
    this.scope = new AsyncResource("SOCKET");
    this.open = orNone(from.open);
    this.data = orNone(from.data);
    this.drain = orNone(from.drain);
    this.close = orNone(from.close);
    this.error = orNone(from.error);
    this.end = orNone(from.end);
    this.timeout = orNone(from.timeout);
    this.connectError = orNone(from.connectError);
    this.binaryType = from.binaryType ?? "buffer";
  }
}

function orNone(handler: unknown): Handler | undefined {
  return typeof handler === "function" ? (handler as Handler) : undefined;
}

/** Whether something is handlers as the types have them. What is not is Bun's to refuse, or to make sense of. */
export function areHandlers(value: unknown): value is Bun.SocketHandler<unknown> {
  if (typeof value !== "object" || value === null) return false;
  const from = value as Record<string, unknown>;
  for (const name of names) {
    const handler = from[name];
    if (handler !== undefined && handler !== null && typeof handler !== "function") return false;
  }
  if (from["binaryType"] !== undefined && !binaryTypes.includes(from["binaryType"])) return false;
  return typeof from["data"] === "function" || typeof from["drain"] === "function";
}

/** What Bun says to handlers that {@link areHandlers} does not approve of. */
export function refusalOf(handlers: unknown): unknown {
  try {
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: handlers as Bun.SocketHandler<unknown> }).stop(true);
  } catch (error) {
    return error;
  }
  return new TypeError("Cannot use these handlers: they are not functions");
}

/** Calls a handler of a socket's. What it throws goes to the error handler; whether it threw. */
export function tell(handlers: Handlers, handler: Handler, socket: Socket<unknown>): boolean {
  try {
    handlers.scope.runInAsyncScope(handler, socket, socket);
    return false;
  } catch (error) {
    return tellError(handlers, socket, error);
  }
}

/** The same with an argument. */
export function tellOf(handlers: Handlers, handler: Handler, socket: Socket<unknown>, argument: unknown): boolean {
  try {
    handlers.scope.runInAsyncScope(handler, socket, socket, argument);
    return false;
  } catch (error) {
    return tellError(handlers, socket, error);
  }
}

function tellError(handlers: Handlers, socket: Socket<unknown>, error: unknown): true {
  try {
    // What nobody here catches is the process's to catch.
    if (handlers.error === undefined) reportError(error);
    else handlers.scope.runInAsyncScope(handlers.error, socket, socket, error);
  } catch (another) {
    reportError(another);
  }
  return true;
}

/**
 * Has promises go on that handlers have settled, as the event loop does after each of its callbacks: what a handler
 * awaits is done before the next one is called.
 */
export function settlePromises(): void {
  drainMicrotasks();
}
