/* math.c -- elementwise functions, activations, softmax and small reductions. */
#include "ops/help.h"

#include <math.h>

/* ---- phrases (help.h) ---- */

int64_t sn_known_dim(SnGraph *g, SnValue x, int axis)
{
    int64_t n = -1;
    if (sn_graph_check(g, NULL) == SN_OK)
        (void)sn_is_const_i64(sn_graph_store(g), sn_dim(g, x, axis).ref, &n);
    return n;
}

SnValue sn_insert_axis(SnGraph *g, SnValue x, int axis)
{
    SnValue dims[SN_MAX_RANK + 1], old[SN_MAX_RANK] = {0};
    const int rank = sn_dims(g, x, old);
    for (int i = 0; i <= rank; i++)
        dims[i] = i == axis ? sn_size(g, 1) : old[i - (i > axis)];
    return sn_reshape(g, x, rank + 1, dims);
}

SnValue sn_drop_axis(SnGraph *g, SnValue x, int axis)
{
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_dims(g, x, dims);
    for (int i = axis; i + 1 < rank; i++)
        dims[i] = dims[i + 1];
    return sn_reshape(g, x, rank - 1, dims);
}

SnValue sn_on_axis(SnGraph *g, SnValue x, int axis, int rank)
{
    SnValue dims[SN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        dims[i] = i == axis ? sn_dim(g, x, 0) : sn_size(g, 1);
    return sn_reshape(g, x, rank, dims);
}

SnValue sn_rows_of(SnGraph *g, SnValue x)
{
    const SnValue dims[] = {sn_size(g, -1), sn_dim(g, x, -1)};
    return sn_rank(g, x) == 2 ? x : sn_reshape(g, x, 2, dims);
}

SnValue sn_rows_back(SnGraph *g, SnValue rows, SnValue like)
{
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_dims(g, like, dims);
    dims[rank - 1] = sn_dim(g, rows, 1);
    return rank == 2 ? rows : sn_reshape(g, rows, rank, dims);
}

static SnValue count_of(SnGraph *g, SnValue x)
{
    SnValue n = sn_size(g, 1);
    for (int i = 0; i < sn_rank(g, x); i++)
        n = sn_mul(g, n, sn_dim(g, x, i));
    return n;
}

SnValue sn_flat_blocks(SnGraph *g, SnValue x, int64_t per)
{
    const SnValue n = count_of(g, x), many = sn_size(g, per), zero = sn_size(g, 0);
    const SnValue rows = sn_idiv(g, sn_add(g, n, sn_size(g, per - 1)), many);
    const SnValue more = sn_sub(g, sn_mul(g, rows, many), n);
    const SnValue flat = sn_reshape(g, sn_cast(g, x, SN_F32), 1, &n);
    const SnValue all = sn_pad(g, flat, &zero, &more, sn_const(g, SN_F32, 0), NULL);
    return sn_reshape(g, all, 2, (const SnValue[]){rows, many});
}

SnValue sn_flat_back(SnGraph *g, SnValue blocks, int n, const SnValue *dims)
{
    const SnValue all = count_of(g, blocks), zero = sn_size(g, 0);
    SnValue many = sn_size(g, 1);
    for (int i = 0; i < n; i++)
        many = sn_mul(g, many, dims[i]);
    return sn_reshape(g, sn_slice(g, sn_reshape(g, blocks, 1, &all), &zero, &many, NULL), n, dims);
}

/* ---- comparisons and powers ---- */

static SnValue le(SnGraph *g, const SnCall *c)
{
    return sn_or(g, sn_lt(g, c->in[0], c->in[1]), sn_eq(g, c->in[0], c->in[1]));
}

static SnValue ge(SnGraph *g, const SnCall *c)
{
    return sn_or(g, sn_lt(g, c->in[1], c->in[0]), sn_eq(g, c->in[0], c->in[1]));
}

static SnValue gt(SnGraph *g, const SnCall *c)
{
    return sn_lt(g, c->in[1], c->in[0]);
}

static SnValue ne(SnGraph *g, const SnCall *c)
{
    return sn_not(g, sn_eq(g, c->in[0], c->in[1]));
}

static SnValue square(SnGraph *g, const SnCall *c)
{
    return sn_mul(g, c->in[0], c->in[0]);
}

static SnValue rsqrt(SnGraph *g, const SnCall *c)
{
    return sn_div(g, sn_num(g, 1), sn_sqrt(g, c->in[0]));
}

static SnValue reciprocal(SnGraph *g, const SnCall *c)
{
    return sn_div(g, sn_num(g, 1), c->in[0]);
}

static SnValue sign(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], zero = sn_const_int(g, SN_I8, 0);
    const SnValue one = sn_const_int(g, sn_value_dtype(g, x), 1);
    return sn_where(g, sn_lt(g, x, zero), sn_neg(g, one), sn_where(g, sn_lt(g, zero, x), one, x));
}

