/** What happened in one run of a case, as plain data that two runs can be compared by. */
import { expect } from "bun:test";

/** Bytes that arrived one after the other: where they were cut is the kernel's business. */
class Received {
  readonly kind: string;
  readonly chunks: Buffer[] = [];

  constructor(kind: string) {
    this.kind = kind;
  }
}

/** How many bytes a trace shows as they are; of more it shows a digest. */
const SHOWN_BYTES = 256;

/** A trace: what each party saw, in its order, and what the case returned. Parties' orders among each other are left open. */
export interface Trace {
  logs: Record<string, unknown[]>;
  result: unknown;
}

/** How often each event had come to each party. */
type Mark = ReadonlyMap<string, number>;

/** How a run waits where it waits for nothing to happen. */
export interface Pace {
  /** How many times as long as usual. */
  readonly slowness: number;
  /** What had come by then in an earlier run. */
  readonly follow?: readonly Mark[];
}

/** How late what came in an earlier run may be. */
const LATE_MS = 1000;

/** Collects what happens and waits for it. */
export class Recorder {
  /** What had come at the end of each wait for nothing to happen. */
  readonly marks: Mark[] = [];
  readonly #pace: Pace;
  readonly #logs = new Map<string, unknown[]>();
  readonly #counts = new Map<string, number>();
  readonly #names = new Map<number | string, string>();
  #changed: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  #lastMs = performance.now();
  #frozen = false;

  /** Makes one that has seen nothing. */
  constructor(pace: Pace = { slowness: 1 }) {
    this.#pace = pace;
  }

  /** Logs that something happened to a party, with the values that came with it. */
  log(who: string, ...what: unknown[]): void {
    if (this.#frozen) return;
    this.#of(who).push(what.length === 1 ? what[0] : what.map((value) => this.plain(value)));
    this.#count(`${who} ${String(what[0])}`, 1);
  }

  /** Logs bytes that arrived, together with those that arrived just before. */
  received(who: string, data: unknown): void {
    if (this.#frozen) return;
    const kind = (data as object).constructor.name;
    const bytes =
      data instanceof ArrayBuffer ? Buffer.from(data.slice(0)) : Buffer.from(data as Uint8Array<ArrayBuffer>);
    const log = this.#of(who);
    const last = log.at(-1);
    const received = last instanceof Received && last.kind === kind ? last : new Received(kind);
    if (received !== last) log.push(received);
    received.chunks.push(bytes);
    this.#count(`${who} bytes`, bytes.length);
    this.#count(`${who} data`, 1);
  }

  /** Gives a port or path that differs from run to run a name that does not. */
  name(value: number | string, name: string): void {
    this.#names.set(value, `<${name}>`);
  }

  /** How often an event came; of `bytes`, how many. */
  count(who: string, event: string): number {
    return this.#counts.get(`${who} ${event}`) ?? 0;
  }

  /** Waits until an event came so often, or until so many bytes have arrived. */
  async until(who: string, event: string, count: number = 1): Promise<void> {
    while (this.count(who, event) < count) await this.#changed.promise;
  }

  /**
   * Waits until nothing has happened for a while: for what must not come. First it waits for all that had come in the
   * run that this one follows, which on a busy machine may be late, or may never come.
   */
  async settle(quietMs: number = 10): Promise<void> {
    const mark = this.#pace.follow?.[this.marks.length];
    const untilMs = performance.now() + LATE_MS;
    while (mark !== undefined && performance.now() < untilMs && !this.#hasCome(mark)) await Bun.sleep(quietMs / 4);
    const quietForMs = quietMs * this.#pace.slowness;
    this.#lastMs = performance.now();
    while (performance.now() - this.#lastMs < quietForMs) await Bun.sleep(quietForMs / 4);
    this.marks.push(new Map(this.#counts));
  }

  #hasCome(mark: Mark): boolean {
    // How many pieces bytes come in is the kernel's business; how many bytes is counted as well.
    return [...mark].every(([key, count]) => key.endsWith(" data") || (this.#counts.get(key) ?? 0) >= count);
  }

  /** Nothing is logged from here on. */
  freeze(): void {
    this.#frozen = true;
  }

  /** The trace as far as it goes. */
  trace(result: unknown): Trace {
    const entries = [...this.#logs].map(([who, log]) => [who, log.map((each) => this.plain(each))] as const);
    return { logs: Object.fromEntries(entries), result: this.plain(result) };
  }

  /** A value as plain data: ports and paths by their names, errors by their parts, bytes as text. */
  plain(value: unknown): unknown {
    if (value === undefined) return "<undefined>";
    if (value instanceof Received) {
      return [value.kind === "Buffer" ? "data" : `data in ${value.kind}`, shown(Buffer.concat(value.chunks))];
    }
    if (value instanceof Error) return this.#error(value);
    if (value instanceof ArrayBuffer) return { ArrayBuffer: shown(Buffer.from(value)) };
    if (value instanceof Uint8Array) return { [value.constructor.name]: shown(value) };
    if (typeof value === "number" || typeof value === "string") return this.#named(value);
    if (typeof value === "function") return `<function ${value.name}>`;
    if (typeof value === "symbol" || typeof value === "bigint") return `<${String(value)}>`;
    if (Array.isArray(value)) return value.map((each) => this.plain(each));
    if (value === null || typeof value !== "object") return value;
    if ("write" in value) return "<socket>";
    if ("reload" in value) return "<listener>";
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, this.plain(each)]));
  }

  #named(value: number | string): unknown {
    const name = this.#names.get(value);
    if (name !== undefined || typeof value === "number") return name ?? value;
    let text = value;
    for (const [part, by] of this.#names) text = text.replaceAll(String(part), by);
    return text;
  }

  #error(error: Error): unknown {
    const { code, errno, syscall } = error as Error & Record<string, unknown>;
    const { name, message } = error;
    return this.plain({ ...error, kind: error.constructor.name, name, message, code, errno, syscall });
  }

  #of(who: string): unknown[] {
    let log = this.#logs.get(who);
    if (log === undefined) this.#logs.set(who, (log = []));
    return log;
  }

  #count(key: string, by: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + by);
    this.#lastMs = performance.now();
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

function shown(bytes: Uint8Array): string {
  if (bytes.length <= SHOWN_BYTES) return Buffer.from(bytes).toString("latin1");
  return `${bytes.length} bytes, ${digest(bytes)}`;
}

/** A digest of bytes that tells any two apart. */
export function digest(bytes: Uint8Array): string {
  return Bun.hash(bytes).toString(16);
}

/** Fails where a trace says nothing: a case that compares nothing with nothing shows nothing. */
export function expectSaysSomething({ logs, result }: Trace): void {
  expect(Object.keys(logs).length + (result === "<undefined>" ? 0 : 1)).toBeGreaterThan(0);
}
