/** What keeps a test's temporaries alive. */

const all: object[] = [];

/**
 * Keeps memory for as long as the process lives. A request's memory must outlive it, and a buffer that is made within
 * the call that prepares the request is nobody's: the collector may take it before the kernel has written to it.
 */
export function kept<T extends object>(memory: T): T {
  all.push(memory);
  return memory;
}
