/** The system's C compiler, for tests that ask it what C says. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The compiler's path, or null where there is none. */
export const compiler: string | null = Bun.which("cc") ?? Bun.which("gcc") ?? Bun.which("clang");

/** The name of a test that needs the compiler: it says so where it is skipped. */
export function needsCompiler(name: string): string {
  return compiler === null ? `${name} (skipped: no C compiler)` : name;
}

/**
 * Compiles and runs a C program whose body is `lines`, and returns what it prints, line by line.
 *
 * @throws Error with the compiler's words where it refuses.
 */
export function runC(includes: readonly string[], lines: readonly string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "uring-c-"));
  try {
    const source = join(folder, "program.c");
    const text = [
      "#define _GNU_SOURCE",
      "#include <stdio.h>",
      ...includes.map((file) => `#include <${file}>`),
      "int main(void) {",
      ...lines,
      "return 0;",
      "}",
    ];
    writeFileSync(source, text.join("\n"));
    const output = join(folder, "program");
    const build = Bun.spawnSync([compiler ?? "cc", "-w", "-o", output, source]);
    if (build.exitCode !== 0) throw new Error(`the C compiler refused: ${build.stderr}`);
    return Bun.spawnSync([output]).stdout.toString().trimEnd().split("\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
