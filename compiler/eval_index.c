/* eval_index.c -- gather, scatter, sort, compact and packed lists of eval. */
#include "compiler/eval_value.h"

#include <inttypes.h>
#include <math.h>

/* ---- gather, scatter ---- */

/* The place that a position of the index operands, broadcast together, points to. */
typedef struct Indexed {
    int nindex, ndim; /* dims of the indices together */
    int64_t dims[SN_MAX_RANK];
    const SnEvalValue *index[SN_MAX_RANK];
    SnEvalWalk index_walk[SN_MAX_RANK];
    int64_t axis_dim[SN_MAX_RANK], axis_stride[SN_MAX_RANK]; /* of the indexed axes */
    int nother;                                              /* axes of the operand that are not indexed */
    int64_t other[SN_MAX_RANK];
    SnEvalWalk other_walk;
} Indexed;

static SnStatus join_index_dims(const SnEvalOp *x, Indexed *p)
{
    for (int i = 0; i < p->nindex; i++)
        p->ndim = p->index[i]->view.ndim > p->ndim ? p->index[i]->view.ndim : p->ndim;
    for (int k = 0; k < p->ndim; k++)
        p->dims[k] = 1;
    for (int i = 0; i < p->nindex; i++) {
        const SnView *v = &p->index[i]->view;
        const int more = p->ndim - v->ndim;
        int64_t stride[SN_MAX_RANK];
        sn_eval_strides(v->ndim, v->dims, stride);
        for (int k = 0; k < v->ndim; k++) {
            if (v->dims[k] == 1)
                continue;
            if (p->dims[more + k] != 1 && p->dims[more + k] != v->dims[k])
                return sn_eval_fail(x, "index dims %" PRId64 " and %" PRId64 " do not broadcast",
                                    p->dims[more + k], v->dims[k]);
            p->dims[more + k] = v->dims[k];
            p->index_walk[i].stride[more + k] = stride[k];
        }
    }
    return SN_OK;
}

static SnStatus read_indexed(const SnEvalOp *x, int nindex, Indexed *p)
{
    const SnView *a = &x->in[0]->view;
    const int64_t *axes = sn_attr(x->e->s, x->ref, "axes")->u.ints.at;
    int64_t stride[SN_MAX_RANK];
    *p = (Indexed){.nindex = nindex};
    sn_eval_strides(a->ndim, a->dims, stride);
    uint32_t set = 0;
    for (int i = 0; i < nindex; i++) {
        p->index[i] = x->in[1 + i];
        p->axis_dim[i] = a->dims[axes[i]];
        p->axis_stride[i] = stride[axes[i]];
        set |= 1u << axes[i];
    }
    for (int i = 0; i < a->ndim; i++) {
        if ((set & 1u << i) != 0)
            continue;
        p->other[p->nother] = a->dims[i];
        p->other_walk.stride[p->nother++] = stride[i];
    }
    return join_index_dims(x, p);
}

static int64_t load_index(const SnEvalValue *v, int64_t at)
{
    const SnScalar s = sn_eval_load(v, at);
    const bool is_huge = sn_dtype(v->view.dtype)->kind == SN_KIND_UINT && s.u > INT64_MAX;
    return is_huge ? INT64_MAX : s.i;
}

/* Offset in the operand; false: outside (with clamp only when the axis is empty). */
static bool place(const Indexed *p, const int64_t *position, bool clamp, int64_t *offset)
{
    *offset = 0;
    for (int i = 0; i < p->nindex; i++) {
        int64_t k = load_index(p->index[i], sn_eval_at(&p->index_walk[i], p->ndim, position));
        if (clamp)
            k = k < 0 ? 0 : k >= p->axis_dim[i] ? p->axis_dim[i] - 1 : k;
        if (k < 0 || k >= p->axis_dim[i])
            return false;
        *offset += k * p->axis_stride[i];
    }
    return true;
}

