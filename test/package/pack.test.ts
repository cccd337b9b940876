/**
 * The package as a user gets it: packed, installed from the tarball into an empty project, imported, and type-checked
 * by a consumer with the strictest settings and Node's module rules. What has to be fetched for packing is TypeScript,
 * which writes the declarations; without it (and without a registry to get it from) the types are not tested.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const project = resolve(import.meta.dir, "../..");
const bun = process.execPath;
const scripts = ((await Bun.file(join(project, "package.json")).json()) as { scripts: Record<string, string> }).scripts;
const typescript = /typescript@[\d.]+/.exec(scripts["prepack"] ?? "")?.[0] ?? "typescript";
const scratch = mkdtempSync(join(tmpdir(), "uring-package-"));
const consumer = join(scratch, "consumer");
const installed = join(consumer, "node_modules/bun-uring");

const hasCompiler = run([bun, "x", "--silent", "-p", typescript, "tsc", "--version"], scratch).exitCode === 0;

function run(command: string[], cwd: string): { exitCode: number | null; output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd });
  return { exitCode, output: `${stdout}${stderr}` };
}

function succeed(command: string[], cwd: string): string {
  const { exitCode, output } = run(command, cwd);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}: ${output}`);
  return output;
}

/** The project's files without its history and what is installed: packing writes a folder, and not into the project. */
function copyOfProject(): string {
  const copy = join(scratch, "project");
  const left = new Set([".git", "node_modules", "dist", "bench", "test", "gen"]);
  for (const name of readdirSync(project).filter((entry) => !left.has(entry))) {
    cpSync(join(project, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(project, "node_modules"), join(copy, "node_modules"));
  return copy;
}

beforeAll(() => {
  const pack = [bun, "pm", "pack", "--quiet", "--filename", join(scratch, "bun-uring.tgz")];
  succeed(hasCompiler ? pack : [...pack, "--ignore-scripts"], copyOfProject());
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ name: "consumer", type: "module", private: true }));
  // No registry is needed, because nothing is depended on; a cache of its own shows that none was used.
  const env = { ...process.env, BUN_INSTALL_CACHE_DIR: join(scratch, "cache"), npm_config_registry: "http://[::1]:9" };
  const { exitCode, stderr } = Bun.spawnSync([bun, "add", join(scratch, "bun-uring.tgz")], { cwd: consumer, env });
  if (exitCode !== 0) throw new Error(`bun add exited with ${exitCode}: ${stderr}`);
}, 120_000);

afterAll(() => rmSync(scratch, { recursive: true }));

