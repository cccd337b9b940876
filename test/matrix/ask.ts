/** Run in a guest: what the library says of the kernel that it runs on, as JSON. */
import { readFileSync } from "node:fs";
import { groupOf } from "../../gen/groups.ts";
import type { Measured } from "../../gen/matrix.ts";
import * as constants from "../../src/abi/constants.gen.ts";
import { getProbe } from "../../src/index.ts";

const all = constants as unknown as Readonly<Record<string, number>>;

/** The names of a topic whose values pass a test. */
function named(key: string, is: (value: number) => boolean): string[] {
  const names = Object.keys(all).filter((name) => groupOf(name)?.key === key && !name.endsWith("_LAST"));
  return names.filter((name) => is(all[name] as number));
}

function ask(): Measured {
  const probe = getProbe();
  const bits: [string, number][] = [
    ["feature", probe.features],
    ["setup", probe.setupFlags],
    ["enter", probe.enterFlags],
    ["sqe", probe.sqeFlags],
  ];
  const unnamed: Record<string, number> = {};
  const flags = bits.flatMap(([key, value]) => {
    const found = named(key, (bit) => (value & bit) !== 0);
    const rest = found.reduce((left, name) => left & ~(all[name] as number), value);
    if (rest !== 0) unnamed[key] = rest >>> 0;
    return found;
  });
  return {
    release: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    has: [
      ...named("op", (op) => probe.supports(op)),
      // USE_REGISTERED_RING is a flag among the opcodes.
      ...named("register", (opcode) => opcode < 256 && probe.supportsRegister(opcode)),
      ...flags,
    ],
    unnamed,
    sources: { ...probe.sources },
  };
}

if (import.meta.main) console.log(JSON.stringify(ask()));
