// How the high road lives with its process: exit, Workers, reloading, the test runner, and what it rests on in Bun.
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { syscalls } from "../../syscall/shim.ts";
import { bun, run } from "../support/child.ts";
import { scratchDirectory } from "../support/files.ts";
import { patience } from "../support/patience.ts";
import { outcome, program } from "./support.ts";

const directory = scratchDirectory();
const source = resolve(import.meta.dir, "../../src/async/io.ts");

/** Runs exits.ts; how long it took to the end, and when its last request was done. */
function ends(what: string): { exitCode: number | null; tookMs: number; done: number } {
  const start = performance.now();
  const { exitCode, stdout, stderr } = outcome("exits", [what]);
  if (!stdout.startsWith("{")) throw new Error(`exits.ts ${what}: ${stderr}`);
  return { exitCode, tookMs: performance.now() - start, done: (JSON.parse(stdout) as { done: number }).done };
}

describe("a process", () => {
  test.each(["nothing", "nop", "exit", "close", "unref"])("ends by itself: %s", (what) => {
    const { exitCode, tookMs } = ends(what);
    expect(exitCode).toBe(0);
    expect(tookMs).toBeLessThan(8000);
  });

  test.each(["timeout", "unclosed", "unref with company", "unref and ref", "again and again"])(
    "lives until its last request is done: %s",
    (what) => {
      const { exitCode, done } = ends(what);
      expect(exitCode).toBe(0);
      expect(done).toBeGreaterThan(25);
    },
  );

  test("that only imports it makes no ring", () => {
    writeFileSync(
      join(directory, "import.ts"),
      `import { io } from ${JSON.stringify(source)};
       import { readdirSync, readlinkSync } from "node:fs";
       const rings = () => readdirSync("/proc/self/fd").filter((fd) => {
         try { return readlinkSync("/proc/self/fd/" + fd).includes("io_uring"); } catch { return false; }
       }).length;
       const before = rings();
       await io.nop();
       console.log(before, rings(), io.stats().submitted);`,
    );
    expect(run([...bun, join(directory, "import.ts")]).stdout).toBe("0 1 1\n");
  });
});

describe("Workers", () => {
  test("have rings of their own, at the same time as the main thread", () => {
    expect(program<number[]>("worker")).toEqual(new Array<number>(4).fill(20 * -124));
  });

  test("that are terminated with requests in flight leave the process alive", () => {
    // Bun tells nobody in a Worker that it is terminated: without the compiled shim its ring and eventfd stay open.
    const { growth, nop } = program<{ growth: number; nop: number }>("terminate");
    expect(nop).toBe(0);
    expect(growth).toBeLessThanOrEqual(syscalls().backend === "tinycc" ? 0 : 4 * 2);
  });
});

/** Runs a program that writes itself anew, under a way of watching, until it has been run three times. */
async function reloaded(mode: "--hot" | "--watch"): Promise<string[]> {
  const path = join(directory, `reload${mode}.ts`);
  const text = (round: number): string => `
    import { io } from ${JSON.stringify(source)};
    import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
    import { Timespec } from ${JSON.stringify(resolve(source, "../../ring/structs.ts"))};
    void io.timeout(Timespec.ofMs(60_000)).catch(() => undefined);
    await io.timeout(Timespec.ofMs(20));
    const rings = readdirSync("/proc/self/fd").filter((fd) => {
      try { return readlinkSync("/proc/self/fd/" + fd).includes("io_uring"); } catch { return false; }
    }).length;
    console.log("round ${round}, rings " + rings);`;
  writeFileSync(path, text(1));
  await using child = Bun.spawn([...bun, mode, "--no-clear-screen", path], { stdout: "pipe", stderr: "ignore" });
  const lines: string[] = [];
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    for (const line of decoder.decode(chunk).trim().split("\n")) lines.push(line);
    if (lines.length === 3) break;
    writeFileSync(path, text(lines.length + 1));
  }
  child.kill("SIGKILL");
  return lines;
}

