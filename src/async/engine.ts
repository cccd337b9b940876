/** The low road's ring with the doors open that the reactor needs. */
import { UringError } from "../errors.ts";
import { Ring } from "../ring/ring.ts";
import type { Sqe } from "../ring/sqe.ts";

/** A {@link Ring} whose entries can be filled by a prep function that is only known at run time. */
export class Engine extends Ring {
  /** The next free entry, not queued yet; `wide` for an operation of 128 bytes. */
  begin(wide: boolean): Sqe {
    return wide ? this.claimWide() : this.claim();
  }

  /** Queues the entry that {@link begin} gave. */
  end(wide: boolean): Sqe {
    return wide ? this.commitWide() : this.commit();
  }

  /**
   * Sees to it that at least so many workers may do bounded work for this thread's rings.
   *
   * The kernel allows as many as the first ring of the thread has entries, and four for each processor at the most: one
   * after `new Ring(1)`. Opening a pipe holds a worker until somebody opens its other end, which takes another.
   */
  allowWorkers(bounded: number): void {
    try {
      if (this.registerIowqMaxWorkers().bounded < bounded) this.registerIowqMaxWorkers({ bounded });
    } catch (error) {
      // Kernel: 5.15; a task's restrictions may refuse it as well. It goes on with as many as there are.
      if (!(error instanceof UringError)) throw error;
    }
  }
}
