/**
 * Kernel header text to constants, enums and record types. A recursive-descent reader of the C that uapi headers are
 * written in; what it cannot read, it refuses by file and line.
 */
import { evaluate } from "./expression.ts";
import type { Scope, Value } from "./expression.ts";
import { layoutOf } from "./layout.ts";
import type { CType, Member, RecordType } from "./layout.ts";
import type { Token } from "./lex.ts";
import { expand, preprocess } from "./preprocess.ts";
import type { Macros } from "./preprocess.ts";
import { BASE_TYPES } from "./types.ts";

/** A constant of a header: an enumerator, or a macro that has a value. */
export interface Constant {
  readonly name: string;
  readonly value: bigint;
  readonly file: string;
  /** Tag of the enum it belongs to, "" for an untagged enum, null for a macro. */
  readonly enum: string | null;
}

/** Everything read from a set of headers, in the order of the files. */
export interface Headers {
  readonly constants: Constant[];
  /** Records by tag. */
  readonly records: Map<string, { readonly record: RecordType; readonly file: string }>;
  /** Macros without a constant value: include guards, function-like ones, attributes. */
  readonly skipped: string[];
}

/** A header file: its name as `#include` would say it, and its text. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

/** Reads `sources` in the order given; a file sees the macros and types of those before it. */
export function parse(sources: readonly Source[]): Headers {
  const reader = new HeaderReader();
  for (const source of sources) reader.read(source);
  return reader.finish();
}

class HeaderReader implements Scope {
  readonly #macros: Macros = new Map();
  readonly #enumerators = new Map<string, bigint>();
  readonly #typedefs = new Map<string, CType>();
  readonly #headers: Headers = { constants: [], records: new Map(), skipped: [] };
  #tokens: Token[] = [];
  #at = 0;
  #file = "";

  read(source: Source): void {
    this.#file = source.file;
    this.#tokens = preprocess(source.file, source.text, this.#macros);
    this.#at = 0;
    while (this.#at < this.#tokens.length) this.#declaration();
  }

  finish(): Headers {
    const names = new Set(this.#headers.constants.map((c) => c.name));
    for (const macro of this.#macros.values()) {
      // The idiom `#define X X` beside an enumerator X says nothing new.
      if (names.has(macro.name)) continue;
      const value = macro.parameters ? undefined : this.#macroValue(macro.name);
      if (value === undefined) this.#headers.skipped.push(macro.name);
      else this.#headers.constants.push({ name: macro.name, value: value.value, file: macro.file, enum: null });
    }
    return this.#headers;
  }

  constant(name: string): bigint | undefined {
    return this.#enumerators.get(name) ?? this.#macroValue(name)?.value;
  }

  sizeOf(words: readonly string[]): { size: number; signed: boolean } | undefined {
    if (words.at(-1) === "*") return { size: 8, signed: false };
    const record =
      words[0] === "struct" || words[0] === "union" ? this.#headers.records.get(words[1] ?? "") : undefined;
    if (record) return { size: layoutOf(record.record).size, signed: false };
    const base = BASE_TYPES.get(words.join(" "));
    return base && { size: base.size, signed: base.signed };
  }

  /** The value of a macro, or undefined when its body is no constant expression. */
  #macroValue(name: string): Value | undefined {
    const macro = this.#macros.get(name);
    if (!macro || macro.parameters || macro.body.length === 0) return undefined;
    const tokens = this.#expanded(macro.body, name);
    try {
      return evaluate(tokens, this);
    } catch {
      return undefined;
    }
  }

  #expanded(tokens: readonly Token[], name: string): Token[] {
    return expand(tokens, this.#macros, [name]);
  }

  #peek(offset = 0): string {
    return this.#tokens[this.#at + offset]?.text ?? "";
  }

  #take(text: string): boolean {
    if (this.#peek() !== text) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) this.#fail(`expected ${text}, found ${this.#peek() || "the end of the file"}`);
  }

