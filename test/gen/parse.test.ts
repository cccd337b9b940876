/** The header reader on C that is harder than the kernel's own. */
import { describe, expect, test } from "bun:test";
import { layoutOf } from "../../gen/layout.ts";
import type { Layout } from "../../gen/layout.ts";
import { parse } from "../../gen/parse.ts";

function read(text: string): ReturnType<typeof parse> {
  return parse([{ file: "t.h", text }]);
}

function values(text: string): Record<string, bigint> {
  return Object.fromEntries(read(text).constants.map((c) => [c.name, c.value]));
}

function layout(text: string, tag: string): Layout {
  const found = read(text).records.get(tag);
  if (!found) throw new Error(`no struct ${tag}`);
  return layoutOf(found.record);
}

function offsets(text: string, tag: string): Record<string, [number, number]> {
  return Object.fromEntries(layout(text, tag).fields.map((f) => [f.name, [f.offset, f.width]]));
}

describe("parse() reads macros", () => {
  test("parse() gives expressions the width and sign that C gives them", () => {
    const text = `
      #define ALL (~0U)
      #define ALL_SIGNED (~0)
      #define TOP (1U << 31)
      #define WRAPPED (1U << 31 << 1)
      #define BIG (1ULL << 40)
      #define MASK (~(((__u64)1 << 48) - 1))
      #define NARROW ((__u8)0x1ff)
      #define SIGNED_CAST ((__s16)0xffff)
      #define MIXED (-1 < 0U)
      #define NEGATIVE (-2)
      #define OCTAL 0777
      #define CHOICE (2 > 1 ? 10 : 20)
      #define PRECEDENCE (1 | 2 ^ 3 & 4 << 1 + 1)
      #define LETTER 'A'`;
    expect(values(text)).toEqual({
      ALL: 0xffffffffn,
      ALL_SIGNED: -1n,
      TOP: 0x80000000n,
      WRAPPED: 0n,
      BIG: 1n << 40n,
      MASK: 0xffff000000000000n,
      NARROW: 0xffn,
      SIGNED_CAST: -1n,
      MIXED: 0n,
      NEGATIVE: -2n,
      OCTAL: 511n,
      CHOICE: 10n,
      PRECEDENCE: 3n,
      LETTER: 65n,
    });
  });

  test("parse() resolves macros through macros, later ones included, and through function-like ones", () => {
    const text = `
      #define FIRST (SECOND + 1)
      #define _IOC(dir, type, nr, size) (((dir) << 30) | ((type) << 8) | ((nr) << 0) | ((size) << 16))
      #define _IO(type, nr) _IOC(0U, (type), (nr), 0)
      #define SECOND 41
      #define COMMAND _IO(0x12, 1)`;
    expect(values(text)).toEqual({ FIRST: 42n, SECOND: 41n, COMMAND: 0x1201n });
  });

  test("parse() passes over what has no value: guards, text, attributes, types", () => {
    const { constants, skipped } = read(`
      #ifndef GUARD_H
      #define GUARD_H
      #define NAME "text"
      #define PACKED __attribute__((packed))
      #define LOOP LOOP
      #define VALUE 1
      #endif`);
    expect(constants.map((c) => c.name)).toEqual(["VALUE"]);
    expect(skipped).toEqual(["GUARD_H", "NAME", "PACKED", "LOOP"]);
  });

  test("parse() follows conditionals, nested and with defined()", () => {
    const text = `
      #define HAVE 2
      #if defined(HAVE) && HAVE > 1 && !defined MISSING
      #define A 1
      #if 0
      #define B 1
      #elif 1
      #define B 2
      #else
      #define B 3
      #endif
      #else
      #define A 2
      #if 1
      #define C 1
      #endif
      #endif
      #ifdef __cplusplus
      extern "C" {
      #endif`;
    expect(values(text)).toEqual({ HAVE: 2n, A: 1n, B: 2n });
  });

  test("parse() joins continued lines and drops comments wherever they stand", () => {
    const text =
      "#define A \\\n  (1 /* one\n   two */ | \\\n   2) // rest \\\n   of it\n#define B /**/ 3\n#define C '\"'\n#define D 4 // \"";
    expect(values(text)).toEqual({ A: 3n, B: 3n, C: 34n, D: 4n });
  });
});

describe("parse() reads enums", () => {
  test("parse() counts on from given values, and lets enumerators use earlier ones and sizes", () => {
    const text = `
      struct pair { __u32 a; __u64 b; };
      enum tag {
        ZERO, ONE,
        TEN = 10, ELEVEN,
        FLAG = 1U << 31,
        SUM = ONE + ELEVEN,
        SIZE = sizeof(struct pair),
      #define SAME SAME
        SAME = 7,
        LAST
      };
      enum { ANONYMOUS = -1, NEXT };`;
    const { constants } = read(text);
    expect(Object.fromEntries(constants.map((c) => [c.name, c.value]))).toEqual({
      ZERO: 0n,
      ONE: 1n,
      TEN: 10n,
      ELEVEN: 11n,
      FLAG: 0x80000000n,
      SUM: 12n,
      SIZE: 16n,
      SAME: 7n,
      LAST: 8n,
      ANONYMOUS: -1n,
      NEXT: 0n,
    });
    expect(constants.map((c) => c.enum)).toEqual([...Array(9).fill("tag"), "", ""]);
  });
});

