/* build_call.c -- any op by name: checks a call against the row's signature and makes the term of a
 * composite. */
#include "compiler/build.h"

/* ---- reading calls ---- */

/* NULL would be an op that reads what its signature lacks. */
static const SnAttr *call_attr(const SnCall *c, const char *name, SnAttrKind kind)
{
    const SnAttr *found = NULL;
    for (int i = 0; i < c->nattr && found == NULL; i++)
        if (strcmp(c->attr[i].name, name) == 0 && c->attr[i].kind == kind)
            found = &c->attr[i];
    SN_ASSERT(found != NULL);
    return found;
}

int64_t sn_call_int(const SnCall *c, const char *attr)
{
    const SnAttr *const a = call_attr(c, attr, SN_ATTR_INT);
    return a != NULL ? a->u.i : 0;
}

double sn_call_float(const SnCall *c, const char *attr)
{
    const SnAttr *const a = call_attr(c, attr, SN_ATTR_FLOAT);
    return a != NULL ? a->u.f : 0;
}

const char *sn_call_string(const SnCall *c, const char *attr)
{
    const SnAttr *const a = call_attr(c, attr, SN_ATTR_STRING);
    return a != NULL ? a->u.s : "";
}

SnDtype sn_call_dtype(const SnCall *c, const char *attr)
{
    const SnAttr *const a = call_attr(c, attr, SN_ATTR_DTYPE);
    return a != NULL ? a->u.d : SN_NODTYPE;
}

const int64_t *sn_call_ints(const SnCall *c, const char *attr, int *n)
{
    const SnAttr *const a = call_attr(c, attr, SN_ATTR_INTS);
    *n = a != NULL ? a->u.ints.n : 0;
    return a != NULL ? a->u.ints.at : NULL;
}

bool sn_call_has(const SnCall *c, int operand)
{
    return operand < c->nin && c->in[operand].ref != 0;
}

/* ---- primitives by name ---- */

static SnPrim find_prim(const char *name)
{
    const uint16_t op = sn_prim_named(sn_bytes_str(name));
    return op < SN_OP_INDEX ? (SnPrim)op : SN_OP_ERROR; /* kernel scalars are last, and no graph has them */
}

static SnValue prim_call(SnGraph *g, SnPrim op, SnRef *in, int nin, const SnAttr *attrs, int nattr)
{
    const bool is_elementwise = sn_op_is_elementwise((uint16_t)op) && nin > 1 && nin <= 3;
    const char *const name = sn_prim((uint16_t)op)->name;
    if (op == SN_OP_ERROR)
        return sn_none();
    for (int i = 0; i < nin; i++)
        if (is_elementwise && sn_is_none(g->s, in[i]))
            return sn_graph_fail(g, SN_EINVAL, "%s: operand %d is missing", name, i + 1);
    return is_elementwise && !sn_fit(g, op, in, nin) ? sn_none() : sn_make(g, op, attrs, nattr, in, nin);
}

/* ---- composites ---- */

/* Constants and dims take the dtype that their variable has in other operands. */
static void adapt_operands(SnGraph *g, const SnSig *sig, SnRef *in, int nin)
{
    for (int i = 0; i < nin; i++) {
        const SnSigType *const p = &sig->operand[i < sig->noperand ? i : sig->noperand - 1].type;
        SnDtype to = p->fixed;
        if (p->kind != SN_SIG_TENSOR || sn_is_none(g->s, in[i]) || !sn_is_adaptable(g->s, in[i]))
            continue;
        for (int j = 0; j < nin && to == SN_NODTYPE; j++) {
            const SnSigType *const q = &sig->operand[j < sig->noperand ? j : sig->noperand - 1].type;
            if (q->kind == SN_SIG_TENSOR && strcmp(p->dtype, q->dtype) == 0 && !sn_is_none(g->s, in[j]) &&
                !sn_is_adaptable(g->s, in[j]))
                to = sn_dtype_of(g->s, in[j]);
        }
        const SnRef fit = to != SN_NODTYPE ? sn_adapt(g, in[i], to) : 0;
        in[i] = fit != 0 ? fit : in[i];
    }
}

static SnCall call_from(SnGraph *g, const SnSig *sig, const SnRef *in, int nin, SnValue *values,
                        const SnAttr *attr)
{
    for (int i = 0; i < nin; i++)
        values[i] = sn_is_none(g->s, in[i]) ? sn_none() : sn_here(g, in[i]);
    return (SnCall){.in = values, .nin = nin, .attr = attr, .nattr = sig->nattr};
}

