/** Zero-copy receive: memory that a network card's queue fills by itself, and the ring through which it gets it back. */
import {
  IORING_MEM_REGION_TYPE_USER,
  IORING_ZCRX_AREA_DMABUF,
  ZCRX_CTRL_ADD_AREA,
  ZCRX_CTRL_ARM_EVENT,
  ZCRX_CTRL_EXPORT,
  ZCRX_CTRL_FLUSH_RQ,
  ZCRX_EVENT_DESC_FLAG_STATS,
  ZCRX_REG_NODEV,
} from "../abi/constants.gen.ts";
import {
  IO_URING_REGION_DESC_SIZE,
  IO_URING_REGION_DESC_WORD_FLAGS,
  IO_URING_REGION_DESC_WORD_SIZE,
  IO_URING_REGION_DESC_WORD_USER_ADDR,
  IO_URING_ZCRX_AREA_REG_SIZE,
  IO_URING_ZCRX_AREA_REG_WORD_ADDR,
  IO_URING_ZCRX_AREA_REG_WORD_DMABUF_FD,
  IO_URING_ZCRX_AREA_REG_WORD_FLAGS,
  IO_URING_ZCRX_AREA_REG_WORD_LEN,
  IO_URING_ZCRX_IFQ_REG_SIZE,
  IO_URING_ZCRX_IFQ_REG_WORD_AREA_PTR,
  IO_URING_ZCRX_IFQ_REG_WORD_EVENT_DESC,
  IO_URING_ZCRX_IFQ_REG_WORD_FLAGS,
  IO_URING_ZCRX_IFQ_REG_WORD_IF_IDX,
  IO_URING_ZCRX_IFQ_REG_WORD_IF_RXQ,
  IO_URING_ZCRX_IFQ_REG_WORD_OFFSETS,
  IO_URING_ZCRX_IFQ_REG_WORD_REGION_PTR,
  IO_URING_ZCRX_IFQ_REG_WORD_RQ_ENTRIES,
  IO_URING_ZCRX_IFQ_REG_WORD_RX_BUF_LEN,
  IO_URING_ZCRX_IFQ_REG_WORD_ZCRX_ID,
  IO_URING_ZCRX_OFFSETS_WORD_HEAD,
  IO_URING_ZCRX_OFFSETS_WORD_RQES,
  IO_URING_ZCRX_OFFSETS_WORD_TAIL,
  IO_URING_ZCRX_RQE_SIZE,
  IO_URING_ZCRX_RQE_WORD___PAD,
  IO_URING_ZCRX_RQE_WORD_LEN,
  IO_URING_ZCRX_RQE_WORD_OFF,
  ZCRX_EVENT_DESC_SIZE,
  ZCRX_EVENT_DESC_WORD_FLAGS,
  ZCRX_EVENT_DESC_WORD_STATS_OFFSET,
  ZCRX_EVENT_DESC_WORD_TYPE_MASK,
  ZCRX_EVENT_DESC_WORD_USER_DATA,
  ZCRX_STATS_SIZE,
  ZCRX_STATS_WORD_COPY_BYTES,
  ZCRX_STATS_WORD_COPY_COUNT,
} from "../abi/layout.gen.ts";
import { describe, rangeError, stateError } from "../errors.ts";
import { Mapping } from "../memory.ts";
import type { Cqe } from "./cqe.ts";
import { roundUp } from "./params.ts";
import { checkCount, checkFd, checkLength32, checkU64 } from "./prep/check.ts";
import type { UserData } from "./prep/slot.ts";
import { registerQuery } from "./query.ts";
import { setU64, u64At } from "./structs.ts";
import { transientAddress } from "./transient.ts";

const PAGE_BYTES = 4096;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;
const MAX_ENTRIES = 32768;
const EVENTS = 32;

