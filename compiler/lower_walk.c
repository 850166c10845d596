/* lower_walk.c -- the scalar walk: element `index` of a graph term as a kernel scalar.
 *
 * Elementwise ops map to the same op; movement becomes index arithmetic; reads of stored terms become loads.
 * Conditions of pad, concat and gather travel down as guards, so no index is used outside its buffer even
 * where a `where` would throw the value away. An index that was taken apart and is put together again in the
 * same way is the index it came from: so fused reshapes cost nothing, and dense operands are read along the
 * lanes. */
#include "compiler/lower.h"

#define SLOPE_TERMS 1000

/* ---- row-major arithmetic ---- */

static bool is_value(SnLower *l, SnRef r, int64_t want)
{
    int64_t v;
    return sn_is_const_i64(l->s, r, &v) && v == want;
}

/* Drops axes of 1; returns how many are left. */
static int squeeze(SnLower *l, int n, const SnRef *dims, int *axis)
{
    int m = 0;
    for (int i = 0; i < n; i++)
        if (!is_value(l, dims[i], 1))
            axis[m++] = i;
    return m;
}

/* The longest record that the index starts with. */
static const SnParts *find_parts(SnLower *l, int n, const SnRef *dims, const SnRef *index)
{
    const SnParts *best = NULL;
    for (int i = 0; i < l->npart; i++) {
        const SnParts *p = &l->parts[i];
        const size_t size = (size_t)p->n * sizeof(SnRef);
        if (p->n <= n && (best == NULL || p->n > best->n) && memcmp(p->dims, dims, size) == 0 &&
            memcmp(p->index, index, size) == 0)
            best = p;
    }
    return best;
}

/* Puts parts together where they were taken apart; returns how many axes are left. */
static int rejoin(SnLower *l, int n, SnRef *dims, SnRef *index)
{
    for (int i = 0; i < n;) {
        const SnParts *p = find_parts(l, n - i, dims + i, index + i);
        if (p == NULL) {
            i++;
            continue;
        }
        dims[i] = sn_lower_count(l, p->n, p->dims);
        index[i] = p->whole;
        const int next = i + p->n;
        memmove(dims + i + 1, dims + next, (size_t)(n - next) * sizeof *dims);
        memmove(index + i + 1, index + next, (size_t)(n - next) * sizeof *index);
        n -= p->n - 1;
        i = 0; /* what is whole now may be a part of more */
    }
    return n;
}

SnRef sn_lower_join(SnLower *l, int n, const SnRef *dims, const SnRef *index)
{
    int axis[SN_MAX_RANK];
    SnRef d[SN_MAX_RANK], x[SN_MAX_RANK];
    const int m = squeeze(l, n, dims, axis);
    for (int i = 0; i < m; i++) {
        d[i] = dims[axis[i]];
        x[i] = index[axis[i]];
    }
    const int left = rejoin(l, m, d, x);
    SnRef sum = i_const(l, 0);
    for (int i = 0; i < left; i++) {
        const SnRef stride = sn_lower_dim(l, sn_lower_count(l, left - i - 1, d + i + 1));
        sum = i_add(l, sum, i_mul(l, x[i], stride));
    }
    return sum;
}

void sn_lower_part(SnLower *l, SnRef whole, int n, const SnRef *dims, SnRef *index)
{
    int axis[SN_MAX_RANK];
    const int m = squeeze(l, n, dims, axis);
    for (int i = 0; i < n; i++)
        index[i] = i_const(l, 0);
    if (m == 0)
        return;
    SnParts p = {.whole = whole, .n = m};
    SnRef rest = whole;
    for (int i = m; i-- > 0;) {
        const SnRef dim = dims[axis[i]];
        p.dims[i] = dim;
        p.index[i] = rest;
        if (i > 0) {
            const SnRef size = sn_lower_divisor(l, dim);
            p.index[i] = i_mod(l, rest, size);
            rest = i_div(l, rest, size);
        }
        index[axis[i]] = p.index[i];
    }
    if (m > 1 && l->npart < SN_LOWER_PARTS && find_parts(l, m, p.dims, p.index) == NULL)
        l->parts[l->npart++] = p;
}

SnRef sn_lower_inside(SnLower *l, SnRef a, SnRef lo, SnRef hi)
{
    return i_both(l, i_ge(l, a, lo), i_lt(l, a, hi));
}

/* ---- what a term is computed from ---- */

static int largest(int a, int b)
{
    return a > b ? a : b;
}

