/**
 * Long random sequences of calls, the same with `bun-uring/fs` and `node:fs/promises`: what one leaves behind, the next
 * one works on. The seed stands in the test's name.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import * as oracle from "node:fs/promises";
import * as subject from "../../src/fs/index.ts";
import { patience } from "../support/patience.ts";
import { type Ending, type Fs, observe, type Run, settle } from "./harness.ts";

setDefaultTimeout(30_000 * patience);

const STEPS = 150;
const FILES = ["a", "b", "c", "vacant/d", "vacant/e", "sub/a.txt", "hello.txt", "large.bin", "link"];
const DIRECTORIES = ["vacant", "vacant/x", "vacant/x/y", "sub", "new", "new/x"];
const FLAGS = ["r", "r+", "w", "w+", "a", "a+", "wx"];

/** Numbers that follow from a seed. */
type Draw = (below: number) => number;

function drawing(seed: number): Draw {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What a sequence works with. */
interface Scene {
  readonly fs: Fs;
  readonly draw: Draw;
  readonly file: () => string;
  readonly directory: () => string;
  readonly bytes: () => Buffer;
  // The handles that are open, and some that are closed.
  readonly handles: any[];
}

/** A handle, if there is one, and a place in its file or the place where it is. */
function withHandle(scene: Scene, use: (handle: any, position: number | null) => unknown): unknown {
  const { draw, handles } = scene;
  if (handles.length === 0) return undefined;
  return use(handles[draw(handles.length)], draw(2) === 0 ? null : draw(3000));
}

/** Whether writev()'s error has the descriptor is one of the known divergences. */
async function withoutFd(call: Promise<unknown>): Promise<unknown> {
  return call.catch((error: { fd?: number }) => {
    delete error.fd;
    throw error;
  });
}

const steps: readonly ((scene: Scene) => unknown)[] = [
  ({ fs, file }) => fs.readFile(file()),
  ({ fs, file }) => fs.readFile(file(), "latin1"),
  ({ fs, file, bytes }) => fs.writeFile(file(), bytes()),
  ({ fs, file, draw }) => fs.writeFile(file(), "ü€🙂".repeat(draw(200)), { flag: FLAGS[draw(FLAGS.length)] }),
  ({ fs, file, bytes }) => fs.appendFile(file(), bytes()),
  ({ fs, file }) => fs.stat(file()),
  ({ fs, directory }) => fs.lstat(directory(), { bigint: true }),
  ({ fs, file }) => fs.rename(file(), file()),
  ({ fs, file }) => fs.link(file(), file()),
  ({ fs, file, draw }) => fs.symlink(["a", "b", "sub/a.txt", "nowhere"][draw(4)], file()),
  ({ fs, file }) => fs.unlink(file()),
  ({ fs, directory }) => fs.mkdir(directory()),
  ({ fs, directory }) => fs.mkdir(directory(), { recursive: true }),
  ({ fs, directory }) => fs.rmdir(directory()),
  async ({ fs, directory }) => (await fs.readdir(directory())).toSorted(),
  ({ fs, file, draw }) => fs.truncate(file(), draw(5000)),
  ({ fs, file }) => fs.copyFile(file(), file()),
  ({ fs, file, draw }) => fs.chmod(file(), [0o600, 0o644, 0o640][draw(3)]),
  ({ fs, file, draw }) => fs.utimes(file(), draw(2 ** 30), draw(2 ** 30)),
  async ({ fs, file, draw, handles }) => void handles.push(await fs.open(file(), FLAGS[draw(FLAGS.length)])),
  async ({ fs, file, draw, handles }) => void handles.push(await fs.open(file(), FLAGS[draw(FLAGS.length)])),
  (scene) => withHandle(scene, (handle, place) => handle.read(Buffer.alloc(700, "."), 5, scene.draw(600), place)),
  (scene) => withHandle(scene, (handle, place) => handle.readv([Buffer.alloc(3), Buffer.alloc(scene.draw(90))], place)),
  (scene) => withHandle(scene, (handle, place) => handle.write(scene.bytes(), 0, undefined, place)),
  (scene) => withHandle(scene, (handle, place) => handle.write("text ü", place)),
  (scene) => withHandle(scene, (handle, place) => withoutFd(handle.writev([scene.bytes(), Buffer.from("|")], place))),
  (scene) => withHandle(scene, (handle) => handle.readFile()),
  (scene) => withHandle(scene, (handle) => handle.writeFile(scene.bytes())),
  (scene) => withHandle(scene, (handle) => handle.appendFile("appended")),
  (scene) => withHandle(scene, (handle) => handle.stat()),
  (scene) => withHandle(scene, (handle) => handle.truncate(scene.draw(4000))),
  (scene) => withHandle(scene, (handle) => handle.datasync()),
  (scene) => withHandle(scene, (handle) => (scene.draw(3) === 0 ? handle.close() : handle.fd >= 0)),
  // Several at once, none of which minds the others.
  ({ fs, file }) => Promise.allSettled(Array.from({ length: 10 }, () => fs.readFile(file()))),
  ({ fs, draw }) => Promise.allSettled(Array.from({ length: 5 }, (_, i) => fs.writeFile(`many${i}`, `${draw(99)}`))),
];

/** A sequence as a case. Paths are relative to the directory. */
function sequence(seed: number): Run {
  return async (fs, dir) => {
    const draw = drawing(seed);
    const before = process.cwd();
    const handles: any[] = [];
    const scene: Scene = {
      fs,
      draw,
      handles,
      file: () => FILES[draw(FILES.length)] ?? "",
      directory: () => DIRECTORIES[draw(DIRECTORIES.length)] ?? "",
      bytes: () => Buffer.alloc(draw(2) === 0 ? draw(40) : draw(9000), draw(256)),
    };
    const endings: Ending[] = [];
    process.chdir(dir);
    try {
      for (let i = 0; i < STEPS; i++) {
        const step = steps[draw(steps.length)];
        endings.push(await settle(async () => step?.(scene)));
      }
    } finally {
      process.chdir(before);
      for (const handle of handles) await handle.close();
    }
    return endings;
  };
}

describe("a random sequence of calls", () => {
  const fresh = Math.floor(Math.random() * 2 ** 32);
  test.each([...Array.from({ length: 30 }, (_, i) => i + 1), fresh])("has the same ends, seed %d", async (seed) => {
    const [ours, theirs] = [await observe(subject, sequence(seed)), await observe(oracle, sequence(seed))];
    expect(ours).toEqual(theirs);
    const resolved = (theirs.ending.value as Ending[]).filter(({ how }) => how === "resolved");
    expect(resolved.length).toBeGreaterThan(STEPS / 4);
  });
});

/** Reads and writes that are aborted at some time or other: how each ended, and whether it was as it has to be. */
function abortions(seed: number): Run {
  return async (fs, dir) => {
    const draw = drawing(seed);
    const content = await oracle.readFile(`${dir}/large.bin`);
    const reason = new RangeError("enough");
    const wrong: unknown[] = [];
    const one = async (i: number): Promise<void> => {
      const controller = new AbortController();
      const { signal } = controller;
      const path = `${dir}/file ${i}`;
      const writes = draw(2) === 0;
      const call = settle(() =>
        writes ? fs.writeFile(path, content, { signal }) : fs.readFile(`${dir}/large.bin`, { signal }),
      );
      const when = draw(4);
      if (when === 1) await Promise.resolve();
      if (when > 1) await Bun.sleep(draw(3));
      controller.abort(draw(2) === 0 ? undefined : reason);
      const { how, value } = await call;
      const right = how === "resolved" ? writes || (value as Buffer).equals(content) : isAbortion(value, reason);
      if (!right) wrong.push([i, how, value]);
      await oracle.rm(path, { force: true });
    };
    await Promise.all(Array.from({ length: 60 }, (_, i) => one(i)));
    return wrong;
  };
}

/** The error of what was aborted; Bun gives the reason of one's own as it is, or as the cause of its own error. */
function isAbortion(value: unknown, reason: Error): boolean {
  const { name, code, cause } = value as { name?: string; code?: unknown; cause?: unknown };
  return value === reason || cause === reason || (name === "AbortError" && (code === "ABORT_ERR" || code === 20));
}

test.each([1, 2, 3, 4])("calls that are aborted at any time leave nothing behind, seed %d", async (seed) => {
  const ours = await observe(subject, abortions(seed));
  expect(ours.ending).toEqual({ how: "resolved", value: [] });
  expect(ours).toEqual(await observe(oracle, abortions(seed)));
});
