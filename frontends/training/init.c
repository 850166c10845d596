/* init.c -- new weights of a config: which tensors a family has, their dims, and how each begins, as
 * Transformers' _init_weights has it. */
#include "frontends/training/trainer.h"

#include "frontends/hf/layers.h"
#include "runtime/hash.h"

#include <math.h>
#include <stdio.h>

#define MAX_LAYERS 1024
#define MAX_WIDTH  (INT64_C(1) << 24)
#define MAX_SIDE   65536
#define MAX_NUMBER ((size_t)1 << 32) /* of a tensor */

typedef enum Begin { NORMAL, ONES, ZEROS, RESIDUAL } Begin; /* RESIDUAL: GPT-2's, less with more layers */
typedef enum Dim { NONE, VOCAB, WIDE, INNER, QUERIES, KEYS, HEAD, PLACES, KINDS, WIDE3 } Dim;

/* A name with %d is there once a layer. */
typedef struct Row {
    const char *name;
    Dim dims[2];
    Begin begin;
} Row;

static const Row llama[] = {
    {"model.embed_tokens.weight", {VOCAB, WIDE}, NORMAL},
    {"model.layers.%d.self_attn.q_proj.weight", {QUERIES, WIDE}, NORMAL},
    {"model.layers.%d.self_attn.k_proj.weight", {KEYS, WIDE}, NORMAL},
    {"model.layers.%d.self_attn.v_proj.weight", {KEYS, WIDE}, NORMAL},
    {"model.layers.%d.self_attn.o_proj.weight", {WIDE, QUERIES}, NORMAL},
    {"model.layers.%d.mlp.gate_proj.weight", {INNER, WIDE}, NORMAL},
    {"model.layers.%d.mlp.up_proj.weight", {INNER, WIDE}, NORMAL},
    {"model.layers.%d.mlp.down_proj.weight", {WIDE, INNER}, NORMAL},
    {"model.layers.%d.input_layernorm.weight", {WIDE}, ONES},
    {"model.layers.%d.post_attention_layernorm.weight", {WIDE}, ONES},
    {"model.norm.weight", {WIDE}, ONES},
    {NULL, {NONE}, ZEROS},
};
static const Row untied[] = {{"lm_head.weight", {VOCAB, WIDE}, NORMAL}, {NULL, {NONE}, ZEROS}};
static const Row biases[] = {
    {"model.layers.%d.self_attn.q_proj.bias", {QUERIES}, ZEROS},
    {"model.layers.%d.self_attn.k_proj.bias", {KEYS}, ZEROS},
    {"model.layers.%d.self_attn.v_proj.bias", {KEYS}, ZEROS},
    {NULL, {NONE}, ZEROS},
};
static const Row head_norms[] = {
    {"model.layers.%d.self_attn.q_norm.weight", {HEAD}, ONES},
    {"model.layers.%d.self_attn.k_norm.weight", {HEAD}, ONES},
    {NULL, {NONE}, ZEROS},
};
static const Row gpt2[] = {
    {"transformer.wte.weight", {VOCAB, WIDE}, NORMAL},
    {"transformer.wpe.weight", {PLACES, WIDE}, NORMAL},
    {"transformer.h.%d.ln_1.weight", {WIDE}, ONES},
    {"transformer.h.%d.ln_1.bias", {WIDE}, ZEROS},
    {"transformer.h.%d.attn.c_attn.weight", {WIDE, WIDE3}, NORMAL},
    {"transformer.h.%d.attn.c_attn.bias", {WIDE3}, ZEROS},
    {"transformer.h.%d.attn.c_proj.weight", {WIDE, WIDE}, RESIDUAL},
    {"transformer.h.%d.attn.c_proj.bias", {WIDE}, ZEROS},
    {"transformer.h.%d.ln_2.weight", {WIDE}, ONES},
    {"transformer.h.%d.ln_2.bias", {WIDE}, ZEROS},
    {"transformer.h.%d.mlp.c_fc.weight", {WIDE, INNER}, NORMAL},
    {"transformer.h.%d.mlp.c_fc.bias", {INNER}, ZEROS},
    {"transformer.h.%d.mlp.c_proj.weight", {INNER, WIDE}, RESIDUAL},
    {"transformer.h.%d.mlp.c_proj.bias", {WIDE}, ZEROS},
    {"transformer.ln_f.weight", {WIDE}, ONES},
    {"transformer.ln_f.bias", {WIDE}, ZEROS},
    {NULL, {NONE}, ZEROS},
};
static const Row bert[] = {
    {"bert.embeddings.word_embeddings.weight", {VOCAB, WIDE}, NORMAL},
    {"bert.embeddings.position_embeddings.weight", {PLACES, WIDE}, NORMAL},
    {"bert.embeddings.token_type_embeddings.weight", {KINDS, WIDE}, NORMAL},
    {"bert.embeddings.LayerNorm.weight", {WIDE}, ONES},
    {"bert.embeddings.LayerNorm.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.attention.self.query.weight", {WIDE, WIDE}, NORMAL},
    {"bert.encoder.layer.%d.attention.self.query.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.attention.self.key.weight", {WIDE, WIDE}, NORMAL},
    {"bert.encoder.layer.%d.attention.self.key.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.attention.self.value.weight", {WIDE, WIDE}, NORMAL},
    {"bert.encoder.layer.%d.attention.self.value.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.attention.output.dense.weight", {WIDE, WIDE}, NORMAL},
    {"bert.encoder.layer.%d.attention.output.dense.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.attention.output.LayerNorm.weight", {WIDE}, ONES},
    {"bert.encoder.layer.%d.attention.output.LayerNorm.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.intermediate.dense.weight", {INNER, WIDE}, NORMAL},
    {"bert.encoder.layer.%d.intermediate.dense.bias", {INNER}, ZEROS},
    {"bert.encoder.layer.%d.output.dense.weight", {WIDE, INNER}, NORMAL},
    {"bert.encoder.layer.%d.output.dense.bias", {WIDE}, ZEROS},
    {"bert.encoder.layer.%d.output.LayerNorm.weight", {WIDE}, ONES},
    {"bert.encoder.layer.%d.output.LayerNorm.bias", {WIDE}, ZEROS},
    {"bert.pooler.dense.weight", {WIDE, WIDE}, NORMAL},
    {"bert.pooler.dense.bias", {WIDE}, ZEROS},
    {NULL, {NONE}, ZEROS},
};

