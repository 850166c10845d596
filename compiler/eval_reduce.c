/* eval_reduce.c -- reduce, scan, argmax and contract of eval.
 *
 * Float sums and products are kept in f64 and rounded once, so that this oracle is not the less accurate side
 * of a comparison; contract accumulates in its accumulator dtype in rising k, as prims.def says. */
#include "compiler/eval_value.h"

#include "compiler/type.h"

#include <math.h>

/* ---- combiners by name ---- */

static uint16_t combiner_of(const SnEvalOp *x)
{
    return sn_combiner(sn_attr_string(x->e->s, x->ref, "fn"));
}

static SnScalar extreme(SnDtype d, bool largest)
{
    const SnDtypeInfo *info = sn_dtype(d);
    switch (info->kind) {
    case SN_KIND_FLOAT:
        return (SnScalar){.f = largest ? (double)INFINITY : -(double)INFINITY};
    case SN_KIND_INT: {
        const int64_t most = (int64_t)(UINT64_MAX >> (65 - info->bits));
        return (SnScalar){.i = largest ? most : -most - 1};
    }
    case SN_KIND_UINT:
        return (SnScalar){.u = largest ? UINT64_MAX >> (64 - info->bits) : 0};
    case SN_KIND_BOOL:
        break;
    }
    return (SnScalar){.i = largest};
}

static SnScalar identity(uint16_t op, SnDtype d)
{
    const bool is_float = sn_dtype_is_float(d);
    switch (op) {
    case SN_OP_MUL:
        return is_float ? (SnScalar){.f = 1} : (SnScalar){.i = 1};
    case SN_OP_MIN:
    case SN_OP_MAX:
        return extreme(d, op == SN_OP_MIN);
    case SN_OP_AND:
        return d == SN_BOOL ? (SnScalar){.i = 1} : sn_scalar_round_to(d, (SnScalar){.u = UINT64_MAX});
    default:
        return (SnScalar){.u = 0};
    }
}

/* The dtype that a sum is kept in. */
static SnDtype kept_in(SnDtype d)
{
    return sn_dtype_is_float(d) ? SN_F64 : d;
}

/* ---- axes ---- */

/* The operand's walk split: the kept axes give the result, `inner` runs over the reduced ones. */
typedef struct Split {
    int nouter, ninner, nresult;
    int64_t outer[SN_MAX_RANK], inner[SN_MAX_RANK], result[SN_MAX_RANK];
    SnEvalWalk outer_walk, inner_walk;
} Split;

static void split_axes(const SnView *a, uint32_t axes, bool keep, Split *p)
{
    int64_t stride[SN_MAX_RANK];
    *p = (Split){0};
    sn_eval_strides(a->ndim, a->dims, stride);
    for (int i = 0; i < a->ndim; i++) {
        if ((axes & 1u << i) != 0) {
            p->inner[p->ninner] = a->dims[i];
            p->inner_walk.stride[p->ninner++] = stride[i];
            if (keep)
                p->result[p->nresult++] = 1;
        } else {
            p->outer[p->nouter] = a->dims[i];
            p->outer_walk.stride[p->nouter++] = stride[i];
            p->result[p->nresult++] = a->dims[i];
        }
    }
}

static uint32_t reduced_axes(const SnEvalOp *x)
{
    const SnAttr *axes = sn_attr(x->e->s, x->ref, "axes");
    uint32_t set = 0;
    for (int i = 0; axes != NULL && i < axes->u.ints.n; i++)
        set |= 1u << axes->u.ints.at[i];
    return set;
}

/* ---- functions as combiners: (function, xs..., inits...) ---- */

