/** docs/operations.md: each operation with its first kernel, methods, manual pages and the tests that run it. */
import type { Operation } from "./operations.ts";
import type { Signature } from "./signatures.ts";

/** A test file: its path below the root, and its text. */
export interface TestSource {
  readonly path: string;
  readonly text: string;
}

/** The tests that run an operation on a real kernel: those that call one of its methods. */
export function testsOf(operation: Operation, tests: readonly TestSource[]): string[] {
  const calls = operation.prep.map(({ name }) => new RegExp(`\\.${name}\\(`));
  return tests.filter(({ text }) => calls.some((call) => call.test(text))).map(({ path }) => path);
}

/** Emits docs/operations.md, unformatted. */
export function emitCoverage(
  operations: readonly Operation[],
  signatures: readonly Signature[],
  tests: readonly TestSource[],
  first: string,
): string {
  const man = new Map(signatures.map((signature) => [signature.name, signature.man]));
  const rows = operations.map((operation) => {
    const methods = operation.prep.map(({ name }) => `\`${name}\``);
    const pages = [...new Set(operation.prep.map(({ name }) => man.get(name) ?? ""))];
    const files = testsOf(operation, tests).map((path) => `[${path.replace(/^test\//, "")}](../${path})`);
    const cells = [
      `\`${operation.name.replace("IORING_OP_", "")}\``,
      String(operation.opcode),
      operation.kernel,
      operation.description,
      methods.join(", "),
      pages.join(", "),
      files.join(", "),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [
    `<!-- ${first} -->`,
    "",
    "# Operations",
    "",
    `All ${operations.length} operations of the newest kernel known. The tests named run the operation on the kernel that`,
    "they find; what that kernel lacks they skip by name. The methods are described in [api.md](api.md), which kernels",
    "have what in [kernel-matrix.md](kernel-matrix.md).",
    "",
    "| operation | opcode | kernel | what it does | methods | manual | tests |",
    "| --- | --: | --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
