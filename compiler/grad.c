/* grad.c -- reverse mode: the term grad @f (x..) becomes a call of a function that returns what @f does and
 * the gradients beside it.
 *
 * Nothing here knows a model: a function is closed, its calls are inlined, composites that have no gradient
 * of their own are expanded, and one walk down its terms gives each its gradient, summed in the order of its
 * users, from the last to the first. What comes out is graph like any other: it is simplified, fused and
 * planned with the rest, and the gradient of a gradient is no special case.
 *
 * Griewank and Walther 2008, "Evaluating Derivatives", chapter 3. */
#include "compiler/grad.h"
#include "compiler/rewrite.h"

/* ---- gradients of one function ---- */

SnValue sn_grad_in(const SnGrad *x, SnRef r, int i)
{
    return sn_here(x->g, sn_term(x->s, r)->arg[i]);
}

bool sn_grad_is_float(const SnStore *s, SnTypeId type)
{
    const SnType *t = sn_type(s, type);
    return t->kind == SN_TYPE_TENSOR && sn_dtype_is_float(t->dtype);
}

/* Can a value of this type have a gradient? */
static bool has_floats(const SnStore *s, SnTypeId type)
{
    const SnType *t = sn_type(s, type);
    bool has = sn_grad_is_float(s, type);
    for (int i = 0; t->kind == SN_TYPE_TUPLE && !has && i < t->nchild; i++)
        has = has_floats(s, t->child[i]);
    return has;
}

SnValue sn_grad_size(const SnGrad *x, int64_t v)
{
    return sn_const_int(x->g, SN_I64, v);
}

SnValue sn_grad_zeros(const SnGrad *x, SnTypeId type)
{
    const SnType *t = sn_type(x->s, type);
    SnValue dims[SN_MAX_RANK];
    if (t->kind == SN_TYPE_TUPLE) {
        SnValue *child = sn_arena_array(x->p->arena, (size_t)t->nchild + 1, sizeof *child);
        if (!child)
            return sn_graph_no_memory(x->g);
        for (int i = 0; i < t->nchild; i++)
            child[i] = sn_grad_zeros(x, t->child[i]);
        return sn_tuple(x->g, t->nchild, child, t->names);
    }
    if (t->kind != SN_TYPE_TENSOR)
        return sn_graph_fail(x->g, SN_EUNSUPPORTED, "grad: a list in a tuple");
    for (int i = 0; i < t->ndim; i++)
        dims[i] = sn_here(x->g, t->dims[i]);
    return sn_broadcast(x->g, sn_const(x->g, t->dtype, 0), t->ndim, dims);
}

/* d with the type that the gradient of a value of this type has: its dtype, and the same terms as dims. */
static SnValue fit(const SnGrad *x, SnTypeId type, SnValue d)
{
    const SnType *t = sn_type(x->s, type);
    SnValue dims[SN_MAX_RANK];
    if (t->kind != SN_TYPE_TENSOR || sn_term(x->s, d.ref)->type == type)
        return d;
    const SnValue y = sn_cast(x->g, d, t->dtype);
    if (y.ref == 0 || sn_term(x->s, y.ref)->type == type)
        return y;
    for (int i = 0; i < t->ndim; i++)
        dims[i] = sn_here(x->g, t->dims[i]);
    return sn_rank(x->g, y) == t->ndim
               ? sn_reshape(x->g, y, t->ndim, dims)
               : sn_graph_fail(x->g, SN_EINTERNAL, "grad: rank %d for %d", sn_rank(x->g, y), t->ndim);
}

#define MOST_PARTS 16

/* A tensor with zeros before and behind it, along one axis. */
typedef struct Part {
    SnRef r, before;
    int axis;
} Part;

static bool is_zero(const SnStore *s, SnRef r)
{
    SnScalar v;
    return sn_is_splat(s, r, &v) && v.u == 0;
}

static bool read_part(const SnStore *s, SnRef r, Part *out)
{
    const SnTerm *t = sn_term(s, r);
    const SnAttr *interior = sn_attr(s, r, "interior");
    const int n = sn_type_of(s, r)->ndim;
    int naxis = 0;
    if (t->op != SN_OP_PAD || !is_zero(s, t->arg[1 + 2 * n]))
        return false;
    for (int k = 0; k < n; k++) {
        if (interior && interior->u.ints.at[k] != 0)
            return false;
        if (is_zero(s, t->arg[1 + k]) && is_zero(s, t->arg[1 + n + k]))
            continue;
        *out = (Part){t->arg[0], t->arg[1 + k], k};
        naxis++;
    }
    return naxis == 1;
}

