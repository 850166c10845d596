/* export.c -- config.json as GGUF metadata, and the names of checkpoints as those of GGUF files: the tables
 * of arch.c backwards. */
#include "frontends/gguf/export.h"

#include <math.h>
#include <stdio.h>

#define PI 3.14159265358979323846

SnStatus sn_gguf_export_arch(const SnConfig *c, const SnGgufArch **out, SnError *err)
{
    *out = sn_gguf_arch_of_type(c->model_type);
    SN_CHECK(*out, err, SN_EUNSUPPORTED, "%s: model type %s in a GGUF file", c->path, c->model_type);
    return SN_OK;
}

/* ---- metadata ---- */

typedef struct Keys {
    const SnConfig *config;
    const SnGgufArch *arch;
    SnGgufMeta *meta;
} Keys;

static void put(const Keys *k, const char *key, SnGgufValue type, const SnJson *v)
{
    char full[160];
    if (snprintf(full, sizeof full, "%s.%s", k->arch->gguf, key) < (int)sizeof full)
        sn_gguf_put(k->meta, full, type, v);
}

static void put_int(const Keys *k, const char *key, int64_t v)
{
    const SnJson number = {.kind = SN_JSON_INT, .u.integer = v};
    put(k, key, SN_GGUF_U32, &number);
}

static void put_float(const Keys *k, const char *key, double v)
{
    const SnJson number = {.kind = SN_JSON_FLOAT, .u.number = v};
    put(k, key, SN_GGUF_F32, &number);
}

/* Numbers that are floats also where config.json writes them as whole ones. */
static bool is_float(const char *key)
{
    static const char *const word[] = {"epsilon", "softcapping", "scale"};
    for (size_t i = 0; i < SN_COUNT(word); i++)
        if (strstr(key, word[i]))
            return true;
    return false;
}

static void put_pairs(const Keys *k)
{
    const SnGgufPair *p;
    for (size_t i = 0; (p = sn_gguf_key(k->arch, i)) != NULL; i++) {
        const SnJson *v = sn_config_get(k->config, p->hf);
        size_t first = 0;
        while (strcmp(sn_gguf_key(k->arch, first)->gguf, p->gguf) != 0)
            first++;
        if (first != i || strcmp(p->gguf, "attention.head_count_kv") == 0 || sn_json_is_null(v) ||
            v->kind >= SN_JSON_STRING)
            continue;
        put(k, p->gguf,
            v->kind == SN_JSON_BOOL                         ? SN_GGUF_BOOL
            : v->kind == SN_JSON_FLOAT || is_float(p->gguf) ? SN_GGUF_F32
                                                            : SN_GGUF_U32,
            v);
    }
}

int64_t sn_gguf_head_dim(const SnConfig *c)
{
    const int64_t heads = sn_config_int(c, "num_attention_heads", 1);
    return sn_config_int(c, "head_dim", heads > 0 ? sn_config_int(c, "hidden_size", 0) / heads : 0);
}

int64_t sn_gguf_kv_heads(const SnConfig *c)
{
    const int64_t heads = sn_config_int(c, "num_attention_heads", 0);
    const bool has_groups = sn_config_bool(c, "new_decoder_architecture", true);
    const int64_t n = sn_config_int(c, "num_key_value_heads", sn_config_int(c, "num_kv_heads", heads));
    return has_groups ? n : sn_config_bool(c, "multi_query", true) ? 1 : heads;
}

static const SnJson *rope_of(const SnConfig *c)
{
    const SnJson *r = sn_config_get(c, "rope_scaling");
    if (!r)
        r = sn_config_get(c, "rope_parameters");
    return sn_json_get(r, "full_attention") ? sn_json_get(r, "full_attention") : r;
}

static bool is_rope(const SnJson *rope, const char *type)
{
    const SnJson *t = sn_json_get(rope, "rope_type");
    return sn_json_is(sn_json_is_null(t) ? sn_json_get(rope, "type") : t, type);
}

static void put_rope(const Keys *k)
{
    const SnConfig *c = k->config;
    const SnJson *rope = rope_of(c);
    const double theta = sn_json_number_of(rope, "rope_theta", sn_config_float(c, "rope_theta", 10000));
    const double share =
        sn_json_number_of(rope, "partial_rotary_factor", sn_config_float(c, "partial_rotary_factor", 1));
    const SnJson length = {.kind = SN_JSON_INT,
                           .u.integer =
                               (int64_t)sn_json_number_of(rope, "original_max_position_embeddings", 0)};
    put_float(k, "rope.freq_base", theta);
    put_int(k, "rope.dimension_count", (int64_t)(share * (double)sn_gguf_head_dim(c)));
    if (!is_rope(rope, "linear") && !is_rope(rope, "yarn") && !is_rope(rope, "longrope"))
        return;
    if (!is_rope(rope, "longrope")) {
        const char *type = is_rope(rope, "yarn") ? "yarn" : "linear";
        const SnJson text = {.kind = SN_JSON_STRING, .u.string = sn_bytes_str(type)};
        put(k, "rope.scaling.type", SN_GGUF_STRING, &text);
        put(k, "rope.scaling.factor", SN_GGUF_F32, sn_json_get(rope, "factor"));
    }
    put(k, "rope.scaling.attn_factor", SN_GGUF_F32, sn_json_get(rope, "attention_factor"));
    if (length.u.integer > 0)
        put(k, "rope.scaling.original_context_length", SN_GGUF_U32, &length);
}