static const Row vit[] = {
    {"vit.encoder.layer.%d.attention.attention.query.weight", {WIDE, WIDE}, NORMAL},
    {"vit.encoder.layer.%d.attention.attention.key.weight", {WIDE, WIDE}, NORMAL},
    {"vit.encoder.layer.%d.attention.attention.value.weight", {WIDE, WIDE}, NORMAL},
    {"vit.encoder.layer.%d.attention.output.dense.weight", {WIDE, WIDE}, NORMAL},
    {"vit.encoder.layer.%d.attention.output.dense.bias", {WIDE}, ZEROS},
    {"vit.encoder.layer.%d.layernorm_before.weight", {WIDE}, ONES},
    {"vit.encoder.layer.%d.layernorm_before.bias", {WIDE}, ZEROS},
    {"vit.encoder.layer.%d.layernorm_after.weight", {WIDE}, ONES},
    {"vit.encoder.layer.%d.layernorm_after.bias", {WIDE}, ZEROS},
    {"vit.encoder.layer.%d.intermediate.dense.weight", {INNER, WIDE}, NORMAL},
    {"vit.encoder.layer.%d.intermediate.dense.bias", {INNER}, ZEROS},
    {"vit.encoder.layer.%d.output.dense.weight", {WIDE, INNER}, NORMAL},
    {"vit.encoder.layer.%d.output.dense.bias", {WIDE}, ZEROS},
    {"vit.layernorm.weight", {WIDE}, ONES},
    {"vit.layernorm.bias", {WIDE}, ZEROS},
    {NULL, {NONE}, ZEROS},
};
static const Row vit_biases[] = {
    {"vit.encoder.layer.%d.attention.attention.query.bias", {WIDE}, ZEROS},
    {"vit.encoder.layer.%d.attention.attention.key.bias", {WIDE}, ZEROS},
    {"vit.encoder.layer.%d.attention.attention.value.bias", {WIDE}, ZEROS},
    {NULL, {NONE}, ZEROS},
};

