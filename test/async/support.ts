/** What the tests of the high road share: rings that end with their test, sockets that are connected, open descriptors. */
import { afterAll } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { AsyncRing } from "../../src/async/asyncring.ts";
import type { AsyncRingOptions } from "../../src/async/options.ts";
import { AF_INET, SOCK_CLOEXEC, SOCK_STREAM } from "../../src/abi/linux.ts";
import { SockAddr } from "../../src/ring/sockaddr.ts";
import { bun, type Outcome, run } from "../support/child.ts";

/** A ring that is closed after the tests of the file that asked for it. */
export function ringForFile(options: AsyncRingOptions = {}): AsyncRing {
  const ring = new AsyncRing(options);
  afterAll(() => ring.close());
  return ring;
}

/** A socket that listens on a free port of the loopback, with its address. */
export async function listener(ring: AsyncRing, backlog: number = 512): Promise<{ fd: number; address: SockAddr }> {
  const fd = await ring.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  await ring.bind(fd, SockAddr.ipv4("127.0.0.1", 0));
  await ring.listen(fd, backlog);
  return { fd, address: await nameOf(fd) };
}

/** The address that the kernel gave a listening socket, from its own table: not every kernel's ring can be asked. */
async function nameOf(fd: number): Promise<SockAddr> {
  const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[0];
  const lines = (await Bun.file("/proc/self/net/tcp").text()).split("\n");
  const line = lines.map((text) => text.trim().split(/\s+/)).find((fields) => fields[9] === inode);
  const port = Number.parseInt(line?.[1]?.split(":")[1] ?? "", 16);
  return SockAddr.ipv4("127.0.0.1", port);
}

/** Both ends of a connection over the loopback. */
export async function connection(ring: AsyncRing): Promise<{ client: number; server: number }> {
  const { fd, address } = await listener(ring);
  const client = await ring.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const [server] = await Promise.all([ring.accept(fd), ring.connect(client, address)]);
  await ring.close(fd);
  return { client, server };
}

/** The process's descriptors and what they are: files of tests, sockets, pipes, rings. The runtime closes its own when it likes. */
export function descriptors(): string[] {
  return readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return `${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`;
      } catch {
        return "";
      }
    })
    .filter((text) => /socket:|pipe:|io_uring|uring-test/.test(text))
    .toSorted();
}

/** The error that a promise rejects with; throws if it does not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string; syscall?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("the promise resolved");
}

/** Runs a program of test/async/programs to its end. */
export function outcome(name: string, args: readonly string[] = []): Outcome {
  return run([...bun, join(import.meta.dir, "programs", `${name}.ts`), ...args]);
}

/** The one line of JSON that such a program prints. */
export function program<T>(name: string, args: readonly string[] = []): T {
  const result = outcome(name, args);
  const line = result.stdout.trim().split("\n").at(-1) ?? "";
  if (result.exitCode !== 0 || !/^[[{]/.test(line)) throw new Error(`${name}: ${JSON.stringify(result, null, 1)}`);
  return JSON.parse(line) as T;
}
