/* parquet_write.c -- Parquet files: row groups of 65,536 rows, then a footer that says how columns nest, and
 * what Arrow and datasets call them.
 *
 * Every field may be null. Lists have the three levels of "LogicalTypes.md". */
#include "frontends/base64.h"
#include "frontends/data/arrow.h"
#include "frontends/data/parquet.h"

typedef struct Writer {
    const SnDataset *d;
    SnOutFile *f;
    SnArena arena;
    SN_VEC(SnParquetOut) leaf;
    SnText schema, group; /* items of lists of the footer */
    SnThriftOut to_schema, to_group;
    size_t nelement, ngroup;
    uint64_t at;
    SnError *err;
} Writer;

/* ---- types ---- */

/* How a type is stored: a row of what it is called, or of its dtype. unit: of times. */
typedef struct Stored {
    const char *unit;
    SnDtype dtype;
    SnParquetPhysical physical;
    SnParquetLogical logical;
    uint8_t width, converted, bits; /* converted: + 1; 0: none */
    bool is_signed;
    uint8_t time; /* 1 milli-, 2 micro-, 3 nanoseconds */
} Stored;
static const Stored stored[] = {
    {"date32", SN_I32, SN_PARQUET_INT32, SN_PARQUET_DATE, 4, 7, 0, false, 0},
    {"date64", SN_I64, SN_PARQUET_INT32, SN_PARQUET_DATE, 4, 7, 0, false, 0},
    {"time32[s]", SN_I32, SN_PARQUET_INT32, SN_PARQUET_TIME, 4, 8, 0, false, 1},
    {"time32[ms]", SN_I32, SN_PARQUET_INT32, SN_PARQUET_TIME, 4, 8, 0, false, 1},
    {"time64[us]", SN_I64, SN_PARQUET_INT64, SN_PARQUET_TIME, 8, 9, 0, false, 2},
    {"time64[ns]", SN_I64, SN_PARQUET_INT64, SN_PARQUET_TIME, 8, 0, 0, false, 3},
    {"timestamp[s", SN_I64, SN_PARQUET_INT64, SN_PARQUET_TIMESTAMP, 8, 0, 0, false, 1},
    {"timestamp[ms", SN_I64, SN_PARQUET_INT64, SN_PARQUET_TIMESTAMP, 8, 0, 0, false, 1},
    {"timestamp[us", SN_I64, SN_PARQUET_INT64, SN_PARQUET_TIMESTAMP, 8, 0, 0, false, 2},
    {"timestamp[ns", SN_I64, SN_PARQUET_INT64, SN_PARQUET_TIMESTAMP, 8, 0, 0, false, 3},
    {"duration", SN_I64, SN_PARQUET_INT64, 0, 8, 0, 0, false, 0},
    {NULL, SN_BOOL, SN_PARQUET_BOOLEAN, 0, 1, 0, 0, false, 0},
    {NULL, SN_I8, SN_PARQUET_INT32, SN_PARQUET_INTEGER, 4, 16, 8, true, 0},
    {NULL, SN_I16, SN_PARQUET_INT32, SN_PARQUET_INTEGER, 4, 17, 16, true, 0},
    {NULL, SN_I32, SN_PARQUET_INT32, 0, 4, 0, 0, false, 0},
    {NULL, SN_I64, SN_PARQUET_INT64, 0, 8, 0, 0, false, 0},
    {NULL, SN_U8, SN_PARQUET_INT32, SN_PARQUET_INTEGER, 4, 12, 8, false, 0},
    {NULL, SN_U16, SN_PARQUET_INT32, SN_PARQUET_INTEGER, 4, 13, 16, false, 0},
    {NULL, SN_U32, SN_PARQUET_INT32, SN_PARQUET_INTEGER, 4, 14, 32, false, 0},
    {NULL, SN_U64, SN_PARQUET_INT64, SN_PARQUET_INTEGER, 8, 15, 64, false, 0},
    {NULL, SN_F16, SN_PARQUET_FIXED, SN_PARQUET_FLOAT16, 2, 0, 0, false, 0},
    {NULL, SN_F32, SN_PARQUET_FLOAT, 0, 4, 0, 0, false, 0},
    {NULL, SN_F64, SN_PARQUET_DOUBLE, 0, 8, 0, 0, false, 0},
};
static const Stored stored_text = {.physical = SN_PARQUET_BYTES,
                                   .logical = SN_PARQUET_STRING,
                                   .converted = 1},
                    stored_bytes = {.physical = SN_PARQUET_BYTES},
                    stored_null = {.physical = SN_PARQUET_INT32, .logical = SN_PARQUET_NULL, .width = 4};

