/**
 * How much there is to copy: a walk of its own beside the copy, so that the progress can tell how long it will take.
 */
import type { Files } from "./files.ts";
import type { FilePath } from "./path.ts";
import type { Progress } from "./progress.ts";

/** So many are looked at in one go. */
const AT_ONCE = 64;

/**
 * Adds up the files that are named, with `recursive` those in directories too. What cannot be read counts for nothing.
 */
export async function count(
  files: Files,
  sources: readonly FilePath[],
  recursive: boolean,
  progress: Pick<Progress, "expect" | "counted">,
): Promise<void> {
  const found = [...sources];
  while (found.length > 0) {
    const paths = found.splice(-AT_ONCE);
    const stats = await Promise.all(paths.map((path) => files.stat(path, !recursive)));
    for (const [i, statx] of stats.entries()) {
      if (typeof statx === "number") continue;
      if (!statx.isDirectory()) progress.expect(statx.isFile() ? statx.size : 0);
      const path = paths[i];
      const names = recursive && statx.isDirectory() && path !== undefined ? files.list(path) : [];
      if (typeof names !== "number") for (const name of names) found.push((path as FilePath).join(name));
    }
  }
  progress.counted();
}
