/**
 * Every prep method with every argument spoiled in turn. The methods and the types of their arguments are read from the
 * generated builders, so that no method and no argument is forgotten: what cannot be must be refused by an error of the
 * library's own, and leave nothing in the queue.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Mapping, Ring, type Sqe } from "../../src/index.ts";
import { has, needs } from "../support/kernel.ts";

interface Parameter {
  name: string;
  type: string;
  optional: boolean;
}

const source = readFileSync(join(import.meta.dir, "../../src/ring/builders.gen.ts"), "utf8");

/** Every method that prepares an entry, with its parameters. */
const methods: [string, Parameter[]][] = [...source.matchAll(/^ {2}(prep\w+)\(([^{]*?)\): Sqe \{/gms)].map((match) => {
  const [, name, list] = match as unknown as [string, string, string];
  const parameters = list
    .split(",")
    .map((text) => text.trim())
    .filter((text) => text !== "");
  return [
    name,
    parameters.map((text) => {
      const [, parameter = "", mark, type = ""] = /^(\w+)(\??): (.*)$/s.exec(text) ?? [];
      return { name: parameter, type, optional: mark === "?" };
    }),
  ];
});

// Disabled, so that whatever is queued by mistake is never done.
const ring = new Ring(4096, { sqe128: has("IORING_SETUP_SQE128"), rDisabled: true });
const memory = Mapping.anonymous(4096);
memory.bytes.set(Buffer.from("name"));

afterAll(() => {
  ring.close();
  memory.close();
});

/** What each type takes. */
const good: Record<string, unknown> = {
  number: 1,
  Memory: memory,
  "Memory | null": memory,
  Path: "name",
  UserData: 1,
  FileOffset: 0,
  "number | bigint": 1,
  "Uint8Array | null": undefined,
};

const detached = new Uint8Array(64);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const resizable = new ArrayBuffer(64, { maxByteLength: 128 });

const notNumbers: [string, unknown][] = [
  ["a fraction", 0.5],
  ["NaN", Number.NaN],
  ["Infinity", Infinity],
  ["a string", "1"],
  ["null", null],
  ["an object", {}],
];
const notMemory: [string, unknown][] = [
  ["a number below 0", -1],
  ["a fraction", 1.5],
  ["a plain array", [1, 2, 3]],
  ["an object", {}],
  ["true", true],
  ["a detached view", detached],
  ["a detached buffer", detached.buffer],
  ["a resizable buffer", resizable],
  ["a view of a resizable buffer", new Uint8Array(resizable)],
  ["a growable shared buffer", new SharedArrayBuffer(8, { maxByteLength: 16 })],
];

/** What each type does not take. */
const bad: Record<string, [string, unknown][]> = {
  number: [...notNumbers, ["a bigint", 1n], ["2^32", 2 ** 32], ["-2^31 - 1", -(2 ** 31) - 1]],
  Memory: [...notMemory, ["a string", "text"], ["null", null]],
  "Memory | null": [...notMemory, ["a string", "text"]],
  Path: [
    ...notMemory,
    ["null", null],
    ["a string with a NUL", "na\0me"],
    ["a string of 4096 bytes", "x".repeat(4096)],
    ["a string of 4096 bytes in 2048 letters", "é".repeat(2048)],
    ["bytes without a NUL", Buffer.from("name")],
  ],
  UserData: [...notNumbers, ["-1", -1], ["2^53", 2 ** 53], ["-1n", -1n], ["2n ** 64n", 1n << 64n]],
  FileOffset: [...notNumbers, ["-2", -2], ["2^53", 2 ** 53], ["-2n", -2n], ["2n ** 64n", 1n << 64n]],
  "number | bigint": [...notNumbers, ["-1", -1], ["2^53", 2 ** 53], ["-1n", -1n], ["2n ** 64n", 1n << 64n]],
  "Uint8Array | null": [
    ["a string", "text"],
    ["a number", 5],
    ["a plain array", [1]],
    ["more bytes than an entry has", new Uint8Array(81)],
  ],
};

/** Numbers that are no flags and so have fewer values: what is below or past all of them. */
const narrower: [RegExp, [string, unknown][]][] = [
  [
    /^(?:fd|dfd|sockfd|epfd|newDirFd|oldDfd|newDfd|fdIn|fdOut)$/,
    [
      ["-2", -2],
      ["2^31", 2 ** 31],
    ],
  ],
  [
    /^fileIndex$/,
    [
      ["-2", -2],
      ["2^31", 2 ** 31],
    ],
  ],
  [
    /^(?:bufIndex|bufGroup|bgid|bid)$/,
    [
      ["-1", -1],
      ["65536", 65536],
    ],
  ],
  [/^(?:len|nbytes|addrlen|nrVecs|nrFds|nrFutex|maxEvents|count)$/, [["-1", -1]]],
];

/** The parameters that say how much of a memory before them is meant. */
const lengths = /^(?:len|nbytes|addrlen|optlen|nrVecs|nrFds|nrFutex|maxEvents)$/;

type Prep = (...args: unknown[]) => unknown;

function prep(name: string, args: readonly unknown[]): unknown {
  return (ring as unknown as Record<string, Prep>)[name]?.apply(ring, [...args]);
}

/** Refused by the library itself, with nothing queued. */
function expectRefusal(name: string, args: readonly unknown[], what: string): void {
  const before = ring.sqReady();
  let refusal: unknown = "nothing was thrown";
  try {
    prep(name, args);
  } catch (error) {
    const { code, name: kind } = error as { code?: string; name: string };
    refusal = /^ERR_URING_(?:ARG_TYPE|ARG_VALUE|BUFFER)$/.test(code ?? "") && /^(?:Type|Range)Error$/.test(kind);
    if (refusal !== true) refusal = error;
  }
  expect([what, refusal]).toEqual([what, true]);
  expect([what, ring.sqReady()]).toEqual([what, before]);
}

test("the builders' source is understood: every method that is there is found", () => {
  const there = new Set<string>();
  for (let prototype: object = Ring.prototype; prototype !== Object.prototype;) {
    for (const name of Object.getOwnPropertyNames(prototype)) if (name.startsWith("prep")) there.add(name);
    prototype = Object.getPrototypeOf(prototype) as object;
  }
  expect(methods.map(([name]) => name).toSorted()).toEqual([...there].toSorted());
  const types = new Set(methods.flatMap(([, parameters]) => parameters.map(({ type }) => type)));
  expect([...types].filter((type) => !(type in good && type in bad))).toEqual([]);
});

describe.each(methods)("%s()", (name, parameters) => {
  // An optional number is mostly a length or flags: left out, all the memory or none.
  const base = parameters.map(({ type, optional }) =>
    optional && !type.startsWith("Memory") ? undefined : good[type],
  );

  // What fills 128 bytes looks at its entry first.
  const declare = name.endsWith("128") ? needs("IORING_SETUP_SQE128") : test;

  declare("takes what is right and queues one entry", () => {
    const before = ring.sqReady();
    const sqe = prep(name, base) as Sqe;
    expect([sqe.constructor.name, ring.sqReady()]).toEqual(["Sqe", before + 1]);
  });

  for (const [index, parameter] of parameters.entries()) {
    declare(`refuses for ${parameter.name} what is no ${parameter.type}`, () => {
      const spoiled = (value: unknown): unknown[] => base.map((right, place) => (place === index ? value : right));
      for (const [what, value] of bad[parameter.type] ?? []) {
        if (value === null && parameter.type.includes("null")) continue;
        expectRefusal(name, spoiled(value), what);
      }
      if (parameter.type === "number") {
        for (const [names, values] of narrower) {
          // The number that MSG_RING sends is called a length and may be any of 32 bits.
          if (!names.test(parameter.name) || name.startsWith("prepMsgRing")) continue;
          for (const [what, value] of values) expectRefusal(name, spoiled(value), what);
        }
      }
      if (!parameter.optional && parameter.type !== "Uint8Array | null")
        expectRefusal(name, spoiled(undefined), "undefined");
    });

    const measured = parameters.slice(0, index).findLastIndex(({ type }) => type.startsWith("Memory"));
    if (lengths.test(parameter.name) && parameter.type.startsWith("number") && parameter.optional && measured >= 0) {
      declare(`refuses for ${parameter.name} more than the memory has`, () => {
        for (const length of [4097, 2 ** 31]) {
          expectRefusal(
            name,
            base.map((right, place) => (place === index ? length : right)),
            `${length}`,
          );
        }
      });
    }
  }
});
