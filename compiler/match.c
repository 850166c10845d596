/* match.c -- checks calls against signatures and infers results where the result pattern says them. */
#include "compiler/sig.h"

static const SnAttr *find_attr(const SnAttr *attr, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(attr[i].name, name) == 0)
            return &attr[i];
    return NULL;
}

/* Reads a given attribute as the kind that the signature wants: an int is a fine float. */
static bool convert_attr(const SnSigAttr *want, const SnAttr *given, SnAttr *out)
{
    *out = *given;
    out->name = want->value.name;
    if (want->value.kind == given->kind)
        return true;
    if (want->value.kind != SN_ATTR_FLOAT || given->kind != SN_ATTR_INT)
        return false;
    *out = SN_FLOAT(want->value.name, (double)given->u.i);
    return true;
}

SnStatus sn_sig_attrs(const SnSig *sig, const SnAttr *given, int n, SnAttr *out, SnError *err)
{
    for (int i = 0; i < n; i++) {
        bool is_known = false;
        for (int j = 0; j < sig->nattr && !is_known; j++)
            is_known = strcmp(sig->attr[j].value.name, given[i].name) == 0;
        SN_CHECK(is_known, err, SN_EINVAL, "%s: no attribute %s", sig->name, given[i].name);
    }
    for (int j = 0; j < sig->nattr; j++) {
        const SnSigAttr *const want = &sig->attr[j];
        const SnAttr *const a = find_attr(given, n, want->value.name);
        SN_CHECK(a != NULL || !want->is_required, err, SN_EINVAL, "%s: attribute %s is missing", sig->name,
                 want->value.name);
        out[j] = want->value;
        SN_CHECK(a == NULL || convert_attr(want, a, &out[j]), err, SN_EINVAL,
                 "%s: attribute %s must be of kind %s", sig->name, want->value.name,
                 sn_sig_attr_kind(want->kind));
    }
    return SN_OK;
}

bool sn_dims_broadcast(SnStore *s, int *na, SnRef *a, int nb, const SnRef *b)
{
    const int n = *na > nb ? *na : nb;
    SnRef out[SN_MAX_RANK];
    for (int i = 0; i < n; i++) {
        const int ia = i - (n - *na), ib = i - (n - nb);
        int64_t v = 0;
        if (ia < 0 || (ib >= 0 && sn_is_const_i64(s, a[ia], &v) && v == 1))
            out[i] = b[ib];
        else if (ib < 0 || (sn_is_const_i64(s, b[ib], &v) && v == 1) || sn_dim_equal(s, a[ia], b[ib]))
            out[i] = a[ia];
        else
            return false;
    }
    memcpy(a, out, (size_t)n * sizeof *out);
    *na = n;
    return true;
}

static bool in_class(char variable, SnDtype d)
{
    switch (variable) {
    case 'F':
        return sn_dtype_is_float(d);
    case 'I':
        return sn_dtype_is_int(d);
    case 'B':
        return d == SN_BOOL;
    case 'T':
        return d != SN_NODTYPE;
    default:
        return false;
    }
}

/* ---- messages ---- */

static const SnSigOperand *pattern_of(const SnSig *sig, int operand)
{
    return &sig->operand[operand < sig->noperand ? operand : sig->noperand - 1];
}

static const SnAllocator *allocator_of(const SnStore *s)
{
    return sn_allocator(sn_store_context(s));
}

/* "softmax: operand 1 (x): expected F[..], found i32[4]". */
static SnStatus mismatch(const SnStore *s, const SnSigMatch *m, int operand, SnError *err)
{
    const SnSigOperand *const o = pattern_of(m->sig, operand);
    SnText found = {.memory = allocator_of(s)};
    sn_type_print(s, sn_term(s, m->in[operand])->type, &found);
    const SnStatus st = sn_fail(err, SN_ESHAPE, "%s: operand %d (%s): expected %s, found %s", m->sig->name,
                                operand + 1, o->name, o->type.text, found.at != NULL ? found.at : "?");
    sn_text_clear(&found);
    return st;
}

/* "linear: dim i is 384 in operand 1 (x) and 512 in operand 2 (w)". */
static SnStatus disagree(const SnStore *s, const SnSigMatch *m, const char *name, SnRef a, int ia, SnRef b,
                         int ib, SnError *err)
{
    SnText left = {.memory = allocator_of(s)}, right = {.memory = allocator_of(s)};
    sn_dim_print(s, a, &left);
    sn_dim_print(s, b, &right);
    const SnStatus st =
        sn_fail(err, SN_ESHAPE, "%s: dim %s is %s in operand %d (%s) and %s in operand %d (%s)", m->sig->name,
                name, left.at != NULL ? left.at : "?", ia + 1, pattern_of(m->sig, ia)->name,
                right.at != NULL ? right.at : "?", ib + 1, pattern_of(m->sig, ib)->name);
    sn_text_clear(&left);
    sn_text_clear(&right);
    return st;
}

/* ---- binding ---- */

