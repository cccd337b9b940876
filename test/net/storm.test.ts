/**
 * Connections by the hundred that write, pause, end, reset and are forgotten at random, from a seed. Whatever happens,
 * what arrives is the beginning of what was sent, every connection is closed once, and nothing is left open.
 */
import { describe, expect, test } from "bun:test";
import { descriptors, isSocket } from "../support/descriptors.ts";
import { patience } from "../support/patience.ts";
import type { Handlers, Net, Socket } from "./kinds.ts";
import { ours, theirs } from "./support.ts";

const RUN_MS = 800 * patience;

/** What one end of a connection has sent and got; the byte at place i of a stream is known from its seed. */
interface End {
  seed: number;
  sent: number;
  got: number;
  wrong: number;
  opened: number;
  closed: number;
  ended: number;
}

/** The byte of a stream at a place. */
function byteAt(seed: number, place: number): number {
  return (Math.imul(place + seed, 0x9e3779b1) >>> 24) & 0xff;
}

class Storm {
  readonly net: Net;
  readonly ends: End[] = [];
  readonly #clients = new Map<Socket, End>();
  #state: number;

  constructor(net: Net, seed: number) {
    this.net = net;
    this.#state = seed;
  }

  random(below: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * below);
  }

  /** Handlers of one end: it takes in what comes, and does something at random now and then. */
  handlers(endOf: (socket: Socket) => End | undefined): Handlers {
    const now = (socket: Socket): void => {
      const end = endOf(socket);
      if (end !== undefined) this.act(socket, end);
    };
    return {
      drain: now,
      data: (socket, data) => {
        const end = endOf(socket);
        if (end === undefined) return;
        if (end.closed > 0 || end.ended > 0) end.wrong++;
        // The streams of both ends of a connection have the same seed.
        for (let i = 0; i < data.length; i++) if (data[i] !== byteAt(end.seed, end.got + i)) end.wrong++;
        end.got += data.length;
        now(socket);
      },
      end: (socket) => void (endOf(socket) ?? { ended: 0 }).ended++,
      close: (socket) => void (endOf(socket) ?? { closed: 0 }).closed++,
    };
  }

  /** Does one thing. */
  act(socket: Socket, end: End): void {
    const what = this.random(100);
    if (what < 70) this.send(socket, end, 1 + this.random(what < 5 ? 2_000_000 : 3000));
    else if (what < 80) socket.pause();
    else if (what < 90) socket.resume();
    else if (what < 92) Bun.gc(this.random(4) === 0);
    else if (what < 94) socket.end();
    else if (what < 95) socket.terminate();
    else if (what < 96) socket.shutdown();
    else setTimeout(() => this.act(socket, end), this.random(10));
  }

  /** Writes the next bytes of a stream, and then writes over the buffer. */
  send(socket: Socket, end: End, length: number): void {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = byteAt(end.seed, end.sent + i);
    end.sent += Math.max(0, socket.write(bytes));
    bytes.fill(0xee);
  }

  /** One connection more, both ends in {@link ends}, or none where it is over before it begins. */
  async connect(port: number): Promise<void> {
    const end = this.begin(this.random(2 ** 31));
    const handlers = this.handlers(() => end);
    const open = (socket: Socket): void => {
      end.opened++;
      // The listener learns the seed from the first four bytes.
      socket.write(Uint8Array.of(end.seed, end.seed >>> 8, end.seed >>> 16, end.seed >>> 24));
    };
    const socket = await this.net.connect<unknown>({ hostname: "127.0.0.1", port, socket: { ...handlers, open } });
    this.#clients.set(socket, end);
  }

  begin(seed: number): End {
    const end = { seed, sent: 0, got: 0, wrong: 0, opened: 0, closed: 0, ended: 0 };
    this.ends.push(end);
    return end;
  }

  /** The listener's handlers: its ends are the connections' data. */
  listening(): Handlers {
    const heads = new WeakMap<Socket, number[]>();
    const handlers = this.handlers((socket) => socket.data as End | undefined);
    return {
      ...handlers,
      data: (socket, data) => {
        let rest = data;
        if (socket.data === undefined) {
          const head = heads.get(socket) ?? [];
          heads.set(socket, head);
          while (head.length < 4 && rest.length > 0) [head.push(rest[0] ?? 0), (rest = rest.subarray(1))];
          if (head.length < 4) return;
          const end = this.begin(Buffer.from(head).readUInt32LE(0));
          end.opened++;
          socket.data = end;
        }
        handlers.data?.(socket, rest);
      },
    };
  }

  /** Lets it rage, and then ends all that is left. */
  async run(): Promise<{ connections: number; got: number }> {
    const before = descriptors(isSocket);
    const listener = this.net.listen<unknown>({ hostname: "127.0.0.1", port: 0, socket: this.listening() });
    const until = performance.now() + RUN_MS;
    while (performance.now() < until || this.ends.length <= 50) {
      await Promise.all(Array.from({ length: 20 }, () => this.connect(listener.port)));
      for (let i = 0; i < 5; i++) {
        for (const [socket, end] of this.#clients) if (end.closed === 0) this.act(socket, end);
        await Bun.sleep(this.random(4));
      }
    }
    for (const [socket] of this.#clients) socket.terminate();
    listener.stop(true);
    for (
      let i = 0;
      i < 200 * patience && (descriptors(isSocket) > before || this.ends.some(({ closed }) => closed === 0));
      i++
    ) {
      await Bun.sleep(10);
    }
    const odd = this.ends.filter(
      ({ wrong, opened, closed, ended }) => wrong > 0 || opened !== 1 || closed !== 1 || ended > 1,
    );
    expect(odd.slice(0, 5)).toEqual([]);
    expect(descriptors(isSocket)).toBeLessThanOrEqual(before);
    return { connections: this.ends.length, got: this.ends.reduce((sum, { got }) => sum + got, 0) };
  }
}

describe("a storm", () => {
  const seeds = [1, Math.floor(Math.random() * 2 ** 31)];

  for (const [whose, net] of [
    ["Bun's own", theirs],
    ["the module", ours],
  ] as const) {
    test.each(seeds)(
      `over ${whose}, seed %d`,
      async (seed) => {
        const { connections, got } = await new Storm(net, seed).run();
        expect(connections).toBeGreaterThan(50);
        expect(got).toBeGreaterThan(100_000);
      },
      30_000 * patience,
    );
  }
});
