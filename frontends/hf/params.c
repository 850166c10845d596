/* params.c -- what a model being built takes and gives: inputs, outputs, parameters by scope. */
#include "frontends/hf/adapter.h"

#include "compiler/compiler.h"
#include "ops/ops.h"
#include "runtime/hash.h"

#include <ctype.h>
#include <stdio.h>

#define NAME_SIZE  512
#define BLOCK      32 /* weights that --quant rounds together */
#define LEAST_ROWS 16
#define MAX_MADE   ((size_t)1 << 26) /* elements of a parameter that is made */

/* ---- inputs and outputs ---- */

SnValue sn_named_value(const SnNamedValue *v, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0)
            return v[i].value;
    return sn_none();
}

SnValue sn_nn_input(SnBuild *b, const char *name)
{
    const bool is_hidden = b->prompted.ref && strcmp(name, "input_ids") == 0;
    return is_hidden ? sn_none() : sn_named_value(b->in.at, b->in.n, name);
}

static bool is_named(const SnBuild *b, const char *name)
{
    for (size_t i = 0; i < b->nwant; i++)
        if (strcmp(b->want[i], name) == 0)
            return true;
    return false;
}

bool sn_nn_wants(const SnBuild *b, const char *name)
{
    return b->nwant == 0 || is_named(b, name);
}

static void add_output(SnBuild *b, const char *name, SnValue v)
{
    const char *own = sn_arena_strndup(b->arena, name, strlen(name));
    const SnNamedValue out = {own, sn_cast(b->g, v, SN_F32)};
    if (!own || !sn_vec_push(b->arena->memory, &b->out, out))
        sn_graph_fail(b->g, SN_ENOMEM, "no memory for outputs");
}

void sn_nn_output(SnBuild *b, const char *name, SnValue v)
{
    if (v.ref && sn_nn_wants(b, name))
        add_output(b, name, v);
}

void sn_nn_numbered(SnBuild *b, const char *kind, int64_t i, SnValue v)
{
    char name[64];
    const bool is_own = strncmp(kind, "cross", 5) == 0; /* cross_attentions have no other name */
    (void)snprintf(name, sizeof name, "%s%s.%lld", b->stack && !is_own ? b->stack : "", kind, (long long)i);
    if (is_named(b, name))
        add_output(b, name, v);
}

/* [batch, choices, ..] ▶ [batch * choices, ..] */
static SnValue join_choices(SnBuild *b, SnValue x)
{
    SnValue dims[SN_MAX_RANK] = {sn_mul(b->g, sn_dim(b->g, x, 0), sn_dim(b->g, x, 1))};
    const int rank = sn_rank(b->g, x);
    b->choices = sn_dim(b->g, x, 1);
    for (int i = 2; i < rank; i++)
        dims[i - 1] = sn_dim(b->g, x, i);
    return sn_reshape(b->g, x, rank - 1, dims);
}

static const char *const token_inputs[] = {"input_ids", "attention_mask", "token_type_ids", "position_ids",
                                           "inputs_embeds"};

/* Where each row has an adapter of its own, an input says which. */
static void begin_rows(SnBuild *b)
{
    const int64_t n = b->adapter ? sn_adapter_rows(b->adapter) : 0;
    const SnValue rows = sn_nn_input(b, "adapter_rows");
    if (n)
        sn_nn_range(b, rows, "the adapters", n + 1, 0);
    if ((rows.ref != 0) != (n > 0) || (n && b->trained))
        sn_graph_fail(b->g, SN_EINVAL, "input adapter_rows: it %s",
                      !n           ? "is given, and adapters of rows are not"
                      : b->trained ? "is not for training"
                                   : "is not given");
}

/* Trainings without a mask may have sequences one behind the other, as Transformers tells them apart: one
 * begins where places do not go up by one. Those of -1 are padding behind them. */
