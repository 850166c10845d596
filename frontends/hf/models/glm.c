/* glm.c -- GLM-4: Llama whose MLP has one matrix for what reads the same, and where neighbouring dims of a
 * part of each head turn. The versions of 2025 (glm4) have norms behind the blocks, too.
 *
 * GLM Team 2024, arXiv:2406.12793. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const bool has_more = strcmp(b->arch->type, "glm4") == 0;
    SnRope rope = sn_nn_rope_heads(b, 1e4, 0.5);
    rope.pairs = true;
    const SnAttn attn = sn_nn_causal(b, &rope);
    const SnValue seen = sn_nn_self_attention(b, &attn, sn_nn_rms(b, "input_layernorm", x));
    x = sn_add(b->g, x, has_more ? sn_nn_rms(b, "post_self_attn_layernorm", seen) : seen);
    const SnValue thought = sn_nn_fused_mlp(b, "mlp", sn_nn_rms(b, "post_attention_layernorm", x));
    return sn_add(b->g, x, has_more ? sn_nn_rms(b, "post_mlp_layernorm", thought) : thought);
}

static const SnFamily glm = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer};

const SnArch sn_arch_glm[] = {
    SN_DECODER_ROWS("glm", "Glm", &glm),
    SN_SEQUENCE_ROW("glm", "Glm", &glm),
    SN_TOKEN_ROW("glm", "Glm", &glm),
    SN_DECODER_ROWS("glm4", "Glm4", &glm),
    SN_SEQUENCE_ROW("glm4", "Glm4", &glm),
    SN_TOKEN_ROW("glm4", "Glm4", &glm),
    {0},
};
