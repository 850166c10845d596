/* verify.c -- checks a whole program: every term against the rule of its op, and what no rule sees alone.
 *
 * Runs after each pass in debug builds. Every type is inferred again from the operands; functions must be
 * closed; flags say which ops a stage of the pipeline has left behind. */
#include "compiler/compiler.h"
#include "compiler/pass.h"

#include <inttypes.h>

typedef struct Verify {
    SnPass *p;
    SnStore *s;
    bool *inside; /* by ref: reached in the function that is checked */
    SnError *err;
} Verify;

/* "verify: term 7 (mul): MESSAGE" */
static SnStatus bad(const Verify *v, SnRef r, const char *format, ...) SN_PRINTF(3, 4);
static SnStatus bad(const Verify *v, SnRef r, const char *format, ...)
{
    const uint16_t op = sn_term(v->s, r)->op;
    const SnOpRow *row = sn_compiler_row_of(v->p->cc, op);
    SnError what;
    va_list args;
    va_start(args, format);
    sn_failv(&what, SN_EINTERNAL, format, args);
    va_end(args);
    return sn_fail(v->err, SN_EINTERNAL, "verify: term %" PRIu32 " (%s): %s", r,
                   row != NULL ? row->sig.name : sn_prim(op)->name, what.message);
}

static SnStatus check_inferred(const Verify *v, SnRef r)
{
    const SnTerm *t = sn_term(v->s, r);
    SnError inner = {0};
    SnTypeId type = 0;
    const SnStatus st = sn_infer(v->s, t->op, t->attr, t->arg, t->narg, &type, &inner);
    if (st == SN_ENOMEM)
        return sn_fail(v->err, st, "%s", inner.message);
    if (st != SN_OK)
        return bad(v, r, "%s", inner.message);
    if (type == t->type || sn_type_fits(v->s, type, t->type))
        return SN_OK;
    (void)sn_type_mismatch(v->s, type, t->type, &inner);
    return bad(v, r, "%s", inner.message);
}

/* ---- leaves ---- */

static SnStatus check_const(const Verify *v, SnRef r)
{
    const SnType *t = sn_type_of(v->s, r);
    const SnAttr *data = sn_attr(v->s, r, "data");
    size_t size = t->kind == SN_TYPE_TENSOR ? sn_dtype_size(t->dtype) : 0;
    if (sn_is_const(v->s, r, NULL))
        return t->kind == SN_TYPE_TENSOR && t->ndim == 0 ? SN_OK : bad(v, r, "a value stands for a tensor");
    if (data == NULL || data->kind != SN_ATTR_DATA)
        return bad(v, r, "has neither value nor data");
    for (int i = 0; i < t->ndim; i++) {
        int64_t n;
        if (!sn_is_const_i64(v->s, t->dims[i], &n) || n < 0 || !sn_mul_size(size, (size_t)n, &size))
            return bad(v, r, "dim %d is no constant", i);
    }
    return size == data->u.data.n ? SN_OK : bad(v, r, "%zu bytes, expected %zu", data->u.data.n, size);
}

static SnStatus check_leaf(const Verify *v, SnRef r)
{
    const SnTerm *t = sn_term(v->s, r);
    const SnType *type = sn_type(v->s, t->type);
    switch (t->op) {
    case SN_OP_CONST:
        return check_const(v, r);
    case SN_OP_DIM:
        return sn_is_dim(v->s, r) && sn_attr_string(v->s, r, "name") != NULL ? SN_OK
                                                                             : bad(v, r, "has no name");
    case SN_OP_ARG:
        return sn_attr_int(v->s, r, "index", -1) >= 0 ? SN_OK : bad(v, r, "has no index");
    case SN_OP_OBJECT:
        return type->kind == SN_TYPE_OBJECT ? SN_OK : bad(v, r, "is no object");
    case SN_OP_CARRY:
        if (t->narg == 1 && !sn_type_fits(v->s, t->type, sn_term(v->s, t->arg[0])->type))
            return bad(v, r, "the initial value has another type");
        break;
    case SN_OP_INPUT:
    case SN_OP_PARAM:
        break;
    default:
        return SN_OK;
    }
    return sn_attr_string(v->s, r, "name") != NULL ? SN_OK : bad(v, r, "has no name");
}

/* ---- what stages leave behind ---- */

static bool has_list(const SnStore *s, SnTypeId id)
{
    const SnType *t = sn_type(s, id);
    if (t->kind == SN_TYPE_LIST)
        return true;
    for (int i = 0; t->kind == SN_TYPE_TUPLE && i < t->nchild; i++)
        if (sn_type(s, t->child[i])->kind == SN_TYPE_TUPLE || has_list(s, t->child[i]))
            return true;
    return false;
}

static SnStatus check_stage(const Verify *v, SnRef r)
{
    const SnTerm *t = sn_term(v->s, r);
    const uint32_t flags = v->p->flags;
    if (t->op >= SN_PRIM_COUNT)
        return (flags & SN_PASS_EXPANDED) == 0 || sn_claim_of(v->p, r) != NULL
                   ? SN_OK
                   : bad(v, r, "a composite after expand");
    if (sn_prim(t->op)->kind == SN_PRIM_KERNEL || t->op == SN_OP_ERROR)
        return bad(v, r, "belongs in kernels only");
    if (t->op == SN_OP_CALL && (flags & SN_PASS_INLINED) != 0)
        return bad(v, r, "a call after inline");
    if ((flags & SN_PASS_FLAT) != 0 && has_list(v->s, t->type))
        return bad(v, r, "a list or nested tuple after flatten");
    return SN_OK;
}

