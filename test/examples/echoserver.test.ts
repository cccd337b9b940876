/** The example echo server as a process of its own, with real clients on loopback. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import net from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { BYTES, makeCounters, OPEN, REARMS, STOP } from "../../examples/echoserver/stats.ts";
import type { Answer, Task } from "../../examples/echoserver/worker.ts";
import { scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { netcat } from "../support/netcat.ts";
import { patience } from "../support/patience.ts";
import { example, run } from "./programs.ts";

const command = (...options: string[]): string[] => [...example("echoserver"), ...options];

/** A running server. */
class EchoServer {
  readonly child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  port = 0;
  /** The line that it prints when it listens. */
  greeting = "";
  readonly #lines: AsyncIterator<string>;

  private constructor(options: readonly string[]) {
    this.child = Bun.spawn(command("--port", "0", ...options), { stdout: "pipe", stderr: "inherit" });
    this.#lines = linesOf(this.child.stdout)[Symbol.asyncIterator]();
  }

  static async start(...options: string[]): Promise<EchoServer> {
    const server = new EchoServer(options);
    server.greeting = await server.line();
    server.port = Number(/:(\d+) /.exec(server.greeting)?.[1]);
    return server;
  }

  /** The next line of its output. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the server ended with status ${await this.child.exited}`);
    return value;
  }

  /** What SIGUSR1 has it print. */
  async statistics(): Promise<Statistics> {
    this.child.kill("SIGUSR1");
    return parse(await this.line());
  }

  /** Waits until the statistics are as they should be; gives them, or the last ones after five seconds. */
  async settled(good: (statistics: Statistics) => boolean): Promise<Statistics> {
    for (let i = 0; ; i++) {
      const statistics = await this.statistics();
      if (good(statistics) || i >= 100 * patience) return statistics;
      await Bun.sleep(50);
    }
  }

  /** Ends it: its exit status and its last statistics. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<{ status: number; statistics: Statistics }> {
    this.child.kill(signal);
    const statistics = parse(await this.line());
    return { status: await this.child.exited, statistics };
  }

  /** Bytes of memory that the process has. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }
}

interface Statistics {
  readonly connections: number;
  readonly open: number;
  readonly messages: number;
  readonly bytes: number;
  readonly syscalls: number;
  readonly rearms: number;
  readonly behind: number;
  readonly overflows: number;
}

function parse(line: string): Statistics {
  const pattern =
    /^connections (\d+) \((\d+) open\), messages (\d+), bytes (\d+), syscalls (\d+)(?: \([\d.]+ a message\))?, re-arms (\d+), fell behind (\d+), overflows (\d+)$/;
  const found = pattern.exec(line);
  if (found === null) throw new Error(`no line of statistics: ${line}`);
  const [connections, open, messages, bytes, syscalls, rearms, behind, overflows] = found.slice(1).map(Number);
  return { connections, open, messages, bytes, syscalls, rearms, behind, overflows } as Statistics;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of stream) {
    text += decoder.decode(part, { stream: true });
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

/** A client's socket. Half-open is allowed: what the server does after our FIN is the server's affair. */
function connect(port: number, host: string = "127.0.0.1"): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host, allowHalfOpen: true }, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Everything that comes until the server ends the connection. */
function everything(socket: net.Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    socket.on("data", (part: Buffer) => void parts.push(part));
    socket.once("end", () => resolve(Buffer.concat(parts)));
    socket.once("error", reject);
    socket.resume();
  });
}

/** The next `bytes` that come. */
function receive(socket: net.Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve) => {
    let got = Buffer.alloc(0);
    const take = (part: Buffer): void => {
      got = Buffer.concat([got, part]);
      if (got.length < bytes) return;
      socket.off("data", take);
      resolve(got);
    };
    socket.on("data", take);
  });
}

/** Sends `data`, ends our side, and gives what comes back before the server ends its own. */
async function exchange(port: number, data: Uint8Array, host?: string): Promise<Buffer> {
  const socket = await connect(port, host);
  const answer = everything(socket);
  socket.end(data);
  return answer;
}

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));