static bool is_expanded(SnLower *l, const SnType *to, const SnType *from, int axis)
{
    const int at = axis - (to->ndim - from->ndim);
    return at < 0 || (is_value(l, from->dims[at], 1) && !is_value(l, to->dims[axis], 1));
}

static int split_broadcast(SnLower *l, const SnType *to, const SnType *from, int inner)
{
    int p = to->ndim;
    if (p == 0)
        return 0;
    const bool last = is_expanded(l, to, from, to->ndim - 1);
    while (p > 0 && is_expanded(l, to, from, p - 1) == last)
        p--;
    return last ? p : largest(p, inner + to->ndim - from->ndim);
}

/* The boundary of `to` that lies where the one of `from` lies. */
static int split_reshape(SnLower *l, const SnType *to, const SnType *from, int inner)
{
    if (inner == 0)
        return 0;
    for (int i = 0; i < to->ndim; i++) {
        const SnRef rest = sn_lower_count(l, to->ndim - i, to->dims + i);
        for (int k = inner; k < from->ndim; k++)
            if (sn_dim_equal(l->s, rest, sn_lower_count(l, from->ndim - k, from->dims + k)))
                return i;
    }
    return to->ndim - 1;
}

static int split_permute(SnLower *l, SnRef r, int inner)
{
    const SnAttr *perm = sn_attr(l->s, r, "perm");
    int p = perm->u.ints.n;
    while (p > 0 && perm->u.ints.at[p - 1] == p - 1)
        p--;
    return largest(p, inner);
}

/* Behind the last axis that the op moves; untouched[i] says which it leaves alone. */
static int split_behind(const bool *untouched, int ndim, int inner)
{
    int p = ndim;
    while (p > 0 && untouched[p - 1])
        p--;
    return largest(p, inner);
}

static int split_gather(SnLower *l, SnRef r, const SnType *to, const SnType *from, int inner)
{
    const SnAttr *axes = sn_attr(l->s, r, "axes");
    int last = -1;
    for (int i = 0; i < axes->u.ints.n; i++)
        last = largest(last, (int)axes->u.ints.at[i]);
    const int behind = largest(last + 1, inner);
    return to->ndim - (from->ndim - behind);
}

/* inner, all: what the first operand and all operands allow. */
static int split_move(SnLower *l, SnRef r, const SnTerm *t, int inner, int all)
{
    const SnType *to = sn_type_of(l->s, r), *from = t->narg > 0 ? sn_type_of(l->s, t->arg[0]) : to;
    bool untouched[SN_MAX_RANK] = {false};
    switch (t->op) {
    case SN_OP_BROADCAST:
        return split_broadcast(l, to, from, inner);
    case SN_OP_RESHAPE:
        return split_reshape(l, to, from, inner);
    case SN_OP_PERMUTE:
        return split_permute(l, r, inner);
    case SN_OP_GATHER:
        return split_gather(l, r, to, from, inner);
    case SN_OP_SLICE:
        for (int i = 0; i < to->ndim; i++)
            untouched[i] = is_value(l, t->arg[1 + i], 0) && to->dims[i] == from->dims[i];
        return split_behind(untouched, to->ndim, inner);
    case SN_OP_PAD:
        for (int i = 0; i < to->ndim; i++)
            untouched[i] = is_value(l, t->arg[1 + i], 0) && to->dims[i] == from->dims[i];
        return split_behind(untouched, to->ndim, inner);
    case SN_OP_CONCAT:
        return largest((int)sn_attr_int(l->s, r, "axis", 0) + 1, all);
    case SN_OP_FLIP: {
        const SnAttr *axes = sn_attr(l->s, r, "axes");
        for (int i = 0; i < to->ndim; i++)
            untouched[i] = true;
        for (int i = 0; i < axes->u.ints.n; i++)
            untouched[axes->u.ints.at[i]] = false;
        return split_behind(untouched, to->ndim, inner);
    }
    case SN_OP_IOTA:
        return (int)sn_attr_int(l->s, r, "axis", 0) + 1;
    default: /* window, bitcast of another width */
        return to->ndim;
    }
}

static bool is_reinterpreted(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    return t->op == SN_OP_BITCAST &&
           sn_dtype_size(sn_dtype_of(l->s, r)) != sn_dtype_size(sn_dtype_of(l->s, t->arg[0]));
}

