/** The cases in which what Bun does cannot be the measure, and what each of the two does instead. */

/** One such case. */
export interface Divergence {
  /** Why Bun is not followed here. */
  readonly reason: string;
  /** What `bun-uring/fs` gives. */
  readonly ours: (value: unknown) => boolean;
  /** What Bun gives: once this fails, the case belongs with the others. */
  readonly theirs: (value: unknown) => boolean;
}

/** The cases by title. */
export const divergences: Readonly<Record<string, Divergence>> = {};
