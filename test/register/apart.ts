/**
 * What is done in a process of its own, because it lasts for as long as the process or its thread does: the first
 * argument says what. Prints what was found as one line of JSON.
 */
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AF_INET,
  AF_UNIX,
  BpfProgram,
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_READ,
  IORING_OP_SOCKET,
  IOSQE_ASYNC,
  registerBpfFilterTask,
  registerRestrictionsTask,
  Ring,
  SOCK_STREAM,
} from "../../src/index.ts";
import { complete } from "../support/complete.ts";
import { kept } from "../support/keep.ts";

/** Nobody. */
const UID = 65534;

/** Whatever a call throws, as its errno or code; its result otherwise. */
function outcome<T>(call: () => T): T | number | string {
  try {
    return call();
  } catch (error) {
    const { errno, code } = error as { errno?: number; code?: string };
    return errno ?? code ?? String(error);
  }
}

/** The worker threads of this process, with the processors that each may use. */
function workers(): string[] {
  return readdirSync("/proc/self/task").flatMap((id) => {
    try {
      const status = readFileSync(`/proc/self/task/${id}/status`, "utf8");
      if (!/^Name:\s+iou-wrk/m.test(status)) return [];
      return [/^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1] ?? ""];
    } catch {
      return [];
    }
  });
}

/** Calls with what prepares requests that each keep a worker: they open a pipe that nobody writes to yet. */
function withBlockedOpens<T>(call: (open: (ring: Ring) => void) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "uring-workers-"));
  const path = join(folder, "pipe");
  Bun.spawnSync(["mkfifo", path]);
  try {
    // Tried first without waiting, the open would succeed at once.
    return call((ring) => ring.prepOpenat(-100, path, 0, 0).async());
  } finally {
    // Opened both ways it waits for nobody, and nobody waits any more.
    closeSync(openSync(path, "r+"));
    rmSync(folder, { recursive: true });
  }
}

