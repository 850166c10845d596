/* typed_task_test.c -- scores, tags, answers and words of compiled models, against recorded pipelines.
 *
 * tests/golden/pipeline has what Transformers gives; rows whose arguments compiled models do not take are
 * left out. Runs in the source tree. */
#include "runtime/bytes.h"
#include "runtime/json.h"
#include "tests/unit/unit.h"
#include "typed_answer.h"
#include "typed_class.h"
#include "typed_fill.h"
#include "typed_tag.h"

#include <math.h>
#include <stdio.h>

typedef struct Golden {
    SnContext *ctx;
    SnArena arena;
    SnFile *file;
    const SnJson *rows;
} Golden;

static Golden golden_open(const char *name)
{
    char path[128];
    SnError err;
    SnJson *json = NULL;
    Golden g = {.rows = NULL};
    (void)snprintf(path, sizeof path, "tests/golden/pipeline/%s/data.json", name);
    assert_ok(sn_context_create(NULL, &g.ctx, &err));
    sn_arena_init(&g.arena, sn_allocator(g.ctx));
    assert_ok(sn_file_open(g.ctx, path, &g.file, &err));
    assert_ok(sn_json_parse(&g.arena, path, sn_file_bytes(g.file), &json, &err));
    g.rows = sn_json_get(json, "rows");
    assert_non_null(g.rows);
    return g;
}

static void golden_close(Golden *g)
{
    sn_arena_clear(&g->arena);
    sn_file_release(g->file);
    sn_context_destroy(g->ctx);
}

/* Row i where it says what it should give, and its only argument is that one (NULL: none). */
static const SnJson *expected_of(const Golden *g, uint32_t i, const char *key, const char *value,
                                 const SnJson **input)
{
    const SnJson *row = sn_json_at(g->rows, i), *args = sn_json_get(row, "kwargs");
    const SnJson *expected = sn_json_get(row, "expected");
    *input = sn_json_get(row, "input");
    if (!expected || args->n != (key ? 1 : 0) || (key && !sn_json_is(sn_json_get(args, key), value)))
        return NULL;
    return expected;
}

static SnBytes string_of(const SnJson *v)
{
    SnBytes s = {0};
    assert_true(sn_json_string(v, &s));
    return s;
}

static void assert_score(float got, const SnJson *want)
{
    double score = 0;
    assert_true(sn_json_number(sn_json_get(want, "score"), &score));
    assert_true(fabs((double)got - score) <= 1e-4 + 1e-3 * score);
}

/* The byte at which a character of UTF-8 begins. */
static size_t byte_of(SnBytes text, const SnJson *v)
{
    int64_t character = 0;
    size_t at = 0;
    assert_true(sn_json_int(v, &character));
    for (; character > 0 && at < text.n; character--)
        for (at++; at < text.n && (text.at[at] & 0xC0) == 0x80;)
            at++;
    return at;
}

static void assert_span(const SnModelSpan *got, SnBytes text, const SnJson *want)
{
    assert_int_equal(got->begin, byte_of(text, sn_json_get(want, "start")));
    assert_int_equal(got->end, byte_of(text, sn_json_get(want, "end")));
    assert_score(got->score, want);
}

/* ---- tasks ---- */

static void scores_are_those_of_the_pipeline(void **state)
{
    (void)state;
    static const char *const names[] = {TYPED_CLASS_LABEL_NAMES};
    Golden g = golden_open("text-classification-bert");
    TypedClassCtx *ctx = NULL;
    uint32_t count = 0;
    assert_int_equal(typed_class_create(NULL, &ctx), SN_MODEL_OK);
    assert_int_equal(SN_COUNT(names), TYPED_CLASS_LABELS);
    for (uint32_t i = 0; i < TYPED_CLASS_LABELS; i++)
        assert_string_equal(typed_class_label(i), names[i]);
    assert_null(typed_class_label(TYPED_CLASS_LABELS));
    for (uint32_t i = 0; i < g.rows->n; i++) {
        float score[TYPED_CLASS_LABELS];
        const SnJson *input, *want = expected_of(&g, i, NULL, NULL, &input);
        size_t best = 0;
        if (!want || input->kind != SN_JSON_STRING)
            continue;
        const SnBytes text = string_of(input);
        assert_int_equal(typed_class_classify(ctx, (const char *)text.at, text.n, score), SN_MODEL_OK);
        for (size_t k = 0; k < TYPED_CLASS_LABELS; k++)
            best = score[k] > score[best] ? k : best;
        want = want->kind == SN_JSON_ARRAY ? sn_json_at(want, 0) : want;
        assert_true(sn_json_is(sn_json_get(want, "label"), names[best]));
        assert_score(score[best], want);
        count++;
    }
    assert_int_equal(count, 2);
    typed_class_destroy(ctx);
    golden_close(&g);
}

