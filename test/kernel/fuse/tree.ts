/** A file system of one directory, in memory: what becomes of each request. */
import { EISDIR, ENOENT, ENOSYS } from "../../../src/index.ts";
import {
  type Attributes,
  FUSE_ACCESS,
  FUSE_FLUSH,
  FUSE_GETATTR,
  FUSE_LOOKUP,
  FUSE_OPEN,
  FUSE_OPENDIR,
  FUSE_READ,
  FUSE_READDIR,
  FUSE_RELEASE,
  FUSE_RELEASEDIR,
  FUSE_SETATTR,
  FUSE_STATFS,
  FUSE_WRITE,
  S_IFDIR,
  S_IFREG,
  writeAttrOut,
  writeDirent,
  writeEntryOut,
  writeStatfsOut,
} from "./abi.ts";

/** A request to the file system. */
export interface Question {
  /** FUSE_*. */
  readonly opcode: number;
  /** The file that it is about. */
  readonly node: number;
  /** Its arguments of a fixed size. */
  readonly args: DataView;
  /** What else came with it: the first so many bytes of the room. */
  readonly lengthBytes: number;
  /** Where its answer goes as well. */
  readonly room: Buffer;
}

/** The directory's own number, which is the same on every FUSE. */
const ROOT = 1;
const FIRST_FILE = 2;
const FATTR_SIZE = 1 << 3;

/** Files by their names. */
export class Tree {
  readonly #names: readonly string[];
  readonly #contents: Buffer[];

  constructor(files: Readonly<Record<string, Uint8Array>>) {
    this.#names = Object.keys(files);
    this.#contents = Object.values(files).map((content) => Buffer.from(content));
  }

  /** What is in a file now. */
  content(name: string): Buffer {
    return this.#contents[this.#names.indexOf(name)] as Buffer;
  }

  /**
   * Does what a request asks for.
   *
   * @returns how many bytes of its room are the answer, or `-errno`.
   */
  answer(question: Question): number {
    const { opcode, node, room } = question;
    switch (opcode) {
      case FUSE_LOOKUP:
        return this.#lookup(question);
      case FUSE_GETATTR:
        return writeAttrOut(room, this.#attributes(node));
      case FUSE_SETATTR:
        return this.#setattr(question);
      case FUSE_OPEN:
      case FUSE_OPENDIR:
        // struct fuse_open_out: a file has no state while it is open, and nothing special.
        room.fill(0, 0, 16);
        return 16;
      case FUSE_READ:
        return this.#read(question);
      case FUSE_WRITE:
        return this.#write(question);
      case FUSE_READDIR:
        return this.#readdir(question);
      case FUSE_STATFS:
        return writeStatfsOut(room, this.#names.length);
      case FUSE_RELEASE:
      case FUSE_RELEASEDIR:
      case FUSE_FLUSH:
      case FUSE_ACCESS:
        return 0;
      default:
        return -ENOSYS;
    }
  }

  #attributes(node: number): Attributes {
    if (node === ROOT) return { ino: ROOT, mode: S_IFDIR | 0o755, sizeBytes: 0 };
    return { ino: node, mode: S_IFREG | 0o644, sizeBytes: (this.#contents[node - FIRST_FILE] as Buffer).length };
  }

  #lookup({ lengthBytes, room }: Question): number {
    // A name and a NUL.
    const index = this.#names.indexOf(room.toString("utf8", 0, lengthBytes - 1));
    return index < 0 ? -ENOENT : writeEntryOut(room, this.#attributes(index + FIRST_FILE));
  }

  #setattr({ node, args, room }: Question): number {
    if ((args.getUint32(0, true) & FATTR_SIZE) !== 0) {
      if (node === ROOT) return -EISDIR;
      this.#resize(node, Number(args.getBigUint64(16, true)));
    }
    return writeAttrOut(room, this.#attributes(node));
  }

  #resize(node: number, sizeBytes: number): void {
    const old = this.#contents[node - FIRST_FILE] as Buffer;
    const content = Buffer.alloc(sizeBytes);
    old.copy(content);
    this.#contents[node - FIRST_FILE] = content;
  }

  #read({ node, args, room }: Question): number {
    const [offset, size] = extent(args);
    return (this.#contents[node - FIRST_FILE] as Buffer).copy(room, 0, offset, offset + size);
  }

  #write({ node, args, room }: Question): number {
    const [offset, size] = extent(args);
    const end = offset + size;
    if (end > this.#attributes(node).sizeBytes) this.#resize(node, end);
    room.copy(this.#contents[node - FIRST_FILE] as Buffer, offset, 0, size);
    // struct fuse_write_out.
    room.fill(0, 0, 8);
    room.writeUInt32LE(size);
    return 8;
  }

  #readdir({ args, room }: Question): number {
    const [first, size] = extent(args);
    const names = [".", "..", ...this.#names];
    let length = 0;
    for (let i = first; i < names.length; i++) {
      const attributes = this.#attributes(Math.max(i - 1, ROOT));
      const end = writeDirent(room, length, size, names[i] as string, attributes, i + 1);
      if (end === length) break;
      length = end;
    }
    return length;
  }
}

/** Where reading or writing begins and how much of it there is, in struct fuse_read_in and struct fuse_write_in. */
function extent(args: DataView): [offset: number, size: number] {
  return [Number(args.getBigUint64(8, true)), args.getUint32(16, true)];
}
