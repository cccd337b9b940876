/** Busy polling, and zero-copy receive: with a card where there is one, without where the kernel can. */
import { describe, expect, test } from "bun:test";
import { closeSync, readFileSync } from "node:fs";
import {
  EEXIST,
  EINVAL,
  ENODEV,
  ENOENT,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  registerQuery,
  Ring,
  ZCRX_CTRL_FLUSH_RQ,
  ZCRX_EVENT_COPY,
  ZCRX_REG_NODEV,
  type ZcrxOptions,
  type ZcrxQueue,
} from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { connection, sockets } from "../support/net.ts";
import { needs, needsThat } from "../support/kernel.ts";
import { deferred, hasRegistration, needsRegister } from "./support.ts";

const state = { name: "Error", code: "ERR_URING_STATE" } as const;
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;

const polling = needsRegister(["IORING_REGISTER_NAPI", "IORING_UNREGISTER_NAPI"]);

/** Whether queues can be named one by one (6.13). */
function tracksStatically(): boolean {
  using ring = new Ring(1);
  try {
    ring.registerNapi({ tracking: "static" });
    return true;
  } catch {
    return false;
  }
}
const tracking = needs("IO_URING_NAPI_TRACKING_STATIC", tracksStatically);

/** What no device of this machine has, and a kernel takes for an id all the same. */
const NAPI_ID = 1_000_000;

describe("registerNapi()", () => {
  polling("tells the settings before, and waits still end in time", () => {
    using ring = new Ring(8);
    const usual = ring.registerNapi({ busyPollUsec: 50, preferBusyPoll: true });
    expect(usual).toMatchObject({ preferBusyPoll: false });
    expect(ring.registerNapi({ busyPollUsec: 20 })).toMatchObject({ busyPollUsec: 50, preferBusyPoll: true });
    expect(ring.registerNapi({})).toMatchObject({ busyPollUsec: 20, preferBusyPoll: false });
    expect(ring.submitAndWaitTimeout(1, 10)).toBeNull();
    ring.prepNop().userData(4);
    expect(ring.submitAndWaitTimeout(1, 2000)?.userData).toBe(4);
  });

  polling("is ended, and then is as it was", () => {
    using ring = new Ring(8);
    ring.registerNapi({ busyPollUsec: 70, preferBusyPoll: true });
    expect(ring.unregisterNapi()).toEqual({ busyPollUsec: 70, preferBusyPoll: true });
    expect(ring.unregisterNapi()).toEqual({ busyPollUsec: 0, preferBusyPoll: false });
  });

  tracking("takes queues by their ids, each once", () => {
    using ring = new Ring(8);
    expect(ring.registerNapi({ busyPollUsec: 10, tracking: "static" }).tracking).toBe("inactive");
    ring.napiAddId(NAPI_ID);
    expect(() => ring.napiAddId(NAPI_ID)).toThrow(
      expect.objectContaining({ errno: -EEXIST, message: expect.stringContaining("polled already") }),
    );
    ring.napiAddId(NAPI_ID + 1);
    // Nobody polls such a queue, and nobody waits for it.
    expect(ring.submitAndWaitTimeout(1, 5)).toBeNull();
    ring.napiDeleteId(NAPI_ID);
    expect(() => ring.napiDeleteId(NAPI_ID)).toThrow(expect.objectContaining({ errno: -ENOENT }));
    ring.napiAddId(NAPI_ID);
    expect(() => ring.napiAddId(0)).toThrow(expect.objectContaining({ errno: -EINVAL }));
    expect(ring.registerNapi({}).tracking).toBe("static");
    expect(() => ring.napiAddId(NAPI_ID)).toThrow(
      expect.objectContaining({ errno: -EINVAL, message: expect.stringContaining('not "static"') }),
    );
  });

  polling("is refused to a ring that polls its completions", () => {
    using ring = new Ring(8, { iopoll: true });
    expect(() => ring.registerNapi({ busyPollUsec: 1 })).toThrow(expect.objectContaining({ errno: -EINVAL }));
  });

  test("refuses settings and ids that cannot be", () => {
    using ring = new Ring(8);
    for (const busyPollUsec of [-1, 1.5, 2 ** 31]) {
      expect(() => ring.registerNapi({ busyPollUsec })).toThrow(expect.objectContaining(value));
    }
    expect(() => ring.registerNapi({ tracking: "inactive" })).toThrow(expect.objectContaining(value));
    expect(() => ring.registerNapi({ busyPollUsec: "1" as unknown as number })).toThrow(expect.objectContaining(type));
    expect(() => ring.napiAddId(-1)).toThrow(expect.objectContaining(value));
    expect(() => ring.napiDeleteId(2 ** 32)).toThrow(expect.objectContaining(value));
  });
});

