/** Rules about what is written for the reader: doc comments on everything public, and words that belong elsewhere. */
import { at, type Finding, reads, type Rule, type Source, tokenAt } from "./source.ts";

const modifiers = ["public", "protected", "static", "readonly", "override", "abstract", "async", "accessor", "declare"];

/** What the rule about doc comments has to know of other files. */
export interface Surface {
  /** The interfaces and classes that a user can import. */
  readonly published: ReadonlySet<string>;
  /** `Interface.member` of whatever has a doc comment there: a class that implements it inherits the comment. */
  readonly documented: ReadonlySet<string>;
}

/**
 * A doc comment on every export, on every public member of an exported class, and on every member of an interface that
 * a user can import. What overrides or implements something documented inherits that comment.
 */
export function documentsWhatIsPublic(source: Source, surface: Surface): Finding[] {
  const documented = new Set<string>();
  const found: Finding[] = [];
  let depth = 0;
  for (const [i, token] of source.tokens.entries()) {
    if (token.text === "{") depth++;
    else if (token.text === "}") depth--;
    if (depth !== 0 || token.text !== "export" || token.kind !== "name") continue;
    if (["{", "*", "default"].includes(tokenAt(source, i + 1).text) || reads(source, i + 1, "type", "{")) continue;
    const name = declaredName(source, i + 1);
    // Of a function's overloads the first has the comment.
    if (token.comment === null && !documented.has(name)) {
      found.push(at(source, token.line, `exports ${name} without a doc comment`));
    }
    documented.add(name);
    const members = membersOf(source, i + 1);
    if (!members.isClass && !surface.published.has(name)) continue;
    for (const { member, line } of members.undocumented) {
      const inherited = members.implemented.some((other) => surface.documented.has(`${other}.${member}`));
      if (!inherited) found.push(at(source, line, `${name}.${member} has no doc comment`));
    }
  }
  return found;
}

/** The members with a doc comment of a file's exported interfaces, as `Interface.member`. */
export function documentedMembers(source: Source): string[] {
  return source.tokens.flatMap((token, i) => {
    if (token.text !== "interface" || !reads(source, i - 1, "export")) return [];
    return membersOf(source, i).documented.map((member) => `${tokenAt(source, i + 1).text}.${member}`);
  });
}

/** The names that a file exports from others: `export { A, type B } from`, `export type { C } from`. */
export function reexported(source: Source): string[] {
  return source.tokens.flatMap((token, i) => {
    const open = reads(source, i, "export", "type", "{") ? i + 2 : reads(source, i, "export", "{") ? i + 1 : -1;
    if (token.kind !== "name" || open < 0) return [];
    const inside = source.tokens.slice(open + 1, source.closing.get(open));
    return inside.filter(({ kind, text }) => kind === "name" && text !== "type").map(({ text }) => text);
  });
}

/** What an export declares: the name after its keywords. */
function declaredName(source: Source, i: number): string {
  const keywords = ["declare", "abstract", "async", "const", "let", "function", "class", "interface", "type", "*"];
  while (keywords.includes(tokenAt(source, i).text)) i++;
  return tokenAt(source, i).text;
}

interface Members {
  readonly isClass: boolean;
  readonly implemented: readonly string[];
  readonly documented: readonly string[];
  readonly undocumented: readonly { member: string; line: number }[];
}

/** The public members of the class or interface that is declared at a token; none of anything else. */
function membersOf(source: Source, start: number): Members {
  let i = start;
  while (["declare", "abstract"].includes(tokenAt(source, i).text)) i++;
  const isClass = tokenAt(source, i).text === "class";
  const open = bodyOf(source, i);
  const close = source.closing.get(open);
  const none = { isClass, implemented: [], documented: [], undocumented: [] };
  if (close === undefined || !["class", "interface"].includes(tokenAt(source, i).text)) return none;
  const documented: string[] = [];
  const undocumented: { member: string; line: number }[] = [];
  for (let k = open + 1; k < close; k = memberAfter(source, k, close)) {
    const member = memberName(source, k);
    const { comment, line } = tokenAt(source, k);
    // Of overloads, and of a getter and its setter, the first has the comment.
    if (member === undefined || documented.includes(member)) continue;
    if (comment !== null) documented.push(member);
    else undocumented.push({ member, line });
  }
  const heading = source.tokens.slice(i, open).map(({ text }) => text);
  const from = heading.indexOf("implements");
  return { isClass, documented, undocumented, implemented: from < 0 ? [] : heading.slice(from) };
}

