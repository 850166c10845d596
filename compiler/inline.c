/* inline.c -- replaces calls by the bodies they apply, and writes the bodies of loops and conds in the dims
 * of where they stand. After it a dim inside a body is the outer program's dim, so that buffers and extents
 * need no second set of registers; equal layers still give equal kernels, which exist once.
 *
 * One sweep up over what the root reaches: a function's body is finished before its first call is seen. */
#include "compiler/pass.h"

#define MAX_TERMS (1u << 22) /* calls of calls of calls grow a program exponentially: refuse in time */

typedef struct Inline {
    SnPass *p;
    SnStore *s;
    SnRef *map; /* by ref: what it became */
    uint32_t n;
    int64_t nsite;   /* bodies that were bound */
    bool has_bodies; /* loops or conds were seen */
    bool for_grad;   /* calls with remat stay */
} Inline;

static SnRef map_dim(void *self, SnRef dim)
{
    const Inline *x = self;
    return dim < x->n && x->map[dim] ? x->map[dim] : dim;
}

static SnStatus begin(Inline *x, SnRef fn, const SnTypeId *actual, int n, SnSubst *sub, SnError *err)
{
    const SnType *t = sn_type_of(x->s, fn);
    SnBindings b = {0};
    int bad = 0;
    SN_CHECK(sn_term(x->s, fn)->op == SN_OP_FN && t->nchild - 1 == n, err, SN_EINTERNAL,
             "inline: no function of %d", n);
    SN_CHECK(sn_store_count(x->s) < MAX_TERMS, err, SN_EUNSUPPORTED, "inline: more than %u terms", MAX_TERMS);
    SN_TRY(sn_types_unify(x->s, t->child + 1, actual, n, &b, &bad, err));
    SN_TRY(sn_subst_begin(sub, x->s, x->p->arena, err));
    for (int i = 0; i < b.n; i++)
        sub->map[b.symbol[i]] = b.value[i];
    return SN_OK;
}

static SnStatus apply_call(Inline *x, const SnRef *arg, int narg, SnRef *out, SnError *err)
{
    SnTypeId *actual = sn_arena_array(x->p->arena, (size_t)narg, sizeof *actual);
    SnSubst sub;
    SN_CHECK(actual, err, SN_ENOMEM, "inline: no memory");
    for (int i = 1; i < narg; i++)
        actual[i - 1] = sn_term(x->s, arg[i])->type;
    SN_TRY(begin(x, arg[0], actual, narg - 1, &sub, err));
    SnRef applied = arg[0];
    if (x->has_bodies) { /* bodies in this one name its dims: those of the call first, then its parameters */
        sub.enter_functions = true;
        SN_TRY(sn_subst(&sub, arg[0], &applied, err));
        SN_TRY(begin(x, applied, actual, narg - 1, &sub, err));
    }
    const SnTerm *fn = sn_term(x->s, applied);
    for (int i = 1; i < narg; i++)
        sub.map[fn->arg[i]] = arg[i];
    return sn_subst(&sub, fn->arg[0], out, err);
}

/* A body with its dims bound to those of its operands; its parameters stay parameters, of the types of the
 * operands: a list without a capacity has that of its operand. Parameter 1 of a body and of a body in it are
 * the same term: a site tells their measures apart, which the dims of both name. */
static SnStatus bind_body(Inline *x, SnRef *fn, const SnTypeId *actual, int n, SnError *err)
{
    SnSubst sub;
    SN_TRY(begin(x, *fn, actual, n, &sub, err));
    for (int i = 0; i < n; i++) {
        const SnRef param = sn_term(x->s, *fn)->arg[1 + i];
        sub.map[param] = sn_term_make(x->s, SN_OP_ARG, actual[i], sn_term(x->s, param)->attr, NULL, 0);
        SN_CHECK(sub.map[param], err, SN_ENOMEM, "inline: no memory");
    }
    sub.enter_functions = true;
    sub.site = ++x->nsite;
    return sn_subst(&sub, *fn, fn, err);
}

static SnTypeId row_type(SnStore *s, SnTypeId id)
{
    SnType t = *sn_type(s, id);
    t.ndim--;
    memmove(t.dims, t.dims + 1, sizeof t.dims - sizeof t.dims[0]);
    return sn_type_make(s, &t);
}

