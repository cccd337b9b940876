/** The same small suite over every shape of ring: queueing, submitting, waiting, reaping, reading, chains, wrapping. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  IORING_OP_NOP,
  IORING_OP_READ,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_SQ_AFF,
  IORING_SETUP_SQPOLL,
} from "../../src/abi/constants.gen.ts";
import { type Cqe, EINTR, Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { Mapping } from "../../src/memory.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { firstKernel, has, needs, needsThat } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";

const scratch = scratchDirectory();
const content = pattern(64 * 1024);
const fd = openFile(scratch, "content", content);

afterAll(() => closeSync(fd));

/** The user data of everything that is there to be reaped. */
function reap(ring: Ring): number[] {
  const seen: number[] = [];
  for (let cqe = ring.peekCqe(); cqe; cqe = ring.nextCqe()) {
    expect(cqe.res).toBeGreaterThanOrEqual(0);
    seen.push(cqe.userData);
  }
  return seen;
}

const upTo = (count: number, from: number = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

overLayouts((layout) => {
  test("NOPs come back once each and in order, round the queue many times", () => {
    using ring = ringOf(layout, 4);
    const { sqEntries } = ring.setup;
    expect(sqEntries).toBe(4);
    let next = 0;
    for (let round = 0; round < 40; round++) {
      const count = 1 + (round % sqEntries);
      for (let i = 0; i < count; i++) ring.prepNop().userData(next + i);
      const taken = ring.submitAndWait(count);
      // An SQPOLL thread that has not moved its head yet makes the queue look full, and a prep submits by itself.
      if ((ring.setup.flags & IORING_SETUP_SQPOLL) === 0) expect(taken).toBe(count);
      else expect(taken).toBeLessThanOrEqual(count);
      expect(reap(ring)).toEqual(upTo(count, next));
      next += count;
    }
    // Such a thread moves its head when it has dealt with all it took, and completions can be there before.
    for (let i = 0; (ring.setup.flags & IORING_SETUP_SQPOLL) !== 0 && ring.sqReady() > 0 && i < 1000; i++)
      Bun.sleepSync(2);
    expect([ring.sqReady(), ring.cqReady(), ring.cqDropped, ring.errno]).toEqual([0, 0, 0, 0]);
  });

  test("more prepared than fits is submitted on the way", () => {
    using ring = ringOf(layout, 4, { cqEntries: 64 });
    for (let i = 0; i < 19; i++) ring.prepNop().userData(i);
    ring.submitAndWait(19);
    expect(reap(ring)).toEqual(upTo(19));
  });

  test("a file is read to where the entry says", () => {
    using ring = ringOf(layout, 8);
    const buffers = upTo(8).map(() => Buffer.alloc(4096, 0xee));
    buffers.forEach((buffer, i) => ring.prepRead(fd, buffer, (7 - i) * 5000, 4000).userData(i));
    expect(ring.submitAndWait(8)).toBe(8);
    const results = new Map<number, number>();
    ring.forEachCqe((cqe) => results.set(cqe.userData, cqe.res));
    expect([...results.keys()].toSorted((a, b) => a - b)).toEqual(upTo(8));
    buffers.forEach((buffer, i) => {
      expect(results.get(i)).toBe(4000);
      expect(buffer.subarray(0, 4000).equals(content.subarray((7 - i) * 5000, (7 - i) * 5000 + 4000))).toBe(true);
      expect(buffer.subarray(4000).equals(Buffer.alloc(96, 0xee))).toBe(true);
    });
  });

  test("a chain runs in its order", () => {
    using ring = ringOf(layout, 4);
    const path = join(scratch, `chain-${layout.name}`.replaceAll(" ", "-"));
    const own = openSync(path, "w+");
    const read = Buffer.alloc(4);
    ring.reserve(3);
    ring
      .prepWrite(own, kept(Buffer.from("link")), 0)
      .userData(1)
      .link();
    ring.prepFsync(own).userData(2).link();
    ring.prepRead(own, read, 0).userData(3);
    ring.submitAndWait(3);
    expect(reap(ring)).toEqual([1, 2, 3]);
    expect(read.toString()).toBe("link");
    expect(readFileSync(path, "utf8")).toBe("link");
    closeSync(own);
  });

  test("a failing entry says so and the others go on", () => {
    using ring = ringOf(layout, 4);
    ring.prepNop().userData(1);
    ring.prepRead(-1, kept(Buffer.alloc(1)), 0).userData(2);
    ring.prepNop().userData(3);
    ring.submitAndWait(3);
    const results: Record<number, number> = {};
    ring.forEachCqe((cqe) => {
      results[cqe.userData] = cqe.res;
    });
    expect(results).toEqual({ 1: 0, 2: -9, 3: 0 });
  });

  test("a wait without work ends when its time is up", () => {
    using ring = ringOf(layout, 4);
    let elapsed = 0;
    let cqe: Cqe | null = null;
    // Once more where the engine interrupts: it stops this thread to look at its stack.
    for (let attempt = 0; attempt < 5; attempt++) {
      const before = performance.now();
      cqe = ring.submitAndWaitTimeout(1, 5);
      elapsed = performance.now() - before;
      if (ring.errno !== EINTR) break;
    }
    expect([cqe, ring.errno]).toEqual([null, 62]);
    expect(elapsed).toBeGreaterThanOrEqual(5);
    expect(ring.peekCqe()).toBeNull();
  });

  test("the probe knows the operations", () => {
    using ring = ringOf(layout, 4);
    expect([ring.supports(IORING_OP_NOP), ring.supports(IORING_OP_READ), ring.supports(255)]).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("setup tells the flags that are in force", () => {
    using ring = ringOf(layout, 4);
    const { options } = layout;
    const { flagNames, flags, cqEntries } = ring.setup;
    const on = (name: string): boolean => flagNames.includes(`IORING_SETUP_${name}`);
    const asked: [keyof RingOptions, string][] = [
      ["sqe128", "SQE128"],
      ["cqe32", "CQE32"],
      ["cqeMixed", "CQE_MIXED"],
      ["registeredFdOnly", "REGISTERED_FD_ONLY"],
      ["rDisabled", "R_DISABLED"],
      ["sqpoll", "SQPOLL"],
      ["noMmap", "NO_MMAP"],
      ["coopTaskrun", "COOP_TASKRUN"],
    ];
    for (const [option, name] of asked) {
      const wanted = options[option] !== undefined && options[option] !== false;
      if (wanted) expect(flagNames).toContain(`IORING_SETUP_${name}`);
      else if (options.flags === undefined) expect(flagNames).not.toContain(`IORING_SETUP_${name}`);
    }
    expect(on("CQSIZE")).toBe(options.cqEntries !== undefined);
    expect(cqEntries).toBe(options.cqEntries ?? 8);
    expect((flags & IORING_SETUP_SQ_AFF) !== 0).toBe(options.sqThreadCpu !== undefined);
    expect((flags & IORING_SETUP_SQPOLL) !== 0).toBe(on("SQPOLL"));
    if (options.modern === true) {
      expect(on("CLAMP")).toBe(true);
      expect([...ring.setup.dropped, ...flagNames]).toEqual(
        expect.arrayContaining(["IORING_SETUP_SUBMIT_ALL", "IORING_SETUP_NO_SQARRAY"]),
      );
    } else {
      expect(ring.setup.dropped).toEqual([]);
    }
  });
});

describe("attachWq", () => {
  test("shares workers with a ring and works on after it is closed", () => {
    const first = new Ring(4);
    using second = new Ring(4, { attachWq: first });
    using third = new Ring(4, { attachWq: first.fd });
    for (const ring of [first, second, third]) {
      // Asynchronous: it runs on the workers that are shared.
      ring
        .prepRead(fd, kept(Buffer.alloc(16)), 0)
        .userData(1)
        .async();
      ring.submitAndWait(1);
      expect(ring.peekCqe()?.res).toBe(16);
      ring.seenCqe();
    }
    first.close();
    second
      .prepRead(fd, kept(Buffer.alloc(16)), 0)
      .userData(2)
      .async();
    second.submitAndWait(1);
    expect(second.peekCqe()?.res).toBe(16);
  });

  test("shares an SQPOLL thread", async () => {
    const thread = async (ring: Ring): Promise<number> => {
      for (let attempt = 0; attempt < 1000; attempt++) {
        const info = readFileSync(`/proc/self/fdinfo/${ring.fd}`, "utf8");
        const id = Number(/^SqThread:\s+(\d+)$/m.exec(info)?.[1]);
        // Kernel: it says -1 while the thread is at work, and our own number until it has started.
        if (id > 0 && id !== process.pid) return id;
        await Bun.sleep(1);
      }
      return 0;
    };
    using first = new Ring(4, { sqpoll: true });
    using second = new Ring(4, { sqpoll: true, attachWq: first });
    using alone = new Ring(4, { sqpoll: true });
    const id = await thread(first);
    expect(id).toBeGreaterThan(0);
    expect(await thread(second)).toBe(id);
    expect([0, id]).not.toContain(await thread(alone));
    for (const ring of [first, second, alone]) {
      ring.prepNop().userData(5);
      ring.submitAndWait(1);
      expect(reap(ring)).toEqual([5]);
    }
  });
});

/** A block device's answer to polling; a file system on it must be opened without the page cache. */
function polls(): boolean {
  const path = join(scratch, "direct");
  try {
    openFile(scratch, "direct", content);
    const direct = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
    const memory = Mapping.anonymous(4096);
    using ring = new Ring(4, { iopoll: true });
    ring.prepRead(direct, memory, 0);
    ring.submitAndWait(1);
    const res = ring.peekCqe()?.res;
    closeSync(direct);
    memory.close();
    return res === 4096;
  } catch {
    return false;
  }
}

const polling = needsThat(polls(), "a block device with polling queues under the temporary directory");

/** What a NOP on a polled ring answers. */
function polledNop(): number | undefined {
  using ring = new Ring(1, { iopoll: true });
  ring.prepNop();
  ring.submitAndWait(1);
  return ring.peekCqe()?.res;
}

// Kernel: a polled ring takes a NOP from 6.0 on, which is also when it has SINGLE_ISSUER.
const nops = needs("IORING_SETUP_SINGLE_ISSUER", () => polledNop() === 0);

function polledRing(options: RingOptions): void {
  const open = (): Ring => new Ring(8, options);
  nops("NOPs come back once each and in order", () => {
    using ring = open();
    expect(ring.setup.flags & IORING_SETUP_IOPOLL).toBe(IORING_SETUP_IOPOLL);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 5; i++) ring.prepNop().userData(i);
      ring.submitAndWait(5);
      expect(reap(ring)).toEqual(upTo(5));
    }
  });

  test("what cannot be polled is refused by its completion", () => {
    using ring = open();
    ring.prepRead(fd, kept(Buffer.alloc(16)), 0).userData(9);
    ring.submitAndWait(1);
    expect(ring.peekCqe()?.userData).toBe(9);
    // EOPNOTSUPP from 5.1 on, EINVAL where the operation cannot be polled at all.
    expect([-95, -22]).toContain(ring.peekCqe()?.res as number);
  });

  polling("direct reads are polled for", () => {
    const direct = openSync(join(scratch, "direct"), constants.O_RDONLY | constants.O_DIRECT);
    const memory = Mapping.anonymous(8 * 4096);
    using ring = open();
    for (let i = 0; i < 8; i++) ring.prepRead(direct, memory.address + i * 4096, i * 4096, 4096).userData(i);
    ring.submitAndWait(8);
    // All are not waited for: while some wait to be reaped, the kernel polls for no others.
    const seen = reap(ring);
    while (seen.length < 8 && ring.waitCqes(8 - seen.length) !== null) seen.push(...reap(ring));
    expect(seen.toSorted((a, b) => a - b)).toEqual(upTo(8));
    expect(Buffer.from(memory.bytes).equals(content.subarray(0, 8 * 4096))).toBe(true);
    memory.close();
    closeSync(direct);
  });

  polling("a wait ends with what is there, though it be less than was asked for", () => {
    const direct = openSync(join(scratch, "direct"), constants.O_RDONLY | constants.O_DIRECT);
    const memory = Mapping.anonymous(2 * 4096);
    using ring = new Ring(8, { iopoll: true, ...options, sqpoll: false });
    ring.prepRead(direct, memory.address, 0, 4096).userData(1);
    ring.submitAndWait(1);
    ring.prepRead(direct, memory.address + 4096, 4096, 4096).userData(2);
    expect(ring.submitAndWait(2)).toBe(1);
    expect(reap(ring)).toEqual([1]);
    expect(ring.waitCqes(1)?.userData).toBe(2);
    memory.close();
    closeSync(direct);
  });
}

describe("on a ring that is iopoll", () => polledRing({ iopoll: true }));
describe("on a ring that is modern with iopoll", () => polledRing({ modern: true, iopoll: true }));
describe("on a ring that is iopoll with sqpoll", () => polledRing({ iopoll: true, sqpoll: true }));
if (has("IORING_SETUP_HYBRID_IOPOLL")) {
  describe("on a ring that is iopoll with hybridIopoll", () => polledRing({ iopoll: true, hybridIopoll: true }));
} else {
  const lacking = `needs IORING_SETUP_HYBRID_IOPOLL, Linux ${firstKernel("IORING_SETUP_HYBRID_IOPOLL")}`;
  describe.skip(`on a ring that is iopoll with hybridIopoll (${lacking})`, () => polledRing({ iopoll: true }));
}
