/* Where an echo server is: a port on the loopback interface, or the path of a Unix socket. */
#ifndef BENCH_ADDRESS_H
#define BENCH_ADDRESS_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct place {
  union {
    struct sockaddr any;
    struct sockaddr_in ip;
    struct sockaddr_un un;
  } at;
  socklen_t size;
};

static struct place place_of(const char *text) {
  struct place p = {.size = sizeof p.at.ip};
  if (text[0] == '/') {
    p.at.un.sun_family = AF_UNIX;
    strncpy(p.at.un.sun_path, text, sizeof p.at.un.sun_path - 1);
    p.size = sizeof p.at.un;
  } else {
    p.at.ip = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(text))};
    p.at.ip.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  return p;
}

/* Small messages leave at once; what a listening socket has is inherited by what it accepts. */
static void no_delay(const struct place *p, int fd) {
  int one = 1;
  if (p->at.any.sa_family == AF_INET) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A listening socket, -1 with errno where there can be none. */
__attribute__((unused)) static int listen_at(const char *text, int flags) {
  struct place p = place_of(text);
  int fd = socket(p.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  no_delay(&p, fd);
  return bind(fd, &p.at.any, p.size) < 0 || listen(fd, 1024) < 0 ? -1 : fd;
}

#endif
