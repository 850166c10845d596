/* prims.c -- shape rules of the primitives: what each demands of its operands, and what it gives.
 *
 * One rule a row of prims.def. A rule is strict: dims must be provably equal where they have to agree; only
 * reshape accepts element counts that are not provably different, since the run checks them. Structure ops
 * (tuples, functions, loops, lists) are in structure.c, movement ops in prims_move.c. */
#include "compiler/infer.h"

#include <inttypes.h>

/* ---- messages and attributes ---- */

SnStatus sn_infer_fail(const SnInfer *x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const SnStatus st = sn_failv(x->err, SN_ESHAPE, format, args);
    va_end(args);
    return sn_fail_in(x->err, st, sn_prim(x->op)->name);
}

SnStatus sn_infer_expect(const SnInfer *x, int i, const char *format, ...)
{
    SnError what;
    va_list args;
    va_start(args, format);
    sn_failv(&what, SN_ESHAPE, format, args);
    va_end(args);
    SnText found = {.memory = sn_allocator(sn_store_context(x->s))};
    sn_type_print(x->s, sn_term(x->s, x->arg[i])->type, &found);
    const SnStatus st = sn_fail(x->err, SN_ESHAPE, "%s: operand %d: expected %s, found %s",
                                sn_prim(x->op)->name, i + 1, what.message, found.failed ? "?" : found.at);
    sn_text_clear(&found);
    return st;
}

SnStatus sn_infer_done(const SnInfer *x, SnTypeId type)
{
    if (type == 0)
        return sn_store_failed(x->s) ? sn_fail(x->err, SN_ENOMEM, "no memory for terms")
                                     : sn_infer_fail(x, "the type of the result is too large");
    *x->out = type;
    return SN_OK;
}

int64_t sn_infer_int(const SnInfer *x, const char *name, int64_t otherwise)
{
    const SnAttr *a = sn_attrs_find(x->s, x->attr, name);
    return a != NULL && a->kind == SN_ATTR_INT ? a->u.i : otherwise;
}

static const char *attr_string(const SnInfer *x, const char *name, const char *otherwise)
{
    const SnAttr *a = sn_attrs_find(x->s, x->attr, name);
    return a != NULL && a->kind == SN_ATTR_STRING ? a->u.s : otherwise;
}

static SnDtype attr_dtype(const SnInfer *x, const char *name)
{
    const SnAttr *a = sn_attrs_find(x->s, x->attr, name);
    return a != NULL && a->kind == SN_ATTR_DTYPE ? a->u.d : SN_NODTYPE;
}

/* Absent: n = -1. */
const int64_t *sn_infer_ints(const SnInfer *x, const char *name, int *n)
{
    const SnAttr *a = sn_attrs_find(x->s, x->attr, name);
    const bool found = a != NULL && a->kind == SN_ATTR_INTS;
    *n = found ? a->u.ints.n : -1;
    return found ? a->u.ints.at : NULL;
}

bool sn_infer_is_scalar(const SnInfer *x, int i, SnDtype dtype)
{
    const SnType *t = sn_infer_type(x, i);
    return t->kind == SN_TYPE_TENSOR && t->ndim == 0 &&
           (dtype == SN_NODTYPE ? sn_dtype_is_int(t->dtype) : t->dtype == dtype);
}

SnStatus sn_infer_dims(const SnInfer *x, int first, int n)
{
    for (int i = first; i < first + n; i++)
        if (!sn_is_dim(x->s, x->arg[i]))
            return sn_infer_expect(x, i, "a dim (constant, symbol, measure or arithmetic on them)");
    return SN_OK;
}

static bool is_array(const SnType *t)
{
    return t->kind == SN_TYPE_TENSOR || t->kind == SN_TYPE_LIST;
}

SnStatus sn_infer_want_tensor(const SnInfer *x, int i)
{
    return sn_infer_type(x, i)->kind == SN_TYPE_TENSOR ? SN_OK : sn_infer_expect(x, i, "a tensor");
}

