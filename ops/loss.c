/* loss.c -- losses, as torch.nn.functional defines them: computed in f32, means over what counts. */
#include "ops/help.h"

/* The elements' losses where `counts` says so: their mean, their sum, or themselves. */
static SnValue reduced(SnGraph *g, const SnCall *c, SnValue loss, SnValue counts)
{
    const char *const how = sn_call_string(c, "reduction");
    const SnValue kept = counts.ref != 0 ? sn_where(g, counts, loss, sn_num(g, 0)) : loss;
    if (strcmp(how, "none") == 0)
        return kept;
    const SnValue sum = sn_reduce(g, "add", kept, 0, NULL, false);
    if (strcmp(how, "sum") == 0)
        return sum;
    if (strcmp(how, "mean") != 0)
        return sn_graph_fail(g, SN_EINVAL, "reduction %s: expected mean, sum or none", how);
    if (counts.ref != 0)
        return sn_div(g, sum,
                      sn_reduce(g, "add", sn_cast(g, counts, sn_value_dtype(g, loss)), 0, NULL, false));
    SnValue n = sn_size(g, 1);
    for (int i = 0; i < sn_rank(g, loss); i++)
        n = sn_mul(g, n, sn_dim(g, loss, i));
    return sn_div(g, sum, n);
}

/* -log softmax(logits)[label]. Labels equal to ignore_index, or outside 0..c-1, do not count. */
static SnValue cross_entropy(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), label = sn_cast(g, c->in[1], SN_I64), classes = sn_dim(g, x, -1);
    const double smoothing = sn_call_float(c, "smoothing");
    const SnValue log_p = sn_log_softmax(g, x, -1);
    const int axis = sn_rank(g, x) - 1;
    const SnValue column = sn_insert_axis(g, label, axis);
    SnValue loss = sn_neg(g, sn_drop_axis(g, sn_take_along(g, log_p, column, axis), axis));
    if (smoothing != 0) {
        const SnValue flat = sn_neg(g, sn_mean(g, log_p, (const int64_t[]){axis}, 1, false));
        loss = sn_add(g, sn_mul(g, loss, sn_num(g, 1 - smoothing)), sn_mul(g, flat, sn_num(g, smoothing)));
    }
    const SnValue ignored = sn_size(g, sn_call_int(c, "ignore_index"));
    const SnValue is_class = sn_and(g, sn_ge(g, label, sn_size(g, 0)), sn_lt(g, label, classes));
    return sn_like(g, reduced(g, c, loss, sn_and(g, is_class, sn_ne(g, label, ignored))), c->in[0]);
}

static SnValue bce_with_logits(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), y = sn_cast(g, c->in[1], sn_value_dtype(g, x));
    const SnValue tail = sn_log1p(g, sn_exp(g, sn_neg(g, sn_abs(g, x))));
    const SnValue loss = sn_add(g, sn_sub(g, sn_relu(g, x), sn_mul(g, x, y)), tail);
    return sn_like(g, reduced(g, c, loss, sn_none()), c->in[0]);
}

static SnValue mse_loss(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), y = sn_cast(g, c->in[1], sn_value_dtype(g, x));
    return sn_like(g, reduced(g, c, sn_square(g, sn_sub(g, x, y)), sn_none()), c->in[0]);
}

static SnValue l1_loss(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), y = sn_cast(g, c->in[1], sn_value_dtype(g, x));
    return sn_like(g, reduced(g, c, sn_abs(g, sn_sub(g, x, y)), sn_none()), c->in[0]);
}

const SnOp sn_loss_ops[] = {
    {.sig = "cross_entropy(logits: F[.., c], labels: I[..]; ignore_index: int = -100, smoothing: f64 = 0, "
            "reduction: str = \"mean\") -> ?",
     .expand = cross_entropy,
     .doc = "-log softmax(logits)[label]; mean over the labels that count; none do: NaN"},
    {.sig = "bce_with_logits(logits: F[..], labels: T[..]; reduction: str = \"mean\") -> ?",
     .expand = bce_with_logits,
     .doc = "max(x, 0) - x y + log(1 + exp(-|x|))"},
    {.sig = "mse_loss(x: F[..], y: T[..]; reduction: str = \"mean\") -> ?",
     .expand = mse_loss,
     .doc = "(x - y)^2"},
    {.sig = "l1_loss(x: F[..], y: T[..]; reduction: str = \"mean\") -> ?",
     .expand = l1_loss,
     .doc = "|x - y|"},
    {0},
};
