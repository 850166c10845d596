/* limits.c -- what this machine can do, measured by kernels that do nothing else.
 *
 * Arithmetic: independent chains of fma or dot2, or products of the matrix unit, in registers. Memory: a
 * working set is read, or one half of it is copied to the other, by all threads at once, each its own part,
 * several times over, so that what fits in a cache stays there. A copy is the best of our stores, of our
 * stores past the caches, and of memcpy. Every figure is the best of a few attempts. */
#include "compiler/compiler.h"

#include <math.h>
#include <stdio.h>

#define ATTEMPTS  9
#define CHUNK     65536u /* bytes of a tile of the memory kernels */
#define PIECE     512u   /* bytes that a tile of `read` writes */
#define TARGET_NS 2000000u

/* N independent vectors of 16 sums, of fma or of dot2. */
static const char chain_text[] = "kernel r w dims 1 {\n"
                                 "  grid 1\n"
                                 "  local.f32 b2 %d {\n"
                                 "    unroll i1 %d { lanes i2 16 {\n"
                                 "      store.f32 b2 (add (mul i1 16) i2) (load.f32 b0 i2)\n"
                                 "    } }\n"
                                 "    serial i3 d0 { unroll i4 %d { lanes i5 16 {\n"
                                 "      %%0 = (add (mul i4 16) i5)\n"
                                 "      store.f32 b2 %%0 %s\n"
                                 "    } } }\n"
                                 "    unroll i6 %d { lanes i7 16 {\n"
                                 "      %%1 = (add (mul i6 16) i7)\n"
                                 "      store.f32 b1 (add (mul t %d) %%1) (load.f32 b2 %%1)\n"
                                 "    } }\n"
                                 "  }\n"
                                 "}\n";
static const char fma_text[] = "(fma (load.f32 b2 %0) (load.f32 b0 16) (load.f32 b0 17))";
static const char dot2_text[] = "(dot2 (load.f32 b2 %0) (load.u32 b0 16) (load.u32 b0 17))";
/* 2 x 2 tiles of 16 x 16 sums. */
static const char tile_text[] = "kernel r w dims 1 {\n"
                                "  grid 1\n"
                                "  tile.zero 0 tile.zero 1 tile.zero 2 tile.zero 3\n"
                                "  tile.load 4 b0 0 64 tile.load 5 b0 0 64\n"
                                "  tile.load 6 b0 0 64 tile.load 7 b0 0 64\n"
                                "  serial i1 d0 {\n"
                                "    tile.dot.bf16 0 4 6 tile.dot.bf16 1 4 7\n"
                                "    tile.dot.bf16 2 5 6 tile.dot.bf16 3 5 7\n"
                                "  }\n"
                                "  tile.store 0 b1 (mul t 4096) 64\n"
                                "  tile.store 1 b1 (add (mul t 4096) 1024) 64\n"
                                "  tile.store 2 b1 (add (mul t 4096) 2048) 64\n"
                                "  tile.store 3 b1 (add (mul t 4096) 3072) 64\n"
                                "}\n";
static const char read_text[] =
    "kernel r w dims 0 {\n"
    "  grid 1\n"
    "  local.u32 b2 128 {\n"
    "    unroll i1 8 { lanes i2 16 { store.u32 b2 (add (mul i1 16) i2) 0:u32 } }\n"
    "    serial i3 128 { unroll i4 8 { lanes i5 16 {\n"
    "      %0 = (add (mul i4 16) i5)\n"
    "      %1 = (load.u32.8192 b0 (add (add (mul t 16384) (mul i3 128)) %0))\n"
    "      store.u32 b2 %0 (xor (load.u32 b2 %0) %1)\n"
    "    } } }\n"
    "    unroll i6 8 { lanes i7 16 {\n"
    "      %2 = (add (mul i6 16) i7)\n"
    "      store.u32 b1 (add (mul t 128) %2) (load.u32 b2 %2)\n"
    "    } }\n"
    "  }\n"
    "}\n";
#define COPY_TEXT(how)                                                                                       \
    "kernel r w dims 0 {\n"                                                                                  \
    "  grid 1\n"                                                                                             \
    "  serial i1 256 { unroll i2 4 { lanes i3 16 {\n"                                                        \
    "    %0 = (add (add (mul t 16384) (mul i1 64)) (add (mul i2 16) i3))\n"                                  \
    "    store.u32 b1 %0 (load.u32 b0 %0)" how "\n"                                                          \
    "  } } }\n"                                                                                              \
    "}\n"

enum { FMA, DOT2, TILE, READ, COPY, STREAM, KERNELS };

