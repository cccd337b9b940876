/** The kinds of multishot: what each makes of a completion, and when it is begun again. */
import { IOSQE_BUFFER_SELECT } from "../abi/constants.gen.ts";
import { ECONNABORTED, ETIME } from "../abi/errno.gen.ts";
import { POLLERR, POLLHUP, POLLNVAL } from "../abi/linux.ts";
import type { BufferRing } from "../ring/bufferring.ts";
import type { Cqe } from "../ring/cqe.ts";
import { prepMultishotAccept, prepMultishotAcceptDirect } from "../ring/prep/net.ts";
import { prepPollMultishot } from "../ring/prep/poll.ts";
import { prepRecvMultishot, prepRecvmsgMultishot } from "../ring/prep/recv.ts";
import { prepReadMultishot } from "../ring/prep/rw.ts";
import { type Slot, SQE_BUF_INDEX, SQE_FLAGS_SHIFT } from "../ring/prep/slot.ts";
import { prepTimeoutMultishot } from "../ring/prep/timeout.ts";
import { RecvmsgOut } from "../ring/recvmsg.ts";
import { SockAddr, type SocketAddress } from "../ring/sockaddr.ts";
import { Msghdr, Timespec } from "../ring/structs.ts";
import { EndWatch, type Receiver, watchEndLater } from "./ends.ts";
import type { Fifo } from "./fifo.ts";
import { Larder } from "./larder.ts";
import type { Reactor } from "./reactor.ts";
import type { Operation } from "./request.ts";
import { Multishot, type ShotOptions, type Verdict } from "./stream.ts";

declare const LENT: unique symbol;

/**
 * Bytes that are lent: they lie in a buffer ring, and go back to the kernel at the iterator's next step, also where that
 * is leaving the loop. Whoever needs them for longer copies them, or asks for copies.
 */
export type LentBytes = Uint8Array<ArrayBuffer> & {
  /** Tells them from bytes that are one's own; nothing is there at run time. */
  readonly [LENT]: true;
};

function operation(name: string, prep: Operation["prep"]): Operation {
  return { name, prep, yields: "count", wide: false };
}

/** Has a shot take its buffers from a group. */
function select(sqe: Slot, group: number): void {
  sqe.set(SQE_BUF_INDEX, group);
  sqe.words[sqe.at] = (sqe.words[sqe.at] as number) | (IOSQE_BUFFER_SELECT << SQE_FLAGS_SHIFT);
}

const ACCEPT = operation("IORING_OP_ACCEPT", (sqe: Slot, fd: number, flags: number) =>
  prepMultishotAccept(sqe, fd, null, null, flags),
);
const ACCEPT_DIRECT = operation("IORING_OP_ACCEPT", (sqe: Slot, fd: number, flags: number) =>
  prepMultishotAcceptDirect(sqe, fd, null, null, flags),
);
const RECV = operation("IORING_OP_RECV", (sqe: Slot, fd: number, group: number, flags: number) => {
  prepRecvMultishot(sqe, fd, 0, flags);
  select(sqe, group);
});
const READ = operation("IORING_OP_READ_MULTISHOT", (sqe: Slot, fd: number, group: number) =>
  prepReadMultishot(sqe, fd, 0, -1, group),
);
const RECVMSG = operation("IORING_OP_RECVMSG", (sqe: Slot, fd: number, group: number, flags: number, msg: Msghdr) => {
  prepRecvmsgMultishot(sqe, fd, msg, flags);
  select(sqe, group);
});
const POLL = operation("IORING_OP_POLL_ADD", prepPollMultishot);
const TIMEOUT = operation("IORING_OP_TIMEOUT", prepTimeoutMultishot);

/** @internal Connections as they come: descriptors, or places in the table of registered files. */
export class AcceptShot extends Multishot<number> {
  readonly #direct: boolean;

  /** Makes the iterator. */
  constructor(reactor: Reactor, fd: number, flags: number, direct: boolean, options: ShotOptions) {
    super(reactor, direct ? ACCEPT_DIRECT : ACCEPT, options, [fd, flags]);
    this.#direct = direct;
  }

  protected override take(cqe: Cqe): number | undefined {
    return cqe.res >= 0 ? cqe.res : undefined;
  }

  protected override handOver(item: number): number {
    return item;
  }

