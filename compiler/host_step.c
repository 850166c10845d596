/* host_step.c -- a host op as a step: how its leaves make views again, and its attributes as numbers. */
#include "compiler/compiler.h"
#include "compiler/steps.h"

static SnStatus host_attrs(SnSteps *x, SnRef ref, const SnOpRow *op, SnHostRow *row, SnError *err)
{
    row->attr = (SnRange){(uint32_t)x->attr.n, (uint32_t)op->sig.nattr};
    for (int i = 0; i < op->sig.nattr; i++) {
        const SnAttr *a = sn_attr(x->s, ref, op->sig.attr[i].value.name);
        a = a ? a : &op->sig.attr[i].value;
        SnScalar v = {0};
        if (a->kind == SN_ATTR_FLOAT)
            v.f = a->u.f;
        else
            v.i = a->kind == SN_ATTR_DTYPE ? (int64_t)a->u.d : a->u.i;
        SN_CHECK(a->kind == SN_ATTR_FLOAT || a->kind == SN_ATTR_INT || a->kind == SN_ATTR_DTYPE, err,
                 SN_EUNSUPPORTED, "%s: attribute %s: a host op takes numbers only", op->sig.name, a->name);
        SN_CHECK(sn_vec_push(x->memory, &x->attr, v), err, SN_ENOMEM, "compile: no memory for attributes");
    }
    return SN_OK;
}

/* What a step keeps from run to run: as many bytes as its attribute `memo` says. */
static SnStatus host_memo(const SnSteps *x, SnRef ref, SnHostRow *row, SnError *err)
{
    enum { ALIGN = 64 };
    const SnAttr *memo = sn_attr(x->s, ref, "memo");
    const SnHostRow *last = x->host.n ? &x->host.at[x->host.n - 1] : NULL;
    row->memo_at = last ? (last->memo_at + last->memo + ALIGN - 1) / ALIGN * ALIGN : 0;
    SN_CHECK(!memo || (memo->kind == SN_ATTR_INT && memo->u.i >= 0 && memo->u.i <= INT32_MAX), err, SN_EINVAL,
             "compile: memo is no size");
    row->memo = memo ? (uint64_t)memo->u.i : 0;
    return SN_OK;
}

static SnStatus host_slot(SnSteps *x, int64_t kind, const uint32_t *buffer, const SnTypeId *leaf,
                          SnError *err)
{
    const SnType *t = sn_type(x->s, leaf[kind == SN_HOST_LIST ? 2 : 0]);
    SnHostSlotRow row = {.kind = (uint32_t)kind, .dtype = t->dtype, .child_reg = SN_NONE};
    for (int i = 0; i < (kind == SN_HOST_LIST ? 3 : 1); i++)
        row.buffer[i] = buffer[i];
    if (kind == SN_HOST_LIST)
        SN_TRY(sn_steps_reg(x, t->dims[0], &row.child_reg, err));
    if (kind == SN_HOST_OBJECT)
        row.dtype = SN_U8;
    const SnType *shape = sn_type(x->s, leaf[0]);
    row.ndim = kind == SN_HOST_OBJECT ? 0 : (uint32_t)shape->ndim;
    for (uint32_t i = 0; i < row.ndim; i++)
        SN_TRY(sn_steps_reg(x, shape->dims[i], &row.dim_reg[i], err));
    SN_CHECK(sn_vec_push(x->memory, &x->host_slot, row), err, SN_ENOMEM, "compile: no memory for host calls");
    return SN_OK;
}

/* Views of one side of a host call; leaves[0..n) with their buffers. */
static SnStatus host_slots(SnSteps *x, SnRef ref, const char *side, const uint32_t *buffer,
                           const SnTypeId *leaf, uint32_t n, uint32_t *nview, SnError *err)
{
    const SnAttr *kinds = sn_attr(x->s, ref, side);
    uint32_t at = 0;
    SN_CHECK(kinds, err, SN_EINTERNAL, "compile: host term %u was not flattened", ref);
    const int count = kinds->u.ints.n;
    for (int i = 0; i < count; i++) {
        const int64_t kind = sn_attr(x->s, ref, side)->u.ints.at[i];
        const uint32_t width = kind == SN_HOST_LIST ? 3 : 1;
        SN_CHECK(at + width <= n, err, SN_EINTERNAL, "compile: host term %u has %u leaves", ref, n);
        SN_TRY(host_slot(x, kind, buffer + at, leaf + at, err));
        at += width;
    }
    *nview = (uint32_t)count;
    return SN_OK;
}

SnStatus sn_steps_host(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    const char *name = sn_attr_string(x->s, ref, "op");
    uint16_t id = 0;
    const SnOpRow *op = name ? sn_compiler_find_row(x->p->cc, name, &id) : NULL;
    SN_CHECK(op && op->op->run, err, SN_EINTERNAL, "compile: %s is no host op", name ? name : "?");
    const SnTerm *t = sn_term(x->s, ref);
    const uint32_t nin = t->narg - 1u;
    const SnTypeId *out_leaf = NULL;
    SnTypeId self = 0;
    const uint32_t nout = sn_steps_leaves(x->s, t->type, &out_leaf, &self);
    uint32_t *buffer = sn_arena_array(x->p->arena, nin + nout + 2u, sizeof *buffer);
    SnTypeId *leaf = sn_arena_array(x->p->arena, nin + 1u, sizeof *leaf);
    SN_CHECK(buffer && leaf, err, SN_ENOMEM, "compile: no memory for host calls");
    for (uint32_t i = 0; i < nin; i++) {
        const SnRef arg = sn_term(x->s, ref)->arg[i + 1];
        leaf[i] = sn_term(x->s, arg)->type;
        SN_TRY(sn_steps_lookup(x, f, arg, &buffer[i], err));
    }
    SN_TRY(sn_steps_results(x, f, ref, err));
    for (uint32_t i = 0; i < nout; i++)
        buffer[nin + i] = sn_steps_home(f, ref, i);
    SnHostRow row = {.name = sn_steps_string(x, name),
                     .symbol = sn_steps_string(x, op->op->symbol ? op->op->symbol : name),
                     .first = (uint32_t)x->host_slot.n};
    SN_TRY(host_slots(x, ref, "in", buffer, leaf, nin, &row.nin, err));
    SN_TRY(host_slots(x, ref, "out", buffer + nin, out_leaf, nout, &row.nout, err));
    SN_TRY(host_attrs(x, ref, op, &row, err));
    SN_TRY(host_memo(x, ref, &row, err));
    while (row.fn < x->host_fn.n && x->host_fn.at[row.fn] != op->op)
        row.fn++;
    SnStepRow step = {.kind = SN_STEP_HOST, .a = (uint32_t)x->host.n, .b = SN_NONE};
    uint32_t nbuffer = nin + nout;
    const SnRef scratch = sn_term(x->s, ref)->arg[0];
    if (sn_term(x->s, scratch)->op != SN_OP_NONE) {
        SN_TRY(sn_steps_new_buffer(x, SN_BUFFER_SCRATCH, 0, scratch, &step.b, err));
        buffer[nbuffer++] = step.b;
    }
    SN_CHECK((row.fn < x->host_fn.n || sn_vec_push(x->memory, &x->host_fn, op->op)) &&
                 sn_vec_push(x->memory, &x->host, row),
             err, SN_ENOMEM, "compile: no memory for host calls");
    return sn_steps_push(x, step, buffer, nbuffer, NULL, 0, err);
}
