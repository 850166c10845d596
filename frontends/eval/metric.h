/* metric.h -- what the files of the metrics share: the input of one computation, words, counts of n-grams. */
#ifndef SN_METRIC_H
#define SN_METRIC_H

#include "frontends/eval.h"

/* One computation. A metric is one row of the table in metric.c and one function. */
typedef struct SnMetricRun {
    const char *name;
    SnArena *arena, row;           /* row: of one row, cleared before the next */
    const SnJson *in, *pred, *ref; /* lists of n, n > 0 */
    uint32_t n;
    bool is_open; /* something was put */
    SnText *out;
    SnError *err;
} SnMetricRun;
typedef SnStatus SnMetricFn(SnMetricRun *r);

SnMetricFn sn_metric_accuracy, sn_metric_precision, sn_metric_recall, sn_metric_f1, sn_metric_matthews,
    sn_metric_kappa, sn_metric_confusion, sn_metric_balanced; /* metric_class.c */
SnMetricFn sn_metric_pearson, sn_metric_spearman, sn_metric_kendall, sn_metric_mse, sn_metric_mae,
    sn_metric_r2, sn_metric_roc_auc, sn_metric_average_precision, sn_metric_perplexity; /* metric_number.c */
SnMetricFn sn_metric_wer, sn_metric_cer, sn_metric_exact_match, sn_metric_squad,
    sn_metric_squad_v2;                                         /* metric_text.c */
SnMetricFn sn_metric_bleu, sn_metric_sacrebleu, sn_metric_chrf; /* metric_bleu.c */
SnMetricFn sn_metric_rouge;                                     /* metric_rouge.c */
SnMetricFn sn_metric_seqeval;                                   /* metric_tags.c */
SnMetricFn sn_metric_ter;                                       /* metric_ter.c */

/* ---- arguments; absent and null ones are `otherwise` ---- */
SnStatus sn_metric_flag(SnMetricRun *r, const char *key, bool otherwise, bool *out);
SnStatus sn_metric_number(SnMetricRun *r, const char *key, double otherwise, double *out);
/* One of the choices (the last is NULL), by its place. */
SnStatus sn_metric_choice(SnMetricRun *r, const char *key, const char *const *choices, uint32_t otherwise,
                          uint32_t *out);
/* n finite numbers; NULL where the key is absent or null. */
SnStatus sn_metric_numbers(SnMetricRun *r, const char *key, const SnJson *list, double **out);
/* A whole number from low to high. */
SnStatus sn_metric_count(SnMetricRun *r, const char *key, int64_t otherwise, int64_t low, int64_t high,
                         uint32_t *out);
/* An element of predictions or references that must be a string. */
SnStatus sn_metric_string(SnMetricRun *r, const SnJson *v, uint32_t i, SnBytes *out);
/* Begins row i: its memory is empty; the prediction, a string, and its references: a string or a list of
 * them. */
typedef struct SnTextRow {
    SnBytes pred, *ref;
    uint32_t nref;
} SnTextRow;
SnStatus sn_metric_row(SnMetricRun *r, uint32_t i, SnTextRow *out);

/* ---- results ---- */
void sn_metric_key(SnMetricRun *r, const char *key);
void sn_metric_put(SnMetricRun *r, const char *key, double v);
void sn_metric_put_count(SnMetricRun *r, const char *key, uint64_t v);
void sn_metric_put_list(SnMetricRun *r, const char *key, const double *v, size_t n);

/* ---- words and n-grams as numbers ---- */

/* A trie: a number for each path, the same path has the same one. 0 is the root. */
typedef struct SnTrie {
    uint64_t *key;
    uint32_t *id;
    size_t cap, n;
} SnTrie;
typedef struct SnIds {
    uint32_t *at;
    size_t n;
} SnIds;
bool sn_trie_step(SnArena *arena, SnTrie *t, uint32_t parent, uint32_t symbol, uint32_t *out);
bool sn_metric_codes(SnArena *arena, SnBytes text, SnIds *out); /* code points */
/* Words of code points between white space, as Python's split() has them. */
bool sn_metric_words(SnArena *arena, SnTrie *t, SnIds text, SnIds *out);
/* n-grams of one order, sorted. */
bool sn_metric_grams(SnArena *arena, SnTrie *t, SnIds words, uint32_t order, SnIds *out);
size_t sn_ids_count(SnIds sorted, uint32_t id);
size_t sn_ids_common(SnIds a, SnIds b); /* of both, sorted: how many are in both, each as often as it is */
/* As Python's lower(). */
bool sn_metric_lower(SnArena *arena, SnBytes text, SnBytes *out);

#endif