static bool is_computed_by_index(SnLower *l, SnRef r)
{
    const uint16_t op = sn_term(l->s, r)->op;
    return op == SN_OP_IOTA || op == SN_OP_GATHER || sn_prim(op)->kind == SN_PRIM_MOVE ||
           is_reinterpreted(l, r);
}

/* The root itself is what is being computed. */
static bool is_loaded(const SnLower *l, SnRef r)
{
    return l->is_stored[r] && r != l->root;
}

/* Dims are kernel parameters, not operands to read. */
static bool is_read(SnLower *l, SnRef r)
{
    return sn_type_of(l->s, r)->kind == SN_TYPE_TENSOR && !sn_is_dim(l->s, r);
}

int sn_lower_read(SnLower *l, SnRef r)
{
    uint32_t known;
    if (l->status != SN_OK || !is_read(l, r))
        return 0;
    if (sn_map_get(&l->split, sn_bytes(&r, sizeof r), &known))
        return (int)known;
    const SnTerm *t = sn_term(l->s, r);
    const int ndim = sn_type_of(l->s, r)->ndim;
    int p = 0, inner = 0;
    if (is_loaded(l, r)) {
        sn_lower_buffer(l, SN_BUF_VALUE, r, 0, false);
    } else {
        l->has_pieces |= t->op == SN_OP_CONCAT || t->op == SN_OP_PAD;
        for (int i = 0; i < t->narg; i++) {
            const int split = sn_lower_read(l, t->arg[i]);
            inner = i == 0 ? split : inner;
            p = largest(p, split);
        }
        if (is_computed_by_index(l, r))
            p = split_move(l, r, t, inner, p);
        p = p < ndim ? p : largest(ndim - 1, 0);
    }
    SnRef *key = (SnRef *)sn_arena_alloc(l->p->arena, sizeof *key);
    if (key == NULL)
        sn_lower_fail(l, SN_ENOMEM, "no memory for kernels");
    else
        *key = r;
    if (key != NULL && !sn_map_put(&l->split, sn_bytes(key, sizeof *key), (uint32_t)p))
        sn_lower_fail(l, SN_ENOMEM, "no memory for kernels");
    return p;
}

/* ---- movement ---- */

typedef struct Walk {
    SnRef r;
    const SnTerm *t;
    const SnType *type;
    const SnRef *index;
    SnRef guard;
} Walk;

static const SnType *operand_type(SnLower *l, const Walk *w, int i)
{
    return sn_type_of(l->s, w->t->arg[i]);
}

static SnRef zero_of(SnLower *l, SnDtype d)
{
    return sn_const_scalar(l->s, d, (SnScalar){.u = 0});
}

static SnRef walk_broadcast(SnLower *l, const Walk *w)
{
    const SnType *from = operand_type(l, w, 0);
    SnRef index[SN_MAX_RANK];
    for (int i = 0; i < from->ndim; i++)
        index[i] = is_value(l, from->dims[i], 1) ? i_const(l, 0) : w->index[w->type->ndim - from->ndim + i];
    return sn_lower_scalar(l, w->t->arg[0], index, w->guard);
}

/* Axes first..i of one side are those of the other: products of leading dims agree at both ends. */
SnRef sn_lower_regroup(SnLower *l, const SnType *from, const SnRef *at, const SnType *to, SnRef *index)
{
    SnRef have = i_const(l, 1);
    int first = 0, done = 0;
    for (int j = 1; j <= to->ndim; j++) {
        have = sn_dim_mul(l->s, have, to->dims[j - 1]);
        SnRef want = sn_lower_count(l, first, from->dims);
        for (int i = first + 1; i <= from->ndim; i++) {
            want = sn_dim_mul(l->s, want, from->dims[i - 1]);
            if (!sn_dim_equal(l->s, want, have))
                continue;
            sn_lower_part(l, sn_lower_join(l, i - first, from->dims + first, at + first), j - done,
                          to->dims + done, index + done);
            first = i;
            done = j;
            break;
        }
    }
    if (done < to->ndim && first < from->ndim) { /* equal only at run time */
        const SnRef rest = sn_lower_join(l, from->ndim - first, from->dims + first, at + first);
        const SnRef size = sn_lower_dim(l, sn_lower_count(l, to->ndim - done, to->dims + done));
        sn_lower_part(l, rest, to->ndim - done, to->dims + done, index + done);
        return i_lt(l, rest, size);
    }
    for (; done < to->ndim; done++)
        index[done] = i_const(l, 0);
    return 0;
}

