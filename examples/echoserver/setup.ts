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

const ENTRIES = 1024;
const COMPLETIONS = 8192;
/** The most connections that one ring keeps. */
const MAX_CONNECTIONS = 65536;

/** What there is to serve with. */
export interface Equipment {
  readonly ring: Ring;
  readonly port: number;
  /** How many connections there can be, numbered from 0; also the size of the table of registered files. */
  readonly capacity: number;
  /** Shared buffers, which multishot receives fill; undefined where the kernel lacks them. */
  readonly buffers: BufferRing | undefined;
  /** Whether to try multishot accepts into direct descriptors. */
  readonly direct: boolean;
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
export function equip(endpoint: Endpoint, plain: boolean): Equipment {
  const ring = new Ring(ENTRIES, plain ? { cqEntries: COMPLETIONS } : { modern: true, cqEntries: COMPLETIONS });
  try {
    // Kernel: from 5.18 on the ring's descriptor can be looked up once instead of at every call.
    if (!plain) attempt(() => ring.registerRingFd());
    const capacity = registerFiles(ring);
    const throughRing = !plain && ringListens(ring);
    const port = listen(ring, endpoint, throughRing);
    const buffers = plain || !ring.hasFeature(IORING_FEAT_CQE_SKIP) ? undefined : makeBuffers(ring);
    const listening = throughRing ? "the ring" : "Bun.listen, as the ring can from Linux 6.11 on";
    const receiving = buffers === undefined ? "one buffer a connection" : "shared buffers";
    return {
      ring,
      port,
      capacity,
      buffers,
      // Kernel: 5.19 brought both SOCKET and direct descriptors where there is room; a refusal is handled as well.
      direct: !plain && ring.supports(IORING_OP_SOCKET),
      canBeWoken: !plain && ring.supports(IORING_OP_MSG_RING),
      how: `listening through ${plain ? "Bun.listen" : listening}, receiving into ${receiving}`,
    };
  } catch (error) {
    ring.close();
    throw error;
  }
}

/** Makes an empty table of registered files as large as the limit on open files allows; its size. */
function registerFiles(ring: Ring): number {
  for (let count = MAX_CONNECTIONS; ; count /= 2) {
    try {
      ring.registerFilesSparse(count);
      return count;
    } catch (error) {
      if (!(error instanceof UringError) || error.errno !== -EMFILE || count < 64) throw error;
    }
  }
}

/**
 * The shared buffers. What is in them is sent before more is received, so four megabytes serve any number of
 * connections, and stay in the processor's cache better than more would.
 */
function makeBuffers(ring: Ring): BufferRing | undefined {
  // Kernel: from 6.12 on a large buffer is filled little by little: short messages lie close together, and few are cut
  // in two by a buffer's end. Before, each message takes a buffer, however short it is.
  return (
    attempt(() => new BufferRing(ring, { group: GROUP, entries: 4, size: 2 ** 20, incremental: true })) ??
    attempt(() => new BufferRing(ring, { group: GROUP, entries: 512, size: 8192 }))
  );
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
