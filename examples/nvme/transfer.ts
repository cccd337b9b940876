/** Blocks read and written, past the block layer. */
import { Mapping, type RingOptions } from "bun-uring";
import {
  MAX_BLOCKS,
  NVME_CMD_FLUSH,
  NVME_CMD_READ,
  NVME_CMD_WRITE,
  NVME_URING_CMD_IO,
  transferCmd,
  uringCmd,
} from "./abi.ts";
import { Channel, driverLimit, type NamespaceNames } from "./device.ts";
import { type Controller, formatOf, type Namespace } from "./identify.ts";

/** As many commands are in flight at a time, of at most so many bytes each. */
const IN_FLIGHT = 16;
const CHUNK_BYTES = 128 * 1024;
/** Protection information that the controller can add and take away has this size. */
const PI_BYTES = 8;

/** How a namespace's blocks are moved. */
export interface Layout {
  readonly blockBytes: number;
  /** Blocks of one command, at the most. */
  readonly chunkBlocks: number;
  /** The type of protection information that the controller is to take care of; 0 for none. */
  readonly protection: number;
}

/**
 * How to move the blocks of a namespace.
 *
 * @param limitBytes the most that the driver takes in one command.
 * @throws Error for blocks with metadata that this program cannot handle.
 */
export function layoutOf(controller: Controller, namespace: Namespace, limitBytes: number): Layout {
  const { dataBytes, metadataBytes } = formatOf(namespace);
  const protection = metadataBytes === PI_BYTES ? namespace.protection : 0;
  if (metadataBytes !== 0 && protection === 0) {
    throw new Error(`blocks with ${metadataBytes} bytes of metadata are not for this program`);
  }
  const bytes = Math.min(CHUNK_BYTES, limitBytes, controller.maxTransferBytes);
  return {
    blockBytes: dataBytes,
    chunkBlocks: Math.min(Math.max(Math.floor(bytes / dataBytes), 1), MAX_BLOCKS),
    protection,
  };
}

/** Moves the blocks of one namespace, many at a time. */
export class Blocks {
  readonly layout: Layout;
  readonly #channel: Channel;
  readonly #names: NamespaceNames;
  readonly #memory: Mapping;

  /** @param polled whether completions are looked for instead of being told by interrupts. */
  constructor(names: NamespaceNames, controller: Controller, namespace: Namespace, writes: boolean, polled: boolean) {
    this.layout = layoutOf(controller, namespace, driverLimit(names));
    this.#names = names;
    const options: RingOptions = polled ? { iopoll: true } : {};
    this.#channel = new Channel(names.generic, writes ? "r+" : "r", IN_FLIGHT, options);
    this.#memory = Mapping.anonymous(IN_FLIGHT * this.layout.chunkBlocks * this.layout.blockBytes);
  }

  /** How many blocks go in one call of {@link read} or {@link write}. */
  get batchBlocks(): number {
    return IN_FLIGHT * this.layout.chunkBlocks;
  }

  /** Reads up to a batch of blocks. What it gives is good until the next call. */
  read(lba: number, blocks: number): Uint8Array {
    this.#move(NVME_CMD_READ, lba, blocks);
    return this.#memory.bytes.subarray(0, blocks * this.layout.blockBytes);
  }

  /** Writes up to a batch of blocks. */
  write(lba: number, data: Uint8Array): void {
    this.#memory.bytes.set(data);
    this.#move(NVME_CMD_WRITE, lba, data.length / this.layout.blockBytes);
  }

  /** Has the device put what was written where no power failure takes it. */
  flush(): void {
    // Kernel: on a ring that is polled, 6.1 follows a stray pointer and kills the process where a command has no data.
    using channel = new Channel(this.#names.generic, "r+", 1);
    channel.queue(NVME_URING_CMD_IO, uringCmd({ opcode: NVME_CMD_FLUSH, nsid: this.#names.nsid }));
    channel.run(1, "flush");
  }

  /** Lets go of everything. */
  close(): void {
    this.#channel.close();
    this.#memory.close();
  }

  #move(opcode: number, lba: number, blocks: number): void {
    const { blockBytes, chunkBlocks, protection } = this.layout;
    const { nsid } = this.#names;
    let count = 0;
    for (let done = 0; done < blocks; done += chunkBlocks) {
      const part = Math.min(chunkBlocks, blocks - done);
      const memory = { address: this.#memory.address + done * blockBytes, length: part * blockBytes };
      const command = transferCmd({ opcode, nsid, lba: lba + done, blocks: part, ...memory, protection });
      this.#channel.queue(NVME_URING_CMD_IO, command);
      count++;
    }
    const doing = opcode === NVME_CMD_READ ? "read" : "write";
    this.#channel.run(count, `${doing} blocks ${lba} to ${lba + blocks - 1}`);
  }
}
