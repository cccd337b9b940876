/** Errors as `node:fs/promises` throws them. */
import { getSystemErrorMap } from "node:util";
import { errnoMessage, errnoName } from "../errors.ts";

/** What a system call was about, as far as Bun tells it. */
export interface Subject {
  /** The path, or the first of two. */
  readonly path?: string | undefined;
  /** The second path. */
  readonly dest?: string | undefined;
  /** The descriptor. */
  readonly fd?: number | undefined;
}

let names: Map<number, [name: string, message: string]> | undefined;

/**
 * The error of a failed call, with the names and words of Node.js, which are not the kernel's everywhere.
 *
 * @param res `-errno`.
 * @param syscall the call as Node.js names it: "open", "stat".
 */
export function systemError(res: number, syscall: string, subject: Subject = {}): Error {
  const [code, text] = (names ??= getSystemErrorMap()).get(res) ?? [errnoName(res), errnoMessage(res)];
  const { path, dest, fd } = subject;
  const about = path === undefined ? "" : dest === undefined ? ` '${path}'` : ` '${path}' -> '${dest}'`;
  const error: Failure = plainError(`${code}: ${text}, ${syscall}${about}`);
  error.code = code;
  if (path !== undefined) error.path = path;
  if (dest !== undefined) error.dest = dest;
  if (fd !== undefined) error.fd = fd;
  error.syscall = syscall;
  error.errno = res;
  return error;
}

/** An error while it is being told what it is about. */
interface Failure extends Error {
  code?: string;
  path?: string;
  dest?: string;
  fd?: number;
  syscall?: string;
  errno?: number;
}

/** An error whose stack is its message: where a completion is dealt with says nothing to anybody. */
function plainError(message: string): Error {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const error = new Error(message);
  Error.stackTraceLimit = stackTraceLimit;
  stack.value = `Error: ${message}`;
  return Object.defineProperty(error, "stack", stack);
}

/** How an error has its stack, used again for each. */
const stack: PropertyDescriptor = { value: "", writable: true, configurable: true, enumerable: false };