typedef struct Gauge {
    SnContext *ctx;
    SnTarget target;
    SnModule *module;
    const SnKernel *kernel[KERNELS];
    uint32_t nkernel;
    int at[KERNELS]; /* of each kernel in the module; -1: not on this target */
    int nchain;      /* of the kernels of chains */
    uint8_t *block;  /* a source and a destination, one after the other */
    size_t size;
    uint32_t width;
} Gauge;

/* ---- kernels ---- */

static SnStatus add_kernel(Gauge *g, SnStore *s, SnArena *arena, int which, const char *text, SnError *err)
{
    static const char *const name[KERNELS] = {"limit_fma",  "limit_dot2", "limit_tile",
                                              "limit_read", "limit_copy", "limit_stream"};
    SnKernel *k = NULL;
    SN_TRY(sn_kernel_parse(s, arena, name[which], sn_bytes_str(text), &k, err));
    g->at[which] = (int)g->nkernel;
    g->kernel[g->nkernel++] = k;
    return SN_OK;
}

static SnStatus add_chain(Gauge *g, SnStore *s, SnArena *arena, int which, const char *step, SnError *err)
{
    char text[sizeof chain_text + 128];
    const int n = g->nchain;
    (void)snprintf(text, sizeof text, chain_text, n * 16, n, n, step, n, n * 16);
    return add_kernel(g, s, arena, which, text, err);
}

/* As many chains as hide the latency of an fma and fit in three quarters of the registers. */
static int count_chains(const SnTarget *t)
{
    const uint32_t room = t->vector_bytes * t->vector_count / 64 * 3 / 4;
    return room > 12 ? 12 : (int)room;
}

static SnStatus build(Gauge *g, const SnBackend *backend, SnStore *s, SnArena *arena, SnError *err)
{
    for (int i = 0; i < KERNELS; i++)
        g->at[i] = -1;
    g->nchain = count_chains(&g->target);
    SN_TRY(add_chain(g, s, arena, FMA, fma_text, err));
    SN_TRY(add_kernel(g, s, arena, READ, read_text, err));
    SN_TRY(add_kernel(g, s, arena, COPY, COPY_TEXT(""), err));
    SN_TRY(add_kernel(g, s, arena, STREAM, COPY_TEXT(" stream true"), err));
    if (g->target.has_tiles)
        SN_TRY(add_kernel(g, s, arena, TILE, tile_text, err));
    else if (g->target.has_dot2)
        SN_TRY(add_chain(g, s, arena, DOT2, dot2_text, err));
    SN_TRY(backend->build(g->ctx, &g->target, g->kernel, g->nkernel, &g->module, err));
    SN_CHECK(g->module->fn, err, SN_EUNSUPPORTED, "limits: %s has no code to call", g->target.name);
    return SN_OK;
}

/* ---- timing ---- */

/* One call of `parallel`: job i does its part of the tiles `passes` times. */
typedef struct Pass {
    SnKernelFn *fn; /* NULL: memcpy */
    void *buffer[2];
    int64_t dim;
    int64_t ntile, njob;
    uint32_t passes;
} Pass;

static void run_job(void *arg, uint32_t job)
{
    const Pass *p = arg;
    const int64_t first = p->ntile * job / p->njob, last = p->ntile * (job + 1) / p->njob;
    for (uint32_t i = 0; i < p->passes; i++) {
        if (p->fn)
            p->fn(p->buffer, &p->dim, first, last);
        else
            memcpy((uint8_t *)p->buffer[1] + (size_t)first * CHUNK,
                   (const uint8_t *)p->buffer[0] + (size_t)first * CHUNK, (size_t)(last - first) * CHUNK);
    }
}

static uint64_t time_pass(const Gauge *g, Pass *p)
{
    const SnJobs *jobs = sn_jobs(g->ctx);
    const uint64_t begin = sn_now_ns();
    if (g->width > 1)
        jobs->parallel(jobs->self, g->width, run_job, p);
    else
        run_job(p, 0);
    const uint64_t ns = sn_now_ns() - begin;
    return ns ? ns : 1;
}

/* Passes a second. */
static double measure(const Gauge *g, Pass *p)
{
    double best = 0;
    p->njob = g->width;
    p->passes = 1;
    const uint64_t once = time_pass(g, p);
    p->passes = once < TARGET_NS ? (uint32_t)(TARGET_NS / once) + 1 : 1;
    for (int i = 0; i < ATTEMPTS; i++) {
        const double rate = 1e9 * p->passes / (double)time_pass(g, p);
        best = rate > best ? rate : best;
    }
    return best;
}