/* What a model type has; heads over classes are made where they are built. */
typedef struct Init Init;
static SnStatus make_resnet(Init *x, SnError *err);
static SnStatus make_vit(Init *x, SnError *err);
static SnStatus make_t5(Init *x, SnError *err);
static const struct Family {
    const char *type;
    const Row *part[3];
    bool is_untied;                          /* unless tie_word_embeddings says otherwise */
    SnStatus (*make)(Init *x, SnError *err); /* what is in no row; or NULL */
} families[] = {
    {"llama", {llama}, true},         {"mistral", {llama}, true},
    {"qwen2", {llama, biases}, true}, {"qwen3", {llama, head_norms}, true},
    {"smollm3", {llama}, false},      {"gpt2", {gpt2}, false},
    {"bert", {bert}, false},          {"resnet", {NULL}, false, make_resnet},
    {"vit", {vit}, false, make_vit},  {"t5", {NULL}, false, make_t5},
};

struct Init {
    SnModel *m;
    const struct Family *family;
    uint64_t seed;
    int64_t layers, dim[WIDE3 + 1];
    double spread;
};

static SnStatus read_dims(Init *x, SnError *err)
{
    const SnConfig *c = &x->m->config;
    int64_t heads = 0;
    SN_TRY(sn_config_need(c, "hidden_size", MAX_WIDTH, &x->dim[WIDE], err));
    if (x->family->part[0] != vit)
        SN_TRY(sn_config_need(c, "vocab_size", MAX_WIDTH, &x->dim[VOCAB], err));
    SN_TRY(sn_config_need(c, "num_hidden_layers", MAX_LAYERS, &x->layers, err));
    SN_TRY(sn_config_need(c, "num_attention_heads", MAX_WIDTH, &heads, err));
    const int64_t wide = x->dim[WIDE], keys = sn_config_int(c, "num_key_value_heads", heads);
    x->dim[HEAD] = sn_config_int(c, "head_dim", wide / heads);
    x->dim[INNER] = sn_config_int(c, "intermediate_size", 4 * wide);
    x->dim[PLACES] = sn_config_int(c, "max_position_embeddings", 1024);
    x->dim[KINDS] = sn_config_int(c, "type_vocab_size", 2);
    x->dim[WIDE3] = 3 * wide;
    x->dim[NONE] = 1;
    for (int i = 0; i <= WIDE3; i++)
        SN_CHECK(i == QUERIES || i == KEYS || (i == VOCAB && x->family->part[0] == vit) ||
                     (x->dim[i] > 0 && x->dim[i] <= 3 * MAX_WIDTH),
                 err, SN_EFORMAT, "%s: dims of %lld", c->path, (long long)x->dim[i]);
    SN_CHECK(sn_mul_i64(heads, x->dim[HEAD], &x->dim[QUERIES]) &&
                 sn_mul_i64(keys, x->dim[HEAD], &x->dim[KEYS]) && x->dim[QUERIES] <= MAX_WIDTH && keys > 0 &&
                 x->dim[KEYS] <= MAX_WIDTH,
             err, SN_EFORMAT, "%s: %lld heads, %lld of keys", c->path, (long long)heads, (long long)keys);
    x->spread = sn_config_float(c, "initializer_range", 0.02);
    return SN_OK;
}

/* mean + spread times numbers of a normal distribution */
static SnStatus add(Init *x, const char *name, int ndim, const int64_t *dims, double mean, double spread,
                    SnError *err)
{
    const SnAllocator *memory = sn_allocator(x->m->ctx);
    size_t n = 1;
    for (int i = 0; i < ndim; i++)
        SN_CHECK(dims[i] > 0 && sn_mul_size(n, (size_t)dims[i], &n) && n <= MAX_NUMBER, err, SN_EUNSUPPORTED,
                 "%s: too many numbers", name);
    float *v = sn_alloc(memory, n * sizeof *v, _Alignof(max_align_t));
    SN_CHECK(v, err, SN_ENOMEM, "%s: no memory", name);
    uint64_t state = sn_hash64(name, strlen(name), x->seed);
    for (size_t i = 0; i < n; i++)
        v[i] = spread == 0 ? (float)mean : (float)mean + (float)spread * sn_nn_normal(&state);
    const SnStatus st = sn_weights_add(x->m->weights, name, SN_F32, ndim, dims, v, err);
    sn_free(memory, v, n * sizeof *v, _Alignof(max_align_t));
    return st;
}