static void gather_array(const Indexed *p, bool clamp, size_t size, void *to, const void *from)
{
    const int64_t n = sn_eval_product(p->ndim, p->dims), row = sn_eval_product(p->nother, p->other);
    int64_t position[SN_MAX_RANK] = {0};
    SnEvalWalk dense = {0};
    sn_eval_strides(p->nother, p->other, dense.stride);
    for (int64_t i = 0; i < n; i++, sn_eval_next(p->ndim, p->dims, position)) {
        SnEvalWalk w = p->other_walk;
        if (place(p, position, clamp, &w.offset))
            sn_eval_move(p->nother, p->other, size, (char *)to + (size_t)(i * row) * size, &dense, from, &w);
    }
}

SnStatus sn_eval_gather(const SnEvalOp *x)
{
    const SnEvalValue *a = x->in[0];
    const char *oob = sn_attr_string(x->e->s, x->ref, "oob");
    const bool clamp = oob == NULL || strcmp(oob, "clamp") == 0;
    Indexed p;
    SN_TRY(read_indexed(x, x->t->narg - 1, &p));
    int64_t dims[2 * SN_MAX_RANK];
    memcpy(dims, p.dims, sizeof p.dims);
    memcpy(dims + p.ndim, p.other, sizeof p.other);
    if (a->kind != SN_TYPE_LIST) {
        SN_TRY(sn_eval_tensor(x->e, a->view.dtype, p.ndim + p.nother, dims, x->out));
        gather_array(&p, clamp, sn_dtype_size(a->view.dtype), x->out->view.data, a->view.data);
        return SN_OK;
    }
    SN_TRY(sn_eval_list(x->e, a->view.dtype, p.ndim + p.nother, dims, x->out));
    x->out->view.data = a->view.data;
    x->out->view.child_count = a->view.child_count;
    gather_array(&p, clamp, sizeof(int64_t), sn_out_start(&x->out->view), a->view.start);
    gather_array(&p, clamp, sizeof(int64_t), sn_out_len(&x->out->view), a->view.len);
    return SN_OK;
}

SnStatus sn_eval_scatter(const SnEvalOp *x)
{
    const SnEvalValue *base = x->in[0], *updates = x->in[x->t->narg - 1];
    const uint16_t op = sn_combiner(sn_attr_string(x->e->s, x->ref, "fn"));
    const SnDtype d = base->view.dtype;
    Indexed p;
    SN_TRY(read_indexed(x, x->t->narg - 2, &p));
    const int64_t n = sn_eval_product(p.ndim, p.dims), row = sn_eval_product(p.nother, p.other);
    if (sn_eval_nelement(updates) != n * row)
        return sn_eval_fail(x, "%" PRId64 " updates for %" PRId64 " places", sn_eval_nelement(updates),
                            n * row);
    SN_TRY(sn_eval_tensor(x->e, d, base->view.ndim, base->view.dims, x->out));
    memcpy(x->out->view.data, base->view.data, (size_t)sn_eval_nelement(base) * sn_dtype_size(d));
    int64_t position[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++, sn_eval_next(p.ndim, p.dims, position)) {
        SnEvalWalk w = p.other_walk;
        int64_t other[SN_MAX_RANK] = {0};
        if (!place(&p, position, false, &w.offset))
            continue;
        for (int64_t k = 0; k < row; k++, sn_eval_next(p.nother, p.other, other)) {
            const int64_t at = sn_eval_at(&w, p.nother, other);
            SnScalar v[2] = {sn_eval_load(x->out, at), sn_eval_load(updates, i * row + k)};
            if (op == SN_OP_ERROR) /* set */
                v[0] = v[1];
            else
                sn_scalar_apply(op, d, v, &v[0]);
            sn_eval_store(x->out, at, v[0]);
        }
    }
    return SN_OK;
}

/* ---- sort ---- */

