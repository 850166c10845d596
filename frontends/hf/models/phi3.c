/* phi3.c -- Phi-3: Llama whose projections that read the same are one matrix.
 *
 * Abdin et al. 2024, arXiv:2404.14219. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    sn_scope_push(b->g, "self_attn");
    const SnValue qkv = sn_nn_linear(b, "qkv_proj", x);
    const SnValue y = sn_nn_attend_qkv(b, a, sn_nn_split_qkv(b, qkv, a->heads, a->kv_heads, false));
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 1);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.window = sn_nn_int(b, "sliding_window", 0, 0, INT64_MAX);
    const double resid = sn_config_float(b->config, "resid_pdrop", 0);
    x = sn_add(b->g, x, sn_nn_dropout(b, attention(b, &attn, sn_nn_rms(b, "input_layernorm", x)), resid));
    const SnValue thought = sn_nn_fused_mlp(b, "mlp", sn_nn_rms(b, "post_attention_layernorm", x));
    return sn_add(b->g, x, sn_nn_dropout(b, thought, resid));
}

static const SnFamily phi3 = {
    .encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer, .refeeds = true};

const SnArch sn_arch_phi3[] = {
    SN_DECODER_ROWS("phi3", "Phi3", &phi3),
    SN_SEQUENCE_ROW("phi3", "Phi3", &phi3),
    SN_TOKEN_ROW("phi3", "Phi3", &phi3),
    {0},
};
