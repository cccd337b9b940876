/* The line protocol between bench/harness.ts and a contestant (bench/js/serve.ts is the same in TypeScript):
 *   "check CASE"   -> "ok"                       the answers are right
 *   "run CASE MS"  -> "OPS WALL_NS CPU_NS"       about MS milliseconds of it, timed here */
#ifndef BENCH_SERVE_H
#define BENCH_SERVE_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

static uint64_t clock_ns(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* `chunk` does a part of a millisecond's work of one case and returns how many operations that was. */
static int serve(void (*check)(int), uint64_t (*chunk)(int)) {
  char line[128];
  int which, ms;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "check %d", &which) == 1) {
      check(which);
      puts("ok");
    } else if (sscanf(line, "run %d %d", &which, &ms) == 2) {
      uint64_t ops = 0, cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), start = clock_ns(CLOCK_MONOTONIC), now;
      do {
        ops += chunk(which);
        now = clock_ns(CLOCK_MONOTONIC);
      } while (now - start < (uint64_t)ms * 1000000u);
      cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
      printf("%llu %llu %llu\n", (unsigned long long)ops, (unsigned long long)(now - start), (unsigned long long)cpu);
    } else {
      return 1;
    }
  }
  return 0;
}

#endif
