/** How the GNU tools word what went wrong, and how they write the names of files. */
import { writeSync } from "node:fs";
import { errnoMessage, UringError } from "bun-uring";

/** What went wrong as strerror(3) words it: "No such file or directory". Takes a failed request's `res` as it is. */
export function strerror(result: number): string {
  const text = errnoMessage(result);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * Whether there can be no ring here: the kernel refuses it, or this is no Linux. The message says why, and the cure.
 */
export function isRefusal(error: unknown): error is Error {
  return error instanceof UringError || (error as { code?: string }).code === "ERR_URING_PLATFORM";
}

/** Writes a line to stderr as `program: text`, at once: the program may be about to die. */
export function complain(program: string, text: string): void {
  try {
    writeSync(2, `${program}: ${text}\n`);
  } catch {
    // Nobody is there to be told; the exit status still tells.
  }
}

/** A name in messages, quoted for a shell where it has to be: `cat` writes names so. */
export function quoteIfNeeded(name: string | Uint8Array): string {
  const text = Buffer.from(name).toString();
  return /^[\p{L}\p{N}_.,/+@%-]+$/u.test(text) ? text : quote(name);
}

/** A name in messages, always quoted for a shell, which can read it back whatever is in it: `cp` writes names so. */
export function quote(name: string | Uint8Array): string {
  const bytes = Buffer.from(name);
  const text = bytes.toString();
  if (text.includes("'") && !/["$`\\!\p{Cc}\ufffd]/u.test(text)) return `"${text}"`;
  // What is no UTF-8 is taken byte by byte, and then no byte past ASCII can be shown.
  const encoding = bytes.equals(Buffer.from(text)) ? "utf8" : "latin1";
  const hidden = encoding === "utf8" ? /(\p{Cc}+)/u : /([^ -~]+)/;
  const parts = bytes.toString(encoding).split(hidden);
  return parts
    .map((part, i) => (i % 2 === 0 ? plain(part, i > 0) : `$'${escape(Buffer.from(part, encoding))}'`))
    .join("");
}

/** Text between single quotes, its own ones written as `'\''`; behind something escaped nothing empty is quoted. */
function plain(text: string, behind: boolean): string {
  if (behind && text === "") return "";
  const quoted = `'${text.replaceAll("'", "'\\''")}'`;
  return behind && text.startsWith("'") ? quoted.slice(2) : quoted;
}

const escapes: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
};

function escape(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => escapes[byte] ?? `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