static SnValue find_sequences(SnBuild *b)
{
    const SnValue given = sn_nn_input(b, "position_ids"), one = sn_size(b->g, 1), none = sn_size(b->g, 0);
    const SnValue dims[] = {b->batch, b->seq}, lo[] = {none, one}, hi[] = {none, sn_size(b->g, -1)};
    if (!given.ref || !b->trained || !b->trained->is_state)
        return sn_none();
    if (b->adapter && sn_adapter_tokens(b->adapter))
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "input position_ids: beside virtual tokens");
    const SnValue place = sn_broadcast(b->g, given, 2, dims),
                  before = sn_pad(b->g, place, lo, hi, none, NULL);
    const SnValue begins = sn_ne(b->g, sn_sub(b->g, place, before), one);
    return sn_scan(b->g, "add", sn_cast(b->g, begins, SN_I64), 1, false);
}

void sn_nn_begin(SnBuild *b)
{
    SnGraph *g = b->g;
    for (size_t i = 0; i < b->in.n; i++)
        for (size_t k = 0; k < SN_COUNT(token_inputs); k++) {
            SnNamedValue *in = &b->in.at[i];
            const int rank = strcmp(token_inputs[k], "inputs_embeds") == 0 ? 3 : 2;
            if (strcmp(in->name, token_inputs[k]) == 0 && sn_rank(g, in->value) == rank + 1)
                in->value = join_choices(b, in->value);
        }
    if (b->adapter)
        sn_adapter_begin(b);
    begin_rows(b);
    const SnValue ids = b->prompted.ref ? b->prompted : sn_nn_input(b, "input_ids");
    const SnValue embeds = sn_nn_input(b, "inputs_embeds");
    if ((ids.ref != 0) == (embeds.ref != 0)) {
        sn_graph_fail(g, SN_EINVAL, "expected one of input_ids and inputs_embeds, found %s",
                      ids.ref ? "both" : "neither");
        return;
    }
    b->batch = sn_dim(g, ids.ref ? ids : embeds, 0);
    b->seq = sn_dim(g, ids.ref ? ids : embeds, 1);
    if (b->prompted.ref)
        b->seq = sn_add(g, b->seq, sn_const_int(g, SN_I64, sn_adapter_tokens(b->adapter)));
    const SnValue mask = sn_nn_input(b, "attention_mask"), one = sn_const_int(g, SN_I64, 1);
    if (!mask.ref) {
        b->sequence = find_sequences(b);
        return;
    }
    const SnValue keys = sn_reshape(g, mask, 4, (SnValue[]){b->batch, one, one, sn_nn_keys(b)});
    b->allowed = sn_not(g, sn_eq(g, keys, sn_const_int(g, SN_I64, 0)));
    b->bias = sn_nn_bias_where(b, b->allowed);
}

int64_t sn_nn_int(SnBuild *b, const char *key, int64_t otherwise, int64_t lo, int64_t hi)
{
    const int64_t v = sn_config_int(b->config, key, otherwise);
    if (v >= lo && v <= hi)
        return v;
    sn_graph_fail(b->g, SN_EFORMAT, "%s: %s is %lld, allowed %lld to %lld", b->config->path, key,
                  (long long)v, (long long)lo, (long long)hi);
    return lo;
}

/* ---- parameters ---- */

/* A name as it is, without the base prefix, and with it. */
static const SnStTensor *find_prefixed(const SnBuild *b, const char *name)
{
    char other[NAME_SIZE];
    const char *prefix = b->arch->prefix;
    const size_t n = strlen(prefix);
    const SnStTensor *t = sn_weights_find(b->weights, name);
    if (!t && strncmp(name, prefix, n) == 0 && name[n] == '.')
        t = sn_weights_find(b->weights, name + n + 1);
    else if (!t && snprintf(other, sizeof other, "%s.%s", prefix, name) < (int)sizeof other)
        t = sn_weights_find(b->weights, other);
    return t;
}

/* Checkpoints of a base model lack the prefix of the class that wraps it, others have one too many; the
 * oldest ones spell the parameters of a norm gamma and beta. */