/* ---- exponentials: computed wide, rounded once ---- */

static SnValue exp2_of(SnGraph *g, const SnCall *c)
{
    return sn_like(g, sn_exp(g, sn_mul(g, sn_wide(g, c->in[0]), sn_num(g, 0.6931471805599453))), c->in[0]);
}

/* Where 1 + x rounds, log(u) * x / (u - 1) takes the rounding back (Kahan). */
static SnValue log1p_wide(SnGraph *g, SnValue x)
{
    const SnValue one = sn_num(g, 1), u = sn_add(g, x, one), d = sn_sub(g, u, one);
    const SnValue exact = sn_eq(g, d, sn_num(g, 0));
    const SnValue fixed = sn_div(g, sn_mul(g, sn_log(g, u), x), sn_where(g, exact, one, d));
    const SnValue huge = sn_lt(g, sn_num(g, 1e30), x);
    return sn_where(g, exact, x, sn_where(g, huge, sn_log(g, x), fixed));
}

static SnValue log1p_of(SnGraph *g, const SnCall *c)
{
    return sn_like(g, log1p_wide(g, sn_wide(g, c->in[0])), c->in[0]);
}

/* (u - 1) * x / log(u), u = exp(x): the same trick. Large |x| needs none. */
static SnValue expm1_wide(SnGraph *g, SnValue x)
{
    const SnValue one = sn_num(g, 1), u = sn_exp(g, x), d = sn_sub(g, u, one);
    const SnValue exact = sn_eq(g, u, one), small = sn_lt(g, sn_abs(g, x), one);
    const SnValue log_u = sn_log(g, sn_where(g, exact, sn_num(g, 2), u));
    return sn_where(g, exact, x, sn_where(g, small, sn_div(g, sn_mul(g, d, x), log_u), d));
}

static SnValue expm1_of(SnGraph *g, const SnCall *c)
{
    return sn_like(g, expm1_wide(g, sn_wide(g, c->in[0])), c->in[0]);
}

/* ---- activations ---- */

static SnValue relu(SnGraph *g, const SnCall *c)
{
    return sn_max(g, c->in[0], sn_const_int(g, SN_I8, 0));
}

static SnValue relu2(SnGraph *g, const SnCall *c)
{
    return sn_square(g, sn_relu(g, c->in[0]));
}

static SnValue clamp(SnGraph *g, const SnCall *c)
{
    const double lo = sn_call_float(c, "lo"), hi = sn_call_float(c, "hi");
    const SnValue x = lo > -HUGE_VAL ? sn_max(g, c->in[0], sn_num(g, lo)) : c->in[0];
    return hi < HUGE_VAL ? sn_min(g, x, sn_num(g, hi)) : x;
}

static SnValue leaky_relu(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0];
    return sn_where(g, sn_lt(g, x, sn_num(g, 0)), sn_mul(g, x, sn_num(g, sn_call_float(c, "slope"))), x);
}

static SnValue sigmoid_wide(SnGraph *g, SnValue x)
{
    return sn_div(g, sn_num(g, 1), sn_add(g, sn_num(g, 1), sn_exp(g, sn_neg(g, x))));
}

static SnValue sigmoid(SnGraph *g, const SnCall *c)
{
    return sn_like(g, sigmoid_wide(g, sn_wide(g, c->in[0])), c->in[0]);
}

