/**
 * Constants that Linux has for system calls in general and that operations of a ring take too, with the values that
 * x86-64 and arm64 share. O_*, some of which differ between the two, are in `node:fs`'s constants.
 */

// Directories and paths: `dfd`, and flags of statx, unlinkat, linkat

/** In place of a directory's descriptor: the current directory. */
export const AT_FDCWD = -100;
/** A symbolic link itself, not what it points at. */
export const AT_SYMLINK_NOFOLLOW = 0x100;
/** unlinkat: remove a directory. */
export const AT_REMOVEDIR = 0x200;
/** linkat: what a symbolic link points at, not the link. */
export const AT_SYMLINK_FOLLOW = 0x400;
/** Do not mount what would be mounted at first use. */
export const AT_NO_AUTOMOUNT = 0x800;
/** An empty path means the descriptor itself. */
export const AT_EMPTY_PATH = 0x1000;
/** statx: as fresh as stat(2) would be. */
export const AT_STATX_SYNC_AS_STAT = 0x0000;
/** statx: ask a network filesystem's server. */
export const AT_STATX_FORCE_SYNC = 0x2000;
/** statx: what is at hand will do. */
export const AT_STATX_DONT_SYNC = 0x4000;

// What openat2 lets a path lead through: `open_how.resolve`

/** No crossing of mount points. */
export const RESOLVE_NO_XDEV = 0x01;
/** No links of /proc that are no real links. */
export const RESOLVE_NO_MAGICLINKS = 0x02;
/** No symbolic links. */
export const RESOLVE_NO_SYMLINKS = 0x04;
/** Nothing outside the directory. */
export const RESOLVE_BENEATH = 0x08;
/** The directory counts as the root. */
export const RESOLVE_IN_ROOT = 0x10;
/** Only what is cached: -EAGAIN rather than waiting. @kernel 5.12 */
export const RESOLVE_CACHED = 0x20;

// Fields of statx: `mask`

/** The kind in `mode`. */
export const STATX_TYPE = 0x0001;
/** The permissions in `mode`. */
export const STATX_MODE = 0x0002;
/** `nlink` */
export const STATX_NLINK = 0x0004;
/** `uid` */
export const STATX_UID = 0x0008;
/** `gid` */
export const STATX_GID = 0x0010;
/** The time of the last read. */
export const STATX_ATIME = 0x0020;
/** The time of the last change of the content. */
export const STATX_MTIME = 0x0040;
/** The time of the last change of the status. */
export const STATX_CTIME = 0x0080;
/** `ino` */
export const STATX_INO = 0x0100;
/** `size` */
export const STATX_SIZE = 0x0200;
/** `blocks` */
export const STATX_BLOCKS = 0x0400;
/** All that stat(2) tells. */
export const STATX_BASIC_STATS = 0x07ff;
/** The time when it was made. */
export const STATX_BTIME = 0x0800;
/** `mntId` @kernel 5.8 */
export const STATX_MNT_ID = 0x1000;
/** `dioMemAlign` and `dioOffsetAlign` @kernel 6.1 */
export const STATX_DIOALIGN = 0x2000;
/** `mntId` that is never used again. @kernel 6.8 */
export const STATX_MNT_ID_UNIQUE = 0x4000;
/** `subvol` @kernel 6.10 */
export const STATX_SUBVOL = 0x8000;
/** What RWF_ATOMIC can write. @kernel 6.11 */
export const STATX_WRITE_ATOMIC = 0x10000;
/** `dioReadOffsetAlign` @kernel 6.14 */
export const STATX_DIO_READ_ALIGN = 0x20000;

// Attributes that statx tells: `attributes`

/** Stored compressed. */
export const STATX_ATTR_COMPRESSED = 0x4;
/** Cannot be changed. */
export const STATX_ATTR_IMMUTABLE = 0x10;
/** Can only be appended to. */
export const STATX_ATTR_APPEND = 0x20;
/** Not for backups. */
export const STATX_ATTR_NODUMP = 0x40;
/** Stored encrypted. */
export const STATX_ATTR_ENCRYPTED = 0x800;
/** Mounted at first use. */
export const STATX_ATTR_AUTOMOUNT = 0x1000;
/** The root of a mount. */
export const STATX_ATTR_MOUNT_ROOT = 0x2000;
/** Its content is verified. */
export const STATX_ATTR_VERITY = 0x100000;
/** In memory that is used directly. */
export const STATX_ATTR_DAX = 0x200000;

