/** What is called when, with what, and what becomes of what handlers throw. */
import { describe } from "bun:test";
import { AsyncLocalStorage } from "node:async_hooks";
import type { Handlers, Socket } from "./kinds.ts";
import { paired, resetSeen, same, type Stage } from "./support.ts";

const echo: Handlers = { data: (socket, data) => void socket.write(data) };

/** A connection with one line there and back, ended by the client. */
async function exchange(t: Stage, server: { port: number }, own: Handlers = {}): Promise<void> {
  const client = await t.client(server, own);
  client.write("line");
  await t.until("client", "bytes", 4);
  client.end();
  await t.until("server", "close");
}

describe("handlers", () => {
  paired("come in their order", async (t) => {
    await exchange(t, t.server(echo));
    await t.settle();
  });

  for (const missing of ["open", "drain", "close", "error", "end", "timeout"]) {
    same(`do without ${missing}`, async (t) => {
      const without = missing === "open" ? ["drain"] : [missing];
      const handlers = t.handlers("server", echo, [...without, ...(missing === "open" ? ["open"] : [])]);
      const server = t.server({}, { socket: handlers });
      const client = await t.client(server);
      client.write("line");
      await t.until("client", "bytes", 4);
      client.end();
      await t.settle();
    });
  }

  same("do without data: what comes is dropped", async (t) => {
    const server = t.server({}, { socket: t.handlers("server", {}, ["data"]) });
    const client = await t.client(server);
    client.write("line");
    await t.settle();
    client.end();
    await t.until("server", "close");
  });

  same("get so many arguments", async (t) => {
    const count = (who: string): Handlers => {
      const named =
        (event: string) =>
        (...args: unknown[]) =>
          t.log(who, event, args.length, args.slice(1));
      return {
        open: named("open"),
        end: named("end"),
        close: named("close"),
        data: named("data"),
        drain: named("drain"),
      };
    };
    const server = t.server({}, { socket: count("server") });
    const client = await t.client(server, {}, { socket: count("client") });
    client.write("x");
    await t.until("server", "data");
    client.end();
    await t.until("server", "close");
    await t.until("client", "close");
  });

  same("are called with this", async (t) => {
    const told = (who: string): Handlers => {
      const seen = function (this: unknown): void {
        t.log(who, typeof this, this === handlers, t.plain(this));
      };
      const handlers: Handlers = { open: seen, data: seen, close: seen, end: seen };
      return handlers;
    };
    const server = t.server({}, { socket: told("server") });
    const client = await t.client(server, {}, { socket: told("client") });
    client.write("x");
    await t.settle();
    client.end();
    await t.settle();
  });

  same("may be methods of a class", async (t) => {
    class Own {
      open(): void {
        t.log("own", "open");
      }
      data(_: Socket, data: Buffer): void {
        t.log("own", "data", data);
      }
      close(): void {
        t.log("own", "close");
      }
    }
    const server = t.server({}, { socket: new Own() });
    const client = await t.client(server);
    client.write("x");
    await t.until("own", "data");
    client.end();
    await t.until("own", "close");
  });

  same("see the store of whoever listened or connected", async (t) => {
    const storage = new AsyncLocalStorage<string>();
    const see = (who: string): Handlers => {
      const log = (event: string) => (): void => t.log(who, event, storage.getStore());
      return { open: log("open"), data: log("data"), end: log("end"), close: log("close") };
    };
    const server = storage.run("listener's", () => t.server({}, { socket: see("server") }));
    const client = await storage.run("client's", async () => t.client(server, {}, { socket: see("client") }));
    await t.until("server", "open");
    storage.run("writer's", () => client.write("x"));
    await t.until("server", "data");
    storage.run("ender's", () => client.end());
    await t.until("server", "close");
  });

  same("are read once: changing the object changes nothing", async (t) => {
    const handlers = t.handlers("server", echo);
    const server = t.server({}, { socket: handlers });
    handlers.data = () => t.log("server", "changed");
    await exchange(t, server);
  });

  same("that return promises are not waited for", async (t) => {
    const slow = async (socket: Socket, data: Buffer): Promise<void> => {
      await Bun.sleep(1);
      socket.write(data);
    };
    await exchange(t, t.server({ data: slow, open: async () => Bun.sleep(1) }));
  });

  paired("see the same connection each time", async (t) => {
    const seen = new Set<Socket>();
    const see = (socket: Socket): void => void seen.add(socket);
    await exchange(t, t.server({ ...echo, open: see, end: see, close: see }));
    return seen.size;
  });
});

