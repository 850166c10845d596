/* conform_metrics.c -- cases of kind metrics: inputs to values by the names that the case has for them. */
#include "tests/conform.h"

#include "frontends/eval.h"

#include <math.h>

/* What is expected of a case, by its key there. key "*": any other one, which the result has too. */
typedef struct Facet {
    const char *key, *metric, *kwargs, *result; /* result NULL: named as the metric */
} Facet;

/* A sort of cases: by the name that they give or by a member that others do not have. */
typedef struct Shape {
    const char *name, *member;
    const Facet *facets;
    size_t n;
} Shape;

#define AVERAGES(name)                                                                                       \
    {name "_micro", name, ", \"average\": \"micro\"", NULL},                                                 \
        {name "_macro", name, ", \"average\": \"macro\"", NULL},                                             \
        {name "_weighted", name, ", \"average\": \"weighted\"", NULL},                                       \
        {name "_per_class", name, ", \"average\": null", NULL},                                              \
    {                                                                                                        \
        name "_binary", name, "", NULL                                                                       \
    }

static const Facet of_classes[] = {
    {"accuracy", "accuracy", "", NULL},
    {"accuracy_count", "accuracy", ", \"normalize\": false", NULL},
    {"matthews_correlation", "matthews_correlation", "", NULL},
    {"confusion_matrix", "confusion_matrix", "", NULL},
    {"cohen_kappa", "cohen_kappa", "", NULL},
    {"balanced_accuracy", "balanced_accuracy", "", NULL},
    AVERAGES("precision"),
    AVERAGES("recall"),
    AVERAGES("f1"),
};
static const Facet of_numbers[] = {
    {"pearsonr", "pearsonr", "", NULL},
    {"spearmanr", "spearmanr", "", NULL},
    {"kendalltau", "kendalltau", "", NULL},
    {"mse", "mse", "", NULL},
    {"rmse", "mse", ", \"squared\": false", NULL},
    {"mae", "mae", "", NULL},
    {"r2", "r2", "", NULL},
};
static const Facet of_scores[] = {
    {"roc_auc", "roc_auc", "", NULL},
    {"average_precision", "average_precision", "", NULL},
};
static const Facet of_bleu[] = {{"*", "bleu", "", "*"}};
static const Facet of_sacrebleu[] = {{"*", "sacrebleu", "", "*"}};
static const Facet of_chrf[] = {{"chrf", "chrf", "", "score"},
                                {"chrf++", "chrf", ", \"word_order\": 2", "score"}};
static const Facet of_ter[] = {{"ter", "ter", "", "score"}};
static const Facet of_edits[] = {
    {"wer", "wer", "", NULL}, {"cer", "cer", "", NULL}, {"*", "wer", ", \"details\": true", "*"}};
static const Facet of_rouge[] = {{"*", "rouge", "", "*"}};
static const Facet of_exact[] = {
    {"plain", "exact_match", "", NULL},
    {"ignore_case", "exact_match", ", \"ignore_case\": true", NULL},
    {"ignore_case_ignore_punctuation", "exact_match", ", \"ignore_case\": true, \"ignore_punctuation\": true",
     NULL},
    {"ignore_punctuation", "exact_match", ", \"ignore_punctuation\": true", NULL},
    {"ignore_numbers", "exact_match", ", \"ignore_numbers\": true", NULL},
};
static const Facet of_tags[] = {
    {"accuracy", "seqeval", ", \"averages\": true", "overall_accuracy"},
    {"precision_micro", "seqeval", ", \"averages\": true", "overall_precision"},
    {"recall_micro", "seqeval", ", \"averages\": true", "overall_recall"},
    {"f1_micro", "seqeval", ", \"averages\": true", "overall_f1"},
    {"precision_macro", "seqeval", ", \"averages\": true", "macro_precision"},
    {"recall_macro", "seqeval", ", \"averages\": true", "macro_recall"},
    {"f1_macro", "seqeval", ", \"averages\": true", "macro_f1"},
    {"precision_weighted", "seqeval", ", \"averages\": true", "weighted_precision"},
    {"recall_weighted", "seqeval", ", \"averages\": true", "weighted_recall"},
    {"f1_weighted", "seqeval", ", \"averages\": true", "weighted_f1"},
};
#define SHAPE(name, member, facets)                                                                          \
    {                                                                                                        \
        name, member, facets, SN_COUNT(facets)                                                               \
    }
