/* config.c -- GGUF metadata as config.json, and GGUF tensors under the names of checkpoints. An architecture
 * is a row.
 *
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; names: gguf-py/gguf/constants.py of
 * llama.cpp. */
#include "frontends/gguf/convert.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Pair {
    const char *gguf, *hf;
} Pair;

#define PERMUTED   1u /* rows of q and k are in the order of turning pairs */
#define ONE_ADDED  2u /* to weights of norms */
#define GEMMA      4u
#define EXPERTS    8u /* only files with experts */
#define NO_EXPERTS 16u

typedef struct Arch {
    const char *gguf, *type, *class_name;
    uint32_t flags;
    const Pair *key, *name; /* of its own, before the common ones; ended by a row without names */
    const char *more;       /* further members of config.json */
} Arch;

/* ---- tables ---- */

static const Pair keys[] = {
    {"context_length", "max_position_embeddings"},
    {"block_count", "num_hidden_layers"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.layer_norm_epsilon", "layer_norm_eps"},
    {"attention.sliding_window", "sliding_window"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"expert_count", "num_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
    {"vocab_size", "vocab_size"},
    {NULL, NULL},
};
static const Pair mixtral_keys[] = {{"expert_count", "num_local_experts"}, {NULL, NULL}};
static const Pair starcoder_keys[] = {{"attention.layer_norm_epsilon", "norm_epsilon"}, {NULL, NULL}};
static const Pair cohere_keys[] = {{"logit_scale", "logit_scale"}, {NULL, NULL}};
static const Pair granite_keys[] = {
    {"logit_scale", "logits_scaling"},
    {"residual_scale", "residual_multiplier"},
    {"embedding_scale", "embedding_multiplier"},
    {"attention.scale", "attention_multiplier"},
    {NULL, NULL},
};

static const Pair names[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
    {"blk.#.attn_norm", "model.layers.#.input_layernorm"},
    {"blk.#.attn_q", "model.layers.#.self_attn.q_proj"},
    {"blk.#.attn_k", "model.layers.#.self_attn.k_proj"},
    {"blk.#.attn_v", "model.layers.#.self_attn.v_proj"},
    {"blk.#.attn_output", "model.layers.#.self_attn.o_proj"},
    {"blk.#.attn_q_norm", "model.layers.#.self_attn.q_norm"},
    {"blk.#.attn_k_norm", "model.layers.#.self_attn.k_norm"},
    {"blk.#.ffn_norm", "model.layers.#.post_attention_layernorm"},
    {"blk.#.ffn_gate", "model.layers.#.mlp.gate_proj"},
    {"blk.#.ffn_up", "model.layers.#.mlp.up_proj"},
    {"blk.#.ffn_down", "model.layers.#.mlp.down_proj"},
    {"blk.#.ffn_gate_inp", "model.layers.#.mlp.gate"},
    {"blk.#.ffn_gate_exps", "model.layers.#.mlp.experts.@.gate_proj"},
    {"blk.#.ffn_up_exps", "model.layers.#.mlp.experts.@.up_proj"},
    {"blk.#.ffn_down_exps", "model.layers.#.mlp.experts.@.down_proj"},
    {"blk.#.ffn_gate_inp_shexp", "model.layers.#.mlp.shared_expert_gate"},
    {"blk.#.ffn_gate_shexp", "model.layers.#.mlp.shared_expert.gate_proj"},
    {"blk.#.ffn_up_shexp", "model.layers.#.mlp.shared_expert.up_proj"},
    {"blk.#.ffn_down_shexp", "model.layers.#.mlp.shared_expert.down_proj"},
    {NULL, NULL},
};
static const Pair mixtral_names[] = {
    {"blk.#.ffn_gate_inp", "model.layers.#.block_sparse_moe.gate"},
    {"blk.#.ffn_gate_exps", "model.layers.#.block_sparse_moe.experts.@.w1"},
    {"blk.#.ffn_down_exps", "model.layers.#.block_sparse_moe.experts.@.w2"},
    {"blk.#.ffn_up_exps", "model.layers.#.block_sparse_moe.experts.@.w3"},
    {NULL, NULL},
};
static const Pair norms_behind[] = {
    {"blk.#.ffn_norm", "model.layers.#.pre_feedforward_layernorm"},
    {"blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm"},
    {"blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm"},
    {NULL, NULL},
};
static const Pair phi_names[] = {
    {"output_norm", "model.final_layernorm"},
    {"blk.#.attn_output", "model.layers.#.self_attn.dense"},
    {"blk.#.ffn_up", "model.layers.#.mlp.fc1"},
    {"blk.#.ffn_down", "model.layers.#.mlp.fc2"},
    {NULL, NULL},
};
static const Pair phi3_names[] = {
    {"blk.#.attn_qkv", "model.layers.#.self_attn.qkv_proj"},
    {"blk.#.ffn_up", "model.layers.#.mlp.gate_up_proj"},
    {NULL, NULL},
};
static const Pair starcoder_names[] = {
    {"blk.#.ffn_up", "model.layers.#.mlp.c_fc"},
    {"blk.#.ffn_down", "model.layers.#.mlp.c_proj"},
    {NULL, NULL},
};

#define GELU_GATED ",\"hidden_act\":\"gelu_pytorch_tanh\",\"hidden_activation\":\"gelu_pytorch_tanh\""

static const Arch archs[] = {
    {"llama", "mixtral", "MixtralForCausalLM", PERMUTED | EXPERTS, mixtral_keys, mixtral_names, ""},
    {"llama", "llama", "LlamaForCausalLM", PERMUTED | NO_EXPERTS, NULL, NULL, ""},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", 0, NULL, NULL, ""},
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", 0, NULL, NULL, ""},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", 0, NULL, NULL, ""},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", 0, NULL, NULL, ",\"norm_topk_prob\":true"},
    {"gemma", "gemma", "GemmaForCausalLM", ONE_ADDED, NULL, NULL, GELU_GATED},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", ONE_ADDED | GEMMA, NULL, norms_behind, GELU_GATED},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", ONE_ADDED | GEMMA, NULL, norms_behind,
     GELU_GATED ",\"sliding_window_pattern\":6,\"rope_local_base_freq\":10000"},
    {"phi2", "phi", "PhiForCausalLM", 0, NULL, phi_names, ",\"hidden_act\":\"gelu_new\""},
    {"phi3", "phi3", "Phi3ForCausalLM", 0, NULL, phi3_names, ""},
    {"stablelm", "stablelm", "StableLmForCausalLM", 0, NULL, NULL, ""},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", 0, NULL, norms_behind, ""},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", 0, starcoder_keys, starcoder_names, ""},
    {"command-r", "cohere", "CohereForCausalLM", 0, cohere_keys, NULL, ""},
    {"granite", "granite", "GraniteForCausalLM", PERMUTED, granite_keys, NULL, ""},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", PERMUTED, NULL, NULL, ""},
};

