/**
 * Sizes, alignments and offsets of C records, by the rules that x86-64 and arm64 share.
 */

/** A type of a member. */
export type CType =
  | { readonly kind: "base"; readonly name: string; readonly size: number; readonly align: number }
  | { readonly kind: "record"; readonly record: RecordType }
  | { readonly kind: "unknown"; readonly name: string };

/** A member of a record. A dimension of null is a flexible array. */
export interface Member {
  readonly name: string | null;
  readonly type: CType;
  readonly dimensions: readonly (number | null)[];
  /** Width of a bit-field in bits, else null. */
  readonly bits: number | null;
  /** An alignment demanded by an attribute, else null. */
  readonly aligned: number | null;
}

/** A struct or union. */
export interface RecordType {
  readonly kind: "struct" | "union";
  readonly tag: string | null;
  readonly members: readonly Member[];
  readonly packed: boolean;
  readonly aligned: number | null;
}

/** Where a field lies. Names of fields inside a named member without a tag are joined with a dot. */
export interface Field {
  readonly name: string;
  /** Bytes from the start of the record. */
  readonly offset: number;
  /** Bytes; 0 for a flexible array. For a bit-field, the bytes of its storage unit. */
  readonly width: number;
  /** Bytes of one element when the field is an array, else null. */
  readonly stride: number | null;
  /** How C spells the type, e.g. `__u32`, `__u64[4]`, `struct io_uring_buf[]`. */
  readonly type: string;
  /** First bit and number of bits inside the storage unit when the field is a bit-field, else null. */
  readonly bits: readonly [number, number] | null;
}

/** Size and alignment of a record in bytes, and all its fields. */
export interface Layout {
  readonly size: number;
  readonly align: number;
  readonly fields: readonly Field[];
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

function typeName(type: CType): string {
  if (type.kind !== "record") return type.name;
  return type.record.tag === null ? type.record.kind : `${type.record.kind} ${type.record.tag}`;
}

function measure(type: CType): { size: number; align: number } {
  if (type.kind === "base") return type;
  if (type.kind === "record") return layoutOf(type.record);
  throw new Error(`${type.name} has no known size`);
}

/** Lays out one record. */
export function layoutOf(record: RecordType): Layout {
  const fields: Field[] = [];
  let align = 1;
  let end = 0;
  // Position in bits, so that bit-fields and plain members share one cursor.
  let cursor = 0;
  for (const member of record.members) {
    const unit = measure(member.type);
    const natural = record.packed ? 1 : unit.align;
    const wanted = Math.max(member.aligned ?? natural, natural);
    if (member.bits === 0) {
      cursor = roundUp(cursor, unit.size * 8);
      continue;
    }
    if (member.name !== null || member.type.kind === "record") align = Math.max(align, wanted);
    let start = record.kind === "union" ? 0 : cursor;
    if (member.bits !== null) {
      const crosses = Math.floor(start / (unit.size * 8)) !== Math.floor((start + member.bits - 1) / (unit.size * 8));
      if (crosses && !record.packed) start = roundUp(start, unit.size * 8);
      place(fields, member, start, unit.size);
      cursor = start + member.bits;
    } else {
      start = roundUp(start, wanted * 8);
      place(fields, member, start, unit.size);
      cursor = start + count(member) * unit.size * 8;
    }
    end = Math.max(end, cursor);
  }
  align = Math.max(align, record.aligned ?? 1);
  return { size: roundUp(Math.ceil(end / 8), align), align, fields };
}

/** Elements of a member: 1 for a scalar, 0 for a flexible array. */
function count(member: Member): number {
  return member.dimensions.reduce<number>((product, n) => product * (n ?? 0), 1);
}

/** Adds the fields of one member that starts at bit `start`. */
function place(fields: Field[], member: Member, start: number, size: number): void {
  const { name, type, dimensions, bits } = member;
  if (bits !== null) {
    if (name === null) return;
    const offset = Math.floor(start / (size * 8)) * size;
    const field = { name, offset, width: size, stride: null, type: typeName(type) };
    fields.push({ ...field, bits: [start - offset * 8, bits] });
    return;
  }
  const offset = start / 8;
  const spelled = typeName(type) + dimensions.map((n) => `[${n ?? ""}]`).join("");
  if (name !== null) {
    const stride = dimensions.length > 0 ? size : null;
    fields.push({ name, offset, width: count(member) * size, stride, type: spelled, bits: null });
  }
  // A record with a tag has a layout of its own; one without is reachable only from here.
  if (type.kind !== "record" || (name !== null && type.record.tag !== null) || dimensions.length > 0) return;
  for (const inner of layoutOf(type.record).fields) {
    const path = name === null ? inner.name : `${name}.${inner.name}`;
    fields.push({ ...inner, name: path, offset: offset + inner.offset });
  }
}
