/* decode.c -- a decoder of Llama's shape with random weights: time of a token, and of a prompt.
 *
 *   decode [--shape smollm2|llama1b] [--layers N] [--dtype bf16|f16|f32] [--threads N] [--past N] [--batch N]
 *          [--quant q8_0|q4_0] [--prompt N] [--ms N] [--steps]
 *
 * The graph is written by hand: embedding, layers over a past in pages, the head. One line: tokens a second,
 * GB/s of weights, and the share of the speed of memory: after each run the same threads read as many bytes
 * and do nothing else; the share is the median of these pairs. --steps: where the time went, by kernel. */
#include "ops/ops.h"
#include "tests/bench/machine.h"
#include "tests/bench/steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      256
#define TRACED    40
#define MOST_RUNS 4096

typedef struct Shape {
    const char *name;
    int64_t layers, hidden, heads, kv_heads, dim, ffn, vocab;
    bool is_tied;
} Shape;

static const Shape shapes[] = {
    {"smollm2", 30, 576, 9, 3, 64, 1536, 49152, true},
    {"llama1b", 22, 2048, 32, 4, 64, 5632, 32000, false},
};

typedef struct Bench {
    Shape shape;
    SnDtype dtype;
    const char *quant; /* format of blocks, or NULL */
    uint32_t threads;
    int64_t past, batch, prompt;
    uint64_t least_ns;
    bool has_steps;
    uint8_t *random; /* bytes of a weight: the largest one */
    uint64_t weight_bytes;
    Steps steps;
} Bench;

/* ---- weights: every tensor has the same numbers, in memory of its own once it is packed ---- */

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    const Bench *b = self;
    const Shape *s = &b->shape;
    const int64_t q = s->heads * s->dim, kv = s->kv_heads * s->dim;
    const struct {
        const char *name;
        int64_t rows, cols;
    } known[] = {{"embed", s->vocab, s->hidden}, {"head", s->vocab, s->hidden}, {"q", q, s->hidden},
                 {"k", kv, s->hidden},           {"v", kv, s->hidden},          {"o", s->hidden, q},
                 {"gate", s->ffn, s->hidden},    {"up", s->ffn, s->hidden},     {"down", s->hidden, s->ffn},
                 {"norm", s->hidden, 0}};
    const char *const last = strrchr(name, '.') != NULL ? strrchr(name, '.') + 1 : name;
    for (size_t i = 0; i < SN_COUNT(known); i++) {
        if (strcmp(known[i].name, last) != 0)
            continue;
        const int64_t n = known[i].rows * (known[i].cols > 0 ? known[i].cols : 1);
        *out = (SnSourceTensor){.dtype = b->dtype,
                                .ndim = known[i].cols > 0 ? 2 : 1,
                                .dims = {known[i].rows, known[i].cols},
                                .bytes = sn_bytes(b->random, (size_t)n * sn_dtype_size(b->dtype))};
        return true;
    }
    return false;
}

static bool make_weights(Bench *b)
{
    const size_t n = (size_t)(b->shape.vocab * b->shape.hidden), size = sn_dtype_size(b->dtype);
    uint32_t state = 1;
    b->random = malloc(n * size);
    for (size_t i = 0; b->random && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        const SnScalar v = {.f = ((double)(state >> 8) / (1 << 24) - 0.5) / 8};
        sn_scalar_store(b->dtype, b->random + i * size, v);
    }
    return b->random != NULL;
}

/* ---- the graph ---- */

typedef struct Graph {
    const Bench *b;
    SnGraph *g;
    SnValue batch, seq, pages, page, pos, freq;
    int64_t layer;
} Graph;

static SnValue size(const Graph *x, int64_t n)
{
    return sn_const_int(x->g, SN_I64, n);
}

static SnValue weight(const Graph *x, const char *name)
{
    char full[64];
    SnSourceTensor w = {0};
    if (x->layer < 0)
        (void)snprintf(full, sizeof full, "%s", name);
    else
        (void)snprintf(full, sizeof full, "layers.%d.%s", (int)x->layer, name);
    (void)find_weight((void *)(uintptr_t)x->b, full, &w);
    return sn_param(x->g, full, w.dtype, w.ndim, w.dims);
}

