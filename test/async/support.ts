/** What the tests of the high road share: rings that end with their test, sockets that are connected, open descriptors. */
import { afterAll } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { AsyncRing } from "../../src/async/asyncring.ts";
import type { AsyncRingOptions } from "../../src/async/options.ts";
import { EADDRINUSE } from "../../src/abi/errno.gen.ts";
import { AF_INET } from "../../src/abi/linux.ts";
import { UringError } from "../../src/errors.ts";
import { bind, makeSocket, startListening } from "../../src/net/system.ts";
import { SockAddr } from "../../src/ring/sockaddr.ts";
import { bun, type Outcome, run } from "../support/child.ts";

/** A ring that is closed after the tests of the file that asked for it. */
export function ringForFile(options: AsyncRingOptions = {}): AsyncRing {
  const ring = new AsyncRing(options);
  afterAll(() => ring.close());
  return ring;
}

/** What a system call answered, if it is no error. */
function sure(res: number): number {
  if (res < 0) throw new UringError(res, "a system call");
  return res;
}

/** A socket of the internet. A system call makes it: rings do from 5.19 on. */
export function makeClient(): number {
  return sure(makeSocket(AF_INET));
}

/**
 * A socket that listens on the loopback, with its address. System calls make it: rings do from 6.11 on. The port is
 * tried for, below those that the kernel gives.
 */
export function listener(): { fd: number; address: SockAddr } {
  const fd = makeClient();
  for (;;) {
    const address = SockAddr.ipv4("127.0.0.1", 15_000 + Math.floor(Math.random() * 17_000));
    const res = bind(fd, address);
    if (res === -EADDRINUSE) continue;
    sure(res);
    sure(startListening(fd, 512));
    return { fd, address };
  }
}

/** Both ends of a connection over the loopback. */
export async function connection(ring: AsyncRing): Promise<{ client: number; server: number }> {
  const { fd, address } = listener();
  const client = makeClient();
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