/* ---- metadata by key ---- */

typedef struct File {
    const char *path;
    const SnGguf *gguf;
    const Arch *arch;
    char prefix[64];
} File;

static const SnJson *get(const File *f, const char *key)
{
    char full[160];
    const int n = snprintf(full, sizeof full, "%s.%s", f->prefix, key);
    return n > 0 && n < (int)sizeof full ? sn_json_get(f->gguf->metadata, full) : NULL;
}

static SnStatus open_file(const char *path, const SnGguf *g, File *f, SnError *err)
{
    SnBytes name;
    int64_t nexpert = 0;
    *f = (File){.path = path, .gguf = g};
    SN_CHECK(sn_json_string(sn_json_get(g->metadata, "general.architecture"), &name), err, SN_EFORMAT,
             "%s: no general.architecture", path);
    const int n = snprintf(f->prefix, sizeof f->prefix, "%s", (const char *)name.at);
    SN_CHECK(n > 0 && n < (int)sizeof f->prefix, err, SN_EUNSUPPORTED, "%s: architecture %.40s", path,
             (const char *)name.at);
    (void)sn_json_int(get(f, "expert_count"), &nexpert);
    for (size_t i = 0; i < SN_COUNT(archs) && !f->arch; i++)
        if (strcmp(archs[i].gguf, f->prefix) == 0 && !(archs[i].flags & (nexpert > 0 ? NO_EXPERTS : EXPERTS)))
            f->arch = &archs[i];
    SN_CHECK(f->arch, err, SN_EUNSUPPORTED, "%s: architecture %s", path, f->prefix);
    return SN_OK;
}

/* ---- config.json ---- */

static bool is_own(const Arch *a, const char *key)
{
    for (const Pair *p = a->key; p && p->gguf; p++)
        if (strcmp(p->gguf, key) == 0)
            return true;
    return false;
}

static void put_key(SnText *t, const char *key, const SnJson *v)
{
    if (sn_json_is_null(v))
        return;
    sn_text_printf(t, ",\"%s\":", key);
    sn_json_put(t, v);
}

