/* metric_bleu.c -- n-grams in common with references: BLEU as Evaluate and as sacreBLEU compute it, chrF. */
#include "frontends/eval/metric_split.h"

#include "frontends/jinja/text.h"

#include <math.h>
#include <stdio.h>

#define MAX_ORDER 32

/* Sums over a corpus, by the order of the n-grams. */
typedef struct Counts {
    double npred, nref;
    double hit[MAX_ORDER], all[MAX_ORDER];
} Counts;

static SnStatus no_memory(SnMetricRun *r)
{
    return sn_fail(r->err, SN_ENOMEM, "%s: no memory", r->name);
}

/* n-grams of the prediction, each at most as often as the reference that has it most often. */
static bool count_hits(SnMetricRun *r, SnTrie *t, SnIds pred, const SnIds *ref, uint32_t nref, uint32_t order,
                       Counts *c)
{
    SnIds grams = {0}, *sorted = sn_arena_array(&r->row, nref, sizeof *sorted);
    if (!sorted)
        return false;
    for (uint32_t n = 1; n <= order; n++) {
        bool fits = sn_metric_grams(&r->row, t, pred, n, &grams);
        for (uint32_t k = 0; k < nref; k++)
            fits = fits && sn_metric_grams(&r->row, t, ref[k], n, &sorted[k]);
        if (!fits)
            return false;
        for (size_t i = 0, end = 0; i < grams.n; i = end) {
            size_t most = 0;
            while (end < grams.n && grams.at[end] == grams.at[i])
                end++;
            for (uint32_t k = 0; k < nref; k++) {
                const size_t count = sn_ids_count(sorted[k], grams.at[i]);
                most = count > most ? count : most;
            }
            c->hit[n - 1] += (double)(most < end - i ? most : end - i);
        }
        c->all[n - 1] += (double)grams.n;
    }
    return true;
}

/* The length of the reference that is nearest to the prediction's, the shorter of two; or the shortest. */
static size_t reference_length(SnIds pred, const SnIds *ref, uint32_t nref, bool is_nearest)
{
    size_t best = ref[0].n, distance = SIZE_MAX;
    for (uint32_t k = 0; k < nref; k++) {
        const size_t n = ref[k].n, far = !is_nearest ? n : n < pred.n ? pred.n - n : n - pred.n;
        if (far < distance || (far == distance && n < best)) {
            distance = far;
            best = n;
        }
    }
    return best;
}

static SnStatus count_all(SnMetricRun *r, SnSplitter *s, uint32_t order, bool is_nearest, Counts *c)
{
    *c = (Counts){0};
    for (uint32_t i = 0; i < r->n; i++) {
        SnTextRow row;
        SnTrie t = {0};
        SnIds pred = {0};
        SN_TRY(sn_metric_row(r, i, &row));
        SnIds *ref = sn_arena_array(&r->row, row.nref, sizeof *ref);
        if (!ref)
            return no_memory(r);
        SN_TRY(sn_splitter_words(s, &t, row.pred, &pred));
        for (uint32_t k = 0; k < row.nref; k++)
            SN_TRY(sn_splitter_words(s, &t, row.ref[k], &ref[k]));
        if (!count_hits(r, &t, pred, ref, row.nref, order, c))
            return no_memory(r);
        c->npred += (double)pred.n;
        c->nref += (double)reference_length(pred, ref, row.nref, is_nearest);
    }
    return SN_OK;
}

