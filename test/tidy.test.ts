/**
 * The house's rules, held by reading its files. Each rule is also shown something bad, so that none is a rule that
 * cannot be broken.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import * as docs from "./tidy/docs.ts";
import * as project from "./tidy/project.ts";
import * as rules from "./tidy/rules.ts";
import { type Finding, type Rule, type Source, sourceOf } from "./tidy/source.ts";

const top = resolve(import.meta.dir, "..");

/** The project's files: what git has or would take; without git whatever is there and is not made by a tool. */
function projectFiles(): string[] {
  const git =
    Bun.which("git") === null ? null : Bun.spawnSync(["git", "ls-files", "-zco", "--exclude-standard"], { cwd: top });
  const listed =
    git?.exitCode === 0 ? String(git.stdout).split("\0") : [...new Bun.Glob("**").scanSync({ cwd: top, dot: true })];
  const made = /^(node_modules|dist|coverage|\.git)\/|\.(tgz|log)$/;
  return [...new Set(listed)].filter((path) => path !== "" && !made.test(path) && existsSync(join(top, path))).sort();
}

const paths = projectFiles();
const sources: readonly Source[] = await Promise.all(
  paths
    // Data of megabytes has no prose in it, and no code.
    .filter((path) => statSync(join(top, path)).size < 2 ** 20)
    .map(async (path) => sourceOf(path, await Bun.file(join(top, path)).text())),
);
const typescript = sources.filter(({ path }) => path.endsWith(".ts"));
const surface: docs.Surface = {
  published: new Set(sources.filter(({ path }) => path === "src/index.ts").flatMap(docs.reexported)),
  documented: new Set(typescript.filter(({ path }) => rules.isLibrary(path)).flatMap(docs.documentedMembers)),
};

/** What a rule finds in a piece of text that stands in a file. */
function show(rule: Rule, path: string, text: string): Finding[] {
  return rule(sourceOf(path, text));
}

test("the files that the rules are about have been found", () => {
  const wanted = [
    "src/index.ts",
    "syscall/shim.ts",
    "src/memory.ts",
    "gen/emit.ts",
    "test/tidy.test.ts",
    "package.json",
  ];
  expect(paths).toEqual(expect.arrayContaining(wanted));
  expect(surface.published).toContain("Ring");
});

/** Runs a rule over the files and expects it to find nothing. */
function holds(rule: Rule, files: readonly Source[] = typescript): void {
  expect(files.length).toBeGreaterThan(0);
  expect(files.flatMap(rule)).toEqual([]);
}

describe("a room uses only those above it", () => {
  test("in the project", () => holds(rules.keepsToItsRooms));

  test.each([
    ["src/abi/errno.gen.ts", "../errors.ts"],
    ["src/errors.ts", "./memory.ts"],
    ["syscall/shim.ts", "../src/memory.ts"],
    ["src/memory.ts", "./ring/ring.ts"],
    ["src/ring/prep/rw.ts", "../ring.ts"],
    ["src/ring/ring.ts", "../async/reactor.ts"],
    ["src/async/reactor.ts", "../fs/handle.ts"],
    ["src/fs/handle.ts", "../net/listen.ts"],
    ["src/ring/ring.ts", "../index.ts"],
    ["src/ring/ring.ts", "../../gen/types.ts"],
    ["src/ring/ring.ts", "bun-uring"],
    ["src/ring/ring.ts", "mitata"],
    ["gen/emit.ts", "../src/ring/ring.ts"],
    ["examples/cat.ts", "../src/ring/ring.ts"],
    ["bench/nop.ts", "../src/ring/ring.ts"],
    ["bench/nop.ts", "../test/support/kernel.ts"],
    ["examples/cat.ts", "mitata"],
  ])("%s may not import %s", (path, module) => {
    expect(show(rules.keepsToItsRooms, path, `import { x } from "${module}";`)).toHaveLength(1);
    expect(show(rules.keepsToItsRooms, path, `import type { X } from "${module}";`)).toHaveLength(1);
    expect(show(rules.keepsToItsRooms, path, `export * from "${module}";`)).toHaveLength(1);
    expect(show(rules.keepsToItsRooms, path, `const x = await import("${module}");`)).toHaveLength(1);
  });

  test.each([
    ["src/memory.ts", "../syscall/shim.ts"],
    ["src/ring/ring.ts", "./prep/rw.ts"],
    ["src/ring/ring.ts", "node:fs"],
    ["src/net/listen.ts", "../async/reactor.ts"],
    ["src/index.ts", "./fs/index.ts"],
    ["examples/cat.ts", "bun-uring"],
    ["bench/nop.ts", "mitata"],
    ["bench/nop.ts", "./harness.ts"],
    ["test/tidy.test.ts", "../gen/typescript.ts"],
  ])("%s may import %s", (path, module) => {
    expect(show(rules.keepsToItsRooms, path, `import { x } from "${module}";`)).toEqual([]);
  });

  test("and a file of src/ stands in a room", () => {
    expect(show(rules.keepsToItsRooms, "src/helpers.ts", "")).toHaveLength(1);
    expect(show(rules.keepsToItsRooms, "src/attic/old.ts", "")).toHaveLength(1);
  });
});