static SnValue heads_of(const Graph *x, SnValue y, int64_t n)
{
    const SnValue dims[] = {x->batch, x->seq, size(x, n), size(x, x->b->shape.dim)};
    return sn_permute(x->g, sn_reshape(x->g, y, 4, dims), (const int[]){0, 2, 1, 3});
}

static SnValue linear(const Graph *x, const char *name, SnValue y)
{
    const SnValue w = weight(x, name);
    return x->b->quant ? sn_linear_quantized(x->g, y, w, sn_none(), x->b->quant)
                       : sn_linear(x->g, y, w, sn_none());
}

static SnValue attention(const Graph *x, SnValue h)
{
    const Shape *s = &x->b->shape;
    SnGraph *g = x->g;
    char name[32];
    const SnValue zero = sn_const(g, x->b->dtype, 0), kv = size(x, s->kv_heads), d = size(x, s->dim);
    const SnValue lanes = size(x, 16), key[] = {x->pages, kv, lanes, d, lanes};
    const SnValue value[] = {x->pages, kv, size(x, PAGE), d};
    (void)snprintf(name, sizeof name, "k%d", (int)x->layer);
    const SnValue keys = sn_carry(g, name, sn_broadcast(g, zero, 5, key));
    (void)snprintf(name, sizeof name, "v%d", (int)x->layer);
    const SnValue values = sn_carry(g, name, sn_broadcast(g, zero, 4, value));
    const SnValue q = sn_rope(g, heads_of(x, linear(x, "q", h), s->heads), x->pos, x->freq, false, 1);
    const SnValue k = sn_rope(g, heads_of(x, linear(x, "k", h), s->kv_heads), x->pos, x->freq, false, 1);
    const SnValue v = heads_of(x, linear(x, "v", h), s->kv_heads);
    const SnValue all_keys = sn_cache_keys(g, keys, k, x->page, x->pos);
    const SnValue all_values = sn_cache_values(g, values, v, x->page, x->pos);
    sn_next(g, keys, all_keys);
    sn_next(g, values, all_values);
    const SnValue y = sn_attention_past(g, q, all_keys, all_values, x->page, x->pos, sn_none(), sn_none(),
                                        sn_none(), sn_none(), 0, 0, 0);
    return linear(x, "o", sn_reshape(g, y, 3, (SnValue[]){x->batch, x->seq, size(x, s->heads * s->dim)}));
}

static void build(const Bench *b, SnGraph *g)
{
    Graph x = {.b = b, .g = g, .layer = -1};
    float freq[64];
    x.batch = sn_symbol(g, "batch", 1, 64);
    x.seq = sn_symbol(g, "seq", 1, 4096);
    x.pages = sn_symbol_at_create(g, "pages", 1, 65536);
    const SnValue m = sn_symbol_at_create(g, "chunks", 1, 65536), tokens[] = {x.batch, x.seq};
    const SnValue ids = sn_input(g, "ids", SN_I64, 2, tokens);
    x.pos = sn_input(g, "pos", SN_I64, 2, tokens);
    x.page = sn_input(g, "page", SN_I32, 2, (SnValue[]){x.batch, m});
    for (int i = 0; i < b->shape.dim / 2 && i < 64; i++)
        freq[i] = 1 / (float)(i + 1);
    const SnValue half = size(&x, b->shape.dim / 2), line[] = {x.batch, half};
    x.freq = sn_broadcast(g, sn_const_data(g, SN_F32, 1, (int64_t[]){b->shape.dim / 2}, freq), 2, line);
    SnValue h = sn_embedding(g, ids, weight(&x, "embed"));
    for (int64_t i = 0; i < b->shape.layers; i++) {
        x.layer = i;
        h = sn_add(g, h, attention(&x, sn_rms_norm(g, h, weight(&x, "norm"), 1e-5, 0)));
        const SnValue y = sn_rms_norm(g, h, weight(&x, "norm"), 1e-5, 0);
        const SnValue gate = sn_silu(g, linear(&x, "gate", y), 1);
        h = sn_add(g, h, linear(&x, "down", sn_mul(g, gate, linear(&x, "up", y))));
    }
    x.layer = -1;
    h = sn_slice_axis(g, h, 1, sn_sub(g, x.seq, size(&x, 1)), size(&x, 1));
    h = sn_rms_norm(g, h, weight(&x, "norm"), 1e-5, 0);
    sn_output(g, "id", sn_argmax(g, linear(&x, b->shape.is_tied ? "embed" : "head", h), 2, false));
}