const SnStTensor *sn_nn_file_tensor(const SnBuild *b, const char *name)
{
    static const char *const old[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
    char other[NAME_SIZE];
    const size_t len = strlen(name);
    const SnStTensor *t = find_prefixed(b, name);
    for (size_t i = 0; !t && i < SN_COUNT(old); i++) {
        const size_t n = strlen(old[i][0]);
        if (len >= n && strcmp(name + len - n, old[i][0]) == 0 &&
            snprintf(other, sizeof other, "%.*s%s", (int)(len - n), name, old[i][1]) < (int)sizeof other)
            t = find_prefixed(b, other);
    }
    return t;
}

/* <scope>.<name>; false: too long, which sticks to the graph. */
static bool full_name(SnBuild *b, const char *name, char out[NAME_SIZE])
{
    const char *path = sn_scope_path(b->g);
    if (snprintf(out, NAME_SIZE, "%s%s%s", path, *path ? "." : "", name) < NAME_SIZE)
        return true;
    sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: the name is too long", name);
    return false;
}

/* A tensor in blocks: its bytes, and what they stand for. */
static SnValue block_param(SnBuild *b, const SnStTensor *t, const char *file)
{
    SnSourceTensor bytes;
    const SnSource *source = sn_weights_source(b->weights);
    char format[16] = "";
    if (!source->find(source->self, file, &bytes))
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: weights of dtype %s", file, t->format);
    for (size_t i = 0; t->format[i] && i + 1 < sizeof format; i++)
        format[i] = (char)tolower((unsigned char)t->format[i]);
    return sn_dequantize_blocks(b->g, sn_param(b->g, file, bytes.dtype, bytes.ndim, bytes.dims), format);
}

/* gpt-oss keeps its experts as [experts, out, blocks, 16 bytes] beside the exponents of blocks; the tensor
 * that they stand for is [experts, in, out]. */
static SnValue mx_param(SnBuild *b, const char *full)
{
    static const char *const part[] = {"scales", "blocks"};
    SnValue x[2], dims[4];
    char name[NAME_SIZE];
    for (int i = 0; i < 2; i++) {
        const SnStTensor *t = snprintf(name, sizeof name, "%s_%s", full, part[i]) < (int)sizeof name
                                  ? sn_nn_file_tensor(b, name)
                                  : NULL;
        if (!t || t->dtype != SN_U8 || t->ndim != 3 + i || (i == 1 && t->dims[3] != 16) ||
            t->name.n >= sizeof name)
            return sn_none();
        memcpy(name, t->name.at, t->name.n);
        name[t->name.n] = 0;
        x[i] = sn_param(b->g, name, SN_U8, t->ndim, t->dims);
    }
    (void)sn_dims(b->g, x[1], dims);
    dims[3] = sn_const_int(b->g, SN_I64, 1);
    x[0] = sn_reshape(b->g, x[0], 4, dims);
    const SnValue both = sn_concat(b->g, 2, x, 3);
    dims[2] = sn_mul(b->g, sn_dim(b->g, both, 2), sn_dim(b->g, both, 3));
    const SnValue w = sn_dequantize_blocks(b->g, sn_reshape(b->g, both, 3, dims), "mxfp4_pairs");
    return sn_permute(b->g, sn_cast(b->g, w, b->dtype), (const int[]){0, 2, 1});
}

/* ---- 4 bits of bitsandbytes: codes, and beside them scales and what they stand for ---- */

typedef struct Packed {
    SnBuild *b;
    const char *file; /* name of the codes */
    const char *kind; /* nf4 or fp4 */
    SnJson *state;
} Packed;

/* Is it one? kind NULL: it is none. */
static Packed packed_of(SnBuild *b, const char *file)
{
    static const char *const kinds[] = {"nf4", "fp4"};
    Packed p = {.b = b, .file = file};
    SnError err = {0};
    char name[NAME_SIZE + 64];
    for (size_t i = 0; i < SN_COUNT(kinds) && !p.kind; i++) {
        (void)snprintf(name, sizeof name, "%s.quant_state.bitsandbytes__%s", file, kinds[i]);
        const SnStTensor *t = sn_weights_find(b->weights, name);
        if (!t)
            continue;
        p.kind = kinds[i];
        if (sn_json_parse(b->arena, file, t->bytes, &p.state, &err) != SN_OK)
            sn_graph_fail(b->g, err.code, "%s", err.message);
    }
    return p;
}

/* file.part, flat, of n elements. */
static SnValue packed_part(const Packed *p, const char *part, SnDtype dtype, int64_t n)
{
    char name[NAME_SIZE + 64];
    (void)snprintf(name, sizeof name, "%s.%s", p->file, part);
    const SnStTensor *t = sn_weights_find(p->b->weights, name);
    int64_t found = t && t->dtype == dtype ? 1 : -1;
    for (int i = 0; found >= 0 && i < t->ndim; i++)
        found *= t->dims[i];
    if (found != n)
        return sn_graph_fail(p->b->g, SN_EFORMAT, "%s: expected %lld of %s, found %lld", name, (long long)n,
                             sn_dtype(dtype)->name, (long long)found);
    const SnValue count = sn_size(p->b->g, n);
    return sn_reshape(p->b->g, sn_param(p->b->g, name, dtype, t->ndim, t->dims), 1, &count);
}

/* f32[n]; they are 8-bit codes themselves where there is a second state. */
static SnValue packed_scales(const Packed *p, int64_t n)
{
    SnGraph *g = p->b->g;
    int64_t each = 0;
    double offset = 0;
    if (!sn_json_get(p->state, "nested_blocksize"))
        return packed_part(p, "absmax", SN_F32, n);
    if (!sn_json_int(sn_json_get(p->state, "nested_blocksize"), &each) || each < 1 || each > 65536 ||
        !sn_json_number(sn_json_get(p->state, "nested_offset"), &offset))
        return sn_graph_fail(g, SN_EFORMAT, "%s: its quant_state has no nested_blocksize and nested_offset",
                             p->file);
    const SnValue code = packed_part(p, "absmax", SN_U8, n),
                  table = packed_part(p, "nested_quant_map", SN_F32, 256);
    const SnValue size = packed_part(p, "nested_absmax", SN_F32, (n + each - 1) / each);
    const SnValue at = sn_cast(g, code, SN_I32), count = sn_size(g, n);
    const SnValue block = sn_idiv(g, sn_iota(g, SN_I64, 0, 1, &count), sn_size(g, each));
    const SnValue part = sn_mul(g, sn_gather(g, table, 1, (const int[]){0}, &at, NULL),
                                sn_gather(g, size, 1, (const int[]){0}, &block, NULL));
    return sn_add(g, part, sn_const(g, SN_F32, offset));
}

/* Copies, as those of quantize_nf4: what is kept of the parameters. */
static SnValue packed_param(const Packed *p, const SnStTensor *t)
{
    SnGraph *g = p->b->g;
    const SnJson *shape = sn_json_get(p->state, "shape");
    int64_t rows = 0, cols = 0, block = 0, n = 0;
    size_t total = 0;
    if (!sn_json_int(sn_json_get(p->state, "blocksize"), &block) || block < 2 || block > 65536 || block % 2 ||
        !sn_json_int(sn_json_at(shape, 0), &rows) || !sn_json_int(sn_json_at(shape, 1), &cols) || rows < 1 ||
        cols < 1 || !sn_mul_size((size_t)rows, (size_t)cols, &total) || t->dtype != SN_U8 ||
        (total + 1) / 2 != t->bytes.n)
        return sn_graph_fail(g, SN_EFORMAT,
                             "%s: %zu bytes of %s: its quant_state says blocks of %lld, %lld x %lld", p->file,
                             t->bytes.n, t->format, (long long)block, (long long)rows, (long long)cols);
    n = (int64_t)((total + (size_t)block - 1) / (size_t)block);
    const SnValue none = sn_size(g, 0), bytes = sn_size(g, (int64_t)t->bytes.n);
    const SnValue more = sn_size(g, n * (block / 2) - (int64_t)t->bytes.n);
    const SnValue flat = sn_reshape(g, sn_param(g, p->file, t->dtype, t->ndim, t->dims), 1, &bytes);
    const SnValue whole = sn_pad(g, flat, &none, &more, sn_const_int(g, SN_U8, 0), NULL);
    const SnValue dims[] = {sn_size(g, n), sn_size(g, block / 2)};
    const SnValue codes = sn_reshape(g, whole, 2, dims), scales = packed_scales(p, n);
    return sn_dequantize_nf4(g, sn_op(g, "copy", &codes, 1, NULL, 0), sn_op(g, "copy", &scales, 1, NULL, 0),
                             rows, cols, p->kind);
}

/* A carry that begins with zeros. */
static SnValue carry_like(SnBuild *b, const char *name, SnValue v)
{
    SnValue dims[SN_MAX_RANK];
    const SnDtype dtype = sn_value_dtype(b->g, v);
    const int n = sn_dims(b->g, v, dims);
    const SnValue zero = sn_dtype_is_float(dtype) ? sn_const(b->g, dtype, 0) : sn_const_int(b->g, dtype, 0);
    return sn_carry(b->g, name, sn_broadcast(b->g, zero, n, dims));
}

SnValue sn_nn_trained(SnBuild *b, const char *file, SnValue param)
{
    SnTrained *t = b->trained;
    SnValue v = sn_named_value(t->leaf.at, t->leaf.n, file);
    if (v.ref || !param.ref || (t->picks && !t->picks(t->self, file)))
        return v.ref ? v : param;
    const uint32_t inside = sn_outside_begin(b->g);
    const SnValue own = sn_cast(b->g, param, SN_F32);
    v = t->is_state ? carry_like(b, file, own) : own;
    sn_outside_end(b->g, inside);
    const char *name = sn_arena_strndup(b->arena, file, strlen(file));
    if (!name || !sn_vec_push(b->arena->memory, &t->leaf, (SnNamedValue){name, v}) ||
        !sn_vec_push(b->arena->memory, &t->file, (SnNamedValue){name, own}))
        return sn_graph_fail(b->g, SN_ENOMEM, "%s: no memory", file);
    return v;
}

void sn_trained_clear(SnTrained *t, const SnAllocator *memory)
{
    sn_vec_clear(memory, &t->leaf);
    sn_vec_clear(memory, &t->file);
    sn_vec_clear(memory, &t->table);
    sn_vec_clear(memory, &t->used);
    sn_vec_clear(memory, &t->buffer);
}

static SnBuffer *kept_buffer(SnBuild *b, const SnStTensor *t)
{
    SnTrained *own = b->trained;
    for (size_t i = 0; i < own->buffer.n; i++)
        if (sn_bytes_is(t->name, own->buffer.at[i].name))
            return &own->buffer.at[i];
    SnBuffer x = {.name = sn_arena_strndup(b->arena, (const char *)t->name.at, t->name.n)};
    const uint32_t inside = sn_outside_begin(b->g);
    x.file = sn_param(b->g, x.name ? x.name : "", t->dtype, t->ndim, t->dims);
    if (sn_dtype_is_float(t->dtype))
        x.file = sn_cast(b->g, x.file, SN_F32);
    x.value = x.file.ref && x.name ? carry_like(b, x.name, x.file) : sn_none();
    sn_outside_end(b->g, inside);
    if (x.name && sn_vec_push(b->arena->memory, &own->buffer, x))
        return &own->buffer.at[own->buffer.n - 1];
    sn_graph_fail(b->g, SN_ENOMEM, "no memory for buffers");
    return NULL;
}

SnValue sn_nn_buffer(SnBuild *b, const char *name, double rate, SnValue seen)
{
    char full[NAME_SIZE], file[NAME_SIZE];
    const SnStTensor *t = full_name(b, name, full) ? sn_nn_file_tensor(b, full) : NULL;
    if (!t || t->name.n >= sizeof file)
        return sn_none();
    if (t->dtype == SN_NODTYPE)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: a buffer of dtype %s", full, t->format);
    if (b->trained && b->trained->is_state) {
        SnBuffer *own = kept_buffer(b, t);
        if (!own)
            return sn_none();
        own->seen = seen;
        own->rate = rate;
        return own->value;
    }
    memcpy(file, t->name.at, t->name.n);
    file[t->name.n] = 0;
    const SnValue v = sn_param(b->g, file, t->dtype, t->ndim, t->dims);
    return sn_dtype_is_float(t->dtype) ? sn_cast(b->g, v, SN_F32) : v;
}

static void keep_used(SnBuild *b, const SnStTensor *file)
{
    SnTrained *t = b->trained;
    SnUsedTensor own = {.count = 1};
    bool is_new = t && file;
    for (size_t i = 0; is_new && i < t->used.n; i++)
        is_new = t->used.at[i].name != file->name.at;
    for (int k = 0; is_new && k < file->ndim; k++)
        own.count *= file->dims[k];
    own.count *= is_new && file->dtype == SN_U8 ? 2 : 1; /* codes of 4 bits */
    own.name = is_new ? file->name.at : NULL;
    if (is_new && !sn_vec_push(b->arena->memory, &t->used, own))
        sn_graph_fail(b->g, SN_ENOMEM, "no memory for parameters");
}

static SnValue find_param(SnBuild *b, const char *name)
{
    char full[NAME_SIZE], file[NAME_SIZE];
    b->is_plain = b->is_packed = false;
    if (!full_name(b, name, full))
        return sn_none();
    const SnStTensor *t = sn_nn_file_tensor(b, full);
    keep_used(b, t);
    const SnValue own = b->adapter ? sn_adapter_param(b, full, t) : sn_none();
    if (own.ref)
        return sn_cast(b->g, own, b->dtype);
    if (!t || t->name.n >= sizeof file)
        return t ? sn_none() : mx_param(b, full);
    memcpy(file, t->name.at, t->name.n);
    file[t->name.n] = 0;
    const Packed packed = packed_of(b, file);
    b->is_packed = packed.kind != NULL;
    if (packed.kind && b->trained && b->trained->is_state && !b->adapter)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED,
                             "%s: %s does not learn: train an adapter beside it (peft_config)", full,
                             packed.kind);
    if (sn_graph_check(b->g, NULL) != SN_OK || packed.kind)
        return packed.kind ? sn_cast(b->g, packed_param(&packed, t), b->dtype) : sn_none();
    if (t->dtype != SN_NODTYPE && !sn_dtype_is_float(t->dtype))
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: weights of dtype %s", full, t->format);
    SnValue v =
        t->dtype == SN_NODTYPE ? block_param(b, t, file) : sn_param(b->g, file, t->dtype, t->ndim, t->dims);
    b->is_plain = t->dtype != SN_NODTYPE && (!b->trained || b->adapter);
    if (b->trained && !b->adapter && t->dtype != SN_NODTYPE)
        v = sn_nn_trained(b, file, v);
    return sn_cast(b->g, b->adapter ? sn_adapter_row_values(b, full, t, v) : v, b->dtype);
}

