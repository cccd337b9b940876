/** What the modules on top of the ring stand on: gatherers, requests that complete untold, and what keeps the process. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { IORING_OP_NOP, IORING_OP_POLL_ADD, IOSQE_CQE_SKIP_SUCCESS } from "../../src/abi/constants.gen.ts";
import { ECANCELED } from "../../src/abi/errno.gen.ts";
import { POLLIN } from "../../src/abi/linux.ts";
import { AsyncRing } from "../../src/async/asyncring.ts";
import type { Gatherer, Reactor } from "../../src/async/reactor.ts";
import { type Operation, Request } from "../../src/async/request.ts";
import type { Cqe } from "../../src/ring/cqe.ts";
import { prepRead } from "../../src/ring/prep/rw.ts";
import { type Slot, SQE_FLAGS_SHIFT } from "../../src/ring/prep/slot.ts";
import { syscalls } from "../../syscall/shim.ts";
import { needs } from "../support/kernel.ts";

const OPERATION: Operation = { name: "test", prep: prepRead, yields: "count", wide: false };
const EFD_NONBLOCK = 0o4000;

let ring: AsyncRing;
let reactor: Reactor;
/** A descriptor on which nothing ever comes. */
let fd: number;
let said: string[];

beforeEach(() => {
  ring = new AsyncRing();
  reactor = ring.reactor();
  fd = syscalls().eventfd(0, EFD_NONBLOCK);
  said = [];
});

afterEach(async () => {
  await ring.close();
  syscalls().close(fd);
});

/** A request that writes a few words and says what it was told. */
class Plain extends Request {
  readonly name: string;
  readonly words: readonly number[];
  readonly #silent: boolean;
  #keeps = true;

  constructor(name: string, words: readonly number[], silent: boolean = false) {
    super(OPERATION, undefined, undefined, undefined, undefined, undefined, undefined);
    this.name = name;
    this.words = words;
    this.#silent = silent;
  }

  override get silent(): boolean {
    return this.#silent;
  }

  override get keeps(): boolean {
    return this.#keeps;
  }

  /** Whether it keeps the process alive, from now on. */
  setKeeps(keeps: boolean): this {
    this.#keeps = keeps;
    return this;
  }

  override write(sqe: Slot): void {
    const [opcode = 0, at = -1, flags = 0] = this.words;
    sqe.write(opcode, at, 0, 0, 0, flags);
  }

  complete(from: Reactor, cqe: Cqe): void {
    from.release(this);
    said.push(`${this.name} ${cqe.res}`);
  }

  fail(): void {
    said.push(`${this.name} failed`);
  }
}

const nop = (name: string): Plain => new Plain(name, [IORING_OP_NOP]);
const wait = (name: string): Plain => new Plain(name, [IORING_OP_POLL_ADD, fd, POLLIN]);
const quiet = (name: string): Plain =>
  new Plain(name, [IORING_OP_NOP | (IOSQE_CQE_SKIP_SUCCESS << SQE_FLAGS_SHIFT)], true);
/** A read of a descriptor that there is not. */
const failing = (name: string): Plain => new Plain(name, [22, 0x7ffffff0], true);

describe("a gatherer", () => {
  test("is asked before the submission, and settles when all of it was taken", async () => {
    const gathered: Plain[] = [];
    const gatherer: Gatherer = {
      gather() {
        for (const request of gathered.splice(0)) {
          said.push("gather");
          reactor.enqueue(request);
        }
      },
      settle: () => void said.push(`settle ${reactor.inFlight}`),
    };
    reactor.gatherers.push(gatherer);
    gathered.push(nop("a"));
    reactor.due();
    expect(said).toEqual([]);
    await Bun.sleep(1);
    expect(said.slice(0, 3)).toEqual(["gather", "settle 1", "a 0"]);
  });

  needs("IORING_FEAT_CQE_SKIP")("knows what has failed of the silent before all others are told", async () => {
    const untold = quiet("untold");
    reactor.gatherers.push({
      gather: () => undefined,
      settle() {
        if (untold.slot < 0) return;
        said.push("settled");
        reactor.release(untold);
      },
    });
    for (const request of [nop("loud"), untold, failing("silent")]) reactor.enqueue(request);
    await Bun.sleep(1);
    expect(said).toEqual(["silent -9", "settled", "loud 0"]);
    expect(reactor.inFlight).toBe(0);
  });
});

describe("push()", () => {
  test("has the kernel let go of what was canceled before it returns, and tells nobody yet", async () => {
    const request = wait("poll");
    reactor.enqueue(request);
    await Bun.sleep(1);
    reactor.cancel(request);
    reactor.push();
    expect(said).toEqual([]);
    expect(ring.ring.cqReady()).toBe(2);
    await Bun.sleep(1);
    expect(said).toEqual([`poll -${ECANCELED}`]);
  });
});

describe("keep()", () => {
  test("counts who keeps the process alive", async () => {
    const request = wait("poll").setKeeps(false);
    reactor.enqueue(request);
    await Bun.sleep(1);
    expect([reactor.inFlight, reactor.refed]).toEqual([1, false]);
    reactor.keep(request.setKeeps(true));
    expect(reactor.refed).toBe(true);
    const other = wait("other");
    reactor.enqueue(other);
    reactor.keep(request.setKeeps(false));
    expect(reactor.refed).toBe(true);
    await Bun.sleep(1);
    reactor.cancel(other);
    await Bun.sleep(5);
    expect([said, reactor.refed]).toEqual([[`other -${ECANCELED}`], false]);
  });
});
