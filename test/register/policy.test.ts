/** Restrictions, credentials, workers: what requests may do, as whom, and where. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, readFileSync, writeSync } from "node:fs";
import {
  BufferPool,
  BufferRing,
  EACCES,
  EINVAL,
  EPERM,
  IORING_OP_NOP,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_REGISTER_BUFFERS,
  IORING_UNREGISTER_BUFFERS,
  IOSQE_ASYNC,
  IOSQE_FIXED_FILE,
  IOSQE_IO_LINK,
  type Restrictions,
  Ring,
  type WorkerLimits,
} from "../../src/index.ts";
import { report } from "../support/child.ts";
import { complete, several } from "../support/complete.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needsThat } from "../support/kernel.ts";
import { deferred, hasRegistration, needsRegister } from "./support.ts";

const scratch = scratchDirectory();
const own = pipe(scratch);
afterAll(() => [own.read, own.write].forEach((fd) => closeSync(fd)));

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;

const isRoot = process.geteuid?.() === 0;

/** A ring at work under restrictions. */
function restricted(restrictions: Restrictions, options: object = {}): Ring {
  const ring = new Ring(8, { ...options, rDisabled: true });
  ring.registerRestrictions(restrictions);
  ring.enableRings();
  return ring;
}

/** What a NOP with these flags completes with. */
function nop(ring: Ring, flags: number): number {
  ring.prepNop().flags(flags);
  return complete(ring);
}

/** What a read from the pipe completes with. */
function read(ring: Ring): number {
  writeSync(own.write, "x");
  ring.prepRead(own.read, kept(Buffer.alloc(1)), 0);
  return complete(ring);
}

const restricting = needsRegister(["IORING_REGISTER_RESTRICTIONS", "IORING_REGISTER_ENABLE_RINGS"]);
const denied = expect.objectContaining({ errno: -EACCES });

