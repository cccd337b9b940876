/** Facts, first kernels and differences, on small invented kernels and on the committed ones. */
import { describe, expect, test } from "bun:test";
import { diffFacts } from "../../gen/diff.ts";
import { compareKernels, constantsOf, factsOf, fieldOf, structsOf } from "../../gen/facts.ts";
import type { Facts } from "../../gen/facts.ts";
import { releaseOf } from "../../gen/headers.ts";
import { readInputs, readKernels } from "../../gen/project.ts";
import { boundsOf, firstKernels } from "../../gen/since.ts";

function kernel(release: string, header: string, errno: string = "#define EPERM 1"): Facts {
  return factsOf({
    origin: { kernel: release, name: `headers ${release}`, archive: null },
    sources: [
      { file: "linux/io_uring.h", text: header },
      { file: "asm-generic/errno.h", text: errno },
    ],
  });
}

const OLD = "enum io_uring_op { IORING_OP_NOP, IORING_OP_LAST };";
const NEW = "enum io_uring_op { IORING_OP_NOP, IORING_OP_READV, IORING_OP_LAST };";

describe("factsOf()", () => {
  test("factsOf() keeps file, enum, value and layout, and hashes the text", () => {
    const facts = kernel(
      "6.1",
      "#define BIG (~(((__u64)1 << 48) - 1))\nstruct s { __u8 a : 3; __u32 b[2]; };\nenum { X };",
    );
    expect(facts.constants).toEqual({
      "linux/io_uring.h": { enum: { X: 0 }, define: { BIG: "18446462598732840960" } },
    });
    expect(facts.structs["linux/io_uring.h"]?.["s"]).toEqual({
      size: 12,
      align: 4,
      fields: ["a 0 1 __u8 bits 0 3", "b 4 8 __u32[2] stride 4"],
    });
    expect(facts.files["linux/io_uring.h"]).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.errno).toEqual({ EPERM: 1 });
  });

  test("factsOf() takes only io_uring's commands from its neighbours' headers", () => {
    const facts = factsOf({
      origin: { kernel: "6.12", name: "h", archive: null },
      sources: [
        { file: "linux/io_uring.h", text: OLD },
        { file: "linux/blkdev.h", text: "#define BLOCK_URING_CMD_DISCARD 4608\n#define OTHER 1" },
        { file: "linux/time_types.h", text: "struct __kernel_timespec { __s64 a; }; struct other { __u8 b; };" },
      ],
    });
    expect([...constantsOf(facts).keys()]).toEqual(["IORING_OP_NOP", "IORING_OP_LAST", "BLOCK_URING_CMD_DISCARD"]);
    expect([...structsOf(facts).keys()]).toEqual(["__kernel_timespec"]);
  });

  test("fieldOf() reads every committed field back", async () => {
    const lines = (await readKernels()).flatMap((k) => [...structsOf(k).values()].flatMap((s) => s.fields));
    expect(lines.length).toBeGreaterThan(1000);
    for (const line of lines) {
      const f = fieldOf(line);
      const stride = f.stride === null ? "" : ` stride ${f.stride}`;
      const bits = f.bits === null ? "" : ` bits ${f.bits.join(" ")}`;
      expect(`${f.name} ${f.offset} ${f.width} ${f.type}${stride}${bits}`).toBe(line);
    }
    expect(() => fieldOf("nonsense")).toThrow("no field: nonsense");
  });

  test("releaseOf() and compareKernels() order releases by number", () => {
    expect(releaseOf("6.12.117-1")).toBe("6.12");
    expect(() => releaseOf("sid")).toThrow("sid does not begin with a kernel release");
    expect(["7.0", "6.2", "5.19", "6.12"].toSorted(compareKernels)).toEqual(["5.19", "6.2", "6.12", "7.0"]);
  });
});

