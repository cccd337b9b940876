/** What a connection says of itself and does besides reading, writing and ending. */
import { describe } from "bun:test";
import type { Handlers, Socket } from "./kinds.ts";
import { paired, same, type Stage } from "./support.ts";

/** Every property by which a connection tells what it is. */
const told = [
  "readyState",
  "bytesWritten",
  "data",
  "remoteAddress",
  "remotePort",
  "remoteFamily",
  "localAddress",
  "localFamily",
  "authorized",
  "alpnProtocol",
] as const;

/** What a connection says of itself. */
function account(socket: Socket): unknown {
  return { ...Object.fromEntries(told.map((name) => [name, socket[name]])), listener: socket.listener };
}

/** Calls a method that the types may not know. */
function call(t: Stage, socket: Socket, name: string, ...args: unknown[]): unknown {
  const method = (socket as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
  return t.attempt(() => method?.apply(socket, args));
}

describe("a connection", () => {
  paired("says who it is", async (t) => {
    const client = await t.client(t.server());
    const server = await t.socket("server");
    const agree = [client.localPort === server.remotePort, server.localPort === client.remotePort];
    const { remotePort: _, ...ofServer } = account(server) as Record<string, unknown>;
    return [account(client), ofServer, agree];
  });

  for (const how of ["end", "close", "terminate"] as const) {
    same(`says after ${how}() what it was, if it was asked before`, async (t) => {
      const client = await t.client(t.server());
      const ports = [client.localPort, account(client)].slice(1);
      client[how]();
      await t.until("server", "close");
      return [ports, account(client), typeof client.localPort];
    });

    same(`says after ${how}() what it was, asked for the first time`, async (t) => {
      const client = await t.client(t.server(), {}, { data: 5 });
      client[how]();
      await t.until("server", "close");
      return [account(client), typeof client.localPort];
    });
  }

  same("says in close what it was", async (t) => {
    const told: Handlers = {
      close: (socket) => t.log("server", "account", typeof socket.remotePort, socket.remoteAddress, socket.localPort),
    };
    const client = await t.client(t.server(told));
    client.end();
    await t.until("server", "account");
  });

  same("over a path has no addresses", async (t) => {
    const unix = t.path();
    t.server({}, { unix });
    const client = await t.client({ port: 0 }, {}, { unix });
    return [account(client), account(await t.socket("server"))];
  });

  same("has readyState by what became of it", async (t) => {
    const seen: unknown[] = [];
    const see = (socket: Socket): void => void seen.push(socket.readyState);
    const server = t.server({ open: see, data: see, end: see, close: see });
    const client = await t.client(server, { open: see });
    client.write("x");
    await t.until("server", "data");
    client.shutdown();
    seen.push(client.readyState);
    await t.until("client", "close");
    seen.push(client.readyState);
    return seen;
  });

  same("has properties that cannot be set", async (t) => {
    const client = await t.client(t.server());
    const set = (name: string): unknown =>
      t.attempt(() => void ((client as unknown as Record<string, unknown>)[name] = 5));
    const names = [
      "readyState",
      "bytesWritten",
      "remoteAddress",
      "remotePort",
      "localAddress",
      "localPort",
      "listener",
      "authorized",
    ];
    return [names.map(set), account(client)];
  });

  same("is no plain object", async (t) => {
    const client = await t.client(t.server());
    return [
      Object.keys(client),
      Object.prototype.toString.call(client),
      typeof client,
      JSON.stringify(client) === undefined,
    ];
  });

  same("has its methods, and they take so many arguments", async (t) => {
    const client = (await t.client(t.server())) as unknown as Record<string, unknown>;
    const names = [
      "write",
      "end",
      "close",
      "terminate",
      "shutdown",
      "timeout",
      "ref",
      "unref",
      "flush",
      "reload",
      "setNoDelay",
      "setKeepAlive",
      "pause",
      "resume",
      "upgradeTLS",
      "getCipher",
      "getPeerCertificate",
      "getSession",
      "setServername",
      "setVerifyMode",
      "disableRenegotiation",
      "exportKeyingMaterial",
      "isSessionReused",
      "getTLSVersion",
      "setMaxSendFragment",
      "setSession",
    ];
    return names.map((name) => [name, typeof client[name], (client[name] as { length?: number } | undefined)?.length]);
  });

  same("has methods that refuse another this", async (t) => {
    const client = await t.client(t.server());
    const { write, end, close } = client as unknown as Record<string, () => unknown>;
    return [write, end, close].map(
      (method) => (t.attempt(() => method?.call({})) as { thrown?: { kind?: string } }).thrown?.kind,
    );
  });

  same("has a descriptor", async (t) => {
    const client = (await t.client(t.server())) as Socket & { fd?: number };
    const before = [typeof client.fd, Number(client.fd) > 2];
    client.end();
    const after = client.fd;
    await t.until("server", "close");
    return [...before, after];
  });

  same("keeps data", async (t) => {
    const client = await t.client(t.server({}, { data: { of: "the listener" } }), {}, { data: 1 });
    const server = await t.socket("server");
    const before = [client.data, server.data, server.data === (server.listener as { data?: unknown }).data];
    client.data = { own: true };
    server.data = null;
    client.end();
    await t.until("server", "close");
    return [...before, client.data, server.data];
  });
});

describe("methods that answer nothing", () => {
  for (const name of ["ref", "unref", "flush", "pause", "resume", "disableRenegotiation"]) {
    same(`${name}() before and after the end`, async (t) => {
      const client = await t.client(t.server());
      const before = [call(t, client, name), call(t, client, name, 1), call(t, client, name, {})];
      client.end();
      const after = call(t, client, name);
      await t.until("server", "close");
      return [...before, after];
    });
  }
});

describe("methods about TLS on a plain connection", () => {
  const names = [
    "getAuthorizationError",
    "getCertificate",
    "getX509Certificate",
    "getCipher",
    "getEphemeralKeyInfo",
    "getPeerCertificate",
    "getPeerX509Certificate",
    "getServername",
    "getSession",
    "getSharedSigalgs",
    "getTLSFinishedMessage",
    "getTLSPeerFinishedMessage",
    "getTLSTicket",
    "getTLSVersion",
    "isSessionReused",
    "renegotiate",
    "setMaxSendFragment",
    "setServername",
    "setSession",
    "setVerifyMode",
    "exportKeyingMaterial",
  ];
  for (const name of names) {
    same(`${name}()`, async (t) => call(t, await t.client(t.server()), name));
    same(`${name}() with arguments`, async (t) => call(t, await t.client(t.server()), name, "a", 1, Buffer.from("c")));
  }
});

describe("setNoDelay() and setKeepAlive()", () => {
  const args: Record<string, unknown[][]> = {
    setNoDelay: [[], [true], [false], [1], [0], ["yes"], [null], [undefined], [{}]],
    setKeepAlive: [
      [],
      [true],
      [false],
      [true, 0],
      [true, 1000],
      [true, 1500],
      [true, 60_000],
      [true, -1],
      [true, 1e12],
      [true, "x"],
      [true, Number.NaN],
      [false, 1000],
      [1, 1],
      [{}],
      [true, {}],
      [true, null],
      [true, 1.5],
    ],
  };
  for (const [name, all] of Object.entries(args)) {
    same(`${name}() answers`, async (t) => {
      const client = await t.client(t.server());
      return all.map((some) => call(t, client, name, ...some));
    });

    same(`${name}() answers over a path`, async (t) => {
      const unix = t.path();
      t.server({}, { unix });
      const client = await t.client({ port: 0 }, {}, { unix });
      return all.map((some) => call(t, client, name, ...some));
    });

    same(`${name}() answers after the end`, async (t) => {
      const client = await t.client(t.server());
      client.shutdown();
      const halfway = call(t, client, name, true);
      client.end();
      const after = all.map((some) => call(t, client, name, ...some));
      await t.until("server", "close");
      return [halfway, ...after];
    });
  }
});

describe("pause()", () => {
  paired("holds data back until resume()", async (t) => {
    const client = await t.client(t.server({ open: (socket) => void socket.pause() }));
    client.write("held");
    await t.settle();
    t.log("server", "resume");
    (await t.socket("server")).resume();
    await t.until("server", "bytes", 4);
  });

  paired("in data holds the rest back", async (t) => {
    const server = t.server({
      data: (socket) => {
        socket.pause();
        t.log("server", "paused");
      },
    });
    const client = await t.client(server);
    client.write("one");
    await t.until("server", "paused");
    client.write("two");
    await t.settle();
    (await t.socket("server")).resume();
    await t.until("server", "paused", 2);
  });

  same("holds the peer's end back as well", async (t) => {
    const client = await t.client(t.server({ open: (socket) => void socket.pause() }));
    client.end("last");
    await t.settle();
    t.log("server", "resume");
    (await t.socket("server")).resume();
    await t.until("server", "close");
  });

  same("twice, and resume() twice", async (t) => {
    const client = await t.client(t.server());
    const server = await t.socket("server");
    server.pause();
    server.pause();
    client.write("x");
    await t.settle();
    t.log("server", "resume");
    server.resume();
    server.resume();
    await t.until("server", "bytes");
  });

  same("does not hold write() back", async (t) => {
    await t.client(t.server());
    const server = await t.socket("server");
    server.pause();
    t.log("server", "write", server.write("out"));
    await t.until("client", "bytes", 3);
  });

  same("and then end()", async (t) => {
    const client = await t.client(t.server());
    client.pause();
    t.log("client", "end", client.end("x"));
    await t.until("server", "close");
    await t.settle();
  });

  same("many times between messages loses nothing", async (t) => {
    const client = await t.client(t.server());
    const server = await t.socket("server");
    for (let i = 0; i < 50; i++) {
      server.pause();
      client.write(`${i} `);
      server.resume();
      if (i % 7 === 0) await Bun.sleep(0);
    }
    client.end();
    await t.until("server", "close");
  });
});

describe("drain", () => {
  /** A client that has written more than fits to a listener that does not read. */
  async function full(t: Stage): Promise<number> {
    const server = t.server(
      {},
      { socket: { data: () => undefined, open: (socket: Socket) => void t.meet("server", socket).pause() } },
    );
    const drain = (socket: Socket): void => t.log("client", "drain", socket.readyState);
    const client = await t.client(
      server,
      {},
      { socket: { data: () => undefined, drain, open: (socket: Socket) => void t.meet("server", socket) } },
    );
    return client.write(Buffer.alloc(32 << 20));
  }

  paired("comes when there is room again", async (t) => {
    const drained = Promise.withResolvers<number>();
    const quiet = { data: (): void => undefined };
    const server = t.server({}, { socket: { ...quiet, open: (socket: Socket) => void t.meet("server", socket) } });
    const client = await t.client(
      server,
      {},
      { socket: { ...quiet, drain: (socket: Socket) => drained.resolve(socket.write("more")) } },
    );
    const wrote = client.write(Buffer.alloc(32 << 20));
    const room = await drained.promise;
    client.end();
    return [wrote < 32 << 20, room];
  });

  same("does not come while the peer reads nothing", async (t) => {
    const wrote = await full(t);
    await t.settle(60);
    return [wrote < 32 << 20, t.count("client", "drain")];
  });

  same("does not come when all was written", async (t) => {
    const handlers: Handlers = { data: () => undefined, drain: () => t.log("client", "drain") };
    const client = await t.client(t.server(), {}, { socket: handlers });
    t.log("client", "write", client.write("small"));
    await t.until("server", "bytes", 5);
    await t.settle();
  });

  same("comes after pause() as well", async (t) => {
    const handlers: Handlers = { data: () => undefined, drain: () => t.log("client", "drain") };
    const client = await t.client(t.server(), {}, { socket: handlers });
    client.pause();
    await t.settle();
    t.log("client", "settled");
  });

  same("comes as well when the peer of one that may be half open has ended", async (t) => {
    const log = (event: string) => (): void => t.log("server", event);
    const handlers: Handlers = { data: log("data"), drain: log("drain"), end: log("end"), close: log("close") };
    const client = await t.client(t.server({}, { allowHalfOpen: true, socket: handlers }));
    client.end();
    await t.until("server", "end");
    await t.settle();
  });

  same("may itself fill the buffers again", async (t) => {
    let rounds = 0;
    const chunk = Buffer.alloc(4 << 20);
    const go = (socket: Socket): void => {
      while (rounds < 20 && socket.write(chunk) === chunk.length) rounds++;
      if (rounds++ >= 20) socket.end();
    };
    const server = t.server({}, { socket: { data: () => undefined, close: () => t.log("server", "close") } });
    await t.client(server, {}, { socket: { data: () => undefined, open: go, drain: go } });
    await t.until("server", "close");
  });
});