describe("imports name their files in full", () => {
  test("in the project", () => holds(rules.importsWithExtension));

  test("./memory is not enough", () => {
    expect(show(rules.importsWithExtension, "src/x.ts", 'import { x } from "./memory";')).toHaveLength(1);
    expect(show(rules.importsWithExtension, "src/x.ts", 'import { x } from "./memory.js";')).toHaveLength(1);
  });
});

describe("bun:ffi stays in its doors", () => {
  test("in the project", () => holds(rules.keepsToTheDoors));

  test("and is seen elsewhere, however it is imported", () => {
    const module = ["bun", "ffi"].join(":");
    for (const text of [
      `import { ptr } from "${module}"`,
      `import "${module}"`,
      `await import("${module}")`,
      `require("${module}")`,
    ]) {
      expect(show(rules.keepsToTheDoors, "src/ring/ring.ts", text)).toHaveLength(1);
      expect(show(rules.keepsToTheDoors, "src/memory.ts", text)).toEqual([]);
    }
  });
});

describe("generated files say so", () => {
  test("in the project", () => {
    expect(paths.some((path) => path.endsWith(".gen.ts"))).toBe(true);
    holds(rules.saysThatItIsGenerated);
  });

  test("in their first line, and only they", () => {
    const line = "// Code generated by gen/emit.ts from linux/io_uring.h, 7.1, sha256 00. DO NOT EDIT.";
    expect(show(rules.saysThatItIsGenerated, "src/abi/a.gen.ts", `${line}\n`)).toEqual([]);
    expect(show(rules.saysThatItIsGenerated, "src/abi/a.gen.ts", `\n${line}\n`)).toHaveLength(1);
    expect(show(rules.saysThatItIsGenerated, "src/abi/a.gen.ts", "export const a = 1;")).toHaveLength(1);
    expect(show(rules.saysThatItIsGenerated, "src/abi/a.ts", line)).toHaveLength(1);
  });
});

describe("margin words stand above what they explain", () => {
  test("in the project", () => holds(rules.explainsInTheMargin));

  test.each([
    ["Ordering", "Atomics.store(words, 0, tail);"],
    ["Ordering", "const head = Atomics.load(words, 0);"],
    ["Lifetime", "return ptr(view);"],
    ["Lifetime", "const all = toArrayBuffer(address, 0, 64);"],
  ])("// %s: above %s", (word, line) => {
    const find = (text: string): Finding[] => show(rules.explainsInTheMargin, "src/ring/x.ts", text);
    expect(find(line)).toHaveLength(1);
    expect(find(`// Why: for a reason.\n${line}`)).toHaveLength(1);
    expect(find(`// ${word}: too far away.\n\n${line}`)).toHaveLength(1);
    expect(find(`// ${word}: for a reason.\n${line}`)).toEqual([]);
    expect(find(`// ${word}: for a reason,\n// in two lines.\nlet a = 1;\n${line}`)).toEqual([]);
  });
});

