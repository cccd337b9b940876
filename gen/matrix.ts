/** docs/kernel-matrix.md and the README's table: which kernel has what. */
import { compareKernels, constantsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { GROUPS, groupOf } from "./groups.ts";
import { provenance } from "./output.ts";
import type { Since } from "./since.ts";

/** The topics of the matrix, by key, in order. */
const TOPICS: readonly string[] = ["op", "setup", "enter", "sqe", "cqe", "feature", "register"];

/** Markers that only end an enum: no feature of any kernel. */
const MARKER = /_LAST$/;

const START = "<!-- gen:kernels -->";
const END = "<!-- /gen:kernels -->";

/** Emits docs/kernel-matrix.md, unformatted. */
export function emitMatrix(kernels: readonly Facts[], since: ReadonlyMap<string, Since>): string {
  const newest = kernels.at(-1);
  if (!newest) throw new Error("there are no facts to make a matrix of");
  return [
    `<!-- ${provenance(newest)} -->`,
    "",
    "# Which kernel has what",
    "",
    "Read from the headers of the Debian packages at the end of this page. At run time no version is asked: the kernel",
    "itself answers (`ring.probe()`, `ring.supports()`, `ring.hasFeature()`).",
    "",
    "- **yes**: the kernel's headers have it.",
    "- **back**: its headers have it although it is younger than the kernel: carried back into a long-term kernel.",
    "- _First_ is the mainline release that brought it. A number in italics is from release history or manual pages: there",
    "  the headers compared here are not of adjacent releases.",
    "",
    ...TOPICS.flatMap((key) => topic(key, kernels, newest, since)),
    "## The headers compared",
    "",
    "| kernel | source | SHA-256 of linux/io_uring.h |",
    "| --- | --- | --- |",
    ...kernels.map((k) => `| ${k.kernel} | ${k.name} | \`${k.files["linux/io_uring.h"]}\` |`),
    "",
  ].join("\n");
}

function topic(key: string, kernels: readonly Facts[], newest: Facts, since: ReadonlyMap<string, Since>): string[] {
  const group = GROUPS.find((g) => g.key === key);
  if (!group) throw new Error(`there is no topic ${key}`);
  const rows = [...constantsOf(newest)].filter(([name]) => groupOf(name) === group && !MARKER.test(name));
  const sets = kernels.map((k) => constantsOf(k));
  return [
    `## ${group.title}`,
    "",
    `| name | value | first | ${kernels.map((k) => k.kernel).join(" | ")} |`,
    `| --- | --: | --: | ${kernels.map(() => "---").join(" | ")} |`,
    ...rows.map(([name, value]) => {
      const first = since.get(name);
      if (!first) throw new Error(`${name} has no first kernel`);
      const stated = first.exact ? first.kernel : `_${first.kernel}_`;
      const cells = kernels.map((k, i) => cell(k.kernel, sets[i]?.has(name) ?? false, first.kernel));
      return `| \`${name}\` | ${spell(value, group.bits)} | ${stated} | ${cells.join(" | ")} |`;
    }),
    "",
  ];
}

function cell(kernel: string, has: boolean, first: string): string {
  if (!has) return "";
  return compareKernels(kernel, first) < 0 ? "back" : "yes";
}

function spell(value: bigint, bits: boolean): string {
  return bits ? `0x${value.toString(16)}` : String(value);
}

function count(facts: Facts, key: string): number {
  return [...constantsOf(facts).keys()].filter((name) => groupOf(name)?.key === key && !MARKER.test(name)).length;
}

/** The README's table: one row per kernel. */
export function kernelTable(kernels: readonly Facts[]): string {
  const rows = kernels.map((facts, i) => {
    const before = kernels[i - 1];
    const known = constantsOf(before ?? facts);
    const fresh = [...constantsOf(facts).keys()].filter((name) => !known.has(name) && !MARKER.test(name));
    const operations = fresh
      .filter((name) => groupOf(name)?.key === "op")
      .map((name) => name.slice("IORING_OP_".length));
    // USE_REGISTERED_RING is a flag among the register opcodes.
    const registers =
      count(facts, "register") - (constantsOf(facts).has("IORING_REGISTER_USE_REGISTERED_RING") ? 1 : 0);
    const counts = [count(facts, "op"), registers, count(facts, "setup"), before ? fresh.length : ""];
    return `| ${[facts.kernel, ...counts, operations.join(", ")].join(" | ")} |`;
  });
  return [
    "| kernel | operations | registrations | setup flags | new constants | new operations |",
    "| --- | --: | --: | --: | --: | --- |",
    ...rows,
  ].join("\n");
}

/**
 * The README with its table filled in between the markers.
 * @throws Error when it lacks them.
 */
export function fillReadme(readme: string, table: string): string {
  const start = readme.indexOf(START);
  const end = readme.indexOf(END);
  if (start < 0 || end < start)
    throw new Error(`README.md has no ${START} … ${END}: the kernel table goes between them`);
  return `${readme.slice(0, start)}${START}\n\n${table}\n\n${readme.slice(end)}`;
}
