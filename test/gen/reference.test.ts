// docs/api.md and docs/operations.md: what is public is found, described, and refused where it is not described.
import { describe, expect, test } from "bun:test";
import { emitCoverage, testsOf } from "../../gen/coverage.ts";
import type { Operation } from "../../gen/operations.ts";
import { emitReference } from "../../gen/reference.ts";

const library = [
  {
    path: "src/index.ts",
    text: 'export { Thing, make } from "./thing.ts";\nexport type { Shape } from "./thing.ts";\nexport * from "./all.ts";\n',
  },
  {
    path: "src/thing.ts",
    text: `import { Base } from "./base.ts";
/** A shape. */
export interface Shape {
  /** Its sides. */
  readonly sides: { left: number; right: number }[];
  /** Its name, if it has one. */
  name?: string;
}
/**
 * A thing, see {@link Shape}.
 *
 * @kernel 5.1
 */
export class Thing<T extends { a: number }> extends Base {
  /** How many. */
  count = 0;
  /** @internal Not for others. */
  secret = 1;
  #hidden = { a: 1 };
  /** @param a the first. @throws RangeError for no number. */
  constructor(a: number) {
    super();
    if (a !== a) throw new RangeError("}");
  }
  /**
   * Does it.
   *
   * @param how in which way: one
   * of two.
   * @returns what came of it.
   * @man io_uring_enter(2)
   */
  act(how: { fast: boolean }, other: () => void = () => {}): number {
    return how.fast ? this.#hidden.a : 0;
  }
  /** The same. */
  [Symbol.dispose](): void {}
  /** For heirs. */
  protected heir(): void {}
}
/** Makes one. */
export function make(a: number): Thing<{ a: number }> {
  return new Thing(a);
}
`,
  },
  {
    path: "src/base.ts",
    text: "/** The base. */\nexport class Base {\n  /** From the base. */\n  get below(): number { return 1; }\n  /** Hidden by the heir. */\n  act(): number { return 2; }\n}\n",
  },
];

/** The part of the page below a heading. */
function section(page: string, heading: string): string {
  const [, rest] = page.split(`${heading}\n`);
  return (rest as string).split(/\n#+ /)[0] as string;
}

describe("emitReference()", () => {
  const page = emitReference(library, "first");

  test("lists every named export in the index's order, and nothing else", () => {
    expect(page.match(/^## .*$/gm)).toEqual(["## Thing", "## make", "## Shape"]);
    expect(page.startsWith("<!-- first -->\n")).toBe(true);
  });

  test("lists public members, those of the base after the class's own, and each once", () => {
    expect(page.match(/^### Thing.*$/gm)).toEqual([
      "### Thing.count",
      "### Thing.constructor",
      "### Thing.act",
      "### Thing.[Symbol.dispose]",
      "### Thing.below",
    ]);
    expect(page.match(/^### Shape.*$/gm)).toEqual(["### Shape.sides", "### Shape.name"]);
  });

  test("writes signatures up to the body, object types and defaults included", () => {
    expect(section(page, "## Thing")).toContain("class Thing<T extends { a: number }> extends Base\n```");
    expect(section(page, "### Thing.act")).toContain(
      "act(how: { fast: boolean }, other: () => void = () => {}): number\n",
    );
    expect(section(page, "### Shape.sides")).toContain("readonly sides: { left: number; right: number }[]\n");
    expect(section(page, "## make")).toContain("function make(a: number): Thing<{ a: number }>\n");
  });

  test("turns tags into a list and links into code", () => {
    expect(section(page, "## Thing")).toContain("A thing, see `Shape`.\n\n- _Kernel_ 5.1\n");
    const act = section(page, "### Thing.act");
    expect(act).toContain(
      "Does it.\n\n- `how`: in which way: one of two.\n- Returns what came of it.\n- _Manual_ io_uring_enter(2)",
    );
    expect(section(page, "### Thing.constructor")).toContain(
      "```\n\n- `a`: the first.\n- Throws RangeError for no number.",
    );
  });

  test("refuses an export that is not there or says nothing of itself", () => {
    const index = { path: "src/index.ts", text: 'export { gone } from "./thing.ts";' };
    expect(() => emitReference([index, library[1] as never], "first")).toThrow("there is no gone");
    const mute = { path: "src/thing.ts", text: "export function gone(): void {}" };
    expect(() => emitReference([index, mute], "first")).toThrow("gone has no doc comment");
    expect(() => emitReference([mute], "first")).toThrow("src/index.ts is missing");
  });
});

const operation = {
  name: "IORING_OP_READ",
  opcode: 22,
  kernel: "5.6",
  description: "Reads.",
  prep: [{ name: "prepRead", parameters: [], helper: null }],
} as unknown as Operation;

describe("testsOf()", () => {
  test("finds the tests that call a method, and not those that call a longer one", () => {
    const tests = [
      { path: "test/kernel/a.test.ts", text: "ring.prepRead(fd, buffer, 0);" },
      { path: "test/kernel/b.test.ts", text: "ring.prepReadFixed(fd, buffer, 0, 0);" },
    ];
    expect(testsOf(operation, tests)).toEqual(["test/kernel/a.test.ts"]);
    const row = emitCoverage([operation], [], tests, "first").split("\n").at(-2);
    expect(row).toContain("| `READ` | 22 | 5.6 | Reads. | `prepRead` |");
    expect(row).toContain("[kernel/a.test.ts](../test/kernel/a.test.ts)");
  });
});

test("every operation has a method, golden bytes or a reason, and a test that runs it", async () => {
  const { operations } = (await import("../../operations.json")).default as unknown as { operations: Operation[] };
  const paths = [...new Bun.Glob("test/{kernel,register,ring}/**/*.test.ts").scanSync(`${import.meta.dir}/../..`)];
  const tests = await Promise.all(
    paths.map(async (path) => ({ path, text: await Bun.file(`${import.meta.dir}/../../${path}`).text() })),
  );
  const { vectors } = (await import("../conformance/sqe.json")).default as { vectors: { helper: string }[] };
  const golden = new Set(vectors.map(({ helper }) => `io_uring_prep_${helper}`));
  // liburing has no helper for it, so it has no bytes to compare with; its kernel test has to do.
  const withoutHelper = new Set(["IORING_OP_RECV_ZC"]);
  const faults = operations.flatMap((each) => [
    ...(each.prep.length === 0 ? [`${each.name} has no method`] : []),
    ...(testsOf(each, tests).length === 0 ? [`${each.name} is run by no test`] : []),
    ...(withoutHelper.has(each.name) || each.prep.some(({ helper }) => helper !== null && golden.has(helper))
      ? []
      : [`${each.name} has no golden bytes`]),
  ]);
  expect(operations.length).toBeGreaterThanOrEqual(65);
  expect(faults).toEqual([]);
});
