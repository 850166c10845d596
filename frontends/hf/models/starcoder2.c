/* starcoder2.c -- StarCoder2: layer norms, biases everywhere, an MLP without a gate.
 *
 * Lozhkov et al. 2024, arXiv:2402.19173. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.window = sn_nn_int(b, "sliding_window", 0, 0, INT64_MAX);
    const double share = sn_config_float(b->config, "residual_dropout", 0);
    const SnValue seen = sn_nn_self_attention(b, &attn, sn_nn_ln(b, "input_layernorm", x));
    x = sn_add(b->g, x, sn_nn_dropout(b, seen, share));
    const SnValue then = sn_nn_ln(b, "post_attention_layernorm", x);
    const SnValue thought = sn_nn_gpt_mlp(b, "mlp.c_fc", "mlp.c_proj", "gelu_pytorch_tanh", then);
    return sn_add(b->g, x, sn_nn_dropout(b, thought, share));
}

static SnValue embed(SnBuild *b, SnValue words)
{
    return sn_nn_dropout(b, words, sn_config_float(b->config, "embedding_dropout", 0));
}

static const SnFamily starcoder2 = {
    .encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer, .norm = sn_nn_ln, .embed = embed};

const SnArch sn_arch_starcoder2[] = {
    SN_DECODER_ROWS("starcoder2", "Starcoder2", &starcoder2),
    SN_SEQUENCE_ROW("starcoder2", "Starcoder2", &starcoder2),
    SN_TOKEN_ROW("starcoder2", "Starcoder2", &starcoder2),
    {0},
};
