/**
 * FUSE over io_uring: a file system in TypeScript, whose requests come over a ring and are answered over it. The tests
 * mount it and change a setting of the kernel's: they run only where the system was made for them.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { EAGAIN, EINVAL, ENOENT, ENOTCONN, EOPNOTSUPP, EPERM, Iovecs, Mapping, Ring } from "../../src/index.ts";
import type { RingOptions } from "../../src/ring/params.ts";
import { complete } from "../support/complete.ts";
import { pattern } from "../support/files.ts";
import { type Declare, needs, needsThat } from "../support/kernel.ts";
import {
  cmdReq,
  FUSE_GETATTR,
  FUSE_IO_URING_CMD_COMMIT_AND_FETCH,
  FUSE_IO_URING_CMD_REGISTER,
  FUSE_LOOKUP,
  FUSE_OPEN,
  FUSE_READ,
  FUSE_READDIR,
  FUSE_WRITE,
  SIZEOF_REQ_HEADER,
} from "./fuse/abi.ts";
import { Mount, openFuse } from "./fuse/mount.ts";
import { PAYLOAD_BYTES, queueCount } from "./fuse/server.ts";
import { Tree } from "./fuse/tree.ts";

const setting = "/sys/module/fuse/parameters/enable_uring";
const own = process.env["URING_TEST_OWN_SYSTEM"] !== undefined;

/** What the kernel has, on a system that is the tests' own and whose FUSE knows of rings. */
function overRings(declare: () => Declare): Declare {
  if (!own) return needsThat(false, "a system of its own, which URING_TEST_OWN_SYSTEM says it is");
  if (!existsSync(setting)) return needsThat(false, "the setting enable_uring of FUSE, Linux 6.14");
  return declare();
}

let before = "";
const enable = (value: string): void => writeFileSync(setting, value);

beforeAll(() => {
  if (!own || !existsSync(setting)) return;
  before = readFileSync(setting, "utf8").trim();
  enable("Y");
});
afterAll(() => {
  if (before !== "") enable(before);
});

const here = overRings(() => test);
const wide: RingOptions = { sqe128: true };
const large = pattern(300_000);
const tree = (): Tree => new Tree({ hello: Buffer.from("hello"), large, copy: Buffer.from("shorter") });

const rings: [string, RingOptions, () => Declare][] = [
  ["sqe128", wide, () => test],
  ["sqe128 with deferTaskrun", { ...wide, singleIssuer: true, deferTaskrun: true }, () => test],
  ["sqe128 with sqpoll", { ...wide, sqpoll: true }, () => test],
  ["sqeMixed", { sqeMixed: true }, () => needs("IORING_OP_URING_CMD128")],
];

for (const [name, options, declare] of rings) {
  overRings(declare)(`over a ring that is ${name} a file system is read, written and unmounted`, async () => {
    const served = tree();
    await using mount = await Mount.serving(served, options);
    expect(mount.mounted).toBe(true);
    expect((await mount.on("hello", "cat")).stdout.toString()).toBe("hello");
    expect((await mount.on("large", "cat")).stdout.equals(large)).toBe(true);
    expect((await mount.on("large", "stat", "-c", "%s %a %F")).stdout.toString()).toBe("300000 644 regular file\n");
    expect((await mount.on("", "ls", "-a")).stdout.toString().split("\n").filter(Boolean).sort()).toEqual([
      ".",
      "..",
      "copy",
      "hello",
      "large",
    ]);
    expect(await mount.on("missing", "cat")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("No such file or directory"),
    });
    expect(await mount.on("copy", "cp", join(mount.directory, "large"))).toMatchObject({ exitCode: 0, stderr: "" });
    expect(served.content("copy").equals(large)).toBe(true);
    expect((await mount.on("copy", "cmp", join(mount.directory, "large"))).exitCode).toBe(0);

    await mount.unmount();
    expect(mount.mounted).toBe(false);
    const { server } = mount;
    expect(server.ends).toEqual(Array.from({ length: server.entries }, () => -ENOTCONN));
    for (const opcode of [FUSE_LOOKUP, FUSE_GETATTR, FUSE_OPEN, FUSE_READDIR]) {
      expect([opcode, server.count(opcode) > 0]).toEqual([opcode, true]);
    }
    // No request carries more, and all of it came this way.
    const least = Math.ceil(large.length / PAYLOAD_BYTES);
    expect(server.count(FUSE_READ)).toBeGreaterThan(least);
    expect(server.count(FUSE_WRITE)).toBeGreaterThanOrEqual(least);
  });
}

here("each processor's requests come to its own queue", async () => {
  await using mount = await Mount.serving(tree(), wide);
  for (let queue = 0; queue < cpus().length; queue++) {
    const reads = (): number[] => mount.server.came.map((opcodes) => opcodes.filter((one) => one === FUSE_READ).length);
    const earlier = reads();
    const mask = (1n << BigInt(queue)).toString(16);
    expect((await mount.on("large", "taskset", mask, "cat")).stdout.equals(large)).toBe(true);
    const came = reads().map((count, other) => count - (earlier[other] as number));
    expect(came.map((count) => count > 0)).toEqual(came.map((_, other) => other === queue));
  }
  await mount.unmount();
});