static bool goes_outside(const SnBuild *b)
{
    return b->adapter && b->adapter_form != SN_ADAPTER_LEARNT;
}

uint32_t sn_adapter_outside(SnBuild *b)
{
    return goes_outside(b) ? sn_outside_begin(b->g) : 0;
}

void sn_adapter_inside(SnBuild *b, uint32_t scope)
{
    if (goes_outside(b))
        sn_outside_end(b->g, scope);
}

SnValue sn_nn_param_or_none(SnBuild *b, const char *name)
{
    const uint32_t scope = sn_adapter_outside(b);
    const SnValue v = find_param(b, name);
    sn_adapter_inside(b, scope);
    return v;
}

SnValue sn_nn_param(SnBuild *b, const char *name)
{
    const SnValue v = sn_nn_param_or_none(b, name);
    if (v.ref)
        return v;
    const char *path = sn_scope_path(b->g);
    return sn_graph_fail(b->g, SN_EFORMAT, "the checkpoint has no tensor %s%s%s", path, *path ? "." : "",
                         name);
}

/* ---- where weights meet activations ---- */

/* The call of an op that w is, or is cast from; none: it is none. */
static SnRef call_of(SnBuild *b, SnValue w, const char *name)
{
    const SnStore *s = sn_graph_store(b->g);
    const SnRef r = sn_term(s, w.ref)->op == SN_OP_CAST ? sn_term(s, w.ref)->arg[0] : w.ref;
    const SnOpRow *row = sn_compiler_row_of(sn_graph_compiler(b->g), sn_term(s, r)->op);
    return row && strcmp(row->sig.name, name) == 0 ? r : 0;
}

