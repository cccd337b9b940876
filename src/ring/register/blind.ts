/** Registrations that need no ring. */
import { syscalls } from "../../../syscall/shim.ts";

/** In place of a ring's descriptor. */
const NO_RING = -1;

/**
 * @internal io_uring_register(2) without a ring, for what is asked of the kernel or set for the task: a result, or
 * `-errno`.
 */
export function registerBlind(opcode: number, address: number, count: number): number {
  return syscalls().register(NO_RING, opcode, address, count);
}
