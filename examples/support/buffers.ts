/** Registered buffers within what the system lets a user lock. */
import { BufferPool, ENOMEM, type Ring, UringError } from "bun-uring";

/** Smaller buffers than a page are not worth their requests. */
const SMALLEST = 4096;

/**
 * A pool of `count` buffers of `size` bytes, or of as large a power of two below as the limit on locked memory
 * (`ulimit -l`) leaves room for: registered memory counts against it, except for root.
 *
 * @throws UringError ENOMEM where not even pages fit.
 */
export function poolWithinLimits(ring: Ring, count: number, size: number): BufferPool {
  try {
    return new BufferPool(ring, { count, size });
  } catch (error) {
    const tooMuch = error instanceof UringError && error.errno === -ENOMEM;
    if (!tooMuch || size / 2 < SMALLEST) throw error;
    return poolWithinLimits(ring, count, size / 2);
  }
}
