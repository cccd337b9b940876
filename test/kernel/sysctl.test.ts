/**
 * A system where io_uring is forbidden by kernel.io_uring_disabled: what is said of it, and what goes on. The setting is
 * the whole system's: the tests run only where the system was made for them.
 */
import { afterEach, expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { Ring } from "../../src/index.ts";
import type { Attempt } from "../support/attempt.ts";
import { report } from "../support/child.ts";
import { complete } from "../support/complete.ts";
import { needsThat } from "../support/kernel.ts";
import { asNobody, noSysctl } from "../support/launch.ts";
import { patience } from "../support/patience.ts";
import { answerUnder, suiteUnder } from "../support/surroundings.ts";

const setting = "/proc/sys/kernel/io_uring_disabled";
const own = process.env["URING_TEST_OWN_SYSTEM"] !== undefined;
const forbidding = own
  ? needsThat(noSysctl === undefined, noSysctl ?? "")
  : needsThat(false, "a system of its own, which URING_TEST_OWN_SYSTEM says it is");

const forbid = (level: number): void => writeFileSync(setting, String(level));
const attempt = (launcher: readonly string[] = []): Attempt => report<Attempt>("attempt.ts", ["ring", "{}"], launcher);

afterEach(() => {
  if (own && noSysctl === undefined) forbid(0);
});

forbidding("at 2 nobody gets a ring, and is told how to", () => {
  forbid(2);
  const { code, message } = attempt();
  expect(code).toBe("EPERM");
  expect(message).toContain("kernel.io_uring_disabled = 2");
  expect(message).toContain("sysctl -w kernel.io_uring_disabled=0");
});

forbidding("at 1 only who may do everything gets one", () => {
  forbid(1);
  expect(attempt().message).toBe("made");
  const { code, message } = attempt(asNobody);
  expect(code).toBe("EPERM");
  expect(message).toContain("kernel.io_uring_disabled = 1");
});

forbidding("at 0 everybody gets one", () => {
  forbid(0);
  expect(attempt(asNobody).message).toBe("made");
});

forbidding("a ring that is there goes on", () => {
  using ring = new Ring(4);
  forbid(2);
  ring.prepNop();
  expect(complete(ring)).toBe(0);
  expect(() => new Ring(4)).toThrow(expect.objectContaining({ code: "EPERM" }));
});

/** The modules that people swap in, with the quicker of their suites; at 1 for somebody who may do nothing special. */
for (const [level, launcher] of [
  [1, asNobody],
  [2, []],
] as const) {
  forbidding(
    `at ${level} bun-uring/fs and bun-uring/net are Bun's own, say so, and work`,
    async () => {
      forbid(level);
      const there = { missing: undefined, launcher, env: { URING_TEST_BACKEND: "bun" } };
      for (const module of ["fs", "net"]) {
        expect([module, await answerUnder(there, `src/${module}/index.ts`, "backend()")]).toEqual([module, "bun"]);
      }
      const read = `readFile(${JSON.stringify(import.meta.path)}, "utf8").then((text) => process.stdout.write(text)) && ""`;
      expect(await answerUnder(there, "src/fs/index.ts", read)).toBe(readFileSync(import.meta.path, "utf8").trim());
      const suites = ["test/fs/shape.test.ts", "test/net/connect.test.ts"];
      const { exitCode, failed, pass } = await suiteUnder(there, suites);
      expect(failed).toEqual([]);
      expect(exitCode).toBe(0);
      expect(pass).toBeGreaterThan(50);
    },
    120_000 * patience,
  );
}
