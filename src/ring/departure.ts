/**
 * What a ring leaves to be done when its thread, a Worker's, is terminated: then the kernel has to let go of all memory
 * before the engine gives it to others, and no JavaScript runs any more. leave.c does it, by what stands here.
 */
import {
  IORING_ENTER_REGISTERED_RING,
  IORING_ENTER_SQ_WAKEUP,
  IORING_REGISTER_SYNC_CANCEL,
  IORING_REGISTER_USE_REGISTERED_RING,
  IORING_SETUP_CQE32,
  IORING_SETUP_SQ_REWIND,
  IORING_SETUP_SQE128,
  IORING_SETUP_SQPOLL,
} from "../abi/constants.gen.ts";
import { Mapping } from "../memory.ts";
import { syscalls } from "../../syscall/shim.ts";
import type { QueueMap, RingSetup } from "./setup.ts";

/** Words of leave.c's `struct leaving`; addresses take two. */
const FD = 0;
const ENTER_FLAGS = 1;
const CANCEL_OPCODE = 2;
const SQ_MASK = 3;
const SQE_SHIFT = 4;
const CQ_MASK = 5;
const CQE_SHIFT = 6;
const CLOSES = 7;
const SQ_HEAD = 8;
const SQ_TAIL = 10;
const SQES = 12;
const CQ_HEAD = 14;
const CQ_TAIL = 16;
const CQES = 18;
const MEMORY = 20;
const LENGTHS = 24;
const SIZE_BYTES = 28 * 4;

/** @internal See above. */
export class Departure {
  readonly #record = Mapping.anonymous(SIZE_BYTES);

  private constructor(fd: number, setup: RingSetup, map: QueueMap, indexOnly: boolean) {
    if (indexOnly) this.nameByIndex(fd);
    else this.nameByDescriptor(fd);
    this.follow(setup, map);
  }

  /** What is to be done for a ring; undefined where nothing is, or nothing can be. */
  static of(fd: number, setup: RingSetup, map: QueueMap, indexOnly: boolean): Departure | undefined {
    const { farewells } = syscalls();
    if (farewells === undefined) return undefined;
    const made = new Departure(fd, setup, map, indexOnly);
    farewells.add("leave", made.#record.address);
    return made;
  }

  /** The ring is known by its descriptor, which is to be closed. */
  nameByDescriptor(fd: number): void {
    const { words } = this.#record;
    words[FD] = fd;
    words[CLOSES] = 1;
    words[CANCEL_OPCODE] = IORING_REGISTER_SYNC_CANCEL;
  }

  /** The ring is known by its registered index, which goes with the thread. */
  nameByIndex(index: number): void {
    const { words } = this.#record;
    words[FD] = index;
    words[CLOSES] = 0;
    words[CANCEL_OPCODE] = IORING_REGISTER_SYNC_CANCEL | IORING_REGISTER_USE_REGISTERED_RING;
    words[ENTER_FLAGS] = (words[ENTER_FLAGS] as number) | IORING_ENTER_REGISTERED_RING;
  }

  /** The ring's queues are here. */
  follow({ flags, sqEntries, cqEntries }: RingSetup, { mappings, sqLayout, cqLayout }: QueueMap): void {
    const { words } = this.#record;
    const [ring, sqes] = mappings as readonly [Mapping, Mapping];
    const isRewound = (flags & IORING_SETUP_SQ_REWIND) !== 0;
    if ((flags & IORING_SETUP_SQPOLL) !== 0) {
      words[ENTER_FLAGS] = (words[ENTER_FLAGS] as number) | IORING_ENTER_SQ_WAKEUP;
    }
    words[SQ_MASK] = sqEntries - 1;
    words[SQE_SHIFT] = (flags & IORING_SETUP_SQE128) === 0 ? 6 : 7;
    words[CQ_MASK] = cqEntries - 1;
    words[CQE_SHIFT] = (flags & IORING_SETUP_CQE32) === 0 ? 4 : 5;
    this.#address(SQ_HEAD, isRewound ? 0 : ring.address + sqLayout.head * 4);
    this.#address(SQ_TAIL, isRewound ? 0 : ring.address + sqLayout.tail * 4);
    this.#address(SQES, sqes.address);
    this.#address(CQ_HEAD, ring.address + cqLayout.head * 4);
    this.#address(CQ_TAIL, ring.address + cqLayout.tail * 4);
    this.#address(CQES, ring.address + cqLayout.cqes * 4);
    mappings.forEach(({ address, byteLength }, i) => {
      this.#address(MEMORY + i * 2, address);
      this.#address(LENGTHS + i * 2, byteLength);
    });
  }

  #address(word: number, value: number): void {
    const { words } = this.#record;
    words[word] = value;
    words[word + 1] = value * 2 ** -32;
  }

  /** Everything has ended: nothing is left to be done. */
  cancel(): void {
    syscalls().farewells?.remove("leave", this.#record.address);
    this.#record.close();
  }
}
