/* conform_task.c -- cases of kinds sentence (texts to vectors and scores) and pipeline (JSON to JSON). */
#include "tests/conform.h"

#include <math.h>
#include <stdio.h>

/* ---- sentence ---- */

/* texts[i], or pairs[i][0] and pairs[i][1]. */
static SnStatus read_texts(Conform *c, const SnJson *list, SnBytes **text, SnBytes **pair, SnError *err)
{
    SN_CHECK(list && list->kind == SN_JSON_ARRAY && list->n, err, SN_EFORMAT, "%s: no texts or pairs",
             c->dir);
    *text = sn_arena_array(&c->arena, list->n, sizeof **text);
    if (pair)
        *pair = sn_arena_array(&c->arena, list->n, sizeof **pair);
    SN_CHECK(*text && (!pair || *pair), err, SN_ENOMEM, "%s: no memory", c->dir);
    for (uint32_t i = 0; i < list->n; i++) {
        const SnJson *v = &list->u.child[i];
        SN_CHECK(sn_json_string(pair ? sn_json_at(v, 0) : v, &(*text)[i]) &&
                     (!pair || sn_json_string(sn_json_at(v, 1), &(*pair)[i])),
                 err, SN_EFORMAT, "%s: text %u is no string", c->dir, i);
    }
    return SN_OK;
}

static SnStatus add_output(Conform *c, const SnJson *call, const char *name, const SnResults *r, SnError *err)
{
    const SnJson *output = sn_json_get(sn_json_get(call, "outputs"), name);
    const char *tensor = conform_string(c, sn_json_get(output, "tensor"));
    return tensor ? conform_add(c, tensor, &sn_results_get(r, 0)->view, SN_F32, err) : SN_OK;
}

static SnStatus run_encode(Conform *c, SnModel *m, const SnJson *data, const SnJson *call, SnError *err)
{
    const SnJson *list = sn_json_get(data, "texts");
    SnBytes *text = NULL;
    SnResults *r = NULL, *similarity = NULL;
    SN_TRY(read_texts(c, list, &text, NULL, err));
    SnStatus st = sn_model_embed(m, text, list->n, &r, err);
    if (st == SN_OK)
        st = add_output(c, call, "embeddings", r, err);
    if (st == SN_OK)
        st = sn_model_similarity(m, &sn_results_get(r, 0)->view, &similarity, err);
    if (st == SN_OK)
        st = add_output(c, call, "similarity", similarity, err);
    sn_results_destroy(r);
    sn_results_destroy(similarity);
    return st;
}

static SnStatus run_predict(Conform *c, SnModel *m, const SnJson *data, const SnJson *call, SnError *err)
{
    const SnJson *list = sn_json_get(data, "pairs");
    SnBytes *text = NULL, *pair = NULL;
    SnResults *r = NULL;
    SN_TRY(read_texts(c, list, &text, &pair, err));
    SnStatus st = sn_model_rank(m, text, pair, list->n, &r, err);
    if (st == SN_OK)
        st = add_output(c, call, "scores", r, err);
    sn_results_destroy(r);
    return st;
}

static const struct {
    const char *op;
    SnStatus (*run)(Conform *c, SnModel *m, const SnJson *data, const SnJson *call, SnError *err);
} sentence_ops[] = {{"sentence_encode", run_encode}, {"cross_encoder_predict", run_predict}};

static SnStatus run_sentence_call(Conform *c, SnModel *m, const SnJson *data, const SnJson *call,
                                  SnError *err)
{
    const SnJson *op = sn_json_get(call, "op"), *kwargs = sn_json_get(call, "kwargs");
    SN_CHECK(!kwargs || kwargs->n == 0, err, SN_EUNSUPPORTED, "argument %.*s", (int)kwargs->u.child[0].key.n,
             (const char *)kwargs->u.child[0].key.at);
    for (size_t i = 0; i < SN_COUNT(sentence_ops); i++)
        if (sn_json_is(op, sentence_ops[i].op))
            return sentence_ops[i].run(c, m, data, call, err);
    const char *name = conform_string(c, op);
    return sn_fail(err, SN_EUNSUPPORTED, "op %s", name ? name : "without a name");
}

