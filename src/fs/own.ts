/** Bun's own functions, for whatever is not asked of the ring. */
import type { BigIntStats, Mode, ReadPosition, StatOptions, Stats, TimeLike } from "node:fs";
import * as promises from "node:fs/promises";

/** The functions of node:fs/promises, taking whatever they are given: to refuse it is theirs. */
export type Own = {
  readonly [Name in keyof typeof promises]: (...args: readonly unknown[]) => Promise<never>;
};

type View = NodeJS.ArrayBufferView;

/** What Bun's module has besides, on descriptors. */
export interface Unlisted {
  /** Closes a descriptor. */
  readonly close: (fd: number) => Promise<void>;
  /** Changes a mode. */
  readonly fchmod: (fd: number, mode: Mode) => Promise<void>;
  /** Changes an owner. */
  readonly fchown: (fd: number, uid: number, gid: number) => Promise<void>;
  /** Flushes data. */
  readonly fdatasync: (fd: number) => Promise<void>;
  /** Tells of a file. */
  readonly fstat: (fd: number, options?: StatOptions) => Promise<Stats | BigIntStats>;
  /** Flushes data and metadata. */
  readonly fsync: (fd: number) => Promise<void>;
  /** Cuts or lengthens a file. */
  readonly ftruncate: (fd: number, len?: number) => Promise<void>;
  /** Changes times. */
  readonly futimes: (fd: number, atime: TimeLike, mtime: TimeLike) => Promise<void>;
  /** Reads; how many bytes that were. */
  readonly read: (
    fd: number,
    buffer: View,
    offset: number,
    length: number,
    position?: ReadPosition | null,
  ) => Promise<number>;
  /** Reads into several buffers. */
  readonly readv: (
    fd: number,
    buffers: readonly View[],
    position?: number | null,
  ) => Promise<{ bytesRead: number; buffers: readonly View[] }>;
  /** Writes; how many bytes that were. */
  readonly write: (
    fd: number,
    data: View | string,
    offset?: number | null,
    length?: number | BufferEncoding | null,
    position?: number | null,
  ) => Promise<number>;
  /** Writes several buffers. */
  readonly writev: (
    fd: number,
    buffers: readonly View[],
    position?: number | null,
  ) => Promise<{ bytesWritten: number; buffers: readonly View[] }>;
}

/** The functions of node:fs/promises. */
export const own: Own = promises as unknown as Own;

/** Those that its types do not list. */
export const unlisted: Unlisted = promises as unknown as Unlisted;
