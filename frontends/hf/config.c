/* config.c -- reads config.json: values by their name in Transformers or by the name an architecture gives
 * them. */
#include "frontends/hf/config.h"

#include <stdio.h>

/* The attribute maps of Transformers' config classes, in one list: a key is looked up under its own name
 * first, but where the class of a model type knows it by the alias alone. */
#define GPT "gpt2 gpt_bigcode gptj "
static const struct {
    const char *key, *alias, *first_in; /* model types, each with a space behind it */
} aliases[] = {
    {"hidden_size", "n_embd", ""},
    {"hidden_size", "n_embed", "bloom "},
    {"hidden_size", "dim", ""},
    {"hidden_size", "d_model", ""},
    {"num_hidden_layers", "n_layer", ""},
    {"num_hidden_layers", "n_layers", ""},
    {"num_hidden_layers", "num_layers", ""},
    {"num_attention_heads", "n_head", ""},
    {"num_attention_heads", "n_heads", ""},
    {"num_attention_heads", "num_heads", "mamba2 "},
    {"num_kv_heads", "n_head_kv", ""},
    {"intermediate_size", "hidden_dim", "distilbert "},
    {"intermediate_size", "n_inner", GPT},
    {"max_position_embeddings", "n_positions", ""},
    {"num_experts", "num_local_experts", ""},
    {"hidden_act", "activation", "distilbert falcon "},
    {"hidden_act", "activation_function", GPT "gpt_neo opt "},
    {"hidden_act", "hidden_activation", "gemma2 gemma3_text modernbert "},
    {"layer_norm_eps", "norm_eps", "modernbert nemotron "},
    {"layer_norm_eps", "layer_norm_epsilon", GPT "bloom falcon falcon_mamba gpt_neo mamba mamba2 mpt "},
    {"layer_norm_eps", "norm_epsilon", "starcoder2 "},
    {"partial_rotary_factor", "rotary_pct", "gpt_neox "},
    {"rope_theta", "rotary_emb_base", "gpt_neox "},
    {"dtype", "torch_dtype", ""},
};

/* What a model type has where its config is silent, if that is not what most have. */
static const struct {
    const char *key;
    double value;
    const char *types;
} silent[] = {
    {"rms_norm_eps", 1e-5, "arcee ernie4_5 exaone4 gpt_oss mixtral olmo2 olmo3 phi3 phimoe "},
    {"rms_norm_eps", 1e-8, "helium "},
    {"rms_norm_eps", 1.5625e-7, "glm glm4 "},
    {"head_dim", 64, "gpt_oss "},
    {"head_dim", 128, "ernie4_5 glm glm4 helium qwen3 seed_oss "},
    {"head_dim", 256, "gemma gemma2 gemma3_text "},
    {"num_key_value_heads", 2, "ernie4_5 glm glm4 starcoder2 "},
    {"num_key_value_heads", 4, "gemma2 gemma3_text qwen3_moe smollm3 "},
    {"num_key_value_heads", 8, "gpt_oss ministral mistral mixtral phimoe seed_oss "},
    {"num_key_value_heads", 16, "gemma qwen2_moe "},
    {"num_key_value_heads", 20, "helium "},
    {"num_key_value_heads", 32, "exaone4 qwen2 qwen3 stablelm "},
    {"num_attention_heads", 4, "electra "},
    {"num_attention_heads", 8, "gemma2 gemma3_text "},
    {"num_attention_heads", 16, "ernie4_5 gemma qwen2_moe smollm3 "},
    {"num_attention_heads", 20, "helium "},
    {"num_attention_heads", 24, "starcoder2 "},
    {"num_attention_heads", 48, "nemotron "},
    {"num_attention_heads", 64, "cohere cohere2 gpt_oss "},
    {"num_attention_heads", 80, "seed_oss "},
    {"num_hidden_layers", 18, "ernie4_5 "},
    {"num_hidden_layers", 24, "helium phi qwen2_moe qwen3_moe "},
    {"num_hidden_layers", 26, "gemma2 gemma3_text "},
    {"num_hidden_layers", 28, "gemma "},
    {"num_hidden_layers", 30, "starcoder2 "},
    {"num_hidden_layers", 36, "gpt_oss smollm3 "},
    {"num_hidden_layers", 40, "cohere cohere2 glm glm4 "},
    {"num_hidden_layers", 61, "deepseek_v3 "},
    {"num_hidden_layers", 64, "mamba2 seed_oss "},
    {"max_position_embeddings", 4096, "arcee deepseek_v3 helium nemotron phi3 stablelm starcoder2 "},
    {"max_position_embeddings", 8192, "cohere cohere2 gemma gemma2 "},
    {"max_position_embeddings", 16384, "persimmon "},
    {"max_position_embeddings", 32768, "qwen2 qwen2_moe qwen3 qwen3_moe smollm3 "},
    {"max_position_embeddings", 131072,
     "ernie4_5 gemma3_text glm glm4 gpt_oss ministral mistral mixtral phimoe "},
    {"max_position_embeddings", 524288, "seed_oss "},
    {"original_max_position_embeddings", 4096, "phi3 "},
    {"num_experts_per_tok", 4, "qwen2_moe "},
    {"sliding_window", 128, "gpt_oss "},
    {"sliding_window", 4096,
     "cohere2 exaone4 gemma2 gemma3_text ministral mistral olmo3 qwen2 qwen2_moe qwen3 qwen3_moe "},
};

