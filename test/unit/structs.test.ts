/** The structs that operations take by address: their bytes against C's, and the kernel's word on them. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, constants, lstatSync, openSync, readSync, statSync, symlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  MSG_TRUNC,
  RESOLVE_NO_SYMLINKS,
  SIZEOF_STATX,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from "../../src/abi/linux.ts";
import { IORING_OP_OPENAT2, IORING_OP_STATX } from "../../src/abi/constants.gen.ts";
import { addressOf, type Located } from "../../src/memory.ts";
import { Ring } from "../../src/ring/ring.ts";
import { Statx } from "../../src/ring/statx.ts";
import { Iovecs, Msghdr, OpenHow, Timespec } from "../../src/ring/structs.ts";
import { compiler, needsCompiler, runC } from "../support/compiler.ts";
import { openFile, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";

const directory = scratchDirectory();
// The process's memory by way of the kernel: what it will find at a struct's address.
const memory = openSync("/proc/self/mem", "r+");
afterAll(() => closeSync(memory));

function bytesAt(address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  readSync(memory, bytes, 0, length, address);
  return bytes;
}

function bytesOf({ address, byteLength }: Located): string {
  return bytesAt(address, byteLength).toHex();
}

/** Hexadecimal bytes of a C struct filled in by `assignments` to `s`. */
function cBytes(includes: readonly string[], type: string, assignments: string): string {
  const [line] = runC(
    [...includes, "string.h"],
    [
      `${type} s; memset(&s, 0, sizeof s); ${assignments}`,
      'for (unsigned i = 0; i < sizeof s; i++) printf("%02x", ((unsigned char *)&s)[i]);',
    ],
  );
  return line ?? "";
}

const withCompiler = test.skipIf(compiler === null);

/** Submits what is queued and returns the one result. */
function complete(ring: Ring): number {
  ring.submitAndWait(1);
  const result = ring.peekCqe()?.res;
  ring.seenCqe();
  return result ?? NaN;
}

describe("Timespec", () => {
  withCompiler(needsCompiler("has C's bytes"), () => {
    const c = (assignments: string): string => cBytes(["linux/time_types.h"], "struct __kernel_timespec", assignments);
    expect(bytesOf(new Timespec(3, 250))).toBe(c("s.tv_sec = 3; s.tv_nsec = 250;"));
    expect(bytesOf(new Timespec(2 ** 40 + 5, 999_999_999))).toBe(
      c("s.tv_sec = (1LL << 40) + 5; s.tv_nsec = 999999999;"),
    );
  });

  test("ofMs() splits milliseconds, whole or not", () => {
    for (const [ms, seconds, nanoseconds] of [
      [0, 0, 0],
      [1, 0, 1e6],
      [999, 0, 999e6],
      [1000, 1, 0],
      [1500.25, 1, 500_250_000],
      [0.000001, 0, 1],
      [999.9999999, 1, 0],
      [86_400_000, 86_400, 0],
    ] as const) {
      const ts = Timespec.ofMs(ms);
      expect({ ms, seconds: ts.seconds, nanoseconds: ts.nanoseconds }).toEqual({ ms, seconds, nanoseconds });
    }
    expect(Timespec.ofMs(1500.25).ms).toBe(1500.25);
  });

  test("set() changes the time in place and refuses what is no time", () => {
    const ts = new Timespec(1, 2);
    const { address } = ts;
    expect(ts.set(5).address).toBe(address);
    expect([ts.seconds, ts.nanoseconds]).toEqual([5, 0]);
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53, "1", 1n, null]) {
      expect(() => ts.set(bad as number)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }),
      );
    }
    for (const bad of [-1, 0.5, NaN, 1e9, "1", 1n, null]) {
      expect(() => ts.set(0, bad as number)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }),
      );
    }
    for (const bad of [-1, NaN, Infinity, "1", 1n, null]) {
      expect(() => ts.setMs(bad as number)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }),
      );
    }
    expect([ts.seconds, ts.nanoseconds]).toEqual([5, 0]);
  });

  test("is a time that the kernel waits for", () => {
    using ring = new Ring(4);
    const ts = Timespec.ofMs(30);
    const start = Bun.nanoseconds();
    ring.prepTimeout(ts);
    expect(complete(ring)).toBe(-62);
    expect(Bun.nanoseconds() - start).toBeGreaterThanOrEqual(30e6);
  });
});

