/** What a server is made of, as good as the running kernel has it: each piece is asked for, and done without if refused. */
import {
  BufferRing,
  EINVAL,
  EMFILE,
  IORING_FEAT_CQE_SKIP,
  IORING_OP_MSG_RING,
  IORING_OP_SOCKET,
  Ring,
  UringError,
} from "bun-uring";
import { type Endpoint, listen, ringListens } from "./listener.ts";

/** The group of the shared buffers. */
export const GROUP = 0;

/** The most connections that one server keeps; they are numbered from 0. */
export const MAX_CONNECTIONS = 65536;

/** How much of everything there is. */
export interface Sizes {
  /** Entries of the submission queue. */
  readonly submissions: number;
  /** Entries of the completion queue. */
  readonly completions: number;
  /** Shared buffers where the kernel fills them little by little: how many, and of how many bytes each. */
  readonly filledSlowly: readonly [number, number] | undefined;
  /** Shared buffers where it does not. */
  readonly filledAtOnce: readonly [number, number];
}

/**
 * What is in the shared buffers is sent before more is received, so four megabytes serve any number of connections, and
 * stay in the processor's cache better than more would.
 */
const USUAL: Sizes = { submissions: 1024, completions: 8192, filledSlowly: [4, 2 ** 20], filledAtOnce: [512, 8192] };

/** What there is to serve with. */
export interface Equipment {
  readonly ring: Ring;
  readonly port: number;
  /** Shared buffers, which multishot receives fill; undefined where the kernel lacks them. */
  readonly buffers: BufferRing | undefined;
  /** Whether one request accepts all connections. */
  readonly multishot: boolean;
  /** Whether connections are places in the table of registered files; if not, they are descriptors. */
  readonly direct: boolean;
  /** Whether the ends of connections are looked for by more than the receives. */
  readonly watchesEnds: boolean;
  /** Whether another ring can wake this one. */
  readonly canBeWoken: boolean;
  /** How it listens and receives, for people. */
  readonly how: string;
}

/**
 * Makes the ring and everything on it. Closing the ring gives all of it back.
 *
 * @param plain does without whatever is newer than Linux 5.10.
 * @throws what keeps it from listening.
 */
export function equip(endpoint: Endpoint, plain: boolean, sizes: Sizes = USUAL): Equipment {
  const ring = new Ring(sizes.submissions, { modern: !plain, cqEntries: sizes.completions });
  try {
    // Kernel: from 5.18 on the ring's descriptor can be looked up once instead of at every call.
    if (!plain) attempt(() => ring.registerRingFd());
    registerFiles(ring);
    const throughRing = !plain && ringListens(ring);
    const port = listen(ring, endpoint, throughRing);
    const buffers = plain || !ring.hasFeature(IORING_FEAT_CQE_SKIP) ? undefined : makeBuffers(ring, sizes);
    const listening = throughRing ? "the ring" : "Bun.listen, as the ring can from Linux 6.11 on";
    const receiving = buffers === undefined ? "one buffer a connection" : "shared buffers";
    return {
      ring,
      port,
      buffers,
      // Kernel: SOCKET and accepts of many connections both came with 5.19; a refusal is handled as well.
      multishot: !plain && ring.supports(IORING_OP_SOCKET),
      direct: !plain && letsGoAtOnce(),
      // Kernel: a multishot receive may miss an end that comes with the last data: a Unix socket's, or a reset. Of a reset
      // the answer to that data tells.
      watchesEnds: endpoint.family === "unix" && buffers !== undefined,
      canBeWoken: !plain && ring.supports(IORING_OP_MSG_RING),
      how: `listening through ${plain ? "Bun.listen" : listening}, receiving into ${receiving}`,
    };
  } catch (error) {
    ring.close();
    throw error;
  }
}

/** Makes an empty table of registered files. It may not be larger than the limit on open files: half of that will do. */
function registerFiles(ring: Ring): void {
  for (let count = MAX_CONNECTIONS; ; count /= 2) {
    try {
      ring.registerFilesSparse(count);
      return;
    } catch (error) {
      if (!(error instanceof UringError) || error.errno !== -EMFILE || count < 64) throw error;
    }
  }
}

/**
 * Whether a direct descriptor that is closed is let go of at once.
 *
 * Kernel: before 6.13 its file stays open until every request on a direct descriptor that was there earlier has ended,
 * and the accept, whose listening socket is one, never does. Nothing tells, except a flag that is of the same release.
 */
function letsGoAtOnce(): boolean {
  const ring = attempt(() => new Ring(1, { iopoll: true, hybridIopoll: true }));
  ring?.close();
  return ring !== undefined;
}

/** The shared buffers, if the kernel has any. */
function makeBuffers(ring: Ring, { filledSlowly, filledAtOnce }: Sizes): BufferRing | undefined {
  const make = ([entries, size]: readonly [number, number], incremental: boolean): BufferRing | undefined =>
    attempt(() => new BufferRing(ring, { group: GROUP, entries, size, incremental }));
  // Kernel: from 6.12 on a large buffer is filled little by little: short messages lie close together, and few are cut
  // in two by a buffer's end. Before, each message takes a buffer, however short it is.
  return (filledSlowly && make(filledSlowly, true)) ?? make(filledAtOnce, false);
}

/** What `make` makes, or undefined where the kernel does not know what is asked of it. */
function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof UringError && error.errno === -EINVAL) return undefined;
    throw error;
  }
}