static SnStatus bind_dtype(SnStore *s, SnSigMatch *m, int operand, const SnSigType *p, SnDtype d,
                           SnError *err)
{
    if (p->fixed != SN_NODTYPE)
        return p->fixed == d ? SN_OK : mismatch(s, m, operand, err);
    if (!in_class(p->dtype[0], d))
        return mismatch(s, m, operand, err);
    for (int i = 0; i < m->nvar; i++) {
        if (strcmp(m->var[i].name, p->dtype) != 0)
            continue;
        SN_CHECK(m->var[i].dtype == d, err, SN_ESHAPE, "%s: operand %d (%s) is %s, but operand %d (%s) is %s",
                 m->sig->name, operand + 1, pattern_of(m->sig, operand)->name, sn_dtype(d)->name,
                 m->var[i].operand + 1, pattern_of(m->sig, m->var[i].operand)->name,
                 sn_dtype(m->var[i].dtype)->name);
        return SN_OK;
    }
    m->var[m->nvar].name = p->dtype;
    m->var[m->nvar].dtype = d;
    m->var[m->nvar++].operand = operand;
    return SN_OK;
}

static SnStatus bind_dim(SnStore *s, SnSigMatch *m, int operand, const SnSigDim *p, SnRef dim, SnError *err)
{
    if (p->kind == SN_SIG_NUMBER) {
        int64_t v = 0;
        return sn_is_const_i64(s, dim, &v) && v == p->number ? SN_OK : mismatch(s, m, operand, err);
    }
    for (int i = 0; i < m->ndim; i++) {
        if (strcmp(m->dim[i].name, p->name) == 0)
            return sn_dim_equal(s, m->dim[i].dim, dim)
                       ? SN_OK
                       : disagree(s, m, p->name, m->dim[i].dim, m->dim[i].operand, dim, operand, err);
    }
    SN_CHECK((size_t)m->ndim < SN_COUNT(m->dim), err, SN_EINVAL, "%s: too many dims in the signature",
             m->sig->name);
    m->dim[m->ndim].name = p->name;
    m->dim[m->ndim].dim = dim;
    m->dim[m->ndim++].operand = operand;
    return SN_OK;
}

static SnStatus bind_rest(SnStore *s, SnSigMatch *m, int operand, int n, const SnRef *dims, SnError *err)
{
    if (m->rest_operand < 0) {
        m->rest_operand = operand;
        m->nrest = n;
        memcpy(m->rest, dims, (size_t)n * sizeof *dims);
        return SN_OK;
    }
    if (m->nrest != n)
        return mismatch(s, m, operand, err);
    for (int i = 0; i < n; i++)
        if (!sn_dim_equal(s, m->rest[i], dims[i]))
            return disagree(s, m, "..", m->rest[i], m->rest_operand, dims[i], operand, err);
    return SN_OK;
}

static SnStatus bind_dims(SnStore *s, SnSigMatch *m, int operand, const SnSigType *p, const SnType *t,
                          SnError *err)
{
    const int nrest = t->ndim - p->ndim + 1;
    int at = 0;
    bool has_rest = false;
    for (int i = 0; i < p->ndim; i++)
        has_rest = has_rest || p->dim[i].kind == SN_SIG_REST;
    if (p->ndim > 0 && p->dim[0].kind == SN_SIG_WILD)
        return SN_OK;
    if (p->ndim > 0 && p->dim[0].kind == SN_SIG_FREE)
        return sn_dims_broadcast(s, &m->nfree, m->free, t->ndim, t->dims) ? SN_OK
                                                                          : mismatch(s, m, operand, err);
    if (has_rest ? nrest < 0 : nrest != 1)
        return mismatch(s, m, operand, err);
    for (int i = 0; i < p->ndim; i++) {
        const bool is_rest = p->dim[i].kind == SN_SIG_REST;
        SN_TRY(is_rest ? bind_rest(s, m, operand, nrest, t->dims + at, err)
                       : bind_dim(s, m, operand, &p->dim[i], t->dims[at], err));
        at += is_rest ? nrest : 1;
    }
    return SN_OK;
}

static SnStatus bind_operand(SnStore *s, SnSigMatch *m, int operand, SnError *err)
{
    static const SnTypeKind wanted[] = {
        [SN_SIG_TENSOR] = SN_TYPE_TENSOR, [SN_SIG_LIST] = SN_TYPE_LIST, [SN_SIG_OBJECT] = SN_TYPE_OBJECT};
    const SnSigType *const p = &pattern_of(m->sig, operand)->type;
    const SnType *const t = sn_type_of(s, m->in[operand]);
    if (p->kind == SN_SIG_ANY)
        return SN_OK;
    if (t->kind != wanted[p->kind])
        return mismatch(s, m, operand, err);
    if (p->kind == SN_SIG_OBJECT)
        return strcmp(p->class_name, t->class_name) == 0 ? SN_OK : mismatch(s, m, operand, err);
    SN_TRY(bind_dtype(s, m, operand, p, t->dtype, err));
    return bind_dims(s, m, operand, p, t, err);
}

