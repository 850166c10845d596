/* metric_rouge.c -- ROUGE as rouge_score computes it: n-grams and longest common subsequences of words. */
#include "frontends/eval/metric.h"
#include "frontends/eval/metric_stem.h"

#include <stdio.h>

#define MAX_CELLS (1u << 28) /* of a table of two texts */

typedef struct Score {
    double precision, recall, f;
} Score;

/* Sentences of words; the words of a whole text are one after the other. */
typedef struct Text {
    SnIds words, *sentence;
    size_t nsentence;
} Text;

static Score score_of(double hits, double npred, double nref)
{
    const double precision = npred > 0 ? hits / npred : 0, recall = nref > 0 ? hits / nref : 0;
    return (Score){precision, recall,
                   precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0};
}

static SnStatus no_memory(SnMetricRun *r)
{
    return sn_fail(r->err, SN_ENOMEM, "%s: no memory", r->name);
}

/* Runs of a to z and digits, in lower case; lines are sentences. */
static bool read_text(SnMetricRun *r, SnTrie *t, SnBytes bytes, bool stems, Text *out)
{
    SnBytes text = {0};
    if (!sn_metric_lower(&r->row, bytes, &text))
        return false;
    char *word = sn_arena_array(&r->row, text.n + 1, 1);
    size_t nword = 0, first = 0, nline = 1;
    for (size_t i = 0; i < text.n; i++)
        nline += text.at[i] == '\n';
    *out = (Text){.words.at = sn_arena_array(&r->row, text.n + 1, sizeof(uint32_t)),
                  .sentence = sn_arena_array(&r->row, nline, sizeof *out->sentence)};
    if (!word || !out->words.at || !out->sentence)
        return false;
    for (size_t i = 0, line = 0; i <= text.n; i++) {
        const char c = i < text.n ? (char)text.at[i] : '\n';
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            word[nword++] = c;
            continue;
        }
        nword = stems && nword > 3 ? sn_metric_stem(word, nword) : nword;
        uint32_t id = 0;
        for (size_t k = 0; k < nword; k++)
            if (!sn_trie_step(&r->row, t, id, (uint8_t)word[k], &id))
                return false;
        if (nword)
            out->words.at[out->words.n++] = id;
        nword = 0;
        if (c != '\n')
            continue;
        if (i > line) /* a line without words is a sentence, one without characters is none */
            out->sentence[out->nsentence++] = (SnIds){out->words.at + first, out->words.n - first};
        first = out->words.n;
        line = i + 1;
    }
    return true;
}

/* The table of the longest common subsequences of ref and pred: what is at [i][j] came from the left, or else
 * from above, or from both words. from NULL: the length alone. */
static bool lcs(SnArena *a, SnIds ref, SnIds pred, uint8_t *from, size_t *length)
{
    uint32_t *row = sn_arena_array(a, pred.n + 1, sizeof *row);
    if (!row)
        return false;
    for (size_t i = 0; i < ref.n; i++) {
        uint32_t corner = 0;
        for (size_t j = 0; j < pred.n; j++) {
            const uint32_t above = row[j + 1], left = row[j];
            const bool is_same = ref.at[i] == pred.at[j];
            if (from)
                from[i * pred.n + j] = is_same ? 2 : left > above;
            row[j + 1] = is_same ? corner + 1 : left > above ? left : above;
            corner = above;
        }
    }
    *length = row[pred.n];
    return true;
}

static SnStatus fits(SnMetricRun *r, size_t n, size_t m)
{
    SN_CHECK(m == 0 || n <= MAX_CELLS / m, r->err, SN_EFORMAT, "%s: texts of %zu and %zu words are too long",
             r->name, n, m);
    return SN_OK;
}

