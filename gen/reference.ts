/** docs/api.md: what the package exports, from the sources' own doc comments and signatures. */
import { posix } from "node:path";
import { tokenizeTs } from "./typescript.ts";
import type { TsToken } from "./typescript.ts";

/** A source file of the library: its path below the root, and its text. */
export interface LibrarySource {
  readonly path: string;
  readonly text: string;
}

/** A declaration or a class's member: how it is written up to its body, and its doc comment. */
interface Entry {
  readonly name: string;
  readonly head: string;
  readonly doc: string;
  readonly members: readonly Entry[];
  /** What a class extends. */
  readonly base: string | null;
}

/** A file as far as it matters here. */
interface Module {
  readonly path: string;
  readonly entries: ReadonlyMap<string, Entry>;
  /** Where an imported name comes from: the path of the file. */
  readonly imports: ReadonlyMap<string, string>;
}

const DECLARATIONS = new Set(["class", "function", "interface", "const", "type"]);
const MODIFIERS = new Set(["async", "readonly", "static", "get", "set", "abstract", "override", "declare", "accessor"]);

/**
 * Emits docs/api.md, unformatted.
 * @throws Error for an export that has no doc comment or cannot be found.
 */
export function emitReference(sources: readonly LibrarySource[], first: string): string {
  const modules = new Map(sources.map((source) => [source.path, readModule(source)]));
  const index = sources.find((source) => source.path === "src/index.ts");
  if (!index) throw new Error("src/index.ts is missing: what is public is told there");
  const lines = [
    `<!-- ${first} -->`,
    "",
    "# API reference",
    "",
    "Every export of `bun-uring` but the constants: those of io_uring are in [kernel-matrix.md](kernel-matrix.md) under the",
    "kernel's own names, error numbers are `E*`, and those of other headers (`AF_*`, `MSG_*`, `STATX_*`, ...) are named as",
    "in C. _Kernel_ is the first mainline release that has what is described.",
    "",
  ];
  const bases = new Map<Entry, string>();
  for (const { path, names } of exportsOf(index.text)) {
    const module = modules.get(path);
    if (!module) throw new Error(`src/index.ts: ${path} is not there`);
    for (const name of names) {
      const entry = module.entries.get(name);
      if (!entry) throw new Error(`${path}: there is no ${name}, which src/index.ts exports`);
      lines.push(...describeEntry(entry, module, modules, bases));
    }
  }
  return lines.join("\n");
}

/** The files and names that the index exports one by one. */
function exportsOf(text: string): { path: string; names: string[] }[] {
  return [...text.matchAll(/export (?:type )?\{([^}]*)\} from "\.\/([^"]+)"/g)].map(([, names = "", file = ""]) => ({
    path: posix.join("src", file),
    names: names
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
  }));
}

/** @param bases what classes are based on, with the first of them, under which its members are told: once. */
function describeEntry(
  entry: Entry,
  module: Module,
  modules: ReadonlyMap<string, Module>,
  bases: Map<Entry, string>,
): string[] {
  const lines = [`## ${entry.name}`, "", "```ts", entry.head, "```", "", ...prose(entry, module.path)];
  const told = new Set<string>();
  let base: { entry: Entry; module: Module } | null = { entry, module };
  while (base !== null) {
    const teller = bases.get(base.entry);
    if (teller !== undefined) {
      lines.push(`And what \`${teller}\` has from \`${base.entry.name}\`.`, "");
      break;
    }
    if (base.entry !== entry) bases.set(base.entry, entry.name);
    for (const member of base.entry.members) {
      if (told.has(member.name)) continue;
      told.add(member.name);
      lines.push(`### ${entry.name}.${member.name}`, "", "```ts", member.head, "```", "");
      lines.push(...prose(member, base.module.path));
    }
    base = baseOf(base.entry, base.module, modules);
  }
  return lines;
}

/** The class that a class extends, where it is one of the library's. */
function baseOf(
  entry: Entry,
  module: Module,
  modules: ReadonlyMap<string, Module>,
): { entry: Entry; module: Module } | null {
  if (entry.base === null) return null;
  const path = module.imports.get(entry.base) ?? module.path;
  const other = modules.get(path);
  const found = other?.entries.get(entry.base);
  return found && other ? { entry: found, module: other } : null;
}

/** A doc comment as Markdown: the text, then its tags as a list. */
function prose(entry: Entry, path: string): string[] {
  const text = entry.doc
    .replace(/^\/\*\*|\*\/$/g, "")
    .replace(/^[ \t]*\* ?/gm, "")
    .replace(/\{@link ([^}]+)\}/g, "`$1`")
    .trim();
  if (text === "") throw new Error(`${path}: ${entry.name} has no doc comment`);
  const tags = text.split(/(?<=\s)(?=@(?:param|returns|throws|kernel|man)\b)/);
  const lines = tags[0]?.startsWith("@") === true ? [] : [(tags.shift() ?? "").trim(), ""];
  for (const tag of tags) {
    const [, kind = "", rest = ""] = /^@(\w+)\s*([\s\S]*)$/.exec(tag.trim()) ?? [];
    lines.push(`- ${tagText(kind, rest.replace(/\s+/g, " ").trim())}`);
  }
  if (tags.length > 0) lines.push("");
  return lines;
}

