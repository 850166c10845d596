/* ops.c -- the list of all op tables. */
#include "ops/ops.h"

const SnOp *const sn_all_ops[] = {
    sn_math_ops,         sn_norm_ops,    sn_nn_ops,        sn_attn_ops,   sn_loss_ops,  sn_pool_ops,
    sn_past_ops,         sn_logits_ops,  sn_watermark_ops, sn_random_ops, sn_optim_ops, sn_quant_ops,
    sn_quant_linear_ops, sn_grouped_ops, sn_state_ops,     sn_conv_ops,   sn_host_ops,   NULL};
