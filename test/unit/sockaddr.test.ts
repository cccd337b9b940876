/** Socket addresses: their bytes against C's, their text against C's, and the kernel's word on them. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { IORING_OP_BIND, IORING_OP_LISTEN } from "../../src/abi/constants.gen.ts";
import { AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM } from "../../src/abi/linux.ts";
import type { Located } from "../../src/memory.ts";
import { Ring } from "../../src/ring/ring.ts";
import { SockAddr, type SocketAddress } from "../../src/ring/sockaddr.ts";
import { compiler, needsCompiler, runC } from "../support/compiler.ts";
import { scratchDirectory } from "../support/files.ts";

const directory = scratchDirectory();
const memory = openSync("/proc/self/mem", "r+");
afterAll(() => closeSync(memory));

function bytesOf({ address, byteLength }: Located): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  readSync(memory, bytes, 0, byteLength, address);
  return bytes;
}

const withCompiler = test.skipIf(compiler === null);
const includes = ["arpa/inet.h", "netinet/in.h", "stddef.h", "string.h", "sys/un.h"];
const printBytes = 'for (unsigned i = 0; i < n; i++) printf("%02x", ((unsigned char *)&s)[i]); printf("\\n");';

function cBytes(type: string, length: string, assignments: string): string {
  const body = `struct ${type} s; memset(&s, 0, sizeof s); ${assignments} unsigned n = ${length}; ${printBytes}`;
  return runC(includes, [body])[0] ?? "";
}

const ipv4Texts = ["0.0.0.0", "127.0.0.1", "255.255.255.255", "192.0.2.33"];
const ipv6Texts = [
  "::",
  "::1",
  "1::",
  "2001:db8::1",
  "2001:DB8:0:0:1:0:0:1",
  "2001:db8:0:1:1:1:1:1",
  "1:0:0:2:0:0:0:3",
  "fe80::1:2:3:4",
  "::ffff:192.0.2.1",
  "64:ff9b::192.0.2.33",
  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  "0:0:0:0:0:0:0:0",
  "1:2:3:4:5:6:7::",
  "::2:3:4:5:6:7:8",
  "1:2:3:4:5:6:1.2.3.4",
];

describe("building", () => {
  withCompiler(needsCompiler("ipv4() has C's bytes"), () => {
    const expected = cBytes(
      "sockaddr_in",
      "sizeof s",
      's.sin_family = AF_INET; s.sin_port = htons(8080); inet_pton(AF_INET, "192.0.2.33", &s.sin_addr);',
    );
    expect(bytesOf(SockAddr.ipv4("192.0.2.33", 8080)).toHex()).toBe(expected);
  });

  withCompiler(needsCompiler("ipv6() has C's bytes"), () => {
    const expected = cBytes(
      "sockaddr_in6",
      "sizeof s",
      "s.sin6_family = AF_INET6; s.sin6_port = htons(65535); s.sin6_scope_id = 3; s.sin6_flowinfo = htonl(0x12345);" +
        'inet_pton(AF_INET6, "fe80::1:2", &s.sin6_addr);',
    );
    expect(bytesOf(SockAddr.ipv6("fe80::1:2", 65535, 3, 0x12345)).toHex()).toBe(expected);
    expect(bytesOf(SockAddr.ipv6("fe80::1:2%3", 65535, 0, 0x12345)).toHex()).toBe(expected);
  });

  withCompiler(needsCompiler("unix() and abstract() have C's bytes"), () => {
    const path = cBytes(
      "sockaddr_un",
      "offsetof(struct sockaddr_un, sun_path) + strlen(s.sun_path) + 1",
      's.sun_family = AF_UNIX; strcpy(s.sun_path, "/run/größe.sock");',
    );
    expect(bytesOf(SockAddr.unix("/run/größe.sock")).toHex()).toBe(path);
    const name = cBytes(
      "sockaddr_un",
      "offsetof(struct sockaddr_un, sun_path) + 1 + 4",
      's.sun_family = AF_UNIX; strcpy(s.sun_path + 1, "name");',
    );
    expect(bytesOf(SockAddr.abstract("name")).toHex()).toBe(name);
  });

  withCompiler(needsCompiler("ipv6() reads, and parse() writes, what inet_pton() and inet_ntop() do"), () => {
    const lines = ipv6Texts.map(
      (text) =>
        `{ struct in6_addr s; char out[64]; unsigned n = sizeof s; inet_pton(AF_INET6, "${text}", &s);` +
        `inet_ntop(AF_INET6, &s, out, sizeof out); printf("%s ", out); ${printBytes} }`,
    );
    const said = runC(includes, lines);
    const ours = ipv6Texts.map((text) => {
      const bytes = bytesOf(SockAddr.ipv6(text, 0));
      const address = SockAddr.parse(bytes) as { address: string };
      return `${address.address} ${bytes.subarray(8, 24).toHex()}`;
    });
    expect(ours).toEqual(said);
  });

  test("refuses what is no address", () => {
    const calls: (() => SockAddr)[] = [];
    for (const text of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "256.0.0.1",
      "1.2.3.-4",
      "01.2.3.4",
      "1.2.3.4 ",
      "a.b.c.d",
      "1..2.3",
    ]) {
      calls.push(() => SockAddr.ipv4(text, 1));
    }
    for (const text of [
      "",
      ":",
      ":::",
      "1",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "1::2::3",
      "12345::",
      "g::",
      ":1::2",
      "1::2:",
      "1.2.3.4::",
      "1.2.3.4::1.2.3.4",
      "::1.2.3",
      "::1.2.3.4:5",
      "127.0.0.1",
      "fe80::1%",
      "fe80::1%eth0",
      "fe80::1%1%2",
      "fe80::1%4294967296",
      "[::1]",
    ]) {
      calls.push(() => SockAddr.ipv6(text, 1));
    }
    for (const value of [null, undefined, 1, {}]) {
      calls.push(
        () => SockAddr.ipv4(value as unknown as string, 1),
        () => SockAddr.ipv6(value as unknown as string, 1),
        () => SockAddr.unix(value as unknown as string),
        () => SockAddr.abstract(value as unknown as string),
      );
    }
    for (const port of [-1, 65536, 1.5, NaN, "80", null, 1n]) {
      calls.push(
        () => SockAddr.ipv4("127.0.0.1", port as number),
        () => SockAddr.ipv6("::1", port as number),
      );
    }
    calls.push(
      () => SockAddr.ipv6("::1", 1, 2 ** 32),
      () => SockAddr.ipv6("::1", 1, 0, 1.5),
      () => SockAddr.unix(""),
      () => SockAddr.unix("a\0b"),
      () => SockAddr.unix("x".repeat(108)),
      () => SockAddr.unix("ö".repeat(54)),
      () => SockAddr.abstract("x".repeat(108)),
    );
    for (const call of calls) {
      expect(call).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }));
    }
    expect(SockAddr.unix("x".repeat(107)).byteLength).toBe(110);
  });
});

describe("reading", () => {
  test("value says what went in", () => {
    const ports = [0, 1, 80, 256, 65535];
    for (const address of ipv4Texts) {
      for (const port of ports) expect(SockAddr.ipv4(address, port).value).toEqual({ family: "ipv4", address, port });
    }
    expect(SockAddr.ipv6("FE80::0:1", 443, 7, 9).value).toEqual({
      family: "ipv6",
      address: "fe80::1",
      port: 443,
      scopeId: 7,
      flowInfo: 9,
    });
    expect(SockAddr.unix("/run/größe").value).toEqual({ family: "unix", path: "/run/größe" });
    expect(SockAddr.abstract("a\0name").value).toEqual({ family: "abstract", name: "a\0name" });
    expect(SockAddr.abstract("").value).toEqual({ family: "abstract", name: "" });
  });

  test("parse() reads by the length that the kernel gave", () => {
    const cases: [Uint8Array, number | undefined, SocketAddress][] = [
      [new Uint8Array(128), 0, { family: "unnamed" }],
      [Uint8Array.of(1, 0), undefined, { family: "unnamed" }],
      [Uint8Array.of(1, 0, 0x2f, 0x61, 0, 0x62), undefined, { family: "unix", path: "/a" }],
      [Uint8Array.of(1, 0, 0x2f, 0x61), undefined, { family: "unix", path: "/a" }],
      [Uint8Array.of(1, 0, 0x2f, 0x61), 200, { family: "unix", path: "/a" }],
      [Uint8Array.of(1, 0, 0, 0x61, 0x62), 4, { family: "abstract", name: "a" }],
      [Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), undefined, { family: "other", number: 16 }],
    ];
    for (const [bytes, length, expected] of cases) expect(SockAddr.parse(bytes, length)).toEqual(expected);
    // In the middle of a larger buffer, at any alignment.
    const around = new Uint8Array(64);
    around.set(bytesOf(SockAddr.ipv6("2001:db8::5", 9)), 3);
    expect(SockAddr.parse(around.subarray(3), 28)).toMatchObject({ address: "2001:db8::5", port: 9 });
  });

  test("parse() refuses what is cut off or no bytes", () => {
    for (const call of [
      () => SockAddr.parse(bytesOf(SockAddr.ipv4("1.2.3.4", 5)), 8),
      () => SockAddr.parse(bytesOf(SockAddr.ipv6("::1", 5)).subarray(0, 27)),
      () => SockAddr.parse("text" as unknown as Uint8Array),
      () => SockAddr.parse(new Uint8Array(16), 1.5),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_URING_ARG_/) }));
    }
  });

  test("reset() makes an address fit to receive again", () => {
    const peer = SockAddr.empty();
    expect([peer.byteLength, peer.length, peer.lengthCell.byteLength]).toEqual([128, 128, 4]);
    writeSync(memory, bytesOf(SockAddr.ipv4("10.0.0.1", 7)), 0, 16, peer.address);
    writeSync(memory, new Uint8Array(Int32Array.of(16).buffer), 0, 4, peer.lengthCell.address);
    expect(peer.value).toEqual({ family: "ipv4", address: "10.0.0.1", port: 7 });
    expect(peer.length).toBe(16);
    expect(peer.reset().length).toBe(128);
    expect(new Int32Array(bytesOf(peer.lengthCell).buffer)[0]).toBe(128);
  });
});

describe("the kernel", () => {
  const ring = new Ring(8);
  afterAll(() => ring.close());

  function complete(): number {
    ring.submitAndWait(1);
    const result = ring.peekCqe()?.res ?? NaN;
    ring.seenCqe();
    return result;
  }

  const canListen = ring.supports(IORING_OP_BIND) && ring.supports(IORING_OP_LISTEN);
  const loopback6 = existsSync("/proc/net/if_inet6") && readFileSync("/proc/net/if_inet6", "utf8").includes(" lo\n");

  function missing(domain: number): string {
    if (!canListen) return " (skipped: IORING_OP_BIND waits for Linux 6.11)";
    return domain === AF_INET6 && !loopback6 ? " (skipped: this machine has no ::1)" : "";
  }

  const addresses: [string, number, SockAddr, (found: SocketAddress) => SockAddr][] = [
    ["ipv4", AF_INET, SockAddr.ipv4("127.0.0.1", 0), (found) => SockAddr.ipv4("127.0.0.1", portOf(found))],
    ["ipv6", AF_INET6, SockAddr.ipv6("::1", 0), (found) => SockAddr.ipv6("::1", portOf(found))],
    ["unix", AF_UNIX, SockAddr.unix(join(directory, "s")), () => SockAddr.unix(join(directory, "s"))],
    ["abstract", AF_UNIX, SockAddr.abstract("uring-test\0x"), () => SockAddr.abstract("uring-test\0x")],
  ];

  function portOf(found: SocketAddress): number {
    return "port" in found ? found.port : NaN;
  }

  for (const [family, domain, address, reach] of addresses) {
    test.skipIf(missing(domain) !== "")(`binds, connects and accepts by ${family} address${missing(domain)}`, () => {
      const fds: number[] = [];
      const socket = (): number => {
        ring.prepSocket(domain, SOCK_STREAM, 0);
        const fd = complete();
        expect(fd).toBeGreaterThan(0);
        fds.push(fd);
        return fd;
      };
      const listener = socket();
      ring.prepBind(listener, address);
      expect(complete()).toBe(0);
      ring.prepListen(listener, 4);
      expect(complete()).toBe(0);
      const client = socket();
      const boundTo = domain === AF_UNIX ? address.value : { ...address.value, port: boundPort(listener) };
      ring.prepConnect(client, reach(boundTo as SocketAddress));
      expect(complete()).toBe(0);
      const peer = SockAddr.empty();
      ring.prepAccept(listener, peer, peer.lengthCell);
      const accepted = complete();
      expect(accepted).toBeGreaterThan(0);
      fds.push(accepted);
      if (domain === AF_UNIX) expect(peer.value).toEqual({ family: "unnamed" });
      else expect(peer.value).toEqual({ ...boundTo, port: expect.any(Number) } as SocketAddress);
      fds.forEach((fd) => closeSync(fd));
    });
  }

  /** The port that the kernel chose, from the list that it shows of listening sockets. */
  function boundPort(fd: number): number {
    const inode = /socket:\[(\d+)\]/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    for (const table of ["tcp", "tcp6"]) {
      const lines = readFileSync(`/proc/net/${table}`, "utf8").split("\n");
      const fields = lines.map((line) => line.trim().split(/\s+/)).find((line) => line[9] === inode);
      if (fields !== undefined) return Number.parseInt(fields[1]?.split(":").at(-1) ?? "", 16);
    }
    return NaN;
  }
});
