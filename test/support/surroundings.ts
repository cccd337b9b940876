/**
 * Test files run once more in a process of their own where something is different: io_uring is refused, or another user
 * runs them. The modules that people swap in have to pass the same suites there.
 *
 * ```ts
 * const places = surroundings(scratchDirectory());
 * needsThat(places.filter.missing === undefined, places.filter.missing ?? "")("the suite passes", async () => {
 *   expect(await answerUnder(places.filter, "src/net/index.ts", "backend()")).toBe("bun");
 *   const { pass, failed } = await suiteUnder(places.filter, ["test/net/listen.test.ts"]);
 *   expect(failed).toEqual([]);
 *   expect(pass).toBeGreaterThan(100);
 * });
 * ```
 *
 * A suite that is run like this must not ask for a ring itself (needs() and has() of kernel.ts do), and compares what
 * `backend()` says with expectedBackend of backend.ts.
 */
import { join, resolve } from "node:path";
import type { Backend } from "../../src/async/backend.ts";
import { EPERM } from "../../src/abi/errno.gen.ts";
import { bun } from "./child.ts";
import { asNobody, filterLauncher, noFilter, noOtherUser } from "./launch.ts";
import { patience } from "./patience.ts";

const top = resolve(import.meta.dir, "../..");
const LIMIT_MS = 120_000 * patience;
/** io_uring_setup, io_uring_enter and io_uring_register, which have these numbers on every architecture. */
const CALLS = [425, 426, 427];

/** Where a suite is run. */
export interface Surroundings {
  /** What the machine lacks for it; undefined where it can be had. */
  readonly missing: string | undefined;
  /** The command that runs others there. */
  readonly launcher: readonly string[];
  /** What is different in the environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** What became of a suite. */
export interface SuiteOutcome {
  readonly exitCode: number;
  readonly pass: number;
  readonly skip: number;
  /** The lines of what failed. */
  readonly failed: readonly string[];
  /** Everything that it said. */
  readonly text: string;
}

/** What the modules run on there is told to the suite, which compares. */
function runningOn(backend: Backend): Record<string, string> {
  return { URING_TEST_BACKEND: backend };
}

/**
 * The surroundings there are: `variable`, where BUN_URING_BACKEND asks for Bun's own implementations; `filter`, where a
 * seccomp filter answers EPERM to io_uring's three system calls, as Docker's default does; `nobody`, where everything is
 * as it is here but the user.
 *
 * @param directory where programs are compiled to.
 */
export function surroundings(directory: string): Record<"variable" | "filter" | "nobody", Surroundings> {
  const forbidden = CALLS.map((number) => `${number}=${EPERM}`);
  const filter = noFilter === undefined ? filterLauncher(directory)(...forbidden) : [];
  return {
    variable: { missing: undefined, launcher: [], env: { ...runningOn("bun"), BUN_URING_BACKEND: "bun" } },
    filter: { missing: noFilter, launcher: filter, env: runningOn("bun") },
    nobody: { missing: noOtherUser, launcher: asNobody, env: runningOn("uring") },
  };
}

/**
 * Runs test files there to their end.
 *
 * @param paths files from the project's top, each of them named: a folder may hold the very test that asks.
 */
export async function suiteUnder(where: Surroundings, paths: readonly string[]): Promise<SuiteOutcome> {
  const { exitCode, text } = await runUnder(where, [...bun, "test", ...paths.map((path) => join(top, path))]);
  const counted = (what: string): number => Number(new RegExp(`^ *(\\d+) ${what}$`, "m").exec(text)?.[1] ?? 0);
  const failed = text.split("\n").filter((line) => line.startsWith("(fail)") || line.startsWith("error:"));
  return { exitCode, pass: counted("pass"), skip: counted("skip"), failed, text };
}

/** What an expression of a module's exports comes to there, as text: `answerUnder(where, "src/fs/index.ts", "backend()")`. */
export async function answerUnder(where: Surroundings, module: string, expression: string): Promise<string> {
  const program = `console.log((await import(${JSON.stringify(join(top, module))})).${expression})`;
  const { exitCode, text } = await runUnder(where, [...bun, "-e", program]);
  return exitCode === 0 ? text.trim() : `exit code ${exitCode}: ${text}`;
}

async function runUnder(where: Surroundings, command: readonly string[]): Promise<{ exitCode: number; text: string }> {
  const child = Bun.spawn([...where.launcher, ...command], {
    env: { ...process.env, ...where.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
  });
  const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
  return { exitCode: await child.exited, text: (await Promise.all(texts)).join("") };
}
