/* gguf.c -- reads the GGUF container. Everything in it is checked before it is used. */
#include "frontends/gguf/gguf.h"

#include <inttypes.h>

#define MAGIC     0x46554747u /* "GGUF" */
#define ALIGNMENT 32
#define MAX_NAME  65535
#define MAX_DEPTH 8 /* of arrays in arrays */

/* https://github.com/ggml-org/ggml/blob/master/include/ggml.h */
static const SnGgmlType types[] = {
    {0, "F32", SN_F32, 1, 4},
    {1, "F16", SN_F16, 1, 2},
    {2, "Q4_0", SN_NODTYPE, 32, 18},
    {3, "Q4_1", SN_NODTYPE, 32, 20},
    {6, "Q5_0", SN_NODTYPE, 32, 22},
    {7, "Q5_1", SN_NODTYPE, 32, 24},
    {8, "Q8_0", SN_NODTYPE, 32, 34},
    {9, "Q8_1", SN_NODTYPE, 32, 36},
    {10, "Q2_K", SN_NODTYPE, 256, 84},
    {11, "Q3_K", SN_NODTYPE, 256, 110},
    {12, "Q4_K", SN_NODTYPE, 256, 144},
    {13, "Q5_K", SN_NODTYPE, 256, 176},
    {14, "Q6_K", SN_NODTYPE, 256, 210},
    {15, "Q8_K", SN_NODTYPE, 256, 292},
    {20, "IQ4_NL", SN_NODTYPE, 32, 18},
    {23, "IQ4_XS", SN_NODTYPE, 256, 136},
    {24, "I8", SN_I8, 1, 1},
    {25, "I16", SN_I16, 1, 2},
    {26, "I32", SN_I32, 1, 4},
    {27, "I64", SN_I64, 1, 8},
    {28, "F64", SN_F64, 1, 8},
    {30, "BF16", SN_BF16, 1, 2},
    {39, "MXFP4", SN_NODTYPE, 32, 17},
};

const SnGgmlType *sn_ggml_type(uint32_t id)
{
    for (size_t i = 0; i < SN_COUNT(types); i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const SnGgmlType *sn_ggml_type_named(const char *name)
{
    const size_t i = SN_FIND_ROW(types, name, sn_bytes_str(name));
    return i < SN_COUNT(types) ? &types[i] : NULL;
}

typedef struct Load {
    const char *name;
    SnReader r;
    SnGguf *f;
    size_t file_size;
} Load;

static SnStatus read_string(Load *l, SnBytes *out, SnError *err)
{
    const uint64_t n = sn_read_u64le(&l->r);
    SN_CHECK(!l->r.bad && n <= l->r.left, err, SN_EFORMAT, "%s: a string of %" PRIu64 " bytes, %zu are left",
             l->name, n, l->r.left);
    *out = sn_take(&l->r, (size_t)n);
    return SN_OK;
}

/* ---- metadata ---- */

typedef enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    BOOL,
    STRING,
    ARRAY,
    U64,
    I64,
    F64,
    NVALUE
} ValueType;

static const uint8_t value_size[NVALUE] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8}; /* at least */

static uint64_t read_bits(Load *l, ValueType type)
{
    switch (value_size[type]) {
    case 1:
        return sn_read_u8(&l->r);
    case 2:
        return sn_read_u16le(&l->r);
    case 4:
        return sn_read_u32le(&l->r);
    default:
        return sn_read_u64le(&l->r);
    }
}

static SnJson integer(uint64_t bits, bool is_signed)
{
    if (!is_signed && bits > INT64_MAX)
        return (SnJson){.kind = SN_JSON_FLOAT, .u.number = (double)bits};
    return (SnJson){.kind = SN_JSON_INT, .u.integer = (int64_t)bits};
}

static SnJson number(ValueType type, uint64_t bits)
{
    SnJson v = {.kind = SN_JSON_FLOAT};
    float f;
    const uint32_t low = (uint32_t)bits;
    switch (type) {
    case I8:
        return integer((uint64_t)(int64_t)(int8_t)bits, true);
    case I16:
        return integer((uint64_t)(int64_t)(int16_t)bits, true);
    case I32:
        return integer((uint64_t)(int64_t)(int32_t)low, true);
    case I64:
        return integer(bits, true);
    case BOOL:
        return (SnJson){.kind = SN_JSON_BOOL, .u.boolean = bits != 0};
    case F32:
        memcpy(&f, &low, sizeof f);
        v.u.number = (double)f;
        return v;
    case F64:
        memcpy(&v.u.number, &bits, sizeof bits);
        return v;
    default:
        return integer(bits, false);
    }
}

