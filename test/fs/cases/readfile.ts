/** Reading whole files, by path, by descriptor and by handle. */
import { pathToFileURL } from "node:url";
import { type Cases, each, type Fs, opened, settle } from "../harness.ts";
import { encodings, notOptions, notPaths, notSignals } from "./values.ts";

const names = ["hello.txt", "empty.txt", "lines.txt", "utf8.txt", "bytes.bin", "large.bin", "link", "sub/b.txt"];

const byName: Cases = Object.fromEntries(
  names.flatMap((name) => [
    [`readFile() of ${name}`, async (fs: Fs, dir: string) => fs.readFile(`${dir}/${name}`)],
    [`readFile() of ${name} as text`, async (fs: Fs, dir: string) => fs.readFile(`${dir}/${name}`, "utf8")],
    [
      `readFile() of a handle of ${name}`,
      (fs: Fs, dir: string) =>
        opened(fs, `${dir}/${name}`, "r", async (it) => [
          await it.readFile(),
          await it.readFile("utf8"),
          await fs.readFile(it, "latin1"),
          await it.readFile({ encoding: "hex" }),
        ]),
    ],
  ]),
);

const byEncoding: Cases = Object.fromEntries(
  encodings.map((encoding) => [
    `readFile() in the encoding ${typeof encoding} ${String(encoding)}`,
    async (fs: Fs, dir: string) => {
      const options = [encoding, { encoding }];
      return [
        ...(await each(options, (option) => fs.readFile(`${dir}/utf8.txt`, option))),
        ...(await each(options, (option) => fs.readFile(`${dir}/bytes.bin`, option))),
        ...(await each(options, (option) => fs.readFile(`${dir}/empty.txt`, option))),
        await opened(fs, `${dir}/utf8.txt`, "r", (it) => each(options, (option) => it.readFile(option))),
      ];
    },
  ]),
);

/** A signal that is aborted already, for some reason. */
function aborted(reason?: unknown): AbortSignal {
  return reason === undefined ? AbortSignal.abort() : AbortSignal.abort(reason);
}

