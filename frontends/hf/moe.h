/* moe.h -- mixtures of experts: who is chosen, and the sum of what they say.
 *
 * A choice is dense, f32[batch, seq, experts]: the weight of each expert for each token, 0 for those that
 * were not chosen. Experts are added in rising order, so neither the neighbours of a token nor how many of
 * them there are changes a bit. Shazeer et al. 2017, arXiv:1701.06538. */
#ifndef SN_HF_MOE_H
#define SN_HF_MOE_H

#include "frontends/hf/layers.h"

/* Logits f32[batch, seq, experts] of the linear <name>; the layer's router_logits. */
SnValue sn_moe_router(SnBuild *b, const char *name, SnValue x);
/* The k greatest of each token, bool[batch, seq, experts]. */
SnValue sn_moe_greatest(SnBuild *b, SnValue scores, int64_t k);
/* Softmax of the logits, then the k greatest, perhaps such that they sum to 1. */
SnValue sn_moe_choose(SnBuild *b, SnValue logits, int64_t k, bool is_normed);
/* The k greatest logits, then their softmax. */
SnValue sn_moe_choose_first(SnBuild *b, SnValue logits, int64_t k);

/* Expert i of x, built in the scope of all experts. */
typedef SnValue SnExpertFn(SnBuild *b, int64_t i, SnValue x);
SnExpertFn sn_moe_gated;   /* <i>.gate_proj, up_proj, down_proj, or parts of gate_up_proj and down_proj */
SnExpertFn sn_moe_mixtral; /* the same, published as <i>.w1, w3, w2 */
/* Sum over experts of choice * expert(x), in the scope <name>. */
SnValue sn_moe_mix(SnBuild *b, const char *name, SnValue choice, SnExpertFn *expert, SnValue x);
/* Part i of a parameter [experts, ..]. */
SnValue sn_moe_part(SnBuild *b, SnValue all, int64_t i);

#endif
