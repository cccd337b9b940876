/**
 * The only door to the kernel. Every function here is one system call and returns what the kernel returned: a result,
 * or `-errno`. Nothing throws but {@link syscalls} itself, where this machine cannot run io_uring at all.
 *
 * Two ways lead through the door. shim.c, compiled by Bun's TinyCC at first use, is the usual one. Where TinyCC is
 * absent or disabled (`bun --no-ffi-cc`), libc's own `syscall(2)` is bound instead.
 */
import { cc, dlopen, linkSymbols, read } from "bun:ffi";
import { closeSync, writeSync } from "node:fs";
import leave from "./leave.c" with { type: "text" };
import shim from "./shim.c" with { type: "text" };

/** What can be done when a Worker is terminated: by close(2), and by what leave.c has. */
export type Farewell = "close" | "closeAll" | "leave" | "remove";

/**
 * What is done when this thread, a Worker's, ends, in whatever way: by being terminated as well, of which no JavaScript
 * is told. The latest is done first. It comes before the engine gives any memory back.
 */
export interface Farewells {
  /**
   * Has something done: a descriptor closed, or all that a table at an address has, or a ring left that is described
   * there, or a path removed that stands there.
   */
  add(what: Farewell, argument: number): void;
  /** Has it not done. */
  remove(what: Farewell, argument: number): void;
}

/** The system calls that a ring is made of. Addresses are numbers, 0 is NULL; every result below 0 is `-errno`. */
export interface Syscalls {
  /** Which way the calls go: compiled shim or libc's `syscall(2)`. */
  readonly backend: "tinycc" | "libc";
  /** What is done when the thread ends; undefined on the main thread, and where there is no compiled shim. */
  readonly farewells: Farewells | undefined;
  /** io_uring_setup(2): a ring's descriptor. @man io_uring_setup(2) @kernel 5.1 */
  setup(entries: number, params: number): number;
  /** io_uring_enter(2): how many SQEs were consumed. @man io_uring_enter(2) @kernel 5.1 */
  enter(fd: number, toSubmit: number, minComplete: number, flags: number, arg: number, argSize: number): number;
  /** io_uring_register(2). @man io_uring_register(2) @kernel 5.1 */
  register(fd: number, opcode: number, arg: number, count: number): number;
  /** mmap(2): the address of the mapping. `offset` is in bytes. */
  mmap(address: number, length: number, protection: number, flags: number, fd: number, offset: number): number;
  /** munmap(2). No view of the memory may be left. */
  munmap(address: number, length: number): number;
  /** madvise(2). */
  madvise(address: number, length: number, advice: number): number;
  /** eventfd2(2): a descriptor. */
  eventfd(initial: number, flags: number): number;
  /** memfd_create(2): a descriptor. `name` is the address of a NUL-terminated string. */
  memfd(name: number, flags: number): number;
  /** close(2). */
  close(fd: number): number;
  /**
   * Any other call, by its number on this processor, with five arguments at most, of a result that fits 31 bits: what
   * sockets need that older kernels' rings cannot do.
   */
  call(number: number, a: number, b: number, c: number, d: number, e: number): number;
}

type Call = (...args: number[]) => number | bigint;

/** In the order of `shim_address` in shim.c: name, number on x86-64, number on arm64, arguments, result. */
const calls = [
  ["setup", 425, 425, ["u32", "ptr"], "i32"],
  // The last one is 64 bits wide to the kernel; passed as 32 on the stack, its upper half would be whatever was there.
  ["enter", 426, 426, ["i32", "u32", "u32", "u32", "ptr", "u64"], "i32"],
  ["register", 427, 427, ["i32", "u32", "ptr", "u32"], "i32"],
  ["mmap", 9, 222, ["ptr", "u64", "i32", "i32", "i32", "i64"], "i64"],
  ["munmap", 11, 215, ["ptr", "u64"], "i32"],
  ["madvise", 28, 233, ["ptr", "u64", "i32"], "i32"],
  ["eventfd", 290, 19, ["u32", "i32"], "i32"],
  ["memfd", 319, 279, ["ptr", "u32"], "i32"],
  ["close", 3, 57, ["i32"], "i32"],
  // Its own first argument is the number.
  ["call", -1, -1, ["i64", "i64", "i64", "i64", "i64", "i64"], "i32"],
] as const;

