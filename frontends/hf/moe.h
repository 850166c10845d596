/* moe.h -- mixtures of experts: who is chosen, and the sum of what they say.
 *
 * Rows of tokens are sorted by expert, so each expert that somebody chose is read once for all of them, and
 * the others are not. What a token gets is added in rising order of its experts: neither its neighbours nor
 * how many of them there are changes a bit. Shazeer et al. 2017, arXiv:1701.06538. */
#ifndef SN_HF_MOE_H
#define SN_HF_MOE_H

#include "frontends/hf/layers.h"

/* Logits f32[batch, seq, experts] of the linear <name>; the layer's router_logits. */
SnValue sn_moe_router(SnBuild *b, const char *name, SnValue x);
/* The k greatest of each token, bool[batch, seq, experts]. */
SnValue sn_moe_greatest(SnBuild *b, SnValue scores, int64_t k);

/* Experts of each token in rising order, and what each of them counts. */
typedef struct SnChoice {
    int64_t nexpert;
    SnValue expert, weight; /* i64 and f32 [batch, seq, k] */
} SnChoice;
/* The k greatest of `by`, each with its number in `of`. */
SnChoice sn_moe_choose_by(SnBuild *b, SnValue by, SnValue of, int64_t k);
/* Softmax of the logits, then the k greatest, perhaps such that they sum to 1. */
SnChoice sn_moe_choose(SnBuild *b, SnValue logits, int64_t k, bool is_normed);
/* The k greatest logits, then their softmax. */
SnChoice sn_moe_choose_first(SnBuild *b, SnValue logits, int64_t k);
/* SparseMixer: the two greatest, each with its softmax among those (but the first) that are no farther below
 * it than 2 * jitter of their size. Liu et al. 2024, arXiv:2409.12136. */
SnChoice sn_moe_choose_sparse(SnBuild *b, SnValue logits, double jitter);

/* Rows that are for one expert each, sorted by expert. */
typedef struct SnExpertRows {
    int64_t nexpert;
    SnValue expert; /* i64[rows] */
} SnExpertRows;
/* x [rows, in] times w [experts, out, in], of the expert of each row; bias [experts, out] or none. name: of
 * the parameter, as adapters know it; NULL: they know it not. */
SnValue sn_moe_linear(SnBuild *b, const SnExpertRows *rows, const char *name, SnValue x, SnValue w,
                      SnValue bias);
/* <i>.<name>.weight of all experts as one. */
SnValue sn_moe_stack(SnBuild *b, const SnExpertRows *rows, const char *name);

/* What the experts say of x [rows, width], built in the scope of them all. */
typedef SnValue SnExpertFn(SnBuild *b, const SnExpertRows *rows, SnValue x);
/* down (act (first half) * second half of both x), by hidden_act; weights of all experts. */
SnValue sn_moe_fused(SnBuild *b, const SnExpertRows *rows, SnValue x, SnValue both, SnValue down);
SnExpertFn sn_moe_gated;   /* <i>.gate_proj, up_proj, down_proj, or all in gate_up_proj and down_proj */
SnExpertFn sn_moe_mixtral; /* the same, published as <i>.w1, w3, w2 */
/* For each token the sum over its experts of weight * what they say, in the scope <name>. */
SnValue sn_moe_mix(SnBuild *b, const char *name, SnChoice choice, SnExpertFn *experts, SnValue x);

#endif
