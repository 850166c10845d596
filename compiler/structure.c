/* structure.c -- shape rules of tuples, functions, loops, entries and lists.
 *
 * The dims of a function are its own: at a use its parameter types are unified with the operand types, and
 * its result type is that of the body under this binding. A measure in the result of a call becomes the
 * measure of what the operands make of it: the term that inlining will give. */
#include "compiler/infer.h"

#include <inttypes.h>
#include <stdio.h>

static SnTypeId operand_type(const SnInfer *x, int i)
{
    return sn_term(x->s, x->arg[i])->type;
}

static bool is_none(const SnInfer *x, int i)
{
    return sn_term(x->s, x->arg[i])->op == SN_OP_NONE;
}

static SnTypeId *type_array(const SnInfer *x, int n)
{
    return (SnTypeId *)sn_arena_array(sn_store_arena(x->s), (size_t)n, sizeof(SnTypeId));
}

static SnStatus no_memory(const SnInfer *x)
{
    return sn_fail(x->err, SN_ENOMEM, "no memory for terms");
}

/* ---- tuples ---- */

SnStatus sn_infer_tuple(const SnInfer *x)
{
    const SnAttr *names = sn_attrs_find(x->s, x->attr, "names");
    SnTypeId *child = type_array(x, x->narg);
    if (child == NULL)
        return no_memory(x);
    if (names != NULL && (names->kind != SN_ATTR_NAMES || names->u.names.n != x->narg))
        return sn_infer_fail(x, "names do not fit %d operands", x->narg);
    for (int i = 0; i < x->narg; i++)
        child[i] = operand_type(x, i);
    return sn_infer_done(x, sn_type_tuple(x->s, x->narg, child, names != NULL ? names->u.names.at : NULL));
}

SnStatus sn_infer_get(const SnInfer *x)
{
    const SnType *t = sn_infer_type(x, 0);
    const int64_t i = sn_infer_int(x, "index", -1);
    if (t->kind == SN_TYPE_TUPLE) {
        if (i < 0 || i >= t->nchild)
            return sn_infer_expect(x, 0, "a child %" PRId64, i);
        *x->out = t->child[i];
        return SN_OK;
    }
    if (t->kind != SN_TYPE_LIST || i < 0 || i > 2)
        return sn_infer_expect(x, 0, "a tuple, or a list and index 0, 1 or 2");
    if (i < 2)
        return sn_infer_done(x, sn_type_tensor(x->s, SN_I64, t->ndim, t->dims));
    if (t->bound == 0)
        return sn_infer_expect(x, 0, "a list with a capacity (max=)");
    return sn_infer_done(x, sn_type_tensor(x->s, t->dtype, 1, &t->bound));
}

/* ---- functions ---- */

SnStatus sn_infer_fn(const SnInfer *x)
{
    SnTypeId *child = type_array(x, x->narg);
    if (child == NULL)
        return no_memory(x);
    for (int i = 0; i < x->narg; i++) {
        child[i] = operand_type(x, i);
        if (i > 0 &&
            (sn_term(x->s, x->arg[i])->op != SN_OP_ARG || sn_attr_int(x->s, x->arg[i], "index", -1) != i - 1))
            return sn_infer_expect(x, i, "parameter %d", i - 1);
    }
    const SnType t = {.kind = SN_TYPE_FN, .nchild = x->narg, .child = child};
    return sn_infer_done(x, sn_type_make(x->s, &t));
}

/* A function applied to operand types and, where they are known, operands. */
typedef struct Apply {
    const SnInfer *x;
    SnRef fn;
    const SnRef *arg; /* NULL: only types are known */
    const SnTypeId *type;
    int n;
    SnBindings b;
    SnStatus st;
} Apply;

static bool dim_mentions(const SnStore *s, SnRef dim, SnRef measure)
{
    const SnTerm *t = sn_term(s, dim);
    if (dim == measure)
        return true;
    for (int i = 0; sn_is_dim(s, dim) && t->op != SN_OP_MEASURE && i < t->narg; i++)
        if (dim_mentions(s, t->arg[i], measure))
            return true;
    return false;
}

static SnRef bind_measured(Apply *a, SnRef dim)
{
    SnStore *s = a->x->s;
    const SnTerm *fn = sn_term(s, a->fn);
    SnArena arena;
    SnSubst sub;
    SnRef out = 0;
    sn_arena_init(&arena, sn_allocator(sn_store_context(s)));
    a->st = sn_subst_begin(&sub, s, &arena, a->x->err);
    if (a->st == SN_OK) {
        for (int i = 0; i < a->b.n; i++)
            sub.map[a->b.symbol[i]] = a->b.value[i];
        for (int i = 1; i < fn->narg; i++)
            sub.map[fn->arg[i]] = a->arg[i - 1];
        a->st = sn_subst(&sub, dim, &out, a->x->err);
    }
    sn_arena_clear(&arena);
    return a->st == SN_OK ? out : 0;
}

