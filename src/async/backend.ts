/** Whether the modules that people swap in run on io_uring here, or on Bun's own. */
import { IORING_FEAT_FAST_POLL, IORING_FEAT_NODROP } from "../abi/constants.gen.ts";
import { io } from "./io.ts";

/** What `bun-uring/fs` and `bun-uring/net` run on: io_uring, or Bun's own implementations. */
export type Backend = "uring" | "bun";

/** What the functions need of a kernel that are not looked at one by one: that nothing is lost, and that waiting for a
 * socket takes no thread. */
const NEEDED = [IORING_FEAT_NODROP, IORING_FEAT_FAST_POLL];

let decided: Backend | undefined;

/**
 * What the two modules run on, on this thread. The first call makes the thread's ring ({@link io}) to find out, and the
 * answer stays: `"bun"` where io_uring is refused (by a container's seccomp filter, by `kernel.io_uring_disabled`, by
 * another system than Linux) or the kernel is too old, and where the environment variable `BUN_URING_BACKEND` says `bun`.
 *
 * @kernel 5.7
 */
export function backend(): Backend {
  return (decided ??= decide());
}

function decide(): Backend {
  if (process.env["BUN_URING_BACKEND"] === "bun") return "bun";
  try {
    return NEEDED.every((feature) => io.ring.hasFeature(feature)) ? "uring" : "bun";
  } catch {
    return "bun";
  }
}
