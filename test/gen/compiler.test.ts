/** Sizes, offsets and values held against what the system's C compiler says of the same headers. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheFolder } from "../../gen/apt.ts";
import { constantsOf, factsOf, fieldOf, structsOf } from "../../gen/facts.ts";
import type { Facts } from "../../gen/facts.ts";
import { fromPath } from "../../gen/headers.ts";
import { readKernels } from "../../gen/project.ts";

const compiler = Bun.which("cc") ?? Bun.which("gcc") ?? Bun.which("clang");
const folder = mkdtempSync(join(tmpdir(), "bun-uring-gen-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Subject {
  readonly name: string;
  readonly include: string;
  readonly missing: string;
}

/** The system's headers, and those of every kernel that `bun run gen --check` has unpacked; nothing is fetched here. */
const subjects: Subject[] = [
  { name: "the system's headers", include: "/usr/include", missing: "no linux/io_uring.h in /usr/include" },
  ...(await readKernels()).map((facts) => ({
    name: facts.name,
    include: join(cacheFolder(), "include", facts.archive?.sha256 ?? "none"),
    missing: "not unpacked: `bun run gen --check` does it",
  })),
];

/** A C program that prints a line `key value` for everything in `facts`, and the key and value expected. */
function program(facts: Facts): { source: string; expected: Map<string, string> } {
  const expected = new Map<string, string>();
  const body: string[] = [];
  const ask = (key: string, expression: string, value: bigint | number): void => {
    expected.set(key, String(value));
    const signed = `printf("%s %lld\\n", "${key}", (long long)(${expression}))`;
    const unsigned = `printf("%s %llu\\n", "${key}", (unsigned long long)(${expression}))`;
    body.push(`if ((${expression}) < 0) ${signed}; else ${unsigned};`);
  };
  for (const [name, value] of constantsOf(facts)) ask(name, name, value);
  for (const [name, value] of Object.entries(facts.errno)) ask(name, name, BigInt(value));
  for (const [tag, struct] of structsOf(facts)) {
    const type = `struct ${tag}`;
    ask(`sizeof(${tag})`, `sizeof(${type})`, struct.size);
    ask(`alignof(${tag})`, `_Alignof(${type})`, struct.align);
    for (const field of struct.fields.map(fieldOf)) {
      const at = `((${type} *)0)->${field.name}`;
      ask(`${tag}.${field.name}`, `__builtin_offsetof(${type}, ${field.name})`, field.offset);
      if (!field.type.endsWith("[]")) ask(`${tag}.${field.name} width`, `sizeof(${at})`, field.width);
      if (field.stride !== null) ask(`${tag}.${field.name} stride`, `sizeof(${at}[0])`, field.stride);
    }
  }
  const headers = Object.keys(facts.files).map((file) => `#include <${file}>`);
  const source = [...headers, "#include <stdio.h>", "int main(void) {", ...body, "return 0; }"].join("\n");
  return { source, expected };
}

async function ask(include: string, name: string, source: string): Promise<Map<string, string>> {
  const file = join(folder, `${name}.c`);
  await Bun.write(file, source);
  const build = Bun.spawnSync([compiler ?? "", "-w", "-I", include, "-o", join(folder, name), file]);
  expect(build.stderr.toString()).toBe("");
  const lines = Bun.spawnSync([join(folder, name)])
    .stdout.toString()
    .trim()
    .split("\n");
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
}

describe("factsOf() agrees with the C compiler", () => {
  for (const [i, { name, include, missing }] of subjects.entries()) {
    const reason = compiler === null ? "no C compiler" : existsSync(join(include, "linux/io_uring.h")) ? null : missing;
    test.skipIf(reason !== null)(`factsOf() agrees on ${name}${reason === null ? "" : ` (${reason})`}`, async () => {
      const facts = factsOf(await fromPath(include));
      const { source, expected } = program(facts);
      expect(expected.size).toBeGreaterThan(400);
      const said = await ask(include, `facts${i}`, source);
      expect(Object.fromEntries(said)).toEqual(Object.fromEntries(expected));
    });
  }
});

const glibc = Bun.which("getconf") !== null && Bun.spawnSync(["getconf", "GNU_LIBC_VERSION"]).exitCode === 0;
const wordless = compiler === null ? "no C compiler" : glibc ? null : "the C library is not glibc";

test.skipIf(wordless !== null)(
  `messages.json says what strerror() says${wordless === null ? "" : ` (${wordless})`}`,
  async () => {
    const messages: Record<string, string> = await Bun.file(join(import.meta.dir, "../../gen/messages.json")).json();
    const newest = (await readKernels()).at(-1);
    const numbers = Object.keys(messages).flatMap((name) => newest?.errno[name] ?? []);
    const lines = numbers.map((n) => `printf("%d|%s\\n", ${n}, strerror(${n}));`);
    const source = `#include <stdio.h>\n#include <string.h>\nint main(void) {\n${lines.join("\n")}\nreturn 0; }`;
    const file = join(folder, "strerror.c");
    await Bun.write(file, source);
    Bun.spawnSync([compiler ?? "", "-o", join(folder, "strerror"), file]);
    const said = Bun.spawnSync([join(folder, "strerror")])
      .stdout.toString()
      .trim()
      .split("\n");
    const texts = new Map(said.map((line) => [line.split("|")[0], line.split("|")[1] ?? ""]));
    expect(texts.size).toBe(numbers.length);
    const wrong = Object.entries(messages).filter(([name, message]) => {
      const text = texts.get(String(newest?.errno[name])) ?? "";
      return text !== "" && !text.startsWith("Unknown error") && text.toLowerCase() !== message.toLowerCase();
    });
    expect(wrong).toEqual([]);
  },
);
