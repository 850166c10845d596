/* program_test.c -- tasks as programs (tasks/program.h) against the pipelines that do the same in parts.
 *
 * The models are those of golden/pipeline. */
#include "frontends/tasks/program.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/unit.h"

#include <math.h>

#define FOLDER(name) "tests/golden/pipeline/" name "/model"
#define LONG                                                                                                 \
    "the capital is paris and the big brown fox jumps over the lazy dog by the sea in france where paris "   \
    "is "                                                                                                    \
    "big, said the fox to the dog. "

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *m;
    SnArena arena; /* of one test */
    SnTaskProgram task;
    SnResults *r;
} Room;

static int open_room(void **state)
{
    static Room room;
    const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    *state = &room;
    return sn_context_create(NULL, &room.ctx, NULL) != SN_OK ||
           sn_compiler_create(room.ctx, &compiler, &room.cc, NULL) != SN_OK;
}

static int close_room(void **state)
{
    Room *x = *state;
    sn_compiler_destroy(x->cc);
    sn_context_destroy(x->ctx);
    return 0;
}

static void open_model(Room *x, const char *folder, const char *task)
{
    SnError err;
    const SnModelOptions o = {.struct_size = sizeof o, .task = task, .device = "interp"};
    sn_arena_init(&x->arena, sn_allocator(x->ctx));
    assert_ok(sn_model_open(x->cc, folder, &o, &x->m, &err));
}

static void close_model(Room *x)
{
    sn_results_destroy(x->r);
    x->r = NULL;
    sn_model_close(x->m);
    sn_arena_clear(&x->arena);
}

/* Runs the program of a task (NULL: the folder's) on one text or two. */
static void run(Room *x, const char *task, const char *text, const char *pair)
{
    SnError err;
    SnModelProgram *p = NULL;
    SnNamedTensor in[2] = {{.name = "text"}, {.name = "pair"}};
    const SnBytes bytes[2] = {sn_bytes_str(text), sn_bytes_str(pair ? pair : "")};
    sn_results_destroy(x->r);
    x->r = NULL;
    if (!sn_model_find_program(x->m, "task"))
        assert_ok(sn_task_program(x->m, task, &x->arena, &x->task, &err));
    assert_ok(sn_model_program(x->m, "task", x->task.fill, &x->task, &p, &err));
    for (int i = 0; i < 2; i++)
        assert_ok(sn_text_view(&x->arena, &bytes[i], 1, &in[i].view, &err));
    assert_ok(sn_model_run(x->m, p, in, pair ? 2 : 1, &x->r, &err));
}

/* What the pipeline makes of the same. */
static const SnJson *pipeline(Room *x, const char *task, const char *input, const char *kwargs)
{
    SnError err;
    SnJson *in = NULL, *args = NULL, *out = NULL;
    SnText text = {.memory = sn_allocator(x->ctx)};
    assert_ok(sn_json_parse(&x->arena, "input", sn_bytes_str(input), &in, &err));
    assert_ok(sn_json_parse(&x->arena, "kwargs", sn_bytes_str(kwargs), &args, &err));
    assert_ok(sn_model_pipeline(x->m, task, in, args, &text, &err));
    const char *copy = sn_arena_strndup(&x->arena, text.at, text.n);
    sn_text_clear(&text);
    assert_non_null(copy);
    assert_ok(sn_json_parse(&x->arena, "result", sn_bytes_str(copy), &out, &err));
    return out;
}

static const SnView *result(const Room *x, const char *name)
{
    const SnNamedTensor *t = sn_results_find(x->r, name);
    assert_non_null(t);
    return &t->view;
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-6 + 1e-5 * fabs(b)))
        fail_msg("%.9g, expected %.9g", a, b);
}

static double number(const SnJson *v, const char *key)
{
    double n = 0;
    assert_true(sn_json_number(sn_json_get(v, key), &n));
    return n;
}

static uint32_t label_index(const Room *x, const SnJson *label)
{
    for (uint32_t i = 0; i < x->task.width; i++)
        if (sn_json_is(label, x->task.label[i]))
            return i;
    fail_msg("no such label");
    return 0;
}

/* ---- classification ---- */

static void assert_scores(const Room *x, const SnJson *list)
{
    const SnView *v = result(x, "scores");
    assert_int_equal(v->dtype, SN_F32);
    assert_int_equal(v->ndim, 2);
    assert_int_equal(v->dims[0], 1);
    assert_int_equal(v->dims[1], list->n);
    assert_int_equal(x->task.width, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        const SnJson *row = sn_json_at(list, i);
        const uint32_t at = label_index(x, sn_json_get(row, "label"));
        assert_near((double)((const float *)v->data)[at], number(row, "score"));
    }
}