static const struct {
    const char *key, *json, *types;
} silent_parts[] = {
    {"rope_parameters",
     "{\"rope_type\":\"yarn\",\"factor\":32,\"truncate\":false,\"original_max_position_embeddings\":4096}",
     "gpt_oss "},
};

SnStatus sn_config_parse(SnContext *ctx, const char *path, SnBytes bytes, SnConfig *out, SnError *err)
{
    SnConfig c = {.architecture = ""};
    SnJson *json = NULL;
    sn_arena_init(&c.arena, sn_allocator(ctx));
    SnStatus st = sn_json_parse(&c.arena, path, bytes, &json, err);
    if (st == SN_OK && json->kind != SN_JSON_OBJECT)
        st = sn_fail(err, SN_EFORMAT, "%s: expected a JSON object", path);
    if (st == SN_OK) {
        c.json = json;
        c.path = sn_arena_strndup(&c.arena, path, strlen(path));
        c.model_type = sn_config_string(&c, "model_type", NULL);
        SnBytes name;
        if (sn_json_string(sn_json_at(sn_json_get(json, "architectures"), 0), &name))
            c.architecture = sn_arena_strndup(&c.arena, (const char *)name.at, name.n);
        const char *dtype = sn_config_string(&c, "dtype", NULL);
        if (dtype)
            c.dtype = strcmp(dtype, "float32") == 0    ? SN_F32
                      : strcmp(dtype, "float16") == 0  ? SN_F16
                      : strcmp(dtype, "bfloat16") == 0 ? SN_BF16
                      : strcmp(dtype, "float64") == 0  ? SN_F64
                                                       : SN_NODTYPE;
        if (c.arena.failed)
            st = sn_fail(err, SN_ENOMEM, "%s: no memory", path);
        else if (!c.model_type)
            st = sn_fail(err, SN_EFORMAT, "%s: no model_type", path);
    }
    if (st == SN_OK)
        *out = c;
    else
        sn_config_clear(&c);
    return st;
}

void sn_config_clear(SnConfig *c)
{
    sn_arena_clear(&c->arena);
    *c = (SnConfig){0};
}

static bool is_word_of(const char *words, const char *word)
{
    const size_t n = word ? strlen(word) : 0;
    for (const char *at = words; n > 0 && *at != 0; at = strchr(at, ' ') + 1)
        if (strncmp(at, word, n) == 0 && at[n] == ' ')
            return true;
    return false;
}

static const SnJson *by_alias(const SnConfig *c, const char *key, bool is_first)
{
    const SnJson *v = NULL;
    for (size_t i = 0; sn_json_is_null(v) && i < SN_COUNT(aliases); i++)
        if (strcmp(aliases[i].key, key) == 0 && (!is_first || is_word_of(aliases[i].first_in, c->model_type)))
            v = sn_json_get(c->json, aliases[i].alias);
    return v;
}

