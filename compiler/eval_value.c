/* eval_value.c -- values of eval: storage, copies, strided moves. */
#include "compiler/eval_value.h"

#include "compiler/type.h"

#include <inttypes.h>

SnStatus sn_eval_fail(const SnEvalOp *x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const SnStatus st = sn_failv(x->e->err, SN_ESHAPE, format, args);
    va_end(args);
    return sn_fail_in(x->e->err, st, sn_prim(x->t->op)->name);
}

SnStatus sn_eval_no_memory(SnEval *e)
{
    return sn_fail(e->err, SN_ENOMEM, "no memory to evaluate");
}

static SnStatus count_dims(SnEval *e, int ndim, const int64_t *dims, size_t *count)
{
    size_t n = 1;
    for (int i = 0; i < ndim; i++) {
        SN_CHECK(dims[i] >= 0, e->err, SN_ESHAPE, "dim %d is %" PRId64, i, dims[i]);
        SN_CHECK(sn_mul_size(n, (size_t)dims[i], &n) && n <= INT64_MAX, e->err, SN_ENOMEM,
                 "a tensor is too large for this machine");
    }
    SN_CHECK(e->max_count == 0 || n <= (size_t)e->max_count, e->err, SN_EUNSUPPORTED,
             "more than %" PRId64 " elements", e->max_count);
    *count = n;
    return SN_OK;
}

static void set_view(SnEvalValue *v, SnTypeKind kind, SnDtype d, int ndim, const int64_t *dims)
{
    *v = (SnEvalValue){.kind = kind, .view = {.dtype = d, .ndim = ndim}};
    for (int i = 0; i < ndim; i++)
        v->view.dims[i] = dims[i];
}

SnStatus sn_eval_tensor(SnEval *e, SnDtype d, int ndim, const int64_t *dims, SnEvalValue *v)
{
    size_t n;
    SN_TRY(count_dims(e, ndim, dims, &n));
    void *data = sn_arena_array(e->arena, n, sn_dtype_size(d));
    if (data == NULL)
        return sn_eval_no_memory(e);
    set_view(v, SN_TYPE_TENSOR, d, ndim, dims);
    v->view.data = data;
    return SN_OK;
}

SnStatus sn_eval_list(SnEval *e, SnDtype d, int ndim, const int64_t *dims, SnEvalValue *v)
{
    size_t n;
    SN_TRY(count_dims(e, ndim, dims, &n));
    const int64_t *start = (const int64_t *)sn_arena_array(e->arena, n, sizeof *start);
    const int64_t *len = (const int64_t *)sn_arena_array(e->arena, n, sizeof *len);
    if (start == NULL || len == NULL)
        return sn_eval_no_memory(e);
    set_view(v, SN_TYPE_LIST, d, ndim, dims);
    v->view.start = start;
    v->view.len = len;
    return SN_OK;
}

static void *copy_bytes(SnArena *to, const void *from, size_t n, size_t size)
{
    void *p = sn_arena_array(to, n, size);
    if (p != NULL && n > 0)
        memcpy(p, from, n * size);
    return p;
}

static SnStatus copy_tuple(SnEval *e, const SnEvalValue *v, SnArena *to, SnEvalValue *out)
{
    out->child = (const SnEvalValue **)sn_arena_array(to, (size_t)v->nchild, sizeof *out->child);
    if (out->child == NULL)
        return sn_eval_no_memory(e);
    for (int i = 0; i < v->nchild; i++) {
        SnEvalValue *child;
        SN_TRY(sn_eval_copy(e, v->child[i], to, &child));
        out->child[i] = child;
    }
    return SN_OK;
}

SnStatus sn_eval_copy(SnEval *e, const SnEvalValue *v, SnArena *to, SnEvalValue **out)
{
    SnEvalValue *c = (SnEvalValue *)sn_arena_alloc(to, sizeof *c);
    if (c == NULL)
        return sn_eval_no_memory(e);
    *c = *v;
    if (v->kind == SN_TYPE_TUPLE) {
        SN_TRY(copy_tuple(e, v, to, c));
    } else if (v->view.dtype != SN_NODTYPE) {
        const size_t n = (size_t)sn_eval_nelement(v), size = sn_dtype_size(v->view.dtype);
        const bool is_list = v->kind == SN_TYPE_LIST;
        c->view.data = copy_bytes(to, v->view.data, is_list ? (size_t)v->view.child_count : n, size);
        if (is_list) {
            c->view.start = (const int64_t *)copy_bytes(to, v->view.start, n, sizeof(int64_t));
            c->view.len = (const int64_t *)copy_bytes(to, v->view.len, n, sizeof(int64_t));
        }
        if (c->view.data == NULL || (is_list && (c->view.start == NULL || c->view.len == NULL)))
            return sn_eval_no_memory(e);
    }
    *out = c;
    return SN_OK;
}