const receiving: RingOptions = { ...deferred, cqe32: true };
const registering = needsRegister("IORING_REGISTER_ZCRX_IFQ");
const isRoot = process.geteuid?.() === 0;

/** What is asked for: 64 pages, given back through 64 entries. */
const options: ZcrxOptions = { noDevice: true, rqEntries: 64, areaBytes: 64 * 4096 };

/** The number of the loopback interface. */
function loopback(): number {
  return Number(readFileSync("/sys/class/net/lo/ifindex", "utf8"));
}

describe("registerIfq()", () => {
  registering("is understood by the kernel as far as the interface, which cannot be had or is not there", () => {
    using ring = new Ring(8, receiving);
    const card = { rqEntries: 64, areaBytes: 64 * 4096, queue: 0 };
    const refused = isRoot ? [-EOPNOTSUPP, -EINVAL] : [-EPERM];
    const refusal = (interfaceIndex: number): number => {
      try {
        ring.registerIfq({ ...card, interfaceIndex });
        return 0;
      } catch (error) {
        return (error as { errno: number }).errno;
      }
    };
    expect(isRoot ? [-ENODEV] : [-EPERM]).toContain(refusal(99_999));
    // Loopback has receive queues, and no driver that could give one away.
    expect(refused).toContain(refusal(loopback()));
    // Nothing of it is left: the ring works, and ends.
    ring.prepNop().userData(1);
    expect(ring.submitAndWaitTimeout(1, 2000)?.userData).toBe(1);
  });

  test("refuses rings that cannot receive so", () => {
    for (const shape of [{}, deferred, { cqe32: true }]) {
      using ring = new Ring(8, hasRegistration("IORING_SETUP_DEFER_TASKRUN") ? shape : {});
      expect(() => ring.registerIfq(options)).toThrow(expect.objectContaining(state));
      expect(() => ring.importIfq(0)).toThrow(expect.objectContaining(state));
    }
  });

  needsRegister(["IORING_SETUP_DEFER_TASKRUN", "IORING_SETUP_CQE32"])("refuses queues that cannot be", () => {
    using ring = new Ring(8, receiving);
    for (const wrong of [
      { noDevice: false },
      { interfaceIndex: 1 },
      { queue: 0 },
      { noDevice: false, interfaceIndex: 1 },
      { rqEntries: 0 },
      { rqEntries: 32769 },
      { areaBytes: 0 },
      { areaBytes: 1.5 },
      { rxBufBytes: -1 },
      { dmabufFd: 1.5 },
      { events: { userData: -1, types: [] } },
      { events: { userData: 1, types: [32] } },
    ]) {
      expect(() => ring.registerIfq({ ...options, ...wrong })).toThrow(expect.objectContaining(value));
    }
    expect(() => ring.importIfq(1.5)).toThrow(expect.objectContaining(value));
    expect(() => ring.registerZcrxCtrl(-1, 0)).toThrow(expect.objectContaining(value));
    expect(() => ring.registerZcrxCtrl(0, ZCRX_CTRL_FLUSH_RQ, new Int32Array(3))).toThrow(
      expect.objectContaining(value),
    );
  });

  needsRegister("IORING_REGISTER_ZCRX_CTRL")("controls only queues that are there", () => {
    using ring = new Ring(8, receiving);
    expect(() => ring.registerZcrxCtrl(7, ZCRX_CTRL_FLUSH_RQ)).toThrow(
      expect.objectContaining({ errno: -ENXIO, message: expect.stringContaining("no receive queue 7") }),
    );
    expect(() => ring.importIfq(0)).toThrow(expect.objectContaining({ name: "UringError" }));
  });

  needsThat(
    !hasRegistration("IORING_REGISTER_ZCRX_CTRL"),
    "a kernel without IORING_REGISTER_ZCRX_CTRL, before Linux 6.19",
  )("says that the kernel has no control", () => {
    using ring = new Ring(8);
    expect(() => ring.registerZcrxCtrl(0, ZCRX_CTRL_FLUSH_RQ)).toThrow(
      expect.objectContaining({ errno: -EINVAL, message: expect.stringContaining("6.19") }),
    );
  });
});

