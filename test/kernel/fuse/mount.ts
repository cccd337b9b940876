/**
 * A file system that is mounted and served by the thread that mounted it. That thread must not look at the file system
 * itself, or it would wait for its own answer: programs do, in processes of their own.
 */
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmdirSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RingOptions } from "../../../src/ring/params.ts";
import { patience } from "../../support/patience.ts";
import { type Init, initAnswer, readInit } from "./abi.ts";
import { PAYLOAD_BYTES, Server } from "./server.ts";
import type { Tree } from "./tree.ts";

/** The longest that a program may take: less than a test may, so that what it looks at is taken away from it in time. */
const LIMIT_MS = 3000 * patience;
/** The least that the kernel takes for reading a request, and more than its first one has. */
const FIRST_BYTES = 8192;

/** What became of a program. */
export interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Opens /dev/fuse for a file system. Reading it does not wait: the first request is there as soon as it is mounted. */
export function openFuse(): number {
  return openSync("/dev/fuse", constants.O_RDWR | constants.O_NONBLOCK);
}

/** A file system while it is mounted. */
export class Mount implements AsyncDisposable {
  /** Where it is mounted. */
  readonly directory: string = mkdtempSync(join(tmpdir(), "uring-fuse-"));
  /** The descriptor of /dev/fuse that is its kernel's end. */
  readonly fd: number = openFuse();
  #init: Init | undefined;
  #server: Server | undefined;
  #ended: Promise<void> = Promise.resolve();
  #open = true;

  /** Mounts a file system that nobody serves yet. */
  static async make(): Promise<Mount> {
    const mount = new Mount();
    try {
      await mount.#mount();
      return mount;
    } catch (error) {
      await mount[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Mounts and serves a file system. */
  static async serving(tree: Tree, options: RingOptions): Promise<Mount> {
    const mount = await Mount.make();
    mount.answerInit();
    mount.#serve(tree, options);
    return mount;
  }

  /** What the kernel said of itself first. */
  get init(): Init {
    return this.#init as Init;
  }

  /** What serves it. */
  get server(): Server {
    return this.#server as Server;
  }

  /** Whether the system says that it is mounted. */
  get mounted(): boolean {
    return readFileSync("/proc/self/mounts", "utf8").includes(` ${this.directory} fuse`);
  }

  /** Answers what the kernel said first: that all else is to come over a ring. */
  answerInit(): void {
    writeSync(this.fd, initAnswer(this.init, PAYLOAD_BYTES));
  }

  #serve(tree: Tree, options: RingOptions): void {
    this.#server = new Server(this.fd, tree, options);
    this.#server.register();
    this.#ended = this.#server.run();
  }

  /** Runs a program to its end. */
  run(...command: string[]): Promise<Outcome> {
    return this.#inTime(command.join(" "), outcomeOf(command));
  }

  /** Runs a program with the path of a file as its last argument. */
  on(name: string, ...command: string[]): Promise<Outcome> {
    return this.run(...command, join(this.directory, name));
  }

  /** Unmounts it, which ends the serving. */
  async unmount(): Promise<void> {
    const { exitCode, stderr } = await this.run("umount", this.directory);
    if (exitCode !== 0) throw new Error(`umount: ${stderr}`);
    await this.#inTime("serving", this.#ended);
  }

  /** Stops serving, whatever is still asked of it, and closes its kernel's end. */
  async abandon(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#server?.stop();
    // Why it failed has been told to whoever waited for it.
    await this.#ended.catch(() => {});
    this.#server?.close();
    closeSync(this.fd);
  }

  /** Leaves nothing of it, mounted or not. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
    if (this.mounted) await outcomeOf(["umount", this.directory]);
    rmdirSync(this.directory);
  }

  async #mount(): Promise<void> {
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
    const command = ["mount", "-t", "fuse", "-o", options, "uring-test", this.directory];
    const { exitCode, stderr } = await outcomeOf(command, this.fd);
    if (exitCode !== 0) throw new Error(`mount: ${stderr}`);
    const first = new Uint8Array(FIRST_BYTES);
    this.#init = readInit(first.subarray(0, readSync(this.fd, first)));
  }

  /** What waits for an answer cannot be killed, and where serving fails there is none: then nobody waits for the end. */
  async #inTime<T>(what: string, promise: Promise<T>): Promise<T> {
    const served = this.#ended.then(() => promise);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`${what}: no end in ${LIMIT_MS} ms`)), LIMIT_MS);
    return await Promise.race([promise, served, late]).finally(() => clearTimeout(timer));
  }
}

/** Runs a program that has `fd` as descriptor 3. */
async function outcomeOf(command: readonly string[], fd?: number): Promise<Outcome> {
  const child = Bun.spawn([...command], {
    stdio: ["ignore", "pipe", "pipe", ...(fd === undefined ? [] : [fd])],
  });
  const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  await child.exited;
  return { exitCode: child.exitCode, stdout: Buffer.from(stdout), stderr };
}
