/* parquet_meta.c -- the footer of a Parquet file: its schema, what Arrow and datasets wrote about it beside,
 * and where the pages of each column lie. */
#include "frontends/data/parquet_schema.h"

#include "frontends/base64.h"
#include "frontends/data/arrow.h"

typedef struct Footer {
    const SnDataFile *f;
    SnArena *arena;
    SnThrift t;
    SnParquetMeta *out;
    size_t nelement;
    SnParquetElement *element;
    SnBytes arrow, huggingface; /* values of their keys */
    SnError *err;
} Footer;

static SnStatus damaged(const Footer *x)
{
    return sn_fail(x->err, SN_EFORMAT, "%s: the footer is damaged", x->f->path);
}

/* ---- schema ---- */

static void read_logical(SnThrift *t, SnParquetElement *e)
{
    SnThriftField kind = {0};
    while (sn_thrift_next(t, &kind)) {
        SnThriftField f = {0};
        if (!sn_thrift_is_struct(t, &kind))
            continue;
        e->logical = (SnParquetLogical)kind.id;
        const bool is_time = kind.id == SN_PARQUET_TIME || kind.id == SN_PARQUET_TIMESTAMP;
        while (sn_thrift_next(t, &f)) {
            if (is_time && f.id == 1) {
                e->is_utc = sn_thrift_bool(t, &f);
            } else if (is_time && f.id == 2 && sn_thrift_is_struct(t, &f)) {
                SnThriftField unit = {0};
                for (; sn_thrift_next(t, &unit); sn_thrift_skip(t, unit.type))
                    e->unit = unit.id;
            } else if (kind.id == SN_PARQUET_INTEGER && f.id == 1) {
                e->bits = (int)sn_thrift_int(t, &f, 0);
            } else if (kind.id == SN_PARQUET_INTEGER && f.id == 2) {
                e->is_signed = sn_thrift_bool(t, &f);
            } else if (kind.id == SN_PARQUET_DECIMAL && f.id == 1) {
                e->scale = sn_thrift_int(t, &f, 0);
            } else if (!is_time || f.id != 2) {
                sn_thrift_skip(t, f.type);
            }
        }
    }
}

static int small(int64_t v)
{
    return v >= 0 && v < INT8_MAX ? (int)v : -1;
}

static void read_element(SnThrift *t, SnParquetElement *e)
{
    SnThriftField f = {0};
    *e = (SnParquetElement){.physical = -1, .repetition = -1, .converted = -1};
    while (sn_thrift_next(t, &f))
        switch (f.id) {
        case 1:
            e->physical = small(sn_thrift_int(t, &f, -1));
            break;
        case 2:
            e->width = sn_thrift_int(t, &f, 0);
            break;
        case 3:
            e->repetition = small(sn_thrift_int(t, &f, -1));
            break;
        case 4:
            e->name = sn_thrift_binary(t, &f);
            break;
        case 5:
            e->nchild = sn_thrift_int(t, &f, 0);
            break;
        case 6:
            e->converted = small(sn_thrift_int(t, &f, -1));
            break;
        case 7:
            e->scale = sn_thrift_int(t, &f, 0);
            break;
        case 10:
            if (sn_thrift_is_struct(t, &f))
                read_logical(t, e);
            break;
        default:
            sn_thrift_skip(t, f.type);
        }
}

static SnStatus read_schema(Footer *x, const SnThriftField *f)
{
    x->nelement = sn_thrift_list(&x->t, f, SN_THRIFT_STRUCT);
    x->element = sn_arena_array(x->arena, x->nelement + 1, sizeof *x->element);
    SN_CHECK(x->element, x->err, SN_ENOMEM, "%s: no memory", x->f->path);
    for (size_t i = 0; i < x->nelement && !x->t.r.bad; i++)
        read_element(&x->t, &x->element[i]);
    if (x->t.r.bad)
        return damaged(x);
    return sn_parquet_schema(x->arena, x->f->path, x->element, x->nelement, x->out, x->err);
}

/* ---- row groups ---- */

typedef struct Chunk { /* of a column, as it stands in the footer */
    int64_t physical, codec, nvalue, size, data, dictionary;
    bool is_elsewhere;
} Chunk;

static void read_chunk_meta(SnThrift *t, Chunk *c)
{
    SnThriftField f = {0};
    while (sn_thrift_next(t, &f))
        switch (f.id) {
        case 1:
            c->physical = sn_thrift_int(t, &f, -1);
            break;
        case 4:
            c->codec = sn_thrift_int(t, &f, -1);
            break;
        case 5:
            c->nvalue = sn_thrift_int(t, &f, -1);
            break;
        case 7:
            c->size = sn_thrift_int(t, &f, -1);
            break;
        case 9:
            c->data = sn_thrift_int(t, &f, -1);
            break;
        case 11:
            c->dictionary = sn_thrift_int(t, &f, 0);
            break;
        default:
            sn_thrift_skip(t, f.type);
        }
}

