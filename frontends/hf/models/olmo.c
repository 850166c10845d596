/* olmo.c -- OLMo: norms without parameters, clipped projections. OLMo 2: norms behind the blocks, and of all
 * queries and all keys together.
 *
 * Groeneveld et al. 2024, arXiv:2402.00838; OLMo Team 2024, arXiv:2501.00656. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnRope rope_of(SnBuild *b)
{
    return sn_nn_rope_of(b, NULL, sn_config_float(b->config, "rope_theta", 1e4), sn_nn_head_dim(b));
}

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
    const SnRope rope = rope_of(b);
    const SnAttn attn = sn_nn_causal(b, &rope);
    sn_scope_push(b->g, "self_attn");
    const SnQkv h = sn_nn_project(b, &attn, plain_norm(b, "input_layernorm", x));
    const SnQkv clipped = {.q = clip(b, h.q), .k = clip(b, h.k), .v = clip(b, h.v)};
    x = sn_add(b->g, x, sn_nn_attend_qkv(b, &attn, clipped));
    sn_scope_pop(b->g);
    return sn_add(b->g, x, sn_nn_gated_mlp(b, "mlp", plain_norm(b, "post_attention_layernorm", x)));
}

static SnValue decoder(SnBuild *b)
{
    return sn_nn_decode(b, 1, layer, plain_norm, "norm");
}

/* ---- OLMo 2 ---- */

static SnValue attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    sn_scope_push(b->g, "self_attn");
    const SnValue q = sn_nn_rms(b, "q_norm", sn_nn_linear(b, a->q, x));
    const SnValue k = sn_nn_rms(b, "k_norm", sn_nn_linear(b, a->k, x));
    const SnQkv h = {.q = sn_nn_split_heads(b, q, a->heads),
                     .k = sn_nn_split_heads(b, k, a->kv_heads),
                     .v = sn_nn_split_heads(b, sn_nn_linear(b, a->v, x), a->kv_heads)};
    const SnValue y = sn_nn_attend_qkv(b, a, h);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer_2(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = rope_of(b);
    const SnAttn attn = sn_nn_causal(b, &rope);
    x = sn_add(b->g, x, sn_nn_rms(b, "post_attention_layernorm", attention(b, &attn, x)));
    return sn_add(b->g, x, sn_nn_rms(b, "post_feedforward_layernorm", sn_nn_gated_mlp(b, "mlp", x)));
}

static SnValue decoder_2(SnBuild *b)
{
    return sn_nn_decode(b, 1, layer_2, sn_nn_rms, "norm");
}

static const SnFamily olmo = {.encoder = decoder, .words = sn_nn_lm_head};
static const SnFamily olmo2 = {.encoder = decoder_2, .words = sn_nn_lm_head};

const SnArch sn_arch_olmo[] = {
    SN_DECODER_ROWS("olmo", "Olmo", &olmo),
    SN_SEQUENCE_ROW("olmo", "Olmo", &olmo),
    SN_DECODER_ROWS("olmo2", "Olmo2", &olmo2),
    SN_SEQUENCE_ROW("olmo2", "Olmo2", &olmo2),
    {0},
};
