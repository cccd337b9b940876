/** Makes a ring: asks the kernel, drops what it refuses of what may be dropped, maps the queues, explains failures. */
import { EINVAL, ENOSYS } from "../abi/errno.gen.ts";
import {
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_NO_MMAP,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SQ_REWIND,
  IORING_SETUP_SQE128,
  IORING_SETUP_SQE_MIXED,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
} from "../abi/constants.gen.ts";
import {
  IO_CQRING_OFFSETS_WORD_CQES,
  IO_CQRING_OFFSETS_WORD_FLAGS,
  IO_CQRING_OFFSETS_WORD_HEAD,
  IO_CQRING_OFFSETS_WORD_OVERFLOW,
  IO_CQRING_OFFSETS_WORD_TAIL,
  IO_SQRING_OFFSETS_WORD_ARRAY,
  IO_SQRING_OFFSETS_WORD_DROPPED,
  IO_SQRING_OFFSETS_WORD_FLAGS,
  IO_SQRING_OFFSETS_WORD_HEAD,
  IO_SQRING_OFFSETS_WORD_TAIL,
} from "../abi/layout.gen.ts";
import { UringError } from "../errors.ts";
import { Mapping } from "../memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import { adviceOnSetup } from "./advice.ts";
import { CompletionQueue, type CqeSizes, type CqLayout } from "./cq.ts";
import {
  isModern,
  MAX_CQ_ENTRIES,
  MAX_SQ_ENTRIES,
  Params,
  type RingOptions,
  roundUp,
  setupFlagNames,
  setupFlags,
} from "./params.ts";
import { registerQuery } from "./query.ts";
import { type SqLayout, SubmissionQueue } from "./sq.ts";

/** What the kernel gave. */
export interface RingSetup {
  /** IORING_SETUP_* bits in force. */
  readonly flags: number;
  /** Their names. */
  readonly flagNames: readonly string[];
  /** The names of those that `modern` wanted and the kernel refused. */
  readonly dropped: readonly string[];
  /** IORING_FEAT_* bits. */
  readonly features: number;
  /** Entries of the submission queue. */
  readonly sqEntries: number;
  /** Slots of the completion queue. */
  readonly cqEntries: number;
}

/** @internal Everything a ring is made of. */
export interface RingParts {
  readonly fd: number;
  readonly setup: RingSetup;
  readonly sq: SubmissionQueue;
  readonly cq: CompletionQueue;
  /** Where they are. Its mappings are to be closed last, in their order. */
  readonly map: QueueMap;
}

const SQE_BYTES = 64;
const CQE_BYTES = 16;
/** The kernel's struct io_rings without its entries, which are 64-byte aligned. */
const RING_HEADER_BYTES = 320;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/** @internal Makes the ring or says why it cannot be. */
export function setUpRing(entries: number, options: RingOptions, scratch: Mapping): RingParts {
  const wanted = setupFlags(entries, options);
  const params = new Params(scratch.words);
  for (const optional of isModern(options) ? modernSteps(modernFlags(wanted, options)) : [0]) {
    const flags = wanted | optional;
    const memory = (flags & IORING_SETUP_NO_MMAP) === 0 ? undefined : bringMemory(entries, flags, options);
    params.fill(flags, options);
    if (memory !== undefined) params.bring(memory.sqes.address, memory.ring.address);
    const fd = syscalls().setup(entries, scratch.address);
    if (fd >= 0) return assemble(fd, flags, params, memory, options);
    memory?.sqes.close();
    memory?.ring.close();
    const last = optional === 0;
    if (fd !== -EINVAL || last) {
      throw new UringError(
        fd,
        "io_uring_setup",
        adviceOnSetup(-fd, entries, flags, ringSizes(entries, flags, options).bytes),
      );
    }
  }
  throw new Error("unreachable: the last step has no optional flag");
}

