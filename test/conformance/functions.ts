/** Every prep function with its signature, found where they are, so that none can be forgotten. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readSignatures, type Signature } from "../../gen/signatures.ts";
import { Slot } from "../../src/ring/prep/slot.ts";

/** A prep function and what its source says of it. */
export interface PrepFunction {
  readonly signature: Signature;
  readonly call: (sqe: Slot, ...args: unknown[]) => void;
}

const folder = join(import.meta.dir, "../../src/ring/prep");
const files = readdirSync(folder).filter((file) => file.endsWith(".ts"));
const modules = new Map<string, Record<string, unknown>>();
for (const file of files) modules.set(file, (await import(join(folder, file))) as Record<string, unknown>);

/** All of them, by name. */
export const prepFunctions: ReadonlyMap<string, PrepFunction> = new Map(
  readSignatures(files.map((file) => ({ file, text: readFileSync(join(folder, file), "utf8") }))).map((signature) => {
    const call = modules.get(signature.file)?.[signature.name];
    if (typeof call !== "function") throw new Error(`${signature.file} exports no function ${signature.name}`);
    return [signature.name, { signature, call: call as PrepFunction["call"] }];
  }),
);

/** What an earlier use may have left in a slot. */
export const dirt: number = 0xaaaaaaaa | 0;

/** A dirty slot in the middle of a queue of dirty ones. */
export function dirtySlot(stride: 16 | 32): Slot {
  const slot = new Slot(new Int32Array(4 * stride).fill(dirt), stride);
  slot.at = stride;
  return slot;
}

/** The bytes of a slot's entry. */
export function entryBytes(slot: Slot, count: number = slot.stride * 4): Uint8Array {
  return new Uint8Array(slot.words.buffer, slot.words.byteOffset + slot.at * 4, count);
}

/** Whether nothing has been written to a dirty slot's queue. */
export function untouched(slot: Slot): boolean {
  return slot.words.every((word) => word === dirt);
}
