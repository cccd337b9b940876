/**
 * What the kernel takes, found by trying: for kernels that cannot be asked (before 6.18), and for what a kernel may be
 * built without. A kernel refuses a flag or an opcode that it does not know with EINVAL before it looks at anything else;
 * each attempt is made so that a kernel that knows it answers something else, and so that nothing comes of it.
 */
import { EINVAL, EOPNOTSUPP } from "../abi/errno.gen.ts";
import {
  IORING_ENTER_REGISTERED_RING,
  IORING_OP_NOP,
  IORING_REGISTER_BUFFERS2,
  IORING_REGISTER_BUFFERS_UPDATE,
  IORING_REGISTER_CLOCK,
  IORING_REGISTER_ENABLE_RINGS,
  IORING_REGISTER_FILE_ALLOC_RANGE,
  IORING_REGISTER_FILES2,
  IORING_REGISTER_FILES_UPDATE2,
  IORING_REGISTER_IOWQ_AFF,
  IORING_REGISTER_IOWQ_MAX_WORKERS,
  IORING_REGISTER_PERSONALITY,
  IORING_REGISTER_PROBE,
  IORING_REGISTER_QUERY,
  IORING_REGISTER_SEND_MSG_RING,
  IORING_REGISTER_ZCRX_CTRL,
  IORING_SETUP_ATTACH_WQ,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_HYBRID_IOPOLL,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_NO_MMAP,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_REGISTERED_FD_ONLY,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SQ_AFF,
  IORING_SETUP_SQ_REWIND,
  IORING_SETUP_SQPOLL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_UNREGISTER_BUFFERS,
  IORING_UNREGISTER_EVENTFD,
  IORING_UNREGISTER_FILES,
  IORING_UNREGISTER_IOWQ_AFF,
  IORING_UNREGISTER_NAPI,
  IORING_UNREGISTER_PERSONALITY,
} from "../abi/constants.gen.ts";
import {
  IO_URING_PARAMS_SIZE,
  IO_URING_PARAMS_WORD_CQ_ENTRIES,
  IO_URING_PARAMS_WORD_FLAGS,
  IO_URING_PARAMS_WORD_WQ_FD,
  IO_URING_RSRC_REGISTER_SIZE,
  IO_URING_RSRC_UPDATE2_SIZE,
} from "../abi/layout.gen.ts";
import { UringError } from "../errors.ts";
import { Mapping } from "../memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import { setUpRing } from "./setup.ts";
import { transientAddress } from "./transient.ts";

/** The flags that another depends on. */
const company: Readonly<Record<number, number>> = {
  [IORING_SETUP_SQ_AFF]: IORING_SETUP_SQPOLL,
  [IORING_SETUP_TASKRUN_FLAG]: IORING_SETUP_COOP_TASKRUN,
  [IORING_SETUP_DEFER_TASKRUN]: IORING_SETUP_SINGLE_ISSUER,
  [IORING_SETUP_REGISTERED_FD_ONLY]: IORING_SETUP_NO_MMAP,
  [IORING_SETUP_HYBRID_IOPOLL]: IORING_SETUP_IOPOLL,
  [IORING_SETUP_SQ_REWIND]: IORING_SETUP_NO_SQARRAY,
};

/** An address that nothing is mapped at: whoever reads from it gets EFAULT. */
const NOWHERE = 1;

/**
 * The answer to IORING_REGISTER_PROBE, of `bytes` for `count` operations, and the features of a ring.
 *
 * @throws UringError as a ring does that cannot be made.
 */
export function askRing(bytes: number, count: number): { operations: Uint8Array; features: number } {
  const scratch = Mapping.anonymous(4096);
  try {
    const { fd, setup, sq, map } = setUpRing(1, {}, scratch);
    const operations = new Uint8Array(bytes);
    const result = syscalls().register(fd, IORING_REGISTER_PROBE, transientAddress(operations), count);
    syscalls().close(fd);
    sq.close();
    for (const mapping of map.mappings) mapping.close();
    if (result < 0) throw new UringError(result, "IORING_REGISTER_PROBE");
    return { operations, features: setup.features };
  } finally {
    scratch.close();
  }
}

/** The IORING_SETUP_* bits that the kernel takes. */
export function trySetupFlags(): number {
  return bits((flag) => {
    const fd = trySetup(flag | (company[flag] ?? 0));
    if (fd >= 0) syscalls().close(fd);
    return fd !== -EINVAL;
  });
}

/** The smallest ring with these flags: its descriptor, or `-errno`. */
function trySetup(flags: number): number {
  const memory = Mapping.anonymous(IO_URING_PARAMS_SIZE);
  try {
    const { words, address } = memory;
    words[IO_URING_PARAMS_WORD_FLAGS] = flags;
    words[IO_URING_PARAMS_WORD_CQ_ENTRIES] = (flags & IORING_SETUP_CQSIZE) === 0 ? 0 : 2;
    // No ring has this descriptor, and with NO_MMAP there is no memory at 0: both are found out after the flags.
    words[IO_URING_PARAMS_WORD_WQ_FD] = (flags & IORING_SETUP_ATTACH_WQ) === 0 ? 0 : -1;
    return syscalls().setup(1, address);
  } finally {
    memory.close();
  }
}

