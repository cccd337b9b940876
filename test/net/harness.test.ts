/** That the comparison can fail: implementations that are a little wrong, shown to it one by one. */
import { describe, expect, test } from "bun:test";
import { descriptors, isRing } from "../support/descriptors.ts";
import { backend } from "../../src/net/index.ts";
import { expectedBackend } from "../support/backend.ts";
import type { Net, Socket } from "./kinds.ts";
import { type Case, compare, LIMIT_MS, ours, play, theirs } from "./support.ts";
import { expectSaysSomething } from "./trace.ts";

/** An echo, and everything that is seen of it. */
const echo: Case = async (t) => {
  const server = t.server({ data: (socket, data) => void socket.write(data) });
  const client = await t.client(server);
  t.log("client", "write", client.write("hello"));
  await t.until("client", "bytes", 5);
  client.end();
  await t.until("server", "close");
  await t.settle();
  return { port: server.port, hostname: server.hostname };
};

/** Bun's own with handlers that are tampered with. */
function with_(tamper: (handlers: Record<string, unknown>) => void): Net {
  const tampered = (options: unknown): never => {
    const { socket, ...others } = options as { socket: Record<string, unknown> };
    const handlers = { ...socket };
    tamper(handlers);
    return { ...others, socket: handlers } as never;
  };
  return {
    listen: ((options: never) => Bun.listen(tampered(options))) as Net["listen"],
    connect: Bun.connect,
  };
}

describe("the comparison", () => {
  test("of Bun's own with itself finds nothing", async () => {
    const trace = await play(echo, theirs);
    expect(trace).toEqual({
      logs: {
        server: ["open", ["data", "hello"], "end", ["close", "<undefined>"]],
        client: ["open", ["write", 5], ["data", "hello"], ["close", "<undefined>"]],
      },
      result: { port: "<port>", hostname: "127.0.0.1" },
    });
    expect(await play(echo, theirs)).toEqual(trace);
  });

  test("is of two implementations: one of them has a ring, where backend() says so", async () => {
    const listeners = [theirs, ours].map(({ listen }) => {
      using listener = listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
      return Object.getPrototypeOf(listener) as unknown;
    });
    await play(echo, ours);
    expect(backend()).toBe(expectedBackend);
    const uring = backend() === "uring";
    expect([listeners[0] !== listeners[1], descriptors(isRing) > 0]).toEqual([uring, uring]);
  });

  const wrong: Record<string, (handlers: Record<string, unknown>) => void> = {
    "an event that does not come": (handlers) => delete handlers["end"],
    "an event that comes twice": (handlers) => {
      const open = handlers["open"] as (socket: Socket) => void;
      handlers["open"] = (socket: Socket) => [open(socket), open(socket)];
    },
    "an event too early": (handlers) => {
      const { end, open } = handlers as Record<string, (socket: Socket) => void>;
      handlers["open"] = (socket: Socket) => [end?.(socket), open?.(socket)];
    },
    "another byte": (handlers) => {
      const data = handlers["data"] as (socket: Socket, data: Buffer) => void;
      handlers["data"] = (socket: Socket, bytes: Buffer) => data(socket, Buffer.from(bytes).fill(105, 4));
    },
    "an error where there is none": (handlers) => {
      const close = handlers["close"] as (socket: Socket, error: Error) => void;
      handlers["close"] = (socket: Socket) => close(socket, new Error("none"));
    },
    "data of another kind": (handlers) => {
      handlers["binaryType"] = "uint8array";
    },
  };

  test.each(Object.keys(wrong))("finds %s", async (name) => {
    const net = with_(wrong[name] as (handlers: Record<string, unknown>) => void);
    await compare(echo, [[theirs, theirs]], LIMIT_MS);
    await expect(compare(echo, [[net, theirs]], LIMIT_MS)).rejects.toThrow("expect(received)");
  });

  test("says what had happened when a case took too long", async () => {
    const forever: Case = async (t) => {
      t.log("someone", "waits");
      await t.until("someone", "bytes");
    };
    await expect(play(forever, theirs, 50)).rejects.toThrow(
      /Bun's own .*: still running after 50 ms: .*someone.*waits/,
    );
  });

  test("refuses a case that says nothing", async () => {
    const trace = await play(() => undefined, theirs);
    expect(() => expectSaysSomething(trace)).toThrow();
  });

  test("tells errors, kinds of bytes and undefined apart", async () => {
    const values = [undefined, null, 0, "", new Error("a"), new TypeError("a"), new Error("b"), Buffer.from("a")];
    const more = [new Uint8Array([97]), new Uint8Array([97]).buffer, Object.assign(new Error("a"), { code: "E" }), {}];
    const plain = (await play((t) => [...values, ...more].map((each) => t.plain(each)), theirs)).result as unknown[];
    expect(new Set(plain.map((each) => JSON.stringify(each))).size).toBe(plain.length);
  });
});
