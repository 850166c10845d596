/* metric_ter.c -- translation edit rate: edits of words, where a phrase that is moved counts as one. The
 * search is tercom's, with sacreBLEU's limits. */
#include "frontends/eval/metric_split.h"

#include <math.h>

#define MAX_SHIFT      10   /* words that are moved at once */
#define MAX_DISTANCE   50   /* how far */
#define MAX_CANDIDATES 1000 /* of a pair of texts */
#define BEAM           25
#define FAR            (UINT32_MAX / 2)

typedef enum Edit { SAME, CHANGED, INSERTED, DELETED } Edit;

/* Edits from the prediction to the reference, near the diagonal; row i of `edit` holds the columns from
 * low[i] to high[i]. align: the place in the prediction of each word of the reference. */
typedef struct Table {
    SnIds ref;
    size_t npred;
    uint8_t *edit;
    size_t *begin, *low, *high;
    uint32_t *cost[2];
    int64_t *align;
    uint8_t *pred_differs, *ref_differs;
    uint32_t *words, *best_words;
} Table;

static bool table_open(SnArena *a, SnIds ref, size_t npred, Table *t)
{
    const double ratio = npred ? (double)ref.n / (double)npred : 1;
    const size_t beam = BEAM < ratio / 2 ? (size_t)ceil(ratio / 2 + BEAM) : BEAM;
    *t = (Table){.ref = ref, .npred = npred};
    t->begin = sn_arena_array(a, npred + 1, sizeof *t->begin);
    t->low = sn_arena_array(a, npred + 1, sizeof *t->low);
    t->high = sn_arena_array(a, npred + 1, sizeof *t->high);
    if (!t->begin || !t->low || !t->high)
        return false;
    size_t n = t->high[0] = ref.n + 1;
    for (size_t i = 1; i <= npred; i++) {
        const size_t middle = (size_t)floor((double)i * ratio);
        t->low[i] = middle > beam ? middle - beam : 0;
        t->high[i] = i == npred || middle + beam > ref.n + 1 ? ref.n + 1 : middle + beam;
        t->begin[i] = n;
        n += t->high[i] - t->low[i];
    }
    t->edit = sn_arena_array(a, n, 1);
    t->align = sn_arena_array(a, ref.n + 1, sizeof *t->align);
    t->pred_differs = sn_arena_array(a, npred + 1, 1);
    t->ref_differs = sn_arena_array(a, ref.n + 1, 1);
    t->words = sn_arena_array(a, npred + 1, sizeof *t->words);
    t->best_words = sn_arena_array(a, npred + 1, sizeof *t->best_words);
    for (size_t k = 0; k < 2; k++)
        t->cost[k] = sn_arena_array(a, ref.n + 1, sizeof *t->cost[k]);
    return t->edit && t->align && t->pred_differs && t->ref_differs && t->words && t->best_words &&
           t->cost[0] && t->cost[1];
}

/* The first of the cheapest: no edit or a change, a deletion, an insertion. */
static uint32_t distance(Table *t, const uint32_t *pred)
{
    for (size_t j = 0; j <= t->ref.n; j++) {
        t->cost[0][j] = (uint32_t)j;
        t->edit[j] = INSERTED;
    }
    for (size_t i = 1; i <= t->npred; i++) {
        const uint32_t *above = t->cost[(i - 1) & 1];
        uint32_t *cost = t->cost[i & 1], left = FAR;
        for (size_t j = t->low[i]; j < t->high[i]; j++) {
            const bool has_above =
                j >= t->low[i - 1] && j<t->high[i - 1], has_corner = j> t->low[i - 1] && j <= t->high[i - 1];
            const bool is_same = j > 0 && pred[i - 1] == t->ref.at[j - 1];
            uint32_t best = has_corner ? above[j - 1] + !is_same : FAR;
            Edit edit = is_same ? SAME : CHANGED;
            if (has_above && above[j] + 1 < best) {
                best = above[j] + 1;
                edit = DELETED;
            }
            if (left + 1 < best) {
                best = left + 1;
                edit = INSERTED;
            }
            cost[j] = left = best;
            t->edit[t->begin[i] + j - t->low[i]] = (uint8_t)edit;
        }
    }
    return t->cost[t->npred & 1][t->ref.n];
}

/* What distance() went through, from the end. */
static void trace(Table *t)
{
    size_t i = t->npred, j = t->ref.n;
    while (i > 0 || j > 0) {
        const Edit edit = i == 0 ? INSERTED : (Edit)t->edit[t->begin[i] + j - t->low[i]];
        const bool is_pair = edit == SAME || edit == CHANGED;
        if (edit == DELETED || is_pair)
            t->pred_differs[--i] = edit != SAME;
        if (edit == INSERTED || is_pair) {
            t->ref_differs[--j] = edit != SAME;
            t->align[j] = (int64_t)i - !is_pair;
        }
    }
}

static bool differs(const uint8_t *v, size_t n)
{
    return memchr(v, 1, n) != NULL;
}

/* The words at `start` moved to before `to`; where that lies within them or at their end, so many places on.
 */
static void shift(const Table *t, const uint32_t *from, size_t start, size_t n, size_t to, uint32_t *out)
{
    const size_t place = to > start + n ? to - n : to, rest = place + n > t->npred ? t->npred - n : place;
    size_t k = 0, at = 0;
    for (; at < rest; k++)
        if (k < start || k >= start + n)
            out[at++] = from[k];
    memcpy(out + at, from + start, n * sizeof *out);
    for (at += n; at < t->npred; k++)
        if (k < start || k >= start + n)
            out[at++] = from[k];
}

