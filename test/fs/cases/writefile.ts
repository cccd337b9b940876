/** Writing whole files: `writeFile` and `appendFile`, by path, by descriptor and by handle. */
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { pattern } from "../../support/files.ts";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { encodings, notData, notOptions, notPaths, notSignals, numbers } from "./values.ts";

/** Data that may be written, made anew each time. */
const data: Readonly<Record<string, () => unknown>> = {
  text: () => "text",
  "an empty text": () => "",
  "text beyond ASCII": () => "grüße 漢字 🙂",
  "half a pair of surrogates": () => "a\ud83d",
  "much text": () => "ü€".repeat(60_000),
  "a rope": () => Array.from({ length: 100 }, (_, i) => `${i}`).reduce((text, piece) => `${piece}${text}`, "ü"),
  "a Buffer": () => Buffer.from("buffer"),
  "an empty Buffer": () => Buffer.alloc(0),
  "a large Buffer": () => pattern(400_000, 11),
  "part of a Buffer": () => Buffer.from("0123456789").subarray(3, 7),
  "a Uint8Array": () => new Uint8Array([1, 2, 3]),
  "a Uint16Array": () => new Uint16Array([1, 2, 3]),
  "a Float64Array": () => new Float64Array([1.5]),
  "a DataView": () => new DataView(new Uint8Array([5, 6, 7, 8]).buffer, 1, 2),
  "an ArrayBuffer": () => new Uint8Array([9, 8]).buffer,
  "shared memory": () => new Uint8Array(new SharedArrayBuffer(3)),
  "a SharedArrayBuffer": () => new SharedArrayBuffer(3),
  "resizable memory": () => new Uint8Array(new ArrayBuffer(3, { maxByteLength: 9 })),
  "a String object": () => new String("boxed"),
  "a Blob": () => new Blob(["blob"]),
  "a Bun.file": () => Bun.file(import.meta.path),
  "a generator": function* () {
    yield "one ";
    yield "two";
  },
};
/** What an iterable gives. */
const iterables: Readonly<Record<string, () => unknown>> = {
  "an array of strings": () => ["a", "b", "c"],
  "a Set": () => new Set(["x", "y"]),
  "a generator": () =>
    (function* () {
      yield "one ";
      yield "two";
    })(),
  "an async generator": () =>
    (async function* () {
      yield "one ";
      await Bun.sleep(1);
      yield Buffer.from("two ");
      yield new Uint8Array([51]);
    })(),
  nothing: () => (async function* () {})(),
  "a Readable": () => Readable.from(["read", "able"]),
  "a ReadableStream": () => new Response("stream").body,
  "numbers among it": () =>
    (async function* () {
      yield "a";
      yield 1;
    })(),
  "an error at the start": () => ({
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new RangeError("no data")) }),
  }),
  "an error in the middle": () =>
    (async function* () {
      yield "first";
      throw new RangeError("no more");
    })(),
  "large pieces": () =>
    (async function* () {
      for (let i = 0; i < 5; i++) yield pattern(100_000, i + 1);
    })(),
  "views of all kinds": () =>
    (async function* () {
      yield new Uint16Array([1, 2]);
      yield new DataView(new ArrayBuffer(2));
    })(),
  "an ArrayBuffer among it": () =>
    (async function* () {
      yield new ArrayBuffer(2);
    })(),
  "empty pieces": () =>
    (async function* () {
      yield "";
      yield Buffer.alloc(0);
      yield "end";
    })(),
};

const every = Object.entries({
  ...data,
  ...Object.fromEntries(Object.entries(iterables).map(([k, v]) => [`iterated: ${k}`, v])),
});

const byData: Cases = Object.fromEntries(
  every.flatMap(([name, make]) => [
    [
      `writeFile() of ${name}`,
      async (fs: Fs, dir: string) => [
        await settle(() => fs.writeFile(`${dir}/new`, make())),
        await settle(() => fs.writeFile(`${dir}/bytes.bin`, make())),
        await opened(fs, `${dir}/hello.txt`, "r+", (it) => settle(() => it.writeFile(make()))),
      ],
    ],
    [
      `appendFile() of ${name}`,
      async (fs: Fs, dir: string) => [
        await settle(() => fs.appendFile(`${dir}/new`, make())),
        await settle(() => fs.appendFile(`${dir}/hello.txt`, make())),
        await opened(fs, `${dir}/lines.txt`, "a", (it) => settle(() => it.appendFile(make()))),
      ],
    ],
  ]),
);

