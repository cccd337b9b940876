/** writeFile and appendFile: open, write all of it, flush if asked to, close. */
import { IORING_OP_WRITE } from "../abi/constants.gen.ts";
import { EIO } from "../abi/errno.gen.ts";
import type { Reactor } from "../async/reactor.ts";
import { bytesOf, encodingOf, isSteady, modeOf, openFlagsOf, pathOf, recordOf } from "./arguments.ts";
import { reactorFor } from "./door.ts";
import { systemError } from "./errors.ts";
import { HEAVY_BYTES, WAITS } from "./job.ts";
import { FSYNC, WRITE } from "./operations.ts";
import { own } from "./own.ts";
import { WholeFile } from "./wholefile.ts";

/** What is longer is Bun's to write. */
const MOST_BYTES = 2 ** 31 - 1;

/** Writes a view, which is kept, and the caller's to leave alone, until the promise is settled. */
class WriteFile extends WholeFile<void> {
  readonly #data: NodeJS.ArrayBufferView;
  readonly #flush: boolean;
  #writtenBytes = 0;
  #flushing = false;

  constructor(path: string, flags: number, mode: number, data: NodeJS.ArrayBufferView, flush: boolean) {
    super(path, flags, mode);
    this.#data = data;
    this.#flush = flush;
  }

  protected first(reactor: Reactor): void {
    const written = this.#writtenBytes;
    const left = this.#data.byteLength - written;
    if (left > 0) {
      this.how = left >= HEAVY_BYTES ? WAITS : undefined;
      this.ask(reactor, WRITE, this.fd, bytesOf(this.#data, written, left), written);
    } else if (this.#flush) {
      this.#flushing = true;
      this.how = undefined;
      this.ask(reactor, FSYNC, this.fd);
    } else this.close(reactor);
  }

  protected opened(reactor: Reactor, res: number): void {
    if (this.#flushing) this.close(reactor, res < 0 ? systemError(res, "fsync") : undefined);
    else if (res > 0) {
      this.#writtenBytes += res;
      this.first(reactor);
    } else this.close(reactor, systemError(res || -EIO, "write"));
  }

  protected value(): void {}
}

/** writeFile(path, data[, options]). */
export function writeFile(path: unknown, data: unknown, options?: unknown): Promise<void> {
  // Data that is missing and data that is undefined are refused in different words.
  return writing(path, data, options, "w") ?? Reflect.apply(own.writeFile, undefined, arguments);
}

/** appendFile(path, data[, options]). */
export function appendFile(path: unknown, data: unknown, options?: unknown): Promise<void> {
  return writing(path, data, options, "a") ?? Reflect.apply(own.appendFile, undefined, arguments);
}

function writing(path: unknown, data: unknown, options: unknown, usual: string): Promise<void> | undefined {
  const plain = pathOf(path);
  const record = typeof options === "string" ? { encoding: options } : recordOf(options);
  if (plain === undefined || record === undefined || record["signal"] !== undefined) return undefined;
  const { encoding, mode, flag, flush = false } = record as Readonly<Record<string, unknown>>;
  const flags = openFlagsOf(flag, usual);
  const permissions = modeOf(mode, 0o666);
  if (flags === undefined || permissions === undefined || typeof flush !== "boolean") return undefined;
  const bytes = dataOf(data, encoding);
  if (bytes === undefined || reactorFor(IORING_OP_WRITE) === undefined) return undefined;
  return new WriteFile(plain, flags, permissions, bytes, flush).start();
}

function dataOf(data: unknown, encoding: unknown): NodeJS.ArrayBufferView | undefined {
  const known = encodingOf(encoding, "utf8");
  if (known === undefined) return undefined;
  if (typeof data === "string") return known === "buffer" ? undefined : Buffer.from(data, known);
  return isSteady(data) && data.byteLength <= MOST_BYTES ? data : undefined;
}
