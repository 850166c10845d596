/* gpt_oss.c -- gpt-oss: windows in turn, a sink in every softmax, clamped experts with biases.
 *
 * OpenAI 2025, arXiv:2508.10925. */
#include "frontends/hf/moe.h"

#include "ops/ops.h"

#define EVERY_OTHER 2 /* of the numbers that an expert makes is a gate, the rest is what it lets through */

static SnValue one_of_two(SnBuild *b, SnValue x, int64_t first)
{
    SnGraph *g = b->g;
    const SnValue half = sn_const_int(g, SN_I64, sn_nn_dim(b, x, -1) / 2);
    const SnValue starts[] = {sn_const_int(g, SN_I64, 0), sn_const_int(g, SN_I64, first)};
    const SnValue sizes[] = {sn_dim(g, x, 0), half};
    return sn_slice(g, x, starts, sizes, (const int64_t[]){1, EVERY_OTHER});
}

/* Weights lie as [experts, in, out]. */
static SnValue turned_linear(SnBuild *b, const SnExpertRows *rows, const char *name, const char *bias,
                             SnValue x)
{
    const SnValue w = sn_permute(b->g, sn_nn_param(b, name), (const int[]){0, 2, 1});
    return sn_moe_linear(b, rows, name, x, w, sn_nn_param(b, bias));
}

static SnValue experts(SnBuild *b, const SnExpertRows *rows, SnValue x)
{
    SnGraph *g = b->g;
    const double most = sn_config_float(b->config, "swiglu_limit", 7);
    const double alpha = sn_config_float(b->config, "swiglu_alpha", 1.702);
    const SnValue both = turned_linear(b, rows, "gate_up_proj", "gate_up_proj_bias", x);
    const SnValue gate = sn_min(g, one_of_two(b, both, 0), sn_const(g, SN_F64, most));
    const SnValue up = sn_clamp(g, one_of_two(b, both, 1), -most, most);
    const SnValue open = sn_mul(g, gate, sn_sigmoid(g, sn_nn_times(b, gate, alpha)));
    const SnValue h = sn_mul(g, sn_add(g, up, sn_const(g, SN_F64, 1)), open);
    return turned_linear(b, rows, "down_proj", "down_proj_bias", h);
}

static SnValue mixture(SnBuild *b, SnValue x)
{
    sn_scope_push(b->g, "mlp");
    const SnValue logits = sn_moe_router(b, "router", x);
    const int64_t k = sn_nn_int(b, "num_experts_per_tok", 4, 1, sn_nn_dim(b, logits, -1));
    const SnValue y = sn_moe_mix(b, "experts", sn_moe_choose_first(b, logits, k), experts, x);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const SnRope rope = sn_nn_rope_heads(b, 1.5e5, 0);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.window = sn_nn_window(b, i, i % 2 == 0);
    const SnValue h = sn_nn_rms(b, "input_layernorm", x);
    sn_scope_push(b->g, "self_attn");
    attn.sinks = sn_nn_param(b, "sinks");
    x = sn_add(b->g, x, sn_nn_attention(b, &attn, h));
    sn_scope_pop(b->g);
    return sn_add(b->g, x, mixture(b, sn_nn_rms(b, "post_attention_layernorm", x)));
}

static const SnFamily gpt_oss = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer};

const SnArch sn_arch_gpt_oss[] = {
    SN_DECODER_ROWS("gpt_oss", "GptOss", &gpt_oss),
    SN_SEQUENCE_ROW("gpt_oss", "GptOss", &gpt_oss),
    SN_TOKEN_ROW("gpt_oss", "GptOss", &gpt_oss),
    {0},
};