static SnRef blocks_of(SnBuild *b, SnValue w)
{
    return call_of(b, w, "dequantize_blocks");
}

bool sn_nn_in_blocks(SnBuild *b, SnValue w)
{
    return sn_graph_check(b->g, NULL) == SN_OK && (blocks_of(b, w) || call_of(b, w, "dequantize_nf4"));
}

SnValue sn_nn_narrow(SnBuild *b, SnValue w)
{
    const bool nested = b->quant && strcmp(b->quant, "nf4-double") == 0;
    const char *path = sn_scope_path(b->g), *prefix = b->arch->prefix;
    const size_t len = strlen(prefix);
    int64_t n = 0, k = 0;
    if (!b->quant || (!nested && strcmp(b->quant, "nf4") != 0) || sn_graph_check(b->g, NULL) != SN_OK ||
        strncmp(path, prefix, len) != 0 || path[len] != '.' || !b->is_plain)
        return w;
    const SnStore *s = sn_graph_store(b->g);
    if (sn_rank(b->g, w) != 2 || !sn_is_const_i64(s, sn_dim(b->g, w, 0).ref, &n) ||
        !sn_is_const_i64(s, sn_dim(b->g, w, 1).ref, &k))
        return w;
    const SnValue q = sn_quantize_nf4(b->g, w, nested);
    const SnValue wide = sn_dequantize_nf4(b->g, sn_get(b->g, q, 0), sn_get(b->g, q, 1), n, k, "nf4");
    return sn_cast(b->g, wide, sn_value_dtype(b->g, w));
}