static bool is_absent(const SnStore *s, SnRef r)
{
    return r == 0 || sn_term(s, r)->op == SN_OP_NONE;
}

SnStatus sn_sig_match(SnStore *s, const SnSig *sig, const SnRef *in, int nin, const SnAttr *attr,
                      SnSigMatch *out, SnError *err)
{
    const bool is_variadic = sig->noperand > 0 && sig->operand[sig->noperand - 1].is_variadic;
    const int nfixed = sig->noperand - is_variadic;
    *out = (SnSigMatch){.sig = sig, .in = in, .nin = nin, .attr = attr, .rest_operand = -1};
    SN_CHECK(nin >= nfixed && (is_variadic || nin == nfixed), err, SN_EINVAL,
             "%s: expected %d operands%s, found %d", sig->name, nfixed, is_variadic ? " or more" : "", nin);
    for (int i = 0; i < nin; i++) {
        const SnSigOperand *const o = pattern_of(sig, i);
        if (!is_absent(s, in[i]))
            SN_TRY(bind_operand(s, out, i, err));
        else
            SN_CHECK(o->is_optional, err, SN_EINVAL, "%s: operand %d (%s) is missing", sig->name, i + 1,
                     o->name);
    }
    return SN_OK;
}

/* ---- results ---- */

static SnDtype result_dtype(const SnSigMatch *m, const SnSigType *p)
{
    if (p->fixed != SN_NODTYPE)
        return p->fixed;
    for (int i = 0; i < m->nvar; i++)
        if (strcmp(m->var[i].name, p->dtype) == 0)
            return m->var[i].dtype;
    const SnAttr *const a = find_attr(m->attr, m->sig->nattr, p->dtype);
    return a != NULL && a->kind == SN_ATTR_DTYPE ? a->u.d : SN_NODTYPE;
}

static SnRef result_dim(SnStore *s, const SnSigMatch *m, const SnSigDim *p)
{
    if (p->kind == SN_SIG_NUMBER)
        return sn_const_i64(s, p->number);
    for (int i = 0; i < m->ndim; i++)
        if (strcmp(m->dim[i].name, p->name) == 0)
            return m->dim[i].dim;
    for (int i = 0; i < m->sig->noperand; i++)
        if (strcmp(m->sig->operand[i].name, p->name) == 0)
            return m->in[i];
    const SnAttr *const a = find_attr(m->attr, m->sig->nattr, p->name);
    return a != NULL && a->kind == SN_ATTR_INT ? sn_const_i64(s, a->u.i) : 0;
}

static SnStatus result_type(SnStore *s, const SnSigMatch *m, const SnSigOperand *r, SnTypeId *out,
                            SnError *err)
{
    const SnSigType *const p = &r->type;
    SnRef dims[SN_MAX_RANK];
    int n = 0;
    for (int i = 0; i < p->ndim; i++) {
        const bool is_rest = p->dim[i].kind == SN_SIG_REST, is_free = p->dim[i].kind == SN_SIG_FREE;
        const int nlead = is_rest ? m->nrest : is_free ? m->nfree : 0;
        SN_CHECK(n + nlead < SN_MAX_RANK + (is_rest || is_free), err, SN_ESHAPE,
                 "%s: result has more than %d dims", m->sig->name, SN_MAX_RANK);
        if (nlead > 0)
            memcpy(dims + n, is_rest ? m->rest : m->free, (size_t)nlead * sizeof *dims);
        n += nlead;
        if (!is_rest && !is_free)
            dims[n++] = result_dim(s, m, &p->dim[i]);
        SN_CHECK(n == 0 || dims[n - 1] != 0, err, SN_EINVAL, "%s: a dim of result %s is unknown",
                 m->sig->name, p->text);
    }
    const SnDtype d = p->kind == SN_SIG_TENSOR || p->kind == SN_SIG_LIST ? result_dtype(m, p) : SN_NODTYPE;
    SN_CHECK(d != SN_NODTYPE, err, SN_EINVAL, "%s: the dtype of result %s is unknown", m->sig->name, p->text);
    *out = p->kind == SN_SIG_LIST ? sn_type_list(s, d, n, dims, 0) : sn_type_tensor(s, d, n, dims);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "%s: no memory", m->sig->name);
    return SN_OK;
}

SnStatus sn_sig_result(SnStore *s, const SnSigMatch *m, SnTypeId *out, SnError *err)
{
    const SnSig *const sig = m->sig;
    SnTypeId child[SN_SIG_RESULTS] = {0};
    const char *names[SN_SIG_RESULTS] = {0};
    SN_CHECK(!sig->is_open, err, SN_EINVAL, "%s: the result is not in the signature", sig->name);
    for (int i = 0; i < sig->nresult; i++) {
        SN_TRY(result_type(s, m, &sig->result[i], &child[i], err));
        names[i] = sig->result[i].name;
    }
    *out = sig->is_tuple ? sn_type_tuple(s, sig->nresult, child, names[0] != NULL ? names : NULL) : child[0];
    SN_CHECK(*out != 0, err, SN_ENOMEM, "%s: no memory", sig->name);
    return SN_OK;
}
