/** Reads and writes of a FileHandle: what their arguments say, and their requests. */
import type { Reactor } from "../async/reactor.ts";
import type { Operation } from "../async/request.ts";
import type { Memory } from "../memory.ts";
import { Iovecs } from "../ring/structs.ts";
import { bytesOf, countOf, encodingOf, isSteady, positionOf, recordOf } from "./arguments.ts";
import { systemError } from "./errors.ts";
import { HEAVY_BYTES, Job, WAITS } from "./job.ts";

/** Stands for the file's own position. */
export const HERE: number = -1;

/** Bytes of a view and where in a file they come from or go. */
export interface Portion {
  /** What the caller gave, and gets back. */
  readonly buffer: unknown;
  /** The bytes. */
  readonly bytes: NodeJS.ArrayBufferView;
  /** The position, or {@link HERE}. */
  readonly position: number;
}

/** How many bytes Bun reads into a buffer of its own. */
const USUAL_BYTES = 16 * 1024;
/** The most iovecs of one call. */
const MOST_VECTORS = 1024;

/** What FileHandle.read is asked for, in any of its forms; undefined where it is not plain, or asks for nothing. */
export function readPortion(buffer: unknown, offset: unknown, length: unknown, position: unknown): Portion | undefined {
  if (!ArrayBuffer.isView(buffer)) {
    const params = recordOf(buffer);
    if (params === undefined || (params["buffer"] !== undefined && !isSteady(params["buffer"]))) return undefined;
    const { buffer: given = Buffer.alloc(USUAL_BYTES) } = params as { buffer?: NodeJS.ArrayBufferView };
    return portion(given, params["offset"], params["length"], params["position"]);
  }
  if (!isSteady(buffer)) return undefined;
  if (typeof offset !== "object" || offset === null) return portion(buffer, offset, length, position);
  const params = offset as Record<string, unknown>;
  return portion(buffer, params["offset"], params["length"], params["position"]);
}

function portion(
  buffer: NodeJS.ArrayBufferView,
  offset: unknown,
  length: unknown,
  position: unknown,
): Portion | undefined {
  const start = countOf(offset ?? 0);
  if (start === undefined) return undefined;
  const count = countOf(length ?? buffer.byteLength - start);
  const isHere = position === undefined || position === null || position === -1 || position === -1n;
  const at = isHere ? HERE : positionOf(position);
  if (count === undefined || count === 0 || start + count > buffer.byteLength || at === undefined) return undefined;
  return { buffer, bytes: bytesOf(buffer, start, count), position: at };
}

/**
 * What FileHandle.write is asked for; undefined where it is not plain, writes nothing, or writes at the file's own
 * position: a write that ends short there may leave the position where it was, and what follows would overwrite it.
 */
export function writePortion(data: unknown, offset: unknown, length: unknown, position: unknown): Portion | undefined {
  if (typeof data === "string") {
    const encoding = encodingOf(length, "utf8");
    const at = positionOf(typeof offset === "number" ? offset : undefined);
    if (encoding === undefined || encoding === "buffer" || at === undefined || data === "") return undefined;
    return { buffer: data, bytes: Buffer.from(data, encoding), position: at };
  }
  // No offset, null, counts as no options here, and so as no position.
  if (!isSteady(data) || offset === null) return undefined;
  const params = typeof offset === "object" ? (offset as Record<string, unknown>) : { offset, length, position };
  // Only a number is a position here: a bigint stands for the file's own.
  if (typeof params["position"] !== "number" || params["position"] < 0) return undefined;
  return portion(data, params["offset"], params["length"], params["position"]);
}

/** Several views as iovecs; undefined where they are not plain or too many. */
export function vectorOf(buffers: unknown): Iovecs | undefined {
  if (!Array.isArray(buffers) || buffers.length === 0 || buffers.length > MOST_VECTORS) return undefined;
  return buffers.every(isSteady) ? new Iovecs(buffers) : undefined;
}

/** One read or write. */
export class Transfer<T> extends Job<T> {
  readonly #fd: number;
  readonly #syscall: string;
  readonly #made: (count: number) => T;
  readonly #after: () => void;

  /**
   * @param made makes the result of the number of bytes. @param after is called when it is over, before the promise is
   * settled.
   */
  constructor(
    operation: Operation,
    fd: number,
    memory: Memory,
    position: number,
    syscall: string,
    made: (count: number) => T,
    after: () => void,
  ) {
    super(operation, fd, memory, position);
    this.#fd = fd;
    this.#syscall = syscall;
    this.#made = made;
    this.#after = after;
    if ((memory instanceof Iovecs ? memory.totalBytes : (memory as Uint8Array).byteLength) >= HEAVY_BYTES) {
      this.how = WAITS;
    }
  }

  protected override next(_reactor: Reactor, res: number): void {
    this.#after();
    if (res >= 0) this.resolve(this.#made(res));
    else this.reject(systemError(res, this.#syscall, this.#named ? { fd: this.#fd } : {}));
  }

  /** Bun names the descriptor where the call has a position, but for this one. */
  get #named(): boolean {
    return this.c !== HERE && this.#syscall !== "pwritev";
  }

  override fail(error: unknown): void {
    this.#after();
    super.fail(error);
  }
}
