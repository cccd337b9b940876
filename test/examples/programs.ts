/** The examples as programs, the system's own beside them, and what either leaves behind. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { bun } from "../support/child.ts";
import { patience } from "../support/patience.ts";

/** The command that runs an example, as a user types it. */
export function example(name: string): readonly string[] {
  return [...bun, "run", join(import.meta.dir, "../../examples", name)];
}

/** Whether a program is GNU's: there are others of the same names, with other messages. */
export function isGnu(name: string): boolean {
  if (Bun.which(name) === null) return false;
  return String(Bun.spawnSync([name, "--version"]).stdout).includes("GNU coreutils");
}

/** Where and with what a command is run. */
export interface Surroundings {
  readonly cwd?: string;
  readonly stdin?: Uint8Array<ArrayBuffer> | Bun.BunFile;
}

/** What became of a command. */
export interface Outcome {
  readonly status: number | null;
  readonly signal: string | number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs a command to its end. */
export function run(command: readonly string[], { cwd, stdin }: Surroundings = {}): Outcome {
  const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync([...command], {
    ...(cwd === undefined ? {} : { cwd }),
    stdin: stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 20_000 * patience,
  });
  return { status: exitCode, signal: signalCode, stdout: Buffer.from(stdout), stderr: String(stderr) };
}

/** A command line of the shell, with the example's command as "$@": for redirections and pipes. */
export function shell(line: string, command: readonly string[], cwd: string): Outcome {
  return run(["sh", "-c", line, "sh", ...command], { cwd });
}

/** Everything in a directory: path, kind, permissions, content; with `times` when it was changed, in microseconds. */
export function treeOf(directory: string, times: boolean = false): string[] {
  const found: string[] = [];
  const walk = (path: Buffer, shown: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const when = times ? ` ${Math.round(Number(stat.mtimeNs) / 1000)}` : "";
    const mode = stat.isSymbolicLink() ? "" : ` ${(Number(stat.mode) & 0o7777).toString(8)}`;
    found.push(`${shown} ${kindOf(path, stat)}${mode}${when}`);
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(path, { encoding: "buffer" })) {
      walk(Buffer.concat([path, Buffer.from("/"), name]), `${shown}/${name.toString("latin1")}`);
    }
  };
  walk(Buffer.from(directory), ".");
  return found.sort();
}

type Stat = Pick<ReturnType<typeof lstatSync> & object, "isDirectory" | "isFile" | "isSymbolicLink" | "isFIFO">;

function kindOf(path: Buffer, stat: Stat): string {
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return `-> ${readlinkSync(path, { encoding: "buffer" }).toString("latin1")}`;
  if (stat.isFIFO()) return "fifo";
  if (!stat.isFile()) return "special";
  const content = readFileSync(path);
  return `${content.length} ${createHash("sha1").update(content).digest("hex")}`;
}

/** Waits for something to become so; false after five seconds. */
export async function eventually(is: () => boolean): Promise<boolean> {
  for (const until = performance.now() + 5000 * patience; performance.now() < until; await Bun.sleep(5))
    if (is()) return true;
  return false;
}

/**
 * What takes root's privileges to read anything and to lock any memory away from a command; undefined where that cannot
 * be done.
 */
export function withoutPrivileges(): readonly string[] | undefined {
  if (process.getuid?.() !== 0) return [];
  const drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-ipc_lock"];
  return Bun.which("setpriv") !== null && run([...drop, "true"]).status === 0 ? drop : undefined;
}
