/** What the kernel says of the sockets themselves: options and flags are those that Bun sets. */
import { describe } from "bun:test";
import { Mapping } from "../../src/memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import { same } from "./support.ts";

const [GETSOCKOPT, FCNTL] = process.arch === "arm64" ? [209, 25] : [55, 72];
const F_GETFD = 1;

/** Levels and options, by their names. Sizes of buffers are not among them: the kernel changes them as it sees fit. */
const options: Readonly<Record<string, readonly [number, number]>> = {
  SO_REUSEADDR: [1, 2],
  SO_TYPE: [1, 3],
  SO_KEEPALIVE: [1, 9],
  SO_OOBINLINE: [1, 10],
  SO_PRIORITY: [1, 12],
  SO_LINGER: [1, 13],
  SO_REUSEPORT: [1, 15],
  SO_RCVLOWAT: [1, 18],
  SO_ACCEPTCONN: [1, 30],
  SO_PROTOCOL: [1, 38],
  SO_DOMAIN: [1, 39],
  TCP_NODELAY: [6, 1],
  TCP_CORK: [6, 3],
  TCP_KEEPIDLE: [6, 4],
  TCP_KEEPINTVL: [6, 5],
  TCP_KEEPCNT: [6, 6],
  TCP_SYNCNT: [6, 7],
  TCP_LINGER2: [6, 8],
  TCP_DEFER_ACCEPT: [6, 9],
  TCP_USER_TIMEOUT: [6, 18],
  TCP_FASTOPEN: [6, 23],
  IPV6_V6ONLY: [41, 26],
};

/** All of them of one socket, as the kernel has them, and whether programs that are started inherit it. */
function asked(of: unknown, without: readonly string[] = []): unknown {
  const { fd } = of as { fd: number };
  const memory = Mapping.anonymous(4096);
  const words = new Int32Array(memory.bytes.buffer, 0, 8);
  try {
    const wanted = Object.entries(options).filter(([name]) => !without.includes(name));
    const entries = wanted.map(([name, [level, option]]) => {
      words.fill(0);
      words[4] = 16;
      const res = syscalls().call(GETSOCKOPT, fd, level, option, memory.address, memory.address + 16);
      return [name, res < 0 ? res : [...words.subarray(0, (words[4] ?? 0) / 4)].join(" ")];
    });
    return { ...Object.fromEntries(entries), closedByExec: syscalls().call(FCNTL, fd, F_GETFD, 0, 0, 0) };
  } finally {
    memory.close();
  }
}

describe("options of", () => {
  for (const hostname of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
    for (const own of [{}, { exclusive: true }, { reusePort: true }, { ipv6Only: true }, { allowHalfOpen: true }]) {
      same(`a listener on ${hostname} with ${JSON.stringify(own)}`, (t) =>
        // What connections have of their listener is looked at where they are.
        asked(t.server({}, { hostname, ...own }), ["TCP_NODELAY"]),
      );
    }
  }

  same("a listener on a path", (t) => asked(t.server({}, { unix: t.path() })));

  for (const hostname of ["127.0.0.1", "::1"]) {
    same(`both ends of a connection over ${hostname}`, async (t) => {
      const client = await t.client(t.server({}, { hostname }), {}, { hostname });
      return [asked(client), asked(await t.socket("server"))];
    });
  }

  same("both ends of a connection over a path", async (t) => {
    const unix = t.path();
    t.server({}, { unix });
    const client = await t.client({ port: 0 }, {}, { unix });
    return [asked(client), asked(await t.socket("server"))];
  });

  same("a connection after setNoDelay() and setKeepAlive()", async (t) => {
    const client = await t.client(t.server());
    const seen: unknown[] = [];
    for (const on of [false, true]) seen.push([client.setNoDelay(on), asked(client)]);
    client.setNoDelay(false);
    seen.push([client.setNoDelay(), asked(client)]);
    const keep: [boolean?, number?][] = [[true], [true, 5000], [true, 1500], [true, 999], [false, 7000], [true, 0], []];
    for (const some of keep) seen.push([client.setKeepAlive(...some), asked(client)]);
    return seen;
  });

  same("a connection after setNoDelay() of what is neither true nor false", async (t) => {
    const client = await t.client(t.server());
    return [undefined, null, 0, 1, "no", ""].map((on) => {
      const answer = client.setNoDelay(on as never);
      return [answer, (asked(client) as Record<string, unknown>)["TCP_NODELAY"]];
    });
  });
});
