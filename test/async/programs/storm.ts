/**
 * A storm over the high road: storm.ts SEED MS. Reads, sends, receives, accepts, chains and iterators, of which many are
 * aborted, with buffers that nobody holds but the ring, collections in between, and rings that are closed under way.
 * Every byte that arrives is compared with what it must be, and memory that nobody was given is watched. Prints counts.
 */
import { closeSync, openSync, readdirSync, readlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { AsyncRing } from "../../../src/async/asyncring.ts";
import { AT_FDCWD, MSG_WAITALL, SHUT_RDWR } from "../../../src/abi/linux.ts";
import type { BufferRing } from "../../../src/ring/bufferring.ts";
import { Iovecs, Timespec } from "../../../src/ring/structs.ts";
import { pattern } from "../../support/files.ts";
import { listener, makeClient } from "../support.ts";

const [, , seedText = "1", msText = "2000"] = process.argv;
let state = Number(seedText) >>> 0 || 1;

/** A whole number from 0 to `below` - 1, from the seed. */
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const chance = (one: number): boolean => random(one) === 0;

const file = `/tmp/uring-storm-${process.pid}`;
const content = pattern(1 << 20, 77);
writeFileSync(file, content);

/** How many of each there are to be at the least. */
const ENOUGH = 50;
const counts = { reads: 0, sent: 0, received: 0, accepted: 0, aborted: 0, chains: 0, rings: 0, collections: 0 };
let started = 0;
let settled = 0;
const stop = { now: false };

/** Rings whose end has begun. */
const closing = new WeakSet<AsyncRing>();
const goesOn = (ring: AsyncRing): boolean => !stop.now && !closing.has(ring);

/** What a promise came to; undefined where it was aborted, canceled or its ring closed. Anything else is a failure. */
async function watch<T>(promise: Promise<T>): Promise<T | undefined> {
  started++;
  try {
    return await promise;
  } catch (error) {
    const { code } = error as { code?: string };
    const expected = ["ECANCELED", "ETIME", "ERR_URING_CLOSED", "EPIPE", "ECONNRESET"];
    if (error !== "aborted" && !expected.includes(code ?? "")) throw error;
    counts.aborted++;
    return undefined;
  } finally {
    settled++;
  }
}

/** Options that end one in a few requests early, by a signal or a time limit. */
function early(): { signal?: AbortSignal; timeoutMs?: number } {
  if (chance(6)) return { timeoutMs: random(30) / 10 };
  if (!chance(4)) return {};
  const controller = new AbortController();
  const abort = (): void => controller.abort("aborted");
  if (chance(3)) queueMicrotask(abort);
  else setTimeout(abort, random(5));
  return { signal: controller.signal };
}

function expectBytes(bytes: Uint8Array, from: number): void {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== content[(from + i) & (content.length - 1)]) throw new Error(`byte ${from + i} is wrong`);
  }
}

/** Reads at random places of the file, plain, vectored, by worker threads. */
async function readFiles(ring: AsyncRing): Promise<void> {
  const fd = openSync(file, "r");
  while (goesOn(ring)) {
    const offset = random(content.length - 5000);
    const options = { ...early(), async: chance(3) };
    if (chance(5)) {
      const parts = [new Uint8Array(1 + random(900)), new Uint8Array(1 + random(900))];
      const count = await watch(ring.readv(fd, new Iovecs(parts), offset, options));
      if (count !== undefined) expectBytes(Buffer.concat(parts).subarray(0, count), offset);
    } else {
      const bytes = new Uint8Array(1 + random(4000));
      const count = await watch(ring.read(fd, bytes, offset, options));
      if (count !== undefined) expectBytes(bytes.subarray(0, count), offset);
    }
    counts.reads++;
  }
  closeSync(fd);
}

/** Requests that nobody waits for and whose memory nobody else holds: what they read goes nowhere, and must. */
async function forget(ring: AsyncRing, pipe: number): Promise<void> {
  while (goesOn(ring)) {
    for (let i = 0; i < 16; i++) void watch(ring.read(pipe, new Uint8Array(64), -1, { timeoutMs: random(8) }));
    await Bun.sleep(random(6));
  }
}

/** Sends the endless repetition of the content, part by part; a part that was aborted is sent again. */
async function send(ring: AsyncRing, fd: number): Promise<void> {
  let at = 0;
  while (goesOn(ring)) {
    const from = at & (content.length - 1);
    const part = content.slice(from, from + 1 + random(3000));
    const flags = chance(2) ? MSG_WAITALL : 0;
    const count = chance(8)
      ? (await watch(ring.sendZc(fd, part, flags, early())))?.bytes
      : await watch(ring.send(fd, part, flags, early()));
    at += count ?? 0;
    counts.sent += count ?? 0;
    if (chance(40)) await Bun.sleep(random(3));
  }
  ring.shutdown(fd, SHUT_RDWR).catch(() => undefined);
}

/** Receives it: one by one, or by an iterator that is left now and then. Nothing may be missing or come twice. */
async function receive(ring: AsyncRing, fd: number, buffers: BufferRing): Promise<void> {
  let at = 0;
  const take = (bytes: Uint8Array): void => {
    expectBytes(bytes, at);
    at += bytes.length;
    counts.received += bytes.length;
  };
  for (let over = false; !over && goesOn(ring);) {
    // An iterator that is left has taken what it gives back unread: from there on nothing can be compared.
    if (chance(60)) {
      const loop = (async () => {
        for await (const bytes of ring.recvMultishot(fd, buffers, { maxQueued: 1 + random(8) })) {
          take(bytes);
          if (stop.now) return;
          if (chance(30)) await Bun.sleep(random(2));
        }
      })();
      await watch(loop);
      over = true;
    } else {
      const bytes = new Uint8Array(1 + random(2000));
      const count = await watch(ring.recv(fd, bytes, early()));
      if (count === 0) over = true;
      take(bytes.subarray(0, count ?? 0));
    }
  }
}

