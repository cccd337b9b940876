/** The operations of the kernel that this room uses. */
import { IORING_FSYNC_DATASYNC } from "../abi/constants.gen.ts";
import type { Operation } from "../async/request.ts";
import {
  prepFadvise,
  prepFsync,
  prepFtruncate,
  prepLink,
  prepMkdir,
  prepRename,
  prepStatx,
  prepSymlink,
  prepUnlink,
} from "../ring/prep/fs.ts";
import { prepClose, prepOpen } from "../ring/prep/open.ts";
import { prepPollAdd } from "../ring/prep/poll.ts";
import { prepRead, prepReadv, prepWrite, prepWritev } from "../ring/prep/rw.ts";

function operation(name: string, prep: Operation["prep"]): Operation {
  // A job that is given up closes what it has opened by itself.
  return { name, prep, yields: "count", wide: false };
}

/** Opens a path: path, flags, mode. */
export const OPEN: Operation = operation("IORING_OP_OPENAT", prepOpen);
/** Closes a descriptor. */
export const CLOSE: Operation = operation("IORING_OP_CLOSE", prepClose);
/** Reads: descriptor, memory, position, length. */
export const READ: Operation = operation("IORING_OP_READ", prepRead);
/** Writes: descriptor, memory, position, length. */
export const WRITE: Operation = operation("IORING_OP_WRITE", prepWrite);
/** Reads into several buffers: descriptor, iovecs, position. */
export const READV: Operation = operation("IORING_OP_READV", prepReadv);
/** Writes several buffers: descriptor, iovecs, position. */
export const WRITEV: Operation = operation("IORING_OP_WRITEV", prepWritev);
/** Flushes data and metadata. */
export const FSYNC: Operation = operation("IORING_OP_FSYNC", prepFsync);
/** What makes {@link FSYNC} leave out metadata. */
export const DATA_ONLY: number = IORING_FSYNC_DATASYNC;
/** Cuts or lengthens: descriptor, length. */
export const FTRUNCATE: Operation = operation("IORING_OP_FTRUNCATE", prepFtruncate);
/** Tells of a file: directory, path, flags, mask, room. */
export const STATX: Operation = operation("IORING_OP_STATX", prepStatx);
/** Announces how a file will be read: descriptor, offset, length, advice. */
export const FADVISE: Operation = operation("IORING_OP_FADVISE", prepFadvise);
/** Waits for readiness: descriptor, events. */
export const POLL: Operation = operation("IORING_OP_POLL_ADD", prepPollAdd);
/** Removes a name: path, flags. */
export const UNLINK: Operation = operation("IORING_OP_UNLINKAT", prepUnlink);
/** Renames: old path, new path. */
export const RENAME: Operation = operation("IORING_OP_RENAMEAT", prepRename);
/** Makes a directory: path, mode. */
export const MKDIR: Operation = operation("IORING_OP_MKDIRAT", prepMkdir);
/** Makes a symbolic link: target, path. */
export const SYMLINK: Operation = operation("IORING_OP_SYMLINKAT", prepSymlink);
/** Makes a hard link: old path, new path. */
export const LINK: Operation = operation("IORING_OP_LINKAT", prepLink);