static SnRef walk_reshape(SnLower *l, const Walk *w)
{
    SnRef index[SN_MAX_RANK];
    const SnRef inside = sn_lower_regroup(l, w->type, w->index, operand_type(l, w, 0), index);
    return sn_lower_scalar(l, w->t->arg[0], index, i_both(l, w->guard, inside));
}

static SnRef walk_permute(SnLower *l, const Walk *w)
{
    const SnAttr *perm = sn_attr(l->s, w->r, "perm");
    SnRef index[SN_MAX_RANK];
    for (int i = 0; i < w->type->ndim; i++)
        index[perm->u.ints.at[i]] = w->index[i];
    return sn_lower_scalar(l, w->t->arg[0], index, w->guard);
}

SnRef sn_lower_start(SnLower *l, SnRef start, SnRef dim, SnRef extent)
{
    if (is_value(l, start, 0))
        return start;
    const SnRef room = sn_lower_dim(l, sn_dim_sub(l->s, dim, extent));
    const SnRef at = sn_is_dim(l->s, start) ? sn_lower_dim(l, start)
                                            : sn_s_cast(l->s, SN_I64, sn_lower_scalar(l, start, NULL, 0));
    return i_max(l, i_min(l, at, room), i_const(l, 0));
}

static SnRef walk_slice(SnLower *l, const Walk *w)
{
    const SnType *from = operand_type(l, w, 0);
    const SnAttr *steps = sn_attr(l->s, w->r, "steps");
    SnRef index[SN_MAX_RANK], guard = w->guard;
    for (int i = 0; i < from->ndim; i++) {
        const int64_t step = steps != NULL && i < steps->u.ints.n ? steps->u.ints.at[i] : 1;
        const SnRef size = w->type->dims[i], last = sn_dim_sub(l->s, size, i_const(l, 1));
        const SnRef extent = sn_dim_add(l->s, sn_dim_mul(l->s, last, i_const(l, step)), i_const(l, 1));
        const SnRef start = sn_lower_start(l, w->t->arg[1 + i], from->dims[i], extent);
        index[i] = i_add(l, start, i_mul(l, w->index[i], i_const(l, step)));
        int64_t lo, hi;
        sn_dim_range(l->s, sn_dim_sub(l->s, from->dims[i], extent), &lo, &hi);
        if (lo < 0)
            guard = i_both(l, guard, i_lt(l, index[i], sn_lower_dim(l, from->dims[i])));
    }
    return sn_lower_scalar(l, w->t->arg[0], index, guard);
}

/* A value where `inside` holds, `other` elsewhere; a guarded load gives its own zero. */
static SnRef select(SnLower *l, SnRef inside, SnRef guard, SnRef value, SnRef other)
{
    const SnTerm *t = sn_term(l->s, value);
    SnScalar v;
    if (inside == 0)
        return value;
    if (t->op == SN_OP_LOAD && t->narg == 2 && t->arg[1] == guard && sn_is_const(l->s, other, &v) && v.u == 0)
        return value;
    return sn_s3(l->s, SN_OP_WHERE, inside, value, other);
}

static SnRef walk_pad(SnLower *l, const Walk *w)
{
    const SnType *from = operand_type(l, w, 0);
    const SnAttr *interior = sn_attr(l->s, w->r, "interior");
    SnRef index[SN_MAX_RANK], inside = 0;
    for (int i = 0; i < from->ndim; i++) {
        const SnRef lo = w->t->arg[1 + i], hi = w->t->arg[1 + from->ndim + i];
        const int64_t gap = interior != NULL && i < interior->u.ints.n ? interior->u.ints.at[i] : 0;
        index[i] = i_sub(l, w->index[i], sn_lower_dim(l, lo));
        if (gap > 0) {
            const SnRef step = i_const(l, gap + 1);
            inside = i_both(l, inside, sn_s2(l->s, SN_OP_EQ, i_mod(l, index[i], step), i_const(l, 0)));
            index[i] = i_div(l, index[i], step);
        }
        int64_t least, most;
        sn_dim_range(l->s, lo, &least, &most);
        if (most > 0)
            inside = i_both(l, inside, i_ge(l, index[i], i_const(l, 0)));
        sn_dim_range(l->s, hi, &least, &most);
        if (most > 0 || gap > 0)
            inside = i_both(l, inside, i_lt(l, index[i], sn_lower_dim(l, from->dims[i])));
    }
    const SnRef guard = i_both(l, w->guard, inside);
    const SnRef value = sn_lower_scalar(l, w->t->arg[0], index, guard);
    const SnRef other = sn_lower_scalar(l, w->t->arg[w->t->narg - 1], NULL, w->guard);
    return select(l, inside, guard, value, other);
}

