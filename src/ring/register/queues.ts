/** Registrations about the ring itself: how it is named, what its completions signal, when it starts. */
import {
  IORING_REGISTER_ENABLE_RINGS,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_EVENTFD_ASYNC,
  IORING_REGISTER_RING_FDS,
  IORING_UNREGISTER_EVENTFD,
  IORING_UNREGISTER_RING_FDS,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_RSRC_UPDATE_SIZE,
  IO_URING_RSRC_UPDATE_WORD_DATA,
  IO_URING_RSRC_UPDATE_WORD_OFFSET,
} from "../../abi/layout.gen.ts";
import { stateError } from "../../errors.ts";
import { addressOf } from "../../memory.ts";
import { checkFd } from "../prep/check.ts";
import { setU64 } from "../structs.ts";
import { FileRegistrations } from "./files.ts";

/** @internal */
export abstract class QueueRegistrations extends FileRegistrations {
  #eventfd = false;
  #ringIndex = -1;

  /** From here on io_uring_enter names the ring by its registered index; -1: by its descriptor again. */
  protected abstract useRegisteredIndex(index: number): void;

  /**
   * Signals `eventfd` at every completion. The descriptor stays the caller's to close, after unregistering it.
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
    this.call(name, opcode, addressOf(Int32Array.of(eventfd)), 1);
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
    this.call("IORING_REGISTER_RING_FDS", IORING_REGISTER_RING_FDS, addressOf(words), 1);
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
    const words = new Int32Array(IO_URING_RSRC_UPDATE_SIZE / 4);
    words[IO_URING_RSRC_UPDATE_WORD_OFFSET] = this.#ringIndex;
    this.useRegisteredIndex(-1);
    this.#ringIndex = -1;
    this.call("IORING_UNREGISTER_RING_FDS", IORING_UNREGISTER_RING_FDS, addressOf(words), 1);
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
  }

  protected override forgetRegistrations(): void {
    super.forgetRegistrations();
    this.#eventfd = false;
    if (this.#ringIndex >= 0) this.unregisterRingFd();
  }
}
