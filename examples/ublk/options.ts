/** The command line. */
import { parseArgs } from "node:util";
import { UBLK_MAX_QUEUE_DEPTH } from "./abi.ts";

/** What `--help` prints. */
export const USAGE: string = `Usage: bun run examples/ublk --ram SIZE [options]
   or: bun run examples/ublk --file PATH [options]
   or: bun run examples/ublk list
   or: bun run examples/ublk del N...

Serves a block device, /dev/ublkbN, from this program, over ublk and io_uring.
Needs root and the driver: modprobe ublk_drv (Linux 6.12 or later).

  --ram SIZE      the disk is memory of this program, 4G at the most; empty at first
  --file PATH     the disk is a file, or another block device
  --read-only     nothing is to be written
  --id N          which number; the first that is free unless given
  --queues N      queues, each with a thread and a ring of its own (1)
  --depth N       requests that a queue has in hand at a time (128)
  --block BYTES   size of a logical block: 512, 1024, 2048 or 4096 (512)
  --help          show this

  list            show the devices that there are
  del N...        remove devices, such as those whose program has been killed

SIZE is in bytes, or with K, M, G in units of 1024. SIGUSR1 prints statistics.
SIGINT and SIGTERM remove the device and print them too; while it is in use,
mounted for instance, only the second one does.`;

/** Where a disk's bytes are to be. */
export type Source = { readonly ramBytes: number } | { readonly path: string };

/** What to serve. */
export interface ServeOptions {
  readonly source: Source;
  readonly readOnly: boolean;
  /** The device's number; -1 for any. */
  readonly id: number;
  readonly queues: number;
  readonly depth: number;
  readonly blockBytes: number;
}

/** What the command line asks for. */
export type Task =
  | { readonly what: "help" }
  | { readonly what: "list" }
  | { readonly what: "del"; readonly ids: readonly number[] }
  | { readonly what: "serve"; readonly options: ServeOptions };

/** Views of memory end there. */
const MAX_RAM_BYTES = 4 * 2 ** 30;
/** Minor numbers of devices have 20 bits. */
const MAX_ID = 2 ** 20 - 1;
const MAX_QUEUES = 64;

/**
 * Reads the command line.
 *
 * @throws RangeError, or what parseArgs throws, for what makes no sense.
 */
export function readTask(args: readonly string[]): Task {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ram: { type: "string" },
      file: { type: "string" },
      "read-only": { type: "boolean", default: false },
      id: { type: "string" },
      queues: { type: "string", default: "1" },
      depth: { type: "string", default: "128" },
      block: { type: "string", default: "512" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return { what: "help" };
  const [verb, ...others] = positionals;
  if (verb === "list" && others.length === 0) return { what: "list" };
  if (verb === "del" && others.length > 0) {
    return { what: "del", ids: others.map((text) => wholeNumber("del", text, 0, MAX_ID)) };
  }
  if (verb === "del") throw new RangeError("del takes the numbers of devices: 'del 0' removes /dev/ublkb0");
  if (verb !== undefined) throw new RangeError(`'${positionals.join(" ")}' means nothing here`);
  const { ram, file } = values;
  if ((ram === undefined) === (file === undefined)) throw new RangeError("either --ram SIZE or --file PATH is needed");
  const blockBytes = wholeNumber("--block", values.block, 512, 4096);
  if (![512, 1024, 2048, 4096].includes(blockBytes)) throw new RangeError("--block takes 512, 1024, 2048 or 4096");
  const options: ServeOptions = {
    source: ram === undefined ? { path: file as string } : { ramBytes: ramBytes(ram, blockBytes) },
    readOnly: values["read-only"],
    id: values.id === undefined ? -1 : wholeNumber("--id", values.id, 0, MAX_ID),
    queues: wholeNumber("--queues", values.queues, 1, MAX_QUEUES),
    depth: wholeNumber("--depth", values.depth, 1, UBLK_MAX_QUEUE_DEPTH),
    blockBytes,
  };
  return { what: "serve", options };
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw new RangeError(`${option} takes a whole number from ${least} to ${most}, not '${text}'`);
}

function ramBytes(text: string, blockBytes: number): number {
  const bytes = parseSize(text);
  if (bytes === undefined) throw new RangeError(`--ram takes a size like 64M or 1G, not '${text}'`);
  if (bytes < blockBytes || bytes > MAX_RAM_BYTES) throw new RangeError("--ram takes from one block to 4G");
  if (bytes % blockBytes !== 0) throw new RangeError(`--ram takes whole blocks of ${blockBytes} bytes`);
  return bytes;
}

/** The bytes of "512", "64K", "64M", "1G"; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const found = /^(\d+)([KMG]?)$/i.exec(text);
  if (found === null) return undefined;
  return Number(found[1]) * 1024 ** ["", "K", "M", "G"].indexOf((found[2] ?? "").toUpperCase());
}
