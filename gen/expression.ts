/**
 * Constant expressions of C with C's types: 32 or 64 bits, signed or not, wrapped and promoted as a compiler does,
 * so that `~0U` is 4294967295, `1U << 31` is 2147483648 and `(~(((__u64)1 << 48) - 1))` has 64 bits.
 */
import type { Token } from "./lex.ts";

/** A value and the type C gives it. */
export interface Value {
  readonly value: bigint;
  readonly bits: 32 | 64;
  readonly signed: boolean;
}

/** Where names and types in an expression come from. */
export interface Scope {
  /** The value of an enumeration constant, or undefined when there is none of that name. */
  constant(name: string): bigint | undefined;
  /** Size in bytes and signedness of the type that `words` spell, or undefined when they spell no type. */
  sizeOf(words: readonly string[]): { size: number; signed: boolean } | undefined;
}

const LEVELS: readonly (readonly string[])[] = [
  ["||"],
  ["&&"],
  ["|"],
  ["^"],
  ["&"],
  ["==", "!="],
  ["<", ">", "<=", ">="],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "%"],
];

function typed(value: bigint, bits: 32 | 64, signed: boolean): Value {
  return { value: signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value), bits, signed };
}

/** The type that C's usual arithmetic conversions give two operands. */
function common(a: Value, b: Value): { bits: 32 | 64; signed: boolean } {
  if (a.bits === b.bits) return { bits: a.bits, signed: a.signed && b.signed };
  const wide = a.bits > b.bits ? a : b;
  return { bits: 64, signed: wide.signed };
}

function bool(value: boolean): Value {
  return typed(value ? 1n : 0n, 32, true);
}

/** The value of an integer literal, with the type its suffix and size give it. */
export function literal(text: string): Value {
  const match = /^(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)([uUlL]*)$/.exec(text);
  if (!match) throw new Error(`cannot read the number ${text}`);
  const [, digits = "", suffix = ""] = match;
  const octal = /^0\d/.test(digits);
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  const unsigned = /u/i.test(suffix);
  const long = /l/i.test(suffix);
  const decimal = /^[1-9]/.test(digits);
  if (!long && value < 1n << 31n) return typed(value, 32, !unsigned);
  if (!long && value < 1n << 32n && (unsigned || !decimal)) return typed(value, 32, false);
  return typed(value, 64, !unsigned && value < 1n << 63n);
}

class Reader {
  #at = 0;
  readonly #tokens: readonly Token[];
  readonly #scope: Scope;

  constructor(tokens: readonly Token[], scope: Scope) {
    this.#tokens = tokens;
    this.#scope = scope;
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(offset = 0): string {
    return this.#tokens[this.#at + offset]?.text ?? "";
  }

  take(text: string): boolean {
    if (this.peek() !== text) return false;
    this.#at++;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) throw new Error(`expected ${text}, found ${this.peek() || "the end"}`);
  }

  conditional(): Value {
    const test = this.binary(0);
    if (!this.take("?")) return test;
    const yes = this.conditional();
    this.expect(":");
    const no = this.conditional();
    const type = common(yes, no);
    return typed(test.value !== 0n ? yes.value : no.value, type.bits, type.signed);
  }

  binary(level: number): Value {
    const operators = LEVELS[level];
    if (!operators) return this.unary();
    let left = this.binary(level + 1);
    while (operators.includes(this.peek())) {
      const operator = this.peek();
      this.#at++;
      left = apply(operator, left, this.binary(level + 1));
    }
    return left;
  }

  unary(): Value {
    for (const operator of ["-", "+", "~", "!"]) {
      if (!this.take(operator)) continue;
      const { value, bits, signed } = this.unary();
      if (operator === "!") return bool(value === 0n);
      return typed(operator === "-" ? -value : operator === "~" ? ~value : value, bits, signed);
    }
    if (this.take("sizeof")) {
      const type = this.type();
      if (!type) throw new Error(`sizeof of something that is no known type: ${this.peek(1)}`);
      return typed(BigInt(type.size), 64, false);
    }
    if (this.peek() === "(") {
      const type = this.type();
      if (type) return cast(this.unary(), type.size, type.signed);
    }
    return this.primary();
  }

  /** Reads `( type )` when that is what comes next. */
  type(): { size: number; signed: boolean } | undefined {
    const words: string[] = [];
    for (let i = 1; /^[A-Za-z_*]/.test(this.peek(i)); i++) words.push(this.peek(i));
    if (this.peek(words.length + 1) !== ")") return undefined;
    const type = this.#scope.sizeOf(words);
    if (type) this.#at += words.length + 2;
    return type;
  }

  primary(): Value {
    const token = this.#tokens[this.#at++];
    if (!token) throw new Error("the expression ends too early");
    if (token.text === "(") {
      const inner = this.conditional();
      this.expect(")");
      return inner;
    }
    if (token.kind === "number") return literal(token.text);
    if (token.kind === "char" && /^'[^\\]'$/.test(token.text)) return typed(BigInt(token.text.charCodeAt(1)), 32, true);
    const value = token.kind === "name" ? this.#scope.constant(token.text) : undefined;
    if (value === undefined) throw new Error(`${token.text} has no value`);
    return fromEnum(value);
  }
}

/** The type gcc gives an enumeration constant: int where it fits, else the next that does. */
function fromEnum(value: bigint): Value {
  if (value >= -(1n << 31n) && value < 1n << 31n) return typed(value, 32, true);
  if (value >= 0n && value < 1n << 32n) return typed(value, 32, false);
  return typed(value, 64, value < 1n << 63n);
}

function cast(value: Value, size: number, signed: boolean): Value {
  const width = size * 8;
  const narrowed = signed ? BigInt.asIntN(width, value.value) : BigInt.asUintN(width, value.value);
  // Types narrower than int are promoted to int at once, which holds all their values.
  return typed(narrowed, width > 32 ? 64 : 32, width < 32 || signed);
}

function apply(operator: string, left: Value, right: Value): Value {
  // A shift has the type of its left side alone.
  if (operator === "<<") return typed(left.value << right.value, left.bits, left.signed);
  if (operator === ">>") return typed(left.value >> right.value, left.bits, left.signed);
  if (operator === "&&") return bool(left.value !== 0n && right.value !== 0n);
  if (operator === "||") return bool(left.value !== 0n || right.value !== 0n);
  const { bits, signed } = common(left, right);
  const a = typed(left.value, bits, signed).value;
  const b = typed(right.value, bits, signed).value;
  if (operator === "==") return bool(a === b);
  if (operator === "!=") return bool(a !== b);
  if (operator === "<") return bool(a < b);
  if (operator === ">") return bool(a > b);
  if (operator === "<=") return bool(a <= b);
  if (operator === ">=") return bool(a >= b);
  if ((operator === "/" || operator === "%") && b === 0n) throw new Error("division by zero");
  return typed(arithmetic(operator, a, b), bits, signed);
}

function arithmetic(operator: string, a: bigint, b: bigint): bigint {
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") return a * b;
  if (operator === "/") return a / b;
  if (operator === "%") return a % b;
  if (operator === "&") return a & b;
  if (operator === "|") return a | b;
  return a ^ b;
}

/**
 * Evaluates a whole constant expression whose macros are already expanded.
 * @throws Error when the tokens are no such expression, or name something without a value.
 */
export function evaluate(tokens: readonly Token[], scope: Scope): Value {
  const reader = new Reader(tokens, scope);
  const value = reader.conditional();
  if (!reader.done) throw new Error(`unexpected ${reader.peek()} after an expression`);
  return value;
}
