/** `bun run examples/cp` beside cp(1). */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { count } from "../../examples/cp/count.ts";
import { Files } from "../../examples/cp/files.ts";
import { Loop } from "../../examples/cp/loop.ts";
import { FilePath } from "../../examples/cp/path.ts";
import { Ring } from "../../src/index.ts";
import { needsThat } from "../support/kernel.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { eventually, example, isGnu, type Outcome, run, shell, treeOf, withoutPrivileges } from "./programs.ts";
import { patience } from "../support/patience.ts";

const cp = example("cp");
const gnu = isGnu("cp");
const directory = scratchDirectory();
const lower = withoutPrivileges();
const isRoot = process.getuid?.() === 0;

let directories = 0;

/** A new directory with what `plant` puts there. */
function garden(plant: (path: (name: string) => string) => void): string {
  const path = join(directory, String(directories++));
  mkdirSync(path);
  plant((name) => join(path, name));
  return path;
}

/**
 * Copies with the example, and in a directory of the same content with cp(1) where that is GNU's: status and everything
 * that is there afterwards have to agree. The words differ from version to version, so the tests name them.
 */
function both(args: readonly string[], plant: (path: (name: string) => string) => void, times = false): Outcome {
  const cwd = garden(plant);
  const ours = run([...cp, ...args], { cwd });
  if (gnu) {
    const other = garden(plant);
    expect(ours.status).toBe(run(["cp", ...args], { cwd: other }).status);
    expect(treeOf(cwd, times)).toEqual(treeOf(other, times));
  }
  expect(String(ours.stdout)).toBe("");
  return ours;
}

/** A few files, a directory, links. */
function few(path: (name: string) => string): void {
  writeFileSync(path("a"), "content of a");
  writeFileSync(path("b"), "content of b, which is longer");
  mkdirSync(path("d"));
  writeFileSync(path("d/x"), "content of d/x");
  mkdirSync(path("e"));
  mkdirSync(path("e/b"));
  symlinkSync("a", path("link"));
  symlinkSync("nowhere", path("dangling"));
  chmodSync(path("b"), 0o4755);
}

/** A tree with everything in it that a tree can have. */
function tree(path: (name: string) => string): void {
  mkdirSync(path("tree"));
  for (const [i, name] of ["plain", "it's", "two words", "new\nline", "größe", "-p", "..."].entries()) {
    writeFileSync(path(`tree/${name}`), pattern(i * 1000, i + 1));
  }
  writeFileSync(Buffer.concat([Buffer.from(path("tree/no UTF-8 ")), Buffer.of(0xff, 0xfe)]), "bytes");
  let deep = "tree/deep";
  for (let i = 0; i < 30; i++, deep += "/down") mkdirSync(path(deep));
  mkdirSync(path("tree/empty"));
  mkdirSync(path("tree/many"));
  for (let i = 0; i < 150; i++) writeFileSync(path(`tree/many/${i}`), pattern(i * 7, i));
  symlinkSync("plain", path("tree/link"));
  symlinkSync("../outside", path("tree/dangling"));
  symlinkSync("deep", path("tree/link to a directory"));
  expect(run(["mkfifo", path("tree/fifo")]).status).toBe(0);
  for (const [i, mode] of [0o600, 0o444, 0o755, 0o4711, 0o2750, 0o1777].entries()) {
    writeFileSync(path(`tree/mode ${i}`), "mode");
    chmodSync(path(`tree/mode ${i}`), mode);
    mkdirSync(path(`tree/directory ${i}`));
    writeFileSync(path(`tree/directory ${i}/inside`), "inside");
    chmodSync(path(`tree/directory ${i}`), mode | 0o500);
  }
  for (const name of ["plain", "many/7", "empty", "directory 1/inside", "directory 1", "many"]) {
    utimesSync(path(`tree/${name}`), 1_000_000_000.25, 1_234_567_890.125);
  }
}

