/** Where connect() connects, how it fails, and what it tells whom in which order. */
import { describe } from "bun:test";
import { writeFileSync } from "node:fs";
import type { Handlers, Socket } from "./kinds.ts";
import { paired, same, type Stage } from "./support.ts";

const socketOf = { data: (): void => undefined };

/** A port that nobody listens on. */
function freePort(t: Stage): number {
  const server = t.server();
  server.stop(true);
  return server.port;
}

describe("connect()", () => {
  paired("resolves after open, with the same connection", async (t) => {
    const server = t.server();
    let opened: unknown;
    const client = await t.client(server, { open: (socket) => void (opened = socket) });
    t.log("client", "resolved");
    await t.until("server", "open");
    return opened === client;
  });

  same("opens later, not at once", async (t) => {
    const server = t.server();
    const promise = t.client(server);
    t.log("client", "called");
    await promise;
  });

  same("resolves before data comes", async (t) => {
    const server = t.server({ open: (socket) => void socket.write("first") });
    const promise = t.client(server).then(() => t.log("client", "resolved"));
    await promise;
    await t.until("client", "bytes", 5);
  });

  for (const hostname of ["127.0.0.1", "localhost", "0.0.0.0", "127.0.0.3", "127.1", "0", "2130706433", "0x7f.1"]) {
    paired(`to ${hostname}`, async (t) => {
      const server = t.server({}, { hostname: "0.0.0.0" });
      const client = await t.client(server, {}, { hostname });
      await t.until("server", "open");
      const { remoteAddress, remotePort, remoteFamily, localAddress, localFamily } = client;
      const seen = await t.socket("server");
      const agree = [seen.remotePort === client.localPort, seen.remoteAddress === client.localAddress];
      return { remoteAddress, remotePort, remoteFamily, localAddress, localFamily, agree };
    });
  }

  for (const hostname of [
    "::1",
    "::",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "[::1]",
    "::1%lo",
    "::1%1",
    "::1%no-such",
    "::1%",
  ]) {
    paired(`to ${hostname} on ::`, async (t) => {
      const server = t.server({}, { hostname: "::" });
      const client = await t.client(server, {}, { hostname });
      await t.until("server", "open");
      const { remoteAddress, remotePort, remoteFamily, localAddress, localFamily } = client;
      const seen = await t.socket("server");
      return [
        remoteAddress,
        remotePort,
        remoteFamily,
        localAddress,
        localFamily,
        seen.remoteAddress,
        seen.localAddress,
      ];
    });
  }

  // Which of a name's addresses is first, and how many are tried at once, is left open.
  paired("to localhost, whichever of its addresses answers", async (t) => {
    const socket = { data: () => undefined };
    const server = t.keep(t.net.listen({ hostname: "::", port: 0, socket }));
    const { remoteAddress } = await t.client(server, {}, { hostname: "localhost" });
    return ["::1", "::ffff:127.0.0.1", "127.0.0.1"].includes(remoteAddress);
  });

  same("takes host for hostname", async (t) => {
    const server = t.server();
    return t.outcome(() => t.client(server, {}, { hostname: undefined, host: "127.0.0.1" }));
  });

  paired("to a path", async (t) => {
    const unix = t.path();
    t.server({ data: (socket, data) => void socket.write(data) }, { unix });
    const client = await t.client({ port: 0 }, {}, { unix });
    client.write("by path");
    await t.until("client", "bytes", 7);
    const seen = await t.socket("server");
    const of = ({
      remoteAddress,
      remotePort,
      remoteFamily,
      localAddress,
      localPort,
      localFamily,
    }: typeof seen): unknown[] => [remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily];
    return [of(client), of(seen)];
  });
});

