/* tensor.c -- views, owned tensors, DLPack both ways.
 *
 * What arrives through DLPack is checked before use: device, dtype, rank, dims, strides, offset, alignment.
 * Where its memory ends is the producer's word. */
#include "runtime/tensor.h"

#include <inttypes.h>
#include <stdatomic.h>

/* ---- views ---- */

SnView sn_view(SnDtype dtype, void *data, int ndim, const int64_t *dims)
{
    SnView v = {.data = data, .dtype = dtype, .ndim = ndim};
    if (ndim < 0 || ndim > SN_MAX_RANK)
        v.dtype = SN_NODTYPE; /* whoever takes the view refuses it */
    else if (ndim > 0)
        memcpy(v.dims, dims, (size_t)ndim * sizeof *dims);
    return v;
}

bool sn_view_count(const SnView *v, int64_t *count)
{
    int64_t n = 1, size = (int64_t)sn_dtype_size(v->dtype);
    bool is_empty = false;
    if (v->ndim < 0 || v->ndim > SN_MAX_RANK)
        return false;
    for (int i = 0; i < v->ndim; i++) {
        if (v->dims[i] < 0)
            return false;
        is_empty |= v->dims[i] == 0;
    }
    /* Zero anywhere makes the others harmless. */
    for (int i = 0; i < v->ndim && !is_empty; i++)
        if (!sn_mul_i64(n, v->dims[i], &n) || !sn_mul_i64(size, v->dims[i], &size))
            return false;
    *count = is_empty ? 0 : n;
    return true;
}

static bool has_strides(const SnView *v)
{
    for (int i = 0; i < v->ndim; i++)
        if (v->strides[i] != 0)
            return true;
    return false;
}

static void dense_strides(int ndim, const int64_t *dims, int64_t *strides)
{
    int64_t step = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = step;
        /* Beside an axis of none the others may overflow; then nobody uses the result. */
        step = (int64_t)((uint64_t)step * (uint64_t)(dims[i] > 1 ? dims[i] : 1));
    }
}

/* Strides of axes of one element do not matter. */
static bool strides_are_dense(int ndim, const int64_t *dims, const int64_t *strides)
{
    int64_t want[SN_MAX_RANK];
    dense_strides(ndim, dims, want);
    for (int i = 0; i < ndim; i++)
        if (dims[i] == 0)
            return true;
    for (int i = 0; i < ndim; i++)
        if (dims[i] != 1 && strides[i] != want[i])
            return false;
    return true;
}

bool sn_view_is_dense(const SnView *v)
{
    return !has_strides(v) || strides_are_dense(v->ndim, v->dims, v->strides);
}

#define SN_COPY_ROW(T)                                                                                       \
    do {                                                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            memcpy(to + i * (int64_t)sizeof(T), from + i * step * (int64_t)sizeof(T), sizeof(T));            \
        }                                                                                                    \
    } while (0)

/* n elements that lie `step` elements apart. */
static void copy_row(char *to, const char *from, int64_t n, int64_t step, size_t size)
{
    if (step == 1)
        memcpy(to, from, (size_t)n * size);
    else if (size == 1)
        SN_COPY_ROW(uint8_t);
    else if (size == 2)
        SN_COPY_ROW(uint16_t);
    else if (size == 4)
        SN_COPY_ROW(uint32_t);
    else
        SN_COPY_ROW(uint64_t);
}

/* Walks the outer axes like an odometer, the last axis as a row. count > 0, ndim > 0. */
static void copy_strided(char *to, const char *from, int ndim, const int64_t *dims, const int64_t *strides,
                         size_t size)
{
    int64_t at[SN_MAX_RANK] = {0};
    const int last = ndim - 1;
    for (;;) {
        copy_row(to, from, dims[last], strides[last], size);
        to += (size_t)dims[last] * size;
        int axis = last - 1;
        while (axis >= 0 && ++at[axis] == dims[axis]) {
            from -= (dims[axis] - 1) * strides[axis] * (int64_t)size;
            at[axis--] = 0;
        }
        if (axis < 0)
            return;
        from += strides[axis] * (int64_t)size;
    }
}

SnStatus sn_view_copy(const SnView *v, void *to, size_t to_size, SnError *err)
{
    const size_t size = sn_dtype_size(v->dtype);
    int64_t count;
    SN_CHECK(size != 0 && sn_view_count(v, &count), err, SN_EINVAL, "view: bad dtype, rank or dims");
    SN_CHECK((size_t)count * size == to_size, err, SN_ESHAPE,
             "view: has %" PRId64 " elements of %s, room is %zu bytes", count, sn_dtype(v->dtype)->name,
             to_size);
    if (count == 0)
        return SN_OK;
    if (sn_view_is_dense(v))
        memcpy(to, v->data, to_size);
    else
        copy_strided((char *)to, (const char *)v->data, v->ndim, v->dims, v->strides, size);
    return SN_OK;
}

