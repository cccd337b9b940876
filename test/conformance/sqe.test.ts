/** Every prep function against what liburing writes, byte by byte, on slots that an earlier use has left dirty. */
import { afterAll, describe, expect, test } from "bun:test";
import { Ring } from "../../src/ring/ring.ts";
import type { Sqe } from "../../src/ring/sqe.ts";
import { has, needs } from "../support/kernel.ts";
import { dirt, dirtySlot, entryBytes, prepFunctions } from "./functions.ts";
import { source, vectors } from "./sqe.json";

interface Vector {
  readonly helper: string;
  readonly args: Readonly<Record<string, number | string>>;
  readonly sqe: string;
}

/** Helpers of the file that have no function yet, without the prefix "prep". */
const stillToCome: readonly string[] = [];

const USER_DATA = 32;
const cases = Map.groupBy(vectors as unknown as readonly Vector[], (vector) => vector.helper);

function nameOf(helper: string): string {
  return `prep_${helper}`.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** A vector's arguments in the order of our parameters. */
function argumentsOf(name: string, vector: Vector): unknown[] {
  const parameters = prepFunctions.get(name)?.signature.parameters ?? [];
  const given = new Set(Object.keys(vector.args));
  const args = parameters.map((parameter) => {
    const value = vector.args[parameter.name];
    if (!given.delete(parameter.name) && !parameter.optional)
      throw new Error(`${name}: no value for ${parameter.name}`);
    return typeof value === "string" ? BigInt(value) : value;
  });
  if (given.size > 0) throw new Error(`${name} has no parameter ${[...given].join(", ")}`);
  return args;
}

/** liburing leaves user data alone, ours clears it. */
function expected(vector: Vector): string {
  return vector.sqe.slice(0, 2 * USER_DATA) + "0".repeat(16) + vector.sqe.slice(2 * USER_DATA + 16);
}

const hex = (bytes: Uint8Array): string => bytes.toHex();

test(`the helpers of ${source} all have a function`, () => {
  const missing = [...cases.keys()].filter((helper) => !prepFunctions.has(nameOf(helper)));
  expect(missing).toEqual([...stillToCome]);
});

test("the file has cases enough to mean something", () => {
  expect(cases.size).toBeGreaterThanOrEqual(101);
  expect(vectors.length).toBeGreaterThanOrEqual(596);
});

describe.each([16, 32] as const)("on slots of %d words", (stride) => {
  for (const [helper, list] of cases) {
    const name = nameOf(helper);
    const prep = prepFunctions.get(name);
    if (prep === undefined) continue;
    test(`${name}() writes what io_uring_prep_${helper}() writes, and user data 0`, () => {
      for (const vector of list) {
        const slot = dirtySlot(stride);
        if (helper.endsWith("128")) slot.wide = true;
        prep.call(slot, ...argumentsOf(name, vector));
        expect({ args: vector.args, sqe: hex(entryBytes(slot, 64)) }).toEqual({
          args: vector.args,
          sqe: expected(vector),
        });
        const before = slot.words.subarray(0, slot.at);
        expect(before.every((word) => word === dirt)).toBe(true);
        const rest = slot.words.subarray(slot.at + 16);
        const second = rest.subarray(0, 16);
        const cleared = slot.wide && second.every((word) => word === 0);
        expect(cleared || second.every((word) => word === dirt)).toBe(true);
        expect(rest.subarray(16).every((word) => word === dirt)).toBe(true);
      }
    });
  }
});

// A ring that is never enabled takes no entry: whatever is in its queue, nothing of it is done.
const entries = vectors.length + 32;
const small = { words: 16, ring: new Ring(entries, { rDisabled: true }) };
const rings = has("IORING_SETUP_SQE128")
  ? [small, { words: 32, ring: new Ring(entries, { rDisabled: true, sqe128: true }) }]
  : [small];
afterAll(() => rings.forEach(({ ring }) => ring.close()));

describe.each(rings)("in a ring's queue, $words words an entry", ({ words, ring }) => {
  const queue = ring.getSqe().words.fill(dirt);

  for (const [helper, list] of cases) {
    const name = nameOf(helper);
    if (!prepFunctions.has(name)) continue;
    const method = (ring as unknown as Record<string, (...args: unknown[]) => Sqe>)[name];
    if (helper.endsWith("128") && words === 16) {
      test(`ring.${name}() refuses a ring of 64-byte entries`, () => {
        const ready = ring.sqReady();
        expect(() => method?.apply(ring, argumentsOf(name, list[0] as Vector))).toThrow(
          expect.objectContaining({ code: "ERR_URING_STATE" }),
        );
        expect(ring.sqReady()).toBe(ready);
      });
      continue;
    }
    test(`ring.${name}() writes it where the kernel reads it`, () => {
      for (const vector of list) {
        const ready = ring.sqReady();
        const sqe = method?.apply(ring, argumentsOf(name, vector)) as Sqe;
        expect(sqe.words).toBe(queue);
        expect(hex(entryBytes(sqe, 64))).toBe(expected(vector));
        expect(ring.sqReady()).toBe(ready + 1);
      }
    });
  }
});

needs("IORING_SETUP_SQE128")("entries of 128 bytes were among them", () => {
  expect(rings.map(({ words }) => words)).toEqual([16, 32]);
});

test("modifiers add their bits to what is there, and nothing else", () => {
  const { ring } = small;
  const plain = hex(entryBytes(ring.prepReadFixed(3, 0x1000, 0, 7, 16)));
  const bytes = (change: (sqe: Sqe) => Sqe): string => hex(entryBytes(change(ring.prepReadFixed(3, 0x1000, 0, 7, 16))));
  const at = (offset: number, text: string): string =>
    plain.slice(0, 2 * offset) + text + plain.slice(2 * offset + text.length);

  expect(bytes((sqe) => sqe.fixedFile())).toBe(at(1, "01"));
  expect(bytes((sqe) => sqe.drain())).toBe(at(1, "02"));
  expect(bytes((sqe) => sqe.link())).toBe(at(1, "04"));
  expect(bytes((sqe) => sqe.hardlink())).toBe(at(1, "08"));
  expect(bytes((sqe) => sqe.async())).toBe(at(1, "10"));
  expect(bytes((sqe) => sqe.skipSuccess())).toBe(at(1, "40"));
  expect(bytes((sqe) => sqe.personality(0x1234))).toBe(at(42, "3412"));
  expect(bytes((sqe) => sqe.userData(0x1122334455667))).toBe(at(32, "6756453423120100".slice(0, 16)));
  expect(bytes((sqe) => sqe.ioprio(0x2005))).toBe(at(2, "0520"));
  // The group takes the place of the registered buffer's index.
  expect(bytes((sqe) => sqe.bufferSelect(0x0908))).toBe(at(40, "0809").slice(0, 2) + "20" + at(40, "0809").slice(4));
  expect(bytes((sqe) => sqe.link().fixedFile().skipSuccess().async())).toBe(at(1, "55"));
});
