/* logits_test.c -- logits processors on small tables whose results can be said by hand. */
#include "frontends/hub.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "runtime/json.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <math.h>

#define VOCAB 4

/* Scores of zeros behind the tokens 3, 1, through a chain, to `out`. */
static void process(const char *chain, float *out)
{
    SnError err;
    SnContext *ctx;
    SnCompiler *cc;
    SnArena arena;
    SnJson *json = NULL;
    SnResults *r = NULL;
    int64_t ids[] = {3, 1};
    float scores[VOCAB] = {0};
    const SnContextDesc desc = {.struct_size = sizeof desc};
    const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &compiler, &cc, &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    assert_ok(sn_json_parse(&arena, "chain", sn_bytes_str(chain), &json, &err));
    const SnView in = sn_view(SN_I64, ids, 2, (const int64_t[]){1, 2});
    const SnView of = sn_view(SN_F32, scores, 2, (const int64_t[]){1, VOCAB});
    assert_ok(sn_logits_process(cc, "interp", json, &in, &of, &r, &err));
    memcpy(out, sn_results_find(r, "scores")->view.data, VOCAB * sizeof *out);
    sn_results_destroy(r);
    sn_arena_clear(&arena);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
}

/* Transformers keeps them in a dict: the place of the first, the bias of the last. */
static void the_last_bias_of_a_sequence_counts(void **state)
{
    (void)state;
    float s[VOCAB];
    process("[{\"class\": \"SequenceBiasLogitsProcessor\", \"kwargs\": {\"sequence_bias\":"
            " [[[2], 1.5], [[1, 0], 4], [[2], 0.25], [[3, 0], 8], [[0], -1]]}}]",
            s);
    assert_true(s[0] == (float)3); /* -1, and 4 behind the 1 */
    assert_true(s[1] == (float)0);
    assert_true(s[2] == (float)0.25);
    assert_true(s[3] == (float)0);
}

static void a_bad_word_named_twice_is_one(void **state)
{
    (void)state;
    float s[VOCAB];
    process("[{\"class\": \"NoBadWordsLogitsProcessor\", \"kwargs\": {\"bad_words_ids\":"
            " [[2], [3, 1, 0], [2], [0, 1]], \"eos_token_id\": 3}}]",
            s);
    assert_true(s[0] == -INFINITY);
    assert_true(s[1] == (float)0);
    assert_true(s[2] == -INFINITY);
    assert_true(s[3] == (float)0);
}

/* The prompt counts: two tokens are behind. */
static void no_end_comes_below_the_least_length(void **state)
{
    (void)state;
    float s[VOCAB];
    process("[{\"class\": \"MinLengthLogitsProcessor\", \"kwargs\": {\"min_length\": 3,"
            " \"eos_token_id\": [0, 2]}}]",
            s);
    assert_true(s[0] == -INFINITY && s[2] == -INFINITY);
    assert_true(s[1] == (float)0 && s[3] == (float)0);
    process("[{\"class\": \"MinLengthLogitsProcessor\", \"kwargs\": {\"min_length\": 2,"
            " \"eos_token_id\": [0, 2]}}]",
            s);
    assert_true(s[0] == (float)0 && s[2] == (float)0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_bias_of_a_sequence_counts),
        cmocka_unit_test(a_bad_word_named_twice_is_one),
        cmocka_unit_test(no_end_comes_below_the_least_length),
    };
    return cmocka_run_group_tests_name("logits", tests, NULL, NULL);
}