/* Strings are followed by a NUL byte, as those of a parsed JSON text. */
static SnStatus string_value(Load *l, SnJson *out, SnError *err)
{
    SnBytes s;
    SN_TRY(read_string(l, &s, err));
    const char *copy = sn_arena_strndup(&l->f->arena, (const char *)s.at, s.n);
    SN_CHECK(copy, err, SN_ENOMEM, "%s: no memory for metadata", l->name);
    *out = (SnJson){.kind = SN_JSON_STRING, .u.string = sn_bytes(copy, s.n)};
    return SN_OK;
}

static SnStatus scalar_value(Load *l, uint32_t type, SnJson *out, SnError *err)
{
    SN_CHECK(type < NVALUE, err, SN_EFORMAT, "%s: metadata of unknown type %" PRIu32, l->name, type);
    if (type == STRING)
        return string_value(l, out, err);
    *out = number((ValueType)type, read_bits(l, (ValueType)type));
    SN_CHECK(!l->r.bad, err, SN_EFORMAT, "%s: metadata ends too early", l->name);
    return SN_OK;
}

/* Room for the elements of an array, no more than the file has bytes for. */
static SnStatus array_value(Load *l, SnJson *out, uint32_t *type, SnError *err)
{
    *type = sn_read_u32le(&l->r);
    const uint64_t n = sn_read_u64le(&l->r);
    SN_CHECK(*type < NVALUE, err, SN_EFORMAT, "%s: an array of unknown type %" PRIu32, l->name, *type);
    SN_CHECK(!l->r.bad && n <= l->r.left / value_size[*type], err, SN_EFORMAT,
             "%s: an array of %" PRIu64 " values, %zu bytes are left", l->name, n, l->r.left);
    SN_CHECK(n < UINT32_MAX, err, SN_EUNSUPPORTED, "%s: an array of %" PRIu64 " values", l->name, n);
    SnJson *child = sn_arena_array(&l->f->arena, (size_t)n + 1, sizeof *child);
    SN_CHECK(child, err, SN_ENOMEM, "%s: no memory for %" PRIu64 " values", l->name, n);
    *out = (SnJson){.kind = SN_JSON_ARRAY, .n = (uint32_t)n, .u.child = child};
    return SN_OK;
}

typedef struct Level {
    SnJson *array;
    uint32_t type, at;
} Level;

static SnStatus read_value(Load *l, uint32_t type, SnJson *out, SnError *err)
{
    Level level[MAX_DEPTH];
    int depth = 0;
    if (type != ARRAY)
        return scalar_value(l, type, out, err);
    SN_TRY(array_value(l, out, &type, err));
    level[0] = (Level){out, type, 0};
    while (depth >= 0) {
        Level *top = &level[depth];
        if (top->at == top->array->n) {
            depth--;
            continue;
        }
        SnJson *v = &top->array->u.child[top->at++];
        if (top->type != ARRAY) {
            SN_TRY(scalar_value(l, top->type, v, err));
            continue;
        }
        SN_CHECK(depth + 1 < MAX_DEPTH, err, SN_EUNSUPPORTED, "%s: arrays more than %d deep", l->name,
                 MAX_DEPTH);
        SN_TRY(array_value(l, v, &type, err));
        level[++depth] = (Level){v, type, 0};
    }
    return SN_OK;
}