describe("workarounds name the test that says when they can go", () => {
  const check = (source: Source): Finding[] => rules.workaroundsNameTheirTest(source, (path) => paths.includes(path));

  test("in the library", () => {
    expect(sources.some(({ text }) => text.includes("// Bun:"))).toBe(true);
    holds(check);
  });

  test("one that does not is found", () => {
    const text = (comment: string): Source =>
      sourceOf("src/memory.ts", `  // Bun: it moves;\n  // ${comment}\n  f();\n`);
    expect(check(text("see elsewhere."))).toHaveLength(1);
    expect(check(text("test/nowhere.test.ts says when this can go."))).toHaveLength(1);
    expect(check(text("test/tidy.test.ts says when this can go."))).toEqual([]);
  });
});

describe("everything public has a doc comment", () => {
  const check = (source: Source): Finding[] => docs.documentsWhatIsPublic(source, surface);

  test("in the library", () =>
    holds(
      check,
      typescript.filter(({ path }) => rules.isLibrary(path)),
    ));

  const find = (text: string, published: string[] = [], documented: string[] = []): Finding[] =>
    docs.documentsWhatIsPublic(sourceOf("src/ring/x.ts", text), {
      published: new Set(published),
      documented: new Set(documented),
    });

  test.each([
    "export const a = 1;",
    "export function a(): void {}",
    "export async function* a(): AsyncGenerator<void> {}",
    "export type A = string;",
    "export interface A {}",
    "export abstract class A {}",
    "// Not a doc comment.\nexport const a = 1;",
    "/** Of something else. */\nconst b = 1;\nexport const a = 1;",
  ])("%s has none", (text) => {
    expect(find(text)).toHaveLength(1);
    expect(find(`/** What it is. */\n${text.slice(text.indexOf("export"))}`)).toEqual([]);
  });

  test.each([
    "a = 1;",
    "readonly a: number;",
    "static a: { b: number } = { b: 1 };",
    "constructor() {}",
    "async a(): Promise<{ b: number }> {}",
    "get a(): number { return 1; }",
    "*[Symbol.iterator](): Iterator<number> {}",
    "[Symbol.dispose](): void {}",
    "protected a(): void {}",
  ])("a class's member %s has none", (member) => {
    const around = (inside: string): string =>
      `/** A. */\nexport class A<T extends { x: 1 }> extends B<T> {\n${inside}\n}`;
    expect(find(around(member))).toHaveLength(1);
    expect(find(around(`/** B. */\nb(): void {\n}\n${member}\n/** C. */\nc(): void {\n}`))).toHaveLength(1);
    expect(find(around(`/** What it is. */\n${member}`))).toEqual([]);
  });

  test("private, overriding and implementing members need none, nor do later overloads", () => {
    const inside = [
      "#a = 1;",
      "private b(): void {}",
      "private constructor() {}",
      "static { f(); }",
      "override readonly c: string;",
      "static readonly #d = { e: 1 };",
      "get #f(): number { return 1; }",
    ];
    for (const member of inside) expect(find(`/** A. */\nexport class A {\n${member}\n}`)).toEqual([]);
    const overloads = "/** A. */\nexport function a(x: 1): 1;\nexport function a(x: 2): 2;";
    expect(find(overloads)).toEqual([]);
    const pair = "/** B. */\nget b(): number { return 1; }\nset b(to: number) { f(to); }";
    expect(find(`/** A. */\nexport class A {\n${pair}\n}`)).toEqual([]);
    const implementing = "/** A. */\nexport class A implements Z, Located {\nreadonly address: number;\n}";
    expect(find(implementing, [], ["Located.address"])).toEqual([]);
    expect(find(implementing, [], ["Other.address", "Located.length"])).toHaveLength(1);
  });

  test("members of interfaces need one where users can import them", () => {
    const text = "/** A. */\nexport interface A {\n/** B. */\nb: number;\nc?: { d: number };\n}";
    expect(find(text, ["A"])).toHaveLength(1);
    expect(find(text)).toEqual([]);
    expect(docs.documentedMembers(sourceOf("src/x.ts", text))).toEqual(["A.b"]);
    const index = 'export { Ring, type Probe } from "./a.ts";\nexport type { Memory } from "./b.ts";';
    expect(docs.reexported(sourceOf("src/index.ts", index))).toEqual(["Ring", "Probe", "Memory"]);
  });
});

