/**
 * One queue of a device: requests fetched, served, and answered, all on one ring. A fetch is a command that completes
 * when there is a request; the next command for it answers and fetches again at once. A request keeps its number, the
 * tag, and its memory all the while.
 */
import { type Cqe, EIO, Mapping, Ring } from "bun-uring";
import {
  DESCRIPTORS_STRIDE,
  IO_CMD_WORD_RESULT,
  ioCmd,
  SIZEOF_IO_DESC,
  UBLK_IO_OP_DISCARD,
  UBLK_IO_OP_FLUSH,
  UBLK_IO_OP_READ,
  UBLK_IO_OP_WRITE,
  UBLK_IO_OP_WRITE_ZEROES,
  UBLK_IO_RES_ABORT,
  UBLK_IO_RES_OK,
  UBLK_MAX_QUEUE_DEPTH,
  UBLK_U_IO_COMMIT_AND_FETCH_REQ,
  UBLK_U_IO_FETCH_REQ,
} from "./abi.ts";
import { type Backend, backendOf, type Store } from "./backend.ts";
import { Request } from "./request.ts";
import {
  BYTES_READ,
  BYTES_WRITTEN,
  type Counters,
  DISCARDS,
  ENTERS,
  ERRORS,
  FLUSHES,
  READS,
  WRITES,
  ZEROINGS,
} from "./stats.ts";

/** Which queue of which device to serve from what. */
export interface QueueTask {
  /** The descriptor of /dev/ublkcN, which all queues share. */
  readonly device: number;
  readonly index: number;
  readonly depth: number;
  readonly maxIoBytes: number;
  readonly store: Store;
  readonly counters: Counters;
}

/** Added to a tag, it makes the user data of what the backend has queued for the request. */
const SERVED = UBLK_MAX_QUEUE_DEPTH;

const counterOf: Readonly<Record<number, number>> = {
  [UBLK_IO_OP_READ]: READS,
  [UBLK_IO_OP_WRITE]: WRITES,
  [UBLK_IO_OP_FLUSH]: FLUSHES,
  [UBLK_IO_OP_DISCARD]: DISCARDS,
  [UBLK_IO_OP_WRITE_ZEROES]: ZEROINGS,
};

/** Serves one queue, on the thread that makes it. */
export class Queue {
  readonly #task: QueueTask;
  readonly #ring: Ring;
  /** What the driver says of the requests. */
  readonly #descriptors: Mapping;
  /** Their data. */
  readonly #data: Mapping;
  readonly #backend: Backend;
  readonly #requests: readonly Request[];
  /** The command of each request: it differs by its result only. */
  readonly #commands: readonly Uint8Array<ArrayBuffer>[];
  readonly #results: readonly Int32Array[];
  /** How many requests the driver may still send. */
  #open = 0;
  #failure = 0;
  readonly #reap = ({ userData, res }: Cqe): void => {
    if (userData < SERVED) this.#fetched(userData, res);
    else this.#served(this.#requests[userData - SERVED] as Request, res);
  };

  constructor(task: QueueTask) {
    const { device, index, depth, maxIoBytes, store } = task;
    this.#task = task;
    // A request has one entry at a time: a command, or what serves it.
    this.#ring = new Ring(depth, { modern: true });
    try {
      this.#descriptors = Mapping.readOnly(device, index * DESCRIPTORS_STRIDE, depth * SIZEOF_IO_DESC);
      // Pages that no request has used yet take no memory.
      this.#data = Mapping.anonymous(depth * maxIoBytes);
    } catch (error) {
      this.#ring.close();
      throw error;
    }
    this.#backend = backendOf(store, this.#ring, this.#data.bytes);
    const { address } = this.#data;
    this.#requests = Array.from(
      { length: depth },
      (_, tag) => new Request(tag, address + tag * maxIoBytes, tag * maxIoBytes),
    );
    this.#commands = this.#requests.map((request) => ioCmd(index, request.tag, request.address));
    this.#results = this.#commands.map(({ buffer }) => new Int32Array(buffer, IO_CMD_WORD_RESULT * 4, 1));
  }

  /** Asks for requests, as the device needs of all its queues before it starts. */
  fetch(): void {
    for (const { tag } of this.#requests) this.#command(UBLK_U_IO_FETCH_REQ, tag, 0);
    this.#open = this.#requests.length;
    this.#ring.submit();
  }

  /**
   * Serves until the device is gone.
   *
   * @returns 0, or the `-errno` with which the driver refused a command.
   */
  run(): number {
    const { counters } = this.#task;
    while (this.#open > 0) {
      this.#ring.submitAndWait(1);
      this.#ring.forEachCqe(this.#reap);
      counters[ENTERS] = this.#ring.enters;
    }
    return this.#failure;
  }

  /** Gives everything back. */
  close(): void {
    this.#ring.close();
    this.#descriptors.close();
    this.#data.close();
  }

  #command(command: number, tag: number, result: number): void {
    (this.#results[tag] as Int32Array)[0] = result;
    this.#ring.prepUringCmd(command, this.#task.device, this.#commands[tag]).userData(tag);
  }

  #fetched(tag: number, result: number): void {
    if (result !== UBLK_IO_RES_OK) {
      this.#open--;
      if (result !== UBLK_IO_RES_ABORT) this.#failure = result;
      return;
    }
    const request = this.#requests[tag] as Request;
    request.read(this.#descriptors.words);
    this.#serve(request);
  }

  #serve(request: Request): void {
    const outcome = this.#backend.serve(request);
    if (typeof outcome === "number") this.#served(request, outcome);
    else outcome.userData(request.tag + SERVED);
  }

  #served(request: Request, result: number): void {
    const { op, length } = request;
    if (result < 0) return this.#answer(request, result);
    if (op !== UBLK_IO_OP_READ && op !== UBLK_IO_OP_WRITE) return this.#answer(request, 0);
    request.done += result;
    // A file that has become shorter has nothing there.
    if (result === 0) return this.#answer(request, -EIO);
    if (request.done < length) return this.#serve(request);
    this.#answer(request, length);
  }

  #answer(request: Request, result: number): void {
    const { counters } = this.#task;
    const count = (field: number, by: number): void => void (counters[field] = (counters[field] as number) + by);
    const field = counterOf[request.op];
    if (field !== undefined) count(field, 1);
    if (result < 0) count(ERRORS, 1);
    else if (request.op === UBLK_IO_OP_READ) count(BYTES_READ, result);
    else if (request.op === UBLK_IO_OP_WRITE) count(BYTES_WRITTEN, result);
    this.#command(UBLK_U_IO_COMMIT_AND_FETCH_REQ, request.tag, result);
  }
}
