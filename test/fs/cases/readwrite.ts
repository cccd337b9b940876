/** Reading and writing through a handle. */
import { pattern } from "../../support/files.ts";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { encodings, notData, notOptions, numbers } from "./values.ts";

/** Does something with a handle of a file that starts as "hello world". */
function hello(flags: string, use: (handle: any) => unknown): (fs: Fs, dir: string) => Promise<unknown> {
  return (fs, dir) => opened(fs, `${dir}/hello.txt`, flags, use);
}

/** A buffer in which every byte that is not read into shows. */
function dots(lengthBytes: number): Buffer {
  return Buffer.alloc(lengthBytes, ".");
}

/** What a read gave, and whether it gave back the very buffer. */
async function read(handle: any, buffer: unknown, ...rest: unknown[]): Promise<unknown> {
  const result = await handle.read(buffer, ...rest);
  return { ...result, same: result.buffer === buffer };
}

/** A buffer that has lost its memory. */
function detached(): Uint8Array {
  const view = new Uint8Array(8);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

/** Buffers that are not plain: every kind of view, and memory that is shared, grows, or is gone. */
const views: Readonly<Record<string, () => unknown>> = {
  Uint8Array: () => new Uint8Array(6),
  Int16Array: () => new Int16Array(3),
  Float64Array: () => new Float64Array(1),
  BigUint64Array: () => new BigUint64Array(1),
  DataView: () => new DataView(new ArrayBuffer(6)),
  Uint8ClampedArray: () => new Uint8ClampedArray(6),
  "subarray of a Buffer": () => dots(20).subarray(5, 11),
  "view with an offset": () => new Uint8Array(new ArrayBuffer(20), 7, 6),
  "Buffer from the pool": () => Buffer.from("abcdef"),
  "view of shared memory": () => new Uint8Array(new SharedArrayBuffer(6)),
  "view of resizable memory": () => new Uint8Array(new ArrayBuffer(6, { maxByteLength: 64 })),
  "view that follows its memory": () => {
    const memory = new ArrayBuffer(6, { maxByteLength: 64 });
    const view = new Uint8Array(memory);
    memory.resize(9);
    return view;
  },
  "empty view": () => new Uint8Array(0),
  "detached view": detached,
  ArrayBuffer: () => new ArrayBuffer(6),
  SharedArrayBuffer: () => new SharedArrayBuffer(6),
};

const intoViews: Cases = Object.fromEntries(
  Object.entries(views).flatMap(([name, make]) => [
    [`read() into a ${name}`, hello("r", (it) => settle(() => read(it, make(), 0, undefined, 0)))],
    [`read({ buffer }) into a ${name}`, hello("r", (it) => settle(() => it.read({ buffer: make(), position: 1 })))],
    [`write() of a ${name}`, hello("r+", (it) => settle(() => it.write(make())))],
    [`readv() into a ${name}`, hello("r", (it) => settle(() => it.readv([dots(2), make(), dots(2)], 0)))],
    [`writev() of a ${name}`, hello("r+", (it) => settle(() => it.writev([dots(2), make(), dots(2)], 0)))],
  ]),
);

/** Reading. */
export const reading: Cases = {
  ...intoViews,
  "read() goes on where it was": hello("r", async (it) => [
    await read(it, dots(4), 0, 4),
    await read(it, dots(4), 0, 4, null),
    await read(it, dots(4), 0, 4, undefined),
    await read(it, dots(4), 0, 4, -1),
    await read(it, dots(4)),
  ]),
  "read() at a position leaves the place alone": hello("r", async (it) => [
    await read(it, dots(3), 0, 3, 6),
    await read(it, dots(3), 0, 3, 0),
    await read(it, dots(3), 0, 3),
    await read(it, dots(3), 0, 3, 2n),
  ]),
  "read() of part of a buffer": hello("r", (it) =>
    each(
      [
        [0, 0],
        [0, 3],
        [3, 3],
        [9, 1],
        [10, 0],
        [0, 10],
        [0, 11],
        [9, 2],
        [11, 0],
        [5, undefined],
        [5, null],
        [undefined, 4],
        [null, 4],
      ],
      ([offset, length]) => read(it, dots(10), offset, length, 0),
    ),
  ),
  "read() past the end": hello("r", (it) =>
    each([11, 12, 13, 1000, 2 ** 31, 2 ** 32 + 5, 2 ** 40, 2 ** 53 - 1, 2n ** 40n], (position) =>
      read(it, dots(4), 0, 4, position),
    ),
  ),
  "read() with a bad offset": hello("r", (it) => each(numbers, (offset) => read(it, dots(4), offset, 1, 0))),
  "read() with a bad length": hello("r", (it) => each(numbers, (length) => read(it, dots(4), 0, length, 0))),
  "read() with a bad position": hello("r", (it) => each(numbers, (position) => read(it, dots(4), 0, 4, position))),
  "read() of what is no buffer": hello("r", (it) =>
    each([null, true, 1, "x", 7n, [], [dots(4)], () => dots(4), Symbol("b"), new Date(0)], (buffer) =>
      read(it, buffer),
    ),
  ),
  "read() without arguments has a buffer of its own": hello("r", async (it) => {
    const { buffer, bytesRead } = await it.read();
    return [bytesRead, buffer.length, buffer.subarray(0, bytesRead), buffer.constructor.name];
  }),
  "read() with options": hello("r", async (it) => [
    await settle(() => read(it, dots(8), { offset: 2, length: 3, position: 4 })),
    await settle(() => read(it, dots(8), { offset: 2 })),
    await settle(() => read(it, dots(8), { length: 2 })),
    await settle(() => read(it, dots(8), { position: 6 })),
    await settle(() => read(it, dots(8), {})),
    await settle(() => read(it, dots(8), null)),
    await settle(() => it.read({ buffer: dots(8), offset: 2, length: 3, position: 4 })),
    await settle(() => it.read({ buffer: dots(3) })),
    await settle(() => it.read({ buffer: dots(3), offset: 4 })),
    await settle(() => it.read({ buffer: "text" })),
    await settle(() => it.read({ buffer: null })),
    await settle(async () => (await it.read({ length: 3, position: 0 })).bytesRead),
    await settle(async () => (await it.read({ length: 20_000, position: 0 })).bytesRead),
  ]),
  "read() with options of the wrong kind": hello("r", async (it) => [
    ...(await each(numbers, (offset) => it.read({ buffer: dots(4), offset, position: 0 }))),
    ...(await each(numbers, (length) => it.read({ buffer: dots(4), length, position: 0 }))),
    ...(await each(numbers, (position) => it.read({ buffer: dots(4), position }))),
  ]),
  "read() of a handle for writing only": hello("a", (it) => settle(() => it.read(dots(4), 0, 4, 0))),
  "read() into an empty buffer": hello("r", (it) =>
    each([[0, 0], [0, 1], [1, 0], []], ([offset, length]) => read(it, Buffer.alloc(0), offset, length, 0)),
  ),
  "read() of much at once": async (fs, dir) =>
    opened(fs, `${dir}/large.bin`, "r", async (it) => [
      await read(it, Buffer.alloc(200_000), 0, 200_000, 0),
      await read(it, Buffer.alloc(200_000), 10, 100_000, 60_000),
      await read(it, Buffer.alloc(100_000)),
      await read(it, Buffer.alloc(100_000)),
      await read(it, Buffer.alloc(100_000)),
    ]),
  "reads in parallel each get their part": async (fs, dir) =>
    opened(fs, `${dir}/large.bin`, "r", async (it) => {
      const parts = Array.from({ length: 150 }, (_, i) => it.read(Buffer.alloc(1000), 0, 1000, i * 1000));
      const results = await Promise.all(parts);
      return Buffer.concat(results.map(({ buffer }) => buffer)).equals(pattern(150_000, 7));
    }),
  "readv() fills one buffer after the other": hello("r", async (it) => {
    const buffers = [dots(3), dots(0), new Uint8Array(4), dots(20)];
    const result = await it.readv(buffers, 0);
    return [result, result.buffers === buffers];
  }),
  "readv() goes on where it was": hello("r", async (it) => [
    await it.readv([dots(3)]),
    await it.readv([dots(3)], null),
    await it.readv([dots(3)], undefined),
    await it.readv([dots(3)], 0),
    await it.readv([dots(9)]),
    await it.readv([dots(3)]),
  ]),
  "readv() of no buffers": hello("r", (it) => each([[], [dots(0)]], (buffers) => it.readv(buffers))),
  "readv() of what are no buffers": hello("r", (it) =>
    each([undefined, null, 1, "ab", {}, dots(4), [1], ["a"], [null], [dots(1), {}], new Set([dots(1)])], (buffers) =>
      it.readv(buffers),
    ),
  ),
  "readv() at a bad position": hello("r", (it) => each(numbers, (position) => it.readv([dots(4)], position))),
  "readv() of a thousand buffers": async (fs, dir) =>
    opened(fs, `${dir}/large.bin`, "r", async (it) => {
      const buffers = Array.from({ length: 1024 }, (_, i) => Buffer.alloc(i % 200));
      const { bytesRead } = await it.readv(buffers, 5);
      return [bytesRead, Buffer.concat(buffers)];
    }),
  "readv() of more buffers than the kernel takes": async (fs, dir) =>
    opened(fs, `${dir}/large.bin`, "r", (it) =>
      settle(
        async () =>
          (
            await it.readv(
              Array.from({ length: 1500 }, () => Buffer.alloc(1)),
              0,
            )
          ).bytesRead,
      ),
    ),
};

/** Writing. */
export const writing: Cases = {
  "write() goes on where it was": hello("r+", async (it) => [
    await it.write("AB"),
    await it.write(Buffer.from("CD")),
    await it.write("E", null),
    await it.write("F", undefined, "utf8"),
  ]),
  "write() at a position leaves the place alone": hello("r+", async (it) => [
    await it.write("AB", 6),
    await it.write(Buffer.from("CD"), 0, 2, 3),
    await it.write("EF"),
    await it.write("gh", 20),
  ]),
  "write() of part of a buffer": hello("r+", (it) =>
    each(
      [
        [0, 3],
        [3, 3],
        [9, 1],
        [0, 10],
        [10, 0],
        [0, 0],
        [0, 11],
        [9, 2],
        [11, 0],
        [12, undefined],
        [5, undefined],
        [5, null],
        [undefined, 4],
        [null, 4],
      ],
      ([offset, length]) => it.write(Buffer.from("0123456789"), offset, length, 0),
    ),
  ),
  "write() gives back what was written": hello("r+", async (it) => {
    const buffer = Buffer.from("abc");
    const result = await it.write(buffer);
    return [result, result.buffer === buffer, await it.write("text")];
  }),
  "write() with a bad offset": hello("r+", (it) =>
    each(numbers, (offset) => it.write(Buffer.from("abcd"), offset, 1, 0)),
  ),
  "write() with a bad length": hello("r+", (it) =>
    each(numbers, (length) => it.write(Buffer.from("abcd"), 0, length, 0)),
  ),
  "write() with a bad position": hello("r+", (it) =>
    each(
      numbers.filter((position) => typeof position !== "bigint" && !(Number(String(position)) > 2 ** 40)),
      (position) => it.write(Buffer.from("abcd"), 0, 4, position),
    ),
  ),
  "write() at a position past what a file can be": hello("r+", (it) =>
    each([2 ** 53 - 1, 2 ** 53, 1e300, 2n ** 63n, 2n ** 64n], (position) =>
      it.write(Buffer.from("ab"), 0, 2, position),
    ),
  ),
  "write() of a string at a bad position": hello("r+", (it) =>
    each(
      numbers.filter((position) => !(Number(String(position)) > 2 ** 40)),
      (position) => it.write("abcd", position),
    ),
  ),
  "write() of what is no data": hello("r+", (it) => each(notData, (data) => it.write(data))),
  "write() of an empty buffer and string": hello("r+", (it) => each([Buffer.alloc(0), ""], (data) => it.write(data))),
  "write() of a string in an encoding": hello("r+", (it) =>
    each(encodings, (encoding) => it.write("6869zz", 0, encoding)),
  ),
  "write() of a string in an encoding, without a position": hello("r+", (it) =>
    each(encodings, (encoding) => it.write("grüße", undefined, encoding)),
  ),
  "write() with options": hello("r+", (it) =>
    each(
      [
        { offset: 2, length: 3, position: 4 },
        { offset: 2 },
        { length: 2 },
        { position: 9 },
        {},
        null,
        { offset: null },
        { length: null },
        { offset: 20 },
        { offset: -1 },
        { offset: 1.5 },
        { offset: "1" },
        { length: 20 },
        { length: -1 },
        { length: "1" },
        { position: -1 },
        { position: "1" },
        { position: 3n },
        { position: 1.5 },
      ],
      (options) => it.write(Buffer.from("01234567"), options),
    ),
  ),
  "write() to a handle for reading": hello("r", async (it) => [
    await settle(() => it.write("x")),
    await settle(() => it.write(Buffer.from("x"), 0, 1, 0)),
    await settle(() => it.writev([Buffer.from("x")])),
    await settle(() => it.write("")),
    await settle(() => it.writeFile("x")),
    await settle(() => it.appendFile("x")),
    await settle(() => it.truncate(1)),
  ]),
  "write() to a handle that appends": hello("a+", async (it) => [
    await it.write("AB", 0),
    await it.write(Buffer.from("CD"), 0, 2, 1),
    await read(it, dots(20), 0, 20, 0),
    await it.writev([Buffer.from("E"), Buffer.from("F")], 0),
  ]),
  "write() of much at once": async (fs, dir) =>
    opened(fs, `${dir}/new`, "w+", async (it) => [
      await it.write(pattern(300_000, 3)),
      await it.write(pattern(300_000, 4), 1000, 200_000, 100_000),
      await it.write("ü".repeat(100_000)),
    ]),
  "writes in parallel each go to their place": async (fs, dir) =>
    opened(fs, `${dir}/new`, "w", async (it) => {
      const writes = Array.from({ length: 100 }, (_, i) => it.write(Buffer.alloc(100, i), 0, 100, (99 - i) * 100));
      return (await Promise.all(writes)).map(({ bytesWritten }) => bytesWritten);
    }),
  "writev() writes one buffer after the other": hello("r+", async (it) => {
    const buffers = [Buffer.from("ab"), Buffer.alloc(0), new Uint16Array([0x6463]), new DataView(new ArrayBuffer(1))];
    const result = await it.writev(buffers, 1);
    return [result, result.buffers === buffers];
  }),
  "writev() goes on where it was": hello("r+", async (it) => [
    await it.writev([Buffer.from("AB")]),
    await it.writev([Buffer.from("CD")], null),
    await it.writev([Buffer.from("EF")], 10),
    await it.writev([Buffer.from("GH")], undefined),
  ]),
  "writev() of no buffers": hello("r+", (it) => each([[], [dots(0)]], (buffers) => it.writev(buffers))),
  "writev() of what are no buffers": hello("r+", (it) =>
    each([undefined, null, 1, "ab", {}, dots(4), [1], ["a"], [null], [dots(1), {}]], (buffers) => it.writev(buffers)),
  ),
  "writev() at a bad position": hello("r+", (it) =>
    each(
      numbers.filter((position) => !(Number(String(position)) > 2 ** 40)),
      (position) => it.writev([Buffer.from("abcd")], position),
    ),
  ),
  "writev() of a thousand buffers": async (fs, dir) =>
    opened(fs, `${dir}/new`, "w", async (it) => {
      const buffers = Array.from({ length: 1024 }, (_, i) => Buffer.alloc(i % 200, i));
      return (await it.writev(buffers)).bytesWritten;
    }),
  "writev() at a position of a handle for reading": hello("r", (it) => settle(() => it.writev([dots(1)], 0))),
  "writev() of more buffers than the kernel takes": async (fs, dir) =>
    opened(fs, `${dir}/new`, "w", (it) =>
      settle(async () => (await it.writev(Array.from({ length: 1500 }, () => dots(1)))).bytesWritten),
    ),
  "write() with options of the wrong kind": hello("r+", (it) =>
    each(notOptions, (options) => it.write(dots(4), options)),
  ),
};
