/** Registrations for the network: busy polling of its devices, and zero-copy receive. */
import { EEXIST, EINVAL, ENODEV, ENOENT, ENXIO, EOPNOTSUPP, EPERM } from "../../abi/errno.gen.ts";
import {
  IO_URING_NAPI_REGISTER_OP,
  IO_URING_NAPI_STATIC_ADD_ID,
  IO_URING_NAPI_STATIC_DEL_ID,
  IO_URING_NAPI_TRACKING_DYNAMIC,
  IO_URING_NAPI_TRACKING_INACTIVE,
  IO_URING_NAPI_TRACKING_STATIC,
  IORING_REGISTER_NAPI,
  IORING_REGISTER_ZCRX_CTRL,
  IORING_REGISTER_ZCRX_IFQ,
  IORING_SETUP_CQE32,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_UNREGISTER_NAPI,
  ZCRX_REG_IMPORT,
} from "../../abi/constants.gen.ts";
import {
  IO_URING_NAPI_OFF_OPCODE,
  IO_URING_NAPI_OFF_PREFER_BUSY_POLL,
  IO_URING_NAPI_SIZE,
  IO_URING_NAPI_WORD_BUSY_POLL_TO,
  IO_URING_NAPI_WORD_OP_PARAM,
  IO_URING_ZCRX_IFQ_REG_SIZE,
  IO_URING_ZCRX_IFQ_REG_WORD_FLAGS,
  IO_URING_ZCRX_IFQ_REG_WORD_IF_IDX,
  IO_URING_ZCRX_IFQ_REG_WORD_ZCRX_ID,
  ZCRX_CTRL_SIZE,
  ZCRX_CTRL_WORD_OP,
  ZCRX_CTRL_WORD_ZC_EXPORT,
  ZCRX_CTRL_WORD_ZCRX_ID,
} from "../../abi/layout.gen.ts";
import { describe, rangeError, stateError } from "../../errors.ts";
import { checkCount, checkFd, checkLength32 } from "../prep/check.ts";
import { type ZcrxOptions, ZcrxQueue } from "../zcrx.ts";
import { PolicyRegistrations } from "./policy.ts";
import { transientAddress } from "../transient.ts";

/** How a ring learns which device queues to poll. */
export type NapiTracking = "dynamic" | "static" | "inactive";

/** How a ring polls network devices while it waits. */
export interface NapiSettings {
  /** How long it polls before it sleeps, in microseconds. */
  busyPollUsec: number;
  /** Keeps the devices' interrupts off for as long as it polls often enough: SO_PREFER_BUSY_POLL. */
  preferBusyPoll: boolean;
  /**
   * From the sockets in use ("dynamic"), or told by {@link Ring.napiAddId} ("static", 6.13); "inactive" only as an
   * answer: not at all.
   */
  tracking: NapiTracking;
}

const trackings: Readonly<Record<NapiTracking, number>> = {
  dynamic: IO_URING_NAPI_TRACKING_DYNAMIC,
  static: IO_URING_NAPI_TRACKING_STATIC,
  inactive: IO_URING_NAPI_TRACKING_INACTIVE,
};

