/* bench.c -- plan and bench: what a model takes at a shape, and how far it is from what this machine can do.
 *
 * Limits are measured in the same run, by the same threads. Shares are of what the graph asks for: bytes and
 * operations that a kernel repeats count once. */
#include "tools/bench.h"

#include "tools/svg.h"

#include <stdlib.h>

#define MIN_RUNS  5
#define MAX_RUNS  TIMING_RUNS
#define BUDGET_NS 2000000000u

/* ---- plan ---- */

uint64_t peak_bytes(const SnMemoryUse *u)
{
    return u->packed_bytes + u->scratch_bytes + u->state_bytes + u->table_bytes;
}

static void print_plan(const Workload *w, const SnMemoryUse *u, uint64_t kv_bytes)
{
    static const char json[] = "{\"weight_bytes\": %llu, \"packed_bytes\": %llu, \"scratch_bytes\": %llu, "
                               "\"kv_bytes_per_token\": %s, \"peak_bytes\": %llu, \"steps\": %u}\n";
    static const char plain[] =
        "weights  %12llu bytes, mapped\npacked   %12llu bytes\nscratch  %12llu bytes\n"
        "a token  %12s bytes of keys and values\npeak     %12llu bytes\nsteps    %12u\n";
    char bytes[24] = "null";
    if (!w->a->json)
        (void)printf("%s\n", w->shape);
    if (kv_bytes)
        (void)snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)kv_bytes);
    (void)printf(w->a->json ? json : plain, (unsigned long long)u->weight_bytes,
                 (unsigned long long)u->packed_bytes, (unsigned long long)u->scratch_bytes, bytes,
                 (unsigned long long)peak_bytes(u), u->steps);
}

int command_plan(const Args *a)
{
    Workload w;
    SnError err = {0};
    SnMemoryUse use = {0};
    uint64_t kv_bytes = 0;
    int status = workload_open(a, NULL, arg_value(a, "--shape"), &w);
    if (status == EXIT_DONE) {
        SnStatus st = sn_program_plan(w.p.program, NULL, w.shape, &use, &err);
        if (st == SN_OK)
            st = sn_model_kv_bytes(w.s.model, &kv_bytes, &err);
        status = report(a->at[0], st, &err);
    }
    if (status == EXIT_DONE)
        print_plan(&w, &use, kv_bytes);
    workload_close(&w);
    return status;
}

/* ---- timings ---- */

