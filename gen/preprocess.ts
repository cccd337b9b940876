/**
 * The C preprocessor, as far as uapi headers need it: conditionals, object-like and function-like macros.
 * Includes are not followed: who calls decides which headers belong together and in which order.
 */
import { evaluate } from "./expression.ts";
import { logicalLines, tokenize } from "./lex.ts";
import type { Token } from "./lex.ts";

/** A `#define`. `parameters` is null for an object-like macro. */
export interface Macro {
  readonly name: string;
  readonly parameters: readonly string[] | null;
  readonly body: readonly Token[];
  readonly file: string;
  readonly line: number;
}

/** The macros known so far, by name. */
export type Macros = Map<string, Macro>;

/** Replaces every macro in `tokens`; a macro is not expanded inside its own expansion, as in C. */
export function expand(tokens: readonly Token[], macros: Macros, active: readonly string[] = []): Token[] {
  const out: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    const macro = token.kind === "name" && !active.includes(token.text) ? macros.get(token.text) : undefined;
    if (!macro) {
      out.push(token);
      continue;
    }
    let body: Token[] = [...macro.body];
    if (macro.parameters) {
      if (tokens[i + 1]?.text !== "(") {
        out.push(token);
        continue;
      }
      const call = readArguments(tokens, i + 1);
      body = substitute(macro, call.arguments, macros, active);
      i = call.end;
    }
    out.push(...expand(body, macros, [...active, macro.name]).map((t) => ({ ...t, line: token.line })));
  }
  return out;
}

function readArguments(tokens: readonly Token[], open: number): { arguments: Token[][]; end: number } {
  const found: Token[][] = [[]];
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.text === "(" && depth++ === 0) continue;
    if (token.text === ")" && --depth === 0) return { arguments: found, end: i };
    if (token.text === "," && depth === 1) found.push([]);
    else found.at(-1)?.push(token);
  }
  throw new Error(`line ${tokens[open]?.line}: the arguments of a macro never end`);
}

function substitute(macro: Macro, given: Token[][], macros: Macros, active: readonly string[]): Token[] {
  if (macro.body.some((t) => t.text === "#" || t.text === "##")) {
    throw new Error(`${macro.file}:${macro.line}: macro ${macro.name} uses # or ##, which this reader does not know`);
  }
  const parameters = macro.parameters ?? [];
  if (parameters.length !== given.length && !(parameters.length === 0 && given[0]?.length === 0)) {
    throw new Error(`macro ${macro.name} takes ${parameters.length} arguments, got ${given.length}`);
  }
  return macro.body.flatMap((token) => {
    const index = parameters.indexOf(token.text);
    return index < 0 ? [token] : expand(given[index] ?? [], macros, active);
  });
}

interface Branch {
  /** Whether the branch now open is read. */
  taken: boolean;
  /** Whether an earlier branch of this #if was. */
  done: boolean;
  readonly line: number;
}

/** Reads one file: adds its macros to `macros` and returns what is left, with macros expanded. */
export function preprocess(file: string, source: string, macros: Macros): Token[] {
  const out: Token[] = [];
  const branches: Branch[] = [];
  let pending: Token[] = [];
  const flush = (): void => {
    out.push(...expand(pending, macros));
    pending = [];
  };
  for (const { text, line } of logicalLines(source, file)) {
    const directive = /^\s*#\s*([a-z]*)\s*(.*)$/s.exec(text);
    if (!directive) {
      if (branches.every((b) => b.taken)) pending.push(...tokenize(text, line, file));
      continue;
    }
    flush();
    const [, name = "", rest = ""] = directive;
    if (conditional(name, rest, line, file, branches, macros)) continue;
    if (!branches.every((b) => b.taken)) continue;
    if (name === "define") define(rest, line, file, macros);
    else if (name === "undef") macros.delete(rest.trim());
    else if (name === "error") throw new Error(`${file}:${line}: #error ${rest}`);
    else if (!["include", "pragma", "warning", ""].includes(name)) {
      throw new Error(`${file}:${line}: unknown directive #${name}`);
    }
  }
  flush();
  const open = branches.at(-1);
  if (open) throw new Error(`${file}:${open.line}: #if without #endif`);
  return out;
}

/** Handles #if and its kin; false when the directive is another one. */
function conditional(
  name: string,
  rest: string,
  line: number,
  file: string,
  branches: Branch[],
  macros: Macros,
): boolean {
  const holds = (): boolean => {
    const word = rest.trim();
    if (name === "ifdef") return macros.has(word);
    if (name === "ifndef") return !macros.has(word);
    return condition(rest, line, file, macros);
  };
  if (name === "if" || name === "ifdef" || name === "ifndef") {
    const live = branches.every((b) => b.taken);
    const taken = live && holds();
    branches.push({ taken, done: taken || !live, line });
    return true;
  }
  if (name !== "else" && name !== "elif" && name !== "endif") return false;
  const branch = branches.at(-1);
  if (!branch) throw new Error(`${file}:${line}: #${name} without #if`);
  if (name === "endif") branches.pop();
  else {
    branch.taken = !branch.done && (name === "else" || holds());
    branch.done ||= branch.taken;
  }
  return true;
}

function condition(text: string, line: number, file: string, macros: Macros): boolean {
  const tokens = tokenize(text, line, file);
  const replaced: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.text !== "defined") {
      replaced.push(token);
      continue;
    }
    const inParentheses = tokens[i + 1]?.text === "(";
    const name = tokens[i + (inParentheses ? 2 : 1)]?.text ?? "";
    replaced.push({ kind: "number", text: macros.has(name) ? "1" : "0", line });
    i += inParentheses ? 3 : 1;
  }
  // In an #if a name that is no macro counts as 0.
  return evaluate(expand(replaced, macros), { constant: () => 0n, sizeOf: () => undefined }).value !== 0n;
}

function define(rest: string, line: number, file: string, macros: Macros): void {
  const head = /^([A-Za-z_]\w*)(\(([^)]*)\))?/.exec(rest);
  if (!head) throw new Error(`${file}:${line}: cannot read #define ${rest}`);
  const [whole, name = "", list, names = ""] = head;
  const parameters =
    list === undefined
      ? null
      : names
          .split(",")
          .map((n) => n.trim())
          .filter(Boolean);
  const body = tokenize(rest.slice(whole.length), line, file);
  macros.set(name, { name, parameters, body, file, line });
}