describe("Iovecs", () => {
  withCompiler(needsCompiler("has C's bytes"), () => {
    const iovecs = new Iovecs(2);
    iovecs.set(0, 0x7fff_0000_1000, 4096).set(1, 0x10_0000_0000, 2 ** 31 - 1);
    const assignments =
      "s.v[0].iov_base = (void *)0x7fff00001000; s.v[0].iov_len = 4096;" +
      "s.v[1].iov_base = (void *)0x1000000000; s.v[1].iov_len = 2147483647;";
    expect(bytesOf(iovecs)).toBe(cBytes(["sys/uio.h"], "struct { struct iovec v[2]; }", assignments));
  });

  test("names each piece of memory and its length, which can be cut", () => {
    const pieces = [Buffer.from("first"), new Uint16Array([1, 2]), new Uint8Array(0)];
    const iovecs = new Iovecs(pieces);
    expect([iovecs.length, iovecs.byteLength, iovecs.totalBytes]).toEqual([3, 48, 9]);
    const words = new BigUint64Array(bytesAt(iovecs.address, iovecs.byteLength).buffer);
    expect(Number(words[0])).toBe(addressOf(pieces[0] as Buffer));
    expect(Number(words[2])).toBe(addressOf(pieces[1] as Uint16Array));
    expect(iovecs.set(0, pieces[0] as Buffer, 2).lengthAt(0)).toBe(2);
  });

  test("set() refuses what cannot be and leaves what was there", () => {
    const iovecs = new Iovecs([new Uint8Array(4)]);
    const before = bytesOf(iovecs);
    for (const [index, piece, length] of [
      [1, new Uint8Array(4), undefined],
      [-1, new Uint8Array(4), undefined],
      [0.5, new Uint8Array(4), undefined],
      [0, new Uint8Array(4), 5],
      [0, 0x1000, undefined],
      [0, "text", undefined],
      [0, new ArrayBuffer(4, { maxByteLength: 8 }), undefined],
    ] as const) {
      expect(() => iovecs.set(index, piece as Uint8Array, length)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }),
      );
    }
    for (const bad of [-1, 0.5, "2", null, undefined, {}]) {
      expect(() => new Iovecs(bad as number)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }),
      );
    }
    expect(bytesOf(iovecs)).toBe(before);
  });

  test("keeps its pieces alive, and lets go of those that were replaced", async () => {
    const count = 200;
    const iovecs = new Iovecs(2 * count);
    const kept: WeakRef<Uint8Array>[] = [];
    const dropped: WeakRef<Uint8Array>[] = [];
    const fill = (): void => {
      for (let i = 0; i < count; i++) {
        const piece = new Uint8Array(2000);
        iovecs.set(i, piece);
        kept.push(new WeakRef(piece));
        const replaced = new Uint8Array(2000);
        iovecs.set(count + i, replaced);
        dropped.push(new WeakRef(replaced));
        iovecs.set(count + i, 0x1000, 1);
      }
    };
    fill();
    for (let round = 0; round < 3; round++) {
      await Bun.sleep(0);
      Bun.gc(true);
    }
    expect(kept.filter((ref) => ref.deref() === undefined).length).toBe(0);
    // Some may still be seen on the stack by a collector that looks there conservatively.
    expect(dropped.filter((ref) => ref.deref() === undefined).length).toBeGreaterThan(count / 2);
    expect(iovecs.length).toBe(2 * count);
  });

  test("is what readv and writev take", () => {
    using ring = new Ring(4);
    const fd = openFile(directory, "vectors");
    ring.prepWritev(fd, kept(new Iovecs([Buffer.from("one, "), Buffer.from("two, "), Buffer.from("three")])), 0);
    expect(complete(ring)).toBe(15);
    const [head, tail] = [Buffer.alloc(3), Buffer.alloc(20)];
    ring.prepReadv(fd, kept(new Iovecs([head, tail])), 0);
    expect(complete(ring)).toBe(15);
    expect([head.toString(), tail.subarray(0, 12).toString()]).toEqual(["one", ", two, three"]);
    closeSync(fd);
  });
});