static int by_time(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void timing_sort(Timing *t)
{
    qsort(t->at, (size_t)t->n, sizeof *t->at, by_time);
}

double percentile(const Timing *t, double p)
{
    return t->n ? t->at[(int)(p * (t->n - 1) + 0.5)] : 0;
}

static SnStatus time_runs(Workload *w, Timing *t, SnError *err)
{
    const uint64_t begin = sn_now_ns();
    for (t->n = 0; t->n < MAX_RUNS && (t->n < MIN_RUNS || sn_now_ns() - begin < BUDGET_NS); t->n++) {
        const uint64_t start = sn_now_ns();
        SN_TRY(workload_run(w, err));
        t->at[t->n] = (double)(sn_now_ns() - start) / 1e6;
    }
    timing_sort(t);
    return SN_OK;
}

static SnStatus watch_runs(Workload *w, Profile *p, int n, SnError *err)
{
    for (int i = 0; i < n; i++) {
        profile_begin(p);
        SN_TRY(workload_run(w, err));
        profile_end(p, true);
    }
    SN_CHECK(!p->failed, err, SN_ENOMEM, "no memory for a profile");
    return SN_OK;
}

/* ---- a model ---- */

typedef struct Result {
    Timing time;
    SnLimits limits;
    SnMemoryUse use;
    SnDtype dtype;
    bool has_limits;
} Result;

static SnDtype dtype_of(const Args *a)
{
    return a->dtype && strcmp(a->dtype, "bf16") == 0 ? SN_BF16 : SN_F32;
}

static SnStatus measure(Workload *w, Profile *p, Result *r, SnError *err)
{
    SnError ignored;
    r->dtype = dtype_of(w->a);
    SN_TRY(time_runs(w, &r->time, err));
    const double best = r->time.at[0];
    SN_TRY(watch_runs(w, p, best > 500 ? 2 : best > 50 ? 8 : 40, err));
    r->has_limits = sn_compiler_limits(w->s.cc, &r->limits, &ignored) == SN_OK;
    if (!r->has_limits)
        r->limits = (SnLimits){0};
    if (w->p.instance)
        sn_instance_memory(w->p.instance, &r->use);
    profile_sort(p, &r->limits, r->dtype);
    return SN_OK;
}

void put_figure(SnText *t, const char *key, bool applies, double v)
{
    sn_text_printf(t, applies ? "%s\"%s\": %.6g" : "%s\"%s\": null", t->n > 1 ? ", " : "", key, v);
}

typedef struct Shares {
    double read, peak, of_read, of_peak;
} Shares;

static Shares shares_of(const Profile *p, const Result *r)
{
    Shares s = {0};
    const double ns = percentile(&r->time, 0.5) * 1e6;
    if (!r->has_limits)
        return s;
    s.read = r->limits.memory[SN_LIMIT_SETS - 1].read_gbps;
    s.peak = r->dtype == SN_BF16 ? r->limits.bf16_gflops : r->limits.f32_gflops;
    s.of_read = (double)profile_bytes(p) / ns / s.read;
    s.of_peak = (double)profile_flops(p) / ns / s.peak;
    return s;
}

static void print_json(const Workload *w, const Profile *p, const Result *r)
{
    const Shares s = shares_of(p, r);
    const double median = percentile(&r->time, 0.5), batch = (double)workload_dim(w, "batch", 1);
    SnText t = {.memory = sn_allocator(w->s.ctx)};
    sn_text_printf(&t, "{");
    put_figure(&t, "ms_median", true, median);
    put_figure(&t, "ms_p90", true, percentile(&r->time, 0.9));
    put_figure(&t, "ms_best", true, r->time.at[0]);
    put_figure(&t, "items_per_s", true, batch * 1e3 / median);
    put_figure(&t, "prefill_tokens_per_s", false, 0);
    put_figure(&t, "decode_tokens_per_s", false, 0);
    put_figure(&t, "read_GBps", r->has_limits, s.read);
    put_figure(&t, "share_of_read", r->has_limits, s.of_read);
    put_figure(&t, "peak_GFLOPs", r->has_limits, s.peak);
    put_figure(&t, "share_of_peak", r->has_limits, s.of_peak);
    put_figure(&t, "compile_ms", true, w->p.program ? w->compile_ms : w->first_ms - median);
    put_figure(&t, "load_ms", true, w->load_ms);
    sn_text_printf(&t, w->p.instance ? ", \"peak_bytes\": %llu" : ", \"peak_bytes\": null",
                   (unsigned long long)peak_bytes(&r->use));
    if (arg_flag(w->a, "--kernels")) {
        sn_text_printf(&t, ", \"kernels\": ");
        profile_json(p, &r->limits, r->dtype, &t);
    }
    (void)printf("%s}\n", t.failed ? "{" : t.at);
    sn_text_clear(&t);
}

void print_limits(const SnLimits *l)
{
    (void)printf("limits      %u threads: f32 %.0f GF/s, bf16 %.0f GF/s\n", l->threads, l->f32_gflops,
                 l->bf16_gflops);
    for (int i = 0; i < SN_LIMIT_SETS; i++)
        (void)printf("            %4llu MiB: read %.1f GB/s, copy %.1f GB/s\n",
                     (unsigned long long)l->memory[i].bytes >> 20, l->memory[i].read_gbps,
                     l->memory[i].copy_gbps);
}

static void print_plain(const Workload *w, const Profile *p, const Result *r)
{
    const Shares s = shares_of(p, r);
    const double median = percentile(&r->time, 0.5), batch = (double)workload_dim(w, "batch", 1);
    (void)printf("%s, cpu level %s\n", w->shape, sn_context_cpu_level(w->s.ctx));
    (void)printf("time        median %.3f ms, p90 %.3f, best %.3f (%d runs)\n", median,
                 percentile(&r->time, 0.9), r->time.at[0], r->time.n);
    (void)printf("rate        %.1f items/s, %.0f tokens/s\n", batch * 1e3 / median,
                 batch * (double)workload_dim(w, "seq", 1) * 1e3 / median);
    if (r->has_limits) {
        (void)printf("arithmetic  %.1f GF/s, %.1f %% of %.0f\n", s.of_peak * s.peak, 100 * s.of_peak, s.peak);
        (void)printf("memory      %.1f GB/s, %.1f %% of %.1f\n", s.of_read * s.read, 100 * s.of_read, s.read);
        print_limits(&r->limits);
    }
    (void)printf("start       load %.1f ms, compile %.1f ms\n", w->load_ms,
                 w->p.program ? w->compile_ms : w->first_ms - median);
    if (w->p.instance)
        (void)printf("memory      peak %.1f MB: block %.1f, packed %.1f\n", (double)peak_bytes(&r->use) / 1e6,
                     (double)(r->use.scratch_bytes + r->use.state_bytes) / 1e6,
                     (double)r->use.packed_bytes / 1e6);
    if (arg_flag(w->a, "--kernels"))
        profile_print(p, &r->limits, r->dtype);
}

static int bench_model(const Args *a, Workload *w, Profile *p)
{
    SnError err = {0};
    Result *r = sn_arena_alloc(&w->arena, sizeof *r);
    if (!r)
        return report_memory();
    const SnStatus st = measure(w, p, r, &err);
    if (st != SN_OK)
        return report(a->at[0], st, &err);
    (a->json ? print_json : print_plain)(w, p, r);
    const char *path = arg_value(a, "--svg");
    const Picture picture = {
        .title = w->shape, .profile = p, .limits = &r->limits, .dtype = r->dtype, .instance = w->p.instance};
    if (path && svg_write(w->s.ctx, &picture, path, &err) != SN_OK)
        return report(path, err.code, &err);
    return EXIT_DONE;
}

/* ---- a tokenizer ---- */

/* Files as one text each, one after the other through the programs that tokenize and decode. */
typedef struct Corpus {
    SnPrepared encode, decode;
    SnView *text, *ids;
    int64_t *start, *len; /* of the views' only rows: 0, and two of each file */
    int n;
    int64_t size, ntoken;
} Corpus;

static void set_row(Corpus *c, SnView *v, SnDtype dtype, void *data, int64_t *len, int64_t n)
{
    *v = sn_view(dtype, data, 1, (int64_t[]){1});
    *len = v->child_count = n;
    v->start = c->start;
    v->len = len;
}

static int read_corpus(SnArena *arena, const Args *a, const char *first, Corpus *c)
{
    int status = EXIT_DONE;
    c->n = a->n;
    c->text = sn_arena_array(arena, (size_t)c->n, sizeof *c->text);
    c->ids = sn_arena_array(arena, (size_t)c->n, sizeof *c->ids);
    c->start = sn_arena_array(arena, 1, sizeof *c->start);
    c->len = sn_arena_array(arena, (size_t)c->n, 2 * sizeof *c->len);
    if (!c->text || !c->ids || !c->start || !c->len)
        return report_memory();
    for (int i = 0; i < c->n && status == EXIT_DONE; i++) {
        SnBytes text;
        status = read_file(arena, i ? a->at[i] : first, &text);
        if (status == EXIT_DONE)
            set_row(c, &c->text[i], SN_U8, (void *)(uintptr_t)text.at, &c->len[2 * i], (int64_t)text.n);
        c->size += status == EXIT_DONE ? (int64_t)text.n : 0;
    }
    return status;
}

/* Nanoseconds of one pass. */
static SnStatus run_pass(const SnPrepared *p, const char *name, const SnView *in, int n, uint64_t *ns,
                         SnError *err)
{
    const uint64_t begin = sn_now_ns();
    SN_CHECK(p->instance, err, SN_EUNSUPPORTED, "bench --input: not on this device");
    for (int i = 0; i < n; i++) {
        SN_TRY(sn_bind(p->instance, name, &in[i], err));
        SN_TRY(sn_run(p->instance, err));
    }
    *ns = sn_now_ns() - begin;
    return SN_OK;
}

/* Keeps the ids of each text, to be decoded. */
static SnStatus keep_ids(SnArena *arena, Corpus *c, SnError *err)
{
    uint64_t ns;
    for (int i = 0; i < c->n; i++) {
        SnView ids;
        SN_TRY(run_pass(&c->encode, "text", &c->text[i], 1, &ns, err));
        SN_TRY(sn_result(c->encode.instance, "ids", &ids, err));
        const size_t n = (size_t)ids.len[0];
        int32_t *copy = sn_arena_array(arena, n + 1, sizeof *copy);
        SN_CHECK(copy, err, SN_ENOMEM, "no memory for %zu ids", n);
        if (n)
            memcpy(copy, (const int32_t *)ids.data + ids.start[0], n * sizeof *copy);
        set_row(c, &c->ids[i], SN_I32, copy, &c->len[2 * i + 1], (int64_t)n);
        c->ntoken += (int64_t)n;
    }
    return SN_OK;
}

/* MB/s of text: of the first pass, of the best of those after it, and of the way back. */
static SnStatus time_tokenizer(SnArena *arena, Corpus *c, double out[3], SnError *err)
{
    for (int way = 0; way < 3; way++) {
        const uint64_t start = sn_now_ns();
        for (int i = 0; i < MAX_RUNS && (i < 2 || sn_now_ns() - start < BUDGET_NS); i++) {
            uint64_t ns = 1;
            SN_TRY(way < 2 ? run_pass(&c->encode, "text", c->text, c->n, &ns, err)
                           : run_pass(&c->decode, "ids", c->ids, c->n, &ns, err));
            const double rate = (double)c->size * 1e3 / (double)ns;
            out[way] = rate > out[way] ? rate : out[way];
            if (way == 0)
                break;
        }
        if (way == 1)
            SN_TRY(keep_ids(arena, c, err));
    }
    return SN_OK;
}

static int bench_tokenizer(const Args *a, const char *path)
{
    Session s = {0};
    Corpus c = {0};
    double rate[3] = {0};
    int status = session_open(a, a->at[0], NULL, &s);
    if (status == EXIT_DONE)
        status = read_corpus(&s.arena, a, path, &c);
    if (status == EXIT_DONE) {
        SnStatus st = sn_model_codec(s.model, &c.encode, &c.decode, &s.err);
        if (st == SN_OK)
            st = time_tokenizer(&s.arena, &c, rate, &s.err);
        status = report(a->at[0], st, &s.err);
    }
    if (status == EXIT_DONE)
        (void)printf(
            a->json ? "{\"cold_MBps\": %.4g, \"warm_MBps\": %.4g, \"decode_MBps\": %.4g, \"tokens\": %lld}\n"
                    : "first pass  %.4g MB/s\nwarm        %.4g MB/s\ndecode      %.4g MB/s\n"
                      "tokens      %lld\n",
            rate[0], rate[1], rate[2], (long long)c.ntoken);
    session_close(&s);
    return status;
}

/* Does a shape have new tokens? */
static bool is_generation(const char *shape)
{
    const char *at = shape ? strstr(shape, "new=") : NULL;
    return at && (at == shape || at[-1] == ',');
}

int command_bench(const Args *a)
{
    const char *input = arg_value(a, "--input");
    Workload w;
    Profile p;
    Args traced = *a;
    if (input)
        return bench_tokenizer(a, input);
    if (a->n > 1)
        return usage_error(a, "%s: files are for --input", a->at[1]);
    if (is_generation(arg_value(a, "--shape")))
        return bench_generation(a);
    profile_init(&p, NULL);
    const SnTrace hook = profile_hook(&p);
    traced.trace = &hook;
    int status = workload_open(&traced, arg_value(a, "--task"), arg_value(a, "--shape"), &w);
    if (status == EXIT_DONE) {
        profile_init(&p, sn_allocator(w.s.ctx));
        status = workload_start(&w);
    }
    if (status == EXIT_DONE)
        status = bench_model(a, &w, &p);
    if (p.memory)
        profile_clear(&p);
    workload_close(&w);
    return status;
}
