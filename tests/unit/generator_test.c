/* generator_test.c -- requests side by side: what each gets is what it gets alone, drawn or not; functions of
 * the host that constrain and end them; rows that are guided; draws of beams.
 *
 * The model is the Llama of a golden case, 24 words, with a head that is made at random. */
#include "frontends/tasks/generate.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define FOLDER "tests/golden/forward/llama-seqcls/model"
#define WORDS  24
#define MOST   64

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnArena arena;
} Room;

static Room room;

static int open_room(void **state)
{
    (void)state;
    SnError err;
    static const SnContextDesc desc = {.struct_size = sizeof desc};
    static const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    static const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = "interp"};
    if (sn_context_create(&desc, &room.ctx, &err) != SN_OK ||
        sn_compiler_create(room.ctx, &compiler, &room.cc, &err) != SN_OK ||
        sn_model_open(room.cc, FOLDER, &o, &room.model, &err) != SN_OK)
        return 1;
    sn_arena_init(&room.arena, sn_allocator(room.ctx));
    return 0;
}

static int close_room(void **state)
{
    (void)state;
    sn_arena_clear(&room.arena);
    sn_model_close(room.model);
    sn_compiler_destroy(room.cc);
    sn_context_destroy(room.ctx);
    return 0;
}

/* ---- requests ---- */

static const SnJson *options(const char *text)
{
    SnJson *json = NULL;
    SnError err;
    assert_ok(sn_json_parse(&room.arena, "options", sn_bytes_str(text), &json, &err));
    return json;
}

typedef struct Answer {
    int32_t ids[MOST];
    uint32_t n;
} Answer;

static SnGenerator *open_generator(const char *config, SnGeneratorDesc d)
{
    SnGenerator *g = NULL;
    SnError err;
    d.struct_size = sizeof d;
    d.context = d.context ? d.context : 400;
    d.config = options(config);
    d.no_text = true;
    assert_ok(sn_generator_create(room.model, &d, &g, &err));
    return g;
}

static uint32_t prompt_of(uint32_t seed, int32_t *out)
{
    const uint32_t n = 1 + seed * 37 % 90;
    for (uint32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (int32_t)((seed >> 24) % WORDS);
    }
    return n;
}

static uint32_t ask(SnGenerator *g, uint32_t seed, const char *config)
{
    int32_t ids[90];
    uint32_t request = 0;
    SnError err;
    const uint32_t n = prompt_of(seed, ids);
    assert_ok(sn_generator_add(g, ids, n, config ? options(config) : NULL, &request, &err));
    return request;
}

static void run(SnGenerator *g, Answer *to)
{
    while (sn_generator_is_busy(g)) {
        SnGenerated t;
        SnError err;
        bool done = false, has = true;
        assert_ok(sn_generator_step(g, 0, &done, &err));
        while (has) {
            assert_ok(sn_generator_next(g, &t, &has, &err));
            if (has)
                to[t.request].ids[to[t.request].n++] = t.id;
        }
    }
}

static void assert_same(const Answer *a, const Answer *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
}

/* ---- side by side ---- */

static void check_side_by_side(const char *config, SnGeneratorDesc d)
{
    enum { REQUESTS = 32 };
    static Answer all[REQUESTS], alone[REQUESTS];
    char own[REQUESTS][64];
    memset(all, 0, sizeof all);
    memset(alone, 0, sizeof alone);
    SnGenerator *g = open_generator(config, d);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        (void)snprintf(own[i], sizeof own[i], "{\"max_new_tokens\": %u, \"seed\": %u}", 3 + i * 7 % 30, i);
        assert_int_equal(ask(g, i, own[i]), i);
    }
    run(g, all);
    sn_generator_destroy(g);
    g = open_generator(config, (SnGeneratorDesc){.chunk = 7});
    for (uint32_t i = 0; i < REQUESTS; i++) {
        (void)ask(g, i, own[i]);
        run(g, alone);
        assert_same(&all[i], &alone[i]);
    }
    sn_generator_destroy(g);
}