function tagText(kind: string, rest: string): string {
  switch (kind) {
    case "param": {
      const [name = "", ...words] = rest.split(" ");
      return `\`${name}\`: ${words.join(" ")}`;
    }
    case "returns":
      return `Returns ${rest}`;
    case "throws":
      return `Throws ${rest}`;
    case "kernel":
      return `_Kernel_ ${rest}`;
    default:
      return `_Manual_ ${rest}`;
  }
}

function readModule({ path, text }: LibrarySource): Module {
  const tokens = tokenizeTs(text, path);
  const entries = new Map<string, Entry>();
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i]?.text !== "export") continue;
    let at = i + 1;
    while (["abstract", "async", "declare"].includes(tokens[at]?.text ?? "")) at++;
    if (!DECLARATIONS.has(tokens[at]?.text ?? "")) continue;
    const entry = readDeclaration(tokens, i, at, text);
    // An interface that the index exports beside a value of the same name would be a second entry; none is.
    if (!entries.has(entry.name)) entries.set(entry.name, entry);
  }
  const imports = new Map<string, string>();
  for (const [, names = "", file = ""] of text.matchAll(/import (?:type )?\{([^}]*)\} from "(\.[^"]+)"/g)) {
    for (const name of names.split(",")) {
      imports.set(name.replace("type ", "").trim(), posix.join(posix.dirname(path), file));
    }
  }
  return { path, entries, imports };
}

function readDeclaration(tokens: readonly TsToken[], start: number, keyword: number, text: string): Entry {
  const kind = tokens[keyword]?.text;
  const name = tokens[keyword + 1]?.text ?? "";
  const doc = tokens[start]?.comment ?? "";
  const end = headEnd(tokens, keyword + 1, kind === "type");
  const head = slice(text, tokens, start, end);
  if (kind !== "class" && kind !== "interface") return { name, head, doc, members: [], base: null };
  const base = baseName(tokens.slice(keyword, end));
  return { name, head, doc, members: readMembers(tokens, end, text), base };
}

/** What stands after `extends` in a class's head, type parameters left out. */
function baseName(head: readonly TsToken[]): string | null {
  let depth = 0;
  for (const [i, { text }] of head.entries()) {
    if (depth === 0 && text === "extends") return head[i + 1]?.text ?? null;
    if (text === "<") depth++;
    else if (text === ">") depth--;
  }
  return null;
}

/** The token at which a declaration's body, value or end begins. */
function headEnd(tokens: readonly TsToken[], from: number, isType: boolean): number {
  let depth = 0;
  for (let i = from; i < tokens.length; i++) {
    const token = tokens[i]?.text ?? "";
    if (depth === 0 && (token === ";" || (!isType && (token === "=" || (token === "{" && opensBody(tokens, i)))))) {
      return i;
    }
    // In a declaration's head, angle brackets hold types; nothing is compared there.
    if ("([{<".includes(token)) depth++;
    else if (")]}>".includes(token)) depth--;
  }
  return tokens.length;
}

/** Whether a brace begins a body rather than an object type: types stand after these. */
function opensBody(tokens: readonly TsToken[], at: number): boolean {
  return ![":", "|", "&", "<", ",", "=>", "("].includes(tokens[at - 1]?.text ?? "");
}

/** The public members between the braces that open at `open`. */
function readMembers(tokens: readonly TsToken[], open: number, text: string): Entry[] {
  const members: Entry[] = [];
  const end = closing(tokens, open);
  for (let i = open + 1; i < end;) {
    const last = headEnd(tokens, i, false);
    const next = memberEnd(tokens, last, end);
    const member = readMember(tokens, i, last, text);
    if (member !== null && !members.some((other) => other.name === member.name)) members.push(member);
    i = next + 1;
  }
  return members;
}

function readMember(tokens: readonly TsToken[], start: number, end: number, text: string): Entry | null {
  const doc = tokens[start]?.comment ?? "";
  let at = start;
  while (MODIFIERS.has(tokens[at]?.text ?? "") && !["(", ":", "?", "="].includes(tokens[at + 1]?.text ?? "")) at++;
  const name = tokens[at]?.text ?? "";
  if (name.startsWith("#") || name === "private" || name === "protected" || doc.includes("@internal")) return null;
  // What implements or overrides a documented member needs no words of its own; neither does an undocumented dispose.
  if (doc === "") return null;
  const symbol = name === "[" ? text.slice(tokens[at]?.start, tokens[at + 4]?.end) : name;
  return { name: symbol, head: slice(text, tokens, start, end), doc, members: [], base: null };
}

/** The last token of a member whose head ends at `at`. */
function memberEnd(tokens: readonly TsToken[], at: number, end: number): number {
  if (tokens[at]?.text === "{") return closing(tokens, at);
  let depth = 0;
  for (let i = at; i < end; i++) {
    const token = tokens[i]?.text ?? "";
    if (depth === 0 && token === ";") return i;
    if ("([{".includes(token)) depth++;
    else if (")]}".includes(token)) depth--;
  }
  return end;
}

function closing(tokens: readonly TsToken[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const token = tokens[i]?.text ?? "";
    if ("([{".includes(token)) depth++;
    else if (")]}".includes(token) && --depth === 0) return i;
  }
  return tokens.length;
}

/** The source from one token up to another, on as few lines as it has without its indentation. */
function slice(text: string, tokens: readonly TsToken[], from: number, to: number): string {
  return text
    .slice(tokens[from]?.start, tokens[to - 1]?.end)
    .replace(/^\s*\/\/.*\n/gm, "")
    .replace(/^export /, "")
    .replace(/\n\s*/g, "\n  ")
    .replace(/\n\s*([)}\]])/g, "\n$1");
}