/* Tensor or list: what movement ops take. */
SnStatus sn_infer_want_array(const SnInfer *x, int i)
{
    return is_array(sn_infer_type(x, i)) ? SN_OK : sn_infer_expect(x, i, "a tensor or list");
}

/* The type of operand like with other dims. */
SnStatus sn_infer_done_dims(const SnInfer *x, const SnType *like, int ndim, const SnRef *dims)
{
    if (ndim > SN_MAX_RANK)
        return sn_infer_fail(x, "rank %d is beyond %d", ndim, SN_MAX_RANK);
    return sn_infer_done(x, like->kind == SN_TYPE_LIST
                                ? sn_type_list(x->s, like->dtype, ndim, dims, like->bound)
                                : sn_type_tensor(x->s, like->dtype, ndim, dims));
}

static SnStatus done_tensor(const SnInfer *x, SnDtype dtype, int ndim, const SnRef *dims)
{
    if (ndim > SN_MAX_RANK)
        return sn_infer_fail(x, "rank %d is beyond %d", ndim, SN_MAX_RANK);
    return sn_infer_done(x, sn_type_tensor(x->s, dtype, ndim, dims));
}

bool sn_infer_same_dims(const SnInfer *x, const SnType *a, const SnType *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (!sn_dim_equal(x->s, a->dims[i], b->dims[i]))
            return false;
    return true;
}

/* Operand i against operand k, whose type it must have. */
SnStatus sn_infer_want_same(const SnInfer *x, int i, int k)
{
    const SnType *a = sn_infer_type(x, i), *b = sn_infer_type(x, k);
    if (a->kind == b->kind && a->dtype == b->dtype && sn_infer_same_dims(x, a, b))
        return SN_OK;
    SnText want = {.memory = sn_allocator(sn_store_context(x->s))};
    sn_type_print(x->s, sn_term(x->s, x->arg[k])->type, &want);
    const SnStatus st = sn_infer_expect(x, i, "%s", want.failed ? "?" : want.at);
    sn_text_clear(&want);
    return st;
}

SnStatus sn_infer_want_axis(const SnInfer *x, int64_t axis, int rank)
{
    return axis >= 0 && axis < rank ? SN_OK
                                    : sn_infer_fail(x, "axis %" PRId64 " is outside rank %d", axis, rank);
}

/* Distinct axes of an operand as a bit set. */
SnStatus sn_infer_want_axes(const SnInfer *x, const int64_t *axes, int n, int rank, uint32_t *set)
{
    *set = 0;
    if (n < 0)
        return sn_infer_fail(x, "attribute axes is missing");
    for (int i = 0; i < n; i++) {
        SN_TRY(sn_infer_want_axis(x, axes[i], rank));
        if ((*set & 1u << axes[i]) != 0)
            return sn_infer_fail(x, "axis %" PRId64 " is named twice", axes[i]);
        *set |= 1u << axes[i];
    }
    return SN_OK;
}

/* ---- elementwise ---- */

typedef enum DtypeClass { NUMBER, FLOAT, INTEGER, BITS, ANY } DtypeClass;

static bool dtype_in(SnDtype d, DtypeClass c)
{
    const SnDtypeKind kind = sn_dtype(d)->kind;
    switch (c) {
    case NUMBER:
        return kind != SN_KIND_BOOL;
    case FLOAT:
        return kind == SN_KIND_FLOAT;
    case INTEGER:
        return kind == SN_KIND_INT || kind == SN_KIND_UINT;
    case BITS:
        return kind != SN_KIND_FLOAT;
    case ANY:
        return true;
    }
    return false;
}

static SnStatus want_class(const SnInfer *x, int i, DtypeClass c)
{
    static const char *const text[] = {"numbers", "floats", "integers", "integers or bool", "any dtype"};
    SN_TRY(sn_infer_want_tensor(x, i));
    return dtype_in(sn_infer_type(x, i)->dtype, c) ? SN_OK : sn_infer_expect(x, i, "%s", text[c]);
}

