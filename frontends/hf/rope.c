/* rope.c -- frequencies of rotary positions, from a config.
 *
 * Su et al. 2021, arXiv:2104.09864. Types: default, linear (Chen et al. 2023, arXiv:2306.15595), dynamic
 * (NTK), yarn (Peng et al. 2023, arXiv:2309.00071), longrope (Ding et al. 2024, arXiv:2402.13753), llama3,
 * proportional. Most are constants of the graph; dynamic and longrope go by the length of the row. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

#define MAX_FREQS 4096
#define PI        3.14159265358979323846

typedef struct Spec {
    SnBuild *b;
    const SnJson *json; /* rope_parameters or rope_scaling; NULL: the default type */
    double theta;
    int64_t head_dim, dim; /* of a head, and how many of those turn */
    int64_t nfreq;
} Spec;

static double number(const Spec *s, const char *key, double otherwise)
{
    return sn_json_number_of(s->json, key, otherwise);
}

/* Where 0 stands for a default too. */
static double number_or(const Spec *s, const char *key, double otherwise)
{
    const double v = number(s, key, otherwise);
    return v != 0 ? v : otherwise;
}

static double whole_length(const Spec *s)
{
    return sn_config_float(s->b->config, "max_position_embeddings", 2048);
}

static double trained_length(const Spec *s)
{
    const double own = number(s, "original_max_position_embeddings", whole_length(s));
    return sn_config_float(s->b->config, "original_max_position_embeddings", own);
}

static double stretch(const Spec *s)
{
    return number(s, "factor", whole_length(s) / trained_length(s));
}

static SnValue numbers(const Spec *s, const double *v)
{
    float narrow[MAX_FREQS];
    for (int64_t i = 0; i < s->nfreq; i++)
        narrow[i] = (float)v[i];
    return sn_const_data(s->b->g, SN_F32, 1, &s->nfreq, narrow);
}

static SnValue row_length(const Spec *s) /* tokens of each row, i64[batch, 1] */
{
    const SnValue dims[] = {s->b->batch, sn_const_int(s->b->g, SN_I64, 1)};
    return sn_reshape(s->b->g, sn_nn_reach(s->b), 2, dims);
}

/* One of two values for each row, by whether it is longer than what the model was trained on. */
static SnValue if_long(const Spec *s, SnValue far, SnValue near)
{
    const SnValue known = sn_nn_turning_point(s->b, (int64_t)trained_length(s));
    return sn_where(s->b->g, sn_gt(s->b->g, row_length(s), known), far, near);
}

/* ---- types: freq holds those of the default type; each returns the scale of cos and sin ---- */

typedef double ScaleFn(const Spec *s, double *freq, SnValue *by_length);

static double scale_default(const Spec *s, double *freq, SnValue *by_length)
{
    (void)s;
    (void)freq;
    (void)by_length;
    return 1;
}

static double scale_linear(const Spec *s, double *freq, SnValue *by_length)
{
    (void)by_length;
    for (int64_t i = 0; i < s->nfreq; i++)
        freq[i] /= number(s, "factor", 1);
    return 1;
}

/* A share of the pairs turns, as fast as if all did. */
static double scale_proportional(const Spec *s, double *freq, SnValue *by_length)
{
    const double share =
        number(s, "partial_rotary_factor", sn_config_float(s->b->config, "partial_rotary_factor", 1));
    const int64_t turning = (int64_t)(share * (double)s->head_dim / 2);
    for (int64_t i = turning > 0 ? turning : 0; i < s->nfreq; i++)
        freq[i] = 0;
    return scale_linear(s, freq, by_length);
}

/* Long waves are stretched by the factor, short ones stay, those between are mixed. */
static double scale_llama3(const Spec *s, double *freq, SnValue *by_length)
{
    const double factor = number(s, "factor", 1), low = number(s, "low_freq_factor", 1);
    const double high = number(s, "high_freq_factor", 4), length = trained_length(s);
    (void)by_length;
    for (int64_t i = 0; i < s->nfreq; i++) {
        const double turns = length * freq[i] / (2 * PI), mix = (turns - low) / (high - low);
        if (turns < low)
            freq[i] /= factor;
        else if (turns <= high)
            freq[i] = (1 - mix) * freq[i] / factor + mix * freq[i];
    }
    return 1;
}

