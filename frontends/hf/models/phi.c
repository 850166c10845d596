/* phi.c -- Phi: attention and MLP side by side on one layer norm, some dims of each head turn.
 *
 * Li et al. 2023, arXiv:2309.05463. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static SnValue attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    sn_scope_push(b->g, "self_attn");
    SnQkv h = sn_nn_project(b, a, x);
    if (sn_config_bool(b->config, "qk_layernorm", false)) {
        h.q = sn_nn_ln(b, "q_layernorm", h.q);
        h.k = sn_nn_ln(b, "k_layernorm", h.k);
    }
    const SnValue y = sn_nn_attend_qkv(b, a, h);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const double theta = sn_config_float(b->config, "rope_theta", 1e4);
    const SnRope rope = sn_nn_rope_part(b, NULL, theta, 0.5, sn_nn_head_dim(b));
    SnAttn attn = sn_nn_causal(b, &rope);
    attn.o = "dense";
    const SnValue h = sn_nn_ln(b, "input_layernorm", x);
    const SnValue thought = sn_nn_gpt_mlp(b, "mlp.fc1", "mlp.fc2", "gelu_new", h);
    return sn_add(b->g, sn_add(b->g, attention(b, &attn, h), thought), x);
}

static SnValue decoder(SnBuild *b)
{
    return sn_nn_decode(b, 1, layer, sn_nn_ln, "final_layernorm");
}

static SnValue words(SnBuild *b, SnValue x)
{
    return sn_nn_decoder(b, "lm_head", "model.embed_tokens", (const char *const[]){"lm_head.bias", NULL}, x);
}

static const SnFamily phi = {.encoder = decoder, .words = words};

const SnArch sn_arch_phi[] = {
    SN_DECODER_ROWS("phi", "Phi", &phi),
    SN_SEQUENCE_ROW("phi", "Phi", &phi),
    SN_TOKEN_ROW("phi", "Phi", &phi),
    {0},
};