/* ---- running ---- */

static SnStatus bind(SnInstance *s, const Bench *b, int64_t seq, int64_t first, SnError *err)
{
    static int64_t ids[65536], pos[65536];
    static int32_t page[65536];
    const int64_t chunks = (b->past + b->prompt) / PAGE + 2;
    for (int64_t i = 0; i < b->batch; i++) {
        for (int64_t j = 0; j < seq; j++) {
            ids[i * seq + j] = (i * 31 + (first + j) * 17) % b->shape.vocab;
            pos[i * seq + j] = first + j;
        }
        for (int64_t j = 0; j < chunks; j++)
            page[i * chunks + j] = (int32_t)(i * chunks + j);
    }
    const SnView id = sn_view(SN_I64, ids, 2, (int64_t[]){b->batch, seq});
    const SnView at = sn_view(SN_I64, pos, 2, (int64_t[]){b->batch, seq});
    const SnView pages = sn_view(SN_I32, page, 2, (int64_t[]){b->batch, chunks});
    SN_TRY(sn_bind(s, "ids", &id, err));
    SN_TRY(sn_bind(s, "pos", &at, err));
    return sn_bind(s, "page", &pages, err);
}

typedef struct Times {
    double run[MOST_RUNS], read[MOST_RUNS], share[MOST_RUNS]; /* seconds, and read / run; each in order */
    size_t n;
} Times;

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static SnStatus time_runs(SnInstance *s, const Bench *b, const Machine *m, int64_t seq, const Reading *r,
                          Times *t, SnError *err)
{
    const uint64_t begin = sn_now_ns();
    SN_TRY(bind(s, b, seq, b->past, err));
    SN_TRY(sn_run(s, err));
    for (t->n = 0; t->n < MOST_RUNS && (t->n < 5 || sn_now_ns() - begin < b->least_ns); t->n++) {
        const uint64_t from = sn_now_ns();
        SN_TRY(sn_run(s, err));
        t->run[t->n] = (double)(sn_now_ns() - from) / 1e9;
        t->read[t->n] = machine_read(m, r);
        t->share[t->n] = t->read[t->n] / t->run[t->n];
    }
    qsort(t->run, t->n, sizeof *t->run, compare);
    qsort(t->read, t->n, sizeof *t->read, compare);
    qsort(t->share, t->n, sizeof *t->share, compare);
    return SN_OK;
}

static SnStatus trace_runs(SnInstance *s, Bench *b, double gflops, SnError *err)
{
    steps_begin(&b->steps);
    for (int i = 0; i < TRACED; i++) {
        steps_next(&b->steps);
        SN_TRY(sn_run(s, err));
    }
    b->steps.is_on = false;
    steps_print(&b->steps, gflops);
    return SN_OK;
}

static SnStatus run_all(Bench *b, const Machine *m, SnInstance *s, const Reading *r, SnError *err)
{
    const int64_t seq[] = {1, b->prompt};
    static Times t;
    SnLimits limits;
    SN_TRY(sn_compiler_limits(m->cc, &limits, err));
    for (int i = 0; i < 2; i++) {
        SnMemoryUse use;
        if (seq[i] == 0)
            continue;
        SN_TRY(time_runs(s, b, m, seq[i], r, &t, err));
        sn_instance_memory(s, &use);
        printf("%s_%s batch=%" PRId64 " seq=%" PRId64 " past=%" PRId64
               " threads=%u tokens_s=%.1f ms=%.3f median_ms=%.3f weights_gbps=%.1f read_gbps=%.1f share=%.3f "
               "steps=%u scratch=%" PRIu64 "\n",
               b->shape.name, b->quant ? b->quant : sn_dtype(b->dtype)->name, b->batch, seq[i], b->past,
               b->threads, (double)(b->batch * seq[i]) / t.run[0], t.run[0] * 1e3, t.run[t.n / 2] * 1e3,
               (double)r->size / t.run[0] / 1e9, (double)r->size / t.read[0] / 1e9, t.share[t.n / 2],
               use.steps, use.scratch_bytes);
        if (b->has_steps)
            SN_TRY(trace_runs(s, b, limits.f32_gflops, err));
    }
    return SN_OK;
}

