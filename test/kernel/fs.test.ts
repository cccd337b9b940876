// Opening, closing, sizing, flushing and describing files, as node:fs sees them afterwards.
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  EBADF,
  EEXIST,
  EINVAL,
  ELOOP,
  ENFILE,
  ENOENT,
  EXDEV,
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  IORING_FILE_INDEX_ALLOC,
  IORING_FSYNC_DATASYNC,
  OpenHow,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  Ring,
  STATX_BASIC_STATS,
  Statx,
  SYNC_FILE_RANGE_WAIT_AFTER,
  SYNC_FILE_RANGE_WAIT_BEFORE,
  SYNC_FILE_RANGE_WRITE,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs, needsThat } from "../support/kernel.ts";

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, O_DIRECTORY } = constants;
const scratch = scratchDirectory();
const at = (name: string): string => join(scratch, name);
const content = pattern(20_000);

/** What a descriptor reads from the beginning. */
function contentOf(fd: number, length: number): string {
  const buffer = Buffer.alloc(length);
  return buffer.toString("latin1", 0, readSync(fd, buffer, 0, length, 0));
}

/** Whether a descriptor is open in this process. */
function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

/** Whether files can be opened right into the table of registered ones, at this index. */
function opensDirect(fileIndex: number): boolean {
  using ring = new Ring(1);
  ring.registerFilesSparse(1);
  ring.prepOpenDirect("/dev/null", O_RDONLY, 0, fileIndex);
  return complete(ring) === 0;
}

const direct = needsThat(opensDirect(0), "direct descriptors, Linux 5.15");
const picking = needs("IORING_FILE_INDEX_ALLOC", () => opensDirect(IORING_FILE_INDEX_ALLOC));

describe("prepOpenat()", () => {
  test("opens relative to a directory, and makes files with their mode", () => {
    using ring = new Ring(8);
    writeFileSync(at("there"), "content");
    const directory = openSync(scratch, O_RDONLY);
    ring.prepOpenat(directory, "there", O_RDONLY);
    const there = complete(ring);
    expect([there > 2, contentOf(there, 20)]).toEqual([true, "content"]);
    ring.prepOpenat(directory, "new", O_WRONLY | O_CREAT | O_EXCL, 0o640);
    const made = complete(ring);
    writeSync(made, "written");
    expect(readFileSync(at("new"), "utf8")).toBe("written");
    expect(statSync(at("new")).mode & 0o777).toBe(0o640 & ~process.umask());
    ring.prepOpenat(directory, "new", O_WRONLY | O_CREAT | O_EXCL, 0o640);
    expect(complete(ring)).toBe(-EEXIST);
    ring.prepOpenat(directory, "absent", O_RDONLY);
    expect(complete(ring)).toBe(-ENOENT);
    for (const fd of [there, made, directory]) closeSync(fd);
  });

  test("takes a path as a string, as bytes, and in more letters than bytes", () => {
    using ring = new Ring(8);
    const names = ["plain", "mit Umlaut äöü", "日本語", "with\nnewline", "x".repeat(255)];
    for (const name of names) {
      writeFileSync(at(name), name);
      for (const path of [at(name), Buffer.from(`${at(name)}\0`)]) {
        ring.prepOpen(path, O_RDONLY);
        const fd = complete(ring);
        expect(contentOf(fd, 300)).toBe(Buffer.from(name).toString("latin1"));
        closeSync(fd);
      }
    }
  });

  test("each entry in flight has its own copy of its path", () => {
    using ring = new Ring(16);
    for (let i = 0; i < 10; i++) writeFileSync(at(`copy-${i}`), `${i}`);
    for (let i = 0; i < 10; i++) ring.prepOpenat(AT_FDCWD, at(`copy-${i}`), O_RDONLY).userData(i);
    ring.submitAndWait(10);
    const seen: string[] = [];
    ring.forEachCqe((cqe) => {
      seen.push(`${cqe.userData} ${contentOf(cqe.res, 5)}`);
      closeSync(cqe.res);
    });
    expect(seen.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `${i} ${i}`));
  });

  direct("opens direct descriptors: at an index, wherever there is room, or nowhere", () => {
    using ring = new Ring(8);
    writeFileSync(at("direct"), "direct content");
    ring.registerFilesSparse(2);
    const buffer = Buffer.alloc(20);
    const read = (index: number): string => {
      ring.prepRead(index, buffer.fill(0), 0).fixedFile();
      const res = complete(ring);
      return res < 0 ? String(res) : buffer.toString("latin1", 0, res);
    };
    ring.prepOpenDirect(at("direct"), O_RDONLY, 0, 1);
    expect([complete(ring), read(1), read(0)]).toEqual([0, "direct content", String(-EBADF)]);
    ring.prepOpenatDirect(AT_FDCWD, at("direct"), O_RDONLY, 0, 2);
    expect(complete(ring)).toBe(-EINVAL);
    ring.prepCloseDirect(1);
    expect([complete(ring), read(1)]).toEqual([0, String(-EBADF)]);
    ring.prepCloseDirect(1);
    expect(complete(ring)).toBe(-EBADF);
  });

  picking("picks an index itself, until the table is full", () => {
    using ring = new Ring(8);
    writeFileSync(at("picked"), "picked");
    ring.registerFilesSparse(2);
    const indices: number[] = [];
    for (let i = 0; i < 3; i++) {
      ring.prepOpenatDirect(AT_FDCWD, at("picked"), O_RDONLY, 0, IORING_FILE_INDEX_ALLOC);
      indices.push(complete(ring));
    }
    expect(indices).toEqual([0, 1, -ENFILE]);
  });
});

