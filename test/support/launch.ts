/** Refusals that only the surroundings of a process can give: a filter, a limit, a user, a mount of its own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { program } from "./child.ts";

const compiler = ["cc", "gcc", "clang"].find((name) => Bun.which(name) !== null);

/** Where it is compiled already, on a system that has no compiler. */
const compiled = Bun.which("uring-test-launch");

/** Why there is no filter on this machine; undefined where there is one. */
export const noFilter: string | undefined = compiler === undefined && compiled === null ? "a C compiler" : undefined;

/** Compiles launch.c into `directory` and returns the command that runs others under its filter. */
export function filterLauncher(directory: string): (...rules: string[]) => string[] {
  if (compiled !== null) return (...rules) => [compiled, ...rules, "--"];
  const path = join(directory, "launch");
  const { exitCode, stderr } = Bun.spawnSync([compiler ?? "cc", "-O1", "-o", path, program("launch.c")]);
  if (exitCode !== 0) throw new Error(`launch.c does not compile: ${stderr}`);
  return (...rules) => [path, ...rules, "--"];
}

/** How this user gets a mount namespace: as root outright, as another in a user namespace; undefined where not at all. */
export const mountNamespace: readonly string[] | undefined = [
  ["unshare", "--mount"],
  ["unshare", "--map-root-user", "--mount"],
].find((command) => {
  const probe = [...command, "sh", "-c", "mount --bind /dev/null /proc/version"];
  return Bun.which("unshare") !== null && Bun.spawnSync(probe).exitCode === 0;
});

/** Why there is no sysctl that forbids io_uring; undefined where there is one. */
export const noSysctl: string | undefined = existsSync("/proc/sys/kernel/io_uring_disabled")
  ? undefined
  : "the sysctl kernel.io_uring_disabled, Linux 6.6";

/** Runs a command where files of /proc/sys/kernel read as `values` say, in a mount namespace of its own. */
export function withSysctl(directory: string, values: Record<string, number>): string[] {
  const mounts = Object.entries(values).map(([name, value]) => {
    const path = join(directory, `${name}-${value}`);
    return `printf '%s\\n' ${value} > '${path}' && mount --bind '${path}' /proc/sys/kernel/${name}`;
  });
  return [...(mountNamespace ?? []), "sh", "-c", `${mounts.join(" && ")} && exec "$@"`, "sh"];
}

/** Why nobody else's rights can be taken on; undefined where they can. */
export const noOtherUser: string | undefined =
  process.getuid?.() !== 0 || Bun.which("setpriv") === null ? "root and setpriv(1)" : undefined;

/** Runs a command as a user who owns nothing and may do nothing special. */
export const asNobody: readonly string[] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