describe("connect() refused", () => {
  same("rejects", async (t) => {
    const port = freePort(t);
    return t.outcome(() => t.client({ port }));
  });

  same("calls connectError, then rejects", async (t) => {
    const port = freePort(t);
    const connectError = (socket: Bun.Socket<unknown>, error: Error): void =>
      t.log("client", "state", socket.readyState, error instanceof Error, (error as { code?: unknown }).code);
    const outcome = await t.outcome(() =>
      t.client({ port }, { connectError }).finally(() => t.log("client", "rejected")),
    );
    await t.settle();
    return outcome;
  });

  same("on a path that is not there", async (t) => {
    const unix = t.path();
    return t.outcome(() => t.client({ port: 0 }, { connectError: () => undefined }, { unix }));
  });

  same("on a path that is a file", async (t) => {
    const unix = t.path();
    writeFileSync(unix, "");
    return t.outcome(() => t.client({ port: 0 }, {}, { unix }));
  });

  same("on a path that is a directory", async (t) => {
    const unix = t.path("x").slice(0, -2);
    return t.outcome(() => t.client({ port: 0 }, {}, { unix }));
  });

  same("on a path whose listener has stopped", async (t) => {
    const unix = t.path();
    t.server({}, { unix }).stop(true);
    return t.outcome(() => t.client({ port: 0 }, {}, { unix }));
  });

  same("on a path too long", async (t) => {
    return t.outcome(() => t.client({ port: 0 }, {}, { unix: t.path("a".repeat(200)) }));
  });

  same("on IPv6", async (t) => {
    const port = freePort(t);
    return t.outcome(() => t.client({ port }, { connectError: () => undefined }, { hostname: "::1" }));
  });

  same("by name", async (t) => {
    const port = freePort(t);
    return t.outcome(() => t.client({ port }, { connectError: () => undefined }, { hostname: "localhost" }));
  });

  same("for a name that does not exist", async (t) => {
    const connectError = (): void => undefined;
    return t.outcome(() => t.client({ port: 1 }, { connectError }, { hostname: "no-such-host.invalid" }));
  });

  same("for an address that is none", async (t) => {
    return t.outcome(() => t.client({ port: 1 }, {}, { hostname: "1.2.3.4.5" }));
  });

  for (const hostname of ["no\0host", "127.0.0.1%lo", "localhost%lo", "fe80::1", "fe80::1%no-such"]) {
    same(`at ${JSON.stringify(hostname)}`, async (t) => {
      const port = freePort(t);
      return t.outcome(() => t.client({ port }, {}, { hostname }));
    });
  }

  same("with connectError that throws", async (t) => {
    const port = freePort(t);
    const connectError = (): void => {
      throw new Error("in connectError");
    };
    const outcome = await t.outcome(() => t.client({ port }, { connectError }));
    await t.settle();
    return outcome;
  });

  same("leaves a connection that answers like a closed one", async (t) => {
    const port = freePort(t);
    const connectError = (socket: Bun.Socket<unknown>): void => {
      t.log(
        "client",
        "write",
        t.attempt(() => socket.write("x")),
      );
      t.log(
        "client",
        "end",
        t.attempt(() => socket.end()),
      );
      t.log(
        "client",
        "of",
        socket.readyState,
        socket.remoteAddress,
        socket.localPort,
        socket.bytesWritten,
        socket.data,
      );
    };
    await t.outcome(() => t.client({ port }, { connectError }, { data: 5 }));
    await t.settle();
  });

  same("many times at once, each is told", async (t) => {
    const port = freePort(t);
    const all = Array.from({ length: 20 }, () =>
      t.outcome(() => t.client({ port }, { connectError: () => undefined })),
    );
    return Promise.all(all);
  });
});

describe("connect() with", () => {
  same("data has it from the start", async (t) => {
    const server = t.server();
    const own = { a: 1 };
    const seen: unknown[] = [];
    const client = await t.clients.connect({
      hostname: "127.0.0.1",
      port: server.port,
      data: own,
      socket: { ...socketOf, open: (socket) => void seen.push(socket.data === own) },
    });
    t.meet("client", client as never);
    client.data = { a: 2 };
    await t.until("server", "open");
    return [seen, client.data];
  });

  same("no data has undefined", async (t) => {
    const server = t.server();
    return (await t.client(server)).data;
  });

  for (const data of [0, null, "", false, "text", Symbol.iterator, undefined]) {
    same(`data ${String(data)}`, async (t) => {
      const server = t.server({}, { data });
      const client = await t.client(server, {}, { data });
      return [client.data, (await t.socket("server")).data];
    });
  }

  same("write() before it is open, for want of a connection", async (t) => {
    const server = t.server();
    const promise = t.client(server);
    const result = [promise instanceof Promise, Object.keys(promise), (await promise).write("x")];
    await t.until("server", "bytes");
    return result;
  });

  same("exclusive, reusePort and ipv6Only", async (t) => {
    const server = t.server();
    const options = { exclusive: true, reusePort: true, ipv6Only: true };
    return t.outcome(() => t.client(server, {}, options));
  });

  same("a signal that is aborted", async (t) => {
    const server = t.server();
    return t.outcome(() => t.client(server, {}, { signal: AbortSignal.abort() }));
  });

  same("a signal that is aborted later", async (t) => {
    const server = t.server();
    const controller = new AbortController();
    const client = await t.client(server, {}, { signal: controller.signal });
    controller.abort();
    await t.settle();
    return client.readyState;
  });
});

describe("a connection whose peer stops listening", () => {
  paired("waits in the backlog and is served all the same", async (t) => {
    // Whether one is opened before another one's data comes is left open.
    const open = (socket: Socket): void => t.log("accepted", t.meet("server", socket).readyState);
    const data: Handlers["data"] = (socket, data) => [t.received("server", data), socket.write(data)] as never;
    const server = t.server({}, { socket: { open, data } });
    const clients = await Promise.all(Array.from({ length: 10 }, () => t.client(server)));
    for (const client of clients) client.write("abc");
    await t.until("client", "bytes", 30);
    return clients.every(({ readyState }) => readyState === 1);
  });
});
