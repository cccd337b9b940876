/**
 * A program that tries what its surroundings are about to refuse, and prints as one line of JSON what became of it.
 * Arguments: what to try, then what it takes.
 */
import { closeSync, openSync } from "node:fs";
import { Ring } from "../../src/index.ts";
import { Mapping } from "../../src/memory.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { syscalls } from "../../syscall/shim.ts";

/** What came of the attempt: the error, or nothing but "made". */
export interface Attempt {
  name?: string;
  code?: string;
  errno?: number;
  syscall?: string;
  message: string;
}

const options = (text: string | undefined): RingOptions => JSON.parse(text ?? "{}") as RingOptions;

const attempts: Record<string, (argument: string | undefined) => void> = {
  /** Makes a ring with these options. */
  ring: (argument) => new Ring(8, options(argument)).close(),
  /** The same with every descriptor that the process may have in use. */
  "ring without descriptors": (argument) => {
    syscalls();
    const open: number[] = [];
    try {
      for (;;) open.push(openSync("/dev/null", "r"));
    } catch {
      // The limit is reached.
    }
    try {
      new Ring(8, options(argument)).close();
    } finally {
      for (const fd of open) closeSync(fd);
    }
  },
  /** Registers so many bytes. */
  buffers: (argument) => {
    using ring = new Ring(8);
    const memory = Mapping.anonymous(Number(argument));
    ring.registerBuffers([memory]);
  },
  /** Registers so many files. */
  files: (argument) => {
    using ring = new Ring(8);
    ring.registerFilesSparse(Number(argument));
  },
};

const [what, argument] = process.argv.slice(2);
let result: Attempt = { message: "made" };
try {
  (attempts[what ?? ""] as (argument: string | undefined) => void)(argument);
} catch (error) {
  const { name, code, errno, syscall, message } = error as Attempt;
  result = {
    message,
    ...(name && { name }),
    ...(code && { code }),
    ...(errno && { errno }),
    ...(syscall && { syscall }),
  };
}
console.log(JSON.stringify(result));
