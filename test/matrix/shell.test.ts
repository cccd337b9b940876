/** The prompt in a guest, as a person uses it. */
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../../gen/apt.ts";
import { bun } from "../support/child.ts";
import { needsThat } from "../support/kernel.ts";
import { kernels } from "./kernels.ts";

const LIMIT_MS = 120_000;
const newest = kernels.findLast(({ kernel }) => existsSync(join(cacheFolder(), "kernels", `${kernel}.json`)));
const there = newest !== undefined && Bun.which("qemu-system-x86_64") !== null && process.arch === "x64";

needsThat(there, "QEMU, and a kernel that test:kernels has fetched before")(
  "--shell takes commands, and exit ends it",
  async () => {
    const child = Bun.spawn([...bun, join(import.meta.dir, "run.ts"), "--shell", "--only", newest?.kernel ?? ""], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      timeout: LIMIT_MS,
    });
    let said = "";
    let asked = false;
    for await (const bytes of child.stdout) {
      said += Buffer.from(bytes).toString();
      if (asked || !said.includes("built-in shell")) continue;
      asked = true;
      child.stdin.write("uname -r\necho $((6 * 7))\nexit\n");
      child.stdin.flush();
    }
    expect(said).toMatch(/^\d+\.\d+\S*-amd64\r?$/m);
    expect(said).toMatch(/^42\r?$/m);
    expect(await child.exited).toBe(0);
  },
  LIMIT_MS,
);