describe("firstKernels()", () => {
  test("boundsOf() is exact for releases in a row, over a major release too", () => {
    const kernels = [kernel("6.1", OLD), kernel("6.18", OLD), kernel("6.19", OLD), kernel("7.0", NEW)];
    expect(boundsOf(kernels).get("IORING_OP_READV")).toEqual({ after: "6.19", by: "7.0", exact: true });
    expect(boundsOf(kernels).get("IORING_OP_NOP")).toEqual({ after: null, by: "6.1", exact: false });
    const apart = [kernel("6.1", OLD), kernel("6.16", NEW)];
    expect(boundsOf(apart).get("IORING_OP_READV")).toEqual({ after: "6.1", by: "6.16", exact: false });
  });

  test("firstKernels() believes headers in a row, and the table elsewhere", () => {
    const table = { "5.1": { IORING_OP_NOP: "history", IORING_OP_LAST: "history" } };
    const { since, faults } = firstKernels([kernel("6.16", OLD), kernel("6.17", NEW)], table);
    expect(faults).toEqual([]);
    expect(since.get("IORING_OP_READV")).toEqual({
      kernel: "6.17",
      source: "headers: absent in 6.16, present in 6.17",
      exact: true,
    });
    expect(since.get("IORING_OP_NOP")).toEqual({ kernel: "5.1", source: "history", exact: false });
  });

  test("firstKernels() names what contradicts the headers, what is missing and what exists nowhere", () => {
    const kernels = [kernel("6.12", OLD), kernel("6.16", OLD), kernel("6.17", NEW)];
    const table = { "5.1": { IORING_OP_NOP: "h" }, "6.14": { IORING_OP_READV: "h" }, "6.0": { GHOST: "h" } };
    expect(firstKernels(kernels, table).faults).toEqual([
      "IORING_OP_READV: gen/since.json says 6.14, the headers say 6.17",
      "IORING_OP_LAST: gen/since.json has no first kernel; the headers say 6.12 or before",
      "GHOST: in gen/since.json, in no header",
    ]);
  });

  test("firstKernels() lets only long-term kernels have a name before its time", () => {
    const table = (at: string): Record<string, Record<string, string>> => ({
      [at]: { IORING_OP_READV: "h" },
      "5.1": { IORING_OP_NOP: "h", IORING_OP_LAST: "h" },
    });
    const carriedBack = firstKernels([kernel("6.17", OLD), kernel("6.18", NEW)], table("7.1"));
    expect(carriedBack.faults).toEqual([]);
    expect(carriedBack.since.get("IORING_OP_READV")?.kernel).toBe("7.1");
    expect(firstKernels([kernel("6.16", OLD), kernel("6.17", NEW)], table("7.1")).faults).toHaveLength(1);
  });

  test("firstKernels() finds no fault in what is committed, and a kernel for every constant", async () => {
    const { kernels, since: table } = await readInputs();
    const { since, faults } = firstKernels(kernels, table);
    expect(faults).toEqual([]);
    expect([...since.keys()].toSorted()).toEqual([...constantsOf(kernels.at(-1) as Facts).keys()].toSorted());
  });
});

describe("diffFacts()", () => {
  test("diffFacts() tells added, removed and changed constants, structs, fields and error numbers", () => {
    const older = kernel(
      "7.2",
      `${OLD}\n#define IORING_SETUP_IOPOLL 1\n#define STRANGER 1\nstruct s { __u32 a; __u32 b; __u64 c; };\nstruct gone { __u8 a; };`,
    );
    const newer = kernel(
      "7.3",
      `${NEW}\n#define IORING_SETUP_IOPOLL 2\nstruct s { __u32 a; __u64 b; __u16 d[2]; };\nstruct fresh { __u8 a; };`,
      "#define EPERM 1\n#define EFTYPE 134",
    );
    expect(diffFacts(older, newer)).toEqual([
      "Opcodes: `sqe->opcode`",
      "  + IORING_OP_READV = 1",
      "  ~ IORING_OP_LAST = 2, was 1",
      "Setup flags: `io_uring_params.flags`",
      "  ~ IORING_SETUP_IOPOLL = 2, was 1",
      "No topic yet (gen/groups.ts)",
      "  - STRANGER",
      "~ struct s",
      "  ~ size 24, was 16",
      "  ~ b: __u64, 8 bytes at 8; was b: __u32, 4 bytes at 4",
      "  + d: __u16[2], 4 bytes at 16",
      "  - c",
      "+ struct fresh, 1 bytes",
      "  + a: __u8, 1 bytes at 0",
      "- struct gone",
      "Error numbers",
      "  EFTYPE = 134",
    ]);
    expect(diffFacts(older, older)).toEqual([]);
  });
});
