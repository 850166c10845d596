/* kernels.c -- speed of products, as a share of what the machine multiplies at most.
 *
 *   kernels [--target NAME] [--bf16] [--exact] [--threads N,..] [--min-ms N] [MxKxN ...]
 *
 * B is packed as the compiler packs weights: [N/16][K][16], of bf16 [N/16][K/2][16][2]; the share is of the
 * peak of f32. One line a case and number of threads: contract_f32 MxKxN threads=T gflops=...
 * share_of_peak=... us=... compile_ms=... The time is the least of many runs; the peak is the best rate of
 * fma in registers on T threads, measured before the cases in this process. */
#include "compiler/graph.h"
#include "tests/bench/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CASES   32
#define MAX_THREADS 8

typedef struct Shape {
    int64_t m, k, n;
} Shape;

static const Shape default_shapes[] = {{512, 512, 512},  {2048, 2048, 2048}, {16, 384, 1536},
                                       {128, 384, 1536}, {512, 384, 1536},   {2048, 384, 1536},
                                       {16, 2048, 2048}, {16, 4096, 4096},   {2048, 4096, 4096}};

typedef struct Bench {
    const char *target;
    SnDtype dtype;
    uint32_t flags;
    uint64_t least_ns; /* of a case */
    uint32_t threads[MAX_THREADS];
    size_t nthreads;
    Shape shape[MAX_CASES];
    size_t nshape;
} Bench;

/* ---- a product ---- */

static SnStatus compile(const Machine *m, const Bench *b, const Shape *x, SnProgram **out, SnError *err)
{
    static const char plain[] = "program @p\ndims m in 0..99999\n"
                                "entry @main(x: %s[m,%lld], w: %s[%lld,%lld,16]) {\n"
                                "ret y: (contract \"mk,jkl->mjl\" x w acc=f32)\n}\n";
    static const char pairs[] = "program @p\ndims m in 0..99999\n"
                                "entry @main(x: %s[m,%lld,2], w: %s[%lld,%lld,16,2]) {\n"
                                "ret y: (contract \"mkp,jklp->mjl\" x w acc=f32)\n}\n";
    char text[400];
    SnGraph *g = NULL;
    const char *dtype = sn_dtype(b->dtype)->name;
    const long long k = x->k / (b->dtype == SN_F32 ? 1 : 2), panels = (x->n + 15) / 16;
    (void)snprintf(text, sizeof text, b->dtype == SN_F32 ? plain : pairs, dtype, k, dtype, panels, k);
    SN_TRY(sn_graph_create(m->cc, &g, err));
    SnStatus st = sn_graph_parse(g, "bench", sn_bytes_str(text), err);
    const SnCompileOptions o = {.struct_size = sizeof o, .target = b->target, .flags = b->flags};
    if (st == SN_OK)
        st = sn_compile(m->cc, g, &o, out, err);
    sn_graph_destroy(g);
    return st;
}

static void *random_values(SnDtype dtype, size_t n)
{
    const size_t size = sn_dtype_size(dtype);
    uint8_t *at = aligned_alloc(64, (n * size / 64 + 2) * 64); /* as an instance has what it makes */
    uint32_t state = 1;
    for (size_t i = 0; at && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        sn_scalar_store(dtype, at + i * size, (SnScalar){.f = (double)(state >> 8) / (1 << 24) - 0.5});
    }
    return at;
}

static SnStatus time_runs(SnInstance *s, uint64_t least_ns, uint64_t *best, SnError *err)
{
    uint64_t spent = 0;
    *best = UINT64_MAX;
    for (int i = 0; i < 5 || spent < least_ns; i++) {
        const uint64_t from = sn_now_ns();
        SN_TRY(sn_run(s, err));
        const uint64_t ns = sn_now_ns() - from;
        *best = ns < *best ? ns : *best;
        spent += ns;
    }
    return SN_OK;
}

