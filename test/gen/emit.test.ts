/** The emitters on small inputs, and what they made of the real ones. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { emitConstants } from "../../gen/constants.ts";
import { emitErrno } from "../../gen/errno.ts";
import { constantsOf, factsOf, fieldOf, structsOf } from "../../gen/facts.ts";
import type { Facts } from "../../gen/facts.ts";
import { groupOf } from "../../gen/groups.ts";
import { emitLayouts } from "../../gen/layouts.ts";
import { emitMatrix, fillReadme, kernelTable } from "../../gen/matrix.ts";
import { emitOperations, operationFaults, operationsOf } from "../../gen/operations.ts";
import type { Operation, OperationNote } from "../../gen/operations.ts";
import { readInputs, ROOT } from "../../gen/project.ts";
import { readSignatures } from "../../gen/signatures.ts";
import type { Since } from "../../gen/since.ts";

const HEADER = `
enum io_uring_op { IORING_OP_NOP, IORING_OP_READV, IORING_OP_LAST };
#define IORING_SETUP_IOPOLL (1U << 0)
#define SPLICE_F_FD_IN_FIXED (1U << 31)
#define IORING_REGISTER_FILES_SKIP (-2)
#define IORING_ZCRX_AREA_MASK (~(((__u64)1 << 48) - 1))
struct io_uring_sqe { __u8 opcode; __u8 flags; __u16 ioprio; __s32 fd; union { __u64 off; __u64 addr2; }; __u8 cmd[0]; };
struct pair { struct { __u32 x; __u64 y[2]; } in; __u32 bit : 1; };`;

function kernel(release: string, header: string): Facts {
  return factsOf({
    origin: { kernel: release, name: `linux-libc-dev ${release}.1`, archive: null },
    sources: [
      { file: "linux/io_uring.h", text: header },
      { file: "asm-generic/errno.h", text: "#define EPERM 1\n#define EAGAIN 3\n#define EWOULDBLOCK EAGAIN" },
    ],
  });
}

const FACTS = kernel("7.3", HEADER);
const SINCE = new Map(
  [...constantsOf(FACTS).keys()].map((n): [string, Since] => [n, { kernel: "5.1", source: "h", exact: false }]),
);
const NOTE: OperationNote = {
  description: "Does it.",
  complexity: "simple",
  priority: "core",
  fields: ["fd", "off"],
  flags: {},
  traits: [],
};

/** Runs an emitted module without the file system. */
async function load(source: string): Promise<Record<string, unknown>> {
  return (await import(
    `data:text/javascript;base64,${btoa(new Bun.Transpiler({ loader: "ts" }).transformSync(source))}`
  )) as Record<string, unknown>;
}

describe("emitConstants()", () => {
  test("emitConstants() writes final literals: positive with bit 31, negative where C has it so, bigint where it must", async () => {
    const module = await load(emitConstants(FACTS, SINCE, {}));
    expect(module).toMatchObject({
      IORING_OP_READV: 1,
      SPLICE_F_FD_IN_FIXED: 2 ** 31,
      IORING_REGISTER_FILES_SKIP: -2,
      IORING_ZCRX_AREA_MASK: 0xffff000000000000n,
    });
  });

  test("emitConstants() documents each with its sentence, kind, bit and first kernel", () => {
    const source = emitConstants(FACTS, SINCE, { IORING_SETUP_IOPOLL: "Polls." });
    expect(source).toContain("/** Polls. Setup flag, bit 0. @kernel 5.1 */\nexport const IORING_SETUP_IOPOLL = 1;");
    expect(source.match(/@kernel/g)).toHaveLength(SINCE.size);
  });

  test("emitConstants() refuses a name without topic or first kernel", () => {
    expect(() => emitConstants(kernel("7.3", "#define STRANGER 1"), SINCE, {})).toThrow("STRANGER belongs to no topic");
    expect(() => emitConstants(FACTS, new Map(), {})).toThrow("IORING_OP_NOP has no first kernel");
  });
});

