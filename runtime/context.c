/* context.c -- context life cycle; default allocator, jobs and log; the clock.
 *
 * The only file that calls malloc and free. */
#include "runtime/context.h"
#include "runtime/hostcall.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define SMALL_PAGE ((size_t)4096)

/* ---- defaults ---- */

static void *allocate(size_t size, size_t align)
{
    size_t n;
    if (align <= _Alignof(max_align_t))
        return malloc(size);
    const bool is_large = size >= 2 * SN_LARGE_PAGE && align < SN_LARGE_PAGE;
    if (is_large)
        align = SN_LARGE_PAGE;
    void *p = sn_align_size(size, align, &n) ? aligned_alloc(align, n) : NULL;
    if (p != NULL && is_large)
        sn_expect_use(p, size);
    return p;
}

static void *default_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    (void)self;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    if (ptr == NULL)
        return allocate(new_size, align);
    if (align <= _Alignof(max_align_t))
        return realloc(ptr, new_size);
    void *p = allocate(new_size, align);
    if (p != NULL) {
        memcpy(p, ptr, old_size < new_size ? old_size : new_size);
        free(ptr);
    }
    return p;
}

const SnAllocator sn_default_allocator = {NULL, default_resize};

/* Pages that are given back are zeros when they are next looked at. Large pages would be there whole for a
 * byte in each. */
void sn_zero(const SnAllocator *a, void *at, size_t size)
{
    uint8_t *p = at;
#if defined(MADV_DONTNEED) && defined(MADV_NOHUGEPAGE)
    const size_t skip = (SMALL_PAGE - (uintptr_t)p % SMALL_PAGE) % SMALL_PAGE;
    if (a->resize == sn_default_allocator.resize && size >= SN_LARGE_PAGE) {
        const size_t whole = (size - skip) / SMALL_PAGE * SMALL_PAGE;
        (void)madvise(p + skip, whole, MADV_NOHUGEPAGE);
        if (madvise(p + skip, whole, MADV_DONTNEED) == 0) {
            memset(p, 0, skip);
            p += skip + whole;
            size -= skip + whole;
        }
    }
#else
    (void)a;
#endif
    memset(p, 0, size);
}

static void serial_parallel(void *self, uint32_t count, void (*fn)(void *arg, uint32_t i), void *arg)
{
    (void)self;
    for (uint32_t i = 0; i < count; i++)
        fn(arg, i);
}

/* ---- life cycle ---- */

/* Fields beyond the caller's struct_size are zero; hooks that are zero become the defaults. */
static SnStatus desc_copy(const SnContextDesc *from, SnContextDesc *to, SnError *err)
{
    *to = (SnContextDesc){.struct_size = sizeof *to};
    if (from != NULL) {
        SN_CHECK(from->struct_size >= offsetof(SnContextDesc, memory) && from->struct_size <= sizeof *to, err,
                 SN_EINVAL, "SnContextDesc.struct_size is %" PRIu32 ", expected at most %zu",
                 from->struct_size, sizeof *to);
        memcpy(to, from, from->struct_size);
    }
    SN_CHECK((to->flags & ~(SN_USE_AMX | SN_EXACT)) == 0, err, SN_EINVAL,
             "SnContextDesc.flags has unknown bits: %#" PRIx32, to->flags);
    if (to->memory.resize == NULL)
        to->memory = sn_default_allocator;
    if (to->jobs.parallel == NULL)
        to->jobs = (SnJobs){NULL, 1, serial_parallel};
    if (to->jobs.width == 0)
        to->jobs.width = 1;
    return SN_OK;
}

SnStatus sn_context_create(const SnContextDesc *desc, SnContext **out, SnError *err)
{
    SnContextDesc d;
    SnCpuLevel level;
    bool refused;
    SN_TRY(desc_copy(desc, &d, err));
    SN_TRY(sn_cpu_choose(d.cpu_level, d.flags, &level, &refused, err));
    SnContext *ctx = (SnContext *)sn_alloc(&d.memory, sizeof *ctx, _Alignof(SnContext));
    SN_CHECK(ctx != NULL, err, SN_ENOMEM, "context: no memory for %zu bytes", sizeof *ctx);
    *ctx = (SnContext){.memory = d.memory,
                       .jobs = d.jobs,
                       .log = d.log,
                       .trace = d.trace,
                       .cpu_level = level,
                       .flags = d.flags};
    if (d.cache_dir != NULL) {
        ctx->cache_dir_size = strlen(d.cache_dir) + 1;
        ctx->cache_dir = (char *)sn_alloc(&ctx->memory, ctx->cache_dir_size, 1);
        if (ctx->cache_dir == NULL) {
            const size_t size = ctx->cache_dir_size;
            sn_context_destroy(ctx);
            return sn_fail(err, SN_ENOMEM, "context: no memory for %zu bytes", size);
        }
        memcpy(ctx->cache_dir, d.cache_dir, ctx->cache_dir_size);
    }
    if (refused)
        sn_log_write(ctx, SN_LOG_WARN, "the kernel refused permission for AMX; using CPU level %s",
                     sn_cpu_level_name(level));
    *out = ctx;
    return SN_OK;
}

void sn_context_destroy(SnContext *ctx)
{
    if (ctx == NULL)
        return;
    const SnAllocator memory = ctx->memory;
    sn_free(&memory, ctx->cache_dir, ctx->cache_dir_size, 1);
    sn_free(&memory, ctx, sizeof *ctx, _Alignof(SnContext));
}

const char *sn_context_cpu_level(const SnContext *ctx)
{
    return sn_cpu_level_name(ctx->cpu_level);
}

const SnAllocator *sn_allocator(const SnContext *ctx)
{
    return &ctx->memory;
}

const SnJobs *sn_jobs(const SnContext *ctx)
{
    return &ctx->jobs;
}

void sn_jobs_beside(SnContext *ctx, void (*fn)(void *arg), void *arg)
{
    ctx->beside = fn;
    ctx->beside_arg = arg;
}

/* ---- log, clock ---- */

/* What is too long for the stack is cut there only where there is no memory for it. */
void sn_log_write(const SnContext *ctx, SnLogLevel level, const char *format, ...)
{
    char message[1024], *all = NULL;
    va_list args;
    if (ctx->log.write == NULL)
        return;
    va_start(args, format);
    const int n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const size_t size = n >= 0 ? (size_t)n + 1 : 0;
    if (size > sizeof message && (all = sn_alloc(&ctx->memory, size, 1)) != NULL) {
        va_start(args, format);
        (void)vsnprintf(all, size, format, args);
        va_end(args);
    }
    if (n >= 0)
        ctx->log.write(ctx->log.self, level, all != NULL ? all : message);
    sn_free(&ctx->memory, all, size, 1);
}

uint64_t sn_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