/* Should it become blocks of the format `quant`? */
static bool becomes_blocks(SnBuild *b, const char *quant, SnValue w)
{
    const SnStore *s = sn_graph_store(b->g);
    int64_t n = 0, k = 0;
    return quant && strncmp(quant, "nf4", 3) != 0 && sn_is_const_i64(s, sn_dim(b->g, w, -2).ref, &n) &&
           sn_is_const_i64(s, sn_dim(b->g, w, -1).ref, &k) && n >= LEAST_ROWS && k > 0 && k % BLOCK == 0;
}

SnValue sn_nn_product(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias)
{
    if (sn_graph_check(b->g, NULL) != SN_OK)
        return sn_none();
    const SnStore *s = sn_graph_store(b->g);
    const SnRef blocks = blocks_of(b, w), nf4 = call_of(b, w, "dequantize_nf4");
    if (blocks) {
        const SnValue bytes = {sn_term(s, blocks)->arg[0], w.scope};
        return sn_linear_blocks(b->g, x, bytes, bias, sn_attr_string(s, blocks, "format"));
    }
    if (nf4) {
        const SnValue codes = {sn_term(s, nf4)->arg[0], w.scope}, scale = {sn_term(s, nf4)->arg[1], w.scope};
        return sn_linear_nf4(b->g, x, codes, scale, bias, sn_nn_dim(b, w, 0), sn_nn_dim(b, w, 1),
                             sn_attr_string(s, nf4, "kind"));
    }
    return becomes_blocks(b, quant, w) ? sn_linear_quantized(b->g, x, w, bias, quant)
                                       : sn_linear(b->g, x, w, bias);
}

