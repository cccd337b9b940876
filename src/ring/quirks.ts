/**
 * Defects of kernels that the library knows of, each with its source, and what it does about them. What can be tried is
 * tried when it matters; the rest is worked round on every kernel. None is told by a version: kernels are patched.
 */
import {
  IORING_ENTER_GETEVENTS,
  IORING_OFF_SQ_RING,
  IORING_OP_NOP,
  IORING_REGISTER_RESIZE_RINGS,
  IORING_SETUP_CQSIZE,
} from "../abi/constants.gen.ts";
import {
  IO_CQRING_OFFSETS_WORD_CQES,
  IO_URING_CQE_WORD_USER_DATA,
  IO_URING_PARAMS_WORD_SQ_ENTRIES,
} from "../abi/layout.gen.ts";
import { Mapping } from "../memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import { Params } from "./params.ts";
import { getProbe } from "./probe.ts";
import { setUpRing } from "./setup.ts";

/** A defect. */
export interface Quirk {
  /** What it is called here. */
  readonly name: string;
  /** What goes wrong. */
  readonly defect: string;
  /** The kernels that are known to have it. */
  readonly kernels: string;
  /** How it is known. */
  readonly source: string;
  /** What the library does. */
  readonly remedy: string;
  /** Tries whether the running kernel has it; null where it cannot be tried, or not without harm. */
  readonly present: (() => boolean) | null;
}

/** Whether resizing loses completions of 32 bytes that are not seen yet; tried at first use. */
const resizeLosesWide: Quirk = {
  name: "resize-loses-wide-completions",
  defect: "IORING_REGISTER_RESIZE_RINGS moves completions as if they had 16 bytes each, though they have 32",
  kernels: "6.13 and later, until patched; 6.18.44 is",
  source: "io_uring/register.c of 6.13; tried on 6.18.44",
  remedy: "resizeRings() tries it on a ring of its own, and refuses while completions are not seen where it is so",
  present: () => (losesWide ??= getProbe().supportsRegister(IORING_REGISTER_RESIZE_RINGS) && tryWideResize()),
};

let losesWide: boolean | undefined;

