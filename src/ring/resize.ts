/** Gives a ring's queues other sizes, and moves what the library knows of them along. */
import { EINVAL, EOVERFLOW } from "../abi/errno.gen.ts";
import {
  IORING_REGISTER_RESIZE_RINGS,
  IORING_SETUP_CLAMP,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_NO_MMAP,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_SQE128,
  IORING_SETUP_SQE_MIXED,
} from "../abi/constants.gen.ts";
import {
  IO_SQRING_OFFSETS_WORD_ARRAY,
  IO_URING_PARAMS_WORD_SQ_ENTRIES,
  IO_URING_PARAMS_WORD_SQ_OFF,
} from "../abi/layout.gen.ts";
import { describe, rangeError, stateError, UringError } from "../errors.ts";
import type { Mapping } from "../memory.ts";
import type { CompletionQueue } from "./cq.ts";
import { MAX_CQ_ENTRIES, MAX_SQ_ENTRIES, Params, roundUp } from "./params.ts";
import { syscalls } from "../../syscall/shim.ts";
import { resizeKeepsWide } from "./quirks.ts";
import { bringMemory, mapQueues, type QueueMap, type RingSetup } from "./setup.ts";
import type { SubmissionQueue } from "./sq.ts";

/** @internal What is resized. */
export interface Resizable {
  readonly fd: number;
  readonly indexOnly: boolean;
  readonly setup: RingSetup;
  readonly sq: SubmissionQueue;
  readonly cq: CompletionQueue;
}

/**
 * @internal Resizes and moves the queues; what the ring has from then on. The old mappings are the caller's to close.
 * Nothing happens, and there is no result, where the sizes are what they were.
 */
export function resizeQueues(
  ring: Resizable,
  sqEntries: number,
  cqEntries: number,
  clamp: boolean,
  scratch: Mapping,
  register: (opcode: number, address: number, count: number) => number,
): { setup: RingSetup; map: QueueMap } | undefined {
  const { setup, sq, cq } = ring;
  const wanted = {
    sqEntries: sizeOf("submission", sqEntries, MAX_SQ_ENTRIES, clamp),
    cqEntries: sizeOf("completion", cqEntries, MAX_CQ_ENTRIES, clamp),
  };
  if (wanted.cqEntries < wanted.sqEntries) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot make a completion queue of ${cqEntries} entries for ${sqEntries} submissions: it must not be the smaller`,
    );
  }
  if (wanted.sqEntries === setup.sqEntries && wanted.cqEntries === setup.cqEntries) return undefined;
  checkState(ring, wanted.cqEntries);
  const options = { noMmap: true, cqEntries: wanted.cqEntries };
  const memory =
    (setup.flags & IORING_SETUP_NO_MMAP) === 0 ? undefined : bringMemory(wanted.sqEntries, setup.flags, options);
  const array = arrayOffset(wanted.sqEntries, wanted.cqEntries, setup.flags, scratch);
  const params = new Params(scratch.words);
  params.fill(IORING_SETUP_CQSIZE | (clamp ? IORING_SETUP_CLAMP : 0), options);
  params.words[IO_URING_PARAMS_WORD_SQ_ENTRIES] = wanted.sqEntries;
  if (memory !== undefined) params.bring(memory.sqes.address, memory.ring.address);
  cq.publish();
  const result = register(IORING_REGISTER_RESIZE_RINGS, scratch.address, 1);
  if (result < 0) {
    memory?.sqes.close();
    memory?.ring.close();
    throw new UringError(result, "IORING_REGISTER_RESIZE_RINGS", causes[-result]);
  }
  if (params.sqOffset(IO_SQRING_OFFSETS_WORD_ARRAY) === 0) params.words[ARRAY] = array;
  const map = mapQueues(ring.fd, setup.flags, params, memory);
  sq.move(params.sqEntries, map.sqWords, map.ring, map.sqLayout);
  cq.move(params.cqEntries, map.ring, map.cqLayout);
  return {
    setup: { ...setup, sqEntries: params.sqEntries, cqEntries: params.cqEntries },
    map,
  };
}

/** Where in struct io_uring_params the array's offset is told. */
const ARRAY = IO_URING_PARAMS_WORD_SQ_OFF + IO_SQRING_OFFSETS_WORD_ARRAY;

/**
 * Kernel: it does not tell where a resized ring has its array of indices (6.13 to at least 6.18), and has changed its
 * mind about it. It does tell of a new ring, and places both alike.
 */
function arrayOffset(sqEntries: number, cqEntries: number, flags: number, scratch: Mapping): number {
  if ((flags & IORING_SETUP_NO_SQARRAY) !== 0) return 0;
  const params = new Params(scratch.words);
  params.fill((flags & SIZING) | IORING_SETUP_CQSIZE, { cqEntries });
  const fd = syscalls().setup(sqEntries, scratch.address);
  if (fd < 0) throw new UringError(fd, "io_uring_setup", "a ring of the new sizes was made to see where its array is");
  syscalls().close(fd);
  return params.sqOffset(IO_SQRING_OFFSETS_WORD_ARRAY);
}

/** The flags that say how large entries are. */
const SIZING = IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED | IORING_SETUP_SQE_MIXED;

const causes: Readonly<Record<number, string>> = {
  [EINVAL]: "this kernel does not resize rings (6.13)",
  [EOVERFLOW]: "the completions that are not seen yet do not fit",
};

function sizeOf(what: string, entries: number, most: number, clamp: boolean): number {
  if (Number.isInteger(entries) && entries >= 1 && entries < 2 ** 32 && (clamp || entries <= most)) {
    return roundUp(Math.min(entries, most));
  }
  throw rangeError(
    "ERR_URING_ARG_VALUE",
    `Cannot make a ${what} queue of ${describe(entries)} entries: it must be a whole number from 1 to ${most}`,
  );
}

function checkState({ indexOnly, setup, sq, cq }: Resizable, cqEntries: number): void {
  const refuse = (sentence: string): never => {
    throw stateError("ERR_URING_STATE", `Cannot resize the queues: ${sentence}`);
  };
  if (sq.ready !== 0) refuse(`${sq.ready} entries are queued; submit() first`);
  if (indexOnly && (setup.flags & IORING_SETUP_NO_MMAP) === 0) {
    refuse("the ring has no descriptor left to map the new ones by");
  }
  cq.load();
  if (cq.ready === 0) return;
  // Kernel: the defects that quirks.ts tells of.
  const shrinks = cqEntries < setup.cqEntries;
  if ((setup.flags & IORING_SETUP_CQE32) !== 0 && !resizeKeepsWide()) {
    refuse("this kernel would lose the completions of 32 bytes that are not seen yet; see them first");
  }
  if ((setup.flags & IORING_SETUP_CQE_MIXED) !== 0 && shrinks) {
    refuse("the kernel would tear the completions of 32 bytes that are not seen yet; see them first");
  }
  if (cq.tail >>> 0 < cq.head >>> 0) {
    refuse("the kernel would lose the completions that are not seen yet, whose count just came round; see them first");
  }
}
