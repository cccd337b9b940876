/** What this process has open, by the kernel's names: `expect(descriptors(isSocket)).toBe(before)`. */
import { readdirSync, readlinkSync } from "node:fs";

/** How many descriptors are open on what the kernel calls by such a name. */
export function descriptors(is: (name: string) => boolean): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return is(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // The one that the list itself was read by.
      return false;
    }
  }).length;
}

/** Whether the name is that of a socket. */
export function isSocket(name: string): boolean {
  return name.startsWith("socket:");
}

/** Whether the name is that of a ring. */
export function isRing(name: string): boolean {
  return name.includes("[io_uring]");
}
