/**
 * Receiving, in one of two ways. Usually the kernel puts what comes into buffers that all connections of a thread share,
 * and a connection at rest has none. Where it cannot, it says when something is there, which is fetched then.
 */
import {
  IORING_FEAT_RECVSEND_BUNDLE,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_RECV_MULTISHOT,
  IORING_RECVSEND_BUNDLE,
  IOSQE_BUFFER_SELECT,
} from "../abi/constants.gen.ts";
import { EINVAL } from "../abi/errno.gen.ts";
import { POLLIN, POLLRDHUP } from "../abi/linux.ts";
import type { Reactor } from "../async/reactor.ts";
import { UringError } from "../errors.ts";
import { Mapping } from "../memory.ts";
import { BufferRing, type BufferRingOptions } from "../ring/bufferring.ts";
import type { Cqe } from "../ring/cqe.ts";
import { type Slot, SQE_BUF_INDEX, SQE_FLAGS_SHIFT, SQE_IOPRIO_SHIFT } from "../ring/prep/slot.ts";
import type { BinaryType } from "./handlers.ts";
import { receiveNow } from "./system.ts";

/** What a handler of data is given. */
export type Received = Buffer | Uint8Array<ArrayBuffer> | ArrayBuffer;

/** How connections receive. */
export type Way = "filled slowly" | "bundles" | "buffers" | "readiness";

/** Buffers that the kernel fills little by little: few and large, and not more than stays in the processor's cache. */
const SLOWLY: Sizes = { entries: 4, size: 2 ** 18, incremental: true };
/** Buffers of which it takes one, or with bundles some, whatever comes. */
const AT_ONCE: Sizes = { entries: 512, size: 8192 };
/** What is fetched at a time where the kernel fills no buffers; no more than Bun hands over. */
const FETCH_BYTES = 524_288;

/** The groups that are looked through for one that is free, from here down: others begin elsewhere. */
const LAST_GROUP = 0x3fff;

type Sizes = Omit<BufferRingOptions, "group">;

/** What the connections of a thread receive with. */
export class Receives {
  readonly #reactor: Reactor;
  #way: Way;
  #ring: BufferRing | undefined;
  /** All of the memory that is received into. */
  #memory: Buffer = Buffer.alloc(0);
  #fetched: Mapping | undefined;
  /** The first word of a receive's entry, and its buffer group. */
  #word = IORING_OP_RECV;
  /** Whether anything was ever received: until then a refusal may mean that the kernel is too old. */
  #proven = false;
  /** The pieces of a bundle, as starts and lengths. */
  readonly #pieces: number[] = [];

