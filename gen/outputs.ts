/** Every generated file, made from the inputs alone: no clock, no network, no header. */
import { emitBuilders } from "./builders.ts";
import { emitConstants } from "./constants.ts";
import { emitErrno } from "./errno.ts";
import { compareKernels, constantsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";
import { groupOf } from "./groups.ts";
import { emitLayouts } from "./layouts.ts";
import { emitMatrix, fillReadme, kernelTable } from "./matrix.ts";
import { emitOperations, opcodesOf, operationFaults, operationsOf } from "./operations.ts";
import { format, provenance } from "./output.ts";
import type { Output } from "./output.ts";
import { PREP_FOLDER, ROOT } from "./project.ts";
import type { Inputs } from "./project.ts";
import { readSignatures } from "./signatures.ts";
import type { Signature } from "./signatures.ts";
import { firstKernels } from "./since.ts";
import type { Since } from "./since.ts";

/**
 * Makes all generated files, formatted.
 * @throws Error with one line per fault when the inputs contradict or lack something.
 */
export async function makeOutputs(inputs: Inputs): Promise<Output[]> {
  const newest = inputs.kernels.at(-1);
  if (!newest) throw new Error("gen/facts holds no kernel: give one with --header, --suite or --version");
  const signatures = readSignatures(inputs.preps);
  const { since, faults } = firstKernels(inputs.kernels, inputs.since);
  faults.push(
    ...operationFaults(newest, inputs.operations),
    ...prepFaults(signatures, since, newest),
    ...noteFaults(inputs, newest),
  );
  if (faults.length > 0) throw new Error(faults.join("\n"));
  const operations = operationsOf(newest, since, inputs.operations, signatures);
  const descriptions = Object.fromEntries(operations.map((o) => [o.name, o.description]));
  const first = provenance(newest).replace(" from ", ` from ${PREP_FOLDER}/*.ts and `);
  const drafts: Output[] = [
    { path: "src/abi/constants.gen.ts", text: emitConstants(newest, since, { ...inputs.notes, ...descriptions }) },
    { path: "src/abi/layout.gen.ts", text: emitLayouts(newest) },
    { path: "src/abi/errno.gen.ts", text: emitErrno(newest, inputs.messages) },
    { path: "src/ring/builders.gen.ts", text: emitBuilders(signatures, first) },
    { path: "operations.json", text: emitOperations(newest, operations, signatures) },
    { path: "docs/kernel-matrix.md", text: emitMatrix(inputs.kernels, since) },
  ];
  if (inputs.readme !== null) {
    drafts.push({ path: "README.md", text: fillReadme(inputs.readme, kernelTable(inputs.kernels)) });
  }
  return Promise.all(drafts.map(async ({ path, text }) => ({ path, text: await format(path, text, ROOT) })));
}

/** Every kernel's facts as they are committed. */
export function factsText(facts: Facts): Promise<string> {
  const path = `gen/facts/${facts.kernel}.json`;
  return format(path, JSON.stringify(facts, null, 2), ROOT);
}

/** A prep function cannot be older than its opcode. */
function prepFaults(signatures: readonly Signature[], since: ReadonlyMap<string, Since>, newest: Facts): string[] {
  const opcodes = new Set(opcodesOf(newest).map(([name]) => name));
  return signatures.flatMap((signature) =>
    signature.opcodes.flatMap((opcode) => {
      const first = since.get(opcode)?.kernel;
      const where = `${signature.file}: ${signature.name}`;
      if (!opcodes.has(opcode)) return [`${where}: the headers have no ${opcode}`];
      if (first === undefined || compareKernels(signature.kernel, first) >= 0) return [];
      return [`${where}: says @kernel ${signature.kernel}, but ${opcode} is new in ${first}`];
    }),
  );
}

/** Every constant of the newest kernel has a sentence, and every sentence a constant. */
function noteFaults(inputs: Inputs, newest: Facts): string[] {
  const names = [...constantsOf(newest).keys()];
  const operations = new Set(opcodesOf(newest).map(([name]) => name));
  const missing = names.filter((name) => !operations.has(name) && inputs.notes[name] === undefined);
  const known = new Set(inputs.kernels.flatMap((k) => [...constantsOf(k).keys()]));
  const stray = Object.keys(inputs.notes).filter((name) => !known.has(name));
  const homeless = names.filter((name) => !groupOf(name));
  return [
    ...homeless.map((name) => `${name}: no topic of gen/groups.ts takes it`),
    ...missing.map((name) => `${name}: gen/notes.json has no sentence for it`),
    ...stray.map((name) => `${name}: in gen/notes.json, in no header`),
  ];
}
