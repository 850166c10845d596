/* sentence.c -- sentence-transformers folders: modules.json as one program from UTF-8 to vectors; cross
 * encoders.
 *
 * The chain is Transformer, Pooling, then Dense, Normalize, LayerNorm and Dropout in any order, as the folder
 * says; a folder without modules.json gets mean pooling, as Sentence Transformers does. Reimers & Gurevych
 * 2019, arXiv:1908.10084. */
#include "frontends/tasks/pipeline.h"
#include "frontends/tasks/program.h"

#include "ops/ops.h"

#include <stdio.h>

#define MAX_BATCH 32

/* ---- files ---- */

static SnStatus read_json(SnModel *m, const char *path, SnArena *arena, const SnJson **out, SnError *err)
{
    char full[SN_PATH_SIZE];
    SnJson *json = NULL;
    *out = NULL;
    SN_TRY(sn_path_join(full, m->folder, path, err));
    if (!sn_file_exists(full))
        return SN_OK;
    SN_TRY(sn_json_read(m->ctx, arena, full, &json, err));
    *out = json;
    return SN_OK;
}

/* A module's folder comes from a file: it must stay below the model's. */
static bool is_below(SnBytes path)
{
    bool ok = path.n < 200 && (path.n == 0 || path.at[0] != '/');
    for (size_t i = 0; i < path.n; i++)
        ok = ok && path.at[i] != 0 && path.at[i] != '\\' &&
             !(path.at[i] == '.' && i + 1 < path.n && path.at[i + 1] == '.');
    return ok;
}

/* ---- the chain ---- */

typedef enum ModuleKind {
    MODULE_TRANSFORMER,
    MODULE_POOLING,
    MODULE_DENSE,
    MODULE_NORMALIZE,
    MODULE_LAYER_NORM,
    MODULE_DROPOUT
} ModuleKind;
static const char *const module_names[] = {"Transformer", "Pooling",   "Dense",
                                           "Normalize",   "LayerNorm", "Dropout"};

typedef struct Module {
    ModuleKind kind;
    const char *path;     /* below the folder */
    const SnJson *config; /* its config.json, or NULL */
} Module;

typedef struct Chain {
    Module *module;
    size_t n;
    int64_t max_length;
    SnTextConfig tokenizer;
} Chain;

/* Old and new names end the same: "...models.Pooling", "...modules.pooling.Pooling". */
static bool find_kind(SnBytes type, ModuleKind *out)
{
    size_t at = type.n;
    while (at > 0 && type.at[at - 1] != '.')
        at--;
    const size_t i = SN_FIND_WORD(module_names, sn_bytes(type.at + at, type.n - at));
    *out = (ModuleKind)i;
    return i < SN_COUNT(module_names);
}

static SnStatus read_module(SnModel *m, const SnJson *row, SnArena *arena, Module *out, SnError *err)
{
    SnBytes type, path;
    SN_CHECK(sn_json_string(sn_json_get(row, "type"), &type) &&
                 sn_json_string(sn_json_get(row, "path"), &path),
             err, SN_EFORMAT, "%s/modules.json: a module without type or path", m->folder);
    SN_CHECK(find_kind(type, &out->kind), err, SN_EUNSUPPORTED, "%s/modules.json: module %.*s", m->folder,
             (int)type.n, (const char *)type.at);
    SN_CHECK(is_below(path), err, SN_EFORMAT, "%s/modules.json: path %.*s leaves the folder", m->folder,
             (int)path.n, (const char *)path.at);
    out->path = sn_arena_strndup(arena, (const char *)path.at, path.n);
    SN_CHECK(out->path, err, SN_ENOMEM, "%s: no memory", m->folder);
    SN_CHECK(out->kind != MODULE_TRANSFORMER || path.n == 0, err, SN_EUNSUPPORTED,
             "%s/modules.json: a transformer in folder %s", m->folder, out->path);
    const char *config = sn_arena_printf(arena, "%s/config.json", out->path);
    SN_CHECK(config, err, SN_ENOMEM, "%s: no memory", m->folder);
    return out->kind == MODULE_TRANSFORMER ? SN_OK : read_json(m, config, arena, &out->config, err);
}

