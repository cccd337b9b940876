/**
 * timeout(): Bun looks every four seconds, so that is how long it takes. All cases wait together, over one pair of
 * implementations.
 */
import { expect, test } from "bun:test";
import { patience } from "../support/patience.ts";
import type { Net, Socket } from "./kinds.ts";
import { ours, Stage, theirs } from "./support.ts";

/** The longest that anyone waits: two of Bun's rounds and a little. */
const WAIT_MS = 9000;

/** What is done to a connection, by name. */
const cases: Record<string, (socket: Socket) => unknown> = {
  "one second": (socket) => socket.timeout(1),
  "three seconds": (socket) => socket.timeout(3),
  "five seconds": (socket) => socket.timeout(5),
  "half a second": (socket) => socket.timeout(0.5),
  "one second, and a throw": (socket) => socket.timeout(1),
  "one second in letters": (socket) => socket.timeout("1" as never),
  none: (socket) => socket.timeout(0),
  "a minute": (socket) => socket.timeout(60),
  "taken back": (socket) => [socket.timeout(1), socket.timeout(0)],
  "put off": (socket) => [socket.timeout(1), socket.timeout(100)],
  "brought forward": (socket) => [socket.timeout(100), socket.timeout(1)],
  NaN: (socket) => socket.timeout(Number.NaN),
  nothing: (socket) => (socket.timeout as () => void)(),
  "an object": (socket) => socket.timeout({} as never),
  "less than nothing": (socket) => socket.timeout(-1),
  "with end() after it": (socket) => [socket.timeout(1), setTimeout(() => socket.end(), 100)],
  "with data that goes out meanwhile": (socket) => [socket.timeout(5), every(socket, (busy) => busy.write("out"))],
};

/** Does something to a connection every half second, for nine seconds. */
function every(socket: Socket, act: (socket: Socket) => void): void {
  const timer = setInterval(() => (socket.readyState === 1 ? act(socket) : clearInterval(timer)), 500);
  timer.unref();
}

/** All cases at once: for each the events of its connection, and how long the first timeout took. */
async function timeouts(net: Net): Promise<{ trace: unknown; tookMs: Record<string, number> }> {
  const t = new Stage(net);
  const tookMs: Record<string, number> = {};
  try {
    for (const [name, act] of Object.entries({
      ...cases,
      "with data that comes meanwhile": (s: Socket) => s.timeout(5),
    })) {
      const since = performance.now();
      const timeout = (socket: Socket): void => {
        tookMs[name] = performance.now() - since;
        t.log(name, "state", socket.readyState);
        if (name.endsWith("a throw")) throw new Error("in timeout");
      };
      const socket = t.handlers(name, {
        open: (it) =>
          t.log(
            name,
            "call",
            t.attempt(() => act(it)),
          ),
        timeout,
      });
      const listener = t.server({}, { socket });
      const client = await t.client(listener, { data: () => undefined });
      if (name.endsWith("comes meanwhile")) every(client, (busy) => busy.write("in"));
    }
    await Bun.sleep(WAIT_MS);
    const { logs } = t.trace(undefined);
    const { client: _, ...others } = logs;
    for (const log of Object.values(others)) {
      for (const [i, entry] of log.entries()) if (Array.isArray(entry) && entry[0] === "data") log[i] = "data";
    }
    return { trace: others, tookMs };
  } finally {
    t.over();
  }
}

test(
  "timeout() comes once, in its time, traffic or no traffic",
  async () => {
    const [expected, actual] = await Promise.all([timeouts(theirs), timeouts(ours)]);
    expect(Object.keys(expected.tookMs)).toContain("one second");
    expect(actual.trace).toEqual(expected.trace);
    for (const { tookMs } of [expected, actual]) {
      for (const [name, ms] of Object.entries(tookMs)) {
        const seconds = name === "five seconds" || name.endsWith("meanwhile") ? 5 : 1;
        // Bun's rounds are four seconds apart, and one may be under way already.
        expect(ms).toBeGreaterThan(Math.max(0, seconds - 4) * 1000);
        expect(ms).toBeLessThan((seconds + 4.5) * 1000 * patience);
      }
    }
  },
  WAIT_MS * 3 * patience,
);
