/* prims_move.c -- shape rules of movement: reshape, permute, broadcast, slice, pad, flip, concat, window. */
#include "compiler/infer.h"

#include <inttypes.h>

static SnRef element_count(const SnInfer *x, int ndim, const SnRef *dims)
{
    SnRef n = sn_const_i64(x->s, 1);
    for (int i = 0; i < ndim; i++)
        n = sn_dim_mul(x->s, n, dims[i]);
    return n;
}

SnStatus sn_infer_reshape(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    int64_t lo, hi;
    SN_TRY(sn_infer_want_array(x, 0));
    SN_TRY(sn_infer_dims(x, 1, x->narg - 1));
    const SnRef from = element_count(x, a->ndim, a->dims), to = element_count(x, x->narg - 1, x->arg + 1);
    const SnRef more = sn_dim_sub(x->s, to, from);
    if (more == 0)
        return sn_infer_done(x, 0);
    sn_dim_range(x->s, more, &lo, &hi);
    if (lo > 0 || hi < 0) {
        SnText want = {.memory = sn_allocator(sn_store_context(x->s))};
        sn_dim_print(x->s, to, &want);
        const SnStatus st = sn_infer_expect(x, 0, "%s elements", want.failed ? "?" : want.at);
        sn_text_clear(&want);
        return st;
    }
    return sn_infer_done_dims(x, a, x->narg - 1, x->arg + 1);
}

SnStatus sn_infer_permute(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    SnRef dims[SN_MAX_RANK];
    uint32_t set;
    int n;
    SN_TRY(sn_infer_want_array(x, 0));
    const int64_t *perm = sn_infer_ints(x, "perm", &n);
    if (n != a->ndim)
        return sn_infer_expect(x, 0, "rank %d, as perm has", n);
    SN_TRY(sn_infer_want_axes(x, perm, n, a->ndim, &set));
    for (int i = 0; i < n; i++)
        dims[i] = a->dims[perm[i]];
    return sn_infer_done_dims(x, a, n, dims);
}

SnStatus sn_infer_broadcast(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    const int ndim = x->narg - 1;
    SN_TRY(sn_infer_want_array(x, 0));
    SN_TRY(sn_infer_dims(x, 1, ndim));
    if (a->ndim > ndim)
        return sn_infer_expect(x, 0, "rank %d at most", ndim);
    for (int i = 0; i < a->ndim; i++) {
        const int to = ndim - a->ndim + i;
        int64_t v;
        const bool repeats = sn_is_const_i64(x->s, a->dims[i], &v) && v == 1;
        if (!repeats && !sn_dim_equal(x->s, a->dims[i], x->arg[1 + to]))
            return sn_infer_expect(x, 0, "1 or the dim of the result on axis %d", to);
    }
    return sn_infer_done_dims(x, a, ndim, x->arg + 1);
}

/* Is a < b for every value of the symbols? */
bool sn_infer_is_less(const SnInfer *x, SnRef a, SnRef b)
{
    int64_t lo, hi;
    const SnRef d = sn_dim_sub(x->s, a, b);
    if (d == 0)
        return false;
    sn_dim_range(x->s, d, &lo, &hi);
    return hi < 0;
}

static SnStatus want_not_negative(const SnInfer *x, SnRef dim, int axis)
{
    int64_t lo, hi;
    if (dim == 0)
        return sn_infer_done(x, 0);
    sn_dim_range(x->s, dim, &lo, &hi);
    return hi < 0 ? sn_infer_fail(x, "axis %d: the result would have %" PRId64 " elements", axis, hi) : SN_OK;
}

SnStatus sn_infer_want_starts(const SnInfer *x, int first, int n)
{
    for (int i = first; i < first + n; i++)
        if (!sn_infer_is_scalar(x, i, SN_I64))
            return sn_infer_expect(x, i, "a start: an i64 scalar");
    return SN_OK;
}

SnStatus sn_infer_slice(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    int nstep;
    SN_TRY(sn_infer_want_array(x, 0));
    const int64_t *steps = sn_infer_ints(x, "steps", &nstep);
    if (x->narg != 1 + 2 * a->ndim)
        return sn_infer_expect(x, 0, "rank %d, as there are starts and sizes", (x->narg - 1) / 2);
    if (nstep >= 0 && nstep != a->ndim)
        return sn_infer_fail(x, "%d steps for rank %d", nstep, a->ndim);
    const SnRef *sizes = x->arg + 1 + a->ndim;
    SN_TRY(sn_infer_want_starts(x, 1, a->ndim));
    SN_TRY(sn_infer_dims(x, 1 + a->ndim, a->ndim));
    for (int i = 0; i < a->ndim; i++) {
        const int64_t step = nstep >= 0 ? steps[i] : 1;
        if (step < 1)
            return sn_infer_fail(x, "step %" PRId64 " on axis %d: expected 1 or more", step, i);
        const SnRef one = sn_const_i64(x->s, 1), last = sn_dim_sub(x->s, sizes[i], one);
        const SnRef reach = sn_dim_add(x->s, sn_dim_mul(x->s, last, sn_const_i64(x->s, step)), one);
        SN_TRY(want_not_negative(x, sizes[i], i));
        if (sn_infer_is_less(x, a->dims[i], reach))
            return sn_infer_expect(x, 0, "more elements on axis %d than the slice takes", i);
    }
    return sn_infer_done_dims(x, a, a->ndim, sizes);
}