/* ---- tensors ---- */

#define SN_TENSOR_ALIGN 64

struct SnTensor {
    SnView view;
    const SnAllocator *memory;
    atomic_uint count;
    bool is_read_only;
    size_t size;  /* of this block: the struct, then the elements if they are owned */
    SnTensor *of; /* whose elements a view looks at */
    SnDlManaged *managed;
    SnDlVersioned *versioned;
};

#define SN_TENSOR_HEADER ((sizeof(SnTensor) + SN_TENSOR_ALIGN - 1) & ~(size_t)(SN_TENSOR_ALIGN - 1))

static SnStatus tensor_alloc(const SnAllocator *memory, size_t data_size, SnTensor **out, SnError *err)
{
    size_t size;
    SN_CHECK(sn_add_size(SN_TENSOR_HEADER, data_size, &size), err, SN_ENOMEM,
             "tensor: %zu bytes are too many", data_size);
    SnTensor *t = (SnTensor *)sn_alloc_zero(memory, size, SN_TENSOR_ALIGN);
    SN_CHECK(t != NULL, err, SN_ENOMEM, "tensor: no memory for %zu bytes", size);
    t->memory = memory;
    t->size = size;
    atomic_init(&t->count, 1);
    *out = t;
    return SN_OK;
}

SnStatus sn_tensor_create(SnContext *ctx, SnDtype dtype, int ndim, const int64_t *dims, SnTensor **out,
                          SnError *err)
{
    SnView view = sn_view(dtype, NULL, ndim, dims);
    int64_t count;
    SnTensor *t;
    SN_CHECK(sn_dtype_size(view.dtype) != 0 && sn_view_count(&view, &count), err, SN_EINVAL,
             "tensor: bad dtype, rank or dims");
    SN_TRY(tensor_alloc(sn_allocator(ctx), (size_t)count * sn_dtype_size(dtype), &t, err));
    t->view = view;
    t->view.data = (char *)t + SN_TENSOR_HEADER;
    *out = t;
    return SN_OK;
}

/* First and last element that strides reach, counted from the element at index 0; false on overflow. Of an
 * empty view: none (0 and -1). */
static bool strides_span(int ndim, const int64_t *dims, const int64_t *strides, int64_t *first, int64_t *last)
{
    int64_t low = 0, high = 0, reach;
    for (int i = 0; i < ndim; i++) {
        if (dims[i] == 0) {
            *first = 0;
            *last = -1;
            return true;
        }
        if (!sn_mul_i64(dims[i] - 1, strides[i], &reach) ||
            !sn_add_i64(reach < 0 ? low : high, reach, reach < 0 ? &low : &high))
            return false;
    }
    *first = low;
    *last = high;
    return true;
}

/* The elements that t reaches, which is all that is known of a tensor that was lent. */
static bool tensor_span(const SnTensor *t, int64_t *first, int64_t *last)
{
    int64_t strides[SN_MAX_RANK];
    if (sn_view_is_dense(&t->view))
        dense_strides(t->view.ndim, t->view.dims, strides);
    else
        memcpy(strides, t->view.strides, sizeof strides);
    return strides_span(t->view.ndim, t->view.dims, strides, first, last);
}

SnStatus sn_tensor_create_view(SnTensor *of, int64_t offset, int ndim, const int64_t *dims,
                               const int64_t *strides, SnTensor **out, SnError *err)
{
    SnView view = sn_view(of->view.dtype, of->view.data, ndim, dims);
    int64_t count, steps[SN_MAX_RANK], first, last, whole_first, whole_last;
    SnTensor *t;
    SN_CHECK(view.dtype != SN_NODTYPE && sn_view_count(&view, &count), err, SN_EINVAL,
             "tensor view: bad rank or dims");
    if (strides != NULL)
        memcpy(steps, strides, (size_t)ndim * sizeof *steps);
    else
        dense_strides(ndim, dims, steps);
    SN_CHECK(strides_span(ndim, dims, steps, &first, &last) && tensor_span(of, &whole_first, &whole_last) &&
                 sn_add_i64(first, offset, &first) && sn_add_i64(last, offset, &last),
             err, SN_EINVAL, "tensor view: strides overflow");
    SN_CHECK(count == 0 || (first >= whole_first && last <= whole_last), err, SN_ESHAPE,
             "tensor view: elements %" PRId64 " to %" PRId64 " are outside of %" PRId64 " to %" PRId64, first,
             last, whole_first, whole_last);
    const bool is_dense = strides_are_dense(ndim, dims, steps);
    if (!is_dense)
        memcpy(view.strides, steps, (size_t)ndim * sizeof *steps);
    /* A view whose every stride is 0 would read as dense. */
    SN_CHECK(is_dense || has_strides(&view), err, SN_EUNSUPPORTED,
             "tensor view: repeats one element; copy it");
    SN_TRY(tensor_alloc(of->memory, 0, &t, err));
    if (count != 0)
        view.data = (char *)view.data + offset * (int64_t)sn_dtype_size(view.dtype);
    t->view = view;
    t->is_read_only = of->is_read_only;
    t->of = sn_tensor_retain(of);
    *out = t;
    return SN_OK;
}

