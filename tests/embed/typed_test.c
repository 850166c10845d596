/* typed_test.c -- contexts of models that were compiled ahead of time: memory, blocks, slices, cancelling,
 * threads, state, traces, wrong calls. Its argument is what typed_emit expects. */
#include "runtime/json.h"
#include "runtime/trace.h"
#include "runtime/typed.h"
#include "tests/embed/embed.h"
#include "tests/embed/typed_expected.h"
#include "tests/unit/unit.h"
#include "typed_embed.h"
#include "typed_state.h"
/* Twice, and beside another model's and the runtime's. */
#include "typed_embed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static TypedExpected expected;

/* ---- the header's types are the runtime's ---- */

#define SAME(A, B, field)                                                                                    \
    _Static_assert(offsetof(A, field) == offsetof(B, field) &&                                               \
                       sizeof(((A *)0)->field) == sizeof(((B *)0)->field),                                   \
                   #field)
#define SAME_SIZE(A, B) _Static_assert(sizeof(A) == sizeof(B), #A)
SAME_SIZE(SnModelHost, SnTypedHost);
SAME(SnModelHost, SnTypedHost, abi);
SAME(SnModelHost, SnTypedHost, flags);
SAME(SnModelHost, SnTypedHost, threads);
SAME(SnModelHost, SnTypedHost, block);
SAME(SnModelHost, SnTypedHost, memory);
SAME(SnModelHost, SnTypedHost, jobs);
SAME(SnModelHost, SnTypedHost, trace);
SAME(SnModelHost, SnTypedHost, cpu_level);
SAME(SnModelHost, SnTypedHost, shape);
SAME(SnModelHost, SnTypedHost, message);
SAME(SnModelHost, SnTypedHost, message_size);
SAME_SIZE(SnModelView, SnView);
SAME(SnModelView, SnView, dtype);
SAME(SnModelView, SnView, ndim);
SAME(SnModelView, SnView, dims);
SAME(SnModelView, SnView, strides);
SAME(SnModelView, SnView, start);
SAME(SnModelView, SnView, len);
SAME(SnModelView, SnView, child_count);
SAME_SIZE(SnModelSpan, SnTypedSpan);
SAME(SnModelSpan, SnTypedSpan, end);
SAME(SnModelSpan, SnTypedSpan, name);
SAME(SnModelSpan, SnTypedSpan, score);
SAME(SnModelSpan, SnTypedSpan, label);
SAME_SIZE(SnModelWord, SnTypedWord);
SAME(SnModelWord, SnTypedWord, size);
SAME(SnModelWord, SnTypedWord, score);
SAME(SnModelWord, SnTypedWord, id);
SAME_SIZE(SnModelEvent, SnTraceEvent);
SAME(SnModelEvent, SnTraceEvent, tiles);
SAME(SnModelEvent, SnTraceEvent, flops);
_Static_assert((int)SN_MODEL_EINTERNAL == (int)SN_EINTERNAL && (int)SN_MODEL_ESHAPE == (int)SN_ESHAPE &&
                   (int)SN_MODEL_ECANCELLED == (int)SN_ECANCELLED && SN_MODEL_AGAIN == (int)SN_TYPED_AGAIN,
               "statuses");
_Static_assert((int)SN_MODEL_F32 == (int)SN_F32 && (int)SN_MODEL_F8E8M0 == (int)SN_F8E8M0, "dtypes");
_Static_assert(TYPED_EMBED_ABI == SN_ABI && TYPED_EMBED_WIDTH == TYPED_WIDTH &&
                   TYPED_EMBED_MAX_TEXT == TYPED_MAX_TEXT,
               "numbers");

/* ---- texts ---- */

static int embed(TypedEmbedCtx *ctx, size_t i, float out[TYPED_WIDTH])
{
    return typed_embed_embed(ctx, typed_texts[i], strlen(typed_texts[i]), out);
}

static void assert_vector(const float *got, size_t i)
{
    assert_memory_equal(got, expected.vector[i], sizeof expected.vector[i]);
}

static void assert_embeds(TypedEmbedCtx *ctx, size_t i)
{
    float v[TYPED_WIDTH];
    if (embed(ctx, i, v) != SN_MODEL_OK)
        fail_msg("text %zu: %s", i, typed_embed_error(ctx));
    assert_vector(v, i);
}

static TypedEmbedCtx *create(const SnModelHost *host)
{
    TypedEmbedCtx *ctx = NULL;
    assert_int_equal(typed_embed_create(host, &ctx), SN_MODEL_OK);
    return ctx;
}

static void vectors_are_those_of_jit(void **state)
{
    (void)state;
    SnModelHost host = SN_MODEL_HOST;
    TypedEmbedCtx *ctx = create(NULL);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < TYPED_NTEXT; i++)
            assert_embeds(ctx, i);
    assert_vector(expected.vector[TYPED_NTEXT - 2], TYPED_NTEXT - 1);
    typed_embed_destroy(ctx);
    typed_embed_destroy(NULL);
    host.threads = 3;
    ctx = create(&host);
    for (size_t i = 0; i < TYPED_NTEXT; i++)
        assert_embeds(ctx, i);
    typed_embed_destroy(ctx);
}

