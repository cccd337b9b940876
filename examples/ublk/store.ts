/** What a disk is made of, found or made. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { SECTOR } from "./abi.ts";
import type { Store } from "./backend.ts";
import type { Source } from "./options.ts";

/** A store and how much of it there is. */
export interface Opened {
  readonly store: Store;
  readonly sizeBytes: number;
  /** Whether what was written needs a flush to be safe. */
  readonly volatileCache: boolean;
  close(): void;
}

/**
 * Opens what a disk is to be made of.
 *
 * @throws Error that says why it cannot be.
 */
export function openStore(source: Source, blockBytes: number, readOnly: boolean): Opened {
  if ("ramBytes" in source) {
    // Nothing but threads of this program can share it; the system gives pages as they are first written.
    const memory = new SharedArrayBuffer(source.ramBytes);
    const sizeBytes = source.ramBytes;
    return { store: { kind: "ram", memory }, sizeBytes, volatileCache: false, close() {} };
  }
  const { path } = source;
  const fd = openSync(path, readOnly ? constants.O_RDONLY : constants.O_RDWR);
  const stat = fstatSync(fd);
  const kind = stat.mode & constants.S_IFMT;
  const found = kind === constants.S_IFREG ? stat.size : kind === constants.S_IFBLK ? deviceBytes(stat.rdev) : -1;
  // What is left over at the end is no block.
  const sizeBytes = Math.floor(found / blockBytes) * blockBytes;
  if (sizeBytes <= 0) {
    closeSync(fd);
    const why = found < 0 ? "it is no file and no disk" : `it has ${found} bytes, which is less than a block`;
    throw new Error(`cannot serve ${path}: ${why}`);
  }
  return { store: { kind: "file", fd }, sizeBytes, volatileCache: true, close: () => closeSync(fd) };
}

/** The size of a block device, which its file does not tell. */
function deviceBytes(rdev: number): number {
  // The halves of a device's number, as glibc makes it of the kernel's.
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, "utf8")) * SECTOR;
}
