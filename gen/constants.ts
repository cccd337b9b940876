/** src/abi/constants.gen.ts: every constant of the newest headers as a final literal. */
import { constantsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { GROUPS, groupOf } from "./groups.ts";
import type { Group } from "./groups.ts";
import { numeral, provenance } from "./output.ts";
import type { Since } from "./since.ts";

/** Sentences about constants, by name (gen/notes.json). */
export type Notes = Record<string, string>;

/** Columns of a line. */
const WIDTH = 120;

/** Emits the file's text, unformatted. */
export function emitConstants(facts: Facts, since: ReadonlyMap<string, Since>, notes: Notes): string {
  const all = constantsOf(facts);
  const lines = [
    `// ${provenance(facts)}`,
    "",
    "/**",
    " * Constants of Linux's io_uring, spelled as the kernel spells them, so that man pages and headers can be searched.",
    " * Flags that use bit 31 are positive; the few of 64 bits that a number cannot hold are bigints.",
    " */",
  ];
  for (const group of GROUPS) {
    const members = [...all].filter(([name]) => groupOf(name) === group);
    if (members.length === 0) continue;
    lines.push("", `// ${group.title}`, "");
    for (const [name, value] of members) {
      lines.push(comment(name, value, group, since, notes), `export const ${name} = ${numeral(value)};`);
    }
  }
  for (const name of all.keys()) {
    if (!groupOf(name)) throw new Error(`${name} belongs to no topic: add one to gen/groups.ts`);
  }
  return `${lines.join("\n")}\n`;
}

function comment(name: string, value: bigint, group: Group, since: ReadonlyMap<string, Since>, notes: Notes): string {
  const note = notes[name];
  const kernel = since.get(name)?.kernel;
  if (kernel === undefined) throw new Error(`${name} has no first kernel`);
  const bit = group.bits && value > 0n && (value & (value - 1n)) === 0n ? `, bit ${value.toString(2).length - 1}` : "";
  const kind = `${group.noun}${bit}.`;
  const text = `${note === undefined ? "" : `${note} `}${kind} @kernel ${kernel}`;
  return text.length + "/**  */".length <= WIDTH ? `/** ${text} */` : ["/**", ...wrap(text), " */"].join("\n");
}

/** Lines of a block comment, broken between words. */
function wrap(text: string): string[] {
  const lines = [" *"];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (`${lines[last]} ${word}`.length <= WIDTH) lines[last] += ` ${word}`;
    else lines.push(` * ${word}`);
  }
  return lines;
}
