/* opened_test.c -- models that were compiled ahead of time in the place of folders: the same results, and
 * what they refuse. */
#include "frontends/model.h"

#include "backends/backends.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <math.h>

#define FOLDER(name) "tests/golden/pipeline/" name "/model"

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    SnArena arena; /* of one test */
    Scratch dir;
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

static int begin(void **state)
{
    Room *x = *state;
    sn_arena_init(&x->arena, sn_allocator(x->ctx));
    scratch_open(&x->dir);
    return 0;
}

static int end(void **state)
{
    Room *x = *state;
    scratch_close(&x->dir);
    sn_arena_clear(&x->arena);
    return 0;
}

static SnModel *open_model(Room *x, const char *path)
{
    SnError err;
    SnModel *m = NULL;
    assert_ok(sn_model_open(x->cc, path, NULL, &m, &err));
    return m;
}

/* Only this machine's level: the others are as many compilations. */
static SnEmitOptions emit_options(const Room *x)
{
    return (SnEmitOptions){.struct_size = sizeof(SnEmitOptions), .levels = sn_context_cpu_level(x->ctx)};
}

static SnModel *compile_model(Room *x, SnModel *m, const char *task, const SnEmitOptions *o)
{
    SnError err;
    char path[256];
    scratch_path(&x->dir, "m.so", path);
    assert_ok(sn_model_emit(m, task, o, path, &err));
    return open_model(x, path);
}

/* ---- pipelines ---- */

static const SnJson *parse(Room *x, const char *text)
{
    SnError err;
    SnJson *json = NULL;
    assert_ok(sn_json_parse(&x->arena, "json", sn_bytes_str(text), &json, &err));
    return json;
}

static const SnJson *pipeline(Room *x, SnModel *m, const char *task, const char *input, const char *kwargs)
{
    SnError err;
    SnText text = {.memory = sn_allocator(x->ctx)};
    assert_ok(sn_model_pipeline(m, task, parse(x, input), parse(x, kwargs), &text, &err));
    const char *copy = sn_arena_strndup(&x->arena, text.at, text.n);
    sn_text_clear(&text);
    assert_non_null(copy);
    return parse(x, copy);
}

/* Numbers to five digits, all else exactly; "word" may be another spelling of the same place. */
static void assert_same(const SnJson *a, const SnJson *b)
{
    double p = 0, q = 0;
    SnBytes s = {0}, t = {0};
    assert_int_equal(a->kind, b->kind);
    if (sn_json_number(a, &p) && sn_json_number(b, &q)) {
        if (!(fabs(p - q) <= 1e-6 + 1e-5 * fabs(q)))
            fail_msg("%.9g, expected %.9g", p, q);
    } else if (a->kind == SN_JSON_STRING) {
        assert_true(sn_json_string(a, &s) && sn_json_string(b, &t));
        if (!sn_bytes_is(a->key, "word") && !sn_bytes_equal(s, t))
            fail_msg("\"%.*s\", expected \"%.*s\"", (int)s.n, (const char *)s.at, (int)t.n,
                     (const char *)t.at);
    } else if (a->kind == SN_JSON_ARRAY || a->kind == SN_JSON_OBJECT) {
        assert_int_equal(a->n, b->n);
        for (uint32_t i = 0; i < a->n; i++)
            assert_same(&a->u.child[i], &b->u.child[i]);
    }
}

