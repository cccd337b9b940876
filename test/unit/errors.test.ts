import { describe, expect, test } from "bun:test";
import * as errno from "../../src/abi/errno.gen.ts";
import {
  describe as describeValue,
  errnoMessage,
  errnoName,
  rangeError,
  stateError,
  typeError,
  UringError,
} from "../../src/errors.ts";

describe("UringError", () => {
  test("is shaped like Node's SystemError", () => {
    const error = new UringError(-125, "IORING_OP_READ");
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "UringError", code: "ECANCELED", errno: -125, syscall: "IORING_OP_READ" });
    expect(error.message).toMatch(/^ECANCELED: [a-z ]+, IORING_OP_READ$/);
    expect(String(error)).toStartWith("UringError: ECANCELED: ");
    expect(error.stack).toContain("errors.test.ts");
  });

  test("takes the number with either sign", () => {
    expect(new UringError(9, "io_uring_enter")).toMatchObject({ code: "EBADF", errno: -9 });
    expect(new UringError(-9, "io_uring_enter")).toMatchObject({ code: "EBADF", errno: -9 });
  });

  test("ends with the advice", () => {
    expect(new UringError(-1, "io_uring_setup", "ask for leave").message).toMatch(/, io_uring_setup: ask for leave$/);
    expect(new UringError(-1, "io_uring_setup").message).toMatch(/, io_uring_setup$/);
  });

  test("has a message of the same form as Node's for the same error", () => {
    let node: unknown;
    try {
      require("node:fs").openSync("/nowhere/at/all");
    } catch (error) {
      node = error;
    }
    const ours = new UringError(-errno.ENOENT, "open", "'/nowhere/at/all'");
    expect(node).toMatchObject({ code: ours.code, errno: ours.errno, syscall: ours.syscall });
    const form = /^(E[A-Z]+): [^,:]+, (\w+)/;
    expect(form.exec(ours.message)?.slice(1)).toEqual(form.exec((node as Error).message)?.slice(1) ?? []);
  });

  test("says so where it has no name for a number", () => {
    expect(new UringError(-4000, "io_uring_enter")).toMatchObject({
      code: "UNKNOWN",
      errno: -4000,
      message: "UNKNOWN: unknown error 4000, io_uring_enter",
    });
  });
});

const numbers = Object.entries(errno).flatMap(([name, value]): [string, number][] => {
  return typeof value === "number" ? [[name, value]] : [];
});

describe("errnoName() and errnoMessage()", () => {
  test("know every error number of the kernel", () => {
    expect(numbers.length).toBeGreaterThan(130);
    for (const [name, number] of numbers) {
      // Where two names share a number, either is right.
      const names = numbers.filter(([, other]) => other === number).map(([other]) => other);
      expect(names).toContain(name);
      expect(names).toContain(errnoName(number));
      expect(errnoName(-number)).toBe(errnoName(number));
      expect(errnoMessage(number)).toMatch(/^[^A-Z\s].*\S$|^[A-Z]/);
      expect(errnoMessage(-number)).toBe(errnoMessage(number));
    }
  });

  test("agree with this system's own table where it has one", () => {
    const table = require("node:util").getSystemErrorMap() as Map<number, [string, string]>;
    const both = numbers.filter(([, number]) => table.has(-number));
    expect(both.length).toBeGreaterThan(40);
    for (const [, number] of both) {
      // The C library's name for it, which the kernel does not know.
      const theirs = table.get(-number)?.[0].replace(/^ENOTSUP$/, "EOPNOTSUPP");
      expect(errnoName(number)).toBe(theirs ?? "none");
    }
  });

  test("know those that io_uring answers with and Node has no name for", () => {
    expect([62, 77, 105, 125].map(errnoName)).toEqual(["ETIME", "EBADFD", "ENOBUFS", "ECANCELED"]);
  });

  test("say so of a number that is none", () => {
    // 41 and 58 are holes in the kernel's own list.
    for (const number of [0, 41, 58, 4000]) {
      expect(errnoName(number)).toBe("UNKNOWN");
      expect(errnoMessage(-number)).toBe(`unknown error ${number}`);
    }
  });
});

test("typeError(), rangeError() and stateError() carry their code", () => {
  expect(typeError("ERR_URING_ARG_TYPE", "one")).toBeInstanceOf(TypeError);
  expect(typeError("ERR_URING_ARG_TYPE", "one")).toMatchObject({ code: "ERR_URING_ARG_TYPE", message: "one" });
  expect(rangeError("ERR_URING_ARG_VALUE", "two")).toBeInstanceOf(RangeError);
  expect(rangeError("ERR_URING_ARG_VALUE", "two")).toMatchObject({ code: "ERR_URING_ARG_VALUE", message: "two" });
  expect(stateError("ERR_URING_CLOSED", "three").constructor).toBe(Error);
  expect(stateError("ERR_URING_CLOSED", "three")).toMatchObject({ code: "ERR_URING_CLOSED", message: "three" });
});

test.each([
  [null, "null"],
  [undefined, "undefined"],
  ["short", '"short"'],
  ['with "quotes"\n', '"with \\"quotes\\"\\n"'],
  ["x".repeat(41), `"${"x".repeat(40)}…"`],
  [5, "5"],
  [-0.5, "-0.5"],
  [5n, "5n"],
  [true, "true"],
  [Symbol("s"), "Symbol(s)"],
  [[1], "an instance of Array"],
  [new Map(), "an instance of Map"],
  [Object.create(null), "an instance of Object"],
  [() => 0, "a function"],
])("describe() names %p", (value, text) => {
  expect(describeValue(value)).toBe(text);
});
