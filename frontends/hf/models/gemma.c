/* gemma.c -- Gemma, Gemma 2 and Gemma 3: scaled embeddings, norms whose weight is 1 + w; from the second on
 * norms on both sides of each block and windows in turn, in the third norms of heads too.
 *
 * Gemma Team 2024, arXiv:2403.08295 and arXiv:2408.00118; 2025, arXiv:2503.19786. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

static bool is_type(const SnBuild *b, const char *type)
{
    return strcmp(b->arch->type, type) == 0;
}

static SnValue norm(SnBuild *b, const char *name, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const double eps = sn_config_float(b->config, "rms_norm_eps", 1e-6);
    const SnValue y = sn_rms_norm(b->g, x, sn_nn_param(b, "weight"), eps, 1);
    sn_scope_pop(b->g);
    return y;
}

/* Configs of the first Gemma say gelu and mean its approximation. */
static SnValue mlp(SnBuild *b, SnValue x)
{
    const bool is_first = is_type(b, "gemma");
    const char *key = is_first ? "hidden_act" : "hidden_activation";
    const char *act = sn_config_string(b->config, key, "gelu_pytorch_tanh");
    const bool is_old = is_first && strcmp(act, "gelu") == 0;
    return sn_nn_gated_mlp_by(b, "mlp", is_old ? "gelu_pytorch_tanh" : act, x);
}

/* null is no cap, a config without the key has the family's. */
static double cap(const SnBuild *b, const char *key, double otherwise)
{
    return sn_config_float(b->config, key, sn_json_get(b->config->json, key) ? 0 : otherwise);
}

/* ---- Gemma ---- */

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0);
    const SnAttn attn = sn_nn_causal(b, &rope);
    x = sn_add(b->g, x, sn_nn_self_attention(b, &attn, norm(b, "input_layernorm", x)));
    return sn_add(b->g, x, mlp(b, norm(b, "post_attention_layernorm", x)));
}

/* ---- Gemma 2 and 3 ---- */

static SnRope rope_of(SnBuild *b, bool is_third, bool is_near)
{
    if (!is_third)
        return sn_nn_rope_heads(b, 1e4, 0);
    const double far = sn_config_float(b->config, "rope_theta", 1e6);
    const double near = sn_config_float(b->config, "rope_local_base_freq", 1e4);
    return sn_nn_rope_by_reach(b, is_near, is_near ? near : far);
}

static SnValue sandwich_layer(SnBuild *b, SnValue x, int64_t i)
{
    const bool is_third = is_type(b, "gemma3_text");
    const int64_t period = sn_nn_int(b, "sliding_window_pattern", is_third ? 6 : 2, 1, INT64_MAX);
    const bool is_near = sn_nn_is_sliding(b, i, (i + 1) % period != 0);
    const SnRope rope = rope_of(b, is_third, is_near);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.causal = !is_third || !sn_config_bool(b->config, "use_bidirectional_attention", false);
    attn.window = is_near ? sn_nn_int(b, "sliding_window", 4096, 0, INT64_MAX) : 0;
    if (is_near && !attn.causal)
        attn.window = attn.window / 2 + 1;
    attn.scale = 1 / sqrt(sn_config_float(b->config, "query_pre_attn_scalar", 256));
    attn.softcap = is_third ? 0 : cap(b, "attn_logit_softcapping", 50);
    attn.norm = is_third ? norm : NULL;
    const SnValue seen = sn_nn_self_attention(b, &attn, norm(b, "input_layernorm", x));
    x = sn_add(b->g, x, norm(b, "post_attention_layernorm", seen));
    const SnValue thought = mlp(b, norm(b, "pre_feedforward_layernorm", x));
    return sn_add(b->g, x, norm(b, "post_feedforward_layernorm", thought));
}

/* ---- the model ---- */

static SnValue embed(SnBuild *b, SnValue words)
{
    const double width = (double)sn_nn_int(b, "hidden_size", 3072, 1, 1 << 24);
    return sn_nn_input(b, "input_ids").ref ? sn_nn_times(b, words, sqrt(width)) : words;
}

static SnValue words(SnBuild *b, SnValue x)
{
    const double most = is_type(b, "gemma")    ? 0
                        : is_type(b, "gemma2") ? cap(b, "final_logit_softcapping", 30)
                                               : cap(b, "final_logit_softcapping", 0);
    const SnValue y = sn_nn_lm_head(b, x);
    return most == 0 ? y : sn_nn_times(b, sn_tanh(b->g, sn_nn_times(b, y, 1 / most)), most);
}

static const SnFamily gemma = {
    .encoder = sn_nn_decode, .words = words, .layer = layer, .norm = norm, .embed = embed};
static const SnFamily sandwich = {
    .encoder = sn_nn_decode, .words = words, .layer = sandwich_layer, .norm = norm, .embed = embed};

const SnArch sn_arch_gemma[] = {
    SN_DECODER_ROWS("gemma", "Gemma", &gemma),
    SN_SEQUENCE_ROW("gemma", "Gemma", &gemma),
    SN_TOKEN_ROW("gemma", "Gemma", &gemma),
    SN_DECODER_ROWS("gemma2", "Gemma2", &sandwich),
    SN_SEQUENCE_ROW("gemma2", "Gemma2", &sandwich),
    SN_TOKEN_ROW("gemma2", "Gemma2", &sandwich),
    {"gemma3_text", "Gemma3TextModel", "feature-extraction", "model", sn_head_hidden, &sandwich},
    {"gemma3_text", "Gemma3ForCausalLM", "text-generation", "model", sn_head_next_word, &sandwich},
    SN_SEQUENCE_ROW("gemma3_text", "Gemma3Text", &sandwich),
    {0},
};
