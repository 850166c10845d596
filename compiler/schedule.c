/* schedule.c -- brings the scalar terms of a kernel to what every backend has.
 *
 * exp, log, sin, cos, tanh, erf and pow become their expansions (scalar.h). f16, bf16 and the f8 types are
 * stored, not computed with: each op on them becomes the f32 op between casts, which rounds as
 * sn_scalar_apply does; a cast between one of them and anything but f32 goes through f32. */
#include "compiler/kernel.h"
#include "compiler/scalar.h"

typedef struct Expand {
    SnStore *s;
    SnRef *term; /* of the kernel as it was */
    SnRef *to;   /* and what each became */
    uint32_t n;
} Expand;

static SnRef mapped(const Expand *x, SnRef r)
{
    return r != 0 ? x->to[sn_kernel_term_find(x->term, x->n, r)] : 0;
}

/* As it is, on new operands. */
static SnRef rebuild(SnStore *s, SnRef r, const SnRef *arg)
{
    const SnTerm *t = sn_term(s, r);
    bool same = true;
    for (int i = 0; i < t->narg; i++)
        same = same && arg[i] == t->arg[i];
    return same ? r : sn_term_make(s, t->op, t->type, t->attr, arg, t->narg);
}

static SnRef expand_cast(SnStore *s, SnRef r, const SnRef *arg)
{
    const SnDtype from = sn_dtype_of(s, arg[0]), to = sn_dtype_of(s, r);
    const bool direct =
        from == SN_F32 || to == SN_F32 || (!sn_kernel_is_narrow(from) && !sn_kernel_is_narrow(to));
    const SnRef x = direct ? arg[0] : sn_s_cast(s, SN_F32, arg[0]);
    return x == arg[0] || x == 0 ? rebuild(s, r, arg) : rebuild(s, r, &x);
}

/* The op in f32, its result in its own dtype again. */
static SnRef expand_narrow(SnStore *s, SnRef r, const SnRef *arg)
{
    const SnTerm *t = sn_term(s, r);
    const uint16_t op = t->op;
    const SnTypeId type = t->type;
    const int narg = t->narg;
    SnRef wide[3] = {0};
    for (int i = 0; i < narg; i++)
        wide[i] = sn_s_cast(s, SN_F32, arg[i]);
    if (op == SN_OP_LT || op == SN_OP_EQ)
        return sn_term_make(s, op, type, 0, wide, narg);
    const SnRef v = sn_op_expands(op) ? sn_scalar_expand(s, op, wide[0], wide[1])
                                      : sn_term_make(s, op, sn_type_scalar(s, SN_F32), 0, wide, narg);
    return sn_s_cast(s, sn_type(s, type)->dtype, v);
}

static SnRef expand_term(SnStore *s, SnRef r, const SnRef *arg)
{
    const uint16_t op = sn_term(s, r)->op;
    if (!sn_op_is_elementwise(op) || op == SN_OP_WHERE || op == SN_OP_BITCAST)
        return rebuild(s, r, arg);
    if (op == SN_OP_CAST)
        return expand_cast(s, r, arg);
    if (sn_kernel_is_narrow(sn_dtype_of(s, arg[0])))
        return expand_narrow(s, r, arg);
    return sn_op_expands(op) ? sn_scalar_expand(s, op, arg[0], op == SN_OP_POW ? arg[1] : 0)
                             : rebuild(s, r, arg);
}

static void expand_body(const Expand *x, SnStmt *body)
{
    for (SnStmt *s = body; s != NULL; s = s->next) {
        s->a = mapped(x, s->a);
        s->b = mapped(x, s->b);
        s->g = mapped(x, s->g);
        s->stream = mapped(x, s->stream);
        expand_body(x, s->body);
    }
}

SnStatus sn_kernel_expand(SnKernel *k, SnArena *arena, SnError *err)
{
    Expand x = {.s = k->store};
    x.term = sn_kernel_terms(k, arena, &x.n);
    x.to = (SnRef *)sn_arena_array(arena, x.n, sizeof *x.to);
    SN_CHECK(x.term != NULL && x.to != NULL, err, SN_ENOMEM, "kernel %s: no memory to expand it", k->name);
    for (uint32_t i = 0; i < x.n; i++) {
        const SnTerm *t = sn_term(x.s, x.term[i]);
        SnRef arg[3] = {0};
        SN_CHECK(t->narg <= 3, err, SN_EINTERNAL, "kernel %s: %s is no scalar op", k->name,
                 sn_prim(t->op)->name);
        for (int j = 0; j < t->narg; j++)
            arg[j] = mapped(&x, t->arg[j]);
        x.to[i] = expand_term(x.s, x.term[i], arg);
    }
    SN_CHECK(!sn_store_failed(x.s), err, SN_ENOMEM, "kernel %s: no memory to expand it", k->name);
    k->grid = mapped(&x, k->grid);
    expand_body(&x, k->body);
    return sn_kernel_finish(k, err);
}
