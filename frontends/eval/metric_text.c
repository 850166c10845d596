/* metric_text.c -- metrics of whole texts: edits between words and characters, equal answers. */
#include "frontends/eval/metric.h"

#include "frontends/jinja/text.h"

#include <stdlib.h>

/* The cheapest edits of a reference, in words or characters. */
typedef struct Edits {
    uint32_t distance, substituted, deleted;
} Edits;

/* ---- word and character error rate ---- */

static bool is_space(uint32_t cp)
{
    return (sn_ji_code_flags(cp) & SN_JI_SPACE) != 0;
}

/* Characters without the white space around them. */
static bool characters(SnArena *arena, SnBytes text, SnIds *out)
{
    const char *p = (const char *)text.at, *end = p + text.n;
    size_t last = 0;
    *out = (SnIds){.at = sn_arena_array(arena, text.n + 1, sizeof *out->at)};
    if (!out->at)
        return false;
    while (p < end) {
        const uint32_t cp = sn_ji_next_code(&p);
        if (is_space(cp) && out->n == 0)
            continue;
        out->at[out->n++] = cp;
        last = is_space(cp) ? last : out->n;
    }
    out->n = last;
    return true;
}

/* Words as jiwer has them: other white space than a blank divides only where there are two of it. */
static bool spoken_words(SnArena *arena, SnTrie *t, SnBytes text, SnIds *out)
{
    SnIds c = {0};
    uint32_t word = 0;
    if (!characters(arena, text, &c))
        return false;
    *out = (SnIds){.at = c.at};
    for (size_t i = 0, end = 0; i < c.n; i = end) {
        for (end = i; end < c.n && is_space(c.at[end]);)
            end++;
        const bool divides = end > i + 1 || (end > i && c.at[i] == ' ');
        if (divides && word) {
            out->at[out->n++] = word;
            word = 0;
        }
        end = end == i ? i + 1 : end;
        if (!divides && !sn_trie_step(arena, t, word, c.at[i], &word))
            return false;
    }
    if (word)
        out->at[out->n++] = word;
    return true;
}

/* One row of the distances at a time. Where several ways are cheapest, the one that jiwer counts: seen from
 * the end, a deletion before an insertion before a pair. */
static bool edit(SnArena *arena, SnIds ref, SnIds pred, Edits *out)
{
    while (ref.n && pred.n && ref.at[0] == pred.at[0])
        ref = (SnIds){ref.at + 1, ref.n - 1}, pred = (SnIds){pred.at + 1, pred.n - 1};
    while (ref.n && pred.n && ref.at[ref.n - 1] == pred.at[pred.n - 1]) {
        ref.n--;
        pred.n--;
    }
    Edits *row = sn_arena_array(arena, ref.n + 1, sizeof *row);
    if (!row)
        return false;
    for (size_t c = 1; c <= ref.n; c++)
        row[c] = (Edits){.distance = (uint32_t)c, .deleted = (uint32_t)c};
    for (size_t p = 0; p < pred.n; p++) {
        Edits corner = row[0];
        row[0].distance++;
        for (size_t c = 1; c <= ref.n; c++) {
            const Edits above = row[c];
            const uint32_t differs = ref.at[c - 1] != pred.at[p];
            uint32_t best = corner.distance + differs;
            best = above.distance + 1 < best ? above.distance + 1 : best;
            best = row[c - 1].distance + 1 < best ? row[c - 1].distance + 1 : best;
            if (best == row[c - 1].distance + 1) {
                row[c] = row[c - 1];
                row[c].deleted++;
            } else if (above.distance < corner.distance) {
                row[c] = above;
            } else {
                row[c] = corner;
                row[c].substituted += differs;
            }
            row[c].distance = best;
            corner = above;
        }
    }
    *out = row[ref.n];
    return true;
}