static void slices_give_the_bits_of_one_run(void **state)
{
    (void)state;
    static const uint64_t budgets[] = {1, 20000, 50000, 500000, 5000000};
    TypedEmbedCtx *ctx = create(NULL);
    for (size_t b = 0; b < SN_COUNT(budgets); b++)
        for (size_t i = 0; i < TYPED_NTEXT; i++) {
            float v[TYPED_WIDTH];
            int st, nstep = 0;
            assert_int_equal(typed_embed_begin(ctx, typed_texts[i], strlen(typed_texts[i])), SN_MODEL_OK);
            assert_int_equal(typed_embed_vector(ctx, v), SN_MODEL_EINVAL);
            while ((st = typed_embed_step(ctx, budgets[b])) == SN_MODEL_AGAIN)
                nstep++;
            assert_int_equal(st, SN_MODEL_OK);
            assert_true(b > 0 || nstep > 3);
            for (int twice = 0; twice < 2; twice++) {
                assert_int_equal(typed_embed_vector(ctx, v), SN_MODEL_OK);
                assert_vector(v, i);
                assert_int_equal(typed_embed_step(ctx, 1), SN_MODEL_OK);
            }
        }
    /* A text that is begun in the middle of a run takes its place. */
    assert_int_equal(typed_embed_begin(ctx, typed_texts[0], strlen(typed_texts[0])), SN_MODEL_OK);
    assert_int_equal(typed_embed_step(ctx, 1), SN_MODEL_AGAIN);
    assert_embeds(ctx, 2);
    typed_embed_destroy(ctx);
}

/* ---- blocks ---- */

static void block_of_the_header_is_enough_anywhere(void **state)
{
    (void)state;
    enum { GUARD = 64 };
    uint8_t *all = malloc(TYPED_EMBED_BLOCK_BYTES + 64 + 2 * GUARD);
    assert_non_null(all);
    for (size_t shift = 0; shift < 64; shift++) {
        memset(all, 0xAB, TYPED_EMBED_BLOCK_BYTES + 64 + 2 * GUARD);
        char message[200] = "";
        uint8_t *block = all + GUARD + shift;
        SnModelHost host = SN_MODEL_HOST;
        host.block = block;
        host.block_size = TYPED_EMBED_BLOCK_BYTES;
        host.message = message;
        host.message_size = sizeof message;
        TypedEmbedCtx *ctx = create(&host);
        for (size_t i = 0; i < TYPED_NTEXT; i++) {
            float v[TYPED_WIDTH];
            const bool fits = strlen(typed_texts[i]) <= TYPED_MAX_TEXT;
            if (fits)
                assert_embeds(ctx, i);
            else
                assert_int_equal(embed(ctx, i, v), SN_MODEL_ESHAPE);
            assert_true(fits || strstr(typed_embed_error(ctx), "100"));
        }
        typed_embed_destroy(ctx);
        for (size_t i = 0; i < GUARD + shift; i++)
            assert_int_equal(all[i], 0xAB);
        for (size_t i = 0; i < GUARD; i++)
            assert_int_equal(block[TYPED_EMBED_BLOCK_BYTES + i], 0xAB);
        host.block_size--;
        assert_int_equal(typed_embed_create(&host, &ctx), SN_MODEL_ENOMEM);
        assert_non_null(strstr(message, "block"));
    }
    free(all);
}

