/** Many connections, many after each other, and memory and descriptors that must not be left behind. */
import { describe } from "bun:test";
import { descriptors, isSocket } from "../support/descriptors.ts";
import type { Handlers, Socket } from "./kinds.ts";
import { LIMIT_MS, paired, same, type Stage } from "./support.ts";
import { digest } from "./trace.ts";

const echo: Handlers = { data: (socket, data) => void socket.write(data) };

/** Waits until no more sockets are open than there were. */
async function closedDownTo(before: number): Promise<number> {
  let more = Infinity;
  for (let i = 0; i < 100 && more > 0; i++) {
    more = descriptors(isSocket) - before;
    if (more > 0) await Bun.sleep(10);
  }
  return Math.max(0, more);
}

/** An echo that writes all that it gets, whatever fits at once. */
function echoOfAll(): Handlers {
  const waiting = new Map<Socket, Buffer[]>();
  const go = (socket: Socket): void => {
    const queue = waiting.get(socket) ?? [];
    for (let head = queue[0]; head !== undefined; head = queue[0]) {
      const wrote = socket.write(head);
      if (wrote < head.length) {
        queue[0] = head.subarray(Math.max(0, wrote));
        return;
      }
      queue.shift();
    }
  };
  return {
    open: (socket) => void waiting.set(socket, []),
    data: (socket, data) => [waiting.get(socket)?.push(Buffer.from(data)), go(socket)] as never,
    drain: go,
    close: (socket) => void waiting.delete(socket),
  };
}

/** One client of an echo: sends `data` as there is room and resolves to the digest of what came back. */
async function roundTrip(t: Stage, port: number, data: Buffer): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const got: Buffer[] = [];
  let length = 0;
  let at = 0;
  const go = (socket: Socket): void => {
    if (at < data.length) at += socket.write(data.subarray(at));
  };
  const socket: Handlers = {
    open: go,
    drain: go,
    data: (it, chunk) => {
      got.push(chunk);
      length += chunk.length;
      if (length < data.length) return;
      resolve(digest(Buffer.concat(got)));
      it.end();
    },
    close: () => resolve(`closed after ${length} of ${data.length}`),
  };
  await t.clients.connect({ hostname: "127.0.0.1", port, socket });
  return promise;
}

