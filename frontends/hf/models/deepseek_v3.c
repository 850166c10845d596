/* deepseek_v3.c -- DeepSeek-V3: keys and values from one narrow vector a token, many small experts chosen by
 * groups.
 *
 * DeepSeek-AI 2024, arXiv:2412.19437; attention: arXiv:2405.04434, section 2.1. */
#include "frontends/hf/moe.h"

#include "ops/ops.h"

#include <math.h>

/* ---- latent attention ---- */

#define LATENT_EPS 1e-6 /* whatever rms_norm_eps is */

typedef struct Widths {
    int64_t heads, plain, turning, value, latent; /* of a head: dims without and with positions, of values */
} Widths;

static Widths widths_of(SnBuild *b)
{
    return (Widths){.heads = sn_nn_int(b, "num_attention_heads", 128, 1, 1 << 16),
                    .plain = sn_nn_int(b, "qk_nope_head_dim", 128, 0, 1 << 16),
                    .turning = sn_nn_int(b, "qk_rope_head_dim", 64, 1, 1 << 16),
                    .value = sn_nn_int(b, "v_head_dim", 128, 1, 1 << 16),
                    .latent = sn_nn_int(b, "kv_lora_rank", 512, 1, 1 << 24)};
}

/* YaRN's longer context asks for sharper attention. */
static double scale_of(SnBuild *b, const Widths *w)
{
    const SnJson *rope = sn_config_get(b->config, "rope_scaling");
    double all = 0, factor = 1;
    rope = rope ? rope : sn_config_get(b->config, "rope_parameters");
    (void)sn_json_number(sn_json_get(rope, "mscale_all_dim"), &all);
    (void)sn_json_number(sn_json_get(rope, "factor"), &factor);
    const double sharp = all != 0 && factor > 1 ? 0.1 * all * log(factor) + 1 : 1;
    return sharp * sharp / sqrt((double)(w->plain + w->turning));
}

static SnValue queries(SnBuild *b, SnValue x)
{
    const SnJson *rank = sn_json_get(b->config->json, "q_lora_rank");
    if (rank && sn_json_is_null(rank)) /* it has one where nothing is said */
        return sn_nn_linear(b, "q_proj", x);
    const SnValue narrow = sn_nn_linear(b, "q_a_proj", x);
    return sn_nn_linear(b, "q_b_proj", sn_nn_rms_norm(b, "q_a_layernorm", narrow, LATENT_EPS));
}

static SnValue attention(SnBuild *b, SnValue x)
{
    SnGraph *g = b->g;
    const Widths w = widths_of(b);
    SnRope rope = sn_nn_rope_of(b, NULL, sn_config_float(b->config, "rope_theta", 1e4), w.turning);
    const SnAttn attn = {.heads = w.heads,
                         .o = "o_proj",
                         .scale = scale_of(b, &w),
                         .causal = true,
                         .dropout = sn_config_float(b->config, "attention_dropout", 0)};
    rope.pairs = sn_config_bool(b->config, "rope_interleave", true);

    const SnValue q = sn_nn_split_heads(b, queries(b, x), w.heads);
    const SnValue turned_q = sn_nn_rope(b, &rope, sn_nn_part(b, q, w.plain, w.turning));

    const SnValue narrow = sn_nn_linear(b, "kv_a_proj_with_mqa", x);
    const SnValue part = sn_nn_part(b, narrow, 0, w.latent);
    const SnValue latent = sn_nn_rms_norm(b, "kv_a_layernorm", part, LATENT_EPS);
    const SnValue shared = sn_nn_split_heads(b, sn_nn_part(b, narrow, w.latent, w.turning), 1);
    const SnValue dims[] = {b->batch, sn_const_int(g, SN_I64, w.heads), b->seq,
                            sn_const_int(g, SN_I64, w.turning)};
    const SnValue turned_k = sn_broadcast(g, sn_nn_rope(b, &rope, shared), 4, dims);
    const SnValue kv = sn_nn_split_heads(b, sn_nn_linear(b, "kv_b_proj", latent), w.heads);

    const SnValue whole_q[] = {sn_nn_part(b, q, 0, w.plain), turned_q};
    const SnValue whole_k[] = {sn_nn_part(b, kv, 0, w.plain), turned_k};
    return sn_nn_attend_qkv(b, &attn,
                            (SnQkv){.q = sn_concat(g, 2, whole_q, 3),
                                    .k = sn_concat(g, 2, whole_k, 3),
                                    .v = sn_nn_part(b, kv, w.plain, w.value)});
}

