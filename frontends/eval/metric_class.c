/* metric_class.c -- metrics of classes, as scikit-learn computes them from a confusion matrix. */
#include "frontends/eval/metric.h"

#include <math.h>
#include <stdlib.h>

#define MAX_CLASSES 4096 /* classes that a whole matrix is made of */

/* Labels are strings or whole numbers; true and false are 1 and 0. */
typedef struct Label {
    const SnJson *at;
    bool is_text;
    int64_t number;
    SnBytes text;
} Label;

/* Classes in the order of `labels`, then the others, sorted. */
typedef struct Classes {
    Label *label;
    uint32_t n, nasked; /* nasked: those that results are about */
    uint32_t *pred, *ref;
    double *weight; /* of a sample; NULL: 1 */
} Classes;

/* Sums over the samples of each class. */
typedef struct Sums {
    double *hit, *pred, *ref;
} Sums;

typedef enum Average { BINARY, MICRO, MACRO, WEIGHTED, NONE } Average;

static int compare_labels(const void *a, const void *b)
{
    const Label *x = a, *y = b;
    if (!x->is_text)
        return x->number < y->number ? -1 : x->number > y->number;
    const size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    const int order = n ? memcmp(x->text.at, y->text.at, n) : 0;
    return order ? order : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

static bool read_label(const SnJson *v, Label *out)
{
    bool flag = false;
    *out = (Label){.at = v};
    out->is_text = sn_json_string(v, &out->text);
    if (out->is_text || sn_json_int(v, &out->number))
        return true;
    if (!sn_json_bool(v, &flag))
        return false;
    out->number = flag;
    return true;
}

static SnStatus read_labels(SnMetricRun *r, const char *what, const SnJson *list, bool is_text, Label *out)
{
    for (uint32_t i = 0; i < list->n; i++) {
        SN_CHECK(read_label(&list->u.child[i], &out[i]), r->err, SN_EFORMAT,
                 "%s: %s[%u] is neither a string nor a whole number", r->name, what, i);
        SN_CHECK(out[i].is_text == is_text, r->err, SN_EFORMAT, "%s: strings and numbers are mixed at %s[%u]",
                 r->name, what, i);
    }
    return SN_OK;
}

static size_t drop_repeated(Label *v, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || compare_labels(&v[kept - 1], &v[i]) != 0)
            v[kept++] = v[i];
    return kept;
}

/* `order` has the sorted labels that occur; asked ones go before all others. */
static SnStatus place_classes(SnMetricRun *r, const Label *order, size_t norder, const SnJson *asked,
                              uint32_t *place, Classes *c)
{
    for (uint32_t i = 0; asked && i < asked->n; i++) {
        Label want;
        SN_CHECK(read_label(&asked->u.child[i], &want) && want.is_text == order[0].is_text, r->err,
                 SN_EFORMAT, "%s: labels[%u] is of another type than the predictions", r->name, i);
        const Label *found = bsearch(&want, order, norder, sizeof *order, compare_labels);
        SN_CHECK(!found || place[found - order] == UINT32_MAX, r->err, SN_EFORMAT,
                 "%s: labels[%u] is repeated", r->name, i);
        if (found)
            place[found - order] = c->n;
        c->label[c->n++] = want;
    }
    c->nasked = c->n;
    for (size_t i = 0; i < norder; i++)
        if (place[i] == UINT32_MAX) {
            place[i] = c->n;
            c->label[c->n++] = order[i];
        }
    if (!asked)
        c->nasked = c->n;
    return SN_OK;
}

