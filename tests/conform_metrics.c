/* conform_metrics.c -- cases of kind metrics: inputs to values by the names that the case has for them. */
#include "tests/conform.h"

#include "frontends/eval.h"

/* What is expected of a case, by its key there. */
typedef struct Facet {
    const char *key, *metric, *kwargs, *result; /* result NULL: named as the metric */
} Facet;

static const Facet of_classes[] = {
    {"accuracy", "accuracy", "", NULL},
    {"accuracy_count", "accuracy", ", \"normalize\": false", NULL},
    {"matthews_correlation", "matthews_correlation", "", NULL},
    {"confusion_matrix", "confusion_matrix", "", NULL},
    {"cohen_kappa", "cohen_kappa", "", NULL},
    {"balanced_accuracy", "balanced_accuracy", "", NULL},
};
static const Facet of_two_classes[] = {
    {"precision_binary", "precision", "", NULL},
    {"recall_binary", "recall", "", NULL},
    {"f1_binary", "f1", "", NULL},
};
static const Facet of_averages[] = {
    {"precision_micro", "precision", ", \"average\": \"micro\"", NULL},
    {"recall_micro", "recall", ", \"average\": \"micro\"", NULL},
    {"f1_micro", "f1", ", \"average\": \"micro\"", NULL},
    {"precision_macro", "precision", ", \"average\": \"macro\"", NULL},
    {"recall_macro", "recall", ", \"average\": \"macro\"", NULL},
    {"f1_macro", "f1", ", \"average\": \"macro\"", NULL},
    {"precision_weighted", "precision", ", \"average\": \"weighted\"", NULL},
    {"recall_weighted", "recall", ", \"average\": \"weighted\"", NULL},
    {"f1_weighted", "f1", ", \"average\": \"weighted\"", NULL},
    {"precision_per_class", "precision", ", \"average\": null", NULL},
    {"recall_per_class", "recall", ", \"average\": null", NULL},
    {"f1_per_class", "f1", ", \"average\": null", NULL},
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

/* A result of a metric of the case's predictions and references. */
static SnStatus measure(Conform *c, const SnJson *row, const Facet *f, const SnJson **out, SnError *err)
{
    SnText in = {.memory = sn_allocator(c->ctx)}, json = in;
    const SnJson *input = NULL, *result = NULL;
    sn_text_printf(&in, "{\"metric\": 0%s", f->kwargs);
    put_member(&in, "predictions", sn_json_get(row, "predictions"));
    put_member(&in, "prediction_scores", sn_json_get(row, "scores"));
    put_member(&in, "references", sn_json_get(row, "references"));
    put_member(&in, "zero_division", sn_json_get(row, "zero_division"));
    put_member(&in, "sample_weight", sn_json_get(row, "sample_weight"));
    sn_text_add(&in, "}", 1);
    SN_TRY(parse(c, &in, &input, err));
    const SnStatus st = sn_metric_compute(c->ctx, f->metric, input, &json, err);
    if (st != SN_OK) {
        sn_text_clear(&json);
        return st;
    }
    SN_TRY(parse(c, &json, &result, err));
    *out = sn_json_get(result, f->result ? f->result : f->metric);
    SN_CHECK(*out, err, SN_EINTERNAL, "%s: no %s", f->metric, f->result ? f->result : f->metric);
    return SN_OK;
}

static SnStatus put_facets(Conform *c, const SnJson *row, const Facet *f, size_t n, bool *is_first,
                           SnError *err)
{
    for (size_t i = 0; i < n; i++) {
        const SnJson *v = NULL;
        SN_TRY(measure(c, row, &f[i], &v, err));
        sn_text_printf(&c->data, "%s\"%s\": ", *is_first ? "" : ", ", f[i].key);
        sn_json_put(&c->data, v);
        *is_first = false;
    }
    return SN_OK;
}

static SnStatus put_expected(Conform *c, const SnJson *row, SnError *err)
{
    int64_t nlabel = 0;
    double number = 0;
    bool is_first = true;
    sn_text_printf(&c->data, ", \"expected\": {");
    if (sn_json_int(sn_json_get(row, "num_labels"), &nlabel)) {
        SN_TRY(put_facets(c, row, of_classes, SN_COUNT(of_classes), &is_first, err));
        if (nlabel == 2)
            SN_TRY(put_facets(c, row, of_two_classes, SN_COUNT(of_two_classes), &is_first, err));
        SN_TRY(put_facets(c, row, of_averages, SN_COUNT(of_averages), &is_first, err));
    } else if (sn_json_get(row, "scores")) {
        SN_TRY(put_facets(c, row, of_scores, SN_COUNT(of_scores), &is_first, err));
    } else {
        SN_CHECK(sn_json_number(sn_json_at(sn_json_get(row, "references"), 0), &number), err, SN_EUNSUPPORTED,
                 "%s: metrics other than those of classes and numbers", c->dir);
        SN_TRY(put_facets(c, row, of_numbers, SN_COUNT(of_numbers), &is_first, err));
    }
    sn_text_add(&c->data, "}", 1);
    return SN_OK;
}

/* The case with what came out in the place of all that is expected. */
static SnStatus run_case(Conform *c, const SnJson *row, SnError *err)
{
    const char *separator = "{";
    SN_CHECK(row->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: a case is no object", c->dir);
    for (uint32_t i = 0; i < row->n; i++) {
        const SnJson *v = &row->u.child[i];
        if (v->key.n >= 8 && memcmp(v->key.at, "expected", 8) == 0)
            continue;
        sn_text_printf(&c->data, "%s", separator);
        sn_json_put_string(&c->data, v->key);
        sn_text_add(&c->data, ": ", 2);
        sn_json_put(&c->data, v);
        separator = ", ";
    }
    SN_TRY(put_expected(c, row, err));
    sn_text_add(&c->data, "}", 1);
    return SN_OK;
}

SnStatus conform_metrics(Conform *c, SnError *err)
{
    const SnJson *data = NULL;
    const char *file = conform_string(c, sn_json_get(c->spec, "data"));
    SN_TRY(conform_json(c, file ? file : "data.json", &data, err));
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