/* sentence_bert_config.json's max_seq_length, else the smaller of the tokenizer's and the model's. */
static SnStatus find_max_length(SnModel *m, SnArena *arena, int64_t *out, SnError *err)
{
    const SnJson *json = NULL;
    SN_TRY(read_json(m, "sentence_bert_config.json", arena, &json, err));
    if (sn_json_int(sn_json_get(json, "max_seq_length"), out)) {
        SN_CHECK(*out >= 1 && *out <= INT32_MAX, err, SN_EFORMAT,
                 "%s/sentence_bert_config.json: max_seq_length is %lld", m->folder, (long long)*out);
        return SN_OK;
    }
    const int64_t own = sn_text_limit(m), positions = sn_config_int(&m->config, "max_position_embeddings", 0);
    *out = own && positions ? (own < positions ? own : positions) : own ? own : positions;
    return SN_OK;
}

static SnStatus read_chain(SnModel *m, SnArena *arena, Chain *out, SnError *err)
{
    static Module mean[] = {{.kind = MODULE_TRANSFORMER}, {.kind = MODULE_POOLING}};
    const SnJson *json = NULL;
    SN_TRY(find_max_length(m, arena, &out->max_length, err));
    SN_TRY(sn_text_config(m, &out->tokenizer, err));
    SN_TRY(read_json(m, "modules.json", arena, &json, err));
    if (!json) {
        out->module = mean;
        out->n = SN_COUNT(mean);
        return SN_OK;
    }
    SN_CHECK(json->kind == SN_JSON_ARRAY && json->n >= 1 && json->n <= 16, err, SN_EFORMAT,
             "%s/modules.json: expected 1 to 16 modules", m->folder);
    out->module = sn_arena_array(arena, json->n, sizeof *out->module);
    SN_CHECK(out->module, err, SN_ENOMEM, "%s: no memory", m->folder);
    out->n = json->n;
    for (uint32_t i = 0; i < json->n; i++) {
        SN_TRY(read_module(m, sn_json_at(json, i), arena, &out->module[i], err));
        SN_CHECK((i == 0) == (out->module[i].kind == MODULE_TRANSFORMER) &&
                     (i == 1) == (out->module[i].kind == MODULE_POOLING),
                 err, SN_EUNSUPPORTED, "%s/modules.json: expected a transformer, then pooling, then the rest",
                 m->folder);
    }
    return SN_OK;
}

/* ---- modules as graphs ---- */

/* Order of concatenation is that of Sentence Transformers. */
static const struct {
    const char *mode, *flag; /* of the newer and the older form of the config */
} poolings[] = {
    {"cls", "pooling_mode_cls_token"},
    {"max", "pooling_mode_max_tokens"},
    {"mean", "pooling_mode_mean_tokens"},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
    {"weightedmean", "pooling_mode_weightedmean_tokens"},
    {"lasttoken", "pooling_mode_lasttoken"},
};

static bool is_wanted(const SnJson *config, size_t i)
{
    const SnJson *mode = sn_json_get(config, "pooling_mode");
    bool flag = false;
    if (!config)
        return i == 2;
    for (uint32_t k = 0; mode && mode->kind == SN_JSON_ARRAY && k < mode->n; k++)
        flag = flag || sn_json_is(&mode->u.child[k], poolings[i].mode);
    if (mode && mode->kind == SN_JSON_STRING)
        return sn_json_is(mode, poolings[i].mode);
    return flag || sn_json_bool_of(config, poolings[i].flag, false);
}

