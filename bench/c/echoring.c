/* Echo server on io_uring, one thread: echoring PORT|PATH. Multishot accept, multishot receive from a buffer ring, and
 * sends straight out of the received buffer.
 *
 * A send is first tried without blocking and says nothing when it took everything (CQE_SKIP_SUCCESS; with MSG_WAITALL
 * a short one counts as failed). Such a send is over when the call that submitted it returns, so its buffer goes back
 * then, and a batch of answers costs one system call and no completions. What a socket does not take is sent again,
 * this time with a completion, and what is received meanwhile waits behind it. */
#include "address.h"
#include "ring.h"

enum { MAX_FDS = 65536, BUFFERS = 1024, BUFFER_BYTES = 16384, ENTRIES = 4096 };
enum { ON_ACCEPT, ON_RECV, ON_QUICK_SEND, ON_SEND, ON_CLOSE };

/* The buffers that a connection has yet to send, first to last, linked through `next`. */
struct conn {
  int first, last;
  uint8_t receiving, ending, quick, broken;
};

static struct ring ring;
static struct conn conns[MAX_FDS];
static struct bufs bufs;
static int lengths[BUFFERS], done[BUFFERS], next[BUFFERS];
static int ready[MAX_FDS], ready_count, quick[MAX_FDS], quick_count, starving[MAX_FDS], starving_count;
static int free_buffers, closes, listener;

static struct sqe *queue(uint8_t op, int fd, const void *addr, uint32_t len, uint64_t on) {
  struct sqe *s = ring_sqe(&ring, op, fd, addr, len, 0);
  s->user_data = on << 32 | (uint32_t)fd;
  return s;
}

static void give_back(int bid) {
  bufs_give(&bufs, bid);
  free_buffers++;
}

static void queue_accept(void) {
  struct sqe *s = queue(OP_ACCEPT, listener, NULL, 0, ON_ACCEPT);
  s->ioprio = ACCEPT_MULTISHOT;
  s->op_flags = SOCK_CLOEXEC;
}
static void queue_recv(int fd) {
  struct sqe *s = queue(OP_RECV, fd, NULL, 0, ON_RECV);
  s->ioprio = RECV_MULTISHOT;
  s->flags = SQE_BUFFER_SELECT;
  conns[fd].receiving = 1;
}
static void queue_send(int fd, int how) {
  int bid = conns[fd].first;
  char *from = bufs.memory + (size_t)bid * BUFFER_BYTES + done[bid];
  struct sqe *s = queue(OP_SEND, fd, from, (uint32_t)(lengths[bid] - done[bid]), (uint64_t)how);
  s->op_flags = MSG_WAITALL | MSG_NOSIGNAL;
  if (how == ON_SEND) return;
  s->op_flags |= MSG_DONTWAIT;
  s->flags = SQE_CQE_SKIP;
  conns[fd].quick = 1;
  quick[quick_count++] = fd;
}

/* Gives back the first buffer of a connection, or all of them when nobody will take them any more. */
static void pop(int fd) {
  struct conn *c = &conns[fd];
  do {
    int bid = c->first;
    c->first = next[bid];
    give_back(bid);
  } while (c->broken && c->first >= 0);
  if (c->broken && c->receiving) shutdown(fd, SHUT_RD);
}
/* Sends what is next. Behind a send that says nothing there must be nothing to do: nobody would be woken to do it. */
static void go_on(int fd) {
  struct conn *c = &conns[fd];
  if (c->first >= 0) queue_send(fd, next[c->first] < 0 && !c->ending ? ON_QUICK_SEND : ON_SEND);
  if (c->first >= 0 || !c->ending || c->receiving) return;
  queue(OP_CLOSE, fd, NULL, 0, ON_CLOSE)->flags = SQE_CQE_SKIP;
  closes++;
}

static void on_accept(struct cqe *e) {
  if (!(e->flags & CQE_F_MORE)) queue_accept();
  if (e->res < 0 || e->res >= MAX_FDS) fail("accept", -e->res);
  conns[e->res] = (struct conn){.first = -1};
  queue_recv(e->res);
}

static void on_recv(struct cqe *e, int fd) {
  struct conn *c = &conns[fd];
  c->receiving = (e->flags & CQE_F_MORE) != 0;
  free_buffers -= (e->flags & CQE_F_BUFFER) != 0;
  if (e->res > 0) {
    int bid = (int)(e->flags >> 16);
    lengths[bid] = e->res;
    done[bid] = 0;
    next[bid] = -1;
    if (c->first >= 0) {
      next[c->last] = bid;
    } else {
      c->first = bid;
      ready[ready_count++] = fd;
    }
    c->last = bid;
    if (!c->receiving) queue_recv(fd);
  } else if (e->res == -ENOBUFS) {
    starving[starving_count++] = fd;
  } else {
    if (e->flags & CQE_F_BUFFER) give_back((int)(e->flags >> 16));
    c->ending = 1;
    if (c->first < 0) go_on(fd);
  }
}

/* Only what did not go through comes here: the socket is full, took a part, or is broken. */
static void on_quick_send(struct cqe *e, int fd) {
  struct conn *c = &conns[fd];
  c->quick = 0;
  if (e->res < 0 && e->res != -EAGAIN) c->broken = c->ending = 1;
  if (e->res > 0) done[c->first] += e->res;
  if (!c->broken) queue_send(fd, ON_SEND);
  else pop(fd), go_on(fd);
}
static void on_send(struct cqe *e, int fd) {
  struct conn *c = &conns[fd];
  if (e->res != lengths[c->first] - done[c->first]) c->broken = c->ending = 1;
  pop(fd);
  go_on(fd);
}

static void setup(const char *where) {
  listener = listen_at(where, 0);
  if (listener < 0) fail("listen", errno);
  ring_init(&ring, ENTRIES, SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_NO_SQARRAY, 4 * ENTRIES);
  bufs_init(&bufs, &ring, BUFFERS, BUFFER_BYTES);
  free_buffers = BUFFERS;
}

static void reap(uint32_t ready) {
  for (uint32_t i = 0; i < ready; i++) {
    struct cqe *e = ring_cqe(&ring, i);
    int fd = (int)(uint32_t)e->user_data;
    switch (e->user_data >> 32) {
    case ON_ACCEPT: on_accept(e); break;
    case ON_RECV: on_recv(e, fd); break;
    case ON_QUICK_SEND: on_quick_send(e, fd); break;
    case ON_SEND: on_send(e, fd); break;
    default: fail("close", -e->res);
    }
  }
  ring_seen(&ring, ready);
}

/* The quick sends that the last submission carried: those that have not complained are over. */
static void settle(int sent) {
  for (int i = 0; i < sent; i++) {
    int fd = quick[i];
    if (!conns[fd].quick) continue;
    conns[fd].quick = 0;
    pop(fd);
    go_on(fd);
  }
  quick_count -= sent;
  memmove(quick, quick + sent, (size_t)quick_count * sizeof(int));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  setup(argv[1]);
  queue_accept();
  for (;;) {
    bufs_publish(&bufs);
    /* The kernel lets go of a closed socket on the way back from the call: a call that closes must not wait. */
    ring_submit(&ring, closes || (starving_count && quick_count) ? 0 : 1);
    closes = 0;
    int sent = quick_count;
    reap(ring_ready(&ring));
    settle(sent);
    for (int i = 0; i < ready_count; i++) go_on(ready[i]);
    ready_count = 0;
    for (int room = free_buffers; room > 0 && starving_count; room--) queue_recv(starving[--starving_count]);
  }
}
