/**
 * A block device served from TypeScript: `bun run examples/ublk --ram SIZE`, or `--file PATH`.
 *
 * | file | what it does |
 * |---|---|
 * | index.ts, options.ts | the command line, the signals |
 * | device.ts | a device from its making to its removal |
 * | control.ts | commands to /dev/ublk-control, as promises in Bun's event loop |
 * | worker.ts, queue.ts | a thread for each queue, with a ring of its own in which it sleeps |
 * | request.ts, backend.ts, store.ts | the requests, and what they are served from |
 * | abi.ts | what the driver and this program say to each other |
 * | stats.ts | the numbers |
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { ENODEV } from "bun-uring";
import { complain } from "../support/messages.ts";
import {
  type DevInfo,
  SECTOR,
  UBLK_S_DEV_DEAD,
  UBLK_S_DEV_FAIL_IO,
  UBLK_S_DEV_LIVE,
  UBLK_S_DEV_QUIESCED,
} from "./abi.ts";
import { Control, errnoOf } from "./control.ts";
import { Device, isInUse } from "./device.ts";
import { readTask, type ServeOptions, type Task, USAGE } from "./options.ts";
import { statisticsLine } from "./stats.ts";

const NAME = "ublk";
/** Where the driver lists its devices. */
const CLASS = "/sys/class/ublk-char";
/** How long a program that serves a device is given to let go of it. */
const LET_GO_MS = 10_000;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Serves a device until it is told not to, or somebody removes the device. */
async function serve(control: Control, options: ServeOptions): Promise<number> {
  let device: Device | undefined;
  let removal: Promise<void> | undefined;
  let signals = 0;
  const stop = (): void => {
    signals++;
    if (removal !== undefined) process.exit(1);
    // While it is being started it can only be noted.
    if (device === undefined) return;
    if (signals === 1 && isInUse(device.path)) {
      complain(NAME, `${device.path} is in use; unmount it first, or send the signal again to remove it all the same`);
    } else {
      removal = device.remove();
    }
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  const { counters, ended, how, path } = (device = await Device.start(control, options));
  const statistics = (): void => console.log(statisticsLine(counters));
  process.on("SIGUSR1", statistics);
  console.log(`serving ${path} (${how})`);
  if (signals > 0) removal = device.remove();
  const failure = await ended;
  // Somebody else may have removed it; what is left is let go of then.
  await (removal ??= device.remove());
  statistics();
  if (failure === undefined) return 0;
  complain(NAME, failure);
  return 1;
}

const states: Readonly<Record<number, string>> = {
  [UBLK_S_DEV_DEAD]: "dead",
  [UBLK_S_DEV_LIVE]: "live",
  [UBLK_S_DEV_QUIESCED]: "quiesced",
  [UBLK_S_DEV_FAIL_IO]: "failing",
};

/** Prints a line for each device. */
async function list(control: Control): Promise<number> {
  const names = existsSync(CLASS) ? readdirSync(CLASS) : [];
  const ids = names.map((name) => Number(/^ublkc(\d+)$/.exec(name)?.[1])).sort((a, b) => a - b);
  const rows = [["device", "state", "bytes", "queues", "depth", "process"]];
  for (const id of ids) {
    const info = await infoOf(control, id);
    if (info === undefined) continue;
    const { state, queues, depth, pid } = info;
    const size = `/sys/block/ublkb${id}/size`;
    const bytes = existsSync(size) ? String(Number(readFileSync(size, "utf8")) * SECTOR) : "-";
    const server = state === UBLK_S_DEV_LIVE ? String(pid) : "-";
    rows.push([`/dev/ublkb${id}`, states[state] ?? String(state), bytes, String(queues), String(depth), server]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows)
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  return 0;
}

/** What the driver knows of a device; undefined where it has been removed meanwhile. */
async function infoOf(control: Control, id: number): Promise<DevInfo | undefined> {
  try {
    return await control.info(id);
  } catch (error) {
    if (errnoOf(error) === ENODEV) return undefined;
    throw error;
  }
}

/** Removes devices; says which cannot be. */
async function remove(control: Control, ids: readonly number[]): Promise<number> {
  let status = 0;
  for (const id of ids) {
    const reason = isInUse(`/dev/ublkb${id}`) ? "it is in use: unmount it first" : await removeOne(control, id);
    if (reason === undefined) continue;
    complain(NAME, `cannot remove device ${id}: ${reason}`);
    status = 1;
  }
  return status;
}

async function removeOne(control: Control, id: number): Promise<string | undefined> {
  try {
    await control.remove(id, LET_GO_MS);
    return undefined;
  } catch (error) {
    return errnoOf(error) === ENODEV ? "there is none" : messageOf(error);
  }
}

async function run(task: Exclude<Task, { what: "help" }>): Promise<number> {
  const control = new Control();
  try {
    if (task.what === "list") return await list(control);
    if (task.what === "del") return await remove(control, task.ids);
    return await serve(control, task.options);
  } finally {
    await control.close();
  }
}

async function main(): Promise<number> {
  let task: Task;
  try {
    task = readTask(process.argv.slice(2));
  } catch (error) {
    complain(NAME, `${messageOf(error)}\nTry 'bun run examples/ublk --help'.`);
    return 2;
  }
  if (task.what === "help") {
    console.log(USAGE);
    return 0;
  }
  try {
    return await run(task);
  } catch (error) {
    complain(NAME, messageOf(error));
    return 1;
  }
}

process.exit(await main());
