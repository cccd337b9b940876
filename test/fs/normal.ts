/** Values of two runs in two directories, made comparable: no directory's name, no inode's number, no time of day. */
import { createHash } from "node:crypto";
import { Dirent, Stats, type StatsBase } from "node:fs";

/** Times closer to now than this were made by the test. */
const RECENT_MS = 3_600_000;
/** Longer data is compared by its hash. */
const SHOWN_BYTES = 200;
/** What the engine says of a mistake in JavaScript: it quotes the expression, which is nobody's promise. */
const engine = /is not an object|is not a function|evaluating|is not iterable|destructure|is not a constructor/;
const kinds = [
  "isFile",
  "isDirectory",
  "isSymbolicLink",
  "isFIFO",
  "isSocket",
  "isCharacterDevice",
  "isBlockDevice",
] as const;

/** A function that makes values comparable which come of a run in this directory. */
export function normaliser(dir: string): (value: unknown) => unknown {
  const text = (value: string): string => value.replaceAll(dir, "<dir>");

  const stats = (value: StatsBase<number | bigint>): unknown => {
    const fields = Object.keys(value).toSorted();
    const of = (name: string): unknown => (value as unknown as Record<string, unknown>)[name];
    const times = ["atime", "mtime", "ctime", "birthtime"].flatMap((name) => [
      ofTime((of(name) as Date | undefined)?.getTime(), "number"),
      ofTime(Number(of(`${name}Ms`)), typeof of(`${name}Ms`)),
      ofTime(Number(of(`${name}Ns`)) / 1e6, typeof of(`${name}Ns`)),
    ]);
    const plain = ["dev", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize"].map((name) => `${of(name)}`);
    return {
      class: value.constructor.name,
      genuine: value instanceof Stats,
      fields,
      types: fields.map((name) => typeof of(name)),
      inode: value.ino > 0,
      kinds: kinds.map((kind) => value[kind]()),
      plain,
      times,
    };
  };

  const dirent = (value: Dirent<string | Buffer>): unknown => ({
    class: value.constructor.name,
    name: normal(value.name),
    parentPath: normal(value.parentPath),
    kinds: kinds.map((kind) => value[kind]()),
  });

  const error = (value: Error): unknown => {
    const { name, message, cause } = value;
    const { code, errno, syscall, path, dest } = value as NodeJS.ErrnoException & { dest?: string };
    const said = engine.test(message) ? "<the engine's words>" : text(message);
    const kind = value instanceof DOMException ? "DOMException" : value.constructor.name;
    const keys = Object.keys(value)
      .filter((key) => !["line", "column", "sourceURL", "originalLine", "originalColumn"].includes(key))
      .toSorted();
    return { kind, name, said, keys, ...(normal({ code, errno, syscall, path, dest, cause }) as object) };
  };

  const object = (value: object): unknown => {
    if (/^(BigInt)?Stats$/.test(value.constructor?.name)) return stats(value as StatsBase<number>);
    if (value instanceof Dirent) return dirent(value);
    if (value instanceof Error) return error(value);
    if (value instanceof Date) return { date: ofTime(value.getTime(), "number") };
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return bytes(value);
    if (value instanceof SharedArrayBuffer) return ["shared", bytes(new Uint8Array(value))];
    if (Array.isArray(value)) return value.map(normal);
    if (value instanceof Map || value instanceof Set) return [value.constructor.name, ...[...value].map(normal)];
    const name = value.constructor?.name ?? "Object";
    if (name === "FileHandle") return "<FileHandle>";
    const entries = Object.entries(value).map(([key, member]) => [
      key,
      moving(value, key) ? typeof member : normal(member),
    ]);
    return name === "Object" ? Object.fromEntries(entries) : { class: name, ...Object.fromEntries(entries) };
  };

  const bytes = (value: ArrayBufferView | ArrayBuffer): unknown => {
    const memory = ArrayBuffer.isView(value) ? value.buffer : value;
    if (memory instanceof ArrayBuffer && memory.detached) return `${value.constructor.name} detached`;
    const data = ArrayBuffer.isView(value)
      ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
      : Buffer.from(value);
    const shown = data.length > SHOWN_BYTES ? digest(data) : text(data.toString("latin1"));
    return `${value.constructor.name}(${data.length}) ${shown}`;
  };

  const normal = (value: unknown): unknown => {
    if (typeof value === "string") return value.length > SHOWN_BYTES * 4 ? shortened(text(value)) : text(value);
    if (typeof value === "function") return `<function ${value.name}>`;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "symbol") return String(value);
    return typeof value === "object" && value !== null ? object(value) : value;
  };
  return normal;
}

/** Whether others change what a field says: how much of a file system is free. */
function moving(value: object, field: string): boolean {
  return "bavail" in value && ["bfree", "bavail", "files", "ffree"].includes(field);
}

/** A hash that stands for data that is too long to show. */
export function digest(data: string | Uint8Array): string {
  return `sha1:${createHash("sha1").update(data).digest("hex")}`;
}

function shortened(text: string): string {
  return `${text.slice(0, SHOWN_BYTES)}... ${text.length} ${digest(text)}`;
}

/** A time as it was set, or "recent". */
function ofTime(ms: number | undefined, type: string): string {
  if (ms === undefined || Number.isNaN(ms)) return `${type} ${ms}`;
  return Math.abs(Date.now() - ms) < RECENT_MS ? `${type} recent` : `${type} ${ms}`;
}
