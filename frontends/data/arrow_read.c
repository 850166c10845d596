/* arrow_read.c -- Arrow IPC streams and files, where they lie: columns look into the map.
 *
 * Every offset of the file is checked against what it points into before it is used. Buffers that are not
 * aligned are refused. Dictionaries and compressed buffers are not read. */
#include "frontends/data/arrow.h"

enum { FORGET_BYTES = 32 << 20 }; /* the map gives its memory back after so many */

const SnArrowUnit sn_arrow_units[] = {
    {"date32", SN_ARROW_DATE, SN_I32, 0, 0},
    {"date64", SN_ARROW_DATE, SN_I64, 1, 0},
    {"time32[s]", SN_ARROW_TIME, SN_I32, 0, 32},
    {"time32[ms]", SN_ARROW_TIME, SN_I32, 1, 32},
    {"time64[us]", SN_ARROW_TIME, SN_I64, 2, 64},
    {"time64[ns]", SN_ARROW_TIME, SN_I64, 3, 64},
    {"timestamp[s]", SN_ARROW_TIMESTAMP, SN_I64, 0, 0},
    {"timestamp[ms]", SN_ARROW_TIMESTAMP, SN_I64, 1, 0},
    {"timestamp[us]", SN_ARROW_TIMESTAMP, SN_I64, 2, 0},
    {"timestamp[ns]", SN_ARROW_TIMESTAMP, SN_I64, 3, 0},
    {"duration[s]", SN_ARROW_DURATION, SN_I64, 0, 0},
    {"duration[ms]", SN_ARROW_DURATION, SN_I64, 1, 0},
    {"duration[us]", SN_ARROW_DURATION, SN_I64, 2, 0},
    {"duration[ns]", SN_ARROW_DURATION, SN_I64, 3, 0},
};
const size_t sn_arrow_nunit = SN_COUNT(sn_arrow_units);

/* ---- FlatBuffers ---- */

typedef struct Flat { /* a table, or what a field of one points to; at 0: absent */
    SnBytes all;
    size_t at;
    bool *bad;
} Flat;

static uint64_t load(Flat f, size_t at, size_t size)
{
    uint64_t v = 0;
    if (at > f.all.n || f.all.n - at < size) {
        *f.bad = true;
        return 0;
    }
    for (size_t i = size; i > 0; i--)
        v = v << 8 | f.all.at[at + i - 1];
    return v;
}

/* Where field i of a table stands; 0: it has the default. */
static size_t field_at(Flat t, unsigned i)
{
    if (t.at == 0)
        return 0;
    const int64_t vtable = (int64_t)t.at - (int32_t)(uint32_t)load(t, t.at, 4);
    if (vtable < 0 || (uint64_t)vtable >= t.all.n) {
        *t.bad = true;
        return 0;
    }
    const size_t size = (size_t)load(t, (size_t)vtable, 2), slot = 4 + 2 * (size_t)i;
    const size_t offset = slot + 2 <= size ? (size_t)load(t, (size_t)vtable + slot, 2) : 0;
    return offset ? t.at + offset : 0;
}

static int64_t field_int(Flat t, unsigned i, size_t size, int64_t otherwise)
{
    const size_t at = field_at(t, i);
    if (!at)
        return otherwise;
    const uint64_t v = load(t, at, size);
    return size == 8   ? (int64_t)v
           : size == 4 ? (int32_t)(uint32_t)v
           : size == 2 ? (int16_t)(uint16_t)v
                       : (int64_t)v;
}

static Flat follow(Flat t, size_t at)
{
    const uint64_t step = at ? load(t, at, 4) : 0;
    t.at = at && step && step < t.all.n - at ? at + (size_t)step : 0;
    return t;
}

static Flat field_table(Flat t, unsigned i)
{
    return follow(t, field_at(t, i));
}

static SnBytes field_string(Flat t, unsigned i)
{
    const Flat s = field_table(t, i);
    const uint64_t n = s.at ? load(s, s.at, 4) : 0;
    if (!s.at || n > s.all.n - s.at - 4)
        return (SnBytes){NULL, 0};
    return sn_bytes(s.all.at + s.at + 4, (size_t)n);
}

/* The elements of a vector, each of so many bytes; *n of them. */
static Flat field_vector(Flat t, unsigned i, size_t each, size_t *n)
{
    Flat v = field_table(t, i);
    *n = 0;
    if (!v.at)
        return v;
    const uint64_t count = load(v, v.at, 4);
    if (v.all.n - v.at < 4 || count > (v.all.n - v.at - 4) / each) {
        *v.bad = true;
        v.at = 0;
        return v;
    }
    *n = (size_t)count;
    v.at += 4;
    return v;
}

