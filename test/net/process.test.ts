/** What sockets do to a process: whether it lives on, what becomes of errors that nobody handles, and Workers. */
import { describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expectedBackend } from "../support/backend.ts";
import { bun } from "../support/child.ts";
import { patience } from "../support/patience.ts";

const LIMIT_MS = 10_000;

/** How many programs run at a time. */
let free = 4;
const waiting: (() => void)[] = [];

/** Does something once there is a place for it. */
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((resolve) => void waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) free++;
    else next();
  }
}

/** Runs a program of apart.ts to its end. */
async function outcome(
  whose: "theirs" | "ours",
  what: string,
  port: number = 0,
): Promise<{ log: unknown[]; exitCode: number; stderr: string }> {
  const path = join(import.meta.dir, "programs", "apart.ts");
  const child = Bun.spawn([...bun, path, whose, what, String(port)], {
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS * patience,
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const exitCode = await child.exited;
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (!line.startsWith("["))
    throw new Error(`${whose}, ${what}: exit ${exitCode}, ${child.signalCode}: ${stdout}${stderr}`);
  return { log: JSON.parse(line) as unknown[], exitCode, stderr };
}

const all = (await outcome("theirs", "names")).log.slice(0, -1) as string[];
const names = all.filter((name) => !name.startsWith("- "));

describe("a process with", () => {
  test("programs to run", () => {
    expect(names.length).toBeGreaterThan(30);
  });

  test.concurrent.each(names)(
    "%s",
    async (name) => {
      const [expected, actual] = await Promise.all([
        inTurn(async () => outcome("theirs", name)),
        inTurn(async () => outcome("ours", name)),
      ]);
      const of = ({ log, exitCode, stderr }: typeof expected): unknown => ({
        log,
        exitCode,
        // Where in which file it was is another matter.
        said: stderr.split("\n").filter((line) => /^(error|[A-Za-z]*Error)\b/.test(line)),
      });
      expect(of(actual)).toEqual(of(expected));
    },
    10 * LIMIT_MS * patience,
  );
});

/** What a program has said to a listener when it had ended. */
async function lastWords(whose: "theirs" | "ours", what: string): Promise<{ exitCode: number; heard: string }> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const listener = createServer((socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
    socket.on("error", (error: Error & { code?: string }) => resolve(`${Buffer.concat(chunks)} ${error.code}`));
    socket.on("end", () => resolve(String(Buffer.concat(chunks))));
  });
  await new Promise<void>((listening) => void listener.listen(0, "127.0.0.1", listening));
  try {
    const { port } = listener.address() as { port: number };
    const { exitCode } = await outcome(whose, what, port);
    return { exitCode, heard: await promise };
  } finally {
    listener.close();
  }
}

test.concurrent.each(all.filter((name) => / exit$|keeps it$|catches$/.test(name) && name.startsWith("- ")))(
  "what a process says before its end is heard: %s",
  async (name) => {
    const expected = await inTurn(async () => lastWords("theirs", name));
    expect(expected.heard).toMatch(/last words|z$/);
    expect(await inTurn(async () => lastWords("ours", name))).toEqual(expected);
  },
  10 * LIMIT_MS * patience,
);

/** What became of what a program wrote to a listener that reads only later. */
interface Lost {
  /** Whether the program ended before anything was read. */
  endsUnread: boolean;
  /** How many bytes of those that were taken did not arrive. */
  lost: number;
  /** Whether there were any. */
  wrote: boolean;
}

/** How much of what a program wrote to a listener that reads only later was lost. */
async function lost(whose: "theirs" | "ours", what: string): Promise<Lost> {
  const { promise: all, resolve } = Promise.withResolvers<number>();
  let read: () => void = () => undefined;
  const listener = createServer((socket) => {
    let got = 0;
    socket.on("error", () => resolve(got)).on("close", () => resolve(got));
    socket.pause();
    read = () => void socket.on("data", ({ length }: Buffer) => (got += length)).resume();
  });
  await new Promise<void>((listening) => void listener.listen(0, "127.0.0.1", listening));
  try {
    const { port } = listener.address() as { port: number };
    const running = outcome(whose, what, port);
    const endsUnread = await Promise.race([running.then(() => true), Bun.sleep(1500 * patience).then(() => false)]);
    read();
    const { log } = await running;
    return { endsUnread, lost: (log[0] as number) - (await all), wrote: (log[0] as number) > 0 };
  } finally {
    listener.close();
  }
}

/**
 * Where the module does something else than Bun's own: what is short is gathered and sent at the end of the tick, and
 * so it may be taken without the kernel having room. Bun's own takes what the kernel has taken, and no more.
 */
const gathered: Readonly<Record<string, { endsUnread: boolean; mostLost: number }>> = {
  // The process stays until the peer has read the rest.
  "- full of little, then end()": { endsUnread: false, mostLost: 0 },
  // Nothing can stay.
  "- full of little, then process.exit()": { endsUnread: true, mostLost: 65_536 },
};

test.concurrent.each(all.filter((name) => name.startsWith("- full")))(
  "a process whose peer reads later: %s",
  async (name) => {
    const expected = await inTurn(async () => lost("theirs", name));
    expect(expected).toEqual({ endsUnread: true, lost: 0, wrote: true });
    const actual = await inTurn(async () => lost("ours", name));
    const known = expectedBackend === "uring" ? gathered[name] : undefined;
    if (known === undefined) expect(actual).toEqual(expected);
    else {
      expect(actual).toEqual({ ...expected, endsUnread: known.endsUnread, lost: actual.lost });
      expect(actual.lost).toBeWithin(0, known.mostLost + 1);
    }
  },
  10 * LIMIT_MS * patience,
);

/** Connects 100 times to a listener with few descriptors; how many more are greeted whenever 20 have gone. */
async function crowd(whose: "theirs" | "ours"): Promise<{ first: boolean; more: number[] }> {
  const path = join(import.meta.dir, "programs", "apart.ts");
  const few = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"];
  const child = Bun.spawn([...few, ...bun, path, whose, "- a greeter"], { stdout: "pipe", stderr: "inherit" });
  const sockets: Socket[] = [];
  try {
    const { value } = await child.stdout.getReader().read();
    const port = Number(new TextDecoder().decode(value));
    let greeted = 0;
    /** How many were greeted when nobody more is; those that must be are waited for. */
    const settle = async (least: number): Promise<number> => {
      const until = performance.now() + 5000 * patience;
      while (greeted < least && performance.now() < until) await Bun.sleep(10);
      for (let before = -1; before !== greeted; await Bun.sleep(150 * patience)) before = greeted;
      return greeted;
    };
    for (let i = 0; i < 100; i++) {
      const socket = connect(port, "127.0.0.1");
      socket.once("data", () => [greeted++, sockets.push(socket)]);
      socket.on("error", () => undefined);
    }
    const first = await settle(40);
    const more: number[] = [];
    for (let round = 0; round < 2; round++) {
      for (const socket of sockets.splice(0, 20)) socket.destroy();
      const before = greeted;
      more.push((await settle(before + 20)) - before);
    }
    return { first: first > 20 && first < 64, more };
  } finally {
    for (const socket of sockets) socket.destroy();
    child.kill();
    await child.exited;
  }
}

test(
  "a listener that is out of descriptors serves those who wait as soon as it has some again",
  async () => {
    const expected = await crowd("theirs");
    expect(expected).toEqual({ first: true, more: [20, 20] });
    expect(await crowd("ours")).toEqual(expected);
  },
  20_000 * patience,
);
