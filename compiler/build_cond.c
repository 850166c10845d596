/* build_cond.c -- cond, and what it makes of functions whose results differ in dims.
 *
 * A cond has one type. Where its functions give different dims, each result is widened to the larger in the
 * function and cut to what it is outside: the dim becomes `measure (where p THEN ELSE) max=(max THEN ELSE)`.
 * A function's dim that is measured inside of it is unknown outside, and refused. */
#include "compiler/build.h"

static bool is_measured(const SnStore *s, SnRef dim)
{
    const SnTerm *t = sn_term(s, dim);
    bool found = t->op == SN_OP_MEASURE;
    for (int i = 0; i < t->narg && !found; i++)
        found = is_measured(s, t->arg[i]);
    return found;
}

static bool dims_join(const SnStore *s, SnRef a, SnRef b)
{
    return sn_dim_equal(s, a, b) || (!is_measured(s, a) && !is_measured(s, b));
}

/* Can both be widened to one type? */
static bool types_join(const SnStore *s, SnTypeId a_id, SnTypeId b_id)
{
    const SnType *a = sn_type(s, a_id), *b = sn_type(s, b_id);
    bool ok = a->kind == b->kind && a->dtype == b->dtype && a->ndim == b->ndim && a->nchild == b->nchild;
    if (a->kind != SN_TYPE_TENSOR && a->kind != SN_TYPE_LIST && a->kind != SN_TYPE_TUPLE)
        return a_id == b_id;
    for (int i = 0; ok && i < a->ndim; i++)
        ok = dims_join(s, a->dims[i], b->dims[i]);
    for (int i = 0; ok && i < a->nchild; i++)
        ok = types_join(s, a->child[i], b->child[i]);
    return ok;
}

/* ---- in a function: widened ---- */

/* Axes as long as the larger of a and b; other dims are its own. What is added is cut off again: zeros, or
 * the last list once more. */
static SnValue widen_one(SnGraph *g, SnValue x, const SnType *a, const SnType *b)
{
    for (int i = 0; i < a->ndim && sn_graph_ok(g); i++) {
        if (sn_dim_equal(g->s, a->dims[i], b->dims[i]))
            continue;
        const SnValue most = sn_here(g, sn_dim_max(g->s, a->dims[i], b->dims[i]));
        const SnValue at = sn_iota(g, SN_I64, 0, 1, &most);
        int perm[SN_MAX_RANK];
        for (int k = 0; k < a->ndim; k++)
            perm[k] = k < i ? k + 1 : k == i ? 0 : k;
        x = sn_permute(g, sn_gather(g, x, 1, &i, &at, "clamp"), perm);
    }
    return x;
}

static SnValue widen(SnGraph *g, SnValue x, SnTypeId a_id, SnTypeId b_id)
{
    const SnType *a = sn_type(g->s, a_id), *b = sn_type(g->s, b_id);
    if (!sn_graph_ok(g) || a->kind == SN_TYPE_OBJECT)
        return x;
    if (a->kind != SN_TYPE_TUPLE)
        return widen_one(g, x, a, b);
    SnValue *child = sn_arena_array(sn_store_arena(g->s), (size_t)a->nchild + 1, sizeof *child);
    if (child == NULL)
        return sn_graph_no_memory(g);
    for (int i = 0; i < a->nchild; i++)
        child[i] = widen(g, sn_get(g, x, i), a->child[i], b->child[i]);
    return sn_tuple(g, a->nchild, child, a->names);
}

/* fn over the same operands, with its result as wide as that of both. */
static SnRef widened_fn(SnGraph *g, SnRef fn, const SnRef *operand, int n, SnTypeId a, SnTypeId b)
{
    SnRef *in = sn_arena_array(sn_store_arena(g->s), (size_t)n + 1, sizeof *in);
    if (in == NULL)
        return sn_graph_no_memory(g).ref;
    sn_fn_begin(g, "cond");
    in[0] = fn;
    for (int i = 0; i < n; i++)
        in[1 + i] = sn_fn_arg(g, sn_term(g->s, operand[i])->type).ref;
    const SnValue result = sn_make(g, SN_OP_CALL, NULL, 0, in, n + 1);
    return sn_fn_end(g, widen(g, result, a, b)).ref;
}

/* ---- outside: cut ---- */

static SnValue cut_one(SnGraph *g, SnValue p, SnValue x, const SnType *a, const SnType *b)
{
    SnValue start[SN_MAX_RANK], size[SN_MAX_RANK];
    bool is_same = true;
    for (int i = 0; i < a->ndim; i++) {
        const bool is_equal = sn_dim_equal(g->s, a->dims[i], b->dims[i]);
        start[i] = sn_const_int(g, SN_I64, 0);
        size[i] = sn_dim(g, x, i);
        if (!is_equal)
            size[i] = sn_measure(g, sn_where(g, p, sn_here(g, a->dims[i]), sn_here(g, b->dims[i])), size[i]);
        is_same = is_same && is_equal;
    }
    return is_same ? x : sn_slice(g, x, start, size, NULL);
}

static SnValue cut(SnGraph *g, SnValue p, SnValue x, SnTypeId a_id, SnTypeId b_id)
{
    const SnType *a = sn_type(g->s, a_id), *b = sn_type(g->s, b_id);
    if (!sn_graph_ok(g) || a->kind == SN_TYPE_OBJECT)
        return x;
    if (a->kind != SN_TYPE_TUPLE)
        return cut_one(g, p, x, a, b);
    SnValue *child = sn_arena_array(sn_store_arena(g->s), (size_t)a->nchild + 1, sizeof *child);
    if (child == NULL)
        return sn_graph_no_memory(g);
    for (int i = 0; i < a->nchild; i++)
        child[i] = cut(g, p, sn_get(g, x, i), a->child[i], b->child[i]);
    return sn_tuple(g, a->nchild, child, a->names);
}

static bool result_type(SnGraph *g, SnRef fn, const SnRef *operand, int n, SnTypeId *out)
{
    SnError err;
    SnRef *in = sn_arena_array(sn_store_arena(g->s), (size_t)n + 1, sizeof *in);
    if (in == NULL) {
        sn_graph_no_memory(g);
        return false;
    }
    in[0] = fn;
    memcpy(in + 1, operand, (size_t)n * sizeof *in);
    return sn_infer(g->s, SN_OP_CALL, 0, in, n + 1, out, &err) == SN_OK;
}

SnValue sn_make_cond(SnGraph *g, SnRef *in, int n)
{
    SnTypeId a = 0, b = 0;
    const bool is_known = sn_graph_ok(g) && result_type(g, in[1], in + 3, n - 3, &a) &&
                          result_type(g, in[2], in + 3, n - 3, &b);
    if (!is_known || sn_type_fits(g->s, a, b) || !types_join(g->s, a, b))
        return sn_make(g, SN_OP_COND, NULL, 0, in, n);
    for (int k = 1; k < 3; k++)
        in[k] = widened_fn(g, in[k], in + 3, n - 3, a, b);
    return cut(g, sn_here(g, in[0]), sn_make(g, SN_OP_COND, NULL, 0, in, n), a, b);
}
