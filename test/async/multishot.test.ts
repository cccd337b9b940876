// Multishot operations as iterators: what they give, when they end, what they leave behind.
import { describe, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { AF_INET, MSG_TRUNC, POLLHUP, POLLIN, SOCK_DGRAM } from "../../src/abi/linux.ts";
import { bind } from "../../src/net/system.ts";
import { BufferRing, EINVAL, Ring, SockAddr, Timespec } from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { pattern, pipe, scratchDirectory } from "../support/files.ts";
import { has, needs } from "../support/kernel.ts";
import { connection, descriptors, listener, makeClient, rejection, ringForFile, strays } from "./support.ts";

const directory = scratchDirectory();
const ring = ringForFile();
// Kernel: both are flags that came together with an operation that can be asked for.
const accepts = needs("IORING_ACCEPT_MULTISHOT", () => has("IORING_OP_SOCKET"));
const receives = needs("IORING_RECV_MULTISHOT", () => has("IORING_OP_SEND_ZC"));
const pipes = needs(["IORING_OP_READ_MULTISHOT", "IORING_OP_PIPE"]);
const ticks = needs("IORING_TIMEOUT_MULTISHOT", hasTicks);

/** Whether timeouts can repeat: the kernel is asked with one that is to fire once. */
function hasTicks(): boolean {
  using plain = new Ring(2);
  plain.prepTimeoutMultishot(Timespec.ofMs(0), 1);
  return complete(plain) !== -EINVAL;
}

/** Connects so many clients. */
async function clients(address: SockAddr, count: number): Promise<number[]> {
  const fds = Array.from({ length: count }, makeClient);
  await Promise.all(fds.map((fd) => ring.connect(fd, address)));
  return fds;
}

describe("multishotAccept()", () => {
  accepts("gives every connection, and leaving the loop closes those that were not read", async () => {
    const { fd, address } = listener();
    const before = descriptors();
    const connected = clients(address, 20);
    const accepted: number[] = [];
    for await (const client of ring.multishotAccept(fd)) {
      accepted.push(client);
      if (accepted.length === 5) {
        await connected;
        break;
      }
    }
    expect(ring.stats().inFlight).toBe(0);
    await Promise.all([...accepted, ...(await connected)].map((each) => ring.close(each)));
    await ring.nop({ drain: true });
    expect(strays(before)).toEqual([]);
    await ring.close(fd);
  });

  accepts("stops while its reader does, and loses nobody", async () => {
    const { fd, address } = listener();
    const accepting = ring.multishotAccept(fd, { maxQueued: 4 });
    const first = accepting.next();
    const connected = await clients(address, 16);
    const accepted = [(await first).value as number];
    await Bun.sleep(5);
    // From here on nobody is accepted: the socket's own queue keeps them.
    connected.push(...(await clients(address, 48)));
    await Bun.sleep(5);
    const before = descriptors().length;
    while (accepted.length < 64) accepted.push((await accepting.next()).value as number);
    expect(new Set(accepted).size).toBe(64);
    expect(descriptors().length - before).toBe(48);
    expect(ring.stats().rearms["backpressure"]).toBeGreaterThan(0);
    expect(await accepting.return()).toEqual({ done: true, value: undefined });
    await Promise.all([...accepted, ...connected, fd].map((each) => ring.close(each)));
  });

  accepts("throws what the kernel refuses", async () => {
    expect((await rejection(ring.multishotAccept(999_999).next())).code).toBe("EBADF");
    expect(() => ring.multishotAccept(0.5)).toThrow(RangeError);
    expect(() => ring.multishotAccept(1, { nonsense: 1 } as object)).toThrow(TypeError);
    expect(() => ring.multishotAccept(1, { maxQueued: 0 })).toThrow(RangeError);
  });

  accepts("ends with its signal's reason, once the kernel has let go", async () => {
    const { fd } = listener();
    const controller = new AbortController();
    const next = ring.multishotAccept(fd, { signal: controller.signal }).next();
    await ring.nop();
    expect(ring.stats().inFlight).toBe(1);
    controller.abort("closing time");
    expect((await rejection(next)) as unknown).toBe("closing time");
    expect(ring.stats().inFlight).toBe(0);
    const early = ring.multishotAccept(fd, { signal: controller.signal });
    expect((await rejection(early.next())) as unknown).toBe("closing time");
    expect((await early.next()).done).toBe(true);
    await ring.close(fd);
  });

  accepts("gives places among the registered files, and empties those that nobody read", async () => {
    await using own = new AsyncRing();
    const { fd, address } = listener();
    own.ring.registerFilesSparse(8);
    for (let round = 0; round < 3; round++) {
      const connected = await clients(address, 6);
      const places: number[] = [];
      for await (const place of own.multishotAcceptDirect(fd)) {
        places.push(place);
        if (places.length === 2) break;
      }
      await Promise.all(places.map((place) => own.closeDirect(place)));
      await Promise.all(connected.map((each) => ring.close(each)));
      await own.nop({ drain: true });
    }
    const free = await Promise.all(Array.from({ length: 8 }, () => own.socketDirectAlloc(AF_INET, 1, 0)));
    expect(free.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await own.close(fd);
  });
});

describe("recvMultishot()", () => {
  receives("lends what comes until the next step, to the end of the connection", async () => {
    using buffers = ring.bufferRing({ entries: 4, size: 512 });
    const { client, server } = await connection(ring);
    const data = pattern(100_000, 3);
    const sending = (async () => {
      for (let sent = 0; sent < data.length;) sent += await ring.send(client, data.subarray(sent, sent + 7000));
      await ring.shutdown(client, 1);
    })();
    const parts: Buffer[] = [];
    for await (const bytes of ring.recvMultishot(server, buffers)) {
      expect(bytes.buffer).toBe(buffers.bytes.buffer);
      parts.push(Buffer.from(bytes));
      if (parts.length % 16 === 0) await Bun.sleep(1);
    }
    await sending;
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0);
    expect(buffers.available).toBe(4);
    expect(ring.stats().rearms["ENOBUFS"]).toBeGreaterThan(0);
    await Promise.all([ring.close(client), ring.close(server)]);
  });

  receives("copies what comes if it is told to", async () => {
    using buffers = ring.bufferRing({ entries: 2, size: 256 });
    const { client, server } = await connection(ring);
    const data = pattern(20_000, 9);
    const sending = ring.send(client, data, 0x100).then(() => ring.shutdown(client, 1));
    const parts: Uint8Array[] = [];
    for await (const bytes of ring.recvMultishot(server, buffers, { copy: true, maxQueued: 3 })) {
      parts.push(bytes);
      if (parts.length % 20 === 0) await Bun.sleep(1);
    }
    await sending;
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0);
    expect(buffers.available).toBe(2);
    await Promise.all([ring.close(client), ring.close(server)]);
  });

  receives("shares a ring of few buffers among many sockets", async () => {
    using buffers = ring.bufferRing({ entries: 2, size: 64 });
    const pairs = await Promise.all(Array.from({ length: 8 }, () => connection(ring)));
    const sums = await Promise.all(
      pairs.map(async ({ client, server }, i) => {
        const sending = ring.send(client, new Uint8Array(3000).fill(i + 1), 0x100).then(() => ring.shutdown(client, 1));
        let sum = 0;
        for await (const bytes of ring.recvMultishot(server, buffers)) for (const byte of bytes) sum += byte;
        await sending;
        return sum;
      }),
    );
    expect(sums).toEqual(pairs.map((_, i) => 3000 * (i + 1)));
    expect(buffers.available).toBe(2);
    await Promise.all(pairs.flatMap(({ client, server }) => [ring.close(client), ring.close(server)]));
  });

  receives("waits for buffers that somebody else holds", async () => {
    using buffers = new BufferRing(ring.ring, { group: 5, entries: 1, size: 64 });
    const { client, server } = await connection(ring);
    const holder = ring.recvMultishot(server, buffers);
    await ring.send(client, Buffer.from("held"));
    const held = await holder.next();
    const other = await connection(ring);
    const starving = ring.recvMultishot(other.server, buffers).next();
    await ring.send(other.client, Buffer.from("late"));
    await Bun.sleep(10);
    expect(Buffer.from(held.value as Uint8Array).toString()).toBe("held");
    await holder.return();
    expect(Buffer.from((await starving).value as Uint8Array).toString()).toBe("late");
    ring.cancelAll();
    await Promise.all([client, server, other.client, other.server].map((each) => ring.close(each)));
  });

  receives("gives everything back when its loop throws", async () => {
    using buffers = ring.bufferRing({ entries: 4, size: 16 });
    const { client, server } = await connection(ring);
    await ring.send(client, pattern(64));
    const loop = async (): Promise<void> => {
      for await (const bytes of ring.recvMultishot(server, buffers)) throw new Error(`thrown at ${bytes.length}`);
    };
    expect((await rejection(loop())).message).toBe("thrown at 16");
    expect(buffers.available).toBe(4);
    expect(ring.stats().inFlight).toBe(0);
    await Promise.all([ring.close(client), ring.close(server)]);
  });

  receives("ends with an error when its ring is closed, and leaves its buffers alone", async () => {
    const own = new AsyncRing();
    const buffers = own.bufferRing({ entries: 4, size: 16 });
    const { client, server } = await connection(ring);
    await ring.send(client, pattern(40));
    const receiving = own.recvMultishot(server, buffers);
    expect((await receiving.next()).value).toHaveLength(16);
    const waiting = own.recvMultishot(client, buffers).next();
    await own.close();
    expect((await rejection(waiting)).code).toBe("ECANCELED");
    expect((await rejection(receiving.next())).code).toBe("ECANCELED");
    expect((await receiving.next()).done).toBe(true);
    await Promise.all([ring.close(client), ring.close(server)]);
  });

  test("refuses what is no buffer ring", () => {
    expect(() => ring.recvMultishot(0, new Uint8Array(8) as never)).toThrow(TypeError);
  });
});

