/** Rules about the project as a whole: its manifest, its top level, its examples and benchmarks. */
import { type Finding, reads, type Source, tokenAt } from "./source.ts";

/** What package.json is read as here. */
export type Manifest = Readonly<Record<string, unknown>>;

const developmentOnly = ["@types/node", "bun-types", "mitata"];
const forbiddenFields = [
  "dependencies",
  "peerDependencies",
  "optionalDependencies",
  "bundleDependencies",
  "bundledDependencies",
  "os",
  "cpu",
];

/**
 * The package depends on nothing, is built with three things and installs anywhere; what it exports and ships exists.
 *
 * @param exists whether the project has a file or folder.
 */
export function manifestKeepsItsPromises(manifest: Manifest, exists: (path: string) => boolean): Finding[] {
  const found: Finding[] = [];
  const say = (what: string): void => void found.push(`package.json: ${what}`);
  for (const field of forbiddenFields) if (field in manifest) say(`has ${field}`);
  const development = Object.keys(record(manifest["devDependencies"])).sort();
  if (development.join() !== developmentOnly.join()) say(`devDependencies are ${development.join(", ") || "none"}`);
  if (manifest["type"] !== "module") say("is not a module");
  const range = String(record(manifest["engines"])["bun"]).replace(/\s/g, "");
  if (range !== ">=1.4.0") say(`engines.bun is ${range}`);
  const { files } = manifest;
  for (const path of Array.isArray(files) ? (files as string[]) : []) {
    if (!path.startsWith("dist") && !exists(path)) say(`ships ${path}, which does not exist`);
  }
  const exported = targets(manifest["exports"]);
  if (exported.length === 0) say("exports nothing");
  for (const target of exported) {
    // Types are made at pack time, each from the source of the same name.
    const source = target.replace(/^\.\/dist\/(.*)\.d\.ts$/, "./$1.ts");
    if (!exists(source.slice(2))) say(`exports ${target}, which does not exist`);
  }
  return found;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** Every path in an exports map. */
function targets(exported: unknown): string[] {
  return typeof exported === "string" ? [exported] : Object.values(record(exported)).flatMap(targets);
}

const required = [
  ".ci/run",
  ".gitignore",
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "bench/run.ts",
  "bun.lock",
  "bunfig.toml",
  "docs/architecture.md",
  "package.json",
  "src/index.ts",
  "tsconfig.json",
];
const topLevel = ["CONTRIBUTING.md", "bench", "docs", "examples", "gen", "operations.json", "src", "syscall", "test"];

/** The top level holds what it should and nothing else. */
export function topLevelIsAsDesigned(paths: readonly string[]): Finding[] {
  const allowed = new Set([...topLevel, ...required.map((path) => path.split("/")[0])]);
  const strangers = new Set(paths.map((path) => path.split("/")[0] ?? "").filter((top) => !allowed.has(top)));
  const missing = required.filter((path) => !paths.includes(path));
  return [
    ...[...strangers].map((path) => `${path}: is not part of the design`),
    ...missing.map((path) => `${path}: is missing`),
  ];
}

/** The programs in examples/: what `bun run examples/NAME` finds. */
export function examplesIn(paths: readonly string[]): string[] {
  const names = paths.map((path) => /^examples\/([\w-]+)(?:\.ts|\/index\.ts)$/.exec(path)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** What an example answers to `--help`: how it is called, on its output, as a success. */
export function explainsItself(name: string, exitCode: number | null, output: string): Finding[] {
  if (exitCode !== 0) return [`examples/${name}: --help exits with ${exitCode}`];
  const tells = /usage/i.test(output) && output.includes(name) && output.includes("--help");
  return tells ? [] : [`examples/${name}: --help does not say how it is called`];
}

/** The benchmarks that a file exports: `export const NAME: Bench`. */
export function benchmarksIn(source: Source): string[] {
  return source.tokens.flatMap((_, i) => {
    const is = reads(source, i, "export", "const") && reads(source, i + 3, ":", "Bench");
    return is ? [tokenAt(source, i + 2).text] : [];
  });
}

/** Every benchmark is in the registry, so that `bun run bench --smoke` runs it. */
export function registryIsComplete(registry: Source, others: readonly Source[]): Finding[] {
  const call = registry.tokens.findIndex((_, i) => reads(registry, i, "main", "("));
  const listed = registry.tokens.slice(call, registry.closing.get(call + 1)).map(({ text }) => text);
  return others.flatMap((other) =>
    benchmarksIn(other)
      .filter((name) => call < 0 || !listed.includes(name))
      .map((name) => `${other.path}: ${name} is not in ${registry.path}`),
  );
}
