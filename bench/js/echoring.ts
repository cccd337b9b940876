// TCP echo server on the low road, one thread: echoring.ts PORT. The same design as bench/c/echoring.c, which says why.
import {
  AF_INET,
  BufferRing,
  type Cqe,
  EAGAIN,
  ENOBUFS,
  IORING_CQE_F_MORE,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_WAITALL,
  Ring,
  SockAddr,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from "bun-uring";

const [ON_ACCEPT, ON_RECV, ON_QUICK_SEND, ON_SEND, ON_CLOSE] = [0, 1, 2, 3, 4];
const RECEIVING = 1;
const ENDING = 2;
const QUICK = 4;
const BROKEN = 8;
const maxFds = 65536;
const group = 0;

const ring = new Ring(4096, { singleIssuer: true, deferTaskrun: true, noSqarray: true, cqEntries: 16384 });
const buffers = new BufferRing(ring, { group, entries: 1024, size: 16384 });

/** By descriptor: the buffers it has yet to send, first to last, -1 for none, linked through `next`; and its state. */
const first = new Int32Array(maxFds);
const last = new Int32Array(maxFds);
const state = new Uint8Array(maxFds);
/** By buffer. */
const lengths = new Int32Array(buffers.entries);
const done = new Int32Array(buffers.entries);
const next = new Int32Array(buffers.entries);

const ready = new Int32Array(maxFds);
const quick = new Int32Array(maxFds);
const starving = new Int32Array(maxFds);
let readyCount = 0;
let quickCount = 0;
let starvingCount = 0;
let closes = 0;

function setUp(port: number): number {
  function result(what: string): number {
    ring.submitAndWait(1);
    const cqe = ring.peekCqe() as Cqe;
    if (cqe.res < 0) throw cqe.error(what);
    const { res } = cqe;
    ring.seenCqe();
    return res;
  }
  ring.prepSocket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const fd = result("IORING_OP_SOCKET");
  const address = SockAddr.ipv4("127.0.0.1", port);
  ring.prepBind(fd, address);
  result("IORING_OP_BIND");
  ring.prepListen(fd, 1024);
  result("IORING_OP_LISTEN");
  return fd;
}

function queueAccept(): void {
  ring.prepMultishotAccept(listener, null, null, SOCK_CLOEXEC).userDataHalves(0, ON_ACCEPT);
}

function queueRecv(fd: number): void {
  ring.prepRecvMultishot(fd).bufferSelect(group).userDataHalves(fd, ON_RECV);
  state[fd]! |= RECEIVING;
}

function queueSend(fd: number, how: number): void {
  const id = first[fd]!;
  const from = done[id]!;
  const flags = MSG_WAITALL | MSG_NOSIGNAL | (how === ON_QUICK_SEND ? MSG_DONTWAIT : 0);
  const sqe = ring.prepSend(fd, buffers.addressOf(id) + from, flags, lengths[id]! - from).userDataHalves(fd, how);
  if (how === ON_SEND) return;
  sqe.skipSuccess();
  state[fd]! |= QUICK;
  quick[quickCount++] = fd;
}

/** Gives back the first buffer of a connection, or all of them when nobody will take them any more. */
function pop(fd: number): void {
  const all = (state[fd]! & BROKEN) !== 0;
  do {
    const id = first[fd]!;
    first[fd] = next[id]!;
    buffers.recycle(id);
  } while (all && first[fd]! >= 0);
}

/** Sends what is next. Behind a send that says nothing there must be nothing to do: nobody would be woken to do it. */
function goOn(fd: number): void {
  const id = first[fd]!;
  const ending = (state[fd]! & ENDING) !== 0;
  if (id >= 0) {
    queueSend(fd, next[id]! < 0 && !ending ? ON_QUICK_SEND : ON_SEND);
  } else if (ending && (state[fd]! & RECEIVING) === 0) {
    ring.prepClose(fd).skipSuccess().userDataHalves(fd, ON_CLOSE);
    closes++;
  }
}

function onAccept(cqe: Cqe): void {
  const fd = cqe.res;
  if (fd < 0 || fd >= maxFds) throw cqe.error("IORING_OP_ACCEPT");
  if ((cqe.flags & IORING_CQE_F_MORE) === 0) queueAccept();
  first[fd] = -1;
  state[fd] = 0;
  queueRecv(fd);
}

function onRecv(fd: number, cqe: Cqe): void {
  const { res } = cqe;
  const goesOn = (cqe.flags & IORING_CQE_F_MORE) !== 0;
  const start = buffers.take(cqe);
  if (!goesOn) state[fd]! &= ~RECEIVING;
  if (res > 0) {
    const id = cqe.bufferId;
    lengths[id] = res;
    done[id] = start - id * buffers.size;
    next[id] = -1;
    if (first[fd]! >= 0) {
      next[last[fd]!] = id;
    } else {
      first[fd] = id;
      ready[readyCount++] = fd;
    }
    last[fd] = id;
    if (!goesOn) queueRecv(fd);
  } else if (res === -ENOBUFS) {
    starving[starvingCount++] = fd;
  } else {
    if (start >= 0) buffers.recycle(cqe.bufferId);
    state[fd]! |= ENDING;
    if (first[fd]! < 0) goOn(fd);
  }
}

/** A send that could not be done at once, or failed. */
function onQuickSend(fd: number, res: number): void {
  state[fd]! &= ~QUICK;
  if (res >= 0 || res === -EAGAIN) {
    done[first[fd]!]! += Math.max(res, 0);
    queueSend(fd, ON_SEND);
  } else {
    state[fd]! |= BROKEN | ENDING;
    pop(fd);
    goOn(fd);
  }
}

function onSend(fd: number, res: number): void {
  const id = first[fd]!;
  if (res !== lengths[id]! - done[id]!) state[fd]! |= BROKEN | ENDING;
  pop(fd);
  goOn(fd);
}

function reap(): void {
  for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.nextCqe()) {
    const fd = cqe.userDataLow;
    const what = cqe.userDataHigh;
    if (what === ON_RECV) onRecv(fd, cqe);
    else if (what === ON_ACCEPT) onAccept(cqe);
    else if (what === ON_QUICK_SEND) onQuickSend(fd, cqe.res);
    else if (what === ON_SEND) onSend(fd, cqe.res);
    else throw cqe.error("IORING_OP_CLOSE");
  }
}

/** The quick sends that the last submission carried: those that have not complained are over. */
function settle(sent: number): void {
  for (let i = 0; i < sent; i++) {
    const fd = quick[i]!;
    if ((state[fd]! & QUICK) === 0) continue;
    state[fd]! &= ~QUICK;
    pop(fd);
    goOn(fd);
  }
  quick.copyWithin(0, sent, quickCount);
  quickCount -= sent;
}

function submit(): void {
  const mustReturn = closes > 0 || (starvingCount > 0 && quickCount > 0);
  closes = 0;
  if (mustReturn) ring.submitAndGetEvents();
  else ring.submitAndWait(1);
}

const listener = setUp(Number(process.argv[2]));
queueAccept();
for (;;) {
  submit();
  const sent = quickCount;
  reap();
  settle(sent);
  for (let i = 0; i < readyCount; i++) goOn(ready[i]!);
  readyCount = 0;
  for (let room = buffers.available; room > 0 && starvingCount > 0; room--) queueRecv(starving[--starvingCount]!);
}
