/* metric_number.c -- metrics of numbers: errors, correlations, ranks. */
#include "frontends/eval/metric.h"

#include <math.h>
#include <stdlib.h>

typedef struct Ranked {
    double value, rank;
    uint32_t at;
} Ranked;

static SnStatus pairs(SnMetricRun *r, double **x, double **y)
{
    SN_TRY(sn_metric_numbers(r, "predictions", r->pred, x));
    return sn_metric_numbers(r, "references", r->ref, y);
}

static SnStatus put_error(SnMetricRun *r, bool is_square)
{
    double *x = NULL, *y = NULL, *weight = NULL, sum = 0, all = 0;
    bool is_squared = true;
    SN_TRY(pairs(r, &x, &y));
    SN_TRY(sn_metric_numbers(r, "sample_weight", sn_json_get(r->in, "sample_weight"), &weight));
    if (is_square)
        SN_TRY(sn_metric_flag(r, "squared", true, &is_squared));
    for (uint32_t i = 0; i < r->n; i++) {
        const double w = weight ? weight[i] : 1, d = fabs(x[i] - y[i]);
        sum += w * (is_square ? d * d : d);
        all += w;
    }
    SN_CHECK(all != 0, r->err, SN_EFORMAT, "%s: the weights sum to zero", r->name);
    sn_metric_put(r, r->name, is_squared ? sum / all : sqrt(sum / all));
    return SN_OK;
}

SnStatus sn_metric_mse(SnMetricRun *r)
{
    return put_error(r, true);
}

SnStatus sn_metric_mae(SnMetricRun *r)
{
    return put_error(r, false);
}

SnStatus sn_metric_r2(SnMetricRun *r)
{
    double *x = NULL, *y = NULL, *weight = NULL, mean = 0, all = 0, rest = 0, spread = 0;
    SN_TRY(pairs(r, &x, &y));
    SN_TRY(sn_metric_numbers(r, "sample_weight", sn_json_get(r->in, "sample_weight"), &weight));
    for (uint32_t i = 0; i < r->n; i++) {
        mean += (weight ? weight[i] : 1) * y[i];
        all += weight ? weight[i] : 1;
    }
    SN_CHECK(all != 0, r->err, SN_EFORMAT, "%s: the weights sum to zero", r->name);
    mean /= all;
    for (uint32_t i = 0; i < r->n; i++) {
        const double w = weight ? weight[i] : 1;
        rest += w * (y[i] - x[i]) * (y[i] - x[i]);
        spread += w * (y[i] - mean) * (y[i] - mean);
    }
    sn_metric_put(r, "r2", r->n < 2 ? (double)NAN : spread != 0.0 ? 1 - rest / spread : rest == 0 ? 1 : 0);
    return SN_OK;
}

/* ---- correlations ---- */

