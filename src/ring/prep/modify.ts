/**
 * What some entries take beyond their prep function's arguments. These change the entry that a prep function has just
 * written, and check their arguments before they touch it.
 */
import { IORING_RW_ATTR_FLAG_PI } from "../../abi/constants.gen.ts";
import { IO_URING_ATTR_PI_SIZE } from "../../abi/layout.gen.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkU16, checkU8 } from "./check.ts";
import { type Slot, SQE_ADDR3, SQE_FILE_INDEX, SQE_OFF, SQE_PAD2 } from "./slot.ts";

/**
 * Gives a send its destination, for sockets that are not connected. `destAddr`, a struct sockaddr, must live until
 * the entry is submitted. Plain sends take one from Linux 6.1 on.
 *
 * @kernel 6.0
 * @man io_uring_prep_send_set_addr(3)
 */
export function sendSetAddr(sqe: Slot, destAddr: Memory, addrLen?: number): void {
  const address = addressOf(destAddr);
  const length = lengthOf(destAddr, addrLen);
  checkU16("address length", length);
  sqe.write64(SQE_OFF, address);
  sqe.set(SQE_FILE_INDEX, length);
}

/**
 * Adds protection information to a read or write of a block device. `attr`, a struct io_uring_attr_pi, must live until
 * the entry is submitted, and the buffer that it names until the completion.
 *
 * @kernel 6.14
 * @man io_uring_enter(2)
 */
export function attrPi(sqe: Slot, attr: Memory): void {
  sqe.write64(SQE_ADDR3, attrPiAddress(attr));
  sqe.write64(SQE_PAD2, IORING_RW_ATTR_FLAG_PI);
}

/**
 * Gives a write a placement hint: data of one `stream`, 1 to 255, has a similar lifetime; 0 is no hint.
 *
 * @kernel 6.16
 * @man io_uring_enter(2)
 */
export function writeStream(sqe: Slot, stream: number): void {
  checkU8("write stream", stream);
  sqe.set(SQE_FILE_INDEX, stream);
}

/** @internal The address of protection information, refused before anything is written. */
export function attrPiAddress(attr: Memory): number {
  return addressOfStruct("protection information", attr, IO_URING_ATTR_PI_SIZE);
}
