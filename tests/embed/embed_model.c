/* embed_model.c -- the program and the model that tests/embed shares. */
#define _XOPEN_SOURCE 700
#include "tests/embed/embed_model.h"

#include "runtime/bytes.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- a program ---- */

/* Constant, so that all that use it share it: an iota would do, but has no sign. */
static const float weights[EMBED_WIDTH * EMBED_WIDTH] = {
    0.5f, -0.25f, 0.125f, 1, [18] = -0.5f, [40] = 0.75f, [77] = -1, [130] = 0.375f, [200] = 0.25f, [255] = 1};

static bool find_weights(void *self, const char *name, SnSourceTensor *out)
{
    (void)self;
    const bool is_w = strcmp(name, "w") == 0;
    if (!is_w && strcmp(name, "b") != 0)
        return false;
    *out = (SnSourceTensor){.dtype = SN_F32, .ndim = is_w ? 2 : 1, .dims = {EMBED_WIDTH, EMBED_WIDTH}};
    out->bytes = sn_bytes(weights, sizeof(float) * EMBED_WIDTH * (is_w ? EMBED_WIDTH : 1));
    return true;
}

static bool identify_weights(void *self, SnHash128 *out)
{
    (void)self;
    *out = sn_hash128(weights, sizeof weights, 0);
    return true;
}

/* Each layer also gives the sum of its squares as a row. */
static SnValue loop_of_layers(SnGraph *g, SnValue x, SnValue w, SnValue n, SnValue width)
{
    SnStore *s = sn_graph_store(g);
    const SnValue b = sn_param(g, "b", SN_F32, 1, (int64_t[]){EMBED_WIDTH});
    sn_fn_begin(g, "layer");
    (void)sn_fn_arg(g, sn_type_scalar(s, SN_I64));
    const SnValue h = sn_fn_arg(g, sn_type_tensor(s, SN_F32, 2, (SnRef[]){n.ref, width.ref}));
    const SnValue y = sn_tanh(g, sn_add(g, sn_contract(g, "ij,kj->ik", h, w, SN_F32), b));
    const SnValue energy = sn_reduce(g, "add", sn_mul(g, y, y), 2, (const int[]){0, 1}, false);
    const SnValue body = sn_fn_end(g, sn_tuple(g, 2, (SnValue[]){y, energy}, NULL));
    return sn_loop(g, body, sn_none(), sn_const_int(g, SN_I64, EMBED_LAYERS), 1, &x, 0, NULL);
}

/* -x where the carry is above a limit, else x. */
static SnValue maybe_negate(SnGraph *g, SnValue x, SnValue total)
{
    const SnTypeId type = sn_term(sn_graph_store(g), x.ref) ? sn_term(sn_graph_store(g), x.ref)->type : 0;
    sn_fn_begin(g, "keep");
    const SnValue keep = sn_fn_end(g, sn_fn_arg(g, type));
    sn_fn_begin(g, "negate");
    const SnValue negate = sn_fn_end(g, sn_neg(g, sn_fn_arg(g, type)));
    return sn_cond(g, sn_lt(g, total, sn_const(g, SN_F32, 1)), keep, negate, 1, &x);
}

/* Lists as rows of the longest list, filled with 9. */
static SnValue pad_lists(SnGraph *g, SnValue ids, SnValue n)
{
    const SnValue one = sn_const_int(g, SN_I64, 1), len = sn_get(g, ids, 1);
    const SnValue bound = sn_const_int(g, SN_I64, EMBED_LONGEST);
    const SnValue width = sn_measure(g, sn_reduce(g, "max", len, 0, NULL, false), bound);
    const SnValue column[2] = {n, one}, j = sn_iota(g, SN_I64, 1, 2, (SnValue[]){n, width});
    const SnValue at = sn_add(g, j, sn_reshape(g, sn_get(g, ids, 0), 2, column));
    return sn_where(g, sn_lt(g, j, sn_reshape(g, len, 2, column)),
                    sn_gather(g, sn_get(g, ids, 2), 1, (const int[]){0}, &at, "zero"),
                    sn_const_int(g, SN_I32, 9));
}

