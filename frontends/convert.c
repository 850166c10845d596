/* convert.c -- models from any format that is read to any that is written.
 *
 * What is written is a list of tensors, each made of tensors that are read (SnRecode); writers ask for their
 * bytes one after the other, so memory holds a piece of one. */
#include "frontends/convert.h"

#include "frontends/gguf/convert.h"
#include "frontends/gguf/export.h"
#include "frontends/hf/adapter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t sn_parse_size(const char *text)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},       {"B", 1},         {"KB", 1000},       {"MB", 1000000}, {"GB", 1000000000},
                 {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
    char *end = NULL;
    const unsigned long long n = strtoull(text, &end, 10);
    const size_t i = SN_FIND_ROW(units, unit, sn_bytes_str(end));
    return end != text && n < 1000000000 && i < SN_COUNT(units) ? n * units[i].bytes : 0;
}

/* Forms by the names that people give them. `more` is what the first, last and every third layer take for the
 * two matrices that matter most; `early` what the first ones take. */
static const struct Format {
    const char *name, *type, *more, *early;
    int file_type; /* general.file_type */
} formats[] = {
    {"f32", "F32", NULL, NULL, 0},        {"f16", "F16", NULL, NULL, 1},
    {"bf16", "BF16", NULL, NULL, 32},     {"q8_0", "Q8_0", NULL, NULL, 7},
    {"q4_0", "Q4_0", NULL, NULL, 2},      {"q4_1", "Q4_1", NULL, NULL, 3},
    {"q5_0", "Q5_0", NULL, NULL, 8},      {"q5_1", "Q5_1", NULL, NULL, 9},
    {"q4_k_s", "Q4_K", NULL, "Q5_K", 14}, {"q4_k_m", "Q4_K", "Q6_K", NULL, 15},
    {"q5_k_s", "Q5_K", NULL, NULL, 16},   {"q5_k_m", "Q5_K", "Q6_K", NULL, 17},
    {"q6_k", "Q6_K", NULL, NULL, 18},     {"q4_k", "Q4_K", "Q6_K", NULL, 15},
    {"q5_k", "Q5_K", "Q6_K", NULL, 17},   {"q8", "Q8_0", NULL, NULL, 7},
    {"q4", "Q4_K", "Q6_K", NULL, 15},
};

typedef struct Format Format;

bool sn_convert_format(size_t i, const char **name)
{
    *name = i < SN_COUNT(formats) ? formats[i].name : NULL;
    return *name != NULL;
}

static const Format *find_format(const char *name)
{
    const size_t i = SN_FIND_ROW(formats, name, sn_bytes_str(name));
    return i < SN_COUNT(formats) ? &formats[i] : NULL;
}

/* ---- which type a tensor gets in a GGUF file: the mixtures of llama.cpp ---- */

static bool has_part(SnBytes name, const char *part)
{
    const size_t n = strlen(part);
    for (size_t i = 0; i + n <= name.n; i++)
        if (memcmp(name.at + i, part, n) == 0)
            return true;
    return false;
}

static int64_t layer_of(SnBytes name)
{
    int64_t n = 0;
    for (size_t i = 4; i < name.n && i < 12 && name.at[i] >= '0' && name.at[i] <= '9'; i++)
        n = 10 * n + (name.at[i] - '0');
    return n;
}

static bool is_quantizable(SnBytes name, int ndim)
{
    static const char *const whole[] = {"_norm.",      "ffn_gate_inp", "position_embd",
                                        "token_types", "ssm_conv1d.",  "rope_f",
                                        ".bias",       "ssm_a",        "ssm_d"};
    for (size_t i = 0; i < SN_COUNT(whole); i++)
        if (has_part(name, whole[i]))
            return false;
    return ndim >= 2;
}

static const char *mixed(const SnConverter *c, const Format *f, SnBytes name, int64_t cols)
{
    const int64_t i = layer_of(name), n = c->nlayer, block = sn_ggml_type_named(f->type)->block;
    const bool is_head =
        sn_bytes_is(name, "output.weight") || (c->is_tied && sn_bytes_is(name, "token_embd.weight"));
    const bool is_v = has_part(name, "attn_v.") || has_part(name, "attn_qkv.");
    const bool is_down = has_part(name, "ffn_down.") || has_part(name, "ffn_down_exps.");
    const bool matters = i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    if (is_head)
        return cols % block != 0 || strcmp(f->type, "Q8_0") == 0 ? "Q8_0" : "Q6_K";
    if (c->nexpert == 8 && (is_v || has_part(name, "attn_k.")))
        return "Q8_0";
    if (c->nexpert == 8 && has_part(name, "attn_output.") && strcmp(f->type, "Q4_K") == 0)
        return "Q5_K";
    if ((is_v || is_down) && f->more && matters)
        return f->more;
    if (f->early && ((is_v && i < 4) || (is_down && i < n / 8)))
        return f->early;
    return f->type;
}

