/**
 * A ring wherever Bun runs: without C's development files, on a read-only root, in a bundle, in an executable, in a
 * Worker, without TinyCC; and a plain refusal where there is no io_uring. Each case is a process of its own that runs
 * nop.ts, one ring and one NOP.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { refuseForeignPlatform } from "../../syscall/shim.ts";
import type { Report } from "./nop.ts";

const project = resolve(import.meta.dir, "../..");
const program = join(import.meta.dir, "nop.ts");
const bun = process.execPath;
let scratch = "";

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "uring-surroundings-"));
});

afterAll(() => {
  rmSync(scratch, { recursive: true });
});

function run(command: string[], cwd: string = scratch): Report {
  // An empty environment: nothing of this machine's set-up reaches the program.
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd, env: {} });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}: ${stderr}${stdout}`);
  return JSON.parse(String(stdout)) as Report;
}

function build(command: string[], cwd: string): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd, env: {} });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}: ${stderr}`);
}

/** What a project needs in order to run, copied to a directory of its own. */
function copyOfProject(name: string): string {
  const directory = join(scratch, name);
  for (const part of ["package.json", "tsconfig.json", "src", "syscall", "test/syscall/nop.ts"]) {
    mkdirSync(dirname(join(directory, part)), { recursive: true });
    cpSync(join(project, part), join(directory, part), { recursive: true });
  }
  return directory;
}

/** The NOP came back. */
const worked = { userData: 77 } as const;

describe("a ring can be made", () => {
  test("by the compiled shim", () => {
    expect(run([bun, program])).toMatchObject({ ...worked, backend: "tinycc" });
  });

  test("without TinyCC, by libc", () => {
    expect(run([bun, "--no-ffi-cc", program])).toMatchObject({ ...worked, backend: "libc" });
  });

  test("in a Worker", () => {
    expect(run([bun, program, "worker"])).toMatchObject({ ...worked, backend: "tinycc" });
    expect(run([bun, "--no-ffi-cc", program, "worker"])).toMatchObject({ ...worked, backend: "libc" });
  });

  test("in a bundle, its sources gone", () => {
    const copy = copyOfProject("bundled");
    build([bun, "build", "--target", "bun", "--outdir", "out", "test/syscall/nop.ts"], copy);
    const elsewhere = join(scratch, "bundle");
    renameSync(join(copy, "out"), elsewhere);
    rmSync(copy, { recursive: true });
    const bundle = join(elsewhere, "nop.js");
    expect(run([bun, bundle])).toMatchObject({ ...worked, backend: "tinycc", sources: false });
    expect(run([bun, "--no-ffi-cc", bundle])).toMatchObject({ ...worked, backend: "libc", sources: false });
  });

  test("in an executable, its sources gone", () => {
    expect(run([executable()], "/")).toMatchObject({ ...worked, backend: "tinycc", sources: false });
  });
});

let compiled = "";

/** nop.ts as an executable, made at first use from a copy that is gone by now. */
function executable(): string {
  if (compiled !== "") return compiled;
  const copy = copyOfProject("compiled");
  build([bun, "build", "--compile", "--outfile", "program", "test/syscall/nop.ts"], copy);
  compiled = join(scratch, "program");
  renameSync(join(copy, "program"), compiled);
  rmSync(copy, { recursive: true });
  return compiled;
}

/** How this user makes a mount namespace: as root outright, as another in a user namespace; or not at all. */
const namespace = [["--mount"], ["--map-root-user", "--mount"]].find((flags) => {
  return Bun.which("unshare") !== null && Bun.spawnSync(["unshare", ...flags, "true"]).exitCode === 0;
});

/**
 * A root directory that holds Bun, the libraries that it is linked to, the project and nothing else: bound together in
 * a mount namespace that goes when the process does. Arguments: the root, another user or nothing, the project, Bun or
 * an executable, and after "--" what it is given.
 */