static SnRef walk_flip(SnLower *l, const Walk *w)
{
    const SnAttr *axes = sn_attr(l->s, w->r, "axes");
    SnRef index[SN_MAX_RANK];
    memcpy(index, w->index, (size_t)w->type->ndim * sizeof *index);
    for (int i = 0; i < axes->u.ints.n; i++) {
        const int64_t k = axes->u.ints.at[i];
        const SnRef last = sn_lower_dim(l, sn_dim_sub(l->s, w->type->dims[k], i_const(l, 1)));
        index[k] = i_sub(l, last, w->index[k]);
    }
    return sn_lower_scalar(l, w->t->arg[0], index, w->guard);
}

static SnRef walk_concat(SnLower *l, const Walk *w)
{
    const int64_t axis = sn_attr_int(l->s, w->r, "axis", 0);
    SnRef index[SN_MAX_RANK], begin = i_const(l, 0), value = 0;
    memcpy(index, w->index, (size_t)w->type->ndim * sizeof *index);
    for (int i = 0; i < w->t->narg; i++) {
        const SnRef end = sn_dim_add(l->s, begin, operand_type(l, w, i)->dims[axis]);
        const SnRef from = sn_lower_dim(l, begin);
        const bool is_last = i + 1 == w->t->narg;
        const SnRef lo = i == 0 ? 0 : i_ge(l, w->index[axis], from);
        const SnRef guard =
            i_both(l, w->guard, i_both(l, lo, is_last ? 0 : i_lt(l, w->index[axis], sn_lower_dim(l, end))));
        index[axis] = i_sub(l, w->index[axis], from);
        const SnRef part = sn_lower_scalar(l, w->t->arg[i], index, guard);
        value = value == 0 ? part : sn_s3(l->s, SN_OP_WHERE, lo, part, value);
        begin = end;
    }
    return value;
}

static SnRef walk_window(SnLower *l, const Walk *w)
{
    const int64_t axis = sn_attr_int(l->s, w->r, "axis", 0);
    const int n = w->type->ndim - 1;
    SnRef index[SN_MAX_RANK];
    memcpy(index, w->index, (size_t)n * sizeof *index);
    const SnRef stride = i_const(l, sn_attr_int(l->s, w->r, "stride", 1));
    const SnRef dilation = i_const(l, sn_attr_int(l->s, w->r, "dilation", 1));
    index[axis] = i_add(l, i_mul(l, w->index[axis], stride), i_mul(l, w->index[n], dilation));
    return sn_lower_scalar(l, w->t->arg[0], index, w->guard);
}

SnRef sn_lower_index(SnLower *l, SnRef index, int ndim, const SnRef *point, SnRef guard)
{
    const SnType *type = sn_type_of(l->s, index);
    SnRef at[SN_MAX_RANK];
    for (int i = 0; i < type->ndim; i++)
        at[i] = is_value(l, type->dims[i], 1) ? i_const(l, 0) : point[ndim - type->ndim + i];
    SnRef v = sn_lower_scalar(l, index, at, guard);
    if (type->dtype == SN_U64)
        v = sn_s2(l->s, SN_OP_MIN, v, sn_const_scalar(l->s, SN_U64, (SnScalar){.u = INT64_MAX}));
    return sn_s_cast(l->s, SN_I64, v);
}

static SnRef walk_gather(SnLower *l, const Walk *w)
{
    const SnType *from = operand_type(l, w, 0);
    const SnAttr *axes = sn_attr(l->s, w->r, "axes");
    const char *oob = sn_attr_string(l->s, w->r, "oob");
    const bool is_clamped = oob == NULL || strcmp(oob, "clamp") == 0;
    const int n = axes->u.ints.n, ndim = w->type->ndim - (from->ndim - n);
    SnRef index[SN_MAX_RANK] = {0}, inside = 0, guard = w->guard;
    for (int k = 0; k < n; k++) {
        const int64_t axis = axes->u.ints.at[k];
        const SnRef dim = from->dims[axis], size = sn_lower_dim(l, dim);
        SnRef at = sn_lower_index(l, w->t->arg[1 + k], ndim, w->index, w->guard);
        if (is_clamped) {
            at = i_max(l, i_min(l, at, i_add(l, size, i_const(l, -1))), i_const(l, 0));
            int64_t lo, hi;
            sn_dim_range(l->s, dim, &lo, &hi);
            inside = i_both(l, inside, lo < 1 ? i_lt(l, i_const(l, 0), size) : 0); /* of nothing: zero */
        } else {
            inside = i_both(l, inside, sn_lower_inside(l, at, i_const(l, 0), size));
        }
        index[axis] = at;
    }
    for (int i = 0, k = ndim; i < from->ndim; i++)
        if (index[i] == 0)
            index[i] = w->index[k++];
    guard = i_both(l, guard, inside);
    const SnRef value = sn_lower_scalar(l, w->t->arg[0], index, guard);
    return select(l, inside, guard, value, zero_of(l, w->type->dtype));
}

