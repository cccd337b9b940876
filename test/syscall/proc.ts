/** What the kernel says of this process: the memory behind an address, its mappings, its descriptors. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";

const PAGE = 4096;

/** What stands at an address, as the kernel would read it, one character a byte. */
export function peek(address: number, lengthBytes: number): string {
  const bytes = Buffer.alloc(lengthBytes);
  const memory = openSync("/proc/self/mem", "r");
  readSync(memory, bytes, 0, lengthBytes, address);
  closeSync(memory);
  return bytes.toString("latin1");
}

/** Writes where the kernel would write, one character a byte. */
export function poke(address: number, text: string): void {
  const memory = openSync("/proc/self/mem", "r+");
  writeSync(memory, Buffer.from(text, "latin1"), 0, text.length, address);
  closeSync(memory);
}

/** The flags of the mapping that an address lies in, as /proc/self/smaps spells them; undefined where there is none. */
export function flagsAt(address: number): string[] | undefined {
  let inside = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) inside = address >= Number(`0x${range[1]}`) && address < Number(`0x${range[2]}`);
    else if (inside && line.startsWith("VmFlags:")) return line.slice("VmFlags:".length).trim().split(" ");
  }
  return undefined;
}

/** How many of the pages from an address on are in memory now. */
export function residentPages(address: number, pages: number): number {
  const entries = new BigUint64Array(pages);
  const map = openSync("/proc/self/pagemap", "r");
  readSync(map, new Uint8Array(entries.buffer), 0, pages * 8, (address / PAGE) * 8);
  closeSync(map);
  return entries.filter((entry) => entry >> 63n === 1n).length;
}

/** How many mappings this process has. */
export function mappingCount(): number {
  return readFileSync("/proc/self/maps", "utf8").split("\n").length - 1;
}

/** How many descriptors this process has open. */
export function descriptorCount(): number {
  return readdirSync("/proc/self/fd").length;
}
