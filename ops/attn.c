/* attn.c -- scaled dot-product attention and rotary positions.
 *
 * Vaswani et al. 2017, arXiv:1706.03762; grouped heads: Ainslie et al. 2023, arXiv:2305.13245.
 *
 * A model gives its mask as an additive bias, as Transformers' eager attention takes it: 0 where a query sees
 * a key, the lowest finite value of the dtype where it does not. A row that sees nothing is then uniform, as
 * there. With `mask`, or a bias of -inf, such a row is 0. */
#include "ops/help.h"

#include <float.h>
#include <math.h>

/* Heads before positions, or the other way round. */
static const int heads_first[] = {0, 2, 1, 3};

/* Heads of q that share a head of k get an axis of their own, [b, g, h/g, s, d]. */
static SnValue group_heads(SnGraph *g, SnValue q, SnValue k)
{
    const SnValue heads = sn_dim(g, q, 1), groups = sn_dim(g, k, 1);
    const SnValue dims[] = {sn_dim(g, q, 0), groups, sn_idiv(g, heads, groups), sn_dim(g, q, 2),
                            sn_dim(g, q, 3)};
    return sn_reshape(g, q, 5, dims);
}

static SnValue scores_of(SnGraph *g, SnValue q, SnValue k, SnDtype wide)
{
    const SnValue dims[] = {sn_dim(g, q, 0), sn_dim(g, q, 1), sn_dim(g, q, 2), sn_dim(g, k, 2)};
    if (sn_dim(g, q, 1).ref == sn_dim(g, k, 1).ref)
        return sn_contract(g, "bhsd,bhtd->bhst", q, k, wide);
    return sn_reshape(g, sn_contract(g, "bgrsd,bgtd->bgrst", group_heads(g, q, k), k, wide), 4, dims);
}

/* Softmax over the last axis; 0 where everything is -inf. A row that has a finite score sums to 1 or more. */
static SnValue weights_of(SnGraph *g, SnValue x)
{
    const SnValue most = sn_stop_gradient(g, sn_max_of(g, x, -1)); /* the result does not depend on it */
    const SnValue top = sn_max(g, most, sn_num(g, -(double)FLT_MAX));
    const SnValue e = sn_exp(g, sn_sub(g, x, top));
    return sn_div(g, e, sn_max(g, sn_sum_of(g, e, -1), sn_num(g, (double)FLT_MIN)));
}

static SnValue scale_of(SnGraph *g, const SnCall *c, SnDtype wide)
{
    const double scale = sn_call_float(c, "scale");
    return scale != 0 ? sn_num(g, scale)
                      : sn_div(g, sn_num(g, 1), sn_sqrt(g, sn_cast(g, sn_dim(g, c->in[0], -1), wide)));
}

/* tanh(q k^T * scale / softcap), or what it is of where there is no cap. */
static SnValue capped_of(SnGraph *g, const SnCall *c)
{
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, c->in[0]));
    const double cap = sn_call_float(c, "softcap");
    const SnValue x = sn_mul(g, scores_of(g, c->in[0], c->in[1], wide), scale_of(g, c, wide));
    return cap != 0 ? sn_tanh(g, sn_div(g, x, sn_num(g, cap))) : x;
}

/* in: q, k, then bias and mask from operand `bias` on. */
static SnValue probs_of(SnGraph *g, const SnCall *c, int bias)
{
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, c->in[0]));
    const double cap = sn_call_float(c, "softcap");
    SnValue x = capped_of(g, c);
    if (cap != 0)
        x = sn_mul(g, x, sn_num(g, cap));
    if (sn_call_has(c, bias))
        x = sn_add(g, x, sn_cast(g, c->in[bias], wide));
    if (sn_call_has(c, bias + 1))
        x = sn_where(g, c->in[bias + 1], x, sn_num(g, -HUGE_VAL));
    return sn_like(g, weights_of(g, x), c->in[0]);
}

static SnValue attention_probs(SnGraph *g, const SnCall *c)
{
    return probs_of(g, c, 2);
}

static SnValue attend(SnGraph *g, SnValue p, SnValue v)
{
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, v));
    const SnValue dims[] = {sn_dim(g, p, 0), sn_dim(g, p, 1), sn_dim(g, p, 2), sn_dim(g, v, 3)};
    if (sn_dim(g, p, 1).ref == sn_dim(g, v, 1).ref)
        return sn_like(g, sn_contract(g, "bhst,bhtd->bhsd", p, v, wide), v);
    const SnValue y = sn_contract(g, "bgrst,bgtd->bgrsd", group_heads(g, p, v), v, wide);
    return sn_like(g, sn_reshape(g, y, 4, dims), v);
}

static SnValue attention_rows(SnGraph *g, const SnCall *c)
{
    return sn_permute(g, attend(g, probs_of(g, c, 3), c->in[2]), heads_first);
}

