/** What one kernel's headers have that another's have not. */
import { constantsOf, fieldOf, structsOf } from "./facts.ts";
import type { Facts, StructFact } from "./facts.ts";
import { GROUPS, groupOf } from "./groups.ts";
import { numeral } from "./output.ts";

/** Everything that differs between two kernels, in lines for a person to read; empty when nothing does. */
export function diffFacts(older: Facts, newer: Facts): string[] {
  return [...diffConstants(older, newer), ...diffStructs(older, newer), ...diffErrno(older, newer)];
}

function diffConstants(older: Facts, newer: Facts): string[] {
  const before = constantsOf(older);
  const after = constantsOf(newer);
  const names = [...new Set([...after.keys(), ...before.keys()])];
  const lineOf = (name: string): string | null => {
    const was = before.get(name);
    const is = after.get(name);
    if (was === is) return null;
    if (was === undefined && is !== undefined) return `+ ${name} = ${numeral(is)}`;
    if (is === undefined) return `- ${name}`;
    return `~ ${name} = ${numeral(is)}, was ${was === undefined ? "absent" : numeral(was)}`;
  };
  const topics = [...GROUPS, undefined];
  return topics.flatMap((group) => {
    const lines = names.filter((name) => groupOf(name) === group).flatMap((name) => lineOf(name) ?? []);
    return lines.length === 0 ? [] : [group?.title ?? "No topic yet (gen/groups.ts)", ...lines.map((l) => `  ${l}`)];
  });
}

function diffStructs(older: Facts, newer: Facts): string[] {
  const before = structsOf(older);
  const after = structsOf(newer);
  return [...new Set([...after.keys(), ...before.keys()])].flatMap((tag) => {
    const was = before.get(tag);
    const is = after.get(tag);
    if (!is) return [`- struct ${tag}`];
    if (!was) return [`+ struct ${tag}, ${is.size} bytes`, ...is.fields.map((f) => `  + ${fieldText(f)}`)];
    const changes = diffFields(was, is);
    return changes.length === 0 ? [] : [`~ struct ${tag}`, ...changes.map((c) => `  ${c}`)];
  });
}

function diffFields(was: StructFact, is: StructFact): string[] {
  const before = new Map(was.fields.map((line) => [fieldOf(line).name, line]));
  const after = new Map(is.fields.map((line) => [fieldOf(line).name, line]));
  const size = was.size === is.size ? [] : [`~ size ${is.size}, was ${was.size}`];
  const fields = [...new Set([...after.keys(), ...before.keys()])].flatMap((name) => {
    const old = before.get(name);
    const now = after.get(name);
    if (old === now) return [];
    if (now === undefined) return [`- ${name}`];
    if (old === undefined) return [`+ ${fieldText(now)}`];
    return [`~ ${fieldText(now)}; was ${fieldText(old)}`];
  });
  return [...size, ...fields];
}

function fieldText(line: string): string {
  const field = fieldOf(line);
  return `${field.name}: ${field.type}, ${field.width} bytes at ${field.offset}`;
}

function diffErrno(older: Facts, newer: Facts): string[] {
  const names = [...new Set([...Object.keys(newer.errno), ...Object.keys(older.errno)])];
  const changed = names.filter((name) => older.errno[name] !== newer.errno[name]);
  if (changed.length === 0) return [];
  return ["Error numbers", ...changed.map((name) => `  ${name} = ${newer.errno[name] ?? "gone"}`)];
}