static void requests_of_mixed_length_equal_one_at_a_time(void **state)
{
    (void)state;
    check_side_by_side("{\"repetition_penalty\": 1.2}", (SnGeneratorDesc){.rows = 8});
    check_side_by_side("{\"do_sample\": true, \"top_p\": 0.9}", (SnGeneratorDesc){.rows = 5, .chunk = 16});
}

/* What is drawn is what is drawn without guesses, by a model that is nearly the same or from the prompt. */
static void guesses_do_not_change_draws(void **state)
{
    (void)state;
    enum { REQUESTS = 8 };
    static Answer all[3][REQUESTS];
    static const char *const config[] = {
        "{\"do_sample\": true, \"temperature\": 0.8, \"top_p\": 0.9, \"repetition_penalty\": 1.1}",
        "{\"do_sample\": true, \"temperature\": 0.8, \"top_p\": 0.9, \"repetition_penalty\": 1.1, "
        "\"num_assistant_tokens\": 4}",
        "{\"do_sample\": true, \"temperature\": 0.8, \"top_p\": 0.9, \"repetition_penalty\": 1.1, "
        "\"prompt_lookup_num_tokens\": 3}"};
    const SnModelOptions o = {
        .struct_size = sizeof o, .task = "text-generation", .device = "interp", .quant = "q8"};
    SnModel *near = NULL;
    SnError err;
    assert_ok(sn_model_open(room.cc, FOLDER, &o, &near, &err));
    memset(all, 0, sizeof all);
    for (uint32_t k = 0; k < SN_COUNT(config); k++) {
        SnGeneratorStats stats;
        SnGenerator *g =
            open_generator(config[k], (SnGeneratorDesc){.assistant = k == 1 ? near : NULL, .rows = 3});
        for (uint32_t i = 0; i < REQUESTS; i++) {
            char own[96];
            (void)snprintf(own, sizeof own, "{\"max_new_tokens\": 40, \"seed\": %u, \"temperature\": %g}", i,
                           0.45 + i * 0.06);
            (void)ask(g, i, own);
        }
        run(g, all[k]);
        sn_generator_stats(g, &stats);
        assert_true(k == 0 || stats.guessed_tokens > 0);
        if (k == 1 && 10 * stats.accepted_tokens < 7 * stats.guessed_tokens)
            fail_msg("%llu of %llu guesses", (unsigned long long)stats.accepted_tokens,
                     (unsigned long long)stats.guessed_tokens);
        for (uint32_t i = 0; i < REQUESTS; i++)
            assert_same(&all[k][i], &all[0][i]);
        sn_generator_destroy(g);
    }
    sn_model_close(near);
}

static void guided_requests_equal_one_at_a_time(void **state)
{
    (void)state;
    check_side_by_side("{\"guidance_scale\": 2.5, \"negative_prompt_ids\": [3, 4, 5]}",
                       (SnGeneratorDesc){.rows = 6});
    check_side_by_side("{\"guidance_scale\": 0.5, \"do_sample\": true}",
                       (SnGeneratorDesc){.rows = 3, .chunk = 11});
}

static void marked_requests_equal_one_at_a_time(void **state)
{
    (void)state;
    check_side_by_side("{\"watermarking_config\": {\"seeding_scheme\": \"selfhash\", \"context_width\": 2}}",
                       (SnGeneratorDesc){.rows = 6});
    check_side_by_side(
        "{\"watermarking_config\": {\"ngram_len\": 3, \"keys\": [5, 6, 7]}, \"do_sample\": true}",
        (SnGeneratorDesc){.rows = 6});
}

/* A scale of 1 asks for nothing; another one is felt. */
static void guidance_changes_what_comes(void **state)
{
    (void)state;
    static Answer plain[1], guided[1], far[1];
    memset(plain, 0, sizeof plain);
    memset(guided, 0, sizeof guided);
    memset(far, 0, sizeof far);
    SnGenerator *g = open_generator("{\"max_new_tokens\": 30}", (SnGeneratorDesc){.rows = 1});
    (void)ask(g, 5, NULL);
    run(g, plain);
    sn_generator_destroy(g);
    g = open_generator("{\"max_new_tokens\": 30, \"guidance_scale\": 1.0}", (SnGeneratorDesc){.rows = 1});
    (void)ask(g, 5, NULL);
    run(g, guided);
    sn_generator_destroy(g);
    g = open_generator("{\"max_new_tokens\": 30, \"guidance_scale\": -8.0}", (SnGeneratorDesc){.rows = 1});
    (void)ask(g, 5, NULL);
    run(g, far);
    sn_generator_destroy(g);
    assert_same(plain, guided);
    assert_memory_not_equal(plain->ids, far->ids, sizeof plain->ids);
}

