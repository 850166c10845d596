/* config.c -- GGUF metadata as config.json, and GGUF tensors under the names of checkpoints. */
#include "frontends/gguf/arch.h"
#include "frontends/gguf/convert.h"

#include <inttypes.h>
#include <stdio.h>

typedef SnGgufPair Pair;

/* ---- metadata by key ---- */

typedef struct File {
    const char *path;
    const SnGguf *gguf;
    const SnGgufArch *arch;
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
    f->arch = sn_gguf_arch(f->prefix, nexpert > 0);
    bool has_norms = false; /* of what a state space picks */
    if (sn_json_bool(get(f, "ssm.dt_b_c_rms"), &has_norms) && has_norms)
        f->arch = sn_gguf_arch_of_type("falcon_mamba");
    SN_CHECK(f->arch, err, SN_EUNSUPPORTED, "%s: architecture %s", path, f->prefix);
    return SN_OK;
}

/* ---- config.json ---- */

static void put_key(SnText *t, const char *key, const SnJson *v)
{
    if (sn_json_is_null(v))
        return;
    sn_text_printf(t, ",\"%s\":", key);
    sn_json_put(t, v);
}

/* An architecture's own pair hides the common one. */
static size_t first_key(const SnGgufArch *a, const char *key)
{
    size_t i = 0;
    while (strcmp(sn_gguf_key(a, i)->gguf, key) != 0)
        i++;
    return i;
}

static int64_t integer(const File *f, const char *key, int64_t otherwise)
{
    int64_t v = otherwise;
    return sn_json_int(get(f, key), &v) ? v : otherwise;
}

