/* machine.c -- opens what a bench runs on. */
#include "tests/bench/machine.h"

#include "backends/backends.h"
#include "ops/ops.h"

#include <stdlib.h>

SnStatus machine_open(Machine *m, uint32_t threads, SnTrace trace, SnError *err)
{
    static const SnCompilerDesc cc = {
        .struct_size = sizeof cc, .ops = sn_all_ops, .backends = sn_all_backends};
    SnContextDesc desc = {.struct_size = sizeof desc,
                          .flags = SN_USE_AMX,
                          .trace = trace,
                          .cache_dir = getenv("SINTER_CACHE_DIR"),
                          .cpu_level = getenv("SINTER_CPU_LEVEL")};
    *m = (Machine){0};
    if (threads != 1) {
        SN_TRY(sn_pool_create(threads, &m->pool, err));
        desc.jobs = sn_pool_jobs(m->pool);
    }
    SN_TRY(sn_context_create(&desc, &m->ctx, err));
    return sn_compiler_create(m->ctx, &cc, &m->cc, err);
}

void machine_close(Machine *m)
{
    sn_compiler_destroy(m->cc);
    sn_context_destroy(m->ctx);
    sn_pool_destroy(m->pool);
}
