/** Where listen() listens, what the listener says of itself, and how it stops. */
import { describe } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { dirname, relative } from "node:path";
import type { Listener } from "./kinds.ts";
import { paired, same, type Stage } from "./support.ts";

/** What a listener says of itself. */
function described(listener: Listener): unknown {
  const { port, hostname, unix, data } = listener as unknown as Record<string, unknown>;
  return { port, hostname, unix, data, kind: Object.prototype.toString.call(listener) };
}

/** One line there and back. */
async function exchange(t: Stage, to: Record<string, unknown>): Promise<void> {
  const client = await t.clients.connect({ socket: t.handlers("client"), ...to } as never);
  client.write("line\n");
  await t.until("client", "bytes", 5);
  client.end();
  await t.until("client", "close");
  await t.until("server", "close");
}

const echo = { data: (socket: Bun.Socket<unknown>, data: Buffer): void => void socket.write(data) };

describe("listen()", () => {
  paired("on port 0 gets a port and serves it", async (t) => {
    const server = t.server(echo);
    await exchange(t, { hostname: "127.0.0.1", port: server.port });
    return [described(server), server.port > 0];
  });

  paired("on a port that is given", async (t) => {
    const first = t.server();
    const { port } = first;
    first.stop(true);
    const server = t.server(echo, { port });
    await exchange(t, { hostname: "127.0.0.1", port });
    return [server.port === port, described(server)];
  });

  paired("on a path", async (t) => {
    const unix = t.path();
    const server = t.server(echo, { unix, hostname: undefined, port: undefined });
    await exchange(t, { unix });
    return [described(server), statSync(unix).isSocket()];
  });

  same("on a path removes it when it stops", (t) => {
    const unix = t.path();
    const server = t.server(echo, { unix, hostname: undefined, port: undefined });
    const before = existsSync(unix);
    server.stop();
    return [before, existsSync(unix)];
  });

  same("on a path that a listener has", (t) => {
    const unix = t.path();
    const options = { unix, hostname: undefined, port: undefined };
    t.server(echo, options);
    return [t.attempt(() => described(t.server(echo, options))), existsSync(unix)];
  });

  same("on a path that a file has", (t) => {
    const unix = t.path();
    writeFileSync(unix, "x");
    const options = { unix, hostname: undefined, port: undefined };
    return [t.attempt(() => described(t.server(echo, options))), statSync(unix).isFile()];
  });

  paired("on a path as long as may be", async (t) => {
    const unix = t.path("").padEnd(107, "x");
    const server = t.server(echo, { unix, hostname: undefined, port: undefined });
    await exchange(t, { unix });
    return [unix.length, statSync(unix).isSocket(), described(server)];
  });

  same("on a path one longer than may be", (t) => {
    const unix = t.path("").padEnd(108, "x");
    return t.attempt(() => described(t.server(echo, { unix, hostname: undefined, port: undefined })));
  });

  paired("on a relative path", async (t) => {
    const unix = relative(process.cwd(), t.path());
    t.name(dirname(unix), "relative");
    const server = t.server(echo, { unix, hostname: undefined, port: undefined });
    await exchange(t, { unix });
    return described(server);
  });

  for (const scheme of ["unix:", "unix://", "file:", "file://"]) {
    paired(`on a path after ${scheme}`, async (t) => {
      const path = t.path();
      const unix = `${scheme}${path}`;
      const listening = t.attempt(() => described(t.server(echo, { unix, hostname: undefined, port: undefined })));
      return [listening, existsSync(path), await t.outcome(() => exchange(t, { unix }))];
    });
  }

  paired("in the abstract namespace", async (t) => {
    const unix = `\0uring-test-${process.pid}-${t.net === t.clients}`;
    t.name(unix, "abstract");
    const server = t.server(echo, { unix, hostname: undefined, port: undefined });
    await exchange(t, { unix });
    return described(server);
  });

  for (const hostname of [
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "::1",
    "::",
    "127.0.0.2",
    "0",
    "127.1",
    "::ffff:127.0.0.1",
  ]) {
    paired(`on ${hostname}`, async (t) => {
      const server = t.server(echo, { hostname });
      const to = { "0.0.0.0": "127.0.0.1", "0": "127.0.0.1", "::": "::1", "127.1": "127.0.0.1" }[hostname] ?? hostname;
      await exchange(t, { hostname: to, port: server.port });
      const { remoteAddress, localAddress, remoteFamily, localFamily } = await t.socket("server");
      return [described(server), remoteAddress, localAddress, remoteFamily, localFamily];
    });
  }

  paired("on :: serves IPv4 as well", async (t) => {
    const server = t.server(
      {
        ...echo,
        open: ({ remoteAddress, localAddress, remoteFamily }) =>
          t.log("server", remoteAddress, localAddress, remoteFamily),
      },
      { hostname: "::" },
    );
    await exchange(t, { hostname: "127.0.0.1", port: server.port });
  });

  same("on :: with ipv6Only leaves IPv4 to others", async (t) => {
    const server = t.server(echo, { hostname: "::", ipv6Only: true });
    const refused = await t.outcome(() => t.client(server));
    await exchange(t, { hostname: "::1", port: server.port });
    return refused;
  });

  same("on a port that is taken", (t) => {
    const server = t.server();
    return t.attempt(() => t.server({}, { port: server.port }));
  });

  same("on a port that is taken on every address", (t) => {
    const server = t.server({}, { hostname: "0.0.0.0" });
    return t.attempt(() => described(t.server({}, { port: server.port })));
  });

  for (const [first, second] of [
    [{ reusePort: true }, { reusePort: true }],
    [{ reusePort: true }, {}],
    [{ exclusive: true }, { exclusive: true }],
    [{ exclusive: true }, {}],
    [{ exclusive: false }, { exclusive: false }],
    [{ exclusive: true }, { reusePort: true }],
    [{ exclusive: true, reusePort: true }, { reusePort: true }],
    [{ reuseAddr: true }, { reuseAddr: true }],
  ]) {
    same(`with ${JSON.stringify(first)} and then ${JSON.stringify(second)} on the same port`, (t) => {
      const server = t.server({}, first);
      return t.attempt(() => described(t.server({}, { ...second, port: server.port })));
    });
  }

  same("on an address that is not this machine's", (t) => {
    return t.attempt(() => t.server({}, { hostname: "192.0.2.1" }));
  });

  paired("with hostname named host", async (t) => {
    const server = t.server(echo, { host: "127.0.0.1", hostname: undefined });
    await exchange(t, { hostname: "127.0.0.1", port: server.port });
    return described(server);
  });

  paired("with both a path and a port", async (t) => {
    const unix = t.path();
    const server = t.server(echo, { unix });
    await exchange(t, { unix, hostname: "127.0.0.1", port: 1 });
    return described(server);
  });
});

