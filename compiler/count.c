/* count.c -- what a kernel does, as dims: operations and bytes. A trace shows them beside its time.
 *
 * Counted is what the graph asks for, whatever the schedule makes of it: an operation of an element once,
 * however often a kernel repeats it; a buffer once, however often it is read; of what is gathered or sliced,
 * the part that is taken. An fma is two operations, exp and its like are as many as they expand into, about;
 * what has no floats has none. */
#include "compiler/scalar.h"
#include "compiler/steps.h"

#define EXPANDED 12 /* exp, erf, tanh ...: terms of their expansions */

static SnRef count_of(SnStore *s, const SnType *t)
{
    SnRef n = sn_const_i64(s, 1);
    for (int i = 0; i < t->ndim; i++)
        n = sn_dim_mul(s, n, t->dims[i]);
    return n;
}

static SnRef bytes_of(SnStore *s, SnTypeId type)
{
    const SnType *t = sn_type(s, type);
    return sn_dim_mul(s, sn_const_i64(s, (int64_t)sn_dtype_size(t->dtype)), count_of(s, t));
}

/* ---- operations ---- */

/* Operations of an element of an elementwise term. */
static int64_t weight_of(uint16_t op)
{
    if (sn_op_expands(op))
        return EXPANDED;
    switch (op) {
    case SN_OP_FMA:
        return 2;
    case SN_OP_CAST:
    case SN_OP_BITCAST:
    case SN_OP_WHERE:
        return 0;
    default:
        return sn_op_is_elementwise(op) ? 1 : 0;
    }
}

/* The dims of operand 0 that the result of a contraction does not have. */
static SnRef summed(SnStore *s, SnRef r)
{
    const char *eq = sn_attr_string(s, r, "eq"), *result = strchr(eq, '>');
    const SnType *a = sn_type_of(s, sn_term(s, r)->arg[0]);
    SnRef n = sn_const_i64(s, 1);
    for (int i = 0; result && i < a->ndim && eq[i]; i++)
        if (!strchr(result, eq[i]))
            n = sn_dim_mul(s, n, a->dims[i]);
    return n;
}

/* Two products, or the five of a gradient, and for each score: scale, difference, exp, sum. */
static SnRef attention_flops(SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    const bool is_grad = sn_type_of(s, r)->kind == SN_TYPE_TUPLE;
    const SnRef of_q = sn_const_i64(s, is_grad ? 6 : 2), of_v = sn_const_i64(s, is_grad ? 4 : 2);
    const SnType *q = sn_type_of(s, t->arg[0]), *k = sn_type_of(s, t->arg[1]), *v = sn_type_of(s, t->arg[2]);
    if (q->ndim != 4 || k->ndim != 4 || v->ndim != 4)
        return sn_const_i64(s, 0);
    SnRef each = sn_dim_add(s, sn_dim_mul(s, of_q, q->dims[3]), sn_dim_mul(s, of_v, v->dims[3]));
    each = sn_dim_add(s, each, sn_const_i64(s, EXPANDED + 3));
    for (int i = 0; i < 3; i++)
        each = sn_dim_mul(s, each, q->dims[i]);
    return sn_dim_mul(s, each, k->dims[2]);
}

SnRef sn_flops_of(SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    const SnType *type = sn_type_of(s, r);
    const bool is_float = type->kind == SN_TYPE_TENSOR && sn_dtype_is_float(type->dtype);
    if (t->op >= SN_PRIM_COUNT)
        return attention_flops(s, r);
    if (!is_float)
        return sn_const_i64(s, 0);
    if (t->op == SN_OP_CONTRACT)
        return sn_dim_mul(s, sn_const_i64(s, 2), sn_dim_mul(s, count_of(s, type), summed(s, r)));
    if (t->op == SN_OP_REDUCE || t->op == SN_OP_SCAN)
        return count_of(s, sn_type_of(s, t->arg[t->narg > 1 ? 1 : 0]));
    const int64_t weight = weight_of(t->op);
    return weight ? sn_dim_mul(s, sn_const_i64(s, weight), count_of(s, type)) : sn_const_i64(s, 0);
}

/* ---- bytes ---- */

/* Of a stored value, what operand i of a term takes of it. */
static SnRef taken(SnStore *s, SnRef user, int i, SnRef value)
{
    const SnTerm *t = sn_term(s, user);
    const SnRef whole = bytes_of(s, sn_term(s, value)->type);
    if (i > 0 || (t->op != SN_OP_SLICE && t->op != SN_OP_GATHER))
        return whole;
    const SnRef part = bytes_of(s, t->type);
    return sn_dim_min(s, part, whole);
}