/** Bytes of a client: their number is as random as their content, and neither changes from run to run. */
function bytesOf(client: number): Buffer {
  const bytes = Buffer.alloc(1 + ((client * 7919) % 100_000));
  let state = client + 1;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

describe("many connections", () => {
  paired(
    "200 at once, each gets its own bytes back",
    async (t) => {
      const before = descriptors(isSocket);
      const server = t.server({}, { socket: echoOfAll() });
      const sent = Array.from({ length: 200 }, (_, i) => bytesOf(i));
      const got = await Promise.all(sent.map((data) => roundTrip(t, server.port, data)));
      const wrong = got.flatMap((text, i) => (text === digest(sent[i] as Buffer) ? [] : [`${i}: ${text}`]));
      server.stop(true);
      return { wrong, left: await closedDownTo(before) };
    },
    20_000,
  );

  paired(
    "200 at once with collections in between",
    async (t) => {
      const server = t.server({}, { socket: echoOfAll() });
      const timer = setInterval(() => Bun.gc(true), 5);
      t.atEnd(() => clearInterval(timer));
      const sent = Array.from({ length: 200 }, (_, i) => bytesOf(i).subarray(0, 20_000));
      const got = await Promise.all(sent.map((data) => roundTrip(t, server.port, data)));
      return got.flatMap((text, i) => (text === digest(sent[i] as Buffer) ? [] : [`${i}: ${text}`]));
    },
    20_000,
  );

  paired(
    "1,000 after each other leave no descriptor",
    async (t) => {
      const before = descriptors(isSocket);
      const counts = { open: 0, close: 0, data: 0 };
      const socket: Handlers = {
        open: () => void counts.open++,
        close: () => void counts.close++,
        data: () => void counts.data++,
      };
      const server = t.server({}, { socket });
      const quiet: Handlers = { data: () => undefined };
      for (let i = 0; i < 1000; i++) {
        const client = await t.clients.connect({ hostname: "127.0.0.1", port: server.port, socket: quiet });
        if (i % 3 === 0) client.write("x");
        client.end();
      }
      while (counts.close < 1000) await Bun.sleep(2);
      server.stop(true);
      return { ...counts, data: counts.data === 334, left: await closedDownTo(before) };
    },
    20_000,
  );

  paired(
    "500 that the listener resets",
    async (t) => {
      const before = descriptors(isSocket);
      let closed = 0;
      const server = t.server({}, { socket: { open: (socket: Socket) => socket.terminate(), data: () => undefined } });
      const socket: Handlers = { data: () => undefined, close: () => void closed++ };
      for (let i = 0; i < 10; i++) {
        const all = Array.from({ length: 50 }, () =>
          t.clients.connect({ hostname: "127.0.0.1", port: server.port, socket }),
        );
        // Where the reset is faster than connect() there is no connection to be closed.
        for (const { status } of await Promise.allSettled(all)) if (status === "rejected") closed++;
      }
      while (closed < 500) await Bun.sleep(2);
      server.stop(true);
      return { closed, left: await closedDownTo(before) };
    },
    20_000,
  );

  same(
    "500 that are refused leave no descriptor",
    async (t) => {
      const before = descriptors(isSocket);
      const server = t.server();
      const { port } = server;
      server.stop(true);
      let refused = 0;
      for (let i = 0; i < 10; i++) {
        const all = Array.from({ length: 50 }, () => t.client({ port }).catch(() => void refused++));
        await Promise.all(all);
      }
      return { refused, left: await closedDownTo(before) };
    },
    20_000,
  );

  same(
    "100 listeners that stop leave no descriptor",
    async (t) => {
      const before = descriptors(isSocket);
      for (let i = 0; i < 100; i++) {
        const server = t.net.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
        const { port } = server;
        if (i % 2 === 0) await t.clients.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
        server.stop(true);
      }
      return { left: await closedDownTo(before) };
    },
    20_000,
  );
});

/** Passes on what one connection gets to another: what does not fit waits, and so does the one that it came from. */
class Pipe {
  to: Socket | undefined;
  readonly #waiting: Buffer[] = [];
  #from: Socket | undefined;

  take(from: Socket, data: Buffer): void {
    this.#from = from;
    this.#waiting.push(data);
    this.go();
  }

  go(): void {
    if (this.to === undefined) return;
    for (let head = this.#waiting[0]; head !== undefined; head = this.#waiting[0]) {
      const wrote = Math.max(0, this.to.write(head));
      if (wrote < head.length) {
        this.#waiting[0] = head.subarray(wrote);
        this.#from?.pause();
        return;
      }
      this.#waiting.shift();
    }
    this.#from?.resume();
  }
}

describe("a proxy", () => {
  paired(
    "passes 20 connections on, each gets its own bytes back",
    async (t) => {
      const upstream = t.server({}, { socket: echoOfAll() });
      const pipes = new Map<Socket, { up: Pipe; down: Pipe }>();
      const open = (socket: Socket): void => {
        const both = { up: new Pipe(), down: new Pipe() };
        both.down.to = socket;
        pipes.set(socket, both);
        const back: Handlers = {
          open: (it) => [(both.up.to = it), both.up.go()] as never,
          data: (it, data) => both.down.take(it, data),
          drain: () => both.up.go(),
        };
        void t.clients.connect({ hostname: "127.0.0.1", port: upstream.port, socket: back });
      };
      const front: Handlers = {
        open,
        data: (socket, data) => pipes.get(socket)?.up.take(socket, data),
        drain: (socket) => pipes.get(socket)?.down.go(),
        close: (socket) => void pipes.get(socket)?.up.to?.end(),
      };
      const proxy = t.net.listen({ hostname: "127.0.0.1", port: 0, socket: front });
      t.atEnd(() => proxy.stop(true));
      const sent = Array.from({ length: 20 }, (_, i) =>
        Buffer.concat(Array.from({ length: 10 }, () => bytesOf(i + 3))),
      );
      const got = await Promise.all(sent.map((data) => roundTrip(t, proxy.port, data)));
      return got.flatMap((text, i) => (text === digest(sent[i] as Buffer) ? [] : [`${i}: ${text}`]));
    },
    20_000,
  );
});

describe("a flood", () => {
  paired("leaves timers and a Bun server their turns", async (t) => {
    const http = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("served") });
    t.atEnd(() => void http.stop(true));
    let passed = 0;
    const data = (socket: Socket, bytes: Buffer): void => {
      passed++;
      socket.write(bytes);
    };
    const flood = { data };
    const server = t.server({}, { socket: flood });
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => t.clients.connect({ hostname: "127.0.0.1", port: server.port, socket: flood })),
    );
    for (const client of clients) client.write(Buffer.alloc(200, 97));
    const answers: string[] = [];
    // One that starves them does not come to its end, and no more does one that they starve.
    for (let round = 0; round < 20 || passed <= 200; round++) {
      await Bun.sleep(1);
      answers.push(await (await fetch(http.url)).text());
    }
    for (const client of clients) client.terminate();
    return answers.slice(0, 20);
  });
});

