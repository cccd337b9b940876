/**
 * An echo server on io_uring: `bun run examples/echoserver [--host ADDRESS] [--port PORT] [--workers N] [--unix PATH]`.
 *
 * This is the main thread: it reads the command line, starts the workers, and deals with signals while they serve. It
 * sleeps in Bun's event loop; each worker sleeps in its ring.
 */
import { lookup } from "node:dns/promises";
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Ring } from "bun-uring";
import { type Endpoint, nameOf } from "./listener.ts";
import { type Counters, makeCounters, statisticsLine, STOP } from "./stats.ts";
import type { Answer, Task } from "./worker.ts";

const USAGE = `Usage: bun run examples/echoserver [options]

Sends back whatever it receives, on io_uring.

  --host ADDRESS  where to listen: a name, an IPv4 or an IPv6 address (127.0.0.1)
  --port PORT     0 to 65535; 0 takes any that is free, and says which (7000)
  --workers N     threads, each with a ring and a listening socket of its own; the
                  kernel spreads the connections over them (1)
  --unix PATH     listen on a Unix socket instead of TCP, with one worker; nothing
                  may be there before, and nothing is left afterwards
  --plain         do without everything that is newer than Linux 5.10
  --help          show this

SIGUSR1 prints statistics. SIGINT and SIGTERM stop it, after everybody got their
answers (a second at the most); a second one stops it at once.`;

const MAX_WORKERS = 256;

/** What the command line says. */
interface Options {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  /** The path of a Unix socket, instead of all that. */
  readonly unix: string | undefined;
  readonly plain: boolean;
}

/** A worker that serves. */
interface Running {
  readonly counters: Counters;
  readonly ringFd: number;
  readonly ended: Promise<void>;
}

/** Ends the program with a message: status 2 for what was asked wrongly, 1 for what could not be done. */
function fail(message: string, status: 1 | 2): never {
  console.error(`echoserver: ${message}`);
  if (status === 2) console.error("Try 'bun run examples/echoserver --help'.");
  process.exit(status);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      host: { type: "string", default: "127.0.0.1" },
      port: { type: "string", default: "7000" },
      workers: { type: "string", default: "1" },
      unix: { type: "string" },
      plain: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  if (values.unix === "") throw new RangeError("--unix takes a path");
  if (values.unix !== undefined && values.workers !== "1") {
    throw new RangeError("--unix goes with one worker: only TCP ports can be shared");
  }
  return {
    host: values.host,
    port: wholeNumber("--port", values.port, 0, 65535),
    workers: wholeNumber("--workers", values.workers, 1, MAX_WORKERS),
    unix: values.unix,
    plain: values.plain,
  };
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw new RangeError(`${option} takes a whole number from ${least} to ${most}, not '${text}'`);
}

async function addressOf(host: string): Promise<{ readonly address: string; readonly family: number }> {
  if (host === "") throw new RangeError("--host takes an address or a name");
  try {
    return await lookup(host);
  } catch (error) {
    throw new Error(`Cannot find the address of '${host}': ${messageOf(error)}`);
  }
}

/** Starts a worker; resolves when it listens, with the port it listens on. */
function start(task: Omit<Task, "counters">): Promise<Running & { readonly port: number; readonly how: string }> {
  const counters = makeCounters();
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: { ...task, counters } });
  worker.on("error", (error) => fail(messageOf(error), 1));
  const ended = new Promise<void>((resolve) => void worker.on("exit", () => resolve()));
  return new Promise((resolve, reject) => {
    worker.once("message", (answer: Answer) => {
      if ("failure" in answer) reject(new Error(answer.failure));
      else resolve({ ...answer, counters, ended });
    });
  });
}

/** Asks a worker to stop, and ends its wait. */
function stop({ counters, ringFd }: Running): void {
  counters[STOP] = 1;
  // Without messages between rings the worker looks by itself, ten times a second.
  if (ringFd < 0) return;
  using ring = new Ring(1);
  ring.prepMsgRing(ringFd, 0, 0);
  ring.submitAndWait(1);
}

async function endpointOf(options: Options): Promise<Endpoint> {
  if (options.unix !== undefined) return { family: "unix", path: options.unix };
  const { address, family } = await addressOf(options.host);
  return { address, family: family === 6 ? 6 : 4, port: options.port, shared: options.workers > 1 };
}

async function main(): Promise<void> {
  const options = readOptions();
  const wanted = await endpointOf(options);
  const first = await start({ endpoint: wanted, plain: options.plain });
  const workers: Running[] = [first];
  // The others listen on the port that the first was given.
  const endpoint = wanted.family === "unix" ? wanted : { ...wanted, port: first.port };
  while (workers.length < options.workers) workers.push(await start({ endpoint, plain: options.plain }));
  const leave = (): void => {
    if (endpoint.family === "unix") rmSync(endpoint.path, { force: true });
  };
  const statistics = (): void => console.log(statisticsLine(workers.map((worker) => worker.counters)));
  process.on("SIGUSR1", statistics);
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stopping) {
        leave();
        process.exit(1);
      }
      stopping = true;
      for (const worker of workers) stop(worker);
    });
  }
  console.log(`listening on ${nameOf(endpoint)} (workers: ${workers.length}; ${first.how})`);
  await Promise.all(workers.map((worker) => worker.ended));
  statistics();
  leave();
  process.exit(0);
}

await main().catch((error: unknown) => {
  const wrong = error instanceof RangeError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
  fail(messageOf(error), wrong ? 2 : 1);
});