/* ---- schema ---- */

typedef struct Stream {
    const SnDataFile *f;
    SnReader r;
    SnArena *arena; /* of types: the dataset's */
    SnDataset *d;
    bool is_hint; /* a schema alone, of which what is not known is left out */
    SnFeature *column;
    uint32_t ncol;
    SN_VEC(SnArray *) batch; /* ncol arrays each */
    bool bad;
    SnError *err;
} Stream;

static SnStatus damaged(const Stream *s, const char *what)
{
    return sn_fail(s->err, SN_EFORMAT, "%s: batch %zu: %s", s->f->path, s->batch.n, what);
}

static SnStatus read_field(Stream *s, Flat field, int depth, SnFeature *out);

static SnStatus read_children(Stream *s, Flat field, int depth, SnFeature *out)
{
    size_t n = 0;
    const Flat v = field_vector(field, 5, 4, &n);
    const bool is_list = out->kind == SN_DATA_LIST;
    SN_CHECK(depth < SN_ARROW_DEPTH && (is_list ? n == 1 : n <= UINT32_MAX), s->err, SN_EFORMAT,
             "%s: column %s: %zu fields inside", s->f->path, out->name, n);
    SnFeature *child = sn_arena_array(s->arena, n, sizeof *child);
    SN_CHECK(child || n == 0, s->err, SN_ENOMEM, "%s: no memory", s->f->path);
    for (size_t i = 0; i < n; i++)
        SN_TRY(read_field(s, follow(v, v.at + 4 * i), depth + 1, &child[i]));
    out->child = child;
    out->nchild = (uint32_t)n;
    return SN_OK;
}

static bool int_type(Flat type, SnFeature *out)
{
    static const SnDtype dtype[2][4] = {{SN_U8, SN_U16, SN_U32, SN_U64}, {SN_I8, SN_I16, SN_I32, SN_I64}};
    const int64_t bits = field_int(type, 0, 4, 0);
    for (int i = 0; i < 4; i++)
        if (bits == 8 << i)
            out->dtype = dtype[field_int(type, 1, 1, 0) != 0][i];
    return out->dtype != SN_NODTYPE;
}

static bool unit_type(SnArena *arena, SnArrowType tag, Flat type, SnFeature *out)
{
    const int64_t otherwise = tag == SN_ARROW_DATE || tag == SN_ARROW_TIME || tag == SN_ARROW_DURATION;
    const int64_t unit = field_int(type, 0, 2, otherwise);
    const SnBytes zone = tag == SN_ARROW_TIMESTAMP ? field_string(type, 1) : (SnBytes){NULL, 0};
    for (size_t i = 0; i < sn_arrow_nunit; i++) {
        const SnArrowUnit *u = &sn_arrow_units[i];
        if (u->type != tag || u->unit != unit)
            continue;
        out->dtype = u->dtype;
        out->unit = !zone.n ? u->name
                            : sn_arena_printf(arena, "%.*s, tz=%.*s]", (int)strlen(u->name) - 1, u->name,
                                              (int)zone.n, (const char *)zone.at);
        return out->unit != NULL;
    }
    return false;
}

static bool read_type(SnArena *arena, int64_t tag, Flat type, SnFeature *out)
{
    static const SnDtype floats[] = {SN_F16, SN_F32, SN_F64};
    const int64_t precision = tag == SN_ARROW_FLOAT ? field_int(type, 0, 2, 0) : 0;
    out->kind = SN_DATA_NUMBER;
    switch (tag) {
    case SN_ARROW_NULL:
        out->kind = SN_DATA_NULL;
        return true;
    case SN_ARROW_BOOL:
        out->dtype = SN_BOOL;
        return true;
    case SN_ARROW_INT:
        return int_type(type, out);
    case SN_ARROW_FLOAT:
        out->dtype = precision >= 0 && precision < 3 ? floats[precision] : SN_NODTYPE;
        return out->dtype != SN_NODTYPE;
    case SN_ARROW_UTF8:
    case SN_ARROW_LARGE_UTF8:
        out->kind = SN_DATA_TEXT;
        out->is_wide = tag == SN_ARROW_LARGE_UTF8;
        return true;
    case SN_ARROW_BINARY:
    case SN_ARROW_LARGE_BINARY:
        out->kind = SN_DATA_BINARY;
        out->is_wide = tag == SN_ARROW_LARGE_BINARY;
        return true;
    case SN_ARROW_LIST:
    case SN_ARROW_LARGE_LIST:
        out->kind = SN_DATA_LIST;
        out->is_wide = tag == SN_ARROW_LARGE_LIST;
        return true;
    case SN_ARROW_FIXED_LIST:
        out->kind = SN_DATA_LIST;
        out->length = field_int(type, 0, 4, 0);
        return out->length > 0;
    case SN_ARROW_STRUCT:
        out->kind = SN_DATA_STRUCT;
        return true;
    default:
        return unit_type(arena, (SnArrowType)tag, type, out);
    }
}