const deeds: Record<string, () => unknown> = {
  /** Opens files with the credentials of root, and of nobody. */
  personality: () => {
    const folder = mkdtempSync(join(tmpdir(), "uring-personality-"));
    chmodSync(folder, 0o777);
    writeFileSync(join(folder, "secret"), "root's", { mode: 0o600 });
    try {
      using ring = new Ring(8);
      process.seteuid?.(UID);
      const nobody = ring.registerPersonality();
      process.seteuid?.(0);
      const root = ring.registerPersonality();
      const open = (name: string, personality: number, flags: number): number => {
        ring.prepOpenat(-100, join(folder, name), flags, 0o644).personality(personality);
        return complete(ring);
      };
      const opened = [open("secret", nobody, 0), open("secret", root, 0) >= 0, open("secret", 0, 0) >= 0];
      // O_CREAT | O_WRONLY: what is made belongs to whoever made it.
      const made = [open("theirs", nobody, 0o101) >= 0, open("ours", root, 0o101) >= 0];
      const owners = [statSync(join(folder, "theirs")).uid, statSync(join(folder, "ours")).uid];
      ring.unregisterPersonality(nobody);
      const gone = open("secret", nobody, 0);
      const again = outcome(() => ring.unregisterPersonality(nobody));
      return { different: nobody !== root, opened, made, owners, gone, again };
    } finally {
      rmSync(folder, { recursive: true });
    }
  },

  /** Limits the workers, and has more requests wait in them than there may be. */
  workers: () => {
    using ring = new Ring(64);
    const first = ring.registerIowqMaxWorkers();
    const before = ring.registerIowqMaxWorkers({ bounded: 3, unbounded: 2 });
    const after = ring.registerIowqMaxWorkers();
    const unchanged = ring.registerIowqMaxWorkers({ bounded: 2 });
    const last = ring.registerIowqMaxWorkers();
    const count = withBlockedOpens((open) => {
      for (let i = 0; i < 8; i++) open(ring);
      ring.submit();
      Bun.sleepSync(100);
      return workers().length;
    });
    return { first, before, after, unchanged, last, count };
  },

  /** Has new workers run on one processor, then on another, then anywhere. */
  affinity: () => {
    using ring = new Ring(8);
    const none = outcome(() => ring.registerIowqAff([8191]));
    const found = withBlockedOpens((open) => {
      const start = (): string[] => {
        const before = workers().length;
        open(ring);
        ring.submit();
        for (let i = 0; i < 1000 && workers().length === before; i++) Bun.sleepSync(1);
        return workers();
      };
      const steps = [start()];
      ring.registerIowqAff([0]);
      steps.push(start());
      ring.unregisterIowqAff();
      steps.push(start());
      return steps;
    });
    return { found, none };
  },

  /** Restricts the thread to a few operations: rings made before, and after. */
  "task restrictions": () => {
    using before = new Ring(8);
    registerRestrictionsTask({ sqeOps: [IORING_OP_NOP], registerOps: "all", sqeFlagsAllowed: IOSQE_ASYNC });
    using after = new Ring(8);
    const run = (ring: Ring): number[] => {
      ring.prepNop();
      const nop = complete(ring);
      ring.prepNop().async();
      const async = complete(ring);
      ring.prepNop().drain();
      const drained = complete(ring);
      ring.prepRead(0, kept(Buffer.alloc(1)), 0);
      ring.prepClose(9999);
      return [nop, async, drained, complete(ring)];
    };
    const again = outcome(() => registerRestrictionsTask({ sqeOps: "all" }));
    return { before: run(before).slice(0, 3), after: run(after), again };
  },

  /** Filters sockets by family and opens by flag, on one ring. */
  "ring filter": () => {
    using ring = new Ring(8);
    using other = new Ring(8);
    const program = new BpfProgram()
      .load("socketFamily")
      .jumpIf("equal", AF_INET, "inet")
      .deny()
      .label("inet")
      .load("socketType")
      .calculate("and", 0xf)
      .jumpIf("equal", SOCK_STREAM, "stream")
      .deny()
      .label("stream")
      .allow();
    ring.registerBpfFilter({ opcode: IORING_OP_SOCKET, program });
    // Refuses to open for writing: O_ACCMODE is 3.
    const reading = new BpfProgram().load("openFlagsLow").jumpIf("set", 3, "no").allow().label("no").deny();
    ring.registerBpfFilter({ opcode: IORING_OP_OPENAT, program: reading, strictSize: true });
    const run = (target: Ring): boolean[] => {
      const socket = (family: number, type: number): boolean => {
        target.prepSocket(family, type, 0);
        return complete(target) >= 0;
      };
      const open = (flags: number): boolean => {
        target.prepOpenat(-100, "/dev/null", flags, 0);
        return complete(target) >= 0;
      };
      return [socket(AF_INET, SOCK_STREAM), socket(AF_INET, 2), socket(AF_UNIX, SOCK_STREAM), open(0), open(1)];
    };
    const wrongSize = outcome(() =>
      ring.registerBpfFilter({ opcode: IORING_OP_SOCKET, program, strictSize: true, pduSize: 8 }),
    );
    const tooMuch = outcome(() => ring.registerBpfFilter({ opcode: IORING_OP_READ, program }));
    return { ring: run(ring), other: run(other), wrongSize, tooMuch };
  },

  /** Has several filters judge, by user data, and refuses the rest. */
  "stacked filters": () => {
    using ring = new Ring(8);
    const notSeven = new BpfProgram().load("userDataLow").jumpIf("equal", 7, "no").allow().label("no").deny();
    const small = new BpfProgram().load("userDataHigh").jumpIf("equal", 0, "yes").deny().label("yes").allow();
    ring.registerBpfFilter({ opcode: IORING_OP_NOP, program: notSeven });
    ring.registerBpfFilter({ opcode: IORING_OP_NOP, program: small, denyRest: true });
    const nop = (userData: number): number => {
      ring.prepNop().userData(userData);
      return complete(ring);
    };
    ring.prepRead(0, kept(Buffer.alloc(1)), 0);
    const read = complete(ring);
    return { nops: [nop(1), nop(7), nop(2 ** 40), nop(0)], read };
  },

  /** Filters for the thread: rings made before, and after. */
  "task filter": () => {
    using before = new Ring(8);
    registerBpfFilterTask({ opcode: IORING_OP_NOP, program: new BpfProgram().deny() });
    using after = new Ring(8);
    return [before, after].map((ring) => {
      ring.prepNop();
      return complete(ring);
    });
  },
};

console.log(JSON.stringify((deeds[process.argv[2] ?? ""] as () => unknown)()));