static SnStatus open_data(Conform *c, SnModel **m, const SnJson **data, SnError *err)
{
    const char *folder = conform_string(c, sn_json_get(c->spec, "model"));
    const char *file = conform_string(c, sn_json_get(c->spec, "data"));
    SN_CHECK(folder, err, SN_EFORMAT, "%s/case.json: no model", c->dir);
    SN_TRY(conform_json(c, file ? file : "data.json", data, err));
    return conform_model(c, folder, c->dtype != SN_NODTYPE ? c->dtype : SN_F32, m, err);
}

SnStatus conform_sentence(Conform *c, SnError *err)
{
    SnModel *m = NULL;
    const SnJson *data = NULL, *calls = sn_json_get(c->spec, "calls");
    SnStatus st = open_data(c, &m, &data, err);
    for (uint32_t i = 0; st == SN_OK && calls && i < calls->n; i++)
        st = run_sentence_call(c, m, data, &calls->u.child[i], err);
    sn_model_close(m);
    return st;
}

/* ---- pipeline ---- */

static void put_key(SnText *t, SnBytes key, bool is_first)
{
    sn_text_add(t, ", ", is_first ? 0 : 2);
    sn_json_put_string(t, key);
    sn_text_add(t, ": ", 2);
}

/* The row with what came out under `expected`, or why it failed under `expected_error`. */
static SnStatus run_row(Conform *c, SnModel *m, const char *task, const SnJson *row, SnError *err)
{
    const SnJson *input = sn_json_get(row, "input"), *kwargs = sn_json_get(row, "kwargs");
    SnText out = {.memory = sn_allocator(c->ctx)};
    SnError failure = {0};
    SN_CHECK(input, err, SN_EFORMAT, "%s: a row without input", c->dir);
    const SnStatus st = sn_model_pipeline(m, task, input, kwargs, &out, &failure);
    sn_text_add(&c->data, "{", 1);
    for (uint32_t i = 0, n = 0; i < row->n; i++) {
        const SnJson *v = &row->u.child[i];
        if (sn_bytes_is(v->key, "expected") || sn_bytes_is(v->key, "expected_error"))
            continue;
        put_key(&c->data, v->key, n++ == 0);
        sn_json_put(&c->data, v);
    }
    put_key(&c->data, sn_bytes_str(st == SN_OK ? "expected" : "expected_error"), false);
    if (st == SN_OK)
        sn_text_add(&c->data, out.at ? out.at : "", out.n);
    else
        sn_json_put_string(&c->data, sn_bytes_str(failure.message));
    sn_text_add(&c->data, "}", 1);
    sn_text_clear(&out);
    /* What a build lacks or runs out of is no property of the row. */
    return st == SN_OK || st == SN_EINVAL || st == SN_ESHAPE ? SN_OK
                                                             : sn_fail(err, st, "%s", failure.message);
}