/* -1, 0, 1; NaN is last whichever way the rest goes. */
static int compare(SnDtype d, SnScalar a, SnScalar b, bool desc)
{
    const SnDtypeKind kind = sn_dtype(d)->kind;
    if (kind == SN_KIND_FLOAT && (isnan(a.f) || isnan(b.f)))
        return (isnan(a.f) ? 1 : 0) - (isnan(b.f) ? 1 : 0);
    const bool less = kind == SN_KIND_FLOAT ? a.f < b.f : kind == SN_KIND_INT ? a.i < b.i : a.u < b.u;
    const bool more = kind == SN_KIND_FLOAT ? a.f > b.f : kind == SN_KIND_INT ? a.i > b.i : a.u > b.u;
    return desc ? less - more : more - less;
}

typedef struct Row { /* one line along the axis of every operand */
    const SnEvalOp *x;
    int nkeys;
    bool desc;
    int64_t base, stride;
} Row;

static bool is_before(const Row *r, int64_t a, int64_t b)
{
    for (int i = 0; i < r->nkeys; i++) {
        const SnEvalValue *key = r->x->in[i];
        const int c = compare(key->view.dtype, sn_eval_load(key, r->base + a * r->stride),
                              sn_eval_load(key, r->base + b * r->stride), r->desc);
        if (c != 0)
            return c < 0;
    }
    return false;
}

/* Merges neighbouring runs of `run` elements of order into to; of equals the earlier comes first. */
static void merge_runs(const Row *r, int64_t n, int64_t run, const int64_t *order, int64_t *to)
{
    for (int64_t lo = 0; lo < n; lo += 2 * run) {
        const int64_t mid = lo + run < n ? lo + run : n, hi = mid + run < n ? mid + run : n;
        int64_t a = lo, b = mid;
        for (int64_t i = lo; i < hi; i++)
            to[i] = a < mid && (b == hi || !is_before(r, order[b], order[a])) ? order[a++] : order[b++];
    }
}

/* Two arrays of n; gives the one that holds the order. */
static const int64_t *sort_row(const Row *r, int64_t n, int64_t *order, int64_t *other)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t run = 1; run < n; run *= 2) {
        merge_runs(r, n, run, order, other);
        int64_t *swap = order;
        order = other;
        other = swap;
    }
    return order;
}

SnStatus sn_eval_sort(const SnEvalOp *x)
{
    const SnStore *s = x->e->s;
    const SnView *a = &x->in[0]->view;
    const int axis = (int)sn_attr_int(s, x->ref, "axis", 0);
    const int64_t limit = sn_attr_int(s, x->ref, "limit", 0), n = a->dims[axis];
    const int64_t kept = limit > 0 && limit < n ? limit : n;
    int64_t dims[SN_MAX_RANK], stride[SN_MAX_RANK], to_stride[SN_MAX_RANK], index[SN_MAX_RANK] = {0};
    memcpy(dims, a->dims, sizeof dims);
    dims[axis] = kept;
    SN_TRY(sn_eval_tuple(x));
    for (int i = 0; i < x->t->narg; i++) {
        SnEvalValue *out = (SnEvalValue *)sn_arena_alloc(x->e->arena, sizeof *out);
        if (out == NULL)
            return sn_eval_no_memory(x->e);
        SN_TRY(sn_eval_tensor(x->e, x->in[i]->view.dtype, a->ndim, dims, out));
        x->out->child[i] = out;
    }
    int64_t *order = (int64_t *)sn_arena_array(x->e->arena, (size_t)n, 2 * sizeof *order);
    if (order == NULL)
        return sn_eval_no_memory(x->e);
    sn_eval_strides(a->ndim, a->dims, stride);
    sn_eval_strides(a->ndim, dims, to_stride);
    dims[axis] = 1; /* now the lines */
    const int64_t nline = sn_eval_product(a->ndim, dims);
    Row r = {x, (int)sn_attr_int(s, x->ref, "nkeys", 1), sn_attr_int(s, x->ref, "desc", 0) != 0, 0,
             stride[axis]};
    for (int64_t line = 0; line < nline; line++, sn_eval_next(a->ndim, dims, index)) {
        int64_t to = 0;
        r.base = 0;
        for (int i = 0; i < a->ndim; i++) {
            r.base += index[i] * stride[i];
            to += index[i] * to_stride[i];
        }
        const int64_t *sorted = sort_row(&r, n, order, order + n);
        for (int i = 0; i < x->t->narg; i++) {
            for (int64_t k = 0; k < kept; k++)
                sn_eval_store(x->out->child[i], to + k * to_stride[axis],
                              sn_eval_load(x->in[i], r.base + sorted[k] * r.stride));
        }
    }
    return SN_OK;
}