describe("emitLayouts()", () => {
  test("emitLayouts() writes size, offsets, widths, word indices and strides", async () => {
    expect(await load(emitLayouts(FACTS))).toEqual({
      IO_URING_SQE_SIZE: 16,
      IO_URING_SQE_OFF_OPCODE: 0,
      IO_URING_SQE_LEN_OPCODE: 1,
      IO_URING_SQE_OFF_FLAGS: 1,
      IO_URING_SQE_LEN_FLAGS: 1,
      IO_URING_SQE_OFF_IOPRIO: 2,
      IO_URING_SQE_LEN_IOPRIO: 2,
      IO_URING_SQE_OFF_FD: 4,
      IO_URING_SQE_WORD_FD: 1,
      IO_URING_SQE_LEN_FD: 4,
      IO_URING_SQE_OFF_OFF: 8,
      IO_URING_SQE_WORD_OFF: 2,
      IO_URING_SQE_LEN_OFF: 8,
      IO_URING_SQE_OFF_ADDR2: 8,
      IO_URING_SQE_WORD_ADDR2: 2,
      IO_URING_SQE_LEN_ADDR2: 8,
      IO_URING_SQE_OFF_CMD: 16,
      IO_URING_SQE_LEN_CMD: 0,
      IO_URING_SQE_STRIDE_CMD: 1,
      PAIR_SIZE: 32,
      PAIR_OFF_IN: 0,
      PAIR_WORD_IN: 0,
      PAIR_LEN_IN: 24,
      PAIR_OFF_IN_X: 0,
      PAIR_WORD_IN_X: 0,
      PAIR_LEN_IN_X: 4,
      PAIR_OFF_IN_Y: 8,
      PAIR_WORD_IN_Y: 2,
      PAIR_LEN_IN_Y: 16,
      PAIR_STRIDE_IN_Y: 8,
      PAIR_OFF_BIT: 24,
      PAIR_LEN_BIT: 4,
    });
  });

  test("emitLayouts() refuses two fields of one name", () => {
    const facts = kernel("7.3", "struct s { struct { __u8 b; } a; __u8 a_b; };");
    expect(() => emitLayouts(facts)).toThrow("two fields are both called S_OFF_A_B");
  });
});

describe("emitErrno()", () => {
  test("emitErrno() writes constants and tables; a second name has no place in the tables", async () => {
    const module = await load(emitErrno(FACTS, { EPERM: "not permitted", EAGAIN: "try again" }));
    expect(module).toEqual({
      EPERM: 1,
      EAGAIN: 3,
      EWOULDBLOCK: 3,
      ERRNO_NAMES: ["", "EPERM", "", "EAGAIN"],
      ERRNO_MESSAGES: ["", "not permitted", "", "try again"],
    });
  });

  test("emitErrno() refuses an error without a message", () => {
    expect(() => emitErrno(FACTS, { EPERM: "x" })).toThrow("EAGAIN has no message");
  });
});

