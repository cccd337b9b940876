/**
 * What the ring's functions make of their arguments. Each knows what is plain, and says undefined to everything else:
 * that goes to Bun's own function, which takes it or refuses it in its own words.
 */
import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { fileURLToPath } from "node:url";

/** The longest path that the kernel takes, with its NUL. */
const PATH_BYTES = 4096;
/** A string of so many characters is never too long, whatever they are. */
const SURELY_SHORT = Math.floor((PATH_BYTES - 1) / 3);

/** A path as a string: from a string, bytes of UTF-8, or a file URL. Not one that is empty, too long or has a NUL. */
export function pathOf(value: unknown): string | undefined {
  const path = typeof value === "string" ? value : pathOfOther(value);
  if (path === undefined || path.length === 0 || path.includes("\0") || !path.isWellFormed()) return undefined;
  return path.length <= SURELY_SHORT || Buffer.byteLength(path) < PATH_BYTES ? path : undefined;
}

function pathOfOther(value: unknown): string | undefined {
  if (value instanceof Uint8Array) {
    if (!isUtf8(value)) return undefined;
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  }
  if (!(value instanceof URL) || value.protocol !== "file:") return undefined;
  try {
    return fileURLToPath(value);
  } catch {
    return undefined;
  }
}

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;
/** No constant of node:fs; the same on every processor this runs on. */
const O_CLOEXEC = 0o2000000;

const create = O_CREAT | O_WRONLY;
const createBoth = O_CREAT | O_RDWR;

const flagWords: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  sr: O_RDONLY | O_SYNC,
  "r+": O_RDWR,
  "rs+": O_RDWR | O_SYNC,
  "sr+": O_RDWR | O_SYNC,
  w: create | O_TRUNC,
  wx: create | O_TRUNC | O_EXCL,
  xw: create | O_TRUNC | O_EXCL,
  "w+": createBoth | O_TRUNC,
  "wx+": createBoth | O_TRUNC | O_EXCL,
  "xw+": createBoth | O_TRUNC | O_EXCL,
  a: create | O_APPEND,
  ax: create | O_APPEND | O_EXCL,
  xa: create | O_APPEND | O_EXCL,
  as: create | O_APPEND | O_SYNC,
  sa: create | O_APPEND | O_SYNC,
  "a+": createBoth | O_APPEND,
  "ax+": createBoth | O_APPEND | O_EXCL,
  "xa+": createBoth | O_APPEND | O_EXCL,
  "as+": createBoth | O_APPEND | O_SYNC,
  "sa+": createBoth | O_APPEND | O_SYNC,
};

/** O_* for openat, close-on-exec as all of Bun's are. @param value "r", "wx+", O_*, or nothing for `usual`. */
export function openFlagsOf(value: unknown, usual: string): number | undefined {
  const given = value ?? usual;
  const flags =
    typeof given === "string" ? (Object.hasOwn(flagWords, given) ? flagWords[given] : undefined) : countOf(given);
  return flags === undefined ? undefined : flags | O_CLOEXEC;
}

/** A file's mode. */
export function modeOf(value: unknown, usual: number): number | undefined {
  if (value === undefined || value === null) return usual;
  return typeof value === "number" && (value & 0o7777) === value ? value : undefined;
}

/** A whole number from 0 to 2^31 - 1. */
export function countOf(value: unknown): number | undefined {
  return typeof value === "number" && (value | 0) === value && value >= 0 ? value : undefined;
}

/** A position in a file: a whole number from 0 to 2^53 - 1. */
export function positionOf(value: unknown): number | undefined {
  if (typeof value === "bigint") return value >= 0n && value <= Number.MAX_SAFE_INTEGER ? Number(value) : undefined;
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

/** What is read is given as. */
export type Encoding = BufferEncoding | "buffer";

const encodings = new Set<unknown>([
  "buffer",
  "utf8",
  "utf-8",
  "utf16le",
  "utf-16le",
  "ucs2",
  "ucs-2",
  "latin1",
  "binary",
  "ascii",
  "hex",
  "base64",
  "base64url",
]);

/** An encoding in its usual spelling. */
export function encodingOf(value: unknown, usual: Encoding): Encoding | undefined {
  if (value === undefined || value === null) return usual;
  return encodings.has(value) ? (value as Encoding) : undefined;
}

/** Options that are an object, as a record; those that are nothing as an empty one. */
export function recordOf(options: unknown): Readonly<Record<string, unknown>> | undefined {
  if (options === undefined || options === null) return {};
  return typeof options === "object" && !Array.isArray(options) ? (options as Record<string, unknown>) : undefined;
}

/** Whether it is a view of memory that stays where it is: neither resizable nor transferred. */
export function isSteady(value: unknown): value is NodeJS.ArrayBufferView {
  if (!ArrayBuffer.isView(value)) return false;
  const { resizable, growable, detached } = value.buffer as ArrayBuffer & { growable?: boolean };
  return !resizable && growable !== true && !detached;
}

/** The bytes of a view from an offset on; the view itself where that is all of it. */
export function bytesOf(view: NodeJS.ArrayBufferView, offset: number, length: number): NodeJS.ArrayBufferView {
  if (offset === 0 && length === view.byteLength) return view;
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

/** Whether it is a signal that was not aborted, or none. */
export function isCalm(value: unknown): value is AbortSignal | undefined {
  return value === undefined || (value instanceof AbortSignal && !value.aborted);
}