static DtypeClass class_of_op(uint16_t op)
{
    switch (op) {
    case SN_OP_NOT:
    case SN_OP_AND:
    case SN_OP_OR:
    case SN_OP_XOR:
        return BITS;
    case SN_OP_IDIV:
    case SN_OP_SHL:
    case SN_OP_SHR:
        return INTEGER;
    case SN_OP_NEG:
    case SN_OP_ABS:
    case SN_OP_ADD:
    case SN_OP_SUB:
    case SN_OP_MUL:
    case SN_OP_MOD:
    case SN_OP_MIN:
    case SN_OP_MAX:
    case SN_OP_LT:
        return NUMBER;
    case SN_OP_EQ:
        return ANY;
    default:
        return FLOAT;
    }
}

static SnStatus infer_elementwise(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    for (int i = 0; i < x->narg; i++) {
        SN_TRY(want_class(x, i, class_of_op(x->op)));
        if (i > 0)
            SN_TRY(sn_infer_want_same(x, i, 0));
    }
    const bool compares = x->op == SN_OP_LT || x->op == SN_OP_EQ;
    return done_tensor(x, compares ? SN_BOOL : a->dtype, a->ndim, a->dims);
}

static SnStatus infer_cast(const SnInfer *x)
{
    const SnDtype to = attr_dtype(x, "to");
    const SnType *a = sn_infer_type(x, 0);
    SN_TRY(sn_infer_want_tensor(x, 0));
    if (to == SN_NODTYPE)
        return sn_infer_fail(x, "attribute to is missing");
    return done_tensor(x, to, a->ndim, a->dims);
}

static SnStatus infer_bitcast(const SnInfer *x)
{
    const SnDtype to = attr_dtype(x, "to");
    SN_TRY(sn_infer_want_tensor(x, 0));
    if (to == SN_NODTYPE)
        return sn_infer_fail(x, "attribute to is missing");
    SnType t = *sn_infer_type(x, 0);
    const int64_t from_size = (int64_t)sn_dtype_size(t.dtype), to_size = (int64_t)sn_dtype_size(to);
    if (from_size != to_size) {
        if (t.ndim == 0)
            return sn_infer_expect(x, 0, "a last dim to scale");
        const SnRef bytes = sn_dim_mul(x->s, t.dims[t.ndim - 1], sn_const_i64(x->s, from_size));
        const SnRef unit = sn_const_i64(x->s, to_size);
        int64_t rest;
        if (bytes == 0 || !sn_is_const_i64(x->s, sn_dim_mod(x->s, bytes, unit), &rest) || rest != 0)
            return sn_infer_expect(x, 0, "a last dim that is whole elements of %s", sn_dtype(to)->name);
        t.dims[t.ndim - 1] = sn_dim_div(x->s, bytes, unit);
    }
    return done_tensor(x, to, t.ndim, t.dims);
}

/* The sum of two capacities; equal ones are taken for the same child. */
SnRef sn_infer_join_bounds(const SnInfer *x, SnRef a, SnRef b, bool is_sum)
{
    if (a == 0 || b == 0)
        return 0;
    return a == b && !is_sum ? a : sn_dim_add(x->s, a, b);
}

static SnStatus infer_where(const SnInfer *x)
{
    const SnType *c = sn_infer_type(x, 0), *a = sn_infer_type(x, 1), *b = sn_infer_type(x, 2);
    SN_TRY(sn_infer_want_array(x, 1));
    SN_TRY(sn_infer_want_same(x, 2, 1));
    if (c->kind != SN_TYPE_TENSOR || c->dtype != SN_BOOL || !sn_infer_same_dims(x, c, a))
        return sn_infer_expect(x, 0, "bool with the dims of operand 2");
    if (a->kind == SN_TYPE_TENSOR)
        return sn_infer_done_dims(x, a, a->ndim, a->dims);
    SnType t = *a;
    t.bound = sn_infer_join_bounds(x, a->bound, b->bound, false);
    return sn_infer_done_dims(x, &t, t.ndim, t.dims);
}

/* ---- leaves with operands ---- */

static SnStatus infer_none(const SnInfer *x)
{
    *x->out = 0;
    return SN_OK;
}

