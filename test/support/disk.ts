/** Block devices read and written past the page cache, as any program does it that wants to. */
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { Mapping } from "../../src/index.ts";

/** Opens a device, calls `use` with memory that it can be read into and written from, and lets go of both. */
function direct(device: string, lengthBytes: number, use: (fd: number, memory: Mapping) => number): Buffer {
  // A device wants memory that begins at a page.
  const memory = Mapping.anonymous(lengthBytes);
  const fd = openSync(device, constants.O_RDWR | constants.O_DIRECT);
  try {
    const moved = use(fd, memory);
    if (moved !== lengthBytes) throw new Error(`${device}: ${moved} bytes moved of ${lengthBytes}`);
    return Buffer.from(memory.bytes);
  } finally {
    closeSync(fd);
    memory.close();
  }
}

/** What a device has from `offset` on. */
export function readDirect(device: string, offset: number, lengthBytes: number): Buffer {
  return direct(device, lengthBytes, (fd, memory) => readSync(fd, memory.bytes, 0, lengthBytes, offset));
}

/** Writes to a device from `offset` on. */
export function writeDirect(device: string, offset: number, data: Uint8Array): void {
  direct(device, data.length, (fd, memory) => {
    memory.bytes.set(data);
    return writeSync(fd, memory.bytes, 0, data.length, offset);
  });
}
