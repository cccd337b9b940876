/** Messages to rings from a thread that needs none of its own. */
import { describe, expect, test } from "bun:test";
import { openSync, closeSync } from "node:fs";
import { EBADF, EBADFD, registerSyncMsg, Ring } from "../../src/index.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { needsRegister, reapAtLeast } from "./support.ts";

const sending = needsRegister("IORING_REGISTER_SEND_MSG_RING");
const value = { name: "RangeError", code: "ERR_URING_ARG_VALUE" } as const;
const type = { name: "TypeError", code: "ERR_URING_ARG_TYPE" } as const;

describe("registerSyncMsg()", () => {
  overLayouts(
    (layout) => {
      sending("posts a completion to a ring, with no ring of the sender's", () => {
        using ring = ringOf(layout, 8);
        registerSyncMsg(ring, 77, 2 ** 53 - 1);
        registerSyncMsg(ring.fd, -5, 8);
        expect(reapAtLeast(ring, 2)).toEqual([
          [2 ** 53 - 1, 77],
          [8, -5],
        ]);
      });
    },
    ["plain", "sqpoll", "coopTaskrun", "deferTaskrun", "deferTaskrun with taskrunFlag", "cqe32", "modern"],
  );

  sending("can say what the completion's flags are", () => {
    using ring = new Ring(8);
    registerSyncMsg(ring, 1, 2n ** 64n - 1n, { cqeFlags: 0x1230000 });
    const cqe = ring.waitCqes(1, 2000);
    expect([cqe?.userDataBigInt, cqe?.res, cqe?.flags]).toEqual([2n ** 64n - 1n, 1, 0x1230000]);
  });

  sending("wakes a ring that another thread waits on", async () => {
    const worker = new Worker(new URL("waiter.ts", import.meta.url));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    worker.onerror = (event: ErrorEvent) => reject(new Error(event.message));
    worker.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "number") registerSyncMsg(data, 3, 4);
      else resolve(data);
    };
    expect(await promise).toEqual([4, 3]);
    worker.terminate();
  });

  sending("is kept where the queue is full, as any completion is", () => {
    using ring = new Ring(1, { cqEntries: 1 });
    for (let i = 0; i < 4; i++) registerSyncMsg(ring, i, i);
    const seen: number[] = [];
    while (seen.length < 4) for (const [userData] of reapAtLeast(ring, 1)) seen.push(userData);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  sending("says what is no ring, and which ring takes no message", () => {
    expect(() => registerSyncMsg(-1, 0, 0)).toThrow(expect.objectContaining({ errno: -EBADF }));
    const fd = openSync("/dev/null", "r");
    expect(() => registerSyncMsg(fd, 0, 0)).toThrow(expect.objectContaining({ name: "UringError" }));
    closeSync(fd);
    using disabled = new Ring(4, { rDisabled: true });
    expect(() => registerSyncMsg(disabled, 0, 0)).toThrow(expect.objectContaining({ errno: -EBADFD }));
  });

  test("refuses what can be no message", () => {
    using ring = new Ring(4);
    expect(() => registerSyncMsg({} as Ring, 0, 0)).toThrow(expect.objectContaining(type));
    expect(() => registerSyncMsg(undefined as unknown as Ring, 0, 0)).toThrow(expect.objectContaining(type));
    expect(() => registerSyncMsg(ring, 1.5, 0)).toThrow(expect.objectContaining(value));
    expect(() => registerSyncMsg(ring, 0, -1)).toThrow(expect.objectContaining(value));
    expect(() => registerSyncMsg(ring, 0, 0, { cqeFlags: -1.5 })).toThrow(expect.objectContaining(value));
    expect(() => registerSyncMsg(1.5, 0, 0)).toThrow(expect.objectContaining(value));
    expect(ring.cqReady()).toBe(0);
  });

  needsRegister(["IORING_REGISTER_SEND_MSG_RING", "IORING_SETUP_REGISTERED_FD_ONLY"])(
    "refuses a ring without a descriptor, whose index would be taken for one",
    () => {
      using ring = new Ring(4, { noMmap: true, registeredFdOnly: true });
      expect(() => registerSyncMsg(ring, 0, 0)).toThrow(expect.objectContaining(type));
      using given = new Ring(4);
      given.registerRingFd();
      given.closeRingFd();
      expect(() => registerSyncMsg(given, 0, 0)).toThrow(expect.objectContaining(type));
    },
  );
});
