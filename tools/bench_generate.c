/* bench_generate.c -- bench of a decoder at prompt=P,new=N,batch=B: rows that are fed and go on side by side.
 *
 * The first pass is not counted. Each pass has prompts of its own, so that nothing is known from an earlier
 * one. A step of new tokens reads all packed weights once; the share is of the best step, of what the same
 * threads read beyond every cache at best, measured before and after. Kernels are those of new tokens, in a
 * second session that traces. */
#include "tools/bench.h"

#define BUDGET_NS 3000000000u
#define NIDS      1000 /* ids of prompts are below */

typedef struct Generation {
    const Args *a;
    Workload w;
    SnGenerator *g;
    int64_t batch, prompt, fresh;
    int32_t *ids;
    uint32_t npass;
    uint64_t prompt_ns, new_ns, nprompt,
        nnew;         /* new: without the first token of a row, which its prompt gives */
    Timing *step;     /* new tokens of all rows */
    Profile *profile; /* NULL: times count */
    bool is_steady;   /* the last step was one of new tokens of all rows */
    double create_ms;
} Generation;

/* ---- passes ---- */

static SnStatus add_rows(Generation *b, SnError *err)
{
    uint32_t x = b->npass;
    for (int64_t i = 0; i < b->batch; i++) {
        for (int64_t k = 0; k < b->prompt; k++) {
            x = x * 1664525u + 1013904223u;
            b->ids[k] = (int32_t)((x >> 8) % NIDS);
        }
        b->ids[0] = (int32_t)((b->npass * b->batch + i) % NIDS);
        SN_TRY(sn_generator_add(b->g, b->ids, (size_t)b->prompt, NULL, NULL, err));
    }
    return SN_OK;
}

static SnStatus count_tokens(Generation *b, int64_t *n, SnError *err)
{
    SnGenerated t;
    bool has = false;
    *n = 0;
    SN_TRY(sn_generator_next(b->g, &t, &has, err));
    for (; has; ++*n)
        SN_TRY(sn_generator_next(b->g, &t, &has, err));
    return SN_OK;
}

static SnStatus run_step(Generation *b, SnError *err)
{
    SnGeneratorStats before, after;
    bool done = false;
    int64_t n = 0;
    sn_generator_stats(b->g, &before);
    if (b->profile && b->is_steady)
        profile_begin(b->profile);
    SN_TRY(sn_generator_step(b->g, 0, &done, err));
    sn_generator_stats(b->g, &after);
    SN_TRY(count_tokens(b, &n, err));
    const uint64_t new_ns = after.new_ns - before.new_ns;
    if (b->profile && b->is_steady)
        profile_end(b->profile, new_ns > 0 && n == b->batch);
    b->is_steady = new_ns > 0 && n == b->batch && sn_generator_is_busy(b->g);
    if (b->npass == 0)
        return SN_OK;
    b->prompt_ns += after.prompt_ns - before.prompt_ns;
    b->new_ns += new_ns;
    b->nprompt += after.prompt_tokens - before.prompt_tokens;
    b->nnew += new_ns ? (uint64_t)n : 0;
    if (new_ns && n == b->batch && b->step->n < TIMING_RUNS)
        b->step->at[b->step->n++] = (double)new_ns / 1e6;
    return SN_OK;
}

static SnStatus run_passes(Generation *b, SnError *err)
{
    uint64_t begin = 0;
    for (b->npass = 0; b->npass < 2 || sn_now_ns() - begin < BUDGET_NS; b->npass++) {
        begin = b->npass == 1 ? sn_now_ns() : begin;
        SN_TRY(add_rows(b, err));
        while (sn_generator_is_busy(b->g))
            SN_TRY(run_step(b, err));
    }
    timing_sort(b->step);
    SN_CHECK(b->step->n > 0, err, SN_ESHAPE, "--shape: new is %lld: there is no step to time",
             (long long)b->fresh);
    return SN_OK;
}

/* ---- life ---- */