describe("registerRestrictions()", () => {
  restricting("refuses the operations that are not listed, whatever the kernel makes of a list", () => {
    using ring = restricted({ sqeOps: [IORING_OP_NOP], registerOps: "all", sqeFlagsAllowed: "all" });
    expect([nop(ring, 0), nop(ring, IOSQE_ASYNC), read(ring)]).toEqual([0, 0, -EACCES]);
    // Registrations are another matter.
    ring.registerBuffers([Buffer.alloc(8)]);
    ring.unregisterBuffers();
  });

  restricting("refuses the registrations that are not listed", () => {
    using ring = restricted({ sqeOps: "all", registerOps: [IORING_REGISTER_BUFFERS], sqeFlagsAllowed: "all" });
    ring.registerBuffers([Buffer.alloc(8)]);
    expect(() => ring.unregisterBuffers()).toThrow(denied);
    expect(() => ring.registerFilesSparse(1)).toThrow(denied);
    expect([nop(ring, 0), read(ring)]).toEqual([0, 1]);
  });

  restricting("refuses everything of a kind of which nothing is listed", () => {
    using ring = restricted({ sqeOps: [IORING_OP_NOP] });
    expect(() => ring.registerBuffers([Buffer.alloc(8)])).toThrow(denied);
    expect([nop(ring, 0), nop(ring, IOSQE_ASYNC)]).toEqual([0, -EACCES]);
    using other = restricted({ registerOps: [IORING_REGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS] });
    other.registerBuffers([Buffer.alloc(8)]);
    other.unregisterBuffers();
    expect(nop(other, 0)).toBe(-EACCES);
    using nothing = restricted({});
    expect(() => nothing.registerBuffers([Buffer.alloc(8)])).toThrow(denied);
    expect([nop(nothing, 0), read(nothing)]).toEqual([-EACCES, -EACCES]);
  });

  restricting("demands flags, and allows no others", () => {
    using ring = restricted({
      sqeOps: [IORING_OP_NOP],
      sqeFlagsRequired: IOSQE_FIXED_FILE,
      sqeFlagsAllowed: IOSQE_ASYNC,
    });
    expect(nop(ring, 0)).toBe(-EACCES);
    expect(nop(ring, IOSQE_ASYNC)).toBe(-EACCES);
    expect(nop(ring, IOSQE_FIXED_FILE)).toBe(0);
    expect(nop(ring, IOSQE_FIXED_FILE | IOSQE_ASYNC)).toBe(0);
    expect(nop(ring, IOSQE_FIXED_FILE | IOSQE_IO_LINK)).toBe(-EACCES);
  });

  restricting("allows everything that the kernel has with all", () => {
    using ring = restricted({ sqeOps: "all", registerOps: "all", sqeFlagsAllowed: "all" });
    expect([nop(ring, 0), nop(ring, IOSQE_ASYNC), read(ring)]).toEqual([0, 0, 1]);
    ring.registerBuffers([Buffer.alloc(8)]);
    ring.registerFilesSparse(2);
    if (hasRegistration("IORING_REGISTER_SYNC_CANCEL")) expect(ring.registerSyncCancel({ any: true })).toBe(0);
  });

  restricting("holds on a deferred ring, and among several entries", () => {
    using ring = restricted({ sqeOps: [IORING_OP_NOP] }, hasRegistration("IORING_SETUP_DEFER_TASKRUN") ? deferred : {});
    ring.prepNop().userData(1);
    ring.prepRead(own.read, kept(Buffer.alloc(1)), 0).userData(2);
    ring.prepNop().userData(3);
    const seen = several(ring, 3).map(({ userData, res }) => [userData, res]);
    expect(seen.toSorted()).toEqual([
      [1, 0],
      [2, -EACCES],
      [3, 0],
    ]);
  });

  restricting("lets the ring be closed, with what was made on it and what is in flight", () => {
    const ring = new Ring(8, { rDisabled: true });
    const pool = new BufferPool(ring, { count: 1, size: 4096 });
    const provided = hasRegistration("IORING_REGISTER_PBUF_RING")
      ? new BufferRing(ring, { group: 1, entries: 2, size: 64 })
      : undefined;
    ring.registerRestrictions({ sqeOps: [IORING_OP_READ, IORING_OP_READ_FIXED] });
    ring.enableRings();
    const buffer = pool.take();
    if (buffer === null) throw new Error("the pool gave nothing");
    ring.prepReadFixed(own.read, buffer, 0, 0);
    ring.submit();
    expect(() => pool.close()).toThrow(denied);
    if (provided !== undefined) expect(() => provided.close()).toThrow(denied);
    expect(buffer.bytes.length).toBe(4096);
    const started = performance.now();
    ring.close();
    expect(performance.now() - started).toBeLessThan(5000);
    expect([ring.closed, buffer.bytes.length, provided?.bytes.length ?? 0]).toEqual([true, 0, 0]);
  });

  needsRegister(["IORING_REGISTER_RESTRICTIONS", "IORING_UNREGISTER_RING_FDS"])(
    "lets a ring that may not unregister anything give its index back all the same",
    () => {
      const ring = new Ring(8, { rDisabled: true });
      const index = ring.registerRingFd();
      ring.registerRestrictions({});
      ring.enableRings();
      ring.close();
      using other = new Ring(8);
      expect(other.registerRingFd()).toBe(index);
      if (!hasRegistration("IORING_SETUP_REGISTERED_FD_ONLY")) return;
      const nameless = new Ring(8, { noMmap: true, registeredFdOnly: true, rDisabled: true });
      const second = nameless.fd;
      nameless.registerRestrictions({});
      nameless.enableRings();
      nameless.close();
      using another = new Ring(8);
      expect(another.registerRingFd()).toBe(second);
    },
  );

  restricting("is done once, on a ring that is disabled", () => {
    using ring = new Ring(8, { rDisabled: true });
    ring.registerRestrictions({ sqeOps: [IORING_OP_NOP], registerOps: [IORING_REGISTER_BUFFERS] });
    expect(() => ring.registerRestrictions({ sqeOps: "all" })).toThrow(expect.objectContaining(state));
    ring.enableRings();
    expect(() => ring.registerRestrictions({ sqeOps: "all" })).toThrow(expect.objectContaining(state));
    using plain = new Ring(8);
    expect(() => plain.registerRestrictions({ sqeOps: "all" })).toThrow(expect.objectContaining(state));
  });

  restricting("says which list the kernel does not know, and leaves the ring free", () => {
    using ring = new Ring(8, { rDisabled: true });
    expect(() => ring.registerRestrictions({ sqeOps: [255] })).toThrow(expect.objectContaining({ errno: -EINVAL }));
    expect(() => ring.registerRestrictions({ registerOps: [255] })).toThrow(
      expect.objectContaining({ errno: -EINVAL }),
    );
    ring.enableRings();
    expect([nop(ring, IOSQE_ASYNC), read(ring)]).toEqual([0, 1]);
  });

  test("refuses what can be no restriction", () => {
    using ring = new Ring(8, { rDisabled: true });
    for (const wrong of [null, 1, "all"]) {
      expect(() => ring.registerRestrictions(wrong as Restrictions)).toThrow(expect.objectContaining(type));
    }
    for (const wrong of [{ sqeOps: 1 }, { registerOps: "some" }]) {
      expect(() => ring.registerRestrictions(wrong as unknown as Restrictions)).toThrow(expect.objectContaining(type));
    }
    for (const wrong of [
      { sqeOps: [256] },
      { registerOps: [-1] },
      { sqeFlagsAllowed: 256 },
      { sqeFlagsRequired: -1 },
    ]) {
      expect(() => ring.registerRestrictions(wrong)).toThrow(expect.objectContaining(value));
    }
  });
});