static const Shape shapes[] = {
    SHAPE("bleu", NULL, of_bleu),
    SHAPE("sacrebleu", NULL, of_sacrebleu),
    SHAPE("chrf", NULL, of_chrf),
    SHAPE("ter", NULL, of_ter),
    SHAPE("sentence_bleu", NULL, of_sacrebleu),
    SHAPE("exact_match", NULL, of_exact),
    SHAPE(NULL, "num_labels", of_classes),
    SHAPE(NULL, "scores", of_scores),
    SHAPE(NULL, "use_stemmer", of_rouge),
    SHAPE(NULL, "scheme", of_tags),
};
static const Shape edits_shape = SHAPE(NULL, NULL, of_edits), numbers_shape = SHAPE(NULL, NULL, of_numbers);

static const Shape *shape_of(const SnJson *row)
{
    double number = 0;
    for (size_t i = 0; i < SN_COUNT(shapes); i++)
        if (shapes[i].name ? sn_json_is(sn_json_get(row, "metric"), shapes[i].name)
                           : sn_json_get(row, shapes[i].member) != NULL)
            return &shapes[i];
    const bool is_number = sn_json_number(sn_json_at(sn_json_get(row, "references"), 0), &number);
    return is_number ? &numbers_shape : &edits_shape;
}

static SnStatus parse(Conform *c, SnText *text, const SnJson **out, SnError *err)
{
    SnJson *json = NULL;
    char *own = text->failed ? NULL : sn_arena_strndup(&c->arena, text->at, text->n);
    const size_t n = text->n;
    sn_text_clear(text);
    SN_CHECK(own, err, SN_ENOMEM, "%s: no memory", c->dir);
    SN_TRY(sn_json_parse(&c->arena, c->dir, sn_bytes(own, n), &json, err));
    *out = json;
    return SN_OK;
}

static void put_member(SnText *t, const char *key, const SnJson *v)
{
    if (v) {
        sn_text_printf(t, ", \"%s\": ", key);
        sn_json_put(t, v);
    }
}

/* Lists by row of what is in streams: lists of all rows. at: one row alone, or -1. */
static void put_streams(SnText *t, const SnJson *streams, uint32_t nrow, int64_t at)
{
    sn_text_printf(t, ", \"references\": [");
    for (uint32_t i = at < 0 ? 0 : (uint32_t)at; i < (at < 0 ? nrow : (uint32_t)at + 1); i++) {
        sn_text_printf(t, at >= 0 || i == 0 ? "[" : ", [");
        for (uint32_t k = 0; k < streams->n; k++) {
            sn_text_add(t, ", ", k ? 2 : 0);
            sn_json_put(t, sn_json_at(&streams->u.child[k], i));
        }
        sn_text_add(t, "]", 1);
    }
    sn_text_add(t, "]", 1);
}

static void put_element(SnText *t, const char *key, const SnJson *list, int64_t at)
{
    if (list) {
        sn_text_printf(t, ", \"%s\": [", key);
        sn_json_put(t, sn_json_at(list, (uint32_t)at));
        sn_text_add(t, "]", 1);
    }
}

