/** Streams, lines and web streams of a handle. */
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pattern } from "../../support/files.ts";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { encodings, notOptions, numbers } from "./values.ts";

type Any = any;

/**
 * Lets go of a handle what streams have not let go of that were never made or never end by themselves: it would wait
 * for them forever when it is closed.
 */
function abandon(it: Any): void {
  // Bun: a stream takes its hold on the handle before it looks at its options, and does not let go when it throws.
  const symbols: symbol[] = [];
  for (let its = it; its !== null; its = Object.getPrototypeOf(its)) symbols.push(...Object.getOwnPropertySymbols(its));
  const named = (name: string): symbol => symbols.find(({ description }) => description === name) ?? Symbol();
  it.removeAllListeners("close");
  while (it[named("kRefs")] > 1) it[named("kUnref")]();
}

/** Does something with a handle that is closed after it, by a stream or here. */
function withHandle(
  name: string,
  flags: string,
  use: (it: Any, fs: Fs, dir: string) => unknown,
): (fs: Fs, dir: string) => Promise<unknown> {
  return async (fs, dir) => {
    const it = await fs.open(`${dir}/${name}`, flags);
    const value = await settle(async () => use(it, fs, dir));
    const { fd } = it;
    await it.close();
    return [value, fd === -1 ? "closed" : "open"];
  };
}

/** Everything that a stream says until it is closed. */
function story(
  stream: Any,
  listen: readonly string[] = ["open", "ready", "end", "finish", "error", "close"],
): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const events: unknown[] = [];
  for (const name of listen) {
    stream.on(name, (value: unknown) => {
      events.push(value instanceof Error ? [name, value] : name);
      if (name === "close") resolve(events);
    });
  }
  return promise;
}

/** The chunks of a stream, as they came, and their lengths. */
async function chunks(stream: AsyncIterable<Any>): Promise<unknown> {
  const all = [];
  for await (const chunk of stream) all.push(chunk);
  const whole = typeof all[0] === "string" ? all.join("") : Buffer.concat(all);
  return {
    lengths: all.map((chunk) => chunk.length),
    kinds: new Set(all.map((chunk) => chunk.constructor.name)),
    whole,
  };
}

const ranges: readonly Any[] = [
  {},
  { start: 0 },
  { start: 3 },
  { end: 4 },
  { start: 3, end: 4 },
  { start: 3, end: 3 },
  { start: 0, end: 0 },
  { start: 12 },
  { start: 100 },
  { end: 1000 },
  { start: 5, end: 2 },
  { start: -1 },
  { end: -1 },
  { start: 1.5 },
  { end: 1.5 },
  { start: "3" },
  { end: "3" },
  { start: Number.NaN },
  { end: Number.NaN },
  { start: null },
  { end: null },
  { end: Number.POSITIVE_INFINITY },
  { start: 2 ** 31, end: 2 ** 32 },
  { start: 2n },
  { highWaterMark: 1 },
  { highWaterMark: 5 },
  { highWaterMark: 5, start: 2, end: 8 },
  { highWaterMark: -1 },
  { highWaterMark: Number.NaN },
  { highWaterMark: "5" },
  { highWaterMark: 2 ** 20 },
  { encoding: "utf8" },
  { encoding: "hex", highWaterMark: 3 },
  { encoding: "base64", highWaterMark: 4 },
  { encoding: "nonsense" },
  { objectMode: true },
  { emitClose: false },
  { autoClose: false },
  { autoClose: true },
];

const byRange: Cases = Object.fromEntries(
  ranges.map((range, i) => [
    `createReadStream(${Bun.inspect(range).replaceAll(/\s+/g, " ")}) [${i}]`,
    withHandle("hello.txt", "r", async (it) => {
      const made = await settle(() => it.createReadStream(range));
      const stream = made.value as Any;
      const read = made.how === "returned" && (await settle(() => chunks(stream)));
      abandon(it);
      return made.how === "returned" ? [read, stream.bytesRead, stream.destroyed] : made;
    }),
  ]),
);