static SnStatus infer_iota(const SnInfer *x)
{
    const SnDtype dtype = attr_dtype(x, "dtype");
    SN_TRY(sn_infer_dims(x, 0, x->narg));
    SN_TRY(sn_infer_want_axis(x, sn_infer_int(x, "axis", 0), x->narg));
    if (dtype == SN_NODTYPE || !dtype_in(dtype, NUMBER))
        return sn_infer_fail(x, "attribute dtype must be a number dtype");
    return done_tensor(x, dtype, x->narg, x->arg);
}

static SnStatus infer_measure(const SnInfer *x)
{
    if (!sn_infer_is_scalar(x, 0, SN_NODTYPE))
        return sn_infer_expect(x, 0, "an integer scalar");
    if (sn_term(x->s, x->arg[1])->op != SN_OP_NONE)
        SN_TRY(sn_infer_dims(x, 1, 1));
    return sn_infer_done(x, sn_type_scalar(x->s, SN_I64));
}

/* ---- reductions and product ---- */

static SnStatus want_combiner(const SnInfer *x)
{
    const char *fn = attr_string(x, "fn", "");
    const uint16_t op = sn_combiner(fn);
    if (op == SN_OP_ERROR)
        return sn_infer_fail(x, "unknown combiner '%s'", fn);
    return want_class(x, 0, op == SN_OP_AND || op == SN_OP_OR || op == SN_OP_XOR ? BITS : NUMBER);
}

static SnStatus done_reduced(const SnInfer *x, const SnType *a, SnDtype dtype, uint32_t axes)
{
    const bool keep = sn_infer_int(x, "keep", 0) != 0;
    SnRef dims[SN_MAX_RANK];
    int n = 0;
    for (int i = 0; i < a->ndim; i++) {
        const bool reduced = (axes & 1u << i) != 0;
        if (!reduced || keep)
            dims[n++] = reduced ? sn_const_i64(x->s, 1) : a->dims[i];
    }
    return done_tensor(x, dtype, n, dims);
}

/* With a function the rule is about the first of the xs; the others look the same. */
static SnStatus infer_reduce(const SnInfer *x)
{
    const bool custom = strcmp(attr_string(x, "fn", ""), "fn") == 0;
    const SnType *a = sn_infer_type(x, custom && x->narg > 1 ? 1 : 0);
    uint32_t set = 0;
    int n;
    if (!custom && x->narg != 1)
        return sn_infer_fail(x, "expected 1 operand, found %d", x->narg);
    if (!custom)
        SN_TRY(want_combiner(x));
    if (x->op == SN_OP_SCAN) {
        SN_TRY(sn_infer_want_axis(x, sn_infer_int(x, "axis", -1), a->ndim));
        if (!custom)
            return sn_infer_done(x, sn_term(x->s, x->arg[0])->type);
    } else {
        const int64_t *axes = sn_infer_ints(x, "axes", &n);
        SN_TRY(sn_infer_want_axes(x, axes, n, a->ndim, &set));
    }
    if (!custom)
        return done_reduced(x, a, a->dtype, set);
    return sn_infer_combine(x);
}

static SnStatus infer_argmax(const SnInfer *x)
{
    const SnType *a = sn_infer_type(x, 0);
    const int64_t axis = sn_infer_int(x, "axis", -1);
    SN_TRY(want_class(x, 0, NUMBER));
    SN_TRY(sn_infer_want_axis(x, axis, a->ndim));
    return done_reduced(x, a, SN_I64, 1u << axis);
}

/* The letters of one operand of an equation; *at moves on to the separator. */
static SnStatus read_labels(const SnInfer *x, const char **at, char labels[SN_MAX_RANK], int *n)
{
    for (*n = 0; (**at >= 'a' && **at <= 'z') || (**at >= 'A' && **at <= 'Z'); (*at)++) {
        if (*n == SN_MAX_RANK || memchr(labels, **at, (size_t)*n) != NULL)
            return sn_infer_fail(x, "label '%c' repeats inside an operand or rank is beyond %d", **at,
                                 SN_MAX_RANK);
        labels[(*n)++] = **at;
    }
    return SN_OK;
}