/* state[n] = fn(state, item); both scalars. */
static SnStatus combine(const SnEvalOp *x, int n, SnEvalValue *state, const SnEvalValue *item)
{
    SnEval *e = x->e;
    const SnEvalValue **arg = (const SnEvalValue **)sn_arena_array(e->arena, 2 * (size_t)n, sizeof *arg);
    SnArena scratch;
    SnEvalValue *r = NULL;
    if (arg == NULL)
        return sn_eval_no_memory(e);
    for (int i = 0; i < n; i++) {
        arg[i] = &state[i];
        arg[n + i] = &item[i];
    }
    sn_arena_init(&scratch, sn_allocator(e->ctx));
    const SnStatus st = sn_eval_call(e, x->t->arg[0], arg, 2 * n, &scratch, &r);
    for (int i = 0; st == SN_OK && i < n; i++)
        sn_eval_store(&state[i], 0, sn_eval_load(n == 1 ? r : r->child[i], 0));
    sn_arena_clear(&scratch);
    return st;
}

static SnStatus make_scalars(const SnEvalOp *x, int n, const SnEvalValue *const *like, SnEvalValue **out)
{
    *out = (SnEvalValue *)sn_arena_array(x->e->arena, (size_t)n, sizeof **out);
    if (*out == NULL)
        return sn_eval_no_memory(x->e);
    for (int i = 0; i < n; i++)
        SN_TRY(sn_eval_tensor(x->e, like[i]->view.dtype, 0, NULL, &(*out)[i]));
    return SN_OK;
}

static void load_all(int n, const SnEvalValue *const *from, int64_t at, SnEvalValue *to)
{
    for (int i = 0; i < n; i++)
        sn_eval_store(&to[i], 0, sn_eval_load(from[i], at));
}

/* Result tensors, as a tuple if there are several. */
static SnStatus make_results(const SnEvalOp *x, int n, int ndim, const int64_t *dims, SnEvalValue **out)
{
    *out = x->out;
    if (n > 1) {
        *out = (SnEvalValue *)sn_arena_array(x->e->arena, (size_t)n, sizeof **out);
        x->out->child = (const SnEvalValue **)sn_arena_array(x->e->arena, (size_t)n, sizeof *x->out->child);
        if (*out == NULL || x->out->child == NULL)
            return sn_eval_no_memory(x->e);
        x->out->kind = SN_TYPE_TUPLE;
        x->out->nchild = n;
    }
    for (int i = 0; i < n; i++) {
        SN_TRY(sn_eval_tensor(x->e, x->in[1 + i]->view.dtype, ndim, dims, &(*out)[i]));
        if (n > 1)
            x->out->child[i] = &(*out)[i];
    }
    return SN_OK;
}

/* Over the inner index; with is_scan every state is stored where its item lies. */
static SnStatus fold_rows(const SnEvalOp *x, const Split *p, bool is_scan, bool reverse)
{
    const int n = (x->t->narg - 1) / 2;
    const SnView *a = &x->in[1]->view;
    SnEvalValue *state, *item, *out;
    SN_TRY(make_scalars(x, n, x->in + 1, &state));
    SN_TRY(make_scalars(x, n, x->in + 1, &item));
    SN_TRY(make_results(x, n, is_scan ? a->ndim : p->nresult, is_scan ? a->dims : p->result, &out));
    const int64_t nouter = sn_eval_product(p->nouter, p->outer),
                  ninner = sn_eval_product(p->ninner, p->inner);
    int64_t outer[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < nouter; i++, sn_eval_next(p->nouter, p->outer, outer)) {
        const int64_t base = sn_eval_at(&p->outer_walk, p->nouter, outer);
        int64_t inner[SN_MAX_RANK] = {0};
        load_all(n, x->in + 1 + n, 0, state);
        for (int64_t k = 0; k < ninner; k++, sn_eval_next(p->ninner, p->inner, inner)) {
            const int64_t step = reverse ? (ninner - 1 - k) * p->inner_walk.stride[0]
                                         : sn_eval_at(&p->inner_walk, p->ninner, inner);
            load_all(n, x->in + 1, base + step, item);
            SN_TRY(combine(x, n, state, item));
            for (int j = 0; is_scan && j < n; j++)
                sn_eval_store(&out[j], base + step, sn_eval_load(&state[j], 0));
        }
        for (int j = 0; !is_scan && j < n; j++)
            sn_eval_store(&out[j], i, sn_eval_load(&state[j], 0));
    }
    return SN_OK;
}

