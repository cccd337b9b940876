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

/**
 * A socket that listens on the loopback, with its address. The port is tried for, below those that the kernel gives:
 * what the kernel chose could be asked only of the newest, or of a table that is slow where many connections have ended.
 */
export async function listener(ring: AsyncRing, backlog: number = 512): Promise<{ fd: number; address: SockAddr }> {
  const fd = await ring.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  for (;;) {
    const address = SockAddr.ipv4("127.0.0.1", 15_000 + Math.floor(Math.random() * 17_000));
    try {
      await ring.bind(fd, address);
      await ring.listen(fd, backlog);
      return { fd, address };
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
    }
  }
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

/** Descriptors that were not there before. The runtime may have closed some of its own meanwhile. */
export function strays(before: readonly string[]): string[] {
  return descriptors().filter((each) => !before.includes(each));
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
