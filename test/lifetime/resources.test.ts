// Pools and buffer rings: closed before their ring, with it, or after it; their memory is nobody's but theirs.
import { describe, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { BufferPool, BufferRing, type Located, Ring } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { openFile, pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needsThat } from "../support/kernel.ts";
import { mappingCount } from "../syscall/proc.ts";

const scratch = scratchDirectory();
const content = pattern(4096);
const fd = openFile(scratch, "content", content);

/** Whether the kernel has buffer rings, 5.19. */
const hasBufferRings = ((): boolean => {
  using ring = new Ring(1);
  try {
    new BufferRing(ring, { group: 1, entries: 1, size: 64 }).close();
    return true;
  } catch {
    return false;
  }
})();

interface Resource {
  close(): void;
  [Symbol.dispose](): void;
}

/** What is made on a ring, with a view of its memory and something that a request would take. */
const kinds: [string, boolean, (ring: Ring) => { made: Resource; bytes: Uint8Array<ArrayBuffer>; part: Located }][] = [
  [
    "BufferPool",
    true,
    (ring) => {
      const made = new BufferPool(ring, { count: 4, size: 1024 });
      const part = made.take() as NonNullable<ReturnType<BufferPool["take"]>>;
      return { made, bytes: part.bytes, part };
    },
  ],
  [
    "BufferRing",
    hasBufferRings,
    (ring) => {
      const made = new BufferRing(ring, { group: 1, entries: 4, size: 1024 });
      return { made, bytes: made.bytes, part: { address: made.addressOf(0), byteLength: 1024 } };
    },
  ],
];

describe.each(kinds)("%s", (_name, there, make) => {
  const each = needsThat(there, "IORING_REGISTER_PBUF_RING, Linux 5.19");

  each("closed first leaves its ring as it was", () => {
    using ring = new Ring(4);
    const { made, bytes } = make(ring);
    expect(bytes.length).toBeGreaterThan(0);
    made.close();
    expect(bytes.length).toBe(0);
    made.close();
    made[Symbol.dispose]();
    // The place that it had is free again.
    make(ring).made.close();
    ring.prepRead(fd, kept(Buffer.alloc(16)), 0);
    expect(complete(ring)).toBe(16);
  });

  each("is closed with its ring, and closing it afterwards is nothing", () => {
    const ring = new Ring(4);
    const { made, bytes } = make(ring);
    ring.close();
    expect(bytes.length).toBe(0);
    made.close();
    made[Symbol.dispose]();
    expect(ring.closed).toBe(true);
  });

  each("and its ring by `using` go in the right order", () => {
    let view = new Uint8Array(1);
    let kept: Ring;
    {
      using ring = new Ring(4);
      kept = ring;
      const { made, bytes } = make(ring);
      using resource = made;
      view = bytes;
      expect([typeof resource.close, view.length > 0]).toEqual(["function", true]);
    }
    expect([view.length, kept.closed]).toEqual([0, true]);
  });

  each("keeps its memory whatever becomes of the objects", async () => {
    using ring = new Ring(4);
    let address = 0;
    let alive: WeakRef<object> | undefined;
    (() => {
      const { made, part } = make(ring);
      address = part.address;
      alive = new WeakRef(made);
    })();
    for (let round = 0; round < 4; round++) {
      await Bun.sleep(1);
      Bun.gc(true);
    }
    // The ring closes it in the end, so the ring keeps it.
    expect(alive?.deref()).toBeDefined();
    ring.prepRead(fd, address, 0, 1024);
    expect(complete(ring)).toBe(1024);
    const back = openFile(scratch, "back");
    ring.prepWrite(back, address, 0, 1024);
    expect(complete(ring)).toBe(1024);
    const check = Buffer.alloc(1024);
    ring.prepRead(back, check, 0);
    expect(complete(ring)).toBe(1024);
    expect(check.equals(content.subarray(0, 1024))).toBe(true);
    closeSync(back);
  });

  each("made and closed by the hundred on one ring leaves nothing", () => {
    using ring = new Ring(4);
    make(ring).made.close();
    const before = mappingCount();
    for (let i = 0; i < 300; i++) make(ring).made.close();
    expect(mappingCount() - before).toBeLessThan(40);
  });
});

test("several of them go with their ring", () => {
  const ring = new Ring(4);
  const pool = new BufferPool(ring, { count: 2, size: 512 });
  const rings = hasBufferRings ? [1, 2, 3].map((group) => new BufferRing(ring, { group, entries: 2, size: 512 })) : [];
  const [buffer] = [pool.take()];
  ring.close();
  expect([buffer?.bytes.length, ...rings.map(({ bytes }) => bytes.length)]).toEqual([0, ...rings.map(() => 0)]);
});
