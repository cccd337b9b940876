/**
 * The descriptors of a thread's listeners and connections, and its listeners' paths, for where the thread is a Worker's:
 * when it is terminated no JavaScript closes them, peers would wait for ever, and nobody could listen there again.
 */
import { resolve } from "node:path";
import { Mapping } from "../memory.ts";
import { syscalls } from "../../syscall/shim.ts";

/** More than a process may have open, as it is usually set: a bit each. */
const MOST = 2 ** 20;

/** How many words with bits there are, and then those; null where nothing is done at a thread's end. */
let table: Int32Array | null | undefined;

function makeTable(): Int32Array | null {
  const { farewells } = syscalls();
  if (farewells === undefined) return null;
  // Lifetime: for the life of the thread.
  const mapping = Mapping.anonymous(4 + MOST / 8);
  farewells.add("closeAll", mapping.address);
  return mapping.words;
}

/** Has a descriptor closed with the thread. */
export function own(fd: number): void {
  if (table === undefined) table = makeTable();
  if (table === null || fd < 0 || fd >= MOST) return;
  const word = fd >> 5;
  table[1 + word] = (table[1 + word] as number) | (1 << (fd & 31));
  if ((table[0] as number) <= word) table[0] = word + 1;
}

/** Somebody closes it, in a moment: its number may be another's from then on. */
export function disown(fd: number): void {
  if (table === undefined || table === null || fd < 0 || fd >= MOST) return;
  const word = 1 + (fd >> 5);
  table[word] = (table[word] as number) & ~(1 << (fd & 31));
}

/** Has a path removed with the thread; what {@link disownPath} takes. */
export function ownPath(path: string): Mapping | undefined {
  const { farewells } = syscalls();
  if (farewells === undefined) return undefined;
  const text = Buffer.from(`${resolve(path)}\0`);
  const mapping = Mapping.anonymous(text.length);
  mapping.bytes.set(text);
  farewells.add("remove", mapping.address);
  return mapping;
}

/** Somebody removes the path, in a moment. */
export function disownPath(mapping: Mapping): void {
  syscalls().farewells?.remove("remove", mapping.address);
  mapping.close();
}