/* Over the queries that see a key: p [b, h, s, t] and x [b, h, s, d] ▶ as k or v, [b, g, t, d]. */
static SnValue collect(SnGraph *g, SnValue p, SnValue x, SnValue like)
{
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, like));
    const SnValue narrow = sn_like(g, p, like);
    if (sn_dim(g, p, 1).ref == sn_dim(g, like, 1).ref)
        return sn_like(g, sn_contract(g, "bhst,bhsd->bhtd", narrow, x, wide), like);
    const SnValue rows[] = {group_heads(g, narrow, like), group_heads(g, x, like)};
    return sn_like(g, sn_contract(g, "bgrst,bgrsd->bgtd", rows[0], rows[1], wide), like);
}

/* A value for each score summed to what a bias has that is broadcast. */
static SnValue sum_like(SnGraph *g, SnValue x, SnValue bias)
{
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_dims(g, bias, dims), lead = sn_rank(g, x) - rank;
    int axes[SN_MAX_RANK], n = 0;
    for (int i = 0; i < sn_rank(g, x); i++)
        if (i < lead || dims[i - lead].ref != sn_dim(g, x, i).ref)
            axes[n++] = i;
    return sn_reshape(g, n > 0 ? sn_reduce(g, "add", x, n, axes, false) : x, rank, dims);
}

/* in: q, k, v, the sum of dy * y over each row, dy, bias, mask. Scores are computed again: p (dy v^T - that
 * sum) is their gradient, as the sum over a row of p and what it is multiplied with is that of dy and y. Dao
 * et al. 2022, arXiv:2205.14135. */
static SnValue scores_grad(SnGraph *g, const SnCall *c, SnValue p)
{
    const SnValue v = c->in[2];
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, v));
    const SnValue up = sn_permute(g, sn_like(g, c->in[4], v), heads_first);
    const SnValue row = sn_insert_axis(g, sn_permute(g, c->in[3], (const int[]){0, 2, 1}), 3);
    return sn_mul(g, sn_cast(g, p, wide), sn_sub(g, scores_of(g, up, v, wide), row));
}

static SnValue attention_rows_grad(SnGraph *g, const SnCall *c)
{
    const SnValue q = c->in[0], k = c->in[1], v = c->in[2], p = probs_of(g, c, 5);
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, q));
    SnValue x = scores_grad(g, c, p);
    if (sn_call_float(c, "softcap") != 0)
        x = sn_mul(g, x, sn_sub(g, sn_num(g, 1), sn_square(g, capped_of(g, c))));
    x = sn_like(g, sn_mul(g, x, scale_of(g, c, wide)), q);
    SnValue d[] = {attend(g, x, k), collect(g, x, q, k),
                   collect(g, p, sn_permute(g, sn_like(g, c->in[4], v), heads_first), v)};
    for (size_t i = 0; i < SN_COUNT(d); i++)
        d[i] = sn_permute(g, d[i], heads_first);
    return sn_tuple(g, SN_COUNT(d), d, (const char *const[]){"q", "k", "v"});
}

/* d: that of the result y. A bias that has a gradient takes p and what is made of it for itself: then all are
 * made of these. The sum of a row has the order of dy v^T: where one key alone is seen, their difference is
 * 0, not what rounding leaves, which an optimizer that divides by it would take for a direction. */
static SnValue attention_rows_back(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, y));
    const SnValue row = sn_contract(g, "bshd,bshd->bsh", sn_like(g, d, y), y, wide);
    const SnValue in[] = {c->in[0], c->in[1], c->in[2], row, d, c->in[3], c->in[4]};
    const SnCall own = {.in = in, .nin = SN_COUNT(in), .attr = c->attr, .nattr = c->nattr};
    if (i == 3)
        return sn_like(g, sum_like(g, scores_grad(g, &own, probs_of(g, c, 3)), in[5]), in[5]);
    const SnValue all = c->wants[3]
                            ? attention_rows_grad(g, &own)
                            : sn_attention_rows_grad(g, in[0], in[1], in[2], row, d, in[5], in[6],
                                                     sn_call_float(c, "scale"), sn_call_float(c, "softcap"));
    return sn_permute(g, sn_get(g, all, i), heads_first);
}

static SnValue attention(SnGraph *g, const SnCall *c)
{
    const SnValue y = sn_attention_rows(g, c->in[0], c->in[1], c->in[2], c->in[3], c->in[4],
                                        sn_call_float(c, "scale"), sn_call_float(c, "softcap"));
    return sn_permute(g, y, heads_first);
}

static SnValue attention_context(SnGraph *g, const SnCall *c)
{
    return attend(g, c->in[0], c->in[1]);
}

/* Rotates pairs of head dims by position-dependent angles.
 *   x    F[B, H, S, D]
 *   pos  I[B, S]       absolute positions, any order
 *   freq F2[B, R]      radians per position; the first 2 R head dims are rotated, the rest pass
 * Halves are (first R, next R), as in NeoX; with `pairs` (even, odd), as in GPT-J. cos and sin are multiplied
 * by `scale` (YaRN). Su et al. 2021, arXiv:2104.09864, eq. 34. */