static SnStatus make(Init *x, const Row *row, const char *name, SnError *err)
{
    const int64_t dims[2] = {x->dim[row->dims[0]], x->dim[row->dims[1]]};
    const double less = row->begin == RESIDUAL ? 1 / sqrt(2 * (double)x->layers) : 1;
    const bool is_drawn = row->begin != ONES && row->begin != ZEROS;
    return add(x, name, row->dims[1] == NONE ? 1 : 2, dims, row->begin == ONES,
               is_drawn ? x->spread * less : 0, err);
}

static SnStatus make_rows(Init *x, const Row *row, SnError *err)
{
    for (; row->name; row++) {
        const char *at = strstr(row->name, "%d");
        for (int64_t i = 0; i < (at ? x->layers : 1); i++) {
            char name[128];
            const int n = at ? (int)(at - row->name) : (int)strlen(row->name);
            (void)snprintf(name, sizeof name, "%.*s", n, row->name);
            if (at)
                (void)snprintf(name + n, sizeof name - (size_t)n, "%lld%s", (long long)i, at + 2);
            SN_TRY(make(x, row, name, err));
        }
    }
    return SN_OK;
}

/* ---- images ---- */

static SnStatus make_vit(Init *x, SnError *err)
{
    const SnConfig *c = &x->m->config;
    const int64_t wide = x->dim[WIDE], size = sn_config_int(c, "image_size", 224),
                  patch = sn_config_int(c, "patch_size", 16);
    SN_CHECK(patch > 0 && patch <= size && size <= MAX_SIDE, err, SN_EFORMAT,
             "%s: image_size %lld, patch_size %lld", c->path, (long long)size, (long long)patch);
    const int64_t side = size / patch;
    SN_TRY(add(x, "vit.embeddings.cls_token", 3, (const int64_t[]){1, 1, wide}, 0, x->spread, err));
    SN_TRY(add(x, "vit.embeddings.position_embeddings", 3, (const int64_t[]){1, side * side + 1, wide}, 0,
               x->spread, err));
    SN_TRY(add(x, "vit.embeddings.patch_embeddings.projection.weight", 4,
               (const int64_t[]){wide, sn_config_int(c, "num_channels", 3), patch, patch}, 0, x->spread,
               err));
    SN_TRY(add(x, "vit.embeddings.patch_embeddings.projection.bias", 1, &wide, 0, 0, err));
    return sn_config_bool(c, "qkv_bias", true) ? make_rows(x, vit_biases, err) : SN_OK;
}

/* A convolution by He et al. 2015, arXiv:1502.01852, and the norm of a batch behind it. */
static SnStatus make_conv(Init *x, const char *at, int64_t out, int64_t in, int64_t kernel, SnError *err)
{
    static const struct {
        const char *name;
        double value;
    } norm[] = {{"weight", 1}, {"bias", 0}, {"running_mean", 0}, {"running_var", 1}};
    char name[160];
    const int64_t dims[] = {out, in, kernel, kernel}, none = 0;
    SN_CHECK(out > 0 && out <= MAX_WIDTH, err, SN_EFORMAT, "%s: %lld channels", x->m->config.path,
             (long long)out);
    (void)snprintf(name, sizeof name, "resnet.%s.convolution.weight", at);
    SN_TRY(add(x, name, 4, dims, 0, sqrt(2 / (double)(out * kernel * kernel)), err));
    for (size_t i = 0; i < SN_COUNT(norm); i++) {
        (void)snprintf(name, sizeof name, "resnet.%s.normalization.%s", at, norm[i].name);
        SN_TRY(add(x, name, 1, &out, norm[i].value, 0, err));
    }
    (void)snprintf(name, sizeof name, "resnet.%s.normalization.num_batches_tracked", at);
    return sn_weights_add(x->m->weights, name, SN_I64, 0, &none, &none, err);
}

