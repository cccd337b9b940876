/**
 * What a file system and the kernel say to each other, with the names of <linux/fuse.h>. Every number is little-endian
 * here, as io_uring's Bun runs on nothing else.
 */

// ---- What is asked of a file system

export const FUSE_LOOKUP = 1;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FLUSH = 25;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_RELEASEDIR = 29;
export const FUSE_ACCESS = 34;

const FUSE_INIT = 26;

// ---- Commands of the ring

export const FUSE_IO_URING_CMD_REGISTER = 1;
export const FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2;

/** struct fuse_uring_cmd_req: the answer to which request, and which queue's. */
export function cmdReq(queue: number, commitId: bigint = 0n): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(24));
  view.setBigUint64(8, commitId, true);
  view.setUint16(16, queue, true);
  return new Uint8Array(view.buffer);
}

// ---- struct fuse_uring_req_header: what a request comes with, besides its payload

export const SIZEOF_REQ_HEADER = 288;
/**
 * Where the request's own arguments are, as far as they have a fixed size. Before them is its struct fuse_in_header,
 * where the answer's struct fuse_out_header is to be.
 */
export const REQ_HEADER_OP_IN = 128;
/** Where struct fuse_uring_ent_in_out is. */
export const REQ_HEADER_ENT = 256;

/** Offsets in struct fuse_uring_ent_in_out. */
export const ENT_COMMIT_ID = 8;
export const ENT_PAYLOAD_SIZE = 16;

/** Offsets in struct fuse_in_header. */
export const IN_OPCODE = 4;
export const IN_UNIQUE = 8;
export const IN_NODEID = 16;
const SIZEOF_IN_HEADER = 40;

/** sizeof(struct fuse_out_header). */
const SIZEOF_OUT_HEADER = 16;

/** Writes struct fuse_out_header. `length` is that of the answer without it. */
export function writeOutHeader(view: DataView, unique: bigint, error: number, length: number): void {
  view.setUint32(0, SIZEOF_OUT_HEADER + length, true);
  view.setInt32(4, error, true);
  view.setBigUint64(8, unique, true);
}

// ---- The first request, which is read from /dev/fuse and answered there

const FUSE_ASYNC_READ = 1 << 0;
const FUSE_BIG_WRITES = 1 << 5;
const FUSE_MAX_PAGES = 1 << 22;
const FUSE_INIT_EXT = 1 << 30;
/** FUSE_OVER_IO_URING is bit 41: in flags2, which has the upper 32. */
const OVER_IO_URING_2 = 1 << 9;

const MAJOR = 7;
/** The first that has a ring. */
const MINOR = 42;
const SIZEOF_INIT_OUT = 64;

/** What the kernel says of itself at first. */
export interface Init {
  readonly unique: bigint;
  /** Whether it offers a ring. */
  readonly offersRing: boolean;
}

/** Reads struct fuse_in_header and struct fuse_init_in. */
export function readInit(bytes: Uint8Array): Init {
  const view = viewOf(bytes);
  const opcode = view.getUint32(IN_OPCODE, true);
  if (opcode !== FUSE_INIT) throw new Error(`the kernel's first request is ${opcode}`);
  return {
    unique: view.getBigUint64(IN_UNIQUE, true),
    offersRing: (view.getUint32(SIZEOF_IN_HEADER + 16, true) & OVER_IO_URING_2) !== 0,
  };
}

/** struct fuse_out_header and struct fuse_init_out that ask for a ring, and for so much in one request at most. */
export function initAnswer({ unique }: Init, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(SIZEOF_OUT_HEADER + SIZEOF_INIT_OUT);
  writeOutHeader(viewOf(bytes), unique, 0, SIZEOF_INIT_OUT);
  const view = viewOf(bytes.subarray(SIZEOF_OUT_HEADER));
  view.setUint32(0, MAJOR, true);
  view.setUint32(4, MINOR, true);
  view.setUint32(8, payloadBytes, true);
  view.setUint32(12, FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_INIT_EXT, true);
  view.setUint32(20, payloadBytes, true);
  view.setUint16(28, payloadBytes / 4096, true);
  view.setUint32(32, OVER_IO_URING_2, true);
  return bytes;
}

// ---- Files and directories, as they are described in answers

/** What stat(2) tells of a file. */
export interface Attributes {
  readonly ino: number;
  readonly mode: number;
  readonly sizeBytes: number;
}

export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;

/** struct fuse_attr. */
function writeAttr(view: DataView, at: number, { ino, mode, sizeBytes }: Attributes): void {
  view.setBigUint64(at, BigInt(ino), true);
  view.setBigUint64(at + 8, BigInt(sizeBytes), true);
  view.setBigUint64(at + 16, BigInt(Math.ceil(sizeBytes / 512)), true);
  view.setUint32(at + 60, mode, true);
  // Links to it.
  view.setUint32(at + 64, 1, true);
  view.setUint32(at + 80, 4096, true);
}

/** Writes struct fuse_attr_out, which is good for no time at all: the kernel asks again. Returns its length. */
export function writeAttrOut(into: Uint8Array, attributes: Attributes): number {
  into.fill(0, 0, 104);
  writeAttr(viewOf(into), 16, attributes);
  return 104;
}

/** Writes struct fuse_entry_out, the answer to a name, which is good for no time either. Returns its length. */
export function writeEntryOut(into: Uint8Array, attributes: Attributes): number {
  into.fill(0, 0, 128);
  const view = viewOf(into);
  view.setBigUint64(0, BigInt(attributes.ino), true);
  writeAttr(view, 40, attributes);
  return 128;
}

/** Writes struct fuse_kstatfs of a file system with so many files. Returns its length. */
export function writeStatfsOut(into: Uint8Array, files: number): number {
  into.fill(0, 0, 80);
  const view = viewOf(into);
  view.setBigUint64(24, BigInt(files), true);
  view.setUint32(40, 4096, true);
  view.setUint32(44, 255, true);
  view.setUint32(48, 4096, true);
  return 80;
}

/**
 * Writes struct fuse_dirent at `at`. `next` is where reading goes on after it.
 *
 * @returns where it ends, or `at` where there is no room for it before `end`.
 */
export function writeDirent(
  into: Uint8Array,
  at: number,
  end: number,
  name: string,
  { ino, mode }: Attributes,
  next: number,
): number {
  const bytes = Buffer.from(name);
  const length = Math.ceil((24 + bytes.length) / 8) * 8;
  if (at + length > end) return at;
  into.fill(0, at, at + length);
  const view = viewOf(into);
  view.setBigUint64(at, BigInt(ino), true);
  view.setBigUint64(at + 8, BigInt(next), true);
  view.setUint32(at + 16, bytes.length, true);
  // As readdir(3) has it: the kind of file, without its permissions.
  view.setUint32(at + 20, mode >>> 12, true);
  into.set(bytes, at + 24);
  return at + length;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
