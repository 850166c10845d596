/* bench.h -- what the ways to bench a model share. */
#ifndef SN_TOOLS_BENCH_H
#define SN_TOOLS_BENCH_H

#include "tools/profile.h"
#include "tools/workload.h"

#define TIMING_RUNS 2000

typedef struct Timing {
    double at[TIMING_RUNS]; /* ms, ascending once sorted */
    int n;
} Timing;

void timing_sort(Timing *t);
double percentile(const Timing *t, double p); /* p 0 to 1, of a sorted one */
uint64_t peak_bytes(const SnMemoryUse *u);
/* "key": v, or null where it does not apply, as the next member of an object. */
void put_figure(SnText *t, const char *key, bool applies, double v);
void print_limits(const SnLimits *l);
/* A decoder at --shape prompt=P,new=N,batch=B. Returns an exit code. */
int bench_generation(const Args *a);

#endif