/** Whether data can be received without a card: what the kernel says that it takes. */
const without = needsThat(
  isRoot && ((registerQuery().zcrx?.registerFlags ?? 0) & ZCRX_REG_NODEV) !== 0,
  "ZCRX_REG_NODEV, Linux 7.1, and CAP_NET_ADMIN",
);

/**
 * Receives `bytes` that a connection's other end sends, piece by piece, giving each piece back. Completions of neither
 * are `others`.
 */
function transfer(ring: Ring, queue: ZcrxQueue, bytes: Buffer, others: number[][] = []): Buffer {
  // On a ring of its own: completions of the queue come whenever they like.
  using other = new Ring(8);
  const { client, server } = connection(other);
  const got: Buffer[] = [];
  let received = 0;
  ring.prepRecvZc(server, queue.id).userData(1);
  for (let sent = 0; received < bytes.length;) {
    if (sent < bytes.length && sent - received < 8192) {
      const piece = bytes.subarray(sent, sent + 4096);
      ring.prepSend(client, piece, 0).userData(2);
      sent += piece.length;
    }
    if (ring.submitAndWaitTimeout(1, 2000) === null) throw new Error("nothing came");
    ring.forEachCqe((cqe) => {
      if (cqe.userData > 2) others.push([cqe.userData, cqe.res]);
      if (cqe.userData !== 1) return;
      if (cqe.res < 0) throw cqe.error("IORING_OP_RECV_ZC");
      const start = queue.offset(cqe);
      got.push(Buffer.from(queue.bytes(queue.area(cqe)).subarray(start, start + cqe.res)));
      received += cqe.res;
      queue.recycle(cqe);
    });
    if (queue.pending > 32) queue.flush();
  }
  // The receiving ends with the connection, and not in the middle of the next one.
  closeSync(client);
  for (let ended = false; !ended;) {
    if (ring.submitAndWaitTimeout(1, 2000) === null) throw new Error("the receiving does not end");
    ring.forEachCqe((cqe) => {
      if (cqe.userData > 2) others.push([cqe.userData, cqe.res]);
      if (cqe.userData === 1) ended = !cqe.more;
    });
  }
  closeSync(server);
  return Buffer.concat(got);
}

