/* persimmon.c -- Persimmon: one projection of queries, keys and values, norms of the former two, squared
 * rectifiers, half of each head turns.
 *
 * Elsen et al. 2023, adept.ai/blog/persimmon-8b. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue attention(SnBuild *b, SnValue x)
{
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0.5);
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 64, 1, 1 << 16);
    const SnAttn attn = {.heads = heads,
                         .o = "dense",
                         .rope = &rope,
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attention_dropout", 0)};
    sn_scope_push(b->g, "self_attn");
    SnQkv h = sn_nn_split_qkv(b, sn_nn_linear(b, "query_key_value", x), heads, heads, true);
    if (sn_config_bool(b->config, "qk_layernorm", true)) {
        h.q = sn_nn_ln(b, "q_layernorm", h.q);
        h.k = sn_nn_ln(b, "k_layernorm", h.k);
    }
    const SnValue y = sn_nn_attend_qkv(b, &attn, h);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    x = sn_add(b->g, x, attention(b, sn_nn_ln(b, "input_layernorm", x)));
    const SnValue h = sn_nn_ln(b, "post_attention_layernorm", x);
    const SnValue y = sn_nn_gpt_mlp(b, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "relu2", h);
    return sn_add(b->g, x, sn_nn_dropout(b, y, sn_config_float(b->config, "hidden_dropout", 0)));
}

static const SnFamily persimmon = {.encoder = sn_nn_decode,
                                   .words = sn_nn_lm_head,
                                   .layer = layer,
                                   .norm = sn_nn_ln,
                                   .last = "final_layernorm",
                                   .nlayer = 36};

const SnArch sn_arch_persimmon[] = {
    SN_DECODER_ROWS("persimmon", "Persimmon", &persimmon),
    SN_SEQUENCE_ROW("persimmon", "Persimmon", &persimmon),
    SN_TOKEN_ROW("persimmon", "Persimmon", &persimmon),
    {0},
};