describe("prepOpenat2()", () => {
  test("opens as the struct says", () => {
    using ring = new Ring(8);
    const how = new OpenHow(O_RDWR | O_CREAT, 0o600);
    ring.prepOpenat2(AT_FDCWD, at("how"), how);
    const fd = complete(ring);
    writeSync(fd, "how");
    expect(readFileSync(at("how"), "utf8")).toBe("how");
    expect(statSync(at("how")).mode & 0o777).toBe(0o600 & ~process.umask());
    closeSync(fd);
    // Unlike open, it refuses a mode where no file is made.
    ring.prepOpenat2(AT_FDCWD, at("how"), how.set(O_RDONLY, 0o600));
    expect(complete(ring)).toBe(-EINVAL);
  });

  test("resolves within what it may", () => {
    using ring = new Ring(8);
    mkdirSync(at("jail/inner"), { recursive: true });
    writeFileSync(at("jail/inner/file"), "inside");
    writeFileSync(at("outside"), "outside");
    symlinkSync("../outside", at("jail/escape"));
    symlinkSync("inner/file", at("jail/link"));
    const jail = openSync(at("jail"), O_RDONLY | O_DIRECTORY);
    const open = (path: string, resolve: number): number => {
      ring.prepOpenat2(jail, path, kept(new OpenHow(O_RDONLY, 0, resolve)));
      const res = complete(ring);
      if (res >= 0) closeSync(res);
      return Math.min(res, 0);
    };
    expect(open("inner/file", RESOLVE_BENEATH)).toBe(0);
    expect(open("link", RESOLVE_BENEATH)).toBe(0);
    expect(open("escape", 0)).toBe(0);
    expect(open("escape", RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open("../outside", RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open(at("outside"), RESOLVE_BENEATH)).toBe(-EXDEV);
    expect(open("link", RESOLVE_NO_SYMLINKS)).toBe(-ELOOP);
    closeSync(jail);
  });

  picking("opens direct descriptors", () => {
    using ring = new Ring(8);
    writeFileSync(at("direct2"), "two");
    ring.registerFilesSparse(4);
    const buffer = Buffer.alloc(3);
    ring.prepOpenat2Direct(AT_FDCWD, at("direct2"), kept(new OpenHow(O_RDONLY)), 3);
    expect(complete(ring)).toBe(0);
    ring.prepOpenat2Direct(AT_FDCWD, at("direct2"), kept(new OpenHow(O_RDONLY)), IORING_FILE_INDEX_ALLOC);
    expect(complete(ring)).toBe(0);
    for (const index of [0, 3]) {
      ring.prepRead(index, buffer.fill(0), 0).fixedFile();
      expect([complete(ring), buffer.toString()]).toEqual([3, "two"]);
    }
  });
});

test("prepClose() closes the descriptor", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "closed");
  expect(isOpen(fd)).toBe(true);
  ring.prepClose(fd);
  expect([complete(ring), isOpen(fd)]).toEqual([0, false]);
  ring.prepClose(fd);
  expect(complete(ring)).toBe(-EBADF);
});

