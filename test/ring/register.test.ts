/** What a ring tells the kernel about itself: eventfds, its registered index; and what it asks: probe, features, the raw call. */
import { describe, expect, test } from "bun:test";
import { closeSync, readFileSync, readSync, writeSync } from "node:fs";
import {
  EAGAIN,
  EINVAL,
  IORING_ENTER_REGISTERED_RING,
  IO_URING_OP_SUPPORTED,
  IORING_FEAT_NODROP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OP_LAST,
  IORING_OP_NOP,
  IORING_REGISTER_PROBE,
  Mapping,
  Ring,
} from "../../src/index.ts";
import operations from "../../operations.json";
import { syscalls } from "../../syscall/shim.ts";
import { complete } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needsThat } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { patience } from "../support/patience.ts";

const scratch = scratchDirectory();
const EFD_NONBLOCK = 0o4000;
const state = { name: "Error", code: "ERR_URING_STATE" } as const;

/** A counter that starts at 0 and never blocks. */
function makeEventfd(): number {
  const fd = syscalls().eventfd(0, EFD_NONBLOCK);
  expect(fd).toBeGreaterThan(0);
  return fd;
}

/** How often the counter was signalled since it was asked last. */
function signals(fd: number): number {
  const bytes = new BigUint64Array(1);
  try {
    readSync(fd, new Uint8Array(bytes.buffer));
  } catch (error) {
    expect((error as { errno: number }).errno).toBe(-EAGAIN);
  }
  return Number(bytes[0]);
}

describe("registerEventfd()", () => {
  overLayouts(
    (layout) => {
      test("signals every completion, until it is unregistered", () => {
        using ring = ringOf(layout, 8);
        const fd = makeEventfd();
        ring.registerEventfd(fd);
        expect(signals(fd)).toBe(0);
        for (let i = 0; i < 3; i++) {
          ring.prepNop();
          ring.submitAndWait(1);
          ring.cqAdvance(1);
        }
        // The kernel may signal once for several that it posts together.
        expect(signals(fd)).toBeGreaterThanOrEqual(1);
        ring.unregisterEventfd();
        // A polling thread posts a completion, and signals it a little later.
        const rest = (): void => Bun.sleepSync(layout.name === "sqpoll" ? 20 * patience : 0);
        rest();
        signals(fd);
        ring.prepNop();
        ring.submitAndWait(1);
        rest();
        expect(signals(fd)).toBe(0);
        ring.registerEventfd(fd);
        ring.prepNop();
        ring.submitAndWait(2);
        expect(signals(fd)).toBeGreaterThanOrEqual(1);
        closeSync(fd);
      });

      test("signals what happens later too", async () => {
        using ring = ringOf(layout, 8);
        const fd = makeEventfd();
        const own = pipe(scratch);
        ring.registerEventfd(fd);
        ring.prepRead(own.read, kept(Buffer.alloc(8)), 0).userData(4);
        ring.submit();
        expect(signals(fd)).toBe(0);
        writeSync(own.write, "later");
        let count = 0;
        for (let i = 0; i < 500 && count === 0; i++) {
          await Bun.sleep(1);
          count = signals(fd);
        }
        expect(count).toBeGreaterThanOrEqual(1);
        expect(complete(ring)).toBe(5);
        for (const open of [fd, own.read, own.write]) closeSync(open);
      });
    },
    ["plain", "deferTaskrun", "modern", "coopTaskrun with taskrunFlag", "sqpoll", "registeredFdOnly"],
  );

  test("can be silenced and heard again", () => {
    using ring = new Ring(8);
    const fd = makeEventfd();
    ring.registerEventfd(fd);
    expect(ring.cqEventfdEnabled).toBe(true);
    ring.cqEventfdEnabled = false;
    ring.prepNop();
    ring.submitAndWait(1);
    expect([ring.cqEventfdEnabled, signals(fd)]).toEqual([false, 0]);
    ring.cqEventfdEnabled = true;
    ring.prepNop();
    ring.submitAndWait(2);
    expect([ring.cqEventfdEnabled, signals(fd)]).toEqual([true, 1]);
    closeSync(fd);
  });

  test("is refused twice, unregisterEventfd() without one, and what is no eventfd", () => {
    using ring = new Ring(4);
    const fd = makeEventfd();
    expect(() => ring.unregisterEventfd()).toThrow(expect.objectContaining(state));
    for (const [bad, code] of [
      [1_000_000, "EBADF"],
      [1.5, "ERR_URING_ARG_VALUE"],
      ["1", "ERR_URING_ARG_TYPE"],
    ] as const) {
      expect(() => ring.registerEventfd(bad as number)).toThrow(expect.objectContaining({ code }));
    }
    const file = pipe(scratch);
    expect(() => ring.registerEventfd(file.read)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "IORING_REGISTER_EVENTFD" }),
    );
    ring.registerEventfd(fd);
    expect(() => ring.registerEventfd(fd)).toThrow(expect.objectContaining(state));
    expect(() => ring.registerEventfdAsync(fd)).toThrow(expect.objectContaining(state));
    ring.prepNop();
    ring.submitAndWait(1);
    expect(signals(fd)).toBe(1);
    for (const open of [fd, file.read, file.write]) closeSync(open);
  });
});

