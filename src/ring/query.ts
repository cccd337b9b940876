/** IORING_REGISTER_QUERY: what the kernel's io_uring can do, asked without a ring. */
import {
  IO_URING_QUERY_OPCODES,
  IO_URING_QUERY_SCQ,
  IO_URING_QUERY_ZCRX,
  IO_URING_QUERY_ZCRX_EVENT,
  IORING_REGISTER_QUERY,
} from "../abi/constants.gen.ts";
import {
  IO_URING_QUERY_HDR_SIZE,
  IO_URING_QUERY_HDR_WORD_NEXT_ENTRY,
  IO_URING_QUERY_HDR_WORD_QUERY_DATA,
  IO_URING_QUERY_HDR_WORD_QUERY_OP,
  IO_URING_QUERY_HDR_WORD_RESULT,
  IO_URING_QUERY_HDR_WORD_SIZE,
  IO_URING_QUERY_OPCODE_SIZE,
  IO_URING_QUERY_OPCODE_WORD_ENTER_FLAGS,
  IO_URING_QUERY_OPCODE_WORD_FEATURE_FLAGS,
  IO_URING_QUERY_OPCODE_WORD_NR_QUERY_OPCODES,
  IO_URING_QUERY_OPCODE_WORD_NR_REGISTER_OPCODES,
  IO_URING_QUERY_OPCODE_WORD_NR_REQUEST_OPCODES,
  IO_URING_QUERY_OPCODE_WORD_RING_SETUP_FLAGS,
  IO_URING_QUERY_OPCODE_WORD_SQE_FLAGS,
  IO_URING_QUERY_SCQ_SIZE,
  IO_URING_QUERY_SCQ_WORD_HDR_ALIGNMENT,
  IO_URING_QUERY_SCQ_WORD_HDR_SIZE,
  IO_URING_QUERY_ZCRX_EVENT_SIZE,
  IO_URING_QUERY_ZCRX_EVENT_WORD_EVENT_FLAGS,
  IO_URING_QUERY_ZCRX_EVENT_WORD_STATS_OFF_ALIGNMENT,
  IO_URING_QUERY_ZCRX_EVENT_WORD_STATS_SIZE,
  IO_URING_QUERY_ZCRX_SIZE,
  IO_URING_QUERY_ZCRX_WORD_AREA_FLAGS,
  IO_URING_QUERY_ZCRX_WORD_FEATURES,
  IO_URING_QUERY_ZCRX_WORD_NR_CTRL_OPCODES,
  IO_URING_QUERY_ZCRX_WORD_REGISTER_FLAGS,
  IO_URING_QUERY_ZCRX_WORD_RQ_HDR_ALIGNMENT,
  IO_URING_QUERY_ZCRX_WORD_RQ_HDR_SIZE,
} from "../abi/layout.gen.ts";
import { registerBlind } from "./register/blind.ts";
import { setU64, u64At } from "./structs.ts";
import { transientAddress } from "./transient.ts";

/** How many there are of what, and the masks of flags: struct io_uring_query_opcode. */
export interface QueryOpcodes {
  /** Operations: from IORING_OP_NOP to one less than this. A kernel may be built without some: PROBE tells. */
  readonly requestOpcodes: number;
  /** Registrations, likewise. */
  readonly registerOpcodes: number;
  /** Queries, likewise. */
  readonly queryOpcodes: number;
  /** IORING_FEAT_* bits. */
  readonly features: number;
  /** IORING_SETUP_* bits. */
  readonly setupFlags: number;
  /** IORING_ENTER_* bits. */
  readonly enterFlags: number;
  /** IOSQE_* bits. */
  readonly sqeFlags: number;
}

/** Zero-copy receive: struct io_uring_query_zcrx. */
export interface QueryZcrx {
  /** ZCRX_REG_* bits. */
  readonly registerFlags: number;
  /** IORING_ZCRX_AREA_* bits. */
  readonly areaFlags: number;
  /** Control operations: from ZCRX_CTRL_FLUSH_RQ to one less than this. */
  readonly controlOpcodes: number;
  /** ZCRX_FEATURE_* bits. */
  readonly features: number;
  /** The bytes of the refill ring before its entries. */
  readonly headerBytes: number;
  /** What the entries' place is a multiple of, in bytes. */
  readonly headerAlignment: number;
}

/** The rings' header: struct io_uring_query_scq. */
export interface QueryScq {
  /** The bytes before the completion queue's entries. */
  readonly headerBytes: number;
  /** What the entries' place is a multiple of, in bytes. */
  readonly headerAlignment: number;
}

/** Events of zero-copy receive: struct io_uring_query_zcrx_event. */
export interface QueryZcrxEvent {
  /** A bit for each ZCRX_EVENT_*. */
  readonly events: number;
  /** The bytes of the statistics. */
  readonly statsBytes: number;
  /** What the statistics' place is a multiple of, in bytes. */
  readonly statsAlignment: number;
}

/** The answers to every query; null for what the kernel cannot be asked. */
export interface Queries {
  /** @kernel 6.18 */
  readonly opcodes: QueryOpcodes | null;
  /** @kernel 6.19 */
  readonly zcrx: QueryZcrx | null;
  /** @kernel 6.19 */
  readonly scq: QueryScq | null;
  /** @kernel 7.2 */
  readonly zcrxEvent: QueryZcrxEvent | null;
}

