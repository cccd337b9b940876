/** Waiting until descriptors are ready, through the ring itself or through an epoll instance. */
import {
  IORING_OP_EPOLL_CTL,
  IORING_OP_EPOLL_WAIT,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_POLL_ADD_MULTI,
} from "../../abi/constants.gen.ts";
import { SIZEOF_EPOLL_EVENT } from "../../abi/linux.ts";
import { addressOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkFd, checkU32, checkU64, countOf } from "./check.ts";
import { type Slot, SQE_ADDR, type UserData } from "./slot.ts";

/**
 * Completes once when one of the events of `pollMask` (POLLIN, POLLOUT, ...) is there. `res` is the events that are.
 *
 * @kernel 5.1
 * @man io_uring_prep_poll_add(3)
 */
export function prepPollAdd(sqe: Slot, fd: number, pollMask: number): void {
  checkFd(fd);
  checkU32("poll mask", pollMask);
  sqe.write(IORING_OP_POLL_ADD, fd, 0, 0, 0, pollMask);
}

/**
 * Completes again and again as events of `pollMask` arrive, not for as long as they last. `res` is the events; a
 * completion without IORING_CQE_F_MORE is the last.
 *
 * @kernel 5.13
 * @man io_uring_prep_poll_multishot(3)
 */
export function prepPollMultishot(sqe: Slot, fd: number, pollMask: number): void {
  checkFd(fd);
  checkU32("poll mask", pollMask);
  // Kernel: IORING_POLL_ADD_LEVEL has a number but no kernel takes it; 6.0 was released with it switched off.
  sqe.write(IORING_OP_POLL_ADD, fd, 0, 0, IORING_POLL_ADD_MULTI, pollMask);
}

/**
 * Ends the poll request that was submitted with `userData`, which completes with -ECANCELED. `res` is 0, -ENOENT where
 * there is none, -EALREADY where it is completing.
 *
 * @kernel 5.1
 * @man io_uring_prep_poll_remove(3)
 */
export function prepPollRemove(sqe: Slot, userData: UserData): void {
  checkU64("user data", userData);
  sqe.write(IORING_OP_POLL_REMOVE, -1, 0, 0, 0, 0);
  sqe.write64(SQE_ADDR, userData);
}

/**
 * Changes a waiting poll request: its events with IORING_POLL_UPDATE_EVENTS in `flags`, its user data with
 * IORING_POLL_UPDATE_USER_DATA; IORING_POLL_ADD_MULTI keeps a multishot one multishot. `res` is 0, -ENOENT where there
 * is none, -EALREADY where it is completing.
 *
 * Kernel: 6.16 and 6.17 lose a poll that is updated: it ends with -ECANCELED or never.
 *
 * @kernel 5.13
 * @man io_uring_prep_poll_update(3)
 */
export function prepPollUpdate(
  sqe: Slot,
  oldUserData: UserData,
  newUserData: UserData,
  pollMask: number,
  flags: number,
): void {
  checkU64("user data", oldUserData);
  checkU64("user data", newUserData);
  checkU32("poll mask", pollMask);
  checkU32("poll flags", flags);
  sqe.write(IORING_OP_POLL_REMOVE, -1, newUserData, 0, flags, pollMask);
  sqe.write64(SQE_ADDR, oldUserData);
}

/**
 * epoll_ctl(2): has the epoll instance `epfd` watch `fd` (`op` EPOLL_CTL_ADD), change how (EPOLL_CTL_MOD) or stop
 * (EPOLL_CTL_DEL). `event`, a struct epoll_event, must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.6
 * @man io_uring_prep_epoll_ctl(3)
 */
export function prepEpollCtl(sqe: Slot, epfd: number, fd: number, op: number, event: Memory): void {
  checkFd(epfd);
  checkFd(fd);
  checkU32("epoll operation", op);
  const address = addressOfStruct("epoll event", event, SIZEOF_EPOLL_EVENT);
  // The kernel takes 32 bits of this field; the rest stay clear, as in C.
  sqe.write(IORING_OP_EPOLL_CTL, epfd, fd >>> 0, address, op, 0);
}

/**
 * epoll_wait(2) without a timeout (link one): completes when the epoll instance `fd` has events. `events`, an array of
 * struct epoll_event, must live until the completion. `res` is how many of them were filled in.
 *
 * @kernel 6.15
 * @man io_uring_prep_epoll_wait(3)
 */
export function prepEpollWait(sqe: Slot, fd: number, events: Memory, flags: number = 0, maxEvents?: number): void {
  checkFd(fd);
  checkU32("epoll flags", flags);
  const address = addressOf(events);
  sqe.write(
    IORING_OP_EPOLL_WAIT,
    fd,
    0,
    address,
    countOf("epoll events", events, SIZEOF_EPOLL_EVENT, maxEvents),
    flags,
  );
}
