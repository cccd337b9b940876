/** What a ring can be asked for, what contradicts itself, and struct io_uring_params. */
import {
  IORING_SETUP_ATTACH_WQ,
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_HYBRID_IOPOLL,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_NO_MMAP,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_R_DISABLED,
  IORING_SETUP_REGISTERED_FD_ONLY,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SQ_AFF,
  IORING_SETUP_SQ_REWIND,
  IORING_SETUP_SQE128,
  IORING_SETUP_SQE_MIXED,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
} from "../abi/constants.gen.ts";
import {
  IO_CQRING_OFFSETS_WORD_USER_ADDR,
  IO_SQRING_OFFSETS_WORD_USER_ADDR,
  IO_URING_PARAMS_SIZE,
  IO_URING_PARAMS_WORD_CQ_ENTRIES,
  IO_URING_PARAMS_WORD_CQ_OFF,
  IO_URING_PARAMS_WORD_FEATURES,
  IO_URING_PARAMS_WORD_FLAGS,
  IO_URING_PARAMS_WORD_SQ_ENTRIES,
  IO_URING_PARAMS_WORD_SQ_OFF,
  IO_URING_PARAMS_WORD_SQ_THREAD_CPU,
  IO_URING_PARAMS_WORD_SQ_THREAD_IDLE,
  IO_URING_PARAMS_WORD_WQ_FD,
} from "../abi/layout.gen.ts";
import { describe, rangeError, typeError } from "../errors.ts";

/** What {@link Ring} can be made with. Every flag is off unless asked for. */
export interface RingOptions {
  /**
   * Asks for what a ring on a modern kernel should have: SUBMIT_ALL, SINGLE_ISSUER with DEFER_TASKRUN and TASKRUN_FLAG
   * (or else COOP_TASKRUN with TASKRUN_FLAG), NO_SQARRAY and CLAMP. What the kernel refuses is dropped, flag by flag;
   * `ring.setup` says what came of it. The other options are added and never dropped.
   *
   * "coop" takes COOP_TASKRUN at once: for a ring with a registered eventfd, which many kernels signal late or not at
   * all for deferred work; see `deferred-work-rings-late` in {@link quirks}.
   */
  modern?: boolean | "coop";
  /** Busy-wait for completions of files opened with O_DIRECT on devices that poll. @kernel 5.1 */
  iopoll?: boolean;
  /** Sleep for part of the expected time before polling; needs `iopoll`. @kernel 6.13 */
  hybridIopoll?: boolean;
  /** A kernel thread takes submissions, so that submitting makes no system call while it is awake. @kernel 5.1 */
  sqpoll?: boolean;
  /** The processor that thread is bound to; needs `sqpoll`. @kernel 5.1 */
  sqThreadCpu?: number;
  /** How long that thread looks for work before it sleeps, in milliseconds; the kernel's own is 1000. @kernel 5.1 */
  sqThreadIdleMs?: number;
  /** Entries of the completion queue; twice those of the submission queue unless given. @kernel 5.5 */
  cqEntries?: number;
  /** Takes the most that is allowed where a size is past it, instead of failing. @kernel 5.6 */
  clamp?: boolean;
  /**
   * Shares worker threads, and the SQPOLL thread, with another ring that has a descriptor: it, or the descriptor.
   * @kernel 5.6
   */
  attachWq?: { readonly fd: number; readonly setup?: { readonly flags: number } } | number;
  /** Starts disabled, to be restricted and registered with before `enableRings()`. @kernel 5.10 */
  rDisabled?: boolean;
  /** Goes on submitting after an entry that fails. @kernel 5.18 */
  submitAll?: boolean;
  /** Does not interrupt this thread to run completions' work; it runs at the next system call. @kernel 5.19 */
  coopTaskrun?: boolean;
  /** Tells in a flag that such work waits, so that a look at the completions knows to enter. @kernel 5.19 */
  taskrunFlag?: boolean;
  /** Entries of 128 bytes, which some URING_CMD need. @kernel 5.19 */
  sqe128?: boolean;
  /** Completions of 32 bytes. @kernel 5.19 */
  cqe32?: boolean;
  /** Only one thread submits, which the kernel may count on. @kernel 6.0 */
  singleIssuer?: boolean;
  /** Completions' work runs only when this thread waits for them; needs `singleIssuer`. @kernel 6.1 */
  deferTaskrun?: boolean;
  /** The library maps the queues' memory and hands it over, instead of the kernel; "huge" takes huge pages. @kernel 6.5 */
  noMmap?: boolean | "huge";
  /** No descriptor is made, only a registered index; needs `noMmap`. @kernel 6.5 */
  registeredFdOnly?: boolean;
  /** Leaves out the array of indices between the submission queue and its entries. @kernel 6.6 */
  noSqarray?: boolean;
  /** Completions of 16 and of 32 bytes side by side. @kernel 6.18 */
  cqeMixed?: boolean;
  /** Entries of 64 and of 128 bytes side by side; at least 4 entries. User data 2^64 - 1 is the ring's own. @kernel 6.19 */
  sqeMixed?: boolean;
  /** Each submission starts at the queue's first entry, so that the same memory stays in the caches. @kernel 7.0 */
  sqRewind?: boolean;
  /** Further raw bits of IORING_SETUP_*, for what this library does not know yet. */
  flags?: number;
  /**
   * Counts this thread as waiting for I/O while it waits for completions, as the kernel does of itself. Off, because
   * an idle server would show as busy with I/O. Where the kernel cannot tell (before 6.15) it always counts.
   */
  iowait?: boolean;
}