static SnValue silu(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), beta = sn_num(g, sn_call_float(c, "beta"));
    return sn_like(g, sn_mul(g, x, sigmoid_wide(g, sn_mul(g, x, beta))), c->in[0]);
}

static SnValue quick_gelu(SnGraph *g, const SnCall *c)
{
    return sn_silu(g, c->in[0], 1.702);
}

static SnValue softplus_wide(SnGraph *g, SnValue x)
{
    return sn_add(g, sn_max(g, x, sn_num(g, 0)), log1p_wide(g, sn_exp(g, sn_neg(g, sn_abs(g, x)))));
}

static SnValue softplus(SnGraph *g, const SnCall *c)
{
    return sn_like(g, softplus_wide(g, sn_wide(g, c->in[0])), c->in[0]);
}

static SnValue mish(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    return sn_like(g, sn_mul(g, x, sn_tanh(g, softplus_wide(g, x))), c->in[0]);
}

static SnValue gelu(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const SnValue cdf = sn_add(g, sn_num(g, 1), sn_erf(g, sn_mul(g, x, sn_num(g, 0.7071067811865476))));
    return sn_like(g, sn_mul(g, sn_mul(g, x, sn_num(g, 0.5)), cdf), c->in[0]);
}

static SnValue gelu_tanh(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), cube = sn_mul(g, sn_mul(g, x, x), x);
    const SnValue inner = sn_add(g, x, sn_mul(g, cube, sn_num(g, 0.044715)));
    const SnValue t = sn_tanh(g, sn_mul(g, inner, sn_num(g, 0.7978845608028654)));
    return sn_like(g, sn_mul(g, sn_mul(g, x, sn_num(g, 0.5)), sn_add(g, sn_num(g, 1), t)), c->in[0]);
}

static SnValue hard_sigmoid(SnGraph *g, const SnCall *c)
{
    const SnValue alpha = sn_num(g, sn_call_float(c, "alpha")), beta = sn_num(g, sn_call_float(c, "beta"));
    return sn_clamp(g, sn_add(g, sn_mul(g, c->in[0], alpha), beta), 0, 1);
}

static SnValue hard_swish(SnGraph *g, const SnCall *c)
{
    return sn_mul(g, c->in[0], sn_hard_sigmoid(g, c->in[0], 1.0 / 6, 0.5));
}

static SnValue hard_tanh(SnGraph *g, const SnCall *c)
{
    return sn_clamp(g, c->in[0], -1, 1);
}

static SnValue relu6(SnGraph *g, const SnCall *c)
{
    return sn_clamp(g, c->in[0], 0, 6);
}

static SnValue elu(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]), alpha = sn_num(g, sn_call_float(c, "alpha"));
    const SnValue low = sn_mul(g, alpha, expm1_wide(g, sn_min(g, x, sn_num(g, 0))));
    return sn_like(g, sn_where(g, sn_lt(g, x, sn_num(g, 0)), low, x), c->in[0]);
}

/* ---- softmax ---- */

/* What is taken off before exp; the gradient of the result does not depend on it. */
static SnValue top_of(SnGraph *g, SnValue x, int axis)
{
    return sn_stop_gradient(g, sn_max_of(g, x, axis));
}

static SnValue softmax(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const int axis = sn_axis(g, x, sn_call_int(c, "axis"));
    const SnValue e = sn_exp(g, sn_sub(g, x, top_of(g, x, axis)));
    const SnValue part = sn_div(g, sn_num(g, 1), sn_sum_of(g, e, axis)); /* one division a row */
    return sn_like(g, sn_mul(g, e, part), c->in[0]);
}

static SnValue log_softmax(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const int axis = sn_axis(g, x, sn_call_int(c, "axis"));
    const SnValue y = sn_sub(g, x, top_of(g, x, axis));
    return sn_like(g, sn_sub(g, y, sn_log(g, sn_sum_of(g, sn_exp(g, y), axis))), c->in[0]);
}

