/** A device from its making to its removal. */
import { closeSync, constants, openSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { EEXIST, ENODEV } from "bun-uring";
import { ANY_DEVICE, type DevInfo } from "./abi.ts";
import { type Control, errnoOf } from "./control.ts";
import type { ServeOptions } from "./options.ts";
import type { QueueTask } from "./queue.ts";
import { type Counters, makeCounters } from "./stats.ts";
import { openStore, type Opened } from "./store.ts";
import type { Answer } from "./worker.ts";

/** The most bytes of one request. */
const MAX_IO_BYTES = 256 * 1024;
/** How long the driver is given to let go of a device. */
const REMOVE_MS = 10_000;

/** A queue's thread. */
interface Thread {
  /** Resolves when it has asked for requests, and rejects if it cannot. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended: why, if it was too early. */
  readonly ended: Promise<string | undefined>;
}

/** A block device that this program serves. */
export class Device {
  readonly #control: Control;
  readonly #store: Opened;
  readonly #threads: readonly Thread[];
  readonly #fd: number;
  readonly #id: number;
  /** What its queues count. */
  readonly counters: readonly Counters[];
  /** How it is made, for people. */
  readonly how: string;
  /** Resolves when no queue is served any more, because the device is gone: why, if that is a failure. */
  readonly ended: Promise<string | undefined>;

  private constructor(control: Control, store: Opened, info: DevInfo, how: string) {
    this.#control = control;
    this.#store = store;
    this.#id = info.id;
    this.how = how;
    this.#fd = openSync(`/dev/ublkc${info.id}`, "r+");
    this.counters = Array.from({ length: info.queues }, makeCounters);
    this.#threads = this.counters.map((counters, index) => startThread(this.#task(info, index, counters)));
    this.ended = Promise.all(this.#threads.map(({ ended }) => ended)).then((reasons) =>
      reasons.find((reason) => reason !== undefined),
    );
  }

  /**
   * Makes a device and starts it.
   *
   * @throws Error that says what was not possible; nothing of the device is left then.
   */
  static async start(control: Control, options: ServeOptions): Promise<Device> {
    const { id, queues, depth, blockBytes, readOnly, source } = options;
    const store = openStore(source, blockBytes, readOnly);
    let info: DevInfo | undefined;
    let device: Device | undefined;
    try {
      info = await add(control, { id, queues, depth, maxIoBytes: MAX_IO_BYTES });
      const { sizeBytes, volatileCache } = store;
      await control.setParams(info.id, {
        sizeBytes,
        blockBytes,
        maxIoBytes: info.maxIoBytes,
        readOnly,
        volatileCache,
      });
      const where = "path" in source ? source.path : "memory";
      const how = `${sizeBytes} bytes in ${where}${readOnly ? ", read-only" : ""}; queues: ${info.queues}`;
      device = new Device(control, store, info, how);
      // Once the device is started the kernel waits for nobody: every queue has to be there before.
      await Promise.all(device.#threads.map(({ ready }) => ready));
      await Promise.race([control.start(info.id), device.#failed()]);
      return device;
    } catch (error) {
      if (device !== undefined) await device.remove();
      else if (info !== undefined) await control.remove(info.id, REMOVE_MS);
      if (device === undefined) store.close();
      throw error;
    }
  }

  /** The disk's path. */
  get path(): string {
    return `/dev/ublkb${this.#id}`;
  }

  /** Takes the disk away, after what was still to be written, and then the device. */
  async remove(): Promise<void> {
    await unlessGone(this.#control.stop(this.#id));
    await this.ended;
    // While this is open the device cannot go.
    closeSync(this.#fd);
    await unlessGone(this.#control.remove(this.#id, REMOVE_MS));
    this.#store.close();
  }

  /** Rejects when a queue's thread fails. */
  async #failed(): Promise<never> {
    const reason = await Promise.race(this.#threads.map(({ ended }) => ended));
    throw new Error(reason ?? "the device was removed while it was being started");
  }

  #task({ depth, maxIoBytes }: DevInfo, index: number, counters: Counters): QueueTask {
    return { device: this.#fd, index, depth, maxIoBytes, store: this.#store.store, counters };
  }
}

async function add(
  control: Control,
  wishes: Pick<DevInfo, "id" | "queues" | "depth" | "maxIoBytes">,
): Promise<DevInfo> {
  try {
    return await control.add(wishes);
  } catch (error) {
    if (errnoOf(error) === EEXIST && wishes.id !== ANY_DEVICE)
      throw new Error(`there is a device ${wishes.id} already`);
    throw error;
  }
}

/** Waits for a command; a device that somebody else has removed needs no more. */
async function unlessGone(command: Promise<void>): Promise<void> {
  try {
    await command;
  } catch (error) {
    if (errnoOf(error) !== ENODEV) throw error;
  }
}

function startThread(task: QueueTask): Thread {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: task });
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  let failure: string | undefined;
  const fail = (reason: string): void => {
    failure = reason;
    reject(new Error(reason));
  };
  worker.on("message", (answer: Answer) => {
    if ("failure" in answer) fail(answer.failure);
    else resolve();
  });
  worker.on("error", (error) => fail(error instanceof Error ? error.message : String(error)));
  const ended = new Promise<string | undefined>((done) => {
    worker.on("exit", () => {
      reject(new Error(failure ?? "a queue's thread ended at once"));
      done(failure);
    });
  });
  return { ready, ended };
}

/** Whether somebody else is using a disk: a mounted filesystem, a volume, swap. */
export function isInUse(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_EXCL));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EBUSY";
  }
}