static SnStatus read_classes(SnMetricRun *r, Classes *c)
{
    const SnJson *asked = sn_json_get(r->in, "labels");
    const uint32_t n = r->n;
    Label first;
    if (sn_json_is_null(asked))
        asked = NULL;
    SN_CHECK(!asked || (asked->kind == SN_JSON_ARRAY && asked->n > 0), r->err, SN_EFORMAT,
             "%s: labels is no list of labels", r->name);
    SN_CHECK(read_label(&r->ref->u.child[0], &first), r->err, SN_EFORMAT,
             "%s: references[0] is neither a string nor a whole number", r->name);
    const size_t nasked = asked ? asked->n : 0;
    Label *all = sn_arena_array(r->arena, (size_t)n * 2, sizeof *all),
          *order = sn_arena_array(r->arena, (size_t)n * 2, sizeof *order);
    uint32_t *place = sn_arena_array(r->arena, (size_t)n * 2, sizeof *place);
    *c = (Classes){.label = sn_arena_array(r->arena, (size_t)n * 2 + nasked, sizeof *c->label),
                   .pred = sn_arena_array(r->arena, n, sizeof *c->pred),
                   .ref = sn_arena_array(r->arena, n, sizeof *c->ref)};
    SN_CHECK(all && order && place && c->label && c->pred && c->ref, r->err, SN_ENOMEM, "%s: no memory",
             r->name);
    SN_TRY(read_labels(r, "predictions", r->pred, first.is_text, all));
    SN_TRY(read_labels(r, "references", r->ref, first.is_text, all + n));
    memcpy(order, all, (size_t)n * 2 * sizeof *all);
    qsort(order, (size_t)n * 2, sizeof *order, compare_labels);
    const size_t norder = drop_repeated(order, (size_t)n * 2);
    for (size_t i = 0; i < norder; i++)
        place[i] = UINT32_MAX;
    SN_TRY(place_classes(r, order, norder, asked, place, c));
    for (uint32_t i = 0; i < n; i++) {
        const Label *p = bsearch(&all[i], order, norder, sizeof *order, compare_labels),
                    *t = bsearch(&all[n + i], order, norder, sizeof *order, compare_labels);
        c->pred[i] = place[p - order];
        c->ref[i] = place[t - order];
    }
    return sn_metric_numbers(r, "sample_weight", sn_json_get(r->in, "sample_weight"), &c->weight);
}

static SnStatus sum_classes(SnMetricRun *r, const Classes *c, Sums *s)
{
    *s = (Sums){.hit = sn_arena_array(r->arena, c->n, sizeof(double)),
                .pred = sn_arena_array(r->arena, c->n, sizeof(double)),
                .ref = sn_arena_array(r->arena, c->n, sizeof(double))};
    SN_CHECK(s->hit && s->pred && s->ref, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++) {
        const double w = c->weight ? c->weight[i] : 1;
        s->pred[c->pred[i]] += w;
        s->ref[c->ref[i]] += w;
        if (c->pred[i] == c->ref[i])
            s->hit[c->ref[i]] += w;
    }
    return SN_OK;
}

SnStatus sn_metric_accuracy(SnMetricRun *r)
{
    Classes c;
    Sums s;
    bool is_normal = true;
    double hits = 0, all = 0;
    SN_TRY(sn_metric_flag(r, "normalize", true, &is_normal));
    SN_TRY(read_classes(r, &c));
    SN_TRY(sum_classes(r, &c, &s));
    for (uint32_t i = 0; i < c.n; i++) {
        hits += s.hit[i];
        all += s.ref[i];
    }
    SN_CHECK(!is_normal || all != 0, r->err, SN_EFORMAT, "%s: the weights sum to zero", r->name);
    sn_metric_put(r, "accuracy", is_normal ? hits / all : hits);
    return SN_OK;
}

/* ---- precision, recall, f1 ---- */

typedef enum Score { PRECISION, RECALL, F1 } Score;

/* What a quotient over nothing is. */
static SnStatus read_zero(SnMetricRun *r, double *out)
{
    const SnJson *v = sn_json_get(r->in, "zero_division");
    *out = 0;
    SN_CHECK(sn_json_is_null(v) || sn_json_is(v, "warn") ||
                 (sn_json_number(v, out) && (*out == 0 || *out == 1 || isnan(*out))),
             r->err, SN_EFORMAT, "%s: zero_division is none of 0, 1, NaN and 'warn'", r->name);
    return SN_OK;
}

static double score_of(Score score, double hit, double pred, double ref, double zero)
{
    const double of = score == PRECISION ? pred : score == RECALL ? ref : pred + ref;
    return of == 0 ? zero : (score == F1 ? 2 * hit : hit) / of;
}

