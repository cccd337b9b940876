/** What a request and a ring of the high road can be told. */
import {
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_HYBRID_IOPOLL,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_R_DISABLED,
} from "../abi/constants.gen.ts";
import { describe, rangeError, typeError } from "../errors.ts";
import type { RingOptions } from "../ring/params.ts";
import { checkU16 } from "../ring/prep/check.ts";

/** How one request is made. It may stand as the last argument of every operation. */
export interface RequestOptions {
  /**
   * Cancels the request when it aborts. The promise rejects with the signal's reason once the kernel has let go of the
   * request's memory, never before; a request that was done before it could be canceled resolves as usual.
   */
  signal?: AbortSignal | undefined;
  /**
   * Cancels the request after so many milliseconds, fractions allowed, counted by the kernel from the submission on.
   * The promise then rejects with ETIME. Takes a second entry of the queue, a linked timeout. @kernel 5.5
   */
  timeoutMs?: number | undefined;
  /** The operation's descriptor is the index of a registered file. @kernel 5.1 */
  fixedFile?: boolean | undefined;
  /** Goes to a worker thread at once instead of trying without blocking first. @kernel 5.6 */
  async?: boolean | undefined;
  /** Starts only when all earlier requests have completed, and later ones after it. @kernel 5.2 */
  drain?: boolean | undefined;
  /** Runs with the credentials registered under this number. @kernel 5.6 */
  personality?: number | undefined;
  /** Bits for the entry's ioprio field: a priority, or IORING_RECVSEND_* and the like. */
  ioprio?: number | undefined;
}

const flags = ["fixedFile", "async", "drain"] as const;
const numbers = ["personality", "ioprio"] as const;

/** Whether a last argument is options and no memory: what has an address of its own is memory. */
export function isOptions(value: unknown): value is RequestOptions {
  if (typeof value !== "object" || value === null) return false;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return false;
  return !("address" in value);
}

/**
 * Refuses options that cannot be, before anything is queued.
 *
 * @throws TypeError or RangeError `ERR_URING_OPTIONS`, `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
 */
export function checkRequestOptions(options: RequestOptions): void {
  if (!isOptions(options)) throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(options)} as options`);
  for (const name of Object.keys(options)) checkRequestOption(name, options[name as keyof RequestOptions]);
}

function checkRequestOption(name: string, value: unknown): void {
  if (name === "signal") return checkSignal(value);
  if (name === "timeoutMs") {
    if (value === undefined || (typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER)) return;
    throw rangeError("ERR_URING_OPTIONS", `Cannot use ${describe(value)} as option timeoutMs`);
  }
  if ((flags as readonly string[]).includes(name)) {
    if (value === undefined || typeof value === "boolean") return;
    throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(value)} as option ${name}: it is true or false`);
  }
  if (!(numbers as readonly string[]).includes(name)) {
    throw typeError("ERR_URING_OPTIONS", `Cannot make a request: there is no option ${JSON.stringify(name)}`);
  }
  if (value !== undefined) checkU16(name, value as number);
}

/**
 * Refuses what is no AbortSignal.
 *
 * @throws TypeError `ERR_URING_OPTIONS`.
 */
export function checkSignal(value: unknown): void {
  if (value === undefined || value instanceof AbortSignal) return;
  throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(value)} as option signal: it is no AbortSignal`);
}

const ALONE = "it needs a loop of its own, which Ring has";

/** What an {@link AsyncRing} cannot do with, as an option of a ring and as a bit of its flags, and why. */
const excluded: readonly (readonly [keyof RingOptions, number, string])[] = [
  ["iopoll", IORING_SETUP_IOPOLL, ALONE],
  ["hybridIopoll", IORING_SETUP_HYBRID_IOPOLL, ALONE],
  ["rDisabled", IORING_SETUP_R_DISABLED, ALONE],
  // Kernel: see deferred-work-rings-late in quirks.ts.
  ["deferTaskrun", IORING_SETUP_DEFER_TASKRUN, "its completions would wake the event loop late or never"],
];

/** What an {@link AsyncRing} is made with: the ring's own options, and these. */
export interface AsyncRingOptions extends Omit<
  RingOptions,
  "iopoll" | "hybridIopoll" | "rDisabled" | "deferTaskrun" | "modern"
> {
  /**
   * On unless turned off: SUBMIT_ALL, SINGLE_ISSUER with COOP_TASKRUN and TASKRUN_FLAG, NO_SQARRAY and CLAMP, as far as
   * the kernel has them. DEFER_TASKRUN is not among them: many kernels ring the event loop's bell late for deferred
   * work, and some never.
   */
  modern?: boolean;
  /** How many submissions fit the queue: rounded up to a power of two, 1024 unless given. */
  entries?: number;
  /**
   * How many requests the kernel may have at a time, 65536 unless given; the others wait in order. Requests that wait
   * for somebody else count too: a server with more open connections than this needs more.
   */
  maxInFlight?: number;
  /** After how many completions the event loop gets a turn, 512 unless given; after a millisecond it does in any case. */
  maxPerTurn?: number;
  /**
   * For how many microseconds the thread looks for completions before it goes back to the event loop; 0, off, unless
   * given. It buys latency with processor time, and nothing else of this thread runs meanwhile.
   */
  spinUsec?: number;
}

/** {@link AsyncRingOptions} with nothing left open. */
export interface Settings {
  /** Entries of the submission queue. */
  readonly entries: number;
  /** The most requests that the kernel may have. */
  readonly maxInFlight: number;
  /** The most completions of one turn of the loop. */
  readonly maxPerTurn: number;
  /** How long to look before going back to the loop, in milliseconds. */
  readonly spinMs: number;
  /** The ring's own options. */
  readonly ring: RingOptions;
}

/** The most requests that can be told apart. */
const MAX_REQUESTS = 2 ** 22;

/**
 * Fills in what was not given.
 *
 * @throws TypeError or RangeError `ERR_URING_OPTIONS`; the ring's own options are checked where it is made.
 */
export function settingsOf(options: AsyncRingOptions): Settings {
  if (typeof options !== "object" || options === null) {
    throw typeError("ERR_URING_OPTIONS", `Cannot use ${describe(options)} as a ring's options: pass an object`);
  }
  const { entries = 1024, maxInFlight = 65536, maxPerTurn = 512, spinUsec = 0, ...ring } = options;
  const modern = ring.modern === undefined || ring.modern === true ? "coop" : ring.modern;
  for (const [name, bit, reason] of excluded) {
    if ((ring as RingOptions)[name] !== true && ((ring.flags ?? 0) & bit) === 0) continue;
    throw typeError("ERR_URING_OPTIONS", `Cannot use option ${name} here: ${reason}`);
  }
  checkNumber("maxInFlight", maxInFlight, 1, MAX_REQUESTS);
  checkNumber("maxPerTurn", maxPerTurn, 1, MAX_REQUESTS);
  checkNumber("spinUsec", spinUsec, 0, 1e6);
  return { entries, maxInFlight, maxPerTurn, spinMs: spinUsec / 1000, ring: { ...ring, modern } };
}

function checkNumber(name: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw rangeError(
    "ERR_URING_OPTIONS",
    `Cannot use ${describe(value)} as option ${name}: it must be a whole number from ${least} to ${most}`,
  );
}
