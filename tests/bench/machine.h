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

#endif