/* Mean of the numbers that are any; over weights that sum to zero it is a plain one. */
static double mean_of(const double *v, const double *weight, uint32_t n)
{
    double sum = 0, all = 0, plain = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (isnan(v[i]))
            continue;
        sum += v[i] * (weight ? weight[i] : 1);
        all += weight ? weight[i] : 1;
        plain += v[i];
        count++;
    }
    return count == 0 ? (double)NAN : all == 0 ? plain / count : sum / all;
}

/* The class that a binary score is about; c->n: one that does not occur. */
static SnStatus positive_class(SnMetricRun *r, const Classes *c, uint32_t *out)
{
    const SnJson *given = sn_json_get(r->in, "pos_label");
    Label want = {.number = 1};
    uint32_t present = 0;
    if (!sn_json_is_null(given))
        SN_CHECK(read_label(given, &want), r->err, SN_EFORMAT, "%s: pos_label is no label", r->name);
    *out = c->n;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->label[i].is_text == want.is_text && compare_labels(&c->label[i], &want) == 0)
            *out = i;
    for (uint32_t k = 0; k < c->n; k++)
        for (uint32_t i = 0; i < r->n; i++)
            if (c->pred[i] == k || c->ref[i] == k) {
                present++;
                break;
            }
    SN_CHECK(present <= 2, r->err, SN_EFORMAT,
             "%s: %u classes, but average is 'binary'; others are 'micro', 'macro', 'weighted' and null",
             r->name, present);
    SN_CHECK(*out < c->n || present < 2, r->err, SN_EFORMAT, "%s: pos_label is none of the labels", r->name);
    return SN_OK;
}

static SnStatus put_average(SnMetricRun *r, const Classes *c, const Sums *s, Score score, Average average)
{
    double zero = 0, hit = 0, pred = 0, ref = 0, *v = sn_arena_array(r->arena, c->n, sizeof *v);
    SN_CHECK(v, r->err, SN_ENOMEM, "%s: no memory", r->name);
    SN_TRY(read_zero(r, &zero));
    for (uint32_t i = 0; i < c->nasked; i++) {
        v[i] = score_of(score, s->hit[i], s->pred[i], s->ref[i], zero);
        hit += s->hit[i];
        pred += s->pred[i];
        ref += s->ref[i];
    }
    if (average == BINARY) {
        uint32_t at = 0;
        SN_TRY(positive_class(r, c, &at));
        sn_metric_put(r, r->name,
                      at < c->n ? score_of(score, s->hit[at], s->pred[at], s->ref[at], zero) : zero);
    } else if (average == MICRO) {
        sn_metric_put(r, r->name, score_of(score, hit, pred, ref, zero));
    } else if (average == NONE) {
        sn_metric_put_list(r, r->name, v, c->nasked);
    } else {
        sn_metric_put(r, r->name, mean_of(v, average == WEIGHTED ? s->ref : NULL, c->nasked));
    }
    return SN_OK;
}

static SnStatus score_classes(SnMetricRun *r, Score score)
{
    static const char *const names[] = {"binary", "micro", "macro", "weighted", NULL};
    const SnJson *given = sn_json_get(r->in, "average");
    uint32_t average = NONE;
    Classes c;
    Sums s;
    if (!given || !sn_json_is_null(given))
        SN_TRY(sn_metric_choice(r, "average", names, BINARY, &average));
    SN_TRY(read_classes(r, &c));
    SN_TRY(sum_classes(r, &c, &s));
    return put_average(r, &c, &s, score, (Average)average);
}

SnStatus sn_metric_precision(SnMetricRun *r)
{
    return score_classes(r, PRECISION);
}

SnStatus sn_metric_recall(SnMetricRun *r)
{
    return score_classes(r, RECALL);
}

SnStatus sn_metric_f1(SnMetricRun *r)
{
    return score_classes(r, F1);
}

/* ---- the whole matrix ---- */

SnStatus sn_metric_balanced(SnMetricRun *r)
{
    Classes c;
    Sums s;
    bool is_adjusted = false;
    double sum = 0, count = 0;
    SN_TRY(sn_metric_flag(r, "adjusted", false, &is_adjusted));
    SN_TRY(read_classes(r, &c));
    SN_TRY(sum_classes(r, &c, &s));
    for (uint32_t i = 0; i < c.n; i++)
        if (s.ref[i] != 0) {
            sum += s.hit[i] / s.ref[i];
            count++;
        }
    const double score = sum / count, chance = 1 / count;
    sn_metric_put(r, "balanced_accuracy", is_adjusted ? (score - chance) / (1 - chance) : score);
    return SN_OK;
}