static void add_read(SnStore *s, SnCount *c, SnRef value, SnRef bytes)
{
    for (int i = 0; i < c->n; i++)
        if (c->value[i] == value) {
            c->bytes[i] = sn_dim_max(s, c->bytes[i], bytes);
            return;
        }
    if (c->n == SN_KERNEL_BUFFERS)
        return;
    c->value[c->n] = value;
    c->bytes[c->n++] = bytes;
}

/* ---- a lowered term ---- */

static bool is_inside(const SnSteps *x, SnRef r)
{
    const uint16_t op = sn_term(x->s, r)->op;
    return r < x->nstored && !x->is_stored[r] && op != SN_OP_ARG && op != SN_OP_GET && op != SN_OP_FN;
}

SnStatus sn_steps_count(SnSteps *x, SnRef root, SnCount *c, SnError *err)
{
    *c = (SnCount){.flops = sn_const_i64(x->s, 0)};
    if (!x->counted)
        x->counted = sn_arena_array(x->p->arena, x->nstored + 1u, sizeof *x->counted);
    x->todo.n = 0;
    SN_CHECK(x->counted && sn_vec_push(x->memory, &x->todo, root), err, SN_ENOMEM, "compile: no memory");
    while (x->todo.n > 0) {
        const SnRef r = x->todo.at[--x->todo.n];
        c->flops = sn_dim_add(x->s, c->flops, sn_flops_of(x->s, r));
        for (int i = 0; i < sn_term(x->s, r)->narg; i++) {
            const SnRef a = sn_term(x->s, r)->arg[i];
            if (sn_type_of(x->s, a)->kind != SN_TYPE_TENSOR || sn_is_dim(x->s, a))
                continue;
            if (!is_inside(x, a)) {
                add_read(x->s, c, a, taken(x->s, r, i, a));
            } else if (x->counted[a] != root) {
                x->counted[a] = root;
                SN_CHECK(sn_vec_push(x->memory, &x->todo, a), err, SN_ENOMEM, "compile: no memory");
            }
        }
    }
    return SN_OK;
}

/* What a result that is changed in place gets. */
static SnRef written(SnSteps *x, SnRef root, const SnLowered *low, uint32_t kernel, uint32_t leaf)
{
    const SnTypeId *type = NULL;
    SnTypeId self = 0;
    const SnTerm *t = sn_term(x->s, root);
    const bool is_update = low->in_place >= 0 && kernel > 0;
    if (is_update)
        return bytes_of(x->s, sn_term(x->s, t->arg[t->op == SN_OP_SCATTER ? t->narg - 1 : 1])->type);
    const uint32_t n = sn_steps_leaves(x->s, t->type, &type, &self);
    return leaf < n ? bytes_of(x->s, type[leaf]) : sn_const_i64(x->s, 0);
}

SnStatus sn_steps_count_kernel(SnSteps *x, SnRef root, const SnLowered *low, uint32_t kernel,
                               const SnCount *c, SnStepRow *row, SnError *err)
{
    const SnLoweredKernel *k = &low->kernel[kernel];
    /* A copy to be changed, or operands made ready, come before what does the work; sums of pieces behind it.
     */
    const bool is_claimed = sn_term(x->s, root)->op >= SN_PRIM_COUNT, has_copy = low->in_place >= 0;
    const uint32_t worker = is_claimed ? low->nkernel - 1 : has_copy && low->nkernel > 1;
    SnRef bytes = sn_const_i64(x->s, 0);
    for (int i = 0; i < k->kernel->nbuf; i++) {
        const SnBufUse *u = &k->buf[i];
        SnRef part = sn_const_i64(x->s, 0);
        if (u->kind == SN_BUF_TEMP)
            part = low->temp[u->index];
        else if (u->kind == SN_BUF_RESULT)
            part = written(x, root, low, kernel, u->index);
        for (int v = 0; u->kind == SN_BUF_VALUE && v < c->n; v++)
            if (c->value[v] == u->value)
                part = c->bytes[v];
        bytes = sn_dim_add(x->s, bytes, part);
    }
    SN_TRY(sn_steps_reg(x, kernel == worker ? c->flops : sn_const_i64(x->s, 0), &row->c, err));
    return sn_steps_reg(x, bytes, &row->d, err);
}