static SnStatus run(const Bench *b, const Shape *x, uint32_t threads, double peak, SnProgram *p,
                    double compile_ms, SnError *err)
{
    SnInstance *s = NULL;
    uint64_t best = 0;
    const int64_t panels = (x->n + 15) / 16;
    const int ndim = b->dtype == SN_F32 ? 2 : 3;
    const int64_t k = b->dtype == SN_F32 ? x->k : x->k / 2;
    void *a = random_values(b->dtype, (size_t)(x->m * x->k));
    void *w = random_values(b->dtype, (size_t)(panels * x->k * 16));
    SnStatus st = a && w ? sn_instance_create(p, NULL, &s, err) : sn_fail(err, SN_ENOMEM, "no memory");
    const SnView va = {.data = a, .dtype = b->dtype, .ndim = ndim, .dims = {x->m, k, 2}};
    const SnView vw = {.data = w, .dtype = b->dtype, .ndim = ndim + 1, .dims = {panels, k, 16, 2}};
    if (st == SN_OK)
        st = sn_bind(s, "x", &va, err);
    if (st == SN_OK)
        st = sn_bind(s, "w", &vw, err);
    if (st == SN_OK)
        st = time_runs(s, b->least_ns, &best, err);
    const double rate = 2.0 * (double)x->m * (double)x->k * (double)x->n / (double)best;
    if (st == SN_OK)
        printf("contract_%s %" PRId64 "x%" PRId64 "x%" PRId64
               " threads=%u gflops=%.1f share_of_peak=%.3f us=%.1f compile_ms=%.1f\n",
               sn_dtype(b->dtype)->name, x->m, x->k, x->n, threads, rate, rate / peak, (double)best / 1e3,
               compile_ms);
    sn_instance_destroy(s);
    free(a);
    free(w);
    return st;
}

static SnStatus bench(const Bench *b, uint32_t threads, SnError *err)
{
    Machine m;
    SnStatus st = machine_open(&m, threads, (SnTrace){0}, err);
    SnLimits limits = {0};
    if (st == SN_OK)
        st = sn_compiler_limits(m.cc, &limits, err);
    for (size_t i = 0; i < b->nshape && st == SN_OK; i++) {
        SnProgram *p = NULL;
        const uint64_t from = sn_now_ns();
        st = compile(&m, b, &b->shape[i], &p, err);
        const double ms = (double)(sn_now_ns() - from) / 1e6;
        if (st == SN_OK)
            st = run(b, &b->shape[i], threads, limits.f32_gflops, p, ms, err);
        sn_program_release(p);
    }
    machine_close(&m);
    return st;
}

static void read_threads(Bench *b, const char *text)
{
    b->nthreads = 0;
    for (char *end; *text && b->nthreads < MAX_THREADS; text = *end ? end + 1 : end)
        b->threads[b->nthreads++] = (uint32_t)strtoul(text, &end, 10);
}

int main(int argc, char **argv)
{
    Bench b = {.target = "cpu", .dtype = SN_F32, .least_ns = 300000000, .threads = {1, 2}, .nthreads = 2};
    for (int i = 1; i < argc; i++) {
        Shape x;
        if (i + 1 < argc && strcmp(argv[i], "--target") == 0) {
            b.target = argv[++i];
        } else if (strcmp(argv[i], "--bf16") == 0) {
            b.dtype = SN_BF16;
        } else if (strcmp(argv[i], "--exact") == 0) {
            b.flags = SN_EXACT;
        } else if (i + 1 < argc && strcmp(argv[i], "--threads") == 0) {
            read_threads(&b, argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--min-ms") == 0) {
            b.least_ns = strtoull(argv[++i], NULL, 10) * 1000000;
        } else if (b.nshape < MAX_CASES &&
                   sscanf(argv[i], "%" SCNd64 "x%" SCNd64 "x%" SCNd64, &x.m, &x.k, &x.n) == 3) {
            b.shape[b.nshape++] = x;
        } else {
            fprintf(stderr, "usage: kernels [--target NAME] [--bf16] [--exact] [--threads N,..] [--min-ms N] "
                            "[MxKxN ...]\n");
            return 2;
        }
    }
    if (b.nshape == 0) {
        memcpy(b.shape, default_shapes, sizeof default_shapes);
        b.nshape = SN_COUNT(default_shapes);
    }
    SnError err = {0};
    for (size_t i = 0; i < b.nthreads; i++) {
        if (bench(&b, b.threads[i], &err) == SN_OK)
            continue;
        fprintf(stderr, "kernels: %s\n", err.message);
        return 1;
    }
    return 0;
}