describe("readMultishot()", () => {
  pipes("reads a pipe to its end", async () => {
    using buffers = ring.bufferRing({ entries: 8, size: 32 });
    const fds = new Int32Array(2);
    await ring.pipe(fds);
    const ends = { read: fds[0] as number, write: fds[1] as number };
    const reading = (async () => {
      let text = "";
      for await (const bytes of ring.readMultishot(ends.read, buffers)) text += Buffer.from(bytes).toString();
      return text;
    })();
    for (let i = 0; i < 50; i++) {
      writeSync(ends.write, `line ${i}\n`);
      if (i % 10 === 0) await Bun.sleep(1);
    }
    closeSync(ends.write);
    expect(await reading).toBe(Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join(""));
    expect(buffers.available).toBe(8);
    closeSync(ends.read);
  });
});

describe("recvmsgMultishot()", () => {
  receives("gives datagrams with their senders, empty and cut ones too", async () => {
    using buffers = ring.bufferRing({ entries: 8, size: 256 });
    const [one, two] = await Promise.all([ring.socket(AF_INET, SOCK_DGRAM, 0), ring.socket(AF_INET, SOCK_DGRAM, 0)]);
    const port = 20_000 + (process.pid % 20_000);
    const [to, from] = [SockAddr.ipv4("127.0.0.1", port), SockAddr.ipv4("127.0.0.1", port + 20_000)];
    expect([bind(one, to), bind(two, from)]).toEqual([0, 0]);
    const texts: string[] = [];
    const flags: number[] = [];
    const sizes = [5, 0, 300, 7];
    for (const size of sizes) await ring.sendto(two, Buffer.alloc(Math.max(size, 1), 65), 0, to, undefined, size);
    for await (const { bytes, address, flags: bits } of ring.recvmsgMultishot(one, buffers, { nameBytes: 16 })) {
      expect(address).toEqual({ family: "ipv4", address: "127.0.0.1", port: port + 20_000 });
      texts.push(Buffer.from(bytes).toString());
      flags.push(bits & MSG_TRUNC);
      if (texts.length === sizes.length) break;
    }
    // 256 bytes hold 16 of header, 16 of address, and the rest.
    expect(texts.map((text) => text.length)).toEqual([5, 0, 224, 7]);
    expect(flags).toEqual([0, 0, MSG_TRUNC, 0]);
    expect(buffers.available).toBe(8);
    await Promise.all([ring.close(one), ring.close(two)]);
  });
});

