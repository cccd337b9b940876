/**
 * `bun run examples/ublk`: what it understands anywhere, and where the driver is, disks that are used as disks are:
 * filled, mounted, compared, taken away.
 */
import { afterEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as abi from "../../examples/ublk/abi.ts";
import { backendOf, type Store } from "../../examples/ublk/backend.ts";
import { parseSize, readTask } from "../../examples/ublk/options.ts";
import { Request } from "../../examples/ublk/request.ts";
import { makeCounters, READS, statisticsLine } from "../../examples/ublk/stats.ts";
import {
  EOPNOTSUPP,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  Mapping,
  Ring,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { readDirect, writeDirect } from "../support/disk.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { type Declare, needsThat } from "../support/kernel.ts";
import { eventually, example, type Outcome, run, treeOf } from "./programs.ts";

const command = (...args: string[]): string[] => [...example("ublk"), ...args];
const ublk = (...args: string[]): Outcome => run(command(...args));

describe("readTask()", () => {
  test("reads what there is to do", () => {
    const usual = { readOnly: false, id: -1, queues: 1, depth: 128, blockBytes: 512 };
    expect(readTask(["--ram", "64M"])).toEqual({
      what: "serve",
      options: { ...usual, source: { ramBytes: 64 * 2 ** 20 } },
    });
    const all = ["--read-only", "--id", "7", "--queues", "2", "--depth", "8", "--block", "4096"];
    expect(readTask(["--file", "disk", ...all])).toEqual({
      what: "serve",
      options: { source: { path: "disk" }, readOnly: true, id: 7, queues: 2, depth: 8, blockBytes: 4096 },
    });
    expect(readTask(["list"])).toEqual({ what: "list" });
    expect(readTask(["del", "0", "12"])).toEqual({ what: "del", ids: [0, 12] });
    expect(readTask(["--help", "--ram", "nonsense"])).toEqual({ what: "help" });
  });

  test.each([
    [[], "either --ram SIZE or --file PATH"],
    [["--ram", "1M", "--file", "x"], "either --ram SIZE or --file PATH"],
    [["--ram", "much"], "--ram takes a size"],
    [["--ram", "0"], "from one block to 4G"],
    [["--ram", "5G"], "from one block to 4G"],
    [["--ram", "1000"], "whole blocks of 512 bytes"],
    [["--ram", "1M", "--block", "1000"], "--block takes 512"],
    [["--ram", "1M", "--depth", "4097"], "--depth takes a whole number from 1 to 4096"],
    [["--ram", "1M", "--queues", "0"], "--queues takes a whole number from 1"],
    [["--ram", "1M", "--id", "x"], "--id takes a whole number"],
    [["del"], "del takes the numbers"],
    [["del", "x"], "del takes a whole number"],
    [["list", "0"], "'list 0' means nothing here"],
    [["--wide"], "--wide"],
  ])("refuses %j", (args, words) => {
    expect(() => readTask(args)).toThrow(words);
  });

  test("parseSize() counts in units of 1024", () => {
    const sizes = ["0", "512", "3k", "64M", "1G"].map(parseSize);
    expect(sizes).toEqual([0, 512, 3072, 64 * 2 ** 20, 2 ** 30]);
    expect(["", "M", "1.5M", "-1", "1T", "1MB"].map(parseSize)).toEqual(new Array(6).fill(undefined));
  });
});

describe("what the driver is told and tells", () => {
  test("commands have the numbers that _IOR() and _IOWR() give", () => {
    expect([abi.UBLK_U_CMD_GET_DEV_INFO, abi.UBLK_U_CMD_ADD_DEV, abi.UBLK_U_CMD_DEL_DEV]).toEqual([
      0x80207502, 0xc0207504, 0xc0207505,
    ]);
    expect([abi.UBLK_U_CMD_START_DEV, abi.UBLK_U_CMD_STOP_DEV, abi.UBLK_U_CMD_SET_PARAMS]).toEqual([
      0xc0207506, 0xc0207507, 0xc0207508,
    ]);
    expect([abi.UBLK_U_IO_FETCH_REQ, abi.UBLK_U_IO_COMMIT_AND_FETCH_REQ]).toEqual([0xc0107520, 0xc0107521]);
  });

  test("ctrlCmd() and ioCmd() have every field in its place", () => {
    const control = new DataView(abi.ctrlCmd(-1, { address: 2 ** 40, length: 64, data: 77 }).buffer);
    expect([control.byteLength, control.getInt32(0, true), control.getUint16(4, true)]).toEqual([32, -1, 0xffff]);
    expect([control.getUint16(6, true), control.getBigUint64(8, true)]).toEqual([64, 2n ** 40n]);
    expect(control.getBigUint64(16, true)).toBe(77n);
    const io = new DataView(abi.ioCmd(3, 5, 2 ** 41).buffer);
    expect([io.byteLength, io.getUint16(0, true), io.getUint16(2, true)]).toEqual([16, 3, 5]);
    expect(io.getBigUint64(8, true)).toBe(2n ** 41n);
  });

  test("writeDevInfo() leaves nothing of what was there before", () => {
    const bytes = new Uint8Array(4096).fill(0xaa);
    const wishes = { id: -1, queues: 2, depth: 64, maxIoBytes: 65536 };
    abi.writeDevInfo(bytes, wishes);
    expect(abi.readDevInfo(bytes)).toEqual({ ...wishes, state: 0, pid: 0 });
    expect(bytes[abi.SIZEOF_DEV_INFO]).toBe(0xaa);
  });

  test("writeParams() describes the disk", () => {
    const bytes = new Uint8Array(4096).fill(0xaa);
    const view = new DataView(bytes.buffer);
    const disk = { sizeBytes: 2 ** 42, blockBytes: 4096, maxIoBytes: 262144, readOnly: false, volatileCache: true };
    abi.writeParams(bytes, disk);
    const words = [0, 4, 8, 16, 20, 40, 44, 48, 52];
    expect(words.map((at) => view.getUint32(at, true))).toEqual([60, 3, 4, 512, 0, 0, 4096, 2 ** 21, 2 ** 21]);
    expect([...bytes.subarray(12, 16)]).toEqual([12, 12, 12, 12]);
    expect(view.getBigUint64(24, true)).toBe(2n ** 33n);
    expect(view.getUint16(56, true)).toBe(1);
    expect(bytes[abi.SIZEOF_PARAMS]).toBe(0xaa);
    abi.writeParams(bytes, { ...disk, blockBytes: 512, readOnly: true, volatileCache: false });
    // Nothing is discarded of a disk that can only be read.
    expect([8, 48, 52].map((at) => view.getUint32(at, true))).toEqual([1, 0, 0]);
    expect(bytes[12]).toBe(9);
  });

  test("Request reads a descriptor", () => {
    const descriptors = new Int32Array(12);
    descriptors.set([abi.UBLK_IO_OP_WRITE_ZEROES | abi.UBLK_IO_F_NOUNMAP, 8, -1, 1], 6);
    const request = new Request(1, 4096, 0);
    request.done = 5;
    request.read(descriptors);
    expect(request).toMatchObject({ op: 5, flags: abi.UBLK_IO_F_NOUNMAP, length: 4096, done: 0 });
    expect(request.offset).toBe((2 ** 33 - 1) * 512);
  });

  test("statisticsLine() adds the queues up", () => {
    const [a, b] = [makeCounters(), makeCounters()];
    a[READS] = 2;
    b[READS] = 3;
    expect(statisticsLine([a, b])).toStartWith("reads 5 (0 bytes), writes 0 ");
  });
});

describe("backendOf()", () => {
  const size = 2 ** 20;
  const files = scratchDirectory();

  /** Does requests one after another, as a queue does. */
  function server(kind: "ram" | "file"): {
    ring: Ring;
    ask: (op: number, at: number, data: number, flags?: number) => number;
    data: Mapping;
  } {
    const ring = new Ring(4);
    const data = Mapping.anonymous(size);
    const store: Store =
      kind === "ram"
        ? { kind, memory: new SharedArrayBuffer(size) }
        : { kind, fd: openFile(files, "backend", Buffer.alloc(size)) };
    const backend = backendOf(store, ring, data.bytes);
    const ask = (op: number, at: number, length: number, flags: number = 0): number => {
      const request = new Request(0, data.address, 0);
      Object.assign(request, { op, offset: at, length, flags });
      const outcome = backend.serve(request);
      return typeof outcome === "number" ? outcome : complete(ring);
    };
    return { ring, ask, data };
  }

  for (const kind of ["ram", "file"] as const) {
    test(`serves what a disk is asked for from a ${kind}`, () => {
      const { ring, ask, data } = server(kind);
      using _ = ring;
      const wanted = pattern(size, 5);
      data.bytes.set(wanted);
      expect(ask(abi.UBLK_IO_OP_WRITE, 0, size)).toBe(size);
      expect(ask(abi.UBLK_IO_OP_FLUSH, 0, 0)).toBe(0);
      // Within a page; over the edges of pages; whole pages.
      for (const [at, length] of [
        [512, 1024],
        [4096 + 512, 8192],
        [65536, 131072],
        [size - 512, 512],
      ] as const) {
        expect(ask(abi.UBLK_IO_OP_WRITE_ZEROES, at, length)).toBe(0);
        wanted.fill(0, at, at + length);
      }
      const noHole = ask(abi.UBLK_IO_OP_WRITE_ZEROES, 4096 * 100, 8192, abi.UBLK_IO_F_NOUNMAP);
      // Not every filesystem can; the kernel writes zeros itself then.
      if (noHole === 0) wanted.fill(0, 4096 * 100, 4096 * 102);
      else expect([kind, noHole]).toEqual(["file", -EOPNOTSUPP]);
      expect(ask(abi.UBLK_IO_OP_DISCARD, 4096 * 120, 4096)).toBe(0);
      wanted.fill(0, 4096 * 120, 4096 * 121);
      data.bytes.fill(0xee);
      expect(ask(abi.UBLK_IO_OP_READ, 0, size)).toBe(size);
      expect(Buffer.from(data.bytes).equals(wanted)).toBe(true);
      expect(ask(99, 0, 512)).toBe(-EOPNOTSUPP);
      data.close();
    });
  }
});

describe("failures that need no driver", () => {
  test("a command line that makes no sense", () => {
    const { status, stderr } = ublk("--ram");
    expect(status).toBe(2);
    expect(stderr).toEndWith("\nTry 'bun run examples/ublk --help'.\n");
  });

  test("--help tells how it is called", () => {
    const { status, stdout } = ublk("--help");
    expect(status).toBe(0);
    expect(String(stdout)).toStartWith("Usage: bun run examples/ublk --ram SIZE [options]\n");
  });

  const loaded = existsSync("/dev/ublk-control");
  needsThat(!loaded || process.getuid?.() === 0, "root")(
    `list ${loaded ? "lists" : "says that there is no driver"}`,
    () => {
      const { status, stdout, stderr } = ublk("list");
      expect({ status, stderr, listed: String(stdout).startsWith("device ") }).toEqual({
        status: loaded ? 0 : 1,
        stderr: loaded ? "" : 'ublk: there is no /dev/ublk-control: load the driver with "modprobe ublk_drv"\n',
        listed: loaded,
      });
    },
  );
});

// ---- Where the driver is, and this user may make devices

const may = existsSync("/dev/ublk-control") && process.getuid?.() === 0;
const here: Declare = needsThat(may, "root and the driver ublk_drv, Linux 6.12");
const withFormat: Declare = may ? needsThat(Bun.which("mkfs.ext4") !== null, "mkfs.ext4") : here;
const withDiscard: Declare = may ? needsThat(Bun.which("blkdiscard") !== null, "blkdiscard") : here;
const withFio: Declare = may ? needsThat(Bun.which("fio") !== null, "fio") : here;

const directory = scratchDirectory();
const running = new Set<Server>();
// A test that failed leaves nothing to the next one.
afterEach(async () => {
  for (const server of running) {
    await server.stop("SIGKILL");
    ublk("del", server.id);
  }
});

/** A device and the program that serves it. */
class Server {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  path = "";
  /** What it has printed so far: at first the line that says that the disk is there. */
  output = "";
  readonly #complaints: Promise<string>;
  readonly #printed: Promise<void>;
  readonly #greeted: PromiseWithResolvers<void> = Promise.withResolvers();

  private constructor(args: readonly string[]) {
    this.child = Bun.spawn(command(...args), { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.#complaints = this.child.stderr.text();
    this.#printed = this.#collect();
    running.add(this);
  }

  static async start(...args: string[]): Promise<Server> {
    const server = new Server(args);
    await server.#greeted.promise;
    server.path = /^serving (\S+) /.exec(server.output)?.[1] ?? "";
    if (server.path === "") throw new Error(`it serves nothing: ${(await server.ended()).err}`);
    return server;
  }

  async #collect(): Promise<void> {
    for await (const piece of this.child.stdout) {
      this.output += Buffer.from(piece).toString();
      if (this.output.includes("\n")) this.#greeted.resolve();
    }
    this.#greeted.resolve();
  }

  get id(): string {
    return this.path.replace("/dev/ublkb", "");
  }

  /** Ends it: its status, and all that it said. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<{ status: number | null; out: string; err: string }> {
    this.child.kill(signal);
    return await this.ended();
  }

  async ended(): Promise<{ status: number | null; out: string; err: string }> {
    await this.child.exited;
    running.delete(this);
    await this.#printed;
    return { status: this.child.exitCode, out: this.output, err: await this.#complaints };
  }

  /** Whether anything is left of the device. */
  get left(): boolean {
    return existsSync(this.path) || existsSync(`/dev/ublkc${this.id}`);
  }
}

/** What the last statistics say. */
function statistics(out: string): Record<string, number> {
  const line = out.trimEnd().split("\n").at(-1) ?? "";
  return Object.fromEntries([...line.matchAll(/([a-z]+) (\d+)/g)].map(([, name, value]) => [name, Number(value)]));
}

/** Runs a program of the system's, which must succeed. */
function succeed(...args: string[]): void {
  const { status, stdout, stderr } = run(args);
  expect({ args, status, said: status === 0 ? "" : `${stdout}${stderr}` }).toEqual({ args, status: 0, said: "" });
}

/** A file of so many bytes, all of them holes. */
function sparse(name: string, bytes: number): string {
  const path = join(directory, name);
  writeFileSync(path, "");
  truncateSync(path, bytes);
  return path;
}

/** Mounts a disk for as long as `use` lasts. */
function mounted(path: string, how: readonly string[], use: (place: string) => void): void {
  const place = join(directory, "mounted");
  mkdirSync(place, { recursive: true });
  succeed("mount", ...how, path, place);
  try {
    use(place);
  } finally {
    succeed("umount", place);
  }
}

/** Makes a filesystem, fills it, and finds everything in it again after it was unmounted. */
function useAsDisk(path: string): void {
  succeed("mkfs.ext4", "-q", path);
  const source = join(directory, "source");
  if (!existsSync(source)) {
    cpSync(join(import.meta.dir, "../../examples"), source, { recursive: true });
    writeFileSync(join(source, "large"), pattern(9 * 2 ** 20 + 17, 42));
  }
  mounted(path, [], (place) => cpSync(source, join(place, "copy"), { recursive: true }));
  mounted(path, ["-o", "ro"], (place) => expect(treeOf(join(place, "copy"))).toEqual(treeOf(source)));
  succeed("fsck.ext4", "-fn", path);
}

describe("a disk", () => {
  for (const [kind, args] of [
    ["in memory", () => ["--ram", "48M"]],
    ["in memory, with two queues", () => ["--ram", "48M", "--queues", "2", "--depth", "16"]],
    ["in a file", () => ["--file", sparse("disk", 48 * 2 ** 20)]],
    ["in a file, of large blocks", () => ["--file", sparse("disk", 48 * 2 ** 20), "--block", "4096"]],
  ] as const) {
    withFormat(`${kind} is formatted, mounted, filled, and found whole`, async () => {
      const server = await Server.start(...args());
      expect(statSync(server.path).isBlockDevice()).toBe(true);
      expect(server.output).toStartWith(`serving ${server.path} (${48 * 2 ** 20} bytes in `);
      useAsDisk(server.path);
      const { status, out, err } = await server.stop();
      expect({ status, err, left: server.left }).toEqual({ status: 0, err: "", left: false });
      const counted = statistics(out);
      expect(counted).toMatchObject({ errors: 0 });
      for (const name of ["reads", "writes", "zeroings"]) expect(counted[name]).toBeGreaterThan(0);
      // What is in memory is as safe as it can be at once.
      if (kind.startsWith("in memory")) expect(counted["flushes"]).toBe(0);
      else expect(counted["flushes"]).toBeGreaterThan(0);
    });
  }

  for (const [kind, args] of [
    ["in memory", () => ["--ram", "32M"]],
    ["in a file", () => ["--file", sparse("disk", 32 * 2 ** 20)]],
  ] as const) {
    withFio(`${kind} passes fio --verify`, async () => {
      const server = await Server.start(...args());
      const job = [
        "--name=verify",
        `--filename=${server.path}`,
        "--rw=randwrite",
        "--bsrange=512-64k",
        "--bs_unaligned=0",
      ];
      const how = ["--size=32M", "--io_size=12M", "--ioengine=libaio", "--iodepth=16", "--direct=1", "--randseed=7"];
      const check = ["--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--output-format=terse"];
      succeed("fio", ...job, ...how, ...check);
      const { status, out } = await server.stop();
      expect(status).toBe(0);
      const counted = statistics(out);
      expect(counted["errors"]).toBe(0);
      // All of it was read again, and a filesystem was looked for before.
      expect(counted["reads"]).toBeGreaterThan((counted["writes"] as number) * 0.8);
    });
  }
});

describe("requests", () => {
  for (const kind of ["memory", "a file"]) {
    withDiscard(`discard and zero what they should and nothing else, in ${kind}`, async () => {
      const size = 8 * 2 ** 20;
      const file = sparse("holes", size);
      const server = await Server.start(...(kind === "memory" ? ["--ram", "8M"] : ["--file", file]));
      const wanted = pattern(size, 3);
      writeDirect(server.path, 0, wanted);
      const full = statSync(file).blocks;
      const fd = openSync(server.path, constants.O_RDWR | constants.O_DIRECT);
      using ring = new Ring(4);
      const zeroed = (offset: number, length: number): void => void wanted.fill(0, offset, offset + length);
      const kept = FALLOC_FL_KEEP_SIZE;
      ring.prepFallocate(fd, kept | FALLOC_FL_PUNCH_HOLE, 2 ** 20, 2 ** 20 + 512 * 3);
      expect(complete(ring)).toBe(0);
      zeroed(2 ** 20, 2 ** 20 + 512 * 3);
      ring.prepFallocate(fd, kept | FALLOC_FL_ZERO_RANGE, 4 * 2 ** 20 + 512, 2 ** 20);
      expect(complete(ring)).toBe(0);
      zeroed(4 * 2 ** 20 + 512, 2 ** 20);
      ring.prepFallocate(fd, kept | FALLOC_FL_ZERO_RANGE, 7 * 2 ** 20 + 512, 512);
      expect(complete(ring)).toBe(0);
      zeroed(7 * 2 ** 20 + 512, 512);
      closeSync(fd);
      // Kernel: 7.0.13 refuses BLOCK_URING_CMD_DISCARD of any device, so the ioctl it is.
      succeed("blkdiscard", "-o", String(6 * 2 ** 20), "-l", String(2 ** 19), server.path);
      zeroed(6 * 2 ** 20, 2 ** 19);
      expect(readDirect(server.path, 0, size).equals(wanted)).toBe(true);
      const { status, out } = await server.stop();
      expect(status).toBe(0);
      expect(statistics(out)).toMatchObject({ discards: 1, errors: 0 });
      if (kind === "memory") return;
      expect(readFileSync(file).equals(wanted)).toBe(true);
      // What was punched and discarded takes no room any more, but for what the filesystem notes of it.
      expect(statSync(file).blocks * 512).toBeLessThanOrEqual(full * 512 - 2 ** 20 - 2 ** 19 + 65536);
    });
  }

  here("reach the end of a file of many gigabytes that is no whole number of blocks", async () => {
    const size = 9 * 2 ** 30;
    const file = sparse("large", size + 300);
    const server = await Server.start("--file", file);
    expect(server.output).toContain(`(${size} bytes in ${file}; queues: 1)`);
    const data = pattern(65536, 8);
    writeDirect(server.path, size - 65536, data);
    expect(readDirect(server.path, size - 65536, 65536).equals(data)).toBe(true);
    expect((await server.stop()).status).toBe(0);
    const back = Buffer.alloc(65536);
    const fd = openSync(file, "r");
    expect(readSync(fd, back, 0, back.length, size - 65536)).toBe(back.length);
    closeSync(fd);
    rmSync(file);
    expect(back.equals(data)).toBe(true);
  });

  here("fail where the file has become shorter, and the disk goes on", async () => {
    const file = sparse("short", 2 ** 20);
    const server = await Server.start("--file", file);
    truncateSync(file, 2 ** 19);
    expect(() => readDirect(server.path, 2 ** 19, 4096)).toThrow("EIO");
    writeDirect(server.path, 0, pattern(4096, 2));
    expect(readDirect(server.path, 0, 4096).equals(pattern(4096, 2))).toBe(true);
    const { status, out } = await server.stop();
    expect(status).toBe(0);
    expect(statistics(out)["errors"]).toBeGreaterThan(0);
  });

  const disk = process.env["URING_TEST_NVME_DEVICE"] ?? "";
  const onDisk = may && !existsSync(disk) ? needsThat(false, "a disk named by URING_TEST_NVME_DEVICE") : here;
  onDisk("go through to another disk", async () => {
    const server = await Server.start("--file", disk);
    const data = pattern(2 ** 20, 6);
    writeDirect(server.path, 2 ** 20, data);
    expect((await server.stop()).status).toBe(0);
    expect(readDirect(disk, 2 ** 20, data.length).equals(data)).toBe(true);
  });
});

here("--read-only lets nobody write", async () => {
  const file = join(directory, "readonly");
  const data = pattern(2 ** 20, 4);
  writeFileSync(file, data);
  const server = await Server.start("--file", file, "--read-only");
  expect(server.output).toContain(", read-only;");
  const back = Buffer.alloc(data.length);
  const fd = openSync(server.path, "r");
  expect(readSync(fd, back, 0, back.length, 0)).toBe(back.length);
  closeSync(fd);
  expect(back.equals(data)).toBe(true);
  expect(() => writeDirect(server.path, 0, pattern(4096, 5))).toThrow();
  expect((await server.stop("SIGINT")).status).toBe(0);
  expect(readFileSync(file).equals(data)).toBe(true);
});

describe("the end", () => {
  withFormat("of a mounted disk has to be asked for twice", async () => {
    const server = await Server.start("--ram", "16M");
    succeed("mkfs.ext4", "-q", server.path);
    mounted(server.path, [], (place) => {
      writeFileSync(join(place, "file"), "content");
      server.child.kill("SIGTERM");
      expect(run([...command("del"), server.id])).toMatchObject({
        status: 1,
        stderr: `ublk: cannot remove device ${server.id}: it is in use: unmount it first\n`,
      });
      expect(readFileSync(join(place, "file"), "utf8")).toBe("content");
    });
    expect(existsSync(server.path)).toBe(true);
    const { status, err } = await server.stop();
    expect(status).toBe(0);
    expect(err).toBe(
      `ublk: ${server.path} is in use; unmount it first, or send the signal again to remove it all the same\n`,
    );
    expect(server.left).toBe(false);
  });

  here("after kill -9 leaves a device that del removes", async () => {
    const server = await Server.start("--ram", "16M");
    writeDirect(server.path, 0, pattern(4096, 1));
    expect((await server.stop("SIGKILL")).status).not.toBe(0);
    // The disk goes with whoever served it; the device stays.
    expect(await eventually(() => !existsSync(server.path))).toBe(true);
    expect(existsSync(`/dev/ublkc${server.id}`)).toBe(true);
    expect(String(ublk("list").stdout)).toMatch(new RegExp(`^${server.path} +dead +- +1 +128 +-$`, "m"));
    expect(ublk("del", server.id)).toMatchObject({ status: 0, stderr: "" });
    expect(server.left).toBe(false);
    expect(String(ublk("list").stdout)).not.toContain(server.path);
    expect(ublk("del", server.id)).toMatchObject({
      status: 1,
      stderr: `ublk: cannot remove device ${server.id}: there is none\n`,
    });
  });

  here("by del ends the program that serves it", async () => {
    const server = await Server.start("--ram", "16M");
    expect(String(ublk("list").stdout)).toMatch(
      new RegExp(`^${server.path} +live +${16 * 2 ** 20} +1 +128 +${server.child.pid}$`, "m"),
    );
    expect(ublk("del", server.id)).toMatchObject({ status: 0, stderr: "" });
    const { status, out, err } = await server.ended();
    expect({ status, err, left: server.left }).toEqual({ status: 0, err: "", left: false });
    expect(out).toContain("\nreads ");
  });
});

here("a signal while it is being started removes what there is", async () => {
  const child = Bun.spawn(command("--ram", "16M", "--id", "22"), { stdout: "pipe", stderr: "pipe" });
  // The driver's file for the device is there before the disk is.
  expect(await eventually(() => existsSync("/dev/ublkc22"))).toBe(true);
  child.kill("SIGTERM");
  const complaint = await child.stderr.text();
  await child.exited;
  expect({ status: child.exitCode, complaint }).toEqual({ status: 0, complaint: "" });
  expect([existsSync("/dev/ublkc22"), existsSync("/dev/ublkb22")]).toEqual([false, false]);
});

describe("what cannot be", () => {
  here("a number that is taken", async () => {
    const server = await Server.start("--ram", "1M", "--id", "21");
    expect(server.path).toBe("/dev/ublkb21");
    expect(ublk("--ram", "1M", "--id", "21")).toMatchObject({
      status: 1,
      stderr: "ublk: there is a device 21 already\n",
    });
    expect((await server.stop()).status).toBe(0);
  });

  here("no file, an empty one, a directory: no device is left of it", () => {
    writeFileSync(join(directory, "empty"), "");
    expect(ublk("--file", join(directory, "nope")).stderr).toContain("ENOENT");
    expect(ublk("--file", join(directory, "empty")).stderr).toContain("it has 0 bytes, which is less than a block");
    expect(ublk("--file", directory, "--read-only").stderr).toContain("it is no file and no disk");
    expect(ublk("list")).toMatchObject({ status: 0 });
    expect(String(ublk("list").stdout).trim().split("\n")).toHaveLength(1);
  });
});
