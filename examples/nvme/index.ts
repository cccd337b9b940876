/**
 * NVMe disks past the block layer: `bun run examples/nvme identify|read|write DEVICE`.
 *
 * | file | what it does |
 * |---|---|
 * | index.ts, options.ts | the command line |
 * | device.ts | a disk's files, and a ring that takes commands to them |
 * | identify.ts | what a disk tells of itself |
 * | transfer.ts | blocks, many at a time |
 * | status.ts | what a device answers when it refuses |
 * | abi.ts | commands as the driver takes them |
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { complain } from "../support/messages.ts";
import { canPoll, identify, type NamespaceNames, namesOf } from "./device.ts";
import { type Controller, controllerRows, type Namespace, namespaceRows, tableOf } from "./identify.ts";
import { type ReadTask, readTask, type Task, USAGE, type WriteTask } from "./options.ts";
import { Blocks } from "./transfer.ts";

const NAME = "nvme";

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function show(device: string, nsid: number | undefined): void {
  const names = namesOf(device, nsid);
  const wanted = names.namespace?.nsid ?? nsid;
  const [controller, namespace] = identify(names.controller, wanted);
  const rows = namespace === undefined || wanted === undefined ? [] : namespaceRows(wanted, namespace);
  console.log(tableOf([...controllerRows(controller), ...rows]));
}

/** A namespace that blocks are to be moved of or to. */
interface Target {
  readonly names: NamespaceNames;
  readonly controller: Controller;
  readonly namespace: Namespace;
}

function targetOf({ device, nsid, iopoll }: ReadTask | WriteTask): Target {
  const { controller: path, namespace: names } = namesOf(device, nsid);
  if (names === undefined) throw new Error(`${device} is a controller: blocks are in namespaces, like ${device}n1`);
  if (iopoll && !canPoll(names)) {
    throw new Error(`${device} cannot be polled: the driver has no queues for that; boot with nvme.poll_queues=1`);
  }
  const [controller, namespace] = identify(path, names.nsid);
  if (namespace === undefined) throw new Error(`${device} tells nothing of its namespace`);
  return { names, controller, namespace };
}

function read(task: ReadTask): void {
  if (task.out === undefined && isatty(1))
    throw new Error("blocks are not for a terminal: say --out FILE, or use a pipe");
  const { names, controller, namespace } = targetOf(task);
  const blocks = new Blocks(names, controller, namespace, false, task.iopoll);
  const out = task.out === undefined ? 1 : openSync(task.out, "w");
  try {
    for (let done = 0; done < task.blocks; done += blocks.batchBlocks) {
      const bytes = blocks.read(task.lba + done, Math.min(blocks.batchBlocks, task.blocks - done));
      for (let written = 0; written < bytes.length; written += writeSync(out, bytes, written));
    }
  } finally {
    blocks.close();
    if (out !== 1) closeSync(out);
  }
}

function write(task: WriteTask): void {
  const { names, controller, namespace } = targetOf(task);
  const source = openSync(task.in, "r");
  const guard = claim(names.block);
  const blocks = new Blocks(names, controller, namespace, true, task.iopoll);
  try {
    const { blockBytes } = blocks.layout;
    const { size } = fstatSync(source);
    if (size === 0 || size % blockBytes !== 0) {
      throw new Error(`${task.in} has ${size} bytes, which is no whole number of blocks of ${blockBytes}`);
    }
    const batch = Buffer.alloc(Math.min(size, blocks.batchBlocks * blockBytes));
    for (let done = 0; done < size;) {
      const count = fill(source, batch.subarray(0, Math.min(batch.length, size - done)));
      if (count === 0 || count % blockBytes !== 0) throw new Error(`${task.in} has become shorter`);
      blocks.write(task.lba + done / blockBytes, batch.subarray(0, count));
      done += count;
    }
    blocks.flush();
    console.error(`${NAME}: wrote ${size / blockBytes} blocks of ${blockBytes} bytes from block ${task.lba} on`);
  } finally {
    blocks.close();
    closeSync(source);
    if (guard !== undefined) closeSync(guard);
  }
}

/** Reads until the buffer is full or the file ends. */
function fill(fd: number, buffer: Uint8Array): number {
  let filled = 0;
  for (let count = 1; count > 0 && filled < buffer.length; filled += count) {
    count = readSync(fd, buffer, filled, buffer.length - filled, null);
  }
  return filled;
}

/** Holds a disk against others that would use it meanwhile; undefined where it is no block device of the system's. */
function claim(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDWR | constants.O_EXCL);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new Error(code === "EBUSY" ? `${path} is in use: unmount it first` : message);
  }
}

function run(task: Exclude<Task, { what: "help" }>): void {
  if (task.what === "identify") show(task.device, task.nsid);
  else if (task.what === "read") read(task);
  else write(task);
}

function main(): number {
  let task: Task;
  try {
    task = readTask(process.argv.slice(2));
  } catch (error) {
    complain(NAME, `${messageOf(error)}\nTry 'bun run examples/nvme --help'.`);
    return 2;
  }
  if (task.what === "help") {
    console.log(USAGE);
    return 0;
  }
  try {
    run(task);
    return 0;
  } catch (error) {
    complain(NAME, messageOf(error));
    return 1;
  }
}

process.exitCode = main();
