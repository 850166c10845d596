/* grad_rules.c -- the gradient of each primitive whose operands have fixed places: elementwise, movement,
 * products. `d` is the gradient of the result y. */
#include "compiler/grad.h"

#include <stdio.h>

static SnValue num(const SnGrad *x, double v)
{
    return sn_const(x->g, SN_F64, v);
}

static SnValue result(const SnGrad *x, SnRef r)
{
    return sn_here(x->g, r);
}

/* ---- elementwise ---- */

static SnValue none(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    (void)x, (void)r, (void)d, (void)i;
    return sn_none();
}

static SnValue same(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    (void)x, (void)r, (void)i;
    return d[0];
}

static SnValue neg(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    (void)r, (void)i;
    return sn_neg(x->g, d[0]);
}

static SnValue absolute(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue a = sn_grad_in(x, r, i), zero = num(x, 0);
    const SnValue up = sn_where(x->g, sn_lt(x->g, zero, a), d[0], zero);
    return sn_where(x->g, sn_lt(x->g, a, zero), sn_neg(x->g, d[0]), up);
}

/* 0 where nothing comes back, be the power infinite: sigmoid(-100) divides by it. */
static SnValue exponential(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue zero = num(x, 0);
    (void)i;
    return sn_where(x->g, sn_eq(x->g, d[0], zero), zero, sn_mul(x->g, d[0], result(x, r)));
}

static SnValue logarithm(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return sn_div(x->g, d[0], sn_grad_in(x, r, i));
}

static SnValue sine(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return sn_mul(x->g, d[0], sn_cos(x->g, sn_grad_in(x, r, i)));
}

static SnValue cosine(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return sn_neg(x->g, sn_mul(x->g, d[0], sn_sin(x->g, sn_grad_in(x, r, i))));
}

static SnValue root(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    (void)i;
    return sn_div(x->g, d[0], sn_mul(x->g, num(x, 2), result(x, r)));
}

static SnValue tangent(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue y = result(x, r);
    (void)i;
    return sn_mul(x->g, d[0], sn_sub(x->g, num(x, 1), sn_mul(x->g, y, y)));
}

static SnValue error_function(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue a = sn_grad_in(x, r, i), bell = sn_exp(x->g, sn_neg(x->g, sn_mul(x->g, a, a)));
    return sn_mul(x->g, d[0], sn_mul(x->g, num(x, 1.1283791670955126), bell)); /* 2 / sqrt(pi) */
}

static SnValue sub(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return i == 0 ? d[0] : neg(x, r, d, i);
}

static SnValue mul(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return sn_mul(x->g, d[0], sn_grad_in(x, r, 1 - i));
}

static SnValue division(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue b = sn_grad_in(x, r, 1);
    const SnValue by = i == 0 ? d[0] : sn_neg(x->g, sn_mul(x->g, d[0], result(x, r)));
    return sn_div(x->g, by, b);
}

static SnValue modulo(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    if (i == 0)
        return d[0];
    const SnValue q = sn_div(x->g, sn_grad_in(x, r, 0), sn_grad_in(x, r, 1));
    return sn_neg(x->g, sn_mul(x->g, d[0], sn_floor(x->g, q)));
}

/* 0 where the exponent is 0, and where 0 is raised: what is beside it there is inf or NaN. */
static SnValue power(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue a = sn_grad_in(x, r, 0), b = sn_grad_in(x, r, 1), zero = num(x, 0), one = num(x, 1);
    const SnValue flat = sn_eq(g, i == 0 ? b : a, zero);
    const SnValue slope = i == 0 ? sn_mul(g, b, sn_pow(g, a, sn_sub(g, b, one)))
                                 : sn_mul(g, result(x, r), sn_log(g, sn_where(g, flat, one, a)));
    return sn_where(g, flat, zero, sn_mul(g, d[0], slope));
}