/* What guides a beam has no numbers of its own: its scores are not looked at, here 2.5 / 0. */
static void beams_are_guided(void **state)
{
    (void)state;
    int64_t prompt[] = {4, 9, 17}, dims[] = {1, 3};
    const SnView ids = sn_view(SN_I64, prompt, 2, dims);
    SnResults *r = NULL;
    SnError err;
    assert_ok(
        sn_model_generate(room.model, &ids, NULL,
                          options("{\"num_beams\": 2, \"guidance_scale\": 0.5, \"repetition_penalty\": 0.8, "
                                  "\"sequence_bias\": [[[7], 30.0]], \"renormalize_logits\": true, "
                                  "\"max_new_tokens\": 8}"),
                          &r, &err));
    const SnView *v = &sn_results_find(r, "sequences")->view;
    assert_int_equal(((const int64_t *)v->data)[v->dims[1] - 1], 7);
    sn_results_destroy(r);
}

/* ---- functions of the host ---- */

typedef struct Host {
    uint32_t nallow, nstop;
    bool is_strict;
} Host;

/* What follows id is id + 1 or id + 2; strict: nothing follows 20. */
static void allow_next(void *self, uint32_t request, const int32_t *ids, size_t n, bool *allowed,
                       size_t vocabulary)
{
    Host *h = self;
    (void)request;
    assert_int_equal(vocabulary, WORDS);
    h->nallow++;
    if (h->is_strict && ids[n - 1] >= 5)
        return;
    allowed[(ids[n - 1] + 1) % WORDS] = true;
    allowed[(ids[n - 1] + 2) % WORDS] = true;
}

static bool stop_at_five(void *self, uint32_t request, const int32_t *ids, size_t n)
{
    Host *h = self;
    (void)ids;
    h->nstop++;
    return request == 1 && n >= 5 && h->nstop > 5;
}

static void what_may_follow_is_the_hosts(void **state)
{
    (void)state;
    static Answer all[2];
    Host host = {0};
    memset(all, 0, sizeof all);
    SnGenerator *g = open_generator("{\"max_new_tokens\": 20, \"eos_token_id\": null}",
                                    (SnGeneratorDesc){.rows = 2, .allow = allow_next, .self = &host});
    int32_t ids[90];
    for (uint32_t i = 0; i < 2; i++)
        (void)ask(g, i + 1, NULL);
    run(g, all);
    sn_generator_destroy(g);
    for (uint32_t i = 0; i < 2; i++) {
        int32_t last = ids[prompt_of(i + 1, ids) - 1];
        assert_int_equal(all[i].n, 20);
        for (uint32_t k = 0; k < all[i].n; last = all[i].ids[k++]) {
            const int32_t step = (all[i].ids[k] - last + WORDS) % WORDS;
            assert_true(step == 1 || step == 2);
        }
    }
    assert_int_equal(host.nallow, 40);
}

static void nothing_that_may_follow_is_an_error(void **state)
{
    (void)state;
    Host host = {.is_strict = true};
    SnGenerator *g = open_generator("{\"max_new_tokens\": 20, \"eos_token_id\": null}",
                                    (SnGeneratorDesc){.rows = 1, .allow = allow_next, .self = &host});
    SnError err = {0};
    SnStatus st = SN_OK;
    (void)ask(g, 2, NULL);
    for (int i = 0; st == SN_OK && i < 40; i++) {
        bool done = false;
        st = sn_generator_step(g, 0, &done, &err);
    }
    assert_int_equal(st, SN_EINVAL);
    assert_non_null(strstr(err.message, "no token is allowed"));
    sn_generator_destroy(g);
}

