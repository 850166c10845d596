/* olmo.c -- OLMo: norms without parameters, clipped projections. OLMo 2: norms behind the blocks, and of all
 * queries and all keys together.
 *
 * Groeneveld et al. 2024, arXiv:2402.00838; OLMo Team 2024, arXiv:2501.00656. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

/* ---- OLMo ---- */

static SnValue plain_norm(SnBuild *b, const char *name, SnValue x)
{
    (void)name;
    return sn_layer_norm(b->g, x, sn_none(), sn_none(), 1e-5);
}

static SnValue clip(SnBuild *b, SnValue x)
{
    const double most = sn_config_float(b->config, "clip_qkv", 0);
    return most > 0 ? sn_clamp(b->g, x, -most, most) : x;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 1);
    const SnAttn attn = sn_nn_causal(b, &rope);
    sn_scope_push(b->g, "self_attn");
    const SnQkv h = sn_nn_project(b, &attn, plain_norm(b, "input_layernorm", x));
    const SnQkv clipped = {.q = clip(b, h.q), .k = clip(b, h.k), .v = clip(b, h.v)};
    x = sn_add(b->g, x, sn_nn_attend_qkv(b, &attn, clipped));
    sn_scope_pop(b->g);
    return sn_add(b->g, x, sn_nn_gated_mlp(b, "mlp", plain_norm(b, "post_attention_layernorm", x)));
}

/* ---- OLMo 2 ---- */

static SnValue layer_2(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 1);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.norm = sn_nn_rms;
    attn.norms_whole = true;
    x = sn_add(b->g, x, sn_nn_rms(b, "post_attention_layernorm", sn_nn_self_attention(b, &attn, x)));
    return sn_add(b->g, x, sn_nn_rms(b, "post_feedforward_layernorm", sn_nn_gated_mlp(b, "mlp", x)));
}

static const SnFamily olmo = {
    .encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer, .norm = plain_norm};
static const SnFamily olmo2 = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer_2};

const SnArch sn_arch_olmo[] = {
    SN_DECODER_ROWS("olmo", "Olmo", &olmo),
    SN_SEQUENCE_ROW("olmo", "Olmo", &olmo),
    SN_DECODER_ROWS("olmo2", "Olmo2", &olmo2),
    SN_SEQUENCE_ROW("olmo2", "Olmo2", &olmo2),
    {0},
};