/* Equal operands have half each. */
static SnValue extreme(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue own = sn_grad_in(x, r, i), other = sn_grad_in(x, r, 1 - i), zero = num(x, 0);
    const bool is_min = sn_term(x->s, r)->op == SN_OP_MIN;
    const SnValue wins = is_min ? sn_lt(g, own, other) : sn_lt(g, other, own);
    const SnValue half = sn_where(g, sn_eq(g, own, other), sn_mul(g, d[0], num(x, 0.5)), zero);
    return sn_where(g, wins, d[0], half);
}

/* The branch that is not taken may be inf: it is masked before its own rule sees it. */
static SnValue choice(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue c = sn_grad_in(x, r, 0), zero = num(x, 0);
    return i == 1 ? sn_where(x->g, c, d[0], zero) : sn_where(x->g, c, zero, d[0]);
}

static SnValue fma3(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return i == 2 ? d[0] : mul(x, r, d, i);
}

/* ---- movement ---- */

static SnValue reshape(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnValue dims[SN_MAX_RANK];
    const int n = sn_dims(x->g, sn_grad_in(x, r, i), dims);
    return sn_reshape(x->g, d[0], n, dims);
}

static SnValue permute(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnAttr *perm = sn_attr(x->s, r, "perm");
    int back[SN_MAX_RANK];
    (void)i;
    for (int k = 0; k < perm->u.ints.n; k++)
        back[perm->u.ints.at[k]] = k;
    return sn_permute(x->g, d[0], back);
}

static SnValue broadcast(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue a = sn_grad_in(x, r, i);
    const int rank = sn_rank(x->g, d[0]), lead = rank - sn_rank(x->g, a);
    int axes[SN_MAX_RANK], n = 0;
    SnValue dims[SN_MAX_RANK];
    for (int k = 0; k < rank; k++)
        if (k < lead || !sn_dim_equal(x->s, sn_dim(x->g, a, k - lead).ref, sn_dim(x->g, d[0], k).ref))
            axes[n++] = k;
    const int count = sn_dims(x->g, a, dims);
    return sn_reshape(x->g, n > 0 ? sn_reduce(x->g, "add", d[0], n, axes, false) : d[0], count, dims);
}

static SnValue pad_zeros(const SnGrad *x, SnValue a, const SnValue *lo, const SnValue *hi,
                         const int64_t *interior)
{
    return sn_pad(x->g, a, lo, hi, sn_const(x->g, sn_value_dtype(x->g, a), 0), interior);
}

/* Into zeros: starts that are dims are clamped as slice does, values by update. */
static SnValue slice(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue a = sn_grad_in(x, r, 0);
    const int n = sn_rank(g, a);
    const SnAttr *steps = sn_attr(x->s, r, "steps");
    SnValue lo[SN_MAX_RANK], hi[SN_MAX_RANK], start[SN_MAX_RANK];
    int64_t interior[SN_MAX_RANK];
    bool is_value = false;
    if (i > 0)
        return sn_none();
    for (int k = 0; k < n; k++) {
        start[k] = sn_grad_in(x, r, 1 + k);
        is_value = is_value || !sn_is_dim(x->s, start[k].ref);
        interior[k] = steps ? steps->u.ints.at[k] - 1 : 0;
    }
    for (int k = 0; k < n; k++) {
        const SnValue one = sn_grad_size(x, 1), zero = sn_grad_size(x, 0);
        const SnValue reach =
            sn_add(g, sn_mul(g, sn_sub(g, sn_dim(g, d[0], k), one), sn_grad_size(x, interior[k] + 1)), one);
        const SnValue room = sn_sub(g, sn_dim(g, a, k), reach);
        lo[k] = is_value ? zero : sn_min(g, sn_max(g, start[k], zero), room);
        hi[k] = is_value ? zero : sn_sub(g, room, lo[k]);
    }
    const SnValue spread = pad_zeros(x, d[0], lo, hi, interior);
    return is_value ? sn_update(g, sn_grad_zeros(x, sn_term(x->s, a.ref)->type), spread, start) : spread;
}

