/**
 * Every function behind the door, the same for both ways through it: `bun test` runs these through the compiled shim,
 * `bun --no-ffi-cc test` through libc. What a call answered is looked up in /proc where the kernel shows it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import {
  IORING_ENTER_EXT_ARG,
  IORING_ENTER_GETEVENTS,
  IORING_OFF_SQES,
  IORING_REGISTER_PROBE,
  IORING_REGISTER_RING_FDS,
  IORING_REGISTER_USE_REGISTERED_RING,
  IORING_SETUP_CLAMP,
  IORING_UNREGISTER_RING_FDS,
} from "../../src/abi/constants.gen.ts";
import { EBADF, EFAULT, EINVAL, ENODEV, ENOMEM, ETIME } from "../../src/abi/errno.gen.ts";
import { addressOf, Mapping } from "../../src/memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import { descriptorCount, flagsAt, mappingCount, peek, poke } from "./proc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const MADV_DONTFORK = 10;
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const MFD_CLOEXEC = 1;

/** Enough calls for the engine's last compiler to have had its turn. */
const WARM = 100_000;
const PAGE = 4096;

const call = syscalls();

let params: Mapping;
let ring = -1;

beforeAll(() => {
  params = Mapping.anonymous(PAGE);
  ring = call.setup(8, params.address);
  expect(ring).toBeGreaterThanOrEqual(0);
});

afterAll(() => {
  call.close(ring);
  params.close();
});

test("syscalls() goes the way that the command line names", () => {
  expect(call.backend).toBe(process.execArgv.includes("--no-ffi-cc") ? "libc" : "tinycc");
});

test("syscalls() returns the same functions each time", () => {
  expect(syscalls()).toBe(call);
});

