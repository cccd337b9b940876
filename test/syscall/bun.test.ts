/**
 * What is worked around in Bun itself. When a test here fails, Bun has changed and the workaround named `// Bun:` may
 * go. This file and the two doors are the only ones that import bun:ffi; it does so because it has to call what the
 * doors avoid.
 */
import { cc, linkSymbols, ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { syscalls } from "../../syscall/shim.ts";

type Echo = (value: number) => number;

/** An unsigned number that comes back as it was, bound by cc itself and by linkSymbols: or why TinyCC is not there. */
function echoes(): { direct: Echo; linked: Echo } | Error {
  const directory = mkdtempSync(join(tmpdir(), "uring-cc-"));
  const path = join(directory, "echo.c");
  writeFileSync(path, "unsigned echo(unsigned x) { return x; }\nvoid *address(void) { return (void *)echo; }\n");
  try {
    const library = cc({
      source: path,
      flags: "-nostdlib",
      symbols: { echo: { args: ["u32"], returns: "u32" }, address: { args: [], returns: "ptr" } },
    });
    const address = library.symbols.address() as NonNullable<ReturnType<typeof library.symbols.address>>;
    const linked = linkSymbols({ echo: { ptr: address, args: ["u32"], returns: "u32" } });
    kept.push(library, linked);
    return { direct: library.symbols.echo as Echo, linked: linked.symbols.echo as Echo };
  } catch (error) {
    return error as Error;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

// The code lives as long as the library object that made it.
const kept: unknown[] = [];
const made = echoes();
const withCompiler = test.skipIf(made instanceof Error);
const doubles = new Float64Array([7, 2 ** 31 + 5]);

test("syscalls() runs on TinyCC exactly where cc() can compile", () => {
  expect(syscalls().backend).toBe(made instanceof Error ? "libc" : "tinycc");
  if (made instanceof Error) expect(made.message).toContain("C compiler is disabled");
});

// When this fails, shim.ts may call what cc() binds, if that is as fast as linkSymbols() by then.
withCompiler("cc() still hands a 32-bit argument that is held as a double on wrongly (needs TinyCC)", () => {
  if (made instanceof Error) throw made;
  expect(made.direct(7)).toBe(7);
  expect(made.direct(doubles[0] as number)).not.toBe(7);
  expect(made.direct(doubles[1] as number)).not.toBe(2 ** 31 + 5);
});

withCompiler("linkSymbols() hands it on rightly, however warm the call is (needs TinyCC)", () => {
  if (made instanceof Error) throw made;
  const { linked } = made;
  for (let round = 0; round < 2; round++) {
    expect(linked(doubles[0] as number)).toBe(7);
    expect(linked(doubles[1] as number)).toBe(2 ** 31 + 5);
    expect(linked(14 / 2)).toBe(7);
    expect(linked(true as unknown as number)).toBe(1);
    for (let i = 0; i < 200_000; i++) linked(i & 7);
  }
});

// When this fails, addressOf() in src/memory.ts need not touch a view's buffer before it takes the address.
test("ptr() still gives an address that a small typed array leaves when its buffer is touched", () => {
  const view = new Uint8Array(64);
  // Lifetime: nothing is read or written through these addresses.
  const before = ptr(view);
  expect(view.buffer.byteLength).toBe(64);
  // Lifetime: as above.
  expect(ptr(view)).not.toBe(before);
});

test("a Worker that is terminated still runs no handler of its exit", async () => {
  const words = new Int32Array(new SharedArrayBuffer(4));
  const text = `
    const { parentPort, workerData } = require("node:worker_threads");
    process.on("exit", () => void (workerData[0] = 1));
    parentPort.on("message", () => process.exit());
    parentPort.postMessage("up");`;
  for (const [end, told] of [
    ["exit", 1],
    ["terminate", 0],
  ] as const) {
    words[0] = 0;
    const worker = new Worker(text, { eval: true, workerData: words });
    await once(worker, "message");
    if (end === "exit") worker.postMessage("leave");
    else void worker.terminate();
    await once(worker, "exit");
    expect([end, words[0]]).toEqual([end, told]);
  }
});
