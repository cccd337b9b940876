/**
 * What one kernel's headers say, as plain data: the form in which it is committed (gen/facts/KERNEL.json),
 * so that everything generated can be regenerated without the headers.
 */
import { createHash } from "node:crypto";
import { layoutOf } from "./layout.ts";
import { parse } from "./parse.ts";
import type { Source } from "./parse.ts";

/** Where headers came from. No host and no path: the same headers give the same facts on every machine. */
export interface Origin {
  /** The kernel's release without its patch level, e.g. `6.18`. */
  readonly kernel: string;
  /** E.g. `linux-libc-dev 7.3.4-1~bpo13+1`. */
  readonly name: string;
  /** Debian suite, path below the archive's root and SHA-256 of the package; null for headers from elsewhere. */
  readonly archive: { readonly suite: string; readonly file: string; readonly sha256: string } | null;
}

/** A set of headers of one kernel. */
export interface HeaderSet {
  readonly origin: Origin;
  readonly sources: readonly Source[];
  /** What a person should know about where they came from. */
  readonly note?: string;
}

/** A struct or union: bytes, and one line per field (see {@link FieldFact}). */
export interface StructFact {
  readonly size: number;
  readonly align: number;
  readonly fields: readonly string[];
}

/** A field, read from its line `name offset width type [stride N] [bits FIRST COUNT]`. */
export interface FieldFact {
  readonly name: string;
  readonly offset: number;
  readonly width: number;
  readonly type: string;
  readonly stride: number | null;
  readonly bits: readonly [number, number] | null;
}

/** Values past 2^53 stand as decimal strings. */
export type Values = Record<string, number | string>;

/** Everything one kernel's headers say that this project uses. */
export interface Facts extends Origin {
  /** SHA-256 of each header. */
  readonly files: Record<string, string>;
  /** File, then enum (`enum TAG`, `enum` without tag) or `define`, then name and value. */
  readonly constants: Record<string, Record<string, Values>>;
  readonly structs: Record<string, Record<string, StructFact>>;
  readonly errno: Values;
}

/** The headers this project describes, whole. */
export const SUBJECTS: readonly string[] = [
  "linux/io_uring.h",
  "linux/io_uring/query.h",
  "linux/io_uring/zcrx.h",
  "linux/io_uring/bpf_filter.h",
  "linux/io_uring/mock_file.h",
];

/** Headers beside them, of which only what matches is taken: the commands of other subsystems that io_uring carries. */
const NEIGHBOURS: Readonly<Record<string, { constants: RegExp; structs: RegExp }>> = {
  "linux/time_types.h": { constants: /^(?!)/, structs: /^__kernel_timespec$/ },
  "linux/blkdev.h": { constants: /^BLOCK_URING_CMD_/, structs: /^(?!)/ },
};

/** The headers with the error numbers. */
export const ERRNO_SUBJECTS: readonly string[] = ["asm-generic/errno-base.h", "asm-generic/errno.h"];

/** Every header to look for, in the order in which they are read. */
export const WANTED: readonly string[] = [
  "asm-generic/ioctl.h",
  "linux/time_types.h",
  ...SUBJECTS.slice(1),
  ...SUBJECTS.slice(0, 1),
  "linux/blkdev.h",
  ...ERRNO_SUBJECTS,
];

/** SHA-256 of `text` in hexadecimal. */
export function sha256(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}

function wanted(file: string, name: string, kind: "constants" | "structs"): boolean {
  if (SUBJECTS.includes(file)) return true;
  return NEIGHBOURS[file]?.[kind].test(name) ?? false;
}

function plain(value: bigint): number | string {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : String(value);
}

/** Reads the facts out of a set of headers. */
export function factsOf(set: HeaderSet): Facts {
  const uapi = set.sources.filter((s) => !ERRNO_SUBJECTS.includes(s.file));
  const headers = parse(uapi);
  const order = [...SUBJECTS, ...Object.keys(NEIGHBOURS)];
  const facts: Facts = {
    ...set.origin,
    files: Object.fromEntries(
      [...order, ...ERRNO_SUBJECTS].flatMap((file) => {
        const source = set.sources.find((s) => s.file === file);
        return source ? [[file, sha256(source.text)]] : [];
      }),
    ),
    constants: {},
    structs: {},
    errno: errnoOf(set.sources),
  };
  for (const file of order) {
    for (const constant of headers.constants.filter((c) => c.file === file)) {
      if (!wanted(file, constant.name, "constants")) continue;
      const group = constant.enum === null ? "define" : `enum ${constant.enum}`.trim();
      const groups = (facts.constants[file] ??= {});
      (groups[group] ??= {})[constant.name] = plain(constant.value);
    }
    for (const [tag, { record, file: where }] of headers.records) {
      if (where !== file || !wanted(file, tag, "structs")) continue;
      const { size, align, fields } = layoutOf(record);
      (facts.structs[file] ??= {})[tag] = { size, align, fields: fields.map(fieldLine) };
    }
  }
  return facts;
}

function errnoOf(sources: readonly Source[]): Values {
  const headers = parse(sources.filter((s) => ERRNO_SUBJECTS.includes(s.file)));
  return Object.fromEntries(headers.constants.map((c) => [c.name, plain(c.value)]));
}

function fieldLine(field: Omit<FieldFact, "stride" | "bits"> & Pick<FieldFact, "stride" | "bits">): string {
  const stride = field.stride === null ? "" : ` stride ${field.stride}`;
  const bits = field.bits === null ? "" : ` bits ${field.bits[0]} ${field.bits[1]}`;
  return `${field.name} ${field.offset} ${field.width} ${field.type}${stride}${bits}`;
}

/** Reads a field's line back. */
export function fieldOf(line: string): FieldFact {
  const match = /^(\S+) (\d+) (\d+) (.+?)(?: stride (\d+))?(?: bits (\d+) (\d+))?$/.exec(line);
  if (!match) throw new Error(`no field: ${line}`);
  const [, name = "", offset, width, type = "", stride, first, bits] = match;
  return {
    name,
    offset: Number(offset),
    width: Number(width),
    type,
    stride: stride === undefined ? null : Number(stride),
    bits: first === undefined ? null : [Number(first), Number(bits)],
  };
}

/** All constants of a kernel by name. */
export function constantsOf(facts: Facts): Map<string, bigint> {
  const all = new Map<string, bigint>();
  for (const groups of Object.values(facts.constants)) {
    for (const values of Object.values(groups)) {
      for (const [name, value] of Object.entries(values)) all.set(name, BigInt(value));
    }
  }
  return all;
}

/** All structs of a kernel by name. */
export function structsOf(facts: Facts): Map<string, StructFact> {
  return new Map(Object.values(facts.structs).flatMap((structs) => Object.entries(structs)));
}

/** Orders kernel releases: negative when `a` is older. */
export function compareKernels(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split(".").map(Number);
  const [bMajor = 0, bMinor = 0] = b.split(".").map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}