/* NaN where one of the two does not vary. */
static double correlation(const double *x, const double *y, uint32_t n)
{
    double mx = 0, my = 0, xy = 0, xx = 0, yy = 0;
    for (uint32_t i = 0; i < n; i++) {
        mx += x[i];
        my += y[i];
    }
    mx /= n;
    my /= n;
    for (uint32_t i = 0; i < n; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    const double c = xy / (sqrt(xx) * sqrt(yy));
    return xx == 0 || yy == 0 ? (double)NAN : c > 1 ? 1 : c < -1 ? -1 : c;
}

static SnStatus read_correlation(SnMetricRun *r, double **x, double **y)
{
    bool has_p = false;
    SN_TRY(sn_metric_flag(r, "return_pvalue", false, &has_p));
    SN_CHECK(!has_p, r->err, SN_EUNSUPPORTED, "%s: return_pvalue", r->name);
    SN_CHECK(r->n > 1, r->err, SN_EFORMAT, "%s: needs two pairs at least", r->name);
    return pairs(r, x, y);
}

static int compare_ranked(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value ? 1 : x->at < y->at ? -1 : x->at > y->at;
}

/* Values become their ranks; equal ones have the mean of theirs. */
static bool rank(SnArena *arena, double *v, uint32_t n)
{
    Ranked *sorted = sn_arena_array(arena, n, sizeof *sorted);
    if (!sorted)
        return false;
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = (Ranked){.value = v[i], .at = i};
    qsort(sorted, n, sizeof *sorted, compare_ranked);
    for (uint32_t i = 0, end = 0; i < n; i = end) {
        while (end < n && sorted[end].value == sorted[i].value)
            end++;
        for (uint32_t k = i; k < end; k++)
            v[sorted[k].at] = ((double)i + 1 + (double)end) / 2;
    }
    return true;
}

SnStatus sn_metric_pearson(SnMetricRun *r)
{
    double *x = NULL, *y = NULL;
    SN_TRY(read_correlation(r, &x, &y));
    sn_metric_put(r, "pearsonr", correlation(x, y, r->n));
    return SN_OK;
}

SnStatus sn_metric_spearman(SnMetricRun *r)
{
    double *x = NULL, *y = NULL;
    SN_TRY(read_correlation(r, &x, &y));
    SN_CHECK(rank(r->arena, x, r->n) && rank(r->arena, y, r->n), r->err, SN_ENOMEM, "%s: no memory", r->name);
    sn_metric_put(r, "spearmanr", correlation(x, y, r->n));
    return SN_OK;
}

/* Tau-b over all pairs. */
SnStatus sn_metric_kendall(SnMetricRun *r)
{
    double *x = NULL, *y = NULL, agree = 0, nx = 0, ny = 0;
    SN_TRY(read_correlation(r, &x, &y));
    for (uint32_t i = 0; i < r->n; i++)
        for (uint32_t k = 0; k < i; k++) {
            const int dx = (x[i] > x[k]) - (x[i] < x[k]), dy = (y[i] > y[k]) - (y[i] < y[k]);
            agree += dx * dy;
            nx += dx != 0;
            ny += dy != 0;
        }
    sn_metric_put(r, "kendalltau", nx == 0 || ny == 0 ? (double)NAN : agree / sqrt(nx) / sqrt(ny));
    return SN_OK;
}

/* ---- scores of two classes ---- */

static SnStatus read_scores(SnMetricRun *r, double **score, double **is_true, double *ntrue)
{
    *ntrue = 0;
    SN_TRY(sn_metric_numbers(r, "prediction_scores", r->pred, score));
    SN_TRY(sn_metric_numbers(r, "references", r->ref, is_true));
    for (uint32_t i = 0; i < r->n; i++) {
        SN_CHECK((*is_true)[i] == 0 || (*is_true)[i] == 1, r->err, SN_EUNSUPPORTED,
                 "%s: references[%u] is neither 0 nor 1", r->name, i);
        *ntrue += (*is_true)[i];
    }
    return SN_OK;
}

SnStatus sn_metric_roc_auc(SnMetricRun *r)
{
    double *score = NULL, *is_true = NULL, ntrue = 0, sum = 0;
    SN_TRY(read_scores(r, &score, &is_true, &ntrue));
    const double nfalse = r->n - ntrue;
    SN_CHECK(rank(r->arena, score, r->n), r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++)
        sum += is_true[i] != 0 ? score[i] : 0;
    sn_metric_put(r, "roc_auc",
                  ntrue == 0 || nfalse == 0 ? (double)NAN
                                            : (sum - ntrue * (ntrue + 1) / 2) / (ntrue * nfalse));
    return SN_OK;
}

SnStatus sn_metric_average_precision(SnMetricRun *r)
{
    double *score = NULL, *is_true = NULL, ntrue = 0, sum = 0, hits = 0;
    SN_TRY(read_scores(r, &score, &is_true, &ntrue));
    Ranked *sorted = sn_arena_array(r->arena, r->n, sizeof *sorted);
    SN_CHECK(sorted, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++)
        sorted[i] = (Ranked){.value = -score[i], .at = i};
    qsort(sorted, r->n, sizeof *sorted, compare_ranked);
    for (uint32_t i = 0, end = 0; i < r->n; i = end) {
        const double before = hits;
        for (; end < r->n && sorted[end].value == sorted[i].value; end++)
            hits += is_true[sorted[end].at];
        sum += (hits - before) * hits / end;
    }
    sn_metric_put(r, "average_precision", ntrue == 0 ? 0 : sum / ntrue);
    return SN_OK;
}

/* ---- perplexity ---- */

/* losses: of each text its mean negative log likelihood, or a list with that of each token. */
SnStatus sn_metric_perplexity(SnMetricRun *r)
{
    double *v = sn_arena_array(r->arena, r->n, sizeof *v), sum = 0;
    SN_CHECK(v, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++) {
        const SnJson *loss = &r->pred->u.child[i];
        const uint32_t n = loss->kind == SN_JSON_ARRAY ? loss->n : 1;
        double mean = 0;
        for (uint32_t k = 0; k < n; k++) {
            double one = 0;
            SN_CHECK(sn_json_number(loss->kind == SN_JSON_ARRAY ? &loss->u.child[k] : loss, &one), r->err,
                     SN_EFORMAT, "%s: losses[%u] has something that is no number", r->name, i);
            mean += one / n;
        }
        SN_CHECK(n > 0, r->err, SN_EFORMAT, "%s: losses[%u] is empty", r->name, i);
        v[i] = exp(mean);
        sum += v[i];
    }
    sn_metric_put_list(r, "perplexities", v, r->n);
    sn_metric_put(r, "mean_perplexity", sum / r->n);
    return SN_OK;
}