describe("Msghdr", () => {
  withCompiler(needsCompiler("has C's bytes"), () => {
    const msg = new Msghdr();
    msg.setName(0x7fff_0000_0010, 28).setIovecs(0x7fff_0000_0020, 3).setControl(0x7fff_0000_0030, 64);
    const assignments =
      "s.msg_name = (void *)0x7fff00000010; s.msg_namelen = 28; s.msg_iov = (void *)0x7fff00000020; s.msg_iovlen = 3;" +
      "s.msg_control = (void *)0x7fff00000030; s.msg_controllen = 64;";
    expect(bytesOf(msg)).toBe(cBytes(["sys/socket.h"], "struct msghdr", assignments));
    expect(bytesOf(new Msghdr())).toBe("00".repeat(56));
  });

  test("takes lengths from what it is given, and gives it up again", () => {
    const iovecs = new Iovecs([new Uint8Array(8), new Uint8Array(8)]);
    const msg = new Msghdr({ name: new Uint8Array(16), iovecs, control: new Uint8Array(40) });
    expect([msg.nameLength, msg.controlLength, msg.flags]).toEqual([16, 40, 0]);
    const words = new BigUint64Array(bytesAt(msg.address, msg.byteLength).buffer);
    expect([Number(words[2]), Number(words[3])]).toEqual([iovecs.address, 2]);
    msg.setName(null).setIovecs(null).setControl(null);
    expect(bytesOf(msg)).toBe("00".repeat(56));
  });

  test("setters refuse what cannot be", () => {
    const msg = new Msghdr();
    for (const call of [
      () => msg.setName(new Uint8Array(4), 5),
      () => msg.setName(0x1000),
      () => msg.setIovecs(new Uint8Array(16), 2),
      () => msg.setIovecs(0x1000),
      () => msg.setControl("text" as unknown as Uint8Array),
      () => new Msghdr({ control: new ArrayBuffer(8, { maxByteLength: 9 }) }),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }));
    }
    expect(bytesOf(msg)).toBe("00".repeat(56));
  });

  needs("IORING_OP_SOCKET")("tells what recvmsg found, and reset() makes room again", async () => {
    using ring = new Ring(8);
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const socket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data(self, _, port, host) {
          self.send("answer", port, host);
          resolve();
        },
      },
    });
    ring.prepSocket(2, 2, 0);
    const fd = complete(ring);
    expect(fd).toBeGreaterThan(0);
    const peer = Buffer.alloc(16);
    peer.writeUInt16LE(2, 0);
    peer.writeUInt16BE(socket.port, 2);
    peer.set([127, 0, 0, 1], 4);
    ring.prepSendmsg(fd, kept(new Msghdr({ name: peer, iovecs: new Iovecs([Buffer.from("hello")]) })));
    expect(complete(ring)).toBe(5);

    const address = Buffer.alloc(28);
    const data = Buffer.alloc(4);
    const msg = new Msghdr({ name: address, iovecs: new Iovecs([data]) });
    ring.prepRecvmsg(fd, msg);
    ring.submit();
    await answered;
    expect(complete(ring)).toBe(4);
    expect(data.toString()).toBe("answ");
    expect(msg.flags & MSG_TRUNC).toBe(MSG_TRUNC);
    expect(msg.nameLength).toBe(16);
    expect(address.readUInt16BE(2)).toBe(socket.port);
    msg.reset();
    expect([msg.nameLength, msg.flags]).toEqual([28, 0]);
    closeSync(fd);
    socket.close();
  });
});

