/**
 * First kernels. Headers of two releases in a row tell exactly in which one a name appeared; for the rest
 * gen/since.json has the answer and where it is from. Each is held against the other.
 */
import { compareKernels, constantsOf } from "./facts.ts";
import type { Facts } from "./facts.ts";

/** gen/since.json: kernel, then name, then the source of that statement. */
export type SinceTable = Record<string, Record<string, string>>;

/** The first kernel that has a name, and how that is known. */
export interface Since {
  readonly kernel: string;
  readonly source: string;
  /** Whether the headers alone tell, being of two releases in a row. */
  readonly exact: boolean;
}

/**
 * What the headers alone say of a name: it appeared after `after` (null: before all of them) and at the latest in `by`.
 */
export interface Bounds {
  readonly after: string | null;
  readonly by: string;
  /** Whether `after` and `by` are releases in a row, so that `by` is the first kernel. */
  readonly exact: boolean;
}

/** The last minor release of each finished major series. */
const LAST_MINOR: Readonly<Record<number, number>> = { 5: 19, 6: 19 };

function inARow(older: string, newer: string): boolean {
  const [major = 0, minor = 0] = older.split(".").map(Number);
  const next = minor === LAST_MINOR[major] ? `${major + 1}.0` : `${major}.${minor + 1}`;
  return next === newer;
}

/** Bounds of every name in `kernels` (oldest first). A name that went away again counts from its last appearance. */
export function boundsOf(kernels: readonly Facts[]): Map<string, Bounds> {
  const bounds = new Map<string, Bounds>();
  const names = kernels.map((k) => new Set(constantsOf(k).keys()));
  for (const name of names.flatMap((set) => [...set])) {
    const last = names.findLastIndex((set) => set.has(name));
    const first = names.findLastIndex((set, i) => i < last && !set.has(name)) + 1;
    const by = kernels[first]?.kernel ?? "";
    const after = first > 0 ? (kernels[first - 1]?.kernel ?? null) : null;
    bounds.set(name, { after, by, exact: after !== null && inARow(after, by) });
  }
  return bounds;
}

/** The table turned round: what gen/since.json says of each name. */
export function byName(table: SinceTable): Map<string, Since> {
  return new Map(
    Object.entries(table).flatMap(([kernel, names]) =>
      Object.entries(names).map(([name, source]): [string, Since] => [name, { kernel, source, exact: false }]),
    ),
  );
}

/** Whether a statement lies inside the bounds; `kernels` with a stable backport may have the name earlier. */
function agrees(since: Since, bounds: Bounds): boolean {
  if (compareKernels(since.kernel, bounds.by) > 0) return isBackport(bounds.by);
  return bounds.after === null || compareKernels(since.kernel, bounds.after) > 0;
}

/**
 * Long-term kernels, whose headers hold names that were carried back from later releases (5.10 has all of 5.15's
 * io_uring): having a name says nothing about when it was new.
 */
function isBackport(kernel: string): boolean {
  return ["5.10", "6.1", "6.12", "6.18"].includes(kernel);
}

/** First kernels of every name of the newest kernel, or the list of what is missing or contradicts itself. */
export function firstKernels(
  kernels: readonly Facts[],
  table: SinceTable,
): { since: Map<string, Since>; faults: string[] } {
  const stated = byName(table);
  const faults: string[] = [];
  const since = new Map<string, Since>();
  const bounds = boundsOf(kernels);
  const newest = kernels.at(-1);
  for (const name of newest ? constantsOf(newest).keys() : []) {
    const known = stated.get(name);
    const range = bounds.get(name);
    if (!range) continue;
    if (known && !agrees(known, range)) {
      faults.push(`${name}: gen/since.json says ${known.kernel}, the headers say ${spell(range)}`);
    }
    // A long-term kernel may have had it carried back; then the headers tell too early a release.
    const carriedBack = known !== undefined && compareKernels(known.kernel, range.by) > 0;
    if (range.exact && !carriedBack) {
      const source = `headers: absent in ${range.after}, present in ${range.by}`;
      since.set(name, { kernel: range.by, source, exact: true });
    } else if (known) since.set(name, known);
    else faults.push(`${name}: gen/since.json has no first kernel; the headers say ${spell(range)}`);
  }
  for (const name of stated.keys()) {
    if (!bounds.has(name)) faults.push(`${name}: in gen/since.json, in no header`);
  }
  return { since, faults };
}

function spell(bounds: Bounds): string {
  if (bounds.after === null) return `${bounds.by} or before`;
  return bounds.exact ? bounds.by : `after ${bounds.after}, ${bounds.by} at the latest`;
}
