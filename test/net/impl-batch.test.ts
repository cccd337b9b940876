/** What leaves together: the writes of a tick, of one connection and of many. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { IORING_OP_SENDMSG_ZC } from "../../src/abi/constants.gen.ts";
import { io } from "../../src/async/io.ts";
import { hub } from "../../src/net/hub.ts";
import { backend, connect, listen } from "../../src/net/index.ts";
import { scratchDirectory } from "../support/files.ts";
import { patience } from "../support/patience.ts";

setDefaultTimeout(5000 * patience);

const uring = backend() === "uring";
const directory = scratchDirectory();
/** Longer than until connections that had data are looked at. */
const LOOKED_AT_MS = 150;
const quiet = { data: (): void => undefined };

/** Bun's own listener, so that the ring has the clients' requests only. */
function sink(onData: (bytes: Buffer) => void): Bun.TCPSocketListener<undefined> {
  return Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: (_, bytes) => onData(bytes) } });
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 3000 * patience; !holds();) {
    if (performance.now() > end) throw new Error("It does not come to that");
    await Bun.sleep(1);
  }
}

describe.skipIf(!uring)("write() (needs io_uring)", () => {
  test("many times in a tick leaves as one send in one system call, which completes untold", async () => {
    let got = "";
    using server = sink((bytes) => (got += String(bytes)));
    const client = await connect({ hostname: "127.0.0.1", port: server.port, socket: quiet });
    await Bun.sleep(5 * patience);
    const before = io.stats();
    let sent = "";
    for (let i = 0; i < 100; i++) {
      const word = `${i} `;
      sent += word;
      expect(client.write(i % 2 === 0 ? word : Buffer.from(word))).toBe(word.length);
    }
    await until(() => got.length === sent.length);
    const after = io.stats();
    expect(got).toBe(sent);
    expect(after.submitted - before.submitted).toBe(1);
    expect(after.systemCalls - before.systemCalls).toBeLessThanOrEqual(3);
    // Kernel: before 6.1 every send tells of its success.
    expect(after.completed - before.completed).toBe(io.ring.supports(IORING_OP_SENDMSG_ZC) ? 0 : 1);
    client.end();
  });

  test("to fifty connections in a tick leaves in one system call", async () => {
    let got = 0;
    using server = sink((bytes) => (got += bytes.length));
    const to = { hostname: "127.0.0.1", port: server.port, socket: quiet };
    const clients = await Promise.all(Array.from({ length: 50 }, () => connect(to)));
    await Bun.sleep(5 * patience);
    const before = io.stats();
    // By turns, so that what each writes does not lie together.
    for (let i = 0; i < 20; i++) for (const client of clients) client.write("twelve bytes");
    await until(() => got === 50 * 20 * 12);
    const after = io.stats();
    expect(after.submitted - before.submitted).toBe(50);
    expect(after.systemCalls - before.systemCalls).toBeLessThanOrEqual(3);
    for (const client of clients) client.end();
  });

  test("to more connections in a tick than the queue holds leaves with a call for each queue", async () => {
    const { sqEntries } = io.ring.setup;
    const count = sqEntries + 200;
    let got = 0;
    using server = sink((bytes) => (got += bytes.length));
    const to = { hostname: "127.0.0.1", port: server.port, socket: quiet };
    const clients: Bun.Socket<undefined>[] = [];
    // The listener is of this process and has to accept them meanwhile.
    for (; clients.length < count; await Bun.sleep(1)) {
      clients.push(...(await Promise.all(Array.from({ length: 200 }, () => connect(to)))));
    }
    await Bun.sleep(10 * patience);
    const before = io.stats();
    for (const client of clients) client.write("x");
    await until(() => got === clients.length);
    const after = io.stats();
    expect(after.submitted - before.submitted).toBe(clients.length);
    expect(after.systemCalls - before.systemCalls).toBeLessThanOrEqual(4);
    for (const client of clients) client.terminate();
  });

  test("of what a socket does not take at once goes on from memory of its own, in order", async () => {
    const received: Buffer[] = [];
    let total = 0;
    let paused: Bun.Socket<undefined> | undefined;
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void (paused = socket).pause(),
        data: (_, bytes) => {
          received.push(bytes);
          total += bytes.length;
        },
      },
    });
    let drains = 0;
    const socket = { data: (): void => undefined, drain: () => void drains++ };
    const client = await connect({ hostname: "127.0.0.1", port: server.port, socket });
    await until(() => paused !== undefined);
    drains = 0;
    let taken = 0;
    // Short writes, a few of them a tick, until one is refused.
    for (let refused = false; !refused; await Promise.resolve().then(() => Bun.sleep(0))) {
      for (let i = 0; i < 8 && !refused; i++) {
        const wrote = client.write(Buffer.alloc(8000, taken / 8000));
        refused = wrote < 8000;
        taken += wrote;
      }
    }
    expect(client.bytesWritten).toBe(taken);
    expect(drains).toBe(0);
    expect(client.write("more")).toBe(0);
    paused?.resume();
    await until(() => total === taken && drains > 0);
    const all = Buffer.concat(received);
    expect(all.length).toBe(taken);
    for (let at = 0; at < taken; at += 8000) expect(all[at]).toBe((at / 8000) & 0xff);
    client.end();
  });
});

