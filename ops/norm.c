/* norm.c -- normalisations. Statistics are taken in f32 (f64 for f64), the result has the dtype of x. */
#include "ops/help.h"

/* 1 / sqrt(x + eps): one division a row, as PyTorch has it, then products. */
static SnValue inverse_root(SnGraph *g, SnValue x, double eps)
{
    return sn_rsqrt(g, sn_add(g, x, sn_num(g, eps)));
}

/* (x - mean) / sqrt(variance + eps) over the last axis, wide. */
static SnValue standardise(SnGraph *g, SnValue x, double eps)
{
    const SnValue n = sn_dim(g, x, -1);
    const SnValue centred = sn_sub(g, x, sn_div(g, sn_sum_of(g, x, -1), n));
    const SnValue variance = sn_div(g, sn_sum_of(g, sn_mul(g, centred, centred), -1), n);
    return sn_mul(g, centred, inverse_root(g, variance, eps));
}

/* x * weight + bias, what is given of them, laid along an axis. */
static SnValue affine(SnGraph *g, const SnCall *c, int weight, SnValue x, int axis)
{
    const int rank = sn_rank(g, x);
    if (sn_call_has(c, weight))
        x = sn_mul(g, x, sn_on_axis(g, sn_wide(g, c->in[weight]), axis, rank));
    if (sn_call_has(c, weight + 1))
        x = sn_add(g, x, sn_on_axis(g, sn_wide(g, c->in[weight + 1]), axis, rank));
    return x;
}

static SnValue layer_norm(SnGraph *g, const SnCall *c)
{
    const SnValue y = standardise(g, sn_wide(g, c->in[0]), sn_call_float(c, "eps"));
    return sn_like(g, affine(g, c, 1, y, sn_rank(g, y) - 1), c->in[0]);
}

/* Without an offset the normalised value is rounded to the dtype of x before the weight comes, as in Llama;
 * with one the weight is offset + w and everything is wide, as in Gemma. */
static SnValue rms_norm(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const double offset = sn_call_float(c, "offset");
    const SnValue mean = sn_div(g, sn_sum_of(g, sn_mul(g, x, x), -1), sn_dim(g, x, -1));
    const SnValue y = sn_mul(g, x, inverse_root(g, mean, sn_call_float(c, "eps")));
    if (!sn_call_has(c, 1))
        return sn_like(g, y, c->in[0]);
    if (offset == 0)
        return sn_mul(g, sn_like(g, y, c->in[0]), sn_like(g, c->in[1], c->in[0]));
    return sn_like(g, sn_mul(g, y, sn_add(g, sn_wide(g, c->in[1]), sn_num(g, offset))), c->in[0]);
}

static SnValue l2_normalize(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const SnValue norm = sn_sqrt(g, sn_sum_of(g, sn_mul(g, x, x), sn_axis(g, x, sn_call_int(c, "axis"))));
    return sn_like(g, sn_div(g, x, sn_max(g, norm, sn_num(g, sn_call_float(c, "eps")))), c->in[0]);
}

static SnValue batch_norm(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const int rank = sn_rank(g, x);
    const SnValue mean = sn_on_axis(g, sn_wide(g, c->in[1]), 1, rank);
    const SnValue variance = sn_on_axis(g, sn_wide(g, c->in[2]), 1, rank);
    const SnValue scale = inverse_root(g, variance, sn_call_float(c, "eps"));
    return sn_like(g, affine(g, c, 3, sn_mul(g, sn_sub(g, x, mean), scale), 1), c->in[0]);
}

static SnValue group_norm(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK];
    const SnValue x = sn_wide(g, c->in[0]);
    const int rank = sn_dims(g, x, dims);
    const SnValue grouped[] = {sn_dim(g, x, 0), sn_size(g, sn_call_int(c, "groups")), sn_size(g, -1)};
    const SnValue y = standardise(g, sn_reshape(g, x, 3, grouped), sn_call_float(c, "eps"));
    return sn_like(g, affine(g, c, 1, sn_reshape(g, y, rank, dims), 1), c->in[0]);
}

const SnOp sn_norm_ops[] = {
    {.sig = "layer_norm(x: F[.., n], weight: F2[n]?, bias: F2[n]?; eps: f64 = 1e-5) -> F[.., n]",
     .expand = layer_norm,
     .onnx = "LayerNormalization|eps=epsilon",
     .doc = "(x - mean) / sqrt(variance + eps) * weight + bias over the last axis; Ba et al. 2016"},
    {.sig = "rms_norm(x: F[.., n], weight: F2[n]?; eps: f64 = 1e-6, offset: f64 = 0) -> F[.., n]",
     .expand = rms_norm,
     .onnx = "RMSNormalization|eps=epsilon",
     .doc = "x / sqrt(mean(x^2) + eps) * (offset + weight) over the last axis; Zhang & Sennrich 2019"},
    {.sig = "l2_normalize(x: F[..]; axis: int = -1, eps: f64 = 1e-12) -> F[..]",
     .expand = l2_normalize,
     .doc = "x / max(sqrt(sum(x^2)), eps) along axis, as torch.nn.functional.normalize"},
    {.sig = "batch_norm(x: F[b, c, ..], mean: F2[c], variance: F2[c], weight: F2[c]?, bias: F2[c]?; "
            "eps: f64 = 1e-5) -> F[b, c, ..]",
     .expand = batch_norm,
     .onnx = "BatchNormalization|eps=epsilon",
     .doc = "(x - mean) / sqrt(variance + eps) * weight + bias with given statistics; Ioffe & Szegedy 2015"},
    {.sig = "group_norm(x: F[b, c, ..], weight: F2[c]?, bias: F2[c]?; groups: int, eps: f64 = 1e-5) -> F[b, "
            "c, ..]",
     .expand = group_norm,
     .onnx = "GroupNormalization|groups=num_groups,eps=epsilon",
     .doc = "x[b, c, ..] normalised over each of the groups of channels; Wu & He 2018"},
    {0},
};
