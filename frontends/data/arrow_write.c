/* arrow_write.c -- Arrow IPC streams, with the metadata that datasets reads: batches of 1,000 rows.
 *
 * FlatBuffers are written front to back: a table, then what its fields point to, whose places are patched in.
 */
#include "frontends/data/arrow.h"

enum { BATCH_ROWS = 1000, FORGET_ROWS = 64000, MOST_FIELDS = 8 };

/* ---- FlatBuffers ---- */

static void put_int(SnText *t, uint64_t v, size_t size)
{
    char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(uint8_t)(v >> (8 * i));
    sn_text_add(t, bytes, size);
}

static void align(SnText *t, size_t to, size_t and_then)
{
    while ((t->n + and_then) % to && !t->failed)
        sn_text_add(t, "", 1);
}

/* A field that points to what is written here. */
static void patch(SnText *t, size_t field)
{
    const size_t v = t->n - field;
    for (size_t i = 0; i < 4 && !t->failed; i++)
        t->at[field + i] = (char)(uint8_t)(v >> (8 * i));
}

typedef struct Field {
    size_t size; /* 1, 2, 4, 8; 0: absent */
    uint64_t value;
} Field;

/* A table of n fields by their numbers, which `pointer` points to; at[i]: where each stands. */
static void put_table(SnText *t, size_t pointer, const Field *field, size_t n, size_t at[MOST_FIELDS])
{
    size_t offset[MOST_FIELDS], size = 4;
    for (size_t i = 0; i < n; i++) {
        const size_t each = field[i].size ? field[i].size : 1;
        size = (size + each - 1) / each * each;
        offset[i] = size;
        size += field[i].size;
    }
    align(t, 8, 4 + 2 * n);
    put_int(t, 4 + 2 * n, 2);
    put_int(t, size, 2);
    for (size_t i = 0; i < n; i++)
        put_int(t, field[i].size ? offset[i] : 0, 2);
    const size_t begin = t->n;
    patch(t, pointer);
    put_int(t, 4 + 2 * n, 4);
    for (size_t i = 0; i < n; i++) {
        while (t->n < begin + offset[i] && !t->failed)
            sn_text_add(t, "", 1);
        at[i] = t->n;
        put_int(t, field[i].value, field[i].size);
    }
}

static void put_string(SnText *t, size_t field, SnBytes s)
{
    align(t, 4, 0);
    patch(t, field);
    put_int(t, s.n, 4);
    sn_text_add(t, (const char *)s.at, s.n);
    sn_text_add(t, "", 1);
}

/* n pointers; where the first stands. */
static size_t put_pointers(SnText *t, size_t field, size_t n)
{
    align(t, 4, 0);
    patch(t, field);
    put_int(t, n, 4);
    const size_t at = t->n;
    for (size_t i = 0; i < n; i++)
        put_int(t, 0, 4);
    return at;
}

/* ---- schema ---- */

typedef struct Type {
    SnArrowType tag;
    Field field[2];
    SnBytes zone;
} Type;

static Type type_of(const SnFeature *f)
{
    static const SnArrowType texts[2][2] = {{SN_ARROW_UTF8, SN_ARROW_LARGE_UTF8},
                                            {SN_ARROW_BINARY, SN_ARROW_LARGE_BINARY}};
    const SnDtypeKind kind = sn_dtype(f->dtype)->kind;
    const size_t size = sn_dtype_size(f->dtype);
    for (size_t i = 0; f->unit && i < sn_arrow_nunit; i++) {
        const SnArrowUnit *u = &sn_arrow_units[i];
        const size_t n = strlen(u->name) - 1;
        if (strncmp(f->unit, u->name, n) != 0 || (f->unit[n] != ',' && f->unit[n + 1] != '\0'))
            continue;
        const char *zone = f->unit[n] == ',' ? f->unit + n + 5 : "";
        return (Type){u->type,
                      {{2, (uint64_t)u->unit}, {u->bits ? 4 : 0, (uint64_t)u->bits}},
                      sn_bytes(zone, *zone ? strlen(zone) - 1 : 0)};
    }
    if (f->kind == SN_DATA_NULL)
        return (Type){.tag = SN_ARROW_NULL};
    if (f->kind == SN_DATA_STRUCT)
        return (Type){.tag = SN_ARROW_STRUCT};
    if (f->kind == SN_DATA_LIST && f->length)
        return (Type){SN_ARROW_FIXED_LIST, {{4, (uint64_t)f->length}}, {NULL, 0}};
    if (f->kind == SN_DATA_LIST)
        return (Type){.tag = f->is_wide ? SN_ARROW_LARGE_LIST : SN_ARROW_LIST};
    if (f->kind == SN_DATA_TEXT || f->kind == SN_DATA_BINARY)
        return (Type){.tag = texts[f->kind == SN_DATA_BINARY][f->is_wide]};
    if (kind == SN_KIND_BOOL)
        return (Type){.tag = SN_ARROW_BOOL};
    if (kind == SN_KIND_FLOAT)
        return (Type){SN_ARROW_FLOAT, {{2, size == 2 ? 0 : size == 4 ? 1 : 2}}, {NULL, 0}};
    return (Type){SN_ARROW_INT, {{4, 8 * size}, {1, kind == SN_KIND_INT}}, {NULL, 0}};
}

