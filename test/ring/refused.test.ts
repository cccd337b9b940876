/** What a ring says where the machine refuses it: the likely cause and what cures it. Each case is a process of its own. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Ring } from "../../src/index.ts";
import { adviceOnEnter, adviceOnLockedMemory, adviceOnSetup } from "../../src/ring/advice.ts";
import * as errno from "../../src/abi/errno.gen.ts";
import { IORING_SETUP_CQE32, IORING_SETUP_SQPOLL } from "../../src/abi/constants.gen.ts";
import type { Attempt } from "../support/attempt.ts";
import { report } from "../support/child.ts";
import { scratchDirectory } from "../support/files.ts";
import { needs, needsThat } from "../support/kernel.ts";
import {
  asNobody,
  filterLauncher,
  mountNamespace,
  noFilter,
  noOtherUser,
  noSysctl,
  withSysctl,
} from "../support/launch.ts";

// Programs are started, which takes its time on a busy machine.
setDefaultTimeout(30_000);

const scratch = scratchDirectory();
const filtered = needsThat(noFilter === undefined, noFilter ?? "");
const filteredAndMounted = needsThat(
  noFilter === undefined && mountNamespace !== undefined && noSysctl === undefined,
  noSysctl ?? "a C compiler and a mount namespace",
);
const unprivileged = needsThat(noOtherUser === undefined, noOtherUser ?? "");
const launch = noFilter === undefined ? filterLauncher(scratch) : () => [];
/** io_uring_setup answers EPERM, as Docker's profile has it. */
const forbidden = `425=${errno.EPERM}`;

function attempt(what: string, argument: string, launcher: readonly string[]): Attempt {
  return report<Attempt>("attempt.ts", [what, argument], launcher);
}

