/* grad_index.c -- gradients of reductions, prefixes, and of what moves elements to places that are computed:
 * what was taken from a place is added to it, and what was written there is taken from it. */
#include "compiler/grad.h"

static SnValue zeros_like(const SnGrad *x, SnValue v)
{
    return sn_grad_zeros(x, sn_term(x->s, v.ref)->type);
}

static int ints_of(const SnGrad *x, SnRef r, const char *name, int *out)
{
    const SnAttr *a = sn_attr(x->s, r, name);
    for (int i = 0; i < a->u.ints.n; i++)
        out[i] = (int)a->u.ints.at[i];
    return a->u.ints.n;
}

static SnValue unknown(const SnGrad *x, SnRef r, const char *fn)
{
    return sn_graph_fail(x->g, SN_EUNSUPPORTED, "grad: nothing is known of the gradient of %s %s",
                         sn_prim(sn_term(x->s, r)->op)->name, fn ? fn : "with a function");
}

/* ---- reductions ---- */

/* A value with the dims of the result of a reduction, as often as it was made of operands. */
static SnValue spread(const SnGrad *x, SnValue v, SnValue like, const int *axes, int n)
{
    SnValue dims[SN_MAX_RANK], unit[SN_MAX_RANK];
    const int rank = sn_dims(x->g, like, dims);
    memcpy(unit, dims, sizeof unit);
    for (int i = 0; i < n; i++)
        unit[axes[i]] = sn_grad_size(x, 1);
    return sn_broadcast(x->g, sn_reshape(x->g, v, rank, unit), rank, dims);
}

/* The product of all elements of the last axis before each, or behind it. */
static SnValue exclusive(const SnGrad *x, SnValue v, bool behind)
{
    SnGraph *g = x->g;
    const int axis = sn_rank(g, v) - 1;
    const SnValue one = sn_grad_size(x, 1), n = sn_dim(g, v, axis);
    SnValue lo[SN_MAX_RANK], hi[SN_MAX_RANK];
    for (int i = 0; i <= axis; i++)
        lo[i] = hi[i] = sn_grad_size(x, 0);
    (behind ? hi : lo)[axis] = one;
    const SnValue part = sn_slice_axis(g, v, axis, behind ? one : sn_grad_size(x, 0), sn_sub(g, n, one));
    const SnValue all = sn_pad(g, part, lo, hi, sn_const(g, sn_value_dtype(g, v), 1), NULL);
    return sn_scan(g, "mul", all, axis, behind);
}

/* The product of the others, exact where one is 0. */
static SnValue others(const SnGrad *x, SnValue a, const int *axes, int n)
{
    SnValue dims[SN_MAX_RANK], moved[SN_MAX_RANK], flat[SN_MAX_RANK];
    int perm[SN_MAX_RANK], back[SN_MAX_RANK], at = 0;
    const int rank = sn_dims(x->g, a, dims), lead = rank - n;
    for (int k = 0; k < rank; k++) {
        bool is_reduced = false;
        for (int i = 0; i < n; i++)
            is_reduced = is_reduced || axes[i] == k;
        if (!is_reduced)
            perm[at++] = k;
    }
    memcpy(perm + at, axes, (size_t)n * sizeof *axes);
    SnValue many = sn_grad_size(x, 1);
    for (int k = 0; k < rank; k++) {
        back[perm[k]] = k;
        moved[k] = flat[k] = dims[perm[k]];
        many = k >= lead ? sn_mul(x->g, many, moved[k]) : many;
    }
    flat[lead] = many;
    const SnValue rows = sn_reshape(x->g, sn_permute(x->g, a, perm), lead + 1, flat);
    const SnValue y = sn_mul(x->g, exclusive(x, rows, false), exclusive(x, rows, true));
    return sn_permute(x->g, sn_reshape(x->g, y, rank, moved), back);
}