// renameat2

/** Fail where the new name exists. */
export const RENAME_NOREPLACE = 0x1;
/** Swap the two names. */
export const RENAME_EXCHANGE = 0x2;
/** Leave a whiteout at the old name, for overlays. */
export const RENAME_WHITEOUT = 0x4;

// fallocate: `mode`

/** The file keeps its length. */
export const FALLOC_FL_KEEP_SIZE = 0x01;
/** Deallocate; with FALLOC_FL_KEEP_SIZE. */
export const FALLOC_FL_PUNCH_HOLE = 0x02;
/** Remove the range and close the gap. */
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
/** Make the range zeros. */
export const FALLOC_FL_ZERO_RANGE = 0x10;
/** Shift what follows and leave a hole. */
export const FALLOC_FL_INSERT_RANGE = 0x20;
/** Give the range blocks of its own. */
export const FALLOC_FL_UNSHARE_RANGE = 0x40;
/** Write zeros, so that later writes find blocks that are ready. @kernel 6.17 */
export const FALLOC_FL_WRITE_ZEROES = 0x80;

// sync_file_range

/** Await writing that is under way first. */
export const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
/** Start writing what is changed. */
export const SYNC_FILE_RANGE_WRITE = 2;
/** Await that writing. */
export const SYNC_FILE_RANGE_WAIT_AFTER = 4;

// posix_fadvise: `advice`

/** Nothing special. */
export const POSIX_FADV_NORMAL = 0;
/** In no order. */
export const POSIX_FADV_RANDOM = 1;
/** One after another. */
export const POSIX_FADV_SEQUENTIAL = 2;
/** Soon. */
export const POSIX_FADV_WILLNEED = 3;
/** Not any more. */
export const POSIX_FADV_DONTNEED = 4;
/** Once. */
export const POSIX_FADV_NOREUSE = 5;

// madvise: `advice`

/** Nothing special. */
export const MADV_NORMAL = 0;
/** In no order. */
export const MADV_RANDOM = 1;
/** One after another. */
export const MADV_SEQUENTIAL = 2;
/** Soon. */
export const MADV_WILLNEED = 3;
/** Not any more: private memory reads as zeros afterwards. */
export const MADV_DONTNEED = 4;
/** Not any more, to be taken when memory is short. */
export const MADV_FREE = 8;
/** Not for a forked child. */
export const MADV_DONTFORK = 10;
/** Huge pages where they fit. */
export const MADV_HUGEPAGE = 14;
/** No huge pages. */
export const MADV_NOHUGEPAGE = 15;
/** Not used lately. */
export const MADV_COLD = 20;
/** Write it out. */
export const MADV_PAGEOUT = 21;
/** Present for reading now. @kernel 5.14 */
export const MADV_POPULATE_READ = 22;
/** Present for writing now. @kernel 5.14 */
export const MADV_POPULATE_WRITE = 23;

// preadv2 and pwritev2: flags of reads and writes

/** Poll for the completion. */
export const RWF_HIPRI = 0x01;
/** On the device before it completes, as with O_DSYNC. */
export const RWF_DSYNC = 0x02;
/** On the device with all metadata, as with O_SYNC. */
export const RWF_SYNC = 0x04;
/** -EAGAIN rather than waiting. */
export const RWF_NOWAIT = 0x08;
/** At the end of the file. */
export const RWF_APPEND = 0x10;
/** At the offset, although the file was opened with O_APPEND. @kernel 6.9 */
export const RWF_NOAPPEND = 0x20;
/** All or nothing, even if the power fails. @kernel 6.11 */
export const RWF_ATOMIC = 0x40;
/** Leave nothing in the page cache. @kernel 6.14 */
export const RWF_DONTCACHE = 0x80;
/** No SIGPIPE. @kernel 6.18 */
export const RWF_NOSIGNAL = 0x100;