/** What `modern` wants in full; {@link modernSteps} takes from it. */
function modernFlags(wanted: number, options: RingOptions): number {
  const always = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_NO_SQARRAY | IORING_SETUP_CLAMP;
  // With SQPOLL the kernel's thread does what the task-run flags are about.
  if ((wanted & IORING_SETUP_SQPOLL) !== 0) return always;
  const taskrun = options.modern === "coop" ? IORING_SETUP_COOP_TASKRUN : IORING_SETUP_DEFER_TASKRUN;
  return always | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG | taskrun;
}

/** What to add to the wanted flags, attempt by attempt: everything first, then without the newest, to nothing. */
function modernSteps(full: number): number[] {
  const steps = [full];
  let flags = full & ~IORING_SETUP_NO_SQARRAY;
  steps.push(flags);
  // Kernel: DEFER_TASKRUN came with 6.1, SINGLE_ISSUER with 6.0, COOP_TASKRUN with 5.19.
  if ((flags & IORING_SETUP_DEFER_TASKRUN) !== 0) {
    flags = (flags & ~IORING_SETUP_DEFER_TASKRUN) | IORING_SETUP_COOP_TASKRUN;
    steps.push(flags);
  }
  if ((flags & IORING_SETUP_SINGLE_ISSUER) !== 0) steps.push(flags & ~IORING_SETUP_SINGLE_ISSUER);
  steps.push(IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP, IORING_SETUP_CLAMP, 0);
  return steps;
}

/** @internal Memory of the library's own for a ring whose kernel maps none. */
export interface BroughtMemory {
  readonly sqes: Mapping;
  readonly ring: Mapping;
}

/** @internal Memory for the queues of a ring whose kernel maps none. */
export function bringMemory(entries: number, flags: number, options: RingOptions): BroughtMemory {
  const { sqesBytes, ringBytes } = ringSizes(entries, flags, options);
  const hugePages = options.noMmap === "huge";
  const unit = hugePages ? HUGE_PAGE_BYTES : 4096;
  const round = (bytes: number): number => Math.ceil(bytes / unit) * unit;
  const sqes = Mapping.anonymous(round(sqesBytes), { hugePages, populate: true });
  try {
    return { sqes, ring: Mapping.anonymous(round(ringBytes), { hugePages, populate: true }) };
  } catch (error) {
    sqes.close();
    throw error;
  }
}

/** What a ring takes, in bytes. */
function ringSizes(
  entries: number,
  flags: number,
  options: RingOptions,
): { sqesBytes: number; ringBytes: number; bytes: number } {
  const sqEntries = roundUp(Math.min(entries, MAX_SQ_ENTRIES));
  const cqEntries =
    options.cqEntries === undefined ? sqEntries * 2 : roundUp(Math.min(options.cqEntries, MAX_CQ_ENTRIES));
  const sqesBytes = sqEntries * sqeBytesOf(flags);
  const arrayBytes = (flags & IORING_SETUP_NO_SQARRAY) === 0 ? sqEntries * 4 : 0;
  // Where the library brings the memory, a kernel that can be asked says how long its header is.
  const told = (flags & IORING_SETUP_NO_MMAP) === 0 ? null : registerQuery().scq;
  const headerBytes = Math.max(RING_HEADER_BYTES, told?.headerBytes ?? 0);
  const ringBytes = headerBytes + cqEntries * cqeBytesOf(flags) + arrayBytes;
  return { sqesBytes, ringBytes, bytes: sqesBytes + ringBytes };
}

function sqeBytesOf(flags: number): number {
  return (flags & IORING_SETUP_SQE128) === 0 ? SQE_BYTES : SQE_BYTES * 2;
}

function cqeBytesOf(flags: number): number {
  return (flags & IORING_SETUP_CQE32) === 0 ? CQE_BYTES : CQE_BYTES * 2;
}

function cqeSizesOf(flags: number): CqeSizes {
  if ((flags & IORING_SETUP_CQE_MIXED) !== 0) return "mixed";
  return (flags & IORING_SETUP_CQE32) === 0 ? "16" : "32";
}

/** @internal Where a ring's queues are. */
export interface QueueMap {
  /** The entries of the submission queue. */
  readonly sqWords: Int32Array;
  /** All else. */
  readonly ring: Int32Array;
  readonly sqLayout: SqLayout;
  readonly cqLayout: CqLayout;
  /** The memory of both. */
  readonly mappings: readonly Mapping[];
}