/* Of a sum the parts, where it has no others; 0: it has. */
static int read_parts(const SnStore *s, SnRef sum, Part *part)
{
    SnRef todo[MOST_PARTS] = {sum};
    int n = 0, left = 1;
    while (left > 0) {
        const SnRef r = todo[--left];
        const SnTerm *t = sn_term(s, r);
        if (t->op == SN_OP_ADD && n + left + 2 <= MOST_PARTS) {
            todo[left++] = t->arg[0];
            todo[left++] = t->arg[1];
        } else if (!read_part(s, r, &part[n]) || part[n++].axis != part[0].axis) {
            return 0;
        }
    }
    return n;
}

/* A sum of slices' gradients that fill a tensor side by side is that tensor. */
static SnValue joined(const SnGrad *x, SnValue sum)
{
    Part part[MOST_PARTS];
    SnValue in[MOST_PARTS];
    SnRef at = sn_const_i64(x->s, 0);
    const int n = sum.ref ? read_parts(x->s, sum.ref, part) : 0;
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < n && (part[k].r == 0 || !sn_dim_equal(x->s, part[k].before, at)))
            k++;
        if (k == n)
            return sum;
        in[i] = sn_here(x->g, part[k].r);
        at = sn_dim_add(x->s, at, sn_type_of(x->s, part[k].r)->dims[part[k].axis]);
        part[k].r = 0;
    }
    return n > 1 && sn_dim_equal(x->s, at, sn_value_type(x->g, sum)->dims[part[0].axis])
               ? sn_concat(x->g, n, in, part[0].axis)
               : sum;
}

static SnValue sum(const SnGrad *x, SnValue a, SnValue b)
{
    const SnType *t = sn_value_type(x->g, a);
    if (a.ref == 0 || b.ref == 0)
        return a.ref ? a : b;
    if (t->kind != SN_TYPE_TUPLE)
        return joined(x, sn_add(x->g, a, b));
    SnValue *child = sn_arena_array(x->p->arena, (size_t)t->nchild + 1, sizeof *child);
    if (!child)
        return sn_graph_no_memory(x->g);
    for (int i = 0; i < t->nchild; i++)
        child[i] = sum(x, sn_get(x->g, a, i), sn_get(x->g, b, i));
    return sn_tuple(x->g, t->nchild, child, t->names);
}

/* The type of a term's gradient: that of the term; of what is narrowed, that of what it was, so that a
 * parameter's is summed wide however often it is read. */
static SnTypeId gradient_type(const SnGrad *x, SnRef to)
{
    const SnTerm *t = sn_term(x->s, to);
    const SnTypeId from = t->op == SN_OP_CAST ? sn_term(x->s, t->arg[0])->type : t->type;
    const bool is_narrowed = sn_grad_is_float(x->s, from) && sn_dtype_size(sn_type(x->s, from)->dtype) >
                                                                 sn_dtype_size(sn_type(x->s, t->type)->dtype);
    return is_narrowed ? from : t->type;
}

void sn_grad_add(SnGrad *x, SnRef to, int child, SnValue d)
{
    const SnTypeId id = gradient_type(x, to);
    const SnType *t = sn_type(x->s, id);
    const bool is_tuple = t->kind == SN_TYPE_TUPLE;
    if (!x->is_active[to] || d.ref == 0 || (is_tuple && !has_floats(x->s, t->child[child])))
        return;
    if (!x->d[to])
        x->d[to] = sn_arena_array(x->p->arena, is_tuple ? (size_t)t->nchild : 1, sizeof *x->d[to]);
    if (!x->d[to]) {
        sn_graph_no_memory(x->g);
        return;
    }
    SnValue *at = &x->d[to][is_tuple ? child : 0];
    *at = sum(x, *at, fit(x, is_tuple ? t->child[child] : id, d));
}