describe("emitOperations()", () => {
  test("operationFaults() names every opcode, field and flag that does not exist or is not described", () => {
    const notes = {
      IORING_OP_NOP: { ...NOTE, fields: ["fd", "nowhere"], flags: { off: ["IORING_GHOST", "O_RDONLY"], addr2: [] } },
      IORING_OP_GHOST: NOTE,
    };
    expect(operationFaults(FACTS, notes)).toEqual([
      "IORING_OP_READV: gen/operations.json lacks it",
      "IORING_OP_NOP: io_uring_sqe has no field nowhere",
      "IORING_OP_NOP: has flags for off, which is not among its fields",
      "IORING_OP_NOP: has flags for addr2, which is not among its fields",
      "IORING_OP_NOP: the headers have no IORING_GHOST",
      "IORING_OP_GHOST: in gen/operations.json, in no header",
    ]);
  });

  test("operationsOf() joins notes, first kernels and prep functions by opcode", () => {
    const text = `/** X. @kernel 5.1 @man io_uring_prep_nop(3) */
      export function prepNop(sqe: Slot, fd: number, flags = 0): void { sqe.write(IORING_OP_NOP); }
      /** X. @kernel 5.1 @man io_uring_prep_rw(3) */
      export function prepRw(sqe: Slot, op: number): void { sqe.write(op); }`;
    const signatures = readSignatures([{ file: "nop.ts", text }]);
    const notes = { IORING_OP_NOP: { ...NOTE, traits: ["needsFile"] }, IORING_OP_READV: NOTE };
    const operations = operationsOf(FACTS, SINCE, notes, signatures);
    expect(operations.map((o) => [o.name, o.opcode, o.kernel])).toEqual([
      ["IORING_OP_NOP", 0, "5.1"],
      ["IORING_OP_READV", 1, "5.1"],
    ]);
    expect(operations[0]?.prep).toEqual([
      { name: "prepNop", parameters: ["fd", "flags"], helper: "io_uring_prep_nop" },
    ]);
    expect(operations[0]?.sqeFlags).toContain("IOSQE_FIXED_FILE");
    expect(operations[1]?.sqeFlags).not.toContain("IOSQE_FIXED_FILE");
    const emitted = JSON.parse(emitOperations(FACTS, operations, signatures));
    expect(emitted.anyOperation).toEqual([{ name: "prepRw", parameters: ["op"], helper: "io_uring_prep_rw" }]);
    expect(emitted.generated).toContain("linux-libc-dev 7.3.1");
  });

  test("operations.json lists among an opcode's fields every byte that liburing's helpers ever set", async () => {
    const { operations } = (await Bun.file(join(ROOT, "operations.json")).json()) as { operations: Operation[] };
    const { kernels } = await readInputs();
    const struct = structsOf(kernels.at(-1) as Facts).get("io_uring_sqe");
    const places = new Map(
      struct?.fields.map(fieldOf).map((f) => [f.name, [f.offset, f.name === "cmd" ? 80 : f.width]]),
    );
    const { vectors } = (await Bun.file(join(ROOT, "test/conformance/sqe.json")).json()) as {
      vectors: { helper: string; sqe: string }[];
    };
    const stray = new Set<string>();
    for (const { helper, sqe } of vectors) {
      const bytes = Buffer.from(sqe, "hex");
      const operation = operations.find((o) => o.opcode === bytes[0]);
      const fields = ["opcode", "flags", "user_data", "personality", ...(operation?.fields ?? [])];
      const covered = new Set(fields.flatMap((f) => range(places.get(f) ?? [])));
      // -1 is what liburing writes where there is no descriptor.
      const none = bytes.readInt32LE(4) === -1;
      for (const [i, byte] of bytes.entries()) {
        if (byte !== 0 && !covered.has(i) && !(none && i >= 4 && i < 8))
          stray.add(`${helper} ${operation?.name} byte ${i}`);
      }
    }
    expect(vectors.length).toBeGreaterThan(100);
    // EPOLL_WAIT takes no flags; liburing's helper has the argument for later.
    expect([...stray]).toEqual(["epoll_wait IORING_OP_EPOLL_WAIT byte 28"]);
  });
});