/* Words of ref that are in a longest subsequence with a sentence of pred. */
static SnStatus mark_union(SnMetricRun *r, SnIds ref, const Text *pred, uint8_t *marked)
{
    for (size_t s = 0; s < pred->nsentence; s++) {
        const SnIds can = pred->sentence[s];
        size_t i = ref.n, j = can.n, length = 0;
        uint8_t *from = sn_arena_array(&r->row, ref.n * can.n + 1, 1);
        if (!from || !lcs(&r->row, ref, can, from, &length))
            return no_memory(r);
        while (i > 0 && j > 0) {
            const uint8_t way = from[(i - 1) * can.n + j - 1];
            if (way == 2)
                marked[i - 1] = 1;
            i -= way != 1;
            j -= way != 0;
        }
    }
    return SN_OK;
}

/* Each word counts as often as both texts have it. */
static SnStatus summary(SnMetricRun *r, const Text *pred, const Text *ref, Score *out)
{
    double hits = 0;
    SN_TRY(fits(r, ref->words.n, pred->words.n));
    uint8_t *marked = sn_arena_array(&r->row, ref->words.n + 1, 1);
    uint32_t most = 0, *count[2];
    for (size_t i = 0; i < ref->words.n; i++)
        most = ref->words.at[i] > most ? ref->words.at[i] : most;
    for (size_t i = 0; i < pred->words.n; i++)
        most = pred->words.at[i] > most ? pred->words.at[i] : most;
    for (size_t k = 0; k < 2; k++) {
        const SnIds words = k ? ref->words : pred->words;
        count[k] = sn_arena_array(&r->row, (size_t)most + 1, sizeof *count[k]);
        for (size_t i = 0; count[k] && i < words.n; i++)
            count[k][words.at[i]]++;
    }
    if (!marked || !count[0] || !count[1])
        return no_memory(r);
    for (size_t s = 0; s < ref->nsentence; s++)
        SN_TRY(mark_union(r, ref->sentence[s], pred, marked + (ref->sentence[s].at - ref->words.at)));
    for (size_t i = 0; i < ref->words.n; i++) {
        uint32_t *a = &count[0][ref->words.at[i]], *b = &count[1][ref->words.at[i]];
        if (marked[i] && *a && *b) {
            hits++;
            --*a;
            --*b;
        }
    }
    *out = score_of(hits, (double)pred->words.n, (double)ref->words.n);
    return SN_OK;
}

/* kind: 1 to 9 n-grams, 'L' or 's' (Lsum). */
static SnStatus compare(SnMetricRun *r, SnTrie *t, char kind, const Text *pred, const Text *ref, Score *out)
{
    size_t length = 0;
    if (kind == 's')
        return summary(r, pred, ref, out);
    if (kind == 'L') {
        SN_TRY(fits(r, ref->words.n, pred->words.n));
        if (!lcs(&r->row, ref->words, pred->words, NULL, &length))
            return no_memory(r);
        *out = score_of((double)length, (double)pred->words.n, (double)ref->words.n);
        return SN_OK;
    }
    SnIds a = {0}, b = {0};
    if (!sn_metric_grams(&r->row, t, pred->words, (uint32_t)kind - '0', &a) ||
        !sn_metric_grams(&r->row, t, ref->words, (uint32_t)kind - '0', &b))
        return no_memory(r);
    *out = score_of((double)sn_ids_common(a, b), (double)a.n, (double)b.n);
    return SN_OK;
}

/* Of several references that with the best f. */
static SnStatus score_row(SnMetricRun *r, uint32_t i, bool stems, const char *kinds, Score *out)
{
    SnTrie t = {0};
    SnTextRow row;
    Text pred;
    SN_TRY(sn_metric_row(r, i, &row));
    if (!read_text(r, &t, row.pred, stems, &pred))
        return no_memory(r);
    for (uint32_t k = 0; k < row.nref; k++) {
        Text ref;
        if (!read_text(r, &t, row.ref[k], stems, &ref))
            return no_memory(r);
        for (size_t f = 0; kinds[f]; f++) {
            Score s = {0};
            SN_TRY(compare(r, &t, kinds[f], &pred, &ref, &s));
            if (k == 0 || s.f > out[f].f)
                out[f] = s;
        }
    }
    return SN_OK;
}

