/**
 * Boots kernels and runs the tests, or any command, in each.
 */
import { appendFileSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ArchiveUnreachable, cacheFolder } from "../../gen/apt.ts";
import { compareKernels } from "../../gen/facts.ts";
import type { Measured } from "../../gen/matrix.ts";
import { readKernels } from "../../gen/project.ts";
import { bestAccelerator, boot, stumble } from "./boot.ts";
import type { Machine, Result } from "./boot.ts";
import { PATH } from "./image.ts";
import type { Plan } from "./image.ts";
import { getKernel, KernelGone, kernels } from "./kernels.ts";
import type { Kernel, Wanted } from "./kernels.ts";
import { MEMORY_MIB, record } from "./record.ts";
import { knownTo } from "./report.ts";
import { stepsOf } from "./steps.ts";
import { complaints, isGood, tableOf, verdictOf } from "./summary.ts";
import type { Verdict } from "./summary.ts";

const USAGE = `Usage: bun run test:kernels [options] [-- command...]

Boots kernels in QEMU and runs the tests, or a command, in each.

  --only 5.10,7.3   these kernels; otherwise all of test/matrix/kernels.json
  --jobs N          as many guests at a time (1)
  --memory MIB      memory of a guest (${MEMORY_MIB})
  --append WORDS    more words for the kernel's command line
  --kvm auto|never  whether the machine's own virtualisation is tried (auto)
  --fresh           look in the archive for newer packages than the cache has
  --limit SECONDS   of a whole guest (3600)
  --lenient         no emulator, or a kernel that the archive has not or that is out of reach, is reported and is no
                    failure
  --record          write the results into docs/kernel-results.md, the README and test/matrix/*.json; what kernels did
                    that are not run now stays, with its day and commit
  --shell           a prompt in place of the tests; takes one kernel
  --help            this text

"bun test" as the command, with flags and pieces of paths after it, runs each test file by itself with a time limit.
`;

const { values, positionals: command } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    jobs: { type: "string", default: "1" },
    memory: { type: "string", default: String(MEMORY_MIB) },
    append: { type: "string", default: "" },
    kvm: { type: "string", default: "auto" },
    limit: { type: "string", default: "3600" },
    lenient: { type: "boolean", default: false },
    fresh: { type: "boolean", default: false },
    shell: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

/** Ends where this machine cannot boot anything. */
function unable(message: string): never {
  console.error(`NO KERNEL WAS BOOTED: ${message}`);
  process.exit(values.lenient ? 0 : 2);
}

function wantedKernels(): Wanted[] {
  if (values.only === undefined) return [...kernels];
  return values.only.split(",").map((name) => {
    const found = kernels.find(({ kernel }) => kernel === name);
    return found ?? fail(`there is no kernel ${name}; there are ${kernels.map(({ kernel }) => kernel).join(", ")}`);
  });
}

const red = (text: string): string => (process.stdout.isTTY ? `\x1b[31m${text}\x1b[0m` : text);

/** The programs that guests are made with, and Debian's packages that have them. */
const tools: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  "mkfs.ext4": "e2fsprogs",
  curl: "curl",
  fio: "fio",
  nc: "netcat-openbsd",
  xz: "xz-utils",
};

function missingTools(): string[] {
  return Object.entries(tools).flatMap(([program, name]) => (Bun.which(program, { PATH }) === null ? [name] : []));
}

async function apt(...words: string[]): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return (await Bun.spawn(["apt-get", "-q", ...words], { env, stdout: "ignore", stderr: "inherit" }).exited) === 0;
}

/** Gets the tools from Debian's packages where this user may install them. */
async function getTools(): Promise<void> {
  const missing = missingTools();
  if (missing.length > 0) {
    const may = process.getuid?.() === 0 && Bun.which("apt-get") !== null;
    if (!may) unable(`the packages ${missing.join(", ")} are not installed, and this user cannot install them`);
    console.log(`installing ${missing.join(", ")}`);
    const install = ["install", "-y", "--no-install-recommends", ...missing];
    // What the machine knows of the archive may be old, or nothing.
    const done = (await apt(...install)) || ((await apt("update")) && (await apt(...install)));
    if (!done || missingTools().length > 0) unable(`${missing.join(", ")} cannot be installed`);
  }
  if (Bun.spawnSync(["ldd", Bun.which("busybox") ?? ""], { stdout: "ignore", stderr: "ignore" }).exitCode === 0)
    unable("busybox is linked to libraries here (Debian: busybox-static)");
}

/** Each run has its own, because several may be under way; those of earlier days go. */
const results = join(cacheFolder(), "results", `${new Date().toISOString().slice(0, 10)}-${process.pid}`);

async function dropOldResults(): Promise<void> {
  const folder = join(cacheFolder(), "results");
  const today = new Date().toISOString().slice(0, 10);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (!name.startsWith(today)) await rm(join(folder, name), { recursive: true, force: true });
}