static void put_extension(SnText *t, size_t pointer, const char *name)
{
    const char *const pairs[2][2] = {{"ARROW:extension:name", name}, {"ARROW:extension:metadata", ""}};
    const Field strings[2] = {{4, 0}, {4, 0}};
    const size_t pair = put_pointers(t, pointer, SN_COUNT(pairs));
    for (size_t i = 0; i < SN_COUNT(pairs); i++) {
        size_t at[MOST_FIELDS];
        put_table(t, pair + 4 * i, strings, 2, at);
        for (size_t k = 0; k < 2; k++)
            put_string(t, at[k], sn_bytes_str(pairs[i][k]));
    }
}

static void put_field(SnText *t, size_t pointer, const SnFeature *f)
{
    const Type type = type_of(f);
    size_t at[MOST_FIELDS], type_at[MOST_FIELDS];
    const bool is_json = f->kind == SN_DATA_TEXT && f->tag; /* an extension type of Arrow */
    const Field field[7] = {{4, 0}, {1, 1}, {1, type.tag}, {4, 0}, {0, 0}, {4, 0}, {is_json ? 4 : 0, 0}};
    put_table(t, pointer, field, SN_COUNT(field), at);
    put_string(t, at[0], sn_bytes_str(f->name));
    const Field zoned[2] = {type.field[0], {4, 0}};
    put_table(t, at[3], type.zone.n ? zoned : type.field, 2, type_at);
    if (type.zone.n)
        put_string(t, type_at[1], type.zone);
    size_t child = put_pointers(t, at[5], f->nchild);
    for (uint32_t i = 0; i < f->nchild; i++)
        put_field(t, child + 4 * i, &f->child[i]);
    if (is_json)
        put_extension(t, at[6], "arrow.json");
}

/* A message whose header is of this tag; where the pointer to it stands. */
static size_t begin_message(SnText *t, uint8_t tag, uint64_t body)
{
    size_t at[MOST_FIELDS];
    const Field field[4] = {{2, 4}, {1, tag}, {4, 0}, {8, body}};
    put_int(t, 0, 4);
    put_table(t, 0, field, SN_COUNT(field), at);
    return at[2];
}

/* The message as it stands in a stream, behind its size. */
static bool end_message(SnText *t, SnText *out)
{
    align(t, 8, 0);
    put_int(out, UINT32_MAX, 4);
    put_int(out, t->n, 4);
    sn_text_add(out, t->at, t->n);
    out->failed = out->failed || t->failed;
    sn_text_clear(t);
    return !out->failed;
}

static SnStatus write_message(SnText *t, SnArrowOut to, SnError *err)
{
    SnText out = {.memory = t->memory};
    const SnStatus st = end_message(t, &out) ? to.put(to.self, sn_bytes(out.at, out.n), err)
                                             : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    sn_text_clear(&out);
    return st;
}

void sn_features_info(SnText *t, const SnDataset *d)
{
    sn_text_printf(t, "{\"info\": {\"features\": ");
    sn_features_json(t, &d->col[0].type, d->ncol, sizeof *d->col);
    sn_text_printf(t, "}}");
}

bool sn_arrow_put_schema(const SnDataset *d, SnText *out)
{
    SnText t = {.memory = out->memory}, info = {.memory = t.memory};
    size_t at[MOST_FIELDS], pair[MOST_FIELDS];
    const Field schema[3] = {{2, 0}, {4, 0}, {4, 0}}, strings[2] = {{4, 0}, {4, 0}};
    put_table(&t, begin_message(&t, SN_ARROW_SCHEMA, 0), schema, SN_COUNT(schema), at);
    size_t field = put_pointers(&t, at[1], d->ncol);
    for (uint32_t i = 0; i < d->ncol; i++)
        put_field(&t, field + 4 * i, &d->col[i].type);
    put_table(&t, put_pointers(&t, at[2], 1), strings, 2, pair);
    put_string(&t, pair[0], sn_bytes_str("huggingface"));
    sn_features_info(&info, d);
    put_string(&t, pair[1], sn_bytes(info.at, info.n));
    t.failed = t.failed || info.failed;
    sn_text_clear(&info);
    return end_message(&t, out);
}

/* ---- batches ---- */

typedef struct Body {
    SN_VEC(SnBytes) buffer;
    SN_VEC(int64_t) node; /* rows, nulls */
    uint64_t size;
    const SnAllocator *memory;
    bool failed;
} Body;

