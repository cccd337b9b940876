/* Echo server on epoll, one thread: echoepoll PORT|PATH. What a connection cannot take is kept until it can. */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "address.h"

enum { MAX_FDS = 65536, BUFFER = 65536, EVENTS = 512 };

struct pending {
  char *bytes;
  size_t at, end;
};

static struct pending kept[MAX_FDS];
static char buffer[BUFFER];
static int epoll;

static void fail(const char *what) {
  fprintf(stderr, "echoepoll: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void control(int op, int fd, unsigned events) {
  struct epoll_event e = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, op, fd, &e) < 0) fail("epoll_ctl");
}

static void drop(int fd) {
  free(kept[fd].bytes);
  kept[fd] = (struct pending){0};
  close(fd);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0 || fd >= MAX_FDS) fail("accept4");
    control(EPOLL_CTL_ADD, fd, EPOLLIN);
  }
}

/* Writes what was kept; reading goes on when all of it is gone. */
static void resume(int fd) {
  struct pending *p = &kept[fd];
  ssize_t n = send(fd, p->bytes + p->at, p->end - p->at, MSG_NOSIGNAL);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) {
    drop(fd);
    return;
  }
  p->at += (size_t)n;
  if (p->at < p->end) return;
  free(p->bytes);
  *p = (struct pending){0};
  control(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void echo(int fd) {
  ssize_t n = recv(fd, buffer, BUFFER, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    drop(fd);
    return;
  }
  ssize_t sent = send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
  if (sent == n) return;
  if (sent < 0 && errno != EAGAIN) {
    drop(fd);
    return;
  }
  size_t left = (size_t)(n - (sent < 0 ? 0 : sent));
  kept[fd] = (struct pending){.bytes = malloc(left), .end = left};
  if (!kept[fd].bytes) fail("malloc");
  memcpy(kept[fd].bytes, buffer + n - left, left);
  control(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int listener = listen_at(argv[1], SOCK_NONBLOCK);
  if (listener < 0) fail("listen");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  control(EPOLL_CTL_ADD, listener, EPOLLIN);
  struct epoll_event events[EVENTS];
  for (;;) {
    int n = epoll_wait(epoll, events, EVENTS, -1);
    if (n < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_all(listener);
      else if (events[i].events & EPOLLOUT) resume(fd);
      else echo(fd);
    }
  }
}
