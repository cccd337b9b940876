/** /dev/ublk-control: devices made, started, stopped, removed, and asked about. */
import { closeSync, openSync } from "node:fs";
import { AsyncRing, Mapping, UringError } from "bun-uring";
import {
  type CtrlArguments,
  ctrlCmd,
  type DevInfo,
  type DiskParams,
  readDevInfo,
  SIZEOF_DEV_INFO,
  SIZEOF_PARAMS,
  UBLK_U_CMD_ADD_DEV,
  UBLK_U_CMD_DEL_DEV,
  UBLK_U_CMD_GET_DEV_INFO,
  UBLK_U_CMD_SET_PARAMS,
  UBLK_U_CMD_START_DEV,
  UBLK_U_CMD_STOP_DEV,
  writeDevInfo,
  writeParams,
} from "./abi.ts";

const CONTROL = "/dev/ublk-control";

/**
 * The driver's control file. Its commands take a while (starting waits for the queues, stopping for the last request),
 * so they are promises, and the program's event loop goes on meanwhile.
 */
export class Control {
  readonly #fd: number;
  readonly #ring: AsyncRing;
  /** What the driver reads and writes while it carries a command out: one command at a time. */
  readonly #memory: Mapping = Mapping.anonymous(4096);

  /** @throws Error that says what is missing; UringError where there can be no ring. */
  constructor() {
    this.#fd = openControl();
    try {
      // The commands are too long for entries of 64 bytes.
      this.#ring = new AsyncRing({ entries: 4, sqe128: true });
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Makes a device, which is not a disk yet: what came of the wishes. */
  async add(wishes: Pick<DevInfo, "id" | "queues" | "depth" | "maxIoBytes">): Promise<DevInfo> {
    writeDevInfo(this.#memory.bytes, wishes);
    await this.#command(UBLK_U_CMD_ADD_DEV, wishes.id, this.#buffer(SIZEOF_DEV_INFO));
    return readDevInfo(this.#memory.bytes);
  }

  /** Says what kind of disk it will be. */
  async setParams(id: number, disk: DiskParams): Promise<void> {
    writeParams(this.#memory.bytes, disk);
    await this.#command(UBLK_U_CMD_SET_PARAMS, id, this.#buffer(SIZEOF_PARAMS));
  }

  /** Makes it a disk, /dev/ublkbN. Done when every queue has fetched; requests come before it is done. */
  async start(id: number): Promise<void> {
    await this.#command(UBLK_U_CMD_START_DEV, id, { data: process.pid });
  }

  /** Takes the disk away. What was still to be written is written first, so the queues must go on until it is done. */
  async stop(id: number): Promise<void> {
    await this.#command(UBLK_U_CMD_STOP_DEV, id);
  }

  /**
   * Removes the device, and the disk if there still is one. Done when nobody has /dev/ublkcN open any more.
   *
   * @throws UringError ETIME where somebody holds on to it for so long.
   */
  async remove(id: number, timeoutMs: number): Promise<void> {
    await this.#command(UBLK_U_CMD_DEL_DEV, id, {}, timeoutMs);
  }

  /** What the driver knows of a device. */
  async info(id: number): Promise<DevInfo> {
    await this.#command(UBLK_U_CMD_GET_DEV_INFO, id, this.#buffer(SIZEOF_DEV_INFO));
    return readDevInfo(this.#memory.bytes);
  }

  /** Lets go of everything. Nothing may be under way. */
  async close(): Promise<void> {
    await this.#ring[Symbol.asyncDispose]();
    closeSync(this.#fd);
    this.#memory.close();
  }

  #buffer(length: number): CtrlArguments {
    return { address: this.#memory.address, length };
  }

  async #command(command: number, id: number, args: CtrlArguments = {}, timeoutMs?: number): Promise<void> {
    const bytes = ctrlCmd(id, args);
    await this.#ring.uringCmd(command, this.#fd, bytes, timeoutMs === undefined ? {} : { timeoutMs });
  }
}

function openControl(): number {
  try {
    return openSync(CONTROL, "r+");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Error(`there is no ${CONTROL}: load the driver with "modprobe ublk_drv"`);
    if (code === "EACCES") throw new Error(`${CONTROL} is not for this user: run this as root`);
    throw new Error(message);
  }
}

/** The errno of what the driver refused, positive; 0 of any other error. */
export function errnoOf(error: unknown): number {
  return error instanceof UringError ? -error.errno : 0;
}