static void test_pipelines(void **state)
{
    static const char answer[] =
        "{\"question\": \"where is the capital ?\", \"context\": \"Paris is the capital of France. PARIS is "
        "big; paris! The lazy fox jumps over the brown dog by the sea, and the dog is big. Paris is big.\"}";
    static const struct {
        const char *folder, *task, *input, *kwargs;
    } row[] = {
        {FOLDER("text-classification-bert"), "text-classification", "\"paris is big\"", "{}"},
        {FOLDER("text-classification-bert"), "sentiment-analysis", "[\"paris\", \"\"]", "{\"top_k\": null}"},
        {FOLDER("zero-shot-classification-electra"), "text-classification",
         "{\"text\": \"paris is big\", \"text_pair\": \"the fox\"}", "{\"top_k\": 2}"},
        {FOLDER("token-classification-bert"), "ner", "\"angela lives in paris, france!\"", "{}"},
        {FOLDER("token-classification-bert"), "ner", "[\"  angela lives\", \"paris\"]",
         "{\"aggregation_strategy\": \"simple\", \"ignore_labels\": []}"},
        {FOLDER("question-answering-bert"), "question-answering", answer, "{}"},
        {FOLDER("question-answering-bert"), "question-answering", answer,
         "{\"top_k\": 3, \"align_to_words\": false}"},
        {FOLDER("fill-mask-electra"), "fill-mask", "\"paris is the [MASK] of france\"", "{}"},
        {FOLDER("fill-mask-electra"), "fill-mask", "[\"[MASK] is big\", \"the fox [MASK]\"]", "{}"},
    };
    Room *x = *state;
    const SnEmitOptions o = emit_options(x);
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        SnModel *m = open_model(x, row[i].folder), *so = compile_model(x, m, NULL, &o);
        assert_same(pipeline(x, so, row[i].task, row[i].input, row[i].kwargs),
                    pipeline(x, m, row[i].task, row[i].input, row[i].kwargs));
        sn_model_close(so);
        sn_model_close(m);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *task, *input, *kwargs;
        SnStatus status;
    } row[] = {
        {"fill-mask", "\"paris\"", "{}", SN_EUNSUPPORTED},
        {"zero-shot-classification", "\"paris\"", "{\"candidate_labels\": [\"a\"]}", SN_EUNSUPPORTED},
        {NULL, "\"paris\"", "{\"truncation\": true}", SN_EUNSUPPORTED},
        {NULL, "\"paris\"", "{\"function_to_apply\": \"none\"}", SN_EUNSUPPORTED},
        {NULL, "{\"text\": \"a\", \"text_pair\": \"b\"}", "{}", SN_EINVAL},
        {NULL, "3", "{}", SN_EINVAL},
    };
    SnError err;
    Room *x = *state;
    SnResults *r = NULL;
    SnText text = {.memory = sn_allocator(x->ctx)};
    const SnEmitOptions o = emit_options(x);
    const SnBytes one = sn_bytes_str("paris");
    SnModel *m = open_model(x, FOLDER("text-classification-bert")), *so = compile_model(x, m, NULL, &o);
    for (size_t i = 0; i < SN_COUNT(row); i++)
        assert_fails(row[i].status, sn_model_pipeline(so, row[i].task, parse(x, row[i].input),
                                                      parse(x, row[i].kwargs), &text, &err));
    assert_fails(SN_EUNSUPPORTED, sn_model_embed(so, &one, 1, &r, &err));
    assert_fails(SN_EUNSUPPORTED, sn_model_graph(so, NULL, 0, NULL, 0, &text, &err));
    assert_fails(SN_EINVAL, sn_model_forward(so, NULL, 0, NULL, 0, &r, &err));
    sn_text_clear(&text);
    sn_model_close(so);
    sn_model_close(m);
}

/* ---- vectors and tensors ---- */

static void test_embed(void **state)
{
    SnError err;
    Room *x = *state;
    SnResults *want = NULL, *found = NULL;
    SnEmitOptions o = emit_options(x);
    SnEmitSizes sizes = {0};
    o.sizes = &sizes;
    o.weights_beside = true;
    const SnBytes text[] = {sn_bytes_str("the lazy dog"), sn_bytes_str("a fox")};
    SnModel *m = open_model(x, FOLDER("feature-extraction-distilbert"));
    SnModel *so = compile_model(x, m, "embed", &o);
    assert_ok(sn_model_embed(m, text, 2, &want, &err));
    assert_ok(sn_model_embed(so, text, 2, &found, &err));
    const SnView *v = &sn_results_get(want, 0)->view;
    assert_memory_equal(sn_results_get(found, 0)->view.data, v->data,
                        (size_t)(v->dims[0] * v->dims[1]) * sizeof(float));
    assert_string_equal(sn_model_task(so), "embed");
    assert_true(sizes.tokenizer_bytes > 0 && sizes.weight_bytes > 0 && sizes.code_bytes > 0);
    assert_true(sizes.code_bytes + sizes.tokenizer_bytes + sizes.runtime_bytes == sizes.file_bytes);
    sn_results_destroy(want);
    sn_results_destroy(found);
    sn_model_close(so);
    sn_model_close(m);
}