/** The brace that opens a class's or interface's body, past type arguments with braces of their own. */
function bodyOf(source: Source, i: number): number {
  let angles = 0;
  for (let k = i; k < source.tokens.length; k++) {
    const { text } = tokenAt(source, k);
    if (text === "<") angles++;
    else if (text === ">") angles--;
    else if (text === "{" && angles === 0) return k;
    else if (text === "{") k = source.closing.get(k) ?? k;
  }
  return source.tokens.length;
}

/** Where the next member begins: after a semicolon, or after a body's brace when a line ends there. */
function memberAfter(source: Source, member: number, close: number): number {
  for (let k = member; k < close; k++) {
    const { text } = tokenAt(source, k);
    const end = source.closing.get(k);
    if (end !== undefined) {
      k = end;
      const next = tokenAt(source, k + 1);
      if (text === "{" && next.line > tokenAt(source, k).line && next.text !== ";") return k + 1;
    } else if (text === ";") return k + 1;
  }
  return close;
}

/** A public member's name; undefined for private and overriding ones, static blocks and stray semicolons. */
function memberName(source: Source, member: number): string | undefined {
  let k = member;
  while (modifiers.includes(tokenAt(source, k).text) && !reads(source, k + 1, "(") && !reads(source, k + 1, "=")) {
    if (reads(source, k, "override")) return undefined;
    k++;
  }
  let { text } = tokenAt(source, k);
  if (text === "private" || text.startsWith("#") || text === "{" || text === ";" || text === "}") return undefined;
  if ((text === "get" || text === "set" || text === "*") && !reads(source, k + 1, "("))
    ({ text } = tokenAt(source, ++k));
  if (text.startsWith("#")) return undefined;
  if (text !== "[") return text;
  const end = source.closing.get(k) ?? k;
  return source.tokens
    .slice(k, end + 1)
    .map((token) => token.text)
    .join("");
}

/** Joins the pieces of a word that this file must not contain itself. */
const word = (...pieces: readonly string[]): string => pieces.join("");

/** What no file that others read may contain: the places and the ways in which it was made. */
const strays: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["a path of one machine", new RegExp(word("(?<![\\w.~$}])/(", "wo", "rk|ro", "ot|ho", "me|Us", "ers)/"))],
  ["a folder outside the project", new RegExp(word("(?<![\\w-])(\\.\\./)?sha", "red/(facts|vectors|\\w+\\.md)"))],
  [
    "a registry's host name",
    new RegExp(
      word(
        "\\b(registry\\.([\\w-]+\\.)*(com|dev|io|net|org)\\b|npm",
        "js\\.|npm",
        "mirror|deb\\.deb",
        "ian|yarn",
        "pkg\\.)",
      ),
      "i",
    ),
  ],
  ["an issue by its number", new RegExp(word("\\biss", "ues? (show|#?\\d{1,2}\\b)"), "i")],
  [
    "how it was made",
    new RegExp(word("\\b(this|next|previous|earlier|later|last|my|our) sess", "ion(?!s? (id|key|of|ticket))\\b"), "i"),
  ],
  ["who made it", new RegExp(word("\\b(cla", "ude|anth", "ropic|chat", "gpt|co", "pilot|ll", "m)\\b"), "i")],
];

/** No words of the workplace, no registry's host names, no absolute paths of one machine. */
export const keepsTheWorkplaceOut: Rule = (source) =>
  source.lines.flatMap((line, i) =>
    strays.filter(([, pattern]) => pattern.test(line)).map(([what]) => at(source, i + 1, `names ${what}`)),
  );