/* Sums over all pairs. */
static SnStatus edit_all(SnMetricRun *r, bool by_words, Edits *sum, double *nref, double *npred)
{
    SnTrie t = {0};
    *sum = (Edits){0};
    *nref = *npred = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        SnBytes pred = {0}, ref = {0};
        SnIds x = {0}, y = {0};
        Edits e = {0};
        SN_TRY(sn_metric_string(r, &r->pred->u.child[i], i, &pred));
        SN_TRY(sn_metric_string(r, &r->ref->u.child[i], i, &ref));
        const bool is_read = by_words
                                 ? spoken_words(r->arena, &t, pred, &x) && spoken_words(r->arena, &t, ref, &y)
                                 : characters(r->arena, pred, &x) && characters(r->arena, ref, &y);
        SN_CHECK(is_read && edit(r->arena, y, x, &e), r->err, SN_ENOMEM, "%s: no memory", r->name);
        sum->distance += e.distance;
        sum->substituted += e.substituted;
        sum->deleted += e.deleted;
        *nref += (double)y.n;
        *npred += (double)x.n;
    }
    return SN_OK;
}

/* `details`: also what the rate is made of. References without words: all that was said is inserted. */
static SnStatus put_rate(SnMetricRun *r, bool by_words)
{
    Edits e;
    double nref = 0, npred = 0;
    bool has_details = false;
    SN_TRY(sn_metric_flag(r, "details", false, &has_details));
    SN_TRY(edit_all(r, by_words, &e, &nref, &npred));
    sn_metric_put(r, r->name, nref > 0 ? e.distance / nref : npred);
    if (!has_details)
        return SN_OK;
    const double hits = nref - e.substituted - e.deleted, inserted = npred - hits - e.substituted;
    sn_metric_put(r, "hits", hits);
    sn_metric_put(r, "substitutions", e.substituted);
    sn_metric_put(r, "deletions", e.deleted);
    sn_metric_put(r, "insertions", inserted);
    sn_metric_put(r, "mer", nref + npred > 0 ? e.distance / (e.distance + hits) : 0);
    sn_metric_put(r, "wil", nref > 0 && npred > 0 ? 1 - hits / nref * (hits / npred) : nref + npred > 0);
    return SN_OK;
}

SnStatus sn_metric_wer(SnMetricRun *r)
{
    return put_rate(r, true);
}

SnStatus sn_metric_cer(SnMetricRun *r)
{
    return put_rate(r, false);
}

/* ---- equal answers ---- */

static bool is_punctuation(uint8_t c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

static bool strip(SnArena *arena, SnBytes text, bool punctuation, bool digits, SnBytes *out)
{
    char *to = sn_arena_array(arena, text.n + 1, 1);
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!(punctuation && is_punctuation(text.at[i])) &&
            !(digits && text.at[i] >= '0' && text.at[i] <= '9'))
            to[n++] = (char)text.at[i];
    *out = sn_bytes(to, n);
    return true;
}

SnStatus sn_metric_exact_match(SnMetricRun *r)
{
    bool ignores_case = false, ignores_punctuation = false, ignores_numbers = false;
    double hits = 0;
    SN_TRY(sn_metric_flag(r, "ignore_case", false, &ignores_case));
    SN_TRY(sn_metric_flag(r, "ignore_punctuation", false, &ignores_punctuation));
    SN_TRY(sn_metric_flag(r, "ignore_numbers", false, &ignores_numbers));
    SN_CHECK(sn_json_is_null(sn_json_get(r->in, "regexes_to_ignore")), r->err, SN_EUNSUPPORTED,
             "%s: regexes_to_ignore", r->name);
    for (uint32_t i = 0; i < r->n; i++) {
        SnBytes both[2];
        SN_TRY(sn_metric_string(r, &r->pred->u.child[i], i, &both[0]));
        SN_TRY(sn_metric_string(r, &r->ref->u.child[i], i, &both[1]));
        for (size_t k = 0; k < 2; k++)
            SN_CHECK((!ignores_case || sn_metric_lower(r->arena, both[k], &both[k])) &&
                         strip(r->arena, both[k], ignores_punctuation, ignores_numbers, &both[k]),
                     r->err, SN_ENOMEM, "%s: no memory", r->name);
        hits += sn_bytes_equal(both[0], both[1]);
    }
    sn_metric_put(r, "exact_match", hits / r->n);
    return SN_OK;
}