describe("stop()", () => {
  same("leaves connections open", async (t) => {
    const server = t.server(echo);
    const client = await t.client(server);
    await t.until("server", "open");
    t.log("listener", "stop", server.stop());
    client.write("still there");
    await t.until("client", "bytes", 11);
    await t.settle();
    client.end();
    await t.until("server", "close");
  });

  same("refuses those that come after", async (t) => {
    const server = t.server();
    server.stop();
    return t.outcome(() => t.client(server));
  });

  same("with true closes connections", async (t) => {
    const server = t.server(echo);
    await t.client(server);
    await t.until("server", "open");
    t.log("server", "stop", server.stop(true));
    t.log("server", "stopped");
    await t.until("client", "close");
    await t.until("server", "close");
    await t.settle();
  });

  same("with true after stop() closes those that were left", async (t) => {
    const server = t.server(echo);
    await t.client(server);
    await t.until("server", "open");
    server.stop();
    t.log("server", "stopped");
    server.stop(true);
    await t.settle();
  });

  same("twice is nothing", (t) => {
    const server = t.server();
    return [server.stop(), server.stop(), server.stop(true), server.stop(true)];
  });

  for (const what of [0, 1, "", "yes", null, {}]) {
    same(`with ${JSON.stringify(what)}`, async (t) => {
      const server = t.server(echo);
      await t.client(server);
      await t.until("server", "open");
      t.log(
        "server",
        "stop",
        t.attempt(() => server.stop(what as never)),
      );
      await t.settle();
    });
  }

  same("leaves the listener's own account of itself", (t) => {
    const server = t.server();
    server.stop();
    return described(server);
  });

  same("is what leaving a using block does", async (t) => {
    let port = 0;
    {
      using server = t.server();
      port = server.port;
      await t.client(server);
      await t.until("server", "open");
    }
    t.log("server", "left");
    await t.settle();
    return t.outcome(() => t.client({ port }, {}, {}));
  });

  same("in a handler", async (t) => {
    const server = t.server({ open: () => t.log("server", "stop", server.stop(true)) });
    await t.client(server);
    await t.until("client", "close");
    await t.settle();
  });

  same("lets the port be taken again at once", async (t) => {
    const server = t.server(echo);
    await exchange(t, { hostname: "127.0.0.1", port: server.port });
    const { port } = server;
    server.stop(true);
    return t.attempt(() => t.server(echo, { port }).port === port);
  });
});