static SnStatus bind_loop(Inline *x, SnRef r, SnRef *arg, int narg, SnError *err)
{
    const int ncarry = (int)sn_attr_int(x->s, r, "ncarry", 0), nscan = (int)sn_attr_int(x->s, r, "nscan", 0);
    SnTypeId *actual = sn_arena_array(x->p->arena, (size_t)narg, sizeof *actual);
    SN_CHECK(actual, err, SN_ENOMEM, "inline: no memory");
    actual[0] = sn_type_scalar(x->s, SN_I64);
    for (int i = 3; i < narg; i++) {
        const SnTypeId t = sn_term(x->s, arg[i])->type;
        actual[i - 2] = i >= 3 + ncarry && i < 3 + ncarry + nscan ? row_type(x->s, t) : t;
    }
    SN_TRY(bind_body(x, &arg[0], actual, narg - 2, err));
    if (sn_term(x->s, arg[1])->op == SN_OP_NONE)
        return SN_OK;
    memmove(actual + 1 + ncarry, actual + 1 + ncarry + nscan,
            (size_t)(narg - 3 - ncarry - nscan) * sizeof *actual);
    return bind_body(x, &arg[1], actual, narg - 2 - nscan, err);
}

static SnStatus bind_cond(Inline *x, SnRef *arg, int narg, SnError *err)
{
    SnTypeId *actual = sn_arena_array(x->p->arena, (size_t)narg, sizeof *actual);
    SN_CHECK(actual, err, SN_ENOMEM, "inline: no memory");
    for (int i = 3; i < narg; i++)
        actual[i - 3] = sn_term(x->s, arg[i])->type;
    SN_TRY(bind_body(x, &arg[1], actual, narg - 3, err));
    return bind_body(x, &arg[2], actual, narg - 3, err);
}

static SnStatus visit(Inline *x, SnRef r, SnError *err)
{
    const SnTerm *t = sn_term(x->s, r);
    SnRef *arg = sn_arena_array(x->p->arena, t->narg + 1u, sizeof *arg);
    SN_CHECK(arg, err, SN_ENOMEM, "inline: no memory");
    for (int i = 0; i < t->narg; i++)
        arg[i] = x->map[t->arg[i]];
    if (t->op == SN_OP_CALL && !(x->for_grad && sn_attr(x->s, r, "remat")))
        return apply_call(x, arg, t->narg, &x->map[r], err);
    x->has_bodies = x->has_bodies || t->op == SN_OP_LOOP || t->op == SN_OP_COND;
    if (t->op == SN_OP_LOOP)
        SN_TRY(bind_loop(x, r, arg, t->narg, err));
    if (t->op == SN_OP_COND)
        SN_TRY(bind_cond(x, arg, t->narg, err));
    return sn_term_again(x->s, r, t->attr, arg, map_dim, x, &x->map[r], err);
}

typedef struct Reach {
    SnStore *s;
    bool *mark;
} Reach;

static SnRef reach_dim(void *self, SnRef dim)
{
    ((Reach *)self)->mark[dim] = true;
    return dim;
}

bool *sn_reach(SnPass *p, SnRef root, bool enter_functions)
{
    Reach x = {.s = p->s, .mark = sn_arena_array(p->arena, root + 1u, 1)};
    if (!x.mark)
        return NULL;
    x.mark[root] = true;
    for (SnRef r = root; r > 0; r--) {
        const SnTerm *t = sn_term(p->s, r);
        if (!x.mark[r] || (t->op == SN_OP_FN && !enter_functions))
            continue;
        for (int i = 0; i < t->narg; i++)
            x.mark[t->arg[i]] = true;
        if (t->type && !sn_type_map_dims(p->s, t->type, reach_dim, &x))
            return NULL;
    }
    return x.mark;
}

static SnStatus inline_all(SnPass *p, SnRef root, bool for_grad, SnRef *out, SnError *err)
{
    Inline x = {.p = p, .s = p->s, .n = root + 1, .for_grad = for_grad};
    x.map = sn_arena_array(p->arena, x.n, sizeof *x.map);
    bool *need = sn_reach(p, root, true);
    SN_CHECK(x.map && need, err, SN_ENOMEM, "inline: no memory");
    for (SnRef r = 1; r <= root; r++)
        if (need[r])
            SN_TRY(visit(&x, r, err));
    *out = x.map[root];
    return SN_OK;
}

SnStatus sn_pass_inline(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    return inline_all(p, root, false, out, err);
}

SnStatus sn_inline_for_grad(SnPass *p, SnRef fn, SnRef *out, SnError *err)
{
    return inline_all(p, fn, true, out, err);
}