static bool type_mentions(const SnStore *s, SnTypeId id, SnRef measure)
{
    const SnType *t = sn_type(s, id);
    for (int i = 0; i < t->ndim; i++)
        if (dim_mentions(s, t->dims[i], measure))
            return true;
    for (int i = 0; i < t->nchild; i++)
        if (type_mentions(s, t->child[i], measure))
            return true;
    return t->bound != 0 && dim_mentions(s, t->bound, measure);
}

/* Does the function measure something of its own? A measure that its operands have was taken outside: bodies
 * in the dims of their call site name those. */
static bool has_own_measure(const Apply *a, SnRef dim)
{
    const SnStore *s = a->x->s;
    const SnTerm *t = sn_term(s, dim);
    if (t->op == SN_OP_MEASURE) {
        bool is_outer = false;
        for (int i = 0; i < a->n && !is_outer; i++)
            is_outer = type_mentions(s, a->type[i], dim);
        return !is_outer;
    }
    for (int i = 0; sn_is_dim(s, dim) && i < t->narg; i++)
        if (has_own_measure(a, t->arg[i]))
            return true;
    return false;
}

static SnRef apply_dim(void *self, SnRef dim)
{
    Apply *a = (Apply *)self;
    if (!has_own_measure(a, dim))
        return sn_dim_bind(a->x->s, dim, &a->b);
    if (a->arg != NULL)
        return bind_measured(a, dim);
    a->st = sn_infer_fail(a->x, "the result of the function has a measured dim, which cannot leave it");
    return 0;
}

/* The result type of function operand f for n operands of these types. */
static SnStatus apply_fn(const SnInfer *x, int f, const SnTypeId *types, const SnRef *arg, int n,
                         SnTypeId *result)
{
    const SnType *t = sn_infer_type(x, f);
    Apply a = {.x = x, .fn = x->arg[f], .arg = arg, .type = types, .n = n};
    int bad = 0;
    if (t->kind != SN_TYPE_FN || sn_term(x->s, x->arg[f])->op != SN_OP_FN)
        return sn_infer_expect(x, f, "a function");
    if (t->nchild - 1 != n)
        return sn_infer_expect(x, f, "a function of %d parameters", n);
    const SnStatus st = sn_types_unify(x->s, t->child + 1, types, n, &a.b, &bad, x->err);
    if (st != SN_OK) {
        char where[48];
        snprintf(where, sizeof where, "%s: argument %d of operand %d", sn_prim(x->op)->name, bad + 1, f + 1);
        return sn_fail_in(x->err, st, where);
    }
    const SnTypeId applied = sn_type_map_dims(x->s, t->child[0], apply_dim, &a);
    SN_TRY(a.st);
    if (applied == 0 && t->child[0] != 0)
        return sn_infer_done(x, 0);
    *result = applied;
    return SN_OK;
}

static SnTypeId *operand_types(const SnInfer *x, int first)
{
    SnTypeId *types = type_array(x, x->narg - first + 1);
    for (int i = first; types != NULL && i < x->narg; i++)
        types[i - first] = operand_type(x, i);
    return types;
}

SnStatus sn_infer_call(const SnInfer *x)
{
    const SnTypeId *types = operand_types(x, 1);
    return types == NULL ? no_memory(x) : apply_fn(x, 0, types, x->arg + 1, x->narg - 1, x->out);
}

SnStatus sn_infer_cond(const SnInfer *x)
{
    const SnTypeId *types = operand_types(x, 3);
    SnTypeId a, b;
    if (types == NULL)
        return no_memory(x);
    if (!sn_infer_is_scalar(x, 0, SN_BOOL))
        return sn_infer_expect(x, 0, "a bool scalar");
    SN_TRY(apply_fn(x, 1, types, NULL, x->narg - 3, &a));
    SN_TRY(apply_fn(x, 2, types, NULL, x->narg - 3, &b));
    if (!sn_type_fits(x->s, a, b))
        return sn_fail_in(x->err, sn_type_mismatch(x->s, a, b, x->err), "cond: results of the two functions");
    *x->out = a;
    return SN_OK;
}