/* Rows that are no whole blocks of a type become the next larger one that has smaller blocks. */
static const SnGgmlType *type_for(const SnConverter *c, const Format *f, SnBytes name, int ndim, int64_t cols)
{
    static const char *const instead[][2] = {{"Q4_K", "Q5_0"}, {"Q5_K", "Q5_1"}, {"Q6_K", "Q8_0"}};
    const SnGgmlType *type = sn_ggml_type_named(f->type);
    if (!is_quantizable(name, ndim))
        return sn_ggml_type_named("F32");
    if (type->dtype != SN_NODTYPE)
        return type;
    type = sn_ggml_type_named(mixed(c, f, name, cols));
    for (size_t k = 0; cols % type->block != 0 && k < SN_COUNT(instead); k++)
        if (strcmp(type->name, instead[k][0]) == 0)
            type = sn_ggml_type_named(instead[k][1]);
    return cols % type->block != 0 ? sn_ggml_type_named("F16") : type;
}

/* ---- the list ---- */

static SnStatus add_out(SnConverter *c, const SnOutTensor *o, SnError *err)
{
    SnOutTensor own = *o;
    SN_CHECK(sn_recode_size(&own.recode, &own.size), err, SN_EUNSUPPORTED,
             "%s: tensor %.*s: its rows are no whole blocks", c->name, (int)o->name.n,
             (const char *)o->name.at);
    SN_CHECK(sn_vec_push(c->arena.memory, &c->out, own), err, SN_ENOMEM, "%s: no memory", c->name);
    return SN_OK;
}

static SnStatus one_part(SnConverter *c, const SnStTensor *t, SnOutTensor *o, SnError *err)
{
    const SnStTensor **part = sn_arena_array(&c->arena, 1, sizeof *part);
    SN_CHECK(part, err, SN_ENOMEM, "%s: no memory", c->name);
    *part = t;
    o->recode.part = part;
    o->recode.npart = 1;
    o->ndim = t->ndim;
    memcpy(o->dims, t->dims, sizeof o->dims);
    return SN_OK;
}

static void turn_dims(SnOutTensor *o)
{
    const int64_t rows = o->dims[0];
    if (o->recode.order != SN_TRANSPOSED)
        return;
    o->dims[0] = o->dims[1];
    o->dims[1] = rows;
}

/* The dtype that numbers are stored in, for "as they are". */
static const Format *format_of(const SnConverter *c)
{
    if (c->format)
        return c->format;
    for (size_t i = 0; i < sn_weights_count(c->weights); i++) {
        const SnStTensor *t = sn_weights_at(c->weights, i);
        if (t->ndim >= 2 && (t->dtype == SN_F16 || t->dtype == SN_BF16))
            return find_format(t->dtype == SN_F16 ? "f16" : "bf16");
    }
    return find_format("f32");
}

SnStatus sn_convert_add(SnConverter *c, const SnStTensor *t, SnBytes name, const SnGgmlType *to, SnError *err)
{
    SnOutTensor o = {.name = name, .type = to};
    uint32_t at = 0;
    SN_CHECK(!sn_map_get(&c->place, name, &at), err, SN_EINVAL, "%s: two tensors are named %.*s", c->name,
             (int)name.n, (const char *)name.at);
    SN_CHECK(sn_map_put(&c->place, name, 0), err, SN_ENOMEM, "%s: no memory", c->name);
    SN_TRY(one_part(c, t, &o, err));
    o.recode.to = to;
    return add_out(c, &o, err);
}

/* ---- GGUF ▶ GGUF ---- */

