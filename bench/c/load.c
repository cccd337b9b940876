/* Load generator for echo servers at a port of the loopback interface or the path of a Unix socket: one thread.
 *   load check  WHERE CONNS SIZE          SIZE bytes of noise through each of CONNS, back unchanged, then an orderly end
 *   load stream WHERE CONNS SIZE WARM_MS MS   one message of SIZE bytes in flight on each of CONNS
 *   load churn  WHERE CONNS SIZE WARM_MS MS   connect, one message echoed, orderly end; CONNS at a time
 * A stream goes through io_uring, because the load must not be what limits the servers; the others through epoll.
 * Prints one line of JSON: done, wallNs and latencies without the warm-up, total and cpuNs with it. bench/js/load.ts is the same where there is no compiler. */
#include <sys/epoll.h>
#include <time.h>

#include "address.h"
#include "ring.h"

enum { MAX_CONNS = 16384, MAX_FDS = 65536, BUFFER = 1 << 18, BUCKETS = 64 * 32 };
enum { ENTRIES = 4096, PIECES = 1024, PIECE = 16384 };

struct conn {
  uint64_t start;
  uint32_t got, sent, seed_in, seed_out;
  int ending;
};

static struct conn conns[MAX_FDS];
static char buffer[BUFFER], message[BUFFER];
static uint32_t buckets[BUCKETS], sources, size, latencies;
static struct place server;
static int epoll;

static void wrong(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}
static uint64_t clock_ns(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Latencies in buckets 3 % wide. */
static void record(uint64_t ns) {
  int log = 63 - __builtin_clzll(ns | 32);
  buckets[(log - 5) * 32 + (int)((ns | 32) >> (log - 5)) - 32]++;
  latencies++;
}
static uint64_t percentile(double p) {
  uint64_t rank = (uint64_t)(p * latencies), seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += buckets[i]) > rank) return (uint64_t)(i % 32 + 32) << (i / 32);
  return 0;
}

/* Connects, blocking, which on one machine does not wait; sources vary so that TIME_WAIT does not exhaust the ports. */
static int dial(void) {
  int fd = socket(server.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0 || fd >= MAX_FDS) fail("socket", errno);
  struct timeval patience = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (server.at.any.sa_family == AF_INET) {
    no_delay(&server, fd);
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f010001u + (sources++ & 63));
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind", errno);
  }
  if (connect(fd, &server.at.any, server.size) < 0) fail("connect", errno);
  conns[fd] = (struct conn){.start = 0, .seed_in = (uint32_t)fd, .seed_out = (uint32_t)fd};
  return fd;
}
static void watch(int fd, uint32_t events) {
  struct epoll_event e = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) fail("epoll_ctl", errno);
}
static void send_message(int fd, uint64_t now) {
  struct conn *c = &conns[fd];
  c->start = now;
  c->got = 0;
  if (send(fd, message, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send", errno);
}
static void hang_up(int fd) {
  if (shutdown(fd, SHUT_WR) < 0) fail("shutdown", errno);
  conns[fd].ending = 1;
}

/* One readable event; 1 when it completed a message, 2 when the server ended the connection as it was asked to. */
static int readable(int fd) {
  struct conn *c = &conns[fd];
  ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0) fail("recv", errno);
  if (n == 0 && c->ending) return 2;
  if (n == 0) wrong("the server closed a connection that was in use");
  c->got += (uint32_t)n;
  if (c->ending || c->got > size) wrong("the server sent more than it was given");
  return c->got == size;
}

static void queue_recv(struct ring *r, int fd) {
  struct sqe *s = ring_sqe(r, OP_RECV, fd, NULL, 0, 0);
  s->ioprio = RECV_MULTISHOT;
  s->flags = SQE_BUFFER_SELECT;
  s->user_data = (uint64_t)fd;
}
/* Says nothing when all of it went, as it does while the server keeps up. */
static void queue_send(struct ring *r, int fd, uint64_t now) {
  conns[fd].start = now;
  conns[fd].got = 0;
  struct sqe *s = ring_sqe(r, OP_SEND, fd, message, size, 0);
  s->op_flags = MSG_WAITALL | MSG_NOSIGNAL;
  s->flags = SQE_CQE_SKIP;
  s->user_data = MAX_FDS;
}

/* One completion; the connection whose message it completed, or -1. */
static int received(struct ring *r, struct bufs *bufs, struct cqe *e) {
  int fd = (int)e->user_data;
  if (fd == MAX_FDS) fail("send", -e->res);
  if (e->flags & CQE_F_BUFFER) bufs_give(bufs, (int)(e->flags >> 16));
  if (!(e->flags & CQE_F_MORE)) queue_recv(r, fd);
  if (e->res == -ENOBUFS) return -1;
  if (e->res < 0) fail("recv", -e->res);
  if (e->res == 0) wrong("the server closed a connection that was in use");
  conns[fd].got += (uint32_t)e->res;
  if (conns[fd].got > size) wrong("the server sent more than it was given");
  return conns[fd].got == size ? fd : -1;
}

/* Messages until the time is over, in the warm-up first; the second part is what counts. */
static void run_stream(int count, uint64_t warm_ns, uint64_t ns, uint64_t *warm, uint64_t *done, uint64_t *wall) {
  static struct ring ring;
  static struct bufs bufs;
  ring_init(&ring, ENTRIES, SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_NO_SQARRAY, 4 * ENTRIES);
  bufs_init(&bufs, &ring, PIECES, PIECE);
  for (int i = 0; i < count; i++) {
    int fd = dial();
    queue_recv(&ring, fd);
    queue_send(&ring, fd, clock_ns(CLOCK_MONOTONIC));
  }
  uint64_t begin = clock_ns(CLOCK_MONOTONIC), counted = 0, now = begin;
  while (!counted || now - counted < ns) {
    ring_submit(&ring, 1);
    uint32_t ready = ring_ready(&ring);
    for (uint32_t i = 0; i < ready; i++) {
      int fd = received(&ring, &bufs, ring_cqe(&ring, i));
      if (fd < 0) continue;
      now = clock_ns(CLOCK_MONOTONIC);
      record(now - conns[fd].start);
      ++*(counted ? done : warm);
      queue_send(&ring, fd, now);
    }
    ring_seen(&ring, ready);
    bufs_publish(&bufs);
    if (counted || (now = clock_ns(CLOCK_MONOTONIC)) - begin < warm_ns) continue;
    memset(buckets, latencies = 0, sizeof buckets);
    counted = now;
  }
  *wall = now - counted;
}

static void run_churn(uint64_t until, uint64_t *done) {
  struct epoll_event events[512];
  for (;;) {
    int n = epoll_wait(epoll, events, 512, 2000);
    if (n <= 0) wrong("no answer for two seconds");
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd, what = readable(fd);
      if (what == 1) hang_up(fd);
      if (what != 2) continue;
      uint64_t start = conns[fd].start, now = clock_ns(CLOCK_MONOTONIC);
      close(fd);
      record(now - start);
      ++*done;
      send_message(fd = dial(), now);
      watch(fd, EPOLLIN);
    }
    if (clock_ns(CLOCK_MONOTONIC) >= until) return;
  }
}

