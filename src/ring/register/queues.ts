/** Registrations about the ring itself: its name, its size, what its completions signal, when it starts, what it drops. */
import { EACCES, ENOENT, ETIME } from "../../abi/errno.gen.ts";
import {
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_ASYNC_CANCEL_FD,
  IORING_ASYNC_CANCEL_FD_FIXED,
  IORING_ASYNC_CANCEL_OP,
  IORING_ASYNC_CANCEL_USERDATA,
  IORING_FEAT_REG_REG_RING,
  IORING_REGISTER_ENABLE_RINGS,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_EVENTFD_ASYNC,
  IORING_REGISTER_RING_FDS,
  IORING_REGISTER_SYNC_CANCEL,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_R_DISABLED,
  IORING_UNREGISTER_EVENTFD,
  IORING_UNREGISTER_RING_FDS,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_RSRC_UPDATE_SIZE,
  IO_URING_RSRC_UPDATE_WORD_DATA,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
  IO_URING_SYNC_CANCEL_REG_OFF_OPCODE,
  IO_URING_SYNC_CANCEL_REG_SIZE,
  IO_URING_SYNC_CANCEL_REG_WORD_ADDR,
  IO_URING_SYNC_CANCEL_REG_WORD_FD,
  IO_URING_SYNC_CANCEL_REG_WORD_FLAGS,
  IO_URING_SYNC_CANCEL_REG_WORD_TIMEOUT,
} from "../../abi/layout.gen.ts";
import { describe, rangeError, stateError, typeError, UringError } from "../../errors.ts";
import { syscalls } from "../../../syscall/shim.ts";
import { checkFd, checkU64, checkU8 } from "../prep/check.ts";
import type { UserData } from "../prep/slot.ts";
import { setU64 } from "../structs.ts";
import { withDescriptor } from "../trial.ts";
import { ProvidedRegistrations } from "./provided.ts";
import { transientAddress } from "../transient.ts";

/** Which requests {@link Ring.registerSyncCancel} cancels: those that match all that is given. */
export interface CancelMatch {
  /** Those submitted with this user data; with other keys beside it from 6.6. */
  userData?: UserData;
  /** Those on this descriptor, or with `fixedFile` on this registered file. */
  fd?: number;
  /** `fd` is the index of a registered file. */
  fixedFile?: boolean;
  /** Those with this operation, an IORING_OP_*. @kernel 6.6 */
  opcode?: number;
  /** Whatever there is; no key may be given. */
  any?: boolean;
  /** All that match, not only the first found; `any` does as much. */
  all?: boolean;
}

/** The sizes that {@link Ring.resizeRings} gives the queues; what is left out stays as it is. */
export interface RingSizes {
  /** Entries of the submission queue: rounded up to a power of two. */
  sqEntries?: number;
  /** Entries of the completion queue: rounded up to a power of two, no fewer than the other has. */
  cqEntries?: number;
  /** Takes the most that is allowed where a size is past it, instead of failing. */
  clamp?: boolean;
}

/** @internal */
export abstract class QueueRegistrations extends ProvidedRegistrations {
  #eventfd = false;
  #ringIndex = -1;
  #enabled = false;

  /** From here on calls name the ring by its registered index; -1: by its descriptor again. */
  protected abstract useRegisteredIndex(index: number): void;

  /** Gives up the descriptor: the ring has nothing but its registered index from here on. */
  protected abstract dropDescriptor(): void;

  /** Gives the queues other sizes. */
  protected abstract resize(sqEntries: number, cqEntries: number, clamp: boolean): void;

  /** Whether the ring takes no entries yet. */
  protected get disabled(): boolean {
    return (this.setup.flags & IORING_SETUP_R_DISABLED) !== 0 && !this.#enabled;
  }

  /**
   * Signals `eventfd` at every completion. The descriptor stays the caller's to close, after unregistering it.
   * With deferTaskrun many kernels signal late, and some once only: make the ring with `modern: "coop"`, or without.
   *
   * @throws Error `ERR_URING_STATE` where one is registered already; UringError EBADF, EINVAL for what is no eventfd.
   * @kernel 5.2
   * @man io_uring_register_eventfd(3)
   */
  registerEventfd(eventfd: number): void {
    this.#registerEventfd("IORING_REGISTER_EVENTFD", IORING_REGISTER_EVENTFD, eventfd);
  }

  /**
   * The same, but only for completions that did not happen within the submission itself.
   *
   * @throws as {@link registerEventfd}.
   * @kernel 5.6
   * @man io_uring_register_eventfd_async(3)
   */
  registerEventfdAsync(eventfd: number): void {
    this.#registerEventfd("IORING_REGISTER_EVENTFD_ASYNC", IORING_REGISTER_EVENTFD_ASYNC, eventfd);
  }

