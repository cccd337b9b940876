// Operations on names: what node:fs sees afterwards is what was asked for.
import { expect } from "bun:test";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE, RENAME_NOREPLACE, Ring } from "../../src/index.ts";
import { EEXIST, EISDIR, ENOENT, ENOTEMPTY } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { scratchDirectory } from "../support/files.ts";
import { needs } from "../support/kernel.ts";

const directory = scratchDirectory();
const at = (name: string): string => join(directory, name);

needs("IORING_OP_RENAMEAT")("prepRenameat() moves, exchanges, and refuses to replace when told so", () => {
  using ring = new Ring(8);
  const dfd = openSync(directory, "r");
  writeFileSync(at("a"), "first");
  writeFileSync(at("b"), "second");
  ring.prepRenameat(dfd, "a", dfd, "b", RENAME_NOREPLACE);
  expect(complete(ring)).toBe(-EEXIST);
  expect(readFileSync(at("b"), "utf8")).toBe("second");
  ring.prepRenameat(dfd, "a", AT_FDCWD, at("b"), RENAME_EXCHANGE);
  expect(complete(ring)).toBe(0);
  expect([readFileSync(at("a"), "utf8"), readFileSync(at("b"), "utf8")]).toEqual(["second", "first"]);
  ring.prepRename(at("a"), at("moved"));
  expect(complete(ring)).toBe(0);
  expect(existsSync(at("a"))).toBe(false);
  expect(readFileSync(at("moved"), "utf8")).toBe("second");
  ring.prepRename(at("absent"), at("x"));
  expect(complete(ring)).toBe(-ENOENT);
  closeSync(dfd);
});

needs("IORING_OP_UNLINKAT")("prepUnlinkat() removes files, and directories when told so", () => {
  using ring = new Ring(8);
  writeFileSync(at("gone"), "");
  mkdirSync(at("folder/inner"), { recursive: true });
  ring.prepUnlink(at("gone"));
  expect(complete(ring)).toBe(0);
  expect(existsSync(at("gone"))).toBe(false);
  ring.prepUnlinkat(AT_FDCWD, at("folder"));
  expect(complete(ring)).toBe(-EISDIR);
  ring.prepUnlinkat(AT_FDCWD, at("folder"), AT_REMOVEDIR);
  expect(complete(ring)).toBe(-ENOTEMPTY);
  const dfd = openSync(at("folder"), "r");
  ring.prepUnlinkat(dfd, "inner", AT_REMOVEDIR);
  expect(complete(ring)).toBe(0);
  expect(existsSync(at("folder/inner"))).toBe(false);
  closeSync(dfd);
});

needs("IORING_OP_MKDIRAT")("prepMkdirat() makes a directory with its mode", () => {
  using ring = new Ring(8);
  const mask = process.umask(0o022);
  ring.prepMkdir(at("made"), 0o777);
  expect(complete(ring)).toBe(0);
  process.umask(mask);
  expect(statSync(at("made")).isDirectory()).toBe(true);
  expect(statSync(at("made")).mode & 0o777).toBe(0o755);
  const dfd = openSync(at("made"), "r");
  ring.prepMkdirat(dfd, "within", 0o700);
  expect(complete(ring)).toBe(0);
  expect(statSync(at("made/within")).mode & 0o777).toBe(0o700);
  ring.prepMkdir(at("made"), 0o777);
  expect(complete(ring)).toBe(-EEXIST);
  closeSync(dfd);
});

needs(["IORING_OP_SYMLINKAT", "IORING_OP_LINKAT"])("prepSymlinkat() and prepLinkat() make links of either kind", () => {
  using ring = new Ring(8);
  const dfd = openSync(directory, "r");
  writeFileSync(at("target"), "what is linked to");
  ring.prepSymlink("target", at("symbolic"));
  expect(complete(ring)).toBe(0);
  expect(readlinkSync(at("symbolic"))).toBe("target");
  ring.prepSymlinkat("nowhere at all, ünïcödé", dfd, "dangling");
  expect(complete(ring)).toBe(0);
  expect(readlinkSync(at("dangling"))).toBe("nowhere at all, ünïcödé");

  ring.prepLink(at("target"), at("hard"));
  expect(complete(ring)).toBe(0);
  expect(statSync(at("hard")).ino).toBe(statSync(at("target")).ino);
  expect(statSync(at("target")).nlink).toBe(2);
  symlinkSync("target", at("other"));
  ring.prepLinkat(dfd, "other", dfd, "followed", AT_SYMLINK_FOLLOW);
  expect(complete(ring)).toBe(0);
  expect(lstatSync(at("followed")).ino).toBe(statSync(at("target")).ino);
  ring.prepLinkat(dfd, "other", dfd, "itself");
  expect(complete(ring)).toBe(0);
  expect(lstatSync(at("itself")).isSymbolicLink()).toBe(true);
  closeSync(dfd);
});

needs(["IORING_OP_SYMLINKAT", "IORING_OP_RENAMEAT"])(
  "strings of a whole queue of entries are each kept until the kernel has taken them",
  () => {
    using ring = new Ring(64);
    for (let i = 0; i < 64; i++) ring.prepSymlink(`to-${i}`, at(`many-${i}`)).userData(i);
    ring.submitAndWait(64);
    let done = 0;
    ring.forEachCqe((cqe) => {
      expect(cqe.res).toBe(0);
      done++;
    });
    expect(done).toBe(64);
    for (let i = 0; i < 64; i++) expect(readlinkSync(at(`many-${i}`))).toBe(`to-${i}`);
  },
);
