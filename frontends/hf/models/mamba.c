/* mamba.c -- Mamba: layers of a gated causal convolution and a state space whose step sizes and ways in and
 * out depend on the token.
 *
 * Gu & Dao 2023, arXiv:2312.00752. Falcon Mamba normalises what depends on the token: Zuo et al. 2024,
 * arXiv:2410.05355. Hidden states are those after each layer. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

/* n columns of x from `from` on. */
static SnValue columns(SnBuild *b, SnValue x, int64_t from, int64_t n)
{
    return sn_slice_axis(b->g, x, -1, sn_size(b->g, from), sn_size(b->g, n));
}

/* Padding is zero, so that it does not get into the states of what follows. */
static SnValue without_padding(SnBuild *b, SnValue x)
{
    const SnValue mask = sn_nn_input(b, "attention_mask"), dims[] = {b->batch, b->seq, sn_size(b->g, 1)};
    return mask.ref ? sn_mul(b->g, x, sn_cast(b->g, sn_reshape(b->g, mask, 3, dims), b->dtype)) : x;
}

/* [batch, seq, heads * d] ▶ [batch, seq, heads, d] */
static SnValue apart(SnBuild *b, SnValue x, int64_t heads)
{
    if (heads < 1)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: no channels", sn_scope_path(b->g));
    const SnValue dims[] = {b->batch, b->seq, sn_size(b->g, heads),
                            sn_size(b->g, sn_nn_dim(b, x, -1) / heads)};
    return sn_reshape(b->g, x, 4, dims);
}

static SnValue joined(SnBuild *b, SnValue x)
{
    const SnValue dims[] = {b->batch, b->seq, sn_mul(b->g, sn_dim(b->g, x, 2), sn_dim(b->g, x, 3))};
    return sn_reshape(b->g, x, 3, dims);
}

static SnValue convolved(SnBuild *b, SnValue x)
{
    const char *act = sn_config_string(b->config, "hidden_act", "silu");
    return without_padding(b, sn_nn_act(b, act, sn_nn_causal_conv(b, "conv1d", x)));
}

/* f32 parameter without a weight of its own: A_log, D, dt_bias. */
static SnValue wide_param(SnBuild *b, const char *name)
{
    return sn_cast(b->g, sn_nn_param(b, name), SN_F32);
}

/* y of the state space plus what goes past it. */
static SnValue state_space(SnBuild *b, SnStateSpace m)
{
    SnGraph *g = b->g;
    const SnValue d = wide_param(b, "D"), dims[] = {sn_dim(g, d, 0), sn_size(b->g, 1)};
    const SnValue past = sn_mul(g, sn_cast(g, m.x, SN_F32), sn_reshape(g, d, 2, dims));
    return joined(b, sn_add(g, sn_nn_state_space(b, m), past));
}

/* ---- Mamba: each channel has a state of its own ---- */

static SnValue evened(SnBuild *b, SnValue x)
{
    if (strcmp(b->arch->type, "falcon_mamba") != 0)
        return x;
    return sn_rms_norm(b->g, x, sn_none(), sn_config_float(b->config, "mixer_rms_eps", 1e-6), 0);
}

static SnValue mixer(SnBuild *b, SnValue x)
{
    SnGraph *g = b->g;
    const SnValue log_a = wide_param(b, "A_log"), both = sn_nn_linear(b, "in_proj", without_padding(b, x));
    const int64_t width = sn_nn_dim(b, log_a, 0), n = sn_nn_dim(b, log_a, 1);
    const SnValue u = convolved(b, columns(b, both, 0, width)), picked = sn_nn_linear(b, "x_proj", u);
    const int64_t rank = sn_nn_dim(b, picked, -1) - 2 * n;
    const SnValue time = sn_softplus(g, sn_nn_linear(b, "dt_proj", evened(b, columns(b, picked, 0, rank))));
    const SnStateSpace m = {.x = apart(b, u, width),
                            .time = sn_cast(g, time, SN_F32),
                            .a = sn_neg(g, sn_exp(g, log_a)),
                            .in = apart(b, evened(b, columns(b, picked, rank, n)), 1),
                            .out = apart(b, evened(b, columns(b, picked, rank + n, n)), 1)};
    const SnValue gate = sn_silu(g, columns(b, both, width, width), 1);
    const SnValue y = sn_mul(g, sn_cast(g, state_space(b, m), b->dtype), gate);
    return sn_nn_linear(b, "out_proj", y);
}

/* ---- Mamba 2: heads of channels have one decay, groups of heads one way in and out ---- */

/* Dao & Gu 2024, arXiv:2405.21060: gated, then normalised within each group. */
static SnValue gated_norm(SnBuild *b, SnValue x, SnValue gate, int64_t groups)
{
    SnGraph *g = b->g;
    const double eps = sn_config_float(b->config, "layer_norm_eps", 1e-5);
    const SnValue y = sn_mul(g, x, sn_silu(g, sn_cast(g, gate, SN_F32), 1));
    const SnValue even = joined(b, sn_rms_norm(g, apart(b, y, groups), sn_none(), eps, 0));
    return sn_mul(g, sn_cast(g, even, b->dtype), sn_nn_param(b, "norm.weight"));
}