/* ---- elementwise ---- */

static SnDtype unsigned_of(size_t size)
{
    return size == 1 ? SN_U8 : size == 2 ? SN_U16 : size == 4 ? SN_U32 : SN_U64;
}

/* The last axis counts pieces: of several elements of the operand, or of one. */
static SnRef walk_reinterpret(SnLower *l, const Walk *w)
{
    const SnDtype from = operand_type(l, w, 0)->dtype, to = w->type->dtype;
    const size_t size = sn_dtype_size(from), want = sn_dtype_size(to);
    const SnDtype wide = unsigned_of(size > want ? size : want);
    const int last = operand_type(l, w, 0)->ndim - 1;
    SnRef index[SN_MAX_RANK], bits = 0;
    memcpy(index, w->index, (size_t)last * sizeof *index);
    if (size > want) {
        const SnRef ratio = i_const(l, (int64_t)(size / want));
        index[last] = i_div(l, w->index[last], ratio);
        const SnRef whole = sn_s_bitcast(l->s, wide, sn_lower_scalar(l, w->t->arg[0], index, w->guard));
        const SnRef shift = i_mul(l, i_mod(l, w->index[last], ratio), i_const(l, (int64_t)want * 8));
        bits = sn_s2(l->s, SN_OP_SHR, whole, sn_s_cast(l->s, wide, shift));
        return sn_s_bitcast(l->s, to, sn_s_cast(l->s, unsigned_of(want), bits));
    }
    const int64_t ratio = (int64_t)(want / size);
    for (int64_t i = 0; i < ratio; i++) {
        index[last] = i_add(l, i_mul(l, w->index[last], i_const(l, ratio)), i_const(l, i));
        SnRef part = sn_s_bitcast(l->s, unsigned_of(size), sn_lower_scalar(l, w->t->arg[0], index, w->guard));
        const SnScalar shift = {.u = (uint64_t)i * size * 8};
        part = sn_s2(l->s, SN_OP_SHL, sn_s_cast(l->s, wide, part), sn_const_scalar(l->s, wide, shift));
        bits = bits == 0 ? part : sn_s2(l->s, SN_OP_OR, bits, part);
    }
    return sn_s_bitcast(l->s, to, bits);
}

static void note_op(SnLower *l, const char *name)
{
    for (int i = 0; i < l->nop_name; i++)
        if (l->op_name[i] == name)
            return;
    if (l->nop_name < (int)SN_COUNT(l->op_name))
        l->op_name[l->nop_name++] = name;
}

static SnRef walk_elementwise(SnLower *l, const Walk *w)
{
    SnRef v[3] = {0};
    for (int i = 0; i < w->t->narg; i++)
        v[i] = sn_lower_scalar(l, w->t->arg[i], w->index, w->guard);
    if (l->status != SN_OK || v[0] == 0)
        return 0;
    const SnDtype to = w->type->dtype;
    switch (w->t->op) {
    case SN_OP_CAST:
        return sn_attr_int(l->s, w->r, "sat", 0) == 0
                   ? sn_s_cast(l->s, to, v[0])
                   : sn_term_make(l->s, SN_OP_CAST, sn_type_scalar(l->s, to), w->t->attr, v, 1);
    case SN_OP_BITCAST:
        return sn_s_bitcast(l->s, to, v[0]);
    default:
        note_op(l, sn_prim(w->t->op)->name);
        return w->t->narg == 1   ? sn_s1(l->s, w->t->op, v[0])
               : w->t->narg == 2 ? sn_s2(l->s, w->t->op, v[0], v[1])
                                 : sn_s3(l->s, w->t->op, v[0], v[1], v[2]);
    }
}