  /** @param best the best way that is to be tried. */
  constructor(reactor: Reactor, best: Way = "filled slowly") {
    this.#reactor = reactor;
    this.#way = best;
    // Kernel: 6.12 fills buffers little by little; 5.19 has rings of buffers.
    if (this.#way === "filled slowly" && !this.#make(SLOWLY)) {
      this.#way = reactor.engine.hasFeature(IORING_FEAT_RECVSEND_BUNDLE) ? "bundles" : "buffers";
    }
    if ((this.#way === "bundles" || this.#way === "buffers") && !this.#make(AT_ONCE)) this.#way = "readiness";
    // Kernel: 6.10 fills several buffers at once.
    const bundle = this.#way === "bundles" ? IORING_RECVSEND_BUNDLE : 0;
    const ioprio = (IORING_RECV_MULTISHOT | bundle) << SQE_IOPRIO_SHIFT;
    this.#word = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << SQE_FLAGS_SHIFT) | ioprio;
  }

  /** How connections receive. */
  get way(): Way {
    return this.#way;
  }

  #make(sizes: Sizes): boolean {
    for (let group = LAST_GROUP; group > 0; group--) {
      try {
        this.#ring = new BufferRing(this.#reactor.engine, { ...sizes, group });
        this.#memory = Buffer.from(this.#ring.bytes.buffer, 0, this.#ring.bytes.length);
        return true;
      } catch (error) {
        if (!(error instanceof UringError)) throw error;
        // The kernel has no such buffers, or no memory for them: there are other ways.
        if (error.code !== "EEXIST") return false;
      }
    }
    return false;
  }

  /** Whether one receive may bring many pieces. */
  get goesOn(): boolean {
    return this.#ring !== undefined;
  }

  /** Writes the entry of a receive. @param once whether it is to bring one piece. */
  write(sqe: Slot, fd: number, once: boolean): void {
    if (this.#ring === undefined) {
      sqe.write(IORING_OP_POLL_ADD, fd, 0, 0, 0, POLLIN | POLLRDHUP);
      return;
    }
    sqe.write(once ? this.#word & ~(IORING_RECV_MULTISHOT << SQE_IOPRIO_SHIFT) : this.#word, fd, 0, 0, 0, 0);
    sqe.set(SQE_BUF_INDEX, this.#ring.group);
  }

  /** What a completion has brought, as a handler gets it; a number for none: the result. */
  take(cqe: Cqe, fd: number, as: BinaryType): Received | number {
    const { res } = cqe;
    const ring = this.#ring;
    if (ring === undefined) return res < 0 ? res : this.#fetch(fd, as);
    if (!cqe.hasBuffer) return res;
    this.#proven = true;
    if (this.#way === "bundles") return this.#takeBundle(ring, cqe, as);
    const start = ring.take(cqe);
    const received = res > 0 ? copy(this.#memory, start, res, as) : res;
    ring.recycle(cqe.bufferId);
    return received;
  }

  /** Gives back what a completion has brought for nobody. */
  drop(cqe: Cqe): void {
    if (cqe.hasBuffer && this.#ring !== undefined) this.#ring.forEach(cqe, (_start, _length, id) => this.#recycle(id));
  }

  #recycle(id: number): void {
    this.#ring?.recycle(id);
  }

  #takeBundle(ring: BufferRing, cqe: Cqe, as: BinaryType): Received | number {
    const pieces = this.#pieces;
    pieces.length = 0;
    ring.forEach(cqe, this.#note);
    const whole = Buffer.allocUnsafeSlow(Math.max(cqe.res, 0));
    let at = 0;
    for (let i = 0; i < pieces.length; i += 3) {
      const [start, length, id] = [pieces[i] as number, pieces[i + 1] as number, pieces[i + 2] as number];
      this.#memory.copy(whole, at, start, start + length);
      at += length;
      ring.recycle(id);
    }
    return cqe.res > 0 ? shaped(whole, as) : cqe.res;
  }

  readonly #note = (start: number, length: number, id: number): void => {
    this.#pieces.push(start, length, id);
  };

  #fetch(fd: number, as: BinaryType): Received | number {
    const memory = (this.#fetched ??= Mapping.anonymous(FETCH_BYTES));
    const count = receiveNow(fd, memory.address, FETCH_BYTES);
    if (count <= 0) return count;
    return copy(Buffer.from(memory.bytes.buffer, 0, FETCH_BYTES), 0, count, as);
  }

  /** Whether a receive that ended with `res` is to be made again in an older way. */
  fallsBack(res: number): boolean {
    // Kernel: rings of buffers came with 5.19, multishot receives with 6.0.
    if (res !== -EINVAL || this.#proven) return false;
    this.#way = "readiness";
    this.#ring?.close();
    this.#ring = undefined;
    return true;
  }

  /** Gives the memory back that is not the ring's. */
  close(): void {
    this.#ring?.close();
    this.#fetched?.close();
  }
}

/** A copy, which is its receiver's to keep. */
function copy(from: Buffer, start: number, length: number, as: BinaryType): Received {
  const made = Buffer.allocUnsafeSlow(length);
  from.copy(made, 0, start, start + length);
  return shaped(made, as);
}

function shaped(bytes: Buffer, as: BinaryType): Received {
  if (as === "buffer") return bytes;
  return as === "arraybuffer" ? (bytes.buffer as ArrayBuffer) : new Uint8Array(bytes.buffer as ArrayBuffer);
}
