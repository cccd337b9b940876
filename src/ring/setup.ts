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
import { CompletionQueue, type CqeSizes } from "./cq.ts";
import {
  MAX_CQ_ENTRIES,
  MAX_SQ_ENTRIES,
  Params,
  type RingOptions,
  roundUp,
  setupFlagNames,
  setupFlags,
} from "./params.ts";
import { SubmissionQueue } from "./sq.ts";

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
  /** To be closed last, in this order. */
  readonly mappings: readonly Mapping[];
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
  for (const optional of options.modern === true ? modernSteps(wanted) : [0]) {
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
function modernFlags(wanted: number): number {
  // With SQPOLL the kernel's thread does what the task-run flags are about.
  const taskrun =
    (wanted & IORING_SETUP_SQPOLL) !== 0
      ? 0
      : IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  return IORING_SETUP_SUBMIT_ALL | IORING_SETUP_NO_SQARRAY | IORING_SETUP_CLAMP | taskrun;
}

/** What to add to the wanted flags, attempt by attempt: everything first, then without the newest, to nothing. */
function modernSteps(wanted: number): number[] {
  const full = modernFlags(wanted);
  const steps = [full];
  let flags = full & ~IORING_SETUP_NO_SQARRAY;
  steps.push(flags);
  if ((flags & IORING_SETUP_DEFER_TASKRUN) !== 0) {
    // Kernel: DEFER_TASKRUN came with 6.1, SINGLE_ISSUER with 6.0, COOP_TASKRUN with 5.19.
    flags = (flags & ~IORING_SETUP_DEFER_TASKRUN) | IORING_SETUP_COOP_TASKRUN;
    steps.push(flags, flags & ~IORING_SETUP_SINGLE_ISSUER);
  }
  steps.push(IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP, IORING_SETUP_CLAMP, 0);
  return steps;
}

interface BroughtMemory {
  readonly sqes: Mapping;
  readonly ring: Mapping;
}

/** Memory for the queues of a ring whose kernel maps none. Rounded to whole pages by the kernel's mmap itself. */
function bringMemory(entries: number, flags: number, options: RingOptions): BroughtMemory {
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
  const ringBytes = RING_HEADER_BYTES + cqEntries * cqeBytesOf(flags) + arrayBytes;
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

function assemble(
  fd: number,
  flags: number,
  params: Params,
  memory: BroughtMemory | undefined,
  options: RingOptions,
): RingParts {
  const { sqEntries, cqEntries, features } = params;
  const entryBytes = sqeBytesOf(flags);
  const mappings: Mapping[] = [];
  try {
    if ((features & IORING_FEAT_SINGLE_MMAP) === 0) {
      // Kernel: every kernel from 5.4 maps both queues at once, and the oldest one supported is 5.10.
      throw new UringError(ENOSYS, "io_uring_setup", "the kernel is older than 5.4; 5.10 is the oldest supported");
    }
    const withArray = (flags & IORING_SETUP_NO_SQARRAY) === 0;
    const ringBytes = Math.max(
      params.cqOffset(IO_CQRING_OFFSETS_WORD_CQES) + cqEntries * cqeBytesOf(flags),
      withArray ? params.sqOffset(IO_SQRING_OFFSETS_WORD_ARRAY) + sqEntries * 4 : 0,
    );
    const ring = memory?.ring ?? Mapping.ofDescriptor(fd, IORING_OFF_SQ_RING, ringBytes);
    mappings.push(ring);
    const sqes = memory?.sqes ?? Mapping.ofDescriptor(fd, IORING_OFF_SQES, sqEntries * entryBytes);
    mappings.push(sqes);
    // Entry i of the indirection is entry i of the queue, for good.
    if (withArray)
      for (let i = 0; i < sqEntries; i++) ring.words[params.sqOffset(IO_SQRING_OFFSETS_WORD_ARRAY) / 4 + i] = i;
    const sqWords = sqes.words.subarray(0, (sqEntries * entryBytes) / 4);
    const kind = {
      mixed: (flags & IORING_SETUP_SQE_MIXED) !== 0,
      rewind: (flags & IORING_SETUP_SQ_REWIND) !== 0,
    };
    const sqLayout = {
      head: params.sqOffset(IO_SQRING_OFFSETS_WORD_HEAD) / 4,
      tail: params.sqOffset(IO_SQRING_OFFSETS_WORD_TAIL) / 4,
      flags: params.sqOffset(IO_SQRING_OFFSETS_WORD_FLAGS) / 4,
      dropped: params.sqOffset(IO_SQRING_OFFSETS_WORD_DROPPED) / 4,
    };
    const sq = new SubmissionQueue(sqEntries, entryBytes, sqWords, ring.words, sqLayout, kind);
    const cq = new CompletionQueue(cqEntries, cqeSizesOf(flags), ring.words, {
      head: params.cqOffset(IO_CQRING_OFFSETS_WORD_HEAD) / 4,
      tail: params.cqOffset(IO_CQRING_OFFSETS_WORD_TAIL) / 4,
      overflow: params.cqOffset(IO_CQRING_OFFSETS_WORD_OVERFLOW) / 4,
      cqes: params.cqOffset(IO_CQRING_OFFSETS_WORD_CQES) / 4,
      flags: params.cqOffset(IO_CQRING_OFFSETS_WORD_FLAGS) / 4,
    });
    const modern = options.modern === true ? modernFlags(flags) : 0;
    const setup = {
      flags,
      flagNames: setupFlagNames(flags),
      dropped: setupFlagNames(modern & ~flags),
      features,
      sqEntries,
      cqEntries,
    };
    return { fd, setup, sq, cq, mappings };
  } catch (error) {
    for (const mapping of mappings) mapping.close();
    syscalls().close(fd);
    throw error;
  }
}