/** The option of each flag; those with a value of their own are not here. */
const flagOptions = {
  iopoll: IORING_SETUP_IOPOLL,
  sqpoll: IORING_SETUP_SQPOLL,
  clamp: IORING_SETUP_CLAMP,
  rDisabled: IORING_SETUP_R_DISABLED,
  submitAll: IORING_SETUP_SUBMIT_ALL,
  coopTaskrun: IORING_SETUP_COOP_TASKRUN,
  taskrunFlag: IORING_SETUP_TASKRUN_FLAG,
  sqe128: IORING_SETUP_SQE128,
  cqe32: IORING_SETUP_CQE32,
  singleIssuer: IORING_SETUP_SINGLE_ISSUER,
  deferTaskrun: IORING_SETUP_DEFER_TASKRUN,
  registeredFdOnly: IORING_SETUP_REGISTERED_FD_ONLY,
  noSqarray: IORING_SETUP_NO_SQARRAY,
  hybridIopoll: IORING_SETUP_HYBRID_IOPOLL,
  cqeMixed: IORING_SETUP_CQE_MIXED,
  sqeMixed: IORING_SETUP_SQE_MIXED,
  sqRewind: IORING_SETUP_SQ_REWIND,
} as const;

const valueOptions = ["modern", "sqThreadCpu", "sqThreadIdleMs", "cqEntries", "attachWq", "noMmap", "flags", "iowait"];

