/** The ring that everybody on a thread shares. */
import { AsyncRing } from "./asyncring.ts";

/** Under this name the thread's ring is found by whatever copy of the library is loaded, and after a hot reload. */
const SHARED = Symbol.for("bun-uring.io");

const shared = globalThis as { [SHARED]?: AsyncRing };

/**
 * The thread's shared {@link AsyncRing}. Importing it makes no ring: its first request does, and where that is refused
 * every request rejects with the reason. Closing it ends what is in flight; the next request makes a new ring.
 *
 * ```ts
 * import { io } from "bun-uring";
 * const count = await io.read(fd, buffer, 0);
 * ```
 */
export const io: AsyncRing = (shared[SHARED] ??= AsyncRing.lazy());