static SnStatus read_field(Stream *s, Flat field, int depth, SnFeature *out)
{
    const SnBytes name = field_string(field, 0);
    *out = (SnFeature){.name = sn_arena_strndup(s->arena, (const char *)name.at, name.n)};
    SN_CHECK(out->name, s->err, SN_ENOMEM, "%s: no memory", s->f->path);
    SN_CHECK(sn_utf8_valid(name), s->err, SN_EFORMAT, "%s: the name of a column is no UTF-8", s->f->path);
    const int64_t tag = field_int(field, 2, 1, 0);
    SN_CHECK(s->is_hint || !field_table(field, 4).at, s->err, SN_EUNSUPPORTED,
             "%s: column %s: dictionaries are not read", s->f->path, out->name);
    const bool is_known = read_type(s->arena, tag, field_table(field, 3), out);
    SN_CHECK(is_known || s->is_hint, s->err, SN_EUNSUPPORTED, "%s: column %s: type %lld of Arrow is not read",
             s->f->path, out->name, (long long)tag);
    if (!is_known)
        *out = (SnFeature){.name = out->name};
    if (out->kind == SN_DATA_LIST || out->kind == SN_DATA_STRUCT)
        return read_children(s, field, depth, out);
    return SN_OK;
}

/* The names of labels, which are in the metadata "huggingface" of the schema. */
static SnStatus read_labels(Stream *s, Flat schema)
{
    size_t n = 0;
    const Flat meta = field_vector(schema, 2, 4, &n);
    for (size_t i = 0; i < n; i++) {
        const Flat pair = follow(meta, meta.at + 4 * i);
        SnJson *v = NULL;
        SnError ignored;
        if (!sn_bytes_is(field_string(pair, 0), "huggingface") ||
            sn_json_parse(s->arena, s->f->path, field_string(pair, 1), &v, &ignored) != SN_OK)
            continue;
        const SnJson *features = sn_json_get(sn_json_get(v, "info"), "features");
        for (uint32_t k = 0; k < s->ncol; k++)
            SN_TRY(
                sn_feature_parse(s->arena, sn_json_get(features, s->column[k].name), &s->column[k], s->err));
    }
    return SN_OK;
}

static SnStatus read_schema(Stream *s, Flat schema)
{
    size_t n = 0;
    SN_CHECK(s->column == NULL, s->err, SN_EFORMAT, "%s: two schemas", s->f->path);
    const Flat fields = field_vector(schema, 1, 4, &n);
    SN_CHECK(!s->bad && n < UINT32_MAX && field_int(schema, 0, 2, 0) == 0, s->err, SN_EFORMAT,
             "%s: the schema is damaged, or not little endian", s->f->path);
    if (!s->is_hint) {
        SN_TRY(sn_table_create(s->f->ctx, (uint32_t)n, &s->d, s->err));
        s->arena = &s->d->arena;
    }
    s->ncol = (uint32_t)n;
    s->column = sn_arena_array(s->arena, n + 1, sizeof *s->column);
    SN_CHECK(s->column, s->err, SN_ENOMEM, "%s: no memory", s->f->path);
    for (size_t i = 0; i < n; i++)
        SN_TRY(read_field(s, follow(fields, fields.at + 4 * i), 0, &s->column[i]));
    return s->bad ? damaged(s, "the schema is damaged") : read_labels(s, schema);
}

/* ---- batches ---- */

typedef struct Batch {
    Flat nodes, buffers; /* of 16 bytes each */
    size_t nnode, nbuffer, node, buffer;
    SnBytes body;
} Batch;

static bool take_buffer(Batch *b, SnBytes *out)
{
    if (b->buffer >= b->nbuffer)
        return false;
    const size_t at = b->buffers.at + 16 * b->buffer++;
    const uint64_t offset = load(b->buffers, at, 8), size = load(b->buffers, at + 8, 8);
    if (offset > b->body.n || size > b->body.n - offset)
        return false;
    *out = sn_bytes(b->body.at + offset, (size_t)size);
    return true;
}

/* Offsets grow and stay inside of what they point into. */
static bool check_offsets(const SnArray *a, size_t most)
{
    int64_t before = 0;
    for (int64_t i = 0; i <= a->n; i++) {
        const int64_t at = sn_array_offset(a, i);
        if (at < before || (uint64_t)at > most)
            return false;
        before = at;
    }
    return true;
}