static SnDtype contract_dtype(const SnInfer *x)
{
    const SnDtype acc = attr_dtype(x, "acc"), a = sn_infer_type(x, 0)->dtype;
    if (acc != SN_NODTYPE)
        return acc;
    return a == SN_I8 || a == SN_U8 ? SN_I32 : a;
}

static SnStatus want_factors(const SnInfer *x)
{
    SN_TRY(want_class(x, 0, NUMBER));
    SN_TRY(want_class(x, 1, NUMBER));
    const SnDtype a = sn_infer_type(x, 0)->dtype, b = sn_infer_type(x, 1)->dtype;
    const bool mixed = (a == SN_U8 && b == SN_I8) || (a == SN_I8 && b == SN_U8);
    if (a != b && !mixed)
        return sn_infer_expect(x, 1, "%s", sn_dtype(a)->name);
    if (sn_dtype_is_float(a) != sn_dtype_is_float(contract_dtype(x)))
        return sn_infer_fail(x, "acc %s does not fit %s", sn_dtype(contract_dtype(x))->name,
                             sn_dtype(a)->name);
    return SN_OK;
}

static SnStatus infer_contract(const SnInfer *x)
{
    const char *eq = attr_string(x, "eq", ""), *at = eq;
    char label[3][SN_MAX_RANK];
    SnRef size[128] = {0}, dims[SN_MAX_RANK];
    int n[3];
    SN_TRY(want_factors(x));
    SN_TRY(read_labels(x, &at, label[0], &n[0]));
    if (*at++ != ',')
        return sn_infer_fail(x, "'%s' is not of the form ab,bc->ac", eq);
    SN_TRY(read_labels(x, &at, label[1], &n[1]));
    if (strncmp(at, "->", 2) != 0)
        return sn_infer_fail(x, "'%s' is not of the form ab,bc->ac", eq);
    at += 2;
    SN_TRY(read_labels(x, &at, label[2], &n[2]));
    if (*at != '\0')
        return sn_infer_fail(x, "'%s' is not of the form ab,bc->ac", eq);
    for (int i = 0; i < 2; i++) {
        const SnType *t = sn_infer_type(x, i);
        if (t->ndim != n[i])
            return sn_infer_expect(x, i, "rank %d, as '%s' says", n[i], eq);
        for (int k = 0; k < n[i]; k++) {
            SnRef *known = &size[(unsigned char)label[i][k]];
            if (*known != 0 && !sn_dim_equal(x->s, *known, t->dims[k]))
                return sn_infer_expect(x, i, "the same dim for '%c' as in operand 1", label[i][k]);
            *known = t->dims[k];
        }
    }
    for (int k = 0; k < n[2]; k++) {
        dims[k] = size[(unsigned char)label[2][k]];
        if (dims[k] == 0)
            return sn_infer_fail(x, "'%c' of the result is in no operand", label[2][k]);
    }
    return done_tensor(x, contract_dtype(x), n[2], dims);
}

/* ---- indexed ---- */

/* Index operands first .. first + n - 1 broadcast together. */
static SnStatus index_dims(const SnInfer *x, int first, int n, SnRef dims[SN_MAX_RANK], int *ndim)
{
    *ndim = 0;
    for (int i = first; i < first + n; i++) {
        SN_TRY(want_class(x, i, INTEGER));
        const int rank = sn_infer_type(x, i)->ndim;
        *ndim = rank > *ndim ? rank : *ndim;
    }
    for (int k = 0; k < *ndim; k++)
        dims[k] = sn_const_i64(x->s, 1);
    for (int i = first; i < first + n; i++) {
        const SnType *t = sn_infer_type(x, i);
        for (int k = 0; k < t->ndim; k++) {
            SnRef *to = &dims[*ndim - t->ndim + k];
            int64_t v;
            if (sn_is_const_i64(x->s, t->dims[k], &v) && v == 1)
                continue;
            const bool is_one = sn_is_const_i64(x->s, *to, &v) && v == 1;
            if (!is_one && !sn_dim_equal(x->s, *to, t->dims[k]))
                return sn_infer_expect(x, i, "dims that broadcast with the other indices");
            *to = t->dims[k];
        }
    }
    return SN_OK;
}

