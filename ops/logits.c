/* logits.c -- what happens to the scores of the next token before one is picked: penalties, bans and warpers.
 *
 * Each is the processor of Transformers 5.23 of that name (generation/logits_process.py). scores is F[b, v];
 * ids I[b, c] are the tokens of each row so far, length I[b] says how many of them there are. A number may be
 * one for all rows, [], or one a row, [b]. A token that is removed has -inf. */
#include "ops/help.h"

#include <math.h>

static SnValue never(SnGraph *g)
{
    return sn_num(g, -HUGE_VAL);
}

static SnValue column(SnGraph *g, SnValue x) /* [b] ▶ [b, 1] */
{
    return sn_insert_axis(g, x, 1);
}

static SnValue over_row(SnGraph *g, const char *fn, SnValue x) /* [b, n] ▶ [b, 1] */
{
    return sn_reduce(g, fn, x, 1, &(int){1}, true);
}

static SnValue count(SnGraph *g, SnValue is) /* of what is true in each row, i64[b, 1] */
{
    return over_row(g, "add", sn_cast(g, is, SN_I64));
}

static SnValue index_of(SnGraph *g, SnValue x, int axis) /* i64, as large as x [b, n] */
{
    return sn_iota(g, SN_I64, axis, 2, (SnValue[]){sn_dim(g, x, 0), sn_dim(g, x, 1)});
}

/* Element i[b, 1] of each row of x[b, n], [b, 1]; clamped. */
static SnValue pick(SnGraph *g, SnValue x, SnValue i)
{
    const SnValue row[] = {sn_dim(g, x, 0), sn_size(g, 1)};
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 2, row), sn_broadcast(g, i, 2, row)};
    return sn_gather(g, x, 2, (const int[]){0, 1}, at, NULL);
}

/* Whether each id of ids[b, n] stands in a row, bool[b, v]; ids that are no token of scores do not count. */
static SnValue marked(SnGraph *g, SnValue scores, SnValue ids)
{
    const SnValue dims[] = {sn_dim(g, scores, 0), sn_dim(g, scores, 1)};
    const SnValue at[] = {index_of(g, ids, 0), sn_cast(g, ids, SN_I64)};
    const SnValue one =
        sn_broadcast(g, sn_const_int(g, SN_U8, 1), 2, (SnValue[]){sn_dim(g, ids, 0), sn_dim(g, ids, 1)});
    const SnValue none = sn_broadcast(g, sn_const_int(g, SN_U8, 0), 2, dims);
    return sn_ne(g, sn_scatter(g, "set", none, 2, (const int[]){0, 1}, at, one), sn_const_int(g, SN_U8, 0));
}

/* Whether a token is one of tokens[q], bool[1, v]. */
static SnValue is_one_of(SnGraph *g, SnValue scores, SnValue tokens)
{
    const SnValue one[] = {sn_size(g, 1), sn_dim(g, scores, 1)};
    const SnValue like = sn_broadcast(g, sn_num(g, 0), 2, one);
    return marked(g, like, sn_insert_axis(g, tokens, 0));
}

/* Tokens from `first` on, -1 in the place of the others. */
static SnValue known(SnGraph *g, SnValue ids, SnValue length, SnValue first)
{
    const SnValue wide = sn_cast(g, ids, SN_I64), at = index_of(g, ids, 1);
    SnValue is_known = sn_lt(g, at, column(g, sn_cast(g, length, SN_I64)));
    if (first.ref)
        is_known = sn_and(g, is_known, sn_ge(g, at, column(g, sn_cast(g, first, SN_I64))));
    return sn_where(g, is_known, wide, sn_size(g, -1));
}

/* ---- penalties ---- */

/* Keskar et al. 2019, arXiv:1909.05858. */
static SnValue repetition(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], penalty = sn_like(g, column(g, c->in[3]), x);
    const SnValue seen = marked(g, x, known(g, c->in[1], c->in[2], c->in[4]));
    const SnValue less = sn_where(g, sn_lt(g, x, sn_num(g, 0)), sn_mul(g, x, penalty), sn_div(g, x, penalty));
    return sn_where(g, seen, less, x);
}