static SnStatus make_block(Init *x, const char *at, int64_t in, int64_t out, bool halves, SnError *err)
{
    const char *type = sn_config_string(&x->m->config, "layer_type", "bottleneck");
    const bool is_basic = strcmp(type, "basic") == 0;
    const int64_t inner = is_basic ? out : out / 4, width[] = {in, inner, is_basic ? out : inner, out},
                  kernel[] = {is_basic ? 3 : 1, 3, 1};
    char name[96];
    for (int i = 0; i < (is_basic ? 2 : 3); i++) {
        (void)snprintf(name, sizeof name, "%s.layer.%d", at, i);
        SN_TRY(make_conv(x, name, width[i + 1], width[i], kernel[i], err));
    }
    (void)snprintf(name, sizeof name, "%s.shortcut", at);
    return halves || in != out ? make_conv(x, name, out, in, 1, err) : SN_OK;
}

static SnStatus make_resnet(Init *x, SnError *err)
{
    const SnConfig *c = &x->m->config;
    static const int64_t depths[] = {3, 4, 6, 3}, widths[] = {256, 512, 1024, 2048};
    const SnJson *list = sn_config_get(c, "depths");
    int64_t in = sn_config_int(c, "embedding_size", 64);
    char name[64];
    SN_TRY(make_conv(x, "embedder.embedder", in, sn_config_int(c, "num_channels", 3), 7, err));
    for (uint32_t i = 0; i < (list ? list->n : SN_COUNT(depths)); i++) {
        const int64_t depth = sn_config_item(c, "depths", i, depths[i % 4]),
                      out = sn_config_item(c, "hidden_sizes", i, widths[i % 4]);
        const bool halves = i > 0 || sn_config_bool(c, "downsample_in_first_stage", false);
        SN_CHECK(depth > 0 && depth <= MAX_LAYERS, err, SN_EFORMAT, "%s: depth %lld", c->path,
                 (long long)depth);
        for (int64_t k = 0; k < depth; k++) {
            (void)snprintf(name, sizeof name, "encoder.stages.%u.layers.%lld", i, (long long)k);
            SN_TRY(make_block(x, name, k ? out : in, out, k == 0 && halves, err));
        }
        in = out;
    }
    return SN_OK;
}

/* ---- T5: spreads go by dims, so that scores need no scale ---- */

typedef struct T5 {
    int64_t wide, inner, keys, heads, vocabulary, buckets;
    double factor;
} T5;

static SnStatus t5_norm(Init *x, const T5 *t, const char *at, SnError *err)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%slayer_norm.weight", at);
    return add(x, name, 1, &t->wide, t->factor, 0, err);
}

static SnStatus t5_matrix(Init *x, const T5 *t, const char *at, const char *part, int64_t rows,
                          int64_t columns, double share, SnError *err)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s.weight", at, part);
    return add(x, name, 2, (const int64_t[]){rows, columns}, 0, t->factor / sqrt(share), err);
}

static SnStatus t5_attention(Init *x, const T5 *t, const char *at, SnError *err)
{
    const int64_t all = t->heads * t->keys;
    const double wide = (double)t->wide;
    SN_TRY(t5_matrix(x, t, at, "q", all, t->wide, wide * (double)t->keys, err));
    SN_TRY(t5_matrix(x, t, at, "k", all, t->wide, wide, err));
    SN_TRY(t5_matrix(x, t, at, "v", all, t->wide, wide, err));
    return t5_matrix(x, t, at, "o", t->wide, all, (double)all, err);
}

static SnStatus t5_feed_forward(Init *x, const T5 *t, const char *at, SnError *err)
{
    const char *act = sn_config_string(&x->m->config, "feed_forward_proj", "relu");
    const bool is_gated = strncmp(act, "gated-", 6) == 0;
    const double wide = (double)t->wide;
    SN_TRY(t5_matrix(x, t, at, is_gated ? "wi_0" : "wi", t->inner, t->wide, wide, err));
    if (is_gated)
        SN_TRY(t5_matrix(x, t, at, "wi_1", t->inner, t->wide, wide, err));
    return t5_matrix(x, t, at, "wo", t->wide, t->inner, (double)t->inner, err);
}