SnStatus sn_metric_matthews(SnMetricRun *r)
{
    Classes c;
    Sums s;
    double hit = 0, all = 0, cross = 0, pred = 0, ref = 0;
    SN_TRY(read_classes(r, &c));
    SN_TRY(sum_classes(r, &c, &s));
    for (uint32_t i = 0; i < c.n; i++) {
        hit += s.hit[i];
        all += s.ref[i];
        cross += s.pred[i] * s.ref[i];
        pred += s.pred[i] * s.pred[i];
        ref += s.ref[i] * s.ref[i];
    }
    const double spread = (all * all - pred) * (all * all - ref);
    sn_metric_put(r, "matthews_correlation", spread > 0 ? (hit * all - cross) / sqrt(spread) : 0);
    return SN_OK;
}

/* Row: reference, column: prediction; of the asked classes. And the sums of rows, of columns and of all. */
typedef struct Matrix {
    double *at, *row, *column, all;
    size_t n;
} Matrix;
static SnStatus matrix_of(SnMetricRun *r, Matrix *out)
{
    Classes c;
    SN_TRY(read_classes(r, &c));
    const size_t n = c.nasked;
    SN_CHECK(n <= MAX_CLASSES, r->err, SN_EUNSUPPORTED, "%s: %zu classes, at most %d are taken", r->name, n,
             MAX_CLASSES);
    *out = (Matrix){.at = sn_arena_array(r->arena, n * n, sizeof *out->at),
                    .row = sn_arena_array(r->arena, n, sizeof *out->row),
                    .column = sn_arena_array(r->arena, n, sizeof *out->column),
                    .n = n};
    SN_CHECK(out->at && out->row && out->column, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++)
        if (c.pred[i] < n && c.ref[i] < n)
            out->at[c.ref[i] * n + c.pred[i]] += c.weight ? c.weight[i] : 1;
    for (size_t i = 0; i < n * n; i++) {
        out->row[i / n] += out->at[i];
        out->column[i % n] += out->at[i];
        out->all += out->at[i];
    }
    return SN_OK;
}

SnStatus sn_metric_confusion(SnMetricRun *r)
{
    static const char *const names[] = {"none", "true", "pred", "all", NULL};
    Matrix m;
    uint32_t over = 0;
    SN_TRY(sn_metric_choice(r, "normalize", names, 0, &over));
    SN_TRY(matrix_of(r, &m));
    const size_t n = m.n;
    sn_metric_key(r, "confusion_matrix");
    for (size_t i = 0; i < n * n; i++) {
        const double by = over == 1 ? m.row[i / n] : over == 2 ? m.column[i % n] : over == 3 ? m.all : 1;
        sn_text_printf(r->out, "%s", i == 0 ? "[[" : i % n == 0 ? "], [" : ", ");
        sn_json_put_f64(r->out, by == 0 ? 0 : m.at[i] / by);
    }
    sn_text_printf(r->out, "]]");
    return SN_OK;
}

SnStatus sn_metric_kappa(SnMetricRun *r)
{
    static const char *const names[] = {"none", "linear", "quadratic", NULL};
    Matrix m;
    double seen = 0, expected = 0;
    uint32_t kind = 0;
    SN_TRY(sn_metric_choice(r, "weights", names, 0, &kind));
    SN_TRY(matrix_of(r, &m));
    const size_t n = m.n;
    for (size_t i = 0; i < n * n; i++) {
        const double d = (double)(i / n) - (double)(i % n), w = kind == 0   ? d != 0
                                                                : kind == 1 ? fabs(d)
                                                                            : d * d;
        seen += w * m.at[i];
        expected += w * m.row[i / n] * m.column[i % n] / m.all;
    }
    sn_metric_put(r, "cohen_kappa", expected == 0 ? (double)NAN : 1 - seen / expected);
    return SN_OK;
}