SnStatus sn_infer_pad(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    const int rank = a->ndim;
    SnRef dims[SN_MAX_RANK];
    int n;
    SN_TRY(sn_infer_want_tensor(x, 0));
    const int64_t *interior = sn_infer_ints(x, "interior", &n);
    if (x->narg != 2 + 2 * rank)
        return sn_infer_expect(x, 0, "rank %d, as there are amounts", (x->narg - 2) / 2);
    if (n >= 0 && n != rank)
        return sn_infer_fail(x, "interior has %d values for rank %d", n, rank);
    SN_TRY(sn_infer_dims(x, 1, 2 * rank));
    if (!sn_infer_is_scalar(x, x->narg - 1, a->dtype))
        return sn_infer_expect(x, x->narg - 1, "a scalar of %s", sn_dtype(a->dtype)->name);
    for (int i = 0; i < rank; i++) {
        const SnRef outer = sn_dim_add(x->s, x->arg[1 + i], x->arg[1 + rank + i]);
        dims[i] = sn_dim_add(x->s, a->dims[i], outer);
        const int64_t between = n >= 0 ? interior[i] : 0;
        if (between < 0)
            return sn_infer_fail(x, "interior %" PRId64 " on axis %d: expected 0 or more", between, i);
        if (between > 0) {
            const SnRef gaps =
                sn_dim_max(x->s, sn_dim_sub(x->s, a->dims[i], sn_const_i64(x->s, 1)), sn_const_i64(x->s, 0));
            dims[i] = sn_dim_add(x->s, dims[i], sn_dim_mul(x->s, gaps, sn_const_i64(x->s, between)));
        }
        SN_TRY(want_not_negative(x, dims[i], i));
    }
    return sn_infer_done_dims(x, a, rank, dims);
}

SnStatus sn_infer_flip(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    uint32_t set;
    int n;
    SN_TRY(sn_infer_want_array(x, 0));
    const int64_t *axes = sn_infer_ints(x, "axes", &n);
    SN_TRY(sn_infer_want_axes(x, axes, n, a->ndim, &set));
    return sn_infer_done(x, sn_term(x->s, x->arg[0])->type);
}

SnStatus sn_infer_concat(const SnInfer *x)
{
    SN_TRY(sn_infer_want_array(x, 0));
    SnType t = *sn_infer_type(x, 0);
    const int64_t axis = sn_infer_int(x, "axis", 0);
    SN_TRY(sn_infer_want_axis(x, axis, t.ndim));
    for (int i = 1; i < x->narg; i++) {
        const SnType *b = sn_infer_type(x, i);
        SnType like = t;
        if (b->kind != t.kind || b->dtype != t.dtype || b->ndim != t.ndim)
            return sn_infer_want_same(x, i, 0);
        like.dims[axis] = b->dims[axis];
        if (!sn_infer_same_dims(x, &like, b))
            return sn_infer_expect(x, i, "the dims of operand 1 except on axis %" PRId64, axis);
        t.dims[axis] = sn_dim_add(x->s, t.dims[axis], b->dims[axis]);
        if (t.kind == SN_TYPE_LIST)
            t.bound = sn_infer_join_bounds(x, t.bound, b->bound, true);
    }
    return sn_infer_done_dims(x, &t, t.ndim, t.dims);
}

SnStatus sn_infer_window(const SnInfer *x)
{
    SN_TRY(sn_infer_want_tensor(x, 0));
    SnType t = *sn_infer_type(x, 0);
    const int64_t axis = sn_infer_int(x, "axis", -1), size = sn_infer_int(x, "size", 0);
    const int64_t stride = sn_infer_int(x, "stride", 1), dilation = sn_infer_int(x, "dilation", 1);
    int64_t reach;
    SN_TRY(sn_infer_want_axis(x, axis, t.ndim));
    if (size < 1 || stride < 1 || dilation < 1 || !sn_mul_i64(size - 1, dilation, &reach))
        return sn_infer_fail(x, "size, stride and dilation must be 1 or more");
    if (t.ndim == SN_MAX_RANK)
        return sn_infer_fail(x, "rank %d is beyond %d", t.ndim + 1, SN_MAX_RANK);
    const SnRef one = sn_const_i64(x->s, 1), need = sn_dim_add(x->s, sn_const_i64(x->s, reach), one);
    if (sn_infer_is_less(x, t.dims[axis], need))
        return sn_infer_expect(x, 0, "%" PRId64 " elements or more on axis %" PRId64, reach + 1, axis);
    const SnRef room = sn_dim_sub(x->s, t.dims[axis], need);
    const SnRef count = sn_dim_add(x->s, sn_dim_div(x->s, room, sn_const_i64(x->s, stride)), one);
    t.dims[axis] = sn_dim_max(x->s, count, sn_const_i64(x->s, 0));
    t.dims[t.ndim] = sn_const_i64(x->s, size);
    return sn_infer_done_dims(x, &t, t.ndim + 1, t.dims);
}