void sn_grad_add_whole(SnGrad *x, SnRef to, SnValue d)
{
    const SnType *t = sn_type_of(x->s, to);
    if (t->kind != SN_TYPE_TUPLE)
        sn_grad_add(x, to, 0, d);
    for (int k = 0; t->kind == SN_TYPE_TUPLE && k < t->nchild; k++)
        sn_grad_add(x, to, k, sn_get(x->g, d, k));
}

/* The gradient of a term as one value. */
static SnValue whole(const SnGrad *x, SnRef r)
{
    const SnTypeId id = sn_term(x->s, r)->type;
    const SnType *t = sn_type(x->s, id);
    const SnValue *d = x->d[r];
    if (!d || t->kind != SN_TYPE_TUPLE)
        return d ? d[0] : sn_none();
    SnValue *child = sn_arena_array(x->p->arena, (size_t)t->nchild + 1, sizeof *child);
    if (!child)
        return sn_graph_no_memory(x->g);
    for (int i = 0; i < t->nchild; i++)
        child[i] = d[i].ref ? d[i] : sn_grad_zeros(x, t->child[i]);
    return sn_tuple(x->g, t->nchild, child, t->names);
}

static SnStatus through_composite(SnGrad *x, SnRef r)
{
    const SnOpRow *row = NULL;
    SnCall c;
    SN_TRY(sn_call_of(x->g, r, x->p->arena, &row, &c, x->err));
    bool *wants = sn_arena_array(x->p->arena, (size_t)c.nin + 1, sizeof *wants);
    SN_CHECK(wants, x->err, SN_ENOMEM, "grad: no memory");
    for (int i = 0; i < c.nin; i++)
        wants[i] = c.in[i].ref && x->is_active[c.in[i].ref];
    c.wants = wants;
    const SnValue d = whole(x, r);
    for (int i = 0; i < c.nin; i++)
        if (wants[i])
            sn_grad_add(x, c.in[i].ref, 0, row->op->grad(x->g, &c, sn_here(x->g, r), d, i));
    return SN_OK;
}

/* Gives what r has to its operands. */
static SnStatus through(SnGrad *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    SnGradRule *rule = t->op < SN_PRIM_COUNT ? sn_grad_rule(t->op) : NULL;
    const SnType *type = sn_type(x->s, t->type);
    if (t->op >= SN_PRIM_COUNT)
        return through_composite(x, r);
    if (t->op == SN_OP_LOOP)
        return sn_grad_loop(x, r);
    if (t->op == SN_OP_COND)
        return sn_grad_cond(x, r);
    if (t->op == SN_OP_CALL)
        return sn_grad_call(x, r);
    if (t->op == SN_OP_GET) {
        const int child = (int)sn_attr_int(x->s, r, "index", 0);
        sn_grad_add(x, t->arg[0], child, whole(x, r));
    } else if (t->op == SN_OP_TUPLE) {
        for (int i = 0; i < type->nchild; i++)
            if (x->d[r][i].ref)
                sn_grad_add_whole(x, t->arg[i], x->d[r][i]);
    } else {
        SN_CHECK(rule, x->err, SN_EUNSUPPORTED, "grad: nothing is known of the gradient of %s",
                 sn_prim(t->op)->name);
        for (int i = 0; i < t->narg; i++)
            if (x->is_active[t->arg[i]])
                sn_grad_add(x, t->arg[i], 0, rule(x, r, x->d[r], i));
    }
    return SN_OK;
}

/* Everything above what is wanted that floats lead to. */
static SnStatus find_active(SnGrad *x, SnRef fn, const bool *want)
{
    const SnTerm *f = sn_term(x->s, fn);
    const bool *reached = sn_reach(x->p, f->arg[0], false);
    SN_CHECK(reached, x->err, SN_ENOMEM, "grad: no memory");
    for (int i = 1; i < f->narg; i++)
        x->is_active[f->arg[i]] = want[i - 1];
    for (SnRef r = 1; r <= f->arg[0]; r++) {
        const SnTerm *t = sn_term(x->s, r);
        if (!reached[r] || t->op == SN_OP_STOP || !has_floats(x->s, t->type))
            continue;
        for (int i = 0; i < t->narg && !x->is_active[r]; i++)
            x->is_active[r] = x->is_active[t->arg[i]];
    }
    return SN_OK;
}

