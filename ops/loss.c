/* loss.c -- losses, as torch.nn.functional defines them: computed in f32, means over what counts. */
#include "ops/help.h"

/* How many are true, in the dtype of x. */
static SnValue count_of(SnGraph *g, SnValue is, SnValue x)
{
    return sn_reduce(g, "add", sn_cast(g, is, sn_value_dtype(g, x)), 0, NULL, false);
}

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
        return sn_div(g, sum, count_of(g, counts, loss));
    SnValue n = sn_size(g, 1);
    for (int i = 0; i < sn_rank(g, loss); i++)
        n = sn_mul(g, n, sn_dim(g, loss, i));
    return sn_div(g, sum, n);
}

static SnValue does_count(SnGraph *g, const SnCall *c, SnValue label, SnValue classes)
{
    const SnValue is_class = sn_and(g, sn_ge(g, label, sn_size(g, 0)), sn_lt(g, label, classes));
    return sn_and(g, is_class, sn_ne(g, label, sn_size(g, sn_call_int(c, "ignore_index"))));
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
    return sn_like(g, reduced(g, c, loss, does_count(g, c, label, classes)), c->in[0]);
}

/* softmax - target, each row by its share of d. */
static SnValue cross_entropy_grad(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    SnValue dims[SN_MAX_RANK];
    const SnValue x = sn_wide(g, c->in[0]), classes = sn_dim(g, x, -1);
    const int rank = sn_dims(g, x, dims), axis = rank - 1;
    const SnValue label = sn_insert_axis(g, sn_cast(g, c->in[1], SN_I64), axis);
    const double smoothing = sn_call_float(c, "smoothing");
    const SnValue counts = does_count(g, c, label, classes);
    SnValue share = sn_cast(g, d, sn_value_dtype(g, x));
    (void)y, (void)i;
    if (strcmp(sn_call_string(c, "reduction"), "none") == 0)
        share = sn_insert_axis(g, share, axis);
    else if (strcmp(sn_call_string(c, "reduction"), "mean") == 0)
        share = sn_div(g, share, count_of(g, counts, x));
    const SnValue is_label = sn_eq(g, sn_iota(g, SN_I64, axis, rank, dims), label);
    SnValue target = sn_mul(g, sn_cast(g, is_label, sn_value_dtype(g, x)), sn_num(g, 1 - smoothing));
    if (smoothing != 0)
        target =
            sn_add(g, target, sn_div(g, sn_num(g, smoothing), sn_cast(g, classes, sn_value_dtype(g, x))));
    const SnValue slope = sn_mul(g, sn_sub(g, sn_softmax(g, x, -1), target), share);
    return sn_like(g, sn_where(g, counts, slope, sn_num(g, 0)), c->in[0]);
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
     .grad = cross_entropy_grad,
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