/** The defects that are known. */
export const quirks: readonly Quirk[] = [
  resizeLosesWide,
  {
    name: "resize-splits-mixed-completions",
    defect: "a completion of 32 bytes on a ring of mixed sizes can end up half at the end and half at the beginning",
    kernels: "6.18 and later",
    source: "io_uring/register.c of 6.18: slots are moved one by one",
    remedy: "resizeRings() makes such a completion queue smaller only when every completion is seen",
    present: null,
  },
  {
    name: "resize-stops-at-wrap",
    defect: "completions that are not seen yet are lost where their count passes 2^32 between the first and the last",
    kernels: "6.13 and later",
    source: "io_uring/register.c of 6.13: the loop compares counters that come round",
    remedy: "resizeRings() refuses at that moment",
    present: null,
  },
  {
    name: "resize-hides-array",
    defect: "the place of the array of indices is told as 0 after a resize",
    kernels: "6.13 to at least 6.18",
    source: "tried on 6.18.44; liburing then writes the indices over the queues' heads and tails",
    remedy: "resizeRings() makes a ring of the new sizes to see where it has its array",
    present: null,
  },
  {
    name: "restrictions-change-meaning",
    defect: "a list of operations alone forbids every registration before 7.0, and none from 7.0 on",
    kernels: "5.10 to 6.19 the one way, 7.0 and later the other",
    source: "io_uring/register.c of 6.18 and 7.0",
    remedy: "registerRestrictions() spells out both, so that what is not listed is always refused",
    present: null,
  },
  {
    name: "moments-ignore-time-namespaces",
    defect: "in a time namespace, waits and timeouts until a moment mean the host's clock, not the namespace's",
    kernels: "6.12 to at least 6.18, timeouts from 5.5 on",
    source: "tried on 6.18.44; liburing's test timens-abs-timer",
    remedy: "none: say durations where time namespaces are in use",
    present: null,
  },
  {
    name: "incremental-end-without-more",
    defect: "a completion of 0 bytes lacks IORING_CQE_F_BUF_MORE although the kernel goes on with the buffer",
    kernels: "6.12 to at least 6.18",
    source: "axboe/liburing#1545",
    remedy: "BufferRing takes it for granted there",
    present: null,
  },
  {
    name: "polled-command-without-data-crashes",
    defect:
      "an NVMe command that moves no data, such as flush, makes the kernel follow a null pointer on a polled ring",
    kernels: "6.1.192",
    source: "tried on Debian's 6.1.0-56; the kernel's report names bio_poll",
    remedy: "none: send such commands through a ring without iopoll",
    present: null,
  },
  {
    name: "short-send-forgotten",
    defect:
      "a send that must be whole (MSG_WAITALL) and must not wait answers EAGAIN where a part went, and not how much",
    kernels: "5.10 with its backported io_uring; not 6.1",
    source: "tried on Debian's 5.10.0-46 and 6.1.0-56",
    remedy: "bun-uring/net asks for whole sends from 6.1 on only",
    present: null,
  },
  {
    name: "end-missed",
    defect:
      "a multishot receive may take the last data and never look for the end that came with it, a Unix socket's or a reset",
    kernels:
      "6.16.12 (resets) and 6.18.15, always on a ring with deferred work; rarely 7.3, Unix sockets; not 6.1, 6.12, 6.19",
    source: "tried on Debian's 6.1.0-56 to 7.3.4, and on 6.18.44, which has it no more: recv(2) then answers at once",
    remedy:
      "AsyncRing and bun-uring/net poll for the end as well, of what lasts, and receive again; Ring leaves it to you",
    present: null,
  },
  {
    name: "deferred-work-rings-late",
    defect: "with DEFER_TASKRUN a registered eventfd is signalled a grace period of RCU late, or only the first time",
    kernels:
      "for whatever is polled 6.12.117, once only, and 7.3, late; for what an eventfd wakes 6.1, late, and 6.18, once only",
    source:
      "tried on Debian's 6.1.0-56, 6.12.117, 6.18.15 and 7.3.4, and on 6.18.44; io_uring/eventfd.c never clears ops",
    remedy: 'AsyncRing does without DEFER_TASKRUN; Ring has `modern: "coop"` for those who register an eventfd',
    present: null,
  },
  {
    name: "cancel-passes-over-timeouts",
    defect: "cancelling all or any passes over a timeout whose memory carries the same number from an older ring",
    kernels: "5.19 to 6.8",
    source: "io_uring/timeout.c of 6.1 compares cancel_seq, which it never set; tried on Debian's 6.1.0-56",
    remedy: "closing a ring cancels until all has ended, not until nothing is found; a second cancellation finds it",
    present: null,
  },
  {
    name: "repeating-timeouts-not-found",
    defect: "a multishot timeout that has just gone off is not found by what is to remove or cancel it, and goes on",
    kernels: "6.4 and later; nearly always on a ring with deferred work, where it waits to be set again",
    source: "io_uring/timeout.c takes it off its list until then; tried on 6.18.44",
    remedy: "the high road asks until it has ended; on the low road ask again where `res` is -ENOENT",
    present: null,
  },
];

/** @internal Whether resizing keeps completions of 32 bytes that are not seen yet. */
export function resizeKeepsWide(): boolean {
  return resizeLosesWide.present?.() === false;
}

/** Two completions of 32 bytes, moved: whether the second one is not where it should be. */
function tryWideResize(): boolean {
  const scratch = Mapping.anonymous(4096);
  try {
    const options = { cqe32: true, noSqarray: true, singleIssuer: true, deferTaskrun: true };
    const { fd, sq, map } = setUpRing(2, options, scratch);
    for (const userData of [1, 2]) {
      sq.claim().write(IORING_OP_NOP, -1, 0, 0, 0, 0);
      sq.commit().userData(userData);
    }
    const { enter, register, close } = syscalls();
    enter(fd, sq.publish(), 2, IORING_ENTER_GETEVENTS, 0, 0);
    const params = new Params(scratch.words);
    params.fill(IORING_SETUP_CQSIZE, { cqEntries: 8 });
    params.words[IO_URING_PARAMS_WORD_SQ_ENTRIES] = 2;
    const resized = register(fd, IORING_REGISTER_RESIZE_RINGS, scratch.address, 1) === 0;
    const first = params.cqOffset(IO_CQRING_OFFSETS_WORD_CQES) / 4;
    const moved = resized ? Mapping.ofDescriptor(fd, IORING_OFF_SQ_RING, 4096) : undefined;
    const lost = moved?.words[first + 8 + IO_URING_CQE_WORD_USER_DATA] !== 2;
    moved?.close();
    close(fd);
    sq.close();
    for (const mapping of map.mappings) mapping.close();
    return lost;
  } finally {
    scratch.close();
  }
}
