/* rules_tensor.c -- movement that moves nothing, movement of movement, taking apart what was just put
 * together. */
#include "compiler/rewrite.h"

#include "compiler/type.h"

static const int64_t *ints_of(const SnStore *s, SnRef r, const char *name, int *n)
{
    const SnAttr *a = sn_attr(s, r, name);
    *n = a != NULL && a->kind == SN_ATTR_INTS ? a->u.ints.n : 0;
    return *n > 0 ? a->u.ints.at : NULL;
}

static bool is_zero(const SnStore *s, SnRef dim)
{
    int64_t v;
    return sn_is_const_i64(s, dim, &v) && v == 0;
}

static bool all_are(const int64_t *at, int n, int64_t v)
{
    for (int i = 0; i < n; i++)
        if (at[i] != v)
            return false;
    return true;
}

/* ---- nothing happens: the type stays, which the rewriter checks ---- */

static bool same_type(const SnMatch *m)
{
    return sn_type_fits(m->s, sn_term(m->s, m->root)->type, sn_term(m->s, sn_match_var(m, 'x'))->type);
}

static bool keeps_order(const SnMatch *m)
{
    int n;
    const int64_t *perm = ints_of(m->s, m->root, "perm", &n);
    for (int i = 0; i < n; i++)
        if (perm[i] != i)
            return false;
    return true;
}

static bool takes_all(const SnMatch *m)
{
    int n;
    const int64_t *steps = ints_of(m->s, m->root, "steps", &n);
    return all_are(steps, n, 1) && same_type(m);
}

static bool adds_nothing(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    int n;
    const int64_t *interior = ints_of(m->s, m->root, "interior", &n);
    for (int i = 1; i + 1 < t->narg; i++)
        if (!is_zero(m->s, t->arg[i]))
            return false;
    return all_are(interior, n, 0);
}

/* Flipping axes of one element. */
static bool flips_nothing(const SnMatch *m)
{
    const SnType *t = sn_type_of(m->s, m->root);
    int n;
    int64_t dim;
    const int64_t *axes = ints_of(m->s, m->root, "axes", &n);
    for (int i = 0; i < n; i++)
        if (!sn_is_const_i64(m->s, t->dims[axes[i]], &dim) || dim > 1)
            return false;
    return true;
}

/* ---- movement of movement ---- */

/* The same op with the same dims, straight from ?x. */
static SnRef skip_inner(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    SnRef arg[1 + SN_MAX_RANK] = {sn_match_var(m, 'x')};
    for (int i = 1; i < t->narg; i++)
        arg[i] = t->arg[i];
    return sn_match_build(m, t->op, t->attr, arg, t->narg);
}

static SnRef join_permutes(const SnMatch *m)
{
    int64_t joined[SN_MAX_RANK];
    int n;
    const int64_t *outer = ints_of(m->s, m->root, "perm", &n);
    const int64_t *inner = ints_of(m->s, sn_term(m->s, m->root)->arg[0], "perm", &n);
    for (int i = 0; i < n; i++)
        joined[i] = inner[outer[i]];
    const SnRef x = sn_match_var(m, 'x');
    return sn_match_build(m, SN_OP_PERMUTE, sn_attrs_make(m->s, &SN_INTS("perm", joined, n), 1), &x, 1);
}

static bool same_axes(const SnMatch *m)
{
    const SnRef inner = sn_term(m->s, m->root)->arg[0];
    int n, ninner;
    const int64_t *a = ints_of(m->s, m->root, "axes", &n), *b = ints_of(m->s, inner, "axes", &ninner);
    uint32_t outer_set = 0, inner_set = 0;
    for (int i = 0; i < n; i++)
        outer_set |= 1u << a[i];
    for (int i = 0; i < ninner; i++)
        inner_set |= 1u << b[i];
    return outer_set == inner_set;
}

/* Starts in range that no clamp changes; a step of 1. false also where they are not constants. */
static bool plain_slice(const SnStore *s, SnRef r, int64_t *start)
{
    const SnTerm *t = sn_term(s, r);
    const SnType *from = sn_type_of(s, t->arg[0]);
    int n;
    const int64_t *steps = ints_of(s, r, "steps", &n);
    if (!all_are(steps, n, 1))
        return false;
    for (int i = 0; i < from->ndim; i++) {
        int64_t dim, size;
        if (!sn_is_const_i64(s, t->arg[1 + i], &start[i]) || !sn_is_const_i64(s, from->dims[i], &dim) ||
            !sn_is_const_i64(s, t->arg[1 + from->ndim + i], &size) || start[i] < 0 || start[i] > dim - size)
            return false;
    }
    return true;
}