typedef struct Best {
    int64_t gain;
    size_t n, start, to;
    bool is_set;
} Best;

static bool is_better(const Best *a, const Best *b)
{
    if (!b->is_set || a->gain != b->gain)
        return !b->is_set || a->gain > b->gain;
    if (a->n != b->n)
        return a->n > b->n;
    return a->start != b->start ? a->start < b->start : a->to < b->to;
}

/* Places for a phrase: before the word that its counterpart stands at, and behind each of that. */
static void try_places(Table *t, const uint32_t *pred, uint32_t before, size_t start, size_t at, size_t n,
                       Best *best, uint32_t *tried)
{
    int64_t last = -1;
    for (size_t offset = 0; offset <= n && at + offset <= t->ref.n; offset++) {
        const int64_t to = at + offset == 0 ? 0 : t->align[at + offset - 1] + 1;
        if (to == last)
            continue;
        last = to;
        shift(t, pred, start, n, (size_t)to, t->words);
        const Best now = {(int64_t)before - distance(t, t->words), n, start, (size_t)to, true};
        ++*tried;
        if (is_better(&now, best)) {
            *best = now;
            memcpy(t->best_words, t->words, t->npred * sizeof *t->words);
        }
    }
}

/* The move that saves the most edits. */
static Best best_shift(Table *t, const uint32_t *pred, uint32_t before, uint32_t *tried)
{
    Best best = {0};
    for (size_t i = 0; i < t->npred; i++) {
        const size_t low = i > MAX_DISTANCE ? i - MAX_DISTANCE : 0;
        for (size_t j = low; j < t->ref.n && j <= i + MAX_DISTANCE; j++)
            for (size_t n = 1; n <= MAX_SHIFT && i + n <= t->npred && j + n <= t->ref.n &&
                               pred[i + n - 1] == t->ref.at[j + n - 1];
                 n++) {
                const bool is_within = t->align[j] >= (int64_t)i && t->align[j] < (int64_t)(i + n);
                if (!is_within && differs(t->pred_differs + i, n) && differs(t->ref_differs + j, n))
                    try_places(t, pred, before, i, j, n, &best, tried);
                if (*tried >= MAX_CANDIDATES)
                    return best;
            }
    }
    return best;
}

static bool edits_of(SnArena *a, SnIds pred, SnIds ref, double *out)
{
    Table t;
    uint32_t tried = 0, moved = 0;
    *out = (double)pred.n;
    if (ref.n == 0)
        return true;
    if (!table_open(a, ref, pred.n, &t))
        return false;
    for (;;) {
        const uint32_t before = distance(&t, pred.at);
        trace(&t);
        const Best best = best_shift(&t, pred.at, before, &tried);
        if (tried >= MAX_CANDIDATES || !best.is_set || best.gain <= 0)
            break;
        moved++;
        memcpy(pred.at, t.best_words, pred.n * sizeof *pred.at);
    }
    *out = (double)moved + distance(&t, pred.at);
    return true;
}

static SnStatus edit_row(SnMetricRun *r, SnSplitter *s, uint32_t i, double *edits, double *length)
{
    SnTextRow row;
    SnTrie t = {0};
    SnIds pred = {0}, ref = {0};
    double least = (double)INFINITY, sum = 0;
    SN_TRY(sn_metric_row(r, i, &row));
    s->is_reference = false;
    SN_TRY(sn_splitter_words(s, &t, row.pred, &pred));
    s->is_reference = true;
    uint32_t *words = sn_arena_array(&r->row, pred.n + 1, sizeof *words);
    for (uint32_t k = 0; k < row.nref; k++) {
        double n = 0;
        SN_TRY(sn_splitter_words(s, &t, row.ref[k], &ref));
        SN_CHECK(words, r->err, SN_ENOMEM, "%s: no memory", r->name);
        memcpy(words, pred.at, pred.n * sizeof *words);
        SN_CHECK(edits_of(&r->row, (SnIds){words, pred.n}, ref, &n), r->err, SN_ENOMEM, "%s: no memory",
                 r->name);
        least = n < least ? n : least;
        sum += (double)ref.n;
    }
    *edits += least;
    *length += sum / row.nref;
    return SN_OK;
}

SnStatus sn_metric_ter(SnMetricRun *r)
{
    SnSplitter s;
    bool keeps_case = false;
    double edits = 0, length = 0;
    SN_TRY(sn_splitter_open(r, SN_SPLIT_TERCOM, &s));
    SN_TRY(sn_metric_flag(r, "normalized", false, &s.normalizes));
    SN_TRY(sn_metric_flag(r, "ignore_punct", false, &s.drops_punct));
    SN_TRY(sn_metric_flag(r, "support_zh_ja_chars", false, &s.is_asian));
    SN_TRY(sn_metric_flag(r, "case_sensitive", false, &keeps_case));
    s.lowers = !keeps_case;
    for (uint32_t i = 0; i < r->n; i++)
        SN_TRY(edit_row(r, &s, i, &edits, &length));
    sn_metric_put(r, "score", length > 0 ? 100 * (edits / length) : edits > 0 ? 100 : 0);
    sn_metric_put_count(r, "num_edits", (uint64_t)edits);
    sn_metric_put(r, "ref_length", length);
    return SN_OK;
}