/* ---- SQuAD ---- */

/* Lower case, no punctuation, words other than articles. An article may stand beside characters that are of
 * no word. */
static bool answer_words(SnArena *arena, SnTrie *t, SnBytes text, SnIds *out)
{
    SnBytes lower = {0}, plain = {0};
    if (!sn_metric_lower(arena, text, &lower) || !strip(arena, lower, true, false, &plain))
        return false;
    char *kept = sn_arena_array(arena, plain.n + 1, 1);
    const char *p = (const char *)plain.at, *end = p + plain.n;
    size_t n = 0, begin = 0;
    if (!kept)
        return false;
    while (p <= end) {
        const char *at = p;
        const bool is_word = p < end && (sn_ji_code_flags(sn_ji_next_code(&p)) & SN_JI_WORD) != 0;
        if (!is_word) {
            if (sn_is_one_of(sn_bytes(kept + begin, n - begin), "a an the")) {
                n = begin;
                kept[n++] = ' ';
            }
        }
        if (at == end)
            break;
        memcpy(kept + n, at, (size_t)(p - at));
        n += (size_t)(p - at);
        begin = is_word ? begin : n;
    }
    SnIds codes = {0};
    return sn_metric_codes(arena, sn_bytes(kept, n), &codes) && sn_metric_words(arena, t, codes, out);
}

static bool same_ids(SnIds a, SnIds b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n * sizeof *a.at) == 0);
}

/* Words in common, as they are counted. Answers without words are right where both are. */
static bool answer_f1(SnArena *arena, SnTrie *t, SnIds pred, SnIds ref, double *out)
{
    SnIds x = {0}, y = {0};
    if (!sn_metric_grams(arena, t, pred, 1, &x) || !sn_metric_grams(arena, t, ref, 1, &y))
        return false;
    const double common = (double)sn_ids_common(x, y);
    const double precision = common / (double)x.n, recall = common / (double)y.n;
    *out = x.n == 0 || y.n == 0 ? x.n == y.n
           : common == 0        ? 0
                                : 2 * precision * recall / (precision + recall);
    return true;
}

typedef struct Verdict {
    double exact, f1, none; /* none: the probability that there is no answer */
    bool has_answer, says_some;
    uint32_t at;
} Verdict;

/* may_lack: the question may have no answer, and each prediction says how probable that is. */
static SnStatus judge(SnMetricRun *r, SnTrie *t, uint32_t i, bool may_lack, Verdict *out)
{
    const SnJson *pred = &r->pred->u.child[i],
                 *texts = sn_json_get(sn_json_get(&r->ref->u.child[i], "answers"), "text");
    SnBytes ids[2], text = {0};
    SnIds x = {0}, y = {0};
    bool is_compared = false;
    SN_TRY(sn_metric_string(r, sn_json_get(pred, "prediction_text"), i, &text));
    SN_CHECK(sn_json_string(sn_json_get(pred, "id"), &ids[0]) &&
                 sn_json_string(sn_json_get(&r->ref->u.child[i], "id"), &ids[1]) &&
                 sn_bytes_equal(ids[0], ids[1]),
             r->err, SN_EFORMAT, "%s: prediction %u has not the id of its reference", r->name, i);
    SN_CHECK(texts && texts->kind == SN_JSON_ARRAY && (may_lack || texts->n > 0), r->err, SN_EFORMAT,
             "%s: references[%u] has no answers.text", r->name, i);
    SN_CHECK(!may_lack || sn_json_number(sn_json_get(pred, "no_answer_probability"), &out->none), r->err,
             SN_EFORMAT, "%s: prediction %u has no no_answer_probability", r->name, i);
    out->has_answer = texts->n > 0;
    out->says_some = text.n > 0;
    SN_CHECK(answer_words(r->arena, t, text, &x), r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t k = 0; k < texts->n + may_lack; k++) { /* where all are without words: none */
        double f1 = 0;
        text = sn_bytes("", 0);
        if (k < texts->n)
            SN_TRY(sn_metric_string(r, &texts->u.child[k], k, &text));
        SN_CHECK(answer_words(r->arena, t, text, &y) && answer_f1(r->arena, t, x, y, &f1), r->err, SN_ENOMEM,
                 "%s: no memory", r->name);
        if (may_lack && y.n == 0 && (k < texts->n || is_compared))
            continue;
        is_compared = true;
        out->f1 = f1 > out->f1 ? f1 : out->f1;
        out->exact = same_ids(x, y) ? 1 : out->exact;
    }
    return SN_OK;
}

