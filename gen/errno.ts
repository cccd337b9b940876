/** src/abi/errno.gen.ts: error numbers, names and short messages. */
import type { Facts } from "./facts.ts";
import { provenance } from "./output.ts";

/** Messages by name (gen/messages.json). */
export type Messages = Record<string, string>;

/**
 * Emits the file's text, unformatted. A second name of a number (EWOULDBLOCK) gets a constant, not a place in the
 * tables.
 */
export function emitErrno(facts: Facts, messages: Messages): string {
  const names = new Map<number, string>();
  const constants: string[] = [];
  for (const [name, raw] of Object.entries(facts.errno)) {
    const value = Number(raw);
    const first = names.get(value);
    if (first === undefined) names.set(value, name);
    const message = messages[first ?? name];
    if (message === undefined) throw new Error(`${name} has no message: add one to gen/messages.json`);
    const text = first === undefined ? capital(message) : `Another name of ${first}`;
    constants.push(`/** ${text}. */`, `export const ${name} = ${value};`);
  }
  const highest = Math.max(...names.keys());
  const table = (text: (name: string) => string): string => {
    const cells = Array.from({ length: highest + 1 }, (_, i) => JSON.stringify(text(names.get(i) ?? "")));
    return `[${cells.join(", ")}]`;
  };
  return [
    `// ${provenance(facts, "asm-generic/errno.h")}`,
    "",
    "/**",
    " * Error numbers of Linux on x86-64 and arm64. The kernel answers with them negated: `-ECANCELED` is a result of -125.",
    " */",
    "",
    ...constants,
    "",
    "/** Names by number; the empty string where a number has none. */",
    `export const ERRNO_NAMES: readonly string[] = ${table((name) => name)};`,
    "",
    "/** Short messages by number, in lower case; the empty string where a number has none. */",
    `export const ERRNO_MESSAGES: readonly string[] = ${table((name) => messages[name] ?? "")};`,
    "",
  ].join("\n");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