static void add_buffer(Body *b, const void *at, size_t n)
{
    if (!sn_vec_push(b->memory, &b->buffer, sn_bytes(at, n)))
        b->failed = true;
    b->size += (n + 7) / 8 * 8;
}

static void add_array(Body *b, const SnArray *a)
{
    const size_t n = (size_t)a->n, bits = (n + 7) / 8;
    int64_t nnull = a->type->kind == SN_DATA_NULL ? a->n : 0;
    for (int64_t i = 0; a->valid && i < a->n; i++)
        nnull += !sn_array_valid(a, i);
    if (!sn_vec_push(b->memory, &b->node, a->n) || !sn_vec_push(b->memory, &b->node, nnull))
        b->failed = true;
    if (a->type->kind == SN_DATA_NULL)
        return;
    add_buffer(b, a->valid, a->valid ? bits : 0);
    if (a->offsets)
        add_buffer(b, a->offsets, (n + 1) * (a->type->is_wide ? 8 : 4));
    if (a->type->kind == SN_DATA_TEXT || a->type->kind == SN_DATA_BINARY)
        add_buffer(b, a->data, a->data_size);
    else if (a->type->kind != SN_DATA_LIST && a->type->kind != SN_DATA_STRUCT)
        add_buffer(b, a->data, a->type->dtype == SN_BOOL ? bits : n * sn_dtype_size(a->type->dtype));
    for (uint32_t i = 0; i < a->type->nchild; i++)
        add_array(b, &a->child[i]);
}

static SnStatus put_batch(const Body *b, int64_t nrow, SnArrowOut to, SnError *err)
{
    static const char zero[8];
    SnText t = {.memory = b->memory};
    size_t at[MOST_FIELDS];
    const Field batch[3] = {{8, (uint64_t)nrow}, {4, 0}, {4, 0}};
    put_table(&t, begin_message(&t, SN_ARROW_BATCH, b->size), batch, SN_COUNT(batch), at);
    align(&t, 8, 4);
    patch(&t, at[1]);
    put_int(&t, b->node.n / 2, 4);
    for (size_t i = 0; i < b->node.n; i++)
        put_int(&t, (uint64_t)b->node.at[i], 8);
    align(&t, 8, 4);
    patch(&t, at[2]);
    put_int(&t, b->buffer.n, 4);
    for (size_t i = 0, offset = 0; i < b->buffer.n; offset += (b->buffer.at[i++].n + 7) / 8 * 8) {
        put_int(&t, offset, 8);
        put_int(&t, b->buffer.at[i].n, 8);
    }
    SN_TRY(write_message(&t, to, err));
    for (size_t i = 0; i < b->buffer.n; i++) {
        SN_TRY(to.put(to.self, b->buffer.at[i], err));
        SN_TRY(to.put(to.self, sn_bytes(zero, (8 - b->buffer.at[i].n % 8) % 8), err));
    }
    return SN_OK;
}

SnStatus sn_arrow_begin(const SnDataset *types, SnArrowOut to, SnError *err)
{
    SnText schema = {.memory = sn_allocator(types->ctx)};
    const SnStatus st = sn_arrow_put_schema(types, &schema)
                            ? to.put(to.self, sn_bytes(schema.at, schema.n), err)
                            : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    sn_text_clear(&schema);
    return st;
}

SnStatus sn_arrow_rows(const SnDataset *rows, SnArrowOut to, SnError *err)
{
    Body b = {.memory = sn_allocator(rows->ctx)};
    for (uint32_t i = 0; i < rows->ncol; i++)
        add_array(&b, rows->col[i].chunk);
    const SnStatus st =
        b.failed ? sn_fail(err, SN_ENOMEM, "dataset: no memory") : put_batch(&b, rows->nrow, to, err);
    sn_vec_clear(b.memory, &b.buffer);
    sn_vec_clear(b.memory, &b.node);
    return st;
}

SnStatus sn_arrow_end(SnArrowOut to, SnError *err)
{
    static const uint8_t end[8] = {0xFF, 0xFF, 0xFF, 0xFF};
    return to.put(to.self, sn_bytes(end, sizeof end), err);
}

static SnStatus put_file(void *self, SnBytes part, SnError *err)
{
    return sn_out_add(self, part, err);
}

SnStatus sn_write_arrow(const SnDataset *d, SnOutFile *f, SnError *err)
{
    const SnArrowOut to = {put_file, f};
    SN_TRY(sn_arrow_begin(d, to, err));
    for (int64_t at = 0; at < d->nrow; at += BATCH_ROWS) {
        SnDataset *rows = NULL;
        SN_TRY(sn_table_gather(d, at, d->nrow - at < BATCH_ROWS ? d->nrow - at : BATCH_ROWS, &rows, err));
        const SnStatus st = sn_arrow_rows(rows, to, err);
        sn_dataset_release(rows);
        SN_TRY(st);
        if (at % FORGET_ROWS == 0)
            sn_table_forget(d);
    }
    return sn_arrow_end(to, err);
}