describe.each([
  ["with what the kernel has", []],
  ["with --plain", ["--plain"]],
])("echoserver %s", (_, options) => {
  let server: EchoServer;
  beforeAll(async () => {
    server = await EchoServer.start(...options);
  });
  afterAll(async () => {
    expect((await server.stop()).status).toBe(0);
  });

  test("says where it listens, and how", () => {
    expect(server.greeting).toMatch(
      /^listening on 127\.0\.0\.1:\d+ \(workers: 1; listening through .+, receiving .+\)$/,
    );
    expect(server.port).toBeGreaterThan(0);
    if (options.length > 0) expect(server.greeting).toContain("listening through Bun.listen");
  });

  test("sends back what it gets, of every size, and ends when the client has ended", async () => {
    for (const size of [0, 1, 63, 64, 65, 4095, 4096, 16384, 65537, 1048576, 5_000_000]) {
      const data = randomBytes(size);
      const answer = await exchange(server.port, data);
      expect(answer.length).toBe(size);
      expect(answer.equals(data)).toBe(true);
    }
  });

  test("serves 200 connections at once", async () => {
    const before = await server.settled(({ open }) => open === 0);
    const clients = await Promise.all(Array.from({ length: 200 }, () => connect(server.port)));
    expect((await server.settled(({ open }) => open === 200)).open).toBe(200);
    await Promise.all(
      clients.map(async (client, index) => {
        for (let round = 0; round < 5; round++) {
          const message = randomBytes(1 + ((index * 97 + round * 1009) % 3000));
          const answer = receive(client, message.length);
          client.write(message);
          expect((await answer).equals(message)).toBe(true);
        }
      }),
    );
    const ends = clients.map(everything);
    for (const client of clients) client.end();
    for (const rest of await Promise.all(ends)) expect(rest.length).toBe(0);
    const after = await server.settled(({ open }) => open === 0);
    expect(after.open).toBe(0);
    expect(after.connections - before.connections).toBe(200);
    expect(after.messages - before.messages).toBeGreaterThanOrEqual(1000);
  });

  test("lets nobody wait for a client that does not read, and keeps little for it", async () => {
    const data = randomBytes(50 * 1024 * 1024);
    const resident = server.residentBytes();
    const slow = await connect(server.port);
    slow.pause();
    slow.end(data);
    const other = await connect(server.port);
    for (let i = 0; i < 50; i++) {
      const answer = receive(other, 4);
      other.write("ping");
      expect(String(await Promise.race([answer, Bun.sleep(2000 * patience)]))).toBe("ping");
      await Bun.sleep(2);
    }
    const { bytes, open } = await server.statistics();
    expect(open).toBe(2);
    expect(server.residentBytes() - resident).toBeLessThan(32 * 1024 * 1024);
    // It has all come back in the end, in order.
    const answer = await everything(slow);
    expect(Bun.hash(answer)).toBe(Bun.hash(data));
    expect((await server.statistics()).bytes - bytes).toBeGreaterThan(20 * 1024 * 1024);
    other.end();
  });

  test("survives clients that reset their connections in the middle", async () => {
    await server.settled(({ open }) => open === 0);
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(server.port)));
    for (const client of clients) {
      client.on("error", () => {});
      client.pause();
      client.write(randomBytes(1024 * 1024));
    }
    await Bun.sleep(50);
    for (const client of clients) client.resetAndDestroy();
    expect((await server.settled(({ open }) => open === 0)).open).toBe(0);
    expect(String(await exchange(server.port, Buffer.from("still there")))).toBe("still there");
  });

  needsThat(Bun.which("curl") !== null, "curl(1)")("answers curl", async () => {
    const curl = Bun.spawn(["curl", "--silent", "--no-buffer", `telnet://127.0.0.1:${server.port}`], {
      stdin: "pipe",
      stdout: "pipe",
    });
    curl.stdin.write("hello\n");
    await curl.stdin.flush();
    const first = await linesOf(curl.stdout).next();
    expect(first.value).toBe("hello");
    curl.kill();
    await curl.exited;
  });

  netcat("answers nc and ends with it", () => {
    const nc = Bun.spawnSync(["nc", "-N", "127.0.0.1", String(server.port)], {
      stdin: Buffer.from("a line\n"),
      timeout: 5000 * patience,
    });
    expect([nc.exitCode, String(nc.stdout)]).toEqual([0, "a line\n"]);
  });

  needsThat(hasIpv6, "the IPv6 loopback address")("listens on IPv6", async () => {
    const six = await EchoServer.start("--host", "::1", ...options);
    expect(six.greeting).toStartWith(`listening on [::1]:${six.port} `);
    expect(String(await exchange(six.port, Buffer.from("six"), "::1"))).toBe("six");
    expect((await six.stop()).status).toBe(0);
  });

  test("shares the port between workers, whose statistics are summed", async () => {
    const several = await EchoServer.start("--workers", "2", ...options);
    expect(several.greeting).toContain("workers: 2;");
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => exchange(several.port, Buffer.from(`message ${i}`))),
    );
    expect(answers.map(String)).toEqual(answers.map((_, i) => `message ${i}`));
    const { status, statistics } = await several.stop();
    expect(status).toBe(0);
    expect(statistics).toMatchObject({ connections: 40, open: 0, messages: 40 });
  });

  test.each(["SIGINT", "SIGTERM"] as const)("stops on %s with statistics and status 0", async (signal) => {
    const stopped = await EchoServer.start(...options);
    expect(await stopped.statistics()).toMatchObject({ connections: 0, messages: 0, bytes: 0 });
    const idle = await connect(stopped.port);
    const ended = everything(idle);
    const answer = receive(idle, 5);
    idle.write("12345");
    await answer;
    // A client that does not read delays the end by a second, not more.
    const slow = await connect(stopped.port);
    slow.on("error", () => {});
    slow.pause();
    slow.write(randomBytes(20 * 1024 * 1024));
    await stopped.settled(({ bytes }) => bytes > 1024 * 1024);
    const began = performance.now();
    const { status, statistics } = await stopped.stop(signal);
    expect(status).toBe(0);
    expect(statistics.connections).toBe(2);
    expect(statistics.syscalls).toBeGreaterThan(0);
    expect(performance.now() - began).toBeLessThan(4000 * patience);
    await ended;
    slow.destroy();
  });
});

