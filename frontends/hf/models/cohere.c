/* cohere.c -- Command R: attention and MLP side by side on one layer norm without bias, positions turn pairs
 * of neighbours, logits are scaled. Command R7B (Cohere2): windows in turn; layers without one have no
 * positions.
 *
 * Cohere 2024, "Command R"; Cohere 2025, arXiv:2504.00698. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue norm_heads(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue y = sn_nn_norm_heads(b, x, sn_nn_param(b, "weight"));
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const bool has_windows = strcmp(b->arch->type, "cohere2") == 0;
    const int64_t period = sn_nn_int(b, "sliding_window_pattern", 4, 1, INT64_MAX);
    SnRope rope = sn_nn_rope_heads(b, has_windows ? 1e4 : 5e5, 0);
    SnAttn attn = sn_nn_causal(b, &rope);
    rope.pairs = true;
    attn.norm = sn_config_bool(b->config, "use_qk_norm", false) ? norm_heads : NULL;
    if (has_windows) {
        attn.window = sn_nn_window(b, i, (i + 1) % period != 0);
        attn.rope = attn.window ? &rope : NULL;
    }
    const SnValue h = sn_nn_ln(b, "input_layernorm", x);
    x = sn_add(b->g, x, sn_nn_self_attention(b, &attn, h));
    return sn_add(b->g, x, sn_nn_gated_mlp(b, "mlp", h));
}

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_times(b, sn_nn_lm_head(b, x), sn_config_float(b->config, "logit_scale", 0.0625));
}

static const SnFamily cohere = {.encoder = sn_nn_decode, .words = words, .layer = layer, .norm = sn_nn_ln};

const SnArch sn_arch_cohere[] = {
    SN_DECODER_ROWS("cohere", "Cohere", &cohere),
    SN_DECODER_ROWS("cohere2", "Cohere2", &cohere),
    {0},
};
