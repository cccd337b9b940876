/** `bun run examples/cat` beside cat(1). */
import { describe, expect, test } from "bun:test";
import { chmodSync, closeSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsThat } from "../support/kernel.ts";
import { pattern, pipe, scratchDirectory } from "../support/files.ts";
import { eventually, example, isGnu, type Outcome, run, shell, withoutPrivileges } from "./programs.ts";
import { patience } from "../support/patience.ts";

const cat = example("cat");
const gnu = isGnu("cat");
const directory = scratchDirectory();
const lower = withoutPrivileges();

/** Around a page and around a block of 128 KiB; many blocks; a last one that is not full. */
const sizes = [0, 1, 4095, 4096, 4097, 131071, 131072, 131073, 1048576, 10 * 1048576 + 17];
const files = new Map<string, Buffer>(sizes.map((size) => [`size-${size}`, pattern(size, size)]));
for (const [name, content] of files) writeFileSync(join(directory, name), content);

/** What is in one of them. */
function contentOf(name: string): Buffer {
  return files.get(name) ?? Buffer.from("there is no such file");
}

mkdirSync(join(directory, "directory"));
writeFileSync(join(directory, "secret"), "secret", { mode: 0 });
chmodSync(join(directory, "secret"), 0);

/** What the example and, where there is GNU's cat, cat(1) make of the same arguments: they have to agree. */
function both(args: readonly string[], stdin?: Uint8Array<ArrayBuffer>): Outcome {
  const surroundings = { cwd: directory, ...(stdin === undefined ? {} : { stdin }) };
  const ours = run([...cat, ...args], surroundings);
  if (gnu) expect(ours).toEqual(run(["cat", ...args], surroundings));
  return ours;
}

describe("files", () => {
  test.each(sizes)("of %d bytes come out as they are", (size) => {
    const { status, stdout, stderr } = run([...cat, `size-${size}`], { cwd: directory });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.equals(contentOf(`size-${size}`))).toBe(true);
  });

  test("several come out one after another", () => {
    const names = [...files.keys(), ...files.keys()].reverse();
    const { status, stdout } = run([...cat, ...names], { cwd: directory });
    expect(status).toBe(0);
    expect(stdout.equals(Buffer.concat(names.map((name) => contentOf(name))))).toBe(true);
  });

  test("into a file", () => {
    const name = `size-${sizes.at(-1)}`;
    const { status } = shell(`"$@" ${name} > written`, cat, directory);
    expect(status).toBe(0);
    expect(readFileSync(join(directory, "written")).equals(contentOf(name))).toBe(true);
  });

  test("onto the end of a file", () => {
    const { status } = shell('printf begin > appended; "$@" size-4097 size-1 >> appended', cat, directory);
    const wanted = Buffer.concat([Buffer.from("begin"), contentOf("size-4097"), contentOf("size-1")]);
    expect(status).toBe(0);
    expect(readFileSync(join(directory, "appended")).equals(wanted)).toBe(true);
  });

  test("of /proc, which say that they are empty", () => {
    const { status, stdout } = both(["/proc/version", "/proc/filesystems"]);
    expect(status).toBe(0);
    expect(stdout.length).toBeGreaterThan(100);
  });
});