SnValue sn_nn_product_grouped(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias,
                              SnValue group)
{
    if (sn_graph_check(b->g, NULL) != SN_OK)
        return sn_none();
    const SnStore *s = sn_graph_store(b->g);
    const SnRef blocks = blocks_of(b, w);
    if (blocks) {
        const SnValue bytes = {sn_term(s, blocks)->arg[0], w.scope};
        return sn_grouped_blocks(b->g, x, bytes, bias, group, sn_attr_string(s, blocks, "format"));
    }
    return becomes_blocks(b, quant, w) ? sn_grouped_quantized(b->g, x, w, bias, group, quant)
                                       : sn_linear_grouped(b->g, x, w, bias, group);
}

/* x [..] as [1, ..] */
static SnValue in_front(SnBuild *b, SnValue x)
{
    SnValue dims[SN_MAX_RANK] = {sn_const_int(b->g, SN_I64, 1)};
    const int rank = sn_rank(b->g, x);
    for (int i = 0; i < rank && i + 1 < SN_MAX_RANK; i++)
        dims[i + 1] = sn_dim(b->g, x, i);
    return sn_reshape(b->g, x, rank + 1, dims);
}

SnValue sn_nn_stack(SnBuild *b, int n, const SnValue *w)
{
    SnValue *part = sn_arena_array(b->arena, (size_t)n, sizeof *part);
    if (!part)
        return sn_graph_fail(b->g, SN_ENOMEM, "no memory for %d weights", n);
    if (sn_graph_check(b->g, NULL) != SN_OK)
        return sn_none();
    const SnStore *s = sn_graph_store(b->g);
    const SnRef first = blocks_of(b, w[0]);
    const char *format = first ? sn_attr_string(s, first, "format") : NULL;
    for (int i = 0; i < n && format; i++) {
        const SnRef blocks = blocks_of(b, w[i]);
        if (!blocks || strcmp(sn_attr_string(s, blocks, "format"), format) != 0)
            format = NULL;
    }
    for (int i = 0; i < n; i++)
        part[i] = in_front(b, format ? (SnValue){sn_term(s, blocks_of(b, w[i]))->arg[0], w[i].scope} : w[i]);
    const SnValue all = sn_concat(b->g, n, part, 0);
    return format ? sn_cast(b->g, sn_dequantize_blocks(b->g, all, format), sn_value_dtype(b->g, w[0])) : all;
}

