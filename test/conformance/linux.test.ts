/** The hand-written constants of Linux against the system's own headers. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as linux from "../../src/abi/linux.ts";
import { compiler, needsCompiler, runC } from "../support/compiler.ts";

const headers = [
  "fcntl.h",
  "net/if.h",
  "netinet/in.h",
  "netinet/tcp.h",
  "poll.h",
  "signal.h",
  "sys/epoll.h",
  "sys/mman.h",
  "sys/socket.h",
  "sys/uio.h",
  "sys/un.h",
  "sys/wait.h",
  "time.h",
  "unistd.h",
  "linux/fs.h",
  "linux/futex.h",
  "linux/openat2.h",
  "linux/stat.h",
  "linux/time_types.h",
  "linux/version.h",
  "linux/wait.h",
  "linux/xattr.h",
];

const types: Readonly<Record<string, string>> = {
  SIZEOF_EPOLL_EVENT: "struct epoll_event",
  SIZEOF_FUTEX: "unsigned int",
  SIZEOF_FUTEX_WAITV: "struct futex_waitv",
  SIZEOF_IOVEC: "struct iovec",
  SIZEOF_MSGHDR: "struct msghdr",
  SIZEOF_OPEN_HOW: "struct open_how",
  SIZEOF_SIGINFO: "siginfo_t",
  SIZEOF_SOCKADDR_STORAGE: "struct sockaddr_storage",
  SIZEOF_SOCKLEN: "socklen_t",
  SIZEOF_STATX: "struct statx",
  SIZEOF_TIMESPEC: "struct __kernel_timespec",
};

const source = readFileSync(join(import.meta.dir, "../../src/abi/linux.ts"), "utf8");
const constants = Object.entries(linux).map(([name, value]): [string, number] => [name, Number(value)]);

/** The `@kernel` tag of a constant as a number that LINUX_VERSION_CODE can be compared with; 0 where it has none. */
function firstKernel(name: string): number {
  const doc = new RegExp(String.raw`/\*\*([^\n]*)\*/\nexport const ${name}\b`).exec(source)?.[1];
  if (doc === undefined) throw new Error(`${name} has no doc comment`);
  const [major, minor] = /@kernel (\d+)\.(\d+)/.exec(doc)?.slice(1).map(Number) ?? [0, 0];
  return ((major ?? 0) << 16) | ((minor ?? 0) << 8);
}

test("every constant of linux.ts has a line of its own in its documentation", () => {
  expect(constants.length).toBeGreaterThan(150);
  for (const [name] of constants) expect(firstKernel(name)).toBeGreaterThanOrEqual(0);
});

test.skipIf(compiler === null)(needsCompiler("every constant of linux.ts is what the system's headers say"), () => {
  const lines = constants.map(([name]) => {
    const type = types[name];
    if (type !== undefined) return `printf("${name} %zu\\n", sizeof(${type}));`;
    // As 32 bits, in which the kernel takes them.
    return `\n#ifdef ${name}\nprintf("${name} %u\\n", (unsigned)(${name}));\n#endif\n`;
  });
  const said = runC(headers, [...lines, 'printf("version %u\\n", LINUX_VERSION_CODE);']);
  const values = new Map(said.map((line) => line.split(" ") as [string, string]));
  const version = Number(values.get("version"));
  const wrong = constants
    .filter(([name, value]) => values.has(name) && values.get(name) !== String(value >>> 0))
    .map(([name, value]) => `${name} is ${values.get(name)}, not ${value}`);
  expect(wrong).toEqual([]);
  // A header may lack what is younger than it is, and nothing else.
  const absent = constants.filter(([name]) => !values.has(name) && firstKernel(name) <= version).map(([name]) => name);
  expect(absent).toEqual([]);
});
