/** What listen() and connect() say to options that are wrong, odd or half there. */
import { describe, expect, test } from "bun:test";
import { backend } from "../../src/net/index.ts";
import { ours, same, type Stage } from "./support.ts";

const data = (): void => undefined;
const socket = { data };
/** Nobody listens on port 1 of the loopback. */
const to = { hostname: "127.0.0.1", port: 1 };
const at = { hostname: "127.0.0.1", port: 0 };

/** Options that must be refused at once, by both, or be taken the same way by both. */
const both: Record<string, unknown> = {
  nothing: undefined,
  null: null,
  "a number": 1,
  "a string": "x",
  "a function": data,
  "an array": [],
  "an empty object": {},
  "no socket": { ...at },
  "socket null": { ...at, socket: null },
  "socket a number": { ...at, socket: 1 },
  "socket a string": { ...at, socket: "x" },
  "socket a function": { ...at, socket: data },
  "no handlers": { ...at, socket: {} },
  "open alone": { ...at, socket: { open: data } },
  "close alone": { ...at, socket: { close: data } },
  "error alone": { ...at, socket: { error: data } },
  "end alone": { ...at, socket: { end: data } },
  "no place": { socket },
  "no hostname": { port: 0, socket },
  "hostname empty": { hostname: "", port: 0, socket },
  "hostname null": { hostname: null, port: 0, socket },
  "hostname false": { hostname: false, port: 0, socket },
  "hostname a symbol": { hostname: Symbol("x"), port: 0, socket },
  "no port": { hostname: "127.0.0.1", socket },
  "port null": { hostname: "127.0.0.1", port: null, socket },
  "port -1": { hostname: "127.0.0.1", port: -1, socket },
  "port 65536": { hostname: "127.0.0.1", port: 65_536, socket },
  "port 1e10": { hostname: "127.0.0.1", port: 1e10, socket },
  "port NaN": { hostname: "127.0.0.1", port: Number.NaN, socket },
  "port Infinity": { hostname: "127.0.0.1", port: Infinity, socket },
  "port 1.5": { hostname: "127.0.0.1", port: 1.5, socket },
  "port abc": { hostname: "127.0.0.1", port: "abc", socket },
  "port 80abc": { hostname: "127.0.0.1", port: "80abc", socket },
  "port 65536 in letters": { hostname: "127.0.0.1", port: "65536", socket },
  "port an object": { hostname: "127.0.0.1", port: {}, socket },
  "port a symbol": { hostname: "127.0.0.1", port: Symbol("x"), socket },
  "port 65536n": { hostname: "127.0.0.1", port: 65_536n, socket },
  "unix a number": { unix: 1, socket },
  "unix true": { unix: true, socket },
  "unix an object": { unix: {}, socket },
  "unix empty": { unix: "", socket },
  "unix null": { unix: null, socket },
  "unix null, and a port": { unix: null, hostname: "127.0.0.1", port: -1, socket },
  "unix a number, and a port": { ...at, unix: 5, socket },
  "fd a string": { fd: "x", socket },
  "fd an object": { fd: {}, socket },
  "tls a number": { ...at, tls: 1, socket },
  "tls a string": { ...at, tls: "x", socket },
  "data that throws when read": {
    ...at,
    socket,
    get data() {
      throw new Error("read");
    },
  },
  "a port that throws when read": {
    hostname: "127.0.0.1",
    socket,
    get port() {
      throw new Error("read");
    },
  },
  "a handler that throws when read": {
    ...at,
    socket: {
      get data() {
        throw new Error("read");
      },
    },
  },
};

for (const name of ["exclusive", "allowHalfOpen", "reusePort", "ipv6Only"]) {
  for (const value of ["yes", 1, 0, {}]) both[`${name} ${JSON.stringify(value)}`] = { ...at, [name]: value, socket };
}
const handlers = ["open", "data", "drain", "close", "error", "end", "timeout", "connectError", "handshake"];
for (const name of handlers) both[`${name} a number`] = { ...at, socket: { drain: data, [name]: 1 } };
for (const value of ["x", false, true, {}, 0, ""]) {
  both[`data ${JSON.stringify(value)}`] = { ...at, socket: { drain: data, data: value } };
  both[`open ${JSON.stringify(value)}`] = { ...at, socket: { data, open: value } };
}
for (const value of ["blob", "", "Buffer", "dataview", 5, {}, true]) {
  both[`binaryType ${JSON.stringify(value)}`] = { ...at, socket: { data, binaryType: value } };
}

/** What listen() makes of options. */
function listening(t: Stage, options: unknown): unknown {
  return t.attempt(() => {
    const { port, hostname, unix } = t.keep(t.net.listen(options as never)) as unknown as Record<string, unknown>;
    return { port, hostname, unix };
  });
}