static void put_keys(const File *f, SnText *t)
{
    const Pair *p;
    for (size_t i = 0; (p = sn_gguf_key(f->arch, i)) != NULL; i++)
        if (first_key(f->arch, p->gguf) == i)
            put_key(t, p->hf, get(f, p->gguf));
    /* null: what follows from the number of heads, whatever the family has where a config is silent. */
    const bool has_heads = integer(f, "attention.head_count", 0) > 0;
    if (has_heads && !get(f, "attention.key_length"))
        sn_text_printf(t, ",\"head_dim\":null");
    if (has_heads && !get(f, "attention.head_count_kv"))
        sn_text_printf(t, ",\"num_key_value_heads\":null");
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
    if (turning > 0 && (turning < dim || f->arch->flags & SN_GGUF_PART)) {
        sn_text_printf(t, ",\"partial_rotary_factor\":");
        sn_json_put_f64(t, (double)turning / (double)dim);
    }
    if (f->arch->flags & SN_GGUF_PERMUTED)
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

/* One key and value for all heads, or for groups of them. */
static void put_falcon(const File *f, SnText *t)
{
    const int64_t kv = integer(f, "attention.head_count_kv", 1);
    const bool is_new = sn_gguf_find(f->gguf, "blk.0.attn_norm_2.weight") != NULL;
    sn_text_printf(t, ",\"new_decoder_architecture\":%s,\"multi_query\":%s",
                   is_new || (kv > 1 && kv < integer(f, "attention.head_count", 1)) ? "true" : "false",
                   kv == 1 ? "true" : "false");
    if (!is_new)
        sn_text_printf(t, ",\"num_ln_in_parallel_attn\":1");
}

static void put_states(const File *f, SnText *t)
{
    const int64_t inner = integer(f, "ssm.inner_size", 0), heads = integer(f, "ssm.time_step_rank", 0);
    const int64_t hidden = integer(f, "embedding_length", 0);
    if (hidden > 0)
        sn_text_printf(t, inner % hidden ? ",\"expand\":%.17g" : ",\"expand\":%.0f",
                       (double)inner / (double)hidden);
    if (heads > 0 && strcmp(f->arch->type, "mamba2") == 0)
        sn_text_printf(t, ",\"head_dim\":%" PRId64, inner / heads);
    sn_text_printf(t, ",\"use_bias\":%s,\"use_conv_bias\":%s",
                   sn_gguf_find(f->gguf, "blk.0.ssm_in.bias") ? "true" : "false",
                   sn_gguf_find(f->gguf, "blk.0.ssm_conv1d.bias") ? "true" : "false");
}

/* Biases are where the file has them. */
static void put_biases(const File *f, SnText *t)
{
    static const char *const bias[][3] = {{"attention_bias", "blk.0.attn_q.bias", "blk.0.attn_qkv.bias"},
                                          {"use_qkv_bias", "blk.0.attn_q.bias", "blk.0.attn_qkv.bias"},
                                          {"mlp_bias", "blk.0.ffn_up.bias", "blk.0.ffn_up.bias"},
                                          {"lm_head_bias", "output.bias", "output.bias"}};
    for (size_t i = 0; i < SN_COUNT(bias); i++) {
        const bool is_there = sn_gguf_find(f->gguf, bias[i][1]) || sn_gguf_find(f->gguf, bias[i][2]);
        sn_text_printf(t, ",\"%s\":%s", bias[i][0], is_there ? "true" : "false");
    }
}

SnStatus sn_gguf_config(const char *path, const SnGguf *g, SnText *out, SnError *err)
{
    File f;
    const SnStatus st = open_file(path, g, &f, err);
    if (st == SN_EUNSUPPORTED && sn_gguf_has_words(g)) { /* its tokenizer is of use without it */
        sn_text_printf(out, "{\"model_type\":\"of encoders in GGUF\"}");
        return SN_OK;
    }
    SN_TRY(st);
    sn_text_printf(out, "{\"model_type\":\"%s\",\"architectures\":[\"%s\"]", f.arch->type,
                   f.arch->class_name);
    put_keys(&f, out);
    put_rope(&f, out);
    if (f.arch->flags & SN_GGUF_GEMMA)
        put_gemma(&f, out);
    if (strcmp(f.prefix, "falcon") == 0)
        put_falcon(&f, out);
    if (f.arch->flags & SN_GGUF_STATES)
        put_states(&f, out);
    put_biases(&f, out);
    sn_text_printf(out, ",\"tie_word_embeddings\":%s%s}", sn_gguf_find(g, "output.weight") ? "false" : "true",
                   f.arch->more);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for its config", path);
    return SN_OK;
}

/* ---- names ---- */

static SnStatus add_one(const File *f, const SnGgufTensor *t, SnArena *arena, SnGgufAddFn *add, void *user,
                        SnError *err)
{
    const size_t nsuffix = sn_gguf_suffix(t->name);
    const SnBytes stem = sn_bytes(t->name.at, t->name.n - nsuffix);
    SnBytes suffix = sn_bytes(stem.at + stem.n, nsuffix);
    SnGgufMatch m = {0};
    const Pair *pair = NULL;
    const bool has_second = sn_gguf_find(f->gguf, "blk.0.attn_norm_2.weight") != NULL;
    for (size_t i = 0; (pair = sn_gguf_name(f->arch, i)) != NULL; i++) {
        const bool is_whole = nsuffix > 0 && sn_gguf_match(pair->gguf, t->name, &m);
        suffix.n = is_whole ? 0 : nsuffix;
        if (is_whole ||
            (sn_gguf_match(pair->gguf, stem, &m) && (pair->change != SN_GGUF_BESIDE || has_second)))
            break;
    }
    SnGgufName as = {.name = t->name, .nparts = 1};
    if (!pair)
        return add(user, t, &as, err);
    const bool is_bias = sn_bytes_is(suffix, ".bias");
    as.shape = is_bias ? SN_GGUF_AS_IS : pair->shape;
    as.is_decay = pair->change == SN_GGUF_DECAY;
    as.is_split = strchr(pair->hf, '@') && t->ndim == 3 && t->dims[0] > 0;
    as.nparts = as.is_split ? t->dims[0] : 1;
    const bool is_norm = sn_bytes_ends(stem, "norm");
    as.shift = f->arch->flags & SN_GGUF_ONE_ADDED && is_norm && sn_bytes_is(suffix, ".weight") ? -1 : 0;
    for (as.part = 0; as.part < as.nparts; as.part++) {
        char part[24];
        m.part = sn_bytes(part, (size_t)snprintf(part, sizeof part, "%" PRId64, as.part));
        SN_TRY(sn_gguf_fill(arena, pair->hf, &m, suffix, &as.name, err));
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