describe("the packed package", () => {
  test("holds what runs, what explains it and what types it, and nothing else", () => {
    const files = [...new Bun.Glob("**").scanSync({ cwd: installed, dot: true })];
    expect(files).toEqual(
      expect.arrayContaining([
        "package.json",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "src/index.ts",
        "syscall/shim.c",
      ]),
    );
    const parts = new Set(files.filter((path) => path.includes("/")).map((path) => path.split("/")[0]));
    expect([...parts].sort()).toEqual(hasCompiler ? ["dist", "docs", "src", "syscall"] : ["docs", "src", "syscall"]);
  });

  test("is installed alone", () => {
    expect(readdirSync(join(consumer, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["bun-uring"]);
  });

  test("makes a ring in the project that installed it", () => {
    const program = `
      import { Ring, UringError } from "bun-uring";
      using ring = new Ring(4);
      ring.prepNop().userData(77);
      ring.submitAndWait(1);
      const cqe = ring.peekCqe();
      console.log(JSON.stringify([cqe?.userData, cqe?.res, new UringError(-125, "IORING_OP_READ").code]));`;
    writeFileSync(join(consumer, "program.ts"), program);
    expect(JSON.parse(succeed([bun, "program.ts"], consumer))).toEqual([77, 0, "ECANCELED"]);
    expect(JSON.parse(succeed([bun, "--no-ffi-cc", "program.ts"], consumer))).toEqual([77, 0, "ECANCELED"]);
  });

  test("can be bundled by the project that installed it", () => {
    succeed([bun, "build", "--target", "bun", "--outfile", "bundle.js", "program.ts"], consumer);
    const away = join(scratch, "away");
    mkdirSync(away);
    cpSync(join(consumer, "bundle.js"), join(away, "bundle.js"));
    expect(JSON.parse(succeed([bun, "bundle.js"], away))).toEqual([77, 0, "ECANCELED"]);
  });
});

/** What a consumer's compiler is told: Node's way to resolve, everything strict, declarations checked as well. */
const settings = {
  compilerOptions: {
    module: "nodenext",
    target: "esnext",
    lib: ["esnext"],
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
  },
  include: ["typed.ts"],
};

/** Uses that have to compile, and, marked, some that must not. */
const typed = `
  import { Ring, UringError, type RingOptions } from "bun-uring";
  const options: RingOptions = { singleIssuer: true };
  const ring = new Ring(8, options);
  const buffer = new Uint8Array(64);
  ring.prepRead(0, buffer, 0).userData(7).link();
  const submitted: number = ring.submitAndWait(1);
  for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
    const res: number = cqe.res;
    if (res < 0) throw cqe.error("IORING_OP_READ");
  }
  const code: string = new UringError(-1, "io_uring_setup").code;
  // @ts-expect-error A ring has a number of entries.
  new Ring("8");
  // @ts-expect-error There is no such operation.
  ring.prepNothing();
  // @ts-expect-error A descriptor is a number.
  ring.prepRead("0", buffer, 0);
  // @ts-expect-error There is no such option.
  const wrong: RingOptions = { singleissuer: true };
  console.log(submitted, code, wrong);
`;

describe.skipIf(!hasCompiler)("the packed types (needs TypeScript from a registry or the cache)", () => {
  beforeAll(() => {
    writeFileSync(join(consumer, "typed.ts"), typed);
    writeFileSync(join(consumer, "tsconfig.json"), JSON.stringify(settings));
    for (const name of ["@types/node", "undici-types"]) {
      cpSync(join(project, "node_modules", name), join(consumer, "node_modules", name), { recursive: true });
    }
  });

  test("are there for everything that the package exports", () => {
    const text = JSON.stringify(
      JSON.parse(succeed([bun, "-p", 'JSON.stringify(require("bun-uring/package.json").exports)'], consumer)),
    );
    const types = [...text.matchAll(/"types":"\.\/([^"]+)"/g)].map(([, path]) => path as string);
    expect(types.length).toBeGreaterThan(0);
    for (const path of types) expect(existsSync(join(installed, path))).toBe(true);
  });

  test("satisfy a strict consumer with Node's module rules, under tsc and under bun check", () => {
    expect(succeed([bun, "x", "--silent", "-p", typescript, "tsc", "-p", "."], consumer)).toBe("");
    expect(succeed([bun, "check"], consumer)).toContain("No type errors");
  });

  test("say no where a use is wrong", () => {
    const unmarked = typed.replaceAll("@ts-expect-error", "Wrong:");
    writeFileSync(join(consumer, "typed.ts"), unmarked);
    const { exitCode, output } = run([bun, "x", "--silent", "-p", typescript, "tsc", "-p", "."], consumer);
    expect(exitCode).not.toBe(0);
    expect(output.match(/^typed\.ts\(\d+,\d+\): error TS\d+/gm)).toHaveLength(4);
    expect(output.match(/error TS/g)).toHaveLength(4);
  });
});

describe("package.json", () => {
  test("is refused by no system", async () => {
    const manifest = (await Bun.file(join(installed, "package.json")).json()) as Record<string, unknown>;
    expect(Object.keys(manifest)).not.toContain("os");
    expect(Object.keys(manifest)).not.toContain("cpu");
    expect(manifest["engines"]).toEqual({ bun: ">=1.4.0" });
  });

  test.each([
    ["darwin", "arm64"],
    ["win32", "x64"],
  ])("installs on %s and %s", (os, cpu) => {
    const there = join(scratch, `on-${os}`);
    mkdirSync(there);
    writeFileSync(join(there, "package.json"), "{}");
    succeed([bun, "add", `--os=${os}`, `--cpu=${cpu}`, join(scratch, "bun-uring.tgz")], there);
    expect(existsSync(join(there, "node_modules/bun-uring/src/index.ts"))).toBe(true);
  });
});
