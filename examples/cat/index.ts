/**
 * cat(1) on io_uring: `bun run examples/cat FILE...`.
 *
 * A file of some size is read in eight places at once, into registered buffers; what was read is written in order. A
 * pipe, a terminal or standard input is read in one place, its own position: one read is in flight beside one write.
 */
import { constants } from "node:fs";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  type BufferPool,
  EPIPE,
  type PoolBuffer,
  Ring,
  type Sqe,
  Statx,
  STATX_BASIC_STATS,
} from "bun-uring";
import { poolWithinLimits } from "../support/buffers.ts";
import { complain, isRefusal, quoteIfNeeded, strerror } from "../support/messages.ts";
import { type CommandLine, parseArguments, UsageError } from "../support/options.ts";
import { Cursor } from "./cursor.ts";

const USAGE = `Usage: bun run examples/cat [OPTION]... [FILE]...
Concatenate FILE(s) to standard output, reading ahead through io_uring.

With no FILE, or when FILE is -, read standard input.

  -u       ignored: nothing is held back
  --help   display this help and exit
`;

/** As many blocks are read ahead of the one being written. */
const BLOCKS = 8;
const BLOCK_BYTES = 128 * 1024;
/** The user data of the write; that of a read is the number of its buffer. */
const WRITE = BLOCKS;

/** One block on its way from the input to the output. */
interface Block {
  readonly buffer: PoolBuffer;
  /** Where in the file it begins. */
  readonly offset: number;
  /** How much of the buffer was read. */
  filled: number;
  /** How much of that was written. */
  written: number;
  /** Nothing more is to be read into it. */
  ready: boolean;
  /** What the input ends with behind it: 0, or the negative errno of a read; null where it goes on. */
  end: number | null;
}

/** The output cannot be written: the end of everything, not of one file. */
class WriteError extends Error {
  readonly result: number;

  constructor(result: number) {
    super(strerror(result));
    this.result = result;
  }
}

class Cat {
  readonly #ring: Ring;
  readonly #pool: BufferPool;
  readonly #output = new Statx();
  readonly #input = new Statx();
  /** Where standard output is written. */
  readonly #out: Cursor;
  /** The input in hand. */
  #fd = -1;
  /** How many places of it are read at once. */
  #places = 1;
  /** Where it is read, if it is not read in places. */
  #in: Cursor | undefined;
  /** Where the next block begins. */
  #next = 0;
  /** A read has met the end of the input, or failed: there is no next block. */
  #ended = false;
  /** The blocks in the order in which they are to be written. */
  readonly #blocks: Block[] = [];
  #reads = 0;
  #writing = false;

  constructor(ring: Ring) {
    this.#ring = ring;
    this.#pool = poolWithinLimits(ring, BLOCKS, BLOCK_BYTES);
    const result = this.#call(ring.prepStatx(1, "", AT_EMPTY_PATH, STATX_BASIC_STATS, this.#output));
    if (result < 0) throw new WriteError(result);
    this.#out = new Cursor(1, this.#output);
  }

  /** Writes a file out, or says why not. */
  file(name: string): boolean {
    if (name === "-") return this.#opened(0, name);
    // Kernel: an open that is tried without blocking first finds a FIFO open at once, with nobody at its other end, and
    // the first read would be the end. A worker thread opens it as open(2) does, and waits.
    const fd = this.#call(this.#ring.prepOpenat(AT_FDCWD, name, constants.O_RDONLY).async());
    if (fd < 0) return this.#failed(name, fd);
    const fine = this.#opened(fd, name);
    this.#call(this.#ring.prepClose(fd));
    return fine;
  }

  #opened(fd: number, name: string): boolean {
    const input = this.#input;
    const result = this.#call(this.#ring.prepStatx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, input));
    if (result < 0) return this.#failed(name, result);
    const sized = input.isFile() && input.size > 0;
    if (sized && isSame(input, this.#output)) {
      complain("cat", `${quoteIfNeeded(name)}: input file is output file`);
      return false;
    }
    // Files of /proc have no size, and some of them no places either: they are read like pipes. Standard input is to be
    // left where reading it ended, for whoever shares it.
    const inPlaces = sized && fd !== 0;
    this.#fd = fd;
    this.#in = inPlaces ? undefined : new Cursor(fd, input);
    this.#places = inPlaces ? Math.min(Math.ceil(input.size / this.#pool.size) + 1, BLOCKS) : 1;
    const end = this.#copy();
    return end === 0 || this.#failed(name, end);
  }

