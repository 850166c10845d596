/* ops.h -- the tables of composites and host ops, and their typed builders: sn_softmax(g, x, axis).
 *
 * An op is one row: a signature, a function that says what it means in terms of other ops, a line of doc. The
 * builders are printed from the signatures at build time (tools/genops.c). Where an op computes in f32
 * whatever the operand's dtype is (f64 stays f64), that is what Transformers does, and the result is cast
 * back. */
#ifndef SN_OPS_H
#define SN_OPS_H

#include "compiler/graph.h"
#include "ops/sn_ops.h" /* made by genops */

/* NULL-terminated: SnCompilerDesc.ops. */
SN_API extern const SnOp *const sn_all_ops[];

extern const SnOp sn_math_ops[], sn_norm_ops[], sn_nn_ops[], sn_attn_ops[], sn_loss_ops[], sn_pool_ops[],
    sn_past_ops[], sn_logits_ops[], sn_watermark_ops[], sn_random_ops[], sn_optim_ops[], sn_quant_ops[],
    sn_quant_linear_ops[], sn_grouped_ops[], sn_state_ops[], sn_conv_ops[], sn_host_ops[];

/* A number that takes the dtype of what it meets. */
static inline SnValue sn_num(SnGraph *g, double v)
{
    return sn_const(g, SN_F64, v);
}
static inline SnValue sn_size(SnGraph *g, int64_t v)
{
    return sn_const_int(g, SN_I64, v);
}

#endif