/* Evaluate's bleu: shortest references; smooth adds one to both counts of every order. */
SnStatus sn_metric_bleu(SnMetricRun *r)
{
    SnSplitter s;
    Counts c;
    uint32_t order = 0;
    bool smooths = false, is_zero = false;
    double precision[MAX_ORDER], sum = 0;
    SN_TRY(sn_metric_count(r, "max_order", 4, 1, MAX_ORDER, &order));
    SN_TRY(sn_metric_flag(r, "smooth", false, &smooths));
    SN_TRY(sn_splitter_open(r, SN_SPLIT_13A, &s));
    SN_TRY(count_all(r, &s, order, false, &c));
    for (uint32_t i = 0; i < order; i++) {
        precision[i] = smooths ? (c.hit[i] + 1) / (c.all[i] + 1) : c.all[i] > 0 ? c.hit[i] / c.all[i] : 0;
        is_zero = is_zero || precision[i] == 0;
        sum += 1. / order * log(precision[i]);
    }
    SN_CHECK(c.nref > 0, r->err, SN_EFORMAT, "%s: the references are empty", r->name);
    const double ratio = c.npred / c.nref, penalty = ratio > 1 ? 1 : ratio > 0 ? exp(1 - 1 / ratio) : 0;
    sn_metric_put(r, "bleu", is_zero ? 0 : exp(sum) * penalty);
    sn_metric_put_list(r, "precisions", precision, order);
    sn_metric_put(r, "brevity_penalty", penalty);
    sn_metric_put(r, "length_ratio", ratio);
    sn_metric_put_count(r, "translation_length", (uint64_t)c.npred);
    sn_metric_put_count(r, "reference_length", (uint64_t)c.nref);
    return SN_OK;
}

/* ---- sacreBLEU ---- */

typedef enum Smooth { EXP, FLOOR, ADD_K, UNSMOOTHED } Smooth;
static const char *const smooth_names[] = {"exp", "floor", "add-k", "none", NULL};

/* Precisions in per cent, into the counts what add-k adds. */
static double sacrebleu_score(Counts *c, uint32_t order, Smooth smooth, double value, bool is_effective,
                              double penalty, double *precision)
{
    double halves = 1, sum = 0, any = 0;
    uint32_t used = order;
    for (uint32_t i = 0; i < order; i++) {
        any += c->hit[i];
        precision[i] = 0;
    }
    if (any == 0)
        return 0;
    for (uint32_t i = 0; i < order; i++) {
        const double added = smooth == ADD_K && i > 0 ? value : 0;
        c->hit[i] += added;
        c->all[i] += added;
        if (c->all[i] == 0)
            break;
        used = is_effective ? i + 1 : used;
        if (c->hit[i] != 0)
            precision[i] = 100 * c->hit[i] / c->all[i];
        else if (smooth == EXP)
            precision[i] = 100 / ((halves *= 2) * c->all[i]);
        else if (smooth == FLOOR)
            precision[i] = 100 * value / c->all[i];
    }
    for (uint32_t i = 0; i < used; i++)
        sum += precision[i] == 0 ? -9999999999 : log(precision[i]);
    return penalty * exp(sum / used);
}

/* sacreBLEU's line that tells how a score was made; numbers are those of this version. */
static void put_signature(SnMetricRun *r, const char *middle)
{
    uint32_t nref = 0;
    bool varies = false;
    for (uint32_t i = 0; i < r->n; i++) {
        const SnJson *ref = &r->ref->u.child[i];
        const uint32_t n = ref->kind == SN_JSON_ARRAY ? ref->n : 1;
        varies = varies || (i > 0 && n != nref);
        nref = n;
    }
    sn_metric_key(r, "signature");
    sn_text_printf(r->out, "\"nrefs:");
    sn_text_printf(r->out, varies ? "var" : "%u", nref);
    sn_text_printf(r->out, "|%s|version:2.6.0\"", middle);
}

