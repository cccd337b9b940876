/** src/abi/layout.gen.ts: size of every struct, and offset and width of every field. */
import { fieldOf } from "./facts.ts";
import type { FieldFact, Facts, StructFact } from "./facts.ts";
import { provenance } from "./output.ts";

const PREAMBLE = `/**
 * Layouts of io_uring's structs on x86-64 and arm64 (they are the same), as plain numbers that a bundler can inline and
 * shake. For a struct S and a field F, both in upper case:
 *
 * - \`S_SIZE\`: bytes of the struct, without a flexible array at its end.
 * - \`S_OFF_F\`: bytes from the start of the struct to the field.
 * - \`S_LEN_F\`: bytes of the field; 0 for a flexible array.
 * - \`S_WORD_F\`: the field's index in an Int32Array over the struct (\`S_OFF_F / 4\`), for fields that fill whole
 *   words. Of a 64-bit field it is the low half; the high half is the next word. This is what a hot path adds to a
 *   slot's first word.
 * - \`S_STRIDE_F\`: bytes of one element, for arrays.
 *
 * Members of unions have the same offset as one another. A field of an unnamed struct counts as the struct's around it;
 * a field of a named one without a tag is joined to its name with an underscore.
 */`;

/** Emits the file's text, unformatted. */
export function emitLayouts(facts: Facts): string {
  const lines = [`// ${provenance(facts)}`, "", PREAMBLE];
  const seen = new Set<string>();
  const add = (name: string, value: number, comment: string): void => {
    if (seen.has(name)) throw new Error(`two fields are both called ${name}`);
    seen.add(name);
    lines.push(`/** ${comment} */`, `export const ${name} = ${value};`);
  };
  for (const [file, structs] of Object.entries(facts.structs)) {
    for (const [tag, struct] of Object.entries(structs)) {
      lines.push("", `// struct ${tag}, <${file}>`, "");
      emitStruct(tag, struct, add);
    }
  }
  return `${lines.join("\n")}\n`;
}

function emitStruct(
  tag: string,
  struct: StructFact,
  add: (name: string, value: number, comment: string) => void,
): void {
  const prefix = tag.toUpperCase();
  add(`${prefix}_SIZE`, struct.size, `Bytes of \`struct ${tag}\`, aligned to ${struct.align}.`);
  for (const field of struct.fields.map(fieldOf)) {
    const name = field.name.replaceAll(".", "_").toUpperCase();
    const spelled = `\`${field.type} ${field.name}\``;
    add(`${prefix}_OFF_${name}`, field.offset, `Offset of ${spelled}.`);
    if (fillsWords(field)) add(`${prefix}_WORD_${name}`, field.offset / 4, `Int32Array index of ${spelled}.`);
    add(`${prefix}_LEN_${name}`, field.width, `Width of ${spelled}.`);
    if (field.stride !== null) add(`${prefix}_STRIDE_${name}`, field.stride, `Bytes of one element of ${spelled}.`);
  }
}

function fillsWords(field: FieldFact): boolean {
  return field.bits === null && field.offset % 4 === 0 && (field.stride ?? field.width) % 4 === 0;
}
