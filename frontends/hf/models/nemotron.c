/* nemotron.c -- Nemotron 4, Minitron: layer norms whose weight is 1 + w, squared rectifiers, half of each
 * head turns.
 *
 * Parmar et al. 2024, arXiv:2402.16819. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue norm(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight"), bias = sn_nn_param_or_none(b, "bias");
    sn_scope_pop(b->g);
    const SnValue one = sn_const(b->g, sn_value_dtype(b->g, w), 1);
    return sn_layer_norm(b->g, x, sn_add(b->g, w, one), bias, sn_config_float(b->config, "norm_eps", 1e-5));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0.5);
    const SnAttn attn = sn_nn_causal(b, &rope);
    x = sn_add(b->g, x, sn_nn_self_attention(b, &attn, norm(b, "input_layernorm", x)));
    const SnValue h = norm(b, "post_attention_layernorm", x);
    return sn_add(b->g, x, sn_nn_gpt_mlp(b, "mlp.up_proj", "mlp.down_proj", "relu2", h));
}

static const SnFamily nemotron = {
    .encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer, .norm = norm};

const SnArch sn_arch_nemotron[] = {
    SN_DECODER_ROWS("nemotron", "Nemotron", &nemotron),
    SN_SEQUENCE_ROW("nemotron", "Nemotron", &nemotron),
    SN_TOKEN_ROW("nemotron", "Nemotron", &nemotron),
    SN_QUESTION_ROW("nemotron", "Nemotron", "transformer", &nemotron),
    {0},
};