SnStatus sn_metric_sacrebleu(SnMetricRun *r)
{
    SnSplitter s;
    Counts c;
    uint32_t order = 0, smooth = 0, how = 0;
    bool lowers = false, is_effective = false;
    double value = 0, precision[MAX_ORDER];
    char kind[24] = "", middle[96];
    SN_TRY(sn_metric_choice(r, "tokenize", sn_split_names, SN_SPLIT_13A, &how));
    SN_TRY(sn_metric_choice(r, "smooth_method", smooth_names, EXP, &smooth));
    SN_TRY(sn_metric_number(r, "smooth_value", smooth == FLOOR ? 0.1 : 1, &value));
    SN_TRY(sn_metric_flag(r, "lowercase", false, &lowers));
    SN_TRY(sn_metric_flag(r, "use_effective_order", false, &is_effective));
    SN_TRY(sn_metric_count(r, "max_ngram_order", 4, 1, MAX_ORDER, &order));
    SN_TRY(sn_splitter_open(r, (SnSplit)how, &s));
    s.lowers = lowers;
    SN_TRY(count_all(r, &s, order, true, &c));
    const double penalty = c.npred >= c.nref ? 1 : c.npred > 0 ? exp(1 - c.nref / c.npred) : 0;
    sn_metric_put(r, "score",
                  sacrebleu_score(&c, order, (Smooth)smooth, value, is_effective, penalty, precision));
    sn_metric_put_list(r, "counts", c.hit, order);
    sn_metric_put_list(r, "totals", c.all, order);
    sn_metric_put_list(r, "precisions", precision, order);
    sn_metric_put(r, "bp", penalty);
    sn_metric_put_count(r, "sys_len", (uint64_t)c.npred);
    sn_metric_put_count(r, "ref_len", (uint64_t)c.nref);
    if (smooth == FLOOR || smooth == ADD_K)
        (void)snprintf(kind, sizeof kind, "[%.2f]", value < 1e9 && value > -1e9 ? value : 0);
    (void)snprintf(middle, sizeof middle, "case:%s|eff:%s|tok:%s|smooth:%s%s", lowers ? "lc" : "mixed",
                   is_effective ? "yes" : "no", sn_split_names[how], smooth_names[smooth], kind);
    put_signature(r, middle);
    return SN_OK;
}

/* ---- chrF ---- */

typedef struct Chrf {
    uint32_t nchar, nword; /* orders of characters, then of words */
    double beta;
    bool lowers, keeps_space, is_eps;
} Chrf;
typedef struct ChrfCounts {
    double pred[2 * MAX_ORDER], ref[2 * MAX_ORDER], hit[2 * MAX_ORDER];
} ChrfCounts;
typedef struct ChrfText {
    SnIds chars, words;
} ChrfText;

static bool is_punctuation(uint32_t c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

/* Punctuation that ends a word is one of its own, else that which begins it. */
static bool chrf_words(SnMetricRun *r, SnTrie *t, SnIds codes, SnIds *out)
{
    SnIds spread = {.at = sn_arena_array(&r->row, codes.n + 1, 3 * sizeof *spread.at)};
    if (!spread.at)
        return false;
    for (size_t i = 0, end = 0; i < codes.n; i = end + 1) {
        for (end = i; end < codes.n && !(sn_ji_code_flags(codes.at[end]) & SN_JI_SPACE);)
            end++;
        const bool ends = end - i > 1 && is_punctuation(codes.at[end - 1]),
                   begins = end - i > 1 && !ends && is_punctuation(codes.at[i]);
        for (size_t k = i; k < end; k++) {
            if ((ends && k + 1 == end) || (begins && k == i + 1))
                spread.at[spread.n++] = ' ';
            spread.at[spread.n++] = codes.at[k];
        }
        spread.at[spread.n++] = ' ';
    }
    return sn_metric_words(&r->row, t, spread, out);
}

static bool chrf_text(SnMetricRun *r, const Chrf *f, SnTrie *t, SnBytes text, ChrfText *out)
{
    SnIds c = {0};
    if ((f->lowers && !sn_metric_lower(&r->row, text, &text)) || !sn_metric_codes(&r->row, text, &c) ||
        (f->nword > 0 && !chrf_words(r, t, c, &out->words)))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < c.n; i++)
        if (f->keeps_space || !(sn_ji_code_flags(c.at[i]) & SN_JI_SPACE))
            c.at[n++] = c.at[i];
    out->chars = (SnIds){c.at, n};
    return true;
}

