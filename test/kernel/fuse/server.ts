/**
 * Requests to a file system that come over a ring, served. Each processor has a queue, and each queue has entries:
 * memory for a request and its answer. A command completes when there is a request; the next command for the entry
 * answers it and asks for another.
 */
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { type Cqe, Iovecs, Mapping, Ring, type Sqe } from "../../../src/index.ts";
import type { RingOptions } from "../../../src/ring/params.ts";
import {
  cmdReq,
  ENT_COMMIT_ID,
  ENT_PAYLOAD_SIZE,
  FUSE_IO_URING_CMD_COMMIT_AND_FETCH,
  FUSE_IO_URING_CMD_REGISTER,
  IN_NODEID,
  IN_OPCODE,
  IN_UNIQUE,
  REQ_HEADER_ENT,
  REQ_HEADER_OP_IN,
  SIZEOF_REQ_HEADER,
  writeOutHeader,
} from "./abi.ts";
import type { Tree } from "./tree.ts";

const PAGE_BYTES = 4096;
/** The most bytes that one request or its answer carries. */
export const PAYLOAD_BYTES: number = 32 * PAGE_BYTES;
/** Entries of each queue. */
const DEPTH = 2;
/** The longest that the event loop waits for the ring: that a program has ended is an event of the loop's. */
const TURN_MS = 5;

/** How many queues there are: one for each processor that the machine can have, from 0 on. */
export const queueCount: number =
  Number(/\d+$/.exec(readFileSync("/sys/devices/system/cpu/possible", "utf8").trim())?.[0]) + 1;

/** The memory of one request: headers on a page of their own, and the payload. */
class Entry {
  readonly queue: number;
  readonly iovecs: Iovecs = new Iovecs(2);
  readonly inOut: DataView;
  readonly args: DataView;
  readonly ent: DataView;
  readonly payload: Buffer;

  constructor(queue: number, memory: Mapping, start: number) {
    this.queue = queue;
    const { address, bytes } = memory;
    const part = (at: number, length: number): DataView => new DataView(bytes.buffer, start + at, length);
    this.iovecs.set(0, address + start, SIZEOF_REQ_HEADER).set(1, address + start + PAGE_BYTES, PAYLOAD_BYTES);
    this.inOut = part(0, REQ_HEADER_OP_IN);
    this.args = part(REQ_HEADER_OP_IN, REQ_HEADER_ENT - REQ_HEADER_OP_IN);
    this.ent = part(REQ_HEADER_ENT, SIZEOF_REQ_HEADER - REQ_HEADER_ENT);
    this.payload = Buffer.from(bytes.buffer, start + PAGE_BYTES, PAYLOAD_BYTES);
  }
}

/** Serves a file system over one ring, for all queues, on the thread that makes it. */
export class Server {
  /** The kind of each request that came, FUSE_*, queue by queue. */
  readonly came: readonly number[][] = Array.from({ length: queueCount }, () => []);
  /** The results of the commands that were the last of their entries. */
  readonly ends: number[] = [];
  readonly #fd: number;
  readonly #tree: Tree;
  readonly #ring: Ring;
  readonly #memory: Mapping;
  readonly #entries: readonly Entry[];
  readonly #command: (command: number, entry: Entry, commitId: bigint) => Sqe;
  #stopped = false;
  readonly #reap = ({ userData, res }: Cqe): void => {
    if (res < 0) this.ends.push(res);
    else this.#serve(this.#entries[userData] as Entry);
  };

  constructor(fd: number, tree: Tree, options: RingOptions) {
    this.#fd = fd;
    this.#tree = tree;
    const count = queueCount * DEPTH;
    const stride = PAGE_BYTES + PAYLOAD_BYTES;
    this.#ring = new Ring(count, options);
    this.#memory = Mapping.anonymous(count * stride);
    this.#entries = Array.from({ length: count }, (_, i) => new Entry(i % queueCount, this.#memory, i * stride));
    const ring = this.#ring;
    this.#command = (command, { queue, iovecs }, commitId) =>
      options.sqeMixed === true
        ? ring.prepUringCmd128(command, this.#fd, cmdReq(queue, commitId), iovecs, iovecs.length)
        : ring.prepUringCmd(command, this.#fd, cmdReq(queue, commitId), iovecs, iovecs.length);
  }

  /** How many entries there are. */
  get entries(): number {
    return this.#entries.length;
  }

  /** How many requests of a kind came. */
  count(opcode: number): number {
    return this.came.flat().filter((other) => other === opcode).length;
  }

  /** Gives the kernel all entries: from then on requests come over the ring. */
  register(): void {
    this.#entries.forEach((entry, index) => {
      this.#command(FUSE_IO_URING_CMD_REGISTER, entry, 0n).userData(index);
    });
    this.#ring.submit();
  }

  /** Serves until no entry is left, or until it is told to {@link stop}; the event loop goes on meanwhile. */
  async run(): Promise<void> {
    while (!this.#stopped && this.ends.length < this.#entries.length) {
      this.#ring.submitAndWaitTimeout(1, TURN_MS);
      this.#ring.forEachCqe(this.#reap);
      await setImmediate();
    }
  }

  /** Ends {@link run}, with requests unanswered. */
  stop(): void {
    this.#stopped = true;
  }

  /** Gives everything back; entries that there still are end. */
  close(): void {
    this.#ring.close();
    // Kernel: a request that was on its way to an entry may still be written there.
    if (this.ends.length === this.#entries.length) this.#memory.close();
  }

  #serve(entry: Entry): void {
    const { inOut, args, ent, payload, queue } = entry;
    const opcode = inOut.getUint32(IN_OPCODE, true);
    (this.came[queue] as number[]).push(opcode);
    const result = this.#tree.answer({
      opcode,
      node: Number(inOut.getBigUint64(IN_NODEID, true)),
      args,
      lengthBytes: ent.getUint32(ENT_PAYLOAD_SIZE, true),
      room: payload,
    });
    const length = Math.max(result, 0);
    ent.setUint32(ENT_PAYLOAD_SIZE, length, true);
    writeOutHeader(inOut, inOut.getBigUint64(IN_UNIQUE, true), Math.min(result, 0), length);
    const commit = this.#command(FUSE_IO_URING_CMD_COMMIT_AND_FETCH, entry, ent.getBigUint64(ENT_COMMIT_ID, true));
    commit.userData(this.#entries.indexOf(entry));
  }
}
