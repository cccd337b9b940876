/** How many bytes of the engine's heap an operation takes, exact to less than one. */
import { heapStats } from "bun:jsc";

/** What {@link bytesPerOperation} found. */
export interface Allocation {
  /** Of the operation itself. */
  bytes: number;
  /** Of the same with one small object more each time: what shows that an allocation would have been seen. */
  control: number;
}

/** Kept where no compiler can prove that the object is never looked at. */
const sink: { value: unknown } = { value: undefined };

function measure(operation: () => void, times: number, allocate: boolean): number {
  Bun.gc(true);
  const before = heapStats().heapCapacity;
  for (let i = 0; i < times; i++) {
    operation();
    if (allocate) sink.value = { i };
  }
  return (heapStats().heapCapacity - before) / times;
}

/**
 * Measures after a warm-up, so that compiling is not counted. The least of a few rounds counts: the engine's own work
 * in the background can only add.
 *
 * @param times how often the operation is done in a round. All of it together must stay under eight megabytes, past
 * which the engine collects in between.
 */
export function bytesPerOperation(operation: () => void, times: number = 100_000): Allocation {
  for (let round = 0; round < 4; round++) measure(operation, times, round % 2 === 0);
  let bytes = Infinity;
  let control = Infinity;
  for (let round = 0; round < 4; round++) {
    bytes = Math.min(bytes, measure(operation, times, false));
    control = Math.min(control, measure(operation, times, true));
  }
  return { bytes, control };
}
