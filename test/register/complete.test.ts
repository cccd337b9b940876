/** docs/registrations.md against the constants, the methods, their documentation and the tests. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as library from "../../src/index.ts";
import { quirks, Ring } from "../../src/index.ts";

const root = join(import.meta.dir, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** The library's own sources of rings. */
const sources = readdirSync(join(root, "src/ring"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".gen.ts"))
  .map((path) => read(`src/ring/${path}`))
  .join("\n");

/** The generated constants, each doc comment on one line. */
const constants = read("src/abi/constants.gen.ts").replaceAll("\n */", " */").replaceAll("\n * ", " ");

/** The registrations that the header has, as the generated constants name them. */
const registrations = [
  ...constants.matchAll(/\/\*\* (.+) Register opcode\. @kernel (\d+\.\d+) \*\/\nexport const (IORING_\w+) = (\d+);/g),
]
  .map(([, description, kernel, name, value]) => ({
    name: name as string,
    kernel: kernel as string,
    description: description as string,
    value: Number(value),
  }))
  .filter(({ value }) => value < library.IORING_REGISTER_LAST);

/** The rows of a table, by the name in their first cell. */
function rowsOf(document: string, heading: string): Map<string, string[]> {
  const table = document.slice(document.indexOf(`| ${heading} `));
  const lines = table
    .slice(0, table.indexOf("\n\n") < 0 ? undefined : table.indexOf("\n\n"))
    .trim()
    .split("\n");
  const rows = lines.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return new Map(rows.map((row) => [(row[0] ?? "").replaceAll("`", ""), row]));
}

const document = read("docs/registrations.md");
const rows = rowsOf(document, "registration");

/** What a table's cell lists. */
const listed = (cell: string | undefined, pattern: RegExp): string[] =>
  [...(cell ?? "").matchAll(pattern)].map(([, item]) => item as string);

/** The doc comment of a method or function of rings: of several that with a manual page. */
function documentation(name: string): string {
  const comments = new RegExp(String.raw`/\*\*((?:(?!\*/)[\s\S])*)\*/\s*(?:export function )?${name}\(`, "g");
  const found = [...sources.matchAll(comments)].map(([, text]) => text as string);
  return found.find((text) => text.includes("@man")) ?? `${name} has no doc comment with a manual page`;
}

describe("docs/registrations.md", () => {
  test("has a row for each registration, and none for anything else", () => {
    expect(registrations.length).toBe(library.IORING_REGISTER_LAST);
    const names = registrations.map(({ name }) => name.replace("IORING_", ""));
    expect([...rows.keys()].toSorted()).toEqual(names.toSorted());
  });

  for (const { name, kernel, description, value } of registrations) {
    const row = rows.get(name.replace("IORING_", "")) ?? [];
    const [, opcode, since, what, methods, manual, tests] = row;

    test(`${name} is told as the header has it`, () => {
      expect([Number(opcode), since, what]).toEqual([value, kernel, description]);
    });

    test(`${name} has methods that use it and are documented`, () => {
      const names = listed(methods, /`(\w+)`/g);
      expect(names.length).toBeGreaterThan(0);
      for (const method of names) {
        const there = method in Ring.prototype || typeof (library as Record<string, unknown>)[method] === "function";
        expect([method, there]).toEqual([method, true]);
        expect(documentation(method)).toMatch(/@kernel \d+\.\d+/);
      }
      // Not only imported: used.
      expect(sources.match(new RegExp(String.raw`\b${name}\b`, "g"))?.length).toBeGreaterThan(1);
    });

    test(`${name} names the manual pages that its methods name`, () => {
      const pages = listed(methods, /`(\w+)`/g).map(
        (method) => /@man (\S+\(\d\))/.exec(documentation(method))?.[1] ?? "",
      );
      expect([...new Set(pages)]).toEqual(listed(manual, /(\w+\(\d\))/g));
    });

    test(`${name} is run by the tests that its row names`, () => {
      const files = listed(tests, /\]\(\.\.\/(\S+)\)/g);
      expect(files.length).toBeGreaterThan(0);
      expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
      // A test may leave what lasts for a process to a program of its own.
      const text = [...files, "test/register/apart.ts"].map(read).join("\n");
      const silent = listed(methods, /`(\w+)`/g).filter((method) => !new RegExp(`\\b${method}\\(`).test(text));
      expect(silent).toEqual([]);
    });
  }

  test("has a row for each defect that the library knows", () => {
    const told = rowsOf(document, "defect");
    expect([...told.keys()].toSorted()).toEqual(quirks.map((quirk) => quirk.name).toSorted());
    for (const { name, defect, kernels, source, remedy } of quirks) {
      expect(told.get(name)?.slice(1)).toEqual([defect, kernels, source, remedy]);
    }
  });
});
