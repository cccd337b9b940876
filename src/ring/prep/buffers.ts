/** The older way to provide buffers, one entry at a time. A buffer ring is faster and newer (Linux 5.19). */
import { IORING_OP_PROVIDE_BUFFERS, IORING_OP_REMOVE_BUFFERS } from "../../abi/constants.gen.ts";
import { rangeError } from "../../errors.ts";
import { addressOf, type Memory } from "../../memory.ts";
import { checkCount, checkU16 } from "./check.ts";
import { type Slot, SQE_BUF_INDEX } from "./slot.ts";

/**
 * Puts `nr` buffers of `len` bytes each, which follow one another from `addr` on, into the group `bgid`, with the
 * numbers `bid`, `bid` + 1 and so on. A buffer must live until a completion has named it or it is removed. `res` is 0,
 * on old kernels the number of buffers added.
 *
 * @kernel 5.7
 * @man io_uring_prep_provide_buffers(3)
 */
export function prepProvideBuffers(sqe: Slot, addr: Memory, len: number, nr: number, bgid: number, bid: number): void {
  checkCount("buffer's length", len);
  checkCount("number of buffers", nr);
  checkU16("buffer group", bgid);
  checkU16("buffer's number", bid);
  const address = addressOf(addr);
  if (typeof addr !== "number" && len * nr > addr.byteLength) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot provide ${nr} buffers of ${len} bytes: the memory has ${addr.byteLength} bytes`,
    );
  }
  sqe.write(IORING_OP_PROVIDE_BUFFERS, nr, bid, address, len, 0);
  sqe.set(SQE_BUF_INDEX, bgid);
}

/**
 * Takes up to `nr` buffers out of the group `bgid`, whichever come first. `res` is the number of buffers removed.
 *
 * @kernel 5.7
 * @man io_uring_prep_remove_buffers(3)
 */
export function prepRemoveBuffers(sqe: Slot, nr: number, bgid: number): void {
  checkCount("number of buffers", nr);
  checkU16("buffer group", bgid);
  sqe.write(IORING_OP_REMOVE_BUFFERS, nr, 0, 0, 0, 0);
  sqe.set(SQE_BUF_INDEX, bgid);
}