SnValue sn_nn_lookup(SnBuild *b, SnValue ids, SnValue table)
{
    const SnRef blocks = sn_graph_check(b->g, NULL) == SN_OK ? blocks_of(b, table) : 0;
    if (!blocks)
        return sn_embedding(b->g, ids, table);
    const SnStore *s = sn_graph_store(b->g);
    const SnValue rows = sn_embedding(b->g, ids, (SnValue){sn_term(s, blocks)->arg[0], table.scope});
    return sn_cast(b->g, sn_dequantize_blocks(b->g, rows, sn_attr_string(s, blocks, "format")), b->dtype);
}

/* ---- parameters that a checkpoint lacks ---- */

double sn_nn_uniform(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u; /* SplitMix64, Steele et al. 2014 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Sum of twelve uniform numbers minus six: normal enough. */
float sn_nn_normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += sn_nn_uniform(state);
    return (float)sum;
}

SnValue sn_nn_param_or_made(SnBuild *b, const char *name, int ndim, const int64_t *dims, float mean,
                            float spread)
{
    char full[NAME_SIZE];
    SnError err = {0};
    if (!full_name(b, name, full) || sn_nn_file_tensor(b, full) ||
        (b->adapter && sn_adapter_param(b, full, NULL).ref))
        return sn_nn_param(b, name);
    size_t n = 1;
    for (int i = 0; i < ndim; i++)
        if (!sn_mul_size(n, (size_t)dims[i], &n) || n > MAX_MADE)
            return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: too large to be made", full);
    const SnAllocator *memory = b->arena->memory;
    float *data = sn_alloc(memory, n * sizeof *data, _Alignof(max_align_t));
    if (!data)
        return sn_graph_fail(b->g, SN_ENOMEM, "%s: no memory", full);
    uint64_t state = sn_hash64(full, strlen(full), 0);
    for (size_t i = 0; i < n; i++)
        data[i] = spread != 0 ? mean + spread * sn_nn_normal(&state) : mean;
    const SnStatus st = sn_weights_add(b->weights, full, SN_F32, ndim, dims, data, &err);
    sn_free(memory, data, n * sizeof *data, _Alignof(max_align_t));
    if (st != SN_OK)
        return sn_graph_fail(b->g, st, "%s", err.message);
    sn_text_printf(&b->made, "%s%s", b->made.n ? ", " : "", full);
    return sn_nn_param(b, name);
}
