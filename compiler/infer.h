/* infer.h -- what the shape rules share. Internal to prims.c and structure.c. */
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
/* Is operand i a scalar of this dtype (SN_NODTYPE: of any integer dtype)? */
bool sn_infer_is_scalar(const SnInfer *x, int i, SnDtype dtype);
/* Are operands first .. first + n - 1 dims? */
SnStatus sn_infer_dims(const SnInfer *x, int first, int n);

/* structure.c */
SnInferRule sn_infer_tuple, sn_infer_get, sn_infer_call, sn_infer_loop, sn_infer_cond, sn_infer_fn,
    sn_infer_entry, sn_infer_program, sn_infer_list, sn_infer_offsets, sn_infer_values, sn_infer_grad,
    sn_infer_combine;

#endif