  protected override discard(item: number): void {
    if (this.#direct) this.reactor.discardIndex(item);
    else this.reactor.discardDescriptor(item);
  }

  protected override judge(res: number): Verdict {
    // A client that is gone before it was accepted is no failure of the listening socket's.
    return res >= 0 || res === -ECONNABORTED ? "again" : "fail";
  }
}

/** What a completion brought in a provided buffer. */
interface Piece {
  readonly start: number;
  readonly length: number;
  readonly id: number;
}

/**
 * @internal What takes its buffers from a ring, and gives them back: lent ones at the next step, copied ones at once. A
 * shot that goes on after its first data has its socket's end looked for beside it, and is made again where it may have
 * missed that.
 */
abstract class Buffered<T> extends Multishot<T, Piece | T> implements Receiver {
  readonly #larder: Larder;
  readonly #copy: boolean;
  readonly #lent: number[] = [];
  readonly #fd: number;
  readonly #fixedFile: boolean;
  readonly #mayMissEnd: boolean;
  /** Whether the shot's end is to be looked for in a moment. */
  #isListed = false;
  #watch: EndWatch | undefined;
  /** The buffer ring. */
  protected readonly buffers: BufferRing;

  constructor(
    reactor: Reactor,
    of: Operation,
    buffers: BufferRing,
    copy: boolean,
    options: ShotOptions,
    args: readonly unknown[],
  ) {
    super(reactor, of, options, args);
    this.buffers = buffers;
    this.#fd = args[0] as number;
    this.#fixedFile = options.fixedFile === true;
    this.#mayMissEnd = of !== READ;
    this.#copy = copy;
    this.#larder = Larder.of(buffers);
  }

  /** What the reader gets for bytes of the buffer ring, lent; or copied. */
  protected abstract read(start: number, length: number, copy: boolean): T | undefined;

  /** Looks at what has come, before it is queued. */
  protected inspect(_start: number, _length: number): void {}

