// The C contestants: compiled when a benchmark starts, by the system's compiler, into a temporary directory.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const flags = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra"];

let directory: string | undefined;
let compiler: string | null | undefined;

/** A directory for this run's files. It is removed when the process ends. */
export function scratch(): string {
  if (directory !== undefined) return directory;
  const made = mkdtempSync(join(tmpdir(), "bun-uring-bench-"));
  directory = made;
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  return made;
}

function build(using: string, source: string, output: string): string | null {
  const child = Bun.spawnSync([using, ...flags, "-o", output, source], { stderr: "pipe" });
  return child.success ? null : child.stderr.toString();
}

/** The compiler: `$CC`, else cc, gcc or clang; null where none of them can make a program. */
function findCompiler(): string | null {
  if (compiler !== undefined) return compiler;
  const probe = join(scratch(), "probe.c");
  writeFileSync(probe, '#include <sys/syscall.h>\n#include <stdio.h>\nint main(void) { return puts("") < 0; }\n');
  const names = process.env["CC"] === undefined ? ["cc", "gcc", "clang"] : [process.env["CC"]];
  compiler = null;
  for (const name of names) {
    const path = Bun.which(name);
    if (path !== null && build(path, probe, join(scratch(), "probe")) === null) {
      compiler = path;
      break;
    }
  }
  return compiler;
}

/** What to tell the reader when `compile` gives null. */
export const noCompiler =
  "no C compiler here (looked for $CC, cc, gcc, clang with libc's headers): the rows of C are missing";

/**
 * Compiles `bench/c/<name>.c` with -O2 and returns the program's path, or null where there is no compiler.
 *
 * Throws an `Error` with the compiler's words when the machine has a compiler and the source does not compile.
 */
export function compile(name: string): string | null {
  const using = findCompiler();
  if (using === null) return null;
  const output = join(scratch(), name);
  const complaint = build(using, join(import.meta.dir, "c", `${name}.c`), output);
  if (complaint !== null) throw new Error(`Cannot compile bench/c/${name}.c: ${complaint}`);
  return output;
}