static void tags_are_those_of_the_pipeline(void **state)
{
    (void)state;
    Golden g = golden_open("token-classification-bert");
    TypedTagCtx *ctx = NULL;
    uint32_t count = 0;
    assert_int_equal(typed_tag_create(NULL, &ctx), SN_MODEL_OK);
    for (uint32_t i = 0; i < g.rows->n; i++) {
        SnModelSpan span[64];
        size_t n = 0;
        const SnJson *input, *want = expected_of(&g, i, "aggregation_strategy", "simple", &input);
        if (!want || input->kind != SN_JSON_STRING)
            continue;
        const SnBytes text = string_of(input);
        assert_int_equal(typed_tag_tag(ctx, (const char *)text.at, text.n, span, SN_COUNT(span), &n),
                         SN_MODEL_OK);
        assert_int_equal(n, want->n);
        for (uint32_t k = 0; k < n; k++) {
            assert_true(sn_json_is(sn_json_get(sn_json_at(want, k), "entity_group"), span[k].name));
            assert_span(&span[k], text, sn_json_at(want, k));
        }
        /* Fewer places than spans: the first ones, and the count of all. */
        SnModelSpan first[2];
        size_t all = 0;
        assert_int_equal(typed_tag_spans(ctx, first, 1, &all), SN_MODEL_OK);
        assert_int_equal(all, n);
        assert_memory_equal(first, span, sizeof *span);
        assert_int_equal(typed_tag_spans(ctx, NULL, 0, NULL), SN_MODEL_OK);
        assert_int_equal(typed_tag_spans(ctx, NULL, 1, &all), SN_MODEL_EINVAL);
        count++;
    }
    assert_int_equal(count, 1);
    typed_tag_destroy(ctx);
    golden_close(&g);
}

static void answers_are_those_of_the_pipeline(void **state)
{
    (void)state;
    Golden g = golden_open("question-answering-bert");
    TypedAnswerCtx *ctx = NULL;
    uint32_t count = 0;
    assert_int_equal(typed_answer_create(NULL, &ctx), SN_MODEL_OK);
    for (uint32_t i = 0; i < g.rows->n; i++) {
        SnModelSpan span;
        const SnJson *input, *want = expected_of(&g, i, NULL, NULL, &input);
        if (!want || input->kind != SN_JSON_OBJECT)
            continue;
        const SnBytes q = string_of(sn_json_get(input, "question"));
        const SnBytes text = string_of(sn_json_get(input, "context"));
        const int st =
            typed_answer_answer(ctx, (const char *)q.at, q.n, (const char *)text.at, text.n, &span);
        assert_int_equal(st, SN_MODEL_OK);
        assert_span(&span, text, want);
        assert_null(span.name);
        count++;
    }
    assert_int_equal(count, 3);
    SnModelSpan span;
    assert_int_equal(typed_answer_answer(ctx, "", 0, "fox", 3, &span), SN_MODEL_EINVAL);
    assert_int_equal(typed_answer_answer(ctx, "who", 3, "", 0, &span), SN_MODEL_EINVAL);
    assert_int_equal(typed_answer_answer(ctx, "who", 3, "fox", 3, NULL), SN_MODEL_EINVAL);
    typed_answer_destroy(ctx);
    golden_close(&g);
}