static SnValue pool_one(SnGraph *g, size_t i, SnValue x, SnValue mask)
{
    switch (i) {
    case 0:
        return sn_cls_pool(g, x);
    case 1:
        return sn_max_pool(g, x, mask);
    case 2:
        return sn_mean_pool(g, x, mask);
    case 3:
        return sn_mean_sqrt_pool(g, x, mask);
    case 4:
        return sn_weighted_mean_pool(g, x, mask);
    default:
        return sn_last_pool(g, x, mask);
    }
}

static SnValue pool(SnModel *m, SnGraph *g, const Module *module, SnValue x, SnValue mask)
{
    SnValue part[SN_COUNT(poolings)];
    int n = 0;
    for (size_t i = 0; i < SN_COUNT(poolings); i++)
        if (is_wanted(module->config, i))
            part[n++] = pool_one(g, i, x, mask);
    if (n == 0)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "%s/%s/config.json: no pooling mode that is known",
                             m->folder, module->path);
    return n == 1 ? part[0] : sn_concat(g, n, part, 1);
}

/* A module's own weights join those of the model under "<path>.<name>". */
static SnStatus add_weights(SnModel *m, const Module *module, SnError *err)
{
    char path[SN_PATH_SIZE], name[512];
    SnSafetensors f = {0};
    SN_CHECK(snprintf(path, sizeof path, "%s/%s/model.safetensors", m->folder, module->path) < SN_PATH_SIZE,
             err, SN_EINVAL, "%s: the path is too long", m->folder);
    SN_TRY(sn_safetensors_open(m->ctx, path, &f, err));
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < f.ntensor; i++) {
        const SnStTensor *t = &f.tensor[i];
        if (snprintf(name, sizeof name, "%s.%.*s", module->path, (int)t->name.n, (const char *)t->name.at) >=
                (int)sizeof name ||
            !sn_dtype_is_float(t->dtype))
            st = sn_fail(err, SN_EUNSUPPORTED, "%s: tensor %.*s", path, (int)t->name.n,
                         (const char *)t->name.at);
        else if (!sn_weights_find(m->weights, name))
            st = sn_weights_add(m->weights, name, t->dtype, t->ndim, t->dims, t->bytes.at, err);
    }
    sn_safetensors_close(&f);
    return st;
}

static SnValue own_param(SnModel *m, SnGraph *g, const Module *module, const char *name)
{
    char full[512];
    if (snprintf(full, sizeof full, "%s.%s", module->path, name) >= (int)sizeof full)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "%s: the name is too long", name);
    const SnStTensor *t = sn_weights_find(m->weights, full);
    return t ? sn_cast(g, sn_param(g, full, t->dtype, t->ndim, t->dims), SN_F32) : sn_none();
}

/* torch.nn classes ▶ ops; Identity is no op. */
static const char *const dense_acts[][2] = {
    {"Identity", ""}, {"Tanh", "tanh"}, {"ReLU", "relu"},   {"GELU", "gelu"},         {"Sigmoid", "sigmoid"},
    {"SiLU", "silu"}, {"Mish", "mish"}, {"ReLU6", "relu6"}, {"Softplus", "softplus"},
};

static SnValue dense(SnModel *m, SnGraph *g, const Module *module, SnValue x)
{
    SnBytes act = sn_bytes_str("Tanh");
    const SnValue w = own_param(m, g, module, "linear.weight");
    if (!w.ref)
        return sn_graph_fail(g, SN_EFORMAT, "%s/%s/model.safetensors: no tensor linear.weight", m->folder,
                             module->path);
    const SnValue y = sn_linear(g, x, w, own_param(m, g, module, "linear.bias"));
    (void)sn_json_string(sn_json_get(module->config, "activation_function"), &act);
    size_t at = act.n;
    while (at > 0 && act.at[at - 1] != '.')
        at--;
    const size_t i = sn_find_row(dense_acts[0], SN_COUNT(dense_acts), sizeof *dense_acts,
                                 sn_bytes(act.at + at, act.n - at));
    if (i < SN_COUNT(dense_acts))
        return *dense_acts[i][1] ? sn_op(g, dense_acts[i][1], &y, 1, NULL, 0) : y;
    return sn_graph_fail(g, SN_EUNSUPPORTED, "%s/%s/config.json: activation %.*s", m->folder, module->path,
                         (int)act.n, (const char *)act.at);
}