void embed_graph(SnGraph *g)
{
    static const SnSource source = {.find = find_weights, .identity = identify_weights};
    sn_graph_source(g, &source);
    const SnValue n = sn_symbol(g, "n", 1, 4096), width = sn_const_int(g, SN_I64, EMBED_WIDTH);
    const SnValue x = sn_input(g, "x", SN_F32, 2, (SnValue[]){n, width});
    const SnValue ids = sn_input_list(g, "ids", SN_I32, 1, &n);
    const SnValue total = sn_carry(g, "total", sn_const(g, SN_F32, 0.5));
    const SnValue w = sn_param(g, "w", SN_F32, 2, (int64_t[]){EMBED_WIDTH, EMBED_WIDTH});
    const SnValue first = sn_contract(g, "ij,kj->ik", x, w, SN_F32); /* of packed weights */
    const SnValue layers = loop_of_layers(g, first, w, n, width);
    const SnValue y = maybe_negate(g, sn_get(g, layers, 0), total);
    const SnValue sum = sn_reduce(g, "add", sn_mul(g, y, y), 2, (const int[]){0, 1}, false);
    sn_next(g, total, sn_add(g, total, sum));
    sn_output(g, "y", y);
    sn_output_stream(g, "energy", sn_get(g, layers, 1));
    sn_output(g, "ids", pad_lists(g, ids, n));
    sn_output(g, "total", sn_add(g, total, sum));
}

/* ---- a model ---- */

#define H EMBED_HIDDEN

typedef struct Tensor {
    const char *name;
    int64_t rows, cols; /* cols 0: one dim */
} Tensor;

static const Tensor tensors[] = {
    {"embeddings.word_embeddings.weight", EMBED_VOCAB, H},
    {"embeddings.position_embeddings.weight", 12, H},
    {"embeddings.token_type_embeddings.weight", 2, H},
    {"embeddings.LayerNorm.weight", H, 0},
    {"embeddings.LayerNorm.bias", H, 0},
    {"pooler.dense.weight", H, H},
    {"pooler.dense.bias", H, 0},
};

/* Of each layer, below encoder.layer.N. */
static const Tensor layer_tensors[] = {
    {"attention.self.query.weight", H, H},       {"attention.self.query.bias", H, 0},
    {"attention.self.key.weight", H, H},         {"attention.self.key.bias", H, 0},
    {"attention.self.value.weight", H, H},       {"attention.self.value.bias", H, 0},
    {"attention.output.dense.weight", H, H},     {"attention.output.dense.bias", H, 0},
    {"attention.output.LayerNorm.weight", H, 0}, {"attention.output.LayerNorm.bias", H, 0},
    {"intermediate.dense.weight", 2 * H, H},     {"intermediate.dense.bias", 2 * H, 0},
    {"output.dense.weight", H, 2 * H},           {"output.dense.bias", H, 0},
    {"output.LayerNorm.weight", H, 0},           {"output.LayerNorm.bias", H, 0},
};

static const Tensor dense_tensors[] = {{"linear.weight", 4, H}, {"linear.bias", 4, 0}};

/* Filled with the number of layers. */
static const char config_format[] =
    "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"dtype\":\"float32\",\"hidden_act\":"
    "\"gelu\","
    "\"hidden_size\":8,\"intermediate_size\":16,\"layer_norm_eps\":1e-12,\"max_position_embeddings\":12,"
    "\"num_attention_heads\":2,\"num_hidden_layers\":%d,\"pad_token_id\":0,\"type_vocab_size\":2,"
    "\"vocab_size\":27}";