/** Every query with the size of its answer. */
const queries: readonly (readonly [op: number, bytes: number])[] = [
  [IO_URING_QUERY_OPCODES, IO_URING_QUERY_OPCODE_SIZE],
  [IO_URING_QUERY_ZCRX, IO_URING_QUERY_ZCRX_SIZE],
  [IO_URING_QUERY_SCQ, IO_URING_QUERY_SCQ_SIZE],
  [IO_URING_QUERY_ZCRX_EVENT, IO_URING_QUERY_ZCRX_EVENT_SIZE],
];

const HEADER_WORDS = IO_URING_QUERY_HDR_SIZE / 4;

/**
 * Asks the kernel everything that it can be asked, in one call and without a ring. A kernel before 6.18, or a sandbox,
 * answers nothing: all is null then, and nothing is thrown.
 *
 * @kernel 6.18
 * @man io_uring_register_query(3)
 */
export function registerQuery(): Queries {
  const answers = queries.map(([, bytes]) => new Int32Array(bytes / 4));
  const headers = new Int32Array(queries.length * HEADER_WORDS);
  const address = transientAddress(headers);
  queries.forEach(([op, bytes], index) => {
    const at = index * HEADER_WORDS;
    const next = index + 1 < queries.length ? address + (index + 1) * IO_URING_QUERY_HDR_SIZE : 0;
    setU64(headers, at + IO_URING_QUERY_HDR_WORD_NEXT_ENTRY, next);
    setU64(headers, at + IO_URING_QUERY_HDR_WORD_QUERY_DATA, transientAddress(answers[index] as Int32Array));
    headers[at + IO_URING_QUERY_HDR_WORD_QUERY_OP] = op;
    headers[at + IO_URING_QUERY_HDR_WORD_SIZE] = bytes;
  });
  const asked = registerBlind(IORING_REGISTER_QUERY, address, 0) === 0;
  const answer = <T>(op: number, read: (words: Int32Array) => T): T | null =>
    asked && headers[op * HEADER_WORDS + IO_URING_QUERY_HDR_WORD_RESULT] === 0 ? read(answers[op] as Int32Array) : null;
  return {
    opcodes: answer(IO_URING_QUERY_OPCODES, readOpcodes),
    zcrx: answer(IO_URING_QUERY_ZCRX, readZcrx),
    scq: answer(IO_URING_QUERY_SCQ, readScq),
    zcrxEvent: answer(IO_URING_QUERY_ZCRX_EVENT, readZcrxEvent),
  };
}

function u32At(words: Int32Array, word: number): number {
  return (words[word] as number) >>> 0;
}

function readOpcodes(words: Int32Array): QueryOpcodes {
  return {
    requestOpcodes: u32At(words, IO_URING_QUERY_OPCODE_WORD_NR_REQUEST_OPCODES),
    registerOpcodes: u32At(words, IO_URING_QUERY_OPCODE_WORD_NR_REGISTER_OPCODES),
    queryOpcodes: u32At(words, IO_URING_QUERY_OPCODE_WORD_NR_QUERY_OPCODES),
    features: u64At(words, IO_URING_QUERY_OPCODE_WORD_FEATURE_FLAGS),
    setupFlags: u64At(words, IO_URING_QUERY_OPCODE_WORD_RING_SETUP_FLAGS),
    enterFlags: u64At(words, IO_URING_QUERY_OPCODE_WORD_ENTER_FLAGS),
    sqeFlags: u64At(words, IO_URING_QUERY_OPCODE_WORD_SQE_FLAGS),
  };
}

function readZcrx(words: Int32Array): QueryZcrx {
  return {
    registerFlags: u64At(words, IO_URING_QUERY_ZCRX_WORD_REGISTER_FLAGS),
    areaFlags: u64At(words, IO_URING_QUERY_ZCRX_WORD_AREA_FLAGS),
    controlOpcodes: u32At(words, IO_URING_QUERY_ZCRX_WORD_NR_CTRL_OPCODES),
    features: u32At(words, IO_URING_QUERY_ZCRX_WORD_FEATURES),
    headerBytes: u32At(words, IO_URING_QUERY_ZCRX_WORD_RQ_HDR_SIZE),
    headerAlignment: u32At(words, IO_URING_QUERY_ZCRX_WORD_RQ_HDR_ALIGNMENT),
  };
}

function readScq(words: Int32Array): QueryScq {
  return {
    headerBytes: u64At(words, IO_URING_QUERY_SCQ_WORD_HDR_SIZE),
    headerAlignment: u64At(words, IO_URING_QUERY_SCQ_WORD_HDR_ALIGNMENT),
  };
}

function readZcrxEvent(words: Int32Array): QueryZcrxEvent {
  return {
    events: u32At(words, IO_URING_QUERY_ZCRX_EVENT_WORD_EVENT_FLAGS),
    statsBytes: u32At(words, IO_URING_QUERY_ZCRX_EVENT_WORD_STATS_SIZE),
    statsAlignment: u32At(words, IO_URING_QUERY_ZCRX_EVENT_WORD_STATS_OFF_ALIGNMENT),
  };
}
