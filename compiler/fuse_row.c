/* fuse_row.c -- reductions that are computed inside of the kernel that uses them.
 *
 * Softmax, norms and their like use reductions of a row in every element of that row. Such a reduction is not
 * stored where its kernel makes a map, or reduces rows itself, and where it depends on the row alone: the
 * kernel (lower_row.c) then walks each row once for every reduction and once more for its own result, and the
 * walks behind the first find the row in the cache. What a reduction depends on is read off axes: from the
 * result of the kernel down, each axis of a term runs along one axis of that result, is 1, or is something
 * else. */
#include "compiler/fuse.h"

#define MAX_ROWS  8     /* reductions in one kernel */
#define MAX_WIDTH 65536 /* elements of a row: one tile walks it */

static bool is_value(const SnStore *s, SnRef r, int64_t want)
{
    int64_t v;
    return sn_is_const_i64(s, r, &v) && v == want;
}

static bool is_one(const SnStore *s, SnRef dim)
{
    return is_value(s, dim, 1);
}

static bool has_axis(const SnAttr *axes, int axis)
{
    for (int i = 0; axes != NULL && i < axes->u.ints.n; i++)
        if (axes->u.ints.at[i] == axis)
            return true;
    return false;
}

bool sn_row_is_reduce(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    if (t->op != SN_OP_REDUCE || t->narg != 1)
        return false;
    const SnAttr *axes = sn_attr(s, r, "axes");
    const int ndim = sn_type_of(s, t->arg[0])->ndim;
    for (int i = 0; axes != NULL && i < axes->u.ints.n; i++)
        if (!has_axis(axes, ndim - 1 - i))
            return false;
    return axes != NULL && axes->u.ints.n > 0;
}

/* ---- axes ---- */

static void mark_units(const SnStore *s, const SnType *type, SnRowAxes *x)
{
    for (int i = 0; i < type->ndim; i++)
        if (is_one(s, type->dims[i]))
            x->at[i] = SN_ROW_UNIT;
}

SnRowAxes sn_row_axes(const SnStore *s, SnRef home)
{
    const SnType *type = sn_type_of(s, home);
    SnRowAxes x = {.is_known = true};
    if (type->kind != SN_TYPE_TENSOR)
        return x;
    for (int i = 0; i < type->ndim; i++)
        x.at[i] = (int8_t)i;
    mark_units(s, type, &x);
    return x;
}

/* Leading axes that agree, and trailing ones: axes of 1 come and go. */
static void reshape_axes(const SnStore *s, const SnType *to, const SnType *from, const int8_t *u, int8_t *x)
{
    int a[SN_MAX_RANK], b[SN_MAX_RANK], na = 0, nb = 0, n = 0;
    for (int i = 0; i < to->ndim; i++)
        if (!is_one(s, to->dims[i]))
            a[na++] = i;
    for (int i = 0; i < from->ndim; i++)
        if (!is_one(s, from->dims[i]))
            b[nb++] = i;
    for (; n < na && n < nb && to->dims[a[n]] == from->dims[b[n]]; n++)
        x[b[n]] = u[a[n]];
    for (; na > n && nb > n && to->dims[a[na - 1]] == from->dims[b[nb - 1]]; na--, nb--)
        x[b[nb - 1]] = u[a[na - 1]];
}

static void reduce_axes(const SnStore *s, SnRef r, const SnType *from, const int8_t *u, int8_t *x)
{
    const SnAttr *axes = sn_attr(s, r, "axes");
    const bool keeps = sn_attr_int(s, r, "keep", 0) != 0;
    for (int i = 0, k = 0; i < from->ndim; i++) {
        const bool is_over = has_axis(axes, i);
        if (!is_over)
            x[i] = u[k];
        k += keeps || !is_over;
    }
}

static void gather_axes(const SnStore *s, SnRef r, int i, const SnType *from, const int8_t *u, int8_t *x)
{
    const SnAttr *axes = sn_attr(s, r, "axes");
    const SnType *to = sn_type_of(s, r), *of = sn_type_of(s, sn_term(s, r)->arg[0]);
    const int nindex = to->ndim - (of->ndim - axes->u.ints.n);
    if (i > 0) {
        for (int k = 0; k < from->ndim; k++)
            x[k] = u[nindex - from->ndim + k];
        return;
    }
    for (int k = 0, at = nindex; k < from->ndim; k++)
        if (!has_axis(axes, k))
            x[k] = u[at++];
}

/* Axes of a slice or pad that stay as they are. */
static void window_axes(const SnStore *s, SnRef r, const SnType *from, const int8_t *u, int8_t *x)
{
    const SnTerm *t = sn_term(s, r);
    const SnType *to = sn_type_of(s, r);
    for (int i = 0; i < from->ndim; i++)
        if (is_value(s, t->arg[1 + i], 0) && to->dims[i] == from->dims[i])
            x[i] = u[i];
}

static void move_axes(const SnStore *s, SnRef r, const SnType *from, const int8_t *u, int8_t *x)
{
    const SnType *to = sn_type_of(s, r);
    const SnAttr *perm = sn_attr(s, r, "perm"), *flipped = sn_attr(s, r, "axes");
    const int64_t joined = sn_attr_int(s, r, "axis", -1);
    switch (sn_term(s, r)->op) {
    case SN_OP_BROADCAST:
        memcpy(x, u + to->ndim - from->ndim, (size_t)from->ndim);
        break;
    case SN_OP_RESHAPE:
        reshape_axes(s, to, from, u, x);
        break;
    case SN_OP_PERMUTE:
        for (int i = 0; i < to->ndim; i++)
            x[perm->u.ints.at[i]] = u[i];
        break;
    case SN_OP_SLICE:
    case SN_OP_PAD:
        window_axes(s, r, from, u, x);
        break;
    case SN_OP_FLIP:
        for (int i = 0; i < to->ndim; i++)
            x[i] = has_axis(flipped, i) ? SN_ROW_OTHER : u[i];
        break;
    case SN_OP_CONCAT:
        for (int i = 0; i < to->ndim; i++)
            x[i] = i == joined ? SN_ROW_OTHER : u[i];
        break;
    default:
        break;
    }
}

