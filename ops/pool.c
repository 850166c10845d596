/* pool.c -- one vector a text from one vector a token, as sentence-transformers does it. */
#include "ops/help.h"

/* mask[b, s] as 0 or 1 beside x[b, s, d], wide. */
static SnValue weights_of(SnGraph *g, const SnCall *c)
{
    return sn_insert_axis(g, sn_cast(g, c->in[1], sn_wide_dtype(sn_value_dtype(g, c->in[0]))), 2);
}

static SnValue weighted_sum(SnGraph *g, SnValue x, SnValue w)
{
    return sn_reduce(g, "add", sn_mul(g, sn_wide(g, x), w), 1, &(int){1}, false);
}

static SnValue weight_sum(SnGraph *g, SnValue w)
{
    return sn_max(g, sn_reduce(g, "add", w, 1, &(int){1}, false), sn_num(g, 1e-9));
}

static SnValue mean_pool(SnGraph *g, const SnCall *c)
{
    const SnValue w = weights_of(g, c);
    return sn_like(g, sn_div(g, weighted_sum(g, c->in[0], w), weight_sum(g, w)), c->in[0]);
}

static SnValue mean_sqrt_pool(SnGraph *g, const SnCall *c)
{
    const SnValue w = weights_of(g, c);
    return sn_like(g, sn_div(g, weighted_sum(g, c->in[0], w), sn_sqrt(g, weight_sum(g, w))), c->in[0]);
}

static SnValue weighted_mean_pool(SnGraph *g, const SnCall *c)
{
    const SnValue mask = weights_of(g, c);
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_dims(g, mask, dims);
    const SnValue position = sn_add(g, sn_iota(g, sn_value_dtype(g, mask), 1, rank, dims), sn_num(g, 1));
    const SnValue w = sn_mul(g, mask, position);
    return sn_like(g, sn_div(g, weighted_sum(g, c->in[0], w), weight_sum(g, w)), c->in[0]);
}

static SnValue max_pool(SnGraph *g, const SnCall *c)
{
    const SnValue is_token = sn_ne(g, weights_of(g, c), sn_num(g, 0));
    const SnValue x = sn_where(g, is_token, sn_wide(g, c->in[0]), sn_num(g, -1e9));
    return sn_like(g, sn_reduce(g, "max", x, 1, &(int){1}, false), c->in[0]);
}

static SnValue cls_pool(SnGraph *g, const SnCall *c)
{
    return sn_drop_axis(g, sn_slice_axis(g, c->in[0], 1, sn_size(g, 0), sn_size(g, 1)), 1);
}

/* The last position whose mask is not 0, on whichever side the padding is. */
static SnValue last_pool(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK];
    sn_dims(g, c->in[1], dims);
    const SnValue is_token = sn_ne(g, c->in[1], sn_const_int(g, SN_I8, 0));
    const SnValue position = sn_where(g, is_token, sn_iota(g, SN_I64, 1, 2, dims), sn_size(g, 0));
    const SnValue index[] = {sn_iota(g, SN_I64, 0, 1, dims),
                             sn_reduce(g, "max", position, 1, &(int){1}, false)};
    return sn_gather(g, c->in[0], 2, (const int[]){0, 1}, index, NULL);
}

const SnOp sn_pool_ops[] = {
    {.sig = "mean_pool(x: F[b, s, d], mask: T[b, s]) -> F[b, d]",
     .expand = mean_pool,
     .doc = "sum of the tokens / their number"},
    {.sig = "mean_sqrt_pool(x: F[b, s, d], mask: T[b, s]) -> F[b, d]",
     .expand = mean_sqrt_pool,
     .doc = "sum of the tokens / square root of their number"},
    {.sig = "weighted_mean_pool(x: F[b, s, d], mask: T[b, s]) -> F[b, d]",
     .expand = weighted_mean_pool,
     .doc = "mean of the tokens with weights 1, 2, 3, ..."},
    {.sig = "max_pool(x: F[b, s, d], mask: T[b, s]) -> F[b, d]",
     .expand = max_pool,
     .doc = "largest value of any token; padding counts as -1e9"},
    {.sig = "cls_pool(x: F[b, s, d]) -> F[b, d]", .expand = cls_pool, .doc = "the first token"},
    {.sig = "last_pool(x: F[b, s, d], mask: I[b, s]) -> F[b, d]",
     .expand = last_pool,
     .doc = "the last token"},
    {0},
};
