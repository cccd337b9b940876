/**
 * One thing done with sockets in a process of its own: apart.ts WHOSE WHAT [PORT]. What happens goes to stdout as one
 * line of JSON when the process ends, by itself or after a while. Names that begin with "- " are for particular tests.
 */
import type { Listener, Net, Socket } from "../kinds.ts";
import * as module from "../../../src/net/index.ts";
import { patience } from "../../support/patience.ts";

const [, , whose = "", what = "", port = "0"] = process.argv;
/** A listener of whoever has started this. */
const peer = Number(port);
const net: Net = whose === "ours" ? module : Bun;
const log: unknown[] = [];
const quiet = { data: (): void => undefined };

process.on("exit", (code) => console.log(JSON.stringify([...log, code])));

/** Logs and ends, if something keeps the process alive until then. */
function aliveAfter(ms: number): void {
  setTimeout(() => {
    log.push("still alive");
    process.exit(0);
  }, ms * patience).unref();
}

const listen = (socket: Bun.SocketHandler<unknown> = quiet): Listener & { port: number } =>
  net.listen({ hostname: "127.0.0.1", port: 0, socket }) as Listener & { port: number };

const connect = async (port: number, socket: Bun.SocketHandler<unknown> = quiet): Promise<Socket> =>
  net.connect({ hostname: "127.0.0.1", port, socket });

/** Both ends of a connection, and the listener. */
async function pair(): Promise<{ listener: Listener; server: Socket; client: Socket }> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const listener = listen({ ...quiet, open: resolve });
  const client = await connect(listener.port);
  return { listener, server: await promise, client };
}

/** Logs what nobody catches, and goes on. */
function catchAll(): void {
  process.on("uncaughtException", (error) => log.push(`uncaught ${String(error)}`));
  process.on("unhandledRejection", (error) => log.push(`unhandled ${String(error)}`));
}

/** A handler that throws, or rejects, with no error handler beside it. Its log is sorted: parties run side by side. */
async function throwing(name: string, whose: "server" | "client", later: boolean): Promise<void> {
  let closed = 0;
  const fail = (): never => {
    if (name === "close") closed++;
    throw new Error(name);
  };
  const bad = { [name]: later ? async () => fail() : fail };
  const note = (who: string): Bun.SocketHandler<unknown> => ({
    ...quiet,
    close: (_, error) => {
      closed++;
      log.push(`${who} closed ${error?.name}`);
    },
  });
  const ends = { data: (it: Socket): void => void it.end("y") };
  const listener = listen({ ...note("server"), ...(whose === "server" ? bad : ends) });
  const promise = connect(listener.port, { ...note("client"), ...(whose === "client" ? bad : {}) });
  const client = await promise.catch((error: unknown) => void log.push(`rejected ${String(error)}`));
  // What a listener that closes has not read would make its end a reset.
  if (whose === "client" || name !== "open") client?.write("x");
  const until = async (done: () => boolean): Promise<void> => {
    for (let i = 0; i < 200 && !done(); i++) await Bun.sleep(5);
  };
  // The listener ends a client that is to fail; a listener that is to fail is ended once it has, or so that it does.
  if (whose === "server") {
    if (["open", "data"].includes(name)) await until(() => log.length > 0);
    client?.end();
  }
  await until(() => closed === 2);
  await Bun.sleep(10);
  listener.stop(true);
  log.sort();
}

/** A port that nobody listens on. */
function freePort(): number {
  const listener = listen();
  listener.stop(true);
  return listener.port;
}

/** Writes to a peer that does not read until nothing more is taken; logs how much was. */
async function fill(pieceBytes: number): Promise<Socket> {
  const client = await connect(peer);
  const piece = Buffer.alloc(pieceBytes, 97);
  let taken = 0;
  for (let tries = 0; tries < 5; tries++) {
    for (let wrote = pieceBytes; wrote === pieceBytes; taken += wrote) wrote = client.write(piece);
    await Bun.sleep(2);
  }
  log.push(taken);
  return client;
}