describe("default exports, enums and namespaces are not used", () => {
  test("in the project", () => holds(rules.avoidsWhatIsForbidden));

  test.each([
    "export default 1;",
    "export default function f() {}",
    "enum A { B }",
    "export enum A { B }",
    "const enum A { B }",
    "let x = 1;\nnamespace A { }",
    "export namespace A { }",
    "declare module A { }",
  ])("%s", (text) => {
    expect(show(rules.avoidsWhatIsForbidden, "src/x.ts", text)).toHaveLength(1);
  });

  test("their names in other places are nothing", () => {
    const text = 'const s = "export default"; // enum A {\nconst o = { default: 1, module: 2 }; f(o.default);';
    expect(show(rules.avoidsWhatIsForbidden, "src/x.ts", text)).toEqual([]);
  });
});

describe("files have 600 lines at most and functions 70", () => {
  test("in the project", () => {
    holds(rules.isNotTooLong, sources);
    holds(rules.hasShortFunctions);
  });

  test("a file of 601 lines is too long, a generated one is not", () => {
    expect(show(rules.isNotTooLong, "src/x.ts", "a;\n".repeat(600))).toEqual([]);
    expect(show(rules.isNotTooLong, "src/x.ts", "a;\n".repeat(601))).toHaveLength(1);
    expect(show(rules.isNotTooLong, "syscall/x.c", "a;\n".repeat(601))).toHaveLength(1);
    expect(show(rules.isNotTooLong, "src/x.gen.ts", "a;\n".repeat(601))).toEqual([]);
  });

  test.each([
    "function f() {",
    "export async function f(a: { b: 1 }): Promise<void> {",
    "class A {\nm(): number {",
    "class A {\nconstructor(a: number) {",
    "const f = (a: number): void => {",
    "f(async () => {",
    "for (;;) {",
  ])("a function of 71 lines is too long: %s", (head) => {
    const text = (lines: number): string => {
      const opened = head.split("{").length - head.split("}").length;
      return `${head}\n${"a;\n".repeat(lines - 2)}}${head.startsWith("f(") ? ")" : ""}${"}".repeat(opened - 1)}`;
    };
    expect(show(rules.hasShortFunctions, "src/x.ts", text(70))).toEqual([]);
    expect(show(rules.hasShortFunctions, "src/x.ts", text(71))).toHaveLength(1);
  });

  test.each(["class A<T> extends B {", "export interface A {", "type A = {", "const a = {", "f({"])(
    "%s may be longer",
    (head) => {
      const text = `${head}\n${"a;\n".repeat(100)}}${head.startsWith("f(") ? ")" : ""}`;
      expect(show(rules.hasShortFunctions, "src/x.ts", text)).toEqual([]);
    },
  );

  test("a group of tests may be longer, a test may not", () => {
    const group = `describe("x", () => {\n${'test("y", () => {\nz();\n});\n'.repeat(40)}});`;
    expect(show(rules.hasShortFunctions, "test/x.test.ts", group)).toEqual([]);
    expect(show(rules.hasShortFunctions, "src/x.ts", group)).toHaveLength(1);
    expect(show(rules.hasShortFunctions, "test/x.test.ts", `test("x", () => {\n${"a;\n".repeat(80)}});`)).toHaveLength(
      1,
    );
  });
});