describe("registerEventfdAsync()", () => {
  test("signals only what did not complete within the submission", () => {
    using ring = new Ring(8);
    const fd = makeEventfd();
    const own = pipe(scratch);
    ring.registerEventfdAsync(fd);
    ring.prepNop();
    ring.submitAndWait(1);
    expect(signals(fd)).toBe(0);
    ring.cqAdvance(1);
    // On a worker, which is never within the submission.
    writeSync(own.write, "x");
    ring.prepRead(own.read, kept(Buffer.alloc(1)), 0).async();
    ring.submitAndWait(1);
    const until = performance.now() + 2000;
    let count = 0;
    while (count === 0 && performance.now() < until) count = signals(fd);
    expect(count).toBe(1);
    ring.unregisterEventfd();
    for (const open of [fd, own.read, own.write]) closeSync(open);
  });
});

/** Whether this kernel registers rings, 5.18. */
const registersRings = ((): boolean => {
  using ring = new Ring(1);
  try {
    return ring.registerRingFd() >= 0;
  } catch {
    return false;
  }
})();
const registering = needsThat(registersRings, "IORING_REGISTER_RING_FDS, Linux 5.18");

describe("registerRingFd()", () => {
  overLayouts(
    (layout) => {
      registering("names the ring by an index, and everything goes on", () => {
        using ring = ringOf(layout, 4);
        expect(ring.ringFdRegistered).toBe(false);
        const index = ring.registerRingFd();
        expect(index).toBeGreaterThanOrEqual(0);
        expect(index).toBeLessThan(16);
        expect(ring.ringFdRegistered).toBe(true);
        ring.prepNop();
        expect(complete(ring)).toBe(0);
        expect(() => ring.registerRingFd()).toThrow(expect.objectContaining(state));
        ring.unregisterRingFd();
        expect(ring.ringFdRegistered).toBe(false);
        ring.prepNop();
        expect(complete(ring)).toBe(0);
        expect(() => ring.unregisterRingFd()).toThrow(expect.objectContaining(state));
      });
    },
    ["plain", "sqpoll", "modern", "noMmap"],
  );

  registering("is what io_uring_enter goes by from then on", () => {
    const system = syscalls() as { enter: ReturnType<typeof syscalls>["enter"] };
    const enter = system.enter;
    const named: [number, boolean][] = [];
    system.enter = (fd, toSubmit, minComplete, flags, arg, size) => {
      named.push([fd, (flags & IORING_ENTER_REGISTERED_RING) !== 0]);
      return enter(fd, toSubmit, minComplete, flags, arg, size);
    };
    try {
      using ring = new Ring(4);
      ring.prepNop();
      ring.submitAndWait(1);
      const index = ring.registerRingFd();
      ring.prepNop();
      ring.submitAndWait(2);
      ring.waitCqes(3, 0);
      ring.unregisterRingFd();
      ring.getEvents();
      expect(named).toEqual([
        [ring.fd, false],
        [index, true],
        [index, true],
        [ring.fd, false],
      ]);
    } finally {
      system.enter = enter;
    }
  });

  registering("gives the index back when the ring is closed; past the last one it is EBUSY", () => {
    /** Registers new rings until the kernel has no index left; how many it had. */
    const exhaust = (): number => {
      const rings: Ring[] = [];
      try {
        for (;;) {
          const ring = new Ring(1);
          rings.push(ring);
          ring.registerRingFd();
        }
      } catch (error) {
        expect(error).toMatchObject({ code: "EBUSY", syscall: "IORING_REGISTER_RING_FDS" });
        // Refused, the last one still goes by its descriptor.
        const last = rings.at(-1) as Ring;
        last.prepNop();
        expect([last.ringFdRegistered, complete(last)]).toEqual([false, 0]);
        return rings.length - 1;
      } finally {
        for (const ring of rings) ring.close();
      }
    };
    const first = exhaust();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(16);
    expect([exhaust(), exhaust()]).toEqual([first, first]);
  });

  overLayouts(
    (layout) => {
      test("is refused to a ring that has an index and no descriptor", () => {
        using ring = ringOf(layout, 4);
        expect(() => ring.registerRingFd()).toThrow(expect.objectContaining(state));
        expect(() => ring.unregisterRingFd()).toThrow(expect.objectContaining(state));
        ring.prepNop();
        expect(complete(ring)).toBe(0);
      });
    },
    ["registeredFdOnly"],
  );
});