describe("data", () => {
  for (const binaryType of ["buffer", "arraybuffer", "uint8array"] as const) {
    paired(`comes as ${binaryType}`, async (t) => {
      await exchange(t, t.server({ ...echo, binaryType }), { binaryType });
    });
  }

  same("comes as what reload() says", async (t) => {
    const server = t.server();
    const client = await t.client(server);
    client.write("one");
    await t.until("server", "bytes", 3);
    server.reload({ socket: t.handlers("server", { binaryType: "uint8array" }) });
    client.write("two");
    await t.until("server", "bytes", 6);
  });

  for (const binaryType of ["buffer", "arraybuffer", "uint8array"] as const) {
    same(`in ${binaryType} is the handler's to keep`, async (t) => {
      const kept: (Uint8Array | ArrayBuffer)[] = [];
      const server = t.server({ binaryType, data: (_, data) => void kept.push(data as Buffer | ArrayBuffer) });
      const client = await t.client(server);
      const sent = Array.from({ length: 100 }, (_, i) => Buffer.alloc(50 + i, i));
      let bytes = 0;
      for (const piece of sent) {
        client.write(piece);
        // Where the pieces of a stream end is nobody's promise.
        await t.until("server", "bytes", (bytes += piece.length));
      }
      const pieces = kept.map((data) => (data instanceof ArrayBuffer ? new Uint8Array(data) : data));
      const right = Buffer.compare(Buffer.concat(pieces), Buffer.concat(sent)) === 0;
      return [right, kept.every((data) => data instanceof ArrayBuffer || data.byteOffset === 0)];
    });
  }

  same("may be written over by the handler", async (t) => {
    const server = t.server({
      data: (socket, data) => {
        socket.write(data);
        data.fill(0);
      },
    });
    await exchange(t, server);
  });
});

describe("a handler that throws", () => {
  const thrower =
    (name: string): (() => never) =>
    () => {
      throw new Error(`in ${name}`);
    };

  for (const name of ["open", "data", "end", "close"] as const) {
    same(`from ${name} of the listener has its error told`, async (t) => {
      const server = t.server({ [name]: thrower(name) });
      const client = await t.outcome(() => t.client(server));
      const [socket] = [await t.socket("client")];
      // One that throws as it is opened is closed then, and does not read.
      await t.until("server", name === "open" ? "close" : "open");
      socket.write("x");
      await t.settle();
      socket.end();
      await t.settle();
      return client;
    });

    same(`from ${name} of the client has its error told`, async (t) => {
      const server = t.server(echo);
      const outcome = await t.outcome(() => t.client(server, { [name]: thrower(name) }));
      t.log("client", "outcome", outcome);
      const seen = await t.socket("server");
      seen.write("x");
      await t.settle();
      seen.end();
      await t.settle();
    });
  }

  for (const what of [undefined, null, 5, "text", new TypeError("typed"), { a: 1 }]) {
    same(`${String(what)} has it reach the error handler`, async (t) => {
      const server = t.server({
        data: () => {
          throw what;
        },
      });
      const client = await t.client(server);
      client.write("x");
      await t.until("server", "error");
      await t.settle();
    });
  }

  same("from drain has its error told, and drain comes again", async (t) => {
    let drains = 0;
    const chunk = Buffer.alloc(16 << 20);
    const own: Handlers = {
      drain: (socket) => {
        if (++drains === 1) {
          socket.write(chunk);
          throw new Error("in drain");
        }
        if (drains === 2) socket.end();
      },
      error: () => undefined,
    };
    const quiet: Handlers = { data: () => undefined, close: () => t.log("server", "close") };
    const client = await t.client(t.server({}, { socket: quiet }), own);
    client.write(chunk);
    await t.until("server", "close");
  });

  same("again and again is told again and again", async (t) => {
    const server = t.server({ data: thrower("data") });
    const client = await t.client(server);
    for (let i = 1; i <= 5; i++) {
      client.write("x");
      await t.until("server", "error", i);
    }
    return client.readyState;
  });

  same("leaves other connections alone", async (t) => {
    const server = t.server({
      data: (socket, data) => {
        if (String(data) === "bad") throw new Error("bad");
        socket.write(data);
      },
    });
    const [bad, good] = [await t.client(server), await t.client(server)];
    bad.write("bad");
    await t.until("server", "error");
    good.write("good");
    await t.until("client", "bytes", 4);
  });

  same("in the client's open, with a listener that closes", async (t) => {
    const server = t.server({ open: (socket) => void socket.end() });
    const outcome = await t.outcome(() => t.client(server, { open: thrower("open") }));
    await t.settle();
    return outcome;
  });
});

