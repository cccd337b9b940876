// Opens many pipes, whose opens wait for each other in workers, on a thread whose first ring has one entry: the kernel
// allows such a thread one worker. Prints how many were opened, and how many workers there may be.
import { constants } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD } from "../../../src/abi/linux.ts";
import { io } from "../../../src/async/io.ts";
import { Ring } from "../../../src/ring/ring.ts";

const [directory = "", count = "0", timeoutMs = "0"] = process.argv.slice(2);
using first = new Ring(1);
const paths = Array.from({ length: Number(count) }, (_, i) => join(directory, `pipe ${i}`));
const open = (path: string, flags: number): Promise<number> =>
  io.openat(AT_FDCWD, path, flags, 0, { async: true, timeoutMs: Number(timeoutMs) });

const readers = paths.map((path) => open(path, constants.O_RDONLY));
const writers = paths.map((path) => open(path, constants.O_WRONLY));
const results = await Promise.allSettled([...readers, ...writers]);
const opened = results.filter(({ status }) => status === "fulfilled").length;
console.log(JSON.stringify({ opened, allowed: first.registerIowqMaxWorkers().bounded }));
process.exit();