test.each(["--hot", "--watch"] as const)(
  "%s runs the program again on one ring",
  async (mode) => {
    expect(await reloaded(mode)).toEqual(["round 1, rings 1", "round 2, rings 1", "round 3, rings 1"]);
  },
  20_000,
);

test("a process whose watched descriptor somebody has closed goes on, ends, and does not spin", () => {
  const path = join(directory, "closed.ts");
  writeFileSync(
    path,
    `import { io } from ${JSON.stringify(source)};
     import { closeSync, readdirSync, readlinkSync } from "node:fs";
     import { Timespec } from ${JSON.stringify(resolve(source, "../../ring/structs.ts"))};
     const waiting = io.timeout(Timespec.ofMs(200));
     await Bun.sleep(10);
     const watched = readdirSync("/proc/self/fd").filter((fd) => {
       try { return readlinkSync("/proc/self/fd/" + fd) === "anon_inode:[eventfd]"; } catch { return false; }
     });
     closeSync(Number(watched.at(-1)));
     console.log(await waiting, await io.timeout(Timespec.ofMs(20)));
     const before = io.stats().wakes;
     await io.timeout(Timespec.ofMs(500));
     const wakes = io.stats().wakes - before;
     console.log(wakes < 1000 ? "rests" : "spins " + wakes);`,
  );
  const { exitCode, stdout } = run([...bun, path]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "-62 -62\nrests\n" });
}, 20_000);

test("a process without a descriptor to spare goes on, and watches again when it has one", () => {
  const path = join(directory, "crowded.ts");
  writeFileSync(
    path,
    `import { io } from ${JSON.stringify(source)};
     import { closeSync, openSync, readdirSync, readlinkSync } from "node:fs";
     import { Timespec } from ${JSON.stringify(resolve(source, "../../ring/structs.ts"))};
     await io.nop();
     const taken = [];
     try { for (;;) taken.push(openSync("/dev/null", "r")); } catch (error) { console.log(error.code); }
     console.log(await io.timeout(Timespec.ofMs(50)));
     for (const fd of taken) closeSync(fd);
     const watchers = () => readdirSync("/proc/self/fd").filter((fd) => {
       try { return readlinkSync("/proc/self/fd/" + fd) === "anon_inode:[eventfd]"; } catch { return false; }
     }).length;
     const before = watchers();
     const waiting = io.timeout(Timespec.ofMs(2500));
     await io.timeout(Timespec.ofMs(2000));
     console.log(watchers() - before, await waiting);`,
  );
  const { exitCode, stdout } = run(["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", ...bun, path]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "EMFILE\n-62\n1 -62\n" });
}, 20_000);

test("bun test ends with requests in flight", () => {
  const path = join(directory, "inner.test.ts");
  writeFileSync(
    path,
    `import { test, expect } from "bun:test";
     import { io } from ${JSON.stringify(source)};
     import { Timespec } from ${JSON.stringify(resolve(source, "../../ring/structs.ts"))};
     test("inner", async () => {
       void io.timeout(Timespec.ofMs(60_000)).catch(() => undefined);
       expect(await io.timeout(Timespec.ofMs(5))).toBe(-62);
     });`,
  );
  const { exitCode, stderr } = run([...bun, "test", path]);
  expect(stderr).toContain("1 pass");
  expect(exitCode).toBe(0);
}, 20_000);

test("Bun's file stream on an eventfd still keeps the process alive and has no unref", () => {
  // When one of these fails the bell can do without its timer for rings that are unref'd.
  const stream = Bun.file("/dev/null").stream();
  expect("unref" in stream).toBe(false);
  expect("unref" in stream.getReader()).toBe(false);
});

test("opens that wait for each other meet, however small the thread's first ring is", () => {
  const pairs = 20;
  for (let i = 0; i < pairs; i++) expect(run(["mkfifo", join(directory, `pipe ${i}`)]).exitCode).toBe(0);
  const { opened, allowed } = program<{ opened: number; allowed: number }>("workers", [
    directory,
    String(pairs),
    String(5000 * patience),
  ]);
  expect({ opened, enough: allowed >= 2 * pairs }).toEqual({ opened: 2 * pairs, enough: true });
});