/* Several threads may hold a tensor; the last release must see all uses: acq_rel. */
SnTensor *sn_tensor_retain(SnTensor *t)
{
    atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
    return t;
}

static void managed_delete(SnDlManaged *m)
{
    if (m != NULL && m->deleter != NULL)
        m->deleter(m);
}

static void versioned_delete(SnDlVersioned *m)
{
    if (m != NULL && m->deleter != NULL)
        m->deleter(m);
}

void sn_tensor_release(SnTensor *t)
{
    while (t != NULL && atomic_fetch_sub_explicit(&t->count, 1, memory_order_acq_rel) == 1) {
        SnTensor *of = t->of;
        managed_delete(t->managed);
        versioned_delete(t->versioned);
        sn_free(t->memory, t, t->size, SN_TENSOR_ALIGN);
        t = of;
    }
}

const SnView *sn_tensor_view(const SnTensor *t)
{
    return &t->view;
}

bool sn_tensor_is_read_only(const SnTensor *t)
{
    return t->is_read_only;
}

/* ---- DLPack in ---- */

static SnStatus import_check(const SnDlTensor *d, SnView *view, SnError *err)
{
    const SnDtype dtype = sn_dtype_dlpack(d->dtype.code, d->dtype.bits);
    int64_t count, first, last, reach;
    SN_CHECK(d->device.type == SN_DL_CPU, err, SN_EUNSUPPORTED, "DLPack: device type %d, expected the CPU",
             d->device.type);
    SN_CHECK(d->dtype.lanes == 1 && dtype != SN_NODTYPE, err, SN_EUNSUPPORTED,
             "DLPack: dtype code %u of %u bits and %u lanes is unknown", d->dtype.code, d->dtype.bits,
             d->dtype.lanes);
    SN_CHECK(d->ndim >= 0 && d->ndim <= SN_MAX_RANK, err, SN_EUNSUPPORTED,
             "DLPack: %d dims, expected 0 to %d", d->ndim, SN_MAX_RANK);
    SN_CHECK(d->ndim == 0 || d->shape != NULL, err, SN_EINVAL, "DLPack: no shape for %d dims", d->ndim);
    *view = sn_view(dtype, d->data, d->ndim, d->shape);
    SN_CHECK(sn_view_count(view, &count), err, SN_EINVAL, "DLPack: a dim is negative, or too many elements");
    if (d->strides != NULL && d->ndim > 0) {
        const int64_t size = (int64_t)sn_dtype_size(dtype);
        memcpy(view->strides, d->strides, (size_t)d->ndim * sizeof *d->strides);
        SN_CHECK(strides_span(d->ndim, d->shape, d->strides, &first, &last) &&
                     sn_mul_i64(first, size, &reach) && sn_mul_i64(last, size, &reach),
                 err, SN_EINVAL, "DLPack: strides overflow");
    }
    if (count == 0)
        return SN_OK;
    SN_CHECK(d->data != NULL && d->byte_offset <= UINTPTR_MAX - (uintptr_t)d->data, err, SN_EINVAL,
             "DLPack: no data, or byte_offset %" PRIu64 " overflows", d->byte_offset);
    view->data = (char *)d->data + d->byte_offset;
    SN_CHECK((uintptr_t)view->data % sn_dtype_size(dtype) == 0, err, SN_EINVAL,
             "DLPack: data is not aligned to %s", sn_dtype(dtype)->name);
    return SN_OK;
}

/* Strides as views have them. One element repeated along every axis cannot be told from dense: copied. */
static SnStatus import_tensor(SnContext *ctx, const SnDlTensor *d, SnTensor **out, bool *is_copy,
                              SnError *err)
{
    SnView view;
    SN_TRY(import_check(d, &view, err));
    const bool is_dense = d->strides == NULL || strides_are_dense(d->ndim, view.dims, view.strides);
    *is_copy = !is_dense && !has_strides(&view);
    if (!*is_copy) {
        SN_TRY(tensor_alloc(sn_allocator(ctx), 0, out, err));
        if (is_dense)
            memset(view.strides, 0, sizeof view.strides);
        (*out)->view = view;
        return SN_OK;
    }
    SN_TRY(sn_tensor_create(ctx, view.dtype, view.ndim, view.dims, out, err));
    copy_strided((char *)(*out)->view.data, (const char *)view.data, view.ndim, view.dims, view.strides,
                 sn_dtype_size(view.dtype));
    return SN_OK;
}