/** @internal Maps the queues that the kernel has described in `params`, or finds them in the memory brought. */
export function mapQueues(fd: number, flags: number, params: Params, memory: BroughtMemory | undefined): QueueMap {
  const { sqEntries, cqEntries } = params;
  const cqes = params.cqOffset(IO_CQRING_OFFSETS_WORD_CQES);
  const cqEnd = cqes + cqEntries * cqeBytesOf(flags);
  const withArray = (flags & IORING_SETUP_NO_SQARRAY) === 0;
  const array = params.sqOffset(IO_SQRING_OFFSETS_WORD_ARRAY);
  const sqeBytes = sqEntries * sqeBytesOf(flags);
  const ring = memory?.ring ?? Mapping.ofDescriptor(fd, IORING_OFF_SQ_RING, withArray ? array + sqEntries * 4 : cqEnd);
  let sqes: Mapping;
  try {
    sqes = memory?.sqes ?? Mapping.ofDescriptor(fd, IORING_OFF_SQES, sqeBytes);
  } catch (error) {
    ring.close();
    throw error;
  }
  // Entry i of the indirection is entry i of the queue, for good.
  if (withArray) for (let i = 0; i < sqEntries; i++) ring.words[array / 4 + i] = i;
  const sqLayout = {
    head: params.sqOffset(IO_SQRING_OFFSETS_WORD_HEAD) / 4,
    tail: params.sqOffset(IO_SQRING_OFFSETS_WORD_TAIL) / 4,
    flags: params.sqOffset(IO_SQRING_OFFSETS_WORD_FLAGS) / 4,
    dropped: params.sqOffset(IO_SQRING_OFFSETS_WORD_DROPPED) / 4,
  };
  const cqLayout = {
    head: params.cqOffset(IO_CQRING_OFFSETS_WORD_HEAD) / 4,
    tail: params.cqOffset(IO_CQRING_OFFSETS_WORD_TAIL) / 4,
    overflow: params.cqOffset(IO_CQRING_OFFSETS_WORD_OVERFLOW) / 4,
    cqes: cqes / 4,
    flags: params.cqOffset(IO_CQRING_OFFSETS_WORD_FLAGS) / 4,
  };
  return {
    sqWords: sqes.words.subarray(0, sqeBytes / 4),
    ring: ring.words,
    sqLayout,
    cqLayout,
    mappings: [ring, sqes],
  };
}

function assemble(
  fd: number,
  flags: number,
  params: Params,
  memory: BroughtMemory | undefined,
  options: RingOptions,
): RingParts {
  const { sqEntries, cqEntries, features } = params;
  let mappings: readonly Mapping[] = memory === undefined ? [] : [memory.ring, memory.sqes];
  try {
    if ((features & IORING_FEAT_SINGLE_MMAP) === 0) {
      // Kernel: every kernel from 5.4 maps both queues at once, and the oldest one supported is 5.10.
      throw new UringError(ENOSYS, "io_uring_setup", "the kernel is older than 5.4; 5.10 is the oldest supported");
    }
    const map = mapQueues(fd, flags, params, memory);
    mappings = map.mappings;
    const kind = {
      mixed: (flags & IORING_SETUP_SQE_MIXED) !== 0,
      rewind: (flags & IORING_SETUP_SQ_REWIND) !== 0,
    };
    const sq = new SubmissionQueue(sqEntries, sqeBytesOf(flags), map.sqWords, map.ring, map.sqLayout, kind);
    const cq = new CompletionQueue(cqEntries, cqeSizesOf(flags), map.ring, map.cqLayout, kind.mixed);
    const modern = isModern(options) ? modernFlags(flags, options) : 0;
    const setup = {
      flags,
      flagNames: setupFlagNames(flags),
      dropped: setupFlagNames(modern & ~flags),
      features,
      sqEntries,
      cqEntries,
    };
    return { fd, setup, sq, cq, map };
  } catch (error) {
    for (const mapping of mappings) mapping.close();
    syscalls().close(fd);
    throw error;
  }
}