static SnValue apply_module(SnModel *m, SnGraph *g, const Module *module, SnValue x)
{
    switch (module->kind) {
    case MODULE_DENSE:
        return dense(m, g, module, x);
    case MODULE_NORMALIZE:
        return sn_l2_normalize(g, x, -1, 1e-12);
    case MODULE_LAYER_NORM:
        return sn_layer_norm(g, x, own_param(m, g, module, "norm.weight"),
                             own_param(m, g, module, "norm.bias"), 1e-5);
    case MODULE_TRANSFORMER:
    case MODULE_POOLING:
    case MODULE_DROPOUT:
        break;
    }
    return x;
}

/* ---- embed ---- */

static SnWindowing windowing(int64_t max_length, bool has_pair, const SnTextConfig *tokenizer)
{
    return (SnWindowing){.has_pair = has_pair,
                         .truncation = max_length ? SN_TRUNCATE_LONGEST_FIRST : SN_TRUNCATE_NONE,
                         .max_length = max_length,
                         .truncate_left = tokenizer->cuts_left};
}

SnValue sn_sentence_embed(SnModel *m, SnGraph *g, SnModelProgram *p, const void *chain, int64_t max_length)
{
    const Chain *c = chain;
    SnTextNet net = {.windowing = windowing(max_length, false, &c->tokenizer),
                     .gives_types = c->tokenizer.gives_types,
                     .head = "feature-extraction",
                     .want = {"last_hidden_state"}};
    sn_text_net(m, g, p, &net);
    SnValue x = pool(m, g, &c->module[1], net.out[0], net.x.mask);
    for (size_t i = 2; i < c->n; i++)
        x = apply_module(m, g, &c->module[i], x);
    return x;
}

static void fill_embed(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    const Chain *c = user;
    sn_output(g, "embeddings", sn_sentence_embed(m, g, p, c, c->max_length));
}

SnStatus sn_sentence_chain(SnModel *m, SnArena *arena, const void **chain, int64_t *max_length, SnError *err)
{
    Chain *c = sn_arena_alloc(arena, sizeof *c);
    SN_CHECK(c, err, SN_ENOMEM, "%s: no memory", m->folder);
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_model_need(m, err));
    SN_TRY(read_chain(m, arena, c, err));
    for (size_t i = 2; i < c->n; i++)
        if (c->module[i].kind == MODULE_DENSE || c->module[i].kind == MODULE_LAYER_NORM)
            SN_TRY(add_weights(m, &c->module[i], err));
    *chain = c;
    *max_length = c->max_length;
    return SN_OK;
}

static SnStatus embed_program(SnModel *m, SnModelProgram **out, SnError *err)
{
    SnArena arena;
    const void *chain = NULL;
    int64_t max_length = 0;
    *out = m->opened ? m->opened : sn_model_find_program(m, "embed");
    if (*out)
        return m->opened ? sn_opened_need(m, SN_TYPED_EMBED, err) : SN_OK;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = sn_sentence_chain(m, &arena, &chain, &max_length, err);
    if (st == SN_OK)
        st = sn_model_program(m, "embed", fill_embed, (void *)(uintptr_t)chain, out, err);
    sn_arena_clear(&arena);
    return st;
}

/* Texts in order of length, so that the rows of a batch are about equally long; ties by position. */
static size_t *by_length(SnArena *arena, const SnBytes *text, size_t n)
{
    float *length = sn_arena_array(arena, n + 1, sizeof *length);
    for (size_t i = 0; length && i < n; i++)
        length[i] = (float)text[i].n;
    return length ? sn_pipe_rank(arena, length, n) : NULL;
}