static SnStatus requantize(SnConverter *c, const SnGguf *g, SnGgufMeta *meta, SnError *err)
{
    const char *ours =
        c->format ? "general.file_type general.alignment general.quantization_version" : "general.alignment";
    c->is_tied = !sn_gguf_find(g, "output.weight");
    for (uint32_t i = 0; i < g->metadata->n; i++)
        if (!sn_is_one_of(g->metadata->u.child[i].key, ours))
            sn_gguf_put_pair(meta, g->pair[i]);
    for (size_t i = 0; i < g->ntensor; i++) {
        const SnGgufTensor *t = &g->tensor[i];
        SnStTensor *x = sn_arena_alloc(&c->arena, sizeof *x);
        SnOutTensor o = {.name = t->name};
        SN_CHECK(x, err, SN_ENOMEM, "%s: no memory", c->name);
        *x = (SnStTensor){.name = t->name, .format = t->type->name, .dtype = t->type->dtype, .ndim = t->ndim};
        memcpy(x->dims, t->dims, sizeof t->dims);
        x->bytes = t->bytes;
        SN_TRY(one_part(c, x, &o, err));
        o.type = t->type;
        if (c->format && sn_is_recodable(x))
            o.type = type_for(c, c->format, t->name, t->ndim, t->ndim ? t->dims[t->ndim - 1] : 1);
        o.recode.to = o.type;
        SN_TRY(add_out(c, &o, err));
    }
    return SN_OK;
}

/* ---- folder ▶ GGUF ---- */

/* How rows of a checkpoint go into a file. */
static SnRowOrder order_of(const SnConverter *c, const SnGgufPair *pair, int ndim, SnRecode *r)
{
    const SnConfig *config = &c->model->config;
    const int64_t heads = sn_config_int(config, "num_attention_heads", 1), kv = sn_gguf_kv_heads(config);
    const int64_t width = sn_gguf_head_dim(config);
    const bool is_q = strstr(pair->gguf, "attn_q") != NULL, is_k = strstr(pair->gguf, "attn_k") != NULL;
    if (pair->change == SN_GGUF_TURNED)
        return ndim == 2 ? SN_TRANSPOSED : SN_ROWS_KEPT;
    if (pair->change == SN_GGUF_BY_HEAD) {
        r->groups = kv;
        r->q_rows = kv > 0 ? heads / kv * width : 0;
        r->kv_rows = width;
        return SN_ROWS_TO_PARTS;
    }
    if (!(c->arch->flags & SN_GGUF_PERMUTED) || (!is_q && !is_k))
        return SN_ROWS_KEPT;
    r->groups = is_q ? heads : kv;
    return SN_ROWS_TO_PAIRS;
}

/* What checkpoints have beside parameters. */
static bool is_left_out(SnBytes name)
{
    static const char *const buffer[] = {"rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
                                         "attention.bias", "attention.masked_bias"};
    for (size_t i = 0; i < SN_COUNT(buffer); i++)
        if (has_part(name, buffer[i]))
            return true;
    return false;
}

/* Experts: parts that have one name are one tensor. */
static SnStatus add_part(SnConverter *c, const SnStTensor *t, const SnGgufPlace *place, SnError *err)
{
    uint32_t at = 0;
    SN_CHECK(place->part < c->nexpert, err, SN_EFORMAT, "%s: tensor %.*s: there are %lld experts", c->name,
             (int)t->name.n, (const char *)t->name.at, (long long)c->nexpert);
    if (!sn_map_get(&c->place, place->name, &at)) {
        SnOutTensor o = {.name = place->name, .ndim = t->ndim + 1};
        o.recode.part = sn_arena_array(&c->arena, (size_t)c->nexpert, sizeof *o.recode.part);
        SN_CHECK(t->ndim < 4 && o.recode.part, err, SN_ENOMEM, "%s: no memory", c->name);
        for (int64_t i = 0; i < c->nexpert; i++)
            ((const SnStTensor **)(uintptr_t)o.recode.part)[i] = t;
        o.recode.npart = (size_t)c->nexpert;
        o.dims[0] = c->nexpert;
        memcpy(o.dims + 1, t->dims, (size_t)t->ndim * sizeof *t->dims);
        o.type = type_for(c, format_of(c), o.name, o.ndim, t->dims[t->ndim - 1]);
        o.recode.to = o.type;
        at = (uint32_t)c->out.n;
        SN_CHECK(sn_map_put(&c->place, place->name, at), err, SN_ENOMEM, "%s: no memory", c->name);
        SN_TRY(add_out(c, &o, err));
    }
    const SnStTensor **part = (const SnStTensor **)(uintptr_t)c->out.at[at].recode.part;
    SN_CHECK(t->ndim == part[0]->ndim && memcmp(t->dims, part[0]->dims, sizeof t->dims) == 0 &&
                 strcmp(t->format, part[0]->format) == 0,
             err, SN_ESHAPE, "%s: tensor %.*s: its shape is not that of other experts", c->name,
             (int)t->name.n, (const char *)t->name.at);
    part[place->part] = t;
    return SN_OK;
}

