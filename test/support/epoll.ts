/** An epoll instance of a test's own: there is no operation that makes one, and no function of Bun's. */
import { dlopen } from "bun:ffi";

const EPOLL_CLOEXEC = 0o2000000;

/** A new epoll descriptor, the caller's to close. */
export function epollInstance(): number {
  const libc = dlopen("libc.so.6", { epoll_create1: { args: ["i32"], returns: "i32" } });
  try {
    const fd = libc.symbols.epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) throw new Error("epoll_create1 was refused");
    return fd;
  } finally {
    libc.close();
  }
}
