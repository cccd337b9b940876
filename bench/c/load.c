/* Load generator for TCP echo servers on loopback: one thread, epoll.
 *   load check  PORT CONNS SIZE          SIZE bytes of noise through each of CONNS, back unchanged, then an orderly end
 *   load stream PORT CONNS SIZE WARM_MS MS   one message of SIZE bytes in flight on each of CONNS
 *   load churn  PORT CONNS SIZE WARM_MS MS   connect, one message echoed, orderly end; CONNS at a time
 * Prints one line of JSON: done, wallNs and latencies without the warm-up, total and cpuNs with it. bench/js/load.ts is the same where there is no compiler. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNS = 4096, MAX_FDS = 65536, BUFFER = 1 << 18, BUCKETS = 64 * 32 };

struct conn {
  uint64_t start;
  uint32_t got, sent, seed_in, seed_out;
  int ending;
};

static struct conn conns[MAX_FDS];
static char buffer[BUFFER], message[BUFFER];
static uint32_t buckets[BUCKETS], sources, size, latencies;
static int port, epoll;

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}
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

/* Connects, blocking, which on loopback does not wait; sources vary so that TIME_WAIT does not exhaust the ports. */
static int dial(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0 || fd >= MAX_FDS) fail("socket");
  struct timeval patience = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct sockaddr_in from = {.sin_family = AF_INET};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  from.sin_addr.s_addr = htonl(0x7f010001u + (sources++ & 63));
  if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  conns[fd] = (struct conn){.start = 0, .seed_in = (uint32_t)fd, .seed_out = (uint32_t)fd};
  return fd;
}
static void watch(int fd, uint32_t events) {
  struct epoll_event e = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) fail("epoll_ctl");
}
static void send_message(int fd, uint64_t now) {
  struct conn *c = &conns[fd];
  c->start = now;
  c->got = 0;
  if (send(fd, message, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send");
}
static void hang_up(int fd) {
  if (shutdown(fd, SHUT_WR) < 0) fail("shutdown");
  conns[fd].ending = 1;
}

/* One readable event; 1 when it completed a message, 2 when the server ended the connection as it was asked to. */
static int readable(int fd) {
  struct conn *c = &conns[fd];
  ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0) fail("recv");
  if (n == 0 && c->ending) return 2;
  if (n == 0) wrong("the server closed a connection that was in use");
  c->got += (uint32_t)n;
  if (c->ending || c->got > size) wrong("the server sent more than it was given");
  return c->got == size;
}

static void run_stream(uint64_t until, uint64_t *done) {
  struct epoll_event events[512];
  for (;;) {
    int n = epoll_wait(epoll, events, 512, 2000);
    if (n <= 0) wrong("no answer for two seconds");
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (readable(fd) != 1) continue;
      now = clock_ns(CLOCK_MONOTONIC);
      record(now - conns[fd].start);
      ++*done;
      send_message(fd, now);
    }
    if (now >= until) return;
  }
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
  if (n < 0) fail("recv");
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
  if (n < 0 && errno != EAGAIN) fail("send");
  if (n < 0) n = 0;
  c->seed_out = before;
  for (ssize_t i = 0; i < n; i++) noise(&c->seed_out);
  c->sent += (uint32_t)n;
  if (c->sent < size) return;
  struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &e) < 0) fail("epoll_ctl");
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

static void run_timed(int churn, int count, uint64_t warm_ms, uint64_t ms) {
  uint64_t warm = 0, done = 0;
  for (int i = 0; i < count; i++) {
    int fd = dial();
    watch(fd, EPOLLIN);
    send_message(fd, clock_ns(CLOCK_MONOTONIC));
  }
  void (*run)(uint64_t, uint64_t *) = churn ? run_churn : run_stream;
  run(clock_ns(CLOCK_MONOTONIC) + warm_ms * 1000000u, &warm);
  memset(buckets, latencies = 0, sizeof buckets);
  uint64_t start = clock_ns(CLOCK_MONOTONIC);
  run(start + ms * 1000000u, &done);
  uint64_t wall = clock_ns(CLOCK_MONOTONIC) - start;
  if (!done) wrong("not one message came back");
  printf("{\"done\":%llu,\"total\":%llu,\"wallNs\":%llu,\"cpuNs\":%llu,\"p50Ns\":%llu,\"p99Ns\":%llu}\n",
         (unsigned long long)done, (unsigned long long)(warm + done), (unsigned long long)wall,
         (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID), (unsigned long long)percentile(0.50),
         (unsigned long long)percentile(0.99));
}

int main(int argc, char **argv) {
  if (argc < 5) wrong("usage: load check|stream|churn PORT CONNS SIZE [WARM_MS MS]");
  port = atoi(argv[2]);
  int count = atoi(argv[3]);
  size = (uint32_t)atoi(argv[4]);
  if (count < 1 || count > MAX_CONNS) wrong("CONNS out of range");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1");
  if (strcmp(argv[1], "check") == 0) {
    run_check(count);
    return 0;
  }
  if (argc != 7 || size < 1 || size > BUFFER) wrong("SIZE or the times are missing or out of range");
  memset(message, 'x', size);
  run_timed(strcmp(argv[1], "churn") == 0, count, (uint64_t)atoi(argv[5]), (uint64_t)atoi(argv[6]));
  return 0;
}
