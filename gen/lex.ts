/**
 * C source text to tokens: comments and line continuations gone, directives kept apart.
 * Knows just enough of C for the kernel's uapi headers, and says so when it meets anything else.
 */

/** What a token is. */
export type TokenKind = "name" | "number" | "string" | "char" | "punct";

/** One token of C and the line it stands on. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly line: number;
}

/** One logical line: its text without comments, continuations joined, and the number of its first physical line. */
export interface LogicalLine {
  readonly text: string;
  readonly line: number;
}

const PUNCTUATION = ["...", "<<=", ">>=", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "++", "--", "##"];
const NAME = /[A-Za-z_]\w*/y;
const NUMBER = /\.?\d(?:[eEpP][+-]|[\w.])*/y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;

/** Removes comments. Each becomes a space; its line breaks become continuations, since a comment ends no directive. */
function stripComments(source: string, file: string): string {
  const pattern = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\/\/[^\n]*|\/\*[\s\S]*?\*\/|\/\*/g;
  return source.replace(pattern, (match: string, offset: number) => {
    if (match === "/*") throw new Error(`${file}:${lineAt(source, offset)}: comment never ends`);
    if (!match.startsWith("/")) return match;
    return ` ${match.replaceAll("\n", "\u0001").replace(/[^\u0001]/g, "")}`;
  });
}

function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split("\n").length;
}

/**
 * Splits a source file into logical lines.
 * @throws Error naming file and line when a comment never ends.
 */
export function logicalLines(source: string, file: string): LogicalLine[] {
  // A continuation may stand inside a comment and a comment may hold a continuation: C joins lines first.
  const joined = source.replaceAll("\r\n", "\n").replace(/\\[ \t]*\n/g, "\u0001");
  const lines: LogicalLine[] = [];
  let line = 1;
  for (const text of stripComments(joined, file).split("\n")) {
    lines.push({ text: text.replaceAll("\u0001", " "), line });
    line += 1 + (text.split("\u0001").length - 1);
  }
  return lines;
}

/**
 * Splits one logical line into tokens.
 * @throws Error naming file and line for a character that C does not have.
 */
export function tokenize(text: string, line: number, file: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text.charAt(at))) {
      at++;
      continue;
    }
    const token = tokenAt(text, at, line);
    if (!token) throw new Error(`${file}:${line}: unexpected character ${JSON.stringify(text.charAt(at))}`);
    tokens.push(token);
    at += token.text.length;
  }
  return tokens;
}

function tokenAt(text: string, at: number, line: number): Token | null {
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  const name = take(NAME);
  if (name !== undefined) return { kind: "name", text: name, line };
  const number = take(NUMBER);
  if (number !== undefined) return { kind: "number", text: number, line };
  const quoted = take(QUOTED);
  if (quoted !== undefined) return { kind: quoted.startsWith('"') ? "string" : "char", text: quoted, line };
  const long = PUNCTUATION.find((p) => text.startsWith(p, at));
  if (long !== undefined) return { kind: "punct", text: long, line };
  const one = text.charAt(at);
  return "+-*/%&|^~!<>=?:;,.()[]{}#".includes(one) ? { kind: "punct", text: one, line } : null;
}