/* The type of a call: as the signature says, as the row infers, or as the expansion turns out. */
static SnStatus infer_call(SnGraph *g, const SnOpRow *row, const SnRef *in, int nin, SnValue *values,
                           const SnAttr *attr, SnTypeId *out, SnError *err)
{
    SnSigMatch m;
    SN_TRY(sn_sig_match(g->s, &row->sig, in, nin, attr, &m, err));
    const SnCall c = call_from(g, &row->sig, in, nin, values, attr);
    if (row->op->infer != NULL)
        return row->op->infer(g, &c, out, err);
    if (!row->sig.is_open)
        return sn_sig_result(g->s, &m, out, err);
    SN_CHECK(row->op->expand != NULL, err, SN_EINVAL, "%s: a host op must infer its result", row->sig.name);
    const SnValue v = row->op->expand(g, &c);
    SN_TRY(sn_graph_check(g, err));
    *out = sn_term(g->s, v.ref)->type;
    return SN_OK;
}

static SnValue row_call(SnGraph *g, uint16_t op_id, const SnOpRow *row, SnRef *in, int nin, SnValue *values,
                        const SnAttr *given, int ngiven)
{
    const SnSig *const sig = &row->sig;
    SnAttr attr[SN_SIG_ATTRS];
    SnError err = {0};
    SnTypeId type = 0;
    adapt_operands(g, sig, in, nin);
    SnStatus st = sn_sig_attrs(sig, given, ngiven, attr, &err);
    if (st == SN_OK)
        st = infer_call(g, row, in, nin, values, attr, &type, &err);
    if (st != SN_OK)
        return sn_graph_fail_op(g, &err, sig->name, in, nin);
    const SnAttrId attrs = sn_attrs_make(g->s, attr, sig->nattr);
    return sn_graph_ok(g) ? sn_here(g, sn_term_make(g->s, op_id, type, attrs, in, nin)) : sn_none();
}

SnValue sn_op(SnGraph *g, const char *op, const SnValue *in, int nin, const SnAttr *attrs, int nattr)
{
    uint16_t id = 0;
    const SnOpRow *const row = sn_compiler_find_row(g->cc, op, &id);
    const SnPrim prim = row == NULL ? find_prim(op) : SN_OP_ERROR;
    if (!sn_graph_ok(g))
        return sn_none();
    if (row == NULL && prim == SN_OP_ERROR)
        return sn_graph_fail(g, SN_EINVAL, "op %s: there is no such op", op);
    const int noperand = row != NULL ? row->sig.noperand : 0;
    const bool is_variadic = noperand > 0 && row->sig.operand[noperand - 1].is_variadic;
    const int n = nin < noperand - is_variadic ? noperand - is_variadic : nin;
    SnArena *const arena = sn_store_arena(g->s);
    SnRef *const ref = sn_arena_array(arena, (size_t)n + 1, sizeof *ref);
    SnValue *const values = sn_arena_array(arena, (size_t)n + 1, sizeof *values);
    if (ref == NULL || values == NULL)
        return sn_graph_no_memory(g);
    for (int i = 0; i < n; i++)
        ref[i] = sn_use_optional(g, i < nin ? in[i] : sn_none());
    if (!sn_graph_ok(g))
        return sn_none();
    return row != NULL ? row_call(g, id, row, ref, n, values, attrs, nattr)
                       : prim_call(g, prim, ref, n, attrs, nattr);
}

/* ---- the way back ---- */

SnStatus sn_call_of(SnGraph *g, SnRef r, SnArena *arena, const SnOpRow **row, SnCall *out, SnError *err)
{
    const SnTerm *const t = sn_term(g->s, r);
    const SnOpRow *const found = sn_compiler_row_of(g->cc, t->op);
    SN_CHECK(found != NULL, err, SN_EINTERNAL, "term %u is no composite", r);
    const SnSig *const sig = &found->sig;
    SnValue *const in = sn_arena_array(arena, (size_t)t->narg + 1, sizeof *in);
    SnAttr *const attr = sn_arena_array(arena, (size_t)sig->nattr + 1, sizeof *attr);
    SN_CHECK(in != NULL && attr != NULL, err, SN_ENOMEM, "%s: no memory", sig->name);
    for (int i = 0; i < sig->nattr; i++) {
        const SnAttr *const a = sn_attr(g->s, r, sig->attr[i].value.name);
        SN_CHECK(a != NULL, err, SN_EINTERNAL, "%s: attribute %s is missing", sig->name,
                 sig->attr[i].value.name);
        attr[i] = *a;
    }
    *out = call_from(g, sig, t->arg, t->narg, in, attr);
    *row = found;
    return SN_OK;
}