static SnValue rope(SnGraph *g, const SnCall *c)
{
    const bool pairs = sn_call_int(c, "pairs") != 0;
    const SnValue x = sn_wide(g, c->in[0]), scale = sn_num(g, sn_call_float(c, "scale"));
    const SnValue half = sn_dim(g, c->in[2], -1), whole = sn_mul(g, half, sn_size(g, 2)), two = sn_size(g, 2);
    const SnDtype wide = sn_value_dtype(g, x);
    const SnValue at = sn_insert_axis(g, sn_insert_axis(g, sn_cast(g, c->in[1], wide), 1), 3);
    const SnValue freq = sn_insert_axis(g, sn_insert_axis(g, sn_cast(g, c->in[2], wide), 1), 1);
    const SnValue angle = sn_mul(g, at, freq); /* [b, 1, s, r] */
    const SnValue cosine = sn_mul(g, sn_cos(g, angle), scale), sine = sn_mul(g, sn_sin(g, angle), scale);
    const SnValue turned = sn_slice_axis(g, x, 3, sn_size(g, 0), whole);
    const SnValue lead[] = {sn_dim(g, x, 0), sn_dim(g, x, 1), sn_dim(g, x, 2)};
    const SnValue split[] = {lead[0], lead[1], lead[2], pairs ? half : two, pairs ? two : half};
    const SnValue parts = sn_reshape(g, turned, 5, split);
    const int axis = pairs ? 4 : 3;
    const SnValue a = sn_drop_axis(g, sn_slice_axis(g, parts, axis, sn_size(g, 0), sn_size(g, 1)), axis);
    const SnValue b = sn_drop_axis(g, sn_slice_axis(g, parts, axis, sn_size(g, 1), sn_size(g, 1)), axis);
    const SnValue out[] = {
        sn_insert_axis(g, sn_sub(g, sn_mul(g, a, cosine), sn_mul(g, b, sine)), axis),
        sn_insert_axis(g, sn_add(g, sn_mul(g, b, cosine), sn_mul(g, a, sine)), axis),
    };
    const SnValue joined[] = {lead[0], lead[1], lead[2], whole};
    const SnValue y = sn_reshape(g, sn_concat(g, 2, out, axis), 4, joined);
    const SnValue rest = sn_sub(g, sn_dim(g, x, 3), whole);
    const SnValue all[] = {y, sn_slice_axis(g, x, 3, whole, rest)};
    const bool is_whole = sn_dim(g, x, 3).ref == whole.ref;
    return sn_like(g, is_whole ? y : sn_concat(g, 2, all, 3), c->in[0]);
}

const SnOp sn_attn_ops[] = {
    {.sig = "attention(q: F[b, h, s, d], k: F[b, g, t, d], v: F[b, g, t, e], bias: F2[*]?, mask: B[*]?; "
            "scale: f64 = 0, softcap: f64 = 0) -> F[b, h, s, e]",
     .expand = attention,
     .doc = "softmax(q k^T * scale + bias) v; scale 0: 1 / sqrt(d); heads h / g share one of k and v; mask "
            "true: seen"},
    {.sig = "attention_rows(q: F[b, h, s, d], k: F[b, g, t, d], v: F[b, g, t, e], bias: F2[*]?, mask: B[*]?; "
            "scale: f64 = 0, softcap: f64 = 0) -> F[b, s, h, e]",
     .expand = attention_rows,
     .grad = attention_rows_back,
     .doc = "attention with the heads of a query side by side: what a target has loops for"},
    {.sig = "attention_rows_grad(q: F[b, h, s, d], k: F[b, g, t, d], v: F[b, g, t, e], row: F3[b, s, h], dy: "
            "F[b, s, h, e], bias: F2[*]?, mask: B[*]?; scale: f64 = 0, softcap: f64 = 0) -> (q: F[b, s, h, "
            "d], k: F[b, t, g, d], v: F[b, t, g, e])",
     .expand = attention_rows_grad,
     .doc = "gradients of q, k and v from dy, that of attention_rows; row: the sum of dy * y"},
    {.sig = "attention_probs(q: F[b, h, s, d], k: F[b, g, t, d], bias: F2[*]?, mask: B[*]?; scale: f64 = 0, "
            "softcap: f64 = 0) -> F[b, h, s, t]",
     .expand = attention_probs,
     .doc = "softmax(q k^T * scale + bias): what attention multiplies with v"},
    {.sig = "attention_context(p: F[b, h, s, t], v: F[b, g, t, e]) -> F[b, h, s, e]",
     .expand = attention_context,
     .doc = "p v: attention from its probabilities"},
    {.sig = "rope(x: F[b, h, s, d], pos: I[b, s], freq: F2[b, r]; pairs: bool = false, scale: f64 = 1) -> "
            "F[b, h, s, d]",
     .expand = rope,
     .doc = "rotates pairs of head dims by pos * freq; Su et al. 2021"},
    {0},
};