/* Without the number that the descriptor knows: a smaller block fails wherever it is full. */
static void smaller_blocks_fail_cleanly(void **state)
{
    (void)state;
    SnError err;
    uint64_t need = 0;
    SnTypedDesc desc = *typed_embed_program.typed;
    assert_int_equal(desc.block_bytes, TYPED_EMBED_BLOCK_BYTES);
    assert_ok(sn_typed_measure(&desc, &need, &err));
    assert_int_equal(need, TYPED_EMBED_BLOCK_BYTES);
    desc.block_bytes = 0;
    uint8_t *block = aligned_alloc(64, (need + 127) / 64 * 64);
    assert_non_null(block);
    for (size_t size = 0; size < need; size += size + 800 < need ? 777 : 1) {
        /* The worst address: one byte behind an aligned one. */
        const SnTypedHost host = {
            .struct_size = sizeof host, .abi = SN_ABI, .block = block + 1, .block_size = size};
        SnTyped *t = NULL;
        if (size < need - 63)
            assert_int_equal(sn_typed_create(&host, &t, &desc), SN_ENOMEM);
        assert_null(t);
    }
    free(block);
}

/* ---- memory ---- */

static void every_refused_allocation_is_a_status(void **state)
{
    (void)state;
    float v[TYPED_WIDTH];
    int st = SN_MODEL_ENOMEM;
    uint64_t n = 0;
    while (st == SN_MODEL_ENOMEM) {
        char message[100] = "";
        EmbedMemory m = {.fail_at = ++n};
        const SnAllocator a = embed_allocator(&m);
        SnModelHost host = SN_MODEL_HOST;
        host.memory.self = a.self;
        host.memory.resize = a.resize;
        host.message = message;
        host.message_size = sizeof message;
        TypedEmbedCtx *ctx = NULL;
        st = typed_embed_create(&host, &ctx);
        assert_true(st == SN_MODEL_OK || strlen(message) > 0);
        if (st == SN_MODEL_OK) {
            m.fail_at = m.count + 1; /* the fourth text is longer than what there is room for */
            for (int k = 0; embed(ctx, 3, v) == SN_MODEL_ENOMEM; k++) {
                assert_true(k < 100);
                m.fail_at = m.count + 1 + (uint64_t)k;
            }
            m.fail_at = 0;
            assert_embeds(ctx, 3);
            assert_embeds(ctx, 0);
        }
        typed_embed_destroy(ctx);
        assert_int_equal(m.live, 0);
        assert_null(m.wrong);
    }
    assert_int_equal(st, SN_MODEL_OK);
    assert_in_range(n, 5, 1000);
}

static void runs_ask_for_no_memory(void **state)
{
    (void)state;
    EmbedMemory m = {0};
    const SnAllocator a = embed_allocator(&m);
    SnModelHost host = SN_MODEL_HOST;
    host.memory.self = a.self;
    host.memory.resize = a.resize;
    TypedEmbedCtx *ctx = create(&host);
    const uint64_t before = m.count;
    m.fail_at = before + 1;
    m.all_after = true;
    for (size_t i = 0; i < 1000; i++)
        if (strlen(typed_texts[i % TYPED_NTEXT]) <= TYPED_MAX_TEXT)
            assert_embeds(ctx, i % TYPED_NTEXT);
    char longest[TYPED_MAX_TEXT];
    float v[TYPED_WIDTH];
    memset(longest, 'a', sizeof longest);
    for (size_t i = 0; i < sizeof longest; i += 2)
        longest[i] = '.';
    for (size_t n = 0; n <= sizeof longest; n++)
        assert_int_equal(typed_embed_embed(ctx, longest, n, v), SN_MODEL_OK);
    assert_int_equal(m.count, before);
    typed_embed_destroy(ctx);
    assert_int_equal(m.live, 0);
}