/** What connect() makes of options, at once and later. */
async function connecting(t: Stage, options: unknown): Promise<unknown> {
  let promise: Promise<Bun.Socket<unknown>> | undefined;
  const thrown = t.attempt(() => void (promise = t.net.connect(options as never)));
  if (promise === undefined) return { thrown };
  return {
    promise: promise instanceof Promise,
    outcome: await t.outcome(async () => t.meet("client", (await promise) as never)),
  };
}

describe("listen() with", () => {
  for (const [name, options] of Object.entries(both)) same(name, (t) => listening(t, options));

  const taken: Record<string, unknown> = {
    "drain alone": { ...at, socket: { drain: data } },
    "handlers that are null and undefined": { ...at, socket: { data, open: null, close: undefined } },
    "a port in letters": { ...at, port: "0", socket },
    "a port in letters and blanks": { ...at, port: " 0 ", socket },
    "an empty port": { ...at, port: "", socket },
    "a bigint as port": { ...at, port: 0n, socket },
    "a false port": { ...at, port: false, socket },
    "port -0": { ...at, port: -0, socket },
    "a host with a port in it": { hostname: "127.0.0.1:0", port: 0, socket },
    "a URL as host": { hostname: "http://127.0.0.1:0", port: 0, socket },
    "brackets around IPv6": { hostname: "[::1]", port: 0, socket },
    "a host with a blank": { hostname: "a b", port: 0, socket },
    "hostname an object": { hostname: {}, port: 0, socket },
    "tls false": { ...at, tls: false, socket },
    "tls null": { ...at, tls: null, socket },
    "flags that are false": {
      ...at,
      exclusive: false,
      allowHalfOpen: false,
      reusePort: false,
      ipv6Only: false,
      socket,
    },
    "flags that are null": { ...at, exclusive: null, allowHalfOpen: null, reusePort: null, ipv6Only: null, socket },
    "options of nobody's": { ...at, socket, colour: "red" },
  };
  for (const [name, options] of Object.entries(taken)) same(name, (t) => listening(t, options));

  same("a name that does not exist", (t) => listening(t, { hostname: "no-such-host.invalid", port: 0, socket }));
  same("a path in no directory", (t) => listening(t, { unix: t.path("none/socket"), socket }));
  same("a path too long", (t) => listening(t, { unix: t.path("a".repeat(200)), socket }));
  same("an object without a prototype", (t) => listening(t, Object.assign(Object.create(null), { ...at, socket })));
  same("inherited options", (t) => listening(t, Object.create({ ...at, socket })));
});

describe("connect() with", () => {
  for (const [name, options] of Object.entries(both)) same(name, (t) => connecting(t, options));

  const refused: Record<string, unknown> = {
    "a port in letters": { ...to, port: "1", socket },
    "a bigint as port": { ...to, port: 1n, socket },
    "true as port": { ...to, port: true, socket },
    "drain alone": { ...to, socket: { drain: data } },
    "hostname an object": { hostname: {}, port: 1, socket },
    "a host with a port in it": { hostname: "127.0.0.1:1", port: 1, socket },
    "a URL as host": { hostname: "http://127.0.0.1:1", port: 1, socket },
    "brackets around IPv6": { hostname: "[::1]", port: 1, socket },
    "a host with a blank": { hostname: "a b", port: 1, socket },
    "tls false": { ...to, tls: false, socket },
    "tls null": { ...to, tls: null, socket },
    "flags that are null": { ...to, exclusive: null, allowHalfOpen: null, reusePort: null, ipv6Only: null, socket },
  };
  for (const [name, options] of Object.entries(refused)) same(name, (t) => connecting(t, options));
});

describe.skipIf(backend() === "bun")("tls (needs io_uring: Bun's own has it)", () => {
  const key = { key: "x", cert: "y" };
  test.each([[true], [{}], [key]])("listen() refuses %j with a sentence", (tls) => {
    expect(() => ours.listen({ ...at, tls, socket })).toThrow(/\btls\b/i);
    expect(() => ours.listen({ ...at, tls, socket })).toThrow(TypeError);
  });

  test.each([[true], [{}], [key]])("connect() refuses %j with a sentence", async (tls) => {
    const attempt = async (): Promise<unknown> => ours.connect({ ...to, tls, socket });
    await expect(attempt()).rejects.toThrow(/\btls\b/i);
  });

  test("upgradeTLS() is refused with a sentence", async () => {
    using listener = ours.listen({ ...at, socket });
    using client = await ours.connect({ hostname: "127.0.0.1", port: listener.port, socket });
    expect(() => client.upgradeTLS({ tls: true, socket })).toThrow(/\bTLS\b.+Bun\.connect/);
  });
});