static const struct {
    const char *path, *text;
} files[] = {
    {"tokenizer.json",
     "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
     "{\"id\":0,\"content\":\"[PAD]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
     "\"normalized\":false,\"special\":true},"
     "{\"id\":1,\"content\":\"[UNK]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
     "\"normalized\":false,\"special\":true}],"
     "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
     "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
     "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
     "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
     "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":["
     "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
     "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},"
     "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],\"special_tokens\":{"
     "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},"
     "\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}},"
     "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
     "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
     "\"max_input_chars_per_word\":100,\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,"
     "\"[MASK]\":4,\"hello\":5,\"wor\":6,\"##ld\":7,\"##l\":8,\"##d\":9,\"w\":10,\"##o\":11,\"##r\":12,"
     "\"1\":13,\"##2\":14,\".\":15,\"5\":16,\"a\":17,\"b\":18,\"don\":19,\"'\":20,\"t\":21,\"x\":22,"
     "\"c\":23,\"d\":24,\"##e\":25,\",\":26}}}"},
    {"tokenizer_config.json", "{\"model_max_length\":10,\"tokenizer_class\":\"BertTokenizer\","
                              "\"pad_token\":\"[PAD]\",\"unk_token\":\"[UNK]\",\"cls_token\":\"[CLS]\"}"},
    {"modules.json", "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.models."
                     "Transformer\"},{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":"
                     "\"sentence_transformers.models.Pooling\"},{\"idx\":2,\"name\":\"2\",\"path\":"
                     "\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"},{\"idx\":3,\"name\":"
                     "\"3\",\"path\":\"3_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}]"},
    {"sentence_bert_config.json", "{\"max_seq_length\":9}"},
    {"1_Pooling/config.json", "{\"word_embedding_dimension\":8,\"pooling_mode_mean_tokens\":true}"},
    {"2_Dense/config.json", "{\"in_features\":8,\"out_features\":4,\"bias\":true,\"activation_function\":"
                            "\"torch.nn.modules.activation.Tanh\"}"},
};

static void fill_tensor(const Tensor *t, const char *name, uint32_t *seed, float *at, SnNamedTensor *out)
{
    out->name = name;
    out->view = sn_view(SN_F32, at, t->cols ? 2 : 1, (int64_t[]){t->rows, t->cols});
    for (int64_t k = 0; k < t->rows * (t->cols ? t->cols : 1); k++)
        at[k] = 0.5f * embed_noise(seed) + (strstr(name, "LayerNorm.weight") ? 1.0f : 0.0f);
}

/* The n tensors of a table, then those of each layer. */
static SnStatus save_tensors(SnContext *ctx, const char *path, const Tensor *table, size_t n, int layers,
                             SnError *err)
{
    enum { MOST = EMBED_VOCAB * H, NAME = 80 };
    const size_t each = SN_COUNT(layer_tensors), all = n + each * (size_t)layers;
    uint32_t seed = 11;
    SnNamedTensor *t = calloc(all, sizeof *t);
    float *data = calloc(all * MOST, sizeof *data);
    char(*name)[NAME] = calloc(all, sizeof *name);
    SnStatus st = t && data && name ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    for (size_t i = 0; i < all && st == SN_OK; i++) {
        const Tensor *of = i < n ? &table[i] : &layer_tensors[(i - n) % each];
        if (i >= n)
            (void)snprintf(name[i], NAME, "encoder.layer.%zu.%s", (i - n) / each, of->name);
        fill_tensor(of, i < n ? of->name : name[i], &seed, data + i * MOST, &t[i]);
    }
    if (st == SN_OK)
        st = sn_tensors_save(ctx, path, t, all, err);
    free(name);
    free(data);
    free(t);
    return st;
}

static SnStatus save_text(SnContext *ctx, const char *folder, const char *name, const char *text,
                          SnError *err)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return sn_file_write(ctx, path, &(SnBytes){(const uint8_t *)text, strlen(text)}, 1, err);
}

SnStatus embed_layers_create(SnContext *ctx, int layers, char folder[64], SnError *err)
{
    static const char *const folders[] = {"1_Pooling", "2_Dense", "3_Normalize"};
    char path[128], config[512];
    (void)snprintf(folder, 64, "/tmp/sinter-embed-XXXXXX");
    SN_CHECK(mkdtemp(folder), err, SN_EIO, "%s: cannot make a folder", folder);
    for (size_t i = 0; i < SN_COUNT(folders); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        SN_CHECK(mkdir(path, 0700) == 0, err, SN_EIO, "%s: cannot make a folder", path);
    }
    (void)snprintf(config, sizeof config, config_format, layers);
    SN_TRY(save_text(ctx, folder, "config.json", config, err));
    for (size_t i = 0; i < SN_COUNT(files); i++)
        SN_TRY(save_text(ctx, folder, files[i].path, files[i].text, err));
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    SN_TRY(save_tensors(ctx, path, tensors, SN_COUNT(tensors), layers, err));
    (void)snprintf(path, sizeof path, "%s/2_Dense/model.safetensors", folder);
    return save_tensors(ctx, path, dense_tensors, SN_COUNT(dense_tensors), 0, err);
}

SnStatus embed_model_create(SnContext *ctx, char folder[64], SnError *err)
{
    return embed_layers_create(ctx, 1, folder, err);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void embed_folder_remove(const char *folder)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