static SnStatus run(Bench *b, const Machine *m, SnProgram *p, SnError *err)
{
    const int64_t chunks = (b->past + b->prompt) / PAGE + 2;
    const SnInstanceDesc desc = {
        .struct_size = sizeof desc, .ndim = 2, .dim = {{"pages", chunks * b->batch}, {"chunks", chunks}}};
    SnInstance *s = NULL;
    SnProgramInfo info;
    Reading r;
    SN_TRY(sn_instance_create(p, &desc, &s, err));
    sn_program_info(p, &info);
    SnStatus st = reading_open(&r, info.packed_bytes, err);
    if (st == SN_OK)
        st = run_all(b, m, s, &r, err);
    reading_close(&r);
    sn_instance_destroy(s);
    return st;
}

static SnStatus bench(Bench *b, SnError *err)
{
    const SnSource source = {.self = b, .find = find_weight};
    const SnTrace trace = {&b->steps, b->has_steps ? steps_event : NULL};
    Machine m;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "cpu", .specialise = "batch=1,*; seq=1"};
    SnStatus st = machine_open(&m, b->threads, trace, err);
    if (st == SN_OK)
        st = sn_graph_create(m.cc, &g, err);
    if (st == SN_OK) {
        sn_graph_source(g, &source);
        build(b, g);
        const uint64_t from = sn_now_ns();
        st = sn_compile(m.cc, g, &o, &p, err);
        printf("compile %.0f ms\n", (double)(sn_now_ns() - from) / 1e6);
    }
    if (st == SN_OK)
        st = run(b, &m, p, err);
    sn_program_release(p);
    sn_graph_destroy(g);
    machine_close(&m);
    return st;
}

static bool read_option(Bench *b, const char *name, const char *value)
{
    const struct {
        const char *name;
        int64_t *at;
    } known[] = {{"--layers", &b->shape.layers},
                 {"--past", &b->past},
                 {"--batch", &b->batch},
                 {"--prompt", &b->prompt}};
    for (size_t i = 0; i < SN_COUNT(shapes) && strcmp(name, "--shape") == 0; i++) {
        if (strcmp(shapes[i].name, value) == 0)
            b->shape = shapes[i];
    }
    for (size_t i = 0; i < SN_COUNT(known); i++) {
        if (strcmp(known[i].name, name) == 0) {
            *known[i].at = strtoll(value, NULL, 10);
            return true;
        }
    }
    if (strcmp(name, "--quant") == 0)
        b->quant = value;
    else if (strcmp(name, "--dtype") == 0)
        b->dtype = sn_dtype_find(value, strlen(value));
    else if (strcmp(name, "--threads") == 0)
        b->threads = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--ms") == 0)
        b->least_ns = strtoull(value, NULL, 10) * 1000000;
    return name[0] == '-';
}

int main(int argc, char **argv)
{
    static Bench b = {.dtype = SN_BF16, .threads = 2, .past = 128, .batch = 1, .least_ns = 500000000};
    SnError err = {0};
    b.shape = shapes[0];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--steps") == 0)
            b.has_steps = true;
        else if (i + 1 == argc || !read_option(&b, argv[i], argv[i + 1]))
            return fprintf(stderr, "decode: %s?\n", argv[i]), 2;
        else
            i++;
    }
    if (b.dtype == SN_NODTYPE || !make_weights(&b))
        return fprintf(stderr, "decode: no such dtype, or no memory\n"), 2;
    const SnStatus st = bench(&b, &err);
    free(b.random);
    if (st != SN_OK)
        fprintf(stderr, "decode: %s\n", err.message);
    return st != SN_OK;
}