static double measure_arithmetic(const Gauge *g, int kernel, double flops_of_trip)
{
    if (g->at[kernel] < 0)
        return 0;
    Pass p = {.fn = g->module->fn[g->at[kernel]],
              .buffer = {g->block, g->block + CHUNK},
              .dim = 20000,
              .ntile = g->width};
    return measure(g, &p) * flops_of_trip * (double)p.dim * (double)p.ntile / 1e9;
}

/* GB/s of bytes read; of a copy, of bytes read and bytes written. */
static double measure_memory(const Gauge *g, int kernel, size_t set)
{
    const size_t half = set / 2;
    Pass p = {.fn = kernel < 0 ? NULL : g->module->fn[g->at[kernel]],
              .buffer = {g->block, g->block + (kernel == READ ? g->size : half)},
              .ntile = (int64_t)((kernel == READ ? set : half) / CHUNK)};
    return measure(g, &p) * (double)set / 1e9;
}

/* ---- limits ---- */

static double greater(double a, double b)
{
    return a > b ? a : b;
}

static SnStatus measure_all(Gauge *g, SnLimits *out, SnError *err)
{
    static const uint64_t sets[SN_LIMIT_SETS] = {1u << 20, 4u << 20, 16u << 20, 64u << 20, 512u << 20};
    const size_t most = (size_t)sets[SN_LIMIT_SETS - 1];
    const size_t room = most + most / CHUNK * PIECE + (size_t)g->width * CHUNK;
    *out = (SnLimits){.threads = g->width};
    g->block = sn_alloc(sn_allocator(g->ctx), room, 4096);
    SN_CHECK(g->block, err, SN_ENOMEM, "limits: no memory for a working set of %zu bytes", room);
    memset(g->block, 0, room);
    g->size = most;
    const double fma = 2.0 * 16 * g->nchain;
    out->f32_gflops = measure_arithmetic(g, FMA, fma);
    for (int i = 0; i < SN_LIMIT_SETS; i++) {
        const double stores = measure_memory(g, COPY, sets[i]), streams = measure_memory(g, STREAM, sets[i]);
        out->memory[i].bytes = sets[i];
        out->memory[i].read_gbps = measure_memory(g, READ, sets[i]);
        out->memory[i].copy_gbps = greater(greater(stores, streams), measure_memory(g, -1, sets[i]));
    }
    /* Once more, in case another program was in the way. */
    out->f32_gflops = greater(out->f32_gflops, measure_arithmetic(g, FMA, fma));
    out->bf16_gflops =
        greater(measure_arithmetic(g, DOT2, 2 * fma), measure_arithmetic(g, TILE, 4 * 2.0 * 16 * 16 * 32));
    if (out->bf16_gflops <= 0)
        out->bf16_gflops = out->f32_gflops;
    sn_free(sn_allocator(g->ctx), g->block, room, 4096);
    return SN_OK;
}

SnStatus sn_compiler_limits(SnCompiler *cc, SnLimits *out, SnError *err)
{
    Gauge g = {.ctx = sn_compiler_context(cc)};
    const SnBackend *backend = NULL;
    SnStore *s = NULL;
    SnArena arena;
    g.width = sn_jobs(g.ctx)->width;
    sn_arena_init(&arena, sn_allocator(g.ctx));
    SnStatus st = sn_compiler_backend(cc, "llvm", &backend, err);
    if (st == SN_OK)
        st = backend->probe(g.ctx, 0, &g.target, err);
    g.target.module_dir = sn_compiler_module_dir(cc);
    if (st == SN_OK)
        st = sn_store_create(g.ctx, &s, err);
    if (st == SN_OK)
        st = build(&g, backend, s, &arena, err);
    if (st == SN_OK)
        st = measure_all(&g, out, err);
    if (g.module)
        g.module->destroy(g.module);
    sn_store_destroy(s);
    sn_arena_clear(&arena);
    return st;
}

double sn_limits_copy(const SnLimits *l, double bytes)
{
    int i = 0;
    while (i < SN_LIMIT_SETS && (double)l->memory[i].bytes < bytes)
        i++;
    if (i == 0 || i == SN_LIMIT_SETS)
        return l->memory[i == 0 ? 0 : SN_LIMIT_SETS - 1].copy_gbps;
    const double lo = (double)l->memory[i - 1].bytes, hi = (double)l->memory[i].bytes;
    const double part = log(bytes / lo) / log(hi / lo);
    return l->memory[i - 1].copy_gbps + part * (l->memory[i].copy_gbps - l->memory[i - 1].copy_gbps);
}