static SnStatus check_type(const Verify *v, SnRef r, SnTypeId id)
{
    const SnType *t = sn_type(v->s, id);
    for (int i = 0; i < t->ndim; i++)
        if (!sn_is_dim(v->s, t->dims[i]))
            return bad(v, r, "dim %d of its type is no dim", i);
    if (t->bound != 0 && !sn_is_dim(v->s, t->bound))
        return bad(v, r, "the capacity of its type is no dim");
    for (int i = 0; i < t->nchild; i++)
        SN_TRY(check_type(v, r, t->child[i]));
    return SN_OK;
}

static SnStatus check_term(const Verify *v, SnRef r)
{
    const SnTerm *t = sn_term(v->s, r);
    for (int i = 0; i < t->narg; i++)
        if (t->arg[i] == 0 || t->arg[i] >= r)
            return bad(v, r, "operand %d is term %" PRIu32, i + 1, t->arg[i]);
    SN_TRY(check_type(v, r, t->type));
    SN_TRY(check_stage(v, r));
    if (t->op >= SN_PRIM_COUNT)
        return sn_compiler_row_of(v->p->cc, t->op) != NULL ? SN_OK : bad(v, r, "there is no such op");
    return sn_prim_has_rule(t->op) ? check_inferred(v, r) : check_leaf(v, r);
}

/* ---- closed functions ---- */

static bool is_parameter(const SnTerm *fn, SnRef r)
{
    for (int i = 1; i < fn->narg; i++)
        if (fn->arg[i] == r)
            return true;
    return false;
}

/* Parameters in the scope of r must be those of r, a function; of an entry there are none. A measure is a dim
 * and may have been taken outside. */
static SnStatus check_closed(Verify *v, SnRef r)
{
    const SnTerm *t = sn_term(v->s, r);
    const bool is_fn = t->op == SN_OP_FN;
    memset(v->inside, 0, (size_t)r + 1);
    for (int i = 0; i < (is_fn ? 1 : t->narg); i++)
        v->inside[t->arg[i]] = true;
    for (SnRef k = r - 1; k > 0; k--) {
        const SnTerm *u = sn_term(v->s, k);
        if (!v->inside[k] || u->op == SN_OP_FN || u->op == SN_OP_MEASURE)
            continue;
        if (u->op == SN_OP_ARG && !(is_fn && is_parameter(t, k)))
            return bad(v, r, "parameter %" PRId64 " (term %" PRIu32 ") belongs to another function",
                       sn_attr_int(v->s, k, "index", -1), k);
        if (u->op == SN_OP_ENTRY || u->op == SN_OP_PROGRAM)
            return bad(v, r, "an entry is no operand");
        for (int i = 0; i < u->narg; i++)
            v->inside[u->arg[i]] = true;
    }
    return SN_OK;
}

/* Streams name results; after flatten those are what a loop stacks, the child of a list in another shape. */
static SnStatus check_streams(const Verify *v, SnRef entry)
{
    const SnRef results = sn_term(v->s, entry)->arg[0];
    const SnType *t = sn_type_of(v->s, results);
    const SnAttr *streams = sn_attr(v->s, entry, "streams");
    for (int i = 0; streams != NULL && i < streams->u.names.n; i++) {
        const char *name = streams->u.names.at[i];
        int k = 0;
        while (t->names != NULL && k < t->nchild && strcmp(t->names[k], name) != 0)
            k++;
        if (t->names == NULL || k == t->nchild)
            return bad(v, entry, "stream %s is no result", name);
        if ((v->p->flags & SN_PASS_FLAT) == 0 || sn_term(v->s, results)->op != SN_OP_TUPLE)
            continue;
        SnRef value = sn_term(v->s, results)->arg[k];
        if (sn_term(v->s, value)->op == SN_OP_RESHAPE)
            value = sn_term(v->s, value)->arg[0];
        if (sn_stacking_loop(v->s, value) == 0)
            return bad(v, entry, "stream %s is not what a loop stacks", name);
    }
    return SN_OK;
}

SnStatus sn_verify(SnPass *p, SnRef root, SnError *err)
{
    Verify v = {.p = p, .s = p->s, .err = err};
    SN_CHECK(sn_term(p->s, root)->op == SN_OP_PROGRAM, err, SN_EINTERNAL, "verify: the root is no program");
    const bool *used = sn_reach(p, root, true);
    v.inside = (bool *)sn_arena_array(p->arena, (size_t)root + 1, sizeof *v.inside);
    SN_CHECK(used != NULL && v.inside != NULL, err, SN_ENOMEM, "verify: no memory");
    for (SnRef r = 1; r <= root; r++) {
        if (!used[r])
            continue;
        SN_TRY(check_term(&v, r));
        const uint16_t op = sn_term(p->s, r)->op;
        if (op == SN_OP_FN || op == SN_OP_ENTRY)
            SN_TRY(check_closed(&v, r));
        if (op == SN_OP_ENTRY)
            SN_TRY(check_streams(&v, r));
    }
    return SN_OK;
}
