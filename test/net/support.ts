/** Runs one case with Bun's own sockets and with the module's, and compares what happened. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as module from "../../src/net/index.ts";
import { patience } from "../support/patience.ts";
import type { Handlers, Net, Socket } from "./kinds.ts";
import { expectSaysSomething, type Pace, Recorder, type Trace } from "./trace.ts";

/** Options besides where to and what to call, right or wrong. */
export type Options = Record<string, unknown> & { socket?: object };

/** Bun's own. */
export const theirs: Net = { listen: Bun.listen, connect: Bun.connect };
/** The module's. */
export const ours: Net = { listen: module.listen, connect: module.connect };

/** One thing that people do with sockets. What it logs and returns must be the same with both implementations. */
export type Case = (t: Stage) => unknown;

const events = ["open", "data", "drain", "close", "error", "end", "timeout"] as const;

/** How long a case may take. */
export const LIMIT_MS = 5000;

/** Where a case plays: the implementation, parties whose events are logged, and an end for all that was opened. */
export class Stage extends Recorder {
  readonly net: Net;
  /** Whose client connects: the same, unless listener and client are mixed. */
  readonly clients: Net;
  readonly #sockets = new Map<string, Socket[]>();
  readonly #closers: (() => void)[] = [];
  #directory: string | undefined;

  constructor(net: Net, clients: Net = net, pace?: Pace) {
    super(pace);
    this.net = net;
    this.clients = clients;
  }

  /** Handlers that log under a name and then do what `own` says. Without those left out, whole. */
  handlers(who: string, own: Handlers = {}, without: readonly string[] = []): Handlers {
    const all: Record<string, unknown> = { ...own };
    const wanted = "connectError" in own ? [...events, "connectError"] : events;
    for (const event of wanted) {
      if (without.includes(event)) continue;
      const then = own[event as keyof Handlers] as ((...args: unknown[]) => unknown) | undefined;
      all[event] = (socket: Socket, ...args: unknown[]) => {
        if (event === "open") this.meet(who, socket);
        if (event === "data") this.received(who, args[0]);
        // Bun calls drain when nobody waits for it as well, as after pause(): cases about it log it themselves.
        else if (event !== "drain") this.log(who, event, ...args);
        return then?.(socket, ...args);
      };
    }
    return all;
  }

  /** A listener on a port of the loopback, its connections logged as `server`. */
  server(own: Handlers = {}, options: Options = {}): Bun.TCPSocketListener<unknown> {
    const socket = this.handlers("server", own);
    return this.keep(this.net.listen({ hostname: "127.0.0.1", port: 0, socket, ...options } as never), "port");
  }

  /** A connection to a listener, logged as `client`. */
  async client(to: { port: number }, own: Handlers = {}, options: Options = {}): Promise<Socket> {
    const socket = this.handlers("client", own);
    return this.clients.connect({ hostname: "127.0.0.1", port: to.port, socket, ...options } as never);
  }

  /** Ends a listener with the case, and names its port. */
  keep<T extends Bun.SocketListener<unknown>>(listener: T, name: string = "port"): T & { port: number } {
    this.atEnd(() => listener.stop(true));
    const { port } = listener as unknown as { port: unknown };
    if (typeof port === "number") this.name(port, name);
    return listener as T & { port: number };
  }

  /** Ends a connection with the case. */
  meet(who: string, socket: Socket): Socket {
    const all = this.#sockets.get(who) ?? [];
    if (!all.includes(socket)) this.#sockets.set(who, [...all, socket]);
    return socket;
  }

  /** The connection of a party, once it is open; the first unless told. */
  async socket(who: string, index: number = 0): Promise<Socket> {
    await this.until(who, "open", index + 1);
    const socket = this.#sockets.get(who)?.[index];
    if (socket === undefined) throw new Error(`${who} has no connection ${index}`);
    return socket;
  }

  /** Waits until a connection is closed: for where nobody may be told of it. */
  async closed(socket: Socket): Promise<void> {
    while (socket.readyState === 1) await Bun.sleep(1);
  }