static SnStatus read_metadata(Load *l, uint64_t n, SnError *err)
{
    SnJson *object = sn_arena_alloc(&l->f->arena, sizeof *object);
    SN_CHECK(n <= l->r.left / 12 && n < UINT32_MAX, err, SN_EFORMAT, "%s: %" PRIu64 " keys in %zu bytes",
             l->name, n, l->file_size);
    SnJson *child = sn_arena_array(&l->f->arena, (size_t)n + 1, sizeof *child);
    SnBytes *pair = sn_arena_array(&l->f->arena, (size_t)n + 1, sizeof *pair);
    SN_CHECK(object && child && pair, err, SN_ENOMEM, "%s: no memory for %" PRIu64 " keys", l->name, n);
    for (uint64_t i = 0; i < n; i++) {
        SnBytes key;
        const uint8_t *at = l->r.at;
        SN_TRY(read_string(l, &key, err));
        const uint32_t type = sn_read_u32le(&l->r);
        const char *own = sn_arena_strndup(&l->f->arena, (const char *)key.at, key.n);
        SN_CHECK(own, err, SN_ENOMEM, "%s: no memory for keys", l->name);
        SN_TRY(read_value(l, type, &child[i], err));
        child[i].key = sn_bytes(own, key.n);
        pair[i] = sn_bytes(at, (size_t)(l->r.at - at));
    }
    *object = (SnJson){.kind = SN_JSON_OBJECT, .n = (uint32_t)n, .u.child = child};
    l->f->metadata = object;
    l->f->pair = pair;
    return SN_OK;
}

/* ---- tensors ---- */

static SnStatus read_dims(Load *l, SnGgufTensor *t, uint64_t *count, SnError *err)
{
    const uint32_t n = sn_read_u32le(&l->r);
    SN_CHECK(n <= SN_COUNT(t->dims), err, SN_EFORMAT, "%s: tensor %.*s has %" PRIu32 " dims", l->name,
             (int)t->name.n, (const char *)t->name.at, n);
    t->ndim = (int)n;
    *count = 1;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t d = sn_read_u64le(&l->r);
        SN_CHECK(d <= INT64_MAX && (d == 0 || *count <= (uint64_t)INT64_MAX / 16 / d), err, SN_EFORMAT,
                 "%s: tensor %.*s: its size overflows", l->name, (int)t->name.n, (const char *)t->name.at);
        t->dims[n - 1 - i] = (int64_t)d;
        *count *= d;
    }
    return SN_OK;
}

/* Leaves the offset in bytes.n and the size in *size. */
static SnStatus read_tensor(Load *l, SnGgufTensor *t, uint64_t *offset, uint64_t *size, SnError *err)
{
    uint64_t count = 0;
    SN_TRY(read_string(l, &t->name, err));
    SN_CHECK(t->name.n > 0 && t->name.n <= MAX_NAME && sn_utf8_valid(t->name), err, SN_EFORMAT,
             "%s: a tensor's name is no text", l->name);
    SN_TRY(read_dims(l, t, &count, err));
    const uint32_t type = sn_read_u32le(&l->r);
    *offset = sn_read_u64le(&l->r);
    SN_CHECK(!l->r.bad, err, SN_EFORMAT, "%s: the list of tensors ends too early", l->name);
    t->type = sn_ggml_type(type);
    SN_CHECK(t->type, err, SN_EUNSUPPORTED, "%s: tensor %.*s is of GGML type %" PRIu32, l->name,
             (int)t->name.n, (const char *)t->name.at, type);
    const int64_t row = t->ndim ? t->dims[t->ndim - 1] : 1;
    SN_CHECK(row % t->type->block == 0, err, SN_EFORMAT,
             "%s: tensor %.*s: rows of %" PRId64 " are no blocks of %s", l->name, (int)t->name.n,
             (const char *)t->name.at, row, t->type->name);
    *size = count / t->type->block * t->type->bytes;
    return SN_OK;
}

static SnStatus place_tensors(Load *l, SnBytes all, const uint64_t *offset, const uint64_t *size,
                              SnError *err)
{
    int64_t align = ALIGNMENT;
    const SnJson *given = sn_json_get(l->f->metadata, "general.alignment");
    SN_CHECK(!given || (sn_json_int(given, &align) && align > 0 && align <= 1 << 20 && align % 8 == 0), err,
             SN_EFORMAT, "%s: general.alignment is no multiple of 8", l->name);
    const size_t head = all.n - l->r.left, pad = (size_t)align - 1;
    const size_t base = (head + pad) / (size_t)align * (size_t)align;
    for (size_t i = 0; i < l->f->ntensor; i++) {
        SnGgufTensor *t = &l->f->tensor[i];
        SN_CHECK(offset[i] % (uint64_t)align == 0 && base <= all.n && offset[i] <= all.n - base &&
                     size[i] <= all.n - base - offset[i],
                 err, SN_EFORMAT, "%s: tensor %.*s: bytes %" PRIu64 " to %" PRIu64 " of %zu", l->name,
                 (int)t->name.n, (const char *)t->name.at, offset[i], offset[i] + size[i], all.n);
        t->bytes = sn_bytes(all.at + base + offset[i], (size_t)size[i]);
        uint32_t other;
        SN_CHECK(!sn_map_get(&l->f->index, t->name, &other), err, SN_EFORMAT,
                 "%s: tensor %.*s stands there twice", l->name, (int)t->name.n, (const char *)t->name.at);
        SN_CHECK(sn_map_put(&l->f->index, t->name, (uint32_t)i), err, SN_ENOMEM, "%s: no memory for names",
                 l->name);
    }
    return SN_OK;
}

