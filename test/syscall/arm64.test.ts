/**
 * The shim on arm64: a whole machine in QEMU with a Linux of its own, so that io_uring is real there as well (QEMU's
 * other way, translating single programs, knows no io_uring and answers ENOSYS). Its only disk is what the tests need:
 * Bun, the libraries that it is linked to, the project.
 *
 * On arm64 itself there is nothing to do: the other tests of this folder are the proof.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { file, folder, tree, write } from "../matrix/cpio.ts";

const project = resolve(import.meta.dir, "../..");
const machine = String(Bun.spawnSync([join(import.meta.dir, "arm64.sh"), "--where"]).stdout).trim();
const emulator = Bun.which("qemu-system-aarch64");
const missing = process.arch === "arm64" || emulator === null || !existsSync(join(machine, "kernel"));

/** Sees the tests through: each prints its output, then a line of its own with its exit status. */
const init = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
/bin/busybox ip link set lo up
export HOME=/tmp PATH=/bin URING_TEST_PATIENCE=20
cd /project
report() {
  name=$1
  shift
  "$@" 2>&1
  echo "@@ $name $?"
}
report shim bun test --timeout 60000 test/syscall/shim.test.ts test/syscall/bun.test.ts
report shim-libc bun --no-ffi-cc test --timeout 60000 test/syscall/shim.test.ts test/syscall/bun.test.ts
report library bun test --timeout 60000 test/conformance/sqe.test.ts test/conformance/prep.test.ts test/unit/memory.test.ts test/unit/errors.test.ts
report nop bun test/syscall/nop.ts
report nop-libc bun --no-ffi-cc test/syscall/nop.ts
report left bun test/async/programs/left.ts /tmp 2 '{}'
/bin/busybox poweroff -f
`;

function* disk(): Generator<Uint8Array> {
  for (const name of ["bin", "lib", "proc", "dev", "tmp", "project"]) yield* folder(name);
  yield* file("init", init);
  for (const program of ["bun", "busybox"]) yield* tree(`bin/${program}`, join(machine, program));
  yield* tree("lib", join(machine, "lib"));
  for (const part of ["package.json", "tsconfig.json", "bunfig.toml", "src", "syscall", "test", "gen"]) {
    yield* tree(`project/${part}`, join(project, part));
  }
}

async function boot(): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), "uring-arm64-"));
  const image = join(scratch, "disk");
  await write(image, disk());
  const own = ["-machine", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1500", "-nic", "none"];
  const screen = ["-nographic", "-no-reboot", "-append", "console=ttyAMA0 quiet panic=-1"];
  const files = ["-kernel", join(machine, "kernel"), "-initrd", image];
  const child = Bun.spawn([emulator ?? "", ...own, ...screen, ...files], { stdin: "ignore", timeout: 150_000 });
  const output = await child.stdout.text();
  rmSync(scratch, { recursive: true });
  return Bun.stripANSI(output).replaceAll("\r", "");
}

describe.skipIf(missing)("on arm64 (needs qemu-system-aarch64 and what test/syscall/arm64.sh fetches)", () => {
  test("both ways pass the shim's tests, so do golden bytes and memory, and a NOP comes back from a real ring", async () => {
    const output = await boot();
    const done = [...output.matchAll(/^@@ (\S+) (\d+)$/gm)].map(([, name, status]) => `${name} ${status}`);
    if (done.length < 6 || !done.every((line) => line.endsWith(" 0"))) console.error(output);
    expect(done).toEqual(["shim 0", "shim-libc 0", "library 0", "nop 0", "nop-libc 0", "left 0"]);
    const reports = [...output.matchAll(/^\{.*\}$/gm)].map(([line]) => JSON.parse(line) as unknown);
    expect(reports).toEqual([
      expect.objectContaining({ arch: "arm64", backend: "tinycc", userData: 77 }),
      expect.objectContaining({ arch: "arm64", backend: "libc", userData: 77 }),
      expect.objectContaining({ overwritten: 0, descriptors: 0 }),
    ]);
  }, 180_000);
});