/* The gradients of a function's parameters, from one for each child of its result (or for the result). */
static SnStatus back(SnGrad *x, SnRef fn, const SnValue *seed, const bool *want, SnValue *out)
{
    const SnTerm *f = sn_term(x->s, fn);
    const SnRef result = f->arg[0];
    const SnType *t = sn_type_of(x->s, result);
    x->n = fn;
    x->is_active = sn_arena_array(x->p->arena, fn, sizeof *x->is_active);
    x->d = sn_arena_array(x->p->arena, fn, sizeof *x->d);
    SN_CHECK(x->is_active && x->d, x->err, SN_ENOMEM, "grad: no memory");
    SN_TRY(find_active(x, fn, want));
    for (int i = 0; i < (t->kind == SN_TYPE_TUPLE ? t->nchild : 1); i++)
        sn_grad_add(x, result, i, seed[i]);
    for (SnRef r = result; r > 0; r--) {
        if (x->d[r] && sn_term(x->s, r)->op != SN_OP_ARG)
            SN_TRY(through(x, r));
        SN_TRY(sn_graph_check(x->g, x->err));
    }
    for (int i = 1; i < f->narg; i++) {
        out[i - 1] = want[i - 1] ? whole(x, f->arg[i]) : sn_none();
        if (want[i - 1] && !out[i - 1].ref)
            out[i - 1] = sn_grad_zeros(x, sn_term(x->s, f->arg[i])->type);
    }
    return sn_graph_check(x->g, x->err);
}

/* ---- functions ---- */

/* The function with its calls inlined, but for those with remat, and expanded to what has a gradient. */
static SnStatus prepare(SnPass *p, SnRef *fn, SnError *err)
{
    SN_TRY(sn_inline_for_grad(p, *fn, fn, err));
    SN_TRY(sn_expand_for_grad(p, *fn, fn, err));
    return sn_inline_for_grad(p, *fn, fn, err); /* loops that were expanded now name their own dims */
}

static SnStatus make_fn(const SnGrad *x, SnValue result, const SnRef *param, int nparam, SnRef *out)
{
    SnRef *arg = sn_arena_array(x->p->arena, (size_t)nparam + 1, sizeof *arg);
    SN_TRY(sn_graph_check(x->g, x->err));
    SN_CHECK(arg, x->err, SN_ENOMEM, "grad: no memory");
    arg[0] = result.ref;
    memcpy(arg + 1, param, (size_t)nparam * sizeof *arg);
    return sn_term_build(x->s, SN_OP_FN, 0, arg, nparam + 1, out, x->err);
}

static SnGrad begin(SnPass *p, SnError *err)
{
    return (SnGrad){.p = p, .g = p->g, .s = p->s, .err = err};
}

SnStatus sn_grad_vjp(const SnGrad *outer, SnRef fn, const bool *given, const bool *want, SnRef *out)
{
    SnGrad x = begin(outer->p, outer->err);
    const SnTerm *f = sn_term(x.s, fn);
    const SnType *t = sn_type_of(x.s, f->arg[0]);
    const int nresult = t->kind == SN_TYPE_TUPLE ? t->nchild : 1, narg = f->narg - 1;
    SnArena *a = x.p->arena;
    SnValue *seed = sn_arena_array(a, (size_t)nresult + 1, sizeof *seed);
    SnValue *d = sn_arena_array(a, (size_t)narg + 1, sizeof *d);
    SnRef *param = sn_arena_array(a, (size_t)(narg + nresult) + 1, sizeof *param);
    SN_CHECK(seed && d && param, x.err, SN_ENOMEM, "grad: no memory");
    int nparam = narg, n = 0;
    memcpy(param, f->arg + 1, (size_t)narg * sizeof *param);
    for (int i = 0; i < nresult; i++) {
        if (!given[i])
            continue;
        const SnAttrId attr = sn_attrs_make(x.s, &SN_INT("index", nparam), 1);
        const SnTypeId type = t->kind == SN_TYPE_TUPLE ? t->child[i] : sn_term(x.s, f->arg[0])->type;
        param[nparam] = sn_term_make(x.s, SN_OP_ARG, type, attr, NULL, 0);
        seed[i] = sn_here(x.g, param[nparam++]);
    }
    SN_TRY(back(&x, fn, seed, want, d));
    for (int i = 0; i < narg; i++)
        if (want[i])
            d[n++] = d[i];
    return make_fn(&x, sn_tuple(x.g, n, d, NULL), param, nparam, out);
}