SnStatus sn_dlpack_import(SnContext *ctx, SnDlManaged *m, SnTensor **out, SnError *err)
{
    bool is_copy;
    SN_TRY(import_tensor(ctx, &m->tensor, out, &is_copy, err));
    if (is_copy)
        managed_delete(m);
    else
        (*out)->managed = m;
    return SN_OK;
}

SnStatus sn_dlpack_import_versioned(SnContext *ctx, SnDlVersioned *m, SnTensor **out, SnError *err)
{
    bool is_copy;
    SN_CHECK(m->version.major == SN_DLPACK_MAJOR, err, SN_EUNSUPPORTED,
             "DLPack: version %" PRIu32 ".%" PRIu32 ", expected %u", m->version.major, m->version.minor,
             SN_DLPACK_MAJOR);
    SN_TRY(import_tensor(ctx, &m->tensor, out, &is_copy, err));
    (*out)->is_read_only = !is_copy && (m->flags & SN_DL_READ_ONLY) != 0;
    if (is_copy)
        versioned_delete(m);
    else
        (*out)->versioned = m;
    return SN_OK;
}

/* ---- DLPack out ---- */

/* What a consumer holds: one of the two forms, its shape, and the tensor. */
typedef struct SnDlExport {
    SnDlManaged managed;
    SnDlVersioned versioned;
    int64_t shape[SN_MAX_RANK], strides[SN_MAX_RANK];
    SnTensor *tensor;
} SnDlExport;

static void export_free(SnDlExport *x)
{
    SnTensor *t = x->tensor;
    sn_free(t->memory, x, sizeof *x, _Alignof(SnDlExport));
    sn_tensor_release(t);
}

static void managed_deleter(SnDlManaged *self)
{
    export_free((SnDlExport *)self->manager);
}

static void versioned_deleter(SnDlVersioned *self)
{
    export_free((SnDlExport *)self->manager);
}

static SnStatus export_tensor(SnTensor *t, SnDlExport **out, SnDlTensor *d, SnError *err)
{
    SnDlExport *x = (SnDlExport *)sn_alloc_zero(t->memory, sizeof *x, _Alignof(SnDlExport));
    SN_CHECK(x != NULL, err, SN_ENOMEM, "DLPack: no memory for %zu bytes", sizeof *x);
    const SnView *v = &t->view;
    const SnDtypeInfo *info = sn_dtype(v->dtype);
    memcpy(x->shape, v->dims, sizeof x->shape);
    if (sn_view_is_dense(v))
        dense_strides(v->ndim, v->dims, x->strides);
    else
        memcpy(x->strides, v->strides, sizeof x->strides);
    x->tensor = sn_tensor_retain(t);
    /* Consumers of 1.2 and later want strides even where dense. */
    *d = (SnDlTensor){.data = v->data,
                      .device = {SN_DL_CPU, 0},
                      .ndim = v->ndim,
                      .dtype = {info->dlpack_code, info->bits, 1},
                      .shape = x->shape,
                      .strides = x->strides};
    *out = x;
    return SN_OK;
}

SnStatus sn_dlpack_export(SnTensor *t, SnDlManaged **out, SnError *err)
{
    SnDlExport *x;
    SnDlTensor tensor;
    SN_CHECK(!t->is_read_only, err, SN_EUNSUPPORTED, "DLPack: a read-only tensor needs the versioned form");
    SN_TRY(export_tensor(t, &x, &tensor, err));
    x->managed = (SnDlManaged){.tensor = tensor, .manager = x, .deleter = managed_deleter};
    *out = &x->managed;
    return SN_OK;
}

SnStatus sn_dlpack_export_versioned(SnTensor *t, SnDlVersioned **out, SnError *err)
{
    SnDlExport *x;
    SnDlTensor tensor;
    SN_TRY(export_tensor(t, &x, &tensor, err));
    x->versioned = (SnDlVersioned){.version = {SN_DLPACK_MAJOR, SN_DLPACK_MINOR},
                                   .manager = x,
                                   .deleter = versioned_deleter,
                                   .flags = t->is_read_only ? SN_DL_READ_ONLY : 0,
                                   .tensor = tensor};
    *out = &x->versioned;
    return SN_OK;
}
