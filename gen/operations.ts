/** operations.json: what is known of each opcode, for tests, documentation and other programs. */
import { constantsOf, fieldOf, structsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { provenance } from "./output.ts";
import type { Signature } from "./signatures.ts";
import type { Since } from "./since.ts";

/** What is written by hand about an opcode (gen/operations.json). */
export interface OperationNote {
  readonly description: string;
  /** How much a caller has to get right: plain values, memory to keep, or several completions. */
  readonly complexity: "simple" | "memory" | "stream";
  /** How many programs need it. */
  readonly priority: "core" | "common" | "rare";
  /** Fields of the entry that it reads, beside opcode, flags, user_data and personality. */
  readonly fields: readonly string[];
  /** The flags it knows, by the field that holds them. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
  /** How the kernel treats it. */
  readonly traits: readonly string[];
  /** The kernel's build option without which it is absent. */
  readonly config?: string;
}

/** Notes by opcode name. */
export type OperationNotes = Readonly<Record<string, OperationNote>>;

/** How a call of a prep function looks. */
export interface PrepEntry {
  readonly name: string;
  readonly parameters: readonly string[];
  /** liburing's helper of the same work, or null where it has none. */
  readonly helper: string | null;
}

/** One opcode in operations.json. */
export interface Operation extends Omit<OperationNote, "config"> {
  readonly name: string;
  readonly opcode: number;
  readonly kernel: string;
  /** How the first kernel is known. */
  readonly source: string;
  readonly config: string | null;
  /** The flags of `sqe->flags` that mean something for it. */
  readonly sqeFlags: readonly string[];
  readonly prep: readonly PrepEntry[];
}

/** Names of all opcodes of a kernel with their values, without the marker at the end. */
export function opcodesOf(facts: Facts): [string, number][] {
  return [...constantsOf(facts)]
    .filter(([name]) => name.startsWith("IORING_OP_") && name !== "IORING_OP_LAST")
    .map(([name, value]) => [name, Number(value)]);
}

/** What is wrong with the hand-written notes, in one line each. */
export function operationFaults(facts: Facts, notes: OperationNotes): string[] {
  const constants = constantsOf(facts);
  const fields = new Set(
    structsOf(facts)
      .get("io_uring_sqe")
      ?.fields.map((line) => fieldOf(line).name),
  );
  const opcodes = new Set(opcodesOf(facts).map(([name]) => name));
  const faults = [...opcodes].filter((name) => !notes[name]).map((name) => `${name}: gen/operations.json lacks it`);
  for (const [name, note] of Object.entries(notes)) {
    if (!opcodes.has(name)) faults.push(`${name}: in gen/operations.json, in no header`);
    for (const field of [...note.fields, ...Object.keys(note.flags)]) {
      if (!fields.has(field)) faults.push(`${name}: io_uring_sqe has no field ${field}`);
    }
    for (const field of Object.keys(note.flags)) {
      if (!note.fields.includes(field)) faults.push(`${name}: has flags for ${field}, which is not among its fields`);
    }
    for (const flag of Object.values(note.flags).flat()) {
      const ours = /^(IORING|IOSQE|IOU|SOCKET_URING|BLOCK_URING)_/.test(flag);
      if (ours && !constants.has(flag)) faults.push(`${name}: the headers have no ${flag}`);
    }
  }
  return faults;
}

function sqeFlagsOf(note: OperationNote): string[] {
  return [
    ...(note.traits.includes("needsFile") ? ["IOSQE_FIXED_FILE"] : []),
    "IOSQE_IO_DRAIN",
    "IOSQE_IO_LINK",
    "IOSQE_IO_HARDLINK",
    "IOSQE_ASYNC",
    ...(note.traits.includes("bufferSelect") ? ["IOSQE_BUFFER_SELECT"] : []),
    "IOSQE_CQE_SKIP_SUCCESS",
  ];
}

/** Joins facts, first kernels, notes and signatures into one list by opcode. */
export function operationsOf(
  facts: Facts,
  since: ReadonlyMap<string, Since>,
  notes: OperationNotes,
  signatures: readonly Signature[],
): Operation[] {
  return opcodesOf(facts).map(([name, opcode]) => {
    const note = notes[name];
    const first = since.get(name);
    if (!note || !first) throw new Error(`${name} has no note or no first kernel`);
    const prep = signatures.filter((s) => s.opcodes.includes(name)).map(prepEntry);
    const { description, complexity, priority, fields, flags, traits } = note;
    const config = note.config ?? null;
    const head = { name, opcode, kernel: first.kernel, source: first.source, description, complexity, priority };
    return { ...head, fields, sqeFlags: sqeFlagsOf(note), flags, traits, config, prep };
  });
}

function prepEntry(signature: Signature): PrepEntry {
  const { name, parameters, helper } = signature;
  return { name, parameters: parameters.map((p) => p.name), helper };
}

/** Emits the file's text, unformatted. */
export function emitOperations(
  facts: Facts,
  operations: readonly Operation[],
  signatures: readonly Signature[],
): string {
  const legend = {
    complexity: "simple: plain values; memory: memory to keep until completion; stream: several completions",
    priority: "core: most programs; common: many; rare: few",
    fields: "fields of io_uring_sqe that it reads, beside opcode, flags, user_data and personality",
    sqeFlags: "flags of sqe->flags that mean something for it",
    flags: "flags that it knows, by the field that holds them",
    prep: "methods that prepare it, their arguments, and liburing's helper of the same work",
    anyOperation: "methods that prepare whatever opcode they are given",
  };
  const anyOperation = signatures.filter((s) => s.opcodes.length === 0).map(prepEntry);
  return JSON.stringify({ generated: provenance(facts), legend, operations, anyOperation }, null, 2);
}
