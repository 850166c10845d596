/* machine.h -- what a bench runs on: threads, a context, a compiler with all ops and backends.
 *
 * SINTER_CACHE_DIR and SINTER_CPU_LEVEL are heeded. */
#ifndef SN_BENCH_MACHINE_H
#define SN_BENCH_MACHINE_H

#include "compiler/compiler.h"

typedef struct Machine {
    SnPool *pool; /* NULL: one thread */
    SnContext *ctx;
    SnCompiler *cc;
} Machine;

/* threads: 0 is as many as the machine has. trace may be all zeros. Closed even after a failure. */
SN_MUST_CHECK SnStatus machine_open(Machine *m, uint32_t threads, SnTrace trace, SnError *err);
void machine_close(Machine *m);

/* A block to read: the speed of memory, measured beside what is to be compared with it. */
typedef struct Reading {
    uint8_t *byte;
    size_t size;
} Reading;

SN_MUST_CHECK SnStatus reading_open(Reading *r, size_t size, SnError *err);
void reading_close(Reading *r);
/* Seconds in which all threads of m, each its own part, read the block once. */
double machine_read(const Machine *m, const Reading *r);

#endif
