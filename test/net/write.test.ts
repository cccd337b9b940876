/** What write() and end() take, what they say, and that every byte arrives, in its order, however much there is. */
import { describe } from "bun:test";
import { pattern } from "../support/files.ts";
import type { Handlers, Socket } from "./kinds.ts";
import { paired, same, type Stage } from "./support.ts";

type Writes = (socket: Socket, ...args: unknown[]) => unknown;

const bytes = Uint8Array.from({ length: 16 }, (_, i) => 97 + i);
const view = new DataView(bytes.buffer, 2, 6);

/** Arguments of a write, and what they are called. */
const taken: Record<string, () => unknown[]> = {
  "a string": () => ["plain"],
  "a string of two-byte characters": () => ["grüße 日本 🙂"],
  "a string that is half a character": () => ["a\ud800b"],
  "an empty string": () => [""],
  "a string with a zero": () => ["a\0b"],
  "a String object": () => [new String("object")],
  "a Buffer": () => [Buffer.from("buffer")],
  "a slice of a Buffer": () => [Buffer.from("a slice of it").subarray(2, 7)],
  "a Uint8Array": () => [bytes],
  "an empty Uint8Array": () => [new Uint8Array(0)],
  "a Uint16Array": () => [Uint16Array.of(0x6161, 0x6262)],
  "a Float64Array": () => [Float64Array.of(1, 2.5)],
  "a BigUint64Array": () => [BigUint64Array.of(1n, 2n)],
  "a Uint8ClampedArray": () => [Uint8ClampedArray.of(97, 98)],
  "an ArrayBuffer": () => [bytes.buffer],
  "an empty ArrayBuffer": () => [new ArrayBuffer(0)],
  "a SharedArrayBuffer": () => [new SharedArrayBuffer(3)],
  "a DataView": () => [view],
  "a Blob": () => [new Blob(["blob"])],
  "an empty Blob": () => [new Blob([])],
  "a file": () => [Bun.file("/dev/null")],
  "an object": () => [{}],
  "an object with toString": () => [{ toString: () => "told" }],
  "an array": () => [[97, 98]],
  "a number": () => [5],
  "a bigint": () => [5n],
  true: () => [true],
  null: () => [null],
  undefined: () => [undefined],
  nothing: () => [],
  "a symbol": () => [Symbol("x")],
  "a function": () => [() => undefined],
  "a URL": () => [new URL("http://a/")],
  "a Response": () => [new Response("x")],
  "a buffer that was transferred": () => {
    const buffer = new Uint8Array(4);
    structuredClone(buffer, { transfer: [buffer.buffer] });
    return [buffer];
  },
  "a resizable buffer": () => [new Uint8Array(new ArrayBuffer(3, { maxByteLength: 10 })).fill(97)],
};

const places: [unknown, unknown?][] = [
  [0],
  [3],
  [16],
  [17],
  [-1],
  [-17],
  [1.5],
  [Number.NaN],
  [Infinity],
  [null],
  [undefined],
  ["3"],
  ["x"],
  [{}],
  [true],
  [2n],
  [0, 0],
  [0, 5],
  [3, 5],
  [3, 13],
  [3, 14],
  [16, 0],
  [16, 1],
  [0, 17],
  [0, -1],
  [2, 1.5],
  [2, Number.NaN],
  [2, Infinity],
  [2, null],
  [2, undefined],
  [2, "3"],
  [2, "x"],
  [2, {}],
  [undefined, 4],
  [null, 4],
  [17, 0],
  [2 ** 32, 1],
  [2 ** 53, 1],
];

/** Whether what is written is written by write() or by end(). */
const ways: Record<string, Writes> = {
  write: (socket, ...args) => (socket.write as (...args: unknown[]) => number)(...args),
  end: (socket, ...args) => (socket.end as (...args: unknown[]) => number)(...args),
};

/** What one write comes to, and what the peer gets of it, up to a full stop. */
async function writes(t: Stage, by: Writes, args: unknown[]): Promise<void> {
  const server = t.server();
  const client = await t.client(server);
  t.log(
    "client",
    "result",
    t.attempt(() => by(client, ...args)),
    client.bytesWritten,
    client.readyState,
  );
  client.end(".");
  await t.until("server", "close", t.count("client", "result"));
}

