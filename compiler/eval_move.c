/* eval_move.c -- movement ops of eval: each is a strided view that is copied. Of lists, starts and lengths
 * move and the child stays. */
#include "compiler/eval_value.h"

#include <inttypes.h>

static const int64_t *attr_ints(const SnEvalOp *x, const char *name, int *n)
{
    const SnAttr *a = sn_attr(x->e->s, x->ref, name);
    *n = a != NULL ? a->u.ints.n : 0;
    return a != NULL ? a->u.ints.at : NULL;
}

static size_t cell_size(const SnEvalValue *v)
{
    return v->kind == SN_TYPE_LIST ? sizeof(int64_t) : sn_dtype_size(v->view.dtype);
}

/* The arrays that hold the elements: one, or start and len. */
static int narray(const SnEvalValue *v)
{
    return v->kind == SN_TYPE_LIST ? 2 : 1;
}

static void *array_of(const SnEvalValue *v, int i)
{
    return v->kind == SN_TYPE_LIST ? sn_eval_list_part(v, i).view.data : v->view.data;
}

/* out: the kind of `like`, other dims, zeros. */
static SnStatus make_like(SnEval *e, const SnEvalValue *like, int ndim, const int64_t *dims, SnEvalValue *out)
{
    if (like->kind != SN_TYPE_LIST)
        return sn_eval_tensor(e, like->view.dtype, ndim, dims, out);
    SN_TRY(sn_eval_list(e, like->view.dtype, ndim, dims, out));
    out->view.data = like->view.data;
    out->view.child_count = like->view.child_count;
    return SN_OK;
}

static SnEvalWalk dense_walk(int ndim, const int64_t *dims)
{
    SnEvalWalk w = {0};
    sn_eval_strides(ndim, dims, w.stride);
    return w;
}

static void move_all(int ndim, const int64_t *dims, const SnEvalValue *to, const SnEvalWalk *to_walk,
                     const SnEvalValue *from, const SnEvalWalk *from_walk)
{
    for (int i = 0; i < narray(from); i++)
        sn_eval_move(ndim, dims, cell_size(from), array_of(to, i), to_walk, array_of(from, i), from_walk);
}

/* The result is operand 0 walked along w. */
static SnStatus view(const SnEvalOp *x, int ndim, const int64_t *dims, const SnEvalWalk *w)
{
    SN_TRY(make_like(x->e, x->in[0], ndim, dims, x->out));
    const SnEvalWalk dense = dense_walk(ndim, dims);
    move_all(ndim, dims, x->out, &dense, x->in[0], w);
    return SN_OK;
}

SnStatus sn_eval_reshape(const SnEvalOp *x)
{
    const SnEvalValue *a = x->in[0];
    int64_t dims[SN_MAX_RANK];
    sn_eval_dims(x, 1, x->t->narg - 1, dims);
    SN_TRY(make_like(x->e, a, x->t->narg - 1, dims, x->out));
    const int64_t n = sn_eval_nelement(a);
    if (sn_eval_nelement(x->out) != n)
        return sn_eval_fail(x, "%" PRId64 " elements become %" PRId64, n, sn_eval_nelement(x->out));
    for (int i = 0; i < narray(a); i++)
        memcpy(array_of(x->out, i), array_of(a, i), (size_t)n * cell_size(a));
    return SN_OK;
}

SnStatus sn_eval_permute(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    int n;
    const int64_t *perm = attr_ints(x, "perm", &n);
    const SnEvalWalk from = dense_walk(a->ndim, a->dims);
    SnEvalWalk w = {0};
    int64_t dims[SN_MAX_RANK];
    for (int i = 0; i < a->ndim; i++) {
        dims[i] = a->dims[perm[i]];
        w.stride[i] = from.stride[perm[i]];
    }
    return view(x, a->ndim, dims, &w);
}

SnStatus sn_eval_broadcast(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    const int ndim = x->t->narg - 1, more = ndim - a->ndim;
    const SnEvalWalk from = dense_walk(a->ndim, a->dims);
    SnEvalWalk w = {0};
    int64_t dims[SN_MAX_RANK];
    sn_eval_dims(x, 1, ndim, dims);
    for (int i = 0; i < a->ndim; i++) {
        if (a->dims[i] != 1 && a->dims[i] != dims[more + i])
            return sn_eval_fail(x, "dim %d: %" PRId64 " does not become %" PRId64, i, a->dims[i],
                                dims[more + i]);
        w.stride[more + i] = a->dims[i] == 1 ? 0 : from.stride[i];
    }
    return view(x, ndim, dims, &w);
}