/** Reading of whole files. */
export const readFile: Cases = {
  ...byName,
  ...byEncoding,
  "readFile() of what is no path": (fs) => each(notPaths, (path) => fs.readFile(path)),
  "readFile() without arguments": (fs) => settle(() => fs.readFile()),
  "readFile() of what is not there": (fs, dir) =>
    each(
      ["missing", "missing/file", "dangling", "hello.txt/file", "hello.txt/", "", "sub", "vacant", "dirlink"],
      (name) => fs.readFile(`${dir}/${name}`),
    ),
  "readFile() of what is not there, as text": (fs, dir) =>
    each(["missing", "dangling", "sub"], (name) => fs.readFile(`${dir}/${name}`, "utf8")),
  "readFile() of an empty path": (fs) => settle(() => fs.readFile("")),
  "readFile() of nothing has an error whose stack begins with its message": async (fs, dir) => {
    const reading = async (): Promise<unknown> => await fs.readFile(`${dir}/missing`);
    const { message, stack } = (await reading().catch((error: unknown) => error)) as Error;
    return stack?.startsWith(`Error: ${message}`);
  },
  "readFile() of a Buffer and a URL": (fs, dir) => {
    const path = `${dir}/hello.txt`;
    return each([Buffer.from(path), new Uint8Array(Buffer.from(path)), pathToFileURL(path)], (it) =>
      fs.readFile(it, "utf8"),
    );
  },
  "readFile() of a URL to nowhere": (fs, dir) => settle(() => fs.readFile(pathToFileURL(`${dir}/no such file`))),
  "readFile() of a Buffer to nowhere": (fs, dir) => settle(() => fs.readFile(Buffer.from(`${dir}/missing`))),
  "readFile() of a descriptor goes on where it was": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => [
      await settle(() => it.read(Buffer.alloc(6), 0, 6)),
      await settle(() => fs.readFile(it.fd, "utf8")),
      await settle(() => fs.readFile(it.fd, "utf8")),
      await settle(() => it.read(Buffer.alloc(6), 0, 6)),
    ]),
  "readFile() of a handle goes on where it was": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => [
      await settle(() => it.read(Buffer.alloc(6), 0, 6)),
      await settle(() => it.readFile("utf8")),
      await settle(() => it.readFile("utf8")),
      await settle(() => it.read(Buffer.alloc(6), 0, 6)),
    ]),
  "readFile() of a large handle goes on where it was": (fs, dir) =>
    opened(fs, `${dir}/large.bin`, "r", async (it) => [
      await settle(() => it.read(Buffer.alloc(60_000), 0, 60_000)),
      await settle(() => it.readFile()),
      await settle(() => it.readFile()),
    ]),
  "readFile() of descriptors that are none": (fs) => each([12_345, 2 ** 31 - 1], (fd) => fs.readFile(fd)),
  "readFile() of a closed handle": async (fs, dir) => {
    const it = await fs.open(`${dir}/hello.txt`, "r");
    await it.close();
    return [await settle(() => fs.readFile(it)), await settle(() => fs.readFile(it, "utf8"))];
  },
  "readFile() of a handle for writing only": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "a", (it) => each([undefined, "utf8"], (encoding) => it.readFile(encoding))),
  "readFile() with options of the wrong kind": (fs, dir) =>
    each(notOptions, (options) => fs.readFile(`${dir}/hello.txt`, options)),
  "readFile() of a handle with options of the wrong kind": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", (it) => each(notOptions, (options) => it.readFile(options))),
  "readFile() with a flag": (fs, dir) =>
    each(["r", "r+", "a+", "w+", "rs", "wx", "w", "a", "z", "", 0, 2, null, 1.5, {}], async (flag) => [
      await settle(() => fs.readFile(`${dir}/hello.txt`, { flag, encoding: "utf8" })),
      await settle(() => fs.readFile(`${dir}/new${flag}`, { flag, encoding: "utf8" })),
    ]),
  "readFile() with a signal that is none": (fs, dir) =>
    each(notSignals, (signal) => fs.readFile(`${dir}/hello.txt`, { signal })),
  "readFile() with a signal that stays quiet": (fs, dir) =>
    settle(() => fs.readFile(`${dir}/hello.txt`, { signal: new AbortController().signal, encoding: "utf8" })),
  "readFile() with a signal that is aborted": (fs, dir) =>
    each([aborted(), aborted("why"), aborted(new TypeError("reason")), aborted(null)], (signal) =>
      fs.readFile(`${dir}/hello.txt`, { signal }),
    ),
  "readFile() of nothing with a signal that is aborted": (fs, dir) =>
    settle(() => fs.readFile(`${dir}/missing`, { signal: aborted() })),
  "readFile() of no path with a signal that is aborted": (fs) => settle(() => fs.readFile({}, { signal: aborted() })),
  "readFile() that is aborted at once": async (fs, dir) => {
    const controller = new AbortController();
    const ending = settle(() => fs.readFile(`${dir}/large.bin`, { signal: controller.signal }));
    controller.abort();
    return ending;
  },
  "readFile() that is aborted at once for a reason": async (fs, dir) => {
    const controller = new AbortController();
    const ending = settle(() => fs.readFile(`${dir}/large.bin`, { signal: controller.signal }));
    controller.abort(new RangeError("enough"));
    return ending;
  },
  "readFile() that is aborted when it is done": async (fs, dir) => {
    const controller = new AbortController();
    const content = await fs.readFile(`${dir}/hello.txt`, { signal: controller.signal });
    controller.abort();
    await Bun.sleep(1);
    return content;
  },
  "readFile() of a handle with a signal that is aborted": (fs, dir) =>
    opened(fs, `${dir}/hello.txt`, "r", async (it) => [
      await settle(() => it.readFile({ signal: aborted() })),
      await settle(() => it.readFile("utf8")),
    ]),
  "readFile() of many files at once": async (fs, dir) => {
    const files = Array.from({ length: 200 }, (_, i) => `${dir}/${names[i % names.length]}`);
    const contents: Buffer[] = await Promise.all(files.map((file) => fs.readFile(file)));
    return contents.map((content) => content.length);
  },
  "readFile() gives memory of its own": async (fs, dir) => {
    const [one, two] = [await fs.readFile(`${dir}/hello.txt`), await fs.readFile(`${dir}/hello.txt`)];
    one.fill(0);
    return [two, two.constructor.name, Buffer.isBuffer(two)];
  },
  "readFile() of text that is no UTF-8": async (fs, dir) => {
    await fs.writeFile(
      `${dir}/broken`,
      Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xf0, 0x9f, 0x99, 0x62, 0xed, 0xa0, 0x80]),
    );
    return fs.readFile(`${dir}/broken`, "utf8");
  },
  "readFile() of text with a byte order mark": async (fs, dir) => {
    await fs.writeFile(`${dir}/marked`, "\uFEFFtext");
    await fs.writeFile(`${dir}/marked16`, Buffer.from([0xff, 0xfe, 0x61, 0x00]));
    return [
      await fs.readFile(`${dir}/marked`, "utf8"),
      await fs.readFile(`${dir}/marked16`, "utf16le"),
      await fs.readFile(`${dir}/marked`),
    ];
  },
  "readFile() of UTF-16 with an odd byte": async (fs, dir) => {
    await fs.writeFile(`${dir}/odd`, Buffer.from([0x61, 0x00, 0x62]));
    return fs.readFile(`${dir}/odd`, "utf16le");
  },
  "readFile() whose options are read once": async (fs, dir) => {
    const asked: string[] = [];
    const options = {
      get encoding(): string {
        asked.push("encoding");
        return "utf8";
      },
      get flag(): string {
        asked.push("flag");
        return "r";
      },
    };
    return [await fs.readFile(`${dir}/hello.txt`, options), new Set(asked)];
  },
};
