/**
 * FileHandle: Bun's own class, with methods of it replaced by ones that ask the ring. So whatever takes a FileHandle of
 * Bun's takes one of these: its streams, its other functions, a message to a Worker. What counts who uses the handle,
 * so that closing waits for them, is Bun's too.
 */
import type { FileHandle as OwnHandle } from "node:fs/promises";
import {
  IORING_OP_CLOSE,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_OPENAT,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_STATX,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
} from "../abi/constants.gen.ts";
import { backend } from "../async/backend.ts";
import { Fifo } from "../async/fifo.ts";
import type { Reactor } from "../async/reactor.ts";
import type { Iovecs } from "../ring/structs.ts";
import { modeOf, openFlagsOf, pathOf, positionOf } from "./arguments.ts";
import { reactorFor } from "./door.ts";
import { systemError } from "./errors.ts";
import { closeNow, Closing, Deed, Job, WAITS } from "./job.ts";
import { DATA_ONLY, FSYNC, FTRUNCATE, OPEN, READ, READV, WRITE, WRITEV } from "./operations.ts";
import { own } from "./own.ts";
import { bigintOf, fstat, Glance } from "./stats.ts";
import { HERE, type Portion, readPortion, Transfer, vectorOf, writePortion } from "./transfer.ts";

/** What Bun's class keeps under symbols of its own. */
interface Insides {
  /** A method: somebody uses the handle. */
  readonly ref: symbol;
  /** A method: and no longer does. The last one closes what is to be closed. */
  readonly unref: symbol;
  /** How many use it, itself included. */
  readonly refs: symbol;
  /** The promise of its closing, while it is being closed. */
  readonly closing: symbol;
  /** A method: takes the descriptor out of a handle that nobody uses, which is closed then. */
  readonly transfer: symbol;
}

/** Its members, and those under symbols. */
type Inner = OwnHandle & { [inside: symbol]: unknown };

/** The longest that Bun makes a file. */
const MOST_LENGTH = 2 ** 52 - 1;

type Loose = (...args: readonly unknown[]) => Promise<never>;

/** Bun's class; undefined until there is a handle of it, and null where its insides are others than we know. */
let base: (new (fd: number, flags: unknown, path: string | undefined) => OwnHandle) | undefined | null;
let insides: Insides;

/** Takes the place of Bun's class, which no module exports, until there is a handle of it. */
const Unborn = class {} as unknown as abstract new () => OwnHandle;

/** Nothing of it is made by its constructor: it has neither private members nor fields. */
class FileHandle extends Unborn {
  override read(buffer?: unknown, offset?: unknown, length?: unknown, position?: unknown): Promise<never> {
    const portion = this.fd < 0 ? undefined : readPortion(buffer, offset, length, position);
    const reactor = portion === undefined ? undefined : reactorFor(IORING_OP_READ);
    const instead = (): Promise<never> => (super.read as Loose).call(this, buffer, offset, length, position);
    if (portion === undefined || reactor === undefined) return instead();
    if (portion.position === HERE) return readHere(this, portion, reactor) as Promise<never>;
    const made = (bytesRead: number): unknown => ({ buffer: portion.buffer, bytesRead });
    return there(
      this,
      IORING_OP_READ,
      instead,
      (after) => new Transfer(READ, this.fd, portion.bytes, portion.position, "read", made, after),
    );
  }

  override write(data: unknown, offset?: unknown, length?: unknown, position?: unknown): Promise<never> {
    const portion = this.fd < 0 ? undefined : writePortion(data, offset, length, position);
    const instead = (): Promise<never> => (super.write as Loose).call(this, data, offset, length, position);
    if (portion === undefined) return instead();
    const made = (bytesWritten: number): unknown => ({ buffer: portion.buffer, bytesWritten });
    return there(
      this,
      IORING_OP_WRITE,
      instead,
      (after) => new Transfer(WRITE, this.fd, portion.bytes, portion.position, "write", made, after),
    );
  }

  override readv(buffers: unknown, position?: unknown): Promise<never> {
    const instead = (): Promise<never> => (super.readv as Loose).call(this, buffers, position);
    const made = (bytesRead: number): unknown => ({ bytesRead, buffers });
    return several(this, IORING_OP_READV, instead, buffers, position, (vector, at, after) => {
      return new Transfer(READV, this.fd, vector, at, "preadv", made, after);
    });
  }

  override writev(buffers: unknown, position?: unknown): Promise<never> {
    const instead = (): Promise<never> => (super.writev as Loose).call(this, buffers, position);
    const made = (bytesWritten: number): unknown => ({ bytesWritten, buffers });
    return several(this, IORING_OP_WRITEV, instead, buffers, position, (vector, at, after) => {
      return new Transfer(WRITEV, this.fd, vector, at, "pwritev", made, after);
    });
  }