/** @internal */
export abstract class NetworkRegistrations extends PolicyRegistrations {
  /**
   * Has waits on this ring poll network devices for a while before they sleep.
   *
   * @returns the settings before; before 6.13 their tracking is always "dynamic".
   * @throws TypeError or RangeError for what can be no setting; UringError EINVAL on a ring with iopoll and before 6.9
   * (static: 6.13), EOPNOTSUPP where the kernel is built without busy polling.
   * @kernel 6.9
   * @man io_uring_register_napi(3)
   */
  registerNapi(settings: Partial<NapiSettings>): NapiSettings {
    const { busyPollUsec = 0, preferBusyPoll = false, tracking = "dynamic" } = settings;
    checkCount("busyPollUsec", busyPollUsec);
    if (tracking !== "dynamic" && tracking !== "static") {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot track by ${describe(tracking)}: it is "dynamic" or "static"`);
    }
    const words = new Int32Array(IO_URING_NAPI_SIZE / 4);
    const bytes = new Uint8Array(words.buffer);
    words[IO_URING_NAPI_WORD_BUSY_POLL_TO] = busyPollUsec;
    bytes[IO_URING_NAPI_OFF_PREFER_BUSY_POLL] = preferBusyPoll ? 1 : 0;
    bytes[IO_URING_NAPI_OFF_OPCODE] = IO_URING_NAPI_REGISTER_OP;
    words[IO_URING_NAPI_WORD_OP_PARAM] = trackings[tracking];
    this.call("IORING_REGISTER_NAPI", IORING_REGISTER_NAPI, transientAddress(words), 1, {
      [EINVAL]: "the ring polls for completions (iopoll), or this kernel cannot (6.9, static tracking 6.13)",
      [EOPNOTSUPP]: "this kernel is built without CONFIG_NET_RX_BUSY_POLL",
    });
    return settingsOf(words, bytes);
  }

  /**
   * Adds a device queue to those that are polled, by its NAPI id: SO_INCOMING_NAPI_ID of a socket tells it.
   *
   * @throws UringError EEXIST for one that is polled already, EINVAL for what is no id, where tracking is not "static"
   * and before 6.13.
   * @kernel 6.13
   * @man io_uring_register_napi(3)
   */
  napiAddId(napiId: number): void {
    this.#napi(IO_URING_NAPI_STATIC_ADD_ID, napiId);
  }

  /**
   * Takes a device queue from those that are polled.
   *
   * @throws UringError ENOENT for one that is not polled; as {@link napiAddId}.
   * @kernel 6.13
   * @man io_uring_register_napi(3)
   */
  napiDeleteId(napiId: number): void {
    this.#napi(IO_URING_NAPI_STATIC_DEL_ID, napiId);
  }

  #napi(op: number, napiId: number): void {
    checkLength32("NAPI id", napiId);
    const words = new Int32Array(IO_URING_NAPI_SIZE / 4);
    new Uint8Array(words.buffer)[IO_URING_NAPI_OFF_OPCODE] = op;
    words[IO_URING_NAPI_WORD_OP_PARAM] = napiId;
    this.call("IORING_REGISTER_NAPI", IORING_REGISTER_NAPI, transientAddress(words), 1, {
      [EINVAL]: `${napiId} is no NAPI id, or the ring's tracking is not "static" (6.13)`,
      [EEXIST]: `NAPI id ${napiId} is polled already`,
      [ENOENT]: `NAPI id ${napiId} is not polled`,
    });
  }

  /**
   * Ends busy polling.
   *
   * @returns the settings before; their tracking is not told.
   * @throws UringError EINVAL before 6.9.
   * @kernel 6.9
   * @man io_uring_unregister_napi(3)
   */
  unregisterNapi(): Omit<NapiSettings, "tracking"> {
    const words = new Int32Array(IO_URING_NAPI_SIZE / 4);
    this.call("IORING_UNREGISTER_NAPI", IORING_UNREGISTER_NAPI, transientAddress(words), 1);
    const { busyPollUsec, preferBusyPoll } = settingsOf(words, new Uint8Array(words.buffer));
    return { busyPollUsec, preferBusyPoll };
  }

  /**
   * Takes over a receive queue of a network card, so that what arrives there lands in memory of this process without
   * being copied; or makes a queue without a card, into which data is copied. The ring must defer task work and have
   * completions of 32 bytes; it owns the queue and its memory, which go with it.
   *
   * @throws RangeError for what can be no queue; Error `ERR_URING_STATE` on another kind of ring; UringError EPERM
   * without CAP_NET_ADMIN, ENODEV for no interface, EOPNOTSUPP for one that cannot, EEXIST for a queue that is taken,
   * EINVAL before 6.15 (without a card 7.1), ENOMEM.
   * @kernel 6.15
   * @man io_uring_register_ifq(3)
   */
  registerIfq(options: ZcrxOptions): ZcrxQueue {
    this.#checkReceiving();
    const queue = new ZcrxQueue(this, options);
    this.adopt(queue);
    return queue;
  }

  /** @internal Registers struct io_uring_zcrx_ifq_reg. */
  registerIfqAt(address: number): void {
    this.call("IORING_REGISTER_ZCRX_IFQ", IORING_REGISTER_ZCRX_IFQ, address, 1, {
      [EPERM]: "it takes CAP_NET_ADMIN",
      [ENODEV]: "there is no such interface",
      [EOPNOTSUPP]: "the interface's driver cannot, or this kernel is built without CONFIG_IO_URING_ZCRX",
      [EEXIST]: "the interface's queue is taken",
      [EINVAL]: "this kernel cannot (6.15; without an interface 7.1), or does not know an option",
    });
  }

  /**
   * Shares a receive queue that another ring has exported.
   *
   * @param zcrxFd what {@link ZcrxQueue.export} returned; it may be closed afterwards.
   * @returns the queue's number on this ring, for `prepRecvZc`; its memory is the exporter's.
   * @throws Error `ERR_URING_STATE` on a ring that cannot receive; UringError EBADF for no such descriptor, EINVAL
   * before 6.19.
   * @kernel 6.19
   * @man io_uring_register_ifq(3)
   */
  importIfq(zcrxFd: number): number {
    this.#checkReceiving();
    checkFd(zcrxFd);
    const words = new Int32Array(IO_URING_ZCRX_IFQ_REG_SIZE / 4);
    words[IO_URING_ZCRX_IFQ_REG_WORD_FLAGS] = ZCRX_REG_IMPORT;
    words[IO_URING_ZCRX_IFQ_REG_WORD_IF_IDX] = zcrxFd;
    this.registerIfqAt(transientAddress(words));
    return words[IO_URING_ZCRX_IFQ_REG_WORD_ZCRX_ID] as number;
  }

  /**
   * Controls a receive queue: what {@link ZcrxQueue} has methods for, and whatever a newer kernel adds.
   *
   * @param op ZCRX_CTRL_*.
   * @param payload the operation's own 48 bytes, in which the kernel may answer.
   * @throws UringError ENXIO for a queue that there is not, EOPNOTSUPP for an operation that the kernel does not know,
   * EINVAL before 6.19.
   * @kernel 6.19
   * @man io_uring_register_zcrx_ctrl(3)
   */
  registerZcrxCtrl(zcrxId: number, op: number, payload?: Int32Array): void {
    checkLength32("receive queue", zcrxId);
    checkLength32("control operation", op);
    const words = new Int32Array(ZCRX_CTRL_SIZE / 4);
    const room = words.length - ZCRX_CTRL_WORD_ZC_EXPORT;
    if (payload !== undefined && payload.length !== room) {
      throw rangeError("ERR_URING_ARG_VALUE", `Cannot use ${payload.length} words as a payload: it has ${room}`);
    }
    words[ZCRX_CTRL_WORD_ZCRX_ID] = zcrxId;
    words[ZCRX_CTRL_WORD_OP] = op;
    if (payload !== undefined) words.set(payload, ZCRX_CTRL_WORD_ZC_EXPORT);
    this.call("IORING_REGISTER_ZCRX_CTRL", IORING_REGISTER_ZCRX_CTRL, transientAddress(words), 0, {
      [ENXIO]: `the ring has no receive queue ${zcrxId}`,
      [EINVAL]: "this kernel cannot (6.19)",
      [EOPNOTSUPP]: "this kernel does not know the operation",
    });
    payload?.set(words.subarray(ZCRX_CTRL_WORD_ZC_EXPORT));
  }

  #checkReceiving(): void {
    this.checkOpen();
    const { flags } = this.setup;
    const wide = (flags & (IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED)) !== 0;
    if ((flags & IORING_SETUP_DEFER_TASKRUN) !== 0 && wide) return;
    throw stateError(
      "ERR_URING_STATE",
      "Cannot receive without copying on this ring: make it with deferTaskrun and with cqe32 or cqeMixed",
    );
  }
}

function settingsOf(words: Int32Array, bytes: Uint8Array): NapiSettings {
  const tracking = words[IO_URING_NAPI_WORD_OP_PARAM];
  return {
    busyPollUsec: (words[IO_URING_NAPI_WORD_BUSY_POLL_TO] as number) >>> 0,
    preferBusyPoll: bytes[IO_URING_NAPI_OFF_PREFER_BUSY_POLL] !== 0,
    tracking: (Object.keys(trackings) as NapiTracking[]).find((name) => trackings[name] === tracking) ?? "dynamic",
  };
}
