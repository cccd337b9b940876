/**
 * Tokens of TypeScript, enough to read imports and function signatures of this project's own files without a compiler.
 */

/** One token; `comment` holds the doc comment that stands right before it, if one does. */
export interface TsToken {
  readonly kind: "name" | "string" | "number" | "template" | "regex" | "punct";
  readonly text: string;
  readonly line: number;
  readonly comment: string | null;
  /** Where it begins and ends in the source. */
  readonly start: number;
  readonly end: number;
}

const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const PATTERNS: readonly [TsToken["kind"], RegExp][] = [
  ["name", /#?[A-Za-z_$][\w$]*/y],
  ["number", /\.?\d[\w.]*/y],
  ["string", STRING],
  ["punct", /=>|\.\.\.|\?\?=?|\?\.|\*\*=?|[=!]==?|&&=?|\|\|=?|<<=?|[-+*/%&|^]=|[{}()[\];,<>+\-*/%&|^!~?:=.@]/y],
];
const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;

/**
 * Splits a file into tokens.
 * @throws Error naming file and line for what it cannot read.
 */
export function tokenizeTs(source: string, file: string): TsToken[] {
  const tokens: TsToken[] = [];
  let at = 0;
  let line = 1;
  let comment: string | null = null;
  const step = (text: string): void => {
    at += text.length;
    line += text.split("\n").length - 1;
  };
  while (at < source.length) {
    const rest = match(/\s+/y, source, at) ?? match(COMMENT, source, at);
    if (rest !== undefined) {
      if (rest.startsWith("/**")) comment = rest;
      else if (rest.startsWith("/")) comment = null;
      step(rest);
      continue;
    }
    const found = next(source, at, tokens.at(-1));
    if (!found) throw new Error(`${file}:${line}: cannot read ${JSON.stringify(source.slice(at, at + 20))}`);
    tokens.push({ ...found, line, comment, start: at, end: at + found.text.length });
    comment = null;
    step(found.text);
  }
  return tokens;
}

function match(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

function next(source: string, at: number, before: TsToken | undefined): Pick<TsToken, "kind" | "text"> | null {
  const char = source.charAt(at);
  if (char === "`") return { kind: "template", text: template(source, at) };
  if (char === "/" && startsExpression(before)) {
    const regex = match(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y, source, at);
    if (regex !== undefined) return { kind: "regex", text: regex };
  }
  for (const [kind, pattern] of PATTERNS) {
    const text = match(pattern, source, at);
    if (text !== undefined) return { kind, text };
  }
  return null;
}

/** Whether a slash after `before` begins a regular expression rather than a division. */
function startsExpression(before: TsToken | undefined): boolean {
  if (!before) return true;
  if (before.kind === "punct") return ![")", "]", "}"].includes(before.text);
  return before.kind === "name" && ["return", "typeof", "case", "in", "of"].includes(before.text);
}

/** A template literal, with whatever nests inside its braces. */
function template(source: string, at: number): string {
  let depth = 0;
  for (let i = at + 1; i < source.length; i++) {
    const char = source.charAt(i);
    if (char === "\\") i++;
    else if (depth === 0 && char === "`") return source.slice(at, i + 1);
    else if (depth === 0 && source.startsWith("${", i)) (depth++, i++);
    else if (depth > 0 && char === "`") i += template(source, i).length - 1;
    else if (depth > 0 && (char === '"' || char === "'")) i += (match(STRING, source, i)?.length ?? 1) - 1;
    else if (depth > 0 && char === "{") depth++;
    else if (depth > 0 && char === "}") depth--;
  }
  throw new Error("a template literal never ends");
}
