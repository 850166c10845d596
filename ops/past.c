/* past.c -- keys and values of what came before, in pages: how they are written, and attention over them.
 *
 * A page holds 256 positions of a row, its keys in panels of 16 positions, as attention reads them: page c of
 * row i is page[i][c], the same number in all layers. A row's positions are absolute and count from 0; a
 * position below 0 is padding. Paged caches: Kwon et al. 2023, arXiv:2309.06180; attention sinks in the sum
 * of a softmax: Xiao et al. 2023, arXiv:2309.17453; slopes: Press et al. 2021, arXiv:2108.12409. */
#include "ops/help.h"

#include <float.h>
#include <math.h>

#define PAGE  256 /* positions of a page: a chunk of attention */
#define PANEL 16

/* x[b] as [b, 1]: rows of a table. */
static SnValue row_numbers(SnGraph *g, SnValue page)
{
    const SnValue dims[] = {sn_dim(g, page, 0), sn_size(g, 1)};
    return sn_iota(g, SN_I64, 0, 2, dims);
}

/* Where each token goes: its page, none (-1) for padding and behind the table. */
static SnValue page_of(SnGraph *g, SnValue page, SnValue pos)
{
    const SnValue chunk = sn_idiv(g, pos, sn_size(g, PAGE));
    const SnValue index[] = {row_numbers(g, page), chunk};
    const SnValue found = sn_cast(g, sn_gather(g, page, 2, (const int[]){0, 1}, index, "clamp"), SN_I64);
    const SnValue is_inside =
        sn_and(g, sn_not(g, sn_lt(g, pos, sn_size(g, 0))), sn_lt(g, chunk, sn_dim(g, page, 1)));
    return sn_where(g, is_inside, found, sn_size(g, -1));
}

static SnValue cache_keys(SnGraph *g, const SnCall *c)
{
    const SnValue pos = sn_cast(g, c->in[3], SN_I64), of_page = sn_mod(g, pos, sn_size(g, PAGE));
    const SnValue index[] = {page_of(g, c->in[2], pos), sn_idiv(g, of_page, sn_size(g, PANEL)),
                             sn_mod(g, of_page, sn_size(g, PANEL))};
    const SnValue rows = sn_permute(g, sn_like(g, c->in[1], c->in[0]), (const int[]){0, 2, 1, 3});
    return sn_scatter(g, "set", c->in[0], 3, (const int[]){0, 2, 4}, index, rows);
}

static SnValue cache_values(SnGraph *g, const SnCall *c)
{
    const SnValue pos = sn_cast(g, c->in[3], SN_I64);
    const SnValue index[] = {page_of(g, c->in[2], pos), sn_mod(g, pos, sn_size(g, PAGE))};
    const SnValue rows = sn_permute(g, sn_like(g, c->in[1], c->in[0]), (const int[]){0, 2, 1, 3});
    return sn_scatter(g, "set", c->in[0], 2, (const int[]){0, 2}, index, rows);
}

/* Pages of a row one after the other: keys [b, g, t, d] from [p, g, 16, d, 16], values likewise. */
static SnValue whole_past(SnGraph *g, SnValue cache, SnValue page, SnDtype wide)
{
    const bool is_keys = sn_rank(g, cache) == 5;
    const SnValue at[] = {page};
    const SnValue all = sn_cast(g, sn_gather(g, cache, 1, (const int[]){0}, at, "clamp"), wide);
    const SnValue length = sn_mul(g, sn_dim(g, page, 1), sn_size(g, PAGE));
    const SnValue dims[] = {sn_dim(g, page, 0), sn_dim(g, cache, 1), length, sn_dim(g, cache, 3)};
    const SnValue turned = is_keys ? sn_permute(g, all, (const int[]){0, 2, 1, 3, 5, 4})
                                   : sn_permute(g, all, (const int[]){0, 2, 1, 3, 4});
    return sn_reshape(g, turned, 4, dims);
}

/* [b, 1, s, t]: does a query see a position? */
static SnValue seen_of(SnGraph *g, SnValue pos, SnValue at, int64_t window)
{
    const SnValue before = sn_not(g, sn_lt(g, pos, at));
    if (window == 0)
        return before;
    return sn_and(g, before, sn_lt(g, sn_sub(g, pos, sn_size(g, window)), at));
}

/* What pages hold, each position times its scale where there are scales. */
static SnValue scaled_past(SnGraph *g, const SnCall *c, int i, int scale, SnDtype wide)
{
    const SnValue x = whole_past(g, c->in[i], c->in[3], wide);
    return sn_call_has(c, scale) ? sn_mul(g, x, whole_past(g, c->in[scale], c->in[3], wide)) : x;
}