const facts = await readKernels();
const newest = facts.at(-1) ?? fail("there are no facts of any kernel");

/** What a kernel has, by its headers; a release candidate is as its release. */
function answersOf(kernel: string): (name: string) => boolean | undefined {
  const own = facts.find((f) => f.kernel === kernel.replace(/-rc$/, ""));
  return knownTo(own ?? facts.findLast((f) => compareKernels(f.kernel, kernel) < 0) ?? newest, newest);
}

/** What the kernels that ran answered. */
const answers = new Map<string, Measured>();

/** Leaves all that a guest handed in where it can be read; what it prints is there as it comes. */
async function keep(folder: string, result: Result): Promise<void> {
  for (const [name, text] of result.files) await Bun.write(join(folder, name), text);
  await Bun.write(join(folder, "console"), result.console);
}

async function runOne(kernel: Kernel, plan: Plan, machine: Machine, alone: boolean): Promise<Verdict> {
  const folder = join(results, kernel.kernel);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  console.log(`== ${kernel.kernel} (${kernel.release}): boots`);
  const run = (): Promise<Result> =>
    boot(kernel, plan, machine, (text) => {
      appendFileSync(join(folder, "output"), text);
      if (alone) process.stdout.write(text);
    });
  let result = await run();
  const reason = plan.shell ? undefined : stumble(result, machine);
  if (reason !== undefined) {
    console.log(`== ${kernel.kernel} (${kernel.release}): ${red(`${reason}; boots once more`)}`);
    result = await run();
  }
  await keep(folder, result);
  const answer = result.files.get("ask.json") ?? "";
  if (answer.startsWith("{")) answers.set(kernel.kernel, JSON.parse(answer) as Measured);
  const verdict = verdictOf(kernel, plan.steps, result, answersOf(kernel.kernel));
  const say = isGood(verdict) ? "good" : red("not good");
  const count = plan.shell ? "" : `, ${verdict.passed} passed`;
  console.log(`== ${kernel.kernel} (${kernel.release}): ${say}${count}, ${verdict.seconds.toFixed(0)} s`);
  for (const line of complaints(verdict)) console.log(`  ${red(line)}`);
  if (!result.ended) console.log(result.console.split("\n").slice(-40).join("\n"));
  return verdict;
}

function missing({ kernel }: Wanted, error: unknown): Verdict {
  const reason = error instanceof Error ? error.message : String(error);
  console.log(`== ${kernel}: ${red(`missing: ${reason}`)}`);
  const none = new Map<string, number>();
  const excused = values.lenient && (error instanceof ArchiveUnreachable || error instanceof KernelGone);
  const troubles = excused ? [] : [`cannot be had: ${reason}`];
  return {
    kernel,
    release: "",
    version: "",
    passed: 0,
    failed: [],
    lacking: none,
    machine: none,
    troubles,
    seconds: 0,
  };
}

async function main(): Promise<boolean> {
  await getTools();
  await dropOldResults();
  const wanted = wantedKernels();
  const tests = command[0] === "bun" && command[1] === "test" ? command.slice(2) : [];
  if (
    values.record &&
    (command.length > tests.length + 2 || values.append !== "" || tests.some((t) => t.startsWith("-")))
  )
    fail("--record takes tests without flags, and no --append");
  if (values.shell && wanted.length !== 1) fail("--shell takes one kernel: --only KERNEL");
  const limitS = Number(values.limit);
  const plan: Plan = {
    steps: values.shell ? [] : stepsOf(command, limitS, values.record || undefined),
    limitS,
    shell: values.shell,
  };
  const had: (Kernel | Verdict)[] = [];
  for (const one of wanted) had.push(await getKernel(one, values.fresh).catch((error: unknown) => missing(one, error)));
  const bootable = had.filter((one) => "image" in one);
  if (bootable.length === 0 && had.every((one) => !("image" in one) && isGood(one))) unable("none can be had");
  const last = bootable.at(-1);
  const accelerator = last === undefined || values.kvm === "never" ? "tcg" : await bestAccelerator(last);
  console.log(
    `${bootable.length} kernels, ${accelerator === "kvm" ? "KVM" : "software emulation"}; output in ${results}`,
  );
  const machine: Machine = { accelerator, memoryMiB: Number(values.memory), append: values.append };
  const verdicts: Verdict[] = had.flatMap((one) => ("image" in one ? [] : [one]));
  const queue = [...bootable];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      verdicts.push(await runOne(next, plan, machine, bootable.length === 1));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, worker));
  const order = (kernel: string): number => kernels.findIndex((one) => one.kernel === kernel);
  verdicts.sort((a, b) => order(a.kernel) - order(b.kernel));
  if (!plan.shell) console.log(`\n${tableOf(verdicts)}`);
  if (values.record) await record(verdicts, answers, machine, tests);
  return verdicts.every(isGood);
}

// No guest outlives the run.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));
if (values.help) console.log(USAGE);
else process.exit((await main()) ? 0 : 1);