  /** A path for a socket in a directory of the case's own. */
  path(name: string = "socket"): string {
    this.#directory ??= mkdtempSync(join(tmpdir(), "uring-test-"));
    this.name(this.#directory, "directory");
    return join(this.#directory, name);
  }

  /** Something to do when the case is over. */
  atEnd(close: () => void): void {
    this.#closers.push(close);
  }

  /** Bytes that are to arrive. Where others do the case fails, whichever implementation it was. */
  arrival(sent: Buffer): Arrival {
    const arrival = new Arrival(sent);
    this.atEnd(() => expect(arrival.isRight).toBe(true));
    return arrival;
  }

  /** What calling something comes to: what it returns or throws. */
  attempt(body: () => unknown): unknown {
    try {
      return this.plain(body());
    } catch (error) {
      return { thrown: this.plain(error) };
    }
  }

  /** What a promise comes to. */
  async outcome(body: () => unknown): Promise<unknown> {
    try {
      return this.plain(await body());
    } catch (error) {
      return { rejected: this.plain(error) };
    }
  }

  /** Nothing more is logged; everything is closed. */
  over(): void {
    this.freeze();
    for (const socket of [...this.#sockets.values()].flat()) socket.terminate();
    for (const close of this.#closers.toReversed()) close();
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Compares what arrives with what was sent, byte by byte, and keeps none of it. */
export class Arrival {
  readonly #sent: Buffer;
  bytes = 0;
  /** Whether all of it was what had been sent, in its place. */
  isRight = true;

  constructor(sent: Buffer) {
    this.#sent = sent;
  }

  /** Bytes that arrived. */
  take(chunk: Buffer): void {
    const sent = this.#sent.subarray(this.bytes, this.bytes + chunk.length);
    this.isRight &&= sent.equals(chunk);
    this.bytes += chunk.length;
  }
}

/** How a case is run. */
interface Run {
  net: Net;
  /** Whose client connects: the same, unless told. */
  clients?: Net;
  pace?: Pace;
  limitMs?: number;
}

/** Runs a case to its end, within its time; what happened, and at which pace. */
async function run(body: Case, { net, clients = net, pace, limitMs = LIMIT_MS }: Run): Promise<[Trace, Stage]> {
  const stage = new Stage(net, clients, pace);
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const soFar = JSON.stringify(stage.trace(undefined).logs);
      reject(new Error(`${nameOf(net)} with ${nameOf(clients)}: still running after ${limitMs} ms: ${soFar}`));
    }, limitMs * patience);
  });
  try {
    const result = await Promise.race([(async () => body(stage))(), late]);
    // Which end of a connection is told first is left open: the other may still be about to be.
    if (stage.count("server", "open") < stage.count("client", "open")) await stage.settle();
    return [stage.trace(result), stage];
  } finally {
    clearTimeout(timer);
    stage.over();
  }
}

/** What happens in a case with an implementation. */
export async function play(body: Case, net: Net, limitMs?: number): Promise<Trace> {
  const [trace] = await run(body, limitMs === undefined ? { net } : { net, limitMs });
  return trace;
}

/** How much longer a run waits that is to show whether the one before was too quick. */
const SLOWLY = 10;

/**
 * Runs a case with Bun's own and with others, and expects the same. Where it is not, Bun's own is run again with more
 * patience: on a busy machine something may come after all that had not come. The others get a second chance only where
 * that was so.
 */
export async function compare(body: Case, others: readonly (readonly [Net, Net])[], limitMs: number): Promise<Trace> {
  let [expected, stage] = await run(body, { net: theirs, limitMs });
  expectSaysSomething(expected);
  let slowness = 1;
  for (const [net, clients] of others) {
    const again = async (): Promise<Trace> => {
      const [trace] = await run(body, { net, clients, limitMs, pace: { slowness, follow: stage.marks } });
      return trace;
    };
    let actual = await again();
    if (slowness === 1 && !Bun.deepEquals(actual, expected)) {
      slowness = SLOWLY;
      const [patient, slow] = await run(body, { net: theirs, limitMs, pace: { slowness } });
      const wasQuick = !Bun.deepEquals(patient, expected);
      [expected, stage] = [patient, slow];
      if (wasQuick) actual = await again();
    }
    const who = { listener: nameOf(net), client: nameOf(clients) };
    expect({ ...who, ...actual }).toEqual({ ...who, ...expected });
  }
  return expected;
}

function nameOf(net: Net): string {
  return net === theirs ? "Bun's own" : net === ours ? "the module" : "something else";
}

/**
 * Connects to a listener that resets at once. connect() may see that already, or close() thereafter, of Bun's own as
 * well: that is a race.
 */
export async function resetSeen(t: Stage, { port }: { port: number }): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const socket: Handlers = { data: () => undefined, close: (_, error) => resolve(error) };
  t.clients.connect<unknown>({ hostname: "127.0.0.1", port, socket }).catch(resolve);
  const { code, errno } = (await promise) as { code?: string; errno?: number };
  return { code, errno };
}

/** Declares a case: what the module does is what Bun's own does. */
export function same(title: string, body: Case, limitMs: number = LIMIT_MS): void {
  test(title, async () => void (await compare(body, [[ours, ours]], limitMs)), 5 * limitMs * patience);
}

/** Declares a case for every pairing of listener and client. */
export function paired(title: string, body: Case, limitMs: number = LIMIT_MS): void {
  const pairs = [
    [ours, ours],
    [ours, theirs],
    [theirs, ours],
  ] as const;
  test(title, async () => void (await compare(body, pairs, limitMs)), 6 * limitMs * patience);
}

/**
 * Declares a case in which the module does something else than Bun's own, and says why.
 *
 * @param expected what the module does, from what Bun's own does.
 */
export function differs(title: string, why: string, body: Case, expected: (theirs: Trace) => Trace): void {
  test(
    `${title} (not as Bun's own: ${why})`,
    async () => {
      const [oracle] = await run(body, { net: theirs, pace: { slowness: 2 } });
      const [actual] = await run(body, { net: ours, pace: { slowness: 2 } });
      const other = expected(oracle);
      // Where they are the same there is nothing to be explained any more.
      expect(other).not.toEqual(oracle);
      expect(actual).toEqual(module.backend() === "bun" ? oracle : other);
    },
    3 * LIMIT_MS * patience,
  );
}