static void words_are_those_of_the_pipeline(void **state)
{
    (void)state;
    Golden g = golden_open("fill-mask-electra");
    TypedFillCtx *ctx = NULL;
    uint32_t count = 0;
    assert_int_equal(typed_fill_create(NULL, &ctx), SN_MODEL_OK);
    for (uint32_t i = 0; i < g.rows->n; i++) {
        SnModelWord word[TYPED_FILL_WORDS];
        size_t n = 0;
        const SnJson *input, *want = expected_of(&g, i, NULL, NULL, &input);
        if (!want || input->kind != SN_JSON_STRING)
            continue;
        const SnBytes text = string_of(input);
        assert_int_equal(typed_fill_fill(ctx, (const char *)text.at, text.n, word, TYPED_FILL_WORDS, &n),
                         SN_MODEL_OK);
        assert_int_equal(n, want->n);
        for (uint32_t k = 0; k < n; k++) {
            const SnBytes token = string_of(sn_json_get(sn_json_at(want, k), "token_str"));
            assert_true(sn_bytes_equal(sn_bytes(word[k].text, word[k].size), token));
            assert_score(word[k].score, sn_json_at(want, k));
        }
        count++;
    }
    assert_int_equal(count, 1);
    SnModelWord word;
    assert_int_equal(typed_fill_fill(ctx, "no mask", 7, &word, 1, NULL), SN_MODEL_EINVAL);
    assert_non_null(strstr(typed_fill_error(ctx), "mask"));
    assert_int_equal(typed_fill_fill(ctx, "the [MASK]", 10, &word, 1, NULL), SN_MODEL_OK);
    typed_fill_destroy(ctx);
    golden_close(&g);
}

/* ---- any bytes ---- */

static uint32_t next_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525u + 1013904223u) >> 8;
}

/* Words, accents, and bytes that are no UTF-8. */
static size_t random_text(uint32_t *seed, char *out, size_t most)
{
    static const char *const part[] = {"fox ",         "\xC3\xA9", "\xE6\x9D\xB1", "\xF0\x9F\x98\x80",
                                       "paris",        ". ",       "\xE2\x82",     "\xFF",
                                       "\xED\xA0\x80", "\xF4\x90", "[SEP]",        "\n"};
    size_t n = 0;
    for (uint32_t left = next_random(seed) % 60; left > 0; left--) {
        const char *s = part[next_random(seed) % SN_COUNT(part)];
        if (n + strlen(s) > most)
            break;
        memcpy(out + n, s, strlen(s));
        n += strlen(s);
    }
    return n;
}

static void spans_lie_in_any_text(void **state)
{
    (void)state;
    TypedTagCtx *tag = NULL;
    TypedAnswerCtx *answer = NULL;
    uint32_t seed = 7;
    assert_int_equal(typed_tag_create(NULL, &tag), SN_MODEL_OK);
    assert_int_equal(typed_answer_create(NULL, &answer), SN_MODEL_OK);
    for (int round = 0; round < 200; round++) {
        char text[300];
        SnModelSpan span[300], found;
        size_t n = random_text(&seed, text, sizeof text), count = 0, at = 0;
        assert_int_equal(typed_tag_tag(tag, text, n, span, SN_COUNT(span), &count), SN_MODEL_OK);
        assert_in_range(count, 0, SN_COUNT(span));
        for (size_t i = 0; i < count; i++) {
            assert_true(span[i].begin >= at && span[i].begin <= span[i].end && span[i].end <= n);
            assert_true(span[i].score >= 0 && span[i].score <= 1.0001f && span[i].label < TYPED_TAG_LABELS);
            at = span[i].begin;
        }
        if (n == 0)
            continue;
        assert_int_equal(typed_answer_answer(answer, "where is paris ?", 16, text, n, &found), SN_MODEL_OK);
        assert_true(found.begin <= found.end && found.end <= n);
    }
    typed_tag_destroy(tag);
    typed_answer_destroy(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_pipeline),
        cmocka_unit_test(tags_are_those_of_the_pipeline),
        cmocka_unit_test(answers_are_those_of_the_pipeline),
        cmocka_unit_test(words_are_those_of_the_pipeline),
        cmocka_unit_test(spans_lie_in_any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
