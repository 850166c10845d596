/* oom_test.c -- every allocation made to fail in turn: each call returns a status, nothing leaks, and what
 * still succeeds gives the bits of an undisturbed run.
 *
 * All requests when run with the argument "all"; else the first 200 and then one of every `stride`. */
#include "tests/embed/embed_model.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t stride = 37;
static char folder[64], cache[80];

typedef struct Output {
    uint8_t bytes[16384];
    size_t n;
} Output;

/* One way through the API; what it got is put into out. */
typedef SnStatus Story(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err);

static SnStatus put(Output *out, const void *data, size_t size, SnError *err)
{
    SN_CHECK(size <= sizeof out->bytes - out->n, err, SN_EINTERNAL, "no room for %zu bytes", size);
    if (size)
        memcpy(out->bytes + out->n, data, size);
    out->n += size;
    return SN_OK;
}

/* A call that fails for lack of memory does no harm: made again, it passes if there is memory then. */
#define TWICE(st, call)                                                                                      \
    do {                                                                                                     \
        (st) = (call);                                                                                       \
        if ((st) == SN_ENOMEM)                                                                               \
            (st) = (call);                                                                                   \
    } while (0)

/* ---- stories ---- */

static SnStatus run_twice(SnInstance *s, Output *out, SnError *err)
{
    static EmbedInput in;
    EmbedOutput got;
    SnStatus st;
    bool done = false;
    embed_fill(&in, 3);
    TWICE(st, sn_reserve(s, "n=3,ids.size=5", err));
    SN_TRY(st);
    SN_TRY(embed_bind(s, &in, err));
    TWICE(st, sn_run(s, err));
    SN_TRY(st);
    SN_TRY(embed_output(s, &got, err));
    SN_TRY(put(out, &got, sizeof got, err));
    while (!done)
        SN_TRY(sn_run_some(s, 50000, &done, err));
    SN_TRY(embed_output(s, &got, err));
    return put(out, &got, sizeof got, err);
}

static SnStatus compile_and_run(SnCompiler *cc, const char *target, Output *out, SnError *err)
{
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target};
    SnStatus st = sn_graph_create(cc, &g, err);
    if (st == SN_OK) {
        embed_graph(g);
        st = sn_compile(cc, g, &o, &p, err);
    }
    if (st == SN_OK)
        TWICE(st, sn_instance_create(p, NULL, &s, err));
    if (st == SN_OK)
        st = run_twice(s, out, err);
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_graph_destroy(g);
    return st;
}

static SnStatus story_interp(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    (void)ctx;
    return compile_and_run(cc, "interp", out, err);
}

/* Panels are made in an empty cache. */
static SnStatus story_packs(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    (void)ctx;
    embed_folder_remove(cache);
    return compile_and_run(cc, "interp", out, err);
}

static SnStatus story_text_form(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    SnGraph *g = NULL, *again = NULL;
    SnText text = {.memory = sn_allocator(ctx)};
    SnStatus st = sn_graph_create(cc, &g, err);
    if (st == SN_OK) {
        embed_graph(g);
        st = sn_graph_print(g, &text, err);
    }
    if (st == SN_OK)
        st = sn_graph_create(cc, &again, err);
    if (st == SN_OK)
        st = sn_graph_parse(again, "text", sn_bytes(text.at, text.n), err);
    if (st == SN_OK)
        st = put(out, text.at, text.n, err);
    sn_text_clear(&text);
    sn_graph_destroy(again);
    sn_graph_destroy(g);
    return st;
}

static SnStatus put_results(const SnResults *r, Output *out, SnError *err)
{
    for (size_t i = 0; i < sn_results_count(r); i++) {
        const SnNamedTensor *t = sn_results_get(r, i);
        size_t size = sn_dtype_size(t->view.dtype);
        for (int32_t k = 0; k < t->view.ndim; k++)
            size *= (size_t)t->view.dims[k];
        SN_TRY(put(out, t->name, strlen(t->name), err));
        SN_TRY(put(out, t->view.data, size, err));
    }
    return SN_OK;
}

static const SnModelOptions interp = {.struct_size = sizeof interp, .device = "interp"};