static double chrf_score(const Chrf *f, const ChrfCounts *c)
{
    const double eps = 1e-16, factor = f->beta * f->beta;
    const uint32_t order = f->nchar + f->nword;
    double sum = 0, precision = 0, recall = 0, used = 0;
    for (uint32_t i = 0; i < order; i++) {
        const double p = c->pred[i] > 0 ? c->hit[i] / c->pred[i] : eps,
                     q = c->ref[i] > 0 ? c->hit[i] / c->ref[i] : eps, divisor = factor * p + q;
        sum += divisor > 0 ? (1 + factor) * p * q / divisor : eps;
        if (c->pred[i] > 0 && c->ref[i] > 0) {
            precision += p;
            recall += q;
            used++;
        }
    }
    if (f->is_eps)
        return 100 * sum / order;
    precision = used > 0 ? precision / used : 0;
    recall = used > 0 ? recall / used : 0;
    return precision + recall == 0
               ? 0
               : 100 * ((1 + factor) * precision * recall / (factor * precision + recall));
}

static bool chrf_compare(SnMetricRun *r, const Chrf *f, SnTrie *t, const ChrfText *pred, const ChrfText *ref,
                         ChrfCounts *out)
{
    for (uint32_t i = 0; i < f->nchar + f->nword; i++) {
        const bool is_word = i >= f->nchar;
        const uint32_t order = is_word ? i - f->nchar + 1 : i + 1;
        SnIds p = {0}, q = {0};
        if (!sn_metric_grams(&r->row, t, is_word ? pred->words : pred->chars, order, &p) ||
            !sn_metric_grams(&r->row, t, is_word ? ref->words : ref->chars, order, &q))
            return false;
        out->pred[i] = q.n ? (double)p.n : 0;
        out->ref[i] = (double)q.n;
        out->hit[i] = (double)sn_ids_common(p, q);
    }
    return true;
}

/* Of each row the counts of the reference that the prediction is nearest to. */
static SnStatus chrf_row(SnMetricRun *r, const Chrf *f, const SnTextRow *row, ChrfCounts *sum)
{
    SnTrie t = {0};
    ChrfText pred = {0};
    ChrfCounts best = {0};
    double most = -1;
    if (!chrf_text(r, f, &t, row->pred, &pred))
        return no_memory(r);
    for (uint32_t k = 0; k < row->nref; k++) {
        ChrfText ref = {0};
        ChrfCounts c = {0};
        if (!chrf_text(r, f, &t, row->ref[k], &ref) || !chrf_compare(r, f, &t, &pred, &ref, &c))
            return no_memory(r);
        const double score = chrf_score(f, &c);
        if (score > most) {
            most = score;
            best = c;
        }
    }
    for (uint32_t i = 0; i < f->nchar + f->nword; i++) {
        sum->pred[i] += best.pred[i];
        sum->ref[i] += best.ref[i];
        sum->hit[i] += best.hit[i];
    }
    return SN_OK;
}

SnStatus sn_metric_chrf(SnMetricRun *r)
{
    Chrf f = {0};
    ChrfCounts sum = {0};
    char middle[96];
    SN_TRY(sn_metric_count(r, "char_order", 6, 1, MAX_ORDER, &f.nchar));
    SN_TRY(sn_metric_count(r, "word_order", 0, 0, MAX_ORDER, &f.nword));
    SN_TRY(sn_metric_number(r, "beta", 2, &f.beta));
    SN_TRY(sn_metric_flag(r, "lowercase", false, &f.lowers));
    SN_TRY(sn_metric_flag(r, "whitespace", false, &f.keeps_space));
    SN_TRY(sn_metric_flag(r, "eps_smoothing", false, &f.is_eps));
    for (uint32_t i = 0; i < r->n; i++) {
        SnTextRow row;
        SN_TRY(sn_metric_row(r, i, &row));
        SN_TRY(chrf_row(r, &f, &row, &sum));
    }
    sn_metric_put(r, "score", chrf_score(&f, &sum));
    sn_metric_put_count(r, "char_order", f.nchar);
    sn_metric_put_count(r, "word_order", f.nword);
    sn_metric_put(r, "beta", f.beta);
    (void)snprintf(middle, sizeof middle, "case:%s|eff:%s|nc:%u|nw:%u|space:%s", f.lowers ? "lc" : "mixed",
                   f.is_eps ? "no" : "yes", f.nchar, f.nword, f.keeps_space ? "yes" : "no");
    put_signature(r, middle);
    return SN_OK;
}