describe("emitMatrix()", () => {
  const older = kernel(
    "6.12",
    "enum io_uring_op { IORING_OP_NOP, IORING_OP_READV, IORING_OP_LAST };\n#define IORING_ENTER_GETEVENTS 1",
  );
  const newer = kernel(
    "6.16",
    "enum io_uring_op { IORING_OP_NOP, IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_LAST };\n#define IORING_ENTER_GETEVENTS 1\n#define IORING_SETUP_IOPOLL 1",
  );
  const since = new Map<string, Since>([
    ["IORING_OP_NOP", { kernel: "5.1", source: "h", exact: false }],
    ["IORING_OP_READV", { kernel: "6.15", source: "h", exact: false }],
    ["IORING_OP_WRITEV", { kernel: "6.16", source: "h", exact: true }],
    ["IORING_OP_LAST", { kernel: "5.1", source: "h", exact: false }],
    ["IORING_ENTER_GETEVENTS", { kernel: "5.1", source: "h", exact: false }],
    ["IORING_SETUP_IOPOLL", { kernel: "6.16", source: "h", exact: true }],
  ]);

  test("emitMatrix() tells what each kernel has, and what was carried back", () => {
    const text = emitMatrix([older, newer], since, {});
    expect(text).toContain("| `IORING_OP_NOP` | 0 | _5.1_ | yes | yes |");
    expect(text).toContain("| `IORING_OP_READV` | 1 | _6.15_ | back | yes |");
    expect(text).toContain("| `IORING_OP_WRITEV` | 2 | 6.16 |  | yes |");
    expect(text).toContain("| `IORING_SETUP_IOPOLL` | 0x1 | 6.16 |  | yes |");
    expect(text).not.toContain("IORING_OP_LAST");
    expect(text).toContain(newer.files["linux/io_uring.h"] ?? "missing");
    expect(text).toContain("| 6.12 | not measured | | |");
  });

  test("emitMatrix() says where a kernel answers otherwise than its headers", () => {
    const sources = { ops: "probe", flags: "query" };
    const text = emitMatrix([older, newer], since, {
      "6.12": {
        release: "6.12.1",
        has: ["IORING_OP_NOP", "IORING_OP_READV", "IORING_OP_WRITEV", "IORING_ENTER_GETEVENTS"],
        unnamed: {},
        sources,
      },
      "6.16": { release: "6.16.3", has: ["IORING_OP_NOP", "IORING_OP_READV"], unnamed: { setup: 6 }, sources },
    });
    expect(text).toContain("| `IORING_OP_READV` | 1 | _6.15_ | back | yes |");
    expect(text).toContain("| `IORING_OP_WRITEV` | 2 | 6.16 | **extra** | **no** |");
    expect(text).toContain("| `IORING_ENTER_GETEVENTS` | 0x1 | _5.1_ | yes | **no** |");
    expect(text).toContain("| 6.12 | 6.12.1 | probe, query | extra `IORING_OP_WRITEV` |");
    expect(text).toContain("no `IORING_SETUP_IOPOLL`, unnamed setup bits 0x6 |");
  });

  test("kernelTable() counts and names what is new", () => {
    expect(kernelTable([older, newer]).split("\n").slice(2)).toEqual([
      "| 6.12 | 2 | 0 | 0 |  |  |",
      "| 6.16 | 3 | 0 | 1 | 2 | WRITEV |",
    ]);
  });

  test("fillReadme() replaces what stands between the markers and nothing else", () => {
    const readme = "# A\n\n<!-- gen:kernels -->old<!-- /gen:kernels -->\n\nB";
    const filled = "# A\n\n<!-- gen:kernels -->\n\n| t |\n\n<!-- /gen:kernels -->\n\nB";
    expect(fillReadme(readme, "| t |")).toBe(filled);
    expect(fillReadme(filled, "| t |")).toBe(filled);
    expect(() => fillReadme("# A", "| t |")).toThrow("README.md has no <!-- gen:kernels -->");
    expect(() => fillReadme("<!-- /gen:kernels --><!-- gen:kernels -->", "| t |")).toThrow("README.md has no");
  });
});

describe("what is generated", () => {
  test("constants.gen.ts holds every constant of the newest headers, and nothing else", async () => {
    const { kernels } = await readInputs();
    const expected = [...constantsOf(kernels.at(-1) as Facts)].map(([name, value]) => [
      name,
      Number.isSafeInteger(Number(value)) ? Number(value) : value,
    ]);
    const module = await import("../../src/abi/constants.gen.ts");
    expect({ ...module }).toEqual(Object.fromEntries(expected));
  });

  test("layout.gen.ts holds every struct and field of the newest headers", async () => {
    const { kernels } = await readInputs();
    const module: Record<string, unknown> = await import("../../src/abi/layout.gen.ts");
    for (const [tag, struct] of structsOf(kernels.at(-1) as Facts)) {
      const prefix = tag.toUpperCase();
      expect(module[`${prefix}_SIZE`]).toBe(struct.size);
      for (const field of struct.fields.map(fieldOf)) {
        expect(module[`${prefix}_OFF_${field.name.replaceAll(".", "_").toUpperCase()}`]).toBe(field.offset);
      }
    }
  });

  test("groupOf() has a topic for every constant of every kernel", async () => {
    const { kernels } = await readInputs();
    const names = new Set(kernels.flatMap((k) => [...constantsOf(k).keys()]));
    expect([...names].filter((name) => !groupOf(name))).toEqual([]);
  });

  test("every generated file begins by saying what it was made from", async () => {
    const { kernels } = await readInputs();
    const { name } = kernels.at(-1) as Facts;
    const files = [
      "src/abi/constants.gen.ts",
      "src/abi/layout.gen.ts",
      "src/abi/errno.gen.ts",
      "src/ring/builders.gen.ts",
      "src/async/operations.gen.ts",
    ];
    for (const file of files) {
      const [first = ""] = (await Bun.file(join(ROOT, file)).text()).split("\n");
      expect(first).toMatch(/^\/\/ Code generated by gen\/emit\.ts from .+, sha256 [0-9a-f]{64}\. DO NOT EDIT\.$/);
      expect(first).toContain(name);
    }
  });
});

function range([offset = 0, width = 0]: readonly number[]): number[] {
  return Array.from({ length: width }, (_, i) => offset + i);
}