// splice and tee

/** Move pages where possible. */
export const SPLICE_F_MOVE = 1;
/** Do not wait for a pipe. */
export const SPLICE_F_NONBLOCK = 2;
/** More will follow. */
export const SPLICE_F_MORE = 4;

// setxattr

/** Fail where the attribute exists. */
export const XATTR_CREATE = 1;
/** Fail where it does not. */
export const XATTR_REPLACE = 2;

// Sockets: `domain`

/** None: connecting to it takes a datagram socket's peer away. */
export const AF_UNSPEC = 0;
/** Within this machine, by path or abstract name. */
export const AF_UNIX = 1;
/** IPv4. */
export const AF_INET = 2;
/** IPv6. */
export const AF_INET6 = 10;
/** Messages with the kernel. */
export const AF_NETLINK = 16;
/** Whole frames of an interface. */
export const AF_PACKET = 17;
/** Between a virtual machine and its host. */
export const AF_VSOCK = 40;

// Sockets: `type`

/** A stream of bytes. */
export const SOCK_STREAM = 1;
/** Datagrams. */
export const SOCK_DGRAM = 2;
/** Packets with their headers. */
export const SOCK_RAW = 3;
/** Datagrams, in order and none lost. */
export const SOCK_SEQPACKET = 5;
/** Nonblocking; added to the type, or a flag of accept. */
export const SOCK_NONBLOCK = 0x800;
/** Closed in programs that are started; added to the type, or a flag of accept. */
export const SOCK_CLOEXEC = 0x80000;

// Sockets: `protocol`, and levels of options

/** Whatever suits the type; IPv4's options. */
export const IPPROTO_IP = 0;
/** ICMP. */
export const IPPROTO_ICMP = 1;
/** TCP. */
export const IPPROTO_TCP = 6;
/** UDP. */
export const IPPROTO_UDP = 17;
/** IPv6's options. */
export const IPPROTO_IPV6 = 41;
/** ICMPv6. */
export const IPPROTO_ICMPV6 = 58;
/** Multipath TCP. */
export const IPPROTO_MPTCP = 262;
/** Options of sockets of every kind. */
export const SOL_SOCKET = 1;

// Options of sockets

/** Bind although old connections linger. */
export const SO_REUSEADDR = 2;
/** The type. */
export const SO_TYPE = 3;
/** The pending error, which reading it clears. */
export const SO_ERROR = 4;
/** Datagrams to broadcast addresses. */
export const SO_BROADCAST = 6;
/** Bytes that may wait to be sent. */
export const SO_SNDBUF = 7;
/** Bytes that may wait to be received. */
export const SO_RCVBUF = 8;
/** Probe idle connections. */
export const SO_KEEPALIVE = 9;
/** What closing does with what was not sent. */
export const SO_LINGER = 13;
/** Several sockets share a port. */
export const SO_REUSEPORT = 15;
/** Who is at the other end of a unix socket. */
export const SO_PEERCRED = 17;
/** Whether it listens. */
export const SO_ACCEPTCONN = 30;
/** A datagram's time of arrival, in microseconds, as a control message of the same number. */
export const SO_TIMESTAMP = 29;
/** The same in nanoseconds. */
export const SO_TIMESTAMPNS = 35;
/** Which timestamps to take. */
export const SO_TIMESTAMPING = 37;
/** The protocol. */
export const SO_PROTOCOL = 38;
/** The domain. */
export const SO_DOMAIN = 39;
/** How long to poll for packets, in microseconds. */
export const SO_BUSY_POLL = 46;
/** The processor that packets came to. */
export const SO_INCOMING_CPU = 49;
/** The receive queue that packets came through. */
export const SO_INCOMING_NAPI_ID = 56;
/** MSG_ZEROCOPY may be used. */
export const SO_ZEROCOPY = 60;
/** Send small segments at once. Of IPPROTO_TCP. */
export const TCP_NODELAY = 1;
/** Send full segments only. Of IPPROTO_TCP. */
export const TCP_CORK = 3;
/** Seconds before the first probe. Of IPPROTO_TCP. */
export const TCP_KEEPIDLE = 4;
/** Seconds between probes. Of IPPROTO_TCP. */
export const TCP_KEEPINTVL = 5;
/** Probes before a connection is given up. Of IPPROTO_TCP. */
export const TCP_KEEPCNT = 6;
/** Accept when data is there. Of IPPROTO_TCP. */
export const TCP_DEFER_ACCEPT = 9;
/** Acknowledge at once. Of IPPROTO_TCP. */
export const TCP_QUICKACK = 12;
/** Data in the first packet. Of IPPROTO_TCP. */
export const TCP_FASTOPEN = 23;
/** No IPv4 through an IPv6 socket. Of IPPROTO_IPV6. */
export const IPV6_V6ONLY = 26;
/** The interface and address that a datagram came in by: an option and a control message. Of IPPROTO_IP. */
export const IP_PKTINFO = 8;
/** The option that asks for IPV6_PKTINFO. Of IPPROTO_IPV6. */
export const IPV6_RECVPKTINFO = 49;
/** The interface and address that a datagram came in by: a control message. Of IPPROTO_IPV6. */
export const IPV6_PKTINFO = 50;
/** The control message that passes descriptors. Of SOL_SOCKET. */
export const SCM_RIGHTS = 1;