/* The case as the metric takes it; of one row (at), or of all: -1. */
static void put_input(SnText *t, const SnJson *row, const char *kwargs, int64_t at)
{
    static const char *const same[] = {"zero_division", "sample_weight", "use_stemmer", "mode", "scheme"};
    const SnJson *hyp = sn_json_get(row, "hypotheses"), *pred = hyp ? hyp : sn_json_get(row, "predictions"),
                 *ref = sn_json_get(row, "references"), *args = sn_json_get(row, "args");
    sn_text_printf(t, "{\"metric\": 0%s", kwargs);
    if (at < 0)
        put_member(t, "predictions", pred);
    else
        put_element(t, "predictions", pred, at);
    if (hyp && ref)
        put_streams(t, ref, hyp->n, at);
    else if (at < 0)
        put_member(t, "references", ref);
    else
        put_element(t, "references", ref, at);
    put_member(t, "prediction_scores", sn_json_get(row, "scores"));
    for (size_t i = 0; i < SN_COUNT(same); i++)
        put_member(t, same[i], sn_json_get(row, same[i]));
    for (uint32_t i = 0; args && args->kind == SN_JSON_OBJECT && i < args->n; i++) {
        const SnJson *v = &args->u.child[i];
        sn_text_add(t, ", ", 2);
        if (sn_bytes_is(v->key, "effective_order")) /* as the package calls use_effective_order */
            sn_json_put_string(t, sn_bytes_str("use_effective_order"));
        else
            sn_json_put_string(t, v->key);
        sn_text_add(t, ": ", 2);
        sn_json_put(t, v);
    }
    sn_text_add(t, "}", 1);
}

static SnStatus measure_text(Conform *c, const char *metric, SnText *in, const SnJson **out, SnError *err)
{
    SnText json = {.memory = sn_allocator(c->ctx)};
    const SnJson *input = NULL;
    SN_TRY(parse(c, in, &input, err));
    const SnStatus st = sn_metric_compute(c->ctx, metric, input, &json, err);
    if (st != SN_OK) {
        sn_text_clear(&json);
        return st;
    }
    return parse(c, &json, out, err);
}

static SnStatus measure(Conform *c, const SnJson *row, const char *metric, const char *kwargs, int64_t at,
                        const SnJson **out, SnError *err)
{
    SnText in = {.memory = sn_allocator(c->ctx)};
    put_input(&in, row, kwargs, at);
    return measure_text(c, metric, &in, out, err);
}

static void put_key(SnText *t, const SnJson *v, uint32_t i)
{
    sn_text_add(t, i ? ", " : "{", i ? 2 : 1);
    sn_json_put_string(t, v->key);
    sn_text_add(t, ": ", 2);
}

/* ---- what is expected, in its own shape ---- */

/* seqeval's report: types and averages. */
static SnStatus put_report(Conform *c, const SnJson *row, const SnJson *expected, SnError *err)
{
    static const char *const
        names[][2] = {{"micro avg", "overall_"}, {"macro avg", "macro_"}, {"weighted avg", "weighted_"}},
        *const keys[] = {"precision", "recall", "f1"}, *const labels[] = {"precision", "recall", "f1-score"};
    const SnJson *result = NULL;
    double support = 0, n = 0;
    SN_TRY(measure(c, row, "seqeval", ", \"averages\": true", -1, &result, err));
    for (uint32_t i = 0; i < result->n; i++)
        support += sn_json_number(sn_json_get(&result->u.child[i], "number"), &n) ? n : 0;
    for (uint32_t i = 0; i < expected->n; i++) {
        const SnJson *e = &expected->u.child[i], *type = NULL;
        const char *prefix = NULL, *name = (const char *)e->key.at;
        for (size_t k = 0; k < SN_COUNT(names); k++)
            prefix = sn_bytes_is(e->key, names[k][0]) ? names[k][1] : prefix;
        type = prefix ? result : sn_json_get(result, name);
        put_key(&c->data, e, i);
        for (size_t k = 0; k < SN_COUNT(keys); k++) {
            const char *key = sn_arena_printf(&c->arena, "%s%s", prefix ? prefix : "", keys[k]);
            const SnJson *v = type && key ? sn_json_get(type, key) : NULL;
            SN_CHECK(v, err, SN_EINTERNAL, "seqeval: no %s", key);
            sn_text_printf(&c->data, "%s\"%s\": ", k ? ", " : "{", labels[k]);
            sn_json_put(&c->data, v);
        }
        (void)sn_json_number(sn_json_get(type, "number"), &n);
        sn_text_printf(&c->data, ", \"support\": %.1f}", prefix ? support : n);
    }
    sn_text_add(&c->data, expected->n ? "}" : "{}", expected->n ? 1 : 2);
    return SN_OK;
}

