/** Sizes around whatever may be a limit somewhere, and ends in the midst of something. */
import { describe } from "bun:test";
import { pattern } from "../support/files.ts";
import type { Handlers, Socket } from "./kinds.ts";
import { type Arrival, paired, same, type Stage } from "./support.ts";

const quiet = { data: (): void => undefined };

/** A listener whose connections are read when told so, and a client of it that will send some of `data`. */
async function unread(
  t: Stage,
  data: Buffer,
  own: Handlers = quiet,
): Promise<{ client: Socket; read: () => void; got: Arrival }> {
  const got = t.arrival(data);
  const open = (socket: Socket): void => {
    t.meet("server", socket);
    socket.pause();
    t.log("server", "open");
  };
  const socket: Handlers = {
    open,
    data: (_, chunk) => got.take(chunk as Buffer),
    end: () => t.log("server", "end"),
    close: (_, error) => t.log("server", "close", error),
  };
  const client = await t.client(t.server({}, { socket }), {}, { socket: own });
  const server = await t.socket("server");
  return { client, read: () => server.resume(), got };
}

/** Writes the bytes of a pattern in pieces until nothing is taken any more; how many were. */
function fill(socket: Socket, data: Buffer, pieceBytes: number): number {
  let at = 0;
  while (at < data.length) {
    const wrote = socket.write(data.subarray(at, at + pieceBytes));
    at += wrote;
    if (wrote < Math.min(pieceBytes, data.length - at + wrote)) break;
  }
  return at;
}

const lengths = [
  0, 1, 63, 64, 65, 1023, 4095, 4096, 8191, 8192, 8193, 16_383, 16_384, 16_385, 32_768, 65_535, 65_536, 65_537,
];

describe("sizes", () => {
  for (const kind of ["bytes", "strings", "both by turns"]) {
    paired(`of ${kind}, one after the other in a turn, arrive in order`, async (t) => {
      const got: Buffer[] = [];
      const handlers: Handlers = { data: (_, data) => void got.push(data), close: () => t.log("server", "close") };
      const client = await t.client(t.server({}, { socket: handlers }), {}, { socket: quiet });
      const sent: Buffer[] = [];
      for (const [i, length] of lengths.entries()) {
        const text = String.fromCharCode(97 + i).repeat(length);
        const wrote = client.write(kind === "bytes" || (kind !== "strings" && i % 2 === 0) ? Buffer.from(text) : text);
        sent.push(Buffer.from(text).subarray(0, wrote));
      }
      client.end();
      await t.until("server", "close");
      const [expected, actual] = [Buffer.concat(sent), Buffer.concat(got)];
      return [expected.length === client.bytesWritten, actual.length === expected.length, actual.equals(expected)];
    });
  }

  for (const length of lengths.slice(1)) {
    same(`${length} bytes and characters of two and three bytes come back whole`, async (t) => {
      const echo = { data: (socket: Socket, data: Buffer): void => void socket.write(data) };
      const server = t.server({}, { socket: echo });
      const texts = ["a", "ü", "€"].map((letter) => letter.repeat(length));
      const wrote: number[] = [];
      for (const text of texts) {
        const got: Buffer[] = [];
        const { promise, resolve } = Promise.withResolvers<void>();
        const want = Buffer.byteLength(text);
        let bytes = 0;
        const data = (_: Socket, chunk: Buffer): void => {
          got.push(chunk);
          bytes += chunk.length;
          if (bytes === want) resolve();
        };
        const client = await t.client(server, {}, { socket: { data } });
        wrote.push(client.write(text));
        await promise;
        t.log("client", "whole", Buffer.concat(got).toString() === text);
        client.end();
      }
      return wrote;
    });
  }

  paired("a long string that does not fit: what was taken is its beginning", async (t) => {
    const text = "aü€🙂".repeat(1_000_000);
    const { client, read, got } = await unread(t, Buffer.from(text));
    const wrote = client.write(text);
    client.end();
    read();
    await t.until("server", "close");
    return [wrote > 0 && wrote < 10_000_000, got.bytes === wrote, got.isRight];
  });
});

describe("what was taken of small writes until nothing more was", () => {
  const data = pattern(24 << 20, 5);

  for (const piece of [100, 5000, 50_000]) {
    for (const name of ["end", "shutdown"] as const) {
      paired(`arrives after ${name}(), in pieces of ${piece}`, async (t) => {
        const { client, read, got } = await unread(t, data);
        let taken = fill(client, data, piece);
        for (let i = 0; i < 3; i++) {
          await Bun.sleep(1);
          taken += fill(client, data.subarray(taken), piece);
        }
        const counted = client.bytesWritten === taken;
        client[name]();
        read();
        await t.until("server", "end");
        return [taken < data.length, counted, got.bytes === taken, got.isRight];
      });
    }

    paired(`goes on at drain, in pieces of ${piece}`, async (t) => {
      let taken = 0;
      const drain = (socket: Socket): void => {
        taken += fill(socket, data.subarray(taken), piece);
        if (taken === data.length) socket.end();
      };
      const { client, read, got } = await unread(t, data, { ...quiet, drain });
      drain(client);
      await t.settle();
      const full = taken < data.length;
      read();
      await t.until("server", "close");
      return [full, got.bytes === data.length, got.isRight];
    });
  }

  paired("is not waited for by terminate()", async (t) => {
    const { client, read } = await unread(t, data);
    fill(client, data, 5000);
    await Bun.sleep(1);
    fill(client, data, 5000);
    client.terminate();
    read();
    await t.until("server", "close");
    return client.readyState;
  });
});

describe("stop() while connections come", () => {
  for (const all of [false, true]) {
    paired(`stop(${all}): each is served or closed, and none is left waiting`, async (t) => {
      const echo = { data: (socket: Socket, data: Buffer): void => void socket.write(data) };
      const server = t.server({}, { socket: echo });
      let clients = 0;
      const one = async (): Promise<string> => {
        const { promise, resolve } = Promise.withResolvers<string>();
        const socket: Handlers = {
          open: (it) => {
            if (++clients === 5) server.stop(all);
            it.write("x");
          },
          data: (it) => [resolve("done"), it.end()] as never,
          close: () => resolve("done"),
        };
        t.clients.connect({ hostname: "127.0.0.1", port: server.port, socket }).catch(() => resolve("done"));
        return promise;
      };
      return Promise.all(Array.from({ length: 20 }, one));
    });
  }
});
