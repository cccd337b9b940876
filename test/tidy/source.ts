/** A source file as the rules look at it, and what rules are made of. */
import { tokenizeTs, type TsToken } from "../../gen/typescript.ts";

/** A file of the project. */
export interface Source {
  /** From the project's top, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Of a TypeScript file; none of any other. */
  readonly tokens: readonly TsToken[];
  /** For each token that opens a bracket, the one that closes it. */
  readonly closing: ReadonlyMap<number, number>;
}

/** What a rule has found wrong: where, and what to do about it. */
export type Finding = string;

/** A rule about single files. */
export type Rule = (source: Source) => Finding[];

/** Reads a file, or a piece of text as if it stood in one. */
export function sourceOf(path: string, text: string): Source {
  const tokens = path.endsWith(".ts") ? tokenizeTs(text, path) : [];
  return { path, text, lines: text.split("\n"), tokens, closing: brackets(tokens) };
}

/** A finding at a line of a file. */
export function at(source: Source, line: number, what: string): Finding {
  return `${source.path}:${line}: ${what}`;
}

const pairs: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

function brackets(tokens: readonly TsToken[]): Map<number, number> {
  const closing = new Map<number, number>();
  const open: number[] = [];
  for (const [i, token] of tokens.entries()) {
    if (token.kind !== "punct") continue;
    if (pairs[token.text] !== undefined) open.push(i);
    else if ([")", "]", "}"].includes(token.text)) {
      const opener = open.pop();
      if (opener !== undefined) closing.set(opener, i);
    }
  }
  return closing;
}

/** The token at an index, or one that is nothing. */
export function tokenAt(source: Source, index: number): Pick<TsToken, "kind" | "text" | "line" | "comment"> {
  return source.tokens[index] ?? { kind: "punct", text: "", line: 0, comment: null };
}

/** Whether the tokens from an index on read like this. */
export function reads(source: Source, index: number, ...texts: readonly string[]): boolean {
  return texts.every((text, i) => tokenAt(source, index + i).text === text);
}

/** The modules that a file imports, types included, with the lines where it says so. */
export function importsOf(source: Source): { module: string; line: number }[] {
  return source.tokens.flatMap((token, i) => {
    if (token.kind !== "string") return [];
    const before = tokenAt(source, i - 1).text;
    const imported =
      before === "from" ||
      before === "import" ||
      (before === "(" && ["import", "require"].includes(tokenAt(source, i - 2).text));
    return imported ? [{ module: token.text.slice(1, -1), line: token.line }] : [];
  });
}
