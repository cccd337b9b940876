// Rings closed with requests in flight: they end, quickly, and neither memory nor data is touched afterwards.
import { describe, expect, test } from "bun:test";
import { closeSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { BufferRing, POLLIN, Ring, Timespec } from "../../src/index.ts";
import { awaited } from "../support/complete.ts";
import { openFile, pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { has, needs } from "../support/kernel.ts";
import { overLayouts, ringOf } from "../support/layouts.ts";
import { connected, connection, listener, sockets } from "../support/net.ts";
import { patience } from "../support/patience.ts";

const scratch = scratchDirectory();

/**
 * Closing waits a second at the most; what takes half of it was not cancelled. Kernel: before 5.19, which also brought
 * SOCKET, there is no cancelling everything, and it waits the whole second.
 */
const SOON_MS = has("IORING_OP_SOCKET") ? 500 : 1500 * patience;

function closeSoon(ring: Ring): void {
  const before = performance.now();
  ring.close();
  expect(performance.now() - before).toBeLessThan(SOON_MS);
  expect([ring.closed, ring.fd]).toEqual([true, -1]);
}

/** What another ring reads from a descriptor within a second. */
function readOf(fd: number, lengthBytes: number): string {
  using ring = new Ring(2);
  const buffer = Buffer.alloc(lengthBytes);
  ring.prepRead(fd, buffer, 0);
  const res = awaited(ring)?.res ?? 0;
  return buffer.toString("latin1", 0, Math.max(res, 0));
}

overLayouts((layout) => {
  test("close() ends reads, polls and timers, whose buffers and data are left alone", () => {
    const ring = ringOf(layout, 16);
    const pipes = [pipe(scratch), pipe(scratch), pipe(scratch)] as const;
    const buffers = pipes.map(() => Buffer.alloc(32, 0xee));
    ring.prepRead(pipes[0].read, buffers[0] as Buffer, 0);
    // On a worker, where it blocks.
    ring.prepRead(pipes[1].read, buffers[1] as Buffer, 0).async();
    ring.prepPollAdd(pipes[2].read, POLLIN);
    ring.prepRead(pipes[2].read, buffers[2] as Buffer, 0).link();
    ring.prepLinkTimeout(kept(new Timespec(60)));
    ring.prepTimeout(kept(new Timespec(60)));
    ring.prepNop();
    ring.submitAndWait(1);
    // One that waits for the ones before it, and one that is never submitted.
    ring.prepNop().drain();
    ring.submit();
    const untouched = openFile(scratch, "untouched", "untouched");
    ring.prepWrite(untouched, kept(Buffer.from("written")), 0);
    closeSoon(ring);
    for (const [i, { write }] of pipes.entries()) writeSync(write, `for nobody ${i}`);
    expect(pipes.map(({ read }) => readOf(read, 32))).toEqual(["for nobody 0", "for nobody 1", "for nobody 2"]);
    expect(buffers.every((buffer) => buffer.equals(Buffer.alloc(32, 0xee)))).toBe(true);
    expect(readFileSync(join(scratch, "untouched"), "utf8")).toBe("untouched");
    for (const { read, write } of pipes) {
      closeSync(read);
      closeSync(write);
    }
    closeSync(untouched);
  });
});

describe("close() with multishot requests", () => {
  const multishot = needs([...sockets, "IORING_OP_SEND_ZC"]);
  overLayouts(
    (layout) => {
      multishot("ends accepts: who connects later is for the next ring", () => {
        using other = new Ring(8);
        const { fd, port } = listener(other);
        const ring = ringOf(layout, 8);
        ring.prepMultishotAccept(fd).userData(1);
        ring.submit();
        const first = connected(other, port);
        expect(awaited(ring)?.more).toBe(true);
        const accepted = ring.peekCqe()?.res as number;
        closeSoon(ring);
        const second = connected(other, port);
        other.prepAccept(fd);
        const late = awaited(other)?.res as number;
        expect(late).toBeGreaterThan(0);
        for (const one of [accepted, first, second, late, fd]) closeSync(one);
      });

      multishot("ends receives, then gives the buffers' memory back", () => {
        using other = new Ring(8);
        const { client, server } = connection(other);
        const ring = ringOf(layout, 8);
        const buffers = new BufferRing(ring, { group: 1, entries: 4, size: 4096 });
        ring.prepRecvMultishot(server).bufferSelect(1);
        ring.submit();
        writeSync(client, "first");
        expect(awaited(ring)?.res).toBe(5);
        const { bytes } = buffers;
        closeSoon(ring);
        expect(bytes.length).toBe(0);
        writeSync(client, "second");
        expect(readOf(server, 32)).toBe("second");
        closeSync(client);
        closeSync(server);
      });
    },
    ["plain", "deferTaskrun", "modern", "sqpoll", "noMmap", "registeredFdOnly", "cqe32"],
  );
});

describe("close()", () => {
  overLayouts(
    (layout) => {
      test("at the moment when requests are being taken up ends them all the same", () => {
        const own = pipe(scratch);
        const buffers: Buffer[] = [];
        for (let round = 0; round < 15; round++) {
          const ring = ringOf(layout, 8);
          for (let i = 0; i < 4; i++) {
            const buffer = Buffer.alloc(8, 0xee);
            buffers.push(buffer);
            // A worker, or a kernel thread, is about to have each of them.
            ring.prepRead(own.read, buffer, 0).async();
          }
          ring.submit();
          closeSoon(ring);
        }
        writeSync(own.write, "for nobody");
        expect(readOf(own.read, 16)).toBe("for nobody");
        expect(buffers.every((buffer) => buffer.equals(Buffer.alloc(8, 0xee)))).toBe(true);
        closeSync(own.read);
        closeSync(own.write);
      });
    },
    ["plain", "sqpoll", "modern"],
  );

  overLayouts(
    (layout) => {
      needs("IORING_OP_SPLICE")("stops a worker that is in the middle of its request", () => {
        for (let round = 0; round < 8; round++) {
          const [from, to] = [pipe(scratch), pipe(scratch)];
          const ring = ringOf(layout, 8);
          // Splicing is done by a worker, which waits for the pipe inside the call.
          ring.prepSplice(from.read, -1, to.write, -1, 8);
          ring.submitAndWaitTimeout(1, 5);
          closeSoon(ring);
          writeSync(from.write, "mine");
          expect(readOf(from.read, 8)).toBe("mine");
          for (const fd of [from.read, from.write, to.read, to.write]) closeSync(fd);
        }
      });
    },
    ["plain", "sqpoll", "modern", "coopTaskrun", "noMmap", "registeredFdOnly"],
  );

  test("with more completions than fit, and none of them seen", () => {
    const ring = new Ring(4, { cqEntries: 4 });
    for (let i = 0; i < 100; i++) ring.prepNop();
    ring.submit();
    expect(ring.cqHasOverflow()).toBe(true);
    closeSoon(ring);
  });

  test("with hundreds of requests in flight", () => {
    const ring = new Ring(256, { cqEntries: 2048 });
    const own = pipe(scratch);
    const buffers = Array.from({ length: 1000 }, () => Buffer.alloc(16, 0xee));
    for (const buffer of buffers) ring.prepRead(own.read, buffer, 0);
    ring.submit();
    closeSoon(ring);
    writeSync(own.write, "x");
    expect(readOf(own.read, 4)).toBe("x");
    expect(buffers.every((buffer) => buffer.equals(Buffer.alloc(16, 0xee)))).toBe(true);
    closeSync(own.read);
    closeSync(own.write);
  });

  test("of a disabled ring whose queue is full, and whose entries no kernel has taken", () => {
    const ring = new Ring(4, { rDisabled: true });
    for (let i = 0; i < 4; i++) ring.prepNop();
    expect(() => ring.submit()).toThrow(expect.objectContaining({ code: "EBADFD" }));
    closeSoon(ring);
  });

  test("in the middle of a chain does none of it", () => {
    const ring = new Ring(8);
    const fd = openFile(scratch, "chain", "before");
    ring.prepWrite(fd, kept(Buffer.from("after!")), 0).link();
    closeSoon(ring);
    expect(readFileSync(join(scratch, "chain"), "utf8")).toBe("before");
    closeSync(fd);
  });

  test("by `using`, when its block ends or is left by an error, also after close()", () => {
    let left: Ring | undefined;
    const leave = (): void => {
      using ring = new Ring(4);
      left = ring;
      ring.prepRead(idle.read, kept(Buffer.alloc(1)), 0);
      ring.submit();
      throw new Error("out of here");
    };
    const idle = pipe(scratch);
    expect(leave).toThrow("out of here");
    expect(left?.closed).toBe(true);
    {
      using ring = new Ring(4);
      ring.close();
      left = ring;
    }
    expect(left.closed).toBe(true);
    closeSync(idle.read);
    closeSync(idle.write);
  });
});