/** What a receive queue is made of: {@link Ring.registerIfq}. */
export interface ZcrxOptions {
  /** The network interface, as if_nametoindex(3) numbers it. */
  interfaceIndex?: number;
  /** Which of the interface's receive queues is taken over; packets must be steered to it. */
  queue?: number;
  /** No interface: data is copied into the area, which works anywhere. @kernel 7.1 */
  noDevice?: boolean;
  /** Entries of the ring that gives buffers back: rounded up to a power of two, 32768 at the most. */
  rqEntries: number;
  /** The bytes that data can arrive in: rounded up to whole pages. */
  areaBytes: number;
  /** Takes huge pages from the system's pool for the area. */
  hugePages?: boolean;
  /** A dma-buf of `areaBytes` that data arrives in, instead of memory of this process. @kernel 6.16 */
  dmabufFd?: number;
  /** The bytes of each buffer of the area: a power of two and no less than a page. @kernel 7.0 */
  rxBufBytes?: number;
  /** Posts completions about what goes wrong. @kernel 7.2 */
  events?: ZcrxEvents;
}

/** What zero-copy receive tells about itself. */
export interface ZcrxEvents {
  /** The user data of the completions; their result is the ZCRX_EVENT_*. */
  userData: UserData;
  /** ZCRX_EVENT_*: each is told once, and again after {@link ZcrxQueue.armEvent}. */
  types: readonly number[];
  /** Keeps statistics: {@link ZcrxQueue.stats}. */
  stats?: boolean;
}

/** What {@link ZcrxQueue.stats} counts. */
export interface ZcrxStats {
  /** How many times data was copied after all. */
  copyCount: number;
  /** How many bytes that were. */
  copyBytes: number;
}

/** @internal What a queue needs of its ring. */
export interface ZcrxRing {
  /** Registers; struct io_uring_zcrx_ifq_reg is filled in. */
  registerIfqAt(address: number): void;
  /** Controls. */
  registerZcrxCtrl(zcrxId: number, op: number, payload?: Int32Array): void;
}

/**
 * A registered queue for zero-copy receive, with its memory, which the library maps. Each completion of
 * `prepRecvZc(fd, queue.id)` brings `cqe.res` bytes at {@link offset} in the area {@link area}; {@link recycle} gives
 * them back when they have been used. The kernel lets go of the queue with the ring, and not before.
 */
export class ZcrxQueue {
  /** Its number on the ring, for `prepRecvZc`. */
  readonly id: number;
  /** How many entries the ring has that gives buffers back. */
  readonly rqEntries: number;
  /** The bytes of each buffer; 0 where the kernel does not tell (before 7.0): a page. */
  readonly rxBufBytes: number;
  readonly #ring: ZcrxRing;
  readonly #areas: (Mapping | undefined)[];
  readonly #region: Mapping;
  /** Words of the region: the kernel's head, our tail, the entries, the statistics. */
  readonly #head: number;
  readonly #tail: number;
  readonly #entries: number;
  readonly #stats: number;
  #next = 0;
  #closed = false;