static SnValue logsumexp(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_wide(g, c->in[0]);
    const int axis = sn_axis(g, x, sn_call_int(c, "axis"));
    const SnValue top = top_of(g, x, axis), is_infinite = sn_eq(g, sn_abs(g, top), sn_num(g, HUGE_VAL));
    const SnValue m = sn_where(g, is_infinite, sn_num(g, 0), top); /* inf - inf would be NaN */
    const SnValue s = sn_sum_of(g, sn_exp(g, sn_sub(g, x, m)), axis);
    const SnValue y = sn_like(g, sn_add(g, m, sn_log(g, s)), c->in[0]);
    return sn_call_int(c, "keep") != 0 ? y : sn_drop_axis(g, y, axis);
}

/* ---- statistics ---- */

static SnValue sum_axes(SnGraph *g, const SnCall *c, SnValue x, bool keep, SnValue *count)
{
    int axes[SN_MAX_RANK], n = 0;
    const int64_t *const given = sn_call_ints(c, "axes", &n);
    const int naxis = n == 0 ? sn_rank(g, x) : n;
    *count = sn_size(g, 1);
    for (int i = 0; i < naxis; i++) {
        axes[i] = n == 0 ? i : sn_axis(g, x, given[i]);
        *count = sn_mul(g, *count, sn_dim(g, x, axes[i]));
    }
    return sn_reduce(g, "add", x, naxis, axes, keep);
}

static SnValue mean(SnGraph *g, const SnCall *c)
{
    SnValue count;
    const SnValue s = sum_axes(g, c, sn_wide(g, c->in[0]), sn_call_int(c, "keep") != 0, &count);
    return sn_like(g, sn_div(g, s, count), c->in[0]);
}

static SnValue variance(SnGraph *g, const SnCall *c)
{
    SnValue count;
    const SnValue x = sn_wide(g, c->in[0]);
    const SnValue centred = sn_sub(g, x, sn_div(g, sum_axes(g, c, x, true, &count), count));
    const SnValue s = sum_axes(g, c, sn_mul(g, centred, centred), sn_call_int(c, "keep") != 0, &count);
    const SnValue n =
        sn_sub(g, sn_cast(g, count, sn_value_dtype(g, x)), sn_num(g, (double)sn_call_int(c, "correction")));
    return sn_like(g, sn_div(g, s, n), c->in[0]);
}

static SnValue cumsum(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0];
    const SnValue y =
        sn_scan(g, "add", x, sn_axis(g, x, sn_call_int(c, "axis")), sn_call_int(c, "reverse") != 0);
    return sn_call_int(c, "exclusive") != 0 ? sn_sub(g, y, x) : y;
}

/* ---- indexing ---- */

static SnValue one_hot(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK];
    const SnValue ids = sn_insert_axis(g, sn_cast(g, c->in[0], SN_I64), sn_rank(g, c->in[0]));
    const int rank = sn_dims(g, ids, dims);
    dims[rank - 1] = sn_size(g, sn_call_int(c, "depth"));
    const SnValue classes = sn_iota(g, SN_I64, rank - 1, rank, dims);
    return sn_cast(g, sn_eq(g, ids, classes), sn_call_dtype(c, "dtype"));
}

static SnValue index_select(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0];
    const int axis = sn_axis(g, x, sn_call_int(c, "axis")), nindex = sn_rank(g, c->in[1]);
    const SnValue y = sn_gather(g, x, 1, &axis, &c->in[1], sn_call_string(c, "oob"));
    int perm[SN_MAX_RANK];
    for (int i = 0; i < sn_rank(g, y); i++)
        perm[i] = i < axis ? nindex + i : i < axis + nindex ? i - axis : i;
    return axis == 0 ? y : sn_permute(g, y, perm);
}

static SnValue take_along(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK], index[SN_MAX_RANK];
    int axes[SN_MAX_RANK];
    const int rank = sn_dims(g, c->in[1], dims), axis = sn_axis(g, c->in[0], sn_call_int(c, "axis"));
    for (int i = 0; i < rank; i++) {
        axes[i] = i;
        index[i] = i == axis ? c->in[1] : sn_iota(g, SN_I64, i, rank, dims);
    }
    return sn_gather(g, c->in[0], rank, axes, index, NULL);
}