SnValue sn_grad_reduce(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const char *fn = sn_attr_string(x->s, r, "fn");
    const SnValue a = sn_grad_in(x, r, i);
    int axes[SN_MAX_RANK];
    const int n = ints_of(x, r, "axes", axes);
    if (!fn || sn_term(x->s, r)->narg != 1)
        return unknown(x, r, NULL);
    const SnValue up = spread(x, d[0], a, axes, n);
    if (strcmp(fn, "add") == 0)
        return up;
    if (strcmp(fn, "mul") == 0)
        return sn_mul(g, up, others(x, a, axes, n));
    if (strcmp(fn, "max") != 0 && strcmp(fn, "min") != 0)
        return unknown(x, r, fn);
    const SnValue wins = sn_eq(g, a, spread(x, sn_here(g, r), a, axes, n));
    const SnValue one = sn_cast(g, wins, sn_value_dtype(g, a));
    const SnValue count = sn_reduce(g, "add", one, n, axes, false);
    return sn_where(g, wins, sn_div(g, up, spread(x, count, a, axes, n)), zeros_like(x, a));
}

/* ---- prefixes ---- */

/* Index tensors of all axes: `own` on one, each place itself on the others. */
static int along(const SnGrad *x, SnValue own, int axis, int *axes, SnValue *index)
{
    SnValue dims[SN_MAX_RANK];
    const int n = sn_dims(x->g, own, dims);
    for (int k = 0; k < n; k++) {
        axes[k] = k;
        index[k] = k == axis ? own : sn_iota(x->g, SN_I64, k, n, dims);
    }
    return n;
}

static SnValue add_along(const SnGrad *x, SnValue base, int axis, SnValue own, SnValue d)
{
    SnValue index[SN_MAX_RANK];
    int axes[SN_MAX_RANK];
    const int n = along(x, own, axis, axes, index);
    return sn_scatter(x->g, "add", base, n, axes, index, d);
}

static SnValue move_axis(const SnGrad *x, SnValue v, int from, int to)
{
    const int n = sn_rank(x->g, v);
    int perm[SN_MAX_RANK], at = 0;
    for (int k = 0; k < n; k++) {
        if (at == from)
            at++;
        perm[k] = k == to ? from : at++;
        if (k == to && at == from)
            at = from;
    }
    return sn_permute(x->g, v, perm);
}

/* s_k = d_k + a_(k+1) s_(k+1) over the rows of d and a, the last first. */
static SnValue recurrence(const SnGrad *x, SnValue d, SnValue a)
{
    SnGraph *g = x->g;
    SnType row = *sn_value_type(g, d);
    row.ndim--;
    memmove(row.dims, row.dims + 1, sizeof row.dims - sizeof *row.dims);
    const SnTypeId type = sn_type_make(x->s, &row), i64 = sn_type_scalar(x->s, SN_I64);
    const SnValue zero = sn_grad_zeros(x, type), count = sn_dim(g, d, 0);
    sn_fn_begin(g, "scan_mul_grad");
    (void)sn_fn_arg(g, i64);
    const SnValue s = sn_fn_arg(g, type), by = sn_fn_arg(g, type);
    const SnValue d_row = sn_fn_arg(g, type), a_row = sn_fn_arg(g, type);
    const SnValue next = sn_add(g, d_row, sn_mul(g, by, s));
    const SnValue body = sn_fn_end(g, sn_tuple(g, 3, (const SnValue[]){next, a_row, next}, NULL));
    const SnValue all = sn_loop(g, body, sn_none(), count, 2, (const SnValue[]){zero, zero}, 2,
                                (const SnValue[]){sn_flip(g, d, 1, &(int){0}), sn_flip(g, a, 1, &(int){0})});
    return sn_flip(g, sn_get(g, all, 2), 1, &(int){0});
}

static SnValue scan_mul(const SnGrad *x, SnValue a, SnValue d, int axis, bool reverse)
{
    SnGraph *g = x->g;
    SnValue rows = move_axis(x, a, axis, 0), up = move_axis(x, d, axis, 0);
    if (reverse) {
        rows = sn_flip(g, rows, 1, &(int){0});
        up = sn_flip(g, up, 1, &(int){0});
    }
    const int last = sn_rank(g, a) - 1;
    const SnValue before = move_axis(x, exclusive(x, move_axis(x, rows, 0, last), false), last, 0);
    SnValue y = sn_mul(g, before, recurrence(x, up, rows));
    if (reverse)
        y = sn_flip(g, y, 1, &(int){0});
    return move_axis(x, y, 0, axis);
}