static void put_keys(const File *f, SnText *t)
{
    for (const Pair *p = f->arch->key; p && p->gguf; p++)
        put_key(t, p->hf, get(f, p->gguf));
    for (const Pair *p = keys; p->gguf; p++)
        if (!is_own(f->arch, p->gguf))
            put_key(t, p->hf, get(f, p->gguf));
    if (!get(f, "vocab_size")) {
        const SnJson *tokens = sn_json_get(f->gguf->metadata, "tokenizer.ggml.tokens");
        if (tokens)
            sn_text_printf(t, ",\"vocab_size\":%" PRIu32, tokens->n);
    }
    for (int i = 0; i < 3; i++) {
        static const Pair ids[] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                   {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                   {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
        put_key(t, ids[i].hf, sn_json_get(f->gguf->metadata, ids[i].gguf));
    }
}

/* Numbers of a small f32 tensor as a JSON array. */
static bool put_numbers(const File *f, const char *tensor, const char *key, SnText *t)
{
    const SnGgufTensor *x = sn_gguf_find(f->gguf, tensor);
    if (!x || x->type->dtype != SN_F32 || x->bytes.n > 64 * 1024)
        return false;
    sn_text_printf(t, ",\"%s\":[", key);
    for (size_t i = 0; i < x->bytes.n / 4; i++) {
        float v;
        memcpy(&v, x->bytes.at + 4 * i, sizeof v);
        sn_text_printf(t, i ? "," : "");
        sn_json_put_f32(t, v);
    }
    sn_text_add(t, "]", 1);
    return true;
}

static int64_t integer(const File *f, const char *key, int64_t otherwise)
{
    int64_t v = otherwise;
    return sn_json_int(get(f, key), &v) ? v : otherwise;
}

static int64_t head_dim(const File *f)
{
    const int64_t heads = integer(f, "attention.head_count", 1);
    return integer(f, "attention.key_length", heads > 0 ? integer(f, "embedding_length", 0) / heads : 0);
}

/* Factors of frequencies, where a file has them, are a long context that begins at once. */
static void put_rope(const File *f, SnText *t)
{
    const SnJson *kind = get(f, "rope.scaling.type"), *theta = get(f, "rope.freq_base");
    const int64_t turning = integer(f, "rope.dimension_count", 0), dim = head_dim(f);
    put_key(t, "rope_theta", theta);
    if (turning > 0 && turning < dim) {
        sn_text_printf(t, ",\"partial_rotary_factor\":");
        sn_json_put_f64(t, (double)turning / (double)dim);
    }
    if (f->arch->flags & PERMUTED)
        sn_text_printf(t, ",\"rope_interleave\":true");
    const bool has_one = sn_gguf_find(f->gguf, "rope_freqs.weight") != NULL;
    const bool has_long = sn_gguf_find(f->gguf, "rope_factors_long.weight") != NULL;
    if (!has_one && !has_long && (!kind || sn_json_is(kind, "none")))
        return;
    sn_text_printf(t, ",\"rope_scaling\":{\"rope_type\":");
    if (has_one || has_long)
        sn_text_printf(t, "\"longrope\"");
    else
        sn_json_put(t, kind);
    put_key(t, "factor", get(f, "rope.scaling.factor"));
    put_key(t, "original_max_position_embeddings", get(f, "rope.scaling.original_context_length"));
    if (has_one)
        sn_text_printf(t, ",\"attention_factor\":1");
    else
        put_key(t, "attention_factor", get(f, "rope.scaling.attn_factor"));
    (void)put_numbers(f, has_one ? "rope_freqs.weight" : "rope_factors_short.weight", "short_factor", t);
    (void)put_numbers(f, has_one ? "rope_freqs.weight" : "rope_factors_long.weight", "long_factor", t);
    sn_text_add(t, "}", 1);
}

/* Scores are scaled by the width of a head, but for the largest ones of each generation. */
static void put_gemma(const File *f, SnText *t)
{
    const int64_t layers = integer(f, "block_count", 0), heads = integer(f, "attention.head_count", 1);
    const bool is_largest = layers == (strcmp(f->prefix, "gemma2") == 0 ? 46 : 62);
    const int64_t scalar = is_largest && heads > 0 ? integer(f, "embedding_length", 0) / heads : head_dim(f);
    sn_text_printf(t, ",\"query_pre_attn_scalar\":%" PRId64, scalar);
}

/* Biases are where the file has them. */
static void put_biases(const File *f, SnText *t)
{
    static const Pair biases[] = {{"blk.0.attn_q.bias", "attention_bias"},
                                  {"blk.0.attn_q.bias", "use_qkv_bias"},
                                  {"blk.0.ffn_up.bias", "mlp_bias"}};
    for (size_t i = 0; i < SN_COUNT(biases); i++)
        sn_text_printf(t, ",\"%s\":%s", biases[i].hf,
                       sn_gguf_find(f->gguf, biases[i].gguf) ? "true" : "false");
}

SnStatus sn_gguf_config(const char *path, const SnGguf *g, SnText *out, SnError *err)
{
    File f;
    SN_TRY(open_file(path, g, &f, err));
    sn_text_printf(out, "{\"model_type\":\"%s\",\"architectures\":[\"%s\"]", f.arch->type,
                   f.arch->class_name);
    put_keys(&f, out);
    put_rope(&f, out);
    if (f.arch->flags & GEMMA)
        put_gemma(&f, out);
    put_biases(&f, out);
    sn_text_printf(out, ",\"tie_word_embeddings\":%s%s}", sn_gguf_find(g, "output.weight") ? "false" : "true",
                   f.arch->more);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for its config", path);
    return SN_OK;
}

/* ---- names ---- */

static size_t digits(SnBytes s)
{
    size_t n = 0;
    while (n < s.n && s.at[n] >= '0' && s.at[n] <= '9')
        n++;
    return n;
}

/* Matches a whole name against a pattern whose # is a number. */
static bool matches(const char *pattern, SnBytes name, SnBytes *number)
{
    size_t at = 0;
    for (const char *p = pattern; *p; p++) {
        if (*p == '#') {
            *number = sn_bytes(name.at + at, digits(sn_bytes(name.at + at, name.n - at)));
            if (number->n == 0)
                return false;
            at += number->n;
        } else if (at >= name.n || name.at[at++] != (uint8_t)*p) {
            return false;
        }
    }
    return at == name.n;
}

static const char *find_name(const Pair *table, SnBytes stem, SnBytes *number)
{
    for (const Pair *p = table; p && p->gguf; p++)
        if (matches(p->gguf, stem, number))
            return p->hf;
    return NULL;
}

static SnStatus put_name(SnArena *arena, const char *pattern, SnBytes number, int64_t part, SnBytes suffix,
                         SnBytes *out, SnError *err)
{
    SnText t = {.memory = arena->memory};
    for (const char *p = pattern; *p; p++) {
        if (*p == '#')
            sn_text_add(&t, (const char *)number.at, number.n);
        else if (*p == '@')
            sn_text_printf(&t, "%" PRId64, part);
        else
            sn_text_add(&t, p, 1);
    }
    sn_text_add(&t, (const char *)suffix.at, suffix.n);
    const char *own = t.failed ? NULL : sn_arena_strndup(arena, t.at, t.n);
    *out = sn_bytes(own, own ? t.n : 0);
    sn_text_clear(&t);
    SN_CHECK(own, err, SN_ENOMEM, "no memory for a tensor's name");
    return SN_OK;
}

static bool has_end(SnBytes name, const char *end)
{
    const size_t n = strlen(end);
    return name.n >= n && memcmp(name.at + name.n - n, end, n) == 0;
}

static SnStatus add_one(const File *f, const SnGgufTensor *t, SnArena *arena, SnGgufAddFn *add, void *user,
                        SnError *err)
{
    const size_t nsuffix = has_end(t->name, ".weight") ? 7 : has_end(t->name, ".bias") ? 5 : 0;
    const SnBytes stem = sn_bytes(t->name.at, t->name.n - nsuffix),
                  suffix = sn_bytes(stem.at + stem.n, nsuffix);
    SnBytes number = {NULL, 0};
    const char *pattern = find_name(f->arch->name, stem, &number);
    if (!pattern)
        pattern = find_name(names, stem, &number);
    SnGgufName as = {.name = t->name, .nparts = 1};
    if (!pattern)
        return add(user, t, &as, err);
    as.is_split = strchr(pattern, '@') && t->ndim == 3 && t->dims[0] > 0;
    as.nparts = as.is_split ? t->dims[0] : 1;
    as.shift = f->arch->flags & ONE_ADDED && has_end(t->name, "norm.weight") ? -1 : 0;
    for (as.part = 0; as.part < as.nparts; as.part++) {
        SN_TRY(put_name(arena, pattern, number, as.part, suffix, &as.name, err));
        SN_TRY(add(user, t, &as, err));
    }
    return SN_OK;
}

SnStatus sn_gguf_each(const char *path, const SnGguf *g, SnArena *arena, SnGgufAddFn *add, void *user,
                      SnError *err)
{
    File f;
    SN_TRY(open_file(path, g, &f, err));
    for (size_t i = 0; i < g->ntensor; i++)
        SN_TRY(add_one(&f, &g->tensor[i], arena, add, user, err));
    return SN_OK;
}
