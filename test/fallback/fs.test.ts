/** `bun-uring/fs` where io_uring is refused, and for a user who may do nothing special: the same suite passes. */
import { describe, expect, setDefaultTimeout } from "bun:test";
import { scratchDirectory } from "../support/files.ts";
import { needsThat } from "../support/kernel.ts";
import { isEmulated, patience } from "../support/patience.ts";
import { answerUnder, suiteUnder, surroundings } from "../support/surroundings.ts";

setDefaultTimeout(120_000 * patience);

const short = ["test/fs/random.test.ts", "test/fs/shape.test.ts"];
/**
 * Test files, and how many tests there are more than. Bun's own compared with itself is no kernel's business, and all of
 * it has been tried there as root.
 */
const [files, least] = isEmulated ? ([short, 40] as const) : ([["test/fs/oracle.test.ts", ...short], 800] as const);
const places = surroundings(scratchDirectory());

describe.each([
  ["with BUN_URING_BACKEND=bun", places.variable, "bun"],
  ["where a filter answers EPERM to io_uring", places.filter, "bun"],
  ["as nobody", places.nobody, "uring"],
] as const)("bun-uring/fs %s", (_, where, backend) => {
  const declare = needsThat(where.missing === undefined, where.missing ?? "");

  declare(`says that it runs on ${backend}`, async () => {
    expect(await answerUnder(where, "src/fs/index.ts", "backend()")).toBe(backend);
  });

  declare("does what node:fs/promises does", async () => {
    const { exitCode, failed, pass, skip } = await suiteUnder(where, files);
    expect(failed).toEqual([]);
    expect([exitCode, skip]).toEqual([0, 0]);
    expect(pass).toBeGreaterThan(least);
  });
});