/* The dims that a file has it in. */
static void shape_for(SnGgufShape shape, int64_t groups, SnOutTensor *o)
{
    if (shape == SN_GGUF_NO_MIDDLE && o->ndim == 3 && o->dims[1] == 1) {
        o->dims[1] = o->dims[2];
        o->ndim = 2;
    } else if (shape == SN_GGUF_COLUMN && o->ndim == 1) {
        o->dims[1] = 1;
        o->ndim = 2;
    } else if (shape == SN_GGUF_GROUPED && o->ndim == 1 && groups > 0 && o->dims[0] % groups == 0) {
        o->dims[1] = o->dims[0] / groups;
        o->dims[0] = groups;
        o->ndim = 2;
    }
}

static SnStatus add_named(SnConverter *c, const SnStTensor *t, SnError *err)
{
    SnGgufPlace place;
    SnOutTensor o = {0};
    if (is_left_out(t->name) || (c->is_tied && sn_bytes_is(t->name, "lm_head.weight")))
        return SN_OK;
    SN_TRY(sn_gguf_export_name(c->arch, t->name, &c->arena, &place, err));
    SN_CHECK(place.name.at, err, SN_EUNSUPPORTED, "%s: tensor %.*s has no name in a GGUF file", c->name,
             (int)t->name.n, (const char *)t->name.at);
    SN_CHECK(sn_is_recodable(t) && t->ndim <= 4, err, SN_EUNSUPPORTED,
             "%s: tensor %.*s of dtype %s in a GGUF file", c->name, (int)t->name.n, (const char *)t->name.at,
             t->format);
    if (place.part >= 0)
        return add_part(c, t, &place, err);
    SN_TRY(one_part(c, t, &o, err));
    o.name = place.name;
    o.recode.order = order_of(c, place.pair, o.ndim, &o.recode);
    turn_dims(&o);
    if (!has_part(o.name, ".bias"))
        shape_for(place.pair->shape, sn_config_int(&c->model->config, "n_groups", 8), &o);
    o.recode.is_decay = place.pair->change == SN_GGUF_DECAY;
    o.type = type_for(c, format_of(c), o.name, o.ndim, o.ndim ? o.dims[o.ndim - 1] : 1);
    o.recode.to = o.type;
    if (c->arch->flags & SN_GGUF_ONE_ADDED && has_part(o.name, "norm.weight"))
        o.recode.shift = 1;
    return add_out(c, &o, err);
}

static SnStatus add_factors(SnConverter *c, SnError *err)
{
    SnGgufFactors f;
    for (size_t i = 0; sn_gguf_export_factors(&c->model->config, i, &c->arena, &f); i++) {
        SnStTensor *x = sn_arena_alloc(&c->arena, sizeof *x);
        SnOutTensor o = {.name = sn_bytes_str(f.name), .type = sn_ggml_type_named("F32")};
        SN_CHECK(x && f.at, err, SN_ENOMEM, "%s: no memory", c->name);
        *x = (SnStTensor){.name = o.name, .format = "F32", .dtype = SN_F32, .ndim = 1, .dims = {f.n}};
        x->bytes = sn_bytes(f.at, (size_t)f.n * sizeof *f.at);
        SN_TRY(one_part(c, x, &o, err));
        o.recode.to = o.type;
        SN_TRY(add_out(c, &o, err));
    }
    return SN_OK;
}

static SnStatus export(SnConverter *c, SnGgufMeta *meta, SnError *err)
{
    const SnConfig *config = &c->model->config;
    SN_CHECK(config->json, err, SN_EIO, "%s: no config.json", c->name);
    SN_TRY(sn_gguf_export_arch(config, &c->arch, err));
    c->is_tied = sn_config_bool(config, "tie_word_embeddings", c->arch->flags & SN_GGUF_TIED) ||
                 !sn_weights_find(c->weights, "lm_head.weight");
    SN_CHECK(c->nexpert >= 0 && c->nexpert < 65536, err, SN_EFORMAT, "%s: %lld experts", c->name,
             (long long)c->nexpert);
    sn_gguf_export_config(config, c->arch, meta);
    SN_TRY(sn_gguf_export_tokenizer(c->ctx, c->model->files, config, meta, err));
    for (size_t i = 0; i < sn_weights_count(c->weights); i++)
        if (!sn_adapter_is_copy(sn_weights_at(c->weights, i)->name))
            SN_TRY(add_named(c, sn_weights_at(c->weights, i), err));
    return add_factors(c, err);
}