static SnValue pad(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue a = sn_grad_in(x, r, 0);
    const int n = sn_rank(g, a);
    const SnAttr *interior = sn_attr(x->s, r, "interior");
    SnValue lo[SN_MAX_RANK], hi[SN_MAX_RANK], start[SN_MAX_RANK], dims[SN_MAX_RANK];
    int64_t steps[SN_MAX_RANK];
    for (int k = 0; k < n; k++) {
        lo[k] = sn_sub(g, sn_grad_size(x, 0), sn_grad_in(x, r, 1 + k));
        hi[k] = sn_sub(g, sn_grad_size(x, 0), sn_grad_in(x, r, 1 + n + k));
        steps[k] = interior ? interior->u.ints.at[k] + 1 : 1;
        start[k] = sn_grad_size(x, 0);
        dims[k] = sn_dim(g, a, k);
    }
    const SnValue own = sn_slice(g, pad_zeros(x, d[0], lo, hi, NULL), start, dims, steps);
    if (i == 0)
        return own;
    return sn_sub(g, sn_reduce(g, "add", d[0], 0, NULL, false), sn_reduce(g, "add", own, 0, NULL, false));
}

static SnValue flip(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnAttr *a = sn_attr(x->s, r, "axes");
    int axes[SN_MAX_RANK];
    (void)i;
    for (int k = 0; k < a->u.ints.n; k++)
        axes[k] = (int)a->u.ints.at[k];
    return sn_flip(x->g, d[0], a->u.ints.n, axes);
}

static SnValue concat(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const int axis = (int)sn_attr_int(x->s, r, "axis", 0);
    SnValue start = sn_grad_size(x, 0);
    for (int k = 0; k < i; k++)
        start = sn_add(x->g, start, sn_dim(x->g, sn_grad_in(x, r, k), axis));
    return sn_slice_axis(x->g, d[0], axis, start, sn_dim(x->g, sn_grad_in(x, r, i), axis));
}

/* Every place of the window goes back to where it was seen, one after the other; windows that lie side by
 * side are a reshape. */
static SnValue window(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue a = sn_grad_in(x, r, i);
    const int n = sn_rank(g, a), axis = (int)sn_attr_int(x->s, r, "axis", 0);
    const int64_t many = sn_attr_int(x->s, r, "size", 1), stride = sn_attr_int(x->s, r, "stride", 1),
                  dilation = sn_attr_int(x->s, r, "dilation", 1);
    const bool side_by_side = stride == many && dilation == 1;
    const SnValue count = sn_dim(g, d[0], axis);
    SnValue lo[SN_MAX_RANK], hi[SN_MAX_RANK], dims[SN_MAX_RANK], sum = sn_none();
    int64_t interior[SN_MAX_RANK] = {0};
    int perm[SN_MAX_RANK];
    sn_dims(x->g, a, dims);
    for (int k = 0; k < n; k++)
        lo[k] = hi[k] = sn_grad_size(x, 0);
    if (side_by_side) { /* [.., count, .., size] ▶ [.., count * size, ..] */
        for (int k = 0; k <= n; k++)
            perm[k] = k <= axis ? k : k == axis + 1 ? n : k - 1;
        dims[axis] = sn_mul(g, count, sn_grad_size(x, many));
        hi[axis] = sn_sub(g, sn_dim(g, a, axis), dims[axis]);
        return pad_zeros(x, sn_reshape(g, sn_permute(g, d[0], perm), n, dims), lo, hi, NULL);
    }
    interior[axis] = stride - 1;
    const SnValue reach = sn_add(g, sn_mul(g, sn_sub(g, count, sn_grad_size(x, 1)), sn_grad_size(x, stride)),
                                 sn_grad_size(x, 1));
    dims[axis] = count;
    for (int64_t k = 0; k < many; k++) {
        const SnValue one = sn_slice_axis(g, d[0], n, sn_grad_size(x, k), sn_grad_size(x, 1));
        lo[axis] = sn_grad_size(x, k * dilation);
        hi[axis] = sn_sub(g, sn_sub(g, sn_dim(g, a, axis), reach), lo[axis]);
        const SnValue back = pad_zeros(x, sn_reshape(g, one, n, dims), lo, hi, interior);
        sum = sum.ref ? sn_add(g, sum, back) : back;
    }
    return sum;
}

/* ---- products ---- */

/* The labels of an operand: those that the result or the other operand has, and whether that is all of them.
 */