describe("a listener", () => {
  same("has data that can be set", (t) => {
    const server = t.server({}, { data: { a: 1 } });
    const before = server.data;
    server.data = 7;
    return [before, server.data];
  });

  same("is what its connections name as theirs", async (t) => {
    const server = t.server();
    const client = await t.client(server);
    const connection = await t.socket("server");
    const named = [connection.listener === server, client.listener];
    server.stop();
    return [...named, connection.listener === server];
  });

  same("has properties that cannot be set", (t) => {
    const server = t.server();
    const set = (name: string): unknown =>
      t.attempt(() => void ((server as unknown as Record<string, unknown>)[name] = 5));
    return [["port", "hostname", "unix"].map(set), server.port, server.hostname, Object.keys(server)];
  });

  same("answers ref(), unref() and reload() with nothing", (t) => {
    const server = t.server();
    const socket = t.handlers("other");
    return [
      server.ref(),
      server.unref(),
      server.ref(),
      server.reload({ socket }),
      server.ref.length,
      server.reload.length,
    ];
  });

  for (const what of [
    undefined,
    null,
    5,
    {},
    { socket: undefined },
    { socket: {} },
    { socket: { data: 1 } },
    { data(): void {} },
  ]) {
    same(`refuses reload() with ${Bun.inspect(what, { compact: true })}`, (t) => {
      const server = t.server();
      return t.attempt(() => server.reload(what as never));
    });
  }

  same("gives its address by getsockname()", (t) => {
    const server = t.server() as unknown as { getsockname: (to: object) => unknown };
    const to = {};
    return [t.attempt(() => server.getsockname(to)), to];
  });

  same("reload() changes the handlers of connections there are and of those that come", async (t) => {
    const server = t.server({ data: (socket) => void socket.write("old") });
    const first = await t.client(server);
    first.write("a");
    await t.until("client", "bytes", 3);
    server.reload({ socket: t.handlers("reloaded", { data: (socket) => void socket.write("new") }) });
    first.write("b");
    await t.until("client", "bytes", 6);
    const second = await t.client(server, t.handlers("second"));
    second.write("c");
    await t.until("reloaded", "bytes", 2);
    await t.until("second", "bytes", 3);
    first.end();
    await t.until("reloaded", "close");
    second.end();
    await t.until("reloaded", "close", 2);
  });
});