describe("OpenHow", () => {
  withCompiler(needsCompiler("has C's bytes"), () => {
    const assignments = "s.flags = 0x8000000000000041; s.mode = 0644; s.resolve = RESOLVE_BENEATH;";
    const expected = cBytes(["linux/openat2.h"], "struct open_how", assignments);
    expect(bytesOf(new OpenHow(0x8000000000000041n, 0o644, 8))).toBe(expected);
  });

  test("set() refuses what cannot be and leaves what was there", () => {
    const how = new OpenHow(1, 2, 3);
    const before = bytesOf(how);
    for (const bad of [-1, 0.5, 2 ** 53, -1n, 2n ** 64n, "1", null]) {
      for (const args of [[bad], [0, bad], [0, 0, bad]]) {
        expect(() => how.set(...(args as [number]))).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^ERR_URING/) }),
        );
      }
    }
    expect(bytesOf(how)).toBe(before);
  });

  test("says how openat2 resolves a path", () => {
    using ring = new Ring(4);
    if (!ring.supports(IORING_OP_OPENAT2)) throw new Error("IORING_OP_OPENAT2 is there from Linux 5.6 on");
    closeSync(openFile(directory, "target", "text"));
    symlinkSync("target", join(directory, "link"));
    ring.prepOpenat2(AT_FDCWD, join(directory, "link"), kept(new OpenHow(constants.O_RDONLY)));
    const fd = complete(ring);
    expect(fd).toBeGreaterThan(0);
    closeSync(fd);
    const how = new OpenHow(constants.O_RDONLY, 0, RESOLVE_NO_SYMLINKS);
    ring.prepOpenat2(AT_FDCWD, join(directory, "link"), how);
    expect(complete(ring)).toBe(-40);
  });
});

