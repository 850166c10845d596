/* metric_tags.c -- entities of tagged words, as seqeval counts them. */
#include "frontends/eval/metric.h"

#include <math.h>
#include <stdlib.h>

/* Tags of all sequences, one after the other, with an "O" behind each. */
typedef struct Tag {
    SnBytes text, type;
    char prefix;
} Tag;
typedef struct Tags {
    Tag *at;
    size_t n, *end, nend; /* end: of each sequence, its "O" */
} Tags;

/* An entity by where it ends: begin is 0 where none does, or the place before which it begins. */
typedef struct Entity {
    size_t begin;
    SnBytes type;
} Entity;

/* Transitions: the tag before, the tag, and S or D for the same or another type; * is any. */
typedef struct Scheme {
    const char *name, *allowed, *start[6], *inside[5], *end[7];
} Scheme;
static const Scheme schemes[] = {
    {"IOB1",
     "IOB",
     {"OI*", "IID", "BI*", "IBS", "BBS"},
     {"BIS", "IIS"},
     {"IID", "IO*", "IB*", "BO*", "BID", "BBS"}},
    {"IOE1", "IOE", {"OI*", "IID", "EI*", "EES"}, {"IIS", "IES"}, {"IID", "IO*", "IED", "EIS", "EES"}},
    {"IOB2", "IOB", {"*B*"}, {"BIS", "IIS"}, {"IO*", "IID", "IB*", "BO*", "BID", "BB*"}},
    {"IOE2", "IOE", {"OI*", "OE*", "EI*", "EE*", "IID", "IED"}, {"IES", "IIS"}, {"E**"}},
    {"IOBES", "IOBES", {"*B*", "*S*"}, {"BIS", "BES", "IIS", "IES"}, {"S**", "E**"}},
    {"BILOU", "BILOU", {"*B*", "*U*"}, {"BIS", "BLS", "IIS", "ILS"}, {"U**", "L**"}},
};

static bool same(SnBytes a, SnBytes b)
{
    return sn_bytes_equal(a, b);
}

static SnBytes strip_dashes(SnBytes v, bool both)
{
    while (both && v.n && v.at[0] == '-')
        v = sn_bytes(v.at + 1, v.n - 1);
    while (v.n && v.at[v.n - 1] == '-')
        v.n--;
    return v;
}

/* "B-PER", or with suffix "PER-B". What is behind the first hyphen is the type; strict: without hyphens
 * around. */
static Tag tag_of(SnBytes text, bool suffix, bool is_strict)
{
    Tag tag = {.text = text, .prefix = (char)(suffix ? text.at[text.n - 1] : text.at[0])};
    SnBytes rest = suffix ? sn_bytes(text.at, text.n - 1) : sn_bytes(text.at + 1, text.n - 1);
    if (is_strict) {
        rest = strip_dashes(rest, true);
    } else if (suffix) {
        size_t k = rest.n;
        while (k > 0 && rest.at[k - 1] != '-')
            k--;
        rest.n = k > 0 ? k - 1 : rest.n;
    } else {
        const uint8_t *dash = rest.n ? memchr(rest.at, '-', rest.n) : NULL;
        if (dash)
            rest = sn_bytes(dash + 1, rest.n - (size_t)(dash + 1 - rest.at));
    }
    tag.type = rest.n ? rest : sn_bytes_str("_");
    return tag;
}

static SnStatus read_tags(SnMetricRun *r, const SnJson *lists, const char *what, bool suffix, bool is_strict,
                          Tags *out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        SN_CHECK(lists->u.child[i].kind == SN_JSON_ARRAY, r->err, SN_EFORMAT, "%s: %s[%u] is no list of tags",
                 r->name, what, i);
        n += lists->u.child[i].n + 1;
    }
    *out = (Tags){.at = sn_arena_array(r->arena, n, sizeof *out->at),
                  .end = sn_arena_array(r->arena, r->n, sizeof *out->end)};
    SN_CHECK(out->at && out->end, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (uint32_t i = 0; i < r->n; i++) {
        const SnJson *list = &lists->u.child[i];
        for (uint32_t k = 0; k < list->n; k++) {
            SnBytes text = {0};
            SN_CHECK(sn_json_string(&list->u.child[k], &text) && text.n > 0, r->err, SN_EFORMAT,
                     "%s: %s[%u][%u] is no tag", r->name, what, i, k);
            out->at[out->n++] = tag_of(text, suffix, is_strict);
        }
        out->end[out->nend++] = out->n;
        out->at[out->n++] = (Tag){sn_bytes_str("O"), sn_bytes_str("_"), 'O'};
    }
    return SN_OK;
}

