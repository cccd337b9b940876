// Waiting for processes and for words of memory.
import { afterEach, expect } from "bun:test";
import {
  EAGAIN,
  ECANCELED,
  ECHILD,
  FUTEX2_PRIVATE,
  FUTEX2_SIZE_U32,
  FUTEX_BITSET_MATCH_ANY,
  Mapping,
  P_PID,
  Ring,
  SIZEOF_FUTEX_WAITV,
  SIZEOF_SIGINFO,
  WEXITED,
  WNOWAIT,
} from "../../src/index.ts";
import { complete, next } from "../support/complete.ts";
import { needs } from "../support/kernel.ts";

const PRIVATE_U32 = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;

const started: Bun.Subprocess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function start(command: string[]): Bun.Subprocess {
  const child = Bun.spawn(command);
  started.push(child);
  return child;
}

/** The words of siginfo_t that waitid fills: si_code, si_pid, si_status. */
function siginfo(info: Uint8Array): { code: number; pid: number; status: number } {
  const words = new Int32Array(info.buffer);
  return { code: words[2] as number, pid: words[4] as number, status: words[6] as number };
}

// Values of si_code. WNOWAIT below leaves the child to Bun, which waits for it as well.
const CLD_EXITED = 1;
const CLD_KILLED = 2;

needs("IORING_OP_WAITID")("prepWaitid() completes when the child ends, and says how", () => {
  using ring = new Ring(8);
  const info = new Uint8Array(SIZEOF_SIGINFO);
  const child = start(["sleep", "30"]);
  ring.prepWaitid(P_PID, child.pid, info, WEXITED | WNOWAIT);
  ring.submit();
  expect(ring.waitCqes(1, 30)).toBeNull();
  child.kill("SIGTERM");
  expect(next(ring).res).toBe(0);
  expect(siginfo(info)).toMatchObject({ code: CLD_KILLED, pid: child.pid, status: 15 });

  const other = start(["sh", "-c", "exit 7"]);
  ring.prepWaitid(P_PID, other.pid, info.fill(0), WEXITED | WNOWAIT);
  expect(complete(ring)).toBe(0);
  expect(siginfo(info)).toMatchObject({ code: CLD_EXITED, pid: other.pid, status: 7 });

  // Process 1 is nobody's child here.
  ring.prepWaitid(P_PID, 1, info, WEXITED | WNOWAIT);
  expect(complete(ring)).toBe(-ECHILD);
});

const futexes = needs(["IORING_OP_FUTEX_WAIT", "IORING_OP_FUTEX_WAKE"]);

futexes("prepFutexWait() sleeps until prepFutexWake() wakes it, by address and mask", () => {
  using ring = new Ring(8);
  const memory = Mapping.anonymous(4096);
  const word = memory.words.subarray(0, 1);
  word[0] = 5;
  ring.prepFutexWait(word, 4, FUTEX_BITSET_MATCH_ANY, PRIVATE_U32);
  expect(complete(ring)).toBe(-EAGAIN);
  ring.prepFutexWait(word, 5, 0b01, PRIVATE_U32).userData(1);
  ring.prepFutexWait(word, 5, 0b10, PRIVATE_U32).userData(2);
  ring.submit();
  expect(ring.waitCqes(1, 30)).toBeNull();
  // Only the second listens on this bit.
  ring.prepFutexWake(word, 8, 0b10, PRIVATE_U32).userData(3);
  const woken = [next(ring), next(ring)].toSorted((a, b) => a.userData - b.userData);
  expect(woken).toMatchObject([
    { userData: 2, res: 0 },
    { userData: 3, res: 1 },
  ]);
  ring.prepFutexWake(word, 8, FUTEX_BITSET_MATCH_ANY, PRIVATE_U32).userData(4);
  const last = [next(ring), next(ring)].toSorted((a, b) => a.userData - b.userData);
  expect(last).toMatchObject([
    { userData: 1, res: 0 },
    { userData: 4, res: 1 },
  ]);
  ring.close();
  memory.close();
});

futexes("a futex wait can be cancelled", () => {
  using ring = new Ring(8);
  const word = new Int32Array(1);
  ring.prepFutexWait(word, 0, FUTEX_BITSET_MATCH_ANY, PRIVATE_U32).userData(1);
  ring.submit();
  ring.prepCancel64(1).userData(2);
  const both = [next(ring), next(ring)].toSorted((a, b) => a.userData - b.userData);
  expect(both[0]).toMatchObject({ userData: 1, res: -ECANCELED });
  // Kernel: cancelling a futex answers with how many were found (seen on 6.18), cancelling anything else with 0.
  expect([0, 1]).toContain(both[1]?.res as number);
});

needs(["IORING_OP_FUTEX_WAITV", "IORING_OP_FUTEX_WAKE"])(
  "prepFutexWaitv() says which of several words was woken",
  () => {
    using ring = new Ring(8);
    const memory = Mapping.anonymous(4096);
    const waiters = new Uint8Array(3 * SIZEOF_FUTEX_WAITV);
    const view = new DataView(waiters.buffer);
    for (let i = 0; i < 3; i++) {
      // struct futex_waitv: value, address, flags, a reserved word.
      view.setBigUint64(i * SIZEOF_FUTEX_WAITV, 0n, true);
      view.setBigUint64(i * SIZEOF_FUTEX_WAITV + 8, BigInt(memory.address + i * 4), true);
      view.setUint32(i * SIZEOF_FUTEX_WAITV + 16, PRIVATE_U32, true);
    }
    ring.prepFutexWaitv(waiters).userData(1);
    ring.submit();
    expect(ring.waitCqes(1, 30)).toBeNull();
    ring.prepFutexWake(memory.address + 2 * 4, 1, FUTEX_BITSET_MATCH_ANY, PRIVATE_U32).userData(2);
    const both = [next(ring), next(ring)].toSorted((a, b) => a.userData - b.userData);
    expect(both).toMatchObject([
      { userData: 1, res: 2 },
      { userData: 2, res: 1 },
    ]);
    ring.close();
    memory.close();
  },
);