/** Reading through streams. */
export const readStreams: Cases = {
  ...byRange,
  "createReadStream() tells its story": withHandle("hello.txt", "r", async (it) => {
    const stream = it.createReadStream();
    const told = story(stream);
    stream.resume();
    return [await told, it.fd, stream.constructor.name, stream.path, stream.flags, stream.pending];
  }),
  "createReadStream() that keeps the handle": withHandle("hello.txt", "r", async (it) => {
    const first = await chunks(it.createReadStream({ autoClose: false, end: 4 }));
    const second = await chunks(it.createReadStream({ autoClose: false, start: 6 }));
    return [first, second, it.fd > 0];
  }),
  "createReadStream() goes on where the handle was": withHandle("lines.txt", "r", async (it) => {
    await it.read(Buffer.alloc(6), 0, 6);
    return chunks(it.createReadStream());
  }),
  "createReadStream() that is destroyed early": withHandle("large.bin", "r", async (it) => {
    const stream = it.createReadStream({ highWaterMark: 1000 });
    const told = story(stream);
    stream.once("data", () => stream.destroy());
    return [await told, it.fd];
  }),
  "createReadStream() that is destroyed with an error": withHandle("large.bin", "r", async (it) => {
    const stream = it.createReadStream({ highWaterMark: 1000 });
    const told = story(stream);
    stream.once("data", () => stream.destroy(new RangeError("enough")));
    return [await told, it.fd];
  }),
  "createReadStream() that is destroyed before it began": withHandle("large.bin", "r", async (it) => {
    const stream = it.createReadStream();
    const told = story(stream);
    stream.destroy();
    return [await told, it.fd];
  }),
  "createReadStream() that is left in its loop": withHandle("large.bin", "r", async (it) => {
    const stream = it.createReadStream({ highWaterMark: 100 });
    const told = story(stream, ["open", "end", "error", "close"]);
    let length = 0;
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > 250) break;
    }
    return [length, await told];
  }),
  "createReadStream() of an empty file": withHandle("empty.txt", "r", (it) =>
    settle(() => chunks(it.createReadStream())),
  ),
  "createReadStream() of a large file": withHandle("large.bin", "r", (it) => chunks(it.createReadStream())),
  "createReadStream() of a large file in small pieces": withHandle("large.bin", "r", (it) =>
    chunks(it.createReadStream({ highWaterMark: 4096, start: 1000, end: 100_000 })),
  ),
  "createReadStream() of characters cut in two": withHandle("utf8.txt", "r", async (it) => {
    const all = [];
    for await (const chunk of it.createReadStream({ encoding: "utf8", highWaterMark: 1 })) all.push(chunk);
    return all.join("");
  }),
  "createReadStream() of a directory": withHandle("sub", "r", (it) => story(it.createReadStream().resume())),
  "createReadStream() of a handle for writing": async (fs, dir) => {
    const it = await fs.open(`${dir}/hello.txt`, "a");
    const told = await story(it.createReadStream().resume());
    await it.close();
    return told;
  },
  "createReadStream() of a closed handle": async (fs, dir) => {
    const it = await fs.open(`${dir}/hello.txt`, "r");
    await it.close();
    return [
      await settle(() => it.createReadStream()),
      await settle(() => it.createWriteStream()),
      await settle(() => it.readableWebStream()),
      await settle(() => it.readLines()),
    ];
  },
  "createReadStream() whose handle is closed meanwhile": withHandle("large.bin", "r", async (it) => {
    const stream = it.createReadStream({ highWaterMark: 1000 });
    const told = story(stream);
    stream.once("data", () => void it.close());
    stream.resume();
    return told;
  }),
  "createReadStream() with a signal": withHandle("large.bin", "r", async (it) => {
    const controller = new AbortController();
    const stream = it.createReadStream({ highWaterMark: 1000, signal: controller.signal });
    const told = story(stream);
    stream.once("data", () => controller.abort());
    return told;
  }),
  "createReadStream() with options of the wrong kind": withHandle("hello.txt", "r", (it) =>
    each(
      notOptions.filter((options) => typeof options === "string" || options === true),
      async (options) => {
        const stream = it.createReadStream(options);
        const told = story(stream);
        stream.destroy();
        return [stream.constructor.name, await told];
      },
    ),
  ),
  "createReadStream() in a pipeline": withHandle("lines.txt", "r", async (it, fs, dir) => {
    const upper = new Transform({
      transform: (chunk, _encoding, done) => done(null, String(chunk).toUpperCase()),
    });
    const target = await fs.open(`${dir}/upper`, "w");
    await pipeline(it.createReadStream(), upper, target.createWriteStream());
    return [it.fd, target.fd];
  }),
  "readLines() gives lines": withHandle("lines.txt", "r", async (it) => {
    const lines = [];
    for await (const line of it.readLines()) lines.push(line);
    return [lines, it.fd];
  }),
  "readLines() of a range": withHandle("lines.txt", "r", async (it) => {
    const lines = [];
    for await (const line of it.readLines({ start: 3, end: 14, encoding: "utf8" })) lines.push(line);
    return lines;
  }),
  "readLines() that is left": withHandle("lines.txt", "r", async (it) => {
    const lines = it.readLines();
    const told = story(lines.input);
    let first = "";
    for await (const line of lines) {
      first = line;
      break;
    }
    lines.input.destroy();
    return [first, await told];
  }),
  "readLines() of an empty file": withHandle("empty.txt", "r", async (it) => {
    const lines = [];
    for await (const line of it.readLines()) lines.push(line);
    return lines;
  }),
  "readableWebStream() gives bytes": withHandle("large.bin", "r", async (it) => {
    const stream = it.readableWebStream();
    return [await chunks(stream), it.fd > 0, stream.constructor.name];
  }),
  "readableWebStream() that closes its handle": withHandle("hello.txt", "r", async (it) => [
    await chunks(it.readableWebStream({ autoClose: true })),
    it.fd,
  ]),
  "readableWebStream() only once": withHandle("hello.txt", "r", async (it) => {
    const stream = it.readableWebStream();
    const again = await settle(() => it.readableWebStream());
    await stream.cancel();
    return [again, await settle(() => it.readableWebStream().constructor.name)];
  }),
  "readableWebStream() with a reader of one's own": withHandle("hello.txt", "r", async (it) => {
    const reader = it.readableWebStream({ type: "bytes" }).getReader({ mode: "byob" });
    const first = await reader.read(new Uint8Array(5));
    const second = await reader.read(new Uint8Array(100));
    const third = await reader.read(new Uint8Array(5));
    return [first, second, third];
  }),
  "readableWebStream() with options of the wrong kind": (fs, dir) =>
    each([null, true, 1, "x", [], { autoClose: 1 }, { autoClose: "yes" }], (options) =>
      opened(fs, `${dir}/hello.txt`, "r", async (it) => {
        const stream = it.readableWebStream(options);
        await stream.cancel();
        return stream.constructor.name;
      }),
    ),
  "readableWebStream() whose handle is closed": withHandle("large.bin", "r", async (it) => {
    const reader = it.readableWebStream().getReader();
    await reader.read();
    const closing = it.close();
    const rest = [await settle(async () => (await reader.read()).done)];
    await closing;
    return [rest, it.fd];
  }),
  "readableWebStream() as a Response": withHandle("utf8.txt", "r", (it) => new Response(it.readableWebStream()).text()),
};