static const Stored *find_stored(const SnFeature *type)
{
    if (type->kind == SN_DATA_TEXT)
        return &stored_text;
    if (type->kind == SN_DATA_BINARY)
        return &stored_bytes;
    if (type->kind == SN_DATA_NULL)
        return &stored_null;
    for (size_t i = 0; i < SN_COUNT(stored); i++) {
        const Stored *s = &stored[i];
        const size_t n = s->unit ? strlen(s->unit) : 0;
        const bool is_open = s->unit && (s->unit[0] == 'd' || strncmp(s->unit, "timestamp", 9) == 0);
        if (!type->unit ? !s->unit && s->dtype == type->dtype
                        : s->unit && strncmp(type->unit, s->unit, n) == 0 &&
                              (type->unit[n] == '\0' || (is_open && strchr("],[", type->unit[n]))))
            return s;
    }
    return NULL;
}

/* ---- the schema ---- */

static void begin_element(Writer *w, SnBytes name, int repetition)
{
    sn_thrift_begin(&w->to_schema, 0);
    w->nelement++;
    sn_thrift_put_i32(&w->to_schema, 3, repetition);
    sn_thrift_put_binary(&w->to_schema, 4, name);
}

static void put_logical(SnThriftOut *t, const Stored *s, const SnFeature *type)
{
    sn_thrift_begin(t, 10);
    sn_thrift_begin(t, (int)s->logical);
    if (s->time) {
        sn_thrift_put_bool(t, 1, type->unit && strchr(type->unit, ','));
        sn_thrift_begin(t, 2);
        sn_thrift_begin(t, s->time);
        sn_thrift_end(t);
        sn_thrift_end(t);
    } else if (s->bits) {
        sn_thrift_put_i8(t, 1, (int8_t)s->bits);
        sn_thrift_put_bool(t, 2, s->is_signed);
    }
    sn_thrift_end(t);
    sn_thrift_end(t);
}

static SnStatus put_leaf(Writer *w, const SnFeature *type, SnParquetOut o)
{
    const Stored *s = find_stored(type);
    SnThriftOut *t = &w->to_schema;
    SN_CHECK(s, w->err, SN_EUNSUPPORTED, "column %s: Parquet has no type for it", type->name);
    sn_thrift_begin(t, 0);
    w->nelement++;
    sn_thrift_put_i32(t, 1, (int64_t)s->physical);
    if (s->physical == SN_PARQUET_FIXED)
        sn_thrift_put_i32(t, 2, s->width);
    sn_thrift_put_i32(t, 3, SN_PARQUET_OPTIONAL);
    sn_thrift_put_binary(t, 4, o.path[o.npath - 1]);
    if (s->converted)
        sn_thrift_put_i32(t, 6, s->converted - 1);
    if (s->logical)
        put_logical(t, s, type);
    sn_thrift_end(t);
    o.leaf.physical = s->physical;
    o.leaf.width = s->width;
    o.leaf.max_def++;
    o.type = type;
    SN_CHECK(sn_vec_push(w->arena.memory, &w->leaf, o), w->err, SN_ENOMEM, "dataset: no memory");
    return SN_OK;
}

