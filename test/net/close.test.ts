/** Every way a connection ends, from either side, whole or half, and what each side is told. */
import { describe } from "bun:test";
import { connect as connectNode, createServer as createNodeServer, type Socket as NodeSocket } from "node:net";
import type { Handlers, Socket } from "./kinds.ts";
import { differs, paired, same, type Stage } from "./support.ts";

const echo: Handlers = { data: (socket, data) => void socket.write(data) };
const half = { allowHalfOpen: true };

/** Both ends of a connection. */
async function pair(
  t: Stage,
  server: Handlers = {},
  client: Handlers = {},
  options: object = {},
  own: object = {},
): Promise<[Socket, Socket]> {
  const listener = t.server(server, { ...options });
  const there = await t.client(listener, client, { ...own });
  return [await t.socket("server"), there];
}

/** Something done to a connection, logged with the state that it leaves. */
function does(t: Stage, who: string, socket: Socket, name: string, ...args: unknown[]): void {
  const act = (socket as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
  t.log(
    who,
    name,
    t.attempt(() => act?.call(socket, ...args)),
    socket.readyState,
  );
}

/** One act of either side and whatever comes of it. */
function acts(title: string, name: string, ...args: unknown[]): void {
  for (const allowHalfOpen of [false, true]) {
    const at = allowHalfOpen ? "that may be half open" : "of the ordinary kind";
    paired(`${title} of the client, on connections ${at}`, async (t) => {
      const [, client] = await pair(t, {}, {}, { allowHalfOpen }, { allowHalfOpen });
      does(t, "client", client, name, ...args);
      await t.settle();
    });

    paired(`${title} of the listener, on connections ${at}`, async (t) => {
      const [server] = await pair(t, {}, {}, { allowHalfOpen }, { allowHalfOpen });
      does(t, "server", server, name, ...args);
      await t.settle();
    });

    same(`${title} twice, on connections ${at}`, async (t) => {
      const [, client] = await pair(t, {}, {}, { allowHalfOpen }, { allowHalfOpen });
      does(t, "client", client, name, ...args);
      does(t, "client", client, name, ...args);
      await t.settle();
      does(t, "client", client, name, ...args);
      await t.settle();
    });
  }
}

describe("the end of a connection", () => {
  acts("end()", "end");
  acts("end() with data", "end", "bye");
  acts("close()", "close");
  acts("terminate()", "terminate");
  acts("shutdown()", "shutdown");
  acts("shutdown(false)", "shutdown", false);
  acts("shutdown(true)", "shutdown", true);
  acts("Symbol.dispose", Symbol.dispose as never);

  const names = ["end", "close", "terminate", "shutdown"];
  for (const first of names) {
    for (const second of names.filter((name) => name !== first)) {
      same(`${first}() and then ${second}()`, async (t) => {
        const [, client] = await pair(t);
        does(t, "client", client, first);
        does(t, "client", client, second);
        await t.settle();
      });
    }
  }

  for (const name of [...names, "write"]) {
    for (const event of ["data", "end", "close", "error"] as const) {
      same(`${name}() in ${event}`, async (t) => {
        const act = (socket: Socket): void => {
          does(t, "server", socket, name);
          if (event === "data") throw new Error("on purpose");
        };
        const extra: Handlers =
          event === "error"
            ? {
                data: () => {
                  throw new Error("on purpose");
                },
              }
            : {};
        const [, client] = await pair(t, { ...extra, [event]: act });
        client.write("x");
        await t.settle();
        client.end();
        await t.settle();
      });
    }
  }

  for (const name of names) {
    paired(`${name}() after data that is under way`, async (t) => {
      const [, client] = await pair(t);
      client.write("the last ");
      client.write("words");
      does(t, "client", client, name);
      await t.until("server", "close");
      await t.settle();
    });

    same(`${name}() of both at once`, async (t) => {
      const [server, client] = await pair(t);
      does(t, "server", server, name);
      does(t, "client", client, name);
      await t.settle();
    });

    // terminate() with data unread by the peer: how much is still read is a matter of time, so it is not told.
    same(`${name}() with data unread`, async (t) => {
      const [server, client] = await pair(t);
      client.pause();
      server.write("never read");
      await t.settle();
      does(t, "client", client, name);
      await t.settle();
    });
  }

  for (const name of ["close", "terminate"]) {
    paired(`${name}() in data is the last of it`, async (t) => {
      let closed = false;
      const handlers: Handlers = {
        data: (socket) => {
          if (closed) t.log("server", "data after the end");
          closed = true;
          does(t, "server", socket, name);
        },
        end: () => t.log("server", "end"),
        close: () => t.log("server", "close"),
      };
      const listener = t.server({}, { socket: handlers });
      const client = await t.client(listener, {}, { socket: { data: () => undefined } });
      client.write(Buffer.alloc(4 << 20));
      await t.until("server", "close");
      await t.settle();
    });
  }

  paired("stop(true) in data is the last of it", async (t) => {
    let stopped = false;
    const handlers: Handlers = {
      open: () => t.log("server", "open"),
      data: () => {
        if (stopped) t.log("server", "data after the end");
        stopped = true;
        listener.stop(true);
      },
      close: () => t.log("server", "close"),
    };
    const listener = t.server({}, { socket: handlers });
    const quiet = { data: (): void => undefined };
    const clients = [await t.client(listener, {}, { socket: quiet }), await t.client(listener, {}, { socket: quiet })];
    // One that still waits to be accepted is nobody's to close.
    await t.until("server", "open", 2);
    for (const client of clients) client.write(Buffer.alloc(1 << 20));
    await t.until("server", "close", 2);
    await t.settle();
  });

  paired("leaves data that came before end() to be read", async (t) => {
    const [, client] = await pair(t, { open: (socket) => void socket.pause() });
    client.end("read me later");
    await t.settle();
    (await t.socket("server")).resume();
    await t.until("server", "close");
  });

  same("is told once the handlers of all that came before are done", async (t) => {
    const [, client] = await pair(t, { data: (socket) => t.log("server", "state", socket.readyState) });
    client.write("x");
    client.end();
    await t.until("server", "close");
  });
});

describe("half-open connections", () => {
  paired("the listener's answer after the client's shutdown()", async (t) => {
    const answer: Handlers = {
      end: (socket) => {
        t.log("server", "state", socket.readyState);
        t.log("server", "write", socket.write("answer"));
        t.log("server", "end", socket.end());
      },
    };
    const [, client] = await pair(t, answer, {}, half, half);
    client.write("question");
    client.shutdown();
    t.log("client", "state", client.readyState, client.write("more"));
    await t.until("client", "close");
    await t.until("server", "close");
    await t.settle();
  });

  paired("the answer comes much later", async (t) => {
    const [server, client] = await pair(t, {}, {}, half, half);
    client.shutdown();
    await t.until("server", "end");
    await t.settle();
    t.log("server", "write", server.write("at last"), server.readyState);
    await t.until("client", "bytes", 7);
    server.end();
    await t.until("client", "close");
    await t.until("server", "close");
  });

  paired("both shut down", async (t) => {
    const [server, client] = await pair(t, {}, {}, half, half);
    client.shutdown();
    await t.until("server", "end");
    server.shutdown();
    await t.settle();
    return [server.readyState, client.readyState];
  });

  paired("only the listener's may be half open", async (t) => {
    const [server, client] = await pair(t, {}, {}, half);
    client.shutdown();
    await t.until("server", "end");
    t.log("server", "write", server.write("still"), server.readyState);
    await t.until("client", "bytes", 5);
    server.end();
    await t.settle();
  });

  paired("only the client's may be half open", async (t) => {
    const [, client] = await pair(t, {}, {}, {}, half);
    client.write("x");
    client.shutdown();
    await t.settle();
    return client.readyState;
  });

  paired("64 KiB after the other side has ended", async (t) => {
    const answer: Handlers = { end: (socket) => t.log("server", "end() of", socket.end(Buffer.alloc(65_536, 97))) };
    const [, client] = await pair(t, answer, {}, half, half);
    client.shutdown();
    await t.until("client", "close");
    await t.until("server", "close");
  });

  same("without an end handler", async (t) => {
    const listener = t.server({}, { ...half, socket: t.handlers("server", echo, ["end"]) });
    const client = await t.client(listener, {}, half);
    client.write("x");
    await t.until("client", "bytes");
    client.shutdown();
    await t.settle();
    const server = await t.socket("server");
    t.log("server", "state", server.readyState, server.write("y"));
    await t.settle();
  });

  same("terminate() of one that is half open", async (t) => {
    const [server, client] = await pair(t, {}, {}, half, half);
    client.shutdown();
    await t.until("server", "end");
    does(t, "server", server, "terminate");
    await t.settle();
  });

  same("end() of one that has shut down", async (t) => {
    const [, client] = await pair(t, {}, {}, half, half);
    client.shutdown();
    does(t, "client", client, "end");
    await t.settle();
  });
});

/** A connection from node:net to the listener. */
async function fromNode(t: Stage, server: Handlers, options: object = {}): Promise<[Socket, NodeSocket]> {
  const { port } = t.server(server, { ...options });
  const node = connectNode(port, "127.0.0.1");
  t.atEnd(() => node.destroy());
  node.on("error", (error: Error & { code?: string }) => t.log("node", "error", error.code));
  node.on("close", (hadError) => t.log("node", "close", hadError));
  node.on("end", () => t.log("node", "end"));
  node.on("data", (data) => t.received("node", data));
  return [await t.socket("server"), node];
}

describe("a peer that resets", () => {
  same("an idle connection of the listener", async (t) => {
    const [, node] = await fromNode(t, echo);
    node.resetAndDestroy();
    await t.until("server", "close");
    await t.settle();
  });

  same("after data that was read", async (t) => {
    const [, node] = await fromNode(t, echo);
    node.write("x");
    await t.until("server", "bytes");
    node.resetAndDestroy();
    await t.until("server", "close");
    await t.until("node", "close");
  });

  same("a connection that is half open", async (t) => {
    const [server, node] = await fromNode(t, echo, half);
    node.end();
    await t.until("server", "end");
    node.resetAndDestroy();
    await t.settle();
    t.log("server", "state", server.readyState, server.write("x"));
    await t.settle();
    t.log("server", "state", server.readyState);
  });

  same("a connection that is paused", async (t) => {
    const [server, node] = await fromNode(t, echo);
    server.pause();
    node.resetAndDestroy();
    await t.settle(40);
    t.log("server", "state", server.readyState, server.write("x"));
    server.resume();
    await t.settle();
  });

  same("a connection without close handler", async (t) => {
    const { port } = t.server({}, { socket: t.handlers("server", echo, ["close"]) });
    const node = connectNode(port, "127.0.0.1");
    node.on("error", () => undefined);
    const server = await t.socket("server");
    node.resetAndDestroy();
    await t.closed(server);
    await t.settle();
    return server.readyState;
  });

  same("the client's connection", async (t) => {
    const peers: NodeSocket[] = [];
    const node = createNodeServer((socket) => peers.push(socket.on("error", () => undefined)));
    t.atEnd(() => node.close());
    const { promise, resolve } = Promise.withResolvers<void>();
    node.listen(0, "127.0.0.1", resolve);
    await promise;
    const client = await t.client(node.address() as { port: number });
    client.write("x");
    await t.settle();
    for (const peer of peers) peer.resetAndDestroy();
    await t.until("client", "close");
    return [client.readyState, client.write("y")];
  });

  same("in the midst of a large write", async (t) => {
    const { port } = t.server({}, { socket: { ...t.handlers("server", {}, ["drain"]), drain: () => undefined } });
    const node = connectNode(port, "127.0.0.1");
    node.on("error", () => undefined).pause();
    const server = await t.socket("server");
    const wrote = server.write(Buffer.alloc(32 << 20));
    node.resetAndDestroy();
    await t.until("server", "close");
    return [wrote > 0, server.write("x"), server.readyState];
  });
});

describe("write() to a peer that has gone, before anybody is told", () => {
  const twice = async (t: Stage, how: "resetAndDestroy" | "destroy" | "end", bytes: number): Promise<void> => {
    const own: Handlers = {
      ...echo,
      // Which of the two failures it was is the kernel's business.
      close: (_, error) => t.log("told", error === undefined ? "closed" : "closed by a failure"),
    };
    const [server, node] = await fromNode(t, {}, { socket: t.handlers("server", own, ["close", "end"]) });
    await t.settle();
    node[how]();
    const what = Buffer.alloc(bytes, 97);
    const took = [server.write(what), server.write(what)].map((wrote) =>
      wrote < 0 ? "refused" : "taken or to be waited for",
    );
    t.log("writes", ...took, server.readyState);
    await t.until("node", "close");
    await t.closed(server);
    await t.settle();
    t.log("writes", "later", server.write(what), server.readyState);
  };

  for (const [size, bytes] of [
    ["little", 5],
    ["much", 100_000],
  ] as const) {
    same(`by end(): ${size}`, async (t) => twice(t, "end", bytes));

    differs(
      `by resetAndDestroy(): ${size}`,
      "Bun's own has the write take the failure away, and tells close() of none",
      async (t) => twice(t, "resetAndDestroy", bytes),
      ({ logs, result }) => ({
        logs: {
          ...logs,
          told: ["closed by a failure"],
          writes: [["taken or to be waited for", "taken or to be waited for", 1], ...(logs["writes"] ?? []).slice(1)],
        },
        result,
      }),
    );
  }
});

describe("what node:net sees", () => {
  for (const name of ["end", "close", "terminate", "shutdown"]) {
    same(`of ${name}()`, async (t) => {
      const [server] = await fromNode(t, echo);
      does(t, "server", server, name);
      await t.until("node", "close");
      await t.settle();
    });

    same(`of ${name}() with data unread`, async (t) => {
      const [server, node] = await fromNode(t, echo);
      server.pause();
      node.write("unread");
      await t.settle();
      does(t, "server", server, name);
      await t.until("node", "close");
      await t.settle();
    });
  }

  same("of end() after it has ended itself", async (t) => {
    const [, node] = await fromNode(t, echo);
    node.end("last");
    await t.until("server", "close");
    await t.until("node", "close");
  });
});

describe("bytes that were not sent when", () => {
  const stuffed = async (t: Stage): Promise<Socket> => {
    const listener = t.server(
      {},
      { socket: { data: () => undefined, open: (s: Socket) => void t.meet("server", s).pause() } },
    );
    const client = await t.client(listener, {}, { socket: t.handlers("client", {}, ["drain"]) });
    client.write(Buffer.alloc(32 << 20));
    return client;
  };

  for (const name of ["end", "close", "terminate", "shutdown"]) {
    same(`${name}() was called are not waited for longer than by Bun`, async (t) => {
      const client = await stuffed(t);
      does(t, "client", client, name);
      await t.settle();
      t.log("client", "state", client.readyState, client.write("x"));
    });
  }
});