describe("standard input", () => {
  const text = Buffer.from("first\nsecond\n");

  test("without operands", () => expect(both([], text).stdout.equals(text)).toBe(true));

  test("- stands for it", () => {
    const { stdout, status } = both(["size-1", "-", "size-4095"], text);
    const wanted = [contentOf("size-1"), text, contentOf("size-4095")];
    expect({ status, same: stdout.equals(Buffer.concat(wanted)) }).toEqual({ status: 0, same: true });
  });

  test("a pipe that delivers much", () => {
    const name = `size-${sizes.at(-1)}`;
    const { status, stdout } = shell(`cat ${name} | "$@" | cat`, cat, directory);
    expect({ status, same: stdout.equals(contentOf(name)) }).toEqual({ status: 0, same: true });
  });

  test("a file is read from where it is, and left where reading ended", () => {
    const line = '{ dd bs=5 count=1 2>/dev/null >/dev/null; "$@"; printf "|"; "$@"; } < size-4097';
    const { stdout } = shell(line, cat, directory);
    const wanted = Buffer.concat([contentOf("size-4097").subarray(5), Buffer.from("|")]);
    expect(stdout.equals(wanted)).toBe(true);
  });

  needsThat(existsSync("/dev/stdin"), "/dev/stdin")("/dev/stdin", () => {
    const { stdout } = shell('"$@" /dev/stdin < size-4097', cat, directory);
    expect(stdout.equals(contentOf("size-4097"))).toBe(true);
  });

  test("is passed on at once, a socket's as well", async () => {
    // Bun: what it calls a pipe to a child is a pair of sockets.
    const child = Bun.spawn([...cat], { stdin: "pipe", stdout: "pipe", timeout: 20_000 * patience });
    const reader = child.stdout.getReader();
    for (const word of ["one", "two", "three"]) {
      child.stdin.write(word);
      await child.stdin.flush();
      const { value } = await reader.read();
      expect(Buffer.from(value ?? []).toString()).toBe(word);
    }
    await child.stdin.end();
    expect((await reader.read()).done).toBe(true);
    expect(await child.exited).toBe(0);
  });
});

describe("what is no file", () => {
  test("a device without end, until nobody wants more", () => {
    const { stdout } = shell('"$@" /dev/zero | head -c 1000000', cat, directory);
    expect(stdout.equals(Buffer.alloc(1_000_000))).toBe(true);
  });

  test("a device without content", () => expect(both(["/dev/null"])).toMatchObject({ status: 0, stderr: "" }));

  test("a FIFO is waited for", async () => {
    expect(run(["mkfifo", join(directory, "fifo")]).status).toBe(0);
    const child = Bun.spawn([...cat, "fifo", "size-1"], { cwd: directory, stdout: "pipe", timeout: 20_000 * patience });
    // It would be at its end by now if the open had not waited for a writer.
    await Bun.sleep(300);
    expect(child.exitCode).toBe(null);
    const writer = Bun.spawn(["sh", "-c", "cat size-1048576 > fifo"], { cwd: directory, timeout: 20_000 * patience });
    const output = Buffer.from(await child.stdout.bytes());
    const wanted = [contentOf("size-1048576"), contentOf("size-1")];
    expect(output.equals(Buffer.concat(wanted))).toBe(true);
    expect(await Promise.all([child.exited, writer.exited])).toEqual([0, 0]);
  });
});

describe("failures are told in cat's words, and the rest goes on", () => {
  test("a file that is not there", () => {
    const { status, stdout, stderr } = both(["nope", "size-1", "no such/place"]);
    expect(status).toBe(1);
    expect(stdout.equals(contentOf("size-1"))).toBe(true);
    expect(stderr).toBe("cat: nope: No such file or directory\ncat: 'no such/place': No such file or directory\n");
  });

  test("names that need quotes", () => {
    const names = ["it's", "a b", "a:b", "new\nline", "tab\t'", "$HOME", "'$", "\n\t", "\u0085"];
    expect(both(names).stderr.split("\n").slice(0, 5)).toEqual([
      `cat: "it's": No such file or directory`,
      "cat: 'a b': No such file or directory",
      "cat: 'a:b': No such file or directory",
      "cat: 'new'$'\\n''line': No such file or directory",
      "cat: 'tab'$'\\t'\\''': No such file or directory",
    ]);
    // GNU's cat shows this as it is only where the locale says that it is UTF-8.
    expect(run([...cat, "größe"]).stderr).toBe("cat: größe: No such file or directory\n");
  });

  test("a directory", () => {
    expect(both(["directory", "size-1"])).toMatchObject({ status: 1, stderr: "cat: directory: Is a directory\n" });
  });

  test("a part of the path that is no directory", () => {
    expect(both(["size-1/x"])).toMatchObject({ status: 1, stderr: "cat: size-1/x: Not a directory\n" });
  });

  needsThat(lower !== undefined, "setpriv(1), to be refused anything as root")("a file that may not be read", () => {
    const { status, stderr } = run([...(lower ?? []), ...cat, "secret", "size-0"], { cwd: directory });
    expect({ status, stderr }).toEqual({ status: 1, stderr: "cat: secret: Permission denied\n" });
  });

  test("the file that it writes to", () => {
    const { status, stderr, stdout } = shell('printf x > self; "$@" self size-1 >> self; cat self', cat, directory);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "cat: self: input file is output file\n" });
    expect(stdout.equals(Buffer.concat([Buffer.from("x"), contentOf("size-1")]))).toBe(true);
  });

  test("options that there are not", () => {
    const try_ = "Try 'cat --help' for more information.\n";
    expect(both(["-W"])).toMatchObject({ status: 1, stderr: `cat: invalid option -- 'W'\n${try_}` });
    expect(both(["--wide"])).toMatchObject({ status: 1, stderr: `cat: unrecognized option '--wide'\n${try_}` });
    expect(both(["-u", "--", "-W"])).toMatchObject({ stderr: "cat: -W: No such file or directory\n" });
  });
});