static const char *take_offsets(Batch *b, SnArray *a)
{
    static const int64_t none;
    SnBytes offsets;
    size_t want = 0;
    const size_t each = a->type->is_wide ? 8 : 4;
    if (!take_buffer(b, &offsets))
        return "offsets are outside of the file";
    a->offsets = offsets.at;
    if (a->n == 0 && offsets.n < each)
        a->offsets = &none;
    else if (!sn_mul_size((size_t)a->n + 1, each, &want) || offsets.n < want ||
             ((uintptr_t)offsets.at & (each - 1)))
        return "too few offsets, or not aligned";
    return NULL;
}

static const char *take_array(Stream *s, Batch *b, const SnFeature *type, SnArray *a);

static const char *take_children(Stream *s, Batch *b, SnArray *a)
{
    const SnFeature *type = a->type;
    SnArray *child = sn_arena_array(&s->d->arena, (size_t)type->nchild + 1, sizeof *child);
    if (!child)
        return "no memory";
    a->child = child;
    for (uint32_t i = 0; i < type->nchild; i++) {
        const char *bad = take_array(s, b, &type->child[i], &child[i]);
        int64_t want = a->n;
        if (bad)
            return bad;
        if (type->kind == SN_DATA_LIST && (type->length == 0 || !sn_mul_i64(a->n, type->length, &want)))
            want = 0;
        if (child[i].n < want)
            return "fewer rows inside of a column than it has";
    }
    if (type->kind == SN_DATA_LIST && !type->length && !check_offsets(a, (size_t)child->n))
        return "offsets go back, or beyond the end";
    return NULL;
}

/* Numbers: enough of them. */
static const char *take_values(Batch *b, SnArray *a)
{
    SnBytes data;
    size_t want = 0;
    const bool is_bits = a->type->dtype == SN_BOOL;
    const size_t each = is_bits ? 1 : sn_dtype_size(a->type->dtype), n = (size_t)a->n;
    if (!take_buffer(b, &data))
        return "values are outside of the file";
    if (!sn_mul_size(is_bits ? n / 8 + (n % 8 != 0) : n, each, &want) || data.n < want)
        return "too few values";
    if (want && ((uintptr_t)data.at & (each - 1)) != 0)
        return "values are not aligned";
    a->data = data.at;
    a->data_size = data.n;
    return NULL;
}

static const char *take_texts(Batch *b, SnArray *a)
{
    SnBytes data;
    const char *bad = take_offsets(b, a);
    if (bad)
        return bad;
    if (!take_buffer(b, &data) || !check_offsets(a, data.n))
        return "texts are outside of the file, or their offsets go back";
    a->data = data.at;
    a->data_size = data.n;
    return NULL;
}

static const char *take_array(Stream *s, Batch *b, const SnFeature *type, SnArray *a)
{
    SnBytes valid = {NULL, 0};
    if (b->node >= b->nnode)
        return "too few columns";
    const int64_t n = (int64_t)load(b->nodes, b->nodes.at + 16 * b->node, 8);
    const int64_t nnull = (int64_t)load(b->nodes, b->nodes.at + 16 * b->node++ + 8, 8);
    if (n < 0 || n > INT64_MAX / 64)
        return "a number of rows is wrong";
    *a = (SnArray){.type = type, .n = n};
    if (type->kind == SN_DATA_NULL)
        return NULL;
    if (!take_buffer(b, &valid))
        return "a column is outside of the file";
    if (nnull != 0 && valid.n) {
        if (valid.n < (size_t)n / 8 + (n % 8 != 0))
            return "too few bits of nulls";
        a->valid = valid.at;
    }
    if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY)
        return take_texts(b, a);
    if (type->kind == SN_DATA_LIST && !type->length) {
        const char *bad = take_offsets(b, a);
        if (bad)
            return bad;
    }
    if (type->kind == SN_DATA_LIST || type->kind == SN_DATA_STRUCT)
        return take_children(s, b, a);
    return take_values(b, a);
}