describe("setup()", () => {
  test("makes a ring and fills the parameters in", () => {
    const own = Mapping.anonymous(PAGE);
    const fd = call.setup(5, own.address);
    expect(fd).toBeGreaterThanOrEqual(0);
    // Kernel: before 5.19 this file says less of a ring.
    expect(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toMatch(/^SqMask:\t0x7$|^SqThread:\t-1$/m);
    expect(own.words[0]).toBe(8);
    expect(own.words[1]).toBe(16);
    expect(call.close(fd)).toBe(0);
    own.close();
  });

  test("returns -errno", () => {
    expect(call.setup(0, params.address)).toBe(-EINVAL);
    expect(call.setup(8, 0)).toBe(-EFAULT);
    expect(call.setup(8, 1)).toBe(-EFAULT);
  });

  test("hands entries on whole past 2^31", () => {
    for (const entries of new Float64Array([2 ** 31, 2 ** 32 - 1])) {
      // A clamped count becomes the most there is; one that arrived as 0 would be refused.
      const own = Mapping.anonymous(PAGE);
      own.words[2] = IORING_SETUP_CLAMP;
      const fd = call.setup(entries, own.address);
      expect(fd).toBeGreaterThanOrEqual(0);
      expect(own.words[0]).toBeGreaterThanOrEqual(32_768);
      expect(call.close(fd)).toBe(0);
      own.close();
    }
  });
});

describe("enter()", () => {
  test("returns how many entries were taken", () => {
    expect(call.enter(ring, 0, 0, 0, 0, 0)).toBe(0);
    expect(nops(3, 2 ** 32 - 1)).toBe(3);
    expect(nops(3, 2)).toBe(2);
  });

  test("returns -errno", () => {
    expect(call.enter(-1, 0, 0, 0, 0, 0)).toBe(-EBADF);
    expect(call.enter(ring, 0, 0, 2 ** 31, 0, 0)).toBe(-EINVAL);
    expect(call.enter(ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, 0, 3)).toBe(-EINVAL);
  });

  test("waits for as many completions as asked and no longer than allowed", () => {
    expect(waitNoTime(ring, 1, 24)).toBe(-ETIME);
  });
});

describe("register()", () => {
  test("asks the kernel about its operations", () => {
    const probe = Mapping.anonymous(PAGE);
    expect(call.register(ring, IORING_REGISTER_PROBE, probe.address, 256)).toBe(0);
    expect(probe.bytes[0]).toBeGreaterThan(0);
    probe.close();
  });

  test("returns -errno", () => {
    // Kernel: 6.13 gives -1 a meaning of its own here, so a number that no descriptor has stands in for it.
    expect(call.register(0x7ffffff0, IORING_REGISTER_PROBE, params.address, 256)).toBe(-EBADF);
    expect(call.register(ring, IORING_REGISTER_PROBE, 1, 256)).toBe(-EFAULT);
    expect(call.register(ring, 0x7fff, 0, 0)).toBe(-EINVAL);
  });

  test("hands a 32nd bit of the opcode on", () => {
    // Kernel: 6.3. An older one answers that it knows no such opcode, which proves the bit arrived as well.
    const opcodes = new Float64Array([IORING_REGISTER_PROBE + IORING_REGISTER_USE_REGISTERED_RING]);
    const probe = Mapping.anonymous(PAGE);
    // No ring is registered at index 0 of this thread, so the same request fails that succeeds without the bit.
    expect([-EINVAL, -EBADF]).toContain(call.register(0, opcodes[0] as number, probe.address, 256));
    const update = Mapping.anonymous(PAGE);
    update.words.set([-1, 0, ring, 0]);
    const registered = call.register(ring, IORING_REGISTER_RING_FDS, update.address, 1);
    const index = update.words[0] as number;
    const answer = call.register(index, opcodes[0] as number, probe.address, 256);
    if (registered === 1) expect([0, -EINVAL]).toContain(answer);
    else expect(answer).toBeLessThan(0);
    if (answer === 0) expect(probe.bytes[0]).toBeGreaterThan(0);
    // The thread has sixteen places for all that runs on it.
    update.words[2] = 0;
    if (registered === 1) expect(call.register(ring, IORING_UNREGISTER_RING_FDS, update.address, 1)).toBe(1);
    probe.close();
    update.close();
  });
});

describe("mmap()", () => {
  test("maps memory that can be read and written", () => {
    const address = anonymous(PAGE);
    expect(address).toBeGreaterThan(0);
    expect(address % PAGE).toBe(0);
    expect(flagsAt(address)).toBeDefined();
    poke(address + 11, "written");
    expect(peek(address + 11, 7)).toBe("written");
    expect(call.munmap(address, PAGE)).toBe(0);
  });

  test("maps a descriptor at a byte offset", () => {
    const fd = memoryFile("mapped");
    writeSync(fd, Buffer.alloc(2 * PAGE, "b"), 0, 2 * PAGE, 0);
    writeSync(fd, Buffer.from("second"), 0, 6, PAGE);
    const address = call.mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
    expect(peek(address, 6)).toBe("second");
    poke(address, "shared");
    const back = Buffer.alloc(6);
    readSync(fd, back, 0, 6, PAGE);
    expect(back.toString()).toBe("shared");
    expect(call.munmap(address, PAGE)).toBe(0);
    expect(call.close(fd)).toBe(0);
  });

  test("maps a ring's entries, far into the descriptor", () => {
    const address = call.mmap(0, 8 * 64, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    expect(address).toBeGreaterThan(0);
    expect(call.munmap(address, 8 * 64)).toBe(0);
  });

  test("returns -errno as a number", () => {
    expect(call.mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)).toBe(-EINVAL);
    expect(call.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, -1, 0)).toBe(-EBADF);
    expect(call.mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1)).toBe(-EINVAL);
    expect(call.mmap(0, 2 ** 52, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)).toBe(-ENOMEM);
    const devNull = openSync("/dev/null", "r");
    expect(call.mmap(0, PAGE, PROT_READ, MAP_SHARED, devNull, 0)).toBe(-ENODEV);
    closeSync(devNull);
  });

  test("hands a length past 2^32 on whole", () => {
    const length = 5 * 2 ** 30;
    const address = call.mmap(0, length, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(address).toBeGreaterThan(0);
    expect(flagsAt(address)).toBeDefined();
    expect(flagsAt(address + length - PAGE)).toBeDefined();
    expect(call.munmap(address, length)).toBe(0);
    expect(flagsAt(address)).toBeUndefined();
    expect(flagsAt(address + length - PAGE)).toBeUndefined();
  });
});

