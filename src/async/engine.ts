/** The low road's ring with the doors open that the reactor needs. */
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
}
