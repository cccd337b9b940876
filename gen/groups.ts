/**
 * The topics under which constants are listed: the one judgement about names that the emitters share.
 * A constant belongs to the first topic whose pattern it matches; a test fails when one matches none.
 */

/** A topic. */
export interface Group {
  /** Key for tables and for `groupOf`. */
  readonly key: string;
  /** Heading. */
  readonly title: string;
  /** What one constant of the group is, in a doc comment: `SQE flag`. */
  readonly noun: string;
  readonly pattern: RegExp;
  /** Whether values are single bits. */
  readonly bits: boolean;
}

function group(key: string, title: string, noun: string, pattern: RegExp, bits: boolean = true): Group {
  return { key, title, noun, pattern, bits };
}

/** All topics, in the order in which they are listed. */
export const GROUPS: readonly Group[] = [
  group("op", "Opcodes: `sqe->opcode`", "Opcode", /^IORING_OP_/, false),
  group("sqe", "SQE flags: `sqe->flags`", "SQE flag", /^IOSQE_(?!.*_BIT$)/),
  group("sqe_bit", "Bit numbers of the SQE flags", "Bit number of an SQE flag", /^IOSQE_.*_BIT$/, false),
  group("setup", "Setup flags: `io_uring_params.flags`", "Setup flag", /^IORING_SETUP_/),
  group("feature", "Features: `io_uring_params.features`", "Feature", /^IORING_FEAT_/),
  group("enter", "Flags of io_uring_enter(2)", "Enter flag", /^IORING_ENTER_/),
  group("cqe", "CQE flags: `cqe->flags`", "CQE flag", /^IORING_CQE_F_/),
  group(
    "cqe_field",
    "Numbers in `cqe->flags` and `cqe->res`",
    "CQE encoding",
    /^IORING_(CQE_BUFFER|TIMESTAMP_|NOTIF_)/,
    false,
  ),
  group("sq_ring", "Flags of the submission ring", "SQ ring flag", /^IORING_SQ_/),
  group("cq_ring", "Flags of the completion ring", "CQ ring flag", /^IORING_CQ_/),
  group("mmap", "Offsets for mmap(2) of a ring", "mmap offset", /^IORING_OFF_/, false),
  group("fsync", "Flags of FSYNC: `sqe->fsync_flags`", "Fsync flag", /^IORING_FSYNC_/),
  group("timeout", "Flags of timeouts: `sqe->timeout_flags`", "Timeout flag", /^IORING_(LINK_)?TIMEOUT_/),
  group("splice", "Flags of SPLICE and TEE: `sqe->splice_flags`", "Splice flag", /^SPLICE_F_/),
  group("poll", "Flags of POLL_ADD and POLL_REMOVE: `sqe->len`", "Poll flag", /^IORING_POLL_/),
  group("cancel", "Flags of ASYNC_CANCEL: `sqe->cancel_flags`", "Cancel flag", /^IORING_ASYNC_CANCEL_/),
  group("sendrecv", "Flags of send and receive: `sqe->ioprio`", "Send and receive flag", /^IORING_(RECV|SEND)/),
  group("accept", "Flags of ACCEPT: `sqe->ioprio`", "Accept flag", /^IORING_ACCEPT_/),
  group("msg_ring", "Flags of MSG_RING: `sqe->msg_ring_flags`", "MSG_RING flag", /^IORING_MSG_RING_/),
  group("msg", "Commands of MSG_RING: `sqe->addr`", "MSG_RING command", /^IORING_MSG_/, false),
  group("install", "Flags of FIXED_FD_INSTALL: `sqe->install_fd_flags`", "Install flag", /^IORING_FIXED_FD_/),
  group("nop", "Flags of NOP: `sqe->nop_flags`", "NOP flag", /^IORING_NOP_/),
  group("uring_cmd", "Flags of URING_CMD: `sqe->uring_cmd_flags`", "URING_CMD flag", /^IORING_URING_CMD_/),
  group("socket", "Socket commands of URING_CMD: `sqe->cmd_op`", "Socket command", /^SOCKET_URING_OP_/, false),
  group(
    "block",
    "Block device commands of URING_CMD: `sqe->cmd_op`",
    "Block device command",
    /^BLOCK_URING_CMD_/,
    false,
  ),
  group(
    "attr",
    "Attributes of reads and writes: `sqe->attr_type_mask`",
    "Read and write attribute",
    /^IORING_RW_ATTR_/,
  ),
  group("file_index", "Direct descriptors: `sqe->file_index`", "Direct descriptor", /^IORING_FILE_INDEX_/, false),
  group(
    "register_flag",
    "Flags inside the arguments of io_uring_register(2)",
    "Registration flag",
    /^IORING_(RSRC_REGISTER_SPARSE|REGISTER_SRC_REGISTERED|REGISTER_DST_REPLACE|MEM_REGION_|REG_WAIT_)/,
  ),
  group(
    "register_value",
    "Values inside the arguments of io_uring_register(2)",
    "Registration value",
    /^IORING_REGISTER_FILES_SKIP$/,
    false,
  ),
  group("register", "Opcodes of io_uring_register(2)", "Register opcode", /^IORING_(UN)?REGISTER_/, false),
  group("probe", "Flags of a probed opcode: `io_uring_probe_op.flags`", "Probe flag", /^IO_URING_OP_/),
  group("restriction", "Restrictions: `io_uring_restriction.opcode`", "Restriction", /^IORING_RESTRICTION_/, false),
  group("pbuf", "Flags of provided buffer rings: `io_uring_buf_reg.flags`", "Buffer ring flag", /^IOU_PBUF_RING_/),
  group("iowq", "Kinds of io-wq worker", "Worker kind", /^IO_WQ_/, false),
  group("napi", "Busy polling: `io_uring_napi.opcode` and `op_param`", "NAPI value", /^IO_URING_NAPI_/, false),
  group("query", "Queries: `io_uring_query_hdr.query_op`", "Query", /^(__)?IO_URING_QUERY_/, false),
  group("zcrx_area", "Zero-copy receive: areas", "Area constant", /^IORING_ZCRX_AREA_/, false),
  group("zcrx_reg", "Zero-copy receive: registration flags", "Registration flag", /^ZCRX_REG_/),
  group("zcrx_feature", "Zero-copy receive: features", "Zero-copy receive feature", /^ZCRX_FEATURE_/),
  group("zcrx_desc", "Zero-copy receive: flags of an event descriptor", "Event descriptor flag", /^ZCRX_EVENT_DESC_/),
  group("zcrx_event", "Zero-copy receive: events", "Zero-copy receive event", /^(__)?ZCRX_EVENT_/, false),
  group("zcrx_ctrl", "Zero-copy receive: control operations", "Control operation", /^(__)?ZCRX_CTRL_/, false),
  group("bpf_flag", "BPF filters: flags", "Filter flag", /^IO_URING_BPF_FILTER_/),
  group("bpf", "BPF filters: commands", "Filter command", /^IO_URING_BPF_/, false),
  group("mock_create", "The mock file: flags of its creation", "Mock file flag", /^IORING_MOCK_CREATE_F_/),
  group("mock", "The mock file: features and commands", "Mock file value", /^IORING_MOCK_/, false),
];

/** The topic of a constant, or undefined for a name that no pattern knows. */
export function groupOf(name: string): Group | undefined {
  return GROUPS.find((g) => g.pattern.test(name));
}
