/**
 * The program that is run where things are missing: makes a ring, does one NOP, and prints as one line of JSON what
 * it ran on and what it found around itself. With `worker` as its argument a Worker does the same.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { IORING_ENTER_GETEVENTS, IORING_OFF_SQES } from "../../src/abi/constants.gen.ts";
import { Mapping } from "../../src/memory.ts";
import { syscalls } from "../../syscall/shim.ts";

/** What one run of the program found. */
export interface Report {
  /** Which way the calls went. */
  backend: string;
  /** The processor's name. */
  arch: string;
  /** What io_uring_setup answered: a descriptor, or -errno. */
  setup: number;
  /** The user_data that the NOP came back with. */
  userData: number | undefined;
  /** Whether C headers are there. */
  headers: boolean;
  /** Whether the shim's source is where it was when the program was made. */
  sources: boolean;
  /** What writing to the root directory failed with. */
  rootWrite: string;
}

function nop(): Report {
  const { backend, setup, enter, close } = syscalls();
  const report: Report = { backend, arch: process.arch, setup: 0, userData: undefined, ...around() };
  const params = Mapping.anonymous(4096);
  report.setup = setup(1, params.address);
  if (report.setup < 0) return report;
  const queue = Mapping.ofDescriptor(report.setup, 0, 4096);
  const entries = Mapping.ofDescriptor(report.setup, IORING_OFF_SQES, 64);
  const [tail, completions] = [(params.words[11] as number) >>> 2, (params.words[25] as number) >>> 2];
  entries.words[8] = 77;
  queue.words[tail] = 1;
  enter(report.setup, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
  report.userData = queue.words[completions];
  entries.close();
  queue.close();
  close(report.setup);
  params.close();
  return report;
}

function around(): Pick<Report, "headers" | "sources" | "rootWrite"> {
  let rootWrite = "nothing";
  try {
    accessSync("/", constants.W_OK);
  } catch (error) {
    rootWrite = (error as NodeJS.ErrnoException).code ?? String(error);
  }
  return {
    headers: existsSync("/usr/include/stdio.h"),
    sources: existsSync(new URL("../../syscall/shim.c", import.meta.url)),
    rootWrite,
  };
}

if (!isMainThread) {
  parentPort?.postMessage(nop());
} else if (process.argv[2] === "worker") {
  const worker = new Worker(new URL(import.meta.url));
  worker.on("message", (report: Report) => {
    console.log(JSON.stringify(report));
    void worker.terminate();
  });
} else {
  console.log(JSON.stringify(nop()));
}