static bool common(const char *of, size_t n, const char *result, const char *other, size_t nother, char *out)
{
    size_t m = 0;
    for (size_t k = 0; k < n; k++)
        if (strchr(result, of[k]) || memchr(other, of[k], nother))
            out[m++] = of[k];
    out[m] = 0;
    return m == n;
}

/* contract d with the other operand; what was summed over alone is the same everywhere along it. A product of
 * two-byte floats stays one: its sum is wide. */
static SnValue contract(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue own = sn_grad_in(x, r, i), other = sn_grad_in(x, r, 1 - i);
    const char *eq = sn_attr_string(x->s, r, "eq"), *comma = strchr(eq, ','), *arrow = strchr(eq, '-');
    const char *of = i == 0 ? eq : comma + 1, *beside = i == 0 ? comma + 1 : eq;
    const size_t n[] = {(size_t)(comma - eq), (size_t)(arrow - comma - 1)};
    char left[SN_MAX_RANK + 1], back[4 * SN_MAX_RANK];
    const bool is_all = common(of, n[i], arrow + 2, beside, n[1 - i], left);
    snprintf(back, sizeof back, "%s,%.*s->%s", arrow + 2, (int)n[1 - i], beside, left);
    const SnDtype narrow = sn_value_dtype(g, other), wide = sn_value_dtype(g, d[0]);
    const SnValue y = sn_contract(g, back, sn_cast(g, d[0], narrow), other, wide);
    if (is_all)
        return y;
    SnValue unit[SN_MAX_RANK], dims[SN_MAX_RANK];
    const int rank = sn_dims(x->g, own, dims);
    for (int k = 0; k < rank; k++)
        unit[k] = strchr(left, of[k]) ? dims[k] : sn_grad_size(x, 1);
    return sn_broadcast(g, sn_reshape(g, y, rank, unit), rank, dims);
}

static SnValue cast(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    return sn_cast(x->g, d[0], sn_value_dtype(x->g, sn_grad_in(x, r, i)));
}

SnGradRule *sn_grad_rule(uint16_t op)
{
    static SnGradRule *const rule[SN_PRIM_COUNT] = {
        [SN_OP_NEG] = neg,
        [SN_OP_ABS] = absolute,
        [SN_OP_FLOOR] = none,
        [SN_OP_ROUND] = none,
        [SN_OP_EXP] = exponential,
        [SN_OP_LOG] = logarithm,
        [SN_OP_SIN] = sine,
        [SN_OP_COS] = cosine,
        [SN_OP_SQRT] = root,
        [SN_OP_TANH] = tangent,
        [SN_OP_ERF] = error_function,
        [SN_OP_CAST] = cast,
        [SN_OP_BITCAST] = none,
        [SN_OP_ADD] = same,
        [SN_OP_SUB] = sub,
        [SN_OP_MUL] = mul,
        [SN_OP_DIV] = division,
        [SN_OP_MOD] = modulo,
        [SN_OP_MIN] = extreme,
        [SN_OP_MAX] = extreme,
        [SN_OP_POW] = power,
        [SN_OP_WHERE] = choice,
        [SN_OP_FMA] = fma3,
        [SN_OP_RESHAPE] = reshape,
        [SN_OP_PERMUTE] = permute,
        [SN_OP_BROADCAST] = broadcast,
        [SN_OP_SLICE] = slice,
        [SN_OP_PAD] = pad,
        [SN_OP_FLIP] = flip,
        [SN_OP_CONCAT] = concat,
        [SN_OP_WINDOW] = window,
        [SN_OP_REDUCE] = sn_grad_reduce,
        [SN_OP_SCAN] = sn_grad_scan,
        [SN_OP_CONTRACT] = contract,
        [SN_OP_GATHER] = sn_grad_gather,
        [SN_OP_SCATTER] = sn_grad_scatter,
        [SN_OP_UPDATE] = sn_grad_update,
        [SN_OP_SORT] = sn_grad_sort,
        [SN_OP_COMPACT] = sn_grad_compact,
        [SN_OP_COPY] = same,
    };
    return rule[op];
}