/* ---- leaves ---- */

static SnRef walk_const(SnLower *l, const Walk *w)
{
    const SnAttr *value = sn_attr(l->s, w->r, "value");
    if (value != NULL)
        return sn_const_scalar(l->s, w->type->dtype, value->u.scalar);
    sn_lower_fail(l, SN_EINTERNAL, "const %u has no memory", w->r);
    return 0;
}

static SnRef walk_arg(SnLower *l, const Walk *w)
{
    const int64_t i = sn_attr_int(l->s, w->r, "index", -1);
    if (l->env != NULL && i >= 0 && i < l->nenv)
        return l->env[i];
    sn_lower_fail(l, SN_EINTERNAL, "arg %lld has no memory", (long long)i);
    return 0;
}

SnRef sn_lower_load(SnLower *l, int buf, SnDtype dtype, SnRef at, SnRef guard)
{
    return l->status != SN_OK ? 0 : sn_kernel_load(&l->kb, buf, dtype, at, guard);
}

/* ---- what lies in memory ---- */

/* How much r grows where x does by one; false: not always as much, or it takes too many terms to tell. */
static bool find_slope(SnLower *l, SnRef r, SnRef x, int *budget, int64_t *out)
{
    const SnTerm *t = sn_term(l->s, r);
    int64_t arg[3] = {0}, by;
    *out = r == x;
    if (r == x || t->narg == 0)
        return true;
    if (--*budget < 0 || t->narg > 3)
        return false;
    for (int i = 0; i < t->narg; i++)
        if (!find_slope(l, t->arg[i], x, budget, &arg[i]))
            return false;
    if (t->op == SN_OP_ADD)
        return sn_add_i64(arg[0], arg[1], out);
    if (t->op == SN_OP_SUB)
        return arg[1] != INT64_MIN && sn_add_i64(arg[0], -arg[1], out);
    if (t->op == SN_OP_MUL && sn_is_const_i64(l->s, t->arg[1], &by))
        return sn_mul_i64(arg[0], by, out);
    return arg[0] == 0 && arg[1] == 0 && arg[2] == 0;
}

int64_t sn_lower_slope(SnLower *l, SnRef r, SnRef x)
{
    int64_t slope;
    int budget = SLOPE_TERMS;
    return find_slope(l, r, x, &budget, &slope) && slope > 0 ? slope : 0;
}

static SnRef walk_buffer(SnLower *l, const Walk *w, int buf)
{
    const SnRef at = sn_lower_join(l, w->type->ndim, w->type->dims, w->index);
    const SnRef load = sn_lower_load(l, buf, w->type->dtype, at, w->guard);
    int64_t bytes = (int64_t)sn_dtype_size(w->type->dtype);
    const int64_t slope = l->ahead.of != 0 && l->status == SN_OK ? sn_lower_slope(l, at, l->ahead.of) : 0;
    if (slope == 0 || !sn_mul_i64(bytes, slope, &bytes) || !sn_mul_i64(bytes, l->ahead.by, &bytes))
        return load;
    return sn_kernel_ahead(l->s, load, bytes);
}

typedef SnRef WalkFn(SnLower *l, const Walk *w);

static WalkFn *walk_of(SnLower *l, const Walk *w)
{
    switch (w->t->op) {
    case SN_OP_CONST:
        return walk_const;
    case SN_OP_ARG:
        return walk_arg;
    case SN_OP_RESHAPE:
        return walk_reshape;
    case SN_OP_PERMUTE:
        return walk_permute;
    case SN_OP_BROADCAST:
        return walk_broadcast;
    case SN_OP_SLICE:
        return walk_slice;
    case SN_OP_PAD:
        return walk_pad;
    case SN_OP_FLIP:
        return walk_flip;
    case SN_OP_CONCAT:
        return walk_concat;
    case SN_OP_WINDOW:
        return walk_window;
    case SN_OP_GATHER:
        return walk_gather;
    default:
        return is_reinterpreted(l, w->r)        ? walk_reinterpret
               : sn_op_is_elementwise(w->t->op) ? walk_elementwise
                                                : NULL;
    }
}

/* Key of the memo; the point is as long as the rank. */
typedef struct Key {
    SnRef r, guard;
    uint32_t env;
    SnRef index[SN_MAX_RANK];
} Key;