// Sending and receiving: `flags`

/** Urgent data. */
export const MSG_OOB = 0x1;
/** Leave what is received in the socket. */
export const MSG_PEEK = 0x2;
/** To the network at hand only. */
export const MSG_DONTROUTE = 0x4;
/** Told by recvmsg: control messages were cut off. */
export const MSG_CTRUNC = 0x8;
/** Told by recvmsg: the datagram was cut off; given: tell its true length. */
export const MSG_TRUNC = 0x20;
/** -EAGAIN rather than waiting. */
export const MSG_DONTWAIT = 0x40;
/** The end of a record. */
export const MSG_EOR = 0x80;
/** All of it: fewer bytes only at an end or an error. */
export const MSG_WAITALL = 0x100;
/** No SIGPIPE, which a ring does not raise anyway. */
export const MSG_NOSIGNAL = 0x4000;
/** More will follow. */
export const MSG_MORE = 0x8000;
/** sendmsg(2)'s way without a copy; SEND_ZC is a ring's. */
export const MSG_ZEROCOPY = 0x4000000;
/** Data in the first packet. */
export const MSG_FASTOPEN = 0x20000000;
/** Passed descriptors are closed in programs that are started. */
export const MSG_CMSG_CLOEXEC = 0x40000000;

// shutdown: `how`

/** Nothing more to be received. */
export const SHUT_RD = 0;
/** Nothing more to be sent. */
export const SHUT_WR = 1;
/** Both. */
export const SHUT_RDWR = 2;

// Events: `pollMask`, and of epoll with EPOLL in place of POLL

/** There is something to read, or a connection to accept. */
export const POLLIN = 0x001;
/** There is something urgent to read. */
export const POLLPRI = 0x002;
/** There is room to write. */
export const POLLOUT = 0x004;
/** An error; told without asking. */
export const POLLERR = 0x008;
/** The other end is gone; told without asking. */
export const POLLHUP = 0x010;
/** No such descriptor; told without asking. */
export const POLLNVAL = 0x020;
/** POLLIN. */
export const POLLRDNORM = 0x040;
/** POLLOUT. */
export const POLLWRNORM = 0x100;
/** The peer has ended its half. */
export const POLLRDHUP = 0x2000;
/** There is something to read, or a connection to accept. */
export const EPOLLIN = 0x001;
/** There is something urgent to read. */
export const EPOLLPRI = 0x002;
/** There is room to write. */
export const EPOLLOUT = 0x004;
/** An error; told without asking. */
export const EPOLLERR = 0x008;
/** The other end is gone; told without asking. */
export const EPOLLHUP = 0x010;
/** The peer has ended its half. */
export const EPOLLRDHUP = 0x2000;
/** Wake few of the epoll instances that watch. Also of `pollMask`. */
export const EPOLLEXCLUSIVE = 0x10000000;
/** Tell once. */
export const EPOLLONESHOT = 0x40000000;
/** Tell when something changes, not for as long as it lasts. */
export const EPOLLET = 0x80000000;