  override stat(options?: unknown): Promise<never> {
    const bigint = bigintOf(options);
    const reactor = this.fd < 0 || bigint === undefined ? undefined : reactorFor(IORING_OP_STATX);
    if (reactor === undefined) return (super.stat as Loose).call(this, options);
    return fstat(reactor, this.fd, bigint as boolean, use(this)) as Promise<never>;
  }

  override sync(): Promise<void> {
    const { fd } = this;
    const reactor = fd < 0 ? undefined : reactorFor(IORING_OP_FSYNC);
    if (reactor === undefined) return super.sync();
    return new Deed(FSYNC, [fd], "fsync", {}, use(this)).begin(reactor);
  }

  override datasync(): Promise<void> {
    const { fd } = this;
    const reactor = fd < 0 ? undefined : reactorFor(IORING_OP_FSYNC);
    if (reactor === undefined) return super.datasync();
    return new Deed(FSYNC, [fd, DATA_ONLY], "fdatasync", { fd }, use(this)).begin(reactor);
  }

  override truncate(len: unknown = 0): Promise<void> {
    const { fd } = this;
    const length = fd < 0 || typeof len !== "number" ? undefined : positionOf(len);
    const reactor = length === undefined || length > MOST_LENGTH ? undefined : reactorFor(IORING_OP_FTRUNCATE);
    if (reactor === undefined) return (super.truncate as Loose).call(this, len);
    return new Deed(FTRUNCATE, [fd, length], "ftruncate", {}, use(this)).begin(reactor);
  }

  override close(): Promise<void> {
    const inner = this as unknown as Inner;
    const reactor = this.fd < 0 ? undefined : reactorFor(IORING_OP_CLOSE);
    // Who still uses it closes it in the end, in Bun's way.
    if (reactor === undefined || inner[insides.closing] || inner[insides.refs] !== 1) return super.close();
    const { fd } = this;
    (inner[insides.transfer] as () => void)();
    inner[insides.refs] = 0;
    const closing = new Closing(fd, () => (inner[insides.closing] = undefined)).begin(reactor);
    inner[insides.closing] = closing;
    try {
      (this as unknown as NodeJS.EventEmitter).emit("close");
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return closing;
  }
}

/** Keeps a handle from being closed until what is returned is called. */
function use(handle: FileHandle): () => void {
  const inner = handle as unknown as Inner;
  (inner[insides.ref] as () => void)();
  return () => void (inner[insides.unref] as () => void)();
}

/** What is known of a handle besides. */
interface Knowledge {
  /** Whether it is a file with positions, as others than files and disks have none. */
  seekable: boolean | undefined;
  /** Whether a read at the file's own position is under way. */
  reading: boolean;
  /** Those that wait for it. */
  readonly waiting: Fifo<Transfer<unknown>>;
}

const known = new WeakMap<FileHandle, Knowledge>();

function knowledgeOf(handle: FileHandle): Knowledge {
  let knowledge = known.get(handle);
  if (knowledge === undefined) {
    knowledge = { seekable: undefined, reading: false, waiting: new Fifo() };
    known.set(handle, knowledge);
  }
  return knowledge;
}

/**
 * Reads at the file's own position, one after another: the kernel does not lock it for the ring, and two reads at once
 * would get the same bytes.
 */
function readHere(handle: FileHandle, portion: Portion, reactor: Reactor): Promise<unknown> {
  const knowledge = knowledgeOf(handle);
  const made = (bytesRead: number): unknown => ({ buffer: portion.buffer, bytesRead });
  const unuse = use(handle);
  const after = (): void => {
    unuse();
    const next = knowledge.waiting.shift();
    knowledge.reading = next !== undefined;
    const again = next === undefined ? undefined : reactorFor(IORING_OP_READ);
    if (again !== undefined) void next?.begin(again);
    else next?.fail(new Error("Cannot read: the ring was closed"));
  };
  const transfer = new Transfer(READ, handle.fd, portion.bytes, HERE, "read", made, after);
  if (knowledge.reading) knowledge.waiting.push(transfer);
  else {
    knowledge.reading = true;
    void transfer.begin(reactor);
  }
  return transfer.promise;
}

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFBLK = 0o060000;

/**
 * Reads or writes at a position. The ring gives what has none, a terminal or a FIFO, no error for it, as pread(2) does:
 * what a handle stands for is looked for when it is first asked for.
 */
function there(
  handle: FileHandle,
  opcode: number,
  instead: () => Promise<never>,
  make: (after: () => void) => Transfer<unknown>,
): Promise<never> {
  const knowledge = knowledgeOf(handle);
  const reactor = reactorFor(opcode);
  if (reactor === undefined || knowledge.seekable === false || reactorFor(IORING_OP_STATX) === undefined) {
    return instead();
  }
  if (knowledge.seekable) return make(use(handle)).begin(reactor) as Promise<never>;
  const unuse = use(handle);
  return new Promise<void>((resolve) => {
    const glance = new Glance(handle.fd, (mode) => {
      knowledge.seekable = (mode & S_IFMT) === S_IFREG || (mode & S_IFMT) === S_IFBLK;
      resolve();
    });
    void glance.begin(reactor);
  }).then(() => {
    const done = there(handle, opcode, instead, make);
    unuse();
    return done;
  });
}

/** Reads into or writes from several buffers at a position. */
function several(
  handle: FileHandle,
  opcode: number,
  instead: () => Promise<never>,
  buffers: unknown,
  position: unknown,
  make: (vector: Iovecs, at: number, after: () => void) => Transfer<unknown>,
): Promise<never> {
  // Only a number is a position here: whatever else is given stands for the file's own.
  const at = handle.fd < 0 || typeof position !== "number" ? undefined : positionOf(position);
  const vector = at === undefined ? undefined : vectorOf(buffers);
  if (at === undefined || vector === undefined) return instead();
  return there(handle, opcode, instead, (after) => make(vector, at, after));
}

/** Opens in a worker thread: a FIFO waits for its other end, which a first attempt without blocking would not do. */
class Open extends Job<OwnHandle> {
  readonly #path: string;
  readonly #given: unknown;
  readonly #flags: unknown;