describe("munmap()", () => {
  test("takes a mapping away", () => {
    const address = anonymous(2 * PAGE);
    expect(call.munmap(address, PAGE)).toBe(0);
    expect(flagsAt(address)).toBeUndefined();
    expect(flagsAt(address + PAGE)).toBeDefined();
    expect(call.munmap(address + PAGE, PAGE)).toBe(0);
    expect(flagsAt(address + PAGE)).toBeUndefined();
  });

  test("is safe under views that were emptied", () => {
    const mapping = Mapping.anonymous(PAGE);
    const { address, bytes, words } = mapping;
    const look = (index: number): number | undefined => bytes[index];
    bytes[3] = 33;
    let sum = 0;
    for (let i = 0; i < WARM; i++) sum += look(3) as number;
    expect(sum).toBe(33 * WARM);
    mapping.close();
    expect(flagsAt(address)).toBeUndefined();
    expect(look(3)).toBeUndefined();
    expect([bytes.length, words.length]).toEqual([0, 0]);
  });

  test("returns -errno", () => {
    expect(call.munmap(1, PAGE)).toBe(-EINVAL);
    expect(call.munmap(0, 0)).toBe(-EINVAL);
  });
});

describe("madvise()", () => {
  test("gives the kernel advice that it keeps", () => {
    const address = anonymous(PAGE);
    expect(flagsAt(address)).not.toContain("dc");
    expect(call.madvise(address, PAGE, MADV_DONTFORK)).toBe(0);
    expect(flagsAt(address)).toContain("dc");
    expect(call.munmap(address, PAGE)).toBe(0);
  });

  test("returns -errno", () => {
    const address = anonymous(PAGE);
    expect(call.madvise(address + 1, PAGE, MADV_DONTFORK)).toBe(-EINVAL);
    expect(call.madvise(address, PAGE, 0x7fff)).toBe(-EINVAL);
    expect(call.munmap(address, PAGE)).toBe(0);
    expect(call.madvise(address, PAGE, MADV_DONTFORK)).toBe(-ENOMEM);
  });
});

describe("eventfd()", () => {
  test("makes a counter with a first value and flags", () => {
    const fd = call.eventfd(7, EFD_NONBLOCK | EFD_CLOEXEC);
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
    expect(info).toMatch(/^eventfd-count:\s+7$/m);
    expect(Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? "", 8)).toBe(0o2 | EFD_NONBLOCK | EFD_CLOEXEC);
    expect(call.close(fd)).toBe(0);
  });

  test("returns -errno", () => {
    expect(call.eventfd(0, 0x4)).toBe(-EINVAL);
  });
});

describe("memfd()", () => {
  test("makes a file that is only in memory, by its name", () => {
    const fd = memoryFile("by its name");
    expect(readFileSync(`/proc/self/maps`, "utf8")).not.toContain("by its name");
    const address = call.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    expect(readFileSync(`/proc/self/maps`, "utf8")).toContain("/memfd:by its name (deleted)");
    expect(call.munmap(address, PAGE)).toBe(0);
    expect(call.close(fd)).toBe(0);
  });

  test("returns -errno", () => {
    expect(call.memfd(0, 0)).toBe(-EFAULT);
    expect(call.memfd(addressOf(Buffer.from("x\0")), 2 ** 31)).toBe(-EINVAL);
  });
});

describe("close()", () => {
  test("closes once", () => {
    const fd = call.eventfd(0, EFD_CLOEXEC);
    expect(call.close(fd)).toBe(0);
    expect(call.close(fd)).toBe(-EBADF);
  });

  test("returns -errno", () => {
    expect(call.close(-1)).toBe(-EBADF);
  });
});

