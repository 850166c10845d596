/* grad_flow.c -- gradients of loops, conditions and calls that are computed again.
 *
 * A loop keeps what it carried into each iteration as further stacked rows; its gradient is a loop over
 * those, from the last to the first, that carries the gradients of what was carried and sums those of what
 * was captured. Iterations that a `while` did not let happen are passed by. */
#include "compiler/grad.h"

/* ---- loops ---- */

/* Operands behind the first three: carried, scanned, captured. Results: carried, stacked, trips. */
typedef struct Loop {
    SnGrad *x;
    SnGraph *g;
    SnStore *s;
    SnRef r, bound;
    int ncarry, nscan, ncapture, nstack;
    bool *want;       /* by parameter of the body: its index, carried, scanned, captured */
    bool *given;      /* by result of the body */
    SnValue rows;     /* the results of a loop that keeps what it carries */
    SnValue *capture; /* outside of the backward loop */
} Loop;

/* The backward loop: initial values and scanned rows, then its body's parameters for them. */
typedef struct Back {
    SnValue *carry, *scan, *arg;
    int ncarry, nscan, narg;
} Back;

static SnRef operand(const Loop *l, int i)
{
    return sn_term(l->s, l->r)->arg[3 + i];
}

static bool is_scanned(const Loop *l, int i)
{
    return i >= l->ncarry && i < l->ncarry + l->nscan;
}

static SnStatus read_loop(Loop *l, SnGrad *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    const SnType *type = sn_type(x->s, t->type);
    *l = (Loop){.x = x, .g = x->g, .s = x->s, .r = r, .bound = t->arg[2]};
    l->ncarry = (int)sn_attr_int(x->s, r, "ncarry", 0);
    l->nscan = (int)sn_attr_int(x->s, r, "nscan", 0);
    l->ncapture = t->narg - 3 - l->ncarry - l->nscan;
    l->nstack = type->nchild - 1 - l->ncarry;
    l->want = sn_arena_array(x->p->arena, t->narg, sizeof *l->want);
    l->given = sn_arena_array(x->p->arena, (size_t)type->nchild, sizeof *l->given);
    l->capture = sn_arena_array(x->p->arena, t->narg, sizeof *l->capture);
    SN_CHECK(l->want && l->given && l->capture, x->err, SN_ENOMEM, "grad: no memory");
    SN_CHECK(!sn_is_none(x->s, l->bound), x->err, SN_EUNSUPPORTED, "grad: a loop without a bound");
    for (int i = 0; i < t->narg - 3; i++) {
        const SnTypeId id = sn_term(x->s, operand(l, i))->type;
        SN_CHECK(sn_type(x->s, id)->kind == SN_TYPE_TENSOR || !x->is_active[operand(l, i)], x->err,
                 SN_EUNSUPPORTED, "grad: a loop over tuples");
        l->want[1 + i] = sn_grad_is_float(x->s, id) && (i < l->ncarry || x->is_active[operand(l, i)]);
        l->capture[i] = sn_here(x->g, operand(l, i));
    }
    for (int i = 0; i < l->ncarry + l->nstack; i++)
        l->given[i] = sn_grad_is_float(x->s, type->child[i]);
    return SN_OK;
}

/* The same loop, with what it carried into each iteration as rows behind those that it stacks. */
static SnStatus keep_carried(Loop *l)
{
    const SnTerm *t = sn_term(l->s, l->r), *body = sn_term(l->s, t->arg[0]);
    const int n = l->ncarry + l->nstack, nparam = body->narg;
    SnArena *a = l->x->p->arena;
    SnValue *result = sn_arena_array(a, (size_t)(n + l->ncarry) + 1, sizeof *result);
    SnRef *arg = sn_arena_array(a, (size_t)t->narg + (size_t)nparam, sizeof *arg), kept = 0;
    SN_CHECK(result && arg, l->x->err, SN_ENOMEM, "grad: no memory");
    memcpy(arg, body->arg, (size_t)nparam * sizeof *arg);
    for (int i = 0; i < n; i++)
        result[i] = sn_get(l->g, sn_here(l->g, arg[0]), i);
    for (int i = 0; i < l->ncarry; i++)
        result[n + i] = sn_here(l->g, arg[2 + i]);
    arg[0] = sn_tuple(l->g, n + l->ncarry, result, NULL).ref;
    SN_TRY(sn_graph_check(l->g, l->x->err));
    SN_TRY(sn_term_build(l->s, SN_OP_FN, 0, arg, nparam, &kept, l->x->err));
    t = sn_term(l->s, l->r);
    memcpy(arg, t->arg, (size_t)t->narg * sizeof *arg);
    arg[0] = kept;
    SN_TRY(sn_term_build(l->s, SN_OP_LOOP, t->attr, arg, t->narg, &kept, l->x->err));
    l->rows = sn_here(l->g, kept);
    return SN_OK;
}

static SnValue reversed(const Loop *l, SnValue v)
{
    return sn_flip(l->g, v, 1, &(int){0});
}

