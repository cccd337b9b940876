/** A disk's files and what is known of it, and a channel for commands to it. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import {
  EACCES,
  EINVAL,
  errnoMessage,
  errnoName,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
  Mapping,
  Ring,
  type RingOptions,
  UringError,
} from "bun-uring";
import {
  NVME_ADMIN_IDENTIFY,
  NVME_ID_CNS_CTRL,
  NVME_ID_CNS_NS,
  NVME_IDENTIFY_DATA_SIZE,
  NVME_URING_CMD_ADMIN,
  uringCmd,
} from "./abi.ts";
import { type Controller, type Namespace, readController, readNamespace } from "./identify.ts";
import { DeviceError } from "./status.ts";

/** A disk's names. */
export interface Names {
  /** "/dev/nvme0", which takes commands for the controller. */
  readonly controller: string;
  /** The namespace, where one was named. */
  readonly namespace: NamespaceNames | undefined;
}

/** A namespace's names. */
export interface NamespaceNames {
  /** "/dev/ng0n1", which takes commands for it. */
  readonly generic: string;
  /** "/dev/nvme0n1", which takes reads and writes only. */
  readonly block: string;
  readonly nsid: number;
}

/**
 * Finds a disk's other names by one of them.
 *
 * @param path "/dev/nvme0", "/dev/nvme0n1" or "/dev/ng0n1".
 * @param nsid the namespace's number, where the system does not tell it.
 * @throws Error for what is no NVMe disk.
 */
export function namesOf(path: string, nsid?: number): Names {
  if (!existsSync(path)) throw new Error(`there is no ${path}`);
  const name = basename(realpathSync(path));
  const found = /^(?:nvme(\d+)|(?:nvme|ng)(\d+)n(\d+))$/.exec(name);
  if (found === null) {
    throw new Error(`${path} is no NVMe disk: it should be like /dev/nvme0, /dev/nvme0n1 or /dev/ng0n1`);
  }
  const [, alone, instance, number] = found;
  if (alone !== undefined) return { controller: `/dev/nvme${alone}`, namespace: undefined };
  const place = `${instance}n${number}`;
  return {
    controller: `/dev/${controllerOf(place)}`,
    namespace: { generic: `/dev/ng${place}`, block: `/dev/nvme${place}`, nsid: nsid ?? nsidOf(place) },
  };
}

/** The controller behind a namespace. One that several controllers reach hangs on their subsystem: any of them will do. */
function controllerOf(place: string): string {
  const device = [`/sys/class/nvme-generic/ng${place}/device`, `/sys/block/nvme${place}/device`].find(existsSync);
  if (device === undefined) throw new Error(`the system does not tell whose /dev/nvme${place} is`);
  const name = basename(realpathSync(device));
  if (/^nvme\d+$/.test(name)) return name;
  const controller = readdirSync(device).find((entry) => /^nvme\d+$/.test(entry));
  if (controller === undefined) throw new Error(`${name} has no controller`);
  return controller;
}

function nsidOf(place: string): number {
  const file = [`/sys/block/nvme${place}/nsid`, `/sys/class/nvme-generic/ng${place}/nsid`].find(existsSync);
  if (file === undefined) throw new Error(`the system does not tell the number of namespace ${place}: say it (--nsid)`);
  return Number(readFileSync(file, "utf8"));
}

/** Whether reads and writes of a namespace can be polled for: the driver has queues without interrupts. */
export function canPoll({ block }: NamespaceNames): boolean {
  const file = `/sys/block/${basename(block)}/queue/io_poll`;
  return existsSync(file) && readFileSync(file, "utf8").trim() === "1";
}

/** The most bytes that the driver takes in one command. */
export function driverLimit({ block }: NamespaceNames): number {
  const file = `/sys/block/${basename(block)}/queue/max_hw_sectors_kb`;
  return existsSync(file) ? Number(readFileSync(file, "utf8")) * 1024 : Infinity;
}

/** A file that takes commands, and the ring that they go through. */
export class Channel {
  readonly #path: string;
  readonly #fd: number;
  readonly #ring: Ring;

  /**
   * @param entries how many commands are in flight at the most.
   * @param options what the ring is to have besides room for such commands.
   * @throws Error where the file cannot be opened; UringError where there can be no ring.
   */
  constructor(path: string, mode: "r" | "r+", entries: number, options: RingOptions = {}) {
    this.#path = path;
    this.#fd = openCharacter(path, mode);
    try {
      // A command has 72 bytes, and answers with a result of 64 bits besides its status.
      this.#ring = new Ring(entries, { sqe128: true, cqe32: true, ...options });
    } catch (error) {
      closeSync(this.#fd);
      if (!(error instanceof UringError) || error.errno !== -EINVAL) throw error;
      throw new Error("this kernel's io_uring has no room for such commands: they need Linux 5.19");
    }
  }

  /** Queues a command, whose memory must last until {@link run} returns. */
  queue(kind: number, command: Uint8Array): void {
    this.#ring.prepUringCmd(kind, this.#fd, command);
  }

  /**
   * Runs the `count` commands that were queued.
   *
   * @param doing what they are for, as an error says it: "read block 7".
   * @throws DeviceError for what the device refuses, Error for what the kernel does; nothing is in flight then.
   */
  run(count: number, doing: string): void {
    let left = count;
    let worst = 0;
    while (left > 0) {
      this.#ring.submitAndWait(1);
      left -= this.#ring.forEachCqe(({ res }) => {
        if (worst === 0) worst = res;
      });
    }
    if (worst > 0) throw new DeviceError(doing, worst);
    if (worst < 0) throw new Error(`cannot ${doing}: ${this.#path}: ${explain(worst)}`);
  }

  /** Lets go of everything. */
  close(): void {
    this.#ring.close();
    closeSync(this.#fd);
  }

  /** The same as {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function openCharacter(path: string, mode: "r" | "r+"): number {
  try {
    return openSync(path, mode);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EACCES") throw new Error(`${path} is not for this user: run this as root`);
    if (code === "ENOENT") throw new Error(`there is no ${path}: commands to namespaces need Linux 5.19`);
    throw new Error(message);
  }
}

function explain(result: number): string {
  const words = `${errnoName(result)}, ${errnoMessage(result)}`;
  if (result === -ENOTTY || result === -EOPNOTSUPP) return `${words}: it does not take such commands through io_uring`;
  return result === -EACCES || result === -EPERM ? `${words}: run this as root` : words;
}

/** Asks a controller about itself and, unless it is undefined, a namespace of its. */
export function identify(path: string, nsid: number | undefined): [Controller, Namespace | undefined] {
  using channel = new Channel(path, "r", 2);
  const memory = Mapping.anonymous(NVME_IDENTIFY_DATA_SIZE);
  const ask = (cns: number, of: number, doing: string): Uint8Array => {
    const command = { opcode: NVME_ADMIN_IDENTIFY, nsid: of, address: memory.address, length: memory.byteLength };
    channel.queue(NVME_URING_CMD_ADMIN, uringCmd({ ...command, cdw10: cns }));
    channel.run(1, doing);
    return memory.bytes;
  };
  try {
    const controller = readController(ask(NVME_ID_CNS_CTRL, 0, "identify the controller"));
    if (nsid === undefined) return [controller, undefined];
    return [controller, readNamespace(ask(NVME_ID_CNS_NS, nsid, `identify namespace ${nsid}`))];
  } finally {
    memory.close();
  }
}