/* The n - 1 last tokens of ids match at place i of source: then source[i + n - 1] is banned. */
static SnValue no_repeat_ngram(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], length = column(g, sn_cast(g, c->in[2], SN_I64));
    const bool is_own = !sn_call_has(c, 3);
    const SnValue source = is_own ? c->in[1] : c->in[3];
    const SnValue nsource = is_own ? length : column(g, sn_cast(g, c->in[4], SN_I64));
    const int64_t n = sn_call_int(c, "n");
    const SnValue wide = sn_cast(g, source, SN_I64), ids = sn_cast(g, c->in[1], SN_I64),
                  at = index_of(g, source, 1);
    SnValue is_match =
        sn_and(g, sn_lt(g, sn_add(g, at, sn_size(g, n - 1)), nsource), sn_ge(g, length, sn_size(g, n - 1)));
    SnValue row = index_of(g, source, 0);
    for (int64_t j = 0; j + 1 < n; j++) {
        const SnValue there[] = {row, sn_add(g, at, sn_size(g, j))};
        const SnValue last = pick(g, ids, sn_sub(g, length, sn_size(g, n - 1 - j)));
        is_match =
            sn_and(g, is_match, sn_eq(g, sn_gather(g, wide, 2, (const int[]){0, 1}, there, NULL), last));
    }
    const SnValue end[] = {row, sn_add(g, at, sn_size(g, n - 1))};
    const SnValue next = sn_gather(g, wide, 2, (const int[]){0, 1}, end, NULL);
    return sn_where(g, marked(g, x, sn_where(g, is_match, next, sn_size(g, -1))), never(g), x);
}

/* words[w, n] end with the token that is biased; what is shorter has -1 in front. */
static SnValue sequence_bias(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], ids = sn_cast(g, c->in[1], SN_I64), words = sn_cast(g, c->in[3], SN_I64);
    const SnValue length = column(g, sn_cast(g, c->in[2], SN_I64)), n = sn_dim(g, words, 1);
    const SnValue rows = sn_dim(g, x, 0), w = sn_dim(g, words, 0), before = sn_sub(g, n, sn_size(g, 1));
    const SnValue dims[] = {rows, w, before};
    const SnValue place =
        sn_add(g, sn_iota(g, SN_I64, 2, 3, dims), sn_sub(g, sn_insert_axis(g, length, 2), before));
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 3, dims), place};
    const SnValue token = sn_gather(g, ids, 2, (const int[]){0, 1}, at, NULL);
    const SnValue want = sn_insert_axis(g, sn_slice_axis(g, words, 1, sn_size(g, 0), before), 0);
    const SnValue fits = sn_and(g, sn_eq(g, token, want), sn_ge(g, place, sn_size(g, 0)));
    const SnValue is_hit = sn_or(g, fits, sn_lt(g, want, sn_size(g, 0)));
    const SnValue hit = sn_reduce(g, "and", is_hit, 1, &(int){2}, false); /* [b, w] */
    const SnValue bias = sn_where(g, hit, sn_like(g, c->in[4], x), sn_num(g, 0));
    const SnValue last = sn_drop_axis(g, sn_slice_axis(g, words, 1, before, sn_size(g, 1)), 1),
                  two[] = {rows, w};
    const SnValue to[] = {sn_iota(g, SN_I64, 0, 2, two), sn_broadcast(g, last, 2, two)};
    const SnValue zero = sn_like(g, sn_broadcast(g, sn_num(g, 0), 2, (SnValue[]){rows, sn_dim(g, x, 1)}), x);
    return sn_add(g, x, sn_scatter(g, "add", zero, 2, (const int[]){0, 1}, to, sn_like(g, bias, x)));
}

