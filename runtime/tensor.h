/* tensor.h -- views, owned tensors, DLPack.
 *
 * A view borrows; a tensor is counted and owns: its memory, another tensor (whose data it looks at), or what
 * a DLPack producer lent. Strides of a view are in elements; all 0 means dense row-major. */
#ifndef SN_TENSOR_H
#define SN_TENSOR_H

#include "runtime/dlpack.h"
#include "runtime/dtype.h"

/* ---- views ---- */

/* Number of elements; false: a bad rank, a negative dim, or more than a size can count in bytes. */
bool sn_view_count(const SnView *v, int64_t *count);
bool sn_view_is_dense(const SnView *v);
/* Copies to dense row-major storage of exactly to_size bytes. Not for lists. */
SN_MUST_CHECK SnStatus sn_view_copy(const SnView *v, void *to, size_t to_size, SnError *err);

/* ---- tensors ---- */

typedef struct SnTensor SnTensor;

/* Zeroed, dense, 64-byte aligned. */
SN_MUST_CHECK SnStatus sn_tensor_create(SnContext *ctx, SnDtype dtype, int ndim, const int64_t *dims,
                                        SnTensor **out, SnError *err);
/* Looks at the elements of a tensor in another order: offset and strides in elements of the whole it looks
 * at, which must lie inside. strides NULL: dense. Retains `of`. */
SN_MUST_CHECK SnStatus sn_tensor_create_view(SnTensor *of, int64_t offset, int ndim, const int64_t *dims,
                                             const int64_t *strides, SnTensor **out, SnError *err);
SnTensor *sn_tensor_retain(SnTensor *t);
void sn_tensor_release(SnTensor *t);
const SnView *sn_tensor_view(const SnTensor *t); /* lends; lives as long as t */
bool sn_tensor_is_read_only(const SnTensor *t);  /* imported as such */

/* ---- DLPack ---- */

/* Takes m on success: its deleter runs when the tensor is released (or already here, where the elements had
 * to be copied). On failure m stays the caller's. */
SN_MUST_CHECK SnStatus sn_dlpack_import(SnContext *ctx, SnDlManaged *m, SnTensor **out, SnError *err);
SN_MUST_CHECK SnStatus sn_dlpack_import_versioned(SnContext *ctx, SnDlVersioned *m, SnTensor **out,
                                                  SnError *err);
/* Retains t until the consumer calls the deleter. */
SN_MUST_CHECK SnStatus sn_dlpack_export(SnTensor *t, SnDlManaged **out, SnError *err);
SN_MUST_CHECK SnStatus sn_dlpack_export_versioned(SnTensor *t, SnDlVersioned **out, SnError *err);

#endif