describe("nothing is skipped without a reason", () => {
  test("in the project", () => holds(rules.skipsWithAReason));

  const find = (text: string): Finding[] => show(rules.skipsWithAReason, "test/x.test.ts", text);

  test.each([
    'test.only("x (needs y)", f);',
    'describe.only("x", f);',
    'test.skip("x", f);',
    'test.todo("x");',
    'it.failing("IORING_OP_NOP", f);',
    'test.skipIf(old)("x", f);',
    'test.if(fresh)("x on 6.1", f);',
    'describe.skipIf(a(b))("x", f);',
    'test.skipIf(a).each([[1, "needs"]])("x %d", f);',
    'const some = test.skipIf(a);\nsome("x", f);',
  ])("%s", (text) => {
    expect(find(text)).toHaveLength(1);
  });

  test.each([
    'test.skip("x (IORING_OP_LISTEN, Linux 6.11)", f);',
    'test.todo("waits for 6.19 and IORING_SETUP_SQE_MIXED");',
    'test.skipIf(a)("x (needs root)", f);',
    'test.skipIf(a)(`x${reason === null ? "" : ` (${reason})`}`, f);',
    'test.skipIf(a).each([1])("x %d (needs root)", f);',
    'const some = test.skipIf(a);\nsome("x (needs root)", f);',
    'test.skipIf(a)(needsCompiler("x"), f);',
    'test.skipIf(has("IORING_OP_LISTEN"))("is refused before 6.11", f);',
    "cqe.skip(1); iterator.only(); regex.test(a);",
  ])("%s is fine", (text) => {
    expect(find(text)).toEqual([]);
  });
});

describe("no words of the workplace, no registry's host name, no machine's paths", () => {
  test("in the project", () => holds(docs.keepsTheWorkplaceOut, sources));

  test.each([
    ["/wor", "k/main/src"],
    ["see /ro", "ot/.cache"],
    ['"/hom', 'e/someone/x"'],
    ["../shar", "ed/facts/bun.md"],
    ["in shar", "ed/style.md"],
    ["https://regis", "try.example.com"],
    ["www.npm", "js.com"],
    ["http://deb.deb", "ian.org"],
    ["asked for by iss", "ue 2"],
    ["iss", "ues show"],
    ["in the next sess", "ion"],
    ["written by Clau", "de"],
  ])("%s%s is found", (...pieces) => {
    for (const path of ["src/x.ts", "README.md", ".ci/run"]) {
      const text = pieces.join("");
      expect(show(docs.keepsTheWorkplaceOut, path, path.endsWith(".ts") ? `// ${text}` : text)).toHaveLength(1);
    }
  });

  test.each([
    "oven-sh/bun#12345 is a report",
    "the session id of a socket",
    "memory that is shared",
    ["a", "b and ${folder}", "x"].join(["", "work", ""].join("/")),
    "/usr/include/linux/io_uring.h",
    "for the registry.",
  ])("%s is not", (text) => {
    expect(show(docs.keepsTheWorkplaceOut, "README.md", text)).toEqual([]);
  });
});