/* A row longer than the model knows turns as if theta were theta * (factor * length / known - factor + 1) ^
 * (dim / (dim - 2)). */
static double scale_dynamic(const Spec *s, double *freq, SnValue *by_length)
{
    SnGraph *g = s->b->g;
    const double known = whole_length(s), factor = number(s, "factor", 1), dim = (double)s->dim;
    double share[MAX_FREQS];
    (void)freq;
    for (int64_t i = 0; i < s->nfreq; i++)
        share[i] = -(double)((float)(2 * i) / (float)s->dim);
    const SnValue length = sn_max(g, sn_cast(g, row_length(s), SN_F32), sn_const(g, SN_F32, known));
    const SnValue more =
        sn_sub(g, sn_mul(g, length, sn_const(g, SN_F32, factor / known)), sn_const(g, SN_F32, factor - 1));
    const SnValue theta =
        sn_mul(g, sn_pow(g, more, sn_const(g, SN_F32, dim / (dim - 2))), sn_const(g, SN_F32, s->theta));
    *by_length = sn_pow(g, theta, numbers(s, share));
    return 1;
}

static bool divide(const Spec *s, const char *key, const double *freq, double *out)
{
    const SnJson *by = sn_json_get(s->json, key);
    for (int64_t i = 0; i < s->nfreq; i++) {
        double v = 0;
        if (!sn_json_number(sn_json_at(by, (uint32_t)i), &v))
            return false;
        out[i] = freq[i] / v;
    }
    return true;
}

/* Phi-3.5-MoE says what cos and sin are scaled by, and keeps the factors of short rows for long ones. */
static bool has_own_scale(const Spec *s)
{
    return sn_json_get(s->json, "short_mscale") != NULL;
}

