/** src/async/operations.gen.ts: the one-shot operations of the high road, one-line delegates to the prep functions. */
import { delegateDoc, typeImports } from "./builders.ts";
import type { Parameter, Signature } from "./signatures.ts";

const CLASS_DOC = `/**
 * Every one-shot operation as a method, named as on the low road without \`prep\`. What is said of memory that must live
 * is kept for you: a request holds what it was given until its last completion. {@link RequestOptions} may stand as the
 * last argument, in the place of any that may be left out.
 */`;

/** Where the prep functions are, as the emitted file sees them. */
const PREP = "../ring/prep";

/** The most arguments that a request holds. */
const MAX_ARGUMENTS = 6;

/**
 * What is not one request with one result: multishots are iterators, a link timeout is an option, user data belongs to
 * the ring, the buffers of a bundle would be nobody's, and \`close\` is written by hand beside the ring's own.
 */
function isOneShot({ name, parameters }: Signature): boolean {
  if (/Multishot|LinkTimeout|RecvZc|CmdTxTimestamp|SendBundle|(Provide|Remove)Buffers|^prepClose$/.test(name))
    return false;
  return !parameters.some((p) => /userData$/i.test(p.name));
}

/** The method's name: the prep function's without \`prep\`. */
function methodName(signature: Signature): string {
  const rest = signature.name.slice("prep".length);
  return rest.slice(0, 1).toLowerCase() + rest.slice(1);
}

/** What the operation's result is, beyond a number. */
function yieldOf({ name, parameters }: Signature): string {
  if (/^prepSend(msg)?Zc/.test(name)) return "sent";
  if (/^prepTimeout/.test(name)) return "elapsed";
  if (!/^prep(Accept|Open|Socket|FixedFdInstall)/.test(name)) return "count";
  if (!name.includes("Direct")) return "descriptor";
  const at = parameters.findIndex((p) => p.name === "fileIndex");
  return at < 0 ? "index" : `index${at}`;
}

function constantName(signature: Signature): string {
  return methodName(signature)
    .replace(/([A-Z])/g, "_$1")
    .toUpperCase();
}

function constant(signature: Signature): string {
  // The raw operation is named by its caller.
  const opcode = signature.opcodes[0] ?? "io_uring";
  const wide = signature.name.endsWith("128");
  return `const ${constantName(signature)}: Operation = { name: "${opcode}", prep: ${signature.name}, yields: "${yieldOf(signature)}", wide: ${wide} };`;
}

function parameterList(parameters: readonly Parameter[]): string {
  const own = parameters.map(
    (p) => `${p.name}${p.optional ? "?" : ""}: ${p.type}${p.optional ? " | RequestOptions" : ""}`,
  );
  return [...own, `${optionsName(parameters)}?: RequestOptions`].join(", ");
}

/** What the last argument is called. waitid has options of its own. */
function optionsName(parameters: readonly Parameter[]): string {
  return parameters.some((p) => p.name === "options") ? "requestOptions" : "options";
}

/** The calls of one method: one for each optional parameter that may turn out to be the options, then the usual one. */
function body(signature: Signature, method: string): string[] {
  const { parameters } = signature;
  const names = parameters.map((p) => p.name);
  const call = (options: string, count: number): string =>
    `return this.${method}(${[constantName(signature), options, ...names.slice(0, count)].join(", ")});`;
  const early = parameters.flatMap((p, i) => (p.optional ? [`if (isOptions(${p.name})) ${call(p.name, i)}`] : []));
  return [...early, call(optionsName(parameters), names.length)];
}

function delegate(signature: Signature): string {
  if (signature.parameters.length > MAX_ARGUMENTS) {
    throw new Error(`${signature.file}: ${signature.name} has more parameters than a request of the high road holds`);
  }
  const zeroCopy = yieldOf(signature) === "sent";
  const doc = delegateDoc(signature).replace(/\{@link prep(\w)(\w*)\}/g, (_, a: string, b: string) => {
    return `{@link ${a.toLowerCase()}${b}}`;
  });
  const head = `${methodName(signature)}(${parameterList(signature.parameters)}): ${zeroCopy ? "Sent" : "Result"} {`;
  return [doc, head, ...body(signature, zeroCopy ? "requestSent" : "request"), "}"].join("\n");
}

/** Emits the file's text, unformatted. `first` is its provenance. */
export function emitAsync(all: readonly Signature[], first: string): string {
  const signatures = all.filter(isOneShot);
  const files = Map.groupBy(signatures, (s) => s.file);
  const imports = [...files].map(
    ([file, list]) => `import { ${list.map((s) => s.name).join(", ")} } from "${PREP}/${file}";`,
  );
  return [
    `// ${first}`,
    ...typeImports(signatures, "src/async", "src/ring/prep"),
    ...imports,
    'import { isOptions, type RequestOptions } from "./options.ts";',
    'import type { Operation } from "./request.ts";',
    "",
    ...signatures.map(constant),
    "",
    CLASS_DOC,
    "export abstract class Operations<Result, Sent> {",
    "/** Makes a request of an operation and its arguments. */",
    "protected abstract request(operation: Operation, options: RequestOptions | undefined, a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown, f?: unknown): Result;",
    "",
    "/** {@link request} for an operation that sends without copying. */",
    "protected abstract requestSent(operation: Operation, options: RequestOptions | undefined, a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown, f?: unknown): Sent;",
    "",
    signatures.map(delegate).join("\n\n"),
    "}",
    "",
  ].join("\n");
}
