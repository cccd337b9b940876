/** The FileHandle that is Bun's with other methods: what it rests on, and what is left to get right. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, createReadStream, openSync, writeFileSync } from "node:fs";
import * as own from "node:fs/promises";
import { join } from "node:path";
import * as fs from "../../src/fs/index.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { patience } from "../support/patience.ts";

setDefaultTimeout(10_000 * patience);

const directory = scratchDirectory();
const at = (name: string): string => join(directory, name);
const content = pattern(100_000);
writeFileSync(at("file"), content);
Bun.spawnSync(["mkfifo", at("fifo")]);
// The first handle of all is Bun's to make.
await (await fs.open(at("file"))).close();

describe("Bun's FileHandle", () => {
  test("has inside what ours rests on", async () => {
    const handle = await own.open(at("file"));
    const symbols = [handle, handle.constructor.prototype as object].flatMap(Object.getOwnPropertySymbols);
    const names = symbols.map(({ description }) => description);
    expect(names).toEqual(expect.arrayContaining(["kRef", "kUnref", "kRefs", "kClosePromise", "kTransfer"]));
    await handle.close();
  });

  test("is what ours is, by name and by kind", async () => {
    const [theirs, ours] = [await own.open(at("file")), await fs.open(at("file"))];
    expect(ours).toBeInstanceOf(theirs.constructor);
    expect(Object.getPrototypeOf(ours)).not.toBe(Object.getPrototypeOf(theirs));
    expect(ours.constructor.name).toBe("FileHandle");
    await Promise.all([theirs.close(), ours.close()]);
  });
});

describe("a FileHandle", () => {
  test("is taken by node:fs and node:fs/promises", async () => {
    const handle = await fs.open(at("file"));
    expect((await own.readFile(handle)).equals(content)).toBe(true);
    const stream = createReadStream("", { fd: handle, start: 10, end: 19 });
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(content.subarray(10, 20))).toBe(true);
    expect(handle.fd).toBe(-1);
  });

  test("reads at its own position, each read what comes after the one before", async () => {
    const handle = await fs.open(at("file"));
    const rooms = Array.from({ length: 200 }, () => Buffer.alloc(500));
    await Promise.all(rooms.map((room) => handle.read(room)));
    expect(Buffer.concat(rooms).equals(content)).toBe(true);
    expect((await handle.read(Buffer.alloc(10))).bytesRead).toBe(0);
    await handle.close();
  });

  test("reads elsewhere without moving, as many at once as there are", async () => {
    const handle = await fs.open(at("file"));
    const reads = Array.from({ length: 100 }, (_, i) => handle.read(Buffer.alloc(700), 100, 600, i * 997));
    for (const [i, { buffer, bytesRead }] of (await Promise.all(reads)).entries()) {
      const wanted = content.subarray(i * 997, i * 997 + 600);
      expect(bytesRead).toBe(wanted.length);
      expect(buffer.subarray(100, 100 + bytesRead).equals(wanted)).toBe(true);
    }
    const first = await handle.read(Buffer.alloc(4));
    expect(first.buffer.equals(content.subarray(0, 4))).toBe(true);
    await handle.close();
  });

  test("is closed when the reads are done that are under way", async () => {
    const handle = await fs.open(at("file"));
    const reads = Array.from({ length: 20 }, (_, i) => handle.read(Buffer.alloc(100), 0, 100, i * 100));
    const closing = handle.close();
    for (const { bytesRead } of await Promise.all(reads)) expect(bytesRead).toBe(100);
    await closing;
    expect(handle.fd).toBe(-1);
    expect(await handle.read(Buffer.alloc(1)).catch((error: { code: string }) => error.code)).toBe("EBADF");
  });

  test("keeps the buffers of reads that nobody keeps", async () => {
    const handle = await fs.open(at("fifo"), "r+");
    const reads = Array.from({ length: 16 }, () =>
      handle.read(Buffer.alloc(2000), 0, 2000).then(({ buffer }) => buffer),
    );
    Bun.gc(true);
    const bystanders = Array.from({ length: 64 }, () => Buffer.alloc(2000, 0x11));
    const fd = openSync(at("fifo"), "w");
    writeFileSync(fd, content.subarray(0, 32_000));
    closeSync(fd);
    expect(Buffer.concat(await Promise.all(reads)).equals(content.subarray(0, 32_000))).toBe(true);
    expect(bystanders.every((buffer) => buffer.every((byte) => byte === 0x11))).toBe(true);
    await handle.close();
  });

  test("has no positions where the file has none", async () => {
    const handle = await fs.open(at("fifo"), "r+");
    const code = (error: { code: string }): string => error.code;
    expect(await handle.read(Buffer.alloc(1), 0, 1, 0).catch(code)).toBe("ESPIPE");
    expect(await handle.write(Buffer.alloc(1), 0, 1, 0).catch(code)).toBe("ESPIPE");
    await handle.close();
  });

  test("of a FIFO waits for the other end", async () => {
    const opening = fs.open(at("fifo"), "r");
    await Bun.sleep(20);
    expect(Bun.peek.status(opening)).toBe("pending");
    const [reader, writer] = await Promise.all([opening, fs.open(at("fifo"), "w")]);
    await writer.write("through");
    expect((await reader.read(Buffer.alloc(20))).bytesRead).toBe(7);
    await Promise.all([reader.close(), writer.close()]);
  });

  test("gives its descriptor back when it is sent away", async () => {
    const handle = await fs.open(at("file"));
    const { fd } = handle;
    const { port1, port2 } = new MessageChannel();
    const received = new Promise<unknown>((resolve) => (port2.onmessage = ({ data }) => resolve(data)));
    let sent = true;
    try {
      port1.postMessage(handle, [handle as never]);
    } catch {
      // Bun cannot send one of its own either then.
      sent = false;
      const theirs = await own.open(at("file"));
      expect(() => port1.postMessage(theirs, [theirs as never])).toThrow();
      await theirs.close();
    }
    if (sent) expect((await received) !== undefined && handle.fd === -1).toBe(true);
    else expect(handle.fd).toBe(fd);
    port1.close();
    port2.close();
    await handle.close();
  });
});

describe("a FileHandle that nobody has any more", () => {
  const program = `
    import * as fs from ${JSON.stringify(join(import.meta.dir, "../../src/fs/index.ts"))};
    import { readdirSync, readlinkSync } from "node:fs";
    const path = ${JSON.stringify(at("file"))};
    const open = () => readdirSync("/proc/self/fd").filter((fd) => {
      try { return readlinkSync("/proc/self/fd/" + fd) === path; } catch { return false; }
    }).length;
    const said = [];
    process.on("uncaughtException", (error) => said.push(error.message));
    await (await fs.open(path)).close();
    await (async () => { for (let i = 0; i < 20; i++) await fs.open(path); })();
    const before = open();
    for (let i = 0; i < 50 && open() > 2; i++) { Bun.gc(true); await Bun.sleep(5); }
    console.log(JSON.stringify({ before, after: open(), said: said.length, first: said[0] }));
    process.exit(0);
  `;

  test("is closed, and complained of", () => {
    const { stdout } = Bun.spawnSync([process.execPath, "-e", program]);
    const { before, after, said, first } = JSON.parse(String(stdout)) as Record<string, number> & { first: string };
    // A collection may have come before they were counted.
    expect(before).toBeLessThanOrEqual(20);
    expect(after).toBeLessThan(20);
    expect(said).toBeGreaterThan(0);
    expect(first).toContain("garbage collection");
  });
});
