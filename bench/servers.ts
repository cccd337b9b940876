// Servers under load: a process on one processor, a load generator on another, and what both used.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { scratch } from "./cc.ts";
import { output, pinned, start, stop } from "./harness.ts";

const tickNs = 1e7; // USER_HZ is 100 on every architecture that Bun runs on

/** What the load generator does: so many connections, messages of so many bytes; see bench/c/load.c. */
export interface Shape {
  readonly label: string;
  readonly mode: "stream" | "churn";
  /** Whether over a Unix socket, not TCP. */
  readonly unix: boolean;
  readonly conns: number;
  readonly size: number;
}

/** A server that accepts connections. */
export interface Server {
  readonly label: string;
  /** The port on the loopback interface, or the path of a Unix socket. */
  readonly where: string;
  readonly child: ReturnType<typeof start>;
}

/** One slice of load: messages (or connections) per second, latencies, and the server's processor time for each. */
export interface Slice {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUs: number;
  /** How much of one processor neither server nor load used, but others did. */
  readonly others: number;
}

function freePort(): string {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const port = listener.port;
  listener.stop(true);
  return String(port);
}

let paths = 0;

/** A path in the benchmark's temporary directory where nothing is. */
function freePath(): string {
  return join(scratch(), `socket${paths++}`);
}

async function answers(where: string): Promise<boolean> {
  try {
    const handlers = { data(): void {} };
    const socket = await (where.startsWith("/")
      ? Bun.connect({ unix: where, socket: handlers })
      : Bun.connect({ hostname: "127.0.0.1", port: Number(where), socket: handlers }));
    socket.end();
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts a server on the first processor and waits until it accepts connections; it takes its port, or with `unix` the
 * path of a Unix socket, as last argument.
 */
export async function launchPlain(label: string, command: readonly string[], unix: boolean = false): Promise<Server> {
  const where = unix ? freePath() : freePort();
  const child = start(pinned(0, [...command, where]));
  for (let i = 0; !(await answers(where)); i++) {
    if (child.exitCode !== null || i === 400) {
      await stop(child);
      throw new Error(`Cannot start ${label}: it does not accept connections`);
    }
    await Bun.sleep(25);
  }
  return { label, where, child };
}

/**
 * Starts a server and has `load` check that every byte comes back: through few connections that carry more than the
 * sockets' buffers hold, and through many.
 */
export async function launch(
  label: string,
  command: readonly string[],
  load: readonly string[],
  unix: boolean,
): Promise<Server> {
  const server = await launchPlain(label, command, unix);
  for (const [conns, size] of [
    [4, 6_000_000],
    [300, 20_000],
  ])
    await output(pinned(1, [...load, "check", server.where, String(conns), String(size)]), 30_000);
  return server;
}

/** Processor time that a process with all its threads has used, in clock ticks. */
function processTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/** Processor time that the whole machine has used, in clock ticks: all but idle and waiting for disks. */
function machineTicks(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return user + nice + system + irq + softirq + steal;
}

/** Runs the load once, `times` being its warm-up and its measured part in milliseconds. */
export async function slice(
  load: readonly string[],
  server: Server,
  shape: Shape,
  times: readonly number[],
): Promise<Slice> {
  const args = [shape.mode, server.where, shape.conns, shape.size, ...times].map(String);
  const serverBefore = processTicks(server.child.pid);
  const machineBefore = machineTicks();
  const began = Bun.nanoseconds();
  const result = JSON.parse(await output(pinned(1, [...load, ...args]), 20_000)) as Record<string, number>;
  const elapsedNs = Bun.nanoseconds() - began;
  const serverNs = (processTicks(server.child.pid) - serverBefore) * tickNs;
  const { done = 0, total = 0, wallNs = 0, cpuNs = 0, p50Ns = 0, p99Ns = 0 } = result;
  return {
    perSecond: (done / wallNs) * 1e9,
    p50Us: p50Ns / 1000,
    p99Us: p99Ns / 1000,
    cpuUs: serverNs / total / 1000,
    others: ((machineTicks() - machineBefore) * tickNs - serverNs - cpuNs) / elapsedNs,
  };
}