describe("package.json keeps its promises", () => {
  const good = {
    type: "module",
    engines: { bun: ">=1.4.0" },
    exports: { ".": { types: "./dist/src/index.d.ts", default: "./src/index.ts" }, "./package.json": "./package.json" },
    files: ["src", "dist"],
    devDependencies: { mitata: "1", "bun-types": "1", "@types/node": "1" },
  };
  const exists = (path: string): boolean => ["src", "src/index.ts", "package.json"].includes(path);

  test("in the project", async () => {
    const manifest = (await Bun.file(join(top, "package.json")).json()) as project.Manifest;
    expect(project.manifestKeepsItsPromises(manifest, (path) => existsSync(join(top, path)))).toEqual([]);
  });

  test("a good one passes", () => {
    expect(project.manifestKeepsItsPromises(good, exists)).toEqual([]);
  });

  test.each([
    ["dependencies", {}],
    ["peerDependencies", { typescript: "5" }],
    ["optionalDependencies", { x: "1" }],
    ["os", ["linux"]],
    ["cpu", ["x64"]],
    ["devDependencies", { mitata: "1", "bun-types": "1" }],
    ["devDependencies", { ...good.devDependencies, typescript: "7" }],
    ["type", "commonjs"],
    ["engines", { bun: ">=1.3.0" }],
    ["engines", undefined],
    ["exports", {}],
    ["exports", { ".": "./src/main.ts" }],
    ["exports", { ".": { types: "./dist/src/main.d.ts", default: "./src/index.ts" } }],
    ["files", ["src", "lib"]],
  ])("one whose %s is %p does not", (field, value) => {
    expect(project.manifestKeepsItsPromises({ ...good, [field]: value }, exists)).toHaveLength(1);
  });
});

describe("the top level is as designed", () => {
  test("in the project", () => expect(project.topLevelIsAsDesigned(paths)).toEqual([]));

  test("a stranger and a missing file are found", () => {
    const found = project.topLevelIsAsDesigned([...paths.filter((path) => path !== "bunfig.toml"), "scripts/x.ts"]);
    expect(found).toEqual(expect.arrayContaining(["scripts: is not part of the design", "bunfig.toml: is missing"]));
  });
});

describe("every example explains itself", () => {
  const examples = project.examplesIn(paths);

  test("examples have been found", () => {
    expect(examples).toEqual(expect.arrayContaining(["cat", "cp", "echoserver"]));
    const files = ["examples/a.ts", "examples/b/index.ts", "examples/b/part.ts", "examples/c/other.ts", "src/d.ts"];
    expect(project.examplesIn(files)).toEqual(["a", "b"]);
  });

  test.each(examples)("bun run examples/%s --help", (name) => {
    const { exitCode, stdout } = Bun.spawnSync([process.execPath, "run", `examples/${name}`, "--help"], { cwd: top });
    expect(project.explainsItself(name, exitCode, String(stdout))).toEqual([]);
  });

  test("one that does not is found", () => {
    expect(project.explainsItself("cat", 0, "Usage: cat FILE...\n  --help  this text")).toEqual([]);
    expect(project.explainsItself("cat", 1, "Usage: cat FILE...\n  --help  this text")).toHaveLength(1);
    expect(project.explainsItself("cat", 0, "cat: --help: No such file")).toHaveLength(1);
    expect(project.explainsItself("cat", 0, "")).toHaveLength(1);
  });
});

describe("every benchmark is in the registry", () => {
  const isBench = ({ path }: Source): boolean => /^bench\/[a-z]+\.ts$/.test(path);
  const registry = sources.find(({ path }) => path === "bench/run.ts");

  test("in the project", () => {
    if (registry === undefined) throw new Error("bench/run.ts is missing");
    expect(sources.filter(isBench).flatMap(project.benchmarksIn).length).toBeGreaterThan(0);
    expect(project.registryIsComplete(registry, sources.filter(isBench))).toEqual([]);
  });

  test("one that is not is found", () => {
    const run = sourceOf("bench/run.ts", 'import { a } from "./a.ts";\nimport { b } from "./b.ts";\nawait main([a]);');
    const a = sourceOf("bench/a.ts", "export const a: Bench = {};");
    const b = sourceOf("bench/b.ts", "export const b: Bench = {};\nconst c: Bench = {};");
    expect(project.registryIsComplete(run, [a])).toEqual([]);
    expect(project.registryIsComplete(run, [a, b])).toEqual(["bench/b.ts: b is not in bench/run.ts"]);
  });
});
