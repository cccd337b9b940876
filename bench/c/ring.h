/* The least io_uring that an honest C program needs, on raw system calls: the twin's side of every comparison.
 * Self-contained on purpose: the kernel headers of the machine may be older than its kernel. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OP_NOP = 0, OP_READ_FIXED = 4, OP_ACCEPT = 13, OP_CLOSE = 19, OP_SEND = 26, OP_RECV = 27 };
enum { SQE_FIXED_FILE = 1, SQE_IO_LINK = 4, SQE_BUFFER_SELECT = 32, SQE_CQE_SKIP = 64 };
enum { CQE_F_BUFFER = 1, CQE_F_MORE = 2 };
enum { ENTER_GETEVENTS = 1, ENTER_SQ_WAKEUP = 2 };
enum { REGISTER_BUFFERS = 0, REGISTER_FILES = 2, REGISTER_PBUF_RING = 22 };
enum { SETUP_CQSIZE = 1 << 3, SETUP_SINGLE_ISSUER = 1 << 12, SETUP_DEFER_TASKRUN = 1 << 13, SETUP_NO_SQARRAY = 1 << 16 };
enum { ACCEPT_MULTISHOT = 1, RECV_MULTISHOT = 2 };

struct sqe {
  uint8_t opcode, flags;
  uint16_t ioprio;
  int32_t fd;
  uint64_t off, addr;
  uint32_t len, op_flags;
  uint64_t user_data;
  uint16_t buf_index, personality;
  uint32_t file_index;
  uint64_t addr3, pad;
};

struct cqe {
  uint64_t user_data;
  int32_t res;
  uint32_t flags;
};

struct sq_offsets { uint32_t head, tail, mask, entries, flags, dropped, array, resv; uint64_t addr; };
struct cq_offsets { uint32_t head, tail, mask, entries, overflow, cqes, flags, resv; uint64_t addr; };
struct params {
  uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, resv[3];
  struct sq_offsets sq;
  struct cq_offsets cq;
};

struct ring {
  int fd;
  uint32_t sq_mask, sq_entries, sq_tail, cq_mask, submitted;
  uint32_t *sq_khead, *sq_ktail, *cq_khead, *cq_ktail;
  struct sqe *sqes;
  struct cqe *cqes;
};

static void fail(const char *what, int err) {
  fprintf(stderr, "%s: %s\n", what, strerror(err));
  exit(1);
}

static void *map_ring(int fd, size_t bytes, uint64_t offset) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
  if (at == MAP_FAILED) fail("mmap of the ring", errno);
  return at;
}

static inline void ring_init(struct ring *r, uint32_t entries, uint32_t flags, uint32_t cq_entries) {
  struct params p = {.flags = flags | (cq_entries ? SETUP_CQSIZE : 0), .cq_entries = cq_entries};
  r->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
  if (r->fd < 0) fail("io_uring_setup", errno);
  size_t sq_bytes = p.sq.array + p.sq_entries * sizeof(uint32_t);
  size_t cq_bytes = p.cq.cqes + p.cq_entries * sizeof(struct cqe);
  char *rings = map_ring(r->fd, sq_bytes > cq_bytes ? sq_bytes : cq_bytes, 0);
  r->sqes = map_ring(r->fd, p.sq_entries * sizeof(struct sqe), 0x10000000);
  r->sq_khead = (uint32_t *)(rings + p.sq.head);
  r->sq_ktail = (uint32_t *)(rings + p.sq.tail);
  r->cq_khead = (uint32_t *)(rings + p.cq.head);
  r->cq_ktail = (uint32_t *)(rings + p.cq.tail);
  r->cqes = (struct cqe *)(rings + p.cq.cqes);
  r->sq_mask = p.sq_entries - 1;
  r->sq_entries = p.sq_entries;
  r->cq_mask = p.cq_entries - 1;
  r->sq_tail = r->submitted = 0;
  if (flags & SETUP_NO_SQARRAY) return;
  uint32_t *array = (uint32_t *)(rings + p.sq.array);
  for (uint32_t i = 0; i < p.sq_entries; i++) array[i] = i;
}

static inline int ring_register(struct ring *r, unsigned op, const void *arg, unsigned n) {
  long res = syscall(SYS_io_uring_register, r->fd, op, arg, n);
  return res < 0 ? -errno : (int)res;
}

/* Hands over all that is queued and waits for `wait` completions: one system call. Also runs deferred task work. */
static inline void ring_submit(struct ring *r, unsigned wait) {
  __atomic_store_n(r->sq_ktail, r->sq_tail, __ATOMIC_RELEASE);
  uint32_t n = r->sq_tail - r->submitted;
  long res;
  do res = syscall(SYS_io_uring_enter, r->fd, n, wait, ENTER_GETEVENTS, NULL, 0);
  while (res < 0 && errno == EINTR);
  if (res < 0) fail("io_uring_enter", errno);
  r->submitted += (uint32_t)res;
}