describe.skipIf(!uring)("io.close() (needs io_uring)", () => {
  for (const event of ["open", "data", "close"] as const) {
    test(`in ${event} ends all connections, and leaves no descriptor`, async () => {
      const before = readdirSync("/proc/self/fd").length;
      const closing: Promise<void>[] = [];
      let closed = 0;
      const act: Bun.SocketHandler<undefined> = { [event]: () => void closing.push(io.close()) };
      const server = listen({ hostname: "127.0.0.1", port: 0, socket: { ...quiet, ...act } });
      const socket = {
        ...quiet,
        open: (client: Bun.Socket<undefined>) => void client.end("x"),
        close: () => void closed++,
      };
      const to = { hostname: "127.0.0.1", port: server.port, socket };
      const clients = await Promise.allSettled(Array.from({ length: 5 }, () => connect(to)));
      await until(() => closing.length > 0);
      await Promise.all(closing);
      const open = clients.filter(({ status }) => status === "fulfilled").length;
      expect(closed).toBe(open);
      expect((server as { fd?: number }).fd).toBe(-1);
      await until(() => readdirSync("/proc/self/fd").length <= before);
    });
  }
});

describe.skipIf(!uring)("a listener (needs io_uring)", () => {
  test("accepts with one request that stays, and each connection has one more", async () => {
    let open = 0;
    let bytes = 0;
    const socket = { open: () => void open++, data: (_: unknown, data: Buffer) => void (bytes += data.length) };
    using server = listen({ hostname: "127.0.0.1", port: 0, socket });
    await Bun.sleep(2 * patience);
    const before = io.stats();
    const to = { hostname: "127.0.0.1", port: server.port, socket: quiet };
    const clients = await Promise.all(Array.from({ length: 20 }, () => Bun.connect(to)));
    await until(() => open === 20);
    await Bun.sleep(2 * patience);
    expect(io.stats().inFlight - before.inFlight).toBe(20);
    const submitted = io.stats().submitted;
    // Kernel: what waits for readiness (before 6.0) is asked for each time.
    const again = hub().receives.way === "readiness";
    for (let i = 1; i <= 5; i++) {
      for (const client of clients) client.write("x");
      await until(() => bytes === 20 * i);
      // A while after its data each connection is looked at, which is no request's.
      if (i === 1) await Bun.sleep(LOOKED_AT_MS);
    }
    if (!again) expect(io.stats()).toMatchObject({ submitted, inFlight: before.inFlight + 20 });
    for (const client of clients) client.end();
  });

  test.each([false, true])(
    "watches for the ends of a path's connections, unless its ring is crowded (%p)",
    async (crowded) => {
      const unix = join(directory, `crowded-${crowded}`);
      let [bytes, closed] = [0, 0];
      const socket = { data: (_: unknown, data: Buffer) => void (bytes += data.length), close: () => void closed++ };
      using server = listen({ unix, socket });
      await Bun.sleep(2 * patience);
      const { inFlight } = io.stats();
      const { reactor } = hub();
      Object.defineProperty(reactor, "isCrowded", { value: crowded, configurable: true });
      const client = await Bun.connect({ unix, socket: quiet });
      client.write("x");
      await until(() => bytes === 1);
      await Bun.sleep(LOOKED_AT_MS);
      // Kernel: what waits for readiness (before 6.0) misses nothing.
      const watched = hub().receives.way !== "readiness" && !crowded;
      expect(io.stats().inFlight - inFlight).toBe(watched ? 2 : 1);
      Reflect.deleteProperty(reactor, "isCrowded");
      expect(reactor.isCrowded).toBe(false);
      client.end();
      await until(() => closed === 1);
      expect(io.stats().inFlight).toBe(inFlight);
      expect(server.unix).toBe(unix);
    },
  );

  test("and its connections end with the ring, and the next is on a new one", async () => {
    const said: string[] = [];
    const told = (who: string): Bun.SocketHandler<undefined> => ({
      data: () => undefined,
      open: () => void said.push(`${who} open`),
      close: () => void said.push(`${who} close`),
    });
    const first = listen({ hostname: "127.0.0.1", port: 0, socket: told("server") });
    const client = await connect({ hostname: "127.0.0.1", port: first.port, socket: told("client") });
    await until(() => said.length === 2);
    await io.close();
    expect(said.toSorted()).toEqual(["client close", "client open", "server close", "server open"]);
    expect([client.readyState, client.write("x")]).toEqual([-1, -1]);
    const { promise, resolve } = Promise.withResolvers<string>();
    using second = listen({
      hostname: "127.0.0.1",
      port: first.port,
      socket: { data: (_, bytes) => resolve(String(bytes)) },
    });
    const again = await connect({ hostname: "127.0.0.1", port: second.port, socket: quiet });
    again.write("on a new ring");
    expect(await promise).toBe("on a new ring");
    again.end();
  });
});