static SnStatus put_facets(Conform *c, const SnJson *row, const Shape *s, const SnJson *expected,
                           const char *kwargs, int64_t at, SnError *err)
{
    for (uint32_t i = 0; i < expected->n; i++) {
        const SnJson *e = &expected->u.child[i], *result = NULL;
        const Facet *f = s->facets;
        while (f < s->facets + s->n && strcmp(f->key, "*") != 0 && !sn_bytes_is(e->key, f->key))
            f++;
        const char *key = (const char *)e->key.at;
        put_key(&c->data, e, i);
        if (s->facets == of_tags && strcmp(key, "report") == 0) {
            SN_TRY(put_report(c, row, e, err));
            continue;
        }
        SN_CHECK(f < s->facets + s->n, err, SN_EUNSUPPORTED, "%s: %s is expected", c->dir, key);
        const char *all = sn_arena_printf(&c->arena, "%s%s", f->kwargs, kwargs);
        SN_CHECK(all, err, SN_ENOMEM, "%s: no memory", c->dir);
        SN_TRY(measure(c, row, f->metric, all, at, &result, err));
        const SnJson *v = sn_json_get(result, !f->result                    ? f->metric
                                              : strcmp(f->result, "*") == 0 ? key
                                                                            : f->result);
        SN_CHECK(v, err, SN_EUNSUPPORTED, "%s has no %s", f->metric, key);
        sn_json_put(&c->data, v);
    }
    sn_text_add(&c->data, "}", 1);
    return SN_OK;
}

/* rouge: of each row and type its parts. */
static SnStatus put_rouge_rows(Conform *c, const SnJson *row, const SnJson *expected, SnError *err)
{
    const SnJson *result = NULL;
    SN_TRY(measure(c, row, "rouge", ", \"use_aggregator\": false, \"details\": true", -1, &result, err));
    for (uint32_t i = 0; i < expected->n; i++) {
        sn_text_printf(&c->data, i ? ", " : "[");
        for (uint32_t k = 0; k < expected->u.child[i].n; k++) {
            const SnJson *e = &expected->u.child[i].u.child[k];
            put_key(&c->data, e, k);
            sn_json_put(&c->data, sn_json_at(sn_json_get(result, (const char *)e->key.at), i));
        }
        sn_text_add(&c->data, "}", 1);
    }
    sn_text_add(&c->data, "]", 1);
    return SN_OK;
}

/* The same facets of each row by itself. */
static SnStatus put_each(Conform *c, const SnJson *row, const Shape *s, const SnJson *expected, SnError *err)
{
    for (uint32_t i = 0; i < expected->n; i++) {
        sn_text_printf(&c->data, i ? ", " : "[");
        SN_TRY(put_facets(c, row, s, &expected->u.child[i], "", i, err));
    }
    sn_text_add(&c->data, "]", 1);
    return SN_OK;
}

static SnStatus put_sentences(Conform *c, const SnJson *row, const SnJson *expected, SnError *err)
{
    const uint32_t n = sn_json_get(expected, "scores") ? sn_json_get(expected, "scores")->n : 0;
    sn_text_printf(&c->data, "{\"scores\": [");
    for (uint32_t i = 0; i < n; i++) {
        const SnJson *result = NULL;
        SN_TRY(measure(c, row, "sacrebleu", "", i, &result, err));
        sn_text_add(&c->data, ", ", i ? 2 : 0);
        sn_json_put(&c->data, sn_json_get(result, "score"));
    }
    sn_text_add(&c->data, "]}", 2);
    return SN_OK;
}

/* ---- answers ---- */

static void put_answers(SnText *t, const SnJson *rows, uint32_t first, uint32_t n)
{
    sn_text_printf(t, "{\"predictions\": [");
    for (uint32_t i = first; i < first + n; i++) {
        sn_text_printf(t, "%s{\"id\": \"%u\", \"prediction_text\": ", i > first ? ", " : "", i);
        sn_json_put(t, sn_json_get(&rows->u.child[i], "prediction"));
        sn_text_add(t, "}", 1);
    }
    sn_text_printf(t, "], \"references\": [");
    for (uint32_t i = first; i < first + n; i++) {
        const SnJson *answers = sn_json_get(&rows->u.child[i], "answers");
        sn_text_printf(t, "%s{\"id\": \"%u\", \"answers\": {\"text\": ", i > first ? ", " : "", i);
        if (answers && answers->n > 0)
            sn_json_put(t, answers);
        else
            sn_text_printf(t, "[\"\"]");
        sn_text_add(t, "}}", 2);
    }
    sn_text_add(t, "]}", 2);
}

