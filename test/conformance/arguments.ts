/** What every parameter of every prep function takes, and what it must refuse. */
import { IORING_FILE_INDEX_ALLOC } from "../../src/abi/constants.gen.ts";
import type { PrepFunction } from "./functions.ts";

const MEMORY_BYTES = 4096;
const detached = new ArrayBuffer(64);
const detachedView = new Uint8Array(detached);
detached.transfer(0);

/** A value that is fine and values that are not, by what a parameter takes. */
interface Kind {
  readonly good: unknown;
  readonly bad: readonly unknown[];
}

const neverANumber: readonly unknown[] = [NaN, Infinity, -Infinity, 0.5, "1", null, true, {}, Symbol("1"), () => 1];
const neverInt: readonly unknown[] = [...neverANumber, 1n];
const neverALength: readonly unknown[] = neverANumber.filter((value) => typeof value !== "symbol");
const never64: readonly unknown[] = [...neverANumber, -2, 2 ** 53, -2n, 2n ** 64n];
const neverMemory: readonly unknown[] = [
  "text",
  true,
  1n,
  {},
  [1, 2],
  () => 1,
  Symbol("memory"),
  -1,
  0.5,
  NaN,
  2 ** 53,
  detachedView,
  detached,
  new ArrayBuffer(8, { maxByteLength: 16 }),
  new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })),
];

/** Memory for a struct, which one byte less is not. */
function struct(bytes: number): Kind {
  return { good: new Uint8Array(bytes), bad: [null, ...neverMemory, new Uint8Array(bytes - 1)] };
}

function nullable({ good, bad }: Kind): Kind {
  return { good, bad: bad.filter((value) => value !== null) };
}

const kinds: Readonly<Record<string, Kind>> = {
  fd: { good: 3, bad: [...neverInt, -2, -101, 2 ** 31] },
  offset: { good: 0, bad: never64 },
  u64: { good: 5, bad: [...never64, -1, -1n] },
  u32: { good: 1, bad: [...neverInt, 2 ** 32, -(2 ** 31) - 1] },
  length32: { good: 16, bad: [...neverInt, -1, 2 ** 32] },
  count: { good: 2, bad: [...neverInt, -1, 2 ** 31] },
  u16: { good: 9, bad: [...neverInt, -1, 2 ** 16] },
  u8: { good: 9, bad: [...neverInt, -1, 2 ** 8] },
  fileIndex: { good: IORING_FILE_INDEX_ALLOC, bad: [...neverInt, -1, 2 ** 31, 2 ** 32 - 2, 2 ** 32] },
  tableIndex: { good: IORING_FILE_INDEX_ALLOC, bad: [...neverInt, -1, 2 ** 31, 2 ** 32] },
  // Of memory or of items in it: more than there are is refused.
  length: { good: 1, bad: [...neverALength, -1, 2 ** 31, MEMORY_BYTES + 1] },
  length64: { good: 1, bad: [...neverANumber, -1, -1n, 2 ** 53, MEMORY_BYTES + 1, BigInt(MEMORY_BYTES + 1)] },
  addressLength: { good: 16, bad: [...neverALength, -1, MEMORY_BYTES + 1] },
  address: { good: new Uint8Array(16), bad: [null, ...neverMemory] },
  memory: { good: new Uint8Array(MEMORY_BYTES), bad: [null, ...neverMemory] },
  path: { good: "/tmp/x", bad: [null, true, 1n, {}, -1, "a\0b", "x".repeat(4096), Buffer.from("no end"), detached] },
  command: {
    good: new Uint8Array(16),
    bad: ["text", 7, {}, new Int32Array(4), new ArrayBuffer(16), new Uint8Array(81)],
  },
  socklen: struct(4),
  timespec: struct(16),
  msghdr: struct(56),
  statx: struct(256),
  openHow: struct(24),
  siginfo: struct(128),
  pipe: struct(8),
  futex: struct(4),
  epollEvent: struct(process.arch === "x64" ? 12 : 16),
  pi: struct(32),
};

