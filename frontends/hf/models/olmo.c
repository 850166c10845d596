/* olmo.c -- OLMo: norms without parameters, clipped projections. OLMo 2: norms behind the blocks, and of all
 * queries and all keys together. OLMo 3: windows in three of four layers. EXAONE 4: the same with norms of
 * heads, and positions only where there are windows.
 *
 * Groeneveld et al. 2024, arXiv:2402.00838; OLMo Team 2024, arXiv:2501.00656; LG AI Research 2025,
 * arXiv:2507.11407. */
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
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0);
    const SnAttn attn = sn_nn_causal(b, &rope);
    sn_scope_push(b->g, "self_attn");
    const SnQkv h = sn_nn_project(b, &attn, plain_norm(b, "input_layernorm", x));
    const SnQkv clipped = {.q = clip(b, h.q), .k = clip(b, h.k), .v = clip(b, h.v)};
    x = sn_add(b->g, x, sn_nn_attend_qkv(b, &attn, clipped));
    sn_scope_pop(b->g);
    return sn_add(b->g, x, sn_nn_gated_mlp(b, "mlp", plain_norm(b, "post_attention_layernorm", x)));
}

/* ---- OLMo 2 and on ---- */

static SnValue layer_behind(SnBuild *b, SnValue x, SnAttn attn)
{
    attn.norm = sn_nn_rms;
    x = sn_add(b->g, x, sn_nn_rms(b, "post_attention_layernorm", sn_nn_self_attention(b, &attn, x)));
    return sn_add(b->g, x, sn_nn_rms(b, "post_feedforward_layernorm", sn_nn_gated_mlp(b, "mlp", x)));
}

static SnValue layer_2(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.norms_whole = true;
    return layer_behind(b, x, attn);
}

static SnValue layer_3(SnBuild *b, SnValue x, int64_t i)
{
    const bool is_near = sn_nn_is_sliding(b, i, (i + 1) % 4 != 0);
    const double theta =
        is_near ? 5e5 : sn_config_float(b->config, "rope_theta", 5e5); /* as it is read there */
    const SnRope rope = sn_nn_rope_by_reach(b, is_near, theta);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.window = is_near ? sn_nn_int(b, "sliding_window", 4096, 0, INT64_MAX) : 0;
    attn.norms_whole = true;
    return layer_behind(b, x, attn);
}

/* ---- EXAONE 4 ---- */

/* sliding_window_pattern is a number, or a string of L (local) and G (global) that repeats; the last layer of
 * those is global. */
static bool is_local(SnBuild *b, int64_t i)
{
    const char *turns = sn_config_string(b->config, "sliding_window_pattern", NULL);
    if (turns && *turns)
        return i + 1 < sn_config_int(b->config, "num_hidden_layers", 32) &&
               turns[(size_t)i % strlen(turns)] == 'L';
    return (i + 1) % sn_nn_int(b, "sliding_window_pattern", 4, 1, INT64_MAX) != 0;
}

static SnValue layer_exaone(SnBuild *b, SnValue x, int64_t i)
{
    const bool has_windows = sn_config_get(b->config, "sliding_window") != NULL;
    const int64_t window = has_windows && sn_nn_is_sliding(b, i, is_local(b, i))
                               ? sn_nn_int(b, "sliding_window", 4096, 1, INT64_MAX)
                               : 0;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0);
    SnAttn attn = sn_nn_causal(b, has_windows && window == 0 ? NULL : &rope);
    attn.window = window;
    return layer_behind(b, x, attn);
}

static const SnFamily olmo = {
    .encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer, .norm = plain_norm};
static const SnFamily olmo2 = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer_2};
static const SnFamily olmo3 = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer_3};
static const SnFamily exaone = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer_exaone};

const SnArch sn_arch_olmo[] = {
    SN_DECODER_ROWS("olmo", "Olmo", &olmo),
    SN_SEQUENCE_ROW("olmo", "Olmo", &olmo),
    SN_DECODER_ROWS("olmo2", "Olmo2", &olmo2),
    SN_SEQUENCE_ROW("olmo2", "Olmo2", &olmo2),
    SN_DECODER_ROWS("olmo3", "Olmo3", &olmo3),
    SN_SEQUENCE_ROW("olmo3", "Olmo3", &olmo3),
    SN_DECODER_ROWS("exaone4", "Exaone4", &exaone),
    SN_SEQUENCE_ROW("exaone4", "Exaone4", &exaone),
    SN_TOKEN_ROW("exaone4", "Exaone4", &exaone),
    SN_QUESTION_ROW("exaone4", "Exaone4", "transformer", &exaone),
    {0},
};