/* ---- as conlleval has them: any sequence of tags is read ---- */

static bool is_pair(char before, char now, const char *pairs)
{
    for (; *pairs; pairs += 2)
        if (pairs[0] == before && pairs[1] == now)
            return true;
    return false;
}

static void find_loose(const Tags *t, Entity *found)
{
    Tag before = {.prefix = 'O'};
    size_t begin = 0;
    for (size_t i = 0; i < t->n; i++) {
        const Tag now = t->at[i];
        const bool is_other = !same(before.type, now.type),
                   is_out = before.prefix == 'O' || before.prefix == '.';
        if (before.prefix == 'E' || before.prefix == 'S' ||
            is_pair(before.prefix, now.prefix, "BBBSBOIBISIO") || (!is_out && is_other))
            found[i - 1] = (Entity){begin + 1, before.type};
        if (now.prefix == 'B' || now.prefix == 'S' || is_pair(before.prefix, now.prefix, "EEEISESIOEOI") ||
            (now.prefix != 'O' && now.prefix != '.' && is_other))
            begin = i;
        before = now;
    }
}

/* ---- strict: what a scheme allows ---- */

static bool matches(const char *const *patterns, size_t n, const Tag *before, const Tag *now)
{
    for (size_t i = 0; i < n && patterns[i]; i++) {
        const char *p = patterns[i];
        if ((p[0] == '*' || p[0] == before->prefix) && (p[1] == '*' || p[1] == now->prefix) &&
            (p[2] == '*' || (p[2] == 'S') == same(before->type, now->type)))
            return true;
    }
    return false;
}

static SnStatus find_strict(SnMetricRun *r, const Scheme *s, const Tags *t, Entity *found)
{
    for (size_t k = 0, first = 0; k < t->nend; first = t->end[k++] + 1) {
        const Tag outside = t->at[t->end[k]], *before = &outside;
        for (size_t i = first, next = 0; i <= t->end[k]; i = next) {
            const Tag *now = &t->at[i];
            SN_CHECK(now->prefix && strchr(s->allowed, now->prefix), r->err, SN_EFORMAT,
                     "%s: tag '%.*s' is not of scheme %s", r->name,
                     (int)(now->text.n < 60 ? now->text.n : 60), (const char *)now->text.at, s->name);
            next = i + 1;
            if (matches(s->start, SN_COUNT(s->start), before, now)) {
                while (matches(s->inside, SN_COUNT(s->inside), &t->at[next - 1], &t->at[next]))
                    next++;
                if (matches(s->end, SN_COUNT(s->end), &t->at[next - 1], &t->at[next]))
                    found[next - 1] = (Entity){i + 1, now->type};
            }
            before = &t->at[next - 1];
        }
    }
    return SN_OK;
}