/** What a Worker does with sockets: this file in it, with a name of what to do. */
async function inWorker(name: string): Promise<Worker> {
  const worker = new Worker(import.meta.url, { argv: [whose, name] });
  const { promise, resolve } = Promise.withResolvers<void>();
  worker.onmessage = ({ data }: MessageEvent<unknown>) => [log.push(data), resolve()];
  worker.onerror = (event) => [log.push(event.message), resolve()];
  await promise;
  return worker;
}

const programs: Record<string, () => unknown> = {
  nothing: () => undefined,
  "a listener": () => [listen(), aliveAfter(150)],
  "a listener unref'd": () => [listen().unref(), aliveAfter(2000)],
  "a listener unref'd and ref'd": () => {
    const listener = listen();
    listener.unref();
    listener.ref();
    aliveAfter(150);
  },
  "a listener stopped": () => [listen().stop(), aliveAfter(2000)],
  "a listener stopped with an open connection": async () => {
    const { listener, client } = await pair();
    listener.stop();
    setTimeout(() => [log.push("ends"), client.end()], 50);
    aliveAfter(2000);
  },
  "a connection": async () => {
    const { listener } = await pair();
    listener.unref();
    aliveAfter(150);
  },
  "a connection, unref'd at the client": async () => {
    const { listener, client } = await pair();
    listener.unref();
    client.unref();
    aliveAfter(150);
  },
  "a connection, unref'd at the server": async () => {
    const { listener, server } = await pair();
    listener.unref();
    server.unref();
    aliveAfter(150);
  },
  "a connection, unref'd at both ends": async () => {
    const { listener, server, client } = await pair();
    listener.unref();
    server.unref();
    client.unref();
    aliveAfter(2000);
  },
  "a connection, unref'd and ref'd": async () => {
    const { listener, server, client } = await pair();
    for (const it of [listener, server, client]) it.unref();
    client.ref();
    aliveAfter(150);
  },
  "a connection that has ended": async () => {
    const { listener, client } = await pair();
    listener.unref();
    client.end();
    aliveAfter(2000);
  },
  "a connection that was ended by the listener": async () => {
    const { listener, server } = await pair();
    listener.unref();
    server.end();
    aliveAfter(2000);
  },
  "a connection that was paused": async () => {
    const { listener, client, server } = await pair();
    listener.unref();
    client.pause();
    server.pause();
    aliveAfter(150);
  },
  "a connection that works while unref'd": async () => {
    const listener = listen({ data: (it, data) => void it.write(data) });
    listener.unref();
    const done = (_: Socket, data: Buffer): never => {
      log.push(String(data));
      process.exit(0);
    };
    const client = await connect(listener.port, { data: done });
    client.unref();
    client.write("unref'd");
    // Something else keeps the process alive.
    setTimeout(() => log.push("nothing came"), 4000);
  },
  "a connect() that nobody waits for": () => {
    // Which end is told first is left open.
    const opened: Socket[] = [];
    const both = (it: Socket, client: boolean): void => {
      log.push(client ? "open" : "opened");
      log.sort();
      opened[client ? "unshift" : "push"](it);
      if (opened.length === 2) opened[0]?.end();
    };
    const listener = listen({ ...quiet, open: (it) => both(it, false) });
    listener.unref();
    void connect(listener.port, { ...quiet, open: (it) => both(it, true) });
    aliveAfter(2000);
  },
  "a refused connect() with nobody to tell": () => {
    catchAll();
    void connect(freePort());
    aliveAfter(2000);
  },
  "a refused connect() with connectError": () => {
    catchAll();
    void connect(freePort(), { ...quiet, connectError: (_, error) => void log.push(String(error)) });
    aliveAfter(2000);
  },
  "a refused connect() with error": () => {
    catchAll();
    void connect(freePort(), { ...quiet, error: (_, error) => void log.push(String(error)) });
    aliveAfter(2000);
  },
  "a refused connect() with connectError that throws": () => {
    catchAll();
    const connectError = (): void => {
      throw new Error("in connectError");
    };
    void connect(freePort(), { ...quiet, connectError, error: (_, error) => void log.push(`error ${String(error)}`) });
    aliveAfter(2000);
  },
  "process.exit() with all kinds open": async () => {
    await pair();
    await pair();
    void connect(freePort());
    process.exit(7);
  },
  "an error handler that throws": async () => {
    catchAll();
    const again = (): void => {
      throw new Error("in error");
    };
    const listener = listen({
      data: () => {
        throw new Error("in data");
      },
      error: again,
      close: () => void log.push("closed"),
    });
    const client = await connect(listener.port);
    client.write("x");
    await Bun.sleep(20);
    log.push(client.readyState);
    client.end();
    listener.stop();
    aliveAfter(2000);
  },
  "a throw that nobody catches": async () => {
    const listener = listen({
      data: () => {
        throw new Error("nobody catches this");
      },
    });
    const client = await connect(listener.port);
    client.write("x");
    aliveAfter(500);
  },
  "a Worker": async () => (await inWorker("- in a Worker")).terminate(),
  "a Worker that is terminated with connections open": async () => {
    (await inWorker("- in a Worker, left open")).terminate();
    await Bun.sleep(20);
    const { client, listener } = await pair();
    log.push(client.readyState);
    client.end();
    listener.stop();
    aliveAfter(2000);
  },
  "four Workers at once": async () => {
    const workers = await Promise.all(Array.from({ length: 4 }, () => inWorker("- in a Worker")));
    for (const worker of workers) worker.terminate();
  },
  "- write() and exit": async () => {
    (await connect(peer)).write("last words");
    process.exit(0);
  },
  "- end() and exit": async () => {
    (await connect(peer)).end("last words");
    process.exit(0);
  },
  "- many writes and exit": async () => {
    const client = await connect(peer);
    for (let i = 0; i < 1000; i++) client.write(`${i} `);
    client.write(Buffer.alloc(20_000, 97));
    client.end("z");
    process.exit(0);
  },
  "- write() in open and exit": () => {
    const open = (it: Socket): never => {
      it.write("last words");
      process.exit(0);
    };
    void connect(peer, { ...quiet, open });
  },
  "- write() and a throw that nobody catches": () => {
    const open = (it: Socket): never => {
      it.write("last words");
      throw new Error("nobody catches this");
    };
    void connect(peer, { ...quiet, open });
  },
  "- write(), and nothing keeps it": async () => {
    const client = await connect(peer);
    client.unref();
    client.write("last words");
  },
  "- end(), and nothing keeps it": async () => {
    const client = await connect(peer);
    client.unref();
    client.end("last words");
  },
  "- write() in exit": async () => {
    const client = await connect(peer);
    process.on("exit", () => client.write("last words"));
    process.exit(0);
  },
  "- full of little, then end()": async () => (await fill(100)).end(),
  "- full of much, then end()": async () => (await fill(100_000)).end(),
  "- full of little, then process.exit()": async () => [await fill(100), process.exit(0)],
  "- full of much, then process.exit()": async () => [await fill(100_000), process.exit(0)],
  "- a greeter": () => {
    const { port } = listen({ ...quiet, open: (it) => void it.write("hi") });
    // Told once it waits: what it needs for that is not to be what it runs out of.
    setTimeout(() => console.log(port), 50);
    process.on("SIGTERM", () => process.exit(0));
  },
  "- in a Worker": async () => {
    const listener = listen({ data: (it, data) => void it.write(data) });
    const { promise, resolve } = Promise.withResolvers<string>();
    const client = await connect(listener.port, { data: (_, data) => resolve(String(data)) });
    client.write("in a Worker");
    postMessage(await promise);
    client.end();
    listener.stop();
  },
  "- in a Worker, left open": async () => {
    const { client } = await pair();
    postMessage(client.readyState);
  },
};

for (const name of ["open", "data", "end", "close"]) {
  for (const whose of ["server", "client"] as const) {
    programs[`${name} of the ${whose} throwing with no error handler`] = () => [
      catchAll(),
      throwing(name, whose, false),
    ];
    programs[`${name} of the ${whose} rejecting with no error handler`] = () => [
      catchAll(),
      throwing(name, whose, true),
    ];
  }
}

if (what === "names") log.push(...Object.keys(programs));
else await (programs[what] as () => unknown)();