describe("layoutOf() places fields", () => {
  test("layoutOf() aligns members and pads the end", () => {
    expect(layout("struct s { __u8 a; __u16 b; __u8 c; __u64 d; __u8 e; };", "s")).toMatchObject({
      size: 24,
      align: 8,
    });
    expect(offsets("struct s { __u8 a; __u16 b; __u8 c; __u64 d; __u8 e; };", "s")).toEqual({
      a: [0, 1],
      b: [2, 2],
      c: [4, 1],
      d: [8, 8],
      e: [16, 1],
    });
  });

  test("layoutOf() gives the members of anonymous structs and unions to the record around them", () => {
    const text = `
      struct s {
        __u32 head;
        union {
          __u64 wide;
          struct { __u32 low; __u32 high; };
          struct { __u16 x; union { __u8 y; __u16 z; }; } named;
        };
        union { __u16 index; __u16 group; } __attribute__((packed));
        __u16 tail;
      };`;
    expect(offsets(text, "s")).toEqual({
      head: [0, 4],
      wide: [8, 8],
      low: [8, 4],
      high: [12, 4],
      named: [8, 4],
      "named.x": [8, 2],
      "named.y": [10, 1],
      "named.z": [10, 2],
      index: [16, 2],
      group: [16, 2],
      tail: [18, 2],
    });
  });

  test("layoutOf() knows flexible arrays in all their forms", () => {
    const text = `
      struct item { __u64 a; __u32 b; };
      struct plain { __u32 n; __u64 items[]; };
      struct zero { __u32 n; __u8 cmd[0]; };
      struct helper { __u16 n; __DECLARE_FLEX_ARRAY(struct item, items); };
      struct inUnion { union { struct { __u64 r; __u16 tail; }; __DECLARE_FLEX_ARRAY(struct item, items); }; };`;
    expect(layout(text, "plain")).toMatchObject({ size: 8, align: 8 });
    expect(offsets(text, "plain")["items"]).toEqual([8, 0]);
    expect(offsets(text, "zero")["cmd"]).toEqual([4, 0]);
    const helper = layout(text, "helper");
    expect(helper.size).toBe(8);
    expect(helper.fields.at(-1)).toMatchObject({ offset: 8, width: 0, stride: 16, type: "struct item[]" });
    expect(layout(text, "inUnion").size).toBe(16);
  });

  test("layoutOf() places arrays, several declarators, pointers and nested structs", () => {
    const text = `
      struct inner { __u32 a, b[3], *p; };
      struct outer { char name[5]; struct inner in[2]; enum kind k; unsigned long long last; __u8 grid[2][3]; };`;
    expect(offsets(text, "inner")).toEqual({ a: [0, 4], b: [4, 12], p: [16, 8] });
    expect(offsets(text, "outer")).toEqual({ name: [0, 5], in: [8, 48], k: [56, 4], last: [64, 8], grid: [72, 6] });
    expect(layout(text, "outer").fields.find((f) => f.name === "grid")?.type).toBe("__u8[2][3]");
  });

  test("layoutOf() packs and aligns as attributes ask", () => {
    expect(layout("struct s { __u8 a; __u64 b; } __attribute__((packed));", "s")).toMatchObject({ size: 9, align: 1 });
    expect(layout("struct __attribute__((packed, aligned(4))) s { __u8 a; __u32 b; };", "s").size).toBe(8);
    expect(offsets("struct s { __u8 a; __u8 b __attribute__((aligned(16))); };", "s")).toEqual({
      a: [0, 1],
      b: [16, 1],
    });
  });

  test("layoutOf() places bit-fields", () => {
    const { size, fields } = layout("struct s { __u32 a : 3; __u32 b : 30; __u8 c : 4; __u8 : 0; __u8 d : 2; };", "s");
    expect(size).toBe(12);
    expect(fields.map((f) => [f.name, f.offset, f.bits])).toEqual([
      ["a", 0, [0, 3]],
      ["b", 4, [0, 30]],
      ["c", 8, [0, 4]],
      ["d", 9, [0, 2]],
    ]);
  });
});

describe("parse() refuses what it cannot read", () => {
  test.each([
    ["struct s { unknown_t a; };", "t.h:1: unknown type unknown_t"],
    ["struct s { struct missing a; };", "struct missing has no known size"],
    ["\nenum e { A = NOWHERE };", "t.h:2: NOWHERE has no value"],
    ["enum e { A = 1 / 0 };", "division by zero"],
    ["#if 1\n", "t.h:1: #if without #endif"],
    ["#else\n", "t.h:1: #else without #if"],
    ["/* never", "t.h:1: comment never ends"],
    ["#error no\n", "t.h:1: #error no"],
    ["#define CAT(a, b) a##b\nenum e { A = CAT(1, 2) };", "uses # or ##"],
    ["struct s { __u32 a __attribute__((mode(DI))); };", "DI has no value"],
    ["struct s { __u32 a; } x;", "a declaration that this reader does not know"],
    ["int @;", 'unexpected character "@"'],
  ])("parse() names what is wrong with %j", (text, message) => {
    expect(() => {
      for (const { record } of read(text).records.values()) layoutOf(record);
    }).toThrow(message);
  });

  test("parse() passes over inline functions and external declarations", () => {
    const text = "static inline int f(int a) { if (a) { return 1; } return 0; }\nextern int g(void);\n#define AFTER 1";
    expect(values(text)).toEqual({ AFTER: 1n });
  });
});
