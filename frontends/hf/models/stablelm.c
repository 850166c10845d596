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

static SnValue attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    sn_scope_push(b->g, "self_attn");
    SnQkv h = sn_nn_project(b, a, x);
    if (sn_config_bool(b->config, "qk_layernorm", false)) {
        h.q = norm_heads(b, "q_layernorm", h.q);
        h.k = norm_heads(b, "k_layernorm", h.k);
    }
    const SnValue y = sn_nn_attend_qkv(b, a, h);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const double theta = sn_config_float(b->config, "rope_theta", 1e4);
    const SnRope rope = sn_nn_rope_part(b, NULL, theta, 0.25, sn_nn_head_dim(b));
    const SnAttn attn = sn_nn_causal(b, &rope);
    const SnValue h = sn_nn_ln(b, "input_layernorm", x);
    x = sn_add(b->g, x, attention(b, &attn, h));
    const bool is_parallel = sn_config_bool(b->config, "use_parallel_residual", false);
    const SnValue then = is_parallel ? h : sn_nn_ln(b, "post_attention_layernorm", x);
    return sn_add(b->g, x, sn_nn_gated_mlp(b, "mlp", then));
}

static SnValue decoder(SnBuild *b)
{
    return sn_nn_decode(b, 1, layer, sn_nn_ln, "norm");
}

static const SnFamily stablelm = {.encoder = decoder, .words = sn_nn_lm_head};

const SnArch sn_arch_stablelm[] = {
    SN_DECODER_ROWS("stablelm", "StableLm", &stablelm),
    SN_SEQUENCE_ROW("stablelm", "StableLm", &stablelm),
    SN_TOKEN_ROW("stablelm", "StableLm", &stablelm),
    {0},
};
