// Extended attributes, set and read through the ring and checked with getfattr's own system calls where it is there.
import { expect } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EEXIST, ENODATA, ERANGE, Ring, XATTR_CREATE, XATTR_REPLACE } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";

const directory = scratchDirectory();

/** What another program reads: python's os.getxattr, or undefined where there is no python. */
function asSeenOutside(path: string, name: string): string | undefined {
  const python = Bun.which("python3");
  if (python === null) return undefined;
  const code = "import os,sys;sys.stdout.buffer.write(os.getxattr(sys.argv[1],sys.argv[2]))";
  const { stdout, exitCode } = Bun.spawnSync([python, "-c", code, path, name]);
  return exitCode === 0 ? stdout.toString() : "";
}

needs(["IORING_OP_SETXATTR", "IORING_OP_GETXATTR"])("prepSetxattr() and prepGetxattr() work by path", () => {
  using ring = new Ring(8);
  const path = join(directory, "by-path");
  writeFileSync(path, "");
  ring.prepSetxattr("user.colour", kept(Buffer.from("green")), path, XATTR_CREATE);
  expect(complete(ring)).toBe(0);
  expect(asSeenOutside(path, "user.colour") ?? "green").toBe("green");
  ring.prepSetxattr("user.colour", kept(Buffer.from("red")), path, XATTR_CREATE);
  expect(complete(ring)).toBe(-EEXIST);

  const value = Buffer.alloc(64);
  ring.prepGetxattr("user.colour", value, path);
  expect(complete(ring)).toBe(5);
  expect(value.toString("latin1", 0, 6)).toBe("green\0");
  ring.prepGetxattr("user.colour", value, path, 4);
  expect(complete(ring)).toBe(-ERANGE);
  // A length of 0 asks how long it is.
  ring.prepGetxattr("user.colour", value, path, 0);
  expect(complete(ring)).toBe(5);
  ring.prepGetxattr("user.none", value, path);
  expect(complete(ring)).toBe(-ENODATA);
});

needs(["IORING_OP_FSETXATTR", "IORING_OP_FGETXATTR"])(
  "prepFsetxattr() and prepFgetxattr() work on a descriptor",
  () => {
    using ring = new Ring(8);
    const path = join(directory, "by-descriptor");
    writeFileSync(path, "");
    const fd = openSync(path, "r+");
    ring.prepFsetxattr(fd, "user.size", kept(Buffer.from("small")), XATTR_REPLACE);
    expect(complete(ring)).toBe(-ENODATA);
    ring.prepFsetxattr(fd, "user.size", kept(Buffer.from("small")));
    expect(complete(ring)).toBe(0);
    ring.prepFsetxattr(fd, "user.size", kept(Buffer.from("large and long")), XATTR_REPLACE, 5);
    expect(complete(ring)).toBe(0);
    expect(asSeenOutside(path, "user.size") ?? "large").toBe("large");
    const value = new Uint8Array(64);
    ring.prepFgetxattr(fd, "user.size", value);
    expect(complete(ring)).toBe(5);
    expect(Buffer.from(value.subarray(0, 5)).toString()).toBe("large");
    closeSync(fd);
  },
);
