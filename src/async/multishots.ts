/** The multishot operations as methods: what makes the iterators of shots.ts. */
import { EEXIST } from "../abi/errno.gen.ts";
import { rangeError, typeError, describe, UringError } from "../errors.ts";
import { BufferRing, type BufferRingOptions } from "../ring/bufferring.ts";
import { checkCount, checkFd, checkU32 } from "../ring/prep/check.ts";
import { Operations } from "./operations.gen.ts";
import type { ZeroCopySent } from "./promise.ts";
import type { Reactor } from "./reactor.ts";
import {
  AcceptShot,
  type BytesOptions,
  BytesShot,
  type LentBytes,
  type MessageOptions,
  MessageShot,
  PollShot,
  type ReceivedMessage,
  TickShot,
} from "./shots.ts";
import type { MultishotIterator, ShotOptions } from "./stream.ts";

/** How connections are accepted. */
export interface AcceptOptions extends ShotOptions {
  /** SOCK_CLOEXEC and SOCK_NONBLOCK for the new descriptors. */
  flags?: number;
}

/** How ticks are counted. */
export interface TickOptions extends ShotOptions {
  /** How many ticks there are; without end unless given. */
  count?: number;
}

/** The groups that {@link Multishots.bufferRing} chooses from, from here up. */
const FIRST_GROUP = 0x4000;
const LAST_GROUP = 0xffff;

/** @internal One-shot operations from {@link Operations}, and those with many results. */
export abstract class Multishots extends Operations<Promise<number>, Promise<ZeroCopySent>> {
  /** The ring's loop, which is made now where there is none. */
  protected abstract reactor(): Reactor;

  /**
   * Makes a ring of provided buffers on this ring, for {@link recvMultishot} and its like. It is closed with the ring.
   *
   * @param options as for {@link BufferRing}; without a `group` one that is free is chosen.
   * @throws as the constructor of {@link BufferRing}.
   * @kernel 5.19
   */
  bufferRing(options: Omit<BufferRingOptions, "group"> & { group?: number }): BufferRing {
    const { engine } = this.reactor();
    if (options.group !== undefined) return new BufferRing(engine, { ...options, group: options.group });
    for (let group = FIRST_GROUP; group <= LAST_GROUP; group++) {
      try {
        return new BufferRing(engine, { ...options, group });
      } catch (error) {
        if (!(error instanceof UringError && error.errno === -EEXIST)) throw error;
      }
    }
    throw rangeError("ERR_URING_ARG_VALUE", "Cannot make a buffer ring: every group is in use");
  }

  /**
   * Accepts every connection that comes, and gives its descriptor. Connections that were accepted and not read are
   * closed when the iteration ends.
   *
   * ```ts
   * for await (const client of io.multishotAccept(listener)) serve(client);
   * ```
   *
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`, `ERR_URING_OPTIONS`. The iterator
   * throws UringError.
   * @kernel 5.19
   * @man io_uring_prep_multishot_accept(3)
   */
  multishotAccept(fd: number, options: AcceptOptions = {}): MultishotIterator<number> {
    checkFd(fd);
    checkU32("accept flags", options.flags ?? 0);
    return new AcceptShot(this.reactor(), fd, options.flags ?? 0, false, options);
  }

  /**
   * {@link multishotAccept} into the table of registered files: gives the places that the kernel chose there.
   *
   * @throws as {@link multishotAccept}.
   * @kernel 5.19
   * @man io_uring_prep_multishot_accept_direct(3)
   */
  multishotAcceptDirect(fd: number, options: AcceptOptions = {}): MultishotIterator<number> {
    checkFd(fd);
    checkU32("accept flags", options.flags ?? 0);
    return new AcceptShot(this.reactor(), fd, options.flags ?? 0, true, options);
  }

  /**
   * Receives whatever comes on a socket, until its peer ends the connection. Each piece lies in a buffer of `buffers`,
   * which goes back at the next step, or with `copy` is the reader's own. When no buffer is left the socket waits until
   * one is given back. What goes on for longer takes a second request, a poll for the end: see `end-missed` among the
   * {@link quirks}.
   *
   * ```ts
   * using buffers = io.bufferRing({ entries: 64, size: 4096 });
   * for await (const bytes of io.recvMultishot(client, buffers)) await io.send(client, bytes);
   * ```
   *
   * @param buffers a ring of buffers of this ring: see {@link bufferRing}.
   * @throws as {@link multishotAccept}.
   * @kernel 6.0
   * @man io_uring_prep_recv_multishot(3)
   */
  recvMultishot(
    sockfd: number,
    buffers: BufferRing,
    options: BytesOptions & { copy: true },
  ): MultishotIterator<Uint8Array<ArrayBuffer>>;
  /** The same with bytes that are lent. */
  recvMultishot(
    sockfd: number,
    buffers: BufferRing,
    options?: BytesOptions & { copy?: false },
  ): MultishotIterator<LentBytes>;
  recvMultishot(sockfd: number, buffers: BufferRing, options: BytesOptions = {}): MultishotIterator<never> {
    return this.#bytes(sockfd, buffers, "recv", options);
  }

