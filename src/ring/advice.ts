/** The likely cause of what the kernel refused, and what cures it. */
import { readFileSync } from "node:fs";
import {
  EAGAIN,
  EBADFD,
  EBADR,
  EBUSY,
  EEXIST,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOMEM,
  ENOSYS,
  EOWNERDEAD,
  EPERM,
} from "../abi/errno.gen.ts";
import { IORING_SETUP_SQPOLL } from "../abi/constants.gen.ts";
import { setupFlagNames } from "./params.ts";

/** What to do about a failed io_uring_setup(2). `bytes` is about what the ring takes. */
export function adviceOnSetup(errno: number, entries: number, flags: number, bytes: number): string | undefined {
  switch (errno) {
    case ENOSYS:
      return (
        "this kernel has no io_uring (older than 5.1, or built without CONFIG_IO_URING), or a sandbox such as gVisor " +
        "or a seccomp filter hides it"
      );
    case EPERM:
      return adviceOnPermission(flags);
    case ENOMEM:
      return adviceOnLockedMemory(`a ring of ${entries} entries`, bytes);
    case EMFILE:
      return "this process has as many open descriptors as it may; raise the limit with `ulimit -n`";
    case ENFILE:
      return "the system has as many open files as it may; raise it with `sysctl -w fs.file-max=N`";
    case EINVAL:
      return `this kernel does not take ${entries} entries with ${setupFlagNames(flags).join(" | ") || "no flags"}`;
    default:
      return undefined;
  }
}

function adviceOnPermission(flags: number): string {
  const disabled = readNumber("/proc/sys/kernel/io_uring_disabled");
  if (disabled === 2) {
    return (
      "io_uring is disabled for every process by the sysctl kernel.io_uring_disabled = 2; " +
      "allow it with `sysctl -w kernel.io_uring_disabled=0`"
    );
  }
  if (disabled === 1) {
    const group = readNumber("/proc/sys/kernel/io_uring_group") ?? -1;
    const join =
      group >= 0
        ? `add the user to group ${group} (kernel.io_uring_group)`
        : "name a group with `sysctl -w kernel.io_uring_group=GID` and add the user to it";
    return (
      "io_uring is disabled for unprivileged processes by the sysctl kernel.io_uring_disabled = 1; " +
      `${join}, give the process CAP_SYS_ADMIN, or allow everybody with \`sysctl -w kernel.io_uring_disabled=0\``
    );
  }
  if (/^Seccomp:\s*2$/m.test(readText("/proc/self/status"))) {
    return (
      "a seccomp filter refuses it, as the default profiles of Docker, containerd and Podman do; run the container " +
      "with a profile that allows io_uring_setup, io_uring_enter and io_uring_register, or with " +
      "`--security-opt seccomp=unconfined`"
    );
  }
  if ((flags & IORING_SETUP_SQPOLL) !== 0) {
    return "SQPOLL needs CAP_SYS_NICE (CAP_SYS_ADMIN before 5.11) on kernels before 5.13";
  }
  return "a security module (SELinux, AppArmor, Landlock) is the likely cause; its audit log names the rule";
}

/** What to do about ENOMEM: nearly always the limit on locked memory, against which pinned pages count. */
export function adviceOnLockedMemory(what: string, bytes: number): string {
  const limit = /^Max locked memory\s+(\S+)/m.exec(readText("/proc/self/limits"))?.[1] ?? "unknown";
  const have = Number.isNaN(Number(limit)) ? limit : `${Math.floor(Number(limit) / 1024)} KiB`;
  return (
    `locking the memory of ${what}, about ${Math.ceil(bytes / 1024)} KiB, exceeds the limit (${have} in all for this ` +
    "user's processes): raise it with `ulimit -l` or `LimitMEMLOCK=`, or ask for less"
  );
}

/** What to do about a failed io_uring_enter(2). */
export function adviceOnEnter(errno: number): string | undefined {
  switch (errno) {
    case EBADFD:
      return "the ring is disabled: enableRings() starts it";
    case EEXIST:
      return "the ring was made singleIssuer, and by another thread";
    case EBUSY:
      return "completions have piled up: reap them and submit again";
    case EAGAIN:
      return "the kernel is short of memory for requests: reap completions and submit again";
    case EBADR:
      return "the kernel ran out of memory and lost completions";
    case EOWNERDEAD:
      return "the SQPOLL thread is gone";
    default:
      return undefined;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path).trim();
  return text === "" ? undefined : Number(text);
}