describe("what only the library refers to", () => {
  const goesOn = async (t: Stage): Promise<void> => {
    const server = t.server(echo);
    await t.clients
      .connect({
        hostname: "127.0.0.1",
        port: server.port,
        socket: {
          open: (socket) => void socket.write("ball"),
          data: (socket, data) => {
            t.received("client", data);
            if (t.count("client", "bytes") < 400) socket.write(data);
          },
        },
      })
      .then(() => undefined);
    const timer = setInterval(() => Bun.gc(true), 1);
    t.atEnd(() => clearInterval(timer));
    await t.until("client", "bytes", 400);
  };
  // Hundreds of collections take long, the more so where many tests ran before.
  paired("a connection that nobody keeps goes on", goesOn, 4 * LIMIT_MS);

  same("a listener that nobody keeps goes on", async (t) => {
    const listen = (): number => {
      const socket: Handlers = {
        data: (it, data) => [it.write(data), it.listener?.stop(), Bun.gc(true)] as never,
        close: () => t.log("server", "close"),
      };
      const listener = t.net.listen({ hostname: "127.0.0.1", port: 0, socket });
      // The case ends it by what one of its connections says is its own.
      return listener.port;
    };
    const port = listen();
    for (let i = 0; i < 5; i++) {
      Bun.gc(true);
      await Bun.sleep(1);
    }
    const stop: Handlers = { data: (socket) => void socket.end() };
    const client = await t.client({ port }, stop);
    client.write("x");
    await t.until("server", "close");
    return t.count("client", "bytes");
  });

  same("handlers that nobody keeps are called", async (t) => {
    const server = t.server();
    const connect = async (): Promise<Socket> => t.client(server, { data: () => t.log("client", "called") });
    const client = await connect();
    for (let i = 0; i < 5; i++) Bun.gc(true);
    const connection = await t.socket("server");
    connection.write("x");
    await t.until("client", "called");
    client.end();
    await t.until("server", "close");
  });

  same("connections and listeners that have ended are let go", async (t) => {
    const gone = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => void gone.add(name));
    const fill = async (): Promise<void> => {
      const server = t.net.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
      for (let i = 0; i < 20; i++) {
        const client = await t.clients.connect({
          hostname: "127.0.0.1",
          port: server.port,
          socket: { data: () => undefined },
        });
        registry.register(client, `client ${i}`);
        client.end();
      }
      registry.register(server, "server");
      server.stop(true);
    };
    await fill();
    for (let i = 0; i < 50 && gone.size < 15; i++) {
      Bun.gc(true);
      await Bun.sleep(2);
    }
    // The last few may still be seen on the stack.
    return gone.size >= 15;
  });
});