describe("register()", () => {
  test("is the raw call: its result, or an error with the opcode", () => {
    using ring = new Ring(4);
    const answer = new Uint8Array(16 + 8 * 256);
    expect(ring.register(IORING_REGISTER_PROBE, answer, 256)).toBe(0);
    expect(answer[0]).toBe(ring.probe().lastOp);
    expect(() => ring.register(0x7ff, 0, 0)).toThrow(
      expect.objectContaining({ name: "UringError", code: "EINVAL", errno: -EINVAL }),
    );
    expect(() => ring.register(0x7ff, 0, 0)).toThrow(/opcode 2047/);
  });

  test("takes addresses and located memory as well", () => {
    using ring = new Ring(4);
    const memory = Mapping.anonymous(4096);
    expect(ring.register(IORING_REGISTER_PROBE, memory.address, 256)).toBe(0);
    const last = memory.bytes[0] as number;
    expect(last).toBeGreaterThan(0);
    memory.bytes.fill(0);
    expect(ring.register(IORING_REGISTER_PROBE, memory, 256)).toBe(0);
    expect(memory.bytes[0]).toBe(last);
    memory.close();
  });
});

describe("probe() and supports()", () => {
  /** The kernel's own words, read without the library's Probe. */
  const raw = (): { last: number; flags: number[] } => {
    const fd = openRing();
    const memory = Mapping.anonymous(4096);
    expect(syscalls().register(fd, IORING_REGISTER_PROBE, memory.address, 256)).toBe(0);
    const last = memory.bytes[0] as number;
    const flags = Array.from(
      { length: 256 },
      (_, op) => (memory.bytes[16 + op * 8 + 2] as number) & IO_URING_OP_SUPPORTED,
    );
    memory.close();
    closeSync(fd);
    return { last, flags };
  };
  /** A ring of the bare system call. */
  const openRing = (): number => {
    const params = Mapping.anonymous(4096);
    const fd = syscalls().setup(1, params.address);
    params.close();
    return fd;
  };

  test("agree with the kernel on every operation", () => {
    using ring = new Ring(1);
    const { last, flags } = raw();
    expect(ring.probe().lastOp).toBe(last);
    expect(Array.from({ length: 256 }, (_, op) => ring.supports(op))).toEqual(flags.map((flag) => flag !== 0));
    expect(ring.probe()).toBe(ring.probe());
  });

  test("agree with what a request of each operation is answered", () => {
    using ring = new Ring(1);
    for (const { opcode, name } of operations.operations) {
      if (opcode >= IORING_OP_LAST || ring.supports(opcode)) continue;
      // An operation that is there may refuse as well; one that is not always does.
      ring.getSqe().word(0, opcode).word(1, -1);
      expect([name, complete(ring)]).toEqual([name, -EINVAL]);
    }
    expect(ring.supports(IORING_OP_NOP)).toBe(true);
    ring.getSqe().word(0, IORING_OP_NOP);
    expect(complete(ring)).toBe(0);
  });

  test.each([-1, 256, 1.5, Number.NaN, "1" as unknown as number])("refuse to be asked for %p", (op) => {
    using ring = new Ring(1);
    expect(() => ring.supports(op)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }),
    );
  });
});

describe("hasFeature()", () => {
  test("tells whether all of the bits are there", () => {
    using ring = new Ring(1);
    const { features } = ring.setup;
    // Every kernel that the library runs on has these.
    expect(ring.hasFeature(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP)).toBe(true);
    expect(features & (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP)).not.toBe(0);
    expect([ring.hasFeature(features), ring.hasFeature(0)]).toEqual([true, true]);
    for (let bit = 0; bit < 31; bit++) expect(ring.hasFeature(2 ** bit)).toBe((features & (2 ** bit)) !== 0);
    expect(ring.hasFeature(IORING_FEAT_NODROP | (2 ** 30))).toBe(false);
  });

  test("agrees with what /proc says of the ring's size", () => {
    using ring = new Ring(32, { cqEntries: 128 });
    const info = readFileSync(`/proc/self/fdinfo/${ring.fd}`, "utf8");
    expect(ring.setup).toMatchObject({ sqEntries: 32, cqEntries: 128 });
    // Kernel: what this file has differs from version to version; the masks have been there from 5.19 on.
    const mask = (name: string): string | undefined => new RegExp(`^${name}:\\s+(0x[0-9a-f]+)$`, "m").exec(info)?.[1];
    expect(["0x1f", undefined]).toContain(mask("SqMask"));
    expect(["0x7f", undefined]).toContain(mask("CqMask"));
  });
});