static void test_classify(void **state)
{
    static const struct {
        const char *text, *json;
    } row[] = {{"paris is big", "\"paris is big\""},
               {"", "\"\""},
               {"  Na\xC3\xAFve caf\xC3\xA9 \xE6\x9D\xB1 don't\tgo",
                "\"  Na\xC3\xAFve caf\xC3\xA9 \xE6\x9D\xB1 don't\\tgo\""}};
    static const char *const folder[] = {FOLDER("text-classification-bert"),
                                         FOLDER("text-classification-distilbert")};
    Room *x = *state;
    for (size_t k = 0; k < SN_COUNT(folder); k++) {
        open_model(x, folder[k], NULL);
        for (size_t i = 0; i < SN_COUNT(row); i++) {
            run(x, NULL, row[i].text, NULL);
            assert_int_equal(x->task.kind, SN_TYPED_CLASSIFY);
            assert_false(x->task.has_pair);
            assert_scores(x, pipeline(x, "text-classification", row[i].json, "{\"top_k\": null}"));
        }
        close_model(x);
    }
}

static void test_classify_pair(void **state)
{
    Room *x = *state;
    open_model(x, FOLDER("zero-shot-classification-electra"), NULL);
    run(x, NULL, "paris is big", "the fox is lazy");
    assert_true(x->task.has_pair);
    assert_string_equal(x->task.name, "zero-shot-classification");
    assert_scores(x, pipeline(x, "text-classification",
                              "{\"text\": \"paris is big\", \"text_pair\": \"the fox is lazy\"}",
                              "{\"top_k\": null}"));
    close_model(x);
}

/* A pipeline cuts where it is asked to; the program always does. */
static void test_long_text(void **state)
{
    Room *x = *state;
    open_model(x, FOLDER("text-classification-bert"), NULL);
    run(x, NULL, LONG LONG LONG LONG, NULL);
    assert_scores(x, pipeline(x, "text-classification", "\"" LONG LONG LONG LONG "\"",
                              "{\"top_k\": null, \"truncation\": true}"));
    close_model(x);
}

static void test_rank(void **state)
{
    SnError err;
    Room *x = *state;
    SnResults *r = NULL;
    const SnBytes a = sn_bytes_str("where is paris ?"), b = sn_bytes_str("the capital of france");
    open_model(x, FOLDER("text-classification-bert"), "rank");
    run(x, "rank", "where is paris ?", "the capital of france");
    assert_ok(sn_model_rank(x->m, &a, &b, 1, &r, &err));
    const SnView *want = &sn_results_get(r, 0)->view;
    assert_int_equal(want->dims[1], x->task.width);
    assert_memory_equal(result(x, "scores")->data, want->data, x->task.width * sizeof(float));
    sn_results_destroy(r);
    close_model(x);
}

/* ---- vectors ---- */

static void test_embed(void **state)
{
    SnError err;
    Room *x = *state;
    SnResults *r = NULL;
    const SnBytes text = sn_bytes_str("the lazy dog");
    open_model(x, FOLDER("feature-extraction-distilbert"), "embed");
    run(x, "embed", "the lazy dog", NULL);
    assert_int_equal(x->task.kind, SN_TYPED_EMBED);
    assert_int_equal(x->task.width, 8);
    assert_ok(sn_model_embed(x->m, &text, 1, &r, &err));
    assert_memory_equal(result(x, "embeddings")->data, sn_results_get(r, 0)->view.data, 8 * sizeof(float));
    sn_results_destroy(r);
    close_model(x);
}

/* ---- tokens ---- */

static void test_tag(void **state)
{
    Room *x = *state;
    open_model(x, FOLDER("token-classification-bert"), NULL);
    run(x, NULL, "angela lives in paris, france!", NULL);
    assert_int_equal(x->task.kind, SN_TYPED_TAG);
    const SnJson *list =
        pipeline(x, "token-classification", "\"angela lives in paris, france!\"", "{\"ignore_labels\": []}");
    const int32_t *label = result(x, "label")->data, *offset = result(x, "offsets")->data;
    const int32_t *special = result(x, "special")->data;
    const float *score = result(x, "score")->data;
    const int64_t n = result(x, "special")->len[0];
    assert_int_equal(result(x, "label")->dims[1], n);
    assert_int_equal(result(x, "offsets")->len[0], 2 * n);
    uint32_t next = 0;
    for (int64_t i = 0; i < n; i++) {
        if (special[i])
            continue;
        const SnJson *row = sn_json_at(list, next++);
        assert_int_equal(i, (int64_t)number(row, "index"));
        assert_int_equal(label[i], label_index(x, sn_json_get(row, "entity")));
        assert_near((double)score[i], number(row, "score"));
        assert_int_equal(offset[2 * i], (int64_t)number(row, "start"));
        assert_int_equal(offset[2 * i + 1], (int64_t)number(row, "end"));
    }
    assert_int_equal(next, list->n);
    close_model(x);
}