// epoll_ctl: `op`

/** Watch a descriptor. */
export const EPOLL_CTL_ADD = 1;
/** Stop watching it. */
export const EPOLL_CTL_DEL = 2;
/** Watch it differently. */
export const EPOLL_CTL_MOD = 3;

// Futexes: `futexFlags` and `mask`

/** A word of 8 bits; not supported so far. @kernel 6.7 */
export const FUTEX2_SIZE_U8 = 0x00;
/** A word of 16 bits; not supported so far. @kernel 6.7 */
export const FUTEX2_SIZE_U16 = 0x01;
/** A word of 32 bits. @kernel 6.7 */
export const FUTEX2_SIZE_U32 = 0x02;
/** A word of 64 bits; not supported so far. @kernel 6.7 */
export const FUTEX2_SIZE_U64 = 0x03;
/** The word is followed by a NUMA node. @kernel 6.16 */
export const FUTEX2_NUMA = 0x04;
/** Within this process only. @kernel 6.7 */
export const FUTEX2_PRIVATE = 0x80;
/** A mask that meets every mask. */
export const FUTEX_BITSET_MATCH_ANY = 0xffffffff;

// waitid: `idtype` and `options`

/** Any child. */
export const P_ALL = 0;
/** The child with this process id. */
export const P_PID = 1;
/** A child of this process group, 0 for our own. */
export const P_PGID = 2;
/** The child that this descriptor stands for. */
export const P_PIDFD = 3;
/** Do not wait. */
export const WNOHANG = 0x00000001;
/** Children that were stopped. */
export const WSTOPPED = 0x00000002;
/** Children that have ended. */
export const WEXITED = 0x00000004;
/** Children that were continued. */
export const WCONTINUED = 0x00000008;
/** Leave the child to be waited for again. */
export const WNOWAIT = 0x01000000;

// Clocks: what a ring's waits can go by

/** Time since the machine started, without the time it was suspended. */
export const CLOCK_MONOTONIC = 1;
/** Time since the machine started, in all. */
export const CLOCK_BOOTTIME = 7;

// Protection information: `flags` of struct io_uring_attr_pi

/** Check the guard, a checksum of the data. @kernel 6.14 */
export const IO_INTEGRITY_CHK_GUARD = 1;
/** Check the reference tag, the block's number. @kernel 6.14 */
export const IO_INTEGRITY_CHK_REFTAG = 2;
/** Check the application tag. @kernel 6.14 */
export const IO_INTEGRITY_CHK_APPTAG = 4;

// Sizes of structs that are not io_uring's own, in bytes

/** struct __kernel_timespec: seconds and nanoseconds of 64 bits. */
export const SIZEOF_TIMESPEC = 16;
/** struct iovec: an address and a length of 64 bits. */
export const SIZEOF_IOVEC = 16;
/** struct msghdr. */
export const SIZEOF_MSGHDR = 56;
/** A socklen_t. */
export const SIZEOF_SOCKLEN = 4;
/** struct sockaddr_storage: room for any address. */
export const SIZEOF_SOCKADDR_STORAGE = 128;
/** struct open_how. */
export const SIZEOF_OPEN_HOW = 24;
/** struct statx. */
export const SIZEOF_STATX = 256;
/** A siginfo_t. */
export const SIZEOF_SIGINFO = 128;
/** A futex: the only size that the kernel has so far. */
export const SIZEOF_FUTEX = 4;
/** struct futex_waitv. */
export const SIZEOF_FUTEX_WAITV = 24;
/** struct epoll_event, which is packed on x86-64 only. */
export const SIZEOF_EPOLL_EVENT: number = process.arch === "x64" ? 12 : 16;
