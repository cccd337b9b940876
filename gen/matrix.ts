/** docs/kernel-matrix.md and the README's table: which kernel has what. */
import { compareKernels, constantsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { GROUPS, groupOf } from "./groups.ts";
import { provenance } from "./output.ts";
import type { Since } from "./since.ts";

/** What a kernel answered that was booted and asked. */
export interface Measured {
  /** What `uname -r` says. */
  readonly release: string;
  /** All that it has, by the names of the newest headers. */
  readonly has: readonly string[];
  /** Bits that it has and those headers have no name for, by topic. */
  readonly unnamed: Readonly<Record<string, number>>;
  /** How each kind of answer was found. */
  readonly sources: Readonly<Record<string, string>>;
}

/** The answers by kernel. */
export type Measurements = Readonly<Record<string, Measured>>;

/** The topics of the matrix, by key, in order. */
const TOPICS: readonly string[] = ["op", "setup", "enter", "sqe", "cqe", "feature", "register"];

/** Those of them that a kernel can be asked about. */
const ASKED: readonly string[] = TOPICS.filter((key) => key !== "cqe");

/** Markers that only end an enum: no feature of any kernel. */
const MARKER = /_LAST$/;

const START = "<!-- gen:kernels -->";
const END = "<!-- /gen:kernels -->";

/** Emits docs/kernel-matrix.md, unformatted. */
export function emitMatrix(
  kernels: readonly Facts[],
  since: ReadonlyMap<string, Since>,
  measured: Measurements,
): string {
  const newest = kernels.at(-1);
  if (!newest) throw new Error("there are no facts to make a matrix of");
  return [
    `<!-- ${provenance(newest)} -->`,
    "",
    "# Which kernel has what",
    "",
    "Read from the headers of the Debian packages at the end of this page, and measured: each of these kernels was booted",
    "and asked by this library (`bun run test:kernels --record`). At run time no version is asked: the kernel itself",
    "answers (`ring.probe()`, `ring.supports()`, `ring.hasFeature()`).",
    "",
    "- **yes**: the kernel's headers have it.",
    "- **back**: its headers have it although it is younger than the kernel: carried back into a long-term kernel.",
    "- **no**: its headers have it, and yet the kernel answered that it has it not.",
    "- **extra**: its headers have it not, and yet the kernel answered that it has it.",
    "- _First_ is the mainline release that brought it. A number in italics is from release history or manual pages: there",
    "  the headers compared here are not of adjacent releases.",
    "",
    ...TOPICS.flatMap((key) => topic(key, kernels, newest, since, measured)),
    ...answers(kernels, measured),
    "## The headers compared",
    "",
    "| kernel | source | SHA-256 of linux/io_uring.h |",
    "| --- | --- | --- |",
    ...kernels.map((k) => `| ${k.kernel} | ${k.name} | \`${k.files["linux/io_uring.h"]}\` |`),
    "",
  ].join("\n");
}

function topic(
  key: string,
  kernels: readonly Facts[],
  newest: Facts,
  since: ReadonlyMap<string, Since>,
  measured: Measurements,
): string[] {
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
      const cells = kernels.map((k, i) => {
        const has = sets[i]?.has(name) ?? false;
        const answer = askable(key, value) ? measured[k.kernel]?.has.includes(name) : undefined;
        if (answer !== undefined && answer !== has) return answer ? "**extra**" : "**no**";
        return cell(k.kernel, has, first.kernel);
      });
      return `| \`${name}\` | ${spell(value, group.bits)} | ${stated} | ${cells.join(" | ")} |`;
    }),
    "",
  ];
}

/** Whether kernels are asked about a constant: USE_REGISTERED_RING is a flag among the registrations' opcodes. */
function askable(key: string, value: bigint): boolean {
  return ASKED.includes(key) && (key !== "register" || value < 256n);
}

/** The measured half: what was booted, how it was asked, and where its answers differ from its headers. */
function answers(kernels: readonly Facts[], measured: Measurements): string[] {
  const known = constantsOf(kernels.at(-1) as Facts);
  const rows = kernels.map((facts) => {
    const answer = measured[facts.kernel];
    if (answer === undefined) return `| ${facts.kernel} | not measured | | |`;
    const headers = constantsOf(facts);
    const names = [...known].filter(([name, value]) => askable(groupOf(name)?.key ?? "", value) && !MARKER.test(name));
    const differ = names.flatMap(([name]) => {
      if (headers.has(name) === answer.has.includes(name)) return [];
      return [`${headers.has(name) ? "no" : "extra"} \`${name}\``];
    });
    const unnamed = Object.entries(answer.unnamed).map(([key, bits]) => `unnamed ${key} bits 0x${bits.toString(16)}`);
    const ways = [...new Set(Object.values(answer.sources))].sort().join(", ");
    return `| ${[facts.kernel, answer.release, ways, [...differ, ...unnamed].join(", ") || "none"].join(" | ")} |`;
  });
  return [
    "## What the kernels answered",
    "",
    "Whatever can be asked for was, in a guest that ran the kernel: operations, registrations, features and flags.",
    "",
    "| kernel | booted | asked by | answers that differ from its headers |",
    "| --- | --- | --- | --- |",
    ...rows,
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