SnValue sn_grad_scan(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const char *fn = sn_attr_string(x->s, r, "fn");
    const SnValue a = sn_grad_in(x, r, i);
    const int axis = (int)sn_attr_int(x->s, r, "axis", 0);
    const bool reverse = sn_attr_int(x->s, r, "reverse", 0) != 0;
    SnValue dims[SN_MAX_RANK];
    const int n = sn_dims(x->g, a, dims);
    if (!fn || sn_term(x->s, r)->narg != 1)
        return unknown(x, r, NULL);
    if (strcmp(fn, "add") == 0)
        return sn_scan(g, "add", d[0], axis, !reverse);
    if (strcmp(fn, "mul") == 0)
        return scan_mul(x, a, d[0], axis, reverse);
    if (strcmp(fn, "max") != 0 && strcmp(fn, "min") != 0)
        return unknown(x, r, fn);
    /* whoever was the last to reach the prefix's value has its gradient */
    const SnValue at = sn_iota(g, SN_I64, axis, n, dims), wins = sn_eq(g, a, sn_here(g, r));
    const SnValue never = reverse ? dims[axis] : sn_grad_size(x, -1);
    const SnValue who = sn_scan(g, reverse ? "min" : "max", sn_where(g, wins, at, never), axis, reverse);
    return add_along(x, zeros_like(x, a), axis, who, d[0]);
}

/* ---- gather and scatter ---- */

/* The index operands of a gather or scatter; where they are clamped, so. */
static int indices(const SnGrad *x, SnRef r, bool is_clamped, int *axes, SnValue *index)
{
    const int n = ints_of(x, r, "axes", axes);
    const SnValue a = sn_grad_in(x, r, 0);
    for (int k = 0; k < n; k++) {
        index[k] = sn_grad_in(x, r, 1 + k);
        if (is_clamped)
            index[k] = sn_min(x->g, sn_max(x->g, sn_cast(x->g, index[k], SN_I64), sn_grad_size(x, 0)),
                              sn_sub(x->g, sn_dim(x->g, a, axes[k]), sn_grad_size(x, 1)));
    }
    return n;
}

SnValue sn_grad_gather(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const char *oob = sn_attr_string(x->s, r, "oob");
    SnValue index[SN_MAX_RANK];
    int axes[SN_MAX_RANK];
    if (i > 0)
        return sn_none();
    const int n = indices(x, r, !oob || strcmp(oob, "clamp") == 0, axes, index);
    return sn_scatter(x->g, "add", zeros_like(x, sn_grad_in(x, r, 0)), n, axes, index, d[0]);
}

/* Which update wrote each place last: its number, as a tensor with the dims of the updates, and whether each
 * did. */
static SnValue is_winner(const SnGrad *x, SnValue base, SnValue updates, int n, const int *axes,
                         const SnValue *index)
{
    SnValue dims[SN_MAX_RANK];
    SnGraph *g = x->g;
    const int rank = sn_dims(x->g, updates, dims);
    SnValue many = sn_grad_size(x, 1);
    for (int k = 0; k < rank; k++)
        many = sn_mul(g, many, dims[k]);
    const SnValue number = sn_reshape(g, sn_iota(g, SN_I64, 0, 1, &many), rank, dims);
    const SnValue none = sn_cast(g, zeros_like(x, base), SN_I64);
    const SnValue last = sn_scatter(g, "set", none, n, axes, index, number);
    return sn_eq(g, sn_gather(g, last, n, axes, index, "zero"), number);
}

