// Load generator for echo servers where there is no C compiler; the same command line and answers as bench/c/load.c,
// but slower, so that what it measures is mostly itself.

import type { Socket } from "bun";

const [, , mode = "", where = "", count = "", size = "", warmMs = "0", ms = "0"] = process.argv;
const message = new Uint8Array(Number(size)).fill(120);
const place = where.startsWith("/") ? { unix: where } : { hostname: "127.0.0.1", port: Number(where) };
const churn = mode === "churn";
const latencies: number[] = [];
const start = performance.now() + Number(warmMs);
const end = start + Number(ms);
let total = 0;

interface Conn {
  got: number;
  sent: number;
  since: number;
}

function fail(why: string): never {
  console.error(`load: ${why}`);
  process.exit(1);
}

function finish(): void {
  const wallNs = (performance.now() - start) * 1e6;
  if (latencies.length === 0) fail("not one message came back");
  latencies.sort((a, b) => a - b);
  const at = (p: number): number => Math.round((latencies[Math.floor(p * latencies.length)] ?? 0) * 1e6);
  const cpu = process.cpuUsage();
  const cpuNs = (cpu.user + cpu.system) * 1000;
  console.log(JSON.stringify({ done: latencies.length, total, wallNs, cpuNs, p50Ns: at(0.5), p99Ns: at(0.99) }));
  process.exit(0);
}

function supply(socket: Socket<Conn>): void {
  const conn = socket.data;
  if (conn.sent < message.length) conn.sent += Math.max(socket.write(message.subarray(conn.sent)), 0);
}

function send(socket: Socket<Conn>): void {
  Object.assign(socket.data, { got: 0, sent: 0, since: performance.now() });
  supply(socket);
}

function count1(conn: Conn): void {
  const now = performance.now();
  total++;
  if (now >= start) latencies.push(now - conn.since);
  if (now >= end) finish();
}

function take(socket: Socket<Conn>, bytes: Uint8Array): void {
  const conn = socket.data;
  const sent = message.subarray(conn.got, conn.got + bytes.length);
  if (Buffer.compare(bytes, sent) !== 0) fail("the bytes that came back are not those that were sent");
  conn.got += bytes.length;
  if (conn.got < message.length) return;
  if (mode === "check" || churn) return void socket.end();
  count1(conn);
  send(socket);
}

let over = 0;

async function open(): Promise<void> {
  await Bun.connect<Conn>({
    ...(place as { hostname: string; port: number }),
    data: { got: 0, sent: 0, since: 0 },
    socket: {
      open: send,
      drain: supply,
      data: take,
      error: (_socket, error) => fail(error.message),
      close(socket) {
        if (socket.data.got !== message.length) fail("the server closed a connection that was in use");
        if (mode !== "check") {
          count1(socket.data);
          void open();
        } else if (++over === Number(count)) {
          console.log(JSON.stringify({ ok: true }));
          process.exit(0);
        }
      },
    },
  });
}

if (mode === "check") for (let i = 0; i < message.length; i++) message[i] = Math.imul(i, 2654435761) >>> 24;
for (let i = 0; i < Number(count); i++) await open();
