/**
 * Constants that Linux has for system calls in general and that operations of a ring take too, with the values of
 * x86-64 and arm64. Only what is the same on both is here: O_* differ between processors and are in
 * `node:fs`'s constants.
 */

// Directories and paths

/** In place of a directory's descriptor: the current directory. */
export const AT_FDCWD = -100;

// Sizes of structs that are not io_uring's own

/** Bytes of struct __kernel_timespec: seconds and nanoseconds of 64 bits. */
export const KERNEL_TIMESPEC_SIZE = 16;
/** Bytes of struct open_how. */
export const OPEN_HOW_SIZE = 24;
/** Bytes of struct iovec: an address and a length of 64 bits. */
export const IOVEC_SIZE = 16;
/** Bytes of struct msghdr. */
export const MSGHDR_SIZE = 56;
/** Bytes of a socklen_t. */
export const SOCKLEN_SIZE = 4;
/** Bytes of struct statx. */
export const STATX_SIZE = 256;
/** Bytes of siginfo_t. */
export const SIGINFO_SIZE = 128;
/** Bytes of a futex: the only size that the kernel has so far. */
export const FUTEX_SIZE = 4;
/** Bytes of struct futex_waitv. */
export const FUTEX_WAITV_SIZE = 24;
/** Bytes of struct epoll_event, which is packed on x86-64 only. */
export const EPOLL_EVENT_SIZE: number = process.arch === "x64" ? 12 : 16;