const byEncoding: Cases = Object.fromEntries(
  encodings.map((encoding) => [
    `writeFile() in the encoding ${typeof encoding} ${String(encoding)}`,
    async (fs: Fs, dir: string) => {
      const texts = ["6869", "grüße", "aGk=", "", "hi!"];
      const endings = [];
      for (const [i, text] of texts.entries()) {
        endings.push(await settle(() => fs.writeFile(`${dir}/a${i}`, text, encoding)));
        endings.push(await settle(() => fs.writeFile(`${dir}/b${i}`, text, { encoding })));
        endings.push(await settle(() => fs.appendFile(`${dir}/a${i}`, text, encoding)));
        await opened(fs, `${dir}/c${i}`, "w", async (it) => {
          endings.push(await settle(() => it.writeFile(text, encoding)));
          endings.push(await settle(() => it.appendFile(text, { encoding })));
        });
      }
      return endings;
    },
  ]),
);

/** A signal that is aborted already. */
const aborted = (): AbortSignal => AbortSignal.abort();

/** Writing of whole files. */
export const writeFile: Cases = {
  ...byData,
  ...byEncoding,
  "writeFile() of what is no data": async (fs, dir) => [
    ...(await each(notData, (what) => fs.writeFile(`${dir}/new`, what))),
    ...(await each(notData, (what) => fs.appendFile(`${dir}/hello.txt`, what))),
  ],
  "writeFile() through a handle of what is no data": async (fs, dir) =>
    opened(fs, `${dir}/new`, "w", async (it) => [
      ...(await each(notData, (what) => it.writeFile(what))),
      ...(await each(notData, (what) => it.appendFile(what))),
    ]),
  "writeFile() of what is no path": (fs) => each(notPaths, (path) => fs.writeFile(path, "x")),
  "appendFile() of what is no path": (fs) => each(notPaths, (path) => fs.appendFile(path, "x")),
  "writeFile() without arguments": (fs, dir) =>
    each([[], [`${dir}/new`]], (args: readonly unknown[]) => fs.writeFile(...args)),
  "appendFile() without arguments": (fs, dir) =>
    each([[], [`${dir}/new`]], (args: readonly unknown[]) => fs.appendFile(...args)),
  "writeFile() where it cannot": (fs, dir) =>
    each(["missing/file", "hello.txt/file", "hello.txt/", "sub", "vacant", "sub/", "", "dirlink"], (name) =>
      fs.writeFile(`${dir}/${name}`, "x"),
    ),
  "appendFile() where it cannot": (fs, dir) =>
    each(["missing/file", "hello.txt/file", "sub", ""], (name) => fs.appendFile(`${dir}/${name}`, "x")),
  "writeFile() through links": async (fs, dir) => [
    await settle(() => fs.writeFile(`${dir}/link`, "by a link")),
    await settle(() => fs.writeFile(`${dir}/dangling`, "made by a link")),
    await settle(() => fs.writeFile(`${dir}/dirlink/new`, "in a linked directory")),
  ],
  "writeFile() of a Buffer and a URL": (fs, dir) =>
    each([Buffer.from(`${dir}/x`), pathToFileURL(`${dir}/y z`)], (path) => fs.writeFile(path, "x")),
  "writeFile() with a flag": (fs, dir) =>
    each(["w", "wx", "r+", "a", "ax", "r", "w+", "xw", "z", "", 1, 577, null, 1.5, {}], async (flag) => [
      await settle(() => fs.writeFile(`${dir}/hello.txt`, "HE", { flag })),
      await settle(() => fs.writeFile(`${dir}/new ${flag}`, "new", { flag })),
    ]),
  "appendFile() with a flag": (fs, dir) =>
    each(["w", "wx", "r+", "a", "ax", "r", "z", null], async (flag) => [
      await settle(() => fs.appendFile(`${dir}/hello.txt`, "HE", { flag })),
      await settle(() => fs.appendFile(`${dir}/new ${flag}`, "new", { flag })),
    ]),
  "writeFile() with a mode": async (fs, dir) => {
    const modes = [0o600, 0o777, 0o444, 0, "640", "0o640", "x", -1, 2 ** 32, 1.5, null, undefined, {}, true];
    const endings = [];
    for (const [i, mode] of modes.entries()) {
      endings.push(await settle(() => fs.writeFile(`${dir}/w${i}`, "x", { mode })));
      endings.push(await settle(() => fs.appendFile(`${dir}/a${i}`, "x", { mode })));
    }
    return endings;
  },
  "writeFile() with a mode leaves a file's mode": (fs, dir) => fs.writeFile(`${dir}/hello.txt`, "x", { mode: 0o600 }),
  "writeFile() with flush": async (fs, dir) => [
    ...(await each([true, false, undefined, null, 1, "yes", {}], (flush) => fs.writeFile(`${dir}/w`, "x", { flush }))),
    ...(await each([true, false, undefined, null, 1, "yes", {}], (flush) => fs.appendFile(`${dir}/a`, "x", { flush }))),
  ],
  "writeFile() through a handle with flush": (fs, dir) =>
    opened(fs, `${dir}/new`, "w", async (it) => [
      ...(await each([true, false, undefined, null, 1], (flush) => it.writeFile("w", { flush }))),
      ...(await each([true, false, undefined, null, 1], (flush) => it.appendFile("a", { flush }))),
    ]),
  "writeFile() with options of the wrong kind": async (fs, dir) => [
    ...(await each(notOptions, (options) => fs.writeFile(`${dir}/w`, "grüße", options))),
    ...(await each(notOptions, (options) => fs.appendFile(`${dir}/a`, "grüße", options))),
  ],
  "writeFile() through a handle with options of the wrong kind": (fs, dir) =>
    opened(fs, `${dir}/new`, "w", async (it) => [
      ...(await each(notOptions, (options) => it.writeFile("grüße", options))),
      ...(await each(notOptions, (options) => it.appendFile("grüße", options))),
    ]),
  "writeFile() through a handle goes on where it was": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      await settle(() => it.writeFile("AB")),
      await settle(() => it.writeFile("CD")),
      await settle(() => fs.writeFile(it, "EF")),
      await settle(() => it.appendFile("GH")),
      await settle(() => fs.appendFile(it, "IJ")),
      await settle(() => it.read(Buffer.alloc(2), 0, 2)),
    ]),
  "writeFile() through a descriptor goes on where it was": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      await settle(() => it.read(Buffer.alloc(2), 0, 2)),
      await settle(() => fs.writeFile(it.fd, "AB")),
      await settle(() => fs.appendFile(it.fd, "CD")),
      await settle(() => it.read(Buffer.alloc(2), 0, 2)),
    ]),
  "writeFile() through a handle that appends": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "a", async (it) => [
      await settle(() => it.writeFile("AB")),
      await settle(() => it.appendFile("CD")),
    ]),
  "writeFile() through a handle to a longer file leaves its end": (fs, dir) =>
    opened(fs, `${dir}/bytes.bin`, "r+", (it) => it.writeFile("short")),
  "writeFile() through a closed handle": async (fs, dir) => {
    const it = await fs.open(`${dir}/hello.txt`, "r+");
    await it.close();
    return [await settle(() => fs.writeFile(it, "x")), await settle(() => fs.appendFile(it, "x"))];
  },
  "writeFile() through descriptors that are none": (fs) =>
    each([12_345, 2 ** 31 - 1], async (fd) => [
      await settle(() => fs.writeFile(fd, "x")),
      await settle(() => fs.appendFile(fd, "x")),
      await settle(() => fs.writeFile(fd, "")),
    ]),
  "writeFile() with a signal that is none": (fs, dir) =>
    each(notSignals, (signal) => fs.writeFile(`${dir}/new`, "x", { signal })),
  "writeFile() with a signal that stays quiet": (fs, dir) =>
    settle(() => fs.writeFile(`${dir}/new`, "x", { signal: new AbortController().signal })),
  "writeFile() with a signal that is aborted": async (fs, dir) => [
    await settle(() => fs.writeFile(`${dir}/hello.txt`, "x", { signal: aborted() })),
    await settle(() => fs.writeFile(`${dir}/new`, "x", { signal: AbortSignal.abort("why") })),
    await settle(() => fs.writeFile({}, "x", { signal: aborted() })),
    await settle(() => fs.writeFile(`${dir}/new`, {}, { signal: aborted() })),
    await settle(() => fs.appendFile(`${dir}/hello.txt`, "x", { signal: aborted() })),
  ],
  "writeFile() through a handle with a signal that is aborted": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      await settle(() => it.writeFile("x", { signal: aborted() })),
      await settle(() => it.appendFile("x", { signal: aborted() })),
    ]),
  "writeFile() that is aborted while it iterates": async (fs, dir) => {
    const controller = new AbortController();
    const closed: string[] = [];
    const source = async function* (): AsyncGenerator<string> {
      try {
        yield "first";
        controller.abort(new RangeError("enough"));
        yield "second";
        yield "third";
      } finally {
        closed.push("closed");
      }
    };
    return [await settle(() => fs.writeFile(`${dir}/new`, source(), { signal: controller.signal })), closed];
  },
  "writeFile() of an iterable that is aborted before": async (fs, dir) => {
    const started: string[] = [];
    const source = async function* (): AsyncGenerator<string> {
      started.push("started");
      yield "first";
    };
    return [await settle(() => fs.writeFile(`${dir}/new`, source(), { signal: aborted() })), started];
  },
  "writeFile() of an iterable in an encoding": async (fs, dir) => [
    await settle(() => fs.writeFile(`${dir}/a`, ["6869", "6a"], "hex")),
    await settle(() => fs.writeFile(`${dir}/b`, Readable.from(["grüße"]), { encoding: "latin1" })),
    await settle(() => fs.appendFile(`${dir}/b`, ["6869"], "hex")),
  ],
  "writeFile() of an iterable where it cannot": async (fs, dir) => {
    const started: string[] = [];
    const source = async function* (): AsyncGenerator<string> {
      started.push("started");
      yield "first";
    };
    return [await settle(() => fs.writeFile(`${dir}/missing/file`, source())), started];
  },
  "writeFile() of many files at once": async (fs, dir) => {
    const writes = Array.from({ length: 100 }, (_, i) => fs.writeFile(`${dir}/many${i}`, `${i}`.repeat(i)));
    return Promise.all(writes);
  },
  "appendFile() one after the other": async (fs, dir) => {
    for (let i = 0; i < 20; i++) await fs.appendFile(`${dir}/log`, `line ${i}\n`);
  },
  "writeFile() heeds the umask": async (fs, dir) => {
    const before = process.umask(0o027);
    try {
      await fs.writeFile(`${dir}/masked`, "x");
      await fs.appendFile(`${dir}/masked too`, "x");
    } finally {
      process.umask(before);
    }
  },
};

/** A file's length. */
export const truncate: Cases = {
  "truncate() to lengths": (fs, dir) =>
    each([undefined, 0, 5, 12, 13, 20_000], async (length) => {
      await fs.writeFile(`${dir}/t${length}`, "hello world\n");
      return fs.truncate(`${dir}/t${length}`, length);
    }),
  "truncate() to what is no length": (fs, dir) => each(numbers, (length) => fs.truncate(`${dir}/hello.txt`, length)),
  "truncate() of what is no path": (fs) => each(notPaths, (path) => fs.truncate(path, 1)),
  "truncate() of what cannot be": (fs, dir) =>
    each(["missing", "sub", "dangling", "hello.txt/x", ""], (name) => fs.truncate(`${dir}/${name}`, 1)),
  "truncate() through a link": (fs, dir) => fs.truncate(`${dir}/link`, 4),
  "truncate() through a handle": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", (it) => each([7, 3, 10, undefined], (length) => it.truncate(length))),
  "truncate() through a handle to what is no length": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", (it) => each(numbers, (length) => it.truncate(length))),
  "truncate() through a handle for reading": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", (it) => settle(() => it.truncate(3))),
  "truncate() of a descriptor": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", (it) => settle(() => fs.truncate(it.fd, 3))),
};