/* |score| (factor^(length - start) - 1) is added to the tokens that end a text, from start on. */
static SnValue decay(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], zero = sn_num(g, 0);
    const SnValue past =
        sn_sub(g, column(g, sn_cast(g, c->in[1], SN_I64)), column(g, sn_cast(g, c->in[3], SN_I64)));
    const SnValue factor = sn_like(g, column(g, c->in[4]), x);
    const SnValue more = sn_sub(g, sn_pow(g, factor, sn_like(g, past, x)), sn_num(g, 1));
    const SnValue is_finite = sn_lt(g, sn_abs(g, x), sn_num(g, HUGE_VAL));
    const SnValue here = sn_and(g, is_one_of(g, x, c->in[2]), sn_gt(g, past, sn_size(g, 0)));
    const SnValue add = sn_where(g, sn_and(g, here, is_finite), sn_mul(g, sn_abs(g, x), more), zero);
    return sn_add(g, x, add);
}

/* ---- bans ---- */

static SnValue ban(SnGraph *g, const SnCall *c)
{
    const SnValue hit = is_one_of(g, c->in[0], c->in[1]);
    return sn_where(g, sn_and(g, hit, column(g, c->in[2])), never(g), c->in[0]);
}

static SnValue force(SnGraph *g, const SnCall *c)
{
    const SnValue only = sn_where(g, is_one_of(g, c->in[0], c->in[1]), sn_num(g, 0), never(g));
    return sn_where(g, column(g, c->in[2]), sn_like(g, only, c->in[0]), c->in[0]);
}

static SnValue no_infinities(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0];
    const double top = sn_value_dtype(g, x) == SN_F16    ? 65504.0
                       : sn_value_dtype(g, x) == SN_BF16 ? 3.3895313892515355e38
                                                         : 3.4028234663852886e38;
    const SnValue number = sn_where(g, sn_eq(g, x, x), x, sn_num(g, 0));
    return sn_max(g, sn_min(g, number, sn_num(g, top)), sn_num(g, -top));
}

/* ---- time stamps ---- */

/* [b, 1]: is the token `back` places before length one of those from `from` on? */
static SnValue is_stamp(SnGraph *g, SnValue ids, SnValue length, int64_t back, SnValue from)
{
    return sn_ge(g, pick(g, ids, sn_max(g, sn_sub(g, length, sn_size(g, back)), sn_size(g, 0))), from);
}

/* Radford et al. 2022, arXiv:2212.04356: stamps come in pairs and do not fall; where all of them together are
 * likelier than any word, one of them comes. */
static SnValue timestamps(SnGraph *g, const SnCall *c)
{
    const SnValue ids = sn_cast(g, c->in[1], SN_I64), length = column(g, sn_cast(g, c->in[2], SN_I64));
    const SnValue begin = column(g, sn_cast(g, c->in[3], SN_I64)), n = sn_sub(g, length, begin);
    const SnValue from = sn_size(g, sn_call_int(c, "none") + 1), end = sn_size(g, sn_call_int(c, "end"));
    const SnValue id = index_of(g, c->in[0], 1), at = index_of(g, ids, 1), zero = sn_size(g, 0);
    const int64_t initial = sn_call_int(c, "initial");
    const SnValue last = sn_and(g, sn_gt(g, n, zero), is_stamp(g, ids, length, 1, from));
    const SnValue other = sn_or(g, sn_lt(g, n, sn_size(g, 2)), is_stamp(g, ids, length, 2, from));
    const SnValue is_text = sn_lt(g, id, from), is_time = sn_not(g, is_text);
    const SnValue here = sn_and(g, sn_and(g, sn_ge(g, at, begin), sn_lt(g, at, length)), sn_ge(g, ids, from));
    const SnValue stamp = over_row(g, "max", sn_where(g, here, at, sn_size(g, -1)));
    const SnValue again = sn_cast(g, sn_not(g, sn_and(g, last, sn_not(g, other))), SN_I64);
    const SnValue next = sn_add(g, pick(g, ids, sn_max(g, stamp, zero)), again);
    const SnValue least = sn_where(g, sn_ge(g, stamp, zero), next, from);
    SnValue gone = sn_eq(g, id, sn_size(g, sn_call_int(c, "none")));
    gone = sn_or(g, gone, sn_and(g, last, sn_where(g, other, is_time, sn_lt(g, id, end))));
    gone = sn_or(g, gone, sn_and(g, is_time, sn_lt(g, id, least)));
    SnValue first = is_text;
    if (initial >= 0)
        first = sn_or(g, first, sn_gt(g, id, sn_add(g, from, sn_size(g, initial))));
    gone = sn_or(g, gone, sn_and(g, sn_eq(g, n, zero), first));
    const SnValue x = sn_where(g, gone, never(g), c->in[0]), logp = sn_log_softmax(g, sn_wide(g, x), -1);
    const SnValue of_time = sn_where(g, is_time, logp, never(g));
    const SnValue top = sn_max(g, over_row(g, "max", of_time), sn_num(g, -3.0e38));
    const SnValue all = sn_add(g, sn_log(g, over_row(g, "add", sn_exp(g, sn_sub(g, of_time, top)))), top);
    const SnValue word = over_row(g, "max", sn_where(g, is_text, logp, never(g)));
    return sn_where(g, sn_and(g, sn_gt(g, all, word), is_text), never(g), x);
}

