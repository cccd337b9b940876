/**
 * Reads the prep functions' signatures and doc comments out of their source: the one place where an operation's
 * arguments are written down. Whatever delegates to a prep function is generated from what is read here.
 */
import { tokenizeTs } from "./typescript.ts";
import type { TsToken } from "./typescript.ts";

/** A parameter as it is declared. */
export interface Parameter {
  readonly name: string;
  /** Its type, inferred from a literal default where none is written. */
  readonly type: string;
  /** Whether a caller may leave it out. */
  readonly optional: boolean;
}

/** One exported prep function. */
export interface Signature {
  readonly name: string;
  /** The parameters after the slot. */
  readonly parameters: readonly Parameter[];
  /** The doc comment, as written. */
  readonly doc: string;
  /** Its `@kernel` tag, e.g. `5.6`. */
  readonly kernel: string;
  /** Its `@man` tag, e.g. `io_uring_prep_read(3)`. */
  readonly man: string;
  /** liburing's helper of the same work, when the man page is one of a helper's. */
  readonly helper: string | null;
  /**
   * The opcodes that its body names, itself or through the functions it calls; none when its caller names it (`op`).
   */
  readonly opcodes: readonly string[];
  /** Types its parameters use: name, and the module (relative to the prep file) that exports it. */
  readonly types: ReadonlyMap<string, string>;
  /** The file's name inside the prep folder, e.g. `rw.ts`. */
  readonly file: string;
}

/** A function of a prep file, exported or not. */
interface Declared {
  readonly file: string;
  readonly name: string;
  readonly exported: boolean;
  readonly doc: string | null;
  readonly line: number;
  readonly head: readonly TsToken[];
  readonly result: readonly TsToken[];
  readonly body: readonly TsToken[];
}

/** A source file of the prep folder. */
export interface PrepSource {
  readonly file: string;
  readonly text: string;
}

const OPEN = new Set(["(", "[", "{", "<"]);
const CLOSE = new Set([")", "]", "}", ">"]);

/**
 * All prep functions of `sources`, in the order of files and lines. Files without one are passed over.
 * @throws Error naming file and function for one that lacks a tag, its slot, a type or an opcode.
 */
export function readSignatures(sources: readonly PrepSource[]): Signature[] {
  const files = sources
    .filter((source) => /\bexport\s+(async\s+)?(function|const)\s+prep/.test(source.text))
    .map((source) => {
      const tokens = tokenizeTs(source.text, source.file);
      const functions = declarations(tokens, source.file);
      return { source, functions, imports: importsOf(tokens), exports: exportedTypes(tokens) };
    });
  const all = new Map<string, Declared>();
  const signatures: Signature[] = [];
  for (const { source, functions } of files) {
    for (const declared of functions) {
      const isPrep = declared.exported && declared.name.startsWith("prep");
      if (isPrep && all.get(declared.name)?.exported) throw fault(source.file, declared, "is declared twice");
      // Helpers are looked up per file first, so a name may repeat between files.
      all.set(`${source.file}:${declared.name}`, declared);
      if (isPrep) all.set(declared.name, declared);
    }
  }
  for (const { source, functions, imports, exports } of files) {
    const types = new Map([...imports, ...[...exports].map((name): [string, string] => [name, `./${source.file}`])]);
    for (const declared of functions) {
      if (!declared.exported || !declared.name.startsWith("prep")) continue;
      signatures.push(signatureOf(declared, source.file, types, all));
    }
  }
  return signatures;
}

function fault(file: string, declared: Pick<Declared, "name" | "line">, message: string): Error {
  return new Error(`${file}:${declared.line}: ${declared.name} ${message}`);
}

function signatureOf(
  declared: Declared,
  file: string,
  types: ReadonlyMap<string, string>,
  all: ReadonlyMap<string, Declared>,
): Signature {
  const fail = (message: string): Error => fault(file, declared, message);
  const doc = declared.doc;
  if (doc === null) throw fail("has no doc comment");
  const kernel = /@kernel\s+(\d+\.\d+)(?=[\s*,;.]|$)/.exec(doc)?.[1];
  if (kernel === undefined) throw fail("has no @kernel tag (`@kernel 5.6`)");
  const man = /@man\s+([\w.]+\(\d\w*\))/.exec(doc)?.[1];
  if (man === undefined) throw fail("has no @man tag (`@man io_uring_prep_read(3)`)");
  const result = spell(declared.result);
  if (result !== "void") throw fail(`returns ${result || "nothing stated"}: a prep function returns void`);
  const [slot, ...parameters] = split(declared.head).map((tokens) => parameterOf(tokens, fail));
  if (slot?.type !== "Slot") throw fail("does not take the slot first (`sqe: Slot`)");
  const late = parameters.findIndex((p, i) => !p.optional && parameters.slice(0, i).some((q) => q.optional));
  if (late >= 0) throw fail(`has a required parameter after an optional one: ${parameters[late]?.name}`);
  const opcodes = [...opcodesOf(declared, all, new Set())];
  if (opcodes.length === 0 && !parameters.some((p) => p.name === "op")) {
    throw fail("names no IORING_OP_ constant, nor does anything that it calls, and takes no `op`");
  }
  const used = [...types].filter(([name]) => parameters.some((p) => new RegExp(`\\b${name}\\b`).test(p.type)));
  const helper = /^(io_uring_prep_\w+)\(3\)$/.exec(man)?.[1] ?? null;
  return { name: declared.name, parameters, doc, kernel, man, helper, opcodes, types: new Map(used), file };
}

