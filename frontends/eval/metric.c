/* metric.c -- the table of metrics, their arguments and results, and n-grams as numbers. */
#include "frontends/eval/metric.h"

#include "frontends/jinja/text.h"

#include <math.h>
#include <stdlib.h>

static const struct {
    const char *name;
    SnMetricFn *run;
    const char *pred,
        *other; /* what Evaluate calls the predictions; other: for those that have no references */
} metrics[] = {
    {"accuracy", sn_metric_accuracy, "predictions", NULL},
    {"average_precision", sn_metric_average_precision, "prediction_scores", NULL},
    {"balanced_accuracy", sn_metric_balanced, "predictions", NULL},
    {"bleu", sn_metric_bleu, "predictions", NULL},
    {"cer", sn_metric_cer, "predictions", NULL},
    {"chrf", sn_metric_chrf, "predictions", NULL},
    {"cohen_kappa", sn_metric_kappa, "predictions", NULL},
    {"confusion_matrix", sn_metric_confusion, "predictions", NULL},
    {"exact_match", sn_metric_exact_match, "predictions", NULL},
    {"f1", sn_metric_f1, "predictions", NULL},
    {"kendalltau", sn_metric_kendall, "predictions", NULL},
    {"mae", sn_metric_mae, "predictions", NULL},
    {"matthews_correlation", sn_metric_matthews, "predictions", NULL},
    {"mse", sn_metric_mse, "predictions", NULL},
    {"pearsonr", sn_metric_pearson, "predictions", NULL},
    {"perplexity", sn_metric_perplexity, NULL, "losses"},
    {"precision", sn_metric_precision, "predictions", NULL},
    {"r2", sn_metric_r2, "predictions", NULL},
    {"recall", sn_metric_recall, "predictions", NULL},
    {"roc_auc", sn_metric_roc_auc, "prediction_scores", NULL},
    {"rouge", sn_metric_rouge, "predictions", NULL},
    {"sacrebleu", sn_metric_sacrebleu, "predictions", NULL},
    {"seqeval", sn_metric_seqeval, "predictions", NULL},
    {"spearmanr", sn_metric_spearman, "predictions", NULL},
    {"squad", sn_metric_squad, "predictions", NULL},
    {"squad_v2", sn_metric_squad_v2, "predictions", NULL},
    {"ter", sn_metric_ter, "predictions", NULL},
    {"wer", sn_metric_wer, "predictions", NULL},
};

const char *sn_metric_name(size_t i)
{
    return i < SN_COUNT(metrics) ? metrics[i].name : NULL;
}

static SnStatus list_of(const SnMetricRun *r, const char *key, const SnJson **out)
{
    const SnJson *v = sn_json_get(r->in, key);
    SN_CHECK(v && v->kind == SN_JSON_ARRAY, r->err, SN_EFORMAT, "%s: expected %s, a list", r->name, key);
    SN_CHECK(v->n > 0, r->err, SN_EFORMAT, "%s: %s is empty", r->name, key);
    *out = v;
    return SN_OK;
}

static SnStatus compute(SnMetricRun *r, size_t i)
{
    if (metrics[i].other) {
        SN_TRY(list_of(r, metrics[i].other, &r->pred));
    } else {
        SN_TRY(list_of(r, metrics[i].pred, &r->pred));
        SN_TRY(list_of(r, "references", &r->ref));
        SN_CHECK(r->pred->n == r->ref->n, r->err, SN_EFORMAT, "%s: %u %s, but %u references", r->name,
                 r->pred->n, metrics[i].pred, r->ref->n);
    }
    r->n = r->pred->n;
    SN_TRY(metrics[i].run(r));
    sn_text_add(r->out, "}", 1);
    SN_CHECK(!r->out->failed, r->err, SN_ENOMEM, "%s: no memory", r->name);
    return SN_OK;
}