/* ---- warpers ---- */

static SnValue temperature(SnGraph *g, const SnCall *c)
{
    return sn_div(g, c->in[0], sn_like(g, column(g, c->in[1]), c->in[0]));
}

/* Row by row the first n[b, 1] tokens in the order of a sort by key, which is value then index; or, where
 * last is set, all from the n-th on. */
static SnValue in_order(SnGraph *g, SnValue key, SnValue value, SnValue index, SnValue n, bool is_desc,
                        bool last)
{
    const SnValue i = last ? n : sn_sub(g, n, sn_size(g, 1)), id = index_of(g, key, 1);
    const SnValue v = pick(g, value, i), at = pick(g, index, i);
    const SnValue beyond = is_desc != last ? sn_gt(g, key, v) : sn_lt(g, key, v);
    const SnValue tie = sn_and(g, sn_eq(g, key, v), last ? sn_ge(g, id, at) : sn_le(g, id, at));
    return sn_or(g, beyond, tie);
}

static SnValue order_of(SnGraph *g, SnValue key, bool is_desc, int64_t limit) /* tuple of value and index */
{
    return sn_sort(g, 2, (SnValue[]){key, index_of(g, key, 1)}, 1, 1, is_desc, limit);
}

/* At least the score of the k-th best one, k i64[b, 1] or []. */
static SnValue among_best(SnGraph *g, SnValue x, SnValue k, int64_t limit)
{
    const SnValue best = sn_get(g, sn_sort(g, 1, &x, 1, 1, true, limit), 0), one = sn_size(g, 1);
    const SnValue n = sn_max(g, sn_min(g, k, sn_dim(g, best, 1)), one);
    return sn_ge(g, x, pick(g, best, sn_sub(g, n, one)));
}

static SnValue keep_where(SnGraph *g, SnValue is_kept, SnValue x)
{
    return sn_where(g, is_kept, x, never(g));
}

static SnValue top_k(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], k = column(g, sn_cast(g, c->in[1], SN_I64)), zero = sn_size(g, 0);
    const SnValue least = sn_max(g, k, sn_size(g, sn_call_int(c, "keep")));
    const SnValue is_best = among_best(g, x, least, sn_call_int(c, "limit"));
    return keep_where(g, sn_or(g, is_best, sn_le(g, k, zero)), x);
}

/* Holtzman et al. 2019, arXiv:1904.09751: the worst tokens go as long as they sum up to 1 - p at most. */
static SnValue top_p(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], s = order_of(g, x, false, 0), value = sn_get(g, s, 0);
    const SnValue upto = sn_scan(g, "add", sn_softmax(g, value, -1), 1, false);
    const SnValue rest = sn_sub(g, sn_num(g, 1), column(g, c->in[1]));
    const SnValue most = sn_sub(g, sn_dim(g, x, 1), sn_size(g, sn_call_int(c, "keep")));
    const SnValue n =
        sn_max(g, sn_min(g, count(g, sn_le(g, upto, sn_like(g, rest, x))), most), sn_size(g, 0));
    return keep_where(g, in_order(g, x, value, sn_get(g, s, 1), n, false, true), x);
}