static SnStatus read_batch(Stream *s, Flat batch, SnBytes body)
{
    SN_CHECK(s->d, s->err, SN_EFORMAT, "%s: rows before the schema", s->f->path);
    Batch b = {.body = body};
    b.nodes = field_vector(batch, 1, 16, &b.nnode);
    b.buffers = field_vector(batch, 2, 16, &b.nbuffer);
    SN_CHECK(!field_table(batch, 3).at, s->err, SN_EUNSUPPORTED, "%s: compressed batches are not read",
             s->f->path);
    const int64_t n = field_int(batch, 0, 8, 0);
    SnArray *col = sn_arena_array(&s->d->arena, (size_t)s->ncol + 1, sizeof *col);
    SN_CHECK(col && sn_vec_push(sn_allocator(s->f->ctx), &s->batch, col), s->err, SN_ENOMEM, "%s: no memory",
             s->f->path);
    for (uint32_t i = 0; i < s->ncol; i++) {
        const char *bad = take_array(s, &b, &s->column[i], &col[i]);
        SN_CHECK(!bad && !s->bad && col[i].n == n, s->err, SN_EFORMAT, "%s: batch %zu, column %s: %s",
                 s->f->path, s->batch.n, s->column[i].name, bad ? bad : "another number of rows");
    }
    return SN_OK;
}

/* One message; *more: another may follow. */
static SnStatus read_message(Stream *s, bool *more)
{
    uint32_t size = sn_read_u32le(&s->r);
    *more = false;
    if (s->r.bad)
        return SN_OK;
    if (size == UINT32_MAX)
        size = sn_read_u32le(&s->r);
    if (size == 0 && !s->r.bad)
        return SN_OK;
    const SnBytes meta = sn_take(&s->r, size);
    if (s->r.bad || size < 8)
        return damaged(s, "the file is cut off");
    Flat root = {.all = meta, .at = 0, .bad = &s->bad};
    root.at = (size_t)load(root, 0, 4);
    const int64_t tag = field_int(root, 1, 1, 0), body_size = field_int(root, 3, 8, 0);
    const Flat header = field_table(root, 2);
    if (body_size < 0 || (uint64_t)body_size > s->r.left)
        return damaged(s, "the file is cut off");
    const SnBytes body = sn_take(&s->r, (size_t)body_size);
    *more = true;
    if (tag == SN_ARROW_SCHEMA && header.at)
        return read_schema(s, header);
    if (tag == SN_ARROW_BATCH && header.at)
        return read_batch(s, header, body);
    return tag == SN_ARROW_DICTIONARY
               ? sn_fail(s->err, SN_EUNSUPPORTED, "%s: dictionaries are not read", s->f->path)
               : damaged(s, "no message of a stream");
}

static SnStatus end_stream(Stream *s)
{
    SN_CHECK(s->d, s->err, SN_EFORMAT, "%s: no Arrow stream", s->f->path);
    SN_CHECK(s->batch.n < UINT32_MAX, s->err, SN_EFORMAT, "%s: too many batches", s->f->path);
    for (uint32_t i = 0; i < s->ncol; i++) {
        SnArray *chunk = sn_arena_array(&s->d->arena, s->batch.n + 1, sizeof *chunk);
        SN_CHECK(chunk, s->err, SN_ENOMEM, "%s: no memory", s->f->path);
        for (size_t k = 0; k < s->batch.n; k++)
            chunk[k] = s->batch.at[k][i];
        SN_TRY(sn_table_chunks(s->d, i, chunk, (uint32_t)s->batch.n, &s->d->nrow, s->err));
        s->d->col[i].type = s->column[i];
    }
    return SN_OK;
}

SnStatus sn_arrow_schema(const SnDataFile *f, SnArena *arena, SnBytes message, const SnFeature **out,
                         uint32_t *n, SnError *err)
{
    Stream s = {.f = f, .r = sn_reader(message), .arena = arena, .is_hint = true, .err = err};
    bool more = false;
    SN_TRY(read_message(&s, &more));
    SN_CHECK(s.column, err, SN_EFORMAT, "%s: no schema of Arrow", f->path);
    *out = s.column;
    *n = s.ncol;
    return SN_OK;
}

SnStatus sn_read_arrow(const SnDataFile *f, SnDataset **out, SnError *err)
{
    static const char magic[8] = "ARROW1";
    SnBytes bytes = f->bytes;
    if (bytes.n >= sizeof magic && memcmp(bytes.at, magic, sizeof magic) == 0)
        bytes = sn_bytes(bytes.at + sizeof magic, bytes.n - sizeof magic);
    Stream s = {.f = f, .r = sn_reader(bytes), .err = err};
    SnStatus st = SN_OK;
    size_t last = s.r.left;
    for (bool more = true; st == SN_OK && more;) {
        st = read_message(&s, &more);
        if (last - s.r.left > FORGET_BYTES || !more) {
            (void)sn_file_forget(f->file, f->bytes);
            last = s.r.left;
        }
    }
    if (st == SN_OK)
        st = end_stream(&s);
    sn_vec_clear(sn_allocator(f->ctx), &s.batch);
    return sn_table_finish(st, s.d, out);
}