/** The IORING_ENTER_* bits that the kernel takes. */
export function tryEnterFlags(): number {
  return withDescriptor(0, (fd) =>
    bits((flag) => {
      // The last of the thread's registered rings: most likely none, which is a matter of EBADF.
      const target = flag === IORING_ENTER_REGISTERED_RING ? 15 : fd;
      return syscalls().enter(target, 0, 0, flag, 0, 0) !== -EINVAL;
    }),
  );
}

/** The IOSQE_* bits that the kernel takes. */
export function trySqeFlags(): number {
  let known = 0;
  for (let bit = 0; bit < 8; bit++) {
    if (tryNop(1 << bit) !== -EINVAL) known |= 1 << bit;
  }
  return known;
}

/** What a NOP with these flags completes with; 0 where it posts no completion. */
function tryNop(flags: number): number {
  const scratch = Mapping.anonymous(4096);
  try {
    const { fd, sq, cq, map } = setUpRing(1, {}, scratch);
    sq.claim().write(IORING_OP_NOP, -1, 0, 0, 0, 0);
    sq.commit().flags(flags);
    // An unknown flag is refused within the submission; whatever comes later is no refusal.
    syscalls().enter(fd, sq.publish(), 0, 0, 0, 0);
    cq.load();
    const result = cq.peek()?.res ?? 0;
    syscalls().close(fd);
    sq.close();
    for (const mapping of map.mappings) mapping.close();
    return result;
  } finally {
    scratch.close();
  }
}

/** What a registration is tried with, where it is not an address that is none and a count of one. */
const attempts: Readonly<Record<number, readonly [address: number, count: number]>> = {
  [IORING_UNREGISTER_BUFFERS]: [0, 0],
  [IORING_UNREGISTER_FILES]: [0, 0],
  [IORING_UNREGISTER_EVENTFD]: [0, 0],
  [IORING_REGISTER_PERSONALITY]: [0, 0],
  [IORING_REGISTER_ENABLE_RINGS]: [0, 0],
  [IORING_REGISTER_FILES2]: [NOWHERE, IO_URING_RSRC_REGISTER_SIZE],
  [IORING_REGISTER_FILES_UPDATE2]: [NOWHERE, IO_URING_RSRC_UPDATE2_SIZE],
  [IORING_REGISTER_BUFFERS2]: [NOWHERE, IO_URING_RSRC_REGISTER_SIZE],
  [IORING_REGISTER_BUFFERS_UPDATE]: [NOWHERE, IO_URING_RSRC_UPDATE2_SIZE],
  [IORING_REGISTER_IOWQ_AFF]: [NOWHERE, 8],
  [IORING_REGISTER_IOWQ_MAX_WORKERS]: [NOWHERE, 2],
  [IORING_REGISTER_FILE_ALLOC_RANGE]: [NOWHERE, 0],
  [IORING_UNREGISTER_NAPI]: [0, 1],
  [IORING_REGISTER_CLOCK]: [NOWHERE, 0],
  [IORING_REGISTER_QUERY]: [0, 0],
  [IORING_REGISTER_ZCRX_CTRL]: [NOWHERE, 0],
};

/** Those that cannot be tried without consequence, with another that came and went with them. */
const twins: Readonly<Record<number, number>> = {
  [IORING_UNREGISTER_PERSONALITY]: IORING_REGISTER_PERSONALITY,
  [IORING_UNREGISTER_IOWQ_AFF]: IORING_REGISTER_IOWQ_AFF,
};

const ringless: readonly number[] = [IORING_REGISTER_SEND_MSG_RING, IORING_REGISTER_QUERY];

/** Whether the kernel knows a registration, and is built with it. */
export function tryRegisterOpcode(opcode: number): boolean {
  const tried = twins[opcode] ?? opcode;
  const [address, count] = attempts[tried] ?? [NOWHERE, 1];
  // Some look at the ring before they look at anything else, and want completions of 32 bytes that are deferred.
  const modern = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQE32;
  return withDescriptor(modern, (fd) => {
    const result = syscalls().register(ringless.includes(tried) ? -1 : fd, tried, address, count);
    return result !== -EINVAL && result !== -EOPNOTSUPP;
  });
}

/** Calls with a ring of these flags, or of none where the kernel does not take them. */
export function withDescriptor<T>(flags: number, call: (fd: number) => T): T {
  let fd = trySetup(flags);
  if (fd === -EINVAL) fd = trySetup(0);
  try {
    return call(fd);
  } finally {
    if (fd >= 0) syscalls().close(fd);
  }
}

/** The bits, of 32, that pass a test. */
function bits(test: (flag: number) => boolean): number {
  let passed = 0;
  for (let bit = 0; bit < 32; bit++) {
    if (test(2 ** bit)) passed += 2 ** bit;
  }
  return passed;
}