/* Dims of gather: those of the indices, then the axes of x that are not indexed. */
static SnStatus gather_dims(const SnInfer *x, int nindex, SnRef dims[SN_MAX_RANK], int *ndim)
{
    const SnType *a = sn_infer_type(x, 0);
    uint32_t set;
    int n;
    const int64_t *axes = sn_infer_ints(x, "axes", &n);
    SN_TRY(sn_infer_want_axes(x, axes, n, a->ndim, &set));
    if (n != nindex)
        return sn_infer_fail(x, "%d axes for %d indices", n, nindex);
    SN_TRY(index_dims(x, 1, nindex, dims, ndim));
    for (int i = 0; i < a->ndim; i++) {
        if ((set & 1u << i) != 0)
            continue;
        if (*ndim == SN_MAX_RANK)
            return sn_infer_fail(x, "rank is beyond %d", SN_MAX_RANK);
        dims[(*ndim)++] = a->dims[i];
    }
    return SN_OK;
}

static SnStatus infer_gather(const SnInfer *x)
{
    SnRef dims[SN_MAX_RANK];
    int n;
    const char *oob = attr_string(x, "oob", "clamp");
    SN_TRY(sn_infer_want_array(x, 0));
    if (strcmp(oob, "clamp") != 0 && strcmp(oob, "zero") != 0)
        return sn_infer_fail(x, "oob=%s: expected clamp or zero", oob);
    SN_TRY(gather_dims(x, x->narg - 1, dims, &n));
    return sn_infer_done_dims(x, sn_infer_type(x, 0), n, dims);
}

static SnStatus infer_scatter(const SnInfer *x)
{
    const SnType *base = sn_infer_type(x, 0), *updates = sn_infer_type(x, x->narg - 1);
    const char *fn = attr_string(x, "fn", "set");
    SnType want = {.kind = SN_TYPE_TENSOR};
    if (!sn_is_one_of(sn_bytes_str(fn), "set add mul min max"))
        return sn_infer_fail(x, "unknown combiner '%s'", fn);
    SN_TRY(want_class(x, 0, strcmp(fn, "set") == 0 ? ANY : NUMBER));
    SN_TRY(gather_dims(x, x->narg - 2, want.dims, &want.ndim));
    if (updates->kind != SN_TYPE_TENSOR || updates->dtype != base->dtype ||
        !sn_infer_same_dims(x, updates, &want))
        return sn_infer_expect(x, x->narg - 1,
                               "%s with the dims of the indices, then the other dims of operand 1",
                               sn_dtype(base->dtype)->name);
    return sn_infer_done(x, sn_term(x->s, x->arg[0])->type);
}

static SnStatus infer_update(const SnInfer *x)
{
    const SnType *base = sn_infer_type(x, 0), *value = sn_infer_type(x, 1);
    SN_TRY(sn_infer_want_tensor(x, 0));
    if (value->kind != SN_TYPE_TENSOR || value->dtype != base->dtype || value->ndim != base->ndim)
        return sn_infer_expect(x, 1, "%s of rank %d", sn_dtype(base->dtype)->name, base->ndim);
    if (x->narg != 2 + base->ndim)
        return sn_infer_fail(x, "%d starts for rank %d", x->narg - 2, base->ndim);
    SN_TRY(sn_infer_want_starts(x, 2, base->ndim));
    for (int i = 0; i < base->ndim; i++)
        if (sn_infer_is_less(x, base->dims[i], value->dims[i]))
            return sn_infer_expect(x, 1, "no more elements on axis %d than operand 1 has", i);
    return sn_infer_done(x, sn_term(x->s, x->arg[0])->type);
}

