/** Sockets: making, naming, listening, accepting, connecting, shutting down. What they carry is in send.ts and recv.ts. */
import {
  IORING_ACCEPT_MULTISHOT,
  IORING_FILE_INDEX_ALLOC,
  IORING_OP_ACCEPT,
  IORING_OP_BIND,
  IORING_OP_CONNECT,
  IORING_OP_LISTEN,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
} from "../../abi/constants.gen.ts";
import { SIZEOF_SOCKLEN } from "../../abi/linux.ts";
import { addressOf, lengthOf, type Memory } from "../../memory.ts";
import { addressOfStruct, checkCount, checkFd, checkU32, fileIndexWord } from "./check.ts";
import { type Slot, SQE_FILE_INDEX, SQE_IOPRIO_SHIFT } from "./slot.ts";

/**
 * socket(2): makes a socket of `domain` AF_*, `type` SOCK_* (with SOCK_CLOEXEC and SOCK_NONBLOCK) and `protocol`.
 * `flags` must be 0 so far. `res` is the new descriptor.
 *
 * @kernel 5.19
 * @man io_uring_prep_socket(3)
 */
export function prepSocket(sqe: Slot, domain: number, type: number, protocol: number, flags: number = 0): void {
  writeSocket(sqe, domain, type, protocol, flags, 0);
}

/**
 * {@link prepSocket} of a direct descriptor, at `fileIndex` in the table of registered files, whose former file is
 * closed, or with IORING_FILE_INDEX_ALLOC where there is room. SOCK_CLOEXEC makes no sense here and is refused. `res`
 * is 0, or the index that was chosen.
 *
 * @kernel 5.19
 * @man io_uring_prep_socket_direct(3)
 */
export function prepSocketDirect(
  sqe: Slot,
  domain: number,
  type: number,
  protocol: number,
  fileIndex: number,
  flags: number = 0,
): void {
  writeSocket(sqe, domain, type, protocol, flags, fileIndexWord(fileIndex));
}

/**
 * {@link prepSocketDirect} where there is room in the table of registered files. `res` is the index that was chosen,
 * -ENFILE where the table is full.
 *
 * @kernel 5.19
 * @man io_uring_prep_socket_direct_alloc(3)
 */
export function prepSocketDirectAlloc(
  sqe: Slot,
  domain: number,
  type: number,
  protocol: number,
  flags: number = 0,
): void {
  writeSocket(sqe, domain, type, protocol, flags, IORING_FILE_INDEX_ALLOC);
}

function writeSocket(
  sqe: Slot,
  domain: number,
  type: number,
  protocol: number,
  flags: number,
  fileIndex: number,
): void {
  checkCount("socket domain", domain);
  checkU32("socket type", type);
  checkCount("socket protocol", protocol);
  checkU32("socket flags", flags);
  sqe.write(IORING_OP_SOCKET, domain, type, 0, protocol, flags);
  sqe.set(SQE_FILE_INDEX, fileIndex);
}

/**
 * bind(2): gives a socket its own address. `addr`, a struct sockaddr, must live until the entry is submitted. `res`
 * is 0.
 *
 * @kernel 6.11
 * @man io_uring_prep_bind(3)
 */
export function prepBind(sqe: Slot, fd: number, addr: Memory, addrlen?: number): void {
  checkFd(fd);
  const address = addressOf(addr);
  sqe.write(IORING_OP_BIND, fd, lengthOf(addr, addrlen), address, 0, 0);
}

/**
 * listen(2): lets a socket accept connections, of which up to `backlog` may wait. `res` is 0.
 *
 * @kernel 6.11
 * @man io_uring_prep_listen(3)
 */
export function prepListen(sqe: Slot, fd: number, backlog: number): void {
  checkFd(fd);
  checkCount("backlog", backlog);
  sqe.write(IORING_OP_LISTEN, fd, 0, 0, backlog, 0);
}

/**
 * connect(2): connects a socket to `addr`, a struct sockaddr that must live until the entry is submitted. `res` is 0.
 *
 * @kernel 5.5
 * @man io_uring_prep_connect(3)
 */