  #registerEventfd(name: string, opcode: number, eventfd: number): void {
    checkFd(eventfd);
    if (this.#eventfd) {
      throw stateError("ERR_URING_STATE", "Cannot register an eventfd: one is registered; unregisterEventfd() first");
    }
    this.call(name, opcode, transientAddress(Int32Array.of(eventfd)), 1);
    this.#eventfd = true;
  }

  /**
   * Stops signalling the eventfd.
   *
   * @throws Error `ERR_URING_STATE` where none is registered.
   * @kernel 5.2
   * @man io_uring_unregister_eventfd(3)
   */
  unregisterEventfd(): void {
    if (!this.#eventfd) throw stateError("ERR_URING_STATE", "Cannot unregister the eventfd: none is registered");
    this.call("IORING_UNREGISTER_EVENTFD", IORING_UNREGISTER_EVENTFD, 0, 0);
    this.#eventfd = false;
  }

  /**
   * Registers the ring's own descriptor with this thread, which saves its look-up at each io_uring_enter: 16 a thread.
   *
   * @returns its index.
   * @throws Error `ERR_URING_STATE` where it is registered already; UringError EBUSY where all 16 are taken, EINVAL
   * before 5.18.
   * @kernel 5.18
   * @man io_uring_register_ring_fd(3)
   */
  registerRingFd(): number {
    if (this.#ringIndex >= 0 || this.indexOnly)
      throw stateError("ERR_URING_STATE", "Cannot register the ring's descriptor: it is already");
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = -1;
    setU64(words, IO_URING_RSRC_UPDATE_WORD_DATA, this.fd);
    this.call("IORING_REGISTER_RING_FDS", IORING_REGISTER_RING_FDS, transientAddress(words), 1);
    this.#ringIndex = words[IO_URING_RSRC_UPDATE_WORD_OFFSET] as number;
    this.useRegisteredIndex(this.#ringIndex);
    return this.#ringIndex;
  }

  /**
   * Goes back to naming the ring by its descriptor.
   *
   * @throws Error `ERR_URING_STATE` where it is not registered.
   * @kernel 5.18
   * @man io_uring_unregister_ring_fd(3)
   */
  unregisterRingFd(): void {
    if (this.#ringIndex < 0) {
      throw stateError("ERR_URING_STATE", "Cannot unregister the ring's descriptor: it is not registered");
    }
    const index = this.#ringIndex;
    this.useRegisteredIndex(-1);
    this.#ringIndex = -1;
    this.giveIndexBack(index);
  }

  /** Frees a registered index of the thread. */
  protected giveIndexBack(index: number): void {
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = index;
    let result = this.tryRegister(IORING_UNREGISTER_RING_FDS, transientAddress(words), 1);
    // A restricted ring may not, but the index is the thread's: any ring can.
    if (result === -EACCES) {
      result = withDescriptor(0, (fd) =>
        syscalls().register(fd, IORING_UNREGISTER_RING_FDS, transientAddress(words), 1),
      );
    }
    if (result < 0) throw new UringError(result, "IORING_UNREGISTER_RING_FDS");
  }

  /**
   * Closes the ring's descriptor and goes on with its registered index alone: the ring takes no place in the process's
   * table of descriptors, and nothing that needs one can be done with it any more (epoll, messages from other rings,
   * mapping buffer rings of the kernel's, resizing).
   *
   * @throws Error `ERR_URING_STATE` where the descriptor is not registered, `ERR_URING_UNSUPPORTED` before 6.3.
   * @kernel 6.3
   * @man io_uring_close_ring_fd(3)
   */
  closeRingFd(): void {
    this.checkOpen();
    if (this.#ringIndex < 0) {
      throw stateError("ERR_URING_STATE", "Cannot close the ring's descriptor: registerRingFd() first");
    }
    if (!this.hasFeature(IORING_FEAT_REG_REG_RING)) {
      throw stateError("ERR_URING_UNSUPPORTED", "Cannot close the ring's descriptor: registrations would need it");
    }
    // From here on the index is the ring's only name, which closing gives back.
    this.#ringIndex = -1;
    this.dropDescriptor();
  }

  /** Whether the ring's descriptor is registered with this thread. */
  get ringFdRegistered(): boolean {
    return this.#ringIndex >= 0;
  }

  /**
   * Starts a ring that was made with `rDisabled`. It belongs to the thread that calls this.
   *
   * @throws UringError EBADFD where it is not disabled.
   * @kernel 5.10
   * @man io_uring_enable_rings(3)
   */
  enableRings(): void {
    this.call("IORING_REGISTER_ENABLE_RINGS", IORING_REGISTER_ENABLE_RINGS, 0, 0);
    this.#enabled = true;
  }

  /**
   * Gives the queues other sizes. Completions not yet seen and requests in flight are kept; everything queued must have
   * been submitted. {@link setup} has the new sizes. Views of {@link newCqe} show nothing until they are filled again.
   *
   * @throws Error `ERR_URING_STATE` where the ring was not made with deferTaskrun, has no descriptor or entries that
   * are not submitted, or where completions must be seen first because the kernel would mix them up; RangeError for
   * sizes that cannot be; UringError EOVERFLOW where what is there does not fit, EINVAL before 6.13, ENOMEM.
   * @kernel 6.13
   * @man io_uring_resize_rings(3)
   */
  resizeRings(sizes: RingSizes): void {
    this.checkOpen();
    const { sqEntries = this.setup.sqEntries, cqEntries = this.setup.cqEntries, clamp = false } = sizes;
    if ((this.setup.flags & IORING_SETUP_DEFER_TASKRUN) === 0) {
      throw stateError("ERR_URING_STATE", "Cannot resize the queues: only those of a ring with deferTaskrun can be");
    }
    this.resize(sqEntries, cqEntries, clamp);
  }

  /**
   * Cancels requests and waits until they are gone: their completions are posted, and their memory is the caller's
   * again. A request that is being worked on and can be interrupted no more is waited for.
   *
   * @param timeoutMs how long to wait for such a request, in milliseconds; as long as it takes unless given.
   * @returns how many were found; null where the time was up and one goes on.
   * @throws TypeError for a match that says nothing or contradicts itself; UringError EBADF for a descriptor that is
   * none, EINTR when a signal arrived first, EINVAL before 6.0.
   * @kernel 6.0
   * @man io_uring_register_sync_cancel(3)
   */
  registerSyncCancel(match: CancelMatch, timeoutMs: number = Infinity): number | null {
    const flags = cancelFlags(match);
    const words = new Int32Array(IO_URING_SYNC_CANCEL_REG_SIZE / 4);
    setU64(words, IO_URING_SYNC_CANCEL_REG_WORD_ADDR, match.userData ?? 0);
    words[IO_URING_SYNC_CANCEL_REG_WORD_FD] = match.fd ?? -1;
    words[IO_URING_SYNC_CANCEL_REG_WORD_FLAGS] = flags;
    new Uint8Array(words.buffer)[IO_URING_SYNC_CANCEL_REG_OFF_OPCODE] = match.opcode ?? 0;
    setTimeLimit(words, IO_URING_SYNC_CANCEL_REG_WORD_TIMEOUT, timeoutMs);
    const result = this.tryRegister(IORING_REGISTER_SYNC_CANCEL, transientAddress(words), 1);
    if (result === -ENOENT) return 0;
    if (result === -ETIME) return null;
    if (result < 0) throw new UringError(result, "IORING_REGISTER_SYNC_CANCEL");
    // Kernel: it counts only where it was to go on after the first.
    return (flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY)) === 0 ? 1 : result;
  }

  protected override forgetRegistrations(): void {
    super.forgetRegistrations();
    this.#eventfd = false;
    if (this.#ringIndex >= 0) this.unregisterRingFd();
  }
}

function cancelFlags(match: CancelMatch): number {
  const { userData, fd, opcode } = match;
  if (userData !== undefined) checkU64("user data", userData);
  if (fd !== undefined) checkFd(fd);
  if (opcode !== undefined) checkU8("opcode", opcode);
  const keyed = userData !== undefined || fd !== undefined || opcode !== undefined;
  if (keyed === (match.any === true)) {
    const fault = keyed ? "any excludes userData, fd and opcode" : "say which requests: userData, fd, opcode or any";
    throw typeError("ERR_URING_ARG_TYPE", `Cannot cancel: ${fault}`);
  }
  if (match.fixedFile === true && fd === undefined) {
    throw typeError("ERR_URING_ARG_TYPE", "Cannot cancel: fixedFile says what fd is, which is missing");
  }
  let flags = match.all === true ? IORING_ASYNC_CANCEL_ALL : 0;
  if (match.any === true) flags |= IORING_ASYNC_CANCEL_ANY;
  if (fd !== undefined) flags |= IORING_ASYNC_CANCEL_FD;
  if (match.fixedFile === true) flags |= IORING_ASYNC_CANCEL_FD_FIXED;
  if (opcode !== undefined) flags |= IORING_ASYNC_CANCEL_OP;
  // Kernel: user data alone needs no flag, and before 6.6 there is none.
  if (userData !== undefined && (fd !== undefined || opcode !== undefined)) flags |= IORING_ASYNC_CANCEL_USERDATA;
  return flags;
}

/** struct __kernel_timespec, with all bits set for no limit. */
function setTimeLimit(words: Int32Array, at: number, timeoutMs: number): void {
  if (typeof timeoutMs !== "number" || !(timeoutMs >= 0)) {
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot wait for ${describe(timeoutMs)} ms: it must be 0 to Infinity`);
  }
  if (timeoutMs > Number.MAX_SAFE_INTEGER) {
    words.fill(-1, at, at + 4);
    return;
  }
  const seconds = Math.floor(timeoutMs / 1000);
  setU64(words, at, seconds);
  words[at + 2] = Math.floor((timeoutMs - seconds * 1000) * 1e6);
}
