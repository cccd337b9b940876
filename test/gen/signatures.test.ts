/** The reader of prep functions, and the delegates made from what it reads. */
import { describe, expect, test } from "bun:test";
import { delegateDoc, emitBuilders, parameterList } from "../../gen/builders.ts";
import { format } from "../../gen/output.ts";
import { ROOT } from "../../gen/project.ts";
import { readSignatures } from "../../gen/signatures.ts";
import type { Signature } from "../../gen/signatures.ts";
import { tokenizeTs } from "../../gen/typescript.ts";

const HEAD = `
/** What the file is about. */
import { IORING_OP_READ, IORING_OP_CLOSE } from "../../abi/constants.gen.ts";
import { addressOf, type Memory } from "../../memory.ts";
import type { FileOffset, Slot } from "./slot.ts";
`;

function read(text: string, file: string = "t.ts"): Signature[] {
  return readSignatures([{ file, text: HEAD + text }]);
}

function one(text: string): Signature {
  const [signature, ...rest] = read(text);
  if (!signature || rest.length > 0) throw new Error("expected one signature");
  return signature;
}

const DOC = "/** Reads. @kernel 5.6 @man io_uring_prep_read(3) */";
const BODY = "{ sqe.write(IORING_OP_READ); }";

describe("readSignatures() reads", () => {
  test("readSignatures() reads name, parameters, tags, helper, opcode and types", () => {
    const signature = one(
      `${DOC}\nexport function prepRead(sqe: Slot, fd: number, buf: Memory, offset: FileOffset, nbytes?: number): void ${BODY}`,
    );
    expect(signature).toMatchObject({
      name: "prepRead",
      kernel: "5.6",
      man: "io_uring_prep_read(3)",
      helper: "io_uring_prep_read",
      opcodes: ["IORING_OP_READ"],
      doc: DOC,
    });
    expect(signature.parameters).toEqual([
      { name: "fd", type: "number", optional: false },
      { name: "buf", type: "Memory", optional: false },
      { name: "offset", type: "FileOffset", optional: false },
      { name: "nbytes", type: "number", optional: true },
    ]);
    expect([...signature.types]).toEqual([
      ["Memory", "../../memory.ts"],
      ["FileOffset", "./slot.ts"],
    ]);
  });

  test("readSignatures() makes defaults optional and infers their types", () => {
    const list = parameterList(
      one(`${DOC}\nexport function prepRead(
        sqe: Slot,
        flags = 0, // a note, with a comma
        low = -1,
        long = 0n,
        text = "a,b",
        on = true,
        stated: number | null = null,
      ): void ${BODY}`),
    );
    expect(list).toBe(
      "flags?: number, low?: number, long?: bigint, text?: string, on?: boolean, stated?: number | null",
    );
  });

  test("readSignatures() keeps types with brackets, commas and arrows whole", () => {
    const list = parameterList(
      one(
        `${DOC}\nexport function prepRead(sqe: Slot, a: Map<string, [number, bigint]>, b: { x: number, y?: Memory }, c: (n: number, m: string) => void): void ${BODY}`,
      ),
    );
    expect(list).toBe(
      "a: Map<string, [number, bigint]>, b: { x: number, y?: Memory }, c: (n: number, m: string) => void",
    );
  });

  test("readSignatures() finds opcodes through the functions that a prep function calls, also across files", () => {
    const base = `${HEAD}
      function shared(sqe: Slot): void { sqe.write(IORING_OP_READ); }
      ${DOC}
      export function prepA(sqe: Slot): void { shared(sqe); }`;
    const other = `${HEAD}
      ${DOC}
      export function prepB(sqe: Slot): void { prepA(sqe); }
      ${DOC}
      export function prepC(sqe: Slot, op: number): void { sqe.write(op); }`;
    const found = readSignatures([
      { file: "a.ts", text: base },
      { file: "b.ts", text: other },
    ]);
    expect(found.map((s) => [s.name, s.opcodes])).toEqual([
      ["prepA", ["IORING_OP_READ"]],
      ["prepB", ["IORING_OP_READ"]],
      ["prepC", []],
    ]);
  });

  test("readSignatures() is not misled by strings, templates, comments and regular expressions", () => {
    const signature = one(`
      // export function prepGhost(): void {}
      const noise = \`} \${{ a: "{" }.a + \`inner }\`} export function prepGhost(\`;
      ${DOC}
      export function prepRead(sqe: Slot, a: number): void {
        const brace = "}" + '{' + /[}/]\\}/.source + 4 / 2 / 1;
        if (brace) { sqe.write(IORING_OP_READ); }
      }`);
    expect(signature.name).toBe("prepRead");
  });

  test("readSignatures() has no helper where the man page is another", () => {
    expect(
      one(`/** X. @kernel 6.0 @man io_uring_enter(2) */ export function prepX(sqe: Slot): void ${BODY}`).helper,
    ).toBeNull();
  });

  test("readSignatures() passes over files without prep functions", () => {
    expect(readSignatures([{ file: "slot.ts", text: "export class Slot { prepare(): void {} }" }])).toEqual([]);
  });
});