// The kernel that brought filters brought restrictions of tasks.
const tasks = needsRegister("IORING_REGISTER_BPF_FILTER");

describe("registerRestrictionsTask()", () => {
  tasks("restricts the rings that the thread makes afterwards, once", () => {
    expect(report<unknown>("../register/apart.ts", ["task restrictions"])).toEqual({
      before: [0, 0, 0],
      after: [0, 0, -EACCES, -EACCES],
      again: -EPERM,
    });
  });
});

describe("registerPersonality()", () => {
  needsThat(isRoot, "to be root, who can become somebody else")(
    "has requests done with the credentials of the moment, until it is unregistered",
    () => {
      expect(report<unknown>("../register/apart.ts", ["personality"])).toEqual({
        different: true,
        opened: [-EACCES, true, true],
        made: [true, true],
        owners: [65534, 0],
        gone: -EINVAL,
        again: -EINVAL,
      });
    },
  );

  test("refuses numbers that no personality has", () => {
    using ring = new Ring(4);
    expect(ring.registerPersonality()).toBeGreaterThan(0);
    for (const id of [-1, 65536, 1.5]) {
      expect(() => ring.unregisterPersonality(id)).toThrow(expect.objectContaining(value));
    }
    expect(() => ring.unregisterPersonality(9999)).toThrow(
      expect.objectContaining({ errno: -EINVAL, message: expect.stringContaining("9999 is not registered") }),
    );
  });
});

describe("registerIowqMaxWorkers()", () => {
  needsRegister("IORING_REGISTER_IOWQ_MAX_WORKERS")("limits the workers, and tells the limits before", () => {
    type Found = Record<"first" | "before" | "after" | "unchanged" | "last", WorkerLimits> & { count: number };
    const { first, count, ...limits } = report<Found>("../register/apart.ts", ["workers"]);
    expect(first.bounded).toBeGreaterThan(0);
    expect(limits).toEqual({
      before: first,
      after: { bounded: 3, unbounded: 2 },
      unchanged: { bounded: 3, unbounded: 2 },
      last: { bounded: 2, unbounded: 2 },
    });
    expect(count).toBe(2);
  });

  test("refuses limits that cannot be", () => {
    using ring = new Ring(4);
    for (const limits of [{ bounded: -1 }, { unbounded: 1.5 }, { bounded: 2 ** 31 }]) {
      expect(() => ring.registerIowqMaxWorkers(limits)).toThrow(expect.objectContaining(value));
    }
  });
});

describe("registerIowqAff()", () => {
  needsRegister(["IORING_REGISTER_IOWQ_AFF", "IORING_UNREGISTER_IOWQ_AFF"])(
    "starts workers on the processors that are listed, and anywhere once it is unregistered",
    () => {
      const anywhere = /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
      const { found, none } = report<{ found: string[][]; none: unknown }>("../register/apart.ts", ["affinity"]);
      expect(found.map((list) => list.toSorted())).toEqual([
        [anywhere],
        [anywhere, "0"].toSorted(),
        [anywhere, anywhere, "0"].toSorted(),
      ]);
      // Kernel: before 6.7 processors that are not there are taken, and mean nothing.
      expect([-EINVAL, undefined]).toContain(none as number);
    },
  );

  test("refuses what is no list of processors", () => {
    using ring = new Ring(4);
    expect(() => ring.registerIowqAff([])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerIowqAff([-1])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerIowqAff([8192])).toThrow(expect.objectContaining(value));
    expect(() => ring.registerIowqAff(0 as unknown as number[])).toThrow(expect.objectContaining(type));
  });
});