/* A type and what stands inside of it; o: the way down to it. */
static SnStatus put_type(Writer *w, const SnFeature *type, SnBytes name, SnParquetOut o)
{
    const bool is_list = type->kind == SN_DATA_LIST;
    o.path[o.npath++] = name;
    SN_CHECK(o.npath + 3 < SN_COUNT(o.path) && o.ndown + 1 < SN_PARQUET_DEPTH &&
                 o.leaf.max_def + 3 < SN_PARQUET_DEPTH,
             w->err, SN_EUNSUPPORTED, "column %s: nested too deep", o.leaf.name);
    if (!is_list && type->kind != SN_DATA_STRUCT)
        return put_leaf(w, type, o);
    SN_CHECK(type->nchild, w->err, SN_EUNSUPPORTED, "column %s: Parquet has no struct without fields",
             o.leaf.name);
    begin_element(w, name, SN_PARQUET_OPTIONAL);
    sn_thrift_put_i32(&w->to_schema, 5, type->nchild);
    if (is_list) {
        const Stored list = {.logical = SN_PARQUET_LIST};
        sn_thrift_put_i32(&w->to_schema, 6, 3);
        put_logical(&w->to_schema, &list, type);
    }
    sn_thrift_end(&w->to_schema);
    o.leaf.max_def++;
    if (is_list) {
        begin_element(w, sn_bytes_str("list"), SN_PARQUET_REPEATED);
        sn_thrift_put_i32(&w->to_schema, 5, 1);
        sn_thrift_end(&w->to_schema);
        o.path[o.npath++] = sn_bytes_str("list");
        o.leaf.max_def++;
        o.leaf.max_rep++;
    }
    for (uint32_t i = 0; i < type->nchild; i++) {
        o.down[o.ndown] = i;
        SnParquetOut inner = o;
        inner.ndown++;
        SN_TRY(put_type(w, &type->child[i], sn_bytes_str(is_list ? "element" : type->child[i].name), inner));
    }
    return SN_OK;
}

static SnStatus put_schema(Writer *w)
{
    SnThriftOut *t = &w->to_schema;
    sn_thrift_begin(t, 0);
    sn_thrift_put_binary(t, 4, sn_bytes_str("schema"));
    sn_thrift_put_i32(t, 5, w->d->ncol);
    sn_thrift_end(t);
    w->nelement = 1;
    for (uint32_t i = 0; i < w->d->ncol; i++) {
        const SnFeature *type = &w->d->col[i].type;
        const SnParquetOut o = {.column = i, .leaf = {.name = type->name}};
        SN_TRY(put_type(w, type, sn_bytes_str(type->name), o));
    }
    return SN_OK;
}

/* ---- rows ---- */

static SnStatus put_group(Writer *w, int64_t first, int64_t n)
{
    SnDataset *rows = NULL;
    uint64_t total = 0;
    const uint64_t begin = w->at;
    SN_TRY(sn_table_gather(w->d, first, n, &rows, w->err));
    SnThriftOut *t = &w->to_group;
    sn_thrift_begin(t, 0);
    sn_thrift_put_list(t, 1, SN_THRIFT_STRUCT, w->leaf.n);
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < w->leaf.n; i++) {
        const SnParquetOut *o = &w->leaf.at[i];
        st = sn_parquet_put(o, rows->col[o->column].chunk, w->f, &w->at, &total, t, w->err);
    }
    sn_thrift_put_i64(t, 2, (int64_t)total);
    sn_thrift_put_i64(t, 3, n);
    sn_thrift_put_i64(t, 5, (int64_t)begin);
    sn_thrift_put_i64(t, 6, (int64_t)(w->at - begin));
    sn_thrift_end(t);
    w->ngroup++;
    sn_dataset_release(rows);
    sn_table_forget(w->d);
    return st;
}

/* ---- the footer ---- */