/** Splits a parameter list at its top-level commas. */
function split(tokens: readonly TsToken[]): TsToken[][] {
  const parts: TsToken[][] = [];
  let depth = 0;
  let part: TsToken[] = [];
  for (const token of tokens) {
    if (token.kind === "punct" && OPEN.has(token.text)) depth++;
    if (token.kind === "punct" && CLOSE.has(token.text)) depth--;
    if (depth === 0 && token.text === ",") {
      parts.push(part);
      part = [];
    } else part.push(token);
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

function parameterOf(tokens: readonly TsToken[], fail: (message: string) => Error): Parameter {
  const [first, second] = tokens;
  if (first?.kind !== "name") throw fail(`has a parameter that is not a plain name: ${spell(tokens)}`);
  const optional = second?.text === "?";
  const rest = tokens.slice(optional ? 2 : 1);
  const equals = rest.findIndex((t) => t.text === "=");
  const type = spell(rest.slice(0, equals < 0 ? rest.length : equals)).replace(/^:\s*/, "");
  const value = equals < 0 ? [] : rest.slice(equals + 1);
  const inferred = type || inferType(value);
  if (inferred === "") throw fail(`has a parameter without a type: ${first.text}`);
  return { name: first.text, type: inferred, optional: optional || equals >= 0 };
}

/** The type of a literal default; empty when the default says too little. */
function inferType(value: readonly TsToken[]): string {
  const [first] = value[0]?.text === "-" ? value.slice(1) : value;
  if (!first || value.length > 2) return "";
  if (first.kind === "number") return first.text.endsWith("n") ? "bigint" : "number";
  if (first.kind === "string") return "string";
  return first.text === "true" || first.text === "false" ? "boolean" : "";
}

/** Tokens as text, spaced as they were apart from line breaks. */
function spell(tokens: readonly TsToken[]): string {
  let text = "";
  tokens.forEach((token, i) => {
    const gap = i > 0 && token.start > (tokens[i - 1]?.end ?? 0);
    text += (gap ? " " : "") + token.text;
  });
  return text.trim();
}

function* opcodesOf(declared: Declared, all: ReadonlyMap<string, Declared>, seen: Set<Declared>): Generator<string> {
  if (seen.has(declared)) return;
  seen.add(declared);
  const own = new Set(declared.body.filter((t) => /^IORING_OP_\w+$/.test(t.text)).map((t) => t.text));
  yield* own;
  // A function that names its opcode means that one, whatever its callees default to.
  if (own.size > 0) return;
  const found = new Set<string>();
  for (const token of declared.body) {
    const callee =
      token.kind === "name" ? (all.get(`${declared.file}:${token.text}`) ?? all.get(token.text)) : undefined;
    if (callee) for (const opcode of opcodesOf(callee, all, seen)) found.add(opcode);
  }
  yield* found;
}

/** Every top-level function of a file. */
function declarations(tokens: readonly TsToken[], file: string): Declared[] {
  const found: Declared[] = [];
  let depth = 0;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as TsToken;
    if (token.text === "{") depth++;
    if (token.text === "}") depth--;
    const exported = tokens[i - 1]?.text === "export";
    const name = tokens[i + 1]?.text ?? "";
    if (depth !== 0 || token.text === "async" || !["function", "const"].includes(token.text)) continue;
    const at = { name, line: token.line };
    if (token.text === "const") {
      if (exported && name.startsWith("prep")) throw fault(file, at, "is a constant: write a function declaration");
      continue;
    }
    if (tokens[i - 1]?.text === "async") throw fault(file, at, "is async");
    const open = tokens.findIndex((t, j) => j > i && t.text === "(");
    if (tokens[i + 2]?.text !== "(") throw fault(file, at, "has type parameters, which cannot be delegated");
    const close = matching(tokens, open, file);
    const brace = tokens.findIndex((t, j) => j > close && (t.text === "{" || t.text === ";"));
    if (tokens[brace]?.text !== "{") throw fault(file, at, "has an overload or no body");
    const end = matching(tokens, brace, file);
    const result = tokens.slice(close + 2, brace);
    const doc = tokens[exported ? i - 1 : i]?.comment ?? null;
    const head = tokens.slice(open + 1, close);
    found.push({ ...at, file, exported, doc, head, result, body: tokens.slice(brace + 1, end) });
    i = end;
  }
  return found;
}

/** Index of the bracket that closes the one at `open`; angle brackets do not count here. */
function matching(tokens: readonly TsToken[], open: number, file: string): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const text = tokens[i]?.kind === "punct" ? tokens[i]?.text : "";
    if (text === "(" || text === "[" || text === "{") depth++;
    if (text === ")" || text === "]" || text === "}") depth--;
    if (depth === 0) return i;
  }
  throw new Error(`${file}:${tokens[open]?.line}: a bracket that never closes`);
}

/** Imported names and their modules. */
function importsOf(tokens: readonly TsToken[]): Map<string, string> {
  const imports = new Map<string, string>();
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i]?.text !== "import") continue;
    const from = tokens.findIndex((t, j) => j > i && t.text === "from");
    if (from < 0) break;
    const module = (tokens[from + 1]?.text ?? "").slice(1, -1);
    const names = tokens.slice(i + 1, from).filter((t) => t.kind === "name" && t.text !== "type");
    for (const name of names) imports.set(name.text, module);
    i = from;
  }
  return imports;
}

/** Types that a file declares and exports itself. */
function exportedTypes(tokens: readonly TsToken[]): Set<string> {
  const names = new Set<string>();
  tokens.forEach((token, i) => {
    const kind = tokens[i + 1]?.text ?? "";
    if (token.text === "export" && ["type", "interface", "class"].includes(kind)) names.add(tokens[i + 2]?.text ?? "");
  });
  return names;
}
