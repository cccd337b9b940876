/** Registered buffers within what the system lets a user lock. */
import { BufferPool, ENOMEM, type Ring, UringError } from "bun-uring";

/** Rather fewer buffers than smaller ones: less than a page is not worth a request. */
const SMALLEST_BYTES = 4096;

/**
 * A pool of `count` buffers of `size` bytes, powers of two, or of as much as the limit on locked memory (`ulimit -l`)
 * leaves room for: registered memory counts against it, except for root.
 *
 * @throws UringError ENOMEM where not even one page fits.
 */
export function poolWithinLimits(ring: Ring, count: number, size: number): BufferPool {
  try {
    return new BufferPool(ring, { count, size });
  } catch (error) {
    const tooMuch = error instanceof UringError && error.errno === -ENOMEM;
    if (!tooMuch || (count === 1 && size <= SMALLEST_BYTES)) throw error;
    return size > SMALLEST_BYTES ? poolWithinLimits(ring, count, size / 2) : poolWithinLimits(ring, count / 2, size);
  }
}