describe("prepStatx()", () => {
  test("tells what stat(2) tells", () => {
    using ring = new Ring(8);
    writeFileSync(at("described"), content);
    const statx = new Statx();
    ring.prepStatx(AT_FDCWD, at("described"), 0, STATX_BASIC_STATS, statx);
    expect(complete(ring)).toBe(0);
    const stat = statSync(at("described"), { bigint: true });
    expect(statx.mask & STATX_BASIC_STATS).toBe(STATX_BASIC_STATS);
    expect(statx.size).toBe(content.length);
    expect({
      size: BigInt(statx.size),
      mode: BigInt(statx.mode),
      nlink: BigInt(statx.nlink),
      uid: BigInt(statx.uid),
      gid: BigInt(statx.gid),
      ino: statx.inoBigint,
      blocks: BigInt(statx.blocks),
      blksize: BigInt(statx.blksize),
      atimeNs: statx.atimeNs,
      mtimeNs: statx.mtimeNs,
      ctimeNs: statx.ctimeNs,
      file: statx.isFile(),
    }).toEqual({
      size: stat.size,
      mode: stat.mode,
      nlink: stat.nlink,
      uid: stat.uid,
      gid: stat.gid,
      ino: stat.ino,
      blocks: stat.blocks,
      blksize: stat.blksize,
      atimeNs: stat.atimeNs,
      mtimeNs: stat.mtimeNs,
      ctimeNs: stat.ctimeNs,
      file: true,
    });
  });

  test("follows links or not, and takes a descriptor", () => {
    using ring = new Ring(8);
    writeFileSync(at("target"), "12345");
    symlinkSync("target", at("symbolic"));
    const statx = new Statx();
    ring.prepStatx(AT_FDCWD, at("symbolic"), 0, STATX_BASIC_STATS, statx);
    expect([complete(ring), statx.isFile(), statx.size]).toEqual([0, true, 5]);
    ring.prepStatx(AT_FDCWD, at("symbolic"), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, statx);
    expect([complete(ring), statx.isSymbolicLink(), statx.size]).toEqual([0, true, basename("target").length]);
    const directory = openSync(scratch, O_RDONLY);
    ring.prepStatx(directory, "", AT_EMPTY_PATH, STATX_BASIC_STATS, statx);
    expect([complete(ring), statx.isDirectory()]).toEqual([0, true]);
    ring.prepStatx(directory, "absent", 0, STATX_BASIC_STATS, statx);
    expect(complete(ring)).toBe(-ENOENT);
    closeSync(directory);
  });
});

