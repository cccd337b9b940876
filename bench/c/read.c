/* Random 4 KiB reads of a file in page cache: read FLAGS FILE. The case is how many are in flight. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "ring.h"
#include "serve.h"

enum { BLOCK = 4096, SLOTS = 32, OFFSETS = 4096 };

static struct ring ring;
static uint32_t blocks, offsets[OFFSETS], cursor;
static char *memory;

/* Reads `batch` blocks and returns the sum of the block numbers that stand at the head of each. */
static uint64_t read_blocks(uint32_t batch) {
  for (uint32_t i = 0; i < batch; i++) {
    uint64_t block = offsets[cursor++ & (OFFSETS - 1)];
    struct sqe *s = ring_sqe(&ring, OP_READ_FIXED, 0, memory + i * BLOCK, BLOCK, block * BLOCK);
    s->flags = SQE_FIXED_FILE;
    s->user_data = i;
  }
  ring_submit(&ring, batch);
  uint64_t sum = 0;
  uint32_t ready = ring_ready(&ring);
  for (uint32_t i = 0; i < ready; i++) {
    struct cqe *c = ring_cqe(&ring, i);
    if (c->res != BLOCK) fail("READ_FIXED", c->res < 0 ? -c->res : EIO);
    sum += *(uint32_t *)(memory + c->user_data * BLOCK);
  }
  ring_seen(&ring, ready);
  return sum;
}

static void check(int batch) {
  for (uint32_t round = 0; round < 64; round++) {
    uint64_t want = 0, at = cursor;
    for (int i = 0; i < batch; i++) want += offsets[at++ & (OFFSETS - 1)];
    if (read_blocks((uint32_t)batch) != want) fail("check of reads", EBADMSG);
  }
}

static uint64_t chunk(int batch) {
  for (int i = 0; i < 1024 / batch; i++) read_blocks((uint32_t)batch);
  return 1024;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct stat st;
  int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) < 0) fail(argv[2], errno);
  blocks = (uint32_t)(st.st_size / BLOCK);
  uint32_t seed = 1;
  for (int i = 0; i < OFFSETS; i++) offsets[i] = ((seed = seed * 1664525u + 1013904223u) >> 8) % blocks;
  memory = mmap(NULL, SLOTS * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap", errno);
  ring_init(&ring, 64, (uint32_t)strtoul(argv[1], NULL, 0), 0);
  struct iovec all = {.iov_base = memory, .iov_len = SLOTS * BLOCK};
  int res = ring_register(&ring, REGISTER_BUFFERS, &all, 1);
  if (res < 0) fail("registering the buffer", -res);
  if ((res = ring_register(&ring, REGISTER_FILES, &fd, 1)) < 0) fail("registering the file", -res);
  return serve(check, chunk);
}
