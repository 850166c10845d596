/* cohere.c -- Command R: attention and MLP side by side on one layer norm without bias, positions turn pairs
 * of neighbours, logits are scaled. Command R7B (Cohere2): windows in turn; layers without one have no
 * positions.
 *
 * Cohere 2024, "Command R"; Cohere 2025, arXiv:2504.00698. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    sn_scope_push(b->g, "self_attn");
    SnQkv h = sn_nn_project(b, a, x);
    if (sn_config_bool(b->config, "use_qk_norm", false)) {
        h.q = sn_nn_norm_heads(b, h.q, sn_nn_param(b, "q_norm.weight"));
        h.k = sn_nn_norm_heads(b, h.k, sn_nn_param(b, "k_norm.weight"));
    }
    const SnValue y = sn_nn_attend_qkv(b, a, h);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const bool has_windows = strcmp(b->arch->type, "cohere2") == 0;
    const double theta = sn_config_float(b->config, "rope_theta", has_windows ? 1e4 : 5e5);
    const int64_t period = sn_nn_int(b, "sliding_window_pattern", 4, 1, INT64_MAX);
    SnRope rope = sn_nn_rope_of(b, NULL, theta, sn_nn_head_dim(b));
    SnAttn attn = sn_nn_causal(b, &rope);
    rope.pairs = true;
    if (has_windows) {
        attn.window = sn_nn_window(b, i, (i + 1) % period != 0);
        attn.rope = attn.window ? &rope : NULL;
    }
    const SnValue h = sn_nn_ln(b, "input_layernorm", x);
    x = sn_add(b->g, x, attention(b, &attn, h));
    return sn_add(b->g, x, sn_nn_gated_mlp(b, "mlp", h));
}

static SnValue decoder(SnBuild *b)
{
    return sn_nn_decode(b, 1, layer, sn_nn_ln, "norm");
}

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_times(b, sn_nn_lm_head(b, x), sn_config_float(b->config, "logit_scale", 0.0625));
}

static const SnFamily cohere = {.encoder = decoder, .words = words};

const SnArch sn_arch_cohere[] = {
    SN_DECODER_ROWS("cohere", "Cohere", &cohere),
    SN_DECODER_ROWS("cohere2", "Cohere2", &cohere),
    {0},
};