static void bind(SnLower *l, SnRef r, SnRef value, int buf, int from, SnRef base)
{
    int i = 0;
    while (i < l->nbound && l->bound[i].term != r)
        i++;
    if (i == SN_LOWER_BOUND) {
        sn_lower_fail(l, SN_EINTERNAL, "a kernel computes more than %d roots", SN_LOWER_BOUND);
        return;
    }
    l->bound[i].term = r;
    l->bound[i].value = value;
    l->bound[i].buf = buf;
    l->bound[i].from = from;
    l->bound[i].base = base;
    l->nbound += i == l->nbound;
    sn_map_clear(&l->memo);
}

void sn_lower_bind(SnLower *l, SnRef r, SnRef value)
{
    bind(l, r, value, SN_LOWER_NOWHERE, 0, 0);
}

void sn_lower_bind_buffer(SnLower *l, SnRef r, int buf)
{
    bind(l, r, 0, buf, 0, 0);
}

void sn_lower_bind_panel(SnLower *l, SnRef r, int buf, int from, SnRef base)
{
    bind(l, r, 0, buf, from, base);
}

/* The index is inside of the panel where the guard is false, too. */
static SnRef walk_panel(SnLower *l, const Walk *w, int buf, int from, SnRef base)
{
    const SnRef in = sn_lower_join(l, w->type->ndim - from, w->type->dims + from, w->index + from);
    const SnRef at = w->guard != 0 ? sn_s3(l->s, SN_OP_WHERE, w->guard, in, i_const(l, 0)) : in;
    return sn_lower_load(l, buf, w->type->dtype, i_add(l, base, at), w->guard);
}

static SnRef walk(SnLower *l, const Walk *w)
{
    for (int i = 0; i < l->nbound; i++) {
        if (l->bound[i].term != w->r)
            continue;
        if (l->bound[i].value != 0)
            return l->bound[i].value;
        if (l->bound[i].base != 0)
            return walk_panel(l, w, l->bound[i].buf, l->bound[i].from, l->bound[i].base);
        if (l->bound[i].buf != SN_LOWER_NOWHERE)
            return walk_buffer(l, w, l->bound[i].buf);
    }
    if (l->env == NULL && is_loaded(l, w->r))
        return walk_buffer(l, w, sn_lower_buffer(l, SN_BUF_VALUE, w->r, 0, false));
    if (w->t->op == SN_OP_IOTA)
        return sn_s_cast(l->s, w->type->dtype, w->index[sn_attr_int(l->s, w->r, "axis", 0)]);
    WalkFn *fn = walk_of(l, w);
    if (fn != NULL)
        return fn(l, w);
    sn_lower_fail(l, SN_EINTERNAL, "%s has no scalar form", sn_prim(w->t->op)->name);
    return 0;
}

SnRef sn_lower_scalar(SnLower *l, SnRef r, const SnRef *index, SnRef guard)
{
    if (l->status != SN_OK)
        return 0;
    const Walk w = {
        .r = r, .t = sn_term(l->s, r), .type = sn_type_of(l->s, r), .index = index, .guard = guard};
    if (sn_is_dim(l->s, r))
        return sn_lower_dim(l, r);
    Key key = {.r = r, .guard = guard, .env = l->env != NULL ? l->env_id : 0};
    const size_t n = offsetof(Key, index) + (size_t)w.type->ndim * sizeof *index;
    if (w.type->ndim > 0)
        memcpy(key.index, index, (size_t)w.type->ndim * sizeof *index);
    uint32_t known;
    if (sn_map_get(&l->memo, sn_bytes(&key, n), &known))
        return known;
    const SnRef value = walk(l, &w);
    void *kept = sn_arena_alloc(l->p->arena, n);
    if (kept == NULL || value == 0) {
        sn_lower_fail(l, SN_ENOMEM, "no memory for kernels");
        return 0;
    }
    memcpy(kept, &key, n);
    if (!sn_map_put(&l->memo, sn_bytes(kept, n), value))
        sn_lower_fail(l, SN_ENOMEM, "no memory for kernels");
    return value;
}

void sn_lower_apply(SnLower *l, SnRef fn, int narg, const SnRef *arg, int nresult, SnRef *result)
{
    l->env = arg;
    l->nenv = narg;
    l->env_id++;
    const SnRef body = sn_term(l->s, fn)->arg[0];
    const SnTerm *t = sn_term(l->s, body);
    for (int i = 0; i < nresult; i++)
        result[i] = sn_lower_scalar(l, t->op == SN_OP_TUPLE ? t->arg[i] : body, NULL, 0);
    l->env = NULL;
}
