/** Names: removing, renaming, linking, making directories. */
import {
  IORING_OP_LINKAT,
  IORING_OP_MKDIRAT,
  IORING_OP_RENAMEAT,
  IORING_OP_SYMLINKAT,
  IORING_OP_UNLINKAT,
} from "../abi/constants.gen.ts";
import { AT_REMOVEDIR } from "../abi/linux.ts";
import { modeOf, pathOf, recordOf } from "./arguments.ts";
import { reactorFor } from "./door.ts";
import { Deed } from "./job.ts";
import { LINK, MKDIR, RENAME, SYMLINK, UNLINK } from "./operations.ts";
import { own } from "./own.ts";

/** unlink(path). */
export function unlink(path: unknown): Promise<void> {
  const plain = pathOf(path);
  const reactor = plain === undefined ? undefined : reactorFor(IORING_OP_UNLINKAT);
  if (reactor === undefined) return own.unlink(path);
  return new Deed(UNLINK, [plain, 0], "unlink", { path: plain }).begin(reactor);
}

/** rmdir(path[, options]). */
export function rmdir(path: unknown, options?: unknown): Promise<void> {
  const plain = options === undefined ? pathOf(path) : undefined;
  const reactor = plain === undefined ? undefined : reactorFor(IORING_OP_UNLINKAT);
  if (reactor === undefined) return own.rmdir(path, options);
  return new Deed(UNLINK, [plain, AT_REMOVEDIR], "rmdir", { path: plain }).begin(reactor);
}

/** mkdir(path[, options]). */
export function mkdir(path: unknown, options?: unknown): Promise<string | undefined> {
  const plain = pathOf(path);
  const mode = directoryModeOf(options);
  const reactor = plain === undefined || mode === undefined ? undefined : reactorFor(IORING_OP_MKDIRAT);
  if (reactor === undefined) return own.mkdir(path, options);
  return new Deed(MKDIR, [plain, mode], "mkdir", { path: plain }).begin(
    reactor,
  ) as Promise<unknown> as Promise<undefined>;
}

/** The mode that mkdir's second argument says, unless that asks for more than one directory. */
function directoryModeOf(options: unknown): number | undefined {
  if (typeof options === "number") return modeOf(options, 0o777);
  const record = recordOf(options);
  if (record === undefined || (record["recursive"] !== undefined && record["recursive"] !== false)) return undefined;
  return modeOf(record["mode"], 0o777);
}

/** rename(oldPath, newPath). */
export function rename(oldPath: unknown, newPath: unknown): Promise<void> {
  const path = pathOf(oldPath);
  const dest = pathOf(newPath);
  const reactor = path === undefined || dest === undefined ? undefined : reactorFor(IORING_OP_RENAMEAT);
  if (reactor === undefined) return own.rename(oldPath, newPath);
  return new Deed(RENAME, [path, dest], "rename", { path, dest }).begin(reactor);
}

/** link(existingPath, newPath). */
export function link(existingPath: unknown, newPath: unknown): Promise<void> {
  const path = pathOf(existingPath);
  const dest = pathOf(newPath);
  const reactor = path === undefined || dest === undefined ? undefined : reactorFor(IORING_OP_LINKAT);
  if (reactor === undefined) return own.link(existingPath, newPath);
  return new Deed(LINK, [path, dest], "link", { path, dest }).begin(reactor);
}

const linkTypes: readonly unknown[] = [undefined, null, "file", "dir", "junction"];

/** symlink(target, path[, type]). */
export function symlink(target: unknown, path: unknown, type?: unknown): Promise<void> {
  const text = pathOf(target);
  const dest = pathOf(path);
  const plain = text !== undefined && dest !== undefined && linkTypes.includes(type);
  const reactor = plain ? reactorFor(IORING_OP_SYMLINKAT) : undefined;
  if (reactor === undefined) return own.symlink(target, path, type);
  return new Deed(SYMLINK, [text, dest], "symlink", { path: text, dest }).begin(reactor);
}