describe("prepFallocate()", () => {
  const blocks = (name: string): number => statSync(at(name)).blocks;

  test("makes room, with or without a new size", () => {
    using ring = new Ring(8);
    const fd = openFile(scratch, "room");
    ring.prepFallocate(fd, 0, 0, 65_536);
    expect([complete(ring), statSync(at("room")).size]).toEqual([0, 65_536]);
    expect(blocks("room")).toBeGreaterThanOrEqual(128);
    ring.prepFallocate(fd, FALLOC_FL_KEEP_SIZE, 65_536, 65_536);
    expect([complete(ring), statSync(at("room")).size]).toEqual([0, 65_536]);
    expect(blocks("room")).toBeGreaterThanOrEqual(256);
    closeSync(fd);
  });

  test("punches holes, zeroes and collapses", () => {
    using ring = new Ring(8);
    const fd = openFile(scratch, "holes", Buffer.alloc(65_536, 0xaa));
    const before = blocks("holes");
    ring.prepFallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16_384, 16_384);
    expect(complete(ring)).toBe(0);
    const bytes = readFileSync(at("holes"));
    expect([bytes.length, bytes[16_383], bytes[16_384], bytes[32_767], bytes[32_768]]).toEqual([
      65_536, 0xaa, 0, 0, 0xaa,
    ]);
    expect(blocks("holes")).toBeLessThanOrEqual(before);
    ring.prepFallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096);
    // A file system need not know every mode.
    const zeroed = complete(ring);
    expect([0, -95]).toContain(zeroed);
    if (zeroed === 0)
      expect(
        readFileSync(at("holes"))
          .subarray(0, 4096)
          .every((byte) => byte === 0),
      ).toBe(true);
    ring.prepFallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 16_384, 16_384);
    const collapsed = complete(ring);
    expect([0, -95]).toContain(collapsed);
    expect(statSync(at("holes")).size).toBe(collapsed === 0 ? 49_152 : 65_536);
    closeSync(fd);
  });

  test("refuses a length of nothing", () => {
    using ring = new Ring(8);
    const fd = openFile(scratch, "nothing");
    ring.prepFallocate(fd, 0, 0, 0);
    expect(complete(ring)).toBe(-EINVAL);
    closeSync(fd);
  });
});

needs("IORING_OP_FTRUNCATE")("prepFtruncate() cuts and extends", () => {
  using ring = new Ring(8);
  const fd = openFile(scratch, "cut", content);
  ring.prepFtruncate(fd, 1234);
  expect(complete(ring)).toBe(0);
  expect(readFileSync(at("cut")).equals(content.subarray(0, 1234))).toBe(true);
  ring.prepFtruncate(fd, 3 * 2 ** 32);
  expect([complete(ring), statSync(at("cut")).size]).toEqual([0, 3 * 2 ** 32]);
  ring.prepFtruncate(fd, 0n);
  expect([complete(ring), statSync(at("cut")).size]).toEqual([0, 0]);
  closeSync(fd);
  ring.prepFtruncate(fd, 1);
  expect(complete(ring)).toBe(-EBADF);
});

describe("flushing", () => {
  test("prepFsync(), prepFsyncRange() and prepSyncFileRange() accept what was written and refuse what cannot be", () => {
    using ring = new Ring(8);
    const fd = openFile(scratch, "flushed", content);
    writeSync(fd, "dirty", 0);
    const all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const acts = [
      () => ring.prepFsync(fd),
      () => ring.prepFsync(fd, IORING_FSYNC_DATASYNC),
      () => ring.prepFsyncRange(fd, 0, 4096, IORING_FSYNC_DATASYNC),
      () => ring.prepSyncFileRange(fd, 8192, 0, all),
      () => ring.prepSyncFileRange(fd, 0, 4096, SYNC_FILE_RANGE_WRITE),
    ];
    for (const act of acts) {
      act();
      expect(complete(ring)).toBe(0);
    }
    ring.prepFsync(fd, 0x100);
    expect(complete(ring)).toBe(-EINVAL);
    ring.prepSyncFileRange(fd, 0, 0, 0x100);
    expect(complete(ring)).toBe(-EINVAL);
    closeSync(fd);
    ring.prepFsync(fd);
    expect(complete(ring)).toBe(-EBADF);
  });

  test("linked to a write comes after it", () => {
    using ring = new Ring(8);
    const fd = openFile(scratch, "dirty");
    ring.prepWrite(fd, content, 0).link();
    ring.prepFsync(fd);
    ring.submitAndWait(2);
    const results: number[] = [];
    ring.forEachCqe((cqe) => results.push(cqe.res));
    expect(results).toEqual([content.length, 0]);
    expect(readFileSync(at("dirty")).equals(content)).toBe(true);
    closeSync(fd);
  });
});