static SnValue gradient(const Loop *l, int result)
{
    const SnValue d = l->x->d[l->r][result];
    return d.ref ? d : sn_grad_zeros(l->x, sn_type_of(l->s, l->r)->child[result]);
}

/* Carried: gradients of what is carried, sums of those of what is captured. Rows: what was carried, what was
 * scanned, the gradients of what was stacked. */
static SnStatus begin_back(const Loop *l, Back *b)
{
    const int nin = l->ncarry + l->nscan + l->ncapture;
    SnArena *a = l->x->p->arena;
    b->carry = sn_arena_array(a, (size_t)nin + 1, sizeof *b->carry);
    b->scan = sn_arena_array(a, (size_t)(nin + l->nstack) + 1, sizeof *b->scan);
    b->arg = sn_arena_array(a, (size_t)(2 * nin + l->nstack) + 2, sizeof *b->arg);
    SN_CHECK(b->carry && b->scan && b->arg, l->x->err, SN_ENOMEM, "grad: no memory");
    for (int i = 0; i < nin; i++)
        if (l->want[1 + i] && !is_scanned(l, i))
            b->carry[b->ncarry++] =
                i < l->ncarry ? gradient(l, i) : sn_grad_zeros(l->x, sn_term(l->s, operand(l, i))->type);
    for (int i = 0; i < l->ncarry; i++)
        b->scan[b->nscan++] = reversed(l, sn_get(l->g, l->rows, l->ncarry + l->nstack + i));
    for (int i = 0; i < l->nscan; i++)
        b->scan[b->nscan++] = reversed(l, l->capture[l->ncarry + i]);
    for (int i = l->ncarry; i < l->ncarry + l->nstack; i++)
        if (l->given[i])
            b->scan[b->nscan++] = reversed(l, gradient(l, i));
    return sn_graph_check(l->g, l->x->err);
}

static void declare(const Loop *l, Back *b)
{
    b->arg[b->narg++] = sn_fn_arg(l->g, sn_type_scalar(l->s, SN_I64));
    for (int i = 0; i < b->ncarry; i++)
        b->arg[b->narg++] = sn_fn_arg(l->g, sn_term(l->s, b->carry[i].ref)->type);
    for (int i = 0; i < b->nscan; i++) {
        SnType t = *sn_type_of(l->s, b->scan[i].ref);
        t.ndim--;
        memmove(t.dims, t.dims + 1, sizeof t.dims - sizeof *t.dims);
        b->arg[b->narg++] = sn_fn_arg(l->g, sn_type_make(l->s, &t));
    }
}

/* vjp(index, carried, scanned, captured, gradients of the results) at iteration `at`. */
static SnValue apply(const Loop *l, const Back *b, SnRef vjp, SnValue at, SnValue *in)
{
    const SnValue *carry = b->arg + 1, *row = carry + b->ncarry;
    int n = 0;
    in[n++] = at;
    for (int i = 0; i < l->ncarry + l->nscan; i++)
        in[n++] = *row++;
    for (int i = 0; i < l->ncapture; i++)
        in[n++] = l->capture[l->ncarry + l->nscan + i];
    for (int i = 0; i < l->ncarry + l->nstack; i++)
        if (l->given[i])
            in[n++] = i < l->ncarry ? *carry++ : *row++;
    return sn_call(l->g, (SnValue){vjp, 0}, n, in);
}

/* The body: carried on, then the gradients of scanned rows. */
static SnValue body_back(const Loop *l, Back *b, SnRef vjp, SnValue *in)
{
    SnGraph *g = l->g;
    const int nin = l->ncarry + l->nscan + l->ncapture;
    const bool has_while = !sn_is_none(l->s, sn_term(l->s, l->r)->arg[1]);
    const SnValue trips = sn_get(g, l->rows, l->ncarry * 2 + l->nstack);
    int result = 0, carry = 0, row = b->ncarry;
    sn_fn_begin(g, "loop_grad");
    declare(l, b);
    const SnValue last = sn_sub(g, sn_here(g, l->bound), sn_const_int(g, SN_I64, 1));
    const SnValue at = sn_sub(g, last, b->arg[0]), was = sn_lt(g, at, trips);
    const SnValue d = apply(l, b, vjp, at, in);
    for (int i = 0; i < nin; i++) {
        if (!l->want[1 + i])
            continue;
        SnValue v = sn_get(g, d, result++);
        const SnValue zero = sn_const(g, sn_value_dtype(g, v), 0);
        if (is_scanned(l, i)) {
            in[row++] = has_while ? sn_where(g, was, v, zero) : v;
            continue;
        }
        const SnValue so_far = b->arg[1 + carry];
        if (i >= l->ncarry)
            v = sn_add(g, so_far, v);
        in[carry++] = has_while ? sn_where(g, was, v, so_far) : v;
    }
    return sn_fn_end(g, sn_tuple(g, row, in, NULL));
}