static SnStatus read_tensors(Load *l, SnBytes all, uint64_t n, SnError *err)
{
    SN_CHECK(n <= l->r.left / 24 && n < UINT32_MAX, err, SN_EFORMAT, "%s: %" PRIu64 " tensors in %zu bytes",
             l->name, n, all.n);
    uint64_t *offset = sn_arena_array(&l->f->arena, (size_t)n + 1, sizeof *offset);
    uint64_t *size = sn_arena_array(&l->f->arena, (size_t)n + 1, sizeof *size);
    l->f->tensor = sn_arena_array(&l->f->arena, (size_t)n + 1, sizeof *l->f->tensor);
    SN_CHECK(offset && size && l->f->tensor, err, SN_ENOMEM, "%s: no memory for %" PRIu64 " tensors", l->name,
             n);
    for (uint64_t i = 0; i < n; i++)
        SN_TRY(read_tensor(l, &l->f->tensor[i], &offset[i], &size[i], err));
    l->f->ntensor = (size_t)n;
    return place_tensors(l, all, offset, size, err);
}

static SnStatus read_file(Load *l, SnBytes all, SnError *err)
{
    SN_CHECK(sn_read_u32le(&l->r) == MAGIC, err, SN_EFORMAT, "%s: no GGUF file", l->name);
    const uint32_t version = sn_read_u32le(&l->r);
    SN_CHECK(!l->r.bad, err, SN_EFORMAT, "%s: the header ends too early", l->name);
    SN_CHECK(version == 2 || version == 3, err, SN_EUNSUPPORTED,
             "%s: GGUF version %" PRIu32 ", known are 2 and 3", l->name, version);
    const uint64_t ntensor = sn_read_u64le(&l->r), nkey = sn_read_u64le(&l->r);
    SN_CHECK(!l->r.bad, err, SN_EFORMAT, "%s: the header ends too early", l->name);
    SN_TRY(read_metadata(l, nkey, err));
    return read_tensors(l, all, ntensor, err);
}

SnStatus sn_gguf_parse(SnContext *ctx, const char *name, SnBytes bytes, SnGguf *out, SnError *err)
{
    *out = (SnGguf){0};
    sn_arena_init(&out->arena, sn_allocator(ctx));
    sn_map_init(&out->index, sn_allocator(ctx));
    Load l = {.name = name, .r = sn_reader(bytes), .f = out, .file_size = bytes.n};
    const SnStatus st = read_file(&l, bytes, err);
    if (st != SN_OK)
        sn_gguf_close(out);
    return st;
}

SnStatus sn_gguf_open(SnContext *ctx, const char *path, SnGguf *out, SnError *err)
{
    SnFile *file = NULL;
    SN_TRY(sn_file_open(ctx, path, &file, err));
    const SnStatus st = sn_gguf_parse(ctx, path, sn_file_bytes(file), out, err);
    if (st == SN_OK)
        out->file = file;
    else
        sn_file_release(file);
    return st;
}

void sn_gguf_close(SnGguf *f)
{
    sn_map_clear(&f->index);
    sn_arena_clear(&f->arena);
    sn_file_release(f->file);
    *f = (SnGguf){0};
}

const SnGgufTensor *sn_gguf_find(const SnGguf *f, const char *name)
{
    uint32_t at = 0;
    return sn_map_get(&f->index, sn_bytes_str(name), &at) ? &f->tensor[at] : NULL;
}