static SnStatus tokenize(SnContext *ctx, SnModel *m, Output *out, SnError *err)
{
    const SnBytes text[] = {sn_bytes_str("Hello world, a 12.5"), sn_bytes_str("don't [PAD] x")};
    const SnTokenizeOptions o = {.struct_size = sizeof o,
                                 .truncation = SN_TRUNCATE_LONGEST_FIRST,
                                 .max_length = 8,
                                 .stride = 1,
                                 .pad = true};
    static const int64_t ids[] = {2, 5, 6, 7, 15, 3};
    SnArena arena;
    SnEncoding *e = NULL;
    SnText back = {.memory = sn_allocator(ctx)};
    sn_arena_init(&arena, sn_allocator(ctx));
    SnStatus st;
    TWICE(st, sn_model_tokenize(m, text, text, 2, &o, &arena, &e, err));
    for (const SnEncoding *w = e; st == SN_OK && w; w = w->overflow)
        st = put(out, w->ids, w->n * sizeof *w->ids, err);
    if (st == SN_OK)
        TWICE(st, sn_model_decode(m, ids, SN_COUNT(ids), true, &back, err));
    if (st == SN_OK)
        st = put(out, back.at, back.n, err);
    sn_text_clear(&back);
    sn_arena_clear(&arena);
    return st;
}

static SnStatus story_tokenize(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    SnModel *m = NULL;
    SnStatus st = sn_model_open(cc, folder, &interp, &m, err);
    if (st == SN_OK)
        st = tokenize(ctx, m, out, err);
    sn_model_close(m);
    return st;
}

static SnStatus story_embed(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    (void)ctx;
    const SnBytes text[] = {sn_bytes_str("Hello world, a 12.5"), sn_bytes_str("don't [PAD] x")};
    SnModel *m = NULL;
    SnResults *r = NULL;
    SnStatus st = sn_model_open(cc, folder, &interp, &m, err);
    if (st == SN_OK)
        TWICE(st, sn_model_embed(m, text, 2, &r, err));
    if (st == SN_OK)
        st = put_results(r, out, err);
    sn_results_destroy(r);
    sn_model_close(m);
    return st;
}

static SnStatus story_forward(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    int64_t ids[6] = {2, 5, 3, 2, 8, 3}, mask[6] = {1, 1, 1, 1, 1, 0};
    const int64_t dims[2] = {2, 3};
    const SnNamedTensor in[] = {{"input_ids", sn_view(SN_I64, ids, 2, dims)},
                                {"attention_mask", sn_view(SN_I64, mask, 2, dims)}};
    SnModel *m = NULL;
    SnResults *r = NULL;
    SnText json = {.memory = sn_allocator(ctx)};
    SnStatus st = sn_model_open(cc, folder, &interp, &m, err);
    if (st == SN_OK)
        st = sn_model_inspect(m, &json, err);
    if (st == SN_OK)
        TWICE(st, sn_model_forward(m, in, 2, NULL, 0, &r, err));
    if (st == SN_OK)
        st = put_results(r, out, err);
    if (st == SN_OK)
        st = put(out, json.at, json.n, err);
    sn_text_clear(&json);
    sn_results_destroy(r);
    sn_model_close(m);
    return st;
}

static char emitted[80];

static SnStatus emit(SnCompiler *cc, const SnCompileOptions *o, SnError *err)
{
    SnGraph *g = NULL;
    SnStatus st = sn_graph_create(cc, &g, err);
    if (st == SN_OK) {
        embed_graph(g);
        st = sn_emit(cc, g, o, emitted, err);
    }
    sn_graph_destroy(g);
    return st;
}

static SnStatus story_source(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp"};
    (void)ctx;
    (void)out;
    return emit(cc, &o, err);
}

#ifdef SN_TEST_LLVM
static SnStatus story_cpu(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    (void)ctx;
    return compile_and_run(cc, "cpu", out, err);
}

static SnStatus story_emit(SnContext *ctx, SnCompiler *cc, Output *out, SnError *err)
{
    const SnCompileOptions o = {.struct_size = sizeof o, .levels = "v3"};
    (void)ctx;
    (void)out;
    return emit(cc, &o, err);
}
#endif

/* ---- telling them ---- */

static SnStatus tell(Story *story, EmbedMemory *m, Output *out, SnError *err)
{
    const SnContextDesc d = {
        .struct_size = sizeof d, .memory = embed_allocator(m), .cache_dir = *cache ? cache : NULL};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    out->n = 0;
    SnStatus st = sn_context_create(&d, &ctx, err);
    if (st == SN_OK)
        st = sn_compiler_create(ctx, &cd, &cc, err);
    if (st == SN_OK)
        st = story(ctx, cc, out, err);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return st;
}