describe("a file's content", () => {
  // Around a page and around a block of 128 KiB; enough blocks for all lanes, and for more.
  const sizes = [0, 1, 4095, 4096, 4097, 131071, 131072, 131073, 8 * 1048576, 10 * 1048576 + 17];

  test.each(sizes)("of %d bytes", (size) => {
    const content = pattern(size, size + 1);
    const cwd = garden((path) => writeFileSync(path("from"), content));
    expect(run([...cp, "from", "to"], { cwd })).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(join(cwd, "to")).equals(content)).toBe(true);
  });

  test("takes the place of a longer one, whose mode stays", () => {
    const { stderr } = both(["a", "b"], (path) => {
      few(path);
      chmodSync(path("b"), 0o640);
    });
    expect(stderr).toBe("");
  });

  test("from /proc, which says that it is empty", () => {
    const cwd = garden(() => {});
    expect(run([...cp, "/proc/version", "to"], { cwd }).status).toBe(0);
    expect(readFileSync(join(cwd, "to"))).toEqual(readFileSync("/proc/version"));
  });

  test("from a FIFO, read to its end", () => {
    const content = pattern(300_000, 5);
    const cwd = garden((path) => {
      writeFileSync(path("from"), content);
      expect(run(["mkfifo", path("fifo")]).status).toBe(0);
    });
    expect(shell('cat from > fifo & "$@" fifo to', cp, cwd)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(join(cwd, "to")).equals(content)).toBe(true);
  });

  needsThat(existsSync("/dev/stdin"), "/dev/stdin")("through standard input and output", () => {
    const content = pattern(300_000, 6);
    const cwd = garden((path) => writeFileSync(path("from"), content));
    const { stdout, status } = shell('cat from | "$@" /dev/stdin /dev/stdout | cat', cp, cwd);
    expect({ status, same: stdout.equals(content) }).toEqual({ status: 0, same: true });
  });
});

/** Writes `pieces` of pattern at random places of a file that is otherwise a hole. */
function patched(path: string, size: number, pieces: number, pieceBytes: number): void {
  writeFileSync(path, "");
  truncateSync(path, size);
  const fd = openSync(path, "r+");
  const where = pattern(pieces * 4, 99);
  for (let i = 0; i < pieces; i++) {
    const at = Math.floor((where.readUInt32LE(i * 4) / 2 ** 32) * (size - pieceBytes));
    writeSync(fd, pattern(pieceBytes, i + 1), 0, pieceBytes, at);
  }
}

