/** Files, pipes and directories of a test, gone when its file is done. */
import { afterAll } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is removed after the tests of the file that asked for it. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "uring-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

let pipes = 0;

/** A pipe, its ends blocking as a shell's are unless `flags` say O_NONBLOCK. The caller closes both. */
export function pipe(directory: string, flags: number = 0): { read: number; write: number } {
  const path = join(directory, `pipe-${pipes++}`);
  const { exitCode, stderr } = Bun.spawnSync(["mkfifo", path]);
  if (exitCode !== 0) throw new Error(`mkfifo failed: ${stderr}`);
  // Opened both ways it waits for nobody, and while it is open neither do the two ends.
  const both = openSync(path, constants.O_RDWR);
  const ends = { read: openSync(path, constants.O_RDONLY | flags), write: openSync(path, constants.O_WRONLY | flags) };
  closeSync(both);
  unlinkSync(path);
  return ends;
}

/** Makes a file and opens it for reading and writing. */
export function openFile(directory: string, name: string, content: string | Uint8Array = ""): number {
  const path = join(directory, name);
  writeFileSync(path, content);
  return openSync(path, "r+");
}

/** Bytes that differ from place to place: no shift and no repetition goes unseen. */
export function pattern(lengthBytes: number, seed: number = 1): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(new ArrayBuffer(lengthBytes));
  let state = seed >>> 0 || 1;
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
