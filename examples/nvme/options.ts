/** The command line. */
import { parseArgs } from "node:util";

/** What `--help` prints. */
export const USAGE: string = `Usage: bun run examples/nvme identify DEVICE
   or: bun run examples/nvme read DEVICE --lba N [--blocks N] [--out FILE] [--iopoll]
   or: bun run examples/nvme write DEVICE --lba N --in FILE --yes-destroy [--iopoll]

Talks to an NVMe disk past the block layer, with commands of its own through
io_uring. DEVICE is /dev/nvme0n1, /dev/ng0n1 or, for identify, /dev/nvme0.
Needs root and Linux 5.19, or 6.1 for --iopoll.

  identify        show what the controller and the namespace tell of themselves
  read            read blocks
  write           write a file over blocks, and flush

  --lba N         the first block
  --blocks N      how many to read (1)
  --out FILE      where to put them; standard output unless given
  --in FILE       what to write: whole blocks
  --yes-destroy   what is on the disk there may be lost
  --iopoll        look for completions instead of waiting for interrupts; the driver
                  has to have queues for it (nvme.poll_queues=1)
  --nsid N        the namespace's number, where the system does not tell it
  --help          show this`;

/** What the command line asks for. */
export type Task =
  | { readonly what: "help" }
  | { readonly what: "identify"; readonly device: string; readonly nsid: number | undefined }
  | ReadTask
  | WriteTask;

/** Blocks to be read. */
export interface ReadTask {
  readonly what: "read";
  readonly device: string;
  readonly nsid: number | undefined;
  readonly iopoll: boolean;
  readonly lba: number;
  readonly blocks: number;
  readonly out: string | undefined;
}

/** A file to be written over blocks. */
export interface WriteTask {
  readonly what: "write";
  readonly device: string;
  readonly nsid: number | undefined;
  readonly iopoll: boolean;
  readonly lba: number;
  readonly in: string;
}

const optionsOf: Readonly<Record<string, readonly string[]>> = {
  identify: ["nsid"],
  read: ["nsid", "iopoll", "lba", "blocks", "out"],
  write: ["nsid", "iopoll", "lba", "in", "yes-destroy"],
};

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
      lba: { type: "string" },
      blocks: { type: "string" },
      out: { type: "string" },
      in: { type: "string" },
      nsid: { type: "string" },
      "yes-destroy": { type: "boolean" },
      iopoll: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return { what: "help" };
  const [what, device, ...others] = positionals;
  if (what === undefined) throw new RangeError("what is to be done? identify, read or write");
  const known = optionsOf[what];
  if (known === undefined) throw new RangeError(`there is no '${what}': it is identify, read or write`);
  if (device === undefined || others.length > 0) throw new RangeError(`${what} takes one device, like /dev/nvme0n1`);
  for (const name of Object.keys(values)) {
    if (!known.includes(name)) throw new RangeError(`${what} takes no --${name}`);
  }
  const nsid = values.nsid === undefined ? undefined : wholeNumber("--nsid", values.nsid, 1, 2 ** 32 - 2);
  if (what === "identify") return { what, device, nsid };
  if (values.lba === undefined) throw new RangeError(`${what} needs --lba, the first block`);
  const lba = wholeNumber("--lba", values.lba, 0, Number.MAX_SAFE_INTEGER);
  const common = { device, nsid, iopoll: values.iopoll === true, lba };
  if (what === "read") {
    const blocks = wholeNumber("--blocks", values.blocks ?? "1", 1, Number.MAX_SAFE_INTEGER - lba);
    return { what, ...common, blocks, out: values.out };
  }
  if (values.in === undefined) throw new RangeError("write needs --in, the file to write");
  if (values["yes-destroy"] !== true) {
    throw new RangeError(`what is on ${device} there would be lost: say --yes-destroy if it may be`);
  }
  return { what: "write", ...common, in: values.in };
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw new RangeError(`${option} takes a whole number from ${least} to ${most}, not '${text}'`);
}
