/**
 * Three kinds of error leave this library. The kernel refused: {@link UringError}, shaped like Node's SystemError. The
 * caller passed something that cannot be: a TypeError or RangeError with a `code`, thrown before anything is queued.
 * The library contradicts itself: an AssertionError, which is a bug of ours.
 */
import { ERRNO_MESSAGES, ERRNO_NAMES } from "./abi/errno.gen.ts";

/** The codes of errors that are the caller's to mend. */
export type ArgumentErrorCode =
  | "ERR_URING_ARG_TYPE"
  | "ERR_URING_ARG_VALUE"
  | "ERR_URING_BUFFER"
  | "ERR_URING_CHAIN_SPLIT"
  | "ERR_URING_CLOSED"
  | "ERR_URING_FORKED"
  | "ERR_URING_OPTIONS"
  | "ERR_URING_STATE"
  | "ERR_URING_UNSUPPORTED";

/** The kernel said no. `errno` is negative, as in Node's SystemError. */
export class UringError extends Error {
  override readonly name: string = "UringError";
  /** The error's name, "ECANCELED"; "UNKNOWN" for a number this library has no name for. */
  readonly code: string;
  /** The error's number, negative: -125. */
  readonly errno: number;
  /** The call or operation that failed: "io_uring_setup", "IORING_OP_READ". */
  readonly syscall: string;

  /**
   * @param errno the error's number, of either sign.
   * @param syscall the call or operation that failed.
   * @param advice the likely cause and its cure, appended to the message.
   */
  constructor(errno: number, syscall: string, advice?: string) {
    const code = errnoName(errno);
    const text = `${code}: ${errnoMessage(errno)}, ${syscall}`;
    super(advice === undefined ? text : `${text}: ${advice}`);
    this.code = code;
    this.errno = -Math.abs(errno);
    this.syscall = syscall;
  }
}

/** An errno's name by its number, of either sign: `errnoName(-125)` is "ECANCELED". "UNKNOWN" where there is none. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES[Math.abs(errno)] || "UNKNOWN";
}

/** What an errno means, in the usual few words, by its number of either sign. */
export function errnoMessage(errno: number): string {
  return ERRNO_MESSAGES[Math.abs(errno)] || `unknown error ${Math.abs(errno)}`;
}

/** @internal A TypeError with a code: the argument is not the kind of thing that is wanted. */
export function typeError(code: ArgumentErrorCode, message: string): TypeError {
  return Object.assign(new TypeError(message), { code });
}

/** @internal A RangeError with a code: the right kind of thing with a value that cannot be. */
export function rangeError(code: ArgumentErrorCode, message: string): RangeError {
  return Object.assign(new RangeError(message), { code });
}

/** @internal An Error with a code: right in itself, wrong at this moment. */
export function stateError(code: ArgumentErrorCode, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** @internal How a value is named in an error's message. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "object") return `an instance of ${value.constructor?.name ?? "Object"}`;
  if (typeof value === "function") return "a function";
  return String(value);
}