static SnStatus read_chunk(Footer *x, const SnParquetLeaf *leaf, SnParquetChunk *out)
{
    Chunk c = {.codec = -1, .physical = -1};
    SnThriftField f = {0};
    while (sn_thrift_next(&x->t, &f))
        if (f.id == 1) {
            c.is_elsewhere = sn_thrift_binary(&x->t, &f).n > 0;
        } else if (f.id == 3) {
            if (sn_thrift_is_struct(&x->t, &f))
                read_chunk_meta(&x->t, &c);
        } else {
            sn_thrift_skip(&x->t, f.type);
        }
    SN_CHECK(!x->t.r.bad && c.physical == (int64_t)leaf->physical && c.codec >= 0 &&
                 c.codec <= SN_CODEC_LZ4_RAW && c.nvalue >= 0,
             x->err, SN_EFORMAT, "%s: column %s: its part in the footer is damaged", x->f->path, leaf->name);
    SN_CHECK(!c.is_elsewhere, x->err, SN_EUNSUPPORTED, "%s: column %s lies in another file", x->f->path,
             leaf->name);
    const int64_t begin = c.dictionary > 0 && c.dictionary < c.data ? c.dictionary : c.data;
    SN_CHECK(begin >= 0 && c.size >= 0 && (uint64_t)begin <= x->f->bytes.n &&
                 (uint64_t)c.size <= x->f->bytes.n - (uint64_t)begin,
             x->err, SN_EFORMAT, "%s: column %s: its pages lie outside of the file", x->f->path, leaf->name);
    *out = (SnParquetChunk){.codec = (SnCodec)c.codec,
                            .nvalue = c.nvalue,
                            .pages = sn_bytes(x->f->bytes.at + begin, (size_t)c.size)};
    return SN_OK;
}

static SnStatus read_group(Footer *x, SnParquetGroup *g)
{
    SnThriftField f = {0};
    bool has_columns = false;
    while (sn_thrift_next(&x->t, &f)) {
        if (f.id == 3) {
            g->nrow = sn_thrift_int(&x->t, &f, -1);
        } else if (f.id == 1) {
            const size_t n = sn_thrift_list(&x->t, &f, SN_THRIFT_STRUCT);
            SN_CHECK(n == x->out->nleaf && !has_columns, x->err, SN_EFORMAT,
                     "%s: a row group of %zu columns, where the schema has %u", x->f->path, n, x->out->nleaf);
            has_columns = true;
            g->chunk = sn_arena_array(x->arena, n + 1, sizeof *g->chunk);
            SN_CHECK(g->chunk, x->err, SN_ENOMEM, "%s: no memory", x->f->path);
            for (size_t i = 0; i < n; i++)
                SN_TRY(read_chunk(x, &x->out->leaf[i], &g->chunk[i]));
        } else {
            sn_thrift_skip(&x->t, f.type);
        }
    }
    return x->t.r.bad || !has_columns || g->nrow < 0 ? damaged(x) : SN_OK;
}

static SnStatus read_groups(Footer *x, const SnThriftField *f)
{
    const size_t n = sn_thrift_list(&x->t, f, SN_THRIFT_STRUCT);
    x->out->group = sn_arena_array(x->arena, n + 1, sizeof *x->out->group);
    SN_CHECK(x->out->group, x->err, SN_ENOMEM, "%s: no memory", x->f->path);
    SN_CHECK(x->element && n < UINT32_MAX && !x->out->ngroup, x->err, SN_EFORMAT,
             "%s: rows before the schema, or twice", x->f->path);
    for (; x->out->ngroup < n; x->out->ngroup++)
        SN_TRY(read_group(x, &x->out->group[x->out->ngroup]));
    return SN_OK;
}

/* ---- what others wrote beside ---- */

static void read_keys(Footer *x, const SnThriftField *field)
{
    const size_t n = sn_thrift_list(&x->t, field, SN_THRIFT_STRUCT);
    for (size_t i = 0; i < n && !x->t.r.bad; i++) {
        SnThriftField f = {0};
        SnBytes pair[2] = {{NULL, 0}, {NULL, 0}};
        while (sn_thrift_next(&x->t, &f))
            if (f.id == 1 || f.id == 2)
                pair[f.id - 1] = sn_thrift_binary(&x->t, &f);
            else
                sn_thrift_skip(&x->t, f.type);
        if (sn_bytes_is(pair[0], "ARROW:schema"))
            x->arrow = pair[1];
        else if (sn_bytes_is(pair[0], "huggingface"))
            x->huggingface = pair[1];
    }
}