/* The scheme whose tags are those that the references have. */
static SnStatus detect(SnMetricRun *r, const Tags *t, const Scheme **out)
{
    static const struct {
        const char *name, *sets[10];
    } known[] = {{"IOB2", {"BIO", "BI", "BO", "B"}},
                 {"IOE2", {"EIO", "EI", "EO", "E"}},
                 {"IOBES", {"BEIOS", "BEIS", "BEIO", "BEOS", "BEI", "BES", "BEO", "BE", "S"}},
                 {"BILOU", {"BILOU", "BILU", "BILO", "BLOU", "BIL", "BLU", "BLO", "BL", "U"}}};
    char set[8] = "";
    size_t n = 0;
    for (const char *p = "BEILOSU"; *p; p++) {
        bool occurs = false;
        for (size_t k = 0, i = 0; k < t->nend && !occurs; i = t->end[k++] + 1)
            for (; i < t->end[k] && !occurs; i++)
                occurs = t->at[i].prefix == *p;
        if (occurs)
            set[n++] = *p;
    }
    for (size_t i = 0; i < SN_COUNT(known); i++)
        for (size_t k = 0; k < SN_COUNT(known[i].sets) && known[i].sets[k]; k++)
            if (strcmp(known[i].sets[k], set) == 0)
                for (size_t j = 0; j < SN_COUNT(schemes); j++)
                    if (strcmp(schemes[j].name, known[i].name) == 0) {
                        *out = &schemes[j];
                        return SN_OK;
                    }
    return sn_fail(r->err, SN_EFORMAT, "%s: the tags %s are of no scheme", r->name, set);
}

/* ---- counts by type ---- */

typedef struct Type {
    SnBytes name;
    double hit, pred, ref;
} Type;

static int compare_types(const void *a, const void *b)
{
    return sn_bytes_compare(((const Type *)a)->name, ((const Type *)b)->name);
}

static SnStatus count_types(SnMetricRun *r, const Entity *pred, const Entity *ref, size_t n, Type **out,
                            size_t *ntype)
{
    Type *t = sn_arena_array(r->arena, n, 2 * sizeof *t);
    size_t count = 0, kept = 0;
    SN_CHECK(t, r->err, SN_ENOMEM, "%s: no memory", r->name);
    for (size_t i = 0; i < n; i++) {
        const bool is_hit = pred[i].begin && pred[i].begin == ref[i].begin && same(pred[i].type, ref[i].type);
        if (pred[i].begin)
            t[count++] = (Type){pred[i].type, is_hit, 1, 0};
        if (ref[i].begin)
            t[count++] = (Type){ref[i].type, 0, 0, 1};
    }
    qsort(t, count, sizeof *t, compare_types);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !same(t[kept - 1].name, t[i].name)) {
            t[kept++] = t[i];
            continue;
        }
        t[kept - 1].hit += t[i].hit;
        t[kept - 1].pred += t[i].pred;
        t[kept - 1].ref += t[i].ref;
    }
    *out = t;
    *ntype = kept;
    return SN_OK;
}

typedef struct Scores {
    double precision, recall, f, count;
} Scores;

static Scores scores_of(double hit, double pred, double ref, double zero)
{
    const double p = pred > 0 ? hit / pred : zero, q = ref > 0 ? hit / ref : zero;
    return (Scores){p, q, p + q == 0 ? 0 : 2 * p * q / (p + q), ref};
}

static void put_scores(SnMetricRun *r, const char *prefix, Scores s, const char *count)
{
    sn_text_printf(r->out, "\"%sprecision\": ", prefix);
    sn_json_put_f64(r->out, s.precision);
    sn_text_printf(r->out, ", \"%srecall\": ", prefix);
    sn_json_put_f64(r->out, s.recall);
    sn_text_printf(r->out, ", \"%sf1\": ", prefix);
    sn_json_put_f64(r->out, s.f);
    if (count)
        sn_text_printf(r->out, ", \"%s\": %.0f", count, s.count);
}

static void put_next(SnMetricRun *r)
{
    sn_text_printf(r->out, r->is_open ? ", " : "{");
    r->is_open = true;
}

/* Types, the scores over all, and with `averages` the means over the types, by themselves and by how many
 * entities there are. */