describe("pollMultishot()", () => {
  test("gives events as they come, together where nobody waited, and ends with a hang-up", async () => {
    const ends = pipe(directory);
    const polling = ring.pollMultishot(ends.read, POLLIN);
    const first = polling.next();
    await ring.nop();
    writeSync(ends.write, "a");
    expect((await first).value).toBe(POLLIN);
    const second = polling.next();
    await ring.nop();
    writeSync(ends.write, "b");
    expect((await second).value).toBe(POLLIN);
    closeSync(ends.write);
    await Bun.sleep(2);
    expect(((await polling.next()).value as number) & POLLHUP).toBe(POLLHUP);
    await polling.return();
    expect(ring.stats().inFlight).toBe(0);
    closeSync(ends.read);
  });
});

describe("timeoutMultishot()", () => {
  ticks("ticks as often as it is told, and counts what was not read", async () => {
    const given: number[] = [];
    const start = performance.now();
    for await (const count of ring.timeoutMultishot(4, { count: 10 })) {
      given.push(count);
      if (given.length === 2) await Bun.sleep(14);
    }
    expect(given.reduce((sum, count) => sum + count)).toBe(10);
    expect(given.length).toBeLessThan(10);
    expect(performance.now() - start).toBeGreaterThan(38);
    for await (const count of ring.timeoutMultishot(1)) if (count > 0) break;
    expect(ring.stats().inFlight).toBe(0);
    expect(() => ring.timeoutMultishot(0)).toThrow(RangeError);
  });
});
