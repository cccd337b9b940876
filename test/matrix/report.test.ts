/** What the matrix reads from its guests, and what it makes of skips: a mistake here would hide failures. */
import { describe, expect, test } from "bun:test";
import { stumble } from "./boot.ts";
import { kernels } from "./kernels.ts";
import { between, merged, readmeText, resultsText, rowsOf } from "./record.ts";
import { judge, knownTo, readJunit } from "./report.ts";
import { stepsOf } from "./steps.ts";
import { complaints, isGood, tableOf, verdictOf } from "./summary.ts";
import { readKernels } from "../../gen/project.ts";

const facts = await readKernels();
const newest = facts.at(-1);
if (newest === undefined) throw new Error("there are no facts");
const old = facts.find(({ kernel }) => kernel === "5.10") ?? newest;
const has = knownTo(old, newest);

describe("readJunit()", () => {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="6" failures="2" skipped="3">
  <testsuite name="a.test.ts" file="a.test.ts">
    <testcase name="passes" classname="" time="0.1" file="a.test.ts" line="2" />
    <testcase name="fails &lt;x&gt; &amp; &quot;y&quot;" file="a.test.ts">
      <failure type="AssertionError" message="one&#10;two">one
two > three</failure>
    </testcase>
    <testcase name="slow" file="a.test.ts"><failure type="TimeoutError" message="test timed out" /></testcase>
    <testsuite name="group (needs IORING_OP_LISTEN, Linux 6.11)">
      <testcase name="in it"><skipped /></testcase>
    </testsuite>
    <testcase name="after it"><skipped message="TODO" /></testcase>
  </testsuite>
</testsuites>`;

  test("counts, names and explains", () => {
    expect(readJunit(xml)).toEqual({
      passed: 1,
      failed: [
        { title: 'a.test.ts > fails <x> & "y"', message: "one\ntwo" },
        { title: "a.test.ts > slow", message: "test timed out" },
      ],
      skipped: [
        { title: "a.test.ts > group (needs IORING_OP_LISTEN, Linux 6.11) > in it", message: "" },
        { title: "a.test.ts > after it", message: "" },
      ],
    });
  });

  test("finds nothing where there is nothing", () => {
    expect(readJunit("")).toEqual({ passed: 0, failed: [], skipped: [] });
  });
});

describe("judge()", () => {
  test.each([
    ["x (needs IORING_OP_LISTEN, Linux 6.11)", { kind: "kernel", names: ["IORING_OP_LISTEN"] }],
    [
      "x (needs IORING_OP_READ, Linux 5.6; IORING_OP_LISTEN, Linux 6.11)",
      { kind: "kernel", names: ["IORING_OP_LISTEN"] },
    ],
    ["x (needs IORING_OP_READ, Linux 5.6)", { kind: "wrong" }],
    ["x (needs IORING_OP_READ, Linux 5.6) > y", { kind: "wrong" }],
    ["x (needs IORING_OP_READ, Linux 5.6; root)", { kind: "machine" }],
    ["x (needs long lengths in IORING_OP_MADVISE, Linux 6.11)", { kind: "kernel" }],
    ["x (needs long lengths in IORING_OP_MADVISE, Linux 5.6)", { kind: "wrong" }],
    ["x (needs the sysctl kernel.io_uring_disabled, Linux 6.6)", { kind: "kernel" }],
    ["x (needs the sysctl kernel.io_uring_disabled, Linux 5.6)", { kind: "wrong" }],
    ["x (needs IORING_OP_READ, Linux 5.6, and root)", { kind: "wrong" }],
    ["x (needs waits that know of it, later than Linux 5.10)", { kind: "kernel" }],
    ["x (needs waits that know of it, later than Linux 5.9)", { kind: "wrong" }],
    ["x (needs a disk named by URING_TEST_NVME_DEVICE)", { kind: "machine" }],
    ["x (needs IORING_OP_LISTEN, Linux 6.11) > y (needs IORING_OP_READ, Linux 5.6)", { kind: "kernel" }],
    ["x (needs a kernel without IORING_OP_READ)", { kind: "kernel", names: ["without IORING_OP_READ"] }],
    ["x (needs a kernel without IORING_OP_LISTEN)", { kind: "wrong" }],
    ["x (needs a C compiler)", { kind: "machine", reason: "a C compiler" }],
    ["x (skipped: no C compiler)", { kind: "machine", reason: "no C compiler" }],
    ["x (needs IORING_OP_THAT_IS_NONE, Linux 9.1)", { kind: "wrong" }],
    ["x", { kind: "wrong", reason: "no reason is given" }],
  ])("%s", (title, expected) => {
    expect(judge(title, "5.10", has)).toMatchObject(expected);
  });

  test("the same skip is right on an old kernel and wrong on the newest", () => {
    const title = "x (needs IORING_SETUP_SQ_REWIND, Linux 7.0)";
    expect(judge(title, "5.10", has).kind).toBe("kernel");
    expect(judge(title, newest.kernel, knownTo(newest, newest)).kind).toBe("wrong");
  });
});

describe("verdictOf()", () => {
  const kernel = { kernel: "5.10", release: "5.10.0", version: "1", image: "", modules: "" };
  const steps = ["a", "b", "c"].map((name) => ({ name, command: [], limitS: 1 }));
  const result = {
    statuses: new Map([
      ["a", 0],
      ["b", 137],
    ]),
    files: new Map([
      ["a.xml", '<testcase name="x (needs IORING_OP_READ, Linux 5.6)"><skipped /></testcase><testcase name="y" />'],
      ["release", "5.10.0-1\n"],
    ]),
    output: "",
    console: "",
    seconds: 12.3,
    ended: false,
  };

  test("counts a wrong skip, a step that hung, one that never came, and a guest that died", () => {
    const verdict = verdictOf(kernel, steps, result, has);
    expect(isGood(verdict)).toBe(false);
    expect([verdict.passed, verdict.failed.length, verdict.release]).toEqual([1, 1, "5.10.0-1"]);
    expect(complaints(verdict)).toEqual([
      "b took too long or was killed",
      "c was not finished",
      "the guest did not come to its end",
      "x (needs IORING_OP_READ, Linux 5.6)\n    wrongly skipped: 5.10 has IORING_OP_READ",
    ]);
    expect(tableOf([verdict]).split("\n").at(-1)).toBe("| 5.10 | 5.10.0-1 | 1 | 1 | 0 | 0 | 3 | 12 |");
  });

  test("a kernel that is missing is in the table as that", () => {
    const verdict = { ...verdictOf(kernel, [], { ...result, ended: true }, has), release: "", troubles: ["gone"] };
    expect(isGood(verdict)).toBe(false);
    expect(tableOf([verdict])).toContain("| 5.10 | missing |");
  });
});

describe("stepsOf()", () => {
  test("without a command every test about a kernel is a step of its own, after the question what there is", () => {
    const steps = stepsOf([], 1);
    expect(steps[0]?.name).toBe("ask");
    const files = steps.slice(1).map(({ command }) => command.at(-1));
    expect(files).toContain("./test/ring/layouts.test.ts");
    expect(files.filter((path) => /gen|tidy|matrix|arm64/.test(path ?? ""))).toEqual([]);
    expect(new Set(steps.map(({ name }) => name)).size).toBe(steps.length);
  });

  test("pieces of paths choose, and another command is one step", () => {
    expect(stepsOf(["bun", "test", "--bail", "ring/layouts"], 1).map(({ command }) => command.slice(-3))).toEqual([
      ["--reporter-outfile=/out/ring-layouts.xml", "--bail", "./test/ring/layouts.test.ts"],
    ]);
    expect(stepsOf(["sh", "-c", "true"], 7)).toEqual([{ name: "sh", command: ["sh", "-c", "true"], limitS: 7 }]);
    expect(() => stepsOf(["bun", "test", "no/such/file"], 1)).toThrow("no test file fits");
  });
});

describe("what is recorded", () => {
  const verdict = {
    kernel: "6.1",
    release: "6.1.0-1",
    version: "1",
    passed: 5,
    failed: [{ title: "x > y", message: "not\n  equal" }],
    lacking: new Map([["IORING_OP_LISTEN", 2]]),
    machine: new Map([["a C compiler", 1]]),
    troubles: ["z took too long or was killed"],
    seconds: 1.5,
  };
  const machine = { accelerator: "tcg" as const, memoryMiB: 1024, append: "" };
  const old = rowsOf([{ ...verdict, kernel: "7.3" }, verdict], machine, "aaaaaaa", "2020-01-01");
  const again = rowsOf([{ ...verdict, failed: [], troubles: [] }], machine, "bbbbbbb", "2020-01-02");
  const small = rowsOf([verdict], { ...machine, memoryMiB: 512 }, "ccccccc", "2020-01-03");

  test("a run replaces its own kernels' rows and leaves the others with their days and commits", () => {
    const rows = merged(old, [...small, ...again]);
    expect(rows.map(({ name, day, commit }) => [name, day, commit])).toEqual([
      ["6.1", "2020-01-02", "bbbbbbb"],
      ["6.1, 512 MiB", "2020-01-03", "ccccccc"],
      ["7.3", "2020-01-01", "aaaaaaa"],
    ]);
  });

  test("a run of some of the tests is a row of its own, which says so", () => {
    const part = rowsOf([verdict], machine, "ddddddd", "2020-01-04", ["test/kernel", "test/ring"]);
    const names = merged(old, part).map(({ name }) => name);
    expect(names).toEqual(["6.1", "6.1, only test/kernel test/ring", "7.3"]);
    expect(resultsText(part)).toContain("| 6.1 | some | 6.1.0-1 |");
    expect(resultsText(part)).toContain("_Some_ are those in `test/kernel test/ring`.");
    expect(readmeText(part)).toMatch(/No run of all tests is recorded of 5\.10, 6\.1, 6\.12,/);
    // A later run of all of them takes its place.
    expect(merged(merged(old, part), again).map(({ name }) => name)).toEqual(["6.1", "7.3"]);
  });

  test("the pages tell failures, troubles and skips, and name the kernels that were never run", () => {
    const text = resultsText(merged(old, again));
    expect(text).toContain("| 6.1 | all | 6.1.0-1 | 5 | 0 | 2 | 1 | 0 | 2 | 2020-01-02 | bbbbbbb |");
    expect(text).toContain("| 7.3 | all | 6.1.0-1 | 5 | 1 | 2 | 1 | 1 | 2 | 2020-01-01 | aaaaaaa |");
    expect(text).toMatch(/No run of all tests is recorded of 5\.10, 6\.12,/);
    expect(text).toContain("### 7.3\n\n- z took too long or was killed\n- x \\> y: not");
    expect(text).not.toContain("### 6.1");
    expect(text).toContain("- IORING_OP_LISTEN: 6.1 (2); 7.3 (2)");
    expect(text).toContain("- a C compiler: 6.1 (1); 7.3 (1)");
    expect(readmeText(old)).toContain("| 7.3 | all | 6.1.0-1 | 5 | 2 | 3 | 2020-01-01 |");
    expect(resultsText(merged([], again))).toContain("## What failed\n\nNothing.");
  });

  test("between() replaces what is between markers, and wants both", () => {
    expect(between("a <!-- m -->old<!-- /m --> b", "m", "new")).toBe("a <!-- m -->\n\nnew\n\n<!-- /m --> b");
    expect(() => between("a <!-- /m --> <!-- m -->", "m", "new")).toThrow("there is no <!-- m -->");
  });
});

test("every kernel that there are facts of is booted", () => {
  const names = kernels.map(({ kernel }) => kernel);
  expect(names).toEqual(expect.arrayContaining(facts.map(({ kernel }) => kernel)));
  expect(new Set(names).size).toBe(names.length);
});

describe("a guest that did not end", () => {
  const tcg = { accelerator: "tcg" } as const;
  const died = { ended: false, output: "@@ start one at 1\n", console: "BUG: kernel NULL pointer dereference" };

  test("is booted again where the emulator is to blame, or nothing had run", () => {
    expect(stumble({ ...died, console: "[ 4.1] Oops: int3: 0000 [#1] SMP NOPTI" }, tcg)).toContain("emulator");
    expect(stumble({ ...died, output: "" }, tcg)).toContain("first step");
  });

  test("is not where the kernel may be, nor where it did end", () => {
    expect(stumble(died, tcg)).toBeUndefined();
    expect(stumble({ ...died, console: "Oops: int3", ended: true }, tcg)).toBeUndefined();
    expect(stumble({ ...died, console: "Oops: int3" }, { accelerator: "kvm" })).toBeUndefined();
  });
});