/* Names of rouge_types, each as one character. */
static SnStatus read_kinds(SnMetricRun *r, char *kinds, size_t size)
{
    const SnJson *types = sn_json_get(r->in, "rouge_types");
    size_t n = 4;
    (void)snprintf(kinds, size, "12Ls");
    if (sn_json_is_null(types))
        return SN_OK;
    SN_CHECK(types->kind == SN_JSON_ARRAY && types->n > 0 && types->n < size, r->err, SN_EFORMAT,
             "%s: rouge_types is no list of 1 to %zu names", r->name, size - 1);
    for (n = 0; n < types->n; n++) {
        const SnJson *v = &types->u.child[n];
        SnBytes name = {0};
        SN_TRY(sn_metric_string(r, v, (uint32_t)n, &name));
        const bool is_n =
            name.n == 6 && memcmp(name.at, "rouge", 5) == 0 && name.at[5] >= '1' && name.at[5] <= '9';
        SN_CHECK(is_n || sn_json_is(v, "rougeL") || sn_json_is(v, "rougeLsum"), r->err, SN_EFORMAT,
                 "%s: '%.*s' is none of rouge1 to rouge9, rougeL, rougeLsum", r->name,
                 (int)(name.n < 60 ? name.n : 60), (const char *)name.at);
        kinds[n] = is_n ? (char)name.at[5] : name.n == 6 ? 'L' : 's';
    }
    kinds[n] = '\0';
    return SN_OK;
}

static void put_details(SnMetricRun *r, const Score *s, size_t stride)
{
    for (uint32_t i = 0; i < r->n; i++) {
        sn_text_printf(r->out, i ? ", {\"precision\": " : "[{\"precision\": ");
        sn_json_put_f64(r->out, s[i * stride].precision);
        sn_text_printf(r->out, ", \"recall\": ");
        sn_json_put_f64(r->out, s[i * stride].recall);
        sn_text_printf(r->out, ", \"fmeasure\": ");
        sn_json_put_f64(r->out, s[i * stride].f);
        sn_text_add(r->out, "}", 1);
    }
    sn_text_add(r->out, "]", 1);
}

/* The mean over the rows, where Evaluate has the middle of random samples of them; use_aggregator false: of
 * each row, and with `details` also what f is made of. */
SnStatus sn_metric_rouge(SnMetricRun *r)
{
    bool stems = false, is_mean = true, has_details = false;
    char kinds[16], key[16];
    SN_TRY(read_kinds(r, kinds, sizeof kinds));
    SN_TRY(sn_metric_flag(r, "use_stemmer", false, &stems));
    SN_TRY(sn_metric_flag(r, "use_aggregator", true, &is_mean));
    SN_TRY(sn_metric_flag(r, "details", false, &has_details));
    const size_t nkind = strlen(kinds);
    Score *all = sn_arena_array(r->arena, r->n, nkind * sizeof *all);
    double *f = sn_arena_array(r->arena, r->n, sizeof *f);
    if (!all || !f)
        return no_memory(r);
    for (uint32_t i = 0; i < r->n; i++)
        SN_TRY(score_row(r, i, stems, kinds, all + i * nkind));
    for (size_t k = 0; k < nkind; k++) {
        double sum = 0;
        (void)snprintf(key, sizeof key, "rouge%s", kinds[k] == 's' ? "Lsum" : (const char[]){kinds[k], '\0'});
        for (uint32_t i = 0; i < r->n; i++)
            sum += f[i] = all[i * nkind + k].f;
        if (is_mean) {
            sn_metric_put(r, key, sum / r->n);
        } else if (has_details) {
            sn_metric_key(r, key);
            put_details(r, all + k, nkind);
        } else {
            sn_metric_put_list(r, key, f, r->n);
        }
    }
    return SN_OK;
}
