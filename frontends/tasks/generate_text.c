/* generate_text.c -- texts of tokens that come one after the other: whole characters only, and stop strings.
 */
#include "frontends/tasks/generate.h"

#define LEAD     6    /* tokens that new ones are decoded with: what joins them, a space say, is right */
#define MAX_STOP 1024 /* bytes of a stop string */

static SnStatus decode(SnModel *m, const int32_t *ids, size_t n, bool keep_special, SnText *out, SnError *err)
{
    return sn_model_decode_ids(m, ids, n, !keep_special, out, err);
}

/* Ends in the middle of a character: with U+FFFD, which may become another one. */
static bool is_broken(const SnText *t)
{
    return t->n >= 3 && memcmp(t->at + t->n - 3, "\xEF\xBF\xBD", 3) == 0;
}

static size_t common(const SnText *a, const SnText *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->at[n] == b->at[n])
        n++;
    return n;
}

SnStatus sn_gen_text(SnModel *m, SnGenText *t, const int32_t *ids, size_t n, bool is_last, SnText *out,
                     SnError *err)
{
    SnText old = {.memory = sn_allocator(m->ctx)}, all = {.memory = sn_allocator(m->ctx)};
    if (t->from == 0 && t->upto > LEAD)
        t->from = t->upto - LEAD;
    SnStatus st = decode(m, ids + t->from, t->upto - t->from, t->keep_special, &old, err);
    if (st == SN_OK)
        st = decode(m, ids + t->from, n - t->from, t->keep_special, &all, err);
    if (st == SN_OK && (is_last || (all.n > old.n && !is_broken(&all)))) {
        const size_t same = common(&old, &all);
        sn_text_add(out, all.at ? all.at + same : "", all.n - same);
        t->from = t->upto;
        t->upto = n;
    }
    if (st == SN_OK && out->failed)
        st = sn_fail(err, SN_ENOMEM, "no memory for text");
    sn_text_clear(&old);
    sn_text_clear(&all);
    return st;
}

/* ---- stop strings ---- */

static bool ends_in(const SnText *text, size_t from, SnBytes stop)
{
    for (size_t end = from + 1; end <= text->n; end++)
        if (end >= stop.n && stop.n && memcmp(text->at + end - stop.n, stop.at, stop.n) == 0)
            return true;
    return false;
}

static SnStatus read_stop(const SnJson *stop, uint32_t i, SnBytes *out, SnError *err)
{
    SN_CHECK(sn_json_string(stop->kind == SN_JSON_STRING ? stop : sn_json_at(stop, i), out) &&
                 out->n <= MAX_STOP,
             err, SN_EINVAL, "stop_strings: expected strings of up to %d bytes", MAX_STOP);
    return SN_OK;
}

SnStatus sn_gen_hits_stop(SnModel *m, const SnJson *stop, const int32_t *ids, size_t n, bool *hit,
                          SnError *err)
{
    SnText before = {.memory = sn_allocator(m->ctx)}, all = {.memory = sn_allocator(m->ctx)};
    const uint32_t nstop = stop->kind == SN_JSON_STRING ? 1 : stop->n;
    size_t longest = 0;
    SnBytes s = {0};
    *hit = false;
    for (uint32_t i = 0; i < nstop; i++) {
        SN_TRY(read_stop(stop, i, &s, err));
        longest = s.n > longest ? s.n : longest;
    }
    const size_t from = n > longest + LEAD ? n - longest - LEAD : 0;
    SnStatus st = decode(m, ids + from, n - 1 - from, true, &before, err);
    if (st == SN_OK)
        st = decode(m, ids + from, n - from, true, &all, err);
    const size_t same = common(&before, &all);
    for (uint32_t i = 0; st == SN_OK && i < nstop && !*hit; i++) {
        st = read_stop(stop, i, &s, err);
        *hit = st == SN_OK && all.n > same && ends_in(&all, same, s);
    }
    sn_text_clear(&before);
    sn_text_clear(&all);
    return st;
}