/** Every flag with its name, as `ring.setup` reports them. */
const flagNames: readonly (readonly [number, string])[] = [
  [IORING_SETUP_IOPOLL, "IORING_SETUP_IOPOLL"],
  [IORING_SETUP_SQPOLL, "IORING_SETUP_SQPOLL"],
  [IORING_SETUP_SQ_AFF, "IORING_SETUP_SQ_AFF"],
  [IORING_SETUP_CQSIZE, "IORING_SETUP_CQSIZE"],
  [IORING_SETUP_CLAMP, "IORING_SETUP_CLAMP"],
  [IORING_SETUP_ATTACH_WQ, "IORING_SETUP_ATTACH_WQ"],
  [IORING_SETUP_R_DISABLED, "IORING_SETUP_R_DISABLED"],
  [IORING_SETUP_SUBMIT_ALL, "IORING_SETUP_SUBMIT_ALL"],
  [IORING_SETUP_COOP_TASKRUN, "IORING_SETUP_COOP_TASKRUN"],
  [IORING_SETUP_TASKRUN_FLAG, "IORING_SETUP_TASKRUN_FLAG"],
  [IORING_SETUP_SQE128, "IORING_SETUP_SQE128"],
  [IORING_SETUP_CQE32, "IORING_SETUP_CQE32"],
  [IORING_SETUP_SINGLE_ISSUER, "IORING_SETUP_SINGLE_ISSUER"],
  [IORING_SETUP_DEFER_TASKRUN, "IORING_SETUP_DEFER_TASKRUN"],
  [IORING_SETUP_NO_MMAP, "IORING_SETUP_NO_MMAP"],
  [IORING_SETUP_REGISTERED_FD_ONLY, "IORING_SETUP_REGISTERED_FD_ONLY"],
  [IORING_SETUP_NO_SQARRAY, "IORING_SETUP_NO_SQARRAY"],
  [IORING_SETUP_HYBRID_IOPOLL, "IORING_SETUP_HYBRID_IOPOLL"],
  [IORING_SETUP_CQE_MIXED, "IORING_SETUP_CQE_MIXED"],
  [IORING_SETUP_SQE_MIXED, "IORING_SETUP_SQE_MIXED"],
  [IORING_SETUP_SQ_REWIND, "IORING_SETUP_SQ_REWIND"],
];

/** The most submission entries the kernel gives; with CLAMP it gives these where more are asked for. */
export const MAX_SQ_ENTRIES = 32768;
/** The same for completion entries. */
export const MAX_CQ_ENTRIES = 65536;

/** The names of the IORING_SETUP_* bits in `flags`. */
export function setupFlagNames(flags: number): string[] {
  return flagNames.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
}

/** @internal Whether flags are to be added that the kernel may refuse. */
export function isModern(options: RingOptions): boolean {
  return options.modern === true || options.modern === "coop";
}

/**
 * The IORING_SETUP_* bits that `options` asks for, `modern` aside.
 *
 * @throws TypeError or RangeError `ERR_URING_OPTIONS` for what contradicts itself or is not known.
 */
export function setupFlags(entries: number, options: RingOptions): number {
  checkTypes(options);
  let flags = 0;
  for (const [name, bit] of Object.entries(flagOptions)) {
    if (options[name as keyof typeof flagOptions] === true) flags |= bit;
  }
  if (options.sqThreadCpu !== undefined) flags |= IORING_SETUP_SQ_AFF;
  if (options.cqEntries !== undefined) flags |= IORING_SETUP_CQSIZE;
  if (options.attachWq !== undefined) flags |= IORING_SETUP_ATTACH_WQ;
  if (options.noMmap !== undefined && options.noMmap !== false) flags |= IORING_SETUP_NO_MMAP;
  flags |= options.flags ?? 0;
  checkContradictions(flags, options);
  checkSizes(entries, flags | (isModern(options) ? IORING_SETUP_CLAMP : 0), options);
  return flags;
}