static void test_tensors(void **state)
{
    static const char *const input[] = {"input_ids", "attention_mask"}, *const want[] = {"logits"};
    SnError err;
    Room *x = *state;
    SnResults *a = NULL, *b = NULL;
    SnText text = {.memory = sn_allocator(x->ctx)};
    SnEmitOptions o = emit_options(x);
    o.input = input;
    o.ninput = 2;
    o.want = want;
    o.nwant = 1;
    int64_t ids[] = {2, 5, 6, 3}, mask[] = {1, 1, 1, 1};
    const SnNamedTensor in[] = {{"input_ids", sn_view(SN_I64, ids, 2, (int64_t[]){1, 4})},
                                {"attention_mask", sn_view(SN_I64, mask, 2, (int64_t[]){1, 4})}};
    SnModel *m = open_model(x, FOLDER("text-classification-bert")), *so = compile_model(x, m, NULL, &o);
    assert_string_equal(sn_model_task(so), "tensors");
    assert_ok(sn_model_forward(m, in, 2, want, 1, &a, &err));
    assert_ok(sn_model_forward(so, in, 2, NULL, 0, &b, &err));
    assert_int_equal(sn_results_count(b), 1);
    assert_memory_equal(sn_results_find(b, "logits")->view.data, sn_results_find(a, "logits")->view.data,
                        3 * sizeof(float));
    sn_results_destroy(b);
    assert_fails(SN_EUNSUPPORTED, sn_model_forward(so, in, 2, (const char *const[]){"loss"}, 1, &b, &err));
    assert_ok(sn_model_inspect(so, &text, &err));
    const SnJson *entry = sn_json_at(sn_json_get(parse(x, text.at), "entries"), 0);
    assert_int_equal(sn_json_get(entry, "inputs")->n, 2);
    assert_true(sn_json_is(sn_json_get(sn_json_at(sn_json_get(entry, "outputs"), 0), "name"), "logits"));
    sn_text_clear(&text);
    sn_results_destroy(a);
    sn_model_close(so);
    sn_model_close(m);
}

/* ---- typed functions: in a block of the size that was written down, against the pipelines ---- */

typedef struct Typed {
    SnModel *m, *so;
    SnTyped *t;
    void *block;
} Typed;

static Typed open_typed(Room *x, const char *folder, const char *task)
{
    const SnEmitOptions o = emit_options(x);
    char message[256] = "";
    Typed y = {.m = open_model(x, folder)};
    y.so = compile_model(x, y.m, task, &o);
    const SnTypedDesc *desc = y.so->opened->program->typed;
    assert_true(desc->block_bytes > 0);
    y.block = malloc(desc->block_bytes);
    assert_non_null(y.block);
    const SnTypedHost host = {.struct_size = sizeof host,
                              .abi = SN_ABI,
                              .block = y.block,
                              .block_size = desc->block_bytes,
                              .message = message,
                              .message_size = sizeof message};
    if (sn_typed_create(&host, &y.t, desc) != SN_OK)
        fail_msg("%s: %s", folder, message);
    return y;
}

static void close_typed(Typed *y)
{
    sn_typed_destroy(y->t);
    free(y->block);
    sn_model_close(y->so);
    sn_model_close(y->m);
}

static double number(const SnJson *v, const char *key)
{
    double n = 0;
    assert_true(sn_json_number(sn_json_get(v, key), &n));
    return n;
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-6 + 1e-5 * fabs(b)))
        fail_msg("%.9g, expected %.9g", a, b);
}

static void test_typed_embed(void **state)
{
    static const char text[] = "the lazy dog";
    SnError err;
    Room *x = *state;
    Typed y = open_typed(x, FOLDER("feature-extraction-distilbert"), "embed");
    const SnBytes bytes = sn_bytes_str(text);
    SnResults *r = NULL;
    float v[8];
    assert_int_equal(y.so->opened->program->typed->width, SN_COUNT(v));
    assert_int_equal(sn_typed_embed(y.t, text, strlen(text), v), SN_OK);
    assert_ok(sn_model_embed(y.m, &bytes, 1, &r, &err));
    assert_memory_equal(v, sn_results_get(r, 0)->view.data, sizeof v);
    sn_results_destroy(r);
    close_typed(&y);
}

static void test_typed_classify(void **state)
{
    static const char text[] = "paris is big";
    Room *x = *state;
    Typed y = open_typed(x, FOLDER("text-classification-bert"), NULL);
    const SnTypedDesc *desc = y.so->opened->program->typed;
    float score[3];
    assert_int_equal(desc->width, SN_COUNT(score));
    assert_int_equal(sn_typed_classify(y.t, text, strlen(text), score), SN_OK);
    const SnJson *list = pipeline(x, y.m, NULL, "\"paris is big\"", "{\"top_k\": null}");
    for (uint32_t i = 0; i < desc->width; i++)
        for (uint32_t k = 0; k < list->n; k++)
            if (sn_json_is(sn_json_get(sn_json_at(list, k), "label"), desc->label[i]))
                assert_near((double)score[i], number(sn_json_at(list, k), "score"));
    close_typed(&y);
}