/* ---- threads ---- */

typedef struct Worker {
    pthread_t thread;
    int status, wrong;
} Worker;

static void *work(void *arg)
{
    Worker *w = arg;
    TypedEmbedCtx *ctx = NULL;
    w->status = typed_embed_create(NULL, &ctx);
    for (size_t i = 0; w->status == SN_MODEL_OK && i < 50 * TYPED_NTEXT; i++) {
        float v[TYPED_WIDTH];
        const size_t k = i % TYPED_NTEXT;
        w->status = embed(ctx, k, v);
        w->wrong += memcmp(v, expected.vector[k], sizeof v) != 0;
    }
    typed_embed_destroy(ctx);
    return NULL;
}

static void contexts_run_at_once(void **state)
{
    (void)state;
    Worker w[2] = {{.status = -1}, {.status = -1}};
    for (size_t i = 0; i < SN_COUNT(w); i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    for (size_t i = 0; i < SN_COUNT(w); i++) {
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
        assert_int_equal(w[i].status, SN_MODEL_OK);
        assert_int_equal(w[i].wrong, 0);
    }
}

typedef struct Canceller {
    TypedEmbedCtx *ctx;
    atomic_bool stop;
} Canceller;

static void *cancel(void *arg)
{
    Canceller *c = arg;
    while (!atomic_load(&c->stop))
        typed_embed_cancel(c->ctx);
    return NULL;
}

static void cancel_comes_from_any_thread(void **state)
{
    (void)state;
    pthread_t thread;
    Canceller c = {.ctx = create(NULL)};
    int st = SN_MODEL_OK;
    typed_embed_cancel(c.ctx); /* nothing runs: nothing happens */
    assert_embeds(c.ctx, 0);
    assert_int_equal(pthread_create(&thread, NULL, cancel, &c), 0);
    while (st == SN_MODEL_OK) {
        float v[TYPED_WIDTH];
        st = embed(c.ctx, 0, v);
    }
    atomic_store(&c.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(st, SN_MODEL_ECANCELLED);
    assert_embeds(c.ctx, 2);
    typed_embed_destroy(c.ctx);
}

/* ---- tensors and state ---- */

static void bind_state(TypedStateCtx *ctx, EmbedInput *in)
{
    const SnModelView x = {
        .data = in->x, .dtype = SN_MODEL_F32, .ndim = 2, .dims = {EMBED_ROWS, EMBED_WIDTH}};
    const SnModelView ids = {.data = in->child,
                             .dtype = SN_MODEL_I32,
                             .ndim = 1,
                             .dims = {EMBED_ROWS},
                             .start = in->start,
                             .len = in->len,
                             .child_count = SN_COUNT(in->child)};
    assert_int_equal(typed_state_bind(ctx, "x", &x), SN_MODEL_OK);
    assert_int_equal(typed_state_bind(ctx, "ids", &ids), SN_MODEL_OK);
}

static float run_total(TypedStateCtx *ctx, uint32_t seed)
{
    EmbedInput in;
    SnModelView total;
    float out;
    embed_fill(&in, seed);
    bind_state(ctx, &in);
    assert_int_equal(typed_state_run(ctx), SN_MODEL_OK);
    assert_int_equal(typed_state_result(ctx, "total", &total), SN_MODEL_OK);
    memcpy(&out, total.data, sizeof out);
    return out;
}

static void state_moves_to_another_context(void **state)
{
    (void)state;
    uint8_t saved[256];
    size_t size = 0;
    TypedStateCtx *one = NULL, *two = NULL;
    void *block = malloc(TYPED_STATE_BLOCK_BYTES);
    assert_non_null(block);
    SnModelHost host = SN_MODEL_HOST;
    host.block = block;
    host.block_size = TYPED_STATE_BLOCK_BYTES;
    assert_int_equal(typed_state_create(NULL, &one), SN_MODEL_OK);
    assert_int_equal(typed_state_create(&host, &two), SN_MODEL_OK);
    const float first = run_total(one, 1), second = run_total(one, 2);
    assert_int_equal(typed_state_state_save(one, NULL, &size), SN_MODEL_OK);
    assert_in_range(size, 1, sizeof saved);
    assert_int_equal(typed_state_state_save(one, saved, &size), SN_MODEL_OK);
    const float third = run_total(one, 3);
    assert_true(run_total(two, 3) != third);
    assert_int_equal(typed_state_state_load(two, saved, size), SN_MODEL_OK);
    assert_true(run_total(two, 3) == third);
    assert_int_equal(typed_state_reset(two), SN_MODEL_OK);
    assert_true(run_total(two, 1) == first);
    assert_true(run_total(two, 2) == second);
    assert_int_equal(typed_state_state_load(two, saved, size - 1), SN_MODEL_EFORMAT);
    saved[0] ^= 1;
    assert_int_equal(typed_state_state_load(two, saved, size), SN_MODEL_EFORMAT);
    size--;
    assert_int_equal(typed_state_state_save(two, saved, &size), SN_MODEL_EINVAL);
    typed_state_destroy(one);
    typed_state_destroy(two);
    free(block);
}

/* A block has no room for a larger shape; the one that it is for still runs. */
static void block_keeps_its_shape(void **state)
{
    (void)state;
    enum { MANY = 4000 };
    static float x[MANY * EMBED_WIDTH];
    static int64_t start[MANY], len[MANY];
    int32_t child = 0;
    TypedStateCtx *ctx = NULL;
    void *block = malloc(TYPED_STATE_BLOCK_BYTES);
    assert_non_null(block);
    SnModelHost host = SN_MODEL_HOST;
    host.block = block;
    host.block_size = TYPED_STATE_BLOCK_BYTES;
    assert_int_equal(typed_state_create(&host, &ctx), SN_MODEL_OK);
    const float first = run_total(ctx, 1);
    assert_int_equal(typed_state_reserve(ctx, "n=4000,ids.size=4000"), SN_MODEL_ENOMEM);
    assert_int_equal(typed_state_reserve(ctx, "n=4000"), SN_MODEL_EINVAL);
    assert_int_equal(typed_state_reset(ctx), SN_MODEL_OK);
    assert_true(run_total(ctx, 1) == first);
    const SnModelView v = {.data = x, .dtype = SN_MODEL_F32, .ndim = 2, .dims = {MANY, EMBED_WIDTH}};
    const SnModelView ids = {.data = &child,
                             .dtype = SN_MODEL_I32,
                             .ndim = 1,
                             .dims = {MANY},
                             .start = start,
                             .len = len,
                             .child_count = 1};
    assert_int_equal(typed_state_bind(ctx, "x", &v), SN_MODEL_OK);
    assert_int_equal(typed_state_run(ctx), SN_MODEL_ESHAPE); /* ids still have other rows */
    assert_int_equal(typed_state_bind(ctx, "ids", &ids), SN_MODEL_OK);
    assert_int_equal(typed_state_run(ctx), SN_MODEL_ENOMEM);
    assert_int_equal(typed_state_reset(ctx), SN_MODEL_OK);
    assert_true(run_total(ctx, 1) == first);
    typed_state_destroy(ctx);
    free(block);
}

/* ---- traces ---- */

static void count_event(void *self, const SnModelEvent *e)
{
    uint32_t *n = self;
    *n += e->name != NULL && e->end_ns >= e->begin_ns;
}

static void trace_is_a_file_and_the_hosts(void **state)
{
    (void)state;
    char path[64];
    uint32_t nevent = 0, while_traced;
    SnError err;
    SnContext *files = NULL;
    SnFile *f = NULL;
    SnArena arena;
    SnJson *json = NULL;
    SnModelHost host = SN_MODEL_HOST;
    host.trace.self = &nevent;
    host.trace.event = count_event;
    TypedEmbedCtx *ctx = create(&host);
    (void)snprintf(path, sizeof path, "/tmp/sinter-trace-%ld.json", (long)getpid());
    assert_embeds(ctx, 0);
    const uint32_t each = nevent;
    assert_true(each > 5);
    assert_int_equal(typed_embed_trace_end(ctx, path), SN_MODEL_EINVAL);
    assert_int_equal(typed_embed_trace_begin(ctx), SN_MODEL_OK);
    assert_int_equal(typed_embed_trace_begin(ctx), SN_MODEL_EINVAL);
    assert_embeds(ctx, 0);
    while_traced = nevent - each;
    assert_int_equal(while_traced, each);
    assert_int_equal(typed_embed_trace_end(ctx, path), SN_MODEL_OK);
    assert_embeds(ctx, 0);
    assert_int_equal(typed_embed_trace_begin(ctx), SN_MODEL_OK);
    assert_int_equal(typed_embed_trace_end(ctx, "/nowhere/trace.json"), SN_MODEL_EIO);
    assert_ok(sn_context_create(NULL, &files, &err));
    assert_ok(sn_file_open(files, path, &f, &err));
    sn_arena_init(&arena, sn_allocator(files));
    assert_ok(sn_json_parse(&arena, path, sn_file_bytes(f), &json, &err));
    assert_int_equal(json->n, each);
    sn_arena_clear(&arena);
    sn_file_release(f);
    sn_context_destroy(files);
    typed_embed_destroy(ctx);
    (void)remove(path);
}

/* ---- wrong calls ---- */

static void wrong_hosts_are_refused(void **state)
{
    (void)state;
    static const struct {
        SnModelHost host;
        int status;
        const char *says;
    } wrong[] = {
        {{.struct_size = 4, .abi = SN_ABI}, SN_MODEL_EINVAL, NULL},
        {{.struct_size = 9999, .abi = SN_ABI}, SN_MODEL_EINVAL, NULL},
        {{.struct_size = sizeof(SnModelHost)}, SN_MODEL_EINVAL, "abi"},
        {{.struct_size = sizeof(SnModelHost), .abi = SN_ABI + 1}, SN_MODEL_EUNSUPPORTED, "abi"},
        {{.struct_size = sizeof(SnModelHost), .abi = SN_ABI, .flags = 0x80}, SN_MODEL_EINVAL, "flags"},
        {{.struct_size = sizeof(SnModelHost), .abi = SN_ABI, .cpu_level = "v9"}, SN_MODEL_EUNSUPPORTED, "v9"},
        {{.struct_size = sizeof(SnModelHost), .abi = SN_ABI, .cpu_level = "base"},
         SN_MODEL_EUNSUPPORTED,
         "base"},
        {{.struct_size = sizeof(SnModelHost), .abi = SN_ABI, .shape = "batch"}, SN_MODEL_EINVAL, "shape"},
    };
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        char message[200] = "";
        SnModelHost host = wrong[i].host;
        TypedEmbedCtx *ctx = NULL;
        host.message = message;
        host.message_size = sizeof message;
        assert_int_equal(typed_embed_create(&host, &ctx), wrong[i].status);
        assert_null(ctx);
        assert_true(!wrong[i].says || strstr(message, wrong[i].says));
    }
    SnTypedDesc desc = *typed_embed_program.typed;
    SnTyped *t = NULL;
    desc.abi++;
    assert_int_equal(sn_typed_create(NULL, &t, &desc), SN_EUNSUPPORTED);
}

static void wrong_calls_change_nothing(void **state)
{
    (void)state;
    float v[TYPED_WIDTH];
    SnModelView view;
    SnTypedSpan span;
    SnTypedWord word;
    size_t n = 0;
    TypedEmbedCtx *ctx = create(NULL);
    SnTyped *t = (SnTyped *)(void *)ctx;
    TypedStateCtx *tensors = NULL;
    assert_int_equal(typed_state_create(NULL, &tensors), SN_MODEL_OK);
    assert_int_equal(typed_embed_vector(ctx, v), SN_MODEL_EINVAL);
    assert_int_equal(typed_embed_run(ctx), SN_MODEL_EINVAL);
    assert_embeds(ctx, 0);
    assert_int_equal(typed_embed_begin(ctx, NULL, 3), SN_MODEL_EINVAL);
    assert_int_equal(sn_typed_begin_pair(t, "a", 1, "b", 1), SN_EINVAL);
    assert_int_equal(typed_embed_vector(ctx, NULL), SN_MODEL_EINVAL);
    assert_int_equal(sn_typed_scores(t, v), SN_EINVAL);
    assert_int_equal(sn_typed_spans(t, &span, 1, &n), SN_EINVAL);
    assert_int_equal(sn_typed_span(t, &span), SN_EINVAL);
    assert_int_equal(sn_typed_words(t, &word, 1, &n), SN_EINVAL);
    assert_int_equal(typed_embed_result(ctx, "nothing", &view), SN_MODEL_EINVAL);
    assert_int_equal(typed_embed_bind(ctx, "nothing", &(SnModelView){0}), SN_MODEL_EINVAL);
    assert_int_equal(typed_embed_entry(ctx, "nothing"), SN_MODEL_EINVAL);
    assert_int_equal(typed_embed_vector(ctx, v), SN_MODEL_OK);
    assert_vector(v, 0);
    assert_int_equal(typed_embed_begin(ctx, NULL, 0), SN_MODEL_OK);
    assert_int_equal(typed_embed_run(ctx), SN_MODEL_OK);
    assert_int_equal(typed_embed_vector(ctx, v), SN_MODEL_OK);
    assert_vector(v, 1);
    assert_int_equal(sn_typed_begin((SnTyped *)(void *)tensors, "a", 1), SN_EINVAL);
    assert_string_equal(sn_typed_error(NULL), "");
    typed_state_destroy(tensors);
    typed_embed_destroy(ctx);
}

/* What was bound by name runs beside texts that are begun. */
static void texts_can_be_bound_by_name(void **state)
{
    (void)state;
    char text[] = "hello worlddon't";
    const int64_t start[] = {0, 11}, len[] = {11, 5};
    float v[TYPED_WIDTH];
    SnModelView out;
    TypedEmbedCtx *ctx = create(NULL);
    const SnModelView in = {.data = text,
                            .dtype = SN_MODEL_U8,
                            .ndim = 1,
                            .dims = {2},
                            .start = start,
                            .len = len,
                            .child_count = 16};
    for (int round = 0; round < 2; round++) {
        assert_embeds(ctx, 0);
        assert_int_equal(typed_embed_bind(ctx, "text", &in), SN_MODEL_OK);
        assert_int_equal(typed_embed_run(ctx), SN_MODEL_OK);
        assert_int_equal(typed_embed_vector(ctx, v), SN_MODEL_EINVAL);
        assert_int_equal(typed_embed_result(ctx, "embeddings", &out), SN_MODEL_OK);
        assert_int_equal(out.dims[0], 2);
        assert_vector(out.data, 0);
        assert_vector((float *)out.data + TYPED_WIDTH, 2);
    }
    typed_embed_destroy(ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_those_of_jit),
        cmocka_unit_test(slices_give_the_bits_of_one_run),
        cmocka_unit_test(block_of_the_header_is_enough_anywhere),
        cmocka_unit_test(smaller_blocks_fail_cleanly),
        cmocka_unit_test(every_refused_allocation_is_a_status),
        cmocka_unit_test(runs_ask_for_no_memory),
        cmocka_unit_test(contexts_run_at_once),
        cmocka_unit_test(cancel_comes_from_any_thread),
        cmocka_unit_test(state_moves_to_another_context),
        cmocka_unit_test(block_keeps_its_shape),
        cmocka_unit_test(trace_is_a_file_and_the_hosts),
        cmocka_unit_test(wrong_hosts_are_refused),
        cmocka_unit_test(wrong_calls_change_nothing),
        cmocka_unit_test(texts_can_be_bound_by_name),
    };
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    const bool read = f && fread(&expected, sizeof expected, 1, f) == 1;
    if (f)
        (void)fclose(f);
    if (!read)
        (void)fprintf(stderr, "%s: no numbers of typed_emit in %s\n", argv[0],
                      argc > 1 ? argv[1] : "no file");
    return read ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