describe("Ring() refused", () => {
  filtered("by a seccomp filter names it and the profile's cure", () => {
    const { name, code, errno: number, syscall, message } = attempt("ring", "{}", launch(forbidden));
    expect([name, code, number, syscall]).toEqual(["UringError", "EPERM", -1, "io_uring_setup"]);
    expect(message).toStartWith("EPERM: operation not permitted, io_uring_setup: a seccomp filter refuses it");
    expect(message).toContain("Docker");
    expect(message).toContain("--security-opt seccomp=unconfined");
    expect(message).toContain("io_uring_setup, io_uring_enter and io_uring_register");
  });

  filtered("by a seccomp filter says the same of a modern ring", () => {
    expect(attempt("ring", '{"modern":true}', launch(forbidden)).message).toContain("seccomp filter");
  });

  filtered("as unknown says that there is no io_uring", () => {
    const { code, message } = attempt("ring", "{}", launch(`425=${errno.ENOSYS}`));
    expect(code).toBe("ENOSYS");
    expect(message).toMatch(/this kernel has no io_uring \(older than 5\.1, .*\), or a sandbox such as gVisor/);
  });

  filteredAndMounted("by the sysctl at 2 names it and the command that cures it", () => {
    const launcher = [...withSysctl(scratch, { io_uring_disabled: 2 }), ...launch(forbidden)];
    const { code, message } = attempt("ring", "{}", launcher);
    expect(code).toBe("EPERM");
    expect(message).toContain("disabled for every process by the sysctl kernel.io_uring_disabled = 2");
    expect(message).toContain("`sysctl -w kernel.io_uring_disabled=0`");
    expect(message).not.toContain("seccomp");
  });

  filteredAndMounted("by the sysctl at 1 names the group to be in", () => {
    const values = { io_uring_disabled: 1, io_uring_group: 1234 };
    const { message } = attempt("ring", "{}", [...withSysctl(scratch, values), ...launch(forbidden)]);
    expect(message).toContain("disabled for unprivileged processes by the sysctl kernel.io_uring_disabled = 1");
    expect(message).toContain("add the user to group 1234 (kernel.io_uring_group)");
    expect(message).toContain("CAP_SYS_ADMIN");
  });

  filteredAndMounted("by the sysctl at 1 without a group says how to name one", () => {
    const values = { io_uring_disabled: 1, io_uring_group: -1 };
    const { message } = attempt("ring", "{}", [...withSysctl(scratch, values), ...launch(forbidden)]);
    expect(message).toContain("name a group with `sysctl -w kernel.io_uring_group=GID`");
  });

  test("for want of descriptors names the limit and how to raise it", () => {
    const few = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"];
    const { code, message } = attempt("ring without descriptors", "{}", few);
    expect(code).toBe("EMFILE");
    expect(message).toContain("as many open descriptors as it may");
    expect(message).toContain("`ulimit -n`");
    expect(attempt("ring", "{}", few).message).toBe("made");
  });

  filtered("for want of memory gives the sizes", () => {
    const { code, message } = attempt("ring", "{}", launch(`425=${errno.ENOMEM}`));
    expect(code).toBe("ENOMEM");
    // Eight entries of 64 bytes, sixteen of 16, eight indices of 4, a header.
    expect(message).toMatch(/a ring of 8 entries, about 2 KiB, exceeds the limit \((\d+ KiB|unlimited)/);
    expect(message).toContain("`ulimit -l`");
  });
});

describe("registerBuffers() refused for the limit on locked memory", () => {
  const limited = (kib: number): string[] => ["sh", "-c", `ulimit -l ${kib}; exec "$@"`, "sh", ...asNobody];
  unprivileged("gives what was wanted, the limit, and the cure", () => {
    const { code, syscall, message } = attempt("buffers", String(256 * 1024), limited(64));
    expect([code, syscall]).toEqual(["ENOMEM", "IORING_REGISTER_BUFFERS"]);
    expect(message).toContain("the buffers, about 256 KiB, exceeds the limit (64 KiB in all");
    expect(message).toContain("LimitMEMLOCK=");
  });

  unprivileged("but not under it", () => {
    expect(attempt("buffers", String(32 * 1024), limited(64)).message).toBe("made");
  });
});

test("registerFiles() past the process's descriptors names the limit", () => {
  const { code, message } = attempt("files", "500", ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"]);
  expect(code).toBe("EMFILE");
  expect(message).toContain("500 files are more than the process may have open; raise `ulimit -n`");
});

describe("advice on", () => {
  test("EINVAL names the entries and the flags", () => {
    const flags = IORING_SETUP_CQE32 | IORING_SETUP_SQPOLL;
    expect(adviceOnSetup(errno.EINVAL, 12, flags, 0)).toBe(
      "this kernel does not take 12 entries with IORING_SETUP_SQPOLL | IORING_SETUP_CQE32",
    );
    expect(adviceOnSetup(errno.EINVAL, 12, 0, 0)).toBe("this kernel does not take 12 entries with no flags");
  });

  test("EPERM where nothing tells the cause guesses by the flags", () => {
    expect(adviceOnSetup(errno.EPERM, 8, IORING_SETUP_SQPOLL, 0)).toContain("CAP_SYS_NICE");
    expect(adviceOnSetup(errno.EPERM, 8, 0, 0)).toContain("security module");
  });

  test("ENFILE names the system's limit", () => {
    expect(adviceOnSetup(errno.ENFILE, 8, 0, 0)).toContain("fs.file-max");
  });

  test("locked memory rounds up to KiB", () => {
    expect(adviceOnLockedMemory("it", 1025)).toStartWith("locking the memory of it, about 2 KiB, ");
  });

  test("what io_uring_enter answers says what to do", () => {
    expect(adviceOnEnter(errno.EBADFD)).toContain("enableRings()");
    expect(adviceOnEnter(errno.EEXIST)).toContain("another thread");
    expect(adviceOnEnter(errno.EBUSY)).toContain("reap");
    expect(adviceOnEnter(errno.EAGAIN)).toContain("short of memory");
    expect(adviceOnEnter(errno.EBADR)).toContain("lost completions");
    expect(adviceOnEnter(errno.EOWNERDEAD)).toContain("SQPOLL thread");
  });

  test("an errno that has no usual cause is nothing", () => {
    expect([adviceOnSetup(errno.EIO, 8, 0, 0), adviceOnEnter(errno.EIO)]).toEqual([undefined, undefined]);
  });
});

needs("IORING_SETUP_SINGLE_ISSUER")("singleIssuer is what another thread's EEXIST comes from", async () => {
  using ring = new Ring(4, { singleIssuer: true });
  ring.prepNop();
  const shim = new URL("../../syscall/shim.ts", import.meta.url).pathname;
  const text = `
    import { syscalls } from ${JSON.stringify(shim)};
    self.onmessage = ({ data }) => postMessage(syscalls().enter(data, 1, 0, 0, 0, 0));`;
  const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "application/typescript" })));
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(ring.fd);
  });
  worker.terminate();
  expect(answer).toBe(-errno.EEXIST);
  expect(ring.submitAndWait(1)).toBe(1);
});