static void put_states(const Keys *k)
{
    const SnConfig *c = k->config;
    const SnJson yes = {.kind = SN_JSON_BOOL, .u.boolean = true};
    put_int(k, "context_length", 1 << 20); /* any number */
    put_int(k, "attention.head_count", 0);
    put_int(k, "feed_forward_length", 0);
    const int64_t hidden = sn_config_int(c, "hidden_size", 768);
    const SnJson *rank = sn_config_get(c, "time_step_rank"); /* or "auto" */
    int64_t given;
    if (strcmp(k->arch->type, "mamba2") == 0)
        put_int(k, "ssm.inner_size", sn_config_int(c, "num_heads", 128) * sn_config_int(c, "head_dim", 64));
    else if (!sn_config_get(c, "intermediate_size"))
        put_int(k, "ssm.inner_size", (int64_t)(sn_config_float(c, "expand", 2) * (double)hidden));
    if (strcmp(k->arch->type, "mamba2") != 0 && !sn_json_int(rank, &given))
        put_int(k, "ssm.time_step_rank", hidden / 16 + (hidden % 16 > 0));
    if (strcmp(k->arch->type, "falcon_mamba") == 0)
        put(k, "ssm.dt_b_c_rms", SN_GGUF_BOOL, &yes);
}

void sn_gguf_export_config(const SnConfig *c, const SnGgufArch *a, SnGgufMeta *m)
{
    const Keys k = {.config = c, .arch = a, .meta = m};
    sn_gguf_put_text(m, "general.architecture", a->gguf);
    sn_gguf_put_text(m, "general.type", "model");
    put_pairs(&k);
    if (a->flags & SN_GGUF_STATES) {
        put_states(&k);
        return;
    }
    put_int(&k, "attention.head_count_kv", sn_gguf_kv_heads(c));
    if (!sn_config_get(c, "max_position_embeddings") && !sn_config_get(c, "seq_length"))
        put_int(&k, "context_length", 2048); /* any number: its positions have no end */
    if (!sn_config_get(c, "intermediate_size"))
        put_int(&k, "feed_forward_length", 4 * sn_config_int(c, "hidden_size", 0));
    if (sn_config_get(c, "head_dim"))
        put_int(&k, "attention.value_length", sn_gguf_head_dim(c));
    if (!(a->flags & SN_GGUF_NO_ROPE))
        put_rope(&k);
}

/* ---- factors ---- */

static float llama3_factor(const SnJson *rope, double freq)
{
    const double factor = sn_json_number_of(rope, "factor", 8),
                 low = sn_json_number_of(rope, "low_freq_factor", 1);
    const double high = sn_json_number_of(rope, "high_freq_factor", 4);
    const double turns = sn_json_number_of(rope, "original_max_position_embeddings", 8192) * freq / (2 * PI);
    if (turns > high || high == low)
        return 1;
    if (turns < low)
        return (float)factor;
    const double smooth = (turns - low) / (high - low);
    return (float)(1 / ((1 - smooth) / factor + smooth));
}

static bool put_list(const SnJson *list, SnArena *arena, SnGgufFactors *out)
{
    if (!list || list->kind != SN_JSON_ARRAY)
        return false;
    out->n = list->n;
    out->at = sn_arena_array(arena, (size_t)list->n + 1, sizeof *out->at);
    for (uint32_t i = 0; out->at && i < list->n; i++) {
        double v = 1;
        (void)sn_json_number(sn_json_at(list, i), &v);
        out->at[i] = (float)v;
    }
    return true;
}

bool sn_gguf_export_factors(const SnConfig *c, size_t i, SnArena *arena, SnGgufFactors *out)
{
    const SnJson *rope = rope_of(c);
    const int64_t dim = sn_gguf_head_dim(c);
    if (is_rope(rope, "longrope") || is_rope(rope, "su")) {
        *out = (SnGgufFactors){.name = i == 0 ? "rope_factors_long.weight" : "rope_factors_short.weight"};
        return i < 2 && put_list(sn_json_get(rope, i == 0 ? "long_factor" : "short_factor"), arena, out);
    }
    if (!is_rope(rope, "llama3") || i > 0 || dim <= 0 || dim > 65536)
        return false;
    const double theta = sn_json_number_of(rope, "rope_theta", sn_config_float(c, "rope_theta", 10000));
    *out = (SnGgufFactors){.name = "rope_freqs.weight", .n = dim / 2};
    out->at = sn_arena_array(arena, (size_t)out->n + 1, sizeof *out->at);
    for (int64_t k = 0; out->at && k < out->n; k++)
        out->at[k] = llama3_factor(rope, 1 / pow(theta, (double)(2 * k) / (double)dim));
    return true;
}

/* ---- names ---- */

SnStatus sn_gguf_export_name(const SnGgufArch *a, SnBytes name, SnArena *arena, SnGgufPlace *out,
                             SnError *err)
{
    static const char *const prefix[] = {"", "model.", "transformer.", "gpt_neox.", "backbone."};
    *out = (SnGgufPlace){.part = -1};
    for (size_t k = 0; k < SN_COUNT(prefix); k++) {
        const char *full = sn_arena_printf(arena, "%s%.*s", prefix[k], (int)name.n, (const char *)name.at);
        SN_CHECK(full, err, SN_ENOMEM, "no memory for a tensor's name");
        const size_t nsuffix = sn_gguf_suffix(sn_bytes_str(full)), n = strlen(full) - nsuffix;
        const SnGgufPair *p;
        SnGgufMatch m = {0};
        for (size_t i = 0; (p = sn_gguf_name(a, i)) != NULL; i++) {
            if (!sn_gguf_match(p->hf, sn_bytes(full, n), &m))
                continue;
            out->pair = p;
            for (size_t d = 0, v = 0; d < m.part.n && d < 9; d++)
                out->part = (int64_t)(v = 10 * v + (size_t)(m.part.at[d] - '0'));
            return sn_gguf_fill(arena, p->gguf, &m, sn_bytes(full + n, nsuffix), &out->name, err);
        }
    }
    return SN_OK;
}