describe("Statx", () => {
  /** C's name of each field, and a value in it that no other has. */
  const fields: readonly [string, keyof Statx, number][] = [
    ["stx_mask", "mask", 0xfff00fff],
    ["stx_blksize", "blksize", 0x1001],
    ["stx_attributes", "attributes", 0x1_0000_0002],
    ["stx_nlink", "nlink", 0xfffffff3],
    ["stx_uid", "uid", 0xfffffff4],
    ["stx_gid", "gid", 0xfffffff5],
    ["stx_mode", "mode", 0xa1ff],
    ["stx_ino", "ino", 2 ** 53 - 7],
    ["stx_size", "size", 2 ** 52 + 8],
    ["stx_blocks", "blocks", 2 ** 51 + 9],
    ["stx_attributes_mask", "attributesMask", 2 ** 50 + 10],
    ["stx_rdev_major", "rdevMajor", 0x11],
    ["stx_rdev_minor", "rdevMinor", 0x12],
    ["stx_dev_major", "devMajor", 0x13],
    ["stx_dev_minor", "devMinor", 0x14],
    ["stx_mnt_id", "mntId", 2 ** 49 + 15],
    ["stx_dio_mem_align", "dioMemAlign", 0x16],
    ["stx_dio_offset_align", "dioOffsetAlign", 0x17],
  ];

  /** A Statx with bytes in it, as the kernel puts them there. */
  function withBytes(hex: string): Statx {
    const statx = new Statx();
    writeSync(memory, Uint8Array.fromHex(hex), 0, SIZEOF_STATX, statx.address);
    return statx;
  }

  withCompiler(needsCompiler("reads every field where C has it"), () => {
    const numbers = fields.map(([name, , value]) => `s.${name} = ${value}ULL;`);
    const times = ["atime", "btime", "ctime", "mtime"].map(
      (name, index) => `s.stx_${name}.tv_sec = ${index - 1}; s.stx_${name}.tv_nsec = ${500_000_000 + index};`,
    );
    const statx = withBytes(cBytes(["linux/stat.h"], "struct statx", [...numbers, ...times].join("\n")));
    const read = fields.map(([, field]) => [field, statx[field]]);
    expect(Object.fromEntries(read)).toEqual(Object.fromEntries(fields.map(([, field, value]) => [field, value])));
    expect(statx.inoBigint).toBe(2n ** 53n - 7n);
    expect([statx.atimeNs, statx.btimeNs, statx.ctimeNs, statx.mtimeNs]).toEqual([
      -500_000_000n,
      500_000_001n,
      1_500_000_002n,
      2_500_000_003n,
    ]);
    expect([statx.atimeMs, statx.btimeMs, statx.ctimeMs, statx.mtimeMs]).toEqual([
      -500, 500.000001, 1500.000002, 2500.000003,
    ]);
    expect([statx.isFile(), statx.isDirectory(), statx.isSymbolicLink()]).toEqual([false, false, true]);
  });

  test("reads the fields that younger kernels have", () => {
    // subvol, the atomic write units, and the alignment of direct reads, at 160 to 183.
    const bytes = new Uint8Array(SIZEOF_STATX);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(160, 2n ** 40n + 1n, true);
    [168, 172, 176, 180].forEach((offset, index) => view.setUint32(offset, index + 1, true));
    const statx = withBytes(bytes.toHex());
    expect(statx.subvol).toBe(2 ** 40 + 1);
    const { atomicWriteUnitMin, atomicWriteUnitMax, atomicWriteSegmentsMax, dioReadOffsetAlign } = statx;
    expect([atomicWriteUnitMin, atomicWriteUnitMax, atomicWriteSegmentsMax, dioReadOffsetAlign]).toEqual([1, 2, 3, 4]);
  });

  test("tells what stat tells", () => {
    using ring = new Ring(4);
    if (!ring.supports(IORING_OP_STATX)) throw new Error("IORING_OP_STATX is there from Linux 5.6 on");
    const file = join(directory, "stated");
    closeSync(openFile(directory, "stated", "x".repeat(5000)));
    symlinkSync("stated", join(directory, "stated-link"));
    const statx = new Statx();
    for (const path of [file, directory, "/dev/null"]) {
      ring.prepStatx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, statx);
      expect(complete(ring)).toBe(0);
      const stat = statSync(path, { bigint: true });
      expect(statx.mask & STATX_BASIC_STATS).toBe(STATX_BASIC_STATS);
      expect({
        ino: statx.inoBigint,
        size: BigInt(statx.size),
        blocks: BigInt(statx.blocks),
        mode: BigInt(statx.mode),
        nlink: BigInt(statx.nlink),
        uid: BigInt(statx.uid),
        gid: BigInt(statx.gid),
        mtimeNs: statx.mtimeNs,
        ctimeNs: statx.ctimeNs,
      }).toEqual({
        ino: stat.ino,
        size: stat.size,
        blocks: stat.blocks,
        mode: stat.mode,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        mtimeNs: stat.mtimeNs,
        ctimeNs: stat.ctimeNs,
      });
      expect([statx.isFile(), statx.isDirectory()]).toEqual([stat.isFile(), stat.isDirectory()]);
    }
    const link = join(directory, "stated-link");
    ring.prepStatx(AT_FDCWD, link, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, statx);
    expect(complete(ring)).toBe(0);
    expect([statx.isSymbolicLink(), statx.inoBigint]).toEqual([true, lstatSync(link, { bigint: true }).ino]);
  });
});

test("every struct stays where it is when memory is collected", () => {
  const structs = Array.from({ length: 300 }, (_, index) => [
    new Timespec(index, index),
    new OpenHow(index, index, index),
    new Iovecs(1).set(0, 0x1000 + index, 7),
    new Msghdr().setName(0x1000 + index, 9),
  ]).flat();
  const before = structs.map((struct) => bytesOf(struct));
  const waste = Array.from({ length: 3 }, () => {
    Bun.gc(true);
    return Array.from({ length: 20_000 }, (_, index) => new Uint8Array(24).fill(index));
  });
  expect(waste.length).toBe(3);
  expect(structs.map((struct) => bytesOf(struct))).toEqual(before);
});