describe("readSignatures() refuses", () => {
  test.each([
    ["no doc comment", `export function prepX(sqe: Slot): void ${BODY}`, "has no doc comment"],
    ["no @kernel", `/** X. @man a(3) */ export function prepX(sqe: Slot): void ${BODY}`, "has no @kernel tag"],
    [
      "a malformed @kernel",
      `/** X. @kernel v6 @man a(3) */ export function prepX(sqe: Slot): void ${BODY}`,
      "has no @kernel tag",
    ],
    ["no @man", `/** X. @kernel 5.6 */ export function prepX(sqe: Slot): void ${BODY}`, "has no @man tag"],
    [
      "a malformed @man",
      `/** X. @kernel 5.6 @man read */ export function prepX(sqe: Slot): void ${BODY}`,
      "has no @man tag",
    ],
    ["no slot", `${DOC} export function prepX(fd: number): void ${BODY}`, "does not take the slot first"],
    ["a result", `${DOC} export function prepX(sqe: Slot): number ${BODY}`, "returns number"],
    ["no stated result", `${DOC} export function prepX(sqe: Slot) ${BODY}`, "returns nothing stated"],
    [
      "an untyped parameter",
      `${DOC} export function prepX(sqe: Slot, fd): void ${BODY}`,
      "a parameter without a type: fd",
    ],
    [
      "a default that says no type",
      `${DOC} export function prepX(sqe: Slot, f = FLAGS): void ${BODY}`,
      "a parameter without a type: f",
    ],
    ["destructuring", `${DOC} export function prepX(sqe: Slot, { a }: A): void ${BODY}`, "not a plain name"],
    ["rest arguments", `${DOC} export function prepX(sqe: Slot, ...a: number[]): void ${BODY}`, "not a plain name"],
    [
      "a required parameter after an optional one",
      `${DOC} export function prepX(sqe: Slot, a = 0, b: number): void ${BODY}`,
      "required parameter after an optional one: b",
    ],
    ["a generic function", `${DOC} export function prepX<T>(sqe: Slot, a: T): void ${BODY}`, "has type parameters"],
    ["an overload", `${DOC} export function prepX(sqe: Slot): void;`, "has an overload or no body"],
    ["an async function", `${DOC} export async function prepX(sqe: Slot): void ${BODY}`, "is async"],
    ["a constant", `${DOC} export const prepX = (sqe: Slot): void => {};`, "is a constant"],
    ["no opcode", `${DOC} export function prepX(sqe: Slot): void { sqe.write(1); }`, "names no IORING_OP_ constant"],
  ])("readSignatures() names file, line and function: %s", (_, text, message) => {
    expect(() => read(text)).toThrow(
      new RegExp(`^t\\.ts:\\d+: prepX .*${message.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`),
    );
  });

  test("readSignatures() names a function that two files declare", () => {
    const text = `${HEAD}${DOC} export function prepX(sqe: Slot): void ${BODY}`;
    const files = ["a.ts", "b.ts"].map((file) => ({ file, text }));
    expect(() => readSignatures(files)).toThrow(/^b\.ts:\d+: prepX is declared twice$/);
  });

  test("tokenizeTs() names what it cannot read", () => {
    expect(() => tokenizeTs("let a = 1;\n\u00a7", "t.ts")).toThrow("t.ts:2: cannot read");
  });
});

describe("emitBuilders() emits", () => {
  const text = `
    /**
     * Reads.
     *
     * @param sqe the slot
     * @param fd the file
     * @kernel 5.6
     * @man io_uring_prep_read(3)
     */
    export function prepRead(sqe: Slot, fd: number, buf: Memory, flags = 0): void ${BODY}`;

  test("emitBuilders() emits a delegate that passes every argument on", async () => {
    const out = await format("src/ring/builders.gen.ts", emitBuilders(read(text, "rw.ts"), "FIRST LINE"), ROOT);
    expect(out.split("\n")[0]).toBe("// FIRST LINE");
    expect(out).toContain('import type { Memory } from "../memory.ts";');
    expect(out).toContain('import { prepRead } from "./prep/rw.ts";');
    expect(out).toContain(
      [
        "  prepRead(fd: number, buf: Memory, flags?: number): Sqe {",
        "    prepRead(this.claim(), fd, buf, flags);",
        "    return this.commit();",
        "  }",
      ].join("\n"),
    );
  });

  test("emitBuilders() leaves nothing behind when a prep function throws: commit comes after it", () => {
    const out = emitBuilders(read(text), "x");
    expect(out.indexOf("prepRead(this.claim()")).toBeLessThan(out.indexOf("return this.commit()"));
  });

  test("delegateDoc() drops what concerns the slot", () => {
    const doc = delegateDoc(one(text));
    expect(doc).not.toContain("@param sqe");
    expect(doc).toContain("@param fd the file");
  });

  test("emitBuilders() refuses two types of one name", () => {
    const other = `${HEAD.replace("../../memory.ts", "../../other.ts")}${DOC} export function prepY(sqe: Slot, m: Memory): void ${BODY}`;
    const signatures = readSignatures([
      { file: "a.ts", text: HEAD + text },
      { file: "b.ts", text: other },
    ]);
    expect(() => emitBuilders(signatures, "x")).toThrow("two types are both called Memory");
  });
});