static SnStatus run_rows(Conform *c, SnModel *m, const char *task, const SnJson *rows, SnError *err)
{
    SN_CHECK(rows->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "%s: rows is no array", c->dir);
    sn_text_add(&c->data, "[", 1);
    for (uint32_t i = 0; i < rows->n; i++) {
        const SnJson *row = &rows->u.child[i];
        SN_CHECK(row->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: row %u is no object", c->dir, i);
        sn_text_add(&c->data, ",\n ", i ? 3 : 0);
        SN_TRY(run_row(c, m, task, row, err));
    }
    sn_text_add(&c->data, "]", 1);
    return SN_OK;
}

SnStatus conform_pipeline(Conform *c, SnError *err)
{
    SnModel *m = NULL;
    const SnJson *data = NULL;
    SnStatus st = open_data(c, &m, &data, err);
    const char *task = conform_string(c, sn_json_get(c->spec, "task"));
    if (st == SN_OK && !task)
        task = conform_string(c, sn_json_get(data, "task"));
    sn_text_add(&c->data, "{", 1);
    for (uint32_t i = 0; st == SN_OK && data->kind == SN_JSON_OBJECT && i < data->n; i++) {
        const SnJson *v = &data->u.child[i];
        put_key(&c->data, v->key, i == 0);
        if (sn_bytes_is(v->key, "rows"))
            st = run_rows(c, m, task, v, err);
        else
            sn_json_put(&c->data, v);
    }
    sn_text_add(&c->data, "}\n", 2);
    sn_model_close(m);
    if (st == SN_OK && c->data.failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", c->dir);
    return st;
}

/* ---- comparing JSON ---- */

typedef struct Match {
    double atol, rtol, max_abs, max_rel;
    bool differs;
} Match;

static bool same_text(const SnJson *a, const SnJson *b)
{
    SnBytes x = {0}, y = {0};
    return sn_json_string(a, &x) && sn_json_string(b, &y) && sn_bytes_equal(x, y);
}

static void compare_number(Match *m, const SnJson *a, const SnJson *b)
{
    double x = 0, e = 0;
    (void)sn_json_number(a, &x);
    (void)sn_json_number(b, &e);
    const bool is_exact = a->kind == SN_JSON_INT && b->kind == SN_JSON_INT;
    const double gap = x == e || (isnan(x) && isnan(e)) ? 0 : fabs(x - e);
    m->max_abs = fmax(m->max_abs, gap);
    m->max_rel = fmax(m->max_rel, gap == 0 ? 0 : gap / fabs(e));
    m->differs = m->differs || (is_exact ? gap != 0 : !(gap <= m->atol + m->rtol * fabs(e)));
}

/* Depth is that of parsed JSON: at most 64. */
static void compare(Match *m, const SnJson *a, const SnJson *b)
{
    double number;
    if (sn_json_number(a, &number) && sn_json_number(b, &number)) {
        compare_number(m, a, b);
        return;
    }
    const bool has_children = a->kind == SN_JSON_ARRAY || a->kind == SN_JSON_OBJECT;
    m->differs = m->differs || a->kind != b->kind || (has_children && a->n != b->n) ||
                 (a->kind == SN_JSON_STRING && !same_text(a, b)) ||
                 (a->kind == SN_JSON_BOOL && a->u.boolean != b->u.boolean);
    for (uint32_t i = 0; has_children && a->kind == b->kind && i < a->n && i < b->n; i++) {
        m->differs = m->differs || !sn_bytes_equal(a->u.child[i].key, b->u.child[i].key);
        compare(m, &a->u.child[i], &b->u.child[i]);
    }
}

/* All that a case expects, wherever it stands in it. */
static void compare_expected(Match *m, const SnJson *own, const SnJson *e)
{
    for (uint32_t i = 0; (e->kind == SN_JSON_OBJECT || e->kind == SN_JSON_ARRAY) && i < e->n; i++) {
        const SnJson *v = &e->u.child[i], *x = e->kind == SN_JSON_ARRAY
                                                   ? sn_json_at(own, i)
                                                   : sn_json_get(own, (const char *)v->key.at);
        const bool is_expected = (v->key.n >= 8 && memcmp(v->key.at, "expected", 8) == 0) ||
                                 sn_bytes_is(v->key, "perplexity") || sn_bytes_is(v->key, "mean_nll");
        if (sn_bytes_is(v->key, "expected_error")) /* its words are our own */
            continue;
        m->differs = m->differs || (is_expected && !x);
        if (x && is_expected)
            compare(m, x, v);
        else if (x)
            compare_expected(m, x, v);
    }
}

SnStatus conform_compare_data(Conform *c, bool *passed, SnError *err)
{
    const SnJson *data = NULL, *t = sn_json_get(c->spec, "tolerance");
    const char *file = conform_string(c, sn_json_get(c->spec, "data"));
    SnJson *own = NULL;
    SN_TRY(conform_json(c, file ? file : "data.json", &data, err));
    SN_TRY(sn_json_parse(&c->arena, "results", sn_bytes(c->data.at, c->data.n), &own, err));
    const char *list = sn_json_get(data, "cases") ? "cases" : "rows";
    const SnJson *rows = sn_json_get(data, list), *mine = sn_json_get(own, list);
    for (uint32_t i = 0; rows && mine && i < rows->n; i++) {
        const SnJson *e = &rows->u.child[i], *x = &mine->u.child[i];
        Match m = {.differs = !sn_json_get(e, "expected") != !sn_json_get(x, "expected")};
        (void)sn_json_number(sn_json_get(t, "atol"), &m.atol);
        (void)sn_json_number(sn_json_get(t, "rtol"), &m.rtol);
        if (!m.differs)
            compare_expected(&m, x, e);
        (void)printf("%.3g %.3g %s.%u%s\n", m.max_abs, m.max_rel, list, i, m.differs ? " DIFFERS" : "");
        *passed = *passed && !m.differs;
    }
    return SN_OK;
}