static SnStatus infer_sort(const SnInfer *x)
{
    SnTypeId few[16];
    const int64_t axis = sn_infer_int(x, "axis", -1), nkeys = sn_infer_int(x, "nkeys", 1);
    const int64_t limit = sn_infer_int(x, "limit", 0);
    if (x->narg > (int)SN_COUNT(few))
        return sn_infer_fail(x, "%d operands: expected %d at most", x->narg, (int)SN_COUNT(few));
    SN_TRY(sn_infer_want_tensor(x, 0));
    const SnType *first = sn_infer_type(x, 0);
    SN_TRY(sn_infer_want_axis(x, axis, first->ndim));
    if (nkeys < 1 || nkeys > x->narg || limit < 0)
        return sn_infer_fail(x, "nkeys %" PRId64 " of %d operands, limit %" PRId64, nkeys, x->narg, limit);
    SnRef dims[SN_MAX_RANK];
    memcpy(dims, first->dims, sizeof dims);
    if (limit > 0)
        dims[axis] = sn_dim_min(x->s, dims[axis], sn_const_i64(x->s, limit));
    for (int i = 0; i < x->narg; i++) {
        SN_TRY(want_class(x, i, i < nkeys ? NUMBER : ANY));
        if (!sn_infer_same_dims(x, sn_infer_type(x, i), first))
            return sn_infer_expect(x, i, "the dims of operand 1");
        few[i] = sn_type_tensor(x->s, sn_infer_type(x, i)->dtype, first->ndim, dims);
    }
    return sn_infer_done(x, sn_type_tuple(x->s, x->narg, few, NULL));
}

static SnStatus infer_compact(const SnInfer *x)
{
    SnType t = *sn_infer_type(x, 0);
    const SnType *mask = sn_infer_type(x, 1);
    SN_TRY(sn_infer_want_array(x, 0));
    SN_TRY(sn_infer_dims(x, 2, 1));
    if (t.ndim == 0)
        return sn_infer_expect(x, 0, "rank 1 or more");
    if (mask->kind != SN_TYPE_TENSOR || mask->dtype != SN_BOOL || mask->ndim != 1 ||
        !sn_dim_equal(x->s, mask->dims[0], t.dims[0]))
        return sn_infer_expect(x, 1, "bool[n], n the first dim of operand 1");
    t.dims[0] = x->arg[2];
    return sn_infer_done_dims(x, &t, t.ndim, t.dims);
}

/* ---- devices ---- */

static SnStatus infer_same(const SnInfer *x)
{
    return sn_infer_done(x, sn_term(x->s, x->arg[0])->type);
}

static SnStatus infer_collective(const SnInfer *x)
{
    const char *kind = attr_string(x, "kind", "");
    const SnRef group = sn_const_i64(x->s, sn_infer_int(x, "group", 1));
    SN_TRY(sn_infer_want_tensor(x, 0));
    SnType t = *sn_infer_type(x, 0);
    if (strcmp(kind, "all_reduce") == 0)
        return infer_same(x);
    if (t.ndim == 0)
        return sn_infer_expect(x, 0, "rank 1 or more");
    if (strcmp(kind, "all_gather") == 0)
        t.dims[0] = sn_dim_mul(x->s, t.dims[0], group);
    else if (strcmp(kind, "reduce_scatter") == 0)
        t.dims[0] = sn_dim_div(x->s, t.dims[0], group);
    else
        return sn_infer_fail(x, "unknown kind '%s'", kind);
    return sn_infer_done_dims(x, &t, t.ndim, t.dims);
}

/* ---- the table ---- */