here("more programs at a time than there are entries get each its own bytes", async () => {
  const contents = Array.from({ length: 4 * queueCount }, (_, i) => pattern(200_000 + i, i + 1));
  await using mount = await Mount.serving(new Tree(Object.fromEntries(contents.entries())), wide);
  expect(contents.length).toBeGreaterThan(mount.server.entries);
  const outcomes = await Promise.all(contents.map((_, i) => mount.on(String(i), "cat")));
  expect(outcomes.map(({ stdout }, i) => stdout.equals(contents[i] as Buffer))).toEqual(contents.map(() => true));
  await mount.unmount();
});

here("an answer that nobody waits for is refused, and the file system goes on", async () => {
  await using mount = await Mount.serving(tree(), wide);
  using ring = new Ring(4, wide);
  const answer = (command: number, queue: number, commitId: bigint): number => {
    ring.prepUringCmd(command, mount.fd, cmdReq(queue, commitId));
    return complete(ring);
  };
  expect((await mount.on("hello", "cat")).stdout.toString()).toBe("hello");
  expect(answer(FUSE_IO_URING_CMD_COMMIT_AND_FETCH, 0, 0xffff_ffff_ffffn)).toBe(-ENOENT);
  expect(answer(FUSE_IO_URING_CMD_COMMIT_AND_FETCH, queueCount, 2n)).toBe(-EINVAL);
  // There is no such command.
  expect(answer(0, 0, 2n)).toBe(-EINVAL);
  expect((await mount.on("large", "cat")).stdout.equals(large)).toBe(true);
  await mount.unmount();
});

here("a ring of entries of 64 bytes is refused, and the file system goes on", async () => {
  await using mount = await Mount.serving(tree(), wide);
  using ring = new Ring(4);
  expect(() => ring.prepUringCmd(FUSE_IO_URING_CMD_REGISTER, mount.fd, cmdReq(0))).toThrow(
    expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }),
  );
  for (const command of [FUSE_IO_URING_CMD_REGISTER, FUSE_IO_URING_CMD_COMMIT_AND_FETCH]) {
    ring.prepUringCmd(command, mount.fd, cmdReq(0).subarray(0, 16));
    expect(complete(ring)).toBe(-EINVAL);
  }
  expect((await mount.on("large", "cat")).stdout.equals(large)).toBe(true);
  await mount.unmount();
});

const memory = Mapping.anonymous(4096 + PAYLOAD_BYTES);
afterAll(() => memory.close());
const pieces = (headerBytes: number, payloadBytes: number): Iovecs =>
  new Iovecs(2).set(0, memory.address, headerBytes).set(1, memory.address + 4096, payloadBytes);
const whole = pieces(SIZEOF_REQ_HEADER, PAYLOAD_BYTES);

const refused: [string, number, Iovecs | null][] = [
  ["without memory", 0, null],
  ["with too little memory for headers", 0, pieces(SIZEOF_REQ_HEADER - 1, PAYLOAD_BYTES)],
  ["with too little memory for a payload", 0, pieces(SIZEOF_REQ_HEADER, PAYLOAD_BYTES - 1)],
  ["with one piece of memory", 0, new Iovecs(1).set(0, memory.address, PAYLOAD_BYTES)],
  ["for a queue that there is not", queueCount, whole],
];

// Kernel: a refusal turns rings off for the file system, so each has one of its own.
for (const [what, queue, iovecs] of refused) {
  here(`an entry ${what} is refused`, async () => {
    await using mount = await Mount.make();
    mount.answerInit();
    using ring = new Ring(4, wide);
    ring.prepUringCmd(FUSE_IO_URING_CMD_REGISTER, mount.fd, cmdReq(queue), iovecs, iovecs?.length);
    expect(complete(ring)).toBe(-EINVAL);
  });
}

here("an entry before the first answer is refused", async () => {
  await using mount = await Mount.make();
  expect(mount.init.offersRing).toBe(true);
  using ring = new Ring(4, wide);
  ring.prepUringCmd(FUSE_IO_URING_CMD_REGISTER, mount.fd, cmdReq(0), whole, whole.length);
  expect(complete(ring)).toBe(-EAGAIN);
});

here("an entry for a file system that is not mounted is refused", () => {
  const fd = openFuse();
  using ring = new Ring(4, wide);
  ring.prepUringCmd(FUSE_IO_URING_CMD_REGISTER, fd, cmdReq(0), whole, whole.length);
  // Kernel: 6.16 calls it not connected, 6.18 and later forbid it.
  expect([-ENOTCONN, -EPERM]).toContain(complete(ring));
  closeSync(fd);
});

here("programs learn that nobody serves any more, and what they look at can be unmounted", async () => {
  await using mount = await Mount.serving(tree(), wide);
  expect((await mount.on("hello", "cat")).stdout.toString()).toBe("hello");
  await mount.abandon();
  expect(await mount.on("hello", "cat")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("not connected"),
  });
  expect(mount.mounted).toBe(true);
  expect((await mount.run("umount", mount.directory)).exitCode).toBe(0);
  expect(mount.mounted).toBe(false);
});

here("where it is turned off the kernel neither offers it nor takes an entry", async () => {
  enable("N");
  try {
    await using mount = await Mount.make();
    expect(mount.init.offersRing).toBe(false);
    mount.answerInit();
    using ring = new Ring(4, wide);
    ring.prepUringCmd(FUSE_IO_URING_CMD_REGISTER, mount.fd, cmdReq(0));
    expect(complete(ring)).toBe(-EOPNOTSUPP);
  } finally {
    enable("Y");
  }
});