SnStatus sn_metric_squad(SnMetricRun *r)
{
    SnTrie t = {0};
    double exact = 0, sum = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        Verdict v = {0};
        SN_TRY(judge(r, &t, i, false, &v));
        exact += v.exact;
        sum += v.f1;
    }
    sn_metric_put(r, "exact_match", 100 * exact / r->n);
    sn_metric_put(r, "f1", 100 * sum / r->n);
    return SN_OK;
}

/* ---- SQuAD 2 ---- */

static int surer(const void *a, const void *b)
{
    const Verdict *x = a, *y = b;
    return x->none < y->none ? -1 : x->none > y->none ? 1 : x->at < y->at ? -1 : 1;
}

static double counted(const Verdict *v, bool exact, double threshold)
{
    return v->none > threshold ? !v->has_answer : exact ? v->exact : v->f1;
}

/* Means of those that have answers (1), have none (0), or of all (2). */
static void put_means(SnMetricRun *r, const Verdict *v, int which, double threshold)
{
    static const char *const keys[][3] = {{"NoAns_exact", "NoAns_f1", "NoAns_total"},
                                          {"HasAns_exact", "HasAns_f1", "HasAns_total"},
                                          {"exact", "f1", "total"}};
    double sum[2] = {0, 0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        if (which < 2 && v[i].has_answer != which)
            continue;
        n++;
        sum[0] += counted(&v[i], true, threshold);
        sum[1] += counted(&v[i], false, threshold);
    }
    if (n == 0)
        return;
    sn_metric_put(r, keys[which][0], 100 * sum[0] / n);
    sn_metric_put(r, keys[which][1], 100 * sum[1] / n);
    sn_metric_put_count(r, keys[which][2], n);
}

/* The threshold of no_answer_probability that is best, and how good it is. v: by that probability. */
static void put_best(SnMetricRun *r, const Verdict *v, bool exact)
{
    double now = 0, best, at = 0;
    for (uint32_t i = 0; i < r->n; i++)
        now += !v[i].has_answer;
    best = now;
    for (uint32_t i = 0; i < r->n; i++) {
        now += v[i].has_answer ? (exact ? v[i].exact : v[i].f1) : -(double)v[i].says_some;
        at = now > best ? v[i].none : at;
        best = now > best ? now : best;
    }
    sn_metric_put(r, exact ? "best_exact" : "best_f1", 100 * best / r->n);
    sn_metric_put(r, exact ? "best_exact_thresh" : "best_f1_thresh", at);
}

SnStatus sn_metric_squad_v2(SnMetricRun *r)
{
    SnTrie t = {0};
    Verdict *v = sn_arena_array(r->arena, r->n, sizeof *v);
    double threshold = 1;
    SN_CHECK(v, r->err, SN_ENOMEM, "%s: no memory", r->name);
    SN_TRY(sn_metric_number(r, "no_answer_threshold", 1, &threshold));
    for (uint32_t i = 0; i < r->n; i++) {
        v[i] = (Verdict){.at = i};
        SN_TRY(judge(r, &t, i, true, &v[i]));
    }
    put_means(r, v, 2, threshold);
    put_means(r, v, 1, threshold);
    put_means(r, v, 0, threshold);
    qsort(v, r->n, sizeof *v, surer);
    put_best(r, v, true);
    put_best(r, v, false);
    return SN_OK;
}
