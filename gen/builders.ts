/** src/ring/builders.gen.ts: the ring's prep methods, one-line delegates to the prep functions. */
import { posix } from "node:path";
import type { Signature } from "./signatures.ts";

const CLASS_DOC = `/**
 * Every prep function as a method. A ring extends this and says how a slot is found and queued, so that no method is
 * kept by hand.
 */`;

/** A delegate's parameter list: defaults stay with the prep function, so they become optional here. */
export function parameterList(signature: Signature): string {
  return signature.parameters.map((p) => `${p.name}${p.optional ? "?" : ""}: ${p.type}`).join(", ");
}

/** Import lines for the types that `signatures` use, as seen from `from` (a folder below the project's root). */
export function typeImports(signatures: readonly Signature[], from: string, prep: string): string[] {
  const modules = new Map<string, Set<string>>();
  const owner = new Map<string, string>();
  for (const { types } of signatures) {
    for (const [name, module] of types) {
      const path = relativeModule(from, posix.join(prep, module));
      const other = owner.get(name);
      if (other !== undefined && other !== path)
        throw new Error(`two types are both called ${name}: ${other}, ${path}`);
      owner.set(name, path);
      modules.set(path, (modules.get(path) ?? new Set()).add(name));
    }
  }
  return [...modules]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, names]) => `import type { ${[...names].toSorted().join(", ")} } from "${path}";`);
}

function relativeModule(from: string, to: string): string {
  const path = posix.relative(from, to);
  return path.startsWith(".") ? path : `./${path}`;
}

/** The prep function's doc comment without what concerns the slot. */
export function delegateDoc(signature: Signature): string {
  return signature.doc.replace(/\n\s*\*\s*@param sqe\b[^\n]*(?=\n)/, "");
}

/** Emits the file's text, unformatted. `first` is its provenance. */
export function emitBuilders(signatures: readonly Signature[], first: string): string {
  const files = Map.groupBy(signatures, (s) => s.file);
  const imports = [...files].map(
    ([file, list]) => `import { ${list.map((s) => s.name).join(", ")} } from "./prep/${file}";`,
  );
  const methods = signatures.map((s) => {
    // Operations of 128 bytes are named for it, and take another kind of slot.
    const wide = s.name.endsWith("128") ? "Wide" : "";
    const names = [`this.claim${wide}()`, ...s.parameters.map((p) => p.name)].join(", ");
    return `${delegateDoc(s)}\n${s.name}(${parameterList(s)}): Sqe {\n${s.name}(${names});\nreturn this.commit${wide}();\n}`;
  });
  return [
    `// ${first}`,
    ...typeImports(signatures, "src/ring", "src/ring/prep"),
    ...imports,
    'import type { Sqe } from "./sqe.ts";',
    "",
    CLASS_DOC,
    "export abstract class Builders {",
    "/** Positions the view on the next free slot without queueing it: a prep function that throws leaves nothing. */",
    "protected abstract claim(): Sqe;",
    "",
    "/** Queues the slot that {@link claim} positioned on, and returns its view for modifiers. */",
    "protected abstract commit(): Sqe;",
    "",
    "/** {@link claim} for an operation of 128 bytes. */",
    "protected abstract claimWide(): Sqe;",
    "",
    "/** {@link commit} for a slot that {@link claimWide} positioned on. */",
    "protected abstract commitWide(): Sqe;",
    "",
    methods.join("\n\n"),
    "}",
    "",
  ].join("\n");
}
