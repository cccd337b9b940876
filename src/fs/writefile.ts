/** writeFile and appendFile: open, write all of it, flush if asked to, close. */
import { constants } from "node:fs";
import { IORING_OP_FTRUNCATE, IORING_OP_WRITE } from "../abi/constants.gen.ts";
import { EIO } from "../abi/errno.gen.ts";
import type { Reactor } from "../async/reactor.ts";
import { bytesOf, encodingOf, isCalm, isSteady, modeOf, openFlagsOf, pathOf, recordOf } from "./arguments.ts";
import { reactorFor } from "./door.ts";
import { systemError } from "./errors.ts";
import { HEAVY_BYTES, WAITS } from "./job.ts";
import { FSYNC, FTRUNCATE, WRITE } from "./operations.ts";
import { own } from "./own.ts";
import { Glance } from "./stats.ts";
import { type Task, WholeFile } from "./wholefile.ts";

/** What is longer is Bun's to write. */
const MOST_BYTES = 2 ** 31 - 1;

const { O_CREAT, O_EXCL, O_TRUNC } = constants;

/**
 * Writes a view, which is kept, and the caller's to leave alone, until the promise is settled. As Bun does it, a file
 * that is there is not emptied before but cut after: others never see it empty, and ext4 does not flush it for having
 * been replaced.
 */
class WriteFile extends WholeFile<void> {
  readonly #data: NodeJS.ArrayBufferView;
  readonly #cut: boolean;
  readonly #flush: boolean;
  #writtenBytes = 0;
  #stage: "writing" | "waiting" | "cutting" | "flushing" = "writing";
  /** How long the file was before or after the writing: longer than what was written it is what is cut. */
  #lengthBytes: number | undefined;

  constructor(task: Task<void>, data: NodeJS.ArrayBufferView, cut: boolean, flush: boolean) {
    super(task);
    this.#data = data;
    this.#cut = cut;
    this.#flush = flush;
  }

  protected override first(reactor: Reactor): void {
    if (this.#cuts) {
      const glance = new Glance(this.fd, (_mode, sizeBytes) => {
        this.#lengthBytes = sizeBytes < 0 ? Infinity : sizeBytes;
        if (this.#stage === "waiting") this.#written(reactor);
      });
      void glance.begin(reactor);
    }
    this.#write(reactor);
  }

  /** Whether there may be something to cut. */
  get #cuts(): boolean {
    return this.#cut && (this.flags & O_EXCL) === 0;
  }

  #write(reactor: Reactor): void {
    const written = this.#writtenBytes;
    const left = this.#data.byteLength - written;
    if (left === 0) return this.#written(reactor);
    this.how = left >= HEAVY_BYTES ? WAITS : undefined;
    this.ask(reactor, WRITE, this.fd, bytesOf(this.#data, written, left), written);
  }

  protected override opened(reactor: Reactor, res: number): void {
    if (this.#stage === "flushing") this.close(reactor, res < 0 ? systemError(res, "fsync") : undefined);
    // What cannot be cut, a device or a pipe, has no rest either.
    else if (this.#stage === "cutting") this.#cutOff(reactor);
    else if (res > 0) {
      this.#writtenBytes += res;
      this.#write(reactor);
    } else this.close(reactor, systemError(res || -EIO, "write"));
  }

  #written(reactor: Reactor): void {
    this.how = undefined;
    if (!this.#cuts) return this.#cutOff(reactor);
    this.#stage = "waiting";
    if (this.#lengthBytes === undefined) return;
    if (this.#lengthBytes <= this.#writtenBytes) return this.#cutOff(reactor);
    this.#stage = "cutting";
    this.ask(reactor, FTRUNCATE, this.fd, this.#writtenBytes);
  }

  #cutOff(reactor: Reactor): void {
    if (!this.#flush) return this.close(reactor);
    this.#stage = "flushing";
    this.ask(reactor, FSYNC, this.fd);
  }

  protected override value(): void {}
}

/**
 * Ways to open a file for writing. To make one takes a worker thread of the kernel's, to find one does not: that comes
 * first. One that is certain to be new need not be cut. A link that leads nowhere takes the third way.
 */
function attemptsOf(path: string, flags: number): readonly number[] {
  if ((flags & (O_EXCL | O_TRUNC)) !== 0 || path.endsWith("/")) return [flags];
  if ((flags & O_CREAT) === 0) return [flags, flags];
  return [flags & ~O_CREAT, flags | O_EXCL, flags];
}

/** writeFile(path, data[, options]). */
export function writeFile(path: unknown, data: unknown, options?: unknown): Promise<void> {
  // Data that is missing and data that is undefined are refused in different words.
  const instead = (): Promise<void> => Reflect.apply(own.writeFile, undefined, arguments);
  return writing(path, data, options, "w", instead)?.start() ?? instead();
}

/** appendFile(path, data[, options]). */
export function appendFile(path: unknown, data: unknown, options?: unknown): Promise<void> {
  const instead = (): Promise<void> => Reflect.apply(own.appendFile, undefined, arguments);
  return writing(path, data, options, "a", instead)?.start() ?? instead();
}

function writing(
  path: unknown,
  data: unknown,
  options: unknown,
  usual: string,
  instead: () => Promise<void>,
): WriteFile | undefined {
  const plain = pathOf(path);
  const record = typeof options === "string" ? { encoding: options } : recordOf(options);
  if (plain === undefined || record === undefined) return undefined;
  const { encoding, mode, flag, flush = false, signal } = record as Readonly<Record<string, unknown>>;
  const flags = openFlagsOf(flag, usual);
  const permissions = modeOf(mode, 0o666);
  if (flags === undefined || permissions === undefined || typeof flush !== "boolean" || !isCalm(signal))
    return undefined;
  const bytes = dataOf(data, encoding);
  if (bytes === undefined || reactorFor(IORING_OP_WRITE) === undefined) return undefined;
  const cut = (flags & (O_TRUNC | O_EXCL)) === O_TRUNC && reactorFor(IORING_OP_FTRUNCATE) !== undefined;
  const attempts = attemptsOf(plain, cut ? flags & ~O_TRUNC : flags);
  return new WriteFile({ path: plain, attempts, mode: permissions, signal, instead }, bytes, cut, flush);
}

function dataOf(data: unknown, encoding: unknown): NodeJS.ArrayBufferView | undefined {
  const known = encodingOf(encoding, "utf8");
  if (known === undefined) return undefined;
  if (typeof data === "string") return known === "buffer" ? undefined : Buffer.from(data, known);
  return isSteady(data) && data.byteLength <= MOST_BYTES ? data : undefined;
}