/* Copies rows of a batch's result to the places of their texts; the first batch makes the whole result. */
static SnStatus place_rows(SnModel *m, const SnNamedTensor *part, const size_t *place, size_t n,
                           SnResults **out, SnError *err)
{
    SnView whole = part->view;
    size_t row = sn_dtype_size(whole.dtype);
    for (int32_t i = 1; i < whole.ndim; i++)
        row *= (size_t)whole.dims[i];
    whole.dims[0] = (int64_t)n;
    if (!*out) {
        SN_TRY(sn_results_create(m->ctx, 1, out, err));
        SN_TRY(sn_results_reserve(*out, part->name, &whole, err));
    }
    uint8_t *to = sn_results_get(*out, 0)->view.data;
    for (int64_t i = 0; i < part->view.dims[0]; i++)
        memcpy(to + place[i] * row, (const uint8_t *)part->view.data + (size_t)i * row, row);
    return SN_OK;
}

/* Runs a program over texts (or pairs) in batches; rows of its only output go back to the places of their
 * texts. */
static SnStatus run_batches(SnModel *m, SnModelProgram *p, const SnBytes *text, const SnBytes *pair, size_t n,
                            SnResults **out, SnError *err)
{
    SnArena arena;
    SnResults *whole = NULL;
    SnBytes part[2][MAX_BATCH] = {{{0}}};
    sn_arena_init(&arena, sn_allocator(m->ctx));
    const size_t *order = by_length(&arena, text, n);
    SnStatus st = order ? SN_OK : sn_fail(err, SN_ENOMEM, "no memory for %zu texts", n);
    for (size_t at = 0; st == SN_OK && at < n; at += MAX_BATCH) {
        const size_t count = n - at < MAX_BATCH ? n - at : MAX_BATCH;
        SnNamedTensor in[2] = {{.name = "text"}, {.name = "pair"}};
        SnResults *r = NULL;
        for (size_t i = 0; i < count; i++) {
            part[0][i] = text[order[at + i]];
            part[1][i] = pair ? pair[order[at + i]] : (SnBytes){0};
        }
        for (int k = 0; st == SN_OK && k < (pair ? 2 : 1); k++)
            st = sn_text_view(&arena, part[k], count, &in[k].view, err);
        if (st == SN_OK)
            st = sn_model_run(m, p, in, pair ? 2 : 1, &r, err);
        if (st == SN_OK)
            st = place_rows(m, sn_results_get(r, 0), order + at, n, &whole, err);
        sn_results_destroy(r);
    }
    sn_arena_clear(&arena);
    return sn_results_finish(st, whole, out);
}

SnStatus sn_model_embed(SnModel *m, const SnBytes *text, size_t ntext, SnResults **out, SnError *err)
{
    SnModelProgram *p = NULL;
    SN_CHECK(ntext > 0, err, SN_EINVAL, "embed: no texts");
    SN_TRY(embed_program(m, &p, err));
    return run_batches(m, p, text, NULL, ntext, out, err);
}

/* ---- similarity ---- */

static SnValue similarity(SnGraph *g, const char *name, SnValue x)
{
    if (strcmp(name, "cosine") == 0)
        x = sn_l2_normalize(g, x, -1, 1e-12);
    if (strcmp(name, "cosine") == 0 || strcmp(name, "dot") == 0)
        return sn_contract(g, "id,jd->ij", x, x, SN_F32);
    const SnValue one = sn_const_int(g, SN_I64, 1), n = sn_dim(g, x, 0), d = sn_dim(g, x, 1);
    const SnValue gap =
        sn_sub(g, sn_reshape(g, x, 3, (SnValue[]){n, one, d}), sn_reshape(g, x, 3, (SnValue[]){one, n, d}));
    if (strcmp(name, "euclidean") == 0)
        return sn_neg(g, sn_sqrt(g, sn_reduce(g, "add", sn_mul(g, gap, gap), 1, (const int[]){2}, false)));
    if (strcmp(name, "manhattan") == 0)
        return sn_neg(g, sn_reduce(g, "add", sn_abs(g, gap), 1, (const int[]){2}, false));
    return sn_graph_fail(g, SN_EUNSUPPORTED, "similarity function %s", name);
}

