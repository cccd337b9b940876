/* NOP round trips: nop FLAGS. The case is the batch size. */
#include "ring.h"
#include "serve.h"

static struct ring ring;

/* One batch: the sum of what came back as user_data, which the caller knows beforehand. */
static uint64_t round_trip(uint32_t batch, uint64_t first) {
  for (uint32_t i = 0; i < batch; i++) ring_sqe(&ring, OP_NOP, -1, NULL, 0, 0)->user_data = first + i;
  ring_submit(&ring, batch);
  uint64_t sum = 0;
  uint32_t ready = ring_ready(&ring);
  for (uint32_t i = 0; i < ready; i++) {
    struct cqe *c = ring_cqe(&ring, i);
    if (c->res < 0) fail("NOP", -c->res);
    sum += c->user_data;
  }
  ring_seen(&ring, ready);
  return sum;
}

static void check(int batch) {
  uint64_t n = (uint64_t)batch;
  for (uint64_t first = 1; first < 1000; first += 7)
    if (round_trip((uint32_t)batch, first) != n * first + n * (n - 1) / 2) fail("check of NOP", EBADMSG);
}

static uint64_t chunk(int batch) {
  uint64_t sum = 0, rounds = 1024 / (uint64_t)batch, n = (uint64_t)batch;
  for (uint64_t i = 0; i < rounds; i++) sum += round_trip((uint32_t)batch, i);
  if (sum != n * (rounds * (rounds - 1) / 2) + rounds * (n * (n - 1) / 2)) fail("sum of NOPs", EBADMSG);
  return rounds * n;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  ring_init(&ring, 256, (uint32_t)strtoul(argv[1], NULL, 0), 0);
  return serve(check, chunk);
}
