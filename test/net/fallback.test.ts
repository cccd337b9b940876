/** Where io_uring is refused the module is Bun's own, says so, and passes all the same cases. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { EPERM } from "../../src/abi/errno.gen.ts";
import { bun } from "../support/child.ts";
import { scratchDirectory } from "../support/files.ts";
import { filterLauncher, noFilter } from "../support/launch.ts";
import { patience } from "../support/patience.ts";

const top = resolve(import.meta.dir, "../..");
/** io_uring_setup, io_uring_enter and io_uring_register answer EPERM, as Docker's profile has it. */
const forbidden = [425, 426, 427].map((call) => `${call}=${EPERM}`);
/** Not this file, which would start itself for ever, and not the one that waits for Bun's timeouts. */
const files = readdirSync(import.meta.dir)
  .filter((name) => name.endsWith(".test.ts") && !["fallback.test.ts", "timeout.test.ts"].includes(name))
  .map((name) => join(import.meta.dir, name));

const LIMIT_MS = 90_000 * patience;
const filtered = noFilter === undefined ? test.concurrent : test.skip;
const launcher = noFilter === undefined ? filterLauncher(scratchDirectory())(...forbidden) : [];

/** Runs a command in the project, with variables of its own. */
async function outcome(
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<{ text: string; exitCode: number }> {
  const options = {
    cwd: top,
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
    env: { ...process.env, ...env },
  } as const;
  const child = Bun.spawn([...command], options);
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { text: stdout + stderr, exitCode: await child.exited };
}

const ask = [...bun, "-e", 'console.log((await import("./src/net/index.ts")).backend())'];

/** All cases pass, and they are as many as there are. */
async function expectToPass(command: readonly string[], env: Record<string, string>): Promise<void> {
  const { text, exitCode } = await outcome([...command, ...bun, "test", ...files], env);
  const failed = text.split("\n").filter((line) => line.startsWith("(fail)"));
  expect(failed).toEqual([]);
  expect(exitCode).toBe(0);
  expect(Number(/^ *(\d+) pass$/m.exec(text)?.[1])).toBeGreaterThan(700);
}

describe("with BUN_URING_BACKEND=bun", () => {
  const env = { BUN_URING_BACKEND: "bun" };

  test("backend() says bun", async () => {
    expect(await outcome(ask, env)).toEqual({ text: "bun\n", exitCode: 0 });
  });

  test.concurrent("every case passes", async () => expectToPass([], env), LIMIT_MS);
});

describe("under a filter that refuses io_uring", () => {
  filtered(`backend() says bun (needs ${noFilter})`, async () => {
    expect(await outcome([...launcher, ...ask])).toEqual({ text: "bun\n", exitCode: 0 });
  });

  filtered(`every case passes (needs ${noFilter})`, async () => expectToPass(launcher, {}), LIMIT_MS);
});