/* ---- reduce, scan ---- */

SnStatus sn_eval_reduce(const SnEvalOp *x)
{
    const bool keep = sn_attr_int(x->e->s, x->ref, "keep", 0) != 0;
    const uint16_t op = combiner_of(x);
    const SnView *a = &x->in[op == SN_OP_ERROR ? 1 : 0]->view;
    const SnDtype kept = kept_in(a->dtype);
    Split p;
    split_axes(a, reduced_axes(x), keep, &p);
    if (op == SN_OP_ERROR)
        return fold_rows(x, &p, false, false);
    SN_TRY(sn_eval_tensor(x->e, a->dtype, p.nresult, p.result, x->out));
    const int64_t nouter = sn_eval_product(p.nouter, p.outer), ninner = sn_eval_product(p.ninner, p.inner);
    int64_t outer[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < nouter; i++, sn_eval_next(p.nouter, p.outer, outer)) {
        const int64_t base = sn_eval_at(&p.outer_walk, p.nouter, outer);
        int64_t inner[SN_MAX_RANK] = {0};
        SnScalar v[2] = {identity(op, a->dtype)};
        for (int64_t k = 0; k < ninner; k++, sn_eval_next(p.ninner, p.inner, inner)) {
            v[1] = sn_eval_load(x->in[0], base + sn_eval_at(&p.inner_walk, p.ninner, inner));
            sn_scalar_apply(op, kept, v, &v[0]);
        }
        sn_eval_store(x->out, i, v[0]);
    }
    return SN_OK;
}

SnStatus sn_eval_scan(const SnEvalOp *x)
{
    const int axis = (int)sn_attr_int(x->e->s, x->ref, "axis", 0);
    const bool reverse = sn_attr_int(x->e->s, x->ref, "reverse", 0) != 0;
    const uint16_t op = combiner_of(x);
    const SnView *a = &x->in[op == SN_OP_ERROR ? 1 : 0]->view;
    Split p;
    split_axes(a, 1u << axis, false, &p);
    if (op == SN_OP_ERROR)
        return fold_rows(x, &p, true, reverse);
    SN_TRY(sn_eval_tensor(x->e, a->dtype, a->ndim, a->dims, x->out));
    const int64_t nouter = sn_eval_product(p.nouter, p.outer), n = a->dims[axis];
    int64_t outer[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < nouter; i++, sn_eval_next(p.nouter, p.outer, outer)) {
        const int64_t base = sn_eval_at(&p.outer_walk, p.nouter, outer);
        SnScalar v[2] = {identity(op, a->dtype)};
        for (int64_t k = 0; k < n; k++) {
            const int64_t at = base + (reverse ? n - 1 - k : k) * p.inner_walk.stride[0];
            v[1] = sn_eval_load(x->in[0], at);
            sn_scalar_apply(op, kept_in(a->dtype), v, &v[0]);
            sn_eval_store(x->out, at, v[0]);
        }
    }
    return SN_OK;
}

/* ---- argmax ---- */

/* NaN is greatest; equal ones are not. */
static bool is_greater(SnDtype d, SnScalar a, SnScalar b)
{
    if (sn_dtype_is_float(d))
        return isnan(a.f) ? !isnan(b.f) : a.f > b.f;
    return sn_dtype(d)->kind == SN_KIND_INT ? a.i > b.i : a.u > b.u;
}

