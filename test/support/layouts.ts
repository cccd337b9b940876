/**
 * The shapes that a ring can have. The same suite runs over each: what works on one and not on another is most often a
 * mistake in where the queues are, how long an entry is, or when the kernel must be entered.
 */
import { describe } from "bun:test";
import { IORING_SETUP_R_DISABLED, IORING_SETUP_SQPOLL } from "../../src/abi/constants.gen.ts";
import { Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { firstKernel } from "./kernel.ts";

/** A shape of ring. */
export interface Layout {
  name: string;
  options: RingOptions;
  /** The flags of it that not every kernel has; and where a machine can lack more than a kernel, that. */
  needs: readonly string[];
}

const deferred: RingOptions = { singleIssuer: true, deferTaskrun: true };

/** Every layout, whether or not this kernel has it. */
export const layouts: readonly Layout[] = [
  { name: "plain", options: {}, needs: [] },
  { name: "sqpoll", options: { sqpoll: true, sqThreadIdleMs: 20 }, needs: [] },
  { name: "sqpoll on a processor", options: { sqpoll: true, sqThreadCpu: 0 }, needs: [] },
  { name: "cqEntries", options: { cqEntries: 256 }, needs: [] },
  { name: "clamp", options: { clamp: true }, needs: [] },
  { name: "submitAll", options: { submitAll: true }, needs: ["IORING_SETUP_SUBMIT_ALL"] },
  { name: "coopTaskrun", options: { coopTaskrun: true }, needs: ["IORING_SETUP_COOP_TASKRUN"] },
  {
    name: "coopTaskrun with taskrunFlag",
    options: { coopTaskrun: true, taskrunFlag: true },
    needs: ["IORING_SETUP_TASKRUN_FLAG"],
  },
  { name: "sqe128", options: { sqe128: true }, needs: ["IORING_SETUP_SQE128"] },
  { name: "cqe32", options: { cqe32: true }, needs: ["IORING_SETUP_CQE32"] },
  { name: "sqe128 with cqe32", options: { sqe128: true, cqe32: true }, needs: ["IORING_SETUP_SQE128"] },
  { name: "singleIssuer", options: { singleIssuer: true }, needs: ["IORING_SETUP_SINGLE_ISSUER"] },
  { name: "deferTaskrun", options: deferred, needs: ["IORING_SETUP_DEFER_TASKRUN"] },
  {
    name: "deferTaskrun with taskrunFlag",
    options: { ...deferred, taskrunFlag: true },
    needs: ["IORING_SETUP_DEFER_TASKRUN"],
  },
  { name: "noMmap", options: { noMmap: true }, needs: ["IORING_SETUP_NO_MMAP"] },
  { name: "noMmap in huge pages", options: { noMmap: "huge" }, needs: ["IORING_SETUP_NO_MMAP", "free huge pages"] },
  {
    name: "noMmap with sqe128 and cqe32",
    options: { noMmap: true, sqe128: true, cqe32: true },
    needs: ["IORING_SETUP_NO_MMAP"],
  },
  {
    name: "registeredFdOnly",
    options: { noMmap: true, registeredFdOnly: true },
    needs: ["IORING_SETUP_REGISTERED_FD_ONLY"],
  },
  { name: "noSqarray", options: { noSqarray: true }, needs: ["IORING_SETUP_NO_SQARRAY"] },
  {
    name: "noSqarray with sqpoll",
    options: { noSqarray: true, sqpoll: true, sqThreadIdleMs: 20 },
    needs: ["IORING_SETUP_NO_SQARRAY"],
  },
  { name: "cqeMixed", options: { cqeMixed: true }, needs: ["IORING_SETUP_CQE_MIXED"] },
  {
    name: "cqeMixed with deferTaskrun",
    options: { ...deferred, cqeMixed: true },
    needs: ["IORING_SETUP_CQE_MIXED"],
  },
  { name: "rDisabled", options: { rDisabled: true }, needs: [] },
  {
    name: "rDisabled with deferTaskrun",
    options: { ...deferred, rDisabled: true },
    needs: ["IORING_SETUP_DEFER_TASKRUN"],
  },
  { name: "raw flags", options: { flags: IORING_SETUP_SQPOLL }, needs: [] },
  { name: "iowait", options: { iowait: true }, needs: [] },
  { name: "modern", options: { modern: true }, needs: [] },
  { name: "modern with sqpoll", options: { modern: true, sqpoll: true, sqThreadIdleMs: 20 }, needs: [] },
  { name: "modern with cqEntries", options: { modern: true, cqEntries: 512 }, needs: [] },
  { name: "modern with sqe128", options: { modern: true, sqe128: true }, needs: ["IORING_SETUP_SQE128"] },
  { name: "modern with cqe32", options: { modern: true, cqe32: true }, needs: ["IORING_SETUP_CQE32"] },
  {
    name: "modern with coopTaskrun",
    options: { modern: true, coopTaskrun: true },
    needs: ["IORING_SETUP_COOP_TASKRUN"],
  },
  {
    name: "modern with taskrunFlag",
    options: { modern: true, taskrunFlag: true },
    needs: ["IORING_SETUP_TASKRUN_FLAG"],
  },
  { name: "modern with noMmap", options: { modern: true, noMmap: true }, needs: ["IORING_SETUP_NO_MMAP"] },
  {
    name: "modern with registeredFdOnly",
    options: { modern: true, noMmap: true, registeredFdOnly: true },
    needs: ["IORING_SETUP_REGISTERED_FD_ONLY"],
  },
  { name: "modern with cqeMixed", options: { modern: true, cqeMixed: true }, needs: ["IORING_SETUP_CQE_MIXED"] },
  { name: "modern with rDisabled", options: { modern: true, rDisabled: true }, needs: [] },
];

/** A ring of a layout, enabled if it was made disabled. */
export function ringOf(layout: Layout, entries: number, more: RingOptions = {}): Ring {
  const ring = new Ring(entries, { ...layout.options, ...more });
  if ((ring.setup.flags & IORING_SETUP_R_DISABLED) !== 0) ring.enableRings();
  return ring;
}

function works(layout: Layout): boolean {
  try {
    ringOf(layout, 4).close();
    return true;
  } catch (error) {
    // Only what the kernel itself refuses makes a layout missing; anything else is the library's mistake.
    if (layout.needs.length > 0 && ["EINVAL", "ENOMEM"].includes((error as { code?: string }).code ?? "")) return false;
    throw error;
  }
}

/** Declares a suite once a layout. A layout that this kernel lacks is skipped by name. */
export function overLayouts(suite: (layout: Layout) => void, only?: readonly string[]): void {
  for (const layout of layouts) {
    if (only !== undefined && !only.includes(layout.name)) continue;
    if (works(layout)) {
      describe(`on a ring that is ${layout.name}`, () => suite(layout));
      continue;
    }
    const missing = layout.needs.map((name) =>
      name.startsWith("IORING_") ? `${name}, Linux ${firstKernel(name)}` : name,
    );
    describe.skip(`on a ring that is ${layout.name} (needs ${missing.join("; ")})`, () => suite(layout));
  }
}
