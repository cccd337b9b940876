/** Timeouts: on their own, repeating, and on the request before them in a chain. */
import {
  IORING_OP_LINK_TIMEOUT,
  IORING_OP_TIMEOUT,
  IORING_OP_TIMEOUT_REMOVE,
  IORING_TIMEOUT_IMMEDIATE_ARG,
  IORING_TIMEOUT_MULTISHOT,
  IORING_TIMEOUT_UPDATE,
} from "../../abi/constants.gen.ts";
import { SIZEOF_TIMESPEC } from "../../abi/linux.ts";
import type { Memory } from "../../memory.ts";
import { addressOfStruct, checkLength32, checkU32, checkU64 } from "./check.ts";
import { type Slot, SQE_ADDR, type UserData } from "./slot.ts";

/**
 * Completes when `ts` has passed (`res` -ETIME), or after `count` other completions (`res` 0) where `count` is not 0.
 * `ts` is a struct timespec of 64-bit fields, relative unless IORING_TIMEOUT_ABS is in `flags`, and must live until the
 * entry is submitted.
 *
 * @kernel 5.4
 * @man io_uring_prep_timeout(3)
 */
export function prepTimeout(sqe: Slot, ts: Memory, count: number = 0, flags: number = 0): void {
  checkLength32("completion count", count);
  checkU32("timeout flags", flags);
  const address = addressOfStruct("timespec", ts, SIZEOF_TIMESPEC);
  sqe.write(IORING_OP_TIMEOUT, -1, count, address, 1, flags);
}

/**
 * Completes every time that `ts` has passed, `count` times, or until it is removed where `count` is 0. `res` is -ETIME
 * each time, and IORING_CQE_F_MORE says that it goes on. `ts` must live until the entry is submitted.
 *
 * @kernel 6.4
 * @man io_uring_enter(2)
 */
export function prepTimeoutMultishot(sqe: Slot, ts: Memory, count: number = 0, flags: number = 0): void {
  checkU32("timeout flags", flags);
  prepTimeout(sqe, ts, count, flags | IORING_TIMEOUT_MULTISHOT);
}

/**
 * {@link prepTimeout} with the time in the entry itself, in nanoseconds: no memory to keep. `res` is -ETIME, or 0 after
 * `count` other completions.
 *
 * @kernel 7.1
 * @man io_uring_enter(2)
 */
export function prepTimeoutImmediate(
  sqe: Slot,
  timeoutNs: number | bigint,
  count: number = 0,
  flags: number = 0,
): void {
  checkU64("timeout", timeoutNs);
  checkLength32("completion count", count);
  checkU32("timeout flags", flags);
  sqe.write(IORING_OP_TIMEOUT, -1, count, 0, 1, flags | IORING_TIMEOUT_IMMEDIATE_ARG);
  sqe.write64(SQE_ADDR, timeoutNs);
}

/**
 * Ends the timeout that was submitted with `userData`, which completes with -ECANCELED. `res` is 0, -ENOENT where there
 * is none, -EBUSY or -EALREADY where it is completing. A multishot timeout is not found either between going off and
 * being set again, and goes on: ask once more.
 *
 * @kernel 5.5
 * @man io_uring_prep_timeout_remove(3)
 */
export function prepTimeoutRemove(sqe: Slot, userData: UserData, flags: number = 0): void {
  checkU64("user data", userData);
  checkU32("timeout flags", flags);
  sqe.write(IORING_OP_TIMEOUT_REMOVE, -1, 0, 0, 0, flags);
  sqe.write64(SQE_ADDR, userData);
}

/**
 * Gives the timeout that was submitted with `userData` a new time; a link timeout with IORING_LINK_TIMEOUT_UPDATE in
 * `flags`. `ts` must live until the entry is submitted. `res` is 0, -ENOENT where there is none, -EALREADY where it is
 * completing.
 *
 * @kernel 5.11
 * @man io_uring_prep_timeout_update(3)
 */
export function prepTimeoutUpdate(sqe: Slot, ts: Memory, userData: UserData, flags: number = 0): void {
  checkU64("user data", userData);
  checkU32("timeout flags", flags);
  const address = addressOfStruct("timespec", ts, SIZEOF_TIMESPEC);
  sqe.write(IORING_OP_TIMEOUT_REMOVE, -1, address, 0, 0, flags | IORING_TIMEOUT_UPDATE);
  sqe.write64(SQE_ADDR, userData);
}

/**
 * {@link prepTimeoutUpdate} with the new time in the entry itself, in nanoseconds: no memory to keep. `res` is 0,
 * -ENOENT where there is no such timeout, -EALREADY where it is completing.
 *
 * @kernel 7.1
 * @man io_uring_enter(2)
 */
export function prepTimeoutUpdateImmediate(
  sqe: Slot,
  timeoutNs: number | bigint,
  userData: UserData,
  flags: number = 0,
): void {
  checkU64("timeout", timeoutNs);
  checkU64("user data", userData);
  checkU32("timeout flags", flags);
  const all = flags | IORING_TIMEOUT_UPDATE | IORING_TIMEOUT_IMMEDIATE_ARG;
  sqe.write(IORING_OP_TIMEOUT_REMOVE, -1, timeoutNs, 0, 0, all);
  sqe.write64(SQE_ADDR, userData);
}

/**
 * Limits the time of the entry before it, which must be linked to this one: when `ts` has passed, that request is
 * canceled. `ts` must live until the entry is submitted. `res` is -ETIME where the time ran out, -ECANCELED where the
 * request was in time.
 *
 * @kernel 5.5
 * @man io_uring_prep_link_timeout(3)
 */
export function prepLinkTimeout(sqe: Slot, ts: Memory, flags: number = 0): void {
  checkU32("timeout flags", flags);
  const address = addressOfStruct("timespec", ts, SIZEOF_TIMESPEC);
  sqe.write(IORING_OP_LINK_TIMEOUT, -1, 0, address, 1, flags);
}

/**
 * {@link prepLinkTimeout} with the time in the entry itself, in nanoseconds: no memory to keep. `res` is -ETIME where
 * the time ran out, -ECANCELED where the request was in time.
 *
 * @kernel 7.1
 * @man io_uring_enter(2)
 */
export function prepLinkTimeoutImmediate(sqe: Slot, timeoutNs: number | bigint, flags: number = 0): void {
  checkU64("timeout", timeoutNs);
  checkU32("timeout flags", flags);
  sqe.write(IORING_OP_LINK_TIMEOUT, -1, 0, 0, 1, flags | IORING_TIMEOUT_IMMEDIATE_ARG);
  sqe.write64(SQE_ADDR, timeoutNs);
}
