/** What the workers count, in memory that the main thread can read at any time without asking them. */

/** Connections accepted so far. */
export const CONNECTIONS = 0;
/** Connections that are open now. */
export const OPEN = 1;
/** Times that data was received. */
export const MESSAGES = 2;
/** Bytes that were received. */
export const BYTES = 3;
/** Calls of io_uring_enter(2). */
export const ENTERS = 4;
/** Multishot requests that ended by themselves and were started again. */
export const REARMS = 5;
/** Times that a connection did not take its answer and had to be waited for. */
export const BEHIND = 6;
/** Times that the completion queue was full. */
export const OVERFLOWS = 7;
/** Not a count: 1 asks the worker to stop. */
export const STOP = 8;

const FIELDS = 9;

/** One worker's numbers. They are whole, but may pass 2^31. */
export type Counters = Float64Array<SharedArrayBuffer>;

/** Counters that start from 0, in memory that two threads can share. */
export function makeCounters(): Counters {
  return new Float64Array(new SharedArrayBuffer(FIELDS * Float64Array.BYTES_PER_ELEMENT));
}

/** The sums of all workers as one line. */
export function statisticsLine(workers: readonly Counters[]): string {
  const sum = (field: number): number => workers.reduce((total, counters) => total + (counters[field] ?? 0), 0);
  const messages = sum(MESSAGES);
  const enters = sum(ENTERS);
  return [
    `connections ${sum(CONNECTIONS)} (${sum(OPEN)} open)`,
    `messages ${messages}`,
    `bytes ${sum(BYTES)}`,
    `syscalls ${enters}${messages > 0 ? ` (${(enters / messages).toFixed(3)} a message)` : ""}`,
    `re-arms ${sum(REARMS)}`,
    `fell behind ${sum(BEHIND)}`,
    `overflows ${sum(OVERFLOWS)}`,
  ].join(", ");
}
