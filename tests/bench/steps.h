/* steps.h -- where the time of a run goes, by kernel: the least that each of its steps took in many runs. */
#ifndef SN_BENCH_STEPS_H
#define SN_BENCH_STEPS_H

#include "runtime/sinter.h"

#define STEPS_MOST 8192

typedef struct Step {
    const char *name;
    uint64_t ns, bytes, flops;
    int64_t tiles;
} Step;

typedef struct Steps {
    bool is_on;
    Step step[STEPS_MOST];
    size_t n, at;
} Steps;

void steps_event(void *self, const SnTraceEvent *e); /* for SnTrace: self is a Steps */
void steps_begin(Steps *s);                          /* before the first of the runs that count */
void steps_next(Steps *s);                           /* before each of them */
/* A line for kernels of one name that do equally much; gflops: what the machine multiplies at most. */
void steps_print(const Steps *s, double gflops);

#endif
