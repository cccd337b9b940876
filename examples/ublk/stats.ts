/** What the queues count, in memory that the main thread can read at any time without asking them. */

/** Requests of each kind so far. */
export const READS = 0;
export const WRITES = 1;
export const FLUSHES = 2;
export const DISCARDS = 3;
export const ZEROINGS = 4;
/** Bytes that were read and written. */
export const BYTES_READ = 5;
export const BYTES_WRITTEN = 6;
/** Requests that failed. */
export const ERRORS = 7;
/** Calls of io_uring_enter(2). */
export const ENTERS = 8;

const FIELDS = 9;

/** One queue's numbers. They are whole, but may pass 2^31. */
export type Counters = Float64Array<SharedArrayBuffer>;

/** Counters that start from 0, in memory that two threads can share. */
export function makeCounters(): Counters {
  return new Float64Array(new SharedArrayBuffer(FIELDS * Float64Array.BYTES_PER_ELEMENT));
}

/** The sums of all queues as one line. */
export function statisticsLine(queues: readonly Counters[]): string {
  const sum = (field: number): number => queues.reduce((total, counters) => total + (counters[field] ?? 0), 0);
  const requests = [READS, WRITES, FLUSHES, DISCARDS, ZEROINGS].reduce((total, field) => total + sum(field), 0);
  const enters = sum(ENTERS);
  return [
    `reads ${sum(READS)} (${sum(BYTES_READ)} bytes)`,
    `writes ${sum(WRITES)} (${sum(BYTES_WRITTEN)} bytes)`,
    `flushes ${sum(FLUSHES)}`,
    `discards ${sum(DISCARDS)}`,
    `zeroings ${sum(ZEROINGS)}`,
    `errors ${sum(ERRORS)}`,
    `syscalls ${enters}${requests > 0 ? ` (${(enters / requests).toFixed(3)} a request)` : ""}`,
  ].join(", ");
}