int64_t sn_eval_product(int n, const int64_t *dims)
{
    int64_t r = 1;
    for (int i = 0; i < n; i++)
        r *= dims[i];
    return r;
}

int64_t sn_eval_nelement(const SnEvalValue *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->view.ndim; i++)
        n *= v->view.dims[i];
    return n;
}

SnScalar sn_eval_load(const SnEvalValue *v, int64_t i)
{
    const SnDtype d = v->view.dtype;
    return sn_scalar_load(d, (const char *)v->view.data + (size_t)i * sn_dtype_size(d));
}

void sn_eval_store(const SnEvalValue *v, int64_t i, SnScalar x)
{
    const SnDtype d = v->view.dtype;
    sn_scalar_store(d, (char *)v->view.data + (size_t)i * sn_dtype_size(d), x);
}

int64_t sn_eval_i64(const SnEvalValue *v)
{
    const SnScalar x = sn_eval_load(v, 0);
    const bool is_huge = sn_dtype(v->view.dtype)->kind == SN_KIND_UINT && x.u > INT64_MAX;
    return is_huge ? INT64_MAX : x.i;
}

void sn_eval_dims(const SnEvalOp *x, int first, int n, int64_t *dims)
{
    for (int i = 0; i < n; i++)
        dims[i] = sn_eval_i64(x->in[first + i]);
}

bool sn_eval_same_dims(const SnEvalValue *a, const SnEvalValue *b)
{
    return a->view.ndim == b->view.ndim &&
           memcmp(a->view.dims, b->view.dims, (size_t)a->view.ndim * sizeof *a->view.dims) == 0;
}

/* ---- lists ---- */

SnEvalValue sn_eval_list_part(const SnEvalValue *v, int which)
{
    SnEvalValue part;
    set_view(&part, SN_TYPE_TENSOR, SN_I64, v->view.ndim, v->view.dims);
    part.view.data = (void *)(uintptr_t)(which == 0 ? v->view.start : v->view.len);
    return part;
}

SnStatus sn_eval_join_children(SnEval *e, const SnEvalValue *const *list, int n, int64_t *shift,
                               SnEvalValue *out)
{
    const SnDtype d = list[0]->view.dtype;
    const size_t size = sn_dtype_size(d);
    size_t total = 0;
    bool is_shared = true;
    for (int i = 0; i < n; i++) {
        shift[i] = (int64_t)total;
        is_shared = is_shared && list[i]->view.data == list[0]->view.data;
        if (!sn_add_size(total, (size_t)list[i]->view.child_count, &total))
            return sn_eval_no_memory(e);
    }
    if (is_shared) {
        memset(shift, 0, (size_t)n * sizeof *shift);
        out->view.data = list[0]->view.data;
        out->view.child_count = list[0]->view.child_count;
        return SN_OK;
    }
    char *data = (char *)sn_arena_array(e->arena, total, size);
    if (data == NULL)
        return sn_eval_no_memory(e);
    for (int i = 0; i < n; i++) {
        if (list[i]->view.child_count > 0)
            memcpy(data + (size_t)shift[i] * size, list[i]->view.data,
                   (size_t)list[i]->view.child_count * size);
    }
    out->view.data = data;
    out->view.child_count = (int64_t)total;
    return SN_OK;
}

/* ---- moves ---- */

void sn_eval_strides(int ndim, const int64_t *dims, int64_t *stride)
{
    int64_t n = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        stride[i] = n;
        n *= dims[i];
    }
}

bool sn_eval_next(int ndim, const int64_t *dims, int64_t *index)
{
    for (int i = ndim - 1; i >= 0; i--) {
        if (++index[i] < dims[i])
            return true;
        index[i] = 0;
    }
    return false;
}

int64_t sn_eval_at(const SnEvalWalk *w, int ndim, const int64_t *index)
{
    int64_t at = w->offset;
    for (int i = 0; i < ndim; i++)
        at += index[i] * w->stride[i];
    return at;
}

void sn_eval_move(int ndim, const int64_t *dims, size_t size, void *to, const SnEvalWalk *to_walk,
                  const void *from, const SnEvalWalk *from_walk)
{
    int64_t index[SN_MAX_RANK] = {0};
    for (int i = 0; i < ndim; i++)
        if (dims[i] == 0)
            return;
    do {
        const int64_t a = sn_eval_at(to_walk, ndim, index), b = sn_eval_at(from_walk, ndim, index);
        memcpy((char *)to + (size_t)a * size, (const char *)from + (size_t)b * size, size);
    } while (sn_eval_next(ndim, dims, index));
}
