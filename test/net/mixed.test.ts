/** Listeners and clients with strangers: node:net, nc(1), curl(1). */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect as connectNode, createServer as createNodeServer } from "node:net";
import { pattern } from "../support/files.ts";
import { netcat } from "../support/netcat.ts";
import { patience } from "../support/patience.ts";
import type { Handlers, Socket } from "./kinds.ts";
import { compare, LIMIT_MS, ours, resetSeen, same, type Stage } from "./support.ts";
import { digest } from "./trace.ts";

setDefaultTimeout(5 * LIMIT_MS * patience);

const echo: Handlers = { data: (socket, data) => void socket.write(data) };

/** Runs a command with something on its standard input, and says what came out. */
async function command(t: Stage, words: string[], input: string | Uint8Array = ""): Promise<unknown> {
  const child = Bun.spawn(words, { stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe" });
  t.atEnd(() => child.kill());
  const out = Buffer.from(await new Response(child.stdout).arrayBuffer());
  return { out: out.length > 1000 ? `${out.length} ${digest(out)}` : String(out), exitCode: await child.exited };
}

/** A node:net listener whose connections are logged. */
async function nodeListener(t: Stage, serve: (socket: import("node:net").Socket) => void): Promise<{ port: number }> {
  const listener = createNodeServer({ allowHalfOpen: true }, serve);
  t.atEnd(() => listener.close());
  const { promise, resolve } = Promise.withResolvers<void>();
  listener.listen(0, "127.0.0.1", resolve);
  await promise;
  return listener.address() as { port: number };
}

describe("node:net", () => {
  same("as client sends, gets it back and ends", async (t) => {
    const { port } = t.server(echo);
    const node = connectNode(port, "127.0.0.1");
    node.on("data", (data) => t.received("node", data));
    for (const event of ["connect", "end", "close"]) node.on(event, () => t.log("node", event));
    node.write("hello");
    await t.until("node", "bytes", 5);
    node.end(" bye");
    await t.until("node", "close");
    await t.until("server", "close");
  });

  same("as client gets 4 MiB and a FIN", async (t) => {
    const data = pattern(4 << 20, 3);
    let at = 0;
    const go = (socket: Socket): void => {
      at += socket.write(data.subarray(at));
      if (at === data.length) socket.end();
    };
    const { port } = t.server({}, { socket: { open: go, drain: go, data: () => undefined } });
    const chunks: Buffer[] = [];
    const node = connectNode(port, "127.0.0.1");
    node.on("data", (chunk: Buffer) => void chunks.push(chunk));
    node.on("end", () => t.log("node", "end", digest(Buffer.concat(chunks)) === digest(data)));
    await t.until("node", "end");
  });

  same("as listener echoes to a client", async (t) => {
    const { port } = await nodeListener(t, (socket) => void socket.pipe(socket));
    const client = await t.client({ port });
    client.write("to node");
    await t.until("client", "bytes", 7);
    client.shutdown();
    await t.until("client", "close");
  });

  same("as listener closes at once", async (t) => {
    const { port } = await nodeListener(t, (socket) => void socket.end());
    await t.client({ port });
    await t.until("client", "close");
  });

  same("as listener resets at once, before connect() resolves or after", async (t) => {
    const { port } = await nodeListener(t, (socket) => void socket.resetAndDestroy());
    return resetSeen(t, { port });
  });

  same("over a path", async (t) => {
    const unix = t.path();
    t.server(echo, { unix });
    const node = connectNode(unix);
    node.on("data", (data) => t.received("node", data));
    node.end("by path");
    await t.until("node", "bytes", 7);
    await t.until("server", "close");
  });
});

describe("nc(1)", () => {
  /** The same of both implementations, for a test that may be skipped. */
  const by = (title: string, body: (t: Stage) => unknown): void =>
    netcat(title, async () => void (await compare(body, [[ours, ours]], LIMIT_MS)));

  by("sends a line and gets it back", async (t) => {
    const { port } = t.server({ ...echo, end: (socket) => void socket.end("end\n") }, { allowHalfOpen: true });
    return command(t, ["nc", "-N", "127.0.0.1", String(port)], "a line\n");
  });

  by("sends 1 MiB, gets its digest and a FIN", async (t) => {
    const chunks: Buffer[] = [];
    const socket: Handlers = {
      data: (_, data) => void chunks.push(data),
      end: (it) => t.log("server", "end", it.end(`${digest(Buffer.concat(chunks))}\n`)),
    };
    const { port } = t.server({}, { allowHalfOpen: true, socket });
    return command(t, ["nc", "-N", "127.0.0.1", String(port)], pattern(1 << 20, 9));
  });

  by("gets what is said in open", async (t) => {
    const { port } = t.server({ open: (socket) => void socket.end("220 here\r\n") });
    return command(t, ["nc", "127.0.0.1", String(port)]);
  });

  by("over IPv6", async (t) => {
    const { port } = t.server({ open: (socket) => void socket.end("six\n") }, { hostname: "::1" });
    return command(t, ["nc", "-6", "::1", String(port)]);
  });

  by("over a path", async (t) => {
    const unix = t.path();
    t.server({ open: (socket) => void socket.end("path\n") }, { unix });
    return command(t, ["nc", "-U", unix]);
  });

  by("sees whether anybody listens", async (t) => {
    const server = t.server();
    const { port } = server;
    const before = await command(t, ["nc", "-z", "127.0.0.1", String(port)]);
    await t.until("server", "close");
    server.stop(true);
    return [before, await command(t, ["nc", "-z", "127.0.0.1", String(port)])];
  });
});

const curl = test.skipIf(Bun.which("curl") === null);

describe("curl(1)", () => {
  const body = "it works\n";
  const answer = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

  curl("gets pages one after the other by one connection, and one until the end (needs curl(1))", async () => {
    const serve = async (t: Stage): Promise<unknown> => {
      const asked: string[] = [];
      let connections = 0;
      const { port } = t.server(
        {},
        {
          socket: {
            open: () => void connections++,
            data: (socket: Socket, data: Buffer) => {
              const [line = ""] = String(data).split("\r\n");
              asked.push(line);
              if (line.includes("/last")) socket.end(`HTTP/1.0 200 OK\r\n\r\nuntil the end`);
              else socket.write(answer);
            },
          },
        },
      );
      const at = `http://127.0.0.1:${port}`;
      const got = await command(t, ["curl", "-sS", "--noproxy", "*", `${at}/1`, `${at}/2`, `${at}/last`]);
      return { got, asked, connections };
    };
    const expected = await compare(serve, [[ours, ours]], LIMIT_MS);
    expect(expected.result).toMatchObject({ got: { out: `${body}${body}until the end`, exitCode: 0 }, connections: 1 });
  });

  curl("posts 1 MiB (needs curl(1))", async () => {
    const size = 1 << 20;
    const serve = async (t: Stage): Promise<unknown> => {
      let got = 0;
      let headed = false;
      const data = (socket: Socket, chunk: Buffer): void => {
        got += chunk.length - (headed ? 0 : chunk.indexOf("\r\n\r\n") + 4);
        headed = true;
        if (got === size) socket.write(answer);
      };
      const { port } = t.server({}, { socket: { data } });
      const words = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "-H",
        "Expect:",
        "--data-binary",
        "@-",
        `http://127.0.0.1:${port}/`,
      ];
      return [await command(t, words, Buffer.alloc(size, 97)), got];
    };
    const expected = await compare(serve, [[ours, ours]], LIMIT_MS);
    expect(expected.result).toEqual([{ out: body, exitCode: 0 }, size]);
  });
});