static unsigned char noise(uint32_t *seed) { return (unsigned char)((*seed = *seed * 1664525u + 1013904223u) >> 24); }

/* Takes what has come back and compares it; 1 when the connection is over. */
static int compare(int fd) {
  struct conn *c = &conns[fd];
  ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0) fail("recv", errno);
  for (ssize_t i = 0; i < n; i++)
    if ((unsigned char)buffer[i] != noise(&c->seed_in)) wrong("the bytes that came back are not those that were sent");
  c->got += (uint32_t)n;
  if (n == 0 && c->got != size) wrong("the server ended before all had come back");
  if (n == 0) close(fd);
  else if (c->got == size) hang_up(fd);
  return n == 0;
}

/* Sends noise in pieces of odd lengths, as far as the socket takes them. */
static void supply(int fd) {
  struct conn *c = &conns[fd];
  if (c->sent == size) return;
  uint32_t before = c->seed_out, want = 1 + (before >> 8) % 65536;
  if (want > size - c->sent) want = size - c->sent;
  for (uint32_t i = 0; i < want; i++) message[i] = (char)noise(&c->seed_out);
  ssize_t n = send(fd, message, want, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && errno != EAGAIN) fail("send", errno);
  if (n < 0) n = 0;
  c->seed_out = before;
  for (ssize_t i = 0; i < n; i++) noise(&c->seed_out);
  c->sent += (uint32_t)n;
  if (c->sent < size) return;
  struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &e) < 0) fail("epoll_ctl", errno);
}

static void run_check(int open_conns) {
  struct epoll_event events[512];
  for (int i = 0; i < open_conns; i++) watch(dial(), EPOLLIN | EPOLLOUT);
  while (open_conns) {
    int n = epoll_wait(epoll, events, 512, 5000);
    if (n <= 0) wrong("no answer for five seconds");
    for (int i = 0; i < n; i++) {
      if (events[i].events & EPOLLOUT) supply(events[i].data.fd);
      if (events[i].events & ~(uint32_t)EPOLLOUT) open_conns -= compare(events[i].data.fd);
    }
  }
  puts("{\"ok\":true}");
}

static void run_both_churns(int count, uint64_t warm_ns, uint64_t ns, uint64_t *warm, uint64_t *done, uint64_t *wall) {
  for (int i = 0; i < count; i++) {
    int fd = dial();
    watch(fd, EPOLLIN);
    send_message(fd, clock_ns(CLOCK_MONOTONIC));
  }
  run_churn(clock_ns(CLOCK_MONOTONIC) + warm_ns, warm);
  memset(buckets, latencies = 0, sizeof buckets);
  uint64_t start = clock_ns(CLOCK_MONOTONIC);
  run_churn(start + ns, done);
  *wall = clock_ns(CLOCK_MONOTONIC) - start;
}

static void run_timed(int churn, int count, uint64_t warm_ns, uint64_t ns) {
  uint64_t warm = 0, done = 0, wall = 0;
  (churn ? run_both_churns : run_stream)(count, warm_ns, ns, &warm, &done, &wall);
  if (!done) wrong("not one message came back");
  printf("{\"done\":%llu,\"total\":%llu,\"wallNs\":%llu,\"cpuNs\":%llu,\"p50Ns\":%llu,\"p99Ns\":%llu}\n",
         (unsigned long long)done, (unsigned long long)(warm + done), (unsigned long long)wall,
         (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID), (unsigned long long)percentile(0.50),
         (unsigned long long)percentile(0.99));
}

int main(int argc, char **argv) {
  if (argc < 5) wrong("usage: load check|stream|churn WHERE CONNS SIZE [WARM_MS MS]");
  server = place_of(argv[2]);
  int count = atoi(argv[3]);
  size = (uint32_t)atoi(argv[4]);
  if (count < 1 || count > MAX_CONNS) wrong("CONNS out of range");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1", errno);
  if (strcmp(argv[1], "check") == 0) {
    run_check(count);
    return 0;
  }
  if (argc != 7 || size < 1 || size > BUFFER) wrong("SIZE or the times are missing or out of range");
  memset(message, 'x', size);
  run_timed(strcmp(argv[1], "churn") == 0, count, (uint64_t)atoi(argv[5]) * 1000000u, (uint64_t)atoi(argv[6]) * 1000000u);
  return 0;
}