/* @f of a term grad, with the gradients of what it names beside its result. */
static SnStatus differentiate(SnPass *p, SnRef r, SnRef fn, SnRef *out, SnError *err)
{
    SnGrad x = begin(p, err);
    const SnAttr *wrt = sn_attr(x.s, r, "wrt");
    SN_TRY(prepare(p, &fn, err));
    const SnTerm *f = sn_term(x.s, fn);
    const SnType *t = sn_type_of(x.s, f->arg[0]);
    const bool is_tuple = t->kind == SN_TYPE_TUPLE;
    const SnTypeId loss = is_tuple && t->nchild > 0 ? t->child[0] : sn_term(x.s, f->arg[0])->type;
    SnValue *seed = sn_arena_array(p->arena, (size_t)t->nchild + 1, sizeof *seed);
    SnValue *d = sn_arena_array(p->arena, f->narg, sizeof *d);
    SnValue *named = sn_arena_array(p->arena, (size_t)wrt->u.ints.n + 1, sizeof *named);
    bool *want = sn_arena_array(p->arena, f->narg, sizeof *want);
    SN_CHECK(seed && d && named && want, err, SN_ENOMEM, "grad: no memory");
    SN_CHECK(sn_grad_is_float(x.s, loss) && sn_type(x.s, loss)->ndim == 0, err, SN_ESHAPE,
             "grad: the first result is no scalar of floats");
    seed[0] = sn_const(x.g, sn_type(x.s, loss)->dtype, 1);
    for (int i = 0; i < wrt->u.ints.n; i++)
        want[wrt->u.ints.at[i]] = true;
    SN_TRY(back(&x, fn, seed, want, d));
    for (int i = 0; i < wrt->u.ints.n; i++)
        named[i] = d[wrt->u.ints.at[i]];
    const SnValue both[] = {sn_here(x.g, f->arg[0]), sn_tuple(x.g, wrt->u.ints.n, named, NULL)};
    return make_fn(&x, sn_tuple(x.g, 2, both, NULL), f->arg + 1, f->narg - 1, out);
}

/* ---- the pass ---- */

typedef struct Sweep {
    SnRef *map; /* by ref: what it became */
    SnRef n;
} Sweep;

static SnRef map_dim(void *self, SnRef dim)
{
    const Sweep *x = self;
    return dim < x->n && x->map[dim] ? x->map[dim] : dim;
}

static SnStatus visit(SnPass *p, Sweep *x, SnRef r, SnError *err)
{
    const SnTerm *t = sn_term(p->s, r);
    SnRef *arg = sn_arena_array(p->arena, t->narg + 1u, sizeof *arg);
    SN_CHECK(arg, err, SN_ENOMEM, "grad: no memory");
    for (int i = 0; i < t->narg; i++)
        arg[i] = x->map[t->arg[i]];
    if (t->op != SN_OP_GRAD)
        return sn_term_again(p->s, r, t->attr, arg, map_dim, x, &x->map[r], err);
    SN_TRY(differentiate(p, r, arg[0], &arg[0], err));
    return sn_term_build(p->s, SN_OP_CALL, 0, arg, sn_term(p->s, r)->narg, &x->map[r], err);
}

SnStatus sn_pass_grad(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    Sweep x = {.n = root + 1, .map = sn_arena_array(p->arena, root + 1u, sizeof *x.map)};
    const bool *need = sn_reach(p, root, true);
    bool has_grad = false;
    SN_CHECK(x.map && need, err, SN_ENOMEM, "grad: no memory");
    for (SnRef r = 1; r <= root && !has_grad; r++)
        has_grad = need[r] && sn_term(p->s, r)->op == SN_OP_GRAD;
    *out = root;
    if (!has_grad)
        return SN_OK;
    p->flags |= SN_PASS_GRAD;
    for (SnRef r = 1; r <= root; r++)
        if (need[r])
            SN_TRY(visit(p, &x, r, err));
    *out = x.map[root];
    return SN_OK;
}