static void put_types(SnMetricRun *r, const Type *t, size_t n, double zero, bool has_averages)
{
    Type all = {0};
    Scores mean = {0}, weighted = {0};
    for (size_t i = 0; i < n; i++) {
        const Scores s = scores_of(t[i].hit, t[i].pred, t[i].ref, zero);
        put_next(r);
        sn_json_put_string(r->out, t[i].name);
        sn_text_printf(r->out, ": {");
        put_scores(r, "", s, "number");
        sn_text_add(r->out, "}", 1);
        all = (Type){.hit = all.hit + t[i].hit, .pred = all.pred + t[i].pred, .ref = all.ref + t[i].ref};
        mean = (Scores){mean.precision + s.precision / (double)n, mean.recall + s.recall / (double)n,
                        mean.f + s.f / (double)n, mean.count + s.count};
        weighted = (Scores){weighted.precision + s.precision * s.count, weighted.recall + s.recall * s.count,
                            weighted.f + s.f * s.count, weighted.count + s.count};
    }
    put_next(r);
    put_scores(r, "overall_", scores_of(all.hit, all.pred, all.ref, zero), NULL);
    if (!has_averages)
        return;
    const double none = (double)NAN, nothing = all.pred == 0 ? zero : 0;
    weighted = all.ref > 0 ? (Scores){weighted.precision / all.ref, weighted.recall / all.ref,
                                      weighted.f / all.ref, all.ref}
                           : (Scores){nothing, zero, nothing, 0};
    put_next(r);
    put_scores(r, "macro_", n ? mean : (Scores){none, none, none, 0}, NULL);
    put_next(r);
    put_scores(r, "weighted_", weighted, NULL);
}

static SnStatus find_all(SnMetricRun *r, const Scheme *scheme, bool is_strict, const Tags *pred,
                         const Tags *ref, Entity *found[2])
{
    if (!is_strict) {
        find_loose(pred, found[0]);
        find_loose(ref, found[1]);
        return SN_OK;
    }
    if (!scheme)
        SN_TRY(detect(r, ref, &scheme));
    SN_TRY(find_strict(r, scheme, pred, found[0]));
    return find_strict(r, scheme, ref, found[1]);
}

SnStatus sn_metric_seqeval(SnMetricRun *r)
{
    static const char *const names[] = {"IOB1", "IOE1", "IOB2", "IOE2", "IOBES", "BILOU", NULL},
                             *const modes[] = {"strict", NULL};
    bool suffix = false, has_averages = false;
    double zero = 0, right = 0;
    uint32_t scheme = SN_COUNT(schemes), mode = 1;
    Tags pred, ref;
    Entity *found[2];
    Type *t = NULL;
    size_t ntype = 0;
    SN_TRY(sn_metric_flag(r, "suffix", false, &suffix));
    SN_TRY(sn_metric_flag(r, "averages", false, &has_averages));
    SN_TRY(sn_metric_choice(r, "scheme", names, scheme, &scheme));
    SN_TRY(sn_metric_choice(r, "mode", modes, mode, &mode));
    if (!sn_json_is(sn_json_get(r->in, "zero_division"), "warn"))
        SN_TRY(sn_metric_number(r, "zero_division", 0, &zero));
    SN_TRY(read_tags(r, r->pred, "predictions", suffix, mode == 0, &pred));
    SN_TRY(read_tags(r, r->ref, "references", suffix, mode == 0, &ref));
    for (uint32_t i = 0; i < r->n; i++)
        SN_CHECK(pred.end[i] == ref.end[i], r->err, SN_EFORMAT,
                 "%s: predictions[%u] has %u tags, its reference %u", r->name, i, r->pred->u.child[i].n,
                 r->ref->u.child[i].n);
    for (size_t k = 0; k < 2; k++) {
        found[k] = sn_arena_array(r->arena, ref.n, sizeof *found[k]);
        SN_CHECK(found[k], r->err, SN_ENOMEM, "%s: no memory", r->name);
    }
    SN_TRY(find_all(r, scheme < SN_COUNT(schemes) ? &schemes[scheme] : NULL, mode == 0, &pred, &ref, found));
    SN_TRY(count_types(r, found[0], found[1], ref.n, &t, &ntype));
    put_types(r, t, ntype, zero, has_averages);
    for (size_t i = 0; i < ref.n; i++)
        right += same(pred.at[i].text, ref.at[i].text);
    sn_metric_put(r, "overall_accuracy",
                  ref.n > ref.nend ? (right - (double)ref.nend) / (double)(ref.n - ref.nend) : 0);
    return SN_OK;
}