/* Minh et al. 2024, arXiv:2407.01082. */
static SnValue min_p(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], p = sn_softmax(g, x, -1);
    const SnValue least = sn_mul(g, over_row(g, "max", p), sn_like(g, column(g, c->in[1]), x));
    const int64_t keep = sn_call_int(c, "keep");
    const SnValue s = order_of(g, p, true, keep), n = sn_min(g, sn_size(g, keep), sn_dim(g, x, 1));
    const SnValue best = in_order(g, p, sn_get(g, s, 0), sn_get(g, s, 1), n, true, false);
    return keep_where(g, sn_or(g, sn_not(g, sn_lt(g, p, least)), best), x);
}

/* Meister et al. 2022, arXiv:2202.00666. */
static SnValue typical(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], logp = sn_log_softmax(g, x, -1), p = sn_exp(g, logp), zero = sn_num(g, 0);
    const SnValue part = sn_where(g, sn_lt(g, zero, p), sn_mul(g, logp, p), zero);
    const SnValue away = sn_abs(g, sn_sub(g, over_row(g, "add", part), logp));
    const SnValue in[] = {away, index_of(g, x, 1), x};
    const SnValue s = sn_sort(g, 3, in, 1, 1, false, 0), value = sn_get(g, s, 0);
    const SnValue upto = sn_scan(g, "add", sn_softmax(g, sn_get(g, s, 2), -1), 1, false);
    const SnValue last = count(g, sn_lt(g, upto, sn_like(g, column(g, c->in[1]), x)));
    const SnValue near = sn_le(g, away, pick(g, value, last));
    const SnValue keep = sn_min(g, sn_size(g, sn_call_int(c, "keep")), sn_dim(g, x, 1));
    return keep_where(g, sn_or(g, near, in_order(g, away, value, sn_get(g, s, 1), keep, false, false)), x);
}

/* Hewitt et al. 2022, arXiv:2210.15191. */
static SnValue above(SnGraph *g, const SnCall *c, SnValue p, SnValue least)
{
    const int64_t keep = sn_call_int(c, "keep");
    const SnValue best = among_best(g, c->in[0], sn_size(g, keep), keep);
    return keep_where(g, sn_or(g, sn_not(g, sn_lt(g, p, least)), best), c->in[0]);
}

static SnValue epsilon(SnGraph *g, const SnCall *c)
{
    return above(g, c, sn_softmax(g, c->in[0], -1), sn_like(g, column(g, c->in[1]), c->in[0]));
}

/* -sum p log p, [b, 1]; what is impossible adds nothing. */
static SnValue entropy(SnGraph *g, SnValue logp)
{
    const SnValue p = sn_exp(g, logp), zero = sn_num(g, 0);
    return sn_neg(g, over_row(g, "add", sn_where(g, sn_lt(g, zero, p), sn_mul(g, p, logp), zero)));
}

static SnValue eta(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], e = sn_like(g, column(g, c->in[1]), x);
    const SnValue soft = sn_mul(g, sn_sqrt(g, e), sn_exp(g, sn_neg(g, entropy(g, sn_log_softmax(g, x, -1)))));
    return above(g, c, sn_softmax(g, x, -1), sn_min(g, e, soft));
}

/* Of the 100 best tokens, those that hold a share of their entropy; Potraghloo et al. 2025, arXiv:2509.02510.
 */
static SnValue top_h(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], s = order_of(g, x, true, 100), value = sn_get(g, s, 0), one = sn_size(g, 1);
    const SnValue logp = sn_log_softmax(g, value, -1), most = entropy(g, logp);
    const SnValue part = sn_neg(g, sn_mul(g, sn_exp(g, logp), logp));
    const SnValue upto = sn_scan(g, "add", part, 1, false);
    const SnValue share = sn_mul(g, most, sn_like(g, column(g, c->in[1]), x));
    const SnValue n = sn_max(g, count(g, sn_le(g, upto, share)), one);
    return keep_where(g, in_order(g, x, value, sn_get(g, s, 1), n, true, false), x);
}