/* Scores [b, h, s, t] with all that is added to them, -inf where nothing is seen. */
static SnValue scores_past(SnGraph *g, const SnCall *c, SnValue q, SnValue k, SnValue pos, SnDtype wide)
{
    const SnValue heads = sn_dim(g, q, 1), groups = sn_dim(g, k, 1), one = sn_size(g, 1);
    const SnValue split[] = {sn_dim(g, q, 0), groups, sn_idiv(g, heads, groups), sn_dim(g, q, 2),
                             sn_dim(g, q, 3)};
    const SnValue dims[] = {sn_dim(g, q, 0), heads, sn_dim(g, q, 2), sn_dim(g, k, 2)};
    const SnValue line[] = {one, one, one, sn_dim(g, k, 2)}, at = sn_iota(g, SN_I64, 3, 4, line);
    const double scale = sn_call_float(c, "scale"), cap = sn_call_float(c, "softcap");
    const SnValue factor = scale != 0
                               ? sn_num(g, scale)
                               : sn_div(g, sn_num(g, 1), sn_sqrt(g, sn_cast(g, sn_dim(g, q, 3), wide)));
    SnValue x = sn_contract(g, "bgrsd,bgtd->bgrst", sn_reshape(g, q, 5, split), k, wide);
    x = sn_mul(g, sn_reshape(g, x, 4, dims), factor);
    if (cap != 0)
        x = sn_mul(g, sn_tanh(g, sn_div(g, x, sn_num(g, cap))), sn_num(g, cap));
    if (sn_call_has(c, 5)) {
        const SnValue slope = sn_on_axis(g, sn_cast(g, c->in[5], wide), 1, 4);
        x = sn_add(g, x, sn_mul(g, slope, sn_cast(g, sn_sub(g, at, pos), wide)));
    }
    return sn_where(g, seen_of(g, pos, at, sn_call_int(c, "window")), x, sn_num(g, -HUGE_VAL));
}

static SnValue attention_past(SnGraph *g, const SnCall *c)
{
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, c->in[0]));
    const SnValue q = sn_cast(g, c->in[0], wide);
    const SnValue k = scaled_past(g, c, 1, 7, wide), v = scaled_past(g, c, 2, 8, wide);
    const SnValue pos = sn_insert_axis(g, sn_insert_axis(g, sn_cast(g, c->in[4], SN_I64), 1), 3);
    const SnValue x = scores_past(g, c, q, k, pos, wide);
    SnValue top = sn_max(g, sn_max_of(g, x, -1), sn_num(g, -(double)FLT_MAX)), sink = sn_none();
    if (sn_call_has(c, 6)) {
        sink = sn_on_axis(g, sn_cast(g, c->in[6], wide), 1, 4);
        top = sn_max(g, top, sink);
    }
    const SnValue e = sn_exp(g, sn_sub(g, x, top));
    SnValue sum = sn_sum_of(g, e, -1);
    if (sn_call_has(c, 6))
        sum = sn_add(g, sum, sn_exp(g, sn_sub(g, sink, top)));
    const SnValue p = sn_div(g, e, sn_max(g, sum, sn_num(g, (double)FLT_MIN)));
    const SnValue heads = sn_dim(g, q, 1), groups = sn_dim(g, v, 1);
    const SnValue split[] = {sn_dim(g, q, 0), groups, sn_idiv(g, heads, groups), sn_dim(g, q, 2),
                             sn_dim(g, v, 2)};
    const SnValue dims[] = {sn_dim(g, q, 0), heads, sn_dim(g, q, 2), sn_dim(g, v, 3)};
    const SnValue y = sn_contract(g, "bgrst,bgte->bgrse", sn_reshape(g, p, 5, split), v, wide);
    return sn_like(g, sn_permute(g, sn_reshape(g, y, 4, dims), (const int[]){0, 2, 1, 3}), c->in[0]);
}

const SnOp sn_past_ops[] = {
    {.sig = "cache_keys(cache: T2[p, g, 16, d, 16], k: T[b, g, s, d], page: I[b, m], pos: I2[b, s]) -> "
            "T2[p, g, 16, d, 16]",
     .expand = cache_keys,
     .doc = "writes the keys of tokens at pos of their rows; pos < 0: nothing is written"},
    {.sig = "cache_values(cache: T2[p, g, 256, e], v: T[b, g, s, e], page: I[b, m], pos: I2[b, s]) -> T2[p, "
            "g, 256, e]",
     .expand = cache_values,
     .doc = "writes the values of tokens at pos of their rows; pos < 0: nothing is written"},
    {.sig =
         "attention_past(q: F[b, h, s, d], keys: T2[p, g, 16, d, 16], values: T2[p, g, 256, e], page: "
         "I[b, m], pos: I2[b, s], slopes: F3[h]?, sinks: F4[h]?, key_scale: F5[p, g, 256, 1]?, value_scale: "
         "F6[p, g, 256, 1]?; scale: f64 = 0, softcap: f64 = 0, window: int = 0) -> F[b, s, h, e]",
     .expand = attention_past,
     .doc =
         "attention of a query at pos over positions 0..pos of its row (the last `window` of them); slopes: "
         "+ slope * (t - pos); sinks: one more logit in the sum; pos < 0: 0; scales: of keys and values that "
         "are "
         "whole numbers"},
    {0},
};