SnStatus sn_eval_argmax(const SnEvalOp *x)
{
    const int axis = (int)sn_attr_int(x->e->s, x->ref, "axis", 0);
    const SnView *a = &x->in[0]->view;
    Split p;
    split_axes(a, 1u << axis, sn_attr_int(x->e->s, x->ref, "keep", 0) != 0, &p);
    SN_TRY(sn_eval_tensor(x->e, SN_I64, p.nresult, p.result, x->out));
    const int64_t nouter = sn_eval_product(p.nouter, p.outer), n = a->dims[axis];
    if (n == 0 && nouter > 0)
        return sn_eval_fail(x, "axis %d is empty", axis);
    int64_t outer[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < nouter; i++, sn_eval_next(p.nouter, p.outer, outer)) {
        const int64_t base = sn_eval_at(&p.outer_walk, p.nouter, outer);
        int64_t best = 0;
        for (int64_t k = 1; k < n; k++) {
            const SnScalar v = sn_eval_load(x->in[0], base + k * p.inner_walk.stride[0]);
            if (is_greater(a->dtype, v, sn_eval_load(x->in[0], base + best * p.inner_walk.stride[0])))
                best = k;
        }
        sn_eval_store(x->out, i, (SnScalar){.i = best});
    }
    return SN_OK;
}

/* ---- contract ---- */

/* Each label's dim and its stride in a, b and the result; those of the result first, then the summed ones, in
 * the order of the equation. */
typedef struct Labels {
    int nout, nsum;
    int64_t dim[3 * SN_MAX_RANK];
    SnEvalWalk out_a, out_b;
    int64_t sum_a[2 * SN_MAX_RANK], sum_b[2 * SN_MAX_RANK];
} Labels;

static int64_t stride_of(const char *eq, size_t n, const int64_t *stride, char label)
{
    const char *at = (const char *)memchr(eq, label, n);
    return at != NULL ? stride[at - eq] : 0;
}

static SnStatus read_labels(const SnEvalOp *x, Labels *l)
{
    const char *eq = sn_attr_string(x->e->s, x->ref, "eq");
    const char *const b = strchr(eq, ',') + 1, *const out = strstr(b, "->") + 2;
    const size_t na = (size_t)(b - eq) - 1, nb = (size_t)(out - b) - 2, nout = strlen(out);
    const SnView *const va = &x->in[0]->view, *const vb = &x->in[1]->view;
    int64_t sa[SN_MAX_RANK], sb[SN_MAX_RANK], dim[128] = {0};
    sn_eval_strides(va->ndim, va->dims, sa);
    sn_eval_strides(vb->ndim, vb->dims, sb);
    for (size_t i = 0; i < na + nb; i++) {
        const char c = i < na ? eq[i] : b[i - na];
        const int64_t d = i < na ? va->dims[i] : vb->dims[i - na];
        if (i >= na && memchr(eq, c, na) != NULL) {
            if (dim[(unsigned char)c] != d)
                return sn_eval_fail(x, "'%c' of '%s' differs between the operands", c, eq);
            continue;
        }
        dim[(unsigned char)c] = d;
        if (memchr(out, c, nout) != NULL)
            continue;
        l->sum_a[l->nsum] = stride_of(eq, na, sa, c);
        l->sum_b[l->nsum] = stride_of(b, nb, sb, c);
        l->dim[SN_MAX_RANK + l->nsum++] = d;
    }
    for (size_t i = 0; i < nout; i++) {
        l->out_a.stride[i] = stride_of(eq, na, sa, out[i]);
        l->out_b.stride[i] = stride_of(b, nb, sb, out[i]);
        l->dim[i] = dim[(unsigned char)out[i]];
    }
    l->nout = (int)nout;
    return SN_OK;
}

/* Operands widened once: f32 for floats, f64 for f64, wrapping 64-bit integers. */
typedef enum Lane { LANE_F32, LANE_F64, LANE_INT } Lane;

static const void *widen(const SnEvalOp *x, const SnEvalValue *v, Lane lane)
{
    const int64_t n = sn_eval_nelement(v);
    void *to = sn_arena_array(x->e->arena, (size_t)n, lane == LANE_F32 ? sizeof(float) : sizeof(uint64_t));
    for (int64_t i = 0; to != NULL && i < n; i++) {
        const SnScalar s = sn_eval_load(v, i);
        if (lane == LANE_F32)
            ((float *)to)[i] = (float)s.f;
        else if (lane == LANE_F64)
            ((double *)to)[i] = s.f;
        else
            ((uint64_t *)to)[i] = s.u;
    }
    return to;
}