function checkTypes(options: RingOptions): void {
  if (typeof options !== "object" || options === null) {
    throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(options)} as a ring's options: pass an object`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (name in flagOptions || name === "modern" || name === "iowait") {
      if (value === undefined || typeof value === "boolean" || (name === "modern" && value === "coop")) continue;
      throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(value)} as option ${name}: it is true or false`);
    }
    if (!valueOptions.includes(name)) {
      throw typeError("ERR_URING_OPTIONS", `Cannot make a ring: there is no option ${JSON.stringify(name)}`);
    }
  }
  if (options.noMmap !== undefined && options.noMmap !== "huge" && typeof options.noMmap !== "boolean") {
    throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(options.noMmap)} as option noMmap`);
  }
  for (const name of ["sqThreadCpu", "sqThreadIdleMs", "cqEntries", "flags"] as const) {
    const value = options[name];
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value < 2 ** 32)) continue;
    throw rangeError("ERR_URING_OPTIONS", `Cannot use ${describe(value)} as option ${name}: it must be a whole number`);
  }
  const fd = typeof options.attachWq === "object" ? options.attachWq?.fd : options.attachWq;
  const others = typeof options.attachWq === "object" ? (options.attachWq?.setup?.flags ?? 0) : 0;
  const nameless = (others & IORING_SETUP_REGISTERED_FD_ONLY) !== 0;
  if (options.attachWq !== undefined && (nameless || !(Number.isInteger(fd) && (fd as number) >= 0))) {
    throw typeError("ERR_URING_OPTIONS", "Cannot attach: option attachWq must be an open ring or its descriptor");
  }
}

/** Each pair that the kernel would answer with a bare EINVAL, as a sentence. */
function checkContradictions(flags: number, options: RingOptions): void {
  const has = (bit: number): boolean => (flags & bit) !== 0;
  const refuse = (sentence: string): never => {
    throw typeError("ERR_URING_OPTIONS", `Cannot make a ring: ${sentence}`);
  };
  if (has(IORING_SETUP_SQPOLL)) {
    if (has(IORING_SETUP_COOP_TASKRUN))
      refuse("coopTaskrun is of no use with sqpoll, whose thread is never interrupted");
    if (has(IORING_SETUP_DEFER_TASKRUN)) refuse("deferTaskrun excludes sqpoll: its thread runs completions' work");
    if (has(IORING_SETUP_TASKRUN_FLAG)) refuse("taskrunFlag excludes sqpoll: its thread runs completions' work");
    if (has(IORING_SETUP_SQ_REWIND)) refuse("sqRewind excludes sqpoll, whose thread needs a moving tail");
  } else {
    if (options.sqThreadCpu !== undefined) refuse("sqThreadCpu needs sqpoll");
    if (options.sqThreadIdleMs !== undefined) refuse("sqThreadIdleMs needs sqpoll");
  }
  if (has(IORING_SETUP_DEFER_TASKRUN) && !has(IORING_SETUP_SINGLE_ISSUER)) refuse("deferTaskrun needs singleIssuer");
  if (has(IORING_SETUP_TASKRUN_FLAG) && !has(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)) {
    if (!isModern(options)) refuse("taskrunFlag needs coopTaskrun or deferTaskrun");
  }
  if (has(IORING_SETUP_HYBRID_IOPOLL) && !has(IORING_SETUP_IOPOLL)) refuse("hybridIopoll needs iopoll");
  if (has(IORING_SETUP_REGISTERED_FD_ONLY) && !has(IORING_SETUP_NO_MMAP)) refuse("registeredFdOnly needs noMmap");
  if (has(IORING_SETUP_CQE32) && has(IORING_SETUP_CQE_MIXED)) refuse("cqe32 and cqeMixed exclude each other");
  if (has(IORING_SETUP_SQE128) && has(IORING_SETUP_SQE_MIXED)) refuse("sqe128 and sqeMixed exclude each other");
  if (has(IORING_SETUP_SQ_REWIND) && !has(IORING_SETUP_NO_SQARRAY)) refuse("sqRewind needs noSqarray");
}

