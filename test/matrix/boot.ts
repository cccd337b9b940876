/** A guest: QEMU with a kernel, an image and a plan, from power-on to what it hands in. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disks, makeImage } from "./image.ts";
import type { Plan } from "./image.ts";
import type { Kernel } from "./kernels.ts";

const emulator = "qemu-system-x86_64";

/** How a guest's processor is made: in software, or by the machine's own. */
export type Accelerator = "tcg" | "kvm";

/** What came of a guest. */
export interface Result {
  /** Exit status by step; a step without one was not reached or not finished. */
  readonly statuses: ReadonlyMap<string, number>;
  /** What the steps left in /out, by name of file. */
  readonly files: ReadonlyMap<string, string>;
  /** All that the steps printed. */
  readonly output: string;
  /** All that the kernel said. */
  readonly console: string;
  readonly seconds: number;
  /** Whether it came to its end by itself. */
  readonly ended: boolean;
}

/** How a guest is made. */
export interface Machine {
  readonly accelerator: Accelerator;
  readonly memoryMiB: number;
  /** More words for the kernel's command line. */
  readonly append: string;
}

/** Seconds that a guest may take beyond its plan's limit: to boot and to hand in. */
const GRACE_S: Readonly<Record<Accelerator, number>> = { tcg: 90, kvm: 15 };

const appended = [
  "console=ttyS0",
  "loglevel=4",
  "panic=-1",
  "mitigations=off",
  "random.trust_cpu=on",
  "nvme.poll_queues=1",
  // The processors' clocks are one and the same here, and every other clock is slow.
  "tsc=reliable",
  "init_on_alloc=0",
  "hugepages=8",
  "rdinit=/init",
];

/**
 * The emulated processor lacks what costs it dearly: filling and copying by single instructions, which it does byte by
 * byte, and page tables of five levels.
 */
const EMULATED = "max,-erms,-fsrm,-la57";

/** @param interactive whether keys such as Ctrl-C are for the guest. */
function commandOf(machine: Machine, image: string, initrd: string, directory: string, interactive: boolean): string[] {
  const { accelerator, memoryMiB } = machine;
  const processor =
    accelerator === "kvm" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,tb-size=512", "-cpu", EMULATED];
  const drives = disks.flatMap(({ name, properties }) => [
    ...["-drive", `file=${join(directory, name)},format=raw,if=none,id=${name},cache=unsafe`],
    ...["-device", `nvme,serial=${name},id=nvme-${name}`],
    ...["-device", `nvme-ns,bus=nvme-${name},drive=${name}${properties}`],
  ]);
  return [
    ...["nice", "-n", "10", emulator, "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"],
    ...["-no-reboot", "-m", String(memoryMiB), "-smp", "2", ...processor, ...drives],
    ...["-kernel", image, "-initrd", initrd, "-append", [...appended, machine.append].join(" ").trim()],
    ...["-chardev", `stdio,id=steps,signal=${interactive ? "off" : "on"}`],
    ...["-serial", `file:${join(directory, "console")}`, "-serial", "chardev:steps"],
  ];
}

/**
 * Boots a kernel and sees a plan through.
 *
 * @param print gets what the guest's steps print, as it comes.
 */
export async function boot(
  kernel: Kernel,
  plan: Plan,
  machine: Machine,
  print?: (text: string) => void,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), "uring-guest-"));
  const leave = (): void => rmSync(directory, { recursive: true, force: true });
  process.on("exit", leave);
  try {
    const parts = await makeImage(kernel, plan, directory);
    const initrd = join(directory, "initrd");
    // Both parts are whole numbers of four bytes long: one may follow the other.
    await Bun.$`cat ${parts} > ${initrd}`;
    const began = performance.now();
    const child = Bun.spawn(commandOf(machine, kernel.image, initrd, directory, plan.shell), {
      stdin: plan.shell ? "inherit" : "ignore",
      stdout: plan.shell ? "inherit" : "pipe",
      stderr: "pipe",
      ...(plan.shell ? {} : { timeout: (plan.limitS + GRACE_S[machine.accelerator]) * 1000, killSignal: "SIGKILL" }),
    });
    const stop = (): void => child.kill("SIGKILL");
    process.on("exit", stop);
    const [output, complaint] = await Promise.all([
      child.stdout ? collect(child.stdout, print) : "",
      child.stderr.text(),
    ]);
    await child.exited;
    process.off("exit", stop);
    const seconds = (performance.now() - began) / 1000;
    const console = readIf(join(directory, "console"));
    return {
      ...(await handedIn(directory)),
      output,
      console: `${console}${complaint}`,
      seconds,
      // What is said at a prompt is not read here.
      ended: plan.shell ? child.exitCode === 0 : output.includes("@@ end"),
    };
  } finally {
    leave();
    process.off("exit", leave);
  }
}

/**
 * Why a guest's end says nothing of its kernel: emulators stumble where a kernel writes over its own code, which it does
 * while it boots and whenever one of its static keys is turned. The other processor then takes a breakpoint that is gone.
 */
export function stumble(
  { ended, output, console }: Pick<Result, "ended" | "output" | "console">,
  { accelerator }: Pick<Machine, "accelerator">,
): string | undefined {
  if (ended) return undefined;
  if (accelerator === "tcg" && console.includes("Oops: int3"))
    return "died of the emulator: it took a breakpoint that was gone";
  return output.includes("@@ start") ? undefined : "died before its first step";
}

async function collect(stream: ReadableStream<Uint8Array>, print?: (text: string) => void): Promise<string> {
  const decoder = new TextDecoder();
  let all = "";
  for await (const piece of stream) {
    const text = decoder.decode(piece, { stream: true });
    all += text;
    print?.(text);
  }
  return all;
}

function readIf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** What is in the tar on the disk for results; nothing if the guest never wrote it. */
async function handedIn(directory: string): Promise<Pick<Result, "statuses" | "files">> {
  const folder = join(directory, "results");
  await mkdir(folder);
  await Bun.$`tar -xf ${join(directory, "out")} -C ${folder}`.quiet().nothrow();
  const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const statuses = new Map<string, number>();
  for (const line of (files.get("status") ?? "").trim().split("\n")) {
    const [name = "", status] = line.split(" ");
    if (status !== undefined) statuses.set(name, Number(status));
  }
  return { statuses, files };
}

const trial: Plan = { steps: [{ name: "trial", command: ["bun", "--version"], limitS: 20 }], limitS: 20, shell: false };

/**
 * KVM where a kernel really boots with it: that there is a device says little, since a hypervisor inside another may lack
 * instructions that kernels use.
 */
export async function bestAccelerator(kernel: Kernel): Promise<Accelerator> {
  if (!existsSync("/dev/kvm")) return "tcg";
  const machine: Machine = { accelerator: "kvm", memoryMiB: 1024, append: "" };
  const { statuses } = await boot(kernel, trial, machine).catch(() => ({ statuses: new Map<string, number>() }));
  return statuses.get("trial") === 0 ? "kvm" : "tcg";
}
