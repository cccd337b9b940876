/** The same bytes arrive in every way to receive and to send, those of older kernels included. */
import { afterEach, describe, expect, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import { io } from "../../src/async/io.ts";
import { hub } from "../../src/net/hub.ts";
import { backend, connect, listen } from "../../src/net/index.ts";
import { Receives, type Way } from "../../src/net/receives.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { patience } from "../support/patience.ts";

setDefaultTimeout(5000 * patience);

const uring = backend() === "uring";

/** Each way, and what it takes of the kernel. */
const ways: [Way, string][] = [
  ["filled slowly", "IOU_PBUF_RING_INC, Linux 6.12"],
  ["bundles", "IORING_RECVSEND_BUNDLE, Linux 6.10"],
  ["buffers", "IORING_RECV_MULTISHOT, Linux 6.0"],
  ["readiness", "IORING_FEAT_FAST_POLL, Linux 5.7"],
];

/** What the thread received with before. */
const usual = uring ? hub().receives : undefined;

/** Has the thread's connections receive in a way; whether the kernel has it. */
function use(way: Way): boolean {
  const receives = new Receives(hub().reactor, way);
  (hub() as { receives: Receives }).receives = receives;
  return receives.way === way;
}

function has(way: Way): boolean {
  if (!uring) return false;
  const receives = new Receives(hub().reactor, way);
  receives.close();
  return receives.way === way;
}

afterEach(() => {
  if (usual === undefined || hub().receives === usual) return;
  hub().receives.close();
  (hub() as { receives: Receives }).receives = usual;
});

/** Sends bytes to a listener that sends them back; resolves to what came back. */
async function echo(data: Buffer): Promise<Buffer> {
  const owed = new Map<Bun.Socket<unknown>, Buffer[]>();
  const pay = (socket: Bun.Socket<unknown>): void => {
    const queue = owed.get(socket) ?? [];
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      const wrote = socket.write(first);
      if (wrote === first.length) queue.shift();
      else {
        queue[0] = first.subarray(Math.max(wrote, 0));
        return;
      }
    }
  };
  using listener = listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void owed.set(socket, []),
      data(socket, bytes) {
        owed.get(socket)?.push(bytes);
        pay(socket);
      },
      drain: pay,
    },
  });
  const back: Buffer[] = [];
  let got = 0;
  let at = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const go = (socket: Bun.Socket<unknown>): void => {
    for (let wrote = 1; at < data.length && wrote > 0; at += Math.max(wrote, 0))
      wrote = socket.write(data.subarray(at));
  };
  const client = await connect({
    hostname: "127.0.0.1",
    port: listener.port,
    socket: {
      open: go,
      drain: go,
      data(_, bytes) {
        back.push(bytes);
        got += bytes.length;
        if (got >= data.length) resolve();
      },
    },
  });
  await promise;
  client.end();
  return Buffer.concat(back);
}

const directory = scratchDirectory();
let paths = 0;

/** Sends bytes from a socket of Bun's own over a path, and ends; resolves to what had come when the end was told. */
async function endOverPath(data: Buffer): Promise<Buffer> {
  const unix = join(directory, `socket-${paths++}`);
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = listen({ unix, socket: { data: (_, chunk) => void chunks.push(chunk), close: () => resolve() } });
  let at = 0;
  const go = (socket: Bun.Socket<unknown>): void => {
    while (at < data.length) {
      const wrote = socket.write(data.subarray(at));
      if (wrote <= 0) return;
      at += wrote;
    }
    socket.end();
  };
  await Bun.connect({ unix, socket: { data: () => undefined, open: go, drain: go } });
  await promise;
  return Buffer.concat(chunks);
}

describe("bytes come back", () => {
  for (const [way, needed] of ways) {
    const declare = needsThat(has(way), uring ? needed : "io_uring");

    describe(`received by way of ${way}`, () => {
      for (const size of [1, 64, 8193, 3_000_000]) {
        declare(`${size} of them`, async () => {
          expect(use(way)).toBe(true);
          const data = pattern(size, size);
          expect((await echo(data)).equals(data)).toBe(true);
        });
      }

      for (const size of [1, 300_000, 8_000_000]) {
        declare(`${size} of them over a path, and then the end`, async () => {
          expect(use(way)).toBe(true);
          const data = pattern(size, size);
          expect((await endOverPath(data)).equals(data)).toBe(true);
        });
      }

      declare("those of thirty connections at once", async () => {
        expect(use(way)).toBe(true);
        const all = Array.from({ length: 30 }, (_, i) => pattern(40_000 + i, i));
        const back = await Promise.all(all.map(echo));
        expect(back.map((bytes, i) => bytes.equals(all[i] as Buffer))).toEqual(all.map(() => true));
      });
    });
  }

  needsThat(uring, "io_uring")("sent by a ring on which every request tells of its success", async () => {
    const reactor = io.reactor();
    const before = reactor.tellsFailuresOnly;
    reactor.tellsFailuresOnly = false;
    const completed = io.stats().completed;
    const data = pattern(100_000, 7);
    for (let at = 0; at < data.length; at += 5000) {
      const part = data.subarray(at, at + 5000);
      expect((await echo(part)).equals(part)).toBe(true);
    }
    // Two receives and two sends an exchange, and an accept and a connect.
    expect(io.stats().completed - completed).toBeGreaterThanOrEqual(20 * 6);
    reactor.tellsFailuresOnly = before;
  });
});
