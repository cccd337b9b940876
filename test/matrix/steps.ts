/** What is run in a guest: each test file by itself, so that one that hangs or crashes takes no other with it. */
import { readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Step } from "./image.ts";

const project = resolve(import.meta.dir, "../..");

/** Folders whose tests are about the project, not about a kernel, and those that need programs that no guest has. */
const elsewhere = ["gen", "package", "tidy", "docs", "matrix"].map((folder) => `test/${folder}/`);
const left = [...elsewhere, "test/tidy.test.ts"];
/** A machine in the machine. */
const never = "test/syscall/arm64.test.ts";

/** Seconds for one file. Software emulation makes everything 3 to 35 times slower. */
const FILE_LIMIT_S = 600;
/** Milliseconds for a test that asks for no longer. */
const TEST_LIMIT_MS = 60_000;

/** The test files that a path or a piece of one stands for; without any, all that are about a kernel. */
function filesOf(filters: readonly string[]): string[] {
  const all = readdirSync(join(project, "test"), { recursive: true, encoding: "utf8" });
  const tests = all.filter((path) => path.endsWith(".test.ts")).map((path) => `test/${path}`);
  const wanted = filters.map((filter) => filter.replace(/^\.\//, ""));
  const fits = (path: string): boolean =>
    wanted.length === 0
      ? !left.some((start) => path.startsWith(start))
      : wanted.some((filter) => path.includes(filter));
  return tests.filter((path) => path !== never && fits(path)).sort();
}

/** `ring-submit` of `test/ring/submit.test.ts`. */
function stepName(path: string): string {
  return path
    .replace(/^test\//, "")
    .replace(/\.test\.ts$/, "")
    .replaceAll(/[^\w]+/g, "-");
}

/**
 * The steps of a command, or of all tests where there is none.
 *
 * @param asks whether the kernel is asked first what it has.
 * @throws Error when no test file fits.
 */
export function stepsOf(command: readonly string[], limitS: number, asks: boolean = command.length === 0): Step[] {
  if (command.length > 0 && !(command[0] === "bun" && command[1] === "test")) {
    return [{ name: basename(command[0] ?? "command").replaceAll(/[^\w]+/g, "-"), command, limitS }];
  }
  const words = command.slice(2);
  const ask = ["sh", "-c", "bun test/matrix/ask.ts > /out/ask.json"];
  const first = asks ? [{ name: "ask", command: ask, limitS: 60 }] : [];
  const flags = words.filter((word) => word.startsWith("-"));
  const files = filesOf(words.filter((word) => !word.startsWith("-")));
  if (files.length === 0) throw new Error(`no test file fits ${words.join(" ")}`);
  const tests = files.map((path) => {
    const name = stepName(path);
    const report = ["--reporter=junit", `--reporter-outfile=/out/${name}.xml`];
    const limits = [`--timeout=${TEST_LIMIT_MS}`];
    return { name, command: ["bun", "test", ...limits, ...report, ...flags, `./${path}`], limitS: FILE_LIMIT_S };
  });
  return [...first, ...tests];
}