for (const [name, by] of Object.entries(ways)) {
  describe(`${name}()`, () => {
    for (const [what, args] of Object.entries(taken)) same(`of ${what}`, async (t) => writes(t, by, args()));

    for (const place of places) {
      const shown = place.map((each) => (typeof each === "string" ? JSON.stringify(each) : String(each)));
      same(`from ${shown.join(", ")}`, async (t) => writes(t, by, [bytes, ...place]));
    }

    for (const more of [
      ["utf8"],
      ["latin1"],
      ["hex"],
      ["nonsense"],
      [1],
      [1, 2],
      [0, 2, "utf16le"],
      [0, undefined, "hex"],
    ]) {
      same(`of a string with ${JSON.stringify(more)}`, async (t) => writes(t, by, ["6162", ...more]));
      same(`of bytes with ${JSON.stringify(more)}`, async (t) => writes(t, by, [bytes, ...more]));
    }

    same("of part of a view, an ArrayBuffer and wide elements", async (t) => {
      await writes(t, by, [view, 1, 3]);
      await writes(t, by, [bytes.buffer, 4, 4]);
      await writes(t, by, [Uint16Array.of(0x6161, 0x6262, 0x6363), 1, 3]);
    });
  });
}

describe("write()", () => {
  paired("many times in a turn arrives in order", async (t) => {
    const server = t.server();
    const client = await t.client(server);
    let sum = 0;
    for (let i = 0; i < 1000; i++) sum += client.write(`${i} `);
    t.log("client", "sum", sum, client.bytesWritten);
    client.end();
    await t.until("server", "close");
  });

  paired("of strings and bytes by turns arrives in order", async (t) => {
    const server = t.server();
    const client = await t.client(server);
    for (let i = 0; i < 200; i++) client.write(i % 2 === 0 ? `${i} ` : Buffer.from(`${i} `));
    client.end("end");
    await t.until("server", "close");
  });

  paired("leaves the buffer to its owner when it returns", async (t) => {
    const server = t.server();
    const client = await t.client(server);
    const buffer = Buffer.alloc(10);
    for (let i = 0; i < 26; i++) client.write(buffer.fill(97 + i));
    buffer.fill(0);
    client.end();
    await t.until("server", "close");
  });

  paired("of a buffer that nobody keeps", async (t) => {
    const server = t.server();
    const client = await t.client(server);
    for (let i = 0; i < 50; i++) {
      client.write(Buffer.alloc(500, 97 + (i % 26)));
      if (i % 10 === 0) Bun.gc(true);
    }
    client.end();
    await t.until("server", "close");
  });

  paired("from data, there and back a thousand times", async (t) => {
    // What is sent at once may come in two pieces, where a buffer of the kernel's ends.
    let bytes = 0;
    const data: Handlers["data"] = (socket, data) => {
      bytes += data.length;
      if (bytes <= 999 * 4) socket.write(data);
      else if (bytes === 1000 * 4) socket.end();
    };
    const back: Handlers = { data };
    const client = await t.client(t.server(back), back);
    client.write("ball");
    await t.until("server", "close");
    await t.until("client", "close");
    return bytes;
  });

  for (const how of ["end", "close", "terminate", "shutdown"] as const) {
    same(`after ${how}()`, async (t) => {
      const client = await t.client(t.server());
      client[how]();
      const write = (...args: unknown[]): unknown => t.attempt(() => ways["write"]?.(client, ...args));
      const end = (...args: unknown[]): unknown => t.attempt(() => ways["end"]?.(client, ...args));
      t.log("client", "now", write("x"), write(""), write(bytes, 3), write({}), write(), end("x"), end(), end({}));
      await t.until("server", "close");
      await t.settle();
      t.log("client", "later", write("x"), write(""), write(bytes, 3), write({}), end("x"), end());
      return client.bytesWritten;
    });
  }

  same("after the peer has ended", async (t) => {
    const server = t.server({ open: (socket) => void socket.end("bye") });
    const client = await t.client(server);
    await t.until("client", "close");
    return [client.write("x"), client.readyState, client.bytesWritten];
  });

  same("in end and in close", async (t) => {
    const server = t.server({
      end: (socket) => t.log("server", "write", socket.write("late"), socket.readyState),
      close: (socket) => t.log("server", "write", socket.write("later"), socket.readyState),
    });
    const client = await t.client(server);
    client.shutdown();
    await t.until("server", "close");
    await t.until("client", "close");
  });

  same("counts in bytesWritten", async (t) => {
    const client = await t.client(t.server());
    const counts = [client.bytesWritten];
    for (const what of ["a", "ü", Buffer.alloc(100), ""]) {
      client.write(what);
      counts.push(client.bytesWritten);
    }
    client.end("zz");
    await t.until("server", "close");
    return [...counts, client.bytesWritten];
  });

  same("flush() is nothing", async (t) => {
    const client = await t.client(t.server());
    client.write("a");
    const flushed = [client.flush()];
    await t.until("server", "bytes");
    client.end();
    return [...flushed, client.flush()];
  });
});

