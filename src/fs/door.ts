/** The way to the ring: which requests it takes here, and who takes them. */
import { AsyncRing } from "../async/asyncring.ts";
import { backend } from "../async/backend.ts";
import { io } from "../async/io.ts";
import type { Reactor } from "../async/reactor.ts";

/** Lets this room in where only rings go. Nobody makes one. */
class Door extends AsyncRing {
  static reactorOf(ring: AsyncRing): Reactor {
    return (ring as Door).reactor();
  }
}

/** What the kernel has, by opcode; empty until somebody asked. */
const known: boolean[] = [];

/**
 * The reactor of the thread's ring, for a request of this operation; undefined where the request is Bun's own to make:
 * io_uring is refused, this kernel has no such operation, or the ring was closed and no other can be made.
 *
 * @param opcode IORING_OP_*.
 */
export function reactorFor(opcode: number): Reactor | undefined {
  try {
    if (!(known[opcode] ??= backend() === "uring" && io.ring.supports(opcode))) return undefined;
    return Door.reactorOf(io);
  } catch {
    return undefined;
  }
}