static SnValue top_k(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK];
    const SnValue x = c->in[0];
    const int rank = sn_dims(g, x, dims), axis = sn_axis(g, x, sn_call_int(c, "axis"));
    const SnValue xs[] = {x, sn_iota(g, SN_I64, axis, rank, dims)};
    return sn_sort(g, 2, xs, 1, axis, sn_call_int(c, "largest") != 0, sn_call_int(c, "k"));
}

static SnValue repeat(SnGraph *g, const SnCall *c)
{
    SnValue dims[SN_MAX_RANK], shape[SN_MAX_RANK];
    const int axis = sn_axis(g, c->in[0], sn_call_int(c, "axis"));
    const SnValue n = sn_size(g, sn_call_int(c, "n"));
    const int rank = sn_dims(g, c->in[0], shape);
    const SnValue x = sn_insert_axis(g, c->in[0], axis + 1);
    sn_dims(g, x, dims);
    dims[axis + 1] = n;
    shape[axis] = sn_mul(g, shape[axis], n);
    return sn_reshape(g, sn_broadcast(g, x, rank + 1, dims), rank, shape);
}

const SnOp sn_math_ops[] = {
    {.sig = "le(x: T[*], y: T[*]) -> bool[*]",
     .expand = le,
     .onnx = "LessOrEqual",
     .doc = "x <= y; NaN: false"},
    {.sig = "ge(x: T[*], y: T[*]) -> bool[*]",
     .expand = ge,
     .onnx = "GreaterOrEqual",
     .doc = "x >= y; NaN: false"},
    {.sig = "gt(x: T[*], y: T[*]) -> bool[*]", .expand = gt, .onnx = "Greater", .doc = "x > y"},
    {.sig = "ne(x: T[*], y: T[*]) -> bool[*]", .expand = ne, .doc = "x != y; NaN: true"},
    {.sig = "square(x: T[..]) -> T[..]", .expand = square, .doc = "x * x"},
    {.sig = "rsqrt(x: F[..]) -> F[..]", .expand = rsqrt, .doc = "1 / sqrt(x)"},
    {.sig = "reciprocal(x: F[..]) -> F[..]", .expand = reciprocal, .onnx = "Reciprocal", .doc = "1 / x"},
    {.sig = "sign(x: T[..]) -> T[..]", .expand = sign, .onnx = "Sign", .doc = "-1, 0 or 1; NaN stays"},
    {.sig = "exp2(x: F[..]) -> F[..]", .expand = exp2_of, .doc = "2^x"},
    {.sig = "log1p(x: F[..]) -> F[..]", .expand = log1p_of, .doc = "log(1 + x), also for small x"},
    {.sig = "expm1(x: F[..]) -> F[..]", .expand = expm1_of, .doc = "exp(x) - 1, also for small x"},
    {.sig = "clamp(x: F[..]; lo: f64 = -inf, hi: f64 = inf) -> F[..]",
     .expand = clamp,
     .doc = "min(max(x, lo), hi)"},
    {.sig = "relu(x: T[..]) -> T[..]", .expand = relu, .onnx = "Relu", .doc = "max(x, 0)"},
    {.sig = "relu2(x: F[..]) -> F[..]", .expand = relu2, .doc = "max(x, 0)^2; So et al. 2021"},
    {.sig = "relu6(x: F[..]) -> F[..]", .expand = relu6, .doc = "min(max(x, 0), 6)"},
    {.sig = "leaky_relu(x: F[..]; slope: f64 = 0.01) -> F[..]",
     .expand = leaky_relu,
     .onnx = "LeakyRelu|slope=alpha",
     .doc = "x < 0 ? slope * x : x"},
    {.sig = "elu(x: F[..]; alpha: f64 = 1) -> F[..]",
     .expand = elu,
     .onnx = "Elu",
     .doc = "x < 0 ? alpha * (exp(x) - 1) : x"},
    {.sig = "sigmoid(x: F[..]) -> F[..]", .expand = sigmoid, .onnx = "Sigmoid", .doc = "1 / (1 + exp(-x))"},
    {.sig = "silu(x: F[..]; beta: f64 = 1) -> F[..]",
     .expand = silu,
     .onnx = "Swish|beta=alpha",
     .doc = "x * sigmoid(beta * x), also called swish"},
    {.sig = "softplus(x: F[..]) -> F[..]", .expand = softplus, .onnx = "Softplus", .doc = "log(1 + exp(x))"},
    {.sig = "mish(x: F[..]) -> F[..]", .expand = mish, .onnx = "Mish", .doc = "x * tanh(softplus(x))"},
    {.sig = "gelu(x: F[..]) -> F[..]",
     .expand = gelu,
     .onnx = "Gelu",
     .doc = "x * (1 + erf(x / sqrt 2)) / 2"},
    {.sig = "gelu_tanh(x: F[..]) -> F[..]",
     .expand = gelu_tanh,
     .doc =
         "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2; gelu_new, gelu_fast and gelu_pytorch_tanh"},
    {.sig = "quick_gelu(x: F[..]) -> F[..]", .expand = quick_gelu, .doc = "x * sigmoid(1.702 x)"},
    {.sig = "hard_sigmoid(x: F[..]; alpha: f64 = 0.2, beta: f64 = 0.5) -> F[..]",
     .expand = hard_sigmoid,
     .onnx = "HardSigmoid",
     .doc = "alpha * x + beta, clamped to 0..1"},
    {.sig = "hard_swish(x: F[..]) -> F[..]",
     .expand = hard_swish,
     .onnx = "HardSwish",
     .doc = "x * hard_sigmoid(x), alpha 1/6"},
    {.sig = "hard_tanh(x: F[..]) -> F[..]", .expand = hard_tanh, .doc = "x clamped to -1..1"},
    {.sig = "softmax(x: F[..]; axis: int = -1) -> F[..]",
     .expand = softmax,
     .onnx = "Softmax",
     .doc = "exp(x - max) / sum(exp(x - max)) along axis"},
    {.sig = "log_softmax(x: F[..]; axis: int = -1) -> F[..]",
     .expand = log_softmax,
     .onnx = "LogSoftmax",
     .doc = "x - max - log(sum(exp(x - max))) along axis"},
    {.sig = "logsumexp(x: F[..]; axis: int = -1, keep: bool = false) -> ?",
     .expand = logsumexp,
     .doc = "log(sum(exp(x))) along axis"},
    {.sig = "mean(x: F[..]; axes: ints = [], keep: bool = false) -> ?",
     .expand = mean,
     .onnx = "ReduceMean|keep=keepdims",
     .doc = "sum / count over axes; none given: over all"},
    {.sig = "variance(x: F[..]; axes: ints = [], keep: bool = false, correction: int = 0) -> ?",
     .expand = variance,
     .doc = "sum((x - mean)^2) / (count - correction) over axes; none given: over all"},
    {.sig = "cumsum(x: T[..]; axis: int, exclusive: bool = false, reverse: bool = false) -> T[..]",
     .expand = cumsum,
     .onnx = "CumSum",
     .doc = "running sum along axis; exclusive: without the element itself"},
    {.sig = "one_hot(ids: I[..]; depth: int, dtype: dtype = f32) -> dtype[.., depth]",
     .expand = one_hot,
     .doc = "1 where the last index is the id, else 0; ids outside 0..depth-1 give zeros"},
    {.sig = "index_select(x: T[?], index: I[?]; axis: int = 0, oob: str = \"clamp\") -> ?",
     .expand = index_select,
     .onnx = "Gather",
     .doc = "x at index along axis; the dims of index stand where the axis stood"},
    {.sig = "take_along(x: T[?], index: I[?]; axis: int = -1) -> ?",
     .expand = take_along,
     .onnx = "GatherElements",
     .doc = "result[.., i, ..] = x[.., index[.., i, ..], ..]"},
    {.sig = "top_k(x: T[..]; k: int, axis: int = -1, largest: bool = true) -> ?",
     .expand = top_k,
     .onnx = "TopK",
     .doc = "(values, indices: i64) of the k largest along axis, in order; the first of equals comes first"},
    {.sig = "repeat(x: T[..]; axis: int, n: int) -> ?",
     .expand = repeat,
     .doc = "every slice along axis n times in a row"},
    {0},
};