/* The type as it was before it was written: wide offsets, lists of one length, zones and durations. */
static SnStatus adapt(Footer *x, SnFeature *type, const SnFeature *was)
{
    const size_t zone = type->unit ? strcspn(type->unit, ",") : 0;
    if (type->kind == was->kind &&
        (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY || type->kind == SN_DATA_LIST))
        type->is_wide = was->is_wide;
    if (type->unit && type->unit[zone] && was->unit && was->unit[strcspn(was->unit, ",")]) {
        type->unit =
            sn_arena_printf(x->arena, "%.*s%s", (int)zone, type->unit, was->unit + strcspn(was->unit, ","));
        SN_CHECK(type->unit, x->err, SN_ENOMEM, "%s: no memory", x->f->path);
    }
    if (!type->unit && type->dtype == SN_I64 && was->unit && strncmp(was->unit, "duration", 8) == 0)
        type->unit = was->unit;
    if (type->kind != was->kind || type->nchild != was->nchild || !type->nchild)
        return SN_OK;
    type->length = was->length;
    SnFeature *child = sn_arena_array(x->arena, type->nchild, sizeof *child);
    SN_CHECK(child, x->err, SN_ENOMEM, "%s: no memory", x->f->path);
    memcpy(child, type->child, type->nchild * sizeof *child);
    for (uint32_t i = 0; i < type->nchild; i++)
        SN_TRY(adapt(x, &child[i], &was->child[i]));
    type->child = child;
    return SN_OK;
}

/* What does not parse is not of use: the file says all that is needed without it. */
static SnStatus adapt_columns(Footer *x)
{
    const SnFeature *was = NULL;
    SnBytes message;
    SnJson *info = NULL;
    SnError ignored;
    uint32_t n = 0;
    if (sn_base64_read(x->arena, x->arrow, &message, &ignored) == SN_OK &&
        sn_arrow_schema(x->f, x->arena, message, &was, &n, &ignored) == SN_OK && n == x->out->ncol)
        for (uint32_t i = 0; i < n; i++)
            SN_TRY(adapt(x, &x->out->column[i], &was[i]));
    if (!x->huggingface.n || sn_json_parse(x->arena, x->f->path, x->huggingface, &info, &ignored) != SN_OK)
        return SN_OK;
    const SnJson *features = sn_json_get(sn_json_get(info, "info"), "features");
    for (uint32_t i = 0; i < x->out->ncol; i++) {
        SnFeature *type = &x->out->column[i];
        SN_TRY(sn_feature_parse(x->arena, sn_json_get(features, type->name), type, x->err));
    }
    return SN_OK;
}

SnStatus sn_parquet_meta(const SnDataFile *f, SnArena *arena, SnParquetMeta *out, SnError *err)
{
    enum { TAIL = 8, MAGIC = 4 };
    const SnBytes b = f->bytes;
    SN_CHECK(b.n >= MAGIC + TAIL && memcmp(b.at, "PAR1", MAGIC) == 0, err, SN_EFORMAT, "%s: no Parquet file",
             f->path);
    SN_CHECK(memcmp(b.at + b.n - MAGIC, "PARE", MAGIC) != 0, err, SN_EUNSUPPORTED, "%s: it is encrypted",
             f->path);
    SnReader tail = sn_reader(sn_bytes(b.at + b.n - TAIL, TAIL));
    const size_t size = sn_read_u32le(&tail);
    SN_CHECK(memcmp(tail.at, "PAR1", MAGIC) == 0 && size <= b.n - MAGIC - TAIL, err, SN_EFORMAT,
             "%s: cut off, or no Parquet file", f->path);
    Footer x = {.f = f, .arena = arena, .out = out, .err = err};
    x.t.r = sn_reader(sn_bytes(b.at + b.n - TAIL - size, size));
    SnThriftField field = {0};
    while (sn_thrift_next(&x.t, &field))
        if (field.id == 2)
            SN_TRY(read_schema(&x, &field));
        else if (field.id == 4)
            SN_TRY(read_groups(&x, &field));
        else if (field.id == 5)
            read_keys(&x, &field);
        else
            sn_thrift_skip(&x.t, field.type);
    if (x.t.r.bad || !x.element)
        return damaged(&x);
    return adapt_columns(&x);
}