SnStatus sn_metric_compute(SnContext *ctx, const char *name, const SnJson *input, SnText *json, SnError *err)
{
    SnArena arena;
    const size_t begin = json->n;
    const size_t i = SN_FIND_ROW(metrics, name, sn_bytes_str(name));
    SN_CHECK(i < SN_COUNT(metrics), err, SN_EUNSUPPORTED, "%s: no such metric", name);
    SN_CHECK(input && input->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: expected an object", name);
    sn_arena_init(&arena, sn_allocator(ctx));
    SnMetricRun r = {.name = name, .arena = &arena, .in = input, .out = json, .err = err};
    sn_arena_init(&r.row, sn_allocator(ctx));
    const SnStatus st = compute(&r, i);
    sn_arena_clear(&r.row);
    if (st != SN_OK)
        json->n = begin;
    sn_arena_clear(&arena);
    return st;
}

/* ---- arguments ---- */

SnStatus sn_metric_flag(SnMetricRun *r, const char *key, bool otherwise, bool *out)
{
    const SnJson *v = sn_json_get(r->in, key);
    *out = otherwise;
    SN_CHECK(sn_json_is_null(v) || sn_json_bool(v, out), r->err, SN_EFORMAT,
             "%s: %s is neither true nor false", r->name, key);
    return SN_OK;
}

SnStatus sn_metric_number(SnMetricRun *r, const char *key, double otherwise, double *out)
{
    const SnJson *v = sn_json_get(r->in, key);
    *out = otherwise;
    SN_CHECK(sn_json_is_null(v) || sn_json_number(v, out), r->err, SN_EFORMAT, "%s: %s is no number", r->name,
             key);
    return SN_OK;
}

SnStatus sn_metric_choice(SnMetricRun *r, const char *key, const char *const *choices, uint32_t otherwise,
                          uint32_t *out)
{
    const SnJson *v = sn_json_get(r->in, key);
    SnBytes text = {0};
    *out = otherwise;
    if (sn_json_is_null(v))
        return SN_OK;
    for (*out = 0; choices[*out]; (*out)++)
        if (sn_json_is(v, choices[*out]))
            return SN_OK;
    SN_CHECK(sn_json_string(v, &text), r->err, SN_EFORMAT, "%s: %s is no string", r->name, key);
    return sn_fail(r->err, SN_EFORMAT, "%s: %s cannot be '%.*s'", r->name, key,
                   (int)(text.n < 60 ? text.n : 60), (const char *)text.at);
}

SnStatus sn_metric_numbers(SnMetricRun *r, const char *key, const SnJson *list, double **out)
{
    *out = NULL;
    if (sn_json_is_null(list))
        return SN_OK;
    SN_CHECK(list->kind == SN_JSON_ARRAY && list->n == r->n, r->err, SN_EFORMAT,
             "%s: %s is no list of %u numbers", r->name, key, r->n);
    double *v = sn_arena_array(r->arena, r->n, sizeof *v);
    SN_CHECK(v, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++)
        SN_CHECK(sn_json_number(&list->u.child[i], &v[i]) && isfinite(v[i]), r->err, SN_EFORMAT,
                 "%s: %s[%u] is no finite number", r->name, key, i);
    *out = v;
    return SN_OK;
}

SnStatus sn_metric_string(SnMetricRun *r, const SnJson *v, uint32_t i, SnBytes *out)
{
    SN_CHECK(sn_json_string(v, out), r->err, SN_EFORMAT, "%s: expected a string at %u", r->name, i);
    return SN_OK;
}

SnStatus sn_metric_count(SnMetricRun *r, const char *key, int64_t otherwise, int64_t low, int64_t high,
                         uint32_t *out)
{
    const SnJson *v = sn_json_get(r->in, key);
    int64_t n = otherwise;
    SN_CHECK((sn_json_is_null(v) || sn_json_int(v, &n)) && n >= low && n <= high, r->err, SN_EFORMAT,
             "%s: %s is no whole number from %lld to %lld", r->name, key, (long long)low, (long long)high);
    *out = (uint32_t)n;
    return SN_OK;
}

SnStatus sn_metric_row(SnMetricRun *r, uint32_t i, SnTextRow *out)
{
    const SnJson *ref = &r->ref->u.child[i];
    const bool is_list = ref->kind == SN_JSON_ARRAY;
    sn_arena_clear(&r->row);
    *out = (SnTextRow){.nref = is_list ? ref->n : 1};
    SN_CHECK(out->nref > 0, r->err, SN_EFORMAT, "%s: references[%u] is empty", r->name, i);
    out->ref = sn_arena_array(&r->row, out->nref, sizeof *out->ref);
    SN_CHECK(out->ref, r->err, SN_ENOMEM, "%s: no memory", r->name);
    SN_TRY(sn_metric_string(r, &r->pred->u.child[i], i, &out->pred));
    for (uint32_t k = 0; k < out->nref; k++)
        SN_TRY(sn_metric_string(r, is_list ? &ref->u.child[k] : ref, i, &out->ref[k]));
    return SN_OK;
}

/* ---- results ---- */

void sn_metric_key(SnMetricRun *r, const char *key)
{
    sn_text_printf(r->out, "%s\"%s\": ", r->is_open ? ", " : "{", key);
    r->is_open = true;
}

void sn_metric_put(SnMetricRun *r, const char *key, double v)
{
    sn_metric_key(r, key);
    sn_json_put_f64(r->out, v);
}

void sn_metric_put_count(SnMetricRun *r, const char *key, uint64_t v)
{
    sn_metric_key(r, key);
    sn_text_printf(r->out, "%llu", (unsigned long long)v);
}

void sn_metric_put_list(SnMetricRun *r, const char *key, const double *v, size_t n)
{
    sn_metric_key(r, key);
    for (size_t i = 0; i < n; i++) {
        sn_text_add(r->out, i ? ", " : "[", i ? 2 : 1);
        sn_json_put_f64(r->out, v[i]);
    }
    sn_text_add(r->out, n ? "]" : "[]", n ? 1 : 2);
}

/* ---- words and n-grams ---- */

static size_t trie_slot(const SnTrie *t, uint64_t key)
{
    size_t i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (t->cap - 1);
    while (t->id[i] && t->key[i] != key)
        i = (i + 1) & (t->cap - 1);
    return i;
}

static bool trie_grow(SnArena *arena, SnTrie *t)
{
    SnTrie wide = {.cap = t->cap ? t->cap * 2 : 1024, .n = t->n};
    wide.key = sn_arena_array(arena, wide.cap, sizeof *wide.key);
    wide.id = sn_arena_array(arena, wide.cap, sizeof *wide.id);
    if (!wide.key || !wide.id || wide.cap > UINT32_MAX / 2)
        return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->id[i]) {
            const size_t slot = trie_slot(&wide, t->key[i]);
            wide.key[slot] = t->key[i];
            wide.id[slot] = t->id[i];
        }
    *t = wide;
    return true;
}