/* ---- compact ---- */

static void compact_array(const SnEvalValue *mask, int64_t most, size_t row, void *to, const void *from)
{
    const int64_t n = mask->view.dims[0];
    int64_t k = 0;
    for (int64_t i = 0; i < n && k < most; i++)
        if (sn_eval_load(mask, i).i != 0)
            memcpy((char *)to + (size_t)k++ * row, (const char *)from + (size_t)i * row, row);
}

SnStatus sn_eval_compact(const SnEvalOp *x)
{
    const SnEvalValue *a = x->in[0], *mask = x->in[1];
    int64_t dims[SN_MAX_RANK];
    memcpy(dims, a->view.dims, sizeof dims);
    if (mask->view.dims[0] != dims[0])
        return sn_eval_fail(x, "%" PRId64 " rows, %" PRId64 " flags", dims[0], mask->view.dims[0]);
    const size_t row = (size_t)sn_eval_product(a->view.ndim - 1, dims + 1);
    const int64_t m = dims[0] = sn_eval_i64(x->in[2]);
    if (a->kind == SN_TYPE_LIST) {
        SN_TRY(sn_eval_list(x->e, a->view.dtype, a->view.ndim, dims, x->out));
        x->out->view.data = a->view.data;
        x->out->view.child_count = a->view.child_count;
        compact_array(mask, m, row * sizeof(int64_t), sn_out_start(&x->out->view), a->view.start);
        compact_array(mask, m, row * sizeof(int64_t), sn_out_len(&x->out->view), a->view.len);
        return SN_OK;
    }
    SN_TRY(sn_eval_tensor(x->e, a->view.dtype, a->view.ndim, dims, x->out));
    compact_array(mask, m, row * sn_dtype_size(a->view.dtype), x->out->view.data, a->view.data);
    return SN_OK;
}

/* ---- lists ---- */

SnStatus sn_eval_offsets(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    const int64_t n = a->dims[0] + 1;
    SnScalar sum = {.i = 0};
    SN_TRY(sn_eval_tensor(x->e, SN_I64, 1, &n, x->out));
    for (int64_t i = 0; i < n; i++) {
        sn_eval_store(x->out, i, sum);
        sum.u += i + 1 < n ? (uint64_t)a->len[i] : 0;
    }
    return SN_OK;
}

SnStatus sn_eval_values(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    const int64_t n = sn_eval_i64(x->in[1]);
    const size_t size = sn_dtype_size(a->dtype);
    int64_t at = 0;
    SN_TRY(sn_eval_tensor(x->e, a->dtype, 1, &n, x->out));
    for (int64_t i = 0; i < a->dims[0]; i++) {
        if (a->len[i] < 0 || a->len[i] > n - at || a->start[i] < 0 ||
            a->start[i] > a->child_count - a->len[i])
            return sn_eval_fail(x, "element %" PRId64 " lies outside", i);
        if (a->len[i] > 0)
            memcpy((char *)x->out->view.data + (size_t)at * size,
                   (const char *)a->data + (size_t)a->start[i] * size, (size_t)a->len[i] * size);
        at += a->len[i];
    }
    return SN_OK;
}
