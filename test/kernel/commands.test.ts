// URING_CMD: commands to sockets and block devices.
import { afterAll, describe, expect } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import {
  AF_INET,
  EINVAL,
  EOPNOTSUPP,
  IORING_CQE_F_MORE,
  IORING_TIMESTAMP_TYPE_SHIFT,
  Ring,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_TIMESTAMPING,
  SOCK_DGRAM,
  SOCK_STREAM,
  SockAddr,
  SOCKET_URING_OP_GETSOCKOPT,
  SOCKET_URING_OP_SETSOCKOPT,
  SOCKET_URING_OP_SIOCINQ,
  SOCKET_URING_OP_SIOCOUTQ,
  SOL_SOCKET,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { type Declare, has, needs, needsThat } from "../support/kernel.ts";

/** What a command to a new socket answers: whether the kernel knows it. */
function socketTakes(ask: (ring: Ring, fd: number) => void, ring32 = false): boolean {
  using ring = new Ring(8, { cqe32: ring32 });
  ring.prepSocket(AF_INET, SOCK_DGRAM, 0);
  const fd = complete(ring);
  if (fd < 0) return false;
  ask(ring, fd);
  const cqe = ring.submitAndWaitTimeout(1, 50);
  const taken = cqe === null || cqe.res >= 0;
  closeSync(fd);
  return taken;
}

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** A socket of the ring's that is connected to a server, which sends it `greeting` and reads nothing. */
async function connect(ring: Ring, greeting: Uint8Array): Promise<{ fd: number; port: number }> {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on("error", () => {});
    socket.write(greeting);
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address() as { port: number };
  ring.prepSocket(AF_INET, SOCK_STREAM, 0);
  const fd = complete(ring);
  ring.prepConnect(fd, kept(SockAddr.ipv4("127.0.0.1", port)));
  expect(complete(ring)).toBe(0);
  return { fd, port };
}

describe("prepCmdSock()", () => {
  const options = needs(["SOCKET_URING_OP_SETSOCKOPT", "SOCKET_URING_OP_GETSOCKOPT"], () =>
    socketTakes((ring, fd) =>
      ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, SO_REUSEADDR, kept(Int32Array.of(1))),
    ),
  );

  options("sets an option and reads it back", () => {
    using ring = new Ring(8);
    ring.prepSocket(AF_INET, SOCK_STREAM, 0);
    const fd = complete(ring);
    const value = new Int32Array(1);
    for (const wanted of [1, 0]) {
      ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, SO_REUSEADDR, kept(Int32Array.of(wanted)));
      expect(complete(ring)).toBe(0);
      ring.prepCmdSock(SOCKET_URING_OP_GETSOCKOPT, fd, SOL_SOCKET, SO_REUSEADDR, value);
      expect(complete(ring)).toBe(4);
      expect(value[0]).toBe(wanted);
    }
    ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, SO_RCVBUF, kept(Int32Array.of(50_000)));
    expect(complete(ring)).toBe(0);
    ring.prepCmdSock(SOCKET_URING_OP_GETSOCKOPT, fd, SOL_SOCKET, SO_RCVBUF, value);
    expect(complete(ring)).toBe(4);
    // The kernel doubles it for its own books.
    expect(value[0]).toBe(100_000);
    // Kernel: options are read of SOL_SOCKET only.
    ring.prepCmdSock(SOCKET_URING_OP_GETSOCKOPT, fd, 6, 1, value);
    expect(complete(ring)).toBe(-EOPNOTSUPP);
    closeSync(fd);
  });

  needs("SOCKET_URING_OP_SIOCINQ", () => socketTakes((ring, fd) => ring.prepCmdSock(SOCKET_URING_OP_SIOCINQ, fd)))(
    "counts the bytes that wait in either direction",
    async () => {
      using ring = new Ring(8);
      const { fd } = await connect(ring, pattern(1234));
      let waiting = 0;
      for (let i = 0; i < 200 && waiting < 1234; i++) {
        await Bun.sleep(5);
        ring.prepCmdSock(SOCKET_URING_OP_SIOCINQ, fd);
        waiting = complete(ring);
      }
      expect(waiting).toBe(1234);
      const some = new Uint8Array(234);
      ring.prepRecv(fd, some, 0);
      expect(complete(ring)).toBe(234);
      ring.prepCmdSock(SOCKET_URING_OP_SIOCINQ, fd);
      expect(complete(ring)).toBe(1000);

      // The other end reads nothing: more than both buffers hold stays here.
      const flood = new Uint8Array(1 << 20);
      let sent = 0;
      for (let res = 0; res >= 0 && sent < 64 << 20; sent += Math.max(res, 0)) {
        ring.prepSend(fd, flood, 0x40);
        res = complete(ring);
      }
      ring.prepCmdSock(SOCKET_URING_OP_SIOCOUTQ, fd);
      const queued = complete(ring);
      expect(queued).toBeGreaterThan(0);
      expect(queued).toBeLessThanOrEqual(sent);
      closeSync(fd);
    },
  );
});

needs("SOCKET_URING_OP_GETSOCKNAME", () => {
  const address = SockAddr.empty();
  return socketTakes((ring, fd) => ring.prepCmdGetsockname(fd, address, address.lengthCell));
})("prepCmdGetsockname() tells both ends' addresses", async () => {
  using ring = new Ring(8);
  const { fd, port } = await connect(ring, new Uint8Array(1));
  const address = SockAddr.empty();
  ring.prepCmdGetsockname(fd, address, address.lengthCell, 1);
  expect(complete(ring)).toBe(0);
  expect(address.value).toMatchObject({ family: "ipv4", address: "127.0.0.1", port });
  const own = SockAddr.empty();
  ring.prepCmdGetsockname(fd, own, own.lengthCell);
  expect(complete(ring)).toBe(0);
  expect(own.value).toMatchObject({ family: "ipv4", address: "127.0.0.1" });
  expect((own.value as { port: number }).port).not.toBe(port);
  closeSync(fd);
});