SnStatus sn_infer_grad(const SnInfer *x)
{
    const SnTypeId *types = operand_types(x, 1);
    const SnAttr *wrt = sn_attrs_find(x->s, x->attr, "wrt");
    SnTypeId result[2];
    if (types == NULL)
        return no_memory(x);
    if (wrt == NULL || wrt->kind != SN_ATTR_INTS)
        return sn_infer_fail(x, "attribute wrt is missing");
    SN_TRY(apply_fn(x, 0, types, x->arg + 1, x->narg - 1, &result[0]));
    SnTypeId *child = type_array(x, wrt->u.ints.n);
    if (child == NULL)
        return no_memory(x);
    for (int i = 0; i < wrt->u.ints.n; i++) {
        const int64_t k = wrt->u.ints.at[i];
        if (k < 0 || k >= x->narg - 1)
            return sn_infer_fail(x, "wrt names operand %" PRId64 " of %d", k, x->narg - 1);
        child[i] = types[k];
    }
    result[1] = sn_type_tuple(x->s, wrt->u.ints.n, child, NULL);
    if (result[1] == 0)
        return sn_infer_done(x, 0);
    return sn_infer_done(x, sn_type_tuple(x->s, 2, result, NULL));
}

/* ---- reduce and scan with a function: (function, xs..., inits...) ---- */

static SnTypeId combined_type(const SnInfer *x, int i)
{
    const SnAttr *axes = sn_attrs_find(x->s, x->attr, "axes");
    const SnType *t = sn_infer_type(x, i);
    SnRef dims[SN_MAX_RANK];
    int n = 0;
    if (x->op == SN_OP_SCAN)
        return operand_type(x, i);
    for (int k = 0; k < t->ndim; k++) {
        bool reduced = false;
        for (int j = 0; j < axes->u.ints.n; j++)
            reduced = reduced || axes->u.ints.at[j] == k;
        if (!reduced || sn_infer_int(x, "keep", 0) != 0)
            dims[n++] = reduced ? sn_const_i64(x->s, 1) : t->dims[k];
    }
    return sn_type_tensor(x->s, t->dtype, n, dims);
}

/* prims.c has checked the axes against the first x. */
SnStatus sn_infer_combine(const SnInfer *x)
{
    const int n = (x->narg - 1) / 2;
    SnTypeId *scalar = type_array(x, 2 * n), *result = type_array(x, n), combined;
    if (scalar == NULL || result == NULL)
        return no_memory(x);
    if (n == 0 || x->narg != 1 + 2 * n)
        return sn_infer_fail(x, "%d operands: expected a function, then as many initial values as tensors",
                             x->narg);
    for (int i = 0; i < n; i++) {
        const SnType *t = sn_infer_type(x, 1 + i), *first = sn_infer_type(x, 1);
        SnType like = *t;
        like.dtype = first->dtype;
        if (t->kind != SN_TYPE_TENSOR || !sn_type_fits(x->s, operand_type(x, 1), sn_type_make(x->s, &like)))
            return sn_infer_expect(x, 1 + i, "a tensor with the dims of operand 2");
        if (!sn_infer_is_scalar(x, 1 + n + i, t->dtype))
            return sn_infer_expect(x, 1 + n + i, "a scalar of %s", sn_dtype(t->dtype)->name);
        scalar[i] = scalar[n + i] = sn_type_scalar(x->s, t->dtype);
        result[i] = combined_type(x, 1 + i);
    }
    SN_TRY(apply_fn(x, 0, scalar, NULL, 2 * n, &combined));
    const SnTypeId want = n == 1 ? scalar[0] : sn_type_tuple(x->s, n, scalar, NULL);
    if (combined != want)
        return sn_fail_in(x->err, sn_type_mismatch(x->s, want, combined, x->err), "result of the combiner");
    return sn_infer_done(x, n == 1 ? result[0] : sn_type_tuple(x->s, n, result, NULL));
}

/* ---- loop ---- */

/* (body, while, bound, carried..., scanned..., captured...) */
typedef struct LoopParts {
    int ncarry, nscan, ncapture;
} LoopParts;

#define LOOP_FIRST 3

static SnTypeId row_type(const SnInfer *x, int i)
{
    SnType t = *sn_infer_type(x, i);
    t.ndim--;
    memmove(t.dims, t.dims + 1, (size_t)t.ndim * sizeof *t.dims);
    return sn_type_make(x->s, &t);
}