  /**
   * {@link recvMultishot} for what is no socket: pipes, terminals and other descriptors that can be waited for, not
   * regular files. A named pipe should be opened with O_NONBLOCK: of a blocking one the end is not told (seen on 6.18).
   *
   * @throws as {@link multishotAccept}.
   * @kernel 6.7
   * @man io_uring_prep_read_multishot(3)
   */
  readMultishot(
    fd: number,
    buffers: BufferRing,
    options: BytesOptions & { copy: true },
  ): MultishotIterator<Uint8Array<ArrayBuffer>>;
  /** The same with bytes that are lent. */
  readMultishot(
    fd: number,
    buffers: BufferRing,
    options?: BytesOptions & { copy?: false },
  ): MultishotIterator<LentBytes>;
  readMultishot(fd: number, buffers: BufferRing, options: BytesOptions = {}): MultishotIterator<never> {
    return this.#bytes(fd, buffers, "read", options);
  }

  #bytes(fd: number, buffers: BufferRing, kind: "recv" | "read", options: BytesOptions): MultishotIterator<never> {
    checkFd(fd);
    checkBuffers(buffers);
    checkU32("receive flags", options.flags ?? 0);
    return new BytesShot(this.reactor(), fd, buffers, kind, options) as unknown as MultishotIterator<never>;
  }

  /**
   * Receives datagrams with their senders' addresses and control messages. A buffer holds the address, the control
   * messages, 16 bytes more and the data, which is cut where it does not fit: its flags have MSG_TRUNC then. An empty
   * datagram without a sender's address ends the iteration, because nothing tells it from the end of a connection.
   *
   * @param buffers as for {@link recvMultishot}.
   * @throws as {@link multishotAccept}.
   * @kernel 6.0
   * @man io_uring_prep_recvmsg_multishot(3)
   */
  recvmsgMultishot(
    fd: number,
    buffers: BufferRing,
    options: MessageOptions & { copy: true },
  ): MultishotIterator<ReceivedMessage<Uint8Array<ArrayBuffer>>>;
  /** The same with bytes that are lent. */
  recvmsgMultishot(
    fd: number,
    buffers: BufferRing,
    options?: MessageOptions & { copy?: false },
  ): MultishotIterator<ReceivedMessage<LentBytes>>;
  recvmsgMultishot(fd: number, buffers: BufferRing, options: MessageOptions = {}): MultishotIterator<never> {
    checkFd(fd);
    checkBuffers(buffers);
    checkU32("receive flags", options.flags ?? 0);
    return new MessageShot(this.reactor(), fd, buffers, options) as unknown as MultishotIterator<never>;
  }

  /**
   * Gives the events of `pollMask` (POLLIN, POLLOUT, ...) as they come: when they arrive, not for as long as they last.
   * Those that come before the last step's were read are put together. POLLERR, POLLHUP and POLLNVAL end the iteration
   * after they were given.
   *
   * @throws as {@link multishotAccept}.
   * @kernel 5.13
   * @man io_uring_prep_poll_multishot(3)
   */
  pollMultishot(fd: number, pollMask: number, options: ShotOptions = {}): MultishotIterator<number> {
    checkFd(fd);
    checkU32("poll mask", pollMask);
    return new PollShot(this.reactor(), fd, pollMask, options);
  }

  /**
   * A clock that ticks in the kernel, every `periodMs` milliseconds: gives how many ticks there were since the last step,
   * at least one.
   *
   * @throws as {@link multishotAccept}.
   * @kernel 6.4
   */
  timeoutMultishot(periodMs: number, options: TickOptions = {}): MultishotIterator<number> {
    const { count = 0 } = options;
    checkCount("number of ticks", count);
    if (!(periodMs > 0))
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot tick every ${describe(periodMs)} milliseconds`);
    return new TickShot(this.reactor(), periodMs, count, options);
  }
}

function checkBuffers(buffers: unknown): void {
  if (buffers instanceof BufferRing) return;
  throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(buffers)} as buffers: pass a BufferRing`);
}
