/* rope.c -- frequencies of rotary positions, from a config.
 *
 * Su et al. 2021, arXiv:2104.09864. Types: default, linear (Chen et al. 2023, arXiv:2306.15595), llama3, yarn
 * (Peng et al. 2023, arXiv:2309.00071). The numbers are constants of the graph. */
#include "frontends/hf/layers.h"

#include <math.h>

#define MAX_FREQS 4096
#define PI        3.14159265358979323846

typedef struct Spec {
    const SnConfig *config;
    const SnJson *json; /* rope_parameters or rope_scaling; NULL: the default type */
    double theta;
    int64_t dim;
} Spec;

static double number(const Spec *s, const char *key, double otherwise)
{
    double v = otherwise;
    return sn_json_number(sn_json_get(s->json, key), &v) ? v : otherwise;
}

static double trained_length(const Spec *s)
{
    const double known = sn_config_float(s->config, "max_position_embeddings", 2048);
    const double own = number(s, "original_max_position_embeddings", known);
    return sn_config_float(s->config, "original_max_position_embeddings", own);
}

static double scale_linear(const Spec *s, double *freq, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        freq[i] /= number(s, "factor", 1);
    return 1;
}

/* Long waves are stretched by the factor, short ones stay, those between are mixed. */
static double scale_llama3(const Spec *s, double *freq, int64_t n)
{
    const double factor = number(s, "factor", 1), low = number(s, "low_freq_factor", 1);
    const double high = number(s, "high_freq_factor", 4), length = trained_length(s);
    for (int64_t i = 0; i < n; i++) {
        const double turns = length * freq[i] / (2 * PI), mix = (turns - low) / (high - low);
        if (turns < low)
            freq[i] /= factor;
        else if (turns <= high)
            freq[i] = (1 - mix) * freq[i] / factor + mix * freq[i];
    }
    return 1;
}

/* The dim that makes this many turns over the trained length. */
static double dim_of_turns(const Spec *s, double turns)
{
    return (double)s->dim * log(trained_length(s) / (turns * 2 * PI)) / (2 * log(s->theta));
}

static double magnitude(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

static double scale_yarn(const Spec *s, double *freq, int64_t n)
{
    const double known = sn_config_float(s->config, "max_position_embeddings", 2048);
    const double factor = number(s, "factor", known / trained_length(s));
    const double mscale = number(s, "mscale", 0), all = number(s, "mscale_all_dim", 0);
    double lo = dim_of_turns(s, number(s, "beta_fast", 32)), hi = dim_of_turns(s, number(s, "beta_slow", 1));
    bool truncate = true;
    (void)sn_json_bool(sn_json_get(s->json, "truncate"), &truncate);
    lo = fmax(truncate ? floor(lo) : lo, 0);
    hi = fmin(truncate ? ceil(hi) : hi, (double)s->dim - 1);
    if (lo == hi)
        hi += 0.001;
    for (int64_t i = 0; i < n; i++) {
        const double ramp = fmin(fmax(((double)i - lo) / (hi - lo), 0), 1);
        freq[i] = freq[i] / factor * ramp + freq[i] * (1 - ramp);
    }
    const double inferred =
        mscale != 0 && all != 0 ? magnitude(factor, mscale) / magnitude(factor, all) : magnitude(factor, 1);
    return number(s, "attention_factor", inferred);
}

static double scale_default(const Spec *s, double *freq, int64_t n)
{
    (void)s;
    (void)freq;
    (void)n;
    return 1;
}

static const struct {
    const char *type;
    double (*scale)(const Spec *s, double *freq, int64_t n); /* returns the scale of cos and sin */
} types[] = {
    {"default", scale_default},
    {"linear", scale_linear},
    {"llama3", scale_llama3},
    {"yarn", scale_yarn},
};

/* Transformers 5 writes rope_parameters, perhaps one for each kind of layer; older configs rope_scaling with
 * rope_theta beside it. */
static Spec spec_of(const SnConfig *c, const char *kind, double theta, int64_t dim)
{
    Spec s = {.config = c, .json = sn_config_get(c, "rope_scaling"), .dim = dim};
    if (!s.json)
        s.json = sn_config_get(c, "rope_parameters");
    if (kind && sn_json_get(s.json, kind))
        s.json = sn_json_get(s.json, kind);
    const double partial =
        number(&s, "partial_rotary_factor", sn_config_float(c, "partial_rotary_factor", 1));
    if (partial > 0 && partial < 1)
        s.dim = (int64_t)((double)dim * partial);
    s.theta = number(&s, "rope_theta", theta);
    return s;
}

SnRope sn_nn_rope_of(SnBuild *b, const char *kind, double theta, int64_t head_dim)
{
    double freq[MAX_FREQS];
    float narrow[MAX_FREQS];
    const Spec s = spec_of(b->config, kind, theta, head_dim);
    const int64_t n = s.dim / 2;
    SnBytes type = sn_bytes_str("default");
    if (!sn_json_string(sn_json_get(s.json, "rope_type"), &type))
        (void)sn_json_string(sn_json_get(s.json, "type"), &type);
    if (n < 1 || n > MAX_FREQS || s.dim % 2 != 0 || !(s.theta > 0)) {
        sn_graph_fail(b->g, SN_EFORMAT, "%s: rotary positions of %lld dims with base %g", b->config->path,
                      (long long)s.dim, s.theta);
        return (SnRope){0};
    }
    for (int64_t i = 0; i < n; i++) /* each step rounded to f32, as in the library */
        freq[i] = (double)(1 / (float)pow(s.theta, (double)((float)(2 * i) / (float)s.dim)));
    for (size_t k = 0; k < SN_COUNT(types); k++) {
        if (!sn_bytes_is(type, types[k].type))
            continue;
        const double scale = types[k].scale(&s, freq, n);
        for (int64_t i = 0; i < n; i++)
            narrow[i] = (float)freq[i];
        return (SnRope){.freq = sn_const_data(b->g, SN_F32, 1, &n, narrow), .scale = scale};
    }
    sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: rope_type %.*s", b->config->path, (int)type.n,
                  (const char *)type.at);
    return (SnRope){0};
}