/** Sends all of `data`, going on at each drain, and ends. What it does in between must add up. */
function sender(t: Stage, who: string, data: Buffer, finish: (socket: Socket) => void): Handlers {
  let at = 0;
  let partial = 0;
  const go = (socket: Socket): void => {
    while (at < data.length) {
      const wrote = socket.write(data.subarray(at));
      if (wrote < 0 || wrote > data.length - at) throw new Error(`write() said ${wrote}`);
      at += wrote;
      if (at < data.length) {
        partial++;
        return;
      }
    }
    t.log(who, "sent", at, partial > 0, socket.bytesWritten);
    at = Infinity;
    finish(socket);
  };
  return { open: go, drain: (socket) => void (at === Infinity || go(socket)) };
}

/** A party that takes all in and says whether it was what had been sent. */
function receiver(t: Stage, who: string, sent: Buffer): Handlers & Required<Pick<Handlers, "data">> {
  const got = t.arrival(sent);
  return {
    data: (_, data) => got.take(data as Buffer),
    close: (_, error) => t.log(who, "got", got.bytes === sent.length, got.isRight, error),
  };
}

describe("backpressure", () => {
  /** More than any socket takes at once. Its beginning serves those who need less: it is a lot to make and to hold. */
  const plenty = pattern(64 << 20);
  const sizes = { "64 MiB": 64 << 20, "5 MB": 5_000_000, "1 MiB": 1 << 20 };

  for (const [name, size] of Object.entries(sizes)) {
    const data = plenty.subarray(0, size);

    paired(`of the client: ${name} arrive`, async (t) => {
      const server = t.server({}, { socket: receiver(t, "server", data) });
      await t.client(server, {}, { socket: sender(t, "client", data, (socket) => void socket.end()) });
      await t.until("server", "got");
    });

    paired(`of the listener: ${name} arrive`, async (t) => {
      const server = t.server(
        {},
        { socket: { ...sender(t, "server", data, (socket) => void socket.end()), data: () => undefined } },
      );
      await t.client(server, {}, { socket: receiver(t, "client", data) });
      await t.until("client", "got");
    });
  }

  paired("over a path: 8 MiB arrive", async (t) => {
    const data = plenty.subarray(0, 8 << 20);
    const unix = t.path();
    t.server({}, { unix, socket: receiver(t, "server", data) });
    await t.client({ port: 0 }, {}, { unix, socket: sender(t, "client", data, (socket) => void socket.end()) });
    await t.until("server", "got");
  });

  paired("of both at once: 16 MiB each way", async (t) => {
    const data = plenty.subarray(0, 16 << 20);
    const both = (who: string): Handlers => {
      const got = t.arrival(data);
      return {
        ...sender(t, who, data, () => undefined),
        data: (_, chunk) => {
          got.take(chunk as Buffer);
          if (got.bytes >= data.length) t.log(`${who} in`, "got", got.bytes, got.isRight);
        },
      };
    };
    const server = t.server({}, { socket: both("server") });
    await t.client(server, {}, { socket: both("client") });
    for (const who of ["server", "client"]) {
      await t.until(who, "sent");
      await t.until(`${who} in`, "got");
    }
  });

  paired("of a peer that is paused: write() takes part, and drain comes after resume()", async (t) => {
    const server = t.server(
      {},
      { socket: { data: () => undefined, open: (s: Socket) => void t.meet("server", s).pause() } },
    );
    const data = plenty.subarray(0, 32 << 20);
    let drained = 0;
    const drain = (): void => void drained++;
    const client = await t.client(server, {}, { socket: { data: () => undefined, drain } });
    const first = client.write(data);
    let taken = first;
    // The kernel may find more room while it passes on what it has.
    for (let refused = 0; refused < 20; await Bun.sleep(5)) {
      const wrote = client.write(data);
      taken += wrote;
      refused = wrote === 0 ? refused + 1 : 0;
    }
    const second = client.write("more");
    await Bun.sleep(30);
    drained = 0;
    const before = [first > 0 && first < data.length, second, client.bytesWritten === taken];
    await t.settle();
    client.end();
    return [...before, drained];
  });

  same("write() of nothing does not count as more", async (t) => {
    const server = t.server(
      {},
      { socket: { data: () => undefined, open: (s: Socket) => void t.meet("server", s).pause() } },
    );
    const client = await t.client(server, {}, { socket: { data: () => undefined } });
    client.write(plenty);
    const results = [client.write(""), client.write(new Uint8Array(0)), client.write("x"), client.readyState];
    client.terminate();
    return results;
  });

  paired("what was taken of a buffer that is written over at once arrives as it was", async (t) => {
    const copy = plenty.subarray(0, 8 << 20);
    const data = Buffer.from(copy);
    const server = t.server({}, { socket: receiver(t, "server", copy) });
    let sent = 0;
    const go = (socket: Socket): void => {
      while (sent < data.length) {
        const wrote = socket.write(data.subarray(sent));
        data.fill(0, sent, sent + wrote);
        sent += wrote;
        if (wrote === 0) return;
      }
      socket.end();
    };
    await t.client(server, {}, { socket: { data: () => undefined, open: go, drain: go } });
    await t.until("server", "got");
  });

  paired("of a slow reader: every byte arrives", async (t) => {
    const data = plenty.subarray(0, 4 << 20);
    const all = receiver(t, "server", data);
    const slow: Handlers = {
      ...all,
      data: (socket, chunk) => {
        all.data(socket, chunk);
        socket.pause();
        setTimeout(() => socket.resume(), 1);
      },
    };
    const server = t.server({}, { socket: slow });
    await t.client(server, {}, { socket: sender(t, "client", data, (socket) => void socket.end()) });
    await t.until("server", "got");
  });

  same("end() with more than fits", async (t) => {
    const open = (socket: Socket): void => {
      t.log("server", "open");
      t.meet("server", socket).pause();
    };
    const close = (): void => t.log("server", "closed");
    const server = t.server({}, { socket: { data: () => undefined, open, close } });
    const client = await t.client(server);
    const peer = await t.socket("server");
    // The kernel finds room for some time after it has said that there is none, and where it does end() is carried out.
    for (let refusals = 0; refusals < 5; await Bun.sleep(10)) {
      refusals = client.write(plenty) === 0 ? refusals + 1 : 0;
    }
    t.log("client", "end", client.end(plenty), client.readyState);
    await t.settle();
    t.log("client", "later", client.readyState, client.write("x"));
    peer.resume();
    await t.until("server", "closed");
    t.log("client", "at last", client.readyState, client.write("x"));
  });

  same("end() with more than fits, to a reader", async (t) => {
    const data = plenty.subarray(0, 32 << 20);
    const got = t.arrival(data);
    const handlers: Handlers = {
      data: (_, chunk) => got.take(chunk as Buffer),
      close: () => t.log("server", "closed"),
    };
    const client = await t.client(t.server({}, { socket: handlers }));
    const wrote = client.end(data);
    await t.until("server", "closed");
    return [wrote > 0, got.bytes === wrote, got.isRight, got.bytes === data.length];
  });
});
