/** What Bun's module has beside Node's: the functions of `node:fs` that take a descriptor, as promises. */
import { closeSync, openSync } from "node:fs";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { numbers } from "./values.ts";

/** Nothing of this is a descriptor, nor becomes one by being rounded or spelled out: no stream of the test is touched. */
const notDescriptors: readonly unknown[] = [
  undefined,
  null,
  "x",
  "",
  {},
  [],
  -1,
  -2,
  12_345,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Symbol("fd"),
  () => 3,
];

const calls: Readonly<Record<string, (fs: Fs, fd: unknown) => unknown>> = {
  close: (fs, fd) => fs.close(fd),
  fstat: (fs, fd) => fs.fstat(fd),
  "fstat as bigint": (fs, fd) => fs.fstat(fd, { bigint: true }),
  fsync: (fs, fd) => fs.fsync(fd),
  fdatasync: (fs, fd) => fs.fdatasync(fd),
  ftruncate: (fs, fd) => fs.ftruncate(fd, 3),
  fchmod: (fs, fd) => fs.fchmod(fd, 0o640),
  fchown: (fs, fd) => fs.fchown(fd, 0, 0),
  futimes: (fs, fd) => fs.futimes(fd, 100, 200),
  read: (fs, fd) => fs.read(fd, Buffer.alloc(5), 0, 5, 0),
  "read on": (fs, fd) => fs.read(fd, Buffer.alloc(5), 0, 5, null),
  readv: (fs, fd) => fs.readv(fd, [Buffer.alloc(2), Buffer.alloc(3)], 0),
  write: (fs, fd) => fs.write(fd, Buffer.from("XY"), 0, 2, 1),
  "write a text": (fs, fd) => fs.write(fd, "XY", 3, "latin1"),
  writev: (fs, fd) => fs.writev(fd, [Buffer.from("X"), Buffer.from("Y")], 5),
  readFile: (fs, fd) => fs.readFile(fd, "utf8"),
  writeFile: (fs, fd) => fs.writeFile(fd, "Z"),
  appendFile: (fs, fd) => fs.appendFile(fd, "Z"),
};

const ofCalls: Cases = Object.fromEntries(
  Object.entries(calls).flatMap(([name, call]) => [
    [
      `${name} by descriptor`,
      async (fs: Fs, dir: string) => {
        const fd = openSync(`${dir}/hello.txt`, "r+");
        const ending = await settle(() => call(fs, fd));
        // A number that was closed may be another's by now.
        if (name !== "close") closeSync(fd);
        return ending;
      },
    ],
    [
      `${name} of what is no descriptor`,
      (fs: Fs) =>
        // Where a path may stand too, a string is one.
        each(
          notDescriptors.filter((fd) => typeof fd !== "string" || !name.endsWith("File")),
          (fd) => call(fs, fd),
        ),
    ],
  ]),
);

/** Functions of descriptors. */
export const descriptors: Cases = {
  ...ofCalls,
  "ftruncate() to what is no length": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", (it) =>
      each([undefined, ...numbers], (length) => fs.ftruncate(it.fd, length)),
    ),
  "read() of parts and places": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => [
      ...(await each(numbers, (offset) => fs.read(it.fd, Buffer.alloc(4), offset, 1, 0))),
      ...(await each(numbers, (length) => fs.read(it.fd, Buffer.alloc(4), 0, length, 0))),
      ...(await each(numbers, (position) => fs.read(it.fd, Buffer.alloc(4), 0, 4, position))),
      ...(await each([undefined, null, "x", {}, [], new ArrayBuffer(3)], (buffer) => fs.read(it.fd, buffer, 0, 1, 0))),
    ]),
  "write() of parts and places": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r+", async (it) => [
      ...(await each(numbers, (offset) => fs.write(it.fd, Buffer.from("abcd"), offset, 1, 0))),
      ...(await each(numbers, (length) => fs.write(it.fd, Buffer.from("abcd"), 0, length, 0))),
      ...(await each([undefined, null, 1, {}, [], new ArrayBuffer(3)], (data) => fs.write(it.fd, data))),
    ]),
};