static void fill_similarity(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    (void)m;
    (void)p;
    const SnValue dims[2] = {sn_symbol(g, "n", 1, INT32_MAX), sn_symbol(g, "width", 1, INT32_MAX)};
    sn_output(g, "similarity", similarity(g, user, sn_input(g, "embeddings", SN_F32, 2, dims)));
}

SnStatus sn_model_similarity(SnModel *m, const SnView *embeddings, SnResults **out, SnError *err)
{
    SnArena arena;
    const SnJson *json = NULL;
    SnBytes name;
    SnModelProgram *p = NULL;
    char fn[32] = "cosine";
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = read_json(m, "config_sentence_transformers.json", &arena, &json, err);
    if (st == SN_OK && sn_json_string(sn_json_get(json, "similarity_fn_name"), &name) && name.n < sizeof fn) {
        memcpy(fn, name.at, name.n);
        fn[name.n] = 0;
    }
    sn_arena_clear(&arena);
    if (st == SN_OK)
        st = sn_model_program(m, "similarity", fill_similarity, fn, &p, err);
    const SnNamedTensor in = {"embeddings", *embeddings};
    return st == SN_OK ? sn_model_run(m, p, &in, 1, out, err) : st;
}

/* ---- cross encoders ---- */

/* One label: a sigmoid score; more: logits as they are, unless the config names an activation. */
SnValue sn_sentence_rank(SnModel *m, SnGraph *g, SnModelProgram *p, const SnTextConfig *tokenizer,
                         int64_t max_length)
{
    SnTextNet net = {.windowing = windowing(max_length, true, tokenizer),
                     .gives_types = tokenizer->gives_types,
                     .head = "text-classification",
                     .want = {"logits"}};
    sn_text_net(m, g, p, &net);
    const SnJson *own = sn_config_get(&m->config, "sentence_transformers");
    const SnJson *act = sn_json_get(own, "activation_fn");
    SnBytes name = sn_bytes_str("");
    bool sigmoid = sn_config_labels(&m->config) == 1;
    if (sn_json_string(act, &name))
        sigmoid = sn_bytes_ends(name, "Sigmoid");
    return sigmoid ? sn_sigmoid(g, net.out[0]) : net.out[0];
}

/* Scores of one label are a vector. */
static void fill_rank(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnValue x = sn_sentence_rank(m, g, p, user, sn_text_limit(m));
    if (sn_config_labels(&m->config) == 1)
        x = sn_reshape(g, x, 1, (SnValue[]){sn_dim(g, x, 0)});
    sn_output(g, "scores", x);
}

static SnStatus rank_program(SnModel *m, SnModelProgram **out, SnError *err)
{
    SnTextConfig tokenizer;
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_model_need(m, err));
    SN_TRY(sn_text_config(m, &tokenizer, err));
    return sn_model_program(m, "rank", fill_rank, &tokenizer, out, err);
}

SnStatus sn_model_rank(SnModel *m, const SnBytes *text, const SnBytes *pair, size_t n, SnResults **out,
                       SnError *err)
{
    SnModelProgram *p = m->opened;
    SN_CHECK(n > 0, err, SN_EINVAL, "rank: no pairs");
    if (m->opened)
        SN_TRY(sn_opened_need(m, SN_TYPED_CLASSIFY, err));
    else
        SN_TRY(rank_program(m, &p, err));
    return run_batches(m, p, text, pair, n, out, err);
}
