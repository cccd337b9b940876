/** Where a disk's bytes are: in memory, or in a file. */
import {
  EOPNOTSUPP,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  addressOf,
  IORING_FSYNC_DATASYNC,
  MADV_DONTNEED,
  type Ring,
  type Sqe,
} from "bun-uring";
import {
  UBLK_IO_F_NOUNMAP,
  UBLK_IO_OP_DISCARD,
  UBLK_IO_OP_FLUSH,
  UBLK_IO_OP_READ,
  UBLK_IO_OP_WRITE,
  UBLK_IO_OP_WRITE_ZEROES,
} from "./abi.ts";
import type { Request } from "./request.ts";

/** Serves requests of one queue. */
export interface Backend {
  /**
   * Does a request, from `request.done` on, or begins it.
   *
   * @returns the result: bytes of a read or write, 0 of anything else, or `-errno`; or the entry that was queued, whose
   * completion will have the result.
   */
  serve(request: Request): number | Sqe;
}

/** What a disk's bytes are in, as it can be handed to other threads. */
export type Store =
  { readonly kind: "ram"; readonly memory: SharedArrayBuffer } | { readonly kind: "file"; readonly fd: number };

/**
 * Serves a store.
 *
 * @param data the queue's memory, where the requests' data is.
 */
export function backendOf(store: Store, ring: Ring, data: Uint8Array<ArrayBuffer>): Backend {
  return store.kind === "ram" ? new RamBackend(ring, data, store.memory) : new FileBackend(ring, store.fd);
}

/** What can be given back of memory: whole pages. */
const PAGE = 4096;

/** A disk in memory. Reads and writes are done at once; memory is given back by the ring. */
class RamBackend implements Backend {
  readonly #ring: Ring;
  readonly #disk: Buffer<SharedArrayBuffer>;
  readonly #data: Buffer;
  readonly #address: number;

  constructor(ring: Ring, data: Uint8Array<ArrayBuffer>, memory: SharedArrayBuffer) {
    this.#ring = ring;
    this.#disk = Buffer.from(memory);
    this.#data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.#address = addressOf(memory);
  }

  serve(request: Request): number | Sqe {
    const { op, offset, length, place } = request;
    switch (op) {
      case UBLK_IO_OP_READ:
        return this.#disk.copy(this.#data, place, offset, offset + length);
      case UBLK_IO_OP_WRITE:
        return this.#data.copy(this.#disk, offset, place, place + length);
      case UBLK_IO_OP_FLUSH:
        return 0;
      case UBLK_IO_OP_DISCARD:
      case UBLK_IO_OP_WRITE_ZEROES:
        return this.#zero(request);
      default:
        return -EOPNOTSUPP;
    }
  }

  /** Whole pages go back to the system, which gives them out as zeros; the rest is overwritten. */
  #zero({ offset, length, flags }: Request): number | Sqe {
    const end = offset + length;
    const first = Math.ceil(offset / PAGE) * PAGE;
    const last = Math.floor(end / PAGE) * PAGE;
    if (first >= last || (flags & UBLK_IO_F_NOUNMAP) !== 0) {
      this.#disk.fill(0, offset, end);
      return 0;
    }
    this.#disk.fill(0, offset, first);
    this.#disk.fill(0, last, end);
    return this.#ring.prepMadvise(this.#address + first, MADV_DONTNEED, last - first);
  }
}

/** A disk in a file or on another block device: every request becomes one of the ring's. */
class FileBackend implements Backend {
  readonly #ring: Ring;
  readonly #fd: number;

  constructor(ring: Ring, fd: number) {
    this.#ring = ring;
    this.#fd = fd;
  }

  serve({ op, address, offset, length, done, flags }: Request): number | Sqe {
    switch (op) {
      case UBLK_IO_OP_READ:
        return this.#ring.prepRead(this.#fd, address + done, offset + done, length - done);
      case UBLK_IO_OP_WRITE:
        return this.#ring.prepWrite(this.#fd, address + done, offset + done, length - done);
      case UBLK_IO_OP_FLUSH:
        return this.#ring.prepFsync(this.#fd, IORING_FSYNC_DATASYNC);
      case UBLK_IO_OP_DISCARD:
      case UBLK_IO_OP_WRITE_ZEROES: {
        // A filesystem that cannot do it answers EOPNOTSUPP. The block layer then writes zeros, or forgets the discard.
        const keep = op === UBLK_IO_OP_WRITE_ZEROES && (flags & UBLK_IO_F_NOUNMAP) !== 0;
        const mode = FALLOC_FL_KEEP_SIZE | (keep ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
        return this.#ring.prepFallocate(this.#fd, mode, offset, length);
      }
      default:
        return -EOPNOTSUPP;
    }
  }
}
