/* phi.c -- Phi: attention and MLP side by side on one layer norm, some dims of each head turn.
 *
 * Li et al. 2023, arXiv:2309.05463. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0.5);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.o = "dense";
    attn.norm = sn_config_bool(b->config, "qk_layernorm", false) ? sn_nn_ln : NULL;
    attn.q_norm = "q_layernorm";
    attn.k_norm = "k_layernorm";
    const SnValue h = sn_nn_ln(b, "input_layernorm", x);
    const double resid = sn_config_float(b->config, "resid_pdrop", 0);
    const SnValue thought = sn_nn_dropout(b, sn_nn_gpt_mlp(b, "mlp.fc1", "mlp.fc2", "gelu_new", h), resid);
    const SnValue seen = sn_nn_dropout(b, sn_nn_self_attention(b, &attn, h), resid);
    return sn_add(b->g, sn_add(b->g, seen, thought), x);
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_dropout(b, words, sn_config_float(b->config, "embd_pdrop", 0));
}

static const SnFamily phi = {.encoder = sn_nn_decode,
                             .words = sn_nn_lm_head_biased,
                             .layer = layer,
                             .norm = sn_nn_ln,
                             .last = "final_layernorm",
                             .embed = embed};

const SnArch sn_arch_phi[] = {
    SN_DECODER_ROWS("phi", "Phi", &phi),
    SN_SEQUENCE_ROW("phi", "Phi", &phi),
    SN_TOKEN_ROW("phi", "Phi", &phi),
    {0},
};