  #name(): string {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "name") this.#fail(`expected a name, found ${token?.text ?? "the end of the file"}`);
    this.#at++;
    return token.text;
  }

  #fail(message: string): never {
    const line = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)]?.line ?? 0;
    throw new Error(`${this.#file}:${line}: ${message}`);
  }

  #declaration(): void {
    if (this.#take(";")) return;
    if (this.#peek() === "typedef") return this.#typedef();
    if (this.#peek() === "static" || this.#peek() === "extern") return this.#skipFunction();
    const type = this.#type();
    if (this.#take(";")) return;
    this.#fail(`a declaration that this reader does not know, after ${describe(type)}`);
  }

  #typedef(): void {
    this.#expect("typedef");
    const member = this.#declarator(this.#type());
    if (member.name !== null) this.#typedefs.set(member.name, member.type);
    this.#expect(";");
  }

  /** Passes over an inline function or an external declaration. */
  #skipFunction(): void {
    let depth = 0;
    while (this.#at < this.#tokens.length) {
      const text = this.#peek();
      this.#at++;
      if (text === "{" || text === "(") depth++;
      if (text === "}" || text === ")") depth--;
      if (depth === 0 && (text === ";" || text === "}")) return;
    }
    this.#fail("a function that never ends");
  }

  #type(): CType {
    while (this.#take("const") || this.#take("volatile")) continue;
    const word = this.#peek();
    if (word === "enum") return this.#enum();
    if (word === "struct" || word === "union") return this.#record(word);
    const words: string[] = [];
    const start = this.#at;
    while (this.#tokens[this.#at]?.kind === "name" && (words.length === 0 || BASE_TYPES.has(this.#peek()))) {
      words.push(this.#name());
    }
    const defined = words.length === 1 ? this.#typedefs.get(words[0] ?? "") : undefined;
    const base = BASE_TYPES.get(words.join(" "));
    if (defined) return defined;
    if (base) return { kind: "base", name: words.join(" "), size: base.size, align: base.align };
    this.#at = start;
    return this.#fail(`unknown type ${words.join(" ") || this.#peek()}`);
  }

  #enum(): CType {
    this.#expect("enum");
    const tag = this.#tokens[this.#at]?.kind === "name" ? this.#name() : "";
    if (this.#take("{")) {
      let next = 0n;
      while (!this.#take("}")) {
        const name = this.#name();
        const value = this.#take("=") ? this.#constantExpression([",", "}"]) : next;
        this.#enumerators.set(name, value);
        this.#headers.constants.push({ name, value, file: this.#file, enum: tag });
        next = value + 1n;
        if (!this.#take(",") && this.#peek() !== "}") this.#fail(`expected , or } after ${name}`);
      }
      this.#attributes();
    }
    return { kind: "base", name: `enum ${tag}`.trim(), size: 4, align: 4 };
  }

  #record(kind: "struct" | "union"): CType {
    this.#expect(kind);
    const before = this.#attributes();
    const tag = this.#tokens[this.#at]?.kind === "name" ? this.#name() : null;
    if (!this.#take("{")) {
      const known = this.#headers.records.get(tag ?? "");
      // Without its members a record can only be pointed to.
      return known ? { kind: "record", record: known.record } : { kind: "unknown", name: `${kind} ${tag}` };
    }
    const members: Member[] = [];
    while (!this.#take("}")) members.push(...this.#members());
    const after = this.#attributes();
    const record: RecordType = {
      kind,
      tag,
      members,
      packed: before.packed || after.packed,
      aligned: after.aligned ?? before.aligned,
    };
    if (tag !== null) this.#headers.records.set(tag, { record, file: this.#file });
    return { kind: "record", record };
  }

  #members(): Member[] {
    if (this.#peek() === "__DECLARE_FLEX_ARRAY" || this.#peek() === "DECLARE_FLEX_ARRAY") return [this.#flexArray()];
    const type = this.#type();
    // A record without a declarator is anonymous: its members belong to the record around it.
    if (this.#take(";")) return [{ name: null, type, dimensions: [], bits: null, aligned: null }];
    const members = [this.#declarator(type)];
    while (this.#take(",")) members.push(this.#declarator(type));
    this.#expect(";");
    return members;
  }

  /** The uapi helper for a flexible array inside a union or alone in a struct. */
  #flexArray(): Member {
    this.#at++;
    this.#expect("(");
    const type = this.#type();
    this.#expect(",");
    const name = this.#name();
    this.#expect(")");
    this.#expect(";");
    return { name, type, dimensions: [null], bits: null, aligned: null };
  }

  #declarator(base: CType): Member {
    let type = base;
    let early = this.#attributes();
    while (this.#take("*")) type = { kind: "base", name: `${describe(type)} *`, size: 8, align: 8 };
    const name = this.#peek() === ":" ? null : this.#name();
    const dimensions: (number | null)[] = [];
    while (this.#take("[")) {
      dimensions.push(this.#peek() === "]" ? null : Number(this.#constantExpression(["]"])));
      this.#expect("]");
    }
    const bits = this.#take(":") ? Number(this.#constantExpression([",", ";"])) : null;
    const late = this.#attributes();
    return { name, type, dimensions, bits, aligned: late.aligned ?? early.aligned };
  }

  /** Reads `__attribute__((...))`; only packed and aligned(n) change a layout. */
  #attributes(): { packed: boolean; aligned: number | null } {
    let packed = false;
    let aligned: number | null = null;
    while (this.#take("__attribute__")) {
      this.#expect("(");
      this.#expect("(");
      while (!this.#take(")")) {
        const name = this.#name().replaceAll("__", "");
        const argument = this.#take("(") ? this.#constantExpression([")"]) : null;
        if (argument !== null) this.#expect(")");
        if (name === "packed") packed = true;
        else if (name === "aligned") aligned = argument === null ? 16 : Number(argument);
        else this.#fail(`unknown attribute ${name}`);
        this.#take(",");
      }
      this.#expect(")");
    }
    return { packed, aligned };
  }

  /** Evaluates up to (not including) one of `ends` outside parentheses. */
  #constantExpression(ends: readonly string[]): bigint {
    const start = this.#at;
    let depth = 0;
    while (depth > 0 || !ends.includes(this.#peek())) {
      if (this.#at >= this.#tokens.length) this.#fail("an expression that never ends");
      if (this.#peek() === "(") depth++;
      if (this.#peek() === ")") depth--;
      this.#at++;
    }
    try {
      return evaluate(this.#tokens.slice(start, this.#at), this).value;
    } catch (error) {
      return this.#fail(error instanceof Error ? error.message : String(error));
    }
  }
}

function describe(type: CType): string {
  return type.kind === "record" ? `${type.record.kind} ${type.record.tag ?? ""}`.trim() : type.name;
}
