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

/** Whether a call ended as one that was aborted. */
function isAborted(value: unknown): boolean {
  const { how, value: error } = value as { how?: string; value?: { name?: string; code?: string } };
  return how === "rejected" && error?.name === "AbortError" && error.code === "ABORT_ERR";
}

/** A thread of Bun's that waits in the kernel does not hear of a signal; a request of a ring is taken back. */
const waitsOn: Divergence = {
  reason: "what waits for another process ends when it is aborted, and not when the other does something",
  ours: isAborted,
  theirs: (value) => value === "still waiting",
};

/** The cases by title. They are none where the module runs on Bun's own implementation. */
export const divergences: Readonly<Record<string, Divergence>> = {
  "readFile() of a pipe that nobody writes to, aborted": waitsOn,
  "readFile() of a pipe that nobody opens, aborted": waitsOn,
};
