/** Where io_uring is refused the module is Bun's own, says so, and passes all the same cases; so it does for any user, and as older kernels have it. */
import { describe, expect, setDefaultTimeout } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { hub } from "../../src/net/hub.ts";
import { backend } from "../../src/net/index.ts";
import { Receives, type Way } from "../../src/net/receives.ts";
import { scratchDirectory } from "../support/files.ts";
import { firstKernel, needsThat } from "../support/kernel.ts";
import { isEmulated, patience } from "../support/patience.ts";
import { answerUnder, suiteUnder, surroundings } from "../support/surroundings.ts";

setDefaultTimeout(120_000 * patience);

/** Not this file, which would start itself for ever, nor those that take long and are the same everywhere. */
const without = ["fallback.test.ts", "timeout.test.ts", "storm.test.ts"];
const files = readdirSync(import.meta.dir).filter((name) => name.endsWith(".test.ts") && !without.includes(name));
/** Where the same lines of the module are all that is run, those that take longest are left to one of the two. */
const quick = files.filter((name) => !["close.test.ts", "many.test.ts", "process.test.ts"].includes(name));
const few = [["harness.test.ts", "connect.test.ts"], 50] as const;
const places = surroundings(scratchDirectory());

describe.each([
  ["with BUN_URING_BACKEND=bun", places.variable, "bun", ...(isEmulated ? few : ([quick, 650] as const))],
  ["where a filter answers EPERM to io_uring", places.filter, "bun", ...(isEmulated ? few : ([files, 850] as const))],
  ["as nobody", places.nobody, "uring", ["harness.test.ts", "connect.test.ts", "close.test.ts", "write.test.ts"], 350],
] as const)("bun-uring/net %s", (_, where, backend, names, least) => {
  const declare = needsThat(where.missing === undefined, where.missing ?? "");

  declare(`says that it runs on ${backend}`, async () => {
    expect(await answerUnder(where, "src/net/index.ts", "backend()")).toBe(backend);
  });

  declare("does what Bun's own does", async () => {
    const { exitCode, failed, pass } = await suiteUnder(
      where,
      names.map((name) => `test/net/${name}`),
    );
    expect(failed).toEqual([]);
    expect(exitCode).toBe(0);
    expect(pass).toBeGreaterThan(least);
  });
});

/** The ways to receive that kernels older than this have, or may have. */
const ways = [
  ["bundles", "IORING_RECVSEND_BUNDLE"],
  ["buffers", "IORING_RECV_MULTISHOT"],
  ["readiness", "IORING_FEAT_FAST_POLL"],
] as const;

/** Whether the kernel has a way to receive. */
function has(way: Way): boolean {
  if (backend() === "bun") return false;
  const receives = new Receives(hub().reactor, way);
  receives.close();
  return receives.way === way;
}

describe("bun-uring/net", () => {
  for (const [way, name] of ways) {
    needsThat(has(way), `${name}, Linux ${firstKernel(name)}`)(
      `receiving by ${way} does what Bun's own does`,
      async () => {
        const preload = join(import.meta.dir, "programs", "way.ts");
        const env = { URING_TEST_BACKEND: "uring", URING_TEST_WAY: way, BUN_OPTIONS: `--preload=${preload}` };
        const { exitCode, failed, pass } = await suiteUnder({ missing: undefined, launcher: [], env }, [
          "test/net/edges.test.ts",
          "test/net/write.test.ts",
        ]);
        expect(failed).toEqual([]);
        expect(exitCode).toBe(0);
        expect(pass).toBeGreaterThan(200);
      },
    );
  }
});
