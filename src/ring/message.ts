/** A message to a ring from a thread that has none. */
import { EINVAL, EOVERFLOW } from "../abi/errno.gen.ts";
import { IORING_REGISTER_SEND_MSG_RING, IORING_SETUP_REGISTERED_FD_ONLY } from "../abi/constants.gen.ts";
import { describe, typeError, UringError } from "../errors.ts";
import { prepMsgRing, prepMsgRingCqeFlags } from "./prep/msg.ts";
import { Slot, type UserData } from "./prep/slot.ts";
import { registerBlind } from "./register/blind.ts";
import { transientAddress } from "./transient.ts";

/** What else a message can say. */
export interface SyncMessageOptions {
  /** The flags of the posted completion. */
  cqeFlags?: number;
}

/**
 * Posts a completion to a ring, of this thread or another, in one system call and without a ring of one's own: `data` as
 * its user data, `len` as its result. It has arrived when this returns, or with deferTaskrun will when its owner looks.
 *
 * @param target the ring, or its descriptor.
 * @throws TypeError or RangeError for what is no ring; UringError EOVERFLOW where its completion queue is full, EBADFD
 * where it is disabled, EBADF for no ring's descriptor, EINVAL before 6.13.
 * @kernel 6.13
 * @man io_uring_register_sync_msg(3)
 */
export function registerSyncMsg(
  target: { readonly fd: number; readonly setup: { readonly flags: number } } | number,
  len: number,
  data: UserData,
  options: SyncMessageOptions = {},
): void {
  const words = new Int32Array(16);
  const sqe = new Slot(words, words.length);
  const fd = descriptorOf(target);
  if (options.cqeFlags === undefined) prepMsgRing(sqe, fd, len, data);
  else prepMsgRingCqeFlags(sqe, fd, len, data, 0, options.cqeFlags);
  const result = registerBlind(IORING_REGISTER_SEND_MSG_RING, transientAddress(words), 1);
  if (result >= 0) return;
  const causes: Readonly<Record<number, string>> = {
    [EINVAL]: "this kernel sends messages from rings only (6.13)",
    [EOVERFLOW]: "the other ring's completion queue is full",
  };
  throw new UringError(result, "IORING_REGISTER_SEND_MSG_RING", causes[-result]);
}

function descriptorOf(target: { readonly fd: number; readonly setup: { readonly flags: number } } | number): number {
  if (typeof target === "number") return target;
  if (typeof target?.fd !== "number") {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot send to ${describe(target)}: it is no ring`);
  }
  if ((target.setup.flags & IORING_SETUP_REGISTERED_FD_ONLY) !== 0) {
    throw typeError("ERR_URING_ARG_TYPE", "Cannot send to a ring that has no descriptor");
  }
  return target.fd;
}