/** What each parameter takes, by its name and type; the exceptions by function below. */
export const kindOf: Readonly<Record<string, string>> = {
  "addr: Memory": "memory",
  "addr: Memory | null": "memory",
  "addrlen: Memory | null": "socklen",
  "addrlen: number": "length",
  "advice: number": "u32",
  "attr: Memory": "pi",
  "backlog: number": "count",
  "bgid: number": "u16",
  "bid: number": "u16",
  "buf: Memory": "memory",
  "bufGroup: number": "u16",
  "bufIndex: number": "u16",
  "cmdOp: number": "u32",
  "command: Uint8Array | null": "command",
  "count: number": "length32",
  "cqeFlags: number": "u32",
  "data: UserData": "u64",
  "dfd: number": "fd",
  "domain: number": "count",
  "epfd: number": "fd",
  "event: Memory": "epollEvent",
  "events: Memory": "memory",
  "extra1: number | bigint": "u64",
  "extra2: number | bigint": "u64",
  "fd: number": "fd",
  "fdIn: number": "fd",
  "fdOut: number": "fd",
  "fds: Memory": "pipe",
  "fileIndex: number": "fileIndex",
  "flags: number": "u32",
  "futex: Memory": "futex",
  "futexFlags: number": "u32",
  "futexv: Memory": "memory",
  "how: Memory": "openHow",
  "how: number": "u32",
  "id: number": "count",
  "idtype: number": "count",
  "info: Memory | null": "siginfo",
  "iovecs: Memory": "memory",
  "len: number | bigint": "u64",
  "len: number": "length",
  "level: number": "u32",
  "linkPath: Path": "path",
  "mask: number | bigint": "u64",
  "mask: number": "u32",
  "maxEvents: number": "length",
  "memory: Memory | null": "memory",
  "mode: number": "u32",
  "msg: Memory": "msghdr",
  "name: Path": "path",
  "nbytes: number | bigint": "u64",
  "nbytes: number": "length",
  "newDfd: number": "fd",
  "newDirFd: number": "fd",
  "newPath: Path": "path",
  "newUserData: UserData": "u64",
  "nr: number": "count",
  "nrFds: number": "length",
  "nrFutex: number": "length",
  "nrVecs: number": "length",
  "offIn: FileOffset": "offset",
  "offOut: FileOffset": "offset",
  "offset: FileOffset": "offset",
  "offset: number | bigint": "u64",
  "oldDfd: number": "fd",
  "oldPath: Path": "path",
  "oldUserData: UserData": "u64",
  "op: number": "u32",
  "opcode: number": "u8",
  "options: number": "u32",
  "optlen: number": "length",
  "optname: number": "u32",
  "optval: Memory | null": "memory",
  "path: Path": "path",
  "peer: number": "u32",
  "pollMask: number": "u32",
  "protocol: number": "count",
  "result: number": "u32",
  "sockaddr: Memory": "memory",
  "sockaddrLen: Memory": "socklen",
  "sockfd: number": "fd",
  "sourceFd: number": "count",
  "statxbuf: Memory": "statx",
  "stream: number": "u8",
  "target: Path": "path",
  "targetFd: number": "fileIndex",
  "timeoutNs: number | bigint": "u64",
  "ts: Memory": "timespec",
  "type: number": "u32",
  "userData: UserData": "u64",
  "val: number | bigint": "u64",
  "value: Memory": "memory",
  "zcFlags: number": "u16",
  "zcrxIfqIdx: number": "u32",
};

/** The exceptions, by function and parameter. */
export const exceptions: Readonly<Record<string, string>> = {
  "prepFadvise.len": "length32",
  "prepFilesUpdate.fds": "memory",
  "prepFilesUpdate.offset": "tableIndex",
  "prepFsyncRange.len": "length32",
  "prepMadvise64.len": "length64",
  "prepMsgRing.len": "u32",
  "prepMsgRingCqeFlags.len": "u32",
  "prepProvideBuffers.len": "length",
  "prepReadMultishot.nbytes": "count",
  "prepRecvZc.len": "count",
  "prepRw.len": "length32",
  "prepRw.op": "u8",
  "prepSendBundle.len": "count",
  "prepSendto.addr": "address",
  "prepSendto.addrlen": "addressLength",
  "prepSplice.nbytes": "length32",
  "prepSyncFileRange.len": "length32",
  "prepTee.nbytes": "length32",
};

function kindsOf({ signature }: PrepFunction): Kind[] {
  return signature.parameters.map(({ name, type }) => {
    const kind = kinds[exceptions[`${signature.name}.${name}`] ?? kindOf[`${name}: ${type}`] ?? ""];
    if (kind === undefined) throw new Error(`${signature.name}: say in this test what ${name}: ${type} takes`);
    return type.includes("| null") ? nullable(kind) : kind;
  });
}

/** Arguments that a function takes. */
export function goodArguments(prep: PrepFunction): unknown[] {
  return kindsOf(prep).map((kind) => kind.good);
}

/** Every call of a function with one bad argument among good ones. */
export function* badCalls(prep: PrepFunction): Generator<{ args: unknown[]; what: string }> {
  const all = kindsOf(prep);
  const good = all.map((kind) => kind.good);
  for (const [index, kind] of all.entries()) {
    const parameter = prep.signature.parameters[index];
    const absent = parameter?.optional === true ? [] : [undefined];
    for (const value of [...absent, ...kind.bad]) {
      yield { args: good.with(index, value), what: `${parameter?.name} ${nameOf(value)}` };
    }
  }
}

/** A detached view cannot even be printed. */
function nameOf(value: unknown): string {
  return typeof value === "object" ? Object.prototype.toString.call(value) : String(value);
}
