/** Paths as Linux has them: bytes. A name found in a directory need not be UTF-8, and is copied all the same. */

/** A path, in the two forms that it is asked for. */
export class FilePath {
  /** With the NUL that the ring's operations want at the end. */
  readonly terminated: Buffer;

  constructor(bytes: Uint8Array) {
    this.terminated = Buffer.concat([bytes, Buffer.of(0)]);
  }

  /** A path from the command line. Bun reads that as UTF-8: a name that is none cannot be given there. */
  static of(text: string): FilePath {
    return new FilePath(Buffer.from(text));
  }

  /** Without the NUL, as node:fs wants it. */
  get bytes(): Buffer {
    return this.terminated.subarray(0, -1);
  }

  /** Whether it ends in a slash, and so can name nothing but a directory. */
  get namesDirectory(): boolean {
    return this.bytes.at(-1) === SLASH;
  }

  /** What is called `name` in this directory. */
  join(name: Uint8Array): FilePath {
    const slash = this.namesDirectory ? [] : [Buffer.of(SLASH)];
    return new FilePath(Buffer.concat([this.bytes, ...slash, name]));
  }

  /** The last part of it, without slashes: what a copy in another directory is called. */
  get name(): Buffer {
    const bytes = this.bytes;
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === SLASH) end--;
    return bytes.subarray(bytes.subarray(0, end).lastIndexOf(SLASH) + 1, end);
  }

  /** One string for each path, whatever its bytes: a key for maps and sets. */
  get key(): string {
    return this.bytes.toString("latin1");
  }
}

const SLASH = 0x2f;