  protected override take(cqe: Cqe): Piece | T | undefined {
    const start = this.buffers.take(cqe);
    if (start < 0) return undefined;
    if (this.#mayMissEnd && cqe.more && !this.#isListed && this.#watch === undefined) {
      this.#isListed = true;
      watchEndLater(this);
    }
    const id = cqe.bufferId;
    const length = cqe.res;
    this.inspect(start, length);
    if (length > 0 && !this.#copy) return { start, length, id };
    const copied = length > 0 ? this.read(start, length, true) : undefined;
    this.#larder.giveBack(id);
    return copied;
  }

  protected override handOver(item: Piece | T): T {
    if (this.#copy) return item as T;
    const { start, length, id } = item as Piece;
    this.#lent.push(id);
    return this.read(start, length, false) as T;
  }

  protected override discard(item: Piece | T): void {
    if (!this.#copy) this.#larder.giveBack((item as Piece).id);
  }

  protected override settleStep(): void {
    for (let id = this.#lent.pop(); id !== undefined; id = this.#lent.pop()) this.#larder.giveBack(id);
  }

  /** Implements {@link Receiver}: the shot does, while there is one. */
  get keeps(): boolean {
    return false;
  }

  /** Implements {@link Receiver}. */
  watchEnd(): void {
    this.#isListed = false;
    // Where the ring is crowded, other requests come first: the next data brings it here again.
    if (!this.goesOn || this.reactor.isCrowded) return;
    this.#watch ??= new EndWatch(this.reactor, this.#fd, this, { fixedFile: this.#fixedFile });
  }

  /** Implements {@link Receiver}. */
  watchOver(seen: boolean): void {
    this.#watch = undefined;
    if (seen) this.pause("end");
  }

  protected override letGo(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
  }

  protected override starve(): void {
    this.#larder.wait(() => this.again("ENOBUFS"), this.reactor.refed);
  }

  protected override judge(res: number): Verdict {
    if (res === 0) return "end";
    return res > 0 ? "again" : "fail";
  }
}

/** @internal Bytes of a socket, a pipe, a terminal. */
export class BytesShot extends Buffered<Uint8Array<ArrayBuffer>> {
  /** Makes the iterator. */
  constructor(reactor: Reactor, fd: number, buffers: BufferRing, kind: "recv" | "read", options: BytesOptions) {
    const of = kind === "recv" ? RECV : READ;
    super(reactor, of, buffers, options.copy === true, options, [fd, buffers.group, options.flags ?? 0]);
  }

  protected override read(start: number, length: number, copy: boolean): Uint8Array<ArrayBuffer> {
    const { bytes } = this.buffers;
    return copy ? bytes.slice(start, start + length) : bytes.subarray(start, start + length);
  }
}

/** How bytes are received. */
export interface BytesOptions extends ShotOptions {
  /** MSG_* flags, for sockets. */
  flags?: number;
  /** Gives copies, which are the reader's to keep, instead of lending. */
  copy?: boolean;
}

/** A datagram, with where it came from. */
export interface ReceivedMessage<Bytes> {
  /** Its data. */
  readonly bytes: Bytes;
  /** Its sender's address. */
  readonly address: SocketAddress;
  /** Its control messages: for {@link forEachControl}. */
  readonly control: Bytes;
  /** MSG_* flags: MSG_TRUNC where the buffer was too short for the data, MSG_CTRUNC for the control messages. */
  readonly flags: number;
}

/** How messages are received. */
export interface MessageOptions extends BytesOptions {
  /** Room for the sender's address in each buffer, 128 bytes unless given. */
  nameBytes?: number;
  /** Room for control messages in each buffer, none unless given. */
  controlBytes?: number;
}

/** @internal Datagrams. */
export class MessageShot extends Buffered<ReceivedMessage<Uint8Array<ArrayBuffer>>> {
  readonly #view: RecvmsgOut;
  /** Whether the last one had neither data nor sender: the end of a connection. */
  #nothing = false;

  /** Makes the iterator. */
  constructor(reactor: Reactor, fd: number, buffers: BufferRing, options: MessageOptions) {
    const { nameBytes = 128, controlBytes = 0 } = options;
    const view = new RecvmsgOut({ nameBytes, controlBytes });
    // Only the lengths count; they are taken from memory that is there.
    const message = new Msghdr({
      name: nameBytes > 0 ? new Uint8Array(nameBytes) : null,
      control: controlBytes > 0 ? new Uint8Array(controlBytes) : null,
    });
    super(reactor, RECVMSG, buffers, options.copy === true, options, [fd, buffers.group, options.flags ?? 0, message]);
    this.#view = view;
  }

  protected override inspect(start: number, length: number): void {
    this.#nothing = this.#view.read(this.buffers.bytes, start, length) && isEmpty(this.#view);
  }

  protected override read(
    start: number,
    length: number,
    copy: boolean,
  ): ReceivedMessage<Uint8Array<ArrayBuffer>> | undefined {
    const { bytes } = this.buffers;
    const view = this.#view;
    if (!view.read(bytes, start, length)) return undefined;
    const cut = (from: number, count: number): Uint8Array<ArrayBuffer> =>
      copy ? bytes.slice(from, from + count) : bytes.subarray(from, from + count);
    return {
      bytes: cut(view.payloadStart, view.payloadLength),
      address: SockAddr.parse(bytes.subarray(view.nameStart, view.nameStart + view.nameLength)),
      control: cut(view.controlStart, view.controlLength),
      flags: view.flags,
    };
  }

  protected override judge(res: number): Verdict {
    // Kernel: an empty datagram ends the shot as the end of a connection does; only the sender tells them apart.
    return this.#nothing ? "end" : super.judge(res);
  }
}

function isEmpty(view: RecvmsgOut): boolean {
  return view.payloadLength === 0 && view.nameLength === 0;
}

/** @internal Events of a descriptor; those that come before the last was read melt into it. */
export class PollShot extends Multishot<number> {
  /** Makes the iterator. */
  constructor(reactor: Reactor, fd: number, pollMask: number, options: ShotOptions) {
    super(reactor, POLL, options, [fd, pollMask]);
  }

  protected override take(cqe: Cqe): number | undefined {
    return cqe.res >= 0 ? cqe.res : undefined;
  }

  protected override handOver(item: number): number {
    return item;
  }

  protected override discard(): void {}

  protected override merge(queue: Fifo<number>, item: number): boolean {
    const last = queue.shift();
    if (last === undefined) return false;
    queue.push(last | item);
    return true;
  }

  protected override judge(res: number): Verdict {
    if (res < 0) return "fail";
    // What is broken or hung up stays so: to ask again would be answered at once, without end.
    return (res & (POLLERR | POLLHUP | POLLNVAL)) === 0 ? "wait" : "end";
  }
}

/** @internal The ticks of a clock; those that nobody waited for are counted into the next. */
export class TickShot extends Multishot<number> {
  readonly #endless: boolean;

  /** Makes the iterator. */
  constructor(reactor: Reactor, periodMs: number, count: number, options: ShotOptions) {
    super(reactor, TIMEOUT, options, [Timespec.ofMs(periodMs), count]);
    this.#endless = count === 0;
  }

  protected override take(cqe: Cqe): number | undefined {
    return cqe.res === -ETIME ? 1 : undefined;
  }

  protected override handOver(item: number): number {
    return item;
  }

  protected override discard(): void {}

  protected override merge(queue: Fifo<number>, item: number): boolean {
    const last = queue.shift();
    if (last === undefined) return false;
    queue.push(last + item);
    return true;
  }

  protected override judge(res: number): Verdict {
    if (res !== -ETIME) return "fail";
    return this.#endless ? "again" : "end";
  }
}