const script = `
set -eu
root=$1 user=$2 project=$3 bun=$4
shift 5
mount -t tmpfs none "$root"
bind() { mkdir -p "$root$(dirname "$2")"; : > "$root$2"; mount --bind "$1" "$root$2"; }
ldd "$bun" | grep -o '/[^ ]*' | while read -r library; do bind "$library" "$library"; done
bind "$bun" /bin/bun
mkdir -p "$root/project" "$root/proc"
mount --bind "$project" "$root/project"
mount --rbind /proc "$root/proc"
mount -o remount,ro,bind "$root"
mount -o remount,ro,bind "$root/project"
exec chroot \${user:+--userspec="$user"} "$root" /bin/bun "$@"
`;

describe.skipIf(namespace === undefined)("a ring can be made in a bare root (needs unshare(1) to be allowed)", () => {
  const bare = (user: string, executable: string, ...args: string[]): Report => {
    const root = mkdtempSync(join(scratch, "root-"));
    const outer = ["unshare", ...(namespace ?? []), "sh", "-c", script, "sh"];
    return run([...outer, root, user, project, executable, "--", ...args]);
  };
  const nothing = { headers: false, rootWrite: "EROFS" } as const;

  test("that has no development files and cannot be written", () => {
    const report = bare("", bun, "/project/test/syscall/nop.ts");
    expect(report).toMatchObject({ ...worked, ...nothing, backend: "tinycc" });
  });

  test("without TinyCC as well", () => {
    const report = bare("", bun, "--no-ffi-cc", "/project/test/syscall/nop.ts");
    expect(report).toMatchObject({ ...worked, ...nothing, backend: "libc" });
  });

  test("from an executable", () => {
    expect(bare("", executable())).toMatchObject({ ...worked, ...nothing, backend: "tinycc", sources: false });
  });

  test.skipIf(namespace?.length !== 1)("as a user who owns nothing (needs root, to become another)", () => {
    const report = bare("65534:65534", bun, "/project/test/syscall/nop.ts");
    expect(report).toMatchObject({ ...worked, backend: "tinycc", headers: false });
  });
});

describe("where there is no io_uring", () => {
  /** Imports everything with another machine's names in place, then asks for the system calls. */
  const pretend = (platform: string, arch: string): unknown => {
    const text = `
      Object.defineProperty(process, "platform", { value: ${JSON.stringify(platform)} });
      Object.defineProperty(process, "arch", { value: ${JSON.stringify(arch)} });
      const { syscalls } = await import(${JSON.stringify(join(project, "syscall/shim.ts"))});
      const { Ring } = await import(${JSON.stringify(join(project, "src/index.ts"))});
      const failures = [];
      for (const ask of [syscalls, () => new Ring(8)]) {
        try { ask(); failures.push("no failure"); } catch ({ code, message }) { failures.push({ code, message }); }
      }
      console.log(JSON.stringify(failures));`;
    const { stdout, stderr } = Bun.spawnSync([bun, "-e", text], { cwd: scratch, env: {} });
    if (stdout.length === 0) throw new Error(String(stderr));
    return JSON.parse(String(stdout));
  };

  test.each([
    ["darwin", "arm64", "Cannot use io_uring on darwin: it is a Linux kernel interface"],
    ["win32", "x64", "Cannot use io_uring on win32: it is a Linux kernel interface"],
    ["linux", "riscv64", "Cannot use io_uring on riscv64: only x64 and arm64 are supported"],
  ])("on %s and %s importing works and using says why not", (platform, arch, message) => {
    const failure = { code: "ERR_URING_PLATFORM", message };
    expect(pretend(platform, arch)).toEqual([failure, failure]);
  });

  test("refuseForeignPlatform() lets Linux on x64 and arm64 pass and names what it refuses", () => {
    expect(refuseForeignPlatform("linux", "x64")).toBeUndefined();
    expect(refuseForeignPlatform("linux", "arm64")).toBeUndefined();
    expect(() => refuseForeignPlatform("freebsd", "x64")).toThrow("Cannot use io_uring on freebsd");
    expect(() => refuseForeignPlatform("linux", "ia32")).toThrow("Cannot use io_uring on ia32");
  });
});
