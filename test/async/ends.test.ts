// The end of a connection that comes together with its last data. On kernels whose multishot receives miss it, those of
// these tests that look away fail where the end is not looked for beside the receive.
import { expect } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { AF_INET, AF_UNIX, SHUT_WR } from "../../src/abi/linux.ts";
import { AsyncRing } from "../../src/async/asyncring.ts";
import { bind, breakOnClose, makeSocket, startListening } from "../../src/net/system.ts";
import { Ring, SockAddr } from "../../src/index.ts";
import { several } from "../support/complete.ts";
import { scratchDirectory } from "../support/files.ts";
import { has, needs } from "../support/kernel.ts";
import { patience } from "../support/patience.ts";
import { Rusher } from "../support/rush.ts";
import { connection, listener, rejection, ringForFile } from "./support.ts";

const ROUNDS = 10;
/** Longer than the receive is left alone after its first data. */
const WATCHED_AFTER_MS = 60 * patience;

const directory = scratchDirectory();
const ring = ringForFile();
// Kernel: the flag came together with an operation that can be asked for.
const receives = needs("IORING_RECV_MULTISHOT", () => has("IORING_OP_SEND_ZC"));

/** A socket that listens on a path. */
function listenOn(path: string): { fd: number; address: SockAddr } {
  const address = SockAddr.unix(path);
  const fd = makeSocket(AF_UNIX);
  expect([bind(fd, address), startListening(fd, 1)]).toEqual([0, 0]);
  return { fd, address };
}

/** Both ends of a connection on a Unix socket. */
async function local(): Promise<{ client: number; server: number }> {
  const path = join(directory, "socket");
  const { fd, address } = listenOn(path);
  const client = makeSocket(AF_UNIX);
  const [server] = await Promise.all([ring.accept(fd), ring.connect(client, address)]);
  await ring.close(fd);
  rmSync(path);
  return { client, server };
}

const pair = (family: number): Promise<{ client: number; server: number }> =>
  family === AF_UNIX ? local() : connection(ring);

/** Waits until a request that a step asked for is the kernel's. */
async function whenInFlight(of: AsyncRing, count: number): Promise<void> {
  while (of.stats().inFlight < count) await Bun.sleep(0);
}

const data = Uint8Array.of(1, 2, 3);

/** All that an iterator gives, and the code of the error that it ends with, if it does. */
async function received(
  pieces: AsyncIterable<Uint8Array | { bytes: Uint8Array }>,
): Promise<{ bytes: number[]; code: unknown }> {
  const bytes: number[] = [];
  try {
    for await (const piece of pieces) bytes.push(...("bytes" in piece ? piece.bytes : piece));
  } catch (error) {
    return { bytes, code: (error as { code?: string }).code };
  }
  return { bytes, code: undefined };
}

for (const kind of ["recvMultishot", "recvmsgMultishot"] as const) {
  for (const [family, what, how] of [
    [AF_UNIX, "a Unix socket", "shut down"],
    [AF_UNIX, "a Unix socket", "closed"],
    [AF_INET, "a TCP connection", "shut down"],
    [AF_INET, "a TCP connection", "closed"],
    [AF_INET, "a TCP connection", "reset"],
  ] as const) {
    receives(
      `${kind}() sees that ${what} is ${how} together with its last data`,
      async () => {
        using peer = new Ring(4);
        using buffers = ring.bufferRing({ entries: 8, size: 256 });
        for (let round = 0; round < ROUNDS; round++) {
          const { client, server } = await pair(family);
          const receiving = received(ring[kind](server, buffers));
          await whenInFlight(ring, 1);
          // One system call, and this thread has heard of neither when it returns.
          if (how === "reset") breakOnClose(client);
          peer.prepSend(client, data, 0).link();
          if (how === "shut down") peer.prepShutdown(client, SHUT_WR);
          else peer.prepClose(client);
          expect(several(peer, 2).map(({ res }) => res)).toEqual([data.length, 0]);
          expect(await receiving).toEqual({ bytes: [...data], code: how === "reset" ? "ECONNRESET" : undefined });
          await ring.close(server);
          if (how === "shut down") await ring.close(client);
        }
        expect(ring.stats().inFlight).toBe(0);
        expect(buffers.available).toBe(8);
      },
      20_000 * patience,
    );
  }
}