/* ---- experts ---- */

/* Scores of the experts whose group is one of the best; a group is as good as its two best. */
static SnValue of_best_groups(SnBuild *b, SnValue scores, int64_t groups, int64_t best)
{
    SnGraph *g = b->g;
    const SnValue lead[] = {sn_dim(g, scores, 0), sn_dim(g, scores, 1)}, n = sn_dim(g, scores, -1);
    const SnValue ngroup = sn_const_int(g, SN_I64, groups), each = sn_idiv(g, n, ngroup);
    const SnValue grouped = sn_reshape(g, scores, 4, (SnValue[]){lead[0], lead[1], ngroup, each});
    const SnValue top = sn_get(g, sn_top_k(g, grouped, 2, -1, true), 0);
    const SnValue chosen = sn_moe_greatest(b, sn_reduce(g, "add", top, 1, &(int){3}, false), best);
    const SnValue one[] = {lead[0], lead[1], ngroup, sn_const_int(g, SN_I64, 1)};
    const SnValue kept = sn_where(g, sn_reshape(g, chosen, 4, one), grouped, sn_const(g, SN_F32, -HUGE_VAL));
    return sn_reshape(g, kept, 3, (SnValue[]){lead[0], lead[1], n});
}

/* The bias balances the load: it decides who is chosen, not with what weight. */
static SnChoice choose(SnBuild *b, SnValue logits)
{
    SnGraph *g = b->g;
    const int64_t n = sn_nn_dim(b, logits, -1), groups = sn_nn_int(b, "n_group", 8, 1, n);
    const SnValue scores = sn_sigmoid(g, logits);
    const SnValue bias = sn_cast(g, sn_nn_param(b, "gate.e_score_correction_bias"), SN_F32);
    const SnValue balanced =
        of_best_groups(b, sn_add(g, scores, bias), groups, sn_nn_int(b, "topk_group", 4, 1, groups));
    SnChoice c = sn_moe_choose_by(b, balanced, scores, sn_nn_int(b, "num_experts_per_tok", 8, 1, n));
    if (sn_config_bool(b->config, "norm_topk_prob", true))
        c.weight = sn_div(g, c.weight, sn_add(g, sn_sum_of(g, c.weight, -1), sn_const(g, SN_F32, 1e-20)));
    c.weight = sn_nn_times(b, c.weight, sn_config_float(b->config, "routed_scaling_factor", 2.5));
    return c;
}

static SnValue mixture(SnBuild *b, SnValue x)
{
    sn_scope_push(b->g, "mlp");
    const SnChoice choice = choose(b, sn_moe_router(b, "gate", sn_cast(b->g, x, SN_F32)));
    const SnValue y = sn_moe_mix(b, "experts", choice, sn_moe_gated, x);
    const SnValue shared = sn_nn_gated_mlp(b, "shared_experts", x);
    sn_scope_pop(b->g);
    return sn_add(b->g, y, shared);
}

/* ---- the model ---- */

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    const bool is_dense = i < sn_config_int(b->config, "first_k_dense_replace", 3);
    SnValue h = sn_nn_rms(b, "input_layernorm", x);
    sn_scope_push(b->g, "self_attn");
    x = sn_add(b->g, x, attention(b, h));
    sn_scope_pop(b->g);
    h = sn_nn_rms(b, "post_attention_layernorm", x);
    return sn_add(b->g, x, is_dense ? sn_nn_gated_mlp(b, "mlp", h) : mixture(b, h));
}

static const SnFamily deepseek_v3 = {.encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer};

const SnArch sn_arch_deepseek_v3[] = {
    SN_DECODER_ROWS("deepseek_v3", "DeepseekV3", &deepseek_v3),
    SN_SEQUENCE_ROW("deepseek_v3", "DeepseekV3", &deepseek_v3),
    SN_TOKEN_ROW("deepseek_v3", "DeepseekV3", &deepseek_v3),
    {0},
};