/* Parts of a whole of one row, of a hundred of all. */
static SnStatus put_squad(Conform *c, const SnJson *rows, uint32_t first, uint32_t n, double whole,
                          SnError *err)
{
    static const char *const keys[] = {"exact_match", "f1"};
    SnText in = {.memory = sn_allocator(c->ctx)};
    const SnJson *result = NULL;
    double v = 0;
    put_answers(&in, rows, first, n);
    SN_TRY(measure_text(c, "squad", &in, &result, err));
    for (size_t i = 0; i < SN_COUNT(keys); i++) {
        SN_CHECK(sn_json_number(sn_json_get(result, keys[i]), &v), err, SN_EINTERNAL, "squad: no %s",
                 keys[i]);
        sn_text_printf(&c->data, "%s\"%s\": ", i ? ", " : "{", keys[i]);
        sn_json_put_f64(&c->data, v * whole / 100);
    }
    sn_text_add(&c->data, "}", 1);
    return SN_OK;
}

/* Writes one member of rows[i]. */
typedef SnStatus PutMember(Conform *c, const SnJson *rows, uint32_t i, const SnJson *member, void *of,
                           SnError *err);

static SnStatus put_rows(Conform *c, const SnJson *rows, PutMember *put, void *of, SnError *err)
{
    for (uint32_t i = 0; i < rows->n; i++) {
        const SnJson *row = &rows->u.child[i];
        sn_text_printf(&c->data, i ? ",\n  " : "[");
        for (uint32_t k = 0; k < row->n; k++) {
            put_key(&c->data, &row->u.child[k], k);
            SN_TRY(put(c, rows, i, &row->u.child[k], of, err));
        }
        sn_text_add(&c->data, "}", 1);
    }
    sn_text_add(&c->data, "]", 1);
    return SN_OK;
}

static SnStatus put_squad_member(Conform *c, const SnJson *rows, uint32_t i, const SnJson *member, void *of,
                                 SnError *err)
{
    (void)of;
    if (sn_bytes_is(member->key, "expected"))
        return put_squad(c, rows, i, 1, 1, err);
    sn_json_put(&c->data, member);
    return SN_OK;
}

/* ---- cases ---- */

static SnStatus put_expected(Conform *c, const SnJson *row, const SnJson *expected, SnError *err)
{
    const Shape *s = shape_of(row);
    if (sn_json_get(row, "rows"))
        return put_squad(c, sn_json_get(row, "rows"), 0, sn_json_get(row, "rows")->n, 100, err);
    if (sn_json_is(sn_json_get(row, "metric"), "sentence_bleu"))
        return put_sentences(c, row, expected, err);
    if (expected->kind == SN_JSON_ARRAY)
        return s->facets == of_rouge ? put_rouge_rows(c, row, expected, err)
                                     : put_each(c, row, s, expected, err);
    return put_facets(c, row, s, expected, "", -1, err);
}