for (const [to, how] of [
  ["a Unix socket", "end"],
  ["a TCP connection", "end"],
  ["a TCP connection", "reset"],
] as const) {
  receives(
    `recvMultishot() sees the ${how} of ${to} that came while nobody looked`,
    async () => {
      const path = join(directory, `rush-${how}`);
      const unix = to === "a Unix socket";
      const { fd, address } = unix ? listenOn(path) : listener();
      const { port } = address.value as { readonly port: number };
      using buffers = ring.bufferRing({ entries: 8, size: 256 });
      using rusher = new Rusher(unix ? { path } : { port, host: "127.0.0.1" }, how, ROUNDS);
      for (let round = 1; round <= ROUNDS; round++) {
        const [server] = await Promise.all([ring.accept(fd), rusher.connected(round)]);
        const receiving = received(ring.recvMultishot(server, buffers));
        await whenInFlight(ring, 1);
        rusher.lookAway(round);
        expect(await receiving).toEqual({ bytes: [120], code: how === "reset" ? "ECONNRESET" : undefined });
        await ring.close(server);
      }
      await ring.close(fd);
      expect(ring.stats().inFlight).toBe(0);
      expect(buffers.available).toBe(8);
    },
    20_000 * patience,
  );
}

receives("recvMultishot() has a second request while it lasts, and none when its loop is left", async () => {
  using buffers = ring.bufferRing({ entries: 8, size: 256 });
  const { client, server } = await local();
  const receiving = ring.recvMultishot(server, buffers);
  const first = receiving.next();
  await Bun.sleep(WATCHED_AFTER_MS);
  // Nothing has come: nothing can have been missed.
  expect(ring.stats().inFlight).toBe(1);
  await ring.send(client, data);
  await first;
  await whenInFlight(ring, 2);
  const second = receiving.next();
  await ring.send(client, data);
  await second;
  await Bun.sleep(WATCHED_AFTER_MS);
  expect(ring.stats().inFlight).toBe(2);
  await receiving.return();
  expect(ring.stats().inFlight).toBe(0);
  await Promise.all([ring.close(client), ring.close(server)]);
});

receives("recvMultishot() receives all that came before an end that is seen before it", async () => {
  await using own = new AsyncRing();
  using buffers = own.bufferRing({ entries: 2, size: 64, group: 1 });
  own.ring.registerFilesSparse(1);
  const { client, server } = await local();
  own.ring.registerFilesUpdate(0, [server]);
  await ring.close(server);
  const receiving = own.recvMultishot(0, buffers, { fixedFile: true });
  const read: number[] = [];
  // More than the buffers hold, so that the end is there long before it is received.
  const all = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
  await ring.send(client, all);
  await ring.close(client);
  for await (const bytes of receiving) {
    read.push(...bytes);
    await Bun.sleep(1);
  }
  expect(Buffer.compare(Uint8Array.from(read), all)).toBe(0);
  expect(own.stats().inFlight).toBe(0);
  expect(buffers.available).toBe(2);
});

receives("cancelAll() ends what is received and what looks for its end", async () => {
  await using own = new AsyncRing();
  using buffers = own.bufferRing({ entries: 8, size: 256 });
  const { client, server } = await local();
  const receiving = own.recvMultishot(server, buffers);
  await ring.send(client, data);
  await receiving.next();
  await whenInFlight(own, 2);
  const next = receiving.next();
  own.cancelAll();
  expect((await rejection(next)).code).toBe("ECANCELED");
  expect(await receiving.next()).toEqual({ done: true, value: undefined });
  expect(own.stats().inFlight).toBe(0);
  await Promise.all([ring.close(client), ring.close(server)]);
});