describe("when it cannot write", () => {
  test("to a full device", () => {
    const { status, stderr } = shell('"$@" size-4097 > /dev/full', cat, directory);
    expect({ status, stderr }).toEqual({ status: 1, stderr: "cat: write error: No space left on device\n" });
  });

  test("to a pipe that nobody reads, it is killed by SIGPIPE and says nothing", async () => {
    const name = `size-${sizes.at(-1)}`;
    const ends = pipe(directory);
    const child = Bun.spawn([...cat, name], {
      cwd: directory,
      stdout: ends.write,
      stderr: "pipe",
      timeout: 20_000 * patience,
    });
    closeSync(ends.write);
    closeSync(ends.read);
    expect(await child.stderr.text()).toBe("");
    await child.exited;
    expect(child.signalCode).toBe("SIGPIPE");
  });

  test("past the limit on a file's size, what fits is written first", () => {
    const { status, stderr } = shell('ulimit -f 100; "$@" size-131072 > limited', cat, directory);
    expect({ status, stderr }).toEqual({ status: 1, stderr: "cat: write error: File too large\n" });
    const { size } = statSync(join(directory, "limited"));
    expect(size).toBeGreaterThan(0);
    const written = contentOf("size-131072").subarray(0, size);
    expect(readFileSync(join(directory, "limited")).equals(written)).toBe(true);
  });
});

describe("SIGINT ends it", () => {
  /** Starts it on something that it has to wait for. */
  async function interrupted(name: string): Promise<NodeJS.Signals | number | null> {
    const child = Bun.spawn([...cat, name], {
      cwd: directory,
      stdin: "pipe",
      stdout: "pipe",
      timeout: 20_000 * patience,
    });
    expect(await eventually(() => isWaiting(child.pid))).toBe(true);
    child.kill("SIGINT");
    await child.exited;
    return child.signalCode;
  }

  test("while it reads", async () => expect(await interrupted("-")).toBe("SIGINT"));

  test("while it opens", async () => {
    expect(run(["mkfifo", join(directory, "unwritten")]).status).toBe(0);
    expect(await interrupted("unwritten")).toBe("SIGINT");
  });
});

/** Whether a process's main thread is inside io_uring_enter(2), 426 on every processor. */
function isWaiting(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/syscall`, "utf8").startsWith("426 ");
  } catch {
    return false;
  }
}

needsThat(lower !== undefined, "setpriv(1), to be limited as root")("little locked memory is enough", () => {
  const limited = ["sh", "-c", 'ulimit -l 64; exec "$@"', "sh", ...cat];
  const name = `size-${sizes.at(-1)}`;
  const { status, stdout, stderr } = run([...(lower ?? []), ...limited, name], { cwd: directory });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout.equals(contentOf(name))).toBe(true);
});

test("a descriptor that is closed reads as empty", () => {
  // Bun opens /dev/null in the place of a standard descriptor that is missing.
  const { status, stdout } = shell('"$@" <&-', cat, directory);
  expect({ status, length: stdout.length }).toEqual({ status: 0, length: 0 });
});

test("--help tells how it is called", () => {
  const { status, stdout } = run([...cat, "size-1", "--help"]);
  expect(status).toBe(0);
  expect(String(stdout)).toStartWith("Usage: bun run examples/cat [OPTION]... [FILE]...\n");
});