static void put_key(SnThriftOut *t, const char *key, const SnText *value)
{
    sn_thrift_begin(t, 0);
    sn_thrift_put_binary(t, 1, sn_bytes_str(key));
    sn_thrift_put_binary(t, 2, sn_bytes(value->at, value->n));
    sn_thrift_end(t);
    t->to->failed = t->to->failed || value->failed;
}

static void put_keys(const Writer *w, SnThriftOut *t)
{
    const SnAllocator *memory = w->arena.memory;
    SnText arrow = {.memory = memory}, spelt = {.memory = memory}, info = {.memory = memory};
    spelt.failed = !sn_arrow_put_schema(w->d, &arrow);
    sn_base64_put(&spelt, sn_bytes(arrow.at, arrow.n));
    sn_features_info(&info, w->d);
    sn_thrift_put_list(t, 5, SN_THRIFT_STRUCT, 2);
    put_key(t, "huggingface", &info);
    put_key(t, "ARROW:schema", &spelt);
    sn_text_clear(&arrow);
    sn_text_clear(&spelt);
    sn_text_clear(&info);
}

static SnStatus put_footer(Writer *w)
{
    SnText text = {.memory = w->arena.memory};
    SnThriftOut t = {.to = &text};
    sn_thrift_begin(&t, 0);
    sn_thrift_put_i32(&t, 1, 2);
    sn_thrift_put_list(&t, 2, SN_THRIFT_STRUCT, w->nelement);
    sn_text_add(&text, w->schema.at, w->schema.n);
    sn_thrift_put_i64(&t, 3, w->d->nrow);
    sn_thrift_put_list(&t, 4, SN_THRIFT_STRUCT, w->ngroup);
    sn_text_add(&text, w->group.at, w->group.n);
    put_keys(w, &t);
    sn_thrift_put_binary(&t, 6, sn_bytes_str("sinter"));
    sn_thrift_put_list(&t, 7, SN_THRIFT_STRUCT, w->leaf.n);
    for (size_t i = 0; i < w->leaf.n; i++) { /* statistics are in the order of the type */
        sn_thrift_begin(&t, 0);
        sn_thrift_begin(&t, 1);
        sn_thrift_end(&t);
        sn_thrift_end(&t);
    }
    sn_thrift_end(&t);
    const size_t n = text.n;
    const uint8_t tail[8] = {
        (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24), 'P', 'A', 'R', '1'};
    sn_text_add(&text, (const char *)tail, sizeof tail);
    const bool ok = !text.failed && !w->schema.failed && !w->group.failed && n < UINT32_MAX;
    const SnStatus st = ok ? sn_out_add(w->f, sn_bytes(text.at, text.n), w->err)
                           : sn_fail(w->err, SN_ENOMEM, "dataset: no memory for a footer");
    sn_text_clear(&text);
    return st;
}

SnStatus sn_write_parquet(const SnDataset *d, SnOutFile *f, SnError *err)
{
    const SnAllocator *memory = sn_allocator(d->ctx);
    Writer w = {.d = d, .f = f, .schema.memory = memory, .group.memory = memory, .at = 4, .err = err};
    w.to_schema.to = &w.schema;
    w.to_group.to = &w.group;
    sn_arena_init(&w.arena, memory);
    SnStatus st = sn_out_add(f, sn_bytes("PAR1", 4), err);
    if (st == SN_OK)
        st = put_schema(&w);
    for (int64_t at = 0; st == SN_OK && at < d->nrow; at += SN_TABLE_PART)
        st = put_group(&w, at, d->nrow - at < SN_TABLE_PART ? d->nrow - at : SN_TABLE_PART);
    if (st == SN_OK)
        st = put_footer(&w);
    sn_vec_clear(memory, &w.leaf);
    sn_text_clear(&w.schema);
    sn_text_clear(&w.group);
    sn_arena_clear(&w.arena);
    return st;
}
