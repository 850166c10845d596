/* infer.h -- what the shape rules share. Internal to prims*.c and structure.c. */
#ifndef SN_INFER_H
#define SN_INFER_H

#include "compiler/type.h"

/* One term to be checked. A rule writes *out on success only. */
typedef struct SnInfer {
    SnStore *s;
    uint16_t op;
    SnAttrId attr;
    const SnRef *arg;
    int narg;
    SnTypeId *out;
    SnError *err;
} SnInfer;

typedef SnStatus SnInferRule(const SnInfer *x);

/* "mul: operand 2: expected WHAT, found f32[b]"; operands count from 1 in messages. */
SnStatus sn_infer_expect(const SnInfer *x, int i, const char *format, ...) SN_PRINTF(3, 4);
/* "slice: FORMAT" */
SnStatus sn_infer_fail(const SnInfer *x, const char *format, ...) SN_PRINTF(2, 3);
SnStatus sn_infer_done(const SnInfer *x, SnTypeId type); /* *out = type; type 0: no memory */

static inline const SnType *sn_infer_type(const SnInfer *x, int i)
{
    return sn_type_of(x->s, x->arg[i]);
}
int64_t sn_infer_int(const SnInfer *x, const char *name, int64_t otherwise);
/* NULL: there is no such attribute. */
const int64_t *sn_infer_ints(const SnInfer *x, const char *name, int *n);
/* Is operand i a scalar of this dtype (SN_NODTYPE: of any integer dtype)? */
bool sn_infer_is_scalar(const SnInfer *x, int i, SnDtype dtype);
/* Are operands first .. first + n - 1 dims? */
SnStatus sn_infer_dims(const SnInfer *x, int first, int n);

SnStatus sn_infer_want_tensor(const SnInfer *x, int i);
/* Tensor or list: what movement ops take. */
SnStatus sn_infer_want_array(const SnInfer *x, int i);
/* Operand i against operand k, whose type it must have. */
SnStatus sn_infer_want_same(const SnInfer *x, int i, int k);
SnStatus sn_infer_want_axis(const SnInfer *x, int64_t axis, int rank);
/* Distinct axes of an operand as a bit set. */
SnStatus sn_infer_want_axes(const SnInfer *x, const int64_t *axes, int n, int rank, uint32_t *set);
bool sn_infer_same_dims(const SnInfer *x, const SnType *a, const SnType *b);
/* The type of operand like with other dims. */
SnStatus sn_infer_done_dims(const SnInfer *x, const SnType *like, int ndim, const SnRef *dims);
/* The sum of two capacities; equal ones are taken for the same child. */
SnRef sn_infer_join_bounds(const SnInfer *x, SnRef a, SnRef b, bool is_sum);

/* prims_move.c */
SnInferRule sn_infer_reshape, sn_infer_permute, sn_infer_broadcast, sn_infer_slice, sn_infer_pad,
    sn_infer_flip, sn_infer_concat, sn_infer_window;
bool sn_infer_is_less(const SnInfer *x, SnRef a, SnRef b); /* provably, whatever the symbols are */
SnStatus sn_infer_want_starts(const SnInfer *x, int first, int n);

/* structure.c */
SnInferRule sn_infer_tuple, sn_infer_get, sn_infer_call, sn_infer_loop, sn_infer_cond, sn_infer_fn,
    sn_infer_entry, sn_infer_program, sn_infer_list, sn_infer_offsets, sn_infer_values, sn_infer_grad,
    sn_infer_combine;

#endif