describe.each([
  ["little by little", [2, 4096] as const],
  ["at once", undefined],
])("echoserver with queues and buffers far too small, filled %s", (_, filledSlowly) => {
  test("loses nothing", async () => {
    const counters = makeCounters();
    const sizes = { submissions: 8, completions: 8, filledSlowly, filledAtOnce: [4, 1024] } as const;
    const endpoint = { address: "127.0.0.1", family: 4, port: 0, shared: false } as const;
    const task: Task = { endpoint, plain: false, counters, sizes };
    const worker = new Worker(new URL("../../examples/echoserver/worker.ts", import.meta.url), { workerData: task });
    const ended = new Promise<number>((resolve) => void worker.once("exit", resolve));
    const answer = await new Promise<Answer>((resolve, reject) => {
      worker.once("error", reject);
      worker.once("message", resolve);
    });
    if ("failure" in answer) throw new Error(answer.failure);
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const data = randomBytes(20_000 + index);
        expect((await exchange(answer.port, data)).equals(data)).toBe(true);
      }),
    );
    counters[STOP] = 1;
    // Whatever ends its wait will do: a connection does, on every kernel.
    (await connect(answer.port)).destroy();
    expect(await ended).toBe(0);
    expect(counters[BYTES]).toBe(100 * 20_000 + (99 * 100) / 2);
    expect(counters[OPEN]).toBe(0);
    if (answer.how.includes("shared buffers")) expect(counters[REARMS]).toBeGreaterThan(0);
  });
});

const directory = scratchDirectory();

