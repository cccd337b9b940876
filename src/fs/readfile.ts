/** readFile: open, read to the end, close. */
import { constants } from "node:fs";
import { IORING_OP_FADVISE } from "../abi/constants.gen.ts";
import { ESPIPE } from "../abi/errno.gen.ts";
import { POLLIN, POSIX_FADV_NORMAL } from "../abi/linux.ts";
import type { Reactor } from "../async/reactor.ts";
import { bytesOf, type Encoding, encodingOf, isCalm, openFlagsOf, pathOf, recordOf } from "./arguments.ts";
import { reactorFor } from "./door.ts";
import { systemError } from "./errors.ts";
import { HEAVY_BYTES, WAITS } from "./job.ts";
import { FADVISE, POLL, READ } from "./operations.ts";
import { own } from "./own.ts";
import { PLACE_BYTES, type Place } from "./places.ts";
import { Glance } from "./stats.ts";
import { type Task, WholeFile } from "./wholefile.ts";

/** What is longer is Bun's to read, or to refuse. */
const MOST_BYTES = 2 ** 31 - 1;

const { O_NOCTTY } = constants;

type Content = Buffer | string;

/** Where a {@link ReadFile} is while its file is open. */
type Stage = "reading" | "probing" | "asking" | "polling";

/**
 * Reads into its place first. Most files end there, as the read that brings nothing tells: sizes are not to be trusted,
 * as of the files of /proc. Only for a longer one the size is looked for, to read the rest in one go.
 */
class ReadFile extends WholeFile<Content> {
  readonly #encoding: Encoding;
  #stage: Stage = "reading";
  /** What is longer than the place. */
  #long: Buffer | undefined;
  #filledBytes = 0;
  #tooLong = false;

  constructor(task: Task<Content>, encoding: Encoding) {
    super(task);
    this.#encoding = encoding;
  }

  protected override first(reactor: Reactor): void {
    this.#read(reactor);
  }

  /** Reads behind what is there, or looks whether there is more. */
  #read(reactor: Reactor): void {
    const { address } = this.room as Place;
    const filled = this.#filledBytes;
    const long = this.#long;
    this.#stage = "reading";
    this.how = undefined;
    if (long === undefined) this.ask(reactor, READ, this.fd, address + filled, filled, PLACE_BYTES - filled);
    else if (long.length > filled) {
      const left = long.length - filled;
      if (left >= HEAVY_BYTES) this.how = WAITS;
      this.ask(reactor, READ, this.fd, bytesOf(long, filled, left), filled);
    } else {
      this.#stage = "probing";
      this.ask(reactor, READ, this.fd, address, filled, PLACE_BYTES);
    }
  }

  protected override opened(reactor: Reactor, res: number): void {
    if (this.#stage === "asking") this.#asked(reactor, res);
    else if (this.#stage === "polling") this.stepIn();
    else if (res < 0) this.close(reactor, systemError(res, "read"));
    else if (res === 0) this.#atEnd(reactor);
    else if (this.#stage === "probing") this.#grow(reactor, res);
    else {
      this.#filledBytes += res;
      if (this.#long === undefined && this.#filledBytes === PLACE_BYTES) this.#glance(reactor);
      else this.#read(reactor);
    }
  }

  #atEnd(reactor: Reactor): void {
    // Kernel: a FIFO is opened without waiting for somebody to write (5.6 to 7.3), and until then seems to be at its
    // end. Of what is empty only a FIFO does not take advice.
    if (this.#filledBytes > 0) return this.close(reactor);
    this.#stage = "asking";
    this.ask(reactor, FADVISE, this.fd, 0, 0, POSIX_FADV_NORMAL);
  }

  #asked(reactor: Reactor, res: number): void {
    if (res !== -ESPIPE) return this.close(reactor);
    // Who has come and gone without a word since then is an end, too, and wakes.
    this.#stage = "polling";
    this.stepOut();
    this.ask(reactor, POLL, this.fd, POLLIN);
  }

  protected override back(reactor: Reactor): void {
    this.#read(reactor);
  }

  /** The place is full: makes room for the whole file. */
  #glance(reactor: Reactor): void {
    const glance = new Glance(this.fd, (_mode, sizeBytes) => this.#extend(reactor, Math.max(sizeBytes, PLACE_BYTES)));
    void glance.begin(reactor);
  }

  #extend(reactor: Reactor, lengthBytes: number): void {
    this.#tooLong = lengthBytes > MOST_BYTES;
    if (this.#tooLong) return this.close(reactor);
    try {
      this.#long = Buffer.allocUnsafeSlow(lengthBytes);
    } catch (error) {
      return this.close(reactor, error as Error);
    }
    this.#long.set((this.room as Place).bytes);
    this.#read(reactor);
  }

  /** There is more than there was room for, `count` bytes of it in the place. */
  #grow(reactor: Reactor, count: number): void {
    const filled = this.#filledBytes;
    const grown = Buffer.allocUnsafeSlow(Math.max(filled * 2, filled + count));
    this.#tooLong = grown.length > MOST_BYTES;
    if (this.#tooLong) return this.close(reactor);
    grown.set(this.#long as Buffer);
    grown.set((this.room as Place).bytes.subarray(0, count), filled);
    this.#long = grown;
    this.#filledBytes += count;
    this.#read(reactor);
  }

  protected override value(): Content | Promise<Content> {
    if (this.#tooLong) return this.instead();
    const filled = this.#filledBytes;
    const from = this.#long ?? (this.room as Place).bytes;
    if (this.#encoding !== "buffer") return from.toString(this.#encoding, 0, filled);
    if (this.#long?.length === filled) return this.#long;
    // Memory of its own, not of a pool: what stands in `buffer` is then this file and nothing else.
    const content = Buffer.allocUnsafeSlow(filled);
    content.set(from.subarray(0, filled));
    return content;
  }
}

/** readFile(path[, options]). */
export function readFile(path: unknown, options?: unknown): Promise<Content> {
  const plain = pathOf(path);
  const how = readingOf(options);
  // The newest of the operations that it takes.
  const reactor = plain === undefined || how === undefined ? undefined : reactorFor(IORING_OP_FADVISE);
  if (reactor === undefined) return own.readFile(path, options);
  const { encoding, flags, signal } = how as Reading;
  const instead = (): Promise<Content> => own.readFile(path, options);
  const task = { path: plain as string, attempts: [flags | O_NOCTTY], mode: 0o666, signal, instead };
  return new ReadFile(task, encoding).start();
}

interface Reading {
  readonly encoding: Encoding;
  readonly flags: number;
  readonly signal: AbortSignal | undefined;
}

/** How a file is read; undefined where the options are not plain. */
function readingOf(options: unknown): Reading | undefined {
  const record = typeof options === "string" ? { encoding: options } : recordOf(options);
  if (record === undefined || !isCalm(record["signal"])) return undefined;
  const encoding = encodingOf(record["encoding"], "buffer");
  const flags = openFlagsOf(record["flag"], "r");
  if (encoding === undefined || flags === undefined) return undefined;
  return { encoding, flags, signal: record["signal"] };
}
