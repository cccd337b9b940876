// Operations on descriptors and tables of them: updates, installs, pipes, epoll.
import { expect } from "bun:test";
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  EBADF,
  ENOENT,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLIN,
  EPOLLOUT,
  EEXIST,
  IORING_FILE_INDEX_ALLOC,
  IORING_FIXED_FD_NO_CLOEXEC,
  Ring,
  SIZEOF_EPOLL_EVENT,
} from "../../src/index.ts";
import { syscalls } from "../../syscall/shim.ts";
import { complete, next } from "../support/complete.ts";
import { epollInstance } from "../support/epoll.ts";
import { pipe, scratchDirectory } from "../support/files.ts";
import { kept } from "../support/keep.ts";
import { needs } from "../support/kernel.ts";

/** node:fs has it on Linux only, and so does its type not. */
const O_CLOEXEC = 0o2000000;

const directory = scratchDirectory();

function file(name: string, text: string): number {
  const path = join(directory, name);
  writeFileSync(path, text);
  return openSync(path, "r+");
}

needs(["IORING_OP_FILES_UPDATE", "IORING_FEAT_LINKED_FILE"])(
  "prepFilesUpdate() changes the table within a chain",
  () => {
    using ring = new Ring(8);
    const fd = file("update", "from the table");
    ring.registerFilesSparse(4);
    const text = new Uint8Array(32);
    ring
      .prepFilesUpdate(kept(Int32Array.of(-1, fd)), 2)
      .link()
      .userData(1);
    ring.prepRead(3, text, 5).fixedFile().userData(2);
    expect(next(ring)).toMatchObject({ userData: 1, res: 2 });
    expect(next(ring)).toMatchObject({ userData: 2, res: 9 });
    expect(Buffer.from(text.subarray(0, 9)).toString()).toBe("the table");
    ring.prepFilesUpdate(kept(Int32Array.of(-1)), 3);
    expect(complete(ring)).toBe(1);
    ring.prepRead(3, text, 0).fixedFile();
    expect(complete(ring)).toBe(-EBADF);

    // With IORING_FILE_INDEX_ALLOC the kernel finds places and writes their indices over the descriptors.
    const fds = Int32Array.of(fd, fd);
    ring.prepFilesUpdate(fds, IORING_FILE_INDEX_ALLOC);
    expect(complete(ring)).toBe(2);
    expect(fds[0]).not.toBe(fds[1]);
    for (const place of fds) {
      ring.prepRead(place, text, 0, 4).fixedFile();
      expect(complete(ring)).toBe(4);
      expect(Buffer.from(text.subarray(0, 4)).toString()).toBe("from");
    }
    closeSync(fd);
  },
);

needs("IORING_OP_FIXED_FD_INSTALL")("prepFixedFdInstall() makes a descriptor of a direct one", () => {
  using ring = new Ring(8);
  const fd = file("install", "installed");
  ring.registerFiles([fd]);
  closeSync(fd);
  for (const [flags, closes] of [
    [0, true],
    [IORING_FIXED_FD_NO_CLOEXEC, false],
  ] as const) {
    ring.prepFixedFdInstall(0, flags);
    const installed = complete(ring);
    expect(installed).toBeGreaterThan(2);
    expect(readFileSync(installed, "utf8")).toBe("installed");
    writeSync(installed, "installed", 0);
    const info = readFileSync(`/proc/self/fdinfo/${installed}`, "utf8");
    const bits = Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? "", 8);
    expect((bits & O_CLOEXEC) !== 0).toBe(closes);
    // The position belongs to the file: the next round reads from the start again.
    readSync(installed, new Uint8Array(1), 0, 1, 0);
    syscalls().close(installed);
    const again = file("install", "installed");
    ring.registerFilesUpdate(0, [again]);
    closeSync(again);
  }
});

needs("IORING_OP_PIPE")("prepPipe() makes a pipe, and prepPipeDirect() one of direct descriptors", () => {
  using ring = new Ring(8);
  const ends = new Int32Array(2);
  ring.prepPipe(ends, O_CLOEXEC);
  expect(complete(ring)).toBe(0);
  const [read, write] = [ends[0] as number, ends[1] as number];
  expect([fstatSync(read).isFIFO(), fstatSync(write).isFIFO()]).toEqual([true, true]);
  writeSync(write, "through the pipe");
  const text = Buffer.alloc(32);
  expect(readSync(read, text)).toBe(16);
  expect(text.toString("latin1", 0, 16)).toBe("through the pipe");
  closeSync(read);
  closeSync(write);

  ring.registerFilesSparse(4);
  ring.prepPipeDirect(ends, 0, IORING_FILE_INDEX_ALLOC);
  expect(complete(ring)).toBe(0);
  ring.prepWrite(ends[1] as number, kept(Buffer.from("direct")), 0).fixedFile();
  expect(complete(ring)).toBe(6);
  ring.prepRead(ends[0] as number, text, 0).fixedFile();
  expect(complete(ring)).toBe(6);
  expect(text.toString("latin1", 0, 6)).toBe("direct");
});