/** The bytes that can be written to a filesystem, 0 where there is none. */
function roomIn(path: string): number {
  if (!existsSync(path)) return 0;
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

describe("holes", () => {
  const blocksOf = (path: string): number => statSync(path).blocks;
  const probe = join(directory, "probe");
  patched(probe, 1 << 20, 1, 10);
  const holds = blocksOf(probe) * 512 < 1 << 20;

  needsThat(holds, "a filesystem with holes")("are kept", () => {
    const cwd = garden((path) => patched(path("from"), (64 << 20) + 1234, 40, 5000));
    expect(run([...cp, "from", "to"], { cwd })).toMatchObject({ status: 0, stderr: "" });
    expect(run(["cmp", "from", "to"], { cwd }).status).toBe(0);
    expect(blocksOf(join(cwd, "to"))).toBeLessThanOrEqual(blocksOf(join(cwd, "from")));
  });

  needsThat(holds, "a filesystem with holes")("are all that a file need have", () => {
    const cwd = garden((path) => patched(path("from"), 1_000_001, 0, 0));
    expect(run([...cp, "from", "to"], { cwd }).status).toBe(0);
    const { size, blocks } = statSync(join(cwd, "to"));
    expect({ size, blocks }).toEqual({ size: 1_000_001, blocks: 0 });
  });

  // Kernel: reading a hole takes no memory there, but on 5.10 it did.
  const memory = "/dev/shm";
  const size = 2 ** 32 + 5 * 2 ** 20 + 3;
  const past4GiB = needsThat(holds && roomIn(memory) > size, `${size} bytes of room in ${memory}`);
  past4GiB("in a file past 4 GiB", () => {
    const cwd = mkdtempSync(join(memory, "uring-test-"));
    afterAll(() => rmSync(cwd, { recursive: true }));
    const path = (name: string): string => join(cwd, name);
    patched(path("from"), 2 ** 20, 3, 3000);
    truncateSync(path("from"), size);
    const fd = openSync(path("from"), "r+");
    // Across the border at 4 GiB, and at the very end.
    for (const at of [2 ** 32 - 2000, size - 4000]) writeSync(fd, pattern(4000, at % 1000), 0, 4000, at);
    expect(run([...cp, "from", "to"], { cwd })).toMatchObject({ status: 0, stderr: "" });
    expect(statSync(join(cwd, "to")).size).toBe(size);
    for (const [skip, length] of [
      [0, 2 ** 20],
      [2 ** 32 - 2 ** 20, 6 * 2 ** 20 + 3],
    ] as const) {
      expect(run(["cmp", "-i", String(skip), "-n", String(length), "from", "to"], { cwd }).status).toBe(0);
    }
    expect(blocksOf(join(cwd, "to"))).toBeLessThanOrEqual(blocksOf(join(cwd, "from")));
  });

  test("are no reason to leave out zeros of a file without", () => {
    const cwd = garden((path) => writeFileSync(path("from"), new Uint8Array(1 << 20)));
    expect(run([...cp, "from", "to"], { cwd }).status).toBe(0);
    expect(blocksOf(join(cwd, "to")) * 512).toBeGreaterThanOrEqual(1 << 20);
  });
});

describe("where to", () => {
  test("into a directory", () => expect(both(["a", "d/x", "d"], few).stderr).toContain("same file"));
  test("several into a directory", () => expect(both(["a", "b", "link", "d"], few).stderr).toBe(""));
  test("through a link to a file", () => expect(both(["b", "link"], few).stderr).toBe(""));

  test("several with the same name: the first one is copied", () => {
    expect(both(["a", "e/../a", "d/x", "a", "d"], few)).toMatchObject({
      status: 1,
      stderr:
        "cp: will not overwrite just-created 'd/a' with 'e/../a'\n" +
        "cp: 'd/x' and 'd/x' are the same file\n" +
        "cp: warning: source file 'a' specified more than once\n",
    });
  });

  test("several trees, one over the other", () => {
    const { status, stderr } = both(["-r", "d", "e/d", "new"], (path) => {
      few(path);
      mkdirSync(path("new"));
      mkdirSync(path("e/d"));
      writeFileSync(path("e/d/x"), "another content");
      writeFileSync(path("e/d/y"), "content of e/d/y");
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  test("the content of a directory", () => {
    expect(both(["-r", "d/.", "e"], few).stderr).toBe("");
    expect(both(["-r", "d/.", "new"], few).stderr).toBe("");
    expect(both(["-r", "e/b/..", "d"], few).stderr).toBe("");
  });
});

/** The paths of everything in a directory. */
function namesIn(path: string): (string | undefined)[] {
  return treeOf(path).map((line) => line.split(" ")[0]);
}

describe("is refused in cp's words", () => {
  const more = "Try 'cp --help' for more information.\n";
  const cases: readonly (readonly [readonly string[], string])[] = [
    [[], `missing file operand\n${more}`],
    [["a"], `missing destination file operand after 'a'\n${more}`],
    [["-z", "a", "b"], `invalid option -- 'z'\n${more}`],
    [["--zap", "a", "b"], `unrecognized option '--zap'\n${more}`],
    [["nope", "x"], "cannot stat 'nope': No such file or directory\n"],
    [["d", "x"], "-r not specified; omitting directory 'd'\n"],
    [["a", "b", "nowhere"], "target 'nowhere': No such file or directory\n"],
    [["a", "b", "link"], "target 'link': Not a directory\n"],
    [["a", "nowhere/"], "cannot create regular file 'nowhere/': Not a directory\n"],
    [["a", "nowhere/x"], "cannot create regular file 'nowhere/x': No such file or directory\n"],
    [["a", "b/x"], "cannot stat 'b/x': Not a directory\n"],
    [["a", ""], "cannot create regular file '': No such file or directory\n"],
    [["", "x"], "cannot stat '': No such file or directory\n"],
    [["a", "a"], "'a' and 'a' are the same file\n"],
    [["a", "d/../a"], "'a' and 'd/../a' are the same file\n"],
    [["a", "link"], "'a' and 'link' are the same file\n"],
    [["-r", "link", "a"], "'link' and 'a' are the same file\n"],
    [["-r", "d", "."], "'d' and './d' are the same file\n"],
    [["a", "dangling"], "not writing through dangling symlink 'dangling'\n"],
    [["b", "e"], "cannot overwrite directory 'e/b' with non-directory\n"],
    [["-r", "d", "a"], "cannot overwrite non-directory 'a' with directory 'd'\n"],
    [["-r", "d", "d/e/f"], "cannot create directory 'd/e/f': No such file or directory\n"],
    [
      ["it's", "a b", "d"],
      `cannot stat "it's": No such file or directory\ncp: cannot stat 'a b': No such file or directory\n`,
    ],
  ];

  test.each(cases)("cp %j", (args, message) => {
    const { status, stderr } = both(args, few);
    expect({ status, lines: stderr.split("\n").sort() }).toEqual({
      status: 1,
      lines: `cp: ${message}`.split("\n").sort(),
    });
  });

  // There cp(1) leaves out more, depending on the order in which it finds things.
  test("a directory in itself: all but the copy is copied", () => {
    const cwd = garden(few);
    expect(run([...cp, "-r", "d", "d"], { cwd })).toMatchObject({
      status: 1,
      stderr: "cp: cannot copy a directory, 'd', into itself, 'd/d'\n",
    });
    expect(namesIn(join(cwd, "d/d"))).toEqual([".", "./x"]);
    expect(run([...cp, "-r", ".", "e/new"], { cwd })).toMatchObject({
      status: 1,
      stderr: "cp: cannot copy a directory, '.', into itself, 'e/new'\n",
    });
    const names = [".", "./a", "./b", "./d", "./d/d", "./d/d/x", "./d/x", "./dangling", "./e", "./e/b", "./link"];
    expect(namesIn(join(cwd, "e/new"))).toEqual(names);
  });

  test("what fails does not keep the rest from being copied", () => {
    expect(both(["a", "nope", "d", "b", "e"], few).stderr.split("\n").sort()).toEqual([
      "",
      "cp: -r not specified; omitting directory 'd'",
      "cp: cannot overwrite directory 'e/b' with non-directory",
      "cp: cannot stat 'nope': No such file or directory",
    ]);
  });

  needsThat(lower !== undefined, "setpriv(1), to be refused anything as root")("what permissions forbid", () => {
    const cwd = garden((path) => {
      few(path);
      chmodSync(path("a"), 0);
      chmodSync(path("d/x"), 0o444);
      chmodSync(path("e"), 0o555);
    });
    const told = (...args: readonly string[]): string => run([...(lower ?? []), ...cp, ...args], { cwd }).stderr;
    expect(told("a", "new")).toBe("cp: cannot open 'a' for reading: Permission denied\n");
    expect(told("b", "d/x")).toBe("cp: cannot create regular file 'd/x': Permission denied\n");
    expect(told("b", "e/new")).toBe("cp: cannot create regular file 'e/new': Permission denied\n");
    expect(told("-r", "d", "e")).toBe("cp: cannot create directory 'e/d': Permission denied\n");
    expect(told("-r", "link", "e")).toBe("cp: cannot create symbolic link 'e/link': Permission denied\n");
  });
});

describe("-r", () => {
  test("copies a tree", () => {
    // An unwritable directory and a tree of all kinds: nothing of it is to be said.
    expect(both(["-r", "tree", "copy"], tree)).toMatchObject({ status: 0, stderr: "" });
  });

  test("copies a tree over a tree", () => {
    const plant = (path: (name: string) => string): void => {
      tree(path);
      mkdirSync(path("copy"));
      mkdirSync(path("copy/tree"));
      writeFileSync(path("copy/tree/plain"), pattern(100_000));
      writeFileSync(path("copy/tree/link"), "no link");
      writeFileSync(path("copy/tree/own"), "stays");
      writeFileSync(path("copy/tree/fifo"), "no fifo");
    };
    expect(both(["-r", "tree", "copy"], plant)).toMatchObject({ status: 0, stderr: "" });
  });

  test("keeps links as links", () => {
    expect(both(["-r", "link", "dangling", "d"], few)).toMatchObject({ status: 0, stderr: "" });
  });

  test("obeys the umask", () => {
    const cwd = garden(tree);
    const other = garden(tree);
    expect(shell('umask 027; "$@" -r tree copy', cp, cwd)).toMatchObject({ status: 0, stderr: "" });
    expect(shell("umask 027; cp -r tree copy", [], other).status).toBe(0);
    if (gnu) expect(treeOf(cwd)).toEqual(treeOf(other));
    expect(lstatSync(join(cwd, "copy/directory 5")).mode & 0o777).toBe(0o750);
  });
});

describe("-p", () => {
  test("preserves mode and times of a file", () => {
    const plant = (path: (name: string) => string): void => {
      few(path);
      chmodSync(path("a"), 0o4705);
      utimesSync(path("a"), 1_000_000_000.5, 1_234_567_890.123456);
    };
    expect(both(["-p", "a", "new"], plant).stderr).toBe("");
    expect(both(["-p", "a", "b"], plant).stderr).toBe("");
    const cwd = garden(plant);
    expect(run([...cp, "-p", "a", "new"], { cwd }).status).toBe(0);
    const { mode, mtimeMs, atimeMs } = statSync(join(cwd, "new"));
    expect(mode & 0o7777).toBe(0o4705);
    expect(mtimeMs).toBeCloseTo(1_234_567_890_123.456, 2);
    expect(atimeMs).toBeCloseTo(1_000_000_000_500, 2);
  });

  test("preserves them in a tree, of directories as well", () => {
    const cwd = garden(tree);
    expect(run([...cp, "-pr", "tree", "copy"], { cwd })).toMatchObject({ status: 0, stderr: "" });
    expect(treeOf(join(cwd, "copy"), true)).toEqual(treeOf(join(cwd, "tree"), true));
  });

  test("preserves times before 1970", () => {
    const then = new Date("1960-05-05T05:05:05.500Z");
    const cwd = garden((path) => {
      few(path);
      utimesSync(path("a"), then, then);
    });
    expect(run([...cp, "-p", "a", "new"], { cwd }).status).toBe(0);
    expect(statSync(join(cwd, "new")).mtimeMs).toBe(then.getTime());
  });

  needsThat(isRoot, "root, to give files away")("preserves the owner", () => {
    const plant = (path: (name: string) => string): void => {
      few(path);
      expect(run(["chown", "1234:4321", path("a"), path("d"), path("d/x")]).status).toBe(0);
      expect(run(["chown", "-h", "55:66", path("link")]).status).toBe(0);
      chmodSync(path("a"), 0o6755);
    };
    const cwd = garden(plant);
    expect(run([...cp, "-pr", "a", "d", "link", "e"], { cwd })).toMatchObject({ status: 0, stderr: "" });
    const owners = ["a", "d", "d/x", "link"].map((name) => {
      const { uid, gid } = lstatSync(join(cwd, "e", name));
      return `${name} ${uid}:${gid}`;
    });
    expect(owners).toEqual(["a 1234:4321", "d 1234:4321", "d/x 1234:4321", "link 55:66"]);
    expect(lstatSync(join(cwd, "e/a")).mode & 0o7777).toBe(0o6755);
  });
});

describe("when it cannot write", () => {
  test("past the limit on a file's size, what fits is written first", () => {
    const content = pattern(300_000, 8);
    const cwd = garden((path) => writeFileSync(path("from"), content));
    for (const line of ['ulimit -f 100; "$@" from to', 'mkfifo f; cat from > f & ulimit -f 100; "$@" f to']) {
      expect(shell(line, cp, cwd)).toMatchObject({ status: 1, stderr: "cp: error writing 'to': File too large\n" });
      const { size } = statSync(join(cwd, "to"));
      expect(size).toBeGreaterThan(0);
      expect(readFileSync(join(cwd, "to")).equals(content.subarray(0, size))).toBe(true);
    }
  });

  test("to a full device", () => {
    const cwd = garden(few);
    expect(run([...cp, "a", "/dev/full"], { cwd })).toMatchObject({
      status: 1,
      stderr: "cp: error writing '/dev/full': No space left on device\n",
    });
  });

  const mounting = ["unshare", "-m", "sh", "-c"];
  const canMount = isRoot && run([...mounting, `mount -t tmpfs none ${directory}`]).status === 0;
  needsThat(canMount, "root, to mount a small filesystem")("to a full filesystem", () => {
    const cwd = garden((path) => {
      writeFileSync(path("big"), pattern(4 << 20));
      writeFileSync(path("small"), "small");
      mkdirSync(path("mounted"));
    });
    // One after the other: of two that are copied at once either may meet the end of the room.
    const copies = '"$@" small mounted && "$@" big mounted';
    const line = `mount -t tmpfs -o size=2m none mounted; ${copies}; status=$?; cat mounted/small >&2; exit $status`;
    const { status, stderr } = run([...mounting, line, "sh", ...cp], { cwd });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "cp: error writing 'mounted/big': No space left on device\nsmall",
    });
  });
});

describe("a signal", () => {
  test("while it copies is obeyed, and what is incomplete is told", async () => {
    const cwd = garden((path) => void expect(run(["mkfifo", path("fifo")]).status).toBe(0));
    const child = Bun.spawn([...cp, "fifo", "to"], { cwd, stderr: "pipe", timeout: 20_000 * patience });
    // Held open, so that the copy has not met the end when it is interrupted.
    const writer = Bun.spawn(["sh", "-c", "exec 3> fifo; printf begin >&3; exec sleep 100"], {
      cwd,
      timeout: 20_000 * patience,
    });
    const begun = (): boolean => statSync(join(cwd, "to"), { throwIfNoEntry: false })?.size === 5;
    expect(await eventually(begun)).toBe(true);
    child.kill("SIGINT");
    expect(await child.stderr.text()).toBe("cp: 'to' is incomplete\ncp: stopped by SIGINT: not everything is copied\n");
    await child.exited;
    expect(child.signalCode).toBe("SIGINT");
    writer.kill();
    await writer.exited;
  });

  test("while it waits for a FIFO's other end", async () => {
    const cwd = garden((path) => void expect(run(["mkfifo", path("fifo")]).status).toBe(0));
    const child = Bun.spawn([...cp, "fifo", "to"], { cwd, stderr: "pipe", timeout: 20_000 * patience });
    const waits = (): boolean => readFileSync(`/proc/${child.pid}/syscall`, "utf8").startsWith("426 ");
    expect(await eventually(waits)).toBe(true);
    await Bun.sleep(50);
    child.kill("SIGTERM");
    expect(await child.stderr.text()).toEndWith("cp: stopped by SIGTERM: not everything is copied\n");
    await child.exited;
    expect(child.signalCode).toBe("SIGTERM");
    expect(statSync(join(cwd, "to"), { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe("the progress", () => {
  test("is drawn on a terminal", async () => {
    const cwd = garden((path) => void expect(run(["mkfifo", path("fifo")]).status).toBe(0));
    let screen = "";
    const child = Bun.spawn([...cp, "fifo", "to"], {
      cwd,
      timeout: 20_000 * patience,
      terminal: { cols: 80, rows: 24, data: (_, bytes) => void (screen += Buffer.from(bytes).toString()) },
    });
    const script =
      "exec 3> fifo; head -c 100000 /dev/zero >&3; until [ -e more ]; do sleep 0.1; done; head -c 4000 /dev/zero >&3";
    const writer = Bun.spawn(["sh", "-c", script], { cwd, timeout: 20_000 * patience });
    const lines = (): string[] => screen.split("\r").filter((line) => line.includes("/s"));
    expect(await eventually(() => lines().some((line) => line.startsWith("97.7 KiB ")))).toBe(true);
    writeFileSync(join(cwd, "more"), "");
    expect(await Promise.all([child.exited, writer.exited])).toEqual([0, 0]);
    const full = lines().find((line) => line.startsWith("97.7 KiB "));
    expect(full).toMatch(/^97\.7 KiB of 97\.7 KiB \[#{24}\] [0-9.]+ [KM]iB\/s, 0:00 left/);
    expect(lines().at(-1)).toStartWith("101.6 KiB of 101.6 KiB");
    expect(screen).toEndWith("\n");
  });

  test("counts what is to be copied", async () => {
    const cwd = garden(tree);
    const sizes = treeOf(cwd).map((line) => Number(/ (\d+) [0-9a-f]{40} /.exec(line)?.[1] ?? 0));
    let [bytes, entries, counted] = [0, 0, 0];
    const progress = {
      expect: (more: number) => {
        bytes += more;
        entries++;
      },
      counted: () => void counted++,
    };
    using ring = new Ring(64);
    const loop = new Loop(ring);
    await loop.run(count(new Files(loop), [FilePath.of(join(cwd, "tree"))], true, progress), () => {});
    const files = treeOf(cwd).filter((line) => !/ directory [0-7]+$/.test(line));
    expect([bytes, entries, counted]).toEqual([sizes.reduce((sum, size) => sum + size), files.length, 1]);
  });
});

const limited = needsThat(lower !== undefined, "setpriv(1), to be limited as root");
// In KiB: enough for smaller buffers, and for fewer.
for (const limit of [1024, 64]) {
  limited(`${limit} KiB of locked memory are enough`, () => {
    const cwd = garden((path) => writeFileSync(path("from"), pattern(2_000_000)));
    const command = ["sh", "-c", `ulimit -l ${limit}; exec "$@"`, "sh", ...cp, "from", "to"];
    expect(run([...(lower ?? []), ...command], { cwd })).toMatchObject({ status: 0, stderr: "" });
    expect(run(["cmp", "from", "to"], { cwd }).status).toBe(0);
  });
}

test("--help tells how it is called", () => {
  const { status, stdout } = run([...cp, "--help"]);
  expect(status).toBe(0);
  expect(String(stdout)).toStartWith("Usage: bun run examples/cp [OPTION]... SOURCE DEST\n");
});