static void check_end(const EmbedMemory *m, SnStatus st, const SnError *err)
{
    if (m->wrong)
        fail_msg("request %llu fails: %s", (unsigned long long)m->fail_at, m->wrong);
    if (m->live)
        fail_msg("request %llu fails: %llu blocks leak", (unsigned long long)m->fail_at,
                 (unsigned long long)m->live);
    if (st != SN_OK && st != SN_ENOMEM)
        fail_msg("request %llu fails: %s: %s", (unsigned long long)m->fail_at, sn_status_name(st),
                 err->message);
    if (st != SN_OK)
        assert_true(err->message[0] != 0 && err->code == st);
}

/* The first story is told to the end, and says how many requests there are. */
static void fail_each(Story *story, uint64_t step)
{
    static Output whole, part;
    EmbedMemory calm = {0};
    SnError err = {0};
    assert_ok(tell(story, &calm, &whole, &err)); /* also fills the cache */
    calm = (EmbedMemory){0};
    assert_ok(tell(story, &calm, &whole, &err));
    check_end(&calm, SN_OK, &err);
    uint64_t harmless = 0;
    for (uint64_t n = 1; n <= calm.count; n += n < 200 ? 1 : step)
        for (int all_after = 0; all_after < 2; all_after++) {
            EmbedMemory m = {.fail_at = n, .all_after = all_after};
            err = (SnError){0};
            const SnStatus st = tell(story, &m, &part, &err);
            check_end(&m, st, &err);
            if (st != SN_OK)
                continue;
            harmless++;
            if (part.n != whole.n || memcmp(part.bytes, whole.bytes, part.n) != 0)
                fail_msg("request %llu fails: a run passes with other results", (unsigned long long)n);
        }
    print_message("%llu requests, one of %llu made to fail; %llu times in vain\n",
                  (unsigned long long)calm.count, (unsigned long long)step, (unsigned long long)harmless);
}

static void interp_program_survives_each_failure(void **state)
{
    (void)state;
    fail_each(story_interp, stride);
}

static void packing_survives_each_failure(void **state)
{
    (void)state;
    (void)snprintf(cache, sizeof cache, "%s/cache", folder);
    fail_each(story_packs, stride);
    *cache = 0;
}

static void text_form_survives_each_failure(void **state)
{
    (void)state;
    fail_each(story_text_form, stride);
}

static void tokenizer_survives_each_failure(void **state)
{
    (void)state;
    fail_each(story_tokenize, stride);
}

static void embed_survives_each_failure(void **state)
{
    (void)state;
    fail_each(story_embed, stride == 1 ? 1 : 8 * stride);
}

static void forward_survives_each_failure(void **state)
{
    (void)state;
    fail_each(story_forward, stride == 1 ? 1 : 8 * stride);
}

static void source_survives_each_failure(void **state)
{
    (void)state;
    (void)snprintf(emitted, sizeof emitted, "%s/small.c", folder);
    fail_each(story_source, stride);
}

#ifdef SN_TEST_LLVM
/* Kernels come from the cache: LLVM's own memory is not ours to fail. */
static void cached_program_survives_each_failure(void **state)
{
    (void)state;
    (void)snprintf(cache, sizeof cache, "%s/cache", folder);
    fail_each(story_cpu, stride);
    *cache = 0;
}

static void emit_survives_each_failure(void **state)
{
    (void)state;
    (void)snprintf(emitted, sizeof emitted, "%s/small.o", folder);
    fail_each(story_emit, stride == 1 ? 16 : 24 * stride);
}
#endif

static int make_folder(void **state)
{
    (void)state;
    SnContext *ctx = NULL;
    SnError err = {0};
    const bool ok =
        sn_context_create(NULL, &ctx, &err) == SN_OK && embed_model_create(ctx, folder, &err) == SN_OK;
    sn_context_destroy(ctx);
    if (!ok)
        print_error("%s\n", err.message);
    return ok ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    embed_folder_remove(folder);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interp_program_survives_each_failure),
        cmocka_unit_test(packing_survives_each_failure),
        cmocka_unit_test(text_form_survives_each_failure),
        cmocka_unit_test(tokenizer_survives_each_failure),
        cmocka_unit_test(embed_survives_each_failure),
        cmocka_unit_test(forward_survives_each_failure),
        cmocka_unit_test(source_survives_each_failure),
#ifdef SN_TEST_LLVM
        cmocka_unit_test(cached_program_survives_each_failure),
        cmocka_unit_test(emit_survives_each_failure),
#endif
    };
    if (argc > 1 && strcmp(argv[1], "all") == 0)
        stride = 1;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