static void the_host_ends_a_request(void **state)
{
    (void)state;
    static Answer all[2];
    Host host = {0};
    memset(all, 0, sizeof all);
    SnGenerator *g = open_generator("{\"max_new_tokens\": 30, \"eos_token_id\": null}",
                                    (SnGeneratorDesc){.rows = 2, .stop = stop_at_five, .self = &host});
    for (uint32_t i = 0; i < 2; i++)
        (void)ask(g, i + 1, NULL);
    run(g, all);
    sn_generator_destroy(g);
    assert_int_equal(all[0].n, 30);
    assert_true(all[1].n < 10);
}

static void requests_end_in_time(void **state)
{
    (void)state;
    static Answer all[1];
    memset(all, 0, sizeof all);
    SnGenerator *g = open_generator("{\"max_new_tokens\": 60, \"eos_token_id\": null, \"max_time\": 1e-6}",
                                    (SnGeneratorDesc){.rows = 1});
    (void)ask(g, 1, NULL);
    run(g, all);
    sn_generator_destroy(g);
    assert_int_equal(all[0].n, 1);
}

/* ---- what cannot be done ---- */

static void longer_prompts_than_the_context_are_refused(void **state)
{
    (void)state;
    static int32_t ids[500];
    SnError err = {0};
    SnGenerator *g = open_generator("{}", (SnGeneratorDesc){.context = 64});
    assert_int_equal(sn_generator_add(g, ids, 64, NULL, NULL, &err), SN_ESHAPE);
    assert_int_equal(sn_generator_add(g, ids, 500, NULL, NULL, &err), SN_ESHAPE);
    assert_non_null(strstr(err.message, "500"));
    ids[3] = -1;
    assert_int_equal(sn_generator_add(g, ids, 8, NULL, NULL, &err), SN_EINVAL);
    assert_false(sn_generator_is_busy(g));
    sn_generator_destroy(g);
}

/* All weights are NaN. */
static SnModel *open_broken(const Scratch *folder)
{
    static uint8_t bytes[1 << 16], config[1 << 12];
    static const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = "interp"};
    SnModel *m = NULL;
    SnError err;
    FILE *f = fopen(FOLDER "/model.safetensors", "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f), header = 8 + bytes[0] + 256u * bytes[1];
    assert_int_equal(fclose(f), 0);
    assert_true(n > header && n < sizeof bytes);
    memset(bytes + header, 0xFF, n - header);
    scratch_write(folder, "model.safetensors", bytes, n);
    f = fopen(FOLDER "/config.json", "rb");
    assert_non_null(f);
    scratch_write(folder, "config.json", config, fread(config, 1, sizeof config, f));
    assert_int_equal(fclose(f), 0);
    assert_ok(sn_model_open(room.cc, folder->dir, &o, &m, &err));
    return m;
}

static void weights_that_are_no_numbers_are_an_error(void **state)
{
    (void)state;
    static const char *const config[] = {"{}", "{\"do_sample\": true}", "{\"num_beams\": 2}"};
    Scratch folder;
    scratch_open(&folder);
    SnModel *m = open_broken(&folder);
    int64_t prompt[] = {4, 9, 17}, dims[] = {1, 3};
    const SnView ids = sn_view(SN_I64, prompt, 2, dims);
    for (size_t i = 0; i < SN_COUNT(config); i++) {
        SnResults *r = NULL;
        SnError err = {0};
        assert_int_equal(sn_model_generate(m, &ids, NULL, options(config[i]), &r, &err), SN_EINVAL);
        assert_non_null(strstr(err.message, "NaN"));
    }
    sn_model_close(m);
    scratch_close(&folder);
}

/* ---- draws of beams ---- */

static void draw_beams(int64_t seed, int64_t out[3][16], int64_t *n)
{
    int64_t prompt[] = {4, 9, 17}, dims[] = {1, 3};
    const SnView ids = sn_view(SN_I64, prompt, 2, dims);
    char config[160];
    SnResults *r = NULL;
    SnError err;
    (void)snprintf(
        config, sizeof config,
        "{\"num_beams\": 3, \"num_return_sequences\": 3, \"do_sample\": true, \"temperature\": 3.0, "
        "\"max_new_tokens\": 8, \"seed\": %lld}",
        (long long)seed);
    assert_ok(sn_model_generate(room.model, &ids, NULL, options(config), &r, &err));
    const SnView *v = &sn_results_find(r, "sequences")->view;
    const SnView *score = &sn_results_find(r, "sequences_scores")->view;
    assert_int_equal(v->dims[0], 3);
    assert_true(v->dims[1] <= 16);
    *n = v->dims[1];
    for (int64_t i = 0; i < 3; i++)
        memcpy(out[i], (const int64_t *)v->data + i * v->dims[1], (size_t)v->dims[1] * sizeof(int64_t));
    for (int64_t i = 0; i < 2; i++)
        assert_true(((const float *)score->data)[i] >= ((const float *)score->data)[i + 1]);
    sn_results_destroy(r);
}