/* The next slot, every byte of it written. Submits first when the queue is full. */
static inline struct sqe *ring_sqe(struct ring *r, uint8_t op, int fd, const void *addr, uint32_t len, uint64_t off) {
  if (r->sq_tail - *r->sq_khead == r->sq_entries) ring_submit(r, 0);
  struct sqe *s = &r->sqes[r->sq_tail++ & r->sq_mask];
  *s = (struct sqe){.opcode = op, .fd = fd, .off = off, .addr = (uintptr_t)addr, .len = len};
  return s;
}

/* The number of completions that are there; read them with ring_cqe, then ring_seen once for all. */
static inline uint32_t ring_ready(struct ring *r) {
  return __atomic_load_n(r->cq_ktail, __ATOMIC_ACQUIRE) - *r->cq_khead;
}
static inline struct cqe *ring_cqe(struct ring *r, uint32_t i) { return &r->cqes[(*r->cq_khead + i) & r->cq_mask]; }
static inline void ring_seen(struct ring *r, uint32_t n) {
  __atomic_store_n(r->cq_khead, *r->cq_khead + n, __ATOMIC_RELEASE);
}

/* Provided buffers: `count` of `bytes` each, as group 0. */
struct buf { uint64_t addr; uint32_t len; uint16_t bid, tail; };
struct buf_reg { uint64_t ring_addr; uint32_t ring_entries; uint16_t bgid, flags; uint64_t resv[3]; };
struct bufs {
  struct buf *ring;
  char *memory;
  uint32_t count, bytes;
  uint16_t tail;
};

static inline void bufs_give(struct bufs *b, int bid) {
  struct buf *to = &b->ring[b->tail++ & (b->count - 1)];
  to->addr = (uintptr_t)(b->memory + (size_t)bid * b->bytes);
  to->len = b->bytes;
  to->bid = (uint16_t)bid;
}
static inline void bufs_publish(struct bufs *b) { __atomic_store_n(&b->ring[0].tail, b->tail, __ATOMIC_RELEASE); }

static inline void bufs_init(struct bufs *b, struct ring *r, uint32_t count, uint32_t bytes) {
  int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  *b = (struct bufs){.count = count, .bytes = bytes};
  b->ring = mmap(NULL, count * sizeof(struct buf), prot, flags, -1, 0);
  b->memory = mmap(NULL, (size_t)count * bytes, prot, flags, -1, 0);
  if (b->ring == MAP_FAILED || b->memory == MAP_FAILED) fail("mmap", errno);
  struct buf_reg reg = {.ring_addr = (uintptr_t)b->ring, .ring_entries = count};
  int res = ring_register(r, REGISTER_PBUF_RING, &reg, 1);
  if (res < 0) fail("registering the buffer ring", -res);
  for (uint32_t bid = 0; bid < count; bid++) bufs_give(b, (int)bid);
  bufs_publish(b);
}

#endif