/** SOF_TIMESTAMPING_*: software times of sending, counted, without the data. */
const TX_SOFTWARE = 2;
const SOFTWARE = 16;
const OPT_ID = 128;
const OPT_TSONLY = 2048;

needs("SOCKET_URING_OP_TX_TIMESTAMP", () => socketTakes((ring, fd) => ring.prepCmdTxTimestamp(fd), true))(
  "prepCmdTxTimestamp() tells when each datagram left",
  () => {
    using ring = new Ring(16, { cqe32: true });
    ring.prepSocket(AF_INET, SOCK_DGRAM, 0);
    const fd = complete(ring);
    const wanted = Int32Array.of(TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY);
    ring.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, SO_TIMESTAMPING, wanted);
    expect(complete(ring)).toBe(0);
    ring.prepCmdTxTimestamp(fd).userData(1);
    ring.submit();
    const to = SockAddr.ipv4("127.0.0.1", 9);
    for (let i = 0; i < 3; i++) {
      ring.prepSendto(fd, kept(Buffer.from("timed")), 0, to).skipSuccess();
      ring.submit();
    }
    const keys: number[] = [];
    while (keys.length < 3) {
      const cqe = ring.waitCqes(1, 2000);
      if (cqe === null) throw new Error("no time came");
      expect(cqe.userData).toBe(1);
      expect(cqe.flags & IORING_CQE_F_MORE).toBe(IORING_CQE_F_MORE);
      // Which stage of sending it is: 0 is the driver's.
      expect((cqe.flags >>> IORING_TIMESTAMP_TYPE_SHIFT) & 0x1f).toBeLessThan(4);
      // struct io_timespec in the second half: seconds and nanoseconds of 64 bits each.
      const seconds = cqe.extra(0) >>> 0;
      expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(5);
      expect(cqe.extra(2)).toBeLessThan(1e9);
      keys.push(cqe.res);
      ring.seenCqe();
    }
    expect(keys).toEqual([0, 1, 2]);
    closeSync(fd);
  },
);

needs("IORING_OP_URING_CMD")("prepUringCmd() is refused by a file that knows no commands", () => {
  using ring = new Ring(8);
  const fd = openSync("/dev/zero", "r");
  ring.prepUringCmd(1, fd, kept(new Uint8Array(16)));
  expect(complete(ring)).toBe(-EOPNOTSUPP);
  closeSync(fd);
  const file = openSync(import.meta.path, "r");
  ring.prepUringCmd(1, file);
  expect(complete(ring)).toBe(-EOPNOTSUPP);
  closeSync(file);
});

/** A loop device over a file, by losetup(8): a block device that gives discarded blocks back. */
function loopDevice(path: string): string | undefined {
  if (Bun.which("losetup") === null || process.getuid?.() !== 0) return undefined;
  const { exitCode, stdout } = Bun.spawnSync(["losetup", "--find", "--show", path]);
  return exitCode === 0 ? stdout.toString().trim() : undefined;
}

const directory = scratchDirectory();
const backing = join(directory, "disk");
writeFileSync(backing, pattern(1 << 20, 11));
const device = loopDevice(backing);
afterAll(() => {
  if (device !== undefined) Bun.spawnSync(["losetup", "--detach", device]);
});

/** What a command to discard a part of the device answers. */
function discardAnswer(): number {
  using ring = new Ring(8);
  const fd = openSync(device as string, "r+");
  ring.prepCmdDiscard(fd, 1 << 19, 4096);
  const res = complete(ring);
  closeSync(fd);
  return res;
}

/** Kernel: 7.0 knows the command, and refuses whatever range it is given. */
function discarding(): Declare {
  if (device === undefined) return needsThat(false, "root and a loop device");
  const res = discardAnswer();
  if (res === -EINVAL && has("IORING_OP_URING_CMD"))
    return needsThat(false, "BLOCK_URING_CMD_DISCARD that takes a range, Linux 7.1");
  return needs("BLOCK_URING_CMD_DISCARD", () => res === 0);
}

const discard = discarding();

discard("prepCmdDiscard() discards a range of a block device, and no more", () => {
  using ring = new Ring(8);
  writeFileSync(backing, pattern(1 << 20, 11));
  const fd = openSync(device as string, "r+");
  ring.prepCmdDiscard(fd, 65536, 131072);
  expect(complete(ring)).toBe(0);
  const wanted = Buffer.from(pattern(1 << 20, 11)).fill(0, 65536, 65536 + 131072);
  expect(readFileSync(backing).equals(wanted)).toBe(true);
  const bytes = Buffer.alloc(1 << 20);
  expect(readSync(fd, bytes, 0, 1 << 20, 0)).toBe(1 << 20);
  expect(bytes.subarray(65536, 65536 + 131072).every((byte) => byte === 0)).toBe(true);
  expect(statSync(backing).blocks * 512).toBeLessThan(1 << 20);
  // Half a sector is refused.
  ring.prepCmdDiscard(fd, 1, 512);
  expect(complete(ring)).toBe(-EINVAL);
  // It has no zones to be reset.
  ring.prepCmdZoneResetAll(fd);
  expect([-EOPNOTSUPP, -EINVAL]).toContain(complete(ring));
  closeSync(fd);
});