static SnRef join_slices(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    const int rank = sn_type_of(m->s, m->root)->ndim;
    int64_t outer[SN_MAX_RANK], inner[SN_MAX_RANK];
    SnRef arg[1 + 2 * SN_MAX_RANK] = {sn_match_var(m, 'x')};
    if (!plain_slice(m->s, m->root, outer) || !plain_slice(m->s, t->arg[0], inner))
        return 0;
    for (int i = 0; i < rank; i++) {
        arg[1 + i] = sn_const_i64(m->s, outer[i] + inner[i]);
        arg[1 + rank + i] = t->arg[1 + rank + i];
    }
    return sn_match_build(m, SN_OP_SLICE, 0, arg, 1 + 2 * rank);
}

/* ---- elementwise ops of broadcasts are broadcasts of smaller elementwise ops ---- */

/* All operands are constants, or broadcasts of one type; at least one is such a broadcast that repeats. */
static SnRef lift_broadcast(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    const SnType *inner = NULL, *whole = sn_type_of(m->s, m->root);
    SnRef arg[3], back[1 + SN_MAX_RANK];
    SnScalar v;
    for (int i = 0; i < t->narg; i++) {
        const SnTerm *x = sn_term(m->s, t->arg[i]);
        if (sn_is_splat(m->s, t->arg[i], NULL))
            continue;
        const SnType *from = x->op == SN_OP_BROADCAST ? sn_type_of(m->s, x->arg[0]) : NULL;
        if (from == NULL || (inner != NULL && (inner->ndim != from->ndim ||
                                               memcmp(inner->dims, from->dims, sizeof from->dims) != 0)))
            return 0;
        inner = from;
    }
    if (inner == NULL)
        return 0;
    for (int i = 0; i < t->narg; i++) {
        SnType small = *inner;
        small.dtype = sn_dtype_of(m->s, t->arg[i]);
        if (!sn_is_splat(m->s, t->arg[i], &v)) {
            arg[i] = sn_term(m->s, t->arg[i])->arg[0];
            continue;
        }
        SnRef splat[1 + SN_MAX_RANK] = {sn_const_scalar(m->s, small.dtype, v)};
        memcpy(splat + 1, small.dims, (size_t)small.ndim * sizeof *splat);
        arg[i] = small.ndim > 0 ? sn_match_build(m, SN_OP_BROADCAST, 0, splat, 1 + small.ndim) : splat[0];
    }
    back[0] = sn_match_build(m, t->op, t->attr, arg, t->narg);
    memcpy(back + 1, whole->dims, (size_t)whole->ndim * sizeof *back);
    return sn_match_build(m, SN_OP_BROADCAST, 0, back, 1 + whole->ndim);
}

/* ---- reductions of single elements ---- */

/* Axes of one element, or none. A float sum stays: it turns -0 into 0. */
static SnRef reduce_single(const SnMatch *m)
{
    const SnRef x = sn_match_var(m, 'x');
    const SnType *t = sn_type_of(m->s, x), *to = sn_type_of(m->s, m->root);
    const char *fn = sn_attr_string(m->s, m->root, "fn");
    const bool is_float_sum = sn_dtype_is_float(t->dtype) && strcmp(fn, "add") == 0;
    int n;
    int64_t dim;
    const int64_t *axes = ints_of(m->s, m->root, "axes", &n);
    if (strcmp(fn, "fn") == 0 || is_float_sum)
        return 0;
    for (int i = 0; i < n; i++)
        if (!sn_is_const_i64(m->s, t->dims[axes[i]], &dim) || dim != 1)
            return 0;
    SnRef arg[1 + SN_MAX_RANK] = {x};
    memcpy(arg + 1, to->dims, (size_t)to->ndim * sizeof *arg);
    return sn_match_build(m, SN_OP_RESHAPE, 0, arg, 1 + to->ndim);
}

/* ---- structure ---- */

static SnRef get_operand(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, sn_term(m->s, m->root)->arg[0]);
    const int64_t i = sn_attr_int(m->s, m->root, "index", -1);
    return i >= 0 && i < t->narg ? t->arg[i] : 0;
}