/* The first index of `size` steps so that the last stays inside dim. */
static int64_t clamp_start(int64_t start, int64_t size, int64_t step, int64_t dim)
{
    const int64_t reach = size > 0 ? (size - 1) * step + 1 : 0, last = dim - reach;
    return start < 0 ? 0 : start > last ? last : start;
}

SnStatus sn_eval_slice(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    const SnEvalWalk from = dense_walk(a->ndim, a->dims);
    SnEvalWalk w = {0};
    int64_t start[SN_MAX_RANK], dims[SN_MAX_RANK], reach;
    int n;
    const int64_t *steps = attr_ints(x, "steps", &n);
    sn_eval_dims(x, 1, a->ndim, start);
    sn_eval_dims(x, 1 + a->ndim, a->ndim, dims);
    for (int i = 0; i < a->ndim; i++) {
        const int64_t step = steps != NULL ? steps[i] : 1;
        if (!sn_mul_i64(dims[i] - 1, step, &reach) || reach >= a->dims[i])
            return sn_eval_fail(x, "axis %d has %" PRId64 " elements, the slice takes more", i, a->dims[i]);
        w.offset += clamp_start(start[i], dims[i], step, a->dims[i]) * from.stride[i];
        w.stride[i] = step * from.stride[i];
    }
    return view(x, a->ndim, dims, &w);
}

SnStatus sn_eval_flip(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    SnEvalWalk w = dense_walk(a->ndim, a->dims);
    int n;
    const int64_t *axes = attr_ints(x, "axes", &n);
    for (int i = 0; i < n; i++) {
        w.offset += (a->dims[axes[i]] - 1) * w.stride[axes[i]];
        w.stride[axes[i]] = -w.stride[axes[i]];
    }
    return view(x, a->ndim, a->dims, &w);
}

SnStatus sn_eval_window(const SnEvalOp *x)
{
    const SnStore *s = x->e->s;
    const SnView *a = &x->in[0]->view;
    const int axis = (int)sn_attr_int(s, x->ref, "axis", 0);
    const int64_t size = sn_attr_int(s, x->ref, "size", 1), stride = sn_attr_int(s, x->ref, "stride", 1);
    const int64_t dilation = sn_attr_int(s, x->ref, "dilation", 1),
                  room = a->dims[axis] - (size - 1) * dilation - 1;
    SnEvalWalk w = dense_walk(a->ndim, a->dims);
    int64_t dims[SN_MAX_RANK];
    memcpy(dims, a->dims, sizeof dims);
    dims[axis] = room >= 0 ? room / stride + 1 : 0;
    dims[a->ndim] = size;
    w.stride[a->ndim] = w.stride[axis] * dilation;
    w.stride[axis] *= stride;
    return view(x, a->ndim + 1, dims, &w);
}

/* Which of n elements, spread by step from lo on, land in 0 .. dim - 1. */
static void landed(int64_t n, int64_t lo, int64_t step, int64_t dim, int64_t *first, int64_t *count)
{
    *first = lo < 0 ? (-lo + step - 1) / step : 0;
    const int64_t end = dim - lo <= 0 ? 0 : (dim - lo + step - 1) / step;
    const int64_t last = end < n ? end : n;
    *count = last > *first ? last - *first : 0;
}

