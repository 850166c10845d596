/* gated.c -- the blocks of decoders of Llama's shape: what a family does not say otherwise. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define MAX_WIDTH ((int64_t)1 << 24)

SnValue sn_nn_rms(SnBuild *b, const char *name, SnValue x)
{
    return sn_nn_rms_norm(b, name, x, sn_config_float(b->config, "rms_norm_eps", 1e-6));
}

SnValue sn_nn_ln(SnBuild *b, const char *name, SnValue x)
{
    return sn_nn_layer_norm(b, name, x, sn_config_float(b->config, "layer_norm_eps", 1e-5));
}

int64_t sn_nn_head_dim(SnBuild *b)
{
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 32, 1, 1 << 16);
    const int64_t width = sn_nn_int(b, "hidden_size", 4096, 1, MAX_WIDTH);
    return sn_nn_int(b, "head_dim", width / heads, 1, 1 << 16);
}

SnRope sn_nn_rope_heads(SnBuild *b, double theta, double partial)
{
    theta = sn_config_float(b->config, "rope_theta", theta);
    return sn_nn_rope_part(b, NULL, theta, partial, sn_nn_head_dim(b));
}

SnRope sn_nn_rope_by_reach(SnBuild *b, bool is_near, double theta)
{
    const int64_t dim = sn_nn_head_dim(b);
    if (is_near && sn_config_get(b->config, "rope_scaling"))
        return sn_nn_rope_plain(b, theta, dim);
    return sn_nn_rope_of(b, is_near ? "sliding_attention" : "full_attention", theta, dim);
}

SnAttn sn_nn_causal(SnBuild *b, const SnRope *rope)
{
    const int64_t heads = sn_nn_int(b, "num_attention_heads", 32, 1, 1 << 16);
    return (SnAttn){.heads = heads,
                    .kv_heads = sn_nn_int(b, "num_key_value_heads", heads, 1, heads),
                    .q = "q_proj",
                    .k = "k_proj",
                    .v = "v_proj",
                    .o = "o_proj",
                    .q_norm = "q_norm",
                    .k_norm = "k_norm",
                    .rope = rope,
                    .causal = true,
                    .dropout = sn_config_float(b->config, "attention_dropout", 0)};
}

SnValue sn_nn_self_attention(SnBuild *b, const SnAttn *a, SnValue x)
{
    sn_scope_push(b->g, "self_attn");
    const SnValue y = sn_nn_attention(b, a, x);
    sn_scope_pop(b->g);
    return y;
}

bool sn_nn_is_sliding(const SnBuild *b, int64_t layer, bool otherwise)
{
    const SnJson *types = sn_config_get(b->config, "layer_types");
    return types ? sn_json_is(sn_json_at(types, (uint32_t)layer), "sliding_attention") : otherwise;
}

int64_t sn_nn_window(SnBuild *b, int64_t layer, bool otherwise)
{
    return sn_nn_is_sliding(b, layer, otherwise) ? sn_nn_int(b, "sliding_window", 0, 0, INT64_MAX) : 0;
}

SnValue sn_nn_gated_mlp_by(SnBuild *b, const char *name, const char *act, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue gate = sn_nn_act(b, act, sn_nn_linear(b, "gate_proj", x));
    const SnValue y = sn_nn_linear(b, "down_proj", sn_mul(b->g, gate, sn_nn_linear(b, "up_proj", x)));
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_gated_mlp(SnBuild *b, const char *name, SnValue x)
{
    return sn_nn_gated_mlp_by(b, name, sn_config_string(b->config, "hidden_act", "silu"), x);
}

SnValue sn_nn_fused_mlp(SnBuild *b, const char *name, SnValue x)
{
    const char *act = sn_config_string(b->config, "hidden_act", "silu");
    sn_scope_push(b->g, "%s", name);
    const SnValue wide = sn_nn_linear(b, "gate_up_proj", x);
    const int64_t n = sn_nn_dim(b, wide, -1) / 2;
    const SnValue gate = sn_nn_act(b, act, sn_nn_part(b, wide, 0, n));
    const SnValue y = sn_nn_linear(b, "down_proj", sn_mul(b->g, gate, sn_nn_part(b, wide, n, n)));
    sn_scope_pop(b->g);
    return y;
}

SnValue sn_nn_norm_heads(SnBuild *b, SnValue x, SnValue weight)
{
    const SnValue one = sn_const_int(b->g, SN_I64, 1), wide = sn_cast(b->g, x, SN_F32);
    const SnValue dims[] = {one, sn_dim(b->g, x, 1), one, sn_dim(b->g, x, 3)};
    const double eps = sn_config_float(b->config, "layer_norm_eps", 1e-5);
    const SnValue y = sn_layer_norm(b->g, wide, sn_none(), sn_none(), eps);
    const SnValue w = sn_cast(b->g, sn_reshape(b->g, weight, 4, dims), SN_F32);
    return sn_cast(b->g, sn_mul(b->g, y, w), sn_value_dtype(b->g, x));
}

SnValue sn_nn_times(SnBuild *b, SnValue x, double factor)
{
    return factor == 1 ? x : sn_mul(b->g, x, sn_const(b->g, SN_F64, factor));
}

SnValue sn_nn_part(SnBuild *b, SnValue x, int64_t from, int64_t n)
{
    const int64_t width = sn_nn_dim(b, x, -1);
    if (from > width || n > width - from)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: dims %lld to %lld of %lld", sn_scope_path(b->g),
                             (long long)from, (long long)(from + n), (long long)width);
    return sn_slice_axis(b->g, x, -1, sn_const_int(b->g, SN_I64, from), sn_const_int(b->g, SN_I64, n));
}