typedef union Sum {
    float f32;
    double f64;
    uint64_t u;
} Sum;

static void add_products(Lane lane, Sum *sum, const void *a, int64_t stride_a, const void *b,
                         int64_t stride_b, int64_t n)
{
    const float *fa = (const float *)a, *fb = (const float *)b;
    const double *da = (const double *)a, *db = (const double *)b;
    const uint64_t *ua = (const uint64_t *)a, *ub = (const uint64_t *)b;
    for (int64_t i = 0; i < n; i++) {
        if (lane == LANE_F32)
            sum->f32 = fmaf(fa[i * stride_a], fb[i * stride_b], sum->f32);
        else if (lane == LANE_F64)
            sum->f64 = fma(da[i * stride_a], db[i * stride_b], sum->f64);
        else
            sum->u += ua[i * stride_a] * ub[i * stride_b];
    }
}

static SnScalar contract_one(const Labels *l, Lane lane, const char *a, const char *b)
{
    const size_t size = lane == LANE_F32 ? sizeof(float) : sizeof(uint64_t);
    const int64_t *dims = l->dim + SN_MAX_RANK;
    const int last = l->nsum - 1;
    int64_t index[SN_MAX_RANK * 2] = {0};
    Sum sum = {.u = 0};
    const int64_t nrow = last >= 0 ? sn_eval_product(last, dims) : 1;
    for (int64_t i = 0; i < nrow; i++) {
        int64_t at_a = 0, at_b = 0;
        for (int k = 0; k < last; k++) {
            at_a += index[k] * l->sum_a[k];
            at_b += index[k] * l->sum_b[k];
        }
        add_products(lane, &sum, a + (size_t)at_a * size, last >= 0 ? l->sum_a[last] : 0,
                     b + (size_t)at_b * size, last >= 0 ? l->sum_b[last] : 0, last >= 0 ? dims[last] : 1);
        sn_eval_next(last, dims, index);
    }
    if (lane == LANE_INT)
        return (SnScalar){.u = sum.u};
    return (SnScalar){.f = lane == LANE_F32 ? (double)sum.f32 : sum.f64};
}

static SnDtype contract_dtype(const SnEvalOp *x)
{
    const SnAttr *acc = sn_attr(x->e->s, x->ref, "acc");
    const SnDtype a = x->in[0]->view.dtype;
    if (acc != NULL && acc->u.d != SN_NODTYPE)
        return acc->u.d;
    return a == SN_I8 || a == SN_U8 ? SN_I32 : a;
}

SnStatus sn_eval_contract(const SnEvalOp *x)
{
    const SnDtype acc = contract_dtype(x);
    const Lane lane = !sn_dtype_is_float(acc) ? LANE_INT : acc == SN_F64 ? LANE_F64 : LANE_F32;
    const size_t size = lane == LANE_F32 ? sizeof(float) : sizeof(uint64_t);
    Labels l = {0};
    SN_TRY(read_labels(x, &l));
    SN_TRY(sn_eval_tensor(x->e, acc, l.nout, l.dim, x->out));
    const char *const a = (const char *)widen(x, x->in[0], lane), *const b =
                                                                      (const char *)widen(x, x->in[1], lane);
    if (a == NULL || b == NULL)
        return sn_eval_no_memory(x->e);
    const int64_t n = sn_eval_nelement(x->out);
    int64_t index[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++, sn_eval_next(l.nout, l.dim, index)) {
        const size_t at_a = (size_t)sn_eval_at(&l.out_a, l.nout, index) * size;
        const size_t at_b = (size_t)sn_eval_at(&l.out_b, l.nout, index) * size;
        sn_eval_store(x->out, i, contract_one(&l, lane, a + at_a, b + at_b));
    }
    return SN_OK;
}
