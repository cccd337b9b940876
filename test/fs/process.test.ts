/** How the module lives with its process: what is not awaited is done all the same, and what is not caught ends it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bun, run } from "../support/child.ts";
import { patience } from "../support/patience.ts";

setDefaultTimeout(30_000 * patience);

const modules = { ours: resolve(import.meta.dir, "../../src/fs/index.ts"), theirs: "node:fs/promises" };

/** Programs that use `fs`, in a directory of their own; the last line is what they print at last. */
const programs: Readonly<Record<string, string>> = {
  "leaves writes to themselves": `
    void fs.writeFile("one", "1".repeat(100_000));
    void fs.mkdir("two").then(() => fs.writeFile("two/three", "3"));
    console.log("end");`,
  "leaves a handle's writes to themselves": `
    const handle = await fs.open("file", "w");
    void handle.write("written");
    void handle.close().then(() => console.log("closed"));`,
  "does not catch an error": `
    void fs.readFile("missing");
    setTimeout(() => console.log("never"), 5000);`,
  "hears of an error that is not caught": `
    process.on("unhandledRejection", (error) => console.log(error.code, error.message));
    void fs.stat("missing");`,
  "exits with requests under way": `
    for (let i = 0; i < 50; i++) void fs.readFile("/proc/version");
    process.exit(7);`,
  "waits for nobody else": `
    await Bun.spawn(["mkfifo", "fifo"]).exited;
    void fs.readFile("fifo", "utf8").then((text) => console.log("read", text));
    await fs.writeFile("fifo", "through");
    console.log("written");`,
  "catches at its top": `
    try {
      await fs.rmdir("missing");
    } catch (error) {
      console.log(error.code, error.syscall, error.path, JSON.stringify(error));
    }`,
  "keeps the context of its caller": `
    const { AsyncLocalStorage } = await import("node:async_hooks");
    const store = new AsyncLocalStorage();
    await store.run("inside", async () => {
      await fs.writeFile("file", "x");
      console.log(store.getStore());
      await fs.stat("file").then(() => console.log(store.getStore()));
      const handle = await fs.open("file");
      await handle.read(Buffer.alloc(1)).then(() => console.log(store.getStore()));
      await handle.close().finally(() => console.log(store.getStore()));
    });
    console.log(store.getStore());`,
  "uses it in a Worker": `
    const text = \`
      import * as fs from \${JSON.stringify(process.env.MODULE)};
      await fs.writeFile("by a worker", "x");
      postMessage((await fs.stat("by a worker")).size);
    \`;
    await fs.writeFile("by the main thread", "x");
    const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "application/typescript" })));
    console.log(await new Promise((done, failed) => {
      worker.onmessage = ({ data }) => done(data);
      worker.onerror = ({ message }) => failed(message);
    }));
    worker.terminate();`,
};

/** Runs a program with one of the modules: how it ended, what it said, and what it left. */
function ending(module: string, text: string): unknown {
  const directory = mkdtempSync(join(tmpdir(), "uring-test-fs-"));
  try {
    const program = `process.env.MODULE = ${JSON.stringify(module)};
      process.chdir(${JSON.stringify(directory)});
      const fs = await import(${JSON.stringify(module)});${text}`;
    const { exitCode, signal, stdout, stderr } = run([...bun, "-e", program]);
    const names = readdirSync(directory, { recursive: true, withFileTypes: true });
    const files = names
      .filter((name) => name.isFile())
      .map(({ name, parentPath }) => [name, readFileSync(join(parentPath, name), "latin1")])
      .toSorted();
    const complaint = /^.*(ENOENT|Error).*$/m.exec(stderr)?.[0];
    return { exitCode, signal, said: stdout.split("\n").toSorted(), complaint, files };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("a process that", () => {
  test.each(Object.entries(programs))("%s ends as it does with node:fs/promises", (_, text) => {
    const theirs = ending(modules.theirs, text);
    expect(ending(modules.ours, text)).toEqual(theirs);
    expect(theirs).not.toMatchObject({ said: [""], complaint: undefined, files: [], exitCode: 0 });
  });
});