static void beams_are_drawn_by_their_seed(void **state)
{
    (void)state;
    int64_t a[3][16] = {{0}}, b[3][16] = {{0}}, n, m;
    int nother = 0;
    for (int64_t seed = 1; seed <= 4; seed++) {
        draw_beams(seed, a, &n);
        draw_beams(seed, b, &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, sizeof a);
        draw_beams(seed + 100, b, &m);
        nother += memcmp(a, b, sizeof a) != 0;
    }
    assert_true(nother >= 3);
}

/* ---- levels ---- */

#ifdef SN_TEST_LLVM
#define NATIVE "cpu"
#else
#define NATIVE "interp"
#endif

static void draw_on(const char *device, const char *level, Answer *to, bool *is_there)
{
    static const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnContextDesc desc = {.struct_size = sizeof desc, .cpu_level = level};
    const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = device};
    Room own = {0}, kept = room;
    SnError err;
    *is_there = sn_context_create(&desc, &own.ctx, &err) == SN_OK;
    if (!*is_there)
        return;
    assert_ok(sn_compiler_create(own.ctx, &compiler, &own.cc, &err));
    assert_ok(sn_model_open(own.cc, FOLDER, &o, &own.model, &err));
    sn_arena_init(&own.arena, sn_allocator(own.ctx));
    room = own;
    SnGenerator *g =
        open_generator("{\"do_sample\": true, \"top_p\": 0.95, \"temperature\": 2.0, \"eos_token_id\": "
                       "null, \"max_new_tokens\": 60}",
                       (SnGeneratorDesc){.rows = 4});
    for (uint32_t i = 0; i < 4; i++)
        (void)ask(g, i, NULL);
    run(g, to);
    sn_generator_destroy(g);
    own = room;
    room = kept;
    sn_arena_clear(&own.arena);
    sn_model_close(own.model);
    sn_compiler_destroy(own.cc);
    sn_context_destroy(own.ctx);
}

static void draws_are_equal_on_every_level(void **state)
{
    (void)state;
    static const char *const level[] = {"v3", "v4", "v4d"};
    static Answer expected[4], found[4];
    bool is_there = false;
    memset(expected, 0, sizeof expected);
    draw_on("interp", NULL, expected, &is_there);
    assert_true(is_there);
    for (size_t i = 0; i < SN_COUNT(level); i++) {
        memset(found, 0, sizeof found);
        draw_on(NATIVE, level[i], found, &is_there);
        for (uint32_t k = 0; k < 4 && is_there; k++)
            assert_same(&expected[k], &found[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_mixed_length_equal_one_at_a_time),
        cmocka_unit_test(guesses_do_not_change_draws),
        cmocka_unit_test(guided_requests_equal_one_at_a_time),
        cmocka_unit_test(marked_requests_equal_one_at_a_time),
        cmocka_unit_test(guidance_changes_what_comes),
        cmocka_unit_test(beams_are_guided),
        cmocka_unit_test(what_may_follow_is_the_hosts),
        cmocka_unit_test(nothing_that_may_follow_is_an_error),
        cmocka_unit_test(the_host_ends_a_request),
        cmocka_unit_test(requests_end_in_time),
        cmocka_unit_test(longer_prompts_than_the_context_are_refused),
        cmocka_unit_test(weights_that_are_no_numbers_are_an_error),
        cmocka_unit_test(beams_are_drawn_by_their_seed),
        cmocka_unit_test(draws_are_equal_on_every_level),
    };
    return cmocka_run_group_tests_name("generator", tests, open_room, close_room);
}