static double time_limit(SnBuild *b, uint32_t i, double otherwise)
{
    double v = otherwise;
    return sn_json_number(sn_json_at(sn_config_get(b->config, "time_step_limit"), i), &v) ? v : otherwise;
}

/* The library's step for one token has no limits, so they hold for what a row begins with. */
static SnValue limited(SnBuild *b, SnValue time)
{
    SnGraph *g = b->g;
    const SnValue limits = sn_clamp(g, time, time_limit(b, 0, 0), time_limit(b, 1, HUGE_VAL));
    const SnValue given = sn_nn_given(b), dims[] = {b->batch, b->seq, sn_size(b->g, 1)};
    return given.ref ? sn_where(g, sn_reshape(g, given, 3, dims), limits, time) : limits;
}

static SnValue mixer2(SnBuild *b, SnValue x)
{
    SnGraph *g = b->g;
    const SnValue log_a = wide_param(b, "A_log"), all = sn_nn_linear(b, "in_proj", without_padding(b, x));
    const int64_t heads = sn_nn_dim(b, log_a, 0), groups = sn_nn_int(b, "n_groups", 8, 1, heads);
    const int64_t n = sn_nn_int(b, "state_size", 128, 1, 1 << 16), ways = groups * n;
    const int64_t width = (sn_nn_dim(b, all, -1) - heads - 2 * ways) / 2;
    if (heads < 1 || width < heads || width % heads != 0 || width % groups != 0)
        return sn_graph_fail(g, SN_EFORMAT, "%s: width %lld for %lld heads in %lld groups", sn_scope_path(g),
                             (long long)width, (long long)heads, (long long)groups);
    const SnValue u = convolved(b, columns(b, all, width, width + 2 * ways));
    const SnValue raw = columns(b, all, 2 * width + 2 * ways, heads);
    const SnValue time = sn_softplus(g, sn_add(g, raw, sn_nn_param(b, "dt_bias")));
    const SnValue dims[] = {sn_size(b->g, heads), sn_size(b->g, 1)};
    const SnStateSpace m = {.x = apart(b, columns(b, u, 0, width), heads),
                            .time = limited(b, sn_cast(g, time, SN_F32)),
                            .a = sn_reshape(g, sn_neg(g, sn_exp(g, log_a)), 2, dims),
                            .in = apart(b, columns(b, u, width, ways), groups),
                            .out = apart(b, columns(b, u, width + ways, ways), groups)};
    const SnValue y = gated_norm(b, state_space(b, m), columns(b, all, 0, width), groups);
    return sn_nn_linear(b, "out_proj", y);
}

/* ---- both ---- */

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const bool is_second = strcmp(b->arch->type, "mamba2") == 0;
    const double eps = sn_config_float(b->config, "layer_norm_eps", 1e-5);
    const SnValue h = sn_nn_rms_norm(b, "norm", sn_cast(b->g, x, b->dtype), eps);
    sn_scope_push(b->g, "mixer");
    const SnValue y = is_second ? mixer2(b, h) : mixer(b, h);
    sn_scope_pop(b->g);
    return sn_add(b->g, x, sn_cast(b->g, y, sn_value_dtype(b->g, x)));
}

/* What the first checkpoints call embedding. */
static const char *table(SnBuild *b)
{
    sn_scope_push(b->g, "embedding");
    const bool is_old = sn_nn_param_or_none(b, "weight").ref != 0;
    sn_scope_pop(b->g);
    return is_old ? "embedding" : "embeddings";
}

static SnValue decoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 32, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    sn_scope_push(b->g, "%s", b->arch->prefix);
    SnValue x = sn_nn_words(b, table(b), -1);
    if (sn_config_bool(b->config, "residual_in_fp32", true))
        x = sn_cast(b->g, x, SN_F32);
    for (int64_t i = 0; i < n; i++) {
        sn_scope_push(b->g, "layers.%lld", (long long)i);
        x = sn_nn_layer(b, i - 1, layer, x); /* what goes into it is hidden state i - 1 */
        sn_scope_pop(b->g);
    }
    sn_nn_numbered(b, "hidden_states", n - 1, x);
    x = sn_nn_rms_norm(b, "norm_f", x, sn_config_float(b->config, "layer_norm_eps", 1e-5));
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static SnValue words(SnBuild *b, SnValue x)
{
    sn_scope_push(b->g, "%s", b->arch->prefix);
    const char *name = table(b);
    sn_scope_pop(b->g);
    return sn_nn_lm_head_of(b, name, sn_cast(b->g, x, b->dtype));
}

static const SnFamily mamba = {.encoder = decoder, .words = words};

const SnArch sn_arch_mamba[] = {
    {"mamba", "MambaModel", "feature-extraction", "backbone", sn_head_hidden, &mamba},
    {"mamba", "MambaForCausalLM", "text-generation", "backbone", sn_head_next_word, &mamba},
    {"falcon_mamba", "FalconMambaModel", "feature-extraction", "backbone", sn_head_hidden, &mamba},
    {"falcon_mamba", "FalconMambaForCausalLM", "text-generation", "backbone", sn_head_next_word, &mamba},
    {"mamba2", "Mamba2Model", "feature-extraction", "backbone", sn_head_hidden, &mamba},
    {"mamba2", "Mamba2ForCausalLM", "text-generation", "backbone", sn_head_next_word, &mamba},
    {0},
};
