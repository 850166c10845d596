/* stablelm.c -- StableLM 2: layer norms, gated MLPs (perhaps beside attention), a quarter of each head turns.
 *
 * Bellagente et al. 2024, arXiv:2402.17834. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define MAX_HEADS 1024

/* A layer norm of each head, whose weights are parameters of their own. */
static SnValue norm_heads(SnBuild *b, const char *name, SnValue x)
{
    SnValue weight[MAX_HEADS];
    const int64_t heads = sn_nn_dim(b, x, 1), one = 1;
    if (heads > MAX_HEADS)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: norms of %lld heads", b->config->path,
                             (long long)heads);
    for (int64_t i = 0; i < heads; i++) {
        sn_scope_push(b->g, "%s.norms.%lld", name, (long long)i);
        const SnValue w = sn_nn_param(b, "weight");
        const SnValue dims[] = {sn_const_int(b->g, SN_I64, one), sn_dim(b->g, w, 0)};
        weight[i] = sn_reshape(b->g, w, 2, dims);
        sn_scope_pop(b->g);
    }
    return sn_nn_norm_heads(b, x, sn_concat(b->g, (int)heads, weight, 0));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnRope rope = sn_nn_rope_heads(b, 1e4, 0.25);
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.norm = sn_config_bool(b->config, "qk_layernorm", false) ? norm_heads : NULL;
    attn.q_norm = "q_layernorm";
    attn.k_norm = "k_layernorm";
    const SnValue h = sn_nn_ln(b, "input_layernorm", x);
    x = sn_add(b->g, x, sn_nn_self_attention(b, &attn, h));
    const bool is_parallel = sn_config_bool(b->config, "use_parallel_residual", false);
    const SnValue then = is_parallel ? h : sn_nn_ln(b, "post_attention_layernorm", x);
    const SnValue thought = sn_nn_gated_mlp(b, "mlp", then);
    return sn_add(b->g, x, sn_nn_dropout(b, thought, sn_config_float(b->config, "hidden_dropout", 0)));
}

static const SnFamily stablelm = {
    .encoder = sn_nn_decode, .words = sn_nn_lm_head, .layer = layer, .norm = sn_nn_ln};

const SnArch sn_arch_stablelm[] = {
    SN_DECODER_ROWS("stablelm", "StableLm", &stablelm),
    SN_SEQUENCE_ROW("stablelm", "StableLm", &stablelm),
    SN_TOKEN_ROW("stablelm", "StableLm", &stablelm),
    {0},
};
