/* machine.c -- opens what a bench runs on. */
#include "tests/bench/machine.h"

#include "backends/backends.h"
#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* ---- the speed of memory ---- */

#define STEP  512u  /* bytes of one trip of the loop */
#define AHEAD 8192u /* bytes that are asked for ahead */

typedef uint64_t Vector __attribute__((vector_size(64)));

typedef struct Part {
    const Reading *r;
    uint32_t n;
    Vector sum[64];
} Part;

SnStatus reading_open(Reading *r, size_t size, SnError *err)
{
    r->size = size / STEP * STEP;
    void *const p = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r->byte = p == MAP_FAILED ? NULL : p;
    SN_CHECK(r->byte, err, SN_ENOMEM, "bench: no memory to read (%zu bytes)", size);
    (void)madvise(r->byte, r->size, MADV_HUGEPAGE);
    memset(r->byte, 1, r->size);
    return SN_OK;
}

void reading_close(Reading *r)
{
    if (r->byte)
        munmap(r->byte, r->size);
}

static void read_part(void *arg, uint32_t job)
{
    Part *const part = arg;
    const size_t n = part->r->size / STEP;
    Vector a = {0}, b = {0}, c = {0}, d = {0};
    const uint8_t *p = part->r->byte + n * job / part->n * STEP;
    for (const uint8_t *const end = part->r->byte + n * (job + 1) / part->n * STEP; p < end; p += STEP) {
        const Vector *const v = (const Vector *)(const void *)p;
        for (size_t i = 0; i < STEP; i += 64)
            __builtin_prefetch(p + AHEAD + i, 0, 2); /* into L2: the fastest of the ways that were tried */
        a ^= v[0] ^ v[4];
        b ^= v[1] ^ v[5];
        c ^= v[2] ^ v[6];
        d ^= v[3] ^ v[7];
    }
    part->sum[job % 64] ^= a ^ b ^ c ^ d;
}

double machine_read(const Machine *m, const Reading *r)
{
    Part part = {.r = r, .n = 1};
    const SnJobs jobs = m->pool ? sn_pool_jobs(m->pool) : (SnJobs){0};
    const uint64_t begin = sn_now_ns();
    if (jobs.parallel) {
        part.n = jobs.width;
        jobs.parallel(jobs.self, part.n, read_part, &part);
    } else {
        read_part(&part, 0);
    }
    const double seconds = (double)(sn_now_ns() - begin) / 1e9;
    volatile uint64_t kept = 0;
    for (size_t i = 0; i < 64; i++)
        kept ^= part.sum[i][0];
    (void)kept;
    return seconds;
}