/** struct epoll_event: events, then 64 bits of data, packed on x86-64. */
function epollEvent(events: number, data: number): Uint8Array {
  const bytes = new Uint8Array(SIZEOF_EPOLL_EVENT);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, events, true);
  view.setUint32(SIZEOF_EPOLL_EVENT - 8, data, true);
  return bytes;
}

needs(["IORING_OP_EPOLL_CTL", "IORING_OP_PIPE"])("prepEpollCtl() adds, changes and removes", () => {
  using ring = new Ring(8);
  const epfd = epollInstance();
  const ends = new Int32Array(2);
  ring.prepPipe(ends);
  expect(complete(ring)).toBe(0);
  const [read, write] = [ends[0] as number, ends[1] as number];
  const registered = (): string | undefined =>
    new RegExp(`tfd:\\s+${read} events:\\s+(\\w+)`).exec(readFileSync(`/proc/self/fdinfo/${epfd}`, "utf8"))?.[1];

  ring.prepEpollCtl(epfd, read, EPOLL_CTL_ADD, epollEvent(EPOLLIN, 0));
  expect(complete(ring)).toBe(0);
  expect(Number.parseInt(registered() ?? "", 16) & EPOLLIN).toBe(EPOLLIN);
  ring.prepEpollCtl(epfd, read, EPOLL_CTL_ADD, epollEvent(EPOLLIN, 0));
  expect(complete(ring)).toBe(-EEXIST);
  ring.prepEpollCtl(epfd, read, EPOLL_CTL_MOD, epollEvent(0, 0));
  expect(complete(ring)).toBe(0);
  expect(Number.parseInt(registered() ?? "", 16) & EPOLLIN).toBe(0);
  ring.prepEpollCtl(epfd, read, EPOLL_CTL_DEL, epollEvent(0, 0));
  expect(complete(ring)).toBe(0);
  expect(registered()).toBeUndefined();
  ring.prepEpollCtl(epfd, read, EPOLL_CTL_DEL, epollEvent(0, 0));
  expect(complete(ring)).toBe(-ENOENT);
  for (const fd of [read, write, epfd]) closeSync(fd);
});

needs(["IORING_OP_EPOLL_WAIT", "IORING_OP_PIPE"])("prepEpollWait() completes when something is ready", () => {
  using ring = new Ring(8);
  const epfd = epollInstance();
  const ends = new Int32Array(2);
  ring.prepPipe(ends);
  expect(complete(ring)).toBe(0);
  const [read, write] = [ends[0] as number, ends[1] as number];
  ring.prepEpollCtl(epfd, read, EPOLL_CTL_ADD, epollEvent(EPOLLIN, 11));
  expect(complete(ring)).toBe(0);
  ring.prepEpollCtl(epfd, write, EPOLL_CTL_ADD, epollEvent(EPOLLIN, 22));
  expect(complete(ring)).toBe(0);

  const events = new Uint8Array(4 * SIZEOF_EPOLL_EVENT);
  ring.prepEpollWait(epfd, events).userData(9);
  ring.submit();
  expect(ring.waitCqes(1, 30)).toBeNull();
  writeSync(write, "x");
  expect(next(ring)).toMatchObject({ userData: 9, res: 1 });
  expect(Buffer.from(events.subarray(0, SIZEOF_EPOLL_EVENT))).toEqual(Buffer.from(epollEvent(EPOLLIN, 11)));
  // Both are ready now, but there is room for one.
  ring.prepEpollCtl(epfd, write, EPOLL_CTL_MOD, epollEvent(EPOLLOUT, 22));
  expect(complete(ring)).toBe(0);
  ring.prepEpollWait(epfd, events, 0, 1);
  expect(complete(ring)).toBe(1);
  ring.prepEpollWait(epfd, events);
  expect(complete(ring)).toBe(2);
  for (const fd of [read, write, epfd]) closeSync(fd);
});

needs("IORING_OP_POLL_ADD")("a pipe of the file system serves as any other", () => {
  using ring = new Ring(8);
  const ends = pipe(directory);
  ring.prepWrite(ends.write, kept(Buffer.from("x")), -1);
  expect(complete(ring)).toBe(1);
  const one = new Uint8Array(1);
  ring.prepRead(ends.read, one, -1);
  expect(complete(ring)).toBe(1);
  expect(one[0]).toBe(120);
  closeSync(ends.read);
  closeSync(ends.write);
});