/* ---- writing ---- */

static SnStatus fill(void *user, size_t i, SnOutFile *out, SnError *err)
{
    SnConverter *c = user;
    return sn_transcode(c->transcoder, &c->out.at[c->first + i].recode, out, err);
}

static SnStatus write_gguf(SnConverter *c, const char *path, SnError *err)
{
    const SnGguf *g = sn_folder_gguf(c->model->files);
    SnGgufMeta meta = {.text = {.memory = c->arena.memory}};
    const Format *f = g && !c->format ? NULL : format_of(c);
    SnStatus st = g ? requantize(c, g, &meta, err) : export(c, &meta, err);
    if (st == SN_OK && f) {
        sn_gguf_put_int(&meta, "general.file_type", f->file_type);
        sn_gguf_put_int(&meta, "general.quantization_version", 2);
    }
    SnGgufTensor *t = sn_arena_array(&c->arena, c->out.n + 1, sizeof *t);
    if (st == SN_OK && !t)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    for (size_t i = 0; st == SN_OK && i < c->out.n; i++) {
        const SnOutTensor *o = &c->out.at[i];
        t[i] = (SnGgufTensor){.name = o->name, .type = o->type, .ndim = o->ndim};
        memcpy(t[i].dims, o->dims, sizeof t[i].dims);
        t[i].bytes.n = o->size;
    }
    if (st == SN_OK)
        st = sn_gguf_write(c->ctx, path, &meta, t, c->out.n, fill, c, err);
    sn_text_clear(&meta.text);
    return st;
}

/* The way back of what a GGUF file has in another order. */
static SnStatus reverse_order(SnConverter *c, const SnStTensor *t, SnOutTensor *o, SnError *err)
{
    static const SnRowOrder back[] = {[SN_ROWS_KEPT] = SN_ROWS_KEPT,
                                      [SN_ROWS_TO_PAIRS] = SN_ROWS_FROM_PAIRS,
                                      [SN_ROWS_TO_PARTS] = SN_ROWS_FROM_PARTS,
                                      [SN_TRANSPOSED] = SN_TRANSPOSED};
    SnGgufPlace place;
    SN_TRY(sn_gguf_export_name(c->arch, t->name, &c->arena, &place, err));
    if (place.name.at)
        o->recode.order = back[order_of(c, place.pair, o->ndim, &o->recode)];
    turn_dims(o);
    return SN_OK;
}

/* Matrices of layers take the blocks of a format where their rows are whole ones, heads and the embedding
 * that is one those of 8 bits; other embeddings, routers and what is small stay. */
static const SnGgmlType *blocks_for(const SnConverter *c, const SnStTensor *t)
{
    static const char *const kept[] = {"embed", "wte", "wpe", "router", "norm", "gate.weight"};
    const bool is_head = has_part(t->name, "lm_head.") ||
                         (c->is_tied && (has_part(t->name, "embed_tokens.") || has_part(t->name, "wte.")));
    const int64_t cols = t->ndim == 2 ? t->dims[1] : 1;
    for (size_t i = 0; !is_head && i < SN_COUNT(kept); i++)
        if (has_part(t->name, kept[i]))
            return NULL;
    if (t->ndim != 2 || cols % 32 != 0 || t->dims[0] < 16)
        return NULL;
    return is_head ? sn_ggml_type_named("Q8_0") : type_for(c, c->format, sn_bytes_str("blk.0"), 2, cols);
}

/* The type of a tensor outside of GGUF files; NULL: as it is. */
static const SnGgmlType *type_outside(const SnConverter *c, const SnStTensor *t)
{
    const SnGgmlType *as_is =
        t->dtype == SN_NODTYPE ? sn_ggml_type_named("F32") : sn_ggml_type_named(t->format);
    if (!c->format)
        return as_is;
    const SnGgmlType *to = sn_ggml_type_named(c->format->type);
    if (to->dtype != SN_NODTYPE)
        return to;
    to = blocks_for(c, t);
    return to ? to : as_is;
}