  constructor(path: string, bits: number, mode: number, given: unknown, flags: unknown) {
    super(OPEN, path, bits, mode);
    this.how = WAITS;
    this.#path = path;
    this.#given = given;
    this.#flags = flags;
  }

  protected override next(_reactor: Reactor, res: number): void {
    if (res < 0) return this.reject(systemError(res, "open", { path: this.#path }));
    try {
      const path = String(this.#given);
      this.resolve(Reflect.construct(base as NonNullable<typeof base>, [res, this.#flags, path], FileHandle));
    } catch (error) {
      closeNow(res);
      this.reject(error);
    }
  }
}

/** open(path[, flags[, mode]]). */
export function open(path: unknown, flags: unknown = "r", mode: unknown = 0o666): Promise<OwnHandle> {
  const plain = pathOf(path);
  const bits = openFlagsOf(flags, "r");
  const permissions = modeOf(mode, 0o666);
  const isPlain = plain !== undefined && bits !== undefined && permissions !== undefined;
  const reactor = isPlain && base !== undefined && base !== null ? reactorFor(IORING_OP_OPENAT) : undefined;
  if (reactor !== undefined)
    return new Open(plain as string, bits as number, permissions as number, path, flags).begin(reactor);
  const opened: Promise<OwnHandle> = own.open(path, flags, mode);
  return backend() === "uring" ? opened.then(adopt) : opened;
}

/** Makes a handle of Bun's one of ours. */
function adopt(handle: OwnHandle): OwnHandle {
  if (base === undefined) learn(handle);
  if (base !== null) Object.setPrototypeOf(handle, FileHandle.prototype);
  return handle;
}

/** Looks into Bun's class, and puts ours on top of it. */
function learn(handle: OwnHandle): void {
  const found = handle.constructor as NonNullable<typeof base>;
  const symbols = [...Object.getOwnPropertySymbols(handle), ...Object.getOwnPropertySymbols(found.prototype)];
  const named = (name: string): symbol | undefined => symbols.find(({ description }) => description === name);
  // Bun: its class does not let others in but so. test/fs/handle.test.ts says whether it is still made like this.
  const [ref, unref, refs] = [named("kRef"), named("kUnref"), named("kRefs")];
  const [closing, transfer] = [named("kClosePromise"), named("kTransfer")];
  base = null;
  if (ref === undefined || unref === undefined || refs === undefined) return;
  if (closing === undefined || transfer === undefined) return;
  insides = { ref, unref, refs, closing, transfer };
  // All of it stands in one place, as whoever looks there expects.
  for (const key of Reflect.ownKeys(found.prototype)) {
    if (Object.hasOwn(FileHandle.prototype, key)) continue;
    const member = Object.getOwnPropertyDescriptor(found.prototype, key) as PropertyDescriptor;
    Object.defineProperty(FileHandle.prototype, key, member);
  }
  Object.setPrototypeOf(FileHandle.prototype, found.prototype);
  Object.setPrototypeOf(FileHandle, found);
  base = found;
}