SnValue sn_grad_scatter(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const int narg = sn_term(x->s, r)->narg;
    const char *fn = sn_attr_string(x->s, r, "fn");
    const SnValue base = sn_grad_in(x, r, 0), updates = sn_grad_in(x, r, narg - 1);
    SnValue index[SN_MAX_RANK];
    int axes[SN_MAX_RANK];
    const int n = indices(x, r, false, axes, index);
    const SnValue taken = sn_gather(g, d[0], n, axes, index, "zero");
    if (i > 0 && i < narg - 1)
        return sn_none();
    if (strcmp(fn, "add") == 0)
        return i == 0 ? d[0] : taken;
    if (strcmp(fn, "set") == 0 && i == 0)
        return sn_scatter(g, "set", d[0], n, axes, index, zeros_like(x, updates));
    if (strcmp(fn, "set") == 0)
        return sn_where(g, is_winner(x, base, updates, n, axes, index), taken, zeros_like(x, updates));
    if (strcmp(fn, "mul") == 0)
        return i == 0 ? sn_scatter(g, "mul", d[0], n, axes, index, updates) : unknown(x, r, "mul");
    /* max, min: all that are equal to what came out share */
    const SnValue y = sn_here(g, r), won = sn_eq(g, updates, sn_gather(g, y, n, axes, index, "zero"));
    const SnDtype dtype = sn_value_dtype(g, base);
    const SnValue own = sn_cast(g, sn_eq(g, base, y), dtype);
    const SnValue count = sn_scatter(g, "add", own, n, axes, index, sn_cast(g, won, dtype));
    const SnValue share = sn_div(g, d[0], count);
    if (i == 0)
        return sn_mul(g, own, share);
    return sn_where(g, won, sn_gather(g, share, n, axes, index, "zero"), zeros_like(x, updates));
}

SnValue sn_grad_update(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    const SnValue value = sn_grad_in(x, r, 1);
    SnValue start[SN_MAX_RANK], dims[SN_MAX_RANK];
    const int n = sn_dims(x->g, value, dims);
    for (int k = 0; k < n; k++)
        start[k] = sn_grad_in(x, r, 2 + k);
    if (i > 1)
        return sn_none();
    return i == 0 ? sn_update(x->g, d[0], zeros_like(x, value), start)
                  : sn_slice(x->g, d[0], start, dims, NULL);
}

/* ---- order ---- */

/* The same sort with the places beside it says where each came from. */
SnValue sn_grad_sort(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnTerm *t = sn_term(x->s, r);
    const int axis = (int)sn_attr_int(x->s, r, "axis", 0), n = t->narg;
    const SnValue a = sn_grad_in(x, r, i);
    SnValue dims[SN_MAX_RANK];
    SnValue *in = sn_arena_array(x->p->arena, (size_t)n + 1, sizeof *in);
    if (!in || !d[i].ref)
        return in ? sn_none() : sn_graph_no_memory(g);
    for (int k = 0; k < n; k++)
        in[k] = sn_grad_in(x, r, k);
    const int rank = sn_dims(x->g, a, dims);
    in[n] = sn_iota(g, SN_I64, axis, rank, dims);
    const SnValue sorted = sn_sort(g, n + 1, in, (int)sn_attr_int(x->s, r, "nkeys", 1), axis,
                                   sn_attr_int(x->s, r, "desc", 0) != 0, sn_attr_int(x->s, r, "limit", 0));
    return add_along(x, zeros_like(x, a), axis, sn_get(g, sorted, n), d[i]);
}

SnValue sn_grad_compact(const SnGrad *x, SnRef r, const SnValue *d, int i)
{
    SnGraph *g = x->g;
    const SnValue a = sn_grad_in(x, r, 0), rows = sn_dim(g, a, 0);
    const SnRef in[] = {sn_iota(g, SN_I64, 0, 1, &rows).ref, sn_grad_in(x, r, 1).ref,
                        sn_grad_in(x, r, 2).ref};
    if (i > 0 || !in[0])
        return sn_none();
    const SnValue from = sn_make(g, SN_OP_COMPACT, NULL, 0, in, 3);
    return sn_scatter(g, "add", zeros_like(x, a), 1, &(int){0}, &from, d[0]);
}