describe("ZcrxQueue", () => {
  const data = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 31) & 0xff));
  const connected = needs(sockets);
  const both: typeof without = (title, body) => (without === test ? connected : without)(title, body);

  for (const shape of [receiving, { ...deferred, cqeMixed: true }]) {
    both(`receives more than its area holds, because memory is given back: ${JSON.stringify(shape)}`, () => {
      using ring = new Ring(64, shape);
      const queue = ring.registerIfq(options);
      expect([queue.rqEntries, queue.pending, queue.bytes().length]).toEqual([64, 0, 64 * 4096]);
      expect(transfer(ring, queue, data).equals(data)).toBe(true);
      ring.close();
      expect(() => queue.pending).toThrow(expect.objectContaining({ code: "ERR_URING_CLOSED" }));
    });
  }

  without("has the kernel take what was given back when it is flushed", () => {
    using ring = new Ring(64, receiving);
    const queue = ring.registerIfq({ ...options, rqEntries: 4 });
    // Memory that was not taken is given back: the kernel looks at it and lets it be.
    for (let i = 0; i < 4; i++) queue.recycleAt(i * 4096, 0, 4096);
    expect(() => queue.recycleAt(0, 0, 4096)).toThrow(expect.objectContaining(state));
    expect(queue.pending).toBe(4);
    queue.flush();
    expect(queue.pending).toBe(0);
    queue.recycleAt(0, 0, 4096);
    expect(() => queue.bytes(1)).toThrow(expect.objectContaining(value));
    expect(() => queue.stats()).toThrow(expect.objectContaining(state));
  });

  both("is shared with another ring that imports it", () => {
    using ring = new Ring(64, receiving);
    using other = new Ring(64, receiving);
    const queue = ring.registerIfq(options);
    const fd = queue.export();
    const id = other.importIfq(fd);
    closeSync(fd);
    expect(id).toBeGreaterThanOrEqual(0);
    // The other ring receives into the memory of the first.
    const shared = Object.create(queue, { id: { value: id } }) as ZcrxQueue;
    const piece = data.subarray(0, 4096);
    const { client, server } = connection(other);
    other.prepRecvZc(server, shared.id).userData(1);
    other.prepSend(client, piece, 0).userData(2);
    let got = Buffer.alloc(0);
    while (got.length < piece.length) {
      if (other.submitAndWaitTimeout(1, 2000) === null) throw new Error("nothing came");
      other.forEachCqe((cqe) => {
        if (cqe.userData !== 1) return;
        const start = queue.offset(cqe);
        got = Buffer.concat([got, queue.bytes().subarray(start, start + cqe.res)]);
        queue.recycle(cqe);
      });
    }
    expect(got.equals(piece)).toBe(true);
    closeSync(client);
    closeSync(server);
  });

  const events = needsThat(
    isRoot && registerQuery().zcrxEvent !== null && without === test,
    "IO_URING_QUERY_ZCRX_EVENT, Linux 7.2, and CAP_NET_ADMIN",
  );

  (events === test ? connected : events)("tells once that it copied, and again when it is armed, and counts", () => {
    using ring = new Ring(64, receiving);
    const queue = ring.registerIfq({
      ...options,
      events: { userData: 77, types: [ZCRX_EVENT_COPY], stats: true },
    });
    expect(queue.stats()).toEqual({ copyCount: 0, copyBytes: 0 });
    expect(() => queue.armEvent(ZCRX_EVENT_COPY)).toThrow(expect.objectContaining({ errno: -EINVAL }));
    const events: number[][] = [];
    transfer(ring, queue, data.subarray(0, 40_000), events);
    const { copyCount, copyBytes } = queue.stats();
    expect(copyCount).toBeGreaterThan(0);
    expect(copyBytes).toBeGreaterThan(0);
    // Told once, however often it happened.
    expect(events).toEqual([[77, ZCRX_EVENT_COPY]]);
    queue.armEvent(ZCRX_EVENT_COPY);
    expect(() => queue.armEvent(ZCRX_EVENT_COPY)).toThrow(expect.objectContaining({ errno: -EINVAL }));
    transfer(ring, queue, data.subarray(0, 40_000), events);
    expect(events).toEqual([
      [77, ZCRX_EVENT_COPY],
      [77, ZCRX_EVENT_COPY],
    ]);
  });

  const adding = needsThat(
    isRoot && without === test && (registerQuery().zcrx?.controlOpcodes ?? 0) > 3,
    "ZCRX_CTRL_ADD_AREA, Linux 7.3, and CAP_NET_ADMIN",
  );

  (adding === test ? connected : adding)("receives into areas that are added", () => {
    using ring = new Ring(64, receiving);
    const queue = ring.registerIfq({ ...options, areaBytes: 2 * 4096 });
    expect(queue.addArea(64 * 4096)).toBe(1);
    expect(queue.bytes(1).length).toBe(64 * 4096);
    expect(transfer(ring, queue, data).equals(data)).toBe(true);
    expect(() => queue.addArea(0)).toThrow(expect.objectContaining(value));
  });
});