static SnStatus stacked_type(const SnInfer *x, SnTypeId row, SnTypeId *out)
{
    SnType t = *sn_type(x->s, row);
    if ((t.kind != SN_TYPE_TENSOR && t.kind != SN_TYPE_LIST) || t.ndim == SN_MAX_RANK)
        return sn_infer_fail(x, "a row must be a tensor or list of rank %d at most", SN_MAX_RANK - 1);
    if (is_none(x, 2))
        return sn_infer_fail(x, "a loop that stacks rows needs a bound");
    if (t.kind == SN_TYPE_LIST && t.bound == 0)
        return sn_infer_fail(x, "a list that is stacked needs a capacity (max=)");
    memmove(t.dims + 1, t.dims, (size_t)t.ndim * sizeof *t.dims);
    t.dims[0] = x->arg[2];
    t.ndim++;
    if (t.kind == SN_TYPE_LIST)
        t.bound = sn_dim_mul(x->s, t.bound, x->arg[2]);
    *out = sn_type_make(x->s, &t);
    return SN_OK;
}

static bool has_open_list(const SnStore *s, SnTypeId id)
{
    const SnType *t = sn_type(s, id);
    if (t->kind == SN_TYPE_LIST)
        return t->bound == 0;
    for (int i = 0; t->kind == SN_TYPE_TUPLE && i < t->nchild; i++)
        if (has_open_list(s, t->child[i]))
            return true;
    return false;
}

static SnStatus check_loop_operands(const SnInfer *x, LoopParts *p)
{
    const int64_t ncarry = sn_infer_int(x, "ncarry", 0), nscan = sn_infer_int(x, "nscan", 0);
    const int rest = x->narg - LOOP_FIRST;
    if (ncarry < 0 || nscan < 0 || ncarry > rest || nscan > rest - ncarry)
        return sn_infer_fail(x, "%" PRId64 " carried and %" PRId64 " scanned of %d operands", ncarry, nscan,
                             rest);
    *p = (LoopParts){(int)ncarry, (int)nscan, rest - (int)ncarry - (int)nscan};
    if (!is_none(x, 2))
        SN_TRY(sn_infer_dims(x, 2, 1));
    for (int i = LOOP_FIRST; i < LOOP_FIRST + p->ncarry; i++)
        if (has_open_list(x->s, operand_type(x, i)))
            return sn_infer_expect(x, i, "a capacity (max=) on every list that is carried");
    for (int i = LOOP_FIRST + p->ncarry; i < LOOP_FIRST + p->ncarry + p->nscan; i++) {
        const SnType *t = sn_infer_type(x, i);
        if ((t->kind != SN_TYPE_TENSOR && t->kind != SN_TYPE_LIST) || t->ndim == 0)
            return sn_infer_expect(x, i, "a tensor or list with rows");
    }
    return SN_OK;
}

/* Operand types as body (with_rows) or while see them: i, carried, rows, captured. */
static SnTypeId *loop_arg_types(const SnInfer *x, const LoopParts *p, bool with_rows, int *n)
{
    SnTypeId *types = type_array(x, x->narg);
    const int scan_end = LOOP_FIRST + p->ncarry + p->nscan;
    if (types == NULL)
        return NULL;
    types[0] = sn_type_scalar(x->s, SN_I64);
    *n = 1;
    for (int i = LOOP_FIRST; i < x->narg; i++) {
        const bool is_row = i >= LOOP_FIRST + p->ncarry && i < scan_end;
        if (!is_row || with_rows)
            types[(*n)++] = is_row ? row_type(x, i) : operand_type(x, i);
    }
    return types;
}

static SnStatus check_while(const SnInfer *x, const LoopParts *p)
{
    SnTypeId result;
    int n;
    if (is_none(x, 1))
        return SN_OK;
    const SnTypeId *types = loop_arg_types(x, p, false, &n);
    if (types == NULL)
        return no_memory(x);
    SN_TRY(apply_fn(x, 1, types, NULL, n, &result));
    return result == sn_type_scalar(x->s, SN_BOOL) ? SN_OK
                                                   : sn_infer_expect(x, 1, "a function that gives bool");
}

SnStatus sn_infer_loop(const SnInfer *x)
{
    LoopParts p;
    SnTypeId body;
    int n;
    SN_TRY(check_loop_operands(x, &p));
    SN_TRY(check_while(x, &p));
    const SnTypeId *types = loop_arg_types(x, &p, true, &n);
    if (types == NULL)
        return no_memory(x);
    SN_TRY(apply_fn(x, 0, types, NULL, n, &body));
    const SnType *t = sn_type(x->s, body);
    if (t->kind != SN_TYPE_TUPLE || t->nchild < p.ncarry)
        return sn_infer_expect(x, 0, "a function that gives a tuple of %d carried values, then rows",
                               p.ncarry);
    SnTypeId *result = type_array(x, t->nchild + 1);
    if (result == NULL)
        return no_memory(x);
    for (int i = 0; i < p.ncarry; i++) {
        result[i] = operand_type(x, LOOP_FIRST + i);
        if (sn_type_fits(x->s, result[i], t->child[i]))
            continue;
        char where[40];
        snprintf(where, sizeof where, "loop: carried value %d", i + 1);
        return sn_fail_in(x->err, sn_type_mismatch(x->s, result[i], t->child[i], x->err), where);
    }
    for (int i = p.ncarry; i < t->nchild; i++)
        SN_TRY(stacked_type(x, t->child[i], &result[i]));
    result[t->nchild] = sn_type_scalar(x->s, SN_I64);
    return sn_infer_done(x, sn_type_tuple(x->s, t->nchild + 1, result, NULL));
}