const MFD_CLOEXEC = 1;
const EINVAL = 22;

let loaded: Syscalls | undefined;
// The code that the addresses point at lives as long as the library object that made it.
const libraries: unknown[] = [];

/**
 * The system calls, bound at first use (a few milliseconds) and kept for the life of the thread.
 *
 * @throws Error with code `ERR_URING_PLATFORM` where io_uring does not exist: not Linux, or a processor other than
 * x86-64 and arm64; `ERR_URING_SHIM` where neither TinyCC nor libc gives a way to make a system call.
 */
export function syscalls(): Syscalls {
  return (loaded ??= bind());
}

function bind(): Syscalls {
  refuseForeignPlatform(process.platform, process.arch);
  const compiled = compile();
  if (!(compiled instanceof Error)) return compiled;
  const bound = bindLibc();
  if (!(bound instanceof Error)) return bound;
  throw coded(
    "ERR_URING_SHIM",
    `Cannot make system calls: TinyCC refused the shim (${compiled.message}) and libc could not be bound (${bound.message})`,
  );
}

/** @internal Says why a platform cannot have a ring. */
export function refuseForeignPlatform(platform: string, arch: string): void {
  if (platform !== "linux") {
    throw coded("ERR_URING_PLATFORM", `Cannot use io_uring on ${platform}: it is a Linux kernel interface`);
  }
  if (arch !== "x64" && arch !== "arm64") {
    throw coded("ERR_URING_PLATFORM", `Cannot use io_uring on ${arch}: only x64 and arm64 are supported`);
  }
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Compiles shim.c from memory: in a bundle or an executable no path of ours reaches TinyCC, a descriptor always does. */
function compile(): Syscalls | Error {
  let fd = -1;
  try {
    // The main thread's end is the process's.
    const text = Bun.isMainThread ? shim : `${shim}\n${leave}`;
    fd = memoryFile(text);
    const library = cc({
      source: `/proc/self/fd/${fd}`,
      // Not even libc is linked: its development files are missing from slim images.
      flags: "-nostdlib",
      symbols: { shim_address: { args: ["i32"], returns: "ptr" }, ...(Bun.isMainThread ? {} : forFarewells) },
    });
    libraries.push(library);
    // Bun: cc's own bindings do not convert 32-bit arguments that the engine holds as doubles, and are five times
    // slower; linkSymbols does both right. test/syscall/bun.test.ts says when cc can be called directly.
    const definitions: Record<string, unknown> = {};
    calls.forEach(([name, , , args, returns], index) => {
      definitions[name] = { ptr: library.symbols.shim_address(index), args, returns };
    });
    const linked = linkSymbols(definitions as Parameters<typeof linkSymbols>[0]);
    libraries.push(linked);
    const symbols = linked.symbols as unknown as Record<string, Call>;
    const mmap = symbols["mmap"] as Call;
    return {
      ...(symbols as unknown as Syscalls),
      mmap: (...args) => Number(mmap(...args)),
      backend: "tinycc",
      farewells: Bun.isMainThread ? undefined : bindFarewells(library.symbols as unknown as FarewellSymbols),
    };
  } catch (error) {
    return error as Error;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** What leave.c exports. */
const forFarewells = {
  shim_environment: { args: ["napi_env"], returns: "ptr" },
  shim_farewell: { args: ["i32"], returns: "ptr" },
} as const;

interface FarewellSymbols {
  shim_address(index: number): number;
  shim_environment(environment: undefined): number;
  shim_farewell(index: number): number;
}

/**
 * Binds the engine's hooks for the end of a thread, which it has for native modules, and exports to them.
 *
 * Bun: a Worker that is terminated runs no handler of JavaScript's, and gives buffers back that the kernel writes to.
 * test/syscall/bun.test.ts says when these can go.
 */
function bindFarewells(symbols: FarewellSymbols): Farewells | undefined {
  const finder = openLibrary(["libc.so.6", "libdl.so.2", ...musl], { dlsym: { args: ["ptr", "ptr"], returns: "ptr" } });
  const find = finder.symbols["dlsym"] as unknown as (handle: number, name: Uint8Array) => number | null;
  const [add, remove] = ["add", "remove"].map((verb) => find(0, Buffer.from(`napi_${verb}_env_cleanup_hook\0`)));
  finder.close();
  if (add == null || remove == null) return undefined;
  const at = (ptr: number): unknown => ({ ptr, args: ["ptr", "ptr", "ptr"], returns: "i32" });
  const hooks = linkSymbols({ add: at(add), remove: at(remove) } as Parameters<typeof linkSymbols>[0]);
  libraries.push(hooks);
  const call = hooks.symbols as unknown as Record<"add" | "remove", Call>;
  const environment = symbols.shim_environment(undefined);
  const addresses: Record<Farewell, number> = {
    close: symbols.shim_address(calls.findIndex(([name]) => name === "close")),
    leave: symbols.shim_farewell(0),
    closeAll: symbols.shim_farewell(1),
    remove: symbols.shim_farewell(2),
  };
  return {
    add: (what, argument) => void call.add(environment, addresses[what], argument),
    remove: (what, argument) => void call.remove(environment, addresses[what], argument),
  };
}

/** A file that exists in memory only, holding `text`. */
function memoryFile(text: string): number {
  const libc = openLibc({ memfd_create: { args: ["ptr", "u32"], returns: "i32" } });
  const create = libc.symbols["memfd_create"] as unknown as (name: Uint8Array, flags: number) => number;
  const fd = create(Buffer.from("uring_shim.c\0"), MFD_CLOEXEC);
  libc.close();
  if (fd < 0) throw new Error("memfd_create was refused");
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
  return fd;
}

const musl = [process.arch === "x64" ? "libc.musl-x86_64.so.1" : "libc.musl-aarch64.so.1"];

function openLibc(symbols: Parameters<typeof dlopen>[1]): ReturnType<typeof dlopen> {
  return openLibrary(["libc.so.6", ...musl], symbols);
}

/** Binds symbols of the first of these libraries that has them. */
function openLibrary(names: readonly string[], symbols: Parameters<typeof dlopen>[1]): ReturnType<typeof dlopen> {
  let failure: unknown;
  for (const name of names) {
    try {
      return dlopen(name, symbols);
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** libc's `syscall(2)`, bound once a call with that call's own argument types. */
function bindLibc(): Syscalls | Error {
  try {
    const onArm = process.arch === "arm64";
    const bound: Record<string, Call> = {};
    for (const [name, x64, arm64, args, returns] of calls) {
      const number = onArm ? arm64 : x64;
      const library = openLibc({
        syscall: { args: number < 0 ? [...args] : ["i64", ...args], returns },
        __errno_location: { args: [], returns: "ptr" },
      });
      libraries.push(library);
      const call = library.symbols["syscall"] as unknown as Call;
      const errno = library.symbols["__errno_location"] as unknown as () => Parameters<typeof read.i32>[0];
      // Nothing but the pointer's look-up stands between the call and the read of errno.
      const fail = (): number => -(read.i32(errno(), 0) || EINVAL);
      bound[name] = bindOne(number, args.length, call, fail);
    }
    return { ...(bound as unknown as Syscalls), backend: "libc", farewells: undefined };
  } catch (error) {
    return error as Error;
  }
}

/** A closure of fixed arity: a rest argument would allocate at every call. */
function bindOne(number: number, arity: number, call: Call, fail: () => number): Call {
  const result = (value: number | bigint): number => (value < 0 ? fail() : Number(value));
  if (number < 0) {
    return (a, b, c, d, e, f) =>
      result(call(a as number, b as number, c as number, d as number, e as number, f as number));
  }
  if (arity <= 2)
    return (a, b) => result(arity === 1 ? call(number, a as number) : call(number, a as number, b as number));
  if (arity === 3) return (a, b, c) => result(call(number, a as number, b as number, c as number));
  if (arity === 4) return (a, b, c, d) => result(call(number, a as number, b as number, c as number, d as number));
  return (a, b, c, d, e, f) =>
    result(call(number, a as number, b as number, c as number, d as number, e as number, f as number));
}