const writeRanges: readonly Any[] = [
  {},
  { start: 3 },
  { start: 20 },
  { start: -1 },
  { start: 1.5 },
  { start: "3" },
  { start: null },
  { start: Number.NaN },
  { start: 2n },
  { encoding: "hex" },
  { encoding: "nonsense" },
  { highWaterMark: 1 },
  { flush: true },
  { flush: 1 },
  { autoClose: false },
  { emitClose: false },
];

const byWriteRange: Cases = Object.fromEntries(
  writeRanges.map((range, i) => [
    `createWriteStream(${Bun.inspect(range).replaceAll(/\s+/g, " ")}) [${i}]`,
    withHandle("hello.txt", "r+", async (it) => {
      const made = await settle(() => it.createWriteStream(range));
      const stream = made.value as Any;
      if (made.how === "threw") {
        abandon(it);
        return made;
      }
      const told = range.emitClose === false || range.autoClose === false ? undefined : story(stream);
      const ended = await settle(() => pipeline(Readable.from(["6869", "6a6b"]), stream));
      const endings = [ended, await told, stream.bytesWritten, stream.destroyed];
      abandon(it);
      return endings;
    }),
  ]),
);

/** Writing through streams. */
export const writeStreams: Cases = {
  ...byWriteRange,
  "createWriteStream() tells its story": withHandle("hello.txt", "r+", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    stream.end("the end");
    return [await told, it.fd, stream.constructor.name, stream.bytesWritten, stream.path, stream.pending];
  }),
  "createWriteStream() in encodings": async (fs, dir) => {
    const endings = [];
    for (const [i, encoding] of encodings.entries()) {
      const it = await fs.open(`${dir}/w${i}`, "w");
      endings.push(
        await settle(async () => {
          const stream = it.createWriteStream();
          const told = story(stream);
          stream.write("6869", encoding);
          stream.end();
          return told;
        }),
      );
      await it.close();
    }
    return endings;
  },
  "createWriteStream() that is destroyed early": withHandle("hello.txt", "r+", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    stream.destroy();
    return [await told, it.fd];
  }),
  "createWriteStream() that is destroyed with an error": withHandle("hello.txt", "r+", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    stream.destroy(new RangeError("enough"));
    return [await told, it.fd];
  }),
  "createWriteStream() that keeps the handle": withHandle("hello.txt", "r+", async (it) => {
    const stream = it.createWriteStream({ autoClose: false });
    const { promise, resolve } = Promise.withResolvers<void>();
    stream.on("finish", resolve).end("one");
    await promise;
    await it.write("two");
    abandon(it);
    return it.fd > 0;
  }),
  "createWriteStream() of much": withHandle("new", "w", async (it) => {
    const stream = it.createWriteStream({ highWaterMark: 5000 });
    const told = story(stream);
    let full = 0;
    for (let i = 0; i < 100; i++) if (!stream.write(pattern(3000, i + 1))) full++;
    stream.end();
    await told;
    return [full > 0, stream.bytesWritten];
  }),
  "createWriteStream() of much that waits": withHandle("new", "w", async (it) => {
    const stream = it.createWriteStream({ highWaterMark: 5000 });
    await pipeline(
      (function* () {
        for (let i = 0; i < 60; i++) yield pattern(3000, i + 1);
      })(),
      stream,
    );
    return stream.bytesWritten;
  }),
  "createWriteStream() of pieces held together": withHandle("new", "w", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    stream.cork();
    for (let i = 0; i < 20; i++) stream.write(`piece ${i}\n`);
    stream.uncork();
    stream.end();
    await told;
    return stream.bytesWritten;
  }),
  "createWriteStream() of what is no data": withHandle("hello.txt", "r+", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    const endings = await each([1, true, {}, null, undefined], (data) => stream.write(data));
    stream.destroy();
    return [endings, await told];
  }),
  "createWriteStream() of a handle for reading": withHandle("hello.txt", "r", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    stream.end("x");
    return told;
  }),
  "createWriteStream() after its end": withHandle("hello.txt", "r+", async (it) => {
    const stream = it.createWriteStream();
    const told = story(stream);
    stream.end("x");
    stream.write("y");
    return told;
  }),
  "createWriteStream() at places of no file": withHandle("hello.txt", "r+", async (it) => {
    it.setMaxListeners(0);
    const endings = await each(
      numbers.filter((start) => typeof start !== "number" || start < 0 || !Number.isInteger(start)),
      (start) => it.createWriteStream({ start, autoClose: false }).constructor.name,
    );
    abandon(it);
    return endings;
  }),
};