  /** @internal Registers; {@link Ring.registerIfq} is what is called. */
  constructor(ring: ZcrxRing, options: ZcrxOptions) {
    checkOptions(options);
    this.#ring = ring;
    const plan = planOf(options);
    const area = options.dmabufFd === undefined ? mapArea(options.areaBytes, options.hugePages === true) : undefined;
    this.#areas = [area];
    let region: Mapping | undefined;
    try {
      this.#region = region = Mapping.anonymous(plan.bytes, { populate: true });
      const { words } = register(ring, options, plan, this.#region, area);
      const offsets = IO_URING_ZCRX_IFQ_REG_WORD_OFFSETS;
      this.id = words[IO_URING_ZCRX_IFQ_REG_WORD_ZCRX_ID] as number;
      this.rqEntries = words[IO_URING_ZCRX_IFQ_REG_WORD_RQ_ENTRIES] as number;
      this.rxBufBytes = words[IO_URING_ZCRX_IFQ_REG_WORD_RX_BUF_LEN] as number;
      this.#head = (words[offsets + IO_URING_ZCRX_OFFSETS_WORD_HEAD] as number) / 4;
      this.#tail = (words[offsets + IO_URING_ZCRX_OFFSETS_WORD_TAIL] as number) / 4;
      this.#entries = (words[offsets + IO_URING_ZCRX_OFFSETS_WORD_RQES] as number) / 4;
      this.#stats = options.events?.stats === true ? plan.stats / 4 : -1;
    } catch (error) {
      region?.close();
      area?.close();
      throw error;
    }
  }

  /** Which of the areas a completion's data is in: 0 is the first, and {@link addArea} adds more. */
  area(cqe: Cqe): number {
    return cqe.extra(1) >>> 16;
  }

  /** Where in its area a completion's data begins, in bytes. */
  offset(cqe: Cqe): number {
    return (cqe.extra(0) >>> 0) + (cqe.extra(1) & 0xffff) * 2 ** 32;
  }

  /**
   * The memory of an area; none of one that is a dma-buf.
   *
   * @throws RangeError `ERR_URING_ARG_VALUE` for an area that there is not.
   */
  bytes(area: number = 0): Uint8Array<ArrayBuffer> {
    if (!Number.isInteger(area) || area < 0 || area >= this.#areas.length) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot find area ${describe(area)}: there are ${this.#areas.length}`);
    }
    return this.#areas[area]?.bytes ?? new Uint8Array(0);
  }

  /**
   * Gives the memory of a completion back. To be called before the completion is marked as seen; {@link recycleAt} does
   * the same later.
   *
   * @throws as {@link recycleAt}.
   */
  recycle(cqe: Cqe): void {
    this.recycleAt(cqe.extra(0), cqe.extra(1), cqe.res);
  }

  /**
   * Gives memory back by what its completion said: the words of its second half, and its result.
   *
   * @throws Error `ERR_URING_STATE` where the ring is full that gives buffers back: the kernel has not looked at it for
   * a while, and {@link flush} makes it; `ERR_URING_CLOSED`.
   */
  recycleAt(offsetLow: number, offsetHigh: number, lengthBytes: number): void {
    this.#checkOpen();
    const { words } = this.#region;
    // Ordering: an acquire load: the kernel has read an entry before it moves the head past it.
    if (((this.#next - Atomics.load(words, this.#head)) | 0) >= this.rqEntries) {
      throw stateError("ERR_URING_STATE", "Cannot give memory back: the refill ring is full; flush() empties it");
    }
    const at = this.#entries + ((this.#next & (this.rqEntries - 1)) * IO_URING_ZCRX_RQE_SIZE) / 4;
    words[at + IO_URING_ZCRX_RQE_WORD_OFF] = offsetLow;
    words[at + IO_URING_ZCRX_RQE_WORD_OFF + 1] = offsetHigh;
    words[at + IO_URING_ZCRX_RQE_WORD_LEN] = lengthBytes;
    words[at + IO_URING_ZCRX_RQE_WORD___PAD] = 0;
    this.#next = (this.#next + 1) | 0;
    // Ordering: a release store: the kernel may read the entry as soon as it sees the tail.
    Atomics.store(words, this.#tail, this.#next);
  }

  /** How many buffers were given back that the kernel has not taken yet. */
  get pending(): number {
    this.#checkOpen();
    // Ordering: kept out of the reach of reordering; the kernel moves the head from other threads.
    return (this.#next - Atomics.load(this.#region.words, this.#head)) | 0;
  }

  /**
   * Has the kernel take what was given back now, not when the card needs it.
   *
   * @throws UringError EINVAL before 6.19.
   * @kernel 6.19
   * @man io_uring_register_zcrx_ctrl(3)
   */
  flush(): void {
    this.#ring.registerZcrxCtrl(this.id, ZCRX_CTRL_FLUSH_RQ);
  }

  /**
   * Makes a descriptor through which other rings can share the queue: {@link Ring.importIfq}. Giving memory back stays
   * a matter of this object.
   *
   * @returns the descriptor, which is the caller's to close.
   * @throws UringError EINVAL before 6.19.
   * @kernel 6.19
   * @man io_uring_register_zcrx_ctrl(3)
   */
  export(): number {
    const payload = new Int32Array(12);
    this.#ring.registerZcrxCtrl(this.id, ZCRX_CTRL_EXPORT, payload);
    return payload[0] as number;
  }

  /**
   * Has an event told once more that was told.
   *
   * @throws UringError EINVAL for one that was not told since, EOPNOTSUPP before 7.2.
   * @kernel 7.2
   * @man io_uring_register_zcrx_ctrl(3)
   */
  armEvent(type: number): void {
    checkCount("an event", type);
    const payload = new Int32Array(12);
    payload[0] = type;
    this.#ring.registerZcrxCtrl(this.id, ZCRX_CTRL_ARM_EVENT, payload);
  }

  /**
   * Adds memory that data can arrive in.
   *
   * @returns the area's number.
   * @throws UringError ENOMEM, EOPNOTSUPP before 7.3.
   * @kernel 7.3
   * @man io_uring_register_zcrx_ctrl(3)
   */
  addArea(areaBytes: number, hugePages: boolean = false): number {
    checkArea(areaBytes);
    const area = mapArea(areaBytes, hugePages);
    const payload = new Int32Array(12);
    const registration = areaRegistration(area.byteLength, area, undefined);
    setU64(payload, 0, transientAddress(registration));
    try {
      this.#ring.registerZcrxCtrl(this.id, ZCRX_CTRL_ADD_AREA, payload);
    } catch (error) {
      area.close();
      throw error;
    }
    return this.#areas.push(area) - 1;
  }

  /**
   * What was counted so far.
   *
   * @throws Error `ERR_URING_STATE` where no statistics were asked for, `ERR_URING_CLOSED`.
   * @kernel 7.2
   */
  stats(): ZcrxStats {
    this.#checkOpen();
    if (this.#stats < 0) throw stateError("ERR_URING_STATE", "Cannot read statistics: none were asked for");
    const { words } = this.#region;
    return {
      copyCount: u64At(words, this.#stats + ZCRX_STATS_WORD_COPY_COUNT),
      copyBytes: u64At(words, this.#stats + ZCRX_STATS_WORD_COPY_BYTES),
    };
  }

  /**
   * Gives the memory back; every view of it is empty afterwards. The ring does so when it is closed: only then does the
   * kernel let go of the queue, and until then data may arrive in memory that nobody can see.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#region.close();
    for (const area of this.#areas) area?.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw stateError("ERR_URING_CLOSED", "Cannot use the receive queue: it is closed");
  }
}

function checkOptions(options: ZcrxOptions): void {
  const { interfaceIndex, queue, rqEntries, rxBufBytes = 0, dmabufFd, events } = options;
  const device = interfaceIndex !== undefined && queue !== undefined;
  if (options.noDevice === true ? interfaceIndex !== undefined || queue !== undefined : !device) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      "Cannot register a receive queue: it takes an interfaceIndex and a queue, or noDevice and neither",
    );
  }
  checkCount("an interface", interfaceIndex ?? 0);
  checkCount("a queue", queue ?? 0);
  checkCount("a number of entries", rqEntries);
  if (rqEntries < 1 || rqEntries > MAX_ENTRIES) {
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot make a refill ring of ${rqEntries} entries: 1 to ${MAX_ENTRIES}`);
  }
  checkArea(options.areaBytes);
  checkLength32("rxBufBytes", rxBufBytes);
  if (dmabufFd !== undefined) checkFd(dmabufFd);
  if (events === undefined) return;
  checkU64("user data", events.userData);
  for (const type of events.types) {
    checkCount("an event", type);
    if (type >= EVENTS) throw rangeError("ERR_URING_ARG_VALUE", `Cannot ask for event ${type}: ${EVENTS} fit`);
  }
}

function checkArea(areaBytes: number): void {
  if (Number.isSafeInteger(areaBytes) && areaBytes >= 1) return;
  throw rangeError("ERR_URING_ARG_VALUE", `Cannot receive into an area of ${describe(areaBytes)} bytes`);
}

function mapArea(areaBytes: number, hugePages: boolean): Mapping {
  const unit = hugePages ? HUGE_PAGE_BYTES : PAGE_BYTES;
  return Mapping.anonymous(Math.ceil(areaBytes / unit) * unit, { hugePages, populate: true });
}

/** How large the refill ring's memory is, and where in it the statistics go. */
function planOf({ rqEntries }: ZcrxOptions): { bytes: number; stats: number } {
  const { zcrx, zcrxEvent } = registerQuery();
  // Kernel: before 6.19 it does not tell; a page was always enough.
  const header = alignUp(zcrx?.headerBytes ?? PAGE_BYTES, zcrx?.headerAlignment ?? PAGE_BYTES);
  const stats = alignUp(header + roundUp(rqEntries) * IO_URING_ZCRX_RQE_SIZE, zcrxEvent?.statsAlignment ?? 8);
  return { stats, bytes: alignUp(stats + Math.max(zcrxEvent?.statsBytes ?? 0, ZCRX_STATS_SIZE), PAGE_BYTES) };
}

function alignUp(bytes: number, alignment: number): number {
  return Math.ceil(bytes / Math.max(alignment, 1)) * Math.max(alignment, 1);
}

/** struct io_uring_zcrx_area_reg. */
function areaRegistration(lengthBytes: number, area: Mapping | undefined, dmabufFd: number | undefined): Int32Array {
  const words = new Int32Array(IO_URING_ZCRX_AREA_REG_SIZE / 4);
  if (area !== undefined) setU64(words, IO_URING_ZCRX_AREA_REG_WORD_ADDR, area.address);
  setU64(words, IO_URING_ZCRX_AREA_REG_WORD_LEN, lengthBytes);
  if (dmabufFd === undefined) return words;
  words[IO_URING_ZCRX_AREA_REG_WORD_FLAGS] = IORING_ZCRX_AREA_DMABUF;
  words[IO_URING_ZCRX_AREA_REG_WORD_DMABUF_FD] = dmabufFd;
  return words;
}

/** struct zcrx_event_desc. */
function eventDescription(events: ZcrxEvents, statsOffset: number): Int32Array {
  const words = new Int32Array(ZCRX_EVENT_DESC_SIZE / 4);
  setU64(words, ZCRX_EVENT_DESC_WORD_USER_DATA, events.userData);
  let mask = 0;
  for (const type of events.types) mask |= 1 << type;
  words[ZCRX_EVENT_DESC_WORD_TYPE_MASK] = mask;
  if (events.stats === true) {
    words[ZCRX_EVENT_DESC_WORD_FLAGS] = ZCRX_EVENT_DESC_FLAG_STATS;
    setU64(words, ZCRX_EVENT_DESC_WORD_STATS_OFFSET, statsOffset);
  }
  return words;
}

/** Fills in struct io_uring_zcrx_ifq_reg with all that it points at, registers, and returns it as the kernel left it. */
function register(
  ring: ZcrxRing,
  options: ZcrxOptions,
  plan: { bytes: number; stats: number },
  region: Mapping,
  area: Mapping | undefined,
): { words: Int32Array } {
  const regionWords = new Int32Array(IO_URING_REGION_DESC_SIZE / 4);
  setU64(regionWords, IO_URING_REGION_DESC_WORD_USER_ADDR, region.address);
  setU64(regionWords, IO_URING_REGION_DESC_WORD_SIZE, region.byteLength);
  regionWords[IO_URING_REGION_DESC_WORD_FLAGS] = IORING_MEM_REGION_TYPE_USER;
  const areaWords = areaRegistration(area?.byteLength ?? options.areaBytes, area, options.dmabufFd);
  const eventWords = options.events === undefined ? undefined : eventDescription(options.events, plan.stats);
  const words = new Int32Array(IO_URING_ZCRX_IFQ_REG_SIZE / 4);
  words[IO_URING_ZCRX_IFQ_REG_WORD_IF_IDX] = options.interfaceIndex ?? 0;
  words[IO_URING_ZCRX_IFQ_REG_WORD_IF_RXQ] = options.queue ?? 0;
  words[IO_URING_ZCRX_IFQ_REG_WORD_RQ_ENTRIES] = roundUp(options.rqEntries);
  words[IO_URING_ZCRX_IFQ_REG_WORD_FLAGS] = options.noDevice === true ? ZCRX_REG_NODEV : 0;
  setU64(words, IO_URING_ZCRX_IFQ_REG_WORD_AREA_PTR, transientAddress(areaWords));
  setU64(words, IO_URING_ZCRX_IFQ_REG_WORD_REGION_PTR, transientAddress(regionWords));
  words[IO_URING_ZCRX_IFQ_REG_WORD_RX_BUF_LEN] = options.rxBufBytes ?? 0;
  if (eventWords !== undefined) setU64(words, IO_URING_ZCRX_IFQ_REG_WORD_EVENT_DESC, transientAddress(eventWords));
  ring.registerIfqAt(transientAddress(words));
  return { words };
}