/* The case with what came out in the place of all that is expected. */
static SnStatus run_case(Conform *c, const SnJson *row, SnError *err)
{
    SN_CHECK(row->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: a case is no object", c->dir);
    for (uint32_t i = 0; i < row->n; i++) {
        const SnJson *v = &row->u.child[i];
        put_key(&c->data, v, i);
        if (v->key.n >= 8 && memcmp(v->key.at, "expected", 8) == 0)
            SN_TRY(put_expected(c, row, v, err));
        else if (sn_bytes_is(v->key, "rows"))
            SN_TRY(put_rows(c, v, put_squad_member, NULL, err));
        else
            sn_json_put(&c->data, v);
    }
    sn_text_add(&c->data, row->n ? "}" : "{}", row->n ? 1 : 2);
    return SN_OK;
}

/* ---- perplexity: what it is of each row is in the row ---- */

static SnStatus perplexity_of(Conform *c, SnModel *m, const SnJson *row, double *out, SnError *err)
{
    SnText in = {.memory = sn_allocator(c->ctx)}, json = in;
    const SnJson *input = NULL, *result = NULL;
    sn_text_printf(&in, "{\"predictions\": [");
    sn_json_put(&in, sn_json_get(row, "text"));
    sn_text_add(&in, "]", 1);
    put_member(&in, "add_start_token", sn_json_get(row, "add_start_token"));
    sn_text_add(&in, "}", 1);
    SN_TRY(parse(c, &in, &input, err));
    const SnStatus st = sn_model_perplexity(m, input, &json, err);
    if (st != SN_OK) {
        sn_text_clear(&json);
        return st;
    }
    SN_TRY(parse(c, &json, &result, err));
    SN_CHECK(sn_json_number(sn_json_get(result, "mean_perplexity"), out), err, SN_EINTERNAL,
             "perplexity: no mean");
    return SN_OK;
}

typedef struct Surprise {
    SnModel *m;
    double of_row, sum, n; /* sum: of the n rows with a start token */
} Surprise;

static SnStatus put_surprise(Conform *c, const SnJson *rows, uint32_t i, const SnJson *member, void *of,
                             SnError *err)
{
    const SnJson *row = &rows->u.child[i];
    Surprise *s = of;
    bool starts = false;
    if (member == row->u.child) {
        SN_TRY(perplexity_of(c, s->m, row, &s->of_row, err));
        if (sn_json_bool(sn_json_get(row, "add_start_token"), &starts) && starts) {
            s->sum += s->of_row;
            s->n++;
        }
    }
    if (sn_bytes_is(member->key, "perplexity"))
        sn_json_put_f64(&c->data, s->of_row);
    else if (sn_bytes_is(member->key, "mean_nll"))
        sn_json_put_f64(&c->data, log(s->of_row));
    else
        sn_json_put(&c->data, member);
    return SN_OK;
}

static SnStatus run_texts(Conform *c, const char *model, const SnJson *data, SnError *err)
{
    Surprise s = {.m = NULL};
    SnStatus st = conform_model(c, model, c->dtype != SN_NODTYPE ? c->dtype : SN_F32, &s.m, err);
    for (uint32_t i = 0; st == SN_OK && i < data->n; i++) {
        const SnJson *v = &data->u.child[i];
        put_key(&c->data, v, i);
        if (sn_bytes_is(v->key, "rows"))
            st = put_rows(c, v, put_surprise, &s, err);
        else if (sn_bytes_is(v->key, "mean_perplexity_add_start_token"))
            sn_json_put_f64(&c->data, s.n > 0 ? s.sum / s.n : 0);
        else
            sn_json_put(&c->data, v);
    }
    sn_text_add(&c->data, "}\n", 2);
    sn_model_close(s.m);
    return st;
}

SnStatus conform_metrics(Conform *c, SnError *err)
{
    const SnJson *data = NULL;
    const char *file = conform_string(c, sn_json_get(c->spec, "data")),
               *model = conform_string(c, sn_json_get(c->spec, "model"));
    SN_TRY(conform_json(c, file ? file : "data.json", &data, err));
    if (model)
        return run_texts(c, model, data, err);
    const SnJson *cases = sn_json_get(data, "cases");
    SN_CHECK(cases && cases->kind == SN_JSON_ARRAY, err, SN_EUNSUPPORTED, "%s: no list of cases", c->dir);
    sn_text_printf(&c->data, "{\"cases\": [");
    for (uint32_t i = 0; i < cases->n; i++) {
        sn_text_add(&c->data, ",\n ", i ? 3 : 0);
        SN_TRY(run_case(c, &cases->u.child[i], err));
    }
    sn_text_printf(&c->data, "]}\n");
    SN_CHECK(!c->data.failed, err, SN_ENOMEM, "%s: no memory", c->dir);
    return SN_OK;
}
