// Whose memory it is: a storm with a seed, and sendings without copying.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { EINVAL, IORING_SEND_ZC_REPORT_USAGE, Iovecs, Msghdr, Ring } from "../../src/index.ts";
import { bun } from "../support/child.ts";
import { complete } from "../support/complete.ts";
import { pattern } from "../support/files.ts";
import { needs } from "../support/kernel.ts";
import { patience } from "../support/patience.ts";
import { connection, rejection, ringForFile } from "./support.ts";

const ring = ringForFile();
const zeroCopy = needs("IORING_OP_SEND_ZC");
// Kernel: before it, the operation takes the flag for one that it does not know, and refuses.
const reports = needs("IORING_SEND_ZC_REPORT_USAGE", hasReports);

/** How long the storm lasts: URING_STORM_MS=120000 for two minutes. */
const stormMs = Number(process.env["URING_STORM_MS"] ?? 3000 * patience);
/** What it is made of: URING_STORM_SEED for that of an earlier one. */
const seed = Number(process.env["URING_STORM_SEED"] ?? Date.now() % 1_000_000);

/** Whether sendings without copying can say that they copied: one that cannot even begin is asked for it. */
function hasReports(): boolean {
  using plain = new Ring(2);
  plain.prepSendZc(-1, new Uint8Array(1), 0, IORING_SEND_ZC_REPORT_USAGE);
  return complete(plain) !== -EINVAL;
}

interface Storm {
  readonly reads: number;
  readonly received: number;
  readonly accepted: number;
  readonly aborted: number;
  readonly rings: number;
  readonly collections: number;
  readonly unsettled: number;
  readonly stray: string[];
  readonly growth: number;
}

zeroCopy(
  `a storm of requests, aborts, collections and closings corrupts, loses and leaves nothing (seed ${seed})`,
  async () => {
    const path = join(import.meta.dir, "programs/storm.ts");
    const child = Bun.spawn([...bun, path, String(seed), String(stormMs)], { stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`the storm with seed ${seed} ended with ${code}: ${err.slice(-2000)}`);
    const storm = JSON.parse(out) as Storm;
    expect(storm).toMatchObject({ unsettled: 0, stray: [] });
    // It was one.
    for (const count of [storm.reads, storm.received, storm.accepted, storm.aborted]) expect(count).toBeGreaterThan(50);
    expect(storm.rings).toBeGreaterThan(1);
    expect(storm.collections).toBeGreaterThan(5);
    // Each ring's life takes megabytes: what is left of it would be seen soon.
    expect(storm.growth).toBeLessThan(4e6);
  },
  stormMs * 3 + 30_000,
);

zeroCopy("sendZc() resolves when the memory may be used again", async () => {
  const { client, server } = await connection(ring);
  const expected: Buffer[] = [];
  const receiving = (async () => {
    const parts: Buffer[] = [];
    for (let got = 0; got < 50 * 20_000;) {
      const bytes = Buffer.from(new ArrayBuffer(65_536));
      const count = await ring.recv(server, bytes);
      parts.push(bytes.subarray(0, count));
      got += count;
    }
    return Buffer.concat(parts);
  })();
  const bytes = new Uint8Array(20_000);
  for (let i = 0; i < 50; i++) {
    const data = pattern(20_000, i + 1);
    bytes.set(data);
    expected.push(data);
    expect(await ring.sendZc(client, bytes, 0x100)).toEqual({ bytes: 20_000, copied: null });
    // From here on the memory is ours: what is written now must not be what arrives.
    bytes.fill(0);
  }
  expect(Buffer.compare(await receiving, Buffer.concat(expected))).toBe(0);
  expect(ring.stats().inFlight).toBe(0);
  await Promise.all([ring.close(client), ring.close(server)]);
});

reports("sendZc() says whether the kernel copied after all, if it is asked", async () => {
  const { client, server } = await connection(ring);
  const sending = ring.sendZc(client, pattern(5000), 0, IORING_SEND_ZC_REPORT_USAGE);
  // The loopback hands the sender's pages to the receiver, and so has to copy them.
  expect(await sending).toEqual({ bytes: 5000, copied: true });
  const error = await rejection(ring.sendZc(999_999, new Uint8Array(1)));
  expect({ code: error.code, syscall: error.syscall }).toEqual({ code: "EBADF", syscall: "IORING_OP_SEND_ZC" });
  await Promise.all([ring.close(client), ring.close(server)]);
});

test("stats() counts what was done", async () => {
  const before = ring.stats();
  await Promise.all([ring.nop(), ring.nop({ timeoutMs: 1000 }), ring.nop()]);
  const after = ring.stats();
  // The time limit takes an entry and a completion of its own.
  expect(after.submitted - before.submitted).toBe(4);
  expect(after.completed - before.completed).toBeGreaterThanOrEqual(3);
  expect(after.systemCalls).toBeGreaterThan(before.systemCalls);
});

// What a struct names while a request has it, and what is put in its place then.
test.each([
  ["Iovecs", (iovecs: Iovecs, fd: number) => ring.readv(fd, iovecs, 0)],
  ["the Iovecs of a Msghdr", (iovecs: Iovecs, fd: number) => ring.recvmsg(fd, new Msghdr({ iovecs }))],
])("a request keeps the memory that %s named when it was made", async (_, make) => {
  const { client, server } = await connection(ring);
  let collected = false;
  const registry = new FinalizationRegistry(() => void (collected = true));
  const iovecs = new Iovecs(1);
  (() => {
    const piece = new Uint8Array(5000);
    registry.register(piece, undefined);
    iovecs.set(0, piece);
  })();
  const receiving = make(iovecs, server);
  iovecs.set(0, new Uint8Array(5000));
  for (let i = 0; i < 20; i++) {
    await Bun.sleep(1);
    Bun.gc(true);
  }
  expect(collected).toBe(false);
  await ring.send(client, new Uint8Array(100).fill(7));
  expect(await receiving).toBe(100);
  // It was the request that kept it.
  for (let i = 0; i < 200 && !collected; i++) {
    await Bun.sleep(1);
    Bun.gc(true);
  }
  expect(collected).toBe(true);
  await Promise.all([ring.close(client), ring.close(server)]);
});