SnRef sn_stacking_loop(const SnStore *s, SnRef value)
{
    const SnTerm *t = sn_term(s, value);
    if (t->op != SN_OP_GET || sn_term(s, t->arg[0])->op != SN_OP_LOOP)
        return 0;
    const int64_t i = sn_attr_int(s, value, "index", 0), ncarry = sn_attr_int(s, t->arg[0], "ncarry", 0);
    return i >= ncarry && i + 1 < sn_type_of(s, t->arg[0])->nchild ? t->arg[0] : 0;
}

/* ---- entries ---- */

bool sn_entry_streams(const SnStore *s, SnRef entry, const char *result)
{
    const SnAttr *streams = sn_attr(s, entry, "streams");
    for (int i = 0; streams != NULL && i < streams->u.names.n; i++)
        if (strcmp(streams->u.names.at[i], result) == 0)
            return true;
    return false;
}

SnStatus sn_infer_entry(const SnInfer *x)
{
    if (sn_infer_type(x, 0)->kind != SN_TYPE_TUPLE)
        return sn_infer_expect(x, 0, "a tuple of results");
    if (x->narg % 2 == 0)
        return sn_infer_fail(x, "%d operands: expected results, then pairs of a carry and its next value",
                             x->narg);
    for (int i = 1; i < x->narg; i += 2) {
        const SnTypeId want = operand_type(x, i), found = operand_type(x, i + 1);
        if (sn_term(x->s, x->arg[i])->op != SN_OP_CARRY)
            return sn_infer_expect(x, i, "a carry");
        if (!sn_type_fits(x->s, want, found))
            return sn_fail_in(x->err, sn_type_mismatch(x->s, want, found, x->err),
                              sn_attr_string(x->s, x->arg[i], "name"));
    }
    *x->out = operand_type(x, 0);
    return SN_OK;
}

SnStatus sn_infer_program(const SnInfer *x)
{
    for (int i = 0; i < x->narg; i++)
        if (sn_term(x->s, x->arg[i])->op != SN_OP_ENTRY)
            return sn_infer_expect(x, i, "an entry");
    *x->out = 0;
    return SN_OK;
}

/* ---- lists ---- */

SnStatus sn_infer_list(const SnInfer *x)
{
    const SnType *start = sn_infer_type(x, 0), *child = sn_infer_type(x, 2);
    if (start->kind != SN_TYPE_TENSOR || start->dtype != SN_I64)
        return sn_infer_expect(x, 0, "starts: an i64 tensor");
    if (!sn_type_fits(x->s, operand_type(x, 0), operand_type(x, 1)))
        return sn_infer_expect(x, 1, "lengths: an i64 tensor with the dims of operand 1");
    if (child->kind != SN_TYPE_TENSOR || child->ndim != 1)
        return sn_infer_expect(x, 2, "a tensor of rank 1");
    return sn_infer_done(x, sn_type_list(x->s, child->dtype, start->ndim, start->dims, child->dims[0]));
}

static SnStatus want_flat_list(const SnInfer *x)
{
    const SnType *t = sn_infer_type(x, 0);
    return t->kind == SN_TYPE_LIST && t->ndim == 1 ? SN_OK : sn_infer_expect(x, 0, "a list of rank 1");
}

SnStatus sn_infer_offsets(const SnInfer *x)
{
    SN_TRY(want_flat_list(x));
    const SnRef n = sn_dim_add(x->s, sn_infer_type(x, 0)->dims[0], sn_const_i64(x->s, 1));
    return sn_infer_done(x, sn_type_tensor(x->s, SN_I64, 1, &n));
}

SnStatus sn_infer_values(const SnInfer *x)
{
    SN_TRY(want_flat_list(x));
    SN_TRY(sn_infer_dims(x, 1, 1));
    return sn_infer_done(x, sn_type_tensor(x->s, sn_infer_type(x, 0)->dtype, 1, &x->arg[1]));
}
