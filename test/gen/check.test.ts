/** The command itself, on a copy of the project: what it finds, what it says, and how it ends. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readKernels, ROOT } from "../../gen/project.ts";

const folder = mkdtempSync(join(tmpdir(), "bun-uring-check-"));
const copy = join(folder, "project");
afterAll(() => rmSync(folder, { recursive: true }));

const PARTS = [
  "gen",
  "src/abi",
  "src",
  "operations.json",
  "docs/kernel-matrix.md",
  "bunfig.toml",
  "package.json",
  "test/matrix/measured.json",
];

/** A copy that is in order, whatever the work tree is in the middle of; every test changes a copy of it. */
const pristine = join(folder, "pristine");

beforeAll(async () => {
  for (const part of [...PARTS, "README.md"].filter((p) => existsSync(join(ROOT, p)))) {
    cpSync(join(ROOT, part), join(pristine, part), { recursive: true });
  }
  cpSync(pristine, copy, { recursive: true });
  expect(await gen([])).toMatchObject({ code: 0, err: "" });
  for (const part of readdirSync(copy)) cpSync(join(copy, part), join(pristine, part), { recursive: true });
});

beforeEach(() => {
  rmSync(copy, { recursive: true, force: true });
  cpSync(pristine, copy, { recursive: true });
});

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the generator in the copy. Its PATH and cache are empty unless given, so that no archive is reached. */
async function gen(args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  const child = Bun.spawn([process.execPath, "gen/emit.ts", ...args], {
    cwd: copy,
    env: { PATH: folder, XDG_CACHE_HOME: join(folder, "cache"), HOME: folder, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

function edit(path: string, change: (text: string) => string): void {
  const before = readFileSync(join(copy, path), "utf8");
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(join(copy, path), after);
}

describe("emit.ts --check", () => {
  test("emit.ts --check finds what emit.ts made, and says that it was alone", async () => {
    const { code, out, err } = await gen(["--check", "--offline"]);
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toBe("gen/facts was not held against headers (--offline)\n");
  });

  test("emit.ts --check says in one line that the archive cannot be reached, and goes on", async () => {
    const { code, out, err } = await gen(["--check"]);
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toMatch(/^gen\/facts was not held against the headers of 5\.10, .*: this machine has no apt-get\n$/);
  });

  test.each([
    "src/abi/constants.gen.ts",
    "src/abi/layout.gen.ts",
    "src/abi/errno.gen.ts",
    "src/ring/builders.gen.ts",
    "src/async/operations.gen.ts",
    "operations.json",
    "docs/kernel-matrix.md",
  ])("emit.ts --check names %s when a digit of it was changed, and emit.ts restores it", async (path) => {
    const original = readFileSync(join(copy, path), "utf8");
    edit(path, (text) => text.replace(/(?<=\n.*)\d(?=\D*$)/, (d) => String((Number(d) + 1) % 10)));
    const { code, err } = await gen(["--check", "--offline"]);
    expect(code).toBe(1);
    expect(err).toBe(`${path}: differs from what is generated: run \`bun run gen\`\n`);
    expect((await gen([])).out).toBe(`${path}: written\n`);
    expect(readFileSync(join(copy, path), "utf8")).toBe(original);
  });

  test("emit.ts --check names a generated file that is gone", async () => {
    rmSync(join(copy, "operations.json"));
    const { code, err } = await gen(["--check", "--offline"]);
    expect(code).toBe(1);
    expect(err).toBe("operations.json: does not exist: run `bun run gen`\n");
  });

  test("emit.ts --check follows a changed prep function into builders and operations.json", async () => {
    const prep = "src/ring/prep/extra.ts";
    writeFileSync(
      join(copy, prep),
      'import { IORING_OP_NOP } from "../../abi/constants.gen.ts";\nimport type { Slot } from "./slot.ts";\n/** X. @kernel 5.1 @man x(3) */\nexport function prepExtra(sqe: Slot, a = 0): void {\n  sqe.write(IORING_OP_NOP, -1, 0, 0, a, 0);\n}\n',
    );
    const { code, err } = await gen(["--check", "--offline"]);
    expect(code).toBe(1);
    expect(err).toContain("src/ring/builders.gen.ts: differs");
    expect(err).toContain("operations.json: differs");
    edit(prep, (text) => text.replace("@kernel 5.1", "@kernel 4.9"));
    const older = await gen(["--check", "--offline"]);
    expect(older.code).toBe(1);
    expect(older.err).toContain("extra.ts: prepExtra: says @kernel 4.9, but IORING_OP_NOP is new in 5.1");
  });

  test("emit.ts --check names every hand-written list that lacks a name or has one too many", async () => {
    edit("gen/notes.json", (text) => text.replace('"IORING_SETUP_IOPOLL"', '"IORING_SETUP_GHOST"'));
    edit("gen/since.json", (text) => text.replace('"IORING_OP_NOP"', '"IORING_OP_GHOST"'));
    edit("gen/operations.json", (text) => text.replace('"IORING_OP_READV"', '"IORING_OP_SPECTRE"'));
    const { code, err } = await gen(["--check", "--offline"]);
    expect(code).toBe(1);
    expect(err.trim().split("\n").toSorted()).toEqual([
      "IORING_OP_GHOST: in gen/since.json, in no header",
      "IORING_OP_NOP: gen/since.json has no first kernel; the headers say 5.10 or before",
      "IORING_OP_READV: gen/operations.json lacks it",
      "IORING_OP_SPECTRE: in gen/operations.json, in no header",
      "IORING_SETUP_GHOST: in gen/notes.json, in no header",
      "IORING_SETUP_IOPOLL: gen/notes.json has no sentence for it",
    ]);
  });

  test("emit.ts --check asks a README for its markers", async () => {
    writeFileSync(join(copy, "README.md"), "# Nothing\n");
    const { code, err } = await gen(["--check", "--offline"]);
    expect(code).toBe(1);
    expect(err).toContain("README.md has no <!-- gen:kernels -->");
    writeFileSync(join(copy, "README.md"), "# A\n\n<!-- gen:kernels -->\n<!-- /gen:kernels -->\n");
    expect((await gen([])).out).toBe("README.md: written\n");
    expect((await gen(["--check", "--offline"])).code).toBe(0);
    expect(readFileSync(join(copy, "README.md"), "utf8")).toContain("| 7.3 ");
  });
});

describe("emit.ts with headers", () => {
  const include = join(folder, "include");
  const version = "#define LINUX_VERSION_CODE 459520\n"; // 7.3.0

  /** A folder of headers that says the same as 7.3's facts, apart from one struct and one constant. */
  function writeHeaders(text: string): void {
    mkdirSync(join(include, "linux"), { recursive: true });
    writeFileSync(join(include, "linux/version.h"), version);
    writeFileSync(join(include, "linux/io_uring.h"), text);
  }

  test("emit.ts --check --header holds the committed facts against those headers", async () => {
    writeHeaders(
      "enum io_uring_op { IORING_OP_NOP = 1 };\nstruct io_uring_cqe { __u64 user_data; __s32 res; __u32 flags; };",
    );
    const { code, err } = await gen(["--check", "--header", join(include, "linux/io_uring.h")]);
    expect(code).toBe(1);
    expect(err).toContain("gen/facts/7.3.json: differs from the headers:");
    expect(err).toContain("~ IORING_OP_NOP = 1, was 0");
    expect(err).toContain("- big_cqe");
  });

  test("emit.ts --header reads a kernel's facts in, and --diff tells what it brings", async () => {
    writeHeaders("enum io_uring_op { IORING_OP_NOP };");
    rmSync(join(copy, "gen/facts"), { recursive: true });
    const { out, err } = await gen(["--header", include]);
    expect(out).toBe("gen/facts/7.3.json: the headers of Linux 7.3.0\n");
    // Far too little for the project's lists, which is said.
    expect(err).toContain("IORING_OP_READ: in gen/since.json, in no header");
    expect((await gen(["--diff", "7.3", include])).out).toBe(`${include} brings nothing over 7.3\n`);
    const gone = await gen(["--diff", "7.3", "7.9"]);
    expect(gone.code).toBe(1);
    expect(gone.err).toBe("7.9 is neither a path nor one of 7.3\n");
  });

  test("emit.ts --diff tells what 7.3 brings over 7.2", async () => {
    const { code, out } = await gen(["--diff", "7.2", "7.3"]);
    expect(code).toBe(0);
    expect(out).toContain("  + BLOCK_URING_CMD_ZONE_RESET_ALL = 4609");
    expect(out).toContain("+ struct zcrx_ctrl_add_area, 48 bytes");
  });

  test.each([
    [["--nonsense"], "--nonsense"],
    [["7.2"], "unexpected 7.2"],
    [["--diff", "7.2"], "--diff takes two kernels"],
    [["--header", "/nowhere"], "there is no linux/io_uring.h in /nowhere"],
  ])("emit.ts %j ends with 1 and says why", async (args, message) => {
    const { code, err } = await gen(args);
    expect(code).toBe(1);
    expect(err).toContain(message);
  });
});

const helper = "/usr/lib/apt/apt-helper";

describe("emit.ts with an archive", () => {
  const bin = join(folder, "bin");
  const archive = join(folder, "archive");

  /** An archive in a folder, to which a stand-in for apt-get points; downloads go through the real apt. */
  async function serve(content: string): Promise<void> {
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "apt-get"), `#!/bin/sh\nprintf 'copy:${archive}/\\tstable\\tDebian\\n'\n`, { mode: 0o755 });
    for (const facts of await readKernels()) {
      const file = join(archive, facts.archive?.file ?? "none");
      mkdirSync(join(file, ".."), { recursive: true });
      writeFileSync(file, content);
    }
  }

  test.skipIf(!existsSync(helper))(
    `emit.ts --check refuses a package whose SHA-256 is another (needs ${helper})`,
    async () => {
      await serve("not a package");
      const { code, err } = await gen(["--check"], { PATH: `${bin}:/usr/bin:/bin` });
      expect(code).toBe(1);
      expect(err).toMatch(/linux-libc-dev_\S+: SHA-256 is [0-9a-f]{64}, should be [0-9a-f]{64}/);
    },
  );

  test.skipIf(!existsSync(helper))(
    `emit.ts --check reports packages that have left the archive (needs ${helper})`,
    async () => {
      await serve("x");
      rmSync(archive, { recursive: true });
      const { code, out } = await gen(["--check"], { PATH: `${bin}:/usr/bin:/bin` });
      expect(code).toBe(0);
      expect(out).toContain("7.3: the package cannot be had: ");
      expect(out).not.toContain("agrees");
    },
  );
});