static double scale_longrope(const Spec *s, double *freq, SnValue *by_length)
{
    const double factor = stretch(s), length = trained_length(s);
    double near[MAX_FREQS], far[MAX_FREQS];
    if (!divide(s, "short_factor", freq, near) || !divide(s, "long_factor", freq, far)) {
        sn_graph_fail(s->b->g, SN_EFORMAT, "%s: expected %lld numbers in short_factor and in long_factor",
                      s->b->config->path, (long long)s->nfreq);
        return 1;
    }
    *by_length = has_own_scale(s) ? numbers(s, near) : if_long(s, numbers(s, far), numbers(s, near));
    return number(s, "attention_factor", factor <= 1 ? 1 : sqrt(1 + log(factor) / log(length)));
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

static double scale_yarn(const Spec *s, double *freq, SnValue *by_length)
{
    const double factor = stretch(s), mscale = number(s, "mscale", 0), all = number(s, "mscale_all_dim", 0);
    double lo = dim_of_turns(s, number_or(s, "beta_fast", 32));
    double hi = dim_of_turns(s, number_or(s, "beta_slow", 1));
    bool truncate = true;
    if (sn_json_get(s->json, "short_factor")) /* early configs of Phi-3 */
        return scale_longrope(s, freq, by_length);
    (void)sn_json_bool(sn_json_get(s->json, "truncate"), &truncate);
    lo = fmax(truncate ? floor(lo) : lo, 0);
    hi = fmin(truncate ? ceil(hi) : hi, (double)s->dim - 1);
    if (lo == hi)
        hi += 0.001;
    const double last = (double)(s->dim / 2 - 1); /* ramps of an odd number of dims are one fewer */
    for (int64_t i = 0; i < s->nfreq; i++) {
        const double ramp = fmin(fmax((fmin((double)i, last) - lo) / (hi - lo), 0), 1);
        freq[i] = freq[i] / factor * ramp + freq[i] * (1 - ramp);
    }
    const double inferred =
        mscale != 0 && all != 0 ? magnitude(factor, mscale) / magnitude(factor, all) : magnitude(factor, 1);
    return number(s, "attention_factor", inferred);
}

static const struct {
    const char *name;
    ScaleFn *scale;
} types[] = {
    {"default", scale_default}, {"linear", scale_linear}, {"dynamic", scale_dynamic},
    {"yarn", scale_yarn},       {"llama3", scale_llama3}, {"longrope", scale_longrope},
    {"su", scale_longrope},     {"mrope", scale_default}, {"proportional", scale_proportional},
};

/* ---- configs ---- */

static bool is_type(const Spec *s, const char *name)
{
    const SnJson *type = sn_json_get(s->json, "rope_type");
    if (sn_json_is_null(type))
        type = sn_json_get(s->json, "type");
    return sn_json_is_null(type) ? strcmp(name, "default") == 0 : sn_json_is(type, name);
}

/* Transformers 5 writes rope_parameters, perhaps one for each kind of layer; older configs rope_scaling with
 * rope_theta beside it. */
static Spec spec_of(SnBuild *b, const char *kind, double theta, double partial, int64_t head_dim)
{
    const SnConfig *c = b->config;
    Spec s = {.b = b, .json = sn_config_get(c, "rope_scaling"), .head_dim = head_dim, .dim = head_dim};
    if (!s.json)
        s.json = sn_config_get(c, "rope_parameters");
    if (kind && sn_json_get(s.json, kind))
        s.json = sn_json_get(s.json, kind);
    if (partial > 0 || !is_type(&s, "default"))
        partial = number(&s, "partial_rotary_factor", sn_config_float(c, "partial_rotary_factor", partial));
    if (partial > 0 && partial < 1 && !is_type(&s, "proportional"))
        s.dim = (int64_t)((double)head_dim * partial);
    s.nfreq = (s.dim + 1) / 2;
    s.theta = number(&s, "rope_theta", theta);
    return s;
}

/* Those of the default type, in freq; false: an error. */
static bool default_freqs(const Spec *s, double *freq)
{
    if (s->nfreq < 1 || s->nfreq > MAX_FREQS || 2 * s->nfreq > s->head_dim || !(s->theta > 0)) {
        sn_graph_fail(s->b->g, SN_EFORMAT, "%s: rotary positions of %lld dims with base %g",
                      s->b->config->path, (long long)s->dim, s->theta);
        return false;
    }
    for (int64_t i = 0; i < s->nfreq; i++) /* each step rounded to f32, as in the library */
        freq[i] = (double)(1 / (float)pow(s->theta, (double)((float)(2 * i) / (float)s->dim)));
    return true;
}

SnRope sn_nn_rope_plain(SnBuild *b, double theta, int64_t dim)
{
    double freq[MAX_FREQS];
    const Spec s = {.b = b, .theta = theta, .head_dim = dim, .dim = dim, .nfreq = dim / 2};
    return default_freqs(&s, freq) ? (SnRope){.freq = numbers(&s, freq), .scale = 1} : (SnRope){0};
}

static SnValue own_scale(const Spec *s)
{
    if (!has_own_scale(s))
        return sn_none();
    return if_long(s, sn_const(s->b->g, SN_F32, number(s, "long_mscale", 1)),
                   sn_const(s->b->g, SN_F32, number(s, "short_mscale", 1)));
}

SnRope sn_nn_rope_part(SnBuild *b, const char *kind, double theta, double partial, int64_t head_dim)
{
    double freq[MAX_FREQS];
    const Spec s = spec_of(b, kind, theta, partial, head_dim);
    SnValue by_length = sn_none();
    if (!default_freqs(&s, freq))
        return (SnRope){0};
    for (size_t k = 0; k < SN_COUNT(types); k++) {
        if (!is_type(&s, types[k].name))
            continue;
        const double scale = types[k].scale(&s, freq, &by_length);
        return (SnRope){.freq = by_length.ref ? by_length : numbers(&s, freq),
                        .scale = has_own_scale(&s) ? 1 : scale,
                        .row_scale = own_scale(&s),
                        .pairs = sn_config_bool(b->config, "rope_interleave", false)};
    }
    sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: unknown rope_type", b->config->path);
    return (SnRope){0};
}

SnRope sn_nn_rope_of(SnBuild *b, const char *kind, double theta, int64_t head_dim)
{
    return sn_nn_rope_part(b, kind, theta, 0, head_dim);
}