function checkSizes(entries: number, flags: number, options: RingOptions): void {
  const clamped = (flags & IORING_SETUP_CLAMP) !== 0;
  if (!Number.isInteger(entries) || entries < 1 || entries >= 2 ** 32) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot make a ring of ${describe(entries)} entries: it must be a whole number from 1 to ${MAX_SQ_ENTRIES}`,
    );
  }
  if (entries > MAX_SQ_ENTRIES && !clamped) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot make a ring of ${entries} entries: ${MAX_SQ_ENTRIES} are the most; with clamp you get as many`,
    );
  }
  const cqEntries = options.cqEntries;
  if (cqEntries === undefined) return;
  if (cqEntries === 0 || (cqEntries > MAX_CQ_ENTRIES && !clamped)) {
    throw rangeError(
      "ERR_URING_OPTIONS",
      `Cannot make a completion queue of ${cqEntries} entries: it must be from 1 to ${MAX_CQ_ENTRIES}`,
    );
  }
  // Kernel: clamping cuts both sizes to their limits and makes neither fit the other.
  if (roundUp(Math.min(cqEntries, MAX_CQ_ENTRIES)) < roundUp(Math.min(entries, MAX_SQ_ENTRIES))) {
    throw rangeError(
      "ERR_URING_OPTIONS",
      `Cannot make a completion queue of ${cqEntries} entries for ${entries} submissions: it must not be the smaller`,
    );
  }
}

/** The power of two that the kernel makes of a size. */
export function roundUp(entries: number): number {
  return 2 ** Math.ceil(Math.log2(entries));
}

/** Where struct io_sqring_offsets and io_cqring_offsets start in it, in words. */
const SQ_OFF = IO_URING_PARAMS_WORD_SQ_OFF;
const CQ_OFF = IO_URING_PARAMS_WORD_CQ_OFF;

/** struct io_uring_params, over memory that the kernel reads and writes. */
export class Params {
  /** The struct's memory. */
  readonly words: Int32Array;

  /** @param words the struct's memory. */
  constructor(words: Int32Array) {
    this.words = words;
  }

  /** Fills in what is asked for; whatever an earlier attempt left is gone. */
  fill(flags: number, options: RingOptions): void {
    const { words } = this;
    words.fill(0, 0, IO_URING_PARAMS_SIZE / 4);
    words[IO_URING_PARAMS_WORD_CQ_ENTRIES] = options.cqEntries ?? 0;
    words[IO_URING_PARAMS_WORD_FLAGS] = flags;
    words[IO_URING_PARAMS_WORD_SQ_THREAD_CPU] = options.sqThreadCpu ?? 0;
    words[IO_URING_PARAMS_WORD_SQ_THREAD_IDLE] = options.sqThreadIdleMs ?? 0;
    const { attachWq } = options;
    if (attachWq !== undefined)
      words[IO_URING_PARAMS_WORD_WQ_FD] = typeof attachWq === "number" ? attachWq : attachWq.fd;
  }

  /** Hands over memory of ours for the entries and the queues (IORING_SETUP_NO_MMAP). */
  bring(sqesAddress: number, ringAddress: number): void {
    this.#set64(SQ_OFF + IO_SQRING_OFFSETS_WORD_USER_ADDR, sqesAddress);
    this.#set64(CQ_OFF + IO_CQRING_OFFSETS_WORD_USER_ADDR, ringAddress);
  }

  #set64(word: number, value: number): void {
    this.words[word] = value;
    this.words[word + 1] = value * 2 ** -32;
  }

  /** How many submission entries the kernel made. */
  get sqEntries(): number {
    return this.#u32(IO_URING_PARAMS_WORD_SQ_ENTRIES);
  }

  /** How many completion entries the kernel made. */
  get cqEntries(): number {
    return this.#u32(IO_URING_PARAMS_WORD_CQ_ENTRIES);
  }

  /** IORING_FEAT_* bits. */
  get features(): number {
    return this.#u32(IO_URING_PARAMS_WORD_FEATURES);
  }

  /** A field of struct io_sqring_offsets, by its word: a byte offset within the queues' memory. */
  sqOffset(word: number): number {
    return this.#u32(SQ_OFF + word);
  }

  /** A field of struct io_cqring_offsets, by its word: a byte offset within the queues' memory. */
  cqOffset(word: number): number {
    return this.#u32(CQ_OFF + word);
  }

  #u32(word: number): number {
    return (this.words[word] as number) >>> 0;
  }
}