SnStatus sn_eval_pad(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    const int rank = a->ndim;
    int64_t lo[SN_MAX_RANK], hi[SN_MAX_RANK], dims[SN_MAX_RANK], count[SN_MAX_RANK];
    int n;
    const int64_t *interior = attr_ints(x, "interior", &n);
    sn_eval_dims(x, 1, rank, lo);
    sn_eval_dims(x, 1 + rank, rank, hi);
    for (int i = 0; i < rank; i++) {
        const int64_t gaps = a->dims[i] > 0 ? a->dims[i] - 1 : 0;
        int64_t inner = 0;
        if (lo[i] < -INT64_MAX / 2 || (interior != NULL && !sn_mul_i64(gaps, interior[i], &inner)) ||
            !sn_add_i64(a->dims[i], inner, &inner) || !sn_add_i64(inner, lo[i], &inner) ||
            !sn_add_i64(inner, hi[i], &dims[i]))
            return sn_eval_fail(x, "axis %d would be too long", i);
    }
    SN_TRY(sn_eval_tensor(x->e, a->dtype, rank, dims, x->out));
    const SnScalar value = sn_eval_load(x->in[x->t->narg - 1], 0);
    const int64_t total = sn_eval_nelement(x->out);
    for (int64_t i = 0; i < total; i++)
        sn_eval_store(x->out, i, value);
    SnEvalWalk to = dense_walk(rank, dims), from = dense_walk(rank, a->dims);
    for (int i = 0; i < rank; i++) {
        const int64_t step = interior != NULL ? interior[i] + 1 : 1;
        int64_t first;
        landed(a->dims[i], lo[i], step, dims[i], &first, &count[i]);
        from.offset += first * from.stride[i];
        to.offset += (lo[i] + first * step) * to.stride[i];
        to.stride[i] *= step;
    }
    move_all(rank, count, x->out, &to, x->in[0], &from);
    return SN_OK;
}

SnStatus sn_eval_concat(const SnEvalOp *x)
{
    const int axis = (int)sn_attr_int(x->e->s, x->ref, "axis", 0), n = x->t->narg;
    const SnEvalValue *a = x->in[0];
    int64_t dims[SN_MAX_RANK];
    memcpy(dims, a->view.dims, sizeof dims);
    for (int i = 1; i < n; i++)
        if (!sn_add_i64(dims[axis], x->in[i]->view.dims[axis], &dims[axis]))
            return sn_eval_fail(x, "axis %d would be too long", axis);
    SN_TRY(make_like(x->e, a, a->view.ndim, dims, x->out));
    int64_t *shift = (int64_t *)sn_arena_array(x->e->arena, (size_t)n, sizeof *shift);
    if (shift == NULL)
        return sn_eval_no_memory(x->e);
    if (a->kind == SN_TYPE_LIST)
        SN_TRY(sn_eval_join_children(x->e, x->in, n, shift, x->out));
    SnEvalWalk to = dense_walk(a->view.ndim, dims);
    for (int i = 0; i < n; i++) {
        const SnView *part = &x->in[i]->view;
        const SnEvalWalk from = dense_walk(part->ndim, part->dims);
        move_all(part->ndim, part->dims, x->out, &to, x->in[i], &from);
        int64_t index[SN_MAX_RANK] = {0};
        const int64_t count = a->kind == SN_TYPE_LIST ? sn_eval_nelement(x->in[i]) : 0;
        for (int64_t k = 0; k < count; k++) {
            sn_out_start(&x->out->view)[sn_eval_at(&to, part->ndim, index)] += shift[i];
            sn_eval_next(part->ndim, part->dims, index);
        }
        to.offset += part->dims[axis] * to.stride[axis];
    }
    return SN_OK;
}

SnStatus sn_eval_update(const SnEvalOp *x)
{
    const SnView *base = &x->in[0]->view, *part = &x->in[1]->view;
    int64_t start[SN_MAX_RANK];
    SN_TRY(make_like(x->e, x->in[0], base->ndim, base->dims, x->out));
    const SnEvalWalk dense = dense_walk(base->ndim, base->dims), from = dense_walk(part->ndim, part->dims);
    move_all(base->ndim, base->dims, x->out, &dense, x->in[0], &dense);
    SnEvalWalk to = dense;
    sn_eval_dims(x, 2, base->ndim, start);
    for (int i = 0; i < base->ndim; i++) {
        if (part->dims[i] > base->dims[i])
            return sn_eval_fail(x, "axis %d: %" PRId64 " elements into %" PRId64, i, part->dims[i],
                                base->dims[i]);
        to.offset += clamp_start(start[i], part->dims[i], 1, base->dims[i]) * to.stride[i];
    }
    move_all(part->ndim, part->dims, x->out, &to, x->in[1], &from);
    return SN_OK;
}