/* tuple (get t 0) (get t 1) ... is t, if it has the same children and names. */
static SnRef whole_tuple(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    SnRef whole = 0;
    for (int i = 0; i < t->narg; i++) {
        const SnTerm *x = sn_term(m->s, t->arg[i]);
        if (x->op != SN_OP_GET || sn_attr_int(m->s, t->arg[i], "index", -1) != i ||
            (i > 0 && x->arg[0] != whole))
            return 0;
        whole = x->arg[0];
    }
    return whole != 0 && sn_term(m->s, whole)->type == t->type ? whole : 0;
}

/* A list of its own parts. */
static bool is_whole_list(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    for (int i = 0; i < 3; i++)
        if (sn_attr_int(m->s, t->arg[i], "index", -1) != i)
            return false;
    return true;
}

/* A branch that is known: (p, then, else, args...). */
static SnRef take_branch(const SnMatch *m)
{
    const SnTerm *t = sn_term(m->s, m->root);
    SnScalar p;
    if (!sn_is_splat(m->s, t->arg[0], &p))
        return 0;
    SnRef *arg = (SnRef *)sn_arena_array(sn_store_arena(m->s), t->narg, sizeof *arg);
    if (arg == NULL)
        return 0;
    arg[0] = t->arg[p.i != 0 ? 1 : 2];
    for (int i = 3; i < t->narg; i++)
        arg[i - 2] = t->arg[i];
    return sn_match_build(m, SN_OP_CALL, 0, arg, t->narg - 2);
}

/* The value replaces all of the base. */
static bool updates_all(const SnMatch *m)
{
    return sn_type_fits(m->s, sn_term(m->s, m->root)->type, sn_term(m->s, sn_match_var(m, 'v'))->type);
}

/* ---- the table ---- */

/* clang-format off */
const SnRule sn_rules_tensor[] = {
    {"(reshape ?x ..)", "?x", .when = same_type},
    {"(reshape (reshape ?x ..) ..)", .make = skip_inner},
    {"(broadcast ?x ..)", "?x", .when = same_type},
    {"(broadcast (broadcast ?x ..) ..)", .make = skip_inner},
    {"(permute ?x)", "?x", .when = keeps_order},
    {"(permute (permute ?x))", .make = join_permutes},
    {"(slice ?x ..)", "?x", .when = takes_all},
    {"(slice (slice ?x ..) ..)", .make = join_slices},
    {"(pad ?x ..)", "?x", .when = adds_nothing},
    {"(flip ?x)", "?x", .when = flips_nothing},
    {"(flip (flip ?x))", "?x", .when = same_axes},
    {"(concat ?x)", "?x"},
    {"(update ?x ?v ..)", "?v", .when = updates_all},
    {"(reduce ?x)", .make = reduce_single},
    {"(get (tuple ..))", .make = get_operand},
    {"(get (list ..))", .make = get_operand},
    {"(tuple ..)", .make = whole_tuple},
    {"(list (get ?x) (get ?x) (get ?x))", "?x", .when = is_whole_list},
    {"(cond ?p ?a ?b ..)", .make = take_branch},

    {"(neg (broadcast ..))", .make = lift_broadcast},
    {"(abs (broadcast ..))", .make = lift_broadcast},
    {"(exp (broadcast ..))", .make = lift_broadcast},
    {"(log (broadcast ..))", .make = lift_broadcast},
    {"(sqrt (broadcast ..))", .make = lift_broadcast},
    {"(tanh (broadcast ..))", .make = lift_broadcast},
    {"(erf (broadcast ..))", .make = lift_broadcast},
    {"(sin (broadcast ..))", .make = lift_broadcast},
    {"(cos (broadcast ..))", .make = lift_broadcast},
    {"(not (broadcast ..))", .make = lift_broadcast},
    {"(cast (broadcast ..))", .make = lift_broadcast},
    {"(add (broadcast ..) (broadcast ..))", .make = lift_broadcast},
    {"(sub (broadcast ..) (broadcast ..))", .make = lift_broadcast},
    {"(mul (broadcast ..) (broadcast ..))", .make = lift_broadcast},
    {"(div (broadcast ..) (broadcast ..))", .make = lift_broadcast},
    {"(pow (broadcast ..) (broadcast ..))", .make = lift_broadcast},
    {0},
};
/* clang-format on */