static void test_fill(void **state)
{
    Room *x = *state;
    open_model(x, FOLDER("fill-mask-electra"), NULL);
    run(x, NULL, "paris is the [MASK] of france", NULL);
    assert_int_equal(x->task.kind, SN_TYPED_FILL);
    assert_int_equal(x->task.width, 5);
    const SnJson *list = pipeline(x, "fill-mask", "\"paris is the [MASK] of france\"", "{}");
    assert_int_equal(list->n, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(((const int32_t *)result(x, "ids")->data)[i],
                         (int64_t)number(sn_json_at(list, i), "token"));
        assert_near((double)((const float *)result(x, "scores")->data)[i],
                    number(sn_json_at(list, i), "score"));
    }
    assert_int_equal(*(const int64_t *)result(x, "masks")->data, 1);
    run(x, NULL, "paris", NULL);
    assert_int_equal(*(const int64_t *)result(x, "masks")->data, 0);
    run(x, NULL, "[MASK] is [MASK]", NULL);
    assert_int_equal(*(const int64_t *)result(x, "masks")->data, 2);
    close_model(x);
}

/* ---- answers ---- */

/* Each window's logits are those of the window alone. */
static void test_answer(void **state)
{
    static const char question[] = "where is the capital ?";
    static const char *const want[] = {"start_logits", "end_logits"}, *const name[] = {"start", "end"};
    SnError err;
    Room *x = *state;
    open_model(x, FOLDER("question-answering-bert"), NULL);
    run(x, NULL, question, LONG LONG);
    assert_int_equal(x->task.kind, SN_TYPED_ANSWER);
    const int64_t count = *(const int64_t *)result(x, "count")->data, seq = result(x, "start")->dims[1];
    const SnView *ids = result(x, "ids"), *sequence = result(x, "sequence");
    assert_int_equal(result(x, "start")->dims[0], count);
    assert_true(count > 1);
    for (int64_t w = 0; w < count; w++) {
        int64_t in_ids[512], mask[512], types[512];
        const int64_t n = ids->len[w], dims[] = {1, n};
        SnResults *r = NULL;
        assert_in_range(n, 1, SN_COUNT(in_ids));
        for (int64_t i = 0; i < n; i++) {
            in_ids[i] = ((const int32_t *)ids->data)[ids->start[w] + i];
            mask[i] = 1;
            types[i] = ((const int32_t *)sequence->data)[sequence->start[w] + i] == 1 || i == n - 1;
        }
        const SnNamedTensor in[] = {{"input_ids", sn_view(SN_I64, in_ids, 2, dims)},
                                    {"attention_mask", sn_view(SN_I64, mask, 2, dims)},
                                    {"token_type_ids", sn_view(SN_I64, types, 2, dims)}};
        assert_ok(sn_model_forward(x->m, in, 3, want, 2, &r, &err));
        for (int k = 0; k < 2; k++)
            for (int64_t i = 0; i < n; i++)
                assert_near((double)((const float *)result(x, name[k])->data)[w * seq + i],
                            (double)((const float *)sn_results_find(r, want[k])->view.data)[i]);
        sn_results_destroy(r);
    }
    close_model(x);
}

/* ---- which task ---- */

static void test_tasks(void **state)
{
    SnError err;
    Room *x = *state;
    open_model(x, FOLDER("feature-extraction-distilbert"), NULL);
    assert_ok(sn_task_program(x->m, NULL, &x->arena, &x->task, &err));
    assert_int_equal(x->task.kind, SN_TYPED_TENSORS);
    assert_fails(SN_EUNSUPPORTED, sn_task_program(x->m, "summarization", &x->arena, &x->task, &err));
    close_model(x);
    open_model(x, FOLDER("token-classification-bert"), NULL);
    assert_fails(SN_EUNSUPPORTED, sn_model_pipeline(x->m, "rank", NULL, NULL, NULL, &err));
    close_model(x);
    open_model(x, "tests/golden/forward/bert-next-sentence/model", NULL);
    assert_ok(sn_task_program(x->m, NULL, &x->arena, &x->task, &err));
    assert_string_equal(x->task.name, "tensors");
    close_model(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classify),  cmocka_unit_test(test_classify_pair),
        cmocka_unit_test(test_long_text), cmocka_unit_test(test_rank),
        cmocka_unit_test(test_embed),     cmocka_unit_test(test_tag),
        cmocka_unit_test(test_fill),      cmocka_unit_test(test_answer),
        cmocka_unit_test(test_tasks),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