bool sn_trie_step(SnArena *arena, SnTrie *t, uint32_t parent, uint32_t symbol, uint32_t *out)
{
    const uint64_t key = (uint64_t)parent << 32 | symbol;
    if (t->n * 2 >= t->cap && !trie_grow(arena, t))
        return false;
    const size_t i = trie_slot(t, key);
    if (!t->id[i]) {
        t->key[i] = key;
        t->id[i] = (uint32_t)++t->n;
    }
    *out = t->id[i];
    return true;
}

bool sn_metric_codes(SnArena *arena, SnBytes text, SnIds *out)
{
    const char *p = (const char *)text.at, *end = p + text.n;
    *out = (SnIds){.at = sn_arena_array(arena, text.n + 1, sizeof *out->at)};
    while (out->at && p < end)
        out->at[out->n++] = sn_ji_next_code(&p);
    return out->at != NULL;
}

bool sn_metric_words(SnArena *arena, SnTrie *t, SnIds text, SnIds *out)
{
    uint32_t word = 0;
    *out = (SnIds){.at = sn_arena_array(arena, text.n / 2 + 1, sizeof *out->at)};
    if (!out->at)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        const bool is_space = (sn_ji_code_flags(text.at[i]) & SN_JI_SPACE) != 0;
        if (!is_space && !sn_trie_step(arena, t, word, text.at[i], &word))
            return false;
        if (word && (is_space || i + 1 == text.n)) {
            out->at[out->n++] = word;
            word = 0;
        }
    }
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Words begin at the root, n-grams at a node that no character leads to. */
bool sn_metric_grams(SnArena *arena, SnTrie *t, SnIds words, uint32_t order, SnIds *out)
{
    uint32_t root = 0;
    *out = (SnIds){.n = words.n < order ? 0 : words.n - order + 1};
    out->at = sn_arena_array(arena, out->n + 1, sizeof *out->at);
    if (!out->at || !sn_trie_step(arena, t, 0, UINT32_MAX, &root))
        return false;
    for (size_t i = 0; i < out->n; i++) {
        out->at[i] = root;
        for (uint32_t k = 0; k < order; k++)
            if (!sn_trie_step(arena, t, out->at[i], words.at[i + k], &out->at[i]))
                return false;
    }
    qsort(out->at, out->n, sizeof *out->at, compare_ids);
    return true;
}

static size_t lower_bound(SnIds sorted, uint32_t id)
{
    size_t low = 0, high = sorted.n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted.at[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t sn_ids_count(SnIds sorted, uint32_t id)
{
    return lower_bound(sorted, id + 1) - lower_bound(sorted, id);
}

size_t sn_ids_common(SnIds a, SnIds b)
{
    size_t n = 0;
    for (size_t i = 0, k = 0; i < a.n && k < b.n;) {
        const uint32_t x = a.at[i], y = b.at[k];
        n += x == y;
        i += x <= y;
        k += y <= x;
    }
    return n;
}

bool sn_metric_lower(SnArena *arena, SnBytes text, SnBytes *out)
{
    const char *p = (const char *)text.at, *end = p + text.n;
    char *to = sn_arena_array(arena, text.n * 3 + 1, 1);
    size_t n = 0;
    if (!to)
        return false;
    while (p < end) {
        uint32_t lower[3];
        const int nlower = sn_ji_case_at((const char *)text.at, end, p, SN_JI_TO_LOWER, lower);
        (void)sn_ji_next_code(&p);
        for (int i = 0; i < nlower; i++)
            n += (size_t)sn_utf8_put(lower[i], to + n);
    }
    *out = sn_bytes(to, n);
    return true;
}