const SnOp sn_logits_ops[] = {
    {.sig =
         "logits_repetition(scores: F[b, v], ids: I[b, c], length: I2[b], penalty: F2[b], first: I3[b]?) -> "
         "F[b, v]",
     .expand = repetition,
     .doc = "scores of tokens in ids[first .. length) are divided by penalty, or multiplied where negative"},
    {.sig = "logits_no_repeat_ngram(scores: F[b, v], ids: I[b, c], length: I2[b], source: I3[b, t]?, "
            "source_length: "
            "I4[b]?; n: int) -> F[b, v]",
     .expand = no_repeat_ngram,
     .doc = "bans what would complete n tokens that stand in source (ids, if there is none)"},
    {.sig = "logits_sequence_bias(scores: F[b, v], ids: I[b, c], length: I2[b], words: I3[w, n], bias: "
            "F2[w]) -> F[b, v]",
     .expand = sequence_bias,
     .doc = "adds bias to the last token of a word whose others end ids; words are padded with -1 in front"},
    {.sig =
         "logits_decay(scores: F[b, v], length: I[b], tokens: I2[q], start: I3[b], factor: F2[b]) -> F[b, v]",
     .expand = decay,
     .doc = "raises the scores of tokens by |score| (factor^(length - start) - 1) beyond start"},
    {.sig = "logits_ban(scores: F[b, v], tokens: I[q], rows: bool[b]) -> F[b, v]",
     .expand = ban,
     .doc = "-inf at tokens, in rows"},
    {.sig = "logits_force(scores: F[b, v], tokens: I[q], rows: bool[b]) -> F[b, v]",
     .expand = force,
     .doc = "0 at tokens and -inf elsewhere, in rows"},
    {.sig = "logits_finite(scores: F[b, v]) -> F[b, v]",
     .expand = no_infinities,
     .doc = "NaN becomes 0, infinities the largest numbers"},
    {.sig =
         "logits_timestamps(scores: F[b, v], ids: I[b, c], length: I2[b], begin: I3[b]; none: int, end: int, "
         "initial: int = -1) -> F[b, v]",
     .expand = timestamps,
     .doc = "whisper's rules of time stamps, tokens behind `none`; what came begins at `begin`; the first "
            "one is "
            "at most the `initial`th (-1: any); Radford et al. 2022"},
    {.sig = "logits_temperature(scores: F[b, v], t: F2[b]) -> F[b, v]",
     .expand = temperature,
     .doc = "scores / t"},
    {.sig = "logits_top_k(scores: F[b, v], k: I[b]; keep: int = 1, limit: int = 0) -> F[b, v]",
     .expand = top_k,
     .doc =
         "keeps the k best and what equals the last of them; k 0: all; limit: k is no larger (0: unknown)"},
    {.sig = "logits_top_p(scores: F[b, v], p: F2[b]; keep: int = 1) -> F[b, v]",
     .expand = top_p,
     .doc = "keeps the best tokens that hold probability p; Holtzman et al. 2019"},
    {.sig = "logits_min_p(scores: F[b, v], p: F2[b]; keep: int = 1) -> F[b, v]",
     .expand = min_p,
     .doc = "keeps tokens of at least p times the best one's probability"},
    {.sig = "logits_typical(scores: F[b, v], mass: F2[b]; keep: int = 1) -> F[b, v]",
     .expand = typical,
     .doc = "keeps tokens whose surprise is nearest to the entropy, up to mass; Meister et al. 2022"},
    {.sig = "logits_epsilon(scores: F[b, v], epsilon: F2[b]; keep: int = 1) -> F[b, v]",
     .expand = epsilon,
     .doc = "keeps tokens of probability epsilon or more"},
    {.sig = "logits_eta(scores: F[b, v], epsilon: F2[b]; keep: int = 1) -> F[b, v]",
     .expand = eta,
     .doc =
         "keeps tokens of probability min(epsilon, sqrt(epsilon) exp(-entropy)) or more; Hewitt et al. 2022"},
    {.sig = "logits_top_h(scores: F[b, v], share: F2[b]) -> F[b, v]",
     .expand = top_h,
     .doc = "keeps the best of 100 tokens that hold a share of their entropy"},
    {0},
};