static int read_shape(Generation *b)
{
    const int status = workload_shape(&b->w, arg_value(b->a, "--shape"));
    if (status != EXIT_DONE)
        return status;
    b->batch = workload_dim(&b->w, "batch", 1);
    b->prompt = workload_dim(&b->w, "prompt", 128);
    b->fresh = workload_dim(&b->w, "new", 64);
    for (int i = 0; i < b->w.ndim; i++)
        if (strcmp(b->w.dim[i].name, "batch") != 0 && strcmp(b->w.dim[i].name, "prompt") != 0 &&
            strcmp(b->w.dim[i].name, "new") != 0)
            return usage_error(b->a, "--shape: a decoder has prompt, new and batch, not %s",
                               b->w.dim[i].name);
    if (b->batch < 1 || b->batch > 256 || b->prompt < 1 || b->prompt > 65536 || b->fresh < 2 ||
        b->fresh > 65536)
        return usage_error(b->a, "--shape: expected batch 1 to 256, prompt 1 to 65536, new 2 to 65536");
    b->ids = sn_arena_array(&b->w.arena, (size_t)b->prompt, sizeof *b->ids);
    b->step = sn_arena_alloc(&b->w.arena, sizeof *b->step);
    if (!b->ids || !b->step)
        return report_memory();
    b->step->n = 0;
    return EXIT_DONE;
}

static SnStatus create_generator(Generation *b, SnError *err)
{
    const char *config = sn_arena_printf(
        &b->w.arena, "{\"do_sample\": false, \"eos_token_id\": null, \"max_new_tokens\": %lld}",
        (long long)b->fresh);
    SnJson *json = NULL;
    SN_CHECK(config, err, SN_ENOMEM, "no memory");
    SN_TRY(sn_json_parse(&b->w.arena, "config", sn_bytes_str(config), &json, err));
    const SnGeneratorDesc d = {.struct_size = sizeof d,
                               .rows = (uint32_t)b->batch,
                               .context = (uint32_t)(b->prompt + b->fresh + 1),
                               .config = json,
                               .no_text = true};
    const uint64_t begin = sn_now_ns();
    const SnStatus st = sn_generator_create(b->w.s.model, &d, &b->g, err);
    b->create_ms = (double)(sn_now_ns() - begin) / 1e6;
    return st;
}

/* One session from beginning to end, without what it found out. */
static int open_generation(const Args *a, Profile *profile, Generation *b)
{
    SnError err = {0};
    *b = (Generation){.a = a, .profile = profile, .w = {.a = a}};
    const uint64_t begin = sn_now_ns();
    int status = session_open(a, a->at[0], "text-generation", &b->w.s);
    b->w.load_ms = (double)(sn_now_ns() - begin) / 1e6;
    if (status != EXIT_DONE)
        return status;
    sn_arena_init(&b->w.arena, sn_allocator(b->w.s.ctx));
    status = read_shape(b);
    if (status != EXIT_DONE)
        return status;
    const SnStatus st = create_generator(b, &err);
    return report(a->at[0], st, &err);
}

static void close_generation(Generation *b)
{
    sn_generator_destroy(b->g);
    workload_close(&b->w);
}

/* ---- results ---- */

typedef struct Rates {
    double prefill, decode, all; /* tokens a second; all: new ones over all the time */
    double read, share;          /* GB/s of this machine; weights read by steps of new tokens, of that */
    SnMemoryUse use;
    SnLimits limits;
    bool has_limits;
} Rates;

static double per_second(uint64_t n, uint64_t ns)
{
    return ns ? (double)n * 1e9 / (double)ns : 0;
}

static void find_rates(const Generation *b, const SnLimits *before, Rates *r)
{
    const int last = SN_LIMIT_SETS - 1;
    SnError ignored;
    *r = (Rates){.prefill = per_second(b->nprompt, b->prompt_ns),
                 .decode = per_second(b->nnew, b->new_ns),
                 .all =
                     per_second((uint64_t)(b->batch * b->fresh) * (b->npass - 1), b->prompt_ns + b->new_ns)};
    sn_generator_memory(b->g, &r->use);
    r->has_limits = before->threads > 0 && sn_compiler_limits(b->w.s.cc, &r->limits, &ignored) == SN_OK;
    if (!r->has_limits)
        return;
    if (r->limits.memory[last].read_gbps < before->memory[last].read_gbps)
        r->limits = *before;
    r->read = r->limits.memory[last].read_gbps;
    r->share = (double)r->use.packed_bytes / (percentile(b->step, 0) * 1e6) / r->read;
}