static void test_typed_tag(void **state)
{
    static const char text[] = "angela lives in paris, france!";
    Room *x = *state;
    Typed y = open_typed(x, FOLDER("token-classification-bert"), NULL);
    SnTypedSpan span[16];
    size_t n = 0;
    assert_int_equal(sn_typed_tag(y.t, text, strlen(text), span, SN_COUNT(span), &n), SN_OK);
    const SnJson *list = pipeline(x, y.m, NULL, "\"angela lives in paris, france!\"",
                                  "{\"aggregation_strategy\": \"simple\"}");
    assert_int_equal(n, list->n);
    for (uint32_t i = 0; i < n; i++) {
        const SnJson *e = sn_json_at(list, i);
        assert_int_equal(span[i].begin, (size_t)number(e, "start"));
        assert_int_equal(span[i].end, (size_t)number(e, "end"));
        assert_true(sn_json_is(sn_json_get(e, "entity_group"), span[i].name));
        assert_near((double)span[i].score, number(e, "score"));
    }
    close_typed(&y);
}

static void test_typed_answer(void **state)
{
    static const char question[] = "where is the capital ?",
                      context[] = "Paris is the capital of France. PARIS is big; paris!";
    Room *x = *state;
    Typed y = open_typed(x, FOLDER("question-answering-bert"), NULL);
    SnTypedSpan span;
    assert_int_equal(sn_typed_answer(y.t, question, sizeof question - 1, context, sizeof context - 1, &span),
                     SN_OK);
    const SnJson *a = pipeline(x, y.m, NULL,
                               "{\"question\": \"where is the capital ?\", \"context\": "
                               "\"Paris is the capital of France. PARIS is big; paris!\"}",
                               "{}");
    assert_int_equal(span.begin, (size_t)number(a, "start"));
    assert_int_equal(span.end, (size_t)number(a, "end"));
    assert_near((double)span.score, number(a, "score"));
    close_typed(&y);
}

static void test_typed_fill(void **state)
{
    static const char text[] = "paris is the [MASK] of france";
    Room *x = *state;
    Typed y = open_typed(x, FOLDER("fill-mask-electra"), NULL);
    SnTypedWord word[5];
    size_t n = 0;
    assert_int_equal(sn_typed_fill(y.t, text, strlen(text), word, SN_COUNT(word), &n), SN_OK);
    const SnJson *list = pipeline(x, y.m, NULL, "\"paris is the [MASK] of france\"", "{}");
    assert_int_equal(n, list->n);
    for (uint32_t i = 0; i < n; i++) {
        SnBytes token = {0};
        assert_int_equal(word[i].id, (int32_t)number(sn_json_at(list, i), "token"));
        assert_near((double)word[i].score, number(sn_json_at(list, i), "score"));
        assert_true(sn_json_string(sn_json_get(sn_json_at(list, i), "token_str"), &token));
        assert_int_equal(word[i].size, token.n);
        assert_memory_equal(word[i].text, token.at, token.n);
    }
    close_typed(&y);
}

/* ---- files ---- */

static void test_files(void **state)
{
    SnError err;
    Room *x = *state;
    SnModel *so = NULL;
    char path[256];
    const SnEmitOptions o = emit_options(x);
    SnModel *m = open_model(x, FOLDER("text-classification-bert"));
    assert_fails(SN_EINVAL, sn_model_emit(m, NULL, &o, "/tmp/m.txt", &err));
    assert_fails(SN_EUNSUPPORTED, sn_model_emit(m, "summarization", &o, "/tmp/m.so", &err));
    scratch_path(&x->dir, "absent/m.so", path);
    assert_fails(SN_EIO, sn_model_emit(m, NULL, &o, path, &err));
    scratch_text(&x->dir, "text.so", "no program");
    scratch_path(&x->dir, "text.so", path);
    assert_fails(SN_EFORMAT, sn_model_open(x->cc, path, NULL, &so, &err));
    assert_null(so);
    sn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipelines, begin, end),
        cmocka_unit_test_setup_teardown(test_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_embed, begin, end),
        cmocka_unit_test_setup_teardown(test_tensors, begin, end),
        cmocka_unit_test_setup_teardown(test_typed_embed, begin, end),
        cmocka_unit_test_setup_teardown(test_typed_classify, begin, end),
        cmocka_unit_test_setup_teardown(test_typed_tag, begin, end),
        cmocka_unit_test_setup_teardown(test_typed_answer, begin, end),
        cmocka_unit_test_setup_teardown(test_typed_fill, begin, end),
        cmocka_unit_test_setup_teardown(test_files, begin, end),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