  #failed(name: string, result: number): boolean {
    complain("cat", `${quoteIfNeeded(name)}: ${strerror(result)}`);
    return false;
  }

  /** Copies the input to standard output; 0, or what a read failed with. */
  #copy(): number {
    this.#next = 0;
    this.#ended = false;
    let end = 0;
    for (;;) {
      if (!this.#writing) end = this.#writeNext() ?? end;
      this.#readAhead();
      if (this.#reads === 0 && !this.#writing) return end;
      this.#reap();
    }
  }

  /** Starts as many reads as may be in flight. */
  #readAhead(): void {
    while (!this.#ended && this.#blocks.length < this.#pool.count && this.#reads < this.#places) {
      const buffer = this.#pool.take() as PoolBuffer;
      const block: Block = { buffer, offset: this.#next, filled: 0, written: 0, ready: false, end: null };
      this.#blocks.push(block);
      this.#next += buffer.byteLength;
      this.#read(block);
    }
  }

  /** Reads what the block still has room for. */
  #read({ buffer, offset, filled }: Block): void {
    const at = this.#in === undefined ? offset + filled : this.#in.offset;
    this.#ring
      .prepReadFixed(this.#fd, buffer.address + filled, at, buffer.bufIndex, buffer.byteLength - filled)
      .userData(buffer.id);
    this.#reads++;
  }

  /**
   * Starts the one write that may be in flight: of the first block, if it is ready. What the input ended with, if so.
   */
  #writeNext(): number | null {
    for (let block = this.#blocks[0]; block?.ready; block = this.#blocks[0]) {
      const { buffer, filled, written, end } = block;
      if (written < filled) {
        this.#ring
          .prepWriteFixed(1, buffer.address + written, this.#out.offset, buffer.bufIndex, filled - written)
          .userData(WRITE);
        this.#writing = true;
        return null;
      }
      this.#pool.give(buffer);
      this.#blocks.shift();
      if (end === null) continue;
      // Blocks behind the end are of no interest. The kernel may still be reading into some: #readInto gives those
      // back.
      for (const { buffer, ready } of this.#blocks.splice(0)) if (ready) this.#pool.give(buffer);
      return end;
    }
    return null;
  }

  /** Waits for something to happen, and takes note of it. */
  #reap(): void {
    this.#ring.submitAndWait(1);
    for (let cqe = this.#ring.peekCqe(); cqe !== null; cqe = this.#ring.nextCqe()) {
      const { res, userData } = cqe;
      if (userData === WRITE) this.#wrote(res);
      else this.#readInto(userData, res);
    }
  }

  #wrote(result: number): void {
    this.#writing = false;
    if (result < 0) throw new WriteError(result);
    // A short write leaves a rest, which is written next.
    const block = this.#blocks[0] as Block;
    this.#out.advance(result, block.filled - block.written);
    block.written += result;
  }

  #readInto(id: number, result: number): void {
    this.#reads--;
    const block = this.#blocks.find(({ buffer }) => buffer.id === id);
    if (block === undefined) return this.#pool.give(this.#pool.buffer(id));
    if (result > 0) {
      this.#in?.advance(result, block.buffer.byteLength);
      block.filled += result;
      // A pipe gives what it has, which is to be passed on. A file's short read is no end: the end is a read of
      // nothing.
      block.ready = this.#in !== undefined || block.filled === block.buffer.byteLength;
      if (!block.ready) this.#read(block);
    } else {
      block.end = result;
      block.ready = this.#ended = true;
    }
  }

  /** Makes one request and waits for its result. Nothing else may be in flight. */
  #call(sqe: Sqe): number {
    sqe.userData(0);
    let cqe = this.#ring.peekCqe();
    while (cqe === null) {
      this.#ring.submitAndWait(1);
      cqe = this.#ring.peekCqe();
    }
    const { res } = cqe;
    this.#ring.seenCqe();
    return res;
  }
}

function isSame(a: Statx, b: Statx): boolean {
  return b.isFile() && a.inoBigint === b.inoBigint && a.devMajor === b.devMajor && a.devMinor === b.devMinor;
}

/**
 * Bun starts with SIGPIPE ignored and does not tell what it was before. Taking a handler away again sets the signal
 * back to what a shell's children have, which ends the program as soon as nobody reads its output any more.
 */
function restoreSigpipe(): void {
  const nothing = (): void => {};
  process.on("SIGPIPE", nothing);
  process.off("SIGPIPE", nothing);
}

function main(): number {
  let line: CommandLine<"help" | "unbuffered">;
  try {
    line = parseArguments(process.argv.slice(2), { "--help": "help", "-u": "unbuffered" });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain("cat", `${error.message}\nTry 'cat --help' for more information.`);
    return 1;
  }
  if (line.options.has("help")) {
    process.stdout.write(USAGE);
    return 0;
  }
  restoreSigpipe();
  try {
    using ring = new Ring(2 * BLOCKS, { modern: true });
    const cat = new Cat(ring);
    let fine = true;
    for (const name of line.operands.length > 0 ? line.operands : ["-"]) fine = cat.file(name) && fine;
    return fine ? 0 : 1;
  } catch (error) {
    if (error instanceof WriteError) {
      // A worker thread of the kernel wrote, and the signal was for it alone: end the way the others do.
      if (error.result === -EPIPE) process.kill(process.pid, "SIGPIPE");
      complain("cat", `write error: ${error.message}`);
    } else if (isRefusal(error)) {
      complain("cat", error.message);
    } else {
      throw error;
    }
    return 1;
  }
}

process.exitCode = main();