/* Leaves and host calls have the type their maker gave them. */
static SnInferRule *rule_of(uint16_t op)
{
    static SnInferRule *const rule[SN_PRIM_COUNT] = {
        [SN_OP_NONE] = infer_none,
        [SN_OP_IOTA] = infer_iota,
        [SN_OP_MEASURE] = infer_measure,
        [SN_OP_CAST] = infer_cast,
        [SN_OP_BITCAST] = infer_bitcast,
        [SN_OP_WHERE] = infer_where,
        [SN_OP_RESHAPE] = sn_infer_reshape,
        [SN_OP_PERMUTE] = sn_infer_permute,
        [SN_OP_BROADCAST] = sn_infer_broadcast,
        [SN_OP_SLICE] = sn_infer_slice,
        [SN_OP_PAD] = sn_infer_pad,
        [SN_OP_FLIP] = sn_infer_flip,
        [SN_OP_CONCAT] = sn_infer_concat,
        [SN_OP_WINDOW] = sn_infer_window,
        [SN_OP_REDUCE] = infer_reduce,
        [SN_OP_SCAN] = infer_reduce,
        [SN_OP_ARGMAX] = infer_argmax,
        [SN_OP_CONTRACT] = infer_contract,
        [SN_OP_GATHER] = infer_gather,
        [SN_OP_SCATTER] = infer_scatter,
        [SN_OP_UPDATE] = infer_update,
        [SN_OP_SORT] = infer_sort,
        [SN_OP_COMPACT] = infer_compact,
        [SN_OP_TUPLE] = sn_infer_tuple,
        [SN_OP_GET] = sn_infer_get,
        [SN_OP_CALL] = sn_infer_call,
        [SN_OP_LOOP] = sn_infer_loop,
        [SN_OP_COND] = sn_infer_cond,
        [SN_OP_FN] = sn_infer_fn,
        [SN_OP_ENTRY] = sn_infer_entry,
        [SN_OP_PROGRAM] = sn_infer_program,
        [SN_OP_LIST] = sn_infer_list,
        [SN_OP_OFFSETS] = sn_infer_offsets,
        [SN_OP_VALUES] = sn_infer_values,
        [SN_OP_COPY] = infer_same,
        [SN_OP_COLLECTIVE] = infer_collective,
        [SN_OP_GRAD] = sn_infer_grad,
        [SN_OP_STOP] = infer_same,
    };
    if (op >= SN_PRIM_COUNT)
        return NULL;
    return rule[op] == NULL && sn_op_is_elementwise(op) ? infer_elementwise : rule[op];
}

bool sn_prim_has_rule(uint16_t prim)
{
    return rule_of(prim) != NULL;
}

SnStatus sn_infer(SnStore *s, uint16_t prim, SnAttrId attr, const SnRef *arg, int narg, SnTypeId *out,
                  SnError *err)
{
    const SnInfer x = {.s = s, .op = prim, .attr = attr, .arg = arg, .narg = narg, .out = out, .err = err};
    SnInferRule *const rule = rule_of(prim);
    const SnPrimInfo *info = sn_prim(prim);
    SN_CHECK(!sn_store_failed(s), err, SN_ENOMEM, "no memory for terms");
    SN_CHECK(rule != NULL, err, SN_EINTERNAL, "%s: has no shape rule", info->name);
    if (narg < info->min_arg || (info->max_arg >= 0 && narg > info->max_arg))
        return sn_infer_fail(&x, "%d operands: expected %d%s", narg, info->min_arg,
                             info->max_arg != info->min_arg ? " or more" : "");
    for (int i = 0; i < narg; i++)
        if (arg[i] == 0)
            return sn_infer_fail(&x, "operand %d is missing", i + 1);
    return rule(&x);
}

static bool is_dim_arithmetic(const SnStore *s, uint16_t op, const SnRef *arg, int narg)
{
    const bool arithmetic = op == SN_OP_ADD || op == SN_OP_SUB || op == SN_OP_MUL || op == SN_OP_IDIV ||
                            op == SN_OP_MOD || op == SN_OP_MIN || op == SN_OP_MAX;
    return arithmetic && narg == 2 && sn_is_dim(s, arg[0]) && sn_is_dim(s, arg[1]);
}

SnStatus sn_term_build(SnStore *s, uint16_t prim, SnAttrId attr, const SnRef *arg, int narg, SnRef *out,
                       SnError *err)
{
    SnTypeId type;
    SN_TRY(sn_infer(s, prim, attr, arg, narg, &type, err));
    const SnRef r = is_dim_arithmetic(s, prim, arg, narg) ? sn_dim_op(s, prim, arg[0], arg[1])
                                                          : sn_term_make(s, prim, type, attr, arg, narg);
    SN_CHECK(r != 0, err, SN_ENOMEM, "no memory for terms");
    *out = r;
    return SN_OK;
}