/* What a folder or a .safetensors file has. */
static SnStatus list_tensors(SnConverter *c, SnError *err)
{
    if (sn_folder_gguf(c->model->files))
        SN_TRY(sn_gguf_export_arch(&c->model->config, &c->arch, err));
    c->is_tied = !sn_weights_find(c->weights, "lm_head.weight");
    for (size_t i = 0; i < sn_weights_count(c->weights); i++) {
        const SnStTensor *t = sn_weights_at(c->weights, i);
        SnOutTensor o = {.name = t->name, .type = sn_ggml_type_named(t->format)};
        SN_TRY(one_part(c, t, &o, err));
        if (has_part(t->name, "rope_f") || sn_adapter_is_copy(t->name))
            continue;
        if (sn_is_recodable(t))
            o.type = o.recode.to = type_outside(c, t);
        if (c->arch)
            SN_TRY(reverse_order(c, t, &o, err));
        if (o.recode.to && o.recode.to->dtype == SN_NODTYPE) {
            const char *name = sn_arena_printf(&c->arena, "%.*s.%s", (int)t->name.n, (const char *)t->name.at,
                                               o.recode.to->name);
            SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", c->name);
            o.name = sn_bytes_str(name);
            o.dims[o.ndim - 1] = o.dims[o.ndim - 1] / o.recode.to->block * o.recode.to->bytes;
        }
        SN_TRY(add_out(c, &o, err));
    }
    return SN_OK;
}

SnStatus sn_convert_tensors(SnConverter *c, const char *path, size_t first, size_t n, SnError *err)
{
    const SnStWriteOptions o = {.metadata = c->metadata, .nmetadata = c->nmetadata, .fill = fill, .user = c};
    SnStWrite *w = sn_arena_array(&c->arena, n + 1, sizeof *w);
    SN_CHECK(w, err, SN_ENOMEM, "%s: no memory", path);
    for (size_t i = 0; i < n; i++) {
        const SnOutTensor *t = &c->out.at[first + i];
        const SnGgmlType *to = t->recode.to;
        const char *format = !to ? t->recode.part[0]->format : to->dtype == SN_NODTYPE ? "U8" : to->name;
        w[i].name = sn_arena_strndup(&c->arena, (const char *)t->name.at, t->name.n);
        w[i].format = format;
        w[i].view = sn_view(SN_U8, NULL, t->ndim, t->dims);
        SN_CHECK(w[i].name, err, SN_ENOMEM, "%s: no memory", path);
    }
    c->first = first;
    return sn_safetensors_write(c->ctx, path, w, n, &o, err);
}

static SnStatus write_any(SnConverter *c, const char *path, void *user, SnError *err)
{
    (void)user;
    if (sn_bytes_ends(sn_bytes_str(path), ".gguf"))
        return write_gguf(c, path, err);
    SN_TRY(list_tensors(c, err));
    return sn_convert_folder(c, path, err);
}

SnStatus sn_convert_run(SnConverter *c, SnCompiler *cc, const char *device,
                        SnStatus (*list)(SnConverter *c, const char *path, void *user, SnError *err),
                        const char *path, void *user, SnError *err)
{
    c->ctx = sn_compiler_context(cc);
    sn_arena_init(&c->arena, sn_allocator(c->ctx));
    sn_map_init(&c->place, sn_allocator(c->ctx));
    SnStatus st = sn_transcoder_create(cc, device, c->weights, &c->transcoder, err);
    if (st == SN_OK)
        st = list(c, path, user, err);
    sn_transcoder_destroy(c->transcoder);
    sn_vec_clear(c->arena.memory, &c->out);
    sn_map_clear(&c->place);
    sn_arena_clear(&c->arena);
    return st;
}

SnStatus sn_model_convert(SnModel *m, const SnConvertOptions *o, const char *path, SnError *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    SN_CHECK(m->files, err, SN_EUNSUPPORTED, "%s: only folders and .gguf files are converted", m->folder);
    SN_CHECK(!sn_bytes_ends(sn_bytes_str(path), ".onnx"), err, SN_EUNSUPPORTED,
             "%s: ONNX is not written by this build", path);
    SnConverter c = {.model = m,
                     .name = m->folder,
                     .max_shard = o && o->max_shard_size ? o->max_shard_size : UINT64_MAX,
                     .metadata = metadata,
                     .nmetadata = 1,
                     .nlayer = sn_config_int(&m->config, "num_hidden_layers", 0),
                     .nexpert = sn_config_int(&m->config, "num_experts", 0)};
    if (o && o->format) {
        c.format = find_format(o->format);
        SN_CHECK(c.format, err, SN_EUNSUPPORTED, "%s: no format \"%s\"", path, o->format);
    }
    if (!m->weights)
        SN_TRY(sn_weights_open_folder(m->ctx, m->files, &m->weights, err));
    c.weights = m->weights;
    return sn_convert_run(&c, m->cc, m->device, write_any, path, NULL, err);
}