export function prepConnect(sqe: Slot, fd: number, addr: Memory, addrlen?: number): void {
  checkFd(fd);
  const address = addressOf(addr);
  sqe.write(IORING_OP_CONNECT, fd, lengthOf(addr, addrlen), address, 0, 0);
}

/**
 * accept4(2): takes one waiting connection, or waits for one. `addr` receives the peer's address and `addrlen`, a
 * 32-bit number that says how much room there is, its length; both must live until the completion. `flags` takes
 * SOCK_CLOEXEC and SOCK_NONBLOCK. `res` is the new descriptor: a request that is canceled may still yield one, which
 * is then yours to close.
 *
 * @kernel 5.5
 * @man io_uring_prep_accept(3)
 */
export function prepAccept(
  sqe: Slot,
  fd: number,
  addr: Memory | null = null,
  addrlen: Memory | null = null,
  flags: number = 0,
): void {
  writeAccept(sqe, 0, fd, addr, addrlen, flags, 0);
}

/**
 * {@link prepAccept} into a direct descriptor, at `fileIndex` in the table of registered files, whose former file is
 * closed, or with IORING_FILE_INDEX_ALLOC where there is room. `addr` and `addrlen` must live until the completion.
 * SOCK_CLOEXEC is refused. `res` is 0, or the index that was chosen.
 *
 * @kernel 5.15
 * @man io_uring_prep_accept_direct(3)
 */
export function prepAcceptDirect(
  sqe: Slot,
  fd: number,
  addr: Memory | null,
  addrlen: Memory | null,
  flags: number,
  fileIndex: number,
): void {
  writeAccept(sqe, 0, fd, addr, addrlen, flags, fileIndexWord(fileIndex));
}

/**
 * Accepts every connection that comes, until an error or cancellation. Every completion has a new descriptor in `res`;
 * one without IORING_CQE_F_MORE is the last. `addr` and `addrlen` must live until that one and hold the address of the
 * connection accepted last, so leave them out where connections come close together.
 *
 * @kernel 5.19
 * @man io_uring_prep_multishot_accept(3)
 */
export function prepMultishotAccept(
  sqe: Slot,
  fd: number,
  addr: Memory | null = null,
  addrlen: Memory | null = null,
  flags: number = 0,
): void {
  writeAccept(sqe, IORING_ACCEPT_MULTISHOT, fd, addr, addrlen, flags, 0);
}

/**
 * {@link prepMultishotAccept} into direct descriptors wherever there is room in the table of registered files. `addr`
 * and `addrlen` must live until the last completion. `res` is the index that was chosen each time, -ENFILE where the
 * table is full.
 *
 * @kernel 5.19
 * @man io_uring_prep_multishot_accept_direct(3)
 */
export function prepMultishotAcceptDirect(
  sqe: Slot,
  fd: number,
  addr: Memory | null = null,
  addrlen: Memory | null = null,
  flags: number = 0,
): void {
  writeAccept(sqe, IORING_ACCEPT_MULTISHOT, fd, addr, addrlen, flags, IORING_FILE_INDEX_ALLOC);
}

function writeAccept(
  sqe: Slot,
  ioprio: number,
  fd: number,
  addr: Memory | null,
  addrlen: Memory | null,
  flags: number,
  fileIndex: number,
): void {
  checkFd(fd);
  checkU32("accept flags", flags);
  const address = addr === null ? 0 : addressOf(addr);
  const lengthAddress = addrlen === null ? 0 : addressOfStruct("address length", addrlen, SIZEOF_SOCKLEN);
  sqe.write(IORING_OP_ACCEPT | (ioprio << SQE_IOPRIO_SHIFT), fd, lengthAddress, address, 0, flags);
  sqe.set(SQE_FILE_INDEX, fileIndex);
}

/**
 * shutdown(2): ends one or both directions of a connection; `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. `res` is 0.
 *
 * @kernel 5.11
 * @man io_uring_prep_shutdown(3)
 */
export function prepShutdown(sqe: Slot, fd: number, how: number): void {
  checkFd(fd);
  checkU32("shutdown's how", how);
  sqe.write(IORING_OP_SHUTDOWN, fd, 0, 0, how, 0);
}