describe.each([
  ["with what the kernel has", []],
  ["with --plain", ["--plain"]],
])("echoserver --unix %s", (_, options) => {
  test("sends back what it gets, refuses a path that is taken, and leaves nothing behind", async () => {
    const path = join(directory, "socket");
    const server = await EchoServer.start("--unix", path, ...options);
    expect(server.greeting).toStartWith(`listening on ${path} (workers: 1; `);
    const second = run(command("--unix", path, ...options));
    expect(second.status).toBe(1);
    expect(second.stderr).toBe(`echoserver: Cannot listen on ${path}: EADDRINUSE: address already in use\n`);
    const data = randomBytes(1_000_000);
    const socket = net.connect({ path, allowHalfOpen: true });
    const answer = everything(socket);
    socket.end(data);
    expect((await answer).equals(data)).toBe(true);
    const { status, statistics } = await server.stop();
    expect(status).toBe(0);
    expect(statistics).toMatchObject({ connections: 1, open: 0, bytes: data.length });
    expect(readdirSync(directory)).toEqual([]);
  });

  test("ends with clients that end together with their last data", async () => {
    const path = join(directory, "socket");
    const server = await EchoServer.start("--unix", path, ...options);
    for (let round = 0; round < 30; round++) {
      const socket = net.connect({ path, allowHalfOpen: true });
      const answer = everything(socket);
      socket.end(`round ${round}`);
      expect(String(await answer)).toBe(`round ${round}`);
    }
    const { statistics } = await server.stop();
    expect(statistics).toMatchObject({ connections: 30, open: 0 });
  });

  netcat("answers nc and ends with it", async () => {
    const path = join(directory, "socket");
    const server = await EchoServer.start("--unix", path, ...options);
    for (let round = 0; round < 10; round++) {
      const { stdout, exitCode } = Bun.spawnSync(["nc", "-N", "-U", path], {
        stdin: Buffer.from(`line ${round}\n`),
        timeout: 5000 * patience,
      });
      expect([exitCode, String(stdout)]).toEqual([0, `line ${round}\n`]);
    }
    const { statistics } = await server.stop();
    expect(statistics).toMatchObject({ connections: 10, open: 0 });
  });
});

describe("echoserver's command line", () => {
  test("--help shows how it is used", () => {
    const { status, stdout, stderr } = run(command("--help"));
    expect(status).toBe(0);
    expect(stderr).toBe("");
    for (const word of ["Usage:", "--host", "--port", "--workers", "--unix", "--plain"])
      expect(String(stdout)).toContain(word);
  });

  test.each([
    "--port 65536",
    "--port http",
    "--port -1",
    "--workers 0",
    "--workers 1.5",
    "--wrokers 1",
    "--port",
    "--host=",
    "--unix=",
    "--unix /tmp/socket --workers 2",
    "stray",
  ])("refuses %s with status 2", (options) => {
    const { status, stdout, stderr } = run(command(...options.split(" ")));
    expect(status).toBe(2);
    expect(String(stdout)).toBe("");
    expect(stderr).toStartWith("echoserver: ");
    expect(stderr).toContain("--help");
  });

  test.each([
    ["1", []],
    ["2", []],
    ["1", ["--plain"]],
  ])("says with status 1 that a port is in use (workers: %s, %p)", (workers, options) => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const port = String(taken.port);
    const { status, stdout, stderr } = run(command("--port", port, "--workers", workers, ...options));
    taken.stop(true);
    expect(status).toBe(1);
    expect(String(stdout)).toBe("");
    expect(stderr).toBe(`echoserver: Cannot listen on 127.0.0.1:${port}: EADDRINUSE: address already in use\n`);
  });

  test("says with status 1 that an address is not this machine's", () => {
    const { status, stderr } = run(command("--host", "192.0.2.1", "--port", "0"));
    expect(status).toBe(1);
    expect(stderr).toStartWith("echoserver: Cannot listen on 192.0.2.1:0: EADDRNOTAVAIL");
  });
});