describe("call()", () => {
  const [statx, dup] = process.arch === "arm64" ? [291, 23] : [332, 32];
  const AT_FDCWD = -100;
  const STATX_SIZE = 0x200;

  test("makes any call, with five arguments in their places", () => {
    const path = Buffer.from(`${import.meta.path}\0`);
    const answer = new Int32Array(64);
    expect(call.call(statx, AT_FDCWD, addressOf(path), 0, STATX_SIZE, addressOf(answer))).toBe(0);
    expect(answer[10]).toBe(Bun.file(import.meta.path).size);
  });

  test("returns -errno", () => {
    expect(call.call(statx, AT_FDCWD, 1, 0, STATX_SIZE, 0)).toBe(-EFAULT);
    expect(call.call(dup, -1, 0, 0, 0, 0)).toBe(-EBADF);
  });

  test("hands arguments on whole that are doubles", () => {
    const doubles = new Float64Array([dup * 2, ring * 2]);
    for (let i = 0; i < 2000; i++) {
      const fd = call.call((doubles[0] as number) / 2, (doubles[1] as number) / 2, 0, 0, 0, 0);
      expect(fd).toBeGreaterThan(ring);
      expect(call.close(fd)).toBe(0);
    }
  });
});

describe("arguments, once the compilers have seen the call with small whole numbers only", () => {
  // The functions stand here, outside the loops, so that each is compiled with what it was given first.
  const waitFor = (fd: number, count: number, bytes: number): number => waitNoTime(fd, count, bytes);
  const count = (initial: number): string => {
    const fd = call.eventfd(initial, EFD_CLOEXEC);
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
    call.close(fd);
    return /^eventfd-count:\s+(\w+)$/m.exec(info)?.[1] ?? "none";
  };
  const flags = (bits: number): number => call.enter(ring, 0, 0, bits, 0, 0);
  const shut = (fd: number): number => call.close(fd);

  beforeAll(() => {
    for (let i = 0; i < WARM; i++) flags(0);
    for (let i = 0; i < WARM; i++) shut(-1);
    for (let i = 0; i < WARM / 20; i++) call.close(call.eventfd(i & 7, EFD_CLOEXEC));
    for (let i = 0; i < WARM / 20; i++) waitFor(ring, 1, 24);
  }, 60_000);

  test("past 2^31 arrive whole", () => {
    expect(flags(2 ** 31)).toBe(-EINVAL);
    expect(count(2 ** 31)).toBe("80000000");
    expect(count(2 ** 32 - 2)).toBe("fffffffe");
  });

  test("from a Float64Array arrive whole", () => {
    const doubles = new Float64Array([ring, 1, 24, 7, 2 ** 31, -1]);
    expect(waitFor(doubles[0] as number, doubles[1] as number, doubles[2] as number)).toBe(-ETIME);
    expect(count(doubles[3] as number)).toBe("7");
    expect(flags(doubles[4] as number)).toBe(-EINVAL);
    expect(shut(doubles[5] as number)).toBe(-EBADF);
    const descriptors = new Float64Array([call.eventfd(0, EFD_CLOEXEC)]);
    expect(shut(descriptors[0] as number)).toBe(0);
  });

  test("that are halves of something arrive whole", () => {
    const twice = [ring * 2, 2, 48];
    expect(waitFor((twice[0] as number) / 2, (twice[1] as number) / 2, (twice[2] as number) / 2)).toBe(-ETIME);
    for (let i = 2; i < 2000; i += 2) expect(count(i / 2)).toBe((i / 2).toString(16));
  });

  test("that are true arrive as 1", () => {
    expect(count(true as unknown as number)).toBe("1");
    expect(count(false as unknown as number)).toBe("0");
    // One completion is waited for and none comes; zero or seven would be another answer than time's up.
    expect(waitFor(ring, true as unknown as number, 24)).toBe(-ETIME);
  });

  test("of every call arrive whole as doubles", () => {
    const doubles = new Float64Array([PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0]);
    const map = (at: Float64Array): number => call.mmap(0, at[0]!, at[1]!, at[2]!, at[3]!, at[4]!);
    const flagged = new Float64Array([1, EFD_CLOEXEC, MADV_DONTFORK, MFD_CLOEXEC, IORING_REGISTER_PROBE, 256, 8]);
    const address = map(doubles);
    expect(flagsAt(address)).toBeDefined();
    expect(call.madvise(address, doubles[0]!, flagged[2]!)).toBe(0);
    expect(flagsAt(address)).toEqual(expect.arrayContaining(["rd", "wr", "dc"]));
    expect(call.register(ring, flagged[4]!, address, flagged[5]!)).toBe(0);
    expect(call.munmap(address, doubles[0]!)).toBe(0);
    const descriptors = new Float64Array([
      call.eventfd(flagged[0]!, flagged[1]!),
      call.memfd(addressOf(Buffer.from("x\0")), flagged[3]!),
      call.setup(flagged[6]!, cleared()),
    ]);
    expect(params.words[0]).toBe(8);
    for (const fd of descriptors) {
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toMatch(/^flags:\s+0?2\d{6}$/m);
      expect(call.close(fd)).toBe(0);
    }
    const offset = new Float64Array([8 * 64, 3, MAP_SHARED, ring, IORING_OFF_SQES]);
    const entries = map(offset);
    expect(entries).toBeGreaterThan(0);
    expect(call.munmap(entries, offset[0]!)).toBe(0);
  });

  test("that follow an argument of all ones arrive without its leftovers", () => {
    // The sixth argument of mmap is 64 bits wide, that of enter 32: where both lie on the stack, one lies on the other.
    for (let i = 0; i < 2000; i++) {
      expect(call.mmap(0, PAGE, PROT_READ, MAP_SHARED, -1, -PAGE)).toBeLessThan(0);
      expect(waitFor(ring, 1, 24)).toBe(-ETIME);
    }
  });
});