static bool is_pointwise(const SnStore *s, SnRef user, SnRef x)
{
    const SnTerm *t = sn_term(s, user);
    return sn_op_is_elementwise(t->op) && sn_type_of(s, user)->ndim == sn_type_of(s, x)->ndim &&
           (t->op != SN_OP_BITCAST ||
            sn_dtype_size(sn_dtype_of(s, user)) == sn_dtype_size(sn_dtype_of(s, x)));
}

void sn_row_axes_join(const SnStore *s, SnRef user, int i, const SnRowAxes *of_user, SnRowAxes *of_operand)
{
    const SnTerm *t = sn_term(s, user);
    const SnRef x = t->arg[i];
    const SnType *from = sn_type_of(s, x);
    SnRowAxes now = {.is_known = true};
    memset(now.at, SN_ROW_OTHER, sizeof now.at);
    if (is_pointwise(s, user, x))
        now = *of_user;
    else if (sn_row_is_reduce(s, user))
        reduce_axes(s, user, from, of_user->at, now.at);
    else if (t->op == SN_OP_GATHER)
        gather_axes(s, user, i, from, of_user->at, now.at);
    else if (sn_prim(t->op)->kind == SN_PRIM_MOVE && (i == 0 || t->op == SN_OP_CONCAT))
        move_axes(s, user, from, of_user->at, now.at);
    mark_units(s, from, &now);
    for (int k = 0; of_operand->is_known && k < from->ndim; k++)
        if (of_operand->at[k] != now.at[k])
            now.at[k] = SN_ROW_OTHER;
    *of_operand = now;
}

int sn_row_split(const SnStore *s, SnRef r, const SnRowAxes *axes)
{
    int split = 0;
    for (int i = 0; i < sn_type_of(s, r)->ndim; i++) {
        if (axes->at[i] == SN_ROW_OTHER)
            return -1;
        split = axes->at[i] >= split ? axes->at[i] + 1 : split;
    }
    return split;
}

/* ---- what one kernel computes ---- */

/* Is a row of these axes one that a tile may walk? Where it is the only one, other tiles have nothing to do.
 */
static bool is_short(const SnFuse *f, int n, const SnRef *dims, bool is_only)
{
    int64_t least = 1, most = 1;
    for (int i = 0; i < n; i++) {
        int64_t lo, hi;
        sn_dim_range(f->s, dims[i], &lo, &hi);
        if (!sn_mul_i64(least, lo, &least) || (is_only && !sn_mul_i64(most, hi, &most)))
            return false;
    }
    return least <= MAX_WIDTH && (!is_only || most <= MAX_WIDTH);
}

bool sn_fuse_is_map(const SnFuse *f, SnRef h)
{
    const uint16_t op = sn_term(f->s, h)->op;
    return op != SN_OP_CONCAT &&
           (sn_op_is_elementwise(op) || op == SN_OP_GATHER || sn_prim(op)->kind == SN_PRIM_MOVE);
}

/* Can the kernel of h compute others once a row? */
static bool has_rows(const SnFuse *f, SnRef h)
{
    return sn_term(f->s, h)->op == SN_OP_REDUCE ? sn_row_is_reduce(f->s, h) : sn_fuse_is_map(f, h);
}

/* Does r run along every axis before split, and no row of the kernel is computed for nothing? */
static bool covers(const SnFuse *f, SnRef r, SnRef h, int split)
{
    const SnType *type = sn_type_of(f->s, r), *to = sn_type_of(f->s, h);
    int ncovered = 0, nrow = 0;
    for (int i = 0; i < type->ndim; i++)
        ncovered += f->axes[r].at[i] != SN_ROW_UNIT;
    for (int i = 0; i < to->ndim; i++)
        nrow += !is_one(f->s, to->dims[i]) && (i < split || sn_term(f->s, h)->op == SN_OP_REDUCE);
    return ncovered == nrow;
}

bool sn_fuse_take_row(SnFuse *f, SnRef r)
{
    const SnRef h = f->home[r];
    if (h == 0 || h == SN_FUSE_MANY || !sn_row_is_reduce(f->s, r) || !has_rows(f, h))
        return false;
    const int split = sn_row_split(f->s, r, &f->axes[r]);
    SnFuseRows *rows = &f->rows[h];
    if (split < 0 || rows->has_tail || rows->count == MAX_ROWS || (rows->count > 0 && rows->split != split) ||
        !covers(f, r, h, split))
        return false;
    const SnType *from = sn_type_of(f->s, sn_term(f->s, r)->arg[0]), *to = sn_type_of(f->s, h);
    const int nover = sn_attr(f->s, r, "axes")->u.ints.n;
    if (!is_short(f, nover, from->dims + from->ndim - nover, split == 0) ||
        !is_short(f, to->ndim - split, to->dims + split, split == 0))
        return false;
    *rows = (SnFuseRows){.count = (uint8_t)(rows->count + 1), .split = (uint8_t)split};
    return true;
}