/** Connects and accepts, both sides early now and then. Whoever gets a descriptor closes it. */
async function connect(ring: AsyncRing): Promise<void> {
  const { fd, address } = listener();
  const close = (each: number | undefined): void => {
    if (each !== undefined) closeSync(each);
  };
  while (goesOn(ring)) {
    const accepting = watch(ring.accept(fd, early())).then((client) => {
      if (client !== undefined) counts.accepted++;
      close(client);
    });
    const client = makeClient();
    await watch(ring.connect(client, address, early()));
    const opened = await watch(ring.openat(AT_FDCWD, file, 0, early()));
    close(client);
    close(opened);
    if (chance(2)) await watch(ring.nop());
    ring.cancelFd(fd).catch(() => undefined);
    await accepting;
  }
  closeSync(fd);
}

/** Chains whose links read what they must, or are cut short. */
async function chain(ring: AsyncRing): Promise<void> {
  const fd = openSync(file, "r");
  while (goesOn(ring)) {
    const [one, two] = [new Uint8Array(100), new Uint8Array(200)];
    const { signal } = early();
    const build = ring.chain(
      (c) => {
        c.read(fd, one, 1000);
        c.timeout(Timespec.ofMs(random(2)), 0, 1 << 5);
        c.read(fd, two, 2000);
      },
      signal === undefined ? {} : { signal },
    );
    if ((await watch(build)) !== undefined) {
      expectBytes(one, 1000);
      expectBytes(two, 2000);
    }
    counts.chains++;
  }
  closeSync(fd);
}

/** One ring's life: everything at once, until it is closed under way. */
async function live(): Promise<void> {
  const ring = new AsyncRing({
    entries: 2 ** (3 + random(6)),
    maxInFlight: 64 + random(500),
    maxPerTurn: 8 + random(500),
  });
  counts.rings++;
  const buffers = ring.bufferRing({ entries: 8, size: 1024, incremental: false });
  const { fd, address } = listener();
  const work: Promise<void>[] = [chain(ring), connect(ring), readFiles(ring), readFiles(ring)];
  const sockets: number[] = [fd];
  for (let i = 0; i < 3; i++) {
    const client = makeClient();
    const [server] = await Promise.all([ring.accept(fd), ring.connect(client, address)]);
    sockets.push(client, server);
    work.push(send(ring, client), receive(ring, server, buffers));
  }
  const idle = makeClient();
  const [silent] = await Promise.all([ring.accept(fd), ring.connect(idle, address)]);
  sockets.push(idle, silent);
  work.push(forget(ring, silent));
  setTimeout(
    () => {
      closing.add(ring);
      void ring.close();
    },
    100 + random(400),
  );
  let over = 0;
  const each = work.map((one) => one.finally(() => over++));
  const patience = setTimeout(() => {
    throw new Error(`a ring does not end: ${over} of ${work.length} are over, ${JSON.stringify(ring.stats())}`);
  }, 10_000);
  const results = await Promise.allSettled(each);
  await ring.close();
  clearTimeout(patience);
  for (const socket of sockets) closeSync(socket);
  for (const result of results) {
    const code = result.status === "rejected" ? (result.reason as { code?: string }).code : "ECANCELED";
    if (code !== "ECANCELED" && code !== "ERR_URING_CLOSED") throw (result as PromiseRejectedResult).reason;
  }
}

function descriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /socket:|io_uring|uring-storm/.test(target) ? [target] : [];
    } catch {
      return [];
    }
  });
}

/** Memory that nobody was given, in the sizes of what is: whoever writes into freed memory meets it sooner or later. */
function innocents(): Uint8Array[] {
  return Array.from({ length: 400 }, () => new Uint8Array(1 + random(4000)).fill(0xa5));
}

const before = descriptors();
const end = performance.now() + Number(msText);
let watched = innocents();
const collector = setInterval(() => {
  Bun.gc(true);
  counts.collections++;
  if (!watched.every((each) => each.every((byte) => byte === 0xa5)))
    throw new Error("memory was touched that is nobody's");
  watched = innocents();
}, 50);
const heaps: number[] = [];
/** Where all is slow it takes longer until it was one. */
const isThin = (): boolean => Math.min(counts.reads, counts.received, counts.accepted, counts.aborted) <= ENOUGH;
while (performance.now() < end || (isThin() && performance.now() < end + Number(msText))) {
  await Promise.all([live(), live()]);
  Bun.gc(true);
  heaps.push(process.memoryUsage().heapUsed);
}
stop.now = true;
clearInterval(collector);
await Bun.sleep(50);
unlinkSync(file);
const half = heaps.length >> 1;
const least = (from: number, to: number): number => Math.min(...heaps.slice(from, to));
console.log(
  JSON.stringify({
    ...counts,
    unsettled: started - settled,
    stray: descriptors().filter((each) => !before.includes(each)),
    growth: half > 0 ? least(half, heaps.length) - least(0, half) : 0,
  }),
);
process.exit(0);