/* What the family has for a part that is not there, or is null. */
static const SnJson *silent_part(const SnConfig *c, const char *key)
{
    SnArena *arena = (SnArena *)(uintptr_t)&c->arena;
    SnJson *v = NULL;
    for (size_t i = 0; i < SN_COUNT(silent_parts); i++)
        if (strcmp(silent_parts[i].key, key) == 0 && is_word_of(silent_parts[i].types, c->model_type) &&
            sn_json_parse(arena, c->path, sn_bytes_str(silent_parts[i].json), &v, NULL) == SN_OK)
            return v;
    return NULL;
}

const SnJson *sn_config_get(const SnConfig *c, const char *key)
{
    const SnJson *v = by_alias(c, key, true);
    if (sn_json_is_null(v))
        v = sn_json_get(c->json, key);
    if (sn_json_is_null(v))
        v = by_alias(c, key, false);
    return sn_json_is_null(v) ? silent_part(c, key) : v;
}

/* Whether the family has a number of its own for a key that is not there; null is there. */
static bool is_silent(const SnConfig *c, const char *key, double *v)
{
    for (size_t i = 0; i < SN_COUNT(silent); i++)
        if (strcmp(silent[i].key, key) == 0 && is_word_of(silent[i].types, c->model_type)) {
            *v = silent[i].value;
            return !sn_json_get(c->json, key) && !by_alias(c, key, false);
        }
    return false;
}

int64_t sn_config_int(const SnConfig *c, const char *key, int64_t otherwise)
{
    int64_t v = otherwise;
    double own = 0;
    if (is_silent(c, key, &own))
        return (int64_t)own;
    return sn_json_int(sn_config_get(c, key), &v) ? v : otherwise;
}

int64_t sn_config_item(const SnConfig *c, const char *key, uint32_t i, int64_t otherwise)
{
    const SnJson *list = sn_config_get(c, key);
    int64_t v = 0;
    (void)sn_json_int(sn_json_at(list, i), &v);
    return list ? v : otherwise;
}

double sn_config_float(const SnConfig *c, const char *key, double otherwise)
{
    double v = otherwise;
    if (is_silent(c, key, &v))
        return v;
    return sn_json_number(sn_config_get(c, key), &v) ? v : otherwise;
}

bool sn_config_bool(const SnConfig *c, const char *key, bool otherwise)
{
    bool v = otherwise;
    return sn_json_bool(sn_config_get(c, key), &v) ? v : otherwise;
}

/* Strings of the parsed JSON are not terminated; a config is asked a few dozen times, so a copy is cheap. */
const char *sn_config_string(const SnConfig *c, const char *key, const char *otherwise)
{
    SnBytes v;
    if (!sn_json_string(sn_config_get(c, key), &v))
        return otherwise;
    SnArena *arena = (SnArena *)(uintptr_t)&c->arena;
    const char *s = sn_arena_strndup(arena, (const char *)v.at, v.n);
    return s ? s : otherwise;
}

SnStatus sn_config_need(const SnConfig *c, const char *key, int64_t limit, int64_t *out, SnError *err)
{
    const SnJson *v = sn_config_get(c, key);
    SN_CHECK(v, err, SN_EFORMAT, "%s: no %s", c->path, key);
    SN_CHECK(sn_json_int(v, out), err, SN_EFORMAT, "%s: %s is no whole number", c->path, key);
    SN_CHECK(*out >= 1 && *out <= limit, err, SN_EFORMAT, "%s: %s is %lld, allowed 1 to %lld", c->path, key,
             (long long)*out, (long long)limit);
    return SN_OK;
}

int64_t sn_config_labels(const SnConfig *c)
{
    const SnJson *labels = sn_config_get(c, "id2label");
    if (labels && labels->kind == SN_JSON_OBJECT)
        return (int64_t)labels->n;
    return sn_config_int(c, "num_labels", 2);
}

const char *sn_config_label(const SnConfig *c, int64_t i)
{
    char key[24];
    SnBytes v;
    (void)snprintf(key, sizeof key, "%lld", (long long)i);
    if (!sn_json_string(sn_json_get(sn_config_get(c, "id2label"), key), &v))
        return NULL;
    return sn_arena_strndup((SnArena *)(uintptr_t)&c->arena, (const char *)v.at, v.n);
}