static SnStatus t5_stack(Init *x, const T5 *t, const char *stack, int64_t layers, SnError *err)
{
    static const struct {
        const char *name;
        SnStatus (*make)(Init *x, const T5 *t, const char *at, SnError *err);
    } part[] = {{"SelfAttention", t5_attention},
                {"EncDecAttention", t5_attention},
                {"DenseReluDense", t5_feed_forward}};
    const bool is_encoder = strcmp(stack, "encoder") == 0;
    char at[96];
    (void)snprintf(at, sizeof at, "%s.block.0.layer.0.SelfAttention.", stack);
    SN_TRY(t5_matrix(x, t, at, "relative_attention_bias", t->buckets, t->heads, (double)t->wide, err));
    for (int64_t i = 0; i < layers; i++)
        for (int k = 0, n = 0; k < 3; k++) {
            if (k == 1 && is_encoder)
                continue;
            (void)snprintf(at, sizeof at, "%s.block.%lld.layer.%d.", stack, (long long)i, n);
            SN_TRY(t5_norm(x, t, at, err));
            (void)snprintf(at, sizeof at, "%s.block.%lld.layer.%d.%s.", stack, (long long)i, n++,
                           part[k].name);
            SN_TRY(part[k].make(x, t, at, err));
        }
    (void)snprintf(at, sizeof at, "%s.final_", stack);
    return t5_norm(x, t, at, err);
}

static SnStatus make_t5(Init *x, SnError *err)
{
    const SnConfig *c = &x->m->config;
    const T5 t = {.wide = sn_config_int(c, "d_model", 512),
                  .inner = sn_config_int(c, "d_ff", 2048),
                  .keys = sn_config_int(c, "d_kv", 64),
                  .heads = sn_config_int(c, "num_heads", 8),
                  .vocabulary = sn_config_int(c, "vocab_size", 32128),
                  .buckets = sn_config_int(c, "relative_attention_num_buckets", 32),
                  .factor = sn_config_float(c, "initializer_factor", 1)};
    const int64_t layers = sn_config_int(c, "num_layers", 6),
                  behind = sn_config_int(c, "num_decoder_layers", layers);
    const int64_t dims[] = {t.wide, t.inner, t.keys, t.heads, t.vocabulary, t.buckets, layers, behind};
    for (size_t i = 0; i < SN_COUNT(dims); i++)
        SN_CHECK(dims[i] > 0 && dims[i] <= (i < 6 ? MAX_WIDTH : MAX_LAYERS), err, SN_EFORMAT,
                 "%s: dims of %lld", c->path, (long long)dims[i]);
    SN_TRY(t5_matrix(x, &t, "", "shared", t.vocabulary, t.wide, 1, err));
    SN_TRY(t5_stack(x, &t, "encoder", layers, err));
    SN_TRY(t5_stack(x, &t, "decoder", behind, err));
    return sn_config_bool(c, "tie_word_embeddings", true)
               ? SN_OK
               : t5_matrix(x, &t, "", "lm_head", t.vocabulary, t.wide, 1, err);
}

SnStatus sn_train_init(SnModel *m, uint64_t seed, SnError *err)
{
    Init x = {.m = m, .seed = seed};
    const size_t i = SN_FIND_ROW(families, type, sn_bytes_str(m->config.model_type));
    SN_CHECK(i < SN_COUNT(families), err, SN_EUNSUPPORTED, "%s: new weights of model type %s: not yet",
             m->config.path, m->config.model_type);
    x.family = &families[i];
    if (x.family->part[0])
        SN_TRY(read_dims(&x, err));
    SN_TRY(sn_weights_open_all(m->ctx, NULL, 0, &m->weights, err));
    for (size_t k = 0; k < SN_COUNT(x.family->part) && x.family->part[k]; k++)
        SN_TRY(make_rows(&x, x.family->part[k], err));
    if (x.family->make)
        SN_TRY(x.family->make(&x, err));
    const bool ties = sn_config_bool(&m->config, "tie_word_embeddings", !x.family->is_untied);
    return ties || x.family->part[0] != llama ? SN_OK : make_rows(&x, untied, err);
}
