/** The archive that the kernel unpacks at boot: cpio in its "newc" form. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const S_IFDIR = 0o040755;
const S_IFREG = 0o100755;

/** One entry: six characters, thirteen numbers in hexadecimal, name, content, each padded to four bytes. */
function* entry(name: string, mode: number, content: Uint8Array): Generator<Uint8Array> {
  const bytes = Buffer.byteLength(name) + 1;
  const header = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, bytes, 0];
  const text = `070701${header.map((n) => n.toString(16).padStart(8, "0")).join("")}${name}\0`;
  yield Buffer.from(text.padEnd(text.length + ((4 - ((110 + bytes) % 4)) % 4), "\0"));
  yield content;
  yield new Uint8Array((4 - (content.length % 4)) % 4);
}

/** A folder. */
export function folder(name: string): Generator<Uint8Array> {
  return entry(name, S_IFDIR, new Uint8Array());
}

/** A file, executable. */
export function file(name: string, content: Uint8Array | string): Generator<Uint8Array> {
  return entry(name, S_IFREG, typeof content === "string" ? Buffer.from(content) : content);
}

/** A file or a folder with all that is in it, but for what `leaveOut` names. */
export function* tree(name: string, path: string, leaveOut: readonly string[] = []): Generator<Uint8Array> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isFile()) return yield* file(name, readFileSync(path));
  if (!stat.isDirectory()) return;
  yield* folder(name);
  for (const child of readdirSync(path)) {
    if (!leaveOut.includes(child)) yield* tree(`${name}/${child}`, join(path, child), leaveOut);
  }
}

/** What an archive ends with. */
export function trailer(): Generator<Uint8Array> {
  return file("TRAILER!!!", "");
}

/** Writes an archive. A second one may follow it in the same image. */
export async function write(path: string, ...parts: Iterable<Uint8Array>[]): Promise<void> {
  const writer = Bun.file(path).writer();
  for (const part of [...parts, trailer()]) for (const piece of part) writer.write(piece);
  await writer.end();
}