test("a thousand descriptors and mappings leave nothing behind", () => {
  const before = [descriptorCount(), mappingCount()];
  for (let i = 0; i < 1000; i++) {
    const fd = call.setup(4, cleared());
    const address = call.mmap(0, 4 * 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
    call.munmap(address, 4 * 64);
    call.close(fd);
  }
  expect(descriptorCount()).toBe(before[0] as number);
  // The engine maps memory of its own as it goes; a thousand leaked mappings would be seen.
  expect(mappingCount() - (before[1] as number)).toBeLessThan(100);
});

/** Zeroed io_uring_params. */
function cleared(): number {
  params.bytes.fill(0);
  return params.address;
}

function anonymous(length: number): number {
  return call.mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

function memoryFile(name: string): number {
  const bytes = Mapping.anonymous(PAGE);
  bytes.bytes.set(Buffer.from(`${name}\0`));
  const fd = call.memfd(bytes.address, MFD_CLOEXEC);
  bytes.close();
  expect(fd).toBeGreaterThanOrEqual(0);
  return fd;
}

/** Waits on a ring where nothing is under way, for no time at all: io_uring_getevents_arg with a timespec of zero. */
function waitNoTime(fd: number, minComplete: number, bytes: number): number {
  if (nothing === undefined) {
    nothing = Mapping.anonymous(PAGE);
    nothing.words[4] = nothing.address + 64;
    nothing.words[5] = (nothing.address + 64) * 2 ** -32;
  }
  return call.enter(fd, 0, minComplete, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, nothing.address, bytes);
}

let nothing: Mapping | undefined;

/** Queues `queued` NOPs on a ring of its own and submits `submitted` of them: what enter() answered. */
function nops(queued: number, submitted: number): number {
  const own = Mapping.anonymous(PAGE);
  const fd = call.setup(8, own.address);
  const [tail, array] = [(own.words[11] as number) >>> 2, (own.words[16] as number) >>> 2];
  const queue = Mapping.ofDescriptor(fd, 0, PAGE);
  for (let i = 0; i < queued; i++) queue.words[array + i] = i;
  queue.words[tail] = queued;
  const answer = call.enter(fd, submitted, 0, 0, 0, 0);
  queue.close();
  own.close();
  expect(call.close(fd)).toBe(0);
  return answer;
}