static void print_json(const Generation *b, const Rates *r, const Profile *p)
{
    const Timing *t = b->step;
    SnText x = {.memory = sn_allocator(b->w.s.ctx)};
    sn_text_printf(&x, "{");
    put_figure(&x, "ms_median", true, percentile(t, 0.5));
    put_figure(&x, "ms_p90", true, percentile(t, 0.9));
    put_figure(&x, "ms_best", true, percentile(t, 0));
    put_figure(&x, "items_per_s", true, r->all);
    put_figure(&x, "prefill_tokens_per_s", true, r->prefill);
    put_figure(&x, "decode_tokens_per_s", true, r->decode);
    put_figure(&x, "read_GBps", r->has_limits, r->read);
    put_figure(&x, "share_of_read", r->has_limits, r->share);
    put_figure(&x, "peak_GFLOPs", r->has_limits, r->limits.f32_gflops);
    put_figure(&x, "share_of_peak", false, 0);
    put_figure(&x, "compile_ms", true, b->create_ms);
    put_figure(&x, "load_ms", true, b->w.load_ms);
    sn_text_printf(&x, ", \"peak_bytes\": %llu, \"state_bytes\": %llu",
                   (unsigned long long)peak_bytes(&r->use), (unsigned long long)r->use.state_bytes);
    if (p) {
        sn_text_printf(&x, ", \"kernels\": ");
        profile_json(p, &r->limits, SN_F32, &x);
    }
    (void)printf("%s}\n", x.failed ? "{" : x.at);
    sn_text_clear(&x);
}

static void print_plain(const Generation *b, const Rates *r, const Profile *p)
{
    const Timing *t = b->step;
    (void)printf("batch=%lld,prompt=%lld,new=%lld, cpu level %s\n", (long long)b->batch, (long long)b->prompt,
                 (long long)b->fresh, sn_context_cpu_level(b->w.s.ctx));
    (void)printf("prompt      %.1f tokens/s\n", r->prefill);
    (void)printf("new         %.1f tokens/s, %.1f with the prompts\n", r->decode, r->all);
    (void)printf("step        median %.3f ms, p90 %.3f, best %.3f (%d steps)\n", percentile(t, 0.5),
                 percentile(t, 0.9), percentile(t, 0), t->n);
    if (r->has_limits) {
        (void)printf("weights     %.1f GB/s, %.1f %% of %.1f\n", r->share * r->read, 100 * r->share, r->read);
        print_limits(&r->limits);
    }
    (void)printf("start       load %.1f ms, compile %.1f ms\n", b->w.load_ms, b->create_ms);
    (void)printf("memory      peak %.1f MB: packed %.1f, keys and values %.1f, block %.1f\n",
                 (double)peak_bytes(&r->use) / 1e6, (double)r->use.packed_bytes / 1e6,
                 (double)r->use.state_bytes / 1e6, (double)r->use.scratch_bytes / 1e6);
    if (p)
        profile_print(p, &r->limits, SN_F32);
}

/* Kernels of steps of new tokens: a session that is timed has no trace, which keeps steps apart. Their names
 * are those of b, which is closed behind the last look at them. */
static int trace_steps(const Args *a, const SnLimits *limits, Profile *p, Generation *b)
{
    SnError err = {0};
    const SnTrace hook = profile_hook(p);
    Args traced = *a;
    traced.trace = &hook;
    int status = open_generation(&traced, p, b);
    if (status == EXIT_DONE) {
        const SnStatus st = run_passes(b, &err);
        status = report(a->at[0], st, &err);
    }
    profile_sort(p, limits, SN_F32);
    return status;
}

int bench_generation(const Args *a)
{
    Generation b, traced = {.a = NULL};
    Profile p = {0};
    Rates r;
    SnError err = {0}, ignored;
    SnLimits before = {0};
    int status = open_generation(a, NULL, &b);
    if (status == EXIT_DONE) {
        if (sn_compiler_limits(b.w.s.cc, &before, &ignored) != SN_OK)
            before.threads = 0;
        const SnStatus st = run_passes(&b, &err);
        status = report(a->at[0], st, &err);
    }
    if (status == EXIT_DONE)
        find_rates(&b, &before, &r);
    const bool has_kernels = arg_flag(a, "--kernels");
    if (status == EXIT_DONE && has_kernels) {
        profile_init(&p, sn_allocator(b.w.s.ctx));
        status = trace_steps(a, &r.limits, &p, &traced);
    }
    if (status == EXIT_DONE)
        (a->json ? print_json : print_plain)(&b, &r, has_kernels ? &p : NULL);
    if (p.memory)
        profile_clear(&p);
    if (traced.a)
        close_generation(&traced);
    close_generation(&b);
    return status;
}
