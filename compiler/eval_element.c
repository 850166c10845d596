/* eval_element.c -- elementwise ops of eval, one element at a time. */
#include "compiler/eval_value.h"

#include <inttypes.h>

SnStatus sn_eval_scalar_op(SnEval *e, uint16_t op, SnDtype d, const SnScalar *arg, SnScalar *out)
{
    if (e->plan == NULL)
        SN_TRY(sn_scalar_plan_create(e->ctx, &e->plan, e->err));
    return sn_scalar_eval(e->plan, op, d, arg, out, e->err);
}

SnStatus sn_eval_elementwise(const SnEvalOp *x)
{
    const SnEvalValue *const *in = x->in;
    const SnDtype d = in[0]->view.dtype;
    const bool compares = x->t->op == SN_OP_LT || x->t->op == SN_OP_EQ;
    for (int i = 1; i < x->t->narg; i++)
        if (in[i]->view.dtype != d || !sn_eval_same_dims(in[i], in[0]))
            return sn_eval_fail(x, "operand %d differs from the first in dtype or dims", i + 1);
    SN_TRY(sn_eval_tensor(x->e, compares ? SN_BOOL : d, in[0]->view.ndim, in[0]->view.dims, x->out));
    const int64_t n = sn_eval_nelement(x->out);
    for (int64_t i = 0; i < n; i++) {
        SnScalar arg[3], v;
        for (int k = 0; k < x->t->narg; k++)
            arg[k] = sn_eval_load(in[k], i);
        SN_TRY(sn_eval_scalar_op(x->e, x->t->op, d, arg, &v));
        sn_eval_store(x->out, i, v);
    }
    return SN_OK;
}

SnStatus sn_eval_cast(const SnEvalOp *x)
{
    const SnEvalValue *a = x->in[0];
    const SnAttr *to = sn_attr(x->e->s, x->ref, "to");
    const bool saturate = sn_attr_int(x->e->s, x->ref, "sat", 0) != 0;
    SN_TRY(sn_eval_tensor(x->e, to->u.d, a->view.ndim, a->view.dims, x->out));
    const int64_t n = sn_eval_nelement(a);
    for (int64_t i = 0; i < n; i++)
        sn_eval_store(x->out, i, sn_scalar_cast(a->view.dtype, to->u.d, sn_eval_load(a, i), saturate));
    return SN_OK;
}

SnStatus sn_eval_bitcast(const SnEvalOp *x)
{
    const SnView *a = &x->in[0]->view;
    const SnDtype to = sn_attr(x->e->s, x->ref, "to")->u.d;
    const int64_t from_size = (int64_t)sn_dtype_size(a->dtype), to_size = (int64_t)sn_dtype_size(to);
    int64_t dims[SN_MAX_RANK];
    memcpy(dims, a->dims, sizeof dims);
    if (from_size != to_size) {
        if (a->ndim == 0 || dims[a->ndim - 1] * from_size % to_size != 0)
            return sn_eval_fail(x, "the last dim is not whole elements of %s", sn_dtype(to)->name);
        dims[a->ndim - 1] = dims[a->ndim - 1] * from_size / to_size;
    }
    SN_TRY(sn_eval_tensor(x->e, to, a->ndim, dims, x->out));
    memcpy(x->out->view.data, a->data, (size_t)(sn_eval_nelement(x->in[0]) * from_size));
    return SN_OK;
}

static SnStatus where_lists(const SnEvalOp *x)
{
    const SnEvalValue *a = x->in[1];
    int64_t shift[2];
    SN_TRY(sn_eval_list(x->e, a->view.dtype, a->view.ndim, a->view.dims, x->out));
    SN_TRY(sn_eval_join_children(x->e, x->in + 1, 2, shift, x->out));
    int64_t *start = sn_out_start(&x->out->view), *len = sn_out_len(&x->out->view);
    const int64_t n = sn_eval_nelement(a);
    for (int64_t i = 0; i < n; i++) {
        const int which = sn_eval_load(x->in[0], i).i != 0 ? 0 : 1;
        const SnView *from = &x->in[1 + which]->view;
        start[i] = from->start[i] + shift[which];
        len[i] = from->len[i];
    }
    return SN_OK;
}

SnStatus sn_eval_where(const SnEvalOp *x)
{
    const SnEvalValue *c = x->in[0], *a = x->in[1], *b = x->in[2];
    if (a->kind != b->kind || a->view.dtype != b->view.dtype || !sn_eval_same_dims(a, b) ||
        !sn_eval_same_dims(a, c))
        return sn_eval_fail(x, "operands differ in dtype or dims");
    if (a->kind == SN_TYPE_LIST)
        return where_lists(x);
    SN_TRY(sn_eval_tensor(x->e, a->view.dtype, a->view.ndim, a->view.dims, x->out));
    const size_t size = sn_dtype_size(a->view.dtype);
    const int64_t n = sn_eval_nelement(a);
    for (int64_t i = 0; i < n; i++) {
        const SnView *from = sn_eval_load(c, i).i != 0 ? &a->view : &b->view;
        memcpy((char *)x->out->view.data + (size_t)i * size, (const char *)from->data + (size_t)i * size,
               size);
    }
    return SN_OK;
}

SnStatus sn_eval_iota(const SnEvalOp *x)
{
    const SnDtype d = sn_attr(x->e->s, x->ref, "dtype")->u.d;
    const int axis = (int)sn_attr_int(x->e->s, x->ref, "axis", 0);
    int64_t dims[SN_MAX_RANK], index[SN_MAX_RANK] = {0};
    sn_eval_dims(x, 0, x->t->narg, dims);
    SN_TRY(sn_eval_tensor(x->e, d, x->t->narg, dims, x->out));
    const int64_t n = sn_eval_nelement(x->out);
    for (int64_t i = 0; i < n; i++) {
        sn_eval_store(x->out, i, sn_scalar_cast(SN_I64, d, (SnScalar){.i = index[axis]}, false));
        sn_eval_next(x->t->narg, dims, index);
    }
    return SN_OK;
}

SnStatus sn_eval_measure(const SnEvalOp *x)
{
    const int64_t v = sn_eval_i64(x->in[0]);
    if (v < 0)
        return sn_eval_fail(x, "a dim is %" PRId64, v);
    if (x->in[1]->kind != 0 && v > sn_eval_i64(x->in[1]))
        return sn_eval_fail(x, "a dim is %" PRId64 ", its bound %" PRId64, v, sn_eval_i64(x->in[1]));
    SN_TRY(sn_eval_tensor(x->e, SN_I64, 0, NULL, x->out));
    sn_eval_store(x->out, 0, (SnScalar){.i = v});
    return SN_OK;
}