describe("in open", () => {
  paired("write() of the listener is the first to come", async (t) => {
    const server = t.server({ open: (socket) => t.log("server", "write", socket.write("hello")) });
    await t.client(server);
    await t.until("client", "bytes", 5);
  });

  paired("write() of the client is the first to come", async (t) => {
    const server = t.server(echo);
    await t.client(server, { open: (socket) => t.log("client", "write", socket.write("hello")) });
    await t.until("client", "bytes", 5);
  });

  paired("write() of both crosses", async (t) => {
    const server = t.server({ open: (socket) => void socket.write("from the listener") });
    await t.client(server, { open: (socket) => void socket.write("from the client") });
    await t.until("client", "bytes", 17);
    await t.until("server", "bytes", 15);
  });

  // Bun's own rejects as well where the reset is faster than its look at the connection.
  paired("terminate() of the listener resets: before connect() resolves, or after", async (t) => {
    const server = t.server({ open: (socket) => t.log("server", "terminate", socket.terminate(), socket.readyState) });
    return resetSeen(t, server);
  });

  for (const how of ["end", "close", "shutdown"] as const) {
    paired(`${how}() of the listener`, async (t) => {
      const server = t.server({ open: (socket) => t.log("server", how, socket[how](), socket.readyState) });
      await t.client(server, { open: (socket) => t.log("client", "state", socket.readyState) });
      await t.until("client", "close");
      await t.settle();
    });
  }

  for (const how of ["end", "close", "terminate", "shutdown"] as const) {
    same(`${how}() of the client`, async (t) => {
      const server = t.server();
      const client = await t.client(server, {
        open: (socket) => t.log("client", how, socket[how](), socket.readyState),
      });
      t.log("client", "resolved", client.readyState);
      await t.until("server", "open");
      await t.settle();
    });
  }

  same("end() with data of the listener", async (t) => {
    const server = t.server({ open: (socket) => t.log("server", "end", socket.end("bye")) });
    await t.client(server);
    await t.until("client", "close");
  });

  same("a property of one's own stays", async (t) => {
    const seen: unknown[] = [];
    const server = t.server({
      open: (socket) => void Object.assign(socket, { own: 7 }),
      data: (socket) => void seen.push((socket as unknown as { own?: unknown }).own),
    });
    const client = await t.client(server);
    client.write("x");
    await t.until("server", "bytes");
    return seen;
  });

  same("connect() to oneself works", async (t) => {
    let hops = 0;
    const server = t.server({
      open: () => {
        if (++hops < 5) void t.client(server);
      },
    });
    await t.client(server);
    await t.until("server", "open", 5);
    await t.until("client", "open", 5);
  });
});

describe("a client's handlers", () => {
  same("reload() changes those of one connection", async (t) => {
    const server = t.server(echo);
    const [first, second] = [await t.client(server), await t.client(server)];
    first.reload({ socket: t.handlers("reloaded") });
    first.write("a");
    await t.until("reloaded", "bytes");
    second.write("b");
    await t.until("client", "bytes");
    first.end();
    await t.until("server", "close");
  });

  same("reload() of a listener's connection changes those of all", async (t) => {
    const server = t.server();
    const [first, second] = [await t.client(server), await t.client(server)];
    await t.until("server", "open", 2);
    (await t.socket("server")).reload({ socket: t.handlers("reloaded") });
    first.write("a");
    await t.until("reloaded", "bytes", 1);
    second.write("a");
    await t.until("reloaded", "bytes", 2);
    await t.client(server);
    await t.settle();
  });

  for (const what of [undefined, null, 5, {}, { socket: {} }, { socket: { data: 1 } }, { data(): void {} }]) {
    same(`refuse reload() with ${Bun.inspect(what, { compact: true })}`, async (t) => {
      const client = await t.client(t.server());
      return t.attempt(() => client.reload(what as never));
    });
  }
});
