/**
 * The program that is run where things are missing: makes a ring, does one NOP, and prints as one line of JSON what
 * it ran on and what it found around itself. With `worker` as its argument a Worker does the same.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Ring } from "../../src/index.ts";
import { syscalls } from "../../syscall/shim.ts";

/** What one run of the program found. */
export interface Report {
  /** Which way the calls went. */
  backend: string;
  /** The processor's name. */
  arch: string;
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
  using ring = new Ring(1);
  ring.prepNop().userData(77);
  ring.submitAndWait(1);
  const userData = ring.peekCqe()?.userData;
  return { backend: syscalls().backend, arch: process.arch, userData, ...around() };
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