SnStatus sn_grad_loop(SnGrad *x, SnRef r)
{
    Loop l;
    Back b = {0};
    SnRef vjp = 0;
    SN_TRY(read_loop(&l, x, r));
    SN_TRY(keep_carried(&l));
    SN_TRY(sn_grad_vjp(x, sn_term(x->s, r)->arg[0], l.given, l.want, &vjp));
    SN_TRY(begin_back(&l, &b));
    const int nin = l.ncarry + l.nscan + l.ncapture;
    SnValue *in = sn_arena_array(x->p->arena, (size_t)(2 * nin + l.nstack + l.ncarry) + 2, sizeof *in);
    SN_CHECK(in, x->err, SN_ENOMEM, "grad: no memory");
    const SnValue body = body_back(&l, &b, vjp, in);
    const SnValue bound = sn_here(x->g, l.bound);
    const SnValue y = sn_loop(x->g, body, sn_none(), bound, b.ncarry, b.carry, b.nscan, b.scan);
    for (int i = 0, carry = 0, row = b.ncarry; i < nin; i++) {
        if (!l.want[1 + i])
            continue;
        const SnValue d = sn_get(x->g, y, is_scanned(&l, i) ? row++ : carry++);
        sn_grad_add(x, operand(&l, i), 0, is_scanned(&l, i) ? reversed(&l, d) : d);
    }
    return sn_graph_check(x->g, x->err);
}

/* ---- conditions ---- */

/* cond p (vjp of then) (vjp of else) (captured.., gradients of the results) */
SnStatus sn_grad_cond(SnGrad *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    const SnType *type = sn_type(x->s, t->type);
    const int n = t->narg - 3, nresult = type->kind == SN_TYPE_TUPLE ? type->nchild : 1;
    SnArena *a = x->p->arena;
    bool *want = sn_arena_array(a, (size_t)n + 1, sizeof *want);
    bool *given = sn_arena_array(a, (size_t)nresult + 1, sizeof *given);
    SnRef *arg = sn_arena_array(a, (size_t)(3 + n + nresult), sizeof *arg), y = 0;
    int narg = 3 + n, result = 0;
    SN_CHECK(want && given && arg, x->err, SN_ENOMEM, "grad: no memory");
    for (int i = 0; i < n; i++)
        want[i] = x->is_active[t->arg[3 + i]];
    memcpy(arg, t->arg, (size_t)t->narg * sizeof *arg);
    for (int i = 0; i < nresult; i++) {
        given[i] = x->d[r][i].ref != 0;
        if (given[i])
            arg[narg++] = x->d[r][i].ref;
    }
    SN_TRY(sn_grad_vjp(x, t->arg[1], given, want, &arg[1]));
    SN_TRY(sn_grad_vjp(x, sn_term(x->s, r)->arg[2], given, want, &arg[2]));
    SN_TRY(sn_term_build(x->s, SN_OP_COND, 0, arg, narg, &y, x->err));
    for (int i = 0; i < n; i++)
        if (want[i])
            sn_grad_add(x, arg[3 + i], 0, sn_get(x->g, sn_here(x->g, y), result++));
    return sn_graph_check(x->g, x->err);
}

/* ---- calls that are computed again ---- */

/* call (vjp of the function) (operands.., gradients of the results). Operands that were computed are copied
 * first: equal terms of equal operands would be those that were computed before. */
SnStatus sn_grad_call(SnGrad *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    const SnType *type = sn_type(x->s, t->type);
    const int n = t->narg - 1, nresult = type->kind == SN_TYPE_TUPLE ? type->nchild : 1;
    SnArena *a = x->p->arena;
    bool *want = sn_arena_array(a, (size_t)n + 1, sizeof *want);
    bool *given = sn_arena_array(a, (size_t)nresult + 1, sizeof *given);
    SnValue *in = sn_arena_array(a, (size_t)(n + nresult) + 1, sizeof *in);
    SnRef vjp = 0;
    int nin = n, result = 0;
    SN_CHECK(want && given && in, x->err, SN_ENOMEM, "grad: no memory");
    for (int i = 0; i < n; i++) {
        const SnRef of = t->arg[1 + i];
        want[i] = x->is_active[of];
        in[i] = sn_here(x->g, of);
        if (want[i] && sn_term(x->s, of)->op != SN_OP_ARG && sn_grad_is_float(x->s, sn_term(x->s, of)->type))
            in[i] = sn_make(x->g, SN_OP_COPY, NULL, 0, &of, 1);
    }
    for (int i = 0; i < nresult; i++) {
        given[i] = x->d[r][i].ref != 0;
        if (given[i])
            in[nin++] = x->d[r][i];
    }
    SN_TRY(sn_grad_vjp(x, t->arg[0], given, want, &vjp));
    const SnValue y = sn_call(x->g, sn_here(x->g, vjp), nin, in);
    for (int i = 0; i < n; i++)
        if (want[i])
            sn_grad_add_whole(x, sn_term(x->s, r)->arg[1 + i], sn_get(x->g, y, result++));
    return sn_graph_check(x->g, x->err);
}
